//! Guessers are slowed down and lock nobody out: attack D1.

use domain::Reject::{SignInFailed, SignInThrottled};

use crate::world::{HOME, PASSWORD, World, rejected};

#[tokio::test]
async fn five_guesses_at_a_name_from_an_address_in_a_minute_are_looked_at() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(world.guess(HOME, "amina").await, SignInFailed);
    }
    assert_eq!(world.guess(HOME, "amina").await, SignInThrottled);
    assert_eq!(rejected(world.sign_in(HOME, "amina", PASSWORD).await), SignInThrottled);
    world.sign_in(HOME, "dana", PASSWORD).await.unwrap();
    world.later(61);
    world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_forgets_the_slips_before_it_but_not_the_address() {
    let world = World::new().await;
    for _ in 0..14 {
        for _ in 0..4 {
            assert_eq!(world.guess(HOME, "amina").await, SignInFailed);
        }
        world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    }
    // 56 failures from this address; a few more, at whatever name, and it must wait.
    for name in ["b", "c", "d", "e", "f"] {
        assert_eq!(world.guess(HOME, name).await, SignInFailed);
    }
    assert_eq!(rejected(world.sign_in(HOME, "dana", PASSWORD).await), SignInThrottled);
    world.sign_in("192.0.2.8", "dana", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn one_subscribers_many_addresses_are_one() {
    let world = World::new().await;
    for host in 0..5 {
        assert_eq!(world.guess(&format!("2001:db8::{host}"), "amina").await, SignInFailed);
    }
    assert_eq!(world.guess("2001:db8::ffff:1", "amina").await, SignInThrottled);
    assert_eq!(world.guess("::ffff:192.0.2.7", "amina").await, SignInFailed);
}

#[tokio::test]
async fn many_guessers_at_one_name_wait_and_whoever_is_known_does_not() {
    let world = World::new().await;
    world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    world.later(3_600);
    for guesser in 0..61 {
        assert_eq!(world.guess(&format!("198.51.100.{guesser}"), "amina").await, SignInFailed);
    }
    assert_eq!(world.guess("198.51.100.99", "amina").await, SignInThrottled);
    world.sign_in(HOME, "amina", PASSWORD).await.unwrap();
    // Being known for one name is no help with another.
    world.later(1);
    for guesser in 0..61 {
        world.guess(&format!("203.0.113.{guesser}"), "dana").await;
    }
    assert_eq!(world.guess(HOME, "dana").await, SignInThrottled);
}
