//! The ticket service of the tests: what the kit's templates ship in four languages, with `PUT` for clients that know no better.
//!
//! `ticket-server PORT` listens on the loopback, keeps everything in memory, and asks for `Authorization: Bearer test-token`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

/// How long a ticket stays while it is being closed.
const CLOSING: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Service {
    tickets: BTreeMap<u64, Map<String, Json>>,
    queues: HashMap<String, Queue>,
    /// Tickets by idempotency key.
    keys: HashMap<String, u64>,
    closing: VecDeque<(Instant, u64)>,
    last: u64,
}

#[derive(Default)]
struct Queue {
    version: u64,
    ids: BTreeMap<u64, ()>,
    titles: HashMap<String, u64>,
}

struct Request {
    method: String,
    path: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

type Answer = (u16, Vec<(&'static str, String)>, Json);

fn main() {
    let port = std::env::args().nth(1).and_then(|it| it.parse::<u16>().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|error| {
        eprintln!("cannot listen on port {port}: {error}");
        std::process::exit(1)
    });
    let service = Arc::new(Mutex::new(Service::default()));
    for stream in listener.incoming().flatten() {
        let service = Arc::clone(&service);
        thread::spawn(move || serve(&stream, &service));
    }
}

fn serve(stream: &TcpStream, service: &Mutex<Service>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = read(&mut reader)?;
        let (status, headers, body) = service.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
        let body = if status == 304 { String::new() } else { body.to_string() };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        let mut out = stream;
        out.write_all(format!("{head}{body}").as_bytes()).ok()?;
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0_usize);
    let mut body = vec![0; length.min(1 << 20)];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|it| it.split_once('=')).map(|(name, value)| (name.to_owned(), unescape(value)));
    Some(Request { method, path: unescape(path), query: pairs.collect(), headers, body })
}

fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = if byte == b'%' { bytes.clone().take(2).map(char::from).collect() } else { String::new() };
        match (byte, u8::from_str_radix(&hex, 16)) {
            (b'%', Ok(value)) if hex.len() == 2 => {
                out.push(value);
                bytes.nth(1);
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn id_of(text: &str) -> Option<u64> {
    text.strip_prefix("T-")?.parse().ok()
}

fn wrong(status: u16, why: &str) -> Answer {
    (status, Vec::new(), json!({ "error": why }))
}

impl Service {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.headers.get("authorization").map(String::as_str) != Some("Bearer test-token") {
            return wrong(401, "a token is needed");
        }
        self.close();
        let body: Json = serde_json::from_slice(&request.body).unwrap_or_default();
        let id = request.path.strip_prefix("/tickets/").and_then(id_of);
        match (request.method.as_str(), request.path.as_str(), id) {
            ("GET", "/tickets", _) => self.list(request),
            ("POST", "/tickets", _) => self.create(request, &body),
            ("GET", _, Some(id)) => self.tickets.get(&id).map_or_else(|| wrong(404, "no such ticket"), |it| shown(200, it)),
            ("PATCH" | "PUT", _, Some(id)) => self.change(request, id, &body),
            ("DELETE", _, Some(id)) => self.delete(id),
            _ => wrong(404, "no such thing"),
        }
    }

    fn close(&mut self) {
        while self.closing.front().is_some_and(|(since, _)| since.elapsed() >= CLOSING) {
            let Some((_, id)) = self.closing.pop_front() else { return };
            let Some(ticket) = self.tickets.remove(&id) else { continue };
            let queue = self.queues.entry(ticket["queue"].as_str().unwrap_or_default().to_owned()).or_default();
            queue.version += 1;
            queue.ids.remove(&id);
            queue.titles.remove(ticket["title"].as_str().unwrap_or_default());
            self.keys.retain(|_, it| *it != id);
        }
    }

    fn list(&self, request: &Request) -> Answer {
        let empty = Queue::default();
        let name = request.query.get("queue").map(String::as_str).unwrap_or_default();
        let queue = self.queues.get(name).unwrap_or(&empty);
        let etag = format!("\"q{}\"", queue.version);
        let headers = vec![("etag", etag.clone())];
        if request.headers.get("if-none-match") == Some(&etag) {
            return (304, headers, Json::Null);
        }
        let limit = request.query.get("limit").and_then(|it| it.parse().ok()).unwrap_or(100_usize).clamp(1, 100);
        let after = request.query.get("after").and_then(|it| id_of(it)).unwrap_or(0);
        let mut ids: Vec<u64> = queue.ids.range(after + 1..).take(limit + 1).map(|(id, ())| *id).collect();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().filter(|_| more).map(|it| format!("T-{it}"));
        let tickets: Vec<&Map<String, Json>> = ids.iter().filter_map(|it| self.tickets.get(it)).collect();
        (200, headers, json!({ "tickets": tickets, "next": next }))
    }

    fn create(&mut self, request: &Request, body: &Json) -> Answer {
        let key = request.headers.get("idempotency-key").cloned();
        if let Some(made) = key.as_ref().and_then(|it| self.keys.get(it)).and_then(|it| self.tickets.get(it)) {
            return shown(200, made);
        }
        let (Some(queue), Some(title)) = (body["queue"].as_str(), body["title"].as_str()) else {
            return wrong(422, "a ticket needs `queue` and `title`");
        };
        let place = self.queues.entry(queue.to_owned()).or_default();
        if place.titles.contains_key(title) {
            return wrong(409, "the queue has a ticket of that title");
        }
        self.last += 1;
        let id = self.last;
        place.version += 1;
        place.ids.insert(id, ());
        place.titles.insert(title.to_owned(), id);
        let mut ticket = Map::new();
        for (name, default) in [("channel", json!("mail")), ("priority", json!(3)), ("tags", json!([])), ("body", json!(""))] {
            ticket.insert(name.to_owned(), body.get(name).cloned().unwrap_or(default));
        }
        let fixed =
            [("id", json!(format!("T-{id}"))), ("queue", json!(queue)), ("title", json!(title)), ("state", json!("open"))];
        ticket.extend(fixed.into_iter().map(|(name, value)| (name.to_owned(), value)));
        ticket.insert("hookSet".to_owned(), body.get("hook").is_some().into());
        ticket.insert("created".to_owned(), "2026-01-01T00:00:00Z".into());
        ticket.insert("rev".to_owned(), 1.into());
        let answer = shown(201, &ticket);
        self.tickets.insert(id, ticket);
        self.keys.extend(key.map(|it| (it, id)));
        answer
    }

    fn change(&mut self, request: &Request, id: u64, body: &Json) -> Answer {
        let Some(ticket) = self.tickets.get_mut(&id) else { return wrong(404, "no such ticket") };
        if request.headers.get("if-match").is_some_and(|it| *it != format!("\"{}\"", ticket["rev"])) {
            return wrong(412, "it is another version");
        }
        let Some(fields) = body.as_object() else { return wrong(422, "an object is needed") };
        let fixed = ["queue", "channel"].into_iter().find(|name| fields.get(*name).is_some_and(|it| *it != ticket[*name]));
        if let Some(name) = fixed {
            return wrong(422, &format!("`{name}` cannot change"));
        }
        if request.method == "PUT" {
            ticket.retain(|name, _| {
                ["id", "queue", "title", "channel", "state", "hookSet", "created", "rev"].contains(&name.as_str())
            });
        }
        for (name, value) in fields {
            match name.as_str() {
                "hook" => drop(ticket.insert("hookSet".to_owned(), true.into())),
                "id" | "rev" | "state" | "created" => {}
                name => drop(ticket.insert(name.to_owned(), value.clone())),
            }
        }
        let rev = ticket["rev"].as_u64().unwrap_or_default() + 1;
        ticket.insert("rev".to_owned(), rev.into());
        let queue = ticket["queue"].as_str().unwrap_or_default().to_owned();
        let answer = shown(200, ticket);
        self.queues.entry(queue).or_default().version += 1;
        answer
    }

    fn delete(&mut self, id: u64) -> Answer {
        let Some(ticket) = self.tickets.get_mut(&id) else { return wrong(404, "no such ticket") };
        if ticket["state"] != "closing" {
            ticket.insert("state".to_owned(), "closing".into());
            let queue = ticket["queue"].as_str().unwrap_or_default().to_owned();
            self.queues.entry(queue).or_default().version += 1;
            self.closing.push_back((Instant::now(), id));
        }
        (202, Vec::new(), json!({ "state": "closing" }))
    }
}

fn shown(status: u16, ticket: &Map<String, Json>) -> Answer {
    (status, vec![("etag", format!("\"{}\"", ticket["rev"]))], Json::Object(ticket.clone()))
}
