//! Kinds as Rust types, and the three ways to serve one.
//!
//! [`Crud`] has one function for each thing that can be done to one object; [`Scan`] lists a scope; [`ApplyBatch`] takes
//! many changes at once. `#[provider]` names the kinds of each: `crud(A)` alone, `scan(A), crud(A)`, or `scan(A), batch(A)`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::healthy;
use crate::schema::canonicalise;
use crate::{
    Action, Address, CallInfo, Change, Coverage, Declared, Desired, Error, Fault, Gone, Health, Json, Lookup, Observation,
    Outcome, Remote, Rendered, Result, Schema, ScopeQuery, Severity, Snapshot, json,
};

/// Settings of a provider: `#[derive(Settings, Deserialize)]`.
pub trait Settings: Schema + DeserializeOwned + 'static {}

/// The type of a kind's `spec`: `#[derive(Kind, Serialize, Deserialize)]` with `#[kind(…)]`:
///
/// | part | meaning |
/// |---|---|
/// | `name = "Note"` | as documents write it, with the group where it has one; by default the type's name |
/// | `scope = "zone"`, `key = "{subname}/{rtype}"` | the address, from fields; by default no scope, and the document's name as key |
/// | `status = NoteStatus` | type of the outputs |
/// | `batch = 500`, `bytes = 65536`, `atomic` | limits of one `apply`, for `batch(…)` |
/// | `recover = "key"` | or `token`, `mark`, `conditional` (as `key`, and a create makes the whole object where none is, or nothing), `none`: what finds an object whose create was interrupted |
/// | `settle = 5000` | milliseconds for which absence proves nothing after an interrupted create |
/// | `replace = "create-first"` | or `delete-first`, the default |
/// | `version = 2` | of the schema |
pub trait Kind: Schema + Serialize + DeserializeOwned + 'static {
    /// As documents write it.
    const NAME: &'static str;
    /// Text and field names in turn, text first; empty: no scope.
    const SCOPE: &'static [&'static str];
    /// As [`SCOPE`](Self::SCOPE); empty: the document's name.
    const KEY: &'static [&'static str];
    /// Outputs of an object: what `.status.x` reads.
    type Status: Schema + Serialize + Default;

    /// The rest of what the manifest says.
    fn options() -> Options;
}

/// What a kind's manifest says beside its schema.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub schema_version: u32,
    /// 0: one change at a time.
    pub batch_items: u32,
    pub batch_bytes: u32,
    pub atomic: bool,
    pub recover: &'static str,
    /// Milliseconds.
    pub settle_time: u64,
    pub replace: &'static str,
}

/// One object as the remote system has it.
pub struct Found<K: Kind> {
    pub spec: K,
    pub status: K::Status,
    /// What the remote system calls it; empty: by its key.
    pub identity: String,
    /// Entity tag, resource version or serial.
    pub version: Option<String>,
    /// The engine's mark, where the object carries one.
    pub mark: Option<String>,
    pub health: Health,
    /// The address, where it is not to be taken from the spec.
    pub address: Option<Address>,
}

impl<K: Kind> Found<K> {
    /// A healthy object with nothing but its spec.
    pub fn new(spec: K) -> Self {
        let status = K::Status::default();
        Self { spec, status, identity: String::new(), version: None, mark: None, health: healthy(), address: None }
    }

    /// Sets what the remote system calls it.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = identity.into();
        self
    }

    /// Sets its entity tag, resource version or serial.
    #[must_use]
    pub fn version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }

    /// Sets its outputs.
    #[must_use]
    pub fn status(mut self, status: K::Status) -> Self {
        self.status = status;
        self
    }

    /// Sets the mark that was found on it.
    #[must_use]
    pub fn mark(mut self, mark: Option<String>) -> Self {
        self.mark = mark;
        self
    }

    /// The contract's record. `known` is the address for which it was asked.
    fn remote(self, known: Option<&Address>) -> Result<Remote> {
        let mut spec = serde_json::to_value(&self.spec)?;
        canonicalise(&mut spec, &K::schema(), false);
        let address = match (self.address, known) {
            (Some(address), _) => address,
            (None, Some(known)) => known.clone(),
            (None, None) => address::<K>(&spec, Address { kind: K::NAME.to_owned(), scope: String::new(), key: String::new() })?,
        };
        let identity = if self.identity.is_empty() { address.key.clone() } else { self.identity };
        let mut outputs = serde_json::to_value(&self.status)?;
        if outputs.is_null() {
            outputs = json!({});
        }
        Ok(Remote {
            address,
            identity,
            doc: json!({ "spec": spec }).to_string(),
            outputs: outputs.to_string(),
            version: self.version,
            mark: self.mark,
            health: self.health,
            sensitive: Vec::new(),
            ext: Vec::new(),
        })
    }
}

