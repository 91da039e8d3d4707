//! The letters of a report: how wide a text is, where its lines break, and how it is drawn. Characters
//! that cannot be seen or would turn the line around are not drawn; what the font lacks is a box.

use krilla::geom::Point;
use krilla::surface::Surface;
use krilla::text::{Font as Embedded, GlyphId, KrillaGlyph};
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

static REGULAR: &[u8] = include_bytes!("../../fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../fonts/DejaVuSans-Bold.ttf");
/// What stands for a character that the font lacks.
const LACKING: char = '\u{25a1}';

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Face {
    Regular,
    Bold,
}

/// Both faces, to measure and to embed.
pub(super) struct Font {
    regular: Cut,
    bold: Cut,
}

struct Cut {
    embedded: Embedded,
    charmap: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
}

impl Cut {
    fn open(bytes: &'static [u8]) -> Option<Self> {
        let font = FontRef::new(bytes).ok()?;
        let embedded = Embedded::new(bytes.into(), 0)?;
        // Advances for a size of one.
        let metrics = font.glyph_metrics(Size::new(1.0), LocationRef::default());
        Some(Self { embedded, charmap: font.charmap(), metrics })
    }

    fn glyph(&self, character: char) -> (GlyphId, f32) {
        let shown = if character.is_whitespace() { ' ' } else { character };
        let glyph = self.charmap.map(shown).or_else(|| self.charmap.map(LACKING));
        let glyph = glyph.unwrap_or_default();
        let advance = self.metrics.advance_width(glyph).unwrap_or(0.6);
        (GlyphId::new(glyph.to_u32()), advance)
    }
}

impl Font {
    pub(super) fn open() -> Option<Self> {
        Some(Self { regular: Cut::open(REGULAR)?, bold: Cut::open(BOLD)? })
    }

    const fn cut(&self, face: Face) -> &Cut {
        match face {
            Face::Regular => &self.regular,
            Face::Bold => &self.bold,
        }
    }

    fn width(&self, text: &str, face: Face, size: f32) -> f32 {
        text.chars().map(|character| self.cut(face).glyph(character).1 * size).sum()
    }

    /// A text in lines no wider than this; at least one. Words break at spaces, long ones anywhere.
    pub(super) fn wrap(&self, text: &str, face: Face, size: f32, width: f32) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        let mut used = 0.0;
        let space = self.width(" ", face, size);
        for word in text.split(|c: char| c.is_whitespace()).filter(|word| !word.is_empty()) {
            let word: String = word.chars().filter(|c| is_shown(*c)).collect();
            let wide = self.width(&word, face, size);
            if !line.is_empty() && used + space + wide > width {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
            }
            if !line.is_empty() {
                line.push(' ');
                used += space;
            }
            for character in word.chars() {
                let own = self.cut(face).glyph(character).1 * size;
                if used + own > width && !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                    used = 0.0;
                }
                line.push(character);
                used += own;
            }
        }
        lines.push(line);
        lines
    }

    pub(super) fn draw(
        &self,
        surface: &mut Surface<'_>,
        (x, y): (f32, f32),
        size: f32,
        face: Face,
        text: &str,
    ) {
        let cut = self.cut(face);
        let glyphs: Vec<KrillaGlyph> = text
            .char_indices()
            .map(|(at, character)| {
                let (glyph, advance) = cut.glyph(character);
                let range = at..at.saturating_add(character.len_utf8());
                KrillaGlyph::new(glyph, advance, 0.0, 0.0, 0.0, range, None)
            })
            .collect();
        if !glyphs.is_empty() {
            let font = cut.embedded.clone();
            surface.draw_glyphs(Point::from_xy(x, y), &glyphs, font, text, size, false);
        }
    }
}

/// Controls, joiners, variation selectors and bidirectional marks have no shape of their own.
fn is_shown(character: char) -> bool {
    !(character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_asked_and_nothing_is_lost() {
        let font = Font::open().unwrap();
        let text = "Łukasz Żółć, Ἀθῆναι, Санкт-Петербург and averyveryverylongwordwithoutanyspace";
        let lines = font.wrap(text, Face::Regular, 8.0, 60.0);
        assert!(lines.len() > 4);
        assert!(lines.iter().all(|line| font.width(line, Face::Regular, 8.0) <= 60.0));
        let bare = |text: &str| text.replace(' ', "");
        assert_eq!(bare(&lines.concat()), bare(text));
        assert_eq!(font.wrap("", Face::Bold, 8.0, 60.0), [""]);
        assert_eq!(font.wrap("a\u{202e}b", Face::Bold, 8.0, 60.0), ["ab"]);
    }

    #[test]
    fn latin_greek_and_cyrillic_have_letters_and_an_emoji_a_box() {
        let font = Font::open().unwrap();
        let lacking = font.regular.glyph(LACKING).0;
        for letter in "Łukaszżółćđßéñőşțğı ἈθῆναιΩ ЖжЇїЁё – „“ € №".chars()
        {
            assert_ne!(font.regular.glyph(letter).0, lacking, "{letter}");
            assert_ne!(font.regular.glyph(letter).0.to_u32(), 0, "{letter}");
            assert_ne!(font.bold.glyph(letter).0.to_u32(), 0, "{letter}");
        }
        assert_eq!(font.regular.glyph('🙂').0, lacking);
        assert_ne!(lacking.to_u32(), 0);
    }
}
