//! What an apply waits for: `wait-for`, health with `--wait`, and how long. Nobody but the test writes status, as a controller would.

use std::process::Stdio;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use trueup_tests::kubernetes::Cluster;
use trueup_tests::{Project, Run};

const PROJECT: &str = r#"apiVersion: trueup.dev/v1
kind: Project
metadata: {name: shop, id: 4f0c9a000000000000000000000000aa}
providers:
  k8s: {plugin: kubernetes, credential: cluster}
  site: {plugin: file, config: {root: ./site}, dirs: ["./site"]}
environments:
  prod: {layers: [base]}
"#;

/// A project that declares these documents, on the shared server.
fn project(documents: &[Json]) -> Project {
    let project = Project::with(PROJECT);
    let config = Cluster::shared().kubeconfig().display().to_string();
    project.configure("credentials.yaml", format!("credentials: {{cluster: {{kubeconfig: {{file: '{config}'}}}}}}\n"));
    declare(&project, documents);
    project
}

fn declare(project: &Project, documents: &[Json]) {
    let text: Vec<String> = documents.iter().map(Json::to_string).collect();
    project.write("base/all.yaml", text.join("\n---\n")).commit("documents");
}

fn apply(project: &Project, more: &[&str]) -> Run {
    project.run(&[&["apply", "--yes", "--trust"], more].concat())
}

/// A document of this kind, with these annotations of the engine.
fn object(api: &str, kind: &str, namespace: &str, name: &str, settings: &[(&str, &str)], body: Json) -> Json {
    let annotations = settings.iter().map(|(key, value)| (format!("trueup.dev/{key}"), Json::from(*value)));
    let annotations: Json = annotations.collect::<serde_json::Map<_, _>>().into();
    let mut whole =
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace, "annotations": annotations}});
    let (whole_map, body) = (whole.as_object_mut().unwrap(), body.as_object().unwrap().clone());
    whole_map.extend(body);
    whole
}

fn pod() -> Json {
    json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.com/image:1"}]})
}

fn job(namespace: &str, settings: &[(&str, &str)]) -> Json {
    object("batch/v1", "Job", namespace, "migrate", settings, json!({"spec": {"template": {"spec": pod()}}}))
}

