//! Searching the record: the index finds what a walk through all records finds, whatever hides or invents
//! something in it is caught, and it is only ever a cache.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;

use domain::{CorrelationId, FhirId, Kind, Outcome, Reject};
use ledger::{Body, Entry};
use serde_json::Value;
use store::LedgerIndex;
use store::ledger_index::{IndexRun, Place};
use support::{Demo, runtime, stderr, stdout};

const TIMES_CONTRADICT: i32 = 16;
const CORRELATION: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

fn entry(number: u64) -> Entry {
    let release = number % 4 != 3;
    let body = Body {
        subject: Some(format!("p_person-{}", number % 3)),
        client: Some(format!("app-{}", number % 2).parse_id()),
        patient: FhirId::parse(&format!("pat-{}", number % 10)).ok(),
        correlation: (number == 50).then(|| CorrelationId::parse(CORRELATION).unwrap()),
        count: Some(u32::try_from(number).unwrap()),
        ..Body::default()
    };
    if release {
        Entry::new(Kind::PhiRelease, body)
    } else {
        Entry { kind: Kind::PhiDenied, outcome: Outcome::Refused(Reject::OutOfReach), body }
    }
}

trait ParseId {
    fn parse_id(self) -> domain::ClientId;
}

impl ParseId for String {
    fn parse_id(self) -> domain::ClientId {
        domain::ClientId::parse(&self).unwrap()
    }
}

/// A stopped demo with these records appended, a few in each batch.
fn filled(records: u64, in_leaves: impl Fn(u64) -> bool) -> Demo {
    let mut demo = Demo::start();
    demo.stop();
    let mut number = 0;
    while number < records {
        let mut options = demo.ledger_options();
        options.tokens_in_leaves = in_leaves(number);
        runtime().block_on(async {
            let (ledger, _) = ledger::Ledger::open(options).unwrap();
            for batch in 0..25 {
                let some = 1 + batch % 3;
                let entries = (number..number + some).map(entry).collect();
                number += some;
                ledger.append(entries).await.unwrap();
            }
            ledger.close().await.unwrap();
        });
    }
    demo
}

