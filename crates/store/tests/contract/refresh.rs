//! Refresh tokens.

use domain::Timestamp;
use store::{RefreshUse, Store};

use crate::Db;
use crate::words::{at, client, fifty, furnished, grant, grant_id, hash, new_refresh};

async fn rotate(store: &Store, old: &str, new: &str, now: Timestamp) -> RefreshUse {
    let next = new_refresh(new, "g", 99);
    store.rotate_refresh(&hash(old), &client("app"), now, &next).await.unwrap()
}

pub(crate) async fn a_rotation_spends_the_old_token_and_continues_the_line(db: Db) {
    let store = furnished(&db).await;
    let RefreshUse::Used(old) = rotate(&store, "r0", "r1", at(5)).await else { panic!() };
    assert_eq!((old.grant, old.generation), (grant_id("g"), 0));
    let kept = store.refresh(&hash("r1")).await.unwrap().unwrap();
    assert_eq!((kept.generation, kept.spent, kept.client), (1, false, client("app")));
    assert!(store.refresh(&hash("r0")).await.unwrap().unwrap().spent);
    assert_eq!(rotate(&store, "r0", "x", at(6)).await, RefreshUse::Reused(grant_id("g")));
    assert_eq!(store.refresh(&hash("x")).await.unwrap(), None);
    assert_eq!(rotate(&store, "guess", "x", at(6)).await, RefreshUse::Unknown);
    let thief = client("thief");
    let next = new_refresh("x", "g", 2);
    for token in ["r0", "r1"] {
        let used = store.rotate_refresh(&hash(token), &thief, at(6), &next).await.unwrap();
        assert_eq!(used, RefreshUse::OtherClient);
    }
    assert!(matches!(rotate(&store, "r1", "r2", at(6)).await, RefreshUse::Used(_)));
    assert_eq!(rotate(&store, "r2", "r3", at(1_000)).await, RefreshUse::Expired, "idle too long");
    store.withdraw_grant(&grant_id("g"), at(7)).await.unwrap();
    assert_eq!(rotate(&store, "r2", "r3", at(7)).await, RefreshUse::Withdrawn);
    assert_eq!(rotate(&store, "r0", "r3", at(7)).await, RefreshUse::Reused(grant_id("g")));
}

pub(crate) async fn a_line_never_outlives_its_first_token(db: Db) {
    let store = furnished(&db).await;
    let mut greedy = new_refresh("r1", "g", 1);
    greedy.expires = at(10_000_000);
    greedy.idle_expires = at(9_000_000);
    store.rotate_refresh(&hash("r0"), &client("app"), at(5), &greedy).await.unwrap();
    let kept = store.refresh(&hash("r1")).await.unwrap().unwrap();
    assert_eq!((kept.expires, kept.idle_expires), (at(80_000), at(80_000)));
    assert_eq!(rotate(&store, "r1", "r2", at(80_000)).await, RefreshUse::Expired);
}

pub(crate) async fn a_grant_has_one_line(db: Db) {
    let store = furnished(&db).await;
    assert!(!store.insert_refresh(&new_refresh("second", "g", 1)).await.unwrap());
    assert!(!store.insert_refresh(&new_refresh("stray", "none", 0)).await.unwrap());
    let mut foreign = new_refresh("foreign", "g2", 0);
    store.insert_grant(&grant("g2")).await.unwrap();
    foreign.client = client("thief");
    assert!(!store.insert_refresh(&foreign).await.unwrap(), "the grant is another client's");
    store.withdraw_grant(&grant_id("g2"), at(3)).await.unwrap();
    assert!(!store.insert_refresh(&new_refresh("late", "g2", 0)).await.unwrap());
    for token in ["second", "stray", "foreign", "late"] {
        assert_eq!(store.refresh(&hash(token)).await.unwrap(), None);
    }
}

pub(crate) async fn a_bound_token_stays_and_its_idle_end_moves(db: Db) {
    let store = furnished(&db).await;
    let touch = async |who: &str, now, idle| {
        store.touch_refresh(&hash("r0"), &client(who), now, idle).await.unwrap()
    };
    let RefreshUse::Used(kept) = touch("app", at(900), at(1_900)).await else { panic!() };
    assert_eq!((kept.idle_expires, kept.spent, kept.generation), (at(1_900), false, 0));
    assert!(matches!(touch("app", at(1_800), at(9_000_000)).await, RefreshUse::Used(_)));
    let kept = store.refresh(&hash("r0")).await.unwrap().unwrap();
    assert_eq!(kept.idle_expires, at(80_000), "never beyond its line's end");
    assert_eq!(touch("thief", at(1_800), at(2_000)).await, RefreshUse::OtherClient);
    assert_eq!(touch("app", at(80_000), at(90_000)).await, RefreshUse::Expired);
    store.withdraw_grant(&grant_id("g"), at(1_801)).await.unwrap();
    assert_eq!(touch("app", at(1_801), at(2_000)).await, RefreshUse::Withdrawn);
}

