//! The table of what verification can find, from `ledger::GapKind`.

use std::fmt::Write as _;

use ledger::{GapKind, Weight};

const HEAD: &str = "\
<!-- Generated from `ledger::GapKind` by `cargo xtask generated`. Do not edit. -->
# Findings of `ledger verify`

Each finding is on a line of its own, with its name, its meaning and its place; `--json` lists them under `gaps`. The
heaviest decides: one that is *broken* gives FAIL; else one that is *unproven* gives UNPROVEN; a *note* changes nothing.
Of each weight 10,000 are listed and the rest counted.

| name | weight | meaning |
|---|---|---|
";

/// The page.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    for kind in GapKind::ALL {
        let weight = match kind.weight() {
            Weight::Note => "note",
            Weight::Unproven => "unproven",
            Weight::Broken => "broken",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {weight} | {} |", kind.id(), kind.meaning());
    }
    page
}
