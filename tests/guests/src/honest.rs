//! The provider that the guest is while it behaves: kind `Thing`, a file `<root>/<name>.thing` with `spec.text`.
//!
//! A thing whose text is `slow` is progressing until a file `<root>/<name>.ready` stands there; one whose text is `sick` is
//! degraded for ever. `spec.parts` renders further things, each on the one before: `<name>+<part>` with the text
//! `on <key before>`, which can only be made while that one is there, and keeps it from being removed. A thing whose text is
//! `system` is nobody's to claim.
//!
//! Kind `Box`, a file `<root>/<name>.box` that holds its `spec`: while `spec.all` is true it claims every thing but those that
//! `spec.ignore` names.
//!
//! Kinds `Marked` and `Nameless`, files that hold `spec.text`: the one bears the engine's mark in its first line, the other cannot
//! be found again after a create whose outcome is not known.

use trueup_sdk::error::healthy;
use trueup_sdk::host::files::{self, Expectation, FileChange, FileError, Operation, Payload, ReadRequest, Write};
use trueup_sdk::{
    Action, Address, CallInfo, Change, Coverage, Declared, Desired, Error, Health, HealthState, Json, Lookup, Observation,
    Outcome, Provider, Remote, Rendered, Result, ScopeQuery, Severity, Snapshot, json,
};

/// Longest file that is a thing.
const LIMIT: u64 = 64 * 1024;

/// One configured provider.
pub struct Honest {
    root: String,
}

impl Provider for Honest {
    fn manifest() -> Json {
        let text = json!({ "type": "string" });
        let secret = json!({ "type": "string", "x-trueup-sensitive": true, "x-trueup-write-only": true });
        let spec = json!({
            "type": "object",
            "properties": { "text": text, "secret": secret, "render": text, "parts": { "type": "array", "items": text } },
            "required": ["text"],
            "additionalProperties": false
        });
        let boxed = json!({
            "type": "object",
            "properties": { "all": { "type": "boolean" }, "ignore": { "type": "array", "items": text } },
            "additionalProperties": false
        });
        let kind = |spec: Json| {
            json!({
                "schema": { "type": "object", "properties": { "spec": spec }, "required": ["spec"], "additionalProperties": false },
                "observe": "scan",
                "batch": { "items": 16, "bytes": 1_048_576, "atomic": false },
                "recover": "key",
                "replace": "delete-first"
            })
        };
        let plain = json!({
            "type": "object", "properties": { "text": text }, "required": ["text"], "additionalProperties": false
        });
        let (mut marked, mut nameless) = (kind(plain.clone()), kind(plain));
        marked["recover"] = json!("mark");
        nameless["recover"] = json!("none");
        let mut claiming = kind(boxed);
        claiming["claims"] = json!("/spec/all");
        claiming["claimsExcept"] = json!("/spec/ignore");
        json!({
            "format": 1,
            "name": "hostile",
            "version": "0.1.0",
            "config": {
                "type": "object",
                "properties": { "root": text, "mode": text, "url": text },
                "required": ["root"],
                "additionalProperties": false
            },
            "hosts": ["config.url"],
            "dns": true,
            "dirs": true,
            "credentials": { "token": { "schemes": [] } },
            "secrets": true,
            "parallel": 2,
            "features": ["rendering", "planning", "operations"],
            "kinds": { "Thing": kind(spec), "Box": claiming, "Marked": marked, "Nameless": nameless }
        })
    }

