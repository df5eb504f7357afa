//! Python: componentize-py puts the interpreter, the project and the SDK into one component.

use std::process::Command;

use super::{BuildError, Job, read, run};
use crate::kit::toolchain::python;

/// Builds the module that `entry` names, by default the project's name with `_` for `-`.
pub(super) fn component(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let tool = python(job.folder)?;
    let own = job.project.name.replace('-', "_");
    let entry = job.entry.map_or(own.as_str(), |it| it.strip_suffix(".py").unwrap_or(it));
    let out = job.folder.join("build").join(format!("{}.tmp.wasm", job.project.name));
    let mut command = Command::new(tool);
    command.args(["--wit-path", "sdk/wit", "--world", "provider-full", "componentize", "--stub-wasi"]);
    command.args(["--python-path", ".", "--python-path", "sdk", "--output"]).arg(&out).arg(entry).current_dir(job.folder);
    run(&mut command, "componentize-py", job.stop)?;
    let bytes = read(&out);
    let _ = std::fs::remove_file(&out);
    bytes
}
