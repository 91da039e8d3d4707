//! What a resource's element holds, what a search asks, and whether one meets the other.

use serde_json::Value;

use crate::{
    date::Span,
    parameter::{Kind, Parameter},
};

/// What one parameter reads from one resource.
#[derive(Debug)]
pub(crate) enum Values {
    /// (system, code) of every coding, identifier or code.
    Tokens(Vec<(Option<String>, String)>),
    /// Relative references, `Type/id`.
    References(Vec<String>),
    /// Dates and periods.
    Dates(Vec<Span>),
    /// Texts in lower case.
    Texts(Vec<String>),
}

impl Values {
    /// Reads the parameter's elements from a resource.
    pub(crate) fn read(resource: &Value, parameter: &Parameter) -> Values {
        let elements = || parameter.path.split('|').flat_map(|path| walk(resource, path));
        match parameter.kind {
            Kind::Token => Values::Tokens(elements().flat_map(tokens).collect()),
            Kind::Reference(target) => Values::References(
                elements()
                    .filter_map(|element| text(element, "reference"))
                    .filter(|reference| reference.starts_with(target))
                    .map(str::to_owned)
                    .collect(),
            ),
            Kind::Date => Values::Dates(elements().filter_map(span).collect()),
            Kind::Text => Values::Texts(
                elements().filter_map(|element| element.as_str().map(str::to_lowercase)).collect(),
            ),
        }
    }

    /// The earliest start, for sorting.
    pub(crate) fn earliest(&self) -> Option<i64> {
        match self {
            Values::Dates(spans) => spans.iter().map(|span| span.start).min(),
            _ => None,
        }
    }
}

/// One value that a search asks for; the commas of a parameter separate several.
#[derive(Debug)]
pub(crate) enum Test {
    /// `None` asks nothing of that half; an empty system asks that there be none.
    Token { system: Option<String>, code: Option<String> },
    /// The type, where it is given or the parameter has only one, and the id.
    Reference { kind: Option<String>, id: String },
    /// Prefix and range.
    Date(Prefix, Span),
    /// The beginning in lower case.
    Text(String),
}

/// FHIR R4, Search §3.1.1.4.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
}

const PREFIXES: &[(&str, Prefix)] = &[
    ("eq", Prefix::Eq),
    ("ne", Prefix::Ne),
    ("gt", Prefix::Gt),
    ("lt", Prefix::Lt),
    ("ge", Prefix::Ge),
    ("le", Prefix::Le),
    ("sa", Prefix::Sa),
    ("eb", Prefix::Eb),
];

impl Test {
    /// Reads a parameter's value: the alternatives it lists. `None` if one cannot be understood.
    ///
    /// `base` is the server's own address: absolute references below it are its own.
    pub(crate) fn parse(kind: Kind, value: &str, base: &str) -> Option<Vec<Test>> {
        split(value, ',')
            .into_iter()
            .map(|one| match kind {
                Kind::Token => token_test(&one),
                Kind::Reference(target) => reference_test(&unescape(&one), target, base),
                Kind::Date => date_test(&unescape(&one)),
                Kind::Text => Some(unescape(&one).to_lowercase())
                    .filter(|text| !text.is_empty())
                    .map(Test::Text),
            })
            .collect()
    }

    /// Whether any of the values answers.
    pub(crate) fn matches(&self, values: &Values) -> bool {
        match (self, values) {
            (Test::Token { system, code }, Values::Tokens(tokens)) => {
                tokens.iter().any(|(its_system, its_code)| {
                    system.as_ref().is_none_or(|system| {
                        its_system.as_deref().unwrap_or_default() == system.as_str()
                    }) && code.as_ref().is_none_or(|code| code == its_code)
                })
            }
            (Test::Reference { kind, id }, Values::References(references)) => {
                references.iter().any(|reference| {
                    reference.split_once('/').is_some_and(|(its_kind, its_id)| {
                        its_id == id && kind.as_ref().is_none_or(|kind| kind == its_kind)
                    })
                })
            }
            (Test::Date(prefix, asked), Values::Dates(spans)) => {
                spans.iter().any(|span| prefix.holds(*asked, *span))
            }
            (Test::Text(start), Values::Texts(texts)) => {
                texts.iter().any(|text| text.starts_with(start))
            }
            _ => false,
        }
    }
}

