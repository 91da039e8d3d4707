//! The names of tiles (c2sp.org/tlog-tiles): a text that parses is exactly the name that this tile
//! has, so two names never mean one tile.

use std::fmt;

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Tiles of a level above this one would hold more leaves than can be counted.
const MAX_LEVEL: u8 = 7;
/// The longest name: a level, seven groups of three digits, a width.
const MAX_NAME: usize = 64;

/// What a path in a tiled log names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TileKind {
    /// A tile of hashes; level 0 is of leaves.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// A tile's place: `tile/0/x001/067`, `tile/entries/000.p/12`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TilePath {
    /// What it holds.
    pub kind: TileKind,
    /// Which one of its kind.
    pub index: u64,
    /// How many hashes or entries: 256, or fewer of a partial tile.
    pub width: u16,
}

impl TilePath {
    /// Reads a name; `None` unless it is in the one form that the name has.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_NAME {
            return None;
        }
        let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(level.parse().ok().filter(|level| *level <= MAX_LEVEL)?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok().filter(|w| (1..256).contains(w))?),
            None => (rest, 256),
        };
        let mut index = 0_u64;
        for group in number.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            let value = digits.parse::<u64>().ok().filter(|value| *value < 1000)?;
            index = index.checked_mul(1000)?.checked_add(value)?;
        }
        let path = Self { kind, index, width };
        (path.to_string() == text).then_some(path)
    }

    /// The name of a full tile of hashes.
    pub(crate) const fn full(level: u8, index: u64) -> Self {
        Self { kind: TileKind::Hashes(level), index, width: 256 }
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = Vec::new();
        let mut rest = self.index;
        loop {
            groups.push(rest % 1000);
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        for (place, group) in groups.iter().enumerate().rev() {
            match place {
                0 => write!(f, "{group:03}")?,
                _ => write!(f, "x{group:03}/")?,
            }
        }
        if self.width == 256 { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let entries = TilePath { kind: TileKind::Entries, index: 1_234_067, width: 256 };
        assert_eq!(entries.to_string(), "tile/entries/x001/x234/067");
        let partial = TilePath { kind: TileKind::Hashes(1), index: 0, width: 12 };
        assert_eq!(partial.to_string(), "tile/1/000.p/12");
        assert_eq!(TilePath::full(0, 1_067).to_string(), "tile/0/x001/067");
    }

    #[test]
    fn another_spelling_of_a_name_is_none() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/00/000",
            "tile/8/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/0/+00",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/001/067",
            "tile/0/x001/x067",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/entries/x/000",
        ] {
            assert_eq!(TilePath::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back(level in 0..=MAX_LEVEL, index: u64, width in 1..=256_u16) {
            for kind in [TileKind::Hashes(level), TileKind::Entries] {
                let path = TilePath { kind, index, width };
                prop_assert_eq!(TilePath::parse(&path.to_string()), Some(path));
            }
        }

        #[test]
        fn no_text_makes_it_fail(text: String) {
            let _ = TilePath::parse(&text);
            let _ = TilePath::parse(&format!("tile/{text}"));
        }
    }
}
