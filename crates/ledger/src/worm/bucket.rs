//! The one client of the locked bucket (S3 with Object Lock, path style, Signature Version 4). What it
//! sends is signed with its content's hash; what it answers is a closed type; answers are bounded in
//! size and time. Nothing of a peer's answer but its error code reaches a message.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use domain::{Clock, Secret, Timestamp};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use outbound::{Client, Limits, SendError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::tree::Hash;
use crate::worm::archive::{date, date_text};
use crate::worm::{hex, unhex};

/// Why the bucket did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BucketError {
    /// No answer, or none that can be read.
    #[error("the bucket cannot be reached: {0}")]
    Unreachable(#[from] SendError),
    /// The store refuses these credentials, or what they ask for.
    #[error(
        "the store refuses ({0}); check [ledger.worm] access_key, secret_key and the bucket's policy"
    )]
    Denied(String),
    /// There is no such bucket.
    #[error(
        "there is no such bucket; make one with Object Lock and name it in [ledger.worm] bucket"
    )]
    NoBucket,
    /// The bucket has no Object Lock.
    #[error(
        "the bucket has no Object Lock, so nothing in it is locked; make one with Object Lock on"
    )]
    NotLocked,
    /// There is no such object or version.
    #[error("there is no such object")]
    Missing,
    /// There is an object of that name already.
    #[error("there is an object of that name already")]
    Exists,
    /// The answer lacks what it must have, or contradicts itself.
    #[error("the store's answer {0}")]
    Answer(&'static str),
    /// Another failure of the store's, for now or for good.
    #[error("the store answered {0} {1}")]
    Status(u16, String),
    /// The request cannot be made: endpoint, bucket or credentials are out of form.
    #[error("no request can be made: {0}")]
    Request(&'static str),
}

impl BucketError {
    /// Whether the same request may succeed a moment later.
    const fn passing(&self) -> bool {
        match self {
            Self::Unreachable(error) => {
                matches!(error, SendError::Unreachable | SendError::Timeout | SendError::Broken)
            }
            Self::Status(status, _) => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

/// What the store says of one version of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The version's id.
    pub version_id: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The hash of its content that was sent with it.
    pub sha256: Option<Hash>,
    /// Until when it is locked in compliance mode; `None` if it is not.
    pub locked_until: Option<Timestamp>,
}

/// What a bucket is reached with.
pub struct BucketOptions {
    /// The endpoint's URL, without the bucket.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: Secret<String>,
    /// For short answers, under [`SMALL`].
    pub small: Client,
    /// For whole segments, under [`BULK`].
    pub bulk: Client,
    /// Who knows the time.
    pub clock: Arc<dyn Clock>,
}

/// Bounds of a question about an object.
pub const SMALL: Limits =
    Limits { body: 64 * 1024, connect: Duration::from_secs(5), total: Duration::from_secs(20) };
/// Bounds of a whole segment's way up or down.
pub const BULK: Limits =
    Limits { body: 128 << 20, connect: Duration::from_secs(5), total: Duration::from_secs(600) };
/// The largest object: a full segment and one batch beyond it fit.
pub const LARGEST: u64 = 128 << 20;

/// Holds the hash of the content, whatever checksums the store keeps (radosgw 16 keeps none).
const META_SHA256: &str = "x-amz-meta-phiward-sha256";
const VERSION_ID: &str = "x-amz-version-id";
/// RFC 3986 §2.3, and the slash between the parts of a key.
const KEY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(400);

/// A bucket with Object Lock.
pub struct Bucket {
    base: String,
    region: String,
    credentials: Credentials,
    small: Client,
    bulk: Client,
    clock: Arc<dyn Clock>,
}

impl Bucket {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// [`BucketError::Request`] if the endpoint is no URL or the bucket's name none.
    pub fn new(options: BucketOptions) -> Result<Self, BucketError> {
        let uri: Uri =
            options.endpoint.parse().map_err(|_| BucketError::Request("endpoint is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BucketError::Request("endpoint is no URL"));
        };
        // The port is signed as `outbound` sends it: left out where it is the scheme's own.
        let implied = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.as_str();
        let authority = authority.strip_suffix(implied).unwrap_or(authority);
        let name = &options.bucket;
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(BucketError::Request("bucket is no bucket's name"));
        }
        if options.access_key.is_empty() || options.secret_key.expose().is_empty() {
            return Err(BucketError::Request("access_key or secret_key is empty"));
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            base: format!("{scheme}://{authority}{path}/{name}"),
            region: options.region,
            credentials: Credentials::new(
                options.access_key,
                options.secret_key.expose().as_str(),
                None,
                None,
                "phiward",
            ),
            small: options.small,
            bulk: options.bulk,
            clock: options.clock,
        })
    }

    /// That whatever is stored here can be locked.
    ///
    /// # Errors
    /// [`BucketError`]: [`BucketError::NotLocked`] above all.
    pub async fn require_lock(&self) -> Result<(), BucketError> {
        let ask = || self.request(Method::GET, "?object-lock=", HeaderMap::new(), Bytes::new());
        let answer = match self.patiently(&self.small, ask).await {
            Ok(answer) => answer,
            Err(BucketError::Status(404, code)) if code.starts_with("ObjectLock") => {
                return Err(BucketError::NotLocked);
            }
            Err(BucketError::Missing) => return Err(BucketError::NotLocked),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(answer.body());
        match element(&text, "ObjectLockEnabled") {
            Some("Enabled") => Ok(()),
            _ => Err(BucketError::NotLocked),
        }
    }

    /// Stores a new version, locked in compliance mode until then; the version's id. Asked once: whoever
    /// gets no answer looks whether it arrived before asking again.
    ///
    /// # Errors
    /// [`BucketError`]; [`BucketError::Exists`] if `only_new` and the store heeds `If-None-Match`.
    pub async fn put(
        &self,
        object: &str,
        content: Bytes,
        sha256: &Hash,
        retain_until: Timestamp,
        only_new: bool,
    ) -> Result<String, BucketError> {
        let until = date_text(retain_until)
            .ok_or(BucketError::Request("the retention ends beyond the calendar"))?;
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| -> Result<(), BucketError> {
            let value = value.parse().map_err(|_| BucketError::Request("a header"))?;
            headers.insert(name, value);
            Ok(())
        };
        put("content-type", "application/octet-stream")?;
        put("x-amz-object-lock-mode", "COMPLIANCE")?;
        put("x-amz-object-lock-retain-until-date", &until)?;
        put("x-amz-checksum-sha256", &BASE64.encode(sha256))?;
        put(META_SHA256, &hex(sha256))?;
        if only_new {
            put("if-none-match", "*")?;
        }
        let request = self.request(Method::PUT, &key(object), headers, content)?;
        let answer = judged(self.bulk.send(request).await?)?;
        match text(answer.headers(), VERSION_ID) {
            Some(id) if id != "null" && fits_version(id) => Ok(id.to_owned()),
            _ => Err(BucketError::Answer("names no version: the bucket is not versioned")),
        }
    }

    /// What the store says of an object: of one version, or of the one that shows.
    ///
    /// # Errors
    /// [`BucketError`]; [`BucketError::Missing`] if there is none, or a delete marker hides it.
    pub async fn head(&self, object: &str, version: Option<&str>) -> Result<Stored, BucketError> {
        let target = match version {
            Some(version) => of_version(object, version),
            None => key(object),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-checksum-mode", http::HeaderValue::from_static("ENABLED"));
        let ask = || self.request(Method::HEAD, &target, headers.clone(), Bytes::new());
        let answer = self.patiently(&self.small, ask).await?;
        let stored = stored(answer.headers())?;
        match version {
            Some(version) if version != stored.version_id => {
                Err(BucketError::Answer("is of another version than was asked for"))
            }
            _ => Ok(stored),
        }
    }

    /// The content of one version, which has this length and hash.
    ///
    /// # Errors
    /// [`BucketError`]; [`BucketError::Answer`] if the content is another.
    pub async fn get(
        &self,
        object: &str,
        version: &str,
        bytes: u64,
        sha256: &Hash,
    ) -> Result<Bytes, BucketError> {
        if bytes > LARGEST {
            return Err(BucketError::Answer("would be larger than any segment"));
        }
        let target = of_version(object, version);
        let ask = || self.request(Method::GET, &target, HeaderMap::new(), Bytes::new());
        let content = self.patiently(&self.bulk, ask).await?.into_body();
        if content.len() as u64 != bytes || keys::sha256(&content) != *sha256 {
            return Err(BucketError::Answer("is another content than was stored"));
        }
        Ok(content)
    }

    /// Asks again, after a pause that grows, what changes nothing.
    async fn patiently(
        &self,
        client: &Client,
        ask: impl Fn() -> Result<Request<Bytes>, BucketError>,
    ) -> Result<Response<Bytes>, BucketError> {
        let mut tries = 1;
        loop {
            let answer = match client.fetch(ask()?).await {
                Ok(answer) => judged(answer),
                Err(error) => Err(error.into()),
            };
            match answer {
                Err(error) if error.passing() && tries < TRIES => {
                    tokio::time::sleep(PAUSE.saturating_mul(1 << tries)).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// A request, signed. `target` is what follows the bucket, encoded already.
    fn request(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        content: Bytes,
    ) -> Result<Request<Bytes>, BucketError> {
        const UNSIGNABLE: BucketError = BucketError::Request("it cannot be signed");
        let url = format!("{}{target}", self.base);
        let mut settings = SigningSettings::default();
        // What S3 asks for, unlike all other services.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = self.credentials.clone().into();
        let millis = u64::try_from(self.clock.now().millis()).unwrap_or(0);
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_millis(millis))
            .settings(settings)
            .build()
            .map_err(|_| UNSIGNABLE)?
            .into();
        let named: Vec<(&str, &str)> = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let body = SignableBody::Precomputed(hex(&keys::sha256(&content)));
        let signable = SignableRequest::new(method.as_str(), url.as_str(), named.into_iter(), body)
            .map_err(|_| UNSIGNABLE)?;
        let (signature, _) = sign(signable, &params).map_err(|_| UNSIGNABLE)?.into_parts();
        let mut request = Request::builder().method(method).uri(url).body(content);
        if let Ok(request) = &mut request {
            *request.headers_mut() = headers;
            signature.apply_to_request_http1x(request);
        }
        request.map_err(|_| BucketError::Request("object or version is out of form"))
    }
}

fn key(object: &str) -> String {
    format!("/{}", utf8_percent_encode(object, KEY))
}

fn of_version(object: &str, version: &str) -> String {
    format!("{}?versionId={}", key(object), utf8_percent_encode(version, QUERY))
}

/// A version's id is kept in the log and in messages: short and printable.
pub(super) fn fits_version(id: &str) -> bool {
    (1..=1024).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The answer, if it says that it was done.
fn judged(answer: Response<Bytes>) -> Result<Response<Bytes>, BucketError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = String::from_utf8_lossy(answer.body());
    let code = element(&body, "Code")
        .filter(|code| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric()))
        .unwrap_or("no code")
        .to_owned();
    Err(match (status, code.as_str()) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => BucketError::Denied(code),
        (_, "NoSuchBucket") => BucketError::NoBucket,
        (StatusCode::NOT_FOUND, "NoSuchKey" | "NoSuchVersion" | "no code") => BucketError::Missing,
        // A version that is itself a delete marker.
        (StatusCode::METHOD_NOT_ALLOWED, _) => BucketError::Missing,
        // A version id that is none of this store's.
        (StatusCode::BAD_REQUEST, "no code") if answer.body().is_empty() => BucketError::Missing,
        (StatusCode::PRECONDITION_FAILED, _) => BucketError::Exists,
        _ => BucketError::Status(status.as_u16(), code),
    })
}

/// The text of the first element of this name, which has neither attributes nor children.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    Some(text.trim())
}

fn stored(headers: &HeaderMap) -> Result<Stored, BucketError> {
    let version_id = text(headers, VERSION_ID).filter(|id| fits_version(id));
    let bytes = text(headers, "content-length").and_then(|length| length.parse().ok());
    let locked = text(headers, "x-amz-object-lock-mode") == Some("COMPLIANCE");
    let until = text(headers, "x-amz-object-lock-retain-until-date").and_then(date);
    Ok(Stored {
        version_id: version_id.ok_or(BucketError::Answer("names no version"))?.to_owned(),
        bytes: bytes.ok_or(BucketError::Answer("names no length"))?,
        sha256: text(headers, META_SHA256).and_then(unhex),
        locked_until: until.filter(|_| locked),
    })
}

#[cfg(test)]
mod tests;
