//! Changes: server-side apply for what is declared, a delete with preconditions for what is not.
//!
//! # Guarantees
//! - A create looks first: an object that is there and does not carry our mark is not touched.
//! - An update and a delete name the object's `uid`: one that was made anew in the meantime is not touched.
//! - Fields that others manage are taken over by `trueup.dev/force` alone, and where somebody changed by hand what we had applied.
//!
//! # Caveats
//! Between the look of a create and the apply somebody else may create the object; the server merges then. Its answer tells: the change
//! is refused, so that no entry calls the object ours, and the next plan finds it by its mark alone, which never permits a delete.

use std::collections::BTreeSet;
use std::rc::Rc;

use trueup_sdk::http::{self, Request, Response};
use trueup_sdk::{Action, Address, Change, Diagnostic, EditOp, Error, Fault, Json, Outcome, Result, Severity, json};

use crate::error::{self, Asked, Status};
use crate::fetch::{self, Kinds, PARALLEL};
use crate::kind::Info;
use crate::list::name_of;
use crate::managed;
use crate::manifest::MANAGER;
use crate::object::{self, Object};
use crate::{secret, settle};

/// Annotation of an object: how what it owns goes with it (`Background`, `Foreground`, `Orphan`).
pub const PROPAGATION: &str = "kubernetes.trueup.dev/propagation";
/// How often managers are looked at anew where somebody writes the object meanwhile.
const LOOKS: u32 = 5;
/// How long an object that is going is left alone, in milliseconds.
const LATER: u64 = 2_000;

/// A change that can be sent.
struct Job<'a> {
    change: &'a Change,
    info: Rc<Info>,
    /// Of an apply.
    body: Vec<u8>,
}

impl Job<'_> {
    fn address(&self) -> &Address {
        &self.change.address
    }

    fn name(&self) -> String {
        let it = self.address();
        name_of(&it.kind, &it.scope, &it.key)
    }

    fn request(&self) -> Request {
        match self.change.action {
            Action::Delete => delete(&self.info, self.address(), &self.options(self.version())),
            Action::Create | Action::Update => self.sending(false).request(self.is_forced()),
        }
    }

    fn is_forced(&self) -> bool {
        forced(&self.change.ext)
    }

    fn sending(&self, dry_run: bool) -> Sending<'_> {
        Sending { info: &self.info, address: self.address(), body: &self.body, dry_run }
    }

    fn takes_over(&self) -> bool {
        takes_over(&self.change.ext)
    }

    fn version(&self) -> Option<&str> {
        self.change.prior.as_ref()?.version.as_deref()
    }

    /// `DeleteOptions`.
    fn options(&self, version: Option<&str>) -> Json {
        let prior = self.change.prior.as_ref();
        let mut preconditions = serde_json::Map::new();
        for (name, value) in [("uid", prior.map(|it| it.identity.as_str())), ("resourceVersion", version)] {
            if let Some(value) = value.filter(|it| !it.is_empty()) {
                preconditions.insert(name.to_owned(), Json::from(value));
            }
        }
        let policy = prior.map_or("Background", |it| propagation(&it.doc));
        json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions, "propagationPolicy": policy })
    }
}

/// Whether the document says `trueup.dev/force`.
pub fn forced(ext: &[(String, String)]) -> bool {
    says(ext, "force")
}

/// Whether the object becomes ours by a person's word. That it carries no mark does not say so: anybody may take a label off.
pub fn takes_over(ext: &[(String, String)]) -> bool {
    says(ext, "adopt")
}

fn says(ext: &[(String, String)], what: &str) -> bool {
    ext.iter().any(|(name, value)| name == what && value == "true")
}

fn propagation(doc: &str) -> &'static str {
    let doc: Json = serde_json::from_str(doc).unwrap_or_default();
    let annotations = doc.get("metadata").and_then(|it| it.get("annotations"));
    match annotations.and_then(|it| it.get(PROPAGATION)).and_then(Json::as_str) {
        Some("Foreground") => "Foreground",
        Some("Orphan") => "Orphan",
        _ => "Background",
    }
}

/// A server-side apply.
pub struct Sending<'a> {
    pub info: &'a Info,
    pub address: &'a Address,
    pub body: &'a [u8],
    pub dry_run: bool,
}

