//! The accept loop. Handshakes, request heads, idle connections and the number of connections are
//! bounded, so that slow or silent peers cost a place for seconds at most; on shutdown, requests in
//! flight are answered and new ones are not accepted.

use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{answer::Answer, strict_http1::StrictHttp1, tls::Tls};

/// Bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once.
    pub connections: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request head may take to arrive, and a connection be idle.
    pub head: Duration,
    /// The largest request head, in bytes.
    pub head_bytes: u32,
    /// How long requests in flight may take after shutdown began.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            head_bytes: 32 * 1024,
            drain: Duration::from_secs(20),
        }
    }
}

/// The address at the other end of a connection; a request extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// What answers requests; every request gets an answer.
pub trait Handle: Send + Sync + 'static {
    /// Answers one request, which carries a [`Peer`].
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// How a listener speaks.
#[derive(Clone)]
pub enum Transport {
    /// TLS, HTTP/2 and HTTP/1.1.
    Tls(Tls),
    /// Plain HTTP/1.1; the listener must be bound to a loopback address.
    LoopbackPlain,
}

/// A plain listener was bound to an address that others can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a listener without TLS must be bound to a loopback address")]
pub struct NotLoopback;

/// Serves until `shutdown` completes, then drains.
///
/// # Errors
/// [`NotLoopback`] for a plain listener that is not on a loopback address.
pub async fn serve<H: Handle>(
    listener: TcpListener,
    transport: Transport,
    handler: Arc<H>,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), NotLoopback> {
    if matches!(transport, Transport::LoopbackPlain) {
        let local = listener.local_addr().map_err(|_| NotLoopback)?;
        if !local.ip().to_canonical().is_loopback() {
            return Err(NotLoopback);
        }
    }
    let places =
        Arc::new(Semaphore::new(usize::try_from(limits.connections).unwrap_or(usize::MAX)));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
            // Finished connections are let go of as they finish.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Some((stream, peer, place)) = accepted else {
            // Out of file descriptors, most likely: let some connection end first.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = Connection {
            peer: Peer(peer),
            handler: Arc::clone(&handler),
            limits,
            closed: closed.clone(),
        };
        let transport = transport.clone();
        connections.spawn(async move {
            connection.run(stream, transport).await;
            drop(place);
        });
    }
    drop(listener);
    closing.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain, all).await.is_err() {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let (stream, peer) = listener.accept().await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some((stream, peer.ip().to_canonical(), place))
}

struct Connection<H> {
    peer: Peer,
    handler: Arc<H>,
    limits: ServerLimits,
    closed: watch::Receiver<bool>,
}

impl<H: Handle> Connection<H> {
    async fn run(self, stream: TcpStream, transport: Transport) {
        match transport {
            Transport::LoopbackPlain => self.http1(StrictHttp1::new(stream)).await,
            Transport::Tls(tls) => {
                let handshake = TlsAcceptor::from(tls.config()).accept(stream);
                let Ok(Ok(stream)) = timeout(self.limits.handshake, handshake).await else {
                    return;
                };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.http2(stream).await;
                } else {
                    self.http1(StrictHttp1::new(stream)).await;
                }
            }
        }
    }

    async fn http1<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (peer, handler) = (self.peer, Arc::clone(&self.handler));
        let service = service_fn(move |request| answer(Arc::clone(&handler), peer, request));
        let buffer = usize::try_from(self.limits.head_bytes).unwrap_or(usize::MAX);
        let connection = conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(buffer.max(8 * 1024))
            .max_headers(64)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = self.closed;
        tokio::select! {
            ended = connection.as_mut() => return drop(ended),
            _ = closed.wait_for(|closed| *closed) => {}
        }
        connection.as_mut().graceful_shutdown();
        drop(connection.await);
    }

    async fn http2<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (peer, handler) = (self.peer, Arc::clone(&self.handler));
        let activity = Arc::new(Activity::default());
        let seen = Arc::clone(&activity);
        let service = service_fn(move |request| {
            let (handler, busy) = (Arc::clone(&handler), seen.begin());
            async move {
                let response = answer(handler, peer, request).await;
                drop(busy);
                response
            }
        });
        let connection = conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(self.limits.head_bytes)
            .max_concurrent_streams(128)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = self.closed;
        let idle = async {
            let mut before = activity.begun.load(Ordering::Relaxed);
            loop {
                sleep(self.limits.head.saturating_mul(4)).await;
                let begun = activity.begun.load(Ordering::Relaxed);
                let ended = activity.ended.load(Ordering::Relaxed);
                if begun == before && begun == ended {
                    return;
                }
                before = begun;
            }
        };
        tokio::select! {
            ended = connection.as_mut() => return drop(ended),
            _ = closed.wait_for(|closed| *closed) => {}
            () = idle => {}
        }
        connection.as_mut().graceful_shutdown();
        // A peer that never says goodbye is not waited for.
        drop(timeout(self.limits.drain, connection).await);
    }
}

/// Requests begun and ended on one connection.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

struct Busy(Arc<Activity>);

impl Activity {
    fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

async fn answer<H: Handle>(
    handler: Arc<H>,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    request.extensions_mut().insert(peer);
    Ok(handler.handle(request).await)
}
