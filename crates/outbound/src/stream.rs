//! A TLS connection to one configured peer for protocols that are not HTTP, under the same guard: the
//! address is judged when it is known, the peer's name is verified, time is bounded.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::tls_config;
use crate::connect::dial;
use crate::{Origin, PeerPolicy, SendError, SetupError};

/// An open connection.
pub type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Connects to one peer over TLS.
#[derive(Clone)]
pub struct Dialer {
    origin: Origin,
    tls: Arc<rustls::ClientConfig>,
    patience: Duration,
}

impl Dialer {
    /// For this peer; `extra_roots` are trusted beside the web's certificate authorities.
    ///
    /// # Errors
    /// [`SetupError`] for an unusable certificate authority or TLS configuration.
    pub fn new(
        origin: Origin,
        extra_roots: Vec<CertificateDer<'static>>,
        patience: Duration,
    ) -> Result<Self, SetupError> {
        Ok(Self { origin, tls: Arc::new(tls_config(extra_roots, Vec::new())?), patience })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`SendError`]; a peer whose certificate cannot be trusted is unreachable.
    pub async fn connect_tls(&self) -> Result<TlsStream, SendError> {
        if !self.origin.is_tls() {
            return Err(SendError::ForbiddenUrl);
        }
        let connecting = async {
            let host = self.origin.host();
            let policy = PeerPolicy::ExactOrigin(self.origin.clone());
            let stream = dial(&policy, &host, self.origin.port()).await?;
            let name = ServerName::try_from(host).map_err(|_| SendError::ForbiddenUrl)?;
            TlsConnector::from(Arc::clone(&self.tls))
                .connect(name, stream)
                .await
                .map_err(|_| SendError::Unreachable)
        };
        timeout(self.patience, connecting).await.unwrap_or(Err(SendError::Timeout))
    }
}
