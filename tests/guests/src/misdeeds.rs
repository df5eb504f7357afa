//! What the guest does wrong, by mode.
//!
//! | mode | misdeed |
//! |---|---|
//! | `configure-loop`, `-trap`, `-fail` | on the first call of every instance |
//! | `scan-loop`, `-memory`, `-trap` | never ends; eats memory; crashes |
//! | `scan-recurse`, `-stack` | overflows the stack in its own memory; overflows the engine's |
//! | `read-trap` | crashes when asked for single objects |
//! | `scan-giant` | answers 1 GiB out of 1 MiB of memory |
//! | `scan-count` | 200,000 objects where `limit` allows fewer |
//! | `scan-few`, `-many` | no result; a result too many |
//! | `scan-nonsense`, `-deep` | documents that are no JSON; that are nested 100,000 deep |
//! | `scan-foreign` | objects of another kind and another scope |
//! | `scan-double` | every object twice |
//! | `scan-nul` | keys with NUL, control characters and `../` |
//! | `scan-empty` | a whole scope with nothing in it |
//! | `scan-pages` | another page, for ever |
//! | `scan-write` | changes a file, and sends POST, PUT, DELETE and a disguised POST to `config.url` |
//! | `scan-outside` | lists and reads above, beside and through a link in its directory |
//! | `scan-hosts` | asks hosts that nobody granted |
//! | `scan-slow` | (no misdeed) asks `config.url` for something, and waits for it |
//! | `scan-cluster`, `apply-cluster` | (no misdeed) asks its credential's server for the path `config.url`; makes a ConfigMap there |
//! | `scan-dns`, `apply-dns` | UPDATE and NOTIFY to the granted server `config.url`, to another one, and with keys of its own |
//! | `scan-smuggle` | headers, methods and addresses that would make another request |
//! | `scan-reveal` | opens a secret outside `apply` |
//! | `scan-log` | floods the log; `scan-forge-log` writes line breaks and escape sequences into it |
//! | `scan-cache` | floods the cache |
//! | `refine-trap`, `-few`, `-foreign` | crashes; no verdict; a verdict on an edit that is not there |
//! | `apply-loop`, `-memory`, `-trap`, `-recurse`, `-stack` | before any change |
//! | `apply-late-trap` | after the change was made |
//! | `apply-forge` | claims to have settled what it did not do |
//! | `apply-forge-blind` | as `apply-forge`, and crashes when asked to show it |
//! | `apply-forge-other` | claims another object's change |
//! | `apply-wrong`, `-replace` | makes something else and claims what was asked for; asks for a replacement first |
//! | `apply-few`, `-many`, `-nonsense`, `-pending` | answers of the wrong number and form |
//! | `apply-later` | (no misdeed) makes its changes, calls them pending, and settles them when they are polled a second time |
//! | `apply-ext` | (no misdeed) tells what each change came with beside its document |
//! | `apply-outside` | writes above, beside and through a link in its directory, and with another token |
//! | `apply-secret` | opens its secret and tells it in the log, the document, the outputs and a message |
//! | `apply-peek` | looks for a canary in all of its memory: in `scan`, and in `apply` before and after it opened its secret |
//! | `apply-steal` | opens secrets that it was not granted |

use std::hint::black_box;

use trueup_sdk::host::dns;
use trueup_sdk::host::files::{self, Expectation, FileChange, Operation, Payload, ReadRequest, Write};
use trueup_sdk::host::http::{self, Request};
use trueup_sdk::host::log::{self, Level};
use trueup_sdk::host::{cache, secrets};
use trueup_sdk::{
    Change, Error, Failure, Json, Outcome, Pending, Rendered, Replacement, ScopeQuery, Settlement, Severity, Snapshot, Verdict,
    json,
};

use crate::honest::thing;

/// Tells the test what came of an attempt.
fn told(what: &str, answer: &impl std::fmt::Debug) {
    log::write(Level::Info, &format!("attempt {what}: {answer:?}"), &[]);
}

