//! A bundle of evidence: the held records, each with its leaf, the key of its batch and its inclusion
//! proof, under one checkpoint of the log. Whoever can open it can prove each record and its content
//! without the ledger, also after the month's key is gone.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use domain::Clock;
use keys::custody::Custody;
use ledger::evidence::{Source, gather, open};
use ledger::hold::Cover;
use ledger::note::{Checkpoint, Note, VerifierKey};
use ledger::proof::Prover;
use ledger::tree::{Hash, verify_inclusion};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::ledger_command::show::print;
use crate::output;
use crate::sealed_file::{FileKind, Opened, Writer, hex_bytes, hex_text};
use crate::system::{ledger_name, stream_dir, streams};

/// What the bundle is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    pub(super) hold: String,
    pub(super) cover: String,
    pub(super) reason: String,
}

/// A stream's part begins with its key and checkpoint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Stream { verifier_key: String, checkpoint: String },
    Record { leaf: String, key: String, place: u32, index: u64, path: Vec<Hash> },
    End { records: u32 },
}

/// What was written.
pub(super) struct Bundle {
    pub(super) records: u32,
    pub(super) sha256: String,
}

/// Writes the bundle.
pub(super) fn write(
    config: &Config,
    path: &Path,
    custody: &Arc<dyn Custody>,
    cover: &Cover,
    about: &About,
) -> Result<Bundle, Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| failed(&error))?;
    let written = write_to(config, file, custody, cover, about);
    if written.is_err() {
        let _removed = std::fs::remove_file(path);
    }
    written
}

fn write_to(
    config: &Config,
    file: File,
    custody: &Arc<dyn Custody>,
    cover: &Cover,
    about: &About,
) -> Result<Bundle, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::check(format!("no evidence: {what}"));
    let text = |line: &Line| serde_json::to_vec(line).map_err(|_| Failure::internal());
    let now = SystemClock.now().millis();
    let mut writer = Writer::new(FileKind::Evidence, file, &ledger_name(config), now, &**custody)
        .map_err(|error| failed(&error))?;
    let about = serde_json::to_vec(about).map_err(|_| Failure::internal())?;
    writer.line(&about).map_err(|error| failed(&error))?;
    let mut records = 0_u32;
    for place in streams(config) {
        let dir = stream_dir(config, place.stream);
        let key = std::fs::read_to_string(place.keys_dir.join("stable.vkey"));
        let (true, Ok(key)) = (dir.is_dir(), key) else { continue };
        let mut prover = Prover::open(&dir).map_err(|error| failed(&error))?;
        let checkpoint = prover.checkpoint().to_owned();
        let size = Note::parse(&checkpoint)
            .and_then(|note| Checkpoint::parse(note.text()))
            .map_err(|error| failed(&error))?
            .size;
        let begin = Line::Stream { verifier_key: key.trim().to_owned(), checkpoint };
        writer.line(&text(&begin)?).map_err(|error| failed(&error))?;
        let source = Source {
            dir: &dir,
            keys_dir: &place.keys_dir,
            origin: &place.origin,
            stream: place.stream,
            custody: Arc::clone(custody),
        };
        let want = |record: &ledger::read::Record| {
            record.leaf < size && cover.covers(place.stream, record)
        };
        gather(&source, &[], None, &want, &mut |held| {
            let proof = prover.inclusion(held.record.seq).map_err(std::io::Error::other)?;
            let line = Line::Record {
                leaf: hex_text(&held.leaf),
                key: hex_text(held.key.expose()),
                place: held.place,
                index: proof.index,
                path: proof.path,
            };
            records = records.saturating_add(1);
            writer.line(&serde_json::to_vec(&line)?)
        })
        .map_err(|error| failed(&error))?;
    }
    writer.line(&text(&Line::End { records })?).map_err(|error| failed(&error))?;
    let written = writer.finish().map_err(|error| failed(&error))?;
    Ok(Bundle { records, sha256: hex_text(&written.sha256) })
}

/// Proves a bundle, record by record.
pub(super) fn show(
    config: &Config,
    path: &Path,
    custody: &dyn Custody,
    print_records: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::check(format!("{}: {what}", path.display()));
    let opened = Opened::open(FileKind::Evidence, path, &ledger_name(config), custody)?;
    let about: About =
        serde_json::from_slice(&opened.manifest).map_err(|_| failed(&"is of a newer version"))?;
    let mut under: Option<(String, Checkpoint)> = None;
    let (mut proven, mut end) = (0_u32, None);
    for line in opened.lines {
        let line = line.map_err(|error| failed(&error))?;
        let line = serde_json::from_slice(&line).map_err(|_| failed(&"is of a newer version"))?;
        match line {
            Line::Stream { verifier_key, checkpoint } => {
                let key = VerifierKey::parse(&verifier_key).map_err(|error| failed(&error))?;
                let note = Note::parse(&checkpoint).map_err(|error| failed(&error))?;
                let signed = Checkpoint::parse(note.text())
                    .ok()
                    .filter(|signed| note.signed_by(&key) && signed.origin == key.name());
                let signed =
                    signed.ok_or_else(|| failed(&"a checkpoint is not signed by its key"))?;
                under = Some((verifier_key, signed));
            }
            Line::Record { leaf, key, place, index, path: proof } => {
                let (_, signed) = under.as_ref().ok_or_else(|| failed(&"is out of form"))?;
                let record = prove(&leaf, &key, place, index, &proof, signed)
                    .ok_or_else(|| failed(&format!("record {} is not proven", proven + 1)))?;
                if print_records {
                    print(&record, as_json)?;
                }
                proven += 1;
            }
            Line::End { records } => end = Some(records),
        }
    }
    if end != Some(proven) {
        return Err(failed(&"ends early"));
    }
    let key = under.map(|(key, _)| key).unwrap_or_default();
    if as_json {
        return output::json(&json!({
            "hold": about.hold, "covers": about.cover, "reason": about.reason,
            "records": proven, "proven": true, "verifier_key": key,
        }));
    }
    output::line(&format!("hold      {} ({})", about.hold, about.reason));
    output::line(&format!("covers    {}", about.cover));
    output::line(&format!("signed    {key}; compare it with the key that you pinned"));
    let good = output::GOOD;
    output::line(&format!("{good}PASS{good:#}      {proven} records, each opened and proven"));
    Ok(())
}

fn prove(
    leaf: &str,
    key: &str,
    place: u32,
    index: u64,
    path: &[Hash],
    signed: &Checkpoint,
) -> Option<ledger::read::Record> {
    let leaf = hex_bytes(leaf)?;
    let key: [u8; 32] = hex_bytes(key)?.try_into().ok()?;
    let (record, hash) = open(&leaf, &key, place, index)?;
    verify_inclusion(&hash, index, signed.size, path, &signed.root).then_some(record)
}
