//! Redeeming a code: attacks E4, R1, R2, C6, F5 to F7.

use domain::{Kind, Outcome, Reject};
use tokio::task::JoinSet;

use crate::app::{Form, ask, redemption, refreshing, text};
use crate::record::{faulted, rejected};
use crate::world::{FHIR, ISSUER, OTHER_CALLBACK, USUAL, World, claims};

const KIND: Kind = Kind::TokenRefused;

#[tokio::test]
async fn a_code_buys_what_the_person_allowed() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let mark = world.mark();
    let response = world.token("web", &redemption(&code)).await.unwrap();
    let json = response.to_json();
    assert_eq!(json["token_type"], "Bearer");
    assert_eq!(json["expires_in"], 300);
    assert_eq!(json["scope"], USUAL);
    assert_eq!(json["patient"], "pat-a");
    assert!(text(&response, "refresh_token").starts_with("phr_"));
    let access = claims(&text(&response, "access_token"));
    assert_eq!((&access["iss"], &access["aud"]), (&ISSUER.into(), &FHIR.into()));
    assert_eq!(access["sub"], world.person("amina").await.id.as_str());
    assert_eq!((&access["client_id"], &access["patient"]), (&"web".into(), &"pat-a".into()));
    assert_eq!(access["exp"], world.now().secs() + 300);
    assert_eq!(world.story(mark), [(Kind::TokenIssued, Outcome::Success)]);
    let record = &world.records_from(mark)[0];
    let body = record.body.clone().unwrap();
    assert_eq!(body.client.unwrap().as_str(), "web");
    assert_eq!(body.subject.unwrap(), world.person("amina").await.id.as_str());
    assert!(body.correlation.is_some() && body.address.is_some() && body.jti_hash.is_some());
}

#[tokio::test]
async fn the_id_token_speaks_of_the_person_to_this_client_only() {
    let world = World::new().await;
    let scope = "openid fhirUser profile patient/Patient.rs";
    let response = world.connected("web", scope).await;
    let id = claims(&text(&response, "id_token"));
    assert_eq!((&id["iss"], &id["aud"]), (&ISSUER.into(), &"web".into()));
    assert_eq!(id["sub"], world.person("amina").await.id.as_str());
    assert_eq!(id["nonce"], "n-1");
    assert_eq!(id["fhirUser"], format!("{FHIR}/Patient/pat-a"));
    assert_eq!(id["auth_time"], world.now().secs());
    assert!(id["at_hash"].is_string());
    let without = world.connected("web", "patient/Patient.rs").await.to_json();
    assert!(without.get("id_token").is_none());
    let plain = world.connected("web", "openid patient/Patient.rs").await;
    assert!(claims(&text(&plain, "id_token")).get("fhirUser").is_none());
}

#[tokio::test]
async fn a_code_is_good_for_sixty_seconds() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    world.later(59);
    world.token("web", &redemption(&code)).await.unwrap();
    let code = world.code("web", USUAL).await;
    world.later(60);
    world.refuses(KIND, Reject::CodeExpired, world.token("web", &redemption(&code))).await;
}

#[tokio::test]
async fn a_replayed_code_revokes_what_it_bought() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let first = world.token("web", &redemption(&code)).await.unwrap();
    let access = text(&first, "access_token");
    world.userinfo(&access).await.unwrap();
    world.withdraws(Reject::CodeReused, world.token("web", &redemption(&code))).await;
    world.refuses(Kind::UserInfoRead, Reject::TokenRevoked, world.userinfo(&access)).await;
    let refresh = text(&first, "refresh_token");
    world.refuses(KIND, Reject::PrincipalInactive, world.refresh("web", &refresh)).await;
    // And once more: still a reuse, and the grant ended only once.
    world.refuses(KIND, Reject::CodeReused, world.token("web", &redemption(&code))).await;
}

#[tokio::test]
async fn a_replay_is_seen_long_after_the_code_ended() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    world.token("web", &redemption(&code)).await.unwrap();
    world.later(86_400 + 1);
    while world.store.expire_batch(world.now(), 100).await.unwrap() > 0 {}
    world.withdraws(Reject::CodeReused, world.token("web", &redemption(&code))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_parallel_redemptions_at_most_one_succeeds_and_nothing_it_bought_stays() {
    let world = std::sync::Arc::new(World::new().await);
    let code = world.code("web", USUAL).await;
    let mark = world.mark();
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let (world, form) = (std::sync::Arc::clone(&world), redemption(&code));
        all.spawn(async move { world.token("web", &form).await });
    }
    let mut won = Vec::new();
    while let Some(answer) = all.join_next().await {
        match answer.unwrap() {
            Ok(response) => won.push(response),
            refused => assert!(
                [Reject::CodeReused, Reject::PrincipalInactive].contains(&rejected(refused))
            ),
        }
    }
    assert!(won.len() <= 1, "{} codes redeemed", won.len());
    assert!(world.grants().await.iter().all(|grant| grant.withdrawn.is_some()));
    for response in won {
        let refresh = text(&response, "refresh_token");
        assert_eq!(rejected(world.refresh("web", &refresh).await), Reject::PrincipalInactive);
        let access = text(&response, "access_token");
        assert_eq!(rejected(world.userinfo(&access).await), Reject::TokenRevoked);
    }
    let ended = |(kind, _): &&(Kind, Outcome)| *kind == Kind::ConsentWithdrawn;
    assert_eq!(world.story(mark).iter().filter(ended).count(), 1);
}

