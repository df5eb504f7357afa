//! Where values come from, and whole documents, for people: what `explain`, `render` and plans show beside a value.

use std::collections::HashMap;

use trueup_core::address::ResourceId;
use trueup_core::diagnostic::{Diagnostic, Location};
use trueup_core::document::{self, Provenance, Resource};
use trueup_core::value::Path;

use super::{Context, Desired, changed, evaluate};

/// Bytes of document files that are read again to say where the values of one plan stand.
const BYTES: usize = 4 << 20;

impl Desired {
    /// Every resource with all layers merged and all expressions evaluated that wait for nothing, sorted by id.
    ///
    /// # Errors
    ///
    /// What evaluating or rendering finds.
    pub async fn resources(&self, context: &Context) -> Result<Vec<Resource>, Vec<Diagnostic>> {
        let all = (0..self.index.files.len()).collect();
        let made = evaluate::evaluate(context, &self.index.files, all, None, None).await.map_err(|it| it.diagnostics)?;
        Ok(made.resources.into_iter().map(|it| it.resource).collect())
    }

    /// Where the values at and below `path` of a resource come from, through layers and references.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn provenance(&self, context: &Context, id: &ResourceId, path: &Path) -> Result<Vec<Provenance>, Vec<Diagnostic>> {
        let all: Vec<usize> = (0..self.index.files.len()).collect();
        evaluate::with_input(context, &self.index.files, all, |input| document::provenance(input, id, path))
    }

    /// The place of every value of these resources, as far as it can be told from their own files and cheaply: nothing
    /// for the rest once 4 MiB of documents were read.
    pub fn places(&self, context: &Context, ids: &[ResourceId]) -> HashMap<ResourceId, Vec<(Path, Location)>> {
        let mut found = HashMap::new();
        let mut budget = BYTES;
        for id in ids {
            let row = self.index.position(id.as_str());
            let Some(row) = row.and_then(|it| u32::try_from(it).ok()) else { continue };
            let files = changed::files_of(&self.index, &[row]);
            let places = evaluate::with_input(context, &self.index.files, files, |input| {
                let bytes: usize = input.layers.iter().flat_map(|it| &it.files).map(|it| it.bytes.len()).sum();
                budget = budget.checked_sub(bytes)?;
                let all = document::provenance(input, id, &Path::default());
                Some(all.into_iter().filter_map(|it| Some((it.path, it.sources.first()?.1.clone()))).collect())
            });
            match places {
                Ok(Some(places)) => {
                    found.insert(id.clone(), places);
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        found
    }
}
