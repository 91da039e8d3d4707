//! The parameters of a granular scope: a closed list, each one that the gateway can evaluate on a
//! resource by itself (`gateway.md`, rows 4 and 5: the upstream's filtering is never relied on).

use std::fmt;

use crate::ResourceType;

/// A search parameter that a scope may carry, all of type token (FHIR R4 search §3.1.1.5.9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ScopeParameter {
    /// `category`
    Category,
    /// `clinical-status`
    ClinicalStatus,
    /// `code`
    Code,
    /// `status`
    Status,
    /// `type`
    Type,
    /// `_security`
    Security,
}

use ResourceType as R;
use ScopeParameter as P;

/// Which types have which parameter (FHIR R4 search parameter registry); `_security` is everywhere.
const PARAMETERS: &[(ScopeParameter, &[ResourceType])] = &[
    (
        P::Category,
        &[
            R::CarePlan,
            R::Condition,
            R::DiagnosticReport,
            R::DocumentReference,
            R::MedicationRequest,
            R::Observation,
            R::Procedure,
            R::ServiceRequest,
        ],
    ),
    (P::ClinicalStatus, &[R::AllergyIntolerance, R::Condition]),
    (
        P::Code,
        &[
            R::AllergyIntolerance,
            R::Condition,
            R::DiagnosticReport,
            R::Medication,
            R::MedicationRequest,
            R::Observation,
            R::Procedure,
            R::ServiceRequest,
        ],
    ),
    (
        P::Status,
        &[
            R::CarePlan,
            R::CareTeam,
            R::DiagnosticReport,
            R::DocumentReference,
            R::Encounter,
            R::Immunization,
            R::MedicationRequest,
            R::Observation,
            R::Procedure,
            R::ServiceRequest,
        ],
    ),
    (P::Type, &[R::DocumentReference, R::Encounter, R::Location, R::Organization]),
];

impl ScopeParameter {
    /// Every one.
    pub const ALL: &'static [Self] =
        &[P::Category, P::ClinicalStatus, P::Code, P::Status, P::Type, P::Security];

    /// The search parameter's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::ClinicalStatus => "clinical-status",
            Self::Code => "code",
            Self::Status => "status",
            Self::Type => "type",
            Self::Security => "_security",
        }
    }

    /// Whether resources of this type have the parameter.
    pub fn applies_to(self, resource_type: ResourceType) -> bool {
        self == Self::Security
            || PARAMETERS
                .iter()
                .any(|(parameter, types)| *parameter == self && types.contains(&resource_type))
    }
}

/// The value of a token parameter: `system|code`, `system|`, `|code` or `code`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TokenValue {
    /// `None`: any system; `Some("")`: explicitly none (`|code`).
    pub system: Option<Box<str>>,
    /// `None`: any code of the system.
    pub code: Option<Box<str>>,
}

impl TokenValue {
    /// Reads one value, without `,` alternatives.
    pub fn parse(text: &str) -> Option<Self> {
        let part = |t: &str| (!t.is_empty()).then(|| Box::<str>::from(t));
        match text.split_once('|') {
            Some((_, code)) if code.contains('|') => None,
            Some(("", "")) => None,
            Some((system, code)) => {
                Some(Self { system: Some(canonical_system(system).into()), code: part(code) })
            }
            None => part(text).map(|code| Self { system: None, code: Some(code) }),
        }
    }

    /// Whether a coding of this system (empty: none) and code has this value.
    pub fn matches(&self, system: &str, code: &str) -> bool {
        self.system.as_deref().is_none_or(|wanted| wanted == system)
            && self.code.as_deref().is_none_or(|wanted| wanted == code)
    }
}

/// US Core publishes its social-history scope with a malformed system URL; both spellings in the
/// wild mean the registered one.
fn canonical_system(system: &str) -> &str {
    match system {
        "http://terminology.hl7.org//CodeSystem-observation-category"
        | "http://terminology.hl7.org/CodeSystem-observation-category" => {
            "http://terminology.hl7.org/CodeSystem/observation-category"
        }
        other => other,
    }
}

impl fmt::Display for TokenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(system) = &self.system {
            write!(f, "{system}|")?;
        }
        f.write_str(self.code.as_deref().unwrap_or_default())
    }
}

/// One `parameter=value` of a granular scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ScopeFilter {
    /// Which parameter.
    pub parameter: ScopeParameter,
    /// Which value it must have.
    pub value: TokenValue,
}

/// A text is no filter that this type's scope may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterError;

impl ScopeFilter {
    /// Reads `parameter=value`.
    ///
    /// # Errors
    /// [`FilterError`] for a parameter outside the type's closed list, or a value that is empty or
    /// has `,`, `&`, `=`, `?`, `*`, `%` or a character outside a scope token (RFC 6749 §3.3).
    pub fn parse(resource_type: ResourceType, text: &str) -> Result<Self, FilterError> {
        let (name, value) = text.split_once('=').ok_or(FilterError)?;
        let parameter = ScopeParameter::ALL
            .iter()
            .copied()
            .find(|p| p.as_str() == name && p.applies_to(resource_type))
            .ok_or(FilterError)?;
        let plain = |b: u8| b.is_ascii_graphic() && !b",&=?*%\"\\".contains(&b);
        if value.len() > 256 || !value.bytes().all(plain) {
            return Err(FilterError);
        }
        let value = TokenValue::parse(value).ok_or(FilterError)?;
        Ok(Self { parameter, value })
    }
}

impl fmt::Display for ScopeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.parameter.as_str(), self.value)
    }
}
