//! Decides what becomes of one desired object.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::intents::Doubts;
use super::join::{Join, Look, Pair, answers_to, records};
use super::prune::vanished_scopes;
use super::{
    Action, CLAIMED, Change, Desired, Docs, Draft, Drifted, Halted, Moved, Origin, Reason, Record, Refused, Step, UNMARKED, World,
};
use crate::address::{Address, ResourceId, Scope};
use crate::diagnostic::{Code, codes};
use crate::diff;
use crate::document::{DriftMode, ReplaceMode};
use crate::inventory::{Entry, IntentAction, Ownership};
use crate::manifest::{Kind, Recover, ReplaceOrder};
use crate::observation::Observed;
use crate::value::{Json, Path};

/// Everything that one decision depends on.
struct Judge<'a> {
    world: &'a World<'a>,
    docs: &'a Docs,
    doubts: &'a Doubts,
    joined: &'a Join<'a>,
    /// Scopes from which all owned objects vanished at once, with their number.
    vanished: &'a BTreeMap<&'a Scope, usize>,
    /// Whether something that is declared answers to a text.
    is_declared: &'a dyn Fn(&str) -> bool,
    pair: &'a Pair<'a>,
    want: &'a Desired,
    doc: &'a Arc<Json>,
}

/// A refusal: its code, what to say, what to do next.
type No = (Code, String, Option<String>);

/// Decides for every pair of the join.
pub(super) fn pairs(world: &World<'_>, docs: &Docs, doubts: &Doubts, joined: &Join<'_>, draft: &mut Draft) {
    let vanished = vanished_scopes(world, doubts, joined);
    let names = OnceCell::new();
    // However short the form, it ends in the name.
    let is_declared = |text: &str| {
        let names: &HashMap<&str, Vec<&ResourceId>> = names.get_or_init(|| {
            let mut names: HashMap<&str, Vec<&ResourceId>> = HashMap::new();
            world.desired.iter().for_each(|it| names.entry(it.resource.name()).or_default().push(&it.resource));
            names
        });
        let alike = text.rsplit('/').next().and_then(|name| names.get(name));
        alike.into_iter().flatten().any(|id| answers_to(id, text))
    };
    for pair in &joined.pairs {
        let want = pair.want;
        let doc = docs.desired.get(&pair.index);
        let held = pair.held.filter(|held| held.address != want.address);
        let doubt = doubts.refusal(&want.address).or_else(|| doubts.refusal(&held?.address));
        let judge = |doc| Judge { world, docs, doubts, joined, vanished: &vanished, is_declared: &is_declared, pair, want, doc };
        // Asked for every object, and hardly ever is there one.
        let unmade = if world.unmade.is_empty() { None } else { world.unmade.get(&want.resource) };
        let decided = match (world.halted(&want.address.scope), doubt, doc) {
            (Some(halt), ..) => Err(halted(halt)),
            (None, Some(doubt), _) => Err((doubt.code, doubt.reason, doubt.hint)),
            (None, None, _) if let Some(it) = unmade => Err((it.code, it.reason.clone(), it.hint.clone())),
            (None, None, None) => Err(unread("its document")),
            (None, None, Some(doc)) => judge(doc).decide(draft),
        };
        if let Err((code, reason, hint)) = decided {
            let (resource, address) = (want.resource.clone(), Some(want.address.clone()));
            // With an object of our own in place, what is built on it still stands.
            if pair.held.is_none() || matches!(pair.old, Look::Absent) {
                draft.missing.push(resource.clone());
            }
            draft.staying.push(resource.clone());
            let location = Some(want.location.clone());
            draft.refuse(Refused { resource, address, code, reason, hint, location });
        }
    }
}

