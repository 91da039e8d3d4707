//! The table of exit codes, from `ledger::Trouble`.

use std::fmt::Write as _;

use ledger::Trouble;

const HEAD: &str = "\
<!-- Generated from `ledger::Trouble` by `cargo xtask generated`. Do not edit. -->
# Exit codes

Every command of `phiward` ends with one of these. With any but 0 there is one line on standard error that says what was
wrong and what to do; with 2 and more, nothing was changed.

| code | name | meaning |
|---|---|---|
| 0 | `success` | done, or the thing checked holds |
| 1 | `does-not-hold` | the thing checked does not hold: the ledger is broken or unproven, something was refused |
| 2 | `usage` | wrong usage or configuration |
";

/// The page.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    for trouble in Trouble::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| {} | `{}` | {} |",
            trouble.exit_code(),
            trouble.id(),
            trouble.meaning()
        );
    }
    page
}
