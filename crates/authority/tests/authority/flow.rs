//! Between request and code: attacks F13, F14, J11, R8. A flow belongs to the browser that brought
//! it and to the person who was shown its consent page, and is decided once.

use authority::{Decision, FlowRef, Step};
use domain::{Duration, Kind, Outcome, Reject};

use crate::app::{Browser, answer, ask, member, refused};
use crate::record::rejected;
use crate::world::{USUAL, World};

fn approve(scope: &str) -> Decision {
    let scopes = scope.split(' ').map(str::to_owned).collect();
    Decision::Approve { scopes, duration: Duration::NinetyDays }
}

/// Amina, signed in, in front of the consent page.
async fn at_consent(world: &World) -> Browser {
    let mut browser = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut browser, "amina").await;
    assert!(matches!(world.step(&browser).await.unwrap(), Step::Consent(_)));
    browser
}

#[tokio::test]
async fn a_flow_in_another_browser_is_unknown() {
    let world = World::new().await;
    let own = at_consent(&world).await;
    let other = at_consent(&world).await;
    for browser in [
        Browser { cookie: other.cookie.clone(), ..own.clone() },
        Browser { cookie: String::new(), ..own.clone() },
        Browser { cookie: own.flow.clone(), ..own.clone() },
        Browser { flow: own.flow.to_uppercase(), ..own.clone() },
        Browser { flow: "phf_x".into(), ..own.clone() },
    ] {
        let mark = world.mark();
        assert_eq!(refused(world.step(&browser).await), (Reject::FlowUnknown, None));
        assert_eq!(refused(world.choose(&browser, "pat-a").await), (Reject::FlowUnknown, None));
        let decided = world.decide(&browser, approve(USUAL)).await;
        assert_eq!(refused(decided), (Reject::FlowUnknown, None));
        let attempt = world.attempt(&browser, "amina", crate::world::PASSWORD).await;
        assert_eq!(rejected(attempt), Reject::FlowUnknown, "nobody is signed in from elsewhere");
        let refusal = (Kind::AuthorizationRequested, Outcome::Refused(Reject::FlowUnknown));
        assert_eq!(world.story(mark), [refusal; 4]);
    }
    world.decide(&own, approve(USUAL)).await.unwrap();
}

#[tokio::test]
async fn a_second_request_of_a_browser_keeps_its_cookie() {
    let world = World::new().await;
    let mut browser = world.begin(&ask("web", USUAL)).await;
    let (cookie, first) = (browser.cookie.clone(), browser.flow.clone());
    world.authorize(&mut browser, &ask("server", USUAL)).await.unwrap();
    assert_eq!(browser.cookie, cookie);
    assert_ne!(browser.flow, first);
    // A cookie that is none of ours is replaced.
    browser.cookie = "phb_planted".into();
    world.authorize(&mut browser, &ask("web", USUAL)).await.unwrap();
    assert_ne!(browser.cookie, "phb_planted");
}

#[tokio::test]
async fn a_flow_is_decided_once() {
    let world = World::new().await;
    let browser = at_consent(&world).await;
    world.decide(&browser, approve(USUAL)).await.unwrap();
    let grants = world.grants().await.len();
    for again in [approve(USUAL), Decision::Deny] {
        let decided = world.decide(&browser, again).await;
        assert_eq!(refused(decided), (Reject::FlowUnknown, None));
    }
    assert_eq!(refused(world.step(&browser).await), (Reject::FlowUnknown, None));
    assert_eq!(world.grants().await.len(), grants);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_decisions_one_counts() {
    let world = std::sync::Arc::new(World::new().await);
    let browser = at_consent(&world).await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (world, browser) = (std::sync::Arc::clone(&world), browser.clone());
        all.spawn(async move { world.decide(&browser, approve(USUAL)).await.is_ok() });
    }
    let codes = all.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!((codes, world.grants().await.len()), (1, 1));
}

#[tokio::test]
async fn a_page_may_be_loaded_as_often_as_one_likes() {
    let world = World::new().await;
    let browser = at_consent(&world).await;
    for _ in 0..3 {
        assert!(matches!(world.step(&browser).await.unwrap(), Step::Consent(_)));
    }
    world.decide(&browser, approve(USUAL)).await.unwrap();
}

#[tokio::test]
async fn a_flow_ends_after_a_quarter_of_an_hour() {
    let world = World::new().await;
    let browser = at_consent(&world).await;
    world.later(899);
    world.step(&browser).await.unwrap();
    world.later(1);
    assert_eq!(refused(world.step(&browser).await).0, Reject::FlowUnknown);
    assert_eq!(refused(world.decide(&browser, approve(USUAL)).await).0, Reject::FlowUnknown);
}

#[tokio::test]
async fn no_step_is_skipped_by_calling_a_later_one() {
    let world = World::new().await;
    let mut browser = world.begin(&ask("web", USUAL)).await;
    let mark = world.mark();
    assert_eq!(refused(world.decide(&browser, approve(USUAL)).await), (Reject::FlowUnknown, None));
    let refusal = (Kind::ConsentGiven, Outcome::Refused(Reject::FlowUnknown));
    assert_eq!(world.story(mark), [refusal]);
    world.sign_in(&mut browser, "amina").await;
    // Signed in, but nobody has seen what is asked.
    assert_eq!(refused(world.decide(&browser, approve(USUAL)).await).0, Reject::FlowUnknown);
    world.step(&browser).await.unwrap();
    world.decide(&browser, approve(USUAL)).await.unwrap();
}

