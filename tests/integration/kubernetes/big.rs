//! What is large: whole published projects as they are, and many objects.

use std::env;

use serde_json::json;
use trueup_tests::published::{ARGO, CERTIFICATES, GATEWAYS, KEDA, PROMETHEUS, RAY};

use super::shop::Shop;

#[test]
fn published_projects_apply_unchanged_settle_drift_heal_and_go() {
    let shop = Shop::new("published");
    let base = |name: &str, text: String| {
        shop.project.write(&format!("base/{name}"), text);
    };
    base("argo.yaml", ARGO.file("manifests/install.yaml"));
    // It names the namespace that it expects to be in.
    base(
        "prometheus.yaml",
        PROMETHEUS.file("bundle.yaml").replace("namespace: default", &format!("namespace: {}", shop.namespace)),
    );
    let rays = RAY.files("config/crd/bases");
    assert!(rays.iter().any(|(_, text)| text.len() > 1 << 20), "none is larger than a mebibyte");
    let gateways = GATEWAYS.files("config/crd/experimental");
    for (folder, files) in [
        ("ray", rays),
        ("certificates", CERTIFICATES.files("deploy/crds")),
        ("gateways", gateways),
        ("keda", KEDA.files("config/crd/bases")),
    ] {
        files.into_iter().for_each(|(name, text)| base(&format!("{folder}/{name}"), text));
    }
    shop.project.commit("what others wrote");
    shop.apply_settled();
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rayjobs.ray.io";
    assert!(shop.exists(definition));
    shop.patch(
        definition,
        "merge-patch",
        &json!({ "metadata": { "annotations": { "controller-gen.kubebuilder.io/version": "odd" } } }),
    );
    shop.patch(
        "/apis/apps/v1/namespaces/NS/deployments/argocd-server",
        "merge-patch",
        &json!({ "spec": { "template": { "spec": { "containers": [{ "name": "argocd-server", "image": "elsewhere" }] } } } }),
    );
    shop.delete("/api/v1/namespaces/NS/configmaps/argocd-cm");
    let changes = shop.changes().join("\n");
    for part in [
        "create ConfigMap/argocd-cm",
        "update Deployment/argocd-server ",
        "update CustomResourceDefinition/rayjobs.ray.io metadata.annotations",
    ] {
        assert!(changes.contains(part), "{part}\n{changes}");
    }
    shop.apply_settled();
    // An object of a definition of theirs, in a plan of its own.
    shop.declare("route", "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: NS}\nspec: {controllerName: example.com/gateway}\n");
    shop.apply_settled();
    shop.run(&["destroy", "--yes", "--allow-deletes", "1000", "--trust"]).expect_exit(0);
    assert!(!shop.exists(definition) && !shop.exists("/apis/apps/v1/namespaces/NS/deployments/argocd-server"));
}

#[test]
fn a_definition_of_more_than_a_mebibyte_is_made_with_its_object_and_settles() {
    let shop = Shop::new("large");
    let words = "what this field means, in many words; ".repeat(100);
    let fields: serde_json::Map<_, _> =
        (0..300).map(|it| (format!("field{it}"), json!({"type": "string", "description": words}))).collect();
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}});
    let names = json!({"kind": "Large", "plural": "larges", "singular": "large", "listKind": "LargeList"});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let spec = json!({"group": "NS.example.com", "scope": "Namespaced", "names": names, "versions": [version]});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "larges.NS.example.com"}, "spec": spec
    });
    assert!(definition.to_string().len() > 1 << 20);
    let object =
        json!({"apiVersion": "NS.example.com/v1", "kind": "Large", "metadata": {"name": "one"}, "spec": {"field42": "x"}});
    shop.declare("all", &format!("{definition}\n---\n{object}\n"));
    shop.apply_settled();
    let path = "/apis/NS.example.com/v1/namespaces/NS/larges/one";
    shop.patch(path, "merge-patch", &json!({"spec": {"field42": "y"}}));
    assert_eq!(shop.changes(), ["update Large/one spec.field42 drift"]);
    shop.apply_settled();
    assert_eq!(shop.get(path)["spec"]["field42"], "x");
}

#[test]
fn thousands_of_objects_apply_settle_and_go() {
    let count: usize = if env::var_os("TRUEUP_TEST_LONG").is_some() { 5_000 } else { 1_200 };
    let shop = Shop::new("thousands");
    let map = |it: usize| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map-{it}}}\ndata: {{number: '{it}'}}\n");
    for first in (0..count).step_by(100) {
        let all: Vec<String> = (first..(first + 100).min(count)).map(map).collect();
        shop.project.write(&format!("base/{first}.yaml"), all.join("---\n"));
    }
    shop.project.commit("many");
    shop.apply_settled();
    let maps = "/api/v1/namespaces/NS/configmaps";
    shop.patch(&format!("{maps}/map-777"), "merge-patch", &json!({ "data": { "number": "0" } }));
    shop.delete(&format!("{maps}/map-1001"));
    assert_eq!(shop.changes(), ["create ConfigMap/map-1001", "update ConfigMap/map-777 data.number drift"]);
    shop.apply_settled();
    shop.withdraw("0");
    shop.run(&["apply", "--yes", "--trust"]).expect_exit(1).expect_text(&["100"]);
    shop.run(&["apply", "--yes", "--trust", "--allow-deletes", "100"]).expect_exit(0);
    let left = shop.get(&format!("{maps}?limit=1"))["metadata"]["remainingItemCount"].as_u64().unwrap();
    assert_eq!(usize::try_from(left).unwrap(), count - 101);
    shop.settled();
}
