//! Clients, people, sessions, grants, the gateway's question, forgetting.

use domain::{PersonRole, TokenId};
use store::gateway::{StandingQuery, Verdict};
use store::{CodeUse, NewFlow, NewSession, RefreshUse, Session, Store};

use crate::Db;
use crate::words::{
    at, client, draft, furnished, grant, grant_id, hash, new_code, new_refresh, person, person_id,
};

pub(crate) async fn a_client_reads_back_and_its_name_is_taken_once(db: Db) {
    let store = db.open().await;
    let mut other = draft("app");
    other.name = "Impostor".into();
    assert!(store.insert_client(&draft("app"), at(0)).await.unwrap());
    assert!(!store.insert_client(&other, at(1)).await.unwrap());
    assert!(store.insert_client(&draft("abc"), at(1)).await.unwrap());
    let found = store.client(&client("app")).await.unwrap().unwrap();
    assert_eq!((found.draft, found.created, found.disabled), (draft("app"), at(0), None));
    assert!(store.client(&client("App")).await.unwrap().is_none(), "names are exact");
    let all = store.clients().await.unwrap();
    assert_eq!(all.iter().map(|c| c.id().as_str()).collect::<Vec<_>>(), ["abc", "app"]);
    assert!(store.set_client_disabled(&client("app"), Some(at(9))).await.unwrap());
    assert_eq!(store.client(&client("app")).await.unwrap().unwrap().disabled, Some(at(9)));
    assert!(store.set_client_disabled(&client("app"), None).await.unwrap());
    assert_eq!(store.client(&client("app")).await.unwrap().unwrap().disabled, None);
    assert!(!store.set_client_disabled(&client("nobody"), None).await.unwrap());
}

pub(crate) async fn a_person_reads_back_and_is_found_by_username(db: Db) {
    let store = db.open().await;
    let amina = person("amina");
    assert!(store.insert_person(&amina, Some("$argon2id$x")).await.unwrap());
    assert!(!store.insert_person(&amina, None).await.unwrap());
    let mut same_name = person("other");
    same_name.username = amina.username.clone();
    assert!(!store.insert_person(&same_name, None).await.unwrap());
    assert_eq!(store.person(&amina.id).await.unwrap(), Some(amina.clone()));
    let (found, phc) = store.person_by_username(&amina.username).await.unwrap().unwrap();
    assert_eq!((found, phc.unwrap().expose().as_str()), (amina.clone(), "$argon2id$x"));
    assert!(store.person_by_username(&person("other").username).await.unwrap().is_none());
    assert!(store.set_password(&amina.id, "$argon2id$y", at(5)).await.unwrap());
    assert!(store.set_person_disabled(&amina.id, Some(at(6))).await.unwrap());
    let (found, phc) = store.person_by_username(&amina.username).await.unwrap().unwrap();
    assert_eq!((found.disabled, found.password_set), (Some(at(6)), Some(at(5))));
    assert_eq!(phc.unwrap().expose(), "$argon2id$y");
    assert!(!store.set_password(&person_id("p_none"), "x", at(5)).await.unwrap());
    assert!(!store.set_person_disabled(&person_id("p_none"), None).await.unwrap());
    assert!(store.insert_person(&person("bela"), None).await.unwrap());
    let bela = person("bela");
    assert!(store.person_by_username(&bela.username).await.unwrap().unwrap().1.is_none());
    assert_eq!(store.people().await.unwrap().len(), 2);
}

pub(crate) async fn a_session_ends_at_its_time_or_before(db: Db) {
    let store = db.open().await;
    let id = domain::SessionId::parse("s_1").unwrap();
    let new = NewSession {
        hash: hash("secret"),
        id: id.clone(),
        person: person_id("p_amina"),
        auth_time: at(0),
        expires: at(100),
    };
    store.insert_session(&new).await.unwrap();
    let session = Session { id, person: person_id("p_amina"), auth_time: at(0), expires: at(100) };
    assert_eq!(store.session(&new.hash, at(99)).await.unwrap(), Some(session));
    assert_eq!(store.session(&new.hash, at(100)).await.unwrap(), None);
    assert_eq!(store.session(&hash("guess"), at(1)).await.unwrap(), None);
    assert!(store.end_session(&new.hash).await.unwrap());
    assert!(!store.end_session(&new.hash).await.unwrap());
    assert_eq!(store.session(&new.hash, at(1)).await.unwrap(), None);
}

