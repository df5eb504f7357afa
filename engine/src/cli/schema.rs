//! `trueup schema`: the kinds of an environment's providers, and pinning those of their systems.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use trueup_core::diagnostic::codes;
use trueup_core::manifest::Kind;
use trueup_core::plan::Options;
use trueup_core::value::Digest;

use super::Shell;
use super::arguments::SchemaArgs;
use super::error::CliError;
use super::exit::Exit;
use super::plugin::show::kind_text;
use super::plugin::supply::write_lock;
use super::session::Session;
use crate::desired::Context;
use crate::engine::{Reading, kinds};
use crate::output::clean::clean;
use crate::output::value::count;

/// Folder of pinned schemas, beside the lock.
const FOLDER: &str = "schemas";

pub async fn run(arguments: &SchemaArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    if arguments.pin {
        return pin(arguments, shell).await;
    }
    let session = Session::open(shell, &arguments.revision)?;
    let context = session.engine.context(&session.environment, Reading::Documents, session.denials.clone()).await;
    let context = context.map_err(|it| session.failure(it))?;
    match &arguments.kind {
        Some(name) => show(&context, name, shell),
        None => list(&context, shell),
    }
}

/// Every kind whose fields are known, by alias.
fn known(context: &Context) -> impl Iterator<Item = (&str, &Kind)> {
    context.providers.iter().flat_map(|(alias, it)| it.manifest.kinds.values().map(move |kind| (&**alias, &**kind)))
}

fn list(context: &Context, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    if shell.output.format.is_object() {
        let kinds: Vec<Json> = known(context).map(|(alias, it)| json!({"provider": alias, "name": &*it.name})).collect();
        shell.output.object(&json!({"format": "trueup.schema/1", "kinds": kinds}))?;
        return Ok(Exit::Fine);
    }
    let mut text = String::new();
    for (alias, bound) in &context.providers {
        let names: Vec<&str> = bound.manifest.kinds.keys().map(String::as_str).collect();
        let more = bound.manifest.others.len();
        let more =
            if more > 0 { format!("; its system has {} more that no document uses", count(more, "kind")) } else { String::new() };
        text.push_str(&format!("{alias}  {}{more}\n", clean(&names.join(", "))));
    }
    shell.output.print(&text);
    Ok(Exit::Fine)
}

fn show(context: &Context, name: &str, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let fits = |it: &&(&str, &Kind)| *it.1.name == *name || it.1.name.split('.').next() == Some(name);
    let found: Vec<(&str, &Kind)> = known(context).filter(|it| fits(&it)).collect();
    if found.is_empty() {
        let text = format!("no provider of {} has a kind `{name}` whose fields are known", context.environment);
        let hint = "`trueup schema` lists those that are; the kinds of a cluster are asked for as documents use them";
        return Err(CliError::new(codes::UNKNOWN_KIND, text).hint(hint));
    }
    if shell.output.format.is_object() {
        let kinds: Vec<Json> =
            found.iter().map(|(alias, it)| json!({"provider": alias, "name": &*it.name, "schema": &*it.schema})).collect();
        shell.output.object(&json!({"format": "trueup.schema/1", "kinds": kinds}))?;
        return Ok(Exit::Fine);
    }
    let text: String = found.iter().map(|(_, it)| kind_text(it, &shell.output.style)).collect();
    shell.output.print(&text);
    Ok(Exit::Fine)
}

async fn pin(arguments: &SchemaArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    if shell.global.source.is_some() {
        let hint = "clone the repository and run this in it";
        return Err(CliError::usage("the lock is written into a work tree, and --source has none").hint(hint));
    }
    let mut session = Session::open(shell, &arguments.revision)?;
    let around = session.surroundings(shell, Options::default()).await?;
    let engine = &session.engine;
    let mut pins = engine.pins.clone();
    let mut pinned = Vec::new();
    for (alias, told) in &around.context.kinds {
        let before = kinds::pinned(engine, alias).unwrap_or_default();
        let bytes = kinds::to_pin(told, before);
        let digest = Digest::of(&bytes);
        let file = engine.root.join(FOLDER).join(format!("{digest}.json"));
        write(&file, &bytes).map_err(|error| CliError::new(codes::LOCK, format!("cannot write {}: {error}", file.display())))?;
        let old = pins.schemas.insert(alias.to_string(), digest);
        let names = serde_json::from_slice::<Json>(&bytes).ok().and_then(|it| it.as_object().map(serde_json::Map::len));
        pinned.push((alias.to_string(), digest, names.unwrap_or_default(), old.filter(|it| *it != digest)));
    }
    if pinned.is_empty() {
        let text = "no provider of this environment has kinds that only its system knows".to_owned();
        return Err(CliError::usage(text).hint("what a plugin itself knows needs no pin"));
    }
    write_lock(&engine.root, &pins)?;
    // What no alias pins any more is of no use to anybody.
    for (_, _, _, old) in &pinned {
        if let Some(old) = old.filter(|old| !pins.schemas.values().any(|it| it == old)) {
            let _ = fs::remove_file(engine.root.join(FOLDER).join(format!("{old}.json")));
        }
    }
    if shell.output.format.is_object() {
        let all: Vec<Json> = pinned
            .iter()
            .map(|(alias, digest, kinds, old)| json!({"provider": alias, "sha256": digest.to_string(), "kinds": kinds, "changed": old.is_some()}))
            .collect();
        shell.output.object(&json!({"format": "trueup.schema-pin/1", "pinned": all}))?;
        return Ok(Exit::Fine);
    }
    let line = |(alias, digest, kinds, _): &(String, Digest, usize, Option<Digest>)| {
        format!("{alias}: {} in {FOLDER}/{digest}.json\n", count(*kinds, "kind"))
    };
    shell.output.print(&pinned.iter().map(line).collect::<String>());
    shell.output.note(&format!("Next: commit trueup.lock and {FOLDER}/; validate and render need no cluster then\n"));
    Ok(Exit::Fine)
}

fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, bytes)
}
