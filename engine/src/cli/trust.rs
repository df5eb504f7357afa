//! `trueup trust`: what a project asks for, and the operator's word on it.

use std::fmt::Write as _;

use serde_json::json;
use trueup_core::diagnostic::codes;

use super::Shell;
use super::arguments::{RevisionArgs, TrustArgs};
use super::ask;
use super::error::CliError;
use super::exit::Exit;
use super::session::{failure, open};
use crate::config::trust::{Rights, TrustRecord};
use crate::engine::Engine;
use crate::output::clean::clean;
use crate::output::style::{Style, Tone};

pub fn run(arguments: &TrustArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = open(shell, &RevisionArgs::default())?;
    let rights = engine.rights();
    let record = engine.trust_record().map_err(|it| failure(it, None))?;
    let (place, id) = (engine.place(), engine.project.id.clone());
    if arguments.revoke {
        return revoke(record, &place, &id, shell);
    }
    let trusted = record.covers(&place, &id, &rights);
    let text = list(&rights, &shell.output.style);
    if !rights.needs_trust() {
        shell.output.print("This project asks for nothing beyond its own folder; there is nothing to trust.\n");
    } else if trusted {
        shell.output.print(&format!("Trusted already:\n{text}"));
    } else {
        let before = if record.knows(&place, &id) { "was trusted with other rights before, and now asks" } else { "asks" };
        shell.output.print(&format!("{} {before} for:\n{text}", clean(&engine.project.name)));
    }
    let mut now = trusted;
    if !trusted && (arguments.yes || (!shell.output.format.is_object() && ask::confirm(shell.output, "Trust it with this?"))) {
        self::record(&engine, &rights)?;
        now = true;
        shell.output.note("recorded; any change of these rights asks again\n");
    }
    if shell.output.format.is_object() {
        let asked = rights.asked.iter().map(|it| {
            json!({"provider": it.alias, "plugin": it.plugin.text(), "right": it.right.to_string(), "environments": it.environments})
        });
        let digest = crate::output::json::digest(&rights.digest());
        let asked: Vec<_> = asked.collect();
        shell
            .output
            .object(&json!({"format": "trueup.trust/1", "project": id, "trusted": now, "digest": digest, "asked": asked}))?;
    }
    if now {
        return Ok(Exit::Fine);
    }
    Err(CliError::new(codes::UNTRUSTED, "nothing was recorded").hint("run `trueup trust --yes` where nobody can be asked"))
}

fn revoke(mut record: TrustRecord, place: &str, id: &str, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let known = record.knows(place, id);
    record.revoke(place, id).map_err(|error| CliError::new(codes::UNTRUSTED, error.to_string()))?;
    if shell.output.format.is_object() {
        shell.output.object(&json!({"format": "trueup.trust/1", "project": id, "trusted": false, "revoked": known}))?;
    } else {
        let text =
            if known { "Nothing is granted to this project any more.\n" } else { "Nothing was granted to this project.\n" };
        shell.output.print(text);
    }
    Ok(Exit::Fine)
}

/// One line for each right, those of one provider together.
pub fn list(rights: &Rights, style: &Style) -> String {
    let mut out = String::new();
    let mut last = None;
    for asked in &rights.asked {
        if last != Some((&asked.alias, &asked.plugin)) {
            let head = format!("{} (plugin {})", asked.alias, asked.plugin.text());
            let _ = writeln!(out, "  {}", style.paint(Tone::Strong, clean(&head).into_owned()));
            last = Some((&asked.alias, &asked.plugin));
        }
        let environments = asked.environments.join(", ");
        let _ = writeln!(out, "    {}   in {}", clean(&asked.right.to_string()), clean(&environments));
    }
    out
}

/// Records agreement to exactly these rights.
pub fn record(engine: &Engine, rights: &Rights) -> Result<(), CliError> {
    let mut record = engine.trust_record().map_err(|it| failure(it, None))?;
    let recorded = record.record(&engine.place(), &engine.project.id, rights);
    recorded.map_err(|error| CliError::new(codes::UNTRUSTED, error.to_string()))
}
