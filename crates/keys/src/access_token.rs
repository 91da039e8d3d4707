//! Access tokens (RFC 9068, profiled): a token verifies only if it is byte for byte what one of our
//! access-token keys signed, is of this kind, says exactly the claims we write, is for this audience,
//! and its time is now. Any claim that this version does not know is a refusal: it might restrict.

use domain::scope::ScopeSet;
use domain::{ClientId, FhirId, GrantId, PersonId, Reject, Secret, Timestamp, TokenId};
use serde_json::{Map, Value};

use crate::KeyFault;
use crate::json::{MemberError, Members};
use crate::jws::{self, Compact, JwsError};
use crate::signing::{KeyRing, Purpose};

/// The `typ` of an access token (RFC 9068 §2.1).
pub const TYP: &str = "at+jwt";
/// The longest an access token may live, in seconds (`oauth.md`: at most an hour, always).
pub const MAX_LIFETIME_SECS: i64 = 3_600;
/// How far `iat` may lie in the future, in seconds (FAPI 2.0: accept 10, refuse more than 60).
pub const MAX_SKEW_SECS: i64 = 60;

/// Whose authority a token carries: its `sub`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A person who signed in.
    Person(PersonId),
    /// The client itself (client credentials, RFC 9068 §2.2).
    Client(ClientId),
}

impl Subject {
    /// The `sub` value; the two kinds share no text (`PersonId` begins with `p_`).
    pub fn as_str(&self) -> &str {
        match self {
            Self::Person(id) => id.as_str(),
            Self::Client(id) => id.as_str(),
        }
    }

    /// The person, if it is one's.
    pub const fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Person(id) => Some(id),
            Self::Client(_) => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Ok(person) = PersonId::parse(text) {
            return Some(Self::Person(person));
        }
        ClientId::parse(text).ok().filter(|id| !id.is_person_like()).map(Self::Client)
    }
}

/// What an access token says. Times are whole seconds in the token; fractions are cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessTokenClaims {
    /// `iss`: this server's issuer URL.
    pub iss: String,
    /// `sub`.
    pub sub: Subject,
    /// `aud`: the one protected API it is for.
    pub aud: String,
    /// `exp`: dead from this moment on.
    pub exp: Timestamp,
    /// `iat`.
    pub iat: Timestamp,
    /// `jti`.
    pub jti: TokenId,
    /// `client_id` (RFC 8693 §4.3).
    pub client_id: ClientId,
    /// `scope` (RFC 8693 §4.2).
    pub scope: ScopeSet,
    /// `grant`: the grant it stems from, where a person gave one.
    pub grant: Option<GrantId>,
    /// `patient`: the SMART launch context.
    pub patient: Option<FhirId>,
    /// `auth_time`: when the person signed in (RFC 9068 §2.2.1).
    pub auth_time: Option<Timestamp>,
}

/// What a verifier demands.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The one issuer.
    pub issuer: &'a str,
    /// The one audience.
    pub audience: &'a str,
}

/// Signs a token with the ring's access-token key.
///
/// # Errors
/// [`KeyFault`] if the claims break a rule that `verify` would hold against them whenever it looked
/// (lifetime, subject), or if the library refuses.
pub fn sign(ring: &KeyRing, claims: &AccessTokenClaims) -> Result<Secret<String>, KeyFault> {
    if !(lifetime_is_short(claims) && a_client_speaks_for_itself_only(claims)) {
        return Err(KeyFault);
    }
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        members.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("iss", Some(claims.iss.as_str().into()));
    put("sub", Some(claims.sub.as_str().into()));
    put("aud", Some(claims.aud.as_str().into()));
    put("exp", Some(claims.exp.secs().into()));
    put("iat", Some(claims.iat.secs().into()));
    put("jti", Some(claims.jti.as_str().into()));
    put("client_id", Some(claims.client_id.as_str().into()));
    put("scope", Some(claims.scope.to_string().into()));
    put("grant", claims.grant.as_ref().map(|id| id.as_str().into()));
    put("patient", claims.patient.as_ref().map(|id| id.as_str().into()));
    put("auth_time", claims.auth_time.map(|time| time.secs().into()));
    jws::sign(ring.signer(Purpose::AccessToken), TYP, &members)
}

