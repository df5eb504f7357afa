//! Between the contract's generated types and [`crate::records`]. What comes from a guest is checked on the way.
//!
//! Checks fail with words that name the rule that was broken and never quote what the guest said, which may be a secret.

use std::collections::HashMap;
use std::sync::Arc;

use trueup_core::address::{Address, Scope};
use trueup_core::diagnostic::Severity;
use trueup_core::graph::Graph;
use trueup_core::observation::HealthState;
use trueup_core::value::{Json, canonical};

use crate::bindings::exports::trueup::provider::{lifecycle, planning, rendering};
use crate::bindings::trueup::provider::types as wit;
use crate::log::clean;
use crate::records::*;
use crate::services::Services;

/// Bytes of an identity, version, mark, cursor, key, scope or pointer.
pub(crate) const MAX_NAME: usize = 4096;
/// Bytes of a message for people; a longer one is cut.
const MAX_WORDS: usize = 4096;
/// Findings of one item, and sensitive pointers, attributes of one object.
const MAX_FINDINGS: usize = 100;
const MAX_LIST: usize = 10_000;
/// Objects of one declaration: a zone file has tens of thousands.
const MAX_OBJECTS: usize = 100_000;
/// Bytes of the kinds that one object defines.
const MAX_DEFINED: usize = 16 << 20;
/// Nesting of a document.
const MAX_DEPTH: usize = 64;
/// The largest integer that every JSON reader keeps exactly (RFC 7493).
const MAX_INTEGER: u64 = 1 << 53;

/// Turns what a guest of one provider said into records.
pub(crate) struct Reader<'a> {
    pub(crate) provider: &'a Arc<str>,
    pub(crate) services: &'a dyn Services,
    /// Bytes of one document.
    pub(crate) document: usize,
    /// Kinds that the provider has; None where only the remote system knows them.
    pub(crate) kinds: Option<&'a dyn Fn(&str) -> bool>,
}

