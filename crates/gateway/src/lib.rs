//! Enforcement. Every request gets an answer; no byte of a record leaves before the ledger holds who
//! got whose data; whatever is not understood is refused. A request is verified, understood, decided,
//! asked anew in canonical form, and what comes back is judged resource by resource.

mod answer;
mod decide;
mod headers;
mod judge;
mod narrow;
mod page;
mod receipt;
mod record;
mod rewrite;
mod serve;
mod tokens;
mod upstream;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use domain::{Clock, CorrelationId};
use http::{HeaderMap, Method};
use keys::Random;
use keys::seal::SealKey;
use keys::signing::KeyRing;
use ledger::Ledger;
use store::GatewayStore;

pub use answer::GatewayResponse;
pub use receipt::Handle;
pub use upstream::{SearchMethod, Upstream};

/// What a gateway is made of.
pub struct Parts {
    /// The store's door for it.
    pub store: GatewayStore,
    /// The record.
    pub ledger: Ledger,
    /// The keys that access tokens are verified with.
    pub keys: Arc<KeyRing>,
    /// Seals page handles; the same on every node.
    pub page_key: SealKey,
    /// Seals receipt handles.
    pub receipt_key: SealKey,
    /// Who knows the time.
    pub clock: Arc<dyn Clock>,
    /// Where nonces come from.
    pub random: Arc<dyn Random>,
    /// The record server.
    pub upstream: Upstream,
    /// Names and addresses.
    pub settings: Settings,
}

/// The names under which the gateway is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The only `iss` of access tokens.
    pub issuer: String,
    /// Our FHIR base without a trailing slash; the only `aud` of access tokens.
    pub fhir_base: String,
    /// URL of the protected resource metadata (RFC 9728).
    pub resource_metadata: String,
    /// URL of the authorization endpoint.
    pub authorize: String,
    /// URL of the token endpoint.
    pub token: String,
    /// URL of the revocation endpoint.
    pub revoke: String,
    /// URL of the introspection endpoint.
    pub introspect: String,
}

/// One request, as it arrived; ambiguities of HTTP itself are gone already.
#[derive(Clone, Debug)]
pub struct GatewayRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The raw path after the API's prefix: empty, or with a leading slash. Nothing is decoded.
    pub path: &'a str,
    /// The raw query, without `?`.
    pub query: Option<&'a str>,
    /// Every header.
    pub headers: &'a HeaderMap,
    /// The body, whole.
    pub body: Bytes,
    /// Who is connected.
    pub peer: IpAddr,
    /// Ties the answer to its record.
    pub correlation: CorrelationId,
}

/// The gateway in front of one FHIR server.
pub struct Gateway {
    parts: Parts,
    tokens: tokens::Seen,
    rewrite: rewrite::Rewrite,
    /// Our CapabilityStatement.
    capabilities: Bytes,
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let settings = &parts.settings;
        let capabilities = fhir::capability_statement(&fhir::CapabilityInput {
            base: &settings.fhir_base,
            authorize: &settings.authorize,
            token: &settings.token,
            revoke: &settings.revoke,
            introspect: &settings.introspect,
            date: "2026-11-24",
        });
        let rewrite = rewrite::Rewrite::new(&parts.upstream.base, &settings.fhir_base);
        let tokens = tokens::Seen::default();
        Self { parts, tokens, rewrite, capabilities: capabilities.into() }
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}
