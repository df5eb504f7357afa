//! Scopes that cannot be listed: what is declared, owned or in doubt there is read object by object.
//!
//! Of kinds that are observed so (`observe: read` of the manifest), and where a system does not let this credential list
//! (`unlisted` of a snapshot). What was asked for and is not there is absent; of everything else in the scope nothing is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use trueup_core::address::Scope;
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::manifest::Observe;
use trueup_core::observation::{Coverage, ScopeView};
use trueup_host as host;

use super::memory::{self, Objects};
use super::{Open, Reader, UNREAD};
use crate::engine::Bound;
use crate::patience;

/// Whether the provider says that the scope cannot be listed, and not that it lists nothing.
pub(super) fn is_unlisted(snapshot: &host::Snapshot) -> bool {
    snapshot.ext.iter().any(|(name, value)| name == "unlisted" && value == "true")
}

/// Whether objects of the scope's kind are read one by one in any case.
pub(super) fn is_read(bound: &Bound, scope: &Scope) -> bool {
    bound.manifest.kinds.get(&*scope.kind).is_some_and(|it| it.observe == Observe::Read)
}

/// A scope on its way.
struct Asked {
    scope: Scope,
    /// Why it is not listed, in the provider's words; empty where nobody expects that.
    refusal: String,
    keys: BTreeSet<Arc<str>>,
    objects: Objects,
    failed: Option<String>,
}

impl Reader<'_> {
    /// Takes these scopes out of those that are to be listed, with what is said of each.
    pub(super) async fn read_named(&mut self, scopes: Vec<(Open, String)>) {
        let mut asked = Vec::new();
        let mut lookups: Vec<(usize, host::Lookup)> = Vec::new();
        for (Open { scope, .. }, refusal) in scopes {
            let Some(named) = self.declared.named(&scope) else {
                let why = if refusal.is_empty() { "objects of this kind cannot be listed".to_owned() } else { refusal };
                self.fail(scope, &why);
                continue;
            };
            let keys = named.iter().map(|it| it.address.key.clone()).collect();
            lookups.extend(named.into_iter().map(|it| (asked.len(), it)));
            asked.push(Asked { scope, refusal, keys, objects: Objects::new(), failed: None });
        }
        for part in lookups.chunks(UNREAD) {
            let seen = patience::read(self.bound, self.now, part.iter().map(|(_, it)| it.clone()).collect()).await;
            let (mut seen, whole) = match seen {
                Ok(seen) => (seen.into_iter(), None),
                Err(error) => (Vec::new().into_iter(), Some(error.to_string())),
            };
            for (at, lookup) in part {
                if let (Some(asked), answer) = (asked.get_mut(*at), seen.next()) {
                    self.named(asked, lookup, answer, whole.as_deref());
                }
            }
        }
        self.tell(&asked);
        asked.into_iter().for_each(|it| self.close_named(it));
    }

    /// Takes what was answered for one object.
    fn named(&mut self, asked: &mut Asked, lookup: &host::Lookup, answer: Option<host::Observation>, failed: Option<&str>) {
        let failure = match answer {
            Some(host::Observation::Found(remote)) => {
                self.observation.read.objects += 1;
                let remembered = self.take(&asked.scope, host::Remote { address: lookup.address.clone(), ..*remote });
                asked.objects.insert(lookup.address.key.clone(), remembered);
                return;
            }
            Some(host::Observation::Absent) => return,
            Some(host::Observation::Unchanged) => "it was asked for an object and showed none".to_owned(),
            Some(host::Observation::Failed(failure)) => failure.to_string(),
            None => failed.unwrap_or("the provider left an object out").to_owned(),
        };
        asked.failed.get_or_insert(failure);
    }

    /// Says once for the provider that it lacks a right, and what of it was read nevertheless.
    fn tell(&mut self, asked: &[Asked]) {
        let mut refused = asked.iter().filter(|it| !it.refusal.is_empty() && it.failed.is_none());
        let Some(first) = refused.next() else { return };
        let others = match refused.count() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let Scope { provider, kind, scope } = &first.scope;
        let place = if scope.is_empty() { String::new() } else { format!(" in `{scope}`") };
        let refusal = self.sealer.mask(&first.refusal);
        let text = format!(
            "provider `{provider}` may not list {kind}{place}{others}; what is declared or owned there is read object by object: \
             {refusal}"
        );
        self.observation.warnings.push(Diagnostic::warning(codes::OBSERVE_FAILED, text));
    }

    /// Makes the view. Nothing is remembered: without a version nobody could say that it still stands.
    fn close_named(&mut self, asked: Asked) {
        let Asked { scope, refusal, keys, objects, failed } = asked;
        if let Some(why) = failed {
            // Half seen is not seen.
            let why = if refusal.is_empty() || refusal == why { why } else { format!("{refusal}; read object by object: {why}") };
            return self.fail(scope, &why);
        }
        let record = memory::encode(&objects);
        let seen = objects.into_iter().map(|(key, it)| (key, it.observed)).collect();
        self.observation.read.scopes += 1;
        let view = ScopeView { scope: scope.clone(), coverage: Coverage::Named(keys), objects: seen };
        self.observation.views.insert(scope.clone(), view);
        self.observation.records.insert(scope, (record, None));
    }
}
