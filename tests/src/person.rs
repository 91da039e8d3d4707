//! A person with a browser that has cookies and no scripts: signs in, picks a patient, consents.

use std::collections::BTreeMap;

use url::Url;

use crate::form::{Form, forms};
use crate::https::{Answer, Client, encode};

/// Pages a person would put up with before giving up.
const PATIENCE: usize = 15;

/// A person at a browser. The cookie jar lives as long as the value.
#[derive(Debug)]
pub struct Person {
    client: Client,
    cookies: BTreeMap<String, String>,
    username: String,
    password: String,
    patient: Option<String>,
    ticks: Option<Vec<String>>,
    duration: Option<String>,
    approve: bool,
    /// The pages seen, each as its path and HTML.
    pub pages: Vec<(String, String)>,
}

/// What came back to the app's redirect URI.
#[derive(Debug, Clone)]
pub struct Return {
    /// The whole URL.
    pub url: String,
    /// Its query parameters.
    pub parameters: BTreeMap<String, String>,
}

impl Return {
    /// A parameter of the redirect; panics with the URL's parameters if absent.
    pub fn get(&self, name: &str) -> &str {
        self.parameters
            .get(name)
            .unwrap_or_else(|| panic!("no `{name}` came back: {:?}", self.parameters))
    }
}

impl Person {
    /// Somebody with a name and a password, who approves whatever the page suggests.
    pub fn new(client: Client, username: &str, password: &str) -> Self {
        Self {
            client,
            cookies: BTreeMap::new(),
            username: username.to_owned(),
            password: password.to_owned(),
            patient: None,
            ticks: None,
            duration: None,
            approve: true,
            pages: Vec::new(),
        }
    }

    /// Picks this Patient id where a picker is shown (otherwise the first offered).
    #[must_use]
    pub fn choosing(mut self, patient: &str) -> Self {
        self.patient = Some(patient.to_owned());
        self
    }

    /// Ticks exactly these scopes on the consent page.
    #[must_use]
    pub fn ticking(mut self, scopes: &[&str]) -> Self {
        self.ticks = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        self
    }

    /// Chooses `once`, `1d`, `90d` or `until_withdrawn`.
    #[must_use]
    pub fn lasting(mut self, duration: &str) -> Self {
        self.duration = Some(duration.to_owned());
        self
    }

    /// Presses "deny" on the consent page.
    #[must_use]
    pub fn denying(mut self) -> Self {
        self.approve = false;
        self
    }

    /// Follows an authorization URL to the app's redirect URI; panics with the page if stuck.
    pub async fn authorize(&mut self, url: &str, redirect_uri: &str) -> Return {
        match self.walk(url, redirect_uri).await {
            Ok(back) => back,
            Err(answer) => panic!("stuck at a page ({}): {}", answer.status, answer.text()),
        }
    }

    /// The same; an error page (one that offers nothing to fill in) is the error.
    ///
    /// # Errors
    /// The last answer, where it was no redirect to the app and no form the person knows.
    pub async fn walk(&mut self, url: &str, redirect_uri: &str) -> Result<Return, Box<Answer>> {
        let mut here = Url::parse(url).unwrap();
        let mut answer = self.get(&here).await;
        for _ in 0..PATIENCE {
            if let Some(location) =
                answer.header("location").filter(|_| (300..400).contains(&answer.status))
            {
                let next = here.join(location).unwrap();
                if next.as_str().split(['?', '#']).next() == redirect_uri.split(['?', '#']).next() {
                    let parameters = next.query_pairs().into_owned().collect();
                    return Ok(Return { url: next.to_string(), parameters });
                }
                assert_eq!(next.origin(), here.origin(), "sent away to {next}");
                here = next;
                answer = self.get(&here).await;
                continue;
            }
            let html = answer.text();
            self.pages.push((here.path().to_owned(), html.clone()));
            let Some((form, values)) =
                forms(&html).iter().find_map(|form| Some((form.clone(), self.fill(form)?)))
            else {
                return Err(Box::new(answer));
            };
            (here, answer) = self.submit(&here, &answer, &form, &values).await;
        }
        panic!("no end after {PATIENCE} pages; the last: {}", answer.text());
    }

