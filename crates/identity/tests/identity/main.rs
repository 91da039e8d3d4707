//! Signing in through the public face of `identity`, with a real store and a real ledger.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::missing_panics_doc,
    clippy::large_futures,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

extern crate phiward_identity as identity;

mod session;
mod throttle;
mod world;
