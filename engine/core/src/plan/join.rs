//! Which inventory entry and which observed object belong to a desired object.
//!
//! Entries are found by address, then by resource, then by `moved-from`; observed objects by identity, then by mark, then
//! by key. Where the key is the object's name, a mark at another key is a copy of ours, as labels are copied, and finds
//! nothing. What is in sync by its digests is only counted: no allocation, no document.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::intents::Doubts;
use super::{Desired, World};
use crate::address::{Address, ResourceId, Scope};
use crate::inventory::{Entry, Ownership};
use crate::manifest::Kind;
use crate::observation::{Coverage, Observed, ScopeView};

/// What a look at one address showed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look<'a> {
    Seen(&'a Observed),
    /// A fact: the view is whole.
    Absent,
    /// Not found, which proves nothing.
    Partial,
    /// The scope could not be read, and why.
    Failed(&'a str),
}

impl<'a> Look<'a> {
    pub(super) fn seen(self) -> Option<&'a Observed> {
        match self {
            Self::Seen(observed) => Some(observed),
            Self::Absent | Self::Partial | Self::Failed(_) => None,
        }
    }
}

/// A desired object with what is known of it. Objects in sync are not among them.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    /// Index into [`World::desired`].
    pub index: usize,
    pub want: &'a Desired,
    pub held: Option<&'a Entry>,
    /// The object of the entry.
    pub old: Look<'a>,
    /// What is at the desired address; the same as `old` unless the entry is elsewhere.
    pub new: Look<'a>,
}

/// An entry that nothing desires.
#[derive(Debug)]
pub(super) struct Leftover<'a> {
    pub held: &'a Entry,
    pub look: Look<'a>,
    /// Its resource is still desired, at another address.
    pub replaced: bool,
}

#[derive(Debug)]
pub(super) struct Join<'a> {
    /// Objects in sync by their digests.
    pub unchanged: usize,
    /// By index of the desired object.
    pub pairs: Vec<Pair<'a>>,
    pub leftovers: Vec<Leftover<'a>>,
    /// Objects that belong to an entry although they stand at another key, by the address they were observed at.
    pub taken: HashMap<&'a Address, &'a ResourceId>,
}

impl<'a> Join<'a> {
    pub(super) fn new(world: &'a World<'a>, doubts: &'a Doubts) -> Self {
        let held: Vec<&Entry> = doubts.holdings(world);
        let mut used = vec![false; held.len()];
        for (used, held) in used.iter_mut().zip(&held) {
            *used = doubts.dropped(held);
        }
        let scopes = world.views.iter().collect();
        let (views, matched) = (Views::new(world), Vec::new());
        let state = State { world, doubts, views, scopes, held, addresses: None, used, unchanged: 0, matched };
        state.run(if world.options.destroy { &[] } else { world.desired })
    }
}

struct State<'a> {
    world: &'a World<'a>,
    doubts: &'a Doubts,
    views: Views<'a>,
    /// The views again: where neighbours share no scope, walking a tree of long texts would be most of the work.
    scopes: HashMap<&'a Scope, &'a ScopeView>,
    held: Vec<&'a Entry>,
    /// The addresses of `held`, once somebody asks.
    addresses: Option<HashSet<&'a Address>>,
    /// By position in `held`: whether a desired object has it, or its object is known to be gone.
    used: Vec<bool>,
    unchanged: usize,
    /// Desired objects that are not in sync, with their entries.
    matched: Vec<(usize, Option<&'a Entry>)>,
}

/// A position in [`State::held`], and what is there.
type Held<'a> = (usize, &'a Entry);

