//! Unknown values: which there are while planning, and what becomes of a step once its own are known.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Action, Plan, Step, World};
use crate::address::ResourceId;
use crate::diff::{self, same_value};
use crate::document::Settings;
use crate::manifest::Kind;
use crate::observation::Observed;
use crate::value::{Json, Marker, Path, Segment, marker, unknown};

/// What a step is once nothing in its document is unknown any more.
#[derive(Clone, Debug, PartialEq)]
pub enum Late {
    /// As planned, with the values filled in.
    Ready(Box<Step>),
    /// The object has all of it already.
    Unchanged,
    /// It is no longer what was reviewed, and why: the step and all that depend on it stop, and the next pass plans again.
    Moved(String),
}

/// Fills in a step whose document held unknowns.
///
/// `document` is the whole desired document, all known; `applied` the last applied one. The step is compared again: only
/// what the plan left open may differ from it.
pub fn settle(step: &Step, document: &Arc<Json>, applied: Option<&Json>, kind: &Kind, settings: &Settings) -> Late {
    let Some(planned) = &step.desired else { return Late::Moved("it has no document".to_owned()) };
    if let Some(path) = first_unknown(document) {
        return Late::Moved(format!("`{path}` is still unknown"));
    }
    let prior = step.from.as_ref().and_then(|it| it.prior.as_ref()).or(step.prior.as_ref());
    let now = prior.and_then(|it| it.doc.as_ref());
    let sent = match (now, step.action) {
        (Some(now), Action::Update | Action::Adopt | Action::Move) => diff::keep_ignored(document, now, &settings.ignore),
        _ => document.clone(),
    };
    if let Some(path) = misfit(planned, &sent) {
        return Late::Moved(format!("`{path}` came out different from what was planned"));
    }
    let filled = Step { desired: Some(sent), desired_digest: Some(crate::value::Digest::of_json(document)), ..step.clone() };
    let Some(now) = now else {
        return Late::Ready(Box::new(Step { changes: diff::leaves(document), ..filled }));
    };
    let changes = diff::compare(document, applied, now, &kind.hints, &settings.ignore);
    let planned = |path: &Path| step.changes.iter().any(|it| it.path.covers(path) || path.covers(&it.path));
    if let Some(change) = changes.iter().find(|it| !planned(&it.path)) {
        return Late::Moved(format!("`{}` would change, which was not planned", change.path));
    }
    let immutable = changes.iter().find(|it| kind.hints.immutable.iter().any(|hint| diff::touches(it, hint)));
    match (step.action, immutable) {
        (Action::Update | Action::Adopt | Action::Move, Some(change)) => {
            Late::Moved(format!("`{}` cannot change in place, and no replacement was planned", change.path))
        }
        (Action::Update | Action::Replace(_), _) if changes.is_empty() && step.from.is_none() => Late::Unchanged,
        (Action::Replace(_), None) if step.from.is_none() && step.reasons.iter().any(|it| it.code == "immutable") => {
            Late::Moved("it would only be updated, and a replacement was planned".to_owned())
        }
        _ => Late::Ready(Box::new(Step { changes, ..filled })),
    }
}

/// The first place where `value` differs from `planned` beyond what was left open.
fn misfit(planned: &Json, value: &Json) -> Option<Path> {
    let mut stack = vec![(Path::default(), planned, value)];
    while let Some((path, planned, value)) = stack.pop() {
        match (marker(planned), planned, value) {
            (Some(Marker::Unknown(_)), ..) => {}
            (None, Json::Object(left), Json::Object(right)) => {
                if let Some(key) = right.keys().find(|key| !left.contains_key(*key)) {
                    return Some(path.key(key));
                }
                for (key, planned) in left {
                    match right.get(key) {
                        Some(value) => stack.push((path.key(key), planned, value)),
                        None => return Some(path.key(key)),
                    }
                }
            }
            (None, Json::Array(left), Json::Array(right)) if left.len() == right.len() => {
                let items = left.iter().zip(right).enumerate();
                stack.extend(items.map(|(at, (planned, value))| (path.with(Segment::Index(at)), planned, value)));
            }
            // Secrets have one HMAC in one run; a composed one may have been open until now.
            (Some(Marker::Secret { name, hmac: "" }), ..) if matches!(marker(value), Some(Marker::Secret { name: other, .. }) if other == name) =>
                {}
            _ if same_value(planned, value) => {}
            _ => return Some(path),
        }
    }
    None
}

