//! Tiles: proofs from them are right or refused, whatever is done to them.

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

use std::path::{Path, PathBuf};

use ledger::note::{Checkpoint, Note};
use ledger::proof::{self, Inclusion, ProofError, Prover, Receipt};
use ledger::tree::{Frontier, Hash, ProofBuilder, leaf_hash};
use ledger::{Entry, Ledger, tile};
use support::{Bench, batches, entry};

/// Every leaf's hash, read from the segments by hand.
fn leaves(bench: &Bench) -> Vec<Hash> {
    let mut found = Vec::new();
    for segment in bench.segments() {
        let bytes = std::fs::read(segment).unwrap();
        for (at, len) in batches(&bytes) {
            let batch = &bytes[at..at + len];
            found.push(leaf_hash(&batch[..113]));
            let mut rest = &batch[113..len - 80];
            while !rest.is_empty() {
                let tokens = usize::from(rest[24]) * 16;
                let body = usize::from(u16::from_be_bytes([rest[25 + tokens], rest[26 + tokens]]));
                let (leaf, after) = rest.split_at(27 + tokens + body + 16);
                found.push(leaf_hash(leaf));
                rest = after;
            }
        }
    }
    found
}

async fn fill(ledger: &Ledger, records: u32, each: u32) {
    let entries: Vec<Entry> = (0..records).map(entry).collect();
    for some in entries.chunks(each as usize) {
        ledger.append(some.to_vec()).await.unwrap();
    }
}

/// A closed log of this many records in batches of some.
async fn log(bench: &Bench, records: u32, each: u32) {
    let (ledger, _) = bench.open();
    fill(&ledger, records, each).await;
    ledger.close().await.unwrap();
}

fn head(text: &str) -> Checkpoint {
    Checkpoint::parse(Note::parse(text).unwrap().text()).unwrap()
}

fn every_proof_is_right(bench: &Bench) -> Prover {
    proofs_are_right(bench, 1)
}

/// That the proof of every so manieth record is the one that the leaves give, and holds.
fn proofs_are_right(bench: &Bench, step: u64) -> Prover {
    let leaves = leaves(bench);
    let key = bench.key();
    let mut prover = Prover::open(&bench.dir()).unwrap();
    let size = prover.size();
    let mut seq = 0;
    loop {
        let proof = match prover.inclusion(seq) {
            Ok(proof) => proof,
            Err(ProofError::NoRecord) => break,
            Err(other) => panic!("{seq}: {other}"),
        };
        let mut builder = ProofBuilder::inclusion(proof.index, size).unwrap();
        for (index, leaf) in (0..size).zip(&leaves) {
            builder.leaf(index, *leaf);
        }
        assert_eq!(proof.path, builder.finish().unwrap());
        assert_eq!(proof.leaf, leaves[usize::try_from(proof.index).unwrap()]);
        assert!(proof.holds(&key));
        seq += step;
    }
    assert!(seq > 0);
    prover
}

fn tiles(dir: &Path) -> Vec<PathBuf> {
    support::files(&dir.join("tile"))
}

#[tokio::test]
async fn proofs_from_tiles_are_those_from_leaves() {
    let bench = Bench::in_memory();
    log(&bench, 900, 7).await;
    let mut prover = every_proof_is_right(&bench);
    assert_eq!(prover.mended(), 0);
    assert!(matches!(prover.inclusion(u64::MAX), Err(ProofError::NoRecord)));
    assert!(matches!(prover.inclusion_at(0, prover.size()), Err(ProofError::NoRecord)));
    let names: Vec<String> = tiles(&bench.dir())
        .iter()
        .map(|path| path.strip_prefix(bench.dir()).unwrap().display().to_string())
        .collect();
    let expected = ["tile/0/000", "tile/0/001", "tile/0/002", "tile/0/003", "tile/0/004.edge"];
    assert_eq!(names[..5], expected, "{names:?}");
    assert_eq!(names[5..], ["tile/1/000.edge"]);
}

