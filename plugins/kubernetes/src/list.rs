//! Looking: a scope by one paged LIST, an object by a GET, a change by a WATCH.
//!
//! Invariant: a list that is not whole is an error, never a shorter list. A kind counts as gone, with all its objects, only where the
//! server itself lists what it has, the kind is not among it, and no other server kept its objects. An object that cannot be read keeps no other from being seen: it is named,
//! and fails who asks for it.

use std::fmt;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use trueup_sdk::host::http as raw;
use trueup_sdk::http::{self, Request, Response};
use trueup_sdk::{Address, Coverage, Error, Fault, Lookup, Observation, Remote, Result, ScopeQuery, Severity, Snapshot};

use crate::error::{self, Asked, Status};
use crate::fetch::{self, Kinds, PARALLEL};
use crate::kind::{Info, full_name};
use crate::manifest::SLOT;
use crate::object::{Meta, Object, Since};
use crate::{secret, settle};

/// Objects of one page, as kubectl asks for.
const PAGE: u32 = 500;
/// Of kinds whose objects are often above a megabyte, and of any kind where a page was more than an answer may be.
const SMALL_PAGE: u32 = 20;
/// Bytes of the largest document that the engine takes.
const LARGEST: usize = 4 << 20;
/// How long after the server's own end of a watch it is ended here, in milliseconds.
const GRACE: u64 = 500;

/// One page of a list. Each object becomes what the engine gets as soon as it is read: a page holds up to 500 of up to a megabyte, and
/// as trees they would not fit beside each other.
#[derive(Default)]
struct Page {
    api_version: String,
    kind: String,
    metadata: PageMeta,
    /// None where the answer has no `items`: a list without them is none.
    objects: Option<Vec<Remote>>,
    /// Why one of the items is none of this list.
    stray: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

impl Page {
    fn parse(bytes: &[u8], info: &Info, query: &ScopeQuery) -> Result<Self> {
        let read = |named| -> Result<Self> {
            let mut reader = serde_json::Deserializer::from_slice(bytes);
            let page = PageOf { info, query, named }.deserialize(&mut reader)?;
            reader.end()?;
            Ok(page)
        };
        // One object out of bounds (too deep, a label that is no text), which anybody may make who may make one, must not hide the others.
        read(false).or_else(|error| read(true).map_err(|_| error))
    }

    /// What keeps it from being a list of this kind, if anything does. Definitions may give their lists any name.
    fn strays(&self, info: &Info, kinds: &Kinds) -> Option<String> {
        let list = self.kind.strip_suffix("List").unwrap_or(&self.kind);
        let named = list == info.kind
            || (info.group.contains('.') && self.kind != "Status" && kinds.local(&full_name(list, &info.group)).is_none());
        if !named || self.api_version != info.api_version() {
            let [kind, version] = [&self.kind, &self.api_version].map(|it| it.chars().take(64).collect::<String>());
            return Some(format!("kind `{kind}` in `{version}` and no list of {}", info.kind));
        }
        if self.objects.is_none() {
            return Some("a list without items".to_owned());
        }
        self.stray.clone()
    }
}

/// Reads a page of a kind.
struct PageOf<'a> {
    info: &'a Info,
    query: &'a ScopeQuery,
    /// Only what says which objects there are.
    named: bool,
}

impl<'de> DeserializeSeed<'de> for PageOf<'_> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageOf<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let mut page = Page::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "apiVersion" => page.api_version = map.next_value()?,
                "kind" => page.kind = map.next_value()?,
                "metadata" => page.metadata = map.next_value()?,
                "items" => page.objects = Some(map.next_value_seed(Items(&self, &mut page.stray))?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(page)
    }
}

