//! What happens under a running ledger's feet is noticed within two seconds, and then nothing is
//! acknowledged any more; a full disk is stopped on in writing; a second writer on the same keys shows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

#[path = "support/storm.rs"]
mod storm_disk;
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Kind;
use ledger::verify::Verdict;
use ledger::{GapKind, Ledger, LedgerFault, OpenError, Trouble};
use storm_disk::{Fault, StormDisk};
use support::{Bench, batches, copy_dir, entry, kinds};

/// Does it to a running ledger, and expects the stop: its reason holds this text.
async fn stops(name: &str, says: &str, harm: impl FnOnce(&Bench, &Path)) {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    harm(&bench, &bench.segments()[0]);
    let begun = Instant::now();
    while ledger.failure().is_none() && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let reason = ledger.failure().unwrap_or_else(|| panic!("{name}: not noticed"));
    assert!(reason.contains(says), "{name}: {reason}");
    assert_eq!(ledger.append(vec![entry(2)]).await, Err(LedgerFault::Failed), "{name}");
    assert_eq!(ledger.checkpoint().await, Err(LedgerFault::Failed), "{name}");
    assert_eq!(ledger.close().await, Err(LedgerFault::Failed), "{name}");
}

#[tokio::test]
async fn whatever_is_done_to_the_live_segment_or_its_directory_stops_the_ledger() {
    tokio::join!(
        stops("unlinked", "No such file", |_, path| fs::remove_file(path).unwrap()),
        stops("replaced by a copy", "replaced", |_, path| {
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).unwrap();
            fs::rename(&copy, path).unwrap();
        }),
        stops("linked elsewhere", "linked", |bench, path| {
            fs::hard_link(path, bench.root.path().join("link")).unwrap();
        }),
        stops("cut", "cut or extended", |_, path| {
            let bytes = fs::read(path).unwrap();
            let (start, _) = batches(&bytes).pop().unwrap();
            fs::File::options().write(true).open(path).unwrap().set_len(start as u64).unwrap();
        }),
        stops("extended", "cut or extended", |_, path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() + 1).unwrap();
        }),
        stops("directory renamed", "No such file", |bench, _| {
            fs::rename(bench.dir(), bench.root.path().join("elsewhere")).unwrap();
        }),
        stops("directory replaced, its files linked back", "linked", |bench, path| {
            let away = bench.root.path().join("elsewhere");
            fs::rename(bench.dir(), &away).unwrap();
            fs::create_dir(bench.dir()).unwrap();
            fs::hard_link(away.join(path.file_name().unwrap()), path).unwrap();
        }),
        stops("directory replaced, its files moved back", "directory was moved", |bench, path| {
            let away = bench.root.path().join("elsewhere");
            fs::rename(bench.dir(), &away).unwrap();
            fs::create_dir(bench.dir()).unwrap();
            fs::rename(away.join(path.file_name().unwrap()), path).unwrap();
        }),
        stops("keys taken by another opening", "same keys", |bench, _| {
            fs::write(bench.keys_dir().join("instance"), "00".repeat(16)).unwrap();
        }),
        stops("keys taken away", "same keys", |bench, _| {
            fs::rename(bench.keys_dir(), bench.root.path().join("elsewhere")).unwrap();
        }),
    );
}

#[tokio::test]
async fn a_read_only_remount_stops_the_ledger() {
    let bench = Bench::in_memory();
    let disk = Arc::new(StormDisk::new(1));
    let mut options = bench.options();
    options.disk = disk.clone();
    let (ledger, _) = Ledger::open(options).unwrap();
    ledger.append(vec![entry(1)]).await.unwrap();
    assert_eq!(ledger.failure(), None);
    disk.remount_read_only();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(ledger.failure().unwrap().contains("read-only"));
    assert_eq!(ledger.append(vec![entry(2)]).await, Err(LedgerFault::Failed));
}

