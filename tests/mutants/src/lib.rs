//! An honest provider of tickets with forty bugs to choose from: what shows that `trueup plugin test` catches each.
//! Built for `wasm32-wasip2`; never bundled.
//!
//! Which bug is in is said by [`MUTANT`], bytes of the component that a test overwrites, so that one build gives every mutant.
//! The table of bugs, each with the check that is meant for it, stands in the test (`tests/integration/plugin/mutants.rs`); here
//! each has its name at the one place where it changes what the provider does.

#![cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "built natively only so that the whole workspace builds"))]

mod client;
mod manifest;
mod ticket;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use client::Client;
use trueup_sdk::host::http::{self as wire};
use trueup_sdk::host::log::{self, Level};
use trueup_sdk::{
    Action, Address, CallInfo, Change, Coverage, Declared, Desired, Error, Fault, Json, Lookup, Observation, Outcome, Pending,
    Provider, Remote, Rendered, Result, ScopeQuery, Settlement, Severity, Snapshot, json,
};

/// The bug: its name behind `@mutant=`, filled up with `@`.
#[used]
pub static MUTANT: [u8; 48] = *b"@mutant=honest@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";

/// Whether this bug is in.
pub fn is(name: &str) -> bool {
    let bytes = black_box(&MUTANT).get(8..).unwrap_or_default();
    bytes.split(|it| *it == b'@').next() == Some(name.as_bytes())
}

/// Counts calls of the instance, for bugs that depend on them.
static CALLS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Deletes that this instance began.
    static BEGUN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Tickets as this instance first saw them.
    static SEEN: RefCell<BTreeMap<String, Json>> = const { RefCell::new(BTreeMap::new()) };
}

/// One configured provider.
pub struct Tickets {
    client: Client,
}

trueup_sdk::export!(Tickets);

impl Provider for Tickets {
    fn manifest() -> Json {
        manifest::manifest(CALLS.fetch_add(1, Ordering::Relaxed))
    }

    fn configure(config: Json, _: Option<Json>) -> Result<Self> {
        let server = config.get("server").and_then(Json::as_str).unwrap_or_default();
        Ok(Self { client: Client::new(server) })
    }

    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        let one =
            |(position, item): (usize, Declared)| match ticket::render(&item, position, CALLS.fetch_add(1, Ordering::Relaxed)) {
                Ok((address, doc)) => {
                    let object = Desired { address, doc: doc.to_string(), after: Vec::new(), ext: Vec::new() };
                    Rendered { objects: vec![object], diagnostics: Vec::new() }
                }
                Err(error) => Rendered { objects: Vec::new(), diagnostics: vec![error.diagnostic(Severity::Error)] },
            };
        items.into_iter().enumerate().map(one).collect()
    }

    fn scan(&self, queries: Vec<ScopeQuery>, _: &CallInfo) -> Vec<Result<Snapshot>> {
        if is("writes-in-scan") {
            let _ = self.client.touch();
        }
        if is("asks-elsewhere") {
            let _ = self.client.elsewhere();
        }
        let mut answers: Vec<Result<Snapshot>> = queries.iter().map(|it| self.page(it)).collect();
        if is("short-answers") && answers.len() > 1 {
            answers.pop();
        }
        if is("scan-all-or-nothing") && queries.len() > 1 && queries.iter().any(|it| it.cursor.is_some()) {
            return queries.iter().map(|_| Err(Error::invalid("tickets.cursor", "a cursor of the batch is not ours"))).collect();
        }
        answers
    }

    fn read(&self, lookups: Vec<Lookup>, _: &CallInfo) -> Vec<Observation> {
        lookups.iter().map(|it| self.find(it)).collect()
    }

    fn apply(&self, changes: Vec<Change>, _: &CallInfo) -> Vec<Outcome> {
        let outcomes: Vec<Outcome> = self.apply_all(&changes);
        if is("batch-all-or-nothing") && outcomes.iter().any(|it| matches!(it.settlement, Settlement::Rejected(_))) {
            return changes
                .iter()
                .map(|_| Outcome::failed(Error::conflict("tickets.batch", "a change of the batch failed")))
                .collect();
        }
        outcomes
    }

    fn poll(&self, handles: Vec<String>, _: &CallInfo) -> Vec<Outcome> {
        handles.iter().map(|it| self.poll_one(it)).collect()
    }
}

