//! The one set of rules by which a batch follows from what came before. Recovery and verification
//! both go by it, so what the one accepts the other does, too.

use std::collections::BTreeMap;

use domain::{Kind, Outcome};
use keys::ed25519::VerifyingKey;

use crate::body::Body;
use crate::calendar::{day_of, day_text, period_of};
use crate::format::{Batch, Leaf, SegmentHeader, VERSION_OPEN};
use crate::gap::{Gap, GapKind, Place, Weight};
use crate::note::{DayCertificate, Note, VerifierKey};
use crate::retention::{LEAST_DAYS, Shred, Stub, is_due};
use crate::stop::FULL;
use crate::tree::{Frontier, Hash, leaf_hash};

/// Where a log stands: the same facts with which a segment begins.
pub(crate) type State = SegmentHeader;

/// Before the first segment.
pub(crate) const fn genesis(stream: u32) -> State {
    State {
        stream,
        segment: 1,
        batch: 0,
        seq: 0,
        time: 0,
        prev: [0; 32],
        day: 0,
        day_key: [0; 32],
        tree: Frontier::new(),
    }
}

/// What the first heartbeat of a process says.
pub(crate) const STARTED: &str = "started";

/// Findings of one weight that are listed one by one.
const LISTED: u64 = 10_000;

/// The name under which a day's key signs.
pub(crate) fn day_key(origin: &str, day: u32, key: [u8; 32]) -> Option<VerifierKey> {
    VerifierKey::new(&format!("{origin}/day/{}", day_text(day)), VerifyingKey(key)).ok()
}

/// Follows a log from batch to batch.
pub(crate) struct Chain {
    pub state: State,
    stable: VerifierKey,
    /// Whether the tree so far is known; lost at damage, found again at the next segment.
    tree_known: bool,
    /// Sizes at which the root is wanted, and the roots.
    roots: BTreeMap<u64, Option<Hash>>,
    next_root: Option<u64>,
    /// The root after the last batch, if the tree is known.
    root: Hash,
    /// Day keys by the tree size from which they sign; those that a wanted size may ask for.
    days: Vec<(u64, u32, [u8; 32])>,
    /// Findings; empty in a sound log, but for notes. No more than [`LISTED`] of each weight.
    pub gaps: Vec<Gap>,
    /// How many findings there were of each weight, listed or not.
    found: [u64; 3],
    /// What the log says was shredded.
    pub shreds: Vec<Shred>,
    /// Leaves of which only a stub is left: from, to.
    dropped: Vec<(u64, u64)>,
    /// Certificates that the stable key signed, and others.
    pub vouched: u64,
    pub foreign: u64,
    /// The last time looked up, its month and its day: a batch's records share theirs.
    calendar: (u64, u32, u32),
    pub records: u64,
    pub batches: u64,
    pub first_time: Option<u64>,
    /// No record for longer than this, in milliseconds, is a silence.
    pub max_silence: u64,
    stopped: bool,
    /// A silence that the next record may explain: where it ended, and its seconds.
    silence: Option<(Place, u64)>,
}

impl Chain {
    pub(crate) fn new(state: State, stable: VerifierKey, sizes: &[u64]) -> Self {
        let roots: BTreeMap<u64, Option<Hash>> = sizes.iter().map(|size| (*size, None)).collect();
        let days = if state.batch == 0 { Vec::new() } else { vec![(0, state.day, state.day_key)] };
        let mut chain = Self {
            root: state.tree.root(),
            state,
            stable,
            tree_known: true,
            next_root: None,
            roots,
            days,
            gaps: Vec::new(),
            found: [0; 3],
            shreds: Vec::new(),
            dropped: Vec::new(),
            vouched: 0,
            foreign: 0,
            calendar: (0, period_of(0), day_of(0)),
            records: 0,
            batches: 0,
            first_time: None,
            max_silence: u64::MAX,
            stopped: false,
            silence: None,
        };
        chain.seek_roots();
        chain
    }

    /// Takes a finding: listed while there is room for its weight, counted always.
    pub(crate) fn gap(&mut self, kind: GapKind, place: Place, detail: impl Into<String>) {
        let [notes, unproven, broken] = &mut self.found;
        let found = match kind.weight() {
            Weight::Note => notes,
            Weight::Unproven => unproven,
            Weight::Broken => broken,
        };
        *found = found.saturating_add(1);
        if *found <= LISTED {
            self.gaps.push(Gap { kind, place, detail: detail.into() });
        }
    }

