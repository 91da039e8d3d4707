//! Receipts: on every answer that was recorded, alike, and of use to nobody else.

use std::collections::BTreeSet;

use domain::{ClientId, GrantId, Kind, Outcome, PersonId, Reject};
use http::Method;
use keys::access_token::{Subject, sign};
use ledger::proof::Receipt;
use phiward_gateway::GatewayResponse;

use crate::upstream::{SELF, bundle, json, observation};
use crate::world::{Holder, LABS, World, ring, text};

/// A token of this person, client and grant for amina's record.
fn token(world: &World, person: &str, client: &str, grant: &str) -> String {
    let mut claims = world.claims(Holder::Amina, LABS, Some("pat-a"));
    claims.sub = Subject::Person(PersonId::parse(&format!("p_{person}")).unwrap());
    claims.client_id = ClientId::parse(client).unwrap();
    claims.grant = Some(GrantId::parse(grant).unwrap());
    sign(&ring(), &claims).unwrap().expose().clone()
}

fn amina(world: &World) -> String {
    token(world, "amina", "native", "g-amina-native-1")
}

fn handle(response: &GatewayResponse) -> String {
    response.headers["audit-receipt"].to_str().unwrap().to_owned()
}

fn proof(response: &GatewayResponse) -> Receipt {
    assert_eq!(response.status, 200, "{}", text(response));
    assert_eq!(response.headers["content-type"], "application/json");
    assert_eq!(response.headers["cache-control"], "no-store");
    assert!(!response.headers.contains_key("audit-receipt"));
    Receipt::parse(text(response)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_answer_carries_a_receipt_that_proves_its_own_record() {
    let world = World::new().await;
    let lab = observation("1", "pat-a", "laboratory", "");
    world.up.says(move |asked| {
        if asked.line.contains("_search") {
            json(&bundle(std::slice::from_ref(&lab), SELF))
        } else if asked.line.contains("/Observation/1 ") {
            json(&lab)
        } else {
            crate::upstream::answer(404, "application/fhir+json", "{}")
        }
    });
    let token = amina(&world);
    let mut handles = BTreeSet::new();
    for (target, status) in [
        ("/Observation/1", 200),
        ("/Observation/2", 404),
        ("/Observation", 200),
        ("/Observation?patient=pat-b", 200),
        ("/Condition/1", 403),
        ("/Observation?unheard-of=1", 400),
        ("/nothing", 400),
    ] {
        let response = world.get(&token, target).await;
        let own = world.records().pop().unwrap();
        let status_found = response.status.as_u16();
        assert!(status_found == status || status_found >= 400, "{target}: {status_found}");
        let receipt = handle(&response);
        let proof = proof(&world.proof(&token, &receipt).await);
        assert!(proof.holds(&world.log_key()), "{target}");
        assert_eq!(proof.records.len(), 1);
        assert_eq!((proof.records[0].seq, proof.records[0].index), (own.seq, own.leaf), "{target}");
        handles.insert(receipt);
    }
    // One length, no two alike, nothing to be seen in them.
    assert_eq!(handles.len(), 7);
    assert_eq!(handles.iter().map(String::len).collect::<BTreeSet<_>>().len(), 1);
    // A proof is no release and leaves no record; what is not verified gets no receipt.
    assert!(world.records().iter().all(|record| record.kind != Some(Kind::LedgerRead)));
    let nobody = world.get("", "/Observation/1").await;
    assert!(nobody.status == 401 && !nobody.headers.contains_key("audit-receipt"));
    // Nor does a client that never asked for receipts.
    let plain = world.get(&world.hers(LABS), "/Observation/1").await;
    assert!(plain.status == 200 && !plain.headers.contains_key("audit-receipt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_about_two_patients_is_proven_record_by_record() {
    let world = World::new().await;
    let labs = ["pat-a", "pat-b"]
        .map(|patient| observation(&format!("of-{patient}"), patient, "laboratory", ""));
    world.up.says(move |_| json(&bundle(&labs, SELF)));
    // A client for itself: no person, no grant.
    let mut claims = world.claims(Holder::Backend, "system/Observation.rs", None);
    claims.client_id = ClientId::parse("native").unwrap();
    claims.sub = Subject::Client(claims.client_id.clone());
    let token = sign(&ring(), &claims).unwrap().expose().clone();
    let response = world.get(&token, "/Observation").await;
    let proof = proof(&world.proof(&token, &handle(&response)).await);
    assert!(proof.holds(&world.log_key()));
    let recorded: Vec<_> = world.records().iter().map(|record| (record.seq, record.leaf)).collect();
    assert_eq!(recorded.len(), 2);
    assert_eq!(proof.records.iter().map(|one| (one.seq, one.index)).collect::<Vec<_>>(), recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_another_nodes_ledger_proves_nothing_here() {
    let (one, other) = (World::new().await, World::node("us.example/ledger/2").await);
    let receipt = handle(&one.get(&amina(&one), "/Observation/1").await);
    // Here, another record stands under the same number.
    let hers = amina(&other);
    let own = handle(&other.get(&hers, "/Observation/1").await);
    assert_eq!(other.proof(&hers, &own).await.status, 200);
    assert_eq!(other.proof(&hers, &receipt).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_handle_garbage_and_an_old_grants_are_one_404() {
    let world = World::new().await;
    let hers = amina(&world);
    let receipt = handle(&world.get(&hers, "/Observation/1").await);
    assert_eq!(world.proof(&hers, &receipt).await.status, 200);
    let longer = format!("{receipt}A");
    let garbage = "A".repeat(receipt.len());
    let (shorter, _) = receipt.split_at(receipt.len() - 1);
    let solis = token(&world, "solis", "native", "g-solis-native-1");
    let other_client = token(&world, "amina", "other-native", "g-amina-other-native-1");
    let other_grant = token(&world, "amina", "native", "g-amina-native-2");
    let mut answers = BTreeSet::new();
    for (token, handle) in [
        (&solis, receipt.as_str()),
        (&other_client, &receipt),
        (&other_grant, &receipt),
        (&hers, &longer),
        (&hers, shorter),
        (&hers, &garbage),
        (&hers, ""),
        (&hers, "../checkpoint"),
        (&hers, "%00"),
        (&hers, "\u{e9}"),
    ] {
        let response = world.proof(token, handle).await;
        let record = world.records().pop().unwrap();
        assert_eq!(record.kind, Some(Kind::LedgerRead));
        assert_eq!(record.outcome, Some(Outcome::Refused(Reject::OutOfReach)));
        assert_eq!(response.headers["content-type"], "application/problem+json");
        answers.insert(format!("{} {:?} {}", response.status, response.headers, text(&response)));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.first().unwrap().starts_with("404"));
    // Without a token that stands, nobody learns whether a handle is one.
    for handle in [receipt.as_str(), "x"] {
        let response = world.proof("", handle).await;
        assert_eq!(response.status, 401);
        assert!(response.headers.contains_key("www-authenticate"));
    }
    // The grant ends: its tokens do, and a later grant's do not open its handles.
    world.clock.advance(3_601);
    let late = token(&world, "amina", "native", "g-amina-native-1");
    assert_eq!(world.proof(&late, &receipt).await.status, 401);
    let fresh = token(&world, "amina", "native", "g-amina-native-2");
    assert_eq!(world.proof(&fresh, &receipt).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_ledger_proves_nothing_and_a_stopped_one_gives_no_receipts() {
    let world = World::new().await;
    let token = amina(&world);
    let receipt = handle(&world.get(&token, "/Observation/1").await);
    assert_eq!(world.proof(&token, &receipt).await.status, 200);
    // Every leaf and every tile of it is overwritten.
    std::fs::remove_dir_all(world.ledger_dir().join("tile")).unwrap();
    for entry in std::fs::read_dir(world.ledger_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "phl") {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.iter_mut().for_each(|byte| *byte ^= 1);
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        }
    }
    let response = world.proof(&token, &receipt).await;
    assert_eq!(response.status, 503, "{}", text(&response));
    world.ledger.close().await.unwrap();
    let refused = world.get(&token, "/Observation/1").await;
    assert!(refused.status.is_client_error() || refused.status == 503);
    assert!(!refused.headers.contains_key("audit-receipt"));
    let posted = world.send(Method::POST, &token, "/Observation/1", &[], "").await;
    assert!(!posted.headers.contains_key("audit-receipt"));
}