impl Reader<'_> {
    /// An object of `scope` (its other kinds included) or, with `key`, that very object.
    pub(crate) fn remote(&self, it: wit::Remote, scope: &Scope, key: Option<&str>) -> Result<Remote, String> {
        let address = self.address(it.address, scope)?;
        if let Some(key) = key {
            let same = address.scope.kind == scope.kind && (address.key.is_empty() || key.is_empty() || *address.key == *key);
            if !same {
                return Err("it answered with an object that was not asked for".to_owned());
            }
        }
        let doc = self.observed(&it.doc, "doc")?;
        let outputs = match it.outputs.is_empty() {
            true => None,
            false => Some(self.observed(&it.outputs, "outputs")?),
        };
        short(&it.identity, "identity")?;
        for (text, what) in [(&it.version, "version"), (&it.mark, "mark")] {
            text.as_deref().map_or(Ok(()), |text| short(text, what))?;
        }
        if it.sensitive.len() > MAX_LIST {
            return Err(format!("`sensitive` has more than {MAX_LIST} pointers"));
        }
        it.sensitive.iter().try_for_each(|pointer| self::pointer(pointer))?;
        let health = Health { state: health(it.health.state), message: self.words(&it.health.message) };
        let (identity, version, mark, sensitive) = (it.identity, it.version, it.mark, it.sensitive);
        Ok(Remote { address, identity, doc, outputs, version, mark, health, sensitive, ext: attributes(it.ext)? })
    }

    /// An address whose scope must be `scope`'s. Its texts are shared with `scope` where they are equal.
    fn address(&self, it: wit::Address, scope: &Scope) -> Result<Address, String> {
        if *it.scope != *scope.scope {
            return Err("it answered with an object of another scope".to_owned());
        }
        short(&it.key, "key")?;
        let kind = if *it.kind == *scope.kind {
            Arc::clone(&scope.kind)
        } else {
            short(&it.kind, "kind")?;
            if self.kinds.is_some_and(|known| !known(&it.kind)) {
                return Err("it answered with an object of a kind that its manifest does not name".to_owned());
            }
            it.kind.into()
        };
        let scope = Scope { provider: Arc::clone(self.provider), kind, scope: Arc::clone(&scope.scope) };
        Ok(Address { scope, key: it.key.into() })
    }

    /// A JSON object within the limits, nothing in it unknown.
    fn observed(&self, text: &str, what: &str) -> Result<Arc<Json>, String> {
        let (json, odd) = self.parsed(text, what)?;
        if odd && holds_unknown(&json) {
            return Err(format!("`{what}` holds a `$unknown` object that may not stand there"));
        }
        Ok(json)
    }

    /// A JSON object within the limits, which may wait for values that are not known yet.
    fn document(&self, text: &str, what: &str) -> Result<Arc<Json>, String> {
        self.parsed(text, what).map(|it| it.0)
    }

    /// As [`Reader::document`], and whether it may hold markers.
    fn parsed(&self, text: &str, what: &str) -> Result<(Arc<Json>, bool), String> {
        if text.len() > self.document {
            return Err(format!("`{what}` is larger than {} bytes", self.document));
        }
        let json: Json = serde_json::from_str(text).map_err(|_| format!("`{what}` is no JSON text"))?;
        if !json.is_object() {
            return Err(format!("`{what}` is no JSON object"));
        }
        let odd = may_be_odd(text);
        check(&json, MAX_DEPTH, odd).map_err(|rule| format!("`{what}` {rule}"))?;
        Ok((Arc::new(json), odd))
    }

    pub(crate) fn snapshot(&self, it: lifecycle::Snapshot, query: &ScopeQuery) -> Result<Snapshot, String> {
        if it.objects.len() > usize::try_from(query.limit).unwrap_or(usize::MAX) {
            return Err(format!("it answered with more objects than the limit of {}", query.limit));
        }
        let coverage = match it.coverage {
            lifecycle::Coverage::Whole => Coverage::Whole,
            lifecycle::Coverage::Delta => Coverage::Delta,
            lifecycle::Coverage::Unchanged => Coverage::Unchanged,
            lifecycle::Coverage::Partial => Coverage::Partial,
        };
        let follows = matches!(coverage, Coverage::Delta | Coverage::Unchanged);
        if follows && query.since.is_none() {
            return Err("it answered with a difference where no earlier version was given".to_owned());
        }
        if coverage == Coverage::Unchanged && !it.objects.is_empty() {
            return Err("it answered `unchanged` with objects".to_owned());
        }
        if coverage != Coverage::Delta && !it.gone.is_empty() {
            return Err("it named objects that are gone without a delta".to_owned());
        }
        let scope = self.scope(&query.kind, &query.scope);
        let objects: Vec<Remote> = it.objects.into_iter().map(|it| self.remote(it, &scope, None)).collect::<Result<_, _>>()?;
        twice(&objects)?;
        let gone = it.gone.into_iter().map(|it| {
            it.identity.as_deref().map_or(Ok(()), |text| short(text, "identity"))?;
            Ok(Gone { address: self.address(it.address, &scope)?, identity: it.identity })
        });
        let gone = gone.collect::<Result<_, String>>()?;
        for (text, what) in [(&it.next, "next"), (&it.version, "version")] {
            text.as_deref().map_or(Ok(()), |text| short(text, what))?;
        }
        let findings = self.findings(it.diagnostics);
        Ok(Snapshot { objects, next: it.next, version: it.version, coverage, gone, findings, ext: it.ext })
    }

    pub(crate) fn observation(&self, it: lifecycle::Observation, lookup: &Lookup) -> Result<Observation, String> {
        Ok(match it {
            lifecycle::Observation::Found(remote) => {
                Observation::Found(Box::new(self.remote(remote, &lookup.address.scope, Some(&lookup.address.key))?))
            }
            lifecycle::Observation::Absent => Observation::Absent,
            lifecycle::Observation::Unchanged if lookup.since.is_none() => {
                return Err("it answered `unchanged` where no earlier version was given".to_owned());
            }
            lifecycle::Observation::Unchanged => Observation::Unchanged,
            lifecycle::Observation::Failed(failure) => Observation::Failed(self.failure(failure)),
        })
    }

    /// `asked` is the object of the change, `identity` what it was called before, where it was there before.
    pub(crate) fn outcome(&self, it: lifecycle::Outcome, asked: &Address, identity: Option<&str>) -> Result<Outcome, String> {
        let object = it.object.map(|it| self.remote(it, &asked.scope, Some(&asked.key))).transpose()?;
        if let (Some(object), Some(before)) = (&object, identity)
            && !before.is_empty()
            && object.identity != before
        {
            return Err("it answered an update with an object of another identity".to_owned());
        }
        let settlement = match it.settlement {
            lifecycle::Settlement::Settled => Settlement::Settled,
            lifecycle::Settlement::Pending(pending) => {
                if pending.operation.len() > 64 << 10 {
                    return Err("`operation` is larger than 65536 bytes".to_owned());
                }
                let message = self.words(&pending.message);
                Settlement::Pending(Pending { operation: pending.operation, after_ms: pending.after, message })
            }
            lifecycle::Settlement::Rejected(failure) => Settlement::Rejected(self.failure(failure)),
            lifecycle::Settlement::Unsettled(failure) => Settlement::Unsettled(self.failure(failure)),
        };
        Ok(Outcome { settlement, object, findings: self.findings(it.diagnostics), ext: attributes(it.ext)? })
    }

    /// Children keep the scope's provider; their kinds and scopes are the plugin's business.
    pub(crate) fn rendered(&self, it: rendering::Rendered) -> Result<Rendered, String> {
        let findings = self.findings(it.diagnostics);
        if findings.iter().any(|it| it.severity == Severity::Error) {
            return Ok(Rendered { objects: Vec::new(), findings });
        }
        if it.objects.len() > MAX_OBJECTS {
            return Err(format!("one declaration became more than {MAX_OBJECTS} objects"));
        }
        let free = |it: wit::Address| {
            short(&it.scope, "scope")?;
            let scope = self.scope(&it.kind, &it.scope);
            self.address(it, &scope)
        };
        let objects = it.objects.into_iter().map(|it| {
            if self.kinds.is_some_and(|known| !known(&it.address.kind)) {
                return Err("it rendered an object of a kind that its manifest does not name".to_owned());
            }
            let after = it.after.into_iter().map(free).collect::<Result<_, _>>()?;
            let defines = it.ext.iter().find(|(name, _)| name == "defines").map(|(_, text)| defined(text)).transpose()?;
            Ok(RenderedObject { address: free(it.address)?, doc: self.document(&it.doc, "doc")?, after, defines })
        });
        let objects: Vec<RenderedObject> = objects.collect::<Result<_, String>>()?;
        in_order(&objects)?;
        Ok(Rendered { objects, findings })
    }

    pub(crate) fn verdict(&self, it: planning::Verdict, candidate: &Candidate) -> Result<Verdict, String> {
        let known = |path: &String| candidate.edits.iter().any(|edit| edit.path == *path);
        Ok(match it {
            planning::Verdict::Accept => Verdict::Accept,
            planning::Verdict::Ignore(paths) | planning::Verdict::Replace(planning::Replacement { paths, .. })
                if !paths.iter().all(known) =>
            {
                return Err("it judged an edit that is not there".to_owned());
            }
            planning::Verdict::Ignore(paths) => Verdict::Ignore(paths),
            planning::Verdict::Replace(it) => {
                Verdict::Replace { paths: it.paths, create_first: it.create_first, reason: self.words(&it.reason) }
            }
            planning::Verdict::Hold(why) => Verdict::Hold(self.words(&why)),
            planning::Verdict::Refuse(failure) => Verdict::Refuse(self.failure(failure)),
        })
    }

    pub(crate) fn failure(&self, it: wit::Failure) -> Failure {
        failure(it, self.services)
    }

    fn findings(&self, them: Vec<wit::Diagnostic>) -> Vec<Finding> {
        findings(them, self.services)
    }

    fn words(&self, text: &str) -> String {
        // As a rule an object's health has none.
        if text.is_empty() {
            return String::new();
        }
        clean(&self.services.mask(text), MAX_WORDS)
    }

    fn scope(&self, kind: &str, scope: &str) -> Scope {
        Scope { provider: Arc::clone(self.provider), kind: kind.into(), scope: scope.into() }
    }
}

