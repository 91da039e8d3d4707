//! What a person can allow: in part, for a while, about one patient, and nothing that was not
//! offered to them.

use authority::{Decision, Step};
use domain::{Duration, Kind, Outcome, Reject};

use crate::app::{Browser, answer, ask, member, redemption, refused, text};
use crate::world::{USUAL, World, claims};

const LABS: &str = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";

async fn signed_in(world: &World, name: &str, scope: &str) -> Browser {
    let mut browser = world.begin(&ask("web", scope)).await;
    world.sign_in(&mut browser, name).await;
    browser
}

#[tokio::test]
async fn ticking_only_a_category_grants_only_that() {
    let world = World::new().await;
    let browser = signed_in(&world, "amina", USUAL).await;
    let code = world.allow(&browser, LABS, Duration::Day).await;
    let response = world.token("web", &redemption(&code)).await.unwrap();
    assert_eq!(text(&response, "scope"), LABS);
    assert_eq!(claims(&text(&response, "access_token"))["scope"], LABS);
    assert!(response.to_json().get("refresh_token").is_none());
}

#[tokio::test]
async fn an_edited_consent_form_gains_nothing() {
    let world = World::new().await;
    let browser = signed_in(&world, "amina", USUAL).await;
    world.step(&browser).await.unwrap();
    for edited in [
        "patient/Condition.rs",
        "patient/Observation.cruds",
        "user/Observation.rs",
        "system/Observation.rs",
        "patient/*.rs",
        "online_access",
        "openid profile",
        "x",
    ] {
        let mark = world.mark();
        let scopes = vec!["openid".to_owned(), edited.to_owned()];
        let decision = Decision::Approve { scopes, duration: Duration::Day };
        let decided = world.decide(&browser, decision).await;
        assert_eq!(refused(decided), (Reject::ChoiceOutOfReach, None), "{edited}");
        let refusal = (Kind::ConsentGiven, Outcome::Refused(Reject::ChoiceOutOfReach));
        assert_eq!(world.story(mark), [refusal]);
    }
    assert!(world.grants().await.is_empty());
}

#[tokio::test]
async fn allowing_nothing_is_declining() {
    let world = World::new().await;
    for (scopes, duration) in [
        (vec![], Duration::Day),
        (vec![String::new()], Duration::Day),
        (vec!["offline_access".to_owned()], Duration::Once),
    ] {
        let browser = signed_in(&world, "amina", USUAL).await;
        world.step(&browser).await.unwrap();
        let decided = world.decide(&browser, Decision::Approve { scopes, duration }).await;
        let (reject, location) = refused(decided);
        assert_eq!(reject, Reject::AccessDenied);
        assert_eq!(member(&answer(&location.unwrap()), "error"), "access_denied");
    }
    assert!(world.grants().await.is_empty());
}

#[tokio::test]
async fn a_single_visit_gives_no_refresh_token() {
    let world = World::new().await;
    let browser = signed_in(&world, "amina", USUAL).await;
    let code = world.allow(&browser, USUAL, Duration::Once).await;
    let response = world.token("web", &redemption(&code)).await.unwrap().to_json();
    assert!(response.get("refresh_token").is_none());
    assert_eq!(response["scope"], "openid patient/Observation.rs patient/Patient.rs");
}

#[tokio::test]
async fn without_offline_or_online_access_there_is_no_refresh_token() {
    let world = World::new().await;
    for client in ["web", "server"] {
        let response = world.connected(client, "openid patient/Patient.rs").await.to_json();
        assert!(response.get("refresh_token").is_none());
        let response = world.connected(client, "offline_access patient/Patient.rs").await;
        assert!(response.to_json().get("refresh_token").is_some());
    }
}

#[tokio::test]
async fn online_access_ends_with_the_sign_in_it_rests_on() {
    let world = World::new().await;
    let scope = "online_access patient/Patient.rs";
    let token = text(&world.connected("server", scope).await, "refresh_token");
    world.later(identity::SESSION_SECS - 1);
    assert!(world.refresh("server", &token).await.is_err(), "not a second of life is left");
    let token = text(&world.connected("server", scope).await, "refresh_token");
    world.later(identity::SESSION_SECS - 60);
    let last = world.refresh("server", &token).await.unwrap();
    assert_eq!(last.to_json()["expires_in"], 60);
    world.later(60);
    let over = world.refresh("server", &token);
    world.refuses(Kind::TokenRefused, Reject::RefreshExpired, over).await;
}

#[tokio::test]
async fn one_who_acts_for_others_says_whose_record_it_is() {
    let world = World::new().await;
    let browser = signed_in(&world, "dana", USUAL).await;
    let Step::Patient(step) = world.step(&browser).await.unwrap() else { panic!("no picker") };
    let ids: Vec<_> = step.patients.iter().map(|(id, _, own)| (id.as_str(), *own)).collect();
    assert_eq!(ids, [("pat-d", true), ("pat-a", false)]);
    world.choose(&browser, "pat-a").await.unwrap();
    let Step::Consent(step) = world.step(&browser).await.unwrap() else { panic!("no consent") };
    assert!(step.patient.is_some_and(|(_, own)| !own));
    let code = world.allow(&browser, USUAL, Duration::Day).await;
    let response = world.token("web", &redemption(&code)).await.unwrap();
    assert_eq!(text(&response, "patient"), "pat-a");
}

