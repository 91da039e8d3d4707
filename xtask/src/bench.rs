//! The benchmark: release builds of the product and of `phiward-bench`, which finds the product's
//! binary in `PHIWARD_BIN` and gets this task's arguments. `bench ledger` is the ledger's part alone.

use crate::partners;
use crate::shell::{Failure, cargo, root, run as run_command};
use crate::target::Target;

/// `cargo xtask bench [ARG…]`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let target = Target::choose(&root())?;
    // The ledger's part needs neither partners nor the product's binary.
    if let Some(("ledger", rest)) =
        arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return run_command(
            cargo(&target.path)
                .args(["run", "--release", "--package", "phiward-ledger-bench", "--"])
                .args(rest),
        );
    }
    partners::install(&target.path)?;
    run_command(cargo(&target.path).args(["build", "--release", "--package", "phiward"]))?;
    run_command(
        cargo(&target.path)
            .env("PHIWARD_BIN", target.path.join("release/phiward"))
            .args(["run", "--release", "--package", "phiward-bench", "--"])
            .args(arguments),
    )
}
