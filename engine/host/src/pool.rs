//! Instances: how one starts, how warm ones are kept, how many there may be.
//!
//! An instance serves one provider in one phase for life. It is kept after a call that went well and dropped after any
//! other, so that nothing a trap left behind is ever seen again.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::InstancePre;
use wasmtime::{FrameInfo, Store, Trap, WasmBacktrace};

use crate::bindings::exports::trueup::provider as wit;
use crate::call::ProviderInner;
use crate::convert;
use crate::error::CallError;
use crate::records::{Exports, Phase};
use crate::state::{Call, Context, State};

/// An idle instance older than this is dropped.
const MAX_IDLE: Duration = Duration::from_secs(600);
/// An instance that has served this many calls is dropped: a leak in a guest then costs no more.
const MAX_CALLS: u32 = 100_000;
/// Innermost frames of a crash, of the 20 that the engine keeps, that show a recursion.
const DEEP: usize = 16;

/// Where a component's exports are; looked up once per plugin.
pub(crate) struct Indices {
    lifecycle: wit::lifecycle::GuestIndices,
    rendering: Option<wit::rendering::GuestIndices>,
    planning: Option<wit::planning::GuestIndices>,
    operations: Option<wit::operations::GuestIndices>,
    schemas: Option<wit::schemas::GuestIndices>,
    discovery: Option<wit::discovery::GuestIndices>,
    migration: bool,
    health_checks: bool,
}

impl Indices {
    /// # Errors
    ///
    /// Fails where `lifecycle` is missing or has other types.
    pub(crate) fn new(pre: &InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(Self {
            lifecycle: wit::lifecycle::GuestIndices::new(pre)?,
            rendering: wit::rendering::GuestIndices::new(pre).ok(),
            planning: wit::planning::GuestIndices::new(pre).ok(),
            operations: wit::operations::GuestIndices::new(pre).ok(),
            schemas: wit::schemas::GuestIndices::new(pre).ok(),
            discovery: wit::discovery::GuestIndices::new(pre).ok(),
            migration: wit::migration::GuestIndices::new(pre).is_ok(),
            health_checks: wit::health_checks::GuestIndices::new(pre).is_ok(),
        })
    }

    pub(crate) fn exports(&self) -> Exports {
        Exports {
            rendering: self.rendering.is_some(),
            planning: self.planning.is_some(),
            operations: self.operations.is_some(),
            schemas: self.schemas.is_some(),
            discovery: self.discovery.is_some(),
            migration: self.migration,
            health_checks: self.health_checks,
        }
    }
}

/// The exports of one instance.
pub(crate) struct Guests {
    pub(crate) lifecycle: wit::lifecycle::Guest,
    pub(crate) rendering: Option<wit::rendering::Guest>,
    pub(crate) planning: Option<wit::planning::Guest>,
    pub(crate) operations: Option<wit::operations::Guest>,
    pub(crate) schemas: Option<wit::schemas::Guest>,
    pub(crate) discovery: Option<wit::discovery::Guest>,
}

/// One live instance.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) guests: Guests,
    calls: u32,
    idle_since: Instant,
    _slot: Slot,
}

impl Instance {
    /// Starts an instance; `configure` has not run yet.
    pub(crate) async fn start(
        pre: &InstancePre<State>,
        indices: &Indices,
        context: Arc<Context>,
        phase: Phase,
        limit: Duration,
        slot: Slot,
    ) -> Result<Self, CallError> {
        let mut store = State::store(pre.engine(), context, phase);
        let start = async {
            let instance = pre.instantiate_async(&mut store).await?;
            let store = &mut store;
            Ok(Guests {
                lifecycle: indices.lifecycle.load(&mut *store, &instance)?,
                rendering: indices.rendering.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?,
                planning: indices.planning.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?,
                operations: indices.operations.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?,
                schemas: indices.schemas.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?,
                discovery: indices.discovery.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?,
            })
        };
        let guests = match timed(limit, start).await {
            Ok(guests) => guests,
            Err(stop) => return Err(stop.explain(store.data(), "start", limit)),
        };
        Ok(Self { store, guests, calls: 0, idle_since: Instant::now(), _slot: slot })
    }

    /// The manifest's text.
    pub(crate) async fn describe(&mut self, limit: Duration) -> Result<String, CallError> {
        self.begin("describe", limit, false);
        let answer = timed(limit, self.guests.lifecycle.call_describe(&mut self.store)).await;
        self.end(answer, "describe", limit)
    }

    /// Hands the configuration over: the first call on every instance.
    pub(crate) async fn configure(&mut self, config: &String, kinds: Option<&String>, limit: Duration) -> Result<(), CallError> {
        self.begin("configure", limit, false);
        let answer = timed(limit, self.guests.lifecycle.call_configure(&mut self.store, config, kinds)).await;
        let answer = self.end(answer, "configure", limit)?;
        let context = &self.store.data().context;
        answer.map_err(|failure| CallError::Configure {
            plugin: context.alias.to_string(),
            failure: convert::failure(failure, &*context.services),
        })
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, function: &'static str, limit: Duration, outside: bool) {
        let state = self.store.data_mut();
        state.call = Call { function, deadline: Instant::now() + limit, outside };
        state.tokens.clear();
        state.log.begin(function);
        self.calls += 1;
    }

