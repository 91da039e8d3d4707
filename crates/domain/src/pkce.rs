//! Proof Key for Code Exchange, `S256` only (RFC 7636; RFC 9700 §2.1.1). `plain` has no spelling.

use std::fmt;

use crate::Secret;

/// A challenge or verifier is not of the form that RFC 7636 gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PkceError;

impl fmt::Display for PkceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a PKCE value")
    }
}

impl std::error::Error for PkceError {}

/// `code_challenge` of method `S256`: the base64url of a SHA-256, 43 characters (RFC 7636 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeChallenge(Box<str>);

impl CodeChallenge {
    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`PkceError`] unless it is 43 characters of base64url.
    pub fn parse(text: &str) -> Result<Self, PkceError> {
        let fits = text.len() == 43
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.into())) } else { Err(PkceError) }
    }

    /// The challenge's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `code_verifier`: 43 to 128 unreserved characters (RFC 7636 §4.1).
#[derive(Debug, Clone)]
pub struct CodeVerifier(Secret<String>);

impl CodeVerifier {
    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`PkceError`] unless it is 43 to 128 unreserved characters.
    pub fn parse(text: &str) -> Result<Self, PkceError> {
        let fits = (43..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if fits { Ok(Self(Secret::new(text.to_owned()))) } else { Err(PkceError) }
    }

    /// The verifier's text, for hashing.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_rfc_7636() {
        assert!(CodeVerifier::parse(&"a".repeat(42)).is_err());
        assert!(CodeVerifier::parse(&"a".repeat(43)).is_ok());
        assert!(CodeVerifier::parse(&"~".repeat(128)).is_ok());
        assert!(CodeVerifier::parse(&"a".repeat(129)).is_err());
        assert!(CodeVerifier::parse(&"é".repeat(30)).is_err());
        assert!(CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").is_ok());
        assert!(CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM").is_err());
        assert!(CodeChallenge::parse("short").is_err());
    }
}
