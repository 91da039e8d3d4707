//! A small read-only FHIR R4 server with synthetic patients: the demo's upstream.
//!
//! Guarantees: nothing here can change a record; what `GET /metadata` declares is what is
//! built; answers are a function of the request alone (no clock, no randomness); it is
//! served on loopback only, because it asks nobody for a credential.

mod answer;
mod capability;
mod date;
mod form;
mod matching;
mod parameter;
mod people;
mod records;
mod sample;
mod search;
mod serve;

pub use people::{DemoPatient, demo_patients, stranger};
pub use sample::{BODY_LIMIT, Sample};
pub use serve::serve;
