//! The `[ledger]` section: where the record is, who else vouches for it, where its copies go. What
//! comes out of [`Ledger::check`] can be used as it is; each error names its key.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ledger::note::VerifierKey;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::file::FileRef;
use super::{ConfigError, duration};

/// The record.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    /// One directory for each node.
    dir: PathBuf,
    /// How long records are kept: "2192d" (six years, the least that HIPAA allows) or more.
    #[schemars(with = "Option<String>")]
    retention: Option<Spanned<String>>,
    /// Where the blind search tokens stand: in the "leaf" (default), or in the "index" only.
    #[schemars(with = "Option<String>")]
    blind_tokens: Option<Spanned<String>>,
    /// Who may read on this host: the "operator" (default), or a privacy "officer" who signs in.
    #[schemars(with = "Option<String>")]
    reading: Option<Spanned<String>>,
    /// Who else signs the checkpoints.
    #[serde(default)]
    witness: Vec<Witness>,
    /// How many witnesses must have signed, and how late they may be.
    #[serde(default)]
    witnesses: Lag,
    /// The copy that nobody can change or delete.
    worm: Option<Worm>,
    /// Where records are sent as they are made.
    #[serde(default)]
    stream: Vec<Stream>,
}

/// A witness (C2SP tlog-witness).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Witness {
    /// Its submission prefix, https (or http on loopback).
    #[schemars(with = "String")]
    url: Spanned<String>,
    /// Its verifier key, as it prints it.
    #[schemars(with = "String")]
    key: Spanned<String>,
    /// PEM certificate authority of the witness, beside the web's.
    ca: Option<PathBuf>,
}

/// How far an outside copy may lag, and what happens then.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lag {
    /// How many witnesses must have signed; default: all of them.
    #[schemars(with = "Option<u32>")]
    quorum: Option<Spanned<u32>>,
    /// How old the newest copy or cosignature may be while there is something newer; default "10m".
    #[schemars(with = "Option<String>")]
    max_lag: Option<Spanned<String>>,
    /// "warn" (default), or "stop": then no PHI leaves until they have caught up.
    #[schemars(with = "Option<String>")]
    on_lag: Option<Spanned<String>>,
}

/// A bucket with S3 Object Lock.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Worm {
    /// https (or http on loopback) URL of the S3 endpoint; the bucket is named in the path.
    #[schemars(with = "String")]
    endpoint: Spanned<String>,
    /// It must have been made with Object Lock.
    #[schemars(with = "String")]
    bucket: Spanned<String>,
    /// Default "us-east-1".
    region: Option<String>,
    /// Before each object's name; default none. A folder of its own ends in a slash.
    #[schemars(with = "Option<String>")]
    prefix: Option<Spanned<String>>,
    /// The access key id.
    access_key: FileRef,
    /// The secret access key.
    secret_key: FileRef,
    /// PEM certificate authority of the endpoint, beside the web's.
    ca: Option<PathBuf>,
    #[schemars(with = "Option<String>")]
    max_lag: Option<Spanned<String>>,
    #[schemars(with = "Option<String>")]
    on_lag: Option<Spanned<String>>,
}

/// Somewhere that records are sent as they are made; never waited for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stream {
    /// "file:PATH", "syslog+tls://HOST:6514" or an https URL (http on loopback).
    #[schemars(with = "String")]
    to: Spanned<String>,
    /// "json" (default) or "fhir".
    #[schemars(with = "Option<String>")]
    format: Option<Spanned<String>>,
    /// A bearer token for an https collector.
    token: Option<FileRef>,
    /// PEM certificate authority of the collector, beside the web's.
    ca: Option<PathBuf>,
}

/// The section, checked.
#[derive(Debug, Clone)]
pub(crate) struct LedgerConfig {
    pub(crate) dir: PathBuf,
    pub(crate) retention_days: u32,
    /// Whether blind tokens stand in the leaves, or in the index only.
    pub(crate) tokens_in_leaves: bool,
    /// Whether reading on this host needs a privacy officer's sign-in.
    pub(crate) officer_reads: bool,
    pub(crate) witnesses: Vec<WitnessConfig>,
    pub(crate) quorum: u32,
    pub(crate) witness_lag: LagConfig,
    pub(crate) worm: Option<WormConfig>,
    pub(crate) streams: Vec<StreamConfig>,
}

