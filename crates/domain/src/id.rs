//! Identifiers. Each is bounded and of one alphabet from the moment it exists, so none can carry a
//! path, a quote, a line break or another kind's meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text is no identifier of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid identifier")
    }
}

impl std::error::Error for IdError {}

fn bounded(text: &str, max: usize, extra: &[u8]) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks length and alphabet.
            ///
            /// # Errors
            /// [`IdError`] if the text is empty, too long or has a foreign character.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(IdError) }
            }

            /// The identifier's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

identifier!(
    /// `client_id` (RFC 6749 §2.2): 1 to 64 of `A-Z a-z 0-9 - . _`.
    ClientId,
    |t| bounded(t, 64, b"-._")
);
identifier!(
    /// A person's stable subject, the `sub` of their tokens: `p_` and 1 to 62 of `A-Z a-z 0-9 - _`.
    ///
    /// The prefix keeps it apart from every `client_id` (RFC 9700 §4.15): see [`ClientId::is_person_like`].
    PersonId,
    |t| t.strip_prefix("p_").is_some_and(|rest| bounded(rest, 62, b"-_"))
);
identifier!(
    /// One authorization given by a person to a client; also the refresh token family's name.
    GrantId,
    |t| bounded(t, 64, b"-_")
);
identifier!(
    /// A sign-in session's public name (its secret is another thing).
    SessionId,
    |t| bounded(t, 64, b"-_")
);
identifier!(
    /// A token's `jti` (RFC 7519 §4.1.7).
    TokenId,
    |t| bounded(t, 64, b"-_")
);
identifier!(
    /// Ties a response to its record: shown to users, found in the ledger. 1 to 32 of `A-Z a-z 0-9 -`.
    CorrelationId,
    |t| bounded(t, 32, b"-")
);
identifier!(
    /// What a person signs in with: 1 to 64 of `A-Z a-z 0-9 - . _ @ +`.
    Username,
    |t| bounded(t, 64, b"-._@+")
);
identifier!(
    /// A FHIR logical id: 1 to 64 of `A-Z a-z 0-9 - .` (FHIR R4 datatypes, id). The expression allows
    /// `.` and `..`, which a path would swallow: both are refused here.
    FhirId,
    |t| bounded(t, 64, b"-.") && t != "." && t != ".."
);

impl ClientId {
    /// Whether this name could be mistaken for a person's `sub`; registration refuses those.
    pub fn is_person_like(&self) -> bool {
        self.as_str().starts_with("p_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_a_path_would_swallow_are_refused() {
        for bad in ["", ".", "..", "a/b", "a%2fb", "a b", "é", "a\n", &"x".repeat(65)] {
            assert!(FhirId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(FhirId::parse("a.b-C9").is_ok());
    }

    #[test]
    fn a_person_and_a_client_never_share_a_name() {
        assert!(PersonId::parse("amina").is_err());
        assert!(PersonId::parse("p_amina").is_ok());
        assert!(ClientId::parse("p_amina").expect("an id").is_person_like());
    }
}