    /// Findings that are not listed.
    pub(crate) fn unlisted(&self) -> u64 {
        self.found.iter().map(|found| found.saturating_sub(LISTED)).sum()
    }

    /// The heaviest finding.
    pub(crate) const fn worst(&self) -> Option<Weight> {
        match self.found {
            [0, 0, 0] => None,
            [_, 0, 0] => Some(Weight::Note),
            [_, _, 0] => Some(Weight::Unproven),
            _ => Some(Weight::Broken),
        }
    }

    /// The root at one of the sizes asked for, if the log got there unharmed.
    pub(crate) fn root_at(&self, size: u64) -> Option<Hash> {
        self.roots.get(&size).copied().flatten()
    }

    /// The day key that signs a checkpoint of this size.
    pub(crate) fn day_key_at(&self, size: u64) -> Option<VerifierKey> {
        let (_, day, key) = self.days.iter().rev().find(|(from, ..)| *from < size)?;
        day_key(self.stable.name(), *day, *key)
    }

    /// Whether this size lies where only a stub is left, of which nothing but the day's key says when
    /// it was.
    pub(crate) fn is_dropped(&self, size: u64) -> bool {
        self.dropped.iter().any(|(from, to)| *from < size && size <= *to)
    }

    /// Begins a segment. Its header must say what we know; if not, the header is taken.
    pub(crate) fn segment(&mut self, header: State, place: Place) {
        let mut expected = self.state.clone();
        expected.segment = header.segment;
        if header != expected || !self.tree_known {
            if self.tree_known {
                self.gap(GapKind::SegmentMismatch, place, "");
            }
            if header.day_key != self.state.day_key {
                self.sign_from(header.tree.size(), header.day, header.day_key);
            }
            self.root = header.tree.root();
            self.state = header;
            self.tree_known = true;
            self.seek_roots();
        } else {
            self.state.segment = header.segment;
        }
    }

    /// Goes over a segment that was dropped, by what its stub says; `leaves` are the hashes of its
    /// leaves, where they are still to be had. Whether it may be gone is not judged here.
    pub(crate) fn step_over(&mut self, stub: &Stub, leaves: Option<&[Hash]>, place: Place) {
        let expected = State { segment: stub.before.segment, ..self.state.clone() };
        let (before, after) = (&stub.before, &stub.after);
        let grows = after.batch > before.batch
            && after.seq >= before.seq
            && after.time >= before.time
            && after.tree.size() > before.tree.size();
        // No signature covers the time that a stub and the header after it give; the day's key has
        // one. Without this a young segment is dropped under the record of a month long past.
        let dated = day_of(after.time) == after.day;
        if !grows || !dated || (self.tree_known && *before != expected) {
            self.gap(GapKind::SegmentMismatch, place, "its stub");
        }
        self.state.tree = before.tree.clone();
        for leaf in leaves.into_iter().flatten() {
            self.push(&[], Some(leaf));
        }
        if leaves.is_some() && self.state.tree != after.tree {
            self.gap(GapKind::TreeMismatch, place, "the tiles of a shredded segment");
        }
        if after.day_key != before.day_key {
            self.sign_from(before.tree.size(), after.day, after.day_key);
        }
        match self.dropped.last_mut().filter(|(_, to)| *to == before.tree.size()) {
            Some((_, to)) => *to = after.tree.size(),
            None => self.dropped.push((before.tree.size(), after.tree.size())),
        }
        self.records = self.records.saturating_add(after.seq.saturating_sub(before.seq));
        self.batches = self.batches.saturating_add(after.batch.saturating_sub(before.batch));
        self.first_time.get_or_insert(after.time);
        self.root = after.tree.root();
        self.state = State { segment: before.segment, ..after.clone() };
        self.tree_known = true;
        self.stopped = true;
        self.silence = None;
        self.seek_roots();
    }

    /// From this size on a day's key signs. A key that no wanted size can ask for is let go.
    fn sign_from(&mut self, from: u64, day: u32, key: [u8; 32]) {
        let last = self.days.last().map(|(last, ..)| *last);
        if last
            .is_some_and(|last| last >= from || self.roots.range(last + 1..=from).next().is_none())
        {
            self.days.pop();
        }
        self.days.push((from, day, key));
    }

