//! Verification without any key to the PHI. PASS means that every record is where it was when it was
//! signed for, and that the log is no smaller than the checkpoints somebody else kept. What cannot
//! be proven is UNPROVEN, never PASS; every gap is listed, not the first; memory stays flat.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::chain::{Chain, genesis};
use crate::files;
use crate::follow::Follow;
use crate::gap::{Gap, GapKind, Place, Weight};
use crate::note::{Checkpoint, Note, VerifierKey};
use crate::pipeline::Pool;
use crate::trouble::Trouble;
use crate::walk::SegmentReader;
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
    /// The stream's number; without one, the number that the log's first certificate must confirm.
    pub stream: Option<u32>,
    /// Checkpoints kept elsewhere: signed notes.
    pub expectations: Vec<String>,
    /// Checkpoints kept on this side, with where: beside the keys, in the database. The log must
    /// agree, but they prove nothing against whoever holds this side.
    pub local: Vec<(String, String)>,
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
    /// Threads that hash; `None` takes one for each core. What is found does not depend on it.
    pub threads: Option<usize>,
}

impl VerifyOptions {
    /// The log's own stream, no expectations; a minute unsigned, five minutes silent, a tenth of a second torn.
    pub const fn new(key: VerifierKey) -> Self {
        Self {
            key,
            stream: None,
            expectations: Vec::new(),
            local: Vec::new(),
            witnesses: Vec::new(),
            quorum: 0,
            max_unsigned: Duration::from_secs(60),
            max_silence: Duration::from_secs(300),
            patience: Duration::from_millis(100),
            threads: None,
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
    /// The stream's number.
    pub stream: u32,
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

/// Verification could not judge.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer program wrote here.
    #[error("{path} is of a newer format than this program reads; verify it with a newer one", path = .0.display())]
    NewerFormat(PathBuf),
    /// Not one signature in the log is by the key given.
    #[error("nothing in {path} was signed by the key {key}: it is another log's key, or another log stands here", path = path.display())]
    ForeignKey {
        /// The directory.
        path: PathBuf,
        /// The key.
        key: Box<VerifierKey>,
    },
    /// What was given as a checkpoint is none of this log.
    #[error("{name} is no checkpoint of `{origin}`")]
    ForeignCheckpoint {
        /// Which.
        name: String,
        /// The log that is verified.
        origin: String,
    },
}

impl VerifyError {
    /// Which trouble it is; `None` where a file cannot be read.
    pub const fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Io { .. } => None,
            Self::NewerFormat(_) => Some(Trouble::NewerFormat),
            Self::ForeignKey { .. } => Some(Trouble::ForeignKey),
            Self::ForeignCheckpoint { .. } => Some(Trouble::ForeignCheckpoint),
        }
    }
}

/// Verifies a ledger's directory, beside a running writer or not.
///
/// # Errors
/// [`VerifyError`]; then nothing is judged.
pub fn verify(
    dir: &Path,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    let io = |source| VerifyError::Io { path: dir.to_owned(), source };
    // Read before the segments, so that the log can only be larger than its checkpoint.
    let own = match files::read_text(&dir.join(files::CHECKPOINT)) {
        Ok(text) => text.map(|text| read_signed(&text, &options.key)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Some(Err(GapKind::CheckpointMalformed))
        }
        Err(error) => return Err(io(error)),
    };
    let expected = expectations(options)?;
    let local = options.local.iter().map(|(name, text)| (name, read_signed(text, &options.key)));
    let local: Vec<_> = local.collect();
    let witnessed = witness::kept(dir).map_err(io)?;
    let witnessed = witnessed.map(|text| read_signed(&text, &options.key));
    let segments = match files::segment_numbers(dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io(error)),
    };
    let every = expected.iter().map(|(_, own)| own).chain(local.iter().map(|(_, own)| own));
    let sizes: Vec<u64> = every.chain(&own).chain(&witnessed).filter_map(size_of).collect();
    let stream = match options.stream {
        Some(stream) => stream,
        None => first_stream(dir, &segments).map_err(io)?,
    };
    let mut chain = Chain::new(genesis(stream), options.key.clone(), &sizes);
    chain.max_silence = u64::try_from(options.max_silence.as_millis()).unwrap_or(u64::MAX);
    let mut follow = Follow {
        chain,
        pool: Pool::new(options.threads).map_err(io)?,
        signed_time: None,
        signed_at: own.as_ref().and_then(size_of),
        patience: options.patience,
        newer: None,
        stubs: std::collections::BTreeMap::new(),
        progress,
    };
    if segments.is_empty() {
        follow.chain.gap(GapKind::Empty, Place::default(), "");
    } else {
        follow.segments(dir, &segments).map_err(io)?;
    }
    follow.judge_missing();
    let Follow { mut chain, signed_time, newer, .. } = follow;
    if let Some(segment) = newer {
        return Err(VerifyError::NewerFormat(files::segment_path(dir, segment)));
    }
    // With an expectation that the key did sign, the key is right and the log is not.
    let strange = matches!(own, None | Some(Err(_))) && chain.vouched == 0 && chain.foreign > 0;
    if strange && !expected.iter().any(|(_, signed)| signed.is_ok()) {
        let key = Box::new(options.key.clone());
        return Err(VerifyError::ForeignKey { path: dir.to_owned(), key });
    }
    chain.end_silence(false);

    let mut signed = 0;
    match &own {
        None if segments.is_empty() => {}
        None => chain.gap(GapKind::CheckpointMissing, Place::default(), ""),
        Some(found) => {
            if compare(&mut chain, found, "beside the ledger", false) {
                signed = size_of(found).unwrap_or(0);
            }
        }
    }
    for (name, found) in &local {
        compare(&mut chain, found, name, false);
    }
    if let Some(found) = &witnessed {
        compare(&mut chain, found, files::WITNESSED, false);
        uncosigned(&mut chain, found, options, files::WITNESSED);
    }
    let mut met = 0;
    for (name, found) in &expected {
        let vouched = vouched(found, options, name);
        met += u32::from(compare(&mut chain, found, name, vouched));
        uncosigned(&mut chain, found, options, name);
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
    Ok(Report {
        verdict: match chain.worst() {
            Some(Weight::Broken) => Verdict::Fail,
            Some(Weight::Unproven) => Verdict::Unproven,
            Some(Weight::Note) | None => Verdict::Pass,
        },
        origin: options.key.name().to_owned(),
        stream: chain.state.stream,
        segments: segments.len() as u64,
        batches: chain.batches,
        records: chain.records,
        size,
        root: chain.state.tree.root().iter().map(|byte| format!("{byte:02x}")).collect(),
        signed,
        expectations_met: met,
        first_time: chain.first_time,
        last_time: chain.first_time.map(|_| chain.state.time),
        gaps_unlisted: chain.unlisted(),
        gaps: chain.gaps,
    })
}

