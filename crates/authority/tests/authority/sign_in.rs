//! Signing in on the page: attacks D1, D2.

use domain::{Kind, Outcome, Reject};

use crate::app::{Browser, ask};
use crate::record::rejected;
use crate::world::{PASSWORD, USUAL, World};
use authority::Attempt;
use domain::Secret;

const KIND: Kind = Kind::SignIn;

#[tokio::test]
async fn whatever_is_wrong_with_a_sign_in_gets_one_answer() {
    let world = World::new().await;
    let browser = world.begin(&ask("web", USUAL)).await;
    let dana = domain::Username::parse("dana").unwrap();
    world.authority.disable_person(&dana, "test").await.unwrap();
    for (name, password) in [
        ("amina", "wrong"),
        ("amina", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("a b\n", PASSWORD),
        ("dana", PASSWORD),
        ("dana", "wrong"),
        ("AMINA", PASSWORD),
    ] {
        let attempt = world.attempt(&browser, name, password);
        world.refuses(KIND, Reject::SignInFailed, attempt).await;
    }
    let mark = world.mark();
    world.attempt(&browser, "amina", PASSWORD).await.unwrap();
    assert_eq!(world.story(mark), [(KIND, Outcome::Success)]);
}

#[tokio::test]
async fn what_was_typed_stands_in_no_record() {
    let world = World::new().await;
    let browser = world.begin(&ask("web", USUAL)).await;
    let mark = world.mark();
    world.attempt(&browser, "typed-name", "typed-password").await.unwrap_err();
    world.attempt(&browser, "amina", PASSWORD).await.unwrap();
    for record in world.records_from(mark) {
        let text = record.exposed().to_string();
        for typed in ["typed-name", "typed-password", PASSWORD, "amina"] {
            assert!(!text.contains(typed), "{text}");
        }
    }
}

#[tokio::test]
async fn a_guesser_is_slowed_down_whether_the_account_exists_or_not() {
    let world = World::new().await;
    let browser = world.begin(&ask("web", USUAL)).await;
    for name in ["amina", "nobody"] {
        for _ in 0..5 {
            let attempt = world.attempt(&browser, name, "wrong").await;
            assert_eq!(rejected(attempt), Reject::SignInFailed);
        }
        for password in ["wrong", PASSWORD] {
            let attempt = world.attempt(&browser, name, password);
            world.refuses(KIND, Reject::SignInThrottled, attempt).await;
        }
    }
    // The guesser has locked nobody out, themselves included.
    world.later(61);
    world.attempt(&browser, "amina", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_guesser_elsewhere_does_not_lock_the_person_out() {
    let world = World::new().await;
    let browser = world.begin(&ask("web", USUAL)).await;
    for _ in 0..6 {
        at(&world, &browser, "198.51.100.1", "wrong").await.unwrap_err();
    }
    at(&world, &browser, "192.0.2.7", PASSWORD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parallel_burst_gains_no_further_guesses() {
    let world = std::sync::Arc::new(World::new().await);
    let browser = world.begin(&ask("web", USUAL)).await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (world, browser) = (std::sync::Arc::clone(&world), browser.clone());
        all.spawn(async move { rejected(world.attempt(&browser, "amina", "wrong").await) });
    }
    let answers = all.join_all().await;
    let judged = answers.iter().filter(|reject| **reject == Reject::SignInFailed).count();
    assert!(judged <= 5, "{judged} passwords were looked at");
}

/// An attempt for Amina from this address.
async fn at(
    world: &World,
    browser: &Browser,
    address: &str,
    password: &str,
) -> Result<(), identity::Refusal> {
    let attempt = Attempt { username: "amina".into(), password: Secret::new(password.into()) };
    let caller = world.caller_at(address);
    world.authority.sign_in(browser.flow(), attempt, &caller).await.map(|_| ())
}