struct Items<'a>(&'a PageOf<'a>, &'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<Remote>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Remote>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Remote>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects of Kubernetes")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<Remote>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Remote>, A::Error> {
        let mut out = Vec::new();
        let PageOf { info, query, named } = self.0;
        while *named && let Some(object) = seq.next_element::<Named>()? {
            let object = object.into_object();
            if self.1.is_none() {
                *self.1 = object.strays(info, &query.scope);
            }
            out.push(unread(object.into_remote(info), query));
        }
        while let Some((object, same)) = seq.next_element_seed(Since::version(query.since.as_deref()))? {
            if self.1.is_none() {
                *self.1 = object.strays(info, &query.scope);
            }
            let mut remote = if same { object.into_same(info) } else { object.into_remote(info) };
            query.kind.clone_into(&mut remote.address.kind);
            out.push(if too_large(&remote).is_some() { unread(remote, query) } else { remote });
        }
        Ok(out)
    }
}

/// An object, as far as it says which one it is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Names,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    name: String,
    namespace: String,
    uid: String,
}

impl Named {
    fn into_object(self) -> Object {
        let Names { name, namespace, uid } = self.metadata;
        let meta = Meta { name, namespace, uid, ..Meta::default() };
        Object { api_version: self.api_version, kind: self.kind, meta, ..Object::default() }
    }
}

/// An object that is there, and of which the list tells no more: the engine reads it by name where it is somebody's business.
fn unread(remote: Remote, query: &ScopeQuery) -> Remote {
    let address = Address { kind: query.kind.clone(), ..remote.address };
    let mut ext = remote.ext;
    ext.push(("unread".to_owned(), "true".to_owned()));
    Remote { address, doc: "{}".to_owned(), sensitive: Vec::new(), ext, ..remote }
}

/// Why the engine would not take the object, if it is so large: no server keeps one of half that size.
fn too_large(remote: &Remote) -> Option<String> {
    let size = remote.doc.len();
    (LARGEST < size).then(|| format!("an object of {size} bytes, and {LARGEST} are the most that is read"))
}

/// Answers a page of each scope.
pub fn scan(kinds: &Kinds, queries: &[ScopeQuery]) -> Vec<Result<Snapshot>> {
    let mut answers: Vec<Option<Result<Snapshot>>> = queries.iter().map(|_| None).collect();
    let mut infos: Vec<Option<Rc<Info>>> = Vec::with_capacity(queries.len());
    for (query, answer) in queries.iter().zip(&mut answers) {
        let info = match kinds.find(&query.kind).map(|it| fitting(query, it)) {
            Ok(Some(info)) => Some(info),
            Ok(None) => {
                *answer = Some(Ok(nothing()));
                None
            }
            Err(error) => {
                *answer = Some(Err(error));
                None
            }
        };
        infos.push(info);
    }
    watch(queries, &infos, &mut answers);
    let asked: Vec<usize> = (0..queries.len()).filter(|it| matches!(answers.get(*it), Some(None))).collect();
    let request = |at: &usize| Some(page(queries.get(*at)?, infos.get(*at)?.as_deref()?));
    let requests: Vec<Request> = asked.iter().filter_map(request).collect();
    let got = if requests.is_empty() { Vec::new() } else { http::send_all(requests, PARALLEL) };
    for (at, response) in asked.into_iter().zip(got) {
        let (Some(query), Some(Some(info)), Some(slot)) = (queries.get(at), infos.get(at), answers.get_mut(at)) else { continue };
        *slot = Some(answer(kinds, query, info, response));
    }
    let missing = || Err(Error::internal("a query was left out"));
    answers.into_iter().map(|it| it.unwrap_or_else(missing)).collect()
}

/// The kind, where the scope is one of its: one without namespaces has no object in any, and one that has them has none beside them.
fn fitting(query: &ScopeQuery, info: Option<Rc<Info>>) -> Option<Rc<Info>> {
    info.filter(|it| it.namespaced != query.scope.is_empty())
}

/// The server has no such kind, and so no such object.
fn nothing() -> Snapshot {
    Snapshot {
        objects: Vec::new(),
        next: None,
        version: None,
        coverage: Coverage::Whole,
        gone: Vec::new(),
        diagnostics: Vec::new(),
        ext: Vec::new(),
    }
}

