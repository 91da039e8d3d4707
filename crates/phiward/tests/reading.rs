//! Reading the record is recorded, takes a role, and happens after the record of it is durable: beside a
//! running server, without one, and on a copy.
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
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use support::{Demo, of_kind, stderr};

const NOT_ALLOWED: i32 = 19;
const IN_USE: i32 = 20;

const SHOW: [&str; 4] = ["show", "--last", "100", "--json"];

#[test]
fn whoever_reads_stands_in_the_record_before_they_read() {
    let mut demo = Demo::start();
    for round in ["beside the server", "without a server"] {
        let shown = demo.ledger(&SHOW);
        assert!(shown.status.success(), "{round}: {}", stderr(&shown));
        let readings = of_kind(&shown, "ledger.read");
        let own = readings.last().expect("the reading is in what was read");
        let body = &own["body"];
        let uid = fs::metadata(demo.dir.path()).unwrap();
        let uid = std::os::unix::fs::MetadataExt::uid(&uid);
        assert_eq!(body["subject"], format!("local uid {uid}"), "{round}");
        assert_eq!(body["role"], "operator");
        assert_eq!(body["interaction"], "ledger show");
        assert_eq!(body["query"], "last=100");
        assert_eq!(own["outcome"], "success");
        demo.stop();
    }
    let verified = demo.ledger(&["verify", "--allow-unproven"]);
    assert!(verified.status.success(), "the log goes on unbroken");
}

#[test]
fn where_a_privacy_officer_is_asked_for_nobody_else_reads_and_every_refusal_is_recorded() {
    let mut demo = Demo::start();
    let officer = demo.password("officer");
    let clinician = demo.password("drsolis");
    let wrong = demo.secret("wrong", "not the password");
    // As an operator, but named.
    let shown = demo.as_person("officer", &officer, &SHOW);
    let body = &of_kind(&shown, "ledger.read").pop().expect("recorded")["body"];
    assert_eq!(
        (&body["role"], &body["authentication"]),
        (&"privacy_officer".into(), &"pwd".into())
    );
    assert!(body["subject"].as_str().unwrap().starts_with("p_"), "{body}");
    assert!(body["user_agent"].as_str().unwrap().starts_with("local uid "), "and from where");

    demo.stop();
    demo.set("reading = \"officer\"");
    let attempts: [(&str, Output); 4] = [
        ("authn.required", demo.ledger(&SHOW)),
        ("authn.failed", demo.as_person("officer", &wrong, &SHOW)),
        ("authn.failed", demo.as_person("drsolis", &clinician, &SHOW)),
        ("authn.failed", demo.as_person("nobody", &wrong, &SHOW)),
    ];
    for (_, output) in &attempts {
        assert_eq!(output.status.code(), Some(NOT_ALLOWED), "{}", stderr(output));
        assert!(output.stdout.is_empty(), "nothing is read");
    }
    assert_eq!(
        stderr(&attempts[1].1),
        stderr(&attempts[2].1),
        "a role is not told from a password"
    );
    assert_eq!(stderr(&attempts[1].1), stderr(&attempts[3].1), "nor a person");
    let shown = demo.as_person("officer", &officer, &SHOW);
    assert!(shown.status.success(), "{}", stderr(&shown));
    let readings = of_kind(&shown, "ledger.read");
    let outcomes: Vec<_> =
        readings.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    let expected: Vec<_> = attempts.iter().map(|(outcome, _)| *outcome).collect();
    assert_eq!(outcomes[outcomes.len() - 5..outcomes.len() - 1], expected);
    assert_eq!(outcomes.last(), Some(&"success"));
    assert!(!String::from_utf8_lossy(&shown.stdout).contains("not the password"));
}

#[test]
fn guessing_an_officers_password_is_slowed_down() {
    let mut demo = Demo::start();
    let officer = demo.password("officer");
    let wrong = demo.secret("wrong", "not the password");
    demo.stop();
    demo.set("reading = \"officer\"");
    for _ in 0..5 {
        demo.as_person("officer", &wrong, &SHOW);
    }
    let late = demo.as_person("officer", &officer, &SHOW);
    assert_eq!(late.status.code(), Some(NOT_ALLOWED));
    assert!(stderr(&late).contains("Too many attempts"), "{}", stderr(&late));
}

#[test]
fn what_cannot_be_recorded_is_not_read() {
    let mut demo = Demo::start();
    demo.stop();
    // Somebody holds the ledger, and answers nobody.
    let dir = demo.ready["ledger"].as_str().unwrap();
    let held = fs::File::open(format!("{dir}/lock")).unwrap();
    held.lock().unwrap();
    let shown = demo.ledger(&SHOW);
    assert_eq!(shown.status.code(), Some(IN_USE), "{}", stderr(&shown));
    assert!(shown.stdout.is_empty());
    drop(held);
    assert!(demo.ledger(&SHOW).status.success());

    // Its newest segment is damaged.
    let newest = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let newest = newest.filter(|path| path.extension().is_some_and(|e| e == "phl")).max().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let shown = demo.ledger(&SHOW);
    assert!(!shown.status.success() && shown.stdout.is_empty(), "a damaged log takes no record");
}

