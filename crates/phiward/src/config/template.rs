//! The commented `phiward.toml` that `init` and `demo` write.

use std::net::SocketAddr;

/// The commented file that `init` and `demo` write.
pub(crate) struct Template<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) listen: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) upstream: &'a str,
    pub(crate) password_grant: &'a str,
}

impl Template<'_> {
    /// The file's text.
    pub(crate) fn render(&self) -> String {
        let Self { issuer, listen, internal, upstream, password_grant } = self;
        format!(
            r#"# Phiward. Unknown keys are errors; paths are relative to this file; secrets are named, not written.

[server]
# What tokens say in `iss`, and what every URL is built from. https, no trailing slash.
issuer = "{issuer}"
# Where to listen, TLS 1.2 and 1.3 only.
listen = "{listen}"
# Health and metrics, plain http, loopback only: /healthz /readyz /metrics
internal = "{internal}"
# The lock and the administration socket of this node.
data = "data"

[server.tls]
# PEM; the chain, the server's certificate first. Reloaded on SIGHUP.
certificate = "tls/server.pem"
key = {{ file = "tls/server.key" }}

[database]
# "sqlite:FILE" or "postgres://…"; with a password in it: url = {{ env = "NAME" }}
url = "sqlite:data/phiward.db"

[keys]
# Who keeps the key-encryption key: "file", or "pkcs11" for a hardware module.
provider = "file"
# Keep a copy of this file in a safe: without it nothing that is sealed can be read again.
kek = {{ file = "keys/kek.key" }}
# Wrapped data keys and the ledger's signing keys.
dir = "keys"
# [keys.pkcs11]
# module = "/usr/lib/softhsm/libsofthsm2.so"
# token = "phiward"
# key = "phiward-kek"
# pin = {{ file = "keys/pin" }}

[ledger]
# One directory for each node. Every key: docs/reference/configuration.md
dir = "ledger"
# How long records are kept: six years at least.
# retention = "2192d"
# Search tokens in the log ("leaf"), or in the server's own index only ("index").
# blind_tokens = "leaf"
# Who may read on this host: the "operator", or a privacy "officer" who signs in.
# reading = "operator"

# Others who sign the ledger's checkpoints, so that nobody here can rewrite it unseen:
# [[ledger.witness]]
# url = "https://witness.example"
# key = "witness.example/w1+hash+base64"
# [ledger.witnesses]
# "warn", or "stop": then no PHI leaves while they lag by more than max_lag.
# on_lag = "stop"
# max_lag = "10m"

# A copy that nobody can change or delete, in a bucket with S3 Object Lock:
# [ledger.worm]
# endpoint = "https://s3.eu-central-1.amazonaws.com"
# region = "eu-central-1"
# bucket = "phiward-ledger"
# access_key = {{ file = "keys/worm.access" }}
# secret_key = {{ file = "keys/worm.secret" }}

# Records sent on as they are made, decrypted: a file, syslog over TLS, or an https collector.
# [[ledger.stream]]
# to = "syslog+tls://siem.example:6514"
# format = "json"

[policy]
# "off", or "exceptions" for clients that carry one with an owner, a reason and an end.
password_grant = "{password_grant}"
# Life of an access token, at most "1h".
access_token = "5m"

[[resource]]
name = "fhir"
kind = "fhir"
# The FHIR R4 server behind the gateway. Plain http only on loopback.
upstream = "{upstream}"
# A certificate authority of your own for an https upstream:
# upstream_ca = "tls/upstream-ca.pem"
# For a server that has no POST _search:
# search_by_get = true

[telemetry]
# error, warn, info, debug
log = "info"
# "text" or "json"
format = "text"
"#
        )
    }
}
