//! The fuzz targets, replayed: every file of the committed corpus and thousands of seeded mutations of
//! each kind, so that what a fuzzer once found stays mended. More of them: `PHIWARD_MUTATIONS`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/storm.rs"]
mod storm_disk;
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ledger::fuzzing::TARGETS;
use ledger::proof;
use storm_disk::Dice;
use support::{Bench, DAY, batches, entry};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// One to four of the changes that fuzzers make.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let len = bytes.len() as u64;
        let at = dice.below(len + 1) as usize;
        match dice.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.roll() as u8,
            2 => bytes.insert(at, dice.roll() as u8),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + dice.below(40) as usize).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let end = (at + dice.below(40) as usize).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = dice.below(bytes.len() as u64 + 1) as usize;
                bytes.splice(to..to, piece);
            }
            6 if !other.is_empty() => {
                let from = dice.below(other.len() as u64) as usize;
                let end = (from + dice.below(200) as usize).min(other.len());
                let to = (at + (end - from)).min(bytes.len());
                bytes.splice(at..to, other[from..end].iter().copied());
            }
            7 => {
                // A number at one of its edges.
                let wild = [0, 1, 0x7f, 0x80, 0xff][dice.below(5) as usize];
                let end = (at + [1, 2, 4, 8][dice.below(4) as usize]).min(bytes.len());
                bytes[at..end].fill(wild);
            }
            _ => bytes.extend_from_slice(&vec![dice.roll() as u8; dice.below(64) as usize]),
        }
    }
}

fn check(target: &str, run: fn(&[u8]) -> Result<(), &'static str>, bytes: &[u8], what: &str) {
    let held = catch_unwind(AssertUnwindSafe(|| run(bytes)));
    let Ok(Ok(())) = held else {
        let kept = std::env::temp_dir().join(format!("phiward-fuzz-{target}"));
        fs::write(&kept, bytes).unwrap();
        panic!("{target}, {what}: {held:?}; the input is in {}", kept.display());
    };
}

#[test]
fn every_file_of_the_corpus_and_its_mutations_are_read_without_harm() {
    let asked = std::env::var("PHIWARD_MUTATIONS").ok().and_then(|text| text.parse::<u64>().ok());
    for (target, run) in TARGETS {
        let files = files(target);
        assert!(!files.is_empty(), "no corpus for {target}");
        for (path, bytes) in &files {
            check(target, *run, bytes, &path.display().to_string());
        }
        let mut dice = Dice(7);
        for number in 0..asked.unwrap_or(4000) {
            let mut bytes = files[dice.below(files.len() as u64) as usize].1.clone();
            let other = &files[dice.below(files.len() as u64) as usize].1;
            mutate(&mut bytes, other, &mut dice);
            check(target, *run, &bytes, &format!("mutation {number}"));
        }
    }
}

#[test]
fn the_corpus_reaches_what_it_is_for() {
    // A corpus that no reader accepts would prove nothing.
    for (target, bytes) in [
        ("note", "note"),
        ("verifier_key", "key"),
        ("day_certificate", "certificate"),
        ("proof", "inclusion"),
        ("witness_request", "first"),
        ("witness_request", "grown"),
    ]
    .map(|(target, name)| (target, fs::read(corpus(target).join(name)).unwrap()))
    {
        let text = String::from_utf8(bytes).unwrap();
        let accepted = match target {
            "note" => ledger::note::Note::parse(&text).is_ok(),
            "verifier_key" => ledger::note::VerifierKey::parse(&text).is_ok(),
            "witness_request" => ledger::witness::Request::parse(text.as_bytes()).is_ok(),
            "proof" => proof::Inclusion::parse(&text).is_some(),
            _ => text.contains("phiward day key 1"),
        };
        assert!(accepted, "{target}");
    }
    let segment = fs::read(corpus("chain").join("segment")).unwrap();
    assert!(batches(&segment).len() > 2);
}

/// Writes the corpus anew, from a real log.
#[tokio::test]
#[ignore = "writes files that are committed"]
async fn write_the_corpus() {
    let bench = Bench::in_memory();
    for day in 0..2 {
        let (ledger, _) = bench.open();
        ledger.append(vec![entry(day), entry(7)]).await.unwrap();
        ledger.append(vec![entry(100 + day)]).await.unwrap();
        ledger.close().await.unwrap();
        bench.clock.advance(DAY);
    }
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(corpus(target)).unwrap();
        fs::write(corpus(target).join(name), bytes).unwrap();
    };
    for (number, path) in bench.segments().iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        let found = batches(&bytes);
        write("segment_header", &format!("segment-{number}"), &bytes[..found[0].0]);
        let (start, len) = found[found.len() - 2];
        write("batch", &format!("batch-{number}"), &bytes[start..start + len]);
        let first = &bytes[found[0].0..found[0].0 + found[0].1];
        write("batch", &format!("opening-{number}"), first);
        let leaf = forge::split_leaves(&bytes[start + 113..start + len - 80]).remove(0);
        write("leaf", &format!("leaf-{number}"), &leaf);
        let open = forge::split_leaves(&first[113..first.len() - 80]).remove(0);
        write("leaf", &format!("open-{number}"), &open);
        write("body", &format!("open-{number}"), &open[27..open.len() - 16]);
        let text = String::from_utf8_lossy(&open);
        let from = text.find(support::ORIGIN).unwrap();
        let certificate = text[from..].split("\n\n").next().unwrap();
        let name = if number == 0 { "certificate".into() } else { format!("next-{number}") };
        write("day_certificate", &name, format!("{certificate}\n").as_bytes());
        write("chain", if number == 0 { "segment" } else { "next" }, &bytes);
    }
    // A body of many fields: {1: text, 5: bytes, 7: id, 8: pairs, 10: query, 13: scopes, 14: status, …}
    let mut body = Vec::new();
    let mut to = minicbor::Encoder::new(&mut body);
    to.map(9).unwrap().u8(1).unwrap().str("p_1").unwrap();
    to.u8(5).unwrap().bytes(&[5; 32]).unwrap();
    to.u8(7).unwrap().str("pat-1").unwrap();
    to.u8(8).unwrap().array(1).unwrap().array(2).unwrap().str("Observation").unwrap();
    to.str("o1").unwrap().u8(10).unwrap().str("code=1").unwrap();
    to.u8(13).unwrap().str("patient/Observation.rs").unwrap().u8(14).unwrap().u16(200).unwrap();
    to.u8(19).unwrap().str("203.0.113.7").unwrap();
    to.u8(24).unwrap().array(2).unwrap().u32(1).unwrap().u32(2).unwrap();
    write("body", "fields", &body);
    write("note", "note", bench.checkpoint().as_bytes());
    write("verifier_key", "key", bench.key().to_string().as_bytes());
    let old = bench.checkpoint();
    let inclusion = proof::inclusion(&bench.dir(), 1).unwrap();
    write("proof", "inclusion", serde_json::to_string(&inclusion).unwrap().as_bytes());
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(3)]).await.unwrap();
    ledger.close().await.unwrap();
    let consistency = proof::consistency(&bench.dir(), &old).unwrap();
    write("proof", "consistency", serde_json::to_string(&consistency).unwrap().as_bytes());
    write("proof", "numbers", &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]);
}
