//! Every search parameter there is, in one table: what is not here is not understood.

use Kind::{Date, Reference, Text, Token};

/// How a parameter's values are compared (FHIR R4, Search §3.1.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `system|code`, `|code`, `system|` or `code`.
    Token,
    /// `Type/id` or `id`; the only type it may point to, or empty.
    Reference(&'static str),
    /// A date or time with an optional prefix, compared as ranges.
    Date,
    /// The beginning of a word, whatever its case.
    Text,
}

impl Kind {
    /// The code in a CapabilityStatement's `searchParam.type`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Token => "token",
            Reference(_) => "reference",
            Date => "date",
            Text => "string",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// The resource type it searches, or `*`.
    of: &'static str,
    /// Its name in a query.
    pub(crate) name: &'static str,
    /// How it compares.
    pub(crate) kind: Kind,
    /// The elements it reads; `|` separates alternatives.
    pub(crate) path: &'static str,
}

/// The rows for one resource type, in the table's order.
pub(crate) fn parameters_of(kind: &str) -> impl Iterator<Item = &'static Parameter> {
    TABLE.iter().filter(move |row| row.of == "*" || row.of == kind)
}

const fn row(of: &'static str, name: &'static str, kind: Kind, path: &'static str) -> Parameter {
    Parameter { of, name, kind, path }
}

const PATIENT: Kind = Reference("Patient");
const ENCOUNTER: Kind = Reference("Encounter");
const ANY: Kind = Reference("");

#[rustfmt::skip]
static TABLE: &[Parameter] = &[
    row("*", "_id",          Token, "id"),
    row("*", "_lastUpdated", Date,  "meta.lastUpdated"),
    row("*", "_security",    Token, "meta.security"),

    row("Patient", "identifier", Token, "identifier"),
    row("Patient", "name",       Text,  "name.family|name.given|name.text"),
    row("Patient", "family",     Text,  "name.family"),
    row("Patient", "given",      Text,  "name.given"),
    row("Patient", "gender",     Token, "gender"),
    row("Patient", "birthdate",  Date,  "birthDate"),

    row("Observation", "patient",   PATIENT,   "subject"),
    row("Observation", "subject",   ANY,       "subject"),
    row("Observation", "encounter", ENCOUNTER, "encounter"),
    row("Observation", "category",  Token,     "category"),
    row("Observation", "code",      Token,     "code"),
    row("Observation", "status",    Token,     "status"),
    row("Observation", "date",      Date,      "effectiveDateTime|effectivePeriod|effectiveInstant"),

    row("Condition", "patient",             PATIENT,   "subject"),
    row("Condition", "subject",             ANY,       "subject"),
    row("Condition", "encounter",           ENCOUNTER, "encounter"),
    row("Condition", "category",            Token,     "category"),
    row("Condition", "code",                Token,     "code"),
    row("Condition", "clinical-status",     Token,     "clinicalStatus"),
    row("Condition", "verification-status", Token,     "verificationStatus"),
    row("Condition", "onset-date",          Date,      "onsetDateTime|onsetPeriod"),
    row("Condition", "recorded-date",       Date,      "recordedDate"),

    row("MedicationRequest", "patient",    PATIENT,   "subject"),
    row("MedicationRequest", "subject",    ANY,       "subject"),
    row("MedicationRequest", "encounter",  ENCOUNTER, "encounter"),
    row("MedicationRequest", "category",   Token,     "category"),
    row("MedicationRequest", "code",       Token,     "medicationCodeableConcept"),
    row("MedicationRequest", "status",     Token,     "status"),
    row("MedicationRequest", "intent",     Token,     "intent"),
    row("MedicationRequest", "authoredon", Date,      "authoredOn"),

    row("AllergyIntolerance", "patient",             PATIENT, "patient"),
    row("AllergyIntolerance", "category",            Token,   "category"),
    row("AllergyIntolerance", "code",                Token,   "code|reaction.substance"),
    row("AllergyIntolerance", "type",                Token,   "type"),
    row("AllergyIntolerance", "clinical-status",     Token,   "clinicalStatus"),
    row("AllergyIntolerance", "verification-status", Token,   "verificationStatus"),
    row("AllergyIntolerance", "date",                Date,    "recordedDate"),

    row("DocumentReference", "patient",        PATIENT,   "subject"),
    row("DocumentReference", "subject",        ANY,       "subject"),
    row("DocumentReference", "encounter",      ENCOUNTER, "context.encounter"),
    row("DocumentReference", "category",       Token,     "category"),
    row("DocumentReference", "type",           Token,     "type"),
    row("DocumentReference", "status",         Token,     "status"),
    row("DocumentReference", "security-label", Token,     "securityLabel"),
    row("DocumentReference", "date",           Date,      "date"),
    row("DocumentReference", "period",         Date,      "context.period"),

    row("DiagnosticReport", "patient",   PATIENT,   "subject"),
    row("DiagnosticReport", "subject",   ANY,       "subject"),
    row("DiagnosticReport", "encounter", ENCOUNTER, "encounter"),
    row("DiagnosticReport", "category",  Token,     "category"),
    row("DiagnosticReport", "code",      Token,     "code"),
    row("DiagnosticReport", "status",    Token,     "status"),
    row("DiagnosticReport", "date",      Date,      "effectiveDateTime|effectivePeriod"),
    row("DiagnosticReport", "issued",    Date,      "issued"),

    row("Encounter", "patient", PATIENT, "subject"),
    row("Encounter", "subject", ANY,     "subject"),
    row("Encounter", "class",   Token,   "class"),
    row("Encounter", "type",    Token,   "type"),
    row("Encounter", "status",  Token,   "status"),
    row("Encounter", "date",    Date,    "period"),

    row("Immunization", "patient",      PATIENT, "patient"),
    row("Immunization", "status",       Token,   "status"),
    row("Immunization", "vaccine-code", Token,   "vaccineCode"),
    row("Immunization", "date",         Date,    "occurrenceDateTime"),

    row("Procedure", "patient",   PATIENT,   "subject"),
    row("Procedure", "subject",   ANY,       "subject"),
    row("Procedure", "encounter", ENCOUNTER, "encounter"),
    row("Procedure", "category",  Token,     "category"),
    row("Procedure", "code",      Token,     "code"),
    row("Procedure", "status",    Token,     "status"),
    row("Procedure", "date",      Date,      "performedDateTime|performedPeriod"),

    row("CareTeam", "patient",   PATIENT,   "subject"),
    row("CareTeam", "subject",   ANY,       "subject"),
    row("CareTeam", "encounter", ENCOUNTER, "encounter"),
    row("CareTeam", "category",  Token,     "category"),
    row("CareTeam", "status",    Token,     "status"),
    row("CareTeam", "date",      Date,      "period"),

    row("Practitioner", "identifier", Token, "identifier"),
    row("Practitioner", "name",       Text,  "name.family|name.given|name.text"),
    row("Organization", "identifier", Token, "identifier"),
    row("Organization", "name",       Text,  "name"),
    row("Organization", "type",       Token, "type"),
    row("Location",     "identifier", Token, "identifier"),
    row("Location",     "name",       Text,  "name"),
    row("Location",     "type",       Token, "type"),
    row("Location",     "status",     Token, "status"),
];
