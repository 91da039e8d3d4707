//! Every way to change, cut, reorder or replace the log is named, and none passes.

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
use std::path::Path;
use std::time::Duration;

use keys::ed25519::SigningKey;
use ledger::note::{Checkpoint, Note, VerifierKey};
use ledger::verify::{Verdict, VerifyOptions, verify};
use ledger::{GapKind, Ledger, OpenError, Trouble, proof, tree};
use support::{Bench, DAY, batches, entry, kinds, try_verify, verify_dir};

/// Three days of records in five segments or more, closed in order; and a checkpoint of each day.
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
        bench.clock.advance(DAY);
    }
    let report = bench.verify(&checkpoints);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    (bench, checkpoints)
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Puts the right checksum on a batch again, as an attacker would.
fn mend_checksum(bytes: &mut [u8], (start, len): (usize, usize)) {
    let crc = crc32c::crc32c(&bytes[start..start + len - 4]);
    bytes[start + len - 4..start + len].copy_from_slice(&crc.to_be_bytes());
}

fn fails_with(bench: &Bench, checkpoints: &[String], expected: GapKind) {
    let report = bench.verify(checkpoints);
    assert_eq!(report.verdict, Verdict::Fail, "{expected:?}: {:?}", report.gaps);
    assert!(kinds(&report).contains(&expected), "{expected:?}: {:?}", report.gaps);
}

