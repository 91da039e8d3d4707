//! `phiward demo` as a process, and what it said about itself.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::https::Client;
use crate::person::Person;
use crate::process::{Part, phiward, run};

/// Debug builds hash passwords slowly, and two cores are shared.
const READY: Duration = Duration::from_secs(60);

/// The line that `phiward demo --json` prints.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// The issuer, `https://localhost:PORT`.
    pub issuer: String,
    /// The FHIR base behind the gateway.
    pub fhir_base: String,
    /// The certificate authority's PEM file.
    pub ca_file: PathBuf,
    /// The admin API's base.
    pub admin_api: String,
    /// The file with the admin API's token.
    pub admin_token_file: PathBuf,
    /// The configuration that every `phiward … -c` takes.
    pub config: PathBuf,
    /// The people.
    pub users: Vec<DemoUser>,
    /// The apps.
    pub clients: Vec<DemoClient>,
    /// The ledger's folder.
    pub ledger: PathBuf,
    /// The loopback listener of `/healthz`, `/readyz`, `/metrics`.
    pub internal: String,
    /// The process id.
    pub pid: u32,
}

/// A person of the demo.
#[derive(Debug, Clone, Deserialize)]
pub struct DemoUser {
    /// The name to sign in with.
    pub username: String,
    /// The password.
    pub password: String,
    /// `patient`, `clinician`, `privacy_officer`.
    pub role: String,
    /// The Patient id the account is linked to.
    pub patient: Option<String>,
}

/// An app of the demo.
#[derive(Debug, Clone, Deserialize)]
pub struct DemoClient {
    /// The id.
    pub client_id: String,
    /// `public`, `confidential`, `backend`, `password`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The registered redirect URI.
    pub redirect_uri: Option<String>,
    /// The secret.
    pub client_secret: Option<String>,
    /// The private key of a backend client.
    pub jwk_file: Option<PathBuf>,
}

impl Ready {
    /// A person by name; panics if unknown.
    pub fn user(&self, username: &str) -> &DemoUser {
        let found = self.users.iter().find(|user| user.username == username);
        found.unwrap_or_else(|| panic!("the demo has no {username}"))
    }

    /// An app by id; panics if unknown.
    pub fn client(&self, client_id: &str) -> &DemoClient {
        let found = self.clients.iter().find(|client| client.client_id == client_id);
        found.unwrap_or_else(|| panic!("the demo has no {client_id}"))
    }

    /// The Patient id of a person.
    pub fn patient(&self, username: &str) -> &str {
        self.user(username).patient.as_deref().expect("a patient's account")
    }
}

/// A running demo in a temporary folder.
#[derive(Debug)]
pub struct Demo {
    /// What it printed when ready.
    pub ready: Ready,
    /// The same, as the line of JSON that scripts are given.
    pub line: String,
    /// A client that trusts its certificate authority.
    pub client: Client,
    arguments: Vec<String>,
    starts: u32,
    part: Part,
    folder: TempDir,
}

impl Demo {
    /// Starts it with these further arguments and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let (part, line, ready) = launch(folder.path(), "127.0.0.1:0", &arguments, 1);
        let ca = std::fs::read_to_string(&ready.ca_file).unwrap();
        Self { client: Client::trusting(&ca), ready, line, arguments, starts: 1, part, folder }
    }

    /// Before a FHIR server of somebody else: amina and brook become its first two patients.
    pub fn before(upstream: &str, patients: &[String]) -> Self {
        let pair = patients.get(..2).expect("two patients").join(",");
        Self::start(&["--upstream", upstream, "--patients", &pair])
    }

    /// A person of the demo, with a browser of their own.
    pub fn person(&self, username: &str) -> Person {
        let user = self.ready.user(username);
        Person::new(self.client.clone(), username, &user.password)
    }

    /// A URL under the FHIR base.
    pub fn fhir(&self, path: &str) -> String {
        format!("{}/{path}", self.ready.fhir_base)
    }

    /// Runs `phiward ARGUMENTS -c CONFIG` beside the running server.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(phiward());
        command.args(arguments).arg("-c").arg(&self.ready.config);
        run("phiward", command, Duration::from_secs(60))
    }

    /// SIGKILL.
    pub fn kill_9(&mut self) {
        self.part.kill_9();
    }

    /// SIGTERM and the exit status.
    pub fn stop(&mut self) -> ExitStatus {
        self.part.stop()
    }

    /// Starts again on the same data and the same port; the process must have ended.
    pub fn restart(&mut self) {
        let port = url::Url::parse(&self.ready.issuer).unwrap().port().unwrap();
        self.starts += 1;
        let listen = format!("127.0.0.1:{port}");
        let (part, line, ready) = launch(self.folder.path(), &listen, &self.arguments, self.starts);
        (self.part, self.line, self.ready) = (part, line, ready);
    }

    /// Stops it and runs `phiward serve` on the same data with this configuration, which names the
    /// same address. The FHIR endpoint that was inside the demo is gone.
    pub fn serve(&mut self, config: &Path) {
        self.stop();
        self.starts += 1;
        let mut command = Command::new(phiward());
        command.arg("serve").arg("-c").arg(config).current_dir(self.folder.path());
        let mut part = Part::start(&format!("demo-{}", self.starts), command, self.folder.path());
        // Its ports are bound before the ledger is open; this it says last.
        let out = self.folder.path().join(format!("demo-{}.stderr", self.starts));
        part.wait_for("word that it listens", READY, || {
            std::fs::read_to_string(&out).ok().filter(|said| said.contains("listening"))
        });
        self.part = part;
        self.ready.config = config.to_owned();
    }

    /// The data directory: database, keys, ledger, configuration.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything that all runs so far wrote to standard output and standard error, apart from
    /// the line of JSON, which is meant to carry secrets.
    pub fn said(&self) -> String {
        let mut said = String::new();
        for run in 1..=self.starts {
            for stream in ["stdout", "stderr"] {
                let path = self.folder.path().join(format!("demo-{run}.{stream}"));
                let text = std::fs::read(path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                said.extend(
                    text.lines()
                        .filter(|line| !(line.starts_with('{') && line.contains("\"issuer\":")))
                        .flat_map(|line| [line, "\n"]),
                );
            }
        }
        said
    }
}

fn launch(folder: &Path, listen: &str, arguments: &[String], run: u32) -> (Part, String, Ready) {
    let mut command = Command::new(phiward());
    command
        .arg("demo")
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--listen", listen, "--json"])
        .args(arguments)
        .current_dir(folder);
    let mut part = Part::start(&format!("demo-{run}"), command, folder);
    let line = part.json_line(READY);
    let ready = serde_json::from_str(&line)
        .unwrap_or_else(|error| panic!("the demo's line of JSON: {error}: {line}"));
    (part, line, ready)
}
