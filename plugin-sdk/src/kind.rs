//! Kinds as Rust types, and the three ways to serve one.
//!
//! [`Crud`] has one function for each thing that can be done to one object; [`Scan`] lists a scope; [`ApplyBatch`] takes
//! many changes at once. `#[provider]` names the kinds of each: `crud(A)` alone, `scan(A), crud(A)`, or `scan(A), batch(A)`.
//! With both, `scan` observes, and `find` is the look at one object: after a change, and before a create is tried again.
//!
//! A change that takes the service longer than a request is answered at once: [`Found::pending`] for what is being made,
//! [`Deleted::later`] for what is going. The engine then asks again, and [`Crud::poll`] answers it, by default with a look.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::healthy;
use crate::serve;
use crate::{Address, CallInfo, Change, Coverage, Gone, Health, HealthState, Pending, Result, Schema, ScopeQuery};

/// Settings of a provider: `#[derive(Settings, Deserialize)]`.
pub trait Settings: Schema + DeserializeOwned + 'static {}

/// The type of a kind's `spec`: `#[derive(Kind, Serialize, Deserialize)]` with `#[kind(…)]`:
///
/// | part | meaning |
/// |---|---|
/// | `name = "Note"` | as documents write it, with the group where it has one; by default the type's name |
/// | `scope = "zone"`, `key = "{subname}/{rtype}"` | the address, from fields; by default no scope, and the document's name as key |
/// | `status = NoteStatus` | type of the outputs |
/// | `batch = 500`, `bytes = 65536`, `atomic` | limits of one `apply`, for `batch(…)` |
/// | `recover = "key"` | or `token`, `mark`, `conditional` (as `key`, and a create makes the whole object where none is, or nothing), `none`: what finds an object whose create was interrupted |
/// | `settle = 5000` | milliseconds for which absence proves nothing after an interrupted create |
/// | `replace = "create-first"` | or `delete-first`, the default |
/// | `version = 2` | of the schema |
pub trait Kind: Schema + Serialize + DeserializeOwned + 'static {
    /// As documents write it.
    const NAME: &'static str;
    /// Text and field names in turn, text first; empty: no scope.
    const SCOPE: &'static [&'static str];
    /// As [`SCOPE`](Self::SCOPE); empty: the document's name.
    const KEY: &'static [&'static str];
    /// Outputs of an object: what `.status.x` reads.
    type Status: Schema + Serialize + Default;

    /// The rest of what the manifest says.
    fn options() -> Options;
}

/// What a kind's manifest says beside its schema.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub schema_version: u32,
    /// 0: one change at a time.
    pub batch_items: u32,
    pub batch_bytes: u32,
    pub atomic: bool,
    pub recover: &'static str,
    /// Milliseconds.
    pub settle_time: u64,
    pub replace: &'static str,
}

/// One object as the remote system has it.
pub struct Found<K: Kind> {
    pub spec: K,
    pub status: K::Status,
    /// What the remote system calls it; empty: by its key.
    pub identity: String,
    /// Entity tag, resource version or serial.
    pub version: Option<String>,
    /// The engine's mark, where the object carries one.
    pub mark: Option<String>,
    pub health: Health,
    /// The change is accepted and not finished: [`Found::pending`].
    pub pending: Option<Pending>,
    /// The address, where it is not to be taken from the spec.
    pub address: Option<Address>,
}

impl<K: Kind> Found<K> {
    /// A healthy object with nothing but its spec.
    pub fn new(spec: K) -> Self {
        let status = K::Status::default();
        let (identity, health) = (String::new(), healthy());
        Self { spec, status, identity, version: None, mark: None, health, pending: None, address: None }
    }

    /// Sets what the remote system calls it.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = identity.into();
        self
    }

    /// Sets its entity tag, resource version or serial.
    #[must_use]
    pub fn version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }

    /// Sets its outputs.
    #[must_use]
    pub fn status(mut self, status: K::Status) -> Self {
        self.status = status;
        self
    }

    /// Sets the mark that was found on it.
    #[must_use]
    pub fn mark(mut self, mark: Option<String>) -> Self {
        self.mark = mark;
        self
    }

    /// Says that it is there and not finished: the engine asks again after so many milliseconds, and shows the message. As
    /// the answer to a create or update it keeps the change open; in any answer the object's health is `progressing`.
    #[must_use]
    pub fn pending(mut self, millis: u64, message: impl Into<String>) -> Self {
        let message = message.into();
        self.health = Health { state: HealthState::Progressing, message: message.clone() };
        self.pending = Some(Pending { operation: String::new(), after: millis, message, ext: Vec::new() });
        self
    }

    /// What the service calls the operation under way, for [`Crud::poll`]. Of no effect unless `pending`.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        if let Some(pending) = &mut self.pending {
            pending.operation = operation.into();
        }
        self
    }
}

/// What a delete came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted {
    /// It is no longer there.
    Gone,
    /// Accepted; it is there for a while yet.
    Later(Pending),
}

