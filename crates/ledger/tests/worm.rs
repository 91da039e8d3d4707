//! Repair and copying against a store that lies: only what is this log's own history comes back.
#![cfg(feature = "remote")]
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
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Kind, Secret};
use keys::sha256;
use ledger::retention::ShredPlan;
use ledger::verify::{Verdict, VerifyOptions};
use ledger::worm::{
    ArchiveError, ArchiveOptions, Archiver, BULK, Bucket, BucketOptions, Damage, Repair,
    RepairError, SMALL, compare, copies,
};
use ledger::{GapKind, Trouble};
use outbound::{Client, Limits, Options, Origin, PeerPolicy};
use support::{Bench, DAY, copy_dir, entry};

/// A store that answers everything with this.
fn store(bench: &Bench, content: Vec<u8>) -> Arc<Bucket> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-amz-version-id: v\r\nconnection: close\r\n\r\n",
                content.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
        }
    });
    let client = |limits: Limits| {
        let policy = PeerPolicy::ExactOrigin(Origin::of(&endpoint).unwrap());
        Client::new(Options { limits, ..Options::new(policy) }).unwrap()
    };
    let bucket = Bucket::new(BucketOptions {
        endpoint: endpoint.clone(),
        bucket: "locked".into(),
        region: "us-east-1".into(),
        access_key: "AKIDEXAMPLE".into(),
        secret_key: Secret::new("secret".into()),
        small: client(SMALL),
        bulk: client(BULK),
        clock: bench.clock.clone(),
    });
    Arc::new(bucket.unwrap())
}

async fn segment_more(bench: &Bench, number: u32) {
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(number)]).await.unwrap();
    ledger.close().await.unwrap();
}

/// A list that names one copy, of segment 2.
fn list(bench: &Bench, content: &[u8]) {
    list_of(bench, 2, content);
}

