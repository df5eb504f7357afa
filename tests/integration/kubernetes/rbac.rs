//! Rights that are not all there: who may not list reads object by object, who may do neither is told and loses nothing.

use serde_json::{Value as Json, json};
use trueup_tests::Project;
use trueup_tests::kubernetes::{Cluster, VIEWER};

use super::world::{apply, declare, deletes_nothing, make, maps, maps_path, project_at, project_of, settled, undeclare, want};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces";

/// Lets the viewer do this in the namespace, and nothing else.
#[track_caller]
fn allow(cluster: &Cluster, namespace: &str, rules: &Json) {
    let role = json!({ "metadata": { "name": "ours" }, "rules": rules });
    let (status, answer) = cluster.post(&format!("{RBAC}/{namespace}/roles"), &role);
    if status == 409 {
        let (status, answer) = cluster.put(&format!("{RBAC}/{namespace}/roles/ours"), &role);
        assert_eq!(status, 200, "{answer}");
        return;
    }
    assert_eq!(status, 201, "{answer}");
    let subject = json!({ "kind": "User", "name": "viewer", "apiGroup": "rbac.authorization.k8s.io" });
    let reference = json!({ "kind": "Role", "name": "ours", "apiGroup": "rbac.authorization.k8s.io" });
    let binding = json!({ "metadata": { "name": "ours" }, "subjects": [subject], "roleRef": reference });
    let (status, answer) = cluster.post(&format!("{RBAC}/{namespace}/rolebindings"), &binding);
    assert_eq!(status, 201, "{answer}");
}

fn rule(resources: &[&str], verbs: &[&str]) -> Json {
    json!([{ "apiGroups": ["", "apps"], "resources": resources, "verbs": verbs }])
}

/// A project of the viewer, in a namespace of its own.
fn viewers(name: &str) -> (&'static Cluster, String, Project) {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace(name);
    let project = project_of(cluster, cluster.port(), &namespace, &format!("token: {VIEWER}"), "");
    (cluster, namespace, project)
}

