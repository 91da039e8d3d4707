//! The answers: a resource unchanged, a searchset Bundle, or an OperationOutcome.
//!
//! An outcome's text is a constant: it repeats nothing of the request.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{json, value::RawValue};

/// A request that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedError {
    /// No such resource.
    Absent,
    /// No such address.
    NoSuchAddress,
    /// A method that this address does not have; the one it has.
    Method(&'static str),
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The query is larger than the limit.
    QueryTooLong,
    /// `_search` with another body than a form.
    NotAForm,
    /// Another format than JSON is asked for.
    NotJson,
    /// Percent-encoding or UTF-8 is broken.
    Malformed,
    /// A parameter of this name is not understood, and handling is strict.
    UnknownParameter,
    /// A modifier or chain is not understood.
    Modifier,
    /// A parameter's value is not understood.
    Value,
    /// A parameter that may be given once is given twice.
    Repeated,
    /// A page of another search, or no page.
    Page,
    /// The body did not arrive in time.
    Slow,
}

impl RefusedError {
    /// Status, `issue.code` and `issue.diagnostics`.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Absent => (S::NOT_FOUND, "not-found", "no such resource"),
            Self::NoSuchAddress => (S::NOT_FOUND, "not-supported", "no such address"),
            Self::Method(_) => {
                (S::METHOD_NOT_ALLOWED, "not-supported", "this server only reads and searches")
            }
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "too-long", "the body is too large"),
            Self::QueryTooLong => (S::URI_TOO_LONG, "too-long", "the query is too long"),
            Self::NotAForm => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "not-supported",
                "_search takes application/x-www-form-urlencoded",
            ),
            Self::NotJson => (S::NOT_ACCEPTABLE, "not-supported", "only JSON is served"),
            Self::Malformed => {
                (S::BAD_REQUEST, "structure", "the parameters are not percent-encoded UTF-8")
            }
            Self::UnknownParameter => (
                S::BAD_REQUEST,
                "not-supported",
                "a search parameter is not supported for this type",
            ),
            Self::Modifier => {
                (S::BAD_REQUEST, "not-supported", "modifiers and chains are not supported")
            }
            Self::Value => {
                (S::BAD_REQUEST, "value", "a search parameter's value is not understood")
            }
            Self::Repeated => {
                (S::BAD_REQUEST, "invalid", "a parameter that may be given once is repeated")
            }
            Self::Page => (S::BAD_REQUEST, "value", "this is not a page of this search"),
            Self::Slow => (S::REQUEST_TIMEOUT, "timeout", "the body did not arrive"),
        }
    }

    /// The OperationOutcome.
    pub(crate) fn answer(self) -> Response<Bytes> {
        let (status, code, text) = self.parts();
        let outcome = json!({
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": code, "diagnostics": text}],
        });
        let mut response = fhir(outcome.to_string());
        *response.status_mut() = status;
        if let Self::Method(allow) = self {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// A searchset (FHIR R4, Bundle).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Searchset {
    resource_type: &'static str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    link: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<Entry>,
}

#[derive(Serialize)]
struct Link {
    relation: &'static str,
    url: String,
}

/// One match.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    full_url: String,
    resource: &'static RawValue,
    search: Mode,
}

#[derive(Serialize)]
struct Mode {
    mode: &'static str,
}

impl Entry {
    /// The resource and its absolute address.
    pub(crate) fn new(full_url: String, resource: &'static RawValue) -> Self {
        Self { full_url, resource, search: Mode { mode: "match" } }
    }
}

impl Searchset {
    /// Matches of one page, how many there are in all, and the addresses of this and the next page.
    pub(crate) fn new(
        total: Option<usize>,
        own: String,
        next: Option<String>,
        entry: Vec<Entry>,
    ) -> Self {
        let link = |relation, url| Link { relation, url };
        Self {
            resource_type: "Bundle",
            r#type: "searchset",
            total,
            link: [Some(link("self", own)), next.map(|url| link("next", url))]
                .into_iter()
                .flatten()
                .collect(),
            entry,
        }
    }

    /// The Bundle with status 200.
    pub(crate) fn answer(&self) -> Response<Bytes> {
        // Strings, numbers and valid raw JSON always serialise.
        fhir(serde_json::to_string(self).unwrap_or_default())
    }
}

/// JSON with status 200.
pub(crate) fn fhir(body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/fhir+json"));
    response
}
