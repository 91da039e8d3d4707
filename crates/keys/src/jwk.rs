//! Public keys as JWK (RFC 7517, RFC 7518 §6, RFC 8037). A set holds only keys that can verify a
//! signature of ours to know: named, strong, on their curve, each name once per form. A private or
//! symmetric key in it is refused with the whole set; keys for other purposes are passed over.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::algorithm::KeyForm;
use crate::json::Members;
use crate::{Algorithm, KeyFault, sha256};

/// Why a text is no usable set of public keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JwkError {
    /// Longer than [`JwkSet::MAX_LEN`] or more keys than [`JwkSet::MAX_KEYS`].
    #[error("the key set is too large")]
    TooLarge,
    /// No JSON, repeated members, no `keys`, or a key that is not one.
    #[error("the key set is malformed")]
    Malformed,
    /// A private or symmetric key.
    #[error("the key set holds a private or symmetric key, which must never leave its owner")]
    Private,
    /// RSA under 2048 or over 8192 bits, or with an exponent other than 65537.
    #[error("the key set holds an RSA key outside 2048 to 8192 bits or with an unusual exponent")]
    Weak,
    /// A key without a `kid`, or with an overlong one.
    #[error("a key in the key set has no usable kid")]
    NoKid,
    /// The same `kid` twice for one form of key.
    #[error("the key set uses a kid twice")]
    DuplicateKid,
    /// Nothing in it could verify a signature.
    #[error("the key set holds no key that can verify a signature")]
    NoUsableKey,
}

/// A public key and its own parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(Form);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Form {
    /// `x ‖ y`, of 64 bytes.
    P256(Vec<u8>),
    /// `x ‖ y`, of 96 bytes.
    P384(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

/// A key that checks signatures of one algorithm, made ready once.
pub(crate) struct Verifier(ParsedPublicKey);

impl Verifier {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

impl PublicKey {
    /// From an uncompressed point, `04 ‖ x ‖ y`.
    pub(crate) fn from_point(form: KeyForm, point: &[u8]) -> Option<Self> {
        let xy = point.strip_prefix(&[4])?.to_vec();
        match form {
            KeyForm::P256 if xy.len() == 64 => Some(Self(Form::P256(xy))),
            KeyForm::P384 if xy.len() == 96 => Some(Self(Form::P384(xy))),
            _ => None,
        }
    }

    pub(crate) fn from_rsa(n: &[u8], e: &[u8]) -> Self {
        Self(Form::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    pub(crate) fn from_ed25519(key: &[u8]) -> Self {
        Self(Form::Ed25519(key.to_vec()))
    }

    pub(crate) const fn form(&self) -> KeyForm {
        match self.0 {
            Form::P256(_) => KeyForm::P256,
            Form::P384(_) => KeyForm::P384,
            Form::Rsa { .. } => KeyForm::Rsa,
            Form::Ed25519(_) => KeyForm::Ed25519,
        }
    }

    /// The checker for one algorithm; a fault if the key is not of its form or not on its curve.
    pub(crate) fn verifier(&self, algorithm: Algorithm) -> Result<Verifier, KeyFault> {
        if self.form() != algorithm.key_form() {
            return Err(KeyFault);
        }
        let point = |xy: &[u8]| [&[4], xy].concat();
        Ok(Verifier(match &self.0 {
            Form::P256(xy) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(xy))?,
            Form::P384(xy) => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point(xy))?,
            Form::Ed25519(key) => ParsedPublicKey::new(&ED25519, key)?,
            Form::Rsa { n, e } => {
                let parameters = match algorithm {
                    Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters)?
            }
        }))
    }

    /// The members that RFC 7638 §3.2 requires, in the order in which it wants them.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let coded = |bytes: &[u8]| Value::String(URL_SAFE_NO_PAD.encode(bytes));
        let curve = |crv: &str, xy: &[u8]| {
            let (x, y) = xy.split_at(xy.len() / 2);
            vec![("crv", crv.into()), ("kty", "EC".into()), ("x", coded(x)), ("y", coded(y))]
        };
        let members = match &self.0 {
            Form::P256(xy) => curve("P-256", xy),
            Form::P384(xy) => curve("P-384", xy),
            Form::Rsa { n, e } => vec![("e", coded(e)), ("kty", "RSA".into()), ("n", coded(n))],
            Form::Ed25519(x) => {
                vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", coded(x))]
            }
        };
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The key's SHA-256 thumbprint (RFC 7638), 43 characters of base64url.
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(Value::Object(self.members()).to_string().as_bytes()))
    }
}

/// A named public key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jwk {
    kid: String,
    algorithm: Option<Algorithm>,
    key: PublicKey,
}

impl Jwk {
    /// Its `kid`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key itself.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.key.form() == algorithm.key_form() && self.algorithm.is_none_or(|a| a == algorithm)
    }
}

