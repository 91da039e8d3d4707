//! Custody in a token of SoftHSM 2. Its configuration is an environment variable, so each clause
//! runs in a child process of this test binary, with a token of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

extern crate phiward_keys as keys;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use domain::Secret;
use keys::SystemRandom;
use keys::custody::Custody as _;
use keys::pkcs11::{Pkcs11Custody, Pkcs11Error, TokenKey};

const CLAUSE: &str = "PHIWARD_SOFTHSM_CLAUSE";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "4711-4711";

fn token_key(label: &str) -> TokenKey {
    TokenKey { module: MODULE.into(), token: "phiward test".into(), label: label.into() }
}

fn pin(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn open(label: &str) -> Result<Pkcs11Custody, Pkcs11Error> {
    Pkcs11Custody::open(token_key(label), &pin(PIN), Arc::new(SystemRandom))
}

fn create(label: &str) -> Result<Pkcs11Custody, Pkcs11Error> {
    Pkcs11Custody::create(token_key(label), &pin(PIN), Arc::new(SystemRandom))
}

/// Runs the test of this name again, in a process that has a fresh token.
fn in_a_child(name: &str, clause: impl FnOnce()) {
    if std::env::var(CLAUSE).as_deref() == Ok(name) {
        clause();
        return;
    }
    assert!(Path::new(MODULE).exists(), "SoftHSM is missing; run tests/partners/install.sh");
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let conf: PathBuf = dir.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&conf, text).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "phiward test", "--so-pin", "1234-5678"])
        .args(["--pin", PIN])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(CLAUSE, name)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn a_token_opens_only_what_it_wrapped_for_the_same_purpose_unchanged() {
    in_a_child("a_token_opens_only_what_it_wrapped_for_the_same_purpose_unchanged", || {
        let custody = create("kek").unwrap();
        let wrapped = custody.wrap("root", &[7; 32]).unwrap();
        assert_eq!(custody.unwrap("root", &wrapped).unwrap().expose(), &[7; 32]);
        assert!(custody.unwrap("other", &wrapped).is_err());
        for byte in 0..wrapped.len() {
            let mut bent = wrapped.clone();
            bent[byte] ^= 1;
            assert!(custody.unwrap("root", &bent).is_err(), "byte {byte}");
        }
        for len in 0..wrapped.len() {
            assert!(custody.unwrap("root", &wrapped[..len]).is_err(), "length {len}");
        }
        // The same twice is not the same bytes: a fresh nonce each time.
        assert_ne!(custody.wrap("root", &[7; 32]).unwrap(), wrapped);
        // Another handle, as another process would have it, opens it too; another key does not.
        assert_eq!(open("kek").unwrap().unwrap("root", &wrapped).unwrap().expose(), &[7; 32]);
        assert!(create("other").unwrap().unwrap("root", &wrapped).is_err());
    });
}

#[test]
fn a_newer_key_wraps_and_the_older_still_opens() {
    in_a_child("a_newer_key_wraps_and_the_older_still_opens", || {
        let custody = create("kek").unwrap();
        let before = custody.wrap("root", b"secret").unwrap();
        assert!(custody.is_newest("root", &before));
        custody.add_newer().unwrap();
        assert_eq!(custody.count().unwrap(), 2);
        assert_eq!(custody.unwrap("root", &before).unwrap().expose(), b"secret");
        assert!(!custody.is_newest("root", &before));
        let after = custody.wrap("root", b"secret").unwrap();
        assert!(custody.is_newest("root", &after));
        let again = open("kek").unwrap();
        assert_eq!(again.unwrap("root", &after).unwrap().expose(), b"secret");
        assert!(again.is_newest("root", &after) && !again.is_newest("root", &before));
    });
}

