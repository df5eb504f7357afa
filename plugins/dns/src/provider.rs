//! What the engine's calls mean: scopes are zones, and both kinds of a zone are seen with one look.
//!
//! Invariant: a zone that could not be read whole is an error or unchanged, never a shorter list.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use trueup_sdk::error::healthy;
use trueup_sdk::host::blobs;
use trueup_sdk::{
    Action, Address, CallInfo, Change, Coverage, Declared, Diagnostic, Error, Fault, Gone, Json, Lookup, Observation, Outcome,
    Provider, Remote, Rendered, Result, ScopeQuery, Severity, Snapshot,
};

use crate::backend::{Ask, Backend, Contents, Seen, SetChange, View};
use crate::config::{Config, Flavor};
use crate::document::{self, RECORD_SET, ZONE, Zone};
use crate::manifest;
use crate::name::{Name, Style};
use crate::powerdns::PowerDns;
use crate::rdata::Type;
use crate::rfc2136::Rfc2136;

/// One configured provider.
pub struct DnsProvider {
    config: Config,
    backend: Box<dyn Backend>,
    /// The zone whose pages are being asked for, so that a large one is fetched once.
    paged: RefCell<Option<(Name, Rc<Contents>)>>,
}

impl Provider for DnsProvider {
    fn manifest() -> Json {
        manifest::manifest()
    }

    fn configure(config: Json, _: Option<Json>) -> Result<Self> {
        let config = Config::parse(&config)?;
        let backend: Box<dyn Backend> = match config.flavor {
            Flavor::PowerDns => Box::new(PowerDns::new(&config)),
            Flavor::Rfc2136 => Box::new(Rfc2136::new(&config)),
        };
        Ok(Self { config, backend, paged: RefCell::default() })
    }

    fn scan(&self, queries: Vec<ScopeQuery>, _: &CallInfo) -> Vec<Result<Snapshot>> {
        let views = self.views(&queries);
        queries.iter().map(|query| self.snapshot(query, &queries, &views)).collect()
    }

    fn read(&self, lookups: Vec<Lookup>, _: &CallInfo) -> Vec<Observation> {
        let mut answers = lookups.iter().map(|_| None).collect::<Vec<_>>();
        for (scope, indices) in by_scope(lookups.iter().map(|it| &it.address)) {
            self.read_zone(scope, &lookups, &indices, &mut answers);
        }
        let missing = || Observation::Failed(Error::internal("a lookup was left out").into());
        answers.into_iter().map(|it| it.unwrap_or_else(missing)).collect()
    }

    fn apply(&self, changes: Vec<Change>, info: &CallInfo) -> Vec<Outcome> {
        let mut answers = changes.iter().map(|_| None).collect::<Vec<_>>();
        for (scope, indices) in by_scope(changes.iter().map(|it| &it.address)) {
            self.apply_zone(scope, &changes, &indices, info, &mut answers);
        }
        let missing = || Outcome::failed(Error::internal("a change was left out"));
        answers.into_iter().map(|it| it.unwrap_or_else(missing)).collect()
    }

    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        items.iter().map(|it| document::render(it, blob)).collect()
    }
}

/// A file of the revision, in pieces that the engine hands over at once.
fn blob(digest: &str, size: u64) -> Result<Vec<u8>> {
    const PIECE: u64 = 4 << 20;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    while (bytes.len() as u64) < size {
        let piece = blobs::read(digest, bytes.len() as u64, PIECE.min(size - bytes.len() as u64));
        let piece = piece.ok_or_else(|| Error::internal("the revision does not have the file"))?;
        if piece.is_empty() {
            return Err(Error::internal("the file is shorter than the document says"));
        }
        bytes.extend(piece);
    }
    Ok(bytes)
}

/// Positions of the addresses by their scope.
fn by_scope<'a>(addresses: impl Iterator<Item = &'a Address>) -> BTreeMap<&'a str, Vec<usize>> {
    let mut scopes = BTreeMap::<&str, Vec<usize>>::new();
    for (index, address) in addresses.enumerate() {
        scopes.entry(&address.scope).or_default().push(index);
    }
    scopes
}

