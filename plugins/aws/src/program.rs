//! The calls that a change takes, in order. Pure, but for secrets and files of the revision that go along.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Map;
use trueup_sdk::{Action, Change, EditOp, Json, Result};

use crate::field::{self, Typed, given};
use crate::kind::{Call, Items, Kind, Update};
use crate::{path, tags};

/// One call to come. Its input is filled in when its turn has come, as earlier calls tell what it needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    pub call: String,
    pub input: Json,
    /// What is put into the input besides.
    pub puts: Vec<(String, Json)>,
    /// Codes of errors that mean that it is done already.
    pub done: Vec<String>,
    /// It makes the object, and this part of its answer tells of it.
    pub creates: Option<Option<String>>,
    /// The item that `$raw` means in its input.
    pub item: Option<Json>,
    /// What each structure that is put into a list says besides.
    pub with: Json,
    /// What it answers is what `$raw` means from then on.
    pub tells: bool,
}

pub type Steps = VecDeque<Step>;

/// The `spec` of a document.
pub fn spec_of(doc: Option<&str>) -> Result<Map<String, Json>> {
    let doc: Json = doc.map_or(Ok(Json::Null), serde_json::from_str)?;
    match doc.get("spec") {
        Some(Json::Object(spec)) => Ok(spec.clone()),
        _ => Ok(Map::new()),
    }
}

/// What makes an object.
pub fn create(kind: &Kind, change: &Change) -> Result<Steps> {
    let spec = spec_of(change.desired.as_deref())?;
    let mut puts = Vec::new();
    if let Some(name) = kind.name.as_ref().filter(|it| !it.at.is_empty()) {
        puts.push((under(&kind.create.under, &name.at), Json::from(change.address.key.as_str())));
    }
    for (name, (typed, value)) in given(kind, &spec)? {
        let place = typed.field.place(name);
        if kind.at_create(name) && !place.is_empty() {
            puts.push((under(&kind.create.under, &place), typed.to_api(value)?));
        }
    }
    let service = field::service(kind)?;
    let operation = service.operation(&kind.create.call);
    if let Some(token) = operation.and_then(|it| it.token) {
        puts.push((token.to_owned(), Json::from(change.token.as_str())));
    }
    if let Some(of) = kind.tags.as_ref().filter(|it| !it.at.is_empty()) {
        let at = under(&kind.create.under, &of.at);
        let shape = field::input(service, &kind.create.call).and_then(|it| field::shape_at(service, it, &at));
        puts.push((at, tags::written(service, shape, &all_tags(&spec, &change.mark))));
    }
    let first = Step { creates: Some(kind.create.take.clone()), puts, ..of_call(&kind.create) };
    let mut steps = Steps::from([first]);
    steps.extend(after_create(kind, change, &spec)?);
    Ok(steps)
}

/// What follows a create, of an object that was just made or was found half made.
pub fn after_create(kind: &Kind, change: &Change, spec: &Map<String, Json>) -> Result<Steps> {
    let mut steps = Steps::new();
    let all = given(kind, spec)?;
    for update in kind.update.iter().filter(|it| it.after_create) {
        let changed: BTreeSet<&str> = all.keys().copied().filter(|it| update.fields.contains_key(*it)).collect();
        if !changed.is_empty() {
            let fresh = changed.iter().filter_map(|name| Some(((*name).to_owned(), update.fresh.clone()?))).collect();
            steps.extend(updating(kind, update, &changed, &all, &fresh, &Json::Null)?);
        }
    }
    if let Some(of) = kind.tags.as_ref().filter(|it| it.at.is_empty()) {
        steps.extend(tagging(kind, &of.add, &all_tags(spec, &change.mark))?);
    }
    Ok(steps)
}

/// What brings an object to its document.
pub fn update(kind: &Kind, change: &Change) -> Result<Steps> {
    let spec = spec_of(change.desired.as_deref())?;
    let prior = spec_of(change.prior.as_ref().map(|it| it.doc.as_str()))?;
    let edited: BTreeSet<&str> = change.edits.iter().filter_map(|it| it.path.split('/').nth(2)).collect();
    let all = given(kind, &spec)?;
    let status = status_of(change);
    let mut steps = Steps::new();
    for update in &kind.update {
        let of =
            |it: &&str| *it != "tags" && (update.fields.contains_key(*it) || (update.fields.is_empty() && is_rest(kind, it)));
        let changed: BTreeSet<&str> = edited.iter().copied().filter(of).collect();
        if !changed.is_empty() {
            steps.extend(updating(kind, update, &changed, &all, &prior, &status)?);
        }
    }
    steps.extend(retagging(kind, change, &spec, &prior)?);
    Ok(steps)
}

