//! `trueup forget` and `trueup resolve`: what is owned changes by a person's word, and nothing is sent.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::json;
use trueup_core::address::ResourceId;
use trueup_core::diagnostic::codes;
use trueup_core::document::Shortener;
use trueup_core::inventory::{Entry, Intent, IntentAction, Ownership};
use trueup_core::plan::Options;

use super::Shell;
use super::again;
use super::arguments::{ForgetArgs, ResolveArgs, RevisionArgs};
use super::ask;
use super::error::CliError;
use super::exit::Exit;
use super::session::{Session, actor, failure, name_fault, named, open};
use crate::engine::Engine;
use crate::output::clean::clean;
use crate::pass::DONE;
use crate::recover::sweep;
use crate::store::{Edit, NewRun, RunId, Store, Verdict};

pub async fn forget(arguments: &ForgetArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = open(shell, &RevisionArgs::default())?;
    let failed = |it| failure(it, Some(&engine.snapshot));
    let store = engine.store().map_err(failed)?;
    let environment = owner(&engine, &*store, shell.global.environment.as_deref())?;
    let environment = environment.as_str();
    let _lock = engine.lock(environment).map_err(failed)?;
    let owned = store.inventory(environment)?;
    let names = Shortener::new(owned.iter().map(|it| it.resource.clone()));
    let mut ids: HashSet<ResourceId> = HashSet::new();
    for text in &arguments.resources {
        match text.strip_suffix(":*") {
            Some(alias) => {
                let mut all = owned.iter().map(|it| &it.resource).filter(|it| it.alias() == alias).peekable();
                if all.peek().is_none() {
                    return Err(CliError::usage(format!("{environment} owns nothing of a provider `{alias}`")));
                }
                ids.extend(all.cloned());
            }
            None => drop(ids.insert(named(&names, text)?)),
        }
    }
    let (chosen, kept): (Vec<&Entry>, Vec<&Entry>) = owned.iter().partition(|it| ids.contains(&it.resource));
    let mut list = String::new();
    for entry in &chosen {
        let _ = writeln!(list, "  {}  {}", clean(&names.shorten(&entry.resource)), clean(&entry.address.to_string()));
    }
    if !arguments.yes {
        shell.output.error(&format!("To be released from {}, without deleting anything:\n{list}", clean(environment)));
        if shell.output.format.is_object() || !shell.output.interactive {
            let text = "nothing was done, as nobody is here to agree";
            return Err(CliError::new(codes::USAGE, text).exit(Exit::Failed).hint("--yes goes on without asking"));
        }
        if !ask::confirm(shell.output, "Forget these?") {
            shell.output.error("Nothing was done.\n");
            return Ok(Exit::Failed);
        }
    }
    let run = begin(&*store, &engine, environment, "forget").await?;
    // A claim to all of a scope would take what is released there: it asks anew.
    let place = |it: &&Entry| (it.address.scope.provider.clone(), it.address.scope.scope.clone());
    let places: HashSet<_> = chosen.iter().map(place).collect();
    let claims = kept.iter().filter(|it| it.claims && places.contains(&place(it)));
    let claims = claims.map(|it| Edit::Unsettle(Box::new(Entry::clone(it))));
    let edits = chosen.iter().map(|it| Edit::Remove(it.address.clone())).chain(claims).collect();
    store.edit(environment, Some(run), "forgotten", edits).await?;
    store.end_run(run, DONE, json!({"forget": chosen.len()})).await?;
    if shell.output.format.is_object() {
        let ids: Vec<&str> = chosen.iter().map(|it| it.resource.as_str()).collect();
        shell.output.object(&json!({"format": "trueup.forget/1", "environment": environment, "forgotten": ids}))?;
    } else {
        shell.output.print(&format!("Released from {}, nothing was deleted:\n{list}", clean(environment)));
        shell.output.note("what is still declared in Git is now an object that nobody owns: the next plan says so\n");
    }
    Ok(Exit::Fine)
}

