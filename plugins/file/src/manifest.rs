//! What the plugin says about itself.

use trueup_sdk::{Json, json};

/// Most changes in one call, and most bytes of their documents: enough that a call's own cost does not show, few enough
/// that a kill loses little work.
const BATCH_ITEMS: u32 = 256;
const BATCH_BYTES: u32 = 1 << 20;

/// The manifest, as `wit/manifest.schema.json` describes it.
pub fn manifest() -> Json {
    json!({
        "format": 1,
        "name": "file",
        "version": env!("CARGO_PKG_VERSION"),
        "config": {
            "type": "object",
            "properties": {
                "root": { "x-trueup-target": true, "type": "string", "minLength": 1, "description": "Directory that all paths are relative to; `dirs` must grant it." }
            },
            "required": ["root"],
            "additionalProperties": false
        },
        "hosts": [],
        "dirs": true,
        "dns": false,
        "credentials": {},
        "secrets": true,
        "reads": [],
        "parallel": 4,
        "apiVersions": "own",
        "yaml": "core",
        "features": ["rendering"],
        "kinds": { "File": file(), "Directory": directory() }
    })
}

/// `recover` says what a create that was cut off may have left: a file is renamed to a name that nothing has, so that it is there
/// whole or not at all; a directory is made and then given its mode.
fn kind(recover: &str, solid: bool, schema: Json) -> Json {
    json!({
        "schema": schema,
        "schemaVersion": 1,
        "observe": "scan",
        "batch": { "items": BATCH_ITEMS, "bytes": BATCH_BYTES, "atomic": false },
        "recover": recover,
        "settleTime": 0,
        "replace": "create-first",
        "nests": "/",
        "solid": solid
    })
}

fn path(of: &str) -> Json {
    json!({ "type": "string", "minLength": 1, "maxLength": 4096, "description": format!("Where the {of} stands, relative to the provider's `root`.") })
}

fn mode(default: &str) -> Json {
    let description = format!(
        "Permission bits in octal, such as \"{default}\". Undeclared, they are {default} at creation and never compared."
    );
    json!({ "type": "string", "pattern": "^0[0-7]{3}$", "description": description })
}

fn file() -> Json {
    let depends = ["spec.content", "spec.source", "spec.sensitiveContent"];
    kind(
        "conditional",
        true,
        json!({
            "type": "object",
            "description": "A regular file with this content.",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "path": path("file"),
                        "content": { "type": "string", "description": "The file's text, written as it stands." },
                        "source": { "type": "string", "x-trueup-blob": true, "description": "A file of the repository to copy, binary too." },
                        "sensitiveContent": { "type": "string", "x-trueup-sensitive": true, "description": "As `content`, from secrets; with no declared mode the file is created 0600, so that only its owner reads it." },
                        "mode": mode("0644")
                    },
                    "required": ["path"],
                    "oneOf": [{ "required": ["content"] }, { "required": ["source"] }, { "required": ["sensitiveContent"] }],
                    "additionalProperties": false
                },
                "status": {
                    "type": "object",
                    "properties": {
                        "sha256": { "type": "string", "x-trueup-computed": true, "x-trueup-status-from": depends, "description": "Digest of the content, in hex." },
                        "size": { "type": "integer", "x-trueup-computed": true, "x-trueup-status-from": depends, "description": "Bytes." }
                    }
                }
            },
            "required": ["spec"],
            "additionalProperties": false
        }),
    )
}

fn directory() -> Json {
    kind(
        "key",
        false,
        json!({
            "type": "object",
            "description": "A directory. What stands in it is not its business.",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": { "path": path("directory"), "mode": mode("0755") },
                    "required": ["path"],
                    "additionalProperties": false
                }
            },
            "required": ["spec"],
            "additionalProperties": false
        }),
    )
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
        assert_eq!(parsed.kinds.keys().collect::<Vec<_>>(), ["Directory", "File"]);
        for wrong in [json!({"x-trueup-blob": "yes"}), json!({"properties": {"a": {"x-trueup-case": "x"}}})] {
            let mut bad = manifest();
            bad["kinds"]["File"]["schema"] = wrong;
            assert!(!validator.is_valid(&bad), "{bad}");
        }
    }
}
