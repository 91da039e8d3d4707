//! The closed tables: which types are served, which element names their patient, which search
//! parameters they have and which element each reads (HL7 FHIR R4 4.0.1 search parameter registry, CC0).
//! A type or parameter that is not here does not exist.

use domain::ResourceType::{self, self as R};

use crate::scan::Element::{self, self as E};

/// Who a resource of a type is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The resource is a patient; its id says which.
    Itself,
    /// The top-level element of this name refers to the patient.
    Element(Element),
    /// Nobody: read by id with an explicit scope, and only if it names no patient.
    Nobody,
}

/// How a parameter's values are read and compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Logical ids.
    Id,
    /// References to a Patient: always narrowed to the patient in reach.
    Patient,
    /// `system|code`, re-evaluated on what comes back.
    Token(&'static [Element]),
    /// A date with an optional prefix, left to the upstream.
    Date,
    /// The beginning of a word, left to the upstream.
    Text,
    /// A reference to one resource of this type, left to the upstream.
    Reference(ResourceType),
}

impl Kind {
    /// The code in a CapabilityStatement's `searchParam.type`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Id | Self::Token(_) => "token",
            Self::Patient | Self::Reference(_) => "reference",
            Self::Date => "date",
            Self::Text => "string",
        }
    }
}

/// A search parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// How it is compared.
    pub kind: Kind,
}

/// What is known about one resource type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResourceTable {
    /// The type.
    pub resource_type: ResourceType,
    /// Who its resources are about.
    pub subject: Subject,
    parameters: &'static [Parameter],
}

impl ResourceTable {
    /// Its parameters; none for types that are read by id only.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        let common: &'static [Parameter] =
            if self.subject == Subject::Nobody { &[] } else { COMMON };
        common.iter().chain(self.parameters)
    }

    /// The parameter of this exact name.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters().find(|parameter| parameter.name == name)
    }
}

/// The row of a type; none means that no token reaches it.
pub fn table_of(resource_type: ResourceType) -> Option<&'static ResourceTable> {
    TYPES.iter().find(|row| row.resource_type == resource_type)
}

/// The parameter that narrows a search to ids.
pub(crate) const ID: Parameter = Parameter { name: "_id", kind: Kind::Id };
/// The parameter that narrows a search to a patient.
pub(crate) const PATIENT: Parameter = Parameter { name: "patient", kind: Kind::Patient };

const COMMON: &[Parameter] = &[ID, Parameter { name: "_lastUpdated", kind: Kind::Date }];

const fn row(
    resource_type: ResourceType,
    subject: Subject,
    parameters: &'static [Parameter],
) -> ResourceTable {
    ResourceTable { resource_type, subject, parameters }
}
const fn of(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind }
}
const fn token(name: &'static str, elements: &'static [Element]) -> Parameter {
    of(name, Kind::Token(elements))
}
const fn date(name: &'static str) -> Parameter {
    of(name, Kind::Date)
}
const SUBJECT_PARAM: Parameter = of("subject", Kind::Patient);
const ENCOUNTER: Parameter = of("encounter", Kind::Reference(R::Encounter));
const STATUS: Parameter = token("status", &[E::Status]);
const CATEGORY: Parameter = token("category", &[E::Category]);
const CODE: Parameter = token("code", &[E::Code]);
const IDENTIFIER: Parameter = token("identifier", &[E::Identifier]);
const TYPE: Parameter = token("type", &[E::Type]);
const INTENT: Parameter = token("intent", &[E::Intent]);
const MEDICATION_CODE: Parameter = token("code", &[E::MedicationCodeableConcept]);
const SUBJECT: Subject = Subject::Element(E::Subject);
const OF_PATIENT: Subject = Subject::Element(E::Patient);