/// The beginning of a canary's value, disguised, so that the guest itself holds none.
const CANARY: [u8; 7] = [b'c' ^ 0x5a, b'4' ^ 0x5a, b'n' ^ 0x5a, b'a' ^ 0x5a, b'r' ^ 0x5a, b'y' ^ 0x5a, b'-' ^ 0x5a];

/// How often the canary stands in the guest's linear memory, from end to end.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "all of the memory is looked at, not what the language knows of")]
fn peek() -> usize {
    let end = core::arch::wasm32::memory_size(0) << 16;
    // SAFETY: every byte below the memory's size can be read, and nothing else runs that could change it.
    let byte = |at: usize| unsafe { std::ptr::read_volatile(at as *const u8) } ^ 0x5a;
    let holds = |at: &usize| CANARY.iter().enumerate().all(|(offset, it)| byte(at + offset) == *it);
    (1..end - CANARY.len()).filter(holds).count()
}

/// Built natively it is never run.
#[cfg(not(target_family = "wasm"))]
fn peek() -> usize {
    CANARY.len()
}

// The five that any function can do.

fn endless() {
    let mut turns = 0_u64;
    while black_box(true) {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn eat() {
    let mut all = Vec::new();
    while black_box(true) {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(false) {
        return depth;
    }
    recurse(depth + 1).wrapping_add(frame.iter().copied().sum())
}

/// As [`recurse`], with so little of its own memory in each turn that the engine's stack ends first.
fn deeper(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return depth;
    }
    // Looked at, so that no compiler makes a loop of it.
    black_box(deeper(depth + 1)).wrapping_add(1)
}

/// Does one of them, if `mode` ends with its name.
fn violence(mode: &str) {
    match mode {
        "loop" => endless(),
        "memory" => eat(),
        "trap" => std::process::abort(),
        "recurse" => {
            black_box(recurse(0));
        }
        "stack" => {
            black_box(deeper(0));
        }
        _ => {}
    }
}

/// 1 GiB of text that lies in 1 MiB of memory: each of the texts is the same bytes. The engine sees them one by one.
#[allow(unsafe_code, reason = "an honest program cannot answer more than it has")]
fn giant() -> Vec<String> {
    let mut text = std::mem::ManuallyDrop::new("x".repeat(1 << 20));
    let (begin, len) = (text.as_mut_ptr(), text.len());
    // SAFETY: none. Whoever frees these frees the same memory 1,024 times; the engine must have refused them before.
    (0..1024).map(|_| unsafe { String::from_raw_parts(begin, len, len) }).collect()
}

/// `describe`; none: honest.
pub fn describe(mode: &str) -> Option<String> {
    violence(mode);
    match mode {
        "giant" => Some("[".repeat(200 << 20)),
        "garbage" => Some("{\"format\": 1, \"name\": ".to_owned()),
        "array" => Some("[1, 2, 3]".to_owned()),
        "empty" => Some(String::new()),
        "greedy" => Some(
            json!({
                "format": 1, "name": "hostile", "version": "0.1.0", "hosts": ["https://*.example.com", "http://169.254.169.254"],
                "dirs": true, "dns": true, "secrets": true, "parallel": 1_000_000, "reads": ["DELETE /"], "kinds": {}
            })
            .to_string(),
        ),
        "import" => {
            told("cache in describe", &cache::get("x"));
            told("list in describe", &files::list_all(&["/".to_owned()]));
            told("reveal in describe", &secrets::reveal("x"));
            told("send in describe", &http::send(&request("GET", "https://example.com/")));
            None
        }
        _ => None,
    }
}

/// `configure`.
///
/// # Errors
/// For `configure-fail`.
pub fn configure(mode: &str) -> Result<(), Failure> {
    violence(mode.strip_prefix("configure-").unwrap_or_default());
    if mode == "configure-fail" { Err(Error::invalid("guest.settings", "these settings are never right").into()) } else { Ok(()) }
}

/// `render`, with the honest answer.
pub fn render(mode: &str, mut honest: Vec<Rendered>) -> Vec<Rendered> {
    violence(mode);
    match mode {
        "giant" => {
            let object = honest.iter().find_map(|it| it.objects.first()).cloned();
            if let (Some(object), Some(first)) = (object, honest.first_mut()) {
                first.objects.extend(giant().into_iter().map(|doc| trueup_sdk::Desired { doc, ..object.clone() }));
            }
        }
        "few" => honest.clear(),
        "many" => honest.extend(honest.clone()),
        "foreign" => honest.iter_mut().flat_map(|it| &mut it.objects).for_each(|it| it.address.kind = "Other".to_owned()),
        "nonsense" => honest.iter_mut().flat_map(|it| &mut it.objects).for_each(|it| it.doc = "{\"spec\": ".to_owned()),
        "import" => {
            told("cache in render", &cache::get("x"));
            told("list in render", &files::list_all(&["/".to_owned()]));
            told("reveal in render", &secrets::reveal("x"));
            told("send in render", &http::send(&request("GET", "https://example.com/")));
        }
        _ => {}
    }
    honest
}

fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: (method != "GET").then(|| b"{}".to_vec()),
        credential: None,
        timeout: Some(2000),
        until: None,
        ext: Vec::new(),
    }
}

