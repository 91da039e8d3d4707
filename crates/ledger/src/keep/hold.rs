//! Legal holds: which records they cover, and which months they keep from shredding. The list of holds
//! is what the log's own records say; a hold covers what came before it and what comes after, until it
//! is released.

use domain::{FhirId, Kind, Phi};

use crate::body::Body;
use crate::calendar::period_of;
use crate::evidence::{Source, gather};
use crate::read::{ReadError, Record};

/// What a hold covers: exactly one of these.
#[derive(Clone, PartialEq, Eq)]
pub enum Cover {
    /// Records of a patient.
    Patient(String),
    /// Records of a person, by subject.
    Person(String),
    /// Records of a client.
    Client(String),
    /// Records of a stream from one number to another.
    Range {
        /// The stream.
        stream: u32,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

impl std::fmt::Debug for Cover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[phi]")
    }
}

impl Cover {
    /// As it stands in the hold's record; PHI.
    pub fn text(&self) -> String {
        match self {
            Self::Patient(id) => format!("patient={id}"),
            Self::Person(id) => format!("person={id}"),
            Self::Client(id) => format!("client={id}"),
            Self::Range { stream, from, to } => format!("stream={stream}&from={from}&to={to}"),
        }
    }

    /// Reads what [`Cover::text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(range) = text.strip_prefix("stream=") {
            let (stream, range) = range.split_once("&from=")?;
            let (from, to) = range.split_once("&to=")?;
            let (stream, from, to) = (stream.parse().ok()?, from.parse().ok()?, to.parse().ok()?);
            return (from <= to).then_some(Self::Range { stream, from, to });
        }
        match text.split_once('=')? {
            ("patient", id) => Some(Self::Patient(id.to_owned())),
            ("person", id) => Some(Self::Person(id.to_owned())),
            ("client", id) => Some(Self::Client(id.to_owned())),
            _ => None,
        }
    }

    /// Whether a record of this stream is covered.
    pub fn covers(&self, stream: u32, record: &Record) -> bool {
        let Some(body) = &record.body else { return false };
        match self {
            Self::Patient(id) => {
                let resource = |(kind, own): &(domain::ResourceType, FhirId)| {
                    *kind == domain::ResourceType::Patient && own.as_str() == id
                };
                body.patient.as_ref().is_some_and(|own| own.as_str() == id)
                    || body.resources.iter().any(resource)
            }
            Self::Person(id) => {
                body.subject.as_ref() == Some(id) || body.approved_by.as_ref() == Some(id)
            }
            Self::Client(id) => body.client.as_ref().is_some_and(|own| own.as_str() == id),
            Self::Range { stream: own, from, to } => {
                *own == stream && (*from..=*to).contains(&record.seq)
            }
        }
    }
}

/// A hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// What it covers.
    pub cover: Cover,
    /// Why it was placed.
    pub reason: String,
    /// Who placed it, and who approved.
    pub by: (String, String),
    /// The stream in which it is recorded.
    pub stream: u32,
    /// When, in milliseconds.
    pub placed: i64,
    /// How many records it covered then.
    pub count: u32,
    /// When it was released, if it was.
    pub released: Option<i64>,
}

impl Hold {
    /// The sealed record of its placing.
    pub fn body(&self) -> Body {
        let patient = match &self.cover {
            Cover::Patient(id) => FhirId::parse(id).ok(),
            _ => None,
        };
        Body {
            hold: Some(self.id.clone()),
            subject: Some(self.by.0.clone()),
            approved_by: Some(self.by.1.clone()),
            role: Some("privacy_officer".to_owned()),
            purpose: Some(self.reason.clone()),
            query: Some(Phi::new(self.cover.text())),
            count: Some(self.count),
            patient,
            ..Body::default()
        }
    }

    fn of(stream: u32, record: &Record) -> Option<Self> {
        let body = record.body.as_ref()?;
        Some(Self {
            id: body.hold.clone()?,
            cover: Cover::parse(body.query.as_ref()?.expose())?,
            reason: body.purpose.clone().unwrap_or_default(),
            by: (body.subject.clone()?, body.approved_by.clone()?),
            stream,
            placed: record.time.millis(),
            count: body.count.unwrap_or(0),
            released: None,
        })
    }
}

/// Every hold that these streams of one node tell of, oldest first.
///
/// # Errors
/// [`ReadError`].
pub fn holds(sources: &[Source<'_>]) -> Result<Vec<Hold>, ReadError> {
    let mut holds: Vec<Hold> = Vec::new();
    for source in sources {
        let kinds = [Kind::HoldPlaced, Kind::HoldReleased];
        gather(source, &kinds, None, &|_| true, &mut |held| {
            let record = &held.record;
            match record.kind {
                Some(Kind::HoldPlaced) => holds.extend(Hold::of(source.stream, record)),
                _ => {
                    let id = record.body.as_ref().and_then(|body| body.hold.as_ref());
                    for hold in holds.iter_mut().filter(|hold| Some(&hold.id) == id) {
                        hold.released.get_or_insert(record.time.millis());
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(holds)
}

/// The hold that keeps a month of a stream from being shredded, if one does.
///
/// # Errors
/// [`ReadError`].
pub fn keeping<'a>(
    holds: &'a [Hold],
    source: &Source<'_>,
    period: u32,
) -> Result<Option<&'a Hold>, ReadError> {
    let active: Vec<&Hold> = holds.iter().filter(|hold| hold.released.is_none()).collect();
    // Its own record must stay readable, or the hold would be forgotten.
    let own = |hold: &&&Hold| {
        hold.stream == source.stream
            && u64::try_from(hold.placed).is_ok_and(|placed| period_of(placed) == period)
    };
    if let Some(hold) = active.iter().find(own) {
        return Ok(Some(hold));
    }
    if active.is_empty() {
        return Ok(None);
    }
    let found = std::cell::Cell::new(None);
    let covered = |record: &Record| {
        if found.get().is_none() {
            found.set(active.iter().copied().find(|hold| hold.cover.covers(source.stream, record)));
        }
        false
    };
    gather(source, &[], Some(period), &covered, &mut |_| Ok(()))?;
    Ok(found.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hold_covers_reads_back_from_its_text() {
        for cover in [
            Cover::Patient("pat-1".into()),
            Cover::Person("p_x".into()),
            Cover::Client("app".into()),
            Cover::Range { stream: 2, from: 3, to: 4 },
        ] {
            assert_eq!(Cover::parse(&cover.text()), Some(cover));
        }
        for none in ["", "patient", "x=1", "stream=1&from=4&to=3", "stream=1&from=x&to=3"] {
            assert_eq!(Cover::parse(none), None, "{none}");
        }
    }
}
