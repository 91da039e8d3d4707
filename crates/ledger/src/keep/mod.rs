//! How long records are kept, who can hold them longer, and how they end.

pub mod evidence;
pub mod hold;
pub mod retention;
