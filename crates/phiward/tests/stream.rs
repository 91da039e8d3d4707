//! Records sent as they are made, to collectors that are real: rsyslog, a strict receiver of RFC 5425 and
//! an HTTP collector, each over TLS. Nothing is lost when either side is killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Demo, stderr, stdout};

/// A collector in a process of its own, and what it has received.
struct Collector {
    child: Child,
    port: String,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start(demo: &Demo, kind: &str, port: &str) -> Self {
        let tls = demo.path("tls");
        let mut child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/collector.py"))
            .arg(kind)
            .args([tls.join("server.pem"), tls.join("server.key")])
            .arg(port)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().expect("its port").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, port, seen }
    }

    fn kill(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }

    fn seqs(&self) -> BTreeSet<u64> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|record| record["seq"].as_u64().unwrap_or_else(|| panic!("{record}")))
            .collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(40), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A stopped demo, with streams to these.
fn streaming(demo: &mut Demo, streams: &[String]) {
    demo.stop();
    let ca = demo.path("tls/ca.pem");
    let token = demo.secret("token", "the-collectors-token\n");
    let mut config = fs::OpenOptions::new().append(true).open(demo.config()).unwrap();
    for to in streams {
        let token = match to.starts_with("https:") {
            true => format!("token = {{ file = {token:?} }}\n"),
            false => String::new(),
        };
        write!(config, "\n[[ledger.stream]]\nto = \"{to}\"\nca = {ca:?}\n{token}").unwrap();
    }
}

/// The numbers of the records from the first stream's start on.
fn expected(demo: &Demo) -> BTreeSet<u64> {
    let shown = demo.ledger(&["show", "--last", "100000", "--json"]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    let records: Vec<Value> =
        stdout(&shown).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let starts = records.iter().filter(|record| record["kind"] == "ledger.exported");
    let start = starts.map(|record| record["seq"].as_u64().unwrap()).nth(1).unwrap();
    records
        .iter()
        .map(|record| record["seq"].as_u64().unwrap())
        .filter(|seq| *seq >= start)
        .collect()
}

#[test]
fn no_record_is_lost_when_server_and_collectors_are_killed_and_come_back() {
    let mut demo = Demo::start();
    let mut syslog = Collector::start(&demo, "syslog", "0");
    let mut http = Collector::start(&demo, "http", "0");
    streaming(
        &mut demo,
        &[
            format!("syslog+tls://localhost:{}", syslog.port),
            format!("https://localhost:{}/collect", http.port),
        ],
    );
    demo.serve();
    for _ in 0..3 {
        demo.ledger(&["show"]);
    }
    let arrived = |collector: &Collector, all: &BTreeSet<u64>| all.is_subset(&collector.seqs());
    let first = expected(&demo);
    until("syslog has the first", || arrived(&syslog, &first));
    until("http has the first, after its 503", || arrived(&http, &first));
    // The collectors go; records go on.
    let before: Vec<_> = [&syslog, &http].map(Collector::seqs).into();
    syslog.kill();
    http.kill();
    for _ in 0..3 {
        let since = Instant::now();
        assert!(demo.ledger(&["show"]).status.success());
        assert!(since.elapsed() < Duration::from_secs(10), "nobody waits for a collector");
    }
    // So does the server, by force, with the collectors still away.
    demo.kill();
    demo.ledger(&["show"]);
    let syslog = Collector::start(&demo, "syslog", &syslog.port);
    let http = Collector::start(&demo, "http", &http.port);
    demo.serve();
    let all = expected(&demo);
    for (collector, before) in [&syslog, &http].into_iter().zip(before) {
        until("everything arrived, some of it twice", || {
            all.is_subset(&collector.seqs().union(&before).copied().collect())
        });
    }
    let log = fs::read_to_string(demo.path("serve.log")).unwrap();
    assert!(!log.contains("the-collectors-token"), "{log}");
}

#[test]
fn rsyslog_takes_what_is_sent_and_writes_it_down() {
    let mut demo = Demo::start();
    let dir = demo.dir.path().join("rsyslog");
    fs::create_dir(&dir).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls = demo.path("tls");
    let at = |name: &str, under: &Path| under.join(name).display().to_string();
    let config = format!(
        "global(workDirectory=\"{dir}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"gtls\"\n\
         defaultNetstreamDriverCAFile=\"{ca}\" defaultNetstreamDriverCertFile=\"{cert}\"\n\
         defaultNetstreamDriverKeyFile=\"{key}\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\"\n\
         StreamDriver.Authmode=\"anon\")\n\
         input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         template(name=\"all\" type=\"string\"\n\
         string=\"%pri% %app-name% %msgid% %structured-data% %msg%\\n\")\n\
         action(type=\"omfile\" file=\"{out}\" template=\"all\" asyncWriting=\"off\")\n",
        dir = dir.display(),
        ca = at("ca.pem", &tls),
        cert = at("server.pem", &tls),
        key = at("server.key", &tls),
        out = at("out", &dir),
    );
    fs::write(dir.join("rsyslog.conf"), config).unwrap();
    let rsyslog = Command::new("/usr/sbin/rsyslogd")
        .args(["-n", "-i", &at("pid", &dir), "-f", &at("rsyslog.conf", &dir)])
        .stderr(fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .expect("rsyslog and rsyslog-gnutls are installed (tests/partners/install.sh)");
    let _rsyslog = Running(rsyslog);
    streaming(&mut demo, &[format!("syslog+tls://localhost:{port}"), "file:records".to_owned()]);
    demo.serve();
    demo.ledger(&["search", "--patient", "p-1"]);
    let said = || fs::read_to_string(dir.join("out")).unwrap_or_default();
    until("rsyslog wrote the search", || said().contains("patient=p-1"));
    let said = said();
    let line = said.lines().find(|line| line.contains("patient=p-1")).unwrap();
    assert!(line.starts_with("110 phiward ledger.read [meta sequenceId="), "{line}");
    let json = line.split_once("] ").unwrap().1.trim_start_matches('\u{feff}');
    let record: Value = serde_json::from_str(json).expect("the record as JSON");
    assert_eq!(record["body"]["patient"], "p-1");
    let file = demo.path("records");
    until("the file has it, too", || {
        fs::read_to_string(&file).unwrap_or_default().contains("patient=p-1")
    });
    let text = fs::read_to_string(&file).unwrap();
    let starts = text.lines().filter(|line| line.contains("stream started")).count();
    assert_eq!(starts, 1, "it begins with the record of its own start: {text}");
}

#[test]
fn a_stream_that_cannot_work_is_refused_at_the_start_with_its_key() {
    for (to, said) in [
        ("syslog+tls://localhost", "HOST:PORT"),
        ("http://siem.example/x", "ledger.stream.to"),
        ("carrier-pigeon:x", "ledger.stream.to"),
    ] {
        let mut demo = Demo::start();
        streaming(&mut demo, &[to.to_owned()]);
        let output = support::phiward(&["serve", "-c", demo.config()]);
        assert_eq!(output.status.code(), Some(2), "{to}");
        let text = stderr(&output);
        assert!(text.contains("ledger.stream") && text.contains(said), "{to}: {text}");
    }
}
