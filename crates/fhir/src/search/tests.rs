use proptest::prelude::*;

use super::*;

const BASE: &str = "https://us/fhir";

fn parse(kind: ResourceType, query: &str) -> Result<Query, Reject> {
    Query::parse(kind, Some(query), None, BASE)
}

fn search(query: &str) -> Search {
    match parse(ResourceType::Observation, query) {
        Ok(Query::Search(search)) => search,
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn what_could_ask_about_other_resources_is_refused_rows_1_2_3() {
    for bad in [
        "_include=Observation:subject",
        "_include:iterate=*",
        "_revinclude=Provenance:target",
        "_has:Condition:patient:code=1",
        "subject:Patient.name=x",
        "subject.name=x",
        "patient.identifier=x",
        "patient:identifier=x",
        "patient:Patient=1",
        "code:in=x",
        "code:text=x",
        "code:not=x",
        "date:missing=true",
        "_filter=x",
        "_text=x",
        "_content=x",
        "_query=x",
        "_list=1",
        "_security=R",
        "_tag=x",
        "_summary=count",
        "_elements=id",
        "_total=accurate",
        "_contained=both",
        "_type=Patient",
        "code-value-quantity=x",
        "value-quantity=5",
        "Code=x",
        "_method=DELETE",
        "_sort=patient",
        "_sort=code",
        "_page=x&code=y",
    ] {
        let answer = parse(ResourceType::Observation, bad);
        assert_eq!(answer, Err(Reject::SearchParameterRefused), "{bad}");
    }
}

#[test]
fn polluted_parameters_are_malformed_row_41() {
    for bad in [
        "patient=1&patient=2",
        "patient=1&patient=1",
        "_id=1&_id=2",
        "_count=1&_count=2",
        "_count=0",
        "_count=-1",
        "_count=x",
        "patient=Group/1",
        "patient=https://else/Patient/1",
        "patient=Patient/1/_history/2",
        "patient=../1",
        "patient=",
        "code=a,,b",
        "code=a|b|c",
        "code=a\\,b",
        "code=a$b",
        "date=yesterday",
        "date=2020-1-1",
        "date=ge",
        "_format=json&_format=json",
    ] {
        let answer = parse(ResourceType::Observation, bad);
        assert_eq!(answer, Err(Reject::SearchMalformed), "{bad}");
    }
    let token = parse(ResourceType::Observation, "access_token=x");
    assert_eq!(token, Err(Reject::TokenMisplaced));
    let xml = parse(ResourceType::Observation, "_format=xml");
    assert_eq!(xml, Err(Reject::FormatRefused));
}

#[test]
fn query_and_body_are_one_search_row_30() {
    let both = Query::parse(ResourceType::Observation, Some("code=a"), Some(b"status=final"), BASE);
    assert_eq!(both, Ok(Query::Search(search("status=final&code=a"))));
    let twice = Query::parse(ResourceType::Observation, Some("code=a"), Some(b"code=a"), BASE);
    assert_eq!(twice, Err(Reject::SearchMalformed));
}

#[test]
fn a_search_is_narrowed_whatever_it_named() {
    let one = FhirId::parse("p1").unwrap();
    let narrowed = search("subject=Patient/p2&date=ge2020&date=lt2021-05&code=a,b|c")
        .narrowed_to_patients(vec![one.clone()]);
    assert_eq!(
        narrowed.to_string(),
        "code=a,b%7Cc&date=ge2020&date=lt2021-05&patient=Patient%2Fp1"
    );
    let Ok(Query::Search(patients)) = parse(ResourceType::Patient, "_id=p2&name=X") else {
        panic!("a search");
    };
    let narrowed = patients.narrowed_to_patients(vec![one]);
    assert_eq!(narrowed.to_string(), "_id=p1&name=X");
}

#[test]
fn both_names_of_a_patient_must_hold_row_41() {
    let named = |query| {
        search(query)
            .patients()
            .map(|ids| ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(named("code=x"), None);
    assert_eq!(named("patient=1,2"), Some(vec!["1".into(), "2".into()]));
    assert_eq!(named("patient=https://us/fhir/Patient/1&subject=1"), Some(vec!["1".into()]));
    assert_eq!(named("patient=1&subject=2"), Some(vec![]));
}

#[test]
fn dates_have_a_shape() {
    for good in
        ["2020", "ge2020-01", "2020-01-02", "lt2020-01-02T03:04Z", "2020-01-02T03:04:05.123+01:00"]
    {
        let shape = is_date(good);
        assert!(shape, "{good}");
    }
}

proptest! {
    #[test]
    fn no_query_panics_and_what_parses_prints_and_reads_back(
        query in "((code|status|date|patient|subject|_id|_count|_sort|encounter|identifier|_lastUpdated|[a-z_:.]{1,8})=([a-zA-Z0-9|,/%+. -]{0,12}|ge20[0-9]{2}|\\PC{0,6})&?){0,4}"
    ) {
        if let Ok(Query::Search(found)) = parse(ResourceType::Observation, &query) {
            let printed = found.to_string();
            prop_assert_eq!(parse(ResourceType::Observation, &printed), Ok(Query::Search(found)));
        }
    }

    #[test]
    fn generated_searches_read_back(
        codes in proptest::collection::vec("([a-z:/.]{0,9}\\|)?[A-Za-z0-9 é&=%-]{0,4}[a-z0-9]", 1..4),
        id in "[A-Za-z0-9-]{1,12}",
        count in 1u16..200,
    ) {
        let codes: Vec<String> = codes.iter().map(|c| form::encode(c).to_string()).collect();
        let query = format!("code={}&patient={id}&_count={count}&_sort=-date,_id", codes.join(","));
        let found = search(&query);
        prop_assert_eq!(search(&found.to_string()), found);
    }
}
