//! The leaf hashes of dropped segments, from the hash tiles that stay (C2SP tlog-tiles, height 8): all
//! of those asked for, or none.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::tree::Hash;

/// Hashes in a whole tile.
const WIDTH: u64 = 256;
const HASH: usize = 32;
/// No segment has more leaves than this that are looked up at a time.
const MOST: u64 = 1 << 22;

/// The hashes of these leaves; `None` if a tile is missing.
pub(crate) fn leaf_hashes(dir: &Path, leaves: Range<u64>) -> io::Result<Option<Vec<Hash>>> {
    let count = leaves.end.checked_sub(leaves.start).filter(|count| *count <= MOST);
    let Some(count) = count else { return Ok(None) };
    let mut hashes = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    let mut at = leaves.start;
    while at < leaves.end {
        let (tile, first) = (at / WIDTH, at % WIDTH);
        let wanted = (leaves.end - tile * WIDTH).min(WIDTH);
        let Some(bytes) = read(dir, tile, wanted)? else { return Ok(None) };
        let range = usize::try_from(first).unwrap_or(0)..usize::try_from(wanted).unwrap_or(0);
        let (chunks, _) = bytes.as_chunks::<HASH>();
        let Some(found) = chunks.get(range) else { return Ok(None) };
        hashes.extend_from_slice(found);
        at = tile * WIDTH + wanted;
    }
    Ok(Some(hashes))
}

/// A tile's bytes: the whole tile, or a part that is wide enough.
fn read(dir: &Path, tile: u64, wanted: u64) -> io::Result<Option<Vec<u8>>> {
    let path = tile_path(dir, tile);
    match whole(&path)? {
        Some(bytes) => return Ok(Some(bytes)),
        None if wanted == WIDTH => return Ok(None),
        None => {}
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".p");
    let parts = path.with_file_name(name);
    for width in wanted..WIDTH {
        if let Some(bytes) = whole(&parts.join(width.to_string()))? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn whole(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() <= WIDTH * HASH as u64 => fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `tile/0/x001/x234/067`: three digits each, all but the last after an x.
fn tile_path(dir: &Path, tile: u64) -> PathBuf {
    let mut parts = vec![format!("{:03}", tile % 1000)];
    let mut rest = tile / 1000;
    while rest > 0 {
        parts.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    parts.iter().rev().fold(dir.join("tile/0"), |path, part| path.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_found_whole_or_as_a_part_that_is_wide_enough() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            tile_path(Path::new("l"), 1_234_067),
            Path::new("l/tile/0/x001/x234/067")
        );
        let hashes: Vec<u8> = (0..=255_u8).flat_map(|n| [n; HASH]).collect();
        fs::create_dir_all(dir.path().join("tile/0/001.p")).unwrap();
        fs::write(dir.path().join("tile/0/000"), &hashes).unwrap();
        fs::write(dir.path().join("tile/0/001.p/20"), &hashes[..20 * HASH]).unwrap();
        let found = |range| leaf_hashes(dir.path(), range).unwrap();
        assert_eq!(found(3..5), Some(vec![[3; 32], [4; 32]]));
        assert_eq!(found(250..260).unwrap().len(), 10);
        assert_eq!(found(250..276).unwrap().len(), 26);
        assert_eq!(found(250..277), None);
        assert_eq!(found(5..5), Some(Vec::new()));
        assert_eq!(found(5..4), None);
        assert_eq!(found(0..u64::MAX), None);
    }
}