impl Sending<'_> {
    pub fn request(&self, force: bool) -> Request {
        self.of(self.body, force)
    }

    fn of(&self, body: &[u8], force: bool) -> Request {
        let url = self.info.object(&self.address.scope, &self.address.key);
        let mut request = fetch::signed(http::patch(url)).query("fieldManager", MANAGER);
        if force {
            request = request.query("force", "true");
        }
        if self.dry_run {
            request = request.query("dryRun", "All");
        }
        // JSON is YAML, and any server that has server-side apply takes this type.
        request.body("application/apply-patch+yaml", body)
    }

    /// One that takes every field, of the object as it is in this version alone.
    fn forced_at(&self, version: &str) -> Result<Request> {
        let mut body: Json = serde_json::from_slice(self.body)?;
        if let Some(Json::Object(metadata)) = body.get_mut("metadata") {
            metadata.insert("resourceVersion".to_owned(), Json::from(version));
        }
        Ok(self.of(&serde_json::to_vec(&body)?, true))
    }
}

fn delete(info: &Info, address: &Address, options: &Json) -> Request {
    fetch::signed(http::delete(info.object(&address.scope, &address.key))).json(options)
}

pub fn asked<'a>(verb: &'a str, what: &'a str, kind: &str, writes: bool) -> Asked<'a> {
    Asked { verb, what, writes, secret: kind == secret::KIND }
}

/// Carries out all changes, side by side.
pub fn apply(kinds: &Kinds, changes: &[Change]) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = changes.iter().map(|_| None).collect();
    let mut jobs: Vec<(usize, Job<'_>)> = Vec::with_capacity(changes.len());
    for (at, (change, slot)) in changes.iter().zip(&mut outcomes).enumerate() {
        match prepare(kinds, change) {
            Ok(Some(job)) => jobs.push((at, job)),
            // A kind that is gone took its objects along.
            Ok(None) => *slot = Some(Outcome::settled(None)),
            Err(error) => *slot = Some(Outcome::failed(error)),
        }
    }
    let taken = taken(&jobs);
    jobs.retain(|(at, _)| match taken.iter().find(|(it, _)| it == at) {
        Some((_, error)) => {
            if let Some(slot) = outcomes.get_mut(*at) {
                *slot = Some(Outcome::failed(error.clone()));
            }
            false
        }
        None => true,
    });
    let requests: Vec<Request> = jobs.iter().map(|(_, it)| it.request()).collect();
    let answers = if requests.is_empty() { Vec::new() } else { http::send_all(requests, PARALLEL) };
    for ((at, job), answer) in jobs.iter().zip(answers) {
        let outcome = answer.and_then(|it| match job.change.action {
            Action::Delete => deleted(kinds, job, it),
            Action::Create | Action::Update => applied(job, it),
        });
        if let Some(slot) = outcomes.get_mut(*at) {
            *slot = Some(outcome.unwrap_or_else(Outcome::failed));
        }
    }
    let missing = || Outcome::failed(Error::internal("a change was left out"));
    outcomes.into_iter().map(|it| it.unwrap_or_else(missing)).collect()
}

fn prepare<'a>(kinds: &Kinds, change: &'a Change) -> Result<Option<Job<'a>>> {
    let address = &change.address;
    let Some(info) = kinds.find(&address.kind)? else {
        if change.action == Action::Delete {
            return Ok(None);
        }
        let text = format!("the cluster has no kind `{}`; apply its definition first", address.kind);
        return Err(Error::new(Fault::NotFound, "k8s.unknown-kind", text));
    };
    let body = match (change.action, &change.desired) {
        (Action::Delete, _) => Vec::new(),
        (_, None) => return Err(Error::internal("a change without a document")),
        (action, Some(doc)) => {
            let uid = change.prior.as_ref().map(|it| it.identity.as_str()).filter(|_| action == Action::Update);
            serde_json::to_vec(&object::to_send(&info, address, doc, Some(&change.mark), uid)?)?
        }
    };
    Ok(Some(Job { change, info, body }))
}

