//! The command line as people and scripts meet it: exit codes, what goes to which stream, and that every verb answers.

use std::fs;
use std::process::Command;

use serde_json::Value as Json;
use trueup_tests::{PROJECT, Project, Run};

/// Two files, applied.
fn applied() -> Project {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    project.apply();
    project
}

#[test]
fn exit_codes_tell_nothing_to_do_from_pending_failed_and_wrong_usage() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.run(&["plan"]).expect_exit(0);
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(2);
    project.apply();
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(0);
    project.declare("b", "b.txt", "two\n").commit("another");
    project.write("site/b.txt", "theirs\n");
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(1).expect_text(&["TU0600"]);
    for wrong in [
        &["plna"][..],
        &["plan", "--nonsense"],
        &["plan", "-e", "nope"],
        &["help", "nothing"],
        &["forget"],
        &["plan", "-o", "xml"],
    ] {
        let run = project.run(wrong).expect_exit(64);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("error[TU0900]: "), "{wrong:?}\n{run}");
    }
    project.run(&["plna"]).expect_text(&["'plan'"]);
}

#[test]
fn more_than_one_environment_must_be_named() {
    let project =
        Project::with(&PROJECT.replace("  prod: {layers: [base]}", "  dev: {layers: [base]}\n  prod: {layers: [base]}"));
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.run(&["plan"]).expect_exit(64).expect_text(&["-e", "dev", "prod"]);
    project.run(&["plan", "-e", "dev"]).expect_exit(0);
}

#[test]
fn a_source_that_cannot_be_reached_means_try_again() {
    let project = applied();
    let run = project.run(&["plan", "--source", "http://127.0.0.1:1/shop.git", "-o", "json"]).expect_exit(75);
    assert_eq!(run.json()["format"], "trueup.error/1", "{run}");
    assert_eq!(project.world().len(), 2);
}

#[test]
fn json_is_one_object_on_standard_output_whether_it_works_or_not() {
    let project = applied();
    let read = [
        &["plan"][..],
        &["apply", "--yes"],
        &["status"],
        &["get"],
        &["get", "File/a"],
        &["why", "File/a"],
        &["explain", "File/a"],
        &["history"],
        &["history", "--verify"],
        &["validate"],
        &["render"],
        &["plugin", "list"],
        &["plugin", "show", "file"],
        &["version"],
        &["doctor"],
        &["trust"],
        &["adopt", "--declared", "--yes"],
        &["forget", "File/b", "--yes"],
    ];
    for verb in read {
        let run = project.run(&[verb, &["-o", "json"]].concat()).expect_exit(0);
        let format = run.json()["format"].as_str().unwrap_or_else(|| panic!("{verb:?}\n{run}")).to_owned();
        assert!(format.starts_with("trueup.") && format.ends_with("/1"), "{verb:?}\n{run}");
    }
    project.run(&["destroy", "--yes", "--allow-deletes", "2", "-o", "json"]).expect_exit(0).json();
    project.write("base/bad.yaml", "a: [").commit("broken");
    for verb in [&["plan"][..], &["apply", "--yes"], &["validate"], &["render"], &["explain", "File/a"]] {
        let run = project.run(&[verb, &["-o", "json"]].concat()).expect_exit(1);
        let object = run.json();
        assert_eq!(object["diagnostics"][0]["file"], "base/bad.yaml", "{verb:?}\n{run}");
        assert!(object["diagnostics"][0]["line"].is_number() && object["diagnostics"][0]["code"].is_string(), "{verb:?}\n{run}");
    }
    let wrong = project.run(&["plan", "--nonsense", "-o", "json"]).expect_exit(64);
    assert_eq!(wrong.json()["error"]["code"], "TU0900");
}

#[test]
fn an_apply_in_json_is_one_object_and_says_when_nobody_agreed() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    let run = project.run(&["apply", "-o", "json"]).expect_exit(1);
    run.json();
    assert!(project.world().is_empty());
    project.run(&["apply", "-o", "json", "--yes"]).expect_exit(0).json();
    assert_eq!(project.world()["a.txt"], "one\n");
}