/// Every type that is served.
#[rustfmt::skip]
pub static TYPES: &[ResourceTable] = &[
    row(R::AllergyIntolerance, OF_PATIENT, &[PATIENT, CATEGORY, date("date"), IDENTIFIER,
        token("clinical-status", &[E::ClinicalStatus]),
        token("verification-status", &[E::VerificationStatus]),
        token("criticality", &[E::Criticality]),
        token("code", &[E::Code, E::ReactionSubstance])]),
    row(R::CarePlan, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, STATUS, INTENT, ENCOUNTER, IDENTIFIER, date("date")]),
    row(R::CareTeam, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, STATUS, ENCOUNTER, IDENTIFIER, date("date")]),
    row(R::Claim, OF_PATIENT, &[PATIENT, STATUS, IDENTIFIER, date("created")]),
    row(R::Condition, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, CODE, ENCOUNTER, IDENTIFIER,
        token("clinical-status", &[E::ClinicalStatus]),
        token("verification-status", &[E::VerificationStatus]),
        date("onset-date"), date("recorded-date"), date("abatement-date")]),
    row(R::Coverage, Subject::Element(E::Beneficiary), &[PATIENT, of("beneficiary", Kind::Patient), STATUS, TYPE, IDENTIFIER]),
    row(R::Device, OF_PATIENT, &[PATIENT, STATUS, TYPE, IDENTIFIER]),
    row(R::DiagnosticReport, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, CODE, STATUS, ENCOUNTER, IDENTIFIER, date("date"), date("issued")]),
    row(R::DocumentReference, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, TYPE, STATUS, IDENTIFIER, date("date"), date("period")]),
    row(R::Encounter, SUBJECT, &[PATIENT, SUBJECT_PARAM, TYPE, STATUS, token("class", &[E::Class]), IDENTIFIER, date("date")]),
    row(R::ExplanationOfBenefit, OF_PATIENT, &[PATIENT, STATUS, IDENTIFIER, date("created")]),
    row(R::FamilyMemberHistory, OF_PATIENT, &[PATIENT, STATUS, IDENTIFIER, date("date")]),
    row(R::Goal, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, token("lifecycle-status", &[E::LifecycleStatus]), IDENTIFIER, date("target-date"), date("start-date")]),
    row(R::Immunization, OF_PATIENT, &[PATIENT, STATUS, token("vaccine-code", &[E::VaccineCode]), IDENTIFIER, date("date")]),
    row(R::Location, Subject::Nobody, &[]),
    row(R::Medication, Subject::Nobody, &[]),
    row(R::MedicationAdministration, SUBJECT, &[PATIENT, SUBJECT_PARAM, STATUS, MEDICATION_CODE, IDENTIFIER, date("effective-time")]),
    row(R::MedicationDispense, SUBJECT, &[PATIENT, SUBJECT_PARAM, STATUS, MEDICATION_CODE, IDENTIFIER, date("whenhandedover")]),
    row(R::MedicationRequest, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, STATUS, INTENT, MEDICATION_CODE, ENCOUNTER, IDENTIFIER, date("authoredon")]),
    row(R::MedicationStatement, SUBJECT, &[PATIENT, SUBJECT_PARAM, STATUS, CATEGORY, MEDICATION_CODE, IDENTIFIER, date("effective")]),
    row(R::Observation, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, CODE, STATUS, ENCOUNTER, IDENTIFIER, date("date")]),
    row(R::Organization, Subject::Nobody, &[]),
    row(R::Patient, Subject::Itself, &[IDENTIFIER, token("gender", &[E::Gender]), date("birthdate"),
        of("name", Kind::Text), of("family", Kind::Text), of("given", Kind::Text)]),
    row(R::Practitioner, Subject::Nobody, &[]),
    row(R::Procedure, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, CODE, STATUS, ENCOUNTER, IDENTIFIER, date("date")]),
    row(R::QuestionnaireResponse, SUBJECT, &[PATIENT, SUBJECT_PARAM, STATUS, IDENTIFIER, date("authored")]),
    row(R::RelatedPerson, OF_PATIENT, &[PATIENT, IDENTIFIER]),
    row(R::ServiceRequest, SUBJECT, &[PATIENT, SUBJECT_PARAM, CATEGORY, CODE, STATUS, INTENT, ENCOUNTER, IDENTIFIER, date("authored")]),
    row(R::Specimen, SUBJECT, &[PATIENT, SUBJECT_PARAM, STATUS, TYPE, IDENTIFIER, date("collected")]),
];

#[cfg(test)]
mod tests {
    use domain::scope::ScopeParameter;

    use super::*;

    #[test]
    fn types_and_parameters_are_unique() {
        for row in TYPES {
            assert_eq!(TYPES.iter().filter(|r| r.resource_type == row.resource_type).count(), 1);
            for parameter in row.parameters() {
                let same = row.parameters().filter(|p| p.name == parameter.name).count();
                assert_eq!(same, 1, "{} {}", row.resource_type, parameter.name);
            }
        }
    }

    #[test]
    fn every_parameter_of_a_granular_scope_can_be_evaluated() {
        for row in TYPES.iter().filter(|row| row.subject != Subject::Nobody) {
            for scope in ScopeParameter::ALL {
                if *scope != ScopeParameter::Security && scope.applies_to(row.resource_type) {
                    let known = row.parameter(scope.as_str());
                    assert!(
                        matches!(known.map(|p| p.kind), Some(Kind::Token(_))),
                        "{row:?} {scope:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_type_about_a_patient_can_be_narrowed_to_one() {
        for row in TYPES {
            let narrowed = row.parameter("patient") == Some(&PATIENT);
            assert_eq!(
                narrowed,
                matches!(row.subject, Subject::Element(_)),
                "{}",
                row.resource_type
            );
        }
    }
}
