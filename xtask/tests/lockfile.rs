//! Every library, the tests' own included, comes from crates.io: `cargo deny` looks only at what ships.
#![allow(clippy::unwrap_used, reason = "tests")]

/// Sources other than crates.io in the text of a lock file.
fn foreign(lock: &str) -> Vec<&str> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("source = "))
        .filter(|source| *source != "\"registry+https://github.com/rust-lang/crates.io-index\"")
        .collect()
}

#[test]
fn every_library_comes_from_crates_io() {
    let lock =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    assert!(lock.matches("\nsource = ").count() > 100, "the lock file is read");
    assert_eq!(foreign(&lock), [""; 0]);
}

#[test]
fn a_library_from_elsewhere_is_found() {
    let git = "name = \"a\"\nsource = \"git+https://example.org/a#1\"\n";
    assert_eq!(foreign(git), ["\"git+https://example.org/a#1\""]);
}
