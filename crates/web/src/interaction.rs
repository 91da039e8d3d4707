//! The endpoints that people come to: authorize, sign-in, patient picker, consent. Which page is next
//! is asked of the authority each time. A form counts only with the cookie of the browser that it was
//! given to, the token that ties it to that cookie, and no sign of another site.

use authority::{
    Attempt, Begun, Caller, ConsentStep, Decision, FlowRef, Parameters, Refusal, Step,
};
use domain::{Duration, Kind, Reject, Secret};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use keys::opaque::TokenHash;

use crate::{
    answer::{self, Answer},
    app::{Arrived, Web},
    cookie::Cookie,
    form,
    pages::{
        self, ClientWords, ConsentChoice, ConsentPage, FormKeys, PatientChoice, PatientPage,
        SignInPage, Whose,
    },
    refusal,
    routes::Route,
};

/// What a browser showed of itself.
#[derive(Clone, Copy)]
struct Browser<'a> {
    cookie: Option<&'a str>,
    session: Option<&'a str>,
}

impl<'a> Browser<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        Self { cookie: Cookie::Browser.read(headers), session: Cookie::Session.read(headers) }
    }

    fn flow(self, request: &'a str) -> FlowRef<'a> {
        FlowRef { flow: request, browser: self.cookie.unwrap_or_default() }
    }
}

impl Web {
    pub(crate) async fn authorize(&self, arrived: Arrived) -> Answer {
        let Arrived { head, body, caller } = arrived;
        let parameters = if head.method == Method::POST {
            match self.form_or_answer(Route::Authorize, &head, body, &caller).await {
                Ok(form) => form,
                Err(answer) => return answer,
            }
        } else {
            match form::query(head.uri.query()) {
                Ok(pairs) => Parameters::new(pairs),
                Err(reject) => return self.refused_page(reject, &caller).await,
            }
        };
        let browser = Browser::of(&head.headers);
        let begun =
            self.authority.authorize(&parameters, browser.cookie, browser.session, &caller).await;
        match begun {
            Ok(begun) => self.first_page(&begun, browser, &caller),
            Err(refused) => refusal::authorize(refused, &self.site, &caller),
        }
    }

