//! The listener against real sockets: what TLS it speaks, what it does with slow, large and
//! ambiguous requests, and that it drains.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::{
    future::Future,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Timestamp;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use phiward_web::{
    answer::Answer,
    pki::DemoPki,
    server::{self, Handle, NotLoopback, Peer, ServerLimits, Transport},
    tls::{Tls, TlsError, TlsFiles},
};
use rustls::{ClientConfig, RootCertStore, version::TLS12};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Says what it was asked, after the delay that the path names.
struct Echo;

impl Handle for Echo {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move {
            assert!(request.extensions().get::<Peer>().unwrap().0.is_loopback());
            let (head, body) = request.into_parts();
            if head.uri.path() == "/slow" {
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            let size = body.collect().await.map_or(0, |body| body.to_bytes().len());
            Response::new(Full::from(format!("{} {} {size}", head.method, head.uri.path())))
        })
    }
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<(), NotLoopback>>,
}

async fn start(transport: Transport) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ServerLimits {
        connections: 50,
        handshake: Duration::from_millis(500),
        head: Duration::from_millis(500),
        head_bytes: 16 * 1024,
        drain: Duration::from_secs(3),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let done = tokio::spawn(server::serve(listener, transport, Arc::new(Echo), limits, shutdown));
    Running { address, stop, done }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpSocket::new_v4().unwrap().connect(address).await.unwrap()
}

/// Sends bytes and reads until the peer closes or falls silent for a while.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> String {
    drop(stream.write_all(bytes).await);
    let mut heard = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(Ok(n @ 1..)) = timeout(Duration::from_millis(300), stream.read(&mut chunk)).await {
        heard.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8(heard).unwrap()
}

async fn plain(bytes: &[u8]) -> String {
    let running = start(Transport::LoopbackPlain).await;
    say(&mut connect(running.address).await, bytes).await
}

fn pki(dir: &Path) -> (DemoPki, Tls) {
    let pki = DemoPki::prepare(dir, NOW).unwrap();
    let tls = Tls::load(pki.server.clone()).unwrap();
    (pki, tls)
}

/// A client that believes it is the day on which the certificates were made.
fn client(ca: &Path, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    #[derive(Debug)]
    struct Then;
    impl rustls::time_provider::TimeProvider for Then {
        fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
            let secs = u64::try_from(NOW.secs()).unwrap();
            Some(rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(secs)))
        }
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_details(provider, Arc::new(Then))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_under_every_loopback_name() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, tls) = pki(dir.path());
    let running = start(Transport::Tls(tls)).await;
    for versions in [&[&TLS12][..], &[&rustls::version::TLS13]] {
        for name in ["localhost", "127.0.0.1", "::1"] {
            let config = client(&pki.ca, versions);
            let connector = TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from(name).unwrap();
            let stream = connector.connect(name, connect(running.address).await).await;
            let heard = say(&mut stream.unwrap(), GET).await;
            assert!(heard.starts_with("HTTP/1.1 200 OK") && heard.ends_with("GET /x 0"), "{heard}");
        }
    }
}

#[tokio::test]
async fn http_2_is_spoken_when_offered() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, tls) = pki(dir.path());
    let running = start(Transport::Tls(tls)).await;
    let mut config = client(&pki.ca, &[&rustls::version::TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, connect(running.address).await).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<bytes::Bytes>>(executor, io)
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::builder().uri("https://localhost/two").body(Full::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "GET /two 0");
    drop(sender);
    driver.await.unwrap().unwrap();
}

/// What a server answers first to a hand-made ClientHello (RFC 5246 §7.4.1.2): content type and
/// contents of a record. `minor` 3 is TLS 1.2, 2 is TLS 1.1.
async fn hello(address: SocketAddr, minor: u8) -> (u8, Vec<u8>) {
    // ECDHE-ECDSA and ECDHE-RSA suites of TLS 1.2 and before; ecdsa_secp256r1_sha256; P-256.
    let suites = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0xc0, 0x13];
    let extensions = [0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    let mut body = vec![3, minor];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 8]);
    body.extend_from_slice(&suites);
    body.extend_from_slice(&[1, 0, 0, 22]);
    body.extend_from_slice(&extensions);
    let size = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, size + 4, 1, 0, 0, size];
    record.extend_from_slice(&body);
    let mut stream = connect(address).await;
    stream.write_all(&record).await.unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let mut contents = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut contents).await.unwrap();
    (head[0], contents)
}

#[tokio::test]
async fn tls_1_1_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, tls) = pki(dir.path());
    let running = start(Transport::Tls(tls)).await;
    // A handshake record (22) that begins with ServerHello (2), against a fatal (2) alert (21)
    // protocol_version (70).
    let (kind, contents) = hello(running.address, 3).await;
    assert_eq!((kind, contents[0]), (22, 2));
    for minor in [1, 2] {
        assert_eq!(hello(running.address, minor).await, (21, vec![2, 70]));
    }
}

