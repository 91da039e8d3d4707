//! A rotation that is cut short after any of its steps leaves keys that open, and is finished by
//! the next run.

use std::cell::Cell;
use std::sync::Arc;

use keys::SystemRandom;
use ledger::{Body, Entry, Ledger, LedgerOptions};

use super::*;
use crate::clock::SystemClock;
use crate::config::Template;
use crate::keyring::Keyring;

struct House {
    dir: tempfile::TempDir,
    config: Config,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let template = Template {
            issuer: "https://phiward.example",
            listen: "127.0.0.1:8443".parse().unwrap(),
            internal: "127.0.0.1:8444".parse().unwrap(),
            upstream: "http://127.0.0.1:8080/fhir",
            password_grant: "off",
        };
        let path = dir.path().join("phiward.toml");
        std::fs::write(&path, template.render()).unwrap();
        crate::init::private_dir(&dir.path().join("keys")).unwrap();
        crate::init::make_kek(&dir.path().join("keys/kek.key")).unwrap();
        let config = Config::read(&path).unwrap();
        let house = Self { dir, config };
        Keyring::open(&house.config).unwrap();
        let ledger = house.ledger();
        let append = ledger.append(vec![Entry::new(domain::Kind::SignIn, Body::default())]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(append).unwrap();
        runtime.block_on(ledger.close()).unwrap();
        house
    }

    fn ledger(&self) -> Ledger {
        let options = LedgerOptions::new(
            &self.config.ledger.dir,
            self.config.ledger_keys(),
            system::ledger_origin(&self.config),
            kek::custody(&self.config).unwrap(),
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        );
        Ledger::open(options).unwrap().0
    }

    /// Every key opens, and the ledger goes on.
    fn everything_opens(&self) {
        let custody = kek::custody(&self.config).unwrap();
        let keys = all_keys(&self.config).unwrap();
        assert_eq!(keys.len(), 4, "root, stable, day and month: {keys:?}");
        for (path, purpose) in keys {
            let wrapped = keys::key_file::read(&path).unwrap();
            assert!(custody.unwrap(&purpose, wrapped.expose()).is_ok(), "{}", path.display());
        }
        Keyring::open_existing(&self.config).unwrap();
    }

    fn rotate(&self, stop_at: usize) -> (Result<Rotated, Failure>, usize) {
        let (steps, records) = (Cell::new(0), Cell::new(0));
        let result = rotate(
            &self.config,
            &mut Hands {
                reload: &|| Ok(()),
                record: &|_| {
                    records.set(records.get() + 1);
                    Ok(())
                },
                step: &mut |_| {
                    steps.set(steps.get() + 1);
                    if steps.get() > stop_at { Err(Failure::check("cut short")) } else { Ok(()) }
                },
            },
        );
        (result, records.get())
    }
}

#[test]
fn a_rotation_cut_short_after_any_step_leaves_keys_that_open_and_is_finished_by_the_next() {
    let mut stop_at = 0;
    loop {
        let house = House::new();
        let kek = house.dir.path().join("keys/kek.key");
        let old = kek::open_file(&kek).unwrap();
        let cut = house.rotate(stop_at).0.is_err();
        house.everything_opens();
        let (done, recorded) = house.rotate(usize::MAX);
        let done = done.unwrap();
        assert_eq!(recorded, 1);
        house.everything_opens();
        // The new key alone opens everything, the old one nothing.
        let new = kek::open_file(&kek).unwrap();
        for (path, purpose) in all_keys(&house.config).unwrap() {
            let wrapped = keys::key_file::read(&path).unwrap();
            assert!(new.unwrap(&purpose, wrapped.expose()).is_ok(), "{stop_at}");
            assert!(old.unwrap(&purpose, wrapped.expose()).is_err(), "{stop_at}");
        }
        let retired = kek::open_file(done.retired.as_ref().unwrap()).unwrap();
        let wrapped = old.wrap("x", b"y").unwrap();
        // When only the marker was left to remove, or nothing, the second run is a second rotation.
        let again = retired.unwrap("x", &wrapped).is_err();
        assert!(!again || !cut, "{stop_at}");
        assert!(!kek::next(&kek).exists());
        assert!(!house.config.keys_dir.join("rotation").exists());
        let ledger = house.ledger();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ledger.close()).unwrap();
        if !cut {
            assert!(stop_at > 8, "there were steps to stop at: {stop_at}");
            return;
        }
        stop_at += 1;
    }
}

#[test]
fn a_key_file_that_opens_under_no_key_is_named_and_nothing_is_lost() {
    let house = House::new();
    let stable = house.config.ledger_keys().join("stable.key");
    let mut bytes = std::fs::read(&stable).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&stable, &bytes).unwrap();
    let (result, recorded) = house.rotate(usize::MAX);
    let message = result.unwrap_err().message();
    assert!(message.contains("stable.key") && recorded == 0, "{message}");
    bytes[last] ^= 1;
    std::fs::write(&stable, &bytes).unwrap();
    house.rotate(usize::MAX).0.unwrap();
    house.everything_opens();
}

#[test]
fn a_key_erased_meanwhile_is_not_brought_back() {
    let house = House::new();
    let day = std::fs::read_dir(house.config.ledger_keys()).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("day-").then_some(path)
    });
    let day = day.unwrap();
    let erased = Cell::new(false);
    let result = rotate(
        &house.config,
        &mut Hands {
            reload: &|| Ok(()),
            record: &|_| Ok(()),
            step: &mut |name| {
                if name == "wrapping anew" && !erased.replace(true) {
                    std::fs::remove_file(&day).unwrap();
                }
                Ok(())
            },
        },
    );
    result.unwrap();
    assert!(!day.exists());
}

#[test]
fn two_rotations_do_not_run_at_once() {
    let house = House::new();
    let first = DataLock::take_named(&house.config.keys_dir, LOCK).unwrap();
    let (second, recorded) = house.rotate(usize::MAX);
    assert!(second.unwrap_err().message().contains("in use") && recorded == 0);
    assert!(!house.config.keys_dir.join(MARKER).exists());
    drop(first);
    house.rotate(usize::MAX).0.unwrap();
    house.everything_opens();
}
