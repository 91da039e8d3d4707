//! The authorization server through its public face: each test is a rule of it, or an attack on one.
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

extern crate phiward_authority as authority;

mod app;
mod client_authentication;
mod code;
mod consent;
mod flow;
mod machine;
mod password;
mod planted;
mod principal;
mod record;
mod refresh;
mod registration;
mod request;
mod scope;
mod sign_in;
mod token_use;
mod world;