impl Tickets {
    /// One page of a queue: one request.
    fn page(&self, query: &ScopeQuery) -> Result<Snapshot> {
        if query.kind != manifest::KIND {
            return Err(Error::unsupported(format!("there is no kind `{}`", query.kind)));
        }
        let cursor = query.cursor.as_deref();
        let (after, first) =
            match cursor.map(|it| it.split_once('|').ok_or_else(|| Error::invalid("tickets.cursor", "no cursor of ours"))) {
                Some(parts) => parts.map(|(after, etag)| (Some(after.to_owned()), Some(etag.to_owned())))?,
                None => (None, None),
            };
        let after = if is("ignores-cursor") { None } else { after };
        let after = if is("page-repeats") { after.map(|it| client::before(&it)) } else { after };
        let since = query.since.as_deref().filter(|_| cursor.is_none());
        if is("unchanged-forever") && since.is_some() {
            return Ok(snapshot(Vec::new(), None, query.since.clone(), Coverage::Unchanged));
        }
        let page = match self.client.list(&query.scope, query.limit, after.as_deref(), since) {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(snapshot(Vec::new(), None, query.since.clone(), Coverage::Unchanged)),
            Err(_) if is("error-is-empty") => client::Page::default(),
            Err(error) => return Err(error),
        };
        if is("panics-on-empty") {
            // What a provider does that takes the first ticket for granted.
            assert!(!page.tickets.is_empty(), "a queue has a first ticket");
        }
        if is("quadratic-scan") {
            self.waste(&query.scope, after.as_deref());
        }
        let version = first.or(page.etag);
        let next = page.next.map(|it| format!("{it}|{}", version.as_deref().unwrap_or_default()));
        let coverage = if is("page-partial") && next.is_some() { Coverage::Partial } else { Coverage::Whole };
        let objects = page.tickets.iter().map(|it| self.remote(it)).collect();
        Ok(snapshot(objects, next, version, coverage))
    }

    /// Goes over everything before this page again, with each page more of it.
    fn waste(&self, queue: &str, after: Option<&str>) {
        let before = after.and_then(|it| it.strip_prefix("T-")).and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
        let mut sum = queue.len() as u64;
        for it in 0..before * 60_000 {
            sum = black_box(sum.rotate_left(5) ^ it);
        }
        black_box(sum);
    }

    fn remote(&self, ticket: &Json) -> Remote {
        if is("drift-cached") {
            let id = ticket["id"].as_str().unwrap_or_default().to_owned();
            let old = SEEN.with(|it| it.borrow_mut().entry(id).or_insert_with(|| ticket.clone()).clone());
            return ticket::remote(&old, &self.client.server);
        }
        let mut remote = ticket::remote(ticket, &self.client.server);
        if is("wrong-identity") {
            remote.identity.clone_from(&remote.address.key);
        }
        remote
    }

    fn find(&self, lookup: &Lookup) -> Observation {
        let found = match lookup.identity.as_deref().filter(|it| it.starts_with("T-")) {
            Some(id) => self.client.get(id),
            None => self.client.search(&lookup.address.scope, &lookup.address.key),
        };
        match found {
            Ok(Some(ticket)) => {
                let remote = self.remote(&ticket);
                if lookup.since.is_some() && remote.version == lookup.since {
                    Observation::Unchanged
                } else {
                    Observation::Found(remote)
                }
            }
            Ok(None) => Observation::Absent,
            Err(_) if is("read-error-absent") => Observation::Absent,
            Err(error) => Observation::Failed(error.into()),
        }
    }

    /// Creates go out together, the rest one after the other.
    fn apply_all(&self, changes: &[Change]) -> Vec<Outcome> {
        let create = |it: &&Change| it.action == Action::Create;
        let mut bodies = Vec::new();
        for change in changes.iter().filter(create) {
            bodies.push(self.body(change).map(|body| (body, self.key(change))));
        }
        let mut made = self.client.create_all(bodies).into_iter();
        let one = |change: &Change| match change.action {
            Action::Create => self.created(change, made.next().unwrap_or_else(|| Err(Error::internal("no answer")))),
            Action::Update => self.update(change),
            Action::Delete => self.delete(change),
        };
        changes.iter().map(one).collect()
    }

    /// What recognises another try.
    fn key(&self, change: &Change) -> String {
        if is("create-without-look") { format!("{}-{}", change.token, change.attempt) } else { change.token.clone() }
    }

    fn body(&self, change: &Change) -> Result<Json> {
        let doc: Json = serde_json::from_str(change.desired.as_deref().unwrap_or("{}"))?;
        let mut body = doc.get("spec").cloned().unwrap_or_default();
        reveal(&mut body)?;
        if is("logs-secret") {
            log::write(Level::Info, &format!("sending {body}"), &[]);
        }
        Ok(body)
    }

    fn created(&self, change: &Change, answer: Result<Json>) -> Outcome {
        match answer {
            Ok(ticket) => Outcome::settled(Some(self.answered(change, &ticket))),
            Err(error) if is("cut-is-rejected") => Outcome::failed(Error { unsettled: false, ..error }),
            Err(error) if is("error-holds-secret") => {
                let body = self.body(change).unwrap_or_default();
                Outcome::failed(Error { message: format!("{}: {body}", error.message), ..error })
            }
            Err(error) => Outcome::failed(error),
        }
    }

