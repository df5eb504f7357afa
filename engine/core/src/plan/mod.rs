//! The plan: the ordered steps from observed to desired, with reasons and a digest.
//!
//! [`needs`] says which documents must be loaded (none for an object whose digests say that it is in sync); [`plan`] joins
//! what is desired, owned and observed and decides for each object. The stages, a file each:
//! `intents` (what a crash left) → `join` (which entry and which object belong to a resource) → `judge` (one desired
//! object), `prune` (what is owned and not desired) and `claim` (what is nobody's, where a document claims all) → `order` and `nest` (edges, and what a refusal means for
//! neighbours) → `digest`. Later, `verdicts` merges a plugin's say, and `late` compares again once an unknown is known.
//!
//! Invariants: nothing is deleted that is neither owned nor claimed, or without a whole view of its scope; nothing is created where
//! absence was not seen; equal inputs in any order give equal plans.

mod claim;
mod digest;
mod intents;
mod join;
mod judge;
mod late;
mod nest;
mod order;
mod prune;
mod verdicts;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::address::{Address, ResourceId, Scope};
use crate::diagnostic::{Code, Location};
use crate::document::{DriftMode, Settings};
use crate::inventory::{Entry, Intent, Ownership};
use crate::manifest::{Claim, Kind, ReplaceOrder};
use crate::observation::{Observed, ScopeView};
use crate::value::{Digest, Json, Path};

pub use crate::diff::{Change, Origin};
pub use digest::digest;
pub use intents::{Evidence, Resolved};
pub use judge::realm;
pub use late::{Late, Outputs, known_outputs, settle};
pub use verdicts::{Verdict, apply_verdicts};

/// One object that the environment's documents ask for; its document is loaded only where [`needs`] asks for it.
#[derive(Clone, Debug)]
pub struct Desired {
    pub resource: ResourceId,
    pub address: Address,
    /// Digest of the document, with unknowns and secrets as markers.
    pub digest: Digest,
    pub settings: Arc<Settings>,
    /// What must be there first.
    pub after: Arc<[ResourceId]>,
    /// Objects of the same resource that must be there first.
    pub siblings: Arc<[Address]>,
    pub location: Location,
    pub kind: Arc<Kind>,
    /// Whether it claims every other object of its scope ([`Kind::claim`] of its document).
    pub claims: Option<Arc<Claim>>,
}

/// What the operator allows and asks for; never the repository's to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Most deletions (those of replacements too) that a plan may hold, in place of the limits.
    pub allow_deletes: Option<usize>,
    /// Create again, or forget, what vanished from a scope all at once.
    pub allow_recreate: bool,
    /// Claim every declared object that exists.
    pub adopt_declared: bool,
    /// Turn ownership that rests on a mark alone into full ownership.
    pub adopt_recovered: bool,
    /// Delete everything owned; nothing is desired.
    pub destroy: bool,
    /// The environment's mode, for documents that name none.
    pub drift: DriftMode,
}

/// All that a plan depends on, but for the documents. Order within the slices does not matter; planning is fastest when
/// both `desired` and `entries` are sorted by resource, then address.
pub struct World<'a> {
    pub environment: &'a str,
    pub desired: &'a [Desired],
    pub entries: &'a [Entry],
    pub intents: &'a [Intent],
    /// Scopes without a view count as not observed.
    pub views: &'a BTreeMap<Scope, ScopeView>,
    /// By alias: providers that failed before anything of theirs could be compared.
    pub halted: &'a BTreeMap<Arc<str>, Halted>,
    /// Resources whose document cannot be made whole: it reads an output that is not there.
    pub unmade: &'a BTreeMap<ResourceId, Unmade>,
    /// Who else owns the object, if somebody does.
    pub others: &'a (dyn Fn(&Address) -> Option<Holder> + Sync),
    /// The kind of objects that are owned and no longer desired; None where the provider does not have it (any more).
    pub kinds: &'a (dyn Fn(&Scope) -> Option<Arc<Kind>> + Sync),
    /// The mark that an object of this resource carries.
    pub mark: &'a (dyn Fn(&ResourceId) -> String + Sync),
    /// Shortest unambiguous form of an identity, for people.
    pub shown: &'a (dyn Fn(&ResourceId) -> String + Sync),
    /// Milliseconds since 1970.
    pub now_ms: u64,
    pub options: Options,
}

