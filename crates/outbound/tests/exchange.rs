//! The client against real sockets whose peers misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use phiward_outbound::{Client, Limits, Options, Origin, PeerPolicy, SendError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the peer does after each request it has read.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Keep,
    Hang,
}

struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<std::sync::Mutex<Vec<String>>>,
}

async fn peer(answer: &'static [u8], then: Then) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (count, seen) = (Arc::clone(&connections), Arc::clone(&requests));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(converse(stream, answer, then, Arc::clone(&seen)));
        }
    });
    Peer { address, connections, requests }
}

async fn converse(
    mut stream: TcpStream,
    answer: &'static [u8],
    then: Then,
    seen: Arc<std::sync::Mutex<Vec<String>>>,
) {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(n) => read.extend_from_slice(&chunk[..n]),
        }
        if !read.windows(4).any(|w| w == b"\r\n\r\n") {
            continue;
        }
        seen.lock().unwrap().push(String::from_utf8(std::mem::take(&mut read)).unwrap());
        drop(stream.write_all(answer).await);
        match then {
            Then::Close => return,
            Then::Keep => {}
            Then::Hang => tokio::time::sleep(Duration::from_secs(30)).await,
        }
    }
}

fn client(address: SocketAddr) -> Client {
    let origin = Origin::of(&format!("http://{address}")).unwrap();
    let mut options = Options::new(PeerPolicy::ExactOrigin(origin));
    options.limits =
        Limits { body: 1000, connect: Duration::from_secs(1), total: Duration::from_millis(400) };
    Client::new(options).unwrap()
}

fn get(uri: impl AsRef<str>) -> Request<Bytes> {
    Request::builder().uri(uri.as_ref()).body(Bytes::new()).unwrap()
}

async fn outcome(answer: &'static [u8], then: Then) -> Result<Bytes, SendError> {
    let peer = peer(answer, then).await;
    client(peer.address).fetch(get("/x")).await.map(http::Response::into_body)
}

#[tokio::test]
async fn an_answer_arrives_whole_and_its_connection_is_used_again() {
    let peer = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Then::Keep).await;
    let client = client(peer.address);
    for _ in 0..5 {
        assert_eq!(client.fetch(get("/a?b=c")).await.unwrap().into_body(), "ok");
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
    let seen = peer.requests.lock().unwrap();
    assert!(seen[0].starts_with("GET /a?b=c HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains(&format!("host: {}\r\n", peer.address)));
    assert!(!seen[0].contains("accept-encoding"));
}

#[tokio::test]
async fn a_kept_connection_that_is_gone_costs_nothing() {
    // Each connection announces to stay and closes after its first answer.
    let peer = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Then::Close).await;
    let client = client(peer.address);
    for _ in 0..20 {
        assert_eq!(client.fetch(get("/")).await.unwrap().into_body(), "ok");
    }
    assert_eq!(peer.requests.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn a_request_that_may_change_something_is_sent_once() {
    let peer = peer(b"", Then::Close).await;
    let client = client(peer.address);
    let post = Request::builder().method(Method::POST).uri("/").body(Bytes::from("x")).unwrap();
    assert_eq!(client.send(post).await.unwrap_err(), SendError::Broken);
    assert_eq!(peer.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_error() {
    for answer in [
        &b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n"[..],
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n",
    ] {
        assert_eq!(outcome(answer, Then::Keep).await, Err(SendError::Redirected));
    }
}

#[tokio::test]
async fn an_answer_shorter_than_announced_is_broken() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort";
    assert_eq!(outcome(answer, Then::Close).await, Err(SendError::Broken));
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n";
    assert_eq!(outcome(answer, Then::Close).await, Err(SendError::Broken));
}

#[tokio::test]
async fn an_answer_longer_than_announced_poisons_no_later_one() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let peer = peer(answer, Then::Keep).await;
    let client = client(peer.address);
    for _ in 0..5 {
        assert_eq!(client.fetch(get("/")).await.unwrap().into_body(), "ok");
    }
}

#[tokio::test]
async fn what_is_no_http_or_was_encoded_unasked_is_broken() {
    for answer in [
        &b"<html>hello</html>\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"",
    ] {
        assert_eq!(outcome(answer, Then::Close).await, Err(SendError::Broken), "{answer:?}");
    }
}

#[tokio::test]
async fn size_is_capped_before_and_while_reading() {
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n";
    assert_eq!(outcome(announced, Then::Hang).await, Err(SendError::TooLarge));
    let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..20 {
        endless.extend_from_slice(b"64\r\n");
        endless.extend_from_slice(&[b'x'; 100]);
        endless.extend_from_slice(b"\r\n");
    }
    assert_eq!(outcome(endless.leak(), Then::Hang).await, Err(SendError::TooLarge));
    let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    head.extend_from_slice(&[b'x'; 200_000]);
    assert_eq!(outcome(head.leak(), Then::Hang).await, Err(SendError::Broken));
}

#[tokio::test]
async fn silence_and_slowness_end_in_time() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nslow"] {
        assert_eq!(outcome(answer, Then::Hang).await, Err(SendError::Timeout));
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    assert_eq!(client(address).fetch(get("/")).await.unwrap_err(), SendError::Unreachable);
}

#[tokio::test]
async fn another_origin_is_refused() {
    let peer = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Then::Keep).await;
    let client = client(peer.address);
    assert!(client.fetch(get(format!("http://{}/x", peer.address))).await.is_ok());
    for url in [format!("http://localhost:{}/", peer.address.port()), "https://127.0.0.1/".into()] {
        assert_eq!(client.fetch(get(url)).await.unwrap_err(), SendError::ForbiddenUrl);
    }
}

#[tokio::test]
async fn a_public_client_never_reaches_a_private_address() {
    let peer = peer(b"", Then::Close).await;
    let client = Client::new(Options::new(PeerPolicy::PublicHttps)).unwrap();
    let port = peer.address.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
        let url = format!("https://{host}:{port}/jwks");
        let error = client.fetch(get(&url)).await.unwrap_err();
        assert!(matches!(error, SendError::Forbidden(_)), "{url}: {error:?}");
    }
    for url in ["http://127.0.0.1/", "http://example.com/", "/jwks"] {
        assert_eq!(client.fetch(get(url)).await.unwrap_err(), SendError::ForbiddenUrl, "{url}");
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_without_a_trusted_certificate_is_unreachable() {
    let (address, root) = tls_peer().await;
    let origin = Origin::of(&format!("https://localhost:{}", address.port())).unwrap();
    let mut options = Options::new(PeerPolicy::ExactOrigin(origin));
    let strict = Client::new(options.clone()).unwrap();
    assert_eq!(strict.fetch(get("/")).await.unwrap_err(), SendError::Unreachable);
    options.extra_roots = vec![root];
    let trusting = Client::new(options).unwrap();
    assert_eq!(trusting.fetch(get("/")).await.unwrap().into_body(), "ok");
}

async fn tls_peer() -> (SocketAddr, rustls_pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let root = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![root.clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(stream).await else { continue };
            let mut chunk = [0; 4096];
            drop(tls.read(&mut chunk).await);
            drop(tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await);
            drop(tls.flush().await);
        }
    });
    (address, root)
}
