//! Each resource that came back, judged on its own (`gateway.md`, ground rule 3): its type, whose it
//! is, the scope's filters, its labels, what it contains. The default is `subject-strict`: the
//! resource's subject is the patient in reach, and it names no other patient anywhere (row 25).

use domain::{FhirId, ResourceType};
use fhir::{Facts, Subject, Target, holds_filter, table_of, withholds};

use crate::decide::{Permit, Reach};

/// Types that may stand inside another resource (row 21).
const CONTAINED: &[ResourceType] =
    &[ResourceType::Medication, ResourceType::Organization, ResourceType::Practitioner];

/// Why a resource stays here; a fixed text for the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Withheld {
    Unreadable,
    WrongType,
    WrongId,
    NoSubject,
    OtherPatient,
    OutsideScope,
    Labelled,
    Contained,
    OutsideQuery,
    NotAMatch,
}

impl Withheld {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::WrongType => "another type",
            Self::WrongId => "another id",
            Self::NoSubject => "no patient as subject",
            Self::OtherPatient => "another patient",
            Self::OutsideScope => "outside the scope's filters",
            Self::Labelled => "restricted label",
            Self::Contained => "contained resource",
            Self::OutsideQuery => "outside the query",
            Self::NotAMatch => "not a match",
        }
    }
}

/// Whether a resource may leave, and the patients whom that would disclose.
pub(crate) fn judge(
    facts: &Facts<'_>,
    resource_type: ResourceType,
    permit: &Permit,
) -> Result<Vec<FhirId>, Withheld> {
    if facts.resource_type != resource_type {
        return Err(Withheld::WrongType);
    }
    let subjects = subjects(facts)?;
    let disclosed = within_reach(facts, subjects, &permit.reach)?;
    let contained = |kind: &Option<ResourceType>| kind.is_some_and(|k| CONTAINED.contains(&k));
    if !facts.contained.iter().all(contained) {
        return Err(Withheld::Contained);
    }
    if facts.labels.iter().any(|label| withholds(label)) {
        return Err(Withheld::Labelled);
    }
    let in_scope = permit.reach == Reach::Own
        || permit.scopes.iter().any(|scope| {
            scope.resource_type == resource_type
                && scope.filters.iter().all(|filter| holds_filter(facts, filter))
        });
    if in_scope { Ok(disclosed) } else { Err(Withheld::OutsideScope) }
}

/// The patients that the resource is about; none only for types that are about nobody.
fn subjects<'a>(facts: &'a Facts<'_>) -> Result<Vec<&'a FhirId>, Withheld> {
    let table = table_of(facts.resource_type).ok_or(Withheld::WrongType)?;
    match table.subject {
        Subject::Nobody => Ok(Vec::new()),
        Subject::Itself => Ok(vec![&facts.id]),
        Subject::Element(element) => {
            let found: Vec<_> = facts
                .subjects(element)
                .map(|target| match target {
                    Target::Patient(id) => Ok(id),
                    _ => Err(Withheld::NoSubject),
                })
                .collect::<Result<_, _>>()?;
            if found.is_empty() { Err(Withheld::NoSubject) } else { Ok(found) }
        }
    }
}

fn within_reach(
    facts: &Facts<'_>,
    subjects: Vec<&FhirId>,
    reach: &Reach,
) -> Result<Vec<FhirId>, Withheld> {
    let Some((first, others)) = subjects.split_first() else {
        // About nobody: it must not name a patient.
        let named = facts.strange_patient || !facts.patients.is_empty();
        return if named { Err(Withheld::OtherPatient) } else { Ok(Vec::new()) };
    };
    let reachable = match reach {
        Reach::Patient(patient) => *first == patient,
        Reach::Person(patients) => patients.contains(first),
        // The id was compared with the person's own before asking.
        Reach::Own => true,
        // A patient that cannot be told has no record to be named in.
        Reach::Everyone if facts.strange_patient => return Err(Withheld::OtherPatient),
        Reach::Everyone => {
            let mut disclosed: Vec<FhirId> = subjects.into_iter().cloned().collect();
            disclosed.extend(facts.patients.iter().cloned());
            disclosed.sort();
            disclosed.dedup();
            return Ok(disclosed);
        }
    };
    let alone = !facts.strange_patient
        && others.iter().all(|other| other == first)
        && facts.patients.iter().all(|named| named == *first);
    if reachable && alone { Ok(vec![(*first).clone()]) } else { Err(Withheld::OtherPatient) }
}

#[cfg(test)]
mod tests {
    use domain::scope::{Context, Permissions, ScopeSet};

    use super::*;

    const BASE: &str = "http://up/fhir";

    fn id(text: &str) -> FhirId {
        FhirId::parse(text).unwrap()
    }

