//! Times as people write and read them: RFC 3339 or a date, always UTC, and a period between two.

use domain::Timestamp;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime};

/// From a time on, up to but not including another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Period {
    /// The first moment; `None` for the beginning of the ledger.
    pub since: Option<Timestamp>,
    /// The first moment that is no longer in it; `None` for now.
    pub until: Option<Timestamp>,
}

/// Times that are none, or contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeriodError {
    /// Not a time.
    #[error("a time is written as 2026-11-24 or 2026-11-24T08:30:00Z (RFC 3339)")]
    Malformed,
    /// The end is not after the beginning.
    #[error("the end of the period is not after its beginning")]
    Contradiction,
}

impl Period {
    /// From `--since` and `--until`. A date as the end means that whole day.
    ///
    /// # Errors
    /// [`PeriodError`].
    pub fn parse(since: Option<&str>, until: Option<&str>) -> Result<Self, PeriodError> {
        let since = since.map(|text| moment(text, false)).transpose()?;
        let until = until.map(|text| moment(text, true)).transpose()?;
        Self { since, until }.checked()
    }

    /// A calendar month in UTC, as `yyyymm`.
    ///
    /// # Errors
    /// [`PeriodError::Malformed`].
    pub fn month(number: u32) -> Result<Self, PeriodError> {
        let year = i32::try_from(number / 100).map_err(|_| PeriodError::Malformed)?;
        let month = u8::try_from(number % 100).map_err(|_| PeriodError::Malformed)?;
        let month = Month::try_from(month).map_err(|_| PeriodError::Malformed)?;
        let next = if month == Month::December { year.saturating_add(1) } else { year };
        let first = |year, month| {
            let date = Date::from_calendar_date(year, month, 1);
            date.map(|date| at(date.midnight())).map_err(|_| PeriodError::Malformed)
        };
        Ok(Self { since: Some(first(year, month)?), until: Some(first(next, month.next())?) })
    }

    /// The six years before a moment, as far as the period says nothing else (45 CFR 164.528(a)(3)).
    #[must_use]
    pub fn within_six_years(self, now: Timestamp) -> Self {
        Self { since: self.since.or_else(|| Some(six_years_before(now))), ..self }
    }

    /// The part that lies in both.
    ///
    /// # Errors
    /// [`PeriodError::Contradiction`] if there is none.
    pub fn meet(self, other: Self) -> Result<Self, PeriodError> {
        let since = self.since.max(other.since);
        let until = match (self.until, other.until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { since, until }.checked()
    }

    fn checked(self) -> Result<Self, PeriodError> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if until <= since => Err(PeriodError::Contradiction),
            _ => Ok(self),
        }
    }

    /// Whether a moment lies in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }

    /// For people.
    pub fn text(&self) -> String {
        let since = self.since.map_or_else(|| "the beginning".to_owned(), date_time);
        let until = self.until.map_or_else(|| "now".to_owned(), date_time);
        format!("from {since} up to {until}")
    }
}

impl Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |time: Option<Timestamp>| time.map(date_time);
        serde_json::json!({ "since": text(self.since), "until": text(self.until) })
            .serialize(serializer)
    }
}

fn moment(text: &str, is_end: bool) -> Result<Timestamp, PeriodError> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return millis(time.unix_timestamp_nanos() / 1_000_000);
    }
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let date = Date::parse(text, format).map_err(|_| PeriodError::Malformed)?;
    let date = if is_end { date.next_day().ok_or(PeriodError::Malformed)? } else { date };
    Ok(at(date.midnight()))
}

fn millis(value: i128) -> Result<Timestamp, PeriodError> {
    i64::try_from(value).map(Timestamp::from_millis).map_err(|_| PeriodError::Malformed)
}

fn at(time: PrimitiveDateTime) -> Timestamp {
    Timestamp::from_secs(time.assume_utc().unix_timestamp())
}

fn utc(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The same day six calendar years ago; of 29 February, the 28th.
fn six_years_before(now: Timestamp) -> Timestamp {
    let now = utc(now);
    let year = now.year().saturating_sub(6);
    let date = Date::from_calendar_date(year, now.month(), now.day())
        .or_else(|_| Date::from_calendar_date(year, now.month(), 28))
        .unwrap_or(now.date());
    at(PrimitiveDateTime::new(date, now.time()))
}

/// A moment's day, UTC, as `YYYY-MM-DD`.
pub fn date(time: Timestamp) -> String {
    let time = utc(time);
    format!("{:04}-{:02}-{:02}", time.year(), u8::from(time.month()), time.day())
}

/// A moment, UTC, to the second (RFC 3339).
pub fn date_time(time: Timestamp) -> String {
    let moment = utc(time);
    let (hour, minute, second) = moment.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date(time))
}

/// A moment, UTC, to the millisecond (RFC 3339).
pub(crate) fn instant(time: Timestamp) -> String {
    let whole = date_time(time);
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), time.millis().rem_euclid(1_000))
}

/// Minutes since midnight and whether it is Monday to Friday, this many minutes east of UTC.
pub(crate) fn clock_of(time: Timestamp, east: i32) -> (u16, bool) {
    let moment = utc(time.plus_secs(i64::from(east) * 60));
    let minutes = u16::from(moment.hour()) * 60 + u16::from(moment.minute());
    (minutes, moment.weekday().number_days_from_monday() < 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_as_the_end_means_that_whole_day() {
        let day = Period::parse(Some("2026-11-24"), Some("2026-11-24")).unwrap();
        assert_eq!(day.until.unwrap().secs() - day.since.unwrap().secs(), 86_400);
        assert!(day.contains(day.since.unwrap()) && !day.contains(day.until.unwrap()));
        let exact = Period::parse(Some("2026-11-24T08:30:00+02:00"), None).unwrap();
        assert_eq!(date_time(exact.since.unwrap()), "2026-11-24T06:30:00Z");
    }

    #[test]
    fn times_that_contradict_or_are_none_are_refused() {
        let of = |since, until| Period::parse(Some(since), Some(until));
        assert_eq!(of("2026-11-25", "2026-11-24"), Err(PeriodError::Contradiction));
        let same = "2026-11-24T00:00:00Z";
        assert_eq!(of(same, same), Err(PeriodError::Contradiction));
        for bad in
            ["", "yesterday", "2026-13-01", "2026-02-30", "24.11.2026", "2026-11-24T25:00:00Z"]
        {
            assert_eq!(Period::parse(Some(bad), None), Err(PeriodError::Malformed), "{bad}");
        }
        assert!(Period::parse(None, Some("9999-12-31")).is_err(), "there is no day after it");
    }

    #[test]
    fn a_month_is_the_calendars_and_six_years_are_years() {
        let month = Period::month(202_612).unwrap();
        assert_eq!(date_time(month.since.unwrap()), "2026-12-01T00:00:00Z");
        assert_eq!(date_time(month.until.unwrap()), "2027-01-01T00:00:00Z");
        assert!(Period::month(202_613).is_err() && Period::month(u32::MAX).is_err());
        let leap = Period::parse(Some("2024-02-29"), None).unwrap().since.unwrap();
        let six = Period::default().within_six_years(leap).since.unwrap();
        assert_eq!(date(six), "2018-02-28");
    }
}
