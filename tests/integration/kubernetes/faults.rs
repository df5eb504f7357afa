//! Faults between us and a real API server: what is throttled is waited for, what was cut is looked at before it is repeated, and what
//! somebody else holds is left to them. None of it deletes, doubles or forgets anything.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use trueup_tests::Project;
use trueup_tests::kubernetes::{ADMIN, Cluster};
use trueup_tests::servers::proxy::{Asked, Fate, Proxy, status, status_with};

use super::world::{
    apply, declare, deletes_nothing, is_list, is_write, make, maps, maps_path, project_at, project_of, refusal, settled,
    undeclare, want,
};

/// A project behind a proxy, with `keep` and `change` applied.
fn behind_proxy(name: &str) -> (Proxy, String, Project) {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace(name);
    let proxy = cluster.proxy();
    let project = project_at(cluster, proxy.port, &namespace);
    declare(&project, "keep", "same");
    declare(&project, "change", "old");
    apply(&project).expect_exit(0);
    settled(&project);
    proxy.take();
    (proxy, namespace, project)
}

/// Refuses with 429 the first request that this is true of, and notes when each of them came.
fn throttle_first(proxy: &Proxy, seconds: u32, which: fn(&Asked) -> bool) -> Arc<Mutex<Vec<Instant>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = times.clone();
    proxy.decide(move |asked| {
        if !which(asked) {
            return Fate::Pass;
        }
        let mut noted = noted.lock().unwrap();
        noted.push(Instant::now());
        match noted.len() {
            1 => {
                let body = refusal(429, "TooManyRequests", "too many requests");
                Fate::Answer(status_with(429, &[&format!("Retry-After: {seconds}")], &body))
            }
            _ => Fate::Pass,
        }
    });
    times
}

/// The second came at least so long after the first, and there was no third.
#[track_caller]
fn waited(times: &Mutex<Vec<Instant>>, seconds: u64) {
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 2);
    assert!(times[0] + Duration::from_secs(seconds) <= times[1], "{:?}", times[1] - times[0]);
}

fn is_dry_run(asked: &Asked) -> bool {
    asked.what.contains("dryRun=All")
}

fn is_discovery(asked: &Asked) -> bool {
    asked.what == "GET /apis"
}

#[test]
fn what_is_throttled_is_waited_for_as_told_and_then_done() {
    let (proxy, namespace, project) = behind_proxy("throttled");
    declare(&project, "change", "new");
    for which in [is_list, is_dry_run, is_discovery] {
        let times = throttle_first(&proxy, 1, which);
        // The kinds of a cluster are not asked for again within minutes.
        let _ = fs::remove_file(project.repo().join(".trueup/cache.db"));
        project.run(&["plan", "--detailed-exitcode"]).expect_exit(2);
        waited(&times, 1);
    }
    let times = throttle_first(&proxy, 1, is_write);
    apply(&project).expect_exit(0);
    waited(&times, 1);
    assert_eq!(maps(Cluster::shared(), &namespace), want(&[("change", "new"), ("keep", "same")]));
    undeclare(&project, "change");
    let times = throttle_first(&proxy, 1, is_write);
    apply(&project).expect_exit(0);
    waited(&times, 1);
    assert_eq!(maps(Cluster::shared(), &namespace), want(&[("keep", "same")]));
    settled(&project);
}

#[test]
fn a_server_that_asks_for_an_hour_is_not_waited_for() {
    let (proxy, namespace, project) = behind_proxy("hour");
    undeclare(&project, "change");
    let times = throttle_first(&proxy, 3600, is_list);
    let run = project.run(&["plan", "-o", "json"]).expect_exit(1);
    run.clone().expect_text(&["it asks to be left alone for 3600 s"]);
    deletes_nothing(&run.json());
    assert_eq!(times.lock().unwrap().len(), 1);
    let times = throttle_first(&proxy, 3600, is_write);
    apply(&project).expect_exit(1).expect_text(&["it asks to be left alone for 3600 s"]);
    assert_eq!(times.lock().unwrap().len(), 1);
    assert_eq!(maps(Cluster::shared(), &namespace).len(), 2);
}