#[tokio::test]
async fn nothing_is_signed_once_the_keys_signed_for_a_larger_or_other_history() {
    // The same keys and directory, copied: what a cloned machine has.
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    ledger.close().await.unwrap();
    let clone = Bench::in_memory_with(bench.custody.clone());
    for (from, to) in [(bench.dir(), clone.dir()), (bench.keys_dir(), clone.keys_dir())] {
        copy_dir(&from, &to);
    }
    let (other, _) = clone.open();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(2)]).await.unwrap();
    other.append(vec![entry(3)]).await.unwrap();
    let here = ledger.checkpoint().await.unwrap();
    let there = other.checkpoint().await.unwrap();
    // One size, two roots: what each signed convicts the other.
    assert_eq!(here.lines().nth(1), there.lines().nth(1));
    assert_ne!(here.lines().nth(2), there.lines().nth(2));
    for (one, foreign) in [(&bench, &there), (&clone, &here)] {
        let report = one.verify_live(std::slice::from_ref(foreign));
        assert_eq!(report.verdict, Verdict::Fail);
        assert!(kinds(&report).contains(&GapKind::CheckpointFork));
    }
    // And where one finds the other's beside its keys, it signs no more.
    ledger.append(vec![entry(4)]).await.unwrap();
    fs::write(bench.keys_dir().join("checkpoint"), &there).unwrap();
    assert_eq!(ledger.checkpoint().await, Err(LedgerFault::Failed));
    assert!(ledger.failure().unwrap().contains("other history"), "{:?}", ledger.failure());
    other.close().await.unwrap();
    assert!(ledger.close().await.is_err());
    let error = Ledger::open(bench.options()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::Fork, "{error}");
}

#[tokio::test]
async fn a_copied_directory_does_not_start_while_its_keys_are_in_use_nor_behind_them() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    let copy = bench.root.path().join("copy");
    copy_dir(&bench.dir(), &copy);
    let options = || {
        let mut options = bench.options();
        options.dir.clone_from(&copy);
        options
    };
    let error = Ledger::open(options()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::InUse, "{error}");
    ledger.append(vec![entry(2)]).await.unwrap();
    ledger.close().await.unwrap();
    let error = Ledger::open(options()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::Rollback, "{error}");
    // Each opening is in the record by its name, with the one before it.
    let (ledger, _) = bench.open();
    ledger.close().await.unwrap();
    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(0).unwrap();
    let mut names = Vec::new();
    while let Some(record) = cursor.next_record().unwrap() {
        names.extend(record.body.unwrap().instance);
    }
    assert_eq!(names.len(), 2);
    assert_eq!(names[1].split_once(' ').unwrap().1, names[0]);
}

#[tokio::test]
async fn on_a_full_disk_the_stop_is_recorded_and_signed_wherever_it_strikes() {
    for after in 0..40 {
        let bench = Bench::in_memory();
        let disk = Arc::new(StormDisk::new(after));
        let mut options = bench.options();
        options.disk = disk.clone();
        options.segment_bytes = 4096;
        let (ledger, _) = Ledger::open(options).unwrap();
        ledger.append(vec![entry(1)]).await.unwrap();
        let old = ledger.checkpoint().await.unwrap();
        assert!(bench.dir().join("ballast").exists());
        disk.plan(after, Fault::Full);
        for number in 0..30 {
            if number == 3 {
                bench.clock.advance(support::DAY);
            }
            let _ = ledger.append(vec![entry(number)]).await;
        }
        let reason = ledger.failure().unwrap();
        assert!(reason.contains("recorded and signed"), "{after}: {reason}");
        assert_eq!(ledger.append(vec![entry(9)]).await, Err(LedgerFault::Failed));
        assert!(ledger.close().await.is_err());
        stopped_in_order(&bench, old);
        // With room again it goes on.
        let (ledger, _) = bench.open();
        ledger.append(vec![entry(10)]).await.unwrap();
        let new = ledger.checkpoint().await.unwrap();
        ledger.close().await.unwrap();
        assert_eq!(bench.verify(&[new]).verdict, Verdict::Pass);
        assert!(bench.dir().join("ballast").exists());
    }
}

fn stopped_in_order(bench: &Bench, old: String) {
    let report = bench.verify(&[old, bench.checkpoint()]);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    assert_eq!(report.signed, report.size);
    let mut reader = bench.reader();
    let last = reader.last(1).unwrap().next_record().unwrap().unwrap();
    assert_eq!(last.kind, Some(Kind::Stopped));
    assert_eq!(last.body.unwrap().detail.as_deref(), Some("the disk is full"));
}