#[tokio::test]
async fn a_damaged_missing_short_long_or_foreign_tile_is_mended_from_the_segments() {
    let bench = Bench::in_memory();
    log(&bench, 900, 7).await;
    let other = Bench::in_memory();
    log(&other, 900, 7).await;
    let good: Vec<(PathBuf, Vec<u8>)> =
        tiles(&bench.dir()).into_iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect();
    let own = |path: &Path| path.strip_prefix(bench.dir()).unwrap().to_owned();
    for (path, content) in &good {
        let mut flipped = content.clone();
        flipped[content.len() / 2] ^= 1;
        let foreign = std::fs::read(other.dir().join(own(path))).unwrap();
        let longer = [content.as_slice(), &[0; 32]].concat();
        let wrongs: [Option<&[u8]>; 6] = [
            Some(&flipped),
            None,
            Some(&content[..content.len() - 1]),
            Some(&longer),
            Some(b""),
            Some(&foreign),
        ];
        for wrong in wrongs {
            match wrong {
                Some(bytes) => std::fs::write(path, bytes).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
            proofs_are_right(&bench, 61);
            if path.extension().is_none() {
                assert!(
                    std::fs::read(path).unwrap() == *content,
                    "{} is not mended",
                    path.display()
                );
            } else {
                std::fs::write(path, content).unwrap();
            }
        }
    }
    // All at once.
    std::fs::remove_dir_all(bench.dir().join("tile")).unwrap();
    assert_eq!(proofs_are_right(&bench, 61).mended(), 4);
    for (path, _) in &good {
        let _ = std::fs::remove_file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }
    proofs_are_right(&bench, 61);
    for (path, _) in &good {
        let _ = std::fs::remove_file(path);
        std::fs::create_dir_all(path).unwrap();
    }
    proofs_are_right(&bench, 61);
}

#[tokio::test]
async fn a_tile_cannot_be_mended_from_a_damaged_segment() {
    let bench = Bench::in_memory();
    log(&bench, 900, 7).await;
    let first = &bench.segments()[0];
    let mut bytes = std::fs::read(first).unwrap();
    let (at, len) = batches(&bytes)[3];
    // A record is changed, and the checksum made right again.
    bytes[at + 300] ^= 1;
    let crc = crc32c::crc32c(&bytes[at..at + len - 4]).to_be_bytes();
    bytes[at + len - 4..at + len].copy_from_slice(&crc);
    std::fs::write(first, &bytes).unwrap();
    let mut prover = Prover::open(&bench.dir()).unwrap();
    let changed = (1..900).filter(|seq| prover.inclusion(*seq).is_err()).count();
    assert_eq!(changed, 1);
    // Without its tile, none of its neighbours can be proven, and no tile of the forged leaf is made.
    let tile = bench.dir().join("tile/0/000");
    std::fs::remove_file(&tile).unwrap();
    let mut prover = Prover::open(&bench.dir()).unwrap();
    assert!(matches!(prover.inclusion(1), Err(ProofError::Damaged)));
    assert!(prover.inclusion(890).is_ok());
    assert!(!tile.exists());
    std::fs::remove_dir_all(bench.dir().join("tile")).unwrap();
    assert!(matches!(Prover::open(&bench.dir()), Err(ProofError::Damaged)));
}

#[tokio::test]
async fn consistency_is_proven_for_this_history_only() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    let mut olds = vec![ledger.latest_checkpoint()];
    for _ in 0..12 {
        fill(&ledger, 70, 9).await;
        olds.push(ledger.checkpoint().await.unwrap());
    }
    ledger.close().await.unwrap();
    let key = bench.key();
    let leaves = leaves(&bench);
    for old in &olds {
        let proof = proof::consistency(&bench.dir(), old).unwrap();
        let size = head(&proof.checkpoint).size;
        let mut builder = ProofBuilder::consistency(proof.old, size).unwrap();
        (0..).zip(&leaves).for_each(|(index, leaf)| builder.leaf(index, *leaf));
        assert_eq!(proof.path, builder.finish().unwrap());
        assert!(proof.holds(old, &key));
        let json = serde_json::to_string(&proof).unwrap();
        assert_eq!(proof::Consistency::parse(&json), Some(proof));
    }
    let real = head(&olds[5]);
    let text = |head: Checkpoint| format!("{}\n\u{2014} x AAAAAAA=\n", head.text());
    let cases = [
        (Checkpoint { root: [7; 32], ..real.clone() }, "another history"),
        (Checkpoint { origin: "example.org/other".into(), ..real.clone() }, "another log"),
        (Checkpoint { size: 0, ..real.clone() }, "not of a smaller"),
        (Checkpoint { size: u64::MAX, ..real }, "not of a smaller"),
    ];
    for (head, expected) in cases {
        let error = proof::consistency(&bench.dir(), &text(head)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_proof_reads_back_and_a_bent_one_proves_nothing() {
    let bench = Bench::in_memory();
    log(&bench, 300, 5).await;
    let key = bench.key();
    let proof = proof::inclusion(&bench.dir(), 77).unwrap();
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(Inclusion::parse(&json), Some(proof.clone()));
    let other = Bench::in_memory();
    log(&other, 300, 5).await;
    assert!(proof.holds(&key) && !proof.holds(&other.key()));
    let foreign = proof::inclusion(&other.dir(), 77).unwrap();
    let mut bent = vec![
        Inclusion { index: proof.index + 1, ..proof.clone() },
        Inclusion { leaf: foreign.leaf, ..proof.clone() },
        Inclusion { checkpoint: foreign.checkpoint, ..proof.clone() },
        Inclusion { path: proof.path[1..].to_vec(), ..proof.clone() },
        Inclusion { path: [proof.path.as_slice(), &[[0; 32]]].concat(), ..proof.clone() },
    ];
    for place in 0..proof.path.len() {
        let mut one = proof.clone();
        one.path[place][31] ^= 1;
        bent.push(one);
    }
    assert!(bent.iter().all(|proof| !proof.holds(&key)));
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        &json.replace("\"leaf\":\"", "\"leaf\":\"A"),
        json.trim_start_matches('{'),
    ] {
        assert_eq!(Inclusion::parse(bad), None);
    }
    assert_eq!(Inclusion::parse(&format!("{json}{}", " ".repeat(200_000))), None);
}

#[tokio::test]
async fn tiles_lost_in_a_crash_are_caught_up_at_the_next_start() {
    let bench = Bench::in_memory();
    log(&bench, 700, 3).await;
    let whole = tiles(&bench.dir());
    // As if the last tiles, or all, had never reached the disk.
    for lost in [vec!["tile/0/003.edge", "tile/1/000.edge"], vec!["tile/0/002"], vec!["tile"]] {
        for name in lost {
            let path = bench.dir().join(name);
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            gone.unwrap();
        }
        log(&bench, 10, 10).await;
        let mut prover = proofs_are_right(&bench, 61);
        assert!(prover.mended() <= 1);
        assert!(prover.inclusion(5).is_ok());
    }
    assert!(tiles(&bench.dir()).len() >= whole.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_proven_as_soon_as_it_is_durable_and_asking_signs_no_more_than_it_must() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    let key = bench.key();
    let before = head(&ledger.latest_checkpoint()).size;
    let places = ledger.append(vec![entry(1), entry(2)]).await.unwrap();
    let places: Vec<_> = places.iter().map(|place| (place.seq, place.leaf)).collect();
    let receipt = ledger.prove(places.clone()).await.unwrap();
    assert!(receipt.holds(&key));
    assert_eq!(receipt.records.iter().map(|one| (one.seq, one.index)).collect::<Vec<_>>(), places);
    assert!(head(&receipt.checkpoint).size > before);
    let json = serde_json::to_string(&receipt).unwrap();
    assert_eq!(Receipt::parse(&json).as_ref(), Some(&receipt));
    let mut bent = receipt.clone();
    bent.records[1].leaf = bent.records[0].leaf;
    assert!(!bent.holds(&key) && !Receipt { records: Vec::new(), ..receipt }.holds(&key));
    // What is covered is not signed for again.
    fill(&ledger, 300, 9).await;
    let signed = ledger.latest_checkpoint();
    assert_eq!(ledger.prove(places).await.unwrap().checkpoint, signed);
    // Sixteen at once, each with a record of its own.
    let began = std::time::Instant::now();
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let place = ledger.append(vec![entry(number)]).await.unwrap()[0];
                ledger.prove(vec![(place.seq, place.leaf)]).await.unwrap()
            })
        })
        .collect();
    let mut notes = std::collections::BTreeSet::new();
    for task in tasks {
        let proof = task.await.unwrap();
        assert!(proof.holds(&key));
        notes.insert(proof.checkpoint);
    }
    let turns = began.elapsed().as_millis() / 250 + 2;
    assert!(notes.len() as u128 <= turns, "{} signed in {turns} turns", notes.len());
    // No such leaf; no leaf at all; a ledger that is closed.
    assert!(ledger.prove(vec![(0, u64::MAX)]).await.is_err());
    assert!(ledger.prove(Vec::new()).await.unwrap().records.is_empty());
    ledger.close().await.unwrap();
    assert!(ledger.prove(vec![(0, 1)]).await.unwrap().holds(&key));
    assert!(ledger.prove(vec![(0, 1_000_000)]).await.is_err());
}

