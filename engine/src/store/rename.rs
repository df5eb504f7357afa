//! A provider's new alias, written everywhere that its old one stands.

use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::value::json;

use super::audit::{self, Line};
use super::inventory::{object, row_sum};
use super::writer::Session;
use super::{RunId, StoreError};

/// One row of the inventory, as far as it names aliases.
struct Row {
    place: i64,
    key: String,
    resource: String,
    identity: Option<String>,
    flags: i64,
    applied: Vec<u8>,
    after: Option<String>,
    checksum: i64,
}

const ROWS: &str = "SELECT n.place, n.key, n.resource, n.identity, n.flags, n.applied, n.after, n.checksum FROM entries n \
                    JOIN places p ON p.id = n.place WHERE p.environment = ?1";

/// Renames one provider; see [`super::Groundwork::renames`].
pub(super) fn rename(
    session: &mut Session<'_>,
    environment: &str,
    run: Option<RunId>,
    from: &str,
    to: &str,
) -> Result<(), StoreError> {
    let id = session.environment(environment)?;
    // A document names its entry by place and key, and moves in a statement of its own.
    session.execute("PRAGMA defer_foreign_keys = ON", ())?;
    let sql = "SELECT id, kind, scope FROM places WHERE environment = ?1 AND provider = ?2";
    let old: Vec<(i64, String, String)> = session.all(sql, (id, from), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut places = Vec::with_capacity(old.len());
    for (place, kind, scope) in old {
        let scope = Scope { provider: to.into(), kind: kind.into(), scope: scope.into() };
        places.push((place, session.place(id, &scope)?, scope));
    }
    places.sort_unstable_by_key(|it| it.0);
    let rows = session.all(ROWS, (id,), |row| {
        let (place, key, resource, identity) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(Row {
            place,
            key,
            resource,
            identity,
            flags: row.get(4)?,
            applied: row.get(5)?,
            after: row.get(6)?,
            checksum: row.get(7)?,
        })
    })?;
    for row in rows {
        let sum = |resource: &str, after: Option<&str>| {
            row_sum(&row.key, resource, row.identity.as_deref(), row.flags, &row.applied, after)
        };
        if row.checksum != sum(&row.resource, row.after.as_deref()) {
            return Err(StoreError::damaged(&session.path, "a row of the inventory is not what was written"));
        }
        let found = places.binary_search_by_key(&row.place, |it| it.0).ok().and_then(|at| places.get(at));
        let resource = renamed(&row.resource, from, to);
        let after = row.after.as_deref().map(|it| lines(it, from, to));
        if found.is_none() && after == row.after {
            continue;
        }
        let place = found.map_or(row.place, |it| it.1);
        session.execute(
            "UPDATE entries SET place = ?3, resource = ?4, after = ?5, checksum = ?6 WHERE place = ?1 AND key = ?2",
            (row.place, &row.key, place, &resource, &after, sum(&resource, after.as_deref())),
        )?;
        if let Some((_, _, scope)) = found {
            let address = Address { scope: scope.clone(), key: row.key.as_str().into() };
            let body = json!({ "object": object(&address), "from": row.resource });
            audit::append(session, &Line { environment, run, event: "renamed", resource: &resource, body: &body })?;
        }
    }
    for (old, new, _) in &places {
        session.execute("UPDATE documents SET place = ?2 WHERE place = ?1", (old, new))?;
        let sql = "SELECT id, resource, after FROM intents WHERE place = ?1";
        let intents: Vec<(i64, String, Option<String>)> =
            session.all(sql, (old,), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for (intent, resource, after) in intents {
            let resource = renamed(&resource, from, to);
            let after = after.map(|it| lines(&it, from, to));
            let sql = "UPDATE intents SET place = ?2, resource = ?3, after = ?4 WHERE id = ?1";
            session.execute(sql, (intent, new, resource, after))?;
        }
        session.execute("DELETE FROM places WHERE id = ?1", (old,))?;
    }
    session.forget_interned();
    Ok(())
}

/// Each line as [`renamed`].
fn lines(text: &str, from: &str, to: &str) -> String {
    text.split('\n').map(|it| renamed(it, from, to)).collect::<Vec<_>>().join("\n")
}

/// An identity under the new alias; any other text as it is.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let id = ResourceId::parse(text).filter(|it| it.alias() == from);
    id.map_or_else(|| text.to_owned(), |it| it.under(to).to_string())
}
