//! Races, power cuts and curiosity: what is used once is used once, what left is on record, and nothing
//! that lies around says who is whose patient.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phiward_journeys::{Answer, App, Demo, LAB_SCOPE, below, files, records};
use tokio::task::JoinSet;

const CROWD: usize = 50;

/// The successes among many answers to the same request; every other must be `invalid_grant`.
fn winners(answers: Vec<Answer>) -> Vec<serde_json::Value> {
    let (won, lost): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    for answer in lost {
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(answer.json()["error"], "invalid_grant");
    }
    won.iter().map(Answer::json).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_redeemed_by_fifty_at_once_buys_at_most_one_token_set_and_then_loses_it() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let request = app.request(&format!("offline_access {LAB_SCOPE}"));
    let back = demo.person("amina").authorize(&request.url, &app.redirect_uri).await;
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (app, back, request) = (app.clone(), back.clone(), request.clone());
        crowd.spawn(async move { app.redeem(&back, &request).await });
    }
    let won = winners(crowd.join_all().await);
    assert!(won.len() <= 1, "{} token sets for one code", won.len());
    for response in won {
        let token = response["access_token"].as_str().unwrap();
        assert_eq!(app.read("Observation", token).await.status, 401);
        let refreshed = app.refresh(response["refresh_token"].as_str().unwrap()).await;
        assert_eq!(refreshed.json()["error"], "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_token_used_by_fifty_at_once_never_leaves_two_live_lines() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let scope = format!("offline_access {LAB_SCOPE}");
    let grant = app.connect(&mut demo.person("amina"), &scope).await;
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (app, token) = (app.clone(), grant.refresh_token().to_owned());
        crowd.spawn(async move { app.refresh(&token).await });
    }
    let won = winners(crowd.join_all().await);
    assert!(won.len() <= 1, "{} successors of one refresh token", won.len());
    let mut live = 0;
    for response in &won {
        let successor = response["refresh_token"].as_str().unwrap();
        live += usize::from(app.refresh(successor).await.status == 200);
    }
    live += usize::from(app.refresh(grant.refresh_token()).await.status == 200);
    assert!(live <= 1, "{live} live lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_the_ledger_verifies_and_holds_all_that_left() {
    let mut demo = Demo::start(&[]);
    let mine = demo.ready.patient("amina").to_owned();
    let app = App::of(&demo, "demo-native");
    let labs: Vec<String> =
        records::observations(&mine, "laboratory").into_iter().map(records::id).collect();
    let released: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    for round in 0..5 {
        let grant = app.connect(&mut demo.person("amina"), LAB_SCOPE).await;
        let mut readers = JoinSet::new();
        for reader in 0..8 {
            let (app, token, released) =
                (app.clone(), grant.access_token().to_owned(), Arc::clone(&released));
            let mut paths = labs.clone();
            paths.rotate_left(reader * 3);
            readers.spawn(async move {
                for id in paths.iter().cycle() {
                    let path = if reader == 0 {
                        "Observation?_count=5".to_owned()
                    } else {
                        format!("Observation/{id}")
                    };
                    let Ok(answer) = app.try_read(&path, &token).await else { return };
                    if answer.status == 200 {
                        *released.lock().unwrap().entry(answer.sha256()).or_default() += 1;
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(300 + below(700))).await;
        demo.kill_9();
        readers.join_all().await;
        demo.restart();

        let verified = demo.command(&["ledger", "verify", "--allow-unproven"]);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success(), "round {round}: {said}");
    }
    let shown = demo.command(&["ledger", "show", "--last", "1000000", "--json"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown = String::from_utf8(shown.stdout).unwrap();
    let released = released.lock().unwrap();
    let count: usize = released.values().sum();
    assert!(count > 50, "only {count} answers left under this load");
    for (hash, times) in released.iter() {
        let recorded = shown.matches(hash.as_str()).count();
        assert!(
            recorded >= *times,
            "a body left {times} times and is on record {recorded} times: {hash}"
        );
    }
}

#[tokio::test]
async fn no_secret_and_no_phi_lies_in_logs_metrics_databases_or_the_ledger() {
    let mut demo = Demo::start(&[]);
    let mut canaries: Vec<(&str, String)> = Vec::new();
    for user in &demo.ready.users {
        canaries.push(("a password", user.password.clone()));
        canaries.extend(user.patient.iter().map(|id| ("a patient's id", id.clone())));
    }
    for client in &demo.ready.clients {
        canaries.extend(
            client.client_secret.iter().map(|secret| ("a client's secret", secret.clone())),
        );
    }
    let mine = demo.ready.patient("amina").to_owned();
    let record = records::all().iter().find(|r| r["id"] == *mine).unwrap();
    canaries.push(("a family name", record["name"][0]["family"].as_str().unwrap().to_owned()));
    canaries.push(("a birth date", record["birthDate"].as_str().unwrap().to_owned()));

    let app = App::of(&demo, "demo-native");
    let request =
        app.request(&format!("openid fhirUser offline_access patient/Patient.rs {LAB_SCOPE}"));
    let mut amina = demo.person("amina");
    let back = amina.authorize(&request.url, &app.redirect_uri).await;
    canaries.push(("a code", back.get("code").to_owned()));
    canaries.push(("a PKCE verifier", request.verifier.clone()));
    canaries.extend(amina.cookies().into_iter().map(|cookie| ("a cookie", cookie)));
    let grant = app.redeem(&back, &request).await.into_grant();
    let refreshed = app.refresh(grant.refresh_token()).await.into_grant();
    for one in [&grant, &refreshed] {
        canaries.push(("a refresh token", one.refresh_token().to_owned()));
        canaries.push(("an access token", one.access_token().to_owned()));
        let signature = one.access_token().rsplit('.').next().unwrap();
        canaries.push(("an access token's signature", signature.to_owned()));
    }
    let token = refreshed.access_token();
    let labs = app.search("Observation", token).await;
    canaries.push(("a record's id", records::id(&labs[0])));
    assert_eq!(app.read(&format!("Patient/{mine}"), token).await.status, 200);
    // What only an error could give away.
    for (path, token) in [
        ("Observation/canary-of-a-path", token),
        ("Observation?code=canary-of-a-query", token),
        ("Observation?canary-of-a-name=1", token),
        ("Observation", "canary-of-a-token"),
    ] {
        let answer = app.read(path, token).await;
        // The self link of an answer repeats its question; no refusal does.
        let repeated = answer.status != 200 && answer.text().contains("canary-of");
        assert!(!repeated, "{path} is repeated: {}", answer.text());
    }
    canaries.push(("what was asked", "canary-of".to_owned()));
    let _ = app.refresh("canary-of-a-refresh-token").await;
    let _ = app.token(&[("grant_type", "authorization_code"), ("code", "canary-of-a-code")]).await;
    let metrics = format!("{}/metrics", demo.ready.internal);
    let metrics = phiward_journeys::Client::plain().get(&metrics, &[]).await.text();

    let database = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let head = std::fs::read(path).unwrap_or_default();
        head.starts_with(b"SQLite format 3") || name.ends_with("-wal") || name.ends_with("-journal")
    };
    let live: Vec<PathBuf> = files(&demo.data()).into_iter().filter(database).collect();
    let mut places: Vec<(String, Vec<u8>)> = vec![("the metrics".to_owned(), metrics.into_bytes())];
    let read =
        |path: &PathBuf| (path.display().to_string(), std::fs::read(path).unwrap_or_default());
    places.extend(live.iter().map(read));
    demo.stop();
    places.push(("standard output and error".to_owned(), demo.said().into_bytes()));
    let stopped = files(&demo.data());
    assert!(stopped.iter().any(database), "no database was found to look at");
    places.extend(stopped.iter().filter(|path| database(path)).map(read));
    let sealed = files(&demo.ready.ledger);
    assert!(!sealed.is_empty());
    places.extend(sealed.iter().map(read));

    for (place, bytes) in &places {
        for (what, canary) in &canaries {
            assert!(!canary.is_empty());
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{what} lies in {place}");
        }
    }
}