#[tokio::test]
async fn completed_tiles_prove_what_the_dropped_segments_held() {
    let bench = Bench::in_memory();
    let (ledger, _) = bench.open();
    fill(&ledger, 1_200, 7).await;
    let old = ledger.checkpoint().await.unwrap();
    let place = ledger.append(vec![entry(1)]).await.unwrap()[0];
    fill(&ledger, 1_200, 7).await;
    ledger.close().await.unwrap();
    assert!(bench.segments().len() > 2, "{}", bench.segments().len());
    std::fs::remove_file(bench.dir().join("tile/0/001")).unwrap();
    let mut told = 0;
    let done = tile::complete(&bench.dir(), &mut |leaves| told = leaves).unwrap();
    assert_eq!((done.mended, done.tiles), (1, done.size / 256));
    assert_eq!(told, done.size / 256 * 256);
    std::fs::remove_file(&bench.segments()[0]).unwrap();
    let key = bench.key();
    let mut prover = Prover::open(&bench.dir()).unwrap();
    assert!(prover.consistency(&old).unwrap().holds(&old, &key));
    assert!(prover.inclusion_at(3, 4).unwrap().holds(&key));
    assert!(matches!(prover.inclusion(3), Err(ProofError::Dropped)));
    assert!(prover.inclusion(place.seq + 1_000).unwrap().holds(&key));
    // Without the segment, a tile of it that is damaged now is not mended and not believed.
    std::fs::write(bench.dir().join("tile/0/001"), [0; 8192]).unwrap();
    assert!(tile::complete(&bench.dir(), &mut |_| {}).is_err());
    let mut prover = Prover::open(&bench.dir()).unwrap();
    assert!(matches!(prover.inclusion_at(0, 300), Err(ProofError::Dropped)));
    assert!(prover.inclusion_at(3, 4).unwrap().holds(&key));
}

#[tokio::test]
async fn an_empty_directory_has_no_proofs() {
    let empty = tempfile::TempDir::new().unwrap();
    assert!(matches!(Prover::open(empty.path()), Err(ProofError::NoCheckpoint)));
    let bench = Bench::in_memory();
    log(&bench, 10, 1).await;
    std::fs::copy(bench.dir().join("checkpoint"), empty.path().join("checkpoint")).unwrap();
    assert!(matches!(Prover::open(empty.path()), Err(ProofError::Damaged)));
}

#[test]
fn the_frontier_of_nothing_has_the_root_of_nothing() {
    assert_eq!(Frontier::new().root(), keys::sha256(&[]));
}
