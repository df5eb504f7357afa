//! What is reviewed is what is applied: digests, verdicts, values that become known.

use super::*;
use crate::document::ReplaceMode;
use crate::value::{secret, unknown};

/// A change of the world, and whether the digest is to follow it.
type Flip = (&'static str, fn(&mut Sim), bool);

fn base() -> Sim {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1, "token": secret("db", "01")}));
    sim.see("a", json!({"x": 2, "token": secret("", "02"), "theirs": 1}));
    sim.want("b", json!({"y": unknown("K/a")})).after = [id("a")].into();
    sim.left("c", json!({"z": 1}));
    sim
}

#[test]
fn the_digest_follows_all_that_is_done_and_nothing_else() {
    let flips: &[Flip] = &[
        ("desired value", |sim| sim.want("new", json!({})).location.line = 1, true),
        ("no step", |sim| sim.desired.truncate(1), true),
        (
            "prior value",
            |sim| {
                sim.see("a", json!({"x": 3, "token": secret("", "02"), "theirs": 1}));
            },
            true,
        ),
        (
            "prior value of a delete",
            |sim| {
                sim.see("c", json!({"z": 2}));
            },
            true,
        ),
        ("edge", |sim| sim.desired[1].0.after = Arc::default(), true),
        (
            "secret equal",
            |sim| {
                sim.see("a", json!({"x": 2, "token": secret("", "01"), "theirs": 1}));
            },
            true,
        ),
        ("another secret", |sim| sim.desired[0].1 = Arc::new(json!({"spec": {"x": 1, "token": secret("other", "01")}})), true),
        ("unknown of another", |sim| sim.desired[1].1 = Arc::new(json!({"spec": {"y": unknown("K/z")}})), true),
        ("action", |sim| sim.entries.get_mut(&at("c")).unwrap().prune = false, true),
        (
            "secret values",
            |sim| {
                sim.desired[0].1 = Arc::new(json!({"spec": {"x": 1, "token": secret("db", "77")}}));
                sim.applied.insert(at("a"), sim.desired[0].1.clone());
                sim.see("a", json!({"x": 2, "token": secret("", "78"), "theirs": 1}));
            },
            false,
        ),
        (
            "their value",
            |sim| {
                sim.see("a", json!({"x": 2, "token": secret("", "02"), "theirs": 5}));
            },
            false,
        ),
        ("version", |sim| sim.see("c", json!({"z": 1})).version = Some("9".into()), false),
        ("outputs", |sim| sim.see("c", json!({"z": 1})).outputs = Some(Arc::new(json!({"mtime": 1}))), false),
        ("place", |sim| sim.desired[0].0.location.line = 99, false),
        (
            "unchanged neighbour",
            |sim| {
                sim.have("z", json!({}));
            },
            false,
        ),
        ("agreed", |sim| sim.entries.get_mut(&at("a")).unwrap().agreed = Some(Digest::of(b"")), false),
        ("clock", |sim| sim.now_ms += 1, false),
        ("order of input", |sim| sim.desired.reverse(), false),
    ];
    let before = base().plan();
    assert_eq!(lines(&before), ["update a", "create b", "delete c"]);
    for (name, flip, follows) in flips {
        let mut sim = base();
        flip(&mut sim);
        let after = sim.plan();
        assert_eq!(after.digest != before.digest, *follows, "{name}: {:?}", lines(&after));
    }
    let context = |items: &[(&str, &str)]| {
        let items: Vec<_> = items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        digest(&before, &items)
    };
    assert_ne!(context(&[("p", "1")]), context(&[("p", "2")]));
    assert_eq!(context(&[("p", "1"), ("q", "2")]), context(&[("q", "2"), ("p", "1")]));
    assert_eq!(context(&[]), before.digest);
}

#[track_caller]
fn check_verdict(verdict: Verdict, want: &[&str], unchanged: usize) -> Plan {
    check_allowed(Some(ReplaceMode::Allow), verdict, want, unchanged)
}

