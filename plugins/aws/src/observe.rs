//! What is there: whole listings for scans, looks at single objects for what lists do not tell.
//!
//! # Guarantees
//! - A listing that failed in any page, or of any part that it is joined with, is a failure and never a shorter list.
//! - What a list does not tell of an object is marked `unread`, and read only for whom the engine asks.

use std::collections::{BTreeMap, HashMap};

use trueup_sdk::{Coverage, Error, Fault, Json, Lookup, Observation, Result, ScopeQuery, Snapshot};

use crate::client::{self, Call, Failed};
use crate::field::text_of;
use crate::kind::{self, Kind, Listing};
use crate::object::Object;
use crate::path;
use crate::provider::Aws;
use crate::template::Known;

/// Objects that one call of `many` asks for.
const MANY: usize = 100;

/// All objects of a scope.
struct Asked {
    kind: &'static Kind,
    scope: String,
    parent: String,
}

impl Aws {
    /// Every scope that is asked for, all at the same time.
    pub fn scan_all(&self, queries: &[ScopeQuery], now: u64) -> Vec<Result<Snapshot>> {
        if let Err(error) = self.in_its_account(now) {
            return queries.iter().map(|_| Err(error.clone())).collect();
        }
        let asked: Vec<Result<Option<Asked>>> = queries.iter().map(|it| self.asked(&it.kind, &it.scope, now)).collect();
        let open: Vec<&Asked> = asked.iter().filter_map(|it| it.as_ref().ok()?.as_ref()).collect();
        let mut listed = self.list(&open, now).into_iter();
        let each = |asked: &Result<Option<Asked>>| match asked {
            Err(error) => Err(error.clone()),
            // What it stands in is not there, and so is nothing in it.
            Ok(None) => Ok(snapshot(Vec::new())),
            Ok(Some(asked)) => {
                let objects = listed.next().unwrap_or_else(|| Err(Error::internal("a scope was left out")))?;
                let swept = asked.kind.tags.as_ref().is_some_and(|it| it.sweep.is_some());
                let objects = if asked.kind.brief && !swept { self.marked(asked, objects)? } else { objects };
                let brief = |it: &Object| asked.kind.brief || untold(asked.kind, it);
                let remotes = objects.into_iter().map(|it| {
                    let brief = brief(&it);
                    it.into_remote(asked.kind, &self.config, &asked.scope, brief)
                });
                Ok(snapshot(remotes.collect::<Result<_>>()?))
            }
        };
        asked.iter().map(each).collect::<Vec<_>>().into_iter().map(unlisted).collect()
    }

    /// None where what the scope is named after is not there.
    fn asked(&self, kind: &str, scope: &str, now: u64) -> Result<Option<Asked>> {
        let kind = kind::find(kind)?;
        let parent = match &kind.scope {
            None => String::new(),
            Some(parent) => match self.find_parent(&parent.kind, scope, now)? {
                Some(identity) => identity,
                None => return Ok(None),
            },
        };
        Ok(Some(Asked { kind, scope: scope.to_owned(), parent }))
    }

    /// The identity of an object that documents name.
    pub fn find_parent(&self, kind: &str, name: &str, now: u64) -> Result<Option<String>> {
        let kind = kind::find(kind)?;
        let key = format!("{}/{name}", kind.kind);
        if let Some(known) = self.parents.borrow().get(&(now, key.clone())) {
            return Ok(known.clone());
        }
        let asked = Asked { kind, scope: String::new(), parent: String::new() };
        let listed = self.list(&[&asked], now).pop().unwrap_or_else(|| Ok(Vec::new()))?;
        let mut parents = self.parents.borrow_mut();
        parents.retain(|(at, _), _| *at == now);
        for object in listed {
            parents.insert((now, format!("{}/{}", kind.kind, object.key)), Some(object.identity));
        }
        Ok(parents.get(&(now, key)).cloned().flatten())
    }

