//! What a crash left, booked as the world tells: the planner found the evidence, the store learns of it here.

use trueup_core::inventory::IntentAction;
use trueup_core::plan::{Evidence, Resolved};

use crate::desired::Context;
use crate::pass::Surroundings;
use crate::store::{Edit, Verdict};

/// The verdict on a change in doubt, and what is owned from now on.
pub fn edits(around: &Surroundings, resolved: &Resolved) -> (Verdict, Vec<Edit>) {
    let verdict = match resolved.evidence {
        Evidence::Done => Verdict::Done,
        Evidence::Undone | Evidence::Superseded => Verdict::Undone,
    };
    let mut edits = Vec::new();
    if resolved.evidence == Evidence::Done {
        match (&resolved.entry, resolved.action) {
            (Some(entry), _) => edits.push(crate::pass::put(around, entry.clone(), resolved.document.clone())),
            (None, IntentAction::Delete) => edits.push(Edit::Remove(resolved.address.clone())),
            (None, _) => {}
        }
    }
    (verdict, edits)
}

/// Removes what killed runs staged and never put in its place. `tokens` are those of changes that are nobody's any more; the
/// environment's lock is held.
pub fn sweep(context: &Context, tokens: &[String]) {
    for bound in context.providers.values() {
        if let Err(error) = bound.provider.sweep(tokens) {
            tracing::warn!("leftovers of a killed run could not be removed: {error}");
        }
    }
}
