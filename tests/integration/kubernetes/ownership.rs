//! Whose an object is, and whose a field: other tools, other environments, operators, autoscalers, people with kubectl.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use trueup_tests::Run;

use super::shop::Shop;

fn config_map(name: &str, annotations: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\ndata: {data}\n---\n")
}

fn deployment(name: &str, annotations: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec:\n  {spec}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{containers: [{{name: a, image: a{container}}}]}}\n---\n"
    )
}

const MAPS: &str = "/api/v1/namespaces/NS/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/NS/deployments";

#[test]
fn an_object_that_somebody_else_made_is_not_touched_even_where_it_is_equal() {
    let shop = Shop::new("others");
    shop.post(MAPS, &json!({"metadata": {"name": "equal"}, "data": {"a": "1"}}));
    shop.post(MAPS, &json!({"metadata": {"name": "other"}, "data": {"a": "2", "theirs": "x"}}));
    shop.declare("maps", &(config_map("equal", "", "{a: '1'}") + &config_map("other", "", "{a: '1'}")));
    let before = [shop.get(&format!("{MAPS}/equal")), shop.get(&format!("{MAPS}/other"))];
    shop.try_apply().expect_exit(1).expect_text(&[
        "TU0600",
        "the object exists and nobody claimed it",
        "trueup adopt --declared",
    ]);
    assert_eq!([shop.get(&format!("{MAPS}/equal")), shop.get(&format!("{MAPS}/other"))], before);
    shop.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(0).expect_text(&["data.a", "\"2\" → \"1\""]);
    shop.settled();
    assert_eq!(shop.get(&format!("{MAPS}/other"))["data"], json!({"a": "1", "theirs": "x"}));
    for name in ["equal", "other"] {
        let labels = shop.get(&format!("{MAPS}/{name}"))["metadata"]["labels"].clone();
        assert_eq!(labels["trueup.dev/environment"], "prod", "{name}");
    }
}

#[test]
fn an_object_of_another_project_is_refused_and_named_as_such() {
    let theirs = Shop::new("first");
    let ours = Shop::new("second");
    let manifest = config_map("a", "", "{a: '1'}").replace("name: a,", &format!("name: a, namespace: {},", theirs.namespace));
    theirs.declare("a", &manifest).apply_settled();
    ours.declare("a", &manifest);
    for arguments in [&["apply", "--yes", "--trust"][..], &["adopt", "--declared", "--yes", "--trust"]] {
        ours.run(arguments).expect_exit(1).expect_text(&["carries the mark of another owner", "trueup.dev/adopt"]);
    }
    theirs.settled();
    // A person's word in the document; then it is the first one's no more.
    ours.declare("a", &manifest.replace("annotations: {}", "annotations: {trueup.dev/adopt: \"true\"}")).apply_settled();
    for _ in 0..2 {
        theirs.plan().expect_exit(1).expect_text(&["now carries the mark of another owner"]);
    }
}

/// A tool that applied objects before trueup: who it says it is, how it sends, and what it leaves on them.
struct Tool {
    name: &'static str,
    manager: &'static str,
    applies: bool,
    labels: Json,
    annotations: Json,
}

fn tools() -> [Tool; 6] {
    let tool = |name, manager, applies, labels, annotations| Tool { name, manager, applies, labels, annotations };
    [
        tool(
            "kubectl",
            "kubectl-client-side-apply",
            false,
            json!({}),
            json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"a\":\"1\"}}"}),
        ),
        tool("ssa", "kubectl", true, json!({}), json!({})),
        tool(
            "helm",
            "helm",
            false,
            json!({"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "x-1.0"}),
            json!({"meta.helm.sh/release-name": "x", "meta.helm.sh/release-namespace": "NS"}),
        ),
        tool(
            "flux",
            "kustomize-controller",
            true,
            json!({"kustomize.toolkit.fluxcd.io/name": "x", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}),
            json!({}),
        ),
        tool(
            "argo",
            "argocd-controller",
            false,
            json!({"app.kubernetes.io/instance": "x"}),
            json!({"argocd.argoproj.io/tracking-id": "x:/ConfigMap:NS/x"}),
        ),
        tool("argo-ssa", "argocd-controller", true, json!({}), json!({"argocd.argoproj.io/tracking-id": "x:/ConfigMap:NS/y"})),
    ]
}

