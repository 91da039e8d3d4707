//! A witness behind HTTP (c2sp.org/tlog-witness): `POST /add-checkpoint`, and the latest cosigned
//! checkpoint of each log under `GET /<SHA-256 of its origin>/checkpoint`. What arrives is bounded in
//! size and time before the witness sees it; nothing else is answered.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use ledger::witness::{self, MAX_REQUEST, Witness};

use crate::{
    answer::{self, Answer},
    arrival::{self, BodyProblem},
    server::Handle,
};

/// Speaks for a witness.
pub struct WitnessService {
    witness: Arc<Witness>,
}

impl WitnessService {
    /// For this witness.
    pub const fn new(witness: Arc<Witness>) -> Self {
        Self { witness }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        match (head.method, head.uri.path()) {
            (Method::POST, "/add-checkpoint") => self.add_checkpoint(body).await,
            (Method::GET, "/healthz") if self.witness.is_well() => {
                answer::text(StatusCode::OK, "ok\n")
            }
            (Method::GET, "/healthz") => {
                answer::text(StatusCode::SERVICE_UNAVAILABLE, "cosigning no more; see the log\n")
            }
            (Method::GET, path) => self.latest(path),
            _ => answer::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    async fn add_checkpoint(&self, body: Incoming) -> Answer {
        let body = match arrival::body(body, MAX_REQUEST).await {
            Ok(body) => body,
            Err(BodyProblem::Refused(_)) => {
                return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");
            }
            Err(BodyProblem::Broken | BodyProblem::Slow) => return answer::malformed(),
        };
        let witness = Arc::clone(&self.witness);
        // It waits for the disk.
        let cosigned = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await;
        match cosigned {
            Ok(witness::Answer { status, media_type, body }) => {
                let status = StatusCode::from_u16(status);
                whole(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), media_type, body)
            }
            Err(_) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "try again\n"),
        }
    }

    fn latest(&self, path: &str) -> Answer {
        let hash = path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"));
        match hash.and_then(|hash| self.witness.latest(hash)) {
            Some(note) => whole(StatusCode::OK, "text/plain; charset=utf-8", note),
            None => answer::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

fn whole(status: StatusCode, media_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl Handle for WitnessService {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.answer(request).await })
    }
}
