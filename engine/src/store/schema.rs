//! The tables, and how a file of them comes to be and is recognised.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::{StoreError, inventory};
use crate::{private, regular};

/// Stands in the header of our files: `trup`.
const APPLICATION: i64 = 0x7472_7570;

/// Format of the tables, in `PRAGMA user_version`. A change of them raises it and adds a step to [`migrate`].
pub(super) const FORMAT: i64 = 3;

/// How long we wait for another process that writes: its commits take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// SQLite 3.51.3 is the first without the bug that can lose commits of a WAL.
const SQLITE: (i32, &str) = (3_051_003, "3.51.3");

/// - `project`: the one project that the state is of, by its id; empty until that is known.
/// - `places`: a scope as an environment names it; `spots`: the same as the remote system knows it, whatever alias leads
///   there. `entries` are clustered by place and key, so that reading an environment is one walk over neighbouring pages,
///   and unique by spot and key, so that an object has one owner.
/// - `checksum` covers a row's own columns: SQLite keeps none for its pages.
/// - `documents` stand apart: a pass without changes reads none of them.
/// - `audit` only grows; see `audit.rs` for its hashes.
const TABLES: &str = "
CREATE TABLE project (id TEXT NOT NULL) STRICT;
CREATE TABLE environments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    environment INTEGER NOT NULL REFERENCES environments (id),
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    UNIQUE (environment, provider, kind, scope)
) STRICT;
CREATE TABLE spots (
    id INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    UNIQUE (target, kind, scope)
) STRICT;
CREATE TABLE entries (
    place INTEGER NOT NULL REFERENCES places (id),
    key TEXT NOT NULL,
    spot INTEGER NOT NULL REFERENCES spots (id),
    resource TEXT NOT NULL,
    identity TEXT,
    flags INTEGER NOT NULL,
    applied BLOB NOT NULL,
    agreed BLOB,
    after TEXT,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (place, key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entries_object ON entries (spot, key);
CREATE TABLE documents (
    place INTEGER NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (place, key),
    FOREIGN KEY (place, key) REFERENCES entries (place, key) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE TABLE intents (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    place INTEGER NOT NULL REFERENCES places (id),
    key TEXT NOT NULL,
    spot INTEGER NOT NULL REFERENCES spots (id),
    resource TEXT NOT NULL,
    action INTEGER NOT NULL,
    prior BLOB,
    desired BLOB,
    document TEXT,
    flags INTEGER NOT NULL DEFAULT 0,
    after TEXT,
    operation TEXT,
    run INTEGER NOT NULL REFERENCES runs (id),
    started INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_object ON intents (spot, key);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    environment INTEGER NOT NULL REFERENCES environments (id),
    revision TEXT NOT NULL,
    plan BLOB,
    command TEXT NOT NULL,
    actor TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER,
    outcome TEXT,
    counts TEXT
) STRICT;
CREATE TABLE plans (
    id INTEGER PRIMARY KEY,
    environment INTEGER NOT NULL REFERENCES environments (id),
    digest TEXT NOT NULL,
    text TEXT NOT NULL,
    saved INTEGER NOT NULL,
    UNIQUE (digest, environment)
) STRICT;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    environment TEXT NOT NULL,
    run INTEGER,
    event TEXT NOT NULL,
    resource TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
";

/// Refuses an SQLite that can lose commits.
pub(super) fn check_library() -> Result<(), StoreError> {
    if rusqlite::version_number() < SQLITE.0 {
        return Err(StoreError::Library { found: rusqlite::version(), wanted: SQLITE.1 });
    }
    Ok(())
}

/// Makes the file where there is none. It is filled beside its place and linked there when whole: a kill on the way
/// leaves no file, and of two processes that do this at once one wins.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let fail = |err: io::Error| StoreError::io(path, "create the state in", err);
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        private::folder(parent).map_err(fail)?;
    }
    let temporary = private::beside(path);
    let made = private::create_new(&temporary).map_err(fail).and_then(|_| fill(&temporary)).and_then(|()| {
        match fs::hard_link(&temporary, path) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A file system without hard links.
            Err(_) => fs::rename(&temporary, path).map_err(fail),
            Ok(()) => Ok(()),
        }
    });
    for tail in ["", "-wal", "-shm"] {
        let mut name = temporary.clone().into_os_string();
        name.push(tail);
        let _ = fs::remove_file(name);
    }
    made?;
    private::sync_parent(path).map_err(fail)
}

fn fill(path: &Path) -> Result<(), StoreError> {
    let fail = |err| StoreError::sqlite(path, "create the state in", err);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail)?;
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN; PRAGMA application_id = {APPLICATION}; {TABLES} \
         PRAGMA user_version = {FORMAT}; COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
    ))
    .map_err(fail)?;
    db.close().map_err(|(_, err)| fail(err))
}

