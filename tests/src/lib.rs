//! The journeys' harness: real parts on loopback, and a person and an app to walk with.
//!
//! Every part runs as a process of its own, in a temporary folder, on a port the system gave,
//! is waited for with a deadline, and is stopped by the process id recorded here when its value
//! is dropped. A part that cannot start fails the journey; nothing is skipped in silence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a harness for tests: what fails here is a failed journey"
)]

mod app;
mod demo;
mod form;
mod helios;
mod https;
mod medplum;
mod partners;
mod person;
mod process;
mod radosgw;
pub mod records;

pub use app::{App, Grant, LAB_SCOPE, Request, below, refusal};
pub use demo::{Demo, DemoClient, DemoUser, Ready};
pub use form::{Control, Form, forms};
pub use helios::Helios;
pub use https::{Answer, Client};
pub use medplum::Medplum;
pub use partners::{Partners, files, repository};
pub use person::{Person, Return};
pub use process::{Part, phiward};
pub use radosgw::{ACCESS_KEY, Radosgw, S3Answer, SECRET_KEY};
