//! Redirect URIs: which may be registered, and when one that arrives is the one registered. The
//! comparison is of exact strings; only the port of a loopback IP may vary (RFC 9700 §2.1,
//! RFC 8252 §7.3). Nothing is parsed at comparison, so no two parsers can disagree.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A redirect URI that a client may register.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(Box<str>);

/// Why a text cannot be registered as redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectUriError {
    /// Empty, longer than 512 bytes, or with a character that a URI does not have.
    Malformed,
    /// Neither `https`, nor `http` on a loopback host, nor a private-use scheme with a dot.
    Scheme,
    /// With a fragment, user information or a wildcard.
    Part,
}

impl fmt::Display for RedirectUriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "redirect URI is malformed",
            Self::Scheme => "redirect URI has a scheme that is not allowed",
            Self::Part => "redirect URI has a fragment, user information or a wildcard",
        })
    }
}

impl std::error::Error for RedirectUriError {}

/// The hosts on which plain `http` stays on the machine. Only the two IP literals may vary their
/// port; `localhost` can be pointed elsewhere (RFC 8252 §8.3).
const LOOPBACK_IPS: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

impl RedirectUri {
    /// Checks that a URI may be registered.
    ///
    /// # Errors
    /// [`RedirectUriError`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, RedirectUriError> {
        let lawful = |b: u8| b.is_ascii_graphic() && !b"\"\\<>^`{|}".contains(&b);
        if text.is_empty() || text.len() > 512 || !text.bytes().all(lawful) {
            return Err(RedirectUriError::Malformed);
        }
        if text.contains('#') || text.contains('*') {
            return Err(RedirectUriError::Part);
        }
        let (scheme, rest) = text.split_once(':').ok_or(RedirectUriError::Malformed)?;
        // Compared in lower case, and required to arrive so: `JavaScript:` is `javascript:`.
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
        if !scheme.bytes().all(lower) || !scheme.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(RedirectUriError::Scheme);
        }
        match scheme {
            "https" | "http" => {
                let rest = rest.strip_prefix("//").ok_or(RedirectUriError::Malformed)?;
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                if authority.contains('@') {
                    return Err(RedirectUriError::Part);
                }
                let host = host_of(authority).ok_or(RedirectUriError::Malformed)?;
                if scheme == "http" && !["127.0.0.1", "[::1]", "localhost"].contains(&host) {
                    return Err(RedirectUriError::Scheme);
                }
            }
            // A private-use scheme is a reversed domain name (RFC 8252 §7.1): without a dot it could
            // be `javascript` or `data`.
            custom if custom.contains('.') && rest.starts_with('/') => {}
            _ => return Err(RedirectUriError::Scheme),
        }
        Ok(Self(text.into()))
    }

    /// Whether a URI that arrived is this registered one.
    pub fn matches(&self, arrived: &str) -> bool {
        if *self.0 == *arrived {
            return true;
        }
        match (loopback_parts(&self.0), loopback_parts(arrived)) {
            (Some((host, path)), Some((other_host, other_path))) => {
                host == other_host && path == other_path
            }
            _ => false,
        }
    }

    /// The URI's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `scheme://host[:port]` of an http or https URI, as a browser sends it in `Origin`.
    pub fn origin(&self) -> Option<&str> {
        let start = self.0.find("://")? + 3;
        if !self.0.starts_with("http") {
            return None;
        }
        let end = self.0.get(start..)?.find(['/', '?']).map_or(self.0.len(), |i| start + i);
        self.0.get(..end)
    }

    /// Whether a browser page of this origin is the registered application's. The port of a loopback
    /// IP may vary, as for the URI itself.
    pub fn allows_origin(&self, origin: &str) -> bool {
        match (self.origin(), loopback_parts(origin)) {
            (Some(own), _) if own == origin => true,
            (Some(own), Some((host, ""))) => loopback_parts(own).is_some_and(|(h, _)| h == host),
            _ => false,
        }
    }
}

/// The host of `host[:port]`, if both are of their form.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        (authority.get(..end)?, authority.get(end..)?)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        (authority.get(..end)?, authority.get(end..)?)
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let host_fits = !host.is_empty()
        && (host.starts_with('[')
            || host
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)));
    (port_fits && host_fits).then_some(host)
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && !text.starts_with('0') && text.parse::<u16>().is_ok()
}

