//! What a plugin asks of the world, seen and on demand disturbed: the tap of every provider under test.
//!
//! Questions are kept in plain, credentials excepted, which no plugin ever sees. A fault is armed for what comes next and
//! counts only what it is about; [`Watch::calm`] ends it.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trueup_core::value::{Digest, Json, json};
use trueup_host::{Asked, Denial, HostRule, LogRecord, Secret, SecretError, Services, Tap};
use url::Url;

use crate::seal::Sealer;

/// Questions that are kept of one world; further ones are only counted as rights.
const MAX_CALLS: usize = 20_000;
/// Name and value that [`Fault::Strange`] adds to every object of an answer.
pub const STRANGE: &str = "xTrueupUnknown";

/// What goes wrong between a plugin and its server.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection breaks at the `nth` request that changes something, before it was taken or after.
    Cut { nth: usize, taken: bool },
    /// The `nth` question that changes nothing is not answered.
    Silence { nth: usize },
    /// Requests are answered by this instead of the server: all of them, those that change something, or the `nth` of the others.
    Answer { to: To, status: u16, headers: Vec<(&'static str, String)> },
    /// Every object of every JSON answer has a further key.
    Strange,
    /// In JSON answers this text stands in place of that one.
    Instead { of: String, is: String },
}

/// Which requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    All,
    Changes,
    NthRead(usize),
}

/// One question of a plugin.
#[derive(Clone, Debug)]
pub struct Call {
    pub function: &'static str,
    pub question: Json,
    /// It reaches out: a request, a DNS message, a file.
    pub outside: bool,
    /// It may change something.
    pub mutates: bool,
}

/// What was used of the rights that were given, over a whole run.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    pub origins: BTreeSet<HostRule>,
    pub dirs: BTreeSet<String>,
    pub dns: BTreeSet<String>,
    pub slots: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
    /// Requests that change nothing by a rule of `reads` alone.
    pub reads: BTreeSet<String>,
    /// Refusals of the host.
    pub denied: BTreeSet<String>,
    /// Changes that were attempted outside `apply`, `poll` and `cancel`.
    pub trespasses: BTreeSet<String>,
}

/// What all worlds of a run share.
pub type Shared = Arc<Mutex<Usage>>;

/// The tap and the services of the providers of one world.
pub struct Watch {
    state: Mutex<State>,
    shared: Shared,
    sealer: Arc<Sealer>,
    blobs: HashMap<Digest, Arc<[u8]>>,
    /// Rules of `reads`.
    reads: Vec<String>,
    /// Directories as granted.
    dirs: Vec<String>,
    /// Nothing is kept: for many objects.
    blind: AtomicBool,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    logs: Vec<String>,
    fault: Option<Fault>,
    /// Questions that the fault is about, so far.
    met: usize,
    /// How often it struck.
    struck: usize,
}

impl Watch {
    pub fn new(
        shared: Shared,
        sealer: Arc<Sealer>,
        blobs: HashMap<Digest, Arc<[u8]>>,
        reads: Vec<String>,
        dirs: Vec<String>,
    ) -> Self {
        Self { state: Mutex::default(), shared, sealer, blobs, reads, dirs, blind: AtomicBool::new(false) }
    }

    /// From now on this goes wrong; what was asked before is forgotten.
    pub fn arm(&self, fault: Fault) {
        let mut state = self.lock();
        state.calls.clear();
        (state.fault, state.met, state.struck) = (Some(fault), 0, 0);
    }

    /// Nothing goes wrong any more, and what was asked before is forgotten. How often the fault struck.
    pub fn calm(&self) -> usize {
        let mut state = self.lock();
        state.calls.clear();
        state.fault = None;
        std::mem::take(&mut state.struck)
    }

    /// What was asked since the last [`Watch::arm`] or [`Watch::calm`].
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many changes were asked for since then, within `apply`.
    pub fn changes(&self) -> usize {
        self.lock().calls.iter().filter(|it| it.mutates && it.function == "apply").count()
    }

    /// What was logged.
    pub fn logs(&self) -> Vec<String> {
        self.lock().logs.clone()
    }

