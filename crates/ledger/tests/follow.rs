//! A ledger that follows its witnesses, without a network between them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::note::{Note, VerifierKey};
use ledger::verify::{Verdict, VerifyOptions, verify};
use ledger::witness::{Carrier, Follower, Policy, Witness, kept};
use ledger::{GapKind, Ledger, LedgerFault, Trouble};
use support::outside::{Outside, body, checkpoint, fork, grow};
use support::{Bench, entry, kinds};

/// Carries to a witness in this process, and can be made to fail or to lie.
struct Here {
    witness: Witness,
    down: AtomicBool,
    asked: AtomicU32,
    lie: Mutex<Option<(u16, String)>>,
}

impl Here {
    fn new(witness: Witness) -> Arc<Self> {
        Arc::new(Self {
            witness,
            down: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            lie: Mutex::new(None),
        })
    }

    fn lies(&self, status: u16, body: &str) {
        *self.lie.lock().unwrap() = Some((status, body.to_owned()));
    }
}

impl Carrier for Here {
    fn carry(
        &self,
        body: String,
    ) -> Pin<Box<dyn Future<Output = Result<(u16, Vec<u8>), String>> + Send + '_>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) {
                return Err("the peer cannot be reached".to_owned());
            }
            if let Some((status, body)) = &*self.lie.lock().unwrap() {
                return Ok((*status, body.clone().into_bytes()));
            }
            let answer = self.witness.add_checkpoint(body.as_bytes());
            Ok((answer.status, answer.body.into_bytes()))
        })
    }
}

fn follower(bench: &Bench, ledger: &Ledger, here: &[&Arc<Here>], policy: Policy) -> Follower {
    let witnesses = here
        .iter()
        .map(|here| {
            let carrier: Arc<dyn Carrier> = Arc::clone(here) as _;
            (here.witness.key().clone(), carrier)
        })
        .collect();
    Follower::new(ledger.clone(), bench.dir(), witnesses, policy, bench.clock.clone())
}

const STOP: Policy = Policy { quorum: 1, max_lag: Duration::from_secs(60), stops: true };

