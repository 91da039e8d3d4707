//! The composition root: from a configuration to a running system, each room handed what it needs.
//! Nothing listens before everything is open; what is open is closed in order.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, PasswordGrant, Settings};
use domain::Clock;
use gateway::{Gateway, SearchMethod, Upstream};
use identity::Identity;
use keys::custody::{Custody, Switch};
use keys::seal::SealKey;
use keys::signing::KeyRing;
use keys::{Random, SystemRandom};
use ledger::{Ledger, LedgerOptions, OpenError, stream};
use outbound::{Client, Limits, Options, Origin, PeerPolicy};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use web::Web;
use web::health::Health;
use web::server::{ServerLimits, Transport, serve};
use web::tls::{Tls, TlsFiles};

use crate::admin::{Rooms, Socket};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::{self, Keyring};
use crate::ledger_tasks::{self, manifest};
use crate::lock::DataLock;

/// Expired rows are deleted this often, in small batches.
const SWEEP: Duration = Duration::from_secs(30);
const SWEEP_ROWS: u32 = 500;

/// A system with everything open.
#[derive(Clone)]
pub(crate) struct System {
    config: Arc<Config>,
    authority: Authority,
    web: Arc<Web>,
    store: Store,
    ledger: Ledger,
    tls: Tls,
    key_ring: Arc<KeyRing>,
    custody: Arc<Switch>,
    claim: manifest::Claim,
    _lock: Arc<DataLock>,
}

/// Listeners that are bound already.
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) internal: TcpListener,
}

impl System {
    /// Opens everything.
    pub(crate) async fn open(config: Config, lock: DataLock) -> Result<Self, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let tls = Tls::load(tls_files(&config)).map_err(|error| usage(&error))?;
        let keyring = Keyring::open(&config)?;
        let store = Store::open(&config.database, keyring.store_key()?, Arc::clone(&random))
            .await
            .map_err(|error| usage(&error))?;
        let key_ring = Arc::new(keyring::signing_keys(&store).await?);
        let claim = manifest::claim(&config, &store).await?;
        let kept = claim.kept.iter().cloned().collect();
        let ledger = open_ledger_against(&config, Arc::clone(&keyring.custody), kept)?;
        claim.opened(&store, &ledger).await?;
        let hash_key = Arc::new(keyring.hash_key()?);
        let identity = Identity::new(
            store.clone(),
            ledger.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
            Arc::clone(&hash_key),
        )
        .map_err(|error| usage(&error))?;
        let authority = Authority::new(
            authority::Parts {
                store: store.clone(),
                ledger: ledger.clone(),
                identity,
                key_ring: Arc::clone(&key_ring),
                hash_key: Arc::clone(&hash_key),
                clock: Arc::clone(&clock),
                random: Arc::clone(&random),
            },
            settings(&config),
        );
        let page_key = keyring.derive("page handles")?;
        let receipt_key = keyring.derive("receipts")?;
        let gateway = Gateway::new(gateway::Parts {
            store: store.gateway(),
            ledger: ledger.clone(),
            keys: Arc::clone(&key_ring),
            page_key: SealKey::new(page_key.expose()).map_err(|error| usage(&error))?,
            receipt_key: SealKey::new(receipt_key.expose()).map_err(|error| usage(&error))?,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            upstream: upstream(&config)?,
            settings: gateway_settings(authority.settings()),
        });
        let web = Arc::new(Web::new(web::Parts {
            authority: authority.clone(),
            gateway,
            store: store.clone(),
            ledger: ledger.clone(),
            clock,
            random,
            hash_key,
            name: "Phiward".to_owned(),
            demo: config.demo,
        }));
        let custody = keyring.switch;
        let (config, lock) = (Arc::new(config), Arc::new(lock));
        Ok(Self {
            config,
            authority,
            web,
            store,
            ledger,
            tls,
            key_ring,
            custody,
            claim,
            _lock: lock,
        })
    }

    /// What it was set to.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The authorization server.
    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The signing keys.
    pub(crate) fn key_ring(&self) -> &KeyRing {
        &self.key_ring
    }

    /// What wraps the ledger's keys.
    pub(crate) fn custody(&self) -> Arc<dyn Custody> {
        Arc::clone(&self.custody) as Arc<dyn Custody>
    }

    /// The record.
    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Serves until SIGTERM or Ctrl-C, then drains and closes.
    pub(crate) async fn serve(self, bound: Bound) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::usage(error.to_string());
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let until = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        self.serve_until(bound, until).await
    }

    /// Serves until told, then drains and closes.
    pub(crate) async fn serve_until(
        self,
        bound: Bound,
        until: impl Future<Output = ()> + Send,
    ) -> Result<(), Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
        let socket = Socket::open(&self.config.data).map_err(|error| usage(&error))?;
        let reload = reload_on_hangup(self.tls.clone())?;
        let mut background = vec![
            tokio::spawn(socket.serve(Rooms {
                config: Arc::clone(&self.config),
                authority: self.authority.clone(),
                ledger: self.ledger.clone(),
                switch: Arc::clone(&self.custody),
            })),
            tokio::spawn(reload),
            tokio::spawn(sweep(self.store.clone())),
        ];
        background.extend(ledger_tasks::start(&ledger_tasks::Context {
            config: Arc::clone(&self.config),
            ledger: self.ledger.clone(),
            store: self.store.clone(),
            custody: self.custody(),
            claim: self.claim.clone(),
        }));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let health = tokio::spawn(serve(
            bound.internal,
            Transport::LoopbackPlain,
            Arc::new(Health::new(Arc::clone(&self.web))),
            ServerLimits::default(),
            async { drop(stopped.await) },
        ));
        tracing::info!(address = %self.config.listen, "listening");
        let served = serve(
            bound.listener,
            Transport::Tls(self.tls.clone()),
            Arc::clone(&self.web),
            ServerLimits::default(),
            until,
        )
        .await;
        for task in background {
            task.abort();
        }
        drop(stop);
        health.await.map_err(|_| Failure::internal())?.map_err(|error| usage(&error))?;
        served.map_err(|error| usage(&error))?;
        self.ledger.close().await.map_err(|error| usage(&error))?;
        self.claim.closed(&self.store, &self.ledger).await;
        self.store.close().await;
        Ok(())
    }
}