impl Judge<'_> {
    fn decide(&self, draft: &mut Draft) -> Result<(), No> {
        match self.pair.held {
            None => self.unowned(draft),
            Some(held) if held.address == self.want.address => self.owned(held, draft),
            Some(held) => self.relocated(held, draft),
        }
    }

    /// No entry: create, or claim what is there.
    fn unowned(&self, draft: &mut Draft) -> Result<(), No> {
        if let Some(other) = (self.world.others)(&self.want.address) {
            let shown = (self.world.shown)(&self.want.resource);
            let name = &other.environment;
            let hint = match other.through {
                Some(_) => "declare it through one of the two providers".to_owned(),
                None => format!(
                    "let `{name}` release it (`trueup forget -e {name} {shown}`), or take it out of one of the two environments"
                ),
            };
            return Err((codes::OTHER_ENVIRONMENT, format!("{other} owns this object"), Some(hint)));
        }
        let seen = self.seen(self.pair.new)?;
        self.as_named(seen)?;
        match seen {
            None => self.create(Reason::new("new", self.why_new()), draft),
            Some(found) => self.claim(found, draft),
        }
    }

    /// A document that says which object it means (`trueup.dev/adopt: vpc-0abc`) gets that one or none: a second one is what nobody
    /// asked for. An object of ours that was made since is the one by its mark.
    fn as_named(&self, seen: Option<&Observed>) -> Result<(), No> {
        let Some(named) = &self.want.settings.adopt_identity else { return Ok(()) };
        let ours = (self.world.mark)(&self.want.resource);
        if seen.is_some_and(|it| *it.identity == **named || it.mark.as_deref() == Some(ours.as_str())) {
            return Ok(());
        }
        let text = match seen {
            None => format!("`trueup.dev/adopt` names `{named}`, and there is no such object"),
            Some(it) => format!("`trueup.dev/adopt` names `{named}`, and the object of this name is `{}`", it.identity),
        };
        let hint = "correct the identity, or take the setting out to have the object made".to_owned();
        Err((codes::CLAIM, text, Some(hint)))
    }

    /// Why an object is made, with what `moved-from` did not do where a person meant it to do something.
    fn why_new(&self) -> String {
        let text = "it is declared and does not exist";
        // With an entry it did what it says, though there is nothing left to move.
        let named = self.want.settings.moved_from.as_deref().filter(|_| self.pair.held.is_none());
        match named {
            None => text.to_owned(),
            Some(it) if (self.is_declared)(it) => format!("{text}; `moved-from` names {it}, which is still declared itself"),
            Some(it) => format!("{text}; `moved-from` names {it}, and no single owned resource that could move is called that"),
        }
    }

    fn claim(&self, found: &Observed, draft: &mut Draft) -> Result<(), No> {
        if let Some(owner) = self.joined.taken.get(&found.address) {
            let owner = (self.world.shown)(owner);
            return Err((
                codes::CLAIM,
                format!("the object at this address belongs to {owner}, which was moved there by hand"),
                None,
            ));
        }
        let settings = &self.want.settings;
        let ours = (self.world.mark)(&self.want.resource);
        let (reason, ownership) = match found.mark.as_deref() {
            Some(mark) if mark == ours || realm(mark) == realm(&ours) => {
                let text = "it carries this environment's mark, and the inventory does not know it";
                let full = self.world.options.adopt_recovered || settings.adopt;
                (Reason::new("mark", text), if full { Ownership::Owned } else { Ownership::Recovered })
            }
            Some(mark) if !settings.adopt => {
                let text = format!("the object exists and carries the mark of another owner (`{}`)", realm(mark));
                let hint = "if that owner is gone, say `trueup.dev/adopt: \"true\"` in the document".to_owned();
                return Err((codes::CLAIM, text, Some(hint)));
            }
            Some(_) | None if settings.adopt => {
                (Reason::new(CLAIMED, "it exists, and its document says adopt"), Ownership::Owned)
            }
            _ if self.world.options.adopt_declared => {
                (Reason::new(CLAIMED, "it exists, and is claimed as declared"), Ownership::Owned)
            }
            _ => {
                let hint = "take it over with `trueup adopt --declared`, or with `trueup.dev/adopt: \"true\"` in the document"
                    .to_owned();
                return Err((codes::CLAIM, "the object exists and nobody claimed it".to_owned(), Some(hint)));
            }
        };
        let changes = self.compare(None, found)?;
        // What cannot be read back may be just what is declared: the object was made with something there.
        let hints = &self.want.kind.hints;
        let seen = |it: &&Change| !hints.write_only.iter().any(|hint| diff::touches(it, hint));
        if let Some(path) = self.immutable(&changes.iter().filter(seen).cloned().collect::<Vec<_>>()) {
            let text = format!("taking the object over would mean to replace it: `{path}` cannot change in place");
            let hint = "change the document to what the object has, or delete the object by hand".to_owned();
            return Err((codes::REPLACE_REFUSED, text, Some(hint)));
        }
        let mut reasons = vec![reason];
        if changes.is_empty() && self.want.kind.marked && found.mark.as_deref() != Some(ours.as_str()) {
            reasons.push(Reason::new(UNMARKED, "it is to carry this environment's mark"));
        }
        reasons.extend(why(&changes));
        let step = Step { ownership, ..self.step(Action::Adopt, reasons, changes, Some(found))? };
        draft.plan.steps.push(step);
        Ok(())
    }

    /// The entry is at the desired address; it may be another resource's.
    fn owned(&self, held: &Entry, draft: &mut Draft) -> Result<(), No> {
        let Some(found) = self.seen(self.pair.old)? else { return self.vanished(held, draft) };
        self.not_foreign(held, found)?;
        self.compared(held, found, draft)
    }

    /// Owned, and gone though nobody here deleted it.
    fn vanished(&self, held: &Entry, draft: &mut Draft) -> Result<(), No> {
        self.not_all_vanished(&held.address.scope)?;
        let mode = self.drift_mode();
        if mode != DriftMode::Heal && held.applied == self.want.digest && held.resource == self.want.resource {
            let (resource, address) = (self.want.resource.clone(), self.want.address.clone());
            draft.plan.drift.push(Drifted { resource, address, changes: Vec::new(), gone: true, mode });
            return Ok(());
        }
        self.create(Reason::new("vanished", "it was deleted, and not by this environment"), draft)
    }

    fn not_all_vanished(&self, scope: &Scope) -> Result<(), No> {
        match self.vanished.get(scope) {
            Some(count) => Err(all_vanished(scope, *count)),
            None => Ok(()),
        }
    }

    fn compared(&self, held: &Entry, found: &Observed, draft: &mut Draft) -> Result<(), No> {
        let want = self.want;
        let applied = self.doubts.applied(held, self.docs);
        let changes = self.compare(applied.map(|it| &**it), found)?;
        let moved = held.resource != want.resource || held.address != want.address;
        // A claim whose run ended before the object was written: it is still to be taken over.
        let unfinished = want.kind.marked && found.mark.is_none() && applied.is_none();
        if changes.is_empty() && !moved && !unfinished {
            return self.in_sync(held, found, draft);
        }
        let mode = self.drift_mode();
        if !moved && !unfinished && mode != DriftMode::Heal && changes.iter().all(|it| it.origin == Origin::Drift) {
            let (resource, address) = (want.resource.clone(), want.address.clone());
            draft.plan.drift.push(Drifted { resource, address, changes, gone: false, mode });
            return Ok(());
        }
        if let Some(path) = self.immutable(&changes) {
            return self.replace(
                held,
                found,
                changes,
                Reason::new("immutable", format!("`{path}` cannot change in place")).at(path),
                draft,
            );
        }
        let mut reasons = Vec::new();
        let mut from = None;
        if moved {
            let owner = (self.world.shown)(&held.resource);
            reasons.push(Reason::new("moved", format!("the object belonged to {owner}")));
            from = Some(Moved { resource: held.resource.clone(), address: held.address.clone(), prior: None });
        }
        if unfinished {
            reasons.push(Reason::new(CLAIMED, "it was claimed, and not yet written"));
        }
        reasons.extend(why(&changes));
        // A mark names the resource: it is written anew by an update, though no field may differ.
        let marked = found.mark.as_deref().is_some_and(|mark| mark != (self.world.mark)(&want.resource));
        let action = if moved && changes.is_empty() && !marked { Action::Move } else { Action::Update };
        let ownership = if held.ownership == Ownership::Recovered { Ownership::Recovered } else { Ownership::Owned };
        let step = Step { from, ownership, ..self.step(action, reasons, changes, Some(found))? };
        draft.plan.steps.push(step);
        Ok(())
    }

    /// Equal by comparison, though not by digest.
    fn in_sync(&self, held: &Entry, found: &Observed, draft: &mut Draft) -> Result<(), No> {
        if held.ownership == Ownership::Recovered && self.world.options.adopt_recovered {
            let reason = Reason::new("recovered", format!("it {}", recovered(found)));
            draft.plan.steps.push(self.step(Action::Adopt, vec![reason], Vec::new(), Some(found))?);
            return Ok(());
        }
        draft.plan.unchanged += 1;
        let ownership = if held.ownership == Ownership::Recovered { Ownership::Recovered } else { Ownership::Owned };
        let known = held.applied == self.want.digest
            && held.identity == found.identity
            && held.ownership == ownership
            && records(held, self.want)
            && !self.doubts.about(&held.address);
        if !known {
            let (identity, agreed) = (found.identity.clone(), found.digest);
            draft.plan.records.push(Record { desired: self.pair.index, identity, agreed, ownership });
        } else if held.agreed != Some(found.digest) {
            draft.plan.agreed.push((held.address.clone(), found.digest));
        }
        Ok(())
    }

    /// The resource's object is elsewhere.
    fn relocated(&self, held: &Entry, draft: &mut Draft) -> Result<(), No> {
        let Some(old) = self.seen(self.pair.old)? else {
            self.not_all_vanished(&held.address.scope)?;
            self.unowned(draft)?;
            if let Some(step) = draft.plan.steps.last_mut() {
                let text = format!("its address was `{}`, where its object is no longer", held.address.local());
                step.reasons.push(Reason::new("vanished", text));
                // The old entry names nothing any more: it goes as the new one comes.
                step.from = Some(Moved { resource: held.resource.clone(), address: held.address.clone(), prior: None });
            }
            return Ok(());
        };
        self.not_foreign(held, old)?;
        if !self.want.kind.natural() && held.address.scope == self.want.address.scope {
            // The address holds our own name for it: the remote system knows the object by an identity that stays.
            return self.compared(held, old, draft);
        }
        if let Some(other) = (self.world.others)(&self.want.address) {
            return Err((codes::OTHER_ENVIRONMENT, format!("{other} owns the object at the new address"), None));
        }
        if self.seen(self.pair.new)?.is_some() {
            let text =
                format!("its address changes to `{}`, where an object exists that nobody claimed", self.want.address.local());
            let hint = "delete that object by hand, or choose another address".to_owned();
            return Err((codes::CLAIM, text, Some(hint)));
        }
        let applied = self.doubts.applied(held, self.docs);
        let changes = self.compare(applied.map(|it| &**it), old)?;
        let hints = &self.want.kind.hints;
        let named =
            changes.iter().find(|it| [&hints.key, &hints.scope].into_iter().flatten().any(|hint| diff::touches(it, hint)));
        let reason = Reason {
            path: named.map(|it| it.path.clone()),
            ..Reason::new("renamed", format!("its address was `{}`", held.address.local()))
        };
        self.replace(held, old, changes, reason, draft)
    }

    fn replace(&self, held: &Entry, found: &Observed, changes: Vec<Change>, reason: Reason, draft: &mut Draft) -> Result<(), No> {
        let want = self.want;
        if want.settings.protect || held.protect {
            return Err(protected(want.settings.protect, &reason.text));
        }
        if held.ownership == Ownership::Recovered {
            let text = format!("the object {}, and the change would replace it: {}", recovered(found), reason.text);
            return Err((codes::RECOVERED, text, Some(RECOVERED_HINT.to_owned())));
        }
        let order = match want.settings.replace {
            Some(ReplaceMode::CreateFirst) => ReplaceOrder::CreateFirst,
            Some(ReplaceMode::DeleteFirst) => ReplaceOrder::DeleteFirst,
            Some(ReplaceMode::Allow) | None => want.kind.replace,
        };
        let mut reasons = vec![reason];
        let same = held.address == want.address;
        let order = if same && want.kind.natural() && order == ReplaceOrder::CreateFirst {
            let text = "old and new have one name, so that the old one is deleted first";
            reasons.push(Reason::new("collision", text));
            ReplaceOrder::DeleteFirst
        } else {
            order
        };
        reasons.extend(why(&changes));
        let step = self.step(Action::Replace(order), reasons, changes, if same { Some(found) } else { None })?;
        let moved = !same || held.resource != want.resource;
        let from = moved.then(|| Moved {
            resource: held.resource.clone(),
            address: held.address.clone(),
            prior: (!same).then(|| Arc::new(found.clone())),
        });
        // A new object gets the whole document: ignored fields are only left alone where there is something to leave.
        draft.plan.steps.push(Step { from, desired: Some(self.doc.clone()), ..step });
        Ok(())
    }

    fn create(&self, reason: Reason, draft: &mut Draft) -> Result<(), No> {
        let token = self.doubts.token(&self.want.address, IntentAction::Create, Some(self.want.digest));
        let mut reasons = vec![reason];
        reasons.extend(token.as_ref().map(|_| Reason::new("unsettled", "an interrupted run may have begun it")));
        let step = self.step(Action::Create, reasons, diff::leaves(self.doc), None)?;
        draft.plan.steps.push(Step { token, ..step });
        Ok(())
    }

    fn step(&self, action: Action, reasons: Vec<Reason>, changes: Vec<Change>, prior: Option<&Observed>) -> Result<Step, No> {
        let want = self.want;
        let desired = match prior {
            None => self.doc.clone(),
            Some(prior) => {
                let now = prior.doc.as_ref().ok_or_else(|| unread("its observed content"))?;
                diff::keep_ignored(self.doc, now, &want.settings.ignore)
            }
        };
        let token = match action {
            Action::Update => self.doubts.token(&want.address, IntentAction::Update, Some(want.digest)),
            // At another address nothing is there yet, as before any create.
            Action::Replace(_) if prior.is_none() => self.doubts.token(&want.address, IntentAction::Create, Some(want.digest)),
            _ => None,
        };
        Ok(Step {
            action,
            resource: want.resource.clone(),
            from: None,
            address: want.address.clone(),
            reasons,
            changes,
            desired: Some(desired),
            desired_digest: Some(want.digest),
            prior: prior.map(|it| Arc::new(it.clone())),
            after: Vec::new(),
            location: Some(want.location.clone()),
            source: Some(self.pair.index),
            ownership: Ownership::Owned,
            token,
            claim: None,
            rank: 0,
        })
    }

    fn compare(&self, applied: Option<&Json>, found: &Observed) -> Result<Vec<Change>, No> {
        let now = found.doc.as_ref().ok_or_else(|| unread("its observed content"))?;
        Ok(diff::compare(self.doc, applied, now, &self.want.kind.hints, &self.want.settings.ignore))
    }

    /// What was seen; absence only where it is a fact.
    fn seen<'l>(&self, look: Look<'l>) -> Result<Option<&'l Observed>, No> {
        match look {
            Look::Seen(found) => Ok(Some(found)),
            Look::Absent => Ok(None),
            Look::Partial => Err((codes::NO_EVIDENCE, "it was not found, but its scope was not read whole".to_owned(), None)),
            Look::Failed(why) => Err((codes::OBSERVE_FAILED, format!("its scope could not be read: {why}"), None)),
        }
    }

    fn not_foreign(&self, held: &Entry, found: &Observed) -> Result<(), No> {
        foreign(self.world, held, found, &[&self.want.resource], &self.want.kind).map_or(Ok(()), |text| {
            let forget = forget(self.world, &held.resource);
            let hint = format!("if it is to be managed, forget the old entry ({forget}) and adopt the object");
            Err((codes::CLAIM, text, Some(hint)))
        })
    }

    fn drift_mode(&self) -> DriftMode {
        self.want.settings.drift.unwrap_or(self.world.options.drift)
    }

    /// The first changed field that cannot change in place.
    fn immutable(&self, changes: &[Change]) -> Option<Path> {
        let hints = &self.want.kind.hints;
        changes.iter().find(|it| hints.immutable.iter().any(|hint| diff::touches(it, hint))).map(|it| it.path.clone())
    }
}

