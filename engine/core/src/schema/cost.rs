//! Refuses schemas whose judging could take exponential time, before they judge anything.
//!
//! A schema is a graph: its parts are nodes, an edge says where in the document the next part looks (the same value, a
//! field, an item). Judging walks every path of the graph that fits the document, so the number of paths for one place
//! of the document is what it costs. Without cycles that is the schema with its references unfolded, which is counted.
//! With cycles it grows without bound exactly if some part leads back to itself by two paths that read the same fields;
//! that is searched for in pairs of parts. Schemas come from plugins: a hostile one must not hang the engine.

use std::collections::{HashMap, HashSet};

use crate::manifest::resolve;
use crate::value::Json;

/// Parts of a schema with its references unfolded.
const MAX_UNFOLDED: u64 = 1_000_000;
/// Parts that lead back to themselves.
const MAX_RECURSIVE: usize = 512;
/// Recursive structures inside one another.
const MAX_RECURSIONS: usize = 2;
/// Different patterns: each is compiled, within a limit of its own.
const MAX_PATTERNS: usize = 256;

/// Where a part of a schema looks, seen from the part above it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look<'a> {
    /// At the same value.
    Here,
    Field(&'a str),
    /// At every field that the node (by number) does not name.
    OtherFields(usize),
    AnyField,
    Item,
}

struct Graph<'a> {
    nodes: Vec<&'a Json>,
    edges: Vec<Vec<(Look<'a>, usize)>>,
}

/// Whether `schema` can judge any document in reasonable time.
pub fn check(schema: &Json) -> Result<(), String> {
    let graph = Graph::new(schema)?;
    graph.patterns()?;
    let component = graph.components();
    let count = component.iter().max().map_or(0, |it| it + 1);
    let mut members = vec![Vec::new(); count];
    for (node, component) in component.iter().enumerate() {
        if let Some(list) = members.get_mut(*component) {
            list.push(node);
        }
    }
    // A component gets its number after all that it leads to, so what lies below is known already.
    let mut unfolded: Vec<(u64, usize)> = Vec::with_capacity(count);
    for (number, nodes) in members.iter().enumerate() {
        let recursive = nodes.len() > 1 || nodes.iter().any(|it| graph.edges_of(*it).iter().any(|(_, to)| to == it));
        if recursive {
            Recursion::new(&graph, nodes)?.check()?;
        }
        let mut parts = 0_u64;
        let mut deepest = 0;
        for (_, to) in nodes.iter().flat_map(|it| graph.edges_of(*it)) {
            let below = component.get(*to).filter(|it| **it != number).and_then(|it| unfolded.get(*it));
            let (more, depth) = below.copied().unwrap_or_default();
            parts = parts.saturating_add(more);
            deepest = deepest.max(depth);
        }
        let total = parts.saturating_add(nodes.len() as u64);
        let depth = deepest + usize::from(recursive);
        if total > MAX_UNFOLDED {
            return Err(format!("with its references unfolded it has more than {MAX_UNFOLDED} parts"));
        }
        if depth > MAX_RECURSIONS {
            return Err(format!("it has more than {MAX_RECURSIONS} recursive structures inside one another"));
        }
        unfolded.push((total, depth));
    }
    Ok(())
}

impl<'a> Graph<'a> {
    fn new(root: &'a Json) -> Result<Self, String> {
        let mut graph = Self { nodes: Vec::new(), edges: Vec::new() };
        let mut numbers = HashMap::new();
        graph.number(root, &mut numbers);
        let mut at = 0;
        while let Some(node) = graph.nodes.get(at).copied() {
            let children = children(root, node, at)?;
            let edges = children.into_iter().map(|(look, child)| (look, graph.number(child, &mut numbers))).collect();
            graph.edges.push(edges);
            at += 1;
        }
        Ok(graph)
    }

    /// The number of a part; parts are told apart by where they stand, not by what they say.
    fn number(&mut self, part: &'a Json, numbers: &mut HashMap<*const Json, usize>) -> usize {
        let next = self.nodes.len();
        *numbers.entry(std::ptr::from_ref(part)).or_insert_with(|| {
            self.nodes.push(part);
            next
        })
    }