    fn configure(config: Json, _: Option<Json>) -> Result<Self> {
        let root = config.get("root").and_then(Json::as_str).unwrap_or_default();
        Ok(Self { root: root.to_owned() })
    }

    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        items.into_iter().map(render).collect()
    }

    fn scan(&self, queries: Vec<ScopeQuery>, _: &CallInfo) -> Vec<Result<Snapshot>> {
        queries.iter().map(|it| self.list(&it.kind)).collect()
    }

    fn read(&self, lookups: Vec<Lookup>, _: &CallInfo) -> Vec<Observation> {
        let find = |lookup: &Lookup| match self.list(&lookup.address.kind) {
            Err(error) => Observation::Failed(error.into()),
            Ok(all) => {
                let found = all.objects.into_iter().find(|it| it.address.key == lookup.address.key);
                found.map_or(Observation::Absent, Observation::Found)
            }
        };
        lookups.iter().map(find).collect()
    }

    fn apply(&self, changes: Vec<Change>, _: &CallInfo) -> Vec<Outcome> {
        changes.iter().map(|it| self.change(it).map_or_else(Outcome::failed, Outcome::settled)).collect()
    }
}

/// Without what is meant for the guest itself.
fn render(item: Declared) -> Rendered {
    match serde_json::from_str::<Json>(&item.doc) {
        Ok(mut doc) => {
            let mut parts = Json::Null;
            if let Some(spec) = doc.get_mut("spec").and_then(Json::as_object_mut).filter(|_| item.address.kind == "Thing") {
                spec.remove("render");
                parts = spec.remove("parts").unwrap_or_default();
            }
            let name = item.address.key.clone();
            let mut objects = vec![Desired { address: item.address, doc: doc.to_string(), after: Vec::new(), ext: Vec::new() }];
            for part in parts.as_array().into_iter().flatten().filter_map(Json::as_str) {
                let before = objects.last().map(|it| it.address.clone()).into_iter().collect::<Vec<_>>();
                let on = before.iter().map(|it| it.key.as_str()).collect::<String>();
                let address = Address { kind: "Thing".to_owned(), scope: String::new(), key: format!("{name}+{part}") };
                let doc = json!({ "spec": { "text": format!("on {on}") } }).to_string();
                objects.push(Desired { address, doc, after: before, ext: Vec::new() });
            }
            // In an order that says nothing.
            objects.reverse();
            Rendered { objects, diagnostics: Vec::new() }
        }
        Err(error) => Rendered { objects: Vec::new(), diagnostics: vec![Error::from(error).diagnostic(Severity::Error)] },
    }
}

/// A thing as it is.
pub fn thing(key: &str, text: &str) -> Remote {
    Remote {
        address: Address { kind: "Thing".to_owned(), scope: String::new(), key: key.to_owned() },
        identity: key.to_owned(),
        doc: json!({ "spec": { "text": text } }).to_string(),
        outputs: "{}".to_owned(),
        version: None,
        mark: None,
        health: healthy(),
        sensitive: Vec::new(),
        ext: Vec::new(),
    }
}

/// A box as it is, or as broken as its file.
fn boxed(key: &str, text: &str) -> Remote {
    let spec: Json = serde_json::from_str(text).unwrap_or_default();
    let address = Address { kind: "Box".to_owned(), scope: String::new(), key: key.to_owned() };
    Remote { address, doc: json!({ "spec": spec }).to_string(), ..thing(key, "") }
}

/// What the file of a name of this kind says.
fn remote(kind: &str, key: &str, text: &str, ready: bool) -> Remote {
    if kind == "Box" {
        return boxed(key, text);
    }
    let (mark, text) = if kind == "Marked" { text.split_once('\n').unwrap_or(("", text)) } else { ("", text) };
    let mark = Some(mark.to_owned()).filter(|it| !it.is_empty());
    let own = (text == "system").then(|| ("unclaimed".to_owned(), "true".to_owned()));
    let plain = thing(key, text);
    let address = Address { kind: kind.to_owned(), ..plain.address };
    Remote { address, mark, health: health(text, ready), ext: own.into_iter().collect(), ..plain }
}

/// How the names of a kind's files end.
fn end(kind: &str) -> String {
    format!(".{}{}", kind.to_ascii_lowercase(), crate::suffix())
}

fn health(text: &str, ready: bool) -> Health {
    match text {
        "slow" if !ready => Health { state: HealthState::Progressing, message: "it is not ready".to_owned() },
        "sick" => Health { state: HealthState::Degraded, message: "it coughs".to_owned() },
        _ => healthy(),
    }
}

