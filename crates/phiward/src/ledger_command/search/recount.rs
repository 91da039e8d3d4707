//! The recount: every record's tags are looked at, none of the index is believed. It proves the answer
//! complete as the records are tagged; that the records themselves are whole is for `verify` to say.

use std::collections::{BTreeSet, HashMap, VecDeque};

use domain::Kind;
use ledger::headers::Token;
use ledger::read::{ReadError, Reader, Tag};
use serde_json::json;

use super::{MONTHS, Query};
use crate::failure::Failure;
use crate::output;

/// Lies that are listed one by one.
const LISTED: usize = 1_000;

/// What there is.
pub(super) struct Recount {
    /// The numbers of the records that meet the query, in order.
    pub(super) seqs: Vec<u64>,
    /// Where the newest of them are.
    pub(super) newest: Vec<(u32, u64, u64)>,
    leaves: u64,
    /// Months whose key is gone: their records cannot be told by a value.
    closed: BTreeSet<u32>,
}

/// Looks at every record whose number is below this one: a log may grow meanwhile.
pub(super) fn recount(
    reader: &mut Reader,
    query: &Query,
    limit: usize,
    below: u64,
) -> Result<Recount, ReadError> {
    let mut values: Vec<HashMap<u32, Token>> = Vec::new();
    for (field, value) in &query.values {
        values.push(reader.tokens(*field, value, &MONTHS)?.into_iter().collect());
    }
    let bar = output::counter(reader.count()?);
    let (mut seqs, mut newest) = (Vec::new(), VecDeque::new());
    let (mut leaves, mut closed) = (0_u64, BTreeSet::new());
    let mut of_batch = Vec::new();
    if let Some(mut tags) = reader.tags(None)? {
        let mut each = |tag: &Tag<'_>, found: &mut Vec<u64>| {
            leaves = leaves.saturating_add(1);
            let mut meets = query.kind.is_none_or(|kind| Kind::from_code(tag.kind) == Some(kind))
                && query.period.contains(tag.time);
            for value in &values {
                let token = value.get(&tag.period);
                if token.is_none() {
                    closed.insert(tag.period);
                }
                meets = meets && token.is_some_and(|token| tag.tokens.contains(&token.0));
            }
            if meets && tag.seq < below {
                found.push(tag.seq);
            }
        };
        while let Some(spot) = tags.next_batch(&mut |tag| each(tag, &mut of_batch))? {
            for seq in of_batch.drain(..) {
                seqs.push(seq);
                newest.push_back((spot.segment, spot.offset, seq));
                if newest.len() > limit {
                    newest.pop_front();
                }
            }
            bar.set_position(spot.next_seq);
            if spot.next_seq >= below {
                break;
            }
        }
    }
    bar.finish_and_clear();
    Ok(Recount { seqs, newest: newest.into(), leaves, closed })
}

/// Whether the index told the truth.
pub(super) struct Verdict {
    hidden: Vec<u64>,
    invented: Vec<u64>,
    leaves: u64,
    records: usize,
    closed: BTreeSet<u32>,
}

impl Verdict {
    /// Compares what the index named with what there is; both in order.
    pub(super) fn of(named: &[u64], counted: &Recount) -> Self {
        let lacks = |all: &[u64], of: &[u64]| {
            of.iter().copied().filter(|seq| all.binary_search(seq).is_err()).collect()
        };
        Self {
            hidden: lacks(named, &counted.seqs),
            invented: lacks(&counted.seqs, named),
            leaves: counted.leaves,
            records: counted.seqs.len(),
            closed: counted.closed.clone(),
        }
    }

    pub(super) const fn passes(&self) -> bool {
        self.hidden.is_empty() && self.invented.is_empty()
    }

    /// What was found out; the verdict last.
    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let word = if self.passes() { "PASS" } else { "FAIL" };
        if as_json {
            output::json(&json!({
                "verdict": word,
                "records": self.records,
                "leaves": self.leaves,
                "hidden": self.hidden,
                "invented": self.invented,
                "months_without_key": self.closed,
            }))?;
        } else {
            for (lie, seqs) in [("hid", &self.hidden), ("invented", &self.invented)] {
                for seq in seqs.iter().take(LISTED) {
                    output::line(&format!("the index {lie} record {seq}"));
                }
                if seqs.len() > LISTED {
                    let more = seqs.len().saturating_sub(LISTED);
                    output::line(&format!("the index {lie} {more} more records"));
                }
            }
            if !self.closed.is_empty() {
                let months: Vec<_> = self.closed.iter().map(u32::to_string).collect();
                output::line(&format!("the key is gone for {}", months.join(", ")));
            }
            output::line(&format!("{} records, counted from {}", self.records, self.leaves));
            let style = if self.passes() { output::GOOD } else { output::BAD };
            output::line(&format!("{style}{word}{style:#}"));
        }
        if self.passes() {
            return Ok(());
        }
        output::note("the index is made again; what was shown is what the records themselves say");
        Err(Failure::silent())
    }
}
