//! A FHIR reference as what it may point to. What cannot be told apart from another patient is
//! another patient.

use domain::{FhirId, ResourceType};

/// Where a `Reference.reference` points, as far as anyone's privacy is concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A patient of the upstream itself.
    Patient(FhirId),
    /// A patient that is not the upstream's, or cannot be told.
    StrangePatient,
    /// Anything else: another type, a contained resource, a name such as a URN.
    Other,
}

impl Target {
    /// Reads a literal reference; `base` is the upstream's FHIR base without a trailing slash.
    pub fn parse(text: &str, base: &str) -> Self {
        let own = text.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
        if !own.contains("Patient") {
            return Self::Other;
        }
        let mut parts = own.split('/');
        let local = match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(id), None, _, _)
            | (Some(kind), Some(id), Some("_history"), Some(_), None) => {
                ResourceType::parse(kind).ok().zip(FhirId::parse(id).ok())
            }
            _ => None,
        };
        match local {
            Some((ResourceType::Patient, id)) => Self::Patient(id),
            Some(_) => Self::Other,
            None => Self::StrangePatient,
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
        let mine = Target::Patient(FhirId::parse("1").unwrap());
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
        for other in ["#p", "urn:uuid:1", "", "https://other/Practitioner/1", "Group/Patient"] {
            assert_eq!(of(other), Target::Other, "{other}");
        }
    }
}
