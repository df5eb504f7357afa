//! A proxy between the binary and a cloud: it writes down what is asked, and does to it what networks and clouds do on bad days.

pub mod asked;
pub mod fate;
pub mod pages;
pub mod refusal;
pub mod seeded;
pub mod tape;
#[cfg(test)]
mod tests;
mod xml;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::http1::Message;
pub use asked::{Asked, Protocol};
pub use fate::{Fate, Gate, Rule};
pub use refusal::Refusal;
pub use seeded::{Faults, Rates};
use tape::Tape;

/// Most that is written down of requests between two calls of [`CloudProxy::take`], and pages that are remembered.
const MOST_SEEN: usize = 1_000_000;
const MOST_PAGES: usize = 1_000;

/// How far a clock may be off before the server refuses, in seconds.
const LEEWAY: i64 = 900;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Counted from 0 since [`CloudProxy::decide`], in the order in which requests came.
    pub number: usize,
    pub service: String,
    pub operation: String,
    pub access_key: String,
    /// Members that say which page is asked for.
    pub page: Vec<(String, String)>,
    /// What makes its repetition the same request.
    pub client_token: Option<String>,
    pub at: Instant,
    /// The answer's; None where there was none, or is none yet.
    pub status: Option<u16>,
    /// `pass`, or what was done to it.
    pub fate: String,
}

impl Seen {
    /// As [`Asked::is`].
    pub fn is(&self, service: &str, operation: &str) -> bool {
        let start = operation.strip_suffix('*');
        self.service == service && start.map_or(self.operation == operation, |it| self.operation.starts_with(it))
    }
}

type Judge = dyn Fn(&Asked) -> Fate + Send + Sync;

#[derive(Default)]
struct Notes {
    seen: Vec<Seen>,
    /// Which run of notes this is: an answer may come when its request is no longer in them.
    turn: usize,
    count: usize,
    ordinals: BTreeMap<String, usize>,
    in_flight: usize,
    most_in_flight: usize,
}

/// What holds until it is changed.
#[derive(Default)]
struct Standing {
    /// How far the server's clock is ahead.
    hours: i64,
    expired: BTreeSet<String>,
    /// How many listings do not show what was made since.
    late: usize,
    /// Names of what was made, and how many listings still hide it.
    fresh: BTreeMap<String, usize>,
}

struct Shared {
    /// `127.0.0.1:5000`
    server: String,
    judge: Mutex<Arc<Judge>>,
    notes: Mutex<Notes>,
    changed: Condvar,
    standing: Mutex<Standing>,
    /// The last answer of each listing.
    pages: Mutex<HashMap<String, Message>>,
    tape: Option<Arc<Tape>>,
    over: AtomicBool,
}

/// One proxy; it ends with the value.
pub struct CloudProxy {
    pub port: u16,
    shared: Arc<Shared>,
}

