//! What may go, and what may not.

use super::*;

#[test]
fn what_is_no_longer_declared_goes() {
    let mut sim = Sim::new();
    sim.have("stays", json!({}));
    sim.left("a", json!({"x": 1}));
    sim.see("a", json!({"x": 2, "theirs": 1}));
    sim.see("unowned", json!({}));
    let plan = sim.converge(&["delete a"]);
    assert_eq!(told(&plan.steps[0].changes), ["spec.x: 2 -> - (git)"]);
    assert!(sim.found(&at("unowned")).is_some());
}

#[test]
fn what_is_gone_already_is_forgotten_only_if_the_whole_scope_was_read() {
    let mut sim = Sim::new();
    sim.own("a", json!({}));
    assert_eq!(reasons(&sim.check_plan(&["forget a"]).steps[0]), ["gone"]);
    sim.cover(Coverage::Named(["a".into()].into()));
    sim.check_plan(&["forget a"]);
    for coverage in [Coverage::Partial, Coverage::Named(["b".into()].into())] {
        sim.cover(coverage);
        sim.check_plan(&[&code(codes::NO_EVIDENCE, "a")]);
    }
    sim.cover(Coverage::Failed("timeout".into()));
    sim.check_plan(&[&code(codes::OBSERVE_FAILED, "a")]);
    sim.views.clear();
    sim.check_plan(&[&code(codes::OBSERVE_FAILED, "a")]);
}

#[test]
fn nothing_goes_on_a_failed_read_though_the_object_was_seen_before() {
    let mut sim = Sim::new();
    sim.left("a", json!({}));
    sim.cover(Coverage::Failed("timeout".into()));
    sim.check_plan(&[&code(codes::OBSERVE_FAILED, "a")]);
}

#[test]
fn protection_outlives_its_document() {
    let mut sim = Sim::new();
    sim.left("a", json!({"fixed": 1})).protect = true;
    sim.check_plan(&[&code(codes::PROTECTED, "a")]);
    sim.options.destroy = true;
    sim.options.allow_deletes = Some(usize::MAX);
    let plan = sim.check_plan(&[&code(codes::PROTECTED, "a")]);
    assert_eq!(plan.refused[0].reason, "the object is protected, and the environment is to be destroyed");
    sim.options.destroy = false;
    // A replacement deletes too; the new document's word is not enough to lift what the last one said.
    sim.want("a", json!({"fixed": 2}));
    let plan = sim.check_plan(&[&code(codes::PROTECTED, "a")]);
    assert!(plan.refused[0].reason.contains("by the revision that was last applied"), "{:?}", plan.refused);
    assert!(plan.refused[0].hint.as_deref().is_some_and(|it| it.contains("once it is applied")), "{:?}", plan.refused);
    sim.desired[0].0.settings = Arc::new(settings(|it| it.protect = true));
    sim.entries.get_mut(&at("a")).unwrap().protect = false;
    sim.check_plan(&[&code(codes::PROTECTED, "a")]);
    // An update is no deletion.
    sim.desired.clear();
    sim.want("a", json!({"fixed": 1, "x": 1})).settings = Arc::new(settings(|it| it.protect = true));
    sim.converge(&["update a"]);
}

#[test]
fn what_vanished_while_its_address_changed_is_made_anew_and_its_old_entry_goes() {
    let mut sim = Sim::new();
    sim.own_at("a", &at("old"), json!({}));
    sim.want_at("a", &at("new"), json!({}));
    let plan = sim.converge(&["create a"]);
    assert_eq!(reasons(&plan.steps[0]), ["new", "vanished"]);
    assert_eq!(sim.entries.keys().collect::<Vec<_>>(), [&at("new")]);
}

#[test]
fn prune_false_releases_instead() {
    let mut sim = Sim::new();
    sim.left("a", json!({})).prune = false;
    assert_eq!(reasons(&sim.converge(&["forget a"]).steps[0]), ["released"]);
    assert!(sim.found(&at("a")).is_some());
}

#[test]
fn a_kind_that_is_gone_implies_no_deletion() {
    let mut sim = Sim::new();
    sim.left("a", json!({}));
    sim.kinds = false;
    sim.check_plan(&[&code(codes::NO_EVIDENCE, "a")]);
}

#[test]
fn deletions_above_ten_or_half_wait_for_the_operators_word() {
    let check = |deleted: usize, kept: usize, allow: Option<usize>, goes: bool| {
        let mut sim = Sim::new();
        sim.options.allow_deletes = allow;
        for at in 0..deleted {
            sim.left(&format!("d{at}"), json!({}));
        }
        for at in 0..kept {
            sim.have(&format!("k{at}"), json!({"fixed": 1}));
        }
        let plan = sim.plan();
        let deletes = plan.steps.iter().filter(|it| it.action == Action::Delete).count();
        let refused = plan.refused.iter().filter(|it| it.code == codes::DELETE_LIMIT).count();
        assert_eq!(
            (deletes, refused),
            if goes { (deleted, 0) } else { (0, deleted) },
            "{deleted} of {} {allow:?}",
            deleted + kept
        );
        assert_eq!(plan.unchanged, kept);
    };
    check(3, 1, None, true); // Of an environment this small most may go.
    check(1, 0, None, false); // Never all of it: a source that came empty looks like this.
    check(1, 0, Some(1), true);
    check(5, 0, None, false);
    check(3, 2, None, false);
    check(2, 3, None, true);
    check(5, 5, None, true);
    check(10, 20, None, true);
    check(11, 20, None, false);
    check(11, 20, Some(10), false);
    check(11, 20, Some(11), true);
    check(11, 200, None, false);
    // A number takes the place of the limits, downwards too.
    check(1, 200, Some(0), false);
    check(2, 200, Some(1), false);
    check(2, 200, Some(2), true);
    check(5, 0, Some(5), true);
}

