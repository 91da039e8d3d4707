//! Answers, in the few shapes there are. Each is `no-store` unless it is public, none repeats input,
//! and a page can neither be framed, nor sniffed, nor run a script, nor tell where it was.

use bytes::Bytes;
use domain::CorrelationId;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body as _;
use serde_json::json;

/// Every answer is whole before it leaves.
pub type Answer = Response<Full<Bytes>>;

/// Name and value of the headers of every page, apart from its policy.
const PAGE_HEADERS: [(&str, &str); 7] = [
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("pragma", "no-cache"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// Media types are as declared.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// One year (RFC 6797); not sent for loopback names, where it would break other programs' ports.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// A page. `form_target` is where its form may lead besides this origin: Chromium applies
/// `form-action` to redirects, too.
pub fn page(status: StatusCode, html: String, form_target: Option<&str>) -> Answer {
    let mut response = Response::new(Full::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in PAGE_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy(form_target));
    response
}

fn policy(form_target: Option<&str>) -> HeaderValue {
    const REST: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                        frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
    // The target was registered under a narrow alphabet; anything beyond it is left out.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-.:/[]_".contains(&b);
    form_target
        .filter(|target| target.bytes().all(plain))
        .and_then(|target| HeaderValue::try_from(format!("{REST} {target}")).ok())
        .unwrap_or(HeaderValue::from_static(REST))
}

/// A redirect that turns POST into GET (RFC 9110 §15.4.4); never 307, which would repeat a password.
/// `None` if the location is no header value.
pub fn see_other(location: &str) -> Option<Answer> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::try_from(location).ok()?);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    no_store(headers);
    Some(response)
}

/// A JSON answer that nobody may keep: it carries a token, or says something about one.
pub fn private_json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut response = json_body(status, "application/json", value);
    no_store(response.headers_mut());
    response
}

/// A public JSON document that may be kept for some minutes.
pub fn public_json(value: &serde_json::Value) -> Answer {
    let mut response = json_body(StatusCode::OK, "application/json", value);
    let cache = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response
}

/// An OAuth error (RFC 6749 §5.2), with the id that finds its record.
pub fn oauth_error(
    status: StatusCode,
    error: &str,
    description: &str,
    correlation: &CorrelationId,
) -> Answer {
    let value = json!({
        "error": error,
        "error_description": description,
        "correlation_id": correlation.as_str(),
    });
    private_json(status, &value)
}

/// A problem (RFC 9457).
pub fn problem(status: StatusCode, title: &str, correlation: &CorrelationId) -> Answer {
    let value = json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "correlation_id": correlation.as_str(),
    });
    let mut response = json_body(status, "application/problem+json", &value);
    no_store(response.headers_mut());
    response
}

/// A short plain text.
pub fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    no_store(headers);
    response
}

/// 400 for what is no request, and the end of its connection.
pub fn malformed() -> Answer {
    let mut response = text(StatusCode::BAD_REQUEST, "The request is malformed.\n");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What every answer carries. `hsts` is off for loopback issuers.
pub fn seal(headers: &mut HeaderMap, correlation: &CorrelationId, hsts: bool) {
    if let Ok(value) = HeaderValue::try_from(correlation.as_str()) {
        headers.insert(HeaderName::from_static("x-correlation-id"), value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

fn no_store(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

fn json_body(status: StatusCode, media_type: &'static str, value: &serde_json::Value) -> Answer {
    let mut response = Response::new(Full::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The answer to HEAD: the length of the body, and none of it (RFC 9110 §9.3.2). HTTP/2 takes a
/// body for a stream error.
pub fn head_only(mut response: Answer) -> Answer {
    let length = response.body().size_hint().exact().unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = Full::default();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_cannot_be_framed_sniffed_scripted_or_kept() {
        let mut response = page(StatusCode::OK, String::new(), Some("https://app.example:8443"));
        let correlation = CorrelationId::parse("a").unwrap();
        seal(response.headers_mut(), &correlation, true);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self' https://app.example:8443",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("script") && !policy.contains("unsafe"));
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
        assert!(header("strict-transport-security").starts_with("max-age=31536000"));
    }

    #[test]
    fn a_form_target_cannot_widen_the_policy() {
        for target in ["https://a.example; script-src *", "'unsafe-inline'", "https://*", "a b"] {
            let response = page(StatusCode::OK, String::new(), Some(target));
            let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.ends_with("form-action 'self'"), "{policy}");
        }
    }

    #[test]
    fn a_location_cannot_split_a_header() {
        assert!(see_other("https://app.example/cb\r\nSet-Cookie: a=b").is_none());
        assert_eq!(see_other("https://app.example/cb?code=x").unwrap().status(), 303);
    }

    #[test]
    fn an_answer_to_head_says_how_long_it_would_be() {
        let whole = text(StatusCode::OK, "ready\n");
        let head = head_only(whole);
        assert_eq!(head.headers()["content-length"], "6");
        assert_eq!(head.body().size_hint().exact(), Some(0));
    }
}
