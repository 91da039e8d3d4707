//! A witness: what it cosigns, what it refuses, what it remembers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use domain::Clock;
use keys::SystemRandom;
use keys::ed25519::SigningKey;
use ledger::Trouble;
use ledger::note::{Note, VerifierKey};
use ledger::witness::{Answer, MAX_REQUEST, Request, Witness};
use support::Bench;
use support::outside::{Outside, body, checkpoint, fork, grow, status};
use tempfile::TempDir;

#[tokio::test]
async fn a_checkpoint_is_cosigned_and_the_cosignature_counts_for_this_witness_only() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let witness = outside.open();
    let note = grow(&ledger, 3).await;
    let answer = witness.add_checkpoint(&body(&bench.dir(), 0, &note));
    assert_eq!((answer.status, answer.media_type), (200, "text/plain; charset=utf-8"));
    let cosigned = Note::parse(&format!("{note}{}", answer.body)).unwrap();
    let time = cosigned.cosigned_by(&outside.key).unwrap();
    assert_eq!(time, u64::try_from(bench.clock.now().millis()).unwrap() / 1000);
    assert!(cosigned.signed_by(&bench.key()), "the log's own signature still stands");
    // The same key under another name, and another key under the same name.
    let renamed = VerifierKey::cosigner("witness.test/w2", outside.key.key()).unwrap();
    let other = SigningKey::from_seed(&[9; 32]).unwrap().public();
    let other = VerifierKey::cosigner("witness.test/w1", other).unwrap();
    assert!(cosigned.cosigned_by(&renamed).is_none() && cosigned.cosigned_by(&other).is_none());
    // A cosignature is no signature of the note by the same key, nor the other way round.
    let plain = VerifierKey::new("witness.test/w1", outside.key.key()).unwrap();
    assert!(!cosigned.signed_by(&plain));
    assert_eq!(VerifierKey::parse(&outside.key.to_string()), Ok(outside.key.clone()));
    // Whoever changes the time changes what is signed.
    let later = answer.body.replacen("AAAA", "AAAB", 1);
    if later != answer.body {
        let changed = Note::parse(&format!("{note}{later}"));
        assert!(changed.map_or(true, |note| note.cosigned_by(&outside.key).is_none()));
    }
}

#[tokio::test]
async fn each_answer_of_the_protocol_is_given() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let witness = outside.open();
    let dir = bench.dir();
    let small = grow(&ledger, 3).await;
    let large = grow(&ledger, 4).await;
    let (a, b) = (checkpoint(&small).size, checkpoint(&large).size);
    assert_eq!(status(&witness.add_checkpoint(&body(&dir, 0, &small))), 200);
    assert_eq!(status(&witness.add_checkpoint(&body(&dir, a, &small))), 200, "the same again");
    let stale = witness.add_checkpoint(&body(&dir, 0, &large));
    assert_eq!((stale.status, stale.media_type), (409, "text/x.tlog.size"));
    assert_eq!(stale.body, format!("{a}\n"));
    assert_eq!(status(&witness.add_checkpoint(&body(&dir, a, &large))), 200);
    // Replayed and rolled back.
    assert_eq!(witness.add_checkpoint(&body(&dir, a, &large)).body, format!("{b}\n"));
    assert_eq!(witness.add_checkpoint(&body(&dir, 0, &small)).body, format!("{b}\n"));
    let ahead = Request::body(b + 1, &[], &large);
    assert_eq!(status(&witness.add_checkpoint(ahead.as_bytes())), 400);
    // Foreign, unsigned, huge, garbage.
    let foreign = large.replacen("phiward.test/ledger\n", "elsewhere.test/ledger\n", 1);
    assert_eq!(status(&witness.add_checkpoint(Request::body(b, &[], &foreign).as_bytes())), 404);
    let forged = large.replacen(&format!("\n{b}\n"), &format!("\n{}\n", b + 1), 1);
    assert_eq!(status(&witness.add_checkpoint(Request::body(b, &[], &forged).as_bytes())), 403);
    assert_eq!(status(&witness.add_checkpoint(&vec![b'x'; MAX_REQUEST + 1])), 413);
    for garbage in [&b""[..], b"\n\n", b"old 0\n\n", b"\xff\xfe", b"old 0\n\n\n\n\n"] {
        assert_eq!(status(&witness.add_checkpoint(garbage)), 400);
    }
    assert!(!outside.dir().join("evidence").exists());
}