/// A witness.
#[derive(Debug, Clone)]
pub(crate) struct WitnessConfig {
    pub(crate) url: String,
    pub(crate) key: VerifierKey,
    pub(crate) ca: Option<PathBuf>,
}

/// How late is too late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LagConfig {
    pub(crate) max_secs: i64,
    pub(crate) stops: bool,
}

/// The locked bucket.
#[derive(Debug, Clone)]
pub(crate) struct WormConfig {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) region: String,
    pub(crate) prefix: String,
    pub(crate) access_key: PathBuf,
    pub(crate) secret_key: PathBuf,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) lag: LagConfig,
}

/// A place that records are sent to.
#[derive(Debug, Clone)]
pub(crate) struct StreamConfig {
    pub(crate) to: String,
    pub(crate) fhir: bool,
    pub(crate) token: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
}

/// 45 CFR 164.316(b)(2)(i): six years.
const LEAST_RETENTION_DAYS: i64 = 2_192;

pub(super) type Wrong<'a> = &'a dyn Fn(&'static str, Range<usize>, &str) -> ConfigError;

impl Ledger {
    /// Checks the section; `under` makes a path relative to the file absolute.
    pub(super) fn check(
        self,
        under: &dyn Fn(&Path) -> PathBuf,
        wrong: Wrong<'_>,
    ) -> Result<LedgerConfig, ConfigError> {
        let retention_days = match &self.retention {
            None => LEAST_RETENTION_DAYS,
            Some(value) => duration(value.get_ref())
                .map(|secs| secs / 86_400)
                .filter(|days| *days >= LEAST_RETENTION_DAYS)
                .ok_or_else(|| {
                    let what = "at least \"2192d\": six years (45 CFR 164.316(b)(2)(i))";
                    wrong("ledger.retention", value.span(), what)
                })?,
        };
        let path = |path: &Option<PathBuf>| path.as_deref().map(under);
        let witnesses = self.witness.iter().map(|witness| {
            url("ledger.witness.url", &witness.url, wrong)?;
            Ok(WitnessConfig {
                url: witness.url.get_ref().trim_end_matches('/').to_owned(),
                key: witness_key(&witness.key, wrong)?,
                ca: path(&witness.ca),
            })
        });
        let witnesses = witnesses.collect::<Result<Vec<_>, ConfigError>>()?;
        for (place, (known, own)) in witnesses.iter().zip(&self.witness).enumerate() {
            let before = witnesses.get(..place).unwrap_or_default();
            if before.iter().any(|other| other.key.key() == known.key.key()) {
                return Err(wrong("ledger.witness.key", own.key.span(), "named twice"));
            }
        }
        let all = u32::try_from(witnesses.len()).unwrap_or(u32::MAX);
        let quorum = match &self.witnesses.quorum {
            None => all,
            Some(value) if *value.get_ref() <= all && *value.get_ref() > 0 => *value.get_ref(),
            Some(value) => {
                let what = "between 1 and the number of [[ledger.witness]]";
                return Err(wrong("ledger.witnesses.quorum", value.span(), what));
            }
        };
        let worm = self.worm.map(|worm| {
            url("ledger.worm.endpoint", &worm.endpoint, wrong)?;
            let name = |text: &str, more: &[u8], least: usize, most: usize| {
                (least..=most).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
            };
            if !name(worm.bucket.get_ref(), b".-", 3, 63) {
                let what = "a bucket's name: lower-case letters, digits, dots and hyphens";
                return Err(wrong("ledger.worm.bucket", worm.bucket.span(), what));
            }
            if let Some(prefix) = &worm.prefix
                && !name(prefix.get_ref(), b"-_./", 0, 512)
            {
                let what = "letters, digits, and - _ . / only";
                return Err(wrong("ledger.worm.prefix", prefix.span(), what));
            }
            Ok::<_, ConfigError>(WormConfig {
                endpoint: worm.endpoint.get_ref().trim_end_matches('/').to_owned(),
                bucket: worm.bucket.into_inner(),
                region: worm.region.unwrap_or_else(|| "us-east-1".to_owned()),
                prefix: worm.prefix.map(Spanned::into_inner).unwrap_or_default(),
                access_key: under(&worm.access_key.file),
                secret_key: under(&worm.secret_key.file),
                ca: path(&worm.ca),
                lag: lag(
                    ["ledger.worm.max_lag", "ledger.worm.on_lag"],
                    worm.max_lag.as_ref(),
                    worm.on_lag.as_ref(),
                    wrong,
                )?,
            })
        });
        let streams = self.stream.iter().map(|stream| {
            let to = stream.to.get_ref();
            if !to.starts_with("file:") && !to.starts_with("syslog+tls://") {
                url("ledger.stream.to", &stream.to, wrong)?;
            }
            let to = match to.strip_prefix("file:") {
                Some(file) => format!("file:{}", under(Path::new(file)).display()),
                None => to.clone(),
            };
            let format = choice("ledger.stream.format", stream.format.as_ref(), JSON_FHIR, wrong)?;
            let token = stream.token.as_ref().map(|token| under(&token.file));
            Ok(StreamConfig { to, fhir: format, token, ca: path(&stream.ca) })
        });
        Ok(LedgerConfig {
            dir: under(&self.dir),
            retention_days: u32::try_from(retention_days).unwrap_or(u32::MAX),
            tokens_in_leaves: !choice(
                "ledger.blind_tokens",
                self.blind_tokens.as_ref(),
                ["leaf", "index"],
                wrong,
            )?,
            officer_reads: choice(
                "ledger.reading",
                self.reading.as_ref(),
                ["operator", "officer"],
                wrong,
            )?,
            witnesses,
            quorum,
            witness_lag: lag(
                ["ledger.witnesses.max_lag", "ledger.witnesses.on_lag"],
                self.witnesses.max_lag.as_ref(),
                self.witnesses.on_lag.as_ref(),
                wrong,
            )?,
            worm: worm.transpose()?,
            streams: streams.collect::<Result<_, ConfigError>>()?,
        })
    }
}

/// A witness's key: one of a log's own kind would make the log its own witness.
fn witness_key(value: &Spanned<String>, wrong: Wrong<'_>) -> Result<VerifierKey, ConfigError> {
    let what = "a witness's verifier key, as `phiward ledger witness` prints it";
    VerifierKey::parse(value.get_ref())
        .ok()
        .filter(VerifierKey::is_cosigner)
        .ok_or_else(|| wrong("ledger.witness.key", value.span(), what))
}

const JSON_FHIR: [&str; 2] = ["json", "fhir"];

/// One of two words, the first being the default; whether it is the second.
fn choice(
    key: &'static str,
    value: Option<&Spanned<String>>,
    words: [&str; 2],
    wrong: Wrong<'_>,
) -> Result<bool, ConfigError> {
    let Some(value) = value else { return Ok(false) };
    match words.iter().position(|word| word == value.get_ref()) {
        Some(place) => Ok(place == 1),
        None => {
            Err(wrong(key, value.span(), &words.map(|word| format!("\"{word}\"")).join(" or ")))
        }
    }
}

fn lag(
    keys: [&'static str; 2],
    max: Option<&Spanned<String>>,
    on: Option<&Spanned<String>>,
    wrong: Wrong<'_>,
) -> Result<LagConfig, ConfigError> {
    let [max_key, on_key] = keys;
    let max_secs = match max {
        None => 600,
        Some(value) => duration(value.get_ref())
            .filter(|secs| *secs > 0)
            .ok_or_else(|| wrong(max_key, value.span(), "a time like \"10m\""))?,
    };
    Ok(LagConfig { max_secs, stops: choice(on_key, on, ["warn", "stop"], wrong)? })
}

/// https, or plain http that stays on this machine.
fn url(key: &'static str, value: &Spanned<String>, wrong: Wrong<'_>) -> Result<(), ConfigError> {
    let text = value.get_ref();
    let plain = text.strip_prefix("http://").is_some_and(|rest| {
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            rest.strip_prefix(host)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
    });
    if plain || (text.starts_with("https://") && text.len() > 8) {
        Ok(())
    } else {
        Err(wrong(key, value.span(), "an https URL (plain http on loopback only)"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, ConfigError, Template};

    const KEY: &str = "witness.example/w1+d92ffeba+BCO7f7eO41W6jVVGNtpYE0yxmfcZdgVzVHskOV8TF9ko";

    fn with(more: &str) -> Result<Config, ConfigError> {
        let text = Template {
            issuer: "https://phiward.example",
            listen: "127.0.0.1:8443".parse().unwrap(),
            internal: "127.0.0.1:8444".parse().unwrap(),
            upstream: "http://127.0.0.1:8080/fhir",
            password_grant: "off",
        }
        .render();
        Config::parse(Path::new("/x/phiward.toml"), &format!("{text}\n{more}"))
    }

    fn witness(url: &str, key: &str) -> String {
        format!("[[ledger.witness]]\nurl = \"{url}\"\nkey = \"{key}\"\n")
    }

    #[test]
    fn witnesses_are_read_and_all_of_them_are_the_quorum() {
        let ledger = with(&witness("https://w.example/a/", KEY)).unwrap().ledger;
        assert_eq!(ledger.witnesses[0].url, "https://w.example/a");
        assert_eq!(ledger.witnesses[0].key.to_string(), KEY);
        assert_eq!((ledger.quorum, ledger.witness_lag.max_secs), (1, 600));
        assert!(!ledger.witness_lag.stops);
        let stop = "[ledger.witnesses]\non_lag = \"stop\"\nmax_lag = \"8s\"\n";
        let ledger = with(&(witness("http://127.0.0.1:1", KEY) + stop)).unwrap().ledger;
        assert_eq!((ledger.witness_lag.max_secs, ledger.witness_lag.stops), (8, true));
    }

    #[test]
    fn a_witness_that_cannot_be_one_is_named_with_its_line() {
        // The example of Go's note package: a key that signs notes, as a log's does.
        let log = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let good = witness("https://w.example", KEY);
        for (more, key) in [
            (witness("http://w.example", KEY), "ledger.witness.url"),
            (witness("https://w.example", log), "ledger.witness.key"),
            (witness("https://w.example", ""), "ledger.witness.key"),
            (witness("https://w.example", &KEY.replace("d92f", "d92e")), "ledger.witness.key"),
            (format!("{good}{good}"), "ledger.witness.key"),
            (format!("{good}[ledger.witnesses]\nquorum = 2\n"), "ledger.witnesses.quorum"),
            (format!("{good}[ledger.witnesses]\nquorum = 0\n"), "ledger.witnesses.quorum"),
            (format!("{good}[ledger.witnesses]\non_lag = \"wait\"\n"), "ledger.witnesses.on_lag"),
            (format!("{good}[ledger.witnesses]\nmax_lag = \"0s\"\n"), "ledger.witnesses.max_lag"),
        ] {
            let message = with(&more).unwrap_err().to_string();
            assert!(message.starts_with("/x/phiward.toml:") && message.contains(key), "{message}");
        }
    }

    fn section(keys: &str) -> String {
        format!("[ledger.worm]\n{keys}")
    }

    const WORM: &str = "endpoint = \"https://s3.example/\"\nbucket = \"phiward-ledger\"\n\
        prefix = \"clinic-a/\"\naccess_key = { file = \"a\" }\nsecret_key = { file = \"s\" }\n\
        max_lag = \"5m\"\non_lag = \"stop\"\n";

    #[test]
    fn a_locked_bucket_is_read_whole_and_each_error_names_its_key() {
        let worm = with(&section(WORM)).unwrap().ledger.worm.unwrap();
        assert_eq!(worm.endpoint, "https://s3.example");
        assert_eq!((worm.bucket.as_str(), worm.prefix.as_str()), ("phiward-ledger", "clinic-a/"));
        assert_eq!((worm.region.as_str(), worm.secret_key), ("us-east-1", "/x/s".into()));
        assert_eq!((worm.lag.max_secs, worm.lag.stops), (300, true));
        for (from, to, key) in [
            ("https://s3.example/", "http://s3.example", "ledger.worm.endpoint"),
            ("phiward-ledger", "../other", "ledger.worm.bucket"),
            ("phiward-ledger", "x", "ledger.worm.bucket"),
            ("clinic-a/", "clinic a/", "ledger.worm.prefix"),
            ("clinic-a/", "clinic?versionId=", "ledger.worm.prefix"),
            ("5m", "0m", "ledger.worm.max_lag"),
            ("stop", "halt", "ledger.worm.on_lag"),
        ] {
            let error = with(&section(&WORM.replace(from, to))).unwrap_err().to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
        assert!(with(&section(&WORM.replace("bucket =", "bukket ="))).is_err());
    }
}
