//! `trueup status` and `get`: what the state says, without looking at the world.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use trueup_core::document::Shortener;
use trueup_core::inventory::{Entry, Ownership};

use super::Shell;
use super::again;
use super::arguments::{GetArgs, Global, RevisionArgs, StatusArgs};
use super::error::CliError;
use super::exit::Exit;
use super::history::run_json;
use super::session::{Session, failure, named, open};
use crate::engine::Engine;
use crate::health::{Look, State};
use crate::output::clean::clean;
use crate::output::json::{Object, public};
use crate::output::plan::short_revision;
use crate::output::table::table;
use crate::output::yaml::to_yaml;
use crate::output::{Format, time};
use crate::pass::{CANCELLED, DONE, PARTIAL};
use crate::store::{Run, SqliteStore, Store, lock};

/// The state, unless nothing was ever recorded: looking makes no file. What cannot be looked at is not nothing.
pub fn existing(engine: &Engine) -> Result<Option<Arc<SqliteStore>>, CliError> {
    match engine.has_state() {
        Ok(false) => Ok(None),
        Ok(true) => engine.store().map(Some).map_err(|it| failure(it, None)),
        Err(problem) => Err(failure(problem, None)),
    }
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
            "behind" | "stopped" => 3,
            "unknown" | "running" => 4,
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
        return Err(failure(engine.no_environment(name), None));
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
            if let Some(next) = lines.iter().find_map(|it| advice(it, &shell.global)) {
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
    let unended = last.as_ref().is_some_and(|it| it.ended.is_none());
    let resources = store.inventory(name)?.len();
    let destroyed = last.as_ref().is_some_and(|it| it.about.command == "destroy") && resources == 0;
    let sync = match (doubt, last.as_ref().map(|it| it.outcome.as_deref()), applied) {
        _ if unended && lock::is_held(engine.state(), name) => "running",
        (1.., _, _) => "in-doubt",
        (_, Some(Some(PARTIAL)), _) => "partial",
        (_, Some(Some(CANCELLED)), _) => "stopped",
        (_, Some(Some(DONE)), _) if destroyed => "destroyed",
        (_, Some(outcome), _) if outcome != Some(DONE) => "failed",
        (_, _, None) => "unknown",
        (_, _, Some(_)) if drifted => "drifted",
        (_, _, Some(run)) if run.about.revision == engine.revision() => "synced",
        // Another commit that asks for the same: a plan of it found nothing to do.
        _ if look.as_ref().and_then(|it| it.settled.as_deref()) == Some(&engine.revision()) => "synced",
        (_, _, Some(_)) => "behind",
    };
    let revision = applied.map(|it| it.about.revision.clone());
    Ok(Line { name: name.to_owned(), revision, sync, resources, doubt, last, look })
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

fn advice(it: &Line, global: &Global) -> Option<String> {
    let again = |verb: &str| clean(&again::command(verb, &it.name, global, &RevisionArgs::default())).into_owned();
    let (plan, apply) = (again("plan"), again("apply"));
    match it.sync {
        "in-doubt" => {
            Some(format!("Next: {apply} looks at what is in doubt and finishes it; {plan} shows what would be left to do\n"))
        }
        "failed" => {
            let run = it.last.as_ref().map_or(0, |it| it.id.0);
            Some(format!("Next: {apply}; {} {run} says what failed\n", again("history")))
        }
        "stopped" => Some(format!("Next: {apply} goes on where it was stopped\n")),
        "partial" => Some(format!("Next: {plan} says what is refused\n")),
        // Drift that its documents leave alone is counted too.
        "drifted" => Some(format!("Next: {plan} says what differs, and whether an apply mends it\n")),
        "behind" | "unknown" => Some(format!("Next: {plan}\n")),
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
        ids.push(named(&names, text)?);
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
