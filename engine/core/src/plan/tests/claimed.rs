//! What a document claims beyond its own object.

use super::*;

/// The document that claims: kind `Z`, in the scope of the others.
pub(super) fn zone_at() -> Address {
    Address::new("p", "Z", "s", "zone")
}

fn zone_kind() -> Arc<Kind> {
    let path = |text| Path::parse(text);
    Arc::new(Kind { name: "Z".into(), claims: path("spec.all"), claims_except: path("spec.ignore"), ..kind() })
}

pub(super) fn declare(sim: &mut Sim, spec: Json) {
    sim.desired.retain(|(it, _)| it.address != zone_at());
    let kind = zone_kind();
    let claims = kind.claim(&json!({ "spec": spec })).map(Arc::new);
    let want = sim.want_at("zone", &zone_at(), spec);
    (want.kind, want.claims) = (kind, claims);
}

/// A world in which the zone is declared with this document, applied with that one, and there.
fn world(now: Json, applied: Json, settled: bool) -> Sim {
    let mut sim = Sim::new();
    declare(&mut sim, now);
    sim.own_at("zone", &zone_at(), applied.clone()).claims = settled;
    sim.put(&zone_at(), json!({ "spec": applied }));
    sim
}

/// A world whose claim is nothing new, with these strangers.
fn claimed(strangers: &[&str]) -> Sim {
    let all = json!({"all": true});
    let mut sim = world(all.clone(), all, true);
    for key in strangers {
        sim.see(key, json!({"x": 1}));
    }
    sim
}

fn allowed(mut sim: Sim, deletes: usize) -> Sim {
    sim.options.allow_deletes = Some(deletes);
    sim
}

#[test]
fn what_nobody_declares_in_a_claimed_scope_goes_and_the_plan_says_who_claims_it() {
    let mut sim = claimed(&["stray"]);
    sim.have("www", json!({"x": 1}));
    sim.left("old", json!({}));
    let plan = sim.plan();
    let step = plan.steps.iter().find(|it| it.address == at("stray")).unwrap();
    assert_eq!((step.action, step.resource.as_str(), reasons(step)), (Action::Delete, "p:K/s/stray", vec!["claimed"]));
    assert_eq!(
        step.reasons[0].text,
        "Z/zone (a.yaml:1) claims every object of `s`, and nobody declares this one".replace("Z/", "K/")
    );
    assert_eq!(told(&step.changes), ["spec.x: 1 -> - (git)"]);
    sim.converge(&["delete old", "delete stray"]);
    assert!(sim.found(&at("stray")).is_none() && sim.found(&at("www")).is_some() && sim.found(&zone_at()).is_some());
}

#[test]
fn a_claim_that_is_not_true_claims_nothing() {
    for spec in [
        json!({}),
        json!({"all": false}),
        json!({"all": {"$unknown": "K/x"}}),
        json!({"all": true, "ignore": {"$unknown": "K/x"}}),
    ] {
        let mut sim = world(spec.clone(), spec, true);
        sim.see("stray", json!({}));
        let plan = sim.plan();
        assert!(plan.steps.iter().all(|it| !it.action.deletes()) && plan.refused.is_empty(), "{:?}", lines(&plan));
    }
}

#[test]
fn what_a_claim_takes_for_the_first_time_waits_however_little_it_is() {
    let (all, none) = (json!({"all": true}), json!({}));
    let mut new = Sim::new();
    declare(&mut new, all.clone());
    new.see("stray", json!({}));
    new.put(&Address::new("p", "Z", "s", "other"), json!({}));
    let turned_on = {
        let mut sim = world(all.clone(), none, false);
        sim.see("stray", json!({}));
        sim
    };
    for (mut sim, first) in [(new, "create zone"), (turned_on, "update zone")] {
        let plan = sim.check_plan(&[first, &code(codes::DELETE_LIMIT, "stray")]);
        assert!(plan.refused[0].reason.contains("the first time always waits"), "{:?}", plan.refused);
        assert!(plan.refused[0].hint.as_deref().is_some_and(|it| it.contains("--allow-deletes 1")), "{:?}", plan.refused);
        // The document is applied, and still nobody has agreed to what it claims.
        sim.apply(&plan);
        sim.check_plan(&[&code(codes::DELETE_LIMIT, "stray")]);
        sim.options.allow_deletes = Some(0);
        sim.check_plan(&[&code(codes::DELETE_LIMIT, "stray")]);
        sim.options.allow_deletes = Some(1);
        sim.converge(&["delete stray"]);
        // From now on the ordinary limits hold.
        sim.options.allow_deletes = None;
        sim.see("late", json!({}));
        sim.converge(&["delete late"]);
    }
}

