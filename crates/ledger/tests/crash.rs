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
    let mut bench = Bench::new();
    bench.custody = Arc::new(custody);
    let mut options = bench.options();
    options.dir = root.join("ledger");
    options.keys_dir = root.join("keys");
    options.checkpoint_every = std::time::Duration::from_millis(1);
    let (ledger, opened) = ledger::Ledger::open(options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "OPENED {}", opened.records).unwrap();
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

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_record() {
    let bench = Bench::new();
    let mut acknowledged: Vec<(u64, u32)> = Vec::new();
    let mut checkpoints = Vec::new();
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_appends_until_killed", "--nocapture"])
            .args(["--skip", &format!("root={}", bench.root.path().display())])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 5 + 30 * round;
        let mut seen = 0;
        while seen < wanted {
            let line = lines.next().expect("the child lives").unwrap();
            seen += u64::from(note(&line, &mut acknowledged));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            note(&line, &mut acknowledged);
        }
        checkpoints.push(bench.checkpoint());
    }
    assert!(acknowledged.len() > 900);
    let (ledger, opened) = bench.open();
    assert!(opened.records > acknowledged.len() as u64);
    checkpoints.push(ledger.checkpoint().await.unwrap());
    ledger.close().await.unwrap();
    let report = bench.verify(&checkpoints);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    let mut reader = bench.reader();
    for (seq, number) in acknowledged {
        let record = reader.from_seq(seq).unwrap().next_record().unwrap().unwrap();
        assert_eq!(record.seq, seq);
        assert_eq!(record.body.unwrap().count, Some(number));
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
