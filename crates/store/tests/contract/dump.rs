//! The whole database out and in again, into the same kind or the other.

use std::sync::{Arc, Mutex};

use store::dump::{DumpError, Lines};
use store::{RefreshUse, Store};

use crate::Db;
use crate::words::{at, client, draft, furnished, grant, grant_id, hash, new_refresh, person};

async fn lines(store: &Store) -> Vec<Vec<u8>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&kept);
    store
        .dump(&mut move |line: &[u8]| {
            sink.lock().unwrap().push(line.to_vec());
            Ok(())
        })
        .await
        .unwrap();
    kept.lock().unwrap().clone()
}

fn feed(lines: Vec<Vec<u8>>) -> Lines {
    Box::new(lines.into_iter().map(Ok))
}

/// A fresh SQLite database, whatever the clause runs on.
async fn sqlite() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("other.db").to_str().unwrap());
    let store = Db { url, files: dir.path().to_owned() }.open().await;
    (dir, store)
}

async fn full(db: &Db) -> Store {
    let store = furnished(db).await;
    store.insert_client(&draft("app"), at(0)).await.unwrap();
    store.insert_person(&person("amina"), None).await.unwrap();
    store.put_sealed("signing keys", b"\x00\xff binary").await.unwrap();
    store
}

pub(crate) async fn what_is_dumped_is_loaded_into_either_database(db: Db) {
    let store = full(&db).await;
    let dumped = lines(&store).await;
    let (_dir, other) = sqlite().await;
    assert!(other.is_blank().await.unwrap() && !store.is_blank().await.unwrap());
    let loaded = other.load(feed(dumped.clone()), false, at(10)).await.unwrap();
    assert_eq!(usize::try_from(loaded.rows).unwrap(), dumped.len() - 2 - tables(&dumped));
    assert_eq!(other.sealed("signing keys").await.unwrap().unwrap().expose(), b"\x00\xff binary");
    assert!(other.client(&client("app")).await.unwrap().is_some());
    assert_eq!(other.people().await.unwrap().len(), 1);
    // And back: whatever the one wrote the other reads.
    let back = lines(&other).await;
    store.load(feed(back.clone()), true, at(11)).await.unwrap();
    assert_eq!(sorted(lines(&store).await), sorted(back));
}

pub(crate) async fn a_load_revokes_what_may_have_ended_since(db: Db) {
    let store = full(&db).await;
    let dumped = lines(&store).await;
    store.load(feed(dumped), true, at(10)).await.unwrap();
    let next = new_refresh("r1", "g", 1);
    let used = store.rotate_refresh(&hash("r0"), &client("app"), at(11), &next).await.unwrap();
    assert!(!matches!(used, RefreshUse::Used(_)), "{used:?}");
    assert!(store.grant(&grant_id("g")).await.unwrap().unwrap().withdrawn.is_some());
    assert!(store.session(&hash("session"), at(11)).await.unwrap().is_none());
}

pub(crate) async fn a_load_that_fails_changes_nothing(db: Db) {
    let store = full(&db).await;
    let before = lines(&store).await;
    let filled = store.load(feed(before.clone()), false, at(10)).await;
    assert!(matches!(filled, Err(DumpError::NotEmpty)), "{filled:?}");
    let mut changed: Vec<(&str, Vec<Vec<u8>>)> = vec![("nothing", Vec::new())];
    changed.push(("cut", before[..before.len() - 1].to_vec()));
    changed.push(("cut in a table", before[..before.len() / 2].to_vec()));
    let mut newer = before.clone();
    newer[0] = br#"{"phiward_dump":1,"schema":900}"#.to_vec();
    changed.push(("newer", newer));
    let mut foreign = before.clone();
    foreign[1] = br#"{"table":"sqlite_master","columns":["name"]}"#.to_vec();
    changed.push(("foreign table", foreign));
    let mut injected = before.clone();
    injected[1] = br#"{"table":"clients","columns":["id) VALUES ('x'); --"]}"#.to_vec();
    changed.push(("column that is none", injected));
    let mut twice = before.clone();
    twice.insert(3, before[2].clone());
    changed.push(("a row twice", twice));
    let mut more = before.clone();
    more.push(before[before.len() - 1].clone());
    changed.push(("on after its end", more));
    changed.push(("noise", vec![b"\xff\xfe".to_vec()]));
    for (what, lines_in) in changed {
        let loaded = store.load(feed(lines_in), true, at(10)).await;
        assert!(loaded.is_err(), "{what}");
    }
    let broken: Lines = Box::new(
        before.clone().into_iter().take(4).map(Ok).chain([Err(std::io::Error::other("torn"))]),
    );
    assert!(matches!(store.load(broken, true, at(10)).await, Err(DumpError::Io(_))));
    assert_eq!(lines(&store).await, before);
}

pub(crate) async fn a_dump_is_of_one_moment(db: Db) {
    let store = full(&db).await;
    let mut seen = 0_usize;
    let writing = store.clone();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<()>();
    let writer = tokio::spawn(async move {
        told.recv().await;
        // A grant and what depends on it, while the dump is under way.
        writing.insert_grant(&grant("later")).await.unwrap();
    });
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&kept);
    store
        .dump(&mut move |line: &[u8]| {
            seen += 1;
            if seen == 2 {
                tell.send(()).unwrap();
                // Long enough for the change to be made in the middle of the dump.
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            sink.lock().unwrap().push(line.to_vec());
            Ok(())
        })
        .await
        .unwrap();
    writer.await.unwrap();
    assert!(store.grant(&grant_id("later")).await.unwrap().is_some(), "the change was made");
    let text = kept.lock().unwrap().concat();
    assert!(!String::from_utf8_lossy(&text).contains("later"));
}

fn tables(lines: &[Vec<u8>]) -> usize {
    lines.iter().filter(|line| line.starts_with(b"{\"columns\"")).count()
}

fn sorted(mut lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    lines.sort();
    lines
}
