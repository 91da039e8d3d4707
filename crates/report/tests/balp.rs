//! Every AuditEvent has what the BALP profiles that it claims require, by a table of their rules; and
//! the table's judge refuses what lacks any of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "tests"
)]

mod support;

use domain::{Basis, Kind, Outcome, Reject, ResourceType};
use ledger::Body;
use ledger::read::Record;
use report::fhir::{BALP, Context, EVENT, REFUSED, audit_event};
use serde_json::{Value, json};
use support::{client, record, release};

const CONTEXT: Context<'_> = Context {
    issuer: "https://phiward.example",
    fhir_base: "https://phiward.example/fhir",
    origin: "phiward.example/ledger",
    stream: 1,
};

fn table() -> Value {
    serde_json::from_str(include_str!("balp.json")).unwrap()
}

fn has_code(coding: &Value, code: &str) -> bool {
    format!("{}#{}", coding["system"].as_str().unwrap_or(""), coding["code"].as_str().unwrap_or(""))
        == code
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, name| &value[name])
}

/// What an event lacks of a profile; empty if it conforms.
fn faults(event: &Value, name: &str) -> Vec<String> {
    let profile = &table()["profiles"][name];
    assert!(profile.is_object(), "{name} is not in the table");
    let mut faults = match profile["parent"].as_str() {
        Some(parent) => faults(event, parent),
        None => Vec::new(),
    };
    let mut check = |holds: bool, what: String| {
        if !holds {
            faults.push(what);
        }
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if let Some(code) = profile["type"].as_str().filter(|code| *code != "*") {
        check(has_code(&event["type"], code), format!("type is not {code}"));
        let codes = list(&profile["subtype"]);
        let found = list(&event["subtype"]);
        let hits = found.iter().filter(|s| codes.iter().any(|c| has_code(s, c.as_str().unwrap())));
        check(hits.count() == 1, "not exactly one subtype of the value set".to_owned());
        for (name, value) in [("action", &profile["action"]), ("outcome", &profile["outcome"])] {
            let any = *value == json!("*") && event[name].is_string();
            check(any || event[name] == *value, format!("{name} is not {value}"));
        }
    }
    check(event["recorded"].is_string(), "recorded".to_owned());
    check(event["source"]["observer"].is_object(), "source.observer".to_owned());
    for part in ["agent", "entity"] {
        let least = profile[if part == "agent" { "agents" } else { "entities" }].as_u64();
        let all = list(&event[part]);
        check(all.len() as u64 >= least.unwrap_or(0), format!("too few of {part}"));
        let code_of = |one: &Value, code: &str| match part {
            "agent" => list(&one["type"]["coding"]).iter().any(|c| has_code(c, code)),
            _ => has_code(&one["type"], code),
        };
        let mut sliced = 0;
        for slice in list(&profile[part]) {
            let code = slice["code"].as_str().unwrap();
            let own: Vec<_> = all.iter().filter(|one| code_of(one, code)).collect();
            sliced += own.len();
            let fits = match slice["count"].as_str().unwrap() {
                "one" => own.len() == 1,
                "some" => !own.is_empty(),
                "maybe" => own.len() <= 1,
                other => panic!("{other}"),
            };
            let label = format!("{part}:{}", slice["slice"].as_str().unwrap());
            check(fits, format!("{label} stands {} times", own.len()));
            for one in own {
                for name in list(&slice["has"]) {
                    let there = !at(one, name.as_str().unwrap()).is_null();
                    check(there, format!("{label} lacks {name}"));
                }
                for name in list(&slice["lacks"]) {
                    check(one[name.as_str().unwrap()].is_null(), format!("{label} has {name}"));
                }
                if let Some(codes) = slice["role"].as_array() {
                    let held =
                        codes.iter().any(|code| has_code(&one["role"], code.as_str().unwrap()));
                    check(held, format!("{label} has another role"));
                }
                if let Some(kind) = slice["reference"].as_str() {
                    let reference = one["what"]["reference"].as_str().unwrap_or("");
                    check(reference.starts_with(kind), format!("{label} refers to no {kind}"));
                }
                if slice["requestor"].is_boolean() {
                    check(one["requestor"] == slice["requestor"], format!("{label} requestor"));
                }
                if slice["observer"] == json!(true) {
                    let same = one["who"] == event["source"]["observer"];
                    check(same, format!("{label} is not the observer"));
                }
                if let Some(prefix) = slice["policy"].as_str() {
                    let policy = one["policy"][0].as_str().unwrap_or("");
                    check(policy.starts_with(prefix), format!("{label} policy"));
                    check(list(&one["policy"]).len() == 1, format!("{label} has several policies"));
                }
            }
        }
        if profile["closed"] == json!(true) && part == "entity" {
            check(sliced == all.len(), "an entity of no slice".to_owned());
        }
    }
    faults
}

fn profiles(event: &Value) -> Vec<String> {
    let names = event["meta"]["profile"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().trim_start_matches(BALP).to_owned()).collect()
}

/// One record of each shape that the server writes, and the first profile that it must claim.
fn shapes() -> Vec<(&'static str, Record)> {
    let with = |change: &dyn Fn(&mut Body)| {
        let mut record = release(7, 1, "pat-a", "app", &[ResourceType::Observation]);
        let body = record.body.as_mut().unwrap();
        body.basis = Some(Basis::Treatment.as_str().into());
        body.interaction = Some("read".into());
        change(body);
        record
    };
    let kind = |kind, outcome, change: &dyn Fn(&mut Body)| {
        let mut record = with(change);
        (record.kind, record.outcome) = (Some(kind), Some(outcome));
        record
    };
    let refused = Outcome::Refused(Reject::OutOfReach);
    let search = |body: &mut Body| body.interaction = Some("search-type".into());
    vec![
        ("IHE.BasicAudit.PatientRead", with(&|_| {})),
        ("IHE.BasicAudit.PatientRead", with(&|b| b.subject = Some("app".into()))),
        ("IHE.BasicAudit.PatientRead", with(&|b| b.basis = None)),
        ("IHE.BasicAudit.Read", with(&|b| b.patient = None)),
        ("IHE.BasicAudit.PatientQuery", with(&search)),
        (
            "IHE.BasicAudit.PatientQuery",
            with(&|b| {
                search(b);
                b.resources.clear();
                b.query = None;
                b.address = None;
            }),
        ),
        (
            "IHE.BasicAudit.Query",
            with(&|b| {
                search(b);
                b.patient = None;
                b.jti_hash = None;
            }),
        ),
        (
            "IHE.BasicAudit.PrivacyDisclosure.Source",
            with(&|b| {
                b.basis = Some("public-health".into());
            }),
        ),
        (
            "IHE.BasicAudit.PrivacyDisclosure.Source",
            with(&|b| {
                search(b);
                b.basis = Some("other".into());
                b.subject = Some("app".into());
            }),
        ),
        (
            "IHE.BasicAudit.AuthZconsent",
            kind(Kind::ConsentGiven, Outcome::Success, &|b| {
                b.grant = domain::GrantId::parse("g_1").ok();
                b.jti_hash = None;
            }),
        ),
        (REFUSED, kind(Kind::PhiDenied, refused, &search)),
        (REFUSED, kind(Kind::PhiDenied, Outcome::Fault, &|_| {})),
        (
            REFUSED,
            kind(Kind::SignIn, refused, &|b| *b = Body { address: b.address, ..Body::default() }),
        ),
        (EVENT, kind(Kind::TokenIssued, Outcome::Success, &|b| b.interaction = None)),
        (EVENT, kind(Kind::ConsentGiven, Outcome::Success, &|b| b.patient = None)),
        (EVENT, record(0, 0, Kind::StreamOpened, Outcome::Success, Body::default())),
        (EVENT, kind(Kind::AdminChange, Outcome::Success, &|b| b.client = Some(client("x")))),
    ]
}

#[test]
fn every_event_has_what_its_profiles_require() {
    for (expected, record) in shapes() {
        let event = audit_event(&record, &CONTEXT);
        let claimed = profiles(&event);
        assert_eq!(claimed[0], expected);
        for name in claimed.iter().filter(|name| name.starts_with("IHE.")) {
            let faults = faults(&event, name);
            assert!(faults.is_empty(), "{name}: {faults:?}\n{event:#}");
        }
    }
}

/// The rules cannot tell the two ends apart, since both have a name and a place.
#[test]
fn the_client_is_the_destination_of_what_is_read_and_the_source_of_a_query() {
    for (name, record) in shapes() {
        let event = audit_event(&record, &CONTEXT);
        let role = |code: &str| {
            let code = format!("http://dicom.nema.org/resources/ontology/DCM#{code}");
            let agents = event["agent"].as_array().unwrap();
            let own = agents.iter().find(|one| has_code(&one["type"]["coding"][0], &code));
            own.map(|one| one["who"]["identifier"]["value"].as_str().unwrap())
        };
        let ends = match name {
            "IHE.BasicAudit.Query" | "IHE.BasicAudit.PatientQuery" => ("110153", "110152"),
            name if name.starts_with("IHE.") && !name.ends_with("AuthZconsent") => {
                ("110152", "110153")
            }
            _ => continue,
        };
        assert_eq!((role(ends.0), role(ends.1)), (Some("app"), Some(CONTEXT.issuer)), "{name}");
    }
}

#[test]
fn the_judge_refuses_an_event_that_lacks_anything() {
    for (name, record) in shapes().into_iter().filter(|(name, _)| name.starts_with("IHE.")) {
        let whole = audit_event(&record, &CONTEXT);
        for spoiled in ["type", "subtype", "action", "outcome", "recorded", "source"] {
            let mut event = whole.clone();
            event.as_object_mut().unwrap().remove(spoiled);
            assert!(!faults(&event, name).is_empty(), "{name} without {spoiled}");
        }
        let slices = |part: &str| {
            let profile = &table()["profiles"][name];
            let parent = profile["parent"].as_str().map(|p| table()["profiles"][p][part].clone());
            let own = profile[part].as_array().cloned().unwrap_or_default();
            let all = parent.and_then(|p| p.as_array().cloned()).unwrap_or_default();
            own.into_iter().chain(all).filter(|s| s["count"] != "maybe").collect::<Vec<_>>()
        };
        for part in ["agent", "entity"] {
            for slice in slices(part) {
                let mut event = whole.clone();
                let code = slice["code"].as_str().unwrap();
                event[part].as_array_mut().unwrap().retain(|one| {
                    !has_code(&one["type"], code)
                        && !one["type"]["coding"]
                            .as_array()
                            .is_some_and(|codings| codings.iter().any(|c| has_code(c, code)))
                });
                assert!(!faults(&event, name).is_empty(), "{name} without {part} {code}");
            }
        }
    }
}

#[test]
fn no_event_holds_what_a_record_must_not_and_each_names_its_record() {
    for (_, record) in shapes() {
        let event = audit_event(&record, &CONTEXT);
        assert_eq!(event["id"], format!("1-{}", record.seq));
        let text = event.to_string();
        assert!(!text.contains("null"), "{text}");
        assert!(
            !text.contains(r#":"""#) && !text.contains("[]"),
            "FHIR has no empty values: {text}"
        );
    }
    let shredded = Record { body: None, ..shapes().remove(0).1 };
    let event = audit_event(&shredded, &CONTEXT);
    assert_eq!(profiles(&event), [EVENT]);
}
