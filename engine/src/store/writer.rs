//! The one writer: a thread with the only connection that writes, and group commit.
//!
//! Writes queue up while a commit is on its way to the disk; the next commit takes what is queued, at most 64, and no
//! timer waits for more. Each write has a savepoint of its own: one that fails takes nothing back of its neighbours.
//!
//! Invariant: nobody is answered before the commit that holds their write is durable. After a commit whose fate is not
//! known (an IO error) nothing is written any more: only a new start reads what is on disk.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, Statement};
use trueup_core::address::Scope;

use super::audit::Head;
use super::{Commit, StoreError, schema};
use crate::killpoint;

/// How many writes share one commit at most.
const GROUP: usize = 64;

/// What a write is, for the places where a test may kill the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Intent,
    Outcome,
    Other,
}

/// Tells the waiter what became of the commit.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Makes the write, or only learns why it cannot be made; says whether it was made.
type Work = Box<dyn FnOnce(Result<&mut Session<'_>, StoreError>) -> (bool, Reply) + Send>;

struct Job {
    class: Class,
    work: Work,
}

/// The thread's handle. The thread starts with the first write; a run that only reads has none.
pub(super) struct Writer {
    path: Arc<Path>,
    thread: Mutex<Option<(Sender<Job>, JoinHandle<Counts>)>>,
}

/// How many commits the thread made, and of how many writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub commits: usize,
    pub writes: usize,
}

impl Writer {
    pub(super) fn new(path: Arc<Path>) -> Self {
        Self { path, thread: Mutex::new(None) }
    }

