//! Query strings and form bodies as pairs; what is not valid percent-encoded UTF-8 is refused.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The text is not `application/x-www-form-urlencoded`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FormError;

/// Names and values in their order; empty pieces are skipped.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, FormError> {
    text.split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// The inverse of [`pairs`].
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(utf8_percent_encode(name, RESERVED));
        text.push('=');
        text.extend(utf8_percent_encode(value, RESERVED));
    }
    text
}

/// Characters that need no escape in a query and are common in searches stay readable.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b',');

fn decode(text: &str) -> Result<String, FormError> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(FormError),
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    let text = text.replace('+', " ");
    match percent_decode_str(&text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(FormError),
    }
}

#[cfg(test)]
mod tests {
    use super::{FormError, encode, pairs};

    #[test]
    fn what_is_encoded_is_decoded_the_same() {
        let pair = ("a b&c", "http://x|y=+%é,z");
        assert_eq!(pairs(&encode([pair])), Ok(vec![(pair.0.to_owned(), pair.1.to_owned())]));
    }

    #[test]
    fn broken_escapes_and_bytes_that_are_no_text_are_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "%ff=1", "a=%c3"] {
            assert_eq!(pairs(text), Err(FormError), "{text}");
        }
    }
}
