//! `application/x-www-form-urlencoded`, decoded exactly once: strict UTF-8, strict percent-encoding,
//! no control characters, no empty pairs, capped (`gateway.md`, rows 30 and 41).

use domain::Reject;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The longest query or form body, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// The most parameters of query and body together.
const MAX_PARAMETERS: usize = 32;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 2_048;

/// RFC 3986 §2.3: everything but the unreserved characters is encoded when printed.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Decoded names and values in the order given.
pub(crate) type Pairs = Vec<(String, String)>;

/// Reads the query and the body of one request; a name in both is refused.
pub(crate) fn merged(query: Option<&str>, body: Option<&[u8]>) -> Result<Pairs, Reject> {
    let mut pairs = pairs(query.unwrap_or_default())?;
    if let Some(body) = body {
        let body = std::str::from_utf8(body).map_err(|_| Reject::SearchMalformed)?;
        let more = self::pairs(body)?;
        if more.iter().any(|(name, _)| pairs.iter().any(|(other, _)| other == name)) {
            return Err(Reject::SearchMalformed);
        }
        pairs.extend(more);
    }
    if pairs.len() > MAX_PARAMETERS {
        return Err(Reject::SearchMalformed);
    }
    Ok(pairs)
}

/// Encodes one value so that [`merged`] reads it back.
pub(crate) fn encode(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, RESERVED)
}

fn pairs(text: &str) -> Result<Pairs, Reject> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.len() > MAX_FORM {
        return Err(Reject::SearchMalformed);
    }
    text.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(Reject::SearchMalformed)?;
            let (name, value) = (decode(name)?, decode(value)?);
            let fits = (1..=MAX_NAME).contains(&name.len()) && value.len() <= MAX_VALUE;
            if fits { Ok((name, value)) } else { Err(Reject::SearchMalformed) }
        })
        .collect()
}

fn decode(text: &str) -> Result<String, Reject> {
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let lawful = match byte {
            b'%' => {
                let mut hex = || rest.next().is_some_and(|b| b.is_ascii_hexdigit());
                hex() && hex()
            }
            b'#' => false,
            other => other.is_ascii_graphic(),
        };
        if !lawful {
            return Err(Reject::SearchMalformed);
        }
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| Reject::SearchMalformed)?;
    if decoded.chars().any(char::is_control) {
        return Err(Reject::SearchMalformed);
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_happens_once_and_strictly_row_41() {
        let one = |text: &str| merged(Some(text), None);
        assert_eq!(one("a=%2541").unwrap(), [("a".into(), "%41".into())]);
        assert_eq!(one("%61=x+y").unwrap(), [("a".into(), "x y".into())]);
        for bad in [
            "a", "a=1&", "&a=1", "=1", "a=%", "a=%4", "a=%zz", "a=%ff", "a=%00", "a=é", "a=b c",
            "a=%0a", "a=1#f",
        ] {
            assert_eq!(one(bad), Err(Reject::SearchMalformed), "{bad}");
        }
        assert!(one(&"a=1&".repeat(40)).is_err());
        assert!(one(&format!("a={}", "x".repeat(3_000))).is_err());
    }

    #[test]
    fn a_name_in_query_and_body_is_refused_row_30() {
        assert!(merged(Some("a=1"), Some(b"b=2")).is_ok());
        assert!(merged(Some("a=1"), Some(b"%61=1")).is_err());
        assert!(merged(None, Some(b"a=\xff")).is_err());
    }
}