/// Somebody else who owns an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub environment: Arc<str>,
    /// The resource, where it is one of this environment: through another provider that leads to the same place.
    pub through: Option<ResourceId>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.through {
            None => write!(f, "the environment `{}`", self.environment),
            Some(resource) => write!(f, "the environment `{}` as `{resource}`", self.environment),
        }
    }
}

/// Why nothing is decided for a provider in this pass: its plugin was stopped, crashed or broke the contract. Everything it
/// has, declared or owned, is refused with this reason; what other providers have is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    pub code: Code,
    pub reason: String,
}

/// Why a resource has no whole document in this pass. It is refused with this reason; others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    pub code: Code,
    pub reason: String,
    pub hint: Option<String>,
}

impl World<'_> {
    /// Why nothing is decided for the provider of `scope`, if nothing is.
    pub(crate) fn halted(&self, scope: &Scope) -> Option<&Halted> {
        // Asked for every object, and hardly ever is there one.
        if self.halted.is_empty() { None } else { self.halted.get(&scope.provider) }
    }
}

/// Documents that [`plan`] wants. Observed documents are to be put into the views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Indexes into [`World::desired`].
    pub desired: Vec<usize>,
    /// Last applied documents, by the address of their entry.
    pub applied: Vec<Address>,
    /// Objects whose [`Observed::doc`] is needed, by the address they were observed at.
    pub observed: Vec<Address>,
}

/// The documents that [`needs`] asked for.
#[derive(Clone, Debug, Default)]
pub struct Docs {
    /// By index into [`World::desired`]; digests to [`Desired::digest`].
    pub desired: HashMap<usize, Arc<Json>>,
    pub applied: HashMap<Address, Arc<Json>>,
}

/// What a step does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Create,
    Update,
    /// Delete and create of one resource, in the order the kind or the document says.
    Replace(ReplaceOrder),
    Delete,
    /// Take an existing object under management; its differences are updated in the same step. Without a desired
    /// document only the ownership changes.
    Adopt,
    /// Ownership goes to another resource (`moved-from`, or old and new render to one object); nothing is sent.
    Move,
    /// Release without deleting.
    Forget,
}

impl Action {
    /// The word for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace(_) => "replace",
            Self::Delete => "delete",
            Self::Adopt => "adopt",
            Self::Move => "move",
            Self::Forget => "forget",
        }
    }

    /// Whether an object goes: what limits and protection are about.
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::Replace(_))
    }
}

/// Code of the reason why an object becomes ours by a person's word, whosever it was.
pub const CLAIMED: &str = "claimed";
/// Code of the reason why an object is written that is taken over as it is.
pub const UNMARKED: &str = "unmarked";

/// Why a step is in the plan; stable code, words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `new changed drifted immutable removed destroyed moved renamed claimed mark recovered vanished deposed replaced
    /// gone released collision unsettled plugin unmarked`
    pub code: &'static str,
    pub text: String,
    pub path: Option<Path>,
}

impl Reason {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), path: None }
    }

    pub(crate) fn at(mut self, path: Path) -> Self {
        self.path = Some(path);
        self
    }
}

