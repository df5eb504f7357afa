//! What an observation is asked to keep: documents of what is declared, owned or in doubt, behind their veils.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::inventory::{Entry, Intent};
use trueup_core::value::Json;
use trueup_host as host;

use super::Surroundings;
use super::claimed::ClaimedScopes;
use super::renamed::Renamed;
use crate::desired::Desired;
use crate::observe::Declared;
use crate::store::StoreError;
use crate::veil::Veil;

/// Which addresses matter, and what of their objects is hidden. Asked only for objects that are read anew, so that a pass
/// without changes loads nothing.
pub(super) struct Interest<'a> {
    around: &'a Surroundings,
    renamed: &'a Renamed,
    desired: &'a Desired,
    entries: &'a [Entry],
    intents: &'a [Intent],
    claimed: &'a ClaimedScopes,
    /// By scope: where its declared objects and its entries are. Neighbours mostly share one, so that runs are few.
    runs: OnceLock<HashMap<&'a Scope, Declarations<'a>>>,
    doubts: OnceLock<HashMap<&'a Address, Vec<&'a Json>>>,
    plain: Arc<Veil>,
    failed: OnceLock<StoreError>,
}

/// What is declared and owned in one scope.
#[derive(Default)]
struct Declarations<'a> {
    declared: Vec<Range<usize>>,
    owned: Vec<Range<usize>>,
    /// By key; made when the scope is read anew.
    keys: OnceLock<HashMap<&'a str, Known>>,
    /// Of objects without a name; made when one is seen.
    called: OnceLock<Called<'a>>,
}

/// Whose objects without a name are.
#[derive(Default)]
struct Called<'a> {
    identities: HashMap<&'a str, &'a Arc<str>>,
    /// Of what is declared or in doubt and has no object that the inventory knows.
    marks: HashMap<String, &'a Arc<str>>,
}

/// What is known of one object.
#[derive(Default)]
struct Known {
    /// Position of what is declared.
    declared: Option<usize>,
    /// The last applied document, where it holds a secret.
    applied: Option<Arc<Json>>,
}

impl<'a> Interest<'a> {
    pub(super) fn new(
        around: &'a Surroundings,
        renamed: &'a Renamed,
        desired: &'a Desired,
        entries: &'a [Entry],
        intents: &'a [Intent],
        claimed: &'a ClaimedScopes,
    ) -> Self {
        let (runs, doubts, failed) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { around, renamed, desired, entries, intents, claimed, runs, doubts, plain: Arc::default(), failed }
    }

    /// Fails where documents could not be loaded that say what is hidden. No document of such a scope was kept.
    pub(super) fn end(self) -> Result<(), StoreError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    fn runs(&self) -> HashMap<&'a Scope, Declarations<'a>> {
        let mut all: HashMap<&Scope, Declarations<'_>> = HashMap::new();
        for (scope, run) in runs(self.entries, |it| &it.address.scope) {
            all.entry(scope).or_default().owned.push(run);
        }
        for (scope, run) in runs(&self.desired.objects, |it| &it.address.scope) {
            all.entry(scope).or_default().declared.push(run);
        }
        all
    }