/// Judges the file before SQLite sees it: SQLite takes an empty file for an empty database.
pub(super) fn check_file(path: &Path) -> Result<(), StoreError> {
    let fail = |err: io::Error| StoreError::io(path, "read the state in", err);
    let mut head = Vec::new();
    regular::open(path).map_err(fail)?.0.take(16).read_to_end(&mut head).map_err(fail)?;
    match head.as_slice() {
        b"SQLite format 3\0" => Ok(()),
        [] => Err(StoreError::damaged(path, "it is empty")),
        _ => Err(StoreError::damaged(path, "it does not begin as a database does")),
    }
}

/// Opens a connection to a file that exists.
pub(super) fn connect(path: &Path, writes: bool) -> Result<Connection, StoreError> {
    let fail = |err| StoreError::sqlite(path, "open the state in", err);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail)?;
    db.busy_timeout(PATIENCE).map_err(fail)?;
    db.execute_batch(if writes {
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 4000; PRAGMA trusted_schema = OFF;"
    } else {
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;"
    })
    .map_err(fail)?;
    Ok(db)
}

/// Checks whose file it is and which format it has.
pub(super) fn check_format(path: &Path, db: &Connection) -> Result<(), StoreError> {
    let number = |pragma: &str| -> Result<i64, StoreError> {
        db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .map_err(|err| StoreError::sqlite(path, "read the state in", err))
    };
    if number("application_id")? != APPLICATION {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    match number("user_version")? {
        FORMAT => Ok(()),
        1 | 2 => migrate(path),
        found if found > FORMAT => Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT }),
        found => Err(StoreError::damaged(path, format!("its format {found} never was one of ours"))),
    }
}

/// From format 1: changes under way got their document and what their entries will say, entries whether they hold a secret.
/// From format 2: the state got the id of its project.
fn migrate(path: &Path) -> Result<(), StoreError> {
    let fail = |err| StoreError::sqlite(path, "bring the state up to date in", err);
    let mut db = connect(path, true)?;
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    // Another process may have been faster.
    let found: i64 = step.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail)?;
    if found == 1 {
        step.execute_batch(
            "ALTER TABLE intents ADD COLUMN document TEXT; ALTER TABLE intents ADD COLUMN flags INTEGER NOT NULL DEFAULT 0; \
             ALTER TABLE intents ADD COLUMN after TEXT;",
        )
        .map_err(fail)?;
        inventory::flag_secrets(path, &step)?;
    }
    if found < FORMAT {
        let batch = format!("CREATE TABLE project (id TEXT NOT NULL) STRICT; PRAGMA user_version = {FORMAT}");
        step.execute_batch(&batch).map_err(fail)?;
    }
    step.commit().map_err(fail)
}

/// Checks that the state is of this project; a state of none becomes its.
pub(super) fn check_project(path: &Path, db: &Connection, project: &str) -> Result<(), StoreError> {
    const OF: &str = "SELECT id FROM project";
    let fail = |err| StoreError::sqlite(path, "read the state in", err);
    let mut found: Option<String> = db.query_row(OF, [], |row| row.get(0)).optional().map_err(fail)?;
    if found.is_none() {
        let mut db = connect(path, true)?;
        // Another process may be faster.
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        step.execute("INSERT INTO project (id) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM project)", [project]).map_err(fail)?;
        found = step.query_row(OF, [], |row| row.get(0)).optional().map_err(fail)?;
        step.commit().map_err(fail)?;
    }
    match found {
        Some(id) if id != project => Err(StoreError::OtherProject { path: path.to_owned(), found: id, ours: project.to_owned() }),
        _ => Ok(()),
    }
}

/// Walks all pages after a run that was killed (its `-wal` file is still there): a torn page must not be found half way
/// through an apply. Files above 256 MiB are judged by what is read of them.
pub(super) fn check_after_kill(path: &Path, db: &Connection) -> Result<(), StoreError> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    if length(Path::new(&wal)) == 0 || length(path) > 256 << 20 {
        return Ok(());
    }
    let verdict: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|err| StoreError::sqlite(path, "check the state in", err))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::damaged(path, verdict)) }
}

/// Detects damage (not malice): FNV-1a over words, with each part's length.
pub(super) fn checksum(parts: &[&[u8]]) -> i64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        let mut mix = |word: u64| sum = (sum ^ word).wrapping_mul(PRIME).rotate_left(23);
        mix(part.len() as u64);
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        mix(u64::from_le_bytes(last));
    }
    sum.cast_signed()
}
