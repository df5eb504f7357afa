//! Values that are known only after a step: shown so, filled in the same run, and part of what is reviewed.

use serde_json::{Value as Json, json};
use trueup_tests::{Project, document};

const ONE: &str = "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806";

fn step<'a>(plan: &'a Json, resource: &str) -> &'a Json {
    let steps = plan["steps"].as_array().expect("steps");
    steps.iter().find(|it| it["resource"] == resource).unwrap_or_else(|| panic!("no step of {resource} in {plan}"))
}

fn content(plan: &Json, resource: &str) -> Json {
    let changes = step(plan, resource)["changes"].as_array().expect("changes");
    changes.iter().find(|it| it["path"] == "spec.content").unwrap_or_else(|| panic!("{plan}"))["after"].clone()
}

/// Where a step stands in the plan.
fn position(plan: &Json, resource: &str) -> usize {
    plan["steps"].as_array().expect("steps").iter().position(|it| it["resource"] == resource).expect("a step")
}

/// `a` is a text, `b` the digest of `a`, `c` that of `b`.
fn chain() -> Project {
    let project = Project::new();
    project
        .declare("a", "a.txt", "one\n")
        .declare("b", "b.txt", "${{ ref('File/a').status.sha256 }}")
        .declare("c", "c.txt", "${{ ref('File/b').status.sha256 }}")
        .commit("a chain");
    project
}

fn sha256(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("its content");
    trueup_tests::guests::sha256(file.path().to_owned())
}

#[test]
fn a_value_that_is_known_only_afterwards_is_shown_so_and_filled_in_the_same_run() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "${{ ref('File/a').status.sha256 }}").commit("two files");
    let plan = project.plan();
    assert_eq!(content(&plan, "File/b"), json!({"$unknown": "File/a"}), "{plan}");
    project.run(&["plan"]).expect_exit(0).expect_text(&["(known after File/a)"]);
    project.apply();
    assert_eq!(project.world()["b.txt"], ONE);
    assert!(project.plan()["steps"].as_array().unwrap().is_empty(), "known now, and equal");
    project.declare("a", "a.txt", "two\n").commit("another content");
    assert_eq!(content(&project.plan(), "File/b"), json!({"$unknown": "File/a"}));
    project.apply();
    assert_eq!(project.world()["b.txt"], "27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a");
}

#[test]
fn a_chain_of_three_is_filled_link_by_link_in_one_run() {
    let project = chain();
    let plan = project.plan();
    assert_eq!(content(&plan, "File/b"), json!({"$unknown": "File/a"}), "{plan}");
    assert_eq!(content(&plan, "File/c"), json!({"$unknown": "File/b"}), "{plan}");
    project.run(&["plan"]).expect_exit(0).expect_text(&["(known after File/a)", "(known after File/b)"]);
    project.apply();
    let second = sha256(ONE);
    assert_eq!((&project.world()["b.txt"], &project.world()["c.txt"]), (&ONE.to_owned(), &second));
    // A change at one end reaches the other in one run again.
    project.declare("a", "a.txt", "two\n").commit("another content");
    let plan = project.plan();
    assert_eq!(content(&plan, "File/c"), json!({"$unknown": "File/b"}), "{plan}");
    project.apply();
    let world = project.world();
    assert_eq!(world["c.txt"], sha256(&world["b.txt"]));
    assert_eq!(project.plan()["summary"]["unchanged"], 3);
}

#[test]
fn an_order_that_depends_on_gives_holds_together_with_an_unknown() {
    let project = chain();
    // `last` reads `b` and waits for `z`, which comes after it by name.
    let text = document("last", "last.txt", "${{ ref('File/b').status.sha256 }}")
        .replace("{name: last}", "{name: last, annotations: {trueup.dev/depends-on: File/z}}");
    project.write("base/last.yaml", text).declare("z", "z.txt", "z\n").commit("one more");
    let plan = project.plan();
    assert_eq!(content(&plan, "File/last"), json!({"$unknown": "File/b"}), "{plan}");
    assert!(position(&plan, "File/z") < position(&plan, "File/last") && position(&plan, "File/b") < position(&plan, "File/last"));
    project.apply();
    assert_eq!(project.world()["last.txt"], sha256(ONE));
    // What merely comes first makes no value unknown.
    project.declare("z", "z.txt", "other\n").commit("z changes");
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().unwrap().len(), 1, "{plan}");
}

#[test]
fn a_value_that_comes_out_as_it_was_leaves_its_object_alone() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "${{ string(ref('File/a').status.size) }} bytes").commit("two");
    project.apply();
    assert_eq!(project.world()["b.txt"], "4 bytes");
    project.declare("a", "a.txt", "two\n").commit("of the same size");
    assert_eq!(content(&project.plan(), "File/b"), json!({"$unknown": "File/a"}));
    let done = project.run(&["apply", "--yes", "-o", "json"]).expect_exit(0).json();
    assert_eq!((&done["summary"]["done"], &done["summary"]["unchanged"]), (&json!(1), &json!(1)), "{done}");
}

#[test]
fn a_saved_plan_with_unknowns_is_applied_as_reviewed_and_refused_when_they_would_come_from_elsewhere() {
    for by_file in [false, true] {
        let project = chain();
        let file = project.outside().join("plan.json");
        let plan = project.run(&["plan", "-o", "json", "--out", file.to_str().unwrap()]).expect_exit(0).json();
        let saved: Json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(content(&saved, "File/c"), json!({"$unknown": "File/b"}));
        let id = format!("p-{}", &plan["digest"].as_str().unwrap()["sha256:".len()..][..8]);
        let wanted = if by_file { file.to_str().unwrap() } else { &id };
        project.run(&["apply", "--yes", "--plan", wanted]).expect_exit(0);
        assert_eq!(project.world()["c.txt"], sha256(ONE));
    }
    let project = chain();
    let file = project.outside().join("plan.json");
    project.run(&["plan", "--out", file.to_str().unwrap()]).expect_exit(0);
    project.declare("c", "c.txt", "${{ ref('File/a').status.sha256 }}").commit("c reads a now");
    project.run(&["apply", "--yes", "--plan", file.to_str().unwrap()]).expect_exit(1).expect_text(&["TU0609", "File/c"]);
    assert!(project.world().is_empty());
}
