//! Lets changes to a provider's plugin, as many calls at a time as it takes, until it is stopped for the rest of the run.
//!
//! A plugin that ran past its deadline or crashed over one batch would most likely do so over the next, and cost each time
//! what it may cost at most. What has begun is brought to its end; what has not is refused with the reason.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, SemaphorePermit};
use trueup_host as host;

use crate::engine::Providers;

/// One gate for each provider, by alias.
pub type Gates = BTreeMap<Arc<str>, Gate>;

/// The way to one provider's plugin, for one run.
#[derive(Debug)]
pub struct Gate {
    calls: Semaphore,
    stopped: OnceLock<String>,
}

impl Gate {
    /// Open, for so many calls at a time.
    pub fn new(parallel: usize) -> Self {
        Self { calls: Semaphore::new(parallel.max(1)), stopped: OnceLock::new() }
    }

    /// Open gates to all providers.
    pub fn each(providers: &Providers) -> Gates {
        providers.iter().map(|(alias, bound)| (alias.clone(), Self::new(bound.parallel()))).collect()
    }

    /// Waits for its turn. None once the plugin is stopped, though it was not when the wait began.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.calls.acquire().await.ok();
        turn.filter(|_| self.stopped.get().is_none())
    }

    /// Closes it for the rest of the run where the plugin was stopped or crashed. The first reason stays.
    pub(super) fn close_on(&self, error: &host::CallError) {
        if error.fault() == host::Fault::Crash {
            let _ = self.stopped.set(error.to_string());
        }
    }

    /// Why nothing more is sent, if nothing is.
    pub(super) fn refusal(&self) -> Option<host::Failure> {
        let why = self.stopped.get()?;
        Some(host::Failure::new(
            host::Fault::Crash,
            "stopped",
            format!("not begun, as an earlier change of this run failed: {why}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn deadline() -> host::CallError {
        host::CallError::Deadline { plugin: "evil".to_owned(), function: "apply", limit: Duration::from_secs(30) }
    }

    #[tokio::test]
    async fn whoever_waited_while_the_plugin_was_stopped_is_turned_away_with_its_reason() {
        let gate = Gate::new(1);
        let first = gate.enter().await;
        assert!(first.is_some() && gate.refusal().is_none());
        let (second, ()) = tokio::join!(gate.enter(), async {
            gate.close_on(&deadline());
            drop(first);
        });
        assert!(second.is_none());
        let text = gate.refusal().unwrap().to_string();
        assert!(text.contains("not begun") && text.contains("`apply` took longer than 30 s"), "{text}");
    }

    #[tokio::test]
    async fn what_costs_no_deadline_stops_nothing() {
        let gate = Gate::new(2);
        let answer = "a wrong answer".to_owned();
        gate.close_on(&host::CallError::Contract { plugin: "evil".to_owned(), function: "apply", text: answer });
        gate.close_on(&host::CallError::Host { plugin: "evil".to_owned(), text: "no memory".to_owned() });
        assert!(gate.enter().await.is_some() && gate.refusal().is_none());
    }
}
