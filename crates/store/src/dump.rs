//! The whole database as lines of text, from one moment, and back again into either database. Sealed
//! columns stay sealed. A load is one change: everything is there or nothing; and it revokes whatever
//! may have ended since the dump: sessions, codes, refresh families, grants.

use domain::Timestamp;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Executor as _, Row as _, SqlSafeStr as _};

use crate::fault::damaged;
use crate::writer::Writer;
use crate::{Store, StoreFault};

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpHead {
    /// The dump's format.
    pub phiward_dump: u32,
    /// The schema's version.
    pub schema: i64,
}

const FORMAT: u32 = 1;
/// What others refer to comes first; the rest follows by name.
const FIRST: [&str; 6] = ["sealed_values", "clients", "people", "sessions", "flows", "grants"];
/// The manifest of the ledger's streams.
const STREAMS: &str = "ledger_streams";
/// A line of a dump is no longer than this, in bytes.
pub const MAX_LINE: usize = 16 << 20;

/// A dump or a load failed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// Where the lines go to or come from failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is no dump of this version's.
    #[error("{0}")]
    Form(&'static str),
    /// The database holds something.
    #[error("the database is not empty")]
    NotEmpty,
}

impl From<sqlx::Error> for DumpError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Where a dump's lines go, without their newlines.
pub type Sink<'a> = dyn FnMut(&[u8]) -> std::io::Result<()> + Send + 'a;
/// Where a dump's lines come from.
pub type Lines = Box<dyn Iterator<Item = std::io::Result<Vec<u8>>> + Send>;

/// What a dump held.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Dumped {
    /// Rows.
    pub rows: u64,
}

/// Looks through a dump's lines without a database: whether it is whole, and what it holds.
#[derive(Debug, Default)]
pub struct Inspector {
    /// Where the number of a stream stands in the rows that follow, if they are streams.
    stream_at: Option<usize>,
    headed: bool,
    rows: u64,
    told: Option<u64>,
    streams: u32,
}

impl Inspector {
    /// Takes the next line.
    ///
    /// # Errors
    /// [`DumpError::Form`] if it is not a dump's.
    pub fn line(&mut self, line: &[u8]) -> Result<(), DumpError> {
        let no_dump = DumpError::Form("it is not a dump of this program's");
        if !self.headed {
            self.headed = serde_json::from_slice::<DumpHead>(line).is_ok();
            return if self.headed { Ok(()) } else { Err(no_dump) };
        }
        if self.told.is_some() {
            return Err(DumpError::Form("the dump goes on after its end"));
        }
        match serde_json::from_slice(line) {
            Ok(Line::Row(cells)) => {
                self.rows = self.rows.saturating_add(1);
                let cell = self.stream_at.and_then(|at| cells.get(at));
                if let Some(Cell::Int(stream)) = cell {
                    self.streams = self.streams.max(u32::try_from(*stream).unwrap_or(0));
                }
            }
            Ok(Line::Table { table, columns }) => {
                let place = columns.iter().position(|column| column == "stream");
                self.stream_at = place.filter(|_| table == STREAMS);
            }
            Ok(Line::End { rows }) => self.told = Some(rows),
            Err(_) => return Err(no_dump),
        }
        Ok(())
    }

    /// How many rows there are, and the greatest number of a stream that any node has (0 for none).
    ///
    /// # Errors
    /// [`DumpError::Form`] if the end is missing.
    pub fn end(&self) -> Result<(u64, u32), DumpError> {
        if self.told == Some(self.rows) {
            Ok((self.rows, self.streams))
        } else {
            Err(DumpError::Form("the dump ends early"))
        }
    }
}

impl Store {
    /// Hands out every row of every table as it stands at one moment, beside running changes.
    ///
    /// # Errors
    /// [`DumpError`] if the database or the sink fails.
    pub async fn dump(&self, sink: &mut Sink<'_>) -> Result<Dumped, DumpError> {
        let mut conn = self.readers.acquire().await.map_err(StoreFault::from)?;
        let sqlite = self.is_sqlite();
        conn.execute(if sqlite { "BEGIN" } else { SNAPSHOT }).await?;
        let done = dump_all(&mut conn, sqlite, sink).await;
        // Nothing was changed; whichever way it ended, the snapshot is let go.
        let ended = conn.execute("ROLLBACK").await;
        if ended.is_err() {
            conn.detach();
        }
        done
    }

