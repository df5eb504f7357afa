//! What an apply records before its first effect: everything that changes ownership and sends nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use trueup_core::address::Address;
use trueup_core::inventory::{Entry, Ownership};
use trueup_core::plan::{self, Action};
use trueup_core::value::{Digest, Json};

use super::{Planned, Surroundings};
use crate::apply;
use crate::killpoint;
use crate::store::{Edit, Groundwork, RunId, StoreError};

/// Everything that changes ownership alone, durable before the first effect, in one commit: renamed providers, what a crash left
/// and the world tells, entries to write anew, moves, claims, releases.
pub(super) async fn record_before(around: &Surroundings, planned: &mut Planned, run: RunId) -> Result<(), StoreError> {
    let environment = around.context.environment.clone();
    let tokens: Vec<String> = planned.intents.iter().map(|it| it.token.to_string()).collect();
    crate::recover::sweep(&around.context, &tokens);
    killpoint::at("record.before");
    let resolved = planned.plan.resolved.iter().map(|it| {
        let (verdict, edits) = crate::recover::edits(around, it);
        (it.token.clone(), verdict, edits)
    });
    let ground = Groundwork {
        renames: planned.renamed.pairs(),
        resolved: resolved.collect(),
        edits: ownership(around, planned),
        agreed: std::mem::take(&mut planned.plan.agreed),
    };
    if !ground.is_empty() {
        around.store.prepare(&environment, run, ground).await?;
    }
    killpoint::at("record.after");
    Ok(())
}

/// Edits of the steps that send nothing, and of entries that are written anew.
fn ownership(around: &Surroundings, planned: &Planned) -> Vec<Edit> {
    let mut edits = Vec::new();
    let moved = planned.plan.steps.iter().any(|it| matches!(it.action, Action::Adopt | Action::Move));
    let held: HashMap<&Address, &Entry> =
        if moved { planned.entries.iter().map(|it| (&it.address, it)).collect() } else { HashMap::new() };
    edits.extend(unsettled(planned));
    for record in &planned.plan.records {
        let Some(desired) = planned.desired.objects.get(record.desired) else { continue };
        let entry = entry(desired, record.identity.clone(), record.ownership, Some(record.agreed));
        let entry = Entry { claims: planned.plan.claims(record.desired), ..entry };
        edits.push(put(around, entry, planned.desired.document(record.desired).cloned()));
    }
    for step in &planned.plan.steps {
        match step.action {
            Action::Forget => edits.push(Edit::Remove(step.address.clone())),
            Action::Adopt | Action::Move => {
                let Some(prior) = &step.prior else { continue };
                if let Some(from) = step.from.as_ref().filter(|it| it.address != step.address) {
                    edits.push(Edit::Remove(from.address.clone()));
                }
                let source = step.source.and_then(|it| planned.desired.objects.get(it));
                let old = held.get(&step.address).copied().cloned();
                let Some(mut entry) = source.map(|it| entry(it, prior.identity.clone(), step.ownership, None)).or(old) else {
                    continue;
                };
                entry.ownership = step.ownership;
                entry.claims = step.source.is_some_and(|it| planned.plan.claims(it));
                let document = step.source.and_then(|it| planned.desired.document(it));
                if apply::has_effect(step) {
                    // Claimed now, applied later: until then nothing was applied, so that what nobody declares is nobody's to remove.
                    entry.applied = prior.digest;
                    edits.push(put(around, entry, None));
                } else {
                    entry.agreed = Some(prior.digest);
                    edits.push(put(around, entry, document.cloned()));
                }
            }
            Action::Create | Action::Update | Action::Replace(_) | Action::Delete => {}
        }
    }
    edits
}

/// Claims that were settled and are not any more. One whose document is applied anew says so with its own entry.
fn unsettled(planned: &Planned) -> impl Iterator<Item = Edit> {
    let lost = planned.plan.claims.iter().filter(|it| !it.settled);
    let lost: HashSet<&Address> = lost.filter_map(|it| Some(&planned.desired.objects.get(it.desired)?.address)).collect();
    let held = planned.entries.iter().filter(move |it| it.claims && lost.contains(&it.address));
    held.map(|it| Edit::Unsettle(Box::new(it.clone())))
}

pub(crate) fn put(around: &Surroundings, entry: Entry, applied: Option<Arc<Json>>) -> Edit {
    let target = around.context.providers.get(&entry.address.scope.provider).map(|it| it.target.clone()).unwrap_or_default();
    Edit::Put { entry: Box::new(entry), target, applied }
}

/// The inventory's entry for a desired object.
pub fn entry(desired: &plan::Desired, identity: Arc<str>, ownership: Ownership, agreed: Option<Digest>) -> Entry {
    Entry {
        resource: desired.resource.clone(),
        address: desired.address.clone(),
        identity,
        ownership,
        applied: desired.digest,
        agreed,
        after: desired.after.clone(),
        siblings: desired.siblings.clone(),
        protect: desired.settings.protect,
        prune: !desired.settings.no_prune,
        // The store takes it from the document that it is given.
        secrets: false,
        claims: false,
    }
}
