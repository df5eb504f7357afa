//! What the macros call: from the contract's records to the traits of [`kind`](crate::kind), and back.
//!
//! Invariant: what a fresh instance needs to go on stands in what the engine keeps (cursors, handles of operations), and
//! nothing of it in the instance.

use std::any::TypeId;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::form::Form;
use crate::{
    Action, Address, ApplyBatch, CallInfo, Change, Coverage, Crud, Declared, Deleted, Desired, Error, Fault, Found, Item, Json,
    Kind, Lookup, Observation, Outcome, Page, Pending, Remote, Rendered, Result, Scan, Schema as _, ScopeQuery, Settings,
    Settlement, Severity, Snapshot, Target, json,
};

/// Pages that a search looks through.
const MAX_PAGES: usize = 10_000;
/// Bytes of a document that need no second allocation.
const USUAL: usize = 256;

thread_local! {
    static FORMS: RefCell<HashMap<TypeId, Rc<Form>>> = RefCell::default();
}

/// The canonical form of a kind, made once: it is needed for every object.
fn form<K: Kind>() -> Rc<Form> {
    FORMS.with(|it| Rc::clone(it.borrow_mut().entry(TypeId::of::<K>()).or_insert_with(|| Rc::new(Form::new(&K::schema())))))
}

impl<K: Kind> Found<K> {
    /// The contract's record. `known` is the address for which it was asked.
    fn remote(self, form: &Form, known: Option<&Address>) -> Result<Remote> {
        let mut parts = Parts::default();
        let doc = self.written(form, (self.address.is_none() && known.is_none()).then_some(&mut parts))?;
        let address = match (self.address, known) {
            (Some(address), _) => address,
            (None, Some(known)) => known.clone(),
            (None, None) => parts.address::<K>(String::new())?,
        };
        let identity = if self.identity.is_empty() { address.key.clone() } else { self.identity };
        let outputs = match serde_json::to_string(&self.status)? {
            null if null == "null" => "{}".to_owned(),
            outputs => outputs,
        };
        Ok(Remote {
            address,
            identity,
            doc,
            outputs,
            version: self.version,
            mark: self.mark,
            health: self.health,
            sensitive: Vec::new(),
            ext: Vec::new(),
        })
    }

    /// Its document's canonical text. What its address is made of is added to `parts`.
    fn written(&self, form: &Form, mut parts: Option<&mut Parts>) -> Result<String> {
        let mut doc = Vec::with_capacity(USUAL);
        doc.extend_from_slice(b"{\"spec\":");
        form.text(&self.spec, &mut doc, &mut |name, text| {
            if let Some(parts) = &mut parts {
                parts.take::<K>(name, text);
            }
        })?;
        doc.push(b'}');
        String::from_utf8(doc).map_err(|_| Error::internal("a document is no text"))
    }
}

