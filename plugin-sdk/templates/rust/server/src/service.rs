//! Tickets in queues. Their ids are the service's own, two in a queue never have one title, and one that is deleted closes
//! for a moment before it is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

const CLOSING: Duration = Duration::from_millis(300);
const TOKEN: &str = "Bearer test-token";

/// A request, the names of its headers in lower case.
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.url.split_once('?')?;
        query.split('&').filter_map(|it| it.split_once('=')).find(|(it, _)| *it == name).map(|(_, value)| unescaped(value))
    }
}

pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Value,
}

fn answer(status: u16, body: Value) -> Answer {
    Answer { status, etag: None, body }
}

fn refused(status: u16, text: &str) -> Answer {
    answer(status, json!({ "error": text }))
}

/// A ticket's own fields: all that is shown of it but its id.
type Ticket = Map<String, Value>;

#[derive(Default)]
struct Queue {
    ids: BTreeSet<u64>,
    /// The number of the last change to any of its tickets.
    version: u64,
}

pub struct Service {
    /// In every entity tag, so that one of an earlier run is never taken for one of this.
    born: u128,
    changes: u64,
    last: u64,
    tickets: BTreeMap<u64, Ticket>,
    queues: HashMap<String, Queue>,
    titles: HashMap<(String, String), u64>,
    /// What was made by the request with this `Idempotency-Key`.
    made: HashMap<String, u64>,
    closing: VecDeque<(Instant, u64)>,
    requests: BTreeMap<String, u64>,
}

impl Service {
    pub fn new() -> Self {
        let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let (tickets, queues, titles, made) = Default::default();
        let (closing, requests) = Default::default();
        Self { born, changes: 0, last: 0, tickets, queues, titles, made, closing, requests }
    }

    pub fn answer(&mut self, request: &Request) -> Answer {
        while self.closing.front().is_some_and(|(since, _)| since.elapsed() >= CLOSING) {
            self.closing.pop_front().into_iter().for_each(|(_, id)| self.remove(id));
        }
        *self.requests.entry(request.method.clone()).or_default() += 1;
        let path = request.url.split('?').next().unwrap_or_default();
        if path == "/requests" {
            return answer(200, json!(self.requests));
        }
        if request.header("authorization") != Some(TOKEN) {
            return refused(401, "the token is missing or wrong");
        }
        let id = path.strip_prefix("/tickets/").map(|it| it.strip_prefix("T-").and_then(|it| it.parse().ok()).unwrap_or(0));
        let body = serde_json::from_slice::<Value>(&request.body).ok().and_then(|it| it.as_object().cloned());
        match (request.method.as_str(), id, path, body) {
            ("GET", None, "/tickets", _) => self.list(request),
            ("POST", None, "/tickets", Some(fields)) => self.create(fields, request.header("idempotency-key")),
            ("GET", Some(id), ..) => self.show(id, 200),
            ("PATCH", Some(id), _, Some(fields)) => self.change(id, fields, request.header("if-match")),
            ("DELETE", Some(id), ..) => self.close(id),
            ("POST" | "PATCH", ..) => refused(400, "the body is no JSON object"),
            _ => refused(404, "there is nothing here"),
        }
    }

    fn list(&self, request: &Request) -> Answer {
        let name = request.parameter("queue").unwrap_or_default();
        let version = self.queues.get(&name).map_or(0, |it| it.version);
        let etag = Some(format!("\"{:x}-{version}\"", self.born));
        if request.header("if-none-match") == etag.as_deref() {
            return Answer { etag, ..answer(304, Value::Null) };
        }
        let limit = request.parameter("limit").and_then(|it| it.parse().ok()).unwrap_or(100).clamp(1, 100);
        let after = request.parameter("after").and_then(|it| it.strip_prefix("T-")?.parse::<u64>().ok()).unwrap_or(0);
        let mut rest = self.queues.get(&name).into_iter().flat_map(|it| it.ids.range(after + 1..));
        let page: Vec<u64> = rest.by_ref().take(limit).copied().collect();
        let next = rest.next().and(page.last()).map(|id| format!("T-{id}"));
        let tickets: Vec<Value> = page.iter().filter_map(|id| Some(shown(*id, self.tickets.get(id)?))).collect();
        Answer { etag, ..answer(200, json!({ "tickets": tickets, "next": next })) }
    }