#[tokio::test]
async fn a_fork_is_refused_and_kept_as_evidence() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let witness = outside.open();
    let common = checkpoint(&grow(&ledger, 3).await).size;
    let (copy, copied) = fork(&bench).await;
    let ours = grow(&ledger, 3).await;
    let mut theirs = grow(&copied, 2).await;
    while checkpoint(&theirs).size < checkpoint(&ours).size {
        theirs = grow(&copied, 1).await;
    }
    assert_eq!(status(&witness.add_checkpoint(&body(&bench.dir(), 0, &ours))), 200);
    let held = checkpoint(&ours).size;
    // An honest proof of a history that is not the one held.
    let there = copy.path().join("ledger");
    let answer = witness.add_checkpoint(&body(&there, held, &theirs));
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(witness.add_checkpoint(&body(&there, common, &theirs)).body, format!("{held}\n"));
    let evidence = std::fs::read_dir(outside.dir().join("evidence")).unwrap().count();
    assert_eq!(evidence, 1);
    // The kept request and the kept head: two signed heads that contradict each other.
    assert_eq!(witness.sizes(), [(support::ORIGIN.to_owned(), held)]);
}

#[tokio::test]
async fn of_two_that_race_with_the_same_old_size_one_is_cosigned() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let witness = Arc::new(outside.open());
    let dir = bench.dir();
    let mut held = checkpoint(&grow(&ledger, 1).await).size;
    assert_eq!(status(&witness.add_checkpoint(&body(&dir, 0, &ledger.latest_checkpoint()))), 200);
    for round in 0..20 {
        let heads = [grow(&ledger, 1).await, grow(&ledger, 1).await, grow(&ledger, 1).await];
        let start = Arc::new(std::sync::Barrier::new(heads.len()));
        let racers: Vec<_> = heads
            .iter()
            .map(|note| {
                let (witness, start) = (Arc::clone(&witness), Arc::clone(&start));
                let (body, size) = (body(&dir, held, note), checkpoint(note).size);
                std::thread::spawn(move || {
                    start.wait();
                    (witness.add_checkpoint(&body), size)
                })
            })
            .collect();
        let answers: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        let cosigned: Vec<u64> =
            answers.iter().filter(|(a, _)| a.status == 200).map(|(_, size)| *size).collect();
        assert_eq!(cosigned.len(), 1, "round {round}");
        assert!(
            answers.iter().all(|(a, _)| a.status == 200 || a.body == format!("{}\n", cosigned[0]))
        );
        assert_eq!(witness.sizes()[0].1, cosigned[0]);
        // Catch up to the largest, so that the next round begins where all have been.
        let largest = checkpoint(&heads[2]).size;
        if cosigned[0] < largest {
            let answer = witness.add_checkpoint(&body(&dir, cosigned[0], &heads[2]));
            assert_eq!(answer.status, 200);
        }
        held = largest;
    }
}

#[tokio::test]
async fn what_was_cosigned_is_remembered_across_a_crash_at_any_point() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let dir = bench.dir();
    let first = grow(&ledger, 3).await;
    let size = checkpoint(&first).size;
    // The answer is lost: the process ends between the write and the answer.
    drop(outside.open().add_checkpoint(&body(&dir, 0, &first)));
    let witness = outside.open();
    let answer = witness.add_checkpoint(&body(&dir, 0, &first));
    assert_eq!((answer.status, answer.body), (409, format!("{size}\n")));
    assert_eq!(status(&witness.add_checkpoint(&body(&dir, size, &first))), 200);
    // Nothing but a part of the new state was written when the process ended.
    drop(witness);
    std::fs::write(outside.dir().join("witness.state.tmp"), b"0123").unwrap();
    let witness = outside.open();
    assert_eq!(witness.sizes()[0].1, size);
    // The mark was not written yet when the process ended.
    let mark = outside.dir().join("witness.mark");
    let old_mark = std::fs::read(&mark).unwrap();
    let second = grow(&ledger, 3).await;
    assert_eq!(status(&witness.add_checkpoint(&body(&dir, size, &second))), 200);
    drop(witness);
    std::fs::write(&mark, old_mark).unwrap();
    let witness = outside.open();
    assert_eq!(witness.sizes()[0].1, checkpoint(&second).size);
    assert_eq!(witness.add_checkpoint(&body(&dir, 0, &first)).status, 409);
}

