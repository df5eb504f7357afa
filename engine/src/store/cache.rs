//! What may be lost: observations of the last pass, and what plugins keep for themselves.
//!
//! One SQLite file, `cache.db` beside the state, never waited for (`synchronous = OFF`). Whatever is wrong with it, it is
//! thrown away and begun anew. Invariant: an answer is what was put, or nothing; a provider's part never grows past
//! [`PROVIDER_BYTES`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use trueup_core::address::Scope;

use super::schema::checksum;
use super::{ScopeRecord, StoreError};
use crate::private;

/// What one provider may keep, in bytes of keys and values.
pub const PROVIDER_BYTES: u64 = 64 << 20;

/// How many keys one provider may keep.
const PROVIDER_KEYS: u64 = 10_000;

/// Raised when the tables change: a file of another format is thrown away.
const FORMAT: i64 = 2;

/// A use is written down only when the last one is older than this: reading should not write.
const USED_AGAIN: u64 = 60_000;

const TABLES: &str = "
CREATE TABLE scopes (
    id INTEGER PRIMARY KEY,
    environment TEXT NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    version TEXT,
    checksum INTEGER NOT NULL,
    objects BLOB NOT NULL,
    UNIQUE (environment, provider, kind, scope)
) STRICT;
CREATE TABLE looks (
    environment TEXT PRIMARY KEY,
    checksum INTEGER NOT NULL,
    look BLOB NOT NULL
) STRICT;
CREATE TABLE kept (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    key TEXT NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (provider, key)
) STRICT;
";

/// The cache's file. It is opened with its first use.
pub struct CacheFile {
    path: PathBuf,
    db: Mutex<Option<Connection>>,
}

impl CacheFile {
    /// The cache of a state: `cache.db` beside `state.db`; beside a state of another name, that name with `.cache`.
    pub fn beside(state: &Path) -> Self {
        let path = match state.file_name() {
            Some(name) if name != "state.db" => {
                let mut name = name.to_owned();
                name.push(".cache");
                state.with_file_name(name)
            }
            _ => state.with_file_name("cache.db"),
        };
        Self { path, db: Mutex::new(None) }
    }

    /// What a provider kept under `key`, if it is still there at `now` (milliseconds since 1970). `provider` names a
    /// configured provider: its plugin's digest and its alias.
    ///
    /// # Errors
    ///
    /// Those of the system; a damaged file is begun anew instead.
    pub fn get(&self, provider: &str, key: &str, now: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.using(|db| {
            let sql = "SELECT id, used, checksum, value FROM kept WHERE provider = ?1 AND key = ?2 AND expires > ?3";
            let found = db
                .query_row(sql, (provider, key, now.cast_signed()), |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?))
                })
                .optional()?;
            let Some((id, used, sum, value)) = found else { return Ok(None) };
            if now.saturating_sub(used.cast_unsigned()) > USED_AGAIN {
                db.execute("UPDATE kept SET used = ?2 WHERE id = ?1", (id, now.cast_signed()))?;
            }
            Ok((sum == checksum(&[&value])).then_some(value))
        })
    }

    /// Keeps a value for `ttl` from `now` on, and lets the values longest unused go where the provider's part grows too
    /// large. A value that alone is more than a quarter of that part is not kept.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn put(&self, provider: &str, key: &str, value: &[u8], ttl: Duration, now: u64) -> Result<(), StoreError> {
        let size = (key.len() + value.len()) as u64;
        if size > PROVIDER_BYTES / 4 {
            return Ok(());
        }
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let expires = now.saturating_add(ttl).min(i64::MAX as u64);
        self.using(|db| {
            db.execute(
                "INSERT INTO kept (provider, key, expires, used, size, checksum, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (provider, key) DO UPDATE SET expires = ?3, used = ?4, size = ?5, checksum = ?6, value = ?7",
                (provider, key, expires.cast_signed(), now.cast_signed(), size.cast_signed(), checksum(&[value]), value),
            )?;
            shrink(db, provider, now)
        })
    }

    /// What was last observed, scope by scope. A damaged record is left out: that scope is read anew.
    ///
    /// # Errors
    ///
    /// Those of the system; a damaged file is begun anew instead.
    pub fn scopes(&self, environment: &str) -> Result<Vec<ScopeRecord>, StoreError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        self.using(|db| {
            let mut query = db.prepare(
                "SELECT provider, kind, scope, version, checksum, objects FROM scopes WHERE environment = ?1 ORDER BY id",
            )?;
            let mut rows = query.query((environment,))?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                let text = |index| -> rusqlite::Result<std::sync::Arc<str>> { Ok(row.get_ref(index)?.as_str()?.into()) };
                let scope = Scope { provider: text(0)?, kind: text(1)?, scope: text(2)? };
                let (version, objects): (Option<String>, &[u8]) = (row.get(3)?, row.get_ref(5)?.as_blob()?);
                if row.get::<_, i64>(4)? == scope_sum(version.as_deref(), objects) {
                    records.push(ScopeRecord { scope, version, objects: objects.into() });
                }
            }
            Ok(records)
        })
    }

    /// Replaces what was last observed of these scopes.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn put_scopes(&self, environment: &str, records: &[ScopeRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.using(|db| {
            let transaction = db.unchecked_transaction()?;
            let mut put = transaction.prepare(
                "INSERT INTO scopes (environment, provider, kind, scope, version, checksum, objects) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (environment, provider, kind, scope) DO UPDATE SET version = ?5, checksum = ?6, objects = ?7",
            )?;
            for ScopeRecord { scope: Scope { provider, kind, scope }, version, objects } in records {
                let sum = scope_sum(version.as_deref(), objects);
                put.execute((environment, &**provider, &**kind, &**scope, version, sum, &**objects))?;
            }
            drop(put);
            transaction.commit()
        })
    }

    /// What the last look at the world came to, in the form it was put; none where it was lost or damaged.
    ///
    /// # Errors
    ///
    /// Those of the system; a damaged file is begun anew instead.
    pub fn look(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.path.exists() {
            return Ok(None);
        }
        self.using(|db| {
            let sql = "SELECT checksum, look FROM looks WHERE environment = ?1";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
            let found = db.query_row(sql, (environment,), row).optional()?;
            Ok(found.filter(|(sum, look)| *sum == checksum(&[look])).map(|(_, look)| look))
        })
    }

    /// Replaces what the last look at the world came to.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn put_look(&self, environment: &str, look: &[u8]) -> Result<(), StoreError> {
        self.using(|db| {
            let sql = "INSERT INTO looks (environment, checksum, look) VALUES (?1, ?2, ?3) \
                       ON CONFLICT (environment) DO UPDATE SET checksum = ?2, look = ?3";
            db.execute(sql, (environment, checksum(&[look]), look)).map(drop)
        })
    }

    /// Forgets what was observed of these scopes: the next pass reads them anew.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn drop_scopes(&self, environment: &str, scopes: &[Scope]) -> Result<(), StoreError> {
        self.using(|db| {
            let transaction = db.unchecked_transaction()?;
            let mut take = transaction
                .prepare("DELETE FROM scopes WHERE environment = ?1 AND provider = ?2 AND kind = ?3 AND scope = ?4")?;
            for Scope { provider, kind, scope } in scopes {
                take.execute((environment, &**provider, &**kind, &**scope))?;
            }
            drop(take);
            transaction.commit()
        })
    }

    /// Lends the connection to `work`; where the file proves damaged, once more with a new one.
    fn using<T>(&self, mut work: impl FnMut(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut slot = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        for last in [false, true] {
            let result = match slot.take().map_or_else(|| open(&self.path), Ok) {
                Ok(db) => {
                    let result = work(&db);
                    *slot = Some(db);
                    result.map_err(|err| StoreError::sqlite(&self.path, "use the cache in", err))
                }
                Err(err) => Err(err),
            };
            match result {
                Err(StoreError::Damaged { .. }) if !last => {
                    *slot = None;
                    discard(&self.path);
                }
                other => return other,
            }
        }
        Err(StoreError::Stopped { path: self.path.clone() })
    }
}

