//! The main job over real TLS: one app reads one patient's laboratory results, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;

use phiward_journeys::{Answer, App, Demo, LAB_SCOPE, files, records, refusal};
use serde_json::Value;

/// What may differ between two refusals: the id by which each finds its own ledger record, and the date.
fn shape(answer: &Answer) -> (u16, Vec<String>, String) {
    let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort_unstable();
    let mut body = answer.text();
    for word in answer.text().split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
    {
        if word.len() >= 16 && word.chars().any(|c| c.is_ascii_digit()) {
            body = body.replace(word, "…");
        }
    }
    (answer.status, names, body)
}

fn ids(resources: &[Value]) -> BTreeSet<String> {
    resources.iter().map(records::id).collect()
}

#[tokio::test]
async fn an_app_reads_one_patients_labs_and_nothing_else() {
    let demo = Demo::start(&[]);
    let (mine, other) = (demo.ready.patient("amina"), demo.ready.patient("brook"));
    let app = App::of(&demo, "demo-native");
    let grant = app.connect(&mut demo.person("amina"), LAB_SCOPE).await;
    let token = grant.access_token();

    // The token says exactly what was asked for and allowed.
    assert_eq!(grant.response["scope"], LAB_SCOPE);
    assert_eq!(grant.patient(), mine);
    assert_eq!(grant.response["token_type"], "Bearer");
    let claims = grant.claims();
    assert_eq!(claims["scope"], LAB_SCOPE);
    assert_eq!(claims["iss"], demo.ready.issuer);
    assert_eq!(claims["aud"], demo.ready.fhir_base);
    assert_eq!(claims["client_id"], "demo-native");
    assert_eq!(claims["patient"], mine);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=900).contains(&life), "lives {life} s");

    // All of this patient's laboratory results, as they are on record.
    let labs = app.search("Observation", token).await;
    assert!(labs.iter().all(records::as_recorded));
    let expected = records::observations(mine, "laboratory");
    for lab in &labs {
        assert!(
            expected.iter().any(|one| one["id"] == lab["id"]),
            "{} is no lab of {mine}",
            lab["id"]
        );
    }
    let got = ids(&labs);
    for lab in expected.iter().filter(|lab| records::unrestricted(lab)) {
        assert!(got.contains(&records::id(lab)), "{} is missing", lab["id"]);
    }
    let one = got.first().unwrap();
    let read = app.read(&format!("Observation/{one}"), token).await;
    assert_eq!(read.status, 200);
    assert!(records::as_recorded(&read.json()));
    assert_eq!(read.header("cache-control"), Some("no-store"));

    // Out of reach looks like absent.
    let absent = app.read("Observation/does-not-exist", token).await;
    assert_eq!(absent.status, 404);
    assert_eq!(absent.json()["resourceType"], "OperationOutcome");
    let vital = records::id(records::observations(mine, "vital-signs")[0]);
    let foreign = records::id(records::observations(other, "laboratory")[0]);
    for id in [vital, foreign] {
        let refused = app.read(&format!("Observation/{id}"), token).await;
        assert_eq!(shape(&refused), shape(&absent), "Observation/{id}");
    }
    let empty = [
        format!("Observation?patient={other}"),
        format!("Observation?subject=Patient/{other}"),
        format!("Observation?category={}|vital-signs", records::CATEGORY),
    ];
    for query in &empty {
        assert_eq!(app.search(query, token).await, Vec::<Value>::new(), "{query}");
    }

    // Kinds of access that were not granted at all are said to be so.
    let refused = app.read("Condition", token).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.header("www-authenticate").unwrap().contains("insufficient_scope"));
    assert_eq!(app.read(&format!("Patient/{mine}"), token).await.status, 403);

    // No token, and a token that nobody signed.
    let none = demo.client.get(&demo.fhir("Observation"), &[]).await;
    assert_eq!(none.status, 401);
    assert!(none.header("www-authenticate").unwrap().contains("resource_metadata="));
    let (body, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{body}.{flipped}{}", signature.get(1..).unwrap());
    let refused = app.read("Observation", &forged).await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));

    // Every step stands in a ledger that verifies.
    let verified = demo.command(&["ledger", "verify", "--allow-unproven"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{said}{}", String::from_utf8_lossy(&verified.stderr));
    let last = said.trim_end().lines().next_back().unwrap_or_default();
    assert!(last.starts_with("PASS") || last.starts_with("UNPROVEN"), "{said}");
    let shown = demo.command(&["ledger", "show", "--last", "50"]);
    assert!(shown.status.success());
    assert!(!shown.stdout.is_empty());
}

#[tokio::test]
async fn a_wildcard_is_refused() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    for scope in ["patient/*.rs", "patient/*.read", "user/*.cruds", "patient/Observation.*", "*"] {
        let request = app.request(&format!("{scope} {LAB_SCOPE}"));
        let back = demo.person("amina").authorize(&request.url, &app.redirect_uri).await;
        assert_eq!(back.get("error"), "invalid_scope", "{scope}");
        assert_eq!(back.get("state"), request.state);
        assert_eq!(back.get("iss"), demo.ready.issuer);
        assert!(!back.parameters.contains_key("code"));
    }
}

