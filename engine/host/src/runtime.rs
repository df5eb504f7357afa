//! The engine that compiles and runs plugins, with the limits that hold for all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::random::WasiRandom;

use crate::bindings::ProviderFull;
use crate::error::LoadError;
use crate::pool::InstanceBudget;
use crate::sealed::Sealed;
use crate::state::State;

/// How often running plugins are interrupted to let their deadline be looked at.
const TICK: Duration = Duration::from_millis(10);

/// What a plugin may use. The operator sets these, never a repository.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of linear memory of one instance.
    pub memory: u64,
    /// Time of one call, network included.
    pub call: Duration,
    /// Bytes that a call may hand to the host at once, its answer included.
    pub answer: u64,
    /// Bytes of the body of one HTTP response, decompressed.
    pub http_body: u64,
    /// Bytes of all answers to one DNS query.
    pub dns_answers: u64,
    /// HTTP requests of one provider at a time, and DNS queries.
    pub http_parallel: u32,
    /// Lines that one call may log.
    pub log_lines: u32,
    /// Bytes of one log line.
    pub log_bytes: usize,
    /// Instances alive at a time, over all providers.
    pub instances: u32,
    /// Bytes of a component that is still compiled.
    pub component: u64,
    /// Bytes of one document in an answer.
    pub document: usize,
    /// Entries that one `list-all` may return.
    pub entries: usize,
    /// Bytes of one provider's `cache`.
    pub cache: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            call: Duration::from_secs(30),
            answer: 64 << 20,
            http_body: 64 << 20,
            dns_answers: 64 << 20,
            http_parallel: 64,
            log_lines: 1000,
            log_bytes: 8 << 10,
            instances: 64,
            component: 64 << 20,
            document: 4 << 20,
            entries: 1_000_000,
            cache: 64 << 20,
        }
    }
}

/// How to start a [`Runtime`].
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Folder for compiled plugins; made with mode 0700 where it is missing. It must belong to the current user.
    pub cache_dir: PathBuf,
    pub limits: Limits,
}

/// Compiles and runs plugins. Cheap to clone; one per process is enough.
#[derive(Clone)]
pub struct Runtime(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) sealed: Sealed,
    pub(crate) limits: Limits,
    pub(crate) budget: InstanceBudget,
    /// Part of the name of compiled plugins: another version or setting of the compiler makes another file.
    pub(crate) compatibility: String,
}

impl Runtime {
    /// Starts the engine and its ticker thread, which ends when the last clone of the runtime is gone.
    ///
    /// # Errors
    ///
    /// Fails with [`LoadError::Host`] where the cache folder is not safe to use or the engine cannot start.
    pub fn new(options: RuntimeOptions) -> Result<Self, LoadError> {
        Self::start(options, false)
    }

    /// As [`Runtime::new`], and counts what plugins execute, for [`Provider::work`](crate::Provider::work). Their code is other
    /// code then, slower, and compiled anew.
    ///
    /// # Errors
    ///
    /// As [`Runtime::new`].
    pub fn counting(options: RuntimeOptions) -> Result<Self, LoadError> {
        Self::start(options, true)
    }

    fn start(options: RuntimeOptions, counting: bool) -> Result<Self, LoadError> {
        let told = |err: wasmtime::Error| LoadError::Host(format!("the plugin engine cannot start: {err:#}"));
        let engine = engine(counting).map_err(told)?;
        let linker = linker(&engine).map_err(told)?;
        let sealed = Sealed::open(&options.cache_dir).map_err(LoadError::Host)?;
        // Installed once per process; another part of it may have been first with the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let compatibility = compatibility(&engine);
        let budget = InstanceBudget::new(options.limits.instances);
        Ok(Self(Arc::new(Inner { engine, linker, sealed, limits: options.limits, budget, compatibility })))
    }

    /// The limits that hold for every plugin.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

fn engine(counting: bool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        // Guests are synchronous (design §5); without this switch every call costs four times as much.
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(counting)
        .memory_init_cow(true)
        .max_wasm_stack(1 << 20)
        .async_stack_size(2 << 20);
    let engine = Engine::new(&config)?;
    let weak = engine.weak();
    std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(engine)
}

fn compatibility(engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Everything a plugin may import: the contract, and the parts of WASI that language runtimes need, with nothing behind
/// them. Sockets are not among them, so that a plugin that wants them is refused at load.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let it = &mut linker;
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(it)?;
    wasi::random::insecure::add_to_linker::<State, WasiRandom>(it, State::random)?;
    wasi::random::insecure_seed::add_to_linker::<State, WasiRandom>(it, State::random)?;
    wasi::filesystem::types::add_to_linker::<State, WasiFilesystem>(it, State::filesystem)?;
    wasi::filesystem::preopens::add_to_linker::<State, WasiFilesystem>(it, State::filesystem)?;
    wasi::cli::exit::add_to_linker::<State, WasiCli>(it, State::cli)?;
    wasi::cli::environment::add_to_linker::<State, WasiCli>(it, State::cli)?;
    wasi::cli::terminal_input::add_to_linker::<State, WasiCli>(it, State::cli)?;
    wasi::cli::terminal_output::add_to_linker::<State, WasiCli>(it, State::cli)?;
    wasi::cli::terminal_stdin::add_to_linker::<State, WasiCli>(it, State::cli)?;
    wasi::cli::terminal_stdout::add_to_linker::<State, WasiCli>(it, State::cli)?;
    wasi::cli::terminal_stderr::add_to_linker::<State, WasiCli>(it, State::cli)?;
    ProviderFull::add_to_linker::<_, HasSelf<State>>(it, |state| state)?;
    Ok(linker)
}
