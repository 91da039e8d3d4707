//! The comparison of RFC 7636 §4.6 for `S256`, in constant time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{CodeChallenge, CodeVerifier};

use crate::{constant_time_eq, sha256};

/// Whether the verifier is the one that the challenge was made from.
#[must_use]
pub fn matches(challenge: &CodeChallenge, verifier: &CodeVerifier) -> bool {
    let made = URL_SAFE_NO_PAD.encode(sha256(verifier.expose().as_bytes()));
    constant_time_eq(made.as_bytes(), challenge.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b_matches_and_no_other_does() {
        let challenge =
            CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        let verifier = |text| CodeVerifier::parse(text).unwrap();
        assert!(matches(&challenge, &verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")));
        assert!(!matches(&challenge, &verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK")));
        // The challenge itself is no verifier: that would be `plain`.
        assert!(!matches(&challenge, &verifier(challenge.as_str())));
    }
}
