//! What one person or client did (45 CFR 164.308(a)(1)(ii)(D)): by patient, type and purpose, with
//! what a reviewer should look at flagged. A flag is a question, not a finding.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ClientId, FhirId, Kind, Outcome, PersonRole, Timestamp};
use ledger::Body;
use ledger::read::Record;
use serde::Serialize;

use crate::directory::{Directory, PersonFacts};
use crate::document::{Document, Section, columns};
use crate::moment::{Period, clock_of, date, date_time};
use crate::tally::{Counted, Tally, begins, is_release};

/// Whose activity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// A person, by the `sub` of their tokens.
    Person(String),
    /// A client.
    Client(ClientId),
}

/// When people are expected to work: Monday to Friday between two times of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hours {
    /// Minutes after midnight at which they begin.
    pub from: u16,
    /// Minutes after midnight at which they end.
    pub to: u16,
    /// Minutes that the clock on the wall is ahead of UTC.
    pub east: i32,
}

impl Hours {
    /// Seven to seven, UTC.
    pub const DEFAULT: Self = Self { from: 7 * 60, to: 19 * 60, east: 0 };

    /// From `07:00-19:00` and an offset like `+02:00`; `None` if either is not one.
    pub fn parse(hours: &str, offset: &str) -> Option<Self> {
        let (from, to) = hours.split_once('-')?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        let (sign, rest) = match offset.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, offset.strip_prefix('+').unwrap_or(offset)),
        };
        let east = i32::from(minutes(rest)?) * sign;
        (from < to && east.abs() <= 14 * 60).then_some(Self { from, to, east })
    }

    fn contains(self, time: Timestamp) -> bool {
        let (minute, weekday) = clock_of(time, self.east);
        weekday && (self.from..self.to).contains(&minute)
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
}

/// What a reviewer should look at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// Opened in an emergency.
    BreakGlass,
    /// A member of staff read their own record.
    OwnRecord,
    /// Outside of working hours.
    OffHours,
    /// The patient is not among those that the person may reach now.
    NoRelationship,
    /// Far more on one day than this actor's own median.
    UnusualVolume,
}

impl Flag {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BreakGlass => "break-glass",
            Self::OwnRecord => "own-record",
            Self::OffHours => "off-hours",
            Self::NoRelationship => "no-relationship",
            Self::UnusualVolume => "unusual-volume",
        }
    }
}

#[derive(Default, Debug)]
struct Group {
    tally: Tally,
    flags: BTreeSet<Flag>,
}

/// The fold.
#[derive(Debug)]
pub struct Activity {
    actor: Actor,
    hours: Hours,
    facts: Option<PersonFacts>,
    /// By patient, types and purpose.
    groups: BTreeMap<(Option<FhirId>, String, String), Group>,
    days: BTreeMap<String, Tally>,
    refused: u64,
    keep: bool,
}

/// The report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ActivityReport {
    /// Whose: a username or `sub`, or a client id.
    pub actor: String,
    /// When.
    pub period: Period,
    /// What was released to them, by patient, type and purpose.
    pub accesses: Vec<Access>,
    /// Days on which far more was released than on this actor's median day.
    pub unusual_days: Vec<UnusualDay>,
    /// Releases on the median day among those with any.
    pub median_per_day: u64,
    /// How many requests of theirs were refused.
    pub refused: u64,
}

/// What was released about one patient, of one type, for one purpose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Access {
    /// The patient; `None` where it was nobody's.
    pub patient: Option<String>,
    /// The type, or several of one answer.
    #[serde(rename = "type")]
    pub kind: String,
    /// The purpose.
    pub purpose: String,
    /// What to look at.
    pub flags: Vec<Flag>,
    /// How often, when and what.
    #[serde(flatten)]
    pub counted: Counted,
}

/// A day that stands out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UnusualDay {
    /// The day, UTC.
    pub day: String,
    /// Releases on it.
    pub occasions: u64,
    /// Resources on it.
    pub resources: u64,
}

/// A day is unusual with more than this many times the median …
const UNUSUAL_TIMES: u64 = 3;
/// … and at least this much more.
const UNUSUAL_MORE: u64 = 10;

impl Activity {
    /// For one actor.
    pub fn new(actor: Actor, hours: Hours, directory: &Directory) -> Self {
        let facts = match &actor {
            Actor::Person(sub) => directory.people.get(sub).cloned(),
            Actor::Client(_) => None,
        };
        let (groups, days) = (BTreeMap::new(), BTreeMap::new());
        Self { actor, hours, facts, groups, days, refused: 0, keep: false }
    }