/// What is asked for, or about to be changed.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a, K> {
    pub address: &'a Address,
    /// What the remote system calls it, where that is known.
    pub identity: Option<&'a str>,
    /// As declared, where it is.
    pub desired: Option<&'a K>,
    /// The mark that the object would carry. Absent in a plain look.
    pub mark: Option<&'a str>,
    /// The token of the change.
    pub token: Option<&'a str>,
    /// The version that was observed: the precondition of an update or delete.
    pub version: Option<&'a str>,
    pub info: &'a CallInfo,
}

impl<K> Target<'_, K> {
    /// What names the object: its identity, else its key.
    pub fn name(&self) -> &str {
        self.identity.filter(|it| !it.is_empty()).unwrap_or(&self.address.key)
    }

    /// The token of a change; empty in a look.
    pub fn token(&self) -> &str {
        self.token.unwrap_or_default()
    }
}

/// One object at a time.
pub trait Crud<K: Kind> {
    /// The object, if it is there. Serves observation, and the look before a create is tried again.
    ///
    /// # Errors
    /// Where it cannot be told; an error is never taken for absence.
    fn find(&self, target: &Target<'_, K>) -> Result<Option<Found<K>>>;

    /// Creates it, and answers with what the server now has.
    ///
    /// # Errors
    /// `conflict` where an object of that name exists. An error that is `unsettled` is followed by a look.
    fn create(&self, target: &Target<'_, K>, desired: &K) -> Result<Found<K>>;

    /// Brings it to `desired`, and answers with what the server now has.
    ///
    /// # Errors
    /// `conflict` where it is no longer the version that was observed.
    fn update(&self, target: &Target<'_, K>, desired: &K) -> Result<Found<K>>;

    /// Deletes it. `not-found` counts as done.
    ///
    /// # Errors
    /// `conflict` where it is no longer the version that was observed.
    fn delete(&self, target: &Target<'_, K>) -> Result<()>;
}

/// A page of a scope.
pub struct Page<K: Kind> {
    pub objects: Vec<Found<K>>,
    pub gone: Vec<Gone>,
    pub coverage: Coverage,
    pub next: Option<String>,
    pub version: Option<String>,
}

impl<K: Kind> Page<K> {
    /// All objects of the scope, if no page follows.
    pub fn whole(objects: Vec<Found<K>>) -> Self {
        Self { objects, gone: Vec::new(), coverage: Coverage::Whole, next: None, version: None }
    }

    /// Nothing changed since `query.since`.
    pub fn unchanged() -> Self {
        Self { coverage: Coverage::Unchanged, ..Self::whole(Vec::new()) }
    }

    /// There is another page.
    #[must_use]
    pub fn next(mut self, cursor: Option<String>) -> Self {
        self.next = cursor;
        self
    }

    /// State of the scope as of this answer.
    #[must_use]
    pub fn version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }
}

/// All objects of a scope.
pub trait Scan<K: Kind> {
    /// One page of them.
    ///
    /// # Errors
    /// Where it cannot be told; an error is never taken for absence.
    fn scan(&self, query: &ScopeQuery, info: &CallInfo) -> Result<Page<K>>;
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub struct Item<K> {
    /// Whole, for its token, mark and prior object.
    pub change: Change,
    /// None: delete it.
    pub desired: Option<K>,
}

/// Many objects of one scope at a time.
pub trait ApplyBatch<K: Kind> {
    /// Carries all out; answers each with the object as it now is, none after a delete.
    ///
    /// # Errors
    /// One error for all, where the server took none of them (or, `unsettled`, may have).
    fn apply(&self, scope: &str, items: &[Item<K>], info: &CallInfo) -> Result<Vec<Result<Option<Found<K>>>>>;
}

// What the macros call.

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
pub fn provider_manifest(config: Json, kinds: &[(&str, Json)], mut rest: Json) -> Json {
    let kinds = kinds.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect::<serde_json::Map<_, _>>();
    let fixed = json!({ "format": 1, "config": config, "dirs": false, "apiVersions": "own", "yaml": "core", "features": ["rendering"], "kinds": kinds });
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
    canonicalise(&mut config, &S::schema(), true);
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
        canonicalise(spec, &K::schema(), true);
        let address = address::<K>(spec, item.address)?;
        Ok::<_, Error>(Desired { address, doc: doc.to_string(), after: Vec::new(), ext: Vec::new() })
    };
    match made() {
        Ok(desired) => Rendered { objects: vec![desired], diagnostics: Vec::new() },
        Err(error) => Rendered { objects: Vec::new(), diagnostics: vec![error.diagnostic(Severity::Error)] },
    }
}

/// The address that the fields make, else what it was.
fn address<K: Kind>(spec: &Json, before: Address) -> Result<Address> {
    Ok(Address {
        scope: if K::SCOPE.is_empty() { before.scope } else { part(K::SCOPE, spec)? },
        key: if K::KEY.is_empty() { before.key } else { part(K::KEY, spec)? },
        kind: before.kind,
    })
}

fn part(template: &[&str], spec: &Json) -> Result<String> {
    let mut out = String::new();
    for (index, piece) in template.iter().enumerate() {
        match (index % 2, spec.get(*piece)) {
            (0, _) => out.push_str(piece),
            (_, Some(Json::String(text))) => out.push_str(text),
            (_, Some(value @ (Json::Number(_) | Json::Bool(_)))) => out.push_str(&value.to_string()),
            (_, found) => {
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

/// `scan` of one query.
///
/// # Errors
/// What the provider answered.
pub fn scan<K: Kind, P: Scan<K>>(provider: &P, query: &ScopeQuery, info: &CallInfo) -> Result<Snapshot> {
    let Page { objects, gone, coverage, next, version } = provider.scan(query, info)?;
    let objects = objects.into_iter().map(|it| it.remote(None)).collect::<Result<_>>()?;
    Ok(Snapshot { objects, next, version, coverage, gone, diagnostics: Vec::new(), ext: Vec::new() })
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
        found.map(|it| it.remote(Some(&lookup.address))).transpose()
    };
    match look() {
        Ok(Some(remote)) if remote.version.is_some() && remote.version == lookup.since => Observation::Unchanged,
        Ok(Some(remote)) => Observation::Found(remote),
        Ok(None) => Observation::Absent,
        Err(error) if error.fault == Fault::NotFound => Observation::Absent,
        Err(error) => Observation::Failed(error.into()),
    }
}

/// `apply`, one change at a time.
pub fn apply_each<K: Kind, P: Crud<K>>(provider: &P, changes: &[Change], info: &CallInfo) -> Vec<Outcome> {
    let one = |change: &Change| match change_one(provider, change, info) {
        Ok(object) => Outcome::settled(object),
        Err(error) => Outcome::failed(error),
    };
    changes.iter().map(one).collect()
}

fn change_one<K: Kind, P: Crud<K>>(provider: &P, change: &Change, info: &CallInfo) -> Result<Option<Remote>> {
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
    let found = match change.action {
        Action::Delete => {
            return match provider.delete(&target) {
                Ok(()) => Ok(None),
                Err(error) if error.fault == Fault::NotFound => Ok(None),
                // A precondition fails on what is gone, too (RFC 9110, `If-Match`).
                Err(error) if error.fault == Fault::Conflict && matches!(provider.find(&target), Ok(None)) => Ok(None),
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
    found.remote(Some(&change.address)).map(Some).map_err(Error::unsettled)
}

impl<K: Kind> Found<K> {
    /// Whether every field that is declared has the declared value.
    fn is_as_declared(&self, desired: &K) -> Result<bool> {
        let (mut found, mut desired) = (serde_json::to_value(&self.spec)?, serde_json::to_value(desired)?);
        let schema = K::schema();
        canonicalise(&mut found, &schema, false);
        canonicalise(&mut desired, &schema, false);
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
        Ok(found) => found.map(|it| it.remote(Some(&change.address))).transpose().map_err(Error::unsettled),
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