#[tokio::test]
async fn another_client_cannot_redeem_a_code_nor_spoil_it() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    for thief in ["web2", "server"] {
        let theft = world.token(thief, &redemption(&code));
        world.refuses(KIND, Reject::GrantClientMismatch, theft).await;
    }
    world.token("web", &redemption(&code)).await.unwrap();
    // A used code in foreign hands is no kill switch either.
    let theft = world.token("web2", &redemption(&code));
    world.refuses(KIND, Reject::GrantClientMismatch, theft).await;
}

#[tokio::test]
async fn a_code_needs_the_verifier_of_its_own_challenge() {
    let world = World::new().await;
    let other = "a".repeat(43);
    let code = world.code("web", USUAL).await;
    let form = redemption(&code).with("code_verifier", &other);
    world.refuses(KIND, Reject::PkceMismatch, world.token("web", &form)).await;
    for bad in ["a".repeat(42), "a".repeat(129), format!("{}!", "a".repeat(43))] {
        let code = world.code("server", USUAL).await;
        let form = redemption(&code).with("code_verifier", &bad);
        world.refuses(KIND, Reject::PkceMismatch, world.token("server", &form)).await;
    }
    let code = world.code("server", USUAL).await;
    let form = redemption(&code).without("code_verifier");
    world.refuses(KIND, Reject::ParameterMissing, world.token("server", &form)).await;
    world.token("server", &redemption(&code)).await.unwrap();
}

#[tokio::test]
async fn a_code_stolen_without_its_verifier_is_spent_on_the_thief() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let guess = redemption(&code).with("code_verifier", &"b".repeat(43));
    world.refuses(KIND, Reject::PkceMismatch, world.token("web", &guess)).await;
    world.withdraws(Reject::CodeReused, world.token("web", &redemption(&code))).await;
}

#[tokio::test]
async fn a_code_is_redeemed_at_the_redirect_uri_it_was_sent_to() {
    let world = World::new().await;
    for uri in [OTHER_CALLBACK, "https://evil.example/"] {
        let code = world.code("web", USUAL).await;
        let form = redemption(&code).with("redirect_uri", uri);
        world.refuses(KIND, Reject::GrantRedirectMismatch, world.token("web", &form)).await;
    }
    let code = world.code("web", USUAL).await;
    let form = redemption(&code).without("redirect_uri");
    world.refuses(KIND, Reject::ParameterMissing, world.token("web", &form)).await;
}

#[tokio::test]
async fn a_redemption_cannot_reach_beyond_the_consent() {
    let world = World::new().await;
    for (name, value, reject) in [
        ("scope", "patient/Observation.rs patient/Condition.rs", Reject::ScopeEscalation),
        ("scope", "patient/Observation.cruds", Reject::ScopeEscalation),
        ("scope", "patient/*.rs", Reject::ScopeWildcard),
        ("scope", "stranger", Reject::ScopeEscalation),
        ("resource", "https://phi.example/other", Reject::TargetInvalid),
        ("audience", ISSUER, Reject::TargetInvalid),
    ] {
        let code = world.code("web", USUAL).await;
        let form = redemption(&code).with(name, value);
        world.refuses(KIND, reject, world.token("web", &form)).await;
    }
    let code = world.code("web", USUAL).await;
    let form = redemption(&code).with("resource", FHIR).and("resource", ISSUER);
    world.refuses(KIND, Reject::TargetInvalid, world.token("web", &form)).await;
    let form = redemption(&code).with("resource", FHIR).with("scope", "patient/Observation.rs");
    let response = world.token("web", &form).await.unwrap();
    assert_eq!(text(&response, "scope"), "patient/Observation.rs");
}

#[tokio::test]
async fn other_credentials_are_no_code() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let refresh = world.refresh_token("web").await;
    let flipped = format!("{}A", code.strip_suffix(|_: char| true).unwrap());
    let flipped = if flipped == code { format!("{flipped}B") } else { flipped };
    for bad in [&*refresh, &flipped, &code.to_uppercase(), &code[..40], &format!("{code}x"), "x"] {
        let form = redemption(bad);
        world.refuses(KIND, Reject::CodeUnknown, world.token("web", &form)).await;
    }
    world.refuses(KIND, Reject::RefreshUnknown, world.refresh("web", &code)).await;
    world.token("web", &redemption(&code)).await.unwrap();
}

#[tokio::test]
async fn the_token_endpoint_reads_each_parameter_once() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    for name in ["grant_type", "code", "redirect_uri", "code_verifier", "scope", "audience"] {
        let form = redemption(&code).and(name, "x").and(name, "x");
        world.refuses(KIND, Reject::ParameterDuplicate, world.token("web", &form)).await;
    }
    for (form, reject) in [
        (refreshing("x").with("grant_type", "implicit"), Reject::GrantTypeUnsupported),
        (Form::of(&[]), Reject::ParameterMissing),
        (redemption("x").without("code"), Reject::ParameterMissing),
        (redemption("x").with("code", ""), Reject::ParameterMissing),
    ] {
        world.refuses(KIND, reject, world.token("web", &form)).await;
    }
    world.token("web", &redemption(&code)).await.unwrap();
}

#[tokio::test]
async fn nothing_leaves_that_the_ledger_cannot_record() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let mut browser = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut browser, "amina").await;
    world.step(&browser).await.unwrap();
    world.ledger.close().await.unwrap();
    let answer = world.token("web", &redemption(&code)).await;
    assert_eq!(faulted(answer), identity::Fault::Ledger);
    let scopes = vec!["openid".to_owned()];
    let decision = authority::Decision::Approve { scopes, duration: domain::Duration::Day };
    let answer = world.decide(&browser, decision).await;
    assert!(matches!(answer, Err(authority::AuthorizeRefusal::Fault(identity::Fault::Ledger))));
}
