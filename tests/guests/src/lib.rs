//! A plugin that misbehaves on demand, for the tests of the sandbox. Built for `wasm32-wasip2`; never bundled.
//!
//! Unless told otherwise it is an honest provider of kind `Thing` (a small file under `config.root`). What it is to do
//! wrong, and where, it takes from three places:
//! - [`DESCRIBE`]: 32 bytes of the component that a test overwrites, for `describe` knows no settings;
//! - `spec.render` of a document, for `render` (`loop memory trap recurse stack giant few many foreign nonsense import`);
//! - `config.mode`, for the rest: `configure-…`, `scan-…` (also in `read`) and `apply-…`, listed in [`misdeeds`].
//!
//! What an attempt came to is told in the log, one line each: `attempt <what>: <answer>`; an honest engine answers most
//! of them with an error, and the call goes on as an honest one.

#![cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "built natively only so that the whole workspace builds"))]

mod honest;
mod misdeeds;

use std::cell::RefCell;
use std::hint::black_box;

use honest::Honest;
use trueup_sdk::adapter::Adapter;
use trueup_sdk::bindings::exports::trueup::provider as exports;
use trueup_sdk::{
    CallInfo, Candidate, Change, Declared, Discovered, Failure, Health, Json, Lookup, Observation, Outcome, Remote, Rendered,
    ScopeQuery, Snapshot, Stored, Verdict,
};

/// What `describe` does: `honest` (as built), `loop`, `memory`, `trap`, `recurse`, `stack`, `giant`, `garbage`, `array`,
/// `empty`, `greedy` (asks for everything), `eager` (honest, asks for more and knows one field more), `import` (calls imports that
/// PURE calls may not). A test finds the 32 bytes that begin
/// with `@describe=` in the component and overwrites what follows, up to the next `@`.
#[used]
pub static DESCRIBE: [u8; 32] = *b"@describe=honest@@@@@@@@@@@@@@@@";

/// What the names of its files end in, behind the kind's: nothing, as built. A test overwrites what follows `@suffix=` for another
/// version of the plugin, one that looks for its things elsewhere.
#[used]
pub static SUFFIX: [u8; 16] = *b"@suffix=@@@@@@@@";

/// See [`SUFFIX`].
fn suffix() -> String {
    let marker = black_box(&SUFFIX).get(8..).unwrap_or_default();
    String::from_utf8_lossy(marker.split(|it| *it == b'@').next().unwrap_or_default()).into_owned()
}

thread_local! {
    static CONFIG: RefCell<Json> = const { RefCell::new(Json::Null) };
}

type Honesty = Adapter<Honest>;

/// The component.
struct Guest;

fn setting(name: &str) -> String {
    CONFIG.with(|it| it.borrow().get(name).and_then(Json::as_str).unwrap_or_default().to_owned())
}

fn mode() -> String {
    setting("mode")
}

/// The root and the URL.
fn settings() -> (String, String) {
    (setting("root"), setting("url"))
}

/// The honest manifest of a later version: it asks for more, and things have a note.
fn eager(honest: &str) -> String {
    let mut manifest: Json = serde_json::from_str(honest).unwrap_or_default();
    manifest["version"] = "0.2.0".into();
    manifest["hosts"] = vec!["https://*.example.com"].into();
    if let Some(fields) = manifest.pointer_mut("/kinds/Thing/schema/properties/spec/properties").and_then(Json::as_object_mut) {
        fields.insert("note".to_owned(), [("type".to_owned(), Json::from("string"))].into_iter().collect());
    }
    manifest.to_string()
}

impl exports::lifecycle::Guest for Guest {
    fn describe() -> String {
        let marker = black_box(&DESCRIBE).get(10..).unwrap_or_default();
        let mode = marker.split(|it| *it == b'@').next().unwrap_or_default();
        match std::str::from_utf8(mode).unwrap_or_default() {
            "eager" => eager(&Honesty::describe()),
            mode => misdeeds::describe(mode).unwrap_or_else(Honesty::describe),
        }
    }

    fn configure(config: String, kinds: Option<String>) -> Result<(), Failure> {
        let settings: Json = serde_json::from_str(&config).unwrap_or_default();
        CONFIG.with(|it| it.replace(settings));
        misdeeds::configure(&mode())?;
        Honesty::configure(config, kinds)
    }

    fn scan(queries: Vec<ScopeQuery>, info: CallInfo) -> Vec<Result<Snapshot, Failure>> {
        misdeeds::before_scan(&mode());
        let honest = Honesty::scan(queries.clone(), info);
        misdeeds::scan(&mode(), &queries, honest)
    }

    fn read(lookups: Vec<Lookup>, info: CallInfo) -> Vec<Observation> {
        misdeeds::before_scan(&mode());
        misdeeds::before_read(&mode());
        Honesty::read(lookups, info)
    }

    fn apply(changes: Vec<Change>, info: CallInfo) -> Vec<Outcome> {
        let mode = mode();
        misdeeds::before_apply(&mode, &changes);
        if mode.starts_with("apply-forge") {
            return misdeeds::forge(&mode, &changes);
        }
        if mode.starts_with("apply-wrong") {
            Honesty::apply(misdeeds::other_text(&changes), info);
            return misdeeds::forge(&mode, &changes);
        }
        let honest = Honesty::apply(changes.clone(), info);
        misdeeds::apply(&mode, &changes, honest)
    }
}

impl exports::rendering::Guest for Guest {
    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        let mut asked = items
            .iter()
            .filter_map(|it| serde_json::from_str::<Json>(&it.doc).ok()?.pointer("/spec/render")?.as_str().map(str::to_owned));
        let mode = asked.next_back().unwrap_or_default();
        misdeeds::render(&mode, Honesty::render(items))
    }
}

// The rest is honest.

impl exports::planning::Guest for Guest {
    fn refine(candidates: Vec<Candidate>, info: CallInfo) -> Vec<Verdict> {
        let mode = mode();
        misdeeds::refine(&mode, Honesty::refine(candidates, info))
    }
}

impl exports::operations::Guest for Guest {
    fn poll(handles: Vec<String>, info: CallInfo) -> Vec<Outcome> {
        misdeeds::poll(&mode(), &handles, || Honesty::poll(handles.clone(), info))
    }

    fn cancel(handles: Vec<String>, info: CallInfo) {
        Honesty::cancel(handles, info);
    }
}

impl exports::schemas::Guest for Guest {
    fn discover(since: Option<String>, info: CallInfo) -> Result<Discovered, Failure> {
        Honesty::discover(since, info)
    }
}

impl exports::discovery::Guest for Guest {
    fn scopes(kind: String, info: CallInfo) -> Result<Vec<String>, Failure> {
        Honesty::scopes(kind, info)
    }
}

impl exports::migration::Guest for Guest {
    fn upgrade(items: Vec<Stored>) -> Vec<Result<Stored, Failure>> {
        Honesty::upgrade(items)
    }
}

impl exports::health_checks::Guest for Guest {
    fn assess(objects: Vec<Remote>) -> Vec<Health> {
        Honesty::assess(objects)
    }
}

#[cfg(target_family = "wasm")]
trueup_sdk::bindings::export_bindings!(Guest with_types_in trueup_sdk::bindings);