#[tokio::test]
async fn a_cosigned_checkpoint_turns_unproven_into_pass_and_what_is_asked_for_must_be_there() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let (one, two) = (Outside::new(&bench), Outside::new(&bench));
    let here = Here::new(one.open());
    let mut follower = follower(&bench, &ledger, &[&here], STOP);
    let note = grow(&ledger, 3).await;
    let followed = follower.turn().await;
    assert_eq!((followed.size, followed.cosigned), (checkpoint(&note).size, 1));
    ledger.close().await.unwrap();
    let cosigned = kept(&bench.dir()).unwrap().unwrap();
    assert!(cosigned.starts_with(&note));
    assert_eq!(
        bench.verify(&[]).verdict,
        Verdict::Unproven,
        "what lies beside the log proves nothing"
    );
    assert_eq!(bench.verify(std::slice::from_ref(&cosigned)).verdict, Verdict::Pass);
    let judged = |expected: &str, witnesses: &[&Outside], quorum| {
        let mut options = VerifyOptions::new(bench.key());
        options.expectations = vec![expected.to_owned()];
        options.witnesses = witnesses.iter().map(|outside| outside.key.clone()).collect();
        options.quorum = quorum;
        verify(&bench.dir(), &options, &mut |_| {}).unwrap()
    };
    assert_eq!(judged(&cosigned, &[&one], 1).verdict, Verdict::Pass);
    assert_eq!(judged(&cosigned, &[&one, &two], 1).verdict, Verdict::Pass);
    for (expected, witnesses, quorum) in
        [(&cosigned, vec![&one, &two], 2), (&cosigned, vec![&two], 1), (&note, vec![&one], 1)]
    {
        let report = judged(expected, &witnesses, quorum);
        assert_eq!(report.verdict, Verdict::Unproven);
        assert!(kinds(&report).contains(&GapKind::CheckpointUncosigned));
    }
    // A witness that keeps only the signatures it knows: its word stands in for the day's key, and
    // only when it is asked for.
    let bare: String = cosigned
        .lines()
        .filter(|line| !line.contains("/day/"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(judged(&bare, &[&one], 1).verdict, Verdict::Pass);
    let report = bench.verify(std::slice::from_ref(&bare));
    assert!(kinds(&report).contains(&GapKind::CheckpointDayKey));
    // One key under two names is one witness.
    let mut options = VerifyOptions::new(bench.key());
    let renamed = VerifierKey::cosigner("witness.test/again", one.key.key()).unwrap();
    options.expectations = vec![cosigned];
    (options.witnesses, options.quorum) = (vec![one.key.clone(), renamed], 2);
    assert_eq!(verify(&bench.dir(), &options, &mut |_| {}).unwrap().verdict, Verdict::Unproven);
}

#[tokio::test]
async fn no_record_is_taken_while_the_witnesses_lag_and_it_goes_on_when_they_are_back() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let here = Here::new(outside.open());
    let mut follower = follower(&bench, &ledger, &[&here], STOP);
    grow(&ledger, 1).await;
    assert!(!follower.turn().await.behind);
    here.down.store(true, Ordering::SeqCst);
    grow(&ledger, 1).await;
    assert!(!follower.turn().await.behind, "late is not too late");
    bench.clock.advance(61_000);
    let followed = follower.turn().await;
    assert!(followed.behind && followed.lag_ms > 60_000);
    assert_eq!(ledger.append(vec![entry(1)]).await, Err(LedgerFault::Suspended));
    assert!(ledger.suspended().unwrap().contains("1 of 1 witnesses"));
    here.down.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ledger.checkpoint().await.unwrap();
    let followed = follower.turn().await;
    assert!(!followed.behind && ledger.suspended().is_none());
    ledger.append(vec![entry(2)]).await.unwrap();
    ledger.close().await.unwrap();
    // When it began, when it stopped, when it went on: three records, not one for every checkpoint.
    let mut reader = bench.reader();
    let mut cursor = reader.from_seq(0).unwrap();
    let mut told = Vec::new();
    while let Some(record) = cursor.next_record().unwrap() {
        if record.kind == Some(domain::Kind::LedgerWitnessed) {
            told.push(record.body.unwrap().detail.unwrap());
        }
    }
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("cosign;") && told[1].contains("fewer") && told[2].contains("again"));
}

#[tokio::test]
async fn with_warn_records_go_on_and_another_s_suspension_is_not_lifted() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let here = Here::new(outside.open());
    here.down.store(true, Ordering::SeqCst);
    let mut follower = follower(&bench, &ledger, &[&here], Policy { stops: false, ..STOP });
    grow(&ledger, 1).await;
    follower.turn().await;
    bench.clock.advance(61_000);
    assert!(follower.turn().await.behind);
    ledger.append(vec![entry(1)]).await.unwrap();
    ledger.suspend("the locked copy", "it lags");
    here.down.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ledger.checkpoint().await.unwrap();
    assert!(!follower.turn().await.behind);
    assert_eq!(ledger.append(vec![entry(2)]).await, Err(LedgerFault::Suspended));
    ledger.resume("the locked copy");
    ledger.append(vec![entry(2)]).await.unwrap();
}

#[tokio::test]
async fn a_restart_makes_no_late_witness_early() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let here = Here::new(outside.open());
    grow(&ledger, 1).await;
    follower(&bench, &ledger, &[&here], STOP).turn().await;
    here.down.store(true, Ordering::SeqCst);
    grow(&ledger, 1).await;
    bench.clock.advance(61_000);
    assert!(follower(&bench, &ledger, &[&here], STOP).turn().await.behind);
}

