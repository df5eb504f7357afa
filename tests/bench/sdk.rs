//! What an SDK costs: `cargo bench -p trueup-host --bench sdk -- NAME=COMPONENT…`, where each component is the ticket provider
//! that `trueup plugin new` makes.
//!
//! A server in this process answers with pages made beforehand, so that what is measured is the host, the guest and a loopback
//! connection. The floor is the same provider in the engine itself, with no contract, SDK or sandbox: its requests, its parsing, and
//! the values that the engine goes on with. What is beyond it is what those three cost.
//! Prints a table, one line a component.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench stops where something is wrong"
)]
#![allow(clippy::print_stdout, reason = "its result")]

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use trueup_core::address::Address;
use trueup_host::{
    CallInfo, Change, Credential, Grant, HostRule, IntentAction, Limits, NoServices, Plugin, Provider, ProviderSettings, Runtime,
    RuntimeOptions, Scheme, ScopeQuery, Secret, Settlement, Slot,
};

const OBJECTS: usize = 10_000;
const PAGE: usize = 100;
const CHANGES: usize = 1_000;
const RUNS: usize = 20;

fn main() {
    let named: Vec<(String, String)> = std::env::args()
        .skip(1)
        .filter_map(|it| it.split_once('=').map(|(name, file)| (name.to_owned(), file.to_owned())))
        .collect();
    assert!(!named.is_empty(), "usage: cargo bench -p trueup-host --bench sdk -- rust=build/tickets.wasm …");
    let origin = serve();
    let scan_floor = best(|| floor_scan(&origin));
    let apply_floor = best(|| floor_apply(&origin));
    let each = |it: Duration, count: usize| it.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap());
    println!("floor: scan {:.1} µs an object, apply {:.1} µs", each(scan_floor, OBJECTS), each(apply_floor, CHANGES));
    println!("name      size KiB  compile s  load ms  first call ms  scan µs  beyond  apply µs  beyond  memory MiB");
    for (name, file) in named {
        let it = Measured::of(Path::new(&file), &origin);
        println!(
            "{name:9} {:8}  {:9.2}  {:7.2}  {:13.2}  {:7.1}  {:6.1}  {:8.1}  {:6.1}  {:10.0}",
            it.size / 1024,
            it.compile.as_secs_f64(),
            it.load.as_secs_f64() * 1e3,
            it.first.as_secs_f64() * 1e3,
            each(it.scan, OBJECTS),
            each(it.scan.saturating_sub(scan_floor), OBJECTS),
            each(it.apply, CHANGES),
            each(it.apply.saturating_sub(apply_floor), CHANGES),
            it.memory,
        );
    }
}

struct Measured {
    size: usize,
    compile: Duration,
    load: Duration,
    /// From the compiled component to the first answer: instantiate, start the language's runtime, configure, an empty scan.
    first: Duration,
    scan: Duration,
    apply: Duration,
    /// What the process grew by at its peak.
    memory: f64,
}

impl Measured {
    fn of(file: &Path, origin: &str) -> Self {
        let wasm = std::fs::read(file).expect("a component");
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            || Runtime::new(RuntimeOptions { cache_dir: folder.path().join("compiled"), limits: Limits::default() }).unwrap();
        let before = resident();
        let load = || {
            let runtime = runtime();
            let begun = Instant::now();
            let plugin = tokio.block_on(runtime.load(&wasm)).expect("a plugin");
            (plugin, begun.elapsed())
        };
        let (_, compile) = load();
        let (plugin, load) = load();
        let begun = Instant::now();
        tokio.block_on(scan(&provider(&plugin, origin), "empty", 0));
        let first = begun.elapsed();
        let warm = provider(&plugin, origin);
        tokio.block_on(scan(&warm, "empty", 0));
        let scan = best(|| tokio.block_on(scan(&warm, "full", OBJECTS)));
        let apply = best(|| tokio.block_on(apply(&warm)));
        let memory = (peak() - before).max(0.0);
        Self { size: wasm.len(), compile, load, first, scan, apply, memory }
    }
}

