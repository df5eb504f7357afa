//! Ctrl-C: the first one stops new work from beginning, the second one ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a signal finds and leaves. Clones share it.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// How many verbs are sending changes now.
    working: AtomicUsize,
    interrupted: AtomicBool,
    stop: std::sync::Mutex<Option<Stop>>,
}

/// Asked when work is to stop.
type Stop = Box<dyn Fn() + Send>;

/// What the process does about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Work was told to stop; what is under way is brought to its end.
    Stopping,
    /// Nothing is under way, or it was told before: end now.
    End,
}

impl Interrupt {
    /// A signal came.
    pub fn signal(&self) -> Reaction {
        let again = self.0.interrupted.swap(true, Ordering::SeqCst);
        if again || self.0.working.load(Ordering::SeqCst) == 0 {
            return Reaction::End;
        }
        if let Some(stop) = self.0.stop.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref() {
            stop();
        }
        Reaction::Stopping
    }

    /// Whether a signal came.
    pub fn is_interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::SeqCst)
    }

    /// Changes are being sent until the value is dropped; `stop` is called when they are to stop.
    #[must_use]
    pub fn working(&self, stop: impl Fn() + Send + 'static) -> Working {
        *self.0.stop.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Box::new(stop));
        self.0.working.fetch_add(1, Ordering::SeqCst);
        Working(self.clone())
    }
}

/// While it lives, the first signal does not end the process.
pub struct Working(Interrupt);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.working.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_stops_work_and_the_second_ends_the_process() {
        let interrupt = Interrupt::default();
        let told = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&told);
        let working = interrupt.working(move || flag.store(true, Ordering::SeqCst));
        assert!(!interrupt.is_interrupted());
        assert_eq!(interrupt.signal(), Reaction::Stopping);
        assert!(told.load(Ordering::SeqCst) && interrupt.is_interrupted());
        assert_eq!(interrupt.signal(), Reaction::End);
        drop(working);
    }

    #[test]
    fn a_signal_while_nothing_is_sent_ends_the_process() {
        let interrupt = Interrupt::default();
        drop(interrupt.working(|| {}));
        assert_eq!(interrupt.signal(), Reaction::End);
    }
}
