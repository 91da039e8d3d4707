//! Every answer that leaves. A refusal is made from its row in `domain::Reject` and a correlation id,
//! and from nothing else, so two that must not be told apart are equal byte for byte but for that id
//! (`gateway.md`, rows 34 to 36, 45).

use bytes::Bytes;
use domain::{CorrelationId, OAuthError, Reject};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct GatewayResponse {
    /// The status.
    pub status: StatusCode,
    /// Every header but those of the transport.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// A resource or a bundle.
pub(crate) fn released(body: Bytes, correlation: &CorrelationId) -> GatewayResponse {
    GatewayResponse { status: StatusCode::OK, headers: headers(correlation), body }
}

/// An answer that is no FHIR.
pub(crate) fn json(body: Bytes, correlation: &CorrelationId) -> GatewayResponse {
    let mut response = released(body, correlation);
    response.headers.insert(header::CONTENT_TYPE, JSON);
    response
}

/// A refusal where no FHIR is spoken (RFC 9457).
pub(crate) fn problem(
    reject: Reject,
    metadata: &str,
    correlation: &CorrelationId,
) -> GatewayResponse {
    let mut response = refused(reject, metadata, correlation);
    response.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    let (title, status) = (reject.text(), reject.status());
    let body = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{status},"correlation_id":"{correlation}"}}"#
    );
    response.body = body.into();
    response
}

/// A document that is the same for everybody.
pub(crate) fn open(body: Bytes, correlation: &CorrelationId) -> GatewayResponse {
    let mut response = released(body, correlation);
    let any = HeaderValue::from_static("*");
    response.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

/// A refusal; `metadata` is the URL of the protected resource metadata (RFC 9728).
pub(crate) fn refused(
    reject: Reject,
    metadata: &str,
    correlation: &CorrelationId,
) -> GatewayResponse {
    let mut headers = headers(correlation);
    if let Some(challenge) = challenge(reject, metadata) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if reject.status() == 405 {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    if matches!(reject.status(), 429 | 503) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
    }
    let status = StatusCode::from_u16(reject.status()).unwrap_or(StatusCode::FORBIDDEN);
    // Neither text has a character that JSON would escape: fixed texts and an identifier.
    let body = format!(
        r#"{{"resourceType":"OperationOutcome","issue":[{{"severity":"error","code":"{}","details":{{"text":"{}"}},"diagnostics":"correlation_id {correlation}"}}]}}"#,
        issue_type(status),
        reject.text(),
    );
    GatewayResponse { status, headers, body: body.into() }
}

fn headers(correlation: &CorrelationId) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, FHIR_JSON);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(correlation.as_str()) {
        headers.insert(CORRELATION, value);
    }
    headers
}

/// RFC 6750 §3: no error where no token came.
fn challenge(reject: Reject, metadata: &str) -> Option<HeaderValue> {
    let error = match (reject.status(), reject.oauth()) {
        (401, None) => String::new(),
        (401, Some(error)) | (403, Some(error @ OAuthError::InsufficientScope)) => {
            format!(r#", error="{}", error_description="{}""#, error.as_str(), reject.text())
        }
        _ => return None,
    };
    HeaderValue::from_str(&format!(r#"Bearer resource_metadata="{metadata}"{error}"#)).ok()
}

/// FHIR R4 value set issue-type.
fn issue_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "login",
        403 => "forbidden",
        404 => "not-found",
        405 | 406 | 415 | 501 => "not-supported",
        413 => "too-costly",
        429 => "throttled",
        502 => "exception",
        503 => "transient",
        504 => "timeout",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_a_readable_outcome_with_the_right_challenge_row_35() {
        let correlation = CorrelationId::parse("c-1").unwrap();
        for reject in Reject::ALL {
            let answer = refused(*reject, "https://us/m", &correlation);
            assert_eq!(answer.status.as_u16(), reject.status());
            let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(json["issue"][0]["details"]["text"], reject.text());
            let challenge = answer.headers.get(header::WWW_AUTHENTICATE);
            if reject.status() == 401 {
                assert!(challenge.is_some());
            }
        }
        let none = challenge(Reject::TokenMissing, "https://us/m").unwrap();
        assert_eq!(none, r#"Bearer resource_metadata="https://us/m""#);
        let wrong = challenge(Reject::TokenExpired, "m").unwrap();
        assert!(wrong.to_str().unwrap().contains(r#"error="invalid_token""#));
        let scope = challenge(Reject::ScopeInsufficient, "m").unwrap();
        assert!(scope.to_str().unwrap().contains(r#"error="insufficient_scope""#));
        assert_eq!(challenge(Reject::OutOfReach, "m"), None);
    }
}
