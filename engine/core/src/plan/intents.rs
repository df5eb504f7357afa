//! What a crash left: intents whose outcome was never recorded, judged by what is observed now.
//!
//! The world as it was before: undone. As desired: done, and the object is owned. Anything else is in doubt: it is finished
//! under the same token where the kind can find its object again, and waits for people where it cannot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::join::{Join, Look, Views};
use super::{Desired, Docs, Draft, Needs, Refused, World};
use crate::address::{Address, ResourceId};
use crate::diagnostic::codes;
use crate::diff;
use crate::inventory::{Entry, Intent, IntentAction, Ownership};
use crate::manifest::{Hints, Kind, Recover};
use crate::observation::Observed;
use crate::value::{Digest, Json};

/// What the world says of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It took effect.
    Done,
    /// It did not.
    Undone,
    /// Neither can be told, and nothing depends on it: the object is planned by what it is now.
    Superseded,
}

/// An intent to be closed before any step runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub token: Arc<str>,
    pub resource: ResourceId,
    pub address: Address,
    pub action: IntentAction,
    pub evidence: Evidence,
    /// The entry to write where a create or update is done. A delete that is done removes the entry of `address`.
    pub entry: Option<Entry>,
    /// The document that was applied, beside `entry`, where it is known.
    pub document: Option<Arc<Json>>,
}

/// An intent that a step may finish under its token.
#[derive(Debug)]
struct Unfinished {
    token: Arc<str>,
    resource: ResourceId,
    action: IntentAction,
    desired: Option<Digest>,
}

/// Why nothing may happen at an address yet.
#[derive(Debug)]
struct Waiting {
    resource: ResourceId,
    reason: String,
    hint: Option<&'static str>,
}

/// The verdicts on all intents, and the inventory as they leave it.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    pub resolved: Vec<Resolved>,
    /// Entries whose object a finished delete took.
    dropped: HashSet<Address>,
    /// Entries as a finished create or update leaves them, with the document that was applied if it is known.
    settled: BTreeMap<Address, (Entry, Option<Arc<Json>>)>,
    unfinished: HashMap<Address, Unfinished>,
    waiting: BTreeMap<Address, Waiting>,
    addresses: HashSet<Address>,
}

/// All that an intent's verdict depends on.
struct Case<'a> {
    world: &'a World<'a>,
    intent: &'a Intent,
    held: Option<&'a Entry>,
    look: Look<'a>,
    kind: Option<&'a Kind>,
    /// What the intent was to make of the object, where that is known.
    doc: Option<&'a Arc<Json>>,
    /// The declaration, where it still is just what the intent wanted.
    still_wanted: Option<&'a Desired>,
}

impl Doubts {
    /// Only which addresses are in doubt, for [`super::needs`].
    pub(super) fn unjudged(world: &World<'_>) -> Self {
        Self { addresses: world.intents.iter().map(|it| it.address.clone()).collect(), ..Self::default() }
    }

    /// Judges every intent. The observed and desired documents of their addresses are loaded.
    pub(super) fn judge(world: &World<'_>, docs: &Docs) -> Self {
        let mut out = Self::unjudged(world);
        if world.intents.is_empty() {
            return out;
        }
        let mut entries = HashMap::new();
        entries.extend(world.entries.iter().filter(|it| out.about(&it.address)).map(|it| (&it.address, it)));
        let desired = if world.options.destroy { &[] } else { world.desired };
        let mut wanted = HashMap::new();
        wanted
            .extend(desired.iter().enumerate().filter(|(_, it)| out.about(&it.address)).map(|(at, it)| (&it.address, (at, it))));
        let mut views = Views::new(world);
        for intent in world.intents {
            let held = entries.get(&intent.address).copied();
            let want = wanted.get(&intent.address).copied();
            let mark = || (world.mark)(&intent.resource);
            let look = views.find(&intent.address, held.map(|it| &*it.identity), Some(&mark));
            let kind = want.map(|(_, it)| it.kind.clone()).or_else(|| (world.kinds)(&intent.address.scope));
            let same = want.filter(|(_, it)| Some(it.digest) == intent.desired && it.resource == intent.resource);
            let doc = intent.document.as_ref().or_else(|| docs.desired.get(&same?.0));
            let still_wanted = same.map(|(_, it)| it);
            out.decide(&Case { world, intent, held, look, kind: kind.as_deref(), doc, still_wanted });
        }
        out
    }

    /// Entries of the world as settled intents leave them, and those that only an intent knows.
    pub(super) fn holdings<'a>(&'a self, world: &World<'a>) -> Vec<&'a Entry> {
        if self.settled.is_empty() {
            return world.entries.iter().collect();
        }
        let mut known = HashSet::new();
        let mut out: Vec<&Entry> = world
            .entries
            .iter()
            .map(|entry| match self.settled.get(&entry.address) {
                Some((settled, _)) => {
                    known.insert(&entry.address);
                    settled
                }
                None => entry,
            })
            .collect();
        out.extend(self.settled.iter().filter(|(address, _)| !known.contains(address)).map(|(_, (entry, _))| entry));
        out
    }

