//! What a plan decides: who owns an object, what is refused, what is drift, and that an apply does exactly that plan.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value as Json, json};
use trueup_tests::{PROJECT, Project, Run, document};

/// A `File` document with annotations, one `key: "value"` each.
fn annotated(name: &str, path: &str, content: &str, annotations: &str) -> String {
    let head = format!("{{name: {name}, annotations: {{{annotations}}}}}");
    document(name, path, content).replace(&format!("{{name: {name}}}"), &head)
}

/// A project with one file `a.txt`, applied.
fn one_file() -> Project {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.apply();
    project
}

fn actions(plan: &Json) -> Vec<(&str, &str)> {
    plan["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|it| (it["action"].as_str().unwrap(), it["resource"].as_str().unwrap()))
        .collect()
}

fn codes(plan: &Json) -> Vec<(&str, &str)> {
    plan["refused"]
        .as_array()
        .expect("refused")
        .iter()
        .map(|it| (it["code"].as_str().unwrap(), it["resource"].as_str().unwrap()))
        .collect()
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").ino()
}

#[test]
fn a_provider_that_is_gone_while_it_owns_objects_is_an_error_that_names_them() {
    let project = Project::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        project.declare(name, &format!("{name}.txt"), "text");
    }
    project.commit("six files");
    project.apply();
    project.git(&["rm", "-q", "-r", "base"]);
    let other =
        PROJECT.replace("  site: {plugin: file, config: {root: ./site}", "  other: {plugin: file, config: {root: ./site}");
    project.write("base/x.yaml", document("x", "x.txt", "text").replace("site/v1", "other/v1")).write("trueup.yaml", other);
    project.commit("another provider");
    for command in [&["plan"][..], &["apply", "--yes", "--allow-deletes", "9"]] {
        let run = project.run(command).expect_exit(1).expect_text(&["TU0504", "the provider `site` is gone"]);
        run.expect_text(&["File/a, File/b, File/c, File/d, File/e and 1 more", "trueup forget"]);
    }
    let world = project.world();
    assert!(world.contains_key("a.txt") && !world.contains_key("x.txt"), "{world:?}");
    // With the provider back, its objects are its own again.
    project.write("trueup.yaml", PROJECT).remove("base/x.yaml").declare("a", "a.txt", "text").commit("back");
    project.run(&["apply", "--yes", "--allow-deletes", "9"]).expect_exit(0);
    assert_eq!(project.world().keys().collect::<Vec<_>>(), ["a.txt"]);
}

#[test]
fn an_existing_file_is_a_conflict_even_where_it_is_equal_and_its_neighbours_converge() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    project.write("site/a.txt", "one\n");
    let plan = project.plan();
    assert_eq!(codes(&plan), [("TU0600", "File/a")], "{plan}");
    assert_eq!(plan["refused"][0]["file"], "base/a.yaml");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0600", "trueup adopt"]);
    assert_eq!(project.world()["b.txt"], "two\n");
    project.remove("base/a.yaml").commit("drop a");
    project.apply();
    assert_eq!(project.world()["a.txt"], "one\n", "what was never owned is never deleted");
}

