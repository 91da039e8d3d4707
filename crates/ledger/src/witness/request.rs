//! The body of `add-checkpoint` (c2sp.org/tlog-witness). What parses was in canonical form, and
//! nothing larger than its bounds was ever allocated for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::note::{Checkpoint, Note};
use crate::tree::Hash;

/// The largest body, in bytes.
pub const MAX_REQUEST: usize = 16 * 1024;
/// The longest consistency proof, in hashes.
pub const MAX_PROOF: usize = 63;
/// 32 bytes in base64.
const HASH_TEXT: usize = 44;

/// A body that is no request; the answer is 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_REQUEST`].
    #[error("the body is too large")]
    TooLarge,
    /// Not UTF-8.
    #[error("the body is not text")]
    NotText,
    /// No `old N` line in canonical form.
    #[error("the first line must be `old` and a size")]
    OldSize,
    /// A proof line that is no hash, or too many of them.
    #[error("a consistency proof is at most 63 lines, each a hash in base64")]
    Proof,
    /// What follows the blank line is no signed checkpoint.
    #[error("a signed checkpoint must follow the blank line")]
    Checkpoint,
    /// The old size is larger than the checkpoint's.
    #[error("the old size is larger than the checkpoint's")]
    OldLarger,
}

/// A request to cosign a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The size that the witness is thought to hold.
    pub old: u64,
    /// The proof from there to the checkpoint's size.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: Note,
    /// Its text, as it came.
    pub raw: String,
    /// What it says.
    pub checkpoint: Checkpoint,
}

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > MAX_REQUEST {
            return Err(Malformed::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| Malformed::NotText)?;
        let (head, note) = text.split_once("\n\n").ok_or(Malformed::Checkpoint)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.and_then(size).ok_or(Malformed::OldSize)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF {
                return Err(Malformed::Proof);
            }
            proof.push(hash(line).ok_or(Malformed::Proof)?);
        }
        let raw = note.to_owned();
        let note = Note::parse(note).map_err(|_| Malformed::Checkpoint)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|_| Malformed::Checkpoint)?;
        // c2sp.org/tlog-checkpoint: every line is non-empty; no tree has 2^63 leaves.
        let lines = note.text().strip_suffix('\n').unwrap_or_default();
        if lines.split('\n').any(str::is_empty) || i64::try_from(checkpoint.size).is_err() {
            return Err(Malformed::Checkpoint);
        }
        Ok(Self { old, proof, note, raw, checkpoint })
    }

    /// Writes a body; `note` is a signed checkpoint.
    pub fn body(old: u64, proof: &[Hash], note: &str) -> String {
        let mut body = format!("old {old}\n");
        for hash in proof {
            body.push_str(&BASE64.encode(hash));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(note);
        body
    }
}

/// A size in canonical decimal.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

fn hash(line: &str) -> Option<Hash> {
    if line.len() != HASH_TEXT {
        return None;
    }
    BASE64.decode(line).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of c2sp.org/tlog-witness.
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn the_published_example_reads_and_writes_back() {
        let request = Request::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.checkpoint.size, 20_852_163);
        let (_, note) = EXAMPLE.split_once("\n\n").unwrap();
        assert_eq!(Request::body(request.old, &request.proof, note), EXAMPLE);
    }

    #[test]
    fn bodies_out_of_form_are_named_for_what_is_wrong() {
        let proof_line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
        let with_proof = |lines: usize| EXAMPLE.replacen(proof_line, &proof_line.repeat(lines), 1);
        // Three lines of the example stay.
        assert!(Request::parse(with_proof(60).as_bytes()).is_ok());
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        for (body, error) in [
            (String::new(), Malformed::Checkpoint),
            (EXAMPLE.replacen("old 20852014", "old 020852014", 1), Malformed::OldSize),
            (EXAMPLE.replacen("old 20852014", "old +1", 1), Malformed::OldSize),
            (EXAMPLE.replacen("old 20852014", "old  1", 1), Malformed::OldSize),
            (EXAMPLE.replacen("old 20852014", "OLD 1", 1), Malformed::OldSize),
            (EXAMPLE.replacen("20852014", "99999999999999999999", 1), Malformed::OldSize),
            (with_proof(61), Malformed::Proof),
            (EXAMPLE.replacen("PlRN", "PlR", 1), Malformed::Proof),
            (EXAMPLE.replacen("kaw=", "kax=", 1), Malformed::Proof),
            (EXAMPLE.replace('\n', "\r\n"), Malformed::Checkpoint),
            (EXAMPLE.replacen(root, &format!("{root}\n"), 1), Malformed::Checkpoint),
            (EXAMPLE.replacen("20852163", "9223372036854775808", 1), Malformed::Checkpoint),
            (EXAMPLE.replacen("20852163", "020852163", 1), Malformed::Checkpoint),
            (EXAMPLE.trim_end().to_owned(), Malformed::Checkpoint),
            (format!("{EXAMPLE}{}", "x".repeat(MAX_REQUEST)), Malformed::TooLarge),
        ] {
            assert_eq!(Request::parse(body.as_bytes()), Err(error), "{body:.80}");
        }
        assert_eq!(Request::parse(b"old 1\xff"), Err(Malformed::NotText));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            let _ = Request::parse(&bytes);
        }

        #[test]
        fn a_damaged_example_is_refused_or_reads_as_other(at in 0..EXAMPLE.len(), byte: u8) {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            let same = bytes[at] == byte;
            bytes[at] = byte;
            let whole = Request::parse(EXAMPLE.as_bytes()).unwrap();
            if let Ok(request) = Request::parse(&bytes) {
                prop_assert!(same || request != whole);
            }
        }

        #[test]
        fn what_is_written_reads_back(old: u32, proof in prop::collection::vec(any::<[u8; 32]>(), 0..=63)) {
            let (_, note) = EXAMPLE.split_once("\n\n").unwrap();
            let request = Request::parse(Request::body(old.into(), &proof, note).as_bytes()).unwrap();
            prop_assert_eq!((request.old, request.proof), (u64::from(old), proof));
        }
    }
}
