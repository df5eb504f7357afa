//! What somebody meets who has the README and the binary: examples that hold, commands that can be typed as shown, words that
//! are true.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use trueup_tests::{PROJECT, Project, Run, document, mode};

/// One file `a.txt` and one `b.txt`, applied.
fn applied() -> Project {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    project.apply();
    project
}

/// The YAML examples of the README, in order.
fn examples() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    readme.split("```yaml\n").skip(1).map(|it| it.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_example_of_the_readme_is_valid_and_does_what_it_says() {
    let examples = examples();
    let project = Project::with(&examples[0]);
    project.write("base/motd.yaml", &examples[1]).write("envs/prod/motd.yaml", &examples[2]).commit("as the README says");
    project.run(&["validate"]).expect_exit(0).expect_text(&["dev: valid, 1 resource", "prod: valid, 1 resource"]);
    project.run(&["apply", "-e", "prod", "--yes"]).expect_exit(0);
    project.run(&["apply", "-e", "dev", "--yes"]).expect_exit(0);
    let prod = project.repo().join("prod/etc/motd");
    assert_eq!(fs::read_to_string(&prod).unwrap(), "Welcome to prod\n");
    assert_eq!(mode(&prod), 0o600);
    assert_eq!(project.world()["etc/motd"], "Hello to dev\n");
}

#[test]
fn the_credentials_of_the_readme_are_read() {
    let project = applied();
    let example = examples().into_iter().find(|it| it.starts_with("secrets:")).unwrap();
    let file = project.outside().join("credentials.yaml");
    fs::write(&file, example).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    project.run(&["doctor", "--credentials", file.to_str().unwrap()]).expect_text(&["credentials  the project names none"]);
}

#[test]
fn a_verbose_plan_says_where_one_credential_serves_for_looking_and_for_writing() {
    let origin = "http://127.0.0.1:9";
    let settings = |credential: &str| {
        let zone = format!(
            "  zone: {{plugin: dns, config: {{flavor: powerdns, server: \"{origin}\"}}, hosts: [\"{origin}\"], credential: {credential}}}"
        );
        PROJECT.replace("providers:\n", &format!("providers:\n{zone}\n"))
    };
    let project = Project::with(&settings("key"));
    let operators = |name: &str, text: &str| {
        let file = project.outside().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let key = operators("key", "a key\n");
    let entry = format!("{{origins: [\"{origin}\"], header: {{X-API-Key: {{file: {key}}}}}}}");
    let credentials = operators("credentials.yaml", &format!("credentials:\n  key: {entry}\n  other: {entry}\n"));
    project.declare("a", "a.txt", "one\n").commit("nothing in any zone");
    let plan = |more: &[&str]| project.run(&[&["plan", "--trust", "--credentials", &credentials], more].concat()).expect_exit(0);
    let says = "provider `zone` reads and writes with one credential, `key`: ";
    plan(&["-v"]).expect_text(&[says]);
    plan(&[]).expect_no_text(&[says]);
    project.write("trueup.yaml", settings("{read: key, write: other}")).commit("two of them");
    plan(&["-v"]).expect_no_text(&["one credential"]);
}

#[test]
fn doctor_names_the_secrets_that_are_missing_and_the_file_that_is_not_there() {
    let settings = PROJECT.replace("dirs: [\"./site\"]", "dirs: [\"./site\"], secrets: [db]");
    let project = Project::with(&settings);
    project.declare("a", "a.txt", "one\n").commit("a project with a secret");
    project.run(&["doctor"]).expect_exit(1).expect_text(&[
        "there is no secret `db`: the file `",
        "credentials.yaml` does not exist",
        "trueup help credentials",
    ]);
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0501", "learn the secret `db`"]);
    project.run(&["trust", "--yes"]).expect_exit(0);
    project.run(&["trust", "--revoke"]).expect_exit(0);
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0501"]);
}

#[test]
fn the_number_of_allowed_deletions_is_an_upper_limit() {
    let project = applied();
    project.declare("c", "c.txt", "c\n").declare("d", "d.txt", "d\n").commit("four");
    project.apply();
    project.remove("base/a.yaml").remove("base/b.yaml").commit("two fewer");
    project.run(&["plan", "--allow-deletes", "0"]).expect_exit(1).expect_text(&["TU0602"]);
    project.run(&["apply", "--allow-deletes", "1", "--yes"]).expect_exit(1).expect_text(&["TU0602", "--allow-deletes 2"]);
    assert_eq!(project.world().len(), 4, "nothing went");
    project.run(&["apply", "--allow-deletes", "2", "--yes"]).expect_exit(0);
    assert_eq!(project.world().len(), 2);
}

#[test]
fn a_file_that_vanished_while_its_path_changed_has_one_entry_and_the_next_plan_is_empty() {
    let project = applied();
    fs::remove_file(project.site().join("a.txt")).unwrap();
    project.declare("a", "deep/moved.txt", "one\n").commit("move it");
    project.apply();
    assert_eq!(project.world()["deep/moved.txt"], "one\n");
    assert_eq!(project.run(&["get", "-o", "name"]).stdout.matches("File/a\n").count(), 1);
    assert!(project.plan()["steps"].as_array().unwrap().is_empty(), "{}", project.plan());
}

#[test]
fn protection_that_was_lifted_together_with_a_move_says_how_to_go_on() {
    let project = Project::new();
    let protected =
        document("a", "a.txt", "one\n").replace("{name: a}", "{name: a, annotations: {trueup.dev/protect: \"true\"}}");
    project.write("base/a.yaml", protected).declare("b", "b.txt", "b\n").commit("protected");
    project.apply();
    project.declare("a", "moved.txt", "one\n").commit("lift and move");
    project.run(&["plan"]).expect_exit(1).expect_text(&["last applied", "take the other change back"]);
    project.declare("a", "a.txt", "one\n").commit("lift only");
    project.apply();
    project.declare("a", "moved.txt", "one\n").commit("now move");
    project.apply();
    assert!(project.world().contains_key("moved.txt"));
}

#[test]
fn what_cannot_be_written_to_standard_output_is_an_error() {
    let project = applied();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = project.command(&["plan"]).stdout(Stdio::from(full)).output().unwrap();
    let run = Run::of(output).expect_exit(1);
    assert!(run.stderr.contains("the result could not be written"), "{run}");
}

#[test]
fn the_command_to_type_next_has_the_options_that_were_given() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n");
    project.git(&["commit", "-q", "--allow-empty", "-m", "empty"]);
    let state = project.outside().join("state.db");
    let (repo, state) = (project.repo(), state.to_str().unwrap().to_owned());
    let line = ["plan", "-C", repo.to_str().unwrap(), "--state", &state, "--worktree", "--allow-deletes", "3"];
    let plan = Run::of(project.command(&line).current_dir(project.outside()).output().unwrap()).expect_exit(0);
    let next = plan.stdout.split("\nNext: ").nth(1).unwrap_or_else(|| panic!("{plan}")).replace(" \\\n", " ");
    // From here, as that is shorter.
    for part in ["-C repo", "--state state.db", "--worktree", "--allow-deletes 3"] {
        assert!(next.contains(part), "{part}: {next}");
    }
    let words: Vec<&str> = next.split_whitespace().skip(1).collect();
    Run::of(project.command(&words).current_dir(project.outside()).output().unwrap()).expect_exit(0);
    assert_eq!(project.world()["a.txt"], "one\n");
}

#[test]
fn a_state_that_cannot_be_looked_at_is_not_an_empty_one_and_no_folder_is_made_for_it() {
    let project = applied();
    let missing = project.outside().join("none/s.db");
    for verb in ["plan", "status", "get", "history", "apply"] {
        project.run(&[verb, "--state", missing.to_str().unwrap()]).expect_exit(1).expect_text(&["TU0800", "--state"]);
    }
    assert!(!project.outside().join("none").exists());
    // A file where its folder should be.
    let below = project.repo().join("trueup.yaml/s.db");
    project.run(&["status", "--state", below.to_str().unwrap()]).expect_exit(1).expect_text(&["TU0800"]);
}

#[test]
fn a_run_on_record_says_what_it_did_to_which_object_and_who_it_was() {
    let project = applied();
    project.declare("a", "a.txt", "changed\n").remove("base/b.yaml").commit("change one, drop one");
    project.apply();
    project.run(&["history"]).expect_exit(0).expect_text(&["trueup history 2"]).expect_no_text(&["unknown"]);
    let run = project.run(&["history", "2"]).expect_exit(0);
    for (resource, action) in [("site:File/a", "update"), ("site:File/b", "delete")] {
        let line = run.stdout.lines().find(|it| it.starts_with(resource)).unwrap_or_else(|| panic!("{run}"));
        assert!(line.contains(action) && line.contains("settled"), "{line}");
    }
    let object = project.run(&["history", "2", "-o", "json"]).expect_exit(0).json();
    assert_eq!((&object["format"], object["steps"].as_array().unwrap().len()), (&"trueup.run/1".into(), 2), "{object}");
    project.run(&["history", "99"]).expect_exit(64).expect_text(&["no run 99"]);
}

#[test]
fn a_bare_name_will_do_where_one_resource_has_it() {
    let project = applied();
    project.run(&["get", "a"]).expect_exit(0).expect_text(&["site:File/a"]);
    project.run(&["why", "b"]).expect_exit(0).expect_text(&["File/b in prod"]);
    project.run(&["get", "nope"]).expect_exit(1).expect_text(&["nope"]);
}

#[test]
fn a_clean_tree_has_nothing_uncommitted_whatever_revision_is_looked_at() {
    let project = applied();
    project.declare("a", "a.txt", "newer\n").commit("newer");
    project.run(&["plan", "--rev", "HEAD~1"]).expect_exit(0).expect_no_text(&["not committed"]);
    project.declare("a", "a.txt", "newest\n");
    project.run(&["plan", "--rev", "HEAD~1"]).expect_exit(0).expect_text(&["not committed", "base/a.yaml"]);
}

#[test]
fn a_file_over_the_limit_is_told_by_its_size_and_not_as_missing() {
    let project = Project::new();
    let file = project.repo().join("big.bin");
    fs::File::create(&file).unwrap().set_len((64 << 20) + 1).unwrap();
    project.write("base/a.yaml", document("a", "a.txt", "x").replace("content: \"x\"", "source: big.bin"));
    project
        .run(&["validate", "--worktree"])
        .expect_exit(1)
        .expect_text(&["TU0005", "67108864 bytes"])
        .expect_no_text(&["TU0305"]);
}

#[test]
fn explain_follows_a_value_into_the_settings_and_names_the_file_that_a_document_copies() {
    let settings = PROJECT.replace("{layers: [base]}", "\n    layers: [base]\n    vars:\n      greeting: Hello\n");
    let project = Project::with(&settings);
    project.declare("a", "a.txt", "${{ vars.greeting }}!").write("files/b.txt", "two\n");
    project.write("base/b.yaml", document("b", "b.txt", "x").replace("content: \"x\"", "source: files/b.txt")).commit("both");
    let line = settings.lines().position(|it| it.contains("greeting")).unwrap() + 1;
    project
        .run(&["explain", "a", "spec.content"])
        .expect_exit(0)
        .expect_text(&["spec.content  Hello! ", &format!("reads vars.greeting ← trueup.yaml:{line}")]);
    let object = project.run(&["explain", "a", "spec.content", "-o", "json"]).expect_exit(0).json();
    let variable = serde_json::json!({"name": "greeting", "file": "trueup.yaml", "line": line});
    assert_eq!(object["fields"][0]["variables"], serde_json::json!([variable]), "{object}");
    project.run(&["explain", "b", "spec.source"]).expect_exit(0).expect_text(&["spec.source  files/b.txt "]);
}

#[test]
fn an_empty_revision_is_wrong_usage() {
    applied().run(&["plan", "--rev", ""]).expect_exit(64).expect_text(&["--rev is empty"]);
}

#[test]
fn drift_that_is_left_alone_is_counted_and_nobody_promises_to_heal_it() {
    let project = Project::with(&PROJECT.replace("{layers: [base]}", "{layers: [base], drift: warn}"));
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    project.apply();
    project.write("site/a.txt", "by hand\n");
    project.run(&["plan"]).expect_exit(0).expect_text(&["2 resources, 0 to change, 1 drifted and left"]);
    project.run(&["why", "File/a"]).expect_exit(0).expect_text(&["its `drift` setting"]).expect_no_text(&["Next: trueup apply"]);
    project.run(&["status"]).expect_exit(0).expect_no_text(&["heals it"]);
}
