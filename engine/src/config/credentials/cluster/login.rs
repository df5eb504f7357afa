//! Who logs in at a cluster, and when that is asked for anew.
//!
//! Invariant: what a server refused is asked for anew at most once in [`Patience::refused`], and what failed at most once in
//! [`Patience::failed`], however many requests are under way: a program may ask a person or a paid service.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use trueup_host::{ClientCertificate, Held, Login, Secret};

use super::exec::Program;
use super::file;

/// How long before its end something is got anew, at most; a fifth of its time where that is less.
const BEFORE_END: Duration = Duration::from_mins(1);
/// How long certificates of files are believed to be the files'.
const CERTIFICATE_FILE: Duration = Duration::from_mins(1);
/// Tokens that are remembered for whoever must keep them out of a file.
const VALUES: usize = 1_000;

/// What is sent in the header.
#[derive(Debug, Default)]
pub(super) enum Authorization {
    #[default]
    None,
    Token(Secret),
    TokenFile {
        file: PathBuf,
        /// How long what was read is used.
        every: Duration,
    },
    Basic {
        user: String,
        password: Secret,
    },
    Program(Box<Program>),
}

/// A text in PEM, or where it is.
#[derive(Debug)]
pub(super) enum Pem {
    Text(Secret),
    File(PathBuf),
}

impl Pem {
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(text) => Ok(Secret::from(text.expose())),
            Self::File(path) => file(path),
        }
    }
}

/// A user of a kubeconfig; by default one who shows nothing.
#[derive(Debug, Default)]
pub(super) struct User {
    pub authorization: Authorization,
    /// Certificate and key.
    pub certificate: Option<(Pem, Pem)>,
}

/// What was got.
#[derive(Default)]
pub(super) struct Got {
    pub authorization: Option<Secret>,
    /// Texts in it that nobody may see.
    pub values: Vec<String>,
    pub certificate: Option<ClientCertificate>,
    /// For how long it is good; None: without end.
    pub lasts: Option<Duration>,
    /// For how long it is believed to be what would be got again.
    pub fresh: Option<Duration>,
}

impl User {
    fn get(&self) -> Result<Got, String> {
        let mut got = match &self.authorization {
            Authorization::None => Got::default(),
            Authorization::Token(token) => bearer(token.expose()),
            Authorization::TokenFile { file: path, every } => {
                let text = file(path)?;
                let token = text.expose().trim();
                if token.is_empty() {
                    return Err(format!("the file `{}` is empty", path.display()));
                }
                Got { fresh: Some(*every), ..bearer(token) }
            }
            Authorization::Basic { user, password } => {
                let pair = format!("{user}:{}", password.expose());
                let authorization = Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(&pair))));
                Got { authorization, values: vec![password.expose().to_owned(), pair], ..Got::default() }
            }
            Authorization::Program(program) => program.run()?,
        };
        if let (None, Some((cert, key))) = (&got.certificate, &self.certificate) {
            got.certificate = Some(ClientCertificate { cert_pem: cert.read()?.expose().to_owned(), key_pem: key.read()? });
            if matches!((cert, key), (Pem::File(_), _) | (_, Pem::File(_))) {
                got.fresh = Some(got.fresh.map_or(CERTIFICATE_FILE, |it| it.min(CERTIFICATE_FILE)));
            }
        }
        Ok(got)
    }
}

/// A token as it is sent.
pub(super) fn bearer(token: &str) -> Got {
    Got { authorization: Some(Secret::new(format!("Bearer {token}"))), values: vec![token.to_owned()], ..Got::default() }
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
    user: User,
    patience: Patience,
    /// Held by whoever gets it anew; the others wait for that.
    turn: Mutex<()>,
    state: Mutex<State>,
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
    pub fn new(whose: String, user: User) -> Self {
        Self { whose, user, patience: Patience::default(), turn: Mutex::default(), state: Mutex::default() }
    }

    #[cfg(test)]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
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
        let renew = got.lasts.map(|it| it.saturating_sub(BEFORE_END.min(it / 5)));
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
        };
        let held = match before.filter(same) {
            Some(held) => held,
            None => Arc::new(Held { authorization: got.authorization, certificate }),
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
        kept.renew.is_none_or(|it| Instant::now() < it).then(|| Arc::clone(&kept.held))
    }

    fn fetch(&self, refused: Option<&Arc<Held>>) -> Result<Arc<Held>, String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(known) = self.known(refused, now) {
            return known;
        }
        match self.user.get() {
            Ok(got) => Ok(self.take(got, Instant::now(), refused.is_some())),
            Err(why) => {
                let words = format!("{}: {why}", self.whose);
                let mut state = self.state();
                state.failed = Some((Instant::now(), words.clone()));
                // What was got before is good until its end: whoever renews in time has time to try again.
                let good = state.kept.as_ref().filter(|it| refused.is_none() && it.end.is_none_or(|end| Instant::now() < end));
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
