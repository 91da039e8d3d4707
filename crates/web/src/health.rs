//! What the machine's own monitoring asks, on a loopback listener of its own: alive, ready, counters.

use std::{future::Future, pin::Pin, sync::Arc};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    answer::{self, Answer},
    app::Web,
    server::Handle,
};

/// Answers `/healthz`, `/readyz` and `/metrics`.
pub struct Health {
    web: Arc<Web>,
}

impl Health {
    /// Speaks for this web.
    pub const fn new(web: Arc<Web>) -> Self {
        Self { web }
    }

    async fn answer(&self, method: &Method, path: &str) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            return answer::text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match path {
            "/healthz" => answer::text(StatusCode::OK, "ok\n"),
            "/readyz" if self.web.is_ready().await => answer::text(StatusCode::OK, "ready\n"),
            "/readyz" => answer::text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => {
                let mut response = Response::new(Full::from(self.web.metrics().prometheus()));
                let media_type = HeaderValue::from_static("text/plain; version=0.0.4");
                response.headers_mut().insert(header::CONTENT_TYPE, media_type);
                response
            }
            _ => answer::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

impl Handle for Health {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.answer(request.method(), request.uri().path()).await })
    }
}
