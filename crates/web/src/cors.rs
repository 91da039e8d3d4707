//! Which browser origins may read which answers (`oauth.md` rule 25). Metadata and keys: everybody.
//! Token, revocation, userinfo and the FHIR API: origins of registered redirect URIs, errors
//! included; preflight is answered before authentication. Everything else, authorize above all:
//! nobody. Credentials (cookies) are never part of it.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

use crate::answer::Answer;

/// Whom an endpoint's answers are open to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Any origin: public documents.
    Open,
    /// Origins of registered redirect URIs.
    Registered,
    /// No other origin.
    Closed,
}

/// What a preflight of a registered origin may announce.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, Prefer, DPoP, If-Match, If-None-Match, If-None-Exist",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "DPoP-Nonce, WWW-Authenticate, Location, Content-Location, ETag, Audit-Receipt",
);

/// The `Origin` of a request, if there is exactly one and it is a plain one; `null` never is.
pub fn origin(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::ORIGIN).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok().filter(|text| text.starts_with("http") && text.contains("://"))
}

/// Whether a request is a preflight (Fetch standard §3.2.2).
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight; `allowed` is the origin if it is a registered one.
pub fn preflight(cors: Cors, allowed: Option<&str>) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if grant(cors, allowed, headers) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Adds what lets the origin read an answer, success or error.
pub fn expose(cors: Cors, allowed: Option<&str>, headers: &mut HeaderMap) {
    if grant(cors, allowed, headers) && cors == Cors::Registered {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

fn grant(cors: Cors, allowed: Option<&str>, headers: &mut HeaderMap) -> bool {
    let value = match (cors, allowed) {
        (Cors::Open, _) => Some(HeaderValue::from_static("*")),
        (Cors::Registered, Some(origin)) => HeaderValue::try_from(origin).ok(),
        (Cors::Registered, None) | (Cors::Closed, _) => None,
    };
    if cors == Cors::Registered {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    match value {
        Some(value) => headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value).is_none(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_what() {
        let app = Some("https://app.example");
        let cases = [
            (Cors::Open, None, Some("*")),
            (Cors::Open, app, Some("*")),
            (Cors::Registered, app, app),
            (Cors::Registered, None, None),
            (Cors::Closed, app, None),
            (Cors::Closed, None, None),
        ];
        for (cors, allowed, expected) in cases {
            let mut headers = HeaderMap::new();
            expose(cors, allowed, &mut headers);
            let got = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(got.map(|v| v.to_str().unwrap()), expected, "{cors:?} {allowed:?}");
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
            let answer = preflight(cors, allowed);
            let methods = answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_METHODS);
            assert_eq!(methods, expected.is_some());
        }
    }

    #[test]
    fn a_null_or_repeated_origin_is_none() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ORIGIN, HeaderValue::from_str(value).unwrap());
            }
            origin(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["https://a.example"]).as_deref(), Some("https://a.example"));
        assert_eq!(read(&["null"]), None);
        assert_eq!(read(&["https://a.example", "https://b.example"]), None);
    }
}