/// A guest's failure. Its words are masked, cut and bounded; one that gives no reason says so.
pub(crate) fn failure(it: wit::Failure, services: &dyn Services) -> Failure {
    let fault = match it.fault {
        wit::Fault::Invalid => Fault::Invalid,
        wit::Fault::Unauthorized => Fault::Unauthorized,
        wit::Fault::Denied => Fault::Denied,
        wit::Fault::NotFound => Fault::NotFound,
        wit::Fault::Conflict => Fault::Conflict,
        wit::Fault::Throttled(wait) => Fault::Throttled(wait),
        wit::Fault::Transient(wait) => Fault::Transient(wait),
        wit::Fault::Unsupported => Fault::Unsupported,
        wit::Fault::Internal => Fault::Internal,
    };
    let findings = findings(it.diagnostics, services);
    if findings.is_empty() {
        return Failure::new(fault, "host.no-reason", format!("the plugin answered `{}` and gave no reason", fault.word()));
    }
    Failure { fault, findings }
}

fn findings(them: Vec<wit::Diagnostic>, services: &dyn Services) -> Vec<Finding> {
    let words = |text: &str| clean(&services.mask(text), MAX_WORDS);
    let convert = |it: wit::Diagnostic| Finding {
        severity: match it.severity {
            wit::Severity::Error => Severity::Error,
            wit::Severity::Warning => Severity::Warning,
            wit::Severity::Note => Severity::Note,
        },
        code: clean(&it.code, 128),
        summary: words(&it.summary),
        detail: it.detail.as_deref().map(words),
        path: it.path.filter(|path| pointer(path).is_ok()),
    };
    them.into_iter().take(MAX_FINDINGS).map(convert).collect()
}