#[test]
fn a_result_goes_to_standard_output_and_everything_else_to_standard_error() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    let run = project.run(&["plan"]).expect_exit(0);
    assert!(run.stdout.contains("File/a") && run.stderr.is_empty(), "{run}");
    let run = project.run(&["apply", "--yes"]).expect_exit(0);
    assert!(run.stdout.contains("Applied: 1 done.") && run.stderr.contains('✔') && !run.stdout.contains('✔'), "{run}");
    assert_eq!(project.run(&["plan", "-o", "name"]).expect_exit(0).stdout, "");
    project.write("base/bad.yaml", "a: [").commit("broken");
    let run = project.run(&["plan"]).expect_exit(1);
    assert!(run.stdout.is_empty() && run.stderr.starts_with("error[TU"), "{run}");
}

#[test]
fn without_a_terminal_and_without_yes_the_plan_is_shown_and_nothing_is_done() {
    let project = applied();
    project.declare("a", "a.txt", "new\n").remove("base/b.yaml").commit("two changes");
    for verb in [&["apply"][..], &["apply", "--no-input"], &["destroy"], &["destroy", "--no-input"]] {
        let before = project.world();
        project.run(verb).expect_exit(1).expect_text(&["File/a", "File/b"]);
        assert_eq!(project.world(), before, "{verb:?}");
    }
}

#[test]
fn init_makes_a_project_that_plans_and_applies_and_overwrites_nothing() {
    let project = Project::new();
    let folder = project.outside().join("fresh");
    fs::create_dir(&folder).unwrap();
    let here = |arguments: &[&str]| Run::of(project.command(arguments).current_dir(&folder).output().unwrap());
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Mia", "-c", "user.email=mia@example.com"]).args(arguments).current_dir(&folder);
        assert!(command.env("HOME", project.home()).status().unwrap().success(), "git {arguments:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    here(&["init"]).expect_exit(0).expect_text(&["trueup.yaml", "base/hello.yaml", "Next: "]);
    here(&["plan"]).expect_exit(1).expect_text(&["TU0001", "commit"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "begin"]);
    here(&["plan"]).expect_exit(0).expect_text(&["File/hello", "1 to add"]);
    here(&["apply", "--yes"]).expect_exit(0);
    assert_eq!(fs::read_to_string(folder.join("site/hello.txt")).unwrap(), "Hello from dev.\n");
    git(&["diff", "--exit-code"]);
    let before = fs::read(folder.join("trueup.yaml")).unwrap();
    here(&["init"]).expect_exit(1).expect_text(&["there already"]);
    assert_eq!(fs::read(folder.join("trueup.yaml")).unwrap(), before);
    here(&["init", "--name", "Not A Name", "other"]).expect_exit(64);
}

#[test]
fn no_project_says_where_it_was_looked_for_and_what_to_do() {
    let project = Project::new();
    let run = Run::of(project.command(&["plan"]).current_dir(project.outside()).output().unwrap());
    run.expect_exit(1).expect_text(&["TU0500", "trueup init", "-C"]);
    fs::create_dir_all(project.repo().join("base/deep")).unwrap();
    project.declare("a", "a.txt", "one\n").commit("one file");
    let run = Run::of(project.command(&["plan"]).current_dir(project.repo().join("base/deep")).output().unwrap());
    run.expect_exit(0).expect_text(&["File/a"]);
    let run = Run::of(project.command(&["-C", "repo", "plan"]).current_dir(project.outside()).output().unwrap());
    run.expect_exit(0).expect_text(&["File/a"]);
}

#[test]
fn status_says_which_environment_is_behind_and_what_to_do_next() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.run(&["status"]).expect_exit(0).expect_text(&["prod"]);
    project.apply();
    let state = || {
        let status = project.run(&["status", "-o", "json"]).expect_exit(0).json();
        status["environments"][0].clone()
    };
    let now = state();
    assert_eq!((&now["name"], &now["sync"], &now["resources"]), (&"prod".into(), &"synced".into(), &1.into()), "{now}");
    project.declare("a", "a.txt", "two\n").commit("a change");
    assert_eq!(state()["sync"], "behind");
    project.run(&["status"]).expect_exit(0).expect_text(&["behind", "Next: trueup plan"]);
}

