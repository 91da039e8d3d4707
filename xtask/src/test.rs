//! Everything a change must pass, in one command: installs what is missing, runs each step in order,
//! stops at the first that fails and says how to run it alone. The tests come last, so that a good
//! run ends with their summary.

use std::fs;
use std::time::{Duration, Instant};

use crate::partners::Background;
use crate::shell::{Failure, cargo, root, run as run_command};
use crate::target::Target;
use crate::{generated, partners, tools};

/// One step: its name on the command line, what it promises, and how it runs.
struct Step {
    name: &'static str,
    promise: &'static str,
    run: fn(&mut Run) -> Result<(), Failure>,
}

const STEPS: &[Step] = &[
    Step { name: "tools", promise: "cargo-deny and cargo-nextest are here", run: tools },
    Step { name: "fmt", promise: "one style", run: fmt },
    Step { name: "clippy", promise: "no lint speaks", run: clippy },
    Step { name: "deny", promise: "bans, licences and sources hold", run: deny },
    Step { name: "doc", promise: "the documentation builds, every link leads somewhere", run: doc },
    Step {
        name: "generated",
        promise: "generated pages are fresh",
        run: |_| generated::check_all(),
    },
    Step { name: "build", promise: "the product, as the journeys run it", run: build },
    Step { name: "partners", promise: "what the journeys run against is here", run: partners },
    Step { name: "nextest", promise: "every test", run: nextest },
];

/// What steps share.
struct Run {
    target: Target,
    installing: Option<Background>,
}

/// `cargo xtask test [--list | STEP…]`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if arguments.first().is_some_and(|argument| argument == "--list") {
        for step in STEPS {
            println!("{:<10} {}", step.name, step.promise);
        }
        return Ok(());
    }
    if let Some(unknown) = arguments.iter().find(|name| STEPS.iter().all(|s| s.name != *name)) {
        return Err(Failure::usage(format!("no step `{unknown}`: see `cargo xtask test --list`")));
    }
    let chosen = |step: &&Step| arguments.is_empty() || arguments.iter().any(|a| a == step.name);
    let steps: Vec<&Step> = STEPS.iter().filter(chosen).collect();

    let begun = Instant::now();
    let mut run = Run { target: Target::choose(&root())?, installing: None };
    println!("building into {}", run.target.path.display());
    for (index, step) in steps.iter().enumerate() {
        let (place, count, at) = (index + 1, steps.len(), clock(begun.elapsed()));
        println!("\n== [{at}] {place}/{count} {}: {}", step.name, step.promise);
        let outcome = (step.run)(&mut run);
        if step.name == "tools" && arguments.is_empty() && outcome.is_ok() {
            // Beside the builds that follow; after `tools`, because apt serves one at a time.
            run.installing = Background::start(&run.target.path)?;
        }
        if let Err(failure) = outcome {
            // An installation is not left running alone, nor cut off in the middle.
            let installing = run.installing.take().map(Background::wait);
            let messages = [Some(failure), installing.and_then(Result::err)];
            let messages: Vec<String> = messages.into_iter().flatten().map(|f| f.message).collect();
            return Err(Failure::new(format!(
                "step `{name}` failed after {at}: {message}\nalone: cargo xtask test {name}",
                name = step.name,
                at = clock(begun.elapsed()),
                message = messages.join("\n"),
            )));
        }
    }
    Ok(())
}

fn tools(run: &mut Run) -> Result<(), Failure> {
    tools::install(&run.target.path)
}

fn fmt(run: &mut Run) -> Result<(), Failure> {
    run_command(cargo(&run.target.path).args(["fmt", "--all", "--check"]))
}

fn clippy(run: &mut Run) -> Result<(), Failure> {
    run.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
}

fn deny(run: &mut Run) -> Result<(), Failure> {
    run.cargo(&["deny", "check", "bans", "licenses", "sources"], &[])
}

fn doc(run: &mut Run) -> Result<(), Failure> {
    run.cargo(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])
}

/// By itself: a build of the whole workspace would unify the features of its dependencies with those
/// that the tests' clients ask for (a second crypto provider, for one), and the journeys would run
/// another program than the one people get.
fn build(run: &mut Run) -> Result<(), Failure> {
    run.cargo(&["build", "--package", "phiward"], &[])?;
    // Apart: `nextest` links its own build of the same name over the first.
    let (built, kept) = (run.target.path.join("debug/phiward"), run.target.path.join(PRODUCT));
    let failed = |error| Failure::new(format!("cannot keep {}: {error}", kept.display()));
    fs::create_dir_all(kept.parent().unwrap_or(&kept)).map_err(failed)?;
    let _ = fs::remove_file(&kept);
    fs::copy(&built, &kept).map(drop).map_err(failed)
}

/// The product's binary, below the target folder.
const PRODUCT: &str = "product/phiward";

fn partners(run: &mut Run) -> Result<(), Failure> {
    match run.installing.take() {
        Some(installing) => installing.wait(),
        None => partners::install(&run.target.path),
    }
}

fn nextest(run: &mut Run) -> Result<(), Failure> {
    let product = run.target.path.join(PRODUCT);
    if !product.is_file() {
        return Err(Failure::new("no product to test: first `cargo xtask test build`"));
    }
    let product = product.to_string_lossy().into_owned();
    run.cargo(&["nextest", "run", "--workspace"], &[("PHIWARD_BIN", &product)])
}

impl Run {
    fn cargo(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), Failure> {
        let mut command = cargo(&self.target.path);
        command.args(arguments).envs(environment.iter().copied());
        if self.target.is_shared() {
            // Clones at other paths never profit from it, and it fills the folder.
            command.env("CARGO_INCREMENTAL", "0");
        }
        run_command(&mut command)
    }
}

/// `m:ss`
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_come_last_and_nothing_is_named_twice() {
        assert_eq!(STEPS.last().unwrap().name, "nextest");
        for step in STEPS {
            assert_eq!(STEPS.iter().filter(|other| other.name == step.name).count(), 1);
        }
    }

    #[test]
    fn a_step_that_does_not_exist_is_wrong_usage() {
        let failure = run(&["fmt".into(), "lint".into()]).unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(failure.message.contains("`lint`"));
    }
}
