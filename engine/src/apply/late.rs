//! Documents that waited for a status, made again once it is known; [`plan::settle`] then says what the step has become.

use std::sync::Arc;

use trueup_core::address::ResourceId;
use trueup_core::diagnostic::{Diagnostic, Severity, codes};
use trueup_core::document::Resource;
use trueup_core::plan::{self, Late, Step};
use trueup_core::schema;
use trueup_core::value::{Json, Marker, marker};
use trueup_host as host;

use super::{Ended, Work, failed};
use crate::desired;
use crate::engine::{Bound, code_of};

/// The step with no unknown left in its document.
///
/// # Errors
///
/// Gives how the step ends instead: failed where the document cannot be made, moved where it is no longer what was planned,
/// unchanged where the object already is as wanted.
pub(super) async fn fill(work: &Work, bound: &Bound, step: &Step) -> Result<Step, Ended> {
    if !step.desired.as_deref().is_some_and(has_unknown) {
        return Ok(step.clone());
    }
    let Some(resource) = work.waiting.get(&step.resource) else {
        return Err(failed(step, codes::STEP_FAILED, "its document waits for a status that nothing gives"));
    };
    let status = |id: &ResourceId| work.status(id).map(|it| (*it).clone());
    let resolved = desired::resolve(resource, &status, work.secrets.as_deref(), &work.sealer).map_err(Ended::Failed)?;
    let document = resolved.doc;
    let findings = schema::validate(&document, &resource.kind, &|_| Some(resource.location.clone()));
    if let Some(error) = findings.into_iter().find(Diagnostic::is_error) {
        return Err(Ended::Failed(error));
    }
    let document = render(work, bound, step, resource, document).await?;
    let settings = &resource.settings;
    match plan::settle(step, &document, work.applied.get(&step.address).map(|it| &**it), &resource.kind, settings) {
        Late::Ready(step) => Ok(*step),
        Late::Unchanged => Err(Ended::Unchanged),
        Late::Moved(why) => Err(Ended::Moved(why)),
    }
}

async fn render(work: &Work, bound: &Bound, step: &Step, resource: &Resource, document: Arc<Json>) -> Result<Arc<Json>, Ended> {
    if !bound.renders() {
        return Ok(document);
    }
    let address = crate::desired::natural_address(resource, &document);
    let declared = host::Declared { address, doc: Arc::new(work.sealer.to_handles(&document)) };
    let answers = bound.provider.render(&bound.call(work.now), vec![declared]).await;
    let mut answers = answers
        .map_err(|error| failed(step, code_of(error.fault(), codes::PLUGIN_CALL), work.sealer.mask(&error.to_string())))?;
    let rendered = answers.pop().ok_or_else(|| failed(step, codes::PLUGIN_CONTRACT, "the plugin rendered nothing"))?;
    if let Some(error) = rendered.findings.iter().find(|it| it.severity == Severity::Error) {
        return Err(failed(step, codes::RENDER, work.sealer.mask(&error.summary)));
    }
    let object = rendered.objects.into_iter().find(|it| bound.keyed(&work.environment, it.address.clone()) == step.address);
    let object = object.ok_or_else(|| Ended::Moved("with its unknowns known it renders to another object".to_owned()))?;
    let document = work.sealer.from_handles(&object.doc);
    Ok(Arc::new(work.sealer.take_plain(&document, &resource.kind.hints.plain).unwrap_or(document)))
}

/// Whether an unknown stands anywhere in a document.
pub(crate) fn has_unknown(document: &Json) -> bool {
    let mut todo = vec![document];
    while let Some(value) = todo.pop() {
        if matches!(marker(value), Some(Marker::Unknown(_))) {
            return true;
        }
        match value {
            Json::Object(map) => todo.extend(map.values()),
            Json::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    false
}