#[test]
fn a_commit_that_asks_for_nothing_else_is_not_behind_once_a_plan_said_so() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.apply();
    let sync = || project.run(&["status", "-o", "json"]).expect_exit(0).json()["environments"][0]["sync"].clone();
    project.write("README.md", "words\n").commit("words");
    assert_eq!(sync(), "behind", "nobody looked yet");
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    assert_eq!(sync(), "synced");
    project.declare("a", "a.txt", "two\n").commit("a change");
    project.run(&["plan"]).expect_exit(0);
    assert_eq!(sync(), "behind");
    // A setting that an apply would arm is something to do as well.
    project.declare("a", "a.txt", "one\n");
    let file = fs::read_to_string(project.repo().join("base/a.yaml")).unwrap();
    let protected = file.replacen("metadata: {name: a}", "metadata: {name: a, annotations: {trueup.dev/protect: \"true\"}}", 1);
    assert_ne!(file, protected);
    project.write("base/a.yaml", protected).commit("protected");
    project.run(&["plan"]).expect_exit(0).expect_text(&["TU0615"]);
    assert_eq!(sync(), "behind");
    project.apply();
    assert_eq!(sync(), "synced");
}

#[test]
fn get_lists_what_is_owned_and_shows_one_with_its_last_applied_document() {
    let project = applied();
    assert_eq!(project.run(&["get", "-o", "name"]).expect_exit(0).stdout, "File/a\nFile/b\n");
    project.run(&["get"]).expect_exit(0).expect_text(&["RESOURCE", "File/a", "a.txt"]);
    for form in ["File/a", "site:File/a"] {
        project.run(&["get", form]).expect_exit(0).expect_text(&["content: \"one\\n\"", "id: \"site:File/a\""]);
    }
    project.run(&["get", "File/aa"]).expect_text(&["File/a"]);
}

#[test]
fn why_follows_a_resource_to_the_cause() {
    let project = applied();
    project.run(&["why", "File/a"]).expect_exit(0).expect_text(&["File/a", "in sync"]);
    fs::write(project.site().join("a.txt"), "by hand\n").unwrap();
    project.run(&["why", "File/a"]).expect_exit(0).expect_text(&["spec.content"]).expect_no_text(&["in sync"]);
    project.declare("c", "c.txt", "three\n").commit("a third");
    project.write("site/c.txt", "theirs\n");
    project.run(&["why", "File/c"]).expect_exit(0).expect_text(&["TU0600"]);
    assert_ne!(project.run(&["why", "File/none"]).code, Some(0));
}

#[test]
fn why_hears_only_of_its_own_environment() {
    let second =
        "  dev: {layers: [base]}\n  prod: {layers: [base], providers: {site: {config: {root: ./prod}, dirs: [\"./prod\"]}}}";
    let project = Project::with(&PROJECT.replace("  prod: {layers: [base]}", second));
    project.declare("a", "a.txt", "one\n").commit("one file");
    for environment in ["dev", "prod"] {
        project.run(&["apply", "--yes", "-e", environment]).expect_exit(0);
    }
    let why = project.run(&["why", "-e", "dev", "File/a", "-o", "json"]).expect_exit(0).json();
    assert_eq!(why["last"]["run"], 1, "{why}");
}

#[test]
fn explain_names_file_line_layer_commit_and_author_through_layers_and_expressions() {
    let project = Project::with(&PROJECT.replace("{layers: [base]}", "{layers: [base, over], vars: {greeting: Welcome}}"));
    project.declare("a", "a.txt", "${{ vars.greeting }} to ${{ env.name }}\n").write("base/k.yaml", "").commit("the base");
    project.git(&["config", "user.name", "Noor"]);
    project
        .write("over/a.yaml", "apiVersion: site/v1\nkind: File\nmetadata: {name: a}\nspec:\n  mode: \"0640\"\n  path: b.txt\n");
    let over = project.commit("the layer above");
    let path = project.run(&["explain", "File/a", "spec.path"]).expect_exit(0);
    path.expect_text(&["b.txt", "over/a.yaml:6", "a.txt", "base/a.yaml:5", "layer over", "Noor", &over[..7], "the layer above"]);
    let content = project.run(&["explain", "File/a", "spec.content"]).expect_exit(0);
    content.expect_text(&["Welcome to prod", "vars.greeting", "base/a.yaml:6", "layer base", "Mia", "the base"]);
    project.run(&["explain", "File/a"]).expect_exit(0).expect_text(&["spec.mode", "spec.path", "spec.content"]);
    project.run(&["explain", "File/a", "spec.nope"]).expect_exit(1).expect_text(&["spec.nope"]);
}

