//! `trueup plugin remove`: out of trueup.lock, unless something still stands on it.

use serde_json::json;
use trueup_core::diagnostic::codes;

use super::distribution::RemoveArgs;
use super::supply::{agreed, cache, project, users, write_lock};
use crate::cli::Shell;
use crate::cli::arguments::RevisionArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::session::{failure, open};
use crate::engine::Engine;
use crate::output::clean::clean;
use crate::output::value::count;
use crate::store::Store as _;

pub fn run(arguments: &RemoveArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = project(shell)?;
    let text = arguments.plugin.as_str();
    let mut pins = engine.pins.clone();
    let Some(pin) = pins.plugins.remove(text) else {
        let names: Vec<&str> = engine.pins.plugins.keys().map(String::as_str).collect();
        let failure = CliError::new(codes::LOCK, format!("trueup.lock pins no plugin `{text}`"));
        return Err(match names.is_empty() {
            true => failure.hint("it pins none"),
            false => failure.hint(format!("it pins {}", names.join(", "))),
        });
    };
    let using = users(&engine, text);
    if !using.is_empty() {
        let message = format!("`{text}` is the plugin of {} in trueup.yaml", using.join(", "));
        return Err(CliError::new(codes::LOCK, message).hint("take it out there first"));
    }
    owned(&engine, shell, text)?;
    if !agreed(shell, arguments.yes, &format!("Take {} out of trueup.lock?", clean(text)), "--yes")? {
        return Ok(Exit::Failed);
    }
    write_lock(&engine.root, &pins)?;
    // Another text may mean the same component.
    if !pins.plugins.values().any(|it| it.sha256 == pin.sha256) {
        cache()?.forget(&pin.sha256);
    }
    if shell.output.format.is_object() {
        let object = json!({"format": "trueup.plugin-remove/1", "plugin": text, "sha256": pin.sha256.to_string()});
        shell.output.object(&object)?;
    } else {
        shell.output.print(&format!("{} is no longer pinned.\n", clean(text)));
        shell.output.note("Next: commit trueup.lock\n");
    }
    Ok(Exit::Fine)
}

/// Refuses while objects are owned through the plugin: nothing could look at them or delete them any more. Which alias was whose is
/// what the last commit says, as the files of now no longer name it.
fn owned(engine: &Engine, shell: &Shell<'_>, text: &str) -> Result<(), CliError> {
    let Ok(committed) = open(shell, &RevisionArgs::default()) else { return Ok(()) };
    let aliases = users(&committed, text);
    if aliases.is_empty() || !engine.has_state().map_err(|it| failure(it, None))? {
        return Ok(());
    }
    let store = engine.store().map_err(|it| failure(it, None))?;
    for environment in store.environments()? {
        let entries = store.inventory(&environment)?;
        for alias in &aliases {
            let of = |it: &&trueup_core::inventory::Entry| *it.address.scope.provider == **alias;
            let number = entries.iter().filter(of).count();
            if number > 0 {
                let message =
                    format!("{environment} owns {} through `{alias}`, whose plugin `{text}` is", count(number, "object"));
                let hint = format!(
                    "delete them in Git and apply before the provider goes, or release them: `trueup forget -e {environment} '{alias}:*'`"
                );
                return Err(CliError::new(codes::PROVIDER_REMOVED, message).hint(hint));
            }
        }
    }
    Ok(())
}
