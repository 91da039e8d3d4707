//! Verification without any key to the PHI. PASS means that every record is where it was when it was
//! signed for, and that the log is no smaller than the checkpoints somebody else kept. What cannot
//! be proven is UNPROVEN, never PASS; every gap is listed, not the first; memory stays flat.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::chain::{Chain, genesis};
use crate::files;
use crate::gap::{Gap, GapKind, Place, Weight};
use crate::note::{Checkpoint, Note, VerifierKey};
use crate::walk::{SegmentReader, Step};
use crate::witness;

/// The judgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Everything was proven.
    Pass,
    /// The ledger is not what it was.
    Fail,
    /// Nothing is wrong, but not everything could be proven.
    Unproven,
}

impl Verdict {
    /// `PASS`, `FAIL` or `UNPROVEN`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Unproven => "UNPROVEN",
        }
    }
}

/// What verification goes by.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The log's stable public key, as pinned by whoever verifies.
    pub key: VerifierKey,
    /// The stream's number.
    pub stream: u32,
    /// Checkpoints kept elsewhere: signed notes.
    pub expectations: Vec<String>,
    /// Witnesses, of which so many must have cosigned each of these checkpoints.
    pub witnesses: Vec<VerifierKey>,
    /// How many; 0 asks for none.
    pub quorum: usize,
    /// Records that are this much younger than the last one signed for may still await theirs.
    pub max_unsigned: Duration,
    /// A pause longer than this without a stop is noted.
    pub max_silence: Duration,
    /// How long the log's last bytes may take to become a whole batch, for a writer may be at it.
    pub patience: Duration,
}

impl VerifyOptions {
    /// Stream 1, no expectations; a minute unsigned, five minutes silent, a tenth of a second torn.
    pub const fn new(key: VerifierKey) -> Self {
        Self {
            key,
            stream: 1,
            expectations: Vec::new(),
            witnesses: Vec::new(),
            quorum: 0,
            max_unsigned: Duration::from_secs(60),
            max_silence: Duration::from_secs(300),
            patience: Duration::from_millis(100),
        }
    }
}

/// How far verification is, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes there are; a live segment counts with its preallocated room.
    pub total: u64,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The judgement.
    pub verdict: Verdict,
    /// The log's name.
    pub origin: String,
    /// Segments read.
    pub segments: u64,
    /// Batches read.
    pub batches: u64,
    /// Records read.
    pub records: u64,
    /// Leaves in the tree.
    pub size: u64,
    /// The tree's root, in hexadecimal.
    pub root: String,
    /// The size that the checkpoint beside the log signs for.
    pub signed: u64,
    /// Checkpoints from outside that agree.
    pub expectations_met: u32,
    /// The first record's time, in milliseconds.
    pub first_time: Option<u64>,
    /// The last record's time, in milliseconds.
    pub last_time: Option<u64>,
    /// Every finding, in the order found.
    pub gaps: Vec<Gap>,
    /// Findings beyond those listed.
    pub gaps_unlisted: u64,
}

/// Findings that are listed one by one.
const LISTED: usize = 10_000;