impl Report {
    /// Takes a finding of a comparison that was made beside this one (the database, the locked copy,
    /// witnesses), and judges again.
    pub fn add(&mut self, kind: GapKind, detail: impl Into<String>) {
        self.gaps.push(Gap { kind, place: Place::default(), detail: detail.into() });
        self.verdict = match (kind.weight(), self.verdict) {
            (Weight::Broken, _) | (_, Verdict::Fail) => Verdict::Fail,
            (Weight::Unproven, _) | (_, Verdict::Unproven) => Verdict::Unproven,
            (Weight::Note, Verdict::Pass) => Verdict::Pass,
        };
    }
}

type Signed = Result<(Note, Checkpoint), GapKind>;

/// A note that the log's stable key signed for this log.
fn read_signed(text: &str, key: &VerifierKey) -> Signed {
    let note = Note::parse(text).map_err(|_| GapKind::CheckpointMalformed)?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|_| GapKind::CheckpointMalformed)?;
    if checkpoint.origin != key.name() {
        return Err(GapKind::CheckpointMalformed);
    }
    if note.signed_by(key) { Ok((note, checkpoint)) } else { Err(GapKind::CheckpointSignature) }
}

fn size_of(signed: &Signed) -> Option<u64> {
    signed.as_ref().ok().map(|(_, checkpoint)| checkpoint.size)
}

/// What was given as kept elsewhere; another log's is a mistake of whoever asks, not a finding.
fn expectations(options: &VerifyOptions) -> Result<Vec<(String, Signed)>, VerifyError> {
    let mut expected = Vec::new();
    for (number, text) in (1..).zip(&options.expectations) {
        let name = format!("expectation {number}");
        let signed = read_signed(text, &options.key);
        if matches!(signed, Err(GapKind::CheckpointMalformed)) {
            let origin = options.key.name().to_owned();
            return Err(VerifyError::ForeignCheckpoint { name, origin });
        }
        expected.push((name, signed));
    }
    Ok(expected)
}

/// Says so where a checkpoint lacks cosignatures that were asked for.
fn uncosigned(chain: &mut Chain, found: &Signed, options: &VerifyOptions, name: &str) {
    if let Ok((note, _)) = found
        && let Some(gap) = witness::uncosigned(note, options, name)
    {
        chain.gap(gap.kind, gap.place, gap.detail);
    }
}

/// The stream that the first segment says it is of; its first certificate must say so, too.
fn first_stream(dir: &Path, segments: &[u32]) -> io::Result<u32> {
    let first = segments.first().map(|first| files::segment_path(dir, *first));
    let Some(first) = first.filter(|path| path.is_file()) else { return Ok(1) };
    let (_, header) = SegmentReader::open(&first)?;
    Ok(header.map_or(1, |header| header.stream))
}

/// Whether the witnesses that were asked for vouch for a checkpoint.
fn vouched(found: &Signed, options: &VerifyOptions, name: &str) -> bool {
    let uncosigned = |(note, _): &(Note, _)| witness::uncosigned(note, options, name).is_some();
    options.quorum > 0 && found.as_ref().is_ok_and(|signed| !uncosigned(signed))
}

/// Whether the log agrees with a checkpoint. Witnesses that vouch for one stand in for the day's key:
/// what a witness hands out need not carry signatures that it does not know.
fn compare(chain: &mut Chain, signed: &Signed, name: &str, vouched: bool) -> bool {
    let (note, checkpoint) = match signed {
        Ok(signed) => (&signed.0, &signed.1),
        Err(kind) => {
            chain.gap(*kind, Place::default(), name);
            return false;
        }
    };
    let size = checkpoint.size;
    let found = chain.state.tree.size();
    let kind = match chain.root_at(size) {
        Some(root) if root != checkpoint.root => Some(GapKind::CheckpointFork),
        Some(_) => match chain.day_key_at(size) {
            Some(day) if note.signed_by(&day) => None,
            None if size == 0 => None,
            // Where a stub is all that is left, the day's key is what dates it.
            _ if vouched && chain.is_dropped(size) => Some(GapKind::CheckpointUncompared),
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