pub(crate) async fn a_grant_reads_back_and_the_first_withdrawal_counts(db: Db) {
    let store = db.open().await;
    store.insert_grant(&grant("g")).await.unwrap();
    assert!(store.insert_grant(&grant("g")).await.is_err(), "an id is used once");
    assert_eq!(store.grant(&grant_id("g")).await.unwrap(), Some(grant("g")));
    assert!(store.withdraw_grant(&grant_id("g"), at(5)).await.unwrap());
    assert!(!store.withdraw_grant(&grant_id("g"), at(6)).await.unwrap());
    assert!(!store.withdraw_grant(&grant_id("none"), at(6)).await.unwrap());
    assert_eq!(store.grant(&grant_id("g")).await.unwrap().unwrap().withdrawn, Some(at(5)));
}

pub(crate) async fn all_grants_of_a_person_or_a_client_are_withdrawn_at_once(db: Db) {
    let store = db.open().await;
    for id in ["g1", "g2", "g3"] {
        let mut grant = grant(id);
        if id == "g3" {
            grant.person = person_id("p_bela");
        }
        if id == "g2" {
            grant.created = at(9);
        }
        store.insert_grant(&grant).await.unwrap();
    }
    let of_amina = store.grants_of_person(&person_id("p_amina")).await.unwrap();
    assert_eq!(of_amina.iter().map(|g| g.id.as_str()).collect::<Vec<_>>(), ["g2", "g1"]);
    let amina = person_id("p_amina");
    assert_eq!(store.withdraw_grants_of_person(&amina, at(7)).await.unwrap(), 2);
    assert_eq!(store.withdraw_grants_of_person(&amina, at(8)).await.unwrap(), 0);
    assert!(store.grant(&grant_id("g3")).await.unwrap().unwrap().withdrawn.is_none());
    assert_eq!(store.withdraw_grants_of_client(&client("app"), at(9)).await.unwrap(), 1);
    assert_eq!(store.grant(&grant_id("g1")).await.unwrap().unwrap().withdrawn, Some(at(7)));
}

pub(crate) async fn whom_a_person_may_reach_comes_with_the_answer(db: Db) {
    let store = db.open().await;
    store.insert_client(&draft("app"), at(0)).await.unwrap();
    let amina = person("amina");
    let mut officer = person("officer");
    officer.role = PersonRole::PrivacyOfficer;
    for one in [&amina, &officer] {
        assert!(store.insert_person(one, None).await.unwrap());
    }
    let (app, jti, nobody) = (client("app"), TokenId::parse("t").unwrap(), person_id("p_nobody"));
    let ask = async |person| {
        let query = StandingQuery { client: &app, person, grant: None, jti: &jti };
        store.gateway().standing(&query, at(1)).await.unwrap().person
    };
    let reach = ask(Some(&amina.id)).await.unwrap();
    assert_eq!(reach.patients, amina.patients().cloned().collect::<Vec<_>>());
    assert_eq!(reach.fhir_user, amina.fhir_user);
    assert_eq!(ask(Some(&officer.id)).await.unwrap().patients, [], "a role that reads no record");
    assert_eq!(ask(Some(&nobody)).await, None);
    assert_eq!(ask(None).await, None);
}

pub(crate) async fn whether_answers_carry_receipts_comes_with_the_answer(db: Db) {
    let store = db.open().await;
    store.insert_client(&draft("app"), at(0)).await.unwrap();
    // What a client calls itself says nothing about it.
    let name = r#""receipts":true"#.into();
    let plain = domain::ClientDraft { receipts: false, name, ..draft("plain") };
    store.insert_client(&plain, at(0)).await.unwrap();
    let jti = TokenId::parse("t").unwrap();
    for (name, expected) in [("app", true), ("plain", false), ("unknown", false)] {
        let client = client(name);
        let query = StandingQuery { client: &client, person: None, grant: None, jti: &jti };
        let standing = store.gateway().standing(&query, at(1)).await.unwrap();
        assert_eq!(standing.receipts, expected, "{name}");
    }
}

