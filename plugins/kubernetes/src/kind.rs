//! What the plugin knows of a kind: where the server has it, and what is special about it.

use std::rc::Rc;

use trueup_sdk::http::escape;
use trueup_sdk::{Json, json};

use crate::canonical::Shape;
use crate::manifest::SLOT;
use crate::order;
use crate::settle::DEFINITION;

/// Most changes in one call, and most bytes of their documents: they are sent side by side.
const BATCH_ITEMS: u32 = 200;
const BATCH_BYTES: u32 = 8 << 20;

/// A kind at one version of its group.
#[derive(Clone, Debug)]
pub struct Info {
    /// Without the group.
    pub kind: String,
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// As paths name the kind: `deployments`.
    pub plural: String,
    pub namespaced: bool,
    /// Another server than the cluster's own keeps its objects: that the kind is not served does not mean that they went.
    pub aggregated: bool,
    /// Where quantities are; empty where the kind has no schema.
    pub shape: Rc<Shape>,
}

impl Info {
    /// As the contract writes it.
    pub fn name(&self) -> String {
        full_name(&self.kind, &self.group)
    }

    pub fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// URL of all objects of a namespace; of all there are where it is empty.
    pub fn collection(&self, namespace: &str) -> String {
        let root = root(&self.group, &self.version);
        let namespace =
            if self.namespaced && !namespace.is_empty() { format!("/namespaces/{}", segment(namespace)) } else { String::new() };
        format!("{root}{namespace}/{}", self.plural)
    }

    /// URL of one object.
    pub fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), segment(name))
    }

    /// Out of an entry of `kinds`, as [`entry`] made it. None where it is not one of ours.
    pub fn of_entry(name: &str, entry: &Json) -> Option<Self> {
        let text = |key: &str| entry.get(key).and_then(Json::as_str).map(str::to_owned);
        let (kind, group) = split(name);
        Some(Self {
            kind: kind.to_owned(),
            group: group.to_owned(),
            version: text("version")?,
            plural: text("plural")?,
            namespaced: entry.get("namespaced")?.as_bool()?,
            aggregated: is_aggregated(entry),
            shape: Rc::new(Shape::of(entry.get("schema").unwrap_or(&Json::Null))),
        })
    }
}

/// What discovery says of a kind, before it has a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub kind: String,
    pub group: String,
    pub version: String,
    pub plural: String,
    pub namespaced: bool,
    /// The server can list its objects.
    pub listable: bool,
    /// Every version in which the server has it, the one above first.
    pub versions: Vec<String>,
}

impl Served {
    pub fn name(&self) -> String {
        full_name(&self.kind, &self.group)
    }

    /// Without a schema.
    pub fn info(&self) -> Info {
        Info {
            kind: self.kind.clone(),
            group: self.group.clone(),
            version: self.version.clone(),
            plural: self.plural.clone(),
            namespaced: self.namespaced,
            aggregated: false,
            shape: Rc::default(),
        }
    }

    /// The entry of `kinds`: what the contract wants, and what this plugin needs again. `hash` names the schemas of the group's
    /// version; the entry is good for as long as that stays.
    pub fn entry(&self, schema: Json, hash: Option<&str>) -> Json {
        let mut entry = json!({
            "schema": schema,
            "schemaVersion": 1,
            "observe": if self.listable { "scan" } else { "read" },
            "batch": { "items": BATCH_ITEMS, "bytes": BATCH_BYTES, "atomic": false },
            "recover": "key",
            "settleTime": 0,
            "replace": "delete-first",
            "marked": true,
            "plural": self.plural,
            "version": self.version,
            "versions": self.versions,
            "namespaced": self.namespaced,
            "order": order::of(&self.kind, &self.group)
        });
        let name = self.name();
        if let Json::Object(map) = &mut entry {
            if let Some(hash) = hash {
                map.insert("hash".to_owned(), Json::from(hash));
            }
            // What stands in the scope of a namespace is made after it and deleted before it.
            if name == "Namespace" {
                map.insert("nests".to_owned(), Json::from("/"));
            }
            if name == "Namespace" || name == DEFINITION {
                map.insert("cascades".to_owned(), Json::Bool(true));
            }
            if name == DEFINITION {
                map.insert("defines".to_owned(), Json::Bool(true));
            }
        }
        entry
    }
}

