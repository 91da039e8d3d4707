//! Cookies, of one kind only: `__Host-` (this origin alone, RFC 6265bis §4.1.3.2), Secure, HttpOnly,
//! SameSite=Lax, for the whole site. A cookie sent twice is a cookie not sent.

use http::{HeaderMap, HeaderValue, header};

/// A cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Whose authorization request it is: set before sign-in.
    Browser,
    /// Who is signed in.
    Session,
}

impl Cookie {
    /// The name, prefix included.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Browser => "__Host-phiward-browser",
            Self::Session => "__Host-phiward-session",
        }
    }

    /// The value that a request carries, if exactly one.
    pub fn read(self, headers: &HeaderMap) -> Option<&str> {
        let mut values = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name())
            .map(|(_, value)| value);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// The `Set-Cookie` value that sets it until the browser closes; `None` for a value that is no
    /// token of ours.
    pub fn set(self, value: &str) -> Option<HeaderValue> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if value.is_empty() || !value.bytes().all(plain) {
            return None;
        }
        let name = self.name();
        HeaderValue::try_from(format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax"))
            .ok()
    }

    /// The `Set-Cookie` value that removes it.
    pub fn clear(self) -> Option<HeaderValue> {
        let name = self.name();
        let text = format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
        HeaderValue::try_from(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_by_its_whole_name_and_only_once() {
        let read = |texts: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(header::COOKIE, HeaderValue::from_str(text).unwrap());
            }
            Cookie::Session.read(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["a=b; __Host-phiward-session=s1"]).as_deref(), Some("s1"));
        assert_eq!(read(&["a=b", "__Host-phiward-session=s1"]).as_deref(), Some("s1"));
        assert_eq!(read(&["__Host-phiward-session=s1; __Host-phiward-session=s2"]), None);
        assert_eq!(read(&["phiward-session=s1; x__Host-phiward-session=s2"]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn every_attribute_is_set_and_nothing_is_injected() {
        let value = Cookie::Browser.set("phb_abc-DEF").unwrap();
        assert_eq!(
            value,
            "__Host-phiward-browser=phb_abc-DEF; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        for bad in ["", "a;b", "a b", "a\r\nb", "a=b"] {
            assert!(Cookie::Browser.set(bad).is_none());
        }
    }
}
