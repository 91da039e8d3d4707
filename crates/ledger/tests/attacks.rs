//! Every row of the table of attacks, as an attack on a real log and a verification that names it; the
//! table below says which test stands for which row, and a test holds that each of them exists.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

#[path = "support/forge.rs"]
mod forge;
mod support;

use std::fs;

use forge::{BATCH_FIELDS, FOOTER_FIELDS, Log, SEGMENT_FIELDS, Thief, leaf_fields};
use ledger::verify::{Report, Verdict, VerifyError};
use ledger::{GapKind, Ledger, OpenError, Trouble};
use support::{Bench, DAY, batches, entry, kinds, try_verify, verify_dir};

/// Attack, and the tests that stand for it.
const TABLE: &[(&str, &[&str])] = &[
    (
        "edit",
        &[
            "no_edited_field_passes_though_its_checksums_are_mended",
            "an_edit_with_everything_rebuilt_but_the_checkpoint_outside_is_a_fork",
            "no_changed_byte_of_any_file_passes",
            "no_edited_line_of_a_checkpoint_passes",
        ],
    ),
    ("truncate", &["a_log_cut_at_a_batchs_edge_is_smaller_than_its_checkpoint"]),
    ("truncate and go on", &["a_log_cut_and_continued_is_a_fork_of_what_was_signed"]),
    (
        "re-seal with today's key",
        &[
            "a_past_day_rebuilt_with_every_key_of_today_is_not_certified",
            "a_history_rewritten_with_every_key_of_today_does_not_meet_yesterdays_checkpoint",
        ],
    ),
    (
        "rollback to a snapshot",
        &["a_rolled_back_directory_is_refused_by_its_keys_and_fails_by_an_old_checkpoint"],
    ),
    (
        "fork",
        &[
            "nothing_is_signed_once_the_keys_signed_for_a_larger_or_other_history",
            "a_copied_directory_does_not_start_while_its_keys_are_in_use_nor_behind_them",
        ],
    ),
    (
        "delete all",
        &["an_empty_or_absent_directory_never_passes", "a_deleted_log_is_not_begun_anew"],
    ),
    ("drop two adjacent checkpoints", &["two_adjacent_days_without_their_papers_are_named"]),
    (
        "reorder, duplicate, transplant",
        &[
            "swapped_repeated_and_missing_batches_are_named",
            "swapped_renamed_and_missing_segments_are_named",
            "swapped_and_repeated_records_are_named_and_do_not_open",
            "what_comes_from_another_stream_is_named",
        ],
    ),
    (
        "back-date, step the clock",
        &["a_back_dated_record_is_named", "a_clock_that_goes_back_is_noted_and_time_stands_still"],
    ),
    ("stop quietly", &["a_silence_without_a_stop_is_named"]),
    (
        "unlink, remount, fill the disk",
        &[
            "whatever_is_done_to_the_live_segment_or_its_directory_stops_the_ledger",
            "a_read_only_remount_stops_the_ledger",
            "a_disk_that_is_really_full_is_stopped_on_in_writing",
            "a_live_segment_that_vanishes_stops_the_ledger",
        ],
    ),
    (
        "what must not pass",
        &[
            "an_empty_or_absent_directory_never_passes",
            "another_key_or_a_log_of_another_key_fails",
            "a_log_without_a_sealed_end_or_a_checkpoint_is_unproven",
        ],
    ),
];

#[test]
fn every_attack_has_its_test() {
    let sources = [
        include_str!("attacks.rs"),
        include_str!("tamper.rs"),
        include_str!("append.rs"),
        include_str!("watch.rs"),
    ];
    for (attack, tests) in TABLE {
        for test in *tests {
            let heading = format!("fn {test}()");
            let found = sources.iter().filter(|source| source.contains(&heading)).count();
            assert_eq!(found, 1, "{attack}: {test}");
        }
    }
}

/// Three days, and a checkpoint of each; all of it proven.
async fn filled() -> (Bench, Vec<String>) {
    let bench = Bench::in_memory();
    let mut checkpoints = Vec::new();
    for day in 0..3 {
        let (ledger, _) = bench.open();
        for number in 0..5 {
            ledger.append(vec![entry(day * 10 + number), entry(day)]).await.unwrap();
        }
        checkpoints.push(ledger.checkpoint().await.unwrap());
        ledger.close().await.unwrap();
        if day < 2 {
            bench.clock.advance(DAY);
        }
    }
    assert_eq!(bench.verify(&checkpoints).verdict, Verdict::Pass);
    (bench, checkpoints)
}

