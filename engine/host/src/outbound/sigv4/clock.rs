//! How far the clocks of servers are from ours. A signature holds a time, and is refused some minutes away from the server's own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use url::{Origin, Url};

/// Servers bear five minutes and more; whoever is nearer than this was refused for another reason.
const BORNE: i64 = 4 * 60;
/// A clock further away than a day tells nothing: signatures are not made for a time of somebody's choice.
const MOST: i64 = 24 * 60 * 60;

/// Seconds by which a server's clock is ahead of ours, by origin, of those whose clock is another one.
#[derive(Debug, Default)]
pub(in crate::outbound) struct Clocks(Mutex<HashMap<Origin, i64>>);

impl Clocks {
    /// Seconds by which the server is known to be ahead.
    pub(in crate::outbound) fn ahead(&self, url: &Url) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&url.origin()).copied().unwrap_or_default()
    }

    /// Takes the time that stands in an answer to what was signed with our clock and `ahead`. Whether that was another time, so
    /// that the request may be signed anew.
    pub(in crate::outbound) fn learn(&self, url: &Url, ahead: i64, date: SystemTime, now: SystemTime) -> bool {
        let Some(by) = behind(date, moved(now, ahead)).and_then(|it| it.checked_add(ahead)).filter(|it| it.abs() <= MOST) else {
            return false;
        };
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(url.origin(), by);
        // Many requests may learn the same at once.
        if before.is_none_or(|it| (it - by).abs() > BORNE) {
            let host = crate::log::clean(&url.origin().ascii_serialization(), 300);
            let way = if by > 0 { "ahead of" } else { "behind" };
            let by = Duration::from_secs(by.unsigned_abs());
            tracing::warn!(
                "the clock of {host} is {by:?} {way} ours; requests to it are signed for its time. Set this machine's clock"
            );
        }
        true
    }
}

/// Seconds from `now` to the time of an answer, where these are too many for a signature.
pub fn behind(date: SystemTime, now: SystemTime) -> Option<i64> {
    let seconds = |it: Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
    let by = match date.duration_since(now) {
        Ok(ahead) => seconds(ahead),
        Err(before) => -seconds(before.duration()),
    };
    (by.abs() > BORNE && by.abs() <= 2 * MOST).then_some(by)
}

/// A time some seconds later, or earlier.
pub(in crate::outbound) fn moved(time: SystemTime, by: i64) -> SystemTime {
    let far = Duration::from_secs(by.unsigned_abs());
    if by < 0 { time.checked_sub(far) } else { time.checked_add(far) }.unwrap_or(time)
}

/// Reads the `Date` of an answer, as servers must write it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn date_of(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = |text: &str, most: usize| {
        let plain = (1..=most).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
        plain.then(|| text.parse::<u64>().ok()).flatten()
    };
    let mut parts = text.split_once(", ")?.1.split(' ');
    let (day, month, year) = (number(parts.next()?, 2)?, parts.next()?, number(parts.next()?, 4)?);
    let month = 1 + u64::try_from(MONTHS.iter().position(|it| *it == month)?).ok()?;
    let mut clock = parts.next()?.split(':').map(|it| number(it, 2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let known = (1970..10_000).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !known || parts.next() != Some("GMT") || clock.next().is_some() {
        return None;
    }
    // Hinnant's `days_from_civil`, for years from 1970 on.
    let (year, shifted) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let days =
        (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * shifted + 2) / 5 + day).checked_sub(1 + 719_468)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_date_of_an_answer_is_read_as_servers_write_it() {
        for (text, want) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 14 Nov 2023 22:13:20 GMT", Some(1_700_000_000)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(date_of(text), want.map(at), "{text}");
        }
    }

    #[test]
    fn a_clock_is_learned_where_it_is_minutes_away_and_at_most_a_day() {
        let url = Url::parse("https://a.example/x").unwrap();
        let now = 1_700_000_000;
        for (date, learned) in [
            (now, 0),
            (now + 240, 0),
            (now + 241, 241),
            (now - 3600, -3600),
            (now + 86_400, 86_400),
            (now + 86_401, 0),
            (now - 86_401, 0),
            (0, 0),
        ] {
            let clocks = Clocks::default();
            assert_eq!(clocks.learn(&url, 0, at(date), at(now)), learned != 0, "{date}");
            assert_eq!(clocks.ahead(&url), learned, "{date}");
            assert_eq!(clocks.ahead(&Url::parse("https://b.example").unwrap()), 0);
        }
    }

    #[test]
    fn what_was_signed_for_the_servers_time_is_not_signed_again_and_what_was_not_is() {
        let url = Url::parse("https://a.example/x").unwrap();
        let (clocks, now) = (Clocks::default(), at(1_700_000_000));
        let date = at(1_700_003_600);
        assert!(clocks.learn(&url, 0, date, now));
        // Another request was under way, signed with our own clock.
        assert!(clocks.learn(&url, 0, date, now));
        assert!(!clocks.learn(&url, 3600, date, now));
        // However often a server moves its clock, it does not lead us further away than a day.
        assert!(clocks.learn(&url, 3600, at(1_700_080_000), now));
        assert!(!clocks.learn(&url, 80_000, at(1_700_120_000), now));
        assert_eq!(clocks.ahead(&url), 80_000);
    }
}
