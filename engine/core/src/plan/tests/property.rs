//! Random worlds: what must hold of every plan holds of them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// One resource's state: declared value, applied value, observed value, each 0 for none; bits of settings; dependency.
type Cell = (u8, u8, u8, u8, usize);

fn build(cells: &[Cell], identities: bool) -> Sim {
    let mut sim = Sim::new();
    if identities {
        sim.kind = Arc::new(Kind { recover: Recover::Mark, replace: ReplaceOrder::CreateFirst, ..kind() });
    }
    let spec = |value: u8| json!({"x": value, "fixed": value / 3, "list": [value]});
    for (index, (declared, applied, observed, bits, before)) in cells.iter().enumerate() {
        let name = format!("n{index:02}");
        if *declared != 0 {
            let want = sim.want(&name, spec(*declared));
            want.settings = Arc::new(settings(|it| {
                it.adopt = true;
                it.protect = bits & 4 != 0;
                it.no_prune = bits & 8 != 0;
            }));
            want.after = (*before < index).then(|| id(&format!("n{before:02}"))).into_iter().collect();
        }
        if *applied != 0 {
            // A few entries belong to a resource of another name, or stand at another address.
            let owner = if bits & 3 == 3 { format!("m{index:02}") } else { name.clone() };
            let address = if bits & 3 == 2 { at(&format!("o{index:02}")) } else { at(&name) };
            let entry = sim.own_at(&owner, &address, spec(*applied));
            entry.prune = bits & 16 == 0;
            entry.after = (*before < index).then(|| id(&format!("n{before:02}"))).into_iter().collect();
            if *observed != 0 {
                sim.put(&address, json!({"spec": spec(*observed)}));
            }
        } else if *observed != 0 {
            sim.see(&name, spec(*observed));
        }
    }
    sim.options.allow_deletes = Some(1000);
    sim.options.allow_recreate = true;
    sim
}

fn cells() -> impl Strategy<Value = Vec<Cell>> {
    vec((0..5_u8, 0..5_u8, 0..5_u8, 0..32_u8, 0..24_usize), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// What nobody refuses is done after two rounds (the second one takes what a first one had to keep).
    #[test]
    fn carrying_a_plan_out_leaves_nothing_to_do(cells in cells(), identities: bool) {
        let mut sim = build(&cells, identities);
        let mut last = Vec::new();
        for _ in 0..3 {
            let plan = sim.plan();
            last = lines(&plan);
            if plan.steps.is_empty() {
                break;
            }
            sim.apply(&plan);
        }
        let plan = sim.plan();
        prop_assert!(plan.steps.is_empty(), "{last:?} then {:?}", lines(&plan));
        for (want, _) in &sim.desired {
            let refused = plan.refused.iter().any(|it| it.resource == want.resource);
            let value = |address: &Address| sim.found(address).and_then(|it| it.doc.clone()).map(|it| it["spec"]["x"].clone());
            let doc = &sim.desired.iter().find(|(it, _)| it.resource == want.resource).unwrap().1;
            prop_assert!(refused || value(&want.address).as_ref() == Some(&doc["spec"]["x"]), "{:?}", want.resource);
        }
    }

    #[test]
    fn a_plan_depends_on_no_order_of_its_input(cells in cells(), seed in any::<u64>()) {
        let sim = build(&cells, false);
        let first = sim.plan();
        let mut other = sim.clone();
        let mut state = seed | 1;
        for at in (1..other.desired.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            other.desired.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        let second = other.plan();
        prop_assert_eq!(first.digest, second.digest);
        prop_assert_eq!(lines(&first), lines(&second));
        prop_assert_eq!(first.refused, second.refused);
        prop_assert_eq!(first.unchanged, second.unchanged);
    }

    /// Whatever is declared, owned and there: a claim takes what is nobody's in a scope that was seen whole, and nothing else.
    #[test]
    fn nothing_is_claimed_without_a_whole_view_or_from_anybody(
        cells in cells(),
        strangers in vec((0..3_u8, any::<bool>()), 0..9),
        coverage in 0..3_u8,
        settled: bool,
        allow in proptest::option::of(0..40_usize),
    ) {
        let mut sim = build(&cells, false);
        let all = json!({"all": true, "ignore": ["s0*"]});
        claimed::declare(&mut sim, all.clone());
        sim.own_at("zone", &claimed::zone_at(), all.clone()).claims = settled;
        sim.put(&claimed::zone_at(), json!({ "spec": all }));
        for (index, (nature, other)) in strangers.iter().enumerate() {
            let key = format!("s{nature}{index}");
            sim.see(&key, json!({})).unclaimed = *nature == 1;
            if *other {
                sim.others.insert(at(&key), another("dev"));
            }
        }
        // Random objects that are neither declared nor owned are nobody's as well.
        let nobodys = |at: usize| cells.get(at).is_some_and(|it| it.0 == 0 && it.1 == 0 && it.2 != 0);
        let nobodys: Vec<Address> = (0..cells.len()).filter(|it| nobodys(*it)).map(|it| at(&format!("n{it:02}"))).collect();
        let whole = coverage == 0;
        if !whole {
            let coverage = if coverage == 1 { Coverage::Partial } else { Coverage::Failed("timeout".into()) };
            sim.views.get_mut(&at("").scope).unwrap().coverage = coverage;
        }
        sim.options.allow_deletes = allow;
        let plan = sim.plan();
        for step in plan.steps.iter().filter(|it| it.claim.is_some()) {
            let stranger = step.address.key.starts_with("s2") || nobodys.contains(&step.address);
            prop_assert!(whole && stranger && !sim.others.contains_key(&step.address), "{step:?}");
            prop_assert!(settled || allow.is_some(), "{step:?}");
        }
        prop_assert!(whole || settled || !plan.claims(sim.desired.len() - 1));
        sim.options.allow_deletes = Some(1000);
        let free = nobodys.len() + strangers.iter().filter(|it| **it == (2, false)).count();
        let claimed = sim.plan().steps.iter().filter(|it| it.claim.is_some()).count();
        prop_assert_eq!(claimed, if whole { free } else { 0 });
    }

    /// `Sim::plan` checks every plan; here the view is broken, and so the plan may neither delete nor forget the unseen.
    #[test]
    fn nothing_goes_or_comes_on_a_broken_view(cells in cells(), failed: bool) {
        let mut sim = build(&cells, false);
        sim.cover(if failed { Coverage::Failed("timeout".into()) } else { Coverage::Partial });
        let plan = sim.plan();
        for step in &plan.steps {
            prop_assert!(!failed, "{step:?}");
            prop_assert!(step.action != Action::Create, "{step:?}");
            prop_assert!(step.prior.is_some() || step.from.as_ref().is_some_and(|it| it.prior.is_some()), "{step:?}");
        }
        // Without the operator's word the limits hold as well.
        sim.options = Options::default();
        let owned = sim.entries.len();
        let gone = sim.plan().steps.iter().filter(|it| it.action.deletes()).count();
        prop_assert!(gone <= 10 && (owned < 5 || gone * 2 <= owned));
    }
}
