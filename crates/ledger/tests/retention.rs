//! What keeps a record secret, and what happens when its month is over: sealing that never repeats, keys
//! that commit, shredding that leaves a log which proves itself, holds and evidence.

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

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Kind;
use ledger::evidence::{Source, gather, open};
use ledger::hold::{Cover, Hold, holds, keeping};
use ledger::note::{Checkpoint, Note};
use ledger::proof::Prover;
use ledger::read::ReadError;
use ledger::retention::{ShredPlan, is_due, shred_again, shreds};
use ledger::tree::verify_inclusion;
use ledger::verify::Verdict;
use ledger::{Body, Entry, GapKind, Ledger, LedgerOptions};
use support::{Bench, DAY, ORIGIN, START, batches, entry, kinds};

/// November and December 2026, and January 2027: two records a month, a checkpoint after each; the
/// ledger open in January.
async fn three_months() -> (Bench, Ledger, Vec<String>) {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let mut notes = Vec::new();
    for number in 0..3 {
        ledger.append(vec![entry(number)]).await.unwrap();
        notes.push(ledger.checkpoint().await.unwrap());
        ledger.append(vec![entry(number + 10)]).await.unwrap();
        notes.push(ledger.checkpoint().await.unwrap());
        if number < 2 {
            bench.clock.advance(31 * DAY);
        }
    }
    (bench, ledger, notes)
}

fn plan(bench: &Bench, period: u32) -> ShredPlan {
    ShredPlan::new(&bench.dir(), &bench.keys_dir(), period, &bench.key()).unwrap()
}

/// Long after.
async fn six_years_pass(bench: &Bench, ledger: &Ledger) {
    bench.clock.advance(2_300 * DAY);
    ledger.append(vec![Entry::new(Kind::Heartbeat, Body::default())]).await.unwrap();
}

async fn shred(bench: &Bench, ledger: &Ledger, period: u32) -> ShredPlan {
    six_years_pass(bench, ledger).await;
    let plan = plan(bench, period);
    let body = plan.shred.body();
    ledger.append_both(&[(Kind::LedgerShredded, body)], Vec::new()).await.unwrap();
    plan.carry_out().unwrap();
    plan
}

fn source<'a>(bench: &Bench, dirs: &'a (PathBuf, PathBuf)) -> Source<'a> {
    Source {
        dir: &dirs.0,
        keys_dir: &dirs.1,
        origin: ORIGIN,
        stream: 1,
        custody: Arc::clone(&bench.custody),
    }
}

fn stubs(bench: &Bench) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(bench.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "shredded"))
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_shredded_month_is_gone_for_good_and_the_log_still_proves_itself() {
    let (bench, ledger, notes) = three_months().await;
    let november = bench.segments()[0].clone();
    let plan = shred(&bench, &ledger, 202_611).await;
    assert!(plan.is_done());
    assert!(!november.exists() && !stubs(&bench).is_empty());
    ledger.close().await.unwrap();
    let report = bench.verify(&notes[2..]);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    assert_eq!(report.expectations_met, 4);
    assert!(kinds(&report).contains(&GapKind::Shredded));
    // Records before and after are counted; nothing of November can be read.
    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(0).unwrap();
    let mut patients = Vec::new();
    while let Some(record) = cursor.next_record().unwrap() {
        patients.extend(record.body.and_then(|body| body.count));
    }
    assert_eq!(patients, [1, 11, 2, 12]);
    assert_eq!(reader.count().unwrap(), report.records);
    for file in fs::read_dir(bench.keys_dir()).unwrap() {
        assert!(!file.unwrap().file_name().to_str().unwrap().contains("202611"));
    }
    // The log goes on, and a month in the middle can go as well.
    let (ledger, _) = bench.open();
    shred(&bench, &ledger, 202_612).await;
    ledger.append(vec![entry(3)]).await.unwrap();
    ledger.close().await.unwrap();
    let report = bench.verify(&notes[4..]);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    // Done twice is done once.
    assert!(shreds(&bench.dir()).unwrap().contains(&plan_of(&bench, 202_611)));
}