#[test]
fn a_claim_over_an_empty_scope_needs_no_word_and_is_settled() {
    let all = json!({"all": true});
    let mut sim = world(all.clone(), all, false);
    sim.converge(&[]);
    assert!(sim.entries[&zone_at()].claims);
    sim.see("stray", json!({}));
    sim.converge(&["delete stray"]);
}

#[test]
fn what_is_released_in_a_claimed_scope_does_not_go_without_a_word() {
    let mut sim = claimed(&[]);
    sim.left("kept", json!({})).prune = false;
    let plan = sim.check_plan(&["forget kept"]);
    assert!(!plan.claims(0));
    sim.apply(&plan);
    for _ in 0..2 {
        let plan = sim.check_plan(&[&code(codes::DELETE_LIMIT, "kept")]);
        sim.apply(&plan);
    }
    // Left alone by the document, it is no question any more, and the claim is as good as before.
    let all = json!({"all": true, "ignore": ["kept"]});
    declare(&mut sim, all);
    sim.converge(&["update zone"]);
    sim.see("stray", json!({}));
    sim.converge(&["delete stray"]);
    // Of what is gone, nothing is left to be released.
    sim.left("gone", json!({})).prune = false;
    sim.vanish(&at("gone"));
    let plan = sim.check_plan(&["forget gone"]);
    assert!(plan.claims(0));
}

#[test]
fn a_claim_is_not_settled_by_a_scope_that_was_not_seen_whole() {
    for coverage in [Coverage::Partial, Coverage::Named(["stray".into()].into()), Coverage::Failed("timeout".into())] {
        let all = json!({"all": true});
        let mut sim = world(all.clone(), all, false);
        sim.see("stray", json!({}));
        let whole = sim.views.clone();
        sim.views.get_mut(&at("").scope).unwrap().coverage = coverage.clone();
        let plan = sim.check_plan(&[]);
        sim.apply(&plan);
        sim.views = whole;
        sim.check_plan(&[&code(codes::DELETE_LIMIT, "stray")]);
        // One that the operator knows of stays known.
        sim.entries.get_mut(&zone_at()).unwrap().claims = true;
        sim.views.get_mut(&at("").scope).unwrap().coverage = coverage;
        let plan = sim.check_plan(&[]);
        sim.apply(&plan);
        assert!(sim.entries[&zone_at()].claims);
    }
}

#[test]
fn exceptions_are_left_alone_and_one_fewer_is_a_new_claim() {
    let all = |ignore: &[&str]| json!({"all": true, "ignore": ignore});
    let mut sim = world(all(&["ns*"]), all(&["ns*"]), true);
    for key in ["NS1", "stray"] {
        sim.see(key, json!({}));
    }
    sim.converge(&["delete stray"]);
    declare(&mut sim, all(&["other"]));
    let plan = sim.check_plan(&["update zone", &code(codes::DELETE_LIMIT, "NS1")]);
    sim.apply(&plan);
    sim.check_plan(&[&code(codes::DELETE_LIMIT, "NS1")]);
    allowed(sim.clone(), 1).converge(&["delete NS1"]);
    declare(&mut sim, all(&["other", "ns1"]));
    sim.converge(&["update zone"]);
}

