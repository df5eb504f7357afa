//! A copy of a state for a recording: what one environment owns and has under way, without what is only told of the past.

use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, schema};
use crate::private::Temporary;

/// Of other environments stays who owns what at the targets that this one reaches, as two must not own one object; their documents
/// go, and so does everything that they have elsewhere.
const OTHERS: &str = "
CREATE TEMP TABLE own AS SELECT p.id FROM places p JOIN environments e ON e.id = p.environment WHERE e.name = ?1;
CREATE TEMP TABLE shared AS SELECT id FROM spots WHERE target IN (SELECT target FROM temp.targets);
DELETE FROM documents WHERE place NOT IN (SELECT id FROM temp.own);
DELETE FROM entries WHERE place NOT IN (SELECT id FROM temp.own) AND spot NOT IN (SELECT id FROM temp.shared);
DELETE FROM intents WHERE place NOT IN (SELECT id FROM temp.own) AND spot NOT IN (SELECT id FROM temp.shared);
UPDATE intents SET document = NULL, prior = NULL, desired = NULL, operation = NULL WHERE place NOT IN (SELECT id FROM temp.own);
DELETE FROM audit;
DELETE FROM plans;
DELETE FROM runs WHERE id NOT IN (SELECT run FROM intents);
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
    // Before this, pages that nothing refers to still hold what was deleted.
    db.execute_batch("VACUUM;")
}