/// Splits `http://<loopback IP>[:port]<rest>` into host and rest, dropping the port.
fn loopback_parts(uri: &str) -> Option<(&str, &str)> {
    LOOPBACK_IPS.into_iter().find_map(|host| {
        let rest = uri.strip_prefix(host)?;
        let rest = match rest.strip_prefix(':') {
            Some(rest) => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                if !is_port(rest.get(..end)?) {
                    return None;
                }
                rest.get(end..)?
            }
            None => rest,
        };
        (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
    })
}

impl TryFrom<String> for RedirectUri {
    type Error = RedirectUriError;
    fn try_from(text: String) -> Result<Self, RedirectUriError> {
        Self::parse(&text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::parse(text).expect("a redirect URI")
    }

    #[test]
    fn only_the_same_string_matches() {
        let registered = uri("https://app.example/cb");
        assert!(registered.matches("https://app.example/cb"));
        for other in [
            "https://app.example/cb/",
            "https://app.example/cb?x=1",
            "https://app.example/cb#x",
            "https://app.example:443/cb",
            "https://APP.example/cb",
            "http://app.example/cb",
            "https://app.example.evil.com/cb",
            "https://sub.app.example/cb",
            "https://app.example@evil.com/cb",
            "https://app.example\\@evil.com/cb",
            "https://app.example/..;/cb",
            "https://app.example/%63b",
            "https://app.example/cb ",
            "",
        ] {
            assert!(!registered.matches(other), "{other}");
        }
    }

    #[test]
    fn only_the_port_of_a_loopback_ip_may_vary() {
        let registered = uri("http://127.0.0.1:9999/callback");
        assert!(registered.matches("http://127.0.0.1:1234/callback"));
        assert!(registered.matches("http://127.0.0.1/callback"));
        for other in [
            "http://127.0.0.1:1234/other",
            "http://localhost:9999/callback",
            "https://127.0.0.1:9999/callback",
            "http://127.0.0.1:99999/callback",
            "http://127.0.0.1:9999@evil.com/callback",
            "http://127.0.0.1.evil.com/callback",
            "http://127.0.0.1:/callback",
            "http://[::1]:9999/callback",
        ] {
            assert!(!registered.matches(other), "{other}");
        }
        assert!(!uri("http://localhost:1/cb").matches("http://localhost:2/cb"));
    }

    #[test]
    fn script_and_plaintext_schemes_cannot_be_registered() {
        for bad in [
            "javascript:alert(1)",
            "JavaScript://x/%0aalert(1)",
            "data:text/html,x",
            "http://app.example/cb",
            "https://user@app.example/cb",
            "https://app.example/cb#f",
            "https://*.example/cb",
            "https:///cb",
            "https://app.example:0/cb",
            "//app.example/cb",
            "vbscript:x",
            "app:/cb",
            "https://app.example/\r\nx",
            "",
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RedirectUri::parse("com.example.app:/cb").is_ok());
    }

    #[test]
    fn an_origin_is_the_registered_one() {
        let web = uri("https://app.example:8443/cb?x");
        assert!(web.allows_origin("https://app.example:8443"));
        assert!(!web.allows_origin("https://app.example"));
        assert!(!web.allows_origin("null"));
        let native = uri("http://127.0.0.1:9999/cb");
        assert!(native.allows_origin("http://127.0.0.1:4242"));
        assert!(!native.allows_origin("http://127.0.0.1:4242/"));
        assert!(!native.allows_origin("http://127.0.0.1.evil.com"));
    }

    proptest! {
        #[test]
        fn a_changed_byte_never_matches(at in 0usize..28, byte in 33u8..127) {
            let text = "https://app.example/callback";
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).expect("ascii");
            prop_assert_eq!(uri(text).matches(&changed), changed == text);
        }

        #[test]
        fn any_port_of_a_loopback_ip_matches_and_nothing_is_appended(port in 1u16.., tail in "[a-z@.:/?]{0,6}") {
            let registered = uri("http://127.0.0.1:9999/callback");
            let arrived = format!("http://127.0.0.1:{port}/callback{tail}");
            prop_assert_eq!(registered.matches(&arrived), tail.is_empty());
        }
    }
}
