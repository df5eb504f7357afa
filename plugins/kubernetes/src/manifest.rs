//! What the plugin says about itself, and its settings.

use trueup_sdk::{Error, Json, Result, json};

/// The credential slot that names the cluster.
pub const SLOT: &str = "cluster";

/// Our name in `metadata.managedFields`.
pub const MANAGER: &str = "trueup";

/// Namespace of documents that name none, where the settings name none either.
const DEFAULT_NAMESPACE: &str = "default";

/// The manifest, as `wit/manifest.schema.json` describes it. It names no kind: the cluster does.
pub fn manifest() -> Json {
    json!({
        "format": 1,
        "name": "kubernetes",
        "version": env!("CARGO_PKG_VERSION"),
        "config": {
            "type": "object",
            "properties": {
                "cluster": { "type": "string", "minLength": 1, "maxLength": 253, "x-trueup-target": true, "description": "A name of your choice for the cluster, by which it stays the same one however its server is reached. Without it the cluster is known by the server's URL in its credential." },
                "namespace": { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "description": "Namespace of documents that name none; `default` where it is not given." }
            },
            "additionalProperties": false
        },
        "hosts": [],
        "dirs": false,
        "dns": false,
        "credentials": { SLOT: { "schemes": ["bearer", "basic", "client-certificate", "kubeconfig"] } },
        "secrets": true,
        // The second is for clusters behind a path, as Rancher has them.
        "reads": ["PATCH /api*?dryRun=All", "PATCH /*/api*?dryRun=All"],
        "parallel": 8,
        "apiVersions": "any",
        "yaml": "kubectl",
        "features": ["rendering", "planning", "operations", "schemas", "discovery"],
        "kinds": {}
    })
}

/// The settings of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where documents of namespaced kinds go that name no namespace.
    pub namespace: String,
}

impl Config {
    /// Reads settings that the manifest's schema has let through.
    ///
    /// # Errors
    /// Where `namespace` is no text.
    pub fn parse(config: &Json) -> Result<Self> {
        let namespace = match config.get("namespace") {
            None | Some(Json::Null) => DEFAULT_NAMESPACE,
            Some(Json::String(text)) => text,
            Some(_) => return Err(Error::invalid("k8s.config", "`namespace` must be a text").at("/namespace")),
        };
        Ok(Self { namespace: namespace.to_owned() })
    }
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
        assert!(parsed.any_api_version && parsed.offers("schemas") && !parsed.offers("migration"));
    }

    #[test]
    fn documents_without_a_namespace_go_where_the_settings_say() {
        assert_eq!(Config::parse(&json!({})).unwrap().namespace, "default");
        assert_eq!(Config::parse(&json!({ "namespace": "shop" })).unwrap().namespace, "shop");
        assert!(Config::parse(&json!({ "namespace": 1 })).is_err());
    }
}