/// A replacement that protection forbids: of the document as it is now, or of the one that was last applied, which holds
/// until a revision without it was applied.
pub(super) fn protected(now: bool, reason: &str) -> No {
    let (whose, hint) = match now {
        true => ("the object is protected", "if it may go, take `trueup.dev/protect` out of the document and apply that first"),
        false => (
            "the object is protected by the revision that was last applied",
            "taking `trueup.dev/protect` out counts once it is applied: take the other change back, apply, then make it again",
        ),
    };
    (codes::PROTECTED, format!("{whose}, and the change would replace it: {reason}"), Some(hint.to_owned()))
}

/// The command that releases a resource, as it is typed.
pub(super) fn forget(world: &World<'_>, id: &ResourceId) -> String {
    format!("`trueup forget -e {} {}`", world.environment, (world.shown)(id))
}

pub(super) const RECOVERED_HINT: &str = "look at it, then take it over with `trueup adopt --recovered`";

/// What ownership that is not full rests on.
pub(super) fn recovered(found: &Observed) -> &'static str {
    match found.mark {
        Some(_) => "is owned by its mark alone",
        None => "stands where an interrupted create was to put one, and is not what that was to make",
    }
}

/// Why the object is not the one that the entry means, if it is not: another one came under its name or identity.
/// `heirs` are resources whose mark it may carry besides that of the entry.
pub(super) fn foreign(world: &World<'_>, held: &Entry, found: &Observed, heirs: &[&ResourceId], kind: &Kind) -> Option<String> {
    let same = held.identity.is_empty() || found.identity.is_empty() || held.identity == found.identity;
    match found.mark.as_deref() {
        Some(mark) => {
            let ours = (world.mark)(&held.resource);
            let known = mark == ours || heirs.iter().any(|it| (world.mark)(it) == mark) || (same && realm(mark) == realm(&ours));
            (!known).then(|| format!("the object now carries the mark of another owner (`{}`)", realm(mark)))
        }
        // A kind known by its key alone is the same object under whatever identity; elsewhere, and where ours would carry a mark, ours
        // was taken away.
        None if same || (!kind.marked && matches!(kind.recover, Recover::Key | Recover::Conditional)) => None,
        None => Some(format!("the object is gone, and another one (`{}`) has its place", found.identity)),
    }
}