#[test]
fn history_tells_runs_newest_first_and_notices_a_forged_one() {
    let project = applied();
    let first = project.git(&["rev-parse", "HEAD"]);
    project.declare("a", "a.txt", "two\n").commit("a change");
    project.apply();
    let history = project.run(&["history", "-o", "json"]).expect_exit(0).json();
    let runs = history["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "{history}");
    assert_eq!((&runs[0]["counts"]["update"], &runs[1]["counts"]["create"]), (&1.into(), &2.into()), "{history}");
    assert_eq!(runs[1]["revision"], first.trim());
    project.run(&["history", "--limit", "1"]).expect_exit(0).expect_text(&["1 update"]).expect_no_text(&["2 create"]);
    project.run(&["history", "--verify"]).expect_exit(0).expect_text(&["unbroken"]);
    let state = project.repo().join(".trueup/state.db");
    let (honest, forged) = (first.trim().as_bytes(), "0".repeat(40).into_bytes());
    let mut bytes = fs::read(&state).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 40).filter(|at| &bytes[*at..*at + 40] == honest).collect();
    assert!(!places.is_empty(), "the commit is on record");
    places.into_iter().for_each(|at| bytes[at..at + 40].copy_from_slice(&forged));
    fs::write(&state, bytes).unwrap();
    project.run(&["history", "--verify"]).expect_exit(1).expect_text(&["TU0800", "line 1 "]);
}

#[test]
fn an_environment_that_never_was_has_no_history_and_one_that_is_gone_keeps_its_own() {
    let project = applied();
    let wrong = ["there is no environment `prdo`", "there are prod"];
    for verb in [&["history", "-e", "prdo"][..], &["history", "1", "-e", "prdo"], &["status", "-e", "prdo"]] {
        project.run(verb).expect_exit(64).expect_text(&wrong);
    }
    project.write("trueup.yaml", PROJECT.replace("  prod:", "  dev:")).commit("another environment");
    project.run(&["history", "-e", "prod"]).expect_exit(0).expect_text(&["2 create"]);
    project.run(&["history", "-e", "dev"]).expect_exit(0).expect_text(&["nothing was applied yet"]);
}

#[test]
fn render_prints_documents_that_can_be_read_again() {
    let project = Project::with(&PROJECT.replace("{layers: [base]}", "{layers: [base], vars: {x: 'a: b'}}"));
    project.declare("a", "a.txt", "${{ vars.x }} # no comment\n").commit("one file");
    let rendered = project.run(&["render"]).expect_exit(0).stdout;
    project.write("base/a.yaml", rendered).commit("what was rendered");
    let again = project.run(&["render", "-o", "json"]).expect_exit(0).json();
    assert_eq!(again["documents"][0]["spec"]["content"], "a: b # no comment\n", "{again}");
    assert!(!project.site().exists(), "render writes nothing");
}

