//! Directories and what stands in them, files and directories that trade names: by `nests` alone.

use std::collections::BTreeMap;

use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;
use crate::progress::{Finished, Progress};

/// The address of a path; kind `D` is a directory, `K` a file.
fn path(kind: &str, text: &str) -> Address {
    let (scope, key) = text.rsplit_once('/').unwrap_or(("", text));
    Address::new("p", kind, scope, key)
}

/// A world of paths that are replaced create-first.
fn paths() -> Sim {
    let mut sim = Sim::new();
    sim.kind = Arc::new(Kind { nests: Some("/".into()), replace: ReplaceOrder::CreateFirst, ..kind() });
    sim.options.allow_deletes = Some(1000);
    sim
}

fn want(sim: &mut Sim, name: &str, address: &Address) {
    sim.want_at(name, address, json!({}));
    let view = ScopeView { scope: address.scope.clone(), coverage: Coverage::Whole, objects: BTreeMap::new() };
    sim.views.entry(address.scope.clone()).or_insert(view);
}

fn have(sim: &mut Sim, name: &str, address: &Address) {
    sim.own_at(name, address, json!({}));
    sim.put(address, json!({"spec": {}}));
}

/// Plans from (name, kind, path) that are there to those that are declared.
#[track_caller]
fn check(before: &[(&str, &str, &str)], after: &[(&str, &str, &str)], lines: &[&str]) -> Plan {
    let mut sim = paths();
    before.iter().for_each(|(name, kind, text)| have(&mut sim, name, &path(kind, text)));
    after.iter().for_each(|(name, kind, text)| want(&mut sim, name, &path(kind, text)));
    sim.check_plan(lines)
}

#[test]
fn a_directory_is_made_before_its_files_and_goes_after_them() {
    let all = [("a", "K", "d/e/x"), ("b", "D", "d"), ("c", "D", "d/e")];
    let plan = check(&[], &all, &["create b", "create c", "create a"]);
    assert_eq!(plan.steps.iter().map(|it| it.after.clone()).collect::<Vec<_>>(), [vec![], vec![0], vec![1]]);
    let plan = check(&all, &[], &["delete a", "delete c", "delete b"]);
    assert_eq!(plan.steps.iter().map(|it| it.after.clone()).collect::<Vec<_>>(), [vec![], vec![0], vec![1]]);
    // Another scope whose name only begins the same has nothing to do with it.
    let plan = check(&[], &[("a", "K", "de/x"), ("b", "D", "d")], &["create a", "create b"]);
    assert_eq!(plan.steps[1].after, [0; 0]);
}

#[test]
fn a_file_that_is_to_stand_in_its_own_name_or_around_it_goes_first() {
    for (old, new, collides) in
        [("a", "a/x", true), ("a/x", "a", true), ("a/x/y", "a", true), ("a", "ab/x", false), ("a", "b", false)]
    {
        let plan = check(&[("f", "K", old)], &[("f", "K", new)], &["replace f"]);
        let order = if collides { ReplaceOrder::DeleteFirst } else { ReplaceOrder::CreateFirst };
        assert_eq!(plan.steps[0].action, Action::Replace(order), "{old} {new}");
        assert_eq!(reasons(&plan.steps[0]).contains(&"collision"), collides, "{old} {new}");
    }
}

#[test]
fn what_is_in_the_way_of_another_goes_first() {
    let plan = check(&[("z", "K", "a")], &[("f", "K", "a/x")], &["delete z", "create f"]);
    assert_eq!(plan.steps[1].after, [0]);
    let plan = check(&[("z", "K", "a/x")], &[("f", "K", "a")], &["delete z", "create f"]);
    assert_eq!(plan.steps[1].after, [0]);
    let plan = check(&[("z", "D", "a")], &[("f", "K", "a")], &["delete z", "create f"]);
    assert_eq!(plan.steps[1].after, [0]);
    // A replacement whose new place is elsewhere, and whose old one is wanted.
    for wanted in ["a", "a/x"] {
        let plan = check(&[("z", "D", "a")], &[("f", "K", wanted), ("z", "D", "b")], &["replace z", "create f"]);
        assert_eq!(plan.steps[0].action, Action::Replace(ReplaceOrder::DeleteFirst), "{wanted}");
        assert_eq!(plan.steps[1].after, [0]);
    }
}

#[test]
fn a_directory_that_moves_with_its_files_is_made_first_and_goes_last() {
    let before = [("d", "D", "a"), ("f", "K", "a/x")];
    let plan = check(&before, &[("d", "D", "b"), ("f", "K", "b/x")], &["replace d", "replace f"]);
    let mut progress = Progress::new(&plan, &|_| 9);
    let mut done = Vec::new();
    while let Some(work) = progress.ready().first().copied() {
        done.push((work.0, made_of(work.1)));
        progress.finish(work, &Finished::Done);
    }
    assert_eq!(done, [(0, true), (1, true), (1, false), (0, false)]);
}

fn made_of(part: crate::progress::Part) -> bool {
    part == crate::progress::Part::Create
}

