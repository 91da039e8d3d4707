//! The index against a plain list of the same records, and against files that are none.

use super::*;

const BASE: u64 = 1_795_514_400_000;

fn token(value: u64) -> [u8; TOKEN] {
    let mut token = [7; TOKEN];
    // Spread as a MAC is.
    token[..8].copy_from_slice(&value.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    token
}

/// Three records a batch, a batch a second; the months change at 5,000.
fn run(seqs: Range<u64>) -> IndexRun {
    let mut run = IndexRun::default();
    for seq in seqs {
        let period = if seq < 5_000 { 202_611 } else { 202_612 };
        run.push(seq, u16::try_from(seq % 5).unwrap(), &[token(seq % 97), token(1_000 + seq % 11)]);
        if seq % 3 == 0 {
            let place = Place {
                first_seq: seq,
                segment: u32::try_from(seq / 900).unwrap() + 1,
                offset: seq % 900 * 500 + 200,
                time: BASE + seq / 3 * 1_000,
            };
            run.batch(place, period);
        }
    }
    run
}

fn at(next_seq: u64) -> IndexMark {
    IndexMark { first_seq: 0, segment: 1, offset: next_seq, next_seq, hash: [3; 32] }
}

async fn filled(path: &Path, step: u64, end: u64) -> LedgerIndex {
    let index = LedgerIndex::open(path).await.unwrap();
    let mut mark = None;
    for start in (0..end).step_by(usize::try_from(step).unwrap()) {
        let next = (start + step).min(end);
        assert!(index.append(mark.as_ref(), run(start..next), &at(next)).await.unwrap());
        mark = Some(at(next));
    }
    index
}

#[tokio::test]
async fn a_search_finds_what_a_walk_through_all_records_finds() {
    let dir = tempfile::tempdir().unwrap();
    let index = filled(&dir.path().join("index"), 300, 12_000).await;
    let runs = index.runs().await.unwrap();
    assert!(runs.len() < 8, "small runs were merged: {}", runs.len());
    assert!(runs.windows(2).all(|two| two[0].seqs.end == two[1].seqs.start));
    let months = |value| vec![(202_611, token(value)), (202_612, token(value))];
    for (a, b, kind, since, until) in [
        (Some(5), None, None, None, None),
        (Some(5), Some(1_003), None, None, None),
        (Some(5), None, Some(2), None, None),
        (None, None, Some(4), Some(BASE + 1_000_000), Some(BASE + 2_000_000)),
        (Some(96), None, None, Some(BASE + 999_500), None),
        (None, None, None, None, Some(BASE + 3_000)),
        (Some(777), None, None, None, None),
        (None, None, Some(1), Some(BASE + 9_999_999_999), None),
    ] {
        let expected: Vec<u64> = (0..12_000)
            .filter(|seq| {
                let time = BASE + seq / 3 * 1_000;
                a.is_none_or(|a| seq % 97 == a)
                    && b.is_none_or(|b| 1_000 + seq % 11 == b)
                    && kind.is_none_or(|kind| seq % 5 == kind)
                    && since.is_none_or(|since| time >= since)
                    && until.is_none_or(|until| time < until)
            })
            .collect();
        let query = IndexQuery {
            values: [a, b].into_iter().flatten().map(months).collect(),
            kind: kind.map(|kind| u16::try_from(kind).unwrap()),
            since,
            until,
        };
        let found = index.find(&query, 50).await.unwrap();
        assert_eq!(found.total, expected.len() as u64, "{query:?}");
        let newest = &expected[expected.len().saturating_sub(50)..];
        let hits: Vec<Hit> = newest
            .iter()
            .map(|seq| Hit {
                seq: *seq,
                segment: u32::try_from(seq / 3 * 3 / 900).unwrap() + 1,
                offset: seq / 3 * 3 % 900 * 500 + 200,
            })
            .collect();
        assert_eq!(found.hits, hits, "{query:?}");
        let mut all = Vec::new();
        for run in &runs {
            all.extend(index.matches(run, &query).await.unwrap());
        }
        assert_eq!(all, expected);
    }
    // A month whose token is not known finds nothing of that month.
    let query = IndexQuery { values: vec![vec![(202_612, token(5))]], ..IndexQuery::default() };
    let late = (5_000..12_000).filter(|seq| seq % 97 == 5).count();
    let found = index.find(&query, 1_000).await.unwrap();
    let early = found.hits.iter().filter(|hit| hit.seq < 5_000).count() as u64;
    assert_eq!(found.total - early, late as u64);
}

#[tokio::test]
async fn of_two_who_bring_it_further_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let one = filled(&path, 300, 300).await;
    let other = LedgerIndex::open(&path).await.unwrap();
    let mark = other.mark().await.unwrap();
    assert_eq!(mark, Some(at(300)));
    assert!(one.append(mark.as_ref(), run(300..600), &at(600)).await.unwrap());
    assert!(!other.append(mark.as_ref(), run(300..900), &at(900)).await.unwrap());
    assert_eq!(other.mark().await.unwrap(), Some(at(600)));
    assert_eq!(other.find(&IndexQuery::default(), 1).await.unwrap().total, 600);
    other.clear().await.unwrap();
    assert_eq!(one.mark().await.unwrap(), None);
    assert_eq!(one.find(&IndexQuery::default(), 1).await.unwrap(), Found::default());
}