    /// Whatever follows does not follow from what we know.
    pub(crate) const fn lose_tree(&mut self) {
        self.tree_known = false;
    }

    fn seek_roots(&mut self) {
        let size = self.state.tree.size();
        let root = self.state.tree.root();
        if let Some(wanted) = self.roots.get_mut(&size) {
            wanted.get_or_insert(root);
        }
        self.next_root = self.roots.range(size + 1..).next().map(|(size, _)| *size);
    }

    fn push(&mut self, leaf: &[u8], known: Option<&Hash>) {
        self.state.tree.push(known.copied().unwrap_or_else(|| leaf_hash(leaf)));
        if Some(self.state.tree.size()) == self.next_root {
            self.seek_roots();
        }
    }

    /// Takes the next batch.
    pub(crate) fn batch(&mut self, batch: &Batch<'_>, place: Place) {
        self.hashed_batch(batch, &[], place);
    }

    /// Takes the next batch, of whose leaves (its header first) the hashes are known, or some.
    pub(crate) fn hashed_batch(&mut self, batch: &Batch<'_>, hashes: &[Hash], place: Place) {
        let mut hashes = hashes.iter();
        let header = &batch.header;
        let mut place = Place { seq: Some(header.first_seq), ..place };
        if header.stream != self.state.stream || header.segment != self.state.segment {
            self.gap(GapKind::BatchForeign, place, "");
            self.lose_tree();
        }
        let follows = header.batch == self.state.batch
            && header.first_seq == self.state.seq
            && (!self.tree_known || header.first_leaf == self.state.tree.size());
        if !follows {
            let (want, found) = (self.state.batch, header.batch);
            self.gap(GapKind::BatchOrder, place, format!("batch {found} where {want} belongs"));
            self.lose_tree();
            self.state.seq = header.first_seq;
        } else if batch.footer.prev != self.state.prev {
            self.gap(GapKind::ChainBroken, place, "");
        }
        let before = self.tree_known.then(|| (self.state.tree.size(), self.root));
        let hash = hashes.next();
        if self.tree_known {
            self.push(batch.header_bytes, hash);
        }
        let mut count = 0;
        for leaf in batch.leaves() {
            place.seq = Some(self.state.seq);
            let Some(leaf) = leaf else {
                self.gap(GapKind::RecordMalformed, place, "");
                break;
            };
            count += 1;
            let hash = hashes.next();
            if self.tree_known {
                self.push(leaf.bytes, hash);
            }
            self.record(&leaf, header.period, header.first_leaf, before, place);
        }
        if count != header.count {
            self.gap(GapKind::RecordOrder, place, format!("{count} of {} records", header.count));
        }
        if self.tree_known {
            self.root = self.state.tree.root();
            if (batch.footer.size, batch.footer.root) != (self.state.tree.size(), self.root) {
                place.seq = Some(header.first_seq);
                self.gap(GapKind::TreeMismatch, place, "");
                self.lose_tree();
            }
        }
        self.state.batch = header.batch.saturating_add(1);
        self.state.prev = batch.hash;
        self.batches += 1;
    }

