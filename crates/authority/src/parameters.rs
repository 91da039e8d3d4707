//! Request parameters as they arrived: each name at most once (RFC 6749 §3.1), the exceptions
//! spelled out. Unknown names are ignored because nobody asks for them.

use domain::Reject;

/// Decoded form or query parameters, in order.
#[derive(Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl std::fmt::Debug for Parameters {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Parameters {
    /// From decoded pairs. An empty value is an absent parameter (RFC 6749 §3.1).
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The one value of this name, if it was sent.
    ///
    /// # Errors
    /// [`Reject::ParameterDuplicate`] if it was sent more than once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Reject> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            Some(_) => Err(Reject::ParameterDuplicate),
            None => Ok(first.filter(|value| !value.is_empty())),
        }
    }

    /// The one value of this name.
    ///
    /// # Errors
    /// [`Reject::ParameterMissing`] or [`Reject::ParameterDuplicate`].
    pub fn required(&self, name: &str) -> Result<&str, Reject> {
        self.one(name)?.ok_or(Reject::ParameterMissing)
    }

    /// All values of a name that may repeat (`resource`, RFC 8707 §2; `scope` on the consent form).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