fn list_of(bench: &Bench, segment: u32, content: &[u8]) {
    let hash: String = sha256(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = content.len();
    let line = format!(
        "{{\"segment\":{segment},\"object\":\"stream-0000000001/segment-{segment:010}.phl\",\
         \"version_id\":\"v\",\"sha256\":\"{hash}\",\"bytes\":{bytes},\
         \"retain_until\":\"2032-11-08T00:00:00Z\"}}\n"
    );
    fs::write(bench.keys_dir().join("archive.ndjson"), line).unwrap();
}

fn begin(bench: &Bench) -> Result<Repair, RepairError> {
    let options = VerifyOptions::new(bench.key());
    Repair::begin(&bench.dir(), &bench.keys_dir(), options, bench.clock.now())
}

/// Every file of the ledger and its content.
fn state(bench: &Bench) -> Vec<(PathBuf, Vec<u8>)> {
    let read = fs::read_dir(bench.dir()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = read
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// A log of four segments, and a second segment that continues the first in another history, made with
/// the log's own keys.
async fn forked() -> (Bench, Vec<u8>) {
    let bench = Bench::new();
    segment_more(&bench, 1).await;
    let (before, keys) = (bench.root.path().join("before"), bench.root.path().join("keys-before"));
    copy_dir(&bench.dir(), &before);
    copy_dir(&bench.keys_dir(), &keys);
    segment_more(&bench, 1000).await;
    let fork = fs::read(&bench.segments()[1]).unwrap();
    for (from, to) in [(before, bench.dir()), (keys, bench.keys_dir())] {
        fs::remove_dir_all(&to).unwrap();
        copy_dir(&from, &to);
        for file in fs::read_dir(&to).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            let path = file.unwrap().path();
            if path.is_file() {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
    for number in 2..5 {
        segment_more(&bench, number).await;
    }
    (bench, fork)
}

#[tokio::test]
async fn a_copy_of_another_history_or_content_is_not_put_in_place_and_the_right_one_is() {
    let (bench, fork) = forked().await;
    let checkpoint = bench.checkpoint();
    let path = bench.segments()[1].clone();
    let good = fs::read(&path).unwrap();
    assert_ne!(good, fork);
    fs::remove_file(&path).unwrap();
    let before = state(&bench);

    // Whole, signed with the right keys and as recorded, but of a fork; as recorded, but no segment;
    // another segment; not what was recorded.
    let first = fs::read(&bench.segments()[0]).unwrap();
    for (recorded, stored) in [
        (&fork, &fork),
        (&b"abc".to_vec(), &b"abc".to_vec()),
        (&first, &first),
        (&good, &fork),
        (&good, &good[..good.len() - 1].to_vec()),
    ] {
        list(&bench, recorded);
        let repair = begin(&bench).unwrap();
        assert_eq!(repair.damaged().collect::<Vec<_>>(), [(2, Damage::Missing, 1)]);
        let bucket = store(&bench, stored.clone());
        let error = repair.run(&bucket, bench.clock.now()).await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::NoCopy, "{error}");
        assert!(state(&bench) == before, "{error}");
    }

    // With the next segment gone, too, nothing would show that it is a fork's.
    let third = bench.segments()[1].clone();
    let next = fs::read(&third).unwrap();
    fs::remove_file(&third).unwrap();
    list(&bench, &fork);
    let error = begin(&bench).unwrap().run(&store(&bench, fork.clone()), bench.clock.now()).await;
    assert_eq!(error.unwrap_err().trouble(), Trouble::NoCopy);
    fs::write(&third, next).unwrap();
    assert!(state(&bench) == before);

    list(&bench, &good);
    let gaps = compare(
        &bench.dir(),
        &copies(&bench.dir(), &bench.keys_dir()).unwrap(),
        bench.clock.now(),
        &mut |_| {},
    );
    assert!(gaps.unwrap().iter().any(|gap| gap.kind == GapKind::SegmentMissing));
    let bucket = store(&bench, good.clone());
    let (repaired, without) = begin(&bench).unwrap().run(&bucket, bench.clock.now()).await.unwrap();
    assert_eq!((repaired.len(), without.len()), (1, 0));
    assert_eq!(fs::read(&path).unwrap(), good);
    assert_eq!(bench.verify(&[checkpoint]).verdict, Verdict::Pass);
    assert_eq!(begin(&bench).unwrap().damaged().count(), 0);
}

#[tokio::test]
async fn a_repair_that_was_cut_short_is_begun_anew_and_a_held_ledger_is_left_alone() {
    let (bench, _) = forked().await;
    let path = bench.segments()[1].clone();
    let good = fs::read(&path).unwrap();
    list(&bench, &good);
    fs::write(&path, b"damaged").unwrap();
    // What a killed repair leaves: a half-fetched segment and links.
    let staging = bench.dir().join("repair");
    fs::create_dir(&staging).unwrap();
    fs::write(staging.join("segment-0000000002.phl"), b"half").unwrap();
    std::os::unix::fs::symlink(&bench.segments()[0], staging.join("segment-0000000001.phl"))
        .unwrap();
    let bucket = store(&bench, good.clone());

    // As from a configuration with relative paths.
    let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let dir = up.join(bench.dir().strip_prefix("/").unwrap());
    let options = VerifyOptions::new(bench.key());
    let held = Repair::begin(&dir, &bench.keys_dir(), options, bench.clock.now()).unwrap();
    assert_eq!(begin(&bench).err().map(|error| error.trouble()), Some(Trouble::InUse));
    let (repaired, _) = held.run(&bucket, bench.clock.now()).await.unwrap();
    assert_eq!(repaired[0].damage, Damage::Differs);
    assert_eq!(fs::read(repaired[0].kept.as_ref().unwrap()).unwrap(), b"damaged");
    assert_eq!(fs::read(&path).unwrap(), good);
    assert!(bench.segments()[0].exists() && !staging.exists());
    let (ledger, _) = bench.open();
    assert_eq!(begin(&bench).err().map(|error| error.trouble()), Some(Trouble::InUse));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn copies_of_segments_that_the_log_has_not_got_to_are_a_rollback() {
    let (bench, _) = forked().await;
    let second = fs::read(&bench.segments()[1]).unwrap();
    list(&bench, &second);
    for path in bench.segments().iter().skip(1) {
        fs::remove_file(path).unwrap();
    }
    for dir in [bench.dir(), bench.keys_dir()] {
        fs::remove_file(dir.join("checkpoint")).unwrap();
    }
    let gaps = compare(
        &bench.dir(),
        &copies(&bench.dir(), &bench.keys_dir()).unwrap(),
        bench.clock.now(),
        &mut |_| {},
    );
    assert_eq!(gaps.unwrap()[0].kind, GapKind::SegmentMissing);

    // Another ledger in its place, with the list that was left beside the keys.
    let other = Bench::new();
    let (ledger, _) = other.open();
    list(&other, &second);
    let lock = b"<ObjectLockEnabled>Enabled</ObjectLockEnabled>".to_vec();
    let mut archiver = Archiver::open(ArchiveOptions {
        bucket: store(&other, lock),
        dir: other.dir(),
        keys_dir: other.keys_dir(),
        prefix: String::new(),
        retention: Duration::from_secs(2192 * 86_400),
        note_every: Duration::from_secs(60),
        clock: other.clock.clone(),
    })
    .unwrap();
    let error = archiver.pass(&ledger).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Rollback { copied: 2, here: 1 }), "{error}");
}

#[tokio::test]
async fn what_was_shredded_in_order_does_not_stand_in_the_way_of_a_repair() {
    let bench = Bench::new();
    segment_more(&bench, 1).await;
    bench.clock.advance(31 * DAY);
    segment_more(&bench, 2).await;
    bench.clock.advance(2_300 * DAY);
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(3)]).await.unwrap();
    let plan = ShredPlan::new(&bench.dir(), &bench.keys_dir(), 202_611, &bench.key()).unwrap();
    ledger.append_both(&[(Kind::LedgerShredded, plan.shred.body())], Vec::new()).await.unwrap();
    plan.carry_out().unwrap();
    ledger.close().await.unwrap();
    let checkpoint = bench.checkpoint();

    let path = bench.segments()[0].clone();
    let name = path.file_stem().unwrap().to_str().unwrap().strip_prefix("segment-").unwrap();
    let (segment, good) = (name.parse().unwrap(), fs::read(&path).unwrap());
    assert!(segment > 1);
    list_of(&bench, segment, &good);
    fs::write(&path, b"damaged").unwrap();
    let repair = begin(&bench).unwrap();
    assert_eq!(repair.damaged().collect::<Vec<_>>(), [(segment, Damage::Differs, 1)]);
    repair.run(&store(&bench, good.clone()), bench.clock.now()).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), good);
    assert_eq!(bench.verify(&[checkpoint]).verdict, Verdict::Pass);
}
