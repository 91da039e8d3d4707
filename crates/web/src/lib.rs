//! HTTP, once, for both engines: what arrives is bounded and parsed into typed commands, what is
//! refused becomes a response, and pages are rendered that others decide. Nothing that arrives is
//! trusted to name a host, a scheme or an address; no answer repeats input.

pub mod answer;
mod app;
mod arrival;
pub mod cookie;
pub mod cors;
mod fhir;
pub mod form;
pub mod guard;
pub mod health;
mod interaction;
pub mod metrics;
mod oauth;
mod origins;
pub mod pages;
pub mod pki;
mod refusal;
pub mod routes;
pub mod server;
mod strict_http1;
pub mod tls;
pub mod witness;

pub use app::{Parts, Web};