    /// Rights are still counted, and nothing is kept.
    pub fn go_blind(&self) {
        self.blind.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may change something.
    fn mutates(&self, asked: &Asked<'_>) -> bool {
        match asked.import {
            "http" => {
                let method = text(asked.question, "method").to_ascii_uppercase();
                !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS") && self.rule(asked.question).is_none()
            }
            "dns" => bytes(&asked.question["message"]).get(2).is_some_and(|flags| (flags >> 3) & 0xf != 0),
            "files.change" => true,
            _ => false,
        }
    }

    /// The rule by which a request counts as a read.
    fn rule(&self, question: &Json) -> Option<&String> {
        let url = text(question, "url");
        let path = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = path.find('/').and_then(|at| path.get(at..)).unwrap_or("/");
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let method = text(question, "method");
        self.reads.iter().find(|rule| match rule.split_once(' ') {
            Some((verb, pattern)) => verb == method && fits(pattern.split('?').next().unwrap_or(pattern), path),
            None => rule.split_once('=').is_some_and(|(name, value)| {
                let header = |it: &Json| {
                    it[0].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name))
                        && it[1].as_str().is_some_and(|it| fits(value, it))
                };
                question["headers"].as_array().into_iter().flatten().any(header) || method == "POST" && name == "Action"
            }),
        })
    }

    fn count(&self, asked: &Asked<'_>, mutates: bool) {
        let question = asked.question;
        let mut usage = self.usage();
        match asked.import {
            "http" => {
                let url = text(question, "url");
                if let Some(slot) = url.strip_prefix("slot:") {
                    usage.slots.insert(slot.split(['/', '?']).next().unwrap_or(slot).to_owned());
                } else if let Some(origin) = Url::parse(url).ok().as_ref().and_then(HostRule::of) {
                    usage.origins.insert(origin);
                }
                usage.slots.extend(question["credential"].as_str().map(str::to_owned));
                if !matches!(text(question, "method"), "GET" | "HEAD" | "OPTIONS") && asked.function != "apply" {
                    usage.reads.extend(self.rule(question).cloned());
                }
            }
            "dns" => {
                usage.dns.insert(text(question, "server").to_owned());
                usage.slots.extend(question["credential"].as_str().map(str::to_owned));
            }
            import if import.starts_with("files.") => {
                let path = question.as_str().unwrap_or_else(|| text(question, "path"));
                let below =
                    |dir: &&String| path.strip_prefix(dir.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                let found = self.dirs.iter().find(below).cloned();
                usage.dirs.extend(found);
            }
            _ => {}
        }
        if mutates && !matches!(asked.function, "apply" | "poll" | "cancel") {
            usage.trespasses.insert(format!("`{}` asked for {}", asked.function, shown(asked.import, question)));
        }
    }
}

/// A question in few words, without its body.
pub fn shown(import: &str, question: &Json) -> String {
    match import {
        "http" => format!("{} {}", text(question, "method"), text(question, "url").split('?').next().unwrap_or_default()),
        "dns" => format!("a DNS message to {}", text(question, "server")),
        import => format!("`{import}` of {}", question.as_str().unwrap_or_else(|| text(question, "path"))),
    }
}

fn text<'a>(question: &'a Json, key: &str) -> &'a str {
    question.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// Bytes as the tap writes them.
pub fn bytes(value: &Json) -> Vec<u8> {
    match (value.get("$text").and_then(Json::as_str), value.get("$base64").and_then(Json::as_str)) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(text)) => STANDARD.decode(text).unwrap_or_default(),
        (None, None) => Vec::new(),
    }
}

/// Whether `text` is of the pattern, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// An answer that never came. For a file it says that nobody knows what became of the change.
fn broken(import: &str) -> Json {
    let why = "the test broke the connection here";
    if import.starts_with("files.") { json!({"Err": {"Io": why}}) } else { json!({"Err": {"Interrupted": why}}) }
}

