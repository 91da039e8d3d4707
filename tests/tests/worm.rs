//! The copy that nobody can change, in a bucket of Ceph's: what is copied is locked, what hides it is
//! seen, what is lost here comes back, and a bucket out of reach stops what it was told to stop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use phiward_journeys::{ACCESS_KEY, App, Demo, LAB_SCOPE, Radosgw, SECRET_KEY};
use serde_json::Value;

/// A whole pass waits for its turn and for a shared machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn until<T>(what: &str, demo: &Demo, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "no {what}; the server said:\n{}", demo.said());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The demo's configuration with a locked copy, and the FHIR endpoint of another demo.
fn configure(demo: &Demo, sample: &Demo, name: &str, worm: &[(&str, &str)]) -> PathBuf {
    let folder = demo.ready.config.parent().unwrap().to_owned();
    let upstream =
        |text: &str| text.lines().find(|line| line.starts_with("upstream =")).unwrap().to_owned();
    let text = fs::read_to_string(folder.join("phiward.toml")).unwrap();
    let theirs = upstream(&fs::read_to_string(&sample.ready.config).unwrap());
    let mut text = text.replace(&upstream(&text), &theirs);
    text.push_str("\n[ledger.worm]\n");
    for (key, value) in worm {
        text.push_str(&format!("{key} = \"{value}\"\n"));
    }
    for (key, default) in [("access_key", ACCESS_KEY), ("secret_key", SECRET_KEY)] {
        let file = folder.join("keys").join(format!("{name}.{key}"));
        secret(&file, default);
        text.push_str(&format!("{key} = {{ file = \"{}\" }}\n", file.display()));
    }
    let config = folder.join(format!("{name}.toml"));
    fs::write(&config, text).unwrap();
    config
}

fn secret(file: &Path, text: &str) {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    writeln!(opened.unwrap(), "{text}").unwrap();
}