/// Requests about the object `change` that would change it, or look at it by name, in their order.
fn about_change(proxy: &Proxy) -> Vec<String> {
    let named = proxy.take().into_iter().filter(|it| it.contains("/configmaps/change") && !it.contains("dryRun=All"));
    named.map(|it| it.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_write_whose_answer_is_lost_is_looked_at_and_not_repeated() {
    let (proxy, namespace, project) = behind_proxy("lost");
    let fates: [fn() -> Fate; 3] = [
        || Fate::Cut(40),
        || Fate::Late(status(503, "<html>upstream connect error</html>")),
        || Fate::Late(status(200, "<html>welcome</html>")),
    ];
    for (at, fate) in fates.into_iter().enumerate() {
        let value = format!("new {at}");
        declare(&project, "change", &value);
        proxy.decide(move |asked| if is_write(asked) { fate() } else { Fate::Pass });
        apply(&project).expect_exit(0);
        let asked = about_change(&proxy);
        assert_eq!(asked.iter().filter(|it| *it == "PATCH").count(), 1, "{at}: {asked:?}");
        assert_eq!(asked.first().map(String::as_str), Some("PATCH"), "{at}: {asked:?}");
        assert!(asked.len() > 1, "{at}: {asked:?}");
        proxy.decide(|_| Fate::Pass);
        assert_eq!(maps(Cluster::shared(), &namespace)["change"], value);
        settled(&project);
    }
    // A delete of which nobody knows is the same.
    undeclare(&project, "change");
    proxy.decide(|asked| if is_write(asked) { Fate::Cut(40) } else { Fate::Pass });
    apply(&project).expect_exit(0);
    let asked = about_change(&proxy);
    assert_eq!(asked.iter().filter(|it| *it == "DELETE").count(), 1, "{asked:?}");
    proxy.decide(|_| Fate::Pass);
    settled(&project);
}

#[test]
fn a_write_that_never_came_through_is_looked_at_and_then_repeated() {
    let (proxy, namespace, project) = behind_proxy("never");
    declare(&project, "change", "new");
    let fates: [fn() -> Fate; 2] = [|| Fate::Close, || Fate::Answer(status(503, &refusal(503, "ServiceUnavailable", "not now")))];
    for (at, fate) in fates.into_iter().enumerate() {
        declare(&project, "change", &format!("new {at}"));
        let first = Mutex::new(true);
        proxy.decide(
            move |asked| {
                if is_write(asked) && std::mem::take(&mut *first.lock().unwrap()) { fate() } else { Fate::Pass }
            },
        );
        apply(&project).expect_exit(0);
        let asked = about_change(&proxy);
        assert_eq!(asked.get(..3).map(|it| it.join(" ")).as_deref(), Some("PATCH GET PATCH"), "{at}: {asked:?}");
        proxy.decide(|_| Fate::Pass);
        settled(&project);
    }
    assert_eq!(maps(Cluster::shared(), &namespace)["change"], "new 1");
}

#[test]
fn a_field_that_another_manager_took_meanwhile_is_a_conflict_that_names_it() {
    let (proxy, namespace, project) = behind_proxy("conflict");
    declare(&project, "change", "ours");
    declare(&project, "come", "new");
    let path = format!("{}/change?fieldManager=helm&force=true", maps_path(&namespace));
    let first = Mutex::new(true);
    proxy.decide(move |asked| {
        let mine = is_write(asked) && asked.what.contains("/configmaps/change");
        if mine && std::mem::take(&mut *first.lock().unwrap()) {
            let theirs =
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "change" }, "data": { "k": "theirs" } });
            let (status, answer) = Cluster::shared().patch(&path, "apply-patch", &theirs);
            assert_eq!(status, 200, "{answer}");
        }
        Fate::Pass
    });
    let run = apply(&project).expect_exit(1);
    run.expect_text(&["`helm` manages .data.k", "trueup.dev/force"]);
    let world = maps(Cluster::shared(), &namespace);
    assert_eq!(world, want(&[("change", "theirs"), ("come", "new"), ("keep", "same")]), "the others are done");
}

