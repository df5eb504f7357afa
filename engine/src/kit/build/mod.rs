//! `trueup plugin build`: from a project's sources to its component, by the language's own tools.
//!
//! The tools' messages go to standard error as they come. What is built lies in `build/<name>.wasm`, whole or not at all:
//! it is written beside and renamed. Nothing here loads it.

mod js;
pub mod process;
mod python;
mod rust;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use self::process::{Running, Stop, to_stderr};
use super::project::{Build, Language, PluginProject};
use super::toolchain::{self, Missing};
use super::wrap;
use crate::engine::read_component;
use crate::private::beside;

/// Why there is no component.
#[derive(Debug)]
pub enum BuildError {
    /// A tool is missing.
    Missing(Missing),
    /// A tool ended with an error of its own; its messages were shown.
    Failed { program: String, status: ExitStatus },
    /// A tool ended well and left nothing where the component was to be. The text says what was looked for.
    Nothing(String),
    /// The module does not fit the contract. The text says why.
    Unfit(String),
    /// The system refused. The text says what was tried.
    Io(String, io::Error),
    /// Stopped by a person.
    Interrupted,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => f.write_str(&missing.what),
            Self::Failed { program, status } => write!(f, "`{program}` failed ({status}); its messages stand above"),
            Self::Nothing(text) | Self::Unfit(text) => f.write_str(text),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Interrupted => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Missing(_) | Self::Failed { .. } | Self::Nothing(_) | Self::Unfit(_) | Self::Interrupted => None,
        }
    }
}

impl From<Missing> for BuildError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

/// What every language's build gets.
struct Job<'a> {
    /// The project's folder, absolute.
    folder: &'a Path,
    project: &'a PluginProject,
    /// The entry that the project names, if it does.
    entry: Option<&'a str>,
    stop: &'a Stop,
}

/// Builds the project of a folder and gives the component's path.
///
/// # Errors
///
/// See [`BuildError`]; a component of an earlier build then stands as it was.
pub fn build(folder: &Path, project: &PluginProject, stop: &Stop) -> Result<PathBuf, BuildError> {
    let folder = folder.canonicalize().map_err(|error| BuildError::Io(format!("cannot open {}", folder.display()), error))?;
    let target = folder.join(project.component());
    match &project.build {
        Build::Command { command, component } => {
            let (program, arguments) = command.split_first().ok_or_else(|| BuildError::Nothing("there is no command".into()))?;
            run(Command::new(program).args(arguments).current_dir(&folder), program, stop)?;
            // One that was there before will do: a tool that has nothing to do leaves it as it is.
            if !target.is_file() {
                return Err(BuildError::Nothing(format!("`{program}` did not write `{component}`")));
            }
        }
        Build::Language { language, entry } => {
            let place = folder.join("build");
            fs::create_dir_all(&place).map_err(|error| BuildError::Io(format!("cannot make {}", place.display()), error))?;
            let job = Job { folder: &folder, project, entry: entry.as_deref(), stop };
            let bytes = match language {
                Language::Rust => rust::component(&job)?,
                Language::Python => python::component(&job)?,
                Language::Js => js::component(&job)?,
                Language::Go => go(&job)?,
            };
            write(&target, &bytes)?;
        }
    }
    Ok(target)
}

/// Replaces the component by a whole one; the same bytes leave it alone.
fn write(target: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if read_component(target).is_ok_and(|it| it == bytes) {
        return Ok(());
    }
    let failed = |error| BuildError::Io(format!("cannot write {}", target.display()), error);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let temporary = beside(target);
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, target));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

/// Runs a tool whose output is for people; `name` is what messages call it.
fn run(command: &mut Command, name: &str, stop: &Stop) -> Result<(), BuildError> {
    command.stdout(to_stderr().map_err(|error| io_of(name, error))?);
    let status = Running::start(command, stop).and_then(|mut it| it.wait()).map_err(|error| io_of(name, error))?;
    if status.success() { Ok(()) } else { Err(BuildError::Failed { program: name.to_owned(), status }) }
}

fn io_of(program: &str, error: io::Error) -> BuildError {
    match error.kind() {
        io::ErrorKind::Interrupted => BuildError::Interrupted,
        io::ErrorKind::NotFound => BuildError::Missing(Missing {
            what: format!("there is no `{program}` on the PATH"),
            install: "install it, or change `build` in plugin.yaml".to_owned(),
        }),
        _ => BuildError::Io(format!("cannot run `{program}`"), error),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, BuildError> {
    read_component(file).map_err(|error| BuildError::Io(format!("cannot read {}", file.display()), error))
}

/// Go builds a core module for preview 1; the kit makes the component of it.
fn go(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let go = toolchain::go(job.folder)?;
    let core = job.folder.join("build").join(format!("{}.core.wasm", job.project.name));
    let mut command = Command::new(go);
    command.args(["build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w", "-o"]).arg(&core).arg(".");
    command.current_dir(job.folder).env("GOOS", "wasip1").env("GOARCH", "wasm");
    run(&mut command, "go build", job.stop)?;
    wrap::component(&read(&core)?).map_err(|error| BuildError::Unfit(error.to_string()))
}
