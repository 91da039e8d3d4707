//! What must hold for any bytes that come from a file or a stranger, one function for each reader: none
//! panics, none takes memory that its input does not pay for, and what is accepted is canonical. For
//! `fuzz/` and the replay of its corpus; no part of the library's interface.

use crate::body::Body;
use crate::chain::{Chain, genesis};
use crate::format::{Batch, BatchHeader, Leaf, LeafHeader, SegmentHeader, TOKEN_LEN};
use crate::gap::Place;
use crate::note::{Checkpoint, DayCertificate, Note, VerifierKey};
use crate::proof::{Consistency, Inclusion, Receipt};
use crate::witness::{Request, Step, judge, trusted};
use keys::ed25519::VerifyingKey;

/// A statement that did not hold.
pub type Broken = &'static str;

/// What must hold for any bytes.
pub type Target = fn(&[u8]) -> Result<(), Broken>;

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("segment_header", segment_header),
    ("batch", batch),
    ("leaf", leaf),
    ("body", body),
    ("chain", chain),
    ("note", note),
    ("verifier_key", verifier_key),
    ("day_certificate", day_certificate),
    ("proof", proof),
    ("witness_request", witness_request),
];

const fn holds(condition: bool, broken: Broken) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(broken) }
}

/// A segment's header that reads is encoded to the same bytes.
///
/// # Errors
/// [`Broken`].
pub fn segment_header(bytes: &[u8]) -> Result<(), Broken> {
    let Some((header, len)) = SegmentHeader::decode(bytes) else { return Ok(()) };
    holds(Some(header.encode().as_slice()) == bytes.get(..len), "a header is not canonical")
}

/// The bytes with the right checksum on the batch that they begin with, so that what lies behind the
/// checksum is reached, too.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let len = BatchHeader::decode(bytes)?.batch_len()?;
    let mut batch = bytes.get(..len)?.to_vec();
    let at = len.checked_sub(4)?;
    let crc = crc32c::crc32c(batch.get(..at)?).to_be_bytes();
    batch.get_mut(at..)?.copy_from_slice(&crc);
    Some(batch)
}

/// A batch that reads consists of its header, whole leaves and its footer.
///
/// # Errors
/// [`Broken`].
pub fn batch(bytes: &[u8]) -> Result<(), Broken> {
    let mended = mended(bytes);
    for bytes in [Some(bytes), mended.as_deref()].into_iter().flatten() {
        let Some(batch) = Batch::decode(bytes) else { continue };
        holds(batch.header.encode() == batch.header_bytes, "a batch header is not canonical")?;
        holds(batch.header.batch_len().is_some_and(|len| len <= bytes.len()), "longer than it is")?;
        let mut covered = 0;
        for leaf in batch.leaves() {
            let Some(leaf) = leaf else { return Ok(()) };
            covered += leaf.bytes.len();
        }
        holds(covered == batch.leaves.len(), "leaves that do not cover the batch")?;
    }
    Ok(())
}

/// A leaf that reads is its clear header, its body and its tag, and nothing else.
///
/// # Errors
/// [`Broken`].
pub fn leaf(bytes: &[u8]) -> Result<(), Broken> {
    let Some(leaf) = Leaf::decode(bytes) else { return Ok(()) };
    holds(bytes.starts_with(leaf.bytes), "a leaf is not what it was read from")?;
    holds([leaf.clear, leaf.body, leaf.tag].concat() == leaf.bytes, "a leaf has other parts")?;
    let header = LeafHeader {
        version: leaf.version,
        stream: leaf.stream,
        seq: leaf.seq,
        time: leaf.time,
        kind: leaf.kind,
        outcome: leaf.outcome,
    };
    let tokens: Vec<[u8; TOKEN_LEN]> =
        leaf.tokens.chunks(TOKEN_LEN).filter_map(|token| token.try_into().ok()).collect();
    let mut clear = Vec::new();
    let body_len = u16::try_from(leaf.body.len()).map_err(|_| "a body over its length")?;
    header.append(&mut clear, &tokens, body_len);
    holds(clear == leaf.clear, "a leaf's header is not canonical")
}

/// A body that reads is written so that it reads the same.
///
/// # Errors
/// [`Broken`].
pub fn body(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(body) = Body::decode(bytes) else { return Ok(()) };
    let _ = body.exposed();
    let mut again = Vec::new();
    body.encode(&mut again).map_err(|_| "a body that reads cannot be written")?;
    holds(Body::decode(&again).is_ok_and(|second| second == body), "a body reads back another")
}

