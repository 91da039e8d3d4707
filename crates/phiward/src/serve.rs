//! `phiward serve`: runs until SIGTERM or Ctrl-C, then drains; SIGHUP reloads the TLS certificate.

use std::path::Path;

use tokio::net::TcpListener;

use crate::config::Config;
use crate::failure::Failure;
use crate::lock::DataLock;
use crate::system::{Bound, System};
use crate::{init, runtime, telemetry};

/// Runs the command.
pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    let config = Config::read(path)?;
    telemetry::start(&config.log, config.log_json)?;
    runtime(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::usage(format!("{}: {error}", config.data.display()));
    init::private_dir(&config.data).map_err(failed)?;
    let lock = DataLock::take(&config.data)?;
    // Ports before anything else: a second server must fail before it touches what the first uses.
    let listener = bind(&config, "server.listen", config.listen).await?;
    let internal = bind(&config, "server.internal", config.internal).await?;
    let system = System::open(config, lock).await?;
    system.serve(Bound { listener, internal }).await
}

async fn bind(
    config: &Config,
    key: &str,
    address: std::net::SocketAddr,
) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => "is in use".to_owned(),
            _ => error.to_string(),
        };
        Failure::usage(format!("{}: {key}: {address} {what}", config.path.display()))
    })
}