/// A set of public keys (RFC 7517 §5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwkSet(Vec<Jwk>);

/// Members that make a key private (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2; RFC 9964).
const PRIVATE_MEMBERS: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
const MAX_KID: usize = 128;

impl JwkSet {
    /// The longest text that is read, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;
    /// The most keys in a set.
    pub const MAX_KEYS: usize = 32;

    /// Reads a set.
    ///
    /// # Errors
    /// [`JwkError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, JwkError> {
        if text.len() > Self::MAX_LEN {
            return Err(JwkError::TooLarge);
        }
        let mut set = Members::parse(text.as_bytes()).ok_or(JwkError::Malformed)?;
        let Some(Value::Array(values)) = set.take("keys") else {
            return Err(JwkError::Malformed);
        };
        if values.len() > Self::MAX_KEYS {
            return Err(JwkError::TooLarge);
        }
        let mut keys: Vec<Jwk> = Vec::new();
        for value in values {
            let members = Members::from_value(value).ok_or(JwkError::Malformed)?;
            if let Some(key) = read(members)? {
                if keys.iter().any(|k| k.kid == key.kid && k.key.form() == key.key.form()) {
                    return Err(JwkError::DuplicateKid);
                }
                keys.push(key);
            }
        }
        if keys.is_empty() { Err(JwkError::NoUsableKey) } else { Ok(Self(keys)) }
    }

    /// The one key of this name that works with this algorithm.
    pub fn find(&self, kid: &str, algorithm: Algorithm) -> Option<&Jwk> {
        self.0.iter().find(|key| key.kid == kid && key.fits(algorithm))
    }

    /// Every key.
    pub fn iter(&self) -> impl Iterator<Item = &Jwk> {
        self.0.iter()
    }
}

/// One key; `None` if it serves something else than signatures that we know.
fn read(mut members: Members) -> Result<Option<Jwk>, JwkError> {
    let text =
        |members: &mut Members, name| members.optional_text(name).map_err(|_| JwkError::Malformed);
    let kty = text(&mut members, "kty")?.ok_or(JwkError::Malformed)?;
    if kty == "oct" || PRIVATE_MEMBERS.iter().any(|name| members.has(name)) {
        return Err(JwkError::Private);
    }
    let verifies = match members.take("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|op| op == "verify"),
        Some(_) => return Err(JwkError::Malformed),
    };
    let algorithm = text(&mut members, "alg")?.map(|alg| Algorithm::parse(&alg));
    let for_signatures = text(&mut members, "use")?.is_none_or(|u| u == "sig");
    let crv = text(&mut members, "crv")?;
    let form = match (kty.as_str(), crv.as_deref()) {
        ("EC", Some("P-256")) => KeyForm::P256,
        ("EC", Some("P-384")) => KeyForm::P384,
        ("OKP", Some("Ed25519")) => KeyForm::Ed25519,
        ("RSA", _) => KeyForm::Rsa,
        _ => return Ok(None),
    };
    let algorithm = match algorithm {
        None => None,
        Some(Some(known)) if known.key_form() == form => Some(known),
        Some(_) => return Ok(None),
    };
    if !verifies || !for_signatures {
        return Ok(None);
    }
    let kid = text(&mut members, "kid")?.filter(|kid| (1..=MAX_KID).contains(&kid.len()));
    let kid = kid.ok_or(JwkError::NoKid)?;
    let mut coded = |name| {
        text(&mut members, name)?
            .and_then(|value| URL_SAFE_NO_PAD.decode(value).ok())
            .ok_or(JwkError::Malformed)
    };
    let key = match form {
        KeyForm::P256 | KeyForm::P384 => {
            let (x, y) = (coded("x")?, coded("y")?);
            if x.len() != y.len() {
                return Err(JwkError::Malformed);
            }
            let point = [&[4], x.as_slice(), &y].concat();
            PublicKey::from_point(form, &point).ok_or(JwkError::Malformed)?
        }
        KeyForm::Ed25519 => PublicKey::from_ed25519(&coded("x")?),
        KeyForm::Rsa => {
            let (n, e) = (coded("n")?, coded("e")?);
            let strong = n.first().is_some_and(|first| *first >= 0x80)
                && (256..=1024).contains(&n.len())
                && e == [1, 0, 1];
            if !strong {
                return Err(JwkError::Weak);
            }
            PublicKey::from_rsa(&n, &e)
        }
    };
    let probe = algorithm.or_else(|| Algorithm::ALL.iter().copied().find(|a| a.key_form() == form));
    // A point off its curve shows now, not at the first signature.
    probe.ok_or(KeyFault).and_then(|a| key.verifier(a)).map_err(|_| JwkError::Malformed)?;
    Ok(Some(Jwk { kid, algorithm, key }))
}
