//! Pages: complete, without repetition, and bound to their search.

use std::collections::BTreeSet;

use http::StatusCode;
use phiward_sample_fhir::demo_patients;

use crate::{BASE, all, entries, get, link};

fn labs() -> String {
    let [amina, _] = demo_patients();
    format!("/Observation?patient={}&category=laboratory", amina.id)
}

#[test]
fn following_next_gives_every_match_once() {
    let ids = |query: &str| -> Vec<String> {
        all(&format!("{}{query}", labs()))
            .iter()
            .map(|lab| lab["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let whole = ids("&_count=100");
    assert_eq!(whole.len(), whole.iter().collect::<BTreeSet<_>>().len());
    for count in ["", "&_count=1", "&_count=7", "&_count=43", "&_count=10&_sort=-date"] {
        let mut paged = ids(count);
        assert_eq!(paged.len(), whole.len(), "{count}");
        if count.contains("_sort") {
            paged.sort();
            let mut whole = whole.clone();
            whole.sort();
            assert_eq!(paged, whole);
        } else {
            assert_eq!(paged, whole, "{count}");
        }
    }
}

#[test]
fn each_page_tells_the_total_and_the_last_has_no_next() {
    let first = get(&labs()).json;
    assert_eq!(first["total"], 43);
    assert_eq!(entries(&first).len(), 20);
    let second = get(link(&first, "next").unwrap().strip_prefix(BASE).unwrap()).json;
    assert_eq!(second["total"], 43);
    let third = get(link(&second, "next").unwrap().strip_prefix(BASE).unwrap()).json;
    assert_eq!(entries(&third).len(), 3);
    assert_eq!(link(&third, "next"), None);
    assert_ne!(link(&third, "self"), link(&second, "self"));
}

#[test]
fn a_page_of_one_search_is_refused_by_another() {
    let next = link(&get(&labs()).json, "next").unwrap();
    let (_, page) = next.split_once("_page=").unwrap();
    let stolen = get(&format!("/Observation?_page={page}"));
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST);
    let own = get(&format!("{}&_page={page}", labs()));
    assert_eq!(own.status, StatusCode::OK);
}

#[test]
fn a_count_alone_shows_no_record() {
    for query in ["&_summary=count", "&_count=0"] {
        let bundle = get(&format!("{}{query}", labs())).json;
        assert_eq!(bundle["total"], 43, "{query}");
        assert!(bundle.get("entry").is_none(), "{query}");
        assert_eq!(link(&bundle, "next"), None, "{query}");
    }
    assert!(get(&format!("{}&_total=none", labs())).json.get("total").is_none());
}

#[test]
fn no_page_is_larger_than_a_hundred() {
    assert_eq!(entries(&get("/Observation?_count=100000").json).len(), 100);
}