    fn first_page(&self, begun: &Begun, browser: Browser<'_>, caller: &Caller) -> Answer {
        let path = if browser.session.is_some() { "/consent" } else { "/login" };
        let mut response = self.to_page(path, begun.flow.expose(), caller);
        if let Some(cookie) = begun.browser.as_ref().and_then(|b| Cookie::Browser.set(b.expose())) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// Sign-in, patient picker and consent: GET shows, POST does.
    pub(crate) async fn interact(&self, route: Route, arrived: Arrived) -> Answer {
        let Arrived { head, body, caller } = arrived;
        let browser = Browser::of(&head.headers);
        if head.method != Method::POST {
            let pairs = match form::query(head.uri.query()) {
                Ok(pairs) => pairs,
                Err(reject) => return self.refused_page(reject, &caller).await,
            };
            let query = Parameters::new(pairs);
            return match query.required("request") {
                Ok(request) => self.show(Some(route), request, browser, None, &caller).await,
                Err(reject) => self.refused_page(reject, &caller).await,
            };
        }
        let form = match self.form_or_answer(route, &head, body, &caller).await {
            Ok(form) => form,
            Err(answer) => return answer,
        };
        let request = match self.own_form(&head.headers, browser, &form) {
            Ok(request) => request,
            Err(reject) => return self.refused_page(reject, &caller).await,
        };
        match route {
            Route::Login => self.sign_in(request, browser, &form, &caller).await,
            Route::Patient => self.choose(request, browser, &form, &caller).await,
            _ => self.decide(request, browser, &form, &caller).await,
        }
    }

    async fn sign_in(
        &self,
        request: &str,
        browser: Browser<'_>,
        form: &Parameters,
        caller: &Caller,
    ) -> Answer {
        let typed = form.one("username").and_then(|name| Ok((name, form.one("password")?)));
        let (username, password) = match typed {
            Ok((username, password)) => {
                (username.unwrap_or_default(), password.unwrap_or_default())
            }
            Err(reject) => return self.refused_page(reject, caller).await,
        };
        let attempt =
            Attempt { username: username.to_owned(), password: Secret::new(password.to_owned()) };
        match self.authority.sign_in(browser.flow(request), attempt, caller).await {
            Ok(secret) => {
                let mut response = self.to_page("/consent", request, caller);
                if let Some(cookie) = Cookie::Session.set(secret.expose()) {
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
                response
            }
            Err(Refusal::Rejected(reject)) if may_try_again(*reject.get()) => {
                self.show(None, request, browser, Some(*reject.get()), caller).await
            }
            Err(refused) => refusal::on_page(&refused, &self.site, caller),
        }
    }

    async fn choose(
        &self,
        request: &str,
        browser: Browser<'_>,
        form: &Parameters,
        caller: &Caller,
    ) -> Answer {
        let patient = match form.required("patient") {
            Ok(patient) => patient,
            Err(reject) => return self.refused_page(reject, caller).await,
        };
        let flow = browser.flow(request);
        match self.authority.choose_patient(flow, browser.session, patient, caller).await {
            Ok(()) => self.to_page("/consent", request, caller),
            Err(refused) => refusal::authorize(refused, &self.site, caller),
        }
    }

    async fn decide(
        &self,
        request: &str,
        browser: Browser<'_>,
        form: &Parameters,
        caller: &Caller,
    ) -> Answer {
        let decision = match decision(form) {
            Ok(decision) => decision,
            Err(reject) => return self.refused_page(reject, caller).await,
        };
        let flow = browser.flow(request);
        match self.authority.decide(flow, browser.session, decision, caller).await {
            Ok(location) => answer::see_other(&location)
                .unwrap_or_else(|| refusal::fault_page(authority::Fault::Keys, &self.site, caller)),
            Err(refused) => refusal::authorize(refused, &self.site, caller),
        }
    }

    /// Shows the page that is due, at its own address. `problem` shows it again after an attempt.
    async fn show(
        &self,
        at: Option<Route>,
        request: &str,
        browser: Browser<'_>,
        problem: Option<Reject>,
        caller: &Caller,
    ) -> Answer {
        let flow = browser.flow(request);
        let step = match self.authority.step(flow, browser.session, caller).await {
            Ok(step) => step,
            Err(refused) => return refusal::authorize(refused, &self.site, caller),
        };
        let (due, path) = match &step {
            Step::SignIn(_) => (Route::Login, "/login"),
            Step::Patient(_) => (Route::Patient, "/patient"),
            Step::Consent(_) => (Route::Consent, "/consent"),
        };
        if at.is_some_and(|at| at != due) {
            return self.to_page(path, request, caller);
        }
        let keys = FormKeys {
            request: request.to_owned(),
            csrf: self.csrf(browser.cookie.unwrap_or_default(), request).to_string(),
        };
        let status = problem.map_or(StatusCode::OK, refusal::status);
        match step {
            Step::SignIn(step) => {
                let page = SignInPage {
                    site: &self.site,
                    client_name: &step.client_name,
                    problem: problem.map(Reject::text),
                    keys: &keys,
                };
                pages::show(status, &page, Some(&step.return_target))
            }
            Step::Patient(step) => {
                let patients: Vec<PatientChoice> = step
                    .patients
                    .iter()
                    .map(|(id, name, own)| PatientChoice {
                        id: id.to_string(),
                        name: name.expose().clone(),
                        own: *own,
                    })
                    .collect();
                let page = PatientPage {
                    site: &self.site,
                    client_name: &step.client_name,
                    person_name: step.person_name.expose(),
                    patients: &patients,
                    problem: None,
                    keys: &keys,
                };
                pages::show(status, &page, Some(&step.return_target))
            }
            Step::Consent(step) => self.consent(&step, &keys),
        }
    }

    fn consent(&self, step: &ConsentStep, keys: &FormKeys) -> Answer {
        let whose = match &step.patient {
            Some((name, true)) => Whose::Own(name.expose().clone()),
            Some((name, false)) => Whose::Other(name.expose().clone()),
            None => Whose::Nobody,
        };
        let choices: Vec<ConsentChoice> = step
            .items
            .iter()
            .map(|item| ConsentChoice { scope: item.scope.clone(), ticked: item.ticked })
            .collect();
        let client = ClientWords {
            name: &step.client_name,
            legal_name: &step.client_legal_name,
            purpose: &step.client_purpose,
        };
        let person = step.person_name.expose();
        let page = ConsentPage::new(&self.site, client, person, &whose, &choices, keys);
        pages::show(StatusCode::OK, &page, Some(&step.return_target))
    }

    /// The `request` of a form that is this browser's own.
    fn own_form<'f>(
        &self,
        headers: &HeaderMap,
        browser: Browser<'_>,
        form: &'f Parameters,
    ) -> Result<&'f str, Reject> {
        let request = form.required("request")?;
        let cookie = browser.cookie.ok_or(Reject::CsrfRejected)?;
        let sent = form.one("csrf")?.and_then(TokenHash::parse).ok_or(Reject::CsrfRejected)?;
        if !sent.is(&self.csrf(cookie, request)) || !from_here(headers, &self.origin) {
            return Err(Reject::CsrfRejected);
        }
        Ok(request)
    }

