//! Edges between steps, what a refusal means for others, and the order of the plan.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use super::{Action, Draft, Plan, Refused, Step, Wait, World, claim, nest};
use crate::address::{Address, ResourceId, Scope};
use crate::diagnostic::codes;
use crate::graph::Graph;
use crate::inventory::{Entry, Ownership};

/// Refuses objects whose siblings, on which they build, will not come to be. What exists already goes on.
pub(super) fn skip_siblings(world: &World<'_>, draft: &mut Draft) {
    if draft.missing.is_empty() || draft.plan.steps.iter().all(|it| siblings_of(world, it).is_empty()) {
        return;
    }
    let owned: HashSet<&Address> = world.entries.iter().map(|it| &it.address).collect();
    loop {
        let refused: HashSet<&Address> = draft.plan.refused.iter().filter_map(|it| it.address.as_ref()).collect();
        let lacks = |step: &Step| siblings_of(world, step).iter().find(|it| refused.contains(it) && !owned.contains(it)).cloned();
        let lacking: Vec<Option<Address>> = draft.plan.steps.iter().map(lacks).collect();
        if lacking.iter().all(Option::is_none) {
            return;
        }
        let steps = std::mem::take(&mut draft.plan.steps);
        for (step, lacking) in steps.into_iter().zip(lacking) {
            let Some(sibling) = lacking else {
                draft.plan.steps.push(step);
                continue;
            };
            draft.staying.push(step.resource.clone());
            if step.action == Action::Create {
                draft.missing.push(step.resource.clone());
            }
            draft.refuse(skip(step, format!("it comes after {sibling}, which is refused")));
        }
    }
}

/// Refuses what builds on a resource that will not come to be, and what builds on that in turn. What exists already goes on.
pub(super) fn skip_dependents(world: &World<'_>, draft: &mut Draft) {
    if draft.missing.is_empty() {
        return;
    }
    let mut needed_by: HashMap<&ResourceId, Vec<usize>> = HashMap::new();
    for (at, step) in draft.plan.steps.iter().enumerate() {
        for before in needs_of(world, step) {
            needed_by.entry(before).or_default().push(at);
        }
    }
    // Sorted, so that what is named as the cause does not depend on the order of the input.
    draft.missing.sort_unstable();
    let mut queue: VecDeque<ResourceId> = draft.missing.iter().cloned().collect();
    let mut skipped: HashMap<usize, ResourceId> = HashMap::new();
    while let Some(missing) = queue.pop_front() {
        for at in needed_by.get(&missing).into_iter().flatten() {
            let Some(step) = draft.plan.steps.get(*at).filter(|_| !skipped.contains_key(at)) else { continue };
            skipped.insert(*at, missing.clone());
            if step.action == Action::Create {
                queue.push_back(step.resource.clone());
            }
        }
    }
    let steps = std::mem::take(&mut draft.plan.steps);
    for (at, step) in steps.into_iter().enumerate() {
        match skipped.get(&at) {
            None => draft.plan.steps.push(step),
            Some(missing) => {
                let reason = format!("it depends on {}, which is refused", (world.shown)(missing));
                draft.staying.push(step.resource.clone());
                if step.action == Action::Create {
                    draft.missing.push(step.resource.clone());
                }
                draft.refuse(skip(step, reason));
            }
        }
    }
}

/// Refuses to delete what something that stays was built on or stands in, and old objects whose successors are refused.
pub(super) fn keep_what_is_used(world: &World<'_>, draft: &mut Draft) {
    loop {
        // What is kept may be built on, or stand in, something else.
        let count = draft.plan.steps.len();
        keep_places(world, draft);
        keep_siblings(world, draft);
        keep_used(world, draft);
        if draft.plan.steps.len() == count {
            return;
        }
    }
}