#[tokio::test]
async fn a_reader_that_stays_open_lets_go_of_a_key_that_was_destroyed() {
    let (bench, ledger, _) = three_months().await;
    let mut reader = bench.reader();
    let opens = |reader: &mut ledger::read::Reader| {
        let mut cursor = reader.from_seq(0).unwrap();
        let mut opened = Vec::new();
        while let Some(record) = cursor.next_record().unwrap() {
            opened.push(record.body.is_some());
        }
        opened
    };
    assert!(opens(&mut reader).iter().all(|opened| *opened));
    // Bytes that somebody kept, after the key is gone: the reader does not remember it.
    let november = bench.keys_dir().join("period-202611.key");
    let bytes = fs::read(&november).unwrap();
    fs::remove_file(&november).unwrap();
    let after = opens(&mut reader);
    assert_eq!(after.iter().filter(|opened| !**opened).count(), 2, "{after:?}");
    // A key that came back is found.
    fs::write(&november, bytes).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&november, mode).unwrap();
    assert!(opens(&mut reader).iter().all(|opened| *opened));
    ledger.close().await.unwrap();
}

fn plan_of(bench: &Bench, period: u32) -> ledger::retention::Shred {
    plan(bench, period).shred
}

#[tokio::test]
async fn a_segment_is_missing_unless_the_log_itself_says_that_it_was_shredded() {
    let (bench, ledger, notes) = three_months().await;
    let november = bench.segments();
    let original: Vec<Vec<u8>> = november.iter().map(|path| fs::read(path).unwrap()).collect();
    // With its record, but in January already: years too early.
    let early = plan(&bench, 202_611).shred.body();
    ledger.append_both(&[(Kind::LedgerShredded, early)], Vec::new()).await.unwrap();
    six_years_pass(&bench, &ledger).await;
    // Without a record: shredded behind the log's back.
    plan(&bench, 202_611).carry_out().unwrap();
    let missing = |report: &ledger::verify::Report| {
        assert_eq!(report.verdict, Verdict::Fail, "{:?}", report.gaps);
        assert!(kinds(report).contains(&GapKind::SegmentMissing), "{:?}", report.gaps);
    };
    missing(&bench.verify_live(&notes[2..]));
    // With a record of another month.
    let other = ledger::retention::Shred { period: 202_501, ..plan(&bench, 202_612).shred };
    ledger.append_both(&[(Kind::LedgerShredded, other.body())], Vec::new()).await.unwrap();
    missing(&bench.verify_live(&notes[2..]));
    // With its record it is accepted.
    let body = plan(&bench, 202_611).shred.body();
    ledger.append_both(&[(Kind::LedgerShredded, body)], Vec::new()).await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(bench.verify(&notes[2..]).verdict, Verdict::Pass);
    // Any changed or missing stub is a missing segment again.
    for stub in stubs(&bench) {
        let bytes = fs::read(&stub).unwrap();
        for at in (0..bytes.len()).step_by(7) {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            fs::write(&stub, &bent).unwrap();
            assert_eq!(bench.verify(&notes[2..]).verdict, Verdict::Fail, "byte {at}");
        }
        fs::remove_file(&stub).unwrap();
        missing(&bench.verify(&notes[2..]));
        fs::write(&stub, &bytes).unwrap();
    }
    // A segment of a month that was not shredded, behind a stub made for it.
    let december = bench.segments()[0].clone();
    let name = december.file_stem().unwrap().to_str().unwrap().to_owned();
    let bytes = fs::read(&december).unwrap();
    let next = fs::read(&bench.segments()[1]).unwrap();
    let forged = [b"PHWSHR1\n".as_slice(), header(&bytes), header(&next)].concat();
    fs::write(bench.dir().join(format!("{name}.shredded")), forged).unwrap();
    fs::remove_file(&december).unwrap();
    missing(&bench.verify(&notes[4..]));
    assert!(!original.is_empty());
}

/// The bytes of a segment's header.
fn header(segment: &[u8]) -> &[u8] {
    &segment[..batches(segment)[0].0]
}

