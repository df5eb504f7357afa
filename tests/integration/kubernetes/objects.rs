//! Ordinary manifests, as people write them: applied once they are in sync, whatever the server adds, drops or spells otherwise.

use serde_json::{Value as Json, json};

use super::shop::Shop;

/// One of everything, with what people copy from `kubectl get -o yaml` and what generators write.
const ALL: &str = include_str!("manifests/all.yaml");

#[test]
fn manifests_as_people_write_them_are_applied_once_and_healed_and_pruned() {
    let shop = Shop::new("all");
    shop.declare("all", ALL);
    shop.plan().expect_exit(0).expect_text(&["43 to add, 0 to change"]);
    shop.apply_settled();
    let reader_path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:NS:reader";
    let reader = shop.get(reader_path);
    assert_eq!(reader["rules"][0]["nonResourceURLs"][0], "/metrics");
    shop.run(&["get", "-o", "name"]).expect_text(&[&format!("ClusterRole/system:{}:reader", shop.namespace)]);
    let settings = shop.get("/api/v1/namespaces/NS-in/configmaps/settings");
    // As kubectl reads a key `on`.
    assert_eq!((&settings["data"]["true"], &settings["binaryData"]["logo"]), (&json!("yes"), &json!("iVBORw0KGgo=")));
    let web = shop.get("/apis/apps/v1/namespaces/NS-in/deployments/web");
    assert_eq!(web["spec"]["template"]["spec"]["volumes"][1]["configMap"]["defaultMode"], 0o644);
    // By hand, as with `kubectl edit`.
    shop.patch(
        "/api/v1/namespaces/NS-in/configmaps/settings?fieldManager=kubectl-edit",
        "merge-patch",
        &json!({"data": {"PORT": "1"}}),
    );
    shop.patch(
        "/apis/apps/v1/namespaces/NS-in/deployments/web?fieldManager=kubectl-edit",
        "strategic-merge-patch",
        &json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "other"}]}}}}),
    );
    shop.patch(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:NS:reader?fieldManager=kubectl-edit",
        "merge-patch",
        &json!({"rules": []}),
    );
    shop.delete("/api/v1/namespaces/NS-in/services/lb");
    let drift = [
        "create Service/NS-in/lb",
        "update ClusterRole/system:NS:reader rules drift",
        "update ConfigMap/NS-in/settings data.PORT drift",
        "update Deployment/NS-in/web spec.template.spec.containers[name=web].image drift",
    ];
    assert_eq!(shop.changes(), drift);
    shop.apply_settled();
    assert_eq!(shop.get("/api/v1/namespaces/NS-in/configmaps/settings")["data"]["PORT"], "8080");
    // All of it goes but the namespace. No controller lets the volumes go here.
    shop.declare("all", "apiVersion: v1\nkind: Namespace\nmetadata: {name: NS-in}\n");
    for path in ["/api/v1/namespaces/NS-in/persistentvolumeclaims/data", "/api/v1/persistentvolumes/NS-pv"] {
        shop.patch(path, "merge-patch", &json!({"metadata": {"finalizers": null}}));
    }
    shop.run(&["apply", "--yes", "--trust", "--allow-deletes", "42"]).expect_exit(0);
    shop.settled();
    for path in [reader_path, "/apis/apps/v1/namespaces/NS-in/deployments/web", "/api/v1/persistentvolumes/NS-pv"] {
        assert!(!shop.exists(path), "{path}");
    }
}

#[test]
fn a_definition_and_then_its_objects() {
    let shop = Shop::new("crd");
    shop.declare("crd", "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.NS.example.org}
spec:
  group: NS.example.org
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, default: 3}
              on: {type: boolean}
              limit: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: true}
              cpu: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: true, pattern: '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$'}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              hosts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [host, port]
                items:
                  type: object
                  required: [host]
                  properties: {host: {type: string}, port: {type: integer, default: 80}, weight: {type: integer}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
");
    shop.apply_settled();
    let gadget =
        |spec: &str| format!("apiVersion: NS.example.org/v1\nkind: Gadget\nmetadata: {{name: g}}\nspec: {spec}\nstatus: {{}}\n");
    let whole = "{on: yes, limit: 10%, cpu: 1000m, tags: [b, a], free: {x: {y: [1, null, {}]}, e: {}}, hosts: [{host: a, port: 80, weight: 1}, {host: a, port: 81, weight: 2}]}";
    shop.declare("gadget", &gadget(whole)).apply_settled();
    let path = "/apis/NS.example.org/v1/namespaces/NS/gadgets/g";
    shop.patch(path, "merge-patch", &json!({"spec": {"tags": ["a", "b"], "extra": 1, "size": 4}}));
    assert_eq!(shop.changes(), [""; 0], "the order of a set, and what nobody declared");
    shop.patch(path, "json-patch", &json!([{"op": "replace", "path": "/spec/hosts/1/weight", "value": 5}]));
    assert_eq!(shop.changes(), ["update Gadget/g spec.hosts[host=a,port=81].weight drift"]);
    shop.apply_settled();
    shop.withdraw("gadget").apply_settled();
    assert!(!shop.exists(path));
}