#[test]
fn what_is_missing_or_wrong_is_named_and_a_refused_pin_is_tried_once() {
    in_a_child("what_is_missing_or_wrong_is_named_and_a_refused_pin_is_tried_once", || {
        let random = || Arc::new(SystemRandom);
        let said = |result: Result<Pkcs11Custody, Pkcs11Error>| match result {
            Ok(_) => panic!("it opened"),
            Err(error) => error.to_string(),
        };
        assert!(said(open("kek")).contains("no AES key with the label `kek`"));
        create("kek").unwrap();
        assert!(said(create("kek")).contains("already"));
        let mut elsewhere = token_key("kek");
        elsewhere.token = "no such token".into();
        let text = said(Pkcs11Custody::open(elsewhere, &pin(PIN), random()));
        assert!(text.contains("no token with the label `no such token`"), "{text}");
        let mut elsewhere = token_key("kek");
        elsewhere.module = "/nonexistent/module.so".into();
        let text = said(Pkcs11Custody::open(elsewhere, &pin(PIN), random()));
        assert!(text.contains("/nonexistent/module.so"), "{text}");
    });
}

#[test]
fn a_refused_pin_is_told_without_the_pin() {
    in_a_child("a_refused_pin_is_told_without_the_pin", || {
        let wrong =
            Pkcs11Custody::open(token_key("kek"), &pin("0000-0000"), Arc::new(SystemRandom));
        let Err(error) = wrong else { panic!("it opened") };
        assert!(matches!(error, Pkcs11Error::Pin(_)), "{error}");
        assert!(!error.to_string().contains("0000"), "{error}");
    });
}

#[test]
fn a_key_that_could_be_taken_out_of_the_token_is_refused() {
    in_a_child("a_key_that_could_be_taken_out_of_the_token_is_refused", || {
        let made = Command::new("pkcs11-tool")
            .args(["--module", MODULE, "--token-label", "phiward test", "--login", "--pin", PIN])
            .args(["--keygen", "--key-type", "AES:32", "--label", "loose", "--id", "01"])
            .arg("--extractable")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let Err(error) = open("loose") else { panic!("it opened") };
        assert!(error.to_string().contains("not extractable"), "{error}");
    });
}

/// Another part of the process shuts the module down, as a driver update or a pulled card would: the
/// next call opens a session, signs in and finds the key again.
#[test]
fn a_session_that_was_lost_is_opened_again() {
    in_a_child("a_session_that_was_lost_is_opened_again", || {
        let custody = create("kek").unwrap();
        let wrapped = custody.wrap("root", &[7; 32]).unwrap();
        let close = || {
            let context = cryptoki::context::Pkcs11::new(MODULE).unwrap();
            context.finalize().unwrap();
        };
        close();
        assert_eq!(custody.unwrap("root", &wrapped).unwrap().expose(), &[7; 32]);
        close();
        let again = custody.wrap("root", &[8; 32]).unwrap();
        assert_eq!(custody.unwrap("root", &again).unwrap().expose(), &[8; 32]);
    });
}

/// The PIN is changed while the server runs: the old one is tried once, not with every call.
#[test]
fn a_pin_that_is_refused_later_is_tried_once() {
    in_a_child("a_pin_that_is_refused_later_is_tried_once", || {
        let custody = create("kek").unwrap();
        let wrapped = custody.wrap("root", &[7; 32]).unwrap();
        let set_pin = |old: &str, new: &str| {
            let done = Command::new("pkcs11-tool")
                .args(["--module", MODULE, "--token-label", "phiward test", "--login"])
                .args(["--change-pin", "--pin", old, "--new-pin", new])
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        set_pin(PIN, "9999-9999");
        cryptoki::context::Pkcs11::new(MODULE).unwrap().finalize().unwrap();
        assert!(custody.unwrap("root", &wrapped).is_err());
        // Right again, and still not tried: whoever corrects it restarts.
        set_pin("9999-9999", PIN);
        assert!(custody.unwrap("root", &wrapped).is_err());
        drop(custody);
        assert_eq!(open("kek").unwrap().unwrap("root", &wrapped).unwrap().expose(), &[7; 32]);
    });
}
