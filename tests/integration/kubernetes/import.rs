//! What a cluster has already, written as documents; and two clusters in one environment.

use std::fs;

use serde_json::json;
use trueup_tests::Project;
use trueup_tests::kubernetes::{ADMIN, Cluster};

use super::shop::Shop;

#[test]
fn a_namespace_becomes_documents_without_what_controllers_made_and_the_plan_after_them_is_empty() {
    let shop = Shop::new("import");
    // Another namespace than the one of the settings.
    let file = shop.project.repo().join("trueup.yaml");
    let project = fs::read_to_string(&file).unwrap().replace(&format!("namespace: {}", shop.namespace), "namespace: default");
    shop.project.write("trueup.yaml", project);
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1.27", "resources": {"limits": {"cpu": "500m"}}}]}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    let made = shop.post("/apis/apps/v1/namespaces/NS/deployments", &json!({"metadata": {"name": "web"}, "spec": spec}));
    shop.post(
        "/api/v1/namespaces/NS/configmaps",
        &json!({"metadata": {"name": "settings", "labels": {"a": "b"}}, "data": {"k": "v", "n": "0644"}}),
    );
    shop.post("/api/v1/namespaces/NS/services", &json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}));
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": made["metadata"]["uid"], "controller": true});
    let set = json!({"metadata": {"name": "web-1", "ownerReferences": [owner]}, "spec": spec});
    shop.post("/apis/apps/v1/namespaces/NS/replicasets", &set);
    shop.post("/api/v1/namespaces/NS/configmaps", &json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "x"}}));
    shop.project.commit("nothing yet");
    let scope = shop.namespace.clone();
    shop.run(&["adopt", "--provider", "k8s", "--scope", &scope, "--trust"]).expect_exit(0);
    shop.project.commit("what is there");
    let all: String = trueup_tests::tree(&shop.project.repo().join("base")).into_values().collect();
    for part in [
        "kind: Deployment",
        "kind: ConfigMap",
        "kind: Service",
        "name: settings",
        "apiVersion: apps/v1",
        &format!("namespace: {scope}"),
    ] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    for part in ["ReplicaSet", "kube-root-ca", "resourceVersion", "uid", "status:", "managedFields"] {
        assert!(!all.contains(part), "{part}\n{all}");
    }
    shop.adopt();
    shop.settled();
    shop.patch("/api/v1/namespaces/NS/configmaps/settings", "merge-patch", &json!({"data": {"k": "w"}}));
    assert_eq!(shop.changes(), ["update ConfigMap/NS/settings data.k drift"]);
}

#[test]
fn two_clusters_are_two_providers_and_each_document_goes_to_its_own() {
    let (one, two) = (Cluster::shared(), Cluster::start());
    let namespace = one.namespace("two");
    // Nothing but the credential tells them apart.
    two.post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}));
    let project = Project::with(&format!(
        "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}\nproviders:\n  \
         near: {{plugin: kubernetes, credential: near, config: {{namespace: {namespace}}}}}\n  far: {{plugin: kubernetes, credential: far, config: {{namespace: {namespace}}}}}\n\
         environments:\n  prod: {{layers: [base], defaultProvider: near}}\n"
    ));
    for (name, cluster) in [("near", one), ("far", &two)] {
        project.configure(&format!("kube/{name}"), cluster.kubeconfig_of(&format!("token: {ADMIN}")));
    }
    let entry = |name: &str| format!("  {name}: {{kubeconfig: {{file: kube/{name}, context: test}}}}\n");
    project.configure("credentials.yaml", format!("credentials:\n{}{}", entry("near"), entry("far")));
    let map = |name: &str, more: &str, value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{more}}}\ndata: {{value: \"{value}\"}}\n---\n")
    };
    let far = ", annotations: {trueup.dev/provider: far}";
    let text =
        map("same", "", "near") + &map("same", far, "far") + &map("other", far, "of ${{ ref('near:Service/web').spec.type }}");
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: NodePort, selector: {a: b}, ports: [{port: 80}]}\n";
    project.write("base/all.yaml", text + service).commit("two clusters");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    assert_eq!(project.run(&["plan", "--trust", "--detailed-exitcode"]).code, Some(0));
    let value = |cluster: &Cluster, path: &str| cluster.get(path).1["data"]["value"].clone();
    assert_eq!(value(one, &format!("/api/v1/namespaces/{namespace}/configmaps/same")), "near");
    assert_eq!(value(&two, &format!("/api/v1/namespaces/{namespace}/configmaps/same")), "far");
    assert_eq!(value(&two, &format!("/api/v1/namespaces/{namespace}/configmaps/other")), "of NodePort");
    assert_eq!(one.get(&format!("/api/v1/namespaces/{namespace}/configmaps/other")).0, 404);
    // Without a word of which one a document is for, both are named.
    let file = project.repo().join("trueup.yaml");
    let open = fs::read_to_string(&file).unwrap().replace(", defaultProvider: near", "");
    project.write("trueup.yaml", open).commit("no default");
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["TU0202", "`far`", "`near`"]);
}

#[test]
fn a_kubeconfig_that_leads_to_another_cluster_is_told_of_and_nothing_happens_there() {
    let (one, two) = (Cluster::shared(), Cluster::start());
    let shop = Shop::new("astray");
    let namespace = shop.namespace.clone();
    two.post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}));
    shop.declare("a", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n").apply();
    // As `kubectl config use-context` does it.
    shop.project.configure("kube/config", two.kubeconfig_of(&format!("token: {ADMIN}")));
    let at = |it: &Cluster| format!("https://127.0.0.1:{}", it.port());
    shop.try_apply().expect_exit(1).expect_text(&["TU0506", "`k8s`", &at(&two), &at(one)]);
    assert_eq!(two.get(&format!("/api/v1/namespaces/{namespace}/configmaps/a")).0, 404);
    assert_eq!(one.get(&format!("/api/v1/namespaces/{namespace}/configmaps/a")).0, 200);
}
