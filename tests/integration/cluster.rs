//! A kubeconfig's users at a real API server, through the engine: which login is shown, when it is got anew, and who is named.
//!
//! The plugin is the guest of the tests, which sends one request to the credential in its slot and tells how the answer begins.

use std::fs;

use trueup_tests::guests::{hostile_project, project_file, thing};
use trueup_tests::kubernetes::{ADMIN, Cluster, VIEWER};
use trueup_tests::{Project, Run};

/// A project whose guest asks for `path`, as the user with these fields; `more` are further keys of the credential's entry.
fn project(mode: &str, path: &str, user: &str, more: &str) -> Project {
    let project = hostile_project("honest", "");
    project.write("trueup.yaml", project_file(mode, path, ", credential: cluster")).commit("a cluster");
    project.configure("kube/config", Cluster::shared().kubeconfig_of(user));
    project.configure("credentials.yaml", format!("credentials: {{cluster: {{kubeconfig: {{file: kube/config}}{more}}}}}\n"));
    project
}

fn plan(project: &Project) -> Run {
    project.run(&["plan", "--trust", "-vv"]).expect_exit(0).expect_no_text(&["c4nary"])
}

#[test]
fn a_real_server_believes_each_user_of_a_kubeconfig() {
    let cluster = Cluster::shared();
    let name = cluster.namespace("users");
    let path = format!("/api/v1/namespaces/{name}");
    for user in [format!("token: {ADMIN}"), "tokenFile: token".to_owned(), cluster.certificate()] {
        let project = project("scan-cluster", &path, &user, "");
        project.configure("kube/token", format!("{ADMIN}\n"));
        plan(&project).expect_text(&["attempt cluster GET: Ok((200, ", &format!(r#"\"name\":\"{name}\""#)]);
    }
    let viewer = plan(&project("scan-cluster", &path, &format!("token: {VIEWER}"), ""));
    viewer.expect_text(&["attempt cluster GET: Ok((403, ", r#"User \\\"viewer\\\" cannot get resource"#]);
}

#[test]
fn a_change_is_made_within_apply_and_refused_before_it() {
    let cluster = Cluster::shared();
    let name = cluster.namespace("apply");
    let path = format!("/api/v1/namespaces/{name}/configmaps");
    let project = project("apply-cluster", &path, &cluster.certificate(), "");
    project.run(&["apply", "--yes", "--trust", "-vv"]).expect_exit(0).expect_text(&["attempt cluster POST: Ok((201, "]);
    let (_, found) = cluster.get(&path);
    assert!(found["items"].as_array().unwrap().iter().any(|it| it["metadata"]["name"] == "from-the-guest"), "{found}");
}

#[test]
fn a_token_that_the_server_refuses_is_got_anew_once_and_the_change_is_made() {
    let cluster = Cluster::shared();
    let name = cluster.namespace("renewed");
    let path = format!("/api/v1/namespaces/{name}/configmaps");
    let exec = "exec: {command: sh, args: [login], apiVersion: client.authentication.k8s.io/v1}";
    let project = project("apply-cluster", &path, exec, ", exec: [sh]");
    let folder = project.config().join("kube");
    let login = folder.join("login").display().to_string();
    let exec = exec.replace("[login]", &format!("['{login}']"));
    project.configure("kube/config", cluster.kubeconfig_of(&exec));
    // The first token is nobody's, as one that was taken back.
    let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'$token'"}}"#;
    let script = format!("cd $(dirname $0)\ntoken=c4nary-old\n[ -e runs ] && token={ADMIN}\necho run >> runs\necho '{answer}'\n");
    project.configure("kube/login", script);
    let runs = || fs::read_to_string(folder.join("runs")).map_or(0, |it| it.lines().count());
    let run = project.run(&["apply", "--yes", "--trust", "-vv"]).expect_exit(0).expect_no_text(&["c4nary"]);
    run.expect_text(&["attempt cluster POST: Ok((201, "]);
    assert_eq!(runs(), 2, "one for the old token, one after the 401");
    // Asked for once in a run, and not for each request.
    project.write("base/u.yaml", thing("u", "")).commit("another");
    let run = project.run(&["apply", "--yes", "--trust", "-vv"]).expect_exit(0);
    run.expect_text(&["attempt cluster POST: Ok((409, "]);
    assert_eq!(runs(), 3);
}

#[test]
fn a_login_that_is_refused_or_not_to_be_had_is_named_with_its_file_context_and_user() {
    let path = "/api/v1/namespaces";
    let refused = project("scan-cluster", path, "token: c4nary-nobodys", "");
    let file = refused.config().join("kube/config").display().to_string();
    let whose = format!("context `test` of `{file}`, user `ann`");
    plan(&refused).expect_text(&[
        "attempt cluster GET: Ok((401, ",
        &format!("the server refused credential `cluster` ({whose}) with 401; log in there again"),
    ]);
    let absent = project("scan-cluster", path, "tokenFile: none", "");
    plan(&absent).expect_text(&[
        "attempt cluster GET: Err(",
        "credential `cluster`: context `test`",
        "kube/none` cannot be read",
    ]);
    let doctor = absent.run(&["doctor", "-o", "json"]).expect_exit(0);
    doctor.expect_text(&["user `ann` at https://127.0.0.1:"]);
    absent.run(&["trust", "--yes"]).expect_exit(0);
    absent.run(&["doctor"]).expect_exit(1).expect_text(&["credential `cluster`: context `test`", "kube/none` cannot be read"]);
    // Judged before anything runs.
    let program = project("scan-cluster", path, "exec: {command: c4t, apiVersion: client.authentication.k8s.io/v1}", "");
    program.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["`cluster` of the credentials", "write `exec: [c4t]` there"]);
}

#[test]
fn a_server_that_was_killed_is_found_again_at_its_place() {
    let mut cluster = Cluster::start();
    let name = cluster.namespace("kept");
    cluster.kill();
    assert!(cluster.try_ask("GET", "/readyz", ADMIN, &[], None).is_none());
    cluster.resume();
    let (status, found) = cluster.get(&format!("/api/v1/namespaces/{name}"));
    assert_eq!((status, found["metadata"]["name"].as_str()), (200, Some(&*name)));
    assert_eq!(cluster.get("/version").1["minor"], "35");
}
