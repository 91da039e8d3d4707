//! A witness behind HTTP, reached through the one HTTP client.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, header};
use outbound::Client;

use super::client::{Carried, Carrier};

/// Brings requests to `<prefix>/add-checkpoint`.
pub struct HttpCarrier {
    client: Client,
    url: String,
}

impl HttpCarrier {
    /// For a witness's submission prefix, without a slash at its end.
    pub fn new(client: Client, prefix: &str) -> Self {
        Self { client, url: format!("{prefix}/add-checkpoint") }
    }
}

impl Carrier for HttpCarrier {
    fn carry(&self, body: String) -> Pin<Box<dyn Future<Output = Carried> + Send + '_>> {
        Box::pin(async move {
            let request = Request::post(&self.url)
                .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
                .body(Bytes::from(body))
                .map_err(|_| "the witness's URL is none".to_owned())?;
            // To ask twice changes no more than to ask once: a kept connection may be used.
            let response = self.client.fetch(request).await.map_err(|error| error.to_string())?;
            Ok((response.status().as_u16(), response.body().to_vec()))
        })
    }
}