#[tokio::test]
async fn tiles_prove_checkpoints_from_within_a_shredded_month() {
    let (bench, ledger, notes) = three_months().await;
    shred(&bench, &ledger, 202_611).await;
    ledger.close().await.unwrap();
    // Checkpoints from within what is gone, compared by its tiles; and proofs that they begin this log.
    let report = bench.verify(&notes);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    assert_eq!(report.expectations_met, 6);
    for note in &notes {
        let proof = ledger::proof::consistency(&bench.dir(), note).unwrap();
        assert!(proof.holds(note, &bench.key()));
    }
    assert!(ledger::proof::inclusion(&bench.dir(), 1).is_err(), "its record is gone");
    // Without tiles nothing can be said of them.
    let tiles = bench.dir().join("tile");
    let away = bench.root.path().join("tiles away");
    fs::rename(&tiles, &away).unwrap();
    let report = bench.verify(&notes);
    assert_eq!(report.verdict, Verdict::Unproven, "{:?}", report.gaps);
    assert!(kinds(&report).contains(&GapKind::CheckpointUncompared));
    // Tiles of another history do not pass for this one's.
    fs::rename(&away, &tiles).unwrap();
    let edge = fs::read_dir(tiles.join("0")).unwrap().next().unwrap().unwrap().path();
    let mut bent = fs::read(&edge).unwrap();
    bent[40] ^= 1;
    fs::write(&edge, bent).unwrap();
    let report = bench.verify(&notes);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(kinds(&report).contains(&GapKind::TreeMismatch), "{:?}", report.gaps);
}

#[tokio::test]
async fn nothing_is_shredded_before_its_tiles_are_kept() {
    let (bench, ledger, notes) = three_months().await;
    ledger.close().await.unwrap();
    fs::remove_dir_all(bench.dir().join("tile")).unwrap();
    // A file where the tiles belong: they cannot be made again.
    fs::write(bench.dir().join("tile"), b"").unwrap();
    let planned = ShredPlan::new(&bench.dir(), &bench.keys_dir(), 202_611, &bench.key());
    let said = planned.unwrap_err().to_string();
    assert!(said.contains("tiles"), "{said}");
    assert_eq!(bench.verify(&notes).verdict, Verdict::Pass);
}

#[tokio::test]
async fn shredding_that_was_cut_short_anywhere_is_finished_by_the_same_plan() {
    for stop in 0..4 {
        let (bench, ledger, notes) = three_months().await;
        six_years_pass(&bench, &ledger).await;
        let first = plan(&bench, 202_611);
        let body = first.shred.body();
        ledger.append_both(&[(Kind::LedgerShredded, body)], Vec::new()).await.unwrap();
        let segment = bench.segments()[0].clone();
        let stub = segment.with_extension("shredded");
        if stop > 0 {
            fs::remove_file(bench.keys_dir().join("period-202611.key")).unwrap();
        }
        if stop > 1 {
            // The stub is there, and its segment still, or not any more.
            let bytes = fs::read(&segment).unwrap();
            let next = fs::read(&bench.segments()[1]).unwrap();
            let made = [b"PHWSHR1\n".as_slice(), header(&bytes), header(&next)].concat();
            fs::write(&stub, made).unwrap();
        }
        if stop > 2 {
            fs::remove_file(&segment).unwrap();
        }
        let again = plan(&bench, 202_611);
        assert_eq!(again.shred, first.shred, "stopped at {stop}");
        assert!(!again.is_done() || stop == 3);
        again.carry_out().unwrap();
        ledger.close().await.unwrap();
        assert_eq!(bench.verify(&notes[2..]).verdict, Verdict::Pass, "stopped at {stop}");
    }
}

