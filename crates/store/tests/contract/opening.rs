//! Opening, closing, and what the files give away.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{FhirId, Phi};
use store::gateway::StandingQuery;
use store::{NewFlow, NewSession, OpenError};

use crate::Db;
use crate::words::{at, client, draft, grant, grant_id, hash, person, person_id};

pub(crate) async fn what_was_kept_is_there_after_closing(db: Db) {
    let store = db.open().await;
    store.insert_client(&draft("app"), at(0)).await.unwrap();
    store.close().await;
    let store = db.open().await;
    assert!(store.client(&client("app")).await.unwrap().is_some());
}

pub(crate) async fn a_wrong_key_is_named_and_changes_nothing(db: Db) {
    db.open().await.close().await;
    let wrong = db.try_open(2).await;
    assert!(matches!(wrong, Err(OpenError::WrongKey)), "{wrong:?}");
    db.open().await.close().await;
}

pub(crate) async fn a_newer_schema_is_named_and_left_alone(db: Db) {
    db.open().await.close().await;
    let newer = "UPDATE _sqlx_migrations SET version = 900 WHERE version = 2";
    assert_eq!(db.tamper(newer).await, 1);
    let opened = db.try_open(1).await;
    assert!(matches!(opened, Err(OpenError::NewerVersion { found: 900, .. })), "{opened:?}");
    let back = "UPDATE _sqlx_migrations SET version = 2 WHERE version = 900";
    assert_eq!(db.tamper(back).await, 1);
    db.open().await.close().await;
    let foreign = if db.url.starts_with("sqlite") {
        "UPDATE _sqlx_migrations SET checksum = X'00' WHERE version = 1"
    } else {
        r"UPDATE _sqlx_migrations SET checksum = '\x00' WHERE version = 1"
    };
    assert_eq!(db.tamper(foreign).await, 1);
    let opened = db.try_open(1).await;
    assert!(matches!(opened, Err(OpenError::Schema { version: 1 })), "{opened:?}");
}

pub(crate) async fn a_client_of_the_first_schema_keeps_its_purpose(db: Db) {
    let store = db.open().await;
    store.insert_client(&draft("app"), at(0)).await.unwrap();
    store.close().await;
    // Back to the first version, with a draft that it wrote.
    for step in [
        "ALTER TABLE clients DROP COLUMN purpose",
        "ALTER TABLE clients DROP COLUMN basis",
        "ALTER TABLE clients DROP COLUMN receipts",
        "UPDATE clients SET draft = REPLACE(REPLACE(draft, '\"address\":\"\",', ''), '\"basis\":null,', '')",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
    ] {
        db.tamper(step).await;
    }
    let store = db.open().await;
    let jti = domain::TokenId::parse("t").unwrap();
    let app = client("app");
    let query = StandingQuery { client: &app, person: None, grant: None, jti: &jti };
    let standing = store.gateway().standing(&query, at(1)).await.unwrap();
    assert!(standing.receipts);
    let terms = standing.client.unwrap();
    assert_eq!((terms.purpose, terms.basis), (draft("app").purpose, None));
    let kept = store.client(&app).await.unwrap().unwrap().draft;
    assert_eq!((kept.address.as_str(), kept.basis), ("", None));
}

pub(crate) async fn a_closed_store_fails_instead_of_waiting(db: Db) {
    let store = db.open().await;
    let clone = store.clone();
    store.close().await;
    let asked = async {
        assert!(clone.client(&client("app")).await.is_err());
        assert!(clone.insert_client(&draft("app"), at(0)).await.is_err());
        clone.close().await;
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
}

pub(crate) async fn two_nodes_may_open_a_new_database_at_once(db: Db) {
    if db.url.starts_with("sqlite") {
        // One process owns a data folder; only PostgreSQL has nodes.
        return;
    }
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { db.open().await })
        })
        .collect();
    for node in nodes {
        node.await.unwrap().close().await;
    }
}