    /// What lists tell, tags that they lack among it.
    fn list(&self, asked: &[&Asked], now: u64) -> Vec<Result<Vec<Object>>> {
        let mut calls: Vec<Call> = Vec::new();
        let mut plans: Vec<Result<Vec<usize>>> = Vec::new();
        for it in asked {
            let made: Result<Vec<Vec<Call>>> = it.kind.list.iter().map(|listing| self.listings(it, listing, now)).collect();
            plans.push(made.map(|made| {
                let counts = made.iter().map(Vec::len).collect();
                calls.extend(made.into_iter().flatten());
                counts
            }));
        }
        let own = calls.len();
        calls.extend(self.sweep(asked.iter().map(|it| it.kind)));
        let mut pages = client::pages(&self.config, calls);
        let arns = self.swept(pages.split_off(own.min(pages.len())).pop());
        let mut pages = pages.into_iter();
        let each = |(it, plan): (&&Asked, Result<Vec<usize>>)| {
            let parts: Vec<_> = plan?.into_iter().map(|count| all_of(pages.by_ref().take(count))).collect();
            let mut objects = joined(it.kind, &self.config, parts)?;
            if it.kind.tags.as_ref().is_some_and(|it| it.sweep.is_some()) {
                objects.iter_mut().for_each(|object| self.tag(it.kind, object, arns.as_ref()));
            }
            Ok(objects)
        };
        asked.iter().zip(plans).map(each).collect()
    }

    /// The calls of a listing: one, or one for each object that it is a listing of.
    fn listings(&self, asked: &Asked, listing: &Listing, now: u64) -> Result<Vec<Call>> {
        let parents = match &listing.of {
            None => vec![asked.parent.clone()],
            Some(of) => self.all_parents(of, now)?,
        };
        let call = |parent: String| {
            let known = Known { scope: asked.scope.clone(), parent, ..Known::default() };
            self.listing(asked.kind, listing, &known)
        };
        parents.into_iter().map(call).collect()
    }

    /// The identities of all objects of a kind.
    fn all_parents(&self, kind: &str, now: u64) -> Result<Vec<String>> {
        self.find_parent(kind, "", now)?;
        let prefix = format!("{kind}/");
        let parents = self.parents.borrow();
        let of = |((_, name), identity): (&(u64, String), &Option<String>)| {
            if name.starts_with(&prefix) { identity.clone() } else { None }
        };
        Ok(parents.iter().filter_map(of).collect())
    }

    fn listing(&self, kind: &'static Kind, listing: &Listing, known: &Known) -> Result<Call> {
        client::look(kind, &listing.call, input(known.fill(&self.config, &listing.input)), &kind.kind)
    }

    /// Looks at objects by name, identity or mark.
    pub fn read_all(&self, lookups: &[Lookup], now: u64) -> Vec<Observation> {
        if let Err(error) = self.in_its_account(now) {
            return lookups.iter().map(|_| Observation::Failed(error.clone().into())).collect();
        }
        let mut groups: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (at, it) in lookups.iter().enumerate() {
            groups.entry((&it.address.kind, &it.address.scope)).or_default().push(at);
        }
        let mut answers: Vec<Option<Observation>> = lookups.iter().map(|_| None).collect();
        for ((kind, scope), places) in groups {
            let group: Vec<&Lookup> = places.iter().filter_map(|at| lookups.get(*at)).collect();
            let seen = self.read_group(kind, scope, &group, now);
            for (at, answer) in places.iter().zip(seen) {
                if let Some(slot) = answers.get_mut(*at) {
                    *slot = Some(answer);
                }
            }
        }
        let missing = || Observation::Failed(Error::internal("a lookup was left out").into());
        answers.into_iter().map(|it| it.unwrap_or_else(missing)).collect()
    }

    fn read_group(&self, kind: &str, scope: &str, lookups: &[&Lookup], now: u64) -> Vec<Observation> {
        match self.look_group(kind, scope, lookups, now) {
            Ok(seen) => seen.into_iter().map(|it| it.unwrap_or_else(|error| Observation::Failed(error.into()))).collect(),
            Err(error) => lookups.iter().map(|_| Observation::Failed(error.clone().into())).collect(),
        }
    }

    fn look_group(&self, kind: &str, scope: &str, lookups: &[&Lookup], now: u64) -> Result<Vec<Result<Observation>>> {
        let Some(asked) = self.asked(kind, scope, now)? else {
            return Ok(lookups.iter().map(|_| Ok(Observation::Absent)).collect());
        };
        let found = self.found(&asked, lookups, now)?;
        let told = self.tell(&asked, found)?;
        let each = |it: Result<Option<Object>>| match it? {
            None => Ok(Observation::Absent),
            Some(object) => object.into_remote(asked.kind, &self.config, &asked.scope, false).map(Observation::Found),
        };
        Ok(told.into_iter().map(each).collect())
    }

