//! What the ledger says, for the people who must answer for it: accounting of disclosures, activity,
//! refusals, unused scopes, affected patients, and the record as FHIR AuditEvents. Reports are folds
//! over records: memory grows with what a report lists, never with what it reads. Nothing here opens
//! a ledger, a database or a network connection, but for [`Recount`], which reads the sealed files again.

mod activity;
mod affected;
mod csv;
mod directory;
mod disclosures;
mod document;
pub mod fhir;
mod moment;
mod pdf;
mod prove;
mod refused;
mod tally;
mod unused_scopes;

pub use activity::{Access, Activity, ActivityReport, Actor, Flag, Hours, UnusualDay};
pub use affected::{Affected, AffectedPatient, AffectedReport, Cause};
pub use csv::csv;
pub use directory::{ClientFacts, Directory, PersonFacts};
pub use disclosures::{Disclosure, Disclosures, DisclosuresReport, Suspension};
pub use document::{Document, Section};
pub use moment::{Period, PeriodError, date, date_time};
pub use pdf::{PdfError, pdf};
pub use prove::{Claim, Evidence, Proof, ProveError, Recount};
pub use refused::{Refused, RefusedGroup, RefusedReport};
pub use tally::Counted;
pub use unused_scopes::{ClientScopes, PartlyUsed, UnusedScopes, UnusedScopesReport};
