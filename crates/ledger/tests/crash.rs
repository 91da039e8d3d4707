//! Crashes: whatever is torn off was never acknowledged, and whatever was acknowledged is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::GapKind;
use ledger::verify::Verdict;
use support::{Bench, batches, entry, kinds};

#[tokio::test]
async fn a_tail_torn_at_any_byte_of_the_last_batch_is_set_aside_and_the_log_goes_on() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    let old = ledger.checkpoint().await.unwrap();
    ledger.append(vec![entry(2)]).await.unwrap();
    drop(ledger);
    // The thread stops in order by itself; the stop is what gets torn off below.
    for _ in 0..200 {
        if ledger::proof::checkpoint(&bench.dir()).unwrap() != old {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    for dir in [bench.dir(), bench.keys_dir()] {
        fs::write(dir.join("checkpoint"), &old).unwrap();
    }
    let path = bench.segments().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let (start, len) = batches(&whole).pop().unwrap();
    let original = snapshot(&bench);
    for torn in 0..len {
        for preallocated in [torn % 2 == 0] {
            restore(&bench, &original);
            let mut bytes = whole[..start + torn].to_vec();
            if preallocated {
                bytes.resize(whole.len() + 4096, 0);
            }
            fs::write(&path, bytes).unwrap();
            let (ledger, opened) = bench.open();
            assert_eq!(opened.records, 3, "torn at {torn}");
            // A tear within zeros is no tear that shows.
            assert_eq!(opened.recovered.is_some(), torn > 0, "torn at {torn}");
            ledger.close().await.unwrap();
            if torn % 16 == 0 {
                let report = bench.verify(std::slice::from_ref(&old));
                assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
                assert_eq!(kinds(&report).contains(&GapKind::Recovered), torn > 0);
            }
        }
    }
}

type Snapshot = Vec<(std::path::PathBuf, Vec<u8>)>;

fn snapshot(bench: &Bench) -> Snapshot {
    [bench.dir(), bench.keys_dir()]
        .iter()
        .flat_map(|dir| support::files(dir))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn restore(bench: &Bench, files: &Snapshot) {
    for dir in [bench.dir(), bench.keys_dir()] {
        for file in support::files(&dir) {
            fs::remove_file(file).unwrap();
        }
    }
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The child of the test below; does nothing when run with the others.
#[test]
#[ignore = "the child process of another test"]
fn child_that_appends_until_killed() {
    let Some(root) = std::env::args().skip_while(|arg| arg != "--skip").nth(1) else { return };
    let root = std::path::PathBuf::from(root.strip_prefix("root=").unwrap());
    let custody = FileKek::open(&root.join("kek"), Arc::new(SystemRandom)).unwrap();
    let bench = Bench::with(tempfile::TempDir::new_in(&root).unwrap(), Arc::new(custody));
    let mut options = bench.options();
    options.dir = root.join("ledger");
    options.keys_dir = root.join("keys");
    options.checkpoint_every = std::time::Duration::from_millis(1);
    let begun = std::time::Instant::now();
    let (ledger, _) = ledger::Ledger::open(options).unwrap();
    let took = begun.elapsed().as_millis();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "OPENED {took}").unwrap();
    for task in 0..8_u32 {
        let ledger = ledger.clone();
        runtime.spawn(async move {
            for number in 0.. {
                let at = ledger.append(vec![entry(task * 1_000_000 + number)]).await.unwrap();
                let line = format!("ACK {} {}\n", at[0].seq, task * 1_000_000 + number);
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    std::thread::sleep(std::time::Duration::from_secs(60));
}

/// How often the child is killed.
const KILLS: u64 = 200;

#[test]
fn two_hundred_kills_under_load_lose_no_acknowledged_record() {
    let bench = Bench::new();
    let mut acknowledged: Vec<(u64, u32)> = Vec::new();
    let mut checkpoints: Vec<String> = Vec::new();
    let mut slowest = 0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_appends_until_killed", "--nocapture"])
            .args(["--skip", &format!("root={}", bench.root.path().display())])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = acknowledged.len();
        // Every tenth is killed while it starts, the others after more or fewer records.
        let wanted = if round % 10 == 7 { 0 } else { 1 + 7 * (round % 13) };
        let mut seen = 0;
        while seen < wanted {
            let line = lines.next().expect("the child lives").unwrap();
            if let Some((_, opened)) = line.split_once("OPENED ") {
                slowest = slowest.max(opened.parse::<u64>().unwrap());
            }
            seen += u64::from(note(&line, &mut acknowledged));
        }
        if wanted == 0 {
            std::thread::sleep(std::time::Duration::from_micros(300 * round));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            note(&line, &mut acknowledged);
        }
        // What this round was told is there, before the next begins.
        let new = &acknowledged[before..];
        if let Some(first) = new.iter().map(|(seq, _)| *seq).min() {
            all_read_back(&bench, first, new);
        }
        if round % 10 == 9 {
            let report = bench.verify(&checkpoints);
            assert_ne!(report.verdict, Verdict::Fail, "round {round}: {:?}", report.gaps);
        }
        if round % 10 == 1 {
            checkpoints.push(bench.checkpoint());
        }
    }
    assert!(acknowledged.len() > 5000, "{}", acknowledged.len());
    assert!(slowest < 5000, "a start took {slowest} ms");
    let (ledger, opened) = bench.open();
    assert!(opened.records > acknowledged.len() as u64);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    checkpoints.push(runtime.block_on(ledger.checkpoint()).unwrap());
    runtime.block_on(ledger.close()).unwrap();
    let report = bench.verify(&checkpoints);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    all_read_back(&bench, 0, &acknowledged);
    println!("{} acknowledged over {KILLS} kills; slowest start {slowest} ms", acknowledged.len());
}

fn all_read_back(bench: &Bench, first: u64, expected: &[(u64, u32)]) {
    let mut left: std::collections::HashMap<u64, u32> = expected.iter().copied().collect();
    assert_eq!(left.len(), expected.len(), "a number was given twice");
    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(first).unwrap();
    while !left.is_empty() {
        let record = cursor.next_record().unwrap().expect("an acknowledged record is missing");
        if let Some(number) = left.remove(&record.seq) {
            assert_eq!(record.body.unwrap().count, Some(number));
        }
    }
}

/// Whether a line acknowledges a record.
fn note(line: &str, acknowledged: &mut Vec<(u64, u32)>) -> bool {
    let Some(rest) = line.split_once("ACK ").map(|(_, rest)| rest) else { return false };
    let Some((seq, number)) = rest.split_once(' ') else { return false };
    match (seq.parse(), number.parse()) {
        (Ok(seq), Ok(number)) => acknowledged.push((seq, number)),
        _ => return false,
    }
    true
}
