//! A search cut to what its asker may see, before it is asked: the patient in reach, whatever the
//! query named, and the scopes' filters where one query can say them (`gateway.md`, rows 4, 31, 41).

use domain::scope::{ResourceScope, ScopeFilter};
use domain::{FhirId, ResourceType};
use fhir::Search;

use crate::decide::{Permit, Reach};

/// The narrowed search, or `None` where nothing in it is within reach: an empty answer then.
pub(crate) fn narrow(search: Search, permit: &Permit) -> Option<Search> {
    let patients = match &permit.reach {
        Reach::Everyone => return Some(filtered(search, &permit.scopes)),
        Reach::Own => return None,
        Reach::Patient(patient) => match search.patients() {
            Some(named) if named.is_empty() || named.iter().any(|id| *id != patient) => {
                return None;
            }
            _ => vec![patient.clone()],
        },
        Reach::Person(reachable) => of_person(&search, reachable)?,
    };
    Some(filtered(search.narrowed_to_patients(patients), &permit.scopes))
}

/// A person's search is about one patient within reach, named or the only one; patients themselves
/// may be searched all at once.
fn of_person(search: &Search, reachable: &[FhirId]) -> Option<Vec<FhirId>> {
    let of_patients = search.resource_type == ResourceType::Patient;
    let named: Vec<FhirId> = match search.patients() {
        Some(named) => named.into_iter().cloned().collect(),
        None => reachable.to_vec(),
    };
    let within = named.iter().all(|id| reachable.contains(id));
    let enough = if of_patients { !named.is_empty() } else { named.len() == 1 };
    (within && enough).then_some(named)
}

/// Scopes are alternatives, the filters of one are not: one scope's filters are sent as they are,
/// several scopes with one filter each on one parameter as alternatives, anything else is left to
/// the judgement of what comes back.
fn filtered(search: Search, scopes: &[ResourceScope]) -> Search {
    if let [scope] = scopes {
        return scope
            .filters
            .iter()
            .fold(search, |search, filter| search.narrowed_to_any(&[filter]));
    }
    let singles: Vec<&ScopeFilter> = scopes
        .iter()
        .filter_map(|scope| match scope.filters.as_slice() {
            [filter] => Some(filter),
            _ => None,
        })
        .collect();
    let one_parameter = singles.windows(2).all(|pair| match pair {
        [a, b] => a.parameter == b.parameter,
        _ => true,
    });
    if singles.len() == scopes.len() && one_parameter {
        search.narrowed_to_any(&singles)
    } else {
        search
    }
}

#[cfg(test)]
mod tests {
    use domain::scope::{Context, Permissions, ScopeSet};
    use fhir::Query;

    use super::*;

    fn id(text: &str) -> FhirId {
        FhirId::parse(text).unwrap()
    }

    fn narrowed(kind: ResourceType, query: &str, reach: Reach, scopes: &str) -> Option<String> {
        let Ok(Query::Search(search)) = Query::parse(kind, Some(query), None, "https://us/fhir")
        else {
            panic!("{query}");
        };
        let set = ScopeSet::parse(scopes).unwrap();
        let scopes = set.permitting(Context::Patient, kind, Permissions::SEARCH).cloned().collect();
        narrow(search, &Permit { reach, scopes }).map(|search| search.to_string())
    }

    #[test]
    fn a_token_of_one_patient_asks_about_no_other_rows_31_41() {
        let of = |query| {
            let reach = Reach::Patient(id("p1"));
            narrowed(ResourceType::Observation, query, reach, "patient/Observation.s")
        };
        let own = Some("patient=Patient%2Fp1".to_owned());
        for same in ["", "patient=p1", "subject=Patient/p1", "patient=p1&subject=p1"] {
            assert_eq!(of(same), own, "{same}");
        }
        for other in ["patient=p2", "patient=p1,p2", "subject=p2", "patient=p1&subject=p2"] {
            assert_eq!(of(other), None, "{other}");
        }
        let patients = |query| {
            let reach = Reach::Patient(id("p1"));
            narrowed(ResourceType::Patient, query, reach, "patient/Patient.s")
        };
        assert_eq!(patients("name=x"), Some("_id=p1&name=x".into()));
        assert_eq!(patients("_id=p2"), None);
    }

    #[test]
    fn a_persons_search_is_about_one_patient() {
        let two = || Reach::Person(vec![id("p1"), id("p2")]);
        let of = |query, reach| {
            narrowed(ResourceType::Observation, query, reach, "patient/Observation.s")
        };
        assert_eq!(of("patient=p2", two()), Some("patient=Patient%2Fp2".into()));
        for out in ["", "patient=p3", "patient=p1,p2"] {
            assert_eq!(of(out, two()), None, "{out}");
        }
        let one = Reach::Person(vec![id("p1")]);
        assert_eq!(of("", one), Some("patient=Patient%2Fp1".into()));
        assert_eq!(of("", Reach::Person(vec![])), None);
        let patients = narrowed(ResourceType::Patient, "", two(), "patient/Patient.s");
        assert_eq!(patients, Some("_id=p1,p2".into()));
    }

    #[test]
    fn scope_filters_are_added_and_intersect_with_the_query_row_4() {
        let of = |query, scopes| {
            narrowed(ResourceType::Observation, query, Reach::Everyone, scopes).unwrap()
        };
        let labs = "patient/Observation.s?category=s|laboratory";
        assert_eq!(of("", labs), "category=s%7Claboratory");
        assert_eq!(
            of("category=vital-signs", labs),
            "category=s%7Claboratory&category=vital-signs"
        );
        let two = "patient/Observation.s?category=a patient/Observation.s?category=b";
        assert_eq!(of("", two), "category=a,b");
        let mixed = "patient/Observation.s?category=a patient/Observation.s?code=b";
        assert_eq!(of("", mixed), "");
        let labels = "patient/Observation.s?_security=N";
        assert_eq!(of("", labels), "");
    }
}
