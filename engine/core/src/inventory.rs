//! What an environment owns.

use std::sync::Arc;

use crate::address::{Address, ResourceId};
use crate::value::{Digest, Json};

/// How ownership came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// We created or adopted the object: it may be updated and deleted.
    Owned,
    /// Found by its mark alone (the state was lost), or where an interrupted create was to put it and not as that was to make
    /// it: it may be updated, never deleted, until `adopt --recovered`.
    Recovered,
    /// The old half of a create-first replacement, still to be deleted.
    Deposed,
}

/// One owned object, without its document (that is read only for objects that differ).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub resource: ResourceId,
    pub address: Address,
    /// What the remote system calls it.
    pub identity: Arc<str>,
    pub ownership: Ownership,
    /// Digest of the desired document that was last applied (secrets as HMACs).
    pub applied: Digest,
    /// Digest of the observed document when it was last found equal to the applied one: equal again means in sync
    /// without a comparison.
    pub agreed: Option<Digest>,
    /// Objects that must outlive this one: it is deleted before them.
    pub after: Arc<[ResourceId]>,
    /// Objects of the same resource that must outlive this one.
    pub siblings: Arc<[Address]>,
    /// `trueup.dev/protect` when last applied: it holds although the document is gone.
    pub protect: bool,
    /// False: `trueup.dev/prune: "false"` when last applied; the object is forgotten, not deleted.
    pub prune: bool,
    /// The document last applied holds a secret: what is observed of the object is sealed by it.
    pub secrets: bool,
    /// What its document claims ([`crate::manifest::Claim`]) is known to the operator: nothing of it waits for a first permission.
    pub claims: bool,
}

/// A change whose intent is durable and whose outcome is not: what a crash leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Drawn at random, 32 hex digits; the same on every try of this change.
    pub token: Arc<str>,
    pub resource: ResourceId,
    pub address: Address,
    pub action: IntentAction,
    /// Digest of the observed document before, if there was an object.
    pub prior: Option<Digest>,
    /// Digest of the desired document, but for a delete.
    pub desired: Option<Digest>,
    /// What is sent, secrets as HMACs, but for a delete: after a crash the object is compared with it, whatever Git says by then.
    pub document: Option<Arc<Json>>,
    /// As [`Entry::after`], [`Entry::siblings`], [`Entry::protect`] and [`Entry::prune`] will be where the change takes effect.
    pub after: Arc<[ResourceId]>,
    pub siblings: Arc<[Address]>,
    pub protect: bool,
    pub prune: bool,
    /// Handle of an operation that was pending when the run ended, for `operations.poll`.
    pub operation: Option<Arc<str>>,
    /// When the intent was made durable, in milliseconds since 1970: absence proves nothing within the kind's settle time.
    pub started_ms: u64,
}

/// What the intent was going to do to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentAction {
    Create,
    Update,
    Delete,
}
