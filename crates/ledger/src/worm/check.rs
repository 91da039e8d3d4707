//! Whether the copies are still there, whole and locked, and whether the segments here are what was
//! copied. Every copy is asked for by its recorded version; what hides one is noticed, too.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use domain::Timestamp;
use outbound::SendError;
use tokio::task::JoinSet;

use crate::files;
use crate::gap::{Gap, GapKind, Place};
use crate::worm::archive::{Copy, hash_file, stream_of};
use crate::worm::bucket::{Bucket, BucketError};

/// Questions on their way at a time.
const AT_A_TIME: usize = 8;

/// Asks the bucket for each copy whose lock must still hold; the findings, in the order of the copies.
/// `asked` is told after each. If the bucket cannot be reached, the rest is not asked.
pub async fn check(
    bucket: &Arc<Bucket>,
    copies: &[Copy],
    now: Timestamp,
    asked: &mut (dyn FnMut(usize) + Send),
) -> Vec<Gap> {
    // Only the newest version that we stored can be the one that shows.
    let newest: HashMap<&str, &str> =
        copies.iter().map(|copy| (copy.object.as_str(), copy.version_id.as_str())).collect();
    let mut waiting = copies.iter().enumerate().filter(|(_, copy)| copy.retain_until > now);
    let mut running = JoinSet::new();
    let mut found: Vec<(usize, Vec<Gap>)> = Vec::new();
    let mut done = 0;
    let mut reached = true;
    loop {
        while reached
            && running.len() < AT_A_TIME
            && let Some((index, copy)) = waiting.next()
        {
            let shows = newest.get(copy.object.as_str()) == Some(&copy.version_id.as_str());
            let (bucket, copy) = (Arc::clone(bucket), copy.clone());
            running.spawn(async move { (index, one(&bucket, &copy, shows).await) });
        }
        let Some(answer) = running.join_next().await else { break };
        done += 1;
        asked(done);
        match answer {
            Ok((index, Ok(gaps))) => found.push((index, gaps)),
            Ok((index, Err(error))) => {
                reached = false;
                let place = copies.get(index).map(place).unwrap_or_default();
                found.push((index, vec![gap(GapKind::WormUncompared, place, error.to_string())]));
            }
            Err(_) => reached = false,
        }
    }
    let left = waiting.count();
    found.sort_by_key(|(index, _)| *index);
    let mut gaps: Vec<Gap> = found.into_iter().flat_map(|(_, gaps)| gaps).collect();
    if left > 0 {
        let detail = format!("{left} copies were not asked for");
        gaps.push(gap(GapKind::WormUncompared, Place::default(), detail));
    }
    gaps
}

fn place(copy: &Copy) -> Place {
    Place { segment: copy.segment, ..Place::default() }
}

fn gap(kind: GapKind, place: Place, detail: impl Into<String>) -> Gap {
    Gap { kind, place, detail: detail.into() }
}

/// Asks for one copy. An error is the bucket's, not the copy's.
async fn one(bucket: &Bucket, copy: &Copy, shows: bool) -> Result<Vec<Gap>, BucketError> {
    let name = |what: &str| format!("{} {what}, version {}", copy.object, copy.version_id);
    let mut gaps = Vec::new();
    let mut put = |kind, what: &str| gaps.push(gap(kind, place(copy), name(what)));
    match bucket.head(&copy.object, Some(&copy.version_id)).await {
        Ok(stored) => {
            if stored.bytes != copy.bytes || stored.sha256 != Some(copy.sha256) {
                put(GapKind::WormDiffers, "has another length or hash");
            }
            match stored.locked_until {
                Some(until) if until >= copy.retain_until => {}
                Some(_) => put(GapKind::WormUnlocked, "is locked for a shorter time"),
                None => put(GapKind::WormUnlocked, "is not locked in compliance mode"),
            }
        }
        Err(BucketError::Missing) => put(GapKind::WormMissing, "is gone"),
        Err(BucketError::Answer(_)) => put(GapKind::WormDiffers, "is not described as stored"),
        Err(error) => return Err(error),
    }
    if shows {
        match bucket.head(&copy.object, None).await {
            Ok(stored) if stored.version_id == copy.version_id => {}
            Ok(_) | Err(BucketError::Answer(_)) => {
                put(GapKind::WormHidden, "is under a newer version");
            }
            Err(BucketError::Missing) => put(GapKind::WormHidden, "is under a delete marker"),
            Err(error) => return Err(error),
        }
    }
    Ok(gaps)
}

/// Reads one copy whole, which no question about it replaces; what is wrong with it.
pub async fn read_whole(bucket: &Bucket, copy: &Copy) -> Option<Gap> {
    let read = bucket.get(&copy.object, &copy.version_id, copy.bytes, &copy.sha256).await;
    let kind = match &read {
        Ok(_) => return None,
        Err(BucketError::Missing) => GapKind::WormMissing,
        Err(BucketError::Answer(_) | BucketError::Unreachable(SendError::TooLarge)) => {
            GapKind::WormDiffers
        }
        Err(_) => GapKind::WormUncompared,
    };
    let what = read.err().map(|error| error.to_string()).unwrap_or_default();
    Some(gap(kind, place(copy), format!("{} was read: {what}", copy.object)))
}

/// Compares the closed segments of a directory with what the copies say they hold; asks no bucket. A
/// segment whose retention is over may be gone.
///
/// # Errors
/// What the system says.
pub fn compare(
    dir: &Path,
    copies: &[Copy],
    now: Timestamp,
    progress: &mut dyn FnMut(u32),
) -> io::Result<Vec<Gap>> {
    let segments = match files::segments(dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut of_segment: HashMap<u32, Vec<&Copy>> = HashMap::new();
    let stream = stream_of(dir)?;
    for copy in copies.iter().filter(|copy| copy.is_of(stream)) {
        if let Some(segment) = copy.segment {
            of_segment.entry(segment).or_default().push(copy);
        }
    }
    let mut gaps = Vec::new();
    let live = segments.last().map_or(0, |(number, _)| *number);
    for (number, path) in &segments {
        let place = Place { segment: Some(*number), ..Place::default() };
        let own = of_segment.remove(number);
        progress(*number);
        match own {
            None if *number == live => {}
            None => gaps.push(gap(GapKind::WormUncopied, place, "")),
            Some(_) if *number == live => {
                let detail = "it was closed when it was copied, and here nothing follows it";
                gaps.push(gap(GapKind::WormDiffers, place, detail));
            }
            Some(own) => {
                let here = hash_file(path)?.map(|(hash, _)| hash);
                if !own.iter().any(|copy| Some(copy.sha256) == here) {
                    let detail = own.first().map(|copy| copy.object.clone()).unwrap_or_default();
                    gaps.push(gap(GapKind::WormDiffers, place, detail));
                }
            }
        }
    }
    let kept = of_segment.into_iter().filter(|(_, own)| !own.iter().all(|copy| copy.is_over(now)));
    let mut missing: Vec<u32> = kept.map(|(number, _)| number).collect();
    missing.sort_unstable();
    for number in missing {
        let place = Place { segment: Some(number), ..Place::default() };
        gaps.push(gap(GapKind::SegmentMissing, place, "it was copied, and is not here"));
    }
    Ok(gaps)
}
