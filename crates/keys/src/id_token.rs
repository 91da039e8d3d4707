//! id_tokens (OpenID Connect Core §2): for the client's eyes, RS256 as SMART demands, and of a `typ`
//! and key that no verifier of access tokens accepts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ClientId, PersonId, Secret, Timestamp};
use serde_json::{Map, Value};

use crate::signing::{KeyRing, Purpose};
use crate::{KeyFault, jws, sha256};

/// What an id_token says. Times are whole seconds in the token; fractions are cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdTokenClaims {
    /// `iss`: this server's issuer URL.
    pub iss: String,
    /// `sub`.
    pub sub: PersonId,
    /// `aud`: the client.
    pub aud: ClientId,
    /// `exp`.
    pub exp: Timestamp,
    /// `iat`.
    pub iat: Timestamp,
    /// `auth_time`: when the person signed in.
    pub auth_time: Timestamp,
    /// `nonce`, as the authorization request gave it.
    pub nonce: Option<String>,
    /// `fhirUser`: absolute URL of the person's own resource (SMART App Launch 2.2).
    pub fhir_user: Option<String>,
    /// `at_hash`: see [`at_hash`].
    pub at_hash: Option<String>,
}

/// Signs a token with the ring's id_token key.
///
/// # Errors
/// [`KeyFault`] if the library refuses.
pub fn sign(ring: &KeyRing, claims: &IdTokenClaims) -> Result<Secret<String>, KeyFault> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        members.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("iss", Some(claims.iss.as_str().into()));
    put("sub", Some(claims.sub.as_str().into()));
    put("aud", Some(claims.aud.as_str().into()));
    put("exp", Some(claims.exp.secs().into()));
    put("iat", Some(claims.iat.secs().into()));
    put("auth_time", Some(claims.auth_time.secs().into()));
    put("nonce", claims.nonce.as_deref().map(Value::from));
    put("fhirUser", claims.fhir_user.as_deref().map(Value::from));
    put("at_hash", claims.at_hash.as_deref().map(Value::from));
    jws::sign(ring.signer(Purpose::IdToken), "JWT", &members)
}

/// What ties an id_token to the access token issued with it (OpenID Connect Core §3.1.3.6).
pub fn at_hash(access_token: &str) -> String {
    let hash = sha256(access_token.as_bytes());
    let (left, _) = hash.split_at(hash.len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}
