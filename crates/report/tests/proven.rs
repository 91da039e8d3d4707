//! Proofs over a real ledger: they verify outside of it, and what is missing, added or changed has none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use domain::{Clock, Kind, Outcome, Reject, ResourceType, Timestamp};
use keys::custody::{Custody, FileKek};
use keys::{Random, SystemRandom};
use ledger::note::VerifierKey;
use ledger::read::Reader;
use ledger::tree::{Hash, verify_inclusion};
use ledger::{Entry, Field, Ledger, LedgerOptions};
use report::{Claim, Disclosures, Period, Proof, ProveError, Recount};
use support::{directory, id, release};

const ORIGIN: &str = "test.example/ledger";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(support::START)
    }
}

struct Bench {
    dir: tempfile::TempDir,
    custody: Arc<dyn Custody>,
}

impl Bench {
    /// Twelve releases about three patients and a refusal about each.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let kek = dir.path().join("kek");
        let custody: Arc<dyn Custody> = Arc::new(FileKek::create(&kek, random).unwrap());
        let bench = Self { dir, custody };
        let options = LedgerOptions::new(
            bench.ledger(),
            bench.keys(),
            ORIGIN,
            Arc::clone(&bench.custody),
            Arc::new(Fixed),
            Arc::new(SystemRandom),
        );
        let (ledger, _) = Ledger::open(options).unwrap();
        for n in 0..12 {
            let patient = support::PATIENTS[n % 3];
            let body = release(0, 0, patient, "app", &[ResourceType::Observation]).body.unwrap();
            ledger.append(vec![Entry::new(Kind::PhiRelease, body.clone())]).await.unwrap();
            let denied = Entry {
                kind: Kind::PhiDenied,
                outcome: Outcome::Refused(Reject::OutOfReach),
                body,
            };
            ledger.append(vec![denied]).await.unwrap();
        }
        ledger.close().await.unwrap();
        bench
    }

    fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.ledger(), &self.keys(), ORIGIN, 1, Arc::clone(&self.custody))
    }

    fn key(&self) -> VerifierKey {
        let text = std::fs::read_to_string(self.keys().join("stable.vkey")).unwrap();
        VerifierKey::parse(text.trim()).unwrap()
    }

    /// A report about one patient; `spoil` has the last word on what was read and is listed.
    fn proven(
        &self,
        patient: &str,
        spoil: impl FnOnce(&mut BTreeSet<u64>, &mut Vec<u64>),
    ) -> Result<Proof, ProveError> {
        let mut reader = self.reader();
        let about = Some((Field::Patient, patient));
        let period = Period::default();
        let recount = Recount::begin(&self.ledger(), &mut reader, &self.key(), about, period)?;
        let now = Timestamp::from_millis(support::START);
        let mut fold = Disclosures::new(id(patient), false, Vec::new(), now).keeping_records();
        let mut read = BTreeSet::new();
        let mut cursor = reader.from_seq(0).unwrap().only(Field::Patient, patient);
        while let Some(record) = cursor.next_record().unwrap() {
            read.insert(record.seq);
            fold.take(&record);
        }
        let mut listed = fold.finish(period, &directory()).records();
        let count = read.len() as u64;
        spoil(&mut read, &mut listed);
        recount.prove(&Claim { read: &read, count, listed: &listed })
    }
}

fn hash(hex: &str) -> Hash {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

#[tokio::test]
async fn every_listed_record_has_a_proof_that_verifies_against_the_signed_root() {
    let bench = Bench::new().await;
    let proof = bench.proven("pat-b", |_, _| {}).unwrap();
    assert_eq!((proof.tagged, proof.listed, proof.inclusions.len()), (Some(8), 4, 4));
    let root = hash(&proof.root);
    for evidence in &proof.inclusions {
        let path: Vec<Hash> = evidence.path.iter().map(|step| hash(step)).collect();
        let leaf = hash(&evidence.leaf);
        assert!(verify_inclusion(&leaf, evidence.index, proof.leaves, &path, &root));
        let mut other = leaf;
        other[0] ^= 1;
        assert!(!verify_inclusion(&other, evidence.index, proof.leaves, &path, &root));
    }
    assert!(proof.checkpoint.starts_with(ORIGIN));
    assert!(proof.statement.contains("8 of them carry"), "{}", proof.statement);
}

#[tokio::test]
async fn a_patient_never_seen_is_proven_to_have_no_record() {
    let bench = Bench::new().await;
    let proof = bench.proven("nobody", |_, _| {}).unwrap();
    assert_eq!((proof.tagged, proof.listed), (Some(0), 0));
    assert_eq!(proof.records_in_period, 26);
}

#[tokio::test]
async fn a_report_that_missed_or_invented_a_record_has_no_proof() {
    let bench = Bench::new().await;
    let missed = bench.proven("pat-a", |read, _| {
        read.pop_first();
    });
    assert!(matches!(missed, Err(ProveError::Missed { count: 1 })), "{missed:?}");
    let strange = bench.proven("pat-a", |read, _| {
        read.insert(3);
    });
    assert!(matches!(strange, Err(ProveError::Unconfirmed)), "{strange:?}");
    let another = bench.proven("pat-a", |_, listed| listed.push(4));
    assert!(matches!(another, Err(ProveError::Unconfirmed)), "{another:?}");
    // Of a report about everybody, the number must be right.
    let count = |count: u64| {
        let mut reader = bench.reader();
        let period = Period::default();
        let key = bench.key();
        let begun = Recount::begin(&bench.ledger(), &mut reader, &key, None, period).unwrap();
        begun.prove(&Claim { read: &BTreeSet::new(), count, listed: &[1] })
    };
    assert!(count(26).is_ok());
    assert!(matches!(count(25), Err(ProveError::Missed { count: 1 })));
    assert!(matches!(count(27), Err(ProveError::Unconfirmed)));
}

#[tokio::test]
async fn a_ledger_that_lost_or_changed_a_record_proves_nothing() {
    let bench = Bench::new().await;
    let segment = std::fs::read_dir(bench.ledger())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_file() && std::fs::read(path).unwrap().starts_with(b"PHWSEG1\n"))
        .unwrap();
    let whole = std::fs::read(&segment).unwrap();
    let batches: Vec<usize> =
        whole.windows(4).enumerate().filter(|(_, w)| w == b"PHWB").map(|(at, _)| at).collect();
    // One batch cut out of the middle, and one bit changed in another.
    let cut = [&whole[..batches[5]], &whole[batches[6]..]].concat();
    let mut changed = whole.clone();
    changed[batches[5] + 150] ^= 1;
    for bytes in [cut, changed] {
        std::fs::write(&segment, bytes).unwrap();
        assert!(bench.proven("pat-c", |_, _| {}).is_err());
    }
    std::fs::write(&segment, &whole).unwrap();
    assert!(bench.proven("pat-c", |_, _| {}).is_ok());
    // A checkpoint of somebody else's key.
    let other = Bench::new().await;
    let mut reader = bench.reader();
    let foreign =
        Recount::begin(&bench.ledger(), &mut reader, &other.key(), None, Period::default());
    assert!(foreign.is_err());
}
