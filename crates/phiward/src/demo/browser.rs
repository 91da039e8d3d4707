//! A person's browser and an app, for the walk: real HTTPS against the demo's own certificate
//! authority, cookies kept, forms filled in as they come, no redirect followed by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use outbound::{Client, Limits, Options, Origin, PeerPolicy, Redirects};

use crate::failure::Failure;
use crate::system::certificates;

/// A browser with its cookies.
pub(super) struct Browser {
    client: Client,
    origin: String,
    cookies: BTreeMap<String, String>,
}

/// An answer, with the parts that the walk looks at.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| Failure::check("an answer is not JSON"))
    }
}

impl Browser {
    /// A fresh browser that trusts the demo's certificate authority.
    pub(super) fn new(origin: &str, ca: &Path) -> Result<Self, Failure> {
        let exact = Origin::of(origin).map_err(|error| Failure::usage(error.to_string()))?;
        let client = Client::new(Options {
            extra_roots: certificates(ca)?,
            limits: Limits { body: 16 << 20, total: Duration::from_secs(30), ..Limits::default() },
            redirects: Redirects::HandOver,
            ..Options::new(PeerPolicy::ExactOrigin(exact))
        })
        .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self { client, origin: origin.to_owned(), cookies: BTreeMap::new() })
    }

    /// GET, with a bearer token if there is one.
    pub(super) async fn get(&mut self, url: &str, token: Option<&str>) -> Result<Answer, Failure> {
        self.send(Method::GET, url, token, None).await
    }

    /// POST of a form.
    pub(super) async fn post(
        &mut self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let form = encode(fields);
        self.send(Method::POST, url, None, Some(form)).await
    }

    async fn send(
        &mut self,
        method: Method,
        url: &str,
        token: Option<&str>,
        form: Option<String>,
    ) -> Result<Answer, Failure> {
        let absolute =
            if url.starts_with('/') { format!("{}{url}", self.origin) } else { url.to_owned() };
        let mut request = Request::builder().method(method).uri(&absolute);
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if form.is_some() {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(header::ORIGIN, &self.origin);
        }
        let request = request
            .body(Bytes::from(form.unwrap_or_default()))
            .map_err(|_| Failure::check(format!("not a URL: {absolute}")))?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| Failure::check(format!("{absolute}: {error}")))?;
        self.keep_cookies(&response);
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
        Ok(Answer {
            status: response.status().as_u16(),
            location: response.headers().get(header::LOCATION).and_then(text),
            body: response.into_body(),
        })
    }

    fn keep_cookies(&mut self, response: &Response<Bytes>) {
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// `application/x-www-form-urlencoded`.
pub(super) fn encode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A parameter of a URL's query.
pub(super) fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// The value of a hidden field of one of our own pages.
pub(super) fn hidden(page: &[u8], name: &str) -> Option<String> {
    let page = std::str::from_utf8(page).ok()?;
    let marker = format!("name=\"{name}\"");
    page.split('<').filter(|tag| tag.starts_with("input") && tag.contains(&marker)).find_map(
        |tag| {
            let (_, rest) = tag.split_once("value=\"")?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        },
    )
}
