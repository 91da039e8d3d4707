//! The gateway gives the same answers whichever FHIR server stands behind it: the sample, Medplum's router,
//! Helios; and leaks nothing when that server ignores what it is asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;

use phiward_journeys::{App, Client, Demo, Helios, LAB_SCOPE, Medplum, records};
use serde_json::Value;

const WIDE: &str = "patient/Observation.rs patient/Condition.rs patient/Patient.rs";

/// A demo before one upstream, with amina's wide token and her token for laboratory results.
struct Setup {
    name: &'static str,
    demo: Demo,
    app: App,
    wide: String,
    labs: String,
}

impl Setup {
    async fn new(name: &'static str, demo: Demo) -> Self {
        let app = App::of(&demo, "demo-confidential");
        let mut amina = demo.person("amina");
        let wide = app.connect(&mut amina, WIDE).await.access_token().to_owned();
        let labs = app.connect(&mut amina, LAB_SCOPE).await.access_token().to_owned();
        Self { name, demo, app, wide, labs }
    }

    /// The resources that a read or a search gives.
    async fn found(&self, question: &Question) -> BTreeMap<String, Value> {
        match question {
            Question::Read(path) => {
                let answer = self.app.read(path, &self.wide).await;
                assert_eq!(answer.status, 200, "{} {path}: {}", self.name, answer.text());
                records::normalised([&answer.json()])
            }
            Question::Search(path) => {
                let found = self.app.search(path, &self.wide).await;
                let set = records::normalised(&found);
                assert_eq!(set.len(), found.len(), "{} {path}: a resource came twice", self.name);
                set
            }
            Question::Post(path, form) => {
                let authorization = format!("Bearer {}", self.wide);
                let headers = [("authorization", authorization.as_str())];
                let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
                let answer =
                    self.demo.client.post_form(&self.demo.fhir(path), &headers, &form).await;
                assert_eq!(answer.status, 200, "{} {path}: {}", self.name, answer.text());
                records::normalised(&answer.resources())
            }
        }
    }

    /// How it refuses: status and what the outcome says, without the correlation id.
    async fn refused(&self, path: &str, token: &str) -> (u16, Value, usize) {
        let answer = self.app.read(path, token).await;
        let body = answer.json();
        if body["resourceType"] == "Bundle" {
            return (answer.status, Value::Null, answer.resources().len());
        }
        (answer.status, body["issue"][0]["code"].clone(), 0)
    }
}

enum Question {
    Read(String),
    Search(String),
    Post(&'static str, [(&'static str, String); 2]),
}

impl Question {
    fn name(&self) -> &str {
        match self {
            Self::Read(path) | Self::Search(path) => path,
            Self::Post(path, _) => path,
        }
    }
}

/// Ten questions that all three servers understand. `_count` is ample: Medplum's router has no pages.
fn questions(patient: &str) -> Vec<Question> {
    let category = |code: &str| format!("{}|{code}", records::CATEGORY);
    let labs: Vec<&Value> = records::observations(patient, "laboratory")
        .into_iter()
        .filter(|lab| records::unrestricted(lab))
        .collect();
    let lab = records::id(labs[0]);
    let mut codes: Vec<String> = labs
        .iter()
        .map(|lab| &lab["code"]["coding"][0])
        .map(|coding| {
            format!("{}|{}", coding["system"].as_str().unwrap(), coding["code"].as_str().unwrap())
        })
        .collect();
    codes.sort_unstable();
    codes.dedup();
    let (one, two) = (&codes[0], &codes[1]);
    let mut days: Vec<&str> =
        labs.iter().filter_map(|lab| lab["effectiveDateTime"].as_str()?.get(..10)).collect();
    days.sort_unstable();
    let (quarter, middle) = (days[days.len() / 4], days[days.len() / 2]);
    vec![
        Question::Read(format!("Patient/{patient}")),
        Question::Read(format!("Observation/{lab}")),
        Question::Search(format!("Observation?category={}&_count=100", category("laboratory"))),
        Question::Search(format!("Observation?category={}&_count=100", category("vital-signs"))),
        Question::Search(format!("Observation?code={one}&_count=100")),
        Question::Search(format!("Observation?code={one},{two}&patient={patient}&_count=100")),
        Question::Search(format!("Observation?date=ge{middle}&_count=100")),
        Question::Search(format!("Observation?date=ge{quarter}&date=lt{middle}&_count=100")),
        Question::Search("Condition?_count=100".to_owned()),
        Question::Post(
            "Observation/_search",
            [("category", category("laboratory")), ("_count", "100".to_owned())],
        ),
    ]
}

async fn setups() -> (Option<Medplum>, Option<Helios>, Vec<Setup>) {
    let sample = Demo::start(&[]);
    let pair = ["amina", "brook"].map(|name| sample.ready.patient(name).to_owned());
    let (medplum, helios) = tokio::join!(Medplum::start(), Helios::start());
    let mut setups = vec![Setup::new("sample", sample).await];
    setups.push(Setup::new("Medplum", Demo::before(&medplum.base, &pair)).await);
    if let Some(helios) = &helios {
        setups.push(Setup::new("Helios", Demo::before(&helios.base, &pair)).await);
    }
    (Some(medplum), helios, setups)
}

