//! Two servers on one PostgreSQL: each writes a stream of its own, each verifies by its own checkpoint,
//! and one that loses its log, or gets back an old one, is noticed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "nodes/cluster.rs"]
mod cluster;
#[allow(unused_imports, reason = "of the support only what reads directories is used here")]
mod support;

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cluster::Cluster;
use serde_json::Value;
use support::{Demo, said};

const NO_FOREIGN_STREAM: i32 = 20;
const ROLLBACK: i32 = 21;

/// A node: directories of its own, and the installation's key-encryption key and root key.
struct Node {
    dir: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// The first node's directory, from a demo's certificate; it makes its keys at its first start.
    fn first(dir: PathBuf, demo: &Demo, database: &str) -> Self {
        let made = phiward(&["init", dir.to_str().unwrap()]);
        assert!(made.status.success(), "{}", said(&made));
        for name in ["server.pem", "server.key"] {
            fs::copy(demo.path("tls").join(name), dir.join("tls").join(name)).unwrap();
        }
        let node = Self { dir, child: None };
        node.edit("listen = \"127.0.0.1:8443\"", "listen = \"127.0.0.1:0\"");
        node.edit("internal = \"127.0.0.1:8444\"", "internal = \"127.0.0.1:0\"");
        node.edit("sqlite:data/phiward.db", database);
        node
    }

    /// Another node as the how-to makes one: the configuration, the certificate and two key files.
    fn joining(dir: PathBuf, first: &Self) -> Self {
        for name in ["", "tls", "keys", "data"] {
            private_dir(&dir.join(name));
        }
        for name in
            ["phiward.toml", "tls/server.pem", "tls/server.key", "keys/kek.key", "keys/root.key"]
        {
            fs::copy(first.dir.join(name), dir.join(name)).unwrap();
        }
        Self { dir, child: None }
    }