#[tokio::test]
async fn no_changed_byte_of_any_file_passes() {
    let (bench, checkpoints) = filled().await;
    let originals: Vec<_> =
        bench.segments().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    for (bytes, path) in &originals {
        let batches = batches(bytes);
        let (first_start, first_len) = batches[0];
        for at in 0..bytes.len() {
            // Every byte of the file's header and of the first batch's header and footer, and a sample
            // of the rest: the strides are prime, so they meet every field of every batch.
            let whole = (0..first_start + 113).contains(&at)
                || (first_start + first_len - 80..first_start + first_len).contains(&at);
            let near = batches.iter().any(|(start, len)| {
                (*start..start + 113).contains(&at) || (start + len - 80..start + len).contains(&at)
            });
            if !whole && at % (if near { 29 } else { 211 }) != 0 {
                continue;
            }
            let mut bent = bytes.clone();
            bent[at] ^= 0x10;
            fs::write(path, &bent).unwrap();
            let report = bench.verify(&checkpoints);
            assert_eq!(report.verdict, Verdict::Fail, "byte {at} of {}", path.display());
        }
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(bench.verify(&checkpoints).verdict, Verdict::Pass);
}

#[tokio::test]
async fn an_edit_with_a_mended_checksum_is_a_tree_mismatch_even_without_expectations() {
    let (bench, _) = filled().await;
    let path = &bench.segments()[1];
    let original = fs::read(path).unwrap();
    let batch = batches(&original)[1];
    for offset in [9, 30, 120, 160, batch.1 - 80 - 20] {
        let mut bent = original.clone();
        bent[batch.0 + offset] ^= 1;
        mend_checksum(&mut bent, batch);
        fs::write(path, &bent).unwrap();
        let report = bench.verify(&[]);
        assert_eq!(report.verdict, Verdict::Fail, "offset {offset}");
    }
    let mut bent = original.clone();
    bent[batch.0 + batch.1 - 80 - 20] ^= 1;
    mend_checksum(&mut bent, batch);
    fs::write(path, &bent).unwrap();
    fails_with(&bench, &[], GapKind::TreeMismatch);
}

#[tokio::test]
async fn every_edit_is_listed_not_only_the_first() {
    let (bench, checkpoints) = filled().await;
    for path in bench.segments() {
        edit(&path, |bytes| {
            let (start, len) = batches(bytes)[1];
            bytes[start + len - 90] ^= 1;
        });
    }
    let report = bench.verify(&checkpoints);
    let damaged = kinds(&report).iter().filter(|kind| **kind == GapKind::Damaged).count();
    assert_eq!(damaged, bench.segments().len());
}

#[tokio::test]
async fn a_log_cut_at_a_batchs_edge_is_smaller_than_its_checkpoint() {
    let (bench, checkpoints) = filled().await;
    let path = bench.segments().pop().unwrap();
    edit(&path, |bytes| {
        let (start, _) = batches(bytes).pop().unwrap();
        bytes.truncate(start);
    });
    fails_with(&bench, &checkpoints, GapKind::CheckpointAhead);
    assert!(matches!(Ledger::open(bench.options()), Err(OpenError::Rollback { .. })));
}

#[tokio::test]
async fn a_cut_tail_is_named_and_refused_at_start() {
    let (bench, checkpoints) = filled().await;
    let path = bench.segments().pop().unwrap();
    edit(&path, |bytes| bytes.truncate(bytes.len() - 10));
    fails_with(&bench, &checkpoints, GapKind::TornTail);
    fails_with(&bench, &[], GapKind::CheckpointAhead);
    let before = fs::read(&path).unwrap();
    assert!(matches!(Ledger::open(bench.options()), Err(OpenError::Rollback { .. })));
    assert_eq!(fs::read(&path).unwrap(), before, "a refused start changes nothing");
}

#[tokio::test]
async fn swapped_repeated_and_missing_batches_are_named() {
    let (bench, checkpoints) = filled().await;
    let path = &bench.segments()[1];
    let original = fs::read(path).unwrap();
    let found = batches(&original);
    let piece = |index: usize| &original[found[index].0..found[index].0 + found[index].1];
    let rest = &original[found[3].0..];
    let head = &original[..found[1].0];
    for bent in [
        [head, piece(2), piece(1), rest].concat(),
        [head, piece(1), piece(1), piece(2), rest].concat(),
        [head, piece(2), rest].concat(),
    ] {
        fs::write(path, bent).unwrap();
        fails_with(&bench, &checkpoints, GapKind::BatchOrder);
    }
}

#[tokio::test]
async fn swapped_renamed_and_missing_segments_are_named() {
    let (bench, checkpoints) = filled().await;
    let segments = bench.segments();
    let contents: Vec<_> = segments.iter().map(|path| fs::read(path).unwrap()).collect();
    fs::write(&segments[0], &contents[1]).unwrap();
    fs::write(&segments[1], &contents[0]).unwrap();
    fails_with(&bench, &checkpoints, GapKind::SegmentHeader);
    fs::write(&segments[0], &contents[0]).unwrap();
    fs::write(&segments[1], &contents[1]).unwrap();
    for (index, path) in segments.iter().enumerate() {
        fs::remove_file(path).unwrap();
        let last = index + 1 == segments.len();
        let kind = if last { GapKind::CheckpointAhead } else { GapKind::SegmentMissing };
        fails_with(&bench, &checkpoints, kind);
        fs::write(path, &contents[index]).unwrap();
    }
    assert_eq!(bench.verify(&checkpoints).verdict, Verdict::Pass);
}

#[tokio::test]
async fn bytes_added_after_a_segments_end_are_named() {
    let (bench, checkpoints) = filled().await;
    let path = &bench.segments()[0];
    edit(path, |bytes| bytes.extend_from_slice(&[0; 64]));
    fails_with(&bench, &checkpoints, GapKind::TrailingData);
    edit(path, |bytes| bytes.push(1));
    fails_with(&bench, &checkpoints, GapKind::TrailingData);
}

#[tokio::test]
async fn an_empty_or_absent_directory_never_passes() {
    let (bench, checkpoints) = filled().await;
    let empty = bench.root.path().join("empty");
    for _ in 0..2 {
        for expectations in [&checkpoints[..], &[]] {
            let report = verify_dir(&empty, &bench.key(), expectations);
            assert_eq!(report.verdict, Verdict::Fail);
            assert!(kinds(&report).contains(&GapKind::Empty));
        }
        fs::create_dir_all(&empty).unwrap();
    }
}

#[tokio::test]
async fn another_key_or_a_log_of_another_key_fails() {
    let (bench, checkpoints) = filled().await;
    let other = SigningKey::from_seed(&[7; 32]).unwrap();
    let key = VerifierKey::new(support::ORIGIN, other.public()).unwrap();
    // Checkpoints that the key did not sign do not make it the log's.
    for expectations in [&checkpoints[..], &[]] {
        let error = try_verify(&bench.dir(), &key, expectations).unwrap_err();
        assert_eq!(error.trouble(), Some(Trouble::ForeignKey));
    }
    // With one that it did sign, the key is right and another log was put in its place.
    let (ours, theirs) = (Bench::in_memory(), bench);
    let (ledger, _) = ours.open();
    let kept = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    let report = verify_dir(&theirs.dir(), &ours.key(), &[kept]);
    assert_eq!(report.verdict, Verdict::Fail);
    let kinds = kinds(&report);
    assert!(kinds.contains(&GapKind::CheckpointSignature));
    assert!(kinds.contains(&GapKind::DayKeyUncertified));
}

#[tokio::test]
async fn a_log_of_a_newer_format_is_named_and_a_bent_version_is_damage() {
    let (bench, checkpoints) = filled().await;
    let path = &bench.segments()[1];
    let original = fs::read(path).unwrap();
    let mut bent = original.clone();
    bent[8] = 2;
    fs::write(path, &bent).unwrap();
    fails_with(&bench, &checkpoints, GapKind::SegmentHeader);
    for (start, _) in batches(&original) {
        bent[start + 4] = 2;
    }
    fs::write(path, &bent).unwrap();
    let error = try_verify(&bench.dir(), &bench.key(), &checkpoints).unwrap_err();
    assert_eq!(error.trouble(), Some(Trouble::NewerFormat));
    // The segment that this program knows, with batches that it does not.
    bent[8] = 1;
    fs::write(path, &bent).unwrap();
    let error = try_verify(&bench.dir(), &bench.key(), &checkpoints).unwrap_err();
    assert_eq!(error.trouble(), Some(Trouble::NewerFormat));
    fs::write(path, &original).unwrap();
    // The newest segment is what a start meets.
    let path = bench.segments().pop().unwrap();
    edit(&path, |bytes| {
        bytes[8] = 2;
        let starts: Vec<_> = batches(bytes).iter().map(|(start, _)| *start).collect();
        starts.into_iter().for_each(|start| bytes[start + 4] = 2);
    });
    let opened = Ledger::open(bench.options());
    assert!(opened.is_err_and(|error| error.trouble() == Trouble::NewerFormat));
}

#[tokio::test]
async fn what_is_found_does_not_depend_on_the_number_of_threads() {
    let (bench, checkpoints) = filled().await;
    let path = &bench.segments()[1];
    let original = fs::read(path).unwrap();
    let found = batches(&original);
    let mut logs = vec![original.clone(), original[..found[2].0 + 30].to_vec()];
    logs.push([&original[..found[1].0], &original[found[2].0..]].concat());
    for offset in [4, 30, 120, 160, found[1].1 - 70, found[1].1 - 1] {
        let mut bent = original.clone();
        bent[found[1].0 + offset] ^= 1;
        logs.push(bent.clone());
        mend_checksum(&mut bent, found[1]);
        logs.push(bent);
    }
    for log in logs {
        fs::write(path, log).unwrap();
        let report = |threads| {
            let mut options = VerifyOptions::new(bench.key());
            options.expectations = checkpoints.clone();
            options.threads = Some(threads);
            let report = verify(&bench.dir(), &options, &mut |_| {}).unwrap();
            serde_json::to_string(&report).unwrap()
        };
        let alone = report(0);
        for threads in [1, 2, 5] {
            assert_eq!(report(threads), alone);
        }
    }
}

#[tokio::test]
async fn a_silence_without_a_reason_is_unproven_and_one_with_a_reason_is_noted() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    // The clock jumps: the record of the jump is the reason.
    bench.clock.advance(3_600_000);
    ledger.append(vec![entry(2)]).await.unwrap();
    let kept = ledger.checkpoint().await.unwrap();
    let report = bench.verify(std::slice::from_ref(&kept));
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.gaps);
    assert!(kinds(&report).contains(&GapKind::Silence));
    // The same pause, taken for one without a reason.
    let mut options = VerifyOptions::new(bench.key());
    options.expectations = vec![kept];
    tokio::time::sleep(Duration::from_millis(30)).await;
    ledger.append(vec![entry(3)]).await.unwrap();
    options.max_silence = Duration::from_millis(20);
    let report = verify(&bench.dir(), &options, &mut |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Unproven, "{:?}", report.gaps);
    assert!(kinds(&report).contains(&GapKind::SilenceUnexplained));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_kept_on_this_side_must_agree_and_proves_nothing_outside() {
    let (bench, checkpoints) = filled().await;
    let with = |local: String| {
        let mut options = VerifyOptions::new(bench.key());
        options.local = vec![("in the database".to_owned(), local)];
        verify(&bench.dir(), &options, &mut |_| {}).unwrap()
    };
    assert_eq!(with(checkpoints[1].clone()).verdict, Verdict::Unproven);
    let (ledger, _) = bench.open();
    let newer = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    fs::remove_file(bench.segments().pop().unwrap()).unwrap();
    let report = with(newer);
    let ahead = |gap: &&ledger::Gap| {
        gap.kind == GapKind::CheckpointAhead && gap.detail.starts_with("in the database")
    };
    assert_eq!(report.gaps.iter().filter(ahead).count(), 1);
}

