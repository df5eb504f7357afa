//! Objects of one resource that build on each other, and files and directories that trade places.

use std::collections::BTreeMap;

use trueup_tests::guests::hostile_project;
use trueup_tests::{Project, tree};

const ORDERED: &str = "apiVersion: evil/v1\nkind: Thing\nmetadata: {name: t}\nspec: {text: x, parts: [m, z, a]}\n";

fn things(project: &Project) -> Vec<String> {
    tree(&project.repo().join("evil")).into_keys().collect()
}

fn keys(plan: &serde_json::Value) -> Vec<&str> {
    let steps = plan["steps"].as_array().into_iter().flatten().filter(|it| it["provider"] == "evil");
    steps.filter_map(|it| it["object"]["key"].as_str()).collect()
}

#[test]
fn objects_of_one_resource_are_made_in_the_plugins_order_and_removed_in_reverse() {
    let project = hostile_project("honest", "");
    project.write("base/t.yaml", ORDERED);
    project.commit("ordered");
    let plan = project.run(&["plan", "--trust", "-o", "json"]).json();
    assert_eq!(keys(&plan), ["t", "t+m", "t+z", "t+a"], "{plan}");
    // The plugin refuses what has nothing to stand on.
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    assert_eq!(things(&project), ["t+a.thing", "t+m.thing", "t+z.thing", "t.thing"]);
    assert_eq!(project.run(&["plan", "--trust", "-o", "json"]).json()["summary"]["unchanged"], 5);
    // A link of the chain goes with its document; what stands on another one now lets go first.
    project.write("base/t.yaml", ORDERED.replace("[m, z, a]", "[m, a]"));
    project.commit("shorter");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    assert_eq!(things(&project), ["t+a.thing", "t+m.thing", "t.thing"]);
    // The document is gone: the order is what the inventory remembers.
    project.write("base/t.yaml", ORDERED);
    project.commit("longer");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    project.remove("base/t.yaml");
    project.commit("gone");
    let plan = project.run(&["plan", "--trust", "--allow-deletes", "4", "-o", "json"]).json();
    assert_eq!(keys(&plan), ["t+a", "t+z", "t+m", "t"], "{plan}");
    project.run(&["apply", "--yes", "--trust", "--allow-deletes", "4"]).expect_exit(0);
    assert_eq!(things(&project), [""; 0]);
}

/// One file, declared at `path`.
fn at(project: &Project, path: &str) {
    project.declare("f", path, path);
    project.commit(path);
}

#[track_caller]
fn holds(project: &Project, want: &[(&str, &str)]) {
    let want: BTreeMap<String, String> = want.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    assert_eq!(project.world(), want);
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "{plan}");
}

#[test]
fn a_file_takes_the_place_of_the_directory_that_it_stood_in_and_back() {
    let project = Project::new();
    at(&project, "a/x");
    project.apply();
    holds(&project, &[("a/", ""), ("a/x", "a/x")]);
    at(&project, "a");
    project.apply();
    holds(&project, &[("a", "a")]);
    at(&project, "a/b/c/x");
    project.apply();
    holds(&project, &[("a/", ""), ("a/b/", ""), ("a/b/c/", ""), ("a/b/c/x", "a/b/c/x")]);
    // Parents that were made for a file are nothing that anybody would miss.
    at(&project, "a");
    project.apply();
    holds(&project, &[("a", "a")]);
}

#[test]
fn a_directory_that_holds_somebody_elses_file_is_not_given_up_for_one() {
    let project = Project::new();
    at(&project, "a/x");
    project.apply();
    std::fs::write(project.site().join("a/mine"), "mine").unwrap();
    at(&project, "a");
    let words = ["`a` is a directory where a file is declared and holds `mine`; move it away"];
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&words);
    assert_eq!(project.world()["a/mine"], "mine");
    std::fs::rename(project.site().join("a/mine"), project.site().join("mine")).unwrap();
    project.apply();
    holds(&project, &[("a", "a"), ("mine", "mine")]);
}

#[test]
fn a_file_and_a_directory_of_one_path_are_an_error_of_both_documents() {
    let project = Project::new();
    project.declare("f", "a", "x");
    project.write("base/d.yaml", "apiVersion: site/v1\nkind: Directory\nmetadata: {name: d}\nspec: {path: a}\n");
    project.commit("two of one place");
    let words = ["`Directory/d` and `File/f` are both `a`", "base/d.yaml", "base/f.yaml"];
    project.run(&["plan"]).expect_exit(1).expect_text(&words);
}

#[test]
fn a_file_inside_a_file_is_an_error_of_both_documents_whichever_came_first() {
    let project = Project::new();
    project.declare("outer", "deep/a", "x");
    project.declare("inner", "deep/a/b/c", "y");
    let words = [
        "TU0208",
        "`deep/a/b/c` is to stand inside `File/outer`, and a File holds nothing",
        "base/inner.yaml",
        "base/outer.yaml",
    ];
    project.commit("one inside the other");
    project.run(&["plan"]).expect_exit(1).expect_text(&words);
    for (first, path, second, other) in [("outer", "deep/a", "inner", "deep/a/b/c"), ("inner", "deep/a/b/c", "outer", "deep/a")] {
        let project = Project::new();
        project.declare(first, path, "x");
        project.declare("beside", "deep/ab", "z");
        project.commit("one");
        project.apply();
        project.declare(second, other, "y");
        project.commit("the other");
        project.run(&["plan"]).expect_exit(1).expect_text(&words);
        project.declare(second, "elsewhere", "y");
        project.commit("mended");
        project.apply();
    }
}