fn response(status: u16, headers: &[(&'static str, String)]) -> Json {
    let headers: Vec<Json> = headers.iter().map(|(name, value)| json!([name, value])).collect();
    json!({"Ok": {"status": status, "headers": headers, "body": {"$text": "the test answers in the server's place"}, "cut": false}})
}

impl Tap for Watch {
    fn before(&self, asked: &Asked<'_>) -> Option<Json> {
        // What a language's runtime asks of its own accord is no call of the plugin's.
        if matches!(asked.import, "monotonic" | "random") {
            return None;
        }
        let mutates = self.mutates(asked);
        self.count(asked, mutates);
        if self.blind.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.lock();
        let outside = matches!(asked.import, "http" | "dns") || asked.import.starts_with("files.");
        let state = &mut *state;
        let mut nth = |wanted: usize| {
            let met = state.met;
            state.met += 1;
            met == wanted
        };
        let answer = match &state.fault {
            Some(Fault::Cut { nth: wanted, taken: false }) if mutates && nth(*wanted) => Some(broken(asked.import)),
            Some(Fault::Silence { nth: wanted }) if outside && !mutates && nth(*wanted) => Some(broken(asked.import)),
            Some(Fault::Answer { to, status, headers }) if asked.import == "http" => {
                let meant = match to {
                    To::All => true,
                    To::Changes => mutates,
                    To::NthRead(wanted) => !mutates && nth(*wanted),
                };
                meant.then(|| response(*status, headers))
            }
            _ => None,
        };
        state.struck += usize::from(answer.is_some());
        if state.calls.len() < MAX_CALLS {
            state.calls.push(Call { function: asked.function, question: asked.question.clone(), outside, mutates });
        }
        answer
    }

    fn after(&self, asked: &Asked<'_>, mut answer: Json) -> Json {
        if self.blind.load(Ordering::Relaxed) {
            return answer;
        }
        let mutates = self.mutates(asked);
        let mut state = self.lock();
        match state.fault.clone() {
            Some(Fault::Cut { nth, taken: true }) if mutates => {
                state.met += 1;
                if state.met - 1 == nth {
                    state.struck += 1;
                    answer = broken(asked.import);
                }
            }
            Some(Fault::Strange) if asked.import == "http" => state.struck += usize::from(in_body(&mut answer, &mut strange)),
            Some(Fault::Instead { of, is }) if asked.import == "http" => {
                let mut found = false;
                in_body(&mut answer, &mut |body| found |= instead(body, &of, &is));
                state.struck += usize::from(found);
            }
            _ => {}
        }
        answer
    }
}

/// Changes the JSON body of an answer; whether it has one.
fn in_body(answer: &mut Json, change: &mut dyn FnMut(&mut Json)) -> bool {
    let Some(body) = answer.pointer_mut("/Ok/body") else { return false };
    let Ok(mut parsed) = serde_json::from_slice::<Json>(&bytes(body)) else { return false };
    change(&mut parsed);
    *body = json!({ "$text": parsed.to_string() });
    true
}

fn strange(value: &mut Json) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(strange),
        Json::Object(fields) => {
            fields.values_mut().for_each(strange);
            fields.insert(STRANGE.to_owned(), json!({"since": 2, "list": [1, "two", null]}));
        }
        _ => {}
    }
}

fn instead(value: &mut Json, of: &str, is: &str) -> bool {
    match value {
        Json::Array(items) => items.iter_mut().fold(false, |found, it| instead(it, of, is) | found),
        Json::Object(fields) => fields.values_mut().fold(false, |found, it| instead(it, of, is) | found),
        Json::String(text) if text == of => {
            is.clone_into(text);
            true
        }
        _ => false,
    }
}

impl Services for Watch {
    fn blob(&self, sha256: &Digest) -> Option<Arc<[u8]>> {
        self.blobs.get(sha256).cloned()
    }

    fn reveal(&self, handle: &str) -> Result<Secret, SecretError> {
        let name = self.sealer.from_handles(&json!({ "$secret": handle }));
        let value = self.sealer.reveal(handle).ok_or(SecretError::Denied)?;
        self.usage().secrets.extend(name.get("$secret").and_then(Json::as_str).map(str::to_owned));
        Ok(Secret::new(value))
    }