pub(crate) async fn what_a_token_rests_on_is_told_in_one_answer(db: Db) {
    let store = db.open().await;
    store.insert_client(&draft("app"), at(0)).await.unwrap();
    store.insert_client(&draft("other"), at(0)).await.unwrap();
    store.insert_person(&person("amina"), None).await.unwrap();
    store.insert_grant(&grant("g")).await.unwrap();
    let (app, amina, g) = (client("app"), person_id("p_amina"), grant_id("g"));
    let jti = TokenId::parse("t1").unwrap();
    let full = StandingQuery { client: &app, person: Some(&amina), grant: Some(&g), jti: &jti };
    let ask = async |query: StandingQuery<'_>, secs| {
        store.gateway().standing(&query, at(secs)).await.unwrap().verdict
    };
    assert_eq!(ask(full, 1).await, Verdict::Good);
    assert_eq!(ask(full, 86_400).await, Verdict::GrantOver, "over by itself");
    let machine = StandingQuery { person: None, grant: None, ..full };
    assert_eq!(ask(machine, 1).await, Verdict::Good);
    let (nobody, none) = (person_id("p_nobody"), grant_id("none"));
    assert_eq!(
        ask(StandingQuery { person: Some(&nobody), ..full }, 1).await,
        Verdict::PersonDisabled
    );
    assert_eq!(ask(StandingQuery { grant: Some(&none), ..full }, 1).await, Verdict::GrantOver);
    let other = client("other");
    assert_eq!(ask(StandingQuery { client: &other, ..full }, 1).await, Verdict::GrantOver);
    let unknown = client("unknown");
    assert_eq!(
        ask(StandingQuery { client: &unknown, ..machine }, 1).await,
        Verdict::ClientDisabled
    );

    store.revoke_token(&jti, at(300)).await.unwrap();
    store.revoke_token(&jti, at(300)).await.unwrap();
    assert_eq!(ask(full, 1).await, Verdict::TokenRevoked);
    let t2 = TokenId::parse("t2").unwrap();
    let full = StandingQuery { jti: &t2, ..full };
    assert_eq!(ask(full, 1).await, Verdict::Good);
    store.withdraw_grant(&g, at(2)).await.unwrap();
    assert_eq!(ask(full, 2).await, Verdict::GrantOver);
    store.set_person_disabled(&amina, Some(at(3))).await.unwrap();
    assert_eq!(ask(full, 3).await, Verdict::PersonDisabled);
    store.set_client_disabled(&app, Some(at(4))).await.unwrap();
    assert_eq!(ask(full, 4).await, Verdict::ClientDisabled);
}

async fn forget(store: &Store, secs: i64) -> u64 {
    let mut gone = 0;
    loop {
        match store.expire_batch(at(secs), 3).await.unwrap() {
            0 => return gone,
            some => gone += some,
        }
    }
}

pub(crate) async fn what_is_over_is_forgotten_and_what_a_replay_needs_is_not(db: Db) {
    let store = furnished(&db).await;
    for i in 0..10 {
        let flow = NewFlow {
            hash: hash(&format!("flow {i}")),
            browser: hash("browser"),
            request: vec![1],
            expires: at(10 + i),
        };
        store.insert_flow(&flow).await.unwrap();
        store.claim_assertion(&client("app"), &hash(&format!("a{i}")), at(10 + i)).await.unwrap();
        store.record_attempt(&hash("key"), at(i)).await.unwrap();
    }
    store.insert_code(&new_code("unused", "g")).await.unwrap();
    store.revoke_token(&TokenId::parse("t").unwrap(), at(100)).await.unwrap();
    let used = store.consume_code(&hash("code"), &client("app"), at(1)).await.unwrap();
    assert!(matches!(used, CodeUse::Consumed(_)));
    let next = new_refresh("r1", "g", 1);
    store.rotate_refresh(&hash("r0"), &client("app"), at(2), &next).await.unwrap();

    assert_eq!(forget(&store, 9).await, 0, "nothing is over");
    assert_eq!(forget(&store, 14).await, 10, "five flows and five assertions");
    assert!(!store.claim_assertion(&client("app"), &hash("a9"), at(50)).await.unwrap());
    assert_eq!(forget(&store, 10_000).await, 5 + 5 + 1 + 1, "and the unused code, the revocation");
    let code = store.consume_code(&hash("code"), &client("app"), at(10_000)).await.unwrap();
    assert_eq!(code, CodeUse::AlreadyUsed(grant_id("g")), "a late replay still shows");
    let reuse = store.rotate_refresh(&hash("r0"), &client("app"), at(10_000), &next).await.unwrap();
    assert_eq!(reuse, RefreshUse::Reused(grant_id("g")));
    assert_eq!(store.attempts_since(&hash("key"), at(0)).await.unwrap(), 10);
    assert_eq!(forget(&store, 3 * 86_400).await, 10 + 1, "attempts, and the grant with its tokens");
    assert_eq!(store.grant(&grant_id("g")).await.unwrap(), None);
    assert_eq!(store.refresh(&hash("r1")).await.unwrap(), None);
}
