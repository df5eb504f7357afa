//! What Secrets hold is for the cluster alone: not for the state, not for any output, not for a plan that goes into a review.

use std::fs;
use std::path::Path;

use serde_json::json;
use trueup_tests::Run;

use super::shop::Shop;

/// Values, as text and as manifests have them in Base64.
const VALUES: [&str; 5] = ["canary-0ne", "canary-tw0", "canary-thr3e", "canary-d4ifted", "canary-r0tated"];
const BASE64: [&str; 5] =
    ["Y2FuYXJ5LTBuZQ==", "Y2FuYXJ5LXR3MA==", "Y2FuYXJ5LXRocjNl", "Y2FuYXJ5LWQ0aWZ0ZWQ=", "Y2FuYXJ5LXIwdGF0ZWQ="];

/// No value stands in what a run said.
#[track_caller]
fn tells_nothing(run: Run) -> Run {
    run.expect_no_text(&VALUES).expect_no_text(&BASE64)
}

/// No value stands in any file of a folder.
#[track_caller]
fn holds_nothing(folder: &Path) -> usize {
    let mut todo = vec![folder.to_path_buf()];
    let mut files = 0;
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().flatten().map(|it| it.path()));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for value in VALUES.iter().chain(&BASE64) {
            let found = bytes.windows(value.len()).any(|it| it == value.as_bytes());
            assert!(!found, "`{value}` stands in {}", path.display());
        }
        files += 1;
    }
    files
}

fn with_secret(name: &str) -> Shop {
    let shop = Shop::with(name, ", secrets: [db]");
    shop.project.configure("db", VALUES[2]);
    let credentials = "credentials: {cluster: {kubeconfig: {file: kube/config}}}\nsecrets: {db: {file: db}}\n";
    shop.project.configure("credentials.yaml", credentials);
    shop
}

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: db}
data:
  one: Y2FuYXJ5LTBuZQ==
  binary: /wBjYW5hcnk=
stringData:
  two: canary-tw0
  three: ${{ secret('db') }}
  url: postgres://app:${{ secret('db') }}@db/app
";

#[test]
fn values_of_a_secret_are_nowhere_but_in_git_and_in_the_cluster() {
    let shop = with_secret("canary");
    shop.declare("db", SECRET);
    let folder = shop.project.outside().join("out");
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let say = |arguments: &[&str]| tells_nothing(shop.run(arguments));
    let every = |round: &str| {
        say(&["plan", "--trust", "--show", "full", "-vv"]);
        say(&["plan", "--trust", "-o", "json", "--out", &file(&format!("plan-{round}.json"))]);
        say(&["plan", "--trust", "--record", &file(&format!("record-{round}"))]);
        say(&["render"]);
        say(&["validate", "-o", "json"]);
        say(&["explain", "Secret/db"]);
    };
    every("new");
    tells_nothing(shop.run(&["apply", "--yes", "--trust", "-vv"])).expect_exit(0);
    shop.settled();
    let path = "/api/v1/namespaces/NS/secrets/db";
    let data = shop.get(path)["data"].clone();
    assert_eq!((&data["one"], &data["two"], &data["three"]), (&json!(BASE64[0]), &json!(BASE64[1]), &json!(BASE64[2])));
    assert_eq!(data["binary"], "/wBjYW5hcnk=");
    // Somebody else changes one value and adds another.
    shop.patch(path, "merge-patch", &json!({"data": {"one": BASE64[3], "theirs": BASE64[3]}}));
    assert_eq!(shop.changes(), ["update Secret/db stringData.one drift"]);
    every("drift");
    tells_nothing(shop.run(&["apply", "--yes", "--trust", "-vv", "--record", &file("applied")])).expect_exit(0);
    shop.settled();
    assert_eq!(shop.get(path)["data"]["one"], BASE64[0]);
    for verb in
        [&["history"][..], &["history", "-o", "json"], &["get", "-o", "json"], &["status"], &["why", "Secret/db", "--trust"]]
    {
        say(verb);
    }
    assert!(holds_nothing(&folder) >= 5, "plans and recordings");
    assert!(holds_nothing(&shop.project.repo().join(".trueup")) >= 1);
    // Gone from Git: what goes is not told either.
    shop.withdraw("db");
    say(&["plan", "--trust", "--show", "full", "-vv", "--out", &file("plan-gone.json")]);
    tells_nothing(shop.run(&["apply", "--yes", "--trust", "-vv", "--allow-deletes", "1"])).expect_exit(0);
    assert!(!shop.exists(path));
    holds_nothing(&shop.project.repo().join(".trueup"));
    holds_nothing(&folder);
}