impl Tool {
    /// What the tool would have made of the same repository.
    fn apply(&self, shop: &Shop) {
        let metadata = json!({"name": self.name, "namespace": "NS", "labels": self.labels, "annotations": self.annotations});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1", "b": "2"}});
        let pod = json!({
            "metadata": {"labels": {"app": self.name}},
            "spec": {"containers": [{"name": "a", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}
        });
        let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": self.name}}, "template": pod});
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec});
        for (path, object) in [(MAPS, map), (DEPLOYMENTS, web)] {
            if self.applies {
                shop.patch(&format!("{path}/{}?fieldManager={}", self.name, self.manager), "apply-patch", &object);
            } else {
                shop.post(&format!("{path}?fieldManager={}", self.manager), &object);
            }
        }
    }
}

#[test]
fn what_kubectl_helm_flux_and_argo_cd_applied_is_taken_over_and_changes_and_goes_with_git() {
    let shop = Shop::new("tools");
    let tools = tools();
    tools.iter().for_each(|it| it.apply(&shop));
    let all = |data: &str, replicas: &str, container: &str| -> String {
        tools.iter().map(|it| config_map(it.name, "", data) + &deployment(it.name, "", replicas, container)).collect()
    };
    shop.declare("all", &all("{a: '1', b: '2'}", "replicas: 2", ", env: [{name: A, value: '1'}, {name: B, value: '2'}]"));
    shop.adopt();
    shop.settled().apply_settled();
    // Each of: a value that changes, one that goes, a list item that goes, a field that goes.
    shop.declare("all", &all("{a: x}", "paused: true", ", env: [{name: A, value: x}]"));
    assert!(!shop.changes().iter().any(|it| it.starts_with("refused")), "{:?}", shop.changes());
    shop.apply_settled();
    for tool in &tools {
        let name = tool.name;
        let (map, web) = (shop.get(&format!("{MAPS}/{name}")), shop.get(&format!("{DEPLOYMENTS}/{name}")));
        assert_eq!(map["data"], json!({"a": "x"}), "{name}");
        assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["env"], json!([{"name": "A", "value": "x"}]), "{name}");
        assert_eq!((&web["spec"]["replicas"], &web["spec"]["paused"]), (&json!(1), &json!(true)), "{name}");
        // What the old tool left on them and nobody declared stays, and is no drift.
        for (field, them) in [("labels", &tool.labels), ("annotations", &tool.annotations)] {
            for key in them.as_object().unwrap().keys() {
                assert!(map["metadata"][field].get(key).is_some(), "{name}: {key}");
            }
        }
    }
}

#[test]
fn an_adoption_that_an_operator_stands_against_removes_nothing_afterwards() {
    let shop = Shop::new("halfway");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"theirs": "1"}}, "data": {"a": "theirs", "b": "theirs"}});
    shop.patch(&format!("{MAPS}/a?fieldManager=operator"), "apply-patch", &body);
    shop.declare("a", &config_map("a", "", "{a: ours}"));
    let told = shop.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(1);
    told.expect_text(&["`operator` manages .data.a", "trueup.dev/force: \"true\""]);
    assert_eq!(shop.get(&format!("{MAPS}/a"))["data"], json!({"a": "theirs", "b": "theirs"}));
    shop.declare("a", &config_map("a", "trueup.dev/force: \"true\"", "{a: ours}"));
    shop.adopt();
    shop.settled();
    let now = shop.get(&format!("{MAPS}/a"));
    assert_eq!((&now["data"], &now["metadata"]["labels"]["theirs"]), (&json!({"a": "ours", "b": "theirs"}), &json!("1")));
}

