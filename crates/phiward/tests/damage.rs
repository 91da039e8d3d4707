//! A damaged log is read up to the damage and behind it, and never past it in silence; sealed records
//! leave only past the gate; the doctor and the metrics say what else is wrong around the ledger.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Demo, said};

const NOT_ALLOWED: i32 = 19;
const CORRUPT: i32 = 23;

fn copied(demo: &Demo) -> std::path::PathBuf {
    let copy = demo.dir.path().join("copy");
    let done = Command::new("cp").arg("-r").args([demo.path("ledger"), copy.clone()]).status();
    assert!(done.unwrap().success());
    copy
}

#[test]
fn a_damaged_log_is_shown_up_to_the_damage_and_behind_it_and_the_damage_is_named() {
    let mut demo = Demo::start();
    demo.stop();
    for _ in 0..3 {
        demo.good(&["ledger", "show", "--last", "1"]);
    }
    let copy = copied(&demo);
    let dir = copy.to_str().unwrap();
    let show =
        |more: &[&str]| demo.run(&[&["ledger", "show", "--json", "--dir", dir], more].concat());
    let seqs = |output: &std::process::Output| -> Vec<u64> {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|record| record["seq"].as_u64().unwrap()).collect()
    };
    let whole = seqs(&show(&["--last", "100000"]));
    assert!(whole.len() > 8);
    let files = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &std::path::PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with("segment-")
    };
    let segment = files.filter(is_segment).min().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let mut bent = bytes.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    fs::write(&segment, &bent).unwrap();
    let shown = demo.run(&["ledger", "show", "--json", "--dir", dir, "--last", "100000"]);
    let said = said(&shown);
    assert_eq!(shown.status.code(), Some(CORRUPT), "{said}");
    let line = said.lines().find(|line| line.starts_with("phiward:")).unwrap();
    assert!(line.contains("offset ") && line.contains(segment.to_str().unwrap()), "{line}");
    let before = seqs(&shown);
    assert!(whole.starts_with(&before) && before.len() < whole.len(), "{before:?}");
    // Behind it: the record that the line names, and the last of all.
    let (_, named) = line.split_once("--seq ").unwrap();
    let named = named.trim_end_matches(')');
    let last = whole.last().unwrap().to_string();
    for seq in [named, &last] {
        let one = show(&["--seq", seq]);
        assert!(one.status.success(), "{}", support::said(&one));
        assert_eq!(seqs(&one), [seq.parse::<u64>().unwrap()]);
    }
    // What lay in the damage is not there, and is not said to have never been.
    let lost = before.last().map_or(0, |seq| seq + 1).to_string();
    assert_eq!(show(&["--seq", &lost]).status.code(), Some(CORRUPT));
    assert!(show(&["--seq", "0"]).status.success());
    // A damaged header of a segment, and a segment that is missing, are no end either.
    let mut bent = bytes.clone();
    bent[10] ^= 1;
    fs::write(&segment, &bent).unwrap();
    assert_eq!(show(&["--last", "100000"]).status.code(), Some(CORRUPT));
    let first = show(&["--seq", "0"]);
    assert!(first.status.success(), "{}", support::said(&first));
    assert!(support::said(&first).contains("damaged before this record"));
    assert!(show(&["--seq", &last]).status.success());
    fs::write(&segment, &bytes).unwrap();
    let middle = copy.join(segment.file_name().unwrap().to_str().unwrap().replace("01.", "02."));
    assert!(middle.exists(), "each start begins a segment");
    let aside = demo.dir.path().join("aside");
    fs::rename(&middle, &aside).unwrap();
    let shown = show(&["--last", "100000"]);
    assert_eq!(shown.status.code(), Some(CORRUPT));
    assert!(support::said(&shown).contains(middle.to_str().unwrap()));
    fs::rename(&aside, &middle).unwrap();
    assert_eq!(seqs(&show(&["--last", "100000"])), whole);
    assert_eq!(show(&["--seq", "9999999"]).status.code(), Some(1));
}

/// The findings of the doctor that are not good, by check.
fn ills(demo: &Demo) -> Vec<(String, String, String)> {
    let output = demo.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}", said(&output));
    });
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let ills = found.as_array().unwrap().iter().filter(|finding| finding["state"] != "ok");
    ills.map(|ill| (text(ill, "check"), text(ill, "said"), text(ill, "mend"))).collect()
}

