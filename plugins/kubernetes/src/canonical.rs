//! One spelling for both sides: what is declared and what is seen go through here before anybody compares them.
//!
//! Idempotent, and pure. What the engine would not take in a document (integers beyond 2^53, NUL, its own markers in what a cluster
//! holds) is brought into bounds here too, as one such object must not hide all others of its scope.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;
use trueup_sdk::Json;

use crate::openapi::DEFAULT;
use crate::quantity;

/// The largest integer that every reader of JSON keeps exactly.
const MAX_INTEGER: u64 = 1 << 53;
/// Levels of a value; the engine takes 64 in a document.
const MAX_DEPTH: usize = 60;
/// References followed while a schema is read, one inside the other.
const MAX_REFS: usize = 64;
/// The engine's markers.
const MARKERS: [&str; 3] = ["$unknown", "$secret", "$blob"];

/// Where the quantities of a kind are, and the values that stand for a list's key which an item leaves out.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shape {
    /// Neither here nor below.
    #[default]
    Nothing,
    Quantity,
    Fields {
        named: BTreeMap<String, Shape>,
        /// Under every other name.
        others: Box<Shape>,
        /// What counts where a field is left out by which items of a list are told apart.
        defaults: BTreeMap<String, Json>,
    },
    Items(Box<Shape>),
}

impl Shape {
    /// Reads a schema of ours (see [`crate::openapi`]).
    pub fn of(schema: &Json) -> Self {
        let mut reader = Reader { root: schema, known: BTreeMap::new(), inside: BTreeSet::new() };
        reader.node(schema)
    }

