//! Merges the documents of one resource, layer over layer (RFC 7386), lists by the key that the kind's schema names.

use std::collections::HashMap;

use super::node::{Member, Node, Sources, Span, Value};
use super::text::shown;
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::{Hints, Kind};
use crate::value::{Json, Path, Segment};

/// Removes the list item that has the same key.
const REMOVE: &str = "$remove";

/// Mappings smaller than this are searched member by member.
const SMALL: usize = 16;

/// One merge: what it needs to know and what it found.
pub(crate) struct Merge<'a> {
    pub kind: &'a Kind,
    pub sources: &'a Sources,
    pub findings: Vec<Diagnostic>,
    path: Vec<Segment>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(kind: &'a Kind, sources: &'a Sources) -> Self {
        Self { kind, sources, findings: Vec::new(), path: Vec::new() }
    }

    /// Lays `patch` over `base`: mappings member by member, null takes away, everything else replaces.
    pub(crate) fn over(&mut self, base: &mut Node, patch: Node) {
        match (&mut base.value, patch.value) {
            (Value::Map(members), Value::Map(patches)) => self.members(members, patches),
            (Value::List(items), Value::List(patches)) => {
                base.span = patch.span;
                self.lists(items, patches);
            }
            (_, value) => *base = without_nulls(Node { span: patch.span, value }),
        }
    }

    fn members(&mut self, members: &mut Vec<Member>, patches: Vec<Member>) {
        let index: Option<HashMap<String, usize>> = (members.len() > SMALL && patches.len() > 1)
            .then(|| members.iter().enumerate().map(|(at, it)| (it.key.clone(), at)).collect());
        let mut gone = Vec::new();
        for patch in patches {
            let at = match &index {
                Some(index) => index.get(&patch.key).copied(),
                None => members.iter().position(|it| it.key == patch.key),
            };
            match (at, patch.node.value == Value::Null) {
                (Some(at), true) => gone.push(at),
                (None, true) => {}
                (None, false) => members.push(Member { node: without_nulls(patch.node), ..patch }),
                (Some(at), false) => {
                    let Some(member) = members.get_mut(at) else { continue };
                    self.path.push(Segment::Key(patch.key));
                    member.key_span = patch.key_span;
                    self.over(&mut member.node, patch.node);
                    self.path.pop();
                }
            }
        }
        gone.sort_unstable();
        for at in gone.into_iter().rev() {
            members.remove(at);
        }
    }

    fn lists(&mut self, items: &mut Vec<Node>, patches: Vec<Node>) {
        let path = Path(self.path.clone());
        let Some(key) = Hints::of(&self.kind.hints.list_keys, &path) else {
            self.replaced(&path, items, &patches);
            *items = patches;
            return;
        };
        let mut index: HashMap<String, usize> =
            items.iter().enumerate().filter_map(|(at, item)| Some((item.merge_key(key)?, at))).collect();
        let mut gone = vec![false; items.len()];
        for mut patch in patches {
            let Some(value) = patch.merge_key(key) else {
                let message = format!("an item of {path} has no `{}`, by which layers merge this list", key.name());
                self.findings.push(Diagnostic::error(codes::SHAPE, message).at(self.sources.location(first_line(&patch))));
                continue;
            };
            let remove = patch.take(REMOVE);
            let at = index.get(&value).copied();
            match (at, remove) {
                (Some(at), None) => {
                    self.path.push(key.segment(value));
                    if let Some(item) = items.get_mut(at) {
                        self.over(item, patch);
                    }
                    self.path.pop();
                }
                (None, None) => {
                    index.insert(value, items.len());
                    items.push(without_nulls(patch));
                    gone.push(false);
                }
                (at, Some(remove)) => self.remove(at, &value, key.name(), &remove, &mut gone),
            }
        }
        let mut gone = gone.into_iter();
        items.retain(|_| !gone.next().unwrap_or_default());
    }

    fn remove(&mut self, at: Option<usize>, value: &str, key: &str, remove: &Member, gone: &mut [bool]) {
        let finding = if remove.node.value == Value::Bool(true) {
            if let Some(slot) = at.and_then(|at| gone.get_mut(at)) {
                *slot = true;
                return;
            }
            Diagnostic::error(codes::REMOVE_NOTHING, format!("no earlier layer has an item with `{key}` {} here", shown(value)))
        } else {
            Diagnostic::error(codes::RESERVED, "`$remove` takes `true`")
        };
        self.findings.push(finding.at(self.sources.location(remove.underline())));
    }

    /// A list that goes as a whole: worth a word where nobody knows whether it should.
    fn replaced(&mut self, path: &Path, items: &[Node], patches: &[Node]) {
        let mappings = |list: &[Node]| list.iter().any(|it| matches!(it.value, Value::Map(_)));
        let Some(first) = patches.first().filter(|_| mappings(items) && mappings(patches)) else { return };
        if is_described(&self.kind.schema, path) {
            return;
        }
        let message = format!("the list {path} replaces that of an earlier layer, as no schema names its merge key");
        let finding = Diagnostic::warning(codes::LIST_REPLACED, message).at(self.sources.location(first_line(first)));
        self.findings.push(finding.hint("write the whole list in this layer"));
    }
}

/// Where a node begins, for findings about all of it.
fn first_line(node: &Node) -> Span {
    node.members().first().map_or(node.span, Member::underline)
}

/// What RFC 7386 makes of a patch where nothing was before: mappings lose their nulls, lists are taken as they are.
fn without_nulls(mut node: Node) -> Node {
    if let Value::Map(members) = &mut node.value {
        members.retain(|it| it.node.value != Value::Null);
        for member in members {
            let inner = std::mem::replace(&mut member.node, Node { span: Span::default(), value: Value::Null });
            member.node = without_nulls(inner);
        }
    }
    node
}

/// Whether a schema says anything of the value at a path. What is behind references and combinations counts as described.
fn is_described(schema: &Json, path: &Path) -> bool {
    const OTHERWISE: &[&str] = &["$ref", "allOf", "anyOf", "oneOf", "additionalProperties", "patternProperties"];
    let mut at = schema;
    for segment in &path.0 {
        let next = match segment {
            Segment::Key(key) => at.get("properties").and_then(|it| it.get(key)),
            Segment::Index(_) | Segment::Item { .. } => at.get("items"),
        };
        match next {
            Some(next) => at = next,
            None => return OTHERWISE.iter().any(|key| at.get(key).is_some_and(|it| *it != Json::Bool(true))),
        }
    }
    true
}
