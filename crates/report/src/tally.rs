//! How often, from when to when, and of which types: what every report counts alike.

use std::collections::BTreeMap;

use domain::{Kind, Outcome, ResourceType, Timestamp};
use ledger::Body;
use ledger::read::Record;
use serde::Serialize;

use crate::moment::date_time;

/// Counted occasions.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    /// How many, a record that continues another not counted again.
    pub(crate) occasions: u64,
    /// How many resources.
    pub(crate) resources: u64,
    /// By type.
    pub(crate) types: BTreeMap<ResourceType, u64>,
    /// The first and the last.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    /// The records, by sequence number.
    pub(crate) records: Vec<u64>,
}

impl Tally {
    /// Its number is kept only where a proof will be asked for it.
    pub(crate) fn count(&mut self, record: &Record, body: &Body, keep: bool) {
        if begins(body) {
            self.occasions = self.occasions.saturating_add(1);
        }
        for (kind, _) in &body.resources {
            let count = self.types.entry(*kind).or_default();
            *count = count.saturating_add(1);
        }
        self.resources =
            self.resources.saturating_add(u64::try_from(body.resources.len()).unwrap_or(u64::MAX));
        let time = record.time;
        self.span = Some(self.span.map_or((time, time), |(a, b)| (a.min(time), b.max(time))));
        if keep {
            self.records.push(record.seq);
        }
    }

    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.span.map(|(first, _)| first)
    }

    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.span.map(|(_, last)| last)
    }

    /// As every report serialises it.
    pub(crate) fn shown(self) -> Counted {
        let types = self.types.iter().map(|(kind, count)| (kind.name().to_owned(), *count));
        Counted {
            first: self.first().map(date_time).unwrap_or_default(),
            last: self.last().map(date_time).unwrap_or_default(),
            occasions: self.occasions,
            resources: self.resources,
            types: types.collect(),
            records: self.records,
        }
    }
}

/// Counted occasions, for output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counted {
    /// When it happened first (RFC 3339).
    pub first: String,
    /// When it happened last.
    pub last: String,
    /// How often.
    pub occasions: u64,
    /// How many resources, counted each time.
    pub resources: u64,
    /// The same by resource type.
    pub types: BTreeMap<String, u64>,
    /// The records that say so, by sequence number; only in a report that is to be proven.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<u64>,
}

impl Counted {
    /// The types for people: `Condition (2), Observation (12)`.
    pub fn types_text(&self) -> String {
        if self.types.is_empty() {
            return "that nothing was found".to_owned();
        }
        let each = self.types.iter().map(|(kind, count)| format!("{kind} ({count})"));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Whether a record is the first, or only, one of its occasion.
pub(crate) fn begins(body: &Body) -> bool {
    body.part.is_none_or(|(number, _)| number <= 1)
}

/// Whether it says that data left.
pub(crate) fn is_release(record: &Record) -> bool {
    matches!(record.kind, Some(Kind::PhiRelease | Kind::BreakGlass))
        && record.outcome == Some(Outcome::Success)
}