    /// Keeps the numbers of the records listed, for a proof.
    #[must_use]
    pub fn keeping_records(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Takes a record of the period.
    pub fn take(&mut self, record: &Record) {
        let Some(body) = &record.body else { return };
        let own = match &self.actor {
            Actor::Person(sub) => body.subject.as_ref() == Some(sub),
            Actor::Client(client) => body.client.as_ref() == Some(client),
        };
        if !own {
            return;
        }
        if matches!(record.outcome, Some(Outcome::Refused(_))) {
            self.refused = self.refused.saturating_add(1);
        }
        if !is_release(record) {
            return;
        }
        let kinds: BTreeSet<_> = body.resources.iter().map(|(kind, _)| kind.name()).collect();
        let kinds = kinds.into_iter().collect::<Vec<_>>().join(" ");
        let key = (body.patient.clone(), kinds, body.purpose.clone().unwrap_or_default());
        let flags = self.flags(record, body);
        let group = self.groups.entry(key).or_default();
        group.tally.count(record, body, self.keep);
        group.flags.extend(flags);
        self.days.entry(date(record.time)).or_default().count(record, body, false);
    }

    fn flags(&self, record: &Record, body: &Body) -> Vec<Flag> {
        let mut flags = Vec::new();
        if record.kind == Some(Kind::BreakGlass) {
            flags.push(Flag::BreakGlass);
        }
        // Machines work at night, and patients read when they like.
        let Some(facts) = self.facts.as_ref().filter(|facts| facts.role != PersonRole::Patient)
        else {
            return flags;
        };
        if !self.hours.contains(record.time) {
            flags.push(Flag::OffHours);
        }
        if let Some(patient) = &body.patient {
            if facts.own_record.as_ref() == Some(patient) {
                flags.push(Flag::OwnRecord);
            } else if !facts.patients.contains(patient) {
                flags.push(Flag::NoRelationship);
            }
        }
        flags
    }

    /// The report.
    pub fn finish(self, period: Period, directory: &Directory) -> ActivityReport {
        let actor = match &self.actor {
            Actor::Person(sub) => directory.person_text(sub),
            Actor::Client(client) => client.to_string(),
        };
        let mut volumes: Vec<u64> = self.days.values().map(|day| day.occasions).collect();
        volumes.sort_unstable();
        let median = volumes.get(volumes.len().saturating_sub(1) / 2).copied().unwrap_or_default();
        let unusual = |tally: &Tally| {
            tally.occasions > median.saturating_mul(UNUSUAL_TIMES)
                && tally.occasions >= median.saturating_add(UNUSUAL_MORE)
        };
        let days = self.days.iter().filter(|(_, tally)| unusual(tally));
        let accesses = self.groups.into_iter().map(|((patient, kind, purpose), group)| Access {
            patient: patient.map(|patient| patient.to_string()),
            kind,
            purpose,
            flags: group.flags.into_iter().collect(),
            counted: group.tally.shown(),
        });
        ActivityReport {
            actor,
            period,
            accesses: accesses.collect(),
            unusual_days: days
                .map(|(day, tally)| UnusualDay {
                    day: day.clone(),
                    occasions: tally.occasions,
                    resources: tally.resources,
                })
                .collect(),
            median_per_day: median,
            refused: self.refused,
        }
    }
}

impl ActivityReport {
    /// For people.
    pub fn document(&self, now: Timestamp) -> Document {
        let heading = columns(&[
            ("patient", 3),
            ("type", 3),
            ("purpose", 4),
            ("times", 1),
            ("resources", 2),
            ("first", 3),
            ("last", 3),
            ("look at", 3),
        ]);
        let rows = self.accesses.iter().map(|access| {
            let flags = access.flags.iter().map(|flag| flag.as_str()).collect::<Vec<_>>();
            vec![
                access.patient.clone().unwrap_or_else(|| "–".to_owned()),
                if access.kind.is_empty() {
                    "nothing found".to_owned()
                } else {
                    access.kind.clone()
                },
                access.purpose.clone(),
                access.counted.occasions.to_string(),
                access.counted.resources.to_string(),
                access.counted.first.clone(),
                access.counted.last.clone(),
                flags.join(" "),
            ]
        });
        let days = self.unusual_days.iter().map(|day| {
            vec![
                "–".to_owned(),
                "–".to_owned(),
                "–".to_owned(),
                day.occasions.to_string(),
                day.resources.to_string(),
                day.day.clone(),
                day.day.clone(),
                Flag::UnusualVolume.as_str().to_owned(),
            ]
        });
        let mut sections = vec![Section {
            title: "Released".into(),
            columns: heading.clone(),
            rows: rows.collect(),
        }];
        if !self.unusual_days.is_empty() {
            let rows = days.collect();
            sections.push(Section { title: "Unusual days".into(), columns: heading, rows });
        }
        let mut notes = Vec::new();
        if self.accesses.is_empty() {
            notes.push("Nothing was released to them in this period.".to_owned());
        }
        notes.push(format!(
            "On the median day {} releases. A day is unusual with more than {UNUSUAL_TIMES} times that \
             and at least {UNUSUAL_MORE} more. no-relationship: the patient is not among those that the \
             person may reach now. Times are UTC.",
            self.median_per_day
        ));
        Document {
            title: "Activity review".to_owned(),
            facts: vec![
                ("Of".to_owned(), self.actor.clone()),
                ("Period".to_owned(), self.period.text()),
                ("Refused requests".to_owned(), self.refused.to_string()),
                ("Made at".to_owned(), date_time(now)),
            ],
            sections,
            notes,
        }
    }

    /// The records that it lists.
    pub fn records(&self) -> Vec<u64> {
        self.accesses.iter().flat_map(|access| access.counted.records.iter().copied()).collect()
    }
}

/// How often somebody did something, without records to name.
pub(crate) fn occasion(body: &Body) -> u64 {
    u64::from(begins(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_hours_are_read_strictly() {
        let hours = Hours::parse("07:00-19:00", "+00:00").unwrap();
        assert_eq!(hours, Hours::DEFAULT);
        assert_eq!(Hours::parse("08:30-17:15", "-05:30").unwrap().east, -330);
        for (bad, offset) in [
            ("19:00-07:00", "+00:00"),
            ("7-19", "+00:00"),
            ("07:60-19:00", "+00:00"),
            ("07:00-25:00", "+00:00"),
            ("07:00-19:00", "+15:00"),
            ("07:00-19:00", "CET"),
            ("+7:00-19:00", "+00:00"),
        ] {
            assert_eq!(Hours::parse(bad, offset), None, "{bad} {offset}");
        }
        // Friday evening in UTC is Saturday in Tokyo.
        let friday = Timestamp::from_secs(1_764_345_600); // 2025-11-28T16:00:00Z
        assert!(Hours::DEFAULT.contains(friday));
        assert!(!Hours::parse("00:00-24:00", "+09:00").unwrap().contains(friday));
    }
}
