//! Ceph's S3 gateway, a locked bucket written by others: its Object Lock rules hold even against the
//! bucket's owner.
//!
//! Its ways, as measured with 16.2: up in 11 quiet seconds; ignores `If-None-Match: *` on PUT; keeps no
//! `x-amz-checksum-…`; answers HEAD of an object under a delete marker with a bare 404.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::helios::free_port;
use crate::partners::Partners;
use crate::process::{Part, run};

/// The owner of its buckets.
pub const ACCESS_KEY: &str = "AKIAPHIWARDTEST";
/// Its secret.
pub const SECRET_KEY: &str = "radosgw-of-the-test/+secret";

/// A running gateway with one monitor and one store, all in memory and on loopback.
#[derive(Debug)]
pub struct Radosgw {
    /// The S3 endpoint, plain http on loopback.
    pub endpoint: String,
    // Dropped in this order.
    gateway: Option<Part>,
    _osd: Part,
    _mon: Part,
    starts: u32,
    folder: TempDir,
}

/// What S3 answered.
#[derive(Debug)]
pub struct S3Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl S3Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

const START: Duration = Duration::from_secs(120);

impl Radosgw {
    /// Starts it, with its owner and no bucket.
    pub fn start() -> Self {
        Partners::ready();
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        for part in ["mon", "osd", "rgw", "run"] {
            fs::create_dir(dir.join(part)).unwrap();
        }
        let (mon_port, port) = (free_port(), free_port());
        let (fsid, osd) = (uuid(), uuid());
        fs::write(dir.join("ceph.conf"), configuration(&dir, &fsid, mon_port, port)).unwrap();

        let mon_at = format!("[v1:127.0.0.1:{mon_port}]");
        done(&dir, "monmaptool", &["--create", "--fsid", &fsid, "--addv", "a", &mon_at, "monmap"]);
        done(&dir, "ceph-mon", &["--mkfs", "-i", "a", "--monmap", "monmap"]);
        let mon = Part::start("mon", ceph(&dir, "ceph-mon", &["-i", "a", "--foreground"]), &dir);
        done(&dir, "ceph", &["osd", "new", &osd]);
        done(&dir, "ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", &osd]);
        let at = ["osd", "crush", "add", "osd.0", "1", "root=default", "host=localhost"];
        done(&dir, "ceph", &at);
        let osd = store(&dir);
        let key = format!("--access-key={ACCESS_KEY}");
        let secret = format!("--secret={SECRET_KEY}");
        let user = ["-n", "client.rgw.a", "user", "create", "--uid=phiward"];
        let user = [&user[..], &["--display-name=phiward", &key, &secret]].concat();
        done(&dir, "radosgw-admin", &user);
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut radosgw = Self { endpoint, gateway: None, _osd: osd, _mon: mon, starts: 0, folder };
        radosgw.start_gateway();
        radosgw
    }

    /// Ends the gateway; what is stored stays.
    pub fn stop_gateway(&mut self) {
        self.gateway = None;
    }

    /// Starts the gateway again.
    pub fn start_gateway(&mut self) {
        self.starts += 1;
        let dir = self.folder.path();
        let name = format!("radosgw-{}", self.starts);
        let command = ceph(dir, "radosgw", &["-n", "client.rgw.a", "--foreground"]);
        let mut part = Part::start(&name, command, dir);
        let address = self.endpoint.trim_start_matches("http://").to_owned();
        part.wait_for("open port", START, || std::net::TcpStream::connect(&address).ok());
        self.gateway = Some(part);
    }

    /// Makes a bucket, with Object Lock or without.
    pub fn make_bucket(&self, name: &str, locks: bool) {
        let lock = if locks { "true" } else { "false" };
        let lock = format!("x-amz-bucket-object-lock-enabled: {lock}");
        let answer = self.s3("PUT", &format!("/{name}"), &[&lock], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// A request as the buckets' owner, signed and sent by curl.
    pub fn s3(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> S3Answer {
        let folder = tempfile::tempdir().unwrap();
        let (sent, got) = (folder.path().join("sent"), folder.path().join("got"));
        let said = folder.path().join("headers");
        fs::write(&sent, body).unwrap();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "60", "--aws-sigv4"])
            .args(["aws:amz:us-east-1:s3", "--user", &format!("{ACCESS_KEY}:{SECRET_KEY}")])
            .args([
                "-H",
                &format!("x-amz-content-sha256: {hash}"),
                "-H",
                "Content-Type: text/plain",
            ])
            .args(headers.iter().flat_map(|header| ["-H", header]))
            .arg("--dump-header")
            .arg(&said)
            .arg("--output")
            .arg(&got);
        match method {
            "HEAD" => command.arg("--head"),
            _ => command.args(["-X", method]),
        };
        if !body.is_empty() {
            command.arg("--data-binary").arg(format!("@{}", sent.display()));
        }
        command.arg(format!("{}{path}", self.endpoint));
        let output = run("curl", command, Duration::from_secs(70));
        assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
        let said = fs::read_to_string(said).unwrap();
        // An interim 100 comes first.
        let last = said.trim_end().rsplit("\r\n\r\n").next().unwrap();
        let mut lines = last.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        S3Answer { status, headers, body: fs::read(got).unwrap_or_default() }
    }

    /// The versions that the bucket lists under a prefix: key and version id.
    pub fn versions(&self, bucket: &str, prefix: &str) -> Vec<(String, String)> {
        let path =
            format!("/{bucket}?max-keys=1000&prefix={}&versions=", prefix.replace('/', "%2F"));
        let text = self.s3("GET", &path, &[], b"").text();
        let inner = |text: &str, name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>")).unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        let each = text.split("<Version>").skip(1);
        each.map(|one| (inner(one, "Key"), inner(one, "VersionId"))).collect()
    }
}