#[test]
fn the_doctor_knows_what_the_ledger_leans_on() {
    let mut demo = Demo::start();
    demo.stop();
    let usual: Vec<_> = ills(&demo).into_iter().map(|(check, ..)| check).collect();
    assert!(usual.iter().all(|check| !check.starts_with("ledger")), "{usual:?}");
    let ill = |check: &str, said: &str, mend: &str| {
        let found = ills(&demo);
        let own = found.iter().find(|(name, what, _)| name == check && what.contains(said));
        let own = own.unwrap_or_else(|| panic!("{check}, {said}: {found:?}"));
        assert!(own.2.contains(mend), "{own:?}");
    };
    let keys = demo.path("keys/ledger");
    let period = fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path());
    let period = period.into_iter().find(|path| path.to_str().unwrap().contains("period-"));
    let period = period.unwrap();
    let set = |mode| fs::set_permissions(&period, fs::Permissions::from_mode(mode)).unwrap();
    set(0o640);
    ill("ledger keys", "is open to others", "chmod 600");
    set(0o600);
    let aside = demo.path("aside");
    fs::rename(&period, &aside).unwrap();
    ill("ledger months", "is missing", "period-");
    fs::rename(&aside, &period).unwrap();
    let refused = demo.path("ledger/witness.refused");
    fs::write(&refused, "fork 7\nw1 cosigned another history\n").unwrap();
    ill("witness", "w1 cosigned another history", "do not delete");
    fs::remove_file(&refused).unwrap();
    let node = fs::read(keys.join("node")).unwrap();
    fs::write(keys.join("node"), "n_somebody_else\n").unwrap();
    ill("ledger streams", "belongs to another node", "begins without keys/ledger");
    fs::write(keys.join("node"), node).unwrap();
    let checkpoint = fs::read(demo.path("ledger/checkpoint")).unwrap();
    fs::remove_file(demo.path("ledger/checkpoint")).unwrap();
    ill("ledger streams", "the database holds a checkpoint of", "bring back the log");
    fs::write(demo.path("ledger/checkpoint"), checkpoint).unwrap();
    fs::write(demo.path("keys/restoring"), "{}").unwrap();
    ill("restore", "cut short", "phiward restore");
    fs::remove_file(demo.path("keys/restoring")).unwrap();
    fs::rename(&keys, &aside).unwrap();
    ill("ledger keys", "keys are gone", "bring back");
    fs::rename(&aside, &keys).unwrap();
    // Port 1 answers nobody here.
    let access = demo.secret("access", "AKIA");
    let secret = demo.secret("secret", "secret");
    let key = "witness.example/w1+d92ffeba+BCO7f7eO41W6jVVGNtpYE0yxmfcZdgVzVHskOV8TF9ko";
    let outsiders = format!(
        "[[ledger.stream]]\nto = \"http://127.0.0.1:1/in?token=hush\"\n\
         [[ledger.stream]]\nto = \"syslog+tls://localhost:1\"\n\
         [[ledger.stream]]\nto = \"file:/nowhere/at/all\"\n\
         [[ledger.witness]]\nurl = \"http://127.0.0.1:1\"\nkey = \"{key}\"\n\
         [ledger.worm]\nendpoint = \"http://127.0.0.1:1\"\nbucket = \"copies\"\n\
         access_key = {{ file = \"{access}\" }}\nsecret_key = {{ file = \"{secret}\" }}\n\n[policy]\n"
    );
    demo.edit("[policy]\n", &outsiders);
    for (check, said) in [
        ("stream", "http://127.0.0.1:1/in cannot be reached"),
        ("stream", "localhost:1 cannot be reached"),
        ("stream", "file:/nowhere/at/all cannot be reached"),
        ("witness", "cannot be reached"),
        ("locked copy", "bucket copies: "),
    ] {
        ill(check, said, "set");
    }
    assert!(!format!("{:?}", ills(&demo)).contains("hush"));
}

#[test]
fn a_collector_that_is_down_and_the_lag_of_the_index_show_in_the_metrics() {
    let mut demo = Demo::start();
    demo.stop();
    demo.edit(
        "[policy]\n",
        "[[ledger.stream]]\nto = \"http://127.0.0.1:1/in?token=hush\"\n\n[policy]\n",
    );
    demo.serve();
    let text = fs::read_to_string(demo.path("phiward.toml")).unwrap();
    let internal = text.lines().find_map(|line| line.strip_prefix("internal = \"")).unwrap();
    let internal = internal.trim_end_matches('"').to_owned();
    let since = Instant::now();
    loop {
        let mut stream = TcpStream::connect(&internal).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {internal}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        let _whole = stream.read_to_string(&mut text);
        if text.contains("\nphiward_ledger_streams_held_up 1\n")
            && !text.contains("\nphiward_ledger_stream_failures_total 0\n")
            && text.contains("\nphiward_ledger_index_lag_seconds ")
        {
            assert!(!text.contains("hush"), "{text}");
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{text}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn sealed_records_leave_as_a_foreign_log_only_past_the_gate_and_hash_tiles_without_it() {
    let mut demo = Demo::start();
    let out = |name: &str| demo.dir.path().join(name).to_str().unwrap().to_owned();
    let (tiles, entries, refused) = (out("tiles"), out("entries"), out("refused"));
    let export = ["ledger", "export", "--format", "tlog", "--output"];
    let exported = |demo: &Demo| -> Vec<Value> {
        let records = demo.records(&[]).into_iter();
        records.filter(|record| record["kind"] == "ledger.exported").collect()
    };
    demo.good(&[&export[..], &[&tiles]].concat());
    assert!(exported(&demo).is_empty());
    demo.good(&[&export[..], &[&entries, "--entries"]].concat());
    let recorded = exported(&demo);
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0]["body"]["query"], "format=tlog&entries=true");
    assert_eq!(recorded[0]["body"]["role"], "operator");
    // What cannot be written is not asked for.
    demo.bad(&[&export[..], &[&entries, "--entries"]].concat(), 2);
    assert_eq!(exported(&demo).len(), 1);
    // Where only an officer reads, an operator gets hash tiles and no record.
    demo.stop();
    demo.edit("[ledger]\n", "[ledger]\nreading = \"officer\"\n");
    demo.bad(&[&export[..], &[&refused, "--entries"]].concat(), NOT_ALLOWED);
    assert!(!fs::exists(&refused).unwrap());
    let officer = demo.password("officer");
    let who = ["--officer", "officer", "--password-file", &officer];
    demo.good(&[&export[..], &[&refused, "--entries"], &who].concat());
    assert!(fs::exists(demo.dir.path().join("refused/tile/entries")).unwrap());
}