/// What an observed address is made of: fields with their texts, none where that is neither text nor number nor truth value.
#[derive(Default)]
struct Parts(Vec<(&'static str, Option<String>)>);

impl Parts {
    /// Keeps a field's JSON text if the address needs it.
    fn take<K: Kind>(&mut self, name: &str, text: &[u8]) {
        let names = [K::SCOPE, K::KEY].into_iter().flat_map(|it| it.iter().skip(1).step_by(2));
        let Some(name) = names.copied().find(|it| *it == name) else { return };
        let text = std::str::from_utf8(text).unwrap_or_default();
        let value = match text.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => text.get(1..text.len() - 1).map(str::to_owned),
            [b'"', ..] => serde_json::from_str(text).ok(),
            [b'{' | b'[' | b'n', ..] | [] => None,
            _ => Some(text.to_owned()),
        };
        self.0.retain(|it| it.0 != name);
        self.0.push((name, value));
    }

    /// The address, with `key` where none is made of fields.
    fn address<K: Kind>(&self, key: String) -> Result<Address> {
        let before = Address { kind: K::NAME.to_owned(), scope: String::new(), key };
        address::<K>(before, &|name| self.0.iter().find(|(it, _)| *it == name).map(|(_, it)| it.as_deref().map(Cow::Borrowed)))
    }
}

/// The manifest of a kind.
pub fn manifest<K: Kind>(observe: &str) -> Json {
    let options = K::options();
    let status = K::Status::schema();
    let mut properties = json!({ "spec": K::schema() });
    if let (Some(map), true) = (properties.as_object_mut(), status.get("properties").is_some()) {
        map.insert("status".to_owned(), status);
    }
    let mut kind = json!({
        "schema": { "type": "object", "properties": properties, "required": ["spec"], "additionalProperties": false },
        "schemaVersion": options.schema_version,
        "observe": observe,
        "recover": options.recover,
        "settleTime": options.settle_time,
        "replace": options.replace,
    });
    if let (Some(map), true) = (kind.as_object_mut(), options.batch_items > 0) {
        let batch = json!({ "items": options.batch_items, "bytes": options.batch_bytes, "atomic": options.atomic });
        map.insert("batch".to_owned(), batch);
    }
    kind
}

/// The manifest of a provider: `rest` has what its attribute said.
/// `operations`: changes may be pending.
pub fn provider_manifest(config: Json, kinds: &[(&str, Json)], operations: bool, mut rest: Json) -> Json {
    let kinds = kinds.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect::<serde_json::Map<_, _>>();
    let features = if operations { vec!["rendering", "operations"] } else { vec!["rendering"] };
    let fixed = json!({ "format": 1, "config": config, "dirs": false, "apiVersions": "own", "yaml": "core", "features": features, "kinds": kinds });
    if let (Some(map), Json::Object(fixed)) = (rest.as_object_mut(), fixed) {
        map.extend(fixed);
    }
    rest
}

/// Settings from their JSON, with defaults filled in.
///
/// # Errors
/// `invalid` where they do not have the shape that the schema says.
pub fn settings<S: Settings>(mut config: Json) -> Result<S> {
    Form::new(&S::schema()).take(&mut config, true);
    let parsed = serde_json::from_value(config);
    parsed.map_err(|error| Error::invalid("config", format!("the settings do not fit: {error}")))
}

/// For a kind that is served by no function of this sort.
pub fn unlisted(kind: &str) -> Error {
    Error::unsupported(format!("kind `{kind}` is not served that way by this provider"))
}

/// Of a kind that is not the provider's.
pub fn unrendered(kind: &str) -> Rendered {
    Rendered { objects: Vec::new(), diagnostics: vec![unlisted(kind).diagnostic(Severity::Error)] }
}

/// The canonical form of one declaration: defaults and spelling as the schema says, the address from its fields.
pub fn render<K: Kind>(item: Declared) -> Rendered {
    let made = || {
        let mut doc: Json = serde_json::from_str(&item.doc)?;
        let spec = doc.get_mut("spec").ok_or_else(|| Error::invalid("document.spec", "`spec` is missing"))?;
        form::<K>().take(spec, true);
        let field = |name: &str| {
            spec.get(name).map(|it| match it {
                Json::String(text) => Some(Cow::Borrowed(text.as_str())),
                Json::Number(_) | Json::Bool(_) => Some(Cow::Owned(it.to_string())),
                _ => None,
            })
        };
        let address = address::<K>(item.address, &field)?;
        Ok::<_, Error>(Desired { address, doc: doc.to_string(), after: Vec::new(), ext: Vec::new() })
    };
    match made() {
        Ok(desired) => Rendered { objects: vec![desired], diagnostics: Vec::new() },
        Err(error) => Rendered { objects: Vec::new(), diagnostics: vec![error.diagnostic(Severity::Error)] },
    }
}

/// The text of a field for an address. None: it is not there; none within: it is no plain value.
type Field<'a> = &'a dyn Fn(&str) -> Option<Option<Cow<'a, str>>>;

/// The address that the fields make, else what it was.
fn address<K: Kind>(before: Address, field: Field<'_>) -> Result<Address> {
    Ok(Address {
        scope: if K::SCOPE.is_empty() { before.scope } else { part(K::SCOPE, field)? },
        key: if K::KEY.is_empty() { before.key } else { part(K::KEY, field)? },
        kind: before.kind,
    })
}

fn part(template: &[&str], field: Field<'_>) -> Result<String> {
    let mut out = String::new();
    for (index, piece) in template.iter().enumerate() {
        match if index % 2 == 0 { Some(Some(Cow::Borrowed(*piece))) } else { field(piece) } {
            Some(Some(text)) => out.push_str(&text),
            found => {
                let why = if found.is_some() { "must be known before apply: it is part of the address" } else { "is missing" };
                return Err(Error::invalid("document.address", format!("`{piece}` {why}")).at(format!("/spec/{piece}")));
            }
        }
    }
    Ok(out)
}

fn parse<K: Kind>(doc: &str) -> Result<K> {
    let mut doc: Json = serde_json::from_str(doc)?;
    let spec = doc.get_mut("spec").map(Json::take).ok_or_else(|| Error::invalid("document.spec", "`spec` is missing"))?;
    let parsed = serde_json::from_value(spec);
    parsed.map_err(|error| Error::invalid("document.shape", format!("the document does not fit its kind at `{}`", shape(&error))))
}

/// What serde says of a shape, without the value that it quotes: it may be sensitive.
fn shape(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(", expected ").map_or_else(|| "spec".to_owned(), |(_, expected)| format!("spec, expected {expected}"))
}

/// A cursor as the engine keeps it between two pages: the version that the first page had, and the provider's own.
#[derive(Serialize, Deserialize)]
struct Cursor(Option<String>, String);

/// `scan` of one query.
///
/// # Errors
/// What the provider answered; `invalid` where a cursor is none of ours.
pub fn scan<K: Kind, P: Scan<K>>(provider: &P, query: &ScopeQuery, info: &CallInfo) -> Result<Snapshot> {
    let (page, first) = match &query.cursor {
        None => (provider.scan(query, info)?, None),
        Some(cursor) => {
            let Cursor(version, own) = serde_json::from_str(cursor)?;
            let query = ScopeQuery { cursor: Some(own), since: None, ..query.clone() };
            (provider.scan(&query, info)?, version)
        }
    };
    let Page { objects, gone, coverage, next, version } = page;
    let version = first.or(version);
    let form = form::<K>();
    let objects = objects.into_iter().map(|it| it.remote(&form, None)).collect::<Result<_>>()?;
    let next = next.map(|it| serde_json::to_string(&Cursor(version.clone(), it))).transpose()?;
    // A version is of the whole, and the whole is not there yet.
    let version = version.filter(|_| next.is_none());
    Ok(Snapshot { objects, next, version, coverage, gone, diagnostics: Vec::new(), ext: Vec::new() })
}

/// Looks through the pages of a scope for the object at an address.
///
/// # Errors
/// What the provider answered; `internal` where its pages do not end.
pub fn search<K: Kind>(scan: impl Fn(&ScopeQuery) -> Result<Page<K>>, wanted: &Address) -> Result<Option<Found<K>>> {
    let (kind, scope) = (wanted.kind.clone(), wanted.scope.clone());
    let mut query = ScopeQuery { kind, scope, cursor: None, since: None, limit: 1000, wait: 0, ext: Vec::new() };
    let mut seen = HashSet::new();
    for _ in 0..MAX_PAGES {
        let Page { objects, coverage, next, .. } = scan(&query)?;
        for found in objects {
            if found.key()? == wanted.key {
                return Ok(Some(found));
            }
        }
        match next {
            Some(next) if seen.insert(next.clone()) => query.cursor = Some(next),
            Some(_) => break,
            None if coverage == Coverage::Partial => {
                return Err(Error::transient("sdk.partial", "the object is not in the part of its scope that was shown"));
            }
            None => return Ok(None),
        }
    }
    Err(Error::internal("the pages of a scope do not end"))
}

/// `read` of one lookup.
pub fn read<K: Kind, P: Crud<K>>(provider: &P, lookup: &Lookup, info: &CallInfo) -> Observation {
    let look = || {
        // A desired document may hold values that are not known yet: then the look goes by address alone.
        let desired = lookup.desired.as_deref().and_then(|it| parse::<K>(it).ok());
        let target = Target {
            address: &lookup.address,
            identity: lookup.identity.as_deref(),
            desired: desired.as_ref(),
            mark: lookup.mark.as_deref(),
            token: lookup.token.as_deref(),
            version: lookup.since.as_deref(),
            info,
        };
        let found = provider.find(&target)?;
        found.map(|it| it.remote(&form::<K>(), Some(&lookup.address))).transpose()
    };
    match look() {
        Ok(Some(remote)) if remote.version.is_some() && remote.version == lookup.since => Observation::Unchanged,
        Ok(Some(remote)) => Observation::Found(remote),
        Ok(None) => Observation::Absent,
        Err(error) if error.fault == Fault::NotFound => Observation::Absent,
        Err(error) => Observation::Failed(error.into()),
    }
}

/// What a pending change is asked for by, as the engine keeps it.
#[derive(Serialize, Deserialize)]
pub struct Handle {
    /// Which functions serve it.
    pub kind: String,
    scope: String,
    key: String,
    identity: String,
    token: String,
    deletes: bool,
    /// The provider's own word for it.
    operation: String,
    after: u64,
    message: String,
}

impl Handle {
    /// Reads what `apply` or `poll` answered with.
    ///
    /// # Errors
    /// `internal` where it is none of ours.
    pub fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|_| Error::internal("a pending change has a handle that this plugin never made"))
    }

    fn of(change: &Change, identity: &str, pending: &Pending) -> Self {
        let Address { kind, scope, key } = change.address.clone();
        Self {
            kind,
            scope,
            key,
            identity: identity.to_owned(),
            token: change.token.clone(),
            deletes: change.action == Action::Delete,
            operation: pending.operation.clone(),
            after: pending.after,
            message: pending.message.clone(),
        }
    }

    /// Still under way.
    fn outcome(&self, object: Option<Remote>) -> Outcome {
        let operation = match serde_json::to_string(self) {
            Ok(operation) => operation,
            Err(error) => return Outcome::failed(Error::from(error).unsettled()),
        };
        let pending = Pending { operation, after: self.after, message: self.message.clone(), ext: Vec::new() };
        Outcome { settlement: Settlement::Pending(pending), ..Outcome::settled(object) }
    }
}

