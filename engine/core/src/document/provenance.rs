//! Where the values of a resource come from, through layers and expressions.

use std::collections::HashSet;

use super::gather::{Gathered, Part, gather};
use super::layer::Merge;
use super::node::{Node, Value};
use super::{Input, Limits, Provenance};
use crate::address::ResourceId;
use crate::manifest::{Hints, Kind};
use crate::value::{Path, Segment};

/// Values that one question is answered for.
const MAX_LEAVES: usize = 10_000;

/// For each scalar at or below `path` of a resource's document: the layer and place that set it, then those it overrode.
///
/// Texts are as written, expressions not evaluated. Empty where the resource or the field is not declared. Items of lists
/// that merge by a key are named by it in the answer.
pub fn provenance(input: &Input<'_>, id: &ResourceId, path: &Path) -> Vec<Provenance> {
    let Gathered { sources, mut declared, .. } = gather(input, &Limits::default());
    let Some(found) = declared.get_mut(id).filter(|it| it.parts.last().is_some_and(|it| !it.remove)) else { return Vec::new() };
    let kind = found.kind.clone();
    let mut parts = std::mem::take(&mut found.parts);
    // What a layer removed left nothing behind.
    let first = parts.iter().rposition(|it| it.remove).map_or(0, |at| at + 1);
    parts.drain(..first);
    let mut merge = Merge::new(&kind, &sources);
    let mut bodies = parts.iter().map(|it| it.body.clone());
    let Some(mut merged) = bodies.next() else { return Vec::new() };
    bodies.for_each(|body| merge.over(&mut merged, body));
    let Some((path, node)) = named(&merged, path, &kind) else { return Vec::new() };
    let mut leaves = Vec::new();
    collect(node, &mut path.0.clone(), &kind, &mut leaves);
    leaves.into_iter().map(|path| sources_of(path, &merged, &parts, input, &sources)).collect()
}

/// The path with items of keyed lists by their keys, and the node it leads to.
fn named<'a>(root: &'a Node, path: &Path, kind: &Kind) -> Option<(Path, &'a Node)> {
    let mut at = root;
    let mut out = Path::default();
    for segment in &path.0 {
        let next = at.step(segment)?;
        let segment = match (segment, Hints::of(&kind.hints.list_keys, &out)) {
            (Segment::Index(_), Some(key)) => item(next, key).unwrap_or_else(|| segment.clone()),
            _ => segment.clone(),
        };
        out.0.push(segment);
        at = next;
    }
    Some((out, at))
}

fn item(node: &Node, key: &str) -> Option<Segment> {
    Some(Segment::Item { key: key.to_owned(), value: node.get(key)?.key_text()? })
}

/// Paths of the scalars and empty collections below a node.
fn collect(node: &Node, path: &mut Vec<Segment>, kind: &Kind, out: &mut Vec<Path>) {
    if out.len() >= MAX_LEAVES {
        return;
    }
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            let key = Hints::of(&kind.hints.list_keys, &Path(path.clone()));
            for (at, inner) in items.iter().enumerate() {
                path.push(key.and_then(|key| item(inner, key)).unwrap_or(Segment::Index(at)));
                collect(inner, path, kind, out);
                path.pop();
            }
        }
        Value::Map(members) if !members.is_empty() => {
            for member in members {
                path.push(Segment::Key(member.key.clone()));
                collect(&member.node, path, kind, out);
                path.pop();
            }
        }
        _ => out.push(Path(path.clone())),
    }
}

fn sources_of(path: Path, merged: &Node, parts: &[Part], input: &Input<'_>, sources: &super::node::Sources) -> Provenance {
    let winner = merged.find(&path).map(|it| it.span);
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for part in parts.iter().rev() {
        let Some(node) = part.body.find(&path) else { continue };
        // A value that a later layer replaced together with all around it is none that this one overrode.
        let wins = winner == Some(node.span);
        if out.is_empty() && !wins || !seen.insert((node.span.file, node.span.start)) {
            continue;
        }
        let layer = input.layers.get(part.layer).map_or_else(|| "".into(), |it| it.name.clone());
        out.push((layer, sources.location(part.body.span_of(&path)), node.to_json()));
    }
    Provenance { path, sources: out }
}