    fn record(
        &mut self,
        leaf: &Leaf<'_>,
        period: u32,
        first_leaf: u64,
        before: Option<(u64, Hash)>,
        place: Place,
    ) {
        if leaf.stream != self.state.stream {
            self.gap(GapKind::RecordForeign, place, "");
        }
        if leaf.seq != self.state.seq {
            self.gap(GapKind::RecordOrder, place, format!("record {} found", leaf.seq));
        }
        self.state.seq = leaf.seq.saturating_add(1);
        let kind = Kind::from_code(leaf.kind);
        if kind.is_none() || Outcome::from_code(leaf.outcome).is_none() {
            self.gap(GapKind::RecordUnknown, place, format!("kind {}", leaf.kind));
        }
        if leaf.time < self.state.time {
            self.gap(GapKind::TimeBack, place, "");
        }
        let silent = leaf.time.saturating_sub(self.state.time);
        if silent > self.max_silence && self.first_time.is_some() && !self.stopped {
            self.silence = Some((place, silent / 1000));
        }
        // A new day's key stands before what explains the silence.
        if self.silence.is_some() && kind != Some(Kind::KeyEvent) {
            self.end_silence(explains_silence(kind, leaf));
        }
        match kind {
            Some(Kind::ClockStep) => self.gap(GapKind::ClockStep, place, ""),
            Some(Kind::Recovered) => self.gap(GapKind::Recovered, place, ""),
            _ => {}
        }
        self.stopped = kind == Some(Kind::Stopped);
        self.state.time = self.state.time.max(leaf.time);
        self.first_time.get_or_insert(leaf.time);
        self.records += 1;
        if leaf.time != self.calendar.0 {
            self.calendar = (leaf.time, period_of(leaf.time), day_of(leaf.time));
        }
        let (_, month, day) = self.calendar;
        if month != period {
            self.gap(GapKind::PeriodWrong, place, "");
        }
        if kind == Some(Kind::LedgerShredded)
            && leaf.version == VERSION_OPEN
            && (self.shreds.len() as u64) < LISTED
        {
            let shred = Body::decode(leaf.body).ok().as_ref().and_then(Shred::of);
            // Whoever shreds before the law allows it has only cut the log.
            self.shreds.extend(shred.filter(|s| is_due(s.period, LEAST_DAYS, leaf.time)));
        }
        let certifies = matches!(kind, Some(Kind::StreamOpened | Kind::KeyEvent));
        if certifies && leaf.version == VERSION_OPEN {
            self.certificate(leaf, first_leaf, before, place);
        }
        if self.days.is_empty() {
            self.gap(GapKind::DayKeyMissing, place, "");
            self.sign_from(first_leaf, day, [0; 32]);
            self.state.day = day;
        } else if day != self.state.day {
            let (day, want) = (day_text(day), day_text(self.state.day));
            self.gap(GapKind::DayWrong, place, format!("{day} under the key of {want}"));
        }
    }

    /// Names a silence that was met.
    pub(crate) fn end_silence(&mut self, explained: bool) {
        if let Some((place, seconds)) = self.silence.take() {
            let kind = if explained { GapKind::Silence } else { GapKind::SilenceUnexplained };
            self.gap(kind, place, format!("{seconds} seconds"));
        }
    }

    /// A new day key takes over, if the stable key and the day before say so.
    fn certificate(
        &mut self,
        leaf: &Leaf<'_>,
        first_leaf: u64,
        before: Option<(u64, Hash)>,
        place: Place,
    ) {
        let text = Body::decode(leaf.body).ok().and_then(|body| body.certificate);
        let note = text.and_then(|text| Note::parse(&text).ok());
        let certificate = note.as_ref().and_then(|n| DayCertificate::parse(n.text()).ok());
        let (Some(note), Some(certificate)) = (note, certificate) else {
            self.gap(GapKind::DayKeyMissing, place, "");
            return;
        };
        let key = certificate.key.key().0;
        let first = self.days.is_empty() && first_leaf == 0;
        let predecessor = day_key(self.stable.name(), self.state.day, self.state.day_key);
        let ours = note.signed_by(&self.stable);
        *(if ours { &mut self.vouched } else { &mut self.foreign }) += 1;
        let signed = ours && (first || predecessor.is_some_and(|day| note.signed_by(&day)));
        let closes = before.is_none_or(|(size, root)| {
            certificate.before.size == size && certificate.before.root == root
        });
        let named = certificate.before.origin == self.stable.name()
            && certificate.stream == self.state.stream
            && day_key(self.stable.name(), certificate.day, key).as_ref() == Some(&certificate.key)
            && (first || certificate.day > self.state.day);
        if !(signed && closes && named) {
            let detail = match (signed, closes) {
                (false, _) => "signature",
                (_, false) => "the tree it closes is another",
                _ => "name or day",
            };
            self.gap(GapKind::DayKeyUncertified, place, detail);
        }
        self.sign_from(first_leaf, certificate.day, key);
        self.state.day = certificate.day;
        self.state.day_key = key;
    }
}

/// Whether a record says why nothing was heard for a while: the process was away, or the clock
/// jumped. A process that runs is never silent for longer than its heartbeat.
fn explains_silence(kind: Option<Kind>, leaf: &Leaf<'_>) -> bool {
    match kind {
        Some(Kind::ClockStep | Kind::Recovered) => true,
        Some(kind @ (Kind::Heartbeat | Kind::Stopped)) if leaf.version == VERSION_OPEN => {
            let why = if kind == Kind::Stopped { FULL } else { STARTED };
            Body::decode(leaf.body).is_ok_and(|body| body.detail.as_deref() == Some(why))
        }
        _ => false,
    }
}
