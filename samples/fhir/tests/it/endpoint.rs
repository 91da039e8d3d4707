//! Reads, searches and refusals.

use http::{Method, StatusCode, header};
use phiward_sample_fhir::{BODY_LIMIT, demo_patients, stranger};

use crate::{BASE, all, ask, entries, found, get, link, owner};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const STRICT: (&str, &str) = ("prefer", "return=representation; handling=strict");
const LABORATORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory";

fn amina() -> &'static str {
    let [amina, _] = demo_patients();
    amina.id
}

fn total(target: &str) -> u64 {
    get(target).json["total"].as_u64().unwrap()
}

#[test]
fn a_read_gives_the_record_and_an_unknown_id_an_outcome() {
    let answer = get(&format!("/Patient/{}", amina()));
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/fhir+json");
    assert_eq!(answer.json["id"], amina());

    for target in
        ["/Patient/nobody", "/Patient/..", "/Patient/%2e", "/Observation/pat-f61cd99e7f42"]
    {
        let answer = get(target);
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
        assert_eq!(answer.json["resourceType"], "OperationOutcome");
        assert_eq!(answer.json["issue"][0]["code"], "not-found");
    }
}

#[test]
fn what_is_no_address_is_not_found() {
    for target in [
        "",
        "/",
        "Patient",
        "//Patient",
        "/patient",
        "/Binary",
        "/Patient/x/y",
        "/Patient/x/_history/1",
        "/Nothing?patient=x",
        "/metadata/x",
        "/$export",
    ] {
        let answer = get(target);
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
        assert_eq!(answer.json["issue"][0]["code"], "not-supported", "{target}");
    }
}

#[test]
fn every_way_to_write_is_refused() {
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        for target in ["/Patient", "/Patient/x", "/Patient/_search", "/metadata"] {
            let answer = ask(&method, target, &[FORM], "");
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {target}");
        }
    }
    let create = ask(&Method::POST, "/Patient", &[], "{}");
    assert_eq!(create.headers[header::ALLOW], "GET");
    let search = get("/Patient/_search");
    assert_eq!(search.headers[header::ALLOW], "POST");
}

#[test]
fn a_search_by_patient_gives_that_persons_records_only() {
    for spelling in ["patient=", "patient=Patient/", "subject=", "subject=Patient/"] {
        let labs = all(&format!("/Observation?{spelling}{}&category={LABORATORY}", amina()));
        assert_eq!(labs.len(), 43, "{spelling}");
        assert!(labs.iter().all(|lab| owner(lab).as_deref() == Some(amina())));
    }
    assert_eq!(total("/Observation?patient=nobody"), 0);
    assert_eq!(found("/Observation?patient=nobody").len(), 0);
}

#[test]
fn a_comma_widens_and_a_repetition_narrows() {
    let hba1c = format!("/Observation?patient={}&code=http://loinc.org|4548-4", amina());
    let either = format!("{hba1c},http://loinc.org|2345-7");
    assert!(total(&hba1c) > 0);
    assert!(total(&either) > total(&hba1c));
    assert_eq!(total(&format!("{hba1c}&code=2345-7")), 0);

    let both = format!("/Observation?patient={},{}", amina(), stranger().id);
    assert_eq!(
        total(&both),
        total(&format!("/Observation?patient={}", amina()))
            + total(&format!("/Observation?patient={}", stranger().id))
    );
    assert_eq!(total(&format!("/Observation?patient={}&patient={}", amina(), stranger().id)), 0);
}

#[test]
fn tokens_dates_labels_and_names_are_searched() {
    let everything = total("/Observation");
    let before = total("/Observation?date=lt2025-01-01");
    let after = total("/Observation?date=ge2025-01-01");
    assert!(before > 0 && after > 0);
    assert_eq!(before + after, everything);
    assert_eq!(total("/Observation?_lastUpdated=lt2000"), 0);
    assert_eq!(total("/Observation?status=final"), everything);
    assert_eq!(total("/Observation?code=http://snomed.info/sct|4548-4"), 0);
    assert_eq!(total("/Observation?_security=HIV"), 3);
    assert!(total("/Condition?clinical-status=active") > 0);
    assert!(total("/DocumentReference?type=http://loinc.org|34788-0") == 1);
    assert_eq!(total("/Patient?name=amin"), 1);
    assert_eq!(total(&format!("/Patient?_id={},{}", amina(), stranger().id)), 2);
}

