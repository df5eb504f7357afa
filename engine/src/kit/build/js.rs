//! JavaScript: jco puts an engine, the project and the SDK into one component.

use std::process::Command;

use super::{BuildError, Job, read, run};
use crate::kit::toolchain::js;

/// Builds the file that `entry` names, by default `src/<name>.js`.
pub(super) fn component(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let (node, jco) = js(job.folder)?;
    let own = format!("src/{}.js", job.project.name);
    let entry = job.entry.unwrap_or(&own);
    let out = job.folder.join("build").join(format!("{}.tmp.wasm", job.project.name));
    let mut command = Command::new(node);
    command.arg(jco).args(["componentize", entry, "--wit", "sdk/wit", "--world-name", "provider-full", "--disable", "all"]);
    command.arg("--out").arg(&out).current_dir(job.folder);
    run(&mut command, "jco componentize", job.stop)?;
    let bytes = read(&out);
    let _ = std::fs::remove_file(&out);
    bytes
}
