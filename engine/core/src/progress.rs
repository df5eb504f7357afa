//! Which steps of a plan may run now, and what an outcome means for the rest.
//!
//! Keeps the state of one apply and does nothing itself: the caller runs what [`Progress::ready`] answers and reports each
//! end with [`Progress::finish`]. A create-first replacement is two parts: the new object is created, what depends on it
//! goes on, and the old object is deleted last; every other step is one part.
//!
//! Invariants: a part is ready once, after all that it waits for is done; what waits for something that failed is skipped,
//! never run; parts of one provider that run at a time never exceed its limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::graph::Graph;
use crate::manifest::ReplaceOrder;
use crate::plan::{Action, Plan};

/// What of a step is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// All of it; a delete-first replacement is a delete and a create, one after the other.
    Whole,
    /// The new object of a create-first replacement.
    Create,
    /// The old object of a create-first replacement, deposed by then.
    Delete,
    /// No part of a step: what [`Plan::waits`] has at that place holds, though no step makes it so.
    Wait,
}

/// How a part ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    Done,
    Failed(String),
    /// The step is no longer what was planned, and why; it was not carried out.
    Moved(String),
    /// The caller did not run it.
    Skipped,
}

/// A step and a part of it; of [`Part::Wait`] the place in [`Plan::waits`].
pub type Work = (usize, Part);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting(usize),
    Ready,
    Running,
    /// Carried out, and waits for its `wait-for`.
    Held,
    Over,
}

/// The state of one apply.
#[derive(Debug)]
pub struct Progress {
    /// First the steps in their order, then the late halves of create-first replacements.
    parts: Vec<Work>,
    /// Provider of each part, as an index into `lanes`.
    lane_of: Vec<usize>,
    /// Of each part: whether it deletes, and its rank, which is never below that of what it waits for.
    ranks: Vec<(usize, i32)>,
    states: Vec<State>,
    graph: Graph,
    lanes: Vec<Lane>,
    /// How many are not over, and how many of those are held.
    open: usize,
    held: usize,
}

/// Parts of one provider.
#[derive(Debug)]
struct Lane {
    /// What makes, and what deletes.
    queues: [Queue; 2],
    running: usize,
    limit: usize,
}

/// Parts that go by their ranks.
#[derive(Debug, Default)]
struct Queue {
    /// By rank.
    ready: BTreeSet<(i32, usize)>,
    /// How many of each rank are neither carried out nor skipped.
    open: BTreeMap<i32, usize>,
}

impl Queue {
    /// The next part whose rank has come; those up to `forced` come whatever their rank waits for.
    fn take(&mut self, forced: Option<i32>) -> Option<usize> {
        let (rank, part) = self.ready.first().copied()?;
        if forced.is_none_or(|most| most < rank) && self.open.first_key_value().is_some_and(|(least, _)| *least < rank) {
            return None;
        }
        self.ready.remove(&(rank, part));
        Some(part)
    }
}