    /// The objects as lists, or `many`, tell them; an object that only `one` could tell as no more than its names.
    fn found(&self, asked: &Asked, lookups: &[&Lookup], now: u64) -> Result<Vec<Option<Object>>> {
        let kind = asked.kind;
        let identities: Vec<&str> = lookups.iter().filter_map(|it| it.identity.as_deref()).filter(|it| !it.is_empty()).collect();
        let by_identity = identities.len() == lookups.len();
        if by_identity && kind.brief && !kind.one.is_empty() && kind.many.is_none() {
            let bare = |it: &&Lookup| {
                let raw = bare(kind, it);
                let identity = it.identity.clone().unwrap_or_default();
                let key = kind.name_of(&raw, &identity).unwrap_or_else(|| named(kind, it));
                Some(Object { identity, key, raw })
            };
            return Ok(lookups.iter().map(bare).collect());
        }
        let objects = match &kind.many {
            Some(many) if by_identity => self.many(asked, many, &identities)?,
            _ => self.list(&[asked], now).pop().unwrap_or_else(|| Ok(Vec::new()))?,
        };
        let objects = if by_identity { objects } else { self.marked(asked, objects)? };
        let of = |it: &&Lookup| {
            let identity = it.identity.as_deref().filter(|it| !it.is_empty());
            let by_identity = || objects.iter().find(|object| Some(object.identity.as_str()) == identity);
            let by_mark =
                || it.mark.as_ref().and_then(|mark| objects.iter().find(|object| object.mark(kind).as_ref() == Some(mark)));
            let by_name = || objects.iter().find(|object| kind.name.is_some() && object.key == it.address.key);
            let found = by_identity().or_else(|| if identity.is_none() { by_name().or_else(by_mark) } else { None });
            found.cloned()
        };
        Ok(lookups.iter().map(of).collect())
    }

    /// Objects with their marks, of a kind that is found by them alone and whose lists do not tell them.
    fn marked(&self, asked: &Asked, objects: Vec<Object>) -> Result<Vec<Object>> {
        let kind = asked.kind;
        if kind.name.is_some() || !objects.iter().any(|it| is_unmarked(kind, it)) {
            return Ok(objects);
        }
        let told = self.tell(asked, objects.into_iter().map(Some).collect())?;
        let told: Vec<Option<Object>> = told.into_iter().collect::<Result<_>>()?;
        Ok(told.into_iter().flatten().collect())
    }

    fn many(&self, asked: &Asked, many: &Listing, identities: &[&str]) -> Result<Vec<Object>> {
        let kind = asked.kind;
        let mut calls = Vec::new();
        for part in identities.chunks(MANY) {
            let identities = part.iter().map(|it| (*it).to_owned()).collect();
            let known = Known { identities, scope: asked.scope.clone(), parent: asked.parent.clone(), ..Known::default() };
            calls.push(self.listing(kind, many, &known)?);
        }
        let chunks = calls.len();
        let known = Known { scope: asked.scope.clone(), parent: asked.parent.clone(), ..Known::default() };
        for listing in kind.list.iter().skip(1) {
            calls.push(self.listing(kind, listing, &known)?);
        }
        let mut pages = client::pages(&self.config, calls);
        let others = pages.split_off(chunks.min(pages.len()));
        let mut first = Vec::new();
        for part in pages {
            first.extend(part.map_err(Error::from)?);
        }
        let parts = std::iter::once(Ok(first)).chain(others).collect();
        let mut objects = of_pages(kind, &self.config, std::iter::once(many).chain(kind.list.iter().skip(1)), parts)?;
        if kind.tags.as_ref().is_some_and(|it| it.sweep.is_some()) && kind.one.is_empty() {
            let sweep = self.sweep(std::iter::once(kind)).into_iter().collect();
            let arns = self.swept(client::pages(&self.config, sweep).pop());
            objects.iter_mut().for_each(|object| self.tag(kind, object, arns.as_ref()));
        }
        Ok(objects)
    }

