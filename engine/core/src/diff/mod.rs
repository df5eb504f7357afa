//! Three-way comparison of documents: desired, last applied, observed.
//!
//! Owns the meaning of "different": which fields are ours, when two values are equal under a kind's hints, and where a
//! difference comes from. It knows nothing of objects, ownership or steps.
//!
//! Invariant: a field that is neither desired nor was applied is the server's and is never part of a change.

mod equal;
mod walk;

use std::sync::Arc;

use crate::manifest::Hints;
use crate::value::{Json, Map, Path, Segment, is_item, item_key, marker};

pub use equal::{hollow, same_value};
use walk::Walk;

/// Where a difference comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A new revision wants it.
    Git,
    /// The world moved away from the last applied document.
    Drift,
    Both,
}

impl Origin {
    /// The word for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Drift => "drift",
            Self::Both => "both",
        }
    }
}

/// One difference of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub path: Path,
    /// As observed (of a write-only field: as last applied). None: the field is not there.
    pub before: Option<Json>,
    pub after: Option<Json>,
    pub origin: Origin,
}

/// Everything that must change so that `observed` becomes `desired`, in the order of the desired document.
///
/// `applied` is the document that was last applied; without it nothing is ever removed, and every change is Git's.
/// `ignore` are paths of `trueup.dev/ignore`: they and all below them are never a change.
pub fn compare(desired: &Json, applied: Option<&Json>, observed: &Json, hints: &Hints, ignore: &[Path]) -> Vec<Change> {
    let ignore: Vec<Path> = ignore.iter().map(|path| located(path, desired, observed, hints)).collect();
    let mut walk = Walk::new(hints, &ignore, applied.is_some());
    walk.node(Some(desired), applied, Some(observed));
    walk.into_changes()
}

/// The values a new object gets: one change for each leaf of `desired`; a list is one leaf.
pub fn leaves(desired: &Json) -> Vec<Change> {
    let mut out = Vec::new();
    each_leaf(desired, &mut |path, value| {
        out.push(Change { path, before: None, after: Some(value.clone()), origin: Origin::Git });
    });
    out
}

/// What goes with an object that is deleted: the observed values at the leaves of `applied`.
pub fn owned(applied: &Json, observed: &Json) -> Vec<Change> {
    let mut out = Vec::new();
    each_leaf(applied, &mut |path, _| {
        if let Some(value) = path.get(observed) {
            out.push(Change { before: Some(value.clone()), path, after: None, origin: Origin::Git });
        }
    });
    out
}

/// `desired` as it is sent to an object that exists: at ignored paths the object keeps what it has.
pub fn keep_ignored(desired: &Arc<Json>, observed: &Json, ignore: &[Path]) -> Arc<Json> {
    if ignore.is_empty() {
        return desired.clone();
    }
    let mut out = Json::clone(desired);
    for path in ignore {
        put(&mut out, &path.0, path.get(observed));
    }
    if out == **desired { desired.clone() } else { Arc::new(out) }
}

/// Whether a change reaches the field that `hint` names (a path without list indexes): it stands at it or below it, or
/// it stands above it and the values under the hint differ.
pub fn touches(change: &Change, hint: &Path) -> bool {
    let bare: Vec<&str> = change.path.0.iter().filter_map(key_of).collect();
    let matched = bare.iter().zip(&hint.0).all(|(key, segment)| names(segment, key));
    if !matched {
        return false;
    }
    let Some(rest) = hint.0.get(bare.len()..) else { return true };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    gather(change.before.as_ref(), rest, &mut before);
    gather(change.after.as_ref(), rest, &mut after);
    before.len() != after.len() || before.iter().zip(&after).any(|(before, after)| !same_value(before, after))
}

/// The key of a mapping's segment; list segments have none.
pub(crate) fn key_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Key(key) => Some(key),
        Segment::Index(_) | Segment::Item { .. } => None,
    }
}

/// Whether a hint's segment stands for `key`; `*` stands for every key of a mapping.
pub(crate) fn names(segment: &Segment, key: &str) -> bool {
    key_of(segment).is_some_and(|it| it == key || it == "*")
}

