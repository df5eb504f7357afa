//! The store in one SQLite file, for one machine.
//!
//! WAL with `synchronous = FULL`: a commit that was answered survives a power cut. One thread writes (`writer.rs`);
//! readers have connections of their own and see the newest commit.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use trueup_core::address::{Address, ResourceId};
use trueup_core::inventory::{Entry, Intent};
use trueup_core::value::{Digest, Json};

use super::audit::{self, AuditRow, BadRow, Verified};
use super::cache::CacheFile;
use super::writer::{Class, Writer};
use super::{
    Commit, Edit, Groundwork, IntentRecord, NewRun, OutcomeRecord, Owner, Run, RunId, SavedPlan, ScopeRecord, Store, StoreError,
    Verdict, inventory, journal, schema,
};

/// The state in one file.
pub struct SqliteStore {
    path: Arc<Path>,
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
    cache: Arc<CacheFile>,
}

impl SqliteStore {
    /// Opens the state of a project (its id) in `path` and makes it where there is none, with its folder.
    ///
    /// # Errors
    ///
    /// [`StoreError::OtherProject`] where it is the state of another one.
    /// [`StoreError::Damaged`] for a file that is empty, cut or altered: it is never taken for an empty state.
    /// [`StoreError::Newer`], [`StoreError::Foreign`] and [`StoreError::Library`] as they say.
    pub fn open(path: &Path, project: &str) -> Result<Self, StoreError> {
        schema::check_library()?;
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => schema::create(path)?,
            Err(err) => return Err(StoreError::io(path, "open the state in", err)),
        }
        schema::check_file(path)?;
        let reader = schema::connect(path, false)?;
        schema::check_format(path, &reader)?;
        schema::check_after_kill(path, &reader)?;
        schema::check_project(path, &reader, project)?;
        let path: Arc<Path> = path.into();
        Ok(Self {
            readers: Mutex::new(vec![reader]),
            writer: Writer::new(Arc::clone(&path)),
            cache: Arc::new(CacheFile::beside(&path)),
            path,
        })
    }

    /// What plugins keep, and what was last observed.
    pub fn cache(&self) -> Arc<CacheFile> {
        Arc::clone(&self.cache)
    }

    /// Where the state lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the writer finish what is queued, and says how many commits it made.
    #[cfg(test)]
    pub(super) fn finish(&self) -> super::writer::Counts {
        self.writer.finish()
    }

    /// Lends a reading connection to `read`.
    fn reading<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = idle.map_or_else(|| schema::connect(&self.path, false), Ok)?;
        let result = read(&db);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        result
    }

    fn fail(&self, err: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, "read the state in", err)
    }
}

impl Store for SqliteStore {
    fn inventory(&self, environment: &str) -> Result<Vec<Entry>, StoreError> {
        self.reading(|db| inventory::read(&self.path, db, environment))
    }

    fn applied(&self, environment: &str, addresses: &[Address]) -> Result<Vec<Option<Arc<Json>>>, StoreError> {
        self.reading(|db| inventory::applied(&self.path, db, environment, addresses))
    }

    fn owners(&self, objects: &[(&str, &Address)]) -> Result<Vec<Option<Owner>>, StoreError> {
        self.reading(|db| inventory::owners(&self.path, db, objects))
    }

    fn owned_kinds(&self, environment: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.reading(|db| inventory::kinds(db, environment).map_err(|err| self.fail(err)))
    }

    fn elsewhere(&self, environment: &str, provider: &str, target: &str) -> Result<Vec<String>, StoreError> {
        self.reading(|db| inventory::elsewhere(db, environment, provider, target).map_err(|err| self.fail(err)))
    }

    fn environments(&self) -> Result<Vec<String>, StoreError> {
        self.reading(|db| journal::environments(db).map_err(|err| self.fail(err)))
    }

    fn export(&self, environment: &str, targets: &[&str]) -> Result<Option<Vec<u8>>, StoreError> {
        super::export::export(&self.path, environment, targets).map(Some)
    }

    fn intents(&self, environment: &str) -> Result<Vec<Intent>, StoreError> {
        self.reading(|db| journal::intents(&self.path, db, environment))
    }

    fn intend(&self, environment: &str, run: RunId, intents: Vec<IntentRecord>) -> Commit<()> {
        let environment = environment.to_owned();
        self.writer.submit(Class::Intent, move |session| journal::intend(session, &environment, run, &intents))
    }

    fn outcome(&self, environment: &str, run: RunId, outcomes: Vec<OutcomeRecord>) -> Commit<()> {
        let environment = environment.to_owned();
        self.writer.submit(Class::Outcome, move |session| journal::outcome(session, &environment, run, &outcomes))
    }

    fn close_intent(&self, environment: &str, run: Option<RunId>, token: &str, verdict: Verdict, edits: Vec<Edit>) -> Commit<()> {
        let (environment, token) = (environment.to_owned(), token.to_owned());
        self.writer.submit(Class::Outcome, move |session| journal::resolve(session, &environment, run, &token, verdict, &edits))
    }

    fn edit(&self, environment: &str, run: Option<RunId>, reason: &str, edits: Vec<Edit>) -> Commit<()> {
        let (environment, reason) = (environment.to_owned(), reason.to_owned());
        self.writer.submit(Class::Other, move |session| inventory::edit(session, &environment, run, &reason, &edits))
    }

    fn prepare(&self, environment: &str, run: RunId, ground: Groundwork) -> Commit<()> {
        let environment = environment.to_owned();
        let class = if ground.resolved.is_empty() { Class::Other } else { Class::Outcome };
        self.writer.submit(class, move |session| journal::prepare(session, &environment, run, &ground))
    }

    fn scopes(&self, environment: &str) -> Result<Vec<ScopeRecord>, StoreError> {
        self.cache.scopes(environment)
    }

    fn put_scopes(&self, environment: &str, scopes: Vec<ScopeRecord>) -> Result<(), StoreError> {
        self.cache.put_scopes(environment, &scopes)
    }

    fn look(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.cache.look(environment)
    }

    fn put_look(&self, environment: &str, look: Vec<u8>) -> Result<(), StoreError> {
        self.cache.put_look(environment, &look)
    }

    fn save_plan(&self, environment: &str, digest: Digest, json: String) -> Commit<()> {
        let environment = environment.to_owned();
        self.writer.submit(Class::Other, move |session| journal::save_plan(session, &environment, digest, &json))
    }

    fn plan(&self, id: &str) -> Result<Option<SavedPlan>, StoreError> {
        self.reading(|db| journal::plan(&self.path, db, id))
    }

    fn begin_run(&self, run: NewRun) -> Commit<RunId> {
        self.writer.submit(Class::Other, move |session| journal::begin_run(session, &run))
    }

    fn end_run(&self, run: RunId, outcome: &str, counts: Json) -> Commit<()> {
        let outcome = outcome.to_owned();
        self.writer.submit(Class::Other, move |session| journal::end_run(session, run, &outcome, &counts))
    }

    fn history(&self, environment: Option<&str>, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.reading(|db| journal::history(db, environment, limit).map_err(|err| self.fail(err)))
    }

    fn audit(&self, run: Option<RunId>, resource: Option<&ResourceId>, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.reading(|db| audit::lines(db, run, resource, limit).map_err(|err| self.fail(err)))
    }

    fn verify(&self) -> Result<Result<Verified, BadRow>, StoreError> {
        self.reading(|db| audit::verify(db).map_err(|err| self.fail(err)))
    }
}
