//! The accounting of disclosures of one patient (45 CFR 164.528): every release of their data in the
//! period, repeated ones to one recipient for one purpose as one line (§ 164.528(b)(3)). What the rule
//! excepts is left out by the basis that was recorded; a release without one is always listed.

use std::collections::BTreeMap;

use domain::{Basis, ClientId, FhirId, Timestamp};
use ledger::read::Record;
use serde::Serialize;

use crate::directory::Directory;
use crate::document::{Document, Section};
use crate::moment::{Period, date};
use crate::tally::{Counted, Tally, is_release};

/// An agency's statement that an accounting would impede its work (45 CFR 164.528(a)(2)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suspension {
    /// The recipient.
    pub client: ClientId,
    /// When it ends.
    pub until: Timestamp,
}

impl Suspension {
    /// Whether it hides a disclosure from an accounting made now: only one for health oversight or
    /// law enforcement.
    fn holds(&self, client: Option<&ClientId>, basis: Option<Basis>, now: Timestamp) -> bool {
        Some(&self.client) == client && now < self.until && basis.is_some_and(Basis::is_suspendable)
    }
}

/// The fold.
#[derive(Debug)]
pub struct Disclosures {
    patient: FhirId,
    all: bool,
    suspensions: Vec<Suspension>,
    now: Timestamp,
    keep: bool,
    groups: BTreeMap<(Option<ClientId>, String, Option<Basis>), Tally>,
    excepted: BTreeMap<Option<Basis>, u64>,
    suspended: u64,
}

/// The report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DisclosuresReport {
    /// Whose data.
    pub patient: String,
    /// When.
    pub period: Period,
    /// Whether excepted disclosures are listed, too.
    pub all: bool,
    /// What is listed, oldest first.
    pub disclosures: Vec<Disclosure>,
    /// What is excepted and not listed, by basis.
    pub excepted: BTreeMap<String, u64>,
    /// How many an agency's statement keeps out. Whoever asks must not learn of it
    /// (§ 164.528(a)(2)), so it is in no form of the report.
    #[serde(skip)]
    pub suspended: u64,
}

/// Disclosures to one recipient for one purpose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Disclosure {
    /// The client that received it.
    pub client: String,
    /// The recipient's legal name.
    pub recipient: String,
    /// Their postal address.
    pub address: String,
    /// What it was for.
    pub purpose: String,
    /// On which basis.
    pub basis: String,
    /// How often, when and what.
    #[serde(flatten)]
    pub counted: Counted,
}

/// What stands for a basis that was not recorded.
const NOT_RECORDED: &str = "not recorded";

impl Disclosures {
    /// For one patient; `all` lists excepted ones, too.
    pub fn new(patient: FhirId, all: bool, suspensions: Vec<Suspension>, now: Timestamp) -> Self {
        Self {
            patient,
            all,
            suspensions,
            now,
            keep: false,
            groups: BTreeMap::new(),
            excepted: BTreeMap::new(),
            suspended: 0,
        }
    }

    /// Keeps the numbers of the records listed, for a proof.
    #[must_use]
    pub fn keeping_records(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Takes a record of the period.
    pub fn take(&mut self, record: &Record) {
        let Some(body) = record.body.as_ref().filter(|_| is_release(record)) else { return };
        if body.patient.as_ref() != Some(&self.patient) {
            return;
        }
        let basis = body.basis.as_deref().and_then(Basis::parse);
        let client = body.client.as_ref();
        if self.suspensions.iter().any(|s| s.holds(client, basis, self.now)) {
            self.suspended = self.suspended.saturating_add(1);
            return;
        }
        if !self.all && basis.is_some_and(Basis::is_excepted) {
            let count = self.excepted.entry(basis).or_default();
            *count = count.saturating_add(1);
            return;
        }
        let purpose = body.purpose.clone().unwrap_or_default();
        self.groups
            .entry((client.cloned(), purpose, basis))
            .or_default()
            .count(record, body, self.keep);
    }

    /// The report; a patient never seen has an empty one.
    pub fn finish(self, period: Period, directory: &Directory) -> DisclosuresReport {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_by_key(|(_, tally)| tally.first());
        let row = |((client, purpose, basis), tally): ((Option<ClientId>, _, _), Tally)| {
            let facts = client.as_ref().and_then(|client| directory.clients.get(client));
            let basis: Option<Basis> = basis;
            let client = client.as_ref().map_or("unknown", ClientId::as_str).to_owned();
            Disclosure {
                recipient: facts.map_or_else(|| client.clone(), |facts| facts.legal_name.clone()),
                address: facts.map(|facts| facts.address.clone()).unwrap_or_default(),
                purpose: match facts {
                    Some(facts) if String::is_empty(&purpose) => facts.purpose.clone(),
                    _ => purpose,
                },
                basis: basis.map_or(NOT_RECORDED, Basis::as_str).to_owned(),
                client,
                counted: tally.shown(),
            }
        };
        let excepted = self.excepted.into_iter();
        DisclosuresReport {
            patient: self.patient.to_string(),
            period,
            all: self.all,
            disclosures: groups.into_iter().map(row).collect(),
            excepted: excepted
                .map(|(basis, count)| (basis.map_or(NOT_RECORDED, Basis::as_str).to_owned(), count))
                .collect(),
            suspended: self.suspended,
        }
    }
}

impl DisclosuresReport {
    /// For people.
    pub fn document(&self, now: Timestamp) -> Document {
        let rows = self.disclosures.iter().map(|one| {
            let address = if one.address.is_empty() { "not registered" } else { &one.address };
            vec![
                day(&one.counted.first),
                day(&one.counted.last),
                one.counted.occasions.to_string(),
                one.recipient.clone(),
                address.to_owned(),
                one.counted.types_text(),
                one.purpose.clone(),
                one.basis.clone(),
            ]
        });
        let mut notes = Vec::new();
        if self.disclosures.is_empty() {
            notes.push("There is no disclosure to account for in this period.".to_owned());
        }
        if !self.all {
            notes.push(
                "Not listed, as 45 CFR 164.528(a)(1) provides: disclosures for treatment, payment \
                 and health care operations, to the individual, and under an authorization."
                    .to_owned(),
            );
        }
        notes.push(
            "Repeated disclosures to one recipient for one purpose are one line with their number \
             and the days of the first and the last (45 CFR 164.528(b)(3)). Days are UTC. Names and \
             addresses are those registered now."
                .to_owned(),
        );
        Document {
            title: "Accounting of disclosures".to_owned(),
            facts: vec![
                ("Patient".to_owned(), self.patient.clone()),
                ("Period".to_owned(), self.period.text()),
                ("Made on".to_owned(), date(now)),
            ],
            sections: vec![Section {
                title: "Disclosures".to_owned(),
                columns: [
                    ("first", 2),
                    ("last", 2),
                    ("times", 1),
                    ("recipient", 4),
                    ("address", 4),
                    ("what", 4),
                    ("purpose", 4),
                    ("basis", 3),
                ]
                .map(|(name, weight)| (name.to_owned(), weight))
                .to_vec(),
                rows: rows.collect(),
            }],
            notes,
        }
    }

    /// The records that it lists.
    pub fn records(&self) -> Vec<u64> {
        self.disclosures.iter().flat_map(|one| one.counted.records.iter().copied()).collect()
    }
}

fn day(time: &str) -> String {
    time.split('T').next().unwrap_or(time).to_owned()
}
