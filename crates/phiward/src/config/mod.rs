//! `phiward.toml`: every key known, every error with file, line and key. Secrets are named, never
//! written: `{ file = "…" }` or `{ env = "…" }`. Paths are relative to the file.

mod file;
mod keys;
mod ledger;
mod template;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::Spanned;

pub(crate) use file::schema;
use file::{Empty, File, TextOrEnv};
pub(crate) use keys::{KeysConfig, PinSource, TokenConfig};
pub(crate) use ledger::{LagConfig, LedgerConfig, StreamConfig, WitnessConfig, WormConfig};
pub(crate) use template::Template;

/// A configuration that cannot be used; prints as one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {what}", path = path.display())]
    Malformed { path: PathBuf, line: usize, what: String },
    #[error("{path}:{line}: {key}: {what}", path = path.display())]
    Value { path: PathBuf, line: usize, key: &'static str, what: String },
}

/// A configuration, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) issuer: String,
    pub(crate) listen: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) tls_certificate: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) database: String,
    pub(crate) keys: KeysConfig,
    pub(crate) keys_dir: PathBuf,
    pub(crate) ledger: LedgerConfig,
    pub(crate) password_exceptions: bool,
    pub(crate) access_token_secs: i64,
    pub(crate) upstream: String,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) upstream_get: bool,
    pub(crate) log: String,
    pub(crate) log_json: bool,
    /// Whether the demo's own app has its page; no file says so.
    pub(crate) demo: bool,
}

