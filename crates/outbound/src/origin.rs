//! Who may be talked to: anybody on the public internet over https, or exactly one configured origin.
//! Plain http has a spelling only for this machine.

use std::net::IpAddr;

use url::{Host, Url};

use crate::address::{is_loopback, is_public};

/// Which peers a client may connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerPolicy {
    /// https to public addresses: for URLs that somebody else chose (`jwks_uri` and its like).
    PublicHttps,
    /// One origin that the operator configured, wherever it lives.
    ExactOrigin(Origin),
}

impl PeerPolicy {
    /// Whether the address really connected to is allowed.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::PublicHttps => is_public(address),
            Self::ExactOrigin(origin) => origin.tls || is_loopback(address),
        }
    }
}

/// Scheme, host and port (RFC 6454 §4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    tls: bool,
    host: Host<String>,
    port: u16,
}

/// Why a URL names no origin that may be talked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OriginError {
    /// No absolute http or https URL with a host.
    #[error("not an absolute http or https URL")]
    Malformed,
    /// User name or password in the URL.
    #[error("a URL must not carry credentials")]
    Credentials,
    /// Plain http to another machine.
    #[error("plain http is allowed to this machine only (127.0.0.1, ::1 or localhost)")]
    PlainHttp,
}

impl Origin {
    /// The origin of an absolute URL; path and query are ignored.
    ///
    /// # Errors
    /// [`OriginError`] for anything but https, or http to a loopback host.
    pub fn of(url: &str) -> Result<Self, OriginError> {
        let url = Url::parse(url).map_err(|_| OriginError::Malformed)?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(OriginError::Malformed),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OriginError::Credentials);
        }
        let host = url.host().ok_or(OriginError::Malformed)?.to_owned();
        let port = url.port_or_known_default().ok_or(OriginError::Malformed)?;
        let local = match &host {
            Host::Ipv4(v4) => is_loopback((*v4).into()),
            Host::Ipv6(v6) => is_loopback((*v6).into()),
            Host::Domain(name) => name == "localhost",
        };
        if !tls && !local {
            return Err(OriginError::PlainHttp);
        }
        Ok(Self { tls, host, port })
    }

    /// Whether it is reached over TLS.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host without brackets, as a resolver or a certificate names it.
    pub(crate) fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(v4) => v4.to_string(),
            Host::Ipv6(v6) => v6.to_string(),
        }
    }

    /// The port, given or implied.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` header's value: the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let implied = if self.tls { 443 } else { 80 };
        if self.port == implied {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for good in ["http://127.0.0.1:80/fhir", "http://[::1]:9", "http://localhost:1/"] {
            assert!(Origin::of(good).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1/", "http://fhir.example/", "http://localhost.evil.example/"] {
            assert_eq!(Origin::of(bad), Err(OriginError::PlainHttp), "{bad}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        assert_eq!(Origin::of("https://u:p@fhir.example/"), Err(OriginError::Credentials));
        for bad in ["", "/fhir", "ftp://fhir.example/", "file:///etc/passwd", "https://"] {
            assert_eq!(Origin::of(bad), Err(OriginError::Malformed), "{bad}");
        }
    }

    #[test]
    fn origins_compare_by_scheme_host_and_port() {
        let origin = |text| Origin::of(text).unwrap();
        assert_eq!(origin("https://FHIR.example/a"), origin("https://fhir.example:443/b"));
        assert_ne!(origin("https://fhir.example"), origin("https://fhir.example:444"));
        assert_ne!(origin("https://127.0.0.1:80"), origin("http://127.0.0.1:80"));
        assert_eq!(origin("https://[::1]:444/").authority(), "[::1]:444");
        assert_eq!(origin("https://fhir.example/").authority(), "fhir.example");
    }
}
