//! `trueup plugin list`: what is bundled, and what the project pins.

use serde_json::{Value as Json, json};

use crate::bundled;
use crate::cli::Shell;
use crate::cli::arguments::RevisionArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::session::open;
use crate::output::Format;
use crate::output::table::table;
use crate::output::value::bytes;

pub fn run(shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut rows: Vec<[String; 4]> = bundled::ALL
        .iter()
        .map(|it| [it.name.to_owned(), "bundled".to_owned(), bytes(it.wasm.len() as u64), it.sha256.to_owned()])
        .collect();
    if let Ok(engine) = open(shell, &RevisionArgs::default()) {
        for (alias, provider) in &engine.project.providers {
            if provider.plugin.is_pinned_by_lock() {
                let pin = engine
                    .pins
                    .plugins
                    .get(provider.plugin.text())
                    .map_or_else(|| "not pinned".to_owned(), |it| it.sha256.to_string());
                rows.push([provider.plugin.text().to_owned(), format!("provider {alias}"), String::new(), pin]);
            }
        }
    }
    match shell.output.format {
        Format::Json | Format::Yaml => {
            let plugins: Vec<Json> = rows
                .iter()
                .map(|[name, from, size, sha256]| json!({"name": name, "from": from, "size": size, "sha256": sha256}))
                .collect();
            shell.output.object(&json!({"format": "trueup.plugins/1", "plugins": plugins}))?;
        }
        Format::Name => shell.output.names(rows.iter().map(|it| it[0].as_str())),
        Format::Table => {
            let short = |it: &[String; 4]| {
                let digest = it[3].get(..12).unwrap_or(&it[3]).to_owned();
                vec![it[0].clone(), it[1].clone(), it[2].clone(), digest]
            };
            let rows: Vec<Vec<String>> = rows.iter().map(short).collect();
            let text = table(&["PLUGIN", "FROM", "SIZE", "SHA256"], &rows, &shell.output.style);
            shell.output.print(&text);
        }
    }
    Ok(Exit::Fine)
}
