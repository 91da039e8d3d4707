//! A PostgreSQL cluster in a temporary folder, for one run: a Unix socket and no port, fsync on,
//! stopped by its own pid. Fails loudly where PostgreSQL is missing.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Db, run};

pub(crate) struct Cluster {
    server: Child,
    dir: TempDir,
    /// Also names the socket.
    port: String,
    databases: AtomicU32,
}

impl Cluster {
    /// One that is reached by its Unix socket only.
    pub(crate) fn start() -> Self {
        Self::start_with(&["-c", "listen_addresses="], |_| {})
    }

    /// One that also listens on a loopback port, with a certificate for `localhost`. Returns the
    /// port and the certificate's file.
    pub(crate) fn start_with_tls() -> (Self, u16, PathBuf) {
        // Free at this moment; PostgreSQL cannot be told to choose one itself.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let port_flag = format!("port={port}");
        let flags = ["-c", "listen_addresses=127.0.0.1", "-c", &port_flag, "-c", "ssl=on"];
        let cluster = Self::start_with(&flags, |data| {
            std::fs::write(data.join("server.crt"), made.cert.pem()).unwrap();
            std::fs::write(data.join("server.key"), made.signing_key.serialize_pem()).unwrap();
        });
        let certificate = cluster.dir.path().join("data/server.crt");
        (cluster, port, certificate)
    }

    fn start_with(flags: &[&str], furnish: impl FnOnce(&Path)) -> Self {
        let bin = bin_dir();
        let dir = tempfile::Builder::new().prefix("phiward-pg").tempdir_in("/tmp").unwrap();
        let owner = unprivileged(dir.path());
        let data = dir.path().join("data");
        let command = |name: &str| {
            let mut command = Command::new(bin.join(name));
            command.env("LC_ALL", "C").current_dir(dir.path()).stdin(Stdio::null());
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command
        };
        let made = command("initdb")
            .args(["--username=phiward", "--auth=trust", "--encoding=UTF8", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        furnish(&data);
        for file in ["server.crt", "server.key"].map(|name| data.join(name)) {
            if let (true, Some((user, group))) = (file.exists(), owner) {
                chown(&file, Some(user), Some(group)).unwrap();
            }
            if file.exists() {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&file, mode).unwrap();
            }
        }
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let server = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(flags)
            .args(["-c", "fsync=on", "-c", "max_connections=120", "-k"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let port =
            flags.iter().find_map(|flag| flag.strip_prefix("port=")).unwrap_or("5432").into();
        let cluster = Self { server, dir, port, databases: AtomicU32::new(0) };
        cluster.wait();
        cluster
    }

    /// A new, empty schema: to a store as good as a database, and made in milliseconds.
    pub(crate) fn database(&self) -> Db {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let url = self.url();
        let statement = format!("CREATE SCHEMA {name}");
        run(async move {
            use sqlx::Connection as _;
            let mut conn = sqlx::AnyConnection::connect(&url).await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        });
        let url = format!("{}&options[search_path]={name}", self.url());
        Db { url, files: self.dir.path().join("data") }
    }

    fn url(&self) -> String {
        let dir = self.dir.path().to_str().unwrap();
        format!("postgres:///postgres?host={dir}&port={}&user=phiward", self.port)
    }

    fn wait(&self) {
        sqlx::any::install_default_drivers();
        let url = self.url();
        run(async move {
            use sqlx::Connection as _;
            for _ in 0..300 {
                if let Ok(conn) = sqlx::AnyConnection::connect(&url).await {
                    conn.close().await.unwrap();
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("PostgreSQL did not start within 30 seconds");
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = self.server.id().to_string();
        // SIGINT is PostgreSQL's fast shutdown; a dirty end would leave shared memory behind.
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        for _ in 0..100 {
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
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
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    found.sort();
    if let Some((_, bin)) = found.pop() {
        return bin;
    }
    let asked = Command::new("pg_config").arg("--bindir").output();
    let bin = asked.ok().map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
    bin.filter(|bin| bin.join("initdb").is_file())
        .expect("PostgreSQL is missing: apt-get install postgresql")
}
