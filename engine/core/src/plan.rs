//! The plan: the ordered steps from observed to desired, with reasons and a digest.

use std::sync::Arc;

use crate::address::{Address, ResourceId};
use crate::diagnostic::{Code, Location};
use crate::manifest::ReplaceOrder;
use crate::value::{Digest, Json, Path};

/// What a step does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Create,
    Update,
    /// Delete and create of one resource, in the order the kind or the document says.
    Replace(ReplaceOrder),
    Delete,
    /// Take an existing object under management; its differences are updated in the same step.
    Adopt,
    /// Ownership goes to another resource (`moved-from`, or old and new render to one object); nothing is sent.
    Move,
    /// Release without deleting.
    Forget,
}

/// Where a difference comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A new revision wants it.
    Git,
    /// The world moved away from the last applied document.
    Drift,
    Both,
}

/// One difference of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub path: Path,
    /// None: the field is not there.
    pub before: Option<Json>,
    pub after: Option<Json>,
    pub origin: Origin,
}

/// Why a step is in the plan; stable code, words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `new`, `changed`, `drifted`, `immutable`, `removed`, `moved`, `claimed`, `plugin`, `deposed` …
    pub code: &'static str,
    pub text: String,
    pub path: Option<Path>,
}

/// One action on one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub action: Action,
    pub resource: ResourceId,
    /// Where the resource's old object is, if the step replaces one at another address or moves it.
    pub from: Option<Moved>,
    pub address: Address,
    pub reasons: Vec<Reason>,
    pub changes: Vec<Change>,
    /// Canonical, with unknowns and secrets as markers. None for deletes, forgets.
    pub desired: Option<Arc<Json>>,
    pub desired_digest: Option<Digest>,
    /// What was observed: None where nothing is there.
    pub prior: Option<Arc<crate::observation::Observed>>,
    /// Steps (by index in [`Plan::steps`]) that must be done before this one.
    pub after: Vec<usize>,
    /// Where the resource is declared; None for what is gone from Git.
    pub location: Option<Location>,
}

/// The other end of a move or replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub resource: ResourceId,
    pub address: Address,
}

/// Something wanted that this plan will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub resource: ResourceId,
    pub address: Option<Address>,
    pub code: Code,
    pub reason: String,
    pub hint: Option<String>,
    pub location: Option<Location>,
}

/// Drift that is only told of (`drift: warn|off`).
#[derive(Clone, Debug, PartialEq)]
pub struct Drifted {
    pub resource: ResourceId,
    pub changes: Vec<Change>,
}

/// The ordered steps from observed to desired.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In graph order: a step stands behind all that it waits for; ties by id.
    pub steps: Vec<Step>,
    pub refused: Vec<Refused>,
    pub drift: Vec<Drifted>,
    pub unchanged: usize,
    /// Objects found equal by comparison, with the observed digest to remember ([`crate::inventory::Entry::agreed`]).
    pub agreed: Vec<(Address, Digest)>,
    pub digest: Digest,
}
