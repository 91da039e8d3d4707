//! Whose data went to a client, person or token, or was sealed in a month: who must be told of a
//! breach (45 CFR 164.404).

use std::collections::BTreeMap;

use domain::{ClientId, FhirId, Timestamp};
use ledger::read::Record;
use serde::Serialize;

use crate::directory::Directory;
use crate::document::{Document, Section, columns};
use crate::moment::{Period, date_time};
use crate::tally::{Counted, Tally, is_release};

/// What was compromised; every part that is given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cause {
    /// A client.
    pub client: Option<ClientId>,
    /// A person, by the `sub` of their tokens.
    pub person: Option<String>,
    /// A token, by the SHA-256 of its `jti`.
    pub token: Option<[u8; 32]>,
}

impl Cause {
    fn fits(&self, body: &ledger::Body) -> bool {
        self.client.as_ref().is_none_or(|client| body.client.as_ref() == Some(client))
            && self.person.as_ref().is_none_or(|person| body.subject.as_ref() == Some(person))
            && self.token.is_none_or(|token| body.jti_hash == Some(token))
    }

    fn text(&self, directory: &Directory) -> String {
        let token = self.token.map(|hash| {
            hash.iter().fold("token ".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        });
        let parts = [
            self.client.as_ref().map(|client| format!("client {client}")),
            self.person.as_ref().map(|sub| format!("person {}", directory.person_text(sub))),
            token,
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "everything released".to_owned() } else { parts.join(", ") }
    }
}

/// The fold.
#[derive(Debug)]
pub struct Affected {
    cause: Cause,
    patients: BTreeMap<FhirId, Tally>,
    nobodys: u64,
    unreadable: u64,
    keep: bool,
}

/// The report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AffectedReport {
    /// What was compromised.
    pub cause: String,
    /// When.
    pub period: Period,
    /// Whose data was released, most often first.
    pub patients: Vec<AffectedPatient>,
    /// Releases that were about nobody.
    pub about_nobody: u64,
    /// Records of the period that can no longer be read, because their month's key was destroyed.
    pub unreadable: u64,
}

/// A patient to be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AffectedPatient {
    /// The patient.
    pub patient: String,
    /// How often, when and what.
    #[serde(flatten)]
    pub counted: Counted,
}

impl Affected {
    /// By one cause.
    pub fn new(cause: Cause) -> Self {
        Self { cause, patients: BTreeMap::new(), nobodys: 0, unreadable: 0, keep: false }
    }

    /// Keeps the numbers of the records listed, for a proof.
    #[must_use]
    pub fn keeping_records(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Takes a record of the period.
    pub fn take(&mut self, record: &Record) {
        if !is_release(record) {
            return;
        }
        let Some(body) = &record.body else {
            self.unreadable = self.unreadable.saturating_add(1);
            return;
        };
        if !self.cause.fits(body) {
            return;
        }
        match &body.patient {
            Some(patient) => {
                self.patients.entry(patient.clone()).or_default().count(record, body, self.keep);
            }
            None => self.nobodys = self.nobodys.saturating_add(1),
        }
    }

    /// The report.
    pub fn finish(self, period: Period, directory: &Directory) -> AffectedReport {
        let mut patients: Vec<_> = self.patients.into_iter().collect();
        patients.sort_by(|(a, one), (b, other)| {
            other.resources.cmp(&one.resources).then_with(|| a.as_str().cmp(b.as_str()))
        });
        let patients = patients.into_iter().map(|(patient, tally)| AffectedPatient {
            patient: patient.to_string(),
            counted: tally.shown(),
        });
        AffectedReport {
            cause: self.cause.text(directory),
            period,
            patients: patients.collect(),
            about_nobody: self.nobodys,
            unreadable: self.unreadable,
        }
    }
}

impl AffectedReport {
    /// For people.
    pub fn document(&self, now: Timestamp) -> Document {
        let rows = self.patients.iter().map(|one| {
            vec![
                one.patient.clone(),
                one.counted.first.clone(),
                one.counted.last.clone(),
                one.counted.occasions.to_string(),
                one.counted.types_text(),
            ]
        });
        let heading = [("patient", 3), ("first", 3), ("last", 3), ("times", 1), ("what", 6)];
        let mut notes = Vec::new();
        if self.patients.is_empty() {
            notes.push("Nobody's data was released in this way.".to_owned());
        }
        if self.unreadable > 0 {
            notes.push(format!(
                "{} releases of the period can no longer be read, because the key of their month was \
                 destroyed: this list may lack patients.",
                self.unreadable
            ));
        }
        Document {
            title: "Affected patients".to_owned(),
            facts: vec![
                ("By".to_owned(), self.cause.clone()),
                ("Period".to_owned(), self.period.text()),
                ("Patients".to_owned(), self.patients.len().to_string()),
                ("Made at".to_owned(), date_time(now)),
            ],
            sections: vec![Section {
                title: "Patients".to_owned(),
                columns: columns(&heading),
                rows: rows.collect(),
            }],
            notes,
        }
    }

    /// The records that it lists.
    pub fn records(&self) -> Vec<u64> {
        self.patients.iter().flat_map(|one| one.counted.records.iter().copied()).collect()
    }
}
