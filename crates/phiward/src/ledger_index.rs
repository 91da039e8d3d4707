//! Brings the search index up with the log: the server's task and the search command by the same steps,
//! whoever is first. An index of another or a changed log is noticed by the hash where it ended, and made
//! again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ledger::Trouble;
use ledger::read::{ReadError, Reader, Spot};
use store::LedgerIndex;
use store::ledger_index::{IndexMark, IndexRun, Place};

use crate::config::Config;
use crate::failure::Failure;

/// Where the index is: beside the server's own files, since it is this node's.
pub(crate) fn path(config: &Config) -> PathBuf {
    config.data.join("ledger-index.db")
}

/// Why the index is not up with the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The index is damaged; made again, it will do.
    #[error("the search index is damaged")]
    Index,
}

impl From<store::StoreFault> for IndexError {
    fn from(_: store::StoreFault) -> Self {
        Self::Index
    }
}

/// The failure of a command that reads the log.
pub(crate) fn unreadable(error: &ReadError) -> Failure {
    let trouble = match error {
        ReadError::Io { .. } => return Failure::usage(error.to_string()),
        ReadError::Damaged { .. } => Trouble::Corrupt,
        ReadError::Keys(keys) => keys.trouble(),
    };
    Failure::trouble(trouble, error.to_string())
}

/// Opens the index; one that cannot be opened is made again.
pub(crate) async fn open(path: &Path) -> Result<LedgerIndex, Failure> {
    match LedgerIndex::open(path).await {
        Ok(index) => Ok(index),
        Err(store::OpenError::Exposed { path }) => Err(Failure::usage(format!(
            "the search index {} is open to others; run: chmod 600 {}",
            path.display(),
            path.display()
        ))),
        Err(_) => LedgerIndex::make_again(path)
            .await
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display()))),
    }
}

/// Whether two moments see one file by this name.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Indexes what the log has and the index has not; `at` is told how many records are done. Gives the
/// reader back, and whether the index was of another log.
pub(crate) async fn catch_up(
    index: &LedgerIndex,
    mut reader: Reader,
    at: &(dyn Fn(u64) + Sync),
) -> Result<(Reader, bool), IndexError> {
    let mut remade = false;
    let mut mark = index.mark().await?;
    let mut step;
    (reader, step) = read_aside(reader, mark).await?;
    loop {
        match step {
            Step::Other => {
                index.clear().await?;
                (remade, mark) = (true, None);
                (reader, step) = read_aside(reader, mark).await?;
            }
            Step::Nothing => return Ok((reader, remade)),
            Step::Run { run, end, is_last } => {
                at(end.next_seq);
                if is_last {
                    if index.append(mark.as_ref(), run, &end).await? {
                        return Ok((reader, remade));
                    }
                    mark = index.mark().await?;
                    (reader, step) = read_aside(reader, mark).await?;
                    continue;
                }
                // The next run is read while this one is written.
                let (taken, next) = tokio::join!(
                    index.append(mark.as_ref(), run, &end),
                    read_aside(reader, Some(end))
                );
                (reader, step) = next?;
                mark = Some(end);
                // If somebody else was faster, go on from there.
                if !taken? {
                    mark = index.mark().await?;
                    (reader, step) = read_aside(reader, mark).await?;
                }
            }
        }
    }
}

/// Reads on a thread that may block.
async fn read_aside(
    mut reader: Reader,
    mark: Option<IndexMark>,
) -> Result<(Reader, Step), IndexError> {
    let work = move || {
        let step = read(&mut reader, mark.as_ref());
        step.map(|step| (reader, step))
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| IndexError::Index)??)
}

enum Step {
    /// The index is of another log.
    Other,
    /// Nothing is missing in it.
    Nothing,
    /// What comes next, and where it ends.
    Run { run: IndexRun, end: IndexMark, is_last: bool },
}

fn read(reader: &mut Reader, mark: Option<&IndexMark>) -> Result<Step, ReadError> {
    let first = reader.first_seq()?;
    let first_seq = match (mark, first) {
        (None, None) => return Ok(Step::Nothing),
        (Some(mark), Some(first)) if mark.first_seq == first => first,
        (None, Some(first)) => first,
        (Some(_), _) => return Ok(Step::Other),
    };
    let after = mark.map(|mark| Spot {
        segment: mark.segment,
        offset: mark.offset,
        first_seq: mark.first_seq,
        next_seq: mark.next_seq,
        period: 0,
        hash: mark.hash,
    });
    let Some(mut tags) = reader.tags(after.as_ref())? else { return Ok(Step::Other) };
    let mut run = IndexRun::default();
    let mut end = None;
    let mut is_last = false;
    while !run.is_full() {
        let mut time = 0;
        let spot = tags.next_batch(&mut |tag| {
            time = u64::try_from(tag.time.millis()).unwrap_or(0);
            run.push(tag.seq, tag.kind, tag.tokens);
        })?;
        let Some(spot) = spot else {
            is_last = true;
            break;
        };
        let place =
            Place { first_seq: spot.first_seq, segment: spot.segment, offset: spot.offset, time };
        run.batch(place, spot.period);
        end = Some(IndexMark {
            first_seq,
            segment: spot.segment,
            offset: spot.offset,
            next_seq: spot.next_seq,
            hash: spot.hash,
        });
    }
    Ok(end.map_or(Step::Nothing, |end| Step::Run { run, end, is_last }))
}