/// Refuses to take away what something of ours that stays stands in: it would go along, or be in the way.
fn keep_places(world: &World<'_>, draft: &mut Draft) {
    let kept = nest::taken_away(world, &draft.plan);
    if kept.is_empty() {
        return;
    }
    let steps = std::mem::take(&mut draft.plan.steps);
    for (at, step) in steps.into_iter().enumerate() {
        match kept.get(&at) {
            None => draft.plan.steps.push(step),
            Some(inside) => {
                let reason = format!("{} ({}) stands in it and stays", (world.shown)(&inside.resource), inside.address);
                draft.staying.push(step.resource.clone());
                draft.refuse(skip(step, reason));
            }
        }
    }
}

/// Refuses to delete what a sibling that stays was built on.
fn keep_siblings(world: &World<'_>, draft: &mut Draft) {
    let used = world.entries.iter().filter(|it| !it.siblings.is_empty());
    let staying: HashSet<&Address> = draft.plan.refused.iter().filter_map(|it| it.address.as_ref()).collect();
    let used = used.filter(|it| staying.contains(&it.address)).flat_map(|it| it.siblings.iter().map(|at| (at, &it.address)));
    let kept: HashMap<&Address, &Address> = used.collect();
    if kept.is_empty() {
        return;
    }
    let steps = std::mem::take(&mut draft.plan.steps);
    let mut refused = Vec::new();
    for step in steps {
        match kept.get(&step.address).filter(|_| step.action == Action::Delete) {
            None => draft.plan.steps.push(step),
            Some(user) => {
                draft.staying.push(step.resource.clone());
                refused.push(skip(step, format!("{user} was built on it and stays as it is")));
            }
        }
    }
    draft.plan.refused.extend(refused);
}

fn keep_used(world: &World<'_>, draft: &mut Draft) {
    let deletes: HashSet<ResourceId> =
        draft.plan.steps.iter().filter(|it| it.action == Action::Delete).map(|it| it.resource.clone()).collect();
    if draft.staying.is_empty() || deletes.is_empty() {
        return;
    }
    let mut uses: HashMap<&ResourceId, Vec<&ResourceId>> = HashMap::new();
    for entry in world.entries.iter().filter(|it| it.ownership != Ownership::Deposed) {
        uses.entry(&entry.resource).or_default().extend(entry.after.iter().filter(|it| deletes.contains(*it)));
    }
    draft.staying.sort_unstable();
    let mut queue: VecDeque<&ResourceId> = draft.staying.iter().collect();
    let mut kept: HashMap<ResourceId, ResourceId> = HashMap::new();
    while let Some(user) = queue.pop_front() {
        for used in uses.get(user).into_iter().flatten() {
            if *used != user && !kept.contains_key(*used) {
                kept.insert((*used).clone(), user.clone());
                queue.push_back(used);
            }
        }
    }
    let missing: HashSet<ResourceId> = draft.missing.iter().cloned().collect();
    let steps = std::mem::take(&mut draft.plan.steps);
    for step in steps {
        let user = kept.get(&step.resource).filter(|_| step.action == Action::Delete);
        if let Some(user) = user {
            let reason = format!("{} still depends on it and stays as it is", (world.shown)(user));
            draft.staying.push(step.resource.clone());
            draft.refuse(skip(step, reason));
        } else if step.action == Action::Delete && step.ownership != Ownership::Deposed && missing.contains(&step.resource) {
            let reason = "its successor at another address is refused".to_owned();
            draft.refuse(skip(step, reason));
        } else {
            draft.plan.steps.push(step);
        }
    }
}

fn skip(step: Step, reason: String) -> Refused {
    let (resource, address, location) = (step.resource, Some(step.address), step.location);
    Refused { resource, address, code: codes::STEP_SKIPPED, reason, hint: None, location }
}

