//! `phiward doctor`: one check after another, each with its mend. It changes nothing, and works
//! beside a running server.

mod record;

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use outbound::{Client, Limits, Options, Origin, PeerPolicy};
use serde_json::json;
use web::tls::Tls;

use crate::admin::SOCKET;
use crate::cli::DoctorArgs;
use crate::config::Config;
use crate::failure::Failure;
use crate::key::rotate;
use crate::keyring::Keyring;
use crate::output;
use crate::system::{certificates, tls_files};

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// It works, but somebody should know.
    Doubt,
    Bad,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubt => "warning",
            Self::Bad => "error",
        }
    }
}

/// What one check found.
struct Finding {
    check: &'static str,
    state: State,
    said: String,
    mend: String,
}

fn good(check: &'static str, said: impl Into<String>) -> Finding {
    Finding { check, state: State::Good, said: said.into(), mend: String::new() }
}

fn found(check: &'static str, state: State, said: impl Into<String>, mend: &str) -> Finding {
    Finding { check, state, said: said.into(), mend: mend.to_owned() }
}

/// Runs the command.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config.config)?;
    let mut findings = vec![keys(&config), tls(&config), server(&config), ledger(&config)];
    findings.extend(record::findings(&config));
    findings.extend([upstream(&config), password_grant(&config)]);
    for finding in &findings {
        let style = match finding.state {
            State::Good => output::GOOD,
            State::Doubt => output::DOUBT,
            State::Bad => output::BAD,
        };
        if !args.json {
            let state = finding.state.as_str();
            output::line(&format!(
                "{style}{state:<8}{style:#} {:<15} {}",
                finding.check, finding.said
            ));
            if !finding.mend.is_empty() {
                output::line(&format!("                         mend: {}", finding.mend));
            }
        }
    }
    if args.json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| json!({ "check": f.check, "state": f.state.as_str(), "said": f.said, "mend": f.mend }))
            .collect();
        output::json(&list.into())?;
    }
    if findings.iter().any(|finding| finding.state == State::Bad) {
        return Err(Failure::silent());
    }
    Ok(())
}

fn keys(config: &Config) -> Finding {
    if !config.keys_dir.join("root.key").exists() {
        return match crate::kek::custody(config) {
            Ok(_) => good(
                "keys",
                "the key-encryption key opens; the other keys are made at the first start",
            ),
            Err(failure) => found(
                "keys",
                State::Bad,
                failure.message(),
                "phiward init makes one; or restore yours from its safe",
            ),
        };
    }
    match Keyring::open_existing(config) {
        Ok(_) if config.keys_dir.join(rotate::MARKER).exists() => found(
            "keys",
            State::Doubt,
            "a change of the key-encryption key was cut short; every key opens",
            "phiward key rotate -c FILE",
        ),
        Ok(_) => good("keys", "the key-encryption key opens the root key"),
        Err(failure) => found(
            "keys",
            State::Bad,
            failure.message(),
            "restore the keys directory and its key-encryption key together",
        ),
    }
}

fn tls(config: &Config) -> Finding {
    match Tls::load(tls_files(config)) {
        Ok(_) => good("tls", "certificate and key belong together"),
        Err(error) => found(
            "tls",
            State::Bad,
            error.to_string(),
            "set server.tls.certificate and server.tls.key",
        ),
    }
}

fn server(config: &Config) -> Finding {
    let socket = config.data.join(SOCKET);
    match std::os::unix::net::UnixStream::connect(&socket) {
        Ok(_) => good("server", format!("runs at {}", config.issuer)),
        Err(_) => found("server", State::Doubt, "does not run", "phiward serve -c FILE"),
    }
}

fn ledger(config: &Config) -> Finding {
    let key = config.ledger_keys().join("stable.vkey");
    let Ok(text) = std::fs::read_to_string(&key) else {
        return found("ledger", State::Doubt, "is not there yet", "it is made at the first start");
    };
    match ledger::proof::checkpoint(&config.ledger.dir) {
        Ok(note) => {
            let signed = ledger::note::VerifierKey::parse(text.trim())
                .ok()
                .zip(ledger::note::Note::parse(&note).ok())
                .is_some_and(|(key, note)| note.signed_by(&key));
            if signed {
                good(
                    "ledger",
                    "its last checkpoint is signed by its key; phiward ledger verify checks all of it",
                )
            } else {
                found(
                    "ledger",
                    State::Bad,
                    "its last checkpoint is not signed by its key",
                    "phiward ledger verify",
                )
            }
        }
        Err(error) => found("ledger", State::Bad, error.to_string(), "phiward ledger verify"),
    }
}

fn upstream(config: &Config) -> Finding {
    match ask_upstream(config) {
        Ok(status) if status < 500 => good("upstream", format!("answers at {}", config.upstream)),
        Ok(status) => found(
            "upstream",
            State::Bad,
            format!("answers with status {status}"),
            "see the FHIR server's log",
        ),
        Err(error) => {
            found("upstream", State::Bad, error, "start the FHIR server, or set resource.upstream")
        }
    }
}

fn ask_upstream(config: &Config) -> Result<u16, String> {
    let origin = Origin::of(&config.upstream).map_err(|error| error.to_string())?;
    let extra_roots = match &config.upstream_ca {
        Some(path) => certificates(path).map_err(|failure| failure.message())?,
        None => Vec::new(),
    };
    let limits = Limits { body: 8 << 20, total: Duration::from_secs(5), ..Limits::default() };
    let client = Client::new(Options {
        extra_roots,
        limits,
        ..Options::new(PeerPolicy::ExactOrigin(origin))
    })
    .map_err(|error| error.to_string())?;
    let request = Request::get(format!("{}/metadata", config.upstream))
        .header(http::header::ACCEPT, "application/fhir+json")
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let response = runtime.block_on(client.fetch(request)).map_err(|error| error.to_string())?;
    Ok(response.status().as_u16())
}

fn password_grant(config: &Config) -> Finding {
    if config.password_exceptions {
        found(
            "password grant",
            State::Doubt,
            "is allowed for clients with an exception (RFC 9700 §2.4 forbids it)",
            "set policy.password_grant = \"off\" when the last migration is done",
        )
    } else {
        good("password grant", "is off")
    }
}