fn failed(error: FileError) -> Error {
    match error {
        FileError::Io(text) => Error::transient("guest.io", text).unsettled(),
        other => Error::conflict("guest.file", format!("{other:?}")),
    }
}

impl Honest {
    fn list(&self, kind: &str) -> Result<Snapshot> {
        let end = end(kind);
        let listing = match files::list_all(std::slice::from_ref(&self.root)).pop() {
            Some(Ok(listing)) => listing.entries,
            Some(Err(FileError::NotFound)) | None => Vec::new(),
            Some(Err(error)) => return Err(failed(error)),
        };
        let keys = listing.iter().filter_map(|it| it.name.strip_suffix(&end)).collect::<Vec<_>>();
        let requests = keys.iter().map(|key| ReadRequest { path: self.path(kind, key), max_bytes: LIMIT }).collect::<Vec<_>>();
        let mut objects = Vec::new();
        for (key, content) in keys.into_iter().zip(files::read_all(&requests)) {
            let bytes = content.map_err(failed)?.bytes.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let ready = listing.iter().any(|it| it.name == format!("{key}.ready"));
            objects.push(remote(kind, key, &text, ready));
        }
        Ok(Snapshot {
            objects,
            next: None,
            version: None,
            coverage: Coverage::Whole,
            gone: Vec::new(),
            diagnostics: Vec::new(),
            ext: Vec::new(),
        })
    }

    fn path(&self, kind: &str, key: &str) -> String {
        format!("{}/{key}{}", self.root, end(kind))
    }

    /// Whether what the thing is on is there, and nothing is on what goes.
    fn stands(&self, key: &str, action: Action, text: &str) -> Result<()> {
        let below = text.strip_prefix("on ");
        if below.is_none() && action != Action::Delete {
            return Ok(());
        }
        let things = self.list("Thing")?.objects;
        let wanted = json!({ "spec": { "text": format!("on {key}") } }).to_string();
        let holds = |it: &Remote| it.doc == wanted;
        match below {
            _ if action == Action::Delete && things.iter().any(holds) => {
                Err(Error::conflict("guest.held", format!("something is on `{key}`")))
            }
            Some(below) if !things.iter().any(|it| it.address.key == below) => {
                Err(Error::conflict("guest.falls", format!("`{below}` is not there")))
            }
            _ => Ok(()),
        }
    }

    fn change(&self, change: &Change) -> Result<Option<Remote>> {
        let doc = change.desired.as_deref().map(serde_json::from_str::<Json>).transpose()?;
        let kind = change.address.kind.as_str();
        let text = doc.as_ref().and_then(|it| it.pointer("/spec/text")?.as_str());
        let written = match kind {
            "Box" => doc.as_ref().and_then(|it| it.get("spec")).map(Json::to_string),
            "Marked" => text.map(|it| format!("{}\n{it}", change.mark)),
            _ => None,
        };
        let text = written.as_deref().or(text).unwrap_or_default();
        if kind == "Thing" {
            self.stands(&change.address.key, change.action, text)?;
        }
        let operation = match change.action {
            Action::Delete => Operation::RemoveFile,
            Action::Create | Action::Update => {
                Operation::Write(Write { payload: Payload::Bytes(text.as_bytes().to_vec()), mode: None })
            }
        };
        let request = FileChange {
            path: self.path(kind, &change.address.key),
            operation,
            expect: Expectation::Any,
            token: change.token.clone(),
        };
        match files::change_all(&[request]).pop() {
            Some(Ok(Some(_))) => Ok(Some(remote(kind, &change.address.key, text, false))),
            Some(Ok(None) | Err(FileError::NotFound)) if change.action == Action::Delete => Ok(None),
            Some(Err(error)) => Err(failed(error)),
            Some(Ok(None)) | None => Err(Error::internal("no answer").unsettled()),
        }
    }
}