#[tokio::test]
async fn a_replayed_code_revokes_what_it_bought() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let request = app.request(&format!("offline_access {LAB_SCOPE}"));
    let back = demo.person("amina").authorize(&request.url, &app.redirect_uri).await;
    let grant = app.redeem(&back, &request).await.into_grant();
    assert_eq!(app.read("Observation", grant.access_token()).await.status, 200);

    let replay = app.redeem(&back, &request).await;
    assert!(refusal(&replay, 400, "invalid_grant"), "{}", replay.text());
    let read = app.read("Observation", grant.access_token()).await;
    assert_eq!(read.status, 401, "{}", read.text());
    let refreshed = app.refresh(grant.refresh_token()).await;
    assert!(refusal(&refreshed, 400, "invalid_grant"), "{}", refreshed.text());
}

#[tokio::test]
async fn a_code_is_worth_nothing_without_its_verifier_its_app_or_its_redirect_uri() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let stranger = App::of(&demo, "demo-confidential");
    let mut amina = demo.person("amina");
    let form = |code: &str, redirect_uri: &str, verifier: &str| {
        ["authorization_code", code, redirect_uri, verifier].map(str::to_owned)
    };
    let names = ["grant_type", "code", "redirect_uri", "code_verifier"];
    for fault in ["verifier", "app", "redirect_uri", "no verifier"] {
        let request = app.request(LAB_SCOPE);
        let other = app.request(LAB_SCOPE);
        let back = amina.authorize(&request.url, &app.redirect_uri).await;
        let code = back.get("code");
        let (who, values) = match fault {
            "verifier" => (&app, form(code, &app.redirect_uri, &other.verifier)),
            "app" => (&stranger, form(code, &app.redirect_uri, &request.verifier)),
            "redirect_uri" => (&app, form(code, "http://127.0.0.1:9999/other", &request.verifier)),
            _ => (&app, form(code, &app.redirect_uri, "")),
        };
        let pairs: Vec<(&str, &str)> = names
            .into_iter()
            .zip(values.iter().map(String::as_str))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let answer = who.token(&pairs).await;
        assert_eq!(answer.status, 400, "{fault}: {}", answer.text());
        assert!(answer.json().get("access_token").is_none());
    }
}