/// What takes an object away.
pub fn delete(kind: &Kind, change: &Change) -> Result<Steps> {
    let prior = spec_of(change.prior.as_ref().map(|it| it.doc.as_str()))?;
    let status = status_of(change);
    let mut steps = Steps::new();
    for update in kind.update.iter().filter(|it| it.clear) {
        let changed = update.fields.keys().map(String::as_str).collect();
        steps.extend(updating(kind, update, &changed, &BTreeMap::new(), &prior, &status)?);
    }
    let filled = |it: &String| prior.get(it).is_some_and(|it| !is_empty(it));
    let calls = kind.delete.iter().filter(|it| it.given.is_empty() || it.given.iter().any(filled));
    for call in calls {
        for mut step in repeated(call, &status) {
            if !call.under.is_empty() {
                for (name, (typed, value)) in given(kind, &prior)? {
                    if !is_empty(value) {
                        step.puts.push((under(&call.under, &typed.field.place(name)), typed.to_api(value)?));
                    }
                }
            }
            steps.push_back(step);
        }
    }
    Ok(steps)
}

/// What others may refer to of the object that was seen.
fn status_of(change: &Change) -> Json {
    change.prior.as_ref().and_then(|it| serde_json::from_str(&it.outputs).ok()).unwrap_or_default()
}

/// A call, or as many as an output has items.
fn repeated(call: &Call, status: &Json) -> Vec<Step> {
    let Some(name) = &call.for_each else { return vec![of_call(call)] };
    let items = status.get(name).and_then(Json::as_array).into_iter().flatten();
    items.map(|it| Step { item: Some(it.clone()), ..of_call(call) }).collect()
}

/// The steps of a change.
pub fn steps(kind: &Kind, change: &Change) -> Result<Steps> {
    match change.action {
        Action::Create => create(kind, change),
        Action::Update => update(kind, change),
        Action::Delete => delete(kind, change),
    }
}

fn of_call(call: &Call) -> Step {
    Step { call: call.call.clone(), input: call.input.clone(), done: call.done.clone(), ..Step::default() }
}

fn under(prefix: &str, place: &str) -> String {
    if prefix.is_empty() { place.to_owned() } else { format!("{prefix}.{place}") }
}

/// Whether no other call sets a field.
fn is_rest(kind: &Kind, name: &str) -> bool {
    kind.fields.contains_key(name) && !kind.update.iter().any(|it| it.fields.contains_key(name))
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        Json::String(text) => text.is_empty(),
        _ => false,
    }
}

type Given<'a> = BTreeMap<&'a str, (Typed<'a>, &'a Json)>;

fn updating(
    kind: &Kind,
    update: &Update,
    changed: &BTreeSet<&str>,
    all: &Given<'_>,
    prior: &Map<String, Json>,
    status: &Json,
) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = update.before.iter().flat_map(|it| repeated(it, status)).collect();
    if update.add.is_some() || update.remove.is_some() {
        for name in changed {
            steps.extend(items(kind, update, name, all, prior, status)?);
        }
        return Ok(steps);
    }
    if !update.switch.is_empty() {
        steps.extend(changed.iter().filter_map(|name| switched(kind, update, name, all)));
        return Ok(steps);
    }
    steps.extend(setting(kind, update, changed, all)?);
    Ok(steps)
}

/// The call that brings about the value of a field, or what it is by itself.
fn switched(kind: &Kind, update: &Update, name: &str, all: &Given<'_>) -> Option<Step> {
    let default = || kind.fields.get(name)?.default.as_ref();
    let value = all.get(name).map(|(_, value)| *value).or_else(default)?;
    update.switch.get(&field::text_of(value)).map(of_call)
}

