//! What stands in the clear: each record's header and its blind tokens, read without any key. Enough
//! to count what happened and, with one token, whether a report left anything out.

use std::path::{Path, PathBuf};

use domain::{Kind, Outcome, Timestamp};
use serde_json::{Value, json};

use crate::body::Body;
use crate::calendar::text_of;
use crate::files;
use crate::format::{BATCH_HEADER_LEN, Batch, FOOTER_LEN, Leaf, TOKEN_LEN, VERSION_OPEN};
use crate::read::ReadError;
use crate::walk::{SegmentReader, Step};

/// A blind search token: what stands for a patient, person or thing within one month.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(pub [u8; TOKEN_LEN]);

impl Token {
    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim();
        if digits.len() != 2 * TOKEN_LEN || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(digits, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A record's clear part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its sequence number.
    pub seq: u64,
    /// Its leaf's index in the tree.
    pub leaf: u64,
    /// Its time.
    pub time: Timestamp,
    /// The month of its sealing key, as `yyyymm`.
    pub period: u32,
    /// What happened: the code.
    pub kind: u16,
    /// How it ended: the code.
    pub outcome: u8,
    /// Its blind tokens.
    pub tokens: Vec<Token>,
    /// The particulars of a record of the log's own, which is not sealed.
    pub body: Option<Body>,
}

impl Header {
    fn of(batch: &Batch<'_>, index: u64, leaf: &Leaf<'_>) -> Self {
        let open = leaf.version == VERSION_OPEN;
        Self {
            seq: leaf.seq,
            leaf: batch.header.first_leaf.saturating_add(1).saturating_add(index),
            time: Timestamp::from_millis(i64::try_from(leaf.time).unwrap_or(i64::MAX)),
            period: batch.header.period,
            kind: leaf.kind,
            outcome: leaf.outcome,
            tokens: tokens(leaf).collect(),
            body: if open { Body::decode(leaf.body).ok() } else { None },
        }
    }

    /// What happened, by name; the number of a kind that this version does not know.
    pub fn kind_text(&self) -> String {
        Kind::from_code(self.kind)
            .map_or_else(|| format!("kind {}", self.kind), |kind| kind.as_str().to_owned())
    }

    /// How it ended, by name; the number of an outcome that this version does not know.
    pub fn outcome_text(&self) -> String {
        Outcome::from_code(self.outcome)
            .map_or_else(|| format!("outcome {}", self.outcome), |known| known.as_str().to_owned())
    }

    /// Its time, UTC, to the millisecond (RFC 3339).
    pub fn time_text(&self) -> String {
        text_of(self.time)
    }

    /// All of it as JSON.
    pub fn exposed(&self) -> Value {
        json!({
            "seq": self.seq,
            "leaf": self.leaf,
            "time": self.time_text(),
            "kind": self.kind_text(),
            "outcome": self.outcome_text(),
            "tokens": self.tokens.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "body": self.body.as_ref().map(Body::exposed),
        })
    }
}

fn tokens<'a>(leaf: &Leaf<'a>) -> impl Iterator<Item = Token> + use<'a> {
    leaf.tokens.chunks_exact(TOKEN_LEN).filter_map(|bytes| Some(Token(bytes.try_into().ok()?)))
}

/// Hands out the headers from this record on, until told to stop or the log ends.
///
/// # Errors
/// [`ReadError`] where bytes are no batch.
pub fn each(dir: &Path, from: u64, take: &mut dyn FnMut(Header) -> bool) -> Result<(), ReadError> {
    walk(dir, from, &mut |batch, index, leaf| {
        leaf.seq < from || take(Header::of(batch, index, leaf))
    })
}

/// How many records there are.
///
/// # Errors
/// [`ReadError`] where bytes are no batch.
pub fn count(dir: &Path) -> Result<u64, ReadError> {
    let mut count = 0;
    let last = files::segments(dir).map_err(io(dir))?.pop();
    let Some((_, path)) = last else { return Ok(0) };
    segment(&path, &mut |batch| {
        count = batch.header.first_seq.saturating_add(u64::from(batch.header.count));
        true
    })?;
    Ok(count)
}

/// Hands out every record that carries the token. Gives how many records were looked at.
///
/// # Errors
/// [`ReadError`] where bytes are no batch.
pub fn with_token(
    dir: &Path,
    token: Token,
    take: &mut dyn FnMut(Header),
) -> Result<u64, ReadError> {
    let mut seen = 0_u64;
    walk(dir, 0, &mut |batch, index, leaf| {
        seen += 1;
        if tokens(leaf).any(|own| own == token) {
            take(Header::of(batch, index, leaf));
        }
        true
    })?;
    Ok(seen)
}

/// Hands out the length of each batch, which is what was written and synced at once.
///
/// # Errors
/// [`ReadError`] where bytes are no batch.
pub fn batches(dir: &Path, take: &mut dyn FnMut(usize)) -> Result<(), ReadError> {
    for (_, path) in files::segments(dir).map_err(io(dir))? {
        segment(&path, &mut |batch| {
            take(BATCH_HEADER_LEN + batch.leaves.len() + FOOTER_LEN);
            true
        })?;
    }
    Ok(())
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ReadError + use<'_> {
    move |source| ReadError::Io { path: path.to_owned(), source }
}

/// Every leaf from the batch on in which this record stands.
fn walk(
    dir: &Path,
    from: u64,
    take: &mut dyn FnMut(&Batch<'_>, u64, &Leaf<'_>) -> bool,
) -> Result<(), ReadError> {
    let segments = files::segments(dir).map_err(io(dir))?;
    let begins_after = |path: &PathBuf| -> Result<bool, ReadError> {
        let (_, header) = SegmentReader::open(path).map_err(io(path))?;
        Ok(header.is_some_and(|header| header.seq > from))
    };
    for (at, (_, path)) in segments.iter().enumerate() {
        if let Some((_, next)) = segments.get(at + 1)
            && !begins_after(next)?
        {
            continue;
        }
        let mut damaged = false;
        let more = segment(path, &mut |batch| {
            for (index, leaf) in (0..).zip(batch.leaves()) {
                let Some(leaf) = leaf else {
                    damaged = true;
                    return false;
                };
                if !take(batch, index, &leaf) {
                    return false;
                }
            }
            true
        })?;
        if damaged {
            return Err(ReadError::Damaged { path: path.clone(), offset: 0 });
        }
        if !more {
            break;
        }
    }
    Ok(())
}

/// Every whole batch of a segment; false if it was told to stop.
fn segment(path: &Path, take: &mut dyn FnMut(&Batch<'_>) -> bool) -> Result<bool, ReadError> {
    let damaged = |offset| ReadError::Damaged { path: path.to_owned(), offset };
    let (mut reader, header) = SegmentReader::open(path).map_err(io(path))?;
    if header.is_none() {
        return Err(damaged(0));
    }
    loop {
        let offset = reader.offset();
        match reader.step().map_err(io(path))? {
            Step::Batch(batch) => {
                if !take(&batch) {
                    return Ok(false);
                }
            }
            Step::End => return Ok(true),
            Step::Bad => return Err(damaged(offset)),
        }
    }
}