/// Where the configured server certificate is.
pub(crate) fn tls_files(config: &Config) -> TlsFiles {
    TlsFiles { certificate: config.tls_certificate.clone(), key: config.tls_key.clone() }
}

/// The log's name: what checkpoints are signed for.
pub(crate) fn ledger_origin(config: &Config) -> String {
    stream::origin(&ledger_name(config), ledger_stream(config))
}

/// The name that this node's streams share.
pub(crate) fn ledger_name(config: &Config) -> String {
    format!("{}/ledger", config.issuer.trim_start_matches("https://"))
}

/// The number of the stream that this node writes: 1, and one more for each restored backup. It
/// stands beside the stream's keys; what cannot be read is no stream's number.
pub(crate) fn ledger_stream(config: &Config) -> u32 {
    match std::fs::read_to_string(config.ledger_keys().join(STREAM_FILE)) {
        Ok(text) => text.trim().parse().unwrap_or(0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 1,
        Err(_) => 0,
    }
}

/// Where the number of the stream stands.
pub(crate) const STREAM_FILE: &str = "stream";

/// Where a stream of this node is, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamPlace {
    pub(crate) keys_dir: std::path::PathBuf,
    pub(crate) origin: String,
    pub(crate) stream: u32,
}

/// The stream that lies in a directory: the one being written, or one from before a restored backup.
pub(crate) fn stream_at(config: &Config, dir: &Path) -> StreamPlace {
    let current = ledger_stream(config);
    let stream = stream::in_dir(dir).ok().flatten().unwrap_or(current);
    let keys_dir = if stream == current {
        config.ledger_keys()
    } else {
        config.keys_dir.join(format!("ledger.stream-{stream}"))
    };
    StreamPlace { keys_dir, origin: stream::origin(&ledger_name(config), stream), stream }
}

