//! Reading on past damage. Nothing is guessed: what lies between two whole batches is lost to the reader,
//! and a record behind it is handed out as any other, only if it opens under its own key and number.

use super::{Cursor, Place, ReadError};
use crate::files;
use crate::walk::{SegmentReader, Step};

impl Cursor<'_> {
    /// After [`ReadError::Damaged`]: goes to the first whole batch behind the damage; whether there is
    /// one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn skip_damage(&mut self) -> Result<bool, ReadError> {
        let mut number = 1;
        if let Some(place) = &mut self.place {
            place.reader.refresh();
            // A batch that is whole and does not open is behind us already.
            let offset = place.reader.offset();
            if matches!(place.step()?, Step::Batch(_)) {
                place.reader.seek(offset);
                return Ok(true);
            }
            if place.next_whole(offset)? {
                return Ok(true);
            }
            number = place.number.saturating_add(1);
        }
        let io = |path: &std::path::Path, source| ReadError::Io { path: path.to_owned(), source };
        let dir = self.reader.dir.clone();
        // Also past a segment that is missing.
        let segments = files::segments(&dir).map_err(|source| io(&dir, source))?;
        for (found, path) in segments.into_iter().filter(|(found, _)| *found >= number) {
            let (reader, header) =
                SegmentReader::open(&path).map_err(|source| io(&path, source))?;
            let first_seq = header.as_ref().map_or(0, |header| header.seq);
            let mut place = Place { number: found, path, reader: reader.skim(), first_seq };
            let is_whole = header.is_some() && matches!(place.step()?, Step::Batch(_));
            if is_whole {
                place = Place::open(found, place.path)?;
            }
            if is_whole || place.next_whole(0)? {
                self.place = Some(place);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// At the end: whether it is none, because whole batches stand behind what is no batch, or segments
    /// behind one that is missing.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if so.
    pub fn check_end(&mut self) -> Result<(), ReadError> {
        let Some(place) = &mut self.place else { return Ok(()) };
        let offset = place.reader.offset();
        let next = place.number.saturating_add(1);
        let io = |source| ReadError::Io { path: self.reader.dir.clone(), source };
        let segments = files::segments(&self.reader.dir).map_err(io)?;
        if segments.last().is_some_and(|(last, _)| *last > place.number)
            && files::next_segment(&self.reader.dir, next).map_err(io)?.is_none()
        {
            let path = files::segment_path(&self.reader.dir, next);
            return Err(ReadError::Damaged { path, offset: 0 });
        }
        // Looked at twice: a batch that was being written is whole by the time another follows it.
        if !place.is_bad()? || !place.next_whole(offset)? {
            place.reader.seek(offset);
            return Ok(());
        }
        place.reader.seek(offset);
        if place.is_bad()? { Err(place.damaged()) } else { Ok(()) }
    }
}

impl Place {
    /// Whether what stands here is no batch; stays.
    fn is_bad(&mut self) -> Result<bool, ReadError> {
        let offset = self.reader.offset();
        self.reader.refresh();
        let bad = matches!(self.step()?, Step::Bad);
        self.reader.seek(offset);
        Ok(bad)
    }

    /// Goes to the next whole batch of this segment, if there is one.
    fn next_whole(&mut self, from: u64) -> Result<bool, ReadError> {
        let found = self.reader.next_whole(from);
        let found = found.map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        if let Some(offset) = found {
            self.reader.seek(offset);
        }
        Ok(found.is_some())
    }
}
