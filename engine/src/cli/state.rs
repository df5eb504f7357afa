//! `trueup status`, `get` and `history`: what the state says, without looking at the world.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use trueup_core::diagnostic::codes;
use trueup_core::document::Shortener;
use trueup_core::inventory::{Entry, Ownership};

use super::Shell;
use super::arguments::{GetArgs, HistoryArgs, RevisionArgs, StatusArgs};
use super::error::CliError;
use super::exit::Exit;
use super::session::{Session, failure, name_fault, open};
use crate::engine::Engine;
use crate::health::{Look, State};
use crate::output::clean::clean;
use crate::output::json::{Object, public};
use crate::output::plan::short_revision;
use crate::output::style::Tone;
use crate::output::table::table;
use crate::output::yaml::to_yaml;
use crate::output::{Format, time};
use crate::pass::{DONE, PARTIAL};
use crate::store::{Run, SqliteStore, Store};

/// The state, unless nothing was ever recorded: looking makes no file.
fn existing(engine: &Engine) -> Result<Option<Arc<SqliteStore>>, CliError> {
    if !engine.state().exists() {
        return Ok(None);
    }
    engine.store().map(Some).map_err(|it| failure(it, None))
}

/// One environment in a few words.
struct Line {
    name: String,
    revision: Option<String>,
    sync: &'static str,
    resources: usize,
    doubt: usize,
    last: Option<Run>,
    /// What the last look at the world said; none where nobody looked yet.
    look: Option<Look>,
}

impl Line {
    /// What needs a person comes first.
    fn rank(&self) -> u8 {
        match self.sync {
            "in-doubt" => 0,
            "failed" | "partial" => 1,
            "drifted" => 2,
            "behind" => 3,
            "unknown" => 4,
            _ if matches!(self.health(), State::Missing | State::Degraded) => 3,
            _ => 5,
        }
    }

    /// The worst that is known of any object.
    fn health(&self) -> State {
        self.look.as_ref().map_or(State::Unknown, Look::worst)
    }

    /// `healthy`, `2 of 48 degraded`, or `unknown` where nobody looked.
    fn health_text(&self) -> String {
        match (&self.look, self.health()) {
            (Some(look), state) if state != State::Healthy => {
                format!("{} of {} {}", look.count(state), look.counts.values().sum::<usize>(), state.name())
            }
            (_, state) => state.name().to_owned(),
        }
    }
}

/// Says what is known without looking: health and drift are those of the last plan or apply.
pub fn status(_: &StatusArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = open(shell, &RevisionArgs::default())?;
    let store = existing(&engine)?;
    let mut lines = Vec::new();
    let chosen = |name: &&String| shell.global.environment.as_ref().is_none_or(|it| it == *name);
    for name in engine.project.environments.keys().filter(chosen) {
        lines.push(line(&engine, store.as_deref(), name)?);
    }
    if let Some(name) = shell.global.environment.as_ref().filter(|_| lines.is_empty()) {
        return Err(CliError::usage(format!("there is no environment `{name}`")));
    }
    lines.sort_by(|a, b| (a.rank(), &a.name).cmp(&(b.rank(), &b.name)));
    match shell.output.format {
        Format::Name => shell.output.names(lines.iter().map(|it| it.name.as_str())),
        Format::Json | Format::Yaml => {
            let environments: Vec<Json> = lines.iter().map(status_json).collect();
            shell.output.object(&json!({"format": "trueup.status/1", "environments": environments}))?;
        }
        Format::Table => {
            let row = |it: &Line| {
                let last = it.last.as_ref().map_or_else(String::new, |run| {
                    format!("{} {} by {}", run.about.command, time::ago(run.began), run.about.actor)
                });
                let look = it.look.as_ref().map_or_else(|| "-".to_owned(), |it| time::ago(it.time));
                let revision = it.revision.as_deref().map_or_else(|| "-".to_owned(), |it| short_revision(it, None));
                vec![it.name.clone(), it.sync.to_owned(), it.health_text(), revision, it.resources.to_string(), look, last]
            };
            let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
            let text =
                table(&["ENVIRONMENT", "SYNC", "HEALTH", "APPLIED", "OBJECTS", "LOOKED", "LAST RUN"], &rows, &shell.output.style);
            shell.output.print(&text);
            lines.iter().for_each(|it| shell.output.print(&troubles(it)));
            if let Some(next) = lines.iter().find_map(advice) {
                shell.output.print(&next);
            }
        }
    }
    Ok(Exit::Fine)
}

