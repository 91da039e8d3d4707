//! Where the programs and libraries of other people lie, installed when missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::run;

/// `tests/partners` and `target/partners`, after `install.sh` has run.
#[derive(Debug, Clone)]
pub struct Partners {
    installed: PathBuf,
}

impl Partners {
    /// Installs what is missing; a part that cannot be installed fails the journey.
    pub fn ready() -> Self {
        let mut command = Command::new("sh");
        command.arg(repository().join("tests/partners/install.sh"));
        let target = target();
        command.env("CARGO_TARGET_DIR", &target);
        let output = run("install.sh", command, Duration::from_secs(1500));
        assert!(
            output.status.success(),
            "tests/partners/install.sh failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Self { installed: target.join("partners") }
    }

    /// Node 22 on a script of `tests/partners`, which finds its libraries in `target/partners/npm`.
    pub fn node(&self, script: &str) -> Command {
        let npm = self.installed.join("npm");
        let machine = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "x64",
        };
        let mut command =
            Command::new(npm.join(format!("node_modules/node-linux-{machine}/bin/node")));
        command
            .args(["--preserve-symlinks", "--preserve-symlinks-main"])
            .arg(npm.join("scripts").join(script))
            .current_dir(&npm);
        command
    }

    /// Python on a script of `tests/partners`, with the libraries of `requirements.txt`.
    pub fn python(&self, script: &str) -> Command {
        let mut command = Command::new(self.installed.join("venv/bin/python"));
        command.arg("-B").arg(repository().join("tests/partners").join(script));
        command
    }

    /// Python on a script of somebody else's making, with the libraries of `requirements.txt`.
    pub fn python_on(&self, script: &Path) -> Command {
        let mut command = Command::new(self.installed.join("venv/bin/python"));
        command.arg("-B").arg(script);
        command
    }

    /// Go's own checker of transparency logs, on the command line of `tests/partners/tlog/go`.
    pub fn tlogcheck(&self) -> Command {
        Command::new(self.installed.join("tlogcheck"))
    }

    /// A file of an npm package.
    pub fn npm_file(&self, path: &str) -> PathBuf {
        self.installed.join("npm/node_modules").join(path)
    }

    /// Helios FHIR Server: `PHIWARD_HFS`, `hfs` on the path, the unpacked copy; `None` if absent all three.
    pub fn hfs(&self) -> Option<PathBuf> {
        if let Some(path) = std::env::var_os("PHIWARD_HFS") {
            return Some(PathBuf::from(path));
        }
        let on_path = std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .map(|folder| folder.join("hfs"))
            .find(|path| path.is_file());
        on_path.or_else(|| Some(self.installed.join("hfs")).filter(|path| path.is_file()))
    }
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file under a folder, in no order; empty if there is no such folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The target folder of this build: three above the test (`target/debug/deps/test`).
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}