/// Of an entry, that another server than the cluster's own keeps the objects of the kind.
pub const AGGREGATED: &str = "aggregated";

/// Whether an entry says so.
pub fn is_aggregated(entry: &Json) -> bool {
    entry.get(AGGREGATED) == Some(&Json::Bool(true))
}

/// `Deployment.apps`; `Service` of the core group.
pub fn full_name(kind: &str, group: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}

/// Kind and group of a name as the contract writes it.
pub fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or((name, ""))
}

/// `apps/v1`; `v1` of the core group.
pub fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// URL of a group's version.
pub fn root(group: &str, version: &str) -> String {
    match group {
        "" => format!("slot:{SLOT}/api/{}", segment(version)),
        group => format!("slot:{SLOT}/apis/{}/{}", segment(group), segment(version)),
    }
}

/// One part of a path. A colon may stand in names of roles, and needs no escape there.
fn segment(text: &str) -> String {
    escape(text).replace("%3A", ":")
}

/// Whether the contract can name the kind.
pub fn is_name(name: &str) -> bool {
    let (kind, group) = name.split_once('.').map_or((name, None), |(kind, group)| (kind, Some(group)));
    let group_fits =
        group.is_none_or(|it| !it.is_empty() && it.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')));
    name.len() <= 253
        && kind.starts_with(|it: char| it.is_ascii_uppercase())
        && kind.bytes().all(|it| it.is_ascii_alphanumeric())
        && group_fits
}

/// Namespace and name of the contract's key before render.
pub fn split_key(key: &str) -> (Option<&str>, &str) {
    match key.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(kind: &str, group: &str, plural: &str, namespaced: bool) -> Served {
        Served {
            kind: kind.to_owned(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            namespaced,
            listable: true,
            versions: vec!["v1".to_owned()],
        }
    }

    #[test]
    fn an_objects_url_says_group_version_namespace_and_name() {
        let deployment = served("Deployment", "apps", "deployments", true).info();
        assert_eq!(deployment.object("shop", "web"), "slot:cluster/apis/apps/v1/namespaces/shop/deployments/web");
        assert_eq!(deployment.collection(""), "slot:cluster/apis/apps/v1/deployments");
        let role = served("ClusterRole", "rbac.authorization.k8s.io", "clusterroles", false).info();
        let want = "slot:cluster/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node";
        assert_eq!(role.object("", "system:node"), want);
        let service = served("Service", "", "services", true).info();
        assert_eq!(service.object("a", "b/../c"), "slot:cluster/api/v1/namespaces/a/services/b%2F..%2Fc");
        assert_eq!((service.name(), service.api_version()), ("Service".to_owned(), "v1".to_owned()));
        assert_eq!((deployment.name(), deployment.api_version()), ("Deployment.apps".to_owned(), "apps/v1".to_owned()));
    }

    #[test]
    fn an_entry_says_all_that_the_plugin_asks_of_it_later() {
        let served = served("Namespace", "", "namespaces", false);
        let entry = served.entry(json!({ "type": "object" }), Some("H1"));
        let info = Info::of_entry("Namespace", &entry).unwrap();
        assert_eq!((info.plural.as_str(), info.namespaced, info.version.as_str()), ("namespaces", false, "v1"));
        assert_eq!(
            (entry["nests"].as_str(), entry["cascades"].as_bool(), entry["hash"].as_str(), entry["observe"].as_str()),
            (Some("/"), Some(true), Some("H1"), Some("scan"))
        );
        assert!(Info::of_entry("Namespace", &json!({ "schema": {} })).is_none());
    }

    #[test]
    fn names_that_the_contract_cannot_write_are_no_kinds() {
        for (name, good) in
            [("Service", true), ("Deployment.apps", true), ("A1.b-c.d", true), ("service", false), ("A.B", false), ("A.", false)]
        {
            assert_eq!(is_name(name), good, "{name}");
        }
    }
}
