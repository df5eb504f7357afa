//! An API server behind the API server: while it is down its objects are neither pruned nor taken for absent, and the others go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use trueup_tests::kubernetes::Cluster;
use trueup_tests::servers::proxy::{Asked, Fate, Proxy, status};

use super::world::{apply, declare, deletes_nothing, maps, project_at, settled, undeclare, want};

const GROUP: &str = "meters.example.com";

/// A server of one namespaced kind, `Meter.meters.example.com`.
struct Extension {
    server: Proxy,
    objects: Arc<Mutex<BTreeMap<String, Json>>>,
}

impl Extension {
    fn new(cluster: &Cluster) -> Self {
        let this = Self { server: Proxy::https(None, cluster.tls()), objects: Arc::default() };
        this.up();
        this
    }

    fn up(&self) {
        let objects = self.objects.clone();
        self.server.decide(move |asked| Fate::Answer(answer(&mut objects.lock().unwrap(), asked)));
    }

    fn down(&self) {
        self.server.decide(|_| Fate::Close);
    }

    fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }
}

fn answer(objects: &mut BTreeMap<String, Json>, asked: &Asked) -> Vec<u8> {
    let text = String::from_utf8_lossy(&asked.bytes).into_owned();
    let body: Json = text.split_once("\r\n\r\n").and_then(|(_, it)| serde_json::from_str(it).ok()).unwrap_or_default();
    let (method, target) = asked.what.split_once(' ').expect("a request line");
    let path = target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let version = format!("{GROUP}/v1");
    let lost = || status(404, &super::world::refusal(404, "NotFound", "not found"));
    let good = |it: &Json| status(200, &it.to_string());
    match (method, &parts[..]) {
        ("GET", ["apis", GROUP, "v1"]) => {
            let verbs = ["get", "list", "watch", "create", "patch", "delete"];
            let meter = json!({ "name": "meters", "singularName": "meter", "namespaced": true, "kind": "Meter", "verbs": verbs });
            good(&json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [meter] }))
        }
        ("GET", ["apis", GROUP, "v1", "namespaces", namespace, "meters"]) => {
            let own = |it: &&Json| it["metadata"]["namespace"] == *namespace;
            let items: Vec<Json> = objects.values().filter(own).cloned().collect();
            let metadata = json!({ "resourceVersion": objects.len().to_string() });
            good(&json!({ "kind": "MeterList", "apiVersion": version, "metadata": metadata, "items": items }))
        }
        (method, ["apis", GROUP, "v1", "namespaces", _, "meters", name]) => match method {
            "GET" => objects.get(*name).map_or_else(lost, good),
            "PATCH" => {
                let mut object = body;
                object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
                object["metadata"]["resourceVersion"] = json!("1");
                if !target.contains("dryRun=All") {
                    objects.insert((*name).to_owned(), object.clone());
                }
                status(if target.contains("dryRun=All") { 200 } else { 201 }, &object.to_string())
            }
            "DELETE" => objects.remove(*name).map_or_else(lost, |_| {
                good(&json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
            }),
            _ => lost(),
        },
        // Neither schemas nor discovery of all at once: an old one.
        _ => lost(),
    }
}

/// Lets the cluster's server pass what is asked of the group on to this port.
fn register(cluster: &Cluster, namespace: &str, port: u16) {
    let service = json!({ "metadata": { "name": "meters" }, "spec": { "type": "ExternalName", "externalName": "localhost" } });
    let (code, answer) = cluster.post(&format!("/api/v1/namespaces/{namespace}/services"), &service);
    assert!([201, 409].contains(&code), "{answer}");
    let spec = json!({
        "group": GROUP, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10, "insecureSkipTLSVerify": true,
        "service": { "namespace": namespace, "name": "meters", "port": port }
    });
    let body = json!({ "metadata": { "name": format!("v1.{GROUP}") }, "spec": spec });
    let (code, answer) = cluster.post("/apis/apiregistration.k8s.io/v1/apiservices", &body);
    assert_eq!(code, 201, "{answer}");
}

