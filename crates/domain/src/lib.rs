//! The vocabulary: identifiers, secrets, scopes and their algebra, clients, people, grants, and the
//! one list of reasons to refuse. Nothing here does I/O, reads a clock or draws a random number;
//! illegal states have no spelling.

mod basis;
mod client;
mod clock;
mod event;
mod grant;
mod id;
mod person;
mod pkce;
mod redirect;
mod reject;
mod resource_type;
pub mod scope;
mod secret;

pub use basis::Basis;
pub use client::{
    Client, ClientAuthentication, ClientDraft, GrantType, JwkSetText, PasswordException, Refresh,
    Wildcard,
};
pub use clock::{Clock, Timestamp};
pub use event::{Kind, Outcome};
pub use grant::{Duration, Grant, LaunchContext};
pub use id::{
    ClientId, CorrelationId, FhirId, GrantId, IdError, PersonId, SessionId, TokenId, Username,
};
pub use person::{Person, PersonRole};
pub use pkce::{CodeChallenge, CodeVerifier, PkceError};
pub use redirect::{RedirectUri, RedirectUriError};
pub use reject::{Audience, OAuthError, Reject};
pub use resource_type::{ResourceType, UnknownResourceType};
pub use secret::{Phi, Secret};
