//! What can be told of records without opening them, and the same for records whose tokens stand in no
//! leaf.

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

use domain::Kind;
use ledger::read::{Reader, Spot};
use ledger::{Field, Ledger, verify::Verdict};
use support::{Bench, entry};

const MONTHS: std::ops::RangeInclusive<u32> = 202_611..=202_611;

type Tokens = Vec<[u8; 16]>;

/// Numbers and tokens of every record, and the last batch.
fn all(reader: &mut Reader) -> (Vec<(u64, Tokens)>, Spot) {
    let mut tags = reader.tags(None).unwrap().unwrap();
    let (mut seen, mut last) = (Vec::new(), None);
    while let Some(spot) =
        tags.next_batch(&mut |tag| seen.push((tag.seq, tag.tokens.to_vec()))).unwrap()
    {
        last = Some(spot);
    }
    (seen, last.unwrap())
}

#[tokio::test]
async fn records_without_tokens_in_their_leaves_are_found_by_those_in_their_bodies() {
    let bench = Bench::new();
    let mut with_key_only = Vec::new();
    // Both settings alternate within one log.
    for (number, in_leaves) in [(1, true), (2, false), (3, true), (4, false)] {
        let mut options = bench.options();
        options.tokens_in_leaves = in_leaves;
        let (ledger, _) = Ledger::open(options).unwrap();
        let at = ledger.append(vec![entry(number), entry(1)]).await.unwrap();
        with_key_only.extend((!in_leaves).then_some([at[0].seq, at[1].seq]).into_iter().flatten());
        ledger.close().await.unwrap();
    }
    let report = bench.verify(&[bench.checkpoint()]);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    let mut reader = bench.reader();
    let (seen, _) = all(&mut reader);
    for (field, value, count) in [
        (Field::Patient, "canary-patient-1", 5),
        (Field::Patient, "canary-patient-4", 1),
        (Field::Actor, "p_canary-subject", 8),
        (Field::Resource, "Observation/canary-observation-2", 1),
        (Field::Actor, "canary-patient-1", 0),
    ] {
        let token = reader.tokens(field, value, &MONTHS).unwrap()[0].1.0;
        let tagged: Vec<u64> =
            seen.iter().filter(|(_, own)| own.contains(&token)).map(|(seq, _)| *seq).collect();
        assert_eq!(tagged.len(), count, "{value}");
        let mut cursor = reader.from_seq(0).unwrap().only(field, value);
        let mut opened = Vec::new();
        while let Some(record) = cursor.next_record().unwrap() {
            assert_eq!(record.carries(field, value), Some(true));
            opened.push(record.seq);
        }
        assert_eq!(opened, tagged, "{value}");
    }
    // Nothing of it is in the files.
    let token = reader.tokens(Field::Patient, "canary-patient-2", &MONTHS).unwrap()[0].1.0;
    for path in bench.segments() {
        let bytes = std::fs::read(path).unwrap();
        assert!(!bytes.windows(16).any(|window| window == token), "only in the index");
    }
    assert_eq!(with_key_only.len(), 4);
    assert!(reader.tokens(Field::Patient, "x", &(200_001..=200_012)).unwrap().is_empty());
}

#[tokio::test]
async fn reading_goes_on_after_a_batch_and_notices_another_log() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    let mut reader = bench.reader();
    let (seen, spot) = all(&mut reader);
    assert_eq!(seen.last().unwrap().0, 1);
    assert_eq!(spot.next_seq, 2);
    // Beside the writer, within a segment and over to the next.
    ledger.append(vec![entry(2)]).await.unwrap();
    let next = |reader: &mut Reader, spot: &Spot| {
        let mut tags = reader.tags(Some(spot)).unwrap().unwrap();
        let mut kinds = Vec::new();
        let spot = tags.next_batch(&mut |tag| kinds.push((tag.seq, tag.kind().unwrap()))).unwrap();
        (kinds, spot)
    };
    let (kinds, later) = next(&mut reader, &spot);
    assert_eq!(kinds, [(2, Kind::PhiRelease)]);
    let later = later.unwrap();
    assert_eq!(next(&mut reader, &later), (Vec::new(), None), "nothing new yet");
    ledger.close().await.unwrap();
    let (ledger, _) = bench.open();
    ledger.close().await.unwrap();
    let (kinds, stopped) = next(&mut reader, &later);
    assert_eq!(kinds, [(3, Kind::Stopped)]);
    assert_eq!(next(&mut reader, &stopped.unwrap()).0, [(4, Kind::Heartbeat)], "the next segment");

    let wrong_hash = Spot { hash: [0; 32], ..spot };
    let wrong_place = Spot { offset: spot.offset + 1, ..spot };
    let wrong_end = Spot { next_seq: 1, ..spot };
    let gone = Spot { segment: 9, ..spot };
    for spot in [wrong_hash, wrong_place, wrong_end, gone] {
        assert!(reader.tags(Some(&spot)).unwrap().is_none(), "{spot:?}");
    }
    let other = Bench::new();
    let (ledger, _) = other.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    assert!(other.reader().tags(Some(&spot)).unwrap().is_none(), "another log");
}

#[tokio::test]
async fn records_are_opened_at_the_place_where_an_index_says_they_are_or_not_at_all() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    for number in 1..4 {
        ledger.append(vec![entry(number), entry(number)]).await.unwrap();
    }
    ledger.close().await.unwrap();
    let mut reader = bench.reader();
    let mut spots = Vec::new();
    let mut tags = reader.tags(None).unwrap().unwrap();
    while let Some(spot) = tags.next_batch(&mut |_| ()).unwrap() {
        spots.push(spot);
    }
    let place = |index: usize, seq: u64| (spots[index].segment, spots[index].offset, seq);
    let places = [place(1, 2), place(2, 3), place(2, 4), place(3, 5)];
    let read = reader.at(&places).unwrap();
    assert_eq!(read.iter().map(|record| record.seq).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert!(read[0].body.as_ref().unwrap() == &entry(1).body);
    for wrong in [place(1, 4), (9, 0, 1), (1, 3, 1), (1, u64::MAX, 1), (1, 0, 1)] {
        assert!(reader.at(&[wrong]).unwrap().is_empty(), "{wrong:?}");
    }
    assert_eq!(reader.first_seq().unwrap(), Some(0));
}

/// What a pass over the tags costs; run it optimised: `cargo test --release -p phiward-ledger --test
/// tagged -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn how_fast_tags_are_read() {
    let bench = Bench::in_memory();
    let mut options = bench.options();
    options.segment_bytes = 64 << 20;
    let (ledger, _) = Ledger::open(options).unwrap();
    for batch in 0..60_000 {
        ledger.append((0..5).map(|n| entry(batch * 5 + n)).collect()).await.unwrap();
    }
    ledger.close().await.unwrap();
    let mut reader = bench.reader();
    let bytes = reader.bytes().unwrap();
    let since = std::time::Instant::now();
    let mut tags = reader.tags(None).unwrap().unwrap();
    let (mut records, mut tokens) = (0_u64, 0_usize);
    while tags
        .next_batch(&mut |tag| {
            records += 1;
            tokens += tag.tokens.len();
        })
        .unwrap()
        .is_some()
    {}
    let time = since.elapsed();
    println!("{records} records, {tokens} tokens, {} MiB in {time:?}", bytes >> 20);
    println!("{:.0} records/s", records as f64 / time.as_secs_f64());
}
