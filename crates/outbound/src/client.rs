//! Requests and their bounded answers.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;

use crate::{
    Origin, PeerPolicy, connect,
    pool::{Connection, Pool},
};

/// Bounds of one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest body of an answer, in bytes.
    pub body: usize,
    /// How long resolving, connecting and the TLS handshake may take together.
    pub connect: Duration,
    /// How long the whole exchange may take.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 1024 * 1024, connect: Duration::from_secs(5), total: Duration::from_secs(10) }
    }
}

/// What becomes of a 3xx answer; none is ever followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Redirects {
    /// It is an error.
    #[default]
    Refuse,
    /// It is handed over like any answer: for whoever plays the browser's part.
    HandOver,
}

/// What a client is made from.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may be talked to.
    pub policy: PeerPolicy,
    /// Certificate authorities trusted beside the web's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Bounds of one exchange.
    pub limits: Limits,
    /// What becomes of a 3xx answer.
    pub redirects: Redirects,
    /// How many idle connections are kept; used with [`PeerPolicy::ExactOrigin`] only.
    pub idle_connections: usize,
}

impl Options {
    /// The policy with the web's certificate authorities and the default limits.
    pub fn new(policy: PeerPolicy) -> Self {
        Self {
            policy,
            extra_roots: Vec::new(),
            limits: Limits::default(),
            redirects: Redirects::default(),
            idle_connections: 64,
        }
    }
}

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An extra certificate authority is no usable certificate.
    #[error("a certificate authority could not be read")]
    Root,
    /// The TLS library refused its configuration.
    #[error("TLS could not be set up")]
    Tls,
}

/// Why there is no answer. Nothing of the answer is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// No address, no connection, or no TLS session that can be trusted.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// A time limit passed.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The answer is larger than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is a redirect; those are never followed.
    #[error("the peer answered with a redirect")]
    Redirected,
    /// The address is none that the policy allows.
    #[error("the address {0} is not allowed")]
    Forbidden(IpAddr),
    /// The URL is none that the policy allows.
    #[error("the URL is not allowed")]
    ForbiddenUrl,
    /// The answer breaks HTTP, ends early or is encoded though nobody asked for it.
    #[error("the answer is broken")]
    Broken,
}

/// The guarded HTTP client; clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    policy: PeerPolicy,
    tls: Arc<rustls::ClientConfig>,
    limits: Limits,
    redirects: Redirects,
    pool: Pool,
}

/// What happens when a kept connection turns out to be gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Never,
}

/// What became of a request on one connection.
enum Failure {
    /// The peer closed without a byte of an answer.
    Gone,
    Final(SendError),
}

/// TLS that trusts the web's certificate authorities and these.
pub(crate) fn tls_config(
    extra_roots: Vec<CertificateDer<'static>>,
    alpn: Vec<Vec<u8>>,
) -> Result<rustls::ClientConfig, SetupError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for root in extra_roots {
        roots.add(root).map_err(|_| SetupError::Root)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|_| SetupError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = alpn;
    Ok(tls)
}

