//! HTML forms as a browser without scripts understands them: enough to fill in and send.

/// A control of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// `name`; unnamed controls are never sent.
    pub name: String,
    /// `text`, `password`, `hidden`, `checkbox`, `radio`, `submit`, `option` …
    pub kind: String,
    /// `value`; a checkbox without one says `on`.
    pub value: String,
    /// `checked` or `selected`.
    pub chosen: bool,
}

/// A form of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// `action` as written: relative, absolute or empty.
    pub action: String,
    /// `get` or `post`.
    pub method: String,
    /// Its controls in order.
    pub controls: Vec<Control>,
}

impl Form {
    /// Whether a control of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.controls.iter().any(|control| control.name == name)
    }

    /// The values offered under a name.
    pub fn offered(&self, name: &str) -> Vec<&str> {
        let named = self.controls.iter().filter(|control| control.name == name);
        named.map(|control| control.value.as_str()).collect()
    }

    /// What a browser would send now, apart from buttons.
    pub fn values(&self) -> Vec<(String, String)> {
        self.controls
            .iter()
            .filter(|control| match control.kind.as_str() {
                "submit" | "button" | "reset" | "image" | "file" => false,
                "checkbox" | "radio" | "option" => control.chosen,
                _ => true,
            })
            .map(|control| (control.name.clone(), control.value.clone()))
            .collect()
    }
}

/// The forms of a page, in order.
pub fn forms(html: &str) -> Vec<Form> {
    let mut found = Vec::new();
    let mut open: Option<Form> = None;
    let mut select: Option<(String, usize)> = None;
    for tag in tags(html) {
        match tag.name.as_str() {
            "form" => {
                open = Some(Form {
                    action: tag.attribute("action").unwrap_or_default(),
                    method: tag.attribute("method").unwrap_or_default().to_ascii_lowercase(),
                    controls: Vec::new(),
                });
            }
            "/form" => found.extend(open.take()),
            "select" => {
                let begun = open.as_ref().map_or(0, |form| form.controls.len());
                select = tag.attribute("name").map(|name| (name, begun));
            }
            "/select" => {
                // A drop-down list always has a choice: the first, if none is marked.
                if let (Some((_, begun)), Some(form)) = (select.take(), open.as_mut())
                    && let Some(options) = form.controls.get_mut(begun..)
                    && !options.iter().any(|option| option.chosen)
                    && let Some(first) = options.first_mut()
                {
                    first.chosen = true;
                }
            }
            "input" | "button" | "textarea" | "option" => {
                let Some(form) = open.as_mut() else { continue };
                if tag.attribute("disabled").is_some() {
                    continue;
                }
                let name = if tag.name == "option" {
                    select.as_ref().map(|(name, _)| name.clone())
                } else {
                    tag.attribute("name")
                };
                let Some(name) = name else { continue };
                let kind = match tag.name.as_str() {
                    "option" => "option".to_owned(),
                    "textarea" => "text".to_owned(),
                    "button" => tag.attribute("type").unwrap_or_else(|| "submit".to_owned()),
                    _ => tag.attribute("type").unwrap_or_else(|| "text".to_owned()),
                };
                let chosen =
                    tag.attribute("checked").is_some() || tag.attribute("selected").is_some();
                let unset = if matches!(kind.as_str(), "checkbox" | "radio") { "on" } else { "" };
                let value = tag.attribute("value").unwrap_or_else(|| unset.to_owned());
                form.controls.push(Control {
                    name,
                    kind: kind.to_ascii_lowercase(),
                    value,
                    chosen,
                });
            }
            _ => {}
        }
    }
    found
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }
}

fn tags(html: &str) -> Tags<'_> {
    Tags { rest: html }
}

/// The tags of a page, comments skipped.
struct Tags<'a> {
    rest: &'a str,
}

impl Iterator for Tags<'_> {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        loop {
            let (_, after) = self.rest.split_once('<')?;
            if let Some(comment) = after.strip_prefix("!--") {
                self.rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
                continue;
            }
            let end = after.find(|c: char| c.is_whitespace() || c == '>')?;
            let (name, rest) = after.split_at(end);
            let (attributes, rest) = attributes(rest);
            self.rest = rest;
            return Some(Tag { name: name.trim_end_matches('/').to_ascii_lowercase(), attributes });
        }
    }
}

/// Attributes up to the closing `>`, and what follows it.
fn attributes(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() {
            return (found, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (found, after);
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/'))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end.max(1));
        rest = after.trim_start();
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (raw, after) = match quote {
                Some(quote) => {
                    after.get(1..).and_then(|text| text.split_once(quote)).unwrap_or((after, ""))
                }
                None => {
                    let end = after.find(|c: char| c.is_whitespace() || c == '>');
                    after.split_at(end.unwrap_or(after.len()))
                }
            };
            value = unescape(raw);
            rest = after;
        }
        found.push((name.to_ascii_lowercase(), value));
    }
}

/// Character references: the five of XML and any number.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let reference = after.split_once(';').and_then(|(name, tail)| {
            let character = match name {
                "amp" => Some('&'),
                "lt" => Some('<'),
                "gt" => Some('>'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => {
                    let number = name.strip_prefix('#')?;
                    let code = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                        None => number.parse().ok()?,
                    };
                    char::from_u32(code)
                }
            }?;
            Some((character, tail))
        });
        match reference {
            Some((character, tail)) => {
                plain.push(character);
                rest = tail;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_sends_what_a_browser_would_send() {
        let html = r#"<!-- <form><input name=no> --> <form method="POST" action="/consent?x=1&amp;y=2">
            <input type=hidden name="csrf" value="a&#34;b">
            <input type="checkbox" name="scope" value="openid" checked/><input type="checkbox" name="scope" value="x">
            <select name='duration'><option value="once">Once</option><option value="1d" selected>A day</option></select>
            <input type="radio" name="patient" value="p1"><input name="off" value="1" disabled>
            <button name="decision" value="deny">No</button></form>"#;
        let found = forms(html);
        let form = found.first().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((form.action.as_str(), form.method.as_str()), ("/consent?x=1&y=2", "post"));
        let values = form.values();
        let sent: Vec<_> = values.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(sent, [("csrf", "a\"b"), ("scope", "openid"), ("duration", "1d")]);
        assert_eq!(form.offered("decision"), ["deny"]);
        assert_eq!(form.offered("patient"), ["p1"]);
    }
}