/// Bytes for the client, and whether the connection goes on after them.
struct Reply {
    bytes: Vec<u8>,
    goes_on: bool,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CloudProxy {
    /// Before the server on this port of the loopback.
    pub fn before(port: u16) -> Self {
        Self::start(0, &format!("127.0.0.1:{port}"), None)
    }

    /// On this port of the loopback (0 is any), before this server. With a tape, `/__stub/mode?record` and `/__stub/mode?replay`
    /// change what it does, and `/__stub/counts` says what was asked since the last time (`/__stub/counts?keep`: and goes on).
    pub fn start(port: u16, server: &str, tape: Option<Arc<Tape>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let judge: Arc<Judge> = Arc::new(|_| Fate::Pass);
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            judge: Mutex::new(judge),
            notes: Mutex::default(),
            changed: Condvar::new(),
            standing: Mutex::default(),
            pages: Mutex::default(),
            tape,
            over: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = serving.clone();
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { port, shared }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on `judge` decides; the count begins anew.
    pub fn decide(&self, judge: impl Fn(&Asked) -> Fate + Send + Sync + 'static) {
        *lock(&self.shared.judge) = Arc::new(judge);
        self.take();
    }

    /// From now on the first of these rules that has something for a request decides; the rest passes. The count begins anew.
    pub fn rules(&self, rules: Vec<Rule>) {
        self.decide(move |asked| rules.iter().find_map(|it| it.judge(asked)).unwrap_or(Fate::Pass));
    }

    /// From now on everything passes, clocks agree, sessions live and lists are complete; the count begins anew.
    pub fn calm(&self) {
        *lock(&self.shared.standing) = Standing::default();
        self.decide(|_| Fate::Pass);
    }

    /// From now on the server's clock is so many hours ahead of ours: it refuses what was signed by another, and says its own in `Date`.
    pub fn clock(&self, hours: i64) {
        lock(&self.shared.standing).hours = hours;
    }

    /// From now on the session of this key is over.
    pub fn expire(&self, access_key: &str) {
        lock(&self.shared.standing).expired.insert(access_key.to_owned());
    }

    /// What is made from now on is missing in the first so many listings that would show it.
    pub fn late(&self, listings: usize) {
        let mut standing = lock(&self.shared.standing);
        standing.late = listings;
        standing.fresh.clear();
    }

    /// What was asked since the last time this was called; the count begins anew.
    pub fn take(&self) -> Vec<Seen> {
        let mut notes = lock(&self.shared.notes);
        notes.turn += 1;
        (notes.count, notes.most_in_flight) = (0, notes.in_flight);
        notes.ordinals.clear();
        std::mem::take(&mut notes.seen)
    }

    /// What was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.notes).seen.clone()
    }

    /// How many requests were under way at a time, at most, since [`CloudProxy::take`].
    pub fn most_in_flight(&self) -> usize {
        lock(&self.shared.notes).most_in_flight
    }

    /// Waits until this is true of what was asked.
    #[track_caller]
    pub fn wait(&self, until: impl Fn(&[Seen]) -> bool) {
        let notes = lock(&self.shared.notes);
        let waited = self.shared.changed.wait_timeout_while(notes, fate::PATIENCE, |it| !until(&it.seen));
        let (notes, time) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!time.timed_out(), "what is waited for did not come: {:#?}", notes.seen);
    }
}