/// A Service and a Deployment whose lists are told apart by several fields.
fn lists(service: &str, containers: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: dns}}\nspec:\n  selector: {{app: dns}}\n  ports: {service}\n\
         ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: dns, labels: {{a: b}}}}\nspec:\n  selector: {{matchLabels: {{app: dns}}}}\n  \
         template:\n    metadata: {{labels: {{app: dns}}}}\n    spec:\n      containers: {containers}\n"
    )
}

#[test]
fn ports_that_differ_in_their_protocol_alone_are_two() {
    let shop = Shop::new("ports");
    let service = "[{name: udp, port: 53, protocol: UDP, targetPort: 5353}, {name: tcp, port: 53, targetPort: 5353}]";
    let containers = "[{name: dns, image: dns, ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53, protocol: TCP}, {containerPort: 80}]}]";
    shop.declare("dns", &lists(service, containers)).apply_settled();
    let path = "/api/v1/namespaces/NS/services/dns";
    let ports = shop.get(path)["spec"]["ports"].clone();
    assert_eq!(ports.as_array().map(Vec::len), Some(2), "{ports}");
    // Told apart when one of them drifts, whichever stands first.
    shop.patch(path, "json-patch", &json!([{"op": "replace", "path": "/spec/ports", "value": [ports[1], ports[0]]}]));
    assert_eq!(shop.changes(), [""; 0], "the order of ports means nothing");
    shop.patch(path, "json-patch", &json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": "dns"}]));
    assert_eq!(shop.changes(), ["update Service/dns spec.ports[port=53,protocol=TCP].targetPort drift"]);
    shop.apply_settled();
    // One of two goes, and the other stays.
    let service = "[{name: tcp, port: 53, targetPort: 5353}]";
    let containers = "[{name: dns, image: dns, ports: [{containerPort: 53, protocol: UDP}]}]";
    shop.declare("dns", &lists(service, containers));
    assert_eq!(
        shop.changes(),
        [
            "update Deployment/dns spec.template.spec.containers[name=dns].ports[containerPort=53,protocol=TCP] git",
            "update Deployment/dns spec.template.spec.containers[name=dns].ports[containerPort=80,protocol=TCP] git",
            "update Service/dns spec.ports[port=53,protocol=UDP] git",
        ]
    );
    shop.apply_settled();
    assert_eq!(shop.get(path)["spec"]["ports"].as_array().map(Vec::len), Some(1));
    let now = shop.get("/apis/apps/v1/namespaces/NS/deployments/dns");
    assert_eq!(now["spec"]["template"]["spec"]["containers"][0]["ports"], json!([{"containerPort": 53, "protocol": "UDP"}]));
}

#[test]
fn a_field_an_item_and_a_label_that_leave_git_go_from_the_server_and_those_of_others_stay() {
    let shop = Shop::new("less");
    let env = |more: &str| format!("[{{name: dns, image: dns, env: [{{name: A, value: a}}{more}]}}]");
    let ports = "[{port: 80}]";
    let mut text = lists(ports, &env(", {name: B, value: b}, {name: C, value: c}"));
    text = text
        .replace("{name: dns, labels: {a: b}}", "{name: dns, labels: {a: b, c: d}, annotations: {x: y, z: z}}")
        .replace("  template:", "  paused: true\n  template:");
    shop.declare("web", &text).apply_settled();
    let path = "/apis/apps/v1/namespaces/NS/deployments/dns";
    // What another manager adds is its own, and no drift.
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "dns", "namespace": "NS", "labels": {"theirs": "1"}, "annotations": {"theirs": "1"}},
        "spec": {"template": {"spec": {"containers": [
            {"name": "dns", "env": [{"name": "THEIRS", "value": "1"}]}, {"name": "sidecar", "image": "sidecar"}
        ]}}}
    });
    shop.patch(&format!("{path}?fieldManager=injector"), "apply-patch", &theirs);
    assert_eq!(shop.changes(), [""; 0]);
    // The order of variables is not what they are told apart by.
    shop.declare("web", &text.replace("{name: A, value: a}, {name: B, value: b}", "{name: B, value: b}, {name: A, value: a}"));
    assert_eq!(shop.changes(), [""; 0]);
    shop.declare("web", &lists(ports, &env("")));
    let of = |it: &str| format!("update Deployment/dns {it} git");
    let item = "spec.template.spec.containers[name=dns].env";
    let want =
        ["metadata.annotations", "metadata.labels.c", "spec.paused", &format!("{item}[name=B]"), &format!("{item}[name=C]")]
            .map(of);
    assert_eq!(shop.changes(), want);
    shop.apply_settled();
    let now = shop.get(path);
    let labels: Vec<&String> =
        now["metadata"]["labels"].as_object().unwrap().keys().filter(|it| !it.starts_with("trueup.dev/")).collect();
    assert_eq!(labels, ["a", "theirs"]);
    assert_eq!(now["metadata"]["annotations"], json!({"theirs": "1"}));
    assert_eq!(now["spec"]["paused"], Json::Null);
    let containers = &now["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().map(Vec::len), Some(2), "{containers}");
    assert_eq!(containers[0]["env"], json!([{"name": "A", "value": "a"}, {"name": "THEIRS", "value": "1"}]));
}