    /// Adds what only single looks tell.
    fn tell(&self, asked: &Asked, objects: Vec<Option<Object>>) -> Result<Vec<Result<Option<Object>>>> {
        let kind = asked.kind;
        let mut calls = Vec::new();
        for object in objects.iter().flatten() {
            let known = Known {
                identity: object.identity.clone(),
                name: object.key.clone(),
                scope: asked.scope.clone(),
                parent: asked.parent.clone(),
                raw: object.raw.clone(),
                ..Known::default()
            };
            for look in &kind.one {
                let about = format!("{} {}", kind.kind, if object.key.is_empty() { &object.identity } else { &object.key });
                calls.push(client::look(kind, &look.call, input(known.fill(&self.config, &look.input)), &about)?);
            }
        }
        let mut answers = client::send(&self.config, &calls).into_iter();
        let each = |object: Option<Object>| {
            let Some(mut object) = object else { return Ok(None) };
            let parts: Vec<Result<Json, Failed>> = answers.by_ref().take(kind.one.len()).collect();
            for (at, (look, part)) in kind.one.iter().zip(parts).enumerate() {
                let told = match part {
                    Err(failed) if failed.is_any(&look.none) => continue,
                    Err(failed) if at == 0 && failed.is_absent() => return Ok(None),
                    Err(failed) => return Err(failed.error),
                    Ok(output) => match &look.take {
                        Some(path) => path::get(&output, path).cloned().unwrap_or(Json::Null),
                        None => output,
                    },
                };
                // A list of some that is empty.
                if at == 0 && told.is_null() {
                    return Ok(None);
                }
                merge(&mut object.raw, look.member.as_deref(), told);
            }
            if is_dropped(&kind.list, &object.raw) {
                return Ok(None);
            }
            // The look may tell of its name what the lookup did not know.
            object.key = kind.name_of(&object.raw, &object.identity).unwrap_or(object.key);
            Ok(Some(object))
        };
        Ok(objects.into_iter().map(each).collect())
    }
}

/// Several listings as one.
fn all_of(parts: impl Iterator<Item = Result<Vec<Json>, Failed>>) -> Result<Vec<Json>, Failed> {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Ok(pages) => out.extend(pages),
            Err(failed) => return Err(failed),
        }
    }
    Ok(out)
}

/// What is known of an object that nobody listed: its identity, at the place where a list tells it.
fn bare(kind: &Kind, lookup: &Lookup) -> Json {
    let mut raw = Json::Object(serde_json::Map::new());
    let identity = lookup.identity.clone().unwrap_or_default();
    if !kind.identity.contains('$') {
        path::put(&mut raw, &kind.identity, Json::from(identity));
    }
    if let Some(name) = &kind.name
        && name.read.as_deref() != Some("tail")
    {
        let at = name.read.as_deref().unwrap_or(&name.at);
        path::put(&mut raw, at, Json::from(lookup.address.key.as_str()));
    }
    raw
}

fn named(kind: &Kind, lookup: &Lookup) -> String {
    if kind.name.is_some() { lookup.address.key.clone() } else { String::new() }
}

/// An input without the members that nothing was known for.
fn input(it: Json) -> Json {
    if it.is_null() { Json::Object(serde_json::Map::new()) } else { it }
}

/// Whether nothing told yet of the tags that the object may have.
fn is_unmarked(kind: &Kind, object: &Object) -> bool {
    let untold = |read: &str| {
        let asked = kind.one.iter().any(|it| it.member.as_deref() == Some(read));
        asked && path::get(&object.raw, read).is_none()
    };
    kind.tags.as_ref().is_some_and(|it| untold(&it.read))
}

/// Whether the tags of an object are still to be asked for.
fn untold(kind: &Kind, object: &Object) -> bool {
    let swept = kind.tags.as_ref().is_some_and(|it| it.sweep.is_some() && path::get(&object.raw, &it.read).is_none());
    swept || is_unmarked(kind, object)
}

fn snapshot(objects: Vec<trueup_sdk::Remote>) -> Snapshot {
    let mut seen = HashMap::new();
    // A page that came twice brings its objects twice.
    let objects = objects.into_iter().filter(|it| seen.insert(it.identity.clone(), ()).is_none()).collect();
    let (next, version) = (None, None);
    Snapshot { objects, next, version, coverage: Coverage::Whole, gone: Vec::new(), diagnostics: Vec::new(), ext: Vec::new() }
}

