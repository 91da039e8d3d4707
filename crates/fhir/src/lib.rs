//! What a FHIR R4 request would touch and what a response holds. Pure: no I/O, no clock. A request is
//! understood whole or refused; a resource is read once, raw, or withheld; nothing is guessed.

mod bundle;
mod capability;
mod evaluate;
mod form;
mod interaction;
mod label;
mod reference;
mod scan;
mod search;
mod table;

pub use bundle::{Bundle, Entry, Page};
pub use capability::{CapabilityInput, capability_statement};
pub use evaluate::{holds_filter, holds_predicate};
pub use interaction::{Interaction, Unbuilt, UnbuiltKind};
pub use label::{is_restricted, withholds};
pub use reference::Target;
pub use scan::{Element, Facts, MAX_DEPTH, Unreadable, is_json, scan};
pub use search::{Predicate, Query, Search, Sort, Values, names_access_token, read_query};
pub use table::{Kind, Parameter, ResourceTable, Subject, TYPES, table_of};
