//! Counters of answers, by what was asked and how it ended. The labels are two closed lists: nothing
//! of a request, a person or a patient can get into them.

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

/// Answers counted since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: [[AtomicU64; CLASSES.len()]; SURFACES.len()],
}

impl Metrics {
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
}
