//! What a privacy officer gets of a real system: reports that add up, proofs, and events that programs of
//! other people accept as FHIR.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::Write;
use std::process::{Output, Stdio};

use phiward_journeys::{App, Demo, LAB_SCOPE, Partners};
use serde_json::Value;

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn an_app_that_read_a_record_is_accounted_for_proven_and_exported() {
    let demo = Demo::start(&[]);
    let app = App::of(&demo, "demo-confidential");
    let mut amina = demo.person("amina");
    let token = app.connect(&mut amina, LAB_SCOPE).await.access_token().to_owned();
    let found = app.search("Observation?category=laboratory", &token).await;
    assert!(!found.is_empty());
    assert_eq!(app.read("Condition/nobody", &token).await.status, 403);
    // A checkpoint is signed every five seconds.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let patient = demo.ready.patient("amina");
    let report = |arguments: &[&str]| demo.command(&[&["ledger", "report"], arguments].concat());

    let own = json(&report(&["disclosures", "--patient", patient, "--json"]));
    assert_eq!(own["disclosures"], serde_json::json!([]), "to the individual: excepted");
    assert!(own["excepted"]["patient-request"].as_u64().unwrap() >= 1);
    let all = json(&report(&["disclosures", "--patient", patient, "--all", "--prove", "--json"]));
    let row = &all["disclosures"][0];
    assert_eq!(row["recipient"], "Example Health Apps, Inc. (demo)");
    assert_eq!(row["address"], "1 Example Plaza, Springfield, IL 62701, USA");
    assert_eq!(row["basis"], "patient-request");
    assert_eq!(row["types"]["Observation"], found.len());
    assert_eq!(all["proof"]["listed"], row["records"].as_array().unwrap().len());
    let records = row["records"].as_array().unwrap();
    let proofs = all["proof"]["inclusions"].as_array().unwrap();
    assert_eq!(proofs.len(), records.len());

    let activity = json(&report(&["activity", "--person", "amina", "--json"]));
    assert_eq!(activity["accesses"][0]["patient"], patient);
    let refused = json(&report(&["refused", "--prove", "--json"]));
    assert!(
        refused["groups"].as_array().unwrap().iter().any(|g| g["value"] == "scope-insufficient")
    );
    let empty = json(&report(&["disclosures", "--patient", "never-seen", "--prove", "--json"]));
    assert_eq!(
        (&empty["disclosures"], &empty["proof"]["tagged"]),
        (&serde_json::json!([]), &0.into())
    );
    let wrong = report(&["refused", "--since", "2026-02-01", "--until", "2026-01-01"]);
    assert_eq!(wrong.status.code(), Some(16));

    let pdf = report(&["disclosures", "--patient", patient, "--all", "--format", "pdf"]);
    assert!(pdf.status.success() && pdf.stdout.starts_with(b"%PDF-"));

    let events = demo.command(&["ledger", "export", "--format", "fhir"]);
    assert!(events.status.success(), "{}", String::from_utf8_lossy(&events.stderr));
    let count = events.stdout.iter().filter(|byte| **byte == b'\n').count();
    let mut child = Partners::ready()
        .node("fhir/validate.mjs")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&events.stdout).unwrap();
    let judged = json(&child.wait_with_output().unwrap());
    assert_eq!(judged["conform"], count);

    let last = demo.command(&["ledger", "show", "--last", "60", "--json"]);
    let shown = String::from_utf8(last.stdout).unwrap();
    let kinds = |kind: &str| shown.matches(&format!(r#""kind":"{kind}""#)).count();
    assert_eq!(
        (kinds("report.run"), kinds("ledger.exported")),
        (6, 1),
        "reading is itself recorded"
    );
}
