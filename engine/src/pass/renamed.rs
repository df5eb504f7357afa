//! What is owned under an alias that a provider had before: it goes on under the new one, and nothing is sent for it.
//!
//! A plan sees entries, changes under way and remembered scopes under the new alias already; the state has them under the
//! old one until the first apply records the rename, before anything else and in one transaction ([`crate::store::Groundwork::renames`]). A kill
//! before that leaves everything as it was; after it, nothing is left to rename.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::diagnostic::{Diagnostic, Severity, codes};
use trueup_core::inventory::Entry;
use trueup_core::value::Json;

use super::{Known, PassError};
use crate::config::rename::Rename;
use crate::desired::Desired;
use crate::store::{Store, StoreError};

/// The renames that the state does not know of yet.
#[derive(Default)]
pub struct Renamed {
    /// Old aliases by new ones.
    old: BTreeMap<Arc<str>, Arc<str>>,
    /// Addresses, under their new aliases, that the state has under the old ones.
    held: HashSet<Address>,
    notes: Vec<Diagnostic>,
}

impl Renamed {
    /// Gives what is known under old aliases the new ones.
    ///
    /// # Errors
    ///
    /// An object or a resource that is owned under both: nobody could say which of the two the document means.
    pub(super) fn take(renames: &[Rename], known: &mut Known) -> Result<Self, PassError> {
        let mut out = Self::default();
        let mut errors = Vec::new();
        for rename in renames {
            let from = |it: &str| *it == *rename.from;
            let count = known.entries.iter().filter(|it| from(&it.address.scope.provider)).count();
            if count == 0 && !known.intents.iter().any(|it| from(&it.address.scope.provider)) {
                continue;
            }
            if let Some(twice) = twice(rename, &known.entries) {
                errors.push(twice);
                continue;
            }
            out.old.insert(rename.to.clone(), rename.from.clone());
            let objects = if count == 1 { "object" } else { "objects" };
            let text = format!(
                "the provider `{}` was `{}`: {count} {objects} owned under the old alias go on under the new one, and nothing is sent for that",
                rename.to, rename.from
            );
            let note = Diagnostic { severity: Severity::Note, ..Diagnostic::error(codes::PROVIDER_RENAMED, text) };
            out.notes.push(note.at(rename.location.clone()));
        }
        if !errors.is_empty() {
            return Err(PassError::Documents(errors));
        }
        out.map(known);
        Ok(out)
    }

    fn map(&mut self, known: &mut Known) {
        if self.old.is_empty() {
            return;
        }
        let new: HashMap<Arc<str>, Arc<str>> = self.old.iter().map(|(to, from)| (from.clone(), to.clone())).collect();
        let alias = |it: &mut Arc<str>| {
            new.get(&*it).is_some_and(|to| {
                *it = to.clone();
                true
            })
        };
        let id = |it: &mut ResourceId| {
            if let Some(to) = new.get(it.alias()) {
                *it = it.under(to);
            }
        };
        // Lists are shared by many entries, and most name no old alias: those stay as they are.
        let ids = |list: &mut Arc<[ResourceId]>| {
            if list.iter().any(|it| new.contains_key(it.alias())) {
                Arc::make_mut(list).iter_mut().for_each(id);
            }
        };
        let addresses = |list: &mut Arc<[Address]>| {
            for it in Arc::make_mut(list) {
                alias(&mut it.scope.provider);
            }
        };
        for entry in &mut known.entries {
            id(&mut entry.resource);
            ids(&mut entry.after);
            if alias(&mut entry.address.scope.provider) {
                addresses(&mut entry.siblings);
                self.held.insert(entry.address.clone());
            }
        }
        for intent in &mut known.intents {
            id(&mut intent.resource);
            ids(&mut intent.after);
            if alias(&mut intent.address.scope.provider) {
                addresses(&mut intent.siblings);
            }
        }
        for scope in known.scopes.keys().filter(|it| new.contains_key(&it.provider)).cloned().collect::<Vec<Scope>>() {
            let Some(mut record) = known.scopes.remove(&scope) else { continue };
            alias(&mut record.scope.provider);
            known.scopes.entry(record.scope.clone()).or_insert(record);
        }
    }

    /// Reads the `trueup.dev/moved-from` of documents as what they name now.
    pub(super) fn follow(renames: &[Rename], desired: &mut Desired) {
        for object in desired.objects.iter_mut().filter(|it| !renames.is_empty() && it.settings.moved_from.is_some()) {
            let named = object.settings.moved_from.as_deref().and_then(|it| it.split_once(':'));
            let rename = named.and_then(|(alias, local)| Some((renames.iter().find(|it| *it.from == *alias)?, local)));
            if let Some((rename, local)) = rename {
                let text = format!("{}:{local}", rename.to);
                Arc::make_mut(&mut object.settings).moved_from = Some(text);
            }
        }
    }

    /// Whether the state knows of everything already.
    pub fn is_empty(&self) -> bool {
        self.old.is_empty()
    }

    /// What people are told, a note for each provider.
    pub(super) fn notes(&self) -> &[Diagnostic] {
        &self.notes
    }

    /// The documents last applied, wherever the state has them.
    pub(super) fn applied(
        &self,
        store: &dyn Store,
        environment: &str,
        addresses: &[Address],
    ) -> Result<Vec<Option<Arc<Json>>>, StoreError> {
        if self.held.is_empty() {
            return store.applied(environment, addresses);
        }
        let stored = |it: &Address| {
            let mut it = it.clone();
            if self.held.contains(&it)
                && let Some(old) = self.old.get(&it.scope.provider)
            {
                it.scope.provider = old.clone();
            }
            it
        };
        store.applied(environment, &addresses.iter().map(stored).collect::<Vec<_>>())
    }

    /// Old and new aliases, for [`crate::store::Groundwork::renames`].
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        self.old.iter().map(|(to, from)| (from.to_string(), to.to_string())).collect()
    }
}

/// What both aliases own, if there is anything.
fn twice(rename: &Rename, entries: &[Entry]) -> Option<Diagnostic> {
    let of = |alias: &Arc<str>| entries.iter().filter(move |it| it.address.scope.provider == *alias).collect::<Vec<_>>();
    let (old, new) = (of(&rename.from), of(&rename.to));
    let place = |it: &Entry| (it.address.scope.kind.clone(), it.address.scope.scope.clone(), it.address.key.clone());
    let places: HashSet<_> = new.iter().map(|it| place(it)).collect();
    let names: HashSet<&str> = new.iter().map(|it| it.resource.local()).collect();
    let both = old.iter().find(|it| places.contains(&place(it)) || names.contains(it.resource.local()))?;
    let text = format!("the provider `{}` was `{}`, and both own {}", rename.to, rename.from, both.resource.local());
    let hint =
        format!("release what is not meant with `trueup forget {}`, or with the same under `{}`", both.resource, rename.to);
    Some(Diagnostic::error(codes::PROVIDER_RENAMED, text).at(rename.location.clone()).hint(hint))
}