    /// Ties a form to a browser and an authorization request.
    fn csrf(&self, cookie: &str, request: &str) -> TokenHash {
        self.hash_key.hash_text("csrf", &format!("{cookie} {request}"))
    }

    fn to_page(&self, path: &str, request: &str, caller: &Caller) -> Answer {
        // A value that is none of ours has no place in a URL; the page would refuse it anyway.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let request = if request.bytes().all(plain) { request } else { "" };
        answer::see_other(&format!("{path}?request={request}"))
            .unwrap_or_else(|| refusal::fault_page(authority::Fault::Keys, &self.site, caller))
    }

    async fn refused_page(&self, reject: Reject, caller: &Caller) -> Answer {
        let refused = self.authority.refuse(caller, Kind::AuthorizationRequested, reject).await;
        refusal::on_page(&refused, &self.site, caller)
    }
}

fn decision(form: &Parameters) -> Result<Decision, Reject> {
    match form.required("decision")? {
        "deny" => Ok(Decision::Deny),
        "approve" => {
            let duration = Duration::parse(form.required("duration")?);
            Ok(Decision::Approve {
                scopes: form.all("scope").map(str::to_owned).collect(),
                duration: duration.ok_or(Reject::RequestMalformed)?,
            })
        }
        _ => Err(Reject::RequestMalformed),
    }
}

/// Whether nothing says that a form was sent from another site. `Origin` is `null` where the page
/// forbids referrers, as ours do (Fetch standard §3.2); what a browser says about sites it does not
/// let pages change (Fetch Metadata).
fn from_here(headers: &HeaderMap, own: &str) -> bool {
    let all =
        |name: &str, fits: &dyn Fn(&HeaderValue) -> bool| headers.get_all(name).iter().all(fits);
    all("origin", &|value| value == "null" || value == own)
        && all("sec-fetch-site", &|value| value == "same-origin" || value == "none")
}

const fn may_try_again(reject: Reject) -> bool {
    matches!(reject, Reject::SignInFailed | Reject::SignInThrottled | Reject::SignInSaturated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_from_another_site_is_seen() {
        let judge = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            from_here(&headers, "https://localhost:8443")
        };
        assert!(judge(&[]));
        assert!(judge(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(judge(&[("origin", "https://localhost:8443")]));
        assert!(!judge(&[("origin", "https://evil.example")]));
        assert!(!judge(&[("origin", "null"), ("sec-fetch-site", "cross-site")]));
        assert!(!judge(&[("origin", "null"), ("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn a_decision_is_complete_or_none() {
        let read = |pairs: &[(&str, &str)]| {
            let own = |text: &&str| (*text).to_owned();
            let pairs = pairs.iter().map(|(name, value)| (own(name), own(value))).collect();
            decision(&Parameters::new(pairs))
        };
        assert!(matches!(read(&[("decision", "deny")]), Ok(Decision::Deny)));
        let approve = [("decision", "approve"), ("duration", "1d"), ("scope", "a"), ("scope", "b")];
        assert!(
            matches!(read(&approve), Ok(Decision::Approve { scopes, .. }) if scopes.len() == 2)
        );
        assert!(read(&[("decision", "approve")]).is_err());
        assert!(read(&[("decision", "approve"), ("duration", "forever")]).is_err());
        assert!(read(&[("decision", "maybe")]).is_err());
        assert!(read(&[("decision", "deny"), ("decision", "approve")]).is_err());
    }
}
