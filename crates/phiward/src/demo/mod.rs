//! `phiward demo`: the whole system with nothing prepared. Keys, certificates, people and apps are
//! made afresh for each data directory; the records are synthetic and come from a small FHIR
//! endpoint inside the process, or from a server of yours.

mod browser;
mod data;
mod seed;
mod walk;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cli::DemoArgs;
use crate::clock::SystemClock;
use crate::config::{Config, Template};
use crate::failure::Failure;
use crate::output;
use crate::system::{Bound, System};

use data::DemoData;

/// A demo that is ready to answer.
pub(crate) struct Ready {
    pub(crate) system: System,
    pub(crate) data: DemoData,
    pub(crate) dir: PathBuf,
    pub(crate) ca: PathBuf,
}

/// Runs the command.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    if args.once {
        return once(&args).await;
    }
    let dir = args.data.clone().unwrap_or_else(|| PathBuf::from("phiward-demo"));
    let (ready, bound) = prepare(&args, &dir, default_listen(8443)).await?;
    announce(&ready, args.json)?;
    ready.system.serve(bound).await
}

fn default_listen(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// In a directory that goes away, on a free port.
async fn once(args: &DemoArgs) -> Result<(), Failure> {
    let temporary = TemporaryDir::make()?;
    let dir = args.data.clone().unwrap_or_else(|| temporary.path.clone());
    let (ready, bound) = prepare(args, &dir, default_listen(0)).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let system = ready.system.clone();
    let serving =
        tokio::spawn(async move { system.serve_until(bound, async { drop(stopped.await) }).await });
    let walked = walk::run(&ready, args.json).await;
    drop(stop);
    let served = serving.await.map_err(|_| Failure::internal())?;
    walked?;
    served?;
    // The ledger is closed in order now: verified once more, as an auditor would.
    walk::verify(&ready, args.json)
}

/// Everything up to the first request: directory, certificates, configuration, people and apps.
async fn prepare(
    args: &DemoArgs,
    dir: &Path,
    listen: SocketAddr,
) -> Result<(Ready, Bound), Failure> {
    let failed =
        |path: &Path, error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    for part in ["", "tls", "keys", "data"] {
        let path = dir.join(part);
        crate::init::private_dir(&path).map_err(|error| failed(&path, error))?;
    }
    // A lock before anything is written: two demos in one directory would undo each other.
    let lock = crate::lock::DataLock::take(&dir.join("data"))?;
    let config_path = dir.join("phiward.toml");
    let listener = listen_on(args, &config_path, listen).await?;
    let address = listener.local_addr().map_err(|error| failed(dir, error))?;
    let internal =
        TcpListener::bind(default_listen(0)).await.map_err(|error| failed(dir, error))?;
    let internal_address = internal.local_addr().map_err(|error| failed(dir, error))?;

    let upstream = match &args.upstream {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => sample().await?,
    };
    let issuer = format!("https://localhost:{}", address.port());
    let template = Template {
        issuer: &issuer,
        listen: address,
        internal: internal_address,
        upstream: &upstream,
        password_grant: "exceptions",
    };
    std::fs::write(&config_path, template.render()).map_err(|error| failed(&config_path, error))?;
    let kek = dir.join("keys/kek.key");
    if !kek.exists() {
        crate::init::make_kek(&kek)?;
    }
    let pki = web::pki::DemoPki::prepare(&dir.join("tls"), SystemClock.now())
        .map_err(|error| Failure::usage(error.to_string()))?;

    let config = Config { demo: true, ..Config::read(&config_path)? };
    let system = System::open(config, lock).await?;
    let data = seed::plant(&system, dir, args, &issuer).await?;
    let bound = Bound { listener, internal };
    Ok((Ready { system, data, dir: dir.to_owned(), ca: pki.ca }, bound))
}

/// The port is part of the issuer: another port for the same directory would make every token and
/// registration in it wrong.
async fn listen_on(
    args: &DemoArgs,
    config_path: &Path,
    default: SocketAddr,
) -> Result<TcpListener, Failure> {
    let earlier = config_path.exists().then(|| Config::read(config_path)).transpose()?;
    let address = match (&earlier, args.listen) {
        (Some(earlier), Some(asked)) if asked != earlier.listen => {
            return Err(Failure::usage(format!(
                "{} was made for {}, and the port is part of its issuer; leave out --listen, or use another --data",
                config_path.display(),
                earlier.listen
            )));
        }
        (Some(earlier), _) => earlier.listen,
        (None, asked) => asked.unwrap_or(default),
    };
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::usage(format!(
            "{address} is in use; stop what listens there, or choose --listen 127.0.0.1:0 with another --data"
        )),
        _ => Failure::usage(format!("{address}: {error}")),
    })
}

/// The sample FHIR endpoint on a port of its own; it ends with the process.
async fn sample() -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("sample FHIR endpoint: {error}"));
    let listener = TcpListener::bind(default_listen(0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        let served = sample_fhir::serve(listener, std::future::pending()).await;
        if served.is_err() {
            tracing::error!("the sample FHIR endpoint ended");
        }
    });
    Ok(format!("http://{address}"))
}

fn announce(ready: &Ready, as_json: bool) -> Result<(), Failure> {
    let line = ready_line(ready);
    if as_json {
        return output::json(&line);
    }
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    output::line("Phiward demo is ready. Synthetic people, synthetic records; stop with Ctrl-C.");
    output::line("");
    output::line(&format!("  try it in a browser  {}/demo", text("issuer")));
    output::line(&format!("  trust                {}", text("ca_file")));
    output::line(&format!("  FHIR base            {}", text("fhir_base")));
    output::line(&format!("  health and metrics   {}", text("internal")));
    output::line("");
    let people = ready
        .data
        .users
        .iter()
        .map(|user| vec![user.username.clone(), user.password.clone(), user.role.clone()]);
    output::table(&["sign in as", "password", "role"], people.collect());
    output::line("");
    output::line(&format!("  phiward ledger show -c {} --follow", text("config")));
    output::line(&format!("  phiward ledger verify -c {} --allow-unproven", text("config")));
    Ok(())
}

/// The one line of `--json`.
fn ready_line(ready: &Ready) -> Value {
    let path = |name: &str| absolute(&ready.dir.join(name));
    let config = ready.system.config();
    json!({
        "issuer": config.issuer,
        "fhir_base": format!("{}/fhir", config.issuer),
        "ca_file": absolute(&ready.ca),
        "admin_api": format!("{}/api/v1", config.issuer),
        "admin_token_file": path("admin.token"),
        "config": path("phiward.toml"),
        "users": ready.data.users,
        "clients": ready.data.clients(&config.issuer, &path("demo-backend.jwk")),
        "ledger": path("ledger"),
        "internal": format!("http://{}", config.internal),
        "pid": std::process::id(),
    })
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// A directory of this process that goes when it is dropped.
struct TemporaryDir {
    path: PathBuf,
}

impl TemporaryDir {
    fn make() -> Result<Self, Failure> {
        let random: Arc<dyn keys::Random> = Arc::new(keys::SystemRandom);
        let name = keys::random_id("phiward-demo-", &*random).map_err(|_| Failure::internal())?;
        Ok(Self { path: std::env::temp_dir().join(name) })
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.path);
    }
}
