//! Objects that are the place of others: a directory and what stands in it, a file where a directory is to be.
//!
//! [`Kind::place`] says which scope an object has taken the name of; nothing here knows what a path is. What is made in a
//! place comes after what is the place, what goes from it goes before, and a place is never taken away under what stays.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Action, Evidence, Plan, Reason, Step, World};
use crate::address::{Address, Scope};
use crate::inventory::{Entry, IntentAction, Ownership};
use crate::manifest::{Kind, ReplaceOrder};

/// Where the step's object comes to be, if it makes one.
pub(super) fn made(step: &Step) -> Option<&Address> {
    matches!(step.action, Action::Create | Action::Replace(_)).then_some(&step.address)
}

/// Where an object goes, if the step takes one away.
pub(super) fn gone(step: &Step) -> Option<&Address> {
    let old = || step.from.as_ref().filter(|it| it.prior.is_some()).map_or(&step.address, |it| &it.address);
    step.action.deletes().then(old)
}

/// Provider and kind.
type Name = (Arc<str>, Arc<str>);

/// The kinds of addresses, asked for once each.
pub(super) struct Kinds<'a> {
    world: &'a World<'a>,
    known: HashMap<Name, Option<Arc<Kind>>>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(world: &'a World<'a>) -> Self {
        Self { world, known: HashMap::new() }
    }

    /// The kind of what stands in the scope, if it holds others.
    pub(super) fn nesting(&mut self, scope: &Scope) -> Option<&Kind> {
        let known = self.known.entry((scope.provider.clone(), scope.kind.clone()));
        known.or_insert_with(|| (self.world.kinds)(scope).filter(|it| it.nests.is_some())).as_deref()
    }
}

/// Things by the place that they are.
pub(super) struct Places<T> {
    by_name: HashMap<(Arc<str>, String), Vec<T>>,
    joints: BTreeSet<Arc<str>>,
}

impl<T: Copy> Places<T> {
    /// Of each address that is a place, what comes with it.
    pub(super) fn new<'s>(kinds: &mut Kinds<'_>, all: impl Iterator<Item = (&'s Address, T)>) -> Self {
        let mut out = Self { by_name: HashMap::new(), joints: BTreeSet::new() };
        for (address, it) in all {
            let Some(kind) = kinds.nesting(&address.scope) else { continue };
            let Some((name, joint)) = kind.place(address).zip(kind.nests.as_ref()) else { continue };
            if !out.joints.contains(joint) {
                out.joints.insert(joint.clone());
            }
            out.by_name.entry((address.scope.provider.clone(), name)).or_default().push(it);
        }
        out
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Every place that is this scope or has it inside, nearest first.
    pub(super) fn around(&self, scope: &Scope) -> Vec<&[T]> {
        let mut out = Vec::new();
        for joint in &self.joints {
            let mut name = Some(&*scope.scope);
            while let Some(here) = name.filter(|_| !self.is_empty()) {
                out.extend(self.by_name.get(&(scope.provider.clone(), here.to_owned())).map(Vec::as_slice));
                name = here.rfind(&**joint).and_then(|at| here.get(..at));
            }
        }
        out
    }
}

/// Edges among steps: (before, after).
pub(super) fn edges(world: &World<'_>, steps: &[Step]) -> Vec<(usize, usize)> {
    let mut kinds = Kinds::new(world);
    let each = || steps.iter().enumerate();
    let made_at = Places::new(&mut kinds, each().filter_map(|(at, it)| Some((made(it)?, at))));
    let gone_at = Places::new(&mut kinds, each().filter_map(|(at, it)| Some((gone(it)?, at))));
    let create_first = |at: usize| steps.get(at).is_some_and(|it| it.action == Action::Replace(ReplaceOrder::CreateFirst));
    let mut around = Around { made: &made_at, gone: &gone_at, known: HashMap::new() };
    let mut out = Vec::new();
    for (at, step) in each() {
        if let Some(address) = made(step) {
            let (makers, takers) = around.of(&address.scope);
            // What makes the place, or clears it of something else, comes first.
            out.extend(makers.first().into_iter().chain(takers).flat_map(|it| *it).map(|other| (*other, at)));
        }
        if let Some(address) = gone(step) {
            let (makers, takers) = around.of(&address.scope);
            let takers = takers.first().copied().unwrap_or_default();
            // The late half of a create-first replacement waits for all that stands behind its first.
            out.extend(takers.iter().map(|other| if create_first(*other) { (*other, at) } else { (at, *other) }));
            let makers = makers.iter().flat_map(|it| *it).filter(|it| !takers.contains(it));
            out.extend(makers.map(|other| (at, *other)));
        }
    }
    out.retain(|(before, after)| before != after);
    // One name, two kinds: what has it goes before another takes it.
    let mut named: HashMap<(&Arc<str>, String), usize> = HashMap::new();
    let mut place = |address: &Address| kinds.nesting(&address.scope).and_then(|it| it.place(address));
    for (at, address) in each().filter_map(|(at, it)| Some((at, gone(it)?))) {
        named.extend(place(address).map(|name| ((&address.scope.provider, name), at)));
    }
    for (at, address) in each().filter_map(|(at, it)| Some((at, made(it)?))).filter(|_| !named.is_empty()) {
        let before = place(address).and_then(|name| named.get(&(&address.scope.provider, name)));
        out.extend(before.filter(|before| **before != at).map(|before| (*before, at)));
    }
    out
}

/// Steps that make places, and steps that take them away.
type Nearest<'a> = (Vec<&'a [usize]>, Vec<&'a [usize]>);

/// Steps that make, and steps that take away, the places around a scope, nearest first. Of steps that do the same, the
/// nearest is enough: it has its own edges to those further out.
struct Around<'a> {
    made: &'a Places<usize>,
    gone: &'a Places<usize>,
    known: HashMap<Scope, Nearest<'a>>,
}