    /// A call has ended. After an error the instance must be dropped.
    pub(crate) fn end<T>(&mut self, answer: Result<T, Stop>, function: &'static str, limit: Duration) -> Result<T, CallError> {
        let answer = answer.map_err(|stop| stop.explain(self.store.data(), function, limit));
        State::count(&mut self.store);
        self.store.data().log.end();
        answer
    }

    /// Whether the instance may serve another call.
    fn is_fit(&self) -> bool {
        let state = self.store.data();
        let mark = usize::try_from(state.context.limits.memory / 2).unwrap_or(usize::MAX);
        self.calls < MAX_CALLS && state.memory_used() <= mark && !state.memory_refused()
    }
}

/// Why a call was stopped, before it is known in whose name to say so.
pub(crate) enum Stop {
    Elapsed,
    Error(wasmtime::Error),
}

/// Runs a call for at most `limit`.
pub(crate) async fn timed<T>(limit: Duration, call: impl Future<Output = wasmtime::Result<T>>) -> Result<T, Stop> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(err)) => Err(Stop::Error(err)),
        Err(_) => Err(Stop::Elapsed),
    }
}

impl Stop {
    fn explain(self, state: &State, function: &'static str, limit: Duration) -> CallError {
        let plugin = state.context.alias.to_string();
        let error = match self {
            Self::Elapsed => return CallError::Deadline { plugin, function, limit },
            Self::Error(error) => error,
        };
        if state.memory_refused() {
            return CallError::Memory { plugin, function, limit: state.context.limits.memory };
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => return CallError::Stack { plugin, function },
            Some(Trap::MemoryOutOfBounds) if recursed(&error) => return CallError::Stack { plugin, function },
            _ => {}
        }
        let cause = error.root_cause().to_string();
        // The engine's type for this is private; its text is checked by a test with a guest that answers too much.
        if cause.contains("fuel allocated for hostcalls") {
            return CallError::TooLarge { plugin, function, limit: state.context.limits.answer };
        }
        let words = state.log.last_words();
        let cause = crate::log::clean(&cause, 512);
        let text = if words.is_empty() { cause } else { format!("{cause}; it said: {words}") };
        CallError::Trap { plugin, function, text }
    }
}

/// Whether a plugin that reached out of its memory recursed there. Compilers lay a stack of their own into a plugin's
/// memory; where that ends before the engine's, a backtrace of one or two functions that call each other is all that tells.
fn recursed(error: &wasmtime::Error) -> bool {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return false };
    let functions: BTreeSet<u32> = trace.frames().iter().map(FrameInfo::func_index).collect();
    trace.frames().len() >= DEEP && functions.len() <= 2
}

/// How many instances may be alive, over all providers; idle ones give way to those who need one.
pub(crate) struct InstanceBudget {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    providers: Mutex<Vec<Weak<ProviderInner>>>,
}

/// The right of one instance to be alive.
pub(crate) struct Slot(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl InstanceBudget {
    pub(crate) fn new(instances: u32) -> Self {
        let count = usize::try_from(instances.max(1)).unwrap_or(1);
        Self { permits: Arc::new(Semaphore::new(count)), waiting: AtomicUsize::new(0), providers: Mutex::default() }
    }

    /// Makes a provider's idle instances known, so that they can be taken from it.
    pub(crate) fn register(&self, provider: &Arc<ProviderInner>) {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        providers.retain(|it| it.strong_count() > 0);
        providers.push(Arc::downgrade(provider));
    }

    /// Waits for the right to start an instance, dropping an idle one of anybody where there are too many.
    pub(crate) async fn slot(&self) -> Slot {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Slot(Some(permit));
        }
        // Counted before looking for idle ones: whoever gives an instance back after that look sees the count and
        // drops it instead, so that this never waits for something nobody will do.
        let _waiting = Waiting::enter(&self.waiting);
        self.drop_one_idle();
        Slot(Arc::clone(&self.permits).acquire_owned().await.ok())
    }

    fn drop_one_idle(&self) {
        let providers: Vec<Arc<ProviderInner>> = {
            let providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
            providers.iter().filter_map(Weak::upgrade).collect()
        };
        let idle = providers.iter().flat_map(|it| it.idle.iter()).find_map(IdlePool::pop);
        drop(idle);
    }

    fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The warm instances of one provider in one phase.
#[derive(Default)]
pub(crate) struct IdlePool(Mutex<Vec<Instance>>);

impl IdlePool {
    /// The instance that was used last, which is the warmest.
    pub(crate) fn pop(&self) -> Option<Instance> {
        let mut stale = Vec::new();
        let found = {
            let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.first().is_some_and(|it| it.idle_since.elapsed() > MAX_IDLE) {
                stale = idle.extract_if(.., |it| it.idle_since.elapsed() > MAX_IDLE).collect();
            }
            idle.pop()
        };
        drop(stale);
        found
    }

    /// Keeps an instance after a call that went well.
    pub(crate) fn push(&self, mut instance: Instance, budget: &InstanceBudget) {
        if !instance.is_fit() || budget.is_wanted() {
            return;
        }
        instance.idle_since = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
        if budget.is_wanted() {
            drop(self.pop());
        }
    }

    /// Drops all of them.
    pub(crate) fn clear(&self) {
        let idle = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }
}