/// Asks the server of the credential in its slot, and tells how the answer begins.
fn cluster(method: &str, path: &str, body: Option<Vec<u8>>) {
    let asked =
        Request { credential: Some("token".to_owned()), timeout: Some(20_000), ..request(method, &format!("slot:token{path}")) };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let answer = http::send(&Request { headers, body, ..asked });
    let begin = |it: http::Response| (it.status, String::from_utf8_lossy(&it.body).chars().take(300).collect::<String>());
    told(&format!("cluster {method}"), &answer.map(begin));
}

/// What is tried before an honest scan, within the root and at the service that the settings name.
pub fn before_scan(mode: &str) {
    violence(mode.strip_prefix("scan-").unwrap_or_default());
    let (root, url) = crate::settings();
    match mode {
        "scan-write" => {
            write(&format!("{root}/written-in-plan"), "token");
            for method in ["POST", "PUT", "PATCH", "DELETE", "post", "PURGE"] {
                told(method, &http::send(&request(method, &url)));
            }
            let mut disguised = request("GET", &url);
            disguised.headers.push(("x-http-method-override".to_owned(), "DELETE".to_owned()));
            disguised.body = Some(b"{}".to_vec());
            told("disguised", &http::send(&disguised));
        }
        "scan-outside" => outside(&root, |path| {
            told(&format!("list {path}"), &files::list_all(&[path.to_owned()]));
            told(&format!("read {path}"), &files::read_all(&[ReadRequest { path: path.to_owned(), max_bytes: 4096 }]));
        }),
        "scan-hosts" => {
            let userinfo = url.replacen("://", "://user:password@", 1);
            for url in [
                "https://ungranted.example/",
                "http://169.254.169.254/latest/meta-data/",
                "http://[::1]:1/",
                "file:///etc/passwd",
                "slot:none/",
                &userinfo,
            ] {
                told(url, &http::send(&request("GET", url)));
            }
        }
        "scan-smuggle" => smuggle(&url),
        "scan-slow" => told("slow", &http::send(&Request { timeout: Some(20_000), ..request("GET", &url) })),
        "scan-cluster" => cluster("GET", &url, None),
        "apply-peek" => told("peek in scan", &peek()),
        "scan-dns" => zone_changes(&url),
        "scan-reveal" => told("reveal", &secrets::reveal("db-password")),
        "scan-log" => {
            let line = "x".repeat(64 * 1024);
            (0..10_000).for_each(|_| log::write(Level::Error, &line, &[]));
        }
        "scan-forge-log" => {
            log::write(
                Level::Info,
                "first\nsecond\r\nERROR forged\x1b[2J\u{202e}",
                &[("a\nb".to_owned(), "c\x1b]0;d".to_owned())],
            );
        }
        "scan-cache" => {
            let value = vec![1_u8; 1 << 20];
            (0..4096).for_each(|it| cache::put(&format!("flood-{it}"), &value, 3_600_000));
            cache::put(&"k".repeat(1 << 20), b"x", u64::MAX);
        }
        _ => {}
    }
}

