//! CSV (RFC 4180) that a spreadsheet opens without running it: a cell that could begin a formula is
//! led by an apostrophe. One heading; every line has as many fields.

use crate::document::Document;

/// A document's tables as one CSV file, UTF-8. With several tables, the first column names them.
pub fn csv(document: &Document) -> String {
    let several = document.sections.len() > 1;
    let mut out = String::new();
    let heading = document.sections.first().into_iter().flat_map(|section| &section.columns);
    let first = several.then_some("table").into_iter();
    line(&mut out, first.chain(heading.map(|(name, _)| name.as_str())));
    for section in &document.sections {
        for row in &section.rows {
            let first = several.then_some(section.title.as_str()).into_iter();
            line(&mut out, first.chain(row.iter().map(String::as_str)));
        }
    }
    out
}

fn line<'a>(out: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (index, text) in fields.enumerate() {
        if index > 0 {
            out.push(',');
        }
        field(out, text);
    }
    out.push_str("\r\n");
}

fn field(out: &mut String, text: &str) {
    let guard = is_formula(text);
    let quoted = guard || text.contains([',', '"', '\r', '\n']) || text != text.trim();
    if !quoted {
        out.push_str(text);
        return;
    }
    out.push('"');
    if guard {
        out.push('\'');
    }
    for character in text.chars() {
        if character == '"' {
            out.push('"');
        }
        out.push(character);
    }
    out.push('"');
}

/// What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection"), also after
/// characters that they skip.
fn is_formula(text: &str) -> bool {
    if text.starts_with(['\t', '\r', '\n']) {
        return true;
    }
    let skipped = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}');
    text.trim_start_matches(skipped)
        .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let mut out = String::new();
        field(&mut out, text);
        out
    }

    #[test]
    fn what_means_something_to_csv_is_quoted() {
        assert_eq!(of("Labs"), "Labs");
        assert_eq!(of("Labs, Inc"), r#""Labs, Inc""#);
        assert_eq!(of(r#"the "best""#), r#""the ""best""""#);
        assert_eq!(of("a\r\nb"), "\"a\r\nb\"");
        assert_eq!(of("Łukasz 🙂"), "Łukasz 🙂");
        assert_eq!(of(""), "");
    }

    #[test]
    fn nothing_begins_a_formula() {
        for bad in
            ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u{ff1d}1"]
        {
            assert!(of(bad).starts_with("\"'"), "{bad:?} became {:?}", of(bad));
        }
        assert_eq!(of("a=b"), "a=b");
    }
}
