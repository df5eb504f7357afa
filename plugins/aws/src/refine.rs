//! Differences that are none to act on: what somebody else may change after the create, and what cannot be taken back.

use serde_json::Map;
use trueup_sdk::{Candidate, EditOp, Json, Verdict};

use crate::kind::{self, Kind};

/// A say in one step.
pub fn verdict(candidate: &Candidate) -> Verdict {
    let Ok(kind) = kind::find(&candidate.address.kind) else { return Verdict::Accept };
    let ignored: Vec<String> = candidate.edits.iter().filter(|it| is_ignored(kind, it)).map(|it| it.path.clone()).collect();
    if ignored.is_empty() { Verdict::Accept } else { Verdict::Ignore(ignored) }
}

fn is_ignored(kind: &Kind, edit: &trueup_sdk::Edit) -> bool {
    let Some(name) = edit.path.split('/').nth(2) else { return false };
    let Some(field) = kind.fields.get(name) else { return false };
    // A desired count belongs to whoever scales the group, from the moment that the group is there.
    let whole = edit.path.split('/').count() == 3;
    let lasting = || whole && edit.op == EditOp::Remove && !can_unset(kind, name);
    field.initial || lasting()
}

/// Whether a field that nobody declares any more can be put back to what it is by itself.
fn can_unset(kind: &Kind, name: &str) -> bool {
    let field = kind.fields.get(name);
    let emptied = kind.update.iter().any(|it| it.fields.contains_key(name) && (it.unset.is_some() || it.remove.is_some()));
    name == "tags" || emptied || field.is_some_and(|it| it.default.is_some() || it.immutable)
}

/// Whether a field is one of those that a document gave at the create alone.
pub fn is_initial(kind: &Kind, spec: &Map<String, Json>, name: &str) -> bool {
    spec.contains_key(name) && kind.fields.get(name).is_some_and(|it| it.initial)
}
