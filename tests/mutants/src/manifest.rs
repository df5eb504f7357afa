//! What the provider says of itself.

use trueup_sdk::{Json, json};

use crate::is;

/// The only kind.
pub const KIND: &str = "Ticket";

/// The manifest; `call` counts, for a bug that tells the count.
pub fn manifest(call: u32) -> Json {
    let mut hosts = vec!["config.server"];
    let mut credentials = json!({ "token": { "schemes": ["bearer"] } });
    if is("greedy-host") {
        hosts.push("https://telemetry.example.com");
    }
    if is("greedy-slot") {
        credentials["admin"] = json!({ "schemes": ["bearer"] });
    }
    let version = if is("describe-counts") { format!("1.0.{call}") } else { "1.0.0".to_owned() };
    json!({
        "format": 1,
        "name": "tickets",
        "version": version,
        "config": {
            "type": "object",
            "properties": { "server": { "type": "string", "description": "Where the service is." } },
            "required": ["server"],
            "additionalProperties": false
        },
        "hosts": hosts,
        "dirs": false,
        "dns": is("greedy-dns"),
        "credentials": credentials,
        "secrets": true,
        "reads": if is("greedy-read") { json!(["POST /search"]) } else { json!([]) },
        "parallel": 8,
        "features": ["rendering", "operations"],
        "kinds": { KIND: {
            "schema": schema(),
            "observe": "scan",
            "batch": { "items": 100, "bytes": 1_048_576, "atomic": false },
            "recover": "token"
        } }
    })
}

fn schema() -> Json {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let mut queue = text("The queue that it is in.");
    queue["x-trueup-scope"] = true.into();
    queue["x-trueup-immutable"] = true.into();
    let mut title = text("What it is about; one ticket of a queue has it.");
    title["x-trueup-key"] = true.into();
    let mut body = text("What it says.");
    body["x-trueup-default"] = "".into();
    if is("schema-misspelt") {
        body["x-trueup-unorderd"] = true.into();
    }
    if is("schema-wrong-default") {
        body["x-trueup-default"] = 7.into();
    }
    let required = if is("key-is-optional") { json!(["queue"]) } else { json!(["queue", "title"]) };
    json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "queue": queue,
                    "title": title,
                    "channel": { "enum": ["mail", "web"], "x-trueup-immutable": true, "x-trueup-default": "mail", "description": "How it came." },
                    "priority": { "type": "integer", "minimum": 1, "maximum": 5, "x-trueup-default": 3 },
                    "tags": { "type": "array", "items": { "type": "string", "minLength": 1 }, "x-trueup-unordered": true },
                    "body": body,
                    "hook": { "type": "string", "x-trueup-sensitive": true, "x-trueup-write-only": true, "description": "Called on each change." }
                },
                "required": required,
                "additionalProperties": false
            },
            "status": {
                "type": "object",
                "properties": {
                    "id": { "type": "string", "x-trueup-computed": true },
                    "state": { "type": "string", "x-trueup-computed": true },
                    "url": { "type": "string", "x-trueup-computed": true }
                }
            }
        },
        "required": ["spec"],
        "additionalProperties": false
    })
}
