//! A closer look at objects that matter after all, though nobody declared them when they were observed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use trueup_core::address::{Address, Scope};
use trueup_host as host;

use super::{Observation, Remembered, remember};
use crate::patience;
use crate::veil::Veil;

/// Asks for the documents of objects that nobody declared when they were observed, and that are compared now.
pub async fn look_closer(
    context: &crate::desired::Context,
    observation: &mut Observation,
    addresses: &[Address],
    veils: &HashMap<Address, Veil>,
) {
    let nothing = Veil::default();
    let mut by_provider: BTreeMap<Arc<str>, Vec<host::Lookup>> = BTreeMap::new();
    for address in addresses {
        let Some(object) = observation.object(address).filter(|it| it.doc.is_none()) else { continue };
        let lookup = host::Lookup { identity: Some(object.identity.to_string()), ..host::Lookup::new(address.clone()) };
        by_provider.entry(address.scope.provider.clone()).or_default().push(lookup);
    }
    let reads = by_provider.into_iter().filter_map(|(alias, lookups)| {
        let bound = context.providers.get(&alias)?;
        let asked: Vec<Address> = lookups.iter().map(|it| it.address.clone()).collect();
        Some(async move { (asked, patience::read(bound, context.now, lookups).await) })
    });
    for (asked, answers) in join_all(reads).await {
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                // Half seen is not seen: the scopes count as unread, and say why.
                let why = context.sealer.mask(&error.to_string());
                let scopes = asked.into_iter().map(|it| it.scope).collect::<BTreeSet<_>>().into_iter().collect();
                observation.views.extend(Observation::failed(scopes, &why).views);
                continue;
            }
        };
        let mut learnt: BTreeMap<Scope, Vec<Remembered>> = BTreeMap::new();
        for (address, answer) in asked.into_iter().zip(answers) {
            let host::Observation::Found(remote) = answer else { continue };
            let veil = veils.get(&address).unwrap_or(&nothing);
            let mut seen = remember(&context.sealer, address.clone(), *remote, Some(veil));
            if let Some(place) = observation.views.get_mut(&address.scope).and_then(|view| view.objects.get_mut(&address.key)) {
                seen.observed.unclaimed |= place.unclaimed;
                *place = seen.with_doc();
                learnt.entry(address.scope).or_default().push(seen);
            }
        }
        learnt.into_iter().for_each(|(scope, seen)| observation.learn(&scope, seen));
    }
}
