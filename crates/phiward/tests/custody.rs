//! Key-encryption keys change and move while the server runs, and nothing is lost on the way.
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
use std::process::Command;

use support::{Demo, said, tree};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[test]
fn a_key_is_rotated_beside_a_running_server_which_goes_on_and_starts_again() {
    let mut demo = Demo::start();
    let kek = fs::read(demo.path("keys/kek.key")).unwrap();
    let before = fs::read(demo.path("keys/root.key")).unwrap();
    let rotated = demo.json(&["key", "rotate"]);
    assert_eq!(rotated["keys"], rotated["rewrapped"]);
    assert_ne!(fs::read(demo.path("keys/kek.key")).unwrap(), kek);
    assert_ne!(fs::read(demo.path("keys/root.key")).unwrap(), before);
    assert_eq!(fs::read(demo.path("keys/kek.key.retired-1")).unwrap(), kek);
    let records = demo.records(&[]);
    let event = records
        .iter()
        .find(|record| record["kind"] == "key.event" && record["body"]["count"] == rotated["keys"]);
    let event = event.expect("the rotation is recorded");
    assert!(event["body"]["subject"].as_str().unwrap().starts_with("local uid"), "{event}");
    // Nothing needs the old one any more.
    fs::remove_file(demo.path("keys/kek.key.retired-1")).unwrap();
    demo.good(&["ledger", "verify", "--allow-unproven"]);
    demo.stop();
    demo.serve();
    demo.good(&["user", "list"]);
    demo.good(&["ledger", "show", "--last", "1"]);
}

#[test]
fn another_key_encryption_key_is_refused_and_nothing_is_changed() {
    let mut demo = Demo::start();
    demo.stop();
    let other = Demo::start();
    fs::copy(other.path("keys/kek.key"), demo.path("keys/kek.key")).unwrap();
    let before = tree(&demo.path("keys"));
    let text = demo.bad(&["key", "rotate"], 13);
    assert!(text.contains("root.key"), "{text}");
    assert_eq!(tree(&demo.path("keys")), before);
}

#[test]
fn keys_move_from_a_file_to_a_token_while_the_server_runs() {
    assert!(fs::exists(MODULE).unwrap(), "SoftHSM is missing; run tests/partners/install.sh");
    let demo = Demo::start();
    let tokens = demo.path("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = demo.path("softhsm2.conf");
    fs::write(&conf, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let mut demo = demo.with_env("SOFTHSM2_CONF", conf.to_str().unwrap());
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "phiward", "--so-pin", "12345678"])
        .args(["--pin", "4711-4711"])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    demo.stop();
    // A server that can see the token: its environment has the token's configuration.
    demo.serve();
    let pin = demo.secret("pin", "4711-4711\n");
    demo.edit("provider = \"file\"", "provider = \"pkcs11\"");
    let section = format!(
        "[keys.pkcs11]\nmodule = \"{MODULE}\"\ntoken = \"phiward\"\nkey = \"kek\"\npin = {{ file = \"{pin}\" }}\n\n[ledger]"
    );
    demo.edit("[ledger]", &section);
    let missing = demo.bad(&["key", "rotate"], 2);
    assert!(missing.contains("no AES key with the label `kek`"), "{missing}");
    assert_eq!(demo.json(&["key", "init"])["key"], "kek");
    assert!(demo.bad(&["key", "init"], 2).contains("already"));
    let moved = demo.json(&["key", "rotate"]);
    assert_eq!(moved["keys"], moved["rewrapped"]);
    // The file is not needed any more, neither by the server that runs nor by the next.
    demo.edit("kek = { file = \"keys/kek.key\" }\n", "");
    fs::remove_file(demo.path("keys/kek.key")).unwrap();
    demo.good(&["ledger", "show", "--last", "1"]);
    // Now a newer key in the token.
    let rotated = demo.json(&["key", "rotate"]);
    assert_eq!(rotated["keys"], rotated["rewrapped"]);
    demo.stop();
    demo.serve();
    demo.good(&["ledger", "verify", "--allow-unproven"]);
    // Its upstream is gone; its keys are well.
    let doctor = said(&demo.run(&["doctor"]));
    assert!(doctor.contains("ok       keys"), "{doctor}");
    demo.secret("pin", "0000-0000\n");
    let wrong = demo.bad(&["ledger", "show"], 2);
    assert!(wrong.contains("refuses the PIN") && !wrong.contains("0000"), "{wrong}");
    demo.secret("pin", "4711-4711\n");
    demo.good(&["ledger", "show", "--last", "1"]);
}