#[tokio::test]
async fn a_forged_expectation_or_checkpoint_fails_and_a_missing_one_is_unproven() {
    let (bench, checkpoints) = filled().await;
    let forged = checkpoints[0].replacen('\n', "x\n", 1);
    let error = try_verify(&bench.dir(), &bench.key(), &[forged]).unwrap_err();
    assert_eq!(error.trouble(), Some(Trouble::ForeignCheckpoint));
    let forged = checkpoints[0].replacen("\n\n", "\nanother line\n\n", 1);
    fails_with(&bench, &[forged], GapKind::CheckpointSignature);
    let path = bench.dir().join("checkpoint");
    let text = fs::read_to_string(&path).unwrap();
    // The day key's signature alone taken away.
    let stable_only = text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    fs::write(&path, stable_only).unwrap();
    fails_with(&bench, &checkpoints, GapKind::CheckpointDayKey);
    fs::write(&path, "x").unwrap();
    fails_with(&bench, &checkpoints, GapKind::CheckpointMalformed);
    fs::remove_file(&path).unwrap();
    let report = bench.verify(&checkpoints);
    assert_eq!(report.verdict, Verdict::Unproven);
    assert!(kinds(&report).contains(&GapKind::CheckpointMissing));
    assert!(matches!(Ledger::open(bench.options()), Err(OpenError::Checkpoint { .. })));
    // An old one in its place leaves the days since unsigned.
    fs::write(&path, &checkpoints[0]).unwrap();
    let report = bench.verify(&checkpoints[..1]);
    assert_eq!(report.verdict, Verdict::Unproven);
    assert!(kinds(&report).contains(&GapKind::Unsigned));
}