/// `poll` of one handle.
pub fn poll<K: Kind, P: Crud<K>>(provider: &P, mut handle: Handle, info: &CallInfo) -> Outcome {
    let address = Address { kind: handle.kind.clone(), scope: handle.scope.clone(), key: handle.key.clone() };
    let target = Target {
        address: &address,
        identity: Some(handle.identity.as_str()).filter(|it| !it.is_empty()),
        desired: None,
        mark: None,
        token: Some(&handle.token),
        version: None,
        info,
    };
    match provider.poll(&target, &handle.operation) {
        Ok(None) if handle.deletes => Outcome::settled(None),
        Ok(None) => Outcome::failed(Error::transient("sdk.vanished", "the object is gone before it was finished").unsettled()),
        Err(error) if error.fault == Fault::NotFound && handle.deletes => Outcome::settled(None),
        Err(error) if matches!(error.fault, Fault::Throttled(_) | Fault::Transient(_)) => {
            if let Fault::Throttled(Some(wait)) | Fault::Transient(Some(wait)) = error.fault {
                handle.after = handle.after.max(wait);
            }
            handle.outcome(None)
        }
        Err(error) => Outcome::failed(error.unsettled()),
        Ok(Some(mut found)) => {
            let pending = found.pending.take();
            let remote = match found.remote(&form::<K>(), Some(&address)) {
                Ok(remote) => remote,
                Err(error) => return Outcome::failed(error.unsettled()),
            };
            match pending {
                None if !handle.deletes => return Outcome::settled(Some(remote)),
                None => {}
                Some(Pending { operation, after, message, .. }) => {
                    (handle.after, handle.message) = (after, message);
                    if !operation.is_empty() {
                        handle.operation = operation;
                    }
                }
            }
            handle.identity.clone_from(&remote.identity);
            handle.outcome(Some(remote).filter(|_| !handle.deletes))
        }
    }
}

