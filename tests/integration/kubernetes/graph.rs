//! One graph over a cluster, a name server and files: values go from each to the others, in one apply from nothing.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use trueup_tests::Project;
use trueup_tests::kubernetes::{ADMIN, Cluster};
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::pdns::{API_KEY, Pdns};

/// `NS` stands for the namespace, `PORT` for that of the name server.
const PROJECT: &str = r#"apiVersion: trueup.dev/v1
kind: Project
metadata: {name: shop, id: 4f0c9a000000000000000000000000aa}
providers:
  k8s: {plugin: kubernetes, credential: cluster, config: {namespace: NS}}
  dns: {plugin: dns, config: {flavor: powerdns, server: "http://127.0.0.1:PORT"}, hosts: ["http://127.0.0.1:PORT"], credential: names}
  site: {plugin: file, config: {root: ./site}, dirs: ["./site"]}
environments:
  prod: {layers: [base], vars: {domain: example.test}}
"#;

const DOCUMENTS: &str = r#"apiVersion: site/v1
kind: File
metadata: {name: motd}
spec:
  path: motd
  content: "${{ ref('RecordSet/www').spec.name }}.${{ vars.domain }} is at ${{ ref('Service/web').status.loadBalancer.ingress[0].ip }}\n"
---
apiVersion: dns/v1
kind: RecordSet
metadata: {name: www}
spec: {zone: example.test, name: www, type: A, ttl: 300, values: ["${{ ref('Service/web').status.loadBalancer.ingress[0].ip }}"]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {host: "${{ ref('dns:RecordSet/www').spec.name }}.${{ vars.domain }}"}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations: {trueup.dev/wait-for: "size(self.status.loadBalancer.ingress) > 0"}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: dns/v1
kind: Zone
metadata: {name: example.test}
spec: {name: example.test, nameservers: [ns1.example.test.]}
"#;

/// Gives the Service an address once it is there, as a load balancer's controller does.
fn controller(path: String, address: &'static str) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Cluster::shared().get(&path).0 != 200 {
            assert!(Instant::now() < deadline, "{path} never came");
            thread::sleep(Duration::from_millis(50));
        }
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } });
        let (code, answer) = Cluster::shared().patch(&format!("{path}/status"), "merge-patch", &status);
        assert_eq!(code, 200, "{answer}");
    })
}

#[test]
fn a_cluster_names_and_files_converge_from_nothing_in_one_apply() {
    let (cluster, names) = (Cluster::shared(), Pdns::start());
    let namespace = cluster.namespace("graph");
    let project = Project::with(&PROJECT.replace("NS", &namespace).replace("PORT", &names.api.to_string()));
    project.configure("kube/config", cluster.kubeconfig_of(&format!("token: {ADMIN}")));
    project.configure("key", API_KEY);
    project.configure(
        "credentials.yaml",
        format!(
            "credentials:\n  cluster: {{kubeconfig: {{file: kube/config}}}}\n  names: {{origins: [\"http://127.0.0.1:{}\"], header: {{X-API-Key: {{file: key}}}}}}\n",
            names.api
        ),
    );
    project.write("base/all.yaml", DOCUMENTS).commit("all of it");
    let plan = project.run(&["plan", "--trust"]).expect_exit(0);
    plan.expect_text(&["(known after Service/web)", "5 to add"]);
    let path = format!("/api/v1/namespaces/{namespace}/services/web");
    let balancer = controller(path.clone(), "192.0.2.17");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0).expect_text(&["5 done"]);
    balancer.join().expect("the balancer's controller");
    let settled = || {
        let run = project.run(&["plan", "--trust", "--detailed-exitcode"]);
        assert_eq!(run.code, Some(0), "{run}");
    };
    settled();
    assert_eq!(dig(names.dns, "www.example.test", "A"), ["300 A 192.0.2.17"]);
    assert_eq!(project.world()["motd"], "www.example.test is at 192.0.2.17\n");
    let (_, map) = cluster.get(&format!("/api/v1/namespaces/{namespace}/configmaps/web"));
    assert_eq!(map["data"]["host"], "www.example.test");
    // The address moves: the cluster is as declared, and what was made of the address follows.
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.18" }] } } });
    assert_eq!(cluster.patch(&format!("{path}/status"), "merge-patch", &status).0, 200);
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["2 to change", "192.0.2.17", "192.0.2.18"]);
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    settled();
    assert_eq!(dig(names.dns, "www.example.test", "A"), ["300 A 192.0.2.18"]);
    assert_eq!(project.world()["motd"], "www.example.test is at 192.0.2.18\n");
}
