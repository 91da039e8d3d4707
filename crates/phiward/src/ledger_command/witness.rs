//! `phiward ledger witness`: vouches for other logs, with a key and a memory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use keys::SystemRandom;
use ledger::Trouble;
use ledger::note::VerifierKey;
use ledger::witness::{Witness, WitnessError};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use web::server::{ServerLimits, Transport, serve};
use web::tls::{Tls, TlsFiles};
use web::witness::WitnessService;

use super::read_file;
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::{output, runtime, system, telemetry};

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct WitnessArgs {
    /// Where its key and its memory are; never copy, never restore this directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Make the witness, print its public key, and exit; once in its life.
    #[arg(long, requires = "name", conflicts_with_all = ["listen", "log"])]
    init: bool,
    /// Its name for good, like witness.example/w1.
    #[arg(long, value_name = "NAME", requires = "init")]
    name: Option<String>,
    /// Where to listen.
    #[arg(long, value_name = "ADDR", required_unless_present = "init")]
    listen: Option<SocketAddr>,
    /// The public key file of a log to witness (its stable.vkey); may repeat.
    #[arg(long, value_name = "VKEY_FILE", required_unless_present = "init")]
    log: Vec<PathBuf>,
    /// PEM certificate chain; without it, plain http on a loopback address only.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM private key, mode 0600.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Connections at once: logs, and monitors that look.
const CONNECTIONS: u32 = 256;

impl From<WitnessError> for Failure {
    fn from(error: WitnessError) -> Self {
        match error {
            WitnessError::Exists(_) => Self::usage(error.to_string()),
            _ => Self::trouble(error.trouble(), error.to_string()),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: WitnessArgs) -> Result<(), Failure> {
    if let (true, Some(name)) = (args.init, &args.name) {
        return init(&args, name);
    }
    let Some(listen) = args.listen else { return Err(Failure::usage("--listen is missing")) };
    let logs = args.log.iter().map(|path| log_key(path)).collect::<Result<Vec<_>, Failure>>()?;
    let tls = match (args.tls_cert, args.tls_key) {
        (Some(certificate), Some(key)) => Some(
            Tls::load(TlsFiles { certificate, key })
                .map_err(|error| Failure::usage(error.to_string()))?,
        ),
        _ => None,
    };
    if tls.is_none() && !listen.ip().is_loopback() {
        let what = "without --tls-cert and --tls-key only a loopback address can be listened on";
        return Err(Failure::usage(format!("--listen {listen}: {what}")));
    }
    telemetry::start("info", args.json)?;
    let witness = Witness::open(&args.dir, logs, Arc::new(SystemClock))?;
    runtime(serve_witness(Arc::new(witness), listen, tls, args.json))
}

fn init(args: &WitnessArgs, name: &str) -> Result<(), Failure> {
    let key = Witness::init(&args.dir, name, &SystemRandom)?;
    if args.json {
        return output::json(&json!({ "key": key.to_string(), "dir": args.dir }));
    }
    output::line(&format!("{key}"));
    output::note(&format!(
        "made a witness in {}; give the line above to whoever runs the log, for [[ledger.witness]], \
         and to whoever verifies it",
        args.dir.display()
    ));
    Ok(())
}

/// A log's public key, which names it.
fn log_key(path: &Path) -> Result<VerifierKey, Failure> {
    let key = VerifierKey::parse(read_file(path)?.trim());
    key.map_err(|error| {
        Failure::trouble(Trouble::ForeignKey, format!("{}: {error}", path.display()))
    })
}

async fn serve_witness(
    witness: Arc<Witness>,
    listen: SocketAddr,
    tls: Option<Tls>,
    json: bool,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("--listen {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let listen = listener.local_addr().map_err(failed)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut background = None;
    let transport = match tls {
        None => Transport::LoopbackPlain,
        Some(tls) => {
            background = Some(tokio::spawn(system::reload_on_hangup(tls.clone())?));
            Transport::Tls(tls)
        }
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    announce(&witness, &format!("{scheme}://{listen}"), json)?;
    let service = Arc::new(WitnessService::new(witness));
    let limits = ServerLimits { connections: CONNECTIONS, ..ServerLimits::default() };
    let served = serve(listener, transport, service, limits, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await;
    if let Some(task) = background {
        task.abort();
    }
    served.map_err(|error| Failure::usage(format!("--listen {listen}: {error}")))
}

fn announce(witness: &Witness, url: &str, json: bool) -> Result<(), Failure> {
    let key = witness.key().to_string();
    let sizes = witness.sizes();
    if json {
        let logs: serde_json::Map<_, _> =
            sizes.into_iter().map(|(origin, size)| (origin, size.into())).collect();
        return output::json(&json!({ "url": url, "key": key, "logs": logs }));
    }
    output::line(&format!("witness  {key}"));
    for (origin, size) in sizes {
        output::line(&format!("holds    {origin}, {size} leaves"));
    }
    output::line(&format!("listens  {url}"));
    Ok(())
}
