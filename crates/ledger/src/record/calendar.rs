//! Days and months of the log, in UTC: a signing day is a calendar day, a key period a calendar
//! month.

use domain::Timestamp;
use time::Date;

const DAY_MS: u64 = 86_400_000;
/// 1970-01-01 as a Julian day number.
const EPOCH_JULIAN: i64 = 2_440_588;

/// The day of a time in milliseconds, in days since the epoch.
pub(crate) fn day_of(millis: u64) -> u32 {
    u32::try_from(millis / DAY_MS).unwrap_or(u32::MAX)
}

/// The month of a time in milliseconds, as `yyyymm`.
pub(crate) fn period_of(millis: u64) -> u32 {
    let date = date(day_of(millis));
    let year = u32::try_from(date.year()).unwrap_or(0);
    year * 100 + u32::from(u8::from(date.month()))
}

/// When a month ends, in milliseconds; `None` if it is no month.
pub(crate) fn end_of_period(period: u32) -> Option<u64> {
    let (year, month) = (period / 100, period % 100);
    let (year, month) = if month == 12 { (year.checked_add(1)?, 1) } else { (year, month + 1) };
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, 1).ok()?;
    let day = u64::try_from(i64::from(date.to_julian_day()) - EPOCH_JULIAN).ok()?;
    day.checked_mul(DAY_MS)
}

/// A day as `YYYY-MM-DD`.
pub(crate) fn day_text(day: u32) -> String {
    let date = date(day);
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// A time as `YYYY-MM-DDThh:mm:ss.mmmZ` (RFC 3339).
pub(crate) fn text_of(time: Timestamp) -> String {
    let millis = u64::try_from(time.millis()).unwrap_or(0);
    let (seconds, rest) = (millis / 1_000 % 86_400, millis % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z", day_text(day_of(millis)))
}

/// The day that [`day_text`] wrote.
pub(crate) fn day_of_text(text: &str) -> Option<u32> {
    let mut parts = text.splitn(3, '-');
    let year: i32 = parts.next()?.parse().ok()?;
    let month: u8 = parts.next()?.parse().ok()?;
    let day: u8 = parts.next()?.parse().ok()?;
    let date = Date::from_calendar_date(year, time::Month::try_from(month).ok()?, day).ok()?;
    let day = u32::try_from(i64::from(date.to_julian_day()) - EPOCH_JULIAN).ok()?;
    (day_text(day) == text).then_some(day)
}

/// Days beyond the calendar (the year 9999) count as its last.
fn date(day: u32) -> Date {
    i32::try_from(i64::from(day) + EPOCH_JULIAN)
        .ok()
        .and_then(|julian| Date::from_julian_day(julian).ok())
        .unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        assert_eq!((day_text(0).as_str(), period_of(0)), ("1970-01-01", 197_001));
        let leap = 1_709_164_800_000; // 2024-02-29T00:00:00Z
        assert_eq!((day_text(day_of(leap)).as_str(), period_of(leap)), ("2024-02-29", 202_402));
        assert_eq!(day_text(day_of(leap - 1)), "2024-02-28");
        assert_eq!(period_of(leap + DAY_MS), 202_403);
        assert_eq!(period_of(u64::MAX), 999_912);
        let time = Timestamp::from_millis(1_709_164_800_000 + 3_723_004);
        assert_eq!(text_of(time), "2024-02-29T01:02:03.004Z");
        for day in [0, 1, 19_782, 20_783, 100_000] {
            assert_eq!(day_of_text(&day_text(day)), Some(day));
        }
        for none in ["", "2024-02-30", "2024-2-03", "1969-12-31", "x-y-z", "2024-02-03-04"] {
            assert_eq!(day_of_text(none), None, "{none}");
        }
    }
}