/// What is done before an honest look at single objects.
pub fn before_read(mode: &str) {
    violence(if mode == "apply-forge-blind" { "trap" } else { mode.strip_prefix("read-").unwrap_or_default() });
}

/// Paths that lead out of the root, each passed to `attempt`. A test puts a link named `link` into the root.
fn outside(root: &str, attempt: impl Fn(&str)) {
    let above = ["/..", "/../..", "/../outside", "/a/../../outside", "/link", "/link/secret", "/.", "//etc", "/nul\0name", ""];
    above.iter().for_each(|it| attempt(&format!("{root}{it}")));
    ["/", "/etc/passwd", "..", ".", "", "etc", "./", "-", "~"].iter().for_each(|it| attempt(it));
    attempt(&format!("{root}{}", "/x".repeat(10_000)));
}

/// A message about `example.com` with an opcode; `signature` stands behind it as a TSIG record would.
fn zone_change(opcode: u8, signature: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, opcode << 3, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(signature)];
    message.extend(b"\x07example\x03com\0\0\x06\0\x01");
    if signature {
        message.extend(b"\x04mine\0\0\xfa\0\xff\0\0\0\0\0\x3d\x0bhmac-sha256\0\0\0\0\0\0\0\x01\x2c\0\x20");
        message.extend([0x5a; 32]);
        message.extend([0x12, 0x34, 0, 0, 0, 0]);
    }
    message
}

/// Changes of a zone: to the granted server, to others, and signed. The one unsigned UPDATE to the granted server is what
/// `apply` may send.
fn zone_changes(server: &str) {
    let attempts = [
        ("update", server, zone_change(5, false), None),
        ("notify elsewhere", "dns://127.0.0.1:9", zone_change(4, false), None),
        ("update elsewhere", "dns://127.0.0.1:9", zone_change(5, false), None),
        ("update signed", server, zone_change(5, true), None),
        ("query signed", server, zone_change(0, true), None),
        ("update with a foreign slot", server, zone_change(5, false), Some("no-such-slot".to_owned())),
        ("status", server, zone_change(2, false), None),
    ];
    for (what, server, message, credential) in attempts {
        let (server, via) = (server.to_owned(), dns::Transport::Udp);
        let query = dns::Query { server, via, message, credential, max_bytes: 0, timeout: Some(200) };
        told(what, &dns::exchange_all(&[query], 1));
    }
}

fn smuggle(url: &str) {
    let headers = [
        ("authorization", "Bearer stolen"),
        ("Host", "evil.example"),
        ("x-a", "b\r\nx-injected: 1"),
        ("x-c\r\nx-injected", "1"),
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic eA=="),
        ("cookie", "session=stolen"),
    ];
    for (name, value) in headers {
        let mut smuggled = request("GET", url);
        smuggled.headers.push((name.to_owned(), value.to_owned()));
        told(&format!("header {name:?}"), &http::send(&smuggled));
    }
    for method in ["GET / HTTP/1.1\r\nx:", "", "G ET", "CONNECT", "TRACE"] {
        told(&format!("method {method:?}"), &http::send(&request(method, url)));
    }
    for tail in ["\r\nx-injected: 1", " HTTP/1.1", "#fragment", "/%0d%0ax", "/\0"] {
        told(&format!("tail {tail:?}"), &http::send(&request("GET", &format!("{url}{tail}"))));
    }
    let mut other = request("GET", url);
    other.credential = Some("no-such-slot".to_owned());
    told("slot", &http::send(&other));
}

