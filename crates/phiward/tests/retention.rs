//! Holds and shredding from the command line: two officers, nothing early, nothing held, and a ledger
//! that verifies afterwards.
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
use std::process::{Command, Stdio};
use std::sync::Arc;

use domain::{Clock, FhirId, Kind, Timestamp};
use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::{Body, Entry, Ledger, LedgerOptions};
use support::{Demo, tree};

const SECOND_PERSON: i32 = 18;
const NOT_ALLOWED: i32 = 19;
const HELD: i32 = 26;
const TOO_YOUNG: i32 = 27;

/// 2019-05-20T12:00:00Z.
struct Spring2019;

impl Clock for Spring2019 {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_558_353_600)
    }
}

/// A server with two officers, whose ledger began in May 2019.
fn old_house() -> Demo {
    let mut demo = Demo::start();
    let password = demo.secret("jon", "a long enough password\n");
    let added = Command::new(env!("CARGO_BIN_EXE_phiward"))
        .args(["user", "add", "jon", "--name", "Jon", "--role", "privacy_officer", "-c"])
        .arg(demo.path("phiward.toml"))
        .stdin(fs::File::open(&password).unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(added.success());
    demo.stop();
    fs::remove_dir_all(demo.path("ledger")).unwrap();
    fs::remove_dir_all(demo.path("keys/ledger")).unwrap();
    // The database remembers the stream that was just thrown away.
    let forget = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); \
                  base.execute('DELETE FROM ledger_streams'); base.commit()";
    let database = demo.path("data/phiward.db");
    let forgot = Command::new("python3").args(["-c", forget]).arg(database).status().unwrap();
    assert!(forgot.success());
    let issuer = demo.ready["issuer"].as_str().unwrap();
    let origin = format!("{}/ledger", issuer.trim_start_matches("https://"));
    let kek = FileKek::open(&demo.path("keys/kek.key"), Arc::new(SystemRandom)).unwrap();
    let options = LedgerOptions::new(
        demo.path("ledger"),
        demo.path("keys/ledger"),
        origin,
        Arc::new(kek),
        Arc::new(Spring2019),
        Arc::new(SystemRandom),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ledger, _) = Ledger::open(options).unwrap();
        for patient in ["pat-1", "pat-2"] {
            let patient = FhirId::parse(patient).ok();
            let body = Body { patient, ..Body::default() };
            ledger.append(vec![Entry::new(Kind::PhiRelease, body)]).await.unwrap();
        }
        ledger.close().await.unwrap();
    });
    demo.serve();
    demo
}