#[tokio::test]
async fn what_one_person_was_shown_another_cannot_allow() {
    let world = World::new().await;
    let browser = at_consent(&world).await;
    let mut other = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut other, "dana").await;
    let swapped = Browser { session: other.session, ..browser.clone() };
    assert_eq!(refused(world.decide(&swapped, approve(USUAL)).await).0, Reject::FlowUnknown);
    world.choose(&swapped, "pat-d").await.unwrap_err();
    assert_eq!(refused(world.step(&swapped).await).0, Reject::FlowUnknown);
    assert!(world.grants().await.is_empty());
    world.decide(&browser, approve(USUAL)).await.unwrap();
}

#[tokio::test]
async fn a_made_up_session_is_nobodys() {
    let world = World::new().await;
    let browser = at_consent(&world).await;
    let session = browser.session.clone().unwrap();
    let flipped = format!("{}{}", &session[..52], if session.ends_with('A') { 'B' } else { 'A' });
    for forged in [flipped, session.to_lowercase(), browser.cookie.clone(), "phs_x".into()] {
        let forged = Browser { session: Some(forged), ..browser.clone() };
        assert!(matches!(world.step(&forged).await.unwrap(), Step::SignIn(_)));
        assert_eq!(refused(world.decide(&forged, approve(USUAL)).await).0, Reject::FlowUnknown);
    }
    world.decide(&browser, approve(USUAL)).await.unwrap();
}

#[tokio::test]
async fn each_sign_in_has_a_session_of_its_own() {
    let world = World::new().await;
    let mut browser = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut browser, "amina").await;
    let first = browser.session.clone();
    world.sign_in(&mut browser, "amina").await;
    assert_ne!(browser.session, first);
}

#[tokio::test]
async fn a_declined_request_is_told_so_and_is_over() {
    let world = World::new().await;
    let browser = at_consent(&world).await;
    let mark = world.mark();
    let (reject, location) = refused(world.decide(&browser, Decision::Deny).await);
    assert_eq!(reject, Reject::AccessDenied);
    let answer = answer(&location.unwrap());
    assert_eq!(member(&answer, "error"), "access_denied");
    assert_eq!(member(&answer, "state"), "st&te");
    let refusal = (Kind::ConsentGiven, Outcome::Refused(Reject::AccessDenied));
    assert_eq!(world.story(mark), [refusal]);
    assert!(world.grants().await.is_empty());
    assert_eq!(refused(world.step(&browser).await).0, Reject::FlowUnknown);
}

#[tokio::test]
async fn a_client_disabled_meanwhile_gets_no_answer() {
    let world = World::new().await;
    let browser = at_consent(&world).await;
    let web = domain::ClientId::parse("web").unwrap();
    world.authority.disable_client(&web, "test").await.unwrap();
    for decision in [approve(USUAL), Decision::Deny] {
        let decided = world.decide(&browser, decision).await;
        assert_eq!(refused(decided), (Reject::ClientUnknown, None));
    }
    assert!(world.grants().await.is_empty());
}

#[tokio::test]
async fn a_sign_in_that_is_too_old_does_not_count() {
    let world = World::new().await;
    let mut browser = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut browser, "amina").await;
    world.later(100);
    for (name, value, enough) in
        [("max_age", "100", false), ("max_age", "101", true), ("prompt", "login", false)]
    {
        let form = ask("web", USUAL).with(name, value);
        world.authorize(&mut browser, &form).await.unwrap();
        let step = world.step(&browser).await.unwrap();
        assert_eq!(matches!(step, Step::Consent(_)), enough, "{name}={value}");
        if !enough {
            let decided = world.decide(&browser, approve(USUAL)).await;
            assert_eq!(refused(decided).0, Reject::FlowUnknown);
        }
    }
}

#[tokio::test]
async fn a_sign_in_made_for_the_request_is_fresh_however_long_reading_takes() {
    let world = World::new().await;
    for (name, value) in [("max_age", "0"), ("max_age", "5"), ("prompt", "login")] {
        let mut browser = world.begin(&ask("web", USUAL).with(name, value)).await;
        world.later(1);
        world.sign_in(&mut browser, "amina").await;
        world.later(60);
        assert!(matches!(world.step(&browser).await.unwrap(), Step::Consent(_)), "{name}={value}");
        world.decide(&browser, approve(USUAL)).await.unwrap();
    }
}

#[tokio::test]
async fn the_sign_in_page_names_the_app_and_its_origin() {
    let world = World::new().await;
    let browser = world.begin(&ask("web", USUAL)).await;
    let reference = FlowRef { flow: &browser.flow, browser: &browser.cookie };
    let step = world.authority.step(reference, None, &world.caller()).await.unwrap();
    let Step::SignIn(step) = step else { panic!("{step:?}") };
    assert_eq!(step.client_name, "Lab Trends");
    assert_eq!(step.return_target, "https://app.example");
}