fn scope_sum(version: Option<&str>, objects: &[u8]) -> i64 {
    checksum(&[version.unwrap_or_default().as_bytes(), objects])
}

/// Lets go what has expired, then what was longest unused, until the provider's part is in bounds.
fn shrink(db: &Connection, provider: &str, now: u64) -> rusqlite::Result<()> {
    let totals = |db: &Connection| {
        db.query_row("SELECT coalesce(sum(size), 0), count(*) FROM kept WHERE provider = ?1", (provider,), |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })
    };
    let above = |(bytes, keys): (u64, u64)| bytes > PROVIDER_BYTES || keys > PROVIDER_KEYS;
    if !above(totals(db)?) {
        return Ok(());
    }
    db.execute("DELETE FROM kept WHERE provider = ?1 AND expires <= ?2", (provider, now.cast_signed()))?;
    while above(totals(db)?) {
        // A sixteenth at a time, so that a full cache is not counted anew for every value.
        let sql = "DELETE FROM kept WHERE id IN (SELECT id FROM kept WHERE provider = ?1 ORDER BY used, id LIMIT max(1, \
                   (SELECT count(*) / 16 FROM kept WHERE provider = ?1)))";
        if db.execute(sql, (provider,))? == 0 {
            break;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let fail = |err| StoreError::sqlite(path, "open the cache in", err);
    if !path.exists() {
        let made = path.parent().map_or(Ok(()), private::folder).and_then(|()| private::create_new(path).map(drop));
        match made {
            Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io(path, "create the cache in", err));
            }
            _ => {}
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail)?;
    db.busy_timeout(Duration::from_secs(10)).map_err(fail)?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA trusted_schema = OFF;").map_err(fail)?;
    let format = |db: &Connection| db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map_err(fail);
    if format(&db)? == 0 {
        db.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
        // Another process may have made the tables while we waited.
        let made = match format(&db)? {
            0 => db.execute_batch(&format!("{TABLES} PRAGMA user_version = {FORMAT}; COMMIT")),
            _ => db.execute_batch("COMMIT"),
        };
        made.map_err(fail)?;
    }
    match format(&db)? {
        FORMAT => Ok(db),
        other => Err(StoreError::damaged(path, format!("its format is {other}"))),
    }
}

fn discard(path: &Path) {
    for tail in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(tail);
        let _ = fs::remove_file(name);
    }
}