#[test]
fn what_is_past_its_retention_is_shredded_by_two_officers_unless_it_is_held() {
    let mut demo = old_house();
    let (officer, jon) = (demo.password("officer"), demo.secret("jon", "a long enough password\n"));
    let two = ["--officer", "officer", "--officer", "jon", "--password-file", &officer];
    let two = [&two[..], &["--password-file", &jon]].concat();
    let with = |args: &[&'static str]| [args, two.as_slice()].concat();
    let one = ["--officer", "officer", "--password-file", &officer];
    let month = ["ledger", "shred", "--period", "2019-05"];
    let key = demo.path("keys/ledger/period-201905.key");

    // Refusals, each with its own code; nothing is changed.
    let before = tree(&demo.path("keys/ledger"));
    demo.bad(&[&month[..], &one].concat(), SECOND_PERSON);
    let twice = ["--officer", "officer", "--password-file", &officer];
    demo.bad(&[&month[..], &twice, &twice].concat(), SECOND_PERSON);
    demo.bad(&month, SECOND_PERSON);
    let wrong = demo.secret("wrong", "not the password\n");
    let forged = ["--officer", "officer", "--officer", "jon", "--password-file", &officer];
    demo.bad(&[&month[..], &forged, &["--password-file", &wrong]].concat(), NOT_ALLOWED);
    let amina = demo.password("amina");
    let stranger = ["--officer", "officer", "--officer", "amina", "--password-file", &officer];
    demo.bad(&[&month[..], &stranger, &["--password-file", &amina]].concat(), NOT_ALLOWED);
    let young = demo.bad(&with(&["ledger", "shred", "--period", "2026-10"]), TOO_YOUNG);
    assert!(young.contains("2192 days"), "{young}");
    demo.bad(&with(&["ledger", "shred", "--period", "May 2019"]), 1);
    assert!(key.exists());
    let keys = |tree: Vec<(std::path::PathBuf, Vec<u8>)>| -> Vec<_> {
        tree.into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "key")).collect()
    };
    assert_eq!(keys(tree(&demo.path("keys/ledger"))), keys(before));

    // A hold keeps it.
    let held =
        demo.json(&with(&["ledger", "hold", "add", "--patient", "pat-1", "--reason", "case 1"]));
    assert_eq!(held["records"], 1);
    let (id, evidence) = (held["hold"].as_str().unwrap(), held["evidence"].as_str().unwrap());
    let list = demo.json(&["ledger", "hold", "list"]);
    assert_eq!(
        (list[0]["covers"].as_str(), list[0]["hold"].as_str()),
        (Some("patient=pat-1"), Some(id))
    );
    assert!(demo.bad(&with(&month), HELD).contains(id));
    let due = demo.json(&with(&["ledger", "shred", "--due"]));
    assert_eq!(
        (due["shredded"].as_array().unwrap().len(), due["held"][0]["hold"].as_str()),
        (0, Some(id))
    );
    assert!(key.exists());
    assert_eq!(demo.json(&["ledger", "hold", "show", evidence])["records"], 1);
    let shown = demo.good(&["ledger", "hold", "show", evidence, "--records", "--json"]);
    assert!(shown.contains("pat-1") && !shown.contains("pat-2"), "{shown}");

    // Released by two, it goes.
    demo.bad(&["ledger", "hold", "release", id, "--reason", "closed"], SECOND_PERSON);
    let release = ["ledger", "hold", "release"];
    demo.good(&[&release[..], &[id, "--reason", "closed"], &two].concat());
    demo.bad(&[&release[..], &["h_none", "--reason", "closed"], &two].concat(), 1);
    let gone = demo.json(&with(&month));
    assert_eq!(gone["shredded"][0]["month"], "2019-05");
    assert!(gone["shredded"][0]["segments"].as_u64().unwrap() > 0);
    assert!(!key.exists());
    assert!(demo.good(&with(&["ledger", "shred", "--due"])).contains("nothing to shred"));
    let verified = demo.good(&["ledger", "verify", "--allow-unproven"]);
    assert!(verified.contains("shredded: "), "{verified}");
    let records = demo.records(&[]);
    assert!(!records.iter().any(|record| record["body"]["patient"] == "pat-2"));
    let shreds: Vec<_> =
        records.iter().filter(|record| record["kind"] == "ledger.shredded").collect();
    assert_eq!(shreds.len(), 2);
    assert!(shreds[1]["body"]["approved_by"].as_str().unwrap().starts_with("p_"), "{shreds:?}");
    // The evidence still proves itself, and a changed one does not.
    assert_eq!(demo.json(&["ledger", "hold", "show", evidence])["records"], 1);
    let mut bytes = fs::read(evidence).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(evidence, bytes).unwrap();
    demo.bad(&["ledger", "hold", "show", evidence], 1);
    // It starts again without what is gone, and works without a server, too.
    demo.stop();
    assert!(demo.good(&with(&["ledger", "shred", "--due"])).contains("nothing to shred"));
    demo.serve();
    demo.good(&["ledger", "verify", "--allow-unproven"]);
}

#[test]
fn the_id_of_a_hold_is_taken_once_and_its_evidence_has_a_hash() {
    use std::io::{BufRead, BufReader, Write};
    let demo = Demo::start();
    let password = demo.secret("jon", "a long enough password\n");
    let added = Command::new(env!("CARGO_BIN_EXE_phiward"))
        .args(["user", "add", "jon", "--name", "Jon", "--role", "privacy_officer", "-c"])
        .arg(demo.path("phiward.toml"))
        .stdin(fs::File::open(&password).unwrap())
        .stdout(Stdio::null())
        .status();
    assert!(added.unwrap().success());
    let officer = fs::read_to_string(demo.password("officer")).unwrap();
    // As whoever may open the socket can ask, without this program.
    let place = |patient: &str, sha256: &str| {
        let command = serde_json::json!({
            "command": "work", "work": "hold_place",
            "hold": {
                "id": "h_1", "cover": format!("patient={patient}"), "reason": "r", "count": 0,
                "sha256": sha256,
            },
            "officers": [
                { "username": "officer", "password": officer.trim() },
                { "username": "jon", "password": "a long enough password" },
            ],
        });
        let mut socket =
            std::os::unix::net::UnixStream::connect(demo.path("data/admin.sock")).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).unwrap();
        answer
    };
    let hash = "0f".repeat(32);
    assert!(place("pat-1", "none").contains("refused"));
    assert!(place("pat-1", &hash).contains("done"));
    assert!(place("pat-2", &hash).contains("already"));
    let holds = demo.json(&["ledger", "hold", "list"]);
    assert_eq!(holds.as_array().unwrap().len(), 1, "{holds}");
}