impl Client {
    /// A client under a policy.
    ///
    /// # Errors
    /// [`SetupError`] for an unusable certificate authority or TLS configuration.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let tls = tls_config(options.extra_roots, vec![b"http/1.1".to_vec()])?;
        Ok(Self {
            inner: Arc::new(Inner {
                policy: options.policy,
                tls: Arc::new(tls),
                limits: options.limits,
                redirects: options.redirects,
                pool: Pool::new(options.idle_connections),
            }),
        })
    }

    /// Sends a request that changes nothing at the peer, and reads the whole answer. If a kept
    /// connection turns out to be gone, the request is sent once more on a new one.
    ///
    /// # Errors
    /// [`SendError`]; any 3xx answer is [`SendError::Redirected`].
    pub async fn fetch(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        self.within_time(request, Repeat::Once).await
    }

    /// Sends a request at most once, and reads the whole answer.
    ///
    /// # Errors
    /// [`SendError`]; any 3xx answer is [`SendError::Redirected`].
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        self.within_time(request, Repeat::Never).await
    }

    async fn within_time(
        &self,
        request: Request<Bytes>,
        repeat: Repeat,
    ) -> Result<Response<Bytes>, SendError> {
        let exchange = Box::pin(self.exchange(request, repeat));
        timeout(self.inner.limits.total, exchange).await.unwrap_or(Err(SendError::Timeout))
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        repeat: Repeat,
    ) -> Result<Response<Bytes>, SendError> {
        let (origin, request) = self.address(request)?;
        let pooled = matches!(self.inner.policy, PeerPolicy::ExactOrigin(_));
        if pooled
            && repeat == Repeat::Once
            && let Some(connection) = self.inner.pool.take().await
        {
            match self.on(connection, request.clone(), pooled).await {
                Ok(response) => return Ok(response),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Gone) => {}
            }
        }
        let connecting = connect::open(&self.inner.policy, &self.inner.tls, &origin);
        let connection = timeout(self.inner.limits.connect, connecting)
            .await
            .unwrap_or(Err(SendError::Timeout))?;
        self.on(connection, request, pooled).await.map_err(|failure| match failure {
            Failure::Gone => SendError::Broken,
            Failure::Final(error) => error,
        })
    }

    /// Splits off the origin, and puts the request into origin form (RFC 9112 §3.2.1).
    fn address(
        &self,
        request: Request<Bytes>,
    ) -> Result<(Origin, Request<Full<Bytes>>), SendError> {
        let (mut parts, body) = request.into_parts();
        let origin = match (&self.inner.policy, parts.uri.scheme()) {
            (PeerPolicy::ExactOrigin(origin), None) => origin.clone(),
            (PeerPolicy::ExactOrigin(origin), Some(_)) => {
                let named = Origin::of(&parts.uri.to_string());
                if named.as_ref() != Ok(origin) {
                    return Err(SendError::ForbiddenUrl);
                }
                origin.clone()
            }
            (PeerPolicy::PublicHttps, _) => {
                let named = Origin::of(&parts.uri.to_string());
                named.ok().filter(Origin::is_tls).ok_or(SendError::ForbiddenUrl)?
            }
        };
        let path = parts.uri.path_and_query().cloned().ok_or(SendError::ForbiddenUrl)?;
        parts.uri = Uri::from(path);
        let host = HeaderValue::try_from(origin.authority());
        parts.headers.insert(header::HOST, host.map_err(|_| SendError::ForbiddenUrl)?);
        parts.headers.remove(header::ACCEPT_ENCODING);
        Ok((origin, Request::from_parts(parts, Full::new(body))))
    }

    async fn on(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        pooled: bool,
    ) -> Result<Response<Bytes>, Failure> {
        let response = connection.send_request(request).await.map_err(|error| {
            if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
                return Failure::Gone;
            }
            Failure::Final(SendError::Broken)
        })?;
        let response = self.read(response).await.map_err(Failure::Final)?;
        if pooled {
            self.inner.pool.put(connection);
        }
        Ok(response)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Response<Bytes>, SendError> {
        let (parts, mut body) = response.into_parts();
        if parts.status.is_redirection() && self.inner.redirects == Redirects::Refuse {
            return Err(SendError::Redirected);
        }
        if parts.status.is_informational() || parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(SendError::Broken);
        }
        let limit = self.inner.limits.body;
        let announced = hyper::body::Body::size_hint(&body).lower();
        let announced = usize::try_from(announced).map_err(|_| SendError::TooLarge)?;
        if announced > limit {
            return Err(SendError::TooLarge);
        }
        let mut whole = BytesMut::with_capacity(announced);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| SendError::Broken)?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len().saturating_add(data.len()) > limit {
                return Err(SendError::TooLarge);
            }
            whole.extend_from_slice(&data);
        }
        Ok(Response::from_parts(parts, whole.freeze()))
    }
}