/// `scan`, with the honest answer.
pub fn scan(mode: &str, queries: &[ScopeQuery], mut honest: Vec<Result<Snapshot, Failure>>) -> Vec<Result<Snapshot, Failure>> {
    let snapshots = || honest.iter().flatten();
    let limit = queries.first().map_or(0, |it| it.limit);
    match mode {
        "scan-few" => honest.clear(),
        "scan-many" => honest.extend(honest.clone()),
        "scan-double" => honest.iter_mut().flatten().for_each(|it| it.objects.extend(it.objects.clone())),
        "scan-empty" => honest.iter_mut().flatten().for_each(|it| it.objects.clear()),
        "scan-pages" => honest.iter_mut().flatten().for_each(|it| it.next = Some("again".to_owned())),
        "scan-giant" => {
            let objects = giant().into_iter().map(|doc| trueup_sdk::Remote { doc, ..thing("a", "") }).collect::<Vec<_>>();
            first(&mut honest, objects);
        }
        "scan-count" => {
            let count = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1).max(200_000);
            first(&mut honest, (0..count).map(|it| thing(&it.to_string(), "")).collect());
        }
        "scan-nonsense" => first(&mut honest, vec![trueup_sdk::Remote { doc: "{\"spec\": {".to_owned(), ..thing("a", "") }]),
        "scan-deep" => {
            let doc = format!("{{\"spec\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
            first(&mut honest, vec![trueup_sdk::Remote { doc, ..thing("a", "") }]);
        }
        "scan-foreign" => {
            let mut objects = snapshots().flat_map(|it| it.objects.clone()).collect::<Vec<_>>();
            let mut other = thing("foreign", "x");
            other.address.kind = "File".to_owned();
            objects.push(other.clone());
            (other.address.kind, other.address.scope) = ("Thing".to_owned(), "another/scope".to_owned());
            objects.push(other);
            first(&mut honest, objects);
        }
        "scan-nul" => first(&mut honest, ["a\0b", "a\nb", "../a", "\x1b[31m", ""].map(|key| thing(key, "x")).to_vec()),
        _ => {}
    }
    honest
}

fn first(answers: &mut [Result<Snapshot, Failure>], objects: Vec<trueup_sdk::Remote>) {
    if let Some(Ok(snapshot)) = answers.first_mut() {
        snapshot.objects = objects;
    }
}

/// `refine`, with the honest answer.
pub fn refine(mode: &str, mut honest: Vec<Verdict>) -> Vec<Verdict> {
    violence(mode.strip_prefix("refine-").unwrap_or_default());
    match mode {
        "refine-few" => honest.clear(),
        "refine-foreign" => honest.fill(Verdict::Ignore(vec!["/spec/nothing".to_owned()])),
        "apply-wrong-replace" => honest.fill(Verdict::Replace(Replacement {
            paths: vec!["/spec/text".to_owned()],
            create_first: false,
            reason: "the guest says so".to_owned(),
            ext: Vec::new(),
        })),
        _ => {}
    }
    honest
}

fn write(path: &str, token: &str) {
    let payload = Payload::Bytes(b"written by the hostile guest".to_vec());
    let operation = Operation::Write(Write { payload, mode: Some(0o777) });
    let change = FileChange { path: path.to_owned(), operation, expect: Expectation::Any, token: token.to_owned() };
    told(&format!("write {path}"), &files::change_all(&[change]));
}

/// What is tried before an honest apply.
pub fn before_apply(mode: &str, changes: &[Change]) {
    violence(mode.strip_prefix("apply-").unwrap_or_default());
    let (root, url) = crate::settings();
    match mode {
        "apply-dns" => zone_changes(&url),
        "apply-cluster" => {
            let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "from-the-guest" } });
            cluster("POST", &url, Some(map.to_string().into_bytes()));
        }
        "apply-ext" => changes.iter().for_each(|it| told(&format!("ext of {}", it.address.key), &it.ext)),
        "apply-outside" => {
            outside(&root, |path| write(path, "token"));
            // Inside the directory, but under a token that no intent has, and one that is a path.
            write(&format!("{root}/by-no-intent"), "no-such-token");
            write(&format!("{root}/by-a-path"), "../../escape");
        }
        "apply-peek" => {
            told("peek before", &peek());
            let value = black_box(changes.iter().find_map(opened));
            told("peek after", &(peek() > 0, value.is_some()));
        }
        "apply-steal" => ["", "db-password", "other", "../db-password"]
            .iter()
            .for_each(|it| told(&format!("reveal {it:?}"), &secrets::reveal(it))),
        "apply-secret" => {
            changes.iter().filter_map(opened).for_each(|it| log::write(Level::Warn, &it, &[("value".to_owned(), it.clone())]))
        }
        _ => {}
    }
}

