//! A span of time as people give it: `--since` and `--until`.

use domain::Timestamp;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

/// From a moment up to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Period {
    /// The first moment; `None` for the beginning of the ledger.
    pub(super) since: Option<Timestamp>,
    /// The first moment that is no longer in it; `None` for now.
    pub(super) until: Option<Timestamp>,
}

/// Times that are none, or contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum PeriodError {
    #[error("a time is written as 2026-11-24 or 2026-11-24T08:30:00Z (RFC 3339)")]
    Malformed,
    #[error("the end of the period is not after its beginning")]
    Contradiction,
}

impl Period {
    /// A date as the end means that whole day.
    pub(super) fn parse(since: Option<&str>, until: Option<&str>) -> Result<Self, PeriodError> {
        let since = since.map(|text| moment(text, false)).transpose()?;
        let until = until.map(|text| moment(text, true)).transpose()?;
        match (since, until) {
            (Some(since), Some(until)) if until <= since => Err(PeriodError::Contradiction),
            _ => Ok(Self { since, until }),
        }
    }

    /// Whether a moment lies in it.
    pub(super) fn contains(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }
}

fn moment(text: &str, is_end: bool) -> Result<Timestamp, PeriodError> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        let millis = i64::try_from(time.unix_timestamp_nanos() / 1_000_000);
        return millis.map(Timestamp::from_millis).map_err(|_| PeriodError::Malformed);
    }
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let date = Date::parse(text, format).map_err(|_| PeriodError::Malformed)?;
    let date = if is_end { date.next_day().ok_or(PeriodError::Malformed)? } else { date };
    Ok(Timestamp::from_secs(date.midnight().assume_utc().unix_timestamp()))
}