#[tokio::test]
async fn plain_http_on_the_tls_listener_and_a_silent_handshake_end_soon() {
    let dir = tempfile::tempdir().unwrap();
    let (_, tls) = pki(dir.path());
    let running = start(Transport::Tls(tls)).await;
    let heard = {
        let mut stream = connect(running.address).await;
        stream.write_all(GET).await.unwrap();
        let mut heard = Vec::new();
        drop(stream.read_to_end(&mut heard).await);
        heard
    };
    assert!(!heard.starts_with(b"HTTP"));
    let began = Instant::now();
    let mut silent = connect(running.address).await;
    let mut nothing = [0; 1];
    let read = timeout(Duration::from_secs(2), silent.read(&mut nothing)).await.unwrap();
    assert_eq!(read.unwrap(), 0);
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_plain_listener_is_for_loopback_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let limits = ServerLimits::default();
    let outcome = server::serve(
        listener,
        Transport::LoopbackPlain,
        Arc::new(Echo),
        limits,
        std::future::pending(),
    );
    let outcome = timeout(Duration::from_secs(2), outcome).await.expect("it must not serve");
    assert_eq!(outcome, Err(NotLoopback));
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let heard = plain(
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    assert!(heard.contains("POST /a 3") && heard.ends_with("GET /b 0"), "{heard}");
}

#[tokio::test]
async fn ambiguous_requests_get_400_and_the_connection_closes() {
    for bytes in [
        &b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcGET /evil HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c: d\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let heard = plain(bytes).await;
        let text = String::from_utf8_lossy(bytes);
        assert!(heard.starts_with("HTTP/1.1 400 "), "{text}: {heard}");
        assert!(!heard.contains("evil") && heard.matches("HTTP/1.1").count() == 1, "{text}: {heard}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    bytes.extend_from_slice(&[b'x'; 40_000]);
    let heard = plain(&bytes).await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
    let heard = plain(many.as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_end_in_time_and_others_are_served() {
    let running = start(Transport::LoopbackPlain).await;
    let mut slow = connect(running.address).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(connect(running.address).await);
    }
    let heard = say(&mut connect(running.address).await, GET).await;
    assert!(heard.ends_with("GET /x 0"), "{heard}");
    let mut rest = Vec::new();
    timeout(Duration::from_secs(2), slow.read_to_end(&mut rest)).await.unwrap().unwrap();
    let mut byte = [0; 1];
    let read = timeout(Duration::from_secs(2), idle[0].read(&mut byte)).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0);
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_accepts_nothing_more() {
    let running = start(Transport::LoopbackPlain).await;
    let mut stream = connect(running.address).await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.send(()).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert!(heard.ends_with("GET /slow 0"), "{heard}");
    running.done.await.unwrap().unwrap();
    let refused = TcpSocket::new_v4().unwrap().connect(running.address).await;
    assert!(refused.is_err());
}

#[test]
fn a_certificate_of_another_key_names_both_files() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, _) = pki(one.path());
    let (second, _) = pki(other.path());
    let files =
        TlsFiles { certificate: first.server.certificate.clone(), key: second.server.key.clone() };
    let error = Tls::load(files.clone()).map(drop).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{text}");
    for path in [&files.certificate, &files.key] {
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[test]
fn unreadable_exposed_and_empty_files_are_clear_errors() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, _) = pki(dir.path());
    let load = |files: &TlsFiles| Tls::load(files.clone()).map(drop).unwrap_err();
    let missing = TlsFiles { key: dir.path().join("absent.key"), ..pki.server.clone() };
    assert!(load(&missing).to_string().contains("absent.key"));
    let swapped =
        TlsFiles { certificate: pki.server.key.clone(), key: pki.server.certificate.clone() };
    assert!(matches!(load(&swapped), TlsError::NoCertificate(_)));
    std::fs::set_permissions(&pki.server.key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(load(&pki.server), TlsError::KeyExposed(_)));
}

#[test]
fn the_demo_certificates_are_private_reused_and_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, _) = pki(dir.path());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    for key in ["ca.key", "server.key"] {
        let mode = std::fs::metadata(dir.path().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let (ca, server) = (read(&pki.ca), read(&pki.server.certificate));
    DemoPki::prepare(dir.path(), NOW.plus_secs(86_400)).unwrap();
    assert_eq!(read(&pki.server.certificate), server);
    DemoPki::prepare(dir.path(), NOW.plus_secs(70 * 86_400)).unwrap();
    assert_ne!(read(&pki.server.certificate), server);
    assert_eq!(read(&pki.ca), ca);
}

#[tokio::test]
async fn a_reload_takes_the_new_certificate_and_a_failed_one_keeps_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, tls) = pki(dir.path());
    let running = start(Transport::Tls(tls.clone())).await;
    let presented = async || {
        let connector = TlsConnector::from(Arc::new(client(&pki.ca, &[&TLS12])));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, connect(running.address).await).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = presented().await;
    std::fs::write(&pki.server.certificate, "not a certificate").unwrap();
    assert!(tls.reload().is_err());
    assert_eq!(presented().await, before);
    DemoPki::prepare(dir.path(), NOW).unwrap();
    tls.reload().unwrap();
    assert_ne!(presented().await, before);
}
