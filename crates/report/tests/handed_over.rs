//! What a report looks like outside: CSV that reads back, a PDF that other people's programs read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "tests"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use report::{Document, Section, csv, pdf};

const HARD: [&str; 8] = [
    "Łukasz Żółć, Sp. z o.o.",
    "the \"best\" labs",
    "=cmd|' /C calc'!A0",
    "line\r\nbreak",
    "🙂 emoji",
    "Ἀθῆναι Αθήνα",
    "Санкт-Петербург",
    "",
];

fn document(rows: usize) -> Document {
    let row = |n: usize| vec![n.to_string(), HARD[n % HARD.len()].to_owned(), "x".repeat(n % 40)];
    Document {
        title: "Accounting of disclosures – Łukasz".to_owned(),
        facts: vec![("Patient".to_owned(), "pat-1".to_owned())],
        sections: vec![Section {
            title: "Disclosures".to_owned(),
            columns: [("number", 1), ("name", 3), ("long", 2)]
                .map(|(name, weight)| (name.to_owned(), weight))
                .to_vec(),
            rows: (0..rows).map(row).collect(),
        }],
        notes: vec!["Nothing else.".to_owned()],
    }
}

/// RFC 4180, written from the grammar: a file is records, each ends in CRLF.
fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            character => field.push(character),
        }
    }
    assert!(!quoted && field.is_empty() && record.is_empty(), "the last line ends, too");
    records
}

#[test]
fn csv_of_ten_thousand_rows_reads_back_and_starts_no_formula() {
    let document = document(10_000);
    let read = parse(&csv(&document));
    assert_eq!(read.len(), 10_001);
    assert!(read.iter().all(|record| record.len() == 3));
    for (record, row) in read[1..].iter().zip(&document.sections[0].rows) {
        for (read, written) in record.iter().zip(row) {
            assert!(read == written || *read == format!("'{written}"), "{read:?} {written:?}");
            assert!(!read.starts_with(['=', '+', '-', '@']));
        }
    }
}

#[test]
fn an_empty_report_is_a_heading_and_a_page() {
    assert_eq!(csv(&document(0)), "number,name,long\r\n");
    assert_eq!(pages(&pdf(&document(0)).unwrap()), 1);
}

#[test]
fn a_second_table_is_told_apart_and_has_as_many_fields() {
    let mut document = document(2);
    document.sections.push(Section { title: "More".to_owned(), ..document.sections[0].clone() });
    let read = parse(&csv(&document));
    assert_eq!(read.len(), 5);
    assert!(read.iter().all(|record| record.len() == 4));
    assert_eq!((read[1][0].as_str(), read[3][0].as_str()), ("Disclosures", "More"));
}

/// Runs one of poppler's programs on a PDF.
fn poppler(program: &str, arguments: &[&str], pdf: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; apt install poppler-utils"));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = pdf.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(out.status.success(), "{program} refuses the PDF");
    String::from_utf8(out.stdout).unwrap()
}

fn pages(pdf: &[u8]) -> usize {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    let info = poppler("pdfinfo", &[file.path().to_str().unwrap()], &[]);
    let pages = info.lines().find_map(|line| line.strip_prefix("Pages:")).unwrap();
    pages.trim().parse().unwrap()
}

#[test]
fn a_pdf_of_ten_thousand_rows_is_read_by_poppler_with_every_name() {
    let pdf = pdf(&document(10_000)).unwrap();
    assert!(pages(&pdf) > 100);
    let text = poppler("pdftotext", &["-layout", "-", "-"], &pdf);
    for name in ["Łukasz", "Żółć", "Ἀθῆναι", "Санкт", "Accounting of disclosures"]
    {
        assert!(text.contains(name), "{name} is not in the PDF's text");
    }
    // Every row, once: the numbers stand at the beginning of their lines.
    let numbers =
        text.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    let numbers: std::collections::BTreeSet<u32> = numbers.collect();
    assert!((0..10_000).all(|n| numbers.contains(&n)));
    let heading = text.matches("number").count();
    assert!(heading > 100, "the heading stands on each page, and it stands {heading} times");
}
