//! The auditor's program holds no server: what it is built from, as cargo resolves it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::process::Command;

/// What would listen, connect, keep a database or serve a page.
const SERVERS: &[&str] = &[
    "mio",
    "socket2",
    "hyper",
    "hyper-util",
    "h2",
    "http",
    "rustls",
    "tokio-rustls",
    "sqlx",
    "sqlx-core",
    "libsqlite3-sys",
    "phiward-outbound",
    "phiward-store",
    "phiward-identity",
    "phiward-authority",
    "phiward-gateway",
    "phiward-web",
    "phiward-fhir",
    "phiward",
];

fn tree(features: &str) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["tree", "--package", "phiward-ledger", "--edges", "normal", "--prefix", "none"])
        .args(["--offline", "--features", features, "--format", "{p}|{f}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let (package, features) = line.split_once('|').unwrap();
        (package.split(' ').next().unwrap().to_owned(), features.to_owned())
    };
    text.lines().map(row).collect()
}

#[test]
fn the_auditors_program_is_built_from_nothing_that_serves() {
    let tree = tree("cli");
    let names: Vec<&str> = tree.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"phiward-ledger") && names.contains(&"clap"));
    let found: Vec<_> = SERVERS.iter().filter(|server| names.contains(server)).collect();
    assert!(found.is_empty(), "{found:?}");
    let tokio = tree.iter().find(|(name, _)| name == "tokio").expect("its channels");
    let features = tokio.1.trim_end_matches(" (*)");
    let lawful = |feature: &str| ["sync", "rt", "time"].contains(&feature);
    assert!(features.split(',').all(lawful), "channels and timers, no sockets: {features}");
}

#[test]
fn a_server_in_it_would_be_seen() {
    let tree = tree("cli,remote");
    assert!(SERVERS.iter().any(|server| tree.iter().any(|(name, _)| name == server)));
}