/// So that a difference behind the gateway is a difference of the gateway.
#[tokio::test]
async fn servers_written_by_others_give_back_every_record_as_it_was() {
    let (medplum, helios) = tokio::join!(Medplum::start(), Helios::start());
    let mut bases = vec![medplum.base.as_str()];
    bases.extend(helios.as_ref().map(|helios| helios.base.as_str()));
    let client = Client::plain();
    for base in bases {
        for record in records::all() {
            let url = format!("{base}/{}/{}", records::kind(record), records::id(record));
            let answer = client.get(&url, &[]).await;
            assert_eq!(answer.status, 200, "{url}: {}", answer.text());
            assert!(records::as_recorded(&answer.json()), "{url}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn every_upstream_gives_the_same_answers_and_the_same_refusals() {
    let (_medplum, _helios, setups) = setups().await;
    let sample = &setups[0];
    let (mine, other) = (sample.demo.ready.patient("amina"), sample.demo.ready.patient("brook"));

    for question in questions(mine) {
        let expected = sample.found(&question).await;
        assert!(!expected.is_empty(), "{} finds nothing, so it compares nothing", question.name());
        for setup in setups.iter().skip(1) {
            let found = setup.found(&question).await;
            let keys = |set: &BTreeMap<String, Value>| set.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&found), keys(&expected), "{}: {}", setup.name, question.name());
            assert_eq!(found, expected, "{}: {}", setup.name, question.name());
        }
    }

    let foreign = records::id(records::observations(other, "laboratory")[0]);
    let vital = records::id(records::observations(mine, "vital-signs")[0]);
    for (path, labs_only, expected) in [
        (format!("Patient/{other}"), false, (404, None)),
        (format!("Observation/{foreign}"), false, (404, None)),
        ("Observation/absent".to_owned(), false, (404, None)),
        (format!("Observation/{vital}"), true, (404, None)),
        (format!("Observation?patient={other}"), false, (200, Some(0))),
        (format!("Observation?subject=Patient/{other}&_count=100"), false, (200, Some(0))),
        (format!("Observation?category={}|vital-signs", records::CATEGORY), true, (200, Some(0))),
        ("Encounter".to_owned(), false, (403, None)),
        ("Condition".to_owned(), true, (403, None)),
        ("Observation?no-such-parameter=1".to_owned(), false, (400, None)),
    ] {
        let mut answers = Vec::new();
        for setup in &setups {
            let token = if labs_only { &setup.labs } else { &setup.wide };
            let answer = setup.refused(&path, token).await;
            assert_eq!(answer.0, expected.0, "{}: {path}", setup.name);
            assert_eq!(answer.2, expected.1.unwrap_or_default(), "{}: {path}", setup.name);
            answers.push(answer);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{path}: {answers:?}");
    }
}

#[tokio::test]
async fn a_page_is_never_longer_than_asked_and_pages_add_up() {
    let (_medplum, _helios, setups) = setups().await;
    let mine = setups[0].demo.ready.patient("amina").to_owned();
    for setup in &setups {
        let path = format!("Observation?category={}|laboratory&_count=5", records::CATEGORY);
        let page = setup.app.read(&path, &setup.wide).await;
        let size = page.resources().len();
        assert!((1..=5).contains(&size), "{}: {size} on a page of 5", setup.name);
        let all = setup.app.search(&path, &setup.wide).await;
        let labs = records::observations(&mine, "laboratory");
        assert!(all.iter().all(|lab| labs.iter().any(|one| one["id"] == lab["id"])));
        if setup.name != "Medplum" {
            let free = labs.iter().filter(|lab| records::unrestricted(lab)).count();
            assert!(all.len() >= free, "{}: {} of {free}", setup.name, all.len());
        }
    }
}

/// What may be found behind an upstream that does not do as it is asked: amina's own records, only.
async fn only_ones_own(setup: &Setup, mine: &str, other: &str) -> usize {
    let mut found = 0;
    let all = ["", "?_count=100", "?date=ge2000-01-01", "?category=vital-signs"].map(str::to_owned);
    let named = [
        format!("?patient={mine}"),
        format!("?patient={other}"),
        format!("?subject=Patient/{other}"),
    ];
    for query in all.iter().chain(&named) {
        for (token, labs_only) in [(&setup.wide, false), (&setup.labs, true)] {
            let answer = setup.app.read(&format!("Observation{query}"), token).await;
            if answer.status != 200 {
                assert_eq!(answer.json()["resourceType"], "OperationOutcome", "{query}");
                continue;
            }
            for one in answer.resources() {
                assert_eq!(records::kind(&one), "Observation", "{query}");
                assert_eq!(one["subject"]["reference"], format!("Patient/{mine}"), "{query}");
                assert!(
                    !labs_only || records::in_category(&one, "laboratory"),
                    "{query}: {}",
                    one["id"]
                );
                found += 1;
            }
        }
    }
    found
}

#[tokio::test]
async fn an_upstream_that_ignores_what_it_is_asked_leaks_nobody() {
    let medplum = Medplum::start_deaf().await;
    let patients = records::patients();
    let (mine, other) = (&patients[0], &patients[1]);
    let setup = Setup::new("deaf", Demo::before(&medplum.base, &patients)).await;
    assert_eq!(setup.demo.ready.patient("amina"), mine);
    assert!(
        only_ones_own(&setup, mine, other).await > 0,
        "the gateway lets nothing through, so it hides nothing"
    );
    let own = records::id(records::observations(mine, "laboratory")[0]);
    for path in
        [format!("Observation/{own}"), format!("Patient/{mine}"), format!("Patient/{other}")]
    {
        let answer = setup.app.read(&path, &setup.wide).await;
        assert_ne!(answer.status, 200, "{path}: {}", answer.text());
        assert!(!answer.text().contains(other), "{path}");
    }
}

#[tokio::test]
async fn helios_without_its_search_parameters_leaks_nobody() {
    let Some(helios) = Helios::start_ignorant().await else { return };
    let patients = records::patients();
    let setup = Setup::new("ignorant", Demo::before(&helios.base, &patients)).await;
    only_ones_own(&setup, &patients[0], &patients[1]).await;
}
