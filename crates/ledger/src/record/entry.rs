//! What is handed to the ledger, made ready on the caller's thread: bodies encoded, long lists cut
//! into parts, blind-token inputs laid out. What leaves here fits the format.

use domain::{Kind, Outcome, Phi};

use crate::body::Body;
use crate::format::{MAX_BODY, VERSION, VERSION_OPEN};

/// Something to be recorded. Its time is stamped by the writer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// The particulars, which are sealed.
    pub body: Body,
}

impl Entry {
    /// Something that was done.
    pub const fn new(kind: Kind, body: Body) -> Self {
        Self { kind, outcome: Outcome::Success, body }
    }
}

/// What a blind token stands for. The code is part of the token and never changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// The patient's logical id.
    Patient,
    /// Who acted: the subject.
    Actor,
    /// The client.
    Client,
    /// A resource, as `Type/id`.
    Resource,
    /// The session.
    Session,
    /// The correlation id.
    Correlation,
    /// The peer's address.
    Address,
}

impl Field {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Patient => 1,
            Self::Actor => 2,
            Self::Client => 3,
            Self::Resource => 4,
            Self::Session => 5,
            Self::Correlation => 6,
            Self::Address => 7,
        }
    }
}

/// How many resources one record names before it continues in another; with the other fields they
/// stay under the 255 tokens a leaf can carry.
pub(crate) const RESOURCES_PER_RECORD: usize = 128;
const USER_AGENT_MAX: usize = 256;

/// One record, ready to be sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Prepared {
    pub version: u8,
    pub kind: u16,
    pub outcome: u8,
    /// Inputs of the blind tokens: field code, then value.
    pub tags: Vec<(u8, Box<str>)>,
    pub body: Phi<Vec<u8>>,
}

/// An entry's body is larger than a record can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLarge;

/// The records of one entry: one, or several when its resource list is long.
pub(crate) fn prepare(mut entry: Entry, out: &mut Vec<Prepared>) -> Result<(), TooLarge> {
    if let Some(agent) = &mut entry.body.user_agent {
        agent.truncate(agent.floor_char_boundary(USER_AGENT_MAX));
    }
    if entry.body.resources.len() <= RESOURCES_PER_RECORD {
        out.push(prepare_one(entry.kind, entry.outcome, &entry.body, VERSION)?);
        return Ok(());
    }
    let resources = std::mem::take(&mut entry.body.resources);
    let parts = u32::try_from(resources.len().div_ceil(RESOURCES_PER_RECORD));
    let parts = parts.map_err(|_| TooLarge)?;
    for (number, chunk) in (1..).zip(resources.chunks(RESOURCES_PER_RECORD)) {
        entry.body.resources = chunk.to_vec();
        entry.body.part = Some((number, parts));
        out.push(prepare_one(entry.kind, entry.outcome, &entry.body, VERSION)?);
    }
    Ok(())
}

/// A record of the stream's own, readable without the PHI key.
pub(crate) fn prepare_open(kind: Kind, body: &Body) -> Result<Prepared, TooLarge> {
    prepare_one(kind, Outcome::Success, body, VERSION_OPEN)
}

fn prepare_one(
    kind: Kind,
    outcome: Outcome,
    body: &Body,
    version: u8,
) -> Result<Prepared, TooLarge> {
    let mut encoded = Vec::with_capacity(512);
    body.encode(&mut encoded).map_err(|_| TooLarge)?;
    if encoded.len() > MAX_BODY {
        return Err(TooLarge);
    }
    let tags = if version == VERSION { tags(body) } else { Vec::new() };
    Ok(Prepared {
        version,
        kind: kind.code(),
        outcome: outcome.code(),
        tags,
        body: Phi::new(encoded),
    })
}

/// The blind-token inputs that a body calls for, in the order in which the leaf carries them.
pub(crate) fn tags(body: &Body) -> Vec<(u8, Box<str>)> {
    let mut tags = Vec::with_capacity(8 + body.resources.len());
    let mut put = |field: Field, value: Box<str>| tags.push((field.code(), value));
    if let Some(patient) = &body.patient {
        put(Field::Patient, patient.as_str().into());
    }
    if let Some(subject) = &body.subject {
        put(Field::Actor, subject.as_str().into());
    }
    if let Some(client) = &body.client {
        put(Field::Client, client.as_str().into());
    }
    if let Some(session) = &body.session {
        put(Field::Session, session.as_str().into());
    }
    if let Some(correlation) = &body.correlation {
        put(Field::Correlation, correlation.as_str().into());
    }
    if let Some(address) = &body.address {
        put(Field::Address, address.to_string().into());
    }
    for (kind, id) in &body.resources {
        put(Field::Resource, format!("{kind}/{id}").into());
    }
    tags
}

#[cfg(test)]
mod tests {
    use domain::{FhirId, ResourceType};

    use super::*;

    #[test]
    fn a_long_list_continues_in_further_records_each_complete_in_itself() {
        let body = Body {
            patient: FhirId::parse("pat-1").ok(),
            resources: (0..300)
                .map(|n| (ResourceType::Observation, FhirId::parse(&format!("o{n}")).unwrap()))
                .collect(),
            ..Body::default()
        };
        let mut out = Vec::new();
        prepare(Entry::new(Kind::PhiRelease, body.clone()), &mut out).unwrap();
        assert_eq!(out.len(), 3);
        let mut seen = Vec::new();
        for (number, part) in (1..).zip(&out) {
            let read = Body::decode(part.body.expose()).unwrap();
            assert_eq!(read.part, Some((number, 3)));
            assert!(read.patient == body.patient);
            assert_eq!(part.tags.len(), 1 + read.resources.len());
            seen.extend(read.resources);
        }
        assert!(seen == body.resources);
    }

    #[test]
    fn a_body_over_the_cap_is_refused_and_a_long_user_agent_is_cut() {
        let long = |body: Body| prepare(Entry::new(Kind::PhiDenied, body), &mut Vec::new());
        let query = Some(Phi::new("x".repeat(MAX_BODY + 1)));
        assert_eq!(long(Body { query, ..Body::default() }), Err(TooLarge));
        let user_agent = Some("é".repeat(MAX_BODY));
        assert_eq!(long(Body { user_agent, ..Body::default() }), Ok(()));
    }
}
