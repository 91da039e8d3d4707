//! A PostgreSQL cluster in a temporary folder: a Unix socket and no port, stopped by its own process id.
//! Fails loudly where PostgreSQL is missing.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) struct Cluster {
    server: Child,
    dir: TempDir,
    bin: PathBuf,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let bin = bin_dir();
        let dir = tempfile::Builder::new().prefix("phiward-pg").tempdir_in("/tmp").unwrap();
        let owner = unprivileged(dir.path());
        let command = |name: &str| {
            let mut command = Command::new(bin.join(name));
            command.env("LC_ALL", "C").current_dir(dir.path()).stdin(Stdio::null());
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command
        };
        let data = dir.path().join("data");
        let made = command("initdb")
            .args(["--username=phiward", "--auth=trust", "--encoding=UTF8", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let server = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "max_connections=120", "-k"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let cluster = Self { server, dir, bin };
        for _ in 0..300 {
            if cluster.psql("SELECT 1").status.success() {
                return cluster;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL did not start within 30 seconds");
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=phiward", self.dir.path().display())
    }

    /// Runs a statement as the database's owner; what it prints.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let output = self.psql(statement);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn psql(&self, statement: &str) -> std::process::Output {
        Command::new(self.bin.join("psql"))
            .args(["-X", "-A", "-t", "-U", "phiward", "-d", "postgres", "-c", statement, "-h"])
            .arg(self.dir.path())
            .output()
            .unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown; a dirty end would leave shared memory behind.
        let pid = self.server.id().to_string();
        let _asked = Command::new("kill").args(["-INT", &pid]).status();
        for _ in 0..100 {
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _killed = self.server.kill();
        let _reaped = self.server.wait();
    }
}

/// PostgreSQL refuses to run as root: then the folder and the processes are the `postgres` user's.
fn unprivileged(dir: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(dir).unwrap().uid() != 0 {
        return None;
    }
    let id = |flag| {
        let out = Command::new("id").args([flag, "postgres"]).output().unwrap();
        assert!(out.status.success(), "there is no user `postgres`: apt-get install postgresql");
        String::from_utf8(out.stdout).unwrap().trim().parse::<u32>().unwrap()
    };
    let (user, group) = (id("-u"), id("-g"));
    chown(dir, Some(user), Some(group)).unwrap();
    Some((user, group))
}

/// Debian keeps the server's programs out of `PATH`.
fn bin_dir() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").is_file());
    found.sort();
    found.pop().expect("PostgreSQL is missing: apt-get install postgresql")
}
