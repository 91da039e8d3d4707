//! The signature algorithms that exist here (RFC 7518 §3.1, RFC 8037). `none` and the HMACs have no
//! spelling, so no header can ask for them.

use std::fmt;

/// A JWS `alg`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: access tokens.
    Es256,
    /// ECDSA on P-384 with SHA-384: client assertions (SMART).
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256: id_tokens (SMART).
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384: client assertions (SMART).
    Rs384,
    /// RSASSA-PSS with SHA-256: client assertions (FAPI 2.0).
    Ps256,
    /// Ed25519: client assertions (FAPI 2.0).
    EdDsa,
}

/// The form of a key. Each algorithm works with exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum KeyForm {
    P256,
    P384,
    Rsa,
    Ed25519,
}

impl Algorithm {
    /// Every one.
    pub const ALL: &'static [Self] =
        &[Self::Es256, Self::Es384, Self::Rs256, Self::Rs384, Self::Ps256, Self::EdDsa];

    /// The `alg` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of exactly this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.as_str() == text)
    }

    pub(crate) const fn key_form(self) -> KeyForm {
        match self {
            Self::Es256 => KeyForm::P256,
            Self::Es384 => KeyForm::P384,
            Self::Rs256 | Self::Rs384 | Self::Ps256 => KeyForm::Rsa,
            Self::EdDsa => KeyForm::Ed25519,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
