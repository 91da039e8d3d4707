//! A session lives only while its person may sign in.

use domain::PersonId;
use identity::{Refusal, SESSION_SECS};

use crate::world::{HOME, PASSWORD, World};

#[tokio::test]
async fn a_session_is_its_persons_until_its_hour() {
    let world = World::new().await;
    let (secret, signed_in) = world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    world.later(SESSION_SECS - 1);
    let found = world.identity.session(&secret, world.now()).await.unwrap().unwrap();
    assert_eq!(found.person.id.as_str(), "p_amina");
    assert_eq!((found.session, found.auth_time), (signed_in.session, signed_in.auth_time));
    world.later(1);
    assert!(world.identity.session(&secret, world.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn no_other_text_is_a_session() {
    let world = World::new().await;
    let (secret, signed_in) = world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    for text in ["", "phs_x", signed_in.session.as_str(), &secret[..52], &secret.to_uppercase()] {
        assert!(world.identity.session(text, world.now()).await.unwrap().is_none(), "{text}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_persons_right_to_sign_in() {
    let world = World::new().await;
    let amina = PersonId::parse("p_amina").unwrap();
    let dana = PersonId::parse("p_dana").unwrap();
    let (first, _) = world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    let (second, _) = world.sign_in(HOME, "dana", PASSWORD).await.unwrap();
    world.later(1);
    world.store.set_person_disabled(&amina, Some(world.now())).await.unwrap();
    world.store.set_password(&dana, "$argon2id$other", world.now()).await.unwrap();
    for secret in [first, second] {
        assert!(world.identity.session(&secret, world.now()).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn an_ended_session_is_over_and_the_others_are_not() {
    let world = World::new().await;
    let (first, _) = world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    let (second, _) = world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    assert_ne!(first, second);
    world.identity.end_session(&first).await.unwrap();
    world.identity.end_session("nothing").await.unwrap();
    assert!(world.identity.session(&first, world.now()).await.unwrap().is_none());
    assert!(world.identity.session(&second, world.now()).await.unwrap().is_some());
}

#[tokio::test]
async fn nobody_is_let_in_whom_the_ledger_cannot_record() {
    let world = World::new().await;
    world.ledger.close().await.unwrap();
    let answer = world.sign_in(HOME, "amina", PASSWORD).await;
    assert!(matches!(answer, Err(Refusal::Fault(identity::Fault::Ledger))));
}