/// Where the document says this of replacements.
#[track_caller]
fn check_allowed(replace: Option<ReplaceMode>, verdict: Verdict, want: &[&str], unchanged: usize) -> Plan {
    let mut sim = Sim::new();
    sim.have("a", json!({"x": 1, "y": 1}));
    sim.see("a", json!({"x": 2, "y": 1}));
    sim.want("b", json!({})).after = [id("a")].into();
    sim.desired[0].0.settings = Arc::new(settings(|it| it.replace = replace));
    let plan = sim.plan();
    assert_eq!(lines(&plan), ["update a", "create b"]);
    let before = plan.digest;
    let plan = sim.world(|world| apply_verdicts(world, plan, vec![(0, verdict.clone())]));
    assert_eq!((lines(&plan), plan.unchanged), (want.iter().map(|it| (*it).to_owned()).collect(), unchanged), "{verdict:?}");
    assert_eq!(plan.digest == before, verdict == Verdict::Accept, "{verdict:?}");
    plan
}

#[test]
fn a_plugin_may_ignore_replace_hold_and_refuse() {
    let path = Path::parse("spec.x").unwrap();
    check_verdict(Verdict::Accept, &["update a", "create b"], 0);
    let plan = check_verdict(Verdict::Ignore(vec![path.clone()]), &["create b"], 1);
    assert_eq!(plan.records.len(), 1);
    let verdict = Verdict::Replace { paths: vec![path], create_first: true, reason: "the size class changes".into() };
    let plan = check_verdict(verdict, &["replace a", "create b"], 0);
    assert_eq!(plan.steps[0].action, Action::Replace(ReplaceOrder::DeleteFirst), "old and new have one name");
    let verdict = Verdict::Replace { paths: Vec::new(), create_first: false, reason: "its size class".into() };
    let refused = check_allowed(None, verdict, &["create b", &code(codes::REPLACE_REFUSED, "a")], 0).refused.remove(0);
    assert!(refused.reason.contains("its size class") && refused.hint.unwrap().contains("trueup.dev/replace: allow"));
    assert_eq!(reasons(&plan.steps[0]), ["drifted", "plugin", "collision"]);
    check_verdict(Verdict::Hold("maintenance".into()), &["create b", &code(codes::REFUSED_BY_PLUGIN, "a")], 0);
    check_verdict(Verdict::Refuse("quota".into()), &["create b", &code(codes::REFUSED_BY_PLUGIN, "a")], 0);
    let halt = Halted { code: codes::PLUGIN_CALL, reason: "it crashed".into() };
    check_verdict(Verdict::Halted(halt), &["create b", &code(codes::PLUGIN_CALL, "a")], 0);
}

#[test]
fn a_plugin_cannot_replace_what_is_protected_nor_beyond_the_limits() {
    let mut sim = Sim::new();
    for at in 0..6 {
        sim.have(&format!("n{at}"), json!({"x": 1}));
        sim.see(&format!("n{at}"), json!({"x": 2}));
    }
    sim.desired.iter_mut().for_each(|(it, _)| it.settings = Arc::new(settings(|it| it.replace = Some(ReplaceMode::Allow))));
    sim.entries.get_mut(&at("n0")).unwrap().protect = true;
    let verdict = Verdict::Replace { paths: Vec::new(), create_first: false, reason: "so".into() };
    let plan = sim.plan();
    let plan = sim.world(|world| apply_verdicts(world, plan, (0..6).map(|at| (at, verdict.clone())).collect()));
    assert_eq!(plan.refused.iter().filter(|it| it.code == codes::PROTECTED).count(), 1);
    assert_eq!(plan.refused.iter().filter(|it| it.code == codes::DELETE_LIMIT).count(), 5);
    assert!(plan.steps.is_empty());
}

#[test]
fn a_plugin_cannot_replace_what_was_protected_at_its_old_address() {
    let mut sim = Sim::new();
    sim.kind = Arc::new(Kind { recover: Recover::Mark, ..kind() });
    sim.want("new", json!({"x": 2})).settings = Arc::new(settings(|it| it.moved_from = Some("K/old".into())));
    sim.left("old", json!({"x": 1})).protect = true;
    let plan = sim.check_plan(&["update new"]);
    let verdict = Verdict::Replace { paths: Vec::new(), create_first: false, reason: "so".into() };
    let plan = sim.world(|world| apply_verdicts(world, plan, vec![(0, verdict)]));
    assert_eq!(lines(&plan), [code(codes::PROTECTED, "new")]);
}

#[test]
fn a_refused_create_takes_its_dependents_with_it() {
    let mut sim = Sim::new();
    sim.want("a", json!({}));
    sim.want("b", json!({})).after = [id("a")].into();
    let plan = sim.plan();
    let plan = sim.world(|world| apply_verdicts(world, plan, vec![(0, Verdict::Refuse("quota".into()))]));
    assert_eq!(lines(&plan), [code(codes::REFUSED_BY_PLUGIN, "a"), code(codes::STEP_SKIPPED, "b")]);
}

