//! Signing keys and the ring that holds them. A key signs with the one algorithm it was made for, is
//! named by its thumbprint (RFC 7638), and in the ring it has one purpose: an access token is never
//! checked with the id_token's key, nor the other way round.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use serde_json::{Value, json};

use crate::algorithm::KeyForm;
use crate::jwk::{Jwk, PublicKey, Verifier};
use crate::{Algorithm, KeyFault};

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ed25519(Ed25519KeyPair),
}

/// A private key for one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    kid: String,
    public: PublicKey,
    pair: Pair,
}

impl SigningKey {
    /// A new key; RSA has 2048 bits. The library draws the randomness itself.
    ///
    /// # Errors
    /// [`KeyFault`] if the library fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyFault> {
        let pair = match algorithm.key_form() {
            KeyForm::P256 | KeyForm::P384 => {
                Pair::Ec(EcdsaKeyPair::generate(ecdsa(algorithm).ok_or(KeyFault)?)?)
            }
            KeyForm::Rsa => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?, rsa(algorithm)),
            KeyForm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate()?),
        };
        Self::from_pair(algorithm, pair)
    }

    /// A kept key.
    ///
    /// # Errors
    /// [`KeyFault`] if it is no PKCS#8 key (RFC 5208) of the algorithm's form.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyFault> {
        let pair = match algorithm.key_form() {
            KeyForm::P256 | KeyForm::P384 => {
                Pair::Ec(EcdsaKeyPair::from_pkcs8(ecdsa(algorithm).ok_or(KeyFault)?, der)?)
            }
            KeyForm::Rsa => Pair::Rsa(RsaKeyPair::from_pkcs8(der)?, rsa(algorithm)),
            KeyForm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)?),
        };
        Self::from_pair(algorithm, pair)
    }

    fn from_pair(algorithm: Algorithm, pair: Pair) -> Result<Self, KeyFault> {
        let public = match &pair {
            Pair::Ec(pair) => {
                PublicKey::from_point(algorithm.key_form(), pair.public_key().as_ref())
                    .ok_or(KeyFault)?
            }
            Pair::Rsa(pair, _) => {
                let key = pair.public_key();
                PublicKey::from_rsa(
                    key.modulus().big_endian_without_leading_zero(),
                    key.exponent().big_endian_without_leading_zero(),
                )
            }
            Pair::Ed25519(pair) => PublicKey::from_ed25519(pair.public_key().as_ref()),
        };
        Ok(Self { algorithm, kid: public.thumbprint(), public, pair })
    }

    /// The key to keep, PKCS#8 DER (RFC 5208): for sealing only.
    ///
    /// # Errors
    /// [`KeyFault`] if the library refuses.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeyFault> {
        let bytes = match &self.pair {
            Pair::Ec(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Pair::Rsa(pair, _) => pair.as_der()?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
        };
        Ok(Secret::new(bytes))
    }

    /// The signature in the form that JWS wants (RFC 7518 §3.4 for ECDSA).
    ///
    /// # Errors
    /// [`KeyFault`] if the library refuses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let rng = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => Ok(pair.sign(&rng, message)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &rng, message, &mut signature)?;
                Ok(signature)
            }
        }
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name, the public key's thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The whole key as a JWK (RFC 7518 §6.2.2), to be handed to the owner of an elliptic-curve key.
    ///
    /// # Errors
    /// [`KeyFault`] for other forms, or if the library refuses.
    pub fn private_jwk(&self) -> Result<Secret<String>, KeyFault> {
        let Pair::Ec(pair) = &self.pair else { return Err(KeyFault) };
        let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
        let mut jwk = self.public_jwk();
        let members = jwk.as_object_mut().ok_or(KeyFault)?;
        members.insert("d".to_owned(), URL_SAFE_NO_PAD.encode(d.as_ref()).into());
        Ok(Secret::new(jwk.to_string()))
    }

    /// Its public half as a JWK with `use`, `alg` and `kid`.
    pub fn public_jwk(&self) -> Value {
        published(&self.public, self.algorithm, &self.kid)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm, self.kid)
    }
}

fn ecdsa(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        Algorithm::Es256 => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        _ => None,
    }
}

fn rsa(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm {
        Algorithm::Rs384 => &RSA_PKCS1_SHA384,
        Algorithm::Ps256 => &RSA_PSS_SHA256,
        _ => &RSA_PKCS1_SHA256,
    }
}

fn published(key: &PublicKey, algorithm: Algorithm, kid: &str) -> Value {
    let mut members = key.members();
    members.insert("use".to_owned(), "sig".into());
    members.insert("alg".to_owned(), algorithm.as_str().into());
    members.insert("kid".to_owned(), kid.into());
    Value::Object(members)
}

/// What a key of the ring is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// Access tokens, ES256.
    AccessToken,
    /// id_tokens, RS256.
    IdToken,
}

impl Purpose {
    /// The algorithm of this purpose's keys.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::AccessToken => Algorithm::Es256,
            Self::IdToken => Algorithm::Rs256,
        }
    }
}