fn deployment(namespace: &str, settings: &[(&str, &str)]) -> Json {
    let mut spec = pod();
    spec["restartPolicy"] = json!("Always");
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": spec});
    let body = json!({"spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}});
    object("apps/v1", "Deployment", namespace, "web", settings, body)
}

/// A ConfigMap that comes after another resource.
fn after(namespace: &str, what: &str) -> Json {
    object("v1", "ConfigMap", namespace, "after", &[("depends-on", what)], json!({"data": {"a": "b"}}))
}

fn service(namespace: &str, settings: &[(&str, &str)]) -> Json {
    let body = json!({"spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}});
    object("v1", "Service", namespace, "web", settings, body)
}

/// A file that holds the address of the Service.
fn address(namespace: &str) -> Json {
    let content = format!("${{{{ ref('Service/{namespace}/web').status.loadBalancer.ingress[0].ip }}}}");
    json!({"apiVersion": "site/v1", "kind": "File", "metadata": {"name": "address"}, "spec": {"path": "address", "content": content}})
}

fn path_of(namespace: &str, kind: &str) -> String {
    match kind {
        "job" => format!("/apis/batch/v1/namespaces/{namespace}/jobs/migrate"),
        "deployment" => format!("/apis/apps/v1/namespaces/{namespace}/deployments/web"),
        "service" => format!("/api/v1/namespaces/{namespace}/services/web"),
        _ => format!("/api/v1/namespaces/{namespace}/configmaps/{kind}"),
    }
}

/// The object, once it is there.
fn arrived(path: &str) -> Json {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match Cluster::shared().get(path) {
            (200, found) => return found,
            _ if Instant::now() < deadline => sleep(Duration::from_millis(50)),
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// Writes status as a controller does.
#[track_caller]
fn report(path: &str, status: &Json) {
    let (code, answer) = Cluster::shared().patch(&format!("{path}/status"), "merge-patch", &json!({ "status": status }));
    assert_eq!(code, 200, "{answer}");
}

fn complete() -> Json {
    let now = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now});
    json!({
        "startTime": now, "completionTime": now, "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]
    })
}

fn available(generation: &Json) -> Json {
    json!({
        "observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "conditions": [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "True"}]
    })
}

#[test]
fn dependents_begin_once_a_job_is_complete_in_one_apply() {
    let name = Cluster::shared().namespace("job");
    let project =
        project(&[job(&name, &[("wait-for", "self.status.succeeded == 1")]), after(&name, &format!("Job/{name}/migrate"))]);
    let (path, later) = (path_of(&name, "job"), path_of(&name, "after"));
    let controller = thread::spawn(move || {
        arrived(&path);
        // Looked at more than once, and never begun before the job is complete.
        for _ in 0..20 {
            assert_eq!(Cluster::shared().get(&later).0, 404);
            sleep(Duration::from_millis(50));
        }
        report(&path, &complete());
    });
    apply(&project, &[]).expect_exit(0).expect_text(&["Applied: 2 done"]);
    controller.join().unwrap();
    arrived(&path_of(&name, "after"));
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn a_condition_of_an_object_can_be_waited_for_by_its_type() {
    let name = Cluster::shared().namespace("condition");
    let wait = ("wait-for", "self.status.conditions.item('type', 'Available').status == 'True'");
    let project = project(&[deployment(&name, &[wait]), after(&name, &format!("Deployment/{name}/web"))]);
    let path = path_of(&name, "deployment");
    let controller = thread::spawn(move || {
        let found = arrived(&path);
        report(&path, &json!({"observedGeneration": 1, "conditions": [{"type": "Available", "status": "False"}]}));
        sleep(Duration::from_millis(700));
        report(&path, &available(&found["metadata"]["generation"]));
    });
    apply(&project, &[]).expect_exit(0).expect_text(&["Applied: 2 done"]);
    controller.join().unwrap();
    let seen = project.run(&["status", "-o", "json"]).expect_exit(0).json()["environments"][0].clone();
    assert_eq!(seen["health"], "healthy", "{seen}");
}

#[test]
fn what_does_not_hold_in_its_time_fails_the_step_and_dependents_wait_for_it_again_in_the_next_pass() {
    let name = Cluster::shared().namespace("late");
    let settings = [("wait-for", "self.status.succeeded == 1"), ("timeout", "2s")];
    let project = project(&[job(&name, &settings), after(&name, &format!("Job/{name}/migrate"))]);
    let path = path_of(&name, "job");
    let run = apply(&project, &[]).expect_exit(1);
    run.expect_text(&[
        "TU0617",
        "it was applied, and `self.status.succeeded == 1` did not hold within 2 s; it is progressing: not started",
        &format!("skipped ConfigMap/{name}/after"),
        "base/all.yaml:",
    ]);
    let seen = project.run(&["status", "-o", "json"]).expect_exit(0).json()["environments"][0].clone();
    assert_eq!((&seen["sync"], &seen["health"]), (&json!("failed"), &json!("progressing")), "{seen}");
    let before = arrived(&path)["metadata"]["resourceVersion"].clone();
    // It is owned, and not made again; what depends on it waits once more.
    let run = apply(&project, &["-o", "json"]).expect_exit(1);
    let told = run.json();
    assert_eq!(
        told["summary"],
        json!({"done": 0, "unchanged": 0, "failed": 0, "moved": 0, "skipped": 1, "refused": 0}),
        "{told}"
    );
    assert_eq!(told["diagnostics"][0]["code"], "TU0617", "{told}");
    assert_eq!(Cluster::shared().get(&path_of(&name, "after")).0, 404);
    assert_eq!(arrived(&path)["metadata"]["resourceVersion"], before, "nothing was sent for it");
    report(&path, &complete());
    apply(&project, &[]).expect_exit(0).expect_text(&["Applied: 1 done"]);
}

#[test]
fn a_job_that_failed_is_not_waited_for_until_its_time_is_over() {
    let name = Cluster::shared().namespace("failed");
    let project = project(&[job(&name, &[("wait-for", "self.status.succeeded == 1"), ("timeout", "24h")])]);
    let path = path_of(&name, "job");
    let controller = thread::spawn(move || {
        arrived(&path);
        let now = "2026-01-01T00:00:00Z";
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": now});
        report(&path, &json!({"startTime": now, "failed": 7, "conditions": [condition("FailureTarget"), condition("Failed")]}));
    });
    let run = apply(&project, &[]).expect_exit(1);
    run.expect_text(&["does not hold, and its provider says that waiting is in vain; it is degraded: BackoffLimitExceeded"]);
    controller.join().unwrap();
}

#[test]
fn a_file_gets_the_address_of_a_service_in_the_apply_that_makes_both() {
    let name = Cluster::shared().namespace("address");
    let wait = ("wait-for", "self.status.loadBalancer.ingress[0].ip != null");
    let project = project(&[service(&name, &[wait]), address(&name)]);
    let waits = project.run(&["plan", "--trust", "-o", "json"]).expect_exit(0).json()["waits"].clone();
    assert_eq!(
        (&waits[0]["id"], &waits[0]["for"], &waits[0]["before"]),
        (&json!(format!("k8s:Service/{name}/web")), &json!(wait.1), &json!(["File/address"]))
    );
    let text = format!("File/address waits until `{}` holds of Service/{name}/web", wait.1);
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&[&text]);
    let path = path_of(&name, "service");
    let controller = thread::spawn(move || {
        arrived(&path);
        sleep(Duration::from_millis(700));
        report(&path, &json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}));
    });
    apply(&project, &[]).expect_exit(0).expect_text(&["Applied: 2 done"]);
    controller.join().unwrap();
    assert_eq!(project.world()["address"], "192.0.2.7");
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn an_address_that_nobody_waits_for_is_told_with_what_to_write_and_stops_nothing_else() {
    let name = Cluster::shared().namespace("unwaited");
    let project = project(&[service(&name, &[]), address(&name)]);
    let hint = format!(
        "have Service/{name}/web waited for: write `trueup.dev/wait-for: self.status.loadBalancer.ingress[0].ip != null` there"
    );
    apply(&project, &[]).expect_exit(1).expect_text(&["spec.content: there is no field `ingress`", &hint, "1 done, 1 failed"]);
    // Known by now not to be there: refused before anything runs, and only that.
    let wanted =
        [service(&name, &[]), address(&name), object("v1", "ConfigMap", &name, "other", &[], json!({"data": {"a": "b"}}))];
    declare(&project, &wanted);
    let run = apply(&project, &[]).expect_exit(1);
    run.expect_text(&["spec.content: there is no field `ingress`", &hint, "1 done, 1 refused"]);
    arrived(&path_of(&name, "other"));
    // What the hint says is right.
    let wait = ("wait-for", "self.status.loadBalancer.ingress[0].ip != null");
    declare(&project, &[service(&name, &[wait]), address(&name)]);
    let shown = project.run(&["plan", "--trust"]).expect_exit(0);
    shown.expect_text(&[&format!("(known after Service/{name}/web)")]);
    let path = path_of(&name, "service");
    let controller = thread::spawn(move || {
        sleep(Duration::from_millis(700));
        report(&path, &json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}}));
    });
    apply(&project, &[]).expect_exit(0);
    controller.join().unwrap();
    assert_eq!(project.world()["address"], "192.0.2.8");
}

