//! Scopes that documents claim: what has to be seen of them though nobody declares anything there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use trueup_core::address::{Address, Scope};
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::manifest::Observe;
use trueup_core::observation::Coverage;

use super::Surroundings;
use crate::desired::Desired;
use crate::observe::Observation;

/// Claimed scopes of every kind that can be listed, with the position of a document that claims each.
#[derive(Default)]
pub(super) struct ClaimedScopes(BTreeMap<Scope, usize>);

impl ClaimedScopes {
    pub(super) fn new(around: &Surroundings, desired: &Desired) -> Self {
        let mut out = BTreeMap::new();
        let declared = desired.objects.iter().enumerate();
        for (at, want) in declared.filter(|(_, it)| it.claims.is_some()) {
            let Scope { provider, kind: own, scope } = &want.address.scope;
            // A halted provider has said what there is to say.
            let bound = around.context.providers.get(provider).filter(|_| !desired.halted.contains_key(provider));
            let Some(bound) = bound else { continue };
            for kind in bound.manifest.kinds.values().filter(|it| it.name != *own && it.observe == Observe::Scan) {
                let claimed = Scope { provider: provider.clone(), kind: kind.name.clone(), scope: scope.clone() };
                out.entry(claimed).or_insert(at);
            }
        }
        Self(out)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.keys()
    }

    /// Whether a claim is about the object, whoever has it.
    pub(super) fn covers(&self, address: &Address, desired: &Desired) -> bool {
        let claimant = self.0.get(&address.scope).and_then(|at| desired.objects.get(*at));
        claimant.and_then(|it| it.claims.as_ref()).is_some_and(|it| it.covers(&address.key))
    }

    /// What stands in these scopes and is not among `known`.
    pub(super) fn others<'a>(
        &'a self,
        observation: &'a Observation,
        known: &'a HashSet<&Address>,
    ) -> impl Iterator<Item = &'a Address> {
        let views = self.0.keys().filter_map(|it| observation.views.get(it));
        views.flat_map(|it| it.objects.values()).map(|it| &it.address).filter(|it| !known.contains(it))
    }

    /// A word on each claim that nothing came of, as its scope was not seen whole.
    pub(super) fn unseen(&self, desired: &Desired, observation: &Observation) -> Vec<Diagnostic> {
        let mut why: HashMap<usize, Vec<(Arc<str>, String)>> = HashMap::new();
        for (scope, at) in &self.0 {
            let reason = match observation.views.get(scope).map(|it| &it.coverage) {
                Some(Coverage::Whole) => continue,
                Some(Coverage::Partial | Coverage::Named(_)) => "its scope was not read whole".to_owned(),
                Some(Coverage::Failed(why)) => why.clone(),
                None => "it was not observed".to_owned(),
            };
            why.entry(*at).or_default().push((scope.kind.clone(), reason));
        }
        let mut out: Vec<(usize, Diagnostic)> = Vec::new();
        for (at, kinds) in why {
            let Some(want) = desired.objects.get(at) else { continue };
            for (kind, reason) in kinds {
                let text = format!("nothing of kind {kind} is claimed by {}: {reason}", want.resource.local());
                out.push((at, Diagnostic::warning(codes::OBSERVE_FAILED, text).at(want.location.clone())));
            }
        }
        out.sort_by(|a, b| (a.0, &a.1.message).cmp(&(b.0, &b.1.message)));
        out.into_iter().map(|(_, it)| it).collect()
    }
}
