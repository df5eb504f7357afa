//! Times as programs and services write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads `2026-11-23T14:00:00Z`, with parts of a second or an offset such as `+01:00` where there are any (RFC 3339).
pub(super) fn moment(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let (clock, offset) = time.split_at_checked(time.len().checked_sub(6)?)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let seconds = digits(hours)? * 3600 + digits(minutes)? * 60;
            (clock, if offset.starts_with('+') { seconds } else { offset.starts_with('-').then_some(-seconds)? })
        }
    };
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let mut clock = clock.split(':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let known = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !known || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Hinnant's `days_from_civil`.
    let (year, shifted) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * shifted + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// A number of at most four digits.
fn digits(text: &str) -> Option<i64> {
    ((1..=4).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rfc_3339_writes_them() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2023-11-14T22:13:20.123456789Z", Some(1_700_000_000)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000)),
            ("2023-11-14T17:43:20.5-04:30", Some(1_700_000_000)),
            ("2023-11-14", None),
            ("2023-13-14T22:13:20Z", None),
            ("2023-11-14T24:13:20Z", None),
            ("2023-11-14T22:13:20", None),
            ("2023-11-14T22:13Z", None),
            ("-2023-11-14T22:13:20Z", None),
            ("é", None),
            ("Té", None),
        ] {
            assert_eq!(moment(text), want.map(|it| UNIX_EPOCH + Duration::from_secs(it)), "{text}");
        }
    }
}