/// Whether two marks are of one environment of one project.
pub(super) fn same_realm(one: &str, other: &str) -> bool {
    realm(one) == realm(other)
}

/// The part of a mark that names project and environment.
pub fn realm(mark: &str) -> &str {
    mark.rsplit_once('/').map_or(mark, |(realm, _)| realm)
}

/// One reason for each origin among the changes.
fn why(changes: &[Change]) -> Vec<Reason> {
    let has = |origin: Origin| changes.iter().find(|it| it.origin == origin || it.origin == Origin::Both);
    let git = has(Origin::Git).map(|it| Reason::new("changed", "its declaration changed").at(it.path.clone()));
    let drift =
        has(Origin::Drift).map(|it| Reason::new("drifted", "it was changed, and not by this environment").at(it.path.clone()));
    git.into_iter().chain(drift).collect()
}

pub(super) fn all_vanished(scope: &Scope, count: usize) -> No {
    let place = if scope.scope.is_empty() { scope.provider.to_string() } else { format!("`{}`", scope.scope) };
    let text = format!("all {count} objects owned in {place} vanished at once, which mostly is a wrong address or credential");
    (codes::VANISHED, text, Some("if they are really gone, run again with `--allow-recreate`".to_owned()))
}

/// Everything of a provider whose plugin failed stays as it is.
pub(super) fn halted(halt: &Halted) -> No {
    let hint = "mend or replace the plugin; until then nothing of its provider is touched".to_owned();
    (halt.code, halt.reason.clone(), Some(hint))
}

fn unread(what: &str) -> No {
    (codes::NO_EVIDENCE, format!("{what} was not read"), None)
}

/// The refusal of an entry that nothing desires.
pub(super) fn refused(held: &Entry, (code, reason, hint): No) -> Refused {
    let address: Option<Address> = Some(held.address.clone());
    Refused { resource: held.resource.clone(), address, code, reason, hint, location: None }
}
