//! Client assertions (`private_key_jwt`: RFC 7523 §3, SMART App Launch 2.2): an assertion verifies
//! only if the client's own registered key signed it, for us alone, for the next few minutes. That
//! it is used once is the store's part: see [`VerifiedAssertion::remember_until`].

use domain::{ClientId, Reject, Timestamp};
use serde_json::Value;

use crate::Algorithm;
use crate::json::{MemberError, Members};
use crate::jwk::JwkSet;
use crate::jws::Compact;

/// The algorithms that a client may sign with; metadata lists them in this order.
pub const ALGORITHMS: &[Algorithm] =
    &[Algorithm::Es384, Algorithm::Rs384, Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa];
/// How far ahead `exp` may lie, in seconds (SMART: five minutes).
pub const MAX_AHEAD_SECS: i64 = 300;
/// How far a client's clock may be ahead of ours for its `exp`, in seconds (FAPI 2.0).
pub const EXP_SKEW_SECS: i64 = 10;
/// How far `iat` and `nbf` may lie in the future, in seconds (FAPI 2.0: refuse more than 60).
pub const MAX_SKEW_SECS: i64 = 60;
/// The longest `jti`, in bytes.
pub const MAX_JTI: usize = 256;

/// What an assertion proved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedAssertion {
    /// Who the client is.
    pub client: ClientId,
    /// Its `jti`, to be claimed once.
    pub jti: String,
    /// Its `exp`.
    pub exp: Timestamp,
}

impl VerifiedAssertion {
    /// Until when its `jti` must be remembered: `exp` and the largest skew between our own nodes.
    pub const fn remember_until(&self) -> Timestamp {
        self.exp.plus_secs(MAX_SKEW_SECS)
    }
}

/// Which client an assertion claims to be from, to find its keys by. Proves nothing.
pub fn peek_client_id(token: &str) -> Option<ClientId> {
    let mut members = Members::parse(&Compact::parse(token).ok()?.payload)?;
    let (iss, sub) = (members.text("iss").ok()?, members.text("sub").ok()?);
    if iss == sub { ClientId::parse(&iss).ok() } else { None }
}

/// Verifies an assertion against the client's registered keys. `audiences` are the texts of which
/// one must be its whole `aud`.
///
/// # Errors
/// [`Reject::AssertionRejected`], whatever is wrong with it.
pub fn verify(
    keys: &JwkSet,
    token: &str,
    client: &ClientId,
    audiences: &[&str],
    now: Timestamp,
) -> Result<VerifiedAssertion, Reject> {
    signed_claims(keys, token)
        .and_then(|members| read(members).ok())
        .filter(|claims| {
            RULES.iter().all(|holds| holds(claims, &Expected { client, audiences, now }))
        })
        .map(|claims| VerifiedAssertion {
            client: client.clone(),
            jti: claims.jti,
            exp: claims.exp,
        })
        .ok_or(Reject::AssertionRejected)
}

fn signed_claims(keys: &JwkSet, token: &str) -> Option<Members> {
    let jws = Compact::parse(token).ok()?;
    let algorithm = jws.algorithm().filter(|algorithm| ALGORITHMS.contains(algorithm))?;
    let is_kind = jws
        .typ
        .as_deref()
        .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT") || typ == "client-authentication+jwt");
    if !is_kind {
        return None;
    }
    let key = keys.find(jws.kid.as_deref()?, algorithm)?;
    let verifier = key.key().verifier(algorithm).ok()?;
    if !verifier.verifies(jws.signing_input, &jws.signature) {
        return None;
    }
    Members::parse(&jws.payload)
}

struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: Timestamp,
    iat: Option<Timestamp>,
    nbf: Option<Timestamp>,
    jti: String,
}

fn read(mut members: Members) -> Result<Claims, MemberError> {
    Ok(Claims {
        iss: members.text("iss")?,
        sub: members.text("sub")?,
        aud: sole_audience(members.take("aud")).ok_or(MemberError)?,
        exp: members.time("exp")?,
        iat: members.optional_time("iat")?,
        nbf: members.optional_time("nbf")?,
        jti: members.text("jti")?,
    })
}

/// A string or an array of exactly one: a list that names somebody else too could be replayed there.
fn sole_audience(aud: Option<Value>) -> Option<String> {
    match aud? {
        Value::String(text) => Some(text),
        Value::Array(list) => match <[Value; 1]>::try_from(list) {
            Ok([Value::String(text)]) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

struct Expected<'a> {
    client: &'a ClientId,
    audiences: &'a [&'a str],
    now: Timestamp,
}

type Rule = fn(&Claims, &Expected<'_>) -> bool;

const RULES: &[Rule] = &[
    issuer_is_the_client,
    subject_is_the_client,
    audience_is_ours,
    is_not_expired,
    expires_soon,
    is_issued_already,
    is_valid_already,
    has_a_bounded_id,
];

fn issuer_is_the_client(claims: &Claims, expected: &Expected<'_>) -> bool {
    claims.iss == expected.client.as_str()
}

fn subject_is_the_client(claims: &Claims, expected: &Expected<'_>) -> bool {
    claims.sub == expected.client.as_str()
}

fn audience_is_ours(claims: &Claims, expected: &Expected<'_>) -> bool {
    expected.audiences.contains(&claims.aud.as_str())
}

fn is_not_expired(claims: &Claims, expected: &Expected<'_>) -> bool {
    expected.now < claims.exp
}

fn expires_soon(claims: &Claims, expected: &Expected<'_>) -> bool {
    claims.exp <= expected.now.plus_secs(MAX_AHEAD_SECS + EXP_SKEW_SECS)
}

fn is_issued_already(claims: &Claims, expected: &Expected<'_>) -> bool {
    claims.iat.is_none_or(|iat| iat <= expected.now.plus_secs(MAX_SKEW_SECS) && iat <= claims.exp)
}

fn is_valid_already(claims: &Claims, expected: &Expected<'_>) -> bool {
    claims.nbf.is_none_or(|nbf| nbf <= expected.now.plus_secs(MAX_SKEW_SECS))
}

fn has_a_bounded_id(claims: &Claims, _: &Expected<'_>) -> bool {
    (1..=MAX_JTI).contains(&claims.jti.len())
}
