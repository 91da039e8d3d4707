//! The gateway's door: its prefix is taken off, the body is collected up to a bound, and its answer
//! leaves as it is.

use bytes::Bytes;
use domain::{CorrelationId, Kind, Reject};
use gateway::{GatewayRequest, GatewayResponse};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use crate::{
    answer::{self, Answer},
    app::{Arrived, Web},
    arrival::{self, BodyProblem},
    refusal,
};

/// The largest FHIR body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
const PREFIX: &str = "/fhir";
const PROOF_PREFIX: &str = "/ledger/proof/";

impl Web {
    pub(crate) async fn fhir(&self, arrived: Arrived) -> Answer {
        let Arrived { head, body, caller } = arrived;
        let body = match arrival::body(body, MAX_BODY).await {
            Ok(body) => body,
            Err(problem) => return self.fhir_body_problem(problem, &caller).await,
        };
        let request = GatewayRequest {
            method: &head.method,
            path: head.uri.path().strip_prefix(PREFIX).unwrap_or_default(),
            query: head.uri.query(),
            headers: &head.headers,
            body,
            peer: caller.address,
            correlation: caller.correlation.clone(),
        };
        leaving(self.gateway.handle(request).await)
    }

    pub(crate) async fn ledger_proof(&self, arrived: Arrived) -> Answer {
        let Arrived { head, caller, .. } = arrived;
        let request = GatewayRequest {
            method: &head.method,
            path: head.uri.path().strip_prefix(PROOF_PREFIX).unwrap_or_default(),
            query: head.uri.query(),
            headers: &head.headers,
            body: Bytes::new(),
            peer: caller.address,
            correlation: caller.correlation.clone(),
        };
        leaving(self.gateway.proof(request).await)
    }

    async fn fhir_body_problem(&self, problem: BodyProblem, caller: &authority::Caller) -> Answer {
        let mut response = match problem {
            BodyProblem::Refused(reject) => {
                self.authority.refuse(caller, Kind::PhiDenied, reject).await;
                outcome(reject, &caller.correlation)
            }
            BodyProblem::Broken => answer::malformed(),
            BodyProblem::Slow => {
                answer::text(StatusCode::REQUEST_TIMEOUT, "The request took too long.\n")
            }
        };
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

fn leaving(answered: GatewayResponse) -> Answer {
    let mut response = Response::new(Full::new(answered.body));
    *response.status_mut() = answered.status;
    *response.headers_mut() = answered.headers;
    response
}

/// An OperationOutcome (FHIR R4 OperationOutcome) with a fixed text.
fn outcome(reject: Reject, correlation: &CorrelationId) -> Answer {
    let value = json!({
        "resourceType": "OperationOutcome",
        "issue": [{
            "severity": "error",
            "code": "too-long",
            "details": { "text": reject.text() },
            "diagnostics": format!("correlation_id {correlation}"),
        }],
    });
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = refusal::status(reject);
    let media_type = HeaderValue::from_static("application/fhir+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}