/// `apply`, one change at a time.
pub fn apply_each<K: Kind, P: Crud<K>>(provider: &P, changes: &[Change], info: &CallInfo) -> Vec<Outcome> {
    changes.iter().map(|it| change_one(provider, it, info).unwrap_or_else(Outcome::failed)).collect()
}

fn change_one<K: Kind, P: Crud<K>>(provider: &P, change: &Change, info: &CallInfo) -> Result<Outcome> {
    let desired = change.desired.as_deref().map(parse::<K>).transpose()?;
    let prior = change.prior.as_ref();
    let mut target = Target {
        address: &change.address,
        identity: prior.map(|it| it.identity.as_str()),
        desired: desired.as_ref(),
        mark: Some(&change.mark),
        token: Some(&change.token),
        version: prior.and_then(|it| it.version.as_deref()),
        info,
    };
    let missing = || Error::internal("the change has no desired document");
    let mut found = match change.action {
        Action::Delete => {
            return match provider.delete(&target) {
                Ok(Deleted::Gone) => Ok(Outcome::settled(None)),
                Ok(Deleted::Later(pending)) => {
                    Ok(Handle::of(change, target.identity.unwrap_or_default(), &pending).outcome(None))
                }
                Err(error) if error.fault == Fault::NotFound => Ok(Outcome::settled(None)),
                // A precondition fails on what is gone, too (RFC 9110, `If-Match`).
                Err(error) if error.fault == Fault::Conflict && matches!(provider.find(&target), Ok(None)) => {
                    Ok(Outcome::settled(None))
                }
                Err(error) => Err(error),
            };
        }
        Action::Update => provider.update(&target, desired.as_ref().ok_or_else(missing)?)?,
        Action::Create => {
            let desired = desired.as_ref().ok_or_else(missing)?;
            // An earlier try may have made it: look, and finish what is there.
            let made = if change.unsettled { provider.find(&target).map_err(Error::unsettled)? } else { None };
            match made {
                None => provider.create(&target, desired)?,
                Some(found) => {
                    let (identity, version) = (found.identity.clone(), found.version.clone());
                    let same = found.is_as_declared(desired)?;
                    (target.identity, target.version) = (Some(identity.as_str()), version.as_deref());
                    if same { found } else { provider.update(&target, desired)? }
                }
            }
        }
    };
    let pending = found.pending.take();
    let remote = found.remote(&form::<K>(), Some(&change.address)).map_err(Error::unsettled)?;
    Ok(match pending {
        None => Outcome::settled(Some(remote)),
        Some(pending) => Handle::of(change, &remote.identity, &pending).outcome(Some(remote)),
    })
}