#[test]
fn a_secret_of_the_engine_that_is_as_it_was_is_no_change_and_a_rotated_one_is() {
    let shop = with_secret("rotated");
    shop.declare(
        "db",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: \"${{ secret('db') }}\", user: app}\n",
    );
    shop.apply_settled();
    shop.project.configure("db", VALUES[4]);
    let plan = tells_nothing(shop.plan()).expect_exit(0).expect_text(&["stringData.password", "(secret changed)"]);
    assert!(!plan.stdout.contains("stringData.user"), "{plan}");
    shop.apply_settled();
    assert_eq!(shop.get("/api/v1/namespaces/NS/secrets/db")["data"]["password"], BASE64[4]);
}

#[test]
fn a_value_in_git_as_plain_text_is_warned_about_where_it_stands_and_an_expression_is_not() {
    let shop = with_secret("warned");
    shop.declare("plain", "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\nstringData:\n  other: ''\n  two: canary-tw0\n");
    for verb in [&["plan", "--trust"][..], &["validate"]] {
        let told = tells_nothing(shop.run(verb)).expect_exit(0);
        let told = told.expect_text(&["warning[TU0304]", "`stringData.two` is a secret that stands in Git as plain text"]);
        let told = told.expect_text(&["base/plain.yaml:6:3", "write `${{ secret('name') }}` under `stringData`"]);
        assert!(!told.stderr.contains("stringData.other"), "{told}");
    }
    let found = shop.plan_json()["diagnostics"][0].clone();
    assert_eq!((&found["severity"], &found["line"]), (&json!("warning"), &json!(6)), "{found}");
    // Once it is applied, too: the file is not read again, and the value still stands in it.
    shop.apply();
    shop.plan().expect_text(&["warning[TU0304]"]);
    let quiet = "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\ndata: {}\nstringData: {three: \"${{ secret('db') }}\"}\n---\n\
                 apiVersion: v1\nkind: Secret\nmetadata: {name: none}\ntype: Opaque\n";
    shop.declare("plain", quiet);
    shop.plan().expect_exit(0).expect_no_text(&["TU0304"]);
    shop.apply_settled();
}

#[test]
fn what_is_wrong_with_a_secret_is_told_without_its_value() {
    let shop = with_secret("wrong");
    let secret = |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: wrong}}\n{rest}\n");
    for (rest, want) in [
        ("data: {k: canary-0ne}", "is no Base64; write plain text under `stringData`"),
        ("data: {k: \"${{ secret('db') }}\"}", "write `k` under `stringData`"),
        ("stringData: {k: [canary-0ne]}", "stringData.k"),
    ] {
        shop.declare("wrong", &secret(rest));
        tells_nothing(shop.plan()).expect_exit(1).expect_text(&[want]);
    }
    // What only the server finds.
    shop.declare("wrong", &secret("type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: canary-0ne}"));
    tells_nothing(shop.run(&["apply", "--yes", "--trust", "-vv"])).expect_exit(1).expect_text(&["cannot apply Secret", "data"]);
    shop.declare("wrong", &secret("stringData: {'not a key': canary-0ne}"));
    tells_nothing(shop.run(&["apply", "--yes", "--trust", "-vv"])).expect_exit(1).expect_text(&["cannot apply Secret"]);
    holds_nothing(&shop.project.repo().join(".trueup"));
}

