//! Real plugins in the sandbox: the file provider, and one that misbehaves on demand (`tests/guests`).
//!
//! The plugins are built by the first test; `TRUEUP_GUESTS` names a folder that has them already.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use trueup_core::address::Address;
use trueup_core::value::{Digest, Json, json};
use trueup_host::{
    CallError, CallInfo, Change, Coverage, Declared, Denial, DirGrant, Fault, Grant, IntentAction, Limits, LoadError, LogRecord,
    Plugin, Provider, ProviderSettings, Runtime, RuntimeOptions, ScopeQuery, Secret, SecretError, Services, Settlement,
};

/// The components' folder.
fn guests() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("TRUEUP_GUESTS") {
            return folder.into();
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let packages = ["-p", "trueup-plugin-file", "-p", "trueup-guest-hostile"];
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .args(packages)
            .env_remove("CARGO_BUILD_TARGET")
            .status()
            .unwrap();
        assert!(built.success(), "the guests cannot be built; is the target there? `rustup target add wasm32-wasip2`");
        target.join("wasm32-wasip2/release")
    })
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(guests().join(name)).unwrap()
}

fn file() -> Vec<u8> {
    bytes("trueup_plugin_file.wasm")
}

/// The hostile guest, with what `describe` is to do written into it.
fn hostile(describe: &str) -> Vec<u8> {
    let mut wasm = bytes("trueup_guest_hostile.wasm");
    let marker = b"@describe=";
    let at = wasm.windows(marker.len()).position(|it| it == marker).unwrap() + marker.len();
    let place = &mut wasm[at..at + 22];
    place.fill(b'@');
    place[..describe.len()].copy_from_slice(describe.as_bytes());
    wasm
}

/// What the plugin said and was refused.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    denials: Mutex<Vec<String>>,
}

impl Services for Told {
    fn reveal(&self, handle: &str) -> Result<Secret, SecretError> {
        if handle == "handle" { Ok(Secret::from("canary")) } else { Err(SecretError::Denied) }
    }

    fn mask(&self, text: &str) -> String {
        text.replace("canary", "(secret)")
    }

    fn log(&self, record: LogRecord) {
        self.lines.lock().unwrap().push(format!("{} {:?}", record.message, record.fields));
    }

    fn denied(&self, denial: Denial) {
        self.denials.lock().unwrap().push(format!("{} {}: {}", denial.function, denial.import, denial.text));
    }
}

struct World {
    dir: tempfile::TempDir,
    runtime: Runtime,
    told: Arc<Told>,
}

fn limits() -> Limits {
    Limits { memory: 64 << 20, call: Duration::from_secs(5), answer: 16 << 20, ..Limits::default() }
}

fn world(limits: Limits) -> World {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("site")).unwrap();
    let runtime = Runtime::new(RuntimeOptions { cache_dir: cache(), limits }).unwrap();
    World { dir, runtime, told: Arc::default() }
}

/// Shared by the tests, so that each component is compiled once.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache")
}

impl World {
    fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    fn provider(&self, plugin: &Plugin, config: Json) -> Provider {
        let dirs = vec![DirGrant { text: "./site".to_owned(), path: self.site() }];
        plugin.provider(ProviderSettings {
            alias: "site".into(),
            config,
            grant: Grant { dirs, secrets: ["db".to_owned()].into(), ..Grant::default() },
            services: self.told.clone(),
            parallel: 4,
        })
    }

    /// The hostile guest in a mode.
    async fn hostile(&self, mode: &str) -> Provider {
        let plugin = self.runtime.load(&hostile("honest")).await.unwrap();
        self.provider(&plugin, json!({"root": "./site", "mode": mode}))
    }

    fn said(&self, words: &str) -> bool {
        self.told.lines.lock().unwrap().iter().any(|it| it.contains(words))
    }
}

fn things() -> Vec<ScopeQuery> {
    vec![ScopeQuery::new("Thing".into(), "".into())]
}

fn create(key: &str, doc: Json) -> Change {
    Change {
        action: IntentAction::Create,
        address: Address::new("site", "Thing", "", key),
        token: "00112233".to_owned(),
        attempt: 0,
        unsettled: false,
        mark: String::new(),
        desired: Some(Arc::new(doc)),
        prior: None,
        edits: Vec::new(),
        ext: Vec::new(),
    }
}