    /// Opens one of the server's pages with the cookies so far.
    pub async fn get(&mut self, url: &Url) -> Answer {
        let cookie = self.cookie_header();
        let mut headers = vec![("accept", "text/html,application/xhtml+xml")];
        headers.extend(cookie.as_deref().map(|value| ("cookie", value)));
        let answer = self.client.get(url.as_str(), &headers).await;
        self.remember(&answer);
        answer
    }

    /// Sends a form as it was filled in.
    pub async fn submit(
        &mut self,
        here: &Url,
        page: &Answer,
        form: &Form,
        values: &[(String, String)],
    ) -> (Url, Answer) {
        let mut target =
            if form.action.is_empty() { here.clone() } else { here.join(&form.action).unwrap() };
        let pairs: Vec<(&str, &str)> =
            values.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        if form.method != "post" {
            target.set_query(Some(&encode(&pairs)));
            let answer = self.get(&target).await;
            return (target, answer);
        }
        // As browsers do (Fetch, "append a request `Origin` header"): a page that forbids referrers
        // makes its forms' origin opaque.
        let silent = page.header("referrer-policy") == Some("no-referrer");
        let origin = if silent { "null".to_owned() } else { here.origin().ascii_serialization() };
        let cookie = self.cookie_header();
        let mut headers = vec![
            ("accept", "text/html,application/xhtml+xml"),
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
        ];
        headers.extend(cookie.as_deref().map(|value| ("cookie", value)));
        let answer = self.client.post_form(target.as_str(), &headers, &pairs).await;
        self.remember(&answer);
        (target, answer)
    }

    /// What this person writes into a form; `None` if it is none they know.
    fn fill(&self, form: &Form) -> Option<Vec<(String, String)>> {
        let mut values = form.values();
        if form.has("username") && form.has("password") {
            set(&mut values, "username", &self.username);
            set(&mut values, "password", &self.password);
        } else if form.has("patient") {
            let offered = form.offered("patient");
            let wanted = match &self.patient {
                // The picker may offer ids or references.
                Some(id) => *offered
                    .iter()
                    .find(|value| *value == id || value.strip_prefix("Patient/") == Some(id))?,
                None => *offered.first()?,
            };
            set(&mut values, "patient", wanted);
        } else if form.has("decision") {
            if let Some(ticks) = &self.ticks {
                let offered = form.offered("scope");
                values.retain(|(name, _)| name != "scope");
                for tick in ticks {
                    assert!(offered.contains(&tick.as_str()), "{tick} is not offered: {offered:?}");
                    values.push(("scope".to_owned(), tick.clone()));
                }
            }
            if let Some(duration) = &self.duration {
                let offered = form.offered("duration");
                assert!(
                    offered.contains(&duration.as_str()),
                    "{duration} is not offered: {offered:?}"
                );
                set(&mut values, "duration", duration);
            }
            set(&mut values, "decision", if self.approve { "approve" } else { "deny" });
        } else {
            return None;
        }
        Some(values)
    }

    /// The values of the cookies held.
    pub fn cookies(&self) -> Vec<String> {
        self.cookies.values().cloned().collect()
    }

    fn cookie_header(&self) -> Option<String> {
        let pairs: Vec<String> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        Some(pairs.join("; ")).filter(|line| !line.is_empty())
    }

    fn remember(&mut self, answer: &Answer) {
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            let gone = attributes.to_ascii_lowercase().split(';').any(|a| a.trim() == "max-age=0");
            if gone || value.is_empty() {
                self.cookies.remove(name.trim());
            } else {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

/// Gives a control its only value.
fn set(values: &mut Vec<(String, String)>, name: &str, value: &str) {
    values.retain(|(known, _)| known != name);
    values.push((name.to_owned(), value.to_owned()));
}