    fn patterns(&self) -> Result<(), String> {
        let mut patterns = HashSet::new();
        for node in &self.nodes {
            patterns.extend(node.get("pattern").and_then(Json::as_str));
            patterns
                .extend(node.get("patternProperties").and_then(Json::as_object).into_iter().flatten().map(|(it, _)| it.as_str()));
        }
        let few = patterns.len() <= MAX_PATTERNS;
        if few { Ok(()) } else { Err(format!("it has more than {MAX_PATTERNS} different patterns")) }
    }

    fn edges_of(&self, node: usize) -> &[(Look<'a>, usize)] {
        self.edges.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// For each node the number of its strongly connected component, numbered from the leaves up (Tarjan, with a stack
    /// of its own).
    fn components(&self) -> Vec<usize> {
        const NONE: usize = usize::MAX;
        let size = self.nodes.len();
        let (mut order, mut low, mut component) = (vec![NONE; size], vec![0; size], vec![NONE; size]);
        let (mut visited, mut numbered) = (0, 0);
        let mut open = Vec::new();
        // A node and which of its edges is next.
        let mut calls = vec![(0_usize, 0_usize)];
        while let Some((node, edge)) = calls.pop() {
            let (Some(own), Some(reach)) = (order.get(node).copied(), low.get(node).copied()) else { continue };
            let own = if own == NONE {
                set(&mut order, node, visited);
                set(&mut low, node, visited);
                open.push(node);
                visited += 1;
                visited - 1
            } else {
                own
            };
            let reach = if edge == 0 { own } else { reach };
            if let Some((_, to)) = self.edges_of(node).get(edge) {
                let (seen, done) = (order.get(*to).copied().unwrap_or(NONE), component.get(*to).copied().unwrap_or(NONE));
                if seen == NONE {
                    calls.push((node, edge));
                    calls.push((*to, 0));
                    continue;
                }
                // Seen on the way down or just finished: its reach is ours, if it is still open.
                if done == NONE {
                    let theirs = low.get(*to).copied().unwrap_or(seen).min(seen);
                    set(&mut low, node, reach.min(theirs));
                } else {
                    set(&mut low, node, reach);
                }
                calls.push((node, edge + 1));
                continue;
            }
            if reach == own {
                while let Some(member) = open.pop() {
                    set(&mut component, member, numbered);
                    if member == node {
                        break;
                    }
                }
                numbered += 1;
            }
        }
        component
    }
}

fn set(list: &mut [usize], at: usize, value: usize) {
    if let Some(slot) = list.get_mut(at) {
        *slot = value;
    }
}

/// The parts right below `node`, with where they look.
fn children<'a>(root: &'a Json, node: &'a Json, number: usize) -> Result<Vec<(Look<'a>, &'a Json)>, String> {
    let mut out = Vec::new();
    let Some(map) = node.as_object() else { return Ok(out) };
    for (keyword, value) in map {
        match (keyword.as_str(), value) {
            ("$ref", Json::String(reference)) => {
                let target = resolve(root, reference).ok_or_else(|| format!("`$ref: {reference}` leads nowhere in it"))?;
                out.push((Look::Here, target));
            }
            ("$dynamicRef" | "$recursiveRef", _) => return Err(format!("`{keyword}` is not supported, write `$ref`")),
            ("$id", _) if !std::ptr::eq(root, node) => return Err("`$id` may only stand at its top".to_owned()),
            ("properties", Json::Object(fields)) => out.extend(fields.iter().map(|(name, it)| (Look::Field(name), it))),
            ("patternProperties", Json::Object(fields)) => out.extend(fields.values().map(|it| (Look::AnyField, it))),
            ("additionalProperties" | "unevaluatedProperties", Json::Object(_)) => out.push((Look::OtherFields(number), value)),
            ("propertyNames", Json::Object(_)) => out.push((Look::AnyField, value)),
            ("items" | "unevaluatedItems" | "contains", Json::Object(_)) => out.push((Look::Item, value)),
            ("prefixItems", Json::Array(items)) => out.extend(items.iter().map(|it| (Look::Item, it))),
            ("allOf" | "anyOf" | "oneOf", Json::Array(branches)) => out.extend(branches.iter().map(|it| (Look::Here, it))),
            ("not" | "if" | "then" | "else" | "contentSchema", Json::Object(_)) => out.push((Look::Here, value)),
            ("dependentSchemas", Json::Object(branches)) => out.extend(branches.values().map(|it| (Look::Here, it))),
            // The older spelling: a schema, or a list of names.
            ("dependencies", Json::Object(branches)) => {
                out.extend(branches.values().filter(|it| it.is_object()).map(|it| (Look::Here, it)));
            }
            _ => {}
        }
    }
    Ok(out)
}

/// One strongly connected component.
struct Recursion<'a, 'g> {
    graph: &'g Graph<'a>,
    nodes: &'g [usize],
    /// From each node, the looks away from its value that it comes to, with the part that follows.
    steps: HashMap<usize, Vec<(Look<'a>, usize)>>,
}

const TWICE: &str = "it leads back to itself by two ways through the same fields, so that judging could take exponential time";

impl<'a, 'g> Recursion<'a, 'g> {
    fn new(graph: &'g Graph<'a>, nodes: &'g [usize]) -> Result<Self, String> {
        if nodes.len() > MAX_RECURSIVE {
            return Err(format!("it has more than {MAX_RECURSIVE} parts that lead back to themselves"));
        }
        let inside: HashSet<usize> = nodes.iter().copied().collect();
        let mut steps = HashMap::new();
        for start in nodes {
            let mut out = Vec::new();
            let mut seen = HashSet::from([*start]);
            let mut todo = vec![*start];
            while let Some(node) = todo.pop() {
                for (look, to) in graph.edges_of(node).iter().filter(|(_, to)| inside.contains(to)) {
                    if *look != Look::Here {
                        out.push((*look, *to));
                    } else if *to == *start {
                        return Err("it refers to itself without going into a field".to_owned());
                    } else if seen.insert(*to) {
                        todo.push(*to);
                    } else {
                        return Err(TWICE.to_owned());
                    }
                }
            }
            steps.insert(*start, out);
        }
        Ok(Self { graph, nodes, steps })
    }

