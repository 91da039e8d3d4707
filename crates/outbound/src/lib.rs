//! The one HTTP client. Every connection goes to an address that the [`PeerPolicy`] allows, judged on
//! the address that is really connected to (a name that resolves elsewhere a moment later changes
//! nothing). Redirects are never followed, an answer is bounded in size and time while it is read, an
//! answer shorter than announced is an error, and no error carries anything of the answer.

mod address;
mod client;
mod connect;
mod origin;
mod pool;
mod stream;

pub use address::is_public;
pub use client::{Client, Limits, Options, Redirects, SendError, SetupError};
pub use origin::{Origin, OriginError, PeerPolicy};
pub use stream::{Dialer, TlsStream};
