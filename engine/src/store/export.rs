//! A copy of a state for a recording: what is owned and under way, without what is only told of the past.

use std::path::Path;

use super::{StoreError, schema};
use crate::private;

/// A state as bytes of a file of its own. The log, runs that nothing refers to and kept plans stay where they are.
pub(super) fn export(path: &Path) -> Result<Vec<u8>, StoreError> {
    let copy = private::beside(&std::env::temp_dir().join("trueup-state"));
    let bytes = copy_to(path, &copy)
        .and_then(|()| std::fs::read(&copy).map_err(|error| StoreError::io(&copy, "read a copy of the state in", error)));
    for tail in ["", "-wal", "-shm", "-journal"] {
        let mut name = copy.clone().into_os_string();
        name.push(tail);
        let _ = std::fs::remove_file(name);
    }
    bytes
}

fn copy_to(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let fail = |error| StoreError::sqlite(path, "copy the state in", error);
    // Made first, so that it is private from its first byte; an empty file is what `VACUUM INTO` may fill.
    private::create_new(copy).map_err(|error| StoreError::io(copy, "make a copy of the state in", error))?;
    schema::connect(path, true)?.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map_err(fail)?;
    let db = schema::connect(copy, true)?;
    db.execute_batch(
        "PRAGMA journal_mode = DELETE; DELETE FROM audit; DELETE FROM plans; \
         DELETE FROM runs WHERE id NOT IN (SELECT run FROM intents); VACUUM;",
    )
    .map_err(fail)?;
    db.close().map_err(|(_, error)| fail(error))
}
