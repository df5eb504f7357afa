//! A document that claims its scope: what nobody declares there goes, once a person has seen it.

use std::collections::BTreeMap;

use trueup_tests::guests::{hostile_project, thing};
use trueup_tests::{Project, Run, tree};

/// A box that claims all things but those named.
fn claim(all: bool, ignore: &[&str]) -> String {
    format!("apiVersion: evil/v1\nkind: Box\nmetadata: {{name: b}}\nspec: {{all: {all}, ignore: [{}]}}\n", ignore.join(", "))
}

/// The declared thing `t` and whatever is put beside it; the box is declared and claims.
fn project() -> Project {
    let project = hostile_project("honest", "");
    project.write("base/b.yaml", claim(true, &["kept*"])).commit("a claim");
    project
}

fn put(project: &Project, name: &str, text: &str) {
    project.write(&format!("evil/{name}.thing"), text);
}

fn things(project: &Project) -> Vec<String> {
    let all: BTreeMap<String, String> = tree(&project.repo().join("evil"));
    all.into_keys().filter_map(|it| it.strip_suffix(".thing").map(str::to_owned)).collect()
}

#[track_caller]
fn apply(project: &Project, more: &[&str]) -> Run {
    project.run(&[&["apply", "--yes", "--trust"], more].concat())
}

#[test]
fn the_first_apply_lists_every_removal_and_waits_and_later_ones_do_not() {
    let project = project();
    for (name, text) in [("stray", "x"), ("kept-by-others", "x"), ("soa", "system")] {
        put(&project, name, text);
    }
    let plan = project.run(&["plan", "--trust"]).expect_exit(1);
    plan.expect_text(&["Thing/stray", "TU0602", "Box/b (base/b.yaml:2) claims", "--allow-deletes 1"])
        .expect_no_text(&["kept-by-others", "soa"]);
    // Everything else is done, more than once, and the claim still waits.
    for _ in 0..2 {
        apply(&project, &[]).expect_exit(1).expect_text(&["Thing/stray", "TU0602"]);
        assert_eq!(things(&project), ["kept-by-others", "soa", "stray", "t"]);
    }
    apply(&project, &["--allow-deletes", "1"]).expect_exit(0);
    assert_eq!(things(&project), ["kept-by-others", "soa", "t"]);
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    // It is known from now on.
    put(&project, "late", "x");
    let plan = project.run(&["plan", "--trust", "-o", "json"]).expect_exit(0).json();
    let step = &plan["steps"][0];
    assert_eq!((&step["action"], &step["id"]), (&"delete".into(), &"evil:Thing/late".into()), "{plan}");
    assert_eq!(step["reasons"][0]["code"], "claimed", "{plan}");
    assert_eq!((&step["changes"][0]["path"], &step["changes"][0]["before"]), (&"spec.text".into(), &"x".into()), "{plan}");
    apply(&project, &[]).expect_exit(0);
    assert_eq!(things(&project), ["kept-by-others", "soa", "t"]);
    // A claim that is given up takes nothing, and is new when it comes back.
    project.write("base/b.yaml", claim(false, &[])).commit("no claim");
    put(&project, "later", "x");
    apply(&project, &[]).expect_exit(0);
    project.write("base/b.yaml", claim(true, &["kept*"])).commit("a claim again");
    apply(&project, &[]).expect_exit(1).expect_text(&["Thing/later", "TU0602"]);
    assert_eq!(things(&project), ["kept-by-others", "later", "soa", "t"]);
}

#[test]
fn a_claim_reaches_a_scope_in_which_nothing_is_declared() {
    let project = hostile_project("honest", "");
    project.remove("base/t.yaml").write("base/b.yaml", claim(true, &[])).commit("a claim alone");
    put(&project, "stray", "x");
    apply(&project, &["--allow-deletes", "1"]).expect_exit(0);
    assert_eq!(things(&project), [""; 0]);
}

#[test]
fn what_is_claimed_elsewhere_or_cannot_be_read_stays() {
    // Another environment of the same store owns what the claim would take.
    let project = project();
    let text = std::fs::read_to_string(project.repo().join("trueup.yaml")).unwrap();
    project.write("trueup.yaml", text.replace("prod: {layers: [base]}", "prod: {layers: [base]}\n  dev: {layers: [dev]}"));
    project.write("dev/d.yaml", thing("d", "")).commit("two environments");
    project.run(&["apply", "--yes", "--trust", "-e", "dev"]).expect_exit(0);
    project.run(&["apply", "--yes", "--trust", "-e", "prod", "--allow-deletes", "9"]).expect_exit(0);
    assert_eq!(things(&project), ["d", "t"]);
    // A thing that is there and declared, and refused, is nobody's to claim either.
    project.write("base/u.yaml", thing("u", "")).commit("a third");
    put(&project, "u", "theirs");
    project.run(&["apply", "--yes", "--trust", "-e", "prod", "--allow-deletes", "9"]).expect_exit(1).expect_text(&["TU0600"]);
    assert_eq!(things(&project), ["d", "t", "u"]);
}

#[test]
fn a_claimed_delete_that_a_kill_cut_off_is_done_by_the_next_run() {
    for place in ["store.intent.after", "call.before", "call.after", "store.outcome.before"] {
        let project = project();
        put(&project, "stray", "x");
        apply(&project, &["--allow-deletes", "1"]).expect_exit(0);
        put(&project, "late", "x");
        let mut command = project.command(&["apply", "--yes", "--trust"]);
        Run::of(command.env("TRUEUP_KILL_AT", format!("{place}:1")).output().unwrap());
        apply(&project, &[]).expect_exit(0);
        assert_eq!(things(&project), ["t"], "{place}");
        project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    }
}
