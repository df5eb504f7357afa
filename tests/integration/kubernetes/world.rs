//! A project on a cluster, and what stands in the cluster.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use trueup_tests::kubernetes::{ADMIN, Cluster};
use trueup_tests::servers::proxy::Asked;
use trueup_tests::{Project, Run};

/// What the server puts into every namespace by itself.
const SERVERS_OWN: &str = "kube-root-ca.crt";

/// A trusted project whose provider `k8s` is this namespace, reached on this port of the loopback by the admin.
pub fn project_at(cluster: &Cluster, port: u16, namespace: &str) -> Project {
    project_of(cluster, port, namespace, &format!("token: {ADMIN}"), "")
}

/// As [`project_at`], by the user with these fields in the kubeconfig; `more` are keys of the credential's entry. A provider of
/// files stands beside, which goes on whatever happens to the cluster.
pub fn project_of(cluster: &Cluster, port: u16, namespace: &str, user: &str, more: &str) -> Project {
    let project = Project::with(&format!(
        "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}\n\
         providers:\n  k8s: {{plugin: kubernetes, credential: cluster, config: {{namespace: {namespace}}}}}\n  \
         site: {{plugin: file, config: {{root: ./site}}, dirs: [\"./site\"]}}\n\
         environments:\n  prod: {{layers: [base]}}\n"
    ));
    project.configure("kube/config", cluster.kubeconfig_at(port, user));
    project.configure("credentials.yaml", format!("credentials: {{cluster: {{kubeconfig: {{file: kube/config}}{more}}}}}\n"));
    project.write("base/.keep", "").commit("a cluster");
    project.run(&["trust", "--yes"]).expect_exit(0);
    project
}

/// Declares a ConfigMap `name` with `data.k`, and commits.
pub fn declare(project: &Project, name: &str, value: &str) {
    write(project, name, value);
    project.commit(name);
}

/// As [`declare`], uncommitted.
pub fn write(project: &Project, name: &str, value: &str) {
    let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: \"{value}\"}}\n");
    project.write(&format!("base/{name}.yaml"), text);
}

/// Takes a declaration back, and commits.
pub fn undeclare(project: &Project, name: &str) {
    project.remove(&format!("base/{name}.yaml")).commit("less");
}

#[track_caller]
pub fn apply(project: &Project) -> Run {
    project.run(&["apply", "--yes", "--allow-deletes", "1000"])
}

/// Nothing is left to do, and nothing is refused.
#[track_caller]
pub fn settled(project: &Project) {
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(0);
}

/// No step of this plan deletes or replaces anything.
#[track_caller]
pub fn deletes_nothing(plan: &Json) {
    let steps = plan["steps"].as_array().cloned().unwrap_or_default();
    let actions = steps.iter().map(|it| it["action"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    assert!(actions.iter().all(|it| it != "delete" && it != "replace"), "{plan:#}");
}

/// Where the ConfigMaps of a namespace are.
pub fn maps_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// The ConfigMaps of a namespace, with their `data.k`.
#[track_caller]
pub fn maps(cluster: &Cluster, namespace: &str) -> BTreeMap<String, String> {
    let (status, list) = cluster.get(&maps_path(namespace));
    assert_eq!(status, 200, "{list}");
    let text = |it: &Json| it.as_str().unwrap_or_default().to_owned();
    let all = list["items"].as_array().expect("items").iter();
    all.map(|it| (text(&it["metadata"]["name"]), text(&it["data"]["k"]))).filter(|(name, _)| name != SERVERS_OWN).collect()
}

/// [`maps`] as a test writes it.
pub fn want(them: &[(&str, &str)]) -> BTreeMap<String, String> {
    them.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Makes a ConfigMap that is nobody's of ours.
#[track_caller]
pub fn make(cluster: &Cluster, namespace: &str, name: &str, value: &str) {
    let body = serde_json::json!({ "metadata": { "name": name }, "data": { "k": value } });
    let (status, answer) = cluster.post(&maps_path(namespace), &body);
    assert_eq!(status, 201, "{answer}");
}

/// Whether this is a LIST of ConfigMaps.
pub fn is_list(asked: &Asked) -> bool {
    asked.what.starts_with("GET ") && asked.what.contains("/configmaps?limit=")
}

/// Whether this changes something: a dry run does not.
pub fn is_write(asked: &Asked) -> bool {
    ["PATCH ", "DELETE ", "POST ", "PUT "].iter().any(|it| asked.what.starts_with(it)) && !asked.what.contains("dryRun=All")
}

/// A refusal as the API server writes it.
pub fn refusal(code: u16, reason: &str, message: &str) -> String {
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message
    })
    .to_string()
}