/// Puts the steps in graph order, with edges between them.
pub(super) fn arrange(world: &World<'_>, plan: &mut Plan) {
    plan.steps.sort_by(|a, b| (&a.resource, &a.address, a.action).cmp(&(&b.resource, &b.address, b.action)));
    let count = plan.steps.len();
    let mut edges = Edges::new(world, &plan.steps);
    edges.declared();
    edges.siblings();
    edges.deletes();
    let Edges { mut hard, soft, .. } = edges;
    hard.extend(claim::edges(&plan.steps));
    let graph = without_circles(count, [hard, nest::edges(world, &plan.steps), soft]);
    let order = graph.order().unwrap_or_else(|_| (0..count).collect());
    let mut place = vec![0; count];
    for (new, old) in order.iter().enumerate() {
        if let Some(slot) = place.get_mut(*old) {
            *slot = new;
        }
    }
    rank(world, plan);
    for step in &mut plan.steps {
        step.after.clear();
    }
    for (before, after) in graph.edges() {
        if let (Some(step), Some(before)) = (plan.steps.get_mut(*after), place.get(*before)) {
            step.after.push(*before);
        }
    }
    let mut steps: Vec<Option<Step>> = std::mem::take(&mut plan.steps).into_iter().map(Some).collect();
    plan.steps = Vec::with_capacity(count);
    plan.steps.extend(order.iter().filter_map(|old| steps.get_mut(*old).and_then(Option::take)));
    for step in &mut plan.steps {
        step.after.sort_unstable();
    }
    plan.waits = waits(world, &plan.steps);
}

/// What some step waits for, or makes, that has a `wait-for`.
fn waits(world: &World<'_>, steps: &[Step]) -> Vec<Wait> {
    if steps.is_empty() || world.options.destroy || world.desired.iter().all(|it| it.settings.wait_for.is_none()) {
        return Vec::new();
    }
    let mut own: HashMap<usize, usize> = HashMap::new();
    let mut users: HashMap<&ResourceId, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        if let Some(source) = step.source.filter(|_| !matches!(step.action, Action::Delete | Action::Forget)) {
            own.insert(source, at);
        }
        for before in needs_of(world, step) {
            users.entry(before).or_default().push(at);
        }
    }
    let wait = |(desired, want): (usize, &super::Desired)| {
        let condition = want.settings.wait_for.as_ref()?.to_string().into();
        let step = own.get(&desired).copied();
        let before = if step.is_some() { Vec::new() } else { users.get(&want.resource).cloned().unwrap_or_default() };
        let counts = step.is_some() || !before.is_empty();
        counts.then(|| Wait { desired, resource: want.resource.clone(), address: want.address.clone(), condition, step, before })
    };
    world.desired.iter().enumerate().filter_map(wait).collect()
}

/// Gives each step the order of its kind.
fn rank(world: &World<'_>, plan: &mut Plan) {
    let mut last: Option<(Scope, i32)> = None;
    for step in &mut plan.steps {
        let scope = &step.address.scope;
        let known = last.take().filter(|(of, _)| of.provider == scope.provider && of.kind == scope.kind);
        let (of, order) = known.unwrap_or_else(|| (scope.clone(), (world.kinds)(scope).map_or(0, |it| it.order)));
        step.rank = if step.action == Action::Delete { -order } else { order };
        last = Some((of, order));
    }
}

/// One graph of edges that count less from list to list: a list gives way where it makes a circle with those before it. The
/// first may hold circles of its own, as revisions that turned a dependency round leave them among deletes.
fn without_circles(count: usize, lists: [Vec<(usize, usize)>; 3]) -> Graph {
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for mut list in lists {
        let graph = Graph::new(count, kept.iter().chain(&list).copied().collect());
        if graph.order().is_err() {
            let circles = graph.circles();
            let first = kept.is_empty();
            list.retain(|(before, after)| circles.get(*before) != circles.get(*after) || (first && before < after));
        }
        kept.append(&mut list);
    }
    Graph::new(count, kept)
}

/// Edges in the making, over steps sorted by resource.
struct Edges<'a> {
    world: &'a World<'a>,
    steps: &'a [Step],
    ranges: HashMap<&'a ResourceId, Range<usize>>,
    hard: Vec<(usize, usize)>,
    soft: Vec<(usize, usize)>,
}