/// Who may not list may be allowed to read what is named.
fn unlisted(answer: Result<Snapshot>) -> Result<Snapshot> {
    match answer {
        Err(error) if error.fault == Fault::Unauthorized && error.code == "aws.AccessDenied" => {
            let diagnostics = vec![error.diagnostic(trueup_sdk::Severity::Warning)];
            let ext = vec![("unlisted".to_owned(), "true".to_owned())];
            Ok(Snapshot { coverage: Coverage::Partial, diagnostics, ext, ..snapshot(Vec::new()) })
        }
        answer => answer,
    }
}

/// The objects of a kind out of all its listings.
fn joined(kind: &Kind, config: &crate::config::Config, parts: Vec<Result<Vec<Json>, Failed>>) -> Result<Vec<Object>> {
    of_pages(kind, config, kind.list.iter(), parts)
}

fn of_pages<'a>(
    kind: &'a Kind,
    config: &crate::config::Config,
    listings: impl Iterator<Item = &'a Listing>,
    parts: Vec<Result<Vec<Json>, Failed>>,
) -> Result<Vec<Object>> {
    let mut raws: Vec<Json> = Vec::new();
    for (at, (listing, part)) in listings.zip(parts).enumerate() {
        let pages = match part {
            // A list of what is in something that is gone.
            Err(failed) if failed.is_absent() && kind.scope.is_some() => Vec::new(),
            part => part.map_err(Error::from)?,
        };
        let items = pages.iter().flat_map(|it| items(kind, listing, it));
        if at == 0 {
            raws = items.filter(|it| !is_dropped(std::slice::from_ref(listing), it)).collect();
        } else {
            join(listing, &mut raws, items.collect());
        }
    }
    Ok(raws.into_iter().filter_map(|it| Object::of(kind, config, it)).collect())
}

fn join(listing: &Listing, raws: &mut [Json], items: Vec<Json>) {
    let Some(by) = &listing.join else { return };
    let mut index: HashMap<String, Vec<Json>> = HashMap::new();
    for item in items {
        if let Some(key) = path::get(&item, by).map(text_of) {
            index.entry(key).or_default().push(item);
        }
    }
    for raw in raws {
        let own = path::get(raw, by).map(text_of).and_then(|it| index.remove(&it)).unwrap_or_default();
        match &listing.many {
            Some(member) => merge(raw, Some(member), Json::Array(own)),
            None => own.into_iter().for_each(|it| merge(raw, None, it)),
        }
    }
}

fn merge(raw: &mut Json, member: Option<&str>, told: Json) {
    match (member, raw, told) {
        (Some(member), raw, told) => path::put(raw, member, told),
        (None, Json::Object(raw), Json::Object(told)) => raw.extend(told),
        _ => {}
    }
}

/// The items of a page.
fn items(kind: &Kind, listing: &Listing, page: &Json) -> Vec<Json> {
    let of_model = || {
        let operation = crate::field::service(kind).ok()?.operation(&listing.call)?;
        operation.page.as_ref()?.result.first().map(|it| (*it).to_owned())
    };
    let path = listing.items.clone().or_else(of_model).unwrap_or_default();
    let mut found = vec![page.clone()];
    for step in path.split('.').filter(|it| !it.is_empty()) {
        let next = found.iter().filter_map(|it| it.get(step)).flat_map(|it| match it {
            Json::Array(items) => items.clone(),
            one => vec![one.clone()],
        });
        found = next.collect();
    }
    match &listing.text {
        Some(member) => found.into_iter().map(|it| trueup_sdk::json!({ member.as_str(): it })).collect(),
        None => found,
    }
}

/// Whether a listing's item is none that counts.
fn is_dropped(listings: &[Listing], raw: &Json) -> bool {
    let said = |path: &str| path::get(raw, path).map(text_of);
    let Some(listing) = listings.first() else { return false };
    let dropped = listing.drop.iter().any(|(path, values)| said(path).is_some_and(|it| values.contains(&it)));
    let kept = listing.keep.iter().all(|(path, values)| said(path).is_some_and(|it| values.contains(&it)));
    dropped || !kept
}