    fn edit(&self, from: &str, to: &str) {
        let path = self.dir.join("phiward.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phiward"));
        command.args(args).arg("-c").arg(self.dir.join("phiward.toml"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    fn serve(&mut self) {
        let log = self.dir.join("serve.log");
        let to = Stdio::from(fs::File::create(&log).unwrap());
        let child = self.command(&["serve"]).stdout(Stdio::null()).stderr(to).spawn().unwrap();
        self.child = Some(child);
        let since = Instant::now();
        while UnixStream::connect(self.dir.join("data/admin.sock")).is_err() {
            let log = fs::read_to_string(&log).unwrap();
            assert!(since.elapsed() < Duration::from_secs(60), "the node does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the server with this signal.
    fn end(&mut self, signal: &str) {
        let mut child = self.child.take().expect("runs");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        child.wait().unwrap();
    }

    /// Something that this node records.
    fn add(&self, username: &str) {
        let mut child = self
            .command(&["user", "add", username, "--name", username, "--role", "clinician"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"a long enough password\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }

    fn records(&self) -> Vec<Value> {
        let output = self.run(&["ledger", "show", "--last", "1000", "--json"]);
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The latest checkpoint, as an auditor keeps it.
    fn checkpoint(&self) -> String {
        let output = self.run(&["ledger", "checkpoint"]);
        assert!(output.status.success(), "{}", said(&output));
        let path = self.dir.join("kept");
        fs::write(&path, output.stdout).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn verify(&self, expect: &str) -> (Option<i32>, Value) {
        let output = self.run(&["ledger", "verify", "--expect", expect, "--json"]);
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code(), report.unwrap_or_else(|_| panic!("{}", said(&output))))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn phiward(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phiward")).args(args).output().unwrap()
}

fn private_dir(path: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}

/// The details of the findings of a kind.
fn found<'a>(report: &'a Value, kind: &str) -> Vec<&'a str> {
    let gaps = report["gaps"].as_array().unwrap().iter();
    gaps.filter(|gap| gap["kind"] == kind).map(|gap| gap["detail"].as_str().unwrap()).collect()
}

#[test]
fn two_nodes_on_one_database_write_two_streams_and_neither_loses_one_unseen() {
    let cluster = Cluster::start();
    let mut demo = Demo::start();
    demo.stop();
    let dir = tempfile::tempdir().unwrap();
    let mut one = Node::first(dir.path().join("one"), &demo, &cluster.url());
    one.serve();
    let mut two = Node::joining(dir.path().join("two"), &one);
    let sent = two.dir.join("sent");
    let stream = format!(
        "[[ledger.stream]]\nto = \"file:{}\"\nformat = \"fhir\"\n\n[policy]",
        sent.display()
    );
    two.edit("[policy]", &stream);
    two.serve();
    // Both record, each in its own stream; what one registers, the other knows.
    one.add("amina");
    two.add("jonas");
    let people = one.run(&["user", "list"]);
    assert!(String::from_utf8_lossy(&people.stdout).contains("jonas"), "{}", said(&people));
    let added = |node: &Node| {
        let records = node.records();
        records.iter().filter(|record| record["kind"] == "admin.change").count()
    };
    assert_eq!((added(&one), added(&two)), (1, 1));
    let origin = |note: &str| fs::read_to_string(note).unwrap().lines().next().unwrap().to_owned();
    let notes = [one.checkpoint(), two.checkpoint()];
    assert_eq!(
        notes.each_ref().map(|note| origin(note)),
        ["localhost:8443/ledger", "localhost:8443/ledger/2"]
    );
    for (node, note) in [(&one, &notes[0]), (&two, &notes[1])] {
        let (code, report) = node.verify(note);
        assert_eq!((code, &report["verdict"]), (Some(0), &"PASS".into()), "{report}");
    }
    // The second's index is filled, too: what is of another stream opens under that stream's name.
    let searched = two.run(&["ledger", "search", "--kind", "admin.change", "--json"]);
    assert!(searched.status.success(), "{}", said(&searched));
    let log = fs::read_to_string(two.dir.join("serve.log")).unwrap();
    assert!(!log.contains("does not keep up"), "{log}");

    // What leaves is told under that stream's name, too.
    let since = Instant::now();
    while !fs::read_to_string(&sent).unwrap_or_default().contains("localhost:8443/ledger/2") {
        let log = fs::read_to_string(two.dir.join("serve.log")).unwrap();
        assert!(since.elapsed() < Duration::from_secs(20), "{log}");
        std::thread::sleep(Duration::from_millis(100));
    }

    // The first is killed, and its disk is lost.
    one.end("-TERM");
    let ledger = one.dir.join("ledger");
    let old = dir.path().join("old");
    copy(&ledger, &old);
    one.serve();
    one.add("later");
    let note = one.checkpoint();
    one.end("-KILL");
    let lost = dir.path().join("lost");
    fs::rename(&ledger, &lost).unwrap();
    let (code, report) = one.verify(&note);
    assert_eq!((code, &report["verdict"]), (Some(1), &"FAIL".into()), "{report}");
    assert!(matches!(found(&report, "stream-vanished")[..], [one] if one.starts_with("stream 1,")));
    // The other side sees it by its silence: ten minutes, here by the database's clock turned back.
    assert!(found(&two.verify(&notes[1]).1, "stream-silent").is_empty());
    cluster.sql("UPDATE ledger_streams SET signed = signed - 660000 WHERE stream = 1");
    let (_, report) = two.verify(&notes[1]);
    let silent = found(&report, "stream-silent");
    assert!(matches!(silent[..], [one] if one.starts_with("stream 1, last signed")), "{report}");
    // It starts neither without its log nor with an old copy of it.
    let refused = one.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(ROLLBACK), "{}", said(&refused));
    let _made = fs::remove_dir_all(&ledger);
    copy(&old, &ledger);
    let refused = one.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(ROLLBACK), "{}", said(&refused));
    // Nor where what is kept beside its keys went back with it: the database remembers.
    let kept = one.dir.join("keys/ledger/checkpoint");
    fs::copy(old.join("checkpoint"), &kept).unwrap();
    let refused = one.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(ROLLBACK), "{}", said(&refused));
    // With the log that it had, it goes on.
    fs::remove_dir_all(&ledger).unwrap();
    fs::rename(&lost, &ledger).unwrap();
    one.serve();
    assert_eq!(one.verify(&note).0, Some(0));
    assert!(found(&two.verify(&notes[1]).1, "stream-silent").is_empty());
    // A node that takes the first's number without its keys is refused.
    two.end("-TERM");
    fs::write(two.dir.join("keys/ledger/stream"), "1\n").unwrap();
    let refused = two.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(NO_FOREIGN_STREAM), "{}", said(&refused));
}

#[test]
fn a_node_without_the_installations_root_key_is_refused_and_changes_nothing() {
    let cluster = Cluster::start();
    let mut demo = Demo::start();
    demo.stop();
    let dir = tempfile::tempdir().unwrap();
    let mut one = Node::first(dir.path().join("one"), &demo, &cluster.url());
    one.serve();
    let two = Node::joining(dir.path().join("two"), &one);
    fs::remove_file(two.dir.join("keys/root.key")).unwrap();
    let refused = two.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert_eq!(cluster.sql("SELECT count(*) FROM ledger_streams"), "1");
}