#[test]
fn reading_a_copy_is_recorded_nowhere_and_that_is_said() {
    let mut demo = Demo::start();
    let officer = demo.password("officer");
    demo.stop();
    let copy = demo.copy();
    let copy = copy.to_str().unwrap();
    let read = |args: &[&str]| demo.ledger(&[&SHOW[..], args].concat());
    let before = read(&["--dir", copy]);
    assert!(before.status.success());
    assert!(stderr(&before).contains("recorded nowhere"), "{}", stderr(&before));
    assert!(of_kind(&before, "ledger.read").is_empty());
    // The configured one by another name is no copy.
    let link = demo.dir.path().join("link");
    std::os::unix::fs::symlink(demo.ready["ledger"].as_str().unwrap(), &link).unwrap();
    let linked = read(&["--dir", link.to_str().unwrap()]);
    assert_eq!(of_kind(&linked, "ledger.read").len(), 1, "{}", stderr(&linked));
    // And where an officer is asked for, a copy is no way around it.
    demo.set("reading = \"officer\"");
    assert_eq!(read(&["--dir", copy]).status.code(), Some(NOT_ALLOWED));
    let shown = demo.as_person("officer", &officer, &[&SHOW[..], &["--dir", copy]].concat());
    assert!(shown.status.success(), "{}", stderr(&shown));
    let shown = demo.as_person("officer", &officer, &SHOW);
    let readings = of_kind(&shown, "ledger.read");
    assert!(readings.iter().any(|r| r["body"]["query"].as_str().unwrap().contains("copy=")));
}

#[test]
fn a_password_file_that_others_can_read_is_refused_before_anything() {
    let demo = Demo::start();
    let officer = demo.password("officer");
    fs::set_permissions(&officer, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = demo.as_person("officer", &officer, &SHOW);
    assert_eq!(shown.status.code(), Some(2));
    assert!(stderr(&shown).contains("chmod 600"), "{}", stderr(&shown));
    let shown = demo.ledger(&[&SHOW[..], &["--officer", "a", "--officer", "b"]].concat());
    assert_eq!(shown.status.code(), Some(2));
}

#[test]
fn what_takes_two_officers_takes_two_different_ones_who_both_signed_in() {
    use std::io::{BufRead, BufReader, Write};

    let demo = Demo::start();
    let password = |name: &str| fs::read_to_string(demo.password(name)).unwrap();
    let mut second = std::process::Command::new(env!("CARGO_BIN_EXE_phiward"))
        .args(["user", "add", "maria", "-c", demo.config(), "--name", "Maria"])
        .args(["--role", "privacy_officer"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    second.stdin.take().unwrap().write_all(b"a long enough password\n").unwrap();
    assert!(second.wait().unwrap().success());
    let socket = demo.path("data/admin.sock");
    let ask = |people: &[(&str, &str)]| {
        let officers: Vec<_> = people
            .iter()
            .map(|(username, password)| serde_json::json!({"username": username, "password": password}))
            .collect();
        let command = serde_json::json!({"command": "sign_in_officers", "officers": officers});
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    let (officer, clinician) = (password("officer"), password("drsolis"));
    let (officer, maria) = (("officer", officer.as_str()), ("maria", "a long enough password"));
    let both = ask(&[officer, maria]);
    assert_eq!(both["done"][0]["username"], "officer", "{both}");
    assert_eq!(both["done"][1]["username"], "maria", "{both}");
    for (people, trouble) in [
        (&[officer][..], "second-person"),
        (&[], "second-person"),
        (&[officer, officer], "second-person"),
        (&[officer, ("OFFICER", officer.1)], "not-allowed"),
        (&[officer, ("drsolis", &clinician)], "not-allowed"),
        (&[officer, ("maria", "wrong")], "not-allowed"),
    ] {
        let answer = ask(people);
        assert_eq!(answer["trouble"]["id"], trouble, "{people:?}: {answer}");
    }
    let shown = demo.ledger(&SHOW);
    let signed_in = of_kind(&shown, "authn.sign_in");
    let asked = signed_in.iter().filter(|record| record["body"]["interaction"] == "two officers");
    let outcomes: Vec<_> = asked.map(|record| record["outcome"].as_str().unwrap()).collect();
    let failed = "authn.failed";
    assert_eq!(outcomes, ["success", "success", failed, failed, failed]);
}
