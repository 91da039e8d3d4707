//! Assertions, attempts, secrets by name.

use crate::Db;
use crate::words::{at, client, fifty, hash};

pub(crate) async fn an_assertion_is_claimed_once_even_by_fifty_at_once(db: Db) {
    let store = db.open().await;
    let claimed = fifty(&db, |store, _| async move {
        store.claim_assertion(&client("app"), &hash("jti"), at(300)).await.unwrap()
    })
    .await;
    assert_eq!(claimed.iter().filter(|first| **first).count(), 1);
    let other = store.claim_assertion(&client("other"), &hash("jti"), at(300)).await.unwrap();
    assert!(other, "another client's is another");
}

pub(crate) async fn of_fifty_attempts_at_once_no_more_than_the_limit_see_room(db: Db) {
    let store = db.open().await;
    let seen = fifty(&db, |store, i| async move {
        let now = at(i64::try_from(i % 3).unwrap());
        store.record_attempt(&hash("key"), now).await.unwrap();
        store.attempts_since(&hash("key"), at(0)).await.unwrap()
    })
    .await;
    assert!(seen.iter().filter(|count| **count <= 5).count() <= 5, "{seen:?}");
    assert_eq!(store.attempts_since(&hash("key"), at(0)).await.unwrap(), 50);
    assert_eq!(store.attempts_since(&hash("key"), at(2)).await.unwrap(), 16);
    assert_eq!(store.attempts_since(&hash("other"), at(0)).await.unwrap(), 0);
    store.clear_attempts(&hash("key")).await.unwrap();
    assert_eq!(store.attempts_since(&hash("key"), at(0)).await.unwrap(), 0);
}

pub(crate) async fn the_first_of_many_secrets_under_one_name_wins(db: Db) {
    let store = db.open().await;
    assert!(store.sealed("ring").await.unwrap().is_none());
    let won = fifty(&db, |store, i| async move {
        let mine = format!("key {i}");
        store.put_sealed_if_absent("ring", mine.as_bytes()).await.unwrap().expose().clone()
    })
    .await;
    let kept = store.sealed("ring").await.unwrap().unwrap();
    assert!(won.iter().all(|one| one == kept.expose()));
    store.put_sealed("ring", b"rotated").await.unwrap();
    assert_eq!(store.sealed("ring").await.unwrap().unwrap().expose(), b"rotated");
    assert_eq!(store.put_sealed_if_absent("ring", b"late").await.unwrap().expose(), b"rotated");
}