/// Verifies a ledger's directory, beside a running writer or not.
///
/// # Errors
/// What the system says, when a file cannot be read.
pub fn verify(
    dir: &Path,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<Report> {
    // Read before the segments, so that the log can only be larger than its checkpoint.
    let beside = files::read_text(&dir.join(files::CHECKPOINT))?;
    let witnessed = witness::kept(dir)?;
    let segments = match files::segments(dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let (mut gaps, expected) = expectations(options);
    let own = beside.as_deref().map(|text| read_signed(text, &options.key));
    let witnessed = witnessed.map(|text| read_signed(&text, &options.key));
    let mut sizes: Vec<u64> = expected.iter().map(|(_, (_, checkpoint))| checkpoint.size).collect();
    for (_, checkpoint) in [&own, &witnessed].into_iter().flatten().flatten() {
        sizes.push(checkpoint.size);
    }
    let mut chain = Chain::new(genesis(options.stream), options.key.clone(), &sizes);
    chain.max_silence = u64::try_from(options.max_silence.as_millis()).unwrap_or(u64::MAX);
    let mut walk = Walk {
        chain,
        signed_time: None,
        signed_at: own_size(own.as_ref()),
        patience: options.patience,
        progress,
    };
    if segments.is_empty() {
        walk.chain.gap(GapKind::Empty, Place::default(), "");
    } else {
        walk.segments(&segments)?;
    }
    let Walk { mut chain, signed_time, .. } = walk;

    let mut signed = 0;
    match &own {
        None if segments.is_empty() => {}
        None => chain.gap(GapKind::CheckpointMissing, Place::default(), ""),
        Some(Err(kind)) => chain.gap(*kind, Place::default(), "beside the ledger"),
        Some(Ok((note, checkpoint))) => {
            if compare(&mut chain, note, checkpoint, "beside the ledger", false) {
                signed = checkpoint.size;
            }
        }
    }
    match &witnessed {
        None => {}
        Some(Err(kind)) => chain.gap(*kind, Place::default(), files::WITNESSED),
        Some(Ok((note, checkpoint))) => {
            compare(&mut chain, note, checkpoint, files::WITNESSED, false);
            gaps.extend(witness::uncosigned(note, options, files::WITNESSED));
        }
    }
    let mut met = 0;
    for (name, (note, checkpoint)) in &expected {
        let vouched = options.quorum > 0 && witness::uncosigned(note, options, name).is_none();
        met += u32::from(compare(&mut chain, note, checkpoint, name, vouched));
    }
    if options.expectations.is_empty() {
        chain.gap(GapKind::NothingExpected, Place::default(), "");
    }
    let size = chain.state.tree.size();
    if size > signed && signed > 0 {
        let waited = signed_time.map_or(u64::MAX, |time| chain.state.time.saturating_sub(time));
        let allowed = u64::try_from(options.max_unsigned.as_millis()).unwrap_or(u64::MAX);
        let kind = if waited > allowed { GapKind::Unsigned } else { GapKind::RecentlyUnsigned };
        chain.gap(kind, Place::default(), format!("{} leaves after {signed}", size - signed));
    }
    gaps.append(&mut chain.gaps);
    let verdict = match gaps.iter().map(|gap| gap.kind.weight()).max() {
        Some(Weight::Broken) => Verdict::Fail,
        Some(Weight::Unproven) => Verdict::Unproven,
        Some(Weight::Note) | None => Verdict::Pass,
    };
    let gaps_unlisted = gaps.len().saturating_sub(LISTED) as u64;
    gaps.truncate(LISTED);
    Ok(Report {
        verdict,
        origin: options.key.name().to_owned(),
        segments: segments.len() as u64,
        batches: chain.batches,
        records: chain.records,
        size,
        root: chain.state.tree.root().iter().map(|byte| format!("{byte:02x}")).collect(),
        signed,
        expectations_met: met,
        first_time: chain.first_time,
        last_time: chain.first_time.map(|_| chain.state.time),
        gaps,
        gaps_unlisted,
    })
}

type Signed = (Note, Checkpoint);

/// A note that the log's stable key signed for this log.
fn read_signed(text: &str, key: &VerifierKey) -> Result<Signed, GapKind> {
    let note = Note::parse(text).map_err(|_| GapKind::CheckpointMalformed)?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|_| GapKind::CheckpointMalformed)?;
    if checkpoint.origin != key.name() {
        return Err(GapKind::CheckpointMalformed);
    }
    if note.signed_by(key) { Ok((note, checkpoint)) } else { Err(GapKind::CheckpointSignature) }
}

fn own_size(own: Option<&Result<Signed, GapKind>>) -> Option<u64> {
    own.and_then(|own| own.as_ref().ok()).map(|(_, checkpoint)| checkpoint.size)
}

fn expectations(options: &VerifyOptions) -> (Vec<Gap>, Vec<(String, Signed)>) {
    let (mut gaps, mut expected) = (Vec::new(), Vec::new());
    for (number, text) in (1..).zip(&options.expectations) {
        let name = format!("expectation {number}");
        match read_signed(text, &options.key) {
            Ok(signed) => {
                gaps.extend(witness::uncosigned(&signed.0, options, &name));
                expected.push((name, signed));
            }
            Err(kind) => gaps.push(Gap { kind, place: Place::default(), detail: name }),
        }
    }
    (gaps, expected)
}

/// Whether the log agrees with a checkpoint. Witnesses that vouch for one stand in for the day's key:
/// what a witness hands out need not carry signatures that it does not know.
fn compare(
    chain: &mut Chain,
    note: &Note,
    checkpoint: &Checkpoint,
    name: &str,
    vouched: bool,
) -> bool {
    let size = checkpoint.size;
    let found = chain.state.tree.size();
    let kind = match chain.root_at(size) {
        Some(root) if root != checkpoint.root => Some(GapKind::CheckpointFork),
        Some(_) => match chain.day_key_at(size) {
            Some(day) if note.signed_by(&day) => None,
            None if size == 0 => None,
            _ if vouched => None,
            _ => Some(GapKind::CheckpointDayKey),
        },
        None if size > found => Some(GapKind::CheckpointAhead),
        None => Some(GapKind::CheckpointUncompared),
    };
    match kind {
        None => true,
        Some(kind) => {
            let detail = format!("{name} signs {size} leaves, {found} are here");
            chain.gap(kind, Place::default(), detail);
            false
        }
    }
}

struct Walk<'a> {
    chain: Chain,
    /// The size signed for, and the time of the last record within it.
    signed_at: Option<u64>,
    signed_time: Option<u64>,
    patience: Duration,
    progress: &'a mut dyn FnMut(Progress),
}