impl<'a> State<'a> {
    fn run(mut self, desired: &'a [Desired]) -> Join<'a> {
        let open = self.in_order(desired);
        let open = self.by_address(open);
        let open = self.by_resource(open);
        let open = self.by_moved_from(open, desired);
        self.matched.extend(open.into_iter().map(|index| (index, None)));
        self.matched.sort_unstable_by_key(|(index, _)| *index);
        let mut out = Join { unchanged: self.unchanged, pairs: Vec::new(), leftovers: Vec::new(), taken: HashMap::new() };
        for (index, held) in std::mem::take(&mut self.matched) {
            let Some(want) = desired.get(index) else { continue };
            let old = held.map(|held| self.look_for(held, &mut out));
            let new = match (held, old) {
                (Some(held), Some(look)) if held.address == want.address => look,
                (Some(_), _) => self.views.find(&want.address, None, None),
                (None, _) => self.unowned(want),
            };
            out.pairs.push(Pair { index, want, held, old: old.unwrap_or(new), new });
        }
        let free = self.free();
        let wanted: HashSet<&ResourceId> =
            if free.is_empty() { HashSet::new() } else { desired.iter().map(|it| &it.resource).collect() };
        for (_, held) in free {
            let look = self.look_for(held, &mut out);
            out.leftovers.push(Leftover { held, look, replaced: wanted.contains(&held.resource) });
        }
        out
    }

    /// Walks desired objects and entries side by side, which is all the work where both are sorted and nothing moved.
    /// Answers which found no entry yet.
    fn in_order(&mut self, desired: &'a [Desired]) -> Vec<usize> {
        let (mut open, mut cursor) = (Vec::new(), 0);
        let mut last = None;
        for (index, want) in desired.iter().enumerate() {
            while self.used.get(cursor) == Some(&true) || self.held.get(cursor).is_some_and(|it| it.resource < want.resource) {
                cursor += 1;
            }
            // A resource may render to several objects: a few are looked through here, the rest goes by address.
            let near = self.held.iter().enumerate().skip(cursor).take(4).find(|(at, held)| {
                self.used.get(*at) == Some(&false) && held.resource == want.resource && held.address == want.address
            });
            match near {
                Some((at, held)) => self.settle(index, want, (at, held), &mut last),
                None => open.push(index),
            }
        }
        open
    }

    fn by_address(&mut self, open: Vec<usize>) -> Vec<usize> {
        if open.is_empty() {
            return open;
        }
        // Hashed by key alone: the rest of an address is mostly the same text, and hashing it would be most of the work.
        // Objects of one key are few, unless somebody wants them to be many; those go by the whole address.
        let mut free: HashMap<&str, Held<'a>> = HashMap::with_capacity(self.held.len());
        let mut alike: HashMap<&Address, Held<'a>> = HashMap::new();
        for (at, held) in self.held.iter().copied().enumerate() {
            if self.used.get(at) == Some(&true) {
                continue;
            }
            match free.entry(&held.address.key) {
                Slot::Vacant(slot) => {
                    slot.insert((at, held));
                }
                Slot::Occupied(_) => {
                    alike.insert(&held.address, (at, held));
                }
            }
        }
        let (mut last, mut rest) = (None, Vec::new());
        for index in open {
            let Some(want) = self.world.desired.get(index) else { continue };
            let first = free.get(&*want.address.key).copied().filter(|(_, held)| held.address == want.address);
            let found = first.or_else(|| alike.get(&want.address).copied());
            match found.filter(|(at, _)| self.used.get(*at) == Some(&false)) {
                Some(held) => self.settle(index, want, held, &mut last),
                None => rest.push(index),
            }
        }
        rest
    }

    /// One object left on each side, within one provider: the resource's address changed.
    fn by_resource(&mut self, open: Vec<usize>) -> Vec<usize> {
        let world = self.world;
        let mut sides: HashMap<&ResourceId, (usize, Vec<Held<'a>>)> = HashMap::new();
        for want in open.iter().filter_map(|index| world.desired.get(*index)) {
            sides.entry(&want.resource).or_default().0 += 1;
        }
        for held in if open.is_empty() { Vec::new() } else { self.owned() } {
            if let Some((_, entries)) = sides.get_mut(&held.1.resource) {
                entries.push(held);
            }
        }
        self.pair_ones(open, |want| match sides.get(&want.resource) {
            Some((1, held)) => one(held).filter(|(_, held)| held.address.scope.provider == want.address.scope.provider),
            _ => None,
        })
    }

    /// `moved-from` names a resource that is owned and desired no more.
    fn by_moved_from(&mut self, open: Vec<usize>, desired: &'a [Desired]) -> Vec<usize> {
        let world = self.world;
        if !open.iter().any(|index| world.desired.get(*index).is_some_and(|it| it.settings.moved_from.is_some())) {
            return open;
        }
        let wanted: HashSet<&ResourceId> = desired.iter().map(|it| &it.resource).collect();
        let mut gone = self.owned();
        gone.retain(|(_, held)| !wanted.contains(&held.resource));
        // However short the form, it ends in the name.
        let mut named: HashMap<&str, Vec<Held<'a>>> = HashMap::new();
        for (at, held) in gone {
            named.entry(held.resource.name()).or_default().push((at, held));
        }
        self.pair_ones(open, |want| {
            let text = want.settings.moved_from.as_deref()?;
            let provider = &want.address.scope.provider;
            let answers = |held: &Entry| held.address.scope.provider == *provider && answers_to(&held.resource, text);
            let alike = named.get(text.rsplit('/').next()?)?;
            one(&alike.iter().copied().filter(|(_, held)| answers(held)).collect::<Vec<_>>())
        })
    }

    /// Pairs each open object with the entry that `choose` names, unless another was faster.
    fn pair_ones(&mut self, open: Vec<usize>, choose: impl Fn(&Desired) -> Option<Held<'a>>) -> Vec<usize> {
        let mut rest = Vec::new();
        for index in open {
            let chosen = self.world.desired.get(index).and_then(&choose);
            match chosen.filter(|(at, _)| self.used.get(*at) == Some(&false)) {
                Some((at, held)) => {
                    self.take(at);
                    self.matched.push((index, Some(held)));
                }
                None => rest.push(index),
            }
        }
        rest
    }

    /// A desired object and the entry at its address.
    fn settle(&mut self, index: usize, want: &'a Desired, (at, held): Held<'a>, last: &mut Option<&'a ScopeView>) {
        self.take(at);
        if self.in_sync(want, held, last) {
            self.unchanged += 1;
        } else {
            self.matched.push((index, Some(held)));
        }
    }

    /// By digests and settings alone. `last` is the view used last: neighbours mostly share their scope.
    fn in_sync(&self, want: &Desired, held: &Entry, last: &mut Option<&'a ScopeView>) -> bool {
        let same = held.applied == want.digest
            && held.agreed.is_some()
            && held.ownership == Ownership::Owned
            && held.resource == want.resource
            && records(held, want)
            && !self.doubts.about(&want.address)
            && self.world.halted(&want.address.scope).is_none();
        if !same {
            return false;
        }
        if !last.is_some_and(|view| view.scope == want.address.scope) {
            *last = self.scopes.get(&want.address.scope).copied();
        }
        let Some(view) = last.filter(|view| !matches!(view.coverage, Coverage::Failed(_))) else { return false };
        let found = view.objects.get(&want.address.key);
        // Another owner's mark is no difference of the document, and the object is not ours any more.
        let ours = |mark: &str| mark == (self.world.mark)(&held.resource);
        found.is_some_and(|it| {
            Some(it.digest) == held.agreed && it.identity == held.identity && it.mark.as_deref().is_none_or(ours)
        })
    }

    fn look_for(&mut self, held: &'a Entry, out: &mut Join<'a>) -> Look<'a> {
        let mark = || (self.world.mark)(&held.resource);
        let look = self.views.find(&held.address, Some(&held.identity), Some(&mark));
        if let Some(found) = look.seen().filter(|it| it.address != held.address) {
            out.taken.insert(&found.address, &held.resource);
        }
        look
    }

    /// What is there of an object without an entry: found by its mark, unless the object of that mark has an entry (a
    /// deposed one carries it too), else by its key.
    fn unowned(&mut self, want: &Desired) -> Look<'a> {
        let look = self.views.find(&want.address, None, Some(&|| (self.world.mark)(&want.resource)));
        match look.seen() {
            Some(found) if found.address != want.address && self.is_held(&found.address) => {
                self.views.find(&want.address, None, None)
            }
            _ => look,
        }
    }

