//! Strict JSON objects (RFC 8259 leaves repeated names undefined; RFC 8725bis demands refusal): UTF-8,
//! one object and nothing after it, no name twice at any depth, nesting bounded by the parser.

use std::fmt;

use domain::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The members of an object, taken out one by one; what is left was not understood.
pub(crate) struct Members(Map<String, Value>);

/// A member is missing or of another type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemberError;

impl Members {
    /// Reads one object.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match serde_json::from_slice::<Strict>(bytes) {
            Ok(Strict(Value::Object(map))) => Some(Self(map)),
            _ => None,
        }
    }

    pub(crate) fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// A string that may be absent, but nothing else.
    pub(crate) fn optional_text(&mut self, name: &str) -> Result<Option<String>, MemberError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(MemberError),
        }
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str) -> Result<String, MemberError> {
        self.optional_text(name)?.ok_or(MemberError)
    }

    /// A `NumericDate` in whole seconds that may be absent.
    pub(crate) fn optional_time(&mut self, name: &str) -> Result<Option<Timestamp>, MemberError> {
        self.take(name)
            .map(|value| value.as_i64().map(Timestamp::from_secs).ok_or(MemberError))
            .transpose()
    }

    /// A `NumericDate` in whole seconds.
    pub(crate) fn time(&mut self, name: &str) -> Result<Timestamp, MemberError> {
        self.optional_time(name)?.ok_or(MemberError)
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Strict(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let Strict(value) = access.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("repeated member"));
            }
        }
        Ok(Strict(Value::Object(map)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_member_is_refused_however_it_is_hidden() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            r#"{"a":1}{"a":1}"#,
            r#"{"a":1} x"#,
            r#"["a"]"#,
            "",
            "{\"a\":\"\u{0}\"}",
        ] {
            assert!(Members::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Members::parse(b"{\"a\":\"\xff\"}").is_none());
        assert!(Members::parse("[".repeat(100_000).as_bytes()).is_none());
        assert!(Members::parse(br#"{"a":{"a":[null,true,-1,1.5,"x"]}}"#).is_some());
    }

    #[test]
    fn a_time_is_a_whole_number_of_seconds() {
        let time = |text: &str| Members::parse(text.as_bytes()).unwrap().time("t");
        assert_eq!(time(r#"{"t":5}"#), Ok(Timestamp::from_secs(5)));
        for bad in [r#"{"t":"5"}"#, r#"{"t":5.0}"#, r#"{"t":1e30}"#, r#"{"t":null}"#, "{}"] {
            assert_eq!(time(bad), Err(MemberError), "{bad}");
        }
    }
}
