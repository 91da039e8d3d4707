//! From what is on disk to a writer that can take records: keys, recovery, the checkpoints that are
//! kept elsewhere, a segment of this process's own, and the first records. What does not fit what was
//! signed is not opened.

use std::sync::Arc;
use std::time::Instant;

use domain::Kind;

use crate::body::Body;
use crate::calendar::{day_of, period_of};
use crate::chain::{STARTED, day_key, genesis};
use crate::files;
use crate::instance::Instance;
use crate::key_store::{KeyStore, TokenCache};
use crate::ledger::Opened;
use crate::note::{self, Checkpoint, DayCertificate, VerifierKey};
use crate::options::LedgerOptions;
use crate::recover::{Found, OpenError, SetAside, io_error, recover};
use crate::segment::LiveSegment;
use crate::stop::take_ballast;
use crate::tile;
use crate::witness;
use crate::writer::Writer;

/// Finds where the log stands, and brings it to where records can be taken.
pub(crate) fn start(
    options: LedgerOptions,
    locks: [std::fs::File; 2],
) -> Result<(Writer, Opened), OpenError> {
    let dir = options.dir.clone();
    let failed = |reason: String| OpenError::Failed { path: dir.clone(), reason };
    let origin_error = || OpenError::Origin(options.origin.clone());
    let store = KeyStore::new(
        &options.keys_dir,
        &options.origin,
        options.stream,
        Arc::clone(&options.custody),
    );
    let has_segments = !files::segments(&dir).map_err(io_error(&dir))?.is_empty();
    let has_checkpoint = options.keys_dir.join(files::CHECKPOINT).exists()
        || [files::CHECKPOINT, files::WITNESSED].iter().any(|name| dir.join(name).exists());
    let stable = match store.has_stable() {
        true => store.stable()?,
        false if has_segments || has_checkpoint => {
            return Err(OpenError::StableKeyMissing(dir));
        }
        false => store.create_stable(&*options.random)?,
    };
    let stable_key =
        VerifierKey::new(&options.origin, stable.public()).map_err(|_| origin_error())?;
    store.publish_stable(&stable_key)?;
    let now = u64::try_from(options.clock.now().millis()).unwrap_or(0);
    let (kept, disk) = (&options.kept, &*options.disk);
    let found = recover(&dir, kept, &options.keys_dir, options.stream, &stable_key, disk)?;
    let (mut state, mut set_aside, fresh) = match found {
        // A first start that was cut short before its first record begins again.
        Found::Log { state, set_aside } => {
            let fresh = state.batch == 0;
            (state, set_aside, fresh)
        }
        Found::Fresh { set_aside } => (genesis(options.stream), set_aside, true),
    };
    let said = witness::refused(&dir, state.tree.size()).map_err(io_error(&dir))?;
    if let Some((what, reason)) = said {
        let fork = matches!(what, witness::Refused::Fork(_));
        return Err(OpenError::Witness { path: witness::refused_path(&dir), reason, fork });
    }
    let (day, day_number) = if fresh {
        store.erase_days_except(None)?;
        (store.create_day(day_of(now), &*options.random)?, day_of(now))
    } else {
        let day = store.day(state.day)?;
        store.erase_days_except(Some(state.day))?;
        (day, state.day)
    };
    let day_public = day.public().0;
    if !fresh && day_public != state.day_key {
        return Err(OpenError::DayKeyForeign(dir));
    }
    let month = period_of(now.max(state.time));
    if !fresh && period_of(state.time) == month && !store.has_period(month) {
        return Err(OpenError::PeriodKeyMissing { path: dir, period: month });
    }
    let day_name = day_key(&options.origin, day_number, day_public).ok_or_else(origin_error)?;

    // Every process begins a segment of its own; an empty one left behind gives its number back.
    let last = files::segment_path(&dir, state.segment);
    if last.exists() {
        let (mut reader, header) =
            crate::walk::SegmentReader::open(&last).map_err(io_error(&last))?;
        let empty = header.is_some_and(|header| header.batch == state.batch)
            && reader.end_of_data(reader.offset()).map_err(io_error(&last))? == reader.offset();
        if empty {
            options.disk.remove(&last).map_err(io_error(&last))?;
        } else {
            state.segment = state.segment.saturating_add(1);
        }
    }
    take_ballast(&*options.disk, &dir, options.ballast_bytes).map_err(io_error(&dir))?;
    let keys_dir = &options.keys_dir;
    let instance = Instance::begin(&dir, keys_dir, &*options.random, &*options.disk)
        .map_err(io_error(keys_dir))?;
    let segment = LiveSegment::create(&dir, &state, options.segment_bytes, &options.disk)
        .map_err(io_error(&dir))?;
    let tiles = tile::keep(&dir, &state.tree).map_err(io_error(&dir))?;
    let records = state.seq;
    let mut writer = Writer {
        state,
        store,
        stable: (stable_key, stable),
        day: (day_name, day),
        period: None,
        tokens: TokenCache::default(),
        segment,
        tiles,
        shared: Arc::default(),
        buffer: Vec::new(),
        scratch: Vec::new(),
        ends: Vec::new(),
        signed: 0,
        last_record: Instant::now(),
        last_checkpoint: Instant::now(),
        last_tick: Instant::now(),
        clocks: (now, Instant::now()),
        options,
        instance,
        _locks: locks,
    };
    first_records(&mut writer, fresh, set_aside.as_mut(), now)
        .map_err(|failure| failed(failure.reason))?;
    Ok((writer, Opened { created: fresh, recovered: set_aside, records }))
}

fn first_records(
    writer: &mut Writer,
    fresh: bool,
    set_aside: Option<&mut SetAside>,
    now: u64,
) -> Result<(), crate::writer::Failure> {
    let time = now.max(writer.state.time);
    if fresh {
        let before = Checkpoint {
            origin: writer.options.origin.clone(),
            size: 0,
            root: writer.state.tree.root(),
        };
        let day = day_of(time);
        let key = writer.day.0.clone();
        let certificate = DayCertificate { stream: writer.state.stream, day, key, before };
        let stable = &writer.stable;
        let note = note::sign(&certificate.text(), &[(&stable.0, &stable.1)])?;
        writer.state.day = day;
        writer.state.day_key = writer.day.1.public().0;
        let body = Body {
            certificate: Some(note),
            predecessor: writer.options.predecessor.clone(),
            instance: Some(writer.instance.names()),
            ..Body::default()
        };
        writer.own(Kind::StreamOpened, &body, time)?;
        writer.checkpoint()?;
        if set_aside.is_none() {
            return Ok(());
        }
    }
    if writer.state.batch == 1 {
        // The first start was cut short before its checkpoint: nothing was acknowledged yet, and
        // from the second batch on a missing checkpoint is a reason to refuse.
        writer.checkpoint()?;
    }
    if day_of(time) != writer.state.day {
        writer.next_day(time)?;
    }
    if let Some(aside) = set_aside {
        let detail = "a torn tail was set aside".to_owned();
        let body = Body { bytes: Some(aside.bytes), detail: Some(detail), ..Body::default() };
        writer.own(Kind::Recovered, &body, time)?;
        aside.recorded(&*writer.options.disk)?;
    }
    let detail = Some(STARTED.to_owned());
    let instance = Some(writer.instance.names());
    writer.own(Kind::Heartbeat, &Body { detail, instance, ..Body::default() }, time)?;
    writer.checkpoint()
}
