//! What a demo's data directory remembers of its people and apps, so that it can be started again.
//! The file holds passwords of synthetic people and is readable by its owner only.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;

/// A person of the demo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DemoUser {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patient: Option<String>,
}

/// People and secrets of one data directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DemoData {
    pub(crate) users: Vec<DemoUser>,
    pub(crate) confidential_secret: String,
    pub(crate) legacy_secret: String,
}

/// Where `demo-native` and `demo-confidential` receive their codes; the port may vary.
pub(crate) const NATIVE_REDIRECT: &str = "http://127.0.0.1:9999/callback";

impl DemoData {
    /// Reads what an earlier start left, if there was one.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        if !path.exists() {
            return Ok(None);
        }
        let bytes =
            keys::key_file::read(path).map_err(|error| Failure::usage(error.to_string()))?;
        let damaged =
            |_| Failure::usage(format!("{} is damaged; use another --data", path.display()));
        serde_json::from_slice(bytes.expose()).map(Some).map_err(damaged)
    }

    /// Keeps it for the next start.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|_| Failure::internal())?;
        keys::key_file::create(path, &bytes).map_err(|error| Failure::usage(error.to_string()))
    }

    /// The demo's apps as its `--json` line tells them.
    pub(crate) fn clients(&self, issuer: &str, jwk_file: &str) -> Value {
        json!([
            { "client_id": "demo-web", "type": "public",
              "redirect_uri": format!("{issuer}/demo/callback") },
            { "client_id": "demo-confidential", "type": "confidential",
              "client_secret": self.confidential_secret, "redirect_uri": NATIVE_REDIRECT },
            { "client_id": "demo-native", "type": "public", "redirect_uri": NATIVE_REDIRECT },
            { "client_id": "demo-backend", "type": "backend", "jwk_file": jwk_file },
            { "client_id": "demo-legacy", "type": "password", "client_secret": self.legacy_secret },
        ])
    }

    /// The person of this name.
    pub(crate) fn user(&self, username: &str) -> Result<&DemoUser, Failure> {
        self.users.iter().find(|user| user.username == username).ok_or_else(Failure::internal)
    }
}