#[test]
fn another_managers_field_is_a_conflict_that_names_it_and_what_to_do() {
    let shop = Shop::new("conflict");
    let declared = |name: &str, annotations: &str| deployment(name, annotations, "replicas: 2", "");
    shop.declare("web", &(declared("operator", "") + &declared("scaled", "") + &deployment("free", "", "paused: false", "")));
    shop.declare("more", &(declared("updated", "") + &declared("hand", ""))).apply_settled();
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 5}});
    // Most operators send no documents, and write the object that they read.
    shop.patch(&format!("{DEPLOYMENTS}/updated?fieldManager=my-controller"), "merge-patch", &json!({"spec": {"replicas": 5}}));
    shop.plan().expect_exit(1).expect_text(&["`my-controller` manages .spec.replicas"]);
    shop.try_apply().expect_exit(1);
    assert_eq!(shop.get(&format!("{DEPLOYMENTS}/updated"))["spec"]["replicas"], 5);
    shop.declare("more", &declared("hand", ""));
    shop.run(&["apply", "--yes", "--trust", "--allow-deletes", "1"]).expect_exit(0);
    // `kubectl scale` writes the same part of the object as an autoscaler does.
    let scale = format!("{DEPLOYMENTS}/hand/scale?fieldManager=kubectl");
    shop.patch(&scale, "merge-patch", &json!({"spec": {"replicas": 5}}));
    assert_eq!(shop.changes(), ["update Deployment/hand spec.replicas drift"]);
    shop.apply_settled();
    assert_eq!(shop.get(&format!("{DEPLOYMENTS}/hand"))["spec"]["replicas"], 2);
    shop.patch(&format!("{DEPLOYMENTS}/operator?fieldManager=my-operator&force=true"), "apply-patch", &body);
    for name in ["scaled", "free"] {
        let scale = format!("{DEPLOYMENTS}/{name}/scale?fieldManager=kube-controller-manager");
        shop.patch(&scale, "merge-patch", &json!({"spec": {"replicas": 5}}));
    }
    let told = shop.plan().expect_exit(1);
    let told = told.expect_text(&["`my-operator` manages .spec.replicas", "`kube-controller-manager` manages .spec.replicas"]);
    told.expect_text(&["trueup.dev/ignore", "trueup.dev/force: \"true\""]).expect_no_text(&["Deployment/free"]);
    shop.try_apply().expect_exit(1);
    let replicas = |name: &str| shop.get(&format!("{DEPLOYMENTS}/{name}"))["spec"]["replicas"].clone();
    assert_eq!([replicas("operator"), replicas("scaled"), replicas("free")], [5, 5, 5]);
    // One is taken, the other left to whom it belongs: first by `ignore`, then by not declaring it.
    let forced = declared("operator", "trueup.dev/force: \"true\"");
    shop.declare("web", &(forced.clone() + &declared("scaled", "trueup.dev/ignore: spec.replicas")));
    shop.run(&["apply", "--yes", "--trust", "--allow-deletes", "1"]).expect_exit(0);
    shop.settled();
    assert_eq!([replicas("operator"), replicas("scaled")], [2, 5]);
    shop.declare("web", &(forced + &deployment("scaled", "", "paused: false", ""))).apply_settled();
    shop.patch(
        &format!("{DEPLOYMENTS}/scaled/scale?fieldManager=kube-controller-manager"),
        "merge-patch",
        &json!({"spec": {"replicas": 7}}),
    );
    shop.settled();
    assert_eq!(replicas("scaled"), 7);
}

