//! A searchset split into raw entries without a tree, and rebuilt from those that may leave. Nothing
//! of the upstream's envelope is copied: `total`, links, ids and unknown members are made anew.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::scan::Unreadable;

/// The most entries of one page.
const MAX_ENTRIES: usize = 5_000;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "resourceType", borrow)]
    resource_type: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    link: Vec<Link<'a>>,
    #[serde(default, borrow)]
    entry: Vec<RawEntry<'a>>,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    relation: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(default, borrow)]
    resource: Option<&'a RawValue>,
    #[serde(default, borrow)]
    search: Option<SearchMode<'a>>,
}

#[derive(Deserialize)]
struct SearchMode<'a> {
    #[serde(default, borrow)]
    mode: Option<Cow<'a, str>>,
}

/// One entry, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The resource as it arrived; `None` for an entry without one.
    pub resource: Option<&'a str>,
    /// Whether the upstream calls it a match (or says nothing); includes and outcomes are not.
    pub is_match: bool,
}

/// A page of a searchset as the upstream sent it.
#[derive(Debug)]
pub struct Bundle<'a> {
    /// Its entries in order.
    pub entries: Vec<Entry<'a>>,
    /// The link to the next page.
    pub next: Option<String>,
    /// Whether the upstream said which search it answered.
    pub has_self: bool,
}

impl<'a> Bundle<'a> {
    /// Reads a searchset.
    ///
    /// # Errors
    /// [`Unreadable`] for anything else, a repeated member, two `next` links or too many entries.
    pub fn parse(raw: &'a str) -> Result<Self, Unreadable> {
        let envelope: Envelope<'a> = serde_json::from_str(raw).map_err(|_| Unreadable)?;
        if envelope.resource_type != "Bundle"
            || envelope.kind != "searchset"
            || envelope.entry.len() > MAX_ENTRIES
        {
            return Err(Unreadable);
        }
        let mut next = envelope.link.iter().filter(|link| link.relation == "next");
        let (first, second) = (next.next(), next.next());
        if second.is_some() {
            return Err(Unreadable);
        }
        let next = first.map(|link| link.url.clone().into_owned());
        let has_self = envelope.link.iter().any(|link| link.relation == "self");
        let entries = envelope
            .entry
            .into_iter()
            .map(|entry| Entry {
                resource: entry.resource.map(RawValue::get),
                is_match: entry
                    .search
                    .and_then(|search| search.mode)
                    .is_none_or(|mode| mode == "match"),
            })
            .collect();
        Ok(Self { entries, next, has_self })
    }
}

/// A page of a searchset as we send it.
#[derive(Debug)]
pub struct Page<'a> {
    /// The canonical search.
    pub self_url: &'a str,
    /// Where our next page is.
    pub next_url: Option<&'a str>,
    /// How many there are in all, only if that is known.
    pub total: Option<usize>,
}

impl Page<'_> {
    /// The bundle's JSON: each entry's own URL and its JSON, in order.
    pub fn to_json(&self, entries: &[(String, Cow<'_, str>)]) -> String {
        let size: usize = entries.iter().map(|(url, raw)| url.len() + raw.len() + 64).sum();
        let mut out = String::with_capacity(size + self.self_url.len() + 512);
        out.push_str(r#"{"resourceType":"Bundle","type":"searchset""#);
        if let Some(total) = self.total {
            let _ = write!(out, r#","total":{total}"#);
        }
        let _ = write!(out, r#","link":[{{"relation":"self","url":{}}}"#, quoted(self.self_url));
        if let Some(next) = self.next_url {
            let _ = write!(out, r#",{{"relation":"next","url":{}}}"#, quoted(next));
        }
        out.push(']');
        for (index, (url, raw)) in entries.iter().enumerate() {
            out.push_str(if index == 0 { r#","entry":["# } else { "," });
            let _ = write!(out, r#"{{"fullUrl":{},"resource":"#, quoted(url));
            out.push_str(raw);
            out.push_str(r#","search":{"mode":"match"}}"#);
        }
        if !entries.is_empty() {
            out.push(']');
        }
        out.push('}');
        out
    }
}

fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rebuilt_reads_back_and_nothing_of_the_envelope_stays_row_6() {
        let raw = r#"{"resourceType":"Bundle","id":"secret","type":"searchset","total":99,
            "link":[{"relation":"self","url":"http://up?x"},{"relation":"next","url":"http://up?y"}],
            "entry":[{"fullUrl":"http://up/Patient/1","resource":{"a":1},"search":{"mode":"match","score":1}},
                     {"resource":{"b":2},"search":{"mode":"include"}},{"search":{"mode":"outcome"}},{"resource":{}}]}"#;
        let bundle = Bundle::parse(raw).unwrap();
        assert_eq!(bundle.next.as_deref(), Some("http://up?y"));
        let matches: Vec<_> = bundle.entries.iter().map(|e| e.is_match).collect();
        assert_eq!(matches, [true, false, false, true]);
        let page = Page { self_url: "https://us/Patient?a=\"", next_url: None, total: Some(1) };
        let json = page.to_json(&[("https://us/Patient/1".into(), r#"{"a":1}"#.into())]);
        let again: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(again["total"], 1);
        assert_eq!(again["entry"][0]["resource"]["a"], 1);
        assert!(!json.contains("secret") && !json.contains("http://up"));
    }

    #[test]
    fn a_bundle_that_reads_two_ways_is_withheld_row_42() {
        for bad in [
            r#"{"resourceType":"Bundle","type":"searchset","entry":[],"entry":[]}"#,
            r#"{"resourceType":"Bundle","type":"batch-response"}"#,
            r#"{"resourceType":"Patient","type":"searchset"}"#,
            r#"{"resourceType":"Bundle","type":"searchset"}x"#,
            r#"{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{},"resource":{}}]}"#,
            r#"{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"a"},{"relation":"next","url":"b"}]}"#,
            "<html>",
            "",
        ] {
            assert!(Bundle::parse(bad).is_err(), "{bad}");
        }
    }
}