    fn keys(&self, all: &Declarations<'a>) -> HashMap<&'a str, Known> {
        let owned = || all.owned.iter().filter_map(|run| self.entries.get(run.clone())).flatten();
        let mut keys: HashMap<&str, Known> = owned().map(|it| (&*it.address.key, Known::default())).collect();
        for at in all.declared.iter().cloned().flatten() {
            if let Some(object) = self.desired.objects.get(at) {
                keys.entry(&object.address.key).or_default().declared = Some(at);
            }
        }
        let secret: Vec<Address> = owned().filter(|it| it.secrets).map(|it| it.address.clone()).collect();
        if secret.is_empty() {
            return keys;
        }
        match self.renamed.applied(&*self.around.store, &self.around.context.environment, &secret) {
            Ok(applied) => {
                for (address, document) in secret.iter().zip(applied) {
                    if let Some(known) = keys.get_mut(&*address.key) {
                        known.applied = document;
                    }
                }
                keys
            }
            Err(error) => {
                let _ = self.failed.set(error);
                HashMap::new()
            }
        }
    }

    fn names(&self, scope: &Scope, all: &Declarations<'a>) -> Called<'a> {
        let mut called = Called::default();
        let owned = || all.owned.iter().filter_map(|run| self.entries.get(run.clone())).flatten();
        let held: HashSet<&str> = owned().map(|it| &*it.address.key).collect();
        let declared = all.declared.iter().cloned().flatten().filter_map(|at| self.desired.objects.get(at));
        for object in declared.filter(|it| !held.contains(&*it.address.key)) {
            called.marks.insert(self.mark(&object.resource), &object.address.key);
            if let Some(identity) = &object.settings.adopt_identity {
                called.identities.insert(identity, &object.address.key);
            }
        }
        for intent in self.intents.iter().filter(|it| it.address.scope == *scope && !held.contains(&*it.address.key)) {
            called.marks.entry(self.mark(&intent.resource)).or_insert(&intent.address.key);
        }
        called.identities.extend(owned().map(|it| (&*it.identity, &it.address.key)));
        called
    }

    fn mark(&self, resource: &ResourceId) -> String {
        super::mark(&self.around.project, &self.around.context.environment, resource)
    }

    fn doubts(&self) -> HashMap<&'a Address, Vec<&'a Json>> {
        let mut all: HashMap<&Address, Vec<&Json>> = HashMap::new();
        for intent in self.intents {
            all.entry(&intent.address).or_default().extend(intent.document.as_deref());
        }
        all
    }
}

/// Positions of neighbours that share a scope.
fn runs<T>(items: &[T], scope: fn(&T) -> &Scope) -> impl Iterator<Item = (&Scope, Range<usize>)> {
    let mut from = 0;
    items.chunk_by(move |a, b| scope(a) == scope(b)).filter_map(move |run| {
        let start = from;
        from += run.len();
        Some((scope(run.first()?), start..from))
    })
}

impl Declared for Interest<'_> {
    fn asks_for_status(&self) -> bool {
        !self.desired.waiting.is_empty()
    }

    fn named(&self, scope: &Scope) -> Option<Vec<host::Lookup>> {
        let all = self.runs.get_or_init(|| self.runs()).get(scope);
        let declared = all.into_iter().flat_map(|it| it.declared.iter().cloned()).flatten();
        let declared = declared.filter_map(|at| self.desired.objects.get(at)).map(|it| &it.address);
        let doubted = self.intents.iter().map(|it| &it.address).filter(|it| it.scope == *scope);
        let mut lookups: BTreeMap<Arc<str>, host::Lookup> = BTreeMap::new();
        for address in declared.chain(doubted) {
            lookups.insert(address.key.clone(), host::Lookup::new(address.clone()));
        }
        lookups.extend(self.owned(scope).into_iter().map(|it| (it.address.key.clone(), it)));
        Some(lookups.into_values().collect())
    }

    fn called(&self, scope: &Scope, identity: &str, mark: Option<&str>) -> Option<Arc<str>> {
        // A scope in which nothing is declared or owned may still have something in doubt.
        let nothing = Declarations::default();
        let all = self.runs.get_or_init(|| self.runs()).get(scope).unwrap_or(&nothing);
        let called = all.called.get_or_init(|| self.names(scope, all));
        let by_mark = || called.marks.get(mark?);
        called.identities.get(identity).or_else(by_mark).map(|it| (*it).clone())
    }

    fn owned(&self, scope: &Scope) -> Vec<host::Lookup> {
        let all = self.runs.get_or_init(|| self.runs()).get(scope);
        let held = all.into_iter().flat_map(|it| &it.owned).filter_map(|run| self.entries.get(run.clone())).flatten();
        let lookup =
            |it: &Entry| host::Lookup { identity: Some(it.identity.to_string()), ..host::Lookup::new(it.address.clone()) };
        held.map(lookup).collect()
    }

    fn interest(&self, address: &Address) -> Option<Arc<Veil>> {
        let doubts = self.doubts.get_or_init(|| self.doubts()).get(address);
        let all = self.runs.get_or_init(|| self.runs()).get(&address.scope);
        let known = all.and_then(|all| all.keys.get_or_init(|| self.keys(all)).get(&*address.key));
        // What is claimed is shown before it goes.
        let somebodys = doubts.is_some() || self.claimed.covers(address, self.desired);
        if known.is_none() && (!somebodys || self.failed.get().is_some()) {
            return None;
        }
        let now = known.and_then(|it| self.desired.document(it.declared?));
        let applied = known.and_then(|it| it.applied.as_deref());
        let veil = Veil::of(now.map(|it| &**it), applied.into_iter().chain(doubts.into_iter().flatten().copied()));
        Some(if veil.hides() { Arc::new(veil) } else { self.plain.clone() })
    }
}

/// What is hidden of objects that are compared now, whoever declared, owned or was changing them when they were observed.
///
/// An object that stands at another address than its entry (found by its identity or mark) has no document of its own: it is
/// hidden by all documents of its scope whose own object was not seen.
pub(super) fn veils(
    observed: &[Address],
    desired: &HashMap<&Address, &Json>,
    applied: &HashMap<Address, Arc<Json>>,
    intents: &[Intent],
) -> HashMap<Address, Veil> {
    let seen: HashSet<&Address> = observed.iter().collect();
    let others: Vec<(&Address, &Json)> = applied
        .iter()
        .map(|(address, it)| (address, &**it))
        .chain(intents.iter().filter_map(|it| Some((&it.address, it.document.as_deref()?))))
        .collect();
    let mut by_address: HashMap<&Address, Vec<&Json>> = HashMap::new();
    let mut by_scope: HashMap<&Scope, Vec<&Json>> = HashMap::new();
    for (address, document) in others {
        by_address.entry(address).or_default().push(document);
        if !seen.contains(address) {
            by_scope.entry(&address.scope).or_default().push(document);
        }
    }
    let veil = |address: &Address| {
        let others = by_address.get(address).or_else(|| by_scope.get(&address.scope));
        Veil::of(desired.get(address).copied(), others.into_iter().flatten().copied())
    };
    observed.iter().map(|address| (address.clone(), veil(address))).collect()
}
