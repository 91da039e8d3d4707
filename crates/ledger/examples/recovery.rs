//! How fast a start walks a log: `cargo run --release -p phiward-ledger --example recovery [MEGABYTES]`.
//! The checkpoints are put back to the first one, so that all of the log is walked; a real start
//! walks what came after the last, which is signed every five seconds.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement"
)]

use std::sync::Arc;
use std::time::Instant;

use domain::{Clock, FhirId, Kind, Timestamp};
use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::{Body, Entry, Ledger, LedgerOptions};

struct Steady(Instant);

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_795_514_400_000 + passed)
    }
}

fn entry(number: u32) -> Entry {
    let body = Body {
        subject: Some("p_amina".into()),
        patient: FhirId::parse(&format!("patient-{}", number % 5000)).ok(),
        interaction: Some("search-type".into()),
        body_sha256: Some([7; 32]),
        address: "203.0.113.7".parse().ok(),
        count: Some(number),
        ..Body::default()
    };
    Entry::new(Kind::PhiRelease, body)
}

/// What this thread has had of a processor: on a busy machine the clock measures the others.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let megabytes =
        std::env::args().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(200);
    let root = tempfile::TempDir::new().unwrap();
    let custody = FileKek::create(&root.path().join("kek"), Arc::new(SystemRandom)).unwrap();
    let options = LedgerOptions::new(
        root.path().join("ledger"),
        root.path().join("keys"),
        "phiward.test/ledger",
        Arc::new(custody),
        Arc::new(Steady(Instant::now())),
        Arc::new(SystemRandom),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (ledger, _) = Ledger::open(options.clone()).unwrap();
    let first = ledger.latest_checkpoint();
    let bytes = || -> u64 {
        std::fs::read_dir(&options.dir)
            .unwrap()
            .map(|file| file.unwrap())
            .filter(|file| file.path().extension().is_some_and(|end| end == "phl"))
            .map(|file| file.metadata().unwrap().len())
            .sum()
    };
    let mut number = 0;
    while bytes() < megabytes << 20 {
        for _ in 0..50 {
            runtime.block_on(ledger.append((0..64).map(|n| entry(number + n)).collect())).unwrap();
            number += 64;
        }
    }
    runtime.block_on(ledger.close()).unwrap();
    let size = bytes();
    for dir in [&options.dir, &options.keys_dir] {
        std::fs::write(dir.join("checkpoint"), &first).unwrap();
    }
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let (ledger, opened) = Ledger::open(options.clone()).unwrap();
    let (took, cpu) = (begun.elapsed(), cpu_seconds() - cpu);
    runtime.block_on(ledger.close()).unwrap();
    let per = 100e6 / size as f64;
    println!(
        "{size} bytes, {} records: {:.3} s for 100 MB by the clock, {:.3} s of processor time",
        opened.records,
        took.as_secs_f64() * per,
        cpu * per
    );
}