#[test]
fn nothing_is_taken_away_under_what_stays() {
    let before = [("d", "D", "a"), ("e", "D", "a/b"), ("f", "K", "a/b/x")];
    let refused = [code(codes::STEP_SKIPPED, "d"), code(codes::STEP_SKIPPED, "e")];
    let plan = check(&before, &[("f", "K", "a/b/x")], &[&refused[0], &refused[1]]);
    assert!(plan.refused[0].reason.contains("K/f") && plan.refused[0].reason.contains("a/b/x"), "{:?}", plan.refused);
    // Whatever the reason why it stays.
    let mut sim = paths();
    before.iter().for_each(|(name, kind, text)| have(&mut sim, name, &path(kind, text)));
    sim.entries.get_mut(&path("K", "a/b/x")).unwrap().protect = true;
    sim.check_plan(&[&refused[0], &refused[1], &code(codes::PROTECTED, "f")]);
    // A replacement takes its old place away as well.
    check(&before[..2], &[("d", "D", "c"), ("e", "D", "a/b")], &[&refused[0]]);
}

#[test]
fn what_is_gone_already_keeps_no_place() {
    let mut sim = paths();
    have(&mut sim, "d", &path("D", "a"));
    let file = path("K", "a/x");
    have(&mut sim, "f", &file);
    sim.vanish(&file);
    sim.check_plan(&["delete d", "forget f"]);
    // Deleted by a run that was killed before it could say so.
    sim.intents.push(Intent {
        token: "t".into(),
        resource: id("f"),
        address: file,
        action: IntentAction::Delete,
        prior: None,
        desired: None,
        document: None,
        after: Arc::default(),
        siblings: Arc::default(),
        protect: false,
        prune: true,
        operation: None,
        started_ms: 0,
    });
    sim.check_plan(&["delete d"]);
}

#[test]
fn wishes_that_make_a_circle_leave_those_of_others_alone() {
    let mut sim = paths();
    for (name, kind, text) in [("d", "D", "a"), ("f", "K", "a/x"), ("z1", "D", "q"), ("y1", "K", "q/x")] {
        want(&mut sim, name, &path(kind, text));
    }
    sim.desired[0].0.after = [id("f")].into();
    let plan = sim.check_plan(&["create f", "create d", "create z1", "create y1"]);
    assert_eq!((plan.steps[1].after.clone(), plan.steps[3].after.clone()), (vec![0], vec![2]));
}

/// Which of three levels of two names a path has, and whether it is a directory.
fn tree() -> impl Strategy<Value = BTreeMap<String, bool>> {
    btree_map(proptest::string::string_regex("[ab](/[ab]){0,2}").unwrap(), any::<bool>(), 0..8).prop_map(|mut tree| {
        // Nothing stands in a file.
        let files: Vec<String> = tree.iter().filter(|(_, dir)| !**dir).map(|(path, _)| format!("{path}/")).collect();
        tree.retain(|path, _| !files.iter().any(|file| path.starts_with(file)));
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any tree becomes any other, whatever the steps that may run at a time end in: nothing is made in a file or where
    /// something stands, no directory goes that holds something.
    #[test]
    fn one_tree_becomes_another(before in tree(), after in tree(), last_first: bool) {
        let mut sim = paths();
        let kind = |dir: bool| if dir { "D" } else { "K" };
        for (text, dir) in &before {
            have(&mut sim, &format!("old-{}", text.replace('/', "-")), &path(kind(*dir), text));
        }
        for (text, dir) in &after {
            want(&mut sim, &format!("new-{}", text.replace('/', "-")), &path(kind(*dir), text));
        }
        let plan = sim.plan();
        let text = |it: &Address| if it.scope.scope.is_empty() { it.key.to_string() } else { format!("{}/{}", it.scope.scope, it.key) };
        let mut world = before.clone();
        let mut progress = Progress::new(&plan, &|_| usize::MAX);
        let mut running = progress.ready();
        while let Some(work) = if last_first { running.pop() } else { (!running.is_empty()).then(|| running.remove(0)) } {
            let step = &plan.steps[work.0];
            let name = text(&step.address);
            let inside = format!("{name}/");
            let holds = world.keys().any(|it| it.starts_with(&inside));
            match step.action {
                Action::Create => {
                    let dir = &*step.address.scope.kind == "D";
                    let blocked = world.iter().any(|(it, dir)| !dir && name.starts_with(&format!("{it}/")));
                    prop_assert!(!blocked && (!holds || dir) && !world.contains_key(&name), "{name}: {:?}", lines(&plan));
                    world.insert(name, dir);
                }
                Action::Delete => {
                    // What is yet to be made in it again makes its own parents.
                    prop_assert!(!holds, "{name}: {:?}", lines(&plan));
                    world.remove(&name);
                }
                _ => prop_assert_eq!(step.action, Action::Move),
            }
            progress.finish(work, &Finished::Done);
            running.extend(progress.ready());
        }
        prop_assert!(progress.is_done());
        // A directory that is no longer declared stays where something stays in it.
        for refused in &plan.refused {
            let name = text(refused.address.as_ref().unwrap());
            prop_assert!(after.keys().any(|it| it.starts_with(&format!("{name}/"))), "{refused:?}");
            world.remove(&name);
        }
        prop_assert_eq!(world, after);
    }
}
