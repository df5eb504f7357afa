//! Where the values of a resource come from, through layers and expressions.

use std::collections::HashSet;

use super::gather::{Declared, Gathered, Part, gather};
use super::layer::Merge;
use super::node::{Node, Value};
use super::{Input, Limits, Provenance, ReadFrom, Shortener};
use crate::address::ResourceId;
use crate::diagnostic::Location;
use crate::expression::Template;
use crate::manifest::{Hints, Kind, ListKey};
use crate::value::{Json, Path, Segment};

/// Values that one question is answered for.
const MAX_LEAVES: usize = 10_000;
/// References of one value that are followed.
const MAX_READS: usize = 16;

/// For each scalar at or below `path` of a resource's document: the layer and place that set it, then those it overrode,
/// and what its expressions read of other resources.
///
/// Texts are as written, expressions not evaluated. Empty where the resource or the field is not declared. Items of lists
/// that merge by a key are named by it in the answer.
pub fn provenance(input: &Input<'_>, id: &ResourceId, path: &Path) -> Vec<Provenance> {
    let gathered = gather(input, &Limits::default());
    let mut out = leaves(input, &gathered, id, path);
    let ids = gathered.declared.iter().filter(|(_, it)| it.parts.last().is_some_and(|it| !it.remove));
    let names = Shortener::new(ids.map(|(id, _)| id.clone()));
    for leaf in &mut out {
        let Some((_, _, Json::String(text))) = leaf.sources.first() else { continue };
        let Ok(Some(template)) = Template::parse(text) else { continue };
        for reference in template.references().iter().take(MAX_READS) {
            let Ok(id) = names.resolve(&reference.text) else { continue };
            let field = if reference.status { "status" } else { "spec" };
            let mut path = vec![Segment::Key(field.to_owned())];
            path.extend(reference.path.0.iter().cloned());
            let path = Path(path);
            let found = if reference.status { Vec::new() } else { leaves(input, &gathered, &id, &path) };
            let sources = found.into_iter().find(|it| it.path == path).map(|it| it.sources).unwrap_or_default();
            leaf.reads.push(ReadFrom { id, path, sources });
        }
    }
    out
}

/// Where each field stands that a resource and an RFC 6901 pointer into its document name: in the layer that set it, or what is
/// nearest around it. None for resources that these files do not declare.
pub fn locate(input: &Input<'_>, fields: &[(&ResourceId, &str)]) -> Vec<Option<Location>> {
    let gathered = gather(input, &Limits::default());
    let place = |(id, pointer): &(&ResourceId, &str)| {
        let found = gathered.declared.get(*id)?;
        let merged = merged(found, &gathered)?;
        let mut path = Path::default();
        let mut at = &merged;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let segment = match &at.value {
                Value::List(_) => token.parse().map(Segment::Index).ok(),
                _ => Some(Segment::Key(token)),
            };
            let Some((segment, next)) = segment.and_then(|it| at.step(&it).map(|next| (it, next))) else { break };
            path.0.push(segment);
            at = next;
        }
        Some(gathered.sources.location(merged.span_of(&path)))
    };
    fields.iter().map(place).collect()
}

/// Parts of a resource that no later layer removed.
fn parts_of(found: &Declared) -> &[Part] {
    let first = found.parts.iter().rposition(|it| it.remove).map_or(0, |at| at + 1);
    found.parts.get(first..).unwrap_or_default()
}

/// The document of all layers together; none where nothing is left of it.
fn merged(found: &Declared, gathered: &Gathered) -> Option<Node> {
    let mut merge = Merge::new(&found.kind, &gathered.sources);
    let mut bodies = parts_of(found).iter().map(|it| it.body.clone());
    let mut merged = bodies.next()?;
    bodies.for_each(|body| merge.over(&mut merged, body));
    Some(merged)
}

/// The answer for one resource, reads left out.
fn leaves(input: &Input<'_>, gathered: &Gathered, id: &ResourceId, path: &Path) -> Vec<Provenance> {
    let Some(found) = gathered.declared.get(id) else { return Vec::new() };
    let Some(merged) = merged(found, gathered) else { return Vec::new() };
    let Some((path, node)) = named(&merged, path, &found.kind) else { return Vec::new() };
    let mut leaves = Vec::new();
    collect(node, &mut path.0.clone(), &found.kind, &mut leaves);
    leaves.into_iter().map(|path| sources_of(path, &merged, parts_of(found), input, &gathered.sources)).collect()
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

fn item(node: &Node, key: &ListKey) -> Option<Segment> {
    node.merge_key(key).map(|value| key.segment(value))
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
    Provenance { path, sources: out, reads: Vec::new() }
}
