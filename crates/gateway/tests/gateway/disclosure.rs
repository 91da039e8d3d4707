//! What leaves, and what does not, when the record server says more than it should.

use domain::{Kind, Outcome, Reject, ResourceType};
use http::Method;

use crate::upstream::{SELF, answer, bundle, json, observation};
use crate::world::{BASE, Holder, LABS, World, id, parsed, text};

const CANARY: &str = "CANARY-BROOK";

/// Everything that an upstream may get wrong, each with another patient's canary in it, around two
/// labs that are really Amina's.
fn everything() -> Vec<String> {
    let lab = |name, more: &str| observation(name, "pat-a", "laboratory", more);
    let note = format!(r#","note":[{{"text":"{CANARY}"}}]"#);
    let with = |more: &str| format!("{note},{more}");
    vec![
        lab("lab-1", ""),
        observation("foreign", "pat-b", "laboratory", &note),
        observation("vitals", "pat-a", "vital-signs", &note),
        lab("second-subject", &with(r#""focus":[{"reference":"Patient/pat-b"}]"#)),
        lab("strange", &with(r#""performer":[{"reference":"https://else/Patient/pat-a"}]"#)),
        lab("logical", &with(r#""focus":[{"type":"Patient","identifier":{"value":"x"}}]"#)),
        lab("restricted", &with(r#""meta":{"security":[{"code":"R"}]}"#)),
        lab("hiv", &with(r#""meta":{"security":[{"code":"N"},{"code":"HIV"}]}"#)),
        lab("contained", &with(r#""contained":[{"resourceType":"Patient","id":"pat-a"}]"#)),
        lab("twice", &with(r#""subject":{"reference":"Patient/pat-b"}"#)),
        format!(r#"{{"resourceType":"Observation","id":"no-subject"{note}}}"#),
        format!(r#"{{"resourceType":"Patient","id":"pat-b"{note}}}"#),
        format!(r#"{{"resourceType":"Patient","id":"pat-a"{note}}}"#),
        format!(r#"{{"resourceType":"OperationOutcome","id":"x"{note}}}"#),
        format!(r#"{{"resourceType":"Bundle","id":"n","entry":[{{"resource":{{}}}}]{note}}}"#),
        format!(r#"["{CANARY}"]"#),
        lab("lab-2", r#","contained":[{"resourceType":"Medication","id":"m"}]"#),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_released_as_it_arrived_and_stands_in_the_ledger_row_48() {
    let world = World::new().await;
    let lab = observation("lab-1", "pat-a", "laboratory", r#","valueQuantity":{"value":6.10}"#);
    let sent = lab.clone();
    world.up.says(move |_| json(&sent));
    let response = world.get(&world.hers(LABS), "/Observation/lab-1").await;
    assert_eq!((response.status.as_u16(), text(&response)), (200, lab.as_str()));
    assert_eq!(response.headers["cache-control"], "no-store");
    assert_eq!(response.headers["x-correlation-id"], "c-0001");
    assert!(!response.headers.contains_key("etag"));
    let records = world.records();
    let [record] = records.as_slice() else { panic!("one record") };
    let body = record.body.as_ref().unwrap();
    assert_eq!((record.kind, record.outcome), (Some(Kind::PhiRelease), Some(Outcome::Success)));
    assert_eq!(body.patient, Some(id("pat-a")));
    assert_eq!(body.resources, [(ResourceType::Observation, id("lab-1"))]);
    assert_eq!(body.body_sha256, Some(keys::sha256(lab.as_bytes())));
    assert_eq!(body.subject.as_deref(), Some("p_amina"));
    assert_eq!(body.scopes.as_ref().unwrap().to_string(), LABS);
    assert_eq!((body.purpose.as_deref(), body.role.as_deref()), (Some("test"), Some("patient")));
    assert_eq!(body.basis.as_deref(), Some("patient-request"));
    assert_eq!(body.session.as_ref().unwrap().as_str(), "s-amina");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_ignores_the_query_widens_nothing_row_5() {
    let world = World::new().await;
    let sent = bundle(&everything(), SELF);
    world.up.says(move |_| json(&sent));
    let response = world.get(&world.hers(LABS), "/Observation").await;
    let json = parsed(&response);
    let ids: Vec<_> =
        json["entry"].as_array().unwrap().iter().map(|e| &e["resource"]["id"]).collect();
    assert_eq!(ids, ["lab-1", "lab-2"]);
    assert!(!text(&response).contains(CANARY));
    assert_eq!(json["total"], 2);
    assert_eq!(json["entry"][0]["fullUrl"], format!("{BASE}/Observation/lab-1"));
    let records = world.records();
    assert_eq!(records.len(), 1);
    let body = records[0].body.as_ref().unwrap();
    assert_eq!((body.count, body.redactions), (Some(2), Some(15)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_query_excludes_is_dropped_though_the_upstream_sends_it_row_5() {
    let world = World::new().await;
    let sent = bundle(&everything(), SELF);
    world.up.says(move |_| json(&sent));
    let token = world.hers("patient/Observation.rs");
    for (query, left) in [
        ("_id=lab-2", 1),
        ("code=http://loinc.org|4548-4&category=laboratory", 2),
        ("code=other", 0),
        ("status=cancelled", 0),
        ("status=final&category=vital-signs", 1),
        ("category=laboratory&category=vital-signs", 0),
    ] {
        let response = world.get(&token, &format!("/Observation?{query}")).await;
        let json = parsed(&response);
        assert_eq!(json["entry"].as_array().map_or(0, Vec::len), left, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn includes_and_outcomes_never_leave_row_1() {
    let world = World::new().await;
    let lab = observation("lab-1", "pat-a", "laboratory", "");
    let sent = format!(
        r#"{{"resourceType":"Bundle","type":"searchset","link":[{SELF}],"entry":[{{"resource":{lab},"search":{{"mode":"include"}}}},{{"resource":{lab},"search":{{"mode":"outcome"}}}},{{}}]}}"#
    );
    world.up.says(move |_| json(&sent));
    let response = world.get(&world.hers(LABS), "/Observation").await;
    assert_eq!(parsed(&response)["entry"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_asked_anew_in_canonical_form_rows_4_30_38_44() {
    let world = World::new().await;
    let sent = bundle(&[], SELF);
    world.up.says(move |_| json(&sent));
    let token = world.hers(LABS);
    let smuggled = [
        ("x-http-method-override", "DELETE"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-authorization-scope", "system/*.*"),
        ("prefer", "respond-async"),
        ("if-none-match", "W/\"1\""),
        ("range", "bytes=0-1"),
        ("cookie", "a=b"),
    ];
    let target = "/Observation?date=ge2020&subject=pat-a&category=vital-signs&_count=9999";
    world.send(Method::GET, &token, target, &smuggled, "").await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    world
        .send(Method::POST, &token, "/Observation/_search?_sort=-date", &form, "date=ge2020")
        .await;
    let asked = world.up.asked();
    let [get, post] = asked.as_slice() else { panic!("two requests") };
    let category = "category=http%3A%2F%2Fterminology.hl7.org%2FCodeSystem%2Fobservation-category%7Claboratory";
    assert_eq!(get.line, "POST /up/Observation/_search HTTP/1.1");
    assert_eq!(
        get.body,
        format!("{category}&category=vital-signs&date=ge2020&patient=Patient%2Fpat-a&_count=200")
    );
    assert_eq!(post.body, format!("{category}&date=ge2020&patient=Patient%2Fpat-a&_sort=-date"));
    let mut names: Vec<String> = get
        .headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    names.sort();
    let allowed = ["accept", "authorization", "content-length", "content-type", "host", "prefer"];
    assert_eq!(names, allowed);
    assert!(get.headers.to_ascii_lowercase().contains("prefer: handling=strict"));
    assert!(get.headers.contains("Basic dXBzdHJlYW0=") && !get.headers.contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_looks_like_what_is_absent_rows_35_36() {
    let world = World::new().await;
    let note = format!(r#","note":[{{"text":"{CANARY}"}}]"#);
    let label = format!(r#"{note},"meta":{{"security":[{{"code":"PSY"}}]}}"#);
    let answers = [
        answer(404, "application/fhir+json", "{}"),
        answer(410, "text/html", "<html>gone</html>"),
        answer(403, "application/fhir+json", CANARY),
        answer(400, "application/fhir+json", CANARY),
        json(&observation("x", "pat-b", "laboratory", &note)),
        json(&observation("x", "pat-a", "vital-signs", &note)),
        json(&observation("x", "pat-a", "laboratory", &label)),
        json(&observation("other-id", "pat-a", "laboratory", &note)),
        json(r#"{"resourceType":"Observation","id":"x","id":"x"}"#),
    ];
    let token = world.hers(LABS);
    let mut seen = Vec::new();
    for sent in answers {
        world.up.says(move |_| sent.clone());
        let response = world.get(&token, "/Observation/x").await;
        assert!(!text(&response).contains(CANARY));
        seen.push((response.status, response.headers.clone(), response.body.clone()));
    }
    assert_eq!(seen[0].0.as_u16(), 404);
    assert!(seen.iter().all(|answer| *answer == seen[0]));
    let records = world.records();
    assert_eq!(records.len(), seen.len());
    let denied = Some(Outcome::Refused(Reject::OutOfReach));
    assert!(records.iter().all(|record| record.outcome == denied));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_out_of_reach_is_an_empty_bundle_and_asks_nobody_rows_31_41() {
    let world = World::new().await;
    let sent = bundle(&everything(), SELF);
    world.up.says(move |_| json(&sent));
    let token = world.hers("patient/Observation.rs patient/Patient.rs");
    for target in [
        "/Observation?patient=pat-b",
        "/Observation?patient=Patient/pat-a,pat-b",
        "/Observation?subject=Patient/pat-b&patient=pat-a",
        "/Patient?_id=pat-b",
    ] {
        let response = world.get(&token, target).await;
        let json = parsed(&response);
        assert_eq!((response.status.as_u16(), &json["total"]), (200, &0.into()), "{target}");
        assert!(json.get("entry").is_none());
    }
    assert!(world.up.asked().is_empty());
    assert_eq!(world.records().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_address_does_not_leave_row_19() {
    let world = World::new().await;
    let base = world.up.base.clone();
    let escaped = base.replace('/', "\\/");
    let more = format!(
        r#","encounter":{{"reference":"{base}/Encounter/e"}},"device":{{"reference":"{escaped}/Device/d"}}"#
    );
    let lab = observation("lab-1", "pat-a", "laboratory", &more);
    world.up.says(move |_| json(&lab));
    let response = world.get(&world.hers(LABS), "/Observation/lab-1").await;
    let json = parsed(&response);
    assert_eq!(json["encounter"]["reference"], format!("{BASE}/Encounter/e"));
    assert_eq!(json["device"]["reference"], format!("{BASE}/Device/d"));
    assert!(!text(&response).contains("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinician_reads_patients_in_care_one_at_a_time() {
    let world = World::new().await;
    let all: Vec<_> = ["pat-a", "pat-b", "pat-c"]
        .map(|p| observation(&format!("of-{p}"), p, "laboratory", ""))
        .into();
    let sent = bundle(&all, SELF);
    world.up.says(move |_| json(&sent));
    let token = world.token(Holder::Solis, "user/Observation.rs openid fhirUser", None);
    let ids = |json: &serde_json::Value| -> Vec<String> {
        let entries = json["entry"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|e| e["resource"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let one = world.get(&token, "/Observation?patient=pat-b").await;
    assert_eq!(ids(&parsed(&one)), ["of-pat-b"]);
    let body = world.records().pop().unwrap().body.unwrap();
    assert_eq!(body.basis.as_deref(), Some("treatment"));
    assert_eq!(body.role.as_deref(), Some("clinician"));
    for none in ["/Observation", "/Observation?patient=pat-c", "/Observation?patient=pat-a,pat-b"] {
        assert!(ids(&parsed(&world.get(&token, none).await)).is_empty(), "{none}");
    }
    let stranger = observation("of-pat-c", "pat-c", "laboratory", "");
    world.up.says(move |_| json(&stranger));
    assert_eq!(world.get(&token, "/Observation/of-pat-c").await.status.as_u16(), 404);
    world.up.says(|_| json(r#"{"resourceType":"Practitioner","id":"doc"}"#));
    assert_eq!(world.get(&token, "/Practitioner/doc").await.status.as_u16(), 200);
    assert_eq!(world.get(&token, "/Practitioner/other").await.status.as_u16(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_client_leaves_one_record_for_each_patient_row_48() {
    let world = World::new().await;
    let all: Vec<_> = ["pat-a", "pat-b", "pat-a"]
        .iter()
        .enumerate()
        .map(|(n, p)| observation(&format!("o{n}"), p, "laboratory", ""))
        .collect();
    let sent = bundle(&all, SELF);
    world.up.says(move |_| json(&sent));
    let token = world.token(Holder::Backend, "system/Observation.rs", None);
    let response = world.get(&token, "/Observation").await;
    assert_eq!(parsed(&response)["total"], 3);
    let told: Vec<_> = world
        .records()
        .into_iter()
        .map(|record| record.body.unwrap())
        .inspect(|body| {
            // A client on its own behalf, with no basis registered: to be accounted for.
            assert_eq!((body.basis.as_deref(), &body.role), (Some("other"), &None));
            assert_eq!(body.purpose.as_deref(), Some("test"));
        })
        .map(|body| (body.patient.unwrap().to_string(), body.count.unwrap()))
        .collect();
    assert_eq!(told, [("pat-a".to_owned(), 2), ("pat-b".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_capabilities_are_open_and_ask_nobody_row_37() {
    let world = World::new().await;
    let response = world.get("", "/metadata").await;
    assert_eq!(parsed(&response)["resourceType"], "CapabilityStatement");
    assert_eq!(response.headers["access-control-allow-origin"], "*");
    assert!(world.up.asked().is_empty() && world.records().is_empty());
}
