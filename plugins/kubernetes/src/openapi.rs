//! Schemas as the API server publishes them (OpenAPI 3.0 with `x-kubernetes-` extensions), as schemas of the contract.
//!
//! Pure. What only repeats what the server checks anyway and could go wrong here is left out: descriptions, patterns, formats,
//! rules in CEL, `allOf` and its like, defaults (they are Go's zero values as often as not). What decides about meaning is kept: types,
//! which fields there are, which are required, how lists merge, where quantities are.
//!
//! Invariant: what comes out refers to itself through `$defs` only and never in a circle, is at most [`MAX_BYTES`] long and
//! [`MAX_DEPTH`] levels deep.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Map;
use trueup_sdk::{Json, json};

use crate::object::{LAST_APPLIED, META, SERVERS};
use crate::secret;

/// Bytes of a kind's schema; the engine takes 1 MiB. A larger one is replaced by one that says nothing below the first fields.
const MAX_BYTES: usize = 900 << 10;
/// Levels of JSON within one part of a schema; the engine takes 64 in all.
const MAX_DEPTH: usize = 52;
/// How the pattern of a quantity begins in definitions of custom resources.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))";
/// What counts where an item of a list does not say, for fields by which items are told apart.
pub const DEFAULT: &str = "x-trueup-default";
/// Keywords that mean the same on both sides.
const SAME: [&str; 9] =
    ["enum", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"];

/// The document of one group's version, as far as it matters: paths are passed over while it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Document {
    components: Components,
    /// See [`shared_keys`].
    #[serde(skip)]
    keys: OnceCell<BTreeSet<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Components {
    schemas: Map<String, Json>,
}

impl Document {
    /// The schemas of those kinds of `group` and `version` that are `wanted`, by kind without its group.
    pub fn kinds(&self, group: &str, version: &str, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Json> {
        let mut out = BTreeMap::new();
        for (component, schema) in &self.components.schemas {
            let names = schema.get("x-kubernetes-group-version-kind").and_then(Json::as_array).into_iter().flatten();
            for name in names {
                let text = |field: &str| name.get(field).and_then(Json::as_str).unwrap_or_default();
                let kind = text("kind");
                if text("group") == group && text("version") == version && wanted(kind) && !out.contains_key(kind) {
                    out.insert(kind.to_owned(), self.kind(component, group, kind));
                }
            }
        }
        out
    }

    /// Whether the cluster's own server has this kind by a definition: so it calls what it publishes of them.
    pub fn is_defined(&self, group: &str, version: &str, kind: &str) -> bool {
        let parts: Vec<&str> = group.rsplit('.').chain([version, kind]).collect();
        self.components.schemas.contains_key(&parts.join("."))
    }

    fn kind(&self, component: &str, group: &str, kind: &str) -> Json {
        let mut converter = Converter {
            components: &self.components.schemas,
            short: BTreeMap::new(),
            defs: Map::new(),
            inside: BTreeSet::new(),
            keys: self.keys.get_or_init(|| shared_keys(self.components.schemas.values())).iter().map(String::as_str).collect(),
        };
        let whole = self.components.schemas.get(component).unwrap_or(&Json::Null);
        let schema = converter.root(whole, &kind_of(group, kind));
        if schema.to_string().len() <= MAX_BYTES { schema } else { shallow(whole, &kind_of(group, kind)) }
    }
}

/// The schema of a kind (`Widget.example.com`), out of the one that its definition has for a version.
pub fn of_definition(whole: &Json, name: &str) -> Json {
    let components = Map::new();
    let keys = shared_keys(std::iter::once(whole));
    let mut converter = Converter {
        components: &components,
        short: BTreeMap::new(),
        defs: Map::new(),
        inside: BTreeSet::new(),
        keys: keys.iter().map(String::as_str).collect(),
    };
    let schema = converter.root(whole, name);
    if schema.to_string().len() <= MAX_BYTES { schema } else { shallow(whole, name) }
}

/// Names of fields that tell items of some list apart together with others: `port` and `protocol`.
fn shared_keys<'a>(schemas: impl Iterator<Item = &'a Json>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut todo: Vec<&Json> = schemas.collect();
    while let Some(node) = todo.pop() {
        match node {
            Json::Object(map) => {
                let keys = map.get("x-kubernetes-list-map-keys").and_then(Json::as_array).filter(|it| it.len() > 1);
                out.extend(keys.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned));
                todo.extend(map.values());
            }
            Json::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    out
}

fn kind_of(group: &str, kind: &str) -> String {
    crate::kind::full_name(kind, group)
}

/// The schema of a kind of which nothing is known but its name (`Secret`, `Widget.example.com`).
pub fn open(name: &str) -> Json {
    let mut properties = Map::new();
    properties.insert("metadata".to_owned(), metadata(name));
    properties.insert("status".to_owned(), json!({ "type": "object" }));
    seal(name, &mut properties);
    json!({ "type": "object", "properties": properties })
}

/// Says of a Secret's values that they are secret, whatever the server or a definition told of them, or did not tell.
fn seal(kind: &str, properties: &mut Map<String, Json>) {
    for field in secret::VALUES.iter().filter(|_| kind == secret::KIND) {
        let mut sealed = match properties.remove(*field) {
            Some(Json::Object(told)) if !told.contains_key("$ref") => told,
            _ => Map::new(),
        };
        sealed.insert("x-trueup-sensitive".to_owned(), Json::Bool(true));
        sealed.insert("x-trueup-plain".to_owned(), Json::from(secret::ADVICE));
        properties.insert((*field).to_owned(), Json::Object(sealed));
    }
}

/// Only which fields there are at the top.
fn shallow(whole: &Json, name: &str) -> Json {
    let mut schema = open(name);
    if let Some(Json::Object(properties)) = schema.get_mut("properties") {
        let fields = whole.get("properties").and_then(Json::as_object).into_iter().flatten();
        for (name, _) in fields.filter(|(name, _)| is_body(name)) {
            properties.entry(name.clone()).or_insert_with(|| json!({}));
        }
    }
    schema
}

fn is_body(name: &str) -> bool {
    !matches!(name, "apiVersion" | "kind" | "metadata" | "status")
}

/// What documents may say in `metadata` beside name and namespace.
fn metadata(kind: &str) -> Json {
    let texts = || json!({ "type": ["object", "null"], "additionalProperties": { "type": ["string", "null"] } });
    let mut annotations = texts();
    if let (true, Json::Object(annotations)) = (kind == secret::KIND, &mut annotations) {
        // Let pass, as `kubectl get -o yaml` writes it, and as secret as what it is a copy of.
        let copy = json!({ "x-trueup-sensitive": true, "x-trueup-plain": secret::COPY });
        annotations.insert("properties".to_owned(), json!({ LAST_APPLIED: copy }));
    }
    let mut properties = Map::new();
    properties.insert("labels".to_owned(), texts());
    properties.insert("annotations".to_owned(), annotations);
    for name in META {
        let list = match name {
            "finalizers" => json!({ "type": "array", "items": { "type": "string" }, "x-trueup-unordered": true }),
            _ => json!({ "type": "array", "items": { "type": "object" }, "x-trueup-list-key": "uid" }),
        };
        properties.insert(name.to_owned(), list);
    }
    for name in SERVERS {
        properties.insert(name.to_owned(), json!({ "x-trueup-computed": true }));
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

struct Converter<'a> {
    components: &'a Map<String, Json>,
    /// Names within `$defs`, by component.
    short: BTreeMap<&'a str, String>,
    defs: Map<String, Json>,
    /// Components that are being converted.
    inside: BTreeSet<&'a str>,
    /// Names of fields that tell items of some list apart together with others.
    keys: BTreeSet<&'a str>,
}

impl<'a> Converter<'a> {
    fn root(&mut self, whole: &'a Json, kind: &str) -> Json {
        let preserves = preserves(whole);
        let mut properties = Map::new();
        let fields = whole.get("properties").and_then(Json::as_object);
        for (name, field) in fields.into_iter().flatten() {
            if is_body(name) {
                properties.insert(name.clone(), self.node(field, 2));
            }
        }
        seal(kind, &mut properties);
        properties.insert("metadata".to_owned(), metadata(kind));
        if let Some(status) = fields.and_then(|it| it.get("status")) {
            properties.insert("status".to_owned(), self.status(status));
        }
        let mut out = Map::new();
        out.insert("type".to_owned(), Json::from("object"));
        let required = whole.get("required").and_then(Json::as_array).into_iter().flatten();
        let required: Vec<Json> = required.filter(|it| it.as_str().is_some_and(is_body)).cloned().collect();
        if !required.is_empty() {
            out.insert("required".to_owned(), Json::Array(required));
        }
        if !preserves && fields.is_some_and(|it| it.keys().any(|it| is_body(it))) {
            out.insert("additionalProperties".to_owned(), Json::Bool(false));
        }
        out.insert("properties".to_owned(), Json::Object(properties));
        if !self.defs.is_empty() {
            out.insert("$defs".to_owned(), Json::Object(std::mem::take(&mut self.defs)));
        }
        Json::Object(out)
    }

    /// Only the names of outputs, so that a reference to one that cannot be is found.
    fn status(&self, node: &Json) -> Json {
        let node = reference(node).and_then(|it| self.components.get(it)).unwrap_or(node);
        match node.get("properties").and_then(Json::as_object) {
            Some(fields) if !preserves(node) => {
                let names: Map<String, Json> = fields.keys().map(|it| (it.clone(), json!({}))).collect();
                json!({ "type": "object", "properties": names })
            }
            _ => json!({ "type": "object" }),
        }
    }

    fn node(&mut self, node: &'a Json, depth: usize) -> Json {
        if let Some(component) = reference(node) {
            return self.component(component, depth);
        }
        let Some(map) = node.as_object().filter(|_| depth < MAX_DEPTH) else { return json!({}) };
        if map.get("x-kubernetes-int-or-string") == Some(&Json::Bool(true)) {
            let pattern = map.get("pattern").and_then(Json::as_str).unwrap_or_default();
            return if pattern.starts_with(QUANTITY_PATTERN) { quantity() } else { int_or_string() };
        }
        let mut out = Map::new();
        if let Some(kind) = map.get("type").and_then(Json::as_str) {
            // To the server a null is nothing, wherever it stands.
            out.insert("type".to_owned(), json!([kind, "null"]));
        }
        for keyword in SAME {
            if let Some(value) = map.get(keyword) {
                out.insert(keyword.to_owned(), value.clone());
            }
        }
        if let Some(Json::Array(values)) = out.get_mut("enum")
            && !values.contains(&Json::Null)
        {
            values.push(Json::Null);
        }
        exclusive(map, &mut out, "exclusiveMinimum", "minimum");
        exclusive(map, &mut out, "exclusiveMaximum", "maximum");
        if let Some(items) = map.get("items") {
            out.insert("items".to_owned(), self.node(items, depth + 1));
        }
        self.list(map, &mut out);
        self.fields(node, map, &mut out, depth);
        Json::Object(out)
    }

    /// How a list merges.
    fn list(&self, map: &Map<String, Json>, out: &mut Map<String, Json>) {
        if map.get("type").and_then(Json::as_str) != Some("array") {
            return;
        }
        let kind = map.get("x-kubernetes-list-type").and_then(Json::as_str);
        let several = map.get("x-kubernetes-list-map-keys").filter(|it| it.as_array().is_some_and(|it| !it.is_empty()));
        let one = several.and_then(|it| it.as_array().filter(|it| it.len() == 1)?.first());
        let key = one.or(several).cloned();
        let strategy = map.get("x-kubernetes-patch-strategy").and_then(Json::as_str).unwrap_or_default();
        let merge = map.get("x-kubernetes-patch-merge-key").filter(|_| strategy.contains("merge")).cloned();
        match (kind, key.or(merge)) {
            (Some("map"), Some(key)) | (None, Some(key)) => {
                out.insert("x-trueup-list-key".to_owned(), key);
            }
            (Some("set"), _) => {
                out.insert("x-trueup-unordered".to_owned(), Json::Bool(true));
            }
            _ => {}
        }
    }

    fn fields(&mut self, node: &'a Json, map: &'a Map<String, Json>, out: &mut Map<String, Json>, depth: usize) {
        let others = map.get("additionalProperties");
        if let Some(others) = others {
            let others = if others.is_object() { self.node(others, depth + 1) } else { others.clone() };
            out.insert("additionalProperties".to_owned(), others);
        }
        let Some(fields) = map.get("properties").and_then(Json::as_object) else { return };
        let mut properties: Map<String, Json> =
            fields.iter().map(|(name, field)| (name.clone(), self.node(field, depth + 2))).collect();
        for (name, field) in fields.iter().filter(|(name, _)| self.keys.contains(name.as_str())) {
            // Of two ports that differ in their protocol alone, one may leave it out.
            let default = field.get("default").filter(|it| it.as_str().is_some_and(|it| !it.is_empty()));
            if let (Some(default), Some(Json::Object(field))) = (default, properties.get_mut(name)) {
                field.insert(DEFAULT.to_owned(), default.clone());
            }
        }
        if map.get("x-kubernetes-embedded-resource") == Some(&Json::Bool(true)) {
            for name in ["apiVersion", "kind", "metadata"] {
                properties.entry(name).or_insert_with(|| json!({}));
            }
        }
        out.insert("properties".to_owned(), Json::Object(properties));
        if others.is_none() && !preserves(node) {
            out.insert("additionalProperties".to_owned(), Json::Bool(false));
        }
    }

    fn component(&mut self, name: &'a str, depth: usize) -> Json {
        if name.ends_with(".api.resource.Quantity") {
            return quantity();
        }
        if name.ends_with(".util.intstr.IntOrString") {
            return int_or_string();
        }
        let Some(component) = self.components.get(name) else { return json!({}) };
        // A structure that holds itself (the schemas within definitions of custom resources) is open from there on.
        if self.inside.contains(name) {
            return json!({});
        }
        if component.get("properties").is_none() {
            return self.within(name, component, depth);
        }
        if let Some(short) = self.short.get(name) {
            return json!({ "$ref": format!("#/$defs/{short}") });
        }
        let short = self.name(name);
        self.short.insert(name, short.clone());
        let converted = self.within(name, component, 3);
        self.defs.insert(short.clone(), converted);
        json!({ "$ref": format!("#/$defs/{short}") })
    }

    fn within(&mut self, name: &'a str, component: &'a Json, depth: usize) -> Json {
        self.inside.insert(name);
        let converted = self.node(component, depth);
        self.inside.remove(name);
        converted
    }

    /// The shortest end of a component's name that is not taken; letters, digits, `.`, `-` and `_` only.
    fn name(&self, component: &str) -> String {
        let plain: String =
            component.chars().map(|it| if it.is_ascii_alphanumeric() || matches!(it, '.' | '-') { it } else { '_' }).collect();
        let starts = plain.rmatch_indices('.').map(|(at, _)| at + 1).chain([0]);
        let mut ends = starts.filter_map(|at| plain.get(at..));
        let free = |it: &&str| !self.short.values().any(|taken| taken == it);
        ends.find(free).map_or_else(|| format!("{plain}_{}", self.short.len()), str::to_owned)
    }
}

/// The component that a node is but for what is said about it.
fn reference(node: &Json) -> Option<&str> {
    let direct = node.get("$ref").and_then(Json::as_str);
    let wrapped = || match node.get("allOf").and_then(Json::as_array).map(Vec::as_slice) {
        Some([only]) => only.get("$ref").and_then(Json::as_str),
        _ => None,
    };
    direct.or_else(wrapped)?.strip_prefix("#/components/schemas/")
}

fn preserves(node: &Json) -> bool {
    node.get("x-kubernetes-preserve-unknown-fields") == Some(&Json::Bool(true))
}

fn quantity() -> Json {
    json!({ "type": ["string", "number", "null"], "x-trueup-format": "quantity" })
}

fn int_or_string() -> Json {
    json!({ "type": ["integer", "string", "null"] })
}

/// OpenAPI 3.0 has a flag where JSON Schema has the number.
fn exclusive(map: &Map<String, Json>, out: &mut Map<String, Json>, flag: &str, bound: &str) {
    if map.get(flag) == Some(&Json::Bool(true))
        && let Some(value) = out.remove(bound)
    {
        out.insert(flag.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use trueup_core::manifest::Hints;

    use super::*;

    fn document(schemas: Json) -> Document {
        serde_json::from_value(json!({ "openapi": "3.0.0", "paths": { "/x": {} }, "components": { "schemas": schemas } }))
            .unwrap()
    }

    fn named(kind: &str, mut schema: Json) -> Json {
        schema["x-kubernetes-group-version-kind"] = json!([{ "group": "apps", "version": "v1", "kind": kind }]);
        schema
    }

    /// What the engine makes of a kind's schema.
    #[track_caller]
    fn hints(schema: &Json) -> Hints {
        let kinds = json!({ "format": 1, "name": "k", "version": "1", "kinds": { "X": { "schema": schema } } });
        let manifest = trueup_core::manifest::Manifest::parse(&kinds).unwrap();
        manifest.kinds["X"].hints.clone()
    }

    #[track_caller]
    fn judge(schema: &Json, doc: &Json, want: bool) {
        let validator = jsonschema::draft202012::new(schema).unwrap();
        assert_eq!(validator.is_valid(doc), want, "{doc} by {schema}");
    }

    fn deployment() -> Document {
        let pod = json!({ "type": "object", "description": "d", "required": ["containers"], "properties": {
            "containers": { "type": "array", "items": { "allOf": [{ "$ref": "#/components/schemas/io.k8s.api.core.v1.Container" }], "default": {} },
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "x-kubernetes-patch-merge-key": "name" }
        } });
        let container = json!({ "type": "object", "required": ["name"], "properties": {
            "name": { "type": "string", "default": "", "pattern": "(?!x)" },
            "args": { "type": "array", "items": { "type": "string", "default": "" }, "x-kubernetes-list-type": "atomic" },
            "ports": { "type": "array", "items": { "type": "object", "properties": { "containerPort": { "type": "integer", "format": "int32" } } },
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"] },
            "limits": { "type": "object", "additionalProperties": { "$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity" } },
            "port": { "allOf": [{ "$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString" }] }
        } });
        document(json!({
            "io.k8s.api.apps.v1.Deployment": named("Deployment", json!({ "type": "object", "required": ["spec", "metadata"], "properties": {
                "apiVersion": { "type": "string" }, "kind": { "type": "string" },
                "metadata": { "$ref": "#/components/schemas/none" },
                "spec": { "allOf": [{ "$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec" }] },
                "status": { "allOf": [{ "$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStatus" }] }
            } })),
            "io.k8s.api.apps.v1.DeploymentStatus": { "type": "object", "properties": { "replicas": { "type": "integer" } } },
            "io.k8s.api.core.v1.PodSpec": pod,
            "io.k8s.api.core.v1.Container": container,
            "io.k8s.apimachinery.pkg.api.resource.Quantity": { "oneOf": [{ "type": "string" }, { "type": "number" }] }
        }))
    }

    #[test]
    fn a_kind_keeps_its_shape_its_merge_keys_and_its_quantities() {
        let kinds = deployment().kinds("apps", "v1", |_| true);
        let schema = &kinds["Deployment"];
        let hints = hints(schema);
        let shown =
            |it: &[(trueup_core::value::Path, String)]| it.iter().map(|(path, it)| format!("{path} {it}")).collect::<Vec<_>>();
        let keys: Vec<_> = hints.list_keys.iter().map(|(path, key)| (path.clone(), key.name().to_owned())).collect();
        assert_eq!(
            shown(&keys),
            ["metadata.ownerReferences uid", "spec.containers name", "spec.containers.ports containerPort,protocol"]
        );
        assert_eq!(shown(&hints.formats), ["spec.containers.limits.* quantity"]);
        let container = |it: Json| json!({ "spec": { "containers": [it] }, "metadata": { "labels": { "a": "b" } } });
        judge(
            schema,
            &container(json!({ "name": "a", "args": ["x"], "limits": { "cpu": 1, "memory": "1Gi" }, "port": "http" })),
            true,
        );
        judge(schema, &container(json!({ "name": "a", "args": null, "port": 80 })), true);
        judge(schema, &container(json!({ "args": [] })), false);
        judge(schema, &container(json!({ "name": "a", "argz": [] })), false);
        judge(schema, &container(json!({ "name": "a", "port": true })), false);
        judge(schema, &json!({ "metadata": {} }), false);
        judge(schema, &json!({ "spec": { "containers": [] }, "metadata": { "resourceVersion": "1" } }), true);
        let text = schema.to_string();
        assert!(!text.contains("description") && !text.contains("pattern") && !text.contains("default"), "{text}");
    }

    #[test]
    fn a_structure_that_holds_itself_is_open_from_there_on() {
        let props = json!({ "type": "object", "properties": {
            "type": { "type": "string" },
            "not": { "$ref": "#/components/schemas/a.JSONSchemaProps" },
            "properties": { "type": "object", "additionalProperties": { "$ref": "#/components/schemas/a.JSONSchemaProps" } }
        } });
        let document = document(json!({
            "a.Crd": named("Crd", json!({ "type": "object", "properties": { "spec": { "$ref": "#/components/schemas/a.JSONSchemaProps" } } })),
            "a.JSONSchemaProps": props
        }));
        let kinds = document.kinds("apps", "v1", |_| true);
        hints(&kinds["Crd"]);
        judge(&kinds["Crd"], &json!({ "spec": { "type": "x", "not": { "anything": { "not": 1 } } } }), true);
        judge(&kinds["Crd"], &json!({ "spec": { "typo": 1 } }), false);
    }

    #[test]
    fn custom_resources_keep_what_their_definitions_say() {
        let spec = json!({ "type": "object", "properties": {
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "a": { "type": "integer" } } },
            "size": { "anyOf": [{ "type": "integer" }, { "type": "string" }], "x-kubernetes-int-or-string": true,
                "pattern": format!("{QUANTITY_PATTERN}(([KMGTPE]i))?$") },
            "port": { "anyOf": [{ "type": "integer" }, { "type": "string" }], "x-kubernetes-int-or-string": true },
            "hosts": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" },
            "limit": { "type": "number", "minimum": 0, "exclusiveMinimum": true },
            "mode": { "type": "string", "enum": ["a", "b"] },
            "object": { "type": "object", "x-kubernetes-embedded-resource": true, "properties": { "spec": {} } }
        } });
        let document = document(
            json!({ "com.example.v1.Widget": named("Widget", json!({ "type": "object", "properties": { "spec": spec } })) }),
        );
        let schema = &document.kinds("apps", "v1", |_| true)["Widget"];
        let hints = hints(schema);
        assert!(hints.unordered.iter().any(|it| it.to_string() == "spec.hosts"), "{hints:?}");
        assert_eq!(hints.formats.len(), 1);
        let of = |spec: Json| json!({ "spec": spec });
        judge(schema, &of(json!({ "free": { "a": 1, "b": 2 }, "size": "1Gi", "port": 1, "limit": 0.1, "mode": "a" })), true);
        judge(schema, &of(json!({ "limit": 0 })), false);
        judge(schema, &of(json!({ "mode": "c" })), false);
        judge(
            schema,
            &of(json!({ "object": { "apiVersion": "v1", "kind": "X", "metadata": { "name": "x" }, "spec": 1 } })),
            true,
        );
        judge(schema, &json!({ "speck": {} }), false);
    }

    #[test]
    fn data_of_a_secret_is_sensitive() {
        let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        let mut secret =
            json!({ "type": "object", "properties": { "data": texts, "stringData": texts, "type": { "type": "string" } } });
        secret["x-kubernetes-group-version-kind"] = json!([{ "group": "", "version": "v1", "kind": "Secret" }]);
        let document = document(json!({ "io.k8s.api.core.v1.Secret": secret }));
        let sensitive: Vec<String> =
            hints(&document.kinds("", "v1", |_| true)["Secret"]).sensitive.iter().map(ToString::to_string).collect();
        let copy = format!("metadata.annotations[\"{LAST_APPLIED}\"]");
        assert_eq!(sensitive, ["data", &copy, "stringData"]);
        // Whatever the server says of them.
        let elsewhere = json!({ "$ref": "#/components/schemas/a.Texts" });
        for properties in [json!({}), json!({ "data": elsewhere, "stringData": true })] {
            let whole = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": properties });
            let sensitive = hints(&of_definition(&whole, "Secret")).sensitive;
            assert_eq!(
                sensitive.iter().map(ToString::to_string).collect::<Vec<_>>(),
                ["data", &copy, "stringData"],
                "{properties}"
            );
        }
    }

    #[test]
    fn what_would_be_too_large_or_too_deep_is_open() {
        let mut deep = json!({ "type": "string" });
        (0..80).for_each(|_| deep = json!({ "type": "object", "properties": { "a": deep.take() } }));
        let fields: Map<String, Json> = (0..60_000).map(|it| (format!("field{it}"), json!({ "type": "string" }))).collect();
        let document = document(json!({
            "a.Deep": named("Deep", json!({ "type": "object", "properties": { "spec": deep } })),
            "a.Wide": named("Wide", json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": fields } } }))
        }));
        let kinds = document.kinds("apps", "v1", |_| true);
        hints(&kinds["Deep"]);
        hints(&kinds["Wide"]);
        judge(&kinds["Wide"], &json!({ "spec": { "anything": 1 } }), true);
        hints(&open("Widget.example.com"));
        assert_eq!(hints(&open("Secret")).sensitive.len(), 3, "values are secret, whatever is known");
    }
}
