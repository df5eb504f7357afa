//! What one instance carries: WASI with nothing behind it, its limits, and the call that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trueup_core::value::Json;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
};

use crate::cache::Cache;
use crate::dns::Exchanger;
use crate::grant::Grant;
use crate::log::{LogSink, Printed};
use crate::outbound::Outbound;
use crate::records::Phase;
use crate::runtime::Limits;
use crate::services::Services;
use crate::tap::Asked;

/// Handles (streams, pollables) that a guest may hold.
const MAX_HANDLES: usize = 10_000;
/// Elements of one table, and tables, memories and core instances of one component. Interpreters need thousands of elements.
const MAX_TABLE_ELEMENTS: usize = 100_000;
const MAX_TABLES: usize = 32;
const MAX_MEMORIES: usize = 8;
const MAX_INSTANCES: usize = 64;
/// Random bytes that a guest may ask for at once.
const MAX_RANDOM: u64 = 1 << 20;

/// What the instances of one configured provider share.
pub(crate) struct Context {
    pub(crate) alias: Arc<str>,
    pub(crate) grant: Arc<Grant>,
    pub(crate) services: Arc<dyn Services>,
    pub(crate) limits: Limits,
    pub(crate) cache: Cache,
    pub(crate) outbound: Outbound,
    pub(crate) dns: Exchanger,
    /// Instructions that its instances executed, in a runtime that counts them.
    pub(crate) work: AtomicU64,
}

impl Context {
    pub(crate) fn new(alias: Arc<str>, grant: Grant, services: Arc<dyn Services>, limits: Limits) -> Self {
        let grant = Arc::new(grant);
        let outbound = Outbound::new(Arc::clone(&grant), &limits);
        let dns = Exchanger::new(Arc::clone(&grant), &limits);
        Self { alias, grant, services, cache: Cache::new(limits.cache), outbound, dns, limits, work: AtomicU64::new(0) }
    }
}

/// The data of one instance's store.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limiter: Limiter,
    pub(crate) context: Arc<Context>,
    pub(crate) phase: Phase,
    pub(crate) log: Arc<LogSink>,
    pub(crate) call: Call,
    /// Tokens of the changes that the running `apply` carries; empty in every other call.
    pub(crate) tokens: Vec<String>,
    /// Whether the runtime counts instructions.
    counted: bool,
}

/// The call that runs now.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    /// When the host stops it.
    pub(crate) deadline: Instant,
    /// False in `configure`, which must not reach for the network.
    pub(crate) outside: bool,
}

impl State {
    /// A store for one instance of `phase`.
    pub(crate) fn store(engine: &wasmtime::Engine, context: Arc<Context>, phase: Phase) -> Store<Self> {
        let log = Arc::new(LogSink::new(Arc::clone(&context.alias), Arc::clone(&context.services), &context.limits));
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let limits = &context.limits;
        let answer = usize::try_from(limits.answer).unwrap_or(usize::MAX);
        let state = Self {
            wasi: wasi(phase, &context, &log),
            table,
            limiter: Limiter { memory: usize::try_from(limits.memory).unwrap_or(usize::MAX), used: 0, refused: false },
            phase,
            log,
            call: Call { function: "start", deadline: Instant::now() + limits.call, outside: false },
            tokens: Vec::new(),
            counted: false,
            context,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(answer);
        store.set_max_component_handles(MAX_HANDLES);
        // At each tick the guest gives way, so that the timeout around its call is looked at.
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        // Refused by a runtime that does not count.
        store.data_mut().counted = store.set_fuel(u64::MAX).is_ok();
        store
    }

    /// Adds what the guest executed since the last time to its provider's account.
    pub(crate) fn count(store: &mut Store<Self>) {
        if store.data().counted
            && let Ok(left) = store.get_fuel()
        {
            store.data().context.work.fetch_add(u64::MAX - left, Ordering::Relaxed);
            store.data_mut().counted = store.set_fuel(u64::MAX).is_ok();
        }
    }

    /// Whether the guest was refused memory since the store was made.
    pub(crate) fn memory_refused(&self) -> bool {
        self.limiter.refused
    }

    /// Bytes of linear memory that the guest holds.
    pub(crate) fn memory_used(&self) -> usize {
        self.limiter.used
    }

    /// Whether imports beyond `log` and `blobs` may act at all in the running call; if not, why.
    pub(crate) fn may_reach_out(&self) -> Result<(), String> {
        match self.phase {
            Phase::Pure => Err(format!("`{}` must depend on its arguments alone", self.call.function)),
            Phase::Read | Phase::Apply if !self.call.outside => Err(format!("`{}` must not reach out", self.call.function)),
            Phase::Read | Phase::Apply => Ok(()),
        }
    }
}

impl State {
    /// WASI's source of randomness, for the interfaces that are linked one by one.
    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.wasi.random()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// No environment, no arguments, no directories, no network; what is printed becomes log lines.
fn wasi(phase: Phase, context: &Arc<Context>, log: &Arc<LogSink>) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder.stdout(Printed(Arc::clone(log))).stderr(Printed(Arc::clone(log))).max_random_size(MAX_RANDOM);
    if phase == Phase::Pure {
        let seed: Vec<u8> = (0..=255).collect();
        builder
            .wall_clock(Frozen)
            .monotonic_clock(Frozen)
            .secure_random(Deterministic::new(seed.clone()))
            .insecure_random(Deterministic::new(seed))
            .insecure_random_seed(0);
    } else if context.services.tap().is_some() {
        builder.wall_clock(TappedClock { context: Arc::clone(context), log: Arc::clone(log) });
    }
    builder.build()
}

/// The clock of PURE calls: it never moves, so that a result depends on the arguments alone.
struct Frozen;

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Frozen {
    fn resolution(&self) -> u64 {
        1
    }

    /// Not zero: the Go runtime takes a clock that has not moved since the start of the world for a broken one, and stops.
    fn now(&self) -> u64 {
        1
    }
}

/// The clock of a run that is tapped: a replay shows plugins the time of its recording.
struct TappedClock {
    context: Arc<Context>,
    log: Arc<LogSink>,
}

impl HostWallClock for TappedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let real = u64::try_from(real.as_millis()).unwrap_or(u64::MAX);
        let Some(tap) = self.context.services.tap() else { return Duration::from_millis(real) };
        let question = Json::Null;
        let (provider, function) = (&*self.context.alias, self.log.function());
        let asked = Asked { provider, function, import: "clock", question: &question, tokens: &[] };
        let told = tap.before(&asked).unwrap_or_else(|| tap.after(&asked, Json::from(real)));
        Duration::from_millis(told.as_u64().unwrap_or(real))
    }
}

/// Refuses what is above the limits, and remembers that it did: the guest then traps for a reason that can be named.
struct Limiter {
    memory: usize,
    used: usize,
    refused: bool,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // All memories of the instance together.
        let total = self.used.saturating_sub(current).saturating_add(desired);
        let allowed = total <= self.memory;
        if allowed {
            self.used = total;
        } else {
            self.refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= MAX_TABLE_ELEMENTS;
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