impl Prefix {
    fn holds(self, asked: Span, span: Span) -> bool {
        let within = asked.start <= span.start && span.end <= asked.end;
        match self {
            Prefix::Eq => within,
            Prefix::Ne => !within,
            Prefix::Gt => span.end > asked.end,
            Prefix::Lt => span.start < asked.start,
            Prefix::Ge => within || span.end > asked.end,
            Prefix::Le => within || span.start < asked.start,
            Prefix::Sa => span.start >= asked.end,
            Prefix::Eb => span.end <= asked.start,
        }
    }
}

/// Every element at a dotted path; arrays are walked through.
fn walk<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut here = vec![value];
    for name in path.split('.') {
        here = here
            .into_iter()
            .filter_map(|value| value.get(name))
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().collect(),
                one => vec![one],
            })
            .collect();
    }
    here
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

/// The tokens of a CodeableConcept, Coding, Identifier or code.
fn tokens(element: &Value) -> Vec<(Option<String>, String)> {
    if let Some(code) = element.as_str() {
        return vec![(None, code.to_owned())];
    }
    if let Some(Value::Array(codings)) = element.get("coding") {
        return codings.iter().flat_map(tokens).collect();
    }
    text(element, "code")
        .or_else(|| text(element, "value"))
        .map(|code| (text(element, "system").map(str::to_owned), code.to_owned()))
        .into_iter()
        .collect()
}

/// A date, or a Period with open ends.
fn span(element: &Value) -> Option<Span> {
    if let Some(date) = element.as_str() {
        return Span::parse(date);
    }
    let bound = |name| match text(element, name) {
        Some(date) => Span::parse(date),
        None => Some(Span::ALWAYS),
    };
    Some(Span { start: bound("start")?.start, end: bound("end")?.end })
}

fn token_test(value: &str) -> Option<Test> {
    let mut halves = split(value, '|').into_iter().map(|half| unescape(&half));
    let (first, second) = (halves.next()?, halves.next());
    if halves.next().is_some() {
        return None;
    }
    let (system, code) = match second {
        None => (None, Some(first)),
        Some(code) if code.is_empty() => (Some(first), None),
        Some(code) => (Some(first), Some(code)),
    };
    let asks_nothing = match (&system, &code) {
        (None, Some(code)) => code.is_empty(),
        (Some(system), None) => system.is_empty(),
        _ => false,
    };
    (!asks_nothing).then_some(Test::Token { system, code })
}

fn reference_test(value: &str, target: &str, base: &str) -> Option<Test> {
    let relative =
        value.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(value);
    // A foreign absolute address is a reference that nothing here has.
    let (kind, id) = match relative.rsplit_once('/') {
        Some((kind, id)) => (Some(kind.to_owned()), id),
        None => ((!target.is_empty()).then(|| target.to_owned()), relative),
    };
    (!id.is_empty()).then(|| Test::Reference { kind, id: id.to_owned() })
}

fn date_test(value: &str) -> Option<Test> {
    let (prefix, date) = PREFIXES
        .iter()
        .find_map(|(text, prefix)| Some((*prefix, value.strip_prefix(text)?)))
        .unwrap_or((Prefix::Eq, value));
    Some(Test::Date(prefix, Span::parse(date)?))
}

/// Splits where the separator is not escaped by `\` (R4, Search §3.1.1.4.1); keeps the escapes.
fn split(value: &str, separator: char) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut escaped = false;
    for letter in value.chars() {
        if letter == separator && !escaped {
            pieces.push(std::mem::take(&mut piece));
            continue;
        }
        piece.push(letter);
        escaped = letter == '\\' && !escaped;
    }
    pieces.push(piece);
    pieces
}

