//! Points in time: read in each form that AWS writes, written in the form that is asked for.
//!
//! Invariant: a [`Time`] is of a year from 0 to 9999, so that RFC 3339 can say it and no sum overflows.

use serde_json::Value as Json;

use crate::model::TimeFormat;

/// First and last second that RFC 3339 can say.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
const DAY: i64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Days of the week from 1970-01-01 on.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    seconds: i64,
    /// Towards the future, below a second.
    nanos: u32,
}

impl Time {
    fn new(seconds: i64, nanos: u32) -> Option<Self> {
        RANGE.contains(&seconds).then_some(Self { seconds, nanos })
    }

    /// Of a number of seconds since 1970, or of text in any of the forms.
    pub fn of(value: &Json) -> Option<Self> {
        match value {
            Json::Number(number) => match number.as_i64() {
                Some(seconds) => Self::new(seconds, 0),
                None => Self::from_float(number.as_f64()?),
            },
            Json::String(text) => Self::read(text.trim()),
            _ => None,
        }
    }

    /// A double holds seconds of this century to the microsecond at best, and the protocols promise milliseconds.
    fn from_float(seconds: f64) -> Option<Self> {
        let millis = (seconds * 1000.0).round();
        if !(-1e15..1e15).contains(&millis) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "in the range of the line above")]
        let millis = millis as i64;
        Self::new(millis.div_euclid(1000), u32::try_from(millis.rem_euclid(1000)).ok()? * 1_000_000)
    }

    /// RFC 3339 and its looser relatives (ISO 8601), an HTTP date (RFC 822), or a number of seconds.
    pub fn read(text: &str) -> Option<Self> {
        iso(text).or_else(|| http(text)).or_else(|| unix(text))
    }

    /// As text in a format.
    pub fn text(self, format: TimeFormat) -> String {
        match format {
            TimeFormat::Iso8601 => self.rfc3339(),
            TimeFormat::Rfc822 => self.rfc822(),
            TimeFormat::Unix => self.unix().to_string(),
        }
    }

    /// As a number of seconds: an integer if it is whole.
    pub fn unix(self) -> Json {
        if self.nanos == 0 {
            return self.seconds.into();
        }
        #[expect(clippy::cast_precision_loss, reason = "a double is what the protocol has")]
        let micros = (self.seconds * 1_000_000 + i64::from(self.nanos / 1000)) as f64;
        (micros / 1e6).into()
    }

    /// `2020-01-02T03:04:05Z`, with a fraction of 3, 6 or 9 digits where it is not whole.
    pub fn rfc3339(self) -> String {
        let (year, month, day) = civil(self.seconds.div_euclid(DAY));
        let (hour, minute, second) = clock(self.seconds);
        let fraction = match self.nanos {
            0 => String::new(),
            it if it % 1_000_000 == 0 => format!(".{:03}", it / 1_000_000),
            it if it % 1_000 == 0 => format!(".{:06}", it / 1_000),
            it => format!(".{it:09}"),
        };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
    }

    fn rfc822(self) -> String {
        let days = self.seconds.div_euclid(DAY);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = clock(self.seconds);
        let name = |names: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|it| names.get(it).copied()).unwrap_or("");
        let (weekday, month) = (name(&DAYS, days.rem_euclid(7)), name(&MONTHS, month - 1));
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

fn clock(seconds: i64) -> (i64, i64, i64) {
    let of_day = seconds.rem_euclid(DAY);
    (of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day of a number of days since 1970 in the Gregorian calendar, by eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse; none where there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let from_march = if month > 2 { year } else { year - 1 };
    let era = from_march.div_euclid(400);
    let year_of_era = from_march.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Seconds of a date and a time of day; a leap second is the second after it.
fn instant(date: Option<i64>, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let good = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    good.then_some(date? * DAY + hour * 3600 + minute * 60 + second)
}

/// A number of exactly this many digits at the begin, and the rest.
fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (head, rest) = text.split_at_checked(count)?;
    head.bytes().all(|it| it.is_ascii_digit()).then_some((head.parse().ok()?, rest))
}

fn iso(text: &str) -> Option<Time> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let date = days(year, month, day);
    if rest.is_empty() {
        return Time::new(instant(date, 0, 0, 0)?, 0);
    }
    let (hour, rest) = digits(rest.strip_prefix(['T', 't', ' '])?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (nanos, rest) = fraction(rest)?;
    Time::new(instant(date, hour, minute, second)? - zone(rest)?, nanos)
}

/// `.123` as nanoseconds; digits beyond the ninth are dropped.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.bytes().position(|it| !it.is_ascii_digit()).unwrap_or(rest.len());
    let (head, rest) = rest.split_at_checked(end)?;
    let nine: String = head.chars().chain("000000000".chars()).take(9).collect();
    if head.is_empty() { None } else { Some((nine.parse().ok()?, rest)) }
}