pub(crate) async fn a_token_used_fifty_times_at_once_leaves_one_live_line(db: Db) {
    let store = furnished(&db).await;
    let said =
        fifty(
            &db,
            |store, i| async move { rotate(&store, "r0", &format!("next {i}"), at(5)).await },
        )
        .await;
    let used = said.iter().filter(|s| matches!(s, RefreshUse::Used(_))).count();
    let reused = said.iter().filter(|s| **s == RefreshUse::Reused(grant_id("g"))).count();
    assert_eq!((used, reused), (1, 49));
    let mut live = 0;
    for i in 0..50 {
        let kept = store.refresh(&hash(&format!("next {i}"))).await.unwrap();
        live += usize::from(kept.is_some_and(|kept| !kept.spent));
    }
    assert_eq!(live, 1);
}

/// A line is rotated as fast as it goes while its grant is withdrawn from another node: nothing that
/// begins after the withdrawal was told succeeds.
pub(crate) async fn no_line_lives_after_its_grant_was_withdrawn(db: Db) {
    let (store, other) = (db.open().await, db.open().await);
    for round in 0..25 {
        let g = format!("g{round}");
        store.insert_grant(&grant(&g)).await.unwrap();
        let token = |i: usize| format!("{g} {i}");
        assert!(store.insert_refresh(&new_refresh(&token(0), &g, 0)).await.unwrap());
        let rotation = {
            let (store, g) = (other.clone(), g.clone());
            tokio::spawn(async move {
                let mut i = 0;
                loop {
                    let next = new_refresh(&format!("{g} {}", i + 1), &g, 0);
                    let old = hash(&format!("{g} {i}"));
                    let used =
                        store.rotate_refresh(&old, &client("app"), at(5), &next).await.unwrap();
                    if !matches!(used, RefreshUse::Used(_)) {
                        return (i, used);
                    }
                    i += 1;
                }
            })
        };
        tokio::time::sleep(std::time::Duration::from_micros(300 * (round % 7))).await;
        assert!(store.withdraw_grant(&grant_id(&g), at(5)).await.unwrap());
        // Told: whatever token is the last, it must be dead at once, on every node.
        for node in [&store, &other] {
            for i in 0..200 {
                let Some(kept) = node.refresh(&hash(&token(i))).await.unwrap() else { break };
                if !kept.spent {
                    let idle = at(900);
                    let used =
                        node.touch_refresh(&hash(&token(i)), &client("app"), at(5), idle).await;
                    assert_eq!(used.unwrap(), RefreshUse::Withdrawn);
                }
            }
        }
        let (last, used) = rotation.await.unwrap();
        assert_eq!(used, RefreshUse::Withdrawn, "round {round}");
        assert!(store.refresh(&hash(&token(last + 1))).await.unwrap().is_none());
    }
}

pub(crate) async fn a_change_that_fails_leaves_nothing_and_harms_no_other(db: Db) {
    let store = furnished(&db).await;
    store.insert_grant(&grant("g2")).await.unwrap();
    let said = fifty(&db, |store, i| async move {
        if i % 2 == 0 {
            // The successor is of another grant: the old token must not stay spent.
            let stray = new_refresh(&format!("stray {i}"), "g2", 1);
            store.rotate_refresh(&hash("r0"), &client("app"), at(5), &stray).await.is_err()
        } else {
            let jti = hash(&format!("jti {i}"));
            store.claim_assertion(&client("app"), &jti, at(100)).await.unwrap()
        }
    })
    .await;
    assert_eq!(said, vec![true; 50]);
    for i in (1..50).step_by(2) {
        let jti = hash(&format!("jti {i}"));
        assert!(!store.claim_assertion(&client("app"), &jti, at(100)).await.unwrap());
    }
    assert!(matches!(rotate(&store, "r0", "r1", at(5)).await, RefreshUse::Used(_)));
}
