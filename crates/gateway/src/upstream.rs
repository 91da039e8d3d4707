//! The record server behind the gateway. A request to it is built from typed parts, with its own
//! credential and three headers; of an answer only a JSON body of status 200 is ever looked at
//! (`gateway.md`, "Ask", rows 34, 38, 43, 44).

use bytes::Bytes;
use domain::{FhirId, Reject, ResourceType, Secret};
use fhir::Search;
use http::{HeaderValue, Method, Request, StatusCode, header};
use outbound::SendError;

use crate::headers::essence;

const FHIR_JSON: &str = "application/fhir+json";

/// How searches are sent upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SearchMethod {
    /// POST `_search`, so that PHI stays out of the upstream's access log.
    #[default]
    Post,
    /// GET, for an upstream that knows nothing else.
    Get,
}

/// The record server.
pub struct Upstream {
    /// Its FHIR base, without a trailing slash.
    pub base: String,
    /// The guarded client, bound to the base's origin.
    pub client: outbound::Client,
    /// The `Authorization` header's value, if it wants one.
    pub credential: Option<Secret<String>>,
    /// How searches are sent.
    pub search: SearchMethod,
}

/// What the record server said, as far as anyone is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A JSON text.
    Found(Bytes),
    /// Not there, no longer there, or not ours to see: all one.
    Absent,
    /// Not to be asked like this: a parameter, an id or a cursor that it does not take.
    Unsuitable,
}

impl Upstream {
    /// `GET [base]/[type]/[id]`.
    pub(crate) async fn read(&self, kind: ResourceType, id: &FhirId) -> Result<Answer, Reject> {
        let url = format!("{}/{kind}/{id}", self.base);
        let request = self.request(Method::GET, &url, Bytes::new())?;
        self.ask(request).await
    }

    /// One search, in canonical form.
    pub(crate) async fn search(&self, search: &Search) -> Result<Answer, Reject> {
        let (base, kind, query) = (&self.base, search.resource_type, search.to_string());
        let request = match self.search {
            SearchMethod::Get => {
                self.request(Method::GET, &format!("{base}/{kind}?{query}"), Bytes::new())
            }
            SearchMethod::Post => {
                self.request(Method::POST, &format!("{base}/{kind}/_search"), query.into())
            }
        };
        self.ask(request?).await
    }

    /// A page that the upstream itself linked to; `rest` follows its base.
    pub(crate) async fn page(&self, rest: &str) -> Result<Answer, Reject> {
        let request = self.request(Method::GET, &format!("{}{rest}", self.base), Bytes::new())?;
        self.ask(request).await
    }

    /// What follows our upstream's base in a link, if the link stays under it.
    pub(crate) fn under_base<'u>(&self, url: &'u str) -> Option<&'u str> {
        let rest = url.strip_prefix(self.base.as_str())?;
        let plain = |b: u8| b.is_ascii_graphic() && b != b'#' && b != b'\\';
        let path = rest.split('?').next().unwrap_or_default();
        let straight = !path.contains("..") && !path.contains('%') && !path.contains("//");
        let below = rest.is_empty() || rest.starts_with('/') || rest.starts_with('?');
        (below && straight && rest.bytes().all(plain)).then_some(rest)
    }

    fn request(&self, method: Method, url: &str, body: Bytes) -> Result<Request<Bytes>, Reject> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::ACCEPT, FHIR_JSON)
            .header("prefer", "handling=strict");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(credential) = &self.credential {
            let mut value = HeaderValue::from_str(credential.expose())
                .map_err(|_| Reject::UpstreamUnavailable)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(body).map_err(|_| Reject::UpstreamUnavailable)
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Answer, Reject> {
        let response = self.client.fetch(request).await.map_err(|error| match error {
            SendError::Timeout => Reject::UpstreamTimeout,
            SendError::TooLarge => Reject::ResultTooLarge,
            SendError::Redirected | SendError::Broken => Reject::UpstreamBroken,
            SendError::Unreachable | SendError::Forbidden(_) | SendError::ForbiddenUrl => {
                Reject::UpstreamUnavailable
            }
        })?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let json = [FHIR_JSON, "application/json"];
        match response.status() {
            StatusCode::OK if kind.is_some_and(|kind| json.contains(&essence(kind))) => {
                Ok(Answer::Found(response.into_body()))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => Ok(Answer::Absent),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Unsuitable),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(Reject::UpstreamUnavailable)
            }
            StatusCode::GATEWAY_TIMEOUT => Err(Reject::UpstreamTimeout),
            _ => Err(Reject::UpstreamBroken),
        }
    }
}

#[cfg(test)]
mod tests {
    use outbound::{Client, Options, Origin, PeerPolicy};

    use super::*;

    #[test]
    fn a_link_that_leaves_the_upstreams_base_is_no_link_row_18() {
        let policy = PeerPolicy::ExactOrigin(Origin::of("http://127.0.0.1:1").unwrap());
        let client = Client::new(Options::new(policy)).unwrap();
        let base = "http://127.0.0.1:1/fhir".into();
        let up = Upstream { base, client, credential: None, search: SearchMethod::Post };
        assert_eq!(up.under_base("http://127.0.0.1:1/fhir?_getpages=x"), Some("?_getpages=x"));
        assert_eq!(up.under_base("http://127.0.0.1:1/fhir/A?p=%2F.."), Some("/A?p=%2F.."));
        for bad in [
            "http://127.0.0.1:2/fhir?x",
            "http://127.0.0.1:1/fhirx",
            "http://127.0.0.1:1/fhir@evil/",
            "http://127.0.0.1:1/fhir/../admin",
            "http://127.0.0.1:1/fhir/%2e%2e/admin",
            "http://127.0.0.1:1/fhir//x",
            "http://127.0.0.1:1/fhir/a b",
            "https://127.0.0.1:1/fhir?x",
            "/fhir?x",
            "",
        ] {
            assert_eq!(up.under_base(bad), None, "{bad}");
        }
    }
}