#[tokio::test]
async fn a_damaged_segment_is_not_shredded_away() {
    let (bench, ledger, _) = three_months().await;
    let segment = bench.segments()[0].clone();
    let mut bytes = fs::read(&segment).unwrap();
    let (start, len) = batches(&bytes)[0];
    bytes[start + len / 2] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let planned = ShredPlan::new(&bench.dir(), &bench.keys_dir(), 202_611, &bench.key());
    assert!(planned.unwrap_err().to_string().contains("run verify"));
    assert!(bench.keys_dir().join("period-202611.key").exists());
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_key_that_comes_back_is_destroyed_again_by_what_the_log_says() {
    let (bench, ledger, _) = three_months().await;
    let key = bench.keys_dir().join("period-202611.key");
    let copy = fs::read(&key).unwrap();
    shred(&bench, &ledger, 202_611).await;
    ledger.close().await.unwrap();
    fs::write(&key, copy).unwrap();
    assert_eq!(shred_again(&bench.dir(), &bench.keys_dir()).unwrap(), [202_611]);
    assert!(!key.exists());
    assert!(shred_again(&bench.dir(), &bench.keys_dir()).unwrap().is_empty());
}

#[tokio::test]
async fn a_hold_keeps_its_months_until_it_is_released_and_its_own_month_too() {
    let (bench, ledger, _) = three_months().await;
    let dirs = (bench.dir(), bench.keys_dir());
    let source = source(&bench, &dirs);
    let hold = |id: &str, cover| Hold {
        id: id.into(),
        cover,
        reason: "case 26-114".into(),
        by: ("p_maria".into(), "p_jon".into()),
        stream: 1,
        placed: 0,
        count: 1,
        released: None,
    };
    let place = async |hold: &Hold| {
        ledger.append(vec![Entry::new(Kind::HoldPlaced, hold.body())]).await.unwrap();
    };
    place(&hold("h_1", Cover::Patient("canary-patient-1".into()))).await;
    let all = holds(std::slice::from_ref(&source)).unwrap();
    let kept =
        |all: &[Hold], period| keeping(all, &source, period).unwrap().map(|hold| hold.id.clone());
    // Patient 1 has a record in December; the hold's own record is in January.
    assert_eq!(kept(&all, 202_611), None);
    assert_eq!(kept(&all, 202_612).as_deref(), Some("h_1"));
    assert_eq!(kept(&all, 202_701).as_deref(), Some("h_1"));
    // What comes after the hold is covered, too.
    bench.clock.advance(31 * DAY);
    ledger.append(vec![entry(1)]).await.unwrap();
    assert_eq!(kept(&all, 202_702).as_deref(), Some("h_1"));
    place(&hold("h_2", Cover::Range { stream: 1, from: 1, to: 1 })).await;
    let all = holds(std::slice::from_ref(&source)).unwrap();
    assert_eq!(kept(&all, 202_611).as_deref(), Some("h_2"));
    let body = Body { hold: Some("h_1".into()), ..Body::default() };
    ledger.append(vec![Entry::new(Kind::HoldReleased, body)]).await.unwrap();
    let all = holds(std::slice::from_ref(&source)).unwrap();
    assert_eq!(all.len(), 2);
    assert!(all[0].released.is_some() && all[1].released.is_none());
    assert_eq!(kept(&all, 202_612), None);
    // Nothing that the second hold covers is in February but its own record.
    assert_eq!(kept(&all, 202_702).as_deref(), Some("h_2"));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn evidence_opens_and_is_proven_after_its_month_is_gone() {
    let (bench, ledger, _) = three_months().await;
    let dirs = (bench.dir(), bench.keys_dir());
    let source = source(&bench, &dirs);
    let cover = Cover::Patient("canary-patient-0".into());
    let mut prover = Prover::open(&bench.dir()).unwrap();
    let checkpoint = prover.checkpoint().to_owned();
    let found = RefCell::new(Vec::new());
    gather(&source, &[], None, &|record| cover.covers(1, record), &mut |held| {
        found.borrow_mut().push((prover.inclusion(held.record.seq).unwrap(), held));
        Ok(())
    })
    .unwrap();
    shred(&bench, &ledger, 202_611).await;
    ledger.close().await.unwrap();
    let (proof, held) = found.into_inner().pop().expect("one record of patient 0");
    let signed = Note::parse(&checkpoint).unwrap();
    assert!(signed.signed_by(&bench.key()));
    let signed = Checkpoint::parse(signed.text()).unwrap();
    let key = *held.key.expose();
    let (record, hash) = open(&held.leaf, &key, held.place, proof.index).unwrap();
    assert!(record.body.as_ref().unwrap() == &entry(0).body);
    assert!(verify_inclusion(&hash, proof.index, signed.size, &proof.path, &signed.root));
    // Nothing else opens, and no other bytes are proven.
    for at in 0..held.leaf.len() {
        let mut bent = held.leaf.clone();
        bent[at] ^= 1;
        assert!(open(&bent, &key, held.place, proof.index).is_none(), "byte {at}");
    }
    assert!(open(&held.leaf, &[7; 32], held.place, proof.index).is_none());
    assert!(open(&held.leaf, &key, held.place + 1, proof.index).is_none());
}

#[tokio::test]
async fn two_clones_of_one_machine_never_seal_under_one_key_and_nonce() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    ledger.close().await.unwrap();
    let clone = tempfile::tempdir().unwrap();
    copy(&bench.dir(), &clone.path().join("ledger"));
    copy(&bench.keys_dir(), &clone.path().join("keys"));
    let before: HashSet<PathBuf> = bench.segments().into_iter().collect();
    let mut sealed = Vec::new();
    for (dir, keys) in
        [(bench.dir(), bench.keys_dir()), (clone.path().join("ledger"), clone.path().join("keys"))]
    {
        let options = LedgerOptions { dir: dir.clone(), keys_dir: keys, ..bench.options() };
        let (ledger, _) = Ledger::open(options).unwrap();
        ledger.append(vec![entry(2), entry(2)]).await.unwrap();
        ledger.close().await.unwrap();
        let name = before.iter().max().unwrap().file_name().unwrap().to_owned();
        let mut segments: Vec<PathBuf> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap() > name.as_os_str())
            .filter(|path| path.extension().is_some_and(|e| e == "phl"))
            .collect();
        segments.sort();
        for path in segments {
            let bytes = fs::read(path).unwrap();
            for (start, _) in batches(&bytes) {
                // Salt, and what the salt and the month's key commit to.
                sealed.push((
                    bytes[start + 49..start + 81].to_vec(),
                    bytes[start + 81..start + 113].to_vec(),
                ));
            }
        }
    }
    assert!(sealed.len() >= 6, "both appended");
    let salts: HashSet<_> = sealed.iter().map(|(salt, _)| salt).collect();
    let keys: HashSet<_> = sealed.iter().map(|(_, commitment)| commitment).collect();
    assert_eq!((salts.len(), keys.len()), (sealed.len(), sealed.len()));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_month_read_with_another_key_is_refused_by_its_commitment() {
    let (bench, ledger, _) = three_months().await;
    ledger.close().await.unwrap();
    let path = bench.keys_dir().join("period-202611.key");
    let purpose = format!("ledger period key 202611 {ORIGIN} 1");
    fs::write(&path, bench.custody.wrap(&purpose, &[7; 32]).unwrap()).unwrap();
    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(0).unwrap();
    let read = cursor.next_record();
    assert!(matches!(read, Err(ReadError::Damaged { .. })), "{:?}", read.map(|_| ()));
    // A wrapped key of another month does not open at all.
    fs::copy(bench.keys_dir().join("period-202612.key"), &path).unwrap();
    let mut reader = bench.reader();
    let read = reader.from_seq(0).unwrap().next_record().map(|_| ());
    let said = read.unwrap_err().to_string();
    assert!(said.contains("period-202611.key"), "{said}");
}

#[test]
fn a_month_is_kept_for_its_days_and_not_one_less() {
    // November 2026 ends at 2026-12-01T00:00:00Z.
    let end = u64::try_from(START).unwrap() + 6 * 86_400_000 + 14 * 3_600_000;
    let kept = 2_192 * 86_400_000;
    assert!(!is_due(202_611, 2_192, end + kept - 1));
    assert!(is_due(202_611, 2_192, end + kept));
}
