//! What the commit queue is built of; `tests/loom.rs` puts a model checker's in its place.

pub(crate) use std::sync::{Arc, Condvar, Mutex, PoisonError};
