//! C2SP signed notes, checkpoints, cosignatures and verifier keys (c2sp.org/signed-note,
//! c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature): text that foreign tools read, and that our
//! own reads strictly. A text that parses was in canonical form, and a signature counts only for the
//! exact key asked about.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keys::KeyFault;
use keys::ed25519::{SigningKey, VerifyingKey};

use crate::tree::Hash;

/// Signature types (c2sp.org/signed-note): a note's own, and a witness's with its time.
const ED25519: u8 = 1;
const COSIGNATURE_V1: u8 = 4;
const MAX_NOTE: usize = 64 * 1024;
const MAX_SIGNATURES: usize = 100;

/// A text is no note, checkpoint or key of the form asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note (a text, a blank line, signature lines)")]
    Note,
    /// Not a checkpoint.
    #[error("not a checkpoint (origin, size, root in base64)")]
    Checkpoint,
    /// Not a verifier key.
    #[error("not a verifier key (name+hash+base64)")]
    Key,
}

/// A named public key: `name+hash+base64` (c2sp.org/signed-note, verifier keys).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
    /// The signature type; one key of two types is two verifier keys.
    signs: u8,
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::Key`] if the name is empty or has a space, a control character or a plus.
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        if name.is_empty()
            || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
        {
            return Err(NoteError::Key);
        }
        Ok(Self { name: name.into(), key, signs: ED25519 })
    }

    /// A witness's key under a name: it signs checkpoints with the time (cosignature/v1).
    ///
    /// # Errors
    /// As [`VerifierKey::new`].
    pub fn cosigner(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        Ok(Self { signs: COSIGNATURE_V1, ..Self::new(name, key)? })
    }

    /// Whether it is a witness's key.
    pub const fn is_cosigner(&self) -> bool {
        self.signs == COSIGNATURE_V1
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`NoteError::Key`] if it is not one, or its hash does not fit.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim_end().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = BASE64.decode(key).map_err(|_| NoteError::Key)?;
        let Some((signs, key)) = bytes.split_first() else { return Err(NoteError::Key) };
        let key = VerifyingKey(key.try_into().map_err(|_| NoteError::Key)?);
        let key = match *signs {
            ED25519 => Self::new(name, key)?,
            COSIGNATURE_V1 => Self::cosigner(name, key)?,
            _ => return Err(NoteError::Key),
        };
        if id == hex_text(&key.id()) { Ok(key) } else { Err(NoteError::Key) }
    }

    /// The key's name; of a stream's stable key, the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    pub const fn key(&self) -> VerifyingKey {
        self.key
    }

    /// The key id: the first four bytes of SHA-256(name ‖ newline ‖ signature type ‖ key).
    pub fn id(&self) -> [u8; 4] {
        let mut sha = keys::Sha256Stream::new();
        sha.update(self.name.as_bytes());
        sha.update(&[b'\n', self.signs]);
        sha.update(&self.key.0);
        let [a, b, c, d, ..] = sha.finish();
        [a, b, c, d]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.signs];
        key.extend_from_slice(&self.key.0);
        write!(f, "{}+{}+{}", self.name, hex_text(&self.id()), BASE64.encode(key))
    }
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One signature line of a note.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A signed text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note; says nothing yet about whether any signature is good.
    ///
    /// # Errors
    /// [`NoteError::Note`] if the text is not one.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let forbidden = |c: char| c.is_control() && c != '\n';
        if note.len() > MAX_NOTE || note.contains(forbidden) {
            return Err(NoteError::Note);
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Note)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Note)?;
        let signatures = lines
            .split('\n')
            .map(signature_line)
            .collect::<Option<Vec<_>>>()
            .ok_or(NoteError::Note)?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Note);
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this key signed the text.
    #[must_use]
    pub fn signed_by(&self, key: &VerifierKey) -> bool {
        if key.is_cosigner() {
            return self.cosigned_by(key).is_some();
        }
        let mut own = self.signatures_of(key).peekable();
        own.peek().is_some() && own.all(|bytes| key.key.verify(self.text.as_bytes(), bytes))
    }

    /// When this witness cosigned the text, in seconds since the epoch; `None` if it did not, or if
    /// any line that claims to be its is not.
    #[must_use]
    pub fn cosigned_by(&self, key: &VerifierKey) -> Option<u64> {
        if !key.is_cosigner() {
            return None;
        }
        let mut latest = None;
        for bytes in self.signatures_of(key) {
            let (time, signature) = bytes.split_first_chunk::<8>()?;
            // c2sp.org/tlog-cosignature: the time must not exceed 2^63 - 1, nor be left out.
            let time = u64::from_be_bytes(*time);
            let sane = time > 0 && i64::try_from(time).is_ok();
            let message = cosigned_text(time, &self.text);
            if !sane || !key.key.verify(message.as_bytes(), signature) {
                return None;
            }
            latest = latest.max(Some(time));
        }
        latest
    }

    /// Whether any line claims to be this key's.
    pub(crate) fn names(&self, key: &VerifierKey) -> bool {
        self.signatures_of(key).next().is_some()
    }

    fn signatures_of(&self, key: &VerifierKey) -> impl Iterator<Item = &[u8]> {
        let (name, id) = (key.name.clone(), key.id());
        let own = self.signatures.iter().filter(move |s| s.name == name && s.id == id);
        own.map(|signature| signature.bytes.as_slice())
    }
}

fn signature_line(line: &str) -> Option<Signature> {
    let (name, bytes) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = BASE64.decode(bytes).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    (!name.is_empty() && !name.contains('+') && !bytes.is_empty()).then(|| Signature {
        name: name.into(),
        id: *id,
        bytes: bytes.to_vec(),
    })
}

/// Signs a text with each key, in order. The text ends with a newline.
pub(crate) fn sign(
    text: &str,
    signers: &[(&VerifierKey, &SigningKey)],
) -> Result<String, KeyFault> {
    let mut note = format!("{text}\n");
    for (key, signer) in signers {
        let mut bytes = key.id().to_vec();
        bytes.extend_from_slice(&signer.sign(text.as_bytes())?);
        note.push_str(&format!("\u{2014} {} {}\n", key.name, BASE64.encode(bytes)));
    }
    Ok(note)
}

/// What a cosignature signs (c2sp.org/tlog-cosignature).
fn cosigned_text(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// The signature line of a witness under a checkpoint's text, at a time in seconds.
pub(crate) fn cosign(
    text: &str,
    (key, signer): (&VerifierKey, &SigningKey),
    time: u64,
) -> Result<String, KeyFault> {
    let mut bytes = key.id().to_vec();
    bytes.extend_from_slice(&time.to_be_bytes());
    bytes.extend_from_slice(&signer.sign(cosigned_text(time, text).as_bytes())?);
    Ok(format!("\u{2014} {} {}\n", key.name, BASE64.encode(bytes)))
}

/// What a checkpoint says: this log had this many leaves and this root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root of the tree of these leaves.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a note (c2sp.org/tlog-checkpoint); extension lines are let be.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`] if it is not one.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Checkpoint);
        };
        let number = size.parse::<u64>().ok().filter(|n| n.to_string() == size);
        let hash = BASE64.decode(root).ok().and_then(|bytes| Hash::try_from(bytes).ok());
        match (number, hash) {
            (Some(size), Some(root)) if !origin.is_empty() => {
                Ok(Self { origin: origin.into(), size, root })
            }
            _ => Err(NoteError::Checkpoint),
        }
    }

    /// The text to be signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }
}

