//! People: who may sign in, and whose record they may reach.

use serde::{Deserialize, Serialize};

use crate::{FhirId, PersonId, Phi, ResourceType, Timestamp, Username};

/// What a person is to the records behind the gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonRole {
    /// Reads their own record and those of people they act for.
    Patient,
    /// Reads the records of patients in their care.
    Clinician,
    /// Reads the ledger, no records.
    PrivacyOfficer,
    /// Administers clients and people, reads no records.
    Administrator,
}

impl PersonRole {
    /// Every one.
    pub const ALL: &'static [Self] =
        &[Self::Patient, Self::Clinician, Self::PrivacyOfficer, Self::Administrator];

    /// As stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Clinician => "clinician",
            Self::PrivacyOfficer => "privacy_officer",
            Self::Administrator => "administrator",
        }
    }

    /// The role of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text)
    }
}

/// A person who may sign in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The `sub` of their tokens.
    pub id: PersonId,
    /// What they sign in with.
    pub username: Username,
    /// The name shown on pages to themselves.
    pub display_name: Phi<String>,
    /// What they are to the records.
    pub role: PersonRole,
    /// Their own Patient resource, if they have one.
    pub own_record: Option<FhirId>,
    /// The patients they act for or care for, with the name to choose by.
    pub acts_for: Vec<(FhirId, Phi<String>)>,
    /// Their own FHIR resource, for `fhirUser`: type and id.
    pub fhir_user: Option<(ResourceType, FhirId)>,
    /// When the account was made.
    pub created: Timestamp,
    /// Since when it is disabled, if it is.
    pub disabled: Option<Timestamp>,
    /// When the password was last set; grants older than a reset may be withdrawn by it.
    pub password_set: Option<Timestamp>,
}

impl Person {
    /// The patients whose record the person may reach, their own first.
    pub fn patients(&self) -> impl Iterator<Item = &FhirId> {
        self.own_record.iter().chain(self.acts_for.iter().map(|(id, _)| id))
    }

    /// Whether this patient's record is among them.
    pub fn may_reach(&self, patient: &FhirId) -> bool {
        self.patients().any(|own| own == patient)
    }
}
