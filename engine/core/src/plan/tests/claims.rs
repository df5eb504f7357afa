//! Whose an object is.

use super::*;

#[test]
fn an_object_that_nobody_claimed_is_a_conflict_even_if_equal() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1}));
    sim.see("a", json!({"x": 1}));
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
}

#[test]
fn adopt_takes_an_object_over_and_shows_the_differences() {
    let by_setting = |sim: &mut Sim| sim.desired[0].0.settings = Arc::new(settings(|it| it.adopt = true));
    let by_option = |sim: &mut Sim| sim.options.adopt_declared = true;
    for allow in [by_setting as fn(&mut Sim), by_option] {
        let mut sim = Sim::new();
        sim.want("a", json!({"x": 1}));
        sim.see("a", json!({"x": 2, "theirs": 1}));
        allow(&mut sim);
        let plan = sim.converge(&["adopt a"]);
        assert_eq!(told(&plan.steps[0].changes), ["spec.x: 2 -> 1 (git)"]);
        assert_eq!((reasons(&plan.steps[0])[0], plan.steps[0].ownership), ("claimed", Ownership::Owned));
    }
}

#[test]
fn nothing_is_adopted_that_would_have_to_be_replaced() {
    let mut sim = Sim::new();
    sim.options.adopt_declared = true;
    sim.want("a", json!({"fixed": 1}));
    sim.see("a", json!({"fixed": 2}));
    sim.check_plan(&[&code(codes::REPLACE_REFUSED, "a")]);
}

#[test]
fn a_document_that_names_an_identity_gets_that_object_or_none() {
    let named = |identity: &str| Arc::new(settings(|it| (it.adopt, it.adopt_identity) = (true, Some(identity.to_owned()))));
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1}));
    sim.desired[0].0.settings = named("id-a");
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
    sim.see("a", json!({"x": 1}));
    sim.clone().converge(&["adopt a"]);
    sim.desired[0].0.settings = named("id-other");
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
    // What was made since for this very document is the object.
    sim.see("a", json!({"x": 1})).mark = Some(mark(&id("a")).into());
    sim.converge(&["adopt a"]);
}

#[test]
fn our_mark_alone_gives_an_ownership_that_may_update_and_not_delete() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1}));
    sim.see("a", json!({"x": 2})).mark = Some(mark(&id("a")).into());
    let plan = sim.converge(&["adopt a"]);
    assert_eq!((reasons(&plan.steps[0])[0], plan.steps[0].ownership), ("mark", Ownership::Recovered));
    assert_eq!(sim.entries[&at("a")].ownership, Ownership::Recovered);

    let mut replaced = sim.clone();
    replaced.desired.clear();
    replaced.want("a", json!({"x": 1, "fixed": 1}));
    replaced.check_plan(&[&code(codes::RECOVERED, "a")]);

    let mut updated = sim.clone();
    updated.desired.clear();
    updated.want("a", json!({"x": 3}));
    updated.converge(&["update a"]);
    assert_eq!(updated.entries[&at("a")].ownership, Ownership::Recovered);

    let mut gone = sim.clone();
    gone.desired.clear();
    gone.check_plan(&[&code(codes::RECOVERED, "a")]);
    gone.options.adopt_recovered = true;
    let plan = gone.check_plan(&["adopt a"]);
    gone.apply(&plan);
    gone.have("stays", json!({}));
    gone.converge(&["delete a"]);

    sim.options.adopt_recovered = true;
    sim.converge(&["adopt a"]);
    assert_eq!(sim.entries[&at("a")].ownership, Ownership::Owned);
}

#[test]
fn a_marked_object_is_found_under_another_key() {
    let mut sim = Sim::new();
    sim.kind = Arc::new(Kind { recover: Recover::Mark, ..kind() });
    sim.want("a", json!({"x": 1}));
    sim.see("vpc-1", json!({"x": 1})).mark = Some(mark(&id("a")).into());
    let plan = sim.check_plan(&["adopt a"]);
    assert_eq!(plan.steps[0].prior.as_ref().map(|it| it.address.clone()), Some(at("vpc-1")));
}

#[test]
fn a_copy_of_ours_with_our_mark_does_not_stand_for_what_is_gone() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1}));
    sim.converge(&["create a"]);
    // Renamed by hand: the copy has everything of ours, but for its name.
    let objects = &mut sim.views.values_mut().next().unwrap().objects;
    let mut copy = objects.remove("a").unwrap();
    copy.address = at("copy");
    copy.identity = "another".into();
    copy.mark = Some(mark(&id("a")).into());
    objects.insert("copy".into(), copy);
    let plan = sim.check_plan(&["create a"]);
    assert_eq!(reasons(&plan.steps[0]), ["vanished"]);
    sim.desired.clear();
    sim.check_plan(&["forget a"]);
    // Nor for what never was.
    sim.entries.clear();
    sim.want("a", json!({"x": 1}));
    sim.check_plan(&["create a"]);
}

#[test]
fn a_foreign_mark_stops_all_but_an_explicit_adopt() {
    let mut sim = Sim::new();
    sim.options.adopt_declared = true;
    sim.want("a", json!({"x": 1}));
    sim.see("a", json!({"x": 1})).mark = Some("project/dev/x".into());
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
    sim.desired[0].0.settings = Arc::new(settings(|it| it.adopt = true));
    sim.check_plan(&["adopt a"]);
}

