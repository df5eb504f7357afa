//! What one instance carries: WASI with nothing behind it, its limits, and the call that runs.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trueup_core::value::{Digest, Json};
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
/// Random bytes of a tapped instance before they repeat.
const DRAWN: usize = 64 << 10;
/// Readings of the monotonic clock of one instance that a tap sees: runtimes read it at every turn, and a loop that waits at each.
const READINGS: u32 = 2_000;

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
        let tapped = Tapped { context: Arc::clone(context), log: Arc::clone(log) };
        if let Some(seed) = seed(&tapped, phase) {
            builder
                .insecure_random(Deterministic::new(drawn(&seed, "insecure")))
                .insecure_random_seed(u128::from_le_bytes(std::array::from_fn(|at| seed.0.get(at).copied().unwrap_or_default())));
            // What is drawn within an apply may become a password out there, and the seed lies in the recording: it is drawn
            // from the system, whatever a replay makes of it.
            if phase == Phase::Read {
                builder.secure_random(Deterministic::new(drawn(&seed, "secure")));
            }
        }
        let start = Reading { told: 1, at: Instant::now(), left: READINGS };
        builder.monotonic_clock(TappedMonotonic { tapped: tapped.clone(), last: Cell::new(start) });
        builder.wall_clock(TappedClock(tapped));
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

/// Who asks the tap for what WASI gives.
#[derive(Clone)]
struct Tapped {
    context: Arc<Context>,
    log: Arc<LogSink>,
}

impl Tapped {
    /// What the tap says; `real`, which it then sees, where it says nothing.
    fn ask(&self, import: &'static str, question: &Json, real: Json) -> Json {
        let Some(tap) = self.context.services.tap() else { return real };
        let (provider, function) = (&*self.context.alias, self.log.function());
        let asked = Asked { provider, function, import, question, tokens: &[] };
        tap.before(&asked).unwrap_or_else(|| tap.after(&asked, real))
    }
}

/// The seed of an instance's random numbers, so that a replay draws the same; none where the tap leaves them to the host.
fn seed(tapped: &Tapped, phase: Phase) -> Option<Digest> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).ok()?;
    let question = Json::from(if phase == Phase::Apply { "apply" } else { "read" });
    Digest::parse(tapped.ask("random", &question, Json::from(Digest(fresh).to_string())).as_str()?)
}

/// Random bytes that follow from a seed.
fn drawn(seed: &Digest, purpose: &str) -> Vec<u8> {
    let block = |at: usize| Digest::of(format!("{seed} {purpose} {at}").as_bytes()).0;
    (0..DRAWN / 32).flat_map(block).collect()
}

/// The clock of a run that is tapped: a replay shows plugins the time of its recording.
struct TappedClock(Tapped);

impl HostWallClock for TappedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let real = u64::try_from(real.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.0.ask("clock", &Json::Null, Json::from(real)).as_u64().unwrap_or(real))
    }
}

/// The same of the monotonic clock. It goes on from what it showed last where the tap says no more, so that it never goes back
/// and a guest that waits for it does not wait forever.
struct TappedMonotonic {
    tapped: Tapped,
    last: Cell<Reading>,
}

#[derive(Clone, Copy)]
struct Reading {
    /// Nanoseconds.
    told: u64,
    at: Instant,
    /// How many more the tap sees.
    left: u32,
}

impl HostMonotonicClock for TappedMonotonic {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let (last, at) = (self.last.get(), Instant::now());
        let passed = u64::try_from(at.duration_since(last.at).as_nanos()).unwrap_or(u64::MAX);
        let real = last.told.saturating_add(passed);
        let told = match last.left {
            0 => real,
            _ => self.tapped.ask("monotonic", &Json::Null, Json::from(real)).as_u64().unwrap_or(real).max(last.told),
        };
        self.last.set(Reading { told, at, left: last.left.saturating_sub(1) });
        told
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::tap::Tap;

    /// Answers from a list while it lasts, and notes what the host would have said.
    #[derive(Default)]
    struct Told {
        answers: Mutex<Vec<Json>>,
        seen: Mutex<Vec<(&'static str, Json)>>,
    }

    impl Services for Told {
        fn tap(&self) -> Option<&dyn Tap> {
            Some(self)
        }
    }

    impl Tap for Told {
        fn before(&self, _: &Asked<'_>) -> Option<Json> {
            self.answers.lock().unwrap().pop()
        }

        fn after(&self, asked: &Asked<'_>, answer: Json) -> Json {
            self.seen.lock().unwrap().push((asked.import, answer.clone()));
            answer
        }
    }

    fn tapped(answers: Vec<Json>) -> (Tapped, Arc<Told>) {
        let told = Arc::new(Told { answers: Mutex::new(answers.into_iter().rev().collect()), ..Told::default() });
        let services: Arc<dyn Services> = told.clone();
        let context = Arc::new(Context::new("p".into(), Grant::default(), services.clone(), Limits::default()));
        let log = Arc::new(LogSink::new("p".into(), services, &context.limits));
        (Tapped { context, log }, told)
    }

    fn clock(tapped: Tapped) -> TappedMonotonic {
        TappedMonotonic { tapped, last: Cell::new(Reading { told: 1, at: Instant::now(), left: 3 }) }
    }

    #[test]
    fn the_monotonic_clock_shows_what_the_tap_says_never_goes_back_and_goes_on_by_itself() {
        let (tapped, told) = tapped(vec![Json::from(5_000_000_000_u64), Json::from(7_u64), Json::Null]);
        let clock = clock(tapped);
        assert_eq!(clock.now(), 5_000_000_000);
        assert_eq!(clock.now(), 5_000_000_000, "it does not go back");
        let (third, fourth) = (clock.now(), clock.now());
        assert!((5_000_000_000..6_000_000_000).contains(&third) && third <= fourth, "{third} {fourth}");
        assert!(told.seen.lock().unwrap().is_empty());
    }

    #[test]
    fn a_tap_sees_the_first_readings_of_the_clock_and_no_endless_number() {
        let (tapped, told) = tapped(Vec::new());
        let clock = clock(tapped);
        let shown: Vec<Json> = (0..5).map(|_| Json::from(clock.now())).collect();
        let seen = told.seen.lock().unwrap();
        assert_eq!(seen.iter().map(|it| it.1.clone()).collect::<Vec<_>>(), shown[..3]);
        assert!(seen.iter().all(|it| it.0 == "monotonic"));
    }

    #[test]
    fn random_numbers_follow_from_the_seed_that_the_tap_saw_or_gave() {
        let (first, told) = tapped(Vec::new());
        let drew = seed(&first, Phase::Read).unwrap();
        assert_eq!(*told.seen.lock().unwrap(), [("random", Json::from(drew.to_string()))]);
        let (again, _) = tapped(vec![Json::from(drew.to_string())]);
        assert_eq!(seed(&again, Phase::Read), Some(drew));
        assert_eq!(drawn(&drew, "secure"), drawn(&drew, "secure"));
        assert_ne!(drawn(&drew, "secure"), drawn(&drew, "insecure"));
        let (older, _) = tapped(vec![Json::Null]);
        assert_eq!(seed(&older, Phase::Read), None);
    }
}
