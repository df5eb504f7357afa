//! `--record`: a run's own recording, from its beginning to its end.

use std::path::Path;
use std::sync::Arc;

use trueup_core::diagnostic::codes;

use super::Shell;
use super::error::CliError;
use super::session::Session;
use crate::blobs::BlobTable;
use crate::output::clean::clean;
use crate::output::json::Plan;
use crate::pass::Surroundings;
use crate::recording::{End, Recorder, RecordingError, Start, Tape};

/// What `--record` asked for: nothing, where it was not given.
pub struct Recorded(Option<Arc<Recorder>>);

impl Recorded {
    pub fn new(file: Option<&Path>) -> Self {
        Self(file.map(|it| Arc::new(Recorder::new(it.to_owned()))))
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// For the engine.
    pub fn tape(&self) -> Option<Tape> {
        self.0.clone().map(Tape::Recorder)
    }

    /// Takes what the run stands on, before it looks at anything.
    pub fn start(&self, session: &Session, around: &Surroundings, command: &str) -> Result<(), CliError> {
        let Some(recorder) = &self.0 else { return Ok(()) };
        let folder = recorder.path().parent().filter(|it| !it.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|it| !it.is_dir()) {
            let text = format!("there is no folder `{}` to record in", folder.display());
            return Err(CliError::new(codes::RECORDING, text).hint("make it, or name another file; nothing was done"));
        }
        let start = Start::take(&session.engine, &session.environment, around, command);
        recorder.start(start.map_err(|error| failed(recorder, &error))?, around);
        Ok(())
    }

    /// Writes the file. The run is over by now, whatever comes of it.
    pub fn finish(
        &self,
        session: &Session,
        blobs: &BlobTable,
        plan: &Plan,
        outcomes: Vec<String>,
        shell: &mut Shell<'_>,
    ) -> Result<(), CliError> {
        let Some(recorder) = &self.0 else { return Ok(()) };
        let end = End { plan: plan.clone(), outcomes };
        recorder.finish(blobs, &session.engine.snapshot, &end).map_err(|error| failed(recorder, &error))?;
        let file = recorder.path().display().to_string();
        shell.output.note(&format!(
            "recorded in {}; it holds documents and observations; secrets and credentials are cut out\n",
            clean(&file)
        ));
        Ok(())
    }
}

fn failed(recorder: &Recorder, error: &RecordingError) -> CliError {
    let text = format!("the run cannot be recorded in `{}`: {error}", recorder.path().display());
    let failure = CliError::new(codes::RECORDING, text);
    match error {
        RecordingError::Secret(_) | RecordingError::Sensitive | RecordingError::Sealed(_) => failure
            .hint("no file was written, and what the run did stands; record one of a provider, or against a server, without it"),
        _ => failure,
    }
}