/// An object as the contract wants it.
fn remote(kind: &str, scope: &str, key: String, doc: String) -> Remote {
    Remote {
        address: Address { kind: kind.to_owned(), scope: scope.to_owned(), key: key.clone() },
        identity: key,
        doc,
        outputs: String::new(),
        version: None,
        mark: None,
        health: healthy(),
        sensitive: Vec::new(),
        ext: Vec::new(),
    }
}

fn remote_set(zone: &Name, scope: &str, seen: &Seen) -> Remote {
    let mut remote = remote(RECORD_SET, scope, document::key(zone, &seen.name, seen.rtype), seen.doc.clone());
    remote.version.clone_from(&seen.version);
    // The zone cannot be without NS at its apex: who claims a whole zone does not mean these, unless they are declared.
    if seen.unclaimed || (seen.rtype == Type::NS && seen.name == *zone) {
        remote.ext.push(("unclaimed".to_owned(), "true".to_owned()));
    }
    remote
}

fn remote_zone(scope: &str, kind: Option<&str>) -> Remote {
    let doc = document::spec_of([("name", Some(Json::from(scope))), ("kind", kind.map(Json::from))]);
    remote(ZONE, scope, scope.to_owned(), doc.to_string())
}

fn missing(scope: &str, flavor: Flavor) -> Error {
    let hint = match flavor {
        Flavor::PowerDns => "declare a `Zone` for it, or make it on the server",
        Flavor::Rfc2136 => "make it on the server first: DNS UPDATE cannot make zones",
    };
    Error::new(Fault::NotFound, "dns.zone-missing", format!("the server does not have the zone `{scope}`; {hint}"))
}

