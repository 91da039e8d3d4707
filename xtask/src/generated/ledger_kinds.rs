//! The tables of what the ledger records: every kind (`domain::Kind`), the fields of a record
//! (`ledger::Body`), and the bases of a disclosure (`domain::Basis`), in the order of their codes.

use std::fmt::Write as _;

use domain::{Basis, Kind};
use ledger::Body;

const HEAD: &str = "\
<!-- Generated from `domain::Kind`, `ledger::Body` and `domain::Basis` by `cargo xtask generated`. Do not edit. -->
# Kinds of ledger record

Every record is of one of these kinds. The code stands in the record's clear header and never changes its
meaning; the name is what `phiward ledger show` prints. Each record also has an outcome: 0 is success, 255 a
fault of Phiward's own, and every other code a reason of [reject-reasons.md](reject-reasons.md).

| code | name | meaning |
|---|---|---|
";

const FIELDS: &str = "
# Fields of a record

What a record says under seal: deterministic CBOR with these keys, each of which may be absent and never
changes its meaning. `phiward ledger show` prints them by name. Number, time, kind and outcome stand in the
clear header. A record never holds the content of a resource, a token or a secret.

| key | name | meaning |
|---|---|---|
";

const BASES: &str = "
# Bases of a disclosure

What `basis` of a `phi.release` can be: the client's registered one (`phiward client add --basis`), or what
follows from who acts: `patient-request` for a patient's app, `treatment` for a clinician, `other` for a
client on its own behalf. The accounting of disclosures (45 CFR 164.528) leaves out what is excepted; an
agency's statement can suspend what is suspendable.

| name | meaning | excepted | suspendable |
|---|---|---|---|
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
    page.push_str(FIELDS);
    for (key, name, meaning) in Body::MEANINGS {
        let meaning = meaning.trim().replace('|', "\\|");
        let _ = writeln!(page, "| {key} | `{name}` | {meaning} |");
    }
    page.push_str(BASES);
    for basis in Basis::ALL {
        let yes = |holds| if holds { "yes" } else { "no" };
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            basis.as_str(),
            basis.meaning().trim(),
            yes(basis.is_excepted()),
            yes(basis.is_suspendable())
        );
    }
    page
}
