//! SIGKILL at every boundary and at random moments: after one more pass the directory equals Git, with nothing doubled,
//! orphaned or lost.
//!
//! Each round takes a project that was applied once, commits a change of every sort (create, update, replace, move, delete),
//! kills the apply, and then asks three things: a plain apply succeeds, the world is exactly what Git says, and the plan
//! after it is empty.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;
use std::{fs, thread};

use trueup_tests::{Project, document, long};

/// The places that `engine/src/killpoint.rs` lists.
const POINTS: [&str; 10] = [
    "record.before",
    "record.after",
    "call.before",
    "call.after",
    "store.intent.before",
    "store.intent.after",
    "store.outcome.before",
    "store.outcome.after",
    "store.write.before",
    "store.write.after",
];

/// What the world must hold, by path.
type World = BTreeMap<String, String>;

/// Files of one state of the repository: name of the resource, path, content.
type Files = Vec<(String, String, String)>;

fn before() -> Files {
    let mut files = Vec::new();
    for at in 0..6 {
        files.push((format!("keep-{at}"), format!("keep/{at}.txt"), "same\n".to_owned()));
        files.push((format!("update-{at}"), format!("update/{at}.txt"), "old\n".to_owned()));
        files.push((format!("replace-{at}"), format!("old/{at}.txt"), "moved file\n".to_owned()));
        files.push((format!("move-{at}"), format!("move/{at}.txt"), "renamed resource\n".to_owned()));
        files.push((format!("delete-{at}"), format!("delete/{at}.txt"), "going\n".to_owned()));
    }
    files
}

fn after(round: usize) -> Files {
    let mut files = Vec::new();
    for at in 0..6 {
        files.push((format!("keep-{at}"), format!("keep/{at}.txt"), "same\n".to_owned()));
        files.push((format!("update-{at}"), format!("update/{at}.txt"), format!("new {round}\n")));
        files.push((format!("replace-{at}"), format!("new-{round}/{at}.txt"), "moved file\n".to_owned()));
        files.push((format!("moved-{at}"), format!("move/{at}.txt"), "renamed resource\n".to_owned()));
        files.push((format!("create-{at}"), format!("create-{round}/{at}.txt"), format!("fresh {round}\n")));
    }
    files
}

/// Writes the files as documents; `moved-N` says that it was `move-N`.
fn declare(project: &Project, files: &Files) {
    let _ = fs::remove_dir_all(project.repo().join("base"));
    for (name, path, content) in files {
        let mut text = document(name, path, content);
        if let Some(number) = name.strip_prefix("moved-") {
            let old = format!("metadata: {{name: {name}, annotations: {{trueup.dev/moved-from: File/move-{number}}}}}");
            text = text.replace(&format!("metadata: {{name: {name}}}"), &old);
        }
        project.write(&format!("base/{name}.yaml"), text);
    }
}

fn world_of(files: &Files) -> World {
    files.iter().map(|(_, path, content)| (path.clone(), content.clone())).collect()
}

/// Files of the site, directories left out: those of files that went may stay.
fn files_of(project: &Project) -> World {
    project.world().into_iter().filter(|(path, _)| !path.ends_with('/')).collect()
}

/// A project whose first state is applied.
fn applied() -> Project {
    let project = Project::new();
    declare(&project, &before());
    project.commit("before");
    project.apply();
    assert_eq!(files_of(&project), world_of(&before()));
    project
}

fn apply_arguments() -> [&'static str; 4] {
    ["apply", "--yes", "--allow-deletes", "100"]
}

/// The three things that must hold after a kill.
#[track_caller]
fn check(project: &Project, want: &Files, what: &str) {
    let run = project.run(&apply_arguments());
    assert_eq!(run.code, Some(0), "the pass after {what} failed\n{run}");
    assert_eq!(files_of(project), world_of(want), "after {what}\n{run}");
    assert!(!project.site().join(".trueup-tmp").exists(), "a temporary file stayed after {what}");
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "the plan after {what} is not empty: {plan}");
    assert_eq!(plan["summary"]["unchanged"].as_u64(), u64::try_from(want.len()).ok(), "after {what}: {plan}");
}

#[test]
fn a_kill_at_every_boundary_leaves_a_world_that_the_next_pass_makes_true() {
    let hits = if long() { 8 } else { 2 };
    let mut killed = 0;
    for point in POINTS {
        for hit in 1..=hits {
            let project = applied();
            declare(&project, &after(1));
            project.commit("after");
            let output =
                project.command(&apply_arguments()).env("TRUEUP_KILL_AT", format!("{point}:{hit}")).output().expect("a run");
            // The n-th hit of a place may never come: then the run ended by itself and must have done its work.
            match output.status.code() {
                None => killed += 1,
                Some(code) => assert_eq!(code, 0, "{point}:{hit}: {}", String::from_utf8_lossy(&output.stderr)),
            }
            check(&project, &after(1), &format!("a kill at {point}:{hit}"));
        }
    }
    assert!(killed >= POINTS.len(), "only {killed} kills: is the binary built with the feature `killpoints`?");
    println!("{killed} kills at boundaries");
}

#[test]
fn a_kill_at_random_moments_leaves_a_world_that_the_next_pass_makes_true() {
    let rounds = if long() { 300 } else { 12 };
    // One project for all rounds: what a kill leaves is the next round's beginning.
    let project = applied();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut killed = 0;
    for round in 0..rounds {
        declare(&project, &after(round));
        project.commit("next");
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = Duration::from_micros(2_000 + (state >> 33) % 60_000);
        killed += usize::from(kill_after(&project, wait));
        check(&project, &after(round), &format!("a kill after {wait:?} in round {round}"));
    }
    assert!(killed * 4 >= rounds, "only {killed} of {rounds} runs were killed while they ran");
    println!("{killed} kills at random moments");
}

/// Starts an apply and kills it after `wait`; whether it was still running.
fn kill_after(project: &Project, wait: Duration) -> bool {
    let mut child: Child =
        project.command(&apply_arguments()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a run");
    thread::sleep(wait);
    let was_running = child.try_wait().expect("a child").is_none();
    child.kill().expect("a signal");
    child.wait().expect("an end");
    was_running
}
