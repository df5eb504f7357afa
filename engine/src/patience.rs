//! Asking again where a system wants time: reads that are refused for the moment are repeated, a few times and never for long.
//!
//! A provider cannot wait and says how long its system asks for (`throttled`, `transient` with a time); whoever called it waits.
//! Changes are not repeated here: what becomes of them is decided where their outcomes are booked.

use std::time::Duration;

use trueup_core::retry;
use trueup_host as host;

use crate::engine::Bound;

/// Tries of one read within a pass, the first among them.
const READS: retry::Policy = retry::Policy { first: Duration::from_millis(500), cap: Duration::from_secs(30), tries: 5 };

/// How long to wait before a read that failed so is repeated, after so many tries. None where it is not: the failure is none that
/// time mends, it was tried often enough, or the system asks for longer than anybody waits at a plan.
pub fn before_again(fault: host::Fault, tries: u32) -> Option<Duration> {
    let hint = match fault {
        host::Fault::Throttled(hint) => hint,
        host::Fault::Transient(Some(hint)) => Some(hint),
        _ => return None,
    };
    let hint = hint.map(Duration::from_millis);
    if hint.is_some_and(|it| READS.cap < it) {
        return None;
    }
    match retry::after(&READS, retry::Outcome::Retry(hint), tries, spread()) {
        retry::Next::Wait(wait) => Some(wait),
        retry::Next::Stop | retry::Next::GiveUp { .. } => None,
    }
}

/// Asks a provider to read, and once more for what its system wants time for.
///
/// # Errors
///
/// As the call itself; what fails of a lookup is its answer.
pub async fn read(bound: &Bound, now: u64, lookups: Vec<host::Lookup>) -> Result<Vec<host::Observation>, host::CallError> {
    let mut answers = bound.provider.read(&bound.call(now), lookups.clone()).await?;
    let mut tries = 1;
    loop {
        let wait = |(at, answer): (usize, &host::Observation)| match answer {
            host::Observation::Failed(failure) => Some((at, before_again(failure.fault, tries)?)),
            _ => None,
        };
        let late: Vec<(usize, Duration)> = answers.iter().enumerate().filter_map(wait).collect();
        let Some(pause) = late.iter().map(|(_, wait)| *wait).max() else { return Ok(answers) };
        tokio::time::sleep(pause).await;
        let again = late.iter().filter_map(|(at, _)| lookups.get(*at).cloned()).collect();
        let got = bound.provider.read(&bound.call(now), again).await?;
        for ((at, _), answer) in late.into_iter().zip(got) {
            answers.get_mut(at).into_iter().for_each(|it| *it = answer.clone());
        }
        tries += 1;
    }
}

/// A share of the spread between tries, from 0.0 to 1.0. Where there are no random numbers, none is as good as another.
pub fn spread() -> f64 {
    getrandom::u32().map_or(0.5, |it| f64::from(it) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fault: host::Fault, tries: u32, want_ms: Option<(u64, u64)>) {
        let got = before_again(fault, tries);
        let ms = |it: u64| Duration::from_millis(it);
        let fits = match (got, want_ms) {
            (Some(got), Some((least, most))) => ms(least) <= got && got <= ms(most),
            (None, None) => true,
            _ => false,
        };
        assert!(fits, "{fault:?} after {tries}: {got:?}, not {want_ms:?}");
    }

    #[test]
    fn a_read_is_repeated_when_its_system_says_and_at_most_four_times() {
        check(host::Fault::Throttled(Some(2000)), 1, Some((2000, 2000)));
        check(host::Fault::Throttled(None), 1, Some((500, 750)));
        check(host::Fault::Transient(Some(1000)), 2, Some((1000, 1500)));
        check(host::Fault::Throttled(Some(30_000)), 4, Some((30_000, 30_000)));
        check(host::Fault::Throttled(Some(1000)), 5, None);
    }

    #[test]
    fn what_time_does_not_mend_or_takes_too_long_is_not_waited_for() {
        check(host::Fault::Throttled(Some(30_001)), 1, None);
        check(host::Fault::Transient(None), 1, None);
        check(host::Fault::Unauthorized, 1, None);
    }
}
