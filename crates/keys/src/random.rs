//! Randomness as a parameter, and the one fault of this room.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;

/// The cryptographic library refused or failed; it never says why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a cryptographic operation failed")]
pub struct KeyFault;

impl From<aws_lc_rs::error::Unspecified> for KeyFault {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

impl From<aws_lc_rs::error::KeyRejected> for KeyFault {
    fn from(_: aws_lc_rs::error::KeyRejected) -> Self {
        Self
    }
}

/// A source of unpredictable bytes.
pub trait Random: Send + Sync {
    /// Fills the buffer.
    ///
    /// # Errors
    /// [`KeyFault`] if there is no randomness to be had; the buffer's content is then undefined.
    fn fill(&self, buf: &mut [u8]) -> Result<(), KeyFault>;
}

impl<R: Random + ?Sized> Random for std::sync::Arc<R> {
    fn fill(&self, buf: &mut [u8]) -> Result<(), KeyFault> {
        (**self).fill(buf)
    }
}

/// The operating system's randomness, by way of the library's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), KeyFault> {
        Ok(aws_lc_rs::rand::fill(buf)?)
    }
}

/// `N` unpredictable bytes, wiped on drop: a fresh symmetric key is `random_bytes::<32>`.
///
/// # Errors
/// [`KeyFault`] if there is no randomness to be had.
pub fn random_bytes<const N: usize>(random: &dyn Random) -> Result<Secret<[u8; N]>, KeyFault> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    let secret = Secret::new(bytes);
    zeroize::Zeroize::zeroize(&mut bytes);
    Ok(secret)
}

/// A fresh public name: a prefix and 128 unpredictable bits in base64url. No secret, but no guess.
///
/// # Errors
/// [`KeyFault`] if there is no randomness to be had.
pub fn random_id(prefix: &str, random: &dyn Random) -> Result<String, KeyFault> {
    let bytes = random_bytes::<16>(random)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes.expose())))
}
