//! A backup is whole, sealed and readable or not there; a restore is a new stream that names the old
//! one, and is finished or changes nothing.
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
use std::time::{Duration, Instant};

use support::{Demo, tree};

const KEY_DOES_NOT_OPEN: i32 = 13;
const IN_USE: i32 = 20;

#[test]
fn a_backup_made_beside_the_server_is_restored_as_a_new_stream() {
    let mut demo = Demo::start();
    let file = demo.dir.path().join("backup");
    let file = file.to_str().unwrap();
    let made = demo.json(&["backup", file]);
    assert_eq!(made["bytes"].as_u64(), Some(fs::metadata(file).unwrap().len()));
    let whole = demo.json(&["backup", "--verify", file]);
    assert!(whole["rows"].as_u64().unwrap() > 8, "{whole}");
    assert!(demo.bad(&["backup", file], 2).contains("left alone"));
    let records = demo.records(&[]);
    assert!(records.iter().any(|record| record["kind"] == "backup.made"));
    // None of the keys is in it, wrapped or not, but the wrapped root key: and that is sealed.
    let bytes = fs::read(file).unwrap();
    for (path, key) in tree(&demo.path("keys")) {
        if path.extension().is_some_and(|e| e == "key") {
            let found = bytes.windows(key.len()).any(|window| window == key);
            assert!(!found, "{}", path.display());
        }
    }
    // What came after the backup is not in it.
    let late = demo.secret("late", "a long enough password\n");
    let add = ["user", "add", "late", "--name", "Late", "--role", "clinician"];
    let added = std::process::Command::new(env!("CARGO_BIN_EXE_phiward"))
        .args(add)
        .arg("-c")
        .arg(demo.path("phiward.toml"))
        .stdin(fs::File::open(&late).unwrap())
        .status()
        .unwrap();
    assert!(added.success());

    assert!(demo.bad(&["restore", file], IN_USE).contains("server stopped"));
    demo.stop();
    let before = tree(&demo.path(""));
    assert!(demo.bad(&["restore", file], 2).contains("--replace"));
    let restored = demo.json(&["restore", file, "--replace"]);
    assert_eq!(restored["stream"], 2);
    assert_ne!(tree(&demo.path("")), before);
    let sent = demo.dir.path().join("sent.ndjson");
    let config = fs::read_to_string(demo.path("phiward.toml")).unwrap();
    let to = format!("\n[[ledger.stream]]\nto = \"file:{}\"\nformat = \"fhir\"\n", sent.display());
    fs::write(demo.path("phiward.toml"), config + &to).unwrap();
    demo.serve();
    // Records of the new stream reach collectors, under ids that no record of the old one has.
    let since = Instant::now();
    let id = loop {
        let text = fs::read_to_string(&sent).unwrap_or_default();
        if let Some((line, _)) = text.split_once('\n') {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            break event["id"].as_str().unwrap().to_owned();
        }
        assert!(since.elapsed() < Duration::from_secs(60), "nothing is sent");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(id.starts_with("2-"), "{id}");
    let exported = demo.good(&["ledger", "export", "--format", "fhir"]);
    assert!(exported.lines().all(|line| line.contains("\"id\":\"2-")), "{exported}");
    let people = demo.good(&["user", "list"]);
    assert!(people.contains("amina") && !people.contains("late"), "{people}");
    // The new stream begins by naming the old one.
    let records = demo.records(&[]);
    let first = &records[0];
    assert_eq!((first["seq"].as_u64(), first["kind"].as_str()), (Some(0), Some("stream.opened")));
    let named = first["body"]["predecessor"].as_str().unwrap();
    assert!(named.starts_with("localhost:") && named.contains("/ledger\n"), "{named}");
    assert!(records.iter().any(|record| record["kind"] == "backup.restored"));
    demo.good(&["ledger", "verify", "--allow-unproven"]);
    // The old one stays readable and proves itself, against the note that the new one begins with.
    let old = demo.path("ledger.stream-1");
    let old = old.to_str().unwrap();
    let note = demo.secret("note", named);
    demo.good(&["ledger", "verify", "--dir", old, "--expect", &note]);
    let records = demo.records(&["--dir", old]);
    assert!(records.iter().any(|record| record["kind"] == "backup.made"));
    // What was put aside is no copy: that it was read stands in the stream that is written.
    let records = demo.records(&[]);
    let read = records.iter().any(|record| {
        let asked = record["body"]["query"].as_str().unwrap_or_default();
        record["kind"] == "ledger.read" && asked.ends_with("stream=1")
    });
    assert!(read, "{records:?}");
    // Once more: stream 3.
    let again = demo.dir.path().join("again");
    demo.good(&["backup", again.to_str().unwrap()]);
    demo.stop();
    let restored = demo.json(&["restore", again.to_str().unwrap(), "--replace"]);
    assert_eq!(restored["stream"], 3);
    demo.good(&["ledger", "verify", "--allow-unproven"]);
}

#[test]
fn a_backup_that_was_cut_changed_or_is_not_ours_is_refused_and_nothing_is_changed() {
    let mut demo = Demo::start();
    let file = demo.dir.path().join("backup");
    demo.good(&["backup", file.to_str().unwrap()]);
    demo.stop();
    let bytes = fs::read(&file).unwrap();
    let bent = demo.dir.path().join("bent");
    let bent_text = bent.to_str().unwrap();
    let before = tree(&demo.path(""));
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), Vec::new()),
        ("not ours".into(), b"SQLite format 3\0".repeat(100)),
        ("longer".into(), [bytes.as_slice(), b"x"].concat()),
        ("a head of four gigabytes".into(), {
            let mut head = bytes.clone();
            head[17..21].fill(0xff);
            head
        }),
    ];
    for cut in [5, 20, 60, bytes.len() / 2, bytes.len() - 1] {
        cases.push((format!("cut at {cut}"), bytes[..cut].to_vec()));
    }
    for at in [0, 18, 30, bytes.len() / 3, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        cases.push((format!("changed at {at}"), changed));
    }
    for (what, content) in cases {
        fs::write(&bent, content).unwrap();
        for args in [&["restore", bent_text, "--replace"][..], &["backup", "--verify", bent_text]] {
            let output = demo.run(args);
            let code = output.status.code();
            assert!(
                matches!(code, Some(1 | KEY_DOES_NOT_OPEN)),
                "{what}: {}",
                support::said(&output)
            );
        }
    }
    // Another installation's, and ours with another's key-encryption key.
    let other = Demo::start();
    let foreign = demo.dir.path().join("foreign");
    other.good(&["backup", foreign.to_str().unwrap()]);
    let text = demo.bad(&["restore", foreign.to_str().unwrap(), "--replace"], 1);
    assert!(text.contains("is of localhost:"), "{text}");
    assert_eq!(tree(&demo.path("")), before);
    let own = fs::read(demo.path("keys/kek.key")).unwrap();
    fs::copy(other.path("keys/kek.key"), demo.path("keys/kek.key")).unwrap();
    let text = demo.bad(&["restore", file.to_str().unwrap(), "--replace"], KEY_DOES_NOT_OPEN);
    assert!(text.contains("--kek"), "{text}");
    fs::write(demo.path("keys/kek.key"), own).unwrap();
    assert_eq!(tree(&demo.path("")), before);
}

