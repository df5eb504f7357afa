//! What environments own: how an entry lies in its row, and how rows are read and changed.
//!
//! Invariant: what is read is what was written. Each row carries a checksum over its own columns, so that a flipped bit
//! is an error and never a plan.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::inventory::{Entry, Ownership};
use trueup_core::value::{Digest, Json, json};

use crate::seal::holds_secret;

use super::audit::{self, Line};
use super::schema::checksum;
use super::writer::Session;
use super::{Edit, Owner, RunId, StoreError};

/// Ownership in the two lowest bits of `flags`, then these.
const PROTECT: i64 = 4;
const NO_PRUNE: i64 = 8;
const SECRETS: i64 = 16;
const CLAIMS: i64 = 32;

/// What a declaration says of its object, as bits of `flags`.
pub(super) fn declared_flags(protect: bool, prune: bool) -> i64 {
    (if protect { PROTECT } else { 0 }) | if prune { 0 } else { NO_PRUNE }
}

/// The reverse of [`declared_flags`]: protect, prune.
pub(super) fn of_declared_flags(flags: i64) -> (bool, bool) {
    (flags & PROTECT != 0, flags & NO_PRUNE == 0)
}

fn flags(entry: &Entry) -> i64 {
    let ownership = match entry.ownership {
        Ownership::Owned => 0,
        Ownership::Recovered => 1,
        Ownership::Deposed => 2,
    };
    let when = |is: bool, flag: i64| if is { flag } else { 0 };
    ownership | declared_flags(entry.protect, entry.prune) | when(entry.secrets, SECRETS) | when(entry.claims, CLAIMS)
}

/// What must outlive an object, a line each: identities of resources (no name holds a line end), then siblings as
/// `["kind","scope","key"]`, which is no identity. None where there is nothing.
pub(super) fn join(after: &[ResourceId], siblings: &[Address]) -> Option<String> {
    let siblings = siblings.iter().map(|it| json!([&*it.scope.kind, &*it.scope.scope, &*it.key]).to_string());
    let lines: Vec<String> = after.iter().map(ToString::to_string).chain(siblings).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The reverse of [`join`]; none where a line is neither.
pub(super) fn split(text: &str, provider: &Arc<str>) -> Option<(Arc<[ResourceId]>, Arc<[Address]>)> {
    let (mut after, mut siblings) = (Vec::new(), Vec::new());
    for line in text.split('\n') {
        if line.starts_with('[') {
            let [kind, scope, key]: [Arc<str>; 3] = serde_json::from_str::<[String; 3]>(line).ok()?.map(Into::into);
            siblings.push(Address { scope: Scope { provider: provider.clone(), kind, scope }, key });
        } else {
            after.push(ResourceId::parse(line)?);
        }
    }
    Some((after.into(), siblings.into()))
}

pub(super) fn row_sum(key: &str, resource: &str, identity: Option<&str>, flags: i64, applied: &[u8], after: Option<&str>) -> i64 {
    checksum(&[
        key.as_bytes(),
        resource.as_bytes(),
        identity.unwrap_or_default().as_bytes(),
        &flags.to_le_bytes(),
        applied,
        after.unwrap_or_default().as_bytes(),
    ])
}

/// Reads what an environment owns.
pub(super) fn read(path: &Path, db: &Connection, environment: &str) -> Result<Vec<Entry>, StoreError> {
    let fail = |err| StoreError::sqlite(path, "read the state in", err);
    let mut places = db
        .prepare(
            "SELECT p.id, p.provider, p.kind, p.scope FROM places p JOIN environments e ON e.id = p.environment \
             WHERE e.name = ?1 ORDER BY p.id",
        )
        .map_err(fail)?;
    let mut rows = places.query((environment,)).map_err(fail)?;
    let mut names = Names::default();
    let mut scopes = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let mut text = |index| Ok(names.intern(row.get_ref(index).map_err(fail)?.as_str().map_err(|err| fail(err.into()))?));
        let scope = Scope { provider: text(1)?, kind: text(2)?, scope: text(3)? };
        scopes.push((row.get::<_, i64>(0).map_err(fail)?, scope));
    }
    let mut query = db
        .prepare("SELECT key, resource, identity, flags, applied, agreed, after, checksum FROM entries WHERE place = ?1")
        .map_err(fail)?;
    let nothing: Arc<[ResourceId]> = Arc::from([]);
    let mut entries = Vec::new();
    for (place, scope) in scopes {
        let mut rows = query.query((place,)).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let entry = entry(row, &scope, &nothing).map_err(fail)?;
            entries.push(entry.ok_or_else(|| StoreError::damaged(path, "a row of the inventory is not what was written"))?);
        }
    }
    Ok(entries)
}

