//! A search by patient in a large log: the index is made from the log as the server makes it, asked for
//! one patient after another, and each answer's records are opened. Then one patient is recounted from
//! every record, as `--prove` does, and the two must agree.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::Field;
use ledger::read::{ReadError, Reader, Spot};
use store::LedgerIndex;
use store::ledger_index::{IndexMark, IndexQuery, IndexRun, Place};

use crate::Outcome;
use crate::log::{Log, ORIGIN, PATIENTS, rate};

/// Searches, each for another patient.
const SEARCHES: u64 = 500;
/// What the command shows if it is not told otherwise.
const LIMIT: usize = 100;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Search {
    /// Of each search, in milliseconds.
    pub each: Vec<f64>,
    /// Of each search, the part that asks the index, in milliseconds.
    pub index: Vec<f64>,
    /// Records of a patient, on average.
    pub found: f64,
    /// Records that went into the index in a second.
    pub made: f64,
    /// Bytes of the index.
    pub bytes: u64,
    /// The log's bytes that a recount looks at in a second.
    pub recount: f64,
}

/// Makes the index, searches, and recounts.
pub(crate) fn measure(log: &Log) -> Outcome<Search> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(search(log))
}

async fn search(log: &Log) -> Outcome<Search> {
    let path = log.folder.join("index");
    let begun = Instant::now();
    let index = LedgerIndex::make_again(&path).await?;
    fill(reader(log)?, &index).await?;
    let made = rate(log.records, begun.elapsed());
    let mut reader = reader(log)?;
    let (mut each, mut of_index, mut total) = (Vec::new(), Vec::new(), 0);
    let patients = PATIENTS.min(log.records);
    for number in 0..SEARCHES {
        // A prime step, so that no two in a row are neighbours.
        let patient = format!("patient-{}", number * 7_919 % patients);
        let begun = Instant::now();
        let tokens = tokens(&mut reader, &patient)?;
        let query = IndexQuery { values: vec![tokens], ..IndexQuery::default() };
        let found = index.find(&query, LIMIT).await?;
        of_index.push(begun.elapsed().as_secs_f64() * 1e3);
        let places: Vec<_> =
            found.hits.iter().map(|hit| (hit.segment, hit.offset, hit.seq)).collect();
        let records = reader.at(&places)?;
        each.push(begun.elapsed().as_secs_f64() * 1e3);
        let honest =
            records.iter().all(|record| record.carries(Field::Patient, &patient) == Some(true));
        if found.total == 0 || records.len() != places.len() || !honest {
            return Err(format!("the index is wrong about {patient}").into());
        }
        total += found.total;
    }
    let begun = Instant::now();
    let counted = recount(&mut reader, "patient-0")?;
    let recount = rate(log.bytes, begun.elapsed());
    let tokens = tokens(&mut reader, "patient-0")?;
    let query = IndexQuery { values: vec![tokens], ..IndexQuery::default() };
    let named = index.find(&query, 0).await?.total;
    if counted != named {
        return Err(format!("the index names {named} records, and there are {counted}").into());
    }
    index.close().await;
    let bytes = std::fs::metadata(&path)?.len();
    #[allow(clippy::cast_precision_loss, reason = "an average")]
    let found = total as f64 / SEARCHES as f64;
    Ok(Search { each, index: of_index, found, made, bytes, recount })
}

/// The patient's token of each month.
fn tokens(reader: &mut Reader, patient: &str) -> Result<Vec<(u32, [u8; 16])>, ReadError> {
    let tokens = reader.tokens(Field::Patient, patient, &(0..=u32::MAX))?;
    Ok(tokens.into_iter().map(|(period, token)| (period, token.0)).collect())
}

/// How many records carry the patient's token: every record is looked at.
fn recount(reader: &mut Reader, patient: &str) -> Result<u64, ReadError> {
    let tokens: HashMap<_, _> = tokens(reader, patient)?.into_iter().collect();
    let mut count = 0;
    let Some(mut tags) = reader.tags(None)? else { return Ok(0) };
    while tags
        .next_batch(&mut |tag| {
            let carries = tokens.get(&tag.period).is_some_and(|token| tag.tokens.contains(token));
            count += u64::from(carries);
        })?
        .is_some()
    {}
    Ok(count)
}

/// Puts every record into the index; the next run is read while one is written.
async fn fill(mut reader: Reader, index: &LedgerIndex) -> Outcome<()> {
    let (mut mark, mut next): (Option<IndexMark>, _);
    (reader, next) = read_aside(reader, None).await?;
    mark = None;
    while let Some((run, end)) = next {
        let new = IndexMark {
            first_seq: 0,
            segment: end.segment,
            offset: end.offset,
            next_seq: end.next_seq,
            hash: end.hash,
        };
        let (taken, read) =
            tokio::join!(index.append(mark.as_ref(), run, &new), read_aside(reader, Some(end)));
        if !taken? {
            return Err("somebody else writes this index".into());
        }
        (reader, next) = read?;
        mark = Some(new);
    }
    Ok(())
}

/// A run, and where it ends.
type Run = Option<(IndexRun, Spot)>;

async fn read_aside(mut reader: Reader, after: Option<Spot>) -> Outcome<(Reader, Run)> {
    let work = move || {
        let run = read(&mut reader, after.as_ref());
        run.map(|run| (reader, run))
    };
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// The next run of a log; `None` at its end.
fn read(reader: &mut Reader, after: Option<&Spot>) -> Result<Run, ReadError> {
    let Some(mut tags) = reader.tags(after)? else { return Ok(None) };
    let (mut run, mut end) = (IndexRun::default(), None);
    while !run.is_full() {
        let mut time = 0;
        let spot = tags.next_batch(&mut |tag| {
            time = u64::try_from(tag.time.millis()).unwrap_or(0);
            run.push(tag.seq, tag.kind, tag.tokens);
        })?;
        let Some(spot) = spot else { break };
        let Spot { first_seq, segment, offset, .. } = spot;
        run.batch(Place { first_seq, segment, offset, time }, spot.period);
        end = Some(spot);
    }
    Ok(end.map(|end| (run, end)))
}

fn reader(log: &Log) -> Outcome<Reader> {
    let kek = FileKek::open(&log.folder.join("kek"), Arc::new(SystemRandom))?;
    let (dir, keys_dir) = (log.folder.join("ledger"), log.folder.join("keys"));
    Ok(Reader::open(&dir, &keys_dir, ORIGIN, 1, Arc::new(kek)))
}
