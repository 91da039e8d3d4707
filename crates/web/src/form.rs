//! Parameters and credentials as they arrive: decoded once, strictly, into pairs. Bytes that are not
//! UTF-8, a damaged escape, a control character or too many parameters are refusals; repetition is
//! kept, so that the reader of a parameter can see and refuse it.

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{Reject, Secret};
use http::{HeaderMap, header};

/// The largest form, in bytes.
pub const MAX_FORM: usize = 64 * 1024;
/// The longest query, in bytes.
const MAX_QUERY: usize = 16 * 1024;
/// The most parameters.
const MAX_PARAMETERS: usize = 400;

/// Decoded pairs, in the order in which they arrived.
pub type Pairs = Vec<(String, String)>;

/// Decodes `application/x-www-form-urlencoded` (WHATWG URL §5.1, but strict).
///
/// # Errors
/// [`Reject::RequestMalformed`], [`Reject::RequestTooLarge`].
pub fn decode(bytes: &[u8]) -> Result<Pairs, Reject> {
    if bytes.len() > MAX_FORM {
        return Err(Reject::RequestTooLarge);
    }
    let mut pairs = Vec::new();
    for part in bytes.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
        if pairs.len() == MAX_PARAMETERS {
            return Err(Reject::RequestTooLarge);
        }
        let (name, value) = match part.iter().position(|b| *b == b'=') {
            Some(at) => {
                let (name, rest) = part.split_at(at);
                (name, rest.get(1..).unwrap_or_default())
            }
            None => (part, &[][..]),
        };
        pairs.push((component(name)?, component(value)?));
    }
    Ok(pairs)
}

/// Decodes the query of a request target.
///
/// # Errors
/// As [`decode`].
pub fn query(query: Option<&str>) -> Result<Pairs, Reject> {
    let query = query.unwrap_or_default();
    if query.len() > MAX_QUERY {
        return Err(Reject::RequestTooLarge);
    }
    decode(query.as_bytes())
}

/// Checks that a body is declared to be a form in UTF-8 and nothing else.
///
/// # Errors
/// [`Reject::MediaTypeUnsupported`].
pub fn require_form(headers: &HeaderMap) -> Result<(), Reject> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Reject::MediaTypeUnsupported);
    };
    let text = value.to_str().map_err(|_| Reject::MediaTypeUnsupported)?;
    let mut parts = text.split(';').map(str::trim);
    let form = parts
        .next()
        .is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    let utf8 = parts.all(|parameter| {
        parameter.eq_ignore_ascii_case("charset=utf-8")
            || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
            || parameter.is_empty()
    });
    let encoded = headers.contains_key(header::CONTENT_ENCODING);
    if form && utf8 && !encoded { Ok(()) } else { Err(Reject::MediaTypeUnsupported) }
}

/// Client id and secret of `Authorization: Basic` (RFC 7617, form-encoded inside: RFC 6749 §2.3.1).
///
/// # Errors
/// [`Reject::ClientAuthenticationFailed`] for another scheme, a repeated header or damaged contents.
pub fn basic(headers: &HeaderMap) -> Result<Option<(String, Secret<String>)>, Reject> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let failed = Reject::ClientAuthenticationFailed;
    if values.next().is_some() {
        return Err(failed);
    }
    let text = value.to_str().map_err(|_| failed)?;
    let (scheme, encoded) = text.split_once(' ').ok_or(failed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(failed);
    }
    let decoded = Secret::new(STANDARD.decode(encoded.trim_start()).map_err(|_| failed)?);
    let colon = decoded.expose().iter().position(|b| *b == b':').ok_or(failed)?;
    let (id, secret) = decoded.expose().split_at(colon);
    let id = component(id).map_err(|_| failed)?;
    let secret = component(secret.get(1..).unwrap_or_default()).map_err(|_| failed)?;
    Ok(Some((id, Secret::new(secret))))
}

/// One name or value: `+` is a space, `%XX` a byte, once.
fn component(bytes: &[u8]) -> Result<String, Reject> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (pair, tail) = rest.split_at_checked(2).ok_or(Reject::RequestMalformed)?;
                decoded.push(byte(pair).ok_or(Reject::RequestMalformed)?);
                rest = tail;
            }
            other => decoded.push(other),
        }
    }
    let text = String::from_utf8(decoded).map_err(|_| Reject::RequestMalformed)?;
    if text.chars().any(char::is_control) {
        return Err(Reject::RequestMalformed);
    }
    Ok(text)
}