    fn is_held(&mut self, address: &Address) -> bool {
        let held = &self.held;
        self.addresses.get_or_insert_with(|| held.iter().map(|it| &it.address).collect()).contains(address)
    }

    fn take(&mut self, at: usize) {
        if let Some(used) = self.used.get_mut(at) {
            *used = true;
        }
    }

    /// Entries that no desired object has yet.
    fn free(&self) -> Vec<Held<'a>> {
        let all = self.held.iter().enumerate().zip(&self.used);
        all.filter(|(_, used)| !**used).map(|((at, held), _)| (at, *held)).collect()
    }

    /// Those of them that are no rest of a replacement.
    fn owned(&self) -> Vec<Held<'a>> {
        let mut free = self.free();
        free.retain(|(_, held)| held.ownership != Ownership::Deposed);
        free
    }
}

/// Whether the entry says of settings and edges what the declaration says.
pub(super) fn records(held: &Entry, want: &Desired) -> bool {
    held.protect == want.settings.protect
        && held.prune != want.settings.no_prune
        && held.claims == want.claims.is_some()
        && (std::ptr::eq(held.after.as_ptr(), want.after.as_ptr()) || held.after == want.after)
        && held.siblings == want.siblings
}

/// Whether `text` is the identity or a shorter form of it.
pub(super) fn answers_to(id: &ResourceId, text: &str) -> bool {
    if text == id.as_str() || text == id.local() {
        return true;
    }
    let (alias, local) = text.split_once(':').map_or((None, text), |(alias, local)| (Some(alias), local));
    let (kind, namespace, name) = match *local.split('/').collect::<Vec<_>>() {
        [kind, name] => (kind, None, name),
        [kind, namespace, name] => (kind, Some(namespace), name),
        _ => return false,
    };
    let plain = id.kind().split_once('.').map_or(id.kind(), |(kind, _)| kind);
    alias.is_none_or(|it| it == id.alias())
        && (kind == id.kind() || kind == plain)
        && name == id.name()
        && (namespace.is_none() || namespace == id.namespace())
}