#[test]
fn an_object_of_ours_under_a_foreign_mark_is_neither_updated_nor_deleted() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    sim.see("a", json!({"x": 2})).mark = Some("project/dev/x".into());
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
    sim.desired.clear();
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
}

#[test]
fn an_identity_taken_by_another_object_stops_where_identities_matter() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    sim.see("a", json!({"x": 2})).identity = "another".into();
    // A file is the same file under whatever identity; it is put right, but not deleted.
    sim.check_plan(&["update a"]);
    let mut gone = sim.clone();
    gone.desired.clear();
    gone.check_plan(&[&code(codes::CLAIM, "a")]);
    let recover = Arc::new(Kind { recover: Recover::Token, ..kind() });
    sim.desired[0].0.kind = recover.clone();
    sim.kind = recover;
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
}

#[test]
fn another_environments_object_is_left_to_it() {
    let mut sim = Sim::new();
    sim.options.adopt_declared = true;
    sim.others.insert(at("a"), another("dev"));
    sim.want("a", json!({}));
    let refused = sim.check_plan(&[&code(codes::OTHER_ENVIRONMENT, "a")]).refused;
    assert!(refused[0].reason.contains("`dev`"), "{refused:?}");
    sim.see("a", json!({}));
    sim.check_plan(&[&code(codes::OTHER_ENVIRONMENT, "a")]);
}

#[test]
fn nothing_is_created_where_absence_is_not_known() {
    for (coverage, want) in [
        (Coverage::Partial, codes::NO_EVIDENCE),
        (Coverage::Named(["another".into()].into()), codes::NO_EVIDENCE),
        (Coverage::Failed("timeout".into()), codes::OBSERVE_FAILED),
    ] {
        let mut sim = Sim::new();
        sim.want("a", json!({}));
        sim.want("vanished", json!({}));
        sim.own("vanished", json!({}));
        sim.cover(coverage);
        sim.check_plan(&[&code(want, "a"), &code(want, "vanished")]);
    }
    let mut sim = Sim::new();
    sim.want("a", json!({}));
    sim.views.clear();
    sim.check_plan(&[&code(codes::OBSERVE_FAILED, "a")]);
}

#[test]
fn what_was_asked_for_by_name_and_is_not_there_is_created() {
    let mut sim = Sim::new();
    sim.want("a", json!({}));
    sim.want("vanished", json!({}));
    sim.own("vanished", json!({}));
    sim.cover(Coverage::Named(["a".into(), "vanished".into()].into()));
    sim.check_plan(&["create a", "create vanished"]);
}

#[test]
fn what_a_partial_view_shows_is_updated() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    sim.see("a", json!({"x": 2}));
    sim.cover(Coverage::Partial);
    sim.converge(&["update a"]);
}

#[test]
fn a_failed_scope_stops_none_but_its_own_objects() {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1}));
    let other = Address::new("p", "K", "other", "b");
    sim.want_at("b", &other, json!({}));
    sim.put(&Address::new("p", "K", "other", "x"), json!({}));
    sim.views.get_mut(&at("").scope).unwrap().coverage = Coverage::Failed("timeout".into());
    sim.check_plan(&["create b", &code(codes::OBSERVE_FAILED, "a")]);
}

#[test]
fn an_object_without_a_mark_under_another_identity_is_not_ours_where_ours_would_carry_one() {
    let refused = |name: &str| code(codes::CLAIM, name);
    // To delete what another one made by our key is refused in either case.
    for (marked, want) in [(false, [refused("b"), "update a".to_owned()]), (true, [refused("a"), refused("b")])] {
        let mut sim = Sim::new();
        sim.kind = Arc::new(Kind { marked, ..kind() });
        sim.have("a", json!({"x": 1}));
        sim.left("b", json!({"x": 1}));
        for name in ["a", "b"] {
            sim.see(name, json!({"x": 2})).identity = "another".into();
        }
        let mut told = lines(&sim.plan());
        told.sort();
        assert_eq!(told, want, "marked: {marked}");
    }
}

#[test]
fn an_object_that_carries_a_mark_is_written_when_it_is_taken_over_though_nothing_differs() {
    for (marked, want) in [(false, vec!["claimed"]), (true, vec!["claimed", "unmarked"])] {
        let mut sim = Sim::new();
        sim.kind = Arc::new(Kind { marked, ..kind() });
        sim.options.adopt_declared = true;
        sim.want("a", json!({"x": 1}));
        sim.see("a", json!({"x": 1}));
        let plan = sim.check_plan(&["adopt a"]);
        assert_eq!(reasons(&plan.steps[0]), want);
    }
}

#[test]
fn a_claim_whose_run_ended_before_the_object_was_written_is_finished_as_one() {
    for marked in [false, true] {
        let mut sim = Sim::new();
        sim.kind = Arc::new(Kind { marked, ..kind() });
        sim.have("equal", json!({"x": 1}));
        sim.have("other", json!({"x": 1})).see("other", json!({"x": 2}));
        sim.have("applied", json!({"x": 1})).see("applied", json!({"x": 2}));
        for name in ["equal", "other"] {
            sim.applied.remove(&at(name));
        }
        let plan = sim.plan();
        let claimed: Vec<&str> =
            plan.steps.iter().filter(|it| reasons(it).contains(&CLAIMED)).map(|it| it.resource.name()).collect();
        // What was written once is ours, though somebody took its mark off.
        assert_eq!(claimed, if marked { vec!["equal", "other"] } else { vec![] });
    }
}
