//! Refusals and faults, put into the shape that their reader expects. A refusal arrives recorded or
//! not at all; a fault says that something of ours failed and nothing else.

use authority::{AuthorizeRefusal, Caller, Fault, Refusal};
use domain::{OAuthError, Reject};
use http::{HeaderValue, StatusCode, header};

use crate::{
    answer::{self, Answer},
    pages::{self, ErrorPage, Site},
};

/// How a client authenticated, which decides whether a 401 names a scheme (RFC 6749 §5.2, RFC 6750).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In the form, or not at all.
    None,
    /// In the `Authorization: Basic` header.
    Basic,
    /// By access token.
    Bearer,
}

/// The status of a reason.
pub(crate) fn status(reject: Reject) -> StatusCode {
    StatusCode::from_u16(reject.status()).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A refusal as RFC 6749 §5.2 JSON.
pub(crate) fn oauth(refusal: &Refusal, caller: &Caller, scheme: Scheme) -> Answer {
    let reject = match refusal {
        Refusal::Rejected(recorded) => *recorded.get(),
        Refusal::Fault(fault) => return oauth_fault(*fault, caller),
    };
    let error = reject.oauth().unwrap_or(OAuthError::InvalidRequest);
    let status = status(reject);
    let mut response =
        answer::oauth_error(status, error.as_str(), reject.text(), &caller.correlation);
    let headers = response.headers_mut();
    if let Some(challenge) = challenge(reject, scheme) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    retry_after(status, headers);
    response
}

fn challenge(reject: Reject, scheme: Scheme) -> Option<HeaderValue> {
    match (scheme, reject.status(), reject.oauth()) {
        (Scheme::Basic, 401, _) => {
            Some(HeaderValue::from_static("Basic realm=\"phiward\", charset=\"UTF-8\""))
        }
        // Without a token there is no error to name (RFC 6750 §3.1).
        (Scheme::Bearer, 401, None) => Some(HeaderValue::from_static("Bearer realm=\"phiward\"")),
        (Scheme::Bearer, 400 | 401 | 403, Some(error)) => {
            let text = format!("Bearer realm=\"phiward\", error=\"{}\"", error.as_str());
            HeaderValue::try_from(text).ok()
        }
        _ => None,
    }
}

/// A part of ours failed.
pub(crate) fn oauth_fault(fault: Fault, caller: &Caller) -> Answer {
    let (status, error) = match fault {
        Fault::Keys => (StatusCode::INTERNAL_SERVER_ERROR, OAuthError::ServerError),
        Fault::Store | Fault::Ledger => {
            (StatusCode::SERVICE_UNAVAILABLE, OAuthError::TemporarilyUnavailable)
        }
    };
    tracing::error!(correlation = caller.correlation.as_str(), %fault, "a request failed");
    let text = Reject::LedgerUnavailable.text();
    let mut response = answer::oauth_error(status, error.as_str(), text, &caller.correlation);
    retry_after(status, response.headers_mut());
    response
}

/// A refused step of an authorization: at the client's redirect URI, or on a page.
pub(crate) fn authorize(refusal: AuthorizeRefusal, site: &Site, caller: &Caller) -> Answer {
    match refusal {
        AuthorizeRefusal::Page(reject) => page(*reject.get(), site, caller),
        AuthorizeRefusal::Redirect { location, .. } => {
            answer::see_other(&location).unwrap_or_else(|| fault_page(Fault::Keys, site, caller))
        }
        AuthorizeRefusal::Fault(fault) => fault_page(fault, site, caller),
    }
}

/// A refusal on a page.
pub(crate) fn on_page(refusal: &Refusal, site: &Site, caller: &Caller) -> Answer {
    match refusal {
        Refusal::Rejected(reject) => page(*reject.get(), site, caller),
        Refusal::Fault(fault) => fault_page(*fault, site, caller),
    }
}

fn page(reject: Reject, site: &Site, caller: &Caller) -> Answer {
    let status = status(reject);
    let page = ErrorPage {
        site,
        sentence: reject.text(),
        advice: advice(reject),
        correlation: &caller.correlation,
    };
    let mut response = pages::show(status, &page, None);
    retry_after(status, response.headers_mut());
    response
}

/// What to do next.
const fn advice(reject: Reject) -> &'static str {
    match reject {
        Reject::FlowUnknown | Reject::CsrfRejected => {
            "It may have been open for too long, or used already. Starting again from the app is safe."
        }
        Reject::ChoiceOutOfReach => "Go back, and choose again from what the page offers.",
        Reject::SignInThrottled | Reject::SignInSaturated => {
            "Waiting is all you need to do. Your account is not locked."
        }
        Reject::NotInThisVersion => "There is nothing you can do here yet.",
        _ => {
            "Go back to the app and try again. If it happens again, tell the people who make the app."
        }
    }
}

pub(crate) fn fault_page(fault: Fault, site: &Site, caller: &Caller) -> Answer {
    tracing::error!(correlation = caller.correlation.as_str(), %fault, "a page failed");
    let page = ErrorPage {
        site,
        sentence: "Something on our side did not work.",
        advice: "Try again in a few minutes. If it happens again, ask the people who run this service.",
        correlation: &caller.correlation,
    };
    let mut response = pages::show(StatusCode::SERVICE_UNAVAILABLE, &page, None);
    retry_after(StatusCode::SERVICE_UNAVAILABLE, response.headers_mut());
    response
}

fn retry_after(status: StatusCode, headers: &mut http::HeaderMap) {
    let seconds = match status {
        StatusCode::TOO_MANY_REQUESTS => HeaderValue::from_static("60"),
        StatusCode::SERVICE_UNAVAILABLE => HeaderValue::from_static("5"),
        _ => return,
    };
    headers.insert(header::RETRY_AFTER, seconds);
}