    fn tap(&self) -> Option<&dyn Tap> {
        Some(self)
    }

    fn log(&self, record: LogRecord) {
        let fields: String = record.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let mut state = self.lock();
        if state.logs.len() < MAX_CALLS {
            state.logs.push(format!("{}{fields}", record.message));
        }
    }

    fn denied(&self, denial: Denial) {
        self.usage().denied.insert(format!("`{}` in `{}`: {}", denial.import, denial.function, denial.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(reads: &[&str]) -> Watch {
        let reads = reads.iter().map(|it| (*it).to_owned()).collect();
        Watch::new(Shared::default(), Arc::new(Sealer::new([1; 32])), HashMap::new(), reads, vec!["./a".to_owned()])
    }

    fn asked<'a>(import: &'static str, question: &'a Json) -> Asked<'a> {
        Asked { provider: "p", function: "apply", import, question, tokens: &[] }
    }

    #[test]
    fn what_changes_something_is_told_from_what_reads() {
        let watch = watch(&["POST /search*"]);
        let http = |method: &str, url: &str| json!({"method": method, "url": url, "headers": []});
        let cases = [
            (http("GET", "http://a/x"), false),
            (http("POST", "http://a/x"), true),
            (http("POST", "http://a/search/all?q=1"), false),
            (http("PUT", "slot:token/search"), true),
        ];
        for (question, want) in cases {
            assert_eq!(watch.mutates(&asked("http", &question)), want, "{question}");
        }
        let message = |flags: u8| json!({"server": "dns://a", "message": {"$base64": STANDARD.encode([0, 0, flags, 0])}});
        assert!(!watch.mutates(&asked("dns", &message(0))), "a query");
        assert!(watch.mutates(&asked("dns", &message(5 << 3))), "an update");
        assert!(watch.mutates(&asked("files.change", &json!({"path": "./a/b"}))));
        assert!(!watch.mutates(&asked("files.read", &json!({"path": "./a/b"}))));
    }

    #[test]
    fn the_second_change_is_cut_before_or_after_it_was_taken() {
        let put = json!({"method": "PUT", "url": "http://a/x", "headers": []});
        let fine = json!({"Ok": {"status": 200, "headers": [], "body": [], "cut": false}});
        let run = |taken: bool| {
            let watch = watch(&[]);
            watch.arm(Fault::Cut { nth: 1, taken });
            let one = |_| {
                let asked = asked("http", &put);
                watch.before(&asked).map_or_else(|| watch.after(&asked, fine.clone()), |it| json!({"never sent": it}))
            };
            (0..3).map(one).collect::<Vec<_>>()
        };
        assert_eq!(run(true), [fine.clone(), broken("http"), fine.clone()]);
        assert_eq!(run(false), [fine.clone(), json!({"never sent": broken("http")}), fine.clone()]);
    }

    #[test]
    fn strange_keys_and_other_texts_get_into_bodies() {
        let watch = watch(&[]);
        let get = json!({"method": "GET", "url": "http://a/x", "headers": []});
        let answer = json!({"Ok": {"status": 200, "headers": [], "body": {"$text": "{\"a\":[{\"b\":\"one\"}]}"}, "cut": false}});
        watch.arm(Fault::Instead { of: "one".to_owned(), is: "two".to_owned() });
        let got = watch.after(&asked("http", &get), answer.clone());
        assert_eq!(bytes(&got["Ok"]["body"]), br#"{"a":[{"b":"two"}]}"#);
        watch.arm(Fault::Strange);
        let got = watch.after(&asked("http", &get), answer);
        let body: Json = serde_json::from_slice(&bytes(&got["Ok"]["body"])).unwrap();
        assert!(body[STRANGE].is_object() && body["a"][0][STRANGE].is_object(), "{body}");
        assert_eq!(watch.calm(), 1);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, want) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a*", "/ab", true),
            ("/a*c", "/abc", true),
            ("/a*c", "/ab", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(fits(pattern, text), want, "{pattern} {text}");
        }
    }
}
