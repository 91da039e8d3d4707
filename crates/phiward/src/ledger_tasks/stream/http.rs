//! An HTTP collector: records as NDJSON in one POST, done when it answers 2xx. The bearer token is read
//! for each request, so it can be changed; it is never logged.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use outbound::{Client, Limits, Options, Origin, PeerPolicy};
use rustls_pki_types::CertificateDer;

use super::Line;

/// A collector may take its time.
const TOTAL: Duration = Duration::from_secs(30);

pub(in super::super) struct HttpTarget {
    url: String,
    client: Client,
    token: Option<PathBuf>,
}

impl HttpTarget {
    pub(super) fn new(
        url: &str,
        roots: Vec<CertificateDer<'static>>,
        token: Option<PathBuf>,
    ) -> Result<Self, String> {
        let origin = Origin::of(url).map_err(|error| error.to_string())?;
        let client = Client::new(Options {
            extra_roots: roots,
            limits: Limits { total: TOTAL, ..Limits::default() },
            ..Options::new(PeerPolicy::ExactOrigin(origin))
        });
        let client = client.map_err(|error| error.to_string())?;
        Ok(Self { url: url.to_owned(), client, token })
    }

    pub(super) async fn send(&self, lines: &[Line]) -> Result<u64, String> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.json);
            text.push('\n');
        }
        let mut request =
            Request::post(self.url.as_str()).header(header::CONTENT_TYPE, "application/x-ndjson");
        if let Some(path) = &self.token {
            let unreadable = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
            let token = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let request = request.body(Bytes::from(text)).map_err(|_| {
            "the URL or the token has a character that HTTP cannot carry".to_owned()
        })?;
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("the collector answered {}", answer.status().as_u16()));
        }
        Ok(lines.last().map_or(0, |line| line.seq.saturating_add(1)))
    }
}
