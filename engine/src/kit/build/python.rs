//! Python: componentize-py puts the interpreter, the project and the SDK into one component.

use std::process::Command;

use super::{BuildError, Job, read, run};
use crate::kit::toolchain::python;

/// Builds the module that `entry` names, by default the project's name with `_` for `-`.
pub(super) fn component(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let tool = python(job.folder)?;
    let own = job.project.name.replace('-', "_");
    let entry = job.entry.map_or(own.as_str(), |it| it.strip_suffix(".py").unwrap_or(it));
    let out = job.folder.join("build").join(format!("{}.new.wasm", job.project.name));
    let mut command = Command::new(tool);
    command.args(["-q", "-d", "sdk/wit", "-w", "provider-full", "componentize", "--stub-wasi", "-p", ".", "-p", "sdk", entry]);
    command.arg("-o").arg(&out).current_dir(job.folder);
    // Packages come from the project's own environment, and from no other that happens to be active.
    let own = job.folder.join(".venv");
    command.env("VIRTUAL_ENV", if own.is_dir() { own.as_os_str() } else { "".as_ref() });
    run(&mut command, "componentize-py", job.stop)?;
    let bytes = read(&out);
    let _ = std::fs::remove_file(&out);
    bytes
}