/// Waits until the server says so of the group, in its discovery of all at once.
#[track_caller]
fn until(cluster: &Cluster, fresh: bool) {
    let accept = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let (_, all) = cluster.ask("GET", "/apis", trueup_tests::kubernetes::ADMIN, &[accept], None);
        let group = all["items"].as_array().and_then(|it| it.iter().find(|it| it["metadata"]["name"] == GROUP)).cloned();
        let version = group.map(|it| it["versions"][0].clone()).unwrap_or_default();
        let is_fresh = version["freshness"] == "Current" && version["resources"].as_array().is_some_and(|it| !it.is_empty());
        if is_fresh == fresh && !version.is_null() {
            return;
        }
        assert!(Instant::now() < deadline, "{version}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn objects_of_an_api_that_is_down_or_not_registered_are_neither_pruned_nor_taken_for_absent() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace("meters");
    let extension = Extension::new(&cluster);
    register(&cluster, &namespace, extension.server.port);
    until(&cluster, true);
    let project = project_at(&cluster, cluster.port(), &namespace);
    for name in ["one", "two"] {
        let text = format!("apiVersion: {GROUP}/v1\nkind: Meter\nmetadata: {{name: {name}}}\nspec: {{unit: kWh}}\n");
        project.write(&format!("base/{name}.yaml"), text);
    }
    declare(&project, "map", "1");
    apply(&project).expect_exit(0);
    settled(&project);
    assert_eq!(extension.names(), ["one", "two"]);

    extension.down();
    // At once, as the server has not noticed, and later, as it says that it knows nothing of the group.
    for noticed in [false, true] {
        if noticed {
            until(&cluster, false);
        }
        let value = format!("{noticed}");
        declare(&project, "map", &value);
        let run = project.run(&["plan", "-o", "json"]).expect_exit(1).expect_text(&["Meter"]);
        deletes_nothing(&run.json());
        let creates = |it: &Json| it["action"] == "create";
        assert!(!run.json()["steps"].as_array().is_some_and(|it| it.iter().any(creates)), "{run}");
        apply(&project).expect_exit(1);
        assert_eq!(maps(&cluster, &namespace), want(&[("map", &value)]), "the others go on");
    }
    // Not even those that are no longer declared.
    undeclare(&project, "one");
    let run = project.run(&["plan", "-o", "json"]).expect_exit(1);
    deletes_nothing(&run.json());
    apply(&project).expect_exit(1);
    // Nor with nothing remembered of what was seen.
    for name in ["cache.db", "cache.db-wal", "cache.db-shm"] {
        let _ = std::fs::remove_file(project.repo().join(".trueup").join(name));
    }
    let run = project.run(&["plan", "-o", "json"]).expect_exit(1);
    deletes_nothing(&run.json());
    let two = project.repo().join("base/two.yaml");
    let text = std::fs::read(&two).unwrap();
    undeclare(&project, "two");
    for round in ["none", "again"] {
        declare(&project, "map", round);
        apply(&project).expect_exit(1).expect_text(&["Meter"]);
        assert_eq!(maps(&cluster, &namespace), want(&[("map", round)]), "the others go on");
    }
    std::fs::write(&two, text).unwrap();
    project.commit("two again");
    assert_eq!(extension.names(), ["one", "two"]);

    extension.up();
    until(&cluster, true);
    apply(&project).expect_exit(0);
    settled(&project);
    assert_eq!(extension.names(), ["two"]);
    assert_eq!(maps(&cluster, &namespace).len(), 1);

    // Its registration is made anew, as a chart's upgrade does.
    undeclare(&project, "two");
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/v1.{GROUP}");
    cluster.delete(&path);
    let deadline = Instant::now() + Duration::from_secs(120);
    while cluster.get(&format!("/apis/{GROUP}")).0 != 404 {
        assert!(Instant::now() < deadline, "the group is still served");
        thread::sleep(Duration::from_millis(200));
    }
    for known in ["told", "told anew"] {
        if known == "told anew" {
            // A kind that is not known makes the cluster be asked for its kinds.
            declare(&project, "map", "more");
            let secret = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n";
            project.write("base/account.yaml", secret).commit("another kind");
        }
        let run = project.run(&["plan", "-o", "json"]).expect_exit(1).expect_text(&["bring its `APIService` back"]);
        let steps = run.json()["steps"].as_array().cloned().unwrap_or_default();
        assert!(steps.iter().all(|it| it["action"] != "forget" && it["action"] != "delete"), "{known}: {run}");
    }
    register(&cluster, &namespace, extension.server.port);
    until(&cluster, true);
    apply(&project).expect_exit(0);
    settled(&project);
    assert_eq!(extension.names(), Vec::<String>::new());
}
