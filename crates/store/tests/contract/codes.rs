//! Authorization codes.

use store::{Code, CodeUse};

use crate::Db;
use crate::words::{at, client, fifty, furnished, grant, grant_id, hash, new_code, new_refresh};

pub(crate) async fn a_code_is_consumed_once_and_then_names_its_grant(db: Db) {
    let store = furnished(&db).await;
    assert!(store.insert_code(&new_code("code", "g")).await.is_err(), "a code is kept once");
    assert!(store.insert_code(&new_code("stray", "none")).await.is_err(), "and for a grant");
    let use_it =
        async |text: &str| store.consume_code(&hash(text), &client("app"), at(59)).await.unwrap();
    let expected = Code {
        grant: grant_id("g"),
        redirect_uri: "http://127.0.0.1:5000/cb".into(),
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into(),
        nonce: Some("n".into()),
    };
    assert_eq!(use_it("code").await, CodeUse::Consumed(expected));
    assert_eq!(use_it("code").await, CodeUse::AlreadyUsed(grant_id("g")));
    assert_eq!(use_it("guess").await, CodeUse::Unknown);
    let late = store.consume_code(&hash("code"), &client("app"), at(80_000)).await.unwrap();
    assert_eq!(late, CodeUse::AlreadyUsed(grant_id("g")));
}

pub(crate) async fn another_clients_attempt_leaves_the_code_as_it_was(db: Db) {
    let store = furnished(&db).await;
    let thief = store.consume_code(&hash("code"), &client("thief"), at(1)).await.unwrap();
    assert_eq!(thief, CodeUse::OtherClient);
    let owner = store.consume_code(&hash("code"), &client("app"), at(1)).await.unwrap();
    assert!(matches!(owner, CodeUse::Consumed(_)));
    let thief = store.consume_code(&hash("code"), &client("thief"), at(1)).await.unwrap();
    assert_eq!(thief, CodeUse::OtherClient, "a stranger's replay ends nobody's grant");
}

pub(crate) async fn a_code_is_worth_nothing_once_it_or_its_grant_is_over(db: Db) {
    let store = furnished(&db).await;
    let late = store.consume_code(&hash("code"), &client("app"), at(60)).await.unwrap();
    assert_eq!(late, CodeUse::Expired);
    store.withdraw_grant(&grant_id("g"), at(2)).await.unwrap();
    let withdrawn = store.consume_code(&hash("code"), &client("app"), at(2)).await.unwrap();
    assert_eq!(withdrawn, CodeUse::Expired);
    let mut short = grant("short");
    short.expires = at(30);
    store.insert_grant(&short).await.unwrap();
    store.insert_code(&new_code("code of short", "short")).await.unwrap();
    let over = store.consume_code(&hash("code of short"), &client("app"), at(30)).await.unwrap();
    assert_eq!(over, CodeUse::Expired);
}

pub(crate) async fn a_code_redeemed_fifty_times_at_once_is_consumed_once(db: Db) {
    furnished(&db).await.close().await;
    let said = fifty(&db, |store, _| async move {
        store.consume_code(&hash("code"), &client("app"), at(1)).await.unwrap()
    })
    .await;
    let consumed = said.iter().filter(|s| matches!(s, CodeUse::Consumed(_))).count();
    let reused = said.iter().filter(|s| **s == CodeUse::AlreadyUsed(grant_id("g"))).count();
    assert_eq!((consumed, reused), (1, 49));
}

/// Withdrawals and redemptions cross. Whoever begins after a withdrawal was told gets nothing, and
/// no refresh token is kept for a grant that was withdrawn.
pub(crate) async fn a_code_is_never_consumed_after_its_grant_was_withdrawn(db: Db) {
    let (store, other) = (db.open().await, db.open().await);
    for round in 0..40 {
        let g = format!("g{round}");
        store.insert_grant(&grant(&g)).await.unwrap();
        store.insert_code(&new_code(&g, &g)).await.unwrap();
        let withdraw = {
            let (store, g) = (store.clone(), grant_id(&g));
            tokio::spawn(async move { store.withdraw_grant(&g, at(2)).await.unwrap() })
        };
        let redeem = {
            let (store, g) = (other.clone(), g.clone());
            tokio::spawn(async move {
                let code = store.consume_code(&hash(&g), &client("app"), at(2)).await.unwrap();
                let kept = store.insert_refresh(&new_refresh(&g, &g, 0)).await.unwrap();
                (code, kept)
            })
        };
        assert!(withdraw.await.unwrap());
        let (code, _) = redeem.await.unwrap();
        let again = other.consume_code(&hash(&g), &client("app"), at(2)).await.unwrap();
        match code {
            CodeUse::Consumed(_) => assert_eq!(again, CodeUse::AlreadyUsed(grant_id(&g))),
            _ => assert_eq!((&code, &again), (&CodeUse::Expired, &CodeUse::Expired)),
        }
        let late = format!("late {g}");
        assert!(!other.insert_refresh(&new_refresh(&late, &g, 7)).await.unwrap());
    }
}