#[test]
fn what_cannot_change_in_place_is_told_and_replaced_only_where_the_document_says_so() {
    let shop = Shop::new("fixed");
    let of =
        |kind: &str, name: &str, rest: &str| format!("{kind}\nmetadata: {{name: {name}, annotations: {{ANN}}}}\n{rest}\n---\n");
    let all = |app: &str, ip: &str, image: &str, data: &str, size: &str, role: &str| {
        let pod = |extra: &str| {
            format!(
                "template: {{metadata: {{labels: {{app: {app}}}}}, spec: {{containers: [{{name: a, image: {image}}}]{extra}}}}}"
            )
        };
        of(
            "apiVersion: apps/v1\nkind: Deployment",
            "web",
            &format!("spec: {{selector: {{matchLabels: {{app: {app}}}}}, {}}}", pod("")),
        ) + &of("apiVersion: v1\nkind: Service", "web", &format!("spec: {{clusterIP: {ip}, ports: [{{port: 80}}]}}"))
            + &of("apiVersion: batch/v1\nkind: Job", "once", &format!("spec: {{{}}}", pod(", restartPolicy: Never")))
            + &of("apiVersion: v1\nkind: ConfigMap", "frozen", &format!("immutable: true\ndata: {{a: {data}}}"))
            + &of(
                "apiVersion: apps/v1\nkind: StatefulSet",
                "db",
                &format!(
                    "spec: {{serviceName: db, selector: {{matchLabels: {{app: {app}}}}}, {}, volumeClaimTemplates: [{{metadata: {{name: d}}, spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}}}]}}",
                    pod("")
                ),
            )
            + &of(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding",
                "r",
                &format!("roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {role}}}\nsubjects: []"),
            )
    };
    // The namespace's number keeps the addresses of tests apart.
    let number: u32 = shop.namespace.rsplit('-').next().unwrap().parse().unwrap();
    let ip = |last: u32| format!("10.96.{}.{last}", 100 + number % 100);
    let first = all("a", &ip(1), "a", "x", "1Gi", "one");
    let second = all("b", &ip(2), "b", "y", "2Gi", "two");
    shop.declare("all", &first.replace("ANN", "")).apply_settled();
    shop.declare("all", &second.replace("ANN", ""));
    let plan = shop.plan_json();
    let refused = plan["refused"].as_array().unwrap();
    assert_eq!((refused.len(), plan["steps"].as_array().map(Vec::len)), (6, Some(0)), "{plan:#}");
    for it in refused {
        assert_eq!(it["code"], "TU0608", "{it}");
    }
    shop.plan().expect_exit(1).expect_text(&[
        "the change cannot be made in place",
        "write the annotation `trueup.dev/replace: allow`",
        "spec.selector",
        "spec.clusterIP",
        "roleRef",
    ]);
    let uid = |path: &str| shop.get(path)["metadata"]["uid"].clone();
    let before = uid(&format!("{DEPLOYMENTS}/web"));
    shop.declare("all", &second.replace("ANN", "trueup.dev/replace: allow"));
    shop.plan().expect_exit(1).expect_text(&["TU0602"]);
    let plan = shop.run(&["plan", "--trust", "--allow-deletes", "6"]).expect_exit(0);
    plan.expect_text(&["6 to replace", "`roleRef`: cannot change roleRef", "`spec.selector`: field is immutable"]);
    shop.run(&["apply", "--yes", "--trust", "--allow-deletes", "6"]).expect_exit(0);
    shop.settled();
    assert_ne!(uid(&format!("{DEPLOYMENTS}/web")), before);
    assert_eq!(shop.get("/api/v1/namespaces/NS/services/web")["spec"]["clusterIP"], ip(2));
}

/// An apply under way.
struct Running(Child);

impl Running {
    fn apply(shop: &Shop) -> Self {
        let mut command = shop.project.command(&["apply", "--yes", "--trust", "--allow-deletes", "9"]);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs"))
    }

