//! AES-256-GCM (NIST SP 800-38D). What opens was sealed under this key with this associated data;
//! anything else is a [`KeyFault`]. With `seal` the caller answers for the nonce never repeating
//! under a key; `seal_random` draws it, for keys that seal fewer than 2^32 messages.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{KeyFault, Random};

/// Bytes that sealing adds with a nonce of the caller's: the tag.
pub const TAG_LEN: usize = 16;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// A sealing key. The library wipes it on drop.
pub struct SealKey(LessSafeKey);

impl SealKey {
    /// From 32 bytes of key material.
    ///
    /// # Errors
    /// [`KeyFault`] if the library refuses.
    pub fn new(bytes: &[u8; 32]) -> Result<Self, KeyFault> {
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes)?)))
    }

    /// From a slice, as `custody` unwraps it.
    ///
    /// # Errors
    /// [`KeyFault`] unless there are 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyFault> {
        Self::new(bytes.try_into().map_err(|_| KeyFault)?)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Seals in place and appends the tag.
///
/// # Errors
/// [`KeyFault`] if the library refuses; the buffer must then be thrown away.
pub fn seal(
    key: &SealKey,
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    text: &mut Vec<u8>,
) -> Result<(), KeyFault> {
    key.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), text)?;
    Ok(())
}

/// Opens in place and takes the tag off.
///
/// # Errors
/// [`KeyFault`] unless it was sealed under this key, nonce and associated data; the buffer is then
/// emptied.
pub fn open(
    key: &SealKey,
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), KeyFault> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    match key.0.open_in_place(nonce, Aad::from(aad), sealed).map(|text| text.len()) {
        Ok(len) => {
            sealed.truncate(len);
            Ok(())
        }
        Err(_) => {
            sealed.clear();
            Err(KeyFault)
        }
    }
}

/// Seals a copy under a fresh random nonce: `nonce ‖ ciphertext ‖ tag`.
///
/// # Errors
/// [`KeyFault`] if there is no randomness or the library refuses.
pub fn seal_random(
    key: &SealKey,
    random: &dyn Random,
    aad: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, KeyFault> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce)?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + text.len() + TAG_LEN);
    sealed.extend_from_slice(&nonce);
    let mut body = Vec::with_capacity(text.len() + TAG_LEN);
    body.extend_from_slice(text);
    seal(key, nonce, aad, &mut body)?;
    sealed.append(&mut body);
    Ok(sealed)
}

/// Opens what [`seal_random`] made.
///
/// # Errors
/// [`KeyFault`] unless it was sealed under this key and associated data.
pub fn open_random(key: &SealKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyFault> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(KeyFault)?;
    let mut text = body.to_vec();
    open(key, *nonce, aad, &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn any_changed_bit_of_text_nonce_tag_or_data_fails_to_open() {
        let key = SealKey::new(&[7; 32]).unwrap();
        let sealed = seal_random(&key, &SystemRandom, b"row 1", b"Amina").unwrap();
        assert_eq!(open_random(&key, b"row 1", &sealed).unwrap(), b"Amina");
        for byte in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[byte] ^= 1 << bit;
                assert_eq!(open_random(&key, b"row 1", &changed), Err(KeyFault));
            }
        }
        assert_eq!(open_random(&key, b"row 2", &sealed), Err(KeyFault));
        assert_eq!(open_random(&SealKey::new(&[8; 32]).unwrap(), b"row 1", &sealed), Err(KeyFault));
        for len in 0..sealed.len() {
            assert_eq!(open_random(&key, b"row 1", &sealed[..len]), Err(KeyFault));
        }
    }

    #[test]
    fn a_known_answer_holds() {
        // NIST GCM test case 14: zero key, zero nonce, 16 zero bytes.
        let key = SealKey::new(&[0; 32]).unwrap();
        let mut text = vec![0; 16];
        seal(&key, [0; 12], b"", &mut text).unwrap();
        assert_eq!(
            hex::encode(&text),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        );
        open(&key, [0; 12], b"", &mut text).unwrap();
        assert_eq!(text, vec![0; 16]);
    }
}
