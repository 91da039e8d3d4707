use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;

use outbound::{Options, Origin, PeerPolicy};

use super::*;

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0)
    }
}

/// A peer that gives each connection the next of these answers, and what it was asked.
struct Peer {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn peer(answers: Vec<Vec<u8>>) -> Peer {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            heard.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let _ = stream.write_all(&answer);
        }
    });
    Peer { endpoint, asked }
}

fn reach(endpoint: &str) -> Bucket {
    let client = |limits: Limits| {
        let policy = PeerPolicy::ExactOrigin(Origin::of(endpoint).unwrap());
        Client::new(Options { limits, ..Options::new(policy) }).unwrap()
    };
    Bucket::new(BucketOptions {
        endpoint: endpoint.to_owned(),
        bucket: "locked".into(),
        region: "us-east-1".into(),
        access_key: "AKIDEXAMPLE".into(),
        secret_key: Secret::new("the-secret-key".into()),
        small: client(SMALL),
        bulk: client(Limits { body: 4096, ..BULK }),
        clock: Arc::new(At(1_795_790_000)),
    })
    .unwrap()
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into()
}

async fn one<T>(
    answer: Vec<u8>,
    ask: impl AsyncFnOnce(&Bucket) -> Result<T, BucketError>,
) -> Result<T, BucketError> {
    // The same again for those that ask again.
    let peer = peer(vec![answer; 3]);
    ask(&reach(&peer.endpoint)).await
}

const LOCK: &str = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>";

#[tokio::test]
async fn only_a_bucket_that_says_so_in_so_many_words_locks() {
    let ask = async |bucket: &Bucket| bucket.require_lock().await;
    assert_eq!(one(answer("200 OK", LOCK), ask).await, Ok(()));
    for (answer, error) in [
        (answer("200 OK", ""), BucketError::NotLocked),
        (
            answer("200 OK", "<ObjectLockEnabled>Disabled</ObjectLockEnabled>"),
            BucketError::NotLocked,
        ),
        (answer("200 OK", "Enabled"), BucketError::NotLocked),
        (answer("200 OK", "<ObjectLockEnabled>Enabled"), BucketError::NotLocked),
        (
            answer("404 Not Found", "<Code>ObjectLockConfigurationNotFoundError</Code>"),
            BucketError::NotLocked,
        ),
        (answer("404 Not Found", "<Code>NoSuchBucket</Code>"), BucketError::NoBucket),
        (
            answer("403 Forbidden", "<Code>SignatureDoesNotMatch</Code>"),
            BucketError::Denied("SignatureDoesNotMatch".into()),
        ),
        // Nothing of an answer is repeated but a code in form.
        (
            answer("403 Forbidden", "<Code>\u{1b}[31mred</Code>"),
            BucketError::Denied("no code".into()),
        ),
        (
            answer("418 I'm a teapot", "<Code>Teapot</Code>"),
            BucketError::Status(418, "Teapot".into()),
        ),
        (answer("301 Moved\r\nlocation: http://127.0.0.1:1/", ""), SendError::Redirected.into()),
        (answer("200 OK", &"x".repeat(70_000)), SendError::TooLarge.into()),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort".to_vec(), SendError::Broken.into()),
        (b"\xff\xfe not http".to_vec(), SendError::Broken.into()),
        (answer("200 OK\r\ncontent-encoding: gzip", LOCK), SendError::Broken.into()),
    ] {
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(one(answer, ask).await, Err(error), "{said:.200}");
    }
}

const OBJECT: &str = "a/stream-0000000001/segment-0000000001.phl";

#[tokio::test]
async fn a_copy_counts_as_stored_only_with_a_version() {
    let until = Timestamp::from_secs(1_983_484_800);
    let ask = async |bucket: &Bucket| {
        bucket.put(OBJECT, Bytes::from_static(b"abc"), &keys::sha256(b"abc"), until, true).await
    };
    let whole = answer("200 OK\r\nx-amz-version-id: v.1_-", "");
    assert_eq!(one(whole, ask).await.as_deref(), Ok("v.1_-"));
    let long = format!("200 OK\r\nx-amz-version-id: {}", "v".repeat(1025));
    for head in
        ["200 OK", "200 OK\r\nx-amz-version-id: null", "200 OK\r\nx-amz-version-id: a b", &long]
    {
        assert!(
            matches!(one(answer(head, ""), ask).await, Err(BucketError::Answer(_))),
            "{head:.60}"
        );
    }
    let there = answer("412 Precondition Failed", "<Code>PreconditionFailed</Code>");
    assert_eq!(one(there, ask).await, Err(BucketError::Exists));

    // Asked once, whatever the answer: whoever lost an answer must look first.
    let peer = peer(vec![answer("500 Internal Server Error", ""); 3]);
    assert!(ask(&reach(&peer.endpoint)).await.is_err());
    let asked = peer.asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    let request = asked[0].to_ascii_lowercase();
    assert!(request.starts_with("put /locked/a/stream-0000000001/segment-0000000001.phl http/1.1"));
    for line in [
        "x-amz-object-lock-mode: compliance",
        "x-amz-object-lock-retain-until-date: 2032-11-08t00:00:00z",
        "x-amz-checksum-sha256: ungwv48bz+pbqudexa4ii7adyaowf3qctbd/yfiafa0=",
        "if-none-match: *",
        "x-amz-content-sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ] {
        assert!(request.contains(line), "{line} is not in {request}");
    }
    assert!(!request.contains("the-secret-key"));
}