    /// The object that `apply` answers with.
    fn answered(&self, change: &Change, ticket: &Json) -> Remote {
        let mut remote = ticket::remote(ticket, &self.client.server);
        if is("echoes-desired") {
            let doc: Json = serde_json::from_str(change.desired.as_deref().unwrap_or("{}")).unwrap_or_default();
            remote.doc = doc.to_string();
        }
        if is("secret-in-outputs") {
            let body = self.body(change).unwrap_or_default();
            remote.outputs = json!({ "id": ticket["id"], "state": "open", "url": body["hook"] }).to_string();
        }
        remote
    }

    fn update(&self, change: &Change) -> Outcome {
        let updated = || {
            let mut body = self.body(change)?;
            let touched = |name: &str| change.edits.iter().any(|it| it.path.split('/').nth(2) == Some(name));
            if let Some(fields) = body.as_object_mut() {
                // Only what changed, so that what strangers set stays.
                if !is("puts-whole") {
                    fields.retain(|name, _| touched(name));
                }
                for (mutant, field) in
                    [("update-ignores-field", "body"), ("update-ignores-secret", "hook"), ("immutable-ignored", "channel")]
                {
                    if is(mutant) {
                        fields.remove(field);
                    }
                }
            }
            let prior = change.prior.as_ref().ok_or_else(|| Error::internal("an update without an object"))?;
            let version = prior.version.as_deref();
            let sent = self.client.update(&prior.identity, &body, version);
            match sent {
                Err(error) if is("forces-conflicts") && error.fault == Fault::Conflict => {
                    let _ = self.client.update(&prior.identity, &body, None);
                    self.client.get(&prior.identity)?.ok_or(error)
                }
                sent => sent,
            }
        };
        match updated() {
            Ok(ticket) => Outcome::settled(Some(self.answered(change, &ticket))),
            Err(error) if is("update-cut-is-rejected") => Outcome::failed(Error { unsettled: false, ..error }),
            Err(error) => Outcome::failed(error),
        }
    }

    fn delete(&self, change: &Change) -> Outcome {
        let Some(prior) = &change.prior else { return Outcome::failed(Error::internal("a delete without an object")) };
        if is("closing-is-conflict") && matches!(self.client.get(&prior.identity), Ok(Some(it)) if it["state"] == "closing") {
            return Outcome::failed(Error::conflict("tickets.closing", "somebody else closes it"));
        }
        match self.client.delete(&prior.identity) {
            Ok(true) => {
                BEGUN.with(|it| it.borrow_mut().push(prior.identity.clone()));
                pending(&prior.identity)
            }
            Ok(false) if is("delete-404-fails") => {
                Outcome::failed(Error::new(Fault::NotFound, "tickets.gone", format!("`{}` is not there", prior.identity)))
            }
            Ok(false) => Outcome::settled(None),
            Err(error) => Outcome::failed(error),
        }
    }

    fn poll_one(&self, handle: &str) -> Outcome {
        let Some(id) = handle.strip_prefix("delete ") else {
            return Outcome::failed(Error::internal("no operation of ours").unsettled());
        };
        if is("poll-needs-globals") && !BEGUN.with(|it| it.borrow().iter().any(|it| it == id)) {
            return Outcome::failed(Error::internal("nobody here began that").unsettled());
        }
        match self.client.get(id) {
            Ok(None) => Outcome::settled(None),
            Ok(Some(_)) => pending(id),
            Err(error) => Outcome::failed(error.unsettled()),
        }
    }
}

fn pending(id: &str) -> Outcome {
    let pending =
        Pending { operation: format!("delete {id}"), after: 100, message: format!("{id} is being closed"), ext: Vec::new() };
    Outcome { settlement: Settlement::Pending(pending), object: None, diagnostics: Vec::new(), ext: Vec::new() }
}

fn snapshot(objects: Vec<Remote>, next: Option<String>, version: Option<String>, coverage: Coverage) -> Snapshot {
    Snapshot { objects, next, version, coverage, gone: Vec::new(), diagnostics: Vec::new(), ext: Vec::new() }
}

/// Puts the value of the secret in place of its handle.
fn reveal(body: &mut Json) -> Result<()> {
    let Some(handle) = body.pointer("/hook/$secret").and_then(Json::as_str).map(str::to_owned) else { return Ok(()) };
    let value = trueup_sdk::host::secrets::reveal(&handle);
    body["hook"] =
        value.map_err(|error| Error::new(Fault::Denied, "tickets.secret", format!("the secret of `hook`: {error:?}")))?.into();
    Ok(())
}

/// An address of this provider.
pub fn address(queue: &str, title: &str) -> Address {
    Address { kind: manifest::KIND.to_owned(), scope: queue.to_owned(), key: title.to_owned() }
}

/// A request as the engine takes it, for those that the SDK's client would not send.
pub fn raw(method: &str, url: String) -> wire::Request {
    wire::Request {
        method: method.to_owned(),
        url,
        headers: Vec::new(),
        body: None,
        credential: None,
        timeout: None,
        until: None,
        ext: Vec::new(),
    }
}