fn named(report: &Report, kind: GapKind, what: &str) {
    assert_eq!(report.verdict, Verdict::Fail, "{what}: {:?}", report.gaps);
    assert!(kinds(report).contains(&kind), "{what}: {kind:?} in {:?}", report.gaps);
}

/// Whether all records open under their keys.
fn opens(bench: &Bench) -> bool {
    let mut reader = bench.reader();
    let Ok(mut cursor) = reader.from_seq(0) else { return false };
    loop {
        match cursor.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

#[tokio::test]
async fn the_forgers_workshop_puts_an_untouched_log_together_as_it_was() {
    let (bench, checkpoints) = filled().await;
    let before: Vec<_> = bench.segments().iter().map(|path| fs::read(path).unwrap()).collect();
    let mut thief = Thief::of(&bench);
    thief.recertifies = false;
    Log::of(&bench).put_into(&bench, &thief);
    let after: Vec<_> = bench.segments().iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after);
    assert_eq!(bench.verify(&checkpoints).verdict, Verdict::Pass);
    assert!(opens(&bench));
}

#[tokio::test]
async fn no_edited_field_passes_though_its_checksums_are_mended() {
    let (bench, _) = filled().await;
    let path = &bench.segments()[1];
    let original = fs::read(path).unwrap();
    let fails = |bytes: &[u8], what: &str| {
        fs::write(path, bytes).unwrap();
        // No checkpoint from outside is needed for any of these.
        let report = bench.verify(&[]);
        assert_eq!(report.verdict, Verdict::Fail, "{what}: {:?}", report.gaps);
    };
    let (start, len) = batches(&original)[2];
    for (name, field) in SEGMENT_FIELDS {
        for at in [field.start, field.end - 1] {
            let mut bytes = original.clone();
            bytes[at] ^= 1;
            let end = start_of_first(&original);
            let crc = crc32c::crc32c(&bytes[..end - 4]).to_be_bytes();
            bytes[end - 4..end].copy_from_slice(&crc);
            fails(&bytes, &format!("segment {name}"));
        }
    }
    let mend = |bytes: &mut Vec<u8>| {
        let crc = crc32c::crc32c(&bytes[start..start + len - 4]).to_be_bytes();
        bytes[start + len - 4..start + len].copy_from_slice(&crc);
    };
    let leaves = &original[start + 113..start + len - 80];
    let leaf = forge::split_leaves(leaves)[0].clone();
    let mut fields: Vec<(String, usize)> = Vec::new();
    for (name, field) in BATCH_FIELDS {
        fields.extend([field.start, field.end - 1].map(|at| (format!("batch {name}"), at)));
    }
    for (name, field) in leaf_fields(&leaf) {
        let ends = [field.start, field.end - 1];
        fields.extend(ends.map(|at| (format!("leaf {name}"), 113 + at)));
    }
    for (name, field) in FOOTER_FIELDS {
        let ends = [field.start, field.end - 1];
        fields.extend(ends.map(|at| (format!("footer {name}"), len - 80 + at)));
    }
    for (name, at) in fields {
        for mask in [1, 0x80] {
            let mut bytes = original.clone();
            bytes[start + at] ^= mask;
            mend(&mut bytes);
            fails(&bytes, &name);
        }
    }
}

/// Where the first batch begins.
fn start_of_first(bytes: &[u8]) -> usize {
    batches(bytes)[0].0
}

#[tokio::test]
async fn an_edit_with_everything_rebuilt_but_the_checkpoint_outside_is_a_fork() {
    // Today's part of the log, for which the thief has every key: only what is kept elsewhere helps,
    // and for the content the seal.
    let (bench, checkpoints) = filled().await;
    let log = Log::of(&bench);
    let mut thief = Thief::of(&bench);
    thief.recertifies = false;
    let last = log.segments.len() - 1;
    let leaf = log.segments[last].batches[2].leaves[0].clone();
    for (name, field) in leaf_fields(&leaf) {
        // The form of a leaf cannot change without all of it.
        if ["version", "token count", "body length"].contains(&name) {
            continue;
        }
        let mut bent = log.clone();
        bent.segments[last].batches[2].leaves[0][field.end - 1] ^= 1;
        bent.put_into(&bench, &thief);
        if name == "seq" {
            // The workshop numbers records itself; nothing has changed.
            assert_eq!(bench.verify(&checkpoints).verdict, Verdict::Pass);
            continue;
        }
        named(&bench.verify(&checkpoints), GapKind::CheckpointFork, name);
        assert!(!opens(&bench), "{name}: the record opens");
        if ["tokens", "body", "tag"].contains(&name) {
            // The forger is as good as can be: without anything from outside nothing is to be seen.
            assert_eq!(bench.verify(&[]).verdict, Verdict::Unproven);
        }
    }
    for (name, field) in &BATCH_FIELDS[10..] {
        let mut bent = log.clone();
        bent.segments[last].batches[2].head[field.start] ^= 1;
        bent.put_into(&bench, &thief);
        named(&bench.verify(&checkpoints), GapKind::CheckpointFork, name);
        assert!(!opens(&bench), "{name}: the records open");
    }
}

#[tokio::test]
async fn no_edited_line_of_a_checkpoint_passes() {
    let (bench, checkpoints) = filled().await;
    let text = bench.checkpoint();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (number, line) in lines.iter().enumerate() {
        for at in [0, line.len() / 2, line.len() - 1] {
            let mut bytes = text.clone().into_bytes();
            let place = lines[..number].iter().map(|line| line.len()).sum::<usize>() + at;
            bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
            // Not UTF-8 any more, now and then; that is no checkpoint either.
            fs::write(bench.dir().join("checkpoint"), &bytes).unwrap();
            let mut options = ledger::verify::VerifyOptions::new(bench.key());
            options.expectations = checkpoints.clone();
            let report = ledger::verify::verify(&bench.dir(), &options, &mut |_| {});
            let verdict = report.as_ref().ok().map(|report| report.verdict);
            assert_ne!(verdict, Some(Verdict::Pass), "line {number}, byte {at}");
            let mut kept = checkpoints.clone();
            kept.push(String::from_utf8_lossy(&bytes).into_owned());
            fs::write(bench.dir().join("checkpoint"), &text).unwrap();
            // Of another origin, or no note at all, it is refused before anything is verified.
            let report = try_verify(&bench.dir(), &bench.key(), &kept);
            let failed = report.as_ref().is_ok_and(|report| report.verdict == Verdict::Fail);
            let refused = matches!(report, Err(VerifyError::ForeignCheckpoint { .. }));
            assert!(failed || refused, "line {number}, byte {at}");
        }
    }
}

#[tokio::test]
async fn a_log_cut_and_continued_is_a_fork_of_what_was_signed() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    ledger.close().await.unwrap();
    let files: Vec<_> = [bench.dir(), bench.keys_dir()]
        .iter()
        .flat_map(|dir| fs::read_dir(dir).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(2), entry(3)]).await.unwrap();
    let kept = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    // Root puts log, keys and what is beside them back to where the records in question were not.
    for path in bench.segments() {
        fs::remove_file(path).unwrap();
    }
    for (bytes, path) in files {
        fs::write(path, bytes).unwrap();
    }
    let (ledger, _) = bench.open();
    named(&bench.verify_live(std::slice::from_ref(&kept)), GapKind::CheckpointAhead, "cut");
    for number in 0..20 {
        ledger.append(vec![entry(100 + number)]).await.unwrap();
    }
    ledger.close().await.unwrap();
    named(&bench.verify(&[kept]), GapKind::CheckpointFork, "cut and continued");
}

