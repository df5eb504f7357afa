//! Kinds as a definition of custom resources declares them, before the server knows them. Pure.

use std::cmp::Reverse;

use serde_json::Map;
use trueup_sdk::{Error, Json, Result, json};

use crate::kind::{Served, is_name};
use crate::openapi;

/// Groups of the API server's own. A definition of a kind in one of them is never served, and must not stand before what is: the groups
/// of Gateway API, of snapshots and their like end in `k8s.io` too, and are none of these.
const BUILT_IN: [&str; 20] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "auditregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "imagepolicy.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether a group is one that the API server has by itself.
pub fn is_built_in(group: &str) -> bool {
    !group.contains('.') || BUILT_IN.contains(&group)
}

/// Whether a definition can be one: as the API server has it, so that no document redefines a kind which the server has without it.
///
/// # Errors
/// Where its group is one of the server's own or has no dot, as theirs, or its name is not the one that the server asks for.
pub fn check(doc: &Json, name: &str) -> Result<()> {
    let text = |path: &str| doc.pointer(path).and_then(Json::as_str);
    let Some(group) = text("/spec/group") else { return Ok(()) };
    if is_built_in(group) {
        let text = format!("the group `{group}` is the API server's own; custom resources have a group of somebody's domain");
        return Err(Error::invalid("k8s.definition", text).at("/spec/group"));
    }
    match text("/spec/names/plural") {
        Some(plural) if name != format!("{plural}.{group}") => {
            let text = format!("a definition is called by what it defines: write `{plural}.{group}`");
            Err(Error::invalid("k8s.definition", text).at("/metadata"))
        }
        _ => Ok(()),
    }
}

/// The kinds that the document of a definition declares, in the form of the contract; none where it is not clear. Versions other
/// than the preferred one are under `at`.
pub fn kinds(doc: &Json) -> Option<Json> {
    let spec = doc.get("spec")?;
    let text = |path: &str| spec.pointer(path).and_then(Json::as_str).map(str::to_owned);
    let (kind, group, plural) = (text("/names/kind")?, text("/group")?, text("/names/plural")?);
    let mut versions: Vec<&Json> =
        spec.get("versions")?.as_array()?.iter().filter(|it| it.get("served") == Some(&Json::Bool(true))).collect();
    versions.sort_by_cached_key(|it| priority(name_of(it)));
    let names: Vec<String> = versions.iter().map(|it| name_of(it).to_owned()).collect();
    let namespaced = text("/scope")? == "Namespaced";
    let served = |version: &str| Served {
        kind: kind.clone(),
        group: group.clone(),
        version: version.to_owned(),
        plural: plural.clone(),
        namespaced,
        listable: true,
        versions: names.clone(),
    };
    let schema = |version: &Json, name: &str| match version.pointer("/schema/openAPIV3Schema") {
        Some(whole) => openapi::of_definition(whole, name),
        None => openapi::open(name),
    };
    let mut all = versions.into_iter();
    let first = all.next()?;
    let served = served(name_of(first));
    let name = served.name();
    if !is_name(&name) {
        return None;
    }
    let others: Map<String, Json> =
        all.map(|it| (name_of(it).to_owned(), json!({ "version": name_of(it), "schema": schema(it, &name) }))).collect();
    let mut entry = served.entry(schema(first, &name), None);
    if let (Json::Object(entry), false) = (&mut entry, others.is_empty()) {
        entry.insert("at".to_owned(), Json::Object(others));
    }
    Some(json!({ name: entry }))
}

fn name_of(version: &Json) -> &str {
    version.get("name").and_then(Json::as_str).unwrap_or_default()
}

/// Which version of a group is preferred, the best first: as the API server orders the versions of a definition (`v2`, `v1`,
/// `v2beta1`, `v1alpha2`, then all others by name).
fn priority(version: &str) -> (u8, Reverse<u64>, Reverse<u64>, String) {
    let rest = version.strip_prefix('v').unwrap_or_default();
    let (major, rest) = digits(rest);
    let (stage, minor) = match (major, rest) {
        (Some(_), "") => (0, Some(0)),
        (Some(_), rest) => {
            let (stage, number) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
                (Some(number), _) => (1, number),
                (None, Some(number)) => (2, number),
                (None, None) => (3, ""),
            };
            match digits(number) {
                (Some(minor), "") => (stage, Some(minor)),
                _ => (3, None),
            }
        }
        (None, _) => (3, None),
    };
    match (major, minor) {
        (Some(major), Some(minor)) => (stage, Reverse(major), Reverse(minor), String::new()),
        _ => (3, Reverse(0), Reverse(0), version.to_owned()),
    }
}

fn digits(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number.parse().ok(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_the_api_server() {
        let mut all =
            ["foo10", "v1alpha1", "v11beta2", "v1", "v2", "foo1", "v10", "v11alpha2", "v3beta1", "v12alpha1", "v10beta3"];
        all.sort_by_cached_key(|it| priority(it));
        let want = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10"];
        assert_eq!(all, want);
    }

    #[test]
    fn a_definition_declares_a_kind_with_a_schema_for_each_version_that_is_served() {
        let schema = |field: &str| json!({ "openAPIV3Schema": { "type": "object", "properties": { "spec": { "type": "object", "properties": { field: { "type": "string" } } } } } });
        let doc = json!({ "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "kind": "Widget", "plural": "widgets" },
            "versions": [
                { "name": "v1alpha1", "served": false, "schema": schema("oldest") },
                { "name": "v1beta1", "served": true, "schema": schema("old") },
                { "name": "v1", "served": true, "schema": schema("new") }
            ]
        } });
        let kinds = kinds(&doc).unwrap();
        let widget = &kinds["Widget.example.com"];
        assert_eq!((&widget["version"], &widget["versions"]), (&json!("v1"), &json!(["v1", "v1beta1"])));
        assert!(
            widget["schema"].to_string().contains("\"new\"") && widget["at"]["v1beta1"]["schema"].to_string().contains("\"old\"")
        );
        let mut manifest = crate::manifest::manifest();
        manifest["kinds"] = kinds;
        assert!(trueup_core::manifest::Manifest::parse(&manifest).is_ok());
        assert_eq!(super::kinds(&json!({ "spec": { "group": "example.com" } })), None);
    }

    #[test]
    fn a_definition_cannot_redefine_what_the_server_has_by_itself() {
        let of = |group: &str, name: &str| {
            check(&json!({ "spec": { "group": group, "names": { "kind": "Secret", "plural": "secrets" } } }), name)
        };
        for group in ["", "apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io"] {
            let error = of(group, &format!("secrets.{group}")).unwrap_err();
            assert_eq!((error.code.as_str(), error.path.as_deref()), ("k8s.definition", Some("/spec/group")), "{group}");
        }
        for group in ["example.com", "gateway.networking.k8s.io", "snapshot.storage.k8s.io", "autoscaling.k8s.io"] {
            assert!(of(group, &format!("secrets.{group}")).is_ok(), "{group}");
            assert!(of(group, &format!("others.{group}")).is_err(), "{group}");
        }
        assert!(check(&json!({ "spec": { "group": { "$unknown": "x" } } }), "a").is_ok(), "not yet known");
    }
}