#[test]
fn a_claim_is_limited_as_every_delete_is() {
    let keys: Vec<String> = (0..11).map(|it| format!("k{it:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let refused = |sim: &Sim| sim.plan().refused.iter().filter(|it| it.code == codes::DELETE_LIMIT).count();
    let with = |strangers: usize, declared: usize| {
        let mut sim = claimed(&keys[..strangers]);
        for it in 0..declared {
            sim.have(&format!("d{it:02}"), json!({}));
        }
        sim
    };
    assert_eq!(refused(&with(10, 30)), 0);
    assert_eq!(refused(&with(11, 30)), 11, "above ten");
    assert_eq!(refused(&allowed(with(11, 30), 11)), 0);
    assert_eq!(refused(&allowed(with(11, 30), 10)), 11);
    assert_eq!(refused(&with(3, 1)), 3, "more than half of what is owned and claimed");
    assert_eq!(refused(&with(2, 2)), 0);
}

#[test]
fn what_a_claim_is_not_about_stays() {
    let mut sim = claimed(&["stray"]);
    // Its system's own.
    sim.see("soa", json!({})).unclaimed = true;
    // Another environment's, in this store and by its mark.
    sim.see("theirs", json!({}));
    sim.others.insert(at("theirs"), another("dev"));
    sim.see("marked", json!({})).mark = Some("project/dev/p:K/s/marked".into());
    // Other scopes, other providers, and the claiming kind itself.
    for address in [Address::new("p", "K", "t", "a"), Address::new("q", "K", "s", "b"), Address::new("p", "Z", "s", "c")] {
        sim.put(&address, json!({}));
    }
    sim.converge(&["delete stray"]);
    // What this environment made and lost the state of is claimed as well.
    sim.see("ours", json!({})).mark = Some(mark(&ResourceId::parse("p:K/s/ours").unwrap()).into());
    sim.converge(&["delete ours"]);
}

#[test]
fn what_is_declared_and_refused_is_not_claimed() {
    let mut sim = claimed(&[]);
    sim.want("www", json!({"x": 1}));
    sim.see("www", json!({"x": 2}));
    sim.left("kept", json!({})).protect = true;
    sim.check_plan(&[&code(codes::PROTECTED, "kept"), &code(codes::CLAIM, "www")]);
}

#[test]
fn an_object_of_ours_at_another_key_is_not_claimed() {
    let mut sim = claimed(&[]);
    sim.kind = Arc::new(Kind { recover: Recover::Mark, ..kind() });
    sim.want("www", json!({}));
    sim.own("www", json!({}));
    sim.see("elsewhere", json!({})).identity = "id-www".into();
    let plan = sim.plan();
    assert!(plan.steps.iter().all(|it| it.claim.is_none()), "{:?}", lines(&plan));
}

#[test]
fn nothing_is_claimed_by_a_document_that_is_refused_or_halted() {
    let mut sim = claimed(&["stray"]);
    // Somebody else has it.
    let mut foreign = sim.clone();
    foreign.entries.clear();
    foreign.others.insert(zone_at(), another("dev"));
    foreign.check_plan(&[&code(codes::OTHER_ENVIRONMENT, "zone")]);
    // Its own scope cannot be read, though that of the others can.
    let mut unread = sim.clone();
    unread.views.get_mut(&zone_at().scope).unwrap().coverage = Coverage::Failed("timeout".into());
    unread.check_plan(&[&code(codes::OBSERVE_FAILED, "zone")]);
    // What it depends on is refused.
    let mut waits = sim.clone();
    waits.entries.remove(&zone_at());
    waits.vanish(&zone_at());
    waits.options.allow_deletes = Some(9);
    waits.desired[0].0.after = Arc::new([id("base")]);
    waits.want_at("base", &Address::new("q", "K", "unseen", "base"), json!({}));
    waits.check_plan(&[&code(codes::OBSERVE_FAILED, "base"), &code(codes::STEP_SKIPPED, "zone")]);
    let halt = Halted { code: codes::PLUGIN_CALL, reason: "it crashed".to_owned() };
    sim.halted.insert("p".into(), halt);
    sim.check_plan(&[&code(codes::PLUGIN_CALL, "zone")]);
}

#[test]
fn a_plugin_that_refuses_the_claiming_document_takes_its_claim_along() {
    let mut sim = world(json!({"all": true, "x": 2}), json!({"all": true, "x": 1}), true);
    sim.see("stray", json!({}));
    let plan = sim.check_plan(&["update zone", "delete stray"]);
    assert_eq!(plan.steps[1].after, [0], "the document that claims comes first");
    let refused = sim.world(|world| apply_verdicts(world, plan, vec![(0, Verdict::Refuse("no".to_owned()))]));
    assert_eq!(lines(&refused), [code(codes::REFUSED_BY_PLUGIN, "zone")]);
}

#[test]
fn what_a_plugin_holds_back_of_a_new_claim_is_still_new() {
    let all = json!({"all": true});
    let mut sim = allowed(world(all.clone(), all, false), 2);
    sim.see("a", json!({}));
    sim.see("b", json!({}));
    let plan = sim.check_plan(&["delete a", "delete b"]);
    assert!(plan.claims(0));
    let plan = sim.world(|world| apply_verdicts(world, plan, vec![(1, Verdict::Hold("later".to_owned()))]));
    assert!(!plan.claims(0));
    sim.apply(&plan);
    sim.options.allow_deletes = None;
    sim.check_plan(&[&code(codes::DELETE_LIMIT, "b")]);
}

#[test]
fn of_two_claims_to_one_scope_each_may_leave_alone() {
    let mut sim = claimed(&["stray", "kept"]);
    let second = Address::new("p", "Y", "s", "second");
    let spec = json!({"all": true, "ignore": ["kept"]});
    let kind = zone_kind();
    let claims = kind.claim(&json!({ "spec": spec })).map(Arc::new);
    let want = sim.want_at("second", &second, spec.clone());
    (want.kind, want.claims) = (kind, claims);
    sim.own_at("second", &second, spec.clone()).claims = true;
    sim.put(&second, json!({ "spec": spec }));
    sim.put(&Address::new("p", "Y", "s", "undeclared"), json!({}));
    sim.converge(&["delete stray"]);
}

#[test]
fn a_claim_that_ends_claims_nothing_and_is_new_when_it_comes_back() {
    let mut sim = claimed(&["stray"]);
    declare(&mut sim, json!({"all": false}));
    sim.converge(&["update zone"]);
    declare(&mut sim, json!({"all": true}));
    let plan = sim.check_plan(&["update zone", &code(codes::DELETE_LIMIT, "stray")]);
    sim.apply(&plan);
    sim.check_plan(&[&code(codes::DELETE_LIMIT, "stray")]);
    // To destroy, what is owned is all that matters.
    sim.options.destroy = true;
    sim.check_plan(&["delete zone"]);
}

#[test]
fn a_claimed_delete_that_a_crash_cut_off_is_looked_at_and_goes_on() {
    let intent = |prior: Option<Digest>| Intent {
        token: "t".into(),
        resource: ResourceId::parse("p:K/s/stray").unwrap(),
        address: at("stray"),
        action: IntentAction::Delete,
        prior,
        desired: None,
        document: None,
        after: Arc::default(),
        siblings: Arc::default(),
        protect: false,
        prune: true,
        operation: None,
        started_ms: 0,
    };
    // It did not take effect: claimed again, from the start.
    let mut sim = claimed(&["stray"]);
    sim.intents = vec![intent(Some(seen_digest(&json!({"spec": {"x": 1}}))))];
    assert_eq!(sim.converge(&["delete stray"]).steps[0].token, None);
    // Something in between: finished under its token.
    let mut sim = claimed(&["stray"]);
    sim.intents = vec![intent(None)];
    assert_eq!(sim.check_plan(&["delete stray"]).steps[0].token.as_deref(), Some("t"));
    // The claim is gone: so is the change.
    declare(&mut sim, json!({}));
    let plan = sim.check_plan(&["update zone"]);
    assert_eq!(plan.resolved[0].evidence, Evidence::Superseded);
    // It took effect.
    let mut sim = claimed(&[]);
    sim.intents = vec![intent(None)];
    assert_eq!(sim.check_plan(&[]).resolved[0].evidence, Evidence::Done);
}

#[test]
fn what_a_claimed_object_is_called_is_an_identity_whatever_its_scope_and_key_hold() {
    let mut sim = claimed(&[]);
    let keys = ["a/b", "a%2Fb", "a b", "\n", "", "ü"];
    for key in keys {
        sim.see(key, json!({}));
    }
    let plan = allowed(sim, 9).plan();
    let names: Vec<&str> = plan.steps.iter().map(|it| it.resource.as_str()).collect();
    assert_eq!(names, ["p:K/s/%", "p:K/s/%0A", "p:K/s/a%20b", "p:K/s/a%252Fb", "p:K/s/a%2Fb", "p:K/s/ü"]);
    assert!(names.iter().all(|it| ResourceId::parse(it).is_some()));
}

#[test]
fn what_is_claimed_keeps_its_place_while_something_of_ours_stands_in_it() {
    let mut sim = claimed(&["dir"]);
    sim.kind = Arc::new(Kind { nests: Some("/".into()), ..kind() });
    let inside = Address::new("p", "K", "s/dir", "file");
    sim.want_at("file", &inside, json!({}));
    sim.own_at("file", &inside, json!({}));
    sim.put(&inside, json!({ "spec": {} }));
    sim.check_plan(&[&code(codes::STEP_SKIPPED, "dir")]);
}

#[test]
fn what_comes_to_a_scope_whose_drift_is_only_told_of_is_told_of() {
    let mut sim = claimed(&["stray"]);
    sim.options.drift = DriftMode::Warn;
    let plan = sim.check_plan(&["drift stray"]);
    assert_eq!(told(&plan.drift[0].changes), ["spec.x: 1 -> - (drift)"]);
    sim.options.drift = DriftMode::Heal;
    sim.desired[0].0.settings = Arc::new(settings(|it| it.drift = Some(DriftMode::Off)));
    sim.check_plan(&["drift stray"]);
    // What the claim takes for the first time is its own doing.
    sim.entries.get_mut(&zone_at()).unwrap().claims = false;
    sim.check_plan(&[&code(codes::DELETE_LIMIT, "stray")]);
    sim.options.allow_deletes = Some(1);
    sim.check_plan(&["delete stray"]);
}

#[test]
fn an_object_that_was_named_and_not_read_is_not_claimed_yet() {
    let all = json!({"all": true});
    let mut sim = allowed(world(all.clone(), all, false), 9);
    sim.see("stray", json!({})).doc = None;
    let plan = sim.check_plan(&[]);
    assert!(!plan.claims(0), "it still waits");
    assert_eq!(sim.world(needs).observed, [at("stray"), zone_at()]);
}