impl DnsProvider {
    /// Looks once at each zone that a first page is asked of.
    fn views<'a>(&self, queries: &'a [ScopeQuery]) -> BTreeMap<&'a str, Result<View>> {
        let mut zones = BTreeMap::<&str, Result<(Name, Option<&str>)>>::new();
        for query in queries.iter().filter(|it| it.cursor.is_none()) {
            let since = query.since.as_deref();
            zones
                .entry(&query.scope)
                // Two kinds that remember different versions: the zone is read anew.
                .and_modify(|it| {
                    if let Ok((_, known)) = it
                        && *known != since
                    {
                        *known = None;
                    }
                })
                .or_insert_with(|| Ok((self.config.zone(&query.scope)?, since)));
        }
        let asks = zones.values().flatten().map(|(zone, since)| Ask { zone, since: *since }).collect::<Vec<_>>();
        let mut answers = self.backend.observe(&asks).into_iter();
        let lost = || Err(Error::internal("a zone was left out"));
        let view = |(scope, zone): (&'a str, &Result<(Name, Option<&str>)>)| match zone {
            Ok(_) => (scope, answers.next().unwrap_or_else(lost)),
            Err(error) => (scope, Err(error.clone())),
        };
        zones.iter().map(|(scope, zone)| (*scope, zone)).map(view).collect()
    }

    fn snapshot(&self, query: &ScopeQuery, all: &[ScopeQuery], views: &BTreeMap<&str, Result<View>>) -> Result<Snapshot> {
        if let Some(cursor) = &query.cursor {
            return self.next_page(query, cursor);
        }
        let view = views.get(&*query.scope).cloned().unwrap_or_else(|| Err(Error::internal("a zone was left out")))?;
        let empty = |coverage, version| Snapshot {
            objects: Vec::new(),
            next: None,
            version,
            coverage,
            gone: Vec::new(),
            diagnostics: Vec::new(),
            ext: Vec::new(),
        };
        let scope = query.scope.as_str();
        match (view, query.kind.as_str()) {
            (View::Unchanged, _) => Ok(empty(Coverage::Unchanged, query.since.clone())),
            // A zone that somebody declares may be yet to be made. Records of one that nobody declares have no home.
            (View::Missing, ZONE) => Ok(empty(Coverage::Whole, None)),
            (View::Missing, _) if self.config.flavor == Flavor::PowerDns && asks_for_zone(all, scope) => {
                Ok(empty(Coverage::Whole, None))
            }
            (View::Missing, _) => Err(missing(scope, self.config.flavor)),
            (View::Whole(contents), ZONE) => {
                let objects = vec![remote_zone(scope, contents.kind.as_deref())];
                Ok(Snapshot { objects, ..empty(Coverage::Whole, Some(contents.version.clone())) })
            }
            (View::Whole(contents), RECORD_SET) => self.page(query, self.config.zone(scope)?, contents, 0),
            // The zone itself has nothing that a transfer could tell.
            (View::Delta { version, .. }, ZONE) => Ok(empty(Coverage::Delta, Some(version))),
            (View::Delta { sets, gone, version }, RECORD_SET) => {
                let zone = self.config.zone(scope)?;
                let address = |(name, rtype): (Name, Type)| Address {
                    kind: RECORD_SET.to_owned(),
                    scope: scope.to_owned(),
                    key: document::key(&zone, &name, rtype),
                };
                let gone = gone.into_iter().map(|it| Gone { address: address(it), identity: None }).collect();
                let objects = sets.iter().map(|it| remote_set(&zone, scope, it)).collect();
                Ok(Snapshot { objects, gone, ..empty(Coverage::Delta, Some(version)) })
            }
            // Master files render to record sets; there is nothing of their own to see.
            (_, _) => Ok(empty(Coverage::Whole, None)),
        }
    }

    /// Reports the sets from `start` on, and keeps the zone while there are more.
    fn page(&self, query: &ScopeQuery, zone: Name, contents: Rc<Contents>, start: usize) -> Result<Snapshot> {
        let end = start.saturating_add(query.limit.max(1) as usize).min(contents.sets.len());
        let page = contents.sets.get(start..end).unwrap_or_default();
        let objects = page.iter().map(|it| remote_set(&zone, &query.scope, it)).collect();
        let more = end < contents.sets.len();
        let diagnostics = unknown_types(&query.scope, &contents.unknown).into_iter().filter(|_| start == 0).collect();
        let (next, version) = match more {
            true => (Some(format!("{end}/{}", contents.version)), None),
            false => (None, Some(contents.version.clone())),
        };
        self.paged.replace(more.then_some((zone, contents)));
        Ok(Snapshot { objects, next, version, coverage: Coverage::Whole, gone: Vec::new(), diagnostics, ext: Vec::new() })
    }

    /// Goes on where the cursor says, in the very zone that the first page was of.
    fn next_page(&self, query: &ScopeQuery, cursor: &str) -> Result<Snapshot> {
        let wrong = || Error::internal("the cursor is none of this provider");
        let (start, version) = cursor.split_once('/').ok_or_else(wrong)?;
        let start = start.parse::<usize>().map_err(|_| wrong())?;
        let zone = self.config.zone(&query.scope)?;
        if let Some((_, contents)) = self.paged.take().filter(|(it, contents)| *it == zone && contents.version == version) {
            return self.page(query, zone, contents, start);
        }
        let view = self.backend.observe(&[Ask { zone: &zone, since: None }]).pop();
        match view.unwrap_or_else(|| Err(Error::internal("a zone was left out")))? {
            View::Whole(contents) if contents.version == version => self.page(query, zone, contents, start),
            _ => Err(Error::transient("dns.torn", format!("zone `{}` changed while it was read; try again", query.scope))),
        }
    }

    fn read_zone(&self, scope: &str, lookups: &[Lookup], indices: &[usize], answers: &mut [Option<Observation>]) {
        let mut put = |index: usize, it: Result<Option<Remote>>| {
            if let Some(slot) = answers.get_mut(index) {
                *slot = Some(match it {
                    Ok(found) => found.map_or(Observation::Absent, Observation::Found),
                    Err(error) => Observation::Failed(error.into()),
                });
            }
        };
        let zone = match self.config.zone(scope) {
            Ok(zone) => zone,
            Err(error) => return indices.iter().for_each(|index| put(*index, Err(error.clone()))),
        };
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for (index, lookup) in indices.iter().filter_map(|index| Some((*index, lookups.get(*index)?))) {
            match lookup.address.kind.as_str() {
                ZONE => {
                    let seen = self.backend.look_at_zone(&zone);
                    put(index, seen.map(|it| it.map(|kind| remote_zone(scope, kind.as_deref()))));
                }
                RECORD_SET => match document::parse_key(&zone, &lookup.address.key) {
                    Ok(set) => {
                        asked.push(set);
                        places.push(index);
                    }
                    Err(error) => put(index, Err(error)),
                },
                other => put(index, Err(Error::unsupported(format!("nothing of kind `{other}` can be read")))),
            }
        }
        if asked.is_empty() {
            return;
        }
        match self.backend.look(&zone, &asked) {
            Ok(seen) => {
                for (index, seen) in places.into_iter().zip(seen) {
                    put(index, Ok(seen.map(|it| remote_set(&zone, scope, &it))));
                }
            }
            Err(error) => places.into_iter().for_each(|index| put(index, Err(error.clone()))),
        }
    }

    fn apply_zone(&self, scope: &str, changes: &[Change], indices: &[usize], info: &CallInfo, answers: &mut [Option<Outcome>]) {
        let mut put = |index: usize, it: Outcome| {
            if let Some(slot) = answers.get_mut(index) {
                *slot = Some(it);
            }
        };
        let zone = match self.config.zone(scope) {
            Ok(zone) => zone,
            Err(error) => return indices.iter().for_each(|index| put(*index, Outcome::failed(error.clone()))),
        };
        let (mut jobs, mut places) = (Vec::new(), Vec::new());
        for (index, change) in indices.iter().filter_map(|index| Some((*index, changes.get(*index)?))) {
            match change.address.kind.as_str() {
                ZONE => put(index, self.apply_to_zone(&zone, change).map_or_else(Outcome::failed, Outcome::settled)),
                _ => match self.set_change(&zone, change) {
                    Ok(job) => {
                        jobs.push(job);
                        places.push(index);
                    }
                    Err(error) => put(index, Outcome::failed(error)),
                },
            }
        }
        if !self.backend.is_guarded() && is_stale(info) {
            match self.look_again(&zone, &jobs) {
                Ok(verdicts) => {
                    let judged = verdicts.into_iter().zip(std::mem::take(&mut jobs).into_iter().zip(std::mem::take(&mut places)));
                    for (verdict, (job, index)) in judged {
                        match verdict {
                            Ok(()) => {
                                jobs.push(job);
                                places.push(index);
                            }
                            Err(error) => put(index, Outcome::failed(error)),
                        }
                    }
                }
                Err(error) => return places.into_iter().for_each(|index| put(index, Outcome::failed(error.clone()))),
            }
        }
        if jobs.is_empty() {
            return;
        }
        let done = self.backend.change(&zone, &jobs);
        for ((index, job), done) in places.into_iter().zip(jobs).zip(done) {
            let after = job.after.map(|set| {
                let doc = document::text(&zone, &set);
                remote_set(&zone, scope, &Seen { name: set.name, rtype: set.rtype, doc, version: None, unclaimed: false })
            });
            put(index, done.map_or_else(Outcome::failed, |()| Outcome::settled(after)));
        }
    }

    /// Whether each set still is what was observed, or already what it shall be.
    fn look_again(&self, zone: &Name, jobs: &[SetChange]) -> Result<Vec<Result<()>>> {
        let sets = jobs.iter().map(|it| (it.name.clone(), it.rtype)).collect::<Vec<_>>();
        let seen = self.backend.look(zone, &sets)?;
        let judge = |(job, seen): (&SetChange, Option<Seen>)| {
            let now = seen.map(|it| document::observed_set(&job.name, job.rtype, &it.doc, 0)).transpose();
            let same = now.is_ok_and(|now| now == job.before || now == job.after);
            let text = || format!("{} {} changed since it was observed", job.name, job.rtype);
            if same { Ok(()) } else { Err(Error::conflict("dns.changed", text())) }
        };
        Ok(jobs.iter().zip(seen).map(judge).collect())
    }

    fn set_change(&self, zone: &Name, change: &Change) -> Result<SetChange> {
        let (name, rtype) = document::parse_key(zone, &change.address.key)?;
        let prior = change.prior.as_ref().filter(|_| change.action != Action::Create);
        // What no rule allows may stand on a server: where a change need not repeat its bytes, it may go.
        let read = if self.backend.is_guarded() { document::stored_set } else { document::observed_set };
        let before = prior.map(|it| read(&name, rtype, &it.doc, self.config.ttl)).transpose()?;
        // A set that declares no TTL keeps the one that it has.
        let ttl = before.as_ref().map_or(self.config.ttl, |it| it.ttl);
        let desired = change.desired.as_deref().filter(|_| change.action != Action::Delete);
        let after = desired.map(|doc| document::stored_set(&name, rtype, doc, ttl)).transpose()?;
        if after.is_none() && change.action != Action::Delete {
            return Err(Error::internal("the change has no desired document"));
        }
        Ok(SetChange { name, rtype, before, after, version: prior.and_then(|it| it.version.clone()) })
    }

    fn apply_to_zone(&self, zone: &Name, change: &Change) -> Result<Option<Remote>> {
        if change.action == Action::Delete {
            return self.backend.delete_zone(zone).map(|()| None);
        }
        let doc = change.desired.as_deref().ok_or_else(|| Error::internal("the change has no desired document"))?;
        let doc: Json = serde_json::from_str(doc)?;
        let spec = doc.get("spec").and_then(Json::as_object).ok_or_else(|| Error::internal("the document has no `spec`"))?;
        let declared = Zone::parse(spec, &change.address.key, Style::Observed)?;
        match change.action {
            Action::Create => match self.backend.create_zone(&declared) {
                // An earlier try made it, and its answer was lost: what is left to do is what a create would have said of it.
                Err(error) if change.unsettled && error.code == "dns.zone-exists" => self.bring_zone(&declared)?,
                made => made?,
            },
            _ => self.bring_zone(&declared)?,
        }
        // The change has been made, whatever becomes of the look.
        let kind = self.backend.look_at_zone(zone).map_err(Error::unsettled)?.flatten();
        Ok(Some(remote_zone(&change.address.scope, kind.as_deref())))
    }

    /// Gives a zone that is there the kind that is declared, if one is.
    fn bring_zone(&self, declared: &Zone) -> Result<()> {
        if declared.kind.is_some() { self.backend.update_zone(declared) } else { Ok(()) }
    }
}

/// Whether so much time has gone since the world was looked at that others may have changed it: a person was asked.
fn is_stale(info: &CallInfo) -> bool {
    const FRESH: u64 = 5_000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u128::from(info.now.saturating_add(FRESH)) < now
}

fn asks_for_zone(queries: &[ScopeQuery], scope: &str) -> bool {
    queries.iter().any(|it| it.kind == ZONE && it.scope == scope)
}

fn unknown_types(scope: &str, unknown: &[String]) -> Option<Diagnostic> {
    let first = unknown.first()?;
    let more = if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() };
    Some(Diagnostic {
        severity: Severity::Note,
        code: "dns.unknown-type".to_owned(),
        summary: format!("zone `{scope}` has record sets of types that are not known here and are left alone: {first}{more}"),
        detail: None,
        path: None,
    })
}

#[cfg(test)]
mod tests;