fn byte(pair: &[u8]) -> Option<u8> {
    pair.iter().try_fold(0_u8, |value, digit| {
        let digit = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        value.checked_mul(16)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn pairs_are_decoded_once() {
        assert_eq!(
            pairs("a=b+c&d=%2525&e&=f&&g=h=i"),
            [
                ("a".into(), "b c".into()),
                ("d".into(), "%25".into()),
                ("e".into(), String::new()),
                (String::new(), "f".into()),
                ("g".into(), "h=i".into()),
            ]
        );
    }

    #[test]
    fn repetition_is_kept() {
        assert_eq!(pairs("a=1&a=2").len(), 2);
        assert_eq!(pairs("%61=1&a=2")[0].0, "a");
    }

    #[test]
    fn damage_is_refused() {
        for bytes in [
            &b"a=%"[..],
            b"a=%2",
            b"a=%zz",
            b"a=%+1",
            b"a=%ff",
            b"a=\xff",
            b"%c3=x",
            b"a=%00",
            b"a=%0d%0aSet-Cookie:x",
            b"a=\n",
            b"a=%C2%85",
        ] {
            assert_eq!(decode(bytes), Err(Reject::RequestMalformed), "{bytes:?}");
        }
    }

    #[test]
    fn size_and_number_are_bounded() {
        assert_eq!(decode(&vec![b'a'; MAX_FORM + 1]), Err(Reject::RequestTooLarge));
        assert!(decode("a=b&".repeat(MAX_PARAMETERS).as_bytes()).is_ok());
        assert_eq!(
            decode("a=b&".repeat(MAX_PARAMETERS + 1).as_bytes()),
            Err(Reject::RequestTooLarge)
        );
        assert_eq!(query(Some(&"a".repeat(MAX_QUERY + 1))), Err(Reject::RequestTooLarge));
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(value in "[^\\p{Cc}]{0,40}") {
            let encoded: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            let form = format!("v={encoded}");
            prop_assert_eq!(decode(form.as_bytes()).unwrap(), vec![("v".into(), value)]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(&bytes));
        }
    }

    #[test]
    fn only_forms_are_forms() {
        let accepts = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            }
            require_form(&headers).is_ok()
        };
        let form = "application/x-www-form-urlencoded";
        assert!(accepts(&[form]));
        assert!(accepts(&["Application/X-WWW-Form-URLencoded; charset=UTF-8"]));
        assert!(!accepts(&[]));
        assert!(!accepts(&[form, form]));
        assert!(!accepts(&["application/json"]));
        assert!(!accepts(&["application/x-www-form-urlencoded; charset=utf-7"]));
        assert!(!accepts(&["application/x-www-form-urlencoded-x"]));
        assert!(!accepts(&["multipart/form-data; boundary=x"]));
    }

    fn authorization(values: &[&str]) -> Result<Option<(String, String)>, Reject> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        Ok(basic(&headers)?.map(|(id, secret)| (id, secret.expose().clone())))
    }

    #[test]
    fn basic_credentials_are_form_decoded() {
        let encode = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(authorization(&[]), Ok(None));
        let both = Ok(Some(("my app".into(), "a:b%".into())));
        assert_eq!(authorization(&[&encode("my+app:a%3Ab%25")]), both);
        assert_eq!(authorization(&[&encode("my%20app:a:b%25")]), both);
        let lower = encode("x:").replace("Basic", "bASIC");
        assert_eq!(authorization(&[&lower]), Ok(Some(("x".into(), String::new()))));
        let bad = ["Basic", "Basic ???", "Bearer abc", &encode("nocolon"), &encode("a:%zz")];
        for value in bad {
            let refused = Err(Reject::ClientAuthenticationFailed);
            assert_eq!(authorization(&[value]), refused, "{value}");
        }
        let twice = encode("a:b");
        assert!(authorization(&[&twice, &twice]).is_err());
    }
}