    fn overlap(&self, a: Look<'a>, b: Look<'a>) -> bool {
        let names =
            |node: usize, field: &str| self.graph.nodes.get(node).and_then(|it| it.get("properties")?.get(field)).is_some();
        match (a, b) {
            (Look::Field(a), Look::Field(b)) => a == b,
            (Look::Field(field), Look::OtherFields(node)) | (Look::OtherFields(node), Look::Field(field)) => !names(node, field),
            (Look::Item, Look::Item) => true,
            (Look::Item | Look::Here, _) | (_, Look::Item | Look::Here) => false,
            (Look::AnyField | Look::OtherFields(_), _) | (_, Look::AnyField) => true,
        }
    }

    /// Follows two walkers that read the same fields. They start together; once apart they must never meet again.
    fn check(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        let mut todo: Vec<(usize, usize)> = self.nodes.iter().map(|it| (*it, *it)).collect();
        while let Some((a, b)) = todo.pop() {
            let (from_a, from_b) = (self.steps_of(a), self.steps_of(b));
            for (at_a, (look_a, to_a)) in from_a.iter().enumerate() {
                for (at_b, (look_b, to_b)) in from_b.iter().enumerate() {
                    // One walker taking one step is not two ways.
                    let together = a == b && at_a == at_b;
                    if together || !self.overlap(*look_a, *look_b) {
                        continue;
                    }
                    if to_a == to_b {
                        return Err(TWICE.to_owned());
                    }
                    if seen.insert((*to_a, *to_b)) {
                        todo.push((*to_a, *to_b));
                    }
                }
            }
        }
        Ok(())
    }

    fn steps_of(&self, node: usize) -> &[(Look<'a>, usize)] {
        self.steps.get(&node).map(Vec::as_slice).unwrap_or_default()
    }
}
