//! What is read of a request's headers, and nothing else is: the token, what may be answered, what
//! the body is. None of them is ever sent upstream (`gateway.md`, rows 38, 42, 44).

use domain::Reject;
use http::{HeaderMap, HeaderName, header};

/// Headers that a request has at most once (RFC 9110 §5.3, RFC 9112 §6.3).
const SINGLE: &[HeaderName] =
    &[header::AUTHORIZATION, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::HOST];

/// Refuses repeated headers.
pub(crate) fn single(headers: &HeaderMap) -> Result<(), Reject> {
    let once = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_none();
    if SINGLE.iter().all(once) { Ok(()) } else { Err(Reject::HeaderRefused) }
}

/// The bearer token (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Reject> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Reject::TokenMissing)?;
    let value = value.to_str().map_err(|_| Reject::TokenMalformed)?;
    let (scheme, token) = value.split_once(' ').ok_or(Reject::TokenMissing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reject::TokenMissing);
    }
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(lawful) {
        return Err(Reject::TokenMalformed);
    }
    Ok(token)
}

/// Refuses a client that cannot take FHIR JSON.
pub(crate) fn accepts_json(headers: &HeaderMap) -> Result<(), Reject> {
    const TAKEN: &[&str] = &["*/*", "application/*", "application/json", "application/fhir+json"];
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        asked = true;
        let value = value.to_str().map_err(|_| Reject::HeaderRefused)?;
        if value
            .split(',')
            .any(|range| TAKEN.iter().any(|t| t.eq_ignore_ascii_case(essence(range))))
        {
            return Ok(());
        }
    }
    if asked { Err(Reject::FormatRefused) } else { Ok(()) }
}

/// Refuses a body that is no plain form.
pub(crate) fn form(headers: &HeaderMap) -> Result<(), Reject> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Reject::MediaTypeUnsupported);
    }
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let value = value.ok_or(Reject::MediaTypeUnsupported)?;
    let (kind, parameter) = value.split_once(';').map_or((value, ""), |(k, p)| (k, p.trim()));
    let utf8 = parameter.is_empty() || parameter.eq_ignore_ascii_case("charset=utf-8");
    if utf8 && kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(())
    } else {
        Err(Reject::MediaTypeUnsupported)
    }
}

/// A media range without its parameters.
pub(crate) fn essence(range: &str) -> &str {
    range.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_str(v).unwrap()))
            .collect()
    }

    #[test]
    fn a_token_comes_in_one_header_and_one_spelling() {
        assert_eq!(bearer(&map(&[("authorization", "bearer a.b-c")])), Ok("a.b-c"));
        for (value, answer) in [
            ("Basic abc", Reject::TokenMissing),
            ("Bearer", Reject::TokenMissing),
            ("Bearer ", Reject::TokenMalformed),
            ("Bearer  a", Reject::TokenMalformed),
            ("Bearer a b", Reject::TokenMalformed),
            ("Bearer a,Bearer b", Reject::TokenMalformed),
        ] {
            assert_eq!(bearer(&map(&[("authorization", value)])), Err(answer), "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), Err(Reject::TokenMissing));
        let mut twice = map(&[("authorization", "Bearer a")]);
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(single(&twice), Err(Reject::HeaderRefused));
    }

    #[test]
    fn only_fhir_json_is_answered_row_42() {
        for good in ["*/*", "application/fhir+json", "text/html, application/json;q=0.1"] {
            assert_eq!(accepts_json(&map(&[("accept", good)])), Ok(()), "{good}");
        }
        for bad in ["application/fhir+xml", "text/turtle", "", "application/fhir+jsonx"] {
            assert_eq!(accepts_json(&map(&[("accept", bad)])), Err(Reject::FormatRefused), "{bad}");
        }
        let form_type = "application/x-www-form-urlencoded";
        assert_eq!(form(&map(&[("content-type", form_type)])), Ok(()));
        for bad in [
            "application/json",
            "multipart/form-data",
            "application/x-www-form-urlencoded; charset=utf-16",
        ] {
            assert!(form(&map(&[("content-type", bad)])).is_err(), "{bad}");
        }
        let packed = [("content-type", form_type), ("content-encoding", "gzip")];
        assert!(form(&map(&packed)).is_err());
    }
}