#[tokio::test]
async fn a_person_may_refuse_or_allow_a_part() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let request = app.request(LAB_SCOPE);
    let back = demo.person("amina").denying().authorize(&request.url, &app.redirect_uri).await;
    assert_eq!(back.get("error"), "access_denied");
    assert_eq!(back.get("state"), request.state);

    // The page offers each category by itself; ticking one grants that one.
    let asked = "patient/Observation.rs patient/Condition.rs";
    let mut amina = demo.person("amina").ticking(&[LAB_SCOPE]).lasting("1d");
    let grant = app.connect(&mut amina, asked).await;
    assert_eq!(grant.response["scope"], LAB_SCOPE);
    assert_eq!(app.read("Condition", grant.access_token()).await.status, 403);
    let query = format!("Observation?category={}|vital-signs", records::CATEGORY);
    assert_eq!(app.search(&query, grant.access_token()).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_clinician_picks_the_patient_and_the_token_is_for_no_other() {
    let demo = Demo::start(&[]);
    let (mine, other) = (demo.ready.patient("brook"), demo.ready.patient("amina"));
    let app = App::of(&demo, "demo-confidential");
    let mut solis = demo.person("drsolis").choosing(mine);
    let grant = app.connect(&mut solis, &format!("launch/patient {LAB_SCOPE}")).await;
    assert!(
        solis.pages.iter().any(|(_, html)| html.contains("name=\"patient\"")),
        "no picker was shown"
    );
    assert_eq!(grant.patient(), mine);
    let labs = app.search("Observation", grant.access_token()).await;
    assert!(!labs.is_empty());
    assert!(labs.iter().all(|lab| lab["subject"]["reference"] == format!("Patient/{mine}")));
    let query = format!("Observation?patient={other}");
    assert_eq!(app.search(&query, grant.access_token()).await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_signed_in_may_read_exactly_their_own_resource() {
    let demo = Demo::start(&[]);
    let (mine, other) = (demo.ready.patient("amina"), demo.ready.patient("brook"));
    let app = App::of(&demo, "demo-native");
    let grant =
        app.connect(&mut demo.person("amina"), &format!("openid fhirUser {LAB_SCOPE}")).await;
    let own = app.read(&format!("Patient/{mine}"), grant.access_token()).await;
    assert_eq!(own.status, 200, "{}", own.text());
    assert!(records::as_recorded(&own.json()));
    for path in [format!("Patient/{other}"), "Patient".to_owned(), format!("Patient?_id={mine}")] {
        let refused = app.read(&path, grant.access_token()).await;
        assert_ne!(refused.status, 200, "{path}: {}", refused.text());
    }
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_whole_family() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let scope = format!("offline_access {LAB_SCOPE}");
    let first = app.connect(&mut demo.person("amina"), &scope).await;
    let second = app.refresh(first.refresh_token()).await.into_grant();
    assert_ne!(first.refresh_token(), second.refresh_token(), "a public client's token rotates");
    assert_eq!(second.patient(), first.patient());
    assert_eq!(app.read("Observation", second.access_token()).await.status, 200);

    let replay = app.refresh(first.refresh_token()).await;
    assert!(refusal(&replay, 400, "invalid_grant"), "{}", replay.text());
    let successor = app.refresh(second.refresh_token()).await;
    assert!(refusal(&successor, 400, "invalid_grant"), "{}", successor.text());
    assert_eq!(app.read("Observation", second.access_token()).await.status, 401);
}

#[tokio::test]
async fn a_refresh_token_alone_serves_a_public_client_and_no_confidential_one() {
    // SMART App Launch 2.2 has public apps send the token and no `client_id`.
    let demo = Demo::start(&[]);
    let url = format!("{}/oauth/token", demo.ready.issuer);
    let scope = format!("offline_access {LAB_SCOPE}");
    for (client_id, expected) in [("demo-native", 200), ("demo-confidential", 401)] {
        let app = App::of(&demo, client_id);
        let grant = app.connect(&mut demo.person("amina"), &scope).await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", grant.refresh_token())];
        let answer = demo.client.post_form(&url, &[], &form).await;
        assert_eq!(answer.status, expected, "{client_id}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_refresh_narrows_and_never_widens() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-confidential");
    let scope = format!("offline_access {LAB_SCOPE} patient/Condition.rs");
    let grant = app.connect(&mut demo.person("amina"), &scope).await;
    assert_eq!(app.read("Condition", grant.access_token()).await.status, 200);
    let form = |scope| {
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", grant.refresh_token()),
            ("scope", scope),
        ]
    };
    let wider = app.token(&form("patient/Encounter.rs")).await;
    assert!(refusal(&wider, 400, "invalid_scope"), "{}", wider.text());
    let narrow = app.token(&form(LAB_SCOPE)).await.into_grant();
    assert_eq!(narrow.response["scope"], LAB_SCOPE);
    assert_eq!(app.read("Condition", narrow.access_token()).await.status, 403);
    assert_eq!(app.read("Observation", narrow.access_token()).await.status, 200);
}

#[tokio::test]
async fn a_redirect_uri_that_nobody_registered_gets_a_page_and_no_redirect() {
    let demo = Demo::start(&[]);
    let registered = App::of(&demo, "demo-web").redirect_uri;
    for (client_id, uri) in [
        ("demo-web", "https://attacker.example/".to_owned()),
        ("demo-web", format!("{registered}/")),
        ("demo-web", format!("{registered}?x=1")),
        ("demo-web", registered.replace("https:", "HTTPS:")),
        ("demo-web", format!("{registered}%2F..%2Fother")),
        ("demo-web", "javascript:alert(1)".to_owned()),
        // On loopback the port is free, and nothing else.
        ("demo-native", "http://127.0.0.1:9999/callback/".to_owned()),
        ("demo-native", "http://127.0.0.1:9999/callback/more".to_owned()),
        ("demo-native", "http://127.0.0.1:9999/callback?x=1".to_owned()),
        ("demo-native", "http://localhost:9999/callback".to_owned()),
        ("demo-native", "http://127.0.0.1.attacker.example:9999/callback".to_owned()),
        ("demo-native", "http://127.0.0.1:9999@attacker.example/callback".to_owned()),
    ] {
        let mut wrong = App::of(&demo, client_id);
        wrong.redirect_uri.clone_from(&uri);
        let answer = demo.client.get(&wrong.request(LAB_SCOPE).url, &[]).await;
        assert_eq!(answer.status, 400, "{uri}: {}", answer.text());
        assert_eq!(answer.header("location"), None, "{uri}");
        assert!(!answer.text().contains("attacker.example"), "the page repeats its input");
    }
}

#[tokio::test]
async fn the_password_exception_reads_and_gets_no_refresh_token() {
    let demo = Demo::start(&[]);
    let amina = demo.ready.user("amina");
    let form = [
        ("grant_type", "password"),
        ("username", amina.username.as_str()),
        ("password", amina.password.as_str()),
        ("scope", LAB_SCOPE),
    ];
    let legacy = App::of(&demo, "demo-legacy");
    let grant = legacy.token(&form).await.into_grant();
    assert_eq!(grant.response["scope"], LAB_SCOPE);
    assert!(grant.response.get("refresh_token").is_none());
    assert!(!legacy.search("Observation", grant.access_token()).await.is_empty());
    // Without an exception there is no such grant.
    let refused = App::of(&demo, "demo-confidential").token(&form).await;
    assert!(refusal(&refused, 400, "unauthorized_client"), "{}", refused.text());
}

#[tokio::test]
async fn a_changed_byte_in_the_ledger_does_not_verify() {
    let mut demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-native");
    let grant = app.connect(&mut demo.person("amina"), LAB_SCOPE).await;
    assert!(!app.search("Observation", grant.access_token()).await.is_empty());
    demo.stop();
    let verify = ["ledger", "verify", "--allow-unproven"];
    let before = demo.command(&verify);
    assert_eq!(before.status.code(), Some(0), "{}", String::from_utf8_lossy(&before.stdout));

    let mut files: Vec<_> = files(&demo.ready.ledger);
    files.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).unwrap().len()));
    let segment = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == "phl");
    let path = files.iter().find(segment).expect("the ledger has a segment");
    let mut bytes = std::fs::read(path).unwrap();
    // Within the first record: preallocated space at the end of a segment may be all zeros.
    let place = bytes.iter().take(400).rposition(|byte| *byte != 0).unwrap();
    bytes[place] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let after = demo.command(&verify);
    assert_eq!(after.status.code(), Some(1), "{}", String::from_utf8_lossy(&after.stdout));
    let said = String::from_utf8(after.stdout).unwrap();
    assert!(said.trim_end().lines().next_back().unwrap_or_default().starts_with("FAIL"), "{said}");
}

#[test]
fn the_demo_walks_once_by_itself() {
    let output = std::process::Command::new(phiward_journeys::phiward())
        .args(["demo", "--once"])
        .current_dir(tempfile::tempdir().unwrap().path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for word in ["laboratory", "401", "403", "empty Bundle", "invalid_scope", "invalid_grant"] {
        assert!(said.contains(word), "`{word}` is not in the walk:\n{said}");
    }
}