/// Verifies a token; the first rule it breaks is the answer.
///
/// # Errors
/// One of the `Token…` reasons of [`Reject`].
pub fn verify(
    ring: &KeyRing,
    token: &str,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<AccessTokenClaims, Reject> {
    let jws = Compact::parse(token).map_err(|error| match error {
        JwsError::Malformed => Reject::TokenMalformed,
        JwsError::PointsAtKey => Reject::TokenKeyUntrusted,
    })?;
    let algorithm = jws.algorithm().ok_or(Reject::TokenAlgorithm)?;
    if jws.typ.as_deref() != Some(TYP) {
        return Err(Reject::TokenWrongKind);
    }
    if jws.has_more {
        return Err(Reject::TokenMalformed);
    }
    let verifier = jws
        .kid
        .as_deref()
        .and_then(|kid| ring.verifier(Purpose::AccessToken, kid))
        .ok_or(Reject::TokenKeyUntrusted)?;
    if algorithm != Purpose::AccessToken.algorithm() {
        return Err(Reject::TokenAlgorithm);
    }
    if !verifier.verifies(jws.signing_input, &jws.signature) {
        return Err(Reject::TokenSignature);
    }
    let members = Members::parse(&jws.payload).ok_or(Reject::TokenMalformed)?;
    let claims = read(members).map_err(|MemberError| Reject::TokenClaims)?;
    match RULES.iter().find(|(_, holds)| !holds(&claims, expected, now)) {
        Some((reject, _)) => Err(*reject),
        None => Ok(claims),
    }
}

fn read(mut members: Members) -> Result<AccessTokenClaims, MemberError> {
    fn id<T: TryFrom<String>>(text: String) -> Result<T, MemberError> {
        text.try_into().map_err(|_| MemberError)
    }
    let claims = AccessTokenClaims {
        iss: members.text("iss")?,
        sub: Subject::parse(&members.text("sub")?).ok_or(MemberError)?,
        aud: members.text("aud")?,
        exp: members.time("exp")?,
        iat: members.time("iat")?,
        jti: id(members.text("jti")?)?,
        client_id: id(members.text("client_id")?)?,
        scope: id(members.text("scope")?)?,
        grant: members.optional_text("grant")?.map(id).transpose()?,
        patient: members.optional_text("patient")?.map(id).transpose()?,
        auth_time: members.optional_time("auth_time")?,
    };
    if members.is_empty() { Ok(claims) } else { Err(MemberError) }
}

type Rule = fn(&AccessTokenClaims, &Expected<'_>, Timestamp) -> bool;

/// The claim rules, in the order in which they are held against a token.
const RULES: &[(Reject, Rule)] = &[
    (Reject::TokenClaims, issuer_is_ours),
    (Reject::TokenClaims, audience_is_this_one),
    (Reject::TokenClaims, |claims, _, _| a_client_speaks_for_itself_only(claims)),
    (Reject::TokenClaims, |claims, _, _| lifetime_is_short(claims)),
    (Reject::TokenNotYetValid, is_issued_already),
    (Reject::TokenExpired, is_not_expired),
];

fn issuer_is_ours(claims: &AccessTokenClaims, expected: &Expected<'_>, _: Timestamp) -> bool {
    claims.iss == expected.issuer
}

fn audience_is_this_one(claims: &AccessTokenClaims, expected: &Expected<'_>, _: Timestamp) -> bool {
    claims.aud == expected.audience
}

fn a_client_speaks_for_itself_only(claims: &AccessTokenClaims) -> bool {
    match &claims.sub {
        Subject::Person(_) => true,
        Subject::Client(id) => *id == claims.client_id && !id.is_person_like(),
    }
}

fn lifetime_is_short(claims: &AccessTokenClaims) -> bool {
    let (iat, exp) = (claims.iat.secs(), claims.exp.secs());
    iat < exp && exp <= iat.saturating_add(MAX_LIFETIME_SECS)
}

fn is_issued_already(claims: &AccessTokenClaims, _: &Expected<'_>, now: Timestamp) -> bool {
    claims.iat <= now.plus_secs(MAX_SKEW_SECS)
}

fn is_not_expired(claims: &AccessTokenClaims, _: &Expected<'_>, now: Timestamp) -> bool {
    now < claims.exp
}
