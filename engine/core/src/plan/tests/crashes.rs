//! What a crash left: intents without an outcome.

use super::*;

/// An open intent on the object of this name; `desired` and `prior` are specs.
fn intent(sim: &mut Sim, action: IntentAction, name: &str, prior: Option<Json>, desired: Option<Json>) {
    let document = |spec: Json| json!({ "spec": spec });
    let desired = desired.map(document);
    sim.intents.push(Intent {
        token: format!("token-{}", sim.intents.len()).into(),
        resource: id(name),
        address: at(name),
        action,
        prior: prior.map(|it| seen_digest(&document(it))),
        desired: desired.as_ref().map(Digest::of_json),
        document: desired.map(Arc::new),
        after: Arc::default(),
        siblings: Arc::default(),
        protect: false,
        prune: true,
        operation: None,
        started_ms: sim.now_ms - 1_000,
    });
}

fn recover(sim: &mut Sim, recover: Recover, settle_time: u64) {
    sim.kind = Arc::new(Kind { recover, settle_time, ..kind() });
}

fn evidence(plan: &Plan) -> Vec<Evidence> {
    plan.resolved.iter().map(|it| it.evidence).collect()
}

#[test]
fn a_create_that_took_effect_is_owned_without_a_step() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1}));
    sim.see("a", json!({"x": 1, "server": 1}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.converge(&[]);
    assert_eq!((evidence(&plan), plan.records.len()), (vec![Evidence::Done], 1));
    assert_eq!(sim.entries[&at("a")].ownership, Ownership::Owned);
    assert_eq!(sim.intents, []);
}

#[test]
fn a_create_that_did_not_happen_is_finished_under_its_token() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.converge(&["create a"]);
    assert_eq!(plan.steps[0].token.as_deref(), Some("token-0"));
    assert_eq!(reasons(&plan.steps[0]), ["new", "unsettled"]);
}

#[test]
fn another_create_never_runs_under_an_old_token() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 2}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.converge(&["create a"]);
    assert_eq!((plan.steps[0].token.clone(), evidence(&plan)), (None, vec![Evidence::Undone]));
}

#[test]
fn absence_within_the_settle_time_proves_nothing() {
    let mut sim = Sim::new();
    recover(&mut sim, Recover::Mark, 60_000);
    sim.want("a", json!({"x": 1}));
    sim.want("b", json!({})).after = [id("a")].into();
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.check_plan(&[&code(codes::IN_DOUBT, "a"), &code(codes::STEP_SKIPPED, "b")]);
    assert!(plan.refused[0].reason.contains("59 s"), "{:?}", plan.refused);
    sim.now_ms += 60_000;
    sim.converge(&["create a", "create b"]);
}

