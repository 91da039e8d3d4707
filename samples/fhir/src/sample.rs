//! The server as a function from request to answer; it does no input or output.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};

use crate::{
    answer::{Entry, RefusedError, Searchset, fhir},
    capability, form, records,
    search::{Search, is_json},
};

/// The most bytes of a request body that are read; more is answered 413.
pub const BODY_LIMIT: usize = 64 * 1024;

/// The most bytes of a query string; more is answered 414.
const QUERY_LIMIT: usize = 8 * 1024;

/// The FHIR server in memory.
#[derive(Clone, Debug)]
pub struct Sample {
    base: String,
}

impl Sample {
    /// A server whose links and `fullUrl`s start with `base`, an absolute URL.
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    /// Answers one request (FHIR R4, RESTful API); `target` is path and query.
    ///
    /// Of the headers only `Accept`, `Content-Type` and `Prefer` are read. Every answer is
    /// `application/fhir+json`; every refusal an OperationOutcome.
    pub fn handle(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<Bytes> {
        self.route(method, target, headers, body).unwrap_or_else(RefusedError::answer)
    }

    fn route(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response<Bytes>, RefusedError> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if query.len() > QUERY_LIMIT {
            return Err(RefusedError::QueryTooLong);
        }
        if body.len() > BODY_LIMIT {
            return Err(RefusedError::BodyTooLarge);
        }
        let path = path.strip_prefix('/').ok_or(RefusedError::NoSuchAddress)?;
        let mut segments = path.split('/');
        let kind = segments.next().unwrap_or_default();
        let name = segments.next();
        if segments.next().is_some() {
            return Err(RefusedError::NoSuchAddress);
        }
        match (kind, name) {
            ("metadata", None) => {
                only(method, &Method::GET, "GET")?;
                acceptable(headers, query)?;
                Ok(fhir(capability::statement(&self.base).to_string()))
            }
            (kind, None) => {
                known(kind)?;
                only(method, &Method::GET, "GET")?;
                self.search(kind, headers, query, &[])
            }
            (kind, Some("_search")) => {
                known(kind)?;
                only(method, &Method::POST, "POST")?;
                if !is_form(headers) {
                    return Err(RefusedError::NotAForm);
                }
                self.search(kind, headers, query, body)
            }
            (kind, Some(id)) => {
                let collection = known(kind)?;
                only(method, &Method::GET, "GET")?;
                acceptable(headers, query)?;
                let record = collection.read(id).ok_or(RefusedError::Absent)?;
                Ok(fhir(Bytes::from_static(record.json.get().as_bytes())))
            }
        }
    }

    /// Parameters of the address and of the form count alike.
    fn search(
        &self,
        kind: &str,
        headers: &HeaderMap,
        query: &str,
        body: &[u8],
    ) -> Result<Response<Bytes>, RefusedError> {
        acceptable(headers, "")?;
        let collection = known(kind)?;
        let body = std::str::from_utf8(body).map_err(|_| RefusedError::Malformed)?;
        let mut pairs = form::pairs(query).map_err(|_| RefusedError::Malformed)?;
        pairs.extend(form::pairs(body).map_err(|_| RefusedError::Malformed)?);
        let search =
            Search::parse(pairs, collection.columns(kind), &self.base, is_strict(headers))?;
        let page = search.run(collection)?;
        let link = |query: String| match query.as_str() {
            "" => format!("{}/{kind}", self.base),
            query => format!("{}/{kind}?{query}", self.base),
        };
        let entries = page
            .records
            .iter()
            .map(|record| Entry::new(format!("{}/{kind}/{}", self.base, record.id), record.json))
            .collect();
        Ok(Searchset::new(page.total, link(page.own), page.next.map(link), entries).answer())
    }
}

fn known(kind: &str) -> Result<&'static records::Collection, RefusedError> {
    records::collection(kind).ok_or(RefusedError::NoSuchAddress)
}

fn only(method: &Method, wanted: &Method, allow: &'static str) -> Result<(), RefusedError> {
    if method == wanted { Ok(()) } else { Err(RefusedError::Method(allow)) }
}

/// `Accept`, and `_format` where no search reads it.
fn acceptable(headers: &HeaderMap, query: &str) -> Result<(), RefusedError> {
    let formats = form::pairs(query).map_err(|_| RefusedError::Malformed)?;
    let format_is_json = formats.iter().all(|(name, value)| name != "_format" || is_json(value));
    let mut accept = headers.get_all(header::ACCEPT).iter().peekable();
    let accepts_json = accept.peek().is_none()
        || accept
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .any(|range| range == "*/*" || range == "application/*" || is_json(range));
    if format_is_json && accepts_json { Ok(()) } else { Err(RefusedError::NotJson) }
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| {
            essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

/// `Prefer: handling=strict` (RFC 7240 §4.4).
fn is_strict(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("handling=strict"))
}