#[tokio::test]
async fn after_any_failed_operation_nothing_is_tried_again_nor_acknowledged() {
    let mut struck = 0;
    for fault in [Fault::ShortWrite, Fault::SyncFails, Fault::NameFails] {
        for after in 0..36 {
            let bench = Bench::in_memory();
            let disk = Arc::new(StormDisk::new(after));
            let mut options = bench.options();
            options.disk = disk.clone();
            options.segment_bytes = 4096;
            let (ledger, _) = Ledger::open(options).unwrap();
            disk.plan(after, fault);
            // Through batches, rolled segments and a new day, with its keys and checkpoints.
            let (mut failed_at, mut acknowledged) = (None, 0);
            for number in 0..20 {
                if number == 4 {
                    bench.clock.advance(support::DAY);
                }
                match ledger.append(vec![entry(number)]).await {
                    Ok(_) => {
                        assert_eq!(failed_at, None, "{fault:?} {after}: yes after a failure");
                        acknowledged += 1;
                    }
                    Err(fault) => {
                        assert_eq!(fault, LedgerFault::Failed);
                        failed_at.get_or_insert_with(|| disk.operations());
                    }
                }
            }
            let Some(operations) = failed_at else { continue };
            struck += 1;
            assert!(disk.struck() && ledger.failure().is_some());
            assert_eq!(ledger.checkpoint().await, Err(LedgerFault::Failed));
            assert_eq!(ledger.close().await, Err(LedgerFault::Failed));
            assert_eq!(disk.operations(), operations, "{fault:?} {after}: something was tried");
            let (ledger, opened) = bench.open();
            assert!(opened.records > acknowledged);
            ledger.close().await.unwrap();
        }
    }
    assert!(struck > 60, "{struck}");
}

#[tokio::test]
async fn a_full_disk_is_refused_at_the_start_with_its_own_code() {
    let bench = Bench::in_memory();
    let disk = Arc::new(StormDisk::new(1));
    disk.plan(0, Fault::Full);
    let mut options = bench.options();
    options.disk = disk;
    let error = Ledger::open(options).err().unwrap();
    assert_eq!(error.trouble(), Trouble::NotWritable, "{error}");
    assert!(matches!(error, OpenError::Io { .. }));
}

