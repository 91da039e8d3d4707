//! A report as PDF: A4 on its side, tables that go on over pages with their heading, every letter
//! drawn from a font inside the file. What the font lacks is drawn as a box, never left out.

mod font;

use krilla::Document as Pdf;
use krilla::color::luma;
use krilla::geom::{PathBuilder, Rect};
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::paint::Fill;

use crate::document::{Document, Section};
use font::{Face, Font};

/// The PDF cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the PDF cannot be made")]
pub struct PdfError;

/// Points.
const WIDTH: f32 = 842.0;
const HEIGHT: f32 = 595.0;
const MARGIN: f32 = 36.0;
const FOOT: f32 = 24.0;
const GAP: f32 = 6.0;
const TITLE: f32 = 15.0;
const HEAD: f32 = 10.0;
const TEXT: f32 = 7.5;
const LEADING: f32 = 1.3;
/// A cell of more lines is cut with an ellipsis; the whole is in CSV and JSON.
const MOST_LINES: usize = 40;

/// One line of text at its place.
struct Mark {
    x: f32,
    y: f32,
    size: f32,
    face: Face,
    text: String,
}

/// What stands on one page.
#[derive(Default)]
struct Sheet {
    marks: Vec<Mark>,
    /// Rules under headings and rows: height, and how dark.
    rules: Vec<(f32, u8)>,
}

struct Layout<'a> {
    font: &'a Font,
    done: Vec<Sheet>,
    sheet: Sheet,
    y: f32,
}

/// A document as a PDF file.
///
/// # Errors
/// [`PdfError`].
pub fn pdf(document: &Document) -> Result<Vec<u8>, PdfError> {
    let font = Font::open().ok_or(PdfError)?;
    let mut layout = Layout { font: &font, done: Vec::new(), sheet: Sheet::default(), y: MARGIN };
    layout.paragraph(Face::Bold, TITLE, &document.title);
    layout.y += GAP;
    for (name, value) in &document.facts {
        layout.fact(name, value);
    }
    for section in &document.sections {
        layout.y += GAP * 2.0;
        layout.table(section);
    }
    layout.y += GAP * 2.0;
    for note in &document.notes {
        layout.paragraph(Face::Regular, TEXT, note);
        layout.y += GAP / 2.0;
    }
    let mut sheets = layout.done;
    sheets.push(layout.sheet);
    write(document, &font, sheets)
}

impl Layout<'_> {
    fn room(&mut self, height: f32) -> bool {
        if self.y + height <= HEIGHT - MARGIN - FOOT {
            return true;
        }
        self.done.push(std::mem::take(&mut self.sheet));
        self.y = MARGIN;
        false
    }

    fn put(&mut self, x: f32, y: f32, size: f32, face: Face, text: &str) {
        self.sheet.marks.push(Mark { x, y, size, face, text: text.to_owned() });
    }

    fn paragraph(&mut self, face: Face, size: f32, text: &str) {
        for line in self.font.wrap(text, face, size, WIDTH - 2.0 * MARGIN) {
            self.room(size * LEADING);
            self.y += size * LEADING;
            self.put(MARGIN, self.y, size, face, &line);
        }
    }

    fn fact(&mut self, name: &str, value: &str) {
        let size = HEAD - 1.0;
        for (index, line) in self
            .font
            .wrap(value, Face::Regular, size, WIDTH - 2.0 * MARGIN - 110.0)
            .iter()
            .enumerate()
        {
            self.room(size * LEADING);
            self.y += size * LEADING;
            if index == 0 {
                self.put(MARGIN, self.y, size, Face::Bold, name);
            }
            self.put(MARGIN + 110.0, self.y, size, Face::Regular, line);
        }
    }

    fn table(&mut self, section: &Section) {
        let places = places(section);
        // The heading never stands alone at the foot of a page.
        self.room(HEAD * LEADING + TEXT * LEADING * 4.0);
        self.paragraph(Face::Bold, HEAD, &section.title);
        self.heading(section, &places);
        if section.rows.is_empty() {
            self.paragraph(Face::Regular, TEXT, "none");
        }
        for row in &section.rows {
            let cells: Vec<Vec<String>> = row
                .iter()
                .zip(&places)
                .map(|(text, (_, width))| {
                    let mut lines = self.font.wrap(text, Face::Regular, TEXT, *width);
                    if lines.len() > MOST_LINES {
                        lines.truncate(MOST_LINES);
                        lines.extend(["…".to_owned()]);
                    }
                    lines
                })
                .collect();
            let lines = cells.iter().map(Vec::len).max().unwrap_or(1);
            if !self.room(height(lines)) {
                self.heading(section, &places);
            }
            self.cells(Face::Regular, &cells, &places, lines);
            self.sheet.rules.push((self.y, 215));
        }
    }

    fn heading(&mut self, section: &Section, places: &[(f32, f32)]) {
        let cells: Vec<Vec<String>> = section
            .columns
            .iter()
            .zip(places)
            .map(|((name, _), (_, width))| self.font.wrap(name, Face::Bold, TEXT, *width))
            .collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(1);
        self.cells(Face::Bold, &cells, places, lines);
        self.sheet.rules.push((self.y, 0));
    }

    fn cells(&mut self, face: Face, cells: &[Vec<String>], places: &[(f32, f32)], lines: usize) {
        for (cell, (x, _)) in cells.iter().zip(places) {
            let mut y = self.y;
            for line in cell {
                y += TEXT * LEADING;
                self.put(*x, y, TEXT, face, line);
            }
        }
        self.y += height(lines);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a few dozen lines")]
fn height(lines: usize) -> f32 {
    lines as f32 * TEXT * LEADING + GAP / 2.0
}

/// Where each column begins and how wide it is.
fn places(section: &Section) -> Vec<(f32, f32)> {
    let total: f32 = section.columns.iter().map(|(_, weight)| f32::from(*weight)).sum();
    let room = WIDTH - 2.0 * MARGIN;
    let mut x = MARGIN;
    let place = |(_, weight): &(String, u8)| {
        let width = room * f32::from(*weight) / total.max(1.0);
        let own = (x, (width - GAP).max(TEXT));
        x += width;
        own
    };
    section.columns.iter().map(place).collect()
}

fn write(document: &Document, font: &Font, sheets: Vec<Sheet>) -> Result<Vec<u8>, PdfError> {
    let mut pdf = Pdf::new();
    pdf.set_metadata(Metadata::new().title(document.title.clone()).creator("Phiward".to_owned()));
    let count = sheets.len();
    for (number, mut sheet) in (1_usize..).zip(sheets) {
        let foot = format!("{} – page {number} of {count}", document.title);
        let y = HEIGHT - MARGIN;
        sheet.marks.push(Mark { x: MARGIN, y, size: TEXT, face: Face::Regular, text: foot });
        let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or(PdfError)?;
        let mut page = pdf.start_page_with(settings);
        let mut surface = page.surface();
        for (y, shade) in sheet.rules {
            let rule = Rect::from_xywh(MARGIN, y, WIDTH - 2.0 * MARGIN, 0.4).ok_or(PdfError)?;
            let mut path = PathBuilder::new();
            path.push_rect(rule);
            surface
                .set_fill(Some(Fill { paint: luma::Color::new(shade).into(), ..Fill::default() }));
            surface.draw_path(&path.finish().ok_or(PdfError)?);
        }
        surface.set_fill(Some(Fill::default()));
        for mark in sheet.marks {
            font.draw(&mut surface, (mark.x, mark.y), mark.size, mark.face, &mark.text);
        }
        surface.finish();
        page.finish();
    }
    pdf.finish().map_err(|_| PdfError)
}