impl Progress {
    /// Starts with nothing done. `parallel` says how many calls a provider takes at a time (0 counts as 1).
    pub fn new(plan: &Plan, parallel: &dyn Fn(&str) -> usize) -> Self {
        let create_first =
            |at: &usize| plan.steps.get(*at).is_some_and(|it| it.action == Action::Replace(ReplaceOrder::CreateFirst));
        let count = plan.steps.len();
        let mut parts: Vec<Work> =
            (0..count).map(|at| (at, if create_first(&at) { Part::Create } else { Part::Whole })).collect();
        // First parts have the index of their step, so that edges carry over; the late halves follow.
        let halves: BTreeMap<usize, usize> =
            (0..count).filter(create_first).enumerate().map(|(nth, at)| (at, count + nth)).collect();
        parts.extend(halves.keys().map(|at| (*at, Part::Delete)));
        let mut edges: Vec<(usize, usize)> = halves.iter().map(|(first, half)| (*first, *half)).collect();
        for (at, step) in plan.steps.iter().enumerate() {
            for before in &step.after {
                edges.push((*before, at));
                if let Some(half) = halves.get(before) {
                    edges.push((at, *half));
                    // What depends on it may be replaced as well: its old half still uses ours, and goes before it.
                    edges.extend(halves.get(&at).map(|own| (*own, *half)));
                }
            }
        }
        // What no step makes so is waited for from the beginning.
        let steps = parts.len();
        for (at, wait) in plan.waits.iter().enumerate().filter(|(_, it)| it.step.is_none()) {
            edges.extend(wait.before.iter().map(|after| (parts.len(), *after)));
            parts.push((at, Part::Wait));
        }
        let graph = Graph::new(parts.len(), edges);
        let mut waits = vec![0_usize; parts.len()];
        for (_, after) in graph.edges() {
            if let Some(count) = waits.get_mut(*after) {
                *count += 1;
            }
        }
        let mut lanes: Vec<Lane> = Vec::new();
        let mut names: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut lane_of = Vec::with_capacity(steps);
        for (at, _) in parts.iter().take(steps) {
            let provider = plan.steps.get(*at).map(|it| it.address.scope.provider.clone()).unwrap_or_default();
            let lane = *names.entry(provider).or_insert_with_key(|provider| {
                lanes.push(Lane { queues: Default::default(), running: 0, limit: parallel(provider).max(1) });
                lanes.len() - 1
            });
            lane_of.push(lane);
        }
        let (open, states) = (parts.len(), vec![State::Waiting(0); parts.len()]);
        let ranks = ranks(plan, &parts, &graph, &lane_of);
        for ((queue, rank), lane) in ranks.iter().zip(&lane_of) {
            if let Some(queue) = lanes.get_mut(*lane).and_then(|it| it.queues.get_mut(*queue)) {
                *queue.open.entry(*rank).or_default() += 1;
            }
        }
        let held = parts.len() - steps;
        let mut out = Self { parts, lane_of, ranks, states, graph, lanes, open, held };
        for (part, count) in waits.into_iter().enumerate() {
            out.wait(part, count);
        }
        for state in out.states.iter_mut().skip(steps) {
            *state = State::Held;
        }
        out
    }

    /// What is waited for though no step makes it so; the caller reports the end of each.
    pub fn held(&self) -> Vec<Work> {
        self.parts.iter().skip(self.lane_of.len()).copied().collect()
    }

    /// A part is carried out and waits for its condition: others of its provider take its place, later ranks need not wait
    /// for it, what depends on it does not begin before [`Progress::finish`].
    pub fn hold(&mut self, work: Work) {
        let Some(at) = self.index(work).filter(|at| self.states.get(*at) == Some(&State::Running)) else { return };
        self.leave(at);
        self.leave_rank(at);
        if let Some(state) = self.states.get_mut(at) {
            *state = State::Held;
            self.held += 1;
        }
    }

    /// Starts all that may run now, in the order of the plan. Each part is answered once; the caller runs it and reports
    /// its end.
    pub fn ready(&mut self) -> Vec<Work> {
        let mut started = self.start(None);
        // Ranks of several providers may wait for each other through what documents refer to: then the least gives way. While
        // something is held, the end of that is what they wait for.
        if started.is_empty() && self.lanes.iter().all(|it| it.running == 0) && self.held == 0 {
            let queues = self.lanes.iter().flat_map(|it| &it.queues);
            let least = queues.filter_map(|it| it.ready.first()).map(|(rank, _)| *rank).min();
            started = self.start(least);
        }
        started.sort_unstable();
        for part in &started {
            if let Some(state) = self.states.get_mut(*part) {
                *state = State::Running;
            }
        }
        started.into_iter().filter_map(|part| self.parts.get(part).copied()).collect()
    }

    fn start(&mut self, forced: Option<i32>) -> Vec<usize> {
        let mut started = Vec::new();
        for lane in &mut self.lanes {
            while lane.running < lane.limit
                && let Some(part) = lane.queues.iter_mut().find_map(|it| it.take(forced))
            {
                lane.running += 1;
                started.push(part);
            }
        }
        started
    }

