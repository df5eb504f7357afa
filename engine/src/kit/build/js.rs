//! JavaScript: a script of the SDK puts QuickJS, the project and the SDK into one component.

use std::process::Command;

use super::{BuildError, Job, read, run};
use crate::kit::toolchain::js;

/// Builds the file that `entry` names, by default `src/<name>.js`.
pub(super) fn component(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let node = js(job.folder)?;
    let own = format!("src/{}.js", job.project.name);
    let out = job.folder.join("build").join(format!("{}.new.wasm", job.project.name));
    let mut command = Command::new(node);
    command.args(["sdk/build.mjs", job.entry.unwrap_or(&own)]).arg(&out).current_dir(job.folder);
    run(&mut command, "node sdk/build.mjs", job.stop)?;
    let bytes = read(&out);
    let _ = std::fs::remove_file(&out);
    bytes
}
