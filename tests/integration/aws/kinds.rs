//! Every kind, from its making to its end, by the real binary.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Map, Value as Json, json};

use super::case::{self, Case};
use super::site::Site;

/// Tells the story for every kind, two at a time; the kinds for which it did not go well, all of them.
fn each(story: impl Fn(&Case) + Sync) {
    let cases = case::all();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| story(case))) {
                failed.lock().unwrap().push(format!("---- {}\n{}", case.kind, words(panic.as_ref())));
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} kinds:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Fields that a change takes from one value to another.
fn lines(case: &Case, action: &str, set: &Map<String, Json>) -> Vec<String> {
    let mut lines: Vec<String> = set.keys().map(|it| format!("{action} {} {it}", case.resource())).collect();
    lines.sort();
    lines
}

/// What the plan names of a creation: the object and what is around it.
fn creations(case: &Case) -> Vec<String> {
    let name = |it: &Json| format!("create {}/{}", it["kind"].as_str().unwrap(), it["name"].as_str().unwrap());
    let mut all: Vec<String> = case.around.iter().map(name).collect();
    all.push(format!("create {}", case.resource()));
    all.sort();
    all
}

/// Kinds whose story is still to be told.
const UNTOLD: [&str; 11] = [
    "Alias",
    "AutoScalingGroup",
    "BucketObject",
    "Cluster",
    "Function",
    "Key",
    "Listener",
    "LogGroup",
    "NodeGroup",
    "RecordSet",
    "Secret",
];

#[test]
fn every_kind_of_the_plugin_has_its_story_and_every_field_a_change() {
    let stories = case::names("tests/integration/aws/kinds");
    let untold = |it: &String| !stories.contains(it) && !UNTOLD.contains(&it.as_str());
    let missing: Vec<String> = case::names("plugins/aws/kinds").into_iter().filter(untold).collect();
    assert!(missing.is_empty(), "no file in tests/integration/aws/kinds tells of {missing:?}");
    each(|case| {
        let touched = |name: &String| case.changes.iter().any(|it| it.set.contains_key(name));
        let left: Vec<String> = case.fields().into_iter().filter(|it| !touched(it) && !case.untested.contains_key(it)).collect();
        assert!(left.is_empty(), "no change touches {left:?}, and `untested` does not say why");
        // Parts of the story that a kind may lack.
        let parts = ["drift", "foreign", "tags"];
        let idle: Vec<&String> = case
            .untested
            .iter()
            .filter(|(name, why)| {
                touched(name) || why.is_empty() || !(case.fields().contains(name) || parts.contains(&name.as_str()))
            })
            .map(|it| it.0)
            .collect();
        assert!(idle.is_empty(), "{idle:?} of `untested` are tested, are no fields, or have no reason");
        assert_eq!(case.drift.calls.is_empty(), case.drift.fields.is_empty());
        assert!(
            !case.drift.calls.is_empty() || case.untested.contains_key("drift"),
            "nothing drifts, and `untested` does not say why"
        );
        assert!(
            !case.foreign.is_empty() || case.untested.contains_key("foreign"),
            "`foreign` is missing, and `untested` does not say why"
        );
    });
}

#[test]
fn every_kind_is_made_changed_healed_and_taken_away() {
    each(|case| {
        let site = Site::new();
        let before = site.counts(case);
        let mut spec = case.spec.clone();
        site.surround(case).declare(case, &spec);
        assert_eq!(site.plan(), creations(case));
        site.apply();
        site.settled();
        for change in case.all_changes() {
            let mut set = change.set.clone();
            for (name, value) in &change.set {
                match value {
                    Json::Null => spec.remove(name),
                    value => spec.insert(name.clone(), value.clone()),
                };
                set.entry(name.clone()).or_insert(Json::Null);
            }
            site.declare(case, &spec);
            assert_eq!(site.plan(), lines(case, &change.action, &set), "{set:?}\n{}", site.run(&["plan"]));
            site.apply();
            assert_eq!(site.plan(), [""; 0], "after {set:?}\n{}", site.run(&["plan"]));
        }
        // The object is one of many places in which the story may end: back to its beginning, which drift is described for.
        if spec != case.spec {
            site.declare(case, &case.spec).apply();
            site.settled();
        }
        if !case.drift.calls.is_empty() {
            let identity = site.identities()[&case.resource()].clone();
            site.by_hand(&case.drift.calls, &identity);
            let want: Map<String, Json> = case.drift.fields.iter().map(|it| (it.clone(), Json::Null)).collect();
            assert_eq!(site.plan(), lines(case, "update", &want));
            site.apply();
            site.settled();
        }
        site.withdraw(case);
        assert_eq!(site.plan(), [format!("delete {}", case.resource())]);
        let there = site.counts(case)[&case.kind];
        site.apply();
        site.settled();
        assert_eq!(site.counts(case)[&case.kind] + 1, there, "of {}", case.kind);
        site.withdraw_all().apply();
        site.settled();
        assert_eq!(site.counts(case), before);
    });
}

#[test]
fn every_kind_is_found_again_without_the_state() {
    each(|case| {
        let site = Site::new();
        let before = site.counts(case);
        site.surround(case).declare(case, &case.spec).apply();
        let there = site.counts(case);
        let known = site.identities();
        std::fs::remove_dir_all(site.project.repo().join(".trueup")).expect("a state");
        let adoptions: Vec<String> = creations(case).iter().map(|it| it.replace("create ", "adopt ")).collect();
        if case.is_marked() {
            assert_eq!(site.plan(), adoptions);
        }
        site.run(&["adopt", "--recovered", "--yes"]);
        if !case.is_marked() && case.has_names() {
            // What carries no mark is as anybody's: it takes a person's word.
            site.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
        } else if !case.is_marked() {
            // Nothing tells whose it is: its service answers with the one that is there when it is asked for another.
            site.apply();
        }
        site.settled();
        assert_eq!(site.identities(), known);
        site.apply();
        assert_eq!(site.counts(case), there);
        site.run(&["destroy", "--yes", "--allow-deletes", "50", "-e", "prod"]).expect_exit(0);
        assert_eq!(site.counts(case), before);
    });
}

#[test]
fn an_object_of_somebody_elses_is_left_alone_until_it_is_claimed() {
    each(|case| {
        if case.foreign.is_empty() {
            return;
        }
        let site = Site::new();
        let before = site.counts(case);
        if !case.around.is_empty() {
            site.surround(case).project.commit("around");
            site.apply();
        }
        let identity = site.by_hand(&case.foreign, "");
        let there = site.counts(case);
        site.declare(case, &case.spec);
        if case.has_names() {
            assert_eq!(site.plan(), [format!("refused {} TU0600", case.resource())]);
            site.run(&["apply", "--yes"]).expect_exit(1);
            site.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
        } else {
            // Nothing says that this is the one that is meant.
            assert_eq!(site.plan(), [format!("create {}", case.resource())]);
            site.write(&case.kind, "main", &case.spec, &json!({ "trueup.dev/adopt": identity }));
            site.project.commit("that one");
            assert_eq!(site.plan(), [format!("adopt {}", case.resource())]);
            site.apply();
        }
        site.settled();
        assert_eq!(site.identities()[&case.resource()], identity);
        assert_eq!(site.counts(case), there);
        site.withdraw_all().apply();
        site.settled();
        assert_eq!(site.counts(case), before);
    });
}
