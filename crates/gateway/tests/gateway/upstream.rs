//! A record server that says whatever a test wants, byte for byte.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as the record server saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub headers: String,
    pub body: String,
}

type Respond = Arc<dyn Fn(&Asked) -> Vec<u8> + Send + Sync>;

#[derive(Clone)]
pub struct Hostile {
    pub base: String,
    respond: Arc<Mutex<Respond>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hostile {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/up", listener.local_addr().unwrap());
        let none: Respond = Arc::new(|_: &Asked| answer(404, "application/fhir+json", "{}"));
        let this = Self { base, respond: Arc::new(Mutex::new(none)), asked: Arc::default() };
        let server = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().converse(stream));
            }
        });
        this
    }

    /// From now on every request gets this answer; an empty one is silence.
    pub fn says(&self, respond: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) {
        *self.respond.lock().unwrap() = Arc::new(respond);
    }

    /// The requests since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    async fn converse(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        let mut chunk = [0; 4096];
        let asked = loop {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => read.extend_from_slice(&chunk[..n]),
            }
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length: usize = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                let (line, headers) = head.split_once("\r\n").unwrap();
                break Asked { line: line.into(), headers: headers.into(), body: body.into() };
            }
        };
        let respond = Arc::clone(&self.respond.lock().unwrap());
        let answer = respond(&asked);
        self.asked.lock().unwrap().push(asked);
        if answer.is_empty() {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
        drop(stream.write_all(&answer).await);
        drop(stream.shutdown().await);
    }
}

pub fn answer(status: u16, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nETag: W/\"1\"\r\nX-Powered-By: CANARY\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub fn json(body: &str) -> Vec<u8> {
    answer(200, "application/fhir+json;charset=utf-8", body)
}

/// A searchset of these resources, with links.
pub fn bundle(resources: &[String], links: &str) -> String {
    let entries: Vec<String> = resources
        .iter()
        .map(|raw| format!(r#"{{"fullUrl":"urn:x","resource":{raw},"search":{{"mode":"match"}}}}"#))
        .collect();
    format!(
        r#"{{"resourceType":"Bundle","id":"b","type":"searchset","total":4711,"link":[{links}],"entry":[{}]}}"#,
        entries.join(",")
    )
}

pub const SELF: &str = r#"{"relation":"self","url":"http://up/whatever"}"#;

/// An observation of a patient in a category, with more members.
pub fn observation(id: &str, patient: &str, category: &str, more: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"{category}"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"4548-4"}}]}},"subject":{{"reference":"Patient/{patient}"}}{more}}}"#
    )
}
