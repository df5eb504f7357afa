//! Ends in the middle of an apply, of the API server and of trueup itself: after one more pass the namespace is what Git says, with
//! nothing doubled, forgotten or orphaned.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use trueup_tests::kubernetes::Cluster;
use trueup_tests::servers::proxy::Fate;
use trueup_tests::{Project, long};

use super::world::{apply, is_write, maps, project_at, settled, write};

use crate::crash::points::POINTS;

/// Kills at random moments.
const KILLS: usize = 4;
const LONG_KILLS: usize = 100;

/// What Git says in this round; to the one before it is creates, updates and deletes.
fn state(round: usize) -> BTreeMap<String, String> {
    let mut maps = BTreeMap::new();
    for at in 0..8 {
        maps.insert(format!("keep-{at}"), "same".to_owned());
        maps.insert(format!("update-{at}"), format!("in {round}"));
        maps.insert(format!("fresh-{round}-{at}"), "fresh".to_owned());
    }
    maps
}

/// The state of the round, of which some is wanted otherwise in the meantime.
fn twisted(round: usize, twist: usize) -> BTreeMap<String, String> {
    let mut maps = state(round);
    match twist % 3 {
        1 => maps.values_mut().filter(|it| *it != "same").for_each(|it| it.push_str(", edited")),
        2 => maps.retain(|name, _| name.starts_with("keep") || name.ends_with('7')),
        _ => {}
    }
    maps
}

fn declare(project: &Project, maps: &BTreeMap<String, String>, message: &str) {
    let _ = fs::remove_dir_all(project.repo().join("base"));
    maps.iter().for_each(|(name, value)| write(project, name, value));
    project.commit(message);
}

/// One more pass: the namespace is what Git says, and the plan is empty.
#[track_caller]
fn mended(cluster: &Cluster, namespace: &str, project: &Project, want: &BTreeMap<String, String>, what: &str) {
    let run = apply(project);
    assert_eq!(run.code, Some(0), "the pass after {what} failed\n{run}");
    assert_eq!(maps(cluster, namespace), *want, "after {what}\n{run}");
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "after {what}: {plan:#}");
    assert_eq!(plan["refused"].as_array().map(Vec::len), Some(0), "after {what}: {plan:#}");
    assert_eq!(plan["summary"]["unchanged"].as_u64(), u64::try_from(want.len()).ok(), "after {what}: {plan:#}");
}

#[test]
fn an_api_server_that_is_killed_in_an_apply_leaves_nothing_doubled_forgotten_or_orphaned() {
    let cluster = Arc::new(Mutex::new(Cluster::start()));
    let (namespace, proxy, project) = {
        let cluster = cluster.lock().unwrap();
        let (namespace, proxy) = (cluster.namespace("killed"), cluster.proxy());
        let project = project_at(&cluster, proxy.port, &namespace);
        (namespace, proxy, project)
    };
    declare(&project, &state(0), "before");
    apply(&project).expect_exit(0);
    for (round, after) in [(1, 1), (2, 9), (3, 17)] {
        declare(&project, &state(round), "next");
        let (writes, victim) = (AtomicUsize::new(0), cluster.clone());
        proxy.decide(move |asked| {
            if is_write(asked) && writes.fetch_add(1, Ordering::SeqCst) == after {
                victim.lock().unwrap().kill();
            }
            Fate::Pass
        });
        let run = apply(&project);
        assert_eq!(run.code, Some(1), "{run}");
        proxy.decide(|_| Fate::Pass);
        let mut cluster = cluster.lock().unwrap();
        cluster.resume();
        let seen = maps(&cluster, &namespace);
        assert!(seen != state(round), "it was killed before the end: {seen:?}");
        mended(&cluster, &namespace, &project, &state(round), &format!("a kill of the server at write {after}"));
    }
}

/// A project on the shared server whose first state is applied.
fn applied(name: &str) -> (&'static Cluster, String, Project) {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace(name);
    let project = project_at(cluster, cluster.port(), &namespace);
    declare(&project, &state(0), "before");
    apply(&project).expect_exit(0);
    settled(&project);
    (cluster, namespace, project)
}

#[test]
fn a_kill_at_every_boundary_leaves_a_cluster_that_the_next_pass_makes_true() {
    let (cluster, namespace, project) = applied("boundary");
    let hits = if long() { 1..=4 } else { 1..=1 };
    let places = POINTS.iter().flat_map(|point| hits.clone().map(move |hit| (point, hit)));
    for (round, (point, hit)) in (1..).zip(places) {
        declare(&project, &state(round), "next");
        let place = format!("{point}:{hit}");
        let arguments = ["apply", "--yes", "--allow-deletes", "1000"];
        let output = project.command(&arguments).env("TRUEUP_KILL_AT", &place).output().expect("a run");
        let died = output.status.code().is_none();
        assert!(died || hit > 1, "{place} is never passed: is the binary built with the feature `killpoints`?");
        let want = twisted(round, round);
        declare(&project, &want, "after the kill");
        mended(cluster, &namespace, &project, &want, &format!("a kill at {place} in round {round}"));
    }
}

#[test]
fn kills_at_random_moments_leave_a_cluster_that_the_next_pass_makes_true() {
    let (cluster, namespace, project) = applied("random");
    let (mut typical, mut killed) = (Duration::from_millis(800), 0);
    let kills = if long() { LONG_KILLS } else { KILLS };
    for round in 1..kills * 3 {
        declare(&project, &state(round), "next");
        // Spread over the whole of a run, without a source of chance that a failure could not name.
        let wait = typical.mul_f64(f64::from(u32::try_from(round * 37 % 100).unwrap_or_default()) / 100.0);
        let begun = Instant::now();
        let mut command = project.command(&["apply", "--yes", "--allow-deletes", "1000"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a run");
        thread::sleep(wait);
        match child.try_wait().expect("a child") {
            None => killed += 1,
            // It was faster than the wait: so long is a run.
            Some(_) => typical = typical.min(begun.elapsed()),
        }
        child.kill().expect("a signal");
        child.wait().expect("an end");
        let want = twisted(round, round);
        declare(&project, &want, "after the kill");
        mended(cluster, &namespace, &project, &want, &format!("a kill after {wait:?} in round {round}"));
        if killed >= kills {
            break;
        }
    }
    assert!(killed > 0);
}
