//! `trueup plugin test`: what it says, what it writes, what it leaves behind, and the bundled plugins under it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trueup_tests::guests::mutant;
use trueup_tests::{Project, binary};

/// A plugin's project around the honest provider of tickets, with this server; a number in it stands for the port.
fn tickets(project: &Project, server: &str) -> PathBuf {
    let folder = project.outside().join("tickets");
    fs::create_dir_all(folder.join("build")).unwrap();
    fs::write(folder.join("build/tickets.wasm"), mutant("honest")).unwrap();
    let text = format!(
        r#"apiVersion: trueup.dev/v1
kind: Plugin
metadata: {{name: tickets}}
build: {{command: ["true"], component: build/tickets.wasm}}
test:
  server: {{command: {server}}}
  config: {{server: "http://127.0.0.1:{{port}}"}}
  hosts: ["http://127.0.0.1:{{port}}"]
  credentials: {{token: {{bearer: "test-token"}}}}
  objects:
    - kind: Ticket
      name: first
      spec: {{queue: support, title: First, tags: [a, b], body: "It does not start"}}
"#
    );
    fs::write(folder.join("plugin.yaml"), text).unwrap();
    folder
}

fn ticket_server() -> String {
    format!("[\"{}\", \"{{port}}\"]", binary().with_file_name("ticket-server").display())
}

/// Outcome and detail of a check.
#[track_caller]
fn check<'a>(report: &'a Json, name: &str) -> (&'a str, &'a str) {
    let found = report["checks"].as_array().into_iter().flatten().find(|it| it["name"] == name);
    let it = found.unwrap_or_else(|| panic!("no check `{name}`: {report:#}"));
    (it["outcome"].as_str().unwrap_or_default(), it["detail"].as_str().unwrap_or_default())
}

/// Names of the checks that ended so, with their details.
fn ended(report: &Json, outcome: &str) -> Vec<String> {
    let all = report["checks"].as_array().into_iter().flatten().filter(|it| it["outcome"] == outcome);
    all.map(|it| format!("{}: {}", it["name"].as_str().unwrap_or_default(), it["detail"].as_str().unwrap_or_default())).collect()
}

fn bundled(name: &str) -> Json {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(name);
    let folder = folder.to_str().unwrap();
    let project = Project::new();
    let run = project.run(&["plugin", "test", folder, "--component", name, "-o", "json"]);
    let report = run.json();
    println!("{report:#}");
    assert_eq!((ended(&report, "failed"), run.code), (vec![], Some(0)), "{report:#}");
    report
}

#[test]
fn the_bundled_file_plugin_keeps_the_contract() {
    let report = bundled("file");
    let skipped: Vec<String> =
        ended(&report, "skipped").iter().filter_map(|it| it.split(':').next()).map(str::to_owned).collect();
    // What is about HTTP, and what takes time: it has neither.
    assert_eq!(skipped, ["answers-true", "fresh-poll", "throttled", "refused", "unknown-fields", "recorded"], "{report:#}");
}

#[test]
fn the_bundled_dns_plugin_keeps_the_contract_against_powerdns() {
    let report = bundled("dns");
    let skipped: Vec<String> =
        ended(&report, "skipped").iter().filter_map(|it| it.split(':').next()).map(str::to_owned).collect();
    assert_eq!(skipped, ["answers-true", "fresh-poll", "recorded"], "{report:#}");
}

