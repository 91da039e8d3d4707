//! FHIR dates as ranges of seconds (R4, Search §3.1.1.4.7): `2025` is the whole year.
//!
//! A range starts at its first second and ends before its last; a fraction of a second
//! is part of its second; without an offset a time is UTC.

/// From `start` (included) to `end` (excluded), in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

const DAY: i64 = 86_400;

impl Span {
    /// Before and after everything: the open end of a Period.
    pub(crate) const ALWAYS: Span = Span { start: i64::MIN, end: i64::MAX };

    /// Reads `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or a date and time; `None` if it is none of these.
    pub(crate) fn parse(text: &str) -> Option<Span> {
        match text.split_once('T') {
            None => Self::date(text),
            Some((date, time)) => Self::instant(date, time),
        }
    }

    fn date(text: &str) -> Option<Span> {
        let mut parts = text.split('-');
        let year = number(parts.next()?, 4)?;
        let Some(month) = parts.next() else {
            return Some(Span { start: days(year, 1, 1) * DAY, end: days(year + 1, 1, 1) * DAY });
        };
        let month = number(month, 2).filter(|month| (1..=12).contains(month))?;
        let next_month = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
        let first = days(year, month, 1);
        let Some(day) = parts.next() else {
            return Some(Span { start: first * DAY, end: next_month * DAY });
        };
        let day = first + number(day, 2)? - 1;
        if day < first || day >= next_month || parts.next().is_some() {
            return None;
        }
        Some(Span { start: day * DAY, end: (day + 1) * DAY })
    }

    fn instant(date: &str, time: &str) -> Option<Span> {
        if date.len() != 10 {
            return None;
        }
        let midnight = Self::date(date)?.start;
        let (clock, offset) = match time.find(['Z', '+', '-']) {
            None => (time, 0),
            Some(at) => {
                let (clock, zone) = time.split_at(at);
                (clock, zone_seconds(zone)?)
            }
        };
        let mut parts = clock.split(':');
        let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
        let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
        let start = midnight + hour * 3600 + minute * 60 - offset;
        let Some(seconds) = parts.next() else {
            return Some(Span { start, end: start + 60 });
        };
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let whole = number(whole, 2).filter(|second| *second <= 60)?;
        let fraction_is_digits =
            !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        if !fraction_is_digits || parts.next().is_some() {
            return None;
        }
        Some(Span { start: start + whole, end: start + whole + 1 })
    }
}

/// A number of exactly so many ASCII digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// `Z`, `+hh:mm` or `-hh:mm` in seconds.
fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone {
        "Z" => return Some(0),
        zone => match zone.strip_prefix('+') {
            Some(rest) => (1, rest),
            None => (-1, zone.strip_prefix('-')?),
        },
    };
    let (hours, minutes) = rest.split_once(':')?;
    let hours = number(hours, 2).filter(|hours| *hours <= 14)?;
    let minutes = number(minutes, 2).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = 365 * year + year / 4 - year / 100 + year / 400;
    let before_month = (153 * month + 2) / 5;
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_date_is_as_long_as_it_is_imprecise() {
        let length = |text| Span::parse(text).map(|span| span.end - span.start);
        assert_eq!(length("2024"), Some(366 * 86_400));
        assert_eq!(length("2025-02"), Some(28 * 86_400));
        assert_eq!(length("2024-12"), Some(31 * 86_400));
        assert_eq!(length("2025-06-07"), Some(86_400));
        assert_eq!(length("2025-06-07T10:45Z"), Some(60));
        assert_eq!(length("2025-06-07T10:45:00.25Z"), Some(1));
    }

    #[test]
    fn instants_are_counted_from_1970_in_utc() {
        let start = |text| Span::parse(text).map(|span| span.start);
        assert_eq!(start("1970-01-01"), Some(0));
        assert_eq!(start("2000-03-01"), Some(951_868_800));
        assert_eq!(start("1969-12-31T23:59:59Z"), Some(-1));
        assert_eq!(start("2025-06-07T10:45:00+02:00"), start("2025-06-07T08:45:00Z"));
        assert_eq!(start("2025-06-07T10:45:00-05:00"), start("2025-06-07T15:45:00Z"));
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "20",
            "2025-",
            "2025-13",
            "2025-02-29",
            "2025-00-01",
            "2025-06-07T",
            "2025-06-07T1",
            "2025-06-07T24:00Z",
            "2025-06T10:00Z",
            "2025-06-07T10:45:00.Z",
            "2025-06-07T10:45:00+99:00",
            "2025-06-07T10:45:00Zx",
            "+025",
            "２０２５",
            "2025-06-07-08",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