/// Texts that many rows share.
#[derive(Default)]
struct Names(HashMap<Box<str>, Arc<str>>);

impl Names {
    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(text.into(), Arc::clone(&new));
        new
    }
}

/// One entry; none where the row is not what was written.
fn entry(row: &Row<'_>, scope: &Scope, nothing: &Arc<[ResourceId]>) -> rusqlite::Result<Option<Entry>> {
    let key = row.get_ref(0)?.as_str()?;
    let resource = row.get_ref(1)?.as_str()?;
    let identity = row.get_ref(2)?.as_str_or_null()?;
    let flags = row.get_ref(3)?.as_i64()?;
    let applied = row.get_ref(4)?.as_blob()?;
    let agreed = row.get_ref(5)?.as_blob_or_null()?;
    let after = row.get_ref(6)?.as_str_or_null()?;
    if row.get_ref(7)?.as_i64()? != row_sum(key, resource, identity, flags, applied, after) {
        return Ok(None);
    }
    let ownership = match flags & 3 {
        0 => Ownership::Owned,
        1 => Ownership::Recovered,
        _ => Ownership::Deposed,
    };
    let after = match after {
        None => Some((Arc::clone(nothing), Arc::default())),
        Some(text) => split(text, &scope.provider),
    };
    let (Some(resource), Ok(applied), Some((after, siblings))) = (ResourceId::parse(resource), applied.try_into(), after) else {
        return Ok(None);
    };
    let key: Arc<str> = key.into();
    Ok(Some(Entry {
        resource,
        identity: identity.map_or_else(|| Arc::clone(&key), Into::into),
        address: Address { scope: scope.clone(), key },
        ownership,
        applied: Digest(applied),
        // A damaged digest of agreement costs a comparison, nothing more.
        agreed: agreed.and_then(|it| it.try_into().ok()).map(Digest),
        after,
        siblings,
        protect: flags & PROTECT != 0,
        prune: flags & NO_PRUNE == 0,
        secrets: flags & SECRETS != 0,
        claims: flags & CLAIMS != 0,
    }))
}

/// Reads the documents last applied.
pub(super) fn applied(
    path: &Path,
    db: &Connection,
    environment: &str,
    addresses: &[Address],
) -> Result<Vec<Option<Arc<Json>>>, StoreError> {
    let fail = |err| StoreError::sqlite(path, "read the state in", err);
    let mut place = db
        .prepare(
            "SELECT p.id FROM environments e JOIN places p ON p.environment = e.id \
             WHERE e.name = ?1 AND p.provider = ?2 AND p.kind = ?3 AND p.scope = ?4",
        )
        .map_err(fail)?;
    let mut query = db.prepare("SELECT text, checksum FROM documents WHERE place = ?1 AND key = ?2").map_err(fail)?;
    let mut places: HashMap<&Scope, Option<i64>> = HashMap::new();
    let mut documents = Vec::with_capacity(addresses.len());
    for address in addresses {
        let Address { scope, key } = address;
        let id = match places.get(scope) {
            Some(id) => *id,
            None => {
                let columns = (environment, &*scope.provider, &*scope.kind, &*scope.scope);
                let id = place.query_row(columns, |row| row.get(0)).optional().map_err(fail)?;
                places.insert(scope, id);
                id
            }
        };
        let Some(id) = id else {
            documents.push(None);
            continue;
        };
        let read = |row: &Row<'_>| {
            let text = row.get_ref(0)?.as_str()?;
            let whole = row.get_ref(1)?.as_i64()? == checksum(&[text.as_bytes()]);
            Ok(if whole { serde_json::from_str(text).ok().map(Arc::new) } else { None })
        };
        let found = query.query_row((id, &**key), read).optional().map_err(fail)?;
        if let Some(None) = found {
            return Err(StoreError::damaged(path, format!("the document last applied to `{address}` is not what was written")));
        }
        documents.push(found.flatten());
    }
    Ok(documents)
}

