//! The search index of a ledger: a SQLite file of its own that only saves looking at every record. It
//! holds what stands in the clear in the log (numbers, times, kinds, blind tokens) and no PHI; it is
//! never the truth: lost, stale or forged it is made again, and a recount shows what it hid.
//!
//! Runs of at most [`IndexRun::FULL`] records follow one another; in each, the record numbers stand
//! sorted under their tokens. Small runs are merged as they come, so a search looks into few.

mod pack;
mod query;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection};
use tokio::sync::Mutex;

use crate::backend::own_file;
use crate::fault::{damaged, kind};
use crate::{OpenError, StoreFault};
pub use pack::Place;
use pack::{pack_places, pack_posts, unpack_places, unpack_posts};
pub use query::{Found, Hit, IndexQuery};
use query::{matches, places, within};

/// Bytes of a blind token.
const TOKEN: usize = 16;
/// The layout; a file of another one is made again.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), first INTEGER NOT NULL,
        segment INTEGER NOT NULL, offset INTEGER NOT NULL, next INTEGER NOT NULL,
        hash BLOB NOT NULL) STRICT;
    CREATE TABLE runs (first INTEGER PRIMARY KEY, next INTEGER NOT NULL,
        first_period INTEGER NOT NULL, last_period INTEGER NOT NULL) STRICT;
    CREATE TABLE posts (run INTEGER NOT NULL, first INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (run, first)) STRICT;
    CREATE TABLE places (run INTEGER NOT NULL, first INTEGER NOT NULL, at INTEGER NOT NULL,
        data BLOB NOT NULL, PRIMARY KEY (run, first)) STRICT;
    CREATE INDEX places_at ON places (at, first);
    PRAGMA user_version = 1";

/// How far the index has come: the last batch in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexMark {
    /// The number of the first record in the index.
    pub first_seq: u64,
    /// The segment of the last batch.
    pub segment: u32,
    /// Its byte offset.
    pub offset: u64,
    /// The number of the record after its last.
    pub next_seq: u64,
    /// Its hash, which covers the whole log before it.
    pub hash: [u8; 32],
}

/// Records on their way into the index.
#[derive(Default)]
pub struct IndexRun {
    posts: Vec<(i64, u64)>,
    places: Vec<Place>,
    periods: Option<(u32, u32)>,
    records: usize,
}

impl IndexRun {
    /// A run is not made longer than this.
    pub const FULL: usize = 1 << 18;

    /// Adds a record's kind and blind tokens.
    pub fn push(&mut self, seq: u64, kind: u16, tokens: &[[u8; TOKEN]]) {
        self.posts.push((i64::from(kind), seq));
        self.posts.extend(tokens.iter().map(|token| (short(token), seq)));
        self.records += 1;
    }

    /// Adds a batch, after its records, with the month of its key.
    pub fn batch(&mut self, place: Place, period: u32) {
        let (first, last) = self.periods.unwrap_or((period, period));
        self.periods = Some((first.min(period), last.max(period)));
        self.places.push(place);
    }