impl Drop for CloudProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, socket: &TcpStream) -> Option<()> {
        socket.set_nodelay(true).ok()?;
        // A client keeps a connection that it may want again.
        socket.set_read_timeout(Some(Duration::from_secs(300))).ok()?;
        let mut reader = BufReader::new(socket);
        let go_on = || (&*socket).write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        while let Some(message) = Message::read_request(&mut reader, go_on) {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            let closes = message.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
            let reply = match &self.tape {
                Some(tape) if message.path().starts_with("/__stub/") => {
                    let answer = self.control(tape, &message);
                    Reply { bytes: answer.bytes(), goes_on: true }
                }
                _ => self.one(message, closes),
            };
            let mut out = socket;
            if out.write_all(&reply.bytes).is_err() || !reply.goes_on || closes {
                break;
            }
        }
        socket.shutdown(Shutdown::Both).ok()
    }

    fn one(&self, message: Message, closes: bool) -> Reply {
        let (asked, turn) = self.note(message);
        let standing = self.standing(&asked);
        let fate = standing.unwrap_or_else(|| {
            let judge = lock(&self.judge).clone();
            judge(&asked)
        });
        let word = fate.to_string();
        let mut most = usize::MAX;
        let answer = match fate {
            Fate::Pass => Some(self.ask(&asked)),
            Fate::Refuse(refusal) => Some(refusal.answer(&asked)),
            Fate::Answer(answer) => Some(answer),
            Fate::CutBefore => None,
            Fate::CutAfter => {
                self.ask(&asked);
                None
            }
            Fate::RefuseAfter(refusal) => {
                self.ask(&asked);
                Some(refusal.answer(&asked))
            }
            Fate::Delay(time) => {
                thread::sleep(time);
                Some(self.ask(&asked))
            }
            Fate::Hold(gate) => {
                gate.pass();
                Some(self.ask(&asked))
            }
            Fate::Truncate(length) => {
                most = length;
                Some(self.ask(&asked))
            }
            Fate::RepeatPage => Some(self.page_before(&asked).unwrap_or_else(|| self.ask(&asked))),
            Fate::SkipPage => {
                let page = self.ask(&asked);
                Some(pages::following(&asked, &page).map_or(page, |it| self.forward(&it)))
            }
            Fate::Paged(size) => Some(pages::paged(&asked, size, |it| self.forward(it))),
            Fate::DropLast(count) => {
                let page = self.ask(&asked);
                Some(pages::without(&page, |place, all, _| place + count >= all).unwrap_or(page))
            }
            Fate::Hide(names) => {
                let page = self.ask(&asked);
                let hidden = |texts: &[String]| names.iter().any(|name| texts.iter().any(|it| pages::names(it, name)));
                Some(pages::without(&page, |_, _, texts| hidden(texts)).unwrap_or(page))
            }
            Fate::Edit(edit) => {
                let answer = self.ask(&asked);
                let text = edit(answer.text());
                Some(answer.with_body(text.into_bytes()))
            }
        };
        let answer = answer.map(|it| self.aged(&asked, it));
        self.noted(asked.number, turn, answer.as_ref().map(Message::status), word);
        let Some(mut answer) = answer else { return Reply { bytes: Vec::new(), goes_on: false } };
        if closes {
            answer.set("Connection", "close");
        }
        let mut bytes = answer.bytes();
        let cut = answer.body.len() > most;
        bytes.truncate(bytes.len() - answer.body.len().saturating_sub(most));
        Reply { bytes, goes_on: !cut }
    }

    fn note(&self, message: Message) -> (Asked, usize) {
        let mut notes = lock(&self.notes);
        let mut asked = Asked::read(message, notes.count);
        let ordinal = notes.ordinals.entry(asked.to_string()).or_default();
        asked.ordinal = *ordinal;
        *ordinal += 1;
        notes.count += 1;
        notes.in_flight += 1;
        notes.most_in_flight = notes.most_in_flight.max(notes.in_flight);
        if notes.seen.len() < MOST_SEEN {
            notes.seen.push(Seen {
                number: asked.number,
                service: asked.service.clone(),
                operation: asked.operation.clone(),
                access_key: asked.access_key.clone(),
                page: asked.page(),
                client_token: asked.client_token(),
                at: Instant::now(),
                status: None,
                fate: "under way".to_owned(),
            });
        }
        self.changed.notify_all();
        (asked, notes.turn)
    }

    /// Before the answer is sent, so that whoever has got it finds it written down, and is no longer counted as waiting.
    fn noted(&self, number: usize, turn: usize, status: Option<u16>, fate: String) {
        let mut notes = lock(&self.notes);
        notes.in_flight -= 1;
        let current = turn == notes.turn;
        if let Some(seen) = notes.seen.get_mut(number).filter(|_| current) {
            (seen.status, seen.fate) = (status, fate);
        }
        self.changed.notify_all();
    }

    /// What the state of clocks and sessions has for this request.
    fn standing(&self, asked: &Asked) -> Option<Fate> {
        let standing = lock(&self.standing);
        if standing.expired.contains(&asked.access_key) {
            return Some(Fate::Refuse(Refusal::expired(asked)));
        }
        let signed = asked.message.header("x-amz-date").and_then(refusal::stamped);
        let theirs = refusal::now() + standing.hours * 3600;
        let off = standing.hours != 0 && signed.is_some_and(|it| (it - theirs).abs() > LEEWAY);
        off.then(|| Fate::Refuse(Refusal::skewed(asked, standing.hours)))
    }

    /// The answer as a server gives it whose lists are late, and whose clock is another.
    fn aged(&self, asked: &Asked, answer: Message) -> Message {
        let mut standing = lock(&self.standing);
        let mut answer = answer;
        if standing.hours != 0 && answer.status() < 300 {
            answer.set("Date", &refusal::http_date(refusal::now() + standing.hours * 3600));
        }
        if standing.late > 0 {
            let late = standing.late;
            standing.fresh.extend(pages::made(asked, &answer).into_iter().map(|it| (it, late)));
        }
        if standing.fresh.is_empty() || asked.is_write() {
            return answer;
        }
        let mut hidden = BTreeSet::new();
        let page = pages::without(&answer, |_, _, texts| {
            let of_it = |name: &String| texts.iter().any(|it| pages::names(it, name));
            let found: Vec<String> = standing.fresh.keys().filter(|it| of_it(it)).cloned().collect();
            hidden.extend(found.iter().cloned());
            !found.is_empty()
        });
        standing.fresh.retain(|name, left| {
            *left -= usize::from(hidden.contains(name));
            *left > 0
        });
        page.unwrap_or(answer)
    }

    /// The server's answer, or the tape's.
    fn ask(&self, asked: &Asked) -> Message {
        let answer = match &self.tape {
            Some(tape) => tape.answer(asked, || self.forward(&asked.message)),
            None => self.forward(&asked.message),
        };
        if asked.is_read() && self.tape.is_none() {
            let mut pages = lock(&self.pages);
            if pages.len() >= MOST_PAGES {
                pages.clear();
            }
            pages.insert(listing(asked), answer.clone());
        }
        answer
    }

    /// What was last answered to the listing that this asks for a further page of.
    fn page_before(&self, asked: &Asked) -> Option<Message> {
        if asked.page().is_empty() { None } else { lock(&self.pages).get(&listing(asked)).cloned() }
    }

    /// Asks the server, over a connection of its own. Where it does not answer, that is the answer.
    fn forward(&self, message: &Message) -> Message {
        let asked = || {
            let server = TcpStream::connect(&self.server).ok()?;
            server.set_nodelay(true).ok()?;
            server.set_read_timeout(Some(Duration::from_secs(120))).ok()?;
            let mut message = message.clone();
            message.set("Connection", "close");
            (&server).write_all(&message.bytes()).ok()?;
            let mut answer = Message::read_answer(&mut BufReader::new(&server), message.method())?;
            answer.remove("connection");
            Some(answer)
        };
        asked().unwrap_or_else(|| Message::answer(502, &[], format!("{} does not answer", self.server)))
    }

    fn control(&self, tape: &Tape, message: &Message) -> Message {
        let said = message.target().split_once('?').map(|it| it.1);
        match (message.path(), said) {
            ("/__stub/mode", Some(mode @ ("record" | "replay"))) => {
                tape.play(mode == "replay");
                Message::answer(200, &[("Content-Type", "application/json")], json!({ "mode": mode }).to_string())
            }
            ("/__stub/counts", None | Some("keep")) => {
                let counts = self.counts(tape, said.is_none());
                Message::answer(200, &[("Content-Type", "application/json")], counts.to_string())
            }
            _ => Message::answer(404, &[], "there are /__stub/mode?record, /__stub/mode?replay and /__stub/counts"),
        }
    }

    fn counts(&self, tape: &Tape, anew: bool) -> Json {
        let mut notes = lock(&self.notes);
        let counts = json!({
            "requests": notes.count,
            "most_in_flight": notes.most_in_flight,
            "operations": notes.ordinals,
            "recorded": tape.len(),
            "missed": tape.missed.load(Ordering::SeqCst),
        });
        if anew {
            let (turn, in_flight) = (notes.turn + 1, notes.in_flight);
            *notes = Notes { turn, in_flight, most_in_flight: in_flight, ..Notes::default() };
            tape.missed.store(0, Ordering::SeqCst);
        }
        counts
    }
}

/// What is the same in all pages of a listing.
fn listing(asked: &Asked) -> String {
    let members = asked.members().into_iter().filter(|it| !asked.is_page_token(&it.0));
    let account = asked.message.header("x-moto-account-id").unwrap_or_default();
    format!("{asked} {} {} {account} {:?}", asked.region, asked.access_key, members.collect::<Vec<_>>())
}
