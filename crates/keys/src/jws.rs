//! JWS compact serialisation (RFC 7515 §7.1) and nothing else: bounded, base64url in its one
//! canonical spelling, strict JSON. A header that names a key to trust, or that asks for a treatment
//! we do not give, is refused here, so no reader can forget to.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use serde_json::{Map, Value};

use crate::json::Members;
use crate::signing::SigningKey;
use crate::{Algorithm, KeyFault};

/// The longest token that is looked at, in bytes.
pub(crate) const MAX_LEN: usize = 8 * 1024;

/// Header members that point at a key of the sender's choice (RFC 7515 §4.1.2 to §4.1.6).
const KEY_POINTERS: &[&str] = &["jku", "jwk", "x5u", "x5c"];
/// Header members that change how the rest is to be read (RFC 7515 §4.1.11, RFC 7797, RFC 7516).
const TREATMENTS: &[&str] = &["crit", "b64", "enc", "zip", "epk", "p2s", "p2c"];

/// Why a text is no JWS of ours to look at further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JwsError {
    Malformed,
    PointsAtKey,
}

/// A well-formed JWS whose signature nobody has checked yet.
pub(crate) struct Compact<'a> {
    pub(crate) alg: String,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    /// Whether the header says anything else.
    pub(crate) has_more: bool,
    pub(crate) signing_input: &'a [u8],
    pub(crate) signature: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > MAX_LEN {
            return Err(JwsError::Malformed);
        }
        Self::split(token).ok_or(JwsError::Malformed).and_then(|(mut header, rest)| {
            if KEY_POINTERS.iter().any(|name| header.has(name)) {
                return Err(JwsError::PointsAtKey);
            }
            if TREATMENTS.iter().any(|name| header.has(name)) {
                return Err(JwsError::Malformed);
            }
            let malformed = |_| JwsError::Malformed;
            Ok(Self {
                alg: header.text("alg").map_err(malformed)?,
                typ: header.optional_text("typ").map_err(malformed)?,
                kid: header.optional_text("kid").map_err(malformed)?,
                has_more: !header.is_empty(),
                ..rest
            })
        })
    }

    fn split(token: &'a str) -> Option<(Members, Self)> {
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, payload) = signing_input.split_once('.')?;
        // The engine refuses padding, foreign characters (so a further dot too) and loose bits.
        let header = Members::parse(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        let rest = Self {
            alg: String::new(),
            typ: None,
            kid: None,
            has_more: false,
            signing_input: signing_input.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            payload: URL_SAFE_NO_PAD.decode(payload).ok()?,
        };
        Some((header, rest))
    }

    /// The algorithm, if it is one that we know: never `none`, never an HMAC.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::parse(&self.alg)
    }
}

/// Signs claims: `{alg, kid, typ}`, nothing more in the header.
pub(crate) fn sign(
    key: &SigningKey,
    typ: &str,
    claims: &Map<String, Value>,
) -> Result<Secret<String>, KeyFault> {
    let header =
        serde_json::json!({ "alg": key.algorithm().as_str(), "kid": key.kid(), "typ": typ });
    let header = serde_json::to_vec(&header).map_err(|_| KeyFault)?;
    let payload = serde_json::to_vec(claims).map_err(|_| KeyFault)?;
    // Room for all at once: a growing text would leave copies behind.
    let mut token = String::with_capacity((header.len() + payload.len() + 600) / 3 * 4 + 16);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Secret::new(token))
}