fn records(demo: &Demo, kind: &str) -> Vec<Value> {
    let shown = demo.command(&["ledger", "show", "--last", "100000", "--json"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    let parsed = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    parsed.filter(|record| record["kind"] == kind).collect()
}

/// The bodies of the records that name copies of segments, by segment.
fn archived(demo: &Demo) -> Vec<Value> {
    let records = records(demo, "ledger.archived");
    let bodies = records.into_iter().map(|record| record["body"].clone());
    bodies.filter(|body| body.get("segment").is_some()).collect()
}

fn segments(demo: &Demo) -> Vec<PathBuf> {
    let named = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "phl");
    let read = fs::read_dir(&demo.ready.ledger).unwrap();
    let mut found: Vec<PathBuf> = read.map(|entry| entry.unwrap().path()).filter(named).collect();
    found.sort();
    found
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Waits until all closed segments are copied.
fn all_copied(demo: &Demo) -> Vec<Value> {
    let closed = segments(demo).len() - 1;
    until("copy of every closed segment", demo, || {
        Some(archived(demo)).filter(|copies| copies.len() >= closed)
    })
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn text(body: &Value, key: &str) -> String {
    body[key].as_str().unwrap_or_else(|| panic!("no {key}: {body}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_copied_is_locked_is_seen_when_hidden_and_brings_back_what_is_lost() {
    let radosgw = Radosgw::start();
    radosgw.make_bucket("locked", true);
    let sample = Demo::start(&[]);
    let mut demo = Demo::start(&[]);
    let worm = [("endpoint", radosgw.endpoint.as_str()), ("bucket", "locked"), ("prefix", "a/")];
    let config = configure(&demo, &sample, "worm", &worm);

    // Each start closes the segment of the one before.
    for _ in 0..3 {
        demo.serve(&config);
        all_copied(&demo);
    }
    let copies = all_copied(&demo);
    let checkpoint = demo.data().join("checkpoint.txt");
    fs::write(&checkpoint, demo.command(&["ledger", "checkpoint"]).stdout).unwrap();
    let expect = checkpoint.to_str().unwrap();

    // Once each, whole, and locked for six years.
    let listed = radosgw.versions("locked", "a/stream-0000000001/segment-");
    assert_eq!(listed.len(), copies.len(), "{listed:?}");
    assert_eq!(copies.len(), segments(&demo).len() - 1);
    for (number, copy) in (1..).zip(&copies) {
        assert_eq!(copy["segment"], number);
        let path =
            format!("/locked/{}?versionId={}", text(copy, "object"), text(copy, "version_id"));
        let stored = radosgw.s3("GET", &path, &[], b"");
        let local = &segments(&demo)[usize::try_from(number - 1).unwrap()];
        assert_eq!(stored.body, fs::read(local).unwrap(), "segment {number}");
        let locked = radosgw.s3("HEAD", &path, &[], b"");
        assert_eq!(locked.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
        let until = locked.header("x-amz-object-lock-retain-until-date").unwrap();
        assert!(until > "2032-01-01", "{until}");

        // The owner of the bucket, with our own credentials, cannot undo it.
        assert_eq!(radosgw.s3("DELETE", &path, &[], b"").status, 403);
        let bypass = "x-amz-bypass-governance-retention: true";
        assert_eq!(radosgw.s3("DELETE", &path, &[bypass], b"").status, 403);
        for (mode, date) in
            [("COMPLIANCE", "2027-01-01T00:00:00Z"), ("GOVERNANCE", "2040-01-01T00:00:00Z")]
        {
            let path = path.replace('?', "?retention=&");
            let body = format!(
                "<Retention><Mode>{mode}</Mode><RetainUntilDate>{date}</RetainUntilDate></Retention>"
            );
            let refused = radosgw.s3("PUT", &path, &[bypass], body.as_bytes());
            assert_eq!(refused.status, 403, "{mode} {date}: {}", refused.text());
        }
    }
    until("copy of a checkpoint", &demo, || {
        radosgw.versions("locked", "a/stream-0000000001/checkpoint-").pop()
    });
    let suspended =
        b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    assert_eq!(radosgw.s3("PUT", "/locked?versioning=", &[], suspended).status, 409);
    let proven = demo.command(&["ledger", "verify", "--worm", "--expect", expect]);
    assert!(proven.status.success() && said(&proven).ends_with("PASS\n"), "{}", said(&proven));

    // Hidden under a delete marker, and under somebody's newer version.
    let object = |at: usize| format!("/locked/{}", text(&copies[at], "object"));
    assert_eq!(radosgw.s3("DELETE", &object(0), &[], b"").status, 204);
    assert_eq!(radosgw.s3("PUT", &object(1), &[], b"nothing to see").status, 200);
    let seen = said(&demo.command(&["ledger", "verify", "--worm", "--expect", expect]));
    assert_eq!(seen.matches("worm-hidden").count(), 2, "{seen}");
    assert!(seen.contains("delete marker") && seen.contains("newer version"), "{seen}");
    demo.serve(&config);
    let found = until("record of what is hidden", &demo, || {
        let found = records(&demo, "ledger.copy_checked");
        Some(found).filter(|found| found.iter().any(|r| r["body"]["detail"] == "worm-hidden"))
    });
    assert!(found.iter().any(|record| record["body"]["object"] == copies[0]["object"]));
    assert!(demo.said().contains("worm-hidden"), "{}", demo.said());
    all_copied(&demo);

    // Nothing is repaired under a running server.
    let running = demo.command(&["ledger", "repair"]);
    assert_eq!(running.status.code(), Some(20), "{}", said(&running));
    demo.stop();
    let whole = demo.command(&["ledger", "repair"]);
    assert!(
        whole.status.success() && said(&whole).contains("nothing to repair"),
        "{}",
        said(&whole)
    );

    // One changed, one deleted: exactly those whose copies are hidden.
    let before = segments(&demo);
    let originals: Vec<Vec<u8>> = before.iter().map(|path| fs::read(path).unwrap()).collect();
    flip(&before[0]);
    fs::remove_file(&before[1]).unwrap();
    let broken = demo.command(&["ledger", "verify", "--expect", expect]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(said(&broken).ends_with("FAIL\n"), "{}", said(&broken));
    assert!(said(&broken).contains("segment 1"), "{}", said(&broken));
    let broken = said(&demo.command(&["ledger", "verify", "--worm"]));
    assert!(broken.contains("worm-differs") && broken.contains("segment-missing"), "{broken}");
    let damaged = fs::read(&before[0]).unwrap();
    let rehearsed = demo.command(&["ledger", "repair", "--dry-run"]);
    assert!(rehearsed.status.success(), "{}", said(&rehearsed));
    assert!(fs::read(&before[0]).unwrap() == damaged && !before[1].exists());
    let repaired = demo.command(&["ledger", "repair"]);
    assert!(repaired.status.success(), "{}", said(&repaired));
    for (path, original) in before.iter().zip(&originals).take(2) {
        assert!(&fs::read(path).unwrap() == original, "{}", path.display());
    }
    let proven = demo.command(&["ledger", "verify", "--expect", expect]);
    assert!(proven.status.success(), "{}", said(&proven));
    let repairs = records(&demo, "ledger.repaired");
    assert_eq!(repairs.len(), 2);
    let kept = fs::read_dir(&demo.ready.ledger).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<PathBuf> =
        kept.filter(|path| path.to_str().unwrap().contains("damaged-")).collect();
    assert!(kept.len() == 1 && fs::read(&kept[0]).unwrap() == damaged, "{kept:?}");

    // So much is gone that the log does not open and hardly any record of a copy is left.
    let copied = copies.len();
    for path in segments(&demo).iter().take(copied) {
        fs::remove_file(path).unwrap();
    }
    let last = segments(&demo);
    let opened = demo.command(&["ledger", "repair", "--json"]);
    assert!(opened.status.success(), "{}", said(&opened));
    let repaired: Value = serde_json::from_slice(&opened.stdout).unwrap();
    assert_eq!(repaired["repaired"].as_array().unwrap().len(), copied);
    let proven = demo.command(&["ledger", "verify", "--expect", expect]);
    assert!(proven.status.success(), "{}", said(&proven));

    // Damage for which there is no copy stays, and is named. The repairs closed segments uncopied.
    let uncopied = last.last().unwrap();
    flip(uncopied);
    let none = demo.command(&["ledger", "repair"]);
    assert_eq!(none.status.code(), Some(28), "{}", said(&none));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_out_of_reach_stops_phi_only_where_it_was_told_to_and_what_is_no_lock_is_refused()
{
    let mut radosgw = Radosgw::start();
    radosgw.make_bucket("locked", true);
    radosgw.make_bucket("plain", false);
    let sample = Demo::start(&[]);
    let mut demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let endpoint = radosgw.endpoint.clone();
    let with = |bucket: &'static str, more: &[(&'static str, &'static str)]| {
        let mut worm = vec![("endpoint", endpoint.as_str()), ("bucket", bucket)];
        worm.extend(more);
        worm
    };

    // A bucket that locks nothing, one that is not there, wrong credentials: said in so many words.
    let config = configure(&demo, &sample, "plain", &with("plain", &[]));
    demo.serve(&config);
    until("word of the missing lock", &demo, || {
        demo.said().contains("no Object Lock").then_some(())
    });
    let config = configure(&demo, &sample, "none", &with("nosuchbucket", &[]));
    demo.serve(&config);
    until("word of no bucket", &demo, || demo.said().contains("no such bucket").then_some(()));
    let config = configure(&demo, &sample, "wrong", &with("locked", &[]));
    secret(&config.with_file_name("keys").join("wrong.secret_key"), "another-secret");
    demo.serve(&config);
    until("word of credentials", &demo, || {
        demo.said().contains("SignatureDoesNotMatch").then_some(())
    });
    assert!(!demo.said().contains("another-secret"));
    assert!(archived(&demo).is_empty());

    // Out of reach with `warn`: it is said, and PHI flows.
    let closed = [("endpoint", "http://127.0.0.1:9"), ("bucket", "locked"), ("max_lag", "2s")];
    let config = configure(&demo, &sample, "closed", &closed);
    demo.serve(&config);
    until("word of the lag", &demo, || demo.said().contains("lags behind").then_some(()));
    let grant = app.connect(&mut demo.person("amina"), LAB_SCOPE).await;
    assert_eq!(app.read("Observation?_count=1", grant.access_token()).await.status, 200);
    let unproven = demo.command(&["ledger", "verify", "--worm", "--allow-unproven"]);
    let unreached = demo.command(&["ledger", "repair", "--dry-run"]);
    assert!(said(&unproven).ends_with("UNPROVEN\n"), "{}", said(&unproven));
    assert_eq!(unreached.status.code(), Some(20), "{}", said(&unreached));

    // With `stop` it flows until the copy lags, stops, and goes on when the bucket is back.
    let config = configure(
        &demo,
        &sample,
        "stop",
        &with("locked", &[("max_lag", "4s"), ("on_lag", "stop")]),
    );
    // Before it is copied, a closed segment was changed: not that is locked, but all the others are,
    // and it once it is as it was.
    demo.stop();
    let first = segments(&demo)[0].clone();
    let original = fs::read(&first).unwrap();
    flip(&first);
    demo.serve(&config);
    until("word of the changed segment", &demo, || {
        demo.said().contains("does not fit the log").then_some(())
    });
    let closed = segments(&demo).len() - 1;
    let stored = until("copies of the others", &demo, || {
        let stored = radosgw.versions("locked", "stream-0000000001/segment-");
        Some(stored).filter(|stored| stored.len() == closed - 1)
    });
    assert!(stored.iter().all(|(object, _)| !object.ends_with("segment-0000000001.phl")));
    fs::write(&first, original).unwrap();
    let copies = all_copied(&demo);
    until("word of the check", &demo, || demo.said().contains("copies were checked").then_some(()));
    let grant = app.connect(&mut demo.person("amina"), LAB_SCOPE).await;
    let token = grant.access_token();
    assert_eq!(app.read("Observation?_count=1", token).await.status, 200);
    radosgw.stop_gateway();
    let begun = Instant::now();
    while app.read("Observation?_count=1", token).await.status == 200 {
        assert!(begun.elapsed() < PATIENCE, "PHI flows on:\n{}", demo.said());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(app.read("Observation?_count=1", token).await.status, 503);
    radosgw.start_gateway();
    let begun = Instant::now();
    while app.read("Observation?_count=1", token).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE, "PHI does not flow again:\n{}", demo.said());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    // A crash between storing and recording leaves no second version: the list is believed only as far
    // as the store agrees, and a lost list is made up for by the log.
    demo.kill_9();
    let list = demo.data().join("keys/ledger/archive.ndjson");
    fs::remove_file(&list).unwrap();
    demo.serve(&config);
    let after = all_copied(&demo);
    assert!(after.len() > copies.len());
    let folder = "stream-0000000001/segment-";
    let listed = radosgw.versions("locked", folder);
    assert_eq!(listed.len(), after.len(), "{listed:?}");

    // Nothing happens: nothing is copied, and nothing recorded.
    let idle = archived(&demo).len();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(archived(&demo).len(), idle);
    assert_eq!(radosgw.versions("locked", folder).len(), idle);

    // Stored by a process that never came to say so: it is found, and counts. Somebody else's object
    // under the name of the next segment: ours becomes the newer version.
    demo.stop();
    let live = segments(&demo).pop().unwrap();
    let content = fs::read(&live).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let name =
        |path: &Path| format!("stream-0000000001/{}", path.file_name().unwrap().to_str().unwrap());
    let headers = [
        "x-amz-object-lock-mode: COMPLIANCE",
        "x-amz-object-lock-retain-until-date: 2040-01-01T00:00:00Z",
        &format!("x-amz-meta-phiward-sha256: {hash}"),
    ];
    let stored = radosgw.s3("PUT", &format!("/locked/{}", name(&live)), &headers, &content);
    let number = idle + 2;
    let next = format!("/locked/{folder}{number:010}.phl");
    assert_eq!(radosgw.s3("PUT", &next, &headers, b"squatting").status, 200);
    demo.serve(&config);
    let adopted = all_copied(&demo).pop().unwrap();
    assert_eq!(adopted["object"], name(&live));
    assert_eq!(adopted["version_id"].as_str(), stored.header("x-amz-version-id"));
    demo.serve(&config);
    let ours = all_copied(&demo).pop().unwrap();
    assert_eq!(ours["segment"], number);
    let squatted = radosgw.versions("locked", next.trim_start_matches("/locked/"));
    assert_eq!(squatted.len(), 2, "{squatted:?}");
    let path = format!("{next}?versionId={}", text(&ours, "version_id"));
    let local = segments(&demo)[number - 1].clone();
    assert!(radosgw.s3("GET", &path, &[], b"").body == fs::read(local).unwrap());
}