/// One action on one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub action: Action,
    pub resource: ResourceId,
    /// The entry that the step's own takes the place of, where that is another resource's or at another address: of a move or
    /// update, where ownership comes from; of a replacement, the old object; of a create, an entry whose object is gone.
    pub from: Option<Moved>,
    pub address: Address,
    pub reasons: Vec<Reason>,
    /// For a create: every leaf. For a delete: what goes, at the fields we own.
    pub changes: Vec<Change>,
    /// What is to be sent: canonical, with unknowns and secrets as markers, and with the observed values at ignored
    /// paths. None for deletes, forgets.
    pub desired: Option<Arc<Json>>,
    /// Digest of the declared document ([`Desired::digest`]), which is what the inventory keeps.
    pub desired_digest: Option<Digest>,
    /// What was observed: None where nothing is there.
    pub prior: Option<Arc<Observed>>,
    /// Steps (by index in [`Plan::steps`]) that must be done before this one.
    pub after: Vec<usize>,
    /// Where the resource is declared; None for what is gone from Git.
    pub location: Option<Location>,
    /// Index into [`World::desired`]; None for what is gone from Git.
    pub source: Option<usize>,
    /// How the object is owned once the step is done.
    pub ownership: Ownership,
    /// Token of an intent that a crash left and that this step finishes: an earlier try may have taken effect.
    pub token: Option<Arc<str>>,
    /// Of a delete of what is nobody's: who claims it.
    pub claim: Option<Claimed>,
    /// The order of its kind ([`Kind::order`]), for a delete the reverse: of the same provider, what makes and what deletes each go by
    /// it, as far as nothing else says so.
    pub rank: i32,
}

/// The claim that a delete rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Index of the claiming document into [`World::desired`].
    pub by: usize,
    /// Nobody was ever told that this is claimed: it waits for the operator's word.
    pub new: bool,
}

/// A claim that this plan acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Index of the claiming document into [`World::desired`].
    pub desired: usize,
    /// Nothing waits that is claimed for the first time, all of the scope was seen, and nothing in it is being released: what
    /// [`Entry::claims`] is to say.
    pub settled: bool,
    /// What is claimed for the first time.
    new: Vec<Address>,
}

/// The other end of a move or replacement.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    pub resource: ResourceId,
    pub address: Address,
    /// The old object, where it is another one than [`Step::prior`].
    pub prior: Option<Arc<Observed>>,
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
    pub address: Address,
    /// Empty where the object is gone.
    pub changes: Vec<Change>,
    /// The whole object vanished.
    pub gone: bool,
    /// `Warn` or `Off`: whether people want to be told.
    pub mode: DriftMode,
}

/// An object found equal to its document whose inventory entry must be written anew, without a step: the declaration moved
/// in a way that changes nothing out there (a setting, an edge, a value that the object had already).
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Index into [`World::desired`].
    pub desired: usize,
    pub identity: Arc<str>,
    /// The observed digest, for [`Entry::agreed`].
    pub agreed: Digest,
    pub ownership: Ownership,
}

/// An object whose dependents begin only once its `wait-for` holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// Index into [`World::desired`].
    pub desired: usize,
    pub resource: ResourceId,
    pub address: Address,
    /// The text of the condition.
    pub condition: Arc<str>,
    /// The step that makes the object so (by index in [`Plan::steps`]). None: nothing about the object changes, and it is
    /// waited for all the same.
    pub step: Option<usize>,
    /// Steps that wait for it, where it has none of its own; else the edges say so.
    pub before: Vec<usize>,
}

/// The ordered steps from observed to desired.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In graph order: a step stands behind all that it waits for; ties by id.
    pub steps: Vec<Step>,
    /// By resource, then address.
    pub refused: Vec<Refused>,
    pub drift: Vec<Drifted>,
    pub unchanged: usize,
    /// Objects found equal by comparison, with the observed digest to remember ([`Entry::agreed`]).
    pub agreed: Vec<(Address, Digest)>,
    /// Entries to write anew without a step. Never also in `agreed`.
    pub records: Vec<Record>,
    /// Intents whose outcome the world tells; to be recorded before any step runs.
    pub resolved: Vec<Resolved>,
    /// By index of the claiming document.
    pub claims: Vec<Claims>,
    /// By index of the desired object.
    pub waits: Vec<Wait>,
    pub digest: Digest,
}