    /// Queues a write; its commit resolves when it is durable.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        class: Class,
        write: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Commit<T> {
        let (sender, commit) = Commit::new(Arc::clone(&self.path));
        let work: Work = Box::new(move |session| {
            let result = session.and_then(write);
            let reply: Reply = match result {
                // The waiter may be gone: the write is made all the same.
                Ok(value) => return (true, Box::new(move |committed| drop(sender.send(committed.map(|()| value))))),
                Err(err) => Box::new(move |_| drop(sender.send(Err(err)))),
            };
            (false, reply)
        });
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (jobs, queue) = channel();
            let path = Arc::clone(&self.path);
            match std::thread::Builder::new().name("store".into()).spawn(move || run(&path, &queue)) {
                Ok(handle) => *thread = Some((jobs, handle)),
                Err(err) => {
                    let (_, reply) = work(Err(StoreError::io(&self.path, "start the writer of", err)));
                    reply(Ok(()));
                    return commit;
                }
            }
        }
        if let Some((jobs, _)) = &*thread {
            // A thread that is gone dropped the queue and with it the sender: the commit resolves to `Stopped`.
            let _ = jobs.send(Job { class, work });
        }
        commit
    }

    /// Lets the thread finish what is queued, and ends it.
    pub(super) fn finish(&self) -> Counts {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or_else(Counts::default, |(jobs, handle)| {
            drop(jobs);
            handle.join().unwrap_or_default()
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn run(path: &Arc<Path>, queue: &Receiver<Job>) -> Counts {
    let mut counts = Counts::default();
    let db = match schema::connect(path, true) {
        Ok(db) => db,
        Err(err) => {
            refuse(queue, &err);
            return counts;
        }
    };
    let mut session = Session::new(Arc::clone(path), &db);
    while let Ok(first) = queue.recv() {
        let mut group = Vec::with_capacity(GROUP);
        group.push(first);
        group.extend(queue.try_iter().take(GROUP - 1));
        let writes = group.len();
        match session.commit(group) {
            Ok(()) => counts = Counts { commits: counts.commits + 1, writes: counts.writes + writes },
            Err(err) if err.is_transient() || is_full(&err) => {}
            Err(_) => {
                refuse(queue, &StoreError::Stopped { path: path.to_path_buf() });
                break;
            }
        }
    }
    counts
}

/// A full disk takes the commit back as a whole, and there may be room later.
fn is_full(err: &StoreError) -> bool {
    let StoreError::Io { source, .. } = err else { return false };
    let code = source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    code == Some(ErrorCode::DiskFull)
}

/// Answers every write from now on with `err`.
fn refuse(queue: &Receiver<Job>, err: &StoreError) {
    for job in queue {
        let (_, reply) = (job.work)(Err(err.clone()));
        reply(Err(err.clone()));
    }
}

/// Target, kind and scope: a scope as the remote system knows it.
type SpotName = (Arc<str>, Arc<str>, Arc<str>);

/// What a write works with: the connection within a transaction, statements kept prepared, and names already interned.
pub(super) struct Session<'c> {
    pub path: Arc<Path>,
    db: &'c Connection,
    prepared: HashMap<&'static str, Statement<'c>>,
    environments: HashMap<String, i64>,
    places: HashMap<(i64, Scope), i64>,
    spots: HashMap<SpotName, i64>,
    /// Newest line of the audit log.
    pub head: Head,
    /// When this commit began, in milliseconds since 1970.
    pub now: i64,
}

impl<'c> Session<'c> {
    fn new(path: Arc<Path>, db: &'c Connection) -> Self {
        Self {
            path,
            db,
            prepared: HashMap::new(),
            environments: HashMap::new(),
            places: HashMap::new(),
            spots: HashMap::new(),
            head: Head::default(),
            now: 0,
        }
    }

    /// Makes the writes of a group in one transaction and answers them all.
    fn commit(&mut self, group: Vec<Job>) -> Result<(), StoreError> {
        let begun = self.begin();
        let classes: Vec<Class> = group.iter().map(|it| it.class).collect();
        let mut replies = Vec::with_capacity(group.len());
        for job in group {
            before(job.class);
            replies.push(match &begun {
                Ok(()) => self.savepoint(job.work),
                Err(err) => (job.work)(Err(err.clone())).1,
            });
        }
        let committed = begun.and_then(|()| self.end());
        if committed.is_ok() {
            classes.iter().for_each(|class| after(*class));
        }
        for reply in replies {
            reply(committed.clone());
        }
        committed
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX));
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(|err| self.failed(err))?;
        self.head = Head::read(self.db).map_err(|err| self.failed(err))?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        // An error on the way may have taken the whole transaction back already.
        let result = if self.db.is_autocommit() {
            Err(StoreError::io(&self.path, "write the state in", std::io::Error::other("the transaction was taken back")))
        } else {
            self.db.execute_batch("COMMIT").map_err(|err| self.failed(err))
        };
        if result.is_err() {
            let _ = self.db.execute_batch("ROLLBACK");
            self.forget_interned();
        }
        result
    }

    /// Makes one write, and takes it back where it fails.
    fn savepoint(&mut self, work: Work) -> Reply {
        let head = self.head;
        if let Err(err) = self.db.execute_batch("SAVEPOINT one") {
            return work(Err(self.failed(err))).1;
        }
        let (made, reply) = work(Ok(self));
        // Where these fail the transaction is gone, which `end` finds out.
        if made {
            let _ = self.db.execute_batch("RELEASE one");
        } else {
            let _ = self.db.execute_batch("ROLLBACK TO one; RELEASE one");
            self.head = head;
            self.forget_interned();
        }
        reply
    }

    /// Numbers handed out in a transaction that was taken back are not in the tables.
    pub(super) fn forget_interned(&mut self) {
        self.environments.clear();
        self.places.clear();
        self.spots.clear();
    }

    fn failed(&self, err: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, "write the state in", err)
    }

    fn statement(&mut self, sql: &'static str) -> Result<&mut Statement<'c>, StoreError> {
        if !self.prepared.contains_key(sql) {
            let statement = self.db.prepare(sql).map_err(|err| self.failed(err))?;
            self.prepared.insert(sql, statement);
        }
        self.prepared.get_mut(sql).ok_or_else(|| StoreError::Stopped { path: self.path.to_path_buf() })
    }

    /// Runs a statement that answers nothing; says how many rows it changed.
    pub(super) fn execute(&mut self, sql: &'static str, params: impl Params) -> Result<usize, StoreError> {
        let result = self.statement(sql)?.execute(params);
        result.map_err(|err| self.failed(err))
    }

    /// As [`Session::execute`], but None where a unique index refuses.
    pub(super) fn execute_unique(&mut self, sql: &'static str, params: impl Params) -> Result<Option<usize>, StoreError> {
        let result = self.statement(sql)?.execute(params);
        match result {
            Err(rusqlite::Error::SqliteFailure(code, _)) if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
                Ok(None)
            }
            other => other.map(Some).map_err(|err| self.failed(err)),
        }
    }

    /// The first row of the answer, if there is one.
    pub(super) fn first<T>(
        &mut self,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let result = self.statement(sql)?.query_row(params, read).optional();
        result.map_err(|err| self.failed(err))
    }

    /// Every row of the answer.
    pub(super) fn all<T>(
        &mut self,
        sql: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let result = self.statement(sql)?.query_map(params, read).and_then(Iterator::collect);
        result.map_err(|err| self.failed(err))
    }

    /// Number of the row made last.
    pub(super) fn last_row(&self) -> i64 {
        self.db.last_insert_rowid()
    }

    /// Number of an environment, made where it is new.
    pub(super) fn environment(&mut self, name: &str) -> Result<i64, StoreError> {
        if let Some(id) = self.environments.get(name) {
            return Ok(*id);
        }
        self.execute("INSERT OR IGNORE INTO environments (name) VALUES (?1)", (name,))?;
        let id = self.first("SELECT id FROM environments WHERE name = ?1", (name,), |row| row.get(0))?.unwrap_or_default();
        self.environments.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Number of a scope as an environment names it, made where it is new.
    pub(super) fn place(&mut self, environment: i64, scope: &Scope) -> Result<i64, StoreError> {
        let key = (environment, scope.clone());
        if let Some(id) = self.places.get(&key) {
            return Ok(*id);
        }
        let columns = (environment, &*scope.provider, &*scope.kind, &*scope.scope);
        self.execute("INSERT OR IGNORE INTO places (environment, provider, kind, scope) VALUES (?1, ?2, ?3, ?4)", columns)?;
        let sql = "SELECT id FROM places WHERE environment = ?1 AND provider = ?2 AND kind = ?3 AND scope = ?4";
        let id = self.first(sql, columns, |row| row.get(0))?.unwrap_or_default();
        self.places.insert(key, id);
        Ok(id)
    }

    /// Number of a scope as the remote system knows it, made where it is new.
    pub(super) fn spot(&mut self, target: &Arc<str>, scope: &Scope) -> Result<i64, StoreError> {
        let key = (Arc::clone(target), Arc::clone(&scope.kind), Arc::clone(&scope.scope));
        if let Some(id) = self.spots.get(&key) {
            return Ok(*id);
        }
        let columns = (&**target, &*scope.kind, &*scope.scope);
        self.execute("INSERT OR IGNORE INTO spots (target, kind, scope) VALUES (?1, ?2, ?3)", columns)?;
        let sql = "SELECT id FROM spots WHERE target = ?1 AND kind = ?2 AND scope = ?3";
        let id = self.first(sql, columns, |row| row.get(0))?.unwrap_or_default();
        self.spots.insert(key, id);
        Ok(id)
    }
}

fn before(class: Class) {
    match class {
        Class::Intent => killpoint::at("store.intent.before"),
        Class::Outcome => killpoint::at("store.outcome.before"),
        Class::Other => killpoint::at("store.write.before"),
    }
}

fn after(class: Class) {
    match class {
        Class::Intent => killpoint::at("store.intent.after"),
        Class::Outcome => killpoint::at("store.outcome.after"),
        Class::Other => killpoint::at("store.write.after"),
    }
}