    /// Whether a finished delete took the object of this entry.
    pub(super) fn dropped(&self, held: &Entry) -> bool {
        !self.dropped.is_empty() && self.dropped.contains(&held.address)
    }

    /// Whether an intent is about this address.
    pub(super) fn about(&self, address: &Address) -> bool {
        !self.addresses.is_empty() && self.addresses.contains(address)
    }

    /// The document last applied to the object of this entry.
    pub(super) fn applied<'a>(&'a self, held: &Entry, docs: &'a Docs) -> Option<&'a Arc<Json>> {
        match self.settled.get(&held.address) {
            Some((_, Some(doc))) => Some(doc),
            _ => docs.applied.get(&held.address),
        }
    }

    /// Token of the intent that a step of this kind on this object finishes. A create under an old token must be the same
    /// create, as remote systems compare the two.
    pub(super) fn token(&self, address: &Address, action: IntentAction, desired: Option<Digest>) -> Option<Arc<str>> {
        let unfinished = self.unfinished.get(address).filter(|it| it.action == action)?;
        (action == IntentAction::Delete || unfinished.desired == desired).then(|| unfinished.token.clone())
    }

    /// Refuses what is in doubt at this address, if something is.
    pub(super) fn refusal(&self, address: &Address) -> Option<Refused> {
        self.waiting.get(address).map(|it| it.refused(address))
    }

    /// Closes intents that no step finishes and no refusal waits for: their objects turned out to need nothing of the kind.
    pub(super) fn close_unused(&self, draft: &mut Draft) {
        if self.unfinished.is_empty() {
            return;
        }
        let used: HashSet<&str> = draft.plan.steps.iter().filter_map(|it| it.token.as_deref()).collect();
        let refused: HashSet<&Address> = draft.plan.refused.iter().filter_map(|it| it.address.as_ref()).collect();
        let unused = self.unfinished.iter().filter(|(address, it)| !used.contains(&*it.token) && !refused.contains(address));
        let mut closed: Vec<Resolved> = unused
            .map(|(address, it)| Resolved {
                token: it.token.clone(),
                resource: it.resource.clone(),
                address: address.clone(),
                action: it.action,
                evidence: Evidence::Superseded,
                entry: None,
                document: None,
            })
            .collect();
        closed.sort_by(|a, b| a.address.cmp(&b.address));
        draft.plan.resolved.extend(closed);
    }

    /// Adds the documents that [`Doubts::judge`] looks at.
    pub(super) fn needs(&self, world: &World<'_>, needs: &mut Needs) {
        if self.addresses.is_empty() {
            return;
        }
        let wanted = world.desired.iter().enumerate().filter(|(_, it)| self.about(&it.address));
        needs.desired.extend(wanted.map(|(at, _)| at));
        let mut views = Views::new(world);
        for intent in world.intents {
            let look = views.find(&intent.address, None, Some(&|| (world.mark)(&intent.resource)));
            needs.observed.extend(look.seen().map(|it| it.address.clone()));
        }
    }

    fn decide(&mut self, case: &Case<'_>) {
        match case.look {
            Look::Failed(why) => {
                self.wait(case, format!("an earlier change may have taken effect, and its scope could not be read: {why}"), None)
            }
            Look::Partial => {
                self.wait(case, "an earlier change may have taken effect, and its scope was not read whole".to_owned(), None)
            }
            Look::Seen(found) => match case.intent.action {
                IntentAction::Create => self.created(case, found),
                IntentAction::Update => self.updated(case, found),
                IntentAction::Delete => self.still_there(case, found),
            },
            Look::Absent => match case.intent.action {
                IntentAction::Create => self.absent(case),
                IntentAction::Update => self.resolve(case, Evidence::Superseded, None),
                IntentAction::Delete => {
                    self.dropped.insert(case.intent.address.clone());
                    self.resolve(case, Evidence::Done, None);
                }
            },
        }
    }

    fn created(&mut self, case: &Case<'_>, found: &Observed) {
        let marked = found.mark.as_deref() == Some((case.world.mark)(&case.intent.resource).as_str());
        let recover = case.kind.map_or(Recover::None, |it| it.recover);
        if marked || case.as_desired(found) {
            return self.own(case, found, Ownership::Owned);
        }
        if case.intent.prior == Some(found.digest) {
            return self.resolve(case, Evidence::Undone, None);
        }
        match recover {
            // Something stands where ours was to stand. It may be ours, half made; it is ours to put right, not to delete.
            Recover::Key => self.own(case, found, Ownership::Recovered),
            // Ours would carry the mark, or be whole: a conditional create never meets an object, and makes one at once.
            Recover::Mark | Recover::Conditional => self.resolve(case, Evidence::Undone, None),
            Recover::Token | Recover::None => self.wait(
                case,
                "a create was interrupted, and what is there now is not what it was to make".to_owned(),
                Some(RESOLVE),
            ),
        }
    }

