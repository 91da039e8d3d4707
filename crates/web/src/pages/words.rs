//! What scopes mean, in words for the people whose records they open. The one place where resource
//! types and categories are put into plain language.

use domain::{
    ResourceType,
    scope::{Permissions, PlainScope, ResourceScope, ScopeFilter, ScopeParameter},
};

use ResourceType as R;

/// Resource type, what it holds.
const TYPES: &[(ResourceType, &str)] = &[
    (R::AdverseEvent, "Adverse events, such as side effects"),
    (R::AllergyIntolerance, "Allergies and intolerances"),
    (R::Appointment, "Appointments"),
    (R::Binary, "Files attached to documents"),
    (R::BodyStructure, "Details of body parts"),
    (R::CarePlan, "Care plans"),
    (R::CareTeam, "The care team"),
    (R::Claim, "Insurance claims"),
    (R::ClinicalImpression, "Clinical assessments"),
    (R::Communication, "Messages with care providers"),
    (R::Condition, "Health conditions and diagnoses"),
    (R::Consent, "Consents given for care and data"),
    (R::Coverage, "Insurance coverage"),
    (R::Device, "Implants and other medical devices"),
    (R::DiagnosticReport, "Reports of laboratory tests and imaging"),
    (R::DocumentReference, "Documents and clinical notes"),
    (R::Encounter, "Visits and hospital stays"),
    (R::EpisodeOfCare, "Periods of care"),
    (R::ExplanationOfBenefit, "Bills and what insurance paid"),
    (R::FamilyMemberHistory, "Illnesses in the family"),
    (R::Goal, "Health goals"),
    (R::ImagingStudy, "Imaging studies, such as X-rays"),
    (R::Immunization, "Vaccinations"),
    (R::Location, "Places of care"),
    (R::Media, "Photos, videos and recordings"),
    (R::Medication, "Details of medications"),
    (R::MedicationAdministration, "Medications that were given"),
    (R::MedicationDispense, "Medications handed out by a pharmacy"),
    (R::MedicationRequest, "Prescribed medications"),
    (R::MedicationStatement, "Medications taken"),
    (R::MolecularSequence, "Genetic data"),
    (R::NutritionOrder, "Diet orders"),
    (R::Observation, "All test results and measurements"),
    (R::Organization, "Hospitals and practices"),
    (R::Patient, "Name, birth date, address and contact details"),
    (R::Practitioner, "Doctors and other professionals"),
    (R::PractitionerRole, "Roles of doctors and other professionals"),
    (R::Procedure, "Operations and other procedures"),
    (R::Provenance, "Who recorded what, and when"),
    (R::QuestionnaireResponse, "Answers to questionnaires"),
    (R::RelatedPerson, "Relatives and helpers"),
    (R::RiskAssessment, "Assessments of health risks"),
    (R::ServiceRequest, "Referrals and orders"),
    (R::Specimen, "Samples taken for tests"),
];

/// Resource type, category code, what the category holds.
const CATEGORIES: &[(ResourceType, &str, &str)] = &[
    (R::Condition, "problem-list-item", "Problem list: lasting conditions"),
    (R::Condition, "encounter-diagnosis", "Diagnoses made during visits"),
    (R::Condition, "health-concern", "Health concerns"),
    (R::DocumentReference, "clinical-note", "Clinical notes by doctors and nurses"),
    (R::Observation, "laboratory", "Laboratory results"),
    (R::Observation, "vital-signs", "Vital signs, such as blood pressure and weight"),
    (R::Observation, "social-history", "Social history, such as smoking and alcohol"),
    (R::Observation, "survey", "Results of questionnaires and assessments"),
    (R::Observation, "imaging", "Findings from imaging"),
    (R::Observation, "procedure", "Measurements during procedures"),
    (R::Observation, "exam", "Findings of physical examinations"),
    (R::Observation, "therapy", "Results of therapies"),
    (R::Observation, "activity", "Physical activity"),
    (R::Observation, "sdoh", "Living conditions, such as housing and food"),
    (R::Observation, "functional-status", "Ability to manage daily life"),
    (R::Observation, "disability-status", "Disabilities"),
    (R::Observation, "cognitive-status", "Memory and thinking"),
];

/// Areas of a record that people ask about: name, and the types that belong to it.
const AREAS: &[(&str, &[ResourceType])] = &[
    ("Test results and measurements", &[R::Observation, R::DiagnosticReport]),
    ("Health conditions and diagnoses", &[R::Condition]),
    ("Medications", &[R::MedicationRequest, R::MedicationStatement, R::MedicationDispense]),
    ("Allergies", &[R::AllergyIntolerance]),
    ("Vaccinations", &[R::Immunization]),
    ("Documents and clinical notes", &[R::DocumentReference]),
    ("Visits and hospital stays", &[R::Encounter]),
    ("Operations and procedures", &[R::Procedure]),
    ("Insurance and bills", &[R::Coverage, R::ExplanationOfBenefit, R::Claim]),
];

/// What a resource scope opens, without the verb.
pub fn resources(scope: &ResourceScope) -> String {
    let category = scope.filters.iter().find_map(|filter| category(scope.resource_type, filter));
    let mut words = match &category {
        Some((_, words)) => (*words).to_owned(),
        None => resource_type(scope.resource_type),
    };
    let rest =
        scope.filters.iter().filter(|filter| category.is_none_or(|(known, _)| known != *filter));
    for filter in rest {
        words.push_str(&restriction(filter));
    }
    words
}