/// Who may not list may be allowed to read what is named.
fn unlisted(error: &Error) -> Snapshot {
    let diagnostics = vec![error.diagnostic(Severity::Warning)];
    Snapshot { coverage: Coverage::Partial, diagnostics, ext: vec![("unlisted".to_owned(), "true".to_owned())], ..nothing() }
}

fn unchanged(version: Option<String>) -> Snapshot {
    Snapshot { version, coverage: Coverage::Unchanged, ..nothing() }
}

fn page(query: &ScopeQuery, info: &Info) -> Request {
    let most = if query.kind == settle::DEFINITION { SMALL_PAGE } else { PAGE };
    page_of(query, info, most)
}

fn page_of(query: &ScopeQuery, info: &Info, most: u32) -> Request {
    let limit = query.limit.clamp(1, most);
    let request = fetch::get(info.collection(&query.scope)).query("limit", &limit.to_string());
    match &query.cursor {
        Some(cursor) => request.query("continue", cursor),
        None => request,
    }
}

/// Waits for a change of the scopes that ask for it; those in which nothing happened are answered.
fn watch(queries: &[ScopeQuery], infos: &[Option<Rc<Info>>], answers: &mut [Option<Result<Snapshot>>]) {
    let mut asked = Vec::new();
    for (at, (query, info)) in queries.iter().zip(infos).enumerate() {
        let since = query.since.as_deref().filter(|it| query.wait > 0 && query.cursor.is_none() && !it.is_empty());
        if let (Some(since), Some(info)) = (since, info) {
            asked.push((at, watch_request(info, &query.scope, since, query.wait)));
        }
    }
    if asked.is_empty() {
        return;
    }
    let requests: Vec<raw::Request> = asked.iter().map(|(_, it)| it.clone()).collect();
    for ((at, _), got) in asked.into_iter().zip(raw::send_all(&requests, 0)) {
        // Anything else is a change, or a version that the server does not know any more: the list tells.
        let quiet = matches!(got, Ok(it) if it.status == 200 && it.body.iter().all(u8::is_ascii_whitespace));
        if let (true, Some(slot), Some(query)) = (quiet, answers.get_mut(at), queries.get(at)) {
            *slot = Some(Ok(unchanged(query.since.clone())));
        }
    }
}

/// Ends with the first event, or when the time is over.
fn watch_request(info: &Info, scope: &str, since: &str, wait: u64) -> raw::Request {
    let seconds = wait.div_ceil(1000).max(1);
    let url = format!("{}?watch=1&resourceVersion={}&timeoutSeconds={seconds}", info.collection(scope), http::escape(since));
    raw::Request {
        method: "GET".to_owned(),
        url,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: None,
        credential: Some(SLOT.to_owned()),
        timeout: Some(wait.saturating_add(GRACE)),
        until: Some(b"\n".to_vec()),
        ext: Vec::new(),
    }
}

fn answer(kinds: &Kinds, query: &ScopeQuery, info: &Info, response: Result<Response>) -> Result<Snapshot> {
    let response = match response {
        Err(error) if error.code == "http.too-large" => page_of(query, info, SMALL_PAGE).send()?,
        response => response?,
    };
    if response.status() == 404 {
        // The kind is gone, or stands elsewhere by now.
        return match kinds.missed(info)? {
            None => Ok(nothing()),
            Some(now) if now.collection(&query.scope) != info.collection(&query.scope) => {
                let Some(now) = fitting(query, Some(now)) else { return Ok(nothing()) };
                listed(kinds, query, &now, page(query, &now).send()?)
            }
            Some(_) => Err(error::of(&response, asked("list", &place(query)))),
        };
    }
    listed(kinds, query, info, response)
}