#[tokio::test]
async fn a_rolled_back_directory_is_refused_by_its_keys_and_fails_by_an_old_checkpoint() {
    let (bench, _) = filled().await;
    let snapshot: Vec<_> = support::files(&bench.dir())
        .into_iter()
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    let (ledger, _) = bench.open();
    ledger.append(vec![entry(1)]).await.unwrap();
    let kept = ledger.checkpoint().await.unwrap();
    ledger.close().await.unwrap();
    for file in support::files(&bench.dir()) {
        fs::remove_file(file).unwrap();
    }
    for (bytes, path) in snapshot {
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(bench.verify(&[]).verdict, Verdict::Unproven);
    fails_with(&bench, &[kept], GapKind::CheckpointAhead);
    assert!(matches!(Ledger::open(bench.options()), Err(OpenError::Rollback { .. })));
    // All of it gone is a rollback, too.
    for file in support::files(&bench.dir()) {
        fs::remove_file(file).unwrap();
    }
    assert!(matches!(Ledger::open(bench.options()), Err(OpenError::Rollback { .. })));
}

#[tokio::test]
async fn a_history_rewritten_with_every_key_of_today_does_not_meet_yesterdays_checkpoint() {
    let (bench, checkpoints) = filled().await;
    // The thief has the stable key and the custody: he builds a new log under the same name.
    let thief = Bench::new();
    fs::create_dir_all(thief.keys_dir()).unwrap();
    fs::copy(bench.root.path().join("kek"), thief.root.path().join("kek2")).unwrap();
    fs::copy(bench.keys_dir().join("stable.key"), thief.keys_dir().join("stable.key")).unwrap();
    let mut options = thief.options();
    options.custody = bench.custody.clone();
    let (ledger, _) = Ledger::open(options).unwrap();
    for number in 0..40 {
        ledger.append(vec![entry(number)]).await.unwrap();
    }
    ledger.close().await.unwrap();
    assert_eq!(verify_dir(&thief.dir(), &bench.key(), &[]).verdict, Verdict::Unproven);
    let report = verify_dir(&thief.dir(), &bench.key(), &checkpoints[..1]);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(kinds(&report).contains(&GapKind::CheckpointFork));
}

#[tokio::test]
async fn bad_data_before_a_good_batch_is_corruption_and_the_start_is_refused() {
    let (bench, _) = filled().await;
    let path = bench.segments().pop().unwrap();
    edit(&path, |bytes| {
        let found = batches(bytes);
        bytes[found[found.len() - 2].0 + 130] ^= 1;
    });
    assert!(matches!(Ledger::open(bench.options()), Err(OpenError::Corrupt { .. })));
}

#[tokio::test]
async fn proofs_made_from_the_directory_hold_against_the_checkpoints() {
    let (bench, checkpoints) = filled().await;
    let read = |text: &str| Checkpoint::parse(Note::parse(text).unwrap().text()).unwrap();
    for seq in [0, 1, 7, 20, 30] {
        let proof = proof::inclusion(&bench.dir(), seq).unwrap();
        let head = read(&proof.checkpoint);
        let holds =
            |leaf| tree::verify_inclusion(leaf, proof.index, head.size, &proof.path, &head.root);
        assert!(holds(&proof.leaf));
        assert!(!holds(&[0; 32]));
        assert!(Note::parse(&proof.checkpoint).unwrap().signed_by(&bench.key()));
    }
    for old in &checkpoints {
        let proof = proof::consistency(&bench.dir(), old).unwrap();
        let (old, new) = (read(old), read(&proof.checkpoint));
        assert!(tree::verify_consistency(
            (old.size, &old.root),
            (new.size, &new.root),
            &proof.path
        ));
    }
    assert!(proof::inclusion(&bench.dir(), 1_000_000).is_err());
}