/// The server believes a new right some moments after it was given.
#[track_caller]
fn until_allowed(cluster: &Cluster, path: &str, allowed: bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while (cluster.ask("GET", path, VIEWER, &[], None).0 != 403) != allowed {
        assert!(std::time::Instant::now() < deadline, "{path}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn who_may_not_list_reads_object_by_object_and_is_told_once() {
    let (cluster, namespace, project) = viewers("unlisted");
    let others = ["secrets", "configmaps", "services"];
    allow(cluster, &namespace, &rule(&others, &["get", "create", "patch", "delete"]));
    until_allowed(cluster, &format!("{}/none", maps_path(&namespace)), true);
    make(cluster, &namespace, "theirs", "theirs");
    declare(&project, "a", "1");
    declare(&project, "b", "1");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n";
    project.write("base/s.yaml", service).commit("a service");
    let run = apply(&project).expect_exit(0);
    let words =
        format!("provider `k8s` may not list ConfigMap in `{namespace}` and 1 more; what is declared or owned there is read");
    run.clone().expect_text(&[&words, "User \"viewer\" cannot list resource \"configmaps\"", "(RBAC)"]);
    assert_eq!(run.stderr.matches("may not list").count() + run.stdout.matches("may not list").count(), 1, "{run}");
    settled(&project);
    // Drift of each sort is seen and healed.
    cluster.delete(&format!("{}/a", maps_path(&namespace)));
    cluster.patch(&format!("{}/b", maps_path(&namespace)), "merge-patch", &json!({ "data": { "k": "by hand" } }));
    apply(&project).expect_exit(0);
    assert_eq!(maps(cluster, &namespace), want(&[("a", "1"), ("b", "1"), ("theirs", "theirs")]));
    // What is ours goes, and nothing else.
    undeclare(&project, "a");
    apply(&project).expect_exit(0);
    settled(&project);
    assert_eq!(maps(cluster, &namespace), want(&[("b", "1"), ("theirs", "theirs")]));
    // What somebody else made is not taken over.
    declare(&project, "theirs", "ours");
    apply(&project).expect_exit(1).expect_text(&["theirs"]);
    assert_eq!(maps(cluster, &namespace)["theirs"], "theirs");
}

#[test]
fn who_may_neither_list_nor_get_is_told_why_and_loses_nothing() {
    let (cluster, namespace, project) = viewers("blind");
    allow(cluster, &namespace, &rule(&["configmaps"], &["get", "list", "create", "patch", "delete"]));
    until_allowed(cluster, &format!("{}/none", maps_path(&namespace)), true);
    declare(&project, "a", "1");
    declare(&project, "b", "1");
    apply(&project).expect_exit(0);
    allow(cluster, &namespace, &rule(&["configmaps"], &["create", "patch", "delete"]));
    until_allowed(cluster, &format!("{}/none", maps_path(&namespace)), false);
    undeclare(&project, "a");
    let run = project.run(&["plan", "-o", "json"]).expect_exit(1);
    deletes_nothing(&run.json());
    run.expect_text(&["cannot list resource", "cannot get resource", "(RBAC)"]);
    apply(&project).expect_exit(1);
    assert_eq!(maps(cluster, &namespace), want(&[("a", "1"), ("b", "1")]));
}

#[test]
fn rights_in_one_namespace_are_enough_to_use_it() {
    let (cluster, namespace, project) = viewers("one");
    allow(cluster, &namespace, &rule(&["*"], &["*"]));
    until_allowed(cluster, &maps_path(&namespace), true);
    declare(&project, "a", "1");
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  \
               template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web}]}\n";
    project.write("base/web.yaml", web).commit("web");
    let run = apply(&project).expect_exit(0);
    run.expect_no_text(&["may not"]);
    settled(&project);
    assert_eq!(cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).0, 200);
    // Beyond it, each object says what is missing.
    let foreign = cluster.namespace("other");
    let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x, namespace: {foreign}}}\ndata: {{k: v}}\n");
    project.write("base/foreign.yaml", text).commit("foreign");
    declare(&project, "a", "2");
    apply(&project).expect_exit(1).expect_text(&[&format!("cannot list ConfigMap in `{foreign}`")]);
    assert_eq!(maps(cluster, &namespace), want(&[("a", "2")]), "the rest goes on");
    assert!(maps(cluster, &foreign).is_empty());
}

#[test]
fn who_may_only_read_plans_without_dry_runs_and_is_refused_by_name() {
    let (cluster, namespace, project) = viewers("reader");
    let admin = project_at(cluster, cluster.port(), &namespace);
    declare(&admin, "a", "1");
    apply(&admin).expect_exit(0);
    allow(cluster, &namespace, &rule(&["configmaps"], &["get", "list"]));
    until_allowed(cluster, &maps_path(&namespace), true);
    declare(&project, "b", "1");
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(2);
    apply(&project).expect_exit(1).expect_text(&["cannot patch resource \"configmaps\""]);
    assert_eq!(maps(cluster, &namespace), want(&[("a", "1")]));
}

#[test]
fn objects_that_are_called_as_what_leads_through_the_server_are_objects() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("named");
    let project = project_at(cluster, cluster.port(), &namespace);
    let names = ["proxy", "exec", "attach", "portforward"];
    names.iter().for_each(|it| declare(&project, it, "1"));
    apply(&project).expect_exit(0);
    settled(&project);
    // Read by name, which is where the words stand in a path.
    let (viewer, namespace, project) = viewers("named");
    allow(viewer, &namespace, &rule(&["configmaps"], &["get", "create", "patch", "delete"]));
    until_allowed(viewer, &format!("{}/none", maps_path(&namespace)), true);
    names.iter().for_each(|it| declare(&project, it, "1"));
    apply(&project).expect_exit(0);
    names.iter().for_each(|it| declare(&project, it, "2"));
    apply(&project).expect_exit(0);
    settled(&project);
    assert!(maps(viewer, &namespace).values().all(|it| it == "2"));
}
