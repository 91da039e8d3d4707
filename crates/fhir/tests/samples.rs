//! Real-looking records, whole: the scan reads every one and finds its patient.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use phiward_fhir::{Subject, Target, scan, table_of};

const RECORDS: &str = include_str!("../../../samples/fhir/data/records.ndjson");

#[test]
fn every_sample_record_is_read_and_names_one_patient_or_none() {
    for raw in RECORDS.lines() {
        let facts = scan(raw, "http://127.0.0.1:1").unwrap_or_else(|_| panic!("{raw}"));
        let tree: serde_json::Value = serde_json::from_str(raw).unwrap();
        assert_eq!(tree["id"], facts.id.as_str());
        let labels = tree["meta"]["security"].as_array().map_or(0, Vec::len);
        assert_eq!(facts.labels.len(), labels, "{raw}");
        assert!(!facts.strange_patient, "{raw}");
        match table_of(facts.resource_type).expect("a type of the table").subject {
            Subject::Element(element) => {
                let subjects: Vec<_> = facts.subjects(element).collect();
                assert!(matches!(subjects.as_slice(), [Target::Patient(_)]), "{raw}");
                assert_eq!(facts.patients.len(), 1, "{raw}");
            }
            Subject::Itself | Subject::Nobody => assert!(facts.patients.is_empty(), "{raw}"),
        }
    }
}
