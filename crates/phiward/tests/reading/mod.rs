//! A demo's directory with its server running or not, and the commands run on it.
#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use domain::{Clock, Timestamp};
use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::LedgerOptions;
use serde_json::Value;
use tempfile::TempDir;

pub fn phiward(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phiward")).args(args).output().expect("runs")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

struct Now;

impl Clock for Now {
    #[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "as the server's")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }
}

/// A demo's directory, with its server running or not.
pub struct Demo {
    pub child: Option<Child>,
    pub ready: Value,
    pub dir: TempDir,
}

impl Demo {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_phiward"))
            .args(["demo", "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir.path().join("demo"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child: Some(child), ready: serde_json::from_str(&line).expect("JSON"), dir }
    }

    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        child.wait().unwrap();
    }

    pub fn config(&self) -> &str {
        self.ready["config"].as_str().unwrap()
    }

    /// The stopped demo's ledger, to be opened here.
    pub fn ledger_options(&self) -> LedgerOptions {
        let demo = self.dir.path().join("demo");
        let kek = FileKek::open(&demo.join("keys/kek.key"), Arc::new(SystemRandom)).unwrap();
        let issuer = self.ready["issuer"].as_str().unwrap().trim_start_matches("https://");
        LedgerOptions::new(
            self.ready["ledger"].as_str().unwrap(),
            demo.join("keys/ledger"),
            format!("{issuer}/ledger"),
            Arc::new(kek),
            Arc::new(Now),
            Arc::new(SystemRandom),
        )
    }

    /// A copy of the ledger's directory.
    pub fn copy(&self) -> PathBuf {
        let copy = self.dir.path().join("copy");
        let from = self.ready["ledger"].as_str().unwrap();
        assert!(
            Command::new("cp")
                .arg("-r")
                .args([from.as_ref(), copy.as_path()])
                .status()
                .unwrap()
                .success()
        );
        copy
    }

    pub fn set(&self, line: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), text.replacen("[ledger]\n", &format!("[ledger]\n{line}\n"), 1))
            .unwrap();
    }

    pub fn password(&self, username: &str) -> PathBuf {
        let users = self.ready["users"].as_array().unwrap();
        let user = users.iter().find(|user| user["username"] == username).unwrap();
        self.secret(username, user["password"].as_str().unwrap())
    }

    pub fn secret(&self, name: &str, password: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, password).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn ledger(&self, args: &[&str]) -> Output {
        let mut all = vec!["ledger"];
        all.extend(args);
        all.extend(["-c", self.config()]);
        phiward(&all)
    }

    pub fn as_person(&self, username: &str, password: &Path, args: &[&str]) -> Output {
        let mut all = args.to_vec();
        all.extend(["--officer", username, "--password-file", password.to_str().unwrap()]);
        self.ledger(&all)
    }

    /// The records of a kind, read by an operator who is recorded, too.
    pub fn records(output: &Output, kind: &str) -> Vec<Value> {
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["kind"] == kind).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}