    /// Brings every quantity below into its canonical spelling, and writes out the keys of lists' items.
    pub fn spell(&self, value: &mut Json) {
        match (self, value) {
            (Self::Quantity, value) => {
                let text = match &*value {
                    Json::String(text) => quantity::canonical(text),
                    Json::Number(number) => quantity::canonical(&number.to_string()),
                    _ => None,
                };
                if let Some(text) = text {
                    *value = Json::String(text);
                }
            }
            (Self::Items(shape), Json::Array(items)) => items.iter_mut().for_each(|it| shape.spell(it)),
            (Self::Fields { named, others, defaults }, Json::Object(map)) => {
                for (name, value) in defaults {
                    map.entry(name.clone()).or_insert_with(|| value.clone());
                }
                for (name, value) in map {
                    named.get(name).unwrap_or(others).spell(value);
                }
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    root: &'a Json,
    /// What references came to.
    known: BTreeMap<&'a str, Shape>,
    inside: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn node(&mut self, node: &'a Json) -> Shape {
        if node.get("x-trueup-format").and_then(Json::as_str) == Some("quantity") {
            return Shape::Quantity;
        }
        if let Some(reference) = node.get("$ref").and_then(Json::as_str) {
            return self.reference(reference);
        }
        if let Some(items) = node.get("items") {
            return match self.node(items) {
                Shape::Nothing => Shape::Nothing,
                shape => Shape::Items(Box::new(shape)),
            };
        }
        let fields = node.get("properties").and_then(Json::as_object).into_iter().flatten();
        let named: BTreeMap<String, Shape> =
            fields.map(|(name, it)| (name.clone(), self.node(it))).filter(|(_, it)| *it != Shape::Nothing).collect();
        let others = node.get("additionalProperties").map(|it| self.node(it)).unwrap_or_default();
        let fields = node.get("properties").and_then(Json::as_object).into_iter().flatten();
        let defaults: BTreeMap<String, Json> =
            fields.filter_map(|(name, it)| Some((name.clone(), it.get(DEFAULT)?.clone()))).collect();
        if named.is_empty() && defaults.is_empty() && others == Shape::Nothing {
            return Shape::Nothing;
        }
        Shape::Fields { named, others: Box::new(others), defaults }
    }

    fn reference(&mut self, reference: &'a str) -> Shape {
        if let Some(known) = self.known.get(reference) {
            return known.clone();
        }
        let root = self.root;
        let target = reference.strip_prefix('#').and_then(|it| root.pointer(it));
        let Some(target) = target.filter(|_| self.inside.len() < MAX_REFS && self.inside.insert(reference)) else {
            return Shape::Nothing;
        };
        let shape = self.node(target);
        self.inside.remove(reference);
        self.known.insert(reference, shape.clone());
        shape
    }
}

/// Brings what a cluster holds within the bounds of a document.
pub fn tame(value: &mut Json) {
    tame_at(value, 0);
}

fn tame_at(value: &mut Json, depth: usize) {
    match value {
        Json::Number(number) => {
            let large = number.as_u64().is_some_and(|it| it > MAX_INTEGER)
                || number.as_i64().is_some_and(|it| it.unsigned_abs() > MAX_INTEGER);
            if large {
                *value = Json::String(number.to_string());
            }
        }
        Json::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{2400}"),
        Json::Array(_) | Json::Object(_) if depth >= MAX_DEPTH => *value = Json::Null,
        Json::Array(items) => items.iter_mut().for_each(|it| tame_at(it, depth + 1)),
        Json::Object(map) => {
            map.retain(|name, _| !MARKERS.contains(&name.as_str()) && !name.contains('\0'));
            map.values_mut().for_each(|it| tame_at(it, depth + 1));
        }
        _ => {}
    }
}

/// Takes members that are null out of mappings: to the API server they are not there.
pub fn without_nulls(map: &mut Map<String, Json>) {
    map.retain(|_, it| !it.is_null());
    map.values_mut().for_each(in_value);
}

fn in_value(value: &mut Json) {
    match value {
        Json::Object(map) => without_nulls(map),
        Json::Array(items) => items.iter_mut().for_each(in_value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    fn schema() -> Json {
        let quantity = json!({ "type": ["string", "number"], "x-trueup-format": "quantity" });
        json!({
            "type": "object",
            "properties": { "spec": { "$ref": "#/$defs/Pod" } },
            "$defs": {
                "Pod": { "properties": {
                    "containers": { "items": { "properties": { "resources": { "$ref": "#/$defs/Resources" }, "name": { "type": "string" } } } },
                    "next": { "$ref": "#/$defs/Pod" }
                } },
                "Resources": { "properties": { "limits": { "additionalProperties": quantity } } }
            }
        })
    }

    #[test]
    fn quantities_are_found_through_references_lists_and_mappings() {
        let shape = Shape::of(&schema());
        let mut doc = json!({ "spec": { "containers": [{ "name": "1000m", "resources": { "limits": { "cpu": 1.5, "memory": "1024Mi", "odd": "x" } } }] } });
        shape.spell(&mut doc);
        let want = json!({ "spec": { "containers": [{ "name": "1000m", "resources": { "limits": { "cpu": "1500m", "memory": "1Gi", "odd": "x" } } }] } });
        assert_eq!(doc, want);
        shape.spell(&mut doc);
        assert_eq!(doc, want);
        assert_eq!(Shape::of(&json!({ "properties": { "a": { "type": "string" } } })), Shape::Nothing);
    }

    #[test]
    fn what_a_cluster_holds_is_brought_into_the_bounds_of_a_document() {
        let mut value = json!({ "n": 9_007_199_254_740_993_u64, "m": -9_007_199_254_740_993_i64, "k": 9_007_199_254_740_992_u64, "s": "a\0b", "o": { "$secret": "x", "y": 1 } });
        tame(&mut value);
        let want = json!({ "n": "9007199254740993", "m": "-9007199254740993", "k": 9_007_199_254_740_992_u64, "s": "a\u{2400}b", "o": { "y": 1 } });
        assert_eq!(value, want);
        let mut deep = json!(1);
        (0..100).for_each(|_| deep = json!({ "a": deep.take() }));
        tame(&mut deep);
        assert!(deep.to_string().matches("\"a\"").count() <= MAX_DEPTH);
    }

    #[test]
    fn a_null_is_nothing() {
        let Json::Object(mut map) = json!({ "a": null, "b": { "c": null, "d": [{ "e": null, "f": 1 }, null] } }) else {
            panic!()
        };
        without_nulls(&mut map);
        assert_eq!(Json::Object(map), json!({ "b": { "d": [{ "f": 1 }, null] } }));
    }
}