#[test]
fn a_value_that_is_neither_true_nor_false_ends_the_wait_at_once() {
    let name = Cluster::shared().namespace("text");
    let settings = [("wait-for", "self.data.ready"), ("timeout", "24h")];
    let project = project(&[object("v1", "ConfigMap", &name, "after", &settings, json!({"data": {"ready": "yes"}}))]);
    let run = apply(&project, &[]).expect_exit(1);
    run.expect_text(&["`self.data.ready` cannot be judged: a condition must come to true or false, and this comes to a text"]);
}

#[test]
fn apply_with_wait_ends_once_what_was_changed_is_healthy() {
    let name = Cluster::shared().namespace("healthy");
    let project = project(&[deployment(&name, &[]), service(&name, &[])]);
    let (path, balanced) = (path_of(&name, "deployment"), path_of(&name, "service"));
    let controller = thread::spawn(move || {
        let found = arrived(&path);
        arrived(&balanced);
        sleep(Duration::from_millis(700));
        report(&path, &available(&found["metadata"]["generation"]));
        report(&balanced, &json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}));
    });
    apply(&project, &["--wait"]).expect_exit(0).expect_text(&["Applied: 2 done"]);
    controller.join().unwrap();
    let seen = project.run(&["status", "-o", "json"]).expect_exit(0).json()["environments"][0].clone();
    assert_eq!((&seen["health"], &seen["objects"]), (&json!("healthy"), &json!({"healthy": 2})), "{seen}");
}