    fn show(&self, id: u64, status: u16) -> Answer {
        match self.tickets.get(&id) {
            Some(it) => Answer { etag: Some(format!("\"{}\"", it["rev"])), ..answer(status, shown(id, it)) },
            None => refused(404, "there is no such ticket"),
        }
    }

    fn create(&mut self, mut fields: Ticket, key: Option<&str>) -> Answer {
        if let Some(id) = key.and_then(|it| self.made.get(it)).filter(|id| self.tickets.contains_key(id)) {
            return self.show(*id, 200);
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned);
        let (Some(queue), Some(title)) = (text("queue"), text("title")) else {
            return refused(422, "a ticket needs a queue and a title");
        };
        if self.titles.contains_key(&(queue.clone(), title.clone())) {
            return refused(409, "a ticket of that title is in the queue");
        }
        self.last += 1;
        let hook = fields.remove("hook").is_some_and(|it| !it.is_null());
        let mut ticket = Ticket::new();
        for (name, default) in [("priority", json!(3)), ("tags", json!([])), ("body", json!("")), ("hookSet", json!(hook))] {
            ticket.insert(name.to_owned(), default);
        }
        ticket.append(&mut fields);
        for (name, value) in [("state", json!("open")), ("rev", json!(1)), ("created", json!(format!("{}", self.last)))] {
            ticket.insert(name.to_owned(), value);
        }
        self.tickets.insert(self.last, ticket);
        self.titles.insert((queue.clone(), title), self.last);
        self.made.extend(key.map(|it| (it.to_owned(), self.last)));
        self.queues.entry(queue.clone()).or_default().ids.insert(self.last);
        self.touch(&queue);
        self.show(self.last, 201)
    }

    fn change(&mut self, id: u64, fields: Ticket, condition: Option<&str>) -> Answer {
        let Some(ticket) = self.tickets.get_mut(&id) else { return self.show(id, 200) };
        if condition.is_some_and(|it| it != format!("\"{}\"", ticket["rev"])) {
            return refused(412, "the ticket is no longer that revision");
        }
        if fields.contains_key("queue") {
            return refused(422, "a ticket stays in its queue");
        }
        let (queue, old) = (text(ticket, "queue"), text(ticket, "title"));
        let new = fields.get("title").and_then(Value::as_str).map_or_else(|| old.clone(), str::to_owned);
        if new != old {
            if self.titles.contains_key(&(queue.clone(), new.clone())) {
                return refused(409, "a ticket of that title is in the queue");
            }
            self.titles.remove(&(queue.clone(), old));
            self.titles.insert((queue.clone(), new), id);
        }
        for (name, value) in fields {
            match name.as_str() {
                "hook" => ticket.insert("hookSet".to_owned(), json!(!value.is_null())),
                "id" | "rev" | "state" | "created" => None,
                _ => ticket.insert(name, value),
            };
        }
        ticket["rev"] = json!(ticket["rev"].as_u64().unwrap_or(0) + 1);
        self.touch(&queue);
        self.show(id, 200)
    }

    fn close(&mut self, id: u64) -> Answer {
        if let Some(ticket) = self.tickets.get_mut(&id).filter(|it| it["state"] != "closing") {
            ticket["state"] = json!("closing");
            let queue = text(ticket, "queue");
            self.closing.push_back((Instant::now(), id));
            self.touch(&queue);
        }
        self.show(id, 202)
    }

    fn remove(&mut self, id: u64) {
        let Some(ticket) = self.tickets.remove(&id) else { return };
        let (queue, title) = (text(&ticket, "queue"), text(&ticket, "title"));
        self.titles.remove(&(queue.clone(), title));
        self.queues.entry(queue.clone()).or_default().ids.remove(&id);
        self.touch(&queue);
    }

    fn touch(&mut self, queue: &str) {
        self.changes += 1;
        self.queues.entry(queue.to_owned()).or_default().version = self.changes;
    }
}

fn text(ticket: &Ticket, name: &str) -> String {
    ticket.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn shown(id: u64, ticket: &Ticket) -> Value {
    let mut all = ticket.clone();
    all.insert("id".to_owned(), json!(format!("T-{id}")));
    Value::Object(all)
}

/// The text behind `%20` and `+`.
fn unescaped(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')].map(char::from);
                out.push(u8::from_str_radix(&String::from_iter(digits), 16).unwrap_or(b'?'));
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
