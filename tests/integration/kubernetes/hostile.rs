//! Answers that no API server gives: each fails what was asked for with a reason, and nothing is deleted for it.

use serde_json::{Value as Json, json};
use trueup_tests::Project;
use trueup_tests::kubernetes::{ADMIN, Cluster};
use trueup_tests::servers::proxy::{Fate, Proxy, status, status_with};

use super::world::{apply, declare, deletes_nothing, is_list, is_write, maps, project_at, refusal, settled, undeclare, want};

/// Two objects applied, one of which is to go.
fn pending(name: &str) -> (Proxy, String, Project) {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace(name);
    let proxy = cluster.proxy();
    let project = project_at(cluster, proxy.port, &namespace);
    declare(&project, "keep", "same");
    declare(&project, "gone", "old");
    apply(&project).expect_exit(0);
    settled(&project);
    undeclare(&project, "gone");
    (proxy, namespace, project)
}

/// A ConfigMap of the list, with this in place of what stands at the pointer.
fn map(namespace: &str, pointer: &str, value: Json) -> Json {
    // Newer than all that was seen: what is older is passed over.
    let metadata = json!({ "name": "keep", "namespace": namespace, "uid": "u", "resourceVersion": "999999999999" });
    let mut map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "k": "same" } });
    *map.pointer_mut(pointer).expect("a place") = value;
    map
}

fn list(items: &Json) -> Json {
    json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": { "resourceVersion": "9" }, "items": items })
}

