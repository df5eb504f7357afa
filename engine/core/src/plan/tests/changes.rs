//! What becomes of one owned object whose declaration or whose world moved.

use super::*;
use crate::document::ReplaceMode;

#[test]
fn what_is_declared_and_not_there_is_created() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1, "tags": ["b"]}));
    let plan = sim.converge(&["create a"]);
    assert_eq!(told(&plan.steps[0].changes), ["spec.tags: - -> [\"b\"] (git)", "spec.x: - -> 1 (git)"]);
    assert_eq!(reasons(&plan.steps[0]), ["new"]);
}

#[test]
fn each_change_says_whether_git_or_drift_or_both_made_it() {
    let mut sim = Sim::new();
    sim.want("a", json!({"git": 2, "drift": 1, "both": 2, "same": 1}));
    sim.own("a", json!({"git": 1, "drift": 1, "both": 1, "same": 1, "gone": 1}));
    sim.see("a", json!({"git": 1, "drift": 5, "both": 5, "same": 1, "gone": 1, "theirs": 1}));
    let plan = sim.converge(&["update a"]);
    let want = ["spec.both: 5 -> 2 (both)", "spec.drift: 5 -> 1 (drift)", "spec.git: 1 -> 2 (git)", "spec.gone: 1 -> - (git)"];
    assert_eq!(told(&plan.steps[0].changes), want);
    assert_eq!(reasons(&plan.steps[0]), ["changed", "drifted"]);
    assert_eq!(
        sim.found(&at("a")).unwrap().doc,
        Some(Arc::new(json!({"spec": {"git": 2, "drift": 1, "both": 2, "same": 1, "theirs": 1}})))
    );
}

#[test]
fn an_object_in_sync_by_its_digests_needs_no_document() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    sim.see("a", json!({"x": 1, "server": true}));
    let plan = sim.check_plan(&[]);
    assert_eq!((plan.unchanged, plan.agreed.len(), plan.records.len()), (1, 1, 0));
    sim.apply(&plan);
    assert_eq!(sim.world(needs), Needs::default());
    let plan = sim.check_plan(&[]);
    assert_eq!((plan.unchanged, plan.agreed.len()), (1, 0));
}

#[test]
fn a_setting_or_a_value_that_is_there_already_is_recorded_without_a_step() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    sim.apply(&sim.plan());
    sim.desired[0].0.settings = Arc::new(settings(|it| it.protect = true));
    let plan = sim.converge(&[]);
    assert_eq!(plan.records.len(), 1);
    assert!(sim.entries[&at("a")].protect);

    sim.desired.clear();
    sim.want("a", json!({"x": 1, "theirs": 1}));
    sim.see("a", json!({"x": 1, "theirs": 1}));
    assert_eq!(sim.converge(&[]).records.len(), 1);
    assert_eq!(sim.world(needs), Needs::default());
}

#[test]
fn a_vanished_object_comes_back_and_says_so() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    sim.vanish(&at("a"));
    assert_eq!(reasons(&sim.converge(&["create a"]).steps[0]), ["vanished"]);
}

#[test]
fn ten_objects_that_vanish_at_once_hold_their_scope_and_nine_do_not() {
    for (count, held) in [(8, false), (9, true)] {
        let mut sim = Sim::new();
        for at in 0..count {
            sim.have(&format!("n{at}"), json!({}));
        }
        sim.own("undeclared", json!({})); // The one more.
        sim.have("elsewhere", json!({"x": 1}));
        let address = Address::new("p", "K", "other", "elsewhere");
        let entry = sim.entries.remove(&at("elsewhere")).unwrap();
        sim.desired.last_mut().unwrap().0.address = address.clone();
        sim.entries.insert(address.clone(), Entry { address: address.clone(), ..entry });
        sim.applied.insert(address.clone(), Arc::new(json!({"spec": {"x": 1}})));
        sim.put(&address, json!({"spec": {"x": 2}}));
        sim.views.get_mut(&at("").scope).unwrap().objects.clear();
        let plan = sim.plan();
        let vanished = plan.refused.iter().filter(|it| it.code == codes::VANISHED).count();
        assert_eq!(vanished, if held { count + 1 } else { 0 }, "{:?}", lines(&plan));
        assert!(lines(&plan).contains(&"update elsewhere".to_owned()), "a neighbour goes on");
        sim.options.allow_recreate = true;
        assert_eq!(sim.plan().refused, []);
        sim.apply(&sim.plan());
        assert!(sim.plan().is_empty());
    }
}