#[test]
fn what_an_operator_takes_while_an_edit_is_put_back_is_left_to_it() {
    let (proxy, namespace, project) = behind_proxy("between");
    let path = format!("{}/change", maps_path(&namespace));
    let edit = json!({ "data": { "k": "by hand" } });
    assert_eq!(Cluster::shared().patch(&format!("{path}?fieldManager=kubectl-edit"), "merge-patch", &edit).0, 200);
    let first = Mutex::new(true);
    proxy.decide(move |asked| {
        // After the managers were looked at, before their fields are taken.
        let forced = is_write(asked) && asked.what.contains("force=true");
        if forced && std::mem::take(&mut *first.lock().unwrap()) {
            let theirs =
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "change" }, "data": { "k": "theirs" } });
            let (status, answer) =
                Cluster::shared().patch(&format!("{path}?fieldManager=operator&force=true"), "apply-patch", &theirs);
            assert_eq!(status, 200, "{answer}");
        }
        Fate::Pass
    });
    apply(&project).expect_exit(1).expect_text(&["`operator` manages .data.k"]);
    assert_eq!(maps(Cluster::shared(), &namespace)["change"], "theirs");
}

#[test]
fn a_delete_is_repeated_only_where_nothing_that_matters_changed() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("precondition");
    let proxy = cluster.proxy();
    let project = project_at(cluster, proxy.port, &namespace);
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  \
                template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web}]}\n";
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
    for (patch, below, code) in [
        (json!({ "status": { "replicas": 1, "updatedReplicas": 1 } }), "/status", 0),
        (json!({ "spec": { "replicas": 3 } }), "", 1),
    ] {
        project.write("base/web.yaml", text).commit("web");
        proxy.decide(|_| Fate::Pass);
        apply(&project).expect_exit(0);
        project.remove("base/web.yaml").commit("none");
        let (first, path) = (Mutex::new(true), format!("{path}{below}"));
        proxy.decide(move |asked| {
            if asked.what.starts_with("DELETE ") && std::mem::take(&mut *first.lock().unwrap()) {
                let (status, answer) = Cluster::shared().patch(&path, "merge-patch", &patch);
                assert_eq!(status, 200, "{answer}");
            }
            Fate::Pass
        });
        apply(&project).expect_exit(code);
    }
    assert_eq!(cluster.get(&path).0, 200, "what somebody just scaled is looked at again first");
    apply(&project).expect_exit(0);
    assert_eq!(cluster.get(&path).0, 404);
}

