//! What the engine remembers between runs: what each environment owns, which changes are under way, what was done.
//!
//! Owns durability and nothing else: it decides no step and judges no document. All of it lies behind [`Store`], whose
//! contract tests (`contract.rs`) every backend runs; [`SqliteStore`] is the one for a single machine. Observations and
//! what plugins cache are losable and lie in a file of their own ([`cache`]).
//!
//! Invariants: an intent is on disk before [`Store::intend`]'s answer, so before the first byte of its change leaves; an
//! object has one owner over all environments; no secret's plain text ever comes here (documents arrive sealed).

mod audit;
pub mod cache;
mod commit;
#[cfg(test)]
mod contract;
mod error;
mod export;
mod inventory;
mod journal;
mod key;
pub mod lock;
mod rename;
mod schema;
mod sqlite;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::inventory::{Entry, Intent};
use trueup_core::value::{Digest, Json};

pub use audit::{AuditRow, BadRow, Verified};
pub use commit::Commit;
pub use error::StoreError;
pub use key::secret_key;
pub use sqlite::SqliteStore;

/// Where a project keeps its state when nobody says otherwise.
pub fn default_path(project: &Path) -> PathBuf {
    project.join(crate::private::STATE_FOLDER).join("state.db")
}

/// Number of a run in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

/// A change about to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct IntentRecord {
    pub intent: Intent,
    /// What the provider acts on, as text that is the same for every alias and environment that reach the same system.
    pub target: Arc<str>,
}

/// How a change ended.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRecord {
    /// That of the intent.
    pub token: Arc<str>,
    /// What is owned from now on. Also with `Pending` and `Unsettled`, so that an identity is never lost.
    pub edits: Vec<Edit>,
    pub ending: Ending,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It took effect. The intent is closed.
    Settled,
    /// It goes on in the remote system; the handle is for `operations.poll`. The intent stays open.
    Pending(Arc<str>),
    /// It did not take effect; says why. The intent is closed.
    Rejected(String),
    /// Nobody knows; says why. The intent stays open until evidence settles it.
    Unsettled(String),
}

/// What evidence or a person said about a change in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The object is as it was before.
    Undone,
    /// The object is as it was wanted.
    Done,
    /// A person named the object that came of it.
    Adopted,
    /// A person said that nothing came of it.
    Absent,
}

/// One change of what an environment owns.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Owns the object from now on. `applied` is the document that was applied; none keeps the one that is stored.
    Put { entry: Box<Entry>, target: Arc<str>, applied: Option<Arc<Json>> },
    /// Owns it no more. Nothing to do where it never did.
    Remove(Address),
    /// The observed digest that was found to agree with the applied document.
    Agreed(Address, Digest),
    /// What the document of this entry claims waits for a permission again ([`Entry::claims`]); the rest stays as it is given.
    Unsettle(Box<Entry>),
}

/// What an apply stands on, recorded before its first effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groundwork {
    /// Providers' aliases, old and new: everything of the environment that is under the old one gets the new one, with a line
    /// in the audit log for each entry. Comes first; an object that is owned under both is an error.
    pub renames: Vec<(String, String)>,
    /// Changes that a crash left, by token, as the world tells them, with what is owned from then on.
    pub resolved: Vec<(Arc<str>, Verdict, Vec<Edit>)>,
    /// Changes of what is owned without any change being sent (adopt, forget, move); each gets a line in the audit log.
    pub edits: Vec<Edit>,
    /// Digests that were found to agree with applied documents. They leave no line.
    pub agreed: Vec<(Address, Digest)>,
}

impl Groundwork {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.renames.is_empty() && self.resolved.is_empty() && self.edits.is_empty() && self.agreed.is_empty()
    }
}

/// Who owns an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub environment: String,
    pub resource: ResourceId,
}

/// What was observed of one scope, kept for the next pass. Losable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRecord {
    pub scope: Scope,
    /// For `scope-query.since`.
    pub version: Option<String>,
    /// In a form of the caller's choosing.
    pub objects: Arc<[u8]>,
}

/// A plan kept for `apply --plan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedPlan {
    pub environment: String,
    pub digest: Digest,
    /// The JSON of `--out`.
    pub json: String,
    /// Milliseconds since 1970.
    pub saved: u64,
}

/// What is known of a run when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    pub environment: String,
    /// Commit, `+worktree` where files were taken from there.
    pub revision: String,
    pub plan: Option<Digest>,
    /// `apply`, `destroy`, `adopt` …
    pub command: String,
    pub actor: String,
}

/// One run of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub about: NewRun,
    /// Milliseconds since 1970.
    pub began: u64,
    /// None while it runs, and for one that was killed.
    pub ended: Option<u64>,
    /// `done`, `failed` …; none while `ended` is.
    pub outcome: Option<String>,
    /// One count per action; null while `ended` is none.
    pub counts: Json,
}

/// What the engine remembers. Calls block until answered, for milliseconds; a [`Commit`] may be awaited or waited for,
/// and resolves when its change is durable. A change whose commit is dropped is made all the same.
pub trait Store: Send + Sync {
    /// What the environment owns, in a stable order (scope by scope, then by key). Documents are not read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] where a row is not what was written.
    fn inventory(&self, environment: &str) -> Result<Vec<Entry>, StoreError>;

    /// The documents last applied, in the order of `addresses`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] where a document is not what was written.
    fn applied(&self, environment: &str, addresses: &[Address]) -> Result<Vec<Option<Arc<Json>>>, StoreError>;

    /// Who owns these objects (by target, then by kind, scope and key; the alias does not matter), in order.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn owners(&self, objects: &[(&str, &Address)]) -> Result<Vec<Option<Owner>>, StoreError>;

