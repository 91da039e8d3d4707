//! What root can do with stubs: nothing young goes under the name of what is old, and nobody's word but
//! the day's key dates what is gone.

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

use domain::Kind;
use keys::SystemRandom;
use ledger::retention::{Shred, ShredPlan};
use ledger::verify::{Verdict, VerifyOptions, verify};
use ledger::witness::Witness;
use ledger::{Body, Entry, GapKind, Ledger};
use support::{Bench, DAY, entry, kinds};

/// A record in November 2026 and one in December, a checkpoint after each.
async fn two_months() -> (Bench, Ledger, Vec<String>) {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    let november = ledger.checkpoint().await.unwrap();
    bench.clock.advance(31 * DAY);
    ledger.append(vec![entry(2)]).await.unwrap();
    let december = ledger.checkpoint().await.unwrap();
    (bench, ledger, vec![november, december])
}

/// A segment's header, its time put to another, with the checksum that fits.
fn dated(segment: &[u8], time: i64) -> Vec<u8> {
    let len = 118 + 32 * usize::from(segment[117]);
    let mut header = segment[..len].to_vec();
    header[33..41].copy_from_slice(&time.to_be_bytes());
    let checksum = crc32c::crc32c(&header).to_be_bytes();
    header.extend(checksum);
    header
}

#[tokio::test]
async fn young_records_cannot_be_dropped_under_the_record_of_a_month_long_past() {
    let (bench, ledger, notes) = two_months().await;
    let paths = bench.segments();
    let (first, second) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    // 2020-01-15: long past, and no signature covers what a header says of time.
    let past = 1_579_046_400_000;
    let (before, after) = (dated(&first, 0), dated(&second, past));
    assert_eq!(before, first[..before.len()], "the layout is as it is thought to be");
    let stub = [b"PHWSHR1\n".as_slice(), &before, &after].concat();
    // Root on the live machine can record anything that the ledger itself records.
    let shred = Shred { period: 202_001, segments: Some((1, 1)), stubs: keys::sha256(&stub) };
    ledger.append_both(&[(Kind::LedgerShredded, shred.body())], Vec::new()).await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(bench.verify(&notes[..1]).verdict, Verdict::Pass);

    fs::write(bench.dir().join("segment-0000000001.shredded"), &stub).unwrap();
    fs::write(&paths[1], [&after, &second[after.len()..]].concat()).unwrap();
    fs::remove_file(&paths[0]).unwrap();
    let report = bench.verify(&notes[..1]);
    assert_eq!(report.verdict, Verdict::Fail, "{:?}", report.gaps);
    assert!(kinds(&report).contains(&GapKind::SegmentMismatch), "{:?}", report.gaps);
}

#[tokio::test]
async fn witnesses_do_not_stand_in_for_the_day_of_what_was_dropped() {
    let (bench, ledger, notes) = two_months().await;
    bench.clock.advance(2_300 * DAY);
    ledger.append(vec![Entry::new(Kind::Heartbeat, Body::default())]).await.unwrap();
    let plan = ShredPlan::new(&bench.dir(), &bench.keys_dir(), 202_611, &bench.key()).unwrap();
    ledger.append_both(&[(Kind::LedgerShredded, plan.shred.body())], Vec::new()).await.unwrap();
    plan.carry_out().unwrap();
    ledger.close().await.unwrap();
    for (number, verdict) in [(0, Verdict::Unproven), (1, Verdict::Pass)] {
        // As a witness might hand it out: without the day's signature, with its own.
        let (text, lines) = notes[number].split_once("\n\n").unwrap();
        let stable: String =
            lines.split_inclusive('\n').filter(|line| !line.contains("/day/")).collect();
        let note = format!("{text}\n\n{stable}");
        let dir = bench.root.path().join(format!("witness-{number}"));
        let key = Witness::init(&dir, "witness.test/1", &SystemRandom).unwrap();
        let witness = Witness::open(&dir, vec![bench.key()], bench.clock.clone()).unwrap();
        let answer = witness.add_checkpoint(format!("old 0\n\n{note}").as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut options = VerifyOptions::new(bench.key());
        (options.witnesses, options.quorum) = (vec![key], 1);
        options.expectations = vec![format!("{note}{}", answer.body)];
        let report = verify(&bench.dir(), &options, &mut |_| {}).unwrap();
        assert_eq!(report.verdict, verdict, "{:?}", report.gaps);
    }
}
