//! How the index's numbers are laid out: groups of record numbers under a token, and places of batches,
//! as differences in LEB128. What does not read back is a fault, never a guess.

use crate::StoreFault;
use crate::fault::damaged;

/// A batch of the log: where it is, its first record, its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The number of its first record.
    pub first_seq: u64,
    /// The segment's number.
    pub segment: u32,
    /// The byte offset in the segment.
    pub offset: u64,
    /// Its time, in milliseconds.
    pub time: u64,
}

/// A chunk is closed when it has grown to this many bytes.
const CHUNK: usize = 16 * 1024;
/// Batches in one chunk of places.
const PLACES: usize = 512;

/// Packs record numbers, sorted by token and number, into chunks; each begins at a token of its own.
pub(super) fn pack_posts(posts: &[(i64, u64)]) -> Vec<(i64, Vec<u8>)> {
    let mut chunks: Vec<(i64, Vec<u8>)> = Vec::new();
    for group in posts.chunk_by(|one, other| one.0 == other.0) {
        let Some((token, _)) = group.first().copied() else { continue };
        if chunks.last().is_none_or(|(_, data)| data.len() >= CHUNK) {
            chunks.push((token, Vec::with_capacity(CHUNK + CHUNK / 8)));
        }
        let Some((_, data)) = chunks.last_mut() else { continue };
        data.extend_from_slice(&token.to_be_bytes());
        put(data, group.len() as u64);
        let mut before = 0;
        for (_, seq) in group {
            put(data, seq.wrapping_sub(before));
            before = *seq;
        }
    }
    chunks
}

/// The record numbers of one token in a chunk.
pub(super) fn find_posts(mut data: &[u8], token: i64) -> Result<Vec<u64>, StoreFault> {
    while !data.is_empty() {
        let (found, seqs, rest) = group(data)?;
        if found == token {
            return Ok(seqs);
        }
        data = rest;
    }
    Ok(Vec::new())
}

/// Every record number in a chunk, with its token.
pub(super) fn unpack_posts(mut data: &[u8], out: &mut Vec<(i64, u64)>) -> Result<(), StoreFault> {
    while !data.is_empty() {
        let (token, seqs, rest) = group(data)?;
        out.extend(seqs.into_iter().map(|seq| (token, seq)));
        data = rest;
    }
    Ok(())
}

fn group(data: &[u8]) -> Result<(i64, Vec<u64>, &[u8]), StoreFault> {
    let (token, mut data) = data.split_first_chunk::<8>().ok_or(()).map_err(damaged)?;
    let count = take(&mut data)?;
    // Each takes a byte at least: what is announced must be there before room is made for it.
    let count = usize::try_from(count).ok().filter(|count| *count <= data.len());
    let count = count.ok_or(()).map_err(damaged)?;
    let mut seqs = Vec::with_capacity(count);
    let mut before = 0_u64;
    for _ in 0..count {
        before = before.wrapping_add(take(&mut data)?);
        seqs.push(before);
    }
    Ok((i64::from_be_bytes(*token), seqs, data))
}

/// Packs places into chunks.
pub(super) fn pack_places(places: &[Place]) -> Vec<(Place, Vec<u8>)> {
    let chunk = |places: &[Place]| {
        let first = places.first().copied()?;
        let mut data = Vec::with_capacity(places.len() * 8);
        let mut before = [0; 4];
        for place in places {
            let now = [place.first_seq, u64::from(place.segment), place.offset, place.time];
            now.iter()
                .zip(before)
                .for_each(|(now, before)| put(&mut data, now.wrapping_sub(before)));
            before = now;
        }
        Some((first, data))
    };
    places.chunks(PLACES).filter_map(chunk).collect()
}

/// The places of a chunk.
pub(super) fn unpack_places(mut data: &[u8]) -> Result<Vec<Place>, StoreFault> {
    let mut places = Vec::new();
    let mut now = [0_u64; 4];
    while !data.is_empty() {
        for number in &mut now {
            *number = number.wrapping_add(take(&mut data)?);
        }
        let [first_seq, segment, offset, time] = now;
        let segment = u32::try_from(segment).map_err(damaged)?;
        places.push(Place { first_seq, segment, offset, time });
    }
    Ok(places)
}

/// LEB128.
fn put(data: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            data.push(low);
            return;
        }
        data.push(low | 0x80);
    }
}

fn take(data: &mut &[u8]) -> Result<u64, StoreFault> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = data.split_first().ok_or(()).map_err(damaged)?;
        *data = rest;
        number |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(damaged(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_reads_back() {
        let mut posts: Vec<(i64, u64)> = (0..20_000_u64)
            .map(|n| (i64::try_from(n * 7_919 % 101).unwrap() - 50, n * n))
            .collect();
        posts.extend([(i64::MIN, 0), (i64::MAX, u64::MAX)]);
        posts.sort_unstable();
        let chunks = pack_posts(&posts);
        assert!(chunks.len() > 2 && chunks.is_sorted_by_key(|(first, _)| *first));
        let mut read = Vec::new();
        chunks.iter().for_each(|(_, data)| unpack_posts(data, &mut read).unwrap());
        assert_eq!(read, posts);
        let (_, holds) = chunks.iter().rfind(|(first, _)| *first <= 7).unwrap();
        let of_7: Vec<u64> = posts.iter().filter(|(t, _)| *t == 7).map(|(_, s)| *s).collect();
        assert_eq!(find_posts(holds, 7).unwrap(), of_7);
        assert!(find_posts(holds, 1_000).unwrap().is_empty());

        let place = |n: u64| Place {
            first_seq: n * 3,
            segment: u32::try_from(n / 100).unwrap(),
            offset: (n % 100) * 700,
            time: 1_795_514_400_000 + n * n,
        };
        let places: Vec<Place> = (0..1_500).map(place).collect();
        let chunks = pack_places(&places);
        assert_eq!(chunks.len(), 3);
        let read: Vec<Place> =
            chunks.iter().flat_map(|(_, data)| unpack_places(data).unwrap()).collect();
        assert_eq!(read, places);
    }

    #[test]
    fn damaged_bytes_are_a_fault_and_cost_nothing() {
        let long = [0x80; 30];
        let huge = b"12345678\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        for bad in [&b"x"[..], b"12345678", &huge[..], &long[..]] {
            assert!(unpack_posts(bad, &mut Vec::new()).is_err(), "{bad:?}");
            assert!(find_posts(bad, 0).is_err(), "{bad:?}");
        }
        for bad in [&b"x"[..], b"12345", &huge[..], &long[..]] {
            assert!(unpack_places(bad).is_err(), "{bad:?}");
        }
    }
}