/// Creates whose object is there and not ours, or cannot be told.
fn taken(jobs: &[(usize, Job<'_>)]) -> Vec<(usize, Error)> {
    let creates: Vec<&(usize, Job<'_>)> = jobs.iter().filter(|(_, it)| it.change.action == Action::Create).collect();
    if creates.is_empty() {
        return Vec::new();
    }
    let look = |(_, job): &&(usize, Job<'_>)| fetch::get(job.info.object(&job.address().scope, &job.address().key));
    let answers = http::send_all(creates.iter().map(look).collect(), PARALLEL);
    creates
        .iter()
        .zip(answers)
        .filter_map(|((at, job), answer)| Some((*at, answer.and_then(|it| free(job, it)).err()?)))
        .collect()
}

fn free(job: &Job<'_>, response: Response) -> Result<()> {
    if response.status() == 404 {
        return Ok(());
    }
    let name = job.name();
    let object = fetch::object(&response, asked("read", &name, &job.address().kind, false), &job.info, job.address())?;
    if object.is_going() {
        let text = format!("{name} is still {}", crate::health::going(&object));
        return Err(Error::new(Fault::Transient(Some(LATER)), "k8s.terminating", text));
    }
    if object.mark().is_some_and(|it| it == job.change.mark) {
        return Ok(());
    }
    let text = format!("{name} exists already, and is not ours; `trueup adopt --declared` takes it over");
    Err(Error::conflict("k8s.exists", text))
}

fn applied(job: &Job<'_>, response: Response) -> Result<Outcome> {
    let name = job.name();
    let asked = asked("apply", &name, &job.address().kind, true);
    let response = if job.is_forced() { response } else { decided(job.takes_over(), &job.sending(false), response)? };
    let met = job.change.action == Action::Create && response.status() == 200 && !job.change.unsettled && job.change.attempt == 0;
    let object = fetch::object(&response, asked, &job.info, job.address())?;
    // What is told of these two is certain. Were they unsettled, a look would show all that was asked for, and call it done.
    if object.is_going() {
        let text = format!("{name} is {}; it is made anew once it is gone", crate::health::going(&object));
        return Err(Error::new(Fault::Transient(Some(LATER)), "k8s.terminating", text));
    }
    if met {
        let text = format!(
            "{name} was created by somebody else at the same moment, and ours was merged into it; look at it, then apply again or \
             take it over with `trueup adopt --recovered`"
        );
        return Err(Error::conflict("k8s.exists", text));
    }
    let what = Outcome { object: None, ..settle::applied(job.address(), object.clone(), &job.info) };
    let diagnostics = warning(&response).filter(|_| !asked.secret).into_iter().collect();
    let object = match finished(job, &response).map_err(Error::unsettled)? {
        Some(response) => fetch::object(&response, asked, &job.info, job.address()).map_err(Error::unsettled)?,
        None => object,
    };
    Ok(Outcome { object: seen(job, object), diagnostics, ..what })
}

fn seen(job: &Job<'_>, object: Object) -> Option<trueup_sdk::Remote> {
    let mut remote = object.into_remote(&job.info);
    remote.address.clone_from(job.address());
    Some(remote)
}

/// The answer to an apply that forces nothing, once conflicts that need no person are decided (see [`managed::may_take`]). What is forced
/// names the version of the object in which the managers were seen; where somebody wrote it since, the server is asked anew.
///
/// # Errors
/// Where the object cannot be read, or an answer does not come.
pub fn decided(takes_over: bool, sending: &Sending<'_>, mut response: Response) -> Result<Response> {
    for _ in 0..LOOKS {
        let conflicts = if response.status() == 409 { Status::of(&response).conflicts() } else { Vec::new() };
        let managers: Vec<&str> = conflicts.iter().map(|(manager, _)| manager.as_str()).collect();
        if managers.is_empty() {
            break;
        }
        let seen = fetch::get(sending.info.object(&sending.address.scope, &sending.address.key)).send()?;
        let (entries, version) = managed::entries(seen.bytes());
        if seen.status() != 200 || version.is_empty() || !managed::may_take(&entries, &managers, takes_over) {
            break;
        }
        let forced = sending.forced_at(&version)?.send()?;
        if forced.status() != 409 {
            return Ok(forced);
        }
        response = sending.request(false).send()?;
    }
    Ok(response)
}

/// The answer to what an apply leaves to do, if it leaves anything. It is sent for the version of the object that was seen: where
/// somebody wrote it since, as a controller does its status within milliseconds, the object is looked at anew.
fn finished(job: &Job<'_>, applied: &Response) -> Result<Option<Response>> {
    let Some(request) = afterwards(job, applied) else { return Ok(None) };
    let mut answer = request.send()?;
    let (_, mut version) = managed::entries(applied.bytes());
    for _ in 0..LOOKS {
        if !matches!(answer.status(), 409 | 422) {
            break;
        }
        let now = fetch::get(job.info.object(&job.address().scope, &job.address().key)).send()?;
        let (_, newer) = managed::entries(now.bytes());
        if now.status() != 200 || newer == version {
            break;
        }
        let Some(request) = afterwards(job, &now) else { return Ok(Some(now)) };
        (answer, version) = (request.send()?, newer);
    }
    Ok(Some(answer))
}

/// What an apply leaves to do: fields to take away, and entries of managers to end.
fn afterwards(job: &Job<'_>, response: &Response) -> Option<Request> {
    let removed = job.change.edits.iter().any(|it| it.op == EditOp::Remove);
    if !removed && !job.takes_over() {
        return None;
    }
    let object: Json = serde_json::from_slice(response.bytes()).ok()?;
    let (entries, _) = managed::entries(response.bytes());
    let mut paths = left_over(job, &object, &entries);
    paths.extend(taken_over(job, &entries));
    if paths.is_empty() {
        return None;
    }
    let version = object.pointer("/metadata/resourceVersion")?;
    let test = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version });
    let removals = paths.iter().map(|path| json!({ "op": "remove", "path": path }));
    let body = serde_json::to_vec(&std::iter::once(test).chain(removals).collect::<Vec<_>>()).ok()?;
    let url = job.info.object(&job.address().scope, &job.address().key);
    Some(fetch::signed(http::patch(url)).query("fieldManager", MANAGER).body("application/json-patch+json", body))
}

/// Entries of what applied the object before it was taken over. With them a field that leaves Git would stay, held by a tool that is
/// gone.
fn taken_over(job: &Job<'_>, entries: &[managed::Entry]) -> Vec<String> {
    let ends = if job.takes_over() { managed::former(entries) } else { Vec::new() };
    ends.into_iter().map(|at| format!("/metadata/managedFields/{at}")).collect()
}

/// Fields that Git no longer declares, and that what applied the document before us still holds: the server leaves them, we do not.
fn left_over(job: &Job<'_>, object: &Json, entries: &[managed::Entry]) -> Vec<String> {
    let removed = job.change.edits.iter().filter(|it| it.op == EditOp::Remove);
    let paths: BTreeSet<String> = removed.map(|it| on_server(&job.address().kind, &it.path)).collect();
    paths.into_iter().filter(|it| object.pointer(it).is_some() && managed::is_left_over(entries, it)).collect()
}

/// Where the server has what a document has at this pointer.
pub fn on_server(kind: &str, path: &str) -> String {
    match path.strip_prefix("/stringData/").filter(|_| kind == secret::KIND) {
        Some(key) => format!("/data/{key}"),
        None => path.to_owned(),
    }
}

/// What the server warns of: an API that will go, a field that does nothing. Webhooks warn in the same place, of whatever they were shown.
fn warning(response: &Response) -> Option<Diagnostic> {
    let text = response.header("warning")?;
    let words = text.split_once('"').map_or(text, |(_, rest)| rest.rsplit_once('"').map_or(rest, |(words, _)| words));
    let error = Error::new(Fault::Invalid, "k8s.warning", error::cut(words));
    Some(error.diagnostic(Severity::Warning))
}

fn deleted(kinds: &Kinds, job: &Job<'_>, response: Response) -> Result<Outcome> {
    let response = match response.status() {
        409 => again(job, response)?,
        _ => response,
    };
    if response.status() == 404 && (Status::of(&response).reason == "NotFound" || kinds.missed(&job.info)?.is_none()) {
        return Ok(Outcome::settled(None));
    }
    let name = job.name();
    let response = fetch::ok(response, asked("delete", &name, &job.address().kind, true))?;
    if Status::of(&response).kind == "Status" {
        return Ok(Outcome::settled(None));
    }
    // The object itself: going, or as it was when it went.
    let uid = job.change.prior.as_ref().map_or("", |it| it.identity.as_str());
    let wait = settle::Wait::new(true, job.address(), uid);
    Ok(settle::poll(kinds, &serde_json::to_string(&wait)?))
}

/// Tries a delete once more where only what is not in documents has changed (a status), and not the object that was to go.
fn again(job: &Job<'_>, refused: Response) -> Result<Response> {
    let Some(prior) = &job.change.prior else { return Ok(refused) };
    let response = fetch::get(job.info.object(&job.address().scope, &job.address().key)).send()?;
    if response.status() == 404 {
        return Ok(response);
    }
    let name = job.name();
    let asked = asked("read", &name, &job.address().kind, false);
    let now = fetch::object(&response, asked, &job.info, job.address())?.into_remote(&job.info);
    let same = |a: &str, b: &str| serde_json::from_str::<Json>(a).ok() == serde_json::from_str::<Json>(b).ok();
    if now.identity != prior.identity || !same(&now.doc, &prior.doc) {
        return Ok(refused);
    }
    delete(&job.info, job.address(), &job.options(now.version.as_deref())).send()
}
