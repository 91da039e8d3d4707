//! The table of what the ledger records, from `domain::Kind`: every kind, in the order of its code.

use std::fmt::Write as _;

use domain::Kind;

const HEAD: &str = "\
<!-- Generated from `domain::Kind` by `cargo xtask generated`. Do not edit. -->
# Kinds of ledger record

Every record is of one of these kinds. The code stands in the record's clear header and never changes its
meaning; the name is what `phiward ledger show` prints. Each record also has an outcome: 0 is success, 255 a
fault of Phiward's own, and every other code a reason of [reject-reasons.md](reject-reasons.md).

| code | name | meaning |
|---|---|---|
";

/// The page.
pub(super) fn page() -> String {
    let mut kinds = Kind::ALL.to_vec();
    kinds.sort_by_key(|kind| kind.code());
    let mut page = HEAD.to_owned();
    for kind in kinds {
        let meaning = kind.meaning().trim().replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {} | `{}` | {meaning} |", kind.code(), kind.as_str());
    }
    page
}