/// A key of ours that still verifies.
struct Trusted {
    purpose: Purpose,
    kid: String,
    public: PublicKey,
    verifier: Verifier,
}

/// The server's own keys: one that signs for each purpose, and all that still verify.
pub struct KeyRing {
    access_token: SigningKey,
    id_token: SigningKey,
    trusted: Vec<Trusted>,
}

/// The first byte of a kept ring.
const FORMAT: u8 = 1;

impl KeyRing {
    /// A ring of new keys. The RSA key takes most of the time, tens to hundreds of milliseconds.
    ///
    /// # Errors
    /// [`KeyFault`] if the library fails.
    pub fn generate() -> Result<Self, KeyFault> {
        Self::new(
            SigningKey::generate(Purpose::AccessToken.algorithm())?,
            SigningKey::generate(Purpose::IdToken.algorithm())?,
        )
    }

    /// A ring of these keys.
    ///
    /// # Errors
    /// [`KeyFault`] unless each has the algorithm of its purpose.
    pub fn new(access_token: SigningKey, id_token: SigningKey) -> Result<Self, KeyFault> {
        let trusted = [(Purpose::AccessToken, &access_token), (Purpose::IdToken, &id_token)]
            .into_iter()
            .filter(|(purpose, key)| key.algorithm == purpose.algorithm())
            .map(|(purpose, key)| Trusted::new(purpose, &key.public))
            .collect::<Result<Vec<_>, _>>()?;
        if trusted.len() != 2 {
            return Err(KeyFault);
        }
        Ok(Self { access_token, id_token, trusted })
    }

    /// Goes on trusting a key that no longer signs; it stands in the published set as well.
    ///
    /// # Errors
    /// [`KeyFault`] if the key does not fit the purpose or its `kid` is not its thumbprint.
    pub fn also_trusting(mut self, purpose: Purpose, key: &Jwk) -> Result<Self, KeyFault> {
        let trusted = Trusted::new(purpose, key.key())?;
        if trusted.kid != key.kid() {
            return Err(KeyFault);
        }
        if !self.trusted.iter().any(|t| t.purpose == purpose && t.kid == trusted.kid) {
            self.trusted.push(trusted);
        }
        Ok(self)
    }

    /// The signing keys in one piece, to be sealed and kept.
    ///
    /// # Errors
    /// [`KeyFault`] if the library refuses.
    pub fn to_bytes(&self) -> Result<Secret<Vec<u8>>, KeyFault> {
        let keys = [self.access_token.to_pkcs8()?, self.id_token.to_pkcs8()?];
        let room = 1 + keys.iter().map(|key| 4 + key.expose().len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(room);
        bytes.push(FORMAT);
        for key in &keys {
            let length = u32::try_from(key.expose().len()).map_err(|_| KeyFault)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(key.expose());
        }
        Ok(Secret::new(bytes))
    }

    /// The ring that [`KeyRing::to_bytes`] kept.
    ///
    /// # Errors
    /// [`KeyFault`] if it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyFault> {
        let rest = bytes.strip_prefix(&[FORMAT]).ok_or(KeyFault)?;
        let (access_token, rest) = take(rest)?;
        let (id_token, rest) = take(rest)?;
        if !rest.is_empty() {
            return Err(KeyFault);
        }
        Self::new(
            SigningKey::from_pkcs8(Purpose::AccessToken.algorithm(), access_token)?,
            SigningKey::from_pkcs8(Purpose::IdToken.algorithm(), id_token)?,
        )
    }

    /// The published key set (RFC 7517 §5): public halves with `use`, `alg` and `kid`.
    pub fn jwks(&self) -> Value {
        let keys: Vec<_> = self
            .trusted
            .iter()
            .map(|key| published(&key.public, key.purpose.algorithm(), &key.kid))
            .collect();
        json!({ "keys": keys })
    }

    pub(crate) const fn signer(&self, purpose: Purpose) -> &SigningKey {
        match purpose {
            Purpose::AccessToken => &self.access_token,
            Purpose::IdToken => &self.id_token,
        }
    }

    pub(crate) fn verifier(&self, purpose: Purpose, kid: &str) -> Option<&Verifier> {
        self.trusted
            .iter()
            .find(|key| key.purpose == purpose && key.kid == kid)
            .map(|key| &key.verifier)
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.trusted.iter().map(|key| (key.purpose, &key.kid))).finish()
    }
}

impl Trusted {
    fn new(purpose: Purpose, public: &PublicKey) -> Result<Self, KeyFault> {
        let verifier = public.verifier(purpose.algorithm())?;
        Ok(Self { purpose, kid: public.thumbprint(), public: public.clone(), verifier })
    }
}

fn take(bytes: &[u8]) -> Result<(&[u8], &[u8]), KeyFault> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(KeyFault)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| KeyFault)?;
    rest.split_at_checked(length).ok_or(KeyFault)
}
