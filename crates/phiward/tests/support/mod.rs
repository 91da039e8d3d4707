//! A demo's directory, with a server on it or not, and commands against it.
#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Clock, Timestamp};
use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::LedgerOptions;
use serde_json::Value;
use tempfile::TempDir;

pub struct Demo {
    child: Option<Child>,
    pub ready: Value,
    pub dir: TempDir,
    env: Vec<(String, String)>,
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
        let ready = serde_json::from_str(&line).expect("JSON");
        Self { child: Some(child), ready, dir, env: Vec::new() }
    }

    /// With this in the environment of every further command.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        child.wait().unwrap();
    }

    /// As a crash would.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// `phiward serve` on the same directory; what it says goes to `serve.log` there.
    pub fn serve(&mut self) {
        assert!(self.child.is_none());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("serve.log"));
        let child = self
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::from(log.unwrap()))
            .spawn()
            .unwrap();
        self.child = Some(child);
        let since = Instant::now();
        while UnixStream::connect(self.path("data/admin.sock")).is_err() {
            let log = fs::read_to_string(self.path("serve.log")).unwrap();
            assert!(since.elapsed() < Duration::from_secs(60), "the server does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phiward"));
        command.args(args).arg("-c").arg(self.path("phiward.toml"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command of this configuration.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that succeeds; its output.
    pub fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that succeeds; its JSON line.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(self.good(&[args, &["--json"]].concat()).trim()).unwrap()
    }

    /// Runs a command that fails with this code; what it says.
    pub fn bad(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
        text
    }

    /// `phiward ledger …` of this configuration.
    pub fn ledger(&self, args: &[&str]) -> Output {
        self.run(&[&["ledger"], args].concat())
    }

    /// The same by somebody who signs in.
    pub fn as_person(&self, username: &str, password_file: &str, args: &[&str]) -> Output {
        let who = ["--officer", username, "--password-file", password_file];
        self.ledger(&[args, &who].concat())
    }

    /// What the demo says of itself.
    pub fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap()
    }

    pub fn config(&self) -> &str {
        self.text("config")
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The stopped demo's ledger, to be opened here.
    pub fn ledger_options(&self) -> LedgerOptions {
        let kek = FileKek::open(&self.path("keys/kek.key"), Arc::new(SystemRandom)).unwrap();
        let issuer = self.text("issuer").trim_start_matches("https://");
        LedgerOptions::new(
            self.path("ledger"),
            self.path("keys/ledger"),
            format!("{issuer}/ledger"),
            Arc::new(kek),
            Arc::new(Now),
            Arc::new(SystemRandom),
        )
    }

    /// A copy of the ledger's directory.
    pub fn copy(&self) -> PathBuf {
        let copy = self.dir.path().join("copy");
        let copied = Command::new("cp").arg("-r").args([&self.path("ledger"), &copy]).status();
        assert!(copied.unwrap().success());
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("demo").join(name)
    }

    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path("phiward.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// A line of the configuration's section `[ledger]`.
    pub fn set(&self, line: &str) {
        self.edit("[ledger]\n", &format!("[ledger]\n{line}\n"));
    }

    /// A file of mode 0600 with this in it.
    pub fn secret(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn password(&self, username: &str) -> String {
        let users = self.ready["users"].as_array().unwrap();
        let user = users.iter().find(|user| user["username"] == username).unwrap();
        self.secret(username, user["password"].as_str().unwrap())
    }

    /// The records of the ledger, newest last.
    pub fn records(&self, extra: &[&str]) -> Vec<Value> {
        let args = [&["ledger", "show", "--last", "1000", "--json"], extra].concat();
        self.good(&args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

struct Now;

impl Clock for Now {
    #[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "as the server's")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }
}

pub fn phiward(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phiward")).args(args).output().unwrap()
}

/// The records of a kind among those that `ledger … --json` printed.
pub fn of_kind(output: &Output, kind: &str) -> Vec<Value> {
    let records = stdout(output);
    let records = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["kind"] == kind).collect()
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn said(output: &Output) -> String {
    stdout(output) + &stderr(output)
}

/// The files of a directory and what is in them.
pub fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}
