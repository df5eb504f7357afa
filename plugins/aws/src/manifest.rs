//! What the plugin says of itself; the schema of each kind comes from its descriptor and the model of its service.

use std::collections::BTreeSet;

use serde_json::Map;
use trueup_sdk::{Json, json};

use crate::config::{self, SLOT};
use crate::field::{self, Typed};
use crate::kind::{self, Kind, Spelling};
use crate::model::{Kind as Of, Shape};

/// Levels of a schema; what is nested deeper may be anything.
const DEPTH: usize = 10;
/// Changes of a kind that are carried out side by side.
const BATCH: u32 = 32;

/// The manifest, as `wit/manifest.schema.json` describes it.
pub fn manifest() -> Json {
    let mut kinds = Map::new();
    for (name, kind) in kind::all().into_iter().flatten() {
        kinds.insert(name.clone(), one(kind));
    }
    json!({
        "format": 1,
        "name": "aws",
        "version": env!("CARGO_PKG_VERSION"),
        "config": config::schema(),
        "hosts": ["https://*.amazonaws.com", "https://*.amazonaws.com.cn", "https://*.api.aws", "https://*.on.aws", "config.endpoint", "config.endpoints"],
        "dirs": false,
        "dns": false,
        "credentials": { SLOT: { "schemes": ["sigv4"] } },
        "secrets": true,
        "reads": reads(),
        "parallel": 8,
        "apiVersions": "own",
        "yaml": "core",
        "features": ["rendering", "planning", "operations", "discovery"],
        "kinds": kinds
    })
}

/// The operations that only look, of protocols in which every request is a POST.
fn reads() -> Vec<String> {
    let mut out = BTreeSet::from(["Action=GetCallerIdentity".to_owned()]);
    let mut add = |service: &str, call: &str| {
        let Some(service) = crate::model::service(service) else { return };
        if !service.target.is_empty() {
            out.insert(format!("X-Amz-Target={}.{call}", service.target));
        } else if matches!(service.protocol, crate::model::Protocol::Query | crate::model::Protocol::Ec2) {
            out.insert(format!("Action={call}"));
        } else if let Some(operation) = service.operation(call).filter(|it| it.method == "POST") {
            out.insert(format!("POST {}", operation.uri));
        }
    };
    add("resourcegroupstaggingapi", "GetResources");
    for kind in kind::all().into_iter().flat_map(|it| it.values()) {
        kind.list.iter().chain(&kind.many).for_each(|it| add(&kind.service, &it.call));
        kind.one.iter().for_each(|it| add(&kind.service, &it.call));
    }
    out.into_iter().collect()
}

fn one(kind: &Kind) -> Json {
    let named = kind.name.is_some();
    let mut out = json!({
        "schema": schema(kind),
        "observe": "scan",
        "batch": { "items": BATCH },
        "recover": if named { "key" } else if kind.tags.is_some() { "mark" } else { "token" },
        "settleTime": kind.settle_time(),
        "replace": if kind.create_first { "create-first" } else { "delete-first" },
        "marked": kind.tags.is_some(),
        "eventual": true,
        "nameless": !named,
    });
    if let (Some(nests), Json::Object(out)) = (&kind.nests, &mut out) {
        out.insert("nests".to_owned(), Json::from(nests.as_str()));
    }
    if let (false, Json::Object(out)) = (kind.terraform.is_empty(), &mut out) {
        out.insert("terraform".to_owned(), json!(kind.terraform));
    }
    out
}

/// The schema of a kind's documents.
pub fn schema(kind: &Kind) -> Json {
    let mut spec = Map::new();
    let mut required = Vec::new();
    if let Some(name) = kind.name.as_ref().filter(|_| kind.is_called()) {
        let mut of = json!({ "type": "string", "minLength": 1, "x-trueup-immutable": true, "description": "What it is called there; the document's own name where it says nothing." });
        if let (Some(pattern), Json::Object(of)) = (&name.pattern, &mut of) {
            of.insert("pattern".to_owned(), Json::from(pattern.as_str()));
        }
        spec.insert("name".to_owned(), of);
    }
    if let Some(parent) = &kind.scope {
        let about = format!("Name of the {} that it stands in.", parent.kind);
        spec.insert(parent.field.clone(), json!({ "type": "string", "minLength": 1, "description": about }));
        required.push(parent.field.clone());
    }
    for (name, declared) in &kind.fields {
        let Ok(typed) = field::typed(kind, name, declared) else { continue };
        spec.insert(name.clone(), of(&typed, 0));
        if declared.required {
            required.push(name.clone());
        }
    }
    if kind.tags.is_some() {
        let about = "Tags. Those that nobody declares are left alone.";
        spec.insert(
            "tags".to_owned(),
            json!({ "type": "object", "additionalProperties": { "type": "string" }, "description": about }),
        );
    }
    let status: Map<String, Json> = kind.status.keys().map(|it| (it.clone(), json!({}))).collect();
    json!({
        "type": "object",
        "description": kind.about,
        "properties": {
            "spec": { "type": "object", "properties": spec, "required": required, "additionalProperties": false },
            "status": { "type": "object", "properties": status }
        },
        "required": ["spec"],
        "additionalProperties": false
    })
}