/// The call that sets fields, or those.
fn setting(kind: &Kind, update: &Update, changed: &BTreeSet<&str>, all: &Given<'_>) -> Result<Vec<Step>> {
    let Some(call) = &update.call else { return Ok(Vec::new()) };
    let mine = |name: &str| update.fields.contains_key(name) || (update.fields.is_empty() && is_rest(kind, name));
    let none_given = !all.keys().any(|it| mine(it));
    if let (true, Some(unset)) = (none_given, &update.unset) {
        return Ok(vec![of_call(unset)]);
    }
    let whole = all.keys().copied().filter(|it| update.whole && mine(it));
    let sent: BTreeSet<&str> = changed.iter().copied().chain(whole).collect();
    let mut puts = Vec::new();
    for name in sent {
        let Some(declared) = kind.fields.get(name) else { continue };
        let place = update.fields.get(name).cloned().flatten().unwrap_or_else(|| declared.place(name));
        if place.is_empty() {
            continue;
        }
        let value = match (all.get(name), &declared.default) {
            (Some((typed, value)), _) => typed.to_api(value)?,
            // Nobody declares it any more: it goes back to what it is by itself.
            (None, Some(default)) => field::typed(kind, name, declared)?.to_api(default)?,
            (None, None) => continue,
        };
        let member = declared.place(name).rsplit('.').next().map(Json::from).unwrap_or_default();
        puts.push((member, (under(&update.under, &place), value)));
    }
    let step = |puts, item| Step { call: call.clone(), input: update.input.clone(), puts, item, ..Step::default() };
    if update.each {
        // Of a service that takes the name and the value of an attribute: `$raw.member`.
        let each = puts.into_iter().map(|(member, put)| step(vec![put], Some(trueup_sdk::json!({ "member": member }))));
        return Ok(each.collect());
    }
    if puts.is_empty() {
        return Ok(Vec::new());
    }
    let first = Step { tells: update.then.is_some(), ..step(puts.into_iter().map(|it| it.1).collect(), None) };
    Ok(std::iter::once(first).chain(update.then.as_ref().map(of_call)).collect())
}

/// The items of a list or a mapping, each by what tells it apart.
fn by_key(typed: &Typed<'_>, value: Option<&Json>) -> Vec<(String, Json)> {
    match value {
        Some(Json::Array(items)) => items.iter().map(|it| (key_of(typed, it), it.clone())).collect(),
        Some(Json::Object(fields)) => {
            fields.iter().map(|(name, it)| (name.clone(), trueup_sdk::json!({ "key": name, "value": it }))).collect()
        }
        // A single value is a list of one.
        Some(one) if !one.is_null() => vec![(one.to_string(), one.clone())],
        _ => Vec::new(),
    }
}

fn key_of(typed: &Typed<'_>, item: &Json) -> String {
    if typed.field.key.is_empty() {
        return item.to_string();
    }
    let parts = typed.field.key.iter().map(|it| item.get(it).map(ToString::to_string).unwrap_or_default());
    parts.collect::<Vec<_>>().join("\n")
}