    fn permit(reach: Reach, scope: &str) -> Permit {
        let set = ScopeSet::parse(scope).unwrap();
        let mut scopes = Vec::new();
        for context in [Context::Patient, Context::User, Context::System] {
            for kind in ResourceType::ALL {
                scopes.extend(set.permitting(context, *kind, Permissions::READ).cloned());
            }
        }
        Permit { reach, scopes }
    }

    fn of(raw: &str, kind: ResourceType, permit: &Permit) -> Result<Vec<FhirId>, Withheld> {
        judge(&fhir::scan(raw, BASE).unwrap(), kind, permit)
    }

    fn observation(extra: &str) -> String {
        format!(
            r#"{{"resourceType":"Observation","id":"o","subject":{{"reference":"Patient/p1"}},"category":[{{"coding":[{{"code":"laboratory"}}]}}]{extra}}}"#
        )
    }

    #[test]
    fn a_resource_of_the_patient_leaves_and_any_other_stays_row_25() {
        let mine = permit(Reach::Patient(id("p1")), "patient/Observation.rs");
        let other = permit(Reach::Patient(id("p2")), "patient/Observation.rs");
        let kind = ResourceType::Observation;
        assert_eq!(of(&observation(""), kind, &mine), Ok(vec![id("p1")]));
        assert_eq!(of(&observation(""), kind, &other), Err(Withheld::OtherPatient));
        for second in [
            r#","focus":[{"reference":"Patient/p2"}]"#,
            r#","performer":[{"reference":"https://else/Patient/p1"}]"#,
            r#","extension":[{"valueReference":{"reference":"Patient/p2","display":"x"}}]"#,
        ] {
            let raw = observation(second);
            assert_eq!(of(&raw, kind, &mine), Err(Withheld::OtherPatient), "{second}");
        }
        for nobody in [
            r#"{"resourceType":"Observation","id":"o"}"#,
            r##"{"resourceType":"Observation","id":"o","subject":{"reference":"#p"}}"##,
            r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Group/p1"}}"#,
            r#"{"resourceType":"Observation","id":"o","subject":{"display":"p1"}}"#,
        ] {
            assert_eq!(of(nobody, kind, &mine), Err(Withheld::NoSubject), "{nobody}");
        }
        let patient =
            r#"{"resourceType":"Patient","id":"p1","subject":{"reference":"Patient/p1"}}"#;
        assert_eq!(of(patient, kind, &mine), Err(Withheld::WrongType));
    }

    #[test]
    fn labels_and_contained_resources_withhold_rows_3_21() {
        let mine = permit(Reach::Patient(id("p1")), "patient/Observation.rs");
        for (extra, why) in [
            (r#","meta":{"security":[{"code":"R"}]}"#, Withheld::Labelled),
            (r#","meta":{"security":[{"code":"N"},{"code":"HIV"}]}"#, Withheld::Labelled),
            (r#","meta":{"security":[{"code":"unheard-of"}]}"#, Withheld::Labelled),
            (r#","contained":[{"resourceType":"Patient","id":"x"}]"#, Withheld::Contained),
            (r#","contained":[{"resourceType":"Alien"}]"#, Withheld::Contained),
        ] {
            assert_eq!(of(&observation(extra), ResourceType::Observation, &mine), Err(why));
        }
        let medication = observation(r#","contained":[{"resourceType":"Medication"}]"#);
        assert!(of(&medication, ResourceType::Observation, &mine).is_ok());
    }

    #[test]
    fn one_scope_must_be_satisfied_whole_row_4() {
        let kind = ResourceType::Observation;
        let reach = || Reach::Patient(id("p1"));
        let either = "patient/Observation.rs?category=vital-signs patient/Observation.rs?category=laboratory";
        assert!(of(&observation(""), kind, &permit(reach(), either)).is_ok());
        let both = "patient/Observation.rs?category=laboratory&category=vital-signs";
        let answer = of(&observation(""), kind, &permit(reach(), both));
        assert_eq!(answer, Err(Withheld::OutsideScope));
    }

    #[test]
    fn what_is_about_nobody_must_name_nobody() {
        let reach = permit(Reach::Patient(id("p1")), "patient/Location.r");
        let kind = ResourceType::Location;
        assert_eq!(of(r#"{"resourceType":"Location","id":"l"}"#, kind, &reach), Ok(vec![]));
        let home = r#"{"resourceType":"Location","id":"l","extension":[{"valueReference":{"reference":"Patient/p1"}}]}"#;
        assert_eq!(of(home, kind, &reach), Err(Withheld::OtherPatient));
    }

    #[test]
    fn a_backend_client_discloses_every_patient_named() {
        let all = permit(Reach::Everyone, "system/Observation.rs");
        let raw = observation(r#","focus":[{"reference":"Patient/p2"}]"#);
        assert_eq!(of(&raw, ResourceType::Observation, &all), Ok(vec![id("p1"), id("p2")]));
    }
}
