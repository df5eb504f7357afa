//! What providers report of the objects in a scope.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::address::{Address, Scope};
use crate::value::{Digest, Json};

/// Health as the provider sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    Healthy,
    Progressing,
    Degraded,
    Suspended,
    Unknown,
}

/// One object as the remote system has it. Sensitive values are already HMACs.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub address: Address,
    pub identity: Arc<str>,
    /// Digest of `doc`'s canonical text.
    pub digest: Digest,
    /// None where the object is nobody's declared business, so that its content is not kept.
    pub doc: Option<Arc<Json>>,
    /// `.status` of expressions.
    pub outputs: Option<Arc<Json>>,
    pub version: Option<Arc<str>>,
    pub mark: Option<Arc<str>>,
    pub health: HealthState,
    pub health_message: Arc<str>,
    /// Its system needs it or makes it by itself: no claim of the scope is about it.
    pub unclaimed: bool,
}

/// What is known of one scope after this pass's observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Coverage {
    /// All objects of the scope are listed: absence is a fact.
    Whole,
    /// Something may be missing: absence proves nothing.
    Partial,
    /// These keys were asked for one by one: what is not there of them does not exist, and of all others nothing is known.
    Named(BTreeSet<Arc<str>>),
    /// It could not be read; the text says why, for people.
    Failed(String),
}

/// Observed objects of one scope by key.
#[derive(Clone, Debug)]
pub struct ScopeView {
    pub scope: Scope,
    pub coverage: Coverage,
    pub objects: BTreeMap<Arc<str>, Observed>,
}