fn items(
    kind: &Kind,
    update: &Update,
    name: &str,
    all: &Given<'_>,
    prior: &Map<String, Json>,
    status: &Json,
) -> Result<Vec<Step>> {
    let Some(declared) = kind.fields.get(name) else { return Ok(Vec::new()) };
    let typed = field::typed(kind, name, declared)?;
    let wanted = by_key(&typed, all.get(name).map(|(_, value)| *value));
    let there = by_key(&typed, prior.get(name));
    let find = |list: &[(String, Json)], key: &str| list.iter().find(|(it, _)| it == key).map(|(_, it)| it.clone());
    let (mut gone, mut fresh, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for (key, item) in &there {
        match find(&wanted, key) {
            None => gone.push(item.clone()),
            Some(now) if now != *item && update.change.is_none() => gone.push(item.clone()),
            Some(_) => {}
        }
    }
    for (key, item) in wanted {
        match find(&there, &key) {
            None => fresh.push(item),
            Some(before) if before == item => {}
            Some(_) if update.change.is_some() => other.push(item),
            Some(_) => fresh.push(item),
        }
    }
    let mut steps = Vec::new();
    for (call, items) in [(&update.remove, gone), (&update.change, other), (&update.add, fresh)] {
        if let Some(call) = call {
            steps.extend(of_items(kind, &typed, call, &items, status)?);
        }
    }
    Ok(steps)
}

fn of_items(kind: &Kind, typed: &Typed<'_>, call: &Items, items: &[Json], status: &Json) -> Result<Vec<Step>> {
    let service = field::service(kind)?;
    let shape = field::input(service, &call.call).and_then(|it| field::shape_at(service, it, &call.at));
    let list = shape.is_some_and(|it| it.kind == crate::model::Kind::List);
    let one = |it: &Json| -> Result<Json> {
        let value = match it.get("key").filter(|_| typed.is_mapping()) {
            Some(key) => trueup_sdk::json!({ "key": key, "value": typed.item().to_api(it.get("value").unwrap_or(&Json::Null))? }),
            None if typed.is_list() => typed.item_to_api(it)?,
            None => typed.to_api(it)?,
        };
        Ok(match (&call.find, &call.only) {
            (Some(find), _) => {
                let all = status.get(&find.status).and_then(Json::as_array);
                let found = all.and_then(|it| it.iter().find(|it| it.get(&find.by) == Some(&value)));
                found.and_then(|it| it.get(&find.take)).cloned().unwrap_or(Json::Null)
            }
            (None, Some(only)) => path::get(&value, only).cloned().unwrap_or(Json::Null),
            (None, None) => value,
        })
    };
    let values = items.iter().map(one).collect::<Result<Vec<_>>>()?;
    let step = |puts, item| Step {
        call: call.call.clone(),
        input: call.input.clone(),
        puts,
        done: call.done.clone(),
        item,
        ..Step::default()
    };
    if values.is_empty() {
        return Ok(Vec::new());
    }
    if !call.one {
        return Ok(vec![step(vec![(call.at.clone(), Json::Array(values))], None)]);
    }
    let each = |value: Json| {
        let puts = match (&*call.at, list) {
            _ if call.bare => Vec::new(),
            ("", _) => match &value {
                Json::Object(fields) if !typed.is_mapping() => {
                    fields.iter().map(|(name, it)| (name.clone(), it.clone())).collect()
                }
                _ => Vec::new(),
            },
            (at, true) => vec![(at.to_owned(), Json::Array(vec![value.clone()]))],
            (at, false) => vec![(at.to_owned(), value.clone())],
        };
        step(puts, Some(value))
    };
    Ok(values.into_iter().map(each).collect())
}

fn all_tags(spec: &Map<String, Json>, mark: &str) -> Map<String, Json> {
    let mut tags = spec.get("tags").and_then(Json::as_object).cloned().unwrap_or_default();
    tags.insert(tags::MARK.to_owned(), Json::from(mark));
    tags
}

fn tagging(kind: &Kind, call: &Items, tags: &Map<String, Json>) -> Result<Option<Step>> {
    if tags.is_empty() {
        return Ok(None);
    }
    let service = field::service(kind)?;
    let shape = field::input(service, &call.call).and_then(|it| field::shape_at(service, it, &call.at));
    let puts = vec![(call.at.clone(), tags::written(service, shape, tags))];
    let (call, input, with) = (call.call.clone(), call.input.clone(), call.with.clone());
    Ok(Some(Step { call, input, puts, with, ..Step::default() }))
}

/// Tags that are new or other than they were, the mark among them; and those that nobody declares any more.
fn retagging(kind: &Kind, change: &Change, spec: &Map<String, Json>, prior: &Map<String, Json>) -> Result<Vec<Step>> {
    let Some(of) = &kind.tags else { return Ok(Vec::new()) };
    let none = Map::new();
    let before = prior.get("tags").and_then(Json::as_object).unwrap_or(&none);
    let mut wanted = spec.get("tags").and_then(Json::as_object).cloned().unwrap_or_default();
    let gone: Vec<&String> = change
        .edits
        .iter()
        .filter(|it| it.op == EditOp::Remove)
        .flat_map(|it| match it.path.strip_prefix("/spec/tags") {
            Some("") => before.keys().collect::<Vec<_>>(),
            Some(rest) => {
                let name = rest.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
                before.keys().filter(|it| **it == name).collect()
            }
            None => Vec::new(),
        })
        .collect();
    if of.whole {
        let changed = !gone.is_empty() || wanted.iter().any(|(name, value)| before.get(name) != Some(value));
        let marked = change.prior.as_ref().and_then(|it| it.mark.as_ref()) == Some(&change.mark);
        let mut all: Map<String, Json> =
            before.iter().filter(|(name, _)| !gone.contains(name)).map(|(name, it)| (name.clone(), it.clone())).collect();
        all.extend(wanted);
        all.insert(tags::MARK.to_owned(), Json::from(change.mark.as_str()));
        return if changed || !marked { Ok(tagging(kind, &of.add, &all)?.into_iter().collect()) } else { Ok(Vec::new()) };
    }
    wanted.retain(|name, value| before.get(name) != Some(value));
    if change.prior.as_ref().and_then(|it| it.mark.as_ref()) != Some(&change.mark) {
        wanted.insert(tags::MARK.to_owned(), Json::from(change.mark.as_str()));
    }
    let mut steps: Vec<Step> = tagging(kind, &of.add, &wanted)?.into_iter().collect();
    if !gone.is_empty() {
        let service = field::service(kind)?;
        let shape = field::input(service, &of.remove.call).and_then(|it| field::shape_at(service, it, &of.remove.at));
        let puts = vec![(of.remove.at.clone(), tags::keys(service, shape, &gone))];
        let (call, input, with) = (of.remove.call.clone(), of.remove.input.clone(), of.remove.with.clone());
        steps.push(Step { call, input, puts, with, ..Step::default() });
    }
    Ok(steps)
}
