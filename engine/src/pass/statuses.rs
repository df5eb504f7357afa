//! Documents that wait for the status of others, made with what is known of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use trueup_core::address::ResourceId;
use trueup_core::diagnostic::codes;
use trueup_core::document::Resource;
use trueup_core::plan::Unmade;
use trueup_core::value::Json;

use super::PassError;
use crate::desired::{self, Context, Desired};

/// What statuses made of the documents that wait for them.
#[derive(Default)]
pub(super) struct Filled {
    pub documents: Vec<(ResourceId, Arc<Json>)>,
    /// These read an output that is not there, of resources that nobody waits for.
    pub unmade: BTreeMap<ResourceId, Unmade>,
}

/// Documents of waiting resources with the statuses that are known.
///
/// An output that is not there stays unknown where its resource has a `wait-for`: who reads it begins once that holds, and what
/// is there by then counts. Elsewhere nothing says that it will ever come, so that who reads it is refused, and only that.
pub(super) fn resolve(
    context: &Context,
    wanted: &Desired,
    status: &dyn Fn(&ResourceId) -> Option<Json>,
) -> Result<Filled, PassError> {
    let mut out = Filled::default();
    let mut errors = Vec::new();
    let make = |resource: &Resource, status: &dyn Fn(&ResourceId) -> Option<Json>| {
        desired::resolve(resource, status, context.secrets.as_deref(), &context.sealer)
    };
    let awaited = wanted.objects.iter().filter(|it| it.settings.wait_for.is_some());
    let awaited: HashSet<&ResourceId> = awaited.map(|it| &it.resource).collect();
    let later = |id: &ResourceId| status(id).filter(|_| !awaited.contains(id));
    for (id, resource) in &wanted.waiting {
        let made = make(resource, status).or_else(|error| {
            let retry = error.code == codes::EXPRESSION_UNDEFINED && resource.after.iter().any(|it| awaited.contains(it));
            if retry { make(resource, &later) } else { Err(error) }
        });
        match made {
            Ok(made) => out.documents.push((id.clone(), made.doc)),
            Err(error) if error.code == codes::EXPRESSION_UNDEFINED => {
                let unmade = Unmade { code: error.code, reason: error.message, hint: error.hint };
                out.unmade.insert(id.clone(), unmade);
            }
            Err(error) => errors.push(error),
        }
    }
    out.documents.sort_by(|one, other| one.0.cmp(&other.0));
    if errors.is_empty() { Ok(out) } else { Err(PassError::Documents(errors)) }
}
