//! SIGKILL at every boundary and at random moments: after one more pass the directory equals Git, with nothing doubled,
//! orphaned or lost.
//!
//! Each round takes a project that was applied once, commits a change of every sort (create, update, replace, move, delete),
//! kills the apply, lets Git move on in some of the rounds, and then asks: a plain apply succeeds and refuses nothing, the world
//! is exactly what Git says, and the plan after it is empty.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use trueup_tests::{Project, document, long};

/// The list of the code under test itself.
#[path = "../../engine/src/killpoint/points.rs"]
pub mod points;

use points::POINTS;

/// Kills that a long run makes at random moments, beside those at every boundary; a short one makes a share of them.
const KILLS: usize = 300;
const SHORT_KILLS: usize = 10;

/// What the world must hold, by path.
type World = BTreeMap<String, String>;

/// Files of one state of the repository: name of the resource, path, content.
type Files = Vec<(String, String, String)>;

/// What Git says in this round. To the round before it is a change of every sort: creates and deletes (`fresh`), updates,
/// replacements, moves from name to name.
fn state(round: usize) -> Files {
    let mut files = Vec::new();
    let mut file = |name: String, path: String, content: &str| files.push((name, path, content.to_owned()));
    for at in 0..5 {
        file(format!("keep-{at}"), format!("keep/{at}.txt"), "same\n");
        file(format!("update-{at}"), format!("update/{at}.txt"), &format!("new {round}\n"));
        file(format!("replace-{at}"), format!("place-{round}/{at}.txt"), "moved file\n");
        file(format!("move-{}-{at}", round % 2), format!("move/{at}.txt"), "renamed resource\n");
        file(format!("fresh-{round}-{at}"), format!("fresh-{round}/{at}.txt"), &format!("fresh {round}\n"));
    }
    files
}

/// What becomes of the documents between the kill and the next pass.
const TWISTS: [&str; 4] = ["stays", "is edited", "is removed", "is moved"];

/// The state of a round after Git moved on once more. What was being changed when the run was killed is wanted otherwise now.
fn twisted(round: usize, twist: &str) -> Files {
    let changing = |name: &str| ["update-", "replace-", "fresh-"].iter().any(|it| name.starts_with(it));
    let change = |(name, path, content): (String, String, String)| match twist {
        "is edited" if changing(&name) => Some((name, path, format!("edited {round}\n"))),
        "is removed" if changing(&name) && !name.ends_with('4') => None,
        "is moved" if changing(&name) => Some((name, format!("elsewhere-{round}/{path}"), content)),
        _ => Some((name, path, content)),
    };
    state(round).into_iter().filter_map(change).collect()
}

