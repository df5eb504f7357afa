//! Who manages which field (`metadata.managedFields`), as far as decisions hang on it.
//!
//! Three questions, all pure: whether a conflict may be decided without a person, whose entries end when an object is taken over, and
//! whether a field that Git no longer declares is held by nothing but what once applied the same documents.

use serde::Deserialize;
use serde_json::Map;
use trueup_sdk::Json;

use crate::manifest::MANAGER;

/// What applies whole documents, by hand or by itself: who takes an object over takes it over from these.
const APPLIERS: [&str; 17] = [
    "kubectl-client-side-apply",
    "kubectl-last-applied",
    "kubectl-create",
    "kubectl-replace",
    "kubectl",
    "before-first-apply",
    "helm",
    "Helm",
    "helm-controller",
    "kustomize-controller",
    "flux",
    "argocd-controller",
    "argocd-application-controller",
    "Terraform",
    "HashiCorp",
    "pulumi-kubernetes",
    "kapp-server",
];
/// How the names of kubectl's commands begin: `kubectl-edit`, `kubectl-patch`.
const KUBECTL: &str = "kubectl";
/// Other tools by which people change objects by hand, as their requests name them; a library that names nobody else is a script of
/// somebody's. What writes under any other name is a program that holds its fields on purpose.
const HANDS: [&str; 27] = [
    "oc",
    "k9s",
    "Lens",
    "lens",
    "OpenLens",
    "openlens",
    "Freelens",
    "freelens",
    "headlamp",
    "headlamp-server",
    "rancher",
    "dashboard",
    "dashboard-api",
    "kubernetes-dashboard",
    "Mozilla",
    "octant",
    "node-fetch",
    "axios",
    "curl",
    "Wget",
    "HTTPie",
    "PostmanRuntime",
    "insomnia",
    "python-requests",
    "Python-urllib",
    "Go-http-client",
    "unknown",
];

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

