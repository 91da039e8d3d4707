//! Every page, rendered from sample data. With `PHIWARD_PAGES=<dir>` they are written there to be
//! looked at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use askama::Template;
use domain::{CorrelationId, scope::ScopeSet};
use phiward_web::pages::{
    self, CallbackPage, ClientWords, ConsentChoice, ConsentPage, ErrorPage, FormKeys,
    PatientChoice, PatientPage, SignInPage, Site, Whose,
};

const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

fn site() -> Site {
    Site { name: "Phiward demo".into(), host: "localhost:8443".into() }
}

fn keys() -> FormKeys {
    FormKeys { request: "phf_sample".into(), csrf: "sample".into() }
}

fn choices(text: &str) -> Vec<ConsentChoice> {
    let mut choices = Vec::new();
    for part in text.split(' ') {
        let (part, ticked) = part.strip_prefix('-').map_or((part, true), |rest| (rest, false));
        let set = ScopeSet::parse(part).unwrap();
        choices.extend(set.iter().map(|scope| ConsentChoice { scope: scope.clone(), ticked }));
    }
    choices
}

fn consent(client: ClientWords<'_>, whose: &Whose, text: &str) -> String {
    let (site, keys) = (site(), keys());
    ConsentPage::new(&site, client, "Amina Diallo", whose, &choices(text), &keys).render().unwrap()
}

const LAB_TRENDS: ClientWords<'static> = ClientWords {
    name: "Lab Trends",
    legal_name: "Lab Trends Ltd, Leeds",
    purpose: "To draw your laboratory results as curves over time",
};

fn labs() -> String {
    let own = Whose::Own("Amina Diallo".into());
    consent(
        LAB_TRENDS,
        &own,
        &format!(
            "openid fhirUser launch/patient patient/Observation.rs?category={OBSERVATION}|laboratory"
        ),
    )
}

fn broad() -> String {
    let other = Whose::Other("Yusuf Diallo".into());
    let category = |code| format!("-patient/Observation.rs?category={OBSERVATION}|{code}");
    let text = format!(
        "openid fhirUser offline_access launch/patient patient/Patient.r patient/Observation.rs {} {} {} \
         patient/Condition.rs patient/MedicationRequest.rs patient/AllergyIntolerance.cruds \
         patient/Goal.cu",
        category("laboratory"),
        category("vital-signs"),
        category("social-history"),
    );
    consent(LAB_TRENDS, &other, &text)
}

fn all() -> Vec<(&'static str, String)> {
    let (site, keys) = (site(), keys());
    let sign_in = |problem| {
        SignInPage { site: &site, client_name: "Lab Trends", problem, keys: &keys }
            .render()
            .unwrap()
    };
    let patients = [
        PatientChoice { id: "p1".into(), name: "Amina Diallo".into(), own: true },
        PatientChoice { id: "p2".into(), name: "Yusuf Diallo".into(), own: false },
    ];
    let picker = PatientPage {
        site: &site,
        client_name: "Lab Trends",
        person_name: "Amina Diallo",
        patients: &patients,
        problem: None,
        keys: &keys,
    };
    let correlation = CorrelationId::parse("4fzq-81mk-w0t7-9ncd").unwrap();
    let error = ErrorPage {
        site: &site,
        sentence: "The app that sent you here gave a return address that is not registered for it.",
        advice: "Go back to the app and try again. If it happens again, tell the people who make the app.",
        correlation: &correlation,
    };
    vec![
        ("sign_in", sign_in(None)),
        ("sign_in_again", sign_in(Some("The username or password is not right."))),
        ("patient", picker.render().unwrap()),
        ("consent_labs", labs()),
        ("consent_broad", broad()),
        ("error", error.render().unwrap()),
        ("callback", CallbackPage { site: &site, allowed: true }.render().unwrap()),
    ]
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a switch for whoever wants to look")]
fn pages_render_and_can_be_looked_at() {
    let dir = std::env::var_os("PHIWARD_PAGES").map(std::path::PathBuf::from);
    for (name, html) in all() {
        assert!(html.starts_with("<!doctype html>"), "{name}");
        assert!(html.contains(pages::css_path()), "{name}");
        if let Some(dir) = &dir {
            let local = html.replace(pages::css_path(), "phiward.css");
            std::fs::write(dir.join(format!("{name}.html")), local).unwrap();
            let css = include_str!("../assets/phiward.css");
            std::fs::write(dir.join("phiward.css"), css).unwrap();
        }
    }
}

#[test]
fn pages_work_without_a_script_and_name_their_fields() {
    for (name, html) in all() {
        for forbidden in ["<script", "style=", "onclick", "javascript:", "http://localhost"] {
            assert!(!html.contains(forbidden), "{name}: {forbidden}");
        }
        assert!(html.contains("<html lang=\"en\">") && html.contains("<h1>"), "{name}");
        if html.contains("<form") {
            assert!(html.contains("name=\"csrf\"") && html.contains("name=\"request\""), "{name}");
        }
    }
}

#[test]
fn the_consent_page_says_who_asks_for_what_about_whom_and_what_stays_closed() {
    let html = labs();
    for part in [
        "Lab Trends Ltd, Leeds",
        "To draw your laboratory results",
        "Amina Diallo (yours)",
        "Laboratory results",
        "observation-category|laboratory",
        "Other test results and measurements",
        "Medications",
        "Your password",
        "name=\"decision\" value=\"approve\"",
        "name=\"decision\" value=\"deny\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for duration in ["once", "1d", "90d", "until_withdrawn"] {
        assert!(html.contains(&format!("name=\"duration\" value=\"{duration}\"")), "{duration}");
    }
    assert!(!html.contains("while you are away</span>"));
    let html = broad();
    assert!(html.contains("Keep access while you are away"));
    assert!(html.contains("Or untick the line above, and choose only:"));
    assert!(html.contains("See, add, change and delete: Allergies and intolerances"));
}

#[test]
fn what_an_app_calls_itself_is_text_and_nothing_else() {
    let (site, keys) = (site(), keys());
    let name = "<img src=x onerror=alert(1)>\"'";
    let html =
        SignInPage { site: &site, client_name: name, problem: None, keys: &keys }.render().unwrap();
    assert!(!html.contains("<img"));
    let client = ClientWords { name, legal_name: name, purpose: name };
    let html = consent(client, &Whose::Other(name.into()), "openid");
    assert!(!html.contains("<img"));
}