    /// Reports the end of a part, and answers what will not run because of it, in the order of the plan. Reports on parts
    /// that neither run nor are held are ignored.
    pub fn finish(&mut self, work: Work, finished: &Finished) -> Vec<Work> {
        let open = |at: &usize| matches!(self.states.get(*at), Some(State::Running | State::Held));
        let Some(at) = self.index(work).filter(open) else { return Vec::new() };
        if self.states.get(at) == Some(&State::Running) {
            self.leave(at);
        }
        self.over(at);
        if *finished == Finished::Done {
            for next in self.graph.next(at).collect::<Vec<_>>() {
                if let Some(State::Waiting(count)) = self.states.get(next).copied() {
                    self.wait(next, count.saturating_sub(1));
                }
            }
            return Vec::new();
        }
        let mut skipped = Vec::new();
        for next in self.graph.dependents(&[at]) {
            if let Some(State::Waiting(_)) = self.states.get(next) {
                self.over(next);
                skipped.extend(self.parts.get(next).copied());
            }
        }
        skipped.sort_unstable();
        skipped
    }

    /// Whether every part is done, failed or skipped.
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    fn index(&self, work: Work) -> Option<usize> {
        let at = match work {
            // The late halves come behind the steps, sorted by step, and what is only waited for comes last.
            (step, Part::Delete) => self.parts.partition_point(|(at, part)| match part {
                Part::Whole | Part::Create => true,
                Part::Delete => *at < step,
                Part::Wait => false,
            }),
            (wait, Part::Wait) => self.parts.partition_point(|(at, part)| *part != Part::Wait || *at < wait),
            (step, Part::Whole | Part::Create) => step,
        };
        (self.parts.get(at) == Some(&work)).then_some(at)
    }

    /// The part takes no place of its provider any more.
    fn leave(&mut self, at: usize) {
        if let Some(lane) = self.lane_of.get(at).and_then(|lane| self.lanes.get_mut(*lane)) {
            lane.running -= 1;
        }
    }

    fn wait(&mut self, part: usize, count: usize) {
        let Some(state) = self.states.get_mut(part) else { return };
        *state = if count == 0 { State::Ready } else { State::Waiting(count) };
        if count == 0
            && let Some((queue, rank)) = self.queue(part)
        {
            queue.ready.insert((rank, part));
        }
    }

    fn queue(&mut self, part: usize) -> Option<(&mut Queue, i32)> {
        let (queue, rank) = *self.ranks.get(part)?;
        Some((self.lanes.get_mut(*self.lane_of.get(part)?)?.queues.get_mut(queue)?, rank))
    }

    /// Later ranks no longer wait for the part.
    fn leave_rank(&mut self, part: usize) {
        if let Some((queue, rank)) = self.queue(part)
            && let Some(count) = queue.open.get_mut(&rank)
        {
            *count -= 1;
            if *count == 0 {
                queue.open.remove(&rank);
            }
        }
    }

    fn over(&mut self, part: usize) {
        let Some(state) = self.states.get_mut(part).filter(|it| **it != State::Over) else { return };
        let before = std::mem::replace(state, State::Over);
        self.open -= 1;
        match before {
            State::Held => self.held -= 1,
            _ => self.leave_rank(part),
        }
    }
}