fn line(engine: &Engine, store: Option<&SqliteStore>, name: &str) -> Result<Line, CliError> {
    let Some(store) = store else {
        let name = name.to_owned();
        return Ok(Line { name, revision: None, sync: "unknown", resources: 0, doubt: 0, last: None, look: None });
    };
    let runs = store.history(Some(name), 20)?;
    let doubt = store.intents(name)?.len();
    let applied = runs.iter().find(|it| it.about.command == "apply" && it.outcome.as_deref() == Some(DONE));
    let last = runs.first().cloned();
    let look = Look::load(store, name);
    let drifted = look.as_ref().is_some_and(|it| it.drifted + it.count(State::Missing) > 0);
    let sync = match (doubt, last.as_ref().map(|it| it.outcome.as_deref()), applied) {
        (1.., _, _) => "in-doubt",
        (_, Some(Some(PARTIAL)), _) => "partial",
        (_, Some(outcome), _) if outcome != Some(DONE) => "failed",
        (_, _, None) => "unknown",
        (_, _, Some(_)) if drifted => "drifted",
        (_, _, Some(run)) if run.about.revision == engine.revision() => "synced",
        (_, _, Some(_)) => "behind",
    };
    let revision = applied.map(|it| it.about.revision.clone());
    Ok(Line { name: name.to_owned(), revision, sync, resources: store.inventory(name)?.len(), doubt, last, look })
}

/// A line for each object that is not healthy, as far as they are named.
fn troubles(it: &Line) -> String {
    let mut out = String::new();
    for trouble in it.look.iter().flat_map(|it| &it.troubles) {
        let local = trouble.id.split_once(':').map_or(trouble.id.as_str(), |(_, local)| local);
        let message = if trouble.message.is_empty() { String::new() } else { format!(": {}", trouble.message) };
        let _ = writeln!(out, "  {} {} is {}{}", clean(&it.name), clean(local), trouble.state.name(), clean(&message));
    }
    out
}

fn status_json(it: &Line) -> Json {
    json!({
        "name": it.name,
        "revision": it.revision,
        "sync": it.sync,
        "health": it.health().name(),
        "observed": it.look.as_ref().map(|it| it.time),
        "objects": it.look.as_ref().map(|it| &it.counts),
        "drifted": it.look.as_ref().map(|it| it.drifted),
        "unhealthy": it.look.as_ref().map_or(&[][..], |it| &it.troubles),
        "resources": it.resources,
        "inDoubt": it.doubt,
        "lastRun": it.last.as_ref().map(run_json),
    })
}

fn advice(it: &Line) -> Option<String> {
    let name = clean(&it.name);
    match it.sync {
        "in-doubt" => Some(format!("Next: trueup plan -e {name} says what is in doubt\n")),
        "failed" => Some(format!("Next: trueup apply -e {name}; trueup history -e {name} says what failed\n")),
        "partial" => Some(format!("Next: trueup plan -e {name} says what is refused\n")),
        "drifted" => Some(format!("Next: trueup plan -e {name} says what differs, trueup apply -e {name} heals it\n")),
        "behind" | "unknown" => Some(format!("Next: trueup plan -e {name}\n")),
        _ => None,
    }
}