fn health(state: wit::HealthState) -> HealthState {
    match state {
        wit::HealthState::Healthy => HealthState::Healthy,
        wit::HealthState::Progressing => HealthState::Progressing,
        wit::HealthState::Degraded => HealthState::Degraded,
        wit::HealthState::Suspended => HealthState::Suspended,
        wit::HealthState::Unknown => HealthState::Unknown,
    }
}

fn attributes(them: Attributes) -> Result<Attributes, String> {
    let size: usize = them.iter().map(|(name, value)| name.len() + value.len()).sum();
    if them.len() > MAX_LIST || size > 64 << 10 {
        return Err("`ext` is larger than 65536 bytes".to_owned());
    }
    Ok(them)
}

/// The kinds that a rendered object defines.
fn defined(text: &str) -> Result<Arc<Json>, String> {
    if text.len() > MAX_DEFINED {
        return Err(format!("`defines` is larger than {MAX_DEFINED} bytes"));
    }
    let kinds: Json = serde_json::from_str(text).map_err(|_| "`defines` is no JSON text".to_owned())?;
    if kinds.is_object() { Ok(Arc::new(kinds)) } else { Err("`defines` is no mapping of kinds".to_owned()) }
}

/// Two objects under one address would make one of them invisible.
fn twice(objects: &[Remote]) -> Result<(), String> {
    let mut seen = std::collections::HashSet::with_capacity(objects.len());
    for object in objects.iter().filter(|it| !it.address.key.is_empty()) {
        // They are of one scope.
        if !seen.insert((&*object.address.key, &*object.address.scope.kind)) {
            return Err("it answered with two objects of one address".to_owned());
        }
    }
    Ok(())
}

