//! The engine's mark, in the three labels that a Kubernetes object can carry it in.

use std::collections::BTreeMap;

use serde_json::Map;
use trueup_sdk::Json;

use crate::object::Meta;

pub const PROJECT: &str = "trueup.dev/project";
pub const ENVIRONMENT: &str = "trueup.dev/environment";
pub const RESOURCE: &str = "trueup.dev/resource";

/// Labels and annotations of this prefix are the engine's and in no document.
pub const PREFIX: &str = "trueup.dev/";

/// The labels that carry a mark; none where it is not the three parts that the contract promises.
pub fn labels(mark: &str) -> Option<[(&'static str, String); 3]> {
    let mut parts = mark.split('/');
    let (project, environment, resource) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some([(PROJECT, project.to_owned()), (ENVIRONMENT, fenced(environment)), (RESOURCE, resource.to_owned())])
}

/// A label's value begins and ends with a letter or digit, and an environment's name may not.
fn fenced(name: &str) -> String {
    if name.starts_with('-') || name.ends_with('-') { format!("e.{name}.e") } else { name.to_owned() }
}

/// The mark that an object's labels carry.
pub fn read(labels: &BTreeMap<String, String>) -> Option<String> {
    let environment = labels.get(ENVIRONMENT)?;
    let environment = environment.strip_prefix("e.").and_then(|it| it.strip_suffix(".e")).unwrap_or(environment);
    Some(format!("{}/{environment}/{}", labels.get(PROJECT)?, labels.get(RESOURCE)?))
}

/// Puts a mark among the labels of an object that is to be sent.
pub fn put(mark: &str, to: &mut Map<String, Json>) {
    for (name, value) in labels(mark).into_iter().flatten() {
        to.insert(name.to_owned(), Json::String(value));
    }
}

/// Kinds whose objects tell of others, or are made for them.
const MADE: [&str; 8] = [
    "ControllerRevision.apps",
    "Endpoints",
    "EndpointSlice.discovery.k8s.io",
    "Event",
    "Event.events.k8s.io",
    "IPAddress.networking.k8s.io",
    "Lease.coordination.k8s.io",
    "Node",
];
/// Objects that every namespace, or every cluster, has by itself.
const OWN: [(&str, &str); 7] = [
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "extension-apiserver-authentication"),
    ("Namespace", "default"),
    ("Namespace", "kube-node-lease"),
    ("Namespace", "kube-public"),
    ("Namespace", "kube-system"),
    ("ServiceAccount", "default"),
];
/// Labels and annotations of what the API server makes by itself.
const SERVERS: [&str; 3] =
    ["kubernetes.io/bootstrapping", "kube-aggregator.kubernetes.io/automanaged", "apf.kubernetes.io/autoupdate-spec"];

/// Whether the cluster made an object by itself, or another object's controller did: nobody would declare it.
pub fn is_made_by_the_cluster(kind: &str, meta: &Meta) -> bool {
    let controlled = meta.owner_references.iter().any(|it| it.get("controller") == Some(&Json::Bool(true)));
    let named = |name: &&str| meta.labels.contains_key(*name) || meta.annotations.contains_key(*name);
    let class = || kind == "PriorityClass.scheduling.k8s.io" && meta.name.starts_with("system-");
    controlled || MADE.contains(&kind) || OWN.contains(&(kind, &meta.name)) || SERVERS.iter().any(named) || class()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_controllers_and_the_server_make_is_nobodys_to_declare() {
        let meta = |name: &str| Meta { name: name.to_owned(), ..Meta::default() };
        assert!(is_made_by_the_cluster("ConfigMap", &meta("kube-root-ca.crt")) && is_made_by_the_cluster("Event", &meta("a")));
        assert!(!is_made_by_the_cluster("ConfigMap", &meta("web")) && !is_made_by_the_cluster("Secret", &meta("default")));
        let owner = |controller: bool| trueup_sdk::json!({ "kind": "ReplicaSet", "controller": controller });
        let pod = |controller: bool| Meta { owner_references: vec![owner(controller)], ..meta("web-1") };
        assert!(is_made_by_the_cluster("Pod", &pod(true)) && !is_made_by_the_cluster("Pod", &pod(false)));
        let mut role = meta("system:node");
        role.labels.insert("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".to_owned());
        assert!(is_made_by_the_cluster("ClusterRole.rbac.authorization.k8s.io", &role));
    }

    use super::*;

    #[test]
    fn a_mark_comes_back_as_it_was_and_fits_into_labels() {
        for environment in ["prod", "-", "-a-", "a-b", "x-"] {
            let mark = format!("0123456789abcdef0123456789abcdef/{environment}/fedcba9876543210fedcba9876543210");
            let labels = labels(&mark).unwrap();
            for (_, value) in &labels {
                let edge = |it: Option<char>| it.is_some_and(|it| it.is_ascii_alphanumeric());
                assert!(value.len() <= 63 && edge(value.chars().next()) && edge(value.chars().last()), "{value}");
            }
            let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            assert_eq!(read(&labels), Some(mark));
        }
    }

    #[test]
    fn two_of_three_labels_are_no_mark() {
        let labels = [(PROJECT, "a"), (RESOURCE, "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(&labels.into_iter().collect()), None);
        assert!(super::labels("a/b").is_none() && super::labels("a/b/c/d").is_none());
    }
}
