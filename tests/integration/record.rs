//! A run kept in a file, and the same run again from it: without its server, its credentials and its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use trueup_tests::servers::pdns::{API_KEY, Pdns};
use trueup_tests::{Project, Run, binary};

const SECRET: &str = "c4nary \"Xyzzy\"/Plugh7+Quux3";

fn own(project: &Project, name: &str, text: &str) {
    let folder = project.home().join(".config/trueup");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Files, one of them with a secret, and records of a zone that PowerDNS serves.
fn project(port: u16) -> Project {
    let project = Project::with(&format!(
        "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}\nproviders:\n  \
         site: {{plugin: file, config: {{root: ./site}}, dirs: [\"./site\"], secrets: [db]}}\n  dns: {{plugin: dns, config: {{flavor: \
         powerdns, server: \"http://127.0.0.1:{port}\"}}, hosts: [\"http://127.0.0.1:{port}\"], credential: server}}\n\
         environments:\n  prod: {{layers: [base]}}\n"
    ));
    own(&project, "key", API_KEY);
    own(&project, "db", SECRET);
    let credential = format!("server: {{origins: [\"http://127.0.0.1:{port}\"], header: {{X-API-Key: {{file: key}}}}}}");
    own(&project, "credentials.yaml", &format!("credentials:\n  {credential}\nsecrets: {{db: {{file: db}}}}\n"));
    let file = |name: &str, spec: &str| format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    project.write(
        "base/password.yaml",
        file("password", "{path: db/password.txt, sensitiveContent: \"user:${{ secret('db') }}@host\"}"),
    );
    project.write("base/plain.yaml", file("plain", "{path: plain.txt, content: hello}"));
    project.write("files/logo", [0xff_u8, 0, 1, 2].as_slice());
    project.write("base/logo.yaml", file("logo", "{path: logo.bin, source: files/logo}"));
    project.write("base/www.yaml", record("192.0.2.1"));
    project.commit("all of it");
    project
}

fn port(server: &Pdns) -> u16 {
    server.origin().rsplit(':').next().unwrap().parse().unwrap()
}

fn record(address: &str) -> String {
    format!(
        "apiVersion: dns/v1\nkind: RecordSet\nmetadata: {{name: www}}\nspec: {{zone: example.test, name: www, type: A, values: [{address}]}}\n"
    )
}

/// Replays as on another machine: from an empty folder, with nobody's settings.
fn replay(file: &Path, more: &[&str]) -> Run {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.env_clear().env("HOME", elsewhere.path()).env("TMPDIR", elsewhere.path()).env("PATH", std::env::var("PATH").unwrap());
    command.current_dir(elsewhere.path()).arg("replay").arg(file).args(more);
    let run = Run::of(command.output().unwrap());
    let left: Vec<PathBuf> = fs::read_dir(elsewhere.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(left.iter().all(|it| it.ends_with(".cache")), "a replay leaves nothing behind: {left:?}");
    run
}

#[track_caller]
fn holds_no_secret(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    for part in [SECRET, "c4nary", "Xyzzy", "Plugh7", "Quux3", API_KEY] {
        assert!(!text.contains(part), "{part} is in the recording");
    }
}

#[test]
fn an_apply_replays_to_the_same_plan_and_outcome_without_its_server_or_folder() {
    let server = Pdns::start();
    server.zone("example.test");
    let project = project(port(&server));
    let file = project.outside().join("run.jsonl");
    let name = file.to_str().unwrap();
    project.run(&["apply", "--yes", "--trust", "--record", name]).expect_exit(0).expect_text(&["recorded in"]);
    holds_no_secret(&file);
    // A second one, onto drift, over what is owned by now.
    fs::write(project.site().join("plain.txt"), "drifted").unwrap();
    project.write("base/www.yaml", record("192.0.2.7")).commit("another address");
    let second = project.outside().join("second.jsonl");
    let run = project.run(&["apply", "--yes", "--trust", "--record", second.to_str().unwrap(), "-o", "json"]).expect_exit(0);
    let digest = run.json()["plan"].clone();
    holds_no_secret(&second);
    drop(server);
    let moved = tempfile::tempdir().unwrap();
    for (file, steps) in [(&file, "4 steps"), (&second, "2 steps")] {
        let here = moved.path().join("r.jsonl");
        fs::copy(file, &here).unwrap();
        replay(&here, &[]).expect_exit(0).expect_text(&["The plan is the same", "answered", steps]);
    }
    let replayed = replay(&second, &["-o", "json"]).expect_exit(0).json();
    assert_eq!((&replayed["same"], &replayed["digest"]), (&Json::Bool(true), &digest), "{replayed:#}");
    assert!(replayed["answered"].as_u64().unwrap() > 3, "{replayed:#}");
}

#[test]
fn a_replay_shows_where_it_parted() {
    let server = Pdns::start();
    server.zone("example.test");
    let project = project(port(&server));
    let file = project.outside().join("run.jsonl");
    project.run(&["plan", "--trust", "--record", file.to_str().unwrap()]).expect_exit(0);
    let lines: Vec<Json> = fs::read_to_string(&file).unwrap().lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let write = |name: &str, lines: &[Json]| {
        let other = project.outside().join(name);
        fs::write(&other, lines.iter().map(|it| format!("{it}\n")).collect::<String>()).unwrap();
        other
    };
    // A call that is not there.
    let is_http = |it: &Json| it["call"]["import"] == "http";
    assert!(lines.iter().any(is_http));
    let without: Vec<Json> = lines.iter().filter(|it| !is_http(it)).cloned().collect();
    let run = replay(&write("without.jsonl", &without), &[]).expect_exit(1);
    run.expect_text(&["It parted where `dns` asked http", "nothing of the kind", "The plan is another one"]);
    // An answer that is another one.
    let mut other = lines.clone();
    for line in other.iter_mut().filter(|it| is_http(it)) {
        let text = line["call"]["answer"].to_string().replace("example.test.", "example.other.");
        line["call"]["answer"] = serde_json::from_str(&text).unwrap();
    }
    replay(&write("other.jsonl", &other), &[]).expect_exit(1).expect_text(&["The plan is another one", "no longer needed"]);
}

#[test]
fn what_is_no_recording_is_refused_and_a_secret_that_cannot_be_cut_is_not_recorded() {
    let server = Pdns::start();
    server.zone("example.test");
    let project = project(port(&server));
    let file = project.outside().join("run.jsonl");
    own(&project, "db", "abc");
    let run = project.run(&["plan", "--trust", "--record", file.to_str().unwrap()]).expect_exit(1);
    run.expect_text(&["TU0616", "the secret `db` is shorter than 4 bytes"]);
    assert!(!file.exists());
    own(&project, "db", SECRET);
    project.run(&["plan", "--trust", "--record", file.to_str().unwrap()]).expect_exit(0);
    let text = fs::read_to_string(&file).unwrap();
    let cut = project.outside().join("cut.jsonl");
    fs::write(&cut, &text[..text.len() / 2]).unwrap();
    replay(&cut, &[]).expect_exit(1).expect_text(&["TU0616", "no whole recording"]);
    fs::write(&cut, "").unwrap();
    replay(&cut, &[]).expect_exit(1).expect_text(&["first line"]);
    replay(&project.outside().join("none.jsonl"), &[]).expect_exit(1).expect_text(&["TU0616", "No such file"]);
    // A recording that wants more than it holds gets nothing of this machine, nor of a network.
    let lines: Vec<Json> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let mut lines: Vec<Json> = lines.into_iter().filter(|it| it["file"]["path"] != "trueup.yaml").collect();
    let settings = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: shop, id: 4f0c9a000000000000000000000000aa}\nproviders:\n  \
                    site: {plugin: /etc/passwd, dirs: [/etc]}\nenvironments:\n  prod: {layers: [base]}\n";
    let packed =
        Command::new("sh").args(["-c", &format!("printf '%s' '{settings}' | gzip | base64 -w0")]).output().unwrap().stdout;
    let packed = String::from_utf8(packed).unwrap();
    lines.insert(1, serde_json::json!({"file": {"path": "trueup.yaml", "gz": packed}}));
    fs::write(&cut, lines.iter().map(|it| format!("{it}\n")).collect::<String>()).unwrap();
    replay(&cut, &[]).expect_exit(1).expect_text(&["TU0700", "the recording does not hold `/etc/passwd`"]);
    replay(&file, &["--plugin", "other=x.wasm"]).expect_exit(64).expect_text(&["no plugin `other`", "dns"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}
