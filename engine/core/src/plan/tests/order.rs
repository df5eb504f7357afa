//! Edges, and what a refusal means for neighbours.

use super::*;

fn after(sim: &mut Sim, name: &str, before: &[&str]) {
    let ids: Arc<[ResourceId]> = before.iter().map(|it| id(it)).collect();
    sim.desired.iter_mut().filter(|(it, _)| it.resource == id(name)).for_each(|(it, _)| it.after = ids.clone());
    sim.entries.values_mut().filter(|it| it.resource == id(name)).for_each(|it| it.after = ids.clone());
}

#[test]
fn steps_stand_behind_what_they_depend_on_and_ties_go_by_id() {
    let mut sim = Sim::new();
    for name in ["d", "c", "b", "a"] {
        sim.want(name, json!({}));
    }
    after(&mut sim, "a", &["d", "missing"]);
    after(&mut sim, "b", &["a"]);
    let plan = sim.converge(&["create c", "create d", "create a", "create b"]);
    assert_eq!(plan.steps.iter().map(|it| it.after.clone()).collect::<Vec<_>>(), [vec![], vec![], vec![1], vec![2]]);
}

#[test]
fn deletes_go_in_reverse() {
    let mut sim = Sim::new();
    sim.have("stays", json!({}));
    for name in ["a", "b", "c"] {
        sim.left(name, json!({}));
    }
    after(&mut sim, "b", &["a"]);
    after(&mut sim, "c", &["b"]);
    let plan = sim.check_plan(&["delete c", "delete b", "delete a"]);
    assert_eq!(plan.steps[2].after, [1]);
}

/// Says of the object at `key`, and of its entry, that those at `before` must be there first.
fn stands_on(sim: &mut Sim, key: &str, before: &[&str]) {
    let siblings: Arc<[Address]> = before.iter().map(|it| at(it)).collect();
    sim.desired.iter_mut().filter(|(it, _)| it.address == at(key)).for_each(|(it, _)| it.siblings = siblings.clone());
    sim.entries.values_mut().filter(|it| it.address == at(key)).for_each(|it| it.siblings = siblings.clone());
}

fn keys(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|it| format!("{} {}", it.action.name(), it.address.key)).collect()
}

#[test]
fn objects_of_one_resource_come_in_the_order_that_its_plugin_gave_and_go_in_reverse() {
    let mut sim = Sim::new();
    for key in ["x", "y", "z"] {
        sim.want_at("a", &at(key), json!({}));
    }
    stands_on(&mut sim, "x", &["y"]);
    stands_on(&mut sim, "y", &["z"]);
    let plan = sim.plan();
    assert_eq!(keys(&plan), ["create z", "create y", "create x"]);
    assert_eq!(plan.steps.iter().map(|it| it.after.clone()).collect::<Vec<_>>(), [vec![], vec![0], vec![1]]);
    let mut sim = Sim::new();
    sim.have("stays", json!({}));
    for key in ["x", "y", "z"] {
        sim.own_at("a", &at(key), json!({}));
        sim.see(key, json!({}));
    }
    stands_on(&mut sim, "x", &["y"]);
    stands_on(&mut sim, "y", &["z"]);
    let plan = sim.plan();
    assert_eq!(keys(&plan), ["delete x", "delete y", "delete z"]);
    assert_eq!(plan.steps.iter().map(|it| it.after.clone()).collect::<Vec<_>>(), [vec![], vec![0], vec![1]]);
}

#[test]
fn an_object_whose_sibling_is_refused_is_refused_and_one_that_is_built_on_stays() {
    let mut sim = Sim::new();
    for key in ["x", "y", "z"] {
        sim.want_at("a", &at(key), json!({}));
    }
    sim.see("y", json!({}));
    stands_on(&mut sim, "x", &["y"]);
    let plan = sim.plan();
    assert_eq!(keys(&plan), ["create z"], "{plan:#?}");
    assert!(plan.refused.iter().any(|it| it.code == codes::STEP_SKIPPED && it.reason.contains("s/y,")), "{:?}", plan.refused);
    let mut sim = Sim::new();
    for key in ["x", "y"] {
        sim.own_at("a", &at(key), json!({}));
        sim.see(key, json!({}));
    }
    stands_on(&mut sim, "x", &["y"]);
    sim.entries.get_mut(&at("x")).unwrap().protect = true;
    let plan = sim.plan();
    assert_eq!(keys(&plan), [""; 0], "{plan:#?}");
    assert_eq!(plan.refused.iter().map(|it| it.code).collect::<Vec<_>>(), [codes::PROTECTED, codes::STEP_SKIPPED]);
}

