//! Questions to a person at a terminal: what a yes does, and what anything else leaves alone.

use trueup_tests::{PROJECT, Project};

/// Two files, applied, and a third one committed.
fn project() -> Project {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    project.apply();
    project.declare("c", "c.txt", "three\n").commit("one more");
    project
}

#[test]
fn who_is_asked_and_declines_gets_a_line_and_no_error() {
    let project = project();
    let run = project.at_terminal("apply", "n\n");
    run.expect_exit(1).expect_text(&["Nothing was done."]).expect_no_text(&["TU0900"]);
    let run = project.at_terminal("destroy", "dev\n");
    run.expect_exit(1).expect_text(&["deletes 2 objects", "not the environment's name"]).expect_no_text(&["TU0900"]);
    let run = project.at_terminal("forget File/a", "n\n");
    run.expect_exit(1).expect_text(&["To be released"]).expect_no_text(&["Released from", "TU0900"]);
    assert_eq!(project.run(&["get", "-o", "name"]).stdout, "File/a\nFile/b\n");
    assert_eq!(project.world().len(), 2);
}

#[test]
fn who_says_yes_gets_the_plan_that_was_shown_and_nothing_of_it_is_done_before() {
    let project = project();
    for answer in ["\n", "yep\n", ""] {
        project.at_terminal("apply", answer).expect_exit(1).expect_text(&["Apply this plan? [y/N]", "Nothing was done."]);
        assert_eq!(project.world().len(), 2, "{answer:?}");
    }
    let run = project.at_terminal("apply", "y\n").expect_exit(0);
    let (shown, asked) = (run.stdout.find("File/c"), run.stdout.find("Apply this plan? [y/N]"));
    assert!(shown.is_some() && shown < asked, "{run}");
    assert_eq!(project.world()["c.txt"], "three\n");
    project.at_terminal("forget File/a", "YES\n").expect_exit(0).expect_text(&["Released from"]);
    assert_eq!(project.run(&["get", "-o", "name"]).stdout, "File/b\nFile/c\n");
}

#[test]
fn the_name_of_the_environment_is_what_destroy_goes_by_and_no_yes_will_do() {
    let project = project();
    for wrong in ["y\n", "yes\n", "PROD\n", "prod prod\n"] {
        project.at_terminal("destroy", wrong).expect_exit(1).expect_text(&["Type prod to go on", "not the environment's name"]);
    }
    project.at_terminal("destroy", "\n").expect_exit(1).expect_text(&["Nothing was done."]);
    assert_eq!(project.world().len(), 2);
    project.at_terminal("destroy", "prod\n").expect_exit(0);
    assert!(project.world().is_empty());
    assert_eq!(project.run(&["get", "-o", "name"]).stdout, "");
}

#[test]
fn a_project_is_trusted_by_a_yes_from_then_on_and_by_nothing_else() {
    let project = Project::new();
    let elsewhere = project.outside().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    project.write("trueup.yaml", PROJECT.replace("./site", elsewhere.to_str().unwrap()));
    project.declare("a", "a.txt", "one\n").commit("a folder outside of the project");
    let asks = ["This project asks for:", elsewhere.to_str().unwrap(), "Trust it with this, from now on? [y/N]"];
    project.at_terminal("plan", "n\n").expect_exit(1).expect_text(&asks).expect_text(&["TU0501"]);
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0501"]);
    project.at_terminal("plan", "y\n").expect_exit(0).expect_text(&asks).expect_text(&["File/a"]);
    project.apply();
    assert!(elsewhere.join("a.txt").exists());
    project.at_terminal("plan", "").expect_exit(0).expect_no_text(&["asks for"]);
}

#[test]
fn a_project_that_asks_for_other_rights_than_before_says_so_in_a_sentence() {
    let project = Project::with(&PROJECT.replace("dirs: [\"./site\"]", "dirs: [\"./site\"], secrets: [db]"));
    project.commit("a secret");
    project.run(&["trust", "--yes"]).expect_exit(0).expect_text(&["shop asks for:\n"]);
    let text = PROJECT.replace("dirs: [\"./site\"]", "dirs: [\"./site\"], secrets: [db, other]");
    project.write("trueup.yaml", text).commit("another one");
    project
        .run(&["trust", "--yes"])
        .expect_exit(0)
        .expect_text(&["shop was trusted with other rights before, and now asks for:\n"]);
}