/// What links a person to an app or a patient is nowhere in the clear, nor is any request.
pub(crate) async fn no_planted_name_stands_in_any_file(db: Db) {
    let store = db.open().await;
    let mut amina = person("plantedqzname");
    amina.id = person_id("p_inpeopleonly");
    amina.display_name = Phi::new("plantedqz-display".into());
    amina.own_record = Some(FhirId::parse("plantedqz-own").unwrap());
    store.insert_person(&amina, Some("$argon2id$x")).await.unwrap();
    let mut given = grant("g");
    given.person = person_id("p_plantedqz-grantor");
    given.context.patient = Some(FhirId::parse("plantedqz-patient").unwrap());
    store.insert_grant(&given).await.unwrap();
    let session = NewSession {
        hash: hash("s"),
        id: domain::SessionId::parse("s_visible").unwrap(),
        person: person_id("p_plantedqz-session"),
        auth_time: at(0),
        expires: at(9),
    };
    store.insert_session(&session).await.unwrap();
    let request = b"plantedqz-request".to_vec();
    let flow = NewFlow { hash: hash("f"), browser: hash("b"), request, expires: at(9) };
    store.insert_flow(&flow).await.unwrap();
    store.put_sealed("ring", b"plantedqz-key").await.unwrap();
    // Before closing: the write-ahead logs are searched too.
    let mut visible = 0;
    search(&db.files, &mut |text| {
        assert!(!text.contains("plantedqz"), "a planted name is in a file");
        visible += usize::from(text.contains("s_visible"));
    });
    assert!(visible > 0, "the search finds what is there");
    store.close().await;
}

fn search(dir: &Path, look: &mut impl FnMut(&str)) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            search(&entry.path(), look);
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            look(&String::from_utf8_lossy(&bytes));
        }
    }
}

pub(crate) async fn a_sealed_value_moved_to_another_row_does_not_open(db: Db) {
    let store = db.open().await;
    store.insert_grant(&grant("g1")).await.unwrap();
    store.insert_grant(&grant("g2")).await.unwrap();
    let moved = "UPDATE grants SET sealed = (SELECT sealed FROM grants WHERE id = 'g1') \
        WHERE id = 'g2'";
    assert_eq!(db.tamper(moved).await, 1);
    assert!(store.grant(&grant_id("g1")).await.unwrap().is_some());
    assert!(store.grant(&grant_id("g2")).await.is_err());
}

pub(crate) async fn the_file_is_made_0600_and_refused_when_others_may_read_it(db: Db) {
    let store = db.open().await;
    store.insert_client(&draft("app"), at(0)).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(&db.files).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", entry.path());
        files += 1;
    }
    assert!(files >= 2, "the database and its write-ahead log");
    store.close().await;
    let file = db.files.join("a store.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let opened = db.try_open(1).await;
    assert!(matches!(opened, Err(OpenError::Exposed { .. })), "{opened:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "this is no database, whatever its name says").unwrap();
    let opened = db.try_open(1).await;
    assert!(matches!(opened, Err(OpenError::Unusable(_))), "{opened:?}");
}

pub(crate) async fn a_distant_database_needs_verified_tls() {
    let open = async |url: &str| {
        let db = Db { url: url.into(), files: "/nonexistent".into() };
        db.try_open(1).await.unwrap_err()
    };
    for url in [
        "postgres://db.example/phiward",
        "postgres://db.example/phiward?sslmode=require",
        "postgres://127.0.0.1/phiward?host=db.example",
        "postgres:///phiward?hostaddr=192.0.2.1",
        "postgres://db.example/phiward?sslmode=verify-full&sslmode=disable",
    ] {
        assert!(matches!(open(url).await, OpenError::Plaintext), "{url}");
    }
    for url in ["mysql://x", "phiward.db", "sqlite:", "sqlite::memory:", "sqlite:a?mode=memory"] {
        assert!(matches!(open(url).await, OpenError::Url), "{url}");
    }
    // A port that nobody listens on, on this machine: allowed, and cannot be reached.
    let nobody = open("postgres://127.0.0.1:1/phiward").await;
    assert!(matches!(nobody, OpenError::Unusable("it cannot be reached")), "{nobody:?}");
}

pub(crate) async fn only_the_named_server_is_spoken_to(port: u16, certificate: PathBuf) {
    let root = certificate.to_str().unwrap().to_owned();
    let open = async |host: &str, root: &str| {
        let url = format!("postgres://phiward@{host}:{port}/postgres?sslmode=verify-full{root}");
        Db { url, files: "/nonexistent".into() }.try_open(1).await
    };
    let root = format!("&sslrootcert={root}");
    open("localhost", &root).await.unwrap().close().await;
    for (host, root) in [("127.0.0.1", &*root), ("localhost", "")] {
        let opened = open(host, root).await;
        let untrusted = "its certificate cannot be trusted";
        assert!(matches!(opened, Err(OpenError::Unusable(w)) if w == untrusted), "{opened:?}");
    }
}