pub async fn resolve(arguments: &ResolveArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut session = Session::open(shell, &RevisionArgs::default())?;
    let around = session.surroundings(shell, Options::default()).await?;
    let environment = session.environment.name.clone();
    let _lock = session.engine.lock(&environment).map_err(|it| session.failure(it))?;
    let intents = around.store.intents(&environment)?;
    let intent = find(&arguments.resource, &intents)?;
    let owned = around.store.inventory(&environment)?.into_iter().find(|it| it.address == intent.address);
    let (verdict, edit) = match &arguments.adopt {
        Some(identity) => (Verdict::Adopted, Some(adopted(intent, owned, identity, &around))),
        // What is not there is not owned either.
        None => (Verdict::Absent, owned.map(|it| Edit::Remove(it.address))),
    };
    // With the intent goes the last record of its token: what a killed run staged under it would stay for ever.
    sweep(&around.context, &[intent.token.to_string()]);
    let run = begin(&*around.store, &session.engine, &environment, "resolve").await?;
    let edits = edit.into_iter().collect();
    around.store.close_intent(&environment, Some(run), &intent.token, verdict, edits).await?;
    around.store.end_run(run, DONE, json!({"resolve": 1})).await?;
    let word = if verdict == Verdict::Adopted { "adopted" } else { "absent" };
    if shell.output.format.is_object() {
        let object =
            json!({"format": "trueup.resolve/1", "environment": environment, "id": intent.resource.as_str(), "verdict": word});
        shell.output.object(&object)?;
    } else {
        let plan = again::command("plan", &environment, &shell.global, &RevisionArgs::default());
        let next = format!("Next: {} shows what is still to do\n", clean(&plan));
        shell.output.print(&format!("{}: settled as {word}.\n{next}", clean(intent.resource.local())));
    }
    Ok(Exit::Fine)
}

/// The change in doubt of that resource.
fn find<'a>(text: &str, intents: &'a [Intent]) -> Result<&'a Intent, CliError> {
    if intents.is_empty() {
        return Err(
            CliError::new(codes::IN_DOUBT, "no change of this environment is in doubt").hint("there is nothing to resolve")
        );
    }
    let names = Shortener::new(intents.iter().map(|it| it.resource.clone()));
    let id: ResourceId = names.resolve_typed(text).map_err(|fault| {
        let all: Vec<String> = intents.iter().map(|it| names.shorten(&it.resource)).collect();
        name_fault(&fault).hint(format!("in doubt: {}", all.join(", ")))
    })?;
    intents.iter().find(|it| it.resource == id).ok_or_else(|| CliError::new(codes::IN_DOUBT, format!("{id} is not in doubt")))
}

/// Owns the object that a person named, so that the next plan compares it.
fn adopted(intent: &Intent, owned: Option<Entry>, identity: &str, around: &crate::pass::Surroundings) -> Edit {
    let fresh = owned.is_none();
    let entry = match owned {
        Some(entry) => Entry { identity: identity.into(), agreed: None, ..entry },
        None => Entry {
            resource: intent.resource.clone(),
            address: intent.address.clone(),
            identity: identity.into(),
            // A delete that did not happen leaves the object as it was: owned by nobody's document but ours.
            ownership: if intent.action == IntentAction::Delete { Ownership::Recovered } else { Ownership::Owned },
            applied: intent.desired.unwrap_or_default(),
            agreed: None,
            after: intent.after.clone(),
            siblings: intent.siblings.clone(),
            protect: intent.protect,
            prune: intent.prune,
            secrets: false,
            claims: false,
        },
    };
    // A rename that no apply has recorded yet: the state still says the old alias.
    let provider = &entry.address.scope.provider;
    let provider = around.renames.iter().find(|it| it.from == *provider).map_or(provider, |it| &it.to);
    let target = around.context.providers.get(provider).map(|it| it.target.clone()).unwrap_or_default();
    Edit::Put { entry: Box::new(entry), target, applied: intent.document.clone().filter(|_| fresh) }
}

/// The environment that is meant. One that is gone from the settings may still own something.
fn owner(engine: &Engine, store: &dyn Store, name: Option<&str>) -> Result<String, CliError> {
    match (engine.environment(name), name) {
        (Ok(environment), _) => Ok(environment.name),
        (Err(_), Some(name)) if store.environments()?.iter().any(|it| it == name) => Ok(name.to_owned()),
        (Err(problem), _) => Err(failure(problem, Some(&engine.protected))),
    }
}

async fn begin(store: &dyn Store, engine: &Engine, environment: &str, command: &str) -> Result<RunId, CliError> {
    let about = NewRun {
        environment: environment.to_owned(),
        revision: engine.revision(),
        plan: None,
        command: command.to_owned(),
        actor: actor(),
    };
    Ok(store.begin_run(about).await?)
}