#[test]
fn validate_tells_every_mistake_of_every_environment_and_needs_no_state() {
    let project =
        Project::with(&PROJECT.replace("  prod: {layers: [base]}", "  dev: {layers: [base]}\n  prod: {layers: [base, gone]}"));
    project.declare("a", "a.txt", "one\n").commit("a layer is missing");
    let valid = project.run(&["validate", "-o", "json"]).expect_exit(1).json();
    let of =
        |name: &str| valid["environments"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap()["valid"].clone();
    assert_eq!((of("dev"), of("prod")), (true.into(), false.into()), "{valid}");
    project.run(&["validate"]).expect_exit(1).expect_text(&["dev: valid, 1 resource", "TU0006", "gone"]);
    project.run(&["validate", "-e", "dev"]).expect_exit(0);
}

#[test]
fn plugins_versions_completions_and_help_are_told() {
    let project = Project::new();
    project.run(&["plugin", "list"]).expect_exit(0).expect_text(&["file", "bundled"]);
    project.run(&["plugin", "show", "file"]).expect_exit(0).expect_text(&[
        "kind File",
        "kind Directory",
        "sensitiveContent",
        "path",
    ]);
    project.run(&["version"]).expect_exit(0).expect_text(&["trueup ", "contract trueup:provider@", "plugin file sha256:"]);
    for (shell, word) in [("bash", "_trueup"), ("zsh", "#compdef trueup"), ("fish", "complete -c trueup")] {
        project.run(&["completions", shell]).expect_exit(0).expect_text(&[word]);
    }
    project.run(&["help", "TU0102"]).expect_exit(0).expect_text(&["TU0102", "a key stands twice", "Remove one of them"]);
    project.run(&["help", "plan"]).expect_exit(0).expect_text(&["--detailed-exitcode", "Examples:"]);
    project.run(&["help", "TU9999"]).expect_exit(64);
}

#[test]
fn doctor_looks_at_the_machine_and_the_project() {
    let project = applied();
    let run = project.run(&["doctor"]).expect_exit(0);
    run.expect_text(&["cache", "shop, 1 environment", "source", "credentials", "trust", "state"]);
    let checks = project.run(&["doctor", "-o", "json"]).expect_exit(0).json();
    assert!(checks["checks"].as_array().unwrap().iter().all(|it| it["level"] == "ok"), "{checks}");
}

#[test]
fn colours_are_only_for_terminals_and_can_be_forced_and_forbidden() {
    let project = applied();
    project.declare("a", "a.txt", "two\n").commit("a change");
    let coloured = |arguments: &[&str], no: bool| {
        let mut command = project.command(arguments);
        if no {
            command.env("NO_COLOR", "1");
        }
        Run::of(command.output().unwrap()).expect_exit(0).stdout.contains('\u{1b}')
    };
    assert!(!coloured(&["plan"], false), "no terminal");
    assert!(!coloured(&["plan"], true));
    assert!(coloured(&["plan", "--color", "always"], false));
    assert!(!coloured(&["plan", "--color", "never"], false));
    assert!(!coloured(&["plan", "--color", "always", "-o", "json"], false), "programs read it");
}

#[test]
fn a_project_is_taken_from_a_bare_repository_without_a_checkout() {
    let project = Project::new();
    let target = project.outside().join("target");
    fs::create_dir(&target).unwrap();
    let text = PROJECT.replace("./site", target.to_str().unwrap());
    project
        .write("infra/trueup.yaml", text)
        .write("infra/base/a.yaml", trueup_tests::document("a", "a.txt", "one\n"))
        .commit("one");
    let bare = project.outside().join("bare.git");
    project.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let run = |arguments: &[&str]| {
        let source = ["--source", bare.to_str().unwrap(), "--path", "infra"];
        Run::of(project.command(&[arguments, &source].concat()).current_dir(project.home()).output().unwrap())
    };
    run(&["plan"]).expect_exit(1).expect_text(&["trueup trust", "--trust"]);
    run(&["plan", "--trust"]).expect_exit(0).expect_text(&["File/a", "1 to add"]);
    run(&["apply", "--yes", "--trust"]).expect_exit(0);
    assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "one\n");
    project.write("infra/base/a.yaml", trueup_tests::document("a", "a.txt", "two\n")).commit("two");
    project.git(&["push", "-q", bare.to_str().unwrap(), "main"]);
    run(&["apply", "--yes", "--trust"]).expect_exit(0);
    assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "two\n");
    let names: Vec<Json> =
        fs::read_dir(&bare).unwrap().map(|it| it.unwrap().file_name().to_string_lossy().into_owned().into()).collect();
    assert!(!names.contains(&".trueup".into()), "the state is the user's, not the repository's");
}

