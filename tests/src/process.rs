//! A child process whose output goes to files, and which ends with its value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A running part. Dropping it kills the process and waits for it.
#[derive(Debug)]
pub struct Part {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Part {
    /// Starts `command` with its output in `NAME.stdout` and `NAME.stderr` under `folder`.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let stdout = folder.join(format!("{name}.stdout"));
        let stderr = folder.join(format!("{name}.stderr"));
        let child = command
            // A pipe that nobody writes to: a part may end itself when its reader sees the end.
            .stdin(Stdio::piped())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything written to standard output and standard error so far.
    pub fn output(&self) -> String {
        let read = |path: &Path| {
            String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
        };
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }

    /// The first whole line on standard output that begins a JSON object, within `limit`.
    pub fn json_line(&mut self, limit: Duration) -> String {
        let path = self.stdout.clone();
        self.wait_for("a line of JSON", limit, || {
            let text = std::fs::read_to_string(&path).ok()?;
            let (whole, _) = text.rsplit_once('\n')?;
            whole.lines().find(|line| line.starts_with('{')).map(str::to_owned)
        })
    }

    /// Polls `probe` until it answers; panics with the part's output when it ends or is too slow.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = probe() {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status} before {what}:\n{}", self.name, self.output());
            }
            if begun.elapsed() > limit {
                panic!("{} gave no {what} in {limit:?}:\n{}", self.name, self.output());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGKILL, as a power cut would: nothing is flushed, nothing is said.
    pub fn kill_9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then the exit status within ten seconds; panics if it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{} does not end on SIGTERM:\n{}",
                self.name,
                self.output()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill_9();
        // The folder goes with the test: what is needed to understand a failure is said now.
        if std::thread::panicking() {
            eprintln!("--- what {} said ---\n{}", self.name, self.output());
        }
    }
}

/// The `phiward` binary: `PHIWARD_BIN`, else the one beside the running test (`cargo build -p phiward`).
pub fn phiward() -> PathBuf {
    if let Some(path) = std::env::var_os("PHIWARD_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("phiward");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p phiward` or set PHIWARD_BIN",
        path.display()
    );
    path
}

/// Runs a command to its end and returns what it said; panics after `limit`.
pub(crate) fn run(name: &str, mut command: Command, limit: Duration) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command.stdin(Stdio::null());
    let (stdout, stderr) = (folder.path().join("out"), folder.path().join("err"));
    let mut child = command
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            let said = std::fs::read(&stderr).unwrap_or_default();
            panic!("{name} took over {limit:?}:\n{}", String::from_utf8_lossy(&said));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Output {
        status,
        stdout: std::fs::read(stdout).unwrap(),
        stderr: std::fs::read(stderr).unwrap(),
    }
}