#[test]
fn without_a_way_to_recognise_it_a_create_waits_for_people() {
    let mut sim = Sim::new();
    recover(&mut sim, Recover::None, 0);
    sim.want("a", json!({"x": 1}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.check_plan(&[&code(codes::IN_DOUBT, "a")]);
    assert!(plan.refused[0].hint.as_deref().is_some_and(|it| it.contains("trueup resolve")));
    // What is there as it was to be is evidence enough.
    sim.see("a", json!({"x": 1}));
    sim.converge(&[]);
}

#[test]
fn something_else_at_a_natural_key_is_put_right_and_never_deleted() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1}));
    sim.see("a", json!({"x": 9}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.converge(&["update a"]);
    assert_eq!(plan.steps[0].ownership, Ownership::Recovered);
    sim.desired.clear();
    sim.check_plan(&[&code(codes::RECOVERED, "a")]);
}

#[test]
fn something_else_where_a_conditional_create_was_to_make_it_whole_is_not_ours() {
    let mut sim = Sim::new();
    recover(&mut sim, Recover::Conditional, 0);
    sim.want("a", json!({"x": 1}));
    sim.see("a", json!({"x": 9}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.check_plan(&[&code(codes::CLAIM, "a")]);
    assert_eq!(evidence(&plan), [Evidence::Undone]);
    // Nor is it once nobody wants it any more.
    sim.desired.clear();
    assert_eq!(evidence(&sim.converge(&[])), [Evidence::Undone]);
    assert!(sim.found(&at("a")).is_some());
}

#[test]
fn a_create_that_took_effect_is_fully_owned_whatever_git_wants_by_now() {
    for recover_by in [Recover::Key, Recover::Conditional, Recover::Token, Recover::None] {
        let mut sim = Sim::new();
        recover(&mut sim, recover_by, 0);
        sim.see("a", json!({"x": 1, "server": 1}));
        intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
        let mut changed = sim.clone();
        changed.want("a", json!({"x": 2}));
        let plan = changed.converge(&["update a"]);
        assert_eq!((evidence(&plan), plan.steps[0].ownership), (vec![Evidence::Done], Ownership::Owned), "{recover_by:?}");
        assert_eq!(told(&plan.steps[0].changes), ["spec.x: 1 -> 2 (git)"]);
        changed.desired.clear();
        changed.have("stays", json!({}));
        changed.converge(&["delete a"]);
        // Released, not deleted, where the document that was applied said so.
        sim.intents[0].prune = false;
        sim.clone().converge(&["forget a"]);
        (sim.intents[0].prune, sim.intents[0].protect) = (true, true);
        sim.check_plan(&[&code(codes::PROTECTED, "a")]);
    }
}

#[test]
fn a_kind_without_marks_is_not_told_of_marks() {
    let mut sim = Sim::new();
    sim.see("a", json!({"x": 9}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    let plan = sim.check_plan(&[&code(codes::RECOVERED, "a")]);
    assert!(!plan.refused[0].reason.contains("mark"), "{:?}", plan.refused);
}

#[test]
fn something_else_without_our_mark_is_not_ours() {
    let mut sim = Sim::new();
    recover(&mut sim, Recover::Mark, 0);
    sim.want("a", json!({"x": 1}));
    sim.see("a", json!({"x": 9}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    sim.check_plan(&[&code(codes::CLAIM, "a")]);
    sim.see("a", json!({"x": 9})).mark = Some(mark(&id("a")).into());
    sim.converge(&["update a"]);
}

#[test]
fn an_update_is_undone_done_or_finished() {
    for (now, want, found) in [
        (json!({"x": 1}), vec!["update a"], vec![Evidence::Undone]),
        (json!({"x": 2}), vec![], vec![Evidence::Done]),
        (json!({"x": 7}), vec!["update a"], vec![]),
    ] {
        let mut sim = Sim::new();
        sim.want("a", json!({"x": 2}));
        sim.own("a", json!({"x": 1}));
        sim.see("a", now.clone());
        intent(&mut sim, IntentAction::Update, "a", Some(json!({"x": 1})), Some(json!({"x": 2})));
        let plan = sim.converge(&want);
        assert_eq!(evidence(&plan), found, "{now}");
        assert_eq!(plan.steps.first().is_some_and(|it| it.token.is_some()), found.is_empty(), "{now}");
        assert_eq!(sim.intents, []);
    }
}

#[test]
fn an_update_that_git_no_longer_wants_is_dropped_for_a_new_one() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 3}));
    sim.own("a", json!({"x": 1}));
    sim.see("a", json!({"x": 7}));
    intent(&mut sim, IntentAction::Update, "a", Some(json!({"x": 1})), Some(json!({"x": 2})));
    let plan = sim.converge(&["update a"]);
    assert_eq!((evidence(&plan), plan.steps[0].token.clone()), (vec![Evidence::Superseded], None));
}

#[test]
fn a_delete_is_done_undone_or_finished() {
    let mut sim = Sim::new();
    sim.own("a", json!({}));
    intent(&mut sim, IntentAction::Delete, "a", Some(json!({})), None);
    assert_eq!(evidence(&sim.converge(&[])), [Evidence::Done]);
    assert!(sim.entries.is_empty());

    let mut sim = Sim::new();
    sim.have("stays", json!({}));
    sim.left("a", json!({}));
    intent(&mut sim, IntentAction::Delete, "a", Some(json!({})), None);
    assert_eq!(evidence(&sim.converge(&["delete a"])), [Evidence::Undone]);

    let mut sim = Sim::new();
    sim.have("stays", json!({}));
    sim.left("a", json!({}));
    sim.see("a", json!({"terminating": true}));
    intent(&mut sim, IntentAction::Delete, "a", Some(json!({})), None);
    assert_eq!(sim.converge(&["delete a"]).steps[0].token.as_deref(), Some("token-0"));
}

#[test]
fn a_replacement_between_its_halves_is_finished_and_nothing_is_gone_for_good() {
    // Delete-first, after the delete: the object is created, and this is not drift.
    let mut sim = Sim::new();
    sim.want("a", json!({"fixed": 2}));
    sim.own("a", json!({"fixed": 1}));
    intent(&mut sim, IntentAction::Delete, "a", Some(json!({"fixed": 1})), None);
    assert_eq!(reasons(&sim.converge(&["create a"]).steps[0]), ["new"]);

    // Create-first, after the create whose outcome was lost: the new one is owned, the old one goes.
    let mut sim = Sim::new();
    sim.want_at("a", &at("new"), json!({"x": 1}));
    sim.own_at("a", &at("old"), json!({"x": 1}));
    sim.see("old", json!({"x": 1}));
    sim.see("new", json!({"x": 1}));
    intent(&mut sim, IntentAction::Create, "new", None, Some(json!({"x": 1})));
    sim.intents[0].resource = id("a");
    let plan = sim.converge(&["delete a"]);
    assert_eq!((plan.steps[0].address.clone(), reasons(&plan.steps[0])), (at("old"), vec!["replaced"]));
}

#[test]
fn an_interrupted_create_of_a_new_address_is_finished_under_its_token() {
    let mut sim = Sim::new();
    sim.want_at("a", &at("new"), json!({"x": 1}));
    sim.own_at("a", &at("old"), json!({"x": 1}));
    sim.see("old", json!({"x": 1}));
    intent(&mut sim, IntentAction::Create, "new", None, Some(json!({"x": 1})));
    sim.intents[0].resource = id("a");
    assert_eq!(sim.converge(&["replace a"]).steps[0].token.as_deref(), Some("token-0"));
}

#[test]
fn an_intent_that_no_step_needs_any_more_is_closed() {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1})).settings = Arc::new(settings(|it| it.ignore = vec![Path::parse("spec.x").unwrap()]));
    sim.own("a", json!({"x": 0}));
    sim.see("a", json!({"x": 7}));
    intent(&mut sim, IntentAction::Update, "a", Some(json!({"x": 0})), Some(json!({"x": 1})));
    assert_eq!(evidence(&sim.converge(&[])), [Evidence::Done]);
    // As before, but the object was meant to become something that is already declared otherwise.
    intent(&mut sim, IntentAction::Delete, "a", Some(json!({"x": 5})), None);
    assert_eq!(evidence(&sim.converge(&[])), [Evidence::Superseded]);
    assert_eq!(sim.intents, []);
}

#[test]
fn a_create_that_is_no_longer_declared_goes_in_the_same_pass() {
    let mut sim = Sim::new();
    sim.have("stays", json!({}));
    sim.see("a", json!({"x": 1}));
    intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
    sim.converge(&["delete a"]);
    assert!(sim.found(&at("a")).is_none());
}

#[test]
fn a_failed_look_leaves_everything_in_doubt() {
    for coverage in [Coverage::Partial, Coverage::Failed("timeout".into())] {
        let mut sim = Sim::new();
        sim.want("a", json!({"x": 1}));
        sim.cover(coverage);
        intent(&mut sim, IntentAction::Create, "a", None, Some(json!({"x": 1})));
        intent(&mut sim, IntentAction::Delete, "loose", None, None);
        sim.check_plan(&[&code(codes::IN_DOUBT, "a"), &code(codes::IN_DOUBT, "loose")]);
    }
}
