//! `trueup history`: the runs on record, what one of them did, and whether the record is whole.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use trueup_core::diagnostic::codes;

use super::Shell;
use super::again;
use super::arguments::{HistoryArgs, RevisionArgs};
use super::error::CliError;
use super::exit::Exit;
use super::session::{failure, open};
use super::state::existing;
use crate::output::clean::clean;
use crate::output::plan::short_revision;
use crate::output::style::Tone;
use crate::output::table::table;
use crate::output::{Format, time};
use crate::store::{AuditRow, Run, SqliteStore, Store};

/// Lines of the audit log that are shown of one run.
const LINES: usize = 10_000;

pub fn run(arguments: &HistoryArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = open(shell, &RevisionArgs::default())?;
    let store = existing(&engine)?;
    if arguments.verify {
        return verify(store.as_deref(), shell);
    }
    // One that is gone from the settings is still on record.
    if let Some(name) = shell.global.environment.as_deref()
        && !engine.project.environments.contains_key(name)
        && store.as_ref().map_or(Ok(Vec::new()), |it| it.history(Some(name), 1))?.is_empty()
    {
        return Err(failure(engine.no_environment(name), None));
    }
    if let Some(number) = arguments.run {
        return one(store.as_deref(), number, shell);
    }
    let runs = store.map_or_else(|| Ok(Vec::new()), |it| it.history(shell.global.environment.as_deref(), arguments.limit))?;
    match shell.output.format {
        Format::Json | Format::Yaml => {
            let runs: Vec<Json> = runs.iter().map(run_json).collect();
            shell.output.object(&json!({"format": "trueup.history/1", "runs": runs}))?;
        }
        Format::Name => {
            shell.output.names(runs.iter().map(|it| it.id.0.to_string()).collect::<Vec<_>>().iter().map(String::as_str))
        }
        Format::Table => {
            let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
            let headings = ["RUN", "BEGAN", "ENVIRONMENT", "COMMAND", "REVISION", "OUTCOME", "STEPS", "BY"];
            let text = table(&headings, &rows, &shell.output.style);
            shell.output.print(&text);
            if let Some(newest) = runs.first() {
                let command = again::command("history", "", &shell.global, &RevisionArgs::default());
                shell.output.note(&format!("what a run did, object by object: {} {}\n", clean(&command), newest.id.0));
            } else {
                shell.output.note("nothing was applied yet\n");
            }
        }
    }
    Ok(Exit::Fine)
}

fn row(it: &Run) -> Vec<String> {
    vec![
        it.id.0.to_string(),
        time::utc(it.began),
        it.about.environment.clone(),
        it.about.command.clone(),
        short_revision(&it.about.revision, None),
        it.outcome.clone().unwrap_or_else(|| "did not end".to_owned()),
        counts(&it.counts),
        it.about.actor.clone(),
    ]
}

/// What one run did: a line for each change that was sent or recorded, in the order in which they ended.
fn one(store: Option<&SqliteStore>, number: i64, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let runs = store.map_or_else(|| Ok(Vec::new()), |it| it.history(shell.global.environment.as_deref(), usize::MAX))?;
    let Some((store, run)) = store.zip(runs.into_iter().find(|it| it.id.0 == number)) else {
        return Err(CliError::usage(format!("no run {number} is on record here")).hint("`trueup history` lists the runs"));
    };
    let mut lines = store.audit(Some(run.id), None, LINES)?;
    lines.retain(|it| !it.resource.is_empty());
    lines.reverse();
    match shell.output.format {
        Format::Json | Format::Yaml => {
            let steps: Vec<Json> = lines.iter().map(line_json).collect();
            shell.output.object(&json!({"format": "trueup.run/1", "run": run_json(&run), "steps": steps}))?;
        }
        Format::Name => shell.output.names(lines.iter().map(|it| it.resource.as_str())),
        Format::Table => {
            let rows: Vec<Vec<String>> = lines
                .iter()
                .map(|it| {
                    vec![it.resource.clone(), text(it, "action").to_owned(), it.event.clone(), text(it, "reason").to_owned()]
                })
                .collect();
            let about = &run.about;
            let outcome = run.outcome.as_deref().unwrap_or("did not end");
            let head = format!(
                "Run {number}: {} of {} at {} by {}, {}: {outcome}, {}\n",
                about.command,
                about.environment,
                short_revision(&about.revision, None),
                about.actor,
                time::utc(run.began),
                counts(&run.counts),
            );
            shell.output.print(&clean(head.trim_end()));
            let text = table(&["RESOURCE", "ACTION", "OUTCOME", "REASON"], &rows, &shell.output.style);
            shell.output.print(&format!("\n{text}"));
        }
    }
    Ok(Exit::Fine)
}

fn text<'a>(it: &'a AuditRow, key: &str) -> &'a str {
    it.body.get(key).and_then(Json::as_str).unwrap_or_default()
}

fn line_json(it: &AuditRow) -> Json {
    json!({
        "id": it.resource,
        "action": it.body.get("action"),
        "object": it.body.get("object"),
        "outcome": it.event,
        "reason": it.body.get("reason"),
        "time": it.time,
    })
}

/// A run for programs.
pub fn run_json(it: &Run) -> Json {
    json!({
        "id": it.id.0,
        "environment": it.about.environment,
        "command": it.about.command,
        "actor": it.about.actor,
        "revision": it.about.revision,
        "plan": it.about.plan.map(|it| crate::output::json::digest(&it)),
        "began": it.began,
        "ended": it.ended,
        "outcome": it.outcome,
        "counts": it.counts,
    })
}

/// `3 create, 1 failed`
fn counts(value: &Json) -> String {
    let mut out = String::new();
    for (word, number) in value.as_object().into_iter().flatten() {
        let _ = write!(out, "{}{number} {word}", if out.is_empty() { "" } else { ", " });
    }
    if out.is_empty() { "none".to_owned() } else { out }
}

fn verify(store: Option<&SqliteStore>, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let found = store.map(Store::verify).transpose()?;
    let (rows, head) = match found {
        Some(Err(bad)) => {
            let text = format!("line {} of the audit log does not fit: {}", bad.seq, bad.what);
            return Err(CliError::new(codes::STORE, text)
                .hint("the log was altered or cut after it was written; keep a copy of the file"));
        }
        Some(Ok(verified)) => (verified.rows, verified.head.to_string()),
        None => (0, "0".repeat(64)),
    };
    if shell.output.format.is_object() {
        shell.output.object(&json!({"format": "trueup.verify/1", "verified": true, "rows": rows, "head": head}))?;
    } else {
        let word = shell.output.style.paint(Tone::Good, "unbroken").into_owned();
        shell.output.print(&format!("The audit log is {word}: {rows} lines, newest {head}\n"));
    }
    Ok(Exit::Fine)
}
