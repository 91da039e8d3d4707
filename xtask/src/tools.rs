//! The tools of the test run: present and recent enough when this returns.

use std::path::Path;
use std::process::Command;

use crate::shell::{Failure, Privilege, cargo, on_path, output, privilege, run};

/// A cargo subcommand from the registry.
struct Tool {
    package: &'static str,
    subcommand: &'static str,
    /// What is installed where it is missing or older.
    version: [u32; 3],
    features: &'static [&'static str],
}

const TOOLS: [Tool; 2] = [
    Tool { package: "cargo-deny", subcommand: "deny", version: [0, 20, 2], features: &[] },
    Tool {
        package: "cargo-nextest",
        subcommand: "nextest",
        version: [0, 9, 151],
        // Without the self-updater and the TLS stack that it brings.
        features: &["--no-default-features", "--features", "default-no-update"],
    },
];

/// Programs that the build calls, and the Debian package that brings each. A Rust that can link has
/// a C compiler already, unless it was told of another linker.
const PROGRAMS: [(&str, &str); 1] = [("cc", "build-essential")];

/// Installs what is missing.
pub(crate) fn install(target: &Path) -> Result<(), Failure> {
    programs()?;
    components(target)?;
    for tool in &TOOLS {
        let [major, minor, patch] = tool.version;
        let found = output(cargo(target).args([tool.subcommand, "--version"]));
        if found.as_deref().and_then(version).is_some_and(|found| found >= tool.version) {
            continue;
        }
        println!("installing {} {major}.{minor}.{patch} (a few minutes, once)", tool.package);
        run(cargo(target)
            // Cargo's temporary folder: the tool's build is not worth keeping.
            .env_remove("CARGO_TARGET_DIR")
            .args(["install", "--locked", tool.package])
            .args(["--version", &format!("={major}.{minor}.{patch}")])
            .args(tool.features))?;
    }
    Ok(())
}

fn programs() -> Result<(), Failure> {
    let missing = PROGRAMS.iter().filter(|(program, _)| !on_path(program));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !on_path("apt-get") {
        return Err(Failure::new(format!("missing, and no apt-get to bring them: {list}")));
    }
    let apt = match privilege() {
        Privilege::Root => "apt-get",
        Privilege::Sudo | Privilege::SudoAsks => "sudo apt-get",
        Privilege::None => {
            return Err(Failure::new(format!("missing: {list}; install them as root")));
        }
    };
    let script = format!("{apt} update -q && {apt} install -q -y --no-install-recommends {list}");
    run(Command::new("sh").args(["-c", &script]).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn components(target: &Path) -> Result<(), Failure> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if output(cargo(target).args([subcommand, "--version"])).is_some() {
            continue;
        }
        if !on_path("rustup") {
            return Err(Failure::new(format!(
                "`cargo {subcommand}` is missing, and no rustup to bring it: install {component}"
            )));
        }
        run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

/// The first `1.2.3` in what a tool says about itself.
fn version(text: &str) -> Option<[u32; 3]> {
    text.split_whitespace().find_map(|word| {
        let mut parts = word.split('.');
        let found = [parts.next()?, parts.next()?, parts.next()?];
        let [major, minor, patch] = found.map(|part| part.parse().ok());
        Some([major?, minor?, patch?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_a_tool_says_about_itself() {
        assert_eq!(version("cargo-deny 0.20.2\n"), Some([0, 20, 2]));
        assert_eq!(version("cargo-nextest 0.9.151 (abc 2026-01-01)"), Some([0, 9, 151]));
        assert_eq!(version("error: no such command"), None);
        assert!([0, 10, 0] > [0, 9, 151]);
    }
}
