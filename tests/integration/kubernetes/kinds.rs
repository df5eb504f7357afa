//! Kinds that only the cluster knows, or that are about to be: definitions with their objects, versions, schemas that are pinned.

use std::fs;

use serde_json::json;

use super::shop::Shop;

/// A definition `<plural>.NS.example.com` in version v1, whose objects have these fields in `spec`.
fn definition(kind: &str, fields: &str) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.NS.example.com}}\n\
         spec:\n  group: NS.example.com\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {plural}, singular: {}, listKind: {kind}List}}\n  \
         versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        \
         properties: {{spec: {{type: object, properties: {{{fields}}}}}}}\n---\n",
        kind.to_lowercase()
    )
}

fn object(kind: &str, spec: &str) -> String {
    format!("apiVersion: NS.example.com/v1\nkind: {kind}\nmetadata: {{name: one, namespace: NS}}\nspec: {{{spec}}}\n---\n")
}

#[test]
fn sixty_definitions_and_an_object_of_each_are_one_plan_and_go_in_the_other_order() {
    let shop = Shop::new("sixty");
    let names: Vec<String> = (0..60).map(|it| format!("Kind{it:02}")).collect();
    let manifests: String =
        names.iter().map(|it| object(it, "size: 3") + &definition(it, "size: {type: integer, minimum: 1}")).collect();
    shop.declare("all", &manifests);
    shop.plan().expect_exit(0).expect_text(&["120 to add", "Kind07/NS/one".replace("NS", &shop.namespace).as_str()]);
    shop.apply_settled();
    assert_eq!(shop.get("/apis/NS.example.com/v1/namespaces/NS/kind42s/one")["spec"]["size"], 3);
    shop.patch("/apis/NS.example.com/v1/namespaces/NS/kind42s/one", "merge-patch", &json!({ "spec": { "size": 9 } }));
    assert_eq!(shop.changes(), ["update Kind42/NS/one spec.size drift"]);
    shop.apply_settled();
    shop.withdraw("all");
    // An object whose definition went first would have gone with it, unseen.
    let run = shop.run(&["apply", "--yes", "--trust", "--allow-deletes", "120"]).expect_exit(0);
    let text = run.to_string();
    let place = |what: &str| text.rfind(what).unwrap_or_else(|| panic!("no `{what}`\n{text}"));
    assert!(place("CustomResourceDefinition/kind42s") > place("Kind42/"), "{text}");
    assert!(!shop.exists("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/kind42s.NS.example.com"));
    shop.settled();
}

#[test]
fn a_field_that_a_definition_gains_in_the_same_revision_may_be_used_at_once() {
    let shop = Shop::new("gains");
    shop.declare("definition", &definition("Widget", "size: {type: integer}"));
    shop.declare("widget", &object("Widget", "size: 1"));
    shop.apply_settled();
    shop.declare("widget", &object("Widget", "size: 1, color: red"));
    shop.plan().expect_exit(1).expect_text(&["error[TU0301]", "color"]);
    shop.declare("definition", &definition("Widget", "size: {type: integer}, color: {type: string}"));
    shop.plan().expect_exit(0);
    shop.apply_settled();
    assert_eq!(shop.get("/apis/NS.example.com/v1/namespaces/NS/widgets/one")["spec"]["color"], "red");
}

#[test]
fn the_version_that_documents_name_is_the_one_they_are_compared_in() {
    let scaler = |version: &str, rest: &str| {
        format!(
            "apiVersion: autoscaling/{version}\nkind: HorizontalPodAutoscaler\nmetadata: {{name: web}}\n\
             spec: {{minReplicas: 1, maxReplicas: 3, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}, {rest}}}\n"
        )
    };
    let shop = Shop::new("versions");
    shop.declare("web", &scaler("v1", "targetCPUUtilizationPercentage: 80"));
    shop.apply_settled();
    shop.patch(
        "/apis/autoscaling/v1/namespaces/NS/horizontalpodautoscalers/web",
        "merge-patch",
        &json!({ "spec": { "targetCPUUtilizationPercentage": 50 } }),
    );
    assert_eq!(shop.changes(), ["update HorizontalPodAutoscaler/web spec.targetCPUUtilizationPercentage drift"]);
    shop.apply_settled();
    // The same object in the other version: what it says is the same, and so is nothing to do but to say so.
    let metrics = "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]";
    shop.declare("web", &scaler("v2", metrics));
    shop.apply_settled();
    shop.declare("other", &scaler("v1", "targetCPUUtilizationPercentage: 80").replace("name: web}", "name: other}"));
    shop.plan().expect_exit(1).expect_text(&[
        "error[TU0307]",
        "is declared in two versions",
        "base/other.yaml:1",
        "base/web.yaml:1",
    ]);
    shop.withdraw("other");
    shop.declare("web", &scaler("v2beta2", metrics));
    shop.plan().expect_exit(1).expect_text(&["error[TU0307]", "in v2, v1, and not in v2beta2", "base/web.yaml:1"]);
}

