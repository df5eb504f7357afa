//! A plugin that misbehaves is refused with a named reason, within its limit, and the other provider's file is written.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::{Duration, Instant};

use trueup_tests::guests::{COMPONENT, hostile, hostile_project, lock, project_file, sha256, thing};
use trueup_tests::{Project, Run, document, tree};

/// Applies everything with the rights granted for the run, within a time that only a deadline passes.
#[track_caller]
fn run(project: &Project) -> Run {
    let begun = Instant::now();
    let run = project.run(&["apply", "--yes", "--trust"]);
    assert!(begun.elapsed() < Duration::from_secs(75), "took {:?}\n{run}", begun.elapsed());
    run.expect_no_text(&["panicked"])
}

/// The misdeed fails the run with these words; the file of the other provider is written all the same.
#[track_caller]
fn isolated(mode: &str, words: &[&str]) -> Project {
    let project = hostile_project(mode, "");
    let run = run(&project).expect_exit(1).expect_text(words).expect_text(&["Thing/t", "Applied in part: 1 done"]);
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"), "{mode}\n{run}");
    assert!(!project.repo().join("evil/t.thing").exists(), "{mode}\n{run}");
    project
}

/// The misdeed is in what must be known before anything of the plugin is planned: what it has is refused under this code with
/// these words, and the file of the other provider is written all the same.
#[track_caller]
fn halted(mode: &str, render: &str, code: &str, words: &str) {
    let project = hostile_project(mode, render);
    let run = run(&project).expect_exit(1).expect_text(&[words, code, "Thing/t", "Applied in part: 1 done, 1 refused"]);
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"), "{mode} {render}\n{run}");
    assert!(!project.repo().join("evil/t.thing").exists(), "{mode} {render}\n{run}");
    let plan = project.run(&["plan", "--trust", "-o", "json"]).expect_exit(1).json();
    let refused = &plan["refused"][0];
    assert_eq!(
        (&refused["code"], &refused["id"], &refused["file"]),
        (&code.into(), &"evil:Thing/t".into(), &"base/t.yaml".into())
    );
    let history = project.run(&["history", "-o", "json"]).expect_exit(0).json();
    let newest = &history["runs"][0];
    assert_eq!((&newest["outcome"], &newest["counts"]["refused"]), (&"partial".into(), &1.into()), "{mode} {render}: {newest}");
}

#[test]
fn all_that_is_pending_is_polled_in_one_call_and_recorded_in_one_commit() {
    let project = hostile_project("apply-later", "");
    for name in ["u", "v"] {
        project.write(&format!("base/{name}.yaml"), thing(name, ""));
    }
    project.commit("three things");
    let run = project.run(&["apply", "--yes", "--trust", "-vv"]).expect_exit(0);
    assert_eq!(run.stderr.matches("attempt poll of: 3").count(), 2, "{run}");
    run.expect_no_text(&["attempt poll of: 1", "attempt poll of: 2"]);
    assert_eq!(tree(&project.repo().join("evil")).len(), 3);
    let plan = project.run(&["plan", "--trust", "-o", "json"]).expect_exit(0).json();
    assert_eq!(plan["summary"]["unchanged"].as_u64(), Some(4), "{plan}");
}

#[test]
fn what_a_document_says_of_force_and_replace_comes_to_its_plugin_with_the_change() {
    let project = hostile_project("apply-ext", "");
    let annotated = |name: &str, annotations: &str| {
        let named = format!("{{name: {name}, annotations: {{{annotations}}}}}");
        project.write(&format!("base/{name}.yaml"), thing(name, "").replace(&format!("{{name: {name}}}"), &named));
    };
    annotated("u", "trueup.dev/force: \"true\"");
    annotated("v", "trueup.dev/force: \"true\", trueup.dev/replace: create-first");
    annotated("w", "trueup.dev/replace: allow");
    project.commit("annotated");
    project.run(&["apply", "--yes", "--trust", "-vv"]).expect_exit(0).expect_text(&[
        r#"attempt ext of t: []"#,
        r#"attempt ext of u: [("force", "true")]"#,
        r#"attempt ext of v: [("force", "true"), ("replace", "create-first")]"#,
        r#"attempt ext of w: [("replace", "allow")]"#,
    ]);
}