#[test]
fn apply_with_wait_names_what_is_not_healthy_in_its_time_and_stops_early_where_waiting_is_in_vain() {
    let name = Cluster::shared().namespace("unhealthy");
    let project = project(&[deployment(&name, &[("timeout", "24h")]), service(&name, &[("timeout", "2s")])]);
    let path = path_of(&name, "deployment");
    let controller = thread::spawn(move || {
        let found = arrived(&path);
        let why = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"});
        report(&path, &json!({"observedGeneration": found["metadata"]["generation"], "conditions": [why]}));
    });
    let run = apply(&project, &["--wait"]).expect_exit(1);
    controller.join().unwrap();
    run.expect_text(&[
        "TU0614",
        &format!("/{name}/web is degraded: ProgressDeadlineExceeded: too slow, and its provider says that waiting is in vain"),
        &format!("Service/{name}/web is progressing: the load balancer has no address, 2 s after it was applied"),
    ]);
    let seen = project.run(&["status", "-o", "json"]).expect_exit(0).json()["environments"][0].clone();
    assert_eq!((&seen["health"], &seen["objects"]), (&json!("degraded"), &json!({"degraded": 1, "progressing": 1})), "{seen}");
    apply(&project, &["--wait"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn a_wait_ends_with_the_run_that_a_person_stops_and_the_next_one_goes_on() {
    let name = Cluster::shared().namespace("stopped");
    let settings = [("wait-for", "self.status.succeeded == 1"), ("timeout", "24h")];
    let project = project(&[job(&name, &settings), after(&name, &format!("Job/{name}/migrate"))]);
    let child = project.command(&["apply", "--yes", "--trust"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    arrived(&path_of(&name, "job"));
    // It is recorded as well, before it is waited for.
    sleep(Duration::from_secs(1));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let run = Run::of(child.wait_with_output().unwrap()).expect_exit(130);
    run.expect_text(&[
        "`self.status.succeeded == 1` was waited for when the run was stopped",
        "Stopped: 0 done, 1 failed, 1 skipped",
    ]);
    report(&path_of(&name, "job"), &complete());
    apply(&project, &[]).expect_exit(0).expect_text(&["Applied: 1 done"]);
}

#[test]
fn a_change_that_the_server_has_under_way_is_waited_for_no_longer_than_its_time() {
    let name = Cluster::shared().namespace("pending");
    let map = |value: &str| {
        let mut it = object(
            "v1",
            "ConfigMap",
            &name,
            "held",
            &[("timeout", "2s"), ("replace", "allow")],
            json!({"immutable": true, "data": {"a": value}}),
        );
        it["metadata"]["finalizers"] = json!(["example.com/held"]);
        it
    };
    let project = project(&[map("one")]);
    apply(&project, &[]).expect_exit(0);
    declare(&project, &[map("two")]);
    let run = apply(&project, &["--allow-deletes", "1"]).expect_exit(1);
    run.expect_text(&["still under way: being deleted, held by example.com/held"]);
    let (code, answer) =
        Cluster::shared().patch(&path_of(&name, "held"), "merge-patch", &json!({"metadata": {"finalizers": null}}));
    assert_eq!(code, 200, "{answer}");
    apply(&project, &["--allow-deletes", "1"]).expect_exit(0);
    assert_eq!(arrived(&path_of(&name, "held"))["data"]["a"], "two");
}