/// The store, up. On a busy machine it may speak to the monitor before it has been told its name, ends
/// with "wrong fsid", and is started again.
fn store(dir: &Path) -> Part {
    let start = || Part::start("osd", ceph(dir, "ceph-osd", &["-i", "0", "--foreground"]), dir);
    let begun = Instant::now();
    let mut osd = start();
    loop {
        let stat = run("ceph", ceph(dir, "ceph", &["osd", "stat", "-f", "json"]), START);
        if String::from_utf8_lossy(&stat.stdout).contains("\"num_up_osds\":1") {
            return osd;
        }
        assert!(begun.elapsed() < START, "the store is not up: {}", osd.output());
        if osd.has_ended() {
            osd = start();
        }
    }
}

fn uuid() -> String {
    fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().trim().to_owned()
}

fn ceph(dir: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("CEPH_CONF", dir.join("ceph.conf")).current_dir(dir);
    command
}

fn done(dir: &Path, program: &str, arguments: &[&str]) {
    let output = run(program, ceph(dir, program, arguments), START);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn configuration(dir: &Path, fsid: &str, mon_port: u16, port: u16) -> String {
    let at = |part: &str| -> PathBuf { dir.join(part) };
    let (mon, osd, rgw, run) = (at("mon"), at("osd"), at("rgw"), at("run"));
    let (mon, osd, rgw, run) = (mon.display(), osd.display(), rgw.display(), run.display());
    format!(
        "[global]\n\
         fsid = {fsid}\n\
         mon initial members = a\n\
         mon host = [v1:127.0.0.1:{mon_port}]\n\
         ms bind msgr2 = false\n\
         public addr = 127.0.0.1\n\
         cluster addr = 127.0.0.1\n\
         auth cluster required = none\n\
         auth service required = none\n\
         auth client required = none\n\
         osd pool default size = 1\n\
         osd pool default min size = 1\n\
         osd pool default pg num = 1\n\
         osd pool default pgp num = 1\n\
         osd crush chooseleaf type = 0\n\
         mon allow pool size one = true\n\
         mon max pg per osd = 1000\n\
         mon data avail crit = 1\n\
         osd objectstore = memstore\n\
         memstore device bytes = 1073741824\n\
         mon data = {mon}\n\
         osd data = {osd}\n\
         rgw data = {rgw}\n\
         run dir = {run}\n\
         admin socket = {run}/$name.asok\n\
         pid file = {run}/$name.pid\n\
         log file =\n\
         log to stderr = false\n\
         err to stderr = true\n\
         mon cluster log to stderr = false\n\
         mon cluster log file =\n\
         [client.rgw.a]\n\
         rgw frontends = beast endpoint=127.0.0.1:{port}\n"
    )
}