#[tokio::test]
async fn a_past_day_rebuilt_with_every_key_of_today_is_not_certified() {
    let (bench, checkpoints) = filled().await;
    let mut thief = Thief::of(&bench);
    let mut log = Log::of(&bench);
    let body = log.segments[0].batches[1].leaves[0].len() - 20;
    log.segments[0].batches[1].leaves[0][body] ^= 1;
    // Today's key cannot have signed yesterday's paper. No checkpoint from outside is needed.
    log.clone().put_into(&bench, &thief);
    named(&bench.verify(&[]), GapKind::DayKeyUncertified, "papers signed anew");
    named(&bench.verify(&checkpoints), GapKind::CheckpointFork, "papers signed anew");
    // And the old paper closes another tree.
    thief.recertifies = false;
    log.put_into(&bench, &thief);
    named(&bench.verify(&[]), GapKind::DayKeyUncertified, "old papers");
}

#[tokio::test]
async fn two_adjacent_days_without_their_papers_are_named() {
    let (bench, checkpoints) = filled().await;
    let thief = Thief::of(&bench);
    let mut log = Log::of(&bench);
    for segment in &mut log.segments {
        for batch in &mut segment.batches {
            // Kind 6: a day key's certificate, which is also the day's closing checkpoint.
            batch.leaves.retain(|leaf| leaf[21..23] != [0, 6]);
        }
        segment.batches.retain(|batch| !batch.leaves.is_empty());
    }
    log.segments.retain(|segment| !segment.batches.is_empty());
    log.put_into(&bench, &thief);
    let report = bench.verify(&[]);
    named(&report, GapKind::DayWrong, "without papers");
    named(&bench.verify(&checkpoints), GapKind::CheckpointFork, "without papers");
    // Checkpoints from outside that somebody loses do not weaken those that are left.
    let (bench, checkpoints) = filled().await;
    let mut log = Log::of(&bench);
    let len = log.segments[0].batches[1].leaves[0].len();
    log.segments[0].batches[1].leaves[0][len - 1] ^= 1;
    log.put_into(&bench, &Thief::of(&bench));
    named(&bench.verify(&checkpoints[2..]), GapKind::CheckpointFork, "one left");
}

