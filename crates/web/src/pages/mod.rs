//! The pages that people see. Everything on them is escaped, works without a script, and says what it
//! is in plain words; which page is shown, and what a form means, is decided elsewhere.

mod consent;
pub mod words;

use std::sync::OnceLock;

use askama::Template;
use domain::CorrelationId;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::answer::{self, Answer};

pub use consent::{ClientWords, ConsentChoice, ConsentPage, Whose};

const CSS: &str = include_str!("../../assets/phiward.css");

/// Whose service the pages are, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The name of the service.
    pub name: String,
    /// Host and port as in the browser's address bar.
    pub host: String,
}

/// The hidden fields of every form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormKeys {
    /// Which authorization request the form belongs to.
    pub request: String,
    /// That the form came from this browser's page.
    pub csrf: String,
}

/// Who are you?
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage<'a> {
    /// Whose service it is.
    pub site: &'a Site,
    /// The app that asks.
    pub client_name: &'a str,
    /// What was wrong with the last attempt; a fixed text.
    pub problem: Option<&'static str>,
    /// Hidden fields.
    pub keys: &'a FormKeys,
}

/// Whose record?
#[derive(Template)]
#[template(path = "patient.html")]
pub struct PatientPage<'a> {
    /// Whose service it is.
    pub site: &'a Site,
    /// The app that asks.
    pub client_name: &'a str,
    /// Who is signed in.
    pub person_name: &'a str,
    /// The records to choose from.
    pub patients: &'a [PatientChoice],
    /// What was wrong with the last attempt; a fixed text.
    pub problem: Option<&'static str>,
    /// Hidden fields.
    pub keys: &'a FormKeys,
}

/// A record that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientChoice {
    /// The value of the radio button.
    pub id: String,
    /// The name to choose by.
    pub name: String,
    /// Whether it is the person's own.
    pub own: bool,
}

/// Something did not work.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// Whose service it is.
    pub site: &'a Site,
    /// What happened; a fixed text.
    pub sentence: &'static str,
    /// What to do next; a fixed text.
    pub advice: &'static str,
    /// What to tell the help desk.
    pub correlation: &'a CorrelationId,
}

/// The end of the demo's own app: the code that came back.
#[derive(Template)]
#[template(path = "callback.html")]
pub struct CallbackPage<'a> {
    /// Whose service it is.
    pub site: &'a Site,
    /// Whether a code came back, not an error.
    pub allowed: bool,
}

/// Renders a page. `form_target` is where its form may lead besides this origin.
pub fn show(status: StatusCode, page: &impl Template, form_target: Option<&str>) -> Answer {
    match page.render() {
        Ok(html) => answer::page(status, html, form_target),
        Err(_) => answer::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The page could not be shown. Try again in a moment.\n",
        ),
    }
}

/// The path of the style sheet; it changes with its content, so that it may be cached for good.
pub fn css_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let digest = keys::sha256(CSS.as_bytes());
        let name: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("/assets/phiward-{name}.css")
    })
}

/// The style sheet.
pub fn css() -> Answer {
    let mut response = Response::new(Full::from(CSS));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    response
}
