//! On which legal basis a record left: a closed list whose words stand in the ledger for years. What
//! an accounting of disclosures leaves out is decided by it (45 CFR 164.528(a)(1)), never by not
//! recording.

use serde::{Deserialize, Serialize};

macro_rules! bases {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $excepted:literal, $suspendable:literal;)*) => {
        /// The basis of a disclosure.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Basis { $($(#[doc = $doc])* $name,)* }

        impl Basis {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As recorded and printed.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in one line.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*),)* }
            }

            /// Whether an accounting of disclosures need not list it (45 CFR 164.528(a)(1)).
            pub const fn is_excepted(self) -> bool {
                match self { $(Self::$name => $excepted,)* }
            }

            /// Whether an agency may have its listing suspended (45 CFR 164.528(a)(2)).
            pub const fn is_suspendable(self) -> bool {
                match self { $(Self::$name => $suspendable,)* }
            }

            /// The basis of this name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|basis| basis.as_str() == text)
            }
        }
    };
}

bases! {
    /// Treatment (45 CFR 164.506(c)).
    Treatment = "treatment", true, false;
    /// Payment (45 CFR 164.506(c)).
    Payment = "payment", true, false;
    /// Health care operations (45 CFR 164.506(c)).
    Operations = "operations", true, false;
    /// The individual's own request, or their representative's (45 CFR 164.502(a)(1)(i), 164.524).
    PatientRequest = "patient-request", true, false;
    /// The individual's written authorization (45 CFR 164.508).
    Authorization = "authorization", true, false;
    /// Required by law (45 CFR 164.512(a)).
    RequiredByLaw = "required-by-law", false, false;
    /// Public health activities (45 CFR 164.512(b)).
    PublicHealth = "public-health", false, false;
    /// Health oversight (45 CFR 164.512(d)).
    HealthOversight = "health-oversight", false, true;
    /// Judicial and administrative proceedings (45 CFR 164.512(e)).
    Judicial = "judicial", false, false;
    /// Law enforcement (45 CFR 164.512(f)).
    LawEnforcement = "law-enforcement", false, true;
    /// Research without authorization (45 CFR 164.512(i)).
    Research = "research", false, false;
    /// None of these, or none registered.
    Other = "other", false, false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_what_is_not_excepted_is_listed() {
        for basis in Basis::ALL {
            assert_eq!(Basis::parse(basis.as_str()), Some(*basis));
            assert_eq!(serde_json::to_value(basis).unwrap(), basis.as_str());
            assert!(!(basis.is_excepted() && basis.is_suspendable()));
        }
        assert!(!Basis::Other.is_excepted());
        assert_eq!(Basis::parse(""), None);
    }
}
