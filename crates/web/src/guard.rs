//! What every request must be before any route sees it: of a method we know, for a host that is
//! one, without upgrades, and with a target that reads in one way (`gateway.md` rows 38 to 40).

use http::{HeaderMap, Method, Uri, Version, header, request::Parts, uri::Authority};

/// Headers by which a request claims to be another one.
const OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// A request that no route may see; the answer is 400 and a closed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Checks a request head. `own` is the authority (`host[:port]`) of the issuer.
///
/// # Errors
/// [`Malformed`].
pub fn check(parts: &Parts, own: &str) -> Result<(), Malformed> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    require(known.contains(&parts.method))?;
    for name in [header::UPGRADE, header::TRANSFER_ENCODING, header::TRAILER, header::EXPECT] {
        // `Expect: 100-continue` is answered by the HTTP layer; anything else is unknown.
        let fits = name == header::EXPECT
            && parts.headers.get_all(&name).iter().all(|v| v.as_bytes() == b"100-continue");
        require(fits || !parts.headers.contains_key(&name))?;
    }
    require(!parts.headers.contains_key("http2-settings"))?;
    require(OVERRIDES.iter().all(|name| !parts.headers.contains_key(*name)))?;
    require(connection_names_no_header(&parts.headers))?;
    require(parts.headers.get_all(header::CONTENT_LENGTH).iter().count() <= 1)?;
    check_host(parts, own)?;
    check_target(&parts.uri)
}

fn require(holds: bool) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed) }
}

/// `Connection` may say `close` or `keep-alive`; naming another header would remove it on the way.
fn connection_names_no_header(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().all(|value| {
        value.to_str().is_ok_and(|text| {
            text.split(',').map(str::trim).all(|option| {
                option.is_empty()
                    || option.eq_ignore_ascii_case("close")
                    || option.eq_ignore_ascii_case("keep-alive")
            })
        })
    })
}

fn check_host(parts: &Parts, own: &str) -> Result<(), Malformed> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    require(more.is_none())?;
    let host = host.map(|value| value.to_str().map_err(|_| Malformed)).transpose()?;
    let target = parts.uri.authority().map(Authority::as_str);
    match (parts.version, host, target) {
        (Version::HTTP_10, None, None) => Ok(()),
        (Version::HTTP_2, None, Some(authority)) => require(is_authority(authority)),
        (Version::HTTP_2, Some(host), Some(authority)) => {
            require(is_authority(authority) && host == authority)
        }
        // Absolute form is for proxies; we are one for nobody.
        (_, Some(host), Some(authority)) => {
            require(host == authority && authority.eq_ignore_ascii_case(own))
        }
        (_, Some(host), None) => require(is_authority(host)),
        (_, None, _) => Err(Malformed),
    }
}

fn is_authority(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(plain)
        && text.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty())
}

fn check_target(uri: &Uri) -> Result<(), Malformed> {
    let path = uri.path();
    require(path.starts_with('/'))?;
    // Escapes that some component would decode into structure, and structure that some component
    // would normalise away.
    if path.contains('%') {
        let lower = path.to_ascii_lowercase();
        let tricks = ["%2e", "%2f", "%5c", "%00", "%25", "%3b", "%0a", "%0d"];
        require(!tricks.into_iter().any(|trick| lower.contains(trick)))?;
    }
    require(!path.contains('\\') && !path.contains(';') && !path.contains("//"))?;
    require(path.split('/').all(|segment| segment != "." && segment != ".."))?;
    let query = uri.query().unwrap_or_default();
    require(uri.path_and_query().is_some() && !query.contains('\\'))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn passes(method: &str, uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, "localhost:8443").is_ok()
    }

    const HOST: (&str, &str) = ("host", "localhost:8443");

    #[test]
    fn ordinary_requests_pass() {
        assert!(passes("GET", "/fhir/Observation?code=a%7Cb", &[HOST]));
        assert!(passes("POST", "/oauth/token", &[HOST, ("connection", "keep-alive")]));
        assert!(passes("GET", "https://localhost:8443/fhir/metadata", &[HOST]));
        assert!(passes("GET", "/", &[("host", "[::1]:8443")]));
    }

    #[test]
    fn odd_methods_and_upgrades_do_not() {
        for method in ["CONNECT", "TRACE", "PROPFIND", "get"] {
            assert!(!passes(method, "/", &[HOST]), "{method}");
        }
        for header in [
            ("upgrade", "h2c"),
            ("connection", "upgrade"),
            ("connection", "close, authorization"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x"),
            ("expect", "200-ok"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/admin"),
        ] {
            assert!(!passes("GET", "/", &[HOST, header]), "{header:?}");
        }
    }

    #[test]
    fn another_host_in_the_target_or_an_odd_one_does_not() {
        assert!(!passes("GET", "/", &[]));
        assert!(!passes("GET", "/", &[HOST, HOST]));
        assert!(!passes("GET", "https://evil.example/fhir/", &[HOST]));
        assert!(!passes("GET", "https://evil.example/", &[("host", "evil.example")]));
        for host in ["", "a b", "u@localhost", "localhost/x", "a,b", "a\\b", "a?b", "%6c"] {
            assert!(!passes("GET", "/", &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn paths_that_read_in_two_ways_do_not() {
        for path in [
            "/fhir/%2e%2e/oauth",
            "/fhir/%2E%2E/oauth",
            "/fhir/../oauth",
            "/fhir/./Patient",
            "/fhir//Patient/1",
            "//evil.example/",
            "/fhir/Patient%2f1",
            "/fhir/Patient%5C1",
            "/fhir/Patient;a=b/1",
            "/fhir/Patient/1%00",
            "/fhir/Patient/%252e",
            "/fhir/..",
        ] {
            assert!(!passes("GET", path, &[HOST]), "{path}");
        }
    }
}