    /// Waits until the object at this path satisfies `ready`.
    #[track_caller]
    fn until(&self, shop: &Shop, path: &str, ready: impl Fn(&Json) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let object = shop.get(path);
            if ready(&object) {
                return;
            }
            assert!(Instant::now() < deadline, "{object}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(self) -> Run {
        Run::of(self.0.wait_with_output().expect("it ends"))
    }
}

fn is_going(object: &Json) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

#[test]
fn an_object_with_finalizers_is_deleted_once_they_have_let_it_go() {
    let shop = Shop::new("finalizers");
    shop.declare("keep", &config_map("keep", "", "{}"));
    shop.declare("held", &config_map("held", "", "{}")).apply_settled();
    let path = format!("{MAPS}/held");
    shop.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    shop.settled();
    shop.withdraw("held");
    let apply = Running::apply(&shop);
    apply.until(&shop, &path, is_going);
    shop.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": null}}));
    apply.end().expect_exit(0).expect_text(&["1 done"]);
    assert!(!shop.exists(&path));
    shop.settled();
    // As the document says: what the object owns goes first.
    shop.declare("first", &deployment("first", "kubernetes.trueup.dev/propagation: Foreground", "replicas: 1", ""))
        .apply_settled();
    shop.withdraw("first");
    let path = format!("{DEPLOYMENTS}/first");
    let apply = Running::apply(&shop);
    apply.until(&shop, &path, is_going);
    assert_eq!(shop.get(&path)["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    shop.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": null}}));
    apply.end().expect_exit(0);
    shop.settled();
}

#[test]
fn an_object_that_somebody_deletes_is_made_anew_once_it_is_gone() {
    let shop = Shop::new("going");
    shop.declare("held", &config_map("held", "", "{a: '1'}")).apply_settled();
    let path = format!("{MAPS}/held");
    shop.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    shop.delete(&path);
    shop.run(&["status"]).expect_exit(0);
    shop.plan().expect_exit(0);
    // A change that the server takes goes with the object.
    shop.declare("held", &config_map("held", "", "{a: '2'}"));
    shop.try_apply().expect_exit(1).expect_text(&["being deleted", "it is made anew once it is gone"]);
    shop.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": null}}));
    assert_eq!(shop.changes(), ["create ConfigMap/held"]);
    shop.apply_settled();
    assert_eq!(shop.get(&path)["data"], json!({"a": "2"}));
}

#[test]
fn an_object_that_somebody_made_anew_is_neither_changed_nor_deleted() {
    let shop = Shop::new("anew");
    shop.declare("a", &config_map("a", "", "{a: '1'}")).apply_settled();
    let path = format!("{MAPS}/a");
    shop.delete(&path);
    shop.post(MAPS, &json!({"metadata": {"name": "a"}, "data": {"a": "theirs"}}));
    shop.try_apply().expect_exit(1);
    shop.withdraw("a");
    shop.run(&["apply", "--yes", "--trust", "--allow-deletes", "9"]).expect_exit(1);
    assert_eq!(shop.get(&path)["data"], json!({"a": "theirs"}));
}

#[test]
fn a_namespace_goes_after_what_stands_in_it() {
    let shop = Shop::new("prune");
    shop.declare("keep", &config_map("keep", "", "{}"));
    let inside = config_map("a", "", "{}").replace("name: a,", "name: a, namespace: NS-x,");
    shop.declare("space", &format!("{inside}apiVersion: v1\nkind: Namespace\nmetadata: {{name: NS-x}}\n")).apply_settled();
    shop.withdraw("space");
    let apply = Running::apply(&shop);
    let path = "/api/v1/namespaces/NS-x";
    apply.until(&shop, path, is_going);
    assert!(!shop.exists("/api/v1/namespaces/NS-x/configmaps/a"), "it went first");
    // What its controller would do.
    let mut space = shop.get(path);
    space["spec"] = json!({"finalizers": []});
    let (status, answer) = shop.cluster.put(&format!("/api/v1/namespaces/{}-x/finalize", shop.namespace), &space);
    assert_eq!(status, 200, "{answer}");
    apply.end().expect_exit(0);
    shop.settled();
    assert!(!shop.exists(path));
}
