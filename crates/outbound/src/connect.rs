//! From an origin to an open HTTP/1.1 connection. The address is judged before the connection is
//! tried and once more on the connected socket.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{Origin, PeerPolicy, SendError};

/// Response headers together may be this large, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Response headers may be this many.
const MAX_HEADERS: usize = 100;

/// Opens a connection to an origin, if the policy allows the address it turns out to have.
pub(crate) async fn open(
    policy: &PeerPolicy,
    tls: &Arc<rustls::ClientConfig>,
    origin: &Origin,
) -> Result<SendRequest<Full<Bytes>>, SendError> {
    let host = origin.host();
    let stream = dial(policy, &host, origin.port()).await?;
    if !origin.is_tls() {
        return handshake(stream).await;
    }
    let name = ServerName::try_from(host).map_err(|_| SendError::ForbiddenUrl)?;
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
        .map_err(|_| SendError::Unreachable)?;
    handshake(stream).await
}

/// A connection to a host, if the policy allows an address of it.
pub(crate) async fn dial(
    policy: &PeerPolicy,
    host: &str,
    port: u16,
) -> Result<TcpStream, SendError> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|_| SendError::Unreachable)?;
    let mut outcome = SendError::Unreachable;
    for address in found {
        match dial_one(policy, address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => outcome = error,
        }
    }
    Err(outcome)
}

async fn dial_one(policy: &PeerPolicy, address: SocketAddr) -> Result<TcpStream, SendError> {
    if !policy.allows(address.ip()) {
        return Err(SendError::Forbidden(address.ip()));
    }
    let unreachable = |_: io::Error| SendError::Unreachable;
    #[allow(clippy::disallowed_methods, reason = "this is the place that judges the address")]
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    let peer = stream.peer_addr().map_err(unreachable)?.ip();
    if !policy.allows(peer) {
        return Err(SendError::Forbidden(peer));
    }
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, SendError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| SendError::Unreachable)?;
    // How a connection ends shows in the request that it carried.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