/// The schema of one field.
fn of(typed: &Typed<'_>, depth: usize) -> Json {
    let field = typed.field;
    let mut out = if depth > DEPTH { Map::new() } else { shape_of(typed, depth) };
    let mut say = |name: &str, value: Json| {
        out.insert(name.to_owned(), value);
    };
    if let Some(about) = &field.about {
        say("description", Json::from(about.as_str()));
    }
    for (name, given) in
        [("x-trueup-immutable", field.immutable), ("x-trueup-unordered", field.unordered), ("x-trueup-blob", field.blob)]
    {
        if given {
            say(name, Json::Bool(true));
        }
    }
    if !field.digest_of.is_empty() {
        say("description", Json::from("The engine's own: SHA-256 of the content."));
    }
    if field.secret {
        say("x-trueup-sensitive", Json::Bool(true));
    }
    if field.secret || field.write_only {
        say("x-trueup-write-only", Json::Bool(true));
    }
    // A set is compared as a whole: what somebody else put into it is none of it.
    if !field.key.is_empty() && !field.unordered {
        say("x-trueup-list-key", json!(field.key));
    }
    if let Some(default) = &field.default {
        say("x-trueup-default", default.clone());
    }
    Json::Object(out)
}

fn shape_of(typed: &Typed<'_>, depth: usize) -> Map<String, Json> {
    let field = typed.field;
    let plain = |name: &str| Map::from_iter([("type".to_owned(), Json::from(name))]);
    match field.spelling {
        Spelling::Json | Spelling::Policy => return Map::from_iter([("type".to_owned(), json!(["object", "array", "string"]))]),
        Spelling::Base64 => return plain("string"),
        Spelling::Pairs => return mapping(json!({ "type": "string" })),
        Spelling::Commas => return list(json!({ "type": "string" })),
        Spelling::Text | Spelling::Plain | Spelling::Domain => {}
    }
    if !field.words.is_empty() {
        return plain("boolean");
    }
    if field.member.is_some() {
        return list(json!({ "type": "string" }));
    }
    if let Some(fields) = &field.fields {
        let parts = fields.iter().map(|(name, it)| (name.clone(), of(&typed.part(name, it), depth + 1), it.required));
        let item = structure(parts.collect());
        return if typed.is_list() { list(Json::Object(item)) } else { item };
    }
    if let Some(scalar) = &field.scalar {
        return plain(scalar);
    }
    let Some(shape) = typed.shape else { return plain("string") };
    if field.list && !typed.one && shape.kind != Of::List {
        return list(Json::Object(one_of(typed, shape, depth)));
    }
    one_of(typed, shape, depth)
}

fn one_of(typed: &Typed<'_>, shape: &Shape, depth: usize) -> Map<String, Json> {
    let plain = |name: &str| Map::from_iter([("type".to_owned(), Json::from(name))]);
    match shape.kind {
        Of::String | Of::Blob | Of::Timestamp => plain("string"),
        Of::Integer => plain("integer"),
        Of::Float => plain("number"),
        Of::Boolean => plain("boolean"),
        Of::List => list(Json::Object(shape_of(&typed.item(), depth + 1))),
        Of::Map => mapping(Json::Object(shape_of(&typed.item(), depth + 1))),
        Of::Structure if depth >= DEPTH => Map::new(),
        Of::Structure => {
            let parts = typed.members().into_iter().map(|(name, member)| {
                let part = of(&typed.member(member), depth + 1);
                (name, part, member.required)
            });
            structure(parts.collect())
        }
    }
}

fn list(item: Json) -> Map<String, Json> {
    Map::from_iter([("type".to_owned(), Json::from("array")), ("items".to_owned(), item)])
}

fn mapping(item: Json) -> Map<String, Json> {
    Map::from_iter([("type".to_owned(), Json::from("object")), ("additionalProperties".to_owned(), item)])
}

fn structure(parts: Vec<(String, Json, bool)>) -> Map<String, Json> {
    let required: Vec<String> = parts.iter().filter(|it| it.2).map(|it| it.0.clone()).collect();
    let properties: Map<String, Json> = parts.into_iter().map(|(name, part, _)| (name, part)).collect();
    let mut out = Map::from_iter([
        ("type".to_owned(), Json::from("object")),
        ("properties".to_owned(), Json::Object(properties)),
        ("additionalProperties".to_owned(), Json::Bool(false)),
    ]);
    if !required.is_empty() {
        out.insert("required".to_owned(), json!(required));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_what_its_schema_and_the_engine_take() {
        let schema: Json = serde_json::from_str(include_str!("../../../wit/manifest.schema.json")).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors = validator.iter_errors(&manifest()).map(|it| format!("{}: {it}", it.instance_path())).collect::<Vec<_>>();
        assert!(errors.is_empty(), "{errors:#?}");
        let parsed = trueup_core::manifest::Manifest::parse(&manifest()).unwrap();
        assert_eq!(parsed.kinds.len(), kind::all().unwrap().len());
    }
}