#[test]
fn drift_is_healed_told_of_or_passed_over_as_the_mode_says() {
    for (environment, own, told_of) in [
        (DriftMode::Heal, None, false),
        (DriftMode::Warn, None, true),
        (DriftMode::Off, Some(DriftMode::Heal), false),
        (DriftMode::Heal, Some(DriftMode::Off), true),
    ] {
        let mut sim = Sim::new();
        sim.options.drift = environment;
        sim.have("a", json!({"x": 1}));
        sim.have("gone", json!({"x": 1}));
        for (want, _) in &mut sim.desired {
            want.settings = Arc::new(settings(|it| it.drift = own));
        }
        sim.see("a", json!({"x": 2}));
        sim.vanish(&at("gone"));
        let plan = sim.plan();
        let want = if told_of { ["drift a", "drift gone"] } else { ["update a", "create gone"] };
        assert_eq!(lines(&plan), want);
        if told_of {
            assert_eq!(told(&plan.drift[0].changes), ["spec.x: 2 -> 1 (drift)"]);
            assert!(plan.drift[1].gone);
            // A change of Git's writes the whole document.
            sim.desired.clear();
            sim.want("a", json!({"x": 1, "y": 1})).settings = Arc::new(settings(|it| it.drift = own));
            sim.want("gone", json!({"x": 2})).settings = Arc::new(settings(|it| it.drift = own));
            sim.check_plan(&["update a", "create gone"]);
        }
    }
}

#[test]
fn ignored_fields_are_no_change_and_keep_what_the_object_has() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1, "replicas": 2}));
    sim.see("a", json!({"x": 1, "replicas": 9}));
    sim.desired[0].0.settings = Arc::new(settings(|it| it.ignore = vec![Path::parse("spec.replicas").unwrap()]));
    sim.converge(&[]);
    sim.desired.clear();
    sim.want("a", json!({"x": 2, "replicas": 2})).settings =
        Arc::new(settings(|it| it.ignore = vec![Path::parse("spec.replicas").unwrap()]));
    let plan = sim.converge(&["update a"]);
    assert_eq!(plan.steps[0].desired, Some(Arc::new(json!({"spec": {"x": 2, "replicas": 9}}))));
    assert_eq!(plan.steps[0].desired_digest, Some(sim.desired[0].0.digest));
}

#[test]
fn an_immutable_field_means_a_replacement_in_the_order_of_kind_and_document() {
    use ReplaceOrder::{CreateFirst, DeleteFirst};
    let check = |kind_order, mode, recover, want, reasons_: &[&str]| {
        let mut sim = Sim::new();
        sim.kind = Arc::new(Kind { replace: kind_order, recover, ..kind() });
        sim.want("a", json!({"fixed": 2})).settings = Arc::new(settings(|it| it.replace = mode));
        sim.own("a", json!({"fixed": 1}));
        sim.see("a", json!({"fixed": 1}));
        let plan = sim.converge(&["replace a"]);
        assert_eq!(plan.steps[0].action, Action::Replace(want));
        assert_eq!(reasons(&plan.steps[0]), reasons_);
        assert_eq!(plan.steps[0].reasons[0].path, Path::parse("spec.fixed"));
    };
    check(DeleteFirst, None, Recover::Key, DeleteFirst, &["immutable", "changed"]);
    check(CreateFirst, None, Recover::Mark, CreateFirst, &["immutable", "changed"]);
    check(DeleteFirst, Some(ReplaceMode::CreateFirst), Recover::Mark, CreateFirst, &["immutable", "changed"]);
    check(CreateFirst, Some(ReplaceMode::DeleteFirst), Recover::Mark, DeleteFirst, &["immutable", "changed"]);
    // Old and new cannot both have the name.
    check(CreateFirst, Some(ReplaceMode::Allow), Recover::Key, DeleteFirst, &["immutable", "collision", "changed"]);
}