/// The numbers that the search's records were made with.
fn found(demo: &Demo, args: &[&str]) -> Vec<u64> {
    let output = demo.ledger(&[&["search", "--json", "--limit", "100000"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    let lines = stdout(&output);
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let made = records.filter(|record| record["kind"].as_str().unwrap().starts_with("phi."));
    made.map(|record| record["body"]["count"].as_u64().unwrap()).collect()
}

fn verdict(demo: &Demo, args: &[&str]) -> (Option<i32>, Value) {
    let output = demo.ledger(&[&["search", "--json", "--prove"], args].concat());
    let last = stdout(&output).lines().last().expect("a verdict").to_owned();
    (output.status.code(), serde_json::from_str(&last).unwrap())
}

#[test]
fn every_filter_finds_what_it_names_alone_and_together_in_both_settings_of_the_tokens() {
    // The two settings alternate within one log.
    let demo = filled(120, |number| !(40..=80).contains(&number));
    let all = || 0..147_u64;
    let made = found(&demo, &["--since", "2000-01-01"]);
    assert_eq!(made, all().collect::<Vec<_>>());
    for (args, meets) in [
        (&["--patient", "pat-3"][..], &(|n: u64| n % 10 == 3) as &dyn Fn(u64) -> bool),
        (&["--patient", "Patient/pat-4"], &|n| n % 10 == 4),
        (&["--person", "p_person-1"], &|n| n % 3 == 1),
        (&["--client", "app-1"], &|n| n % 2 == 1),
        (&["--correlation", CORRELATION], &|n| n == 50),
        (&["--kind", "phi.denied"], &|n| n % 4 == 3),
        (&["--patient", "pat-3", "--kind", "phi.denied"], &|n| n % 10 == 3 && n % 4 == 3),
        (&["--patient", "pat-3", "--person", "p_person-0", "--client", "app-1"], &|n| {
            n % 10 == 3 && n % 3 == 0
        }),
        (&["--patient", "pat-3", "--client", "app-0"], &|_| false),
        (&["--patient", "never-seen"], &|_| false),
        (&["--patient", "pat-3", "--until", "2020-01-01"], &|_| false),
    ] {
        let expected: Vec<u64> = all().filter(|number| meets(*number)).collect();
        assert_eq!(found(&demo, args), expected, "{args:?}");
        assert_eq!(verdict(&demo, args).0, Some(0), "{args:?}");
    }
    let few = demo.ledger(&["search", "--client", "app-1", "--limit", "3"]);
    assert!(stderr(&few).contains("the newest 3 are shown"), "{}", stderr(&few));
    // The refusal behind a correlation id, as people read it.
    let story = demo.ledger(&["search", "--correlation", CORRELATION]);
    assert!(stdout(&story).contains("pat-0"), "{}", stdout(&story));
    // The search itself is on the record, and under its patient.
    let readings =
        demo.ledger(&["search", "--patient", "pat-3", "--kind", "ledger.read", "--json"]);
    let last: Value = serde_json::from_str(stdout(&readings).lines().last().unwrap()).unwrap();
    assert_eq!(last["body"]["query"], "patient=pat-3&kind=ledger.read");
}

#[test]
fn an_edited_index_is_caught_by_the_recount_and_made_again() {
    let demo = filled(60, |_| true);
    let args = ["--patient", "pat-3"];
    let (code, truth) = verdict(&demo, &args);
    assert_eq!((code, &truth["verdict"]), (Some(0), &"PASS".into()));
    let path = demo.path("data/ledger-index.db");
    // Whoever edits the index keeps its mark, so that it looks current.
    let forge = |run: &dyn Fn(u64) -> IndexRun| {
        runtime().block_on(async {
            let index = LedgerIndex::open(&path).await.unwrap();
            let mark = index.mark().await.unwrap().unwrap();
            index.clear().await.unwrap();
            assert!(index.append(None, run(mark.next_seq), &mark).await.unwrap());
            index.close().await;
        });
    };
    let place = |first_seq| Place { first_seq, segment: 1, offset: 233, time: 0 };
    let hides = move |_: u64| {
        let mut run = IndexRun::default();
        run.batch(place(0), 202_611);
        run
    };
    forge(&hides);
    assert_eq!(found(&demo, &args), Vec::<u64>::new(), "without a recount the lie is believed");
    forge(&hides);
    let (code, lie) = verdict(&demo, &args);
    assert_eq!((code, &lie["verdict"]), (Some(1), &"FAIL".into()));
    // What is on the record by now: the patient's own, and the searches for them.
    let hidden = lie["hidden"].as_array().unwrap().len();
    assert!(hidden > 6, "{lie}");
    assert_eq!(lie["invented"], Value::Array(Vec::new()));
    assert_eq!(verdict(&demo, &args).0, Some(0), "it was made again");

    // One that invents is caught even without a recount: what it names does not say so itself.
    let invents = move |next: u64| {
        let mut run = hides(0);
        (0..next).for_each(|seq| run.push(seq, Kind::BreakGlass.code(), &[]));
        run
    };
    forge(&invents);
    assert_eq!(found(&demo, &["--kind", "phi.break_glass"]), Vec::<u64>::new());
    forge(&invents);
    let (code, lie) = verdict(&demo, &["--kind", "phi.break_glass"]);
    assert_eq!((code, &lie["verdict"]), (Some(1), &"FAIL".into()));
    assert!(lie["invented"].as_array().unwrap().len() > 60);
    let text = {
        forge(&hides);
        demo.ledger(&["search", "--prove", "--patient", "pat-3"])
    };
    assert_eq!(text.status.code(), Some(1));
    assert!(stdout(&text).contains("the index hid record"), "{}", stdout(&text));
    assert_eq!(stdout(&text).lines().last(), Some("FAIL"));
}

#[test]
fn the_index_is_only_a_cache() {
    let demo = filled(60, |_| true);
    let args = ["--patient", "pat-3"];
    let truth = found(&demo, &args);
    assert!(truth.len() > 5);
    let path = demo.path("data/ledger-index.db");
    let good = fs::read(&path).unwrap();
    for (what, bytes) in [
        ("lost", None),
        ("empty", Some(Vec::new())),
        ("no database", Some(b"not a database, whatever its name".repeat(100))),
        ("cut", Some(good[..good.len() / 2].to_vec())),
        ("zeroed inside", Some([&good[..4096], &vec![0; good.len() - 4096]].concat())),
    ] {
        for suffix in ["", "-wal", "-shm"] {
            let _gone = fs::remove_file(format!("{}{suffix}", path.display()));
        }
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
        }
        assert_eq!(found(&demo, &args), truth, "{what}");
        assert_eq!(verdict(&demo, &args).0, Some(0), "{what}");
    }
    // Of another log.
    let other = filled(30, |_| true);
    found(&other, &args);
    fs::copy(other.dir.path().join("demo/data/ledger-index.db"), &path).unwrap();
    assert_eq!(found(&demo, &args), truth, "another log's");
    // A copy has none, and is looked through.
    let copy = demo.copy();
    let args = ["--patient", "pat-3", "--dir", copy.to_str().unwrap()];
    assert_eq!(found(&demo, &args), truth, "a copy");
}

#[test]
fn beside_a_running_server_the_newest_is_found_and_its_index_keeps_up_by_itself() {
    let demo = Demo::start();
    let output = demo.ledger(&["search", "--kind", "ledger.read", "--json", "--prove"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let own: Value = serde_json::from_str(stdout(&output).lines().next().unwrap()).unwrap();
    assert_eq!(own["body"]["interaction"], "ledger search");
    demo.ledger(&["show"]);
    let path = demo.path("data/ledger-index.db");
    let since = std::time::Instant::now();
    let kept_up = || {
        runtime().block_on(async {
            let index = LedgerIndex::open(&path).await.unwrap();
            let query = store::ledger_index::IndexQuery {
                kind: Some(Kind::LedgerRead.code()),
                ..Default::default()
            };
            let total = index.find(&query, 0).await.unwrap().total;
            index.close().await;
            total
        })
    };
    while kept_up() < 2 {
        assert!(since.elapsed().as_secs() < 20, "the server's task keeps it up");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn what_cannot_be_searched_for_is_refused_before_anything_is_read() {
    let mut demo = Demo::start();
    demo.stop();
    let refused = |args: &[&str], code: i32, said: &str| {
        let output = demo.ledger(&[&["search"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).trim_end().lines().count(), 1, "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    };
    let since = ["--since", "2026-11-25", "--until", "2026-11-24"];
    refused(&since, TIMES_CONTRADICT, "not after its beginning");
    refused(&["--kind", "phi.leak"], 2, "phi.release");
    refused(&[], 2, "--patient");
    refused(&["--patient", "a/b"], 2, "--patient");
    refused(&["--client", "../x"], 2, "--client");
    refused(&["--correlation", "a b"], 2, "--correlation");
    refused(&["--since", "yesterday"], 2, "2026-11-24T08:30:00Z");
    let long = "x".repeat(9_000);
    refused(&["--person", &long], 2, "too long");
}