/// The value of a change's secret.
fn opened(change: &Change) -> Option<String> {
    let doc: Json = serde_json::from_str(change.desired.as_deref()?).ok()?;
    secrets::reveal(doc.pointer("/spec/secret/$secret")?.as_str()?).ok()
}

/// Changes that make something else than was asked for.
pub fn other_text(changes: &[Change]) -> Vec<Change> {
    let other = |it: &Change| Change {
        desired: it.desired.as_ref().map(|_| json!({ "spec": { "text": "other" } }).to_string()),
        ..it.clone()
    };
    changes.iter().map(other).collect()
}

/// Outcomes of changes that were not made.
pub fn forge(mode: &str, changes: &[Change]) -> Vec<Outcome> {
    let claim = |change: &Change| {
        let mut object = thing(&change.address.key, "");
        object.address = change.address.clone();
        object.doc = change.desired.clone().unwrap_or_default();
        if mode == "apply-forge-other" {
            (object.address.key, object.identity) = ("another".to_owned(), "another".to_owned());
        }
        Outcome::settled(change.desired.is_some().then_some(object))
    };
    changes.iter().map(claim).collect()
}

/// `apply`, with the honest answer.
pub fn apply(mode: &str, changes: &[Change], mut honest: Vec<Outcome>) -> Vec<Outcome> {
    match mode {
        "apply-late-trap" => std::process::abort(),
        "apply-few" => honest.clear(),
        "apply-many" => honest.extend(honest.clone()),
        "apply-nonsense" => honest.iter_mut().flat_map(|it| &mut it.object).for_each(|it| it.doc = "}".to_owned()),
        "apply-pending" => honest.iter_mut().for_each(|it| {
            let forever =
                Pending { operation: "x".repeat(1 << 20), after: u64::MAX, message: "soon".to_owned(), ext: Vec::new() };
            it.settlement = Settlement::Pending(forever);
        }),
        "apply-later" => {
            for (outcome, change) in honest.iter_mut().zip(changes) {
                outcome.settlement = pending(&format!("1 {}", change.address.key));
            }
        }
        "apply-secret" => {
            for (outcome, value) in honest.iter_mut().zip(changes.iter().map(opened)) {
                let value = value.unwrap_or_default();
                outcome.diagnostics.push(Error::invalid("guest.secret", value.clone()).diagnostic(Severity::Warning));
                if let Some(object) = &mut outcome.object {
                    object.outputs = json!({ "leak": value }).to_string();
                    object.health.message = value.clone();
                    object.ext.push(("leak".to_owned(), value));
                }
            }
        }
        _ => {}
    }
    honest
}

/// Still under way; the handle says how often it is to be polled.
fn pending(handle: &str) -> Settlement {
    Settlement::Pending(Pending { operation: handle.to_owned(), after: 1, message: "soon".to_owned(), ext: Vec::new() })
}

/// `poll` of what `apply-later` calls pending.
pub fn poll(mode: &str, handles: &[String], honest: impl FnOnce() -> Vec<Outcome>) -> Vec<Outcome> {
    if mode != "apply-later" {
        return honest();
    }
    told("poll of", &handles.len());
    let answer = |handle: &String| match handle.strip_prefix("1 ") {
        Some(key) => Outcome { settlement: pending(&format!("0 {key}")), ..Outcome::settled(None) },
        None => Outcome::settled(Some(thing(handle.strip_prefix("0 ").unwrap_or_default(), "x"))),
    };
    handles.iter().map(answer).collect()
}
