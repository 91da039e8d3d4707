//! The gateway between a hostile record server and its clients, with a real ledger and a real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod disclosure;
mod paging;
mod receipts;
mod refusals;
mod upstream;
mod world;
