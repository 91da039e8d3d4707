//! A node's streams: one follows another when a backup is restored. The number stands in the name:
//! stream 1 of `example.org/ledger` is called so, stream 2 is `example.org/ledger/2`.

use std::io;
use std::path::Path;

use crate::files;
use crate::walk::SegmentReader;

/// The name of a node's stream.
pub fn origin(ledger: &str, stream: u32) -> String {
    if stream == 1 { ledger.to_owned() } else { format!("{ledger}/{stream}") }
}

/// The number of the stream of this name.
pub fn number(origin: &str) -> u32 {
    let last = origin.rsplit_once('/').map_or("", |(_, last)| last);
    let number = last.parse().ok().filter(|number: &u32| *number > 1 && number.to_string() == last);
    number.unwrap_or(1)
}

/// The number of the stream that lies in this directory, by its first whole segment; `None` if there
/// is none.
///
/// # Errors
/// What the system says.
pub fn in_dir(dir: &Path) -> io::Result<Option<u32>> {
    for (_, path) in files::segments(dir)? {
        if let (_, Some(header)) = SegmentReader::open(&path)? {
            return Ok(Some(header.stream));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_number_back() {
        for stream in [1, 2, 3, 17] {
            assert_eq!(number(&origin("example.org:8443/ledger", stream)), stream);
        }
        for first in ["example.org/ledger", "x/01", "x/0", "x/1", "x", "", "x/99999999999"] {
            assert_eq!(number(first), 1, "{first}");
        }
    }
}