/// Any header and any batches after it are judged without a panic, and no more records are counted
/// than there are leaves.
///
/// # Errors
/// [`Broken`].
pub fn chain(bytes: &[u8]) -> Result<(), Broken> {
    let (state, mut rest) = match SegmentHeader::decode(bytes) {
        Some((header, len)) => (header, bytes.get(len..).unwrap_or_default()),
        None => (genesis(1), bytes),
    };
    let stable = VerifierKey::new("fuzz.test/ledger", VerifyingKey([7; 32])).map_err(|_| "key")?;
    let mut chain = Chain::new(state.clone(), stable, &[0, 1, 7, u64::MAX]);
    chain.segment(state, Place::default());
    let mut leaves = 0;
    while let Some(bytes) = mended(rest) {
        let Some(batch) = Batch::decode(&bytes) else { break };
        leaves += batch.leaves().count() as u64;
        chain.batch(&batch, Place::default());
        rest = rest.get(bytes.len()..).unwrap_or_default();
    }
    let _ = (chain.root_at(7), chain.day_key_at(u64::MAX));
    holds(chain.records <= leaves, "more records than leaves")
}

/// A note that parses keeps its text; a checkpoint that parses is the beginning of that text.
///
/// # Errors
/// [`Broken`].
pub fn note(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(note) = Note::parse(text) else { return Ok(()) };
    holds(text.starts_with(note.text()), "a note's text is another")?;
    if let Ok(key) = VerifierKey::new("fuzz.test/ledger", VerifyingKey([7; 32])) {
        holds(!note.signed_by(&key), "a signature by a key that nobody has")?;
    }
    let Ok(checkpoint) = Checkpoint::parse(note.text()) else { return Ok(()) };
    holds(note.text().starts_with(&checkpoint.text()), "a checkpoint is not canonical")
}

/// A verifier key that parses prints as it was.
///
/// # Errors
/// [`Broken`].
pub fn verifier_key(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(key) = VerifierKey::parse(text) else { return Ok(()) };
    holds(key.to_string() == text.trim_end(), "a key is not canonical")
}

/// A day key's certificate that parses is the text that it would be signed as.
///
/// # Errors
/// [`Broken`].
pub fn day_certificate(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(certificate) = DayCertificate::parse(text) else { return Ok(()) };
    holds(certificate.text() == text, "a certificate is not canonical")
}

/// A proof that parses is written so that it parses the same; judging it takes no panic.
///
/// # Errors
/// [`Broken`].
pub fn proof(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let key = VerifierKey::new("fuzz.test/ledger", VerifyingKey([7; 32])).map_err(|_| "key")?;
    let json = |value: Result<String, serde_json::Error>| value.map_err(|_| "a proof that reads");
    if let Some(proof) = Inclusion::parse(text) {
        holds(!proof.holds(&key), "proven by nobody's key")?;
        let again = json(serde_json::to_string(&proof))?;
        holds(Inclusion::parse(&again) == Some(proof), "an inclusion proof reads back another")?;
    }
    if let Some(proof) = Consistency::parse(text) {
        holds(!proof.holds(text, &key), "proven by nobody's key")?;
        let again = json(serde_json::to_string(&proof))?;
        holds(Consistency::parse(&again) == Some(proof), "a consistency proof reads back another")?;
    }
    if let Some(receipt) = Receipt::parse(text) {
        holds(!receipt.holds(&key), "proven by nobody's key")?;
        let again = json(serde_json::to_string(&receipt))?;
        holds(Receipt::parse(&again) == Some(receipt), "a receipt reads back another")?;
    }
    // The same bytes as a bare path: index, sizes and hashes.
    let mut numbers = bytes
        .chunks(8)
        .map(|eight| eight.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)));
    let (a, b) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let path: Vec<[u8; 32]> =
        bytes.chunks(32).filter_map(|hash| hash.try_into().ok()).take(80).collect();
    let no = [9; 32];
    holds(!crate::tree::verify_inclusion(&no, a, b, &path, &[8; 32]), "included nowhere")?;
    holds(
        !crate::tree::verify_consistency((a, &no), (b, &[8; 32]), &path),
        "consistent with nothing",
    )
}

/// A witness's request that parses is written back to the same bytes, and is cosigned for no key that
/// nobody has, and only where it grows out of what is held.
///
/// # Errors
/// [`Broken`].
pub fn witness_request(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(request) = Request::parse(bytes) else { return Ok(()) };
    let again = Request::body(request.old, &request.proof, &request.raw);
    holds(again.as_bytes() == bytes, "a request is not canonical")?;
    let origin = &request.checkpoint.origin;
    if let Ok(key) = VerifierKey::new(origin, VerifyingKey([7; 32])) {
        holds(trusted(&request, &[key]).is_err(), "signed by a key that nobody has")?;
    }
    match judge(&request, None) {
        Ok(Step::Forward) => holds(request.old == 0, "grown out of what is not held"),
        Ok(Step::Same) => Err("the same as nothing"),
        Err(_) => Ok(()),
    }
}