fn unescape(value: &str) -> String {
    let mut letters = value.chars();
    let mut text = String::with_capacity(value.len());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.extend(letters.next()),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Test, Values, split, unescape};
    use crate::parameter::{Kind, Parameter, parameters_of};

    fn parameter(kind: &str, name: &str) -> &'static Parameter {
        parameters_of(kind).find(|row| row.name == name).unwrap()
    }

    fn meets(of: &str, name: &str, resource: &serde_json::Value, asked: &str) -> bool {
        let parameter = parameter(of, name);
        Test::parse(parameter.kind, asked, "http://here")
            .unwrap()
            .iter()
            .any(|test| test.matches(&Values::read(resource, parameter)))
    }

    #[test]
    fn a_token_is_met_by_the_halves_it_names() {
        let lab = json!({"category": [{"coding": [{"system": "s", "code": "laboratory"}]}], "status": "final"});
        for yes in ["laboratory", "s|laboratory", "s|", "x,laboratory"] {
            assert!(meets("Observation", "category", &lab, yes), "{yes}");
        }
        for no in ["Laboratory", "|laboratory", "t|laboratory", "t|", "x,s|y"] {
            assert!(!meets("Observation", "category", &lab, no), "{no}");
        }
        assert!(meets("Observation", "status", &lab, "|final"));
        assert!(!meets("Observation", "status", &lab, "s|final"));
    }

    #[test]
    fn a_patient_reference_is_met_in_every_spelling_and_by_nobody_else() {
        let lab = json!({"subject": {"reference": "Patient/a"}});
        for yes in ["a", "Patient/a", "http://here/Patient/a", "b,Patient/a"] {
            assert!(meets("Observation", "patient", &lab, yes), "{yes}");
        }
        for no in ["b", "Group/a", "http://there/Patient/a", "A", "Patient/a/x"] {
            assert!(!meets("Observation", "patient", &lab, no), "{no}");
        }
        let group = json!({"subject": {"reference": "Group/a"}});
        assert!(meets("Observation", "subject", &group, "a"));
        assert!(!meets("Observation", "patient", &group, "a"));
        assert!(!meets("Observation", "patient", &group, "Group/a"));
    }

    #[test]
    fn dates_are_compared_as_ranges() {
        let visit =
            json!({"period": {"start": "2025-06-07T10:40:00Z", "end": "2025-06-07T10:57:00Z"}});
        for yes in [
            "2025",
            "2025-06-07",
            "ge2025-06-07",
            "le2025-06-07",
            "gt2025-06-06",
            "lt2025-06-08",
            "ne2024",
            "sa2025-06-06",
            "eb2025-06-08",
        ] {
            assert!(meets("Encounter", "date", &visit, yes), "{yes}");
        }
        for no in [
            "2024",
            "2025-06-07T10:40:00Z",
            "gt2025-06-07",
            "lt2025-06-07",
            "ge2025-06-08",
            "le2025-06-06",
            "ne2025",
            "sa2025-06-07",
            "eb2025-06-07",
        ] {
            assert!(!meets("Encounter", "date", &visit, no), "{no}");
        }
        let open = json!({"period": {"start": "2025-06-07"}});
        assert!(meets("Encounter", "date", &open, "gt2099"));
    }

    #[test]
    fn what_asks_nothing_is_refused() {
        for (kind, value) in [
            (Kind::Token, ""),
            (Kind::Token, "|"),
            (Kind::Token, "a|b|c"),
            (Kind::Token, "a,"),
            (Kind::Reference("Patient"), ""),
            (Kind::Reference(""), "Patient/"),
            (Kind::Date, "yesterday"),
            (Kind::Date, "ap2025"),
            (Kind::Date, ""),
            (Kind::Text, ""),
        ] {
            assert!(Test::parse(kind, value, "http://here").is_none(), "{value}");
        }
    }

    #[test]
    fn an_escaped_separator_is_part_of_the_value() {
        assert_eq!(split(r"a\,b,c", ','), [r"a\,b", "c"]);
        assert_eq!(unescape(r"a\,b\\c"), r"a,b\c");
    }
}