#[test]
fn a_new_address_replaces_the_object_at_the_old_one() {
    let mut sim = Sim::new();
    sim.kind = Arc::new(Kind { replace: ReplaceOrder::CreateFirst, ..kind() });
    sim.want_at("a", &at("new"), json!({"path": "new"}));
    sim.own_at("a", &at("old"), json!({"path": "old"}));
    sim.see("old", json!({"path": "old"}));
    let plan = sim.converge(&["replace a"]);
    let step = &plan.steps[0];
    assert_eq!((step.action, reasons(step)), (Action::Replace(ReplaceOrder::CreateFirst), vec!["renamed", "changed"]));
    assert_eq!(step.from.as_ref().map(|it| (it.address.clone(), it.prior.is_some())), Some((at("old"), true)));
    assert_eq!(step.prior, None);
}

#[test]
fn a_new_address_that_is_taken_is_a_conflict_and_the_old_object_stays() {
    let mut sim = Sim::new();
    sim.want_at("a", &at("new"), json!({}));
    sim.own_at("a", &at("old"), json!({}));
    sim.see("old", json!({}));
    sim.see("new", json!({}));
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
}

#[test]
fn a_renamed_resource_takes_its_object_along() {
    // By `moved-from`, in full and short, and without it where both render to one object.
    for from in [Some("p:K/old"), Some("K/old"), None] {
        let mut sim = Sim::new();
        sim.want_at("new", &at("x"), json!({"x": 1})).settings = Arc::new(settings(|it| it.moved_from = from.map(str::to_owned)));
        sim.own_at("old", &at("x"), json!({"x": 1}));
        sim.see("x", json!({"x": 1}));
        let plan = sim.converge(&["move new"]);
        assert_eq!(plan.steps[0].from.as_ref().map(|it| it.resource.clone()), Some(id("old")));
        assert_eq!(sim.entries[&at("x")].resource, id("new"));
        assert_eq!(sim.converge(&[]).unchanged, 1, "the annotation may stay");
    }
}

#[test]
fn a_move_with_a_difference_or_a_mark_is_an_update() {
    let mut sim = Sim::new();
    sim.want_at("new", &at("x"), json!({"x": 2}));
    sim.own_at("old", &at("x"), json!({"x": 1}));
    sim.see("x", json!({"x": 1}));
    assert_eq!(reasons(&sim.converge(&["update new"]).steps[0]), ["moved", "changed"]);

    let mut sim = Sim::new();
    sim.want_at("new", &at("x"), json!({"x": 1}));
    sim.own_at("old", &at("x"), json!({"x": 1}));
    sim.see("x", json!({"x": 1})).mark = Some(mark(&id("old")).into());
    sim.converge(&["update new"]);
    assert_eq!(sim.found(&at("x")).unwrap().mark.as_deref(), Some(&*mark(&id("new"))));
}

#[test]
fn moved_from_to_another_address_replaces_there() {
    let mut sim = Sim::new();
    sim.want("new", json!({"x": 1})).settings = Arc::new(settings(|it| it.moved_from = Some("K/old".into())));
    sim.left("old", json!({"x": 1}));
    let plan = sim.converge(&["replace new"]);
    assert_eq!(plan.steps[0].from.as_ref().map(|it| it.resource.clone()), Some(id("old")));
}

#[test]
fn moved_from_a_resource_that_is_still_declared_takes_nothing() {
    let mut sim = Sim::new();
    sim.have("old", json!({}));
    sim.want("new", json!({})).settings = Arc::new(settings(|it| it.moved_from = Some("K/old".into())));
    let plan = sim.converge(&["create new"]);
    assert!(plan.steps[0].reasons[0].text.ends_with("`moved-from` names K/old, which is still declared itself"), "{plan:?}");
}

