//! A project on an account of the shared cloud.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Map, Value as Json, json};
use trueup_tests::servers::moto::{Cloud, Moto, REGION};
use trueup_tests::{Project, Run};

use super::case::{Call, Case, Count, items};

/// A project whose only provider is an account that no other test has.
pub struct Site {
    pub project: Project,
    pub cloud: Cloud<'static>,
}

impl Site {
    pub fn new() -> Self {
        let cloud = Moto::shared().account();
        let endpoint = cloud.endpoint();
        Self::at(cloud, &endpoint)
    }

    /// The account is reached through this place.
    pub fn at(cloud: Cloud<'static>, endpoint: &str) -> Self {
        let keys = cloud.keys();
        let account = &cloud.account;
        // Marks tell projects apart by their ids.
        let project = Project::with(&format!(
            "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a{account:0>26}}}\n\
             providers:\n  aws: {{plugin: aws, credential: aws, config: {{region: {REGION}, account: \"{account}\", endpoint: slot}}}}\n\
             environments:\n  prod: {{layers: [base]}}\n"
        ));
        project.configure("access", &keys.access_key);
        project.configure("secret", &keys.secret_key);
        project.configure("token", &keys.token);
        let signs = "{access_key: {file: access}, secret_key: {file: secret}, session_token: {file: token}}";
        let credentials = format!("credentials:\n  aws: {{origins: [\"{endpoint}\"], sigv4: {signs}}}\n");
        project.configure("credentials.yaml", credentials);
        project.write("base/.keep", "").commit("nothing yet");
        Self { project, cloud }
    }

    /// Writes a document, in a file of its own; nothing is committed.
    pub fn write(&self, kind: &str, name: &str, spec: &Map<String, Json>, annotations: &Json) -> &Self {
        // What will not come about in moto is not to hold the tests for the minutes that it gets in a cloud.
        let mut annotations = annotations.clone();
        annotations["trueup.dev/timeout"] = json!("30s");
        let metadata = json!({ "name": name, "annotations": annotations });
        let document = json!({ "apiVersion": "aws/v1", "kind": kind, "metadata": metadata, "spec": spec });
        let text = self.filled(&document, &BTreeMap::new()).to_string();
        self.project.write(&format!("base/{kind}-{name}.yaml"), text);
        self
    }

    /// Writes what a kind needs around it.
    pub fn surround(&self, case: &Case) -> &Self {
        for it in &case.around {
            let text = |name: &str| it[name].as_str().unwrap_or_else(|| panic!("no {name}: {it}"));
            self.write(text("kind"), text("name"), &super::case::object(&it["spec"]), &json!({}));
        }
        self
    }

    /// Declares the kind's own document, and commits.
    pub fn declare(&self, case: &Case, spec: &Map<String, Json>) -> &Self {
        self.write(&case.kind, "main", spec, &json!({}));
        self.project.commit("change");
        self
    }

    /// Takes the kind's own document out, and commits.
    pub fn withdraw(&self, case: &Case) -> &Self {
        self.project.remove(&format!("base/{}-main.yaml", case.kind)).commit("less");
        self
    }

    /// Takes everything out, and commits.
    pub fn withdraw_all(&self) -> &Self {
        for file in fs::read_dir(self.project.repo().join("base")).expect("a layer").flatten() {
            if file.path().extension().is_some_and(|it| it == "yaml") {
                fs::remove_file(file.path()).expect("a file of ours");
            }
        }
        self.project.commit("nothing");
        self
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.project.run(&[arguments, &["--trust"]].concat())
    }

    #[track_caller]
    pub fn apply(&self) -> Run {
        self.run(&["apply", "--yes", "--allow-deletes", "50"]).expect_exit(0)
    }

    /// Nothing is to be done, and nothing is refused.
    #[track_caller]
    pub fn settled(&self) -> &Self {
        assert_eq!(self.plan(), [""; 0], "{}", self.run(&["plan"]));
        self
    }

