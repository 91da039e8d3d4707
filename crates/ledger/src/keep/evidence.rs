//! Records taken out of the log so that they stand on their own: each with its leaf as it is in the
//! tree, and the key of its batch, which opens this leaf and no other batch. With an inclusion proof
//! the leaf is proven, with the key its content; the month's key may then be gone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use domain::{Kind, Outcome, Secret, Timestamp};
use keys::custody::Custody;
use keys::seal::SealKey;

use crate::files;
use crate::format::Leaf;
use crate::key_store::{KeyStore, KeyStoreError, PeriodKey};
use crate::read::{ReadError, Record, open_leaf};
use crate::tree::{Hash, leaf_hash};
use crate::walk::{SegmentReader, Step};

/// Which log, and with what it opens.
pub struct Source<'a> {
    /// The log's directory.
    pub dir: &'a Path,
    /// Its keys.
    pub keys_dir: &'a Path,
    /// Its name.
    pub origin: &'a str,
    /// Its stream's number.
    pub stream: u32,
    /// What wraps its keys.
    pub custody: Arc<dyn Custody>,
}

/// A record, its leaf, and what opens it.
pub struct Held {
    /// The record.
    pub record: Record,
    /// Its leaf, as it stands in the tree.
    pub leaf: Vec<u8>,
    /// The key of its batch.
    pub key: Secret<[u8; 32]>,
    /// Its place in the batch, which is its nonce.
    pub place: u32,
}

/// Hands out the records that are wanted, in order: of these kinds (all, if none are named) and, where
/// it is given, of this month. Records of shredded months are passed over.
///
/// # Errors
/// [`ReadError`]; what `take` says ends it, too.
pub fn gather(
    source: &Source<'_>,
    kinds: &[Kind],
    month: Option<u32>,
    want: &dyn Fn(&Record) -> bool,
    take: &mut dyn FnMut(Held) -> std::io::Result<()>,
) -> Result<(), ReadError> {
    let custody = Arc::clone(&source.custody);
    let store = KeyStore::new(source.keys_dir, source.origin, source.stream, custody);
    let mut periods: HashMap<u32, Option<PeriodKey>> = HashMap::new();
    let dir = source.dir;
    let segments = files::segments(dir)
        .map_err(|error| ReadError::Io { path: dir.to_owned(), source: error })?;
    for (_, path) in segments {
        let io = |source| ReadError::Io { path: path.clone(), source };
        let (reader, _) = SegmentReader::open(&path).map_err(io)?;
        let mut reader = reader.skim();
        loop {
            let offset = reader.offset();
            let damaged = || ReadError::Damaged { path: path.clone(), offset };
            let batch = match reader.step().map_err(io)? {
                Step::Batch(batch) => batch,
                Step::End => break,
                Step::Bad => return Err(damaged()),
            };
            let header = &batch.header;
            if month.is_some_and(|month| month != header.period) {
                continue;
            }
            let wanted = |leaf: &Leaf<'_>| {
                kinds.is_empty() || kinds.iter().any(|kind| kind.code() == leaf.kind)
            };
            if !batch.leaves().flatten().any(|leaf| wanted(&leaf)) {
                continue;
            }
            let period = match periods.entry(header.period) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    let has = store.has_period(header.period);
                    vacant.insert(if has { Some(store.period(header.period)?) } else { None })
                }
            };
            let Some(period) = period else { continue };
            let (key, commitment) = period.batch_secret(header).map_err(KeyStoreError::from)?;
            if !keys::constant_time_eq(&commitment, &header.commitment) {
                return Err(damaged());
            }
            let seal = SealKey::new(key.expose()).map_err(KeyStoreError::from)?;
            for (place, leaf) in (0_u32..).zip(batch.leaves()) {
                let leaf = leaf.ok_or_else(damaged)?;
                if !wanted(&leaf) {
                    continue;
                }
                let index = header.first_leaf + 1 + u64::from(place);
                let record = record(&seal, place, &leaf, index).ok_or_else(damaged)?;
                if want(&record) {
                    let held = Held { record, leaf: leaf.bytes.to_vec(), key: key.clone(), place };
                    take(held).map_err(io)?;
                }
            }
        }
    }
    Ok(())
}

/// What a leaf says, opened with its batch's key, and its hash in the tree.
pub fn open(leaf: &[u8], key: &[u8; 32], place: u32, index: u64) -> Option<(Record, Hash)> {
    let found = Leaf::decode(leaf).filter(|found| found.bytes.len() == leaf.len())?;
    let record = record(&SealKey::new(key).ok()?, place, &found, index)?;
    Some((record, leaf_hash(leaf)))
}

fn record(key: &SealKey, place: u32, leaf: &Leaf<'_>, index: u64) -> Option<Record> {
    Some(Record {
        seq: leaf.seq,
        leaf: index,
        time: Timestamp::from_millis(i64::try_from(leaf.time).unwrap_or(i64::MAX)),
        kind: Kind::from_code(leaf.kind),
        outcome: Outcome::from_code(leaf.outcome),
        body: Some(open_leaf(key, place, leaf)?),
    })
}