/// What a day key's certificate says: from this tree on, this key signs for this day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DayCertificate {
    pub stream: u32,
    /// Days since the epoch.
    pub day: u32,
    pub key: VerifierKey,
    /// The tree before the record that carries this certificate: the day before, closed.
    pub before: Checkpoint,
}

const DAY_CERTIFICATE: &str = "phiward day key 1";

impl DayCertificate {
    /// The text to be signed, by the stable key and by the key of the day before. Its first three
    /// lines are the closing checkpoint's.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}{DAY_CERTIFICATE}\n{}\n{}\n{}\n",
            self.before.text(),
            self.stream,
            self.day,
            self.key
        )
    }

    pub(crate) fn parse(text: &str) -> Result<Self, NoteError> {
        let before = Checkpoint::parse(text)?;
        let mut lines = text.split('\n').skip(3);
        if lines.next() != Some(DAY_CERTIFICATE) {
            return Err(NoteError::Checkpoint);
        }
        let mut number = || lines.next().and_then(|line| line.parse().ok());
        let (Some(stream), Some(day)) = (number(), number()) else {
            return Err(NoteError::Checkpoint);
        };
        let key = VerifierKey::parse(lines.next().unwrap_or_default())?;
        let certificate = Self { stream, day, key, before };
        if certificate.text() == text { Ok(certificate) } else { Err(NoteError::Checkpoint) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Go module `golang.org/x/mod/sumdb/note`.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_published_example_of_gos_note_package_is_accepted() {
        let key = VerifierKey::parse(GO_KEY).unwrap();
        assert_eq!(key.to_string(), GO_KEY);
        assert!(Note::parse(GO_NOTE).unwrap().signed_by(&key));
        assert!(!Note::parse(&GO_NOTE.replacen("answer", "Answer", 1)).unwrap().signed_by(&key));
    }

    fn signer(seed: u8, name: &str) -> (VerifierKey, SigningKey) {
        let key = SigningKey::from_seed(&[seed; 32]).unwrap();
        (VerifierKey::new(name, key.public()).unwrap(), key)
    }

    #[test]
    fn a_checkpoint_signed_by_two_keys_reads_back_and_counts_for_those_two_only() {
        let (a, a_key) = signer(1, "example.org/log");
        let (b, b_key) = signer(2, "example.org/log/day/2026-11-24");
        let (other, _) = signer(3, "example.org/log");
        let checkpoint = Checkpoint { origin: "example.org/log".into(), size: 9, root: [5; 32] };
        let text = sign(&checkpoint.text(), &[(&a, &a_key), (&b, &b_key)]).unwrap();
        let note = Note::parse(&text).unwrap();
        assert!(note.signed_by(&a) && note.signed_by(&b) && !note.signed_by(&other));
        assert_eq!(Checkpoint::parse(note.text()), Ok(checkpoint));
    }

    #[test]
    fn texts_out_of_form_are_refused() {
        for bad in [
            "",
            "a\n",
            "a\n\n",
            "a\n\nx\n",
            "a\n\n\u{2014} n\n",
            "a\n\n\u{2014} n AAAA",
            "\r\n\n\u{2014} n AAAAAAA=\n",
        ] {
            assert_eq!(Note::parse(bad), Err(NoteError::Note), "{bad:?}");
        }
        for bad in ["o\n01\n", "o\n1\nAAAA\n", "\n1\n", "o\n-1\n"] {
            assert_eq!(Checkpoint::parse(bad), Err(NoteError::Checkpoint), "{bad:?}");
        }
        for bad in ["", "a+b", "a+00000000+AAAA", &GO_KEY.replacen("c74f", "c74e", 1)] {
            assert_eq!(VerifierKey::parse(bad), Err(NoteError::Key), "{bad:?}");
        }
    }

    #[test]
    fn a_day_certificate_reads_back() {
        let (key, _) = signer(1, "example.org/log/day/2026-11-24");
        let before = Checkpoint { origin: "example.org/log".into(), size: 9, root: [5; 32] };
        let certificate = DayCertificate { stream: 1, day: 20_781, key, before };
        assert_eq!(DayCertificate::parse(&certificate.text()), Ok(certificate.clone()));
        assert!(DayCertificate::parse(&format!("{}x\n", certificate.text())).is_err());
    }
}
