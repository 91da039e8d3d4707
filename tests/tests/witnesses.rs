//! Witnesses, ours and somebody else's, and logs, ours and somebody else's: real processes, real HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use phiward_journeys::{App, Client, Demo, LAB_SCOPE, Part, Partners, phiward};
use serde_json::Value;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

fn run(arguments: &[&str]) -> Output {
    Command::new(phiward()).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Our witness: its directory, where it listens, its key.
struct Witness {
    folder: TempDir,
    key: String,
    url: String,
    log: String,
    part: Part,
}

impl Witness {
    fn start(log: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("witness");
        let made =
            run(&["ledger", "witness", "--dir", path(&dir), "--init", "--name", "ours.test/w1"]);
        assert!(made.status.success(), "{}", said(&made));
        let log = path(log).to_owned();
        let (part, line) = Self::launch(folder.path(), "127.0.0.1:0", &log);
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let (key, url) = (text("key"), text("url"));
        assert_eq!(String::from_utf8(made.stdout).unwrap().trim_end(), key);
        Self { folder, key, url, log, part }
    }

    fn launch(folder: &Path, listen: &str, log: &str) -> (Part, Value) {
        let mut command = Command::new(phiward());
        let dir = folder.join("witness");
        command.args(["ledger", "witness", "--json", "--dir", path(&dir)]);
        command.args(["--listen", listen, "--log", log]);
        let mut part = Part::start("witness", command, folder);
        let line = serde_json::from_str(&part.json_line(SOON)).unwrap();
        (part, line)
    }

    fn restart(&mut self) {
        let listen = self.url.strip_prefix("http://").unwrap().to_owned();
        (self.part, _) = Self::launch(self.folder.path(), &listen, &self.log);
    }
}

/// Somebody else's witness (PyPI: aics-witness).
fn foreign_witness(partners: &Partners, folder: &Path, log: &str) -> (Part, String, String) {
    let config = folder.join("foreign.json");
    let script = |arguments: &[&str]| {
        let mut command = partners.python("witness/witness.py");
        command.args(arguments).args(["--config", path(&config)]).env("PYTHONUNBUFFERED", "1");
        command
    };
    let made = script(&["init", "--name", "theirs.test/w1"]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let key = String::from_utf8(made.stdout).unwrap();
    let key = key.lines().find(|line| line.starts_with("theirs.test/w1+")).unwrap().to_owned();
    let origin = log.split('+').next().unwrap();
    let added = script(&["add-log", "--origin", origin, "--vkey", log]).output().unwrap();
    assert!(added.status.success(), "{}", said(&added));
    let serve = script(&["serve", "--listen", "127.0.0.1:0"]);
    let mut part = Part::start("foreign", serve, folder);
    let folder = folder.to_owned();
    let url = part.wait_for("address", SOON, || {
        let said = ["stdout", "stderr"]
            .map(|stream| std::fs::read_to_string(folder.join(format!("foreign.{stream}"))))
            .map(Result::unwrap_or_default)
            .concat();
        let rest = said.split_once("listening on ")?.1;
        Some(rest.split_once(' ')?.0.to_owned())
    });
    (part, key, url)
}

/// Asks until the answer is right.
async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(begun.elapsed() < SOON, "no {what} within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn two_witnesses_cosign_foreign_tools_agree_and_without_them_no_phi_leaves() {
    let partners = Partners::ready();
    // The one demo's sample stays up as the FHIR server of the other, whose configuration grows.
    let sample = Demo::start(&[]);
    let config = std::fs::read_to_string(&sample.ready.config).unwrap();
    let upstream = config.split_once("upstream = \"").unwrap().1.split_once('"').unwrap().0;
    let patients = ["amina", "brook"].map(|name| sample.ready.patient(name).to_owned());
    let mut demo = Demo::before(upstream, &patients);
    demo.stop();

    let folder = tempfile::tempdir().unwrap();
    let log_file = demo.ready.config.parent().unwrap().join("keys/ledger/stable.vkey");
    let log = std::fs::read_to_string(&log_file).unwrap().trim_end().to_owned();
    let mut ours = Witness::start(&log_file);
    let (_theirs, their_key, their_url) = foreign_witness(&partners, folder.path(), &log);
    let mut more = String::new();
    for (url, key) in [(&ours.url, &ours.key), (&their_url, &their_key)] {
        write!(more, "\n[[ledger.witness]]\nurl = \"{url}\"\nkey = \"{key}\"\n").unwrap();
    }
    more.push_str("\n[ledger.witnesses]\nmax_lag = \"2s\"\non_lag = \"stop\"\n");
    let mut file = std::fs::File::options().append(true).open(&demo.ready.config).unwrap();
    file.write_all(more.as_bytes()).unwrap();
    let mut serve = Command::new(phiward());
    serve.args(["serve", "-c", path(&demo.ready.config)]);
    let mut server = Part::start("serve", serve, folder.path());

    let witnessed = demo.ready.ledger.join("checkpoint.witnessed");
    server.wait_for("cosigned checkpoint", SOON, || witnessed.is_file().then_some(()));
    let plain = Client::plain();
    let internal = demo.ready.internal.clone();
    let ready = async || {
        let answer = plain.try_send("GET", &format!("{internal}/readyz"), &[], "").await.ok()?;
        Some(answer.status)
    };
    until("readiness", async || ready().await.filter(|status| *status == 200)).await;

    // A foreign tool accepts it for both, and refuses it when anything is changed.
    let mut python = partners.python("witness/cosigned.py");
    python.args([path(&witnessed), &log, "2", &ours.key, &their_key]);
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["ok"], true, "{found}");
    assert_eq!(found["witnesses"], serde_json::json!(["ours.test/w1", "theirs.test/w1"]));
    for changed in ["other_size", "other_root", "other_time"] {
        assert_eq!(found[changed], false, "{changed}");
    }

    // An auditor gets the checkpoint from either witness, and needs nothing else.
    let origin = log.split('+').next().unwrap();
    let digest = aws_lc_digest(origin);
    for (url, key) in [(&ours.url, &ours.key), (&their_url, &their_key)] {
        let expect = format!("{url}/{digest}/checkpoint");
        let verified = demo.command(&["ledger", "verify", "--expect", &expect, "--witness", key]);
        assert!(verified.status.success(), "{}", said(&verified));
        assert!(said(&verified).trim_end().ends_with("PASS"), "{}", said(&verified));
    }

    // An app reads, until a witness of the quorum is gone; and again when it is back.
    let app = App::of(&demo, "demo-native");
    let mut amina = demo.person("amina");
    let grant = app.connect(&mut amina, LAB_SCOPE).await;
    let token = grant.access_token();
    assert_eq!(app.read("Observation", token).await.status, 200);
    ours.part.kill_9();
    until("refusal", async || {
        let answer = app.read("Observation", token).await;
        (answer.status == 503).then_some(())
    })
    .await;
    assert_eq!(ready().await, Some(503));
    assert_eq!(app.read("Observation", token).await.status, 503, "it stays so");
    ours.restart();
    until("PHI again", async || {
        let answer = app.read("Observation", token).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert!(server.stop().success());
    let shown = demo.command(&["ledger", "show", "--last", "1000", "--json"]);
    let told = said(&shown);
    let told: Vec<&str> =
        told.lines().filter(|line| line.contains("\"ledger.witnessed\"")).collect();
    assert!(told.len() >= 3, "begun, fallen behind, caught up: {told:?}");
}

fn aws_lc_digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_log_of_somebody_else_is_cosigned_and_its_fork_is_not() {
    let partners = Partners::ready();
    let folder = tempfile::tempdir().unwrap();
    let key = partners.python("witness/log.py").arg("vkey").output().unwrap();
    assert!(key.status.success(), "{}", said(&key));
    let file = folder.path().join("log.vkey");
    std::fs::write(&file, &key.stdout).unwrap();
    let witness = Witness::start(&file);
    let mut log = partners.python("witness/log.py");
    let output = log.args(["submit", &witness.url, &witness.key]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (what, expected) in [
        ("first", Value::from(200)),
        ("grown", Value::from(200)),
        ("relearned", Value::from(200)),
        ("again", Value::from(200)),
        ("forked", Value::from(422)),
        ("same_size_forked", Value::from(422)),
        ("rolled_back", Value::from("ahead 13")),
    ] {
        assert_eq!(found[what], expected, "{what}: {found}");
    }
}

#[test]
fn a_witness_that_is_killed_again_and_again_forgets_nothing_that_it_cosigned() {
    let partners = Partners::ready();
    let folder = tempfile::tempdir().unwrap();
    let key = partners.python("witness/log.py").arg("vkey").output().unwrap();
    let file = folder.path().join("log.vkey");
    std::fs::write(&file, &key.stdout).unwrap();
    let mut witness = Witness::start(&file);
    let mut grow = partners.python("witness/log.py");
    grow.args(["grow", &witness.url, &witness.key, "8"]);
    let mut log = Part::start("log", grow, folder.path());
    for round in 0..25_u64 {
        std::thread::sleep(Duration::from_millis(60 + 29 * (round % 7)));
        witness.part.kill_9();
        witness.restart();
    }
    let line: Value = serde_json::from_str(&log.json_line(SOON)).unwrap();
    assert!(line["cosigned"].as_u64().unwrap() > 50, "{line}");
    assert!(line["unanswered"].as_u64().unwrap() > 0, "it was never hit: {line}");
    eprintln!("{line}");
}

#[tokio::test]
async fn what_is_no_request_is_refused_over_http_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.vkey");
    // The key of the example of Go's note package.
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n";
    std::fs::write(&file, key).unwrap();
    let witness = Witness::start(&file);
    let plain = Client::plain();
    let add = format!("{}/add-checkpoint", witness.url);
    for (body, status) in [
        (Vec::new(), 400),
        (b"old 0\n\n\xff".to_vec(), 400),
        (vec![b'a'; 16 * 1024 + 1], 413),
        (vec![b'\n'; 1 << 20], 413),
        (
            "old 0\n\na\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} a AAAAAAA=\n"
                .into(),
            404,
        ),
    ] {
        let answer = plain.send("POST", &add, &[], body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    for (method, target, status) in [
        ("GET", "/add-checkpoint", 404),
        ("GET", "/healthz", 200),
        ("GET", "/", 404),
        ("GET", "/../witness.key", 404),
        ("PUT", "/add-checkpoint", 404),
        ("POST", "/", 404),
    ] {
        let url = format!("{}{target}", witness.url);
        assert_eq!(plain.send(method, &url, &[], "").await.status, status, "{method} {target}");
    }
}

#[test]
fn a_witness_that_must_not_start_says_why_under_its_own_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.vkey");
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n";
    std::fs::write(&file, key).unwrap();
    let mut witness = Witness::start(&file);
    let dir = witness.folder.path().join("witness");
    let start = |dir: &Path, listen: &str, log: &Path| {
        run(&["ledger", "witness", "--dir", path(dir), "--listen", listen, "--log", path(log)])
    };
    let free = "127.0.0.1:0";
    let second = start(&dir, free, &file);
    assert_eq!(second.status.code(), Some(20), "{}", said(&second));
    assert!(witness.part.stop().success());
    std::fs::rename(dir.join("witness.state"), folder.path().join("state")).unwrap();
    let stateless = start(&dir, free, &file);
    assert_eq!(stateless.status.code(), Some(29), "{}", said(&stateless));
    assert!(said(&stateless).contains("must not cosign again"));
    assert_eq!(said(&stateless).lines().count(), 1);
    let again =
        run(&["ledger", "witness", "--dir", path(&dir), "--init", "--name", "ours.test/w1"]);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    for (dir, listen, log, code) in [
        (folder.path(), free, file.as_path(), 14),
        (&dir, "0.0.0.0:0", &file, 2),
        (&dir, free, &dir.join("witness.key"), 2),
        (&dir, free, &folder.path().join("none"), 2),
        (&dir, free, &dir.join("witness.mark"), 12),
    ] {
        let refused = start(dir, listen, log);
        assert_eq!(refused.status.code(), Some(code), "{}", said(&refused));
    }
}
