//! A project on the shared cluster, with a namespace of its own.

use serde_json::Value as Json;
use trueup_tests::kubernetes::{ADMIN, Cluster};
use trueup_tests::{Project, Run};

/// A project whose provider `k8s` is the shared cluster. In all that it is given, `NS` stands for its namespace.
pub struct Shop {
    pub project: Project,
    pub cluster: &'static Cluster,
    pub namespace: String,
}

impl Shop {
    /// Nothing is declared yet. `more` are further keys of the provider: `, secrets: [x]`.
    pub fn with(name: &str, more: &str) -> Self {
        let cluster = Cluster::shared();
        let namespace = cluster.namespace(name);
        // Marks tell projects apart by their ids; the number of a namespace is no other test's.
        let number: u64 = namespace.rsplit('-').next().and_then(|it| it.parse().ok()).expect("a number");
        let project = Project::with(&format!(
            "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a{number:026x}}}\n\
             providers:\n  k8s: {{plugin: kubernetes, credential: cluster, config: {{namespace: {namespace}}}{more}}}\n\
             environments:\n  prod: {{layers: [base]}}\n"
        ));
        project.configure("kube/config", cluster.kubeconfig_of(&format!("token: {ADMIN}")));
        project.configure("credentials.yaml", "credentials: {cluster: {kubeconfig: {file: kube/config}}}\n");
        project.write("base/.keep", "");
        Self { project, cluster, namespace }
    }

    pub fn new(name: &str) -> Self {
        Self::with(name, "")
    }

    fn named(&self, text: &str) -> String {
        text.replace("NS", &self.namespace)
    }

    /// Commits `base/<name>.yaml`.
    pub fn declare(&self, name: &str, manifests: &str) -> &Self {
        self.project.write(&format!("base/{name}.yaml"), self.named(manifests)).commit(name);
        self
    }

    /// Takes `base/<name>.yaml` out again.
    pub fn withdraw(&self, name: &str) -> &Self {
        self.project.remove(&format!("base/{name}.yaml")).commit("less");
        self
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.project.run(arguments)
    }

    /// `apply --yes`, whatever its exit code.
    #[track_caller]
    pub fn try_apply(&self) -> Run {
        self.run(&["apply", "--yes", "--trust"])
    }

    #[track_caller]
    pub fn apply(&self) -> Run {
        self.try_apply().expect_exit(0)
    }

    /// The plan as people see it.
    #[track_caller]
    pub fn plan(&self) -> Run {
        self.run(&["plan", "--trust"])
    }

    /// The plan for scripts.
    #[track_caller]
    pub fn plan_json(&self) -> Json {
        self.run(&["plan", "--trust", "-o", "json"]).json()
    }

    /// The plan is empty.
    #[track_caller]
    pub fn settled(&self) -> &Self {
        let plan = self.run(&["plan", "--trust", "--detailed-exitcode"]);
        assert_eq!(plan.code, Some(0), "the plan is not empty\n{plan}");
        self
    }

    /// `adopt --declared`.
    #[track_caller]
    pub fn adopt(&self) -> Run {
        self.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(0)
    }

    /// Applies, and the plan is empty after it.
    #[track_caller]
    pub fn apply_settled(&self) -> &Self {
        self.apply();
        self.settled()
    }

    /// One line for each changed path of a plan: `update Service/x/web spec.ports[0].name drift`; for other steps without a path.
    #[track_caller]
    pub fn changes(&self) -> Vec<String> {
        let plan = self.plan_json();
        let text = |it: &Json, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let mut out = Vec::new();
        for step in plan["steps"].as_array().unwrap_or_else(|| panic!("no steps: {plan}")) {
            let (action, resource) = (text(step, "action"), text(step, "resource").replace(&self.namespace, "NS"));
            if action != "update" {
                out.push(format!("{action} {resource}"));
                continue;
            }
            let changes = step["changes"].as_array().into_iter().flatten();
            out.extend(changes.map(|it| format!("{action} {resource} {} {}", text(it, "path"), text(it, "origin"))));
        }
        out.extend(plan["refused"].as_array().into_iter().flatten().map(|it| format!("refused {}", text(it, "code"))));
        out.sort();
        out
    }

    /// What stands at this path, which must be there.
    #[track_caller]
    pub fn get(&self, path: &str) -> Json {
        let (status, object) = self.cluster.get(&self.named(path));
        assert_eq!(status, 200, "{path}: {object}");
        object
    }

    /// Whether something stands at this path.
    #[track_caller]
    pub fn exists(&self, path: &str) -> bool {
        self.cluster.get(&self.named(path)).0 == 200
    }

    /// Somebody else's patch (`merge-patch`, `apply-patch` …), which must be taken.
    #[track_caller]
    pub fn patch(&self, path: &str, kind: &str, body: &Json) -> Json {
        let (status, object) = self.cluster.patch(&self.named(path), kind, &self.json(body));
        assert!((200..300).contains(&status), "{path}: {status} {object}");
        object
    }

    /// Somebody else's object, which must be taken.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Json) -> Json {
        let (status, object) = self.cluster.post(&self.named(path), &self.json(body));
        assert_eq!(status, 201, "{path}: {object}");
        object
    }

    #[track_caller]
    pub fn delete(&self, path: &str) {
        let (status, answer) = self.cluster.delete(&self.named(path));
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
    }

    fn json(&self, body: &Json) -> Json {
        serde_json::from_str(&self.named(&body.to_string())).expect("JSON stays JSON")
    }
}