/// The entries of an object's own text, and its version; of a text that is none, nothing.
pub fn entries(object: &[u8]) -> (Vec<Entry>, String) {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Meta {
        managed_fields: Vec<Entry>,
        resource_version: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Whole {
        metadata: Meta,
    }
    let Meta { managed_fields, resource_version } = serde_json::from_slice::<Whole>(object).unwrap_or_default().metadata;
    (managed_fields, resource_version)
}

impl Entry {
    /// Of something that applies whole documents.
    fn is_applier(&self) -> bool {
        self.subresource.is_empty() && APPLIERS.contains(&self.manager.as_str())
    }

    /// A change that somebody made by hand; `kubectl scale` writes a part of the object that has a name of its own.
    fn is_by_hand(&self) -> bool {
        let hand = self.manager.starts_with(KUBECTL) || HANDS.contains(&self.manager.as_str());
        hand && self.operation == "Update" && matches!(self.subresource.as_str(), "" | "scale")
    }

    /// Of what a person takes an object over from: anything that once wrote the object, and does not apply documents of its own.
    fn is_former(&self) -> bool {
        self.is_applier() || self.is_by_hand() || (self.operation == "Update" && self.subresource.is_empty())
    }
}

/// Whether the fields of all these managers may be taken without a person's word.
///
/// So it is where somebody changed by hand, after we applied the object, what we had applied (drift, to be put back), and where a
/// manager wrote the object, or applied its documents, before we take it over: that is a person's word. Every other manager is another
/// owner, whose conflict is for a person to decide: one that applies documents of its own, an operator or an autoscaler that writes
/// after us, one that held its fields before us. `takes_over`: we are about to take the object over.
pub fn may_take(entries: &[Entry], managers: &[&str], takes_over: bool) -> bool {
    let ours = entries.iter().find(|it| it.manager == MANAGER && it.operation == "Apply");
    let since = ours.map(|it| it.time.as_str());
    // The server notes no time of what was scaled.
    let late = |it: &Entry| since.is_some_and(|since| it.time.is_empty() || since <= it.time.as_str());
    let drifted = |it: &Entry| it.is_by_hand() && late(it);
    let former =
        |it: &Entry| (takes_over && it.is_former()) || (it.is_applier() && since.is_some_and(|since| it.time.as_str() < since));
    let may = |manager: &&str| {
        let mut theirs = entries.iter().filter(|it| it.manager == **manager && it.subresource != "status").peekable();
        theirs.peek().is_some() && theirs.all(|it| drifted(it) || former(it))
    };
    !managers.is_empty() && managers.iter().all(may)
}

/// Positions of the entries that end when an object is taken over, last first: with them gone, what they hold and we apply is ours alone,
/// and what they hold and nobody declares stays as it is.
pub fn former(entries: &[Entry]) -> Vec<usize> {
    let former = entries.iter().enumerate().filter(|(_, it)| it.is_former());
    former.map(|(at, _)| at).rev().collect()
}

/// Whether the field at this pointer, which we do not manage any more, is held by former appliers alone. False too where nobody
/// holds it: then it is the server's.
pub fn is_left_over(entries: &[Entry], pointer: &str) -> bool {
    let holders: Vec<&Entry> = entries.iter().filter(|it| holds(&it.fields, pointer)).collect();
    !holders.is_empty() && holders.iter().all(|it| it.is_applier())
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
    fn an_edit_after_our_apply_and_what_was_applied_before_it_may_be_taken_and_other_owners_fields_may_not() {
        let ours = entry("trueup", "Apply", "", "2026-01-01T00:00:05Z");
        for (other, want) in [
            (entry("kubectl-edit", "Update", "", "2026-01-01T00:00:06Z"), true),
            (entry("kubectl-edit", "Update", "", "2026-01-01T00:00:05Z"), true),
            (entry("kubectl-edit", "Update", "", "2026-01-01T00:00:04Z"), false),
            (entry("kube-controller-manager", "Update", "scale", ""), false),
            (entry("kubectl", "Update", "scale", ""), true),
            (entry("kubectl", "Update", "resize", "2026-01-01T00:00:06Z"), false),
            (entry("k9s", "Update", "", "2026-01-01T00:00:06Z"), true),
            (entry("curl", "Update", "", "2026-01-01T00:00:06Z"), true),
            (entry("kubectl", "Apply", "", "2026-01-01T00:00:06Z"), false),
            (entry("cainjector", "Update", "", "2026-01-01T00:00:06Z"), false),
            (entry("my-autoscaler", "Update", "scale", ""), false),
            (entry("manager", "Update", "", "2026-01-01T00:00:05Z"), false),
            (entry("kubectl-client-side-apply", "Update", "", "2026-01-01T00:00:06Z"), true),
            (entry("kubectl-client-side-apply", "Update", "", "2026-01-01T00:00:04Z"), true),
            (entry("helm", "Update", "", "2026-01-01T00:00:06Z"), false),
            (entry("helm", "Update", "", "2026-01-01T00:00:05Z"), false),
            (entry("helm", "Update", "", "2026-01-01T00:00:04Z"), true),
            (entry("kustomize-controller", "Apply", "", "2026-01-01T00:00:04Z"), true),
            (entry("operator", "Apply", "", "2026-01-01T00:00:06Z"), false),
        ] {
            assert_eq!(may_take(&[ours.clone(), other.clone()], &[&other.manager], false), want, "{other:?}");
            let alone = std::slice::from_ref(&other);
            assert!(!may_take(alone, &[&other.manager], false), "we never applied: {other:?}");
            assert_eq!(may_take(alone, &[&other.manager], true), other.is_former(), "{other:?}");
        }
        assert!(!may_take(std::slice::from_ref(&ours), &["nobody"], true) && !may_take(&[ours], &[], true));
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
        let one = json!({ "manager": "a", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": {} } });
        let text = json!({ "metadata": { "managedFields": [one], "resourceVersion": "7" } });
        let (read, version) = entries(text.to_string().as_bytes());
        assert!(matches!(read.as_slice(), [it] if it.manager == "a" && it.fields.contains_key("f:spec")) && version == "7");
        assert_eq!(entries(b"x"), (Vec::new(), String::new()));
    }
}