#[test]
fn a_token_that_expires_is_renewed_and_the_change_is_made_once() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("expired");
    let proxy = cluster.proxy();
    let exec = "exec: {command: sh, args: [LOGIN], apiVersion: client.authentication.k8s.io/v1}";
    let project = project_of(cluster, proxy.port, &namespace, &format!("token: {ADMIN}"), ", exec: [sh]");
    let folder = project.config().join("kube");
    let exec = exec.replace("LOGIN", &format!("'{}'", folder.join("login").display()));
    project.configure("kube/config", cluster.kubeconfig_at(proxy.port, &exec));
    let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'$token'"}}"#;
    let login = format!("cd $(dirname $0)\ntoken={ADMIN}\necho run >> runs\necho '{answer}'\n");
    project.configure("kube/login", login);
    project.run(&["trust", "--yes"]).expect_exit(0);
    declare(&project, "a", "1");
    // The token is good until the first write, which the server does not take any more.
    let first = Mutex::new(true);
    proxy.decide(move |asked| {
        if is_write(asked) && std::mem::take(&mut *first.lock().unwrap()) {
            return Fate::Answer(status(401, &refusal(401, "Unauthorized", "Unauthorized")));
        }
        Fate::Pass
    });
    let runs = || fs::read_to_string(folder.join("runs")).map_or(0, |it| it.lines().count());
    apply(&project).expect_exit(1);
    assert_eq!(runs(), 2, "one for the run, one after the 401, which had nothing newer");
    assert!(maps(cluster, &namespace).is_empty());
    // One that was taken back, as the server says itself.
    let login = format!("cd $(dirname $0)\ntoken={ADMIN}\n[ -e second ] || token=c4nary-old\ntouch second\necho '{answer}'\n");
    project.configure("kube/login", login);
    proxy.decide(|_| Fate::Pass);
    apply(&project).expect_exit(0).expect_no_text(&["c4nary"]);
    assert_eq!(maps(cluster, &namespace), want(&[("a", "1")]));
    assert_eq!(about_one(&proxy, "a"), 1);
    settled(&project);
    // A token in a file is read anew.
    project.configure("kube/config", cluster.kubeconfig_at(proxy.port, "tokenFile: token"));
    project.configure("kube/token", "c4nary-old");
    declare(&project, "a", "2");
    apply(&project)
        .expect_exit(1)
        .expect_text(&["Unauthorized; the credential is missing, wrong or expired"])
        .expect_no_text(&["c4nary"]);
    project.configure("kube/token", ADMIN);
    apply(&project).expect_exit(0);
    assert_eq!(maps(cluster, &namespace), want(&[("a", "2")]));
}

/// Writes of one object that the server took.
fn about_one(proxy: &Proxy, name: &str) -> usize {
    proxy.take().iter().filter(|it| it.starts_with("PATCH ") && it.contains(&format!("/configmaps/{name}?"))).count()
}

#[test]
fn a_server_that_is_down_or_forbids_to_ask_for_kinds_halts_its_provider_alone() {
    let (proxy, namespace, project) = behind_proxy("down");
    undeclare(&project, "change");
    let file = "apiVersion: site/v1\nkind: File\nmetadata: {name: a}\nspec: {path: a.txt, content: one}\n";
    project.write("base/file.yaml", file).commit("a file");
    let down: [(fn(&Asked) -> Fate, &str); 3] = [
        (|_| Fate::Close, "slot:cluster"),
        (|_| Fate::Answer(status(500, &refusal(500, "InternalError", "etcd is gone"))), "etcd is gone"),
        (|_| Fate::Answer(status(403, &refusal(403, "Forbidden", "not for you"))), "not for you"),
    ];
    for (fate, words) in down {
        proxy.decide(fate);
        let run = project.run(&["plan", "-o", "json"]).expect_exit(1).expect_text(&[words]);
        deletes_nothing(&run.json());
    }
    project.run(&["apply", "--yes"]).expect_exit(1);
    assert_eq!(project.world()["a.txt"], "one", "the others go on");
    assert_eq!(maps(Cluster::shared(), &namespace).len(), 2);
    // Only kinds cannot be asked for: what is known of them stands.
    proxy.decide(|asked| match is_discovery(asked) {
        true => Fate::Answer(status(403, &refusal(403, "Forbidden", "not for you"))),
        false => Fate::Pass,
    });
    apply(&project).expect_exit(0);
    assert_eq!(maps(Cluster::shared(), &namespace), want(&[("keep", "same")]));
}

#[test]
fn what_stands_there_already_is_not_taken_over_whatever_the_server_does() {
    let (proxy, namespace, project) = behind_proxy("theirs");
    make(Cluster::shared(), &namespace, "come", "theirs");
    declare(&project, "come", "ours");
    // The list does not show it, as one that is older than it.
    proxy.decide(|asked| if is_list(asked) { Fate::Answer(status(200, &empty())) } else { Fate::Pass });
    let run = project.run(&["plan", "-o", "json"]);
    deletes_nothing(&run.json());
    apply(&project).expect_exit(1);
    assert_eq!(maps(Cluster::shared(), &namespace)["come"], "theirs");
}