    /// Whether it belongs into the index now.
    pub const fn is_full(&self) -> bool {
        self.records >= Self::FULL
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// A run in the index: these records, of these months.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The numbers of its records.
    pub seqs: Range<u64>,
    first_period: u32,
    last_period: u32,
}

/// An open index.
pub struct LedgerIndex {
    conn: Mutex<SqliteConnection>,
}

impl LedgerIndex {
    /// Opens the index in this file, made with mode 0600 if there is none.
    ///
    /// # Errors
    /// [`OpenError`] if it is none of this version, or others may read it; then
    /// [`LedgerIndex::make_again`] helps.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let path = own_file(path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            // A cache: what a crash takes is read from the log again.
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(Duration::from_secs(10))
            .pragma("trusted_schema", "OFF")
            .pragma("cache_size", "-16384")
            .disable_statement_logging();
        let failed = |error: sqlx::Error| OpenError::Unusable(kind(&error));
        let mut conn = options.connect().await.map_err(failed)?;
        conn.execute("BEGIN IMMEDIATE").await.map_err(failed)?;
        let version: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut conn).await.map_err(failed)?;
        match version {
            VERSION => {}
            0 => {
                conn.execute(TABLES).await.map_err(failed)?;
            }
            version => return Err(OpenError::Schema { version }),
        }
        conn.execute("COMMIT").await.map_err(failed)?;
        Ok(Self { conn: Mutex::new(conn) })
    }

    /// Removes what is there, and opens an empty index.
    ///
    /// # Errors
    /// [`OpenError`] if that cannot be done either.
    pub async fn make_again(path: &Path) -> Result<Self, OpenError> {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
                    return Err(OpenError::File { path: path.to_owned(), reason });
                }
                _ => {}
            }
        }
        Self::open(path).await
    }

    /// Closes the file.
    pub async fn close(self) {
        let _closed = self.conn.into_inner().close().await;
    }

    /// How far it has come; `None` while it is empty.
    ///
    /// # Errors
    /// [`StoreFault`] if the file is damaged.
    pub async fn mark(&self) -> Result<Option<IndexMark>, StoreFault> {
        mark(&mut *self.conn.lock().await).await
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// [`StoreFault`] if the file is damaged.
    pub async fn clear(&self) -> Result<(), StoreFault> {
        let mut conn = self.conn.lock().await;
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        for table in
            ["DELETE FROM mark", "DELETE FROM runs", "DELETE FROM posts", "DELETE FROM places"]
        {
            transaction.execute(table).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Adds a run that begins where the index ended and ends at the new mark. `false`, and nothing
    /// done, if somebody else brought it further meanwhile.
    ///
    /// # Errors
    /// [`StoreFault`] if the file is damaged.
    pub async fn append(
        &self,
        expected: Option<&IndexMark>,
        run: IndexRun,
        new: &IndexMark,
    ) -> Result<bool, StoreFault> {
        let Some((first_period, last_period)) = run.periods else { return Ok(true) };
        let IndexRun { mut posts, places, .. } = run;
        // Sorting a quarter of a million records takes a while: not on a thread that serves.
        let sort = move || {
            posts.sort_unstable();
            posts.dedup();
            (pack_posts(&posts), pack_places(&places))
        };
        let packed = tokio::task::spawn_blocking(sort).await.map_err(damaged)?;
        let mut conn = self.conn.lock().await;
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        if mark(&mut transaction).await?.as_ref() != expected {
            return Ok(false);
        }
        let first = expected.map_or(new.first_seq, |mark| mark.next_seq);
        let run = Run { seqs: first..new.next_seq, first_period, last_period };
        put_run(&mut transaction, &run, &packed).await?;
        merge(&mut transaction).await?;
        sqlx::query("INSERT OR REPLACE INTO mark VALUES (1, ?, ?, ?, ?, ?)")
            .bind(int(new.first_seq)?)
            .bind(i64::from(new.segment))
            .bind(int(new.offset)?)
            .bind(int(new.next_seq)?)
            .bind(new.hash.to_vec())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The runs, in order.
    ///
    /// # Errors
    /// [`StoreFault`] if the file is damaged.
    pub async fn runs(&self) -> Result<Vec<Run>, StoreFault> {
        runs(&mut *self.conn.lock().await).await
    }

    /// The numbers of a run's records that meet the query, in order.
    ///
    /// # Errors
    /// [`StoreFault`] if the file is damaged.
    pub async fn matches(&self, run: &Run, query: &IndexQuery) -> Result<Vec<u64>, StoreFault> {
        let mut conn = self.conn.lock().await;
        let within = within(&mut conn, query).await?;
        matches(&mut conn, run, query, &within).await
    }

    /// How many records meet the query, and where the newest `limit` are.
    ///
    /// # Errors
    /// [`StoreFault`] if the file is damaged.
    pub async fn find(&self, query: &IndexQuery, limit: usize) -> Result<Found, StoreFault> {
        let mut conn = self.conn.lock().await;
        let within = within(&mut conn, query).await?;
        let mut found = Found::default();
        for run in runs(&mut conn).await?.iter().rev() {
            let seqs = matches(&mut conn, run, query, &within).await?;
            found.total = found.total.saturating_add(seqs.len() as u64);
            let wanted = limit.saturating_sub(found.hits.len());
            let mut chunk: Vec<Place> = Vec::new();
            for seq in seqs.into_iter().rev().take(wanted) {
                if chunk.first().is_none_or(|place| place.first_seq > seq) {
                    chunk = places(&mut conn, run, seq).await?;
                }
                let place = chunk.iter().rfind(|place| place.first_seq <= seq);
                let place = place.ok_or(()).map_err(damaged)?;
                found.hits.push(Hit { seq, segment: place.segment, offset: place.offset });
            }
        }
        found.hits.reverse();
        Ok(found)
    }
}

/// The token's first half: enough to be found by; who opens the record sees if it was another.
fn short(token: &[u8; TOKEN]) -> i64 {
    let (half, _) = token.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    i64::from_be_bytes(*half)
}

fn int(number: u64) -> Result<i64, StoreFault> {
    i64::try_from(number).map_err(damaged)
}

fn number(number: i64) -> Result<u64, StoreFault> {
    u64::try_from(number).map_err(damaged)
}

async fn mark(conn: &mut SqliteConnection) -> Result<Option<IndexMark>, StoreFault> {
    let row = sqlx::query("SELECT first, segment, offset, next, hash FROM mark")
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(Some(IndexMark {
        first_seq: number(row.try_get("first")?)?,
        segment: u32::try_from(row.try_get::<i64, _>("segment")?).map_err(damaged)?,
        offset: number(row.try_get("offset")?)?,
        next_seq: number(row.try_get("next")?)?,
        hash: hash.try_into().map_err(damaged)?,
    }))
}

async fn runs(conn: &mut SqliteConnection) -> Result<Vec<Run>, StoreFault> {
    let rows =
        sqlx::query("SELECT first, next, first_period, last_period FROM runs ORDER BY first")
            .fetch_all(conn)
            .await?;
    let period = |number: i64| u32::try_from(number).map_err(damaged);
    let read = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Run {
            seqs: number(row.try_get("first")?)?..number(row.try_get("next")?)?,
            first_period: period(row.try_get("first_period")?)?,
            last_period: period(row.try_get("last_period")?)?,
        })
    };
    rows.iter().map(read).collect()
}

type Packed = (Vec<(i64, Vec<u8>)>, Vec<(Place, Vec<u8>)>);

async fn put_run(
    conn: &mut SqliteConnection,
    run: &Run,
    (posts, places): &Packed,
) -> Result<(), StoreFault> {
    let first = int(run.seqs.start)?;
    sqlx::query("INSERT INTO runs VALUES (?, ?, ?, ?)")
        .bind(first)
        .bind(int(run.seqs.end)?)
        .bind(i64::from(run.first_period))
        .bind(i64::from(run.last_period))
        .execute(&mut *conn)
        .await?;
    for (token, data) in posts {
        sqlx::query("INSERT INTO posts VALUES (?, ?, ?)")
            .bind(first)
            .bind(*token)
            .bind(data.as_slice())
            .execute(&mut *conn)
            .await?;
    }
    for (place, data) in places {
        sqlx::query("INSERT INTO places VALUES (?, ?, ?, ?)")
            .bind(first)
            .bind(int(place.first_seq)?)
            .bind(int(place.time)?)
            .bind(data.as_slice())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Merges the last runs while the one before is not much longer: then there are few, and each record
/// is written again only a few times.
async fn merge(conn: &mut SqliteConnection) -> Result<(), StoreFault> {
    loop {
        let all = runs(conn).await?;
        let [.., before, last] = all.as_slice() else { return Ok(()) };
        let length = |run: &Run| run.seqs.end.saturating_sub(run.seqs.start);
        let sum = length(before).saturating_add(length(last));
        if length(before) > length(last).saturating_mul(4) || sum > IndexRun::FULL as u64 {
            return Ok(());
        }
        let (mut posts, mut places) = (Vec::new(), Vec::new());
        for run in [before, last] {
            let first = int(run.seqs.start)?;
            let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT data FROM posts WHERE run = ?")
                .bind(first)
                .fetch_all(&mut *conn)
                .await?;
            rows.iter().try_for_each(|data| unpack_posts(data, &mut posts))?;
            let rows: Vec<Vec<u8>> =
                sqlx::query_scalar("SELECT data FROM places WHERE run = ? ORDER BY first")
                    .bind(first)
                    .fetch_all(&mut *conn)
                    .await?;
            for data in rows {
                places.extend(unpack_places(&data)?);
            }
            for delete in [
                "DELETE FROM posts WHERE run = ?",
                "DELETE FROM places WHERE run = ?",
                "DELETE FROM runs WHERE first = ?",
            ] {
                sqlx::query(delete).bind(first).execute(&mut *conn).await?;
            }
        }
        posts.sort_unstable();
        let merged = Run {
            seqs: before.seqs.start..last.seqs.end,
            first_period: before.first_period.min(last.first_period),
            last_period: before.last_period.max(last.last_period),
        };
        put_run(conn, &merged, &(pack_posts(&posts), pack_places(&places))).await?;
    }
}

#[cfg(test)]
mod tests;
