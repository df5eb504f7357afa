//! The digest of a plan: what was reviewed is what is applied.
//!
//! It covers, for each step in order, its action, its object, what is to be sent, the values found at the fields we own,
//! and the steps it waits for; what of it waits for a condition, as that says when a step begins; then what the caller knows of plugins and their settings. It leaves out what may differ
//! between machines or moments without changing what is done: revisions, versions and identities of objects, places in
//! files, words for people, objects without a step, and secret values, of which only name and changed-or-not count.

use sha2::{Digest as _, Sha256};

use super::{Action, Plan, Step, Wait};
use crate::address::Address;
use crate::diff::same_value;
use crate::manifest::ReplaceOrder;
use crate::value::{Digest, Json, Map, Marker, Path, Segment, canonical, json, marker};

/// Digest of the steps and of `context`: names and values, such as a plugin's digest and settings as written in the
/// project, in any order.
pub fn digest(plan: &Plan, context: &[(String, String)]) -> Digest {
    let mut hash = Sha256::new();
    for step in &plan.steps {
        hash.update(canonical(&line(plan, step)));
        hash.update("\n");
    }
    for wait in &plan.waits {
        hash.update(canonical(&waited(plan, wait)));
        hash.update("\n");
    }
    let mut context: Vec<_> = context.iter().collect();
    context.sort_unstable();
    for (name, value) in context {
        hash.update(canonical(&json!({ "context": name, "value": value })));
        hash.update("\n");
    }
    Digest(hash.finalize().into())
}

fn address(it: &Address) -> Json {
    json!([&*it.scope.provider, &*it.scope.kind, &*it.scope.scope, &*it.key])
}

fn waited(plan: &Plan, wait: &Wait) -> Json {
    let before = wait.before.iter().filter_map(|at| plan.steps.get(*at));
    let before: Vec<Json> = before.map(|it| json!([it.action.name(), it.resource.as_str(), address(&it.address)])).collect();
    json!({ "wait": address(&wait.address), "resource": wait.resource.as_str(), "for": &*wait.condition, "before": before })
}

fn line(plan: &Plan, step: &Step) -> Json {
    let order = match step.action {
        Action::Replace(ReplaceOrder::CreateFirst) => "create-first",
        Action::Replace(ReplaceOrder::DeleteFirst) => "delete-first",
        _ => "",
    };
    let prior: Vec<Json> = step
        .changes
        .iter()
        .map(|it| json!([it.path.to_string(), it.before.as_ref().map(hidden), it.after.is_some(), it.origin.name()]))
        .collect();
    let after = step.after.iter().filter_map(|at| plan.steps.get(*at));
    let after: Vec<Json> = after.map(|it| json!([it.action.name(), it.resource.as_str(), address(&it.address)])).collect();
    json!({
        "action": step.action.name(),
        "order": order,
        "resource": step.resource.as_str(),
        "object": address(&step.address),
        "from": step.from.as_ref().map(|it| json!([it.resource.as_str(), address(&it.address)])),
        "desired": step.desired.as_ref().map(|it| told(it, step, &Path::default())),
        "prior": prior,
        "after": after,
    })
}

/// A document with each secret as its name and whether it changes. HMACs are made with a key of the machine's store.
fn told(value: &Json, step: &Step, path: &Path) -> Json {
    match (marker(value), value) {
        (Some(Marker::Secret { name, .. }), _) => {
            let changed = step.changes.iter().any(|change| {
                change.path.covers(path) && {
                    let below = Path(path.0.get(change.path.0.len()..).unwrap_or_default().to_vec());
                    let before = change.before.as_ref().and_then(|it| below.get(it));
                    before.is_none_or(|before| !same_value(before, value))
                }
            });
            json!({ "$secret": name, "changed": changed })
        }
        (None, Json::Object(map)) => map.iter().map(|(key, value)| (key.clone(), told(value, step, &path.key(key)))).collect(),
        (None, Json::Array(items)) => {
            let each = items.iter().enumerate();
            each.map(|(at, item)| told(item, step, &path.with(Segment::Index(at)))).collect()
        }
        _ => value.clone(),
    }
}

/// An observed value without anything of a secret but that there is one.
fn hidden(value: &Json) -> Json {
    match (marker(value), value) {
        (Some(Marker::Secret { .. }), _) => json!({ "$secret": "" }),
        (None, Json::Object(map)) => map.iter().map(|(key, value)| (key.clone(), hidden(value))).collect::<Map<_, _>>().into(),
        (None, Json::Array(items)) => items.iter().map(hidden).collect(),
        _ => value.clone(),
    }
}