impl Config {
    /// Reads and checks a configuration file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let at = |offset: usize| line_of(text, offset);
        let file: File = toml::from_str(text).map_err(|error| ConfigError::Malformed {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| at(span.start)),
            what: error.message().lines().next().unwrap_or("malformed").to_owned(),
        })?;
        let wrong =
            |key: &'static str, span: std::ops::Range<usize>, what: &str| ConfigError::Value {
                path: path.to_owned(),
                line: at(span.start),
                key,
                what: what.to_owned(),
            };
        let address = |key, value: &Spanned<String>| {
            value
                .get_ref()
                .parse::<SocketAddr>()
                .map_err(|_| wrong(key, value.span(), "not an address like 127.0.0.1:8443"))
        };
        let base = path.parent().unwrap_or(Path::new("."));
        let under = |relative: &Path| base.join(relative);

        let issuer = &file.server.issuer;
        let lawful = issuer.get_ref().strip_prefix("https://").is_some_and(|rest| {
            !rest.is_empty() && !rest.ends_with('/') && !rest.contains(['?', '#', '@', ' '])
        });
        if !lawful {
            let what = "an https URL without query, fragment or trailing slash";
            return Err(wrong("server.issuer", issuer.span(), what));
        }
        let internal = address("server.internal", &file.server.internal)?;
        if !internal.ip().is_loopback() {
            let what = "the internal listener is plain http and stays on loopback";
            return Err(wrong("server.internal", file.server.internal.span(), what));
        }
        let span = file.database.url.span();
        let url = match file.database.url.into_inner() {
            TextOrEnv::Text(url) => url,
            TextOrEnv::Env { env } => variable(&env)
                .ok_or_else(|| wrong("database.url", span.clone(), "that variable is not set"))?,
        };
        let database = if let Some(rest) = url.strip_prefix("sqlite:") {
            format!("sqlite:{}", under(Path::new(rest)).display())
        } else if url.starts_with("postgres://") {
            url
        } else {
            return Err(wrong("database.url", span, "begins with sqlite: or postgres://"));
        };
        let password_exceptions = match &file.policy.password_grant {
            None => false,
            Some(value) => match value.get_ref().as_str() {
                "off" => false,
                "exceptions" => true,
                _ => {
                    let what = "\"off\" or \"exceptions\"";
                    return Err(wrong("policy.password_grant", value.span(), what));
                }
            },
        };
        let access_token_secs = match &file.policy.access_token {
            None => 300,
            Some(value) => {
                duration(value.get_ref()).filter(|secs| (1..=3_600).contains(secs)).ok_or_else(
                    || wrong("policy.access_token", value.span(), "between \"1s\" and \"1h\""),
                )?
            }
        };
        let resource = match file.resource.as_slice() {
            [one] => one,
            _ => {
                return Err(ConfigError::Malformed {
                    path: path.to_owned(),
                    line: 1,
                    what: "exactly one [[resource]] is in this version".to_owned(),
                });
            }
        };
        if resource.kind.get_ref() != "fhir" {
            let what = "only \"fhir\" is in this version";
            return Err(wrong("resource.kind", resource.kind.span(), what));
        }
        if resource.name.get_ref() != "fhir" {
            let what = "only \"fhir\" is in this version";
            return Err(wrong("resource.name", resource.name.span(), what));
        }
        let upstream = &resource.upstream;
        if !upstream.get_ref().starts_with("https://") && !upstream.get_ref().starts_with("http://")
        {
            return Err(wrong("resource.upstream", upstream.span(), "an http or https URL"));
        }
        let log_json = match &file.telemetry.format {
            None => false,
            Some(value) => match value.get_ref().as_str() {
                "text" => false,
                "json" => true,
                _ => return Err(wrong("telemetry.format", value.span(), "\"text\" or \"json\"")),
            },
        };
        let ledger = file.ledger.check(&under, &wrong)?;
        let keys = file.keys.check(&under, &wrong)?;
        let (Empty {}, Empty {}) = (file.identity, file.limits);
        Ok(Self {
            path: path.to_owned(),
            issuer: issuer.get_ref().clone(),
            listen: address("server.listen", &file.server.listen)?,
            internal,
            data: under(&file.server.data),
            tls_certificate: under(&file.server.tls.certificate),
            tls_key: under(&file.server.tls.key.file),
            database,
            keys_dir: keys.dir.clone(),
            keys,
            ledger,
            password_exceptions,
            access_token_secs,
            upstream: upstream.get_ref().clone(),
            upstream_ca: resource.upstream_ca.as_deref().map(under),
            upstream_get: resource.search_by_get,
            log: file.telemetry.log.unwrap_or_else(|| "info".to_owned()),
            log_json,
            demo: false,
        })
    }

    /// Where the ledger's keys are: outside its directory, so that a copy of one is not both.
    pub(crate) fn ledger_keys(&self) -> PathBuf {
        self.keys_dir.join("ledger")
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place where configuration is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// `"5m"`, `"90d"` and the like, in seconds.
fn duration(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = text.get(..digits)?.parse().ok()?;
    let unit = match text.get(digits..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> String {
        Template {
            issuer: "https://phiward.example",
            listen: "127.0.0.1:8443".parse().unwrap(),
            internal: "127.0.0.1:8444".parse().unwrap(),
            upstream: "http://127.0.0.1:8080/fhir",
            password_grant: "off",
        }
        .render()
    }

    fn error(text: &str) -> String {
        Config::parse(Path::new("/x/phiward.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn the_written_file_reads_back() {
        let config = Config::parse(Path::new("/x/phiward.toml"), &template()).unwrap();
        assert_eq!(config.database, "sqlite:/x/data/phiward.db");
        assert_eq!(config.access_token_secs, 300);
        assert!(!config.password_exceptions);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let text = template();
        let unknown = text.replace("[ledger]\n", "[ledger]\nfloppy = true\n");
        let line = unknown.lines().position(|l| l.starts_with("floppy")).unwrap() + 1;
        let message = error(&unknown);
        assert!(message.starts_with(&format!("/x/phiward.toml:{line}: ")), "{message}");
        assert!(message.contains("floppy"), "{message}");

        for (from, to, key) in [
            ("https://phiward.example", "http://phiward.example", "server.issuer"),
            ("https://phiward.example", "https://phiward.example/", "server.issuer"),
            ("127.0.0.1:8444", "0.0.0.0:8444", "server.internal"),
            ("\"127.0.0.1:8443\"", "\"8443\"", "server.listen"),
            ("sqlite:data/phiward.db", "mysql:x", "database.url"),
            ("provider = \"file\"", "provider = \"kms\"", "keys.provider"),
            ("password_grant = \"off\"", "password_grant = \"on\"", "policy.password_grant"),
            ("access_token = \"5m\"", "access_token = \"2h\"", "policy.access_token"),
            ("kind = \"fhir\"", "kind = \"http\"", "resource.kind"),
            ("format = \"text\"", "format = \"xml\"", "telemetry.format"),
        ] {
            let message = error(&text.replacen(from, to, 1));
            assert!(message.contains(key), "{key}: {message}");
            let line: usize = message.split(':').nth(1).unwrap().parse().unwrap();
            assert!(line > 1, "{message}");
        }
    }

    #[test]
    fn the_schema_knows_every_section_of_the_written_file() {
        let schema = schema();
        let file: toml::Table = template().parse().unwrap();
        for section in file.keys() {
            assert!(schema["properties"].get(section).is_some(), "{section}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn a_variable_that_is_not_set_is_an_error() {
        let text = template()
            .replace("\"sqlite:data/phiward.db\"", "{ env = \"PHIWARD_NO_SUCH_VARIABLE\" }");
        assert!(error(&text).contains("database.url: that variable is not set"));
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90d"), Some(7_776_000));
        for bad in ["", "5", "m", "5 m", "5w", "-5m", "99999999999999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