/// Where a stream's log is: the one being written, or one that a restore put aside.
pub(crate) fn stream_dir(config: &Config, stream: u32) -> std::path::PathBuf {
    let dir = &config.ledger.dir;
    if stream == ledger_stream(config) {
        return dir.clone();
    }
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".stream-{stream}"));
    dir.with_file_name(name)
}

/// The streams of this node whose keys are here.
pub(crate) fn streams(config: &Config) -> Vec<StreamPlace> {
    let mut found = Vec::new();
    let current = ledger_stream(config);
    for stream in 1..=current {
        let keys_dir = if stream == current {
            config.ledger_keys()
        } else {
            config.keys_dir.join(format!("ledger.stream-{stream}"))
        };
        if keys_dir.is_dir() {
            let origin = stream::origin(&ledger_name(config), stream);
            found.push(StreamPlace { keys_dir, origin, stream });
        }
    }
    found
}

/// Opens the ledger for writing; one process at a time can.
pub(crate) fn open_ledger(config: &Config, custody: Arc<dyn Custody>) -> Result<Ledger, OpenError> {
    open_ledger_against(config, custody, Vec::new())
}

/// Opens the ledger unless it is less than checkpoints that are kept elsewhere.
fn open_ledger_against(
    config: &Config,
    custody: Arc<dyn Custody>,
    kept: Vec<String>,
) -> Result<Ledger, OpenError> {
    let mut options = LedgerOptions::new(
        &config.ledger.dir,
        config.ledger_keys(),
        ledger_origin(config),
        custody,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
    );
    options.kept = kept;
    let (ledger, opened) = Ledger::open(options)?;
    if opened.recovered.is_some() {
        tracing::warn!("the ledger had a torn tail; it was set aside and recorded");
    }
    Ok(ledger)
}

fn settings(config: &Config) -> Settings {
    Settings {
        access_token_secs: config.access_token_secs,
        password_grant: if config.password_exceptions {
            PasswordGrant::Exceptions
        } else {
            PasswordGrant::Off
        },
        ..Settings::new(&config.issuer)
    }
}

fn gateway_settings(settings: &Settings) -> gateway::Settings {
    gateway::Settings {
        issuer: settings.issuer.clone(),
        fhir_base: settings.fhir_base.clone(),
        resource_metadata: settings.endpoint("/.well-known/oauth-protected-resource/fhir"),
        authorize: settings.endpoint("/oauth/authorize"),
        token: settings.endpoint("/oauth/token"),
        revoke: settings.endpoint("/oauth/revoke"),
        introspect: settings.endpoint("/oauth/introspect"),
    }
}

fn upstream(config: &Config) -> Result<Upstream, Failure> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: resource.upstream: {what}", config.path.display()))
    };
    let origin = Origin::of(&config.upstream).map_err(|error| wrong(&error))?;
    let extra_roots = match &config.upstream_ca {
        Some(path) => certificates(path)?,
        None => Vec::new(),
    };
    let client = Client::new(Options {
        extra_roots,
        // A page of a search, whole; larger answers are refused.
        limits: Limits { body: 8 << 20, total: Duration::from_secs(30), ..Limits::default() },
        ..Options::new(PeerPolicy::ExactOrigin(origin))
    })
    .map_err(|error| wrong(&error))?;
    Ok(Upstream {
        base: config.upstream.trim_end_matches('/').to_owned(),
        client,
        credential: None,
        search: if config.upstream_get { SearchMethod::Get } else { SearchMethod::Post },
    })
}

/// The certificates of a PEM file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    let pem = std::fs::read(path).map_err(|error| failed(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(failed(&"no PEM certificate in it")),
    }
}

fn reload_on_hangup(tls: Tls) -> Result<impl Future<Output = ()>, Failure> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            match tls.reload() {
                Ok(()) => tracing::info!("the TLS certificate was reloaded"),
                Err(error) => tracing::error!(%error, "the TLS certificate in use stays"),
            }
        }
    })
}

async fn sweep(store: Store) {
    let mut turn = tokio::time::interval(SWEEP);
    loop {
        turn.tick().await;
        if let Err(error) = store.expire_batch(SystemClock.now(), SWEEP_ROWS).await {
            tracing::error!(%error, "expired rows were not deleted");
        }
    }
}