#[tokio::test]
async fn every_refusal_to_start_has_its_code_and_changes_nothing() {
    type Harm = fn(&Bench);
    let table: &[(&str, Trouble, Harm)] = &[
        ("cut at a batch's edge", Trouble::Rollback, |bench| {
            let path = bench.segments().pop().unwrap();
            let bytes = fs::read(&path).unwrap();
            let (start, _) = batches(&bytes).pop().unwrap();
            fs::write(path, &bytes[..start]).unwrap();
        }),
        ("cut in a batch that was signed for", Trouble::Rollback, |bench| {
            let path = bench.segments().pop().unwrap();
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("bad data before a good batch", Trouble::Corrupt, |bench| {
            let path = bench.segments().pop().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let (start, _) = batches(&bytes)[1];
            bytes[start + 120] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a bad header", Trouble::Corrupt, |bench| {
            let path = bench.segments().pop().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes[60] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("the last segment gone", Trouble::Rollback, |bench| {
            fs::remove_file(bench.segments().pop().unwrap()).unwrap();
        }),
        ("no checkpoint beside the log", Trouble::CheckpointMissing, |bench| {
            fs::remove_file(bench.dir().join("checkpoint")).unwrap();
        }),
        ("no checkpoint beside the keys", Trouble::CheckpointMissing, |bench| {
            fs::remove_file(bench.keys_dir().join("checkpoint")).unwrap();
        }),
        ("a checkpoint that is none", Trouble::CheckpointMissing, |bench| {
            fs::write(bench.dir().join("checkpoint"), "x").unwrap();
        }),
        ("no stable key", Trouble::KeyMissing, |bench| {
            fs::remove_file(bench.keys_dir().join("stable.key")).unwrap();
        }),
        ("no day key", Trouble::KeyMissing, |bench| remove_key(bench, "day-")),
        ("no key of the month", Trouble::KeyMissing, |bench| remove_key(bench, "period-")),
        ("keys under another key-encryption key", Trouble::KeyDoesNotOpen, |bench| {
            let other = Bench::in_memory();
            other.open();
            let from = other.keys_dir().join("stable.key");
            fs::copy(from, bench.keys_dir().join("stable.key")).unwrap();
        }),
        ("the directory in the way", Trouble::NotWritable, |bench| {
            fs::remove_dir_all(bench.dir()).unwrap();
            fs::write(bench.dir(), "").unwrap();
        }),
    ];
    for (what, trouble, harm) in table {
        let bench = Bench::in_memory();
        for _ in 0..2 {
            let (ledger, _) = bench.open();
            ledger.append(vec![entry(1)]).await.unwrap();
            ledger.close().await.unwrap();
        }
        harm(&bench);
        let before: Vec<_> = if bench.dir().is_dir() {
            bench.segments().iter().map(|path| fs::read(path).unwrap()).collect()
        } else {
            Vec::new()
        };
        let error = Ledger::open(bench.options()).err().unwrap_or_else(|| panic!("{what}: opens"));
        assert_eq!(error.trouble(), *trouble, "{what}: {error}");
        if bench.dir().is_dir() {
            let after: Vec<_> =
                bench.segments().iter().map(|path| fs::read(path).unwrap()).collect();
            assert!(before == after, "{what}: something was changed");
        }
    }
}

fn remove_key(bench: &Bench, prefix: &str) {
    for file in fs::read_dir(bench.keys_dir()).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_str().unwrap().starts_with(prefix) {
            fs::remove_file(file.path()).unwrap();
        }
    }
}

/// Runs a test of this file in a mount namespace of its own; false where that is not allowed.
fn in_namespace(test: &str, bench: &Bench) -> bool {
    let allowed = Command::new("unshare").args(["--mount", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return false;
    }
    let output = Command::new("unshare")
        .arg("--mount")
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--nocapture", "--skip"])
        .arg(format!("root={}", bench.root.path().display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    true
}

/// The parent's directory, in the child.
fn parents_bench() -> Option<(Bench, std::path::PathBuf)> {
    let root = std::env::args().skip_while(|arg| arg != "--skip").nth(1)?;
    let root = std::path::PathBuf::from(root.strip_prefix("root=")?);
    let kek = keys::custody::FileKek::open(&root.join("kek"), Arc::new(keys::SystemRandom));
    let own = tempfile::TempDir::new_in(&root).unwrap();
    Some((Bench::with(own, Arc::new(kek.unwrap())), root))
}

fn mount(arguments: &[&str], at: &Path) {
    let status = Command::new("mount").args(arguments).arg(at).status().unwrap();
    assert!(status.success(), "mount {arguments:?}");
}

#[tokio::test]
#[ignore = "the child process of another test"]
async fn child_on_a_small_disk() {
    let Some((bench, root)) = parents_bench() else { return };
    let (dir, kept) = (root.join("small"), root.join("kept"));
    fs::create_dir(&dir).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], &dir);
    let mut options = bench.options();
    options.dir.clone_from(&dir);
    options.keys_dir = root.join("keys");
    let (ledger, _) = Ledger::open(options).unwrap();
    let mut acknowledged = 0;
    while ledger.append((0..20).map(entry).collect()).await.is_ok() {
        acknowledged += 20;
    }
    assert!(acknowledged > 100);
    assert!(ledger.failure().unwrap().contains("recorded and signed"), "{:?}", ledger.failure());
    let _ = ledger.close().await;
    // The mount goes with this process.
    copy_dir(&dir, &kept);
}

#[test]
fn a_disk_that_is_really_full_is_stopped_on_in_writing() {
    let bench = Bench::in_memory();
    if !in_namespace("child_on_a_small_disk", &bench) {
        println!("no mounts here; the simulated disk is filled in another test");
        return;
    }
    fs::rename(bench.root.path().join("kept"), bench.dir()).unwrap();
    stopped_in_order(&bench, bench.checkpoint());
}

#[tokio::test]
#[ignore = "the child process of another test"]
async fn child_whose_directory_is_mounted_over() {
    let Some((bench, _)) = parents_bench() else { return };
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    let copy = bench.root.path().join("copy");
    copy_dir(&bench.dir(), &copy);
    let arguments = ["--bind", copy.to_str().unwrap()];
    mount(&arguments, &bench.dir());
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(ledger.failure().unwrap().contains("replaced"), "{:?}", ledger.failure());
    assert_eq!(ledger.append(vec![entry(2)]).await, Err(LedgerFault::Failed));
}

#[test]
fn a_directory_mounted_over_the_ledgers_stops_it() {
    let bench = Bench::in_memory();
    if !in_namespace("child_whose_directory_is_mounted_over", &bench) {
        println!("no mounts here; a replaced directory is noticed in another test");
    }
}