    fn absent(&mut self, case: &Case<'_>) {
        let (recover, settle) = case.kind.map_or((Recover::None, 0), |it| (it.recover, it.settle_time));
        let age = case.world.now_ms.saturating_sub(case.intent.started_ms);
        if age < settle {
            let left = (settle - age).div_ceil(1000);
            self.wait(
                case,
                format!("a create was interrupted and may still show up; it is looked for again after {left} s"),
                None,
            );
        } else if recover == Recover::None {
            self.wait(case, "a create was interrupted, and nothing tells whether it took effect".to_owned(), Some(RESOLVE));
        } else if case.still_wanted.is_some() {
            self.unfinished(case);
        } else {
            self.resolve(case, Evidence::Undone, None);
        }
    }

    fn updated(&mut self, case: &Case<'_>, found: &Observed) {
        if case.as_desired(found) {
            self.own(case, found, case.held.map_or(Ownership::Owned, |it| it.ownership));
        } else if case.intent.prior == Some(found.digest) {
            self.resolve(case, Evidence::Undone, None);
        } else if case.still_wanted.is_some() {
            self.unfinished(case);
        } else {
            self.resolve(case, Evidence::Superseded, None);
        }
    }

    fn still_there(&mut self, case: &Case<'_>, found: &Observed) {
        let another = case.held.is_some_and(|it| !it.identity.is_empty() && *it.identity != *found.identity);
        if another {
            self.dropped.insert(case.intent.address.clone());
            self.resolve(case, Evidence::Done, None);
        } else if case.intent.prior == Some(found.digest) {
            self.resolve(case, Evidence::Undone, None);
        } else {
            self.unfinished(case);
        }
    }

    fn own(&mut self, case: &Case<'_>, found: &Observed, ownership: Ownership) {
        let Intent { resource, address, desired, after, siblings, protect, prune, .. } = case.intent;
        let entry = match case.held {
            Some(held) => Entry { applied: desired.unwrap_or(held.applied), ownership, ..held.clone() },
            None => Entry {
                resource: resource.clone(),
                address: address.clone(),
                identity: found.identity.clone(),
                ownership,
                applied: desired.unwrap_or_default(),
                agreed: None,
                after: Arc::default(),
                siblings: Arc::default(),
                protect: false,
                prune: true,
                secrets: false,
                claims: false,
            },
        };
        let entry = Entry {
            resource: resource.clone(),
            identity: found.identity.clone(),
            agreed: None,
            after: after.clone(),
            siblings: siblings.clone(),
            protect: *protect,
            prune: *prune,
            ..entry
        };
        self.settled.insert(address.clone(), (entry.clone(), case.doc.cloned()));
        self.dropped.remove(address);
        self.resolve(case, Evidence::Done, Some(entry));
    }

    fn unfinished(&mut self, case: &Case<'_>) {
        let Intent { token, resource, address, action, desired, .. } = case.intent.clone();
        self.unfinished.insert(address, Unfinished { token, resource, action, desired });
    }

    fn resolve(&mut self, case: &Case<'_>, evidence: Evidence, entry: Option<Entry>) {
        let Intent { token, resource, address, action, .. } = case.intent.clone();
        let document = case.doc.filter(|_| entry.is_some()).cloned();
        self.resolved.push(Resolved { token, resource, address, action, evidence, entry, document });
    }

    fn wait(&mut self, case: &Case<'_>, reason: String, hint: Option<&'static str>) {
        let waiting = Waiting { resource: case.intent.resource.clone(), reason, hint };
        self.waiting.insert(case.intent.address.clone(), waiting);
    }
}

const RESOLVE: &str = "look at the remote system, then say what is true: `trueup resolve RESOURCE --adopt ID` or `--absent`";

impl Case<'_> {
    /// Whether the object is what the intent was to make of it.
    fn as_desired(&self, found: &Observed) -> bool {
        let (Some(wanted), Some(now)) = (self.doc, &found.doc) else { return false };
        let none = Hints::default();
        let hints = self.kind.map_or(&none, |it| &it.hints);
        let ignore = self.still_wanted.map(|it| it.settings.ignore.as_slice()).unwrap_or_default();
        diff::compare(wanted, None, now, hints, ignore)
            .iter()
            .all(|change| hints.write_only.iter().any(|it| diff::touches(change, it)))
    }
}

impl Waiting {
    fn refused(&self, address: &Address) -> Refused {
        Refused {
            resource: self.resource.clone(),
            address: Some(address.clone()),
            code: codes::IN_DOUBT,
            reason: self.reason.clone(),
            hint: self.hint.map(str::to_owned),
            location: None,
        }
    }
}

/// Refuses what is in doubt and belongs to nothing desired or owned.
pub(super) fn refuse_loose(doubts: &Doubts, joined: &Join<'_>, draft: &mut Draft) {
    if doubts.waiting.is_empty() {
        return;
    }
    let mut told: HashSet<&Address> = joined.pairs.iter().map(|it| &it.want.address).collect();
    told.extend(
        joined.pairs.iter().filter_map(|it| it.held).chain(joined.leftovers.iter().map(|it| it.held)).map(|it| &it.address),
    );
    let loose = doubts.waiting.iter().filter(|(address, _)| !told.contains(address));
    draft.plan.refused.extend(loose.map(|(address, waiting)| waiting.refused(address)));
}
