//! Appending: durable before acknowledged, grouped, contiguous, sealed.

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

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::{Kind, Outcome, Reject};
use ledger::verify::Verdict;
use ledger::{Entry, Field, GapKind, Ledger, LedgerFault, OpenError};
use support::{Bench, DAY, entry, kinds};

#[tokio::test]
async fn what_was_appended_is_verified_and_read_back() {
    let bench = Bench::new();
    let (ledger, opened) = bench.open();
    assert!(opened.created);
    let first = ledger.append(vec![entry(1), entry(2)]).await.unwrap();
    assert_eq!((first[0].seq, first[1].seq), (1, 2));
    let old = ledger.checkpoint().await.unwrap();
    ledger.append(vec![entry(3)]).await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(ledger.append(vec![entry(4)]).await, Err(LedgerFault::Closed));

    let report = bench.verify(&[old]);
    assert_eq!((report.verdict, report.gaps.len()), (Verdict::Pass, 0), "{:?}", report.gaps);
    assert_eq!((report.records, report.expectations_met), (5, 1));
    let unproven = bench.verify(&[]);
    assert_eq!(unproven.verdict, Verdict::Unproven);
    assert_eq!(kinds(&unproven), [GapKind::NothingExpected]);

    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(0).unwrap();
    let mut seen = Vec::new();
    while let Some(record) = cursor.next_record().unwrap() {
        seen.push(record);
    }
    let expected =
        [Kind::StreamOpened, Kind::PhiRelease, Kind::PhiRelease, Kind::PhiRelease, Kind::Stopped];
    assert_eq!(seen.iter().map(|r| r.kind.unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!(seen.iter().map(|r| r.seq).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(seen[2].body.as_ref().unwrap() == &entry(2).body);
    assert_eq!(seen[1].time, first[0].time);
    assert_eq!(seen[1].leaf, first[0].leaf);
    let mut last = reader.last(2).unwrap();
    assert_eq!(last.next_record().unwrap().unwrap().seq, 3);
    let mut found = reader.from_seq(0).unwrap().only(Field::Patient, "canary-patient-2");
    assert_eq!(found.next_record().unwrap().unwrap().seq, 2);
    assert!(found.next_record().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_get_contiguous_numbers_and_share_their_syncs() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let before = bench.disk.syncs.load(Ordering::SeqCst);
    let tasks: Vec<_> = (0..64_u32)
        .map(|task| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for number in 0..20 {
                    let entries = vec![entry(task * 100 + number), entry(task)];
                    seqs.extend(ledger.append(entries).await.unwrap().iter().map(|p| p.seq));
                }
                seqs
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        let seqs = task.await.unwrap();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(seqs.chunks(2).all(|pair| pair[0] + 1 == pair[1]));
        all.extend(seqs);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=64 * 40).collect::<Vec<u64>>());
    let syncs = bench.disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs < 64 * 20 / 2, "{syncs} syncs for {} appends", 64 * 20);
    let old = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(bench.verify(&[old]).verdict, Verdict::Pass);
}

#[tokio::test]
async fn no_file_holds_a_word_of_what_was_recorded() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    for number in 0..20 {
        ledger.append(vec![entry(number)]).await.unwrap();
    }
    ledger.close().await.unwrap();
    for dir in [bench.dir(), bench.keys_dir()] {
        for path in support::files(&dir) {
            let bytes = std::fs::read(&path).unwrap();
            for word in ["canary", "203.0.113", "Observation"] {
                let found = bytes.windows(word.len()).any(|w| w == word.as_bytes());
                assert!(!found, "{word} in {}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_is_recorded_with_its_reason() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let denied = Entry::new(Kind::PhiDenied, entry(1).body);
    let recorded = ledger.refused(denied, Reject::OutOfReach).await;
    assert_eq!(recorded.into_inner(), Reject::OutOfReach);
    let mut reader = bench.reader();
    let record = reader.last(1).unwrap().next_record().unwrap().unwrap();
    assert_eq!(record.outcome, Some(Outcome::Refused(Reject::OutOfReach)));
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_and_refusals_are_still_given() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    bench.disk.fail_sync_at.store(bench.disk.syncs.load(Ordering::SeqCst), Ordering::SeqCst);
    assert_eq!(ledger.append(vec![entry(2)]).await, Err(LedgerFault::Failed));
    bench.disk.fail_sync_at.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(ledger.append(vec![entry(3)]).await, Err(LedgerFault::Failed));
    assert!(ledger.failure().is_some());
    let denied = Entry::new(Kind::PhiDenied, entry(1).body);
    let recorded = ledger.refused(denied, Reject::LedgerUnavailable).await;
    assert_eq!(*recorded.get(), Reject::LedgerUnavailable);
    assert_eq!(ledger.close().await, Err(LedgerFault::Failed));
}

#[tokio::test]
async fn after_a_short_write_the_ledger_stops_and_the_next_start_mends_it() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    bench.disk.fail_write_at.store(bench.disk.writes.load(Ordering::SeqCst), Ordering::SeqCst);
    assert_eq!(ledger.append(vec![entry(2)]).await, Err(LedgerFault::Failed));
    assert_eq!(ledger.close().await, Err(LedgerFault::Failed));
    bench.disk.fail_write_at.store(u64::MAX, Ordering::SeqCst);
    let (ledger, opened) = bench.open();
    assert!(opened.recovered.is_some());
    assert_eq!(opened.records, 2);
    let old = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    let report = bench.verify(&[old]);
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(kinds(&report), [GapKind::Recovered]);
}

#[tokio::test]
async fn one_process_holds_the_directory_at_a_time() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    assert!(matches!(Ledger::open(bench.options()), Err(OpenError::InUse(_))));
    ledger.close().await.unwrap();
    assert!(Ledger::open(bench.options()).is_ok());
}

#[tokio::test]
async fn a_log_goes_on_over_restarts_days_months_and_segments() {
    let bench = Bench::new();
    let mut checkpoints = Vec::new();
    for day in 0..9 {
        let (ledger, opened) = bench.open();
        assert_eq!(opened.created, day == 0);
        ledger.append(vec![entry(day)]).await.unwrap();
        // Midnight passes while it runs.
        bench.clock.advance(DAY * 7 / 12);
        ledger.append(vec![entry(day + 100)]).await.unwrap();
        checkpoints.push(ledger.checkpoint().await.unwrap());
        ledger.close().await.unwrap();
        // The odd days skip one, and begin on a day whose key is yet to be made.
        bench.clock.advance(DAY * 5 / 12 + if day % 2 == 1 { DAY } else { 0 });
    }
    let report = bench.verify(&checkpoints);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    assert_eq!(report.expectations_met, 9);
    assert_eq!(bench.segments().len(), 18);
    let names: Vec<String> = std::fs::read_dir(bench.keys_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("day-")).count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("period-")).count(), 2, "{names:?}");

    // A month whose key is destroyed is unreadable, and the log still verifies.
    std::fs::remove_file(bench.keys_dir().join("period-202611.key")).unwrap();
    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(0).unwrap();
    let (mut shredded, mut readable) = (0, 0);
    while let Some(record) = cursor.next_record().unwrap() {
        match (record.kind, record.body) {
            (Some(Kind::PhiRelease), None) => shredded += 1,
            (Some(Kind::PhiRelease), Some(_)) => readable += 1,
            (_, body) => assert!(body.is_some()),
        }
    }
    assert_eq!(shredded + readable, 18);
    assert!(shredded > 0 && readable > 0);
    assert_eq!(bench.verify(&checkpoints).verdict, Verdict::Pass);
}

#[tokio::test]
async fn a_clock_that_goes_back_is_noted_and_time_stands_still() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let before = ledger.append(vec![entry(1)]).await.unwrap()[0].time;
    bench.clock.advance(-3_600_000);
    let after = ledger.append(vec![entry(2)]).await.unwrap()[0].time;
    assert_eq!(before, after);
    let old = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    let report = bench.verify(&[old]);
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Pass, vec![GapKind::ClockStep]));
}

