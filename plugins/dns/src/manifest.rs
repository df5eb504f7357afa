//! What the plugin says about itself.

use serde_json::Map;
use trueup_sdk::{Json, json};

use crate::document::KINDS;
use crate::rdata::encoding::MAX_TTL;

/// Most changes in one call, and most bytes of their documents: a whole zone, so that it changes in as few requests as the
/// server takes.
const BATCH_ITEMS: u32 = 50_000;
const BATCH_BYTES: u32 = 16 << 20;

/// PowerDNS's own limit of a request, in bytes.
pub const MAX_BODY: u32 = 2 << 20;

/// TTL of a new set that declares none, in seconds.
pub const DEFAULT_TTL: u32 = 3_600;

/// Longest time that one request may take, in seconds: below the engine's limit of a call, so that the reason has a name.
pub const TIMEOUT: u32 = 20;

/// The manifest, as `wit/manifest.schema.json` describes it.
pub fn manifest() -> Json {
    json!({
        "format": 1,
        "name": "dns",
        "version": env!("CARGO_PKG_VERSION"),
        "config": config(),
        "hosts": ["config.server"],
        "dirs": false,
        "dns": true,
        "credentials": { "server": { "schemes": ["header", "basic", "bearer", "client-certificate", "tsig"] } },
        "secrets": false,
        "reads": [],
        "parallel": 8,
        "apiVersions": "own",
        "yaml": "core",
        "features": ["rendering"],
        "kinds": { "Zone": zone(), "RecordSet": record_set(), "ZoneFile": zone_file() }
    })
}

fn config() -> Json {
    json!({
        "type": "object",
        "properties": {
            "flavor": { "enum": ["powerdns", "rfc2136"], "description": "How the server is spoken to: PowerDNS's HTTP API, or DNS UPDATE and zone transfers (BIND, Knot, PowerDNS)." },
            "server": { "x-trueup-target": true, "type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^(https?|dns|dns\\+tls)://[^/?#@ ]+/?$", "description": "Where it is: http://127.0.0.1:8081 for PowerDNS (`hosts` must grant it), dns://127.0.0.1:53 or dns+tls://ns1.example.com:853 else (`dns` must)." },
            "serverId": { "x-trueup-target": true, "default": "localhost", "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "description": "PowerDNS's name for the server; `localhost` where it is not given." },
            "zones": { "type": "array", "items": { "type": "string", "minLength": 1, "maxLength": 1024 }, "maxItems": 100_000, "uniqueItems": true, "description": "The only zones that documents may be about. Absent: all that the server has." },
            "maxBody": { "type": "integer", "minimum": 4096, "maximum": 67_108_864, "description": "Most bytes of one request to PowerDNS, 2 MiB where it is not given; its own setting is `webserver-max-bodysize`." },
            "ttl": { "type": "integer", "minimum": 0, "maximum": MAX_TTL, "description": "TTL of a new record set that declares none, in seconds; 3600 where it is not given." },
            "timeout": { "type": "integer", "minimum": 1, "maximum": 25, "description": "Seconds that one request may take, 20 where it is not given." },
            "tsig": { "type": "boolean", "description": "false: DNS messages are not signed, as the server trusts our address. Else they are, with the key that `credential` names." }
        },
        "required": ["flavor", "server"],
        "additionalProperties": false
    })
}

fn kind(spec: Json) -> Json {
    Json::Object(kind_of(spec))
}

fn kind_of(spec: Json) -> Map<String, Json> {
    let kind = json!({
        "schema": {
            "type": "object",
            "properties": { "spec": spec },
            "required": ["spec"],
            "additionalProperties": false
        },
        "schemaVersion": 1,
        "observe": "scan",
        "batch": { "items": BATCH_ITEMS, "bytes": BATCH_BYTES, "atomic": false },
        "recover": "key",
        "settleTime": 0,
        "replace": "delete-first"
    });
    if let Json::Object(kind) = kind { kind } else { Map::new() }
}

fn name(of: &str) -> Json {
    json!({ "type": "string", "minLength": 1, "maxLength": 1024, "description": of })
}

fn zone() -> Json {
    let mut zone = kind_of(json!({
        "type": "object",
        "description": "A zone, created where the server can.",
        "properties": {
            "name": name("Name of the zone; the name of the resource where it is not given."),
            "authoritative": { "type": "boolean", "x-trueup-write-only": true, "description": "Claims all record sets of the zone but SOA, NS at the apex, DNSSEC's own and those that `ignore` names: what no document declares is removed." },
            "ignore": { "type": "array", "items": { "type": "string", "minLength": 1, "maxLength": 1024 }, "maxItems": 1000, "x-trueup-write-only": true, "x-trueup-unordered": true, "description": "Record sets that an authoritative zone leaves alone: a name within the zone, `*` for any characters, and a type or none, such as `_acme-challenge* TXT`." },
            "kind": { "enum": KINDS, "description": "How PowerDNS replicates the zone." },
            "nameservers": { "type": "array", "items": name("Name of a server."), "maxItems": 100, "x-trueup-write-only": true, "description": "NS records that a new zone begins with." }
        },
        "additionalProperties": false
    }));
    zone.insert("claims".to_owned(), Json::from("/spec/authoritative"));
    zone.insert("claimsExcept".to_owned(), Json::from("/spec/ignore"));
    Json::Object(zone)
}

fn record_set() -> Json {
    let mut set = kind_of(json!({
        "type": "object",
        "description": "All records of one name and type.",
        "properties": {
            "zone": name("Zone of the records."),
            "name": name("Name within the zone, `@` for the zone itself, or absolute with a final dot; the name of the resource where it is not given."),
            "type": { "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9-]{0,19}$", "description": "A, AAAA, MX…; TYPE65280 for one without a name here." },
            "ttl": {
                "oneOf": [{ "type": "integer", "minimum": 0, "maximum": MAX_TTL }, { "type": "string", "pattern": "^[0-9]+([smhdwSMHDW]([0-9]+[smhdwSMHDW])*)?$" }],
                "description": "Seconds, or units as in 1h30m. Undeclared, it is the provider's `ttl` at creation and never compared."
            },
            "values": { "type": "array", "items": { "type": "string", "maxLength": 262_144 }, "minItems": 1, "maxItems": 10_000, "x-trueup-unordered": true, "description": "Values as a master file has them; names without a final dot are within the zone." },
            "value": { "type": "string", "maxLength": 262_144, "description": "The only value." }
        },
        "required": ["zone", "type"],
        "oneOf": [{ "required": ["values"] }, { "required": ["value"] }],
        "additionalProperties": false
    }));
    // RFC 1034 §3.6.2.
    set.insert("sole".to_owned(), Json::from("CNAME"));
    // A set comes to be whole or not at all: another one than was sent is somebody else's.
    set.insert("recover".to_owned(), Json::from("conditional"));
    Json::Object(set)
}

fn zone_file() -> Json {
    kind(json!({
        "type": "object",
        "description": "A master file: each of its record sets is an object, but for SOA and NS at the apex, which are the server's.",
        "properties": {
            "zone": name("Zone that the file is of."),
            "source": { "type": "string", "x-trueup-blob": true, "description": "The file, in the repository." }
        },
        "required": ["zone", "source"],
        "additionalProperties": false
    }))
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
        assert_eq!(parsed.kinds.keys().collect::<Vec<_>>(), ["RecordSet", "Zone", "ZoneFile"]);
    }
}