fn info() -> CallInfo {
    CallInfo::default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_compiled_and_described_once_and_its_bytes_are_not_read_again() {
    let cache = tempfile::tempdir().unwrap();
    let options = || RuntimeOptions { cache_dir: cache.path().to_owned(), limits: Limits::default() };
    let wasm = file();
    let first = Runtime::new(options()).unwrap().load(&wasm).await.unwrap();
    assert_eq!((first.manifest().name.as_str(), first.size()), ("file", wasm.len() as u64));
    let never = || -> std::io::Result<Vec<u8>> { panic!("the bytes are asked for") };
    let again = Runtime::new(options()).unwrap().load_by_digest(first.digest(), never).await.unwrap();
    assert_eq!((again.manifest_text(), again.size(), again.exports()), (first.manifest_text(), first.size(), first.exports()));
    // An altered entry is made again, not believed.
    for entry in std::fs::read_dir(cache.path()).unwrap().map(|it| it.unwrap().path()) {
        if entry.extension().is_some_and(|it| it == "cwasm") {
            let mut code = std::fs::read(&entry).unwrap();
            *code.last_mut().unwrap() ^= 1;
            std::fs::write(&entry, code).unwrap();
        }
    }
    let asked = std::cell::Cell::new(false);
    let bytes = || {
        asked.set(true);
        Ok(wasm.clone())
    };
    Runtime::new(options()).unwrap().load_by_digest(first.digest(), bytes).await.unwrap();
    assert!(asked.get());
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_by_name() {
    let world = world(Limits { component: 1 << 20, ..limits() });
    let load = |wasm: Vec<u8>| {
        let runtime = world.runtime.clone();
        async move { runtime.load(&wasm).await.unwrap_err() }
    };
    assert!(matches!(load(b"hello".to_vec()).await, LoadError::Invalid(_)));
    let core = load(b"\0asm\x01\0\0\0".to_vec()).await.to_string();
    assert!(core.contains("core module"), "{core}");
    assert!(matches!(load(b"\0asm\x0d\0\x01\0".to_vec()).await, LoadError::Export(_)));
    assert!(matches!(load(b"\0asm\x0d\0\x01\0\xff\xff".to_vec()).await, LoadError::Invalid(_)));
    assert!(matches!(load(vec![0; (1 << 20) + 1]).await, LoadError::TooLarge { .. }));
    let other = world.runtime.load_by_digest(&Digest::of(b"other"), || Ok(b"\0asm\x0d\0\x01\0".to_vec())).await;
    assert!(matches!(other, Err(LoadError::Digest { .. })));
    // A component that imports an instance that exports a resource, so that an empty one does not satisfy it.
    let name = b"wasi:sockets/tcp@0.2.0";
    let types = [7, 9, 1, 0x42, 1, 4, 0, 1, b'a', 3, 1];
    let import = [10, name.len() as u8 + 5, 1, 0, name.len() as u8];
    let wasm = [&b"\0asm\x0d\0\x01\0"[..], &types, &import, name, &[5, 0]].concat();
    match load(wasm).await {
        LoadError::Import(import) => assert_eq!(import, "wasi:sockets/tcp@0.2.0"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_cannot_describe_itself_is_refused_within_the_limits() {
    let world = world(limits());
    let cases = [
        ("loop", "deadline"),
        ("memory", "memory"),
        ("trap", "trap"),
        ("recurse", "stack"),
        ("stack", "stack"),
        ("giant", "memory"),
    ];
    for (mode, code) in cases {
        match world.runtime.load(&hostile(mode)).await.unwrap_err() {
            LoadError::Describe(err) => assert_eq!(err.code(), code, "{mode}: {err}"),
            other => panic!("{mode}: {other}"),
        }
    }
    for (mode, words) in
        [("garbage", ""), ("array", ""), ("empty", ""), ("greedy", "`parallel` must be a whole number from 1 to 64")]
    {
        match world.runtime.load(&hostile(mode)).await.unwrap_err() {
            LoadError::Manifest(text) => assert!(text.to_string().contains(words), "{mode}: {text}"),
            other => panic!("{mode}: {other}"),
        }
    }
    assert!(world.runtime.load(&hostile("import")).await.is_ok(), "imports answer `denied`, and describe goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_breaks_out_loses_its_instance_and_nobody_else_notices() {
    let world = world(limits());
    let good = world.hostile("").await;
    std::fs::write(world.site().join("a.thing"), "x").unwrap();
    let cases = [
        ("scan-loop", "deadline"),
        ("scan-memory", "memory"),
        ("scan-trap", "trap"),
        // The stack that the guest's compiler laid into its own memory ends first; then the engine's.
        ("scan-recurse", "stack"),
        ("scan-stack", "stack"),
        ("scan-giant", "too-large"),
    ];
    for (mode, code) in cases {
        let bad = world.hostile(mode).await;
        let begin = Instant::now();
        let (broken, fine) = (info(), info());
        let (broken, fine) = tokio::join!(bad.scan(&broken, things()), good.scan(&fine, things()));
        assert_eq!(broken.unwrap_err().code(), code, "{mode}");
        assert_eq!(fine.unwrap()[0].as_ref().unwrap().objects.len(), 1, "{mode}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{mode}: {:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_keeps_to_its_own_budget() {
    let world = world(limits());
    let bad = world.hostile("scan-loop").await;
    let begin = Instant::now();
    let err = bad.scan(&CallInfo { budget_ms: 200, ..info() }, things()).await.unwrap_err();
    assert!(matches!(err, CallError::Deadline { .. }) && begin.elapsed() < Duration::from_secs(2), "{err} {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_were_not_asked_for_are_not_believed() {
    let world = world(limits());
    for mode in ["scan-few", "scan-many"] {
        let err = world.hostile(mode).await.scan(&info(), things()).await.unwrap_err();
        assert_eq!(err.code(), "contract", "{mode}: {err}");
    }
    std::fs::write(world.site().join("a.thing"), "x").unwrap();
    for mode in ["scan-nonsense", "scan-deep", "scan-foreign", "scan-double", "scan-nul", "scan-count"] {
        let provider = world.hostile(mode).await;
        let query = ScopeQuery { limit: 1000, ..things().remove(0) };
        // The count is above what an answer may hold; the host may say either.
        match provider.scan(&info(), vec![query]).await {
            Ok(answer) => {
                let failure = answer.into_iter().next().unwrap().unwrap_err();
                assert!(failure.summary().contains("broke the contract"), "{mode}: {failure}");
            }
            Err(err) => assert!(mode == "scan-count" && matches!(err.code(), "too-large" | "memory"), "{mode}: {err}"),
        }
    }
    let render = |mode: &str| Declared {
        address: Address::new("site", "Thing", "", "a"),
        doc: Arc::new(json!({"spec": {"text": "x", "render": mode}})),
    };
    let provider = world.hostile("").await;
    for mode in ["few", "many", "foreign", "nonsense"] {
        let err = provider.render(&info(), vec![render(mode)]).await.unwrap_err();
        assert!(err.code() == "contract" && err.fault() == Fault::Contract, "{mode}: {err}");
    }
    provider.render(&info(), vec![render("import")]).await.unwrap();
    assert!(world.told.denials.lock().unwrap().iter().filter(|it| it.starts_with("render")).count() >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_changed_outside_apply_nor_outside_the_directory() {
    let world = world(limits());
    std::fs::create_dir(world.dir.path().join("outside")).unwrap();
    std::fs::write(world.dir.path().join("outside/secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../outside", world.site().join("link")).unwrap();
    for mode in ["scan-write", "scan-outside", "scan-hosts", "scan-reveal", "scan-cache"] {
        world.hostile(mode).await.scan(&info(), things()).await.unwrap();
    }
    let refused = world.told.denials.lock().unwrap().join("\n");
    assert!(
        refused.contains("files are changed within `apply` only") && refused.contains("secrets are opened within"),
        "{refused}"
    );
    assert!(!world.said("attempt read ./site/link/secret: [Ok") && world.said("attempt read ./site/link/secret: [Err"));
    let applied = world.hostile("apply-outside").await.apply(&info(), vec![create("a", json!({"spec": {"text": "x"}}))]).await;
    assert_eq!(applied.unwrap()[0].settlement, Settlement::Settled);
    let mut names: Vec<_> = std::fs::read_dir(world.site()).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.thing", "link"]);
    let mut beside: Vec<_> = std::fs::read_dir(world.dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    beside.sort();
    assert_eq!(beside, ["outside", "site"]);
    assert_eq!(std::fs::read_dir(world.dir.path().join("outside")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_outcome_is_unsettled_and_a_lost_one_an_error() {
    let world = world(limits());
    let change = || vec![create("a", json!({"spec": {"text": "x"}}))];
    for mode in ["apply-forge-other", "apply-nonsense", "apply-pending"] {
        let outcome = world.hostile(mode).await.apply(&info(), change()).await.unwrap().remove(0);
        let broken = matches!(&outcome.settlement, Settlement::Unsettled(failure) if failure.fault == Fault::Contract);
        assert!(broken && outcome.object.is_none(), "{mode}: {outcome:?}");
    }
    for (mode, code) in
        [("apply-few", "contract"), ("apply-many", "contract"), ("apply-late-trap", "trap"), ("apply-loop", "deadline")]
    {
        let err = world.hostile(mode).await.apply(&info(), change()).await.unwrap_err();
        let fault = if code == "contract" { Fault::Contract } else { Fault::Crash };
        assert!(err.code() == code && err.fault() == fault && !err.never_began(), "{mode}: {err}");
    }
    for (mode, code) in [("configure-loop", "deadline"), ("configure-trap", "trap"), ("configure-fail", "configure")] {
        let err = world.hostile(mode).await.apply(&info(), change()).await.unwrap_err();
        assert!(err.code() == code && err.never_began(), "{mode}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_opened_in_apply_by_its_handle_and_masked_wherever_it_comes_out() {
    let world = world(limits());
    let doc = json!({"spec": {"text": "x", "secret": {"$secret": "handle"}}});
    let outcome = world.hostile("apply-secret").await.apply(&info(), vec![create("a", doc)]).await.unwrap().remove(0);
    let lines = world.told.lines.lock().unwrap().join("\n");
    assert!(lines.contains("(secret)") && !lines.contains("canary"), "{lines}");
    let shown = format!("{:?} {:?}", outcome.findings, outcome.object.map(|it| it.health));
    assert!(shown.contains("(secret)") && !shown.contains("canary"), "{shown}");
    world.hostile("apply-steal").await.apply(&info(), vec![create("b", json!({"spec": {"text": "x"}}))]).await.unwrap();
    assert!(world.told.denials.lock().unwrap().iter().any(|it| it.contains("a secret that it was not granted")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_provider_converges_and_is_observed_again() {
    let world = world(Limits::default());
    let plugin = world.runtime.load(&file()).await.unwrap();
    let provider = world.provider(&plugin, json!({"root": "./site"}));
    let declared = Declared {
        address: Address::new("site", "File", "", "motd"),
        doc: Arc::new(json!({"spec": {"path": "etc/motd", "content": "hello\n"}})),
    };
    let rendered = provider.render(&info(), vec![declared]).await.unwrap().remove(0);
    let object = rendered.objects.into_iter().next().unwrap_or_else(|| panic!("{:?}", rendered.findings));
    let change = Change { address: object.address.clone(), desired: Some(object.doc.clone()), ..create("", json!({})) };
    let outcome = provider.apply(&info(), vec![change]).await.unwrap().remove(0);
    assert_eq!(outcome.settlement, Settlement::Settled, "{outcome:?}");
    assert_eq!(std::fs::read(world.site().join("etc/motd")).unwrap(), b"hello\n");
    let scope = object.address.scope;
    // A file as young as the clock is coarse is read again, so that no edit within one tick is missed: a minute later it
    // is old.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap() + Duration::from_secs(60);
    let info = || CallInfo { now_ms: u64::try_from(now.as_millis()).unwrap(), ..info() };
    let query = ScopeQuery::new(scope.kind, scope.scope);
    let snapshot = provider.scan(&info(), vec![query.clone()]).await.unwrap().remove(0).unwrap();
    assert_eq!((snapshot.coverage, snapshot.objects.len()), (Coverage::Whole, 1));
    assert_eq!(snapshot.objects[0].address.key, object.address.key);
    let since = ScopeQuery { since: snapshot.version, ..query };
    let again = provider.scan(&info(), vec![since]).await.unwrap().remove(0).unwrap();
    assert_eq!(again.coverage, Coverage::Unchanged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_providers_than_instances_take_turns_and_none_waits_for_ever() {
    let world = world(Limits { instances: 3, ..Limits::default() });
    let plugin = world.runtime.load(&file()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let provider = world.provider(&plugin, json!({"root": "./site"}));
        tasks.spawn(async move { provider.scan(&CallInfo::default(), vec![ScopeQuery::new("File".into(), "".into())]).await });
    }
    let all = async {
        while let Some(answer) = tasks.join_next().await {
            answer.unwrap().unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
}
