use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

const BASE: &str = "http://up/fhir";

fn facts(raw: &str) -> Facts<'_> {
    scan(raw, BASE).expect("readable")
}

fn patients(facts: &Facts<'_>) -> Vec<String> {
    facts.patients.iter().map(ToString::to_string).collect()
}

#[test]
fn a_resource_is_read_whatever_the_order_and_spelling_of_its_keys() {
    let facts = facts(
        r#"{"category":[{"extension":[{"valueCoding":{"system":"s","code":"fake"}}],
             "coding":[{"system":"s","code":"laboratory","display":"x"},{"code":"b"}]}],
            "code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}],"text":"A1c"},
            "s\u0075bject":{"reference":"http:\/\/up/fhir/Patient/p1"},"status":"final",
            "meta":{"security":[{"system":"c","code":"N"}]},
            "contained":[{"resourceType":"Medication","meta":{"security":[{"code":"R"}]}}],
            "performer":[{"reference":"Practitioner/d"}],
            "id":"o1","valueQuantity":{"value":6.1},"resourceType":"Observation"}"#,
    );
    assert_eq!((facts.resource_type, facts.id.as_str()), (ResourceType::Observation, "o1"));
    let codings: Vec<_> = facts.codings(Element::Category).collect();
    assert_eq!(codings, [("s", "laboratory", false), ("", "b", false)]);
    assert_eq!(facts.codings(Element::Status).collect::<Vec<_>>(), [("", "final", true)]);
    assert_eq!(patients(&facts), ["p1"]);
    assert_eq!(facts.subjects(Element::Subject).count(), 1);
    assert_eq!(facts.security().collect::<Vec<_>>(), [("c", "N"), ("", "R")]);
    assert_eq!(facts.contained, [Some(ResourceType::Medication)]);
}

#[test]
fn another_patient_is_found_at_any_depth_row_20() {
    let with = |inner: &str| {
        format!(
            r#"{{"resourceType":"Observation","id":"o","subject":{{"reference":"Patient/p1"}},{inner}}}"#
        )
    };
    let deep = with(r#""a":[{"b":{"extension":[{"valueReference":{"reference":"Patient/p2"}}]}}]"#);
    assert_eq!(patients(&facts(&deep)), ["p1", "p2"]);
    for strange in [
        r#""focus":[{"reference":"https://else/Patient/p1"}]"#,
        r#""focus":[{"type":"Patient","identifier":{"value":"1"}}]"#,
        r#""focus":[{"reference":["Patient?x=1"]}]"#,
    ] {
        assert!(facts(&with(strange)).strange_patient, "{strange}");
    }
    let nested = with(r#""a":{"resource":{"resourceType":"Patient","id":"p2"}}"#);
    assert_eq!(facts(&nested).contained, [Some(ResourceType::Patient)]);
}

#[test]
fn what_reads_two_ways_is_withheld_row_42() {
    let deep = format!(
        r#"{{"resourceType":"Patient","id":"p","x":{}1{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let wide: String = (0..300).map(|i| format!(r#","k{i}":1"#)).collect();
    let wide = format!(r#"{{"resourceType":"Patient","id":"p"{wide}}}"#);
    for bad in [
        r#"{"resourceType":"Patient","id":"p","id":"q"}"#,
        r#"{"resourceType":"Patient","id":"p","\u0069d":"q"}"#,
        r#"{"resourceType":"Patient","resourceType":"Observation","id":"p"}"#,
        r#"{"resourceType":"Patient","id":"p","a":{"b":1,"b":2}}"#,
        r#"{"resourceType":"Patient","id":"p"} {}"#,
        r#"{"resourceType":"Patient","id":["p"]}"#,
        r#"{"resourceType":"Patient","id":1}"#,
        r#"{"resourceType":"Patient","id":".."}"#,
        r#"{"resourceType":"patient","id":"p"}"#,
        r#"{"resourceType":"Patient"}"#,
        r#"{"id":"p"}"#,
        r#"[{"resourceType":"Patient","id":"p"}]"#,
        r#"{"resourceType":"Patient","id":"p","x":NaN}"#,
        r#"{"resourceType":"Patient","id":"p","x":1e999}"#,
        "\u{feff}{\"resourceType\":\"Patient\",\"id\":\"p\"}",
        r#"{"resourceType":"Observation","id":"p","subject":"Patient/1"}"#,
        r#"{"resourceType":"Observation","id":"p","meta":"x"}"#,
        r#"{"resourceType":"Observation","id":"p","meta":{"security":[{"code":{"a":1}}]}}"#,
        "",
        "<html></html>",
        &deep,
        &wide,
    ] {
        assert!(scan(bad, BASE).is_err(), "{bad}");
    }
}

/// Every local patient under a key `reference`, found by walking a tree.
fn by_tree(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if key == "reference" => {
            if let Target::Patient(id) = Target::parse(text, BASE)
                && !found.contains(&id.to_string())
            {
                found.push(id.to_string());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| by_tree(item, key, found)),
        Value::Object(members) => members.iter().for_each(|(key, v)| by_tree(v, key, found)),
        _ => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let text =
        proptest::sample::select(vec!["Patient/p1", "Patient/p2", "Patient", "x", "Group/1"]);
    let leaf = prop_oneof![3 => text.prop_map(Value::from), 1 => Just(Value::from(1.5)), 1 => Just(Value::Null)];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let keys = ["reference", "subject", "type", "coding", "code", "extension", "meta", "identifier"];
        let members = (proptest::sample::select(keys.to_vec()), inner.clone());
        prop_oneof![
            1 => proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            3 => proptest::collection::vec(members, 0..5).prop_map(|members| {
                let members: Map<_, _> = members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
                Value::Object(members)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_patient_hides_from_the_scan(members in proptest::collection::vec(("[a-c]|subject|focus|code|reaction|contained|identifier", any_value()), 0..5)) {
        let mut resource: Map<_, _> = members.into_iter().collect();
        resource.insert("resourceType".into(), "Observation".into());
        resource.insert("id".into(), "o".into());
        let resource = Value::Object(resource);
        let raw = resource.to_string();
        if let Ok(facts) = scan(&raw, BASE) {
            let mut expected = Vec::new();
            by_tree(&resource, "", &mut expected);
            prop_assert_eq!(patients(&facts), expected);
        }
    }

    #[test]
    fn no_text_panics_the_scan(text in "\\PC{0,60}|[{}\\[\\]\":,a-z0-9\\\\ ]{0,60}") {
        drop(scan(&text, BASE));
        drop(crate::Bundle::parse(&text));
        drop(scan(&format!(r#"{{"resourceType":"Patient","id":"p",{text}}}"#), BASE));
    }
}