/// Seconds that a zone is ahead; none of them means UTC, as it does in what AWS writes.
fn zone(text: &str) -> Option<i64> {
    let mut rest = text.chars();
    let sign = match rest.next() {
        None => return Some(0),
        Some('Z' | 'z') => return rest.next().is_none().then_some(0),
        Some('+') => 1,
        Some('-') => -1,
        Some(_) => return None,
    };
    let (hours, rest) = digits(rest.as_str(), 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2)?;
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `Thu, 02 Jan 2020 03:04:05 GMT`.
fn http(text: &str) -> Option<Time> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next().filter(|it| it.len() <= 2)?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().zip(1..).find(|(it, _)| **it == name)?.1;
    let (year, _) = digits(words.next()?, 4).filter(|(_, rest)| rest.is_empty())?;
    let (hour, rest) = digits(words.next()?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (nanos, rest) = fraction(rest)?;
    let good = rest.is_empty() && matches!(words.next(), Some("GMT" | "UTC" | "+0000")) && words.next().is_none();
    Time::new(instant(days(year, month, day), hour, minute, second).filter(|_| good)?, nanos)
}

fn unix(text: &str) -> Option<Time> {
    if !text.bytes().all(|it| it.is_ascii_digit() || matches!(it, b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None;
    }
    match text.parse() {
        Ok(seconds) => Time::new(seconds, 0),
        Err(_) => Time::from_float(text.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert_eq!(Time::read(text).map(Time::rfc3339).as_deref(), want, "{text:?}");
    }

    #[test]
    fn each_form_that_aws_writes_is_read() {
        check("2020-02-29T03:04:05Z", Some("2020-02-29T03:04:05Z"));
        check("2020-02-29T03:04:05.120Z", Some("2020-02-29T03:04:05.120Z"));
        check("2020-02-29T03:04:05.000001+0000", Some("2020-02-29T03:04:05.000001Z"));
        check("2020-02-29T03:04:05.1234567891Z", Some("2020-02-29T03:04:05.123456789Z"));
        check("2020-02-29 03:04:05", Some("2020-02-29T03:04:05Z"));
        check("2020-03-01T00:30:00+01:00", Some("2020-02-29T23:30:00Z"));
        check("2020-03-01", Some("2020-03-01T00:00:00Z"));
        check("Thu, 02 Jan 2020 03:04:05 GMT", Some("2020-01-02T03:04:05Z"));
        check("Thu, 2 Jan 2020 03:04:05.25 GMT", Some("2020-01-02T03:04:05.250Z"));
        check("1577934245", Some("2020-01-02T03:04:05Z"));
        check("1577934245.5", Some("2020-01-02T03:04:05.500Z"));
        check("1.577934245E9", Some("2020-01-02T03:04:05Z"));
        check("-1", Some("1969-12-31T23:59:59Z"));
        check("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z"));
        check("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "soon",
            "2021-02-29",
            "2020-13-01",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00Zx",
            "2020-01-01T00:00:00é",
            "20é0-01-01",
            "99999999999999999999",
            "1e400",
            "NaN",
            "-",
            "Thu, 02 Jan 2020 03:04:05 CET",
            "Thu, é Jan 2020 03:04:05 GMT",
        ] {
            check(text, None);
        }
        assert_eq!(Time::of(&json!(true)), None);
        assert_eq!(Time::of(&json!(253_402_300_800_i64)), None);
    }

    #[test]
    fn each_format_is_written() {
        let time = Time::of(&json!(1_577_934_245.25)).unwrap();
        assert_eq!(time.text(TimeFormat::Iso8601), "2020-01-02T03:04:05.250Z");
        assert_eq!(time.text(TimeFormat::Rfc822), "Thu, 02 Jan 2020 03:04:05 GMT");
        assert_eq!(time.unix(), json!(1_577_934_245.25));
        assert_eq!(Time::read("2020-01-02T03:04:05Z").unwrap().unix(), json!(1_577_934_245));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in RANGE, millis in 0_u32..1000) {
            let time = Time { seconds, nanos: millis * 1_000_000 };
            prop_assert_eq!(Time::read(&time.rfc3339()), Some(time));
            let whole = Time { seconds, nanos: 0 };
            prop_assert_eq!(Time::read(&whole.rfc822()), Some(whole));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", digits in "[-0-9TZ:.+ éGMT,Jan]{0,40}") {
            let _ = (Time::read(&text), Time::read(&digits));
        }
    }
}