#[test]
fn what_a_plugin_logs_is_bounded_and_forges_no_line_and_no_escape() {
    let forged = hostile_project("scan-forge-log", "").run(&["plan", "--trust", "-vv"]).expect_exit(0);
    let lines: Vec<&str> = forged.stderr.lines().filter(|it| it.contains("first") || it.contains("forged")).collect();
    assert_eq!(lines.len(), 1, "{forged}");
    assert!(lines[0].contains("second") && lines[0].contains("forged") && !lines[0].starts_with("ERROR"), "{forged}");
    assert!(!forged.stderr.contains(['\x1b', '\r', '\u{202e}']), "{forged}");
    let flood = hostile_project("scan-log", "").run(&["plan", "--trust", "-v"]).expect_exit(0);
    let lines: Vec<&str> = flood.stderr.lines().filter(|it| it.contains("xxxx")).collect();
    assert_eq!(lines.len(), 1000, "of one call");
    assert!(lines.iter().all(|it| it.len() < 9 << 10));
    assert!(flood.stderr.contains("9000 more lines were left out"));
}

#[test]
fn the_guest_that_behaves_is_applied() {
    let project = hostile_project("honest", "");
    run(&project).expect_exit(0);
    assert_eq!(fs::read_to_string(project.repo().join("evil/t.thing")).unwrap(), "x");
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"));
}

