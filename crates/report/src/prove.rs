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
    /// Records that the leaves name, and the report did not read.
    #[error("the report is not complete: {count} records of the signed ledger were not read")]
    Missed {
        /// How many.
        count: u64,
    },
    /// Records that the report read, and the sealed leaves do not confirm.
    #[error("the report says more than the signed ledger: a record is not confirmed by its leaf")]
    Unconfirmed,
    /// A proof does not lead to the signed root.
    #[error("the proof of record {seq} does not lead to the signed root; run verify")]
    Wrong {
        /// The record.
        seq: u64,
    },
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

/// A ledger counted up to one signed checkpoint, before a report reads it.
#[derive(Debug)]
pub struct Recount {
    prover: Prover,
    counted: Census,
    by_token: bool,
}

/// What the report did.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Every record that it had to read and read, by sequence number; needed only where it is about
    /// somebody.
    pub read: &'a BTreeSet<u64>,
    /// How many records of the period it read.
    pub count: u64,
    /// Those that it lists.
    pub listed: &'a [u64],
}

impl Recount {
    /// Counts the records of a period, and those about somebody by their token; `None` for everybody.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn begin(
        dir: &Path,
        reader: &mut Reader,
        key: &VerifierKey,
        about: Option<(Field, &str)>,
        period: Period,
    ) -> Result<Self, ProveError> {
        let prover = Prover::open(dir)?;
        let within = |time| period.contains(time);
        let counted = census(reader, prover.checkpoint(), key, about, &within)?;
        Ok(Self { prover, counted, by_token: about.is_some() })
    }

    /// How many leaves are signed for: the report reads those and no more.
    pub const fn size(&self) -> u64 {
        self.counted.size
    }

    /// Proves what the report read and lists.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn prove(mut self, claim: &Claim<'_>) -> Result<Proof, ProveError> {
        self.complete(claim)?;
        let counted = &self.counted;
        let mut listed = claim.listed.to_vec();
        listed.sort_unstable();
        listed.dedup();
        let mut inclusions = Vec::with_capacity(listed.len());
        for seq in &listed {
            let proof = self.prover.inclusion(*seq)?;
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
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(Proof {
            statement: self.statement(listed.len()),
            checkpoint: self.prover.checkpoint().to_owned(),
            leaves: counted.size,
            root: hex(&counted.root),
            records_in_period: counted.records,
            range: counted.range,
            tagged: self.by_token.then(|| number(counted.tagged.len())),
            listed: number(listed.len()),
            unreadable: counted.unkeyed,
            inclusions,
        })
    }

    /// Whether the report read what the leaves say it had to.
    fn complete(&self, claim: &Claim<'_>) -> Result<(), ProveError> {
        let (counted, read) = (&self.counted, claim.read);
        if !self.by_token {
            let missed = counted.records.saturating_sub(claim.count);
            if missed > 0 {
                return Err(ProveError::Missed { count: missed });
            }
            return if counted.records < claim.count {
                Err(ProveError::Unconfirmed)
            } else {
                Ok(())
            };
        }
        let leaves: BTreeSet<u64> = counted.tagged.iter().copied().collect();
        let missed = leaves.difference(read).count();
        if missed > 0 {
            let count = u64::try_from(missed).unwrap_or(u64::MAX);
            return Err(ProveError::Missed { count });
        }
        let listed = claim.listed.iter().all(|seq| leaves.contains(seq));
        if listed && read.is_subset(&leaves) { Ok(()) } else { Err(ProveError::Unconfirmed) }
    }

    fn statement(&self, listed: usize) -> String {
        let counted = &self.counted;
        let range = match counted.range {
            Some((first, last)) => format!("records {first} to {last}"),
            None => "no record".to_owned(),
        };
        let read = if self.by_token {
            let tagged = counted.tagged.len();
            format!("{tagged} of them carry the blind token of whom this report is about")
        } else {
            "all of them were read".to_owned()
        };
        format!(
            "All {} leaves up to the signed checkpoint were hashed and give its root. {} records lie in \
             the period ({range}); {read}; {listed} are listed, each with its inclusion proof.",
            counted.size, counted.records
        )
    }
}

fn leads_to(proof: &Inclusion, size: u64, root: &Hash) -> bool {
    verify_inclusion(&proof.leaf, proof.index, size, &proof.path, root)
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