/// The shortest of some runs: these machines are noisy, and noise only adds.
fn best(mut run: impl FnMut()) -> Duration {
    (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .min()
        .unwrap()
}

fn provider(plugin: &Plugin, origin: &str) -> Provider {
    let rule = HostRule::parse(origin).unwrap();
    let credential = Arc::new(Credential {
        name: "token".to_owned(),
        origins: vec![rule.clone()],
        servers: Vec::new(),
        scheme: Scheme::Bearer(Secret::from("test-token")),
        ca_pem: None,
        base: None,
    });
    let slot = Slot { read: Arc::clone(&credential), write: credential };
    plugin.provider(ProviderSettings {
        alias: "tickets".into(),
        config: json!({ "server": origin }),
        grant: Grant { hosts: vec![rule], credentials: [("token".to_owned(), slot)].into(), ..Grant::default() },
        services: Arc::new(NoServices),
        parallel: 1,
    })
}

async fn scan(provider: &Provider, scope: &str, want: usize) {
    let mut query = ScopeQuery::new("Ticket".into(), scope.into());
    let mut found = 0;
    loop {
        let answer = provider.scan(&CallInfo::default(), vec![query.clone()]).await.expect("a scan");
        let page = answer.into_iter().next().unwrap().expect("a page");
        found += page.objects.len();
        let Some(next) = page.next else { break };
        query.cursor = Some(next);
    }
    assert_eq!(found, want);
}

async fn apply(provider: &Provider) {
    for at in 0..CHANGES {
        let title = format!("Ticket {at}");
        let doc = json!({ "spec": { "queue": "made", "title": title, "priority": 2, "tags": ["a", "b"], "body": "text" } });
        let change = Change {
            action: IntentAction::Create,
            address: Address::new("tickets", "Ticket", "made", &title),
            token: format!("token-{at}"),
            attempt: 0,
            unsettled: false,
            mark: "p/e/0".to_owned(),
            desired: Some(Arc::new(doc)),
            prior: None,
            edits: Vec::new(),
            ext: Vec::new(),
        };
        let outcome = provider.apply(&CallInfo::default(), vec![change]).await.expect("an apply").remove(0);
        assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    }
}

/// As the Rust provider has it.
#[derive(Deserialize, Serialize)]
struct Ticket {
    queue: String,
    title: String,
    priority: u8,
    tags: Vec<String>,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<Json>,
}

#[derive(Serialize)]
struct Status {
    id: String,
    state: String,
    url: String,
}

#[derive(Deserialize)]
struct Shown {
    id: String,
    state: String,
    rev: u64,
    #[serde(flatten)]
    ticket: Ticket,
}

impl Shown {
    /// What the engine keeps of an object: document, outputs, version, address.
    fn taken(self, origin: &str) -> (Json, Json, String, Address) {
        let address = Address::new("tickets", "Ticket", &self.ticket.queue, &self.ticket.title);
        let status = Status { url: format!("{origin}/tickets/{}", self.id), id: self.id, state: self.state };
        let doc = json!({ "spec": self.ticket });
        (doc, serde_json::to_value(status).unwrap(), format!("\"{}\"", self.rev), address)
    }
}

fn floor_scan(origin: &str) {
    let mut client = Client::new(origin);
    let (mut after, mut made) = (String::new(), 0);
    loop {
        #[derive(Deserialize)]
        struct List {
            tickets: Vec<Shown>,
            next: Option<String>,
        }
        let body = client.ask("GET", &format!("/tickets?queue=full&limit=100&after={after}"), b"");
        let list: List = serde_json::from_slice(&body).unwrap();
        made += black_box(list.tickets.into_iter().map(|it| it.taken(origin)).collect::<Vec<_>>()).len();
        match list.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(made, OBJECTS);
}

fn floor_apply(origin: &str) {
    let mut client = Client::new(origin);
    for at in 0..CHANGES {
        let doc = json!({"queue": "made", "title": format!("Ticket {at}"), "priority": 2, "tags": ["a", "b"], "body": "text"});
        let body = client.ask("POST", "/tickets", doc.to_string().as_bytes());
        black_box(serde_json::from_slice::<Shown>(&body).unwrap().taken(origin));
    }
}

/// A connection that is kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(origin: &str) -> Self {
        let stream = TcpStream::connect(origin.trim_start_matches("http://")).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        message(&mut self.0).expect("an answer").1
    }
}

/// First line and body of one message.
fn message(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.to_ascii_lowercase().strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse().ok()?,
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

/// Answers lists of `full` with ten thousand tickets, of anything else with none, and each POST with a ticket.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let ticket = |at: usize| {
        json!({
            "id": format!("T-{at}"), "queue": "full", "title": format!("Ticket {at}"), "priority": 1 + at % 5, "tags": ["a", "b"],
            "body": "What happened, and what was done about it.", "state": "open", "rev": 1, "hookSet": false, "created": "2026-01-01",
        })
    };
    let page = |at: usize| {
        let tickets: Vec<Json> = (at..at + PAGE).map(ticket).collect();
        let next = (at + PAGE < OBJECTS).then(|| (at + PAGE).to_string());
        json!({ "tickets": tickets, "next": next }).to_string()
    };
    let pages: Arc<[String]> = (0..OBJECTS / PAGE).map(|it| page(it * PAGE)).collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let pages = Arc::clone(&pages);
            std::thread::spawn(move || answer(&stream.unwrap(), &pages));
        }
    });
    origin
}

fn answer(stream: &TcpStream, pages: &[String]) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    while let Some((first, body)) = message(&mut reader) {
        let made;
        let (status, text) = if first.starts_with("POST") {
            let asked: Json = serde_json::from_slice(&body).unwrap();
            let mut ticket = asked.as_object().cloned().unwrap();
            ticket.extend([("id".to_owned(), json!("T-1")), ("state".to_owned(), json!("open")), ("rev".to_owned(), json!(1))]);
            made = Json::Object(ticket).to_string();
            ("201 Created", made.as_str())
        } else if first.contains("queue=full") {
            let after = first.split("after=").nth(1).and_then(|it| it.split(['&', ' ']).next()).unwrap_or_default();
            let at: usize = after.parse().unwrap_or(0);
            ("200 OK", pages[at / PAGE].as_str())
        } else {
            ("200 OK", "{\"tickets\":[],\"next\":null}")
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\netag: \"1\"\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        if out.write_all(&[head.as_bytes(), text.as_bytes()].concat()).is_err() {
            return;
        }
    }
}

fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|it| it.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|it| it.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// MiB that this process holds now. The peak begins anew here.
fn resident() -> f64 {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status("VmRSS")
}

/// MiB that it held at most since then.
fn peak() -> f64 {
    status("VmHWM")
}
