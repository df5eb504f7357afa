//! Documents that wait for the status of others, made with what is known of it.

use std::collections::HashSet;
use std::sync::Arc;

use trueup_core::address::ResourceId;
use trueup_core::diagnostic::codes;
use trueup_core::document::Resource;
use trueup_core::value::Json;

use super::PassError;
use crate::desired::{self, Context, Desired};

/// Documents of waiting resources with the statuses that are known. An output that is not there stays unknown where its
/// resource has a `wait-for`: who reads it begins once that holds, and what is there by then counts.
pub(super) fn resolve(
    context: &Context,
    wanted: &Desired,
    status: &dyn Fn(&ResourceId) -> Option<Json>,
) -> Result<Vec<(ResourceId, Arc<Json>)>, PassError> {
    let mut filled = Vec::new();
    let mut errors = Vec::new();
    let make = |resource: &Resource, status: &dyn Fn(&ResourceId) -> Option<Json>| {
        desired::resolve(resource, status, context.secrets.as_deref(), &context.sealer)
    };
    let awaited = wanted.objects.iter().filter(|it| it.settings.wait_for.is_some());
    let awaited: HashSet<&ResourceId> = awaited.map(|it| &it.resource).collect();
    let later = |id: &ResourceId| status(id).filter(|_| !awaited.contains(id));
    for (id, resource) in &wanted.waiting {
        let reads_later = || resource.after.iter().any(|it| awaited.contains(it));
        let made = match make(resource, status) {
            Err(error) if error.code == codes::EXPRESSION_UNDEFINED && reads_later() => make(resource, &later),
            made => made,
        };
        match made {
            Ok(made) => filled.push((id.clone(), made.doc)),
            Err(error) => errors.push(error),
        }
    }
    filled.sort_by(|one, other| one.0.cmp(&other.0));
    if errors.is_empty() { Ok(filled) } else { Err(PassError::Documents(errors)) }
}