#[tokio::test]
async fn what_is_said_of_a_version_is_read_strictly() {
    let ask = async |bucket: &Bucket| bucket.head(OBJECT, Some("v1")).await;
    let hash = hex(&[7; 32]);
    let head = |version: &str, length: &str, mode: &str, until: &str, sha256: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-amz-version-id: {version}\r\n\
             x-amz-object-lock-mode: {mode}\r\nx-amz-object-lock-retain-until-date: {until}\r\n\
             x-amz-meta-phiward-sha256: {sha256}\r\nconnection: close\r\n\r\n"
        )
        .into_bytes()
    };
    let date = "2032-11-08T00:00:00.000000000Z";
    let stored = one(head("v1", "9", "COMPLIANCE", date, &hash), ask).await.unwrap();
    let until = Some(Timestamp::from_secs(1_983_484_800));
    let whole =
        Stored { version_id: "v1".into(), bytes: 9, sha256: Some([7; 32]), locked_until: until };
    assert_eq!(stored, whole);
    for (mode, date) in
        [("GOVERNANCE", date), ("compliance", date), ("COMPLIANCE", "soon"), ("", date)]
    {
        let stored = one(head("v1", "9", mode, date, &hash), ask).await.unwrap();
        assert_eq!(stored.locked_until, None, "{mode} {date}");
    }
    for sha256 in ["", "07", &"é".repeat(32), &"zz".repeat(32)] {
        let stored = one(head("v1", "9", "COMPLIANCE", date, sha256), ask).await;
        assert!(stored.is_err() || stored.unwrap().sha256.is_none(), "{sha256}");
    }
    // Of another version than was asked for; without a version.
    assert!(matches!(
        one(head("v2", "9", "COMPLIANCE", date, &hash), ask).await,
        Err(BucketError::Answer(_))
    ));
    assert!(matches!(one(answer("200 OK", ""), ask).await, Err(BucketError::Answer(_))));
    assert_eq!(one(answer("404 Not Found", ""), ask).await, Err(BucketError::Missing));
    assert_eq!(one(answer("405 Method Not Allowed", ""), ask).await, Err(BucketError::Missing));
}

#[tokio::test]
async fn what_is_fetched_is_what_was_stored_or_nothing() {
    let sha256 = keys::sha256(b"abc");
    let ask = async |bucket: &Bucket| bucket.get(OBJECT, "v1", 3, &sha256).await;
    assert_eq!(one(answer("200 OK", "abc"), ask).await.unwrap(), "abc");
    for body in ["", "abd", "abcd", "ab"] {
        assert!(matches!(one(answer("200 OK", body), ask).await, Err(BucketError::Answer(_))));
    }
    let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nabc".to_vec();
    assert!(one(endless, ask).await.is_err());
    let huge = answer("200 OK", &"x".repeat(5000));
    assert_eq!(one(huge, ask).await, Err(SendError::TooLarge.into()));
    let asked = async |bucket: &Bucket| bucket.get(OBJECT, "v1", LARGEST + 1, &sha256).await;
    assert!(matches!(one(answer("200 OK", "abc"), asked).await, Err(BucketError::Answer(_))));
}

#[tokio::test]
async fn a_passing_failure_is_asked_again_and_a_lasting_one_is_not() {
    let busy = || answer("503 Slow Down", "<Code>SlowDown</Code>");
    let ask = async |bucket: &Bucket| bucket.require_lock().await;
    let better = peer(vec![busy(), busy(), answer("200 OK", LOCK)]);
    assert_eq!(ask(&reach(&better.endpoint)).await, Ok(()));
    let denied = peer(vec![answer("403 Forbidden", "<Code>AccessDenied</Code>"); 3]);
    assert!(ask(&reach(&denied.endpoint)).await.is_err());
    assert_eq!(denied.asked.lock().unwrap().len(), 1);
    let gone = reach("http://127.0.0.1:9");
    assert_eq!(ask(&gone).await, Err(SendError::Unreachable.into()));
}

#[test]
fn what_is_no_bucket_is_refused_before_anything_is_sent() {
    let good = reach("http://127.0.0.1:9/base/");
    assert_eq!(good.base, "http://127.0.0.1:9/base/locked");
    assert_eq!(reach("https://s3.example:443").base, "https://s3.example/locked");
    for (endpoint, bucket, secret) in [
        ("s3.example", "locked", "s"),
        ("https://s3.example", "../other", "s"),
        ("https://s3.example", "Locked", "s"),
        ("https://s3.example", "a", "s"),
        ("https://s3.example", "locked", ""),
    ] {
        let reached = reach("http://127.0.0.1:9");
        let made = Bucket::new(BucketOptions {
            endpoint: endpoint.into(),
            bucket: bucket.into(),
            region: "us-east-1".into(),
            access_key: "AKIDEXAMPLE".into(),
            secret_key: Secret::new(secret.into()),
            small: reached.small,
            bulk: reached.bulk,
            clock: reached.clock,
        });
        assert!(matches!(made, Err(BucketError::Request(_))), "{endpoint} {bucket}");
    }
}

#[test]
fn names_and_versions_are_encoded_so_that_they_stay_names() {
    assert_eq!(key("a b/c?d#e%f"), "/a%20b/c%3Fd%23e%25f");
    assert_eq!(of_version("a", "v&x=/+"), "/a?versionId=v%26x%3D%2F%2B");
}
