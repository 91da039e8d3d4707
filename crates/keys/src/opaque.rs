//! Opaque credentials: 256 random bits behind a prefix that names the kind, with a checksum so that
//! a scanner and a typing error are told apart from a guess. A credential of one kind does not parse
//! as another. What is stored is a keyed hash, and the kind is part of what is hashed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use zeroize::Zeroizing;

use crate::{KeyFault, Random, constant_time_eq, hmac_sha256, random_bytes, sha256};

/// The kinds of opaque credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OpaqueKind {
    /// An authorization code.
    Code,
    /// A refresh token.
    Refresh,
    /// A sign-in session's cookie.
    Session,
    /// A client secret.
    ClientSecret,
    /// The name of an authorization request that waits for a person.
    Flow,
    /// A browser's cookie, to which its authorization requests are tied.
    Browser,
    /// A token for the admin API.
    Admin,
}

impl OpaqueKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Code,
        Self::Refresh,
        Self::Session,
        Self::ClientSecret,
        Self::Flow,
        Self::Browser,
        Self::Admin,
    ];

    /// What every credential of the kind begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Code => "phc_",
            Self::Refresh => "phr_",
            Self::Session => "phs_",
            Self::ClientSecret => "phk_",
            Self::Flow => "phf_",
            Self::Browser => "phb_",
            Self::Admin => "pha_",
        }
    }
}

/// A well-formed opaque credential of a known kind: `phc_`, 43 characters, 6 of checksum.
#[derive(Clone, Debug)]
pub struct Opaque {
    kind: OpaqueKind,
    text: Secret<String>,
}

/// Characters of the random part: 256 bits of base64url.
const BODY: usize = 43;
/// Characters of the checksum.
const CHECK: usize = 6;

impl Opaque {
    /// A new one.
    ///
    /// # Errors
    /// [`KeyFault`] if there is no randomness.
    pub fn generate(kind: OpaqueKind, random: &dyn Random) -> Result<Self, KeyFault> {
        Ok(Self::from_bytes(kind, random_bytes::<32>(random)?.expose()))
    }

    /// The one of these 256 bits, which must be unpredictable: for credentials that are derived.
    pub fn from_bytes(kind: OpaqueKind, bytes: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(kind.prefix().len() + BODY + CHECK);
        text.push_str(kind.prefix());
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        let check = checksum(text.as_bytes());
        text.extend(check.chars().take(CHECK));
        Self { kind, text: Secret::new(text) }
    }

    /// Reads a credential of one kind: prefix, length, alphabet and checksum.
    pub fn parse(kind: OpaqueKind, text: &str) -> Option<Self> {
        let (head, check) = text.split_at_checked(kind.prefix().len() + BODY)?;
        let body = head.strip_prefix(kind.prefix())?;
        let mut bytes = Zeroizing::new([0; 32]);
        // The engine refuses padding, foreign characters and loose trailing bits.
        let read = URL_SAFE_NO_PAD.decode_slice(body, &mut *bytes).ok()?;
        let expected: String = checksum(head.as_bytes()).chars().take(CHECK).collect();
        (read == 32 && constant_time_eq(check.as_bytes(), expected.as_bytes()))
            .then(|| Self { kind, text: Secret::new(text.to_owned()) })
    }

    /// Which kind it is.
    pub const fn kind(&self) -> OpaqueKind {
        self.kind
    }

    /// The credential itself, to be handed to its owner once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

fn checksum(head: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(head))
}

/// What is stored in a credential's place; prints as hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Equality in constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

/// The key under which credentials are hashed: a stolen database lets nobody test guesses.
#[derive(Debug)]
pub struct HashKey(Secret<[u8; 32]>);

impl HashKey {
    /// Takes custody of the key material.
    pub const fn new(bytes: Secret<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// From a slice, as `custody` unwraps it.
    ///
    /// # Errors
    /// [`KeyFault`] unless there are 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyFault> {
        bytes.try_into().map(|bytes| Self(Secret::new(bytes))).map_err(|_| KeyFault)
    }

    /// The hash of a credential; its kind is part of the input.
    pub fn hash(&self, opaque: &Opaque) -> TokenHash {
        self.keyed(b"opaque", opaque.kind.prefix(), opaque.expose())
    }

    /// The hash of some other text (a `jti`, a username) for one purpose.
    pub fn hash_text(&self, purpose: &str, text: &str) -> TokenHash {
        self.keyed(b"text", purpose, text)
    }

    fn keyed(&self, domain: &[u8], purpose: &str, text: &str) -> TokenHash {
        // The length keeps purpose and text apart whatever is in them.
        let length = (purpose.len() as u64).to_be_bytes();
        TokenHash(hmac_sha256(
            self.0.expose(),
            &[domain, &[0], &length, purpose.as_bytes(), text.as_bytes()],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn a_credential_parses_as_its_own_kind_only() {
        for &kind in OpaqueKind::ALL {
            let opaque = Opaque::generate(kind, &SystemRandom).unwrap();
            assert_eq!(opaque.expose().len(), 53);
            for &other in OpaqueKind::ALL {
                assert_eq!(Opaque::parse(other, opaque.expose()).is_some(), other == kind);
            }
        }
    }

    #[test]
    fn any_changed_bit_truncation_or_extension_fails_to_parse() {
        let opaque = Opaque::from_bytes(OpaqueKind::Code, &[0xA5; 32]);
        let text = opaque.expose().as_bytes();
        for byte in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.to_vec();
                changed[byte] ^= 1 << bit;
                if let Ok(changed) = String::from_utf8(changed) {
                    assert!(Opaque::parse(OpaqueKind::Code, &changed).is_none(), "{changed}");
                }
            }
        }
        for len in 0..text.len() {
            assert!(
                Opaque::parse(OpaqueKind::Code, std::str::from_utf8(&text[..len]).unwrap())
                    .is_none()
            );
        }
        assert!(Opaque::parse(OpaqueKind::Code, &format!("{}x", opaque.expose())).is_none());
        assert!(Opaque::parse(OpaqueKind::Code, &"é".repeat(30)).is_none());
    }

    #[test]
    fn hashes_differ_by_kind_purpose_and_key() {
        let key = HashKey::new(Secret::new([1; 32]));
        let code = Opaque::from_bytes(OpaqueKind::Code, &[9; 32]);
        let refresh = Opaque::from_bytes(OpaqueKind::Refresh, &[9; 32]);
        assert_ne!(key.hash(&code), key.hash(&refresh));
        assert_ne!(key.hash_text("ab", "c"), key.hash_text("a", "bc"));
        assert_ne!(key.hash(&code), HashKey::new(Secret::new([2; 32])).hash(&code));
        let hash = key.hash(&code);
        assert_eq!(TokenHash::parse(&hash.to_string()), Some(hash));
        assert!(TokenHash::parse(&hash.to_string()).unwrap().is(&hash));
    }

    #[test]
    fn a_credential_does_not_print() {
        let opaque = Opaque::from_bytes(OpaqueKind::Code, &[9; 32]);
        assert!(!format!("{opaque:?}").contains("CQkJ"));
    }
}
