//! `wait-for` in plans, and documents that cannot be made whole.

use super::*;
use crate::expression::Condition;

fn waiting(text: &str) -> Arc<Settings> {
    Arc::new(settings(|it| it.wait_for = Condition::parse(text).ok()))
}

/// `a` waits, and `b` depends on it.
fn pair(text: &str) -> Sim {
    let mut sim = Sim::new();
    sim.want("a", json!({"x": 1})).settings = waiting(text);
    sim.want("b", json!({"y": 1})).after = [id("a")].into();
    sim
}

#[track_caller]
fn check(sim: &Sim, want: &[(&str, Option<usize>, &[usize])]) -> Plan {
    let plan = sim.plan();
    let got: Vec<_> = plan.waits.iter().map(|it| (it.resource.name(), it.step, it.before.as_slice())).collect();
    assert_eq!(got, want, "{:?}", plan.steps);
    plan
}

#[test]
fn a_step_waits_for_what_it_makes_and_dependents_for_what_no_step_makes() {
    let mut sim = pair("self.status.ok");
    check(&sim, &[("a", Some(0), &[])]);
    // `a` is there as it should be.
    sim.own("a", json!({"x": 1}));
    sim.see("a", json!({"x": 1}));
    check(&sim, &[("a", None, &[0])]);
    // Nothing depends on what is to be done.
    sim.desired[1].0.after = Arc::default();
    check(&sim, &[]);
    // Nothing is to be done.
    sim.desired[1].0.after = [id("a")].into();
    sim.own("b", json!({"y": 1}));
    sim.see("b", json!({"y": 1}));
    check(&sim, &[]);
    sim.options.destroy = true;
    assert!(sim.plan().waits.is_empty(), "nothing is waited for before it goes");
}

#[test]
fn the_digest_follows_what_is_waited_for_where_a_step_begins_by_it() {
    let digest = |sim: &Sim| sim.plan().digest;
    assert_ne!(digest(&pair("self.status.ok")), digest(&pair("self.status.other")), "of what a step makes");
    let standing = |text: &str| {
        let mut sim = pair(text);
        sim.own("a", json!({"x": 1}));
        sim.see("a", json!({"x": 1}));
        sim
    };
    assert_ne!(digest(&standing("self.status.ok")), digest(&standing("self.status.other")), "of what stands");
    let unused = |text: &str| {
        let mut sim = standing(text);
        sim.desired[1].0.after = Arc::default();
        sim
    };
    assert_eq!(digest(&unused("self.status.ok")), digest(&unused("self.status.other")), "of what nothing waits for");
}

#[test]
fn a_document_that_cannot_be_made_whole_is_refused_and_what_builds_on_it_and_nothing_else() {
    let mut sim = pair("self.status.ok");
    sim.want("c", json!({"z": 1}));
    let unmade = Unmade { code: codes::EXPRESSION_UNDEFINED, reason: "no field `ip`".into(), hint: Some("wait".into()) };
    sim.unmade.insert(id("a"), unmade);
    let plan = sim.plan();
    let refused: Vec<_> = plan.refused.iter().map(|it| (it.resource.name(), it.code, it.hint.as_deref())).collect();
    assert_eq!(refused, [("a", codes::EXPRESSION_UNDEFINED, Some("wait")), ("b", codes::STEP_SKIPPED, None)]);
    assert_eq!(plan.steps.iter().map(|it| it.resource.name()).collect::<Vec<_>>(), ["c"]);
    assert!(plan.waits.is_empty());
}
