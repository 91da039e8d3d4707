//! A file is a room: short enough to know, and its first lines say what it guarantees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file.
const LONGEST: usize = 500;
/// Lines of a module's doc.
const LONGEST_DOC: usize = 10;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every `.rs` file in the `src` folders of the workspace.
fn sources() -> Vec<PathBuf> {
    let root = root();
    let mut folders: Vec<PathBuf> =
        ["tests/src", "benches/src", "benches/ledger/src", "xtask/src", "samples/fhir/src"]
            .iter()
            .map(|folder| root.join(folder))
            .filter(|folder| folder.is_dir())
            .collect();
    let crates = fs::read_dir(root.join("crates")).unwrap();
    folders.extend(crates.map(|entry| entry.unwrap().path().join("src")));
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What is wrong with a file of this name and text.
fn faults(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST {
        faults.push(format!("{name}: {lines} lines, at most {LONGEST}"));
    }
    let doc = text.lines().take_while(|line| line.starts_with("//!")).count();
    // Unit tests moved out of a file belong to that file's doc.
    if doc == 0 && !name.ends_with("/tests.rs") {
        faults.push(format!("{name}: the first line is no `//!` doc"));
    }
    // A crate's doc is its manual and may be longer.
    if doc > LONGEST_DOC && !name.ends_with("/lib.rs") {
        faults.push(format!("{name}: a module doc of {doc} lines, at most {LONGEST_DOC}"));
    }
    faults
}

/// Where our own code opens a connection by itself.
fn has_client(text: &str) -> bool {
    ["hyper::client", "hyper_util::client", "TcpStream::connect"].iter().any(|c| text.contains(c))
}

#[test]
fn files_are_short_and_say_what_they_guarantee() {
    let root = root();
    let sources = sources();
    assert!(sources.len() > 20, "the sources are found");
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|path| faults(&name(path), &fs::read_to_string(path).unwrap()))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_outbound_opens_connections() {
    let crates = root().join("crates");
    let breaches: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| path.starts_with(&crates) && !path.starts_with(crates.join("outbound")))
        .filter(|path| has_client(&fs::read_to_string(path).unwrap()))
        .collect();
    assert!(breaches.is_empty(), "the guarded client is `outbound`: {breaches:?}");
    let own = sources().into_iter().filter(|path| path.starts_with(crates.join("outbound")));
    assert!(own.into_iter().count() > 0, "outbound is where it was");
}

#[test]
fn a_long_or_undescribed_file_is_a_fault() {
    let fine = "//! Guarantees.\n";
    assert!(faults("a.rs", fine).is_empty());
    assert!(faults("a.rs", &fine.repeat(LONGEST_DOC)).is_empty());
    assert_eq!(faults("a.rs", &fine.repeat(LONGEST_DOC + 1)).len(), 1);
    assert!(faults("a.rs", &(fine.to_owned() + &"\n".repeat(LONGEST - 1))).is_empty());
    assert_eq!(faults("a.rs", &(fine.to_owned() + &"\n".repeat(LONGEST))).len(), 1);
    assert_eq!(faults("a.rs", "use std::fs;\n").len(), 1);
    assert!(faults("a/tests.rs", "use std::fs;\n").is_empty());
    assert!(faults("a/lib.rs", &fine.repeat(LONGEST_DOC + 1)).is_empty());
    assert!(has_client("use hyper::client::conn::http1;"));
}