#[test]
fn state_that_came_with_a_clone_is_not_believed() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.apply();
    project.git(&["add", "-f", ".trueup"]);
    project.git(&["commit", "-q", "-m", "the state too"]);
    for arguments in [&["plan"][..], &["apply", "--yes"], &["plan", "--worktree"], &["status"]] {
        project.run(arguments).expect_exit(1).expect_text(&["TU0501", "`.trueup`", "git rm -r --cached .trueup"]);
    }
    assert_eq!(project.world()["a.txt"], "one\n");
    project.git(&["rm", "-q", "-r", "--cached", ".trueup"]);
    project.git(&["commit", "-q", "-m", "out again"]);
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn one_provider_inside_the_directory_of_another_is_refused() {
    for (dev, refused) in [("./site/sub", true), (".", true), ("./sitesub", false), ("site", false)] {
        let provider = format!("providers: {{site: {{config: {{root: \"{dev}\"}}, dirs: [\"{dev}\"]}}}}");
        let environments = format!("  dev: {{layers: [dev], {provider}}}\n  prod: {{layers: [base]}}");
        let project = Project::with(&PROJECT.replace("  prod: {layers: [base]}", &environments));
        project.declare("a", "a.txt", "one\n").write("dev/.keep", "").commit("one file");
        for environment in ["dev", "prod"] {
            let run = project.run(&["plan", "--trust", "-e", environment]);
            if refused {
                run.expect_exit(1).expect_text(&["two owners", "dev", "trueup.yaml"]);
            } else {
                run.expect_exit(0);
            }
        }
    }
}

#[test]
fn what_an_environment_owns_that_is_gone_from_the_settings_is_told_of_and_can_be_released() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.apply();
    project.write("trueup.yaml", PROJECT.replace("  prod:", "  live:")).commit("another name");
    let said = ["`prod` is gone from trueup.yaml", "trueup forget -e prod"];
    project.run(&["plan"]).expect_exit(1).expect_text(&said).expect_text(&["TU0607"]);
    project.run(&["forget", "-e", "typo", "site:*", "--yes"]).expect_exit(64).expect_text(&["no environment `typo`"]);
    project.run(&["forget", "-e", "prod", "site:*", "--yes"]).expect_exit(0).expect_text(&["File/a"]);
    project.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]).expect_no_text(&["is gone from"]);
    assert_eq!(project.world()["a.txt"], "one\n");
}

#[test]
fn a_full_plan_lists_what_is_refused_one_by_one() {
    let project = Project::new();
    for at in 0..12 {
        project.declare(&format!("f{at:02}"), &format!("{at}.txt"), "x\n");
    }
    project.declare("stays", "stays.txt", "x\n").commit("files");
    project.apply();
    for at in 0..12 {
        project.remove(&format!("base/f{at:02}.yaml"));
    }
    project.commit("most of them go");
    let run = project.run(&["plan", "--show", "full"]).expect_exit(1);
    (0..12).for_each(|at| assert!(run.stdout.contains(&format!("!    File/f{at:02} ")), "{}", run.stdout));
}

#[test]
fn two_projects_never_share_a_state() {
    let (one, two) = (Project::new(), Project::with(&PROJECT.replace("4f0c9a", "5f0c9a")));
    let state = one.outside().join("state.db");
    let shared =
        |project: &Project, arguments: &[&str]| project.run(&[arguments, &["--state", state.to_str().unwrap()]].concat());
    one.declare("a", "a.txt", "one\n").commit("one file");
    two.declare("b", "b.txt", "two\n").commit("another");
    shared(&one, &["apply", "--yes"]).expect_exit(0);
    shared(&two, &["apply", "--yes"]).expect_exit(1).expect_text(&["state of the project", "--state"]);
    shared(&one, &["plan"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn a_file_has_one_owner_however_its_directory_is_spelt() {
    let environments =
        "  dev: {layers: [dev], providers: {site: {config: {root: site}, dirs: [\"site\"]}}}\n  prod: {layers: [base]}";
    let project = Project::with(&PROJECT.replace("  prod: {layers: [base]}", environments));
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.run(&["apply", "--yes", "-e", "prod"]).expect_exit(0);
    let mine = fs::read_to_string(project.repo().join("base/a.yaml")).unwrap();
    project.write("dev/a.yaml", mine).commit("the same from elsewhere");
    project.run(&["apply", "--yes", "-e", "dev"]).expect_exit(1).expect_text(&["`prod`"]);
    project.run(&["adopt", "--declared", "--yes", "-e", "dev"]);
    project.remove("dev/a.yaml").write("dev/.keep", "").commit("gone there");
    project.run(&["apply", "--yes", "-e", "dev"]);
    assert_eq!(project.world()["a.txt"], "one\n", "what prod owns stays");
}