    /// Alias and kind of all that an environment has, or once had: what its provider has to know of.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn owned_kinds(&self, environment: &str) -> Result<Vec<(String, String)>, StoreError>;

    /// Where else than at `target` an environment has objects or changes under way that belong to `provider`: other targets.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn elsewhere(&self, environment: &str, provider: &str, target: &str) -> Result<Vec<String>, StoreError>;

    /// Environments that own something or have changes under way, by name.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn environments(&self) -> Result<Vec<String>, StoreError>;

    /// A copy of what an environment owns and has under way, for a recording: bytes from which [`SqliteStore`] opens. Of other
    /// environments it holds who owns what at these targets, and no document. None where this kind of store has no such copy.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn export(&self, environment: &str, targets: &[&str]) -> Result<Option<Vec<u8>>, StoreError> {
        let _ = (environment, targets);
        Ok(None)
    }

    /// Changes that were announced and are not settled, oldest first.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn intents(&self, environment: &str) -> Result<Vec<Intent>, StoreError>;

    /// Announces changes: durable when the commit resolves. All or none.
    ///
    /// Resolves to [`StoreError::Owned`] where another environment owns one of the objects or is changing it.
    fn intend(&self, environment: &str, run: RunId, intents: Vec<IntentRecord>) -> Commit<()>;

    /// Records how changes ended: durable when the commit resolves. All or none.
    ///
    /// Resolves to [`StoreError::NoIntent`] where one was not announced or is settled already.
    fn outcome(&self, environment: &str, run: RunId, outcomes: Vec<OutcomeRecord>) -> Commit<()>;

    /// Settles a change in doubt, together with what is owned from now on.
    ///
    /// Resolves to [`StoreError::NoIntent`] where it is not open.
    fn close_intent(&self, environment: &str, run: Option<RunId>, token: &str, verdict: Verdict, edits: Vec<Edit>) -> Commit<()>;

    /// Changes what is owned without any change having been sent (adopt, forget, move), all or none, with a line in the
    /// audit log for each that says `reason`.
    fn edit(&self, environment: &str, run: Option<RunId>, reason: &str, edits: Vec<Edit>) -> Commit<()>;

    /// Records what an apply stands on: all or none, so that no kill leaves the half of it.
    ///
    /// Resolves to [`StoreError::NoIntent`] where a resolved change is not open.
    fn prepare(&self, environment: &str, run: RunId, ground: Groundwork) -> Commit<()>;

    /// What was last observed, scope by scope. Empty where it was lost.
    ///
    /// # Errors
    ///
    /// Those of reading; a damaged cache is emptied instead.
    fn scopes(&self, environment: &str) -> Result<Vec<ScopeRecord>, StoreError>;

    /// Replaces what was last observed of these scopes.
    ///
    /// # Errors
    ///
    /// Those of writing.
    fn put_scopes(&self, environment: &str, scopes: Vec<ScopeRecord>) -> Result<(), StoreError>;

    /// What the last look at an environment's objects came to, as it was put. None where it was lost.
    ///
    /// # Errors
    ///
    /// Those of reading; a damaged cache is emptied instead.
    fn look(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces what the last look at an environment's objects came to.
    ///
    /// # Errors
    ///
    /// Those of writing.
    fn put_look(&self, environment: &str, look: Vec<u8>) -> Result<(), StoreError>;

    /// Keeps a plan; of each environment the newest 100 are kept.
    fn save_plan(&self, environment: &str, digest: Digest, json: String) -> Commit<()>;

    /// The plan whose digest begins with `id`: `sha256:` and 64 digits, or 8 or more digits, with or without `p-`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Ambiguous`] where several do.
    fn plan(&self, id: &str) -> Result<Option<SavedPlan>, StoreError>;

    /// Begins a run in the history.
    fn begin_run(&self, run: NewRun) -> Commit<RunId>;

    /// Ends a run.
    fn end_run(&self, run: RunId, outcome: &str, counts: Json) -> Commit<()>;

    /// The newest `limit` runs, of one environment or of all, newest first.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn history(&self, environment: Option<&str>, limit: usize) -> Result<Vec<Run>, StoreError>;

    /// The newest `limit` lines of the audit log that concern a run, a resource, or both; newest first.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn audit(&self, run: Option<RunId>, resource: Option<&ResourceId>, limit: usize) -> Result<Vec<AuditRow>, StoreError>;

    /// Walks the audit log's chain of hashes. The inner error is the first line that does not fit.
    ///
    /// # Errors
    ///
    /// Those of reading.
    fn verify(&self) -> Result<Result<Verified, BadRow>, StoreError>;
}

/// All that apply knows of the store: one run's announcements and outcomes.
pub trait Recorder: Send + Sync {
    /// Announces changes; see [`Store::intend`].
    fn intend(&self, intents: Vec<IntentRecord>) -> Commit<()>;

    /// Records how changes ended; see [`Store::outcome`].
    fn outcome(&self, outcomes: Vec<OutcomeRecord>) -> Commit<()>;
}

/// The recorder of one run.
#[derive(Clone)]
pub struct RunRecorder {
    pub store: Arc<dyn Store>,
    pub environment: Arc<str>,
    pub run: RunId,
}

impl Recorder for RunRecorder {
    fn intend(&self, intents: Vec<IntentRecord>) -> Commit<()> {
        self.store.intend(&self.environment, self.run, intents)
    }

    fn outcome(&self, outcomes: Vec<OutcomeRecord>) -> Commit<()> {
        self.store.outcome(&self.environment, self.run, outcomes)
    }
}
