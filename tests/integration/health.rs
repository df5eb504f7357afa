//! What `status` knows without looking, and what `apply --wait` waits for.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use trueup_tests::guests::hostile_project;
use trueup_tests::{Project, Run};

fn status(project: &Project) -> Json {
    project.run(&["status", "-o", "json"]).expect_exit(0).json()["environments"][0].clone()
}

/// A project of the guest whose thing `t` has this text, and these annotations.
fn ailing(text: &str, annotations: &str) -> Project {
    let project = hostile_project("honest", "");
    let head = format!("metadata: {{name: t, annotations: {{{annotations}}}}}");
    project.write("base/t.yaml", format!("apiVersion: evil/v1\nkind: Thing\n{head}\nspec: {{text: {text}}}\n"));
    project.commit("an ailing thing");
    project
}

#[test]
fn status_tells_health_and_drift_of_the_last_look_and_looks_at_nothing_itself() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
    let fresh = status(&project);
    assert_eq!((&fresh["health"], &fresh["observed"], &fresh["drifted"]), (&json!("unknown"), &Json::Null, &Json::Null));
    project.apply();
    let applied = status(&project);
    assert_eq!((&applied["sync"], &applied["health"], &applied["drifted"]), (&json!("synced"), &json!("healthy"), &json!(0)));
    assert_eq!((&applied["objects"], &applied["unhealthy"]), (&json!({"healthy": 2}), &json!([])), "{applied}");

    fs::write(project.site().join("a.txt"), "by hand\n").unwrap();
    fs::remove_file(project.site().join("b.txt")).unwrap();
    assert_eq!(status(&project), applied, "nobody looked");
    project.run(&["plan"]).expect_exit(0);
    let seen = status(&project);
    assert_eq!((&seen["sync"], &seen["health"], &seen["drifted"]), (&json!("drifted"), &json!("missing"), &json!(1)), "{seen}");
    assert_eq!(seen["objects"], json!({"missing": 1, "healthy": 1}));
    assert_eq!(seen["unhealthy"], json!([{"id": "site:File/b", "state": "missing", "message": ""}]));
    project.run(&["status"]).expect_exit(0).expect_text(&["drifted", "1 of 2 missing", "File/b is missing", "Next: trueup plan"]);
    project.apply();
    let healed = status(&project);
    assert_eq!((&healed["sync"], &healed["health"], &healed["drifted"]), (&json!("synced"), &json!("healthy"), &json!(0)));

    fs::remove_file(project.repo().join(".trueup/cache.db")).unwrap();
    assert_eq!(status(&project)["health"], "unknown", "what was lost is not made up");
}

#[test]
fn a_change_in_git_alone_is_no_drift() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.apply();
    project.declare("a", "a.txt", "two\n").declare("b", "b.txt", "b\n").commit("two changes");
    project.run(&["plan"]).expect_exit(0);
    let seen = status(&project);
    assert_eq!((&seen["sync"], &seen["drifted"], &seen["health"]), (&json!("behind"), &json!(0), &json!("healthy")), "{seen}");
    project.run(&["destroy", "--yes", "--allow-deletes", "1"]).expect_exit(0);
    assert_eq!(status(&project)["objects"], json!({}));
}

#[test]
fn what_a_provider_says_of_an_objects_health_is_told() {
    let project = ailing("sick", "");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    let sick = json!([{"id": "evil:Thing/t", "state": "degraded", "message": "it coughs"}]);
    for look in ["after the apply", "after a plan"] {
        let seen = status(&project);
        assert_eq!((&seen["health"], &seen["unhealthy"], &seen["sync"]), (&json!("degraded"), &sick, &json!("synced")), "{look}");
        project.run(&["plan", "--trust"]).expect_exit(0);
    }
    project.run(&["status"]).expect_text(&["1 of 2 degraded", "Thing/t is degraded: it coughs"]);
}

#[test]
fn apply_waits_for_health_only_where_it_was_asked_to() {
    let project = ailing("slow", "");
    let begun = Instant::now();
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(status(&project)["health"], "progressing");

    let project = ailing("slow", "");
    let mut command = project.command(&["apply", "--yes", "--trust", "--wait"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let thing = project.repo().join("evil/t.thing");
    while !thing.exists() {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "it is applied and not healthy");
    fs::write(project.repo().join("evil/t.ready"), "").unwrap();
    Run::of(child.wait_with_output().unwrap()).expect_exit(0).expect_text(&["Applied: 2 done"]);
    assert_eq!(status(&project)["health"], "healthy");
}

#[test]
fn what_does_not_become_healthy_in_its_time_fails_the_run_and_stays_applied() {
    let project = ailing("sick", "trueup.dev/timeout: 2s");
    let run = project.run(&["apply", "--yes", "--trust", "--wait"]).expect_exit(1);
    run.expect_text(&["TU0614", "Thing/t is degraded: it coughs, 2 s after it was applied", "base/t.yaml:"]);
    project.run(&["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    project.write(
        "base/t.yaml",
        "apiVersion: evil/v1\nkind: Thing\nmetadata: {name: t, annotations: {trueup.dev/timeout: 1s}}\nspec: {text: slow}\n",
    );
    project.commit("slow now");
    let object = project.run(&["apply", "--yes", "--trust", "--wait", "-o", "json"]).expect_exit(1).json();
    assert_eq!((&object["outcome"], &object["steps"][0]["outcome"]), (&json!("failed"), &json!("done")), "{object}");
    assert_eq!(object["diagnostics"][0]["code"], "TU0614", "{object}");
}
