//! The manifest of the ledger's streams: who writes each, and the last checkpoint of each, where every
//! node and every verifier sees it. A number belongs to one node for ever; a checkpoint never goes
//! back, and only the process that opened a stream last may move it on.

use domain::Timestamp;
use sqlx::any::AnyRow;

use crate::fault::damaged;
use crate::row::Read as _;
use crate::{Store, StoreFault};

/// A stream as the database knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerStream {
    /// Its number.
    pub stream: u32,
    /// The node that has it.
    pub node: String,
    /// The process that opened it last.
    pub boot: String,
    /// Its name; empty until it was opened.
    pub origin: String,
    /// Its verifier key; empty until it was opened.
    pub verifier_key: String,
    /// The size of its last checkpoint; 0 before the first.
    pub size: u64,
    /// The root of its last checkpoint.
    pub root: [u8; 32],
    /// The last checkpoint, a signed note; empty before the first.
    pub checkpoint: String,
    /// When it was opened last.
    pub opened: Timestamp,
    /// When its last checkpoint was kept.
    pub signed: Timestamp,
    /// When it was closed in order, if it was since.
    pub closed: Option<Timestamp>,
}

/// Who opens a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamOpening {
    /// Its number.
    pub stream: u32,
    /// The node.
    pub node: String,
    /// The process.
    pub boot: String,
    /// The stream's name.
    pub origin: String,
    /// The stream's verifier key.
    pub verifier_key: String,
}

/// A signed tree head to be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamHead {
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: [u8; 32],
    /// The signed note.
    pub note: String,
}

/// What became of a checkpoint that was to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadKept {
    /// It is kept.
    Kept,
    /// A larger one was kept before: the log was cut or rolled back.
    Smaller {
        /// The size kept.
        kept: u64,
    },
    /// Another root was kept for the same size: there are two histories.
    Fork,
    /// Another process has opened the stream since, or it is no stream here.
    NotOurs,
}

impl Store {
    /// All streams, by number.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn ledger_streams(&self) -> Result<Vec<LedgerStream>, StoreFault> {
        let rows = sqlx::query("SELECT * FROM ledger_streams ORDER BY stream")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Gives a stream's number to a node: the one wanted, or the next that nobody ever had. `None` if
    /// the one wanted is another node's. Asking again gives the same.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn claim_ledger_stream(
        &self,
        node: &str,
        wanted: Option<u32>,
        now: Timestamp,
    ) -> Result<Option<u32>, StoreFault> {
        let node = node.to_owned();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    loop {
                        let rows = sqlx::query("SELECT * FROM ledger_streams ORDER BY stream")
                            .fetch_all(&mut *conn)
                            .await?;
                        let known = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                        let stream = match wanted {
                            Some(wanted) => wanted,
                            None => match known.iter().find(|known| known.node == node) {
                                Some(own) => own.stream,
                                None => known.last().map_or(Ok(1), |last| {
                                    last.stream.checked_add(1).ok_or(StoreFault)
                                })?,
                            },
                        };
                        if let Some(known) = known.iter().find(|known| known.stream == stream) {
                            return Ok((known.node == node).then_some(stream));
                        }
                        let made = sqlx::query(
                            "INSERT INTO ledger_streams (stream, node, boot, origin, verifier_key, \
                             size, root, checkpoint, opened, signed) \
                             VALUES ($1, $2, '', '', '', 0, $3, '', $4, $4) \
                             ON CONFLICT (stream) DO NOTHING",
                        )
                        .bind(i64::from(stream))
                        .bind(&node)
                        .bind(vec![0_u8; 32])
                        .bind(now.millis())
                        .execute(&mut *conn)
                        .await?;
                        if made.rows_affected() == 1 {
                            return Ok(Some(stream));
                        }
                        // Another node was quicker; look again.
                    }
                })
            })
            .await
    }

    /// Notes that this process opened the stream; false if it is another node's, or has another key.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn open_ledger_stream(
        &self,
        opening: &StreamOpening,
        now: Timestamp,
    ) -> Result<bool, StoreFault> {
        let opening = opening.clone();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE ledger_streams SET boot = $1, origin = $2, verifier_key = $3, \
                         opened = $4, closed = NULL \
                         WHERE stream = $5 AND node = $6 AND verifier_key IN ('', $3)",
                    )
                    .bind(opening.boot)
                    .bind(opening.origin)
                    .bind(opening.verifier_key)
                    .bind(now.millis())
                    .bind(i64::from(opening.stream))
                    .bind(opening.node)
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// Keeps a stream's newest checkpoint, if it is the same history and this process's stream.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn keep_ledger_checkpoint(
        &self,
        stream: u32,
        boot: &str,
        head: &StreamHead,
        now: Timestamp,
    ) -> Result<HeadKept, StoreFault> {
        let (boot, head) = (boot.to_owned(), head.clone());
        let size = i64::try_from(head.size).map_err(damaged)?;
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE ledger_streams SET size = $1, root = $2, checkpoint = $3, \
                         signed = $4 WHERE stream = $5 AND boot = $6 \
                         AND (size < $1 OR (size = $1 AND root = $2))",
                    )
                    .bind(size)
                    .bind(head.root.to_vec())
                    .bind(head.note)
                    .bind(now.millis())
                    .bind(i64::from(stream))
                    .bind(&boot)
                    .execute(&mut *conn)
                    .await?;
                    if done.rows_affected() == 1 {
                        return Ok(HeadKept::Kept);
                    }
                    let row = sqlx::query("SELECT * FROM ledger_streams WHERE stream = $1")
                        .bind(i64::from(stream))
                        .fetch_optional(conn)
                        .await?;
                    let Some(kept) = row.as_ref().map(read).transpose()? else {
                        return Ok(HeadKept::NotOurs);
                    };
                    Ok(match kept.size.cmp(&head.size) {
                        _ if kept.boot != boot => HeadKept::NotOurs,
                        std::cmp::Ordering::Greater => HeadKept::Smaller { kept: kept.size },
                        _ => HeadKept::Fork,
                    })
                })
            })
            .await
    }

    /// Notes that this process closed its stream in order.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn close_ledger_stream(
        &self,
        stream: u32,
        boot: &str,
        now: Timestamp,
    ) -> Result<(), StoreFault> {
        let boot = boot.to_owned();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE ledger_streams SET closed = $1 WHERE stream = $2 AND boot = $3",
                    )
                    .bind(now.millis())
                    .bind(i64::from(stream))
                    .bind(boot)
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}

fn read(row: &AnyRow) -> Result<LedgerStream, StoreFault> {
    Ok(LedgerStream {
        stream: u32::try_from(row.int("stream")?).map_err(damaged)?,
        node: row.text("node")?,
        boot: row.text("boot")?,
        origin: row.text("origin")?,
        verifier_key: row.text("verifier_key")?,
        size: u64::try_from(row.int("size")?).map_err(damaged)?,
        root: row.bytes("root")?.try_into().map_err(damaged)?,
        checkpoint: row.text("checkpoint")?,
        opened: row.time("opened")?,
        signed: row.time("signed")?,
        closed: row.opt_time("closed")?,
    })
}