#[test]
fn pinned_schemas_are_enough_to_validate_and_to_render_without_the_cluster() {
    let shop = Shop::new("pinned");
    // What is in the cluster, and in no document.
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"ports": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}
    }}}}});
    let names = json!({"kind": "Gadget", "plural": "gadgets", "singular": "gadget", "listKind": "GadgetList"});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let spec = json!({"group": "NS.example.com", "scope": "Namespaced", "names": names, "versions": [version]});
    let definition = json!({"metadata": {"name": "gadgets.NS.example.com"}, "spec": spec});
    shop.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition);
    shop.declare("gadget", &object("Gadget", "ports: [{name: a, port: 1}, {name: b, port: 2}]"));
    shop.declare("service", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80, name: http}, {port: 81, name: admin}]}\n");
    let file = shop.project.repo().join("trueup.yaml");
    let project = fs::read_to_string(&file).unwrap();
    shop.project.write("trueup.yaml", project.replace("layers: [base]", "layers: [base, over]"));
    let over = object("Gadget", "ports: [{name: b, port: 3}, {name: a, $remove: true}]").replace("NS", &shop.namespace);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80, name: web}]}\n";
    shop.project.write("over/all.yaml", format!("{over}{service}")).commit("a layer over it");
    let apart = |arguments: &[&str]| {
        let mut command = shop.project.command(arguments);
        command.env("HOME", shop.project.outside().join("nobody")).env("XDG_CACHE_HOME", shop.project.outside().join("nobody"));
        command.args(["--state", &shop.project.outside().join("nobody/state.db").display().to_string()]);
        trueup_tests::Run::of(command.output().expect("it runs"))
    };
    apart(&["validate"]).expect_exit(1).expect_text(&["not known on this machine", "trueup schema --pin"]);
    shop.run(&["schema", "--pin", "--trust"]).expect_exit(0).expect_text(&[" kinds in schemas/"]);
    shop.project.commit("pinned");
    apart(&["validate"]).expect_exit(0);
    let rendered = apart(&["render"]).expect_exit(0).stdout;
    // Merged by the keys that the cluster's schemas name: `name` of the gadget's ports, `port` of a Service's.
    for part in ["port: 3", "name: web", "name: admin"] {
        assert!(rendered.contains(part), "{part}\n{rendered}");
    }
    assert!(!rendered.contains("name: a\n") && !rendered.contains("name: http"), "{rendered}");
    shop.apply_settled();
    apart(&["schema", "Gadget"]).expect_exit(0).expect_text(&["kind Gadget.", "port"]);
    // A file that is not the one that was pinned is not used.
    let pinned = fs::read_dir(shop.project.repo().join("schemas")).unwrap().next().unwrap().unwrap().path();
    fs::write(&pinned, "{}").unwrap();
    shop.project.commit("damaged");
    apart(&["validate"]).expect_exit(1).expect_text(&["has another digest"]);
}

#[test]
fn a_kind_that_neither_the_cluster_nor_a_document_knows_is_named_with_what_is_near_it() {
    let shop = Shop::new("unknown");
    shop.declare("web", "apiVersion: apps/v1\nkind: Deploymnt\nmetadata: {name: web}\nspec: {}\n");
    shop.plan().expect_exit(1).expect_text(&[
        "error[TU0303]",
        "Deploymnt.apps",
        "did you mean `Deployment.apps`",
        "base/web.yaml:2",
    ]);
}

#[test]
fn what_render_prints_are_manifests_that_say_the_same() {
    let shop = Shop::new("rendered");
    shop.declare(
        "all",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: NS, labels: {app: shop}}\ndata: {a: b}\n---\n\
         apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, annotations: {example.com/why: tests}}\n\
         spec: {minAvailable: 1, selector: {matchLabels: {app: shop}}}\n",
    );
    shop.apply_settled();
    let rendered = shop.run(&["render"]).expect_exit(0).stdout;
    for part in ["apiVersion: v1\n", "apiVersion: policy/v1\n", "name: settings\n", "app: shop\n", "example.com/why: tests\n"] {
        assert!(rendered.contains(part), "{part}\n{rendered}");
    }
    shop.declare("all", &rendered).settled();
}