/// `{"a":{"a":…}}`, so deep.
fn deep(levels: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_fails_its_scope_with_a_reason_and_deletes_nothing() {
    let (proxy, namespace, project) = pending("hostile");
    let text = |it: Json| it.to_string();
    let secrets = json!({ "apiVersion": "v1", "kind": "SecretList", "metadata": {}, "items": [] });
    let versions = json!({ "apiVersion": "v2", "kind": "ConfigMapList", "metadata": {}, "items": [] });
    let elsewhere = list(&json!([map(&namespace, "/metadata/namespace", json!("kube-system"))]));
    let whole = text(list(&json!([map(&namespace, "/data/k", json!("same"))])));
    let answers: Vec<(String, &str)> = vec![
        ("<!doctype html><title>Log in</title>".to_owned(), "the answer is no object of Kubernetes (not JSON at line 1"),
        (text(json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" })), "the answer shows kind `Status`"),
        (refusal(500, "InternalError", "etcd"), "the answer shows kind `Status`"),
        (whole[..whole.len() - 9].to_owned(), "the answer is no object of Kubernetes (not JSON at line 1"),
        (text(secrets), "the answer shows kind `SecretList` in `v1`"),
        (text(versions), "the answer shows kind `ConfigMapList` in `v2`"),
        (text(elsewhere), "the answer shows an object of the namespace `kube-system`"),
        (text(list(&json!([map(&namespace, "/kind", json!("Secret"))]))), "the answer shows an object of kind `Secret`"),
        (text(list(&json!([map(&namespace, "/metadata/name", json!(""))]))), "an object without a name or a uid"),
        (text(list(&json!([map(&namespace, "/metadata/uid", json!(""))]))), "an object without a name or a uid"),
        (text(list(&json!([1, 2]))), "the answer is no object of Kubernetes (unexpected shape"),
        (text(json!({ "apiVersion": "v1", "kind": "ConfigMapList" })), "the answer shows a list without items"),
        (text(json!([])), "the answer is no object of Kubernetes (unexpected shape"),
        (deep(100_000), "the answer shows kind ``"),
        (String::new(), "the answer is no object of Kubernetes"),
    ];
    for (answer, words) in answers {
        let forged = status(200, &answer);
        proxy.decide(move |asked| if is_list(asked) { Fate::Answer(forged.clone()) } else { Fate::Pass });
        let run = project.run(&["plan", "-o", "json"]);
        assert_eq!(run.code, Some(1), "{words}\n{run}");
        deletes_nothing(&run.json());
        run.expect_text(&[words]);
        apply(&project).expect_exit(1);
        assert_eq!(maps(Cluster::shared(), &namespace), want(&[("gone", "old"), ("keep", "same")]), "{words}");
    }
    proxy.decide(|_| Fate::Pass);
    apply(&project).expect_exit(0);
    assert_eq!(maps(Cluster::shared(), &namespace), want(&[("keep", "same")]));
}

#[test]
fn an_object_that_cannot_be_read_fails_who_asks_for_it_and_hides_no_other() {
    let cluster = Cluster::shared();
    let (proxy, namespace, project) = pending("odd");
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?limit=500");
    let (_, whole) = cluster.get(&path);
    for odd in [deep(5000), Json::from("x".repeat(30 << 20)).to_string()] {
        // Whoever may make one object may make such a one, of a kind that takes anything.
        let mut list = whole.clone();
        let object = map(&namespace, "/metadata/name", json!("odd")).to_string().replace("\"same\"", &odd);
        list["items"].as_array_mut().expect("items").push(json!("ODD"));
        let answer = status(200, &list.to_string().replace("\"ODD\"", &object));
        proxy.decide(move |asked| if is_list(asked) { Fate::Answer(answer.clone()) } else { Fate::Pass });
        let run = project.run(&["plan", "--detailed-exitcode"]);
        assert_eq!(run.code, Some(2), "nobody declares it\n{run}");
        run.expect_text(&["ConfigMap/gone"]);
    }
    apply(&project).expect_exit(0);
    assert_eq!(maps(cluster, &namespace), want(&[("keep", "same")]));
}

#[test]
fn an_object_that_is_another_than_was_asked_for_is_neither_changed_nor_believed() {
    let (proxy, namespace, project) = pending("another");
    undeclare(&project, "keep");
    declare(&project, "keep", "new");
    let answers = [
        map("kube-system", "/data/k", json!("new")),
        map(&namespace, "/metadata/name", json!("other")),
        map(&namespace, "/kind", json!("Secret")),
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }),
        json!({ "data": { "k": "new" } }),
    ];
    // What was sent took no effect, and what is shown of it is no proof that it did.
    for answer in answers {
        let forged = status(200, &answer.to_string());
        proxy.decide(move |asked| match is_write(asked) || asked.what.contains("/configmaps/") {
            true => Fate::Answer(forged.clone()),
            false => Fate::Pass,
        });
        apply(&project).expect_exit(1).expect_text(&["cannot apply ConfigMap", "the answer shows"]);
        assert_eq!(maps(Cluster::shared(), &namespace)["keep"], "same", "{answer}");
    }
    proxy.decide(|_| Fate::Pass);
    apply(&project).expect_exit(0);
    assert_eq!(maps(Cluster::shared(), &namespace), want(&[("keep", "new")]));
    settled(&project);
}

#[test]
fn a_redirect_to_another_server_is_not_followed_and_carries_nothing() {
    let (proxy, namespace, project) = pending("redirect");
    let thief = Proxy::https(None, Cluster::shared().tls());
    thief.decide(|_| Fate::Answer(status(200, "{}")));
    for code in [301, 302, 307, 308] {
        let place = format!("Location: https://127.0.0.1:{}/stolen", thief.port);
        let answer = status_with(code, &[&place], "");
        proxy.decide(move |_| Fate::Answer(answer.clone()));
        let run = project.run(&["plan", "-o", "json"]).expect_exit(1).expect_text(&[&code.to_string()]).expect_no_text(&[ADMIN]);
        deletes_nothing(&run.json());
        apply(&project).expect_exit(1);
    }
    assert_eq!(thief.take(), Vec::<String>::new());
    assert_eq!(maps(Cluster::shared(), &namespace).len(), 2);
}

#[test]
fn a_page_that_is_not_there_says_nothing_of_the_kind_it_was_to_show() {
    let (proxy, namespace, project) = pending("missing");
    // A gateway that lost its way answers for all that is behind it.
    for answer in [status(404, "404 page not found"), status(404, "<html>"), status(200, "{}")] {
        let known = answer.clone();
        proxy.decide(move |_| Fate::Answer(known.clone()));
        let run = project.run(&["plan", "-o", "json"]).expect_exit(1);
        deletes_nothing(&run.json());
        apply(&project).expect_exit(1);
        let list = answer.clone();
        proxy.decide(move |asked| if is_list(asked) { Fate::Answer(list.clone()) } else { Fate::Pass });
        let run = project.run(&["plan", "-o", "json"]).expect_exit(1);
        deletes_nothing(&run.json());
    }
    assert_eq!(maps(Cluster::shared(), &namespace).len(), 2);
}
