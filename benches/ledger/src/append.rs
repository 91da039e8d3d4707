//! Appending with some writers waiting, and then the raw disk: the same bytes, written and synced in the
//! same groups, into a file laid out the same way.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ledger::Ledger;

use crate::log::{entry, open};
use crate::{Options, Outcome};

const SEGMENT: u64 = 64 << 20;

/// One round.
#[derive(Clone, Debug)]
pub struct Append {
    /// Records a second.
    pub rate: f64,
    /// Records in a group, on average.
    pub group: f64,
    /// Median of what a writer waits, in microseconds.
    pub p50: f64,
    /// Median of a raw write and sync of such a group, in microseconds.
    pub raw_sync: f64,
    /// Median of a turn's waits over the median of its raw writes and syncs; the median of all turns.
    pub in_syncs: f64,
    /// What the raw disk took, over what the ledger took: the share that is reached.
    pub share: f64,
}

/// A shared disk is another one a second later: ledger and raw disk take turns this often in a round.
const TURNS: u32 = 6;

/// Measures one round.
pub(crate) fn measure(folder: &Path, options: &Options, waiting: u64) -> Outcome<Append> {
    let ledger = open(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (dir, raw_file) = (folder.join("ledger"), folder.join("raw"));
    let (mut waits, mut syncs, mut took) = (Vec::new(), Vec::new(), Duration::ZERO);
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let before = groups(&dir)?.len();
        let begun = Instant::now();
        let mut own = runtime.block_on(turn(&ledger, options.duration / TURNS, waiting))?;
        took += begun.elapsed();
        let mut beside = raw(&raw_file, groups(&dir)?.get(before..).unwrap_or_default())?;
        ratios.push(median(&mut own) / median(&mut beside));
        waits.append(&mut own);
        syncs.append(&mut beside);
    }
    runtime.block_on(ledger.close())?;
    std::fs::remove_dir_all(folder)?;
    ratios.sort_by(f64::total_cmp);
    let raw_took: Duration = syncs.iter().sum();
    let records = u64::try_from(waits.len())?;
    Ok(Append {
        rate: crate::log::rate(records, took),
        group: crate::log::rate(records, Duration::from_secs(u64::try_from(syncs.len())?)),
        p50: median(&mut waits),
        raw_sync: median(&mut syncs),
        in_syncs: ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN),
        share: raw_took.as_secs_f64() / took.as_secs_f64(),
    })
}

/// Appends for this long; what each writer waited, each time.
async fn turn(ledger: &Ledger, duration: Duration, waiting: u64) -> Outcome<Vec<Duration>> {
    let until = Instant::now() + duration;
    let mut writers = Vec::new();
    for writer in 0..waiting {
        let ledger = ledger.clone();
        writers.push(tokio::spawn(async move {
            let (mut waits, mut number) = (Vec::new(), writer);
            loop {
                let before = Instant::now();
                if before >= until {
                    return Ok::<_, ledger::LedgerFault>(waits);
                }
                ledger.append(vec![entry(number)]).await?;
                waits.push(before.elapsed());
                number += waiting;
            }
        }));
    }
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await??);
    }
    Ok(all)
}

/// The bytes of each batch, which is each group, in order.
fn groups(dir: &Path) -> Outcome<Vec<usize>> {
    let mut sizes = Vec::new();
    ledger::headers::batches(dir, &mut |bytes| sizes.push(bytes))?;
    Ok(sizes)
}

/// Writes and syncs groups of these sizes, one after another.
fn raw(path: &Path, groups: &[usize]) -> Outcome<Vec<Duration>> {
    let largest = groups.iter().max().copied().unwrap_or(0);
    let bytes = vec![0x62; largest];
    let (mut file, mut offset) = (laid_out(path)?, 0);
    let mut each = Vec::with_capacity(groups.len());
    for size in groups {
        if offset >= SEGMENT {
            file = laid_out(path)?;
            offset = 0;
        }
        let before = Instant::now();
        file.write_all_at(bytes.get(..*size).unwrap_or_default(), offset)?;
        rustix::fs::fdatasync(file.as_fd())?;
        each.push(before.elapsed());
        offset += u64::try_from(*size)?;
    }
    Ok(each)
}

/// A new file with its room, as the ledger's segments have it.
fn laid_out(path: &Path) -> Outcome<File> {
    let file = File::options().write(true).create(true).truncate(true).open(path)?;
    let flags = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(file.as_fd(), flags, 0, SEGMENT) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    file.sync_all()?;
    Ok(file)
}

/// In microseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
