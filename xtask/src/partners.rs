//! The servers, clients and browsers that the journeys run against, installed by
//! `tests/partners/install.sh`; beside the first builds where nobody has to be asked for a password.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::shell::{Failure, Privilege, privilege, root, run};

/// An installation that runs beside other work.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it, or does it at once where sudo wants a password; `None` then.
    pub(crate) fn start(target: &Path) -> Result<Option<Self>, Failure> {
        if privilege() == Privilege::SudoAsks {
            install(target)?;
            return Ok(None);
        }
        let log = target.join("partners-install.log");
        let failed = |error| Failure::new(format!("cannot start {SCRIPT}: {error}"));
        fs::create_dir_all(target).map_err(failed)?;
        let out = File::create(&log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let child =
            command(target).stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(failed)?;
        Ok(Some(Self { child, log }))
    }

    /// Waits for its end; the log is shown if it failed.
    pub(crate) fn wait(mut self) -> Result<(), Failure> {
        let status =
            self.child.wait().map_err(|error| Failure::new(format!("{SCRIPT}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read(&self.log).unwrap_or_default();
        eprintln!("{}", String::from_utf8_lossy(&log));
        Err(Failure::new(format!("{SCRIPT} ended with {status} (log: {})", self.log.display())))
    }
}

/// Installs what is missing, in the foreground.
pub(crate) fn install(target: &Path) -> Result<(), Failure> {
    run(&mut command(target))
}

const SCRIPT: &str = "tests/partners/install.sh";

fn command(target: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg(SCRIPT).current_dir(root()).env("CARGO_TARGET_DIR", target);
    command
}