    /// Whether there is nothing in the database but what opening it puts there.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn is_blank(&self) -> Result<bool, StoreFault> {
        let mut conn = self.readers.acquire().await?;
        let sqlite = self.is_sqlite();
        for table in tables(&mut conn, sqlite).await? {
            let text = match table.as_str() {
                "sealed_values" => {
                    "SELECT count(*) FROM sealed_values WHERE name <> 'key proof'".to_owned()
                }
                _ => format!("SELECT count(*) FROM {table}"),
            };
            let row = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(&mut *conn).await?;
            if row.try_get::<i64, _>(0)? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts a dump in the place of everything there is, and revokes what it holds of sessions, codes,
    /// refresh families and grants.
    ///
    /// # Errors
    /// [`DumpError`]; then nothing was changed.
    pub async fn load(
        &self,
        lines: Lines,
        replace: bool,
        now: Timestamp,
    ) -> Result<Dumped, DumpError> {
        if !replace && !self.is_blank().await? {
            return Err(DumpError::NotEmpty);
        }
        let sqlite = self.is_sqlite();
        let (tell, told) = std::sync::mpsc::channel();
        let changed = self
            .writer
            .change(move |conn| {
                Box::pin(async move {
                    match load_all(conn, sqlite, lines, now).await {
                        Ok(dumped) => Ok(dumped),
                        Err(error) => {
                            // A change has one kind of fault; what it was is told beside it.
                            let _gone = tell.send(error);
                            Err(StoreFault)
                        }
                    }
                })
            })
            .await;
        changed.map_err(|fault| told.try_recv().unwrap_or(DumpError::Store(fault)))
    }

    const fn is_sqlite(&self) -> bool {
        matches!(self.writer, Writer::Queue(_))
    }
}

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Our tables, those first that others refer to.
async fn tables(conn: &mut AnyConnection, sqlite: bool) -> Result<Vec<String>, StoreFault> {
    let text = if sqlite {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' \
         AND name <> '_sqlx_migrations' ORDER BY name"
    } else {
        "SELECT table_name::text AS name FROM information_schema.tables \
         WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' \
         AND table_name <> '_sqlx_migrations' ORDER BY 1"
    };
    let rows = sqlx::query(text).fetch_all(&mut *conn).await?;
    let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let mut names: Vec<String> = names?.into_iter().filter(|name| is_name(name)).collect();
    names.sort_by_key(|name| {
        let first = FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len());
        (first, name.clone())
    });
    Ok(names)
}

/// What may stand in a statement as it is.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

async fn schema_version(conn: &mut AnyConnection) -> Result<i64, StoreFault> {
    let row = sqlx::query("SELECT max(version) FROM _sqlx_migrations").fetch_one(conn).await?;
    Ok(row.try_get(0)?)
}

async fn dump_all(
    conn: &mut AnyConnection,
    sqlite: bool,
    sink: &mut Sink<'_>,
) -> Result<Dumped, DumpError> {
    let mut line = |value: &Value| -> Result<(), DumpError> {
        Ok(sink(&serde_json::to_vec(value).map_err(damaged)?)?)
    };
    let head = DumpHead { phiward_dump: FORMAT, schema: schema_version(conn).await? };
    line(&serde_json::to_value(head).map_err(damaged)?)?;
    let mut dumped = Dumped::default();
    for table in tables(conn, sqlite).await? {
        let text = format!("SELECT * FROM {table}");
        let mut rows = sqlx::query(sqlx::AssertSqlSafe(text)).fetch(&mut *conn);
        let mut count = 0_u64;
        while let Some(row) = rows.try_next().await? {
            if count == 0 {
                let columns: Vec<&str> = row.columns().iter().map(sqlx::Column::name).collect();
                line(&json!({ "table": table, "columns": columns }))?;
            }
            line(&values(&row)?)?;
            count += 1;
        }
        dumped.rows += count;
    }
    line(&json!({ "rows": dumped.rows }))?;
    Ok(dumped)
}

/// A row as an array: texts, integers, bytes as `{"b": "hex"}`, and null.
fn values(row: &AnyRow) -> Result<Value, StoreFault> {
    let mut values = Vec::with_capacity(row.columns().len());
    for index in 0..row.columns().len() {
        let value = if let Ok(number) = row.try_get::<Option<i64>, _>(index) {
            number.map_or(Value::Null, Value::from)
        } else if let Ok(text) = row.try_get::<Option<String>, _>(index) {
            text.map_or(Value::Null, Value::from)
        } else {
            let bytes: Option<Vec<u8>> = row.try_get(index)?;
            bytes.map_or(Value::Null, |bytes| json!({ "b": hex_text(&bytes) }))
        };
        values.push(value);
    }
    Ok(Value::Array(values))
}

fn hex_text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    digits
        .chunks_exact(2)
        .map(|two| match two {
            [high, low] => Some(value(*high)? * 16 + value(*low)?),
            _ => None,
        })
        .collect()
}

/// What may still be alive in an old database, and must not be: by table.
const REVOKE: [(&str, &str); 6] = [
    ("sessions", "DELETE FROM sessions"),
    ("flows", "DELETE FROM flows"),
    ("codes", "UPDATE codes SET used = $1 WHERE used IS NULL"),
    ("refresh_tokens", "UPDATE refresh_tokens SET spent = $1 WHERE spent IS NULL"),
    ("grants", "UPDATE grants SET withdrawn = $1 WHERE withdrawn IS NULL"),
    // The ledger's streams ended; a node that goes on with one says so when it opens it.
    (STREAMS, "UPDATE ledger_streams SET closed = $1 WHERE closed IS NULL"),
];

