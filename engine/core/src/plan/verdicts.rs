//! A plugin's say in the plan (`planning.refine`): it may ignore, replace, hold or refuse.

use std::collections::HashSet;

use super::{Action, Draft, Halted, Plan, Reason, Record, Refused, Step, World, finish, judge};
use crate::address::Address;
use crate::diagnostic::{Code, codes};
use crate::document::ReplaceMode;
use crate::inventory::Ownership;
use crate::manifest::ReplaceOrder;
use crate::value::Path;

const REPLACE_HINT: &str =
    "take the change back, or write the annotation `trueup.dev/replace: allow`: the object is then deleted and made anew";

/// What a plugin says of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// Changes at or below these paths do not matter.
    Ignore(Vec<Path>),
    /// The changes at these paths cannot be made in place.
    Replace {
        paths: Vec<Path>,
        create_first: bool,
        reason: String,
    },
    /// Not now, and why.
    Hold(String),
    /// Never, and why.
    Refuse(String),
    /// None: the plugin failed when it was asked. What it would have refused must not happen because it crashed.
    Halted(Halted),
}

/// Merges verdicts into the plan, by index of the step; steps without one are accepted. Order, limits, consequences and
/// digest are made anew. A plugin can make a step smaller, stop it, or turn an update into a replacement under the same rules
/// as any other; it can add nothing.
pub fn apply_verdicts(world: &World<'_>, plan: Plan, verdicts: Vec<(usize, Verdict)>) -> Plan {
    let mut draft = Draft { plan, ..Draft::default() };
    let mut steps: Vec<Option<Step>> = std::mem::take(&mut draft.plan.steps).into_iter().map(Some).collect();
    let protected: HashSet<&Address> = world.entries.iter().filter(|it| it.protect).map(|it| &it.address).collect();
    for (at, verdict) in verdicts {
        let Some(slot) = steps.get_mut(at) else { continue };
        if let Some(step) = slot.take() {
            *slot = merge(world, &protected, &mut draft, step, verdict);
        }
    }
    draft.plan.steps = steps.into_iter().flatten().collect();
    finish(world, draft)
}

fn merge(world: &World<'_>, protected: &HashSet<&Address>, draft: &mut Draft, mut step: Step, verdict: Verdict) -> Option<Step> {
    let (code, reason, hint) = match verdict {
        Verdict::Accept => return Some(step),
        Verdict::Ignore(paths) => {
            step.changes.retain(|change| !paths.iter().any(|path| path.covers(&change.path)));
            let idle = step.changes.is_empty() && step.action == Action::Update && step.from.is_none();
            if !idle {
                return Some(step);
            }
            draft.plan.unchanged += 1;
            if let (Some(desired), Some(prior)) = (step.source, &step.prior) {
                let (identity, agreed) = (prior.identity.clone(), prior.digest);
                draft.plan.records.push(Record { desired, identity, agreed, ownership: step.ownership });
            }
            return None;
        }
        Verdict::Replace { paths, create_first, reason } => {
            match replace(world, protected, &mut step, &paths, create_first, reason) {
                Ok(()) => return Some(step),
                Err(no) => no,
            }
        }
        Verdict::Hold(why) => (codes::REFUSED_BY_PLUGIN, format!("the plugin holds the change back: {why}"), None),
        Verdict::Refuse(why) => (codes::REFUSED_BY_PLUGIN, why, None),
        Verdict::Halted(Halted { code, reason }) => (code, reason, None),
    };
    if step.action == Action::Create {
        draft.missing.push(step.resource.clone());
    }
    draft.staying.push(step.resource.clone());
    let (resource, address, location) = (step.resource, Some(step.address), step.location);
    draft.refuse(Refused { resource, address, code, reason, hint, location });
    None
}

fn replace(
    world: &World<'_>,
    protected: &HashSet<&Address>,
    step: &mut Step,
    paths: &[Path],
    create_first: bool,
    reason: String,
) -> Result<(), (Code, String, Option<String>)> {
    let want = step.source.and_then(|at| world.desired.get(at));
    // Of an object that moves as well, the entry is where it was.
    let held = step.from.as_ref().map_or(&step.address, |it| &it.address);
    let now = want.is_some_and(|it| it.settings.protect);
    if now || protected.contains(held) {
        return Err(judge::protected(now, &reason));
    }
    match step.action {
        Action::Update if step.ownership == Ownership::Recovered => {
            let basis = step.prior.as_deref().map_or("is not fully owned", judge::recovered);
            let text = format!("the object {basis}, and the change would replace it: {reason}");
            Err((codes::RECOVERED, text, Some(judge::RECOVERED_HINT.to_owned())))
        }
        Action::Update => {
            // What a schema says everybody can read beforehand; a verdict comes as a surprise, and takes the object away.
            let Some(mode) = want.and_then(|it| it.settings.replace) else {
                let text = format!("the change cannot be made in place: {reason}");
                return Err((codes::REPLACE_REFUSED, text, Some(REPLACE_HINT.to_owned())));
            };
            let order = match mode {
                ReplaceMode::CreateFirst => ReplaceOrder::CreateFirst,
                ReplaceMode::Allow if create_first => ReplaceOrder::CreateFirst,
                ReplaceMode::DeleteFirst | ReplaceMode::Allow => ReplaceOrder::DeleteFirst,
            };
            let collides = want.is_some_and(|it| it.kind.natural());
            step.action = Action::Replace(if collides { ReplaceOrder::DeleteFirst } else { order });
            let path = step.changes.iter().find(|it| paths.iter().any(|path| path.covers(&it.path) || it.path.covers(path)));
            step.reasons.push(Reason { path: path.map(|it| it.path.clone()), ..Reason::new("plugin", reason) });
            if collides && order == ReplaceOrder::CreateFirst {
                let text = "old and new have one name, so that the old one is deleted first";
                step.reasons.push(Reason::new("collision", text));
            }
            Ok(())
        }
        Action::Adopt => {
            Err((codes::REPLACE_REFUSED, format!("taking the object over would mean to replace it: {reason}"), None))
        }
        Action::Create | Action::Replace(_) | Action::Delete | Action::Move | Action::Forget => Ok(()),
    }
}
