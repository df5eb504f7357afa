//! The walk over three documents at once.

use std::collections::{HashMap, HashSet};

use super::equal::{hollow, same_value};
use super::{Change, Origin, gather, key_of, names};
use crate::manifest::{Hints, ListKey};
use crate::value::{Json, Map, Marker, Path, Segment, canonical, marker};

/// Pairs of list items that are compared one by one before two long sets simply count as different.
const SET_PAIRS: usize = 1_000_000;

/// Only whether there is any difference is asked: one is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// Between documents of ours.
    Full,
    /// With what was observed: of fields that are never read back nothing can be said.
    Observed,
}

/// State of one comparison. Depth is bounded by the readers of documents (64) and of observations (128).
pub(super) struct Walk<'a> {
    hints: &'a Hints,
    ignore: &'a [Path],
    /// Whether a last applied document is known at all.
    applied: bool,
    path: Path,
    probe: Option<Probe>,
    changes: Vec<Change>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(hints: &'a Hints, ignore: &'a [Path], applied: bool) -> Self {
        Self { hints, ignore, applied, path: Path::default(), probe: None, changes: Vec::new() }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Compares the values at the present path. Null is the same as not being there.
    pub(super) fn node(&mut self, desired: Option<&Json>, applied: Option<&Json>, observed: Option<&Json>) {
        let write_only = self.at(&self.hints.write_only);
        let pointless = (self.probe.is_some() && !self.changes.is_empty()) || (self.probe == Some(Probe::Observed) && write_only);
        if pointless || self.at(&self.hints.computed) || self.ignore.contains(&self.path) {
            return;
        }
        let (desired, applied) = (there(desired), there(applied));
        // What is never read back can only be compared with what was last sent.
        let observed = if write_only && self.probe.is_none() { applied } else { there(observed) };
        match (desired, observed) {
            (None, None) => {}
            (None, Some(observed)) => {
                if applied.is_some_and(|it| !hollow(it)) {
                    self.push(None, applied, Some(observed));
                }
            }
            (Some(desired), None) if hollow(desired) => {}
            (Some(desired), observed) => self.both(desired, applied, observed),
        }
    }

    fn both(&mut self, desired: &Json, applied: Option<&Json>, observed: Option<&Json>) {
        let container = marker(desired).is_none();
        match (desired, observed) {
            (Json::Object(members), Some(Json::Object(found))) if container && observed.and_then(marker).is_none() => {
                self.members(members, applied.and_then(Json::as_object), Some(found));
            }
            (Json::Object(members), None) if container && self.hinted_below() => {
                self.members(members, applied.and_then(Json::as_object), None);
            }
            (Json::Array(items), Some(Json::Array(found))) => self.list(desired, items, applied, found, observed),
            (_, Some(found)) if self.same(desired, found) => {}
            _ => self.push(Some(desired), applied, observed),
        }
    }

    fn members(
        &mut self,
        desired: &Map<String, Json>,
        applied: Option<&Map<String, Json>>,
        observed: Option<&Map<String, Json>>,
    ) {
        for (key, value) in desired {
            self.step(Segment::Key(key.clone()), |walk| {
                walk.node(Some(value), applied.and_then(|it| it.get(key)), observed.and_then(|it| it.get(key)));
            });
        }
        for (key, value) in applied.into_iter().flatten().filter(|(key, _)| !desired.contains_key(*key)) {
            self.step(Segment::Key(key.clone()), |walk| walk.node(None, Some(value), observed.and_then(|it| it.get(key))));
        }
    }

    fn list(&mut self, whole: &Json, desired: &[Json], applied: Option<&Json>, observed: &[Json], found: Option<&Json>) {
        let was = applied.and_then(Json::as_array).map(Vec::as_slice);
        if let Some(key) = self.merge_key() {
            let caseless = self.is_caseless(key.name());
            if let Some(items) = keyed(desired, &key, caseless) {
                return self.keyed(&key, caseless, &items, was.unwrap_or_default(), observed);
            }
        }
        let unordered = self.at(&self.hints.unordered);
        if !unordered && desired.len() == observed.len() && desired.iter().chain(observed).all(is_mapping) {
            for (index, (item, found)) in desired.iter().zip(observed).enumerate() {
                let was = was.filter(|it| it.len() == desired.len()).and_then(|it| it.get(index));
                self.step(Segment::Index(index), |walk| walk.node(Some(item), was, Some(found)));
            }
            return;
        }
        let probe = self.probe.unwrap_or(Probe::Observed);
        if !self.same_items(desired, observed, probe, unordered) || self.rewrites(whole, desired, was, unordered) {
            self.push(Some(whole), applied, found);
        }
    }

    /// Items by merge key. Items that only the server has stay its own, as a field would.
    fn keyed(&mut self, key: &ListKey, caseless: bool, desired: &[(String, &Json)], applied: &[Json], observed: &[Json]) {
        let (was, found) = (by_key(applied, key, caseless), by_key(observed, key, caseless));
        let segment = |item: &Json| key.segment(key.value(item).unwrap_or_default());
        for (value, wanted) in desired {
            let (was, found) = (was.get(value).copied(), found.get(value).copied());
            self.step(segment(wanted), |walk| walk.node(Some(wanted), was, found));
        }
        let wanted: HashSet<&str> = desired.iter().map(|(value, _)| value.as_str()).collect();
        for before in applied {
            let Some(value) = folded(key, before, caseless).filter(|it| !wanted.contains(it.as_str())) else { continue };
            let now = found.get(&value).copied();
            self.step(segment(before), |walk| walk.node(None, Some(before), now));
        }
    }

    /// Whether the field `key` of the items of the list at the present path is compared without regard to case.
    fn is_caseless(&mut self, key: &str) -> bool {
        let mut caseless = false;
        self.step(Segment::Key(key.to_owned()), |walk| caseless = walk.at(&walk.hints.caseless));
        caseless
    }

    /// Whether items that are compared as a whole hold a write-only field that was not sent as it is declared: what is
    /// observed tells nothing of it.
    fn rewrites(&self, whole: &Json, desired: &[Json], was: Option<&[Json]>, unordered: bool) -> bool {
        let mut sent = Vec::new();
        if self.probe.is_none() {
            let depth = self.path.0.iter().filter_map(key_of).count();
            let below = self.hints.write_only.iter().filter(|hint| self.is_above(hint));
            below.for_each(|hint| gather(Some(whole), hint.0.get(depth..).unwrap_or_default(), &mut sent));
        }
        !sent.is_empty() && was.is_none_or(|was| !self.same_items(desired, was, Probe::Full, unordered))
    }

    fn same_items(&self, desired: &[Json], other: &[Json], probe: Probe, unordered: bool) -> bool {
        if desired.len() != other.len() {
            false
        } else if unordered {
            self.same_set(desired, other, probe)
        } else {
            desired.iter().zip(other).all(|(item, found)| self.agrees(item, found, probe))
        }
    }

    /// Whether two lists of one length hold the same items in any order. Equal texts are paired first; what remains is
    /// compared with the hints, as an observed item may carry fields that nobody declared.
    fn same_set(&self, desired: &[Json], observed: &[Json], probe: Probe) -> bool {
        let mut texts: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, item) in observed.iter().enumerate() {
            texts.entry(canonical(item)).or_default().push(index);
        }
        let mut free = vec![true; observed.len()];
        let mut rest = Vec::new();
        for item in desired {
            // A secret or an unknown is never equal by its text alone.
            let paired = texts.get_mut(&canonical(item)).filter(|_| same_value(item, item)).and_then(Vec::pop);
            match paired.and_then(|index| free.get_mut(index)) {
                Some(slot) => *slot = false,
                None => rest.push(item),
            }
        }
        if rest.len().saturating_mul(rest.len()) > SET_PAIRS {
            return false;
        }
        rest.into_iter().all(|item| {
            let at = observed
                .iter()
                .enumerate()
                .find(|(index, found)| free.get(*index).is_some_and(|it| *it) && self.agrees(item, found, probe));
            at.and_then(|(index, _)| free.get_mut(index)).is_some_and(|slot| std::mem::replace(slot, false))
        })
    }

    fn same(&self, desired: &Json, observed: &Json) -> bool {
        match (desired, observed) {
            (Json::String(left), Json::String(right)) if self.at(&self.hints.caseless) => {
                left == right || left.to_lowercase() == right.to_lowercase()
            }
            _ => same_value(desired, observed),
        }
    }

    /// Whether `observed` has all of `desired` at the present path.
    fn agrees(&self, desired: &Json, observed: &Json, probe: Probe) -> bool {
        let mut walk = Walk { path: self.path.clone(), probe: Some(probe), ..Walk::new(self.hints, self.ignore, false) };
        walk.both_or_hollow(desired, observed);
        walk.changes.is_empty()
    }

    /// As [`Walk::node`], past the checks of the path itself: those have been made.
    fn both_or_hollow(&mut self, desired: &Json, observed: &Json) {
        match (there(Some(desired)), there(Some(observed))) {
            (None, None) => {}
            (Some(desired), None) if hollow(desired) => {}
            (None, observed) => self.push(None, None, observed),
            (Some(desired), observed) => self.both(desired, None, observed),
        }
    }

    fn push(&mut self, desired: Option<&Json>, applied: Option<&Json>, observed: Option<&Json>) {
        let origin = if self.probe.is_some() { Origin::Git } else { self.origin(desired, applied, observed) };
        self.changes.push(Change { path: self.path.clone(), before: observed.cloned(), after: desired.cloned(), origin });
    }

    fn origin(&self, desired: Option<&Json>, applied: Option<&Json>, observed: Option<&Json>) -> Origin {
        let alike = |left: Option<&Json>, right: Option<&Json>, probe: Probe| match (left, right) {
            (Some(left), Some(right)) => self.agrees(left, right, probe),
            (Some(one), None) | (None, Some(one)) => hollow(one),
            (None, None) => true,
        };
        if !self.applied || self.at(&self.hints.write_only) {
            Origin::Git
        } else if alike(desired, applied, Probe::Full) && alike(applied, desired, Probe::Full) {
            Origin::Drift
        } else if alike(applied, observed, Probe::Observed) {
            Origin::Git
        } else {
            Origin::Both
        }
    }

    fn step(&mut self, segment: Segment, inner: impl FnOnce(&mut Self)) {
        self.path.0.push(segment);
        inner(self);
        self.path.0.pop();
    }

    fn merge_key(&self) -> Option<ListKey> {
        self.hints.list_keys.iter().find(|(hint, _)| self.is(hint)).map(|(_, key)| key.clone())
    }

    fn at(&self, hints: &[Path]) -> bool {
        hints.iter().any(|hint| self.is(hint))
    }

    /// Whether `hint` names the present path, list segments left out.
    fn is(&self, hint: &Path) -> bool {
        let mut keys = self.path.0.iter().filter_map(key_of);
        // A list's items share its bare path; what is said of the list is not said of its items, which have no hint of their own.
        !matches!(self.path.0.last(), Some(Segment::Index(_) | Segment::Item { .. }))
            && hint.0.iter().all(|segment| keys.next().is_some_and(|key| names(segment, key)))
            && keys.next().is_none()
    }

    /// Whether something is said of a field below the present path, so that it must not be reported as one whole.
    fn hinted_below(&self) -> bool {
        self.hints.computed.iter().chain(&self.hints.write_only).any(|hint| self.is_above(hint))
            || self.ignore.iter().any(|path| path.0.len() > self.path.0.len() && self.path.covers(path))
    }

    /// Whether `hint` names a field below the present path, list segments left out.
    fn is_above(&self, hint: &Path) -> bool {
        let mut keys = self.path.0.iter().filter_map(key_of);
        let mut segments = hint.0.iter();
        keys.all(|key| segments.next().is_some_and(|segment| names(segment, key))) && segments.next().is_some()
    }
}

/// The value of an item's merge key, in lower case where case means nothing.
fn folded(key: &ListKey, item: &Json, caseless: bool) -> Option<String> {
    let text = key.value(item)?;
    Some(if caseless { text.to_lowercase() } else { text })
}

/// The items by merge key; None where one has none, an unknown one, or shares it.
fn keyed<'a>(items: &'a [Json], key: &ListKey, caseless: bool) -> Option<Vec<(String, &'a Json)>> {
    let mut seen = HashSet::with_capacity(items.len());
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let text = folded(key, item, caseless)?;
        if !seen.insert(text.clone()) {
            return None;
        }
        out.push((text, item));
    }
    Some(out)
}

/// Items by the text of their merge key; the first of several that share it.
fn by_key<'a>(items: &'a [Json], key: &ListKey, caseless: bool) -> HashMap<String, &'a Json> {
    items.iter().rev().filter_map(|item| Some((folded(key, item, caseless)?, item))).collect()
}

fn there(value: Option<&Json>) -> Option<&Json> {
    value.filter(|it| !it.is_null())
}

fn is_mapping(value: &Json) -> bool {
    value.is_object() && !matches!(marker(value), Some(Marker::Unknown(_) | Marker::Secret { .. } | Marker::Blob { .. }))
}