/// Writes the files as documents; `move-N-…` says that it was the other.
fn declare(project: &Project, files: &Files) {
    let _ = fs::remove_dir_all(project.repo().join("base"));
    for (name, path, content) in files {
        let mut text = document(name, path, content);
        let other = name.strip_prefix("move-0").map(|it| format!("move-1{it}"));
        if let Some(old) = other.or_else(|| Some(format!("move-0{}", name.strip_prefix("move-1")?))) {
            let named = format!("metadata: {{name: {name}, annotations: {{trueup.dev/moved-from: File/{old}}}}}");
            text = text.replace(&format!("metadata: {{name: {name}}}"), &named);
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
    declare(&project, &state(0));
    project.commit("before");
    project.apply();
    assert_eq!(files_of(&project), world_of(&state(0)));
    project
}

fn apply_arguments() -> [&'static str; 4] {
    ["apply", "--yes", "--allow-deletes", "100"]
}

/// What must hold after a kill: Git moves on or not, and one more pass makes the world equal to it, with nothing refused.
#[track_caller]
fn check(project: &Project, round: usize, twist: &str, what: &str) {
    let want = twisted(round, twist);
    if twist != "stays" {
        declare(project, &want);
        project.commit("after the kill");
    }
    let what = format!("{what}, and what Git wants {twist}");
    let run = project.run(&apply_arguments());
    assert_eq!(run.code, Some(0), "the pass after {what} failed\n{run}");
    assert_eq!(files_of(project), world_of(&want), "after {what}\n{run}");
    assert!(!project.site().join(".trueup-tmp").exists(), "a temporary file stayed after {what}");
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "the plan after {what} is not empty: {plan}");
    assert_eq!(plan["refused"].as_array().map(Vec::len), Some(0), "something is refused after {what}: {plan}");
    assert_eq!(plan["summary"]["unchanged"].as_u64(), u64::try_from(want.len()).ok(), "after {what}: {plan}");
}

/// Runs an apply that is to die at the n-th time that it passes the place; whether it did. Otherwise it has done its work.
#[track_caller]
fn kill_at(project: &Project, place: &str) -> bool {
    let output = project.command(&apply_arguments()).env("TRUEUP_KILL_AT", place).output().expect("a run");
    let code = output.status.code();
    assert!(matches!(code, None | Some(0)), "{place}: {code:?} {}", String::from_utf8_lossy(&output.stderr));
    code.is_none()
}

#[test]
fn a_kill_at_every_boundary_leaves_a_world_that_the_next_pass_makes_true() {
    let most = if long() { 8 } else { 2 };
    let mut twists = TWISTS.iter().cycle();
    let mut killed = 0;
    for point in POINTS {
        for hit in 1..=most {
            let project = applied();
            declare(&project, &state(1));
            project.commit("after");
            let place = format!("{point}:{hit}");
            let died = kill_at(&project, &place);
            assert!(died || hit > 1, "{point} is never passed: is the binary built with the feature `killpoints`?");
            killed += usize::from(died);
            // Every place sees every twist in a long run, and every twist comes up in a short one.
            check(&project, 1, twists.next().expect("a circle"), &format!("a kill at {place}"));
            if !died {
                break;
            }
        }
        twists.next();
    }
    println!("{killed} kills at boundaries");
}

#[test]
fn a_kill_at_random_moments_leaves_a_world_that_the_next_pass_makes_true() {
    let wanted = if long() { KILLS } else { SHORT_KILLS };
    // One project for all rounds: what a kill leaves is the next round's beginning.
    let project = applied();
    let mut state_of_chance = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut killed, mut round) = (0, 0);
    let mut typical = Duration::from_millis(60);
    while killed < wanted {
        round += 1;
        assert!(round <= wanted * 4, "only {killed} of {round} runs were killed while they ran");
        declare(&project, &state(round));
        project.commit("next");
        state_of_chance = state_of_chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = f64::from(u32::try_from(state_of_chance >> 33).unwrap_or_default()) / f64::from(u32::MAX >> 1);
        let wait = typical.mul_f64(share);
        let begun = Instant::now();
        match kill_after(&project, wait) {
            true => killed += 1,
            // What a machine takes is its own: a run that was faster than the wait says how long that is.
            false => typical = typical.min(begun.elapsed()),
        }
        check(&project, round, TWISTS[round % TWISTS.len()], &format!("a kill after {wait:?} in round {round}"));
    }
    println!("{killed} kills at random moments in {round} rounds");
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

/// A project in which the create of `new.txt` was killed at this place.
fn killed_create(place: &str) -> Project {
    let project = Project::new();
    project.declare("keep", "keep.txt", "same").commit("before");
    project.apply();
    project.declare("new", "new.txt", "declared").commit("new");
    assert!(kill_at(&project, place), "{place}");
    project
}

#[test]
fn an_object_whose_create_was_killed_goes_with_its_document() {
    for (place, there) in [("call.after:1", true), ("call.before:1", false)] {
        let project = killed_create(place);
        assert_eq!(project.world().contains_key("new.txt"), there, "{place}");
        project.remove("base/new.yaml").commit("gone");
        project.apply();
        assert_eq!(project.world().keys().collect::<Vec<_>>(), ["keep.txt"], "{place}");
        assert_eq!(project.plan()["summary"]["refused"].as_u64(), Some(0), "{place}");
    }
}

#[test]
fn an_object_whose_create_was_killed_is_fully_owned_though_git_moved_on() {
    let project = killed_create("call.after:1");
    project.declare("new", "new.txt", "another").commit("changed");
    project.apply();
    assert_eq!(project.world().get("new.txt").map(String::as_str), Some("another"));
    project.remove("base/new.yaml").commit("gone");
    project.apply();
    assert_eq!(project.world().keys().collect::<Vec<_>>(), ["keep.txt"]);
}

#[test]
fn protection_outlives_a_kill_and_its_document() {
    let project = Project::new();
    project.declare("keep", "keep.txt", "same").commit("before");
    project.apply();
    let text = document("new", "new.txt", "declared");
    let protected = "metadata: {name: new, annotations: {trueup.dev/protect: \"true\"}}";
    project.write("base/new.yaml", text.replace("metadata: {name: new}", protected)).commit("protected");
    assert!(kill_at(&project, "call.after:1"));
    project.remove("base/new.yaml").commit("gone");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["the object is protected"]);
    assert_eq!(project.world().get("new.txt").map(String::as_str), Some("declared"));
}

#[test]
fn a_file_that_a_person_writes_after_a_kill_is_not_taken_for_ours() {
    let project = killed_create("call.before:1");
    fs::write(project.site().join("new.txt"), "a person's").unwrap();
    for _ in 0..2 {
        let run = project.run(&["apply", "--yes"]).expect_exit(1);
        run.expect_text(&["the object exists and nobody claimed it"]).expect_no_text(&["mark", "drift"]);
        assert_eq!(project.world().get("new.txt").map(String::as_str), Some("a person's"));
    }
    // As declared it is no conflict: nothing tells it from what the run was to write.
    fs::remove_file(project.site().join("new.txt")).unwrap();
    project.apply();
    assert_eq!(project.world().get("new.txt").map(String::as_str), Some("declared"));
}