/// The order of one declaration's objects is among themselves, and there is one.
fn in_order(objects: &[RenderedObject]) -> Result<(), String> {
    if objects.iter().all(|it| it.after.is_empty()) {
        return Ok(());
    }
    let places: HashMap<&Address, usize> = objects.iter().enumerate().map(|(at, it)| (&it.address, at)).collect();
    let mut edges = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        for before in &object.after {
            let before = places.get(before).ok_or("it put an object after one that it did not render with it")?;
            edges.push((*before, at));
        }
    }
    match Graph::new(objects.len(), edges).order() {
        Ok(_) => Ok(()),
        Err(_) => Err("it put objects after each other in a circle".to_owned()),
    }
}

fn short(text: &str, what: &str) -> Result<(), String> {
    if text.len() > MAX_NAME {
        return Err(format!("`{what}` is longer than {MAX_NAME} bytes"));
    }
    if text.contains('\0') {
        return Err(format!("`{what}` holds a NUL"));
    }
    Ok(())
}

fn pointer(text: &str) -> Result<(), String> {
    short(text, "pointer")?;
    if !text.is_empty() && !text.starts_with('/') {
        return Err("a pointer does not begin with `/`".to_owned());
    }
    Ok(())
}

/// What I-JSON and the contract ask of a value. `depth` is how many levels may still follow; the parser allows 128. `odd`: it may
/// hold markers or a NUL.
fn check(value: &Json, depth: usize, odd: bool) -> Result<(), String> {
    match value {
        Json::Null | Json::Bool(_) => Ok(()),
        Json::String(text) if odd && text.contains('\0') => Err("holds a NUL".to_owned()),
        Json::String(_) => Ok(()),
        Json::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match magnitude {
                Some(large) if large > MAX_INTEGER => Err("holds an integer beyond 2^53, which must travel as text".to_owned()),
                _ => Ok(()),
            }
        }
        Json::Array(_) | Json::Object(_) if depth == 0 => Err(format!("is nested deeper than {MAX_DEPTH} levels")),
        Json::Array(items) => items.iter().try_for_each(|it| check(it, depth - 1, odd)),
        Json::Object(map) if !odd => map.values().try_for_each(|it| check(it, depth - 1, odd)),
        Json::Object(map) => {
            reserved(value)?;
            map.iter().try_for_each(|(key, it)| match key.contains('\0') {
                true => Err("holds a NUL".to_owned()),
                false => check(it, depth - 1, odd),
            })
        }
    }
}

/// Whether a text may hold markers or a NUL: the one has a `$` in its name, which an escape may spell, and the other can only be
/// written with an escape.
fn may_be_odd(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.contains(&b'$') || bytes.contains(&b'\\')
}

/// Whether an unknown value stands anywhere in a value. Its depth has been checked.
fn holds_unknown(value: &Json) -> bool {
    use trueup_core::value::{Marker, marker};
    match value {
        Json::Array(items) => items.iter().any(holds_unknown),
        Json::Object(map) => matches!(marker(value), Some(Marker::Unknown(_))) || map.values().any(holds_unknown),
        _ => false,
    }
}

/// A plugin may hand back secrets, blobs and unknown values as they came, in exactly their form. What is observed holds no
/// unknown value: `Reader::observed` sees to that.
fn reserved(value: &Json) -> Result<(), String> {
    use trueup_core::value::{Marker, marker};
    let Some(map) = value.as_object() else { return Ok(()) };
    let named = ["$unknown", "$secret", "$blob"].into_iter().find(|name| map.contains_key(*name));
    match (named, marker(value)) {
        (None, _) | (Some(_), Some(Marker::Secret { .. } | Marker::Blob { .. } | Marker::Unknown(_))) => Ok(()),
        (Some(name), _) => Err(format!("holds a `{name}` object that may not stand there")),
    }
}

