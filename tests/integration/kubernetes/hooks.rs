//! Admission webhooks that are late, down, or against it: who they are is said, and the rest of the plan goes on.

use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};
use trueup_tests::kubernetes::Cluster;
use trueup_tests::servers::proxy::{Asked, Fate, Proxy, status};

use super::world::{apply, declare, is_write, maps, project_at, refusal, settled, want};

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A server that judges objects; gone with the value.
struct Hook {
    server: Proxy,
    name: String,
    cluster: &'static Cluster,
}

impl Hook {
    /// Judges the ConfigMaps `hooked` of this namespace, within so many seconds.
    fn new(cluster: &'static Cluster, namespace: &str, seconds: u32) -> Self {
        let server = Proxy::https(None, cluster.tls());
        let authority = base64(cluster.ca.as_bytes());
        let rule =
            json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"] });
        let hook = json!({
            "name": "judge.hooks.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "timeoutSeconds": seconds, "rules": [rule],
            "clientConfig": { "url": format!("https://127.0.0.1:{}/judge", server.port), "caBundle": authority },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "matchConditions": [{ "name": "hooked", "expression": "request.name == 'hooked'" }]
        });
        let name = format!("hook-{namespace}");
        let (code, answer) = cluster.post(HOOKS, &json!({ "metadata": { "name": name }, "webhooks": [hook] }));
        assert_eq!(code, 201, "{answer}");
        let this = Self { server, name, cluster };
        this.server.decide(|asked| Fate::Answer(verdict(asked, true, "")));
        this.until_known(namespace);
        this
    }

    /// The server asks a webhook some moments after it was made known.
    fn until_known(&self, namespace: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
        for _ in 0..600 {
            self.cluster.post(&path, &json!({ "metadata": { "name": "hooked" } }));
            if !self.server.take().is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the webhook is never asked");
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.cluster.delete(&format!("{HOOKS}/{}", self.name));
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |at: u32| char::from(DIGITS[at as usize & 63]);
    let each = |part: &[u8]| {
        let number = part.iter().fold(0_u32, |sum, it| sum << 8 | u32::from(*it)) << (8 * (3 - part.len()));
        let mut text: String = [18, 12, 6, 0].iter().map(|shift| digit(number >> shift)).collect();
        text.replace_range(part.len() + 1.., &"=".repeat(3 - part.len()));
        text
    };
    bytes.chunks(3).map(each).collect()
}

/// The answer of a webhook to what it is asked.
fn verdict(asked: &Asked, allowed: bool, message: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(&asked.bytes).into_owned();
    let review: Json = serde_json::from_str(text.split_once("\r\n\r\n").expect("a body").1).expect("a review");
    let response = json!({ "uid": review["request"]["uid"], "allowed": allowed, "status": { "message": message } });
    status(200, &json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }).to_string())
}

#[test]
fn a_webhook_that_is_slow_down_or_against_it_is_named_and_the_rest_goes_on() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("hooks");
    let project = project_at(cluster, cluster.port(), &namespace);
    let hook = Hook::new(cluster, &namespace, 2);
    // Late, and in time.
    hook.server.decide(|asked| {
        thread::sleep(Duration::from_millis(700));
        Fate::Answer(verdict(asked, true, ""))
    });
    declare(&project, "hooked", "late");
    declare(&project, "other", "1");
    apply(&project).expect_exit(0);
    settled(&project);
    // Too late, not there at all, against it: to what is there already, and to the rest nothing.
    let ways: [(fn(&Asked) -> Fate, &[&str]); 3] = [
        (
            |_| {
                thread::sleep(Duration::from_secs(3));
                Fate::Close
            },
            &["failed calling webhook \"judge.hooks.example.com\"", "deadline exceeded"],
        ),
        (|_| Fate::Close, &["failed calling webhook \"judge.hooks.example.com\""]),
        (
            |asked| Fate::Answer(verdict(asked, false, "not on a Friday")),
            &["admission webhook \"judge.hooks.example.com\" denied the request: not on a Friday"],
        ),
    ];
    for (at, (way, words)) in ways.into_iter().enumerate() {
        let value = format!("value {at}");
        declare(&project, "hooked", &value);
        declare(&project, "other", &value);
        hook.server.decide(way);
        let run = apply(&project).expect_exit(1).expect_text(words);
        assert!(!run.stderr.contains("not known whether"), "the server says that it did nothing\n{run}");
        assert_eq!(maps(cluster, &namespace), want(&[("hooked", "late"), ("other", &value)]), "the rest goes on\n{run}");
    }
    hook.server.decide(|asked| Fate::Answer(verdict(asked, true, "")));
    apply(&project).expect_exit(0);
    settled(&project);
}

#[test]
fn a_webhook_that_knows_no_dry_run_does_not_break_the_plan() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("no-dry-run");
    let proxy = cluster.proxy();
    let project = project_at(cluster, proxy.port, &namespace);
    declare(&project, "a", "1");
    apply(&project).expect_exit(0);
    declare(&project, "a", "2");
    // Such webhooks cannot be made any more since 1.22, and older ones still are: this is what the server says of them.
    proxy.decide(|asked| match asked.what.contains("dryRun=All") {
        true => {
            let text = "admission webhook \"old.example.com\" does not support dry run";
            Fate::Answer(status(400, &refusal(400, "BadRequest", text)))
        }
        false => Fate::Pass,
    });
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(2);
    apply(&project).expect_exit(0);
    assert_eq!(maps(cluster, &namespace), want(&[("a", "2")]));
    assert!(proxy.take().iter().any(|it| it.contains("dryRun=All")));
    settled(&project);
    proxy.decide(|asked| if is_write(asked) { Fate::Close } else { Fate::Pass });
    settled(&project);
}