#[test]
fn what_the_reader_and_expressions_find_in_a_secret_is_told_without_its_lines() {
    let shop = with_secret("unread");
    // Which kinds the cluster has is known from then on.
    shop.declare("right", SECRET).plan().expect_exit(0);
    let secret = |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: wrong}}\n{rest}\n");
    for (rest, code) in [
        ("stringData: {k: canary-0ne, k: canary-tw0}", "TU0102"),
        ("stringData:\n  k: \"canary-0ne", "TU0100"),
        ("stringData:\n  k: canary-0ne: canary-tw0", "TU0100"),
        ("stringData:\n  url: \"postgres://app:canary-0ne@${{ vars.host }}/x\"", "TU0402"),
        ("stringData:\n  url: \"canary-0ne${{ vars. }}\"", "TU0400"),
    ] {
        shop.declare("wrong", &secret(rest));
        let told = tells_nothing(shop.run(&["validate"])).expect_exit(1);
        told.expect_text(&[code, "base/wrong.yaml:"]);
    }
    for (metadata, code) in [("name: x, owner: me", "TU0301"), ("name: 'a b'", "TU0108")] {
        let line = format!("{{apiVersion: v1, kind: Secret, metadata: {{{metadata}}}, stringData: {{k: canary-0ne}}}}\n");
        shop.declare("wrong", &line);
        tells_nothing(shop.run(&["validate"])).expect_exit(1).expect_text(&[code, "base/wrong.yaml:1:"]);
    }
}

#[test]
fn a_secret_that_kubectl_applied_is_taken_over_without_a_word_of_its_copy() {
    let shop = with_secret("copied");
    let mut object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "db", "namespace": "NS", "annotations": {}},
        "data": {"one": BASE64[0], "two": BASE64[1]}
    });
    let copy = object.to_string();
    object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = copy.into();
    shop.post("/api/v1/namespaces/NS/secrets?fieldManager=kubectl-client-side-apply", &object);
    let manifest = |rest: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\ntype: Opaque\nstringData:\n  one: canary-0ne\n{rest}")
    };
    shop.declare("db", &manifest("  two: canary-thr3e\n"));
    tells_nothing(shop.plan()).expect_exit(1);
    let adopted = tells_nothing(shop.run(&["adopt", "--declared", "--yes", "--trust", "-vv"])).expect_exit(0);
    adopted.expect_text(&["stringData.two", "(secret changed)"]);
    tells_nothing(shop.apply());
    shop.settled();
    let path = "/api/v1/namespaces/NS/secrets/db";
    assert_eq!(shop.get(path)["data"]["two"], BASE64[2]);
    shop.declare("db", &manifest("")).apply_settled();
    assert_eq!(shop.get(path)["data"], json!({"one": BASE64[0]}));
    assert_eq!(shop.plan_json()["refused"], json!([]));
    holds_nothing(&shop.project.repo().join(".trueup"));
    // A type is fixed; the server cannot be asked in a plan, and it is told nevertheless.
    shop.declare("db", &manifest("").replace("Opaque", "example.com/other"));
    tells_nothing(shop.plan()).expect_exit(1).expect_text(&["`type`: field is immutable", "trueup.dev/replace: allow"]);
}

#[test]
fn kubectls_copy_of_a_secret_in_git_is_neither_shown_nor_kept_nor_applied() {
    let shop = with_secret("dumped");
    // As `kubectl get secret -o yaml` writes it.
    let copy = json!({"apiVersion": "v1", "kind": "Secret", "data": {"one": BASE64[0]}, "metadata": {"name": "db"}}).to_string();
    let dump = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"one": BASE64[0]},
        "metadata": {
            "name": "db", "uid": "a", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": copy}
        }
    });
    shop.declare("db", &dump.to_string());
    tells_nothing(shop.plan()).expect_exit(0).expect_text(&["warning[TU0304]", "it is kubectl's copy of the whole Secret"]);
    for verb in [&["render"][..], &["render", "-o", "json"], &["validate"], &["explain", "Secret/db"]] {
        tells_nothing(shop.run(verb)).expect_exit(0);
    }
    tells_nothing(shop.run(&["apply", "--yes", "--trust", "-vv"])).expect_exit(0);
    shop.settled();
    let object = shop.get("/api/v1/namespaces/NS/secrets/db");
    assert_eq!((&object["data"]["one"], &object["metadata"]["annotations"]), (&json!(BASE64[0]), &json!(null)));
    holds_nothing(&shop.project.repo().join(".trueup"));
}
