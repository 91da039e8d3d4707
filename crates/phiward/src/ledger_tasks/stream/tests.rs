//! One follower after another on a real ledger: what is delivered, what a failure does, and what it costs
//! those who append.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::LedgerOptions;

use super::*;
use crate::clock::SystemClock;
use crate::config::Template;

struct World {
    dir: tempfile::TempDir,
    ledger: Ledger,
    reading: Reading,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = Template {
            issuer: "https://phiward.example",
            listen: "127.0.0.1:8443".parse().unwrap(),
            internal: "127.0.0.1:8444".parse().unwrap(),
            upstream: "http://127.0.0.1:8080/fhir",
            password_grant: "off",
        }
        .render();
        let path = dir.path().join("phiward.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let config = Config::read(&path).unwrap();
        let kek = FileKek::create(&dir.path().join("kek"), Arc::new(SystemRandom)).unwrap();
        let custody: Arc<dyn Custody> = Arc::new(kek);
        let options = LedgerOptions::new(
            &config.ledger.dir,
            config.ledger_keys(),
            ledger_origin(&config),
            Arc::clone(&custody),
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        );
        let (ledger, _) = Ledger::open(options).unwrap();
        let reading = Reading { config: Arc::new(config), custody, fhir: false };
        Self { dir, ledger, reading }
    }

    fn follow(&self, to: &str) -> JoinHandle<()> {
        let stream = StreamConfig { to: to.to_owned(), fhir: false, token: None, ca: None };
        let target = Target::open(&stream, "https://phiward.example").unwrap();
        let brief = Duration::from_millis(20);
        let follower = Follower {
            reading: self.reading.clone(),
            ledger: self.ledger.clone(),
            position: Position::of(&self.dir.path().join("data"), to, 1),
            to: without_query(to),
            pauses: (brief, brief),
            web: None,
        };
        tokio::spawn(follower.follow(target))
    }

    async fn append(&self, detail: &str) -> u64 {
        let body = Body { detail: Some(detail.to_owned()), ..Body::default() };
        let entry = Entry::new(Kind::AdminChange, body);
        self.ledger.append(vec![entry]).await.unwrap()[0].seq
    }
}

/// The numbers in a file of lines, once there are so many.
async fn lines(path: &Path, count: usize) -> Vec<u64> {
    let since = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let seqs: Vec<u64> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64())
            .collect();
        if seqs.len() >= count {
            return seqs;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{} of {count} lines", seqs.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_file_that_everybody_may_open_gets_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.ndjson");
    std::fs::write(&path, "").unwrap();
    let mode = |bits| std::fs::Permissions::from_mode(bits);
    std::fs::set_permissions(&path, mode(0o644)).unwrap();
    let line = Line {
        seq: 1,
        kind: "phi.release",
        is_good: true,
        time: String::new(),
        json: "{}".to_owned(),
    };
    let mut target = file::FileTarget::new(path.clone());
    assert!(target.send(std::slice::from_ref(&line)).unwrap_err().contains("PHI"));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    std::fs::set_permissions(&path, mode(0o640)).unwrap();
    assert_eq!(target.send(&[line]), Ok(2));
}