    /// What the plan would do, a line for each step and field: `update Queue/main visibilityTimeout`, `create Queue/main`.
    #[track_caller]
    pub fn plan(&self) -> Vec<String> {
        let run = self.run(&["plan", "--allow-deletes", "50", "-o", "json"]);
        assert!(run.code.is_some_and(|it| it < 2), "{run}");
        let plan = run.json();
        let text = |it: &Json, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let mut out = Vec::new();
        for step in plan["steps"].as_array().unwrap_or_else(|| panic!("no steps: {run}")) {
            let line = format!("{} {}", text(step, "action"), text(step, "resource"));
            let fields: Vec<String> =
                step["changes"].as_array().into_iter().flatten().map(|it| field(&text(it, "path"))).collect();
            match text(step, "action").as_str() {
                "update" | "replace" => out.extend(fields.iter().map(|it| format!("{line} {it}"))),
                _ => out.push(line.clone()),
            }
            if fields.is_empty() && !out.contains(&line) {
                out.push(line);
            }
        }
        let refused = plan["refused"].as_array().into_iter().flatten();
        out.extend(refused.map(|it| format!("refused {} {}", text(it, "resource"), text(it, "code"))));
        out.sort();
        out.dedup();
        out
    }

    /// Identities of what is owned, by resource.
    pub fn identities(&self) -> BTreeMap<String, String> {
        let got = self.project.run(&["get", "-o", "json"]).expect_exit(0).json();
        let text = |it: &Json, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        got["resources"].as_array().into_iter().flatten().map(|it| (text(it, "resource"), text(it, "identity"))).collect()
    }

    /// Somebody else's calls, one after the other; the identity that the last one tells.
    #[track_caller]
    pub fn by_hand(&self, calls: &[Call], identity: &str) -> String {
        let mut known = self.identities();
        known.insert(String::new(), identity.to_owned());
        for it in calls {
            let (service, operation) = it.call.split_once(' ').unwrap_or_else(|| panic!("`{}` is no call", it.call));
            let answer = self.cloud.call(service, operation, self.filled(&it.input, &known));
            if let Some(path) = &it.take {
                let told = items(&answer, path).pop().and_then(|it| it.as_str().map(str::to_owned));
                known.insert(String::new(), told.unwrap_or_else(|| panic!("no {path}: {answer}")));
            }
        }
        known.remove("").unwrap_or_default()
    }

    /// How many objects somebody else sees.
    #[track_caller]
    pub fn count(&self, count: &Count) -> usize {
        let (service, operation) = count.call.call.split_once(' ').unwrap_or_else(|| panic!("`{}` is no call", count.call.call));
        items(&self.cloud.call(service, operation, count.call.input.clone()), &count.items).len()
    }

    /// How many objects of a kind and of those around it there are.
    #[track_caller]
    pub fn counts(&self, case: &Case) -> BTreeMap<String, usize> {
        case.kinds().into_iter().map(|it| (it.clone(), self.count(&Case::of(&it).count))).collect()
    }

    /// Puts variables into texts.
    fn filled(&self, value: &Json, known: &BTreeMap<String, String>) -> Json {
        match value {
            Json::String(text) => {
                let mut text = text.replace("$account", &self.cloud.account);
                for (name, identity) in known {
                    let variable = if name.is_empty() { "$identity".to_owned() } else { format!("{{{name}}}") };
                    text = text.replace(&variable, identity);
                }
                Json::from(text)
            }
            Json::Array(all) => all.iter().map(|it| self.filled(it, known)).collect(),
            Json::Object(all) => all.iter().map(|(name, it)| (name.clone(), self.filled(it, known))).collect(),
            other => other.clone(),
        }
    }
}

/// `visibilityTimeout` of `spec.visibilityTimeout`, `ingress` of `spec.ingress[0].cidr`.
fn field(path: &str) -> String {
    path.strip_prefix("spec.").unwrap_or(path).split(['.', '[']).next().unwrap_or_default().to_owned()
}
