//! What was refused: by reason, client, person and address, each attempt counted once in each.

use std::collections::BTreeMap;

use domain::{Outcome, Timestamp};
use ledger::read::Record;
use serde::Serialize;

use crate::directory::Directory;
use crate::document::{Document, Section, columns};
use crate::moment::{Period, date_time};
use crate::tally::{Counted, Tally};

/// What attempts are counted by.
const BY: [&str; 4] = ["reason", "client", "person", "address"];

/// The fold.
#[derive(Default, Debug)]
pub struct Refused {
    groups: BTreeMap<(usize, String), Tally>,
    total: u64,
    keep: bool,
}

/// The report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RefusedReport {
    /// When.
    pub period: Period,
    /// How many attempts.
    pub total: u64,
    /// Counted by reason, client, person and address; the most frequent first.
    pub groups: Vec<RefusedGroup>,
}

/// Attempts with something in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RefusedGroup {
    /// `reason`, `client`, `person` or `address`.
    pub by: &'static str,
    /// Which.
    pub value: String,
    /// How often and when.
    #[serde(flatten)]
    pub counted: Counted,
}

impl Refused {
    /// Of everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the numbers of the records listed, for a proof.
    #[must_use]
    pub fn keeping_records(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Takes a record of the period.
    pub fn take(&mut self, record: &Record) {
        let (Some(Outcome::Refused(reject)), Some(body)) = (record.outcome, &record.body) else {
            return;
        };
        self.total = self.total.saturating_add(1);
        // A client that acts for itself is no person.
        let client = body.client.as_ref().map(ToString::to_string);
        let person = body.subject.clone().filter(|subject| Some(subject) != client.as_ref());
        let values = [
            Some(reject.id().to_owned()),
            client,
            person,
            body.address.map(|address| address.to_string()),
        ];
        for (index, value) in values.into_iter().enumerate() {
            let value = value.unwrap_or_else(|| "unknown".to_owned());
            self.groups.entry((index, value)).or_default().count(
                record,
                body,
                self.keep && index == 0,
            );
        }
    }

    /// The report.
    pub fn finish(self, period: Period, directory: &Directory) -> RefusedReport {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_by(|((a, name_a), one), ((b, name_b), other)| {
            a.cmp(b).then(other.occasions.cmp(&one.occasions)).then(name_a.cmp(name_b))
        });
        let groups = groups.into_iter().map(|((index, value), tally)| {
            let by = BY.get(index).copied().unwrap_or_default();
            let value = if by == "person" { directory.person_text(&value) } else { value };
            RefusedGroup { by, value, counted: tally.shown() }
        });
        RefusedReport { period, total: self.total, groups: groups.collect() }
    }
}

impl RefusedReport {
    /// For people.
    pub fn document(&self, now: Timestamp) -> Document {
        let rows = self.groups.iter().map(|group| {
            vec![
                group.by.to_owned(),
                group.value.clone(),
                group.counted.occasions.to_string(),
                group.counted.first.clone(),
                group.counted.last.clone(),
            ]
        });
        let heading = [("by", 2), ("which", 5), ("times", 1), ("first", 3), ("last", 3)];
        Document {
            title: "Refused attempts".to_owned(),
            facts: vec![
                ("Period".to_owned(), self.period.text()),
                ("Attempts".to_owned(), self.total.to_string()),
                ("Made at".to_owned(), date_time(now)),
            ],
            sections: vec![Section {
                title: "Attempts".to_owned(),
                columns: columns(&heading),
                rows: rows.collect(),
            }],
            notes: vec![
                "Each attempt is counted once by its reason, client, person and address; unknown where \
                 the attempt did not say or prove it. The reasons are explained in \
                 docs/reference/reject-reasons.md."
                    .to_owned(),
            ],
        }
    }

    /// The records that it lists.
    pub fn records(&self) -> Vec<u64> {
        let reasons = self.groups.iter().filter(|group| group.by == "reason");
        reasons.flat_map(|group| group.counted.records.iter().copied()).collect()
    }
}
