//! The auditor's program on a real log, with nothing in its environment: verdicts, exit codes, one
//! line of error.
#![cfg(feature = "cli")]
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
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Bench, batches, entry};

/// A closed log, its key and a checkpoint of its beginning.
struct Copy {
    bench: Bench,
    dir: String,
    key: String,
    old: String,
}

impl Copy {
    async fn new() -> Self {
        let bench = Bench::in_memory();
        let (ledger, _) = bench.open();
        ledger.append(vec![entry(1)]).await.unwrap();
        let old = bench.root.path().join("old.txt");
        fs::write(&old, ledger.checkpoint().await.unwrap()).unwrap();
        for number in [2, 1, 3] {
            ledger.append(vec![entry(number)]).await.unwrap();
        }
        ledger.close().await.unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (dir, key) = (text(&bench.dir()), text(&bench.keys_dir().join("stable.vkey")));
        Self { dir, key, old: text(&old), bench }
    }

    fn verify(&self, more: &[&str]) -> Output {
        run(&[&["verify", &self.dir, "--key", &self.key], more].concat())
    }
}

fn run(args: &[&str]) -> Output {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_phiward-ledger"));
    Command::new(program).args(args).env_clear().current_dir("/").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// This exit code, one line on standard error, nothing on standard output.
fn refused(output: &Output, code: i32) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_sound_copy_passes_with_an_old_checkpoint_and_is_unproven_without() {
    let copy = Copy::new().await;
    let output = copy.verify(&["--expect", &copy.old]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(said(&output).lines().last(), Some("PASS"));
    assert_eq!(copy.verify(&[]).status.code(), Some(1));
    assert_eq!(said(&copy.verify(&[])).lines().last(), Some("UNPROVEN"));
    assert_eq!(copy.verify(&["--allow-unproven"]).status.code(), Some(0));
    let output = copy.verify(&["--json", "--expect", &copy.old]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "PASS");
}

#[tokio::test]
async fn a_changed_or_emptied_copy_fails_and_says_why() {
    let copy = Copy::new().await;
    let path = copy.bench.segments().pop().unwrap();
    let original = fs::read(&path).unwrap();
    let mut bent = original.clone();
    bent[batches(&original)[1].0 + 130] ^= 1;
    fs::write(&path, bent).unwrap();
    let output = copy.verify(&["--expect", &copy.old, "--allow-unproven"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output).lines().last(), Some("FAIL"));
    assert!(said(&output).contains("damaged: "));
    fs::remove_file(&path).unwrap();
    let output = copy.verify(&["--allow-unproven"]);
    assert_eq!((output.status.code(), said(&output).lines().last()), (Some(1), Some("FAIL")));
}

#[tokio::test]
async fn what_is_no_ledger_key_or_checkpoint_has_its_own_exit_code() {
    let copy = Copy::new().await;
    let file = |name: &str, text: &str| {
        let path = copy.bench.root.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    refused(&run(&["verify", "/nowhere", "--key", &copy.key]), 10);
    refused(&run(&["verify", &copy.key, "--key", &copy.key]), 10);
    refused(&run(&["verify", &copy.dir, "--key", "/nowhere"]), 2);
    refused(&run(&["verify", &copy.dir, "--key", &file("x", "no key")]), 2);
    refused(&copy.verify(&["--expect", &file("y", "no checkpoint")]), 15);
    let other = fs::read_to_string(&copy.old).unwrap().replacen("phiward.test", "x.test", 1);
    refused(&copy.verify(&["--expect", &file("z", &other)]), 15);
    let stranger = Copy::new().await;
    refused(&run(&["verify", &copy.dir, "--key", &stranger.key]), 12);
    refused(&run(&["prove", &copy.dir, "9999"]), 1);
    refused(&run(&["count", &copy.dir, "--token", "12"]), 2);
    fs::write(copy.bench.segments().pop().unwrap(), b"PHWSEG1\n\x02").unwrap();
    refused(&copy.verify(&[]), 11);
}

#[tokio::test]
async fn the_clear_part_is_shown_and_a_token_finds_its_records() {
    let copy = Copy::new().await;
    let output = run(&["show-headers", &copy.dir, "--last", "100", "--json"]);
    let headers: Vec<serde_json::Value> =
        said(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(headers[0]["kind"], "stream.opened");
    assert_eq!(headers.last().unwrap()["kind"], "stream.stopped");
    assert!(!said(&output).contains("canary"), "what is sealed is not shown");
    let releases: Vec<_> = headers.iter().filter(|one| one["kind"] == "phi.release").collect();
    assert_eq!(releases.len(), 4);
    // The patient's token comes first; the first and the third record are about the same one.
    let token = releases[0]["tokens"][0].as_str().unwrap();
    assert_eq!(releases[2]["tokens"][0], token);
    let output = run(&["count", &copy.dir, "--token", token, "--json"]);
    let counted: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counted["found"], 2);
    assert_eq!(counted["records"], headers.len());
    let output = run(&["count", &copy.dir, "--token", &"0".repeat(32)]);
    assert!(said(&output).starts_with("0 of "));
    let lines = said(&run(&["show-headers", &copy.dir, "--from", "3"]));
    assert!(lines.starts_with("#3 "), "{lines}");
    assert!(said(&run(&["checkpoint", &copy.dir])).starts_with("phiward.test/ledger\n"));
    for args in [["prove", &copy.dir, "2"], ["consistency", &copy.dir, &copy.old]] {
        let proof: serde_json::Value = serde_json::from_slice(&run(&args).stdout).unwrap();
        assert!(proof["checkpoint"].as_str().unwrap().starts_with("phiward.test/ledger\n"));
    }
}
