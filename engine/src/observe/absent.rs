//! What is owned and was not listed, of kinds whose lists may leave something out (`eventual` of the manifest).
//!
//! A system that is spread over many machines lists an object some time after it made it, and a page may get lost between them. So each
//! such object is asked for by itself before it counts as gone: that costs requests only where something is missing.

use std::collections::BTreeMap;

use trueup_core::address::Scope;
use trueup_core::observation::Coverage;
use trueup_host as host;

use super::{Observation, Reader, Remembered, UNREAD, memory};
use crate::patience;

impl Reader<'_> {
    /// Looks for what the lists of this observation lack.
    pub(super) async fn confirm(&mut self) {
        let eventual = |scope: &Scope| self.bound.manifest.kinds.get(&*scope.kind).is_some_and(|it| it.eventual);
        let mut missing: Vec<host::Lookup> = Vec::new();
        for (scope, view) in &self.observation.views {
            if scope.provider == self.bound.alias && matches!(view.coverage, Coverage::Whole) && eventual(scope) {
                let unlisted = |it: &host::Lookup| !view.objects.contains_key(&it.address.key);
                missing.extend(self.declared.owned(scope).into_iter().filter(unlisted));
            }
        }
        let mut found: BTreeMap<Scope, Vec<Remembered>> = BTreeMap::new();
        for part in missing.chunks(UNREAD) {
            let answers = match patience::read(self.bound, self.now, part.to_vec()).await {
                Ok(answers) => answers,
                Err(error) => {
                    part.iter().for_each(|it| self.doubt(&it.address.scope, &error.to_string()));
                    continue;
                }
            };
            for (lookup, answer) in part.iter().zip(answers) {
                let scope = &lookup.address.scope;
                match answer {
                    host::Observation::Absent => {}
                    host::Observation::Found(remote) => {
                        let remembered = self.take(scope, host::Remote { address: lookup.address.clone(), ..*remote });
                        found.entry(scope.clone()).or_default().push(remembered);
                    }
                    host::Observation::Unchanged => self.doubt(scope, "it was asked for an object and showed none"),
                    host::Observation::Failed(failure) => self.doubt(scope, &failure.to_string()),
                }
            }
        }
        found.into_iter().for_each(|(scope, objects)| self.observation.add(&scope, objects));
    }

    /// Something owned is not listed, and could not be asked for: its absence proves nothing.
    fn doubt(&mut self, scope: &Scope, why: &str) {
        self.fail(scope.clone(), &format!("an object that is owned is not listed, and could not be asked for: {why}"));
    }
}

impl Observation {
    /// Puts objects into a view that its list left out.
    fn add(&mut self, scope: &Scope, objects: Vec<Remembered>) {
        let (Some(view), Some((record, version))) = (self.views.get_mut(scope), self.records.get_mut(scope)) else { return };
        let Some(mut known) = memory::decode(scope, record) else { return };
        for it in objects {
            view.objects.insert(it.observed.address.key.clone(), it.observed.clone());
            known.insert(it.observed.address.key.clone(), it);
        }
        *record = memory::encode(&known);
        // A version of the list would bring back what the list lacks.
        *version = None;
        self.fresh.retain(|it| it.scope != *scope);
    }
}
