//! The shape of `phiward.toml`, and its JSON Schema made of the same types.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::keys::Keys;
use super::ledger::Ledger;

/// Phiward's configuration.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) database: Database,
    pub(super) keys: Keys,
    pub(super) ledger: Ledger,
    #[serde(default)]
    pub(super) policy: Policy,
    /// The protected APIs; exactly one of kind "fhir" is in this version.
    #[serde(default)]
    pub(super) resource: Vec<Resource>,
    #[serde(default)]
    pub(super) telemetry: Telemetry,
    /// Nothing can be set here in this version.
    #[serde(default)]
    pub(super) identity: Empty,
    /// Nothing can be set here in this version.
    #[serde(default)]
    pub(super) limits: Empty,
}

/// This node's listeners and files.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// `iss`: an https URL without query, fragment or trailing slash.
    #[schemars(with = "String")]
    pub(super) issuer: Spanned<String>,
    /// Address of the TLS listener, like "127.0.0.1:8443".
    #[schemars(with = "String")]
    pub(super) listen: Spanned<String>,
    /// Loopback address of health and metrics.
    #[schemars(with = "String")]
    pub(super) internal: Spanned<String>,
    /// Directory of this node's lock and administration socket.
    pub(super) data: PathBuf,
    pub(super) tls: Tls,
}

/// The server's certificate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// PEM chain, the server's certificate first.
    pub(super) certificate: PathBuf,
    pub(super) key: FileRef,
}

/// A secret in a file that only its owner can read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRef {
    pub(crate) file: PathBuf,
}

/// A text that may be a secret: as it is, or named by the environment variable that holds it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum TextOrEnv {
    /// As it is.
    Text(String),
    /// Held by an environment variable.
    Env {
        /// The variable's name.
        env: String,
    },
}

/// The database.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Database {
    /// "sqlite:FILE" or "postgres://…"; with a password in it: { env = "NAME" }.
    #[schemars(with = "TextOrEnv")]
    pub(super) url: Spanned<TextOrEnv>,
}

/// Rules for every client.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// "off" (default) or "exceptions".
    #[schemars(with = "Option<String>")]
    pub(super) password_grant: Option<Spanned<String>>,
    /// Life of an access token, "1s" to "1h"; default "5m".
    #[schemars(with = "Option<String>")]
    pub(super) access_token: Option<Spanned<String>>,
}

/// A protected API.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    /// "fhir": its prefix.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// "fhir".
    #[schemars(with = "String")]
    pub(super) kind: Spanned<String>,
    /// The FHIR base; plain http on loopback only.
    #[schemars(with = "String")]
    pub(super) upstream: Spanned<String>,
    /// PEM certificate authority for an https upstream, beside the web's.
    pub(super) upstream_ca: Option<PathBuf>,
    /// Search by GET, for an upstream without POST `_search`.
    #[serde(default)]
    pub(super) search_by_get: bool,
}

/// Logs.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Telemetry {
    /// "error", "warn", "info" (default) or "debug".
    pub(super) log: Option<String>,
    /// "text" (default) or "json".
    #[schemars(with = "Option<String>")]
    pub(super) format: Option<Spanned<String>>,
}

/// A section that is reserved.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// The JSON Schema of the file.
pub(crate) fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}