#[tokio::test]
async fn swapped_and_repeated_records_are_named_and_do_not_open() {
    let (bench, checkpoints) = filled().await;
    let mut thief = Thief::of(&bench);
    thief.recertifies = false;
    let log = Log::of(&bench);
    let last = log.segments.len() - 1;
    let path = bench.segments()[last].clone();
    // Bytes exchanged, checksum mended.
    let mut bytes = fs::read(&path).unwrap();
    let (start, len) = batches(&bytes)[2];
    let leaves = forge::split_leaves(&bytes[start + 113..start + len - 80]);
    let swapped = [leaves[1].clone(), leaves[0].clone()].concat();
    bytes[start + 113..start + 113 + swapped.len()].copy_from_slice(&swapped);
    let crc = crc32c::crc32c(&bytes[start..start + len - 4]).to_be_bytes();
    bytes[start + len - 4..start + len].copy_from_slice(&crc);
    fs::write(&path, &bytes).unwrap();
    named(&bench.verify(&[]), GapKind::RecordOrder, "swapped");
    // Everything rebuilt, numbers too.
    let swap = |log: &mut Log| log.segments[last].batches[2].leaves.swap(0, 1);
    let repeat = |log: &mut Log| {
        let leaf = log.segments[last].batches[2].leaves[0].clone();
        log.segments[last].batches[3].leaves.push(leaf);
    };
    let whole = |log: &mut Log| {
        let batch = log.segments[last].batches[2].clone();
        log.segments[last].batches.insert(3, batch);
    };
    for change in [&swap as &dyn Fn(&mut Log), &repeat, &whole] {
        let mut bent = log.clone();
        change(&mut bent);
        bent.put_into(&bench, &thief);
        named(&bench.verify(&checkpoints), GapKind::CheckpointFork, "rebuilt");
        assert!(!opens(&bench));
    }
}