impl<K: Kind> Found<K> {
    /// The key of its address.
    fn key(&self) -> Result<String> {
        if let Some(address) = &self.address {
            return Ok(address.key.clone());
        }
        let mut parts = Parts::default();
        self.written(&form::<K>(), Some(&mut parts))?;
        Ok(parts.address::<K>(self.identity.clone())?.key)
    }

    /// Whether every field that is declared has the declared value.
    fn is_as_declared(&self, desired: &K) -> Result<bool> {
        let (mut found, mut desired) = (serde_json::to_value(&self.spec)?, serde_json::to_value(desired)?);
        let form = form::<K>();
        form.take(&mut found, false);
        form.take(&mut desired, false);
        let declared = desired.as_object().into_iter().flatten();
        Ok(declared.into_iter().all(|(name, value)| found.get(name) == Some(value)))
    }
}

/// `apply` of a batch.
pub fn apply_batch<K: Kind, P: ApplyBatch<K>>(provider: &P, changes: &[Change], info: &CallInfo) -> Vec<Outcome> {
    let parsed = changes.iter().map(|it| it.desired.as_deref().map(parse::<K>).transpose()).collect::<Vec<_>>();
    let mut items = Vec::new();
    let mut early = Vec::new();
    for (change, desired) in changes.iter().zip(parsed) {
        match desired {
            Ok(desired) => {
                early.push(None);
                items.push(Item { change: change.clone(), desired });
            }
            Err(error) => early.push(Some(Outcome::failed(error))),
        }
    }
    if K::options().atomic && early.iter().any(Option::is_some) {
        let together =
            || Outcome::failed(Error::invalid("batch.atomic", "another change that must go together with this one is wrong"));
        return early.into_iter().map(|it| it.unwrap_or_else(together)).collect();
    }
    let scope = changes.first().map(|it| it.address.scope.as_str()).unwrap_or_default();
    let answers = if items.is_empty() { Ok(Vec::new()) } else { provider.apply(scope, &items, info) };
    let mut answers = match answers {
        Ok(answers) => answers,
        Err(error) => items.iter().map(|_| Err(error.clone())).collect(),
    }
    .into_iter();
    let each = |(change, early): (&Change, Option<Outcome>)| early.unwrap_or_else(|| batched(answers.next(), change));
    changes.iter().zip(early).map(each).collect()
}

fn batched<K: Kind>(answer: Option<Result<Option<Found<K>>>>, change: &Change) -> Outcome {
    let lost = || Err(Error::internal("the provider left this change out of its answer").unsettled());
    let object = match answer.unwrap_or_else(lost) {
        Ok(found) => found.map(|it| it.remote(&form::<K>(), Some(&change.address))).transpose().map_err(Error::unsettled),
        Err(error) if error.fault == Fault::NotFound && change.action == Action::Delete => Ok(None),
        Err(error) => Err(error),
    };
    match object {
        Ok(object) => Outcome::settled(object),
        Err(error) => Outcome::failed(error),
    }
}

/// Cuts a call's changes by kind, and puts the answers back into their order.
pub fn by_kind(changes: Vec<Change>, mut apply: impl FnMut(&str, &[Change]) -> Vec<Outcome>) -> Vec<Outcome> {
    let mut groups: BTreeMap<String, (Vec<usize>, Vec<Change>)> = BTreeMap::new();
    let count = changes.len();
    for (index, change) in changes.into_iter().enumerate() {
        let (indices, group) = groups.entry(change.address.kind.clone()).or_default();
        indices.push(index);
        group.push(change);
    }
    let mut answers = BTreeMap::new();
    for (kind, (indices, group)) in groups {
        answers.extend(indices.into_iter().zip(apply(&kind, &group)));
    }
    let lost = || Outcome::failed(Error::internal("the provider left this change out of its answer").unsettled());
    (0..count).map(|index| answers.remove(&index).unwrap_or_else(lost)).collect()
}