impl Walk<'_> {
    fn segments(&mut self, segments: &[(u32, std::path::PathBuf)]) -> io::Result<()> {
        let mut total = 0;
        for (_, path) in segments {
            total += std::fs::metadata(path)?.len();
        }
        let mut done = 0;
        let mut next = 1;
        for (index, (number, path)) in segments.iter().enumerate() {
            let place = Place { segment: Some(*number), ..Place::default() };
            if *number != next {
                self.chain.gap(GapKind::SegmentMissing, place, format!("{next} to {}", number - 1));
                self.chain.lose_tree();
            }
            next = number.saturating_add(1);
            let last = index + 1 == segments.len();
            let read = self.segment(path, place, last, done, total)?;
            done += read;
            (self.progress)(Progress { done, total });
        }
        Ok(())
    }

    fn segment(
        &mut self,
        path: &Path,
        place: Place,
        last: bool,
        done: u64,
        total: u64,
    ) -> io::Result<u64> {
        let (mut reader, header) = SegmentReader::open(path)?;
        let len = reader.len()?;
        match header.filter(|header| Some(header.segment) == place.segment) {
            Some(header) => self.chain.segment(header, place),
            None => {
                self.chain.gap(GapKind::SegmentHeader, place, "");
                self.chain.lose_tree();
                self.chain.state.segment = place.segment.unwrap_or(0);
                match reader.next_whole(0)? {
                    Some(offset) => reader.seek(offset),
                    None => return Ok(len),
                }
            }
        }
        let mut patience = if last { self.patience } else { Duration::ZERO };
        loop {
            let offset = reader.offset();
            let place = Place { offset: Some(offset), ..place };
            match reader.step()? {
                Step::Batch(batch) => {
                    self.chain.batch(&batch, place);
                    if self.signed_at.is_some_and(|size| batch.footer.size <= size) {
                        self.signed_time = Some(self.chain.state.time);
                    }
                    if self.chain.batches.is_multiple_of(64) {
                        (self.progress)(Progress { done: done + offset, total });
                    }
                    continue;
                }
                Step::End => {
                    if !last && reader.len()? != offset {
                        // Zeros after the last batch; the writer cuts what it closes.
                        self.chain.gap(GapKind::TrailingData, place, "zeros");
                    }
                    return Ok(len);
                }
                Step::Bad => {}
            }
            if !patience.is_zero() {
                // A batch that is being written right now becomes whole in a moment.
                let pause = patience.min(Duration::from_millis(20));
                patience -= pause;
                std::thread::sleep(pause);
                reader.refresh();
                continue;
            }
            let end = reader.end_of_data(offset)?;
            let Some(next) = reader.next_whole(offset)? else {
                let kind = if last { GapKind::TornTail } else { GapKind::TrailingData };
                self.chain.gap(kind, place, format!("{} bytes", end - offset));
                self.chain.lose_tree();
                return Ok(len);
            };
            self.chain.gap(GapKind::Damaged, place, format!("{} bytes", next - offset));
            self.chain.lose_tree();
            reader.seek(next);
        }
    }
}
