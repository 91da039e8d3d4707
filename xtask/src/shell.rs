//! Runs other programs: what fails names itself, and nothing of this process's own cargo leaks in.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a task ended, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One line, or a line and what to do.
    pub(crate) message: String,
    /// 1: something did not hold; 2: wrong usage.
    pub(crate) code: u8,
}

impl Failure {
    /// Something did not hold.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The command line was wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Cargo at the workspace's root, building into `target`.
pub(crate) fn cargo(target: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root()).env("CARGO_TARGET_DIR", target);
    // `cargo run` describes xtask in these. Some build scripts (ring's) watch them and would run
    // again each time a task alternates with plain cargo.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs to the end; a non-zero exit is a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{}` ended with {status}", line(command)))),
        Err(error) => Err(Failure::new(format!("cannot run `{}`: {error}", line(command)))),
    }
}

/// Standard output of a program that succeeds in silence; `None` if it is missing or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program of this name can be started.
pub(crate) fn on_path(program: &str) -> bool {
    let mut probe = Command::new(program);
    probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    !matches!(probe.status(), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// How this process may become root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Privilege {
    /// It is.
    Root,
    /// By sudo, without a question.
    Sudo,
    /// By sudo, which asks for a password.
    SudoAsks,
    /// Not at all.
    None,
}

/// How this process may become root.
pub(crate) fn privilege() -> Privilege {
    if output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0") {
        Privilege::Root
    } else if !on_path("sudo") {
        Privilege::None
    } else if output(Command::new("sudo").args(["-n", "true"])).is_some() {
        Privilege::Sudo
    } else {
        Privilege::SudoAsks
    }
}

/// A command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