#[test]
fn replacements_count_as_deletions_and_updates_do_not() {
    let mut sim = Sim::new();
    for at in 0..6 {
        let name = format!("r{at}");
        sim.want(&name, json!({"fixed": 2}));
        sim.own(&name, json!({"fixed": 1}));
        sim.see(&name, json!({"fixed": 1}));
    }
    sim.have("u", json!({"x": 1}));
    sim.see("u", json!({"x": 2}));
    let plan = sim.plan();
    assert_eq!(plan.steps.len(), 1);
    assert!(
        plan.refused
            .iter()
            .all(|it| it.code == codes::DELETE_LIMIT && it.hint.as_deref().is_some_and(|it| it.contains("--allow-deletes 6")))
    );
}

#[test]
fn what_is_deposed_goes_whatever_the_limits_and_whatever_is_declared() {
    let mut sim = Sim::new();
    for at in 0..6 {
        sim.left(&format!("old{at}"), json!({})).ownership = Ownership::Deposed;
    }
    sim.have("kept", json!({}));
    let plan = sim.plan();
    assert_eq!(plan.steps.len(), 6);
    assert!(plan.steps.iter().all(|it| it.action == Action::Delete && reasons(it) == ["deposed"]));
    sim.apply(&plan);
    assert!(sim.plan().is_empty());
}

#[test]
fn a_deposed_object_that_is_declared_again_is_kept() {
    let mut sim = Sim::new();
    sim.want_at("a", &at("old"), json!({}));
    sim.own_at("a", &at("old"), json!({})).ownership = Ownership::Deposed;
    sim.own_at("a", &at("new"), json!({}));
    sim.see("old", json!({}));
    sim.see("new", json!({}));
    let plan = sim.converge(&["delete a"]);
    assert_eq!(plan.steps[0].address, at("new"));
    assert_eq!(sim.entries[&at("old")].ownership, Ownership::Owned);
}

#[test]
fn destroy_plans_every_entry_and_nothing_else() {
    let mut sim = Sim::new();
    sim.have("a", json!({}));
    sim.have("kept", json!({}));
    sim.entries.get_mut(&at("kept")).unwrap().prune = false;
    sim.left("b", json!({}));
    sim.want("never", json!({}));
    sim.see("unowned", json!({}));
    sim.options.destroy = true;
    let plan = sim.check_plan(&["delete a", "delete b", "forget kept"]);
    let words = |it: &Step| it.reasons.iter().map(|it| it.text.clone()).collect::<String>();
    assert!(plan.steps.iter().all(|it| !words(it).contains("no longer declared")), "what is destroyed is still declared");
    sim.apply(&plan);
    sim.check_plan(&[]);
    assert_eq!(sim.views[&at("").scope].objects.len(), 2);
}

#[test]
fn nothing_of_a_halted_provider_is_decided_and_what_others_have_is() {
    let mut sim = Sim::new();
    sim.have("same", json!({"x": 1}));
    sim.entries.get_mut(&at("same")).unwrap().agreed = Some(seen_digest(&json!({"spec": {"x": 1}})));
    sim.want("new", json!({}));
    sim.left("gone", json!({}));
    let elsewhere = |key: &str| Address::new("q", "K", "s", key);
    sim.put(&elsewhere("theirs"), json!({}));
    sim.want_at("other", &elsewhere("other"), json!({}));
    sim.want_at("user", &elsewhere("user"), json!({})).after = Arc::new([id("new")]);
    sim.want_at("uses", &elsewhere("uses"), json!({})).after = Arc::new([id("same")]);
    let halt = Halted { code: codes::PLUGIN_CALL, reason: "it crashed".to_owned() };
    sim.halted.insert("p".into(), halt);
    let halted = |name: &str| code(codes::PLUGIN_CALL, name);
    let skipped = code(codes::STEP_SKIPPED, "user");
    // What exists already still stands, and may be built on.
    let plan = sim.check_plan(&["create other", "create uses", &halted("gone"), &halted("new"), &halted("same"), &skipped]);
    assert_eq!((plan.unchanged, plan.refused[0].reason.as_str()), (0, "it crashed"));
    sim.options.destroy = true;
    sim.options.allow_deletes = Some(usize::MAX);
    sim.check_plan(&[&halted("gone"), &halted("same")]);
    sim.options = Options::default();
    sim.halted.clear();
    sim.converge(&["delete gone", "create new", "create other", "create user", "create uses"]);
}

#[test]
fn what_takes_along_what_others_made_waits_however_few_go() {
    let cascading = |sim: &mut Sim| sim.kind = Arc::new(Kind { cascades: true, ..kind() });
    let mut sim = Sim::new();
    cascading(&mut sim);
    for number in 0..9 {
        sim.have(&format!("k{number}"), json!({}));
    }
    sim.left("old", json!({}));
    let plan = sim.plan();
    assert!(plan.steps.is_empty(), "{:?}", lines(&plan));
    let [refused] = &plan.refused[..] else { panic!("{:?}", lines(&plan)) };
    assert_eq!(refused.code, codes::DELETE_LIMIT);
    assert!(refused.reason.contains("whoever made that"), "{}", refused.reason);
    assert!(refused.hint.as_deref().is_some_and(|it| it.contains("--allow-deletes 1`")), "{:?}", refused.hint);
    sim.options.allow_deletes = Some(1);
    sim.converge(&["delete old"]);
}