#[test]
fn an_order_that_moved_is_recorded_without_a_step() {
    let mut sim = Sim::new();
    for key in ["x", "y"] {
        sim.want_at("a", &at(key), json!({}));
        sim.own_at("a", &at(key), json!({}));
        sim.see(key, json!({}));
    }
    stands_on(&mut sim, "x", &["y"]);
    sim.entries.get_mut(&at("x")).unwrap().siblings = Arc::default();
    let plan = sim.plan();
    assert_eq!((plan.steps.len(), plan.records.iter().map(|it| it.desired).collect::<Vec<_>>()), (0, vec![0]), "{plan:#?}");
}

#[test]
fn an_update_lets_go_of_what_is_deleted_first() {
    let mut sim = Sim::new();
    sim.left("a", json!({}));
    sim.have("b", json!({"x": 1}));
    sim.see("b", json!({"x": 2}));
    sim.entries.get_mut(&at("b")).unwrap().after = [id("a")].into();
    let plan = sim.check_plan(&["update b", "delete a"]);
    assert_eq!(plan.steps[1].after, [0]);
}

#[test]
fn nothing_is_deleted_that_something_which_stays_was_built_on() {
    let mut sim = Sim::new();
    sim.left("a", json!({}));
    sim.left("b", json!({}));
    sim.left("c", json!({})).protect = true;
    after(&mut sim, "b", &["a"]);
    after(&mut sim, "c", &["b"]);
    let plan = sim.check_plan(&[&code(codes::STEP_SKIPPED, "a"), &code(codes::STEP_SKIPPED, "b"), &code(codes::PROTECTED, "c")]);
    assert!(plan.refused[0].reason.contains("K/b"), "{:?}", plan.refused);
}

#[test]
fn dependents_of_a_refused_create_are_refused_and_neighbours_go_on() {
    let mut sim = Sim::new();
    for name in ["a", "b", "c", "free"] {
        sim.want(name, json!({}));
    }
    sim.see("a", json!({})); // Nobody claimed it.
    after(&mut sim, "b", &["a"]);
    after(&mut sim, "c", &["b"]);
    let plan = sim.check_plan(&[
        "create free",
        &code(codes::CLAIM, "a"),
        &code(codes::STEP_SKIPPED, "b"),
        &code(codes::STEP_SKIPPED, "c"),
    ]);
    assert!(plan.refused[1].reason.contains("K/a") && plan.refused[2].reason.contains("K/b"), "{:?}", plan.refused);
}

#[test]
fn dependents_of_a_refused_replacement_go_on() {
    let mut sim = Sim::new();
    sim.have("a", json!({"fixed": 1}));
    sim.see("a", json!({"fixed": 2}));
    sim.entries.get_mut(&at("a")).unwrap().protect = true;
    sim.want("b", json!({}));
    after(&mut sim, "b", &["a"]);
    sim.check_plan(&["create b", &code(codes::PROTECTED, "a")]);
}

#[test]
fn the_old_object_stays_when_its_successor_is_refused() {
    let mut sim = Sim::new();
    // One resource of two objects, one of which moves onto something that nobody claimed.
    sim.want_at("a", &at("1"), json!({}));
    sim.want_at("a", &at("2"), json!({}));
    sim.own_at("a", &at("3"), json!({}));
    sim.see("3", json!({}));
    sim.see("1", json!({}));
    let plan = sim.plan();
    assert!(plan.steps.iter().all(|it| it.action == Action::Create), "{plan:#?}");
}

#[test]
fn dependencies_that_turned_round_among_deletes_are_no_circle() {
    let mut sim = Sim::new();
    sim.have("stays", json!({}));
    sim.left("a", json!({}));
    sim.left("b", json!({}));
    after(&mut sim, "a", &["b"]);
    after(&mut sim, "b", &["a"]);
    assert_eq!(sim.plan().steps.len(), 2);
}

#[test]
fn a_chain_of_100_000_resources_is_planned() {
    let mut sim = Sim::new();
    let name = |at: usize| format!("n{at:06}");
    for at in 0..100_000_usize {
        let before: Arc<[ResourceId]> = at.checked_sub(1).map(|at| id(&name(at))).into_iter().collect();
        sim.want(&name(at), json!({})).after = before;
    }
    let docs =
        Docs { desired: sim.desired.iter().enumerate().map(|(at, (_, doc))| (at, doc.clone())).collect(), ..Docs::default() };
    let plan = sim.world(|world| plan(world, &docs));
    assert_eq!(plan.steps.len(), 100_000);
    assert!(plan.steps.iter().enumerate().skip(1).all(|(at, step)| step.after == [at - 1]));
}
