//! Witnessing (c2sp.org/tlog-witness, c2sp.org/tlog-cosignature). A witness never cosigns two heads of
//! one log that do not grow out of one another, nor a smaller one after a larger one, whatever it is
//! sent, in whatever order, and across crashes. A log that asks learns from it when it is not what it
//! was.

mod client;
mod follow;
mod judge;
mod kept;
mod lag;
mod memory;
mod refused;
#[cfg(feature = "remote")]
mod remote;
mod request;
mod service;

pub use client::{AskError, Carried, Carrier, Found, ask};
pub use follow::{Followed, Follower, Policy};
pub use judge::{Head, Refusal, Step, judge, trusted};
pub(crate) use kept::uncosigned;
pub use kept::{cosigners, keep, kept};
pub use lag::{Lag, Turn};
pub use memory::WitnessError;
pub use refused::refusal;
pub(crate) use refused::{Refused, refused, refused_path};
#[cfg(feature = "remote")]
pub use remote::HttpCarrier;
pub use request::{MAX_PROOF, MAX_REQUEST, Malformed, Request};
pub use service::{Answer, Witness};
