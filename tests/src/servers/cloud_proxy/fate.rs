//! What becomes of a request: decided by a closure, by rules, or by a seed.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::asked::Asked;
use super::refusal::Refusal;
use crate::servers::http1::Message;

/// How long a test waits for what must come, on a machine that has more to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of a request.
pub enum Fate {
    Pass,
    /// The server is not asked, and refuses.
    Refuse(Refusal),
    /// The server is not asked, and this is the answer.
    Answer(Message),
    /// The connection is closed, and nothing reaches the server.
    CutBefore,
    /// The server does what it is asked to, and the connection is closed.
    CutAfter,
    /// The server does what it is asked to, and refuses.
    RefuseAfter(Refusal),
    /// The server is asked after so long.
    Delay(Duration),
    /// The server is asked when the gate opens.
    Hold(Gate),
    /// Of the answer's body only so many bytes come, and the connection is closed.
    Truncate(usize),
    /// What was answered to the page before comes again, once: the listing goes on from there. The first page passes.
    RepeatPage,
    /// The page after the one that is asked for; of the last page, it passes.
    SkipPage,
    /// A page of so many objects, of a server that gives the whole list whatever it is asked for.
    Paged(usize),
    /// The page without its last objects.
    DropLast(usize),
    /// The page without objects of these names, ids or ARNs.
    Hide(Vec<String>),
    /// The answer's body after this: for states that the server is never in, such as `CREATING`.
    Edit(Box<dyn Fn(String) -> String + Send>),
}

impl fmt::Display for Fate {
    /// A word or two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Refuse(it) => write!(f, "refused: {} {}", it.status, it.code),
            Self::Answer(it) => write!(f, "answered: {}", it.status()),
            Self::CutBefore => f.write_str("cut before the server"),
            Self::CutAfter => f.write_str("cut after the server"),
            Self::RefuseAfter(it) => write!(f, "refused after the server: {} {}", it.status, it.code),
            Self::Delay(it) => write!(f, "delayed {} ms", it.as_millis()),
            Self::Hold(_) => f.write_str("held"),
            Self::Truncate(it) => write!(f, "truncated to {it} bytes"),
            Self::RepeatPage => f.write_str("page repeated"),
            Self::SkipPage => f.write_str("page skipped"),
            Self::Paged(it) => write!(f, "paged by {it}"),
            Self::DropLast(it) => write!(f, "last {it} dropped"),
            Self::Hide(it) => write!(f, "hidden: {}", it.join(", ")),
            Self::Edit(_) => f.write_str("edited"),
        }
    }
}

/// Holds requests until it is opened: what is in flight together is then decided, not hoped for.
#[derive(Clone, Default)]
pub struct Gate {
    /// How many have come to it, and whether it is open.
    state: Arc<(Mutex<(usize, bool)>, Condvar)>,
}

impl Gate {
    /// All that are held go on, and all that come later.
    pub fn open(&self) {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.state.1.notify_all();
    }

    /// Waits until so many have come to it.
    #[track_caller]
    pub fn reached(&self, count: usize) {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, time) =
            self.state.1.wait_timeout_while(state, PATIENCE, |it| it.0 < count).unwrap_or_else(PoisonError::into_inner);
        assert!(!time.timed_out(), "{} requests came to the gate, not {count}", state.0);
    }

    pub(super) fn pass(&self) {
        let mut state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        self.state.1.notify_all();
        drop(self.state.1.wait_timeout_while(state, PATIENCE, |it| !it.1));
    }
}

/// A fate for some requests of an operation.
pub struct Rule {
    service: String,
    operation: String,
    skip: usize,
    times: usize,
    fate: Box<dyn Fn(&Asked) -> Fate + Send + Sync>,
    met: AtomicUsize,
}

impl Rule {
    /// For the first such request. A service `*` is any, as is what a `*` ends an operation with.
    pub fn on(service: &str, operation: &str, fate: impl Fn(&Asked) -> Fate + Send + Sync + 'static) -> Self {
        let (service, operation) = (service.to_owned(), operation.to_owned());
        Self { service, operation, skip: 0, times: 1, fate: Box::new(fate), met: AtomicUsize::new(0) }
    }

    /// The first so many pass.
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// For so many, not for one.
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    /// For all.
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// The fate that it has for this request, if any.
    pub(super) fn judge(&self, asked: &Asked) -> Option<Fate> {
        let service = if self.service == "*" { &asked.service } else { &self.service };
        if !asked.is(service, &self.operation) {
            return None;
        }
        let met = self.met.fetch_add(1, Ordering::SeqCst);
        (met >= self.skip && met - self.skip < self.times).then(|| (self.fate)(asked))
    }
}