#[tokio::test]
async fn a_quorum_is_so_many_different_witnesses() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outsides = [Outside::new(&bench), Outside::new(&bench), Outside::new(&bench)];
    let here = outsides.each_ref().map(|outside| Here::new(outside.open()));
    let policy = Policy { quorum: 2, ..STOP };
    let mut follower = follower(&bench, &ledger, &[&here[0], &here[1], &here[2]], policy);
    let note = grow(&ledger, 1).await;
    here[0].down.store(true, Ordering::SeqCst);
    // The second only repeats what the third said.
    here[1].lies(200, "\u{2014} witness.test/w1 AAAAAAAAAAAA\n");
    assert_eq!(follower.turn().await.size, 0, "one is no quorum");
    assert!(kept(&bench.dir()).unwrap().is_none());
    *here[1].lie.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let followed = follower.turn().await;
    assert_eq!((followed.size, followed.cosigned >= 2), (checkpoint(&note).size, true));
    let kept = Note::parse(&kept(&bench.dir()).unwrap().unwrap()).unwrap();
    let signers = outsides.iter().filter(|o| kept.cosigned_by(&o.key).is_some()).count();
    assert!(signers >= 2);
}

#[tokio::test]
async fn a_forged_cosignature_is_ignored() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let here = Here::new(outside.open());
    let mut follower = follower(&bench, &ledger, &[&here], STOP);
    let old = grow(&ledger, 1).await;
    let replayed = here.witness.add_checkpoint(&body(&bench.dir(), 0, &old)).body;
    grow(&ledger, 1).await;
    let huge = "\u{2014} witness.test/w1 AAAA\n".repeat(3000);
    for lie in [replayed.as_str(), "", "\n", "\u{2014} witness.test/w1 AAAAAAAA\n", &huge] {
        here.lies(200, lie);
        let before = here.asked.load(Ordering::SeqCst);
        let mut again = self::follower(&bench, &ledger, &[&here], STOP);
        assert_eq!((again.turn().await.size, again.turn().await.cosigned), (0, 0));
        assert!(here.asked.load(Ordering::SeqCst) > before);
    }
    for (status, body) in
        [(409, "x"), (409, "99999999999999999999\n"), (500, ""), (404, ""), (302, "")]
    {
        here.lies(status, body);
        let mut again = self::follower(&bench, &ledger, &[&here], STOP);
        assert_eq!(again.turn().await.size, 0, "{status} {body}");
        assert!(ledger.failure().is_none());
    }
    *here.lie.lock().unwrap() = None;
    assert!(follower.turn().await.size > 0);
}