/// A list in which nothing is.
fn empty() -> String {
    json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": { "resourceVersion": "1" }, "items": [] }).to_string()
}

#[test]
fn what_somebody_else_creates_at_the_same_moment_is_not_owned_and_never_deleted() {
    let (proxy, namespace, project) = behind_proxy("moment");
    declare(&project, "come", "ours");
    let (first, space) = (Mutex::new(true), namespace.clone());
    proxy.decide(move |asked| {
        // After our look, before our create.
        if is_write(asked) && std::mem::take(&mut *first.lock().unwrap()) {
            let body = json!({ "metadata": { "name": "come" }, "data": { "theirs": "x" } });
            let (status, answer) = Cluster::shared().post(&maps_path(&space), &body);
            assert_eq!(status, 201, "{answer}");
        }
        Fate::Pass
    });
    apply(&project).expect_exit(1).expect_text(&["was created by somebody else at the same moment"]);
    proxy.decide(|_| Fate::Pass);
    // Its mark is found, which permits to change it.
    declare(&project, "come", "newer");
    apply(&project).expect_exit(0);
    settled(&project);
    undeclare(&project, "come");
    let run = project.run(&["plan", "-o", "json"]);
    deletes_nothing(&run.json());
    apply(&project);
    let (_, object) = Cluster::shared().get(&format!("{}/come", maps_path(&namespace)));
    assert_eq!(object["data"], json!({ "k": "newer", "theirs": "x" }));
}

#[test]
fn what_a_controller_makes_anew_as_soon_as_it_is_deleted_is_another_object_and_ours_is_gone() {
    let (proxy, namespace, project) = behind_proxy("anew");
    undeclare(&project, "change");
    let (deleted, again) = (Mutex::new(false), namespace.clone());
    proxy.decide(move |asked| {
        let mut deleted = deleted.lock().unwrap();
        if asked.what.starts_with("DELETE") {
            *deleted = true;
        } else if *deleted && asked.what.starts_with("GET") && asked.what.contains("/configmaps") {
            *deleted = false;
            make(Cluster::shared(), &again, "change", "theirs");
        }
        Fate::Pass
    });
    apply(&project).expect_exit(0);
    assert_eq!(maps(Cluster::shared(), &namespace), want(&[("change", "theirs"), ("keep", "same")]));
    settled(&project);
}

#[test]
fn one_object_that_is_slow_to_go_keeps_back_none_of_those_that_are_sent_with_it() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("slow");
    let project = project_at(cluster, cluster.port(), &namespace);
    declare(&project, "first", "x");
    declare(&project, "slow", "x");
    // It goes before what it is built on: in one call with the slow one.
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last, annotations: {trueup.dev/depends-on: ConfigMap/first}}\n";
    project.write("base/last.yaml", map).commit("last");
    apply(&project).expect_exit(0);
    let path = format!("{}/slow", maps_path(&namespace));
    let hold = |finalizers: &[&str]| cluster.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": finalizers}}));
    assert_eq!(hold(&["example.com/hold"]).0, 200);
    for name in ["first", "slow", "last"] {
        undeclare(&project, name);
    }
    let left = std::thread::scope(|scope| {
        let run = scope.spawn(|| apply(&project));
        // It goes once all others have gone, or once that takes far too long.
        let until = Instant::now() + Duration::from_secs(60);
        let names = || maps(cluster, &namespace).into_keys().collect::<Vec<_>>();
        while names() != ["slow"] && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let left = names();
        assert_eq!(hold(&[]).0, 200);
        run.join().expect("it runs").expect_exit(0);
        left
    });
    assert_eq!(left, ["slow"]);
    assert_eq!(maps(cluster, &namespace), want(&[]));
    settled(&project);
}