/// Values below `value` at a hint's remaining segments, through all items of lists.
fn gather<'a>(value: Option<&'a Json>, rest: &[Segment], out: &mut Vec<&'a Json>) {
    match (value, rest.split_first()) {
        (None | Some(Json::Null), _) => {}
        (Some(Json::Array(items)), Some(_)) => items.iter().for_each(|item| gather(Some(item), rest, out)),
        (Some(value), None) => out.push(value),
        (Some(Json::Object(map)), Some((segment, rest))) => {
            map.iter().filter(|(key, _)| names(segment, key)).for_each(|(_, value)| gather(Some(value), rest, out));
        }
        (Some(_), Some(_)) => {}
    }
}

fn each_leaf(root: &Json, found: &mut dyn FnMut(Path, &Json)) {
    // Depth-first on a stack of our own: members are pushed in reverse so that leaves come in the document's order.
    let mut stack = vec![(Path::default(), root)];
    while let Some((path, value)) = stack.pop() {
        match value {
            Json::Object(map) if !map.is_empty() && marker(value).is_none() => {
                stack.extend(map.iter().rev().map(|(key, value)| (path.key(key), value)));
            }
            Json::Null | Json::Object(_) if marker(value).is_none() => {}
            leaf => found(path, leaf),
        }
    }
}

/// The form of an ignored path that the walk itself uses: `[name=web]` in lists with that merge key, positions elsewhere.
fn located(path: &Path, desired: &Json, observed: &Json, hints: &Hints) -> Path {
    let mut out = Path::default();
    for segment in &path.0 {
        let list = out.get(desired).or_else(|| out.get(observed)).and_then(Json::as_array);
        let bare: Vec<&str> = out.0.iter().filter_map(key_of).collect();
        let merge = hints
            .list_keys
            .iter()
            .find(|(hint, _)| hint.0.len() == bare.len() && hint.0.iter().zip(&bare).all(|(segment, key)| names(segment, key)));
        // The item that is meant, however it is written: by its position, by one of its fields, by all of its key.
        let meant = match (segment, list) {
            (Segment::Index(at), Some(items)) => items.get(*at).map(|it| (*at, it)),
            (Segment::Item { key, value }, Some(items)) => {
                items.iter().enumerate().find(|(_, item)| is_item(key, value, |field| item_key(item.get(field)?)))
            }
            _ => None,
        };
        let keyed = |item: &Json| merge.and_then(|(_, key)| Some(key.segment(key.value(item)?)));
        let next = meant.map(|(at, item)| keyed(item).unwrap_or(Segment::Index(at)));
        out.0.push(next.unwrap_or_else(|| segment.clone()));
    }
    out
}

/// Sets or removes one value; parents that are missing are made only for a value, and only where they are mappings.
fn put(root: &mut Json, path: &[Segment], value: Option<&Json>) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = root;
    for segment in parents {
        let next = match (segment, at) {
            (Segment::Key(key), Json::Object(map)) => match value {
                Some(_) => Some(map.entry(key.clone()).or_insert_with(|| Json::Object(Map::new()))),
                None => map.get_mut(key),
            },
            (segment, Json::Array(items)) => item_mut(items, segment),
            _ => None,
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (last, at, value) {
        (Segment::Key(key), Json::Object(map), Some(value)) => drop(map.insert(key.clone(), value.clone())),
        (Segment::Key(key), Json::Object(map), None) => drop(map.remove(key)),
        (segment, Json::Array(items), Some(value)) => {
            if let Some(item) = item_mut(items, segment) {
                *item = value.clone();
            }
        }
        _ => {}
    }
}

fn item_mut<'a>(items: &'a mut [Json], segment: &Segment) -> Option<&'a mut Json> {
    match segment {
        Segment::Key(_) => None,
        Segment::Index(at) => items.get_mut(*at),
        Segment::Item { key, value } => items.iter_mut().find(|item| is_item(key, value, |field| item_key(item.get(field)?))),
    }
}

#[cfg(test)]
mod tests;
