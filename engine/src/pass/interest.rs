//! What an observation is asked to keep: documents of what is declared or owned, secrets sealed where a document has them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use trueup_core::address::{Address, Scope};
use trueup_core::inventory::Entry;
use trueup_core::value::Json;

use crate::desired::Desired;
use crate::observe::Declared;
use crate::seal::secret_pointers;

/// Which addresses matter, and where secrets are in their documents.
pub(super) struct Interest<'a> {
    desired: &'a Desired,
    entries: &'a [Entry],
    /// Last applied documents with secrets in them, of what is owned and no longer declared.
    sealed: HashMap<Address, Arc<Json>>,
    /// By scope: where its declared objects and its entries are. Neighbours mostly share one, so that runs are few.
    runs: OnceLock<HashMap<&'a Scope, Declarations<'a>>>,
    plain: Arc<Json>,
}

/// What is declared and owned in one scope.
#[derive(Default)]
struct Declarations<'a> {
    declared: Vec<Range<usize>>,
    owned: Vec<Range<usize>>,
    /// By key, with the position of what is declared; made when the scope is read anew.
    keys: OnceLock<HashMap<&'a str, Option<usize>>>,
}

impl<'a> Interest<'a> {
    pub(super) fn new(desired: &'a Desired, entries: &'a [Entry], sealed: HashMap<Address, Arc<Json>>) -> Self {
        Self { desired, entries, sealed, runs: OnceLock::new(), plain: Arc::new(Json::Null) }
    }

    fn runs(&self) -> HashMap<&'a Scope, Declarations<'a>> {
        let mut all: HashMap<&Scope, Declarations<'_>> = HashMap::new();
        let mut from = 0;
        for run in self.entries.chunk_by(|a, b| a.address.scope == b.address.scope) {
            let Some(first) = run.first() else { continue };
            all.entry(&first.address.scope).or_default().owned.push(from..from + run.len());
            from += run.len();
        }
        from = 0;
        for run in self.desired.objects.chunk_by(|a, b| a.address.scope == b.address.scope) {
            let Some(first) = run.first() else { continue };
            all.entry(&first.address.scope).or_default().declared.push(from..from + run.len());
            from += run.len();
        }
        all
    }

    fn keys(&self, known: &Declarations<'a>) -> HashMap<&'a str, Option<usize>> {
        let owned = known.owned.iter().filter_map(|run| self.entries.get(run.clone())).flatten();
        let declared = known.declared.iter().cloned().flatten();
        let declared = declared.filter_map(|at| Some((&*self.desired.objects.get(at)?.address.key, Some(at))));
        owned.map(|it| (&*it.address.key, None)).chain(declared).collect()
    }
}

impl Declared for Interest<'_> {
    fn asks_for_status(&self) -> bool {
        !self.desired.waiting.is_empty()
    }

    fn interest(&self, address: &Address) -> Option<Arc<Json>> {
        if let Some(document) = self.sealed.get(address) {
            return Some(document.clone());
        }
        let known = self.runs.get_or_init(|| self.runs()).get(&address.scope)?;
        let at = known.keys.get_or_init(|| self.keys(known)).get(&*address.key)?;
        let document = at.and_then(|at| self.desired.document(at)).filter(|it| !secret_pointers(it).is_empty());
        Some(document.cloned().unwrap_or_else(|| self.plain.clone()))
    }
}
