//! Rust: cargo makes components by itself.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use super::process::Running;
use super::{BuildError, Job, io_of, read, run};
use crate::kit::toolchain::{WASM, rust};

/// Bytes of what cargo tells of what it built.
const TOLD: u64 = 64 << 20;

/// Builds the library of the folder's package, and then what the test's server is made of, so that this starts at once.
pub(super) fn component(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let cargo = rust(job.folder)?;
    let name = "cargo build";
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--lib", "--target", WASM, "--message-format", "json-render-diagnostics"]);
    command.arg("--config").arg(format!("target.{WASM}.rustflags=[{}]", remaps(job.folder).join(",")));
    command.current_dir(job.folder).stdout(Stdio::piped());
    let mut running = Running::start(&mut command, job.stop).map_err(|error| io_of(name, error))?;
    let mut told = String::new();
    if let Some(stdout) = running.child().stdout.take() {
        // Ends when cargo does; a stop ends cargo.
        stdout.take(TOLD).read_to_string(&mut told).map_err(|error| io_of(name, error))?;
    }
    let status = running.wait().map_err(|error| io_of(name, error))?;
    if !status.success() {
        return Err(BuildError::Failed { program: name.to_owned(), status });
    }
    let file = artifact(&told).ok_or_else(|| {
        let text = "cargo built no component: the library's `crate-type` in Cargo.toml must hold \"cdylib\"";
        BuildError::Nothing(text.to_owned())
    })?;
    let bytes = read(&file)?;
    if let Some(arguments) = server(job) {
        run(Command::new(&cargo).args(arguments).current_dir(job.folder), name, job.stop)?;
    }
    Ok(bytes)
}

/// Settings that keep the paths of this machine out of the component: whoever builds the same source elsewhere gets the same bytes,
/// and nobody's home is handed on.
fn remaps(folder: &Path) -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = home.iter().flat_map(|it| std::fs::read_dir(it.join("registry/src"))).flatten().flatten();
    let mut all: Vec<(PathBuf, &str)> = sources.map(|it| (it.path(), "/crates")).collect();
    all.extend(folder.canonicalize().ok().map(|it| (it, "/plugin")));
    let all = all.iter().filter_map(|(path, shown)| Some((path.to_str()?, shown)));
    // As a string of TOML; what its quoting cannot hold is left as it is.
    all.filter(|(path, _)| !path.contains(['"', '\\', '=']) && !path.chars().any(char::is_control))
        .map(|(path, shown)| format!("\"--remap-path-prefix={path}={shown}\""))
        .collect()
}

/// The component among the files that cargo says it built: the last one, as what others depend on comes first.
fn artifact(told: &str) -> Option<PathBuf> {
    let wasm = |line: &str| {
        let message: Json = serde_json::from_str(line).ok()?;
        let files = message.get("filenames")?.as_array()?;
        let file = files.iter().filter_map(Json::as_str).find(|it| it.ends_with(".wasm"))?;
        Some(PathBuf::from(file))
    };
    told.lines().filter_map(wasm).next_back()
}

/// `cargo build` of what `cargo run` of the test's server would build.
fn server<'a>(job: &Job<'a>) -> Option<Vec<&'a str>> {
    let command = &job.project.test.as_ref()?.server.as_ref()?.command;
    let mut words = command.iter().map(String::as_str);
    if words.next() != Some("cargo") || words.next() != Some("run") {
        return None;
    }
    Some(std::iter::once("build").chain(words.take_while(|it| *it != "--")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_last_wasm_file_that_cargo_names() {
        let told = r#"{"reason":"compiler-artifact","filenames":["/t/libserde.rlib"]}
{"reason":"compiler-artifact","filenames":["/t/dependency.wasm"]}
{"reason":"compiler-artifact","filenames":["/t/plugin.wasm","/t/libplugin.rlib"]}
no JSON
{"reason":"build-finished","success":true}
"#;
        assert_eq!(artifact(told), Some(PathBuf::from("/t/plugin.wasm")));
        assert_eq!(artifact(""), None);
    }
}
