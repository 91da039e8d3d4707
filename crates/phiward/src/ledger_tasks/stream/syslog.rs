//! Syslog over TLS: RFC 5424 messages in RFC 5425 frames (length, space, message). Syslog acknowledges
//! nothing, so what may still be on its way when a connection breaks is sent again on the next one: a
//! byte is past that once more bytes than a send buffer holds came after it, or TCP would have given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use outbound::{Dialer, Origin, TlsStream};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Line;

/// Facility "log audit" (RFC 5424 §6.2.1), severities informational and warning.
const GOOD: u8 = 13 * 8 + 6;
const BAD: u8 = 13 * 8 + 4;
/// How long connecting may take, and writing a chunk.
const CONNECT: Duration = Duration::from_secs(10);
const WRITE: Duration = Duration::from_secs(30);
/// Linux gives up after some 16 minutes (`tcp_retries2`), and buffers 4 MiB (`tcp_wmem`) at most.
const ON_ITS_WAY: Duration = Duration::from_secs(20 * 60);
const ON_ITS_WAY_BYTES: usize = 8 << 20;

/// A chunk that may not have arrived.
struct Sent {
    at: Instant,
    first_seq: u64,
    frames: Vec<u8>,
}

pub(in super::super) struct SyslogTarget {
    dialer: Dialer,
    host: String,
    connection: Option<TlsStream>,
    on_its_way: VecDeque<Sent>,
}

impl SyslogTarget {
    pub(super) fn new(
        peer: &str,
        roots: Vec<CertificateDer<'static>>,
        issuer: &str,
    ) -> Result<Self, String> {
        let url = format!("https://{peer}");
        let named = url::Url::parse(&url).ok().filter(|url| url.port().is_some());
        let only_a_peer = named.is_some_and(|url| url.path() == "/" && url.query().is_none());
        if !only_a_peer {
            return Err("to: syslog+tls://HOST:PORT, usually port 6514".to_owned());
        }
        let origin = Origin::of(&url).map_err(|error| error.to_string())?;
        let dialer = Dialer::new(origin, roots, CONNECT).map_err(|error| error.to_string())?;
        Ok(Self { dialer, host: hostname(issuer), connection: None, on_its_way: VecDeque::new() })
    }

    pub(super) async fn send(&mut self, lines: &[Line]) -> Result<u64, String> {
        let next = lines.last().map_or(0, |line| line.seq.saturating_add(1));
        let frames: Vec<u8> = lines.iter().flat_map(|line| frame(line, &self.host)).collect();
        let sent = match self.connection.take() {
            Some(connection) => write(connection, &[&frames]).await.ok(),
            None => None,
        };
        let connection = match sent {
            Some(connection) => connection,
            // A new connection first gets what the last one may have lost.
            None => {
                let connection = self.dialer.connect_tls().await.map_err(|e| e.to_string())?;
                let mut parts: Vec<&[u8]> = Vec::new();
                for sent in &self.on_its_way {
                    parts.push(&sent.frames);
                }
                parts.push(&frames);
                write(connection, &parts).await?
            }
        };
        self.connection = Some(connection);
        let first_seq = lines.first().map_or(next, |line| line.seq);
        self.on_its_way.push_back(Sent { at: Instant::now(), first_seq, frames });
        self.forget_what_arrived();
        Ok(self.on_its_way.front().map_or(next, |sent| sent.first_seq))
    }

    fn forget_what_arrived(&mut self) {
        let mut bytes: usize = self.on_its_way.iter().map(|sent| sent.frames.len()).sum();
        while let Some(oldest) = self.on_its_way.front() {
            bytes = bytes.saturating_sub(oldest.frames.len());
            if oldest.at.elapsed() < ON_ITS_WAY && bytes < ON_ITS_WAY_BYTES {
                return;
            }
            self.on_its_way.pop_front();
        }
    }
}

/// Writes on a connection whose peer has not closed it; hands it back if all is well.
async fn write(mut connection: TlsStream, parts: &[&[u8]]) -> Result<TlsStream, String> {
    let closed = || "the collector closed the connection".to_owned();
    // A collector says nothing: what can be read is its farewell.
    let mut said = [0; 64];
    if let Ok(farewell) = timeout(Duration::from_millis(1), connection.read(&mut said)).await
        && farewell.map_or(true, |read| read == 0)
    {
        return Err(closed());
    }
    let writing = async {
        for part in parts {
            connection.write_all(part).await?;
        }
        connection.flush().await
    };
    match timeout(WRITE, writing).await {
        Ok(Ok(())) => Ok(connection),
        Ok(Err(_)) => Err(closed()),
        Err(_) => Err("the collector does not take what it is sent".to_owned()),
    }
}

/// RFC 5425 §4.3 around RFC 5424 §6. The record's number stands in the message; `sequenceId`
/// (RFC 5424 §7.3.1) is for collectors that look for gaps.
pub(super) fn frame(line: &Line, host: &str) -> Vec<u8> {
    let priority = if line.is_good { GOOD } else { BAD };
    let sequence = line.seq % 2_147_483_647 + 1;
    let message = format!(
        "<{priority}>1 {time} {host} phiward - {kind} [meta sequenceId=\"{sequence}\"] \u{FEFF}{json}",
        time = line.time,
        kind = line.kind,
        json = line.json,
    );
    format!("{} {message}", message.len()).into_bytes()
}

/// The issuer's host as HOSTNAME: printable ASCII, at most 255 (RFC 5424 §6.2.4).
fn hostname(issuer: &str) -> String {
    let host = url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host: String =
        host.unwrap_or_default().chars().filter(char::is_ascii_graphic).take(255).collect();
    if host.is_empty() { "-".to_owned() } else { host }
}