#[tokio::test]
async fn a_patient_out_of_reach_cannot_be_chosen() {
    let world = World::new().await;
    for (name, patient) in
        [("amina", "pat-d"), ("dana", "pat-x"), ("dana", "../pat-a"), ("officer", "pat-a")]
    {
        let browser = signed_in(&world, name, USUAL).await;
        let mark = world.mark();
        let chosen = world.choose(&browser, patient).await;
        assert_eq!(refused(chosen), (Reject::ChoiceOutOfReach, None), "{name} {patient}");
        let refusal = (Kind::AuthorizationRequested, Outcome::Refused(Reject::ChoiceOutOfReach));
        assert_eq!(world.story(mark), [refusal]);
    }
}

#[tokio::test]
async fn a_consent_page_about_one_patient_never_comes_to_mean_another() {
    let world = World::new().await;
    let browser = signed_in(&world, "dana", USUAL).await;
    world.choose(&browser, "pat-a").await.unwrap();
    world.choose(&browser, "pat-d").await.unwrap();
    world.step(&browser).await.unwrap();
    // In another tab, with the first page still open.
    assert_eq!(refused(world.choose(&browser, "pat-a").await), (Reject::FlowUnknown, None));
    world.choose(&browser, "pat-d").await.unwrap();
    let code = world.allow(&browser, USUAL, Duration::Day).await;
    let response = world.token("web", &redemption(&code)).await.unwrap();
    assert_eq!(text(&response, "patient"), "pat-d");
}

#[tokio::test]
async fn one_with_several_patients_cannot_decide_before_choosing() {
    let world = World::new().await;
    let browser = signed_in(&world, "solis", USUAL).await;
    assert!(matches!(world.step(&browser).await.unwrap(), Step::Patient(_)));
    let scopes = vec!["openid".to_owned(), "patient/Observation.rs".to_owned()];
    let decision = Decision::Approve { scopes, duration: Duration::Day };
    assert_eq!(refused(world.decide(&browser, decision).await).0, Reject::FlowUnknown);
    assert!(world.grants().await.is_empty());
}

#[tokio::test]
async fn a_role_without_a_record_has_none_to_share() {
    let world = World::new().await;
    let browser = signed_in(&world, "officer", "openid patient/Observation.rs").await;
    let Step::Consent(step) = world.step(&browser).await.unwrap() else { panic!("no consent") };
    assert_eq!(step.items.len(), 1);
    assert_eq!(step.items[0].scope.to_string(), "openid");
    assert!(step.patient.is_none());

    let browser = signed_in(&world, "officer", "patient/Observation.rs launch/patient").await;
    let mark = world.mark();
    let (reject, location) = refused(world.step(&browser).await);
    assert_eq!(reject, Reject::ScopeEmpty);
    assert_eq!(member(&answer(&location.unwrap()), "error"), "invalid_scope");
    assert_eq!(world.story(mark), [(Kind::ConsentGiven, Outcome::Refused(Reject::ScopeEmpty))]);
}

#[tokio::test]
async fn an_app_that_was_given_no_record_does_not_learn_whose_it_was() {
    let world = World::new().await;
    let browser = signed_in(&world, "amina", USUAL).await;
    let code = world.allow(&browser, "openid offline_access", Duration::Day).await;
    let response = world.token("web", &redemption(&code)).await.unwrap();
    assert!(response.to_json().get("patient").is_none());
    assert!(claims(&text(&response, "access_token")).get("patient").is_none());
    let response = world.refresh("web", &text(&response, "refresh_token")).await.unwrap();
    assert!(response.to_json().get("patient").is_none());

    let browser = signed_in(&world, "amina", "openid launch/patient").await;
    let code = world.allow(&browser, "openid launch/patient", Duration::Day).await;
    let response = world.token("web", &redemption(&code)).await.unwrap();
    assert_eq!(text(&response, "patient"), "pat-a");
}

#[tokio::test]
async fn the_record_of_a_consent_says_who_allowed_what_about_whom() {
    let world = World::new().await;
    let browser = signed_in(&world, "amina", USUAL).await;
    world.step(&browser).await.unwrap();
    let mark = world.mark();
    let scopes = vec![LABS.to_owned()];
    let decision = Decision::Approve { scopes, duration: Duration::NinetyDays };
    world.decide(&browser, decision).await.unwrap();
    assert_eq!(world.story(mark), [(Kind::ConsentGiven, Outcome::Success)]);
    let body = world.records_from(mark)[0].body.clone().unwrap();
    assert_eq!(body.client.unwrap().as_str(), "web");
    assert_eq!(body.subject.unwrap(), world.person("amina").await.id.as_str());
    assert_eq!(body.patient.unwrap().as_str(), "pat-a");
    assert_eq!(body.scopes.unwrap().to_string(), LABS);
    assert_eq!(body.grant.unwrap(), world.grants().await[0].id);
    assert_eq!(body.detail.unwrap(), "duration 90d");
}