#[test]
fn a_scan_that_never_ends_is_stopped_at_its_deadline() {
    // Three of them, as all providers are asked at once: they cost one deadline, not three.
    let file = project_file("scan-loop", "http://127.0.0.1:9", "");
    let evil = file.lines().find(|it| it.trim_start().starts_with("evil:")).unwrap();
    let more: Vec<String> = ["worse", "worst"].iter().map(|alias| evil.replacen("evil:", &format!("{alias}:"), 1)).collect();
    let project = Project::with(&file.replace(evil, &format!("{evil}\n{}", more.join("\n"))));
    project.write(COMPONENT, hostile());
    project.write("trueup.lock", lock(&sha256(project.repo().join(COMPONENT))));
    project.write(".gitignore", "/site/\n/evil/\n.trueup/\n");
    project.write("base/a.yaml", document("a", "a.txt", "one"));
    for alias in ["evil", "worse", "worst"] {
        project.write(&format!("base/{alias}.yaml"), thing(alias, "").replace("evil/v1", &format!("{alias}/v1")));
    }
    fs::create_dir_all(project.repo().join("evil")).unwrap();
    project.commit("three that never end");
    let begun = Instant::now();
    let words = ["evil", "worse", "worst"].map(|it| format!("plugin `{it}` was stopped: `scan` took longer than 30 s"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = run(&project).expect_exit(1).expect_text(&words).expect_text(&["Applied in part: 1 done"]);
    assert!(begun.elapsed() < Duration::from_secs(55), "one deadline after the other: {:?}\n{run}", begun.elapsed());
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"), "{run}");
}

#[test]
fn an_apply_that_never_ends_is_stopped_at_its_deadline_and_not_asked_again() {
    let begun = Instant::now();
    isolated("apply-loop", &["TU0701", "plugin `evil` was stopped: `apply` took longer than 30 s"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "asked again: {:?}", begun.elapsed());
}

#[test]
fn a_plugin_that_ran_past_its_deadline_is_sent_nothing_more_in_the_same_run() {
    let project = hostile_project("apply-loop", "");
    // More than the two calls at a time of sixteen changes each that it takes.
    for at in 0..40 {
        project.write(&format!("base/t{at}.yaml"), thing(&format!("t{at}"), ""));
    }
    project.commit("many");
    let begun = Instant::now();
    let why = "not begun, as an earlier change of this run failed: plugin `evil` was stopped: `apply` took longer than 30 s";
    let run = run(&project).expect_exit(1).expect_text(&["TU0701", why, "Applied in part: 1 done"]);
    assert!(begun.elapsed() < Duration::from_secs(55), "another deadline: {:?}\n{run}", begun.elapsed());
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"), "{run}");
    // Nothing of it is in doubt: what was not begun is planned as if it had never been.
    assert!(tree(&project.repo().join("evil")).is_empty());
}

#[test]
#[ignore = "takes half a minute; `tests/run --long` runs it"]
fn a_render_that_never_ends_is_stopped_at_its_deadline() {
    halted("honest", "loop", "TU0701", "plugin `evil` was stopped: `render` took longer than 30 s");
}

#[test]
fn a_scan_or_an_apply_that_eats_memory_is_stopped_at_its_limit() {
    isolated("scan-memory", &["plugin `evil` was stopped: `scan` asked for more than 256 MiB of memory"]);
    isolated("apply-memory", &["plugin `evil` was stopped: `apply` asked for more than 256 MiB of memory"]);
}

#[test]
fn a_trap_and_an_endless_recursion_are_faults_of_the_plugin_alone_and_told_apart() {
    isolated("scan-trap", &["plugin `evil` crashed in `scan`: wasm trap: "]);
    isolated("apply-trap", &["TU0701", "plugin `evil` crashed in `apply`: wasm trap: "]);
    for how in ["recurse", "stack"] {
        isolated(&format!("scan-{how}"), &["plugin `evil` was stopped: `scan` recursed past the end of its stack"]);
        isolated(&format!("apply-{how}"), &["TU0701", "plugin `evil` was stopped: `apply` recursed past the end of its stack"]);
    }
}

#[test]
fn an_answer_of_one_gibibyte_is_refused_at_its_limit() {
    isolated("scan-giant", &["plugin `evil` was stopped: `scan` handed over more than 64 MiB"]);
    isolated("scan-count", &["it answered with more objects than the limit of 10000"]);
    isolated("scan-pages", &["the provider's pages do not end"]);
}

#[test]
fn nonsense_is_a_broken_contract() {
    isolated("scan-nonsense", &["broke the contract: `doc` is no JSON text"]);
    isolated("scan-deep", &["broke the contract: `doc` is no JSON text"]);
    isolated("scan-nul", &["broke the contract: `key` holds a NUL"]);
    isolated("scan-few", &["broke the contract in `scan`: 1 items were asked and 0 answered"]);
    isolated("scan-many", &["broke the contract in `scan`: 1 items were asked and 2 answered"]);
}

#[test]
fn data_of_other_resources_is_a_broken_contract() {
    isolated("scan-foreign", &["it answered with an object of a kind that its manifest does not name"]);
    isolated("apply-forge-other", &["TU0702", "it answered with an object that was not asked for"]);
}

#[test]
fn outcomes_of_the_wrong_number_or_form_are_a_broken_contract_though_a_look_settles_the_change() {
    for (mode, words) in [
        ("apply-few", "broke the contract in `apply`: 1 items were asked and 0 answered"),
        ("apply-many", "broke the contract in `apply`: 1 items were asked and 2 answered"),
        ("apply-nonsense", "the plugin broke the contract: `doc` is no JSON text"),
        ("apply-pending", "the plugin broke the contract: "),
    ] {
        let project = hostile_project(mode, "");
        let run = run(&project).expect_exit(1).expect_text(&["TU0702", "the object is as wished, but ", words]);
        assert_eq!(fs::read_to_string(project.repo().join("evil/t.thing")).unwrap(), "x", "{mode}\n{run}");
        assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"), "{mode}\n{run}");
        // The look settled it: it is owned, and there is nothing to do again.
        project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
        project.run(&["history"]).expect_exit(0).expect_text(&["failed"]);
    }
}

#[test]
fn an_outcome_that_claims_what_was_not_done_is_found_out() {
    isolated("apply-forge", &["TU0702", "the plugin says it is done, but the object is not there"]);
}

/// A project whose thing `t` was made by an honest guest, is declared with another text, and is now the business of `mode`.
fn changed_project(mode: &str) -> Project {
    let project = hostile_project("honest", "");
    run(&project).expect_exit(0);
    project.write("trueup.yaml", project_file(mode, "http://127.0.0.1:9", ""));
    project.write("base/t.yaml", thing("t", "").replace("text: x", "text: y")).commit("changed");
    project
}

#[test]
fn an_update_or_a_replacement_that_claims_what_was_not_done_is_found_out_at_every_run() {
    let words = ["TU0702", "the plugin says it is done, but `spec.text` is not what was asked for"];
    for (mode, left) in [("apply-forge", "x"), ("apply-wrong", "other"), ("apply-wrong-replace", "other")] {
        let project = changed_project(mode);
        if mode == "apply-wrong-replace" {
            // A plugin's wish to replace an object is not enough.
            run(&project).expect_exit(1).expect_text(&["TU0608", "the guest says so", "trueup.dev/replace: allow"]);
            let allowed = thing("t", "").replace("{name: t}", "{name: t, annotations: {trueup.dev/replace: allow}}");
            project.write("base/t.yaml", allowed.replace("text: x", "text: y")).commit("allowed");
        }
        for turn in 0..2 {
            // What a replacement left there is nobody's for sure, so that it is not replaced a second time without a word.
            let again = mode == "apply-wrong-replace" && turn > 0;
            run(&project).expect_exit(1).expect_text(if again { &["TU0606", "an interrupted create"] } else { &words });
            assert_eq!(fs::read_to_string(project.repo().join("evil/t.thing")).unwrap(), left, "{mode}, run {turn}");
        }
        // The change is still wanted, and an honest plugin makes it.
        project.write("trueup.yaml", project_file("honest", "http://127.0.0.1:9", "")).commit("mended");
        run(&project).expect_exit(0);
        assert_eq!(fs::read_to_string(project.repo().join("evil/t.thing")).unwrap(), "y", "{mode}");
        project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    }
}

#[test]
fn a_create_that_makes_something_else_than_it_claims_is_found_out() {
    let project = hostile_project("apply-wrong", "");
    run(&project).expect_exit(1).expect_text(&[
        "TU0702",
        "the plugin says it is done, but `spec.text` is not what was asked for",
        "Applied in part: 1 done",
    ]);
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"));
}

#[test]
fn what_a_plugin_crashes_over_when_asked_to_show_it_is_in_doubt_until_the_next_pass() {
    let words = ["TU0605", "the plugin says it is done, and looking at it failed: plugin `evil` crashed in `read`"];
    isolated("apply-forge-blind", &words);
    let project = hostile_project("read-trap", "");
    run(&project).expect_exit(1).expect_text(&words);
    assert!(project.repo().join("evil/t.thing").exists());
    // A scan shows that it was done.
    run(&project).expect_exit(0);
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn one_object_told_twice_is_a_broken_contract_and_nothing_is_deleted() {
    let project = hostile_project("honest", "");
    run(&project).expect_exit(0);
    project.write("trueup.yaml", project_file("scan-double", "http://127.0.0.1:9", "")).commit("double");
    run(&project).expect_exit(1).expect_text(&["it answered with two objects of one address"]);
    assert!(project.repo().join("evil/t.thing").exists());
}

#[test]
fn a_scope_from_which_all_is_gone_at_once_is_not_made_anew() {
    let project = hostile_project("honest", "");
    for at in 0..9 {
        project.write(&format!("base/t{at}.yaml"), thing(&format!("t{at}"), ""));
    }
    project.commit("ten things");
    run(&project).expect_exit(0);
    let before = tree(&project.repo().join("evil"));
    project.write("trueup.yaml", project_file("scan-empty", "http://127.0.0.1:9", "")).commit("empty");
    run(&project).expect_exit(1).expect_text(&["TU0604", "all 10 objects owned in evil vanished at once", "--allow-recreate"]);
    assert_eq!(tree(&project.repo().join("evil")), before);
    project.write("trueup.yaml", project_file("honest", "http://127.0.0.1:9", "")).commit("as before");
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn a_crash_after_the_change_was_made_is_settled_by_looking() {
    let project = hostile_project("apply-late-trap", "");
    run(&project).expect_exit(0);
    assert_eq!(fs::read_to_string(project.repo().join("evil/t.thing")).unwrap(), "x");
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn broken_answers_of_render_and_configure_halt_their_provider_and_no_other() {
    for (render, code, words) in [
        ("memory", "TU0701", "plugin `evil` was stopped: `render` asked for more than 256 MiB of memory"),
        ("trap", "TU0701", "plugin `evil` crashed in `render`"),
        ("recurse", "TU0701", "plugin `evil` was stopped: `render` recursed past the end of its stack"),
        ("few", "TU0702", "broke the contract in `render`: 1 items were asked and 0 answered"),
        ("many", "TU0702", "broke the contract in `render`: 1 items were asked and 2 answered"),
        ("foreign", "TU0702", "it rendered an object of a kind that its manifest does not name"),
        ("nonsense", "TU0702", "broke the contract in `render`: `doc` is no JSON text"),
        ("giant", "TU0701", "plugin `evil` was stopped: `render`"),
    ] {
        halted("honest", render, code, words);
    }
    halted("configure-trap", "", "TU0701", "plugin `evil` crashed in `configure`");
    halted("configure-fail", "", "TU0701", "plugin `evil` refuses its configuration: these settings are never right");
}

#[test]
fn a_plugin_that_fails_when_it_is_asked_for_its_say_has_its_steps_refused() {
    for (mode, code, words) in [
        ("refine-trap", "TU0701", "plugin `evil` crashed in `refine`"),
        ("refine-few", "TU0702", "broke the contract in `refine`: 1 items were asked and 0 answered"),
        ("refine-foreign", "TU0702", "broke the contract: it judged an edit that is not there"),
    ] {
        halted(mode, "", code, words);
    }
}

#[test]
fn nothing_of_a_halted_provider_is_pruned_and_it_converges_once_its_plugin_answers() {
    let project = hostile_project("honest", "");
    run(&project).expect_exit(0);
    let thing_of = |name: &str| project.repo().join(format!("evil/{name}.thing"));
    // `t` is gone from Git, `u` is new and crashes its plugin, and both providers have something to do.
    project.remove("base/t.yaml").write("base/u.yaml", thing("u", "trap"));
    project.write("base/a.yaml", document("a", "a.txt", "two")).commit("a crash");
    for _ in 0..2 {
        run(&project).expect_exit(1).expect_text(&["Thing/t", "Thing/u", "plugin `evil` crashed in `render`"]);
        assert!(thing_of("t").exists() && !thing_of("u").exists());
        assert_eq!(project.world().get("a.txt").map(String::as_str), Some("two"));
    }
    let runs = project.run(&["history", "-o", "json"]).json()["runs"].as_array().unwrap().len();
    assert_eq!(runs, 2, "a run with nothing to do and the same refusals adds nothing");
    let status = project.run(&["status", "-o", "json"]).expect_exit(0).json();
    assert_eq!(status["environments"][0]["sync"], "partial", "{status}");
    project.write("base/u.yaml", thing("u", "")).commit("mended");
    run(&project).expect_exit(0);
    assert!(!thing_of("t").exists() && thing_of("u").exists());
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    project.write("base/u.yaml", thing("u", "trap")).commit("broken again");
    // A destroy goes by what is owned and renders nothing.
    project.run(&["destroy", "--yes", "--allow-deletes", "9", "--trust"]).expect_exit(0);
    assert!(!thing_of("u").exists() && project.world().is_empty());
}

#[test]
fn documents_that_crash_their_plugin_are_not_valid() {
    let project = hostile_project("honest", "trap");
    project.run(&["validate"]).expect_exit(1).expect_text(&["TU0701", "plugin `evil` crashed in `render`"]);
    project.run(&["render"]).expect_exit(1).expect_text(&["TU0701", "plugin `evil` crashed in `render`"]);
}

#[test]
fn a_write_during_a_plan_reaches_neither_the_directory_nor_a_granted_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let project = hostile_project("honest", "");
    let rights = format!(r#", hosts: ["{origin}"]"#);
    project.write("trueup.yaml", project_file("scan-write", &origin, &rights)).commit("write");
    let begun = Instant::now();
    let mut child = project.command(&["plan", "--trust"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut methods = Vec::new();
    loop {
        let ended = child.try_wait().unwrap();
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut bytes = [0; 4096];
            let len = stream.read(&mut bytes).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
            methods.push(text.split(' ').next().unwrap_or_default().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
        if ended.is_some() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the plan does not end; {methods:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(methods.iter().all(|it| it == "GET"), "{methods:?}");
    assert!(tree(&project.repo().join("evil")).is_empty(), "a plan writes nothing");
}

#[test]
fn hosts_that_nobody_granted_are_never_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let project = hostile_project("honest", "");
    for mode in ["scan-hosts", "scan-write", "scan-smuggle"] {
        project.write("trueup.yaml", project_file(mode, &origin, "")).commit(mode);
        run(&project).expect_exit(0);
        assert!(listener.accept().is_err(), "{mode} came through");
    }
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"));
}

/// How many datagrams came since the last time.
fn datagrams(server: &UdpSocket) -> usize {
    let mut buffer = [0; 512];
    std::iter::from_fn(|| server.recv(&mut buffer).ok()).count()
}

#[test]
fn a_zone_is_changed_within_apply_at_a_granted_server_and_with_no_key_of_the_plugins() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let origin = format!("dns://{}", server.local_addr().unwrap());
    let project = hostile_project("honest", "");
    let right = format!(", dns: [\"{origin}\"]");
    let elsewhere = "`dns://127.0.0.1:9` is not granted; add it to `dns` of the provider";
    let own_key = "the message is signed with a key that is not its own to use";
    project.write("trueup.yaml", project_file("scan-dns", &origin, &right)).commit("planning");
    project.run(&["trust"]).expect_text(&[&format!("send DNS messages to {origin}")]);
    project.run(&["plan", "--trust", "-o", "json"]).expect_exit(0).expect_text(&[
        "TU0703",
        "was refused `dns` in its `scan`: UPDATE changes a zone and is refused outside `apply`",
        elsewhere,
        own_key,
    ]);
    run(&project).expect_exit(0);
    assert_eq!(datagrams(&server), 0, "nothing leaves while planning");
    project.write("trueup.yaml", project_file("apply-dns", &origin, &right));
    project.write("base/t2.yaml", thing("t2", "")).commit("applying");
    run(&project).expect_exit(0).expect_text(&[elsewhere, own_key, "no credential fills the slot `no-such-slot`"]);
    assert_eq!(datagrams(&server), 1, "the one UPDATE that apply may send");
    project.write("trueup.yaml", project_file("apply-dns", &origin, ""));
    project.write("base/t3.yaml", thing("t3", "")).commit("without the right");
    run(&project).expect_exit(0).expect_text(&[&format!("`{origin}` is not granted")]);
    assert_eq!(datagrams(&server), 0, "without a grant nothing leaves at all");
}

#[test]
fn what_a_plan_refuses_is_named_with_the_plugin_the_function_and_the_rule() {
    for (mode, words) in [
        (
            "scan-write",
            &["was refused `files` in its `scan`: files are changed within `apply` only", "was refused `http` in its `scan`"][..],
        ),
        (
            "scan-outside",
            &[
                "was refused `files` in its `scan`: the path has an empty part, `.` or `..`",
                "`/etc/passwd` is in no granted directory",
            ],
        ),
        (
            "scan-hosts",
            &[
                "`https://ungranted.example` is not granted",
                "`http://169.254.169.254` is not granted",
                "a URL carries no user name or password",
            ],
        ),
        ("scan-reveal", &["was refused `secrets` in its `scan`: secrets are opened within `apply` only"]),
    ] {
        let project = hostile_project(mode, "");
        project
            .run(&["plan", "--trust", "-o", "json"])
            .expect_exit(0)
            .expect_text(&["TU0703", "provider `evil`"])
            .expect_text(words);
        assert!(tree(&project.repo().join("evil")).is_empty(), "{mode}: a plan writes nothing");
    }
}

#[test]
fn an_apply_writes_nothing_outside_its_directory_and_nothing_under_a_foreign_token() {
    let project = hostile_project("apply-outside", "");
    let elsewhere = project.outside().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("secret"), "mine\n").unwrap();
    symlink(&elsewhere, project.repo().join("evil/link")).unwrap();
    let run = run(&project).expect_text(&[
        "TU0703",
        "provider `evil` was refused `files` in its `apply`: the path has an empty part, `.` or `..`",
        "`/etc/passwd` is in no granted directory",
        "the token is not one of the changes that were asked for",
    ]);
    assert_eq!(tree(&elsewhere).into_iter().collect::<Vec<_>>(), [("secret".to_owned(), "mine\n".to_owned())], "{run}");
    let evil = tree(&project.repo().join("evil"));
    assert_eq!(evil.keys().map(String::as_str).collect::<Vec<_>>(), ["link", "t.thing"], "{run}");
    for path in ["outside", "escape", "repo/outside", "repo/escape", "x"] {
        assert!(!project.outside().join(path).exists(), "{path}\n{run}");
    }
    assert_eq!(project.world().keys().map(String::as_str).collect::<Vec<_>>(), ["a.txt"]);
}

#[test]
fn secrets_that_were_not_granted_are_refused_by_name_of_the_right() {
    let project = hostile_project("apply-steal", "");
    run(&project).expect_text(&["TU0703", "was refused `secrets` in its `apply`", "a secret that it was not granted"]);
}

#[test]
fn an_untrusted_project_runs_nothing_until_its_rights_are_granted_and_asks_again_when_they_change() {
    let project = hostile_project("honest", "");
    let refused = |project: &Project| {
        project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0501", "`trueup trust` shows and records them"]);
    };
    refused(&project);
    assert!(project.world().is_empty() && !project.repo().join("evil/t.thing").exists());
    project.run(&["trust", "--yes"]).expect_exit(0).expect_text(&[COMPONENT]);
    project.apply();
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one"));
    // Another right is another question, and so is another plugin.
    let rights = r#", hosts: ["https://example.com"]"#;
    project.write("trueup.yaml", project_file("honest", "https://example.com", rights)).commit("one right more");
    refused(&project);
    project.run(&["trust", "--yes"]).expect_exit(0).expect_text(&["https://example.com"]);
    // Another server is another place: what it owns is released, and claimed there.
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0506", "acts on https://example.com"]);
    project.run(&["forget", "evil:*", "--yes"]).expect_exit(0);
    project.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
    project.apply();
    let mut other = hostile().to_vec();
    // An empty custom section of the name `x`: still a component, of another digest.
    other.extend_from_slice(&[0, 2, 1, b'x']);
    project.write(COMPONENT, &other).write("trueup.lock", lock(&sha256(project.repo().join(COMPONENT)))).commit("another plugin");
    refused(&project);
}

#[test]
fn a_plugin_that_is_not_what_the_lock_pins_is_refused_whatever_was_granted() {
    let project = hostile_project("honest", "");
    project.run(&["trust", "--yes"]).expect_exit(0);
    let mut other = hostile().to_vec();
    other.extend_from_slice(&[0, 2, 1, b'x']);
    project.write(COMPONENT, &other).commit("another plugin");
    for arguments in [&["apply", "--yes"][..], &["apply", "--yes", "--trust"]] {
        let words = ["TU0503", "provider `evil`: plugin `./evil.wasm` is sha256", "`trueup.lock` pins sha256"];
        project.run(arguments).expect_exit(1).expect_text(&words).expect_text(&["trueup plugin upgrade ./evil.wasm"]);
    }
    project.remove("trueup.lock").commit("no lock");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(1).expect_text(&["TU0503", "is not pinned in `trueup.lock`"]);
    assert!(project.world().is_empty(), "nothing may be written");
}