impl Plan {
    /// Whether there is nothing to do and nothing refused.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.refused.is_empty()
    }

    /// What the entry of a desired object is to say of its claim, once this plan is carried out: [`Entry::claims`].
    pub fn claims(&self, desired: usize) -> bool {
        let found = self.claims.binary_search_by_key(&desired, |it| it.desired);
        found.ok().and_then(|at| self.claims.get(at)).is_some_and(|it| it.settled)
    }
}

/// Which documents [`plan`] must have. An object whose desired, applied, observed and agreed digests say that it is in sync
/// needs none.
pub fn needs(world: &World<'_>) -> Needs {
    let doubts = intents::Doubts::unjudged(world);
    let joined = join::Join::new(world, &doubts);
    let mut out = Needs::default();
    for pair in &joined.pairs {
        out.desired.push(pair.index);
        out.applied.extend(pair.held.map(|held| held.address.clone()));
        out.observed.extend([pair.old.seen(), pair.new.seen()].into_iter().flatten().map(|it| it.address.clone()));
    }
    for left in &joined.leftovers {
        if let Some(observed) = left.look.seen() {
            out.applied.push(left.held.address.clone());
            out.observed.push(observed.address.clone());
        }
    }
    doubts.needs(world, &mut out);
    out.observed.extend(claim::needs(world, &doubts, &joined));
    out.desired.sort_unstable();
    out.desired.dedup();
    out.applied.sort_unstable();
    out.applied.dedup();
    out.observed.sort_unstable();
    out.observed.dedup();
    out
}

/// Plans every object; see the module. Documents that [`needs`] names and `docs` (or the views) lack make the object
/// refused, never guessed.
///
/// [`Plan::digest`] is that of the steps alone; the caller adds what it knows of plugins with [`digest`].
pub fn plan(world: &World<'_>, docs: &Docs) -> Plan {
    let mut draft = Draft::default();
    let doubts = intents::Doubts::judge(world, docs);
    let joined = join::Join::new(world, &doubts);
    draft.plan.unchanged = joined.unchanged;
    judge::pairs(world, docs, &doubts, &joined, &mut draft);
    prune::leftovers(world, docs, &doubts, &joined, &mut draft);
    intents::refuse_loose(&doubts, &joined, &mut draft);
    claim::plan(world, docs, &doubts, &joined, &mut draft);
    draft.plan.resolved.clone_from(&doubts.resolved);
    doubts.close_unused(&mut draft);
    finish(world, draft)
}

/// A plan in the making: steps are in no order and have no edges yet.
#[derive(Default)]
pub(crate) struct Draft {
    pub plan: Plan,
    /// Resources that would be created and are not, so that nothing can build on them.
    pub missing: Vec<ResourceId>,
    /// Resources whose object stays though it was to go, or to let go of what it depends on.
    pub staying: Vec<ResourceId>,
}

impl Draft {
    pub(crate) fn refuse(&mut self, refused: Refused) {
        self.plan.refused.push(refused);
    }
}

/// Limits, consequences of refusals, order, digest.
pub(crate) fn finish(world: &World<'_>, mut draft: Draft) -> Plan {
    nest::collide(world, &mut draft.plan.steps);
    order::skip_siblings(world, &mut draft);
    order::skip_dependents(world, &mut draft);
    claim::withdraw(world, &mut draft);
    order::keep_what_is_used(world, &mut draft);
    prune::limits(world, &mut draft);
    claim::withdraw(world, &mut draft);
    // What the limits keep may stand in what they do not count.
    order::keep_what_is_used(world, &mut draft);
    claim::settle(&mut draft);
    order::arrange(world, &mut draft.plan);
    let plan = &mut draft.plan;
    plan.refused.sort_by(|a, b| (&a.resource, &a.address, a.code).cmp(&(&b.resource, &b.address, b.code)));
    plan.drift.sort_by(|a, b| (&a.resource, &a.address).cmp(&(&b.resource, &b.address)));
    plan.agreed.sort_unstable();
    plan.records.sort_unstable_by_key(|it| it.desired);
    plan.digest = digest(plan, &[]);
    draft.plan
}

#[cfg(test)]
mod tests;