#[tokio::test]
async fn a_witness_whose_memory_cannot_be_relied_on_does_not_open() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let open = |dir: &Path| {
        let opened = Witness::open(dir, vec![bench.key()], bench.clock.clone());
        opened.map(|_| ()).map_err(|error| (error.trouble(), error.to_string()))
    };
    let state = outside.dir().join("witness.state");
    let mark = outside.dir().join("witness.mark");
    let before = std::fs::read(&state).unwrap();
    let witness = outside.open();
    let (trouble, said) = open(&outside.dir()).unwrap_err();
    assert_eq!(trouble, Trouble::InUse, "{said}");
    let note = grow(&ledger, 3).await;
    assert_eq!(status(&witness.add_checkpoint(&body(&bench.dir(), 0, &note))), 200);
    drop(witness);
    let good = std::fs::read(&state).unwrap();
    let damaged = String::from_utf8(good.clone()).unwrap().replacen(
        "\"generation\":1",
        "\"generation\":2",
        1,
    );
    let other = TempDir::new().unwrap();
    Witness::init(&other.path().join("w"), "witness.test/w1", &SystemRandom).unwrap();
    let others = std::fs::read(other.path().join("w/witness.state")).unwrap();
    for (content, what) in [
        (None, "missing"),
        (Some(before), "older than it was"),
        (Some(damaged.into_bytes()), "damaged"),
        (Some(Vec::new()), "damaged"),
        (Some(others), "another witness's"),
    ] {
        std::fs::remove_file(&state).ok();
        if let Some(content) = content {
            std::fs::write(&state, content).unwrap();
        }
        let (trouble, said) = open(&outside.dir()).unwrap_err();
        assert_eq!(trouble, Trouble::WitnessState, "{what}");
        assert!(said.contains(what), "{what}: {said}");
    }
    std::fs::write(&state, &good).unwrap();
    std::fs::remove_file(&mark).unwrap();
    assert_eq!(open(&outside.dir()).unwrap_err().0, Trouble::WitnessState);
    std::fs::write(&mark, "1\n").unwrap();
    assert_eq!(open(&outside.dir()), Ok(()));
    assert_eq!(open(other.path()).unwrap_err().0, Trouble::KeyMissing);
    let again = Witness::init(&outside.dir(), "witness.test/w1", &SystemRandom).unwrap_err();
    assert_eq!(again.trouble(), Trouble::WitnessState);
    assert_eq!(open(&outside.dir()), Ok(()), "an init changes nothing that is there");
}

#[tokio::test]
async fn a_witness_that_cannot_write_cosigns_no_more() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let witness = outside.open();
    let first = grow(&ledger, 1).await;
    assert_eq!(status(&witness.add_checkpoint(&body(&bench.dir(), 0, &first))), 200);
    // A directory where the temporary file would be: no write gets through, not even for root.
    let block = outside.dir().join("witness.state.tmp");
    std::fs::create_dir(&block).unwrap();
    let size = checkpoint(&first).size;
    let second = grow(&ledger, 1).await;
    assert_eq!(status(&witness.add_checkpoint(&body(&bench.dir(), size, &second))), 500);
    std::fs::remove_dir(&block).unwrap();
    assert_eq!(status(&witness.add_checkpoint(&body(&bench.dir(), size, &first))), 500);
    assert!(!witness.is_well());
    drop(witness);
    assert_eq!(status(&outside.open().add_checkpoint(&body(&bench.dir(), size, &second))), 200);
}

#[tokio::test]
async fn lines_under_the_witness_s_own_name_are_not_kept() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let witness = outside.open();
    let note = grow(&ledger, 1).await;
    // A thief of nothing writes a line that claims to be the witness's, and a hundred of others.
    let genuine = witness.add_checkpoint(&body(&bench.dir(), 0, &note)).body;
    let next = grow(&ledger, 1).await;
    let padding: String = (0..90).map(|n| format!("\u{2014} other{n} AAAAAAAA\n")).collect();
    let spoiled = format!("{next}{genuine}{padding}");
    let asked = body(&bench.dir(), checkpoint(&note).size, &spoiled);
    assert_eq!(status(&witness.add_checkpoint(&asked)), 200);
    drop(witness);
    let witness = outside.open();
    let hash: String =
        keys::sha256(support::ORIGIN.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let latest = Note::parse(&witness.latest(&hash).unwrap()).unwrap();
    assert!(latest.cosigned_by(&outside.key).is_some() && latest.signed_by(&bench.key()));
    assert!(witness.latest("00").is_none());
}

#[tokio::test]
async fn a_clock_that_goes_back_dates_no_cosignature_before_an_older_one() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let witness = outside.open();
    let first = grow(&ledger, 1).await;
    let time = |note: &str, answer: &Answer| {
        let note = Note::parse(&format!("{note}{}", answer.body)).unwrap();
        note.cosigned_by(&outside.key).unwrap()
    };
    let before = time(&first, &witness.add_checkpoint(&body(&bench.dir(), 0, &first)));
    let second = grow(&ledger, 1).await;
    bench.clock.advance(-3_600_000);
    let size = checkpoint(&first).size;
    let after = time(&second, &witness.add_checkpoint(&body(&bench.dir(), size, &second)));
    assert!(after >= before);
    bench.clock.advance(3_600_000);
}
