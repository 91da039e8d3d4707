//! What makes a report evidence: an inclusion proof (RFC 6962 §2.1.1) for each record that it lists,
//! and a recount, from the sealed leaves up to a signed checkpoint, of those that it had to read. A
//! report that missed one, or read one that is not there, has no proof.

use std::collections::BTreeSet;
use std::path::Path;

use ledger::Field;
use ledger::census::{Census, CensusError, census};
use ledger::note::VerifierKey;
use ledger::proof::{Inclusion, ProofError, Prover};
use ledger::read::Reader;
use ledger::tree::{Hash, verify_inclusion};
use serde::Serialize;

use crate::moment::Period;

/// A report cannot be proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The ledger cannot be counted.
    #[error(transparent)]
    Census(#[from] CensusError),
    /// An inclusion proof cannot be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Records that carry the token, and the report did not read.
    #[error("the report is not complete: record {first} and {} more were not read", .count - 1)]
    Missed {
        /// The first of them.
        first: u64,
        /// How many.
        count: usize,
    },
    /// Records that the report read, and the sealed leaves do not confirm.
    #[error("the report says more than the ledger: record {first} is not confirmed by its leaf")]
    Unconfirmed {
        /// The first of them.
        first: u64,
    },
    /// A proof does not lead to the signed root.
    #[error("the proof of record {seq} does not lead to the signed root; run verify")]
    Wrong {
        /// The record.
        seq: u64,
    },
    /// The log grew between the recount and the proofs.
    #[error("the ledger was signed anew meanwhile; run the report again")]
    Moved,
}

/// What a report needs to be believed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Proof {
    /// In one sentence.
    pub statement: String,
    /// The signed note up to which everything was read.
    pub checkpoint: String,
    /// How many leaves it signs for; all were hashed, and gave its root.
    pub leaves: u64,
    /// The root, in hex.
    pub root: String,
    /// How many records lie in the period.
    pub records_in_period: u64,
    /// The first and the last of them.
    pub range: Option<(u64, u64)>,
    /// How many of them carry the blind token that the report is about; `None` where it is about
    /// everybody.
    pub tagged: Option<u64>,
    /// How many of those the report lists; the others are no disclosures, or are not to be listed.
    pub listed: u64,
    /// Records whose month's key was destroyed, so that nobody can say whom they concern.
    pub unreadable: u64,
    /// One for each record listed.
    pub inclusions: Vec<Evidence>,
}

/// That a record stands in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Evidence {
    /// The record.
    pub seq: u64,
    /// Its leaf's index.
    pub index: u64,
    /// Its leaf's hash, in hex.
    pub leaf: String,
    /// The audit path, from the leaf up, in hex.
    pub path: Vec<String>,
}

/// What the report did.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whose records it looked for; `None` for everybody's.
    pub about: Option<(Field, &'a str)>,
    /// Of when.
    pub period: Period,
    /// Every record of theirs that it read, by sequence number.
    pub read: &'a BTreeSet<u64>,
    /// How many records it read.
    pub count: u64,
    /// Those that it lists.
    pub listed: &'a [u64],
}

/// Recounts and proves.
///
/// # Errors
/// [`ProveError`].
pub fn prove(
    dir: &Path,
    reader: &mut Reader,
    key: &VerifierKey,
    claim: &Claim<'_>,
) -> Result<Proof, ProveError> {
    let counted = census(reader, key, claim.about, &|time| claim.period.contains(time))?;
    complete(&counted, claim)?;
    let mut prover = Prover::open(dir)?;
    if prover.checkpoint() != counted.checkpoint {
        return Err(ProveError::Moved);
    }
    let mut listed = claim.listed.to_vec();
    listed.sort_unstable();
    listed.dedup();
    let mut inclusions = Vec::with_capacity(listed.len());
    for seq in &listed {
        let proof = prover.inclusion(*seq)?;
        if !leads_to(&proof, counted.size, &counted.root) {
            return Err(ProveError::Wrong { seq: *seq });
        }
        inclusions.push(Evidence {
            seq: *seq,
            index: proof.index,
            leaf: hex(&proof.leaf),
            path: proof.path.iter().map(hex).collect(),
        });
    }
    Ok(Proof {
        statement: statement(&counted, claim, listed.len()),
        leaves: counted.size,
        root: hex(&counted.root),
        records_in_period: counted.records,
        range: counted.range,
        tagged: claim.about.map(|_| u64::try_from(counted.tagged.len()).unwrap_or(u64::MAX)),
        listed: u64::try_from(listed.len()).unwrap_or(u64::MAX),
        unreadable: counted.unkeyed,
        checkpoint: counted.checkpoint,
        inclusions,
    })
}

/// Whether the report read what the leaves say it had to.
fn complete(counted: &Census, claim: &Claim<'_>) -> Result<(), ProveError> {
    if claim.about.is_none() {
        return match counted.records.cmp(&claim.count) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => {
                let missed = counted.records.saturating_sub(claim.count);
                let count = usize::try_from(missed).unwrap_or(usize::MAX);
                Err(ProveError::Missed {
                    first: counted.range.map_or(0, |(first, _)| first),
                    count,
                })
            }
            std::cmp::Ordering::Less => {
                Err(ProveError::Unconfirmed { first: counted.range.map_or(0, |(_, last)| last) })
            }
        };
    }
    let leaves: BTreeSet<u64> = counted.tagged.iter().copied().collect();
    let mut missed = leaves.difference(claim.read);
    if let Some(first) = missed.next() {
        return Err(ProveError::Missed { first: *first, count: missed.count().saturating_add(1) });
    }
    let unconfirmed = claim
        .read
        .difference(&leaves)
        .chain(claim.listed.iter().filter(|seq| !leaves.contains(seq)));
    match unconfirmed.into_iter().next() {
        Some(first) => Err(ProveError::Unconfirmed { first: *first }),
        None => Ok(()),
    }
}

fn leads_to(proof: &Inclusion, size: u64, root: &Hash) -> bool {
    verify_inclusion(&proof.leaf, proof.index, size, &proof.path, root)
}

fn statement(counted: &Census, claim: &Claim<'_>, listed: usize) -> String {
    let range = match counted.range {
        Some((first, last)) => format!("records {first} to {last}"),
        None => "no record".to_owned(),
    };
    let read = match claim.about {
        Some(_) => {
            format!("{} of them carry the token that this report is about", counted.tagged.len())
        }
        None => "all of them were read".to_owned(),
    };
    format!(
        "All {} leaves up to the signed checkpoint were hashed and give its root. {} lie in the period \
         ({range}); {read}; {listed} are listed, each with its inclusion proof.",
        counted.size, counted.records
    )
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