#[test]
fn moved_from_what_nobody_owns_says_so_where_something_is_made() {
    let text = |from: &str, left: &[&str]| {
        let mut sim = Sim::new();
        sim.want("new", json!({})).settings = Arc::new(settings(|it| it.moved_from = Some(from.to_owned())));
        for name in left {
            sim.left(name, json!({}));
        }
        let plan = sim.plan();
        let step = plan.steps.iter().find(|it| it.resource == id("new")).unwrap_or_else(|| panic!("{plan:?}"));
        step.reasons[0].text.clone()
    };
    let silent = "`moved-from` names K/odl, and no single owned resource that could move is called that";
    assert!(text("K/odl", &[]).ends_with(silent));
    assert!(text("K/odl", &["old"]).ends_with(silent));
    assert!(!text("K/old", &["old"]).contains("`moved-from`"));
    // What moved and whose object is gone is made anew: it was named rightly.
    let mut sim = Sim::new();
    sim.want("new", json!({})).settings = Arc::new(settings(|it| it.moved_from = Some("K/old".into())));
    sim.left("old", json!({}));
    sim.vanish(&at("old"));
    let plan = sim.check_plan(&["create new"]);
    assert!(!plan.steps[0].reasons[0].text.contains("`moved-from`"), "{plan:?}");
}

#[test]
fn where_the_system_gives_identities_a_new_name_of_ours_only_moves() {
    let mut sim = Sim::new();
    sim.kind = Arc::new(Kind { recover: Recover::Mark, ..kind() });
    sim.want("new", json!({"x": 1})).settings = Arc::new(settings(|it| it.moved_from = Some("K/old".into())));
    sim.left("old", json!({"x": 1}));
    let plan = sim.check_plan(&["move new"]);
    assert_eq!(plan.steps[0].address, at("new"));
}

#[test]
fn resources_that_trade_places_trade_ownership_and_delete_nothing() {
    let mut sim = Sim::new();
    sim.want_at("a", &at("y"), json!({"x": "a"}));
    sim.want_at("b", &at("x"), json!({"x": "b"}));
    sim.own_at("a", &at("x"), json!({"x": "a"}));
    sim.own_at("b", &at("y"), json!({"x": "b"}));
    sim.see("x", json!({"x": "a"}));
    sim.see("y", json!({"x": "b"}));
    sim.converge(&["update a", "update b"]);
}

#[test]
fn a_chain_of_new_addresses_moves_ownership_along_it() {
    let mut sim = Sim::new();
    sim.want_at("a", &at("2"), json!({"x": "a"}));
    sim.want_at("b", &at("3"), json!({"x": "b"}));
    sim.own_at("a", &at("1"), json!({"x": "a"}));
    sim.own_at("b", &at("2"), json!({"x": "b"}));
    sim.see("1", json!({"x": "a"}));
    sim.see("2", json!({"x": "b"}));
    sim.converge(&["update a", "delete a", "create b"]);
}

#[test]
fn an_object_renamed_by_hand_is_found_by_its_identity() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    let mut moved = sim.found(&at("a")).unwrap().clone();
    sim.vanish(&at("a"));
    moved.address = at("other");
    moved.doc = Some(Arc::new(json!({"spec": {"x": 2}})));
    moved.digest = Digest::of(b"moved");
    sim.views.get_mut(&at("").scope).unwrap().objects.insert("other".into(), moved);
    let plan = sim.check_plan(&["update a"]);
    assert_eq!(plan.steps[0].prior.as_ref().map(|it| it.address.clone()), Some(at("other")));
    // Another resource that asks for the name it has now does not get it.
    sim.want("other", json!({}));
    sim.check_plan(&["update a", &code(codes::CLAIM, "other")]);
}

#[test]
fn a_write_only_field_is_compared_with_what_was_sent() {
    use crate::value::secret;
    let mut sim = Sim::new();
    sim.want("a", json!({"password": secret("db", "01")}));
    sim.own("a", json!({"password": secret("db", "01")}));
    sim.see("a", json!({}));
    sim.converge(&[]);
    sim.desired.clear();
    sim.want("a", json!({"password": secret("db", "02")}));
    let plan = sim.converge(&["update a"]);
    assert!(matches!(
        plan.steps[0].changes[0].before.as_ref().and_then(marker),
        Some(crate::value::Marker::Secret { hmac: "01", .. })
    ));
}
