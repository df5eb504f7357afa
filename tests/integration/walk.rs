//! The walk: a commit becomes files, a change becomes one step, damage heals.

use std::fs;

use trueup_tests::{Project, Run};

#[test]
fn a_committed_document_becomes_a_file_and_the_next_plan_is_empty() {
    let project = Project::new();
    project.declare("motd", "etc/motd", "welcome\n").commit("one file");
    let plan = project.plan();
    assert_eq!(plan["summary"]["create"], 1, "{plan}");
    assert!(project.world().is_empty(), "a plan writes nothing");
    project.apply();
    assert_eq!(project.world().get("etc/motd").map(String::as_str), Some("welcome\n"));
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "{plan}");
    assert_eq!(plan["summary"]["unchanged"], 1);
}

#[test]
fn a_file_broken_by_hand_heals_and_a_deleted_one_comes_back() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    project.apply();
    fs::write(project.site().join("a.txt"), "broken\n").unwrap();
    fs::remove_file(project.site().join("b.txt")).unwrap();
    let plan = project.plan();
    assert_eq!(plan["summary"]["update"], 1, "{plan}");
    assert_eq!(plan["summary"]["create"], 1, "{plan}");
    project.apply();
    assert_eq!(project.world().get("a.txt").map(String::as_str), Some("one\n"));
    assert_eq!(project.world().get("b.txt").map(String::as_str), Some("two\n"));
}

#[test]
fn a_file_that_goes_from_git_goes_from_the_directory_and_foreign_files_stay() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    project.apply();
    fs::write(project.site().join("foreign.txt"), "mine\n").unwrap();
    project.remove("base/b.yaml").commit("drop b");
    project.apply();
    let world = project.world();
    assert_eq!(world.keys().map(String::as_str).collect::<Vec<_>>(), ["a.txt", "foreign.txt"]);
}

#[test]
fn the_demo_does_all_that_it_says_and_leaves_its_folder_whatever_the_shell_sets() {
    let project = Project::new();
    // About another project, another revision, and other wishes; some could not even be read.
    let variables = [
        ("TRUEUP_DIR", "/nonexistent"),
        ("TRUEUP_ENV", "dev"),
        ("TRUEUP_STATE", "/nonexistent/state.db"),
        ("TRUEUP_CREDENTIALS", "/nonexistent/credentials.yaml"),
        ("TRUEUP_REV", "nonexistent"),
        ("TRUEUP_WORKTREE", "1"),
        ("TRUEUP_ALLOW_DELETES", "as many as there are"),
        ("TRUEUP_SHOW", "no such thing"),
        ("TRUEUP_DETAILED_EXITCODE", "1"),
    ];
    for (format, says) in [("table", "trueup apply --yes"), ("json", "trueup.demo/1")] {
        let mut command = project.command(&["demo"]);
        command.env("TMPDIR", project.outside()).envs(variables).env("TRUEUP_OUTPUT", format);
        Run::of(command.output().unwrap()).expect_exit(0).expect_text(&[says]);
    }
    let left = fs::read_dir(project.outside()).unwrap().filter_map(|it| it.unwrap().file_name().into_string().ok());
    assert_eq!(left.filter(|it| it.starts_with("trueup-demo-")).count(), 2, "each in a folder of its own");
    assert!(project.world().is_empty(), "the project around it is not touched");
}