#[test]
fn a_restore_that_was_cut_short_keeps_the_server_from_starting_and_is_finished_by_the_next() {
    let mut demo = Demo::start();
    let file = demo.dir.path().join("backup");
    let file = file.to_str().unwrap();
    demo.good(&["backup", file]);
    demo.stop();
    let note = fs::read_to_string(demo.path("ledger/checkpoint")).unwrap();
    let marker = serde_json::json!({ "stream": 2, "predecessor": note }).to_string();
    fs::write(demo.path("keys/restoring"), &marker).unwrap();
    assert!(demo.bad(&["serve"], 2).contains("run `phiward restore`"));
    // As if it had stopped after the ledger was put aside, and before its keys were.
    fs::rename(demo.path("ledger"), demo.path("ledger.stream-1")).unwrap();
    assert_eq!(demo.json(&["restore", file])["stream"], 2);
    demo.serve();
    demo.good(&["ledger", "verify", "--allow-unproven"]);
    let old = demo.path("ledger.stream-1");
    assert!(!demo.records(&["--dir", old.to_str().unwrap()]).is_empty());
}

#[test]
fn an_older_backup_opens_with_the_retired_key_and_a_lost_host_is_rebuilt_from_it() {
    let mut demo = Demo::start();
    let file = demo.dir.path().join("backup");
    let file = file.to_str().unwrap();
    demo.good(&["backup", file]);
    let old_kek = demo.secret("old-kek", &fs::read_to_string(demo.path("keys/kek.key")).unwrap());
    demo.good(&["key", "rotate"]);
    fs::remove_file(demo.path("keys/kek.key.retired-1")).unwrap();
    demo.bad(&["backup", "--verify", file], KEY_DOES_NOT_OPEN);
    demo.good(&["backup", "--verify", file, "--kek", &old_kek]);
    demo.stop();
    // All that is left are the backup, the two key-encryption keys, and the configuration in it.
    let saved = demo.dir.path().join("saved.toml");
    demo.good(&["restore", file, "--kek", &old_kek, "--write-config", saved.to_str().unwrap()]);
    assert_eq!(fs::read(&saved).unwrap(), fs::read(demo.path("phiward.toml")).unwrap());
    let kek = fs::read(demo.path("keys/kek.key")).unwrap();
    for gone in ["ledger", "keys", "data"] {
        fs::remove_dir_all(demo.path(gone)).unwrap();
    }
    fs::create_dir(demo.path("keys")).unwrap();
    let kek_file = demo.secret("kek", std::str::from_utf8(&kek).unwrap());
    fs::copy(kek_file, demo.path("keys/kek.key")).unwrap();
    assert_eq!(demo.json(&["restore", file, "--kek", &old_kek])["stream"], 2);
    demo.serve();
    assert!(demo.good(&["user", "list"]).contains("amina"));
    demo.good(&["ledger", "verify", "--allow-unproven"]);
}
