//! A copy of a state for a recording: what one environment owns and has under way, without what is only told of the past.

use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, inventory, schema};
use crate::private::Temporary;

/// Of other environments stays who owns what at the targets that this one reaches, and under which name, as two must not own
/// one object. Everything else of theirs goes or is blank, as is what nothing reads again of our own: who ran what, and the
/// handles of operations, which are plugins' own texts.
const OTHERS: &str = "
CREATE TEMP TABLE own AS SELECT p.id FROM places p JOIN environments e ON e.id = p.environment WHERE e.name = ?1;
CREATE TEMP TABLE shared AS SELECT id FROM spots WHERE target IN (SELECT target FROM temp.targets);
DELETE FROM documents WHERE place NOT IN (SELECT id FROM temp.own);
DELETE FROM entries WHERE place NOT IN (SELECT id FROM temp.own) AND spot NOT IN (SELECT id FROM temp.shared);
DELETE FROM intents WHERE place NOT IN (SELECT id FROM temp.own) AND spot NOT IN (SELECT id FROM temp.shared);
UPDATE intents SET operation = NULL;
UPDATE intents SET token = 'other-' || id, action = 0, prior = NULL, desired = NULL, document = NULL, flags = 0, after = NULL, \
started = 0 WHERE place NOT IN (SELECT id FROM temp.own);
DELETE FROM audit;
DELETE FROM plans;
DELETE FROM runs WHERE id NOT IN (SELECT run FROM intents);
UPDATE runs SET command = '', actor = '', outcome = NULL, counts = NULL;
UPDATE runs SET revision = '', plan = NULL, began = 0, ended = NULL
    WHERE environment NOT IN (SELECT id FROM environments WHERE name = ?1);
DELETE FROM places WHERE id NOT IN (SELECT place FROM entries UNION SELECT place FROM intents);
DELETE FROM spots WHERE id NOT IN (SELECT spot FROM entries UNION SELECT spot FROM intents);
DELETE FROM environments WHERE id NOT IN (SELECT environment FROM places UNION SELECT environment FROM runs);
";

/// A state as bytes of a file of its own. The log, runs that nothing refers to and kept plans stay where they are.
pub(super) fn export(path: &Path, environment: &str, targets: &[&str]) -> Result<Vec<u8>, StoreError> {
    let folder = Temporary::new("trueup-state").map_err(|error| StoreError::io(path, "make a copy of the state in", error))?;
    let copy = folder.path().join("state.db");
    schema::connect(path, true)?
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .map_err(|error| StoreError::sqlite(path, "copy the state in", error))?;
    let db = schema::connect(&copy, true)?;
    reduce(&db, environment, targets)
        .and_then(|()| db.close().map_err(|(_, error)| error))
        .map_err(|error| StoreError::sqlite(path, "copy the state in", error))?;
    std::fs::read(&copy).map_err(|error| StoreError::io(&copy, "read a copy of the state in", error))
}

fn reduce(db: &Connection, environment: &str, targets: &[&str]) -> rusqlite::Result<()> {
    db.execute_batch("PRAGMA journal_mode = DELETE; CREATE TEMP TABLE targets (target TEXT NOT NULL);")?;
    for target in targets {
        db.execute("INSERT INTO temp.targets (target) VALUES (?1)", [target])?;
    }
    for statement in OTHERS.split(';').map(str::trim).filter(|it| !it.is_empty()) {
        if statement.contains("?1") { db.execute(statement, [environment]) } else { db.execute(statement, []) }?;
    }
    blank(db)?;
    // Before this, pages that nothing refers to still hold what was deleted.
    db.execute_batch("VACUUM;")
}

/// Takes out of the rows of other environments what says more than who owns the object, and has them agree with their checksums.
fn blank(db: &Connection) -> rusqlite::Result<()> {
    const NOTHING: [u8; 32] = [0; 32];
    let mut rows = db.prepare("SELECT place, key, resource FROM entries WHERE place NOT IN (SELECT id FROM temp.own)")?;
    let rows: Vec<(i64, String, String)> =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
    let mut update = db.prepare(
        "UPDATE entries SET identity = NULL, flags = 0, applied = ?3, agreed = NULL, after = NULL, checksum = ?4 \
         WHERE place = ?1 AND key = ?2",
    )?;
    for (place, key, resource) in rows {
        let sum = inventory::row_sum(&key, &resource, None, 0, &NOTHING, None);
        update.execute((place, &key, NOTHING, sum))?;
    }
    Ok(())
}