pub(crate) mod to {
    //! From records to the contract's types.

    use super::*;

    pub(crate) fn info(info: &CallInfo, budget_ms: u64) -> wit::CallInfo {
        wit::CallInfo { now: info.now_ms, budget: budget_ms, trace: info.trace.clone(), ext: Vec::new() }
    }

    pub(crate) fn address(it: &Address) -> wit::Address {
        wit::Address { kind: it.scope.kind.to_string(), scope: it.scope.scope.to_string(), key: it.key.to_string() }
    }

    pub(crate) fn query(it: &ScopeQuery) -> lifecycle::ScopeQuery {
        lifecycle::ScopeQuery {
            kind: it.kind.to_string(),
            scope: it.scope.to_string(),
            cursor: it.cursor.clone(),
            since: it.since.clone(),
            limit: it.limit,
            wait: it.wait_ms,
            ext: it.ext.clone(),
        }
    }

    pub(crate) fn lookup(it: &Lookup) -> lifecycle::Lookup {
        lifecycle::Lookup {
            address: address(&it.address),
            identity: it.identity.clone(),
            desired: it.desired.as_deref().map(canonical),
            mark: it.mark.clone(),
            token: it.token.clone(),
            since: it.since.clone(),
            ext: it.ext.clone(),
        }
    }

    pub(crate) fn declared(it: &Declared) -> rendering::Declared {
        rendering::Declared { address: address(&it.address), doc: canonical(&it.doc), ext: Vec::new() }
    }

    pub(crate) fn change(it: &Change) -> lifecycle::Change {
        lifecycle::Change {
            action: action(it.action),
            address: address(&it.address),
            token: it.token.clone(),
            attempt: it.attempt,
            unsettled: it.unsettled,
            mark: it.mark.clone(),
            desired: it.desired.as_deref().map(canonical),
            prior: it.prior.as_ref().map(remote),
            edits: it.edits.iter().map(edit).collect(),
            ext: it.ext.clone(),
        }
    }

    pub(crate) fn candidate(it: &Candidate) -> planning::Candidate {
        planning::Candidate {
            action: action(it.action),
            address: address(&it.address),
            desired: it.desired.as_deref().map(canonical),
            object: it.object.as_ref().map(remote),
            edits: it.edits.iter().map(edit).collect(),
            ext: it.ext.clone(),
        }
    }

    fn remote(it: &Remote) -> wit::Remote {
        let state = match it.health.state {
            HealthState::Healthy => wit::HealthState::Healthy,
            HealthState::Progressing => wit::HealthState::Progressing,
            HealthState::Degraded => wit::HealthState::Degraded,
            HealthState::Suspended => wit::HealthState::Suspended,
            HealthState::Unknown => wit::HealthState::Unknown,
        };
        wit::Remote {
            address: address(&it.address),
            identity: it.identity.clone(),
            doc: canonical(&it.doc),
            outputs: it.outputs.as_deref().map(canonical).unwrap_or_default(),
            version: it.version.clone(),
            mark: it.mark.clone(),
            health: wit::Health { state, message: it.health.message.clone() },
            sensitive: it.sensitive.clone(),
            ext: it.ext.clone(),
        }
    }

    fn action(it: IntentAction) -> wit::Action {
        match it {
            IntentAction::Create => wit::Action::Create,
            IntentAction::Update => wit::Action::Update,
            IntentAction::Delete => wit::Action::Delete,
        }
    }

    fn edit(it: &Edit) -> wit::Edit {
        let op = match it.op {
            EditOp::Add => wit::EditOp::Add,
            EditOp::Remove => wit::EditOp::Remove,
            EditOp::Replace => wit::EditOp::Replace,
        };
        wit::Edit { op, path: it.path.clone(), value: it.value.as_ref().map(canonical) }
    }
}

#[cfg(test)]
mod tests;
