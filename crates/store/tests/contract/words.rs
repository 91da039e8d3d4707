//! Values to test with.

use domain::scope::ScopeSet;
use domain::{
    ClientAuthentication, ClientDraft, ClientId, FhirId, Grant, GrantId, GrantType, LaunchContext,
    Person, PersonId, PersonRole, Phi, RedirectUri, ResourceType, SessionId, Timestamp, Username,
    Wildcard,
};
use keys::opaque::TokenHash;
use store::{NewCode, NewRefresh, Store};

/// The present, in every test: seconds after an arbitrary beginning.
pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(keys::sha256(text.as_bytes()))
}

pub(crate) fn client(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

pub(crate) fn person_id(text: &str) -> PersonId {
    PersonId::parse(text).unwrap()
}

pub(crate) fn grant_id(text: &str) -> GrantId {
    GrantId::parse(text).unwrap()
}

pub(crate) fn draft(id: &str) -> ClientDraft {
    ClientDraft {
        id: client(id),
        name: "Lab Viewer".into(),
        legal_name: "Lab Viewer Inc.".into(),
        address: String::new(),
        purpose: "shows lab results".into(),
        basis: None,
        authentication: ClientAuthentication::Secret { hash: hash("secret").to_string() },
        redirect_uris: vec![RedirectUri::parse("https://app.example/callback").unwrap()],
        grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: ScopeSet::parse("openid patient/Observation.rs").unwrap(),
        wildcard: Wildcard::Refuse,
        password_exception: None,
        receipts: true,
    }
}

pub(crate) fn person(name: &str) -> Person {
    Person {
        id: person_id(&format!("p_{name}")),
        username: Username::parse(&format!("{name}@example.org")).unwrap(),
        display_name: Phi::new(format!("Display {name}")),
        role: PersonRole::Patient,
        own_record: Some(FhirId::parse(&format!("own-{name}")).unwrap()),
        acts_for: vec![(
            FhirId::parse(&format!("child-{name}")).unwrap(),
            Phi::new(format!("Child of {name}")),
        )],
        fhir_user: Some((ResourceType::Patient, FhirId::parse(&format!("own-{name}")).unwrap())),
        created: at(0),
        disabled: None,
        password_set: Some(at(0)),
    }
}

/// A grant of `p_amina` to `app`, given at 0, over after a day.
pub(crate) fn grant(id: &str) -> Grant {
    Grant {
        id: grant_id(id),
        client: client("app"),
        person: person_id("p_amina"),
        session: Some(SessionId::parse("s_1").unwrap()),
        scopes: ScopeSet::parse(
            "offline_access patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        )
        .unwrap(),
        audience: "https://phiward.example/fhir".into(),
        context: LaunchContext { patient: Some(FhirId::parse("own-amina").unwrap()) },
        auth_time: at(-60),
        created: at(0),
        expires: at(86_400),
        withdrawn: None,
    }
}

pub(crate) fn new_code(text: &str, grant: &str) -> NewCode {
    NewCode {
        hash: hash(text),
        grant: grant_id(grant),
        client: client("app"),
        redirect_uri: "http://127.0.0.1:5000/cb".into(),
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into(),
        nonce: Some("n".into()),
        expires: at(60),
    }
}

pub(crate) fn new_refresh(text: &str, grant: &str, generation: i64) -> NewRefresh {
    NewRefresh {
        hash: hash(text),
        grant: grant_id(grant),
        client: client("app"),
        generation,
        issued: at(1),
        idle_expires: at(1_000),
        expires: at(80_000),
    }
}

/// A store with a grant `g`, a code `code` and a refresh token `r0` of it.
pub(crate) async fn furnished(db: &crate::Db) -> Store {
    let store = db.open().await;
    store.insert_grant(&grant("g")).await.unwrap();
    store.insert_code(&new_code("code", "g")).await.unwrap();
    assert!(store.insert_refresh(&new_refresh("r0", "g", 0)).await.unwrap());
    store
}

/// Runs fifty of these at once, on two nodes of one database, and gathers what they say.
pub(crate) async fn fifty<T, F>(db: &crate::Db, one: impl Fn(Store, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let nodes = [db.open().await, db.open().await];
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(50));
    let tasks: Vec<_> = (0..50)
        .map(|i| {
            let (work, barrier) = (one(nodes[i % 2].clone(), i), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                work.await
            })
        })
        .collect();
    let mut said = Vec::new();
    for task in tasks {
        said.push(task.await.unwrap());
    }
    for node in nodes {
        node.close().await;
    }
    said
}
