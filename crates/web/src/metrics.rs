//! Counters of answers, by what was asked and how it ended, and gauges of the ledger. Names and labels
//! are closed lists: nothing of a request, a person or a patient can get into them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use crate::routes::Route;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The gateway.
    Fhir,
    /// Token, introspection, revocation, userinfo.
    OAuth,
    /// What people see.
    Pages,
    /// Public documents.
    Documents,
    /// Everything else.
    Other,
}

const SURFACES: [(Surface, &str); 5] = [
    (Surface::Fhir, "fhir"),
    (Surface::OAuth, "oauth"),
    (Surface::Pages, "pages"),
    (Surface::Documents, "documents"),
    (Surface::Other, "other"),
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Surface {
    /// Where a route belongs.
    pub const fn of(route: Option<Route>) -> Self {
        match route {
            Some(Route::Fhir) => Self::Fhir,
            Some(Route::Token | Route::Introspect | Route::Revoke | Route::UserInfo) => Self::OAuth,
            Some(
                Route::Authorize
                | Route::Login
                | Route::Patient
                | Route::Consent
                | Route::DemoStart
                | Route::DemoCallback
                | Route::Css,
            ) => Self::Pages,
            Some(
                Route::AuthorizationServerMetadata
                | Route::OpenIdConfiguration
                | Route::SmartConfiguration
                | Route::ProtectedResource
                | Route::Jwks,
            ) => Self::Documents,
            Some(Route::LedgerProof | Route::NotBuilt) | None => Self::Other,
        }
    }
}

/// A number that goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Leaves in the newest checkpoint that a quorum of witnesses cosigned.
    WitnessedSize,
    /// Witnesses that cosigned when last asked.
    WitnessesCosigned,
    /// Seconds since the newest cosignature, while there is a newer checkpoint.
    WitnessLag,
    /// Whether that is later than allowed.
    WitnessesBehind,
    /// Streams to collectors that are held up by a failure now.
    StreamsHeldUp,
    /// Failures of streams to collectors since the start.
    StreamFailures,
    /// Findings of the last check of the locked copies.
    WormFindings,
    /// Seconds since nothing was left to copy to the locked bucket.
    WormLag,
    /// Seconds since the search index was up with the log.
    IndexLag,
}

const GAUGES: [(Gauge, &str, &str); 9] = [
    (
        Gauge::WitnessedSize,
        "phiward_ledger_witnessed_leaves",
        "Leaves in the newest checkpoint that a quorum of witnesses cosigned.",
    ),
    (
        Gauge::WitnessesCosigned,
        "phiward_ledger_witnesses_cosigned",
        "Witnesses that cosigned when last asked.",
    ),
    (
        Gauge::WitnessLag,
        "phiward_ledger_witness_lag_seconds",
        "Seconds since the newest cosignature, while there is a newer checkpoint.",
    ),
    (
        Gauge::WitnessesBehind,
        "phiward_ledger_witnesses_behind",
        "1 while the witnesses are later than allowed.",
    ),
    (
        Gauge::StreamsHeldUp,
        "phiward_ledger_streams_held_up",
        "Streams to collectors that are held up by a failure now.",
    ),
    (
        Gauge::StreamFailures,
        "phiward_ledger_stream_failures_total",
        "Failures of streams to collectors since the start.",
    ),
    (
        Gauge::WormFindings,
        "phiward_ledger_locked_copy_findings",
        "Findings of the last check of the locked copies.",
    ),
    (
        Gauge::WormLag,
        "phiward_ledger_locked_copy_lag_seconds",
        "Seconds since nothing was left to copy to the locked bucket.",
    ),
    (
        Gauge::IndexLag,
        "phiward_ledger_index_lag_seconds",
        "Seconds since the search index was up with the log.",
    ),
];

/// Answers counted since the start, and gauges that were ever set.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: [[AtomicU64; CLASSES.len()]; SURFACES.len()],
    gauges: [OnceLock<AtomicU64>; GAUGES.len()],
}

impl Metrics {
    /// Sets a gauge; it is shown from then on.
    pub fn set(&self, gauge: Gauge, value: u64) {
        let place = GAUGES.iter().position(|(known, ..)| *known == gauge);
        if let Some(cell) = place.and_then(|place| self.gauges.get(place)) {
            cell.get_or_init(AtomicU64::default).store(value, Ordering::Relaxed);
        }
    }

    /// Adds to a gauge, or takes from it with a negative number; it is shown from then on.
    pub fn add(&self, gauge: Gauge, change: i64) {
        let place = GAUGES.iter().position(|(known, ..)| *known == gauge);
        if let Some(cell) = place.and_then(|place| self.gauges.get(place)) {
            let cell = cell.get_or_init(AtomicU64::default);
            let change = |value: u64| Some(value.saturating_add_signed(change));
            let _always = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        }
    }

    /// Counts an answer.
    pub fn count(&self, surface: Surface, status: StatusCode) {
        let row = SURFACES.iter().position(|(known, _)| *known == surface);
        let column = usize::from(status.as_u16() / 100).checked_sub(1);
        let counter = row.and_then(|row| self.answers.get(row)?.get(column?));
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters in Prometheus' text format 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut text = String::from(
            "# HELP phiward_http_answers_total Answers by surface and class of status.\n\
             # TYPE phiward_http_answers_total counter\n",
        );
        for ((_, surface), row) in SURFACES.iter().zip(&self.answers) {
            for (class, counter) in CLASSES.iter().zip(row) {
                let count = counter.load(Ordering::Relaxed);
                text.push_str(&format!(
                    "phiward_http_answers_total{{surface=\"{surface}\",class=\"{class}\"}} {count}\n"
                ));
            }
        }
        for ((_, name, help), cell) in GAUGES.iter().zip(&self.gauges) {
            if let Some(value) = cell.get() {
                let value = value.load(Ordering::Relaxed);
                let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
                text.push_str(&format!(
                    "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
                ));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_where_they_belong() {
        let metrics = Metrics::default();
        metrics.count(Surface::Fhir, StatusCode::OK);
        metrics.count(Surface::Fhir, StatusCode::NOT_FOUND);
        metrics.count(Surface::Fhir, StatusCode::NOT_FOUND);
        let text = metrics.prometheus();
        assert!(text.contains("{surface=\"fhir\",class=\"2xx\"} 1\n"));
        assert!(text.contains("{surface=\"fhir\",class=\"4xx\"} 2\n"));
        assert!(text.contains("{surface=\"oauth\",class=\"2xx\"} 0\n"));
    }

    #[test]
    fn a_gauge_shows_once_it_was_set() {
        let metrics = Metrics::default();
        assert!(!metrics.prometheus().contains("witness"));
        metrics.set(Gauge::WitnessLag, 7);
        metrics.set(Gauge::WitnessLag, 5);
        let text = metrics.prometheus();
        assert!(text.contains("\nphiward_ledger_witness_lag_seconds 5\n"));
        assert!(!text.contains("witnesses_behind"));
    }

    #[test]
    fn what_is_added_to_never_goes_below_nothing_and_a_total_is_a_counter() {
        let metrics = Metrics::default();
        metrics.add(Gauge::StreamFailures, 2);
        metrics.add(Gauge::StreamsHeldUp, 1);
        metrics.add(Gauge::StreamsHeldUp, -3);
        let text = metrics.prometheus();
        assert!(text.contains(" phiward_ledger_stream_failures_total counter\n"));
        assert!(text.contains("\nphiward_ledger_stream_failures_total 2\n"));
        assert!(text.contains("\nphiward_ledger_streams_held_up 0\n"));
    }
}
