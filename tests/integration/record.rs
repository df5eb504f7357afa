//! A run kept in a file, and the same run again from it: without its server, its credentials and its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trueup_tests::servers::pdns::{API_KEY, Pdns};
use trueup_tests::{Project, Run, binary};

const SECRET: &str = "c4nary \"Xyzzy\"/Plugh7+Quux3";

/// Files, one of them with a secret, and records of a zone that PowerDNS serves.
fn project(port: u16) -> Project {
    let project = Project::with(&format!(
        "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}\nproviders:\n  \
         site: {{plugin: file, config: {{root: ./site}}, dirs: [\"./site\"], secrets: [db]}}\n  dns: {{plugin: dns, config: {{flavor: \
         powerdns, server: \"http://127.0.0.1:{port}\"}}, hosts: [\"http://127.0.0.1:{port}\"], credential: server}}\n\
         environments:\n  prod: {{layers: [base]}}\n"
    ));
    project.configure("key", API_KEY);
    project.configure("db", SECRET);
    let credential = format!("server: {{origins: [\"http://127.0.0.1:{port}\"], header: {{X-API-Key: {{file: key}}}}}}");
    project.configure("credentials.yaml", format!("credentials:\n  {credential}\nsecrets: {{db: {{file: db}}}}\n"));
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

/// A replay as on another machine: in an empty folder, with nobody's settings.
fn replaying(elsewhere: &Path, file: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().env("HOME", elsewhere).env("TMPDIR", elsewhere).env("PATH", std::env::var("PATH").unwrap());
    command.current_dir(elsewhere).arg("replay").arg(file).args(more);
    command
}

fn replay(file: &Path, more: &[&str]) -> Run {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = replaying(elsewhere.path(), file, more);
    let run = Run::of(command.output().unwrap());
    let left: Vec<PathBuf> = fs::read_dir(elsewhere.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(left.iter().all(|it| it.ends_with(".cache")), "a replay leaves nothing behind: {left:?}");
    run
}

/// The lines of a recording, the last of which says no more what stands before it: they may be changed.
fn lines(file: &Path) -> Vec<Json> {
    let mut lines: Vec<Json> = fs::read_to_string(file).unwrap().lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let end = lines.last_mut().unwrap()["end"].as_object_mut().unwrap();
    assert!(end.remove("lines").is_some() && end.remove("sha256").is_some());
    lines
}

fn written(project: &Project, name: &str, lines: &[Json]) -> PathBuf {
    let file = project.outside().join(name);
    fs::write(&file, lines.iter().map(|it| format!("{it}\n")).collect::<String>()).unwrap();
    file
}

/// As a recording packs it.
fn packed(text: &str) -> String {
    let packed = Command::new("sh").args(["-c", &format!("printf '%s' '{text}' | gzip | base64 -w0")]).output().unwrap();
    String::from_utf8(packed.stdout).unwrap()
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
    let seeds = lines(&file).iter().filter(|it| it["call"]["import"] == "random").count();
    assert!(seeds >= 2, "each instance of a plugin draws from a seed of its own: {seeds}");
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
    let lines = lines(&file);
    let write = |name: &str, lines: &[Json]| written(&project, name, lines);
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
fn what_a_secret_was_before_is_cut_and_what_a_replay_needs_as_it_is_must_hold_none() {
    let server = Pdns::start();
    server.zone("example.test");
    let project = project(port(&server));
    let old = "older-0ne/Xk81+";
    project.configure("db", old);
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    project.configure("db", SECRET);
    let file = project.outside().join("run.jsonl");
    let record = ["plan", "--trust", "--record", file.to_str().unwrap()];
    project.run(&record).expect_exit(0).expect_text(&["1 to change"]);
    holds_no_secret(&file);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("older-0ne") && !text.contains("Xk81"), "the old value is in the recording");
    let digest = Command::new("sh").args(["-c", &format!("printf '%s' 'user:{old}@host' | sha256sum | cut -c1-64")]).output();
    let digest = String::from_utf8(digest.unwrap().stdout).unwrap();
    assert!(!text.contains(digest.trim()), "the old value's digest is in the recording");
    replay(&file, &[]).expect_exit(0);
    // Somebody wrote a line of their own into it.
    fs::remove_file(&file).unwrap();
    project.write("site/db/password.txt", "user:someone-elses@host");
    project.run(&record).expect_exit(0);
    assert!(!fs::read_to_string(&file).unwrap().contains("someone-elses"), "what stands in a secret's place is in the recording");
    replay(&file, &[]).expect_exit(0);
    // The environment is called as the secret is: nothing could be found again without it.
    fs::remove_file(&file).unwrap();
    project.configure("db", "example.test.prod");
    project.run(&["plan", "--trust", "--record", file.to_str().unwrap()]).expect_exit(0);
    fs::remove_file(&file).unwrap();
    project.configure("db", "environments");
    let run = project.run(&record).expect_exit(1).expect_text(&["TU0616", "the secret `db` stands in `trueup.yaml`"]);
    run.expect_no_text(&["internal"]);
    assert!(!file.exists());
}

#[test]
fn what_is_no_recording_is_refused_and_a_secret_that_cannot_be_cut_is_not_recorded() {
    let server = Pdns::start();
    server.zone("example.test");
    let project = project(port(&server));
    let file = project.outside().join("run.jsonl");
    project.configure("db", "abc");
    let run = project.run(&["plan", "--trust", "--record", file.to_str().unwrap()]).expect_exit(1);
    run.expect_text(&["TU0616", "the secret `db` is shorter than 6 bytes"]);
    assert!(!file.exists());
    project.configure("db", SECRET);
    project.run(&["plan", "--trust", "--record", file.to_str().unwrap()]).expect_exit(0);
    let text = fs::read_to_string(&file).unwrap();
    let cut = project.outside().join("cut.jsonl");
    fs::write(&cut, &text[..text.len() / 2]).unwrap();
    let run = replay(&cut, &[]).expect_exit(1).expect_text(&["TU0616", "no whole recording", "help: copy it again whole"]);
    run.expect_no_text(&["at line", "column"]);
    fs::write(&cut, "").unwrap();
    replay(&cut, &[]).expect_exit(1).expect_text(&["first line", "record the run anew"]);
    fs::write(&cut, [0_u8, 1, 0xff]).unwrap();
    replay(&cut, &[]).expect_exit(1).expect_text(&["first line", "record the run anew"]);
    // A line less.
    let less: Vec<&str> = text.lines().enumerate().filter(|it| it.0 != 2).map(|it| it.1).collect();
    fs::write(&cut, less.join("\n")).unwrap();
    replay(&cut, &[]).expect_exit(1).expect_text(&["TU0616", "lines before its last one, and has"]);
    replay(&project.outside().join("none.jsonl"), &[]).expect_exit(1).expect_text(&[
        "TU0616",
        "No such file",
        "name a file that",
    ]);
    // A recording that wants more than it holds gets nothing of this machine, nor of a network.
    let mut lines: Vec<Json> = lines(&file).into_iter().filter(|it| it["file"]["path"] != "trueup.yaml").collect();
    replay(&written(&project, "none.jsonl", &lines), &[])
        .expect_exit(1)
        .expect_text(&["TU0616", "there is no trueup.yaml in it"]);
    let settings = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: shop, id: 4f0c9a000000000000000000000000aa}\nproviders:\n  \
                    site: {plugin: /etc/passwd, dirs: [/etc]}\nenvironments:\n  prod: {layers: [base]}\n";
    lines.insert(1, serde_json::json!({"file": {"path": "trueup.yaml", "gz": packed(settings)}}));
    replay(&written(&project, "cut.jsonl", &lines), &[])
        .expect_exit(1)
        .expect_text(&["TU0700", "the recording does not hold `/etc/passwd`"]);
    replay(&file, &["--plugin", "other=x.wasm"]).expect_exit(64).expect_text(&["no plugin `other`", "dns"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_wrong_with_a_recording_is_told_of_its_file_and_is_no_wrong_usage() {
    let project = Project::new();
    project.declare("a", "a.txt", "one").commit("a file");
    project.apply();
    let file = project.outside().join("run.jsonl");
    project.run(&["plan", "--record", file.to_str().unwrap()]).expect_exit(0);
    replay(&file, &[]).expect_exit(0);
    let mut other = lines(&file);
    other[0]["recording"]["environment"] = "nowhere".into();
    let run = replay(&written(&project, "other.jsonl", &other), &[]).expect_exit(1);
    run.expect_text(&["TU0616", "other.jsonl", "it is of the environment `nowhere`", "the project in it has", "= help: "]);
    for (name, bytes) in [("garbage", "this is no database"), ("empty", ""), ("torn", "SQLite format 3")] {
        let mut damaged = lines(&file);
        let state = damaged.iter_mut().find(|it| it["state"].is_object()).unwrap();
        state["state"]["gz"] = packed(bytes).into();
        let path = written(&project, &format!("{name}.jsonl"), &damaged);
        let run = replay(&path, &[]).expect_exit(1);
        run.expect_text(&["TU0616", &format!("the state in `{}`", path.display()), "= help: "])
            .expect_no_text(&["trueup-replay", "adopt"]);
    }
}

#[test]
fn a_recording_holds_what_its_own_environment_owns_and_no_document_of_another() {
    let text = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: shop, id: 4f0c9a000000000000000000000000aa}\nproviders:\n  \
                site: {plugin: file, config: {root: ./site}, dirs: [\"./site\"]}\nenvironments:\n  prod: {layers: [base]}\n  \
                staging: {layers: [other]}\n";
    let project = Project::with(text);
    let file = |name: &str, text: &str| trueup_tests::document(name, &format!("{name}.txt"), text);
    project.write("base/a.yaml", file("a", "words of prod")).write("other/b.yaml", file("b", "words of staging"));
    project.commit("two environments");
    for environment in ["prod", "staging"] {
        project.run(&["apply", "--yes", "-e", environment]).expect_exit(0);
    }
    // Both declare it now, and one of them has it.
    project.write("base/b.yaml", file("b", "words of prod")).commit("one too many");
    let record = project.outside().join("run.jsonl");
    project.run(&["plan", "-e", "prod", "--record", record.to_str().unwrap()]).expect_exit(1).expect_text(&["staging"]);
    let recorded = lines(&record);
    let gz = recorded.iter().find_map(|it| it["state"]["gz"].as_str()).unwrap();
    let state = Command::new("sh").args(["-c", &format!("printf %s '{gz}' | base64 -d | gunzip")]).output().unwrap().stdout;
    let holds = |text: &str| state.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(holds("words of prod") && holds("File/b") && !holds("words of staging"));
    replay(&record, &[]).expect_exit(0).expect_text(&["The plan is the same"]);
}

#[test]
fn a_signal_ends_a_replay_and_leaves_nothing_behind() {
    // Its component is compiled first, for as long as it takes to send a signal.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/0.1.0/tickets-go.jsonl");
    let elsewhere = tempfile::tempdir().unwrap();
    let staged = || {
        let all = fs::read_dir(elsewhere.path()).unwrap().flatten();
        all.filter(|it| it.file_name().to_string_lossy().starts_with("trueup-")).count()
    };
    for signal in ["TERM", "INT"] {
        let mut command = replaying(elsewhere.path(), &file, &[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while staged() == 0 {
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "it was laid out nowhere");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        assert_eq!(staged(), 0, "{signal}");
        // The next one compiles anew.
        let _ = fs::remove_dir_all(elsewhere.path().join(".cache"));
    }
}
