//! Documents that are in no revision yet, and what they would come to: evaluated and rendered as those of the environment's last
//! layer, on their own.

use std::ops::Range;
use std::sync::Arc;

use trueup_core::address::{Address, ResourceId};
use trueup_core::diagnostic::Diagnostic;
use trueup_core::document::{self, FileInput, LayerInput, NoBlob};
use trueup_core::value::Json;

use super::{Context, evaluate};

/// What one document would come to.
#[derive(Clone, Debug)]
pub struct Tried {
    pub id: ResourceId,
    /// Objects with their canonical documents.
    pub objects: Vec<(Address, Arc<Json>)>,
}

/// One answer for each text, each of which is one document; the error is for people. Texts that are wrong keep the others from
/// nothing: a set that fails is tried in halves.
pub async fn try_out(context: &Context, texts: &[String]) -> Vec<Result<Tried, String>> {
    let mut answers: Vec<Result<Tried, String>> = texts.iter().map(|_| Err("it was not tried".to_owned())).collect();
    let mut todo: Vec<Range<usize>> = std::iter::once(0..texts.len()).collect();
    while let Some(range) = todo.pop().filter(|it| !it.is_empty()) {
        match together(context, texts, range.clone()).await {
            Ok(tried) => {
                for (at, it) in tried {
                    if let Some(answer) = answers.get_mut(at) {
                        *answer = Ok(it);
                    }
                }
            }
            Err(found) if range.len() == 1 => {
                let text = found.iter().find(|it| it.is_error()).map(|it| it.message.clone()).unwrap_or_default();
                answers.get_mut(range.start).into_iter().for_each(|it| *it = Err(format!("no document can say it: {text}")));
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                todo.extend([middle..range.end, range.start..middle]);
            }
        }
    }
    answers
}

/// All documents of the range at once, each with its position.
async fn together(context: &Context, texts: &[String], range: Range<usize>) -> Result<Vec<(usize, Tried)>, Vec<Diagnostic>> {
    let files = range.clone().filter_map(|at| {
        let bytes = texts.get(at)?.as_bytes().into();
        Some(FileInput { index: u32::try_from(at).ok()?, path: format!("{at}.yaml").into(), bytes })
    });
    let layers = [LayerInput { name: context.layers.last().cloned().unwrap_or_default(), files: files.collect() }];
    let providers = evaluate::providers(context);
    let blobs = |_: &str| Err(NoBlob::Missing);
    let evaluation = document::evaluate(&evaluate::input(context, &providers, &layers, &blobs, None), None);
    if evaluation.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(evaluation.diagnostics);
    }
    let rendering = evaluate::render(context, evaluation.resources).await;
    let rendering = rendering.map_err(|wrong| wrong.into_iter().map(|it| it.finding).collect::<Vec<_>>());
    let evaluate::Rendering { resources, halted } = rendering?;
    if !halted.is_empty() {
        return Err(halted.values().map(|it| Diagnostic::error(it.code, it.reason.clone())).collect());
    }
    let tried = resources.into_iter().filter_map(|made| {
        let at = *made.resource.files.first()? as usize;
        let objects = made.objects.into_iter().map(|it| (it.address, it.document)).collect();
        Some((at, Tried { id: made.resource.id, objects }))
    });
    Ok(tried.collect())
}
