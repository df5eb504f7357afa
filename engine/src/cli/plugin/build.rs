//! `trueup plugin build`: the component of a plugin's project, built, loaded as the engine would, and pinned for its example.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use trueup_core::diagnostic::codes;
use trueup_core::value::Digest;
use trueup_host as host;

use super::arguments::BuildArgs;
use super::supply::{sandbox, write_lock};
use crate::cli::Shell;
use crate::cli::error::{CliError, Texts};
use crate::cli::exit::Exit;
use crate::config::{lock, project, tree};
use crate::engine::read_component;
use crate::kit::build::process::Stop;
use crate::kit::build::{BuildError, build};
use crate::kit::project::PluginProject;
use crate::output::clean::clean;
use crate::output::style::{Style, Tone};
use crate::output::value::bytes;
use crate::regular;

/// The folder of a plugin's project that holds a project which uses it.
pub const EXAMPLE: &str = "example";

/// A plugin's project, where it lies, and what it says.
pub struct Opened {
    /// Absolute.
    pub folder: PathBuf,
    pub project: PluginProject,
}

/// What a build came to.
pub struct Built {
    pub plugin: host::Plugin,
    /// Absolute.
    pub component: PathBuf,
    /// Whether the example's lock now pins other bytes than before.
    pub pinned: bool,
    pub seconds: f64,
}

pub async fn run(arguments: &BuildArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let opened = open(shell, arguments.folder.as_deref())?;
    let stop = Stop::default();
    let stopping = stop.clone();
    let working = shell.interrupt.working(move || stopping.stop());
    let built = component(&opened, &stop, shell).await;
    drop(working);
    let built = match built {
        Err(_) if stop.is_stopped() => return Ok(Exit::Interrupted),
        built => built?,
    };
    if shell.output.format.is_object() {
        let manifest = built.plugin.manifest();
        let kinds: Vec<&str> = manifest.kinds.keys().map(String::as_str).collect();
        shell.output.object(&json!({
            "format": "trueup.build/1", "name": manifest.name, "version": manifest.version,
            "component": built.component.to_string_lossy(), "sha256": built.plugin.digest().to_string(),
            "size": built.plugin.size(), "seconds": built.seconds, "kinds": kinds, "pinned": built.pinned,
        }))?;
        return Ok(Exit::Fine);
    }
    let text = head(&opened, &built, &shell.output.style);
    shell.output.print(&text);
    Ok(Exit::Fine)
}

/// Opens the project of a folder, by default of the one that `-C` names, else of this one.
pub fn open(shell: &Shell<'_>, folder: Option<&Path>) -> Result<Opened, CliError> {
    let base = shell.global.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = folder.map_or_else(|| base.clone(), |it| base.join(it));
    let folder = folder.canonicalize().map_err(|error| {
        CliError::new(codes::PLUGIN_PROJECT, format!("cannot open the folder `{}`: {error}", folder.display()))
    })?;
    match PluginProject::open(&folder) {
        Ok((project, _)) => Ok(Opened { folder, project }),
        Err((findings, bytes)) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let texts = Texts::new(move |file| (file == crate::kit::project::FILE).then(|| text.clone()));
            Err(CliError::from_diagnostics(findings).texts(texts))
        }
    }
}

/// Builds the component, loads it as the engine would, and pins it for the example.
pub async fn component(opened: &Opened, stop: &Stop, shell: &mut Shell<'_>) -> Result<Built, CliError> {
    let begun = Instant::now();
    shell.output.note(&format!("building {}\n", opened.project.component()));
    let component = build(&opened.folder, &opened.project, stop).map_err(|error| refused(&error))?;
    let seconds = begun.elapsed().as_secs_f64();
    let plugin = load(&component).await?;
    let named = plugin.manifest().name.clone();
    if named != opened.project.name {
        let text = format!("the plugin calls itself `{}`, and plugin.yaml `{}`\n", clean(&named), opened.project.name);
        shell.output.note(&text);
    }
    let pinned = pin(&opened.folder, &component, plugin.digest())?;
    Ok(Built { plugin, component, pinned, seconds })
}

/// Why there is no component, and what to do.
fn refused(error: &BuildError) -> CliError {
    let failure = CliError::new(codes::PLUGIN_BUILD, error.to_string());
    match error {
        BuildError::Missing(missing) => failure.hint(format!("install it: {}", missing.install)),
        BuildError::Unfit(_) => failure.hint("the SDK in sdk/ exports all that the contract wants: was it changed?"),
        BuildError::Interrupted => failure.exit(Exit::Interrupted),
        BuildError::Failed { .. } | BuildError::Nothing(_) | BuildError::Io(..) => failure,
    }
}

/// The component as the engine takes it: compiled, linked, and its manifest judged.
async fn load(component: &Path) -> Result<host::Plugin, CliError> {
    let failed = |text: String| CliError::new(codes::PLUGIN_LOAD, text);
    let wasm = read_component(component).map_err(|error| failed(format!("cannot read {}: {error}", component.display())))?;
    let loaded = sandbox()?.load(&wasm).await;
    loaded.map_err(|error| failed(format!("{} was built, and is refused: {error}", component.display())))
}

/// Pins the component in the lock of the example, for every provider there that uses it. Whether the lock changed.
fn pin(folder: &Path, component: &Path, digest: &Digest) -> Result<bool, CliError> {
    let example = folder.join(EXAMPLE);
    let Ok(text) = regular::read(&example.join(project::FILE), tree::BYTES as u64) else { return Ok(false) };
    // What is wrong with it is said by the verbs that use it, with lines and carets.
    let Ok(project) = project::Project::parse(project::FILE, &text) else { return Ok(false) };
    let file = example.join(lock::FILE);
    let mut lock = match regular::read(&file, tree::BYTES as u64) {
        Ok(bytes) => lock::Lock::parse(&bytes).map_err(|finding| CliError::from_diagnostics(vec![*finding]))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => lock::Lock::default(),
        // What it pins is not replaced by what nobody could hold against it.
        Err(error) => return Err(CliError::new(codes::LOCK, format!("cannot read {}: {error}", file.display()))),
    };
    let before = lock.clone();
    let providers = project.providers.values().chain(project.environments.values().flat_map(|it| it.providers.values()));
    for provider in providers {
        let project::PluginRef::Path(path) = &provider.plugin else { continue };
        if example.join(path).canonicalize().is_ok_and(|it| it == component) {
            lock.plugins.insert(path.clone(), (*digest).into());
        }
    }
    if lock == before {
        return Ok(false);
    }
    write_lock(&example, &lock)?;
    Ok(true)
}

/// What was built, for people.
pub fn head(opened: &Opened, built: &Built, style: &Style) -> String {
    let manifest = built.plugin.manifest();
    let kinds: Vec<&str> = manifest.kinds.keys().map(String::as_str).collect();
    let component = built.component.strip_prefix(&opened.folder).unwrap_or(&built.component);
    let title = format!("{} {}", clean(&manifest.name), clean(&manifest.version));
    format!(
        "{}  {}, {}, in {:.1} s\n  sha256   {}{}\n  kinds    {}\n",
        style.paint(Tone::Strong, title),
        clean(&component.to_string_lossy()),
        bytes(built.plugin.size()),
        built.seconds,
        built.plugin.digest(),
        if built.pinned { "  (now in example/trueup.lock)" } else { "" },
        clean(&kinds.join(", ")),
    )
}