fn first_unknown(value: &Json) -> Option<Path> {
    let mut stack = vec![(Path::default(), value)];
    while let Some((path, value)) = stack.pop() {
        match (marker(value), value) {
            (Some(Marker::Unknown(_)), _) => return Some(path),
            (None, Json::Object(map)) => stack.extend(map.iter().map(|(key, value)| (path.key(key), value))),
            (None, Json::Array(items)) => {
                stack.extend(items.iter().enumerate().map(|(at, value)| (path.with(Segment::Index(at)), value)));
            }
            _ => {}
        }
    }
    None
}

/// Outputs of resources as far as they are known before `plan` is applied: what `.status` of an expression may read.
pub struct Outputs<'a> {
    world: &'a World<'a>,
    plan: &'a Plan,
    objects: HashMap<&'a ResourceId, &'a Observed>,
    steps: HashMap<&'a ResourceId, Vec<usize>>,
}

/// Prepares [`Outputs::get`]. A caller whose documents wait for a status plans with what is known, resolves them again
/// with the outcome, and repeats until no document changes: each round settles one more level of the graph.
pub fn known_outputs<'a>(world: &'a World<'a>, plan: &'a Plan) -> Outputs<'a> {
    let mut objects = HashMap::new();
    for want in world.desired {
        let found = world.views.get(&want.address.scope).and_then(|it| it.objects.get(&want.address.key));
        if let Some(found) = found {
            objects.entry(&want.resource).or_insert(found);
        }
    }
    let mut steps: HashMap<&ResourceId, Vec<usize>> = HashMap::new();
    for (at, step) in plan.steps.iter().enumerate().filter(|(_, it)| it.source.is_some()) {
        if let Some(prior) = &step.prior {
            objects.insert(&step.resource, prior);
        }
        steps.entry(&step.resource).or_default().push(at);
    }
    Outputs { world, plan, objects, steps }
}

impl Outputs<'_> {
    /// The outputs of a resource, with an unknown marker at each one that an update in the plan may change. None where all
    /// of it is unknown: the resource is created or replaced, or its object is not there.
    pub fn get(&self, resource: &ResourceId) -> Option<Json> {
        let steps = self.steps.get(resource).into_iter().flatten().filter_map(|at| self.plan.steps.get(*at));
        let mut outputs = self.objects.get(resource)?.outputs.as_ref().map(|it| Json::clone(it)).unwrap_or_default();
        for step in steps {
            match step.action {
                Action::Create | Action::Replace(_) => return None,
                Action::Update | Action::Adopt => {}
                Action::Delete | Action::Move | Action::Forget => continue,
            }
            let hints = step.source.and_then(|at| self.world.desired.get(at)).map(|it| &it.kind.hints);
            for (output, fields) in hints.map(|it| it.status_from.as_slice()).unwrap_or_default() {
                if step.changes.iter().any(|change| fields.iter().any(|field| diff::touches(change, field))) {
                    mask(&mut outputs, output, &(self.world.shown)(resource));
                }
            }
        }
        Some(outputs)
    }
}

/// Puts an unknown at `path`, whose parents are made where they are missing. A leading `status` is the outputs themselves.
fn mask(outputs: &mut Json, path: &Path, shown: &str) {
    let mut at = outputs;
    let keys: Vec<&str> = path.0.iter().filter_map(diff::key_of).collect();
    let keys = keys.strip_prefix(&["status"]).unwrap_or(&keys);
    for key in keys {
        if !at.is_object() {
            *at = Json::Object(crate::value::Map::new());
        }
        let Some(map) = at.as_object_mut() else { return };
        at = map.entry((*key).to_owned()).or_insert(Json::Null);
    }
    *at = unknown(shown);
}
