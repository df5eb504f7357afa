//! A provider that is led elsewhere: what it owns is where it was, and what is at the new place is not its own.

use std::fs;

use trueup_tests::{PROJECT, Project};

/// Two files at `site`, others of the same names at `new`, and settings that lead there; one document is gone.
fn led_elsewhere() -> Project {
    let project = Project::new();
    project.declare("a", "a.txt", "A").declare("b", "b.txt", "B");
    project.commit("two");
    project.apply();
    fs::create_dir(project.repo().join("new")).unwrap();
    for name in ["a.txt", "b.txt"] {
        fs::write(project.repo().join("new").join(name), "not yours").unwrap();
    }
    project.write("trueup.yaml", PROJECT.replace("./site", "./new"));
    project.write(".gitignore", "/site/\n/new/\n.trueup/\n");
    project.remove("base/b.yaml");
    project.commit("elsewhere");
    project
}

fn nothing_moved(project: &Project) {
    for name in ["a.txt", "b.txt"] {
        assert_eq!(fs::read_to_string(project.repo().join("new").join(name)).unwrap(), "not yours");
    }
    assert_eq!((project.world()["a.txt"].as_str(), project.world()["b.txt"].as_str()), ("A", "B"));
}

#[test]
fn nothing_is_planned_healed_or_deleted_at_a_place_that_the_inventory_does_not_speak_of() {
    let project = led_elsewhere();
    let words = ["TU0506", "the provider `site` acts on ./new, and what it owns is at ./site", "trueup forget -e prod 'site:*'"];
    project.run(&["plan"]).expect_exit(1).expect_text(&words);
    project.run(&["apply", "--yes", "--allow-deletes", "9"]).expect_exit(1).expect_text(&words);
    project.run(&["destroy", "--yes", "--allow-deletes", "9"]).expect_exit(1).expect_text(&words);
    nothing_moved(&project);
    project.write("trueup.yaml", PROJECT);
    project.commit("back");
    project.run(&["plan"]).expect_exit(0).expect_text(&["File/b"]);
}

#[test]
fn who_means_the_new_place_releases_the_old_one_and_claims_what_is_there() {
    let project = led_elsewhere();
    project.run(&["forget", "nope:*", "--yes"]).expect_exit(64).expect_text(&["owns nothing of a provider `nope`"]);
    project.run(&["forget", "site:*", "--yes"]).expect_exit(0).expect_text(&["nothing was deleted", "File/a", "File/b"]);
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0600"]);
    nothing_moved(&project);
    project.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
    assert_eq!(fs::read_to_string(project.repo().join("new/a.txt")).unwrap(), "A");
    assert_eq!(fs::read_to_string(project.repo().join("new/b.txt")).unwrap(), "not yours");
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn a_project_that_is_moved_with_its_state_goes_on_where_it_is() {
    let project = Project::new();
    project.declare("a", "a.txt", "A");
    project.commit("one");
    project.apply();
    let (old, new) = (project.repo(), project.outside().join("elsewhere"));
    fs::rename(&old, &new).unwrap();
    fs::create_dir(&old).unwrap();
    project.run(&["-C", new.to_str().unwrap(), "plan"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn settings_of_a_revision_that_are_not_used_are_told_of() {
    let project = Project::new();
    project.declare("a", "a.txt", "A");
    project.commit("one");
    project.apply();
    project.git(&["checkout", "-q", "-b", "feature"]);
    project.write("trueup.yaml", PROJECT.replace("{layers: [base]}", "{layers: [base], vars: {x: \"1\"}}"));
    project.commit("variables");
    project.git(&["checkout", "-q", "main"]);
    let words = ["trueup.yaml of ", "is another one than that of ", "takes effect once it is checked out or merged"];
    project.run(&["plan", "--rev", "feature"]).expect_exit(0).expect_text(&words);
    project.run(&["plan"]).expect_exit(0).expect_no_text(&["is another one"]);
}

#[test]
fn protection_that_is_not_armed_yet_is_something_to_do() {
    let project = Project::new();
    project.declare("a", "a.txt", "A");
    project.commit("one");
    project.apply();
    let text = fs::read_to_string(project.repo().join("base/a.yaml")).unwrap();
    let text = text.replace("metadata: {name: a}", "metadata: {name: a, annotations: {trueup.dev/protect: \"true\"}}");
    project.write("base/a.yaml", text);
    project.commit("protected");
    let words = ["TU0615", "`protect` or `prune` of File/a is not what was applied last", "No changes"];
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(2).expect_text(&words);
    project.run(&["apply", "--yes"]).expect_exit(0);
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(0).expect_no_text(&["TU0615"]);
    project.remove("base/a.yaml").declare("b", "b.txt", "B");
    project.commit("gone");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0601"]);
    assert_eq!(project.world()["a.txt"], "A");
}
