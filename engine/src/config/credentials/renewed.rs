//! Logins that are got anew: before they end, and once more where a server refuses them.
//!
//! Owns when something is asked for anew, and nothing of where it comes from, which is a [`Get`].
//!
//! Invariant: what a server refused is asked for anew at most once in [`Patience::refused`], and what failed at most once in
//! [`Patience::failed`], however many requests are under way: a program may ask a person or a paid service.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trueup_host::sigv4::Keys;
use trueup_host::{ClientCertificate, Held, Login, Secret};

/// How long before its end something is got anew, at most; a fifth of its time where that is less.
const BEFORE_END: Duration = Duration::from_mins(1);
/// Tokens that are remembered for whoever must keep them out of a file.
const VALUES: usize = 1_000;

/// Where a login comes from.
pub(super) trait Get: fmt::Debug + Send + Sync {
    /// Gets it now, for as long as that takes.
    ///
    /// # Errors
    ///
    /// Says what is wrong and what to do about it, never with a value in it.
    fn get(&self) -> Result<Got, String>;
}

/// What was got.
#[derive(Default)]
pub(super) struct Got {
    pub authorization: Option<Secret>,
    /// Texts in it that nobody may see.
    pub values: Vec<String>,
    pub certificate: Option<ClientCertificate>,
    pub keys: Option<Keys>,
    /// For how long it is good; None: without end.
    pub lasts: Option<Duration>,
    /// For how long it is believed to be what would be got again.
    pub fresh: Option<Duration>,
}

/// How often something is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub refused: Duration,
    pub failed: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { refused: Duration::from_secs(10), failed: Duration::from_secs(5) }
    }
}

/// A login that is got anew.
#[derive(Debug)]
pub(super) struct Renewed {
    whose: String,
    source: Box<dyn Get>,
    before_end: Duration,
    patience: Patience,
    /// Held by whoever gets it anew; the others wait for that.
    turn: Mutex<()>,
    state: Mutex<State>,
    /// Seconds that a test lets pass.
    #[cfg(test)]
    passed: std::sync::atomic::AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    /// When it was got anew because a server refused it.
    refused: Option<Instant>,
    /// When it was last not to be had, and why.
    failed: Option<(Instant, String)>,
    values: Vec<Secret>,
}

#[derive(Clone, Debug)]
struct Kept {
    held: Arc<Held>,
    /// When it is to be got anew; None: never.
    renew: Option<Instant>,
    /// When it is of no use any more; None: never.
    end: Option<Instant>,
}

impl Renewed {
    pub fn new(whose: String, source: impl Get + 'static) -> Self {
        Self {
            whose,
            source: Box::new(source),
            before_end: BEFORE_END,
            patience: Patience::default(),
            turn: Mutex::default(),
            state: Mutex::default(),
            #[cfg(test)]
            passed: std::sync::atomic::AtomicU64::default(),
        }
    }

    /// Got anew so long before its end, at most.
    pub fn before_end(self, before_end: Duration) -> Self {
        Self { before_end, ..self }
    }

    #[cfg(test)]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Lets time pass.
    #[cfg(test)]
    pub fn pass(&self, time: Duration) {
        self.passed.fetch_add(time.as_secs(), std::sync::atomic::Ordering::SeqCst);
    }

    #[cfg(test)]
    fn now(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.passed.load(std::sync::atomic::Ordering::SeqCst))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "a test has a time of its own")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known without asking anew, as far as that is an answer.
    fn known(&self, refused: Option<&Arc<Held>>, now: Instant) -> Option<Result<Arc<Held>, String>> {
        let state = self.state();
        let recently = |at: Instant, pause: Duration| now.saturating_duration_since(at) < pause;
        if let Some(kept) = &state.kept {
            let fresh = kept.renew.is_none_or(|it| now < it);
            let asked_anew = state.refused.is_some_and(|it| recently(it, self.patience.refused));
            match refused {
                None if fresh => return Some(Ok(Arc::clone(&kept.held))),
                // Somebody else got it anew already, or did so just now and that was refused too.
                Some(it) if fresh && (asked_anew || !Arc::ptr_eq(it, &kept.held)) => return Some(Ok(Arc::clone(&kept.held))),
                _ => {}
            }
        }
        let (at, words) = state.failed.as_ref()?;
        if !recently(*at, self.patience.failed) {
            return None;
        }
        let good = state.kept.as_ref().filter(|it| refused.is_none() && it.end.is_none_or(|end| now < end));
        Some(good.map_or_else(|| Err(words.clone()), |it| Ok(Arc::clone(&it.held))))
    }

    /// Takes what was got, as the value that it was before where that is the same.
    fn take(&self, got: Got, now: Instant, was_refused: bool) -> Arc<Held> {
        let mut state = self.state();
        let renew = got.lasts.map(|it| it.saturating_sub(self.before_end.min(it / 5)));
        let renew = match (renew, got.fresh) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let before = state.kept.take().map(|it| it.held);
        let certificate = got.certificate.map(|new| match before.as_ref().and_then(|it| it.certificate.as_ref()) {
            Some(old) if old.cert_pem == new.cert_pem && old.key_pem.expose() == new.key_pem.expose() => Arc::clone(old),
            _ => Arc::new(new),
        });
        let text = |it: &Option<Secret>| it.as_ref().map(|it| it.expose().to_owned());
        let same = |it: &Arc<Held>| {
            text(&it.authorization) == text(&got.authorization)
                && it.certificate.as_ref().map(Arc::as_ptr) == certificate.as_ref().map(Arc::as_ptr)
                && match (&it.keys, &got.keys) {
                    (Some(old), Some(new)) => old.same(new),
                    (old, new) => old.is_none() && new.is_none(),
                }
        };
        let held = match before.filter(same) {
            Some(held) => held,
            None => Arc::new(Held { authorization: got.authorization, certificate, keys: got.keys }),
        };
        let at = |it: Duration| now.checked_add(it);
        state.kept = Some(Kept { held: Arc::clone(&held), renew: renew.and_then(at), end: got.lasts.and_then(at) });
        state.failed = None;
        if was_refused {
            state.refused = Some(now);
        }
        for value in got.values {
            let known = state.values.iter().any(|it| it.expose() == value);
            if !value.is_empty() && !known && state.values.len() < VALUES {
                state.values.push(Secret::new(value));
            }
        }
        held
    }
}

impl Login for Renewed {
    fn whose(&self) -> String {
        self.whose.clone()
    }

    fn held(&self) -> Option<Arc<Held>> {
        let state = self.state();
        let kept = state.kept.as_ref()?;
        kept.renew.is_none_or(|it| self.now() < it).then(|| Arc::clone(&kept.held))
    }

    fn fetch(&self, refused: Option<&Arc<Held>>) -> Result<Arc<Held>, String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        if let Some(known) = self.known(refused, now) {
            return known;
        }
        match self.source.get() {
            Ok(got) => Ok(self.take(got, self.now(), refused.is_some())),
            Err(why) => {
                let words = format!("{}: {why}", self.whose);
                let now = self.now();
                let mut state = self.state();
                state.failed = Some((now, words.clone()));
                // What was got before is good until its end: whoever renews in time has time to try again.
                let good = state.kept.as_ref().filter(|it| refused.is_none() && it.end.is_none_or(|end| now < end));
                match good {
                    Some(kept) => {
                        tracing::warn!("a credential was not renewed, and is used until its end: {words}");
                        Ok(Arc::clone(&kept.held))
                    }
                    None => Err(words),
                }
            }
        }
    }

    fn values(&self) -> Vec<String> {
        self.state().values.iter().map(|it| it.expose().to_owned()).collect()
    }
}