#[test]
fn sorting_is_by_date_both_ways() {
    let dates = |sort: &str| -> Vec<String> {
        all(&format!("/DiagnosticReport?patient={}&_sort={sort}", amina()))
            .iter()
            .map(|report| report["effectiveDateTime"].as_str().unwrap().to_owned())
            .collect()
    };
    let rising = dates("date");
    let mut sorted = rising.clone();
    sorted.sort();
    assert_eq!(rising, sorted);
    sorted.reverse();
    assert_eq!(dates("-date"), sorted);
    assert_ne!(rising.first(), rising.last());
}

#[test]
fn a_posted_search_adds_its_form_to_its_query() {
    let form = format!("patient={}&category=laboratory", amina());
    let posted = ask(&Method::POST, "/Observation/_search?code=4548-4", &[FORM], &form);
    assert_eq!(posted.status, StatusCode::OK);
    let same = get(&format!("/Observation?code=4548-4&{form}"));
    assert_eq!(entries(&posted.json), entries(&same.json));
    assert_eq!(link(&posted.json, "self"), link(&same.json, "self"));

    let json =
        ask(&Method::POST, "/Observation/_search", &[("content-type", "application/json")], "{}");
    assert_eq!(json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[test]
fn an_unknown_parameter_is_refused_when_strict_and_else_left_out_of_the_self_link() {
    let target = "/Patient?gender=female&shoe-size=38";
    let strict = ask(&Method::GET, target, &[STRICT], "");
    assert_eq!(strict.status, StatusCode::BAD_REQUEST);
    assert!(!strict.json.to_string().contains("shoe"));

    let lenient = get(target);
    assert_eq!(lenient.status, StatusCode::OK);
    assert_eq!(link(&lenient.json, "self").unwrap(), format!("{BASE}/Patient?gender=female"));
    let known = ask(&Method::GET, "/Patient?gender=female&_count=5", &[STRICT], "");
    assert_eq!(known.status, StatusCode::OK);
}

#[test]
fn what_is_not_understood_is_refused_however_lenient() {
    for query in [
        "code:text=x",
        "subject:Patient.name=x",
        "patient.name=x",
        "date=yesterday",
        "date=ap2025",
        "_count=-1",
        "_count=x",
        "_sort=code",
        "_sort=date,code",
        "_summary=true",
        "_total=maybe",
        "_count=1&_count=2",
        "code=",
        "patient=",
        "code=%",
        "code=%ff",
        "_page=1",
        "_page=14.0",
    ] {
        let answer = get(&format!("/Observation?{query}"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.json["resourceType"], "OperationOutcome", "{query}");
    }
}

#[test]
fn only_json_is_served() {
    for accept in ["application/fhir+json", "application/json;q=0.9", "text/html, */*"] {
        let answer = ask(&Method::GET, "/metadata", &[("accept", accept)], "");
        assert_eq!(answer.status, StatusCode::OK, "{accept}");
    }
    assert_eq!(get("/Patient?_format=application/fhir%2Bjson").status, StatusCode::OK);
    for target in ["/metadata", "/Patient", "/Patient/pat-f61cd99e7f42"] {
        let answer = ask(&Method::GET, target, &[("accept", "application/fhir+xml")], "");
        assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE, "{target}");
        let answer = get(&format!("{target}?_format=xml"));
        assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE, "{target}");
    }
}

#[test]
fn queries_and_bodies_have_a_largest_size() {
    let long = "x".repeat(9000);
    assert_eq!(get(&format!("/Patient?name={long}")).status, StatusCode::URI_TOO_LONG);
    let body = "x".repeat(BODY_LIMIT + 1);
    let answer = ask(&Method::POST, "/Patient/_search", &[FORM], &body);
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn every_parameter_that_metadata_declares_is_understood() {
    let metadata = get("/metadata").json;
    assert_eq!(metadata["resourceType"], "CapabilityStatement");
    assert_eq!(metadata["fhirVersion"], "4.0.1");
    for resource in metadata["rest"][0]["resource"].as_array().unwrap() {
        let kind = resource["type"].as_str().unwrap();
        for parameter in resource["searchParam"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let value = match parameter["type"].as_str().unwrap() {
                "date" => "2025",
                _ => "x",
            };
            let target = format!("/{kind}?{name}={value}");
            let answer = ask(&Method::GET, &target, &[STRICT], "");
            assert_eq!(answer.status, StatusCode::OK, "{target}");
        }
    }
}