fn one<T: Copy>(items: &[T]) -> Option<T> {
    match items {
        [only] => Some(*only),
        _ => None,
    }
}

/// Looks objects up; indexes by identity and mark are made only for scopes where the key does not answer.
pub(super) struct Views<'a> {
    views: &'a BTreeMap<Scope, ScopeView>,
    kinds: &'a (dyn Fn(&Scope) -> Option<Arc<Kind>> + Sync),
    other: HashMap<&'a Scope, Other<'a>>,
}

#[derive(Default)]
struct Other<'a> {
    identities: HashMap<&'a str, &'a Observed>,
    marks: HashMap<&'a str, &'a Observed>,
}

impl<'a> Views<'a> {
    pub(super) fn new(world: &World<'a>) -> Self {
        Self { views: world.views, kinds: world.kinds, other: HashMap::new() }
    }

    /// The object of this identity, else of this mark, else of this key.
    pub(super) fn find(&mut self, address: &Address, identity: Option<&str>, mark: Option<&dyn Fn() -> String>) -> Look<'a> {
        let Some(view) = self.views.get(&address.scope) else { return Look::Failed("it was not observed") };
        if let Coverage::Failed(why) = &view.coverage {
            return Look::Failed(why);
        }
        let keyed = view.objects.get(&address.key);
        let identity = identity.filter(|it| !it.is_empty());
        if let Some(found) = keyed.filter(|it| identity.is_none_or(|identity| *it.identity == *identity)) {
            return Look::Seen(found);
        }
        let other = self.other.entry(&view.scope).or_insert_with(|| {
            let mut other = Other::default();
            let named = (self.kinds)(&view.scope).is_some_and(|it| it.natural());
            for found in view.objects.values() {
                other.identities.insert(&found.identity, found);
                other.marks.extend(found.mark.as_deref().filter(|_| !named).map(|mark| (mark, found)));
            }
            other
        });
        let by_identity = identity.and_then(|it| other.identities.get(it)).copied();
        let by_mark = || mark.filter(|_| !other.marks.is_empty()).and_then(|mark| other.marks.get(mark().as_str())).copied();
        match (by_identity.or_else(by_mark).or(keyed), &view.coverage) {
            (Some(found), _) => Look::Seen(found),
            (None, Coverage::Whole) => Look::Absent,
            (None, Coverage::Named(keys)) if keys.contains(&address.key) => Look::Absent,
            (None, Coverage::Named(_) | Coverage::Partial | Coverage::Failed(_)) => Look::Partial,
        }
    }
}