impl<'a> Around<'a> {
    fn of(&mut self, scope: &Scope) -> &Nearest<'a> {
        let (made, gone) = (self.made, self.gone);
        self.known.entry(scope.clone()).or_insert_with(|| (made.around(scope), gone.around(scope)))
    }
}

/// Turns create-first replacements round whose old object is in the way of a new one: it has the name that the new one, or
/// a place around it, is to have, or stands in what the new one is the place of.
pub(super) fn collide(world: &World<'_>, steps: &mut [Step]) {
    let moved = |it: &Step| it.action == Action::Replace(ReplaceOrder::CreateFirst) && gone(it) != made(it);
    if !steps.iter().any(moved) {
        return;
    }
    let mut kinds = Kinds::new(world);
    let old = Places::new(
        &mut kinds,
        steps.iter().enumerate().filter(|(_, it)| moved(it)).filter_map(|(at, it)| Some((gone(it)?, at))),
    );
    let new = Places::new(&mut kinds, steps.iter().enumerate().filter_map(|(at, it)| Some((made(it)?, at))));
    let mut turned: HashSet<usize> = HashSet::new();
    let mut seen: HashSet<&Scope> = HashSet::new();
    for address in steps.iter().filter_map(made) {
        if seen.insert(&address.scope) {
            turned.extend(old.around(&address.scope).into_iter().flatten());
        }
        let place = kinds.nesting(&address.scope).and_then(|it| it.place(address));
        let name = place.and_then(|name| old.by_name.get(&(address.scope.provider.clone(), name)));
        turned.extend(name.into_iter().flatten());
    }
    for (at, step) in steps.iter().enumerate().filter(|(_, it)| moved(it)) {
        if gone(step).is_some_and(|address| !new.around(&address.scope).is_empty()) {
            turned.insert(at);
        }
    }
    for (at, step) in steps.iter_mut().enumerate().filter(|(at, _)| turned.contains(at)) {
        debug_assert!(moved(step), "step {at} has no two places");
        step.action = Action::Replace(ReplaceOrder::DeleteFirst);
        step.reasons.push(Reason::new("collision", "the old object is in the way of a new one, so that it is deleted first"));
    }
}

/// Steps that would take a place away under something of ours that stays, with what stays there.
pub(super) fn taken_away<'w>(world: &'w World<'_>, plan: &Plan) -> HashMap<usize, &'w Entry> {
    let steps = &plan.steps;
    let mut kinds = Kinds::new(world);
    let places = Places::new(&mut kinds, steps.iter().enumerate().filter_map(|(at, it)| Some((gone(it)?, at))));
    let mut out = HashMap::new();
    if places.is_empty() {
        return out;
    }
    let mut going: HashSet<&Address> = steps.iter().filter_map(gone).collect();
    // What is not there keeps nothing: to be made again, to be forgotten, or gone by a run that could not say so.
    let absent = |it: &&Step| it.action == Action::Create || (it.action == Action::Forget && it.prior.is_none());
    going.extend(steps.iter().filter(absent).map(|it| it.from.as_ref().map_or(&it.address, |from| &from.address)));
    going.extend(plan.drift.iter().filter(|it| it.gone).map(|it| &it.address));
    going.extend(
        plan.resolved
            .iter()
            .filter(|it| (it.action, it.evidence) == (IntentAction::Delete, Evidence::Done))
            .map(|it| &it.address),
    );
    let mut known: HashMap<&Scope, Vec<usize>> = HashMap::new();
    for entry in world.entries.iter().filter(|it| it.ownership != Ownership::Deposed && !going.contains(&it.address)) {
        let scope = &entry.address.scope;
        let around = known.entry(scope).or_insert_with(|| places.around(scope).into_iter().flatten().copied().collect());
        for at in around {
            // The first by address, so that what is told does not depend on the order of the input.
            let first = out.entry(*at).or_insert(entry);
            if entry.address < first.address {
                *first = entry;
            }
        }
    }
    out
}
