//! Who manages which field (`metadata.managedFields`), as far as decisions hang on it.
//!
//! Two questions, both pure: whether a conflict is drift that may be put back, and whether a field that Git no longer declares is
//! held by nothing but what once applied the same documents.

use serde::Deserialize;
use serde_json::Map;
use trueup_sdk::Json;

use crate::manifest::MANAGER;

/// What people apply documents with by hand.
const KUBECTL: [&str; 4] = ["kubectl-client-side-apply", "kubectl-last-applied", "kubectl", "before-first-apply"];
/// What applies documents by itself.
const APPLIERS: [&str; 5] = ["helm", "Helm", "kustomize-controller", "helm-controller", "argocd-controller"];

/// One entry of `managedFields`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    pub subresource: String,
    /// RFC 3339 in UTC, so that texts sort as times.
    pub time: String,
    #[serde(rename = "fieldsV1")]
    pub fields: Map<String, Json>,
}

/// The entries of an object's own text.
pub fn entries(object: &[u8]) -> Vec<Entry> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Meta {
        managed_fields: Vec<Entry>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Whole {
        metadata: Meta,
    }
    serde_json::from_slice::<Whole>(object).map(|it| it.metadata.managed_fields).unwrap_or_default()
}

/// Whether every one of these managers only changed, after we applied the object, what we had applied: drift, to be put back.
///
/// A manager that applies documents of its own, one that writes a subresource (an autoscaler by `scale`), and one that held its
/// fields before us are other owners: their conflict is for a person to decide.
pub fn is_drift(entries: &[Entry], managers: &[&str]) -> bool {
    let Some(ours) = entries.iter().find(|it| it.manager == MANAGER && it.operation == "Apply") else { return false };
    let drifted = |manager: &&str| {
        if APPLIERS.contains(manager) {
            return false;
        }
        let mut theirs = entries.iter().filter(|it| it.manager == **manager && it.subresource != "status").peekable();
        theirs.peek().is_some()
            && theirs.all(|it| it.operation == "Update" && it.subresource.is_empty() && ours.time.as_str() <= it.time.as_str())
    };
    !managers.is_empty() && managers.iter().all(drifted)
}

/// Whether the field at this pointer, which we do not manage any more, is held by former appliers alone. False too where nobody
/// holds it: then it is the server's.
pub fn is_left_over(entries: &[Entry], pointer: &str) -> bool {
    let holders: Vec<&Entry> = entries.iter().filter(|it| holds(&it.fields, pointer)).collect();
    let former = |it: &&Entry| {
        let manager = it.manager.as_str();
        it.subresource.is_empty() && (KUBECTL.contains(&manager) || APPLIERS.contains(&manager))
    };
    !holders.is_empty() && holders.iter().all(former)
}

/// Whether a set of fields has the one at this pointer, which leads through mappings only.
fn holds(fields: &Map<String, Json>, pointer: &str) -> bool {
    let mut at = fields;
    let mut found = false;
    for part in pointer.split('/').skip(1) {
        let name = format!("f:{}", part.replace("~1", "/").replace("~0", "~"));
        match at.get(&name) {
            Some(Json::Object(below)) => at = below,
            _ => return false,
        }
        found = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    fn entry(manager: &str, operation: &str, subresource: &str, time: &str) -> Entry {
        let fields = match json!({ "f:spec": { "f:replicas": {}, "f:a/b": {} } }) {
            Json::Object(map) => map,
            _ => Map::new(),
        };
        Entry {
            manager: manager.to_owned(),
            operation: operation.to_owned(),
            subresource: subresource.to_owned(),
            time: time.to_owned(),
            fields,
        }
    }

    #[test]
    fn an_edit_after_our_apply_is_drift_and_other_owners_are_not() {
        let ours = entry("trueup", "Apply", "", "2026-01-01T00:00:05Z");
        for (other, want) in [
            (entry("kubectl-edit", "Update", "", "2026-01-01T00:00:06Z"), true),
            (entry("kubectl-edit", "Update", "", "2026-01-01T00:00:05Z"), true),
            (entry("kubectl-edit", "Update", "", "2026-01-01T00:00:04Z"), false),
            (entry("kube-controller-manager", "Update", "scale", "2026-01-01T00:00:06Z"), false),
            (entry("helm", "Update", "", "2026-01-01T00:00:06Z"), false),
            (entry("operator", "Apply", "", "2026-01-01T00:00:06Z"), false),
        ] {
            assert_eq!(is_drift(&[ours.clone(), other.clone()], &[&other.manager]), want, "{other:?}");
            assert!(!is_drift(std::slice::from_ref(&other), &[&other.manager]), "we never applied: {other:?}");
        }
        assert!(!is_drift(std::slice::from_ref(&ours), &["nobody"]) && !is_drift(&[ours], &[]));
    }

    #[test]
    fn a_field_is_left_over_where_only_former_appliers_hold_it() {
        let old = entry("kubectl-client-side-apply", "Update", "", "");
        let scaler = entry("kube-controller-manager", "Update", "scale", "");
        assert!(is_left_over(std::slice::from_ref(&old), "/spec/replicas"));
        assert!(is_left_over(std::slice::from_ref(&old), "/spec/a~1b"));
        assert!(!is_left_over(std::slice::from_ref(&old), "/spec/other"));
        assert!(!is_left_over(&[old, scaler], "/spec/replicas"));
        assert!(!is_left_over(&[], "/spec/replicas") && !is_left_over(&[], ""));
    }

    #[test]
    fn entries_are_read_from_an_objects_text() {
        let text = json!({ "metadata": { "managedFields": [{ "manager": "a", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": {} } }] } });
        let read = entries(text.to_string().as_bytes());
        assert!(matches!(read.as_slice(), [it] if it.manager == "a" && it.fields.contains_key("f:spec")));
        assert!(entries(b"x").is_empty());
    }
}