#[test]
fn the_adopt_annotation_claims_a_file_and_brings_it_to_what_is_declared() {
    let project = Project::new();
    project.write("base/a.yaml", annotated("a", "a.txt", "mine\n", r#"trueup.dev/adopt: "true""#)).commit("adopt");
    project.write("site/a.txt", "theirs\n");
    let plan = project.plan();
    assert_eq!(actions(&plan), [("adopt", "File/a")], "{plan}");
    let content =
        plan["steps"][0]["changes"].as_array().unwrap().iter().find(|it| it["path"] == "spec.content").expect("the difference");
    assert_eq!((&content["before"], &content["after"]), (&json!("theirs\n"), &json!("mine\n")), "{plan}");
    project.apply();
    assert_eq!(project.world()["a.txt"], "mine\n");
    project.remove("base/a.yaml").declare("z", "z.txt", "z\n").commit("drop a");
    project.apply();
    assert_eq!(project.world().keys().collect::<Vec<_>>(), ["z.txt"], "what was adopted is owned");
}

#[test]
fn adopt_declared_shows_the_differences_and_claims_what_exists_but_makes_nothing_new() {
    let project = Project::new();
    project.declare("a", "a.txt", "mine\n").declare("new", "new.txt", "new\n").commit("two files");
    project.write("site/a.txt", "theirs\n");
    let asked = project.run(&["adopt", "--declared"]).expect_exit(1).expect_text(&["theirs", "mine", "--yes"]);
    assert_eq!(project.world()["a.txt"], "theirs\n", "{asked}");
    project.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
    assert!(!project.world().contains_key("new.txt"), "adopting is not applying");
    project.apply();
    assert_eq!(project.world(), [("a.txt", "mine\n"), ("new.txt", "new\n")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

#[test]
fn a_protected_file_is_neither_deleted_nor_replaced() {
    let project = Project::new();
    let protect = r#"trueup.dev/protect: "true""#;
    project.write("base/a.yaml", annotated("a", "a.txt", "one\n", protect)).declare("b", "b.txt", "b\n").commit("protected");
    project.apply();
    project.write("base/a.yaml", annotated("a", "moved.txt", "one\n", protect)).commit("move it");
    assert_eq!(codes(&project.plan()), [("TU0601", "File/a")]);
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0601"]);
    project.remove("base/a.yaml").commit("drop it");
    project.run(&["apply", "--yes", "--allow-deletes", "9"]).expect_exit(1).expect_text(&[
        "TU0601",
        "protected",
        "trueup forget",
    ]);
    project.run(&["destroy", "--yes", "--allow-deletes", "9"]).expect_exit(1).expect_text(&["TU0601"]);
    assert_eq!(project.world().keys().collect::<Vec<_>>(), ["a.txt"]);
}

#[test]
fn what_is_not_to_be_pruned_is_released_and_its_file_stays() {
    let project = Project::new();
    project.write("base/a.yaml", annotated("a", "a.txt", "one\n", r#"trueup.dev/prune: "false""#)).declare("b", "b.txt", "b\n");
    project.commit("two files");
    project.apply();
    project.remove("base/a.yaml").commit("drop a");
    assert_eq!(actions(&project.plan()), [("forget", "File/a")]);
    project.apply();
    assert_eq!(project.world()["a.txt"], "one\n");
    let owned = project.run(&["get", "-o", "name"]).expect_exit(0).stdout;
    assert_eq!(owned, "File/b\n");
}

#[test]
fn a_renamed_resource_keeps_its_file() {
    let project = one_file();
    let before = inode(&project.site().join("a.txt"));
    project.write("base/a.yaml", annotated("z", "a.txt", "one\n", "trueup.dev/moved-from: File/a")).commit("rename");
    assert_eq!(actions(&project.plan()), [("move", "File/z")]);
    project.apply();
    assert_eq!(inode(&project.site().join("a.txt")), before, "the file was not written again");
    assert!(project.plan()["steps"].as_array().unwrap().is_empty());
    assert_eq!(project.run(&["get", "-o", "name"]).stdout, "File/z\n");
}

#[test]
fn a_changed_path_replaces_the_file_and_a_path_that_is_taken_leaves_the_old_one() {
    let project = one_file();
    project.declare("a", "b.txt", "one\n").commit("move");
    project.write("site/b.txt", "somebody's\n");
    project.run(&["apply", "--yes"]).expect_exit(1);
    assert_eq!(project.world()["a.txt"], "one\n", "the new one is made before the old one goes");
    assert_eq!(project.world()["b.txt"], "somebody's\n");
    fs::remove_file(project.site().join("b.txt")).unwrap();
    let plan = project.plan();
    assert_eq!(actions(&plan), [("replace", "File/a")], "{plan}");
    assert_eq!(plan["summary"]["replace"], 1);
    project.apply();
    assert_eq!(project.world().into_iter().collect::<Vec<_>>(), [("b.txt".to_owned(), "one\n".to_owned())]);
}

#[test]
fn what_a_resource_depends_on_comes_first_and_goes_last() {
    let project = Project::new();
    project.write("base/a.yaml", annotated("a", "a.txt", "a\n", "trueup.dev/depends-on: \"File/b, File/c\""));
    project.declare("b", "b.txt", "b\n").write("base/c.yaml", annotated("c", "c.txt", "c\n", "trueup.dev/depends-on: File/b"));
    project.declare("kept", "kept.txt", "kept\n").commit("a chain");
    let order = |run: &Run, names: [&str; 3]| {
        let at = names.map(|it| run.stderr.find(&format!("{it}  ✔")).unwrap_or_else(|| panic!("{it} is missing\n{run}")));
        assert!(at.is_sorted(), "{names:?}\n{run}");
    };
    order(&project.apply(), ["File/b", "File/c", "File/a"]);
    for name in ["a", "b", "c"] {
        project.remove(&format!("base/{name}.yaml"));
    }
    project.commit("drop the chain");
    order(&project.run(&["apply", "--yes", "--allow-deletes", "3"]).expect_exit(0), ["File/a", "File/c", "File/b"]);
}

#[test]
fn the_dependents_of_a_refused_resource_wait_and_its_neighbours_do_not() {
    let project = Project::new();
    project.declare("a", "a.txt", "a\n").write("base/b.yaml", annotated("b", "b.txt", "b\n", "trueup.dev/depends-on: File/a"));
    project.declare("c", "c.txt", "c\n").commit("three files");
    project.write("site/a.txt", "theirs\n");
    project.run(&["apply", "--yes"]).expect_exit(1);
    assert_eq!(project.world().keys().collect::<Vec<_>>(), ["a.txt", "c.txt"]);
}

#[test]
fn drift_that_is_only_to_be_told_is_listed_and_makes_no_step() {
    for mode in ["warn", "off"] {
        let project = Project::new();
        project
            .write("base/a.yaml", annotated("a", "a.txt", "one\n", &format!("trueup.dev/drift: \"{mode}\"")))
            .commit("one file");
        project.apply();
        fs::write(project.site().join("a.txt"), "by hand\n").unwrap();
        let plan = project.plan();
        assert!(actions(&plan).is_empty(), "{mode}: {plan}");
        assert_eq!(plan["drift"][0]["id"], "site:File/a", "{mode}: {plan}");
        project.apply();
        assert_eq!(project.world()["a.txt"], "by hand\n", "{mode}");
    }
}

#[test]
fn drift_of_a_whole_environment_can_be_set_to_warn() {
    let project = Project::with(&PROJECT.replace("{layers: [base]}", "{layers: [base], drift: warn}"));
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.apply();
    fs::write(project.site().join("a.txt"), "by hand\n").unwrap();
    project.apply();
    assert_eq!(project.world()["a.txt"], "by hand\n");
    project.declare("a", "a.txt", "two\n").commit("a change in Git is no drift");
    project.apply();
    assert_eq!(project.world()["a.txt"], "two\n");
}

#[test]
fn an_ignored_field_belongs_to_others() {
    let project = Project::new();
    project.write("base/a.yaml", annotated("a", "a.txt", "one\n", "trueup.dev/ignore: spec.content")).commit("one file");
    project.apply();
    fs::write(project.site().join("a.txt"), "by hand\n").unwrap();
    let plan = project.plan();
    assert!(actions(&plan).is_empty(), "{plan}");
    project.apply();
    assert_eq!(project.world()["a.txt"], "by hand\n");
}

#[test]
fn a_plan_says_which_changes_come_from_git_and_which_from_the_world() {
    let project = Project::new();
    for name in ["drifted", "changed", "both"] {
        project.declare(name, &format!("{name}.txt"), "one\n");
    }
    project.commit("three files");
    project.apply();
    project.declare("changed", "changed.txt", "two\n").declare("both", "both.txt", "two\n").commit("two changes");
    for name in ["drifted", "both"] {
        fs::write(project.site().join(format!("{name}.txt")), "by hand\n").unwrap();
    }
    let plan = project.plan();
    let origin = |resource: &str| {
        let step =
            plan["steps"].as_array().unwrap().iter().find(|it| it["resource"] == resource).unwrap_or_else(|| panic!("{plan}"));
        step["changes"].as_array().unwrap().iter().find(|it| it["path"] == "spec.content").unwrap()["origin"].clone()
    };
    assert_eq!([origin("File/drifted"), origin("File/changed"), origin("File/both")], ["drift", "git", "both"], "{plan}");
}

#[test]
fn exactly_the_reviewed_plan_is_applied_by_id_and_by_file() {
    for by_file in [false, true] {
        let project = Project::new();
        project.declare("a", "a.txt", "one\n").commit("one file");
        let file = project.outside().join("plan.json");
        let plan = project.run(&["plan", "-o", "json", "--out", file.to_str().unwrap()]).expect_exit(0).json();
        let saved: Json = serde_json::from_slice(&fs::read(&file).unwrap()).expect("JSON");
        assert_eq!(saved["digest"], plan["digest"]);
        assert_eq!(saved["format"], "trueup.plan/1");
        let id = format!("p-{}", &plan["digest"].as_str().unwrap()["sha256:".len()..][..8]);
        let wanted = if by_file { file.to_str().unwrap() } else { &id };
        project.run(&["apply", "--yes", "--plan", wanted]).expect_exit(0);
        assert_eq!(project.world()["a.txt"], "one\n");
        project.run(&["apply", "--yes", "--plan", wanted]).expect_exit(1).expect_text(&["TU0609"]);
    }
}

#[test]
fn a_plan_that_moved_is_refused_and_what_moved_is_shown() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    let file = project.outside().join("plan.json");
    let file = file.to_str().unwrap();
    project.run(&["plan", "--out", file]).expect_exit(0);
    project.declare("a", "a.txt", "other\n").declare("c", "c.txt", "three\n").remove("base/b.yaml").commit("more");
    let run = project.run(&["apply", "--yes", "--plan", file]).expect_exit(1);
    run.expect_text(&["TU0609", "File/a  has other values now", "File/b", "File/c  is new"]);
    assert!(project.world().is_empty(), "nothing is done");
    project.run(&["apply", "--yes", "--plan", "p-00000000"]).expect_exit(1).expect_text(&["TU0609", "p-00000000"]);
}

#[test]
fn a_forged_plan_file_is_compared_and_never_executed() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    let file = project.outside().join("plan.json");
    project.run(&["plan", "--out", file.to_str().unwrap()]).expect_exit(0);
    let text = fs::read_to_string(&file).unwrap().replace("one\\n", "forged\\n");
    fs::write(&file, text).unwrap();
    let run = project.run(&["apply", "--yes", "--plan", file.to_str().unwrap()]);
    run.expect_exit(1).expect_text(&["TU0609", "was changed after it was made", "File/a  has other values now"]);
    assert!(project.world().is_empty());
}

#[test]
fn a_plan_has_the_same_digest_in_two_clones_and_at_another_commit_that_changes_nothing() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "sub/b.txt", "two\n").commit("two files");
    let clone = project.outside().join("somewhere/else");
    project.git(&["clone", "-q", ".", clone.to_str().unwrap()]);
    let mut command = project.command(&["plan", "-o", "json"]);
    let there = Run::of(command.current_dir(&clone).output().unwrap()).expect_exit(0).json();
    let here = project.plan();
    assert_eq!(here["digest"], there["digest"]);
    project.write("README", "unrelated\n").commit("unrelated");
    let later = project.plan();
    assert_ne!(later["revision"], here["revision"]);
    assert_eq!(later["digest"], here["digest"]);
}

#[test]
fn a_directory_that_was_emptied_holds_until_somebody_says_so() {
    let project = Project::new();
    for at in 0..12 {
        project.declare(&format!("f{at}"), &format!("f{at}.txt"), "x\n");
    }
    project.commit("twelve files");
    project.apply();
    let full = project.world();
    for at in 0..12 {
        fs::remove_file(project.site().join(format!("f{at}.txt"))).unwrap();
    }
    let plan = project.plan();
    assert_eq!(codes(&plan).len(), 12, "{plan}");
    assert!(codes(&plan).iter().all(|(code, _)| *code == "TU0604"), "{plan}");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0604", "--allow-recreate"]);
    assert!(project.world().is_empty());
    project.run(&["apply", "--yes", "--allow-recreate"]).expect_exit(0);
    assert_eq!(project.world(), full);
}

#[test]
fn many_deletes_wait_until_their_number_is_allowed() {
    let project = Project::new();
    for at in 0..24 {
        project.declare(&format!("f{at}"), &format!("f{at}.txt"), "x\n");
    }
    project.commit("24 files");
    project.apply();
    for at in 0..11 {
        project.remove(&format!("base/f{at}.yaml"));
    }
    project.commit("eleven fewer, which is less than half and more than ten");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0602", "--allow-deletes 11"]);
    project.run(&["apply", "--yes", "--allow-deletes", "10"]).expect_exit(1).expect_text(&["TU0602"]);
    assert_eq!(project.world().len(), 24);
    project.run(&["apply", "--yes", "--allow-deletes", "11"]).expect_exit(0);
    assert_eq!(project.world().len(), 13);
}

#[test]
fn destroy_asks_and_deletes_only_what_is_owned() {
    let project = one_file();
    project.write("site/foreign.txt", "theirs\n");
    project.run(&["destroy"]).expect_exit(1);
    project.run(&["destroy", "--yes"]).expect_exit(64).expect_text(&["--allow-deletes"]);
    assert_eq!(project.world().len(), 2, "nothing was done");
    project.run(&["destroy", "--yes", "--allow-deletes", "1"]).expect_exit(0);
    assert_eq!(project.world().into_keys().collect::<Vec<_>>(), ["foreign.txt"]);
    assert_eq!(project.run(&["get", "-o", "name"]).expect_exit(0).stdout, "");
}

#[test]
fn destroy_goes_by_what_is_owned_whatever_the_documents_say() {
    let project = one_file();
    project.write("base/bad.yaml", "a: [").commit("broken");
    project.run(&["plan"]).expect_exit(1);
    let asked = project.run(&["destroy"]).expect_exit(1).expect_text(&["File/a", "the environment is destroyed"]);
    let asked = asked.expect_no_text(&["no longer declared", "error[TU01"]);
    assert_eq!(project.world()["a.txt"], "one\n", "{asked}");
    project.run(&["destroy", "--yes", "--allow-deletes", "1"]).expect_exit(0).expect_no_text(&["no longer declared"]);
    assert!(project.world().is_empty());
    assert_eq!(project.run(&["get", "-o", "name"]).expect_exit(0).stdout, "");
}

#[test]
fn an_uncommitted_file_that_a_document_copies_is_named_and_so_are_uncommitted_settings() {
    let project = Project::new();
    let document = "apiVersion: site/v1\nkind: File\nmetadata: {name: logo}\nspec: {path: logo.bin, source: assets/logo.bin}\n";
    project.write("assets/logo.bin", b"\x00one").write("assets/other.bin", "x").write("base/logo.yaml", document);
    project.commit("a binary file");
    project.run(&["plan"]).expect_exit(0).expect_no_text(&["not committed"]);
    project.write("assets/logo.bin", b"\x00two").write("assets/other.bin", "y").write("assets/new.bin", "z");
    let run = project.run(&["plan"]).expect_exit(0).expect_text(&["not committed", "assets/logo.bin", "--worktree"]);
    run.expect_no_text(&["other.bin", "new.bin"]);
    project.commit("committed");
    project.write("trueup.yaml", PROJECT.replace("name: shop", "name: shop2"));
    project.run(&["plan"]).expect_exit(0).expect_text(&["not committed, so not part of this: trueup.yaml;"]);
}

#[test]
fn a_file_that_another_environment_owns_is_refused() {
    let project =
        Project::with(&PROJECT.replace("  prod: {layers: [base]}", "  dev: {layers: [base]}\n  prod: {layers: [base]}"));
    project.declare("a", "a.txt", "one\n").commit("one file, two environments");
    project.run(&["apply", "--yes", "-e", "dev"]).expect_exit(0);
    project.run(&["apply", "--yes", "-e", "prod"]).expect_exit(1).expect_text(&["TU06", "dev", "File/a"]);
    project.run(&["adopt", "--declared", "--yes", "-e", "prod"]).expect_exit(1);
    project.run(&["plan", "-e", "dev"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn what_is_forgotten_stays_and_is_nobodys() {
    let project = one_file();
    project.run(&["forget", "File/a"]).expect_exit(1).expect_text(&["--yes"]);
    assert_eq!(project.run(&["get", "-o", "name"]).stdout, "File/a\n");
    project.run(&["forget", "File/a", "--yes"]).expect_exit(0).expect_text(&["File/a"]);
    assert_eq!(project.world()["a.txt"], "one\n");
    assert_eq!(codes(&project.plan()), [("TU0600", "File/a")]);
    project.run(&["forget", "File/nothing", "--yes"]).expect_exit(1).expect_text(&["TU0405", "File/nothing"]);
}

#[test]
fn a_held_lock_means_try_again_and_a_plan_needs_none() {
    let project = one_file();
    project.declare("a", "a.txt", "two\n").commit("a change");
    let lock = project.repo().join(".trueup/locks/prod");
    let mut holder =
        Command::new("flock").arg("--no-fork").arg(&lock).args(["sleep", "20"]).spawn().expect("flock of util-linux");
    sleep(Duration::from_millis(300));
    let run = project.run(&["apply", "--yes"]);
    let object = project.run(&["apply", "--yes", "-o", "json"]);
    let plan = project.run(&["plan"]);
    let _ = holder.kill();
    let _ = holder.wait();
    run.expect_exit(75).expect_text(&["TU0801", "locked"]);
    assert_eq!(object.clone().expect_exit(75).json()["error"]["code"], "TU0801");
    plan.expect_exit(0);
    assert_eq!(project.world()["a.txt"], "one\n");
    project.apply();
}

#[test]
fn wrong_settings_of_a_project_say_where_they_stand() {
    let cases = [
        ("plugin: file, config", "plugin: flie, config", "flie"),
        ("plugin: file, config", "plugin: file, colour: red, config", "colour"),
        ("layers: [base]", "layer: [base]", "layers"),
        ("id: 4f0c9a000000000000000000000000aa", "id: short", "id"),
        ("name: shop", "name: Shop!", "Shop!"),
        ("root: ./site", "rot: ./site", "rot"),
        ("prod: {", "Prod: {", "Prod"),
        ("dirs: [\"./site\"]", "dirs: [7]", "dirs"),
        ("kind: Project", "kind: Projekt", "Projekt"),
    ];
    for (right, wrong, word) in cases {
        let text = PROJECT.replace(right, wrong);
        assert_ne!(text, PROJECT, "{right}");
        let project = Project::with(&text);
        project.declare("a", "a.txt", "one\n").commit("wrong");
        let run = project.run(&["plan"]).expect_exit(1).expect_text(&["error[TU", word, "trueup.yaml:"]);
        assert!(project.world().is_empty(), "{run}");
    }
}