#[tokio::test]
async fn silence_is_broken_by_heartbeats_and_growth_is_signed_by_itself() {
    let bench = Bench::new();
    let mut options = bench.options();
    options.heartbeat = Duration::from_millis(500);
    options.checkpoint_every = Duration::from_millis(100);
    let (ledger, _) = Ledger::open(options).unwrap();
    let first = ledger.latest_checkpoint();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_ne!(ledger.latest_checkpoint(), first);
    assert_eq!(ledger.latest_checkpoint(), bench.checkpoint());
    let mut reader = bench.reader();
    let record = reader.last(1).unwrap().next_record().unwrap().unwrap();
    assert_eq!(record.kind, Some(Kind::Heartbeat));
}

#[tokio::test]
async fn a_live_segment_that_vanishes_stops_the_ledger() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    std::fs::remove_file(&bench.segments()[0]).unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(ledger.append(vec![entry(2)]).await, Err(LedgerFault::Failed));
}

#[tokio::test]
async fn verifying_and_reading_beside_a_running_writer_holds() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let old = ledger.checkpoint().await.unwrap();
    let writer = {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for number in 0..300 {
                ledger.append((0..10).map(|n| entry(number * 10 + n)).collect()).await.unwrap();
            }
        })
    };
    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(1).unwrap();
    let mut seen = 0;
    while seen < 3000 {
        let report = bench.verify_live(std::slice::from_ref(&old));
        assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
        while let Some(record) = cursor.next_record().unwrap() {
            assert!(record.body.unwrap() == entry(seen).body);
            seen += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.await.unwrap();
    assert!(bench.segments().len() > 1);
}