fn listed(kinds: &Kinds, query: &ScopeQuery, info: &Info, response: Response) -> Result<Snapshot> {
    if response.status() == 410 {
        // The engine begins anew with the first page.
        let text = format!("the list of {} took longer than the server keeps it", place(query));
        return Err(Error::conflict("k8s.list-expired", text));
    }
    let place = place(query);
    let asked = asked("list", &place);
    let forbidden = response.status() == 403;
    let response = match fetch::ok(response, asked) {
        Err(error) if forbidden && error.fault == Fault::Unauthorized => return Ok(unlisted(&error)),
        response => response?,
    };
    let page = Page::parse(response.bytes(), info, query).map_err(|it| error::garbled(&it, asked))?;
    if let Some(stray) = page.strays(info, kinds) {
        return Err(error::stray(&stray, asked));
    }
    let version = Some(page.metadata.resource_version).filter(|it| !it.is_empty() && query.cursor.is_none());
    if version.is_some() && version == query.since {
        return Ok(unchanged(version));
    }
    let objects = page.objects.unwrap_or_default();
    Ok(Snapshot { objects, next: Some(page.metadata.next).filter(|it| !it.is_empty()), version, ..nothing() })
}

fn place(query: &ScopeQuery) -> String {
    if query.scope.is_empty() { query.kind.clone() } else { format!("{} in `{}`", query.kind, query.scope) }
}

fn asked<'a>(verb: &'a str, what: &'a str) -> Asked<'a> {
    Asked { verb, what, writes: false, secret: false }
}

/// Looks at each object by name.
pub fn read(kinds: &Kinds, lookups: &[Lookup]) -> Vec<Observation> {
    let mut answers: Vec<Option<Observation>> = lookups.iter().map(|_| None).collect();
    let mut asked = Vec::new();
    for (at, (lookup, slot)) in lookups.iter().zip(&mut answers).enumerate() {
        match kinds.find(&lookup.address.kind) {
            Ok(Some(info)) => asked.push((at, info)),
            Ok(None) => *slot = Some(Observation::Absent),
            Err(error) => *slot = Some(Observation::Failed(error.into())),
        }
    }
    let request = |(at, info): &(usize, Rc<Info>)| {
        let address = &lookups.get(*at)?.address;
        Some(fetch::get(info.object(&address.scope, &address.key)))
    };
    let requests: Vec<Request> = asked.iter().filter_map(request).collect();
    let got = if requests.is_empty() { Vec::new() } else { http::send_all(requests, PARALLEL) };
    for ((at, info), response) in asked.into_iter().zip(got) {
        let (Some(lookup), Some(slot)) = (lookups.get(at), answers.get_mut(at)) else { continue };
        let seen = response.and_then(|it| seen(kinds, lookup, &info, it));
        *slot = Some(seen.unwrap_or_else(|error| Observation::Failed(error.into())));
    }
    let missing = || Observation::Failed(Error::internal("a lookup was left out").into());
    answers.into_iter().map(|it| it.unwrap_or_else(missing)).collect()
}

fn seen(kinds: &Kinds, lookup: &Lookup, info: &Info, response: Response) -> Result<Observation> {
    let address = &lookup.address;
    let what = name_of(&address.kind, &address.scope, &address.key);
    let asked = Asked { verb: "read", what: &what, writes: false, secret: address.kind == secret::KIND };
    if response.status() == 404 {
        if Status::of(&response).reason == "NotFound" {
            return Ok(Observation::Absent);
        }
        // A page that is not there: of a kind that is gone, or of something that is not Kubernetes.
        return match kinds.missed(info)? {
            None => Ok(Observation::Absent),
            Some(_) => Err(error::of(&response, asked)),
        };
    }
    let mut remote = fetch::object(&response, asked, info, address)?.into_remote(info);
    if let Some(text) = too_large(&remote) {
        return Err(error::stray(&text, asked));
    }
    if lookup.since.is_some() && lookup.since == remote.version {
        return Ok(Observation::Unchanged);
    }
    remote.address.clone_from(address);
    Ok(Observation::Found(remote))
}

/// An object for people: `Deployment.apps shop/web`.
pub fn name_of(kind: &str, scope: &str, key: &str) -> String {
    if scope.is_empty() { format!("{kind} {key}") } else { format!("{kind} {scope}/{key}") }
}