/// Provider and kind of every place of an environment.
pub(super) fn kinds(db: &Connection, environment: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = "SELECT DISTINCT p.provider, p.kind FROM places p JOIN environments e ON e.id = p.environment WHERE e.name = ?1";
    let mut all = db.prepare(sql)?;
    all.query_map((environment,), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Targets other than this one at which a provider of an environment has something. Walks places, not entries.
pub(super) fn elsewhere(db: &Connection, environment: &str, provider: &str, target: &str) -> rusqlite::Result<Vec<String>> {
    let mut all = db.prepare("SELECT DISTINCT target FROM spots WHERE target <> ?1")?;
    let all: Vec<String> = all.query_map((target,), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut held = db.prepare(
        "SELECT 1 FROM environments e JOIN places p ON p.environment = e.id \
         JOIN spots s ON s.target = ?3 AND s.kind = p.kind AND s.scope = p.scope WHERE e.name = ?1 AND p.provider = ?2 \
         AND (EXISTS (SELECT 1 FROM entries n WHERE n.spot = s.id AND n.place = p.id) \
         OR EXISTS (SELECT 1 FROM intents i WHERE i.spot = s.id AND i.place = p.id)) LIMIT 1",
    )?;
    let mut out = Vec::new();
    for other in all {
        if held.exists((environment, provider, &other))? {
            out.push(other);
        }
    }
    Ok(out)
}

const OWNER: &str = "SELECT e.name, n.resource FROM spots s JOIN entries n ON n.spot = s.id AND n.key = ?4 \
     JOIN places p ON p.id = n.place JOIN environments e ON e.id = p.environment \
     WHERE s.target = ?1 AND s.kind = ?2 AND s.scope = ?3";

fn owner_row(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// Who owns each of these objects.
pub(super) fn owners(path: &Path, db: &Connection, objects: &[(&str, &Address)]) -> Result<Vec<Option<Owner>>, StoreError> {
    let fail = |err| StoreError::sqlite(path, "read the state in", err);
    let mut spot = db.prepare("SELECT id FROM spots WHERE target = ?1 AND kind = ?2 AND scope = ?3").map_err(fail)?;
    let mut query = db
        .prepare(
            "SELECT e.name, n.resource FROM entries n JOIN places p ON p.id = n.place JOIN environments e ON e.id = p.environment \
             WHERE n.spot = ?1 AND n.key = ?2",
        )
        .map_err(fail)?;
    let mut spots: HashMap<(&str, &str, &str), Option<i64>> = HashMap::new();
    let mut owners = Vec::with_capacity(objects.len());
    for (target, Address { scope, key }) in objects {
        let columns = (*target, &*scope.kind, &*scope.scope);
        let id = match spots.get(&columns) {
            Some(id) => *id,
            None => {
                let id = spot.query_row(columns, |row| row.get(0)).optional().map_err(fail)?;
                spots.insert(columns, id);
                id
            }
        };
        let found = match id {
            Some(id) => query.query_row((id, &**key), owner_row).optional().map_err(fail)?,
            None => None,
        };
        let owner = found.map(|(environment, resource)| {
            let resource = ResourceId::parse(&resource);
            resource
                .map(|resource| Owner { environment, resource })
                .ok_or_else(|| StoreError::damaged(path, "a row of the inventory names no resource"))
        });
        owners.push(owner.transpose()?);
    }
    Ok(owners)
}

/// Says who has the object that was refused.
fn owned(session: &mut Session<'_>, target: &str, address: &Address) -> StoreError {
    let Address { scope, key } = address;
    match session.first(OWNER, (target, &*scope.kind, &*scope.scope, &**key), owner_row) {
        Ok(found) => {
            let (environment, resource) = found.unwrap_or_default();
            StoreError::Owned { address: address.clone(), environment, resource }
        }
        Err(err) => err,
    }
}

/// Makes one change of what is owned; says which resource it concerned, if it changed anything worth a line.
pub(super) fn apply(
    session: &mut Session<'_>,
    environment: i64,
    edit: &Edit,
) -> Result<Option<(ResourceId, &'static str)>, StoreError> {
    match edit {
        Edit::Put { entry, target, applied } => {
            put(session, environment, entry, target, applied.as_deref())?;
            Ok(Some((entry.resource.clone(), "put")))
        }
        Edit::Remove(address) => {
            let place = session.place(environment, &address.scope)?;
            let sql = "DELETE FROM entries WHERE place = ?1 AND key = ?2 RETURNING resource";
            let gone: Option<String> = session.first(sql, (place, &*address.key), |row| row.get(0))?;
            Ok(gone.as_deref().and_then(ResourceId::parse).map(|resource| (resource, "removed")))
        }
        Edit::Agreed(address, digest) => {
            let place = session.place(environment, &address.scope)?;
            session.execute("UPDATE entries SET agreed = ?3 WHERE place = ?1 AND key = ?2", (place, &*address.key, digest.0))?;
            Ok(None)
        }
        Edit::Unsettle(entry) => {
            let place = session.place(environment, &entry.address.scope)?;
            session.execute(PUT_FLAGS, flags_row(place, &Entry { claims: false, ..Entry::clone(entry) }))?;
            Ok(Some((entry.resource.clone(), "unsettled")))
        }
    }
}

/// Sets the flag of every entry whose document holds a secret: format 1 had no such flag.
pub(super) fn flag_secrets(path: &Path, db: &Connection) -> Result<(), StoreError> {
    let fail = |err| StoreError::sqlite(path, "bring the state up to date in", err);
    let mut query = db
        .prepare(
            "SELECT n.key, n.resource, n.identity, n.flags, n.applied, n.agreed, n.after, n.checksum, n.place FROM entries n \
             JOIN documents d ON d.place = n.place AND d.key = n.key WHERE d.text LIKE '%\"$secret\"%'",
        )
        .map_err(fail)?;
    let scope = Scope { provider: "".into(), kind: "".into(), scope: "".into() };
    let (mut rows, nothing) = (query.query(()).map_err(fail)?, Arc::from([]));
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let place: i64 = row.get(8).map_err(fail)?;
        let whole = entry(row, &scope, &nothing).map_err(fail)?;
        let entry = whole.ok_or_else(|| StoreError::damaged(path, "a row of the inventory is not what was written"))?;
        found.push((place, Entry { secrets: true, ..entry }));
    }
    found.iter().try_for_each(|(place, entry)| put_flags(db, *place, entry)).map_err(fail)
}

/// Writes the flags of an entry anew, and nothing else of it.
pub(super) fn put_flags(db: &Connection, place: i64, entry: &Entry) -> rusqlite::Result<()> {
    db.execute(PUT_FLAGS, flags_row(place, entry)).map(drop)
}

const PUT_FLAGS: &str = "UPDATE entries SET flags = ?3, checksum = ?4 WHERE place = ?1 AND key = ?2";

fn flags_row(place: i64, entry: &Entry) -> (i64, &str, i64, i64) {
    let (flags, after) = (flags(entry), join(&entry.after, &entry.siblings));
    let key = &*entry.address.key;
    let sum = row_sum(key, entry.resource.as_str(), own_identity(entry), flags, &entry.applied.0, after.as_deref());
    (place, key, flags, sum)
}

/// The identity, where it is another text than the key.
fn own_identity(entry: &Entry) -> Option<&str> {
    (entry.identity != entry.address.key).then_some(&*entry.identity)
}

fn put(
    session: &mut Session<'_>,
    environment: i64,
    entry: &Entry,
    target: &Arc<str>,
    applied: Option<&Json>,
) -> Result<(), StoreError> {
    let Address { scope, key } = &entry.address;
    let place = session.place(environment, scope)?;
    let spot = session.spot(target, scope)?;
    // A document says for itself whether it holds secrets; whoever puts none keeps what is said of the one that is there.
    let kept = "SELECT flags FROM entries WHERE place = ?1 AND key = ?2";
    let secrets = match applied {
        Some(document) => holds_secret(document),
        None => session.first(kept, (place, &**key), |row| row.get::<_, i64>(0))?.is_some_and(|it| it & SECRETS != 0),
    };
    let entry = &Entry { secrets, ..entry.clone() };
    let identity = own_identity(entry);
    let (flags, after) = (flags(entry), join(&entry.after, &entry.siblings));
    let sum = row_sum(key, entry.resource.as_str(), identity, flags, &entry.applied.0, after.as_deref());
    let written = session.execute_unique(
        "INSERT INTO entries (place, key, spot, resource, identity, flags, applied, agreed, after, checksum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (place, key) DO UPDATE SET spot = ?3, resource = ?4, \
         identity = ?5, flags = ?6, applied = ?7, agreed = ?8, after = ?9, checksum = ?10",
        (place, &**key, spot, entry.resource.as_str(), identity, flags, entry.applied.0, entry.agreed.map(|it| it.0), after, sum),
    )?;
    if written.is_none() {
        return Err(owned(session, target, &entry.address));
    }
    if let Some(document) = applied {
        let text = document.to_string();
        let sum = checksum(&[text.as_bytes()]);
        session.execute(
            "INSERT INTO documents (place, key, text, checksum) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (place, key) DO UPDATE SET text = ?3, checksum = ?4",
            (place, &**key, text, sum),
        )?;
    }
    Ok(())
}

/// Makes changes that no plugin call stands behind, with a line for each in the audit log.
pub(super) fn edit(
    session: &mut Session<'_>,
    environment: &str,
    run: Option<RunId>,
    reason: &str,
    edits: &[Edit],
) -> Result<(), StoreError> {
    let id = session.environment(environment)?;
    for edit in edits {
        if let Some((resource, event)) = apply(session, id, edit)? {
            let address = match edit {
                Edit::Put { entry, .. } | Edit::Unsettle(entry) => &entry.address,
                Edit::Remove(address) | Edit::Agreed(address, _) => address,
            };
            let body = json!({ "object": object(address), "reason": reason });
            audit::append(session, &Line { environment, run, event, resource: resource.as_str(), body: &body })?;
        }
    }
    Ok(())
}

/// An address as the audit log writes it.
pub(super) fn object(address: &Address) -> Json {
    let Scope { provider, kind, scope } = &address.scope;
    json!({ "provider": &**provider, "kind": &**kind, "scope": &**scope, "key": &*address.key })
}