impl<'a> Edges<'a> {
    fn new(world: &'a World<'a>, steps: &'a [Step]) -> Self {
        let mut ranges: HashMap<&ResourceId, Range<usize>> = HashMap::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            ranges.entry(&step.resource).or_insert(at..at).end = at + 1;
        }
        Self { world, steps, ranges, hard: Vec::new(), soft: Vec::new() }
    }

    fn of(&self, resource: &ResourceId) -> impl Iterator<Item = (usize, &'a Step)> + use<'a> {
        let range = self.ranges.get(resource).cloned().unwrap_or_default();
        let steps = self.steps;
        range.filter_map(move |at| Some((at, steps.get(at)?)))
    }

    /// What a document refers to comes first.
    fn declared(&mut self) {
        for (at, step) in self.steps.iter().enumerate() {
            for before in needs_of(self.world, step) {
                let makes = |it: &Step| !matches!(it.action, Action::Delete | Action::Forget);
                self.hard.extend(self.of(before).filter(|(other, it)| makes(it) && *other != at).map(|(other, _)| (other, at)));
            }
        }
    }

    /// What a document's own objects build on among themselves comes first.
    fn siblings(&mut self) {
        for (at, step) in self.steps.iter().enumerate() {
            let siblings = siblings_of(self.world, step);
            let makes = |it: &Step| !matches!(it.action, Action::Delete | Action::Forget) && siblings.contains(&it.address);
            if !siblings.is_empty() {
                self.hard.extend(
                    self.of(&step.resource).filter(|(other, it)| makes(it) && *other != at).map(|(other, _)| (other, at)),
                );
            }
        }
    }

    /// What was built on an object goes, or lets go of it, before the object does.
    fn deletes(&mut self) {
        if !self.steps.iter().any(|it| it.action == Action::Delete) {
            return;
        }
        let mut old: HashMap<&Address, usize> = self.steps.iter().enumerate().map(|(at, it)| (&it.address, at)).collect();
        old.extend(self.steps.iter().enumerate().filter_map(|(at, it)| Some((&it.from.as_ref()?.address, at))));
        let entries: &'a [Entry] = self.world.entries;
        for entry in entries {
            let Some(user) = old.get(&entry.address).copied().filter(|_| !entry.after.is_empty()) else { continue };
            for used in entry.after.iter() {
                let deletes = self.of(used).filter(|(other, it)| it.action == Action::Delete && *other != user);
                let edges: Vec<_> = deletes.map(|(other, _)| (user, other)).collect();
                self.hard.extend(edges);
            }
        }
        for entry in entries.iter().filter(|it| !it.siblings.is_empty()) {
            let Some(user) = old.get(&entry.address).copied() else { continue };
            let deletes = |it: &usize| *it != user && self.steps.get(*it).is_some_and(|it| it.action == Action::Delete);
            let used = entry.siblings.iter().filter_map(|it| old.get(it).copied()).filter(deletes);
            self.hard.extend(used.map(|used| (user, used)).collect::<Vec<_>>());
        }
        // A resource's own old objects go when its new ones stand.
        for (at, step) in self.steps.iter().enumerate().filter(|(_, it)| it.action == Action::Delete) {
            let own = self.of(&step.resource).filter(|(_, it)| !matches!(it.action, Action::Delete | Action::Forget));
            let edges: Vec<_> = own.map(|(other, _)| (other, at)).collect();
            self.soft.extend(edges);
        }
    }
}

/// What the step's document needs to be there first.
fn needs_of<'a>(world: &World<'a>, step: &Step) -> &'a [ResourceId] {
    step.source.and_then(|at| world.desired.get(at)).map_or(&[], |it| &*it.after)
}

/// Objects of the step's own resource that need to be there first.
fn siblings_of<'a>(world: &World<'a>, step: &Step) -> &'a [Address] {
    step.source.and_then(|at| world.desired.get(at)).map_or(&[], |it| &*it.siblings)
}
