//! Ed25519 (RFC 8032) for checkpoints and receipts: keys are 32 bytes, signatures 64.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use domain::Secret;

use crate::{KeyFault, Random, random_bytes};

/// A key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// A new key and the seed to keep it by.
    ///
    /// # Errors
    /// [`KeyFault`] if there is no randomness.
    pub fn generate(random: &dyn Random) -> Result<(Self, Secret<[u8; 32]>), KeyFault> {
        let seed = random_bytes::<32>(random)?;
        Ok((Self::from_seed(seed.expose())?, seed))
    }

    /// The key of this 32-byte seed (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`KeyFault`] unless there are 32 bytes.
    pub fn from_seed(seed: &[u8]) -> Result<Self, KeyFault> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyFault)?;
        Ok(Self { pair, public: VerifyingKey(public) })
    }

    /// The signature of the message.
    ///
    /// # Errors
    /// [`KeyFault`] if the library refuses.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyFault> {
        self.pair.try_sign(message)?.as_ref().try_into().map_err(|_| KeyFault)
    }

    /// The key that verifies what this one signs.
    pub const fn public(&self) -> VerifyingKey {
        self.public
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

/// A key that verifies; its 32 bytes are public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey(pub [u8; 32]);

impl VerifyingKey {
    /// Whether this is this key's signature of the message.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_vector_of_rfc_8032_holds() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap();
        let key = SigningKey::from_seed(&seed).unwrap();
        assert_eq!(
            hex::encode(key.public().0),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let signature = key.sign(b"").unwrap();
        assert!(hex::encode(signature).starts_with("e5564300c360ac729086e2cc806e828a"));
        assert!(key.public().verify(b"", &signature));
        assert!(!key.public().verify(b"x", &signature));
    }

    #[test]
    fn a_kept_seed_gives_the_same_key() {
        let (key, seed) = SigningKey::generate(&crate::SystemRandom).unwrap();
        assert_eq!(SigningKey::from_seed(seed.expose()).unwrap().public(), key.public());
        assert!(SigningKey::from_seed(&[0; 31]).is_err());
    }
}