async fn load_all(
    conn: &mut AnyConnection,
    sqlite: bool,
    mut lines: Lines,
    now: Timestamp,
) -> Result<Dumped, DumpError> {
    let no_dump = DumpError::Form("it is not a dump of this program's");
    let Some(first) = lines.next() else { return Err(no_dump) };
    let Ok(head) = serde_json::from_slice::<DumpHead>(&first?) else { return Err(no_dump) };
    if head.phiward_dump != FORMAT || head.schema > schema_version(conn).await? {
        return Err(DumpError::Form("the backup is of a newer version than this program"));
    }
    let known = tables(conn, sqlite).await?;
    for table in known.iter().rev() {
        let text = format!("DELETE FROM {table}");
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut *conn).await?;
    }
    let mut loaded = Dumped::default();
    let mut into: Option<(String, Vec<String>)> = None;
    let mut total = None;
    for line in lines {
        let line = line?;
        if total.is_some() || line.len() > MAX_LINE {
            return Err(DumpError::Form("the dump goes on after its end"));
        }
        match serde_json::from_slice::<Line>(&line) {
            Ok(Line::Row(values)) => {
                let Some((table, columns)) = &into else { return Err(no_dump) };
                insert(conn, table, columns, values).await?;
                loaded.rows += 1;
            }
            Ok(Line::Table { table, columns }) => {
                let ours = known.contains(&table) && columns.iter().all(|name| is_name(name));
                if !ours {
                    return Err(DumpError::Form("the dump has a table that this version has not"));
                }
                into = Some((table, columns));
            }
            Ok(Line::End { rows }) => total = Some(rows),
            Err(_) => return Err(no_dump),
        }
    }
    if total != Some(loaded.rows) {
        return Err(DumpError::Form("the dump ends early"));
    }
    for (table, statement) in REVOKE {
        if !known.iter().any(|name| name == table) {
            continue;
        }
        let query = sqlx::query(statement);
        let query = if statement.contains("$1") { query.bind(now.millis()) } else { query };
        query.execute(&mut *conn).await?;
    }
    Ok(loaded)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Row(Vec<Cell>),
    Table { table: String, columns: Vec<String> },
    End { rows: u64 },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Cell {
    Null(()),
    Int(i64),
    Text(String),
    Bytes { b: String },
}

async fn insert(
    conn: &mut AnyConnection,
    table: &str,
    columns: &[String],
    values: Vec<Cell>,
) -> Result<(), DumpError> {
    if values.len() != columns.len() {
        return Err(DumpError::Form("a row of the dump has too few or too many columns"));
    }
    // Null as a word: a bound one would have a type, which PostgreSQL compares.
    let mut number = 0;
    let places: Vec<String> = values
        .iter()
        .map(|value| match value {
            Cell::Null(()) => "NULL".to_owned(),
            _ => {
                number += 1;
                format!("${number}")
            }
        })
        .collect();
    let text =
        format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places.join(", "));
    let mut query = sqlx::query(sqlx::AssertSqlSafe(text).into_sql_str());
    for value in values {
        query = match value {
            Cell::Null(()) => query,
            Cell::Int(number) => query.bind(number),
            Cell::Text(text) => query.bind(text),
            Cell::Bytes { b } => {
                let bytes = hex_bytes(&b);
                query.bind(bytes.ok_or(DumpError::Form("the dump has bytes that are none"))?)
            }
        };
    }
    query.execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_looked_through_for_its_end_and_its_streams() {
        let lines: [&[u8]; 6] = [
            br#"{"phiward_dump":1,"schema":3}"#,
            br#"{"table":"clients","columns":["stream"]}"#,
            br#"[900]"#,
            br#"{"table":"ledger_streams","columns":["stream","node"]}"#,
            br#"[7,"n_x"]"#,
            br#"{"rows":2}"#,
        ];
        let look = |lines: &[&[u8]]| {
            let mut inspector = Inspector::default();
            lines.iter().try_for_each(|line| inspector.line(line)).and_then(|()| inspector.end())
        };
        assert_eq!(look(&lines).unwrap(), (2, 7));
        for cut in 0..lines.len() {
            assert!(look(&lines[..cut]).is_err(), "{cut}");
        }
        assert!(look(&[lines.as_slice(), &lines[5..]].concat()).is_err());
        assert!(look(&lines[1..]).is_err());
    }

    #[test]
    fn bytes_read_back_and_names_are_plain() {
        assert_eq!(hex_bytes(&hex_text(&[0, 255, 16])), Some(vec![0, 255, 16]));
        for none in ["0", "0g", "+1", "é"] {
            assert_eq!(hex_bytes(none), None, "{none}");
        }
        assert!(is_name("ledger_streams") && !is_name("a;b") && !is_name("") && !is_name("A"));
    }
}