/// Plans `planned` against an object, then settles its step with `known`.
#[track_caller]
fn check_late(applied: Option<Json>, planned: Json, known: Json, want: Result<&[&str], &str>) {
    let mut sim = Sim::new();
    sim.want("a", planned.clone());
    if let Some(applied) = &applied {
        sim.own("a", applied.clone());
        sim.see("a", applied.clone());
    }
    let plan = sim.plan();
    let applied = applied.map(|it| json!({ "spec": it }));
    let late = settle(&plan.steps[0], &Arc::new(json!({ "spec": known })), applied.as_ref(), &sim.kind, &Settings::default());
    match (late, want) {
        (Late::Ready(step), Ok(changes)) => {
            assert_eq!(told(&step.changes), changes, "{planned} {known}");
            assert_eq!(step.desired, Some(Arc::new(json!({ "spec": known }))));
            assert_eq!(step.action, plan.steps[0].action);
        }
        (Late::Unchanged, Err("unchanged")) => {}
        (Late::Moved(why), Err(part)) if why.contains(part) => {}
        (late, want) => panic!("{planned} {known}: {late:?}, not {want:?}"),
    }
}

#[test]
fn an_unknown_is_filled_and_nothing_else_may_move() {
    let open = unknown("K/z");
    check_late(None, json!({"x": open, "y": 1}), json!({"x": 5, "y": 1}), Ok(&["spec.x: - -> 5 (git)", "spec.y: - -> 1 (git)"]));
    check_late(None, json!({"x": open, "y": 1}), json!({"x": 5, "y": 2}), Err("`spec.y` came out different"));
    check_late(None, json!({"x": open}), json!({"x": 5, "z": 1}), Err("`spec.z` came out different"));
    check_late(None, json!({"x": open}), json!({"x": open}), Err("still unknown"));
    check_late(Some(json!({"x": 1})), json!({"x": open}), json!({"x": 2}), Ok(&["spec.x: 1 -> 2 (git)"]));
    check_late(Some(json!({"x": 1})), json!({"x": open}), json!({"x": 1}), Err("unchanged"));
    check_late(Some(json!({"l": [1]})), json!({"l": [1, open]}), json!({"l": [1, 2]}), Ok(&["spec.l: [1] -> [1,2] (git)"]));
}

#[test]
fn a_replacement_that_hangs_on_an_unknown_is_planned_and_another_action_stops() {
    let open = unknown("K/z");
    check_late(Some(json!({"fixed": 1})), json!({"fixed": open}), json!({"fixed": 2}), Ok(&["spec.fixed: 1 -> 2 (git)"]));
    check_late(Some(json!({"fixed": 1})), json!({"fixed": open}), json!({"fixed": 1}), Err("unchanged"));
    let (before, planned, known) = (json!({"fixed": 1, "x": 1}), json!({"fixed": open, "x": 2}), json!({"fixed": 1, "x": 2}));
    check_late(Some(before), planned, known, Err("only be updated"));
}

#[test]
fn outputs_are_known_unless_a_step_may_change_them() {
    let mut sim = Sim::new();
    for name in ["same", "host", "other", "fixed"] {
        sim.have(name, json!({"host": "a", "x": 1, "fixed": 1}));
    }
    sim.see("host", json!({"host": "b", "x": 1, "fixed": 1}));
    sim.see("other", json!({"host": "a", "x": 2, "fixed": 1}));
    sim.see("fixed", json!({"host": "a", "x": 1, "fixed": 2}));
    sim.want("new", json!({}));
    for observed in sim.views.values_mut().flat_map(|it| it.objects.values_mut()) {
        observed.outputs = Some(Arc::new(json!({"url": "http://a", "id": 7})));
    }
    let plan = sim.plan();
    let outputs = |name: &str| sim.world(|world| known_outputs(world, &plan).get(&id(name)));
    assert_eq!(outputs("same"), Some(json!({"url": "http://a", "id": 7})));
    assert_eq!(outputs("other"), Some(json!({"url": "http://a", "id": 7})));
    assert_eq!(outputs("host"), Some(json!({"url": unknown("K/host"), "id": 7})));
    assert_eq!(outputs("fixed"), None);
    assert_eq!(outputs("new"), None);
}