/// What may be done with them: "See", "See and add", …
pub fn verb(permissions: Permissions) -> String {
    let reads = Permissions::READ.union(Permissions::SEARCH);
    let parts = [
        (reads, "see"),
        (Permissions::CREATE, "add"),
        (Permissions::UPDATE, "change"),
        (Permissions::DELETE, "delete"),
    ];
    let words: Vec<&str> = parts
        .into_iter()
        .filter(|(wanted, _)| !permissions.intersection(*wanted).is_empty())
        .map(|(_, word)| word)
        .collect();
    let text = match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    };
    capitalised(&text)
}

/// What a scope without resources means: title and explanation.
pub const fn plain(scope: PlainScope) -> (&'static str, &'static str) {
    match scope {
        PlainScope::OpenId => ("Know that it is you", "It learns an id that stands for you."),
        PlainScope::FhirUser => {
            ("Know which entry in the records is you", "It can read your own entry.")
        }
        PlainScope::Profile => ("Know your name", "As it stands in this account."),
        PlainScope::OfflineAccess => (
            "Keep access while you are away",
            "It can come back for new data without you being there, for as long as you choose below.",
        ),
        PlainScope::OnlineAccess => (
            "Stay connected while you are signed in",
            "Its access ends with your sign-in here, in some hours at the latest.",
        ),
        PlainScope::Launch => ("Take over what you were looking at", "Such as the open record."),
        PlainScope::LaunchPatient => ("Know whose record it is", "The record named above."),
    }
}

/// The areas of a record that none of these scopes opens, or opens only a part of.
pub fn not_opened(scopes: &[&ResourceScope]) -> Vec<String> {
    AREAS
        .iter()
        .filter_map(|(name, types)| {
            let mut touching =
                scopes.iter().filter(|s| types.contains(&s.resource_type)).peekable();
            if touching.peek().is_none() {
                return Some((*name).to_owned());
            }
            touching
                .all(|scope| !scope.filters.is_empty())
                .then(|| format!("Other {}", name.to_lowercase()))
        })
        .collect()
}

fn resource_type(resource_type: ResourceType) -> String {
    let known = TYPES.iter().find(|(known, _)| *known == resource_type);
    known.map_or_else(|| spaced(resource_type.name()), |(_, words)| (*words).to_owned())
}

fn category(
    resource_type: ResourceType,
    filter: &ScopeFilter,
) -> Option<(&ScopeFilter, &'static str)> {
    if filter.parameter != ScopeParameter::Category {
        return None;
    }
    let code = filter.value.code.as_deref()?;
    CATEGORIES
        .iter()
        .find(|(known, known_code, _)| *known == resource_type && *known_code == code)
        .map(|(_, _, words)| (filter, *words))
}

fn restriction(filter: &ScopeFilter) -> String {
    let value = filter.value.code.as_deref().or(filter.value.system.as_deref()).unwrap_or_default();
    let what = match filter.parameter {
        ScopeParameter::Category => "of the category",
        ScopeParameter::ClinicalStatus | ScopeParameter::Status => "with the status",
        ScopeParameter::Code => "with the code",
        ScopeParameter::Type => "of the type",
        ScopeParameter::Security => "with the security label",
    };
    format!(", only {what} “{value}”")
}

/// `MedicationKnowledge` as "Medication knowledge".
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_ascii_uppercase() {
            words.push(' ');
            words.push(letter.to_ascii_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use domain::scope::ScopeSet;

    use super::*;

    const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

    fn scope(text: &str) -> ResourceScope {
        ScopeSet::parse(text).unwrap().resources().next().unwrap().clone()
    }

    #[test]
    fn a_category_reads_as_what_it_holds() {
        let labs = scope(&format!("patient/Observation.rs?category={OBSERVATION}|laboratory"));
        assert_eq!(resources(&labs), "Laboratory results");
        assert_eq!(verb(labs.permissions), "See");
        let active = scope("patient/Condition.rs?clinical-status=active");
        assert_eq!(
            resources(&active),
            "Health conditions and diagnoses, only with the status “active”"
        );
        let odd = scope("patient/Observation.rs?category=http://x.example|whatever");
        assert_eq!(
            resources(&odd),
            "All test results and measurements, only of the category “whatever”"
        );
    }

    #[test]
    fn every_type_has_words() {
        for known in ResourceType::ALL {
            assert!(!resource_type(*known).is_empty());
        }
        assert_eq!(resource_type(ResourceType::MedicationKnowledge), "Medication knowledge");
    }

    #[test]
    fn writing_is_said() {
        assert_eq!(
            verb(scope("user/Observation.cruds").permissions),
            "See, add, change and delete"
        );
        assert_eq!(verb(scope("user/Observation.c").permissions), "Add");
    }

    #[test]
    fn what_stays_closed_is_named() {
        let labs = scope(&format!("patient/Observation.rs?category={OBSERVATION}|laboratory"));
        let closed = not_opened(&[&labs]);
        assert!(closed.contains(&"Other test results and measurements".to_owned()));
        assert!(closed.contains(&"Medications".to_owned()));
        let whole = scope("patient/Observation.rs");
        assert!(!not_opened(&[&whole]).iter().any(|area| area.contains("est results")));
    }
}
