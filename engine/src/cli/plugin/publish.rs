//! `trueup plugin publish`: a component that describes itself, into a registry, signed where a key is given.

use std::path::{Path, PathBuf};

use serde_json::json;
use trueup_core::diagnostic::codes;

use super::distribution::PublishArgs;
use super::supply::{described, place, sandbox, signing_key};
use crate::cli::Shell;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::engine::read_component;
use crate::kit::project::PluginProject;
use crate::output::clean::clean;
use crate::registry::{Interfaces, Packed, Pushed, Reference};

pub async fn run(arguments: &PublishArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let (path, text) = match arguments.what.as_slice() {
        [text] => (Path::new("."), text),
        [path, text] => (Path::new(path), text),
        _ => return Err(CliError::usage("give a path, or none, and a reference")),
    };
    let reference = Reference::parse(text)?;
    if reference.digest.is_some() {
        return Err(CliError::usage("a digest follows from what is published").hint("name a tag alone"));
    }
    // Before anything is sent.
    let key = arguments.key.as_deref().map(signing_key).transpose()?;
    let file = component(path)?;
    let failed = |error: std::io::Error| CliError::new(codes::PLUGIN_LOAD, format!("`{}`: {error}", file.display()));
    let wasm = read_component(&file).map_err(failed)?;
    let plugin = described(&sandbox()?, &wasm, &file.to_string_lossy()).await?;
    let interfaces = Interfaces { imports: plugin.imports().to_vec(), exports: plugin.exported().to_vec() };
    let contract = interfaces.exports.iter().find_map(|it| it.strip_prefix("trueup:provider/")?.split_once('@'));
    let world = contract.map(|(_, version)| format!("trueup:provider/provider@{version}"));
    let manifest = plugin.manifest();
    let packed = Packed::new(wasm, &manifest.name, &manifest.version, &interfaces, world.as_deref());
    let mut place = place(shell, &reference, None)?;
    let pushed = place.publish(&reference, &packed, arguments.move_tag).await?;
    let signed = match &key {
        Some(key) => Some(place.sign(&reference, &packed.digest, key).await?),
        None => None,
    };
    if shell.output.format.is_object() {
        shell.output.object(&json!({
            "format": "trueup.plugin-publish/1", "plugin": reference.to_string(), "name": manifest.name, "version": manifest.version,
            "sha256": plugin.digest().to_string(), "manifest": packed.digest.to_string(), "changed": pushed == Pushed::New,
            "signed": key.as_ref().map(|it| it.public().fingerprint().to_string()),
        }))?;
        return Ok(Exit::Fine);
    }
    let word = match pushed {
        Pushed::New => "published",
        Pushed::Known => "there already, just so",
    };
    let title = format!("{} {}", manifest.name, manifest.version);
    shell.output.print(&format!(
        "{}: {word} as {}\n  manifest sha256:{}\n",
        clean(&title),
        clean(&reference.to_string()),
        packed.digest
    ));
    match (signed, &key) {
        (Some(_), Some(key)) => shell.output.print(&format!("  signed by key {}\n", key.public().fingerprint())),
        _ => shell.output.note(
            "not signed by this: --key, or `trueup plugin sign`, does that; without a signature others need --allow-unsigned\n",
        ),
    }
    Ok(Exit::Fine)
}

/// The component that a path means: itself, or what the project in that folder built.
fn component(path: &Path) -> Result<PathBuf, CliError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let (project, _) = PluginProject::open(path).map_err(|(findings, _)| CliError::from_diagnostics(findings))?;
    let built = path.join(project.component());
    if built.is_file() {
        return Ok(built);
    }
    let text = format!("`{}` is not there: the project is not built", built.display());
    Err(CliError::new(codes::PLUGIN_LOAD, text).hint("`trueup plugin build` makes it; or name the component itself"))
}
