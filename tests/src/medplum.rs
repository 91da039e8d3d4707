//! Medplum's in-memory FHIR router, an upstream written by others (`tests/partners/medplum/server.mjs`).
//!
//! Its ways, as measured: POST `_search` reads the form and ignores the query string; bundles have a
//! `total` and never a `link`, so there is nothing to page by; without `_count` it returns everything;
//! an unknown parameter matches nothing (an empty bundle, no error); a bare `category=laboratory` also
//! matches codings whose display says so, so compare by `system|code`; `_id`, `_sort`, `_lastUpdated`,
//! `date`, `code`, `patient=ID` and `subject=Patient/ID` work; `_elements`, `/metadata` do not.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::https::Client;
use crate::partners::Partners;
use crate::process::Part;
use crate::records;

/// A running router holding the demo's records.
#[derive(Debug)]
pub struct Medplum {
    /// The FHIR base, plain http on loopback.
    pub base: String,
    _part: Part,
    _folder: TempDir,
}

impl Medplum {
    /// Starts it and loads every record under its own id.
    pub async fn start() -> Self {
        Self::run(false).await
    }

    /// The same, answering every search with everything there is and every read with another resource.
    pub async fn start_deaf() -> Self {
        Self::run(true).await
    }

    async fn run(deaf: bool) -> Self {
        let partners = Partners::ready();
        let folder = tempfile::tempdir().unwrap();
        let mut command = partners.node("medplum/server.mjs");
        if deaf {
            command.env("PHIWARD_DEAF", "1");
        }
        let mut part = Part::start("medplum", command, folder.path());
        let line = part.json_line(Duration::from_secs(60));
        let ready: Value = serde_json::from_str(&line).unwrap();
        let base = ready["base"].as_str().unwrap().to_owned();
        let body: String = records::all().iter().map(|record| format!("{record}\n")).collect();
        let load = base.replace("/fhir/R4", "/load");
        let answer = Client::plain()
            .send("POST", &load, &[("content-type", "application/fhir+ndjson")], body)
            .await;
        assert_eq!(answer.status, 200, "Medplum did not load: {}", answer.text());
        Self { base, _part: part, _folder: folder }
    }
}
