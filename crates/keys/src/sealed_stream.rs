//! Long content sealed in chunks (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár,
//! 2015, over AES-256-GCM): what a reader hands out stood at this place of this stream, and a stream
//! that was cut, even between two chunks, does not end well. Memory is one chunk.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::seal::{self, NONCE_LEN, SealKey, TAG_LEN};
use crate::{KeyFault, Random};

/// Bytes of a chunk before sealing.
pub const CHUNK: usize = 64 * 1024;
const PREFIX_LEN: usize = NONCE_LEN - 5;

/// Why a stream cannot be read or written on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A chunk is not what was sealed here, or the end is missing.
    #[error("it was cut or changed, or was sealed under another key")]
    Damaged,
    /// More than 2^32 chunks, or the library refused.
    #[error("it cannot be sealed")]
    Sealing,
}

impl From<KeyFault> for StreamError {
    fn from(_: KeyFault) -> Self {
        Self::Sealing
    }
}

/// Chunk counter and end mark make the nonce; the prefix is the stream's own.
struct Nonces {
    prefix: [u8; PREFIX_LEN],
    next: Option<u32>,
}

impl Nonces {
    fn take(&mut self, last: bool) -> Option<[u8; NONCE_LEN]> {
        let counter = self.next?;
        self.next = counter.checked_add(1);
        let mut nonce = [0; NONCE_LEN];
        let bytes = self.prefix.iter().chain(&counter.to_be_bytes()).copied().collect::<Vec<_>>();
        nonce
            .iter_mut()
            .zip(bytes.iter().chain(&[u8::from(last)]))
            .for_each(|(to, from)| *to = *from);
        Some(nonce)
    }
}

/// Seals what is written to it.
pub struct Sealer<W: Write> {
    out: W,
    key: SealKey,
    aad: Vec<u8>,
    nonces: Nonces,
    buffer: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    /// Begins a stream under a key that seals nothing else; every chunk is bound to `aad`.
    ///
    /// # Errors
    /// [`StreamError`] if there is no randomness, or what the system says.
    pub fn new(
        mut out: W,
        key: SealKey,
        aad: &[u8],
        random: &dyn Random,
    ) -> Result<Self, StreamError> {
        let mut prefix = [0; PREFIX_LEN];
        random.fill(&mut prefix)?;
        out.write_all(&prefix)?;
        let buffer = Zeroizing::new(Vec::with_capacity(CHUNK + TAG_LEN));
        Ok(Self { out, key, aad: aad.to_vec(), nonces: Nonces { prefix, next: Some(0) }, buffer })
    }

    /// Adds content.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            if self.buffer.len() == CHUNK {
                // Something follows, so this one is not the last.
                self.flush(false)?;
            }
            let room = CHUNK.saturating_sub(self.buffer.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Ends the stream and gives back where it went.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn finish(mut self) -> Result<W, StreamError> {
        self.flush(true)?;
        Ok(self.out)
    }

    fn flush(&mut self, last: bool) -> Result<(), StreamError> {
        let nonce = self.nonces.take(last).ok_or(StreamError::Sealing)?;
        seal::seal(&self.key, nonce, &self.aad, &mut self.buffer)?;
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Opens what [`Sealer`] wrote.
pub struct Opener<R: Read> {
    from: R,
    key: SealKey,
    aad: Vec<u8>,
    nonces: Nonces,
    /// Sealed bytes read ahead: one byte beyond a chunk says that another follows.
    ahead: Vec<u8>,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn new(mut from: R, key: SealKey, aad: &[u8]) -> Result<Self, StreamError> {
        let mut prefix = [0; PREFIX_LEN];
        from.read_exact(&mut prefix).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StreamError::Damaged,
            _ => StreamError::Io(error),
        })?;
        let ahead = Vec::with_capacity(CHUNK + TAG_LEN + 1);
        let nonces = Nonces { prefix, next: Some(0) };
        Ok(Self { from, key, aad: aad.to_vec(), nonces, ahead, ended: false })
    }

    /// The next chunk; `None` after the last.
    ///
    /// # Errors
    /// [`StreamError::Damaged`] at the first byte that is not what was sealed.
    pub fn next_chunk(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StreamError> {
        const WHOLE: usize = CHUNK + TAG_LEN;
        if self.ended {
            return Ok(None);
        }
        let missing = (WHOLE + 1).saturating_sub(self.ahead.len());
        (&mut self.from).take(missing as u64).read_to_end(&mut self.ahead)?;
        let last = self.ahead.len() <= WHOLE;
        let rest = self.ahead.split_off(self.ahead.len().min(WHOLE));
        let mut chunk = Zeroizing::new(std::mem::replace(&mut self.ahead, rest));
        let nonce = self.nonces.take(last).ok_or(StreamError::Damaged)?;
        seal::open(&self.key, nonce, &self.aad, &mut chunk).map_err(|_| StreamError::Damaged)?;
        self.ended = last;
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    fn key() -> SealKey {
        SealKey::new(&[7; 32]).unwrap()
    }

    fn sealed(text: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), key(), b"head", &SystemRandom).unwrap();
        // In odd pieces.
        text.chunks(1_013).for_each(|piece| sealer.write(piece).unwrap());
        sealer.finish().unwrap()
    }

    fn opened(bytes: &[u8], key: SealKey, aad: &[u8]) -> Result<Vec<u8>, StreamError> {
        let mut opener = Opener::new(bytes, key, aad)?;
        let mut text = Vec::new();
        while let Some(chunk) = opener.next_chunk()? {
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    #[test]
    fn every_length_comes_back_and_no_cut_does() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17] {
            let text: Vec<u8> = (0..=250_u8).cycle().take(len).collect();
            let bytes = sealed(&text);
            assert_eq!(opened(&bytes, key(), b"head").unwrap(), text, "{len}");
            let whole = CHUNK + TAG_LEN;
            let edges = (0..4).map(|n| PREFIX_LEN + n * whole).filter(|cut| *cut < bytes.len());
            for cut in edges.chain([0, 3, bytes.len() - 1]) {
                assert!(opened(&bytes[..cut], key(), b"head").is_err(), "{len} cut at {cut}");
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(opened(&longer, key(), b"head").is_err());
        }
    }

    #[test]
    fn nothing_changed_moved_or_foreign_opens() {
        let text = vec![1; 2 * CHUNK + 5];
        let bytes = sealed(&text);
        for at in (0..bytes.len()).step_by(4_099).chain([0, bytes.len() - 1]) {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert!(opened(&bent, key(), b"head").is_err(), "{at}");
        }
        assert!(opened(&bytes, SealKey::new(&[8; 32]).unwrap(), b"head").is_err());
        assert!(opened(&bytes, key(), b"tail").is_err());
        let (one, two) = (PREFIX_LEN, PREFIX_LEN + CHUNK + TAG_LEN);
        let three = two + CHUNK + TAG_LEN;
        let swapped =
            [&bytes[..one], &bytes[two..three], &bytes[one..two], &bytes[three..]].concat();
        assert!(opened(&swapped, key(), b"head").is_err());
        let dropped = [&bytes[..one], &bytes[two..]].concat();
        assert!(opened(&dropped, key(), b"head").is_err());
    }
}