#[tokio::test]
async fn what_comes_from_another_stream_is_named() {
    let (bench, checkpoints) = filled().await;
    let other = Bench::in_memory_with(bench.custody.clone());
    let mut options = other.options();
    options.stream = 2;
    let (ledger, _) = Ledger::open(options).unwrap();
    for number in 0..5 {
        ledger.append(vec![entry(20 + number), entry(2)]).await.unwrap();
    }
    ledger.close().await.unwrap();
    let (own, foreign) = (bench.segments()[2].clone(), other.segments()[0].clone());
    let (original, strange) = (fs::read(&own).unwrap(), fs::read(&foreign).unwrap());
    // A whole batch of the same length in the place of ours.
    let place = batches(&original)[2];
    let found = batches(&strange).into_iter().find(|(_, len)| *len == place.1).unwrap();
    let mut bytes = original.clone();
    bytes[place.0..place.0 + place.1].copy_from_slice(&strange[found.0..found.0 + found.1]);
    fs::write(&own, &bytes).unwrap();
    named(&bench.verify(&[]), GapKind::BatchForeign, "a batch");
    // A whole segment.
    fs::write(&own, &strange).unwrap();
    named(&bench.verify(&checkpoints), GapKind::SegmentHeader, "a segment");
    // A record, with everything rebuilt.
    fs::write(&own, &original).unwrap();
    let mut log = Log::of(&bench);
    let last = log.segments.len() - 1;
    log.segments[last].batches[2].leaves[0] =
        forge::split_leaves(&strange[found.0 + 113..found.0 + found.1 - 80])[0].clone();
    log.put_into(&bench, &Thief::of(&bench));
    named(&bench.verify(&[]), GapKind::RecordForeign, "a record");
    assert!(!opens(&bench));
    // The other stream as a whole in the place of ours.
    let report = verify_dir(&other.dir(), &bench.key(), &checkpoints);
    assert_eq!(report.verdict, Verdict::Fail);
}

#[tokio::test]
async fn a_back_dated_record_is_named() {
    let (bench, _) = filled().await;
    let mut thief = Thief::of(&bench);
    thief.recertifies = false;
    let log = Log::of(&bench);
    let last = log.segments.len() - 1;
    let time = |leaf: &[u8]| u64::from_be_bytes(leaf[13..21].try_into().unwrap());
    let now = time(&log.segments[last].batches[3].leaves[0]);
    for (back, kind) in [(60_000, GapKind::TimeBack), (DAY as u64, GapKind::DayWrong)] {
        let mut bent = log.clone();
        let batch = &mut bent.segments[last].batches[3];
        for leaf in &mut batch.leaves {
            leaf[13..21].copy_from_slice(&(now - back).to_be_bytes());
        }
        bent.put_into(&bench, &thief);
        named(&bench.verify(&[]), kind, "back-dated");
    }
    // Another month's key.
    let mut bent = log;
    bent.segments[last].batches[3].head[48] ^= 1;
    bent.put_into(&bench, &thief);
    named(&bench.verify(&[]), GapKind::PeriodWrong, "another month");
}

#[tokio::test]
async fn a_silence_without_a_stop_is_named() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    bench.clock.advance(600_000);
    ledger.append(vec![entry(2)]).await.unwrap();
    let kept = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    let report = bench.verify(&[kept]);
    assert!(kinds(&report).contains(&GapKind::Silence), "{:?}", report.gaps);
}

#[tokio::test]
async fn a_deleted_log_is_not_begun_anew() {
    let (bench, _) = filled().await;
    fs::remove_dir_all(bench.dir()).unwrap();
    let error = Ledger::open(bench.options()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::Rollback, "{error}");
    fs::remove_file(bench.keys_dir().join("stable.key")).unwrap();
    let error = Ledger::open(bench.options()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::KeyMissing, "{error}");
}

#[tokio::test]
async fn a_log_without_a_sealed_end_or_a_checkpoint_is_unproven() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    let kept = ledger.checkpoint().await.unwrap();
    for number in 0..10 {
        ledger.append(vec![entry(number)]).await.unwrap();
    }
    // As long after as a record may await its checkpoint, and longer.
    bench.clock.advance(120_000);
    ledger.append(vec![entry(11)]).await.unwrap();
    fs::copy(&bench.segments()[0], bench.root.path().join("copy")).unwrap();
    let report = bench.verify_live(std::slice::from_ref(&kept));
    assert_eq!(report.verdict, Verdict::Unproven, "{:?}", report.gaps);
    assert!(kinds(&report).contains(&GapKind::Unsigned));
    ledger.close().await.unwrap();
    fs::remove_file(bench.dir().join("checkpoint")).unwrap();
    let report = bench.verify(&[kept]);
    assert_eq!(report.verdict, Verdict::Unproven);
    assert!(kinds(&report).contains(&GapKind::CheckpointMissing));
    let error = Ledger::open(bench.options()).err().unwrap();
    assert!(matches!(error, OpenError::Checkpoint { .. }), "{error}");
}