pub fn get(arguments: &GetArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let session = Session::open(shell, &RevisionArgs::default())?;
    let environment = session.environment.name.as_str();
    let store = existing(&session.engine)?;
    let owned = store.as_ref().map_or_else(|| Ok(Vec::new()), |it| it.inventory(environment))?;
    let names = Shortener::new(owned.iter().map(|it| it.resource.clone()));
    let mut ids = Vec::new();
    for text in &arguments.resources {
        ids.push(names.resolve(text).map_err(|fault| name_fault(&fault))?);
    }
    let chosen: Vec<&Entry> = owned.iter().filter(|it| ids.is_empty() || ids.contains(&it.resource)).collect();
    match shell.output.format {
        Format::Name => {
            shell.output.names(chosen.iter().map(|it| names.shorten(&it.resource)).collect::<Vec<_>>().iter().map(String::as_str))
        }
        Format::Json | Format::Yaml => {
            // Documents are read only for what was asked for by name.
            let documents = documents(store.as_deref(), environment, if ids.is_empty() { &[] } else { &chosen })?;
            let resources: Vec<Json> = chosen
                .iter()
                .enumerate()
                .map(|(at, it)| entry_json(it, &names, documents.get(at).and_then(Option::as_deref)))
                .collect();
            shell.output.object(&json!({"format": "trueup.get/1", "environment": environment, "resources": resources}))?;
        }
        Format::Table if !ids.is_empty() => {
            let documents = documents(store.as_deref(), environment, &chosen)?;
            for (at, it) in chosen.iter().enumerate() {
                let value = entry_json(it, &names, documents.get(at).and_then(Option::as_deref));
                shell.output.print(&to_yaml(&value));
            }
        }
        Format::Table => {
            let row =
                |it: &&Entry| vec![names.shorten(&it.resource), it.address.to_string(), it.identity.to_string(), owned_how(it)];
            let rows: Vec<Vec<String>> = chosen.iter().map(row).collect();
            let text = table(&["RESOURCE", "OBJECT", "IDENTITY", "OWNED"], &rows, &shell.output.style);
            shell.output.print(&text);
            if rows.is_empty() {
                shell.output.note(&format!("{} owns nothing yet\n", clean(environment)));
            }
        }
    }
    Ok(Exit::Fine)
}

fn documents(store: Option<&SqliteStore>, environment: &str, entries: &[&Entry]) -> Result<Vec<Option<Arc<Json>>>, CliError> {
    let Some(store) = store else { return Ok(Vec::new()) };
    let addresses: Vec<_> = entries.iter().map(|it| it.address.clone()).collect();
    Ok(store.applied(environment, &addresses)?)
}

fn owned_how(it: &Entry) -> String {
    let how = match it.ownership {
        Ownership::Owned => "owned",
        Ownership::Recovered => "recovered",
        Ownership::Deposed => "to be deleted",
    };
    if it.protect { format!("{how}, protected") } else { how.to_owned() }
}

fn entry_json(it: &Entry, names: &Shortener, document: Option<&Json>) -> Json {
    let mut value = json!({
        "resource": names.shorten(&it.resource),
        "id": it.resource.as_str(),
        "provider": &*it.address.scope.provider,
        "object": Object::from(&it.address),
        "identity": &*it.identity,
        "ownership": match it.ownership {
            Ownership::Owned => "owned",
            Ownership::Recovered => "recovered",
            Ownership::Deposed => "deposed",
        },
        "protected": it.protect,
    });
    if let (Some(map), Some(document)) = (value.as_object_mut(), document) {
        map.insert("applied".to_owned(), public(document));
    }
    value
}

pub fn history(arguments: &HistoryArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = open(shell, &RevisionArgs::default())?;
    let store = existing(&engine)?;
    if arguments.verify {
        return verify(store.as_deref(), shell);
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
            let row = |it: &Run| {
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
            };
            let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
            let headings = ["RUN", "BEGAN", "ENVIRONMENT", "COMMAND", "REVISION", "OUTCOME", "STEPS", "BY"];
            let text = table(&headings, &rows, &shell.output.style);
            shell.output.print(&text);
        }
    }
    Ok(Exit::Fine)
}

fn run_json(it: &Run) -> Json {
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