#[test]
fn a_recording_tests_a_component_without_its_server() {
    let project = Project::new();
    let folder = tickets(&project, "[\"true\"]");
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/0.1.0/tickets-rust.jsonl");
    fs::copy(&recording, folder.join("run.jsonl")).unwrap();
    let text = fs::read_to_string(folder.join("plugin.yaml")).unwrap().replace("{port}", "18080");
    let lines: Vec<&str> = text.lines().filter(|it| !it.contains("  server:")).collect();
    fs::write(folder.join("plugin.yaml"), lines.join("\n") + "\n  recording: run.jsonl\n").unwrap();
    // The recorded build itself, and another plugin, which comes to another plan.
    let line = fs::read_to_string(&recording).unwrap().lines().find(|it| it.starts_with("{\"plugin\"")).unwrap().to_owned();
    let packed = serde_json::from_str::<Json>(&line).unwrap()["plugin"]["gz"].as_str().unwrap().to_owned();
    let unpack = "base64 -d | gzip -d > recorded.wasm";
    let mut child = Command::new("sh").args(["-c", unpack]).current_dir(&folder).stdin(Stdio::piped()).spawn().expect("a shell");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), packed.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let dir = folder.to_str().unwrap();
    let recorded = folder.join("recorded.wasm");
    let line = ["plugin", "test", dir, "--only", "recorded", "-o", "json"];
    let same = project.run(&[&line[..], &["--component", recorded.to_str().unwrap()]].concat()).expect_exit(0).json();
    assert_eq!(check(&same, "recorded").0, "passed", "{same:#}");
    let other = project.run(&line).expect_exit(1).json();
    let (outcome, detail) = check(&other, "recorded");
    assert!(outcome == "failed" && detail.contains("the plan is another one"), "{other:#}");
}

#[test]
fn a_run_of_some_checks_writes_a_report_and_a_badge_and_says_the_same_to_people() {
    let project = Project::new();
    let folder = tickets(&project, &ticket_server());
    let (report, badge) = (folder.join("report.json"), folder.join("badge.svg"));
    let arguments = ["--only", "pages", "--only", "describe-pure", "--report"].map(str::to_owned);
    let mut line = vec!["plugin".to_owned(), "test".to_owned(), folder.display().to_string()];
    line.extend(arguments);
    line.extend([report.display().to_string(), "--badge".to_owned(), badge.display().to_string()]);
    let run = project.run(&line).expect_exit(0);
    let run = run.expect_text(&["tickets 1.0.0", "describe-pure", "pages", "2 passed, 0 failed, 0 skipped in "]);
    assert!(!run.stdout.contains('\u{1b}'), "colours where nobody looks: {run}");
    let written: Json = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!((&written["format"], &written["plugin"]), (&"trueup.conformance/1".into(), &"tickets".into()));
    assert_eq!((&written["passed"], &written["failed"]), (&2.into(), &0.into()), "{written:#}");
    assert!(written["contract"].as_str().unwrap().starts_with("trueup:provider@"), "{written:#}");
    assert_eq!(written["sha256"].as_str().map(str::len), Some(64));
    assert!(fs::read_to_string(&badge).unwrap().contains(">2 checks passed</text>"));
}