/// Of each part whether it deletes, and its rank. What comes after something of the same provider has at least its rank: otherwise the
/// one would wait for the other's rank, and that for the one.
fn ranks(plan: &Plan, parts: &[Work], graph: &Graph, lane_of: &[usize]) -> Vec<(usize, i32)> {
    let own = |(step, part): &Work| {
        let step = plan.steps.get(*step);
        let (deletes, rank) = step.map_or((false, 0), |it| (it.action == Action::Delete, it.rank));
        if *part == Part::Delete { (1, -rank) } else { (usize::from(deletes), rank) }
    };
    let mut ranks: Vec<(usize, i32)> = parts.iter().map(own).collect();
    if ranks.iter().all(|(_, rank)| *rank == 0) {
        return ranks;
    }
    // By provider, the largest rank among what a part comes after.
    let mut before: Vec<BTreeMap<(usize, usize), i32>> = vec![BTreeMap::new(); parts.len()];
    for at in graph.order().unwrap_or_default() {
        let (Some(lane), Some((queue, rank))) = (lane_of.get(at), ranks.get_mut(at)) else { continue };
        let mut seen = before.get_mut(at).map(std::mem::take).unwrap_or_default();
        let most = seen.entry((*lane, *queue)).or_insert(*rank);
        *most = (*most).max(*rank);
        *rank = *most;
        for next in graph.next(at) {
            let Some(known) = before.get_mut(next) else { continue };
            for (key, rank) in &seen {
                let known = known.entry(*key).or_insert(*rank);
                *known = (*known).max(*rank);
            }
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, ResourceId};
    use crate::inventory::Ownership;
    use crate::plan::{Step, Wait};

    const FIRST: Action = Action::Replace(ReplaceOrder::CreateFirst);

    fn plan(steps: &[(Action, &str, &[usize])]) -> Plan {
        let step = |(at, (action, provider, after)): (usize, &(Action, &str, &[usize]))| Step {
            action: *action,
            resource: ResourceId::new(provider, "K", None, &at.to_string()),
            from: None,
            address: Address::new(provider, "K", "", &at.to_string()),
            reasons: Vec::new(),
            changes: Vec::new(),
            desired: None,
            desired_digest: None,
            prior: None,
            after: after.to_vec(),
            location: None,
            source: None,
            ownership: Ownership::Owned,
            token: None,
            claim: None,
            rank: 0,
        };
        Plan { steps: steps.iter().enumerate().map(step).collect(), ..Plan::default() }
    }

    fn whole(steps: &[usize]) -> Vec<Work> {
        steps.iter().map(|at| (*at, Part::Whole)).collect()
    }

    #[test]
    fn a_smaller_rank_comes_first_and_is_waited_for_whatever_becomes_of_it() {
        let mut plan = plan(&[(Action::Create, "a", &[]), (Action::Create, "a", &[]), (Action::Create, "b", &[])]);
        plan.steps[0].rank = 10;
        let mut progress = Progress::new(&plan, &|_| 8);
        assert_eq!(progress.ready(), whole(&[1, 2]), "of another provider are no ranks");
        assert_eq!(progress.finish((1, Part::Whole), &Finished::Failed("no".into())), []);
        assert_eq!(progress.ready(), whole(&[0]));
    }

    #[test]
    fn what_is_deleted_goes_by_ranks_of_its_own() {
        let mut plan = plan(&[(Action::Create, "a", &[]), (Action::Delete, "a", &[]), (Action::Delete, "a", &[])]);
        (plan.steps[0].rank, plan.steps[1].rank, plan.steps[2].rank) = (-40, 40, -40);
        let mut progress = Progress::new(&plan, &|_| 8);
        assert_eq!(progress.ready(), whole(&[0, 2]));
        progress.finish((2, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), whole(&[1]));
    }

    #[test]
    fn ranks_give_way_to_what_documents_refer_to() {
        // The one of the small rank comes after the one of the large rank.
        let mut plan = plan(&[(Action::Create, "a", &[]), (Action::Create, "a", &[0])]);
        (plan.steps[0].rank, plan.steps[1].rank) = (10, -10);
        let mut progress = Progress::new(&plan, &|_| 8);
        assert_eq!(progress.ready(), whole(&[0]));
        progress.finish((0, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), whole(&[1]));
        // Two providers whose ranks wait for each other: a5 after b7, b0 after a5, and b7 of a larger rank than b0.
        let mut plan = super::tests::plan(&[
            (Action::Create, "b", &[]),
            (Action::Create, "a", &[0]),
            (Action::Create, "a", &[]),
            (Action::Create, "b", &[2]),
        ]);
        (plan.steps[0].rank, plan.steps[1].rank, plan.steps[2].rank, plan.steps[3].rank) = (7, 0, 5, 0);
        let mut progress = Progress::new(&plan, &|_| 8);
        for next in [2, 3, 0, 1] {
            assert_eq!(progress.ready(), whole(&[next]), "the least rank gives way, and no more than need be");
            progress.finish((next, Part::Whole), &Finished::Done);
        }
        assert!(progress.is_done());
    }

    #[test]
    fn a_step_runs_after_all_that_it_waits_for() {
        let plan = plan(&[(Action::Create, "a", &[]), (Action::Create, "a", &[]), (Action::Create, "a", &[0, 1])]);
        let mut progress = Progress::new(&plan, &|_| 8);
        assert_eq!(progress.ready(), whole(&[0, 1]));
        assert_eq!(progress.ready(), []);
        progress.finish((0, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), []);
        progress.finish((1, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), whole(&[2]));
        assert!(!progress.is_done());
        progress.finish((2, Part::Whole), &Finished::Done);
        assert!(progress.is_done());
    }

    #[test]
    fn a_failure_skips_what_depends_on_it_and_not_its_neighbours() {
        let create = Action::Create;
        let plan = plan(&[(create, "a", &[]), (create, "a", &[]), (create, "a", &[0]), (create, "a", &[2]), (create, "a", &[1])]);
        for failure in [Finished::Failed("no".into()), Finished::Moved("no".into()), Finished::Skipped] {
            let mut progress = Progress::new(&plan, &|_| 8);
            progress.ready();
            assert_eq!(progress.finish((0, Part::Whole), &failure), whole(&[2, 3]), "{failure:?}");
            assert_eq!(progress.finish((0, Part::Whole), &failure), [], "a second report is ignored");
            progress.finish((1, Part::Whole), &Finished::Done);
            assert_eq!(progress.ready(), whole(&[4]));
            progress.finish((4, Part::Whole), &Finished::Done);
            assert!(progress.is_done());
        }
    }

    #[test]
    fn each_provider_runs_within_its_own_limit_in_the_order_of_the_plan() {
        let create = Action::Create;
        let plan = plan(&[(create, "a", &[]), (create, "b", &[]), (create, "a", &[]), (create, "a", &[]), (create, "b", &[])]);
        let mut progress = Progress::new(&plan, &|provider| if provider == "a" { 2 } else { 0 });
        assert_eq!(progress.ready(), whole(&[0, 1, 2]));
        progress.finish((2, Part::Whole), &Finished::Failed(String::new()));
        assert_eq!(progress.ready(), whole(&[3]));
        progress.finish((1, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), whole(&[4]));
    }

    #[test]
    fn the_old_half_of_a_create_first_replacement_goes_after_the_dependents() {
        let plan = plan(&[(FIRST, "a", &[]), (Action::Update, "a", &[0]), (FIRST, "a", &[0])]);
        let mut progress = Progress::new(&plan, &|_| 8);
        assert_eq!(progress.ready(), [(0, Part::Create)]);
        progress.finish((0, Part::Create), &Finished::Done);
        assert_eq!(progress.ready(), [(1, Part::Whole), (2, Part::Create)]);
        progress.finish((1, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), []);
        progress.finish((2, Part::Create), &Finished::Done);
        assert_eq!(progress.ready(), [(2, Part::Delete)], "what used the old object goes before it");
        progress.finish((2, Part::Delete), &Finished::Done);
        assert_eq!(progress.ready(), [(0, Part::Delete)]);
        progress.finish((0, Part::Delete), &Finished::Done);
        assert!(progress.is_done());
    }

    #[test]
    fn the_old_object_stays_when_a_dependent_fails() {
        let plan = plan(&[(FIRST, "a", &[]), (Action::Update, "a", &[0])]);
        let mut progress = Progress::new(&plan, &|_| 8);
        progress.ready();
        progress.finish((0, Part::Create), &Finished::Done);
        progress.ready();
        assert_eq!(progress.finish((1, Part::Whole), &Finished::Failed("no".into())), [(0, Part::Delete)]);
        assert!(progress.is_done());
    }

    /// A wait for what no step makes.
    fn wait(key: &str, before: &[usize]) -> Wait {
        let (resource, address) = (ResourceId::new("a", "K", None, key), Address::new("a", "K", "", key));
        Wait { desired: 0, resource, address, condition: "self.x".into(), step: None, before: before.to_vec() }
    }

    #[test]
    fn a_held_step_keeps_its_dependents_back_and_gives_its_place_to_others() {
        let plan = plan(&[(Action::Create, "a", &[]), (Action::Create, "a", &[]), (Action::Create, "a", &[0])]);
        let mut progress = Progress::new(&plan, &|_| 1);
        assert_eq!(progress.ready(), whole(&[0]));
        progress.hold((0, Part::Whole));
        assert_eq!(progress.ready(), whole(&[1]), "a wait takes no place");
        progress.finish((1, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), []);
        progress.finish((0, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), whole(&[2]));
        progress.finish((2, Part::Whole), &Finished::Done);
        assert!(progress.is_done());
    }

    #[test]
    fn a_held_step_keeps_later_ranks_back_through_what_depends_on_it_alone() {
        let create = Action::Create;
        let mut plan = plan(&[(create, "a", &[]), (create, "a", &[0]), (create, "a", &[])]);
        plan.steps[2].rank = 40;
        let mut progress = Progress::new(&plan, &|_| 8);
        assert_eq!(progress.ready(), whole(&[0]));
        progress.hold((0, Part::Whole));
        assert_eq!(progress.ready(), [], "of the smaller rank is something that waits");
        progress.finish((0, Part::Whole), &Finished::Done);
        assert_eq!(progress.ready(), whole(&[1]));
        progress.hold((1, Part::Whole));
        assert_eq!(progress.ready(), whole(&[2]), "all of the smaller rank are carried out");
        progress.finish((2, Part::Whole), &Finished::Done);
        progress.finish((1, Part::Whole), &Finished::Failed("no".into()));
        assert!(progress.is_done());
    }

    #[test]
    fn a_held_step_that_fails_skips_its_dependents() {
        let plan = plan(&[(FIRST, "a", &[]), (Action::Create, "a", &[0])]);
        let mut progress = Progress::new(&plan, &|_| 8);
        progress.ready();
        progress.hold((0, Part::Create));
        assert_eq!(progress.finish((0, Part::Create), &Finished::Failed("no".into())), [(0, Part::Delete), (1, Part::Whole)]);
        assert!(progress.is_done());
    }

    #[test]
    fn what_is_only_waited_for_keeps_its_dependents_back_and_no_others() {
        let mut plan = plan(&[(FIRST, "a", &[]), (Action::Create, "a", &[]), (Action::Create, "a", &[1])]);
        plan.waits = vec![wait("made", &[]), wait("x", &[1]), wait("y", &[0])];
        plan.waits[0].step = Some(0);
        for good in [true, false] {
            let mut progress = Progress::new(&plan, &|_| 8);
            assert_eq!((progress.held(), progress.ready()), (vec![(1, Part::Wait), (2, Part::Wait)], vec![]));
            progress.finish((2, Part::Wait), &Finished::Done);
            assert_eq!(progress.ready(), [(0, Part::Create)]);
            progress.finish((0, Part::Create), &Finished::Done);
            assert_eq!(progress.ready(), [(0, Part::Delete)]);
            progress.finish((0, Part::Delete), &Finished::Done);
            let finished = if good { Finished::Done } else { Finished::Failed("no".into()) };
            let skipped = progress.finish((1, Part::Wait), &finished);
            assert_eq!(skipped, if good { Vec::new() } else { whole(&[1, 2]) });
            assert_eq!(progress.ready(), if good { whole(&[1]) } else { Vec::new() });
            assert_eq!(progress.is_done(), !good);
        }
    }

    #[test]
    fn a_chain_of_100_000_steps_runs_to_its_end_and_fails_at_once() {
        let befores: Vec<Vec<usize>> = (0..100_000).map(|at: usize| at.checked_sub(1).into_iter().collect()).collect();
        let steps: Vec<_> = befores.iter().map(|before| (Action::Create, "a", before.as_slice())).collect();
        let plan = plan(&steps);
        let mut progress = Progress::new(&plan, &|_| 8);
        for at in 0..50_000 {
            assert_eq!(progress.ready(), whole(&[at]));
            progress.finish((at, Part::Whole), &Finished::Done);
        }
        progress.ready();
        assert_eq!(progress.finish((50_000, Part::Whole), &Finished::Failed(String::new())).len(), 49_999);
        assert!(progress.is_done());
    }
}