fn to(path: &Path) -> String {
    format!("file:{}", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_each_record_also_after_rotation_failure_and_restart() {
    let world = World::new();
    let dir: PathBuf = world.dir.path().join("out");
    std::fs::create_dir(&dir).unwrap();
    let path = dir.join("records.ndjson");
    world.append("before the stream").await;
    let task = world.follow(&to(&path));
    let first = lines(&path, 1).await;
    assert_eq!(first, [2], "it begins with the record of its own start");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("ledger.exported") && text.contains(&*path.to_string_lossy()), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    world.append("one").await;
    assert_eq!(lines(&path, 2).await, [2, 3]);
    // Rotated by name; the next lines go to a new file.
    let rotated = dir.join("records.1");
    std::fs::rename(&path, &rotated).unwrap();
    world.append("two").await;
    assert_eq!(lines(&path, 1).await, [4]);
    assert_eq!(lines(&rotated, 2).await, [2, 3]);
    // The place is gone for a while.
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&rotated).unwrap();
    std::fs::remove_dir(&dir).unwrap();
    world.append("three").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::fs::create_dir(&dir).unwrap();
    assert_eq!(lines(&path, 1).await, [5]);
    // Stopped, the log grew, and started again: nothing is left out.
    task.abort();
    let _aborted = task.await;
    for _ in 0..600 {
        world.append("while it was stopped").await;
    }
    let task = world.follow(&to(&path));
    let seqs = lines(&path, 602).await;
    assert_eq!(seqs, (5..607).collect::<Vec<_>>());
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_and_silent_collectors_cost_those_who_append_nothing() {
    let world = World::new();
    let measure = async || {
        let mut times = Vec::new();
        for _ in 0..150 {
            let since = Instant::now();
            world.append("measured").await;
            times.push(since.elapsed());
        }
        times.sort_unstable();
        times[times.len() / 2]
    };
    let alone = measure().await;
    // One port where nobody listens, one where somebody accepts and says nothing, one bad place.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let dead = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        closed.local_addr().unwrap()
    };
    let tasks = [
        world.follow(&format!("http://{dead}/collect")),
        world.follow(&format!("http://{silent}/collect")),
        world.follow(&format!("syslog+tls://{dead}")),
        world.follow(&format!("syslog+tls://{silent}")),
        world.follow("file:/nowhere/at/all"),
    ];
    let beside = measure().await;
    assert!(
        beside < alone * 3 + Duration::from_millis(10),
        "{beside:?} beside five dead collectors, {alone:?} alone"
    );
    assert!(tasks.iter().all(|task| !task.is_finished()), "each goes on trying");
    tasks.iter().for_each(JoinHandle::abort);
}

#[test]
fn a_frame_is_what_rfc_5424_and_5425_say() {
    let line = Line {
        seq: 2_147_483_647,
        kind: "phi.denied",
        is_good: false,
        time: "2026-11-24T10:00:00.5Z".to_owned(),
        json: "{\"x\":\"\u{e9}\"}".to_owned(),
    };
    let frame = syslog::frame(&line, "phiward.example");
    let text = String::from_utf8(frame).unwrap();
    let message = "<108>1 2026-11-24T10:00:00.5Z phiward.example phiward - phi.denied \
                   [meta sequenceId=\"1\"] \u{feff}{\"x\":\"\u{e9}\"}";
    assert_eq!(text, format!("{} {message}", message.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_of_another_log_does_not_silence_a_stream() {
    let world = World::new();
    let path = world.dir.path().join("records");
    let mut other = Position::of(&world.dir.path().join("data"), &to(&path), 1);
    other.keep(5_000).unwrap();
    let task = world.follow(&to(&path));
    assert_eq!(lines(&path, 1).await, [1]);
    task.abort();
    let log = without_query("https://collector.example/x?token=secret");
    assert_eq!(log, "https://collector.example/x");
}

#[test]
fn what_is_no_target_is_refused_at_the_start() {
    let open = |to: &str| {
        let stream = StreamConfig { to: to.to_owned(), fhir: false, token: None, ca: None };
        Target::open(&stream, "https://phiward.example").map(|_| ())
    };
    for bad in [
        "syslog+tls://",
        "syslog+tls://siem.example",
        "syslog+tls://siem.example:6514/path",
        "syslog+tls://user:secret@siem.example:6514",
        "http://siem.example/x",
        "ftp://siem.example/",
    ] {
        let why = open(bad).unwrap_err();
        assert!(!why.contains("secret"), "{why}");
    }
    assert_eq!(open("syslog+tls://siem.example:6514"), Ok(()));
    assert_eq!(open("https://siem.example/collect"), Ok(()));
}
