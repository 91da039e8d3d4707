//! How a command fails: one line on standard error and an exit code (0 success, 1 the thing checked
//! does not hold, 2 wrong usage or configuration, and one for each trouble with the ledger).

use std::process::ExitCode;

use ledger::{OpenError, Trouble};

use crate::config::ConfigError;

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The thing that was checked does not hold, or was refused.
    pub(crate) fn check(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// Wrong usage, configuration or surroundings.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// A trouble with the ledger, under its own exit code (docs/reference/exit-codes.md).
    pub(crate) fn trouble(trouble: Trouble, message: impl Into<String>) -> Self {
        Self { code: trouble.exit_code(), message: message.into() }
    }

    /// Something of ours is broken.
    pub(crate) fn internal() -> Self {
        Self::usage("internal error; please report it")
    }

    /// A command that is planned.
    pub(crate) fn not_in_this_version(command: &str) -> Self {
        Self::usage(format!("`phiward {command}` is not in this version"))
    }

    /// With the exit code of [`Failure::check`] and nothing to say that was not said.
    pub(crate) fn silent() -> Self {
        Self::check("")
    }

    /// What it says.
    pub(crate) fn message(&self) -> String {
        self.message.clone()
    }

    /// Prints the line and gives the code.
    #[allow(clippy::print_stderr, reason = "a command's one line of failure")]
    pub(crate) fn exit(&self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("phiward: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let what = format!("{error}; what to do: docs/how-to/when-the-ledger-stops.md");
        Self::trouble(error.trouble(), what)
    }
}