#[tokio::test]
async fn a_file_that_is_no_index_is_refused_and_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    filled(&path, 300, 900).await.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..16].copy_from_slice(b"not a database..");
    std::fs::write(&path, bytes).unwrap();
    assert!(LedgerIndex::open(&path).await.is_err());
    let index = LedgerIndex::make_again(&path).await.unwrap();
    assert_eq!(index.mark().await.unwrap(), None);
    // Blobs that are no numbers.
    assert!(index.append(None, run(0..900), &at(900)).await.unwrap());
    let query = IndexQuery { kind: Some(1), ..IndexQuery::default() };
    assert_eq!(index.find(&query, 1).await.unwrap().total, 180);
    index.conn.lock().await.execute("UPDATE posts SET data = x'ff'").await.unwrap();
    assert_eq!(index.find(&query, 1).await, Err(StoreFault));
    index.conn.lock().await.execute("PRAGMA user_version = 9").await.unwrap();
    index.close().await;
    assert!(matches!(LedgerIndex::open(&path).await, Err(OpenError::Schema { version: 9 })));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// What filling and asking cost; run it optimised: `cargo test --release -p phiward-store -- --ignored
/// --nocapture how_fast`.
#[tokio::test]
#[ignore = "a measurement"]
async fn how_fast_it_is() {
    const RECORDS: u64 = 2_000_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let index = LedgerIndex::open(&path).await.unwrap();
    let mut mark = None;
    let since = std::time::Instant::now();
    let mut packing = Duration::ZERO;
    for start in (0..RECORDS).step_by(IndexRun::FULL) {
        let next = (start + IndexRun::FULL as u64).min(RECORDS);
        let made = std::time::Instant::now();
        let mut run = IndexRun::default();
        for seq in start..next {
            // Patient, actor, client, session, correlation id, address, two resources.
            let values =
                [seq % 40_000, 50_000 + seq % 20_000, 80_000 + seq % 40, 90_000 + seq / 30];
            let mut tokens: Vec<_> = values.map(token).into();
            tokens.extend([1, 2, 3].map(|n| token(n * 1_000_000_000 + seq)));
            tokens.push(token(85_000 + seq % 4_000));
            run.push(seq, u16::try_from(32 + seq % 3).unwrap(), &tokens);
            if seq % 3 == 0 {
                run.batch(
                    Place { first_seq: seq, segment: 1, offset: seq * 500, time: seq },
                    202_611,
                );
            }
        }
        packing += made.elapsed();
        assert!(index.append(mark.as_ref(), run, &at(next)).await.unwrap());
        mark = Some(at(next));
    }
    let rate = RECORDS as f64 / (since.elapsed() - packing).as_secs_f64();
    println!("{rate:.0} records/s into the index ({packing:?} to make them up)");
    println!("{} bytes a record", std::fs::metadata(&path).unwrap().len() / RECORDS);
    for (what, value) in [("patient", 12_345), ("client", 80_007), ("absent", 777_777)] {
        let query =
            IndexQuery { values: vec![vec![(202_611, token(value))]], ..IndexQuery::default() };
        let mut times: Vec<Duration> = Vec::new();
        let mut total = 0;
        for _ in 0..20 {
            let since = std::time::Instant::now();
            total = index.find(&query, 100).await.unwrap().total;
            times.push(since.elapsed());
        }
        times.sort_unstable();
        println!(
            "{what}: {total} found in {:?} (median of 20, slowest {:?})",
            times[10], times[19]
        );
    }
}