#[test]
fn what_the_server_does_not_keep_is_neither_a_failure_nor_a_change() {
    let shop = Shop::new("zeros");
    let containers = "[{name: dns, image: dns, env: [{name: E, value: ''}], args: [], resources: {}, livenessProbe: {httpGet: {path: /, port: 80}, initialDelaySeconds: 0}}]";
    shop.declare("zeros", &lists("[{port: 80}]", containers));
    shop.apply().expect_no_text(&["not known whether"]);
    shop.settled();
    // With its memory gone, as on another machine, the plan is as empty: a dry run tells.
    let state = shop.project.repo().join(".trueup");
    for file in std::fs::read_dir(&state).unwrap().flatten().filter(|it| it.file_name() != "state.db") {
        let path = file.path();
        if path.is_file() && !file.file_name().to_string_lossy().starts_with("state.db") {
            std::fs::remove_file(path).unwrap();
        }
    }
    shop.settled();
    // Real drift beside it is found and healed.
    let path = "/apis/apps/v1/namespaces/NS/deployments/dns";
    shop.patch(path, "json-patch", &json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x"}]));
    assert_eq!(shop.changes(), ["update Deployment/dns spec.template.spec.containers[name=dns].image drift"]);
    shop.apply_settled();
}

#[test]
fn what_cannot_be_an_object_is_refused_with_a_reason() {
    let shop = Shop::new("refused");
    shop.declare("gen", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: a-\n");
    let told = shop.plan().expect_exit(1);
    told.expect_text(&["`generateName` has the server draw a name", "base/gen.yaml:4:3", "write `name:` in its place"]);
    shop.declare("gen", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n");
    shop.plan().expect_exit(1).expect_text(&["this is a kustomization", "commit what it renders to"]);
    shop.withdraw("gen").project.write("base/Chart.yaml", "apiVersion: v2\nname: x\n").commit("chart");
    shop.plan().expect_exit(1).expect_text(&["this is a Helm chart", "exclude its folder"]);
    shop.project.remove("base/Chart.yaml");
    shop.declare("own", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {trueup.dev/project: x}}\n");
    shop.plan().expect_exit(1).expect_text(&["is trueup's own"]);
    // What the server itself would refuse is told by the plan, not halfway through the apply.
    shop.declare("own", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n").apply();
    shop.declare(
        "own",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}], sessionAffinity: Sometimes}\n",
    );
    shop.plan().expect_exit(1).expect_text(&["sessionAffinity"]);
}

#[test]
fn a_list_of_documents_is_as_good_as_its_items() {
    let shop = Shop::new("list");
    shop.declare(
        "list",
        "
# nothing

---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {on: 'yes', n: '1'}}
---
apiVersion: v1
kind: ConfigMapList
metadata: {resourceVersion: '1'}
items:
- metadata: {name: two, uid: x, resourceVersion: '7', creationTimestamp: null}
  data: null
- metadata: {name: three}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleList
items:
- metadata: {name: r}
  rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
# the end
",
    );
    shop.apply_settled();
    for name in ["configmaps/one", "configmaps/two", "configmaps/three"] {
        assert!(shop.exists(&format!("/api/v1/namespaces/NS/{name}")), "{name}");
    }
    assert!(shop.exists("/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles/r"));
}
