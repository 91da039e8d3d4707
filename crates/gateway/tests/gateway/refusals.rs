//! Every refusal: the right answer, recorded, and nothing else in it.

use domain::{ClientId, GrantId, Kind, Outcome, PersonId, Reject, TokenId};
use http::Method;
use proptest::prelude::*;

use crate::upstream::{SELF, answer, bundle, json, observation};
use crate::world::{Holder, LABS, World, ring, text};

const CANARY: &str = "CANARY-BROOK";

async fn refused(world: &World, token: &str, target: &str) -> (u16, Reject) {
    let response = world.get(token, target).await;
    let records = world.records();
    let last = records.last().expect("a record");
    assert_eq!(last.kind, Some(Kind::PhiDenied));
    let Some(Outcome::Refused(reject)) = last.outcome else { panic!("no refusal: {target}") };
    assert!(text(&response).contains("c-0001"));
    assert!(text(&response).contains(reject.text()));
    (response.status.as_u16(), reject)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_a_recorded_401_row_35() {
    let world = World::new().await;
    let good = world.claims(Holder::Amina, LABS, Some("pat-a"));
    let signed = |change: &dyn Fn(&mut keys::access_token::AccessTokenClaims)| {
        let mut claims = good.clone();
        change(&mut claims);
        keys::access_token::sign(&ring(), &claims).unwrap().expose().clone()
    };
    let tampered = format!("{}A", world.hers(LABS));
    for (token, reject) in [
        (String::new(), Reject::TokenMissing),
        ("x".into(), Reject::TokenMalformed),
        (tampered, Reject::TokenSignature),
        (signed(&|c| c.aud = "https://us.example".into()), Reject::TokenClaims),
        (signed(&|c| c.iss = "https://evil.example".into()), Reject::TokenClaims),
        (signed(&|c| c.grant = None), Reject::TokenClaims),
        (signed(&|c| c.iat = c.iat.plus_secs(120)), Reject::TokenNotYetValid),
    ] {
        assert_eq!(refused(&world, &token, "/Observation/1").await, (401, reject));
    }
    let response = world.get("", "/Observation/1").await;
    let challenge = response.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("/.well-known/oauth-protected-resource/fhir"));
    assert!(world.up.asked().is_empty());
    let token = world.hers(LABS);
    assert_eq!(refused(&world, &token, "/Observation/1").await, (404, Reject::OutOfReach));
    world.clock.advance(301);
    assert_eq!(refused(&world, &token, "/Observation/1").await, (401, Reject::TokenExpired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_anywhere_else_or_twice_is_refused_rows_38_44() {
    let world = World::new().await;
    let token = world.hers(LABS);
    let target = format!("/Observation?access_token={token}");
    assert_eq!(refused(&world, "", &target).await, (400, Reject::TokenMisplaced));
    let twice = [("authorization", "Bearer other")];
    let response = world.send(Method::GET, &token, "/Observation", &twice, "").await;
    assert_eq!(response.status.as_u16(), 400);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "access_token=x";
    let response = world.send(Method::POST, &token, "/Observation/_search", &form, body).await;
    assert!(text(&response).contains(Reject::TokenMisplaced.text()));
    assert!(world.up.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_grant_ends_its_tokens_at_once_row_47() {
    let over = (401, Reject::TokenRevoked);
    let lab = || json(&observation("1", "pat-a", "laboratory", ""));
    let world = World::new().await;
    world.up.says(move |_| lab());
    let (token, now) = (world.hers(LABS), domain::Clock::now(&*world.clock));
    assert_eq!(world.get(&token, "/Observation/1").await.status.as_u16(), 200);
    let app = ClientId::parse("app").unwrap();
    world.store.set_client_disabled(&app, Some(now)).await.unwrap();
    assert_eq!(refused(&world, &token, "/Observation/1").await, over);
    world.store.set_client_disabled(&app, None).await.unwrap();
    let amina = PersonId::parse("p_amina").unwrap();
    world.store.set_person_disabled(&amina, Some(now)).await.unwrap();
    assert_eq!(refused(&world, &token, "/Observation/1").await, over);
    world.store.set_person_disabled(&amina, None).await.unwrap();
    assert_eq!(world.get(&token, "/Observation/1").await.status.as_u16(), 200);
    world.store.withdraw_grant(&GrantId::parse("g-amina").unwrap(), now).await.unwrap();
    assert_eq!(refused(&world, &token, "/Observation/1").await, over);
    let doctor = world.token(Holder::Solis, LABS, Some("pat-a"));
    assert_eq!(world.get(&doctor, "/Observation/1").await.status.as_u16(), 200);
    let jti = TokenId::parse("token-1").unwrap();
    world.store.revoke_token(&jti, now.plus_secs(900)).await.unwrap();
    assert_eq!(refused(&world, &doctor, "/Observation/1").await, over);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_is_no_longer_within_reach_is_no_context_row_27() {
    let world = World::new().await;
    for (holder, patient) in [(Holder::Amina, None), (Holder::Amina, Some("pat-b"))] {
        let token = world.token(holder, LABS, patient);
        let answer = refused(&world, &token, "/Observation/1").await;
        assert_eq!(answer, (403, Reject::PatientMissing));
    }
    let token = world.token(Holder::Backend, "system/Observation.rs", None);
    let answer = refused(&world, &token, "/Condition/1").await;
    assert_eq!(answer, (403, Reject::ScopeInsufficient));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused_before_anybody_is_asked_rows_1_2_3_40_41() {
    let world = World::new().await;
    let token = world.hers("patient/Observation.rs");
    for (target, reject) in [
        ("/Observation?_include=Observation:subject", Reject::SearchParameterRefused),
        ("/Observation?subject:Patient.name=x", Reject::SearchParameterRefused),
        ("/Observation?_has:Condition:patient:code=x", Reject::SearchParameterRefused),
        ("/Observation?_summary=count", Reject::SearchParameterRefused),
        ("/Observation/1?_elements=id", Reject::SearchParameterRefused),
        ("/Observation?patient=pat-a&patient=pat-b", Reject::SearchMalformed),
        ("/Observation?_format=xml", Reject::FormatRefused),
        ("/Observation/%2e%2e", Reject::PathMalformed),
        ("/Observation/..", Reject::PathMalformed),
        ("//Observation/1", Reject::PathMalformed),
        ("/observation/1", Reject::PathMalformed),
        ("/Observation/1/_history/1", Reject::NotInThisVersion),
        ("/Patient/pat-a/$everything", Reject::InteractionRefused),
        ("/?_type=Observation", Reject::InteractionRefused),
        ("/Practitioner/1", Reject::ScopeInsufficient),
    ] {
        let (status, given) = refused(&world, &token, target).await;
        assert_eq!((status, given), (reject.status(), reject), "{target}");
    }
    let xml = [("accept", "application/fhir+xml")];
    let response = world.send(Method::GET, &token, "/Observation/1", &xml, "").await;
    assert_eq!(response.status.as_u16(), 406);
    let response = world.send(Method::GET, &token, "/Observation/1", &[], "body").await;
    assert_eq!(response.status.as_u16(), 400);
    let response = world.send(Method::POST, &token, "/Observation/_search", &[], "code=x").await;
    assert_eq!(response.status.as_u16(), 415);
    assert!(world.up.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upstream_is_an_answer_of_ours_row_34() {
    let world = World::new().await;
    let fhir = "application/fhir+json";
    let short = format!(
        "HTTP/1.1 200 X\r\nContent-Type: {fhir}\r\nContent-Length: 9999\r\n\r\n{{\"{CANARY}\""
    );
    let redirect = format!(
        "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/{CANARY}\r\nContent-Length: 0\r\n\r\n"
    );
    let huge = json(&format!(r#"{{"x":"{}"}}"#, "x".repeat(300 * 1024)));
    let html = answer(200, "text/html", CANARY);
    let lab = observation("1", "pat-a", "laboratory", "");
    let mislabelled = answer(200, "text/html", &lab);
    let mislabelled_bundle = answer(200, "application/json-patch+json", &bundle(&[lab], SELF));
    for (sent, read, search) in [
        (html, Reject::UpstreamBroken, Reject::UpstreamBroken),
        (mislabelled, Reject::UpstreamBroken, Reject::UpstreamBroken),
        (mislabelled_bundle, Reject::UpstreamBroken, Reject::UpstreamBroken),
        (json(&format!("<html>{CANARY}")), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (answer(500, fhir, CANARY), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (answer(401, fhir, CANARY), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (answer(503, fhir, CANARY), Reject::UpstreamUnavailable, Reject::UpstreamUnavailable),
        (answer(400, fhir, CANARY), Reject::OutOfReach, Reject::SearchParameterRefused),
        (answer(404, fhir, CANARY), Reject::OutOfReach, Reject::UpstreamBroken),
        (short.into_bytes(), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (redirect.into_bytes(), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (b"garbage\r\n\r\n".to_vec(), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n\xff\xfe".to_vec(), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (json(r#"{"resourceType":"Patient","id":"pat-a"}"#), Reject::UpstreamBroken, Reject::UpstreamBroken),
        (huge, Reject::ResultTooLarge, Reject::ResultTooLarge),
    ] {
        let described = String::from_utf8_lossy(&sent[..sent.len().min(60)]).into_owned();
        world.up.says(move |_| sent.clone());
        let token = world.hers(LABS);
        assert_eq!(refused(&world, &token, "/Observation/1").await.1, read, "{described}");
        assert_eq!(refused(&world, &token, "/Observation").await.1, search, "{described}");
        for target in ["/Observation/1", "/Observation"] {
            assert!(!text(&world.get(&token, target).await).contains(CANARY), "{described}");
        }
    }
    world.up.says(|_| Vec::new());
    let slow = refused(&world, &world.hers(LABS), "/Observation/1").await;
    assert_eq!(slow, (504, Reject::UpstreamTimeout));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_nothing_leaves_row_48() {
    let world = World::new().await;
    let sent = observation("1", "pat-a", "laboratory", r#","note":[{"text":"CANARY-AMINA"}]"#);
    let all = bundle(std::slice::from_ref(&sent), SELF);
    world.up.says(move |asked| json(if asked.line.starts_with("GET") { &sent } else { &all }));
    let token = world.hers(LABS);
    assert!(text(&world.get(&token, "/Observation/1").await).contains("CANARY-AMINA"));
    world.ledger.close().await.unwrap();
    for target in ["/Observation/1", "/Observation", "/Observation?patient=pat-b"] {
        let response = world.get(&token, target).await;
        assert_eq!(response.status.as_u16(), 503, "{target}");
        assert!(!text(&response).contains("CANARY-AMINA"));
    }
}

#[test]
fn no_request_brings_another_patients_canary_out() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let note = format!(r#","note":[{{"text":"{CANARY}"}}]"#);
    let foreign = observation("1", "pat-b", "laboratory", &note);
    let patient = format!(r#"{{"resourceType":"Patient","id":"pat-b"{note}}}"#);
    let all = bundle(&[foreign.clone(), patient.clone()], SELF);
    world.up.says(move |asked| {
        json(match asked.line.as_str() {
            line if line.starts_with("POST") => &all,
            line if line.contains("/Patient/") => &patient,
            _ => &foreign,
        })
    });
    let token = world.hers("patient/Observation.rs patient/Patient.rs patient/Condition.rs");
    let segment = "Observation|Patient|Condition|_search|_history|metadata|1|pat-b|\\$everything|[A-Za-z.%-]{0,6}";
    let path = format!("(/({segment})){{0,3}}");
    let pair = "(patient|subject|_id|code|_count|_page|[a-z_:.]{1,6})=(pat-a|pat-b|Patient/pat-b|1|[a-z,|%]{0,5})";
    let query = format!("({pair}(&{pair}){{0,2}})?");
    let method =
        prop_oneof![4 => Just(Method::GET), 2 => Just(Method::POST), 1 => Just(Method::PUT)];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let any = (
        method,
        proptest::string::string_regex(&path).unwrap(),
        proptest::string::string_regex(&query).unwrap(),
    );
    runner
        .run(&any, |(method, path, query)| {
            let form = [("content-type", "application/x-www-form-urlencoded")];
            let post = method == Method::POST;
            let target = format!("{path}?{query}");
            let (target, body) =
                if post { (path.as_str(), query.as_str()) } else { (target.as_str(), "") };
            let headers = if post { &form[..] } else { &[] };
            let response = runtime.block_on(world.send(method, &token, target, headers, body));
            prop_assert!(!text(&response).contains(CANARY));
            Ok(())
        })
        .unwrap();
}