impl Deleted {
    /// Accepted: the engine asks again after so many milliseconds, and shows the message meanwhile.
    pub fn later(millis: u64, message: impl Into<String>) -> Self {
        Self::Later(Pending { operation: String::new(), after: millis, message: message.into(), ext: Vec::new() })
    }

    /// What the service calls the operation under way, for [`Crud::poll`].
    #[must_use]
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        if let Self::Later(pending) = &mut self {
            pending.operation = name.into();
        }
        self
    }
}

/// What is asked for, or about to be changed.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a, K> {
    pub address: &'a Address,
    /// What the remote system calls it, where that is known.
    pub identity: Option<&'a str>,
    /// As declared, where it is.
    pub desired: Option<&'a K>,
    /// The mark that the object would carry. Absent in a plain look.
    pub mark: Option<&'a str>,
    /// The token of the change.
    pub token: Option<&'a str>,
    /// The version that was observed: the precondition of an update or delete.
    pub version: Option<&'a str>,
    pub info: &'a CallInfo,
}

impl<K> Target<'_, K> {
    /// What names the object: its identity, else its key.
    pub fn name(&self) -> &str {
        self.identity.filter(|it| !it.is_empty()).unwrap_or(&self.address.key)
    }

    /// The token of a change; empty in a look.
    pub fn token(&self) -> &str {
        self.token.unwrap_or_default()
    }
}

/// One object at a time.
pub trait Crud<K: Kind> {
    /// The object, if it is there. Serves observation, and the look before a create is tried again.
    ///
    /// # Errors
    /// Where it cannot be told; an error is never taken for absence.
    fn find(&self, target: &Target<'_, K>) -> Result<Option<Found<K>>>;

    /// Creates it, and answers with what the server now has.
    ///
    /// # Errors
    /// `conflict` where an object of that name exists. An error that is `unsettled` is followed by a look.
    fn create(&self, target: &Target<'_, K>, desired: &K) -> Result<Found<K>>;

    /// Brings it to `desired`, and answers with what the server now has.
    ///
    /// # Errors
    /// `conflict` where it is no longer the version that was observed.
    fn update(&self, target: &Target<'_, K>, desired: &K) -> Result<Found<K>>;

    /// Deletes it. `not-found` counts as done.
    ///
    /// # Errors
    /// `conflict` where it is no longer the version that was observed.
    fn delete(&self, target: &Target<'_, K>) -> Result<Deleted>;

    /// How a change that was pending is coming along: the object as it now is (still [`Found::pending`], or not), none where
    /// it is not there. `operation` is what the answer before named. By default a look; a delete is over when it finds none.
    ///
    /// # Errors
    /// Where it cannot be told: what may pass is asked again, any other ends the change, and nobody knows how.
    fn poll(&self, target: &Target<'_, K>, operation: &str) -> Result<Option<Found<K>>> {
        let _ = operation;
        self.find(target)
    }
}

/// A page of a scope. The version may stand on any page; that of the first page that has one is the scan's, as what changes
/// between two pages must be seen again.
pub struct Page<K: Kind> {
    pub objects: Vec<Found<K>>,
    pub gone: Vec<Gone>,
    pub coverage: Coverage,
    pub next: Option<String>,
    pub version: Option<String>,
}

impl<K: Kind> Page<K> {
    /// All objects of the scope, if no page follows.
    pub fn whole(objects: Vec<Found<K>>) -> Self {
        Self { objects, gone: Vec::new(), coverage: Coverage::Whole, next: None, version: None }
    }

    /// Nothing changed since `query.since`.
    pub fn unchanged() -> Self {
        Self { coverage: Coverage::Unchanged, ..Self::whole(Vec::new()) }
    }

    /// There is another page.
    #[must_use]
    pub fn next(mut self, cursor: Option<String>) -> Self {
        self.next = cursor;
        self
    }

    /// State of the scope as of this answer.
    #[must_use]
    pub fn version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }
}

/// All objects of a scope.
pub trait Scan<K: Kind> {
    /// One page of them. `query.since` stands in the first query of a scan alone, and so only there may the answer be
    /// [`Page::unchanged`].
    ///
    /// # Errors
    /// Where it cannot be told; an error is never taken for absence.
    fn scan(&self, query: &ScopeQuery, info: &CallInfo) -> Result<Page<K>>;

    /// Looks through the pages of a scope for the object at an address: [`Crud::find`] of a service that cannot be asked for
    /// one by its key.
    ///
    /// # Errors
    /// As `scan`.
    fn search(&self, target: &Target<'_, K>) -> Result<Option<Found<K>>> {
        serve::search(|query| self.scan(query, target.info), target.address)
    }
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub struct Item<K> {
    /// Whole, for its token, mark and prior object.
    pub change: Change,
    /// None: delete it.
    pub desired: Option<K>,
}

/// Many objects of one scope at a time.
pub trait ApplyBatch<K: Kind> {
    /// Carries all out; answers each with the object as it now is, none after a delete.
    ///
    /// # Errors
    /// One error for all, where the server took none of them (or, `unsettled`, may have).
    fn apply(&self, scope: &str, items: &[Item<K>], info: &CallInfo) -> Result<Vec<Result<Option<Found<K>>>>>;
}