#[tokio::test]
async fn a_ledger_of_which_a_witness_holds_more_signs_nothing_more() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let here = Here::new(outside.open());
    grow(&ledger, 1).await;
    ledger.close().await.unwrap();
    // The whole host is put back to an image of that moment: ledger, keys and checkpoints.
    let (image, rolled_back) = fork(&bench).await;
    let (ledger, _) = bench.open();
    let mut honest = follower(&bench, &ledger, &[&here], STOP);
    grow(&ledger, 20).await;
    assert!(honest.turn().await.size > 0);
    let mut follower = Follower::new(
        rolled_back.clone(),
        image.path().join("ledger"),
        vec![(outside.key.clone(), Arc::clone(&here) as Arc<dyn Carrier>)],
        Policy { stops: false, ..STOP },
        bench.clock.clone(),
    );
    follower.turn().await;
    assert!(rolled_back.failure().unwrap().contains("cut or rolled back"));
    let signed = rolled_back.latest_checkpoint();
    assert_eq!(rolled_back.append(vec![entry(1)]).await, Err(LedgerFault::Failed));
    assert_eq!(rolled_back.checkpoint().await, Err(LedgerFault::Failed));
    assert!(rolled_back.close().await.is_err());
    assert_eq!(rolled_back.latest_checkpoint(), signed);
    let on_disk = || std::fs::read_to_string(image.path().join("ledger/checkpoint")).unwrap();
    assert_eq!(on_disk(), signed);
    // Nor after another start.
    drop(follower);
    let mut options = bench.options();
    (options.dir, options.keys_dir) = (image.path().join("ledger"), image.path().join("keys"));
    let error = Ledger::open(options.clone()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::Rollback, "{error}");
    assert!(error.to_string().contains("Put the missing part back"), "{error}");
    assert_eq!(on_disk(), signed);
    // The missing part is put back: it is heard again.
    ledger.close().await.unwrap();
    for part in ["ledger", "keys"] {
        support::copy_dir(&bench.root.path().join(part), &image.path().join(part));
    }
    Ledger::open(options).unwrap().0.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_of_which_a_witness_holds_another_history_signs_nothing_more() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let here = Here::new(outside.open());
    grow(&ledger, 1).await;
    ledger.close().await.unwrap();
    let (copy, forked) = fork(&bench).await;
    let (ledger, _) = bench.open();
    let mut honest = follower(&bench, &ledger, &[&here], STOP);
    grow(&ledger, 3).await;
    honest.turn().await;
    grow(&forked, 30).await;
    let there = copy.path().join("ledger");
    let mut other = Follower::new(
        forked.clone(),
        there,
        vec![(outside.key.clone(), Arc::clone(&here) as Arc<dyn Carrier>)],
        STOP,
        bench.clock.clone(),
    );
    other.turn().await;
    assert!(forked.failure().unwrap().contains("another history"));
    drop((forked.close().await, other));
    let mut options = bench.options();
    (options.dir, options.keys_dir) = (copy.path().join("ledger"), copy.path().join("keys"));
    assert_eq!(Ledger::open(options).err().unwrap().trouble(), Trouble::Fork);
    assert!(ledger.failure().is_none());
    // The honest one goes on.
    grow(&ledger, 1).await;
    honest.turn().await;
    assert!(ledger.failure().is_none());
}

#[tokio::test]
async fn a_start_is_refused_when_the_log_is_smaller_or_other_than_the_witnessed_checkpoint() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let outside = Outside::new(&bench);
    let here = Here::new(outside.open());
    grow(&ledger, 3).await;
    ledger.close().await.unwrap();
    let (image, rolled_back) = fork(&bench).await;
    rolled_back.close().await.unwrap();
    let (ledger, _) = bench.open();
    let mut follower = follower(&bench, &ledger, &[&here], STOP);
    grow(&ledger, 30).await;
    assert!(follower.turn().await.size > 0);
    ledger.close().await.unwrap();
    // Everything is put back but the witnessed checkpoint.
    let witnessed = bench.dir().join("checkpoint.witnessed");
    let there = image.path().join("ledger");
    std::fs::copy(&witnessed, there.join("checkpoint.witnessed")).unwrap();
    let mut options = bench.options();
    (options.dir, options.keys_dir) = (there.clone(), image.path().join("keys"));
    let error = Ledger::open(options.clone()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::Rollback, "{error}");
    let report = support::verify_dir(&there, &bench.key(), &[]);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(kinds(&report).contains(&GapKind::CheckpointAhead));
    // A history that went on differently, and is longer.
    std::fs::remove_file(there.join("checkpoint.witnessed")).unwrap();
    let (other, _) = Ledger::open(options.clone()).unwrap();
    grow(&other, 60).await;
    other.close().await.unwrap();
    std::fs::copy(&witnessed, there.join("checkpoint.witnessed")).unwrap();
    let error = Ledger::open(options.clone()).err().unwrap();
    assert_eq!(error.trouble(), Trouble::Fork, "{error}");
    let report = support::verify_dir(&there, &bench.key(), &[]);
    assert!(kinds(&report).contains(&GapKind::CheckpointFork));
    // All of the log deleted.
    for file in std::fs::read_dir(&there).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|e| e == "phl") || file.ends_with("checkpoint") {
            std::fs::remove_file(file).unwrap();
        }
    }
    std::fs::remove_file(image.path().join("keys/checkpoint")).unwrap();
    assert_eq!(Ledger::open(options).err().unwrap().trouble(), Trouble::Rollback);
    // The honest one opens.
    bench.open().0.close().await.unwrap();
}