#[test]
fn a_server_that_does_not_start_fails_the_checks_that_need_it_with_its_own_words() {
    let project = Project::new();
    let folder = tickets(&project, r#"["sh", "-c", "echo no such database >&2; exit 3"]"#);
    let run = project.run(&["plugin", "test", folder.to_str().unwrap(), "-o", "json"]).expect_exit(1);
    let report = run.json();
    let (outcome, detail) = check(&report, "adopt");
    assert_eq!(outcome, "failed", "{report:#}");
    assert!(detail.contains("ended before it listened") && detail.contains("no such database"), "{detail}");
    assert_eq!(check(&report, "describe-pure").0, "passed");
    assert_eq!(check(&report, "schemas-valid").0, "passed");
}

#[test]
fn what_keeps_all_checks_from_running_is_said_once_and_stands_whole_in_the_report() {
    let project = Project::new();
    let folder = tickets(&project, r#"["sh", "-c", "echo no such database >&2; exit 3"]"#);
    let report = folder.join("report.json");
    let line = ["plugin", "test", folder.to_str().unwrap(), "--report", report.to_str().unwrap()];
    let run = project.run(&line).expect_exit(1);
    assert_eq!(run.stdout.matches("no such database").count(), 1, "{run}");
    assert!(run.stdout.matches("     as above, at ").count() > 10, "{run}");
    // What is skipped is no place to look at for why something failed.
    let above: Vec<&str> = run.stdout.lines().filter_map(|it| it.trim().strip_prefix("as above, at ")).collect();
    let report: Json = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert!(above.iter().all(|it| check(&report, it).0 == "failed"), "{above:?}");
    let told = ended(&report, "failed").iter().filter(|it| it.contains("no such database")).count();
    assert!(told > 10, "{report:#}");
    // Each by itself, for who asks.
    let run = project.run(&[&line[..], &["-v"]].concat()).expect_exit(1);
    assert_eq!((run.stdout.matches("no such database").count(), run.stdout.contains("as above")), (told, false), "{run}");
}

#[test]
fn a_run_of_which_all_was_skipped_is_no_success_and_says_why() {
    let project = Project::new();
    let folder = tickets(&project, &ticket_server());
    let run = project.run(&["plugin", "test", folder.to_str().unwrap(), "--only", "recorded"]).expect_exit(1);
    run.expect_text(&["`plugin.yaml` names no recording", "0 passed, 0 failed, 1 skipped", "nothing was tested"]);
}

#[test]
fn a_server_that_refuses_the_objects_themselves_fails_every_check_that_needs_them() {
    let project = Project::new();
    let folder = tickets(&project, &ticket_server());
    let text = fs::read_to_string(folder.join("plugin.yaml")).unwrap().replace("\"test-token\"", "\"wrong-token\"");
    fs::write(folder.join("plugin.yaml"), text).unwrap();
    let report = project.run(&["plugin", "test", folder.to_str().unwrap(), "-o", "json"]).expect_exit(1).json();
    // What needs no object, and what there is no recording of.
    let skipped: Vec<String> = ended(&report, "skipped").iter().map(|it| it.chars().take(40).collect()).collect();
    assert!(skipped.iter().all(|it| it.starts_with("recorded:")), "{skipped:?}");
    for name in ["pages", "order-and-length", "answers-true", "drift", "absence", "unchanged"] {
        let (outcome, detail) = check(&report, name);
        assert!(outcome == "failed" && detail.contains("unauthorized"), "{name}: {outcome}: {detail}");
    }
}

#[test]
fn nothing_that_a_server_started_outlives_the_test() {
    let project = Project::new();
    let server = ticket_server();
    let server = server.trim_matches(['[', ']']).split(',').next().unwrap().trim_matches('"').to_owned();
    let script = format!("sleep 1000 & echo $! >> pids; echo $$ >> pids; {server} $0");
    let folder = tickets(&project, &Json::from(vec!["sh", "-c", script.as_str(), "{port}"]).to_string());
    project.run(&["plugin", "test", folder.to_str().unwrap(), "--only", "pages", "--only", "adopt"]).expect_exit(0);
    let pids = fs::read_to_string(folder.join("pids")).unwrap();
    assert!(pids.lines().count() >= 4, "{pids}");
    // Who was killed ends a moment later where the machine is busy.
    let late = Instant::now() + Duration::from_secs(10);
    for pid in pids.lines() {
        loop {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A zombie that nobody waits for has ended as well.
            if state.is_empty() || state.rsplit(')').next().is_some_and(|it| it.trim_start().starts_with('Z')) {
                break;
            }
            assert!(Instant::now() < late, "{pid} still runs: {state}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let project = Project::new();
    let folder = tickets(&project, &ticket_server());
    let folder = folder.to_str().unwrap();
    project.run(&["plugin", "test", folder, "--only", "page"]).expect_exit(64).expect_text(&[
        "no check `page`",
        "describe-pure",
        "budget",
    ]);
    fs::remove_file(Path::new(folder).join("build/tickets.wasm")).unwrap();
    project.run(&["plugin", "test", folder]).expect_exit(1).expect_text(&["build/tickets.wasm", "trueup plugin build"]);
    fs::write(
        Path::new(folder).join("plugin.yaml"),
        "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {name: tickets}\nbuild: {language: rust}\n",
    )
    .unwrap();
    project.run(&["plugin", "test", folder]).expect_exit(1).expect_text(&["has no `test`"]);
    fs::remove_file(Path::new(folder).join("plugin.yaml")).unwrap();
    project.run(&["plugin", "test", folder]).expect_exit(1).expect_text(&["plugin.yaml"]);
}
