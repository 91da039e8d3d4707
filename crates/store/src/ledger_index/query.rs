//! Asking the index: what a run holds of a query, and where its records are. A query costs a few reads for
//! each run and value, however many records there are.

use std::ops::Range;

use sqlx::{Row as _, SqliteConnection};

use super::pack::{Place, find_posts, unpack_places};
use super::{Run, TOKEN, int, number, short};
use crate::StoreFault;

/// What is looked for. A record must meet all of it.
#[derive(Clone, Default, Debug)]
pub struct IndexQuery {
    /// Each a value, by its blind token of every month.
    pub values: Vec<Vec<(u32, [u8; TOKEN])>>,
    /// A kind's code.
    pub kind: Option<u16>,
    /// Not before this time, in milliseconds.
    pub since: Option<u64>,
    /// Before this time.
    pub until: Option<u64>,
}

/// A record that was found: its number, and where its batch is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    /// Its sequence number.
    pub seq: u64,
    /// The batch's segment.
    pub segment: u32,
    /// The batch's byte offset.
    pub offset: u64,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// How many records there are.
    pub total: u64,
    /// The newest of them, in order.
    pub hits: Vec<Hit>,
}

/// The numbers between which the query's times lie.
pub(super) async fn within(
    conn: &mut SqliteConnection,
    query: &IndexQuery,
) -> Result<Range<u64>, StoreFault> {
    let since = match query.since {
        Some(time) => first_at(conn, time).await?,
        None => 0,
    };
    let until = match query.until {
        Some(time) => first_at(conn, time).await?,
        None => u64::MAX,
    };
    Ok(since..until)
}

/// The number of the first record that is not before this time.
async fn first_at(conn: &mut SqliteConnection, time: u64) -> Result<u64, StoreFault> {
    let time_int = i64::try_from(time).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "SELECT first, data FROM places WHERE at < ? ORDER BY at DESC, first DESC LIMIT 1",
    )
    .bind(time_int)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(0) };
    let places = unpack_places(&row.try_get::<Vec<u8>, _>("data")?)?;
    if let Some(place) = places.iter().find(|place| place.time >= time) {
        return Ok(place.first_seq);
    }
    let next: Option<i64> = sqlx::query_scalar("SELECT MIN(first) FROM places WHERE first > ?")
        .bind(row.try_get::<i64, _>("first")?)
        .fetch_one(conn)
        .await?;
    next.map_or(Ok(u64::MAX), number)
}

pub(super) async fn matches(
    conn: &mut SqliteConnection,
    run: &Run,
    query: &IndexQuery,
    within: &Range<u64>,
) -> Result<Vec<u64>, StoreFault> {
    let bounds = run.seqs.start.max(within.start)..run.seqs.end.min(within.end);
    if bounds.is_empty() {
        return Ok(Vec::new());
    }
    let kind = query.kind.map(|kind| vec![i64::from(kind)]);
    let months = run.first_period..=run.last_period;
    let values = query.values.iter().map(|value| {
        let of_months = value.iter().filter(|(period, _)| months.contains(period));
        of_months.map(|(_, token)| short(token)).collect::<Vec<_>>()
    });
    let mut matching: Option<Vec<u64>> = None;
    for tokens in values.chain(kind) {
        let mut seqs = Vec::new();
        for token in tokens {
            seqs.extend(posts(conn, run, token).await?);
        }
        seqs.sort_unstable();
        seqs.dedup();
        match &mut matching {
            Some(matching) => matching.retain(|seq| seqs.binary_search(seq).is_ok()),
            None => {
                seqs.retain(|seq| bounds.contains(seq));
                matching = Some(seqs);
            }
        }
        if matching.as_ref().is_some_and(Vec::is_empty) {
            break;
        }
    }
    Ok(matching.unwrap_or_else(|| bounds.collect()))
}

async fn posts(conn: &mut SqliteConnection, run: &Run, token: i64) -> Result<Vec<u64>, StoreFault> {
    let data: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT data FROM posts WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1",
    )
    .bind(int(run.seqs.start)?)
    .bind(token)
    .fetch_optional(conn)
    .await?;
    data.map_or(Ok(Vec::new()), |data| find_posts(&data, token))
}

pub(super) async fn places(
    conn: &mut SqliteConnection,
    run: &Run,
    seq: u64,
) -> Result<Vec<Place>, StoreFault> {
    let data: Vec<u8> = sqlx::query_scalar(
        "SELECT data FROM places WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1",
    )
    .bind(int(run.seqs.start)?)
    .bind(int(seq)?)
    .fetch_one(conn)
    .await?;
    unpack_places(&data)
}
