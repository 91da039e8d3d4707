//! A FHIR reference as what it may point to. What cannot be told apart from another patient is
//! another patient.

use domain::{FhirId, ResourceType};

/// Where a `Reference.reference` points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A resource of the upstream itself.
    Local(ResourceType, FhirId),
    /// A Patient that is not the upstream's, or cannot be read.
    StrangePatient,
    /// A contained resource, another server's, or a name such as a URN.
    Other,
}

impl Target {
    /// Reads a literal reference; `base` is the upstream's FHIR base without a trailing slash.
    pub fn parse(text: &str, base: &str) -> Self {
        let own = text.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
        let mut parts = own.split('/');
        let local = match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(id), None, _, _)
            | (Some(kind), Some(id), Some("_history"), Some(_), None) => {
                ResourceType::parse(kind).ok().zip(FhirId::parse(id).ok())
            }
            _ => None,
        };
        match local {
            Some((kind, id)) => Self::Local(kind, id),
            None if own.contains("Patient") => Self::StrangePatient,
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_might_be_another_patient_is_one() {
        let base = "http://up/fhir";
        let of = |text| Target::parse(text, base);
        let mine = Target::Local(ResourceType::Patient, FhirId::parse("1").unwrap());
        for same in ["Patient/1", "http://up/fhir/Patient/1", "Patient/1/_history/7"] {
            assert_eq!(of(same), mine, "{same}");
        }
        for strange in [
            "http://up/fhirx/Patient/1",
            "https://other/Patient/1",
            "Patient?identifier=x",
            "Patient/",
            "Patient/../Patient/1",
            "Patient/1/x",
            "/Patient/1",
        ] {
            assert_eq!(of(strange), Target::StrangePatient, "{strange}");
        }
        for other in ["#p", "urn:uuid:1", "", "https://other/Practitioner/1"] {
            assert_eq!(of(other), Target::Other, "{other}");
        }
    }
}
