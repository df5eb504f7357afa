//! Decides when a failed try may be repeated.
//!
//! Owns the arithmetic of retries and nothing else: it keeps no timer, reads no clock and draws no random number, so that
//! equal inputs give equal answers. Callers sleep, and count.
//!
//! Invariant: no wait is longer than [`Policy::cap`], whatever a provider asks for.

use std::time::Duration;

/// How often and how patiently a step is tried in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Wait after the first failure; doubled after each further one.
    pub first: Duration,
    /// Longest wait.
    pub cap: Duration,
    /// Tries in all, the first included.
    pub tries: u32,
}

impl Default for Policy {
    /// Five tries within about ten seconds: a run is attended, and the next pass tries again anyway.
    fn default() -> Self {
        Self { first: Duration::from_millis(500), cap: Duration::from_secs(30), tries: 5 }
    }
}

/// What became of one try, as far as trying again goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The same call may succeed later; how long to wait at least, where the remote system said so.
    Retry(Option<Duration>),
    /// Nothing will change until the revision, the credential or the operator does.
    Terminal,
}

/// What to do after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing more.
    Stop,
    /// Try again after this long.
    Wait(Duration),
    /// It failed for good in this run, after so many tries.
    GiveUp { tries: u32 },
}

/// What to do after the try number `tries` (the first is 1) ended with `outcome`.
///
/// Waits double from [`Policy::first`]; up to half of a wait is added so that many steps do not come back together.
/// `spread` says how much of that half, from 0.0 (nothing) to 1.0 (all of it); the caller draws it. What the remote system
/// asked for wins where it is longer, up to [`Policy::cap`].
pub fn after(policy: &Policy, outcome: Outcome, tries: u32, spread: f64) -> Next {
    match outcome {
        Outcome::Done => Next::Stop,
        Outcome::Terminal => Next::GiveUp { tries },
        Outcome::Retry(_) if policy.tries <= tries => Next::GiveUp { tries },
        Outcome::Retry(hint) => {
            let doubled = policy.first.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(policy.cap);
            // A spread that is no number adds nothing.
            let share = if spread.is_finite() { spread.clamp(0.0, 1.0) / 2.0 } else { 0.0 };
            let wait = doubled.saturating_add(doubled.mul_f64(share));
            Next::Wait(wait.max(hint.unwrap_or_default()).min(policy.cap))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { first: Duration::from_secs(1), cap: Duration::from_secs(30), tries: 4 };

    #[track_caller]
    fn check(outcome: Outcome, tries: u32, spread: f64, want: Next) {
        assert_eq!(after(&POLICY, outcome, tries, spread), want, "{outcome:?} tries={tries} spread={spread}");
    }

    fn seconds(wait: f64) -> Next {
        Next::Wait(Duration::from_secs_f64(wait))
    }

    #[test]
    fn waits_double_and_spread_adds_up_to_half() {
        check(Outcome::Retry(None), 1, 0.0, seconds(1.0));
        check(Outcome::Retry(None), 2, 0.0, seconds(2.0));
        check(Outcome::Retry(None), 3, 1.0, seconds(6.0));
        check(Outcome::Retry(None), 1, f64::NAN, seconds(1.0));
        check(Outcome::Retry(None), 1, 9.0, seconds(1.5));
    }

    #[test]
    fn a_hint_lengthens_a_wait_but_never_past_the_cap() {
        check(Outcome::Retry(Some(Duration::from_secs(10))), 1, 0.0, seconds(10.0));
        check(Outcome::Retry(Some(Duration::from_secs(90))), 1, 0.0, seconds(30.0));
        check(Outcome::Retry(Some(Duration::from_millis(1))), 2, 0.0, seconds(2.0));
    }

    #[test]
    fn the_last_try_and_a_terminal_failure_give_up() {
        check(Outcome::Retry(None), 4, 0.0, Next::GiveUp { tries: 4 });
        check(Outcome::Terminal, 1, 0.0, Next::GiveUp { tries: 1 });
        check(Outcome::Done, 9, 0.0, Next::Stop);
        let endless = Policy { tries: u32::MAX, ..POLICY };
        assert_eq!(after(&endless, Outcome::Retry(None), u32::MAX - 1, 1.0), seconds(30.0));
    }
}
