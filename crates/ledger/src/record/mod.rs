//! What a record is, down to its bytes: the body under seal, the leaf and batch around it, and the
//! calendar of days and months that its keys go by.

pub(crate) mod body;
pub(crate) mod calendar;
pub(crate) mod entry;
pub(crate) mod format;
