//! `trueup plugin list`: what is bundled, and what the project pins.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::supply::users;
use crate::bundled;
use crate::cli::Shell;
use crate::cli::arguments::RevisionArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::session::open;
use crate::config::project::PluginRef;
use crate::output::Format;
use crate::output::table::table;
use crate::output::value::bytes;

/// One plugin.
struct Row {
    name: String,
    from: String,
    size: String,
    sha256: String,
    /// Fingerprint of the key that signed it when it was added.
    signed: Option<String>,
}

pub fn run(shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut rows: Vec<Row> = bundled::ALL
        .iter()
        .map(|it| Row {
            name: it.name.to_owned(),
            from: "bundled".to_owned(),
            size: bytes(it.wasm.len() as u64),
            sha256: it.sha256.to_owned(),
            signed: None,
        })
        .collect();
    // The files as they are now: what `add` wrote is there before it is committed.
    let now = RevisionArgs { rev: None, worktree: shell.global.source.is_none() };
    if let Ok(engine) = open(shell, &now) {
        let texts = engine.project.environments.values().flat_map(|it| it.providers.values()).map(|it| &it.plugin);
        let used = texts.filter(|it| it.is_pinned_by_lock()).map(PluginRef::text);
        let names: BTreeSet<&str> = used.chain(engine.pins.plugins.keys().map(String::as_str)).collect();
        for name in names {
            let (pin, users) = (engine.pins.plugins.get(name), users(&engine, name));
            rows.push(Row {
                name: name.to_owned(),
                from: if users.is_empty() { "unused".to_owned() } else { format!("provider {}", users.join(", ")) },
                size: String::new(),
                sha256: pin.map_or_else(|| "not pinned".to_owned(), |it| it.sha256.to_string()),
                signed: pin.and_then(|it| it.signed).map(|it| it.to_string()),
            });
        }
    }
    match shell.output.format {
        Format::Json | Format::Yaml => {
            let plugins: Vec<Json> = rows
                .iter()
                .map(|it| json!({"name": it.name, "from": it.from, "size": it.size, "sha256": it.sha256, "signed": it.signed}))
                .collect();
            shell.output.object(&json!({"format": "trueup.plugins/1", "plugins": plugins}))?;
        }
        Format::Name => shell.output.names(rows.iter().map(|it| it.name.as_str())),
        Format::Table => {
            let short = |it: &str| it.get(..12).unwrap_or(it).to_owned();
            let signed = |it: &Row| it.signed.as_deref().map(short).unwrap_or_default();
            let cells = |it: &Row| vec![it.name.clone(), it.from.clone(), it.size.clone(), short(&it.sha256), signed(it)];
            let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
            let text = table(&["PLUGIN", "FROM", "SIZE", "SHA256", "SIGNED BY"], &rows, &shell.output.style);
            shell.output.print(&text);
        }
    }
    Ok(Exit::Fine)
}
