//! The authorization server's rules, one module per RFC, without HTTP types. Each check returns a
//! proof; only proofs mint (`mint`). A refusal leaves as `Recorded<Reject>`, so each is recorded
//! exactly once. Single-use things are consumed, then recorded, and only then released.
//!
//! | module | rules of |
//! |---|---|
//! | `authorize` | RFC 6749 §4.1.1, RFC 7636, RFC 9207, SMART App Launch 2.2 |
//! | `interaction`, `present`, `consent` | sign-in, patient picker and consent between request and code |
//! | `client_authentication` | RFC 6749 §2.3, RFC 7523 |
//! | `token` and one module per grant | RFC 6749 §4 to §6 |
//! | `mint` | RFC 9068, OpenID Connect Core §2 |
//! | `introspection`, `revocation`, `userinfo`, `metadata` | RFC 7662, RFC 7009, OIDC, RFC 8414 |
//! | `registrar` | registering clients and people |

mod authorization_code;
mod authorize;
mod client_authentication;
mod client_credentials;
mod consent;
mod interaction;
mod introspection;
pub mod metadata;
mod mint;
mod parameters;
mod password;
mod present;
mod refresh;
mod refusal;
mod registrar;
mod revocation;
mod settings;
mod token;
mod userinfo;

use std::sync::Arc;

use domain::Clock;
use identity::Identity;
use keys::Random;
use keys::opaque::HashKey;
use keys::signing::KeyRing;
use ledger::Ledger;
use store::Store;

pub use authorize::{AuthorizeRefusal, Begun, FlowRef};
pub use client_authentication::{AuthenticatedClient, PresentedCredentials};
pub use consent::{ConsentItem, Decision};
pub use identity::{Attempt, Caller, Fault, Refusal, SignedIn};
pub use interaction::{ConsentStep, PatientStep, SignInStep, Step};
pub use parameters::Parameters;
pub use registrar::{NewClient, NewPerson, RegisteredClient, RegistrarError};
pub use settings::{PasswordGrant, Settings};
pub use token::{Narrowing, TokenRequest, TokenResponse};

/// The parts that an authorization server is put together from.
#[derive(Clone)]
pub struct Parts {
    /// What lasts.
    pub store: Store,
    /// The record.
    pub ledger: Ledger,
    /// Who is at the keyboard.
    pub identity: Identity,
    /// The signing keys.
    pub key_ring: Arc<KeyRing>,
    /// The key under which secrets are hashed.
    pub hash_key: Arc<HashKey>,
    /// Who knows the time.
    pub clock: Arc<dyn Clock>,
    /// Who draws random numbers.
    pub random: Arc<dyn Random>,
}

/// The authorization server.
#[derive(Clone)]
pub struct Authority {
    parts: Parts,
    settings: Arc<Settings>,
}

impl Authority {
    /// Puts the parts together.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        Self { parts, settings: Arc::new(settings) }
    }

    /// What it was set to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who is at the keyboard.
    pub const fn identity(&self) -> &Identity {
        &self.parts.identity
    }

    /// The public keys, as a JWK Set (RFC 7517 §5).
    pub fn jwks(&self) -> serde_json::Value {
        self.parts.key_ring.jwks()
    }
}
