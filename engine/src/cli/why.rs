//! `trueup why`: why a resource is not as declared, down to what everything else waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use trueup_core::address::ResourceId;
use trueup_core::document::Shortener;
use trueup_core::plan::{Options, Plan};

use super::Shell;
use super::again;
use super::arguments::{RevisionArgs, WhyArgs};
use super::error::CliError;
use super::exit::Exit;
use super::session::{Session, named};
use crate::output::clean::clean;
use crate::output::time;
use crate::pass::Planned;
use crate::store::AuditRow;

/// How many links of the chain are followed.
const CHAIN: usize = 100;

/// What is known of one resource of the chain.
struct Link {
    id: ResourceId,
    /// What is wrong or to be done with it; empty where it is in sync.
    state: Vec<String>,
    hint: Option<String>,
    waits_for: Vec<ResourceId>,
}

pub async fn run(arguments: &WhyArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut session = Session::open(shell, &RevisionArgs::default())?;
    let around = session.surroundings(shell, Options::default()).await?;
    let planned = session.plan(&around).await?;
    let owned = around.store.inventory(&around.context.environment)?;
    let names = Shortener::new(planned.desired.ids().chain(owned.iter().map(|it| it.resource.clone())));
    let id = named(&names, &arguments.resource)?;
    let chain = chain(&planned, &id);
    let heard = around.store.audit(None, Some(&id), LOOKED_AT)?;
    let last = heard.into_iter().find(|it| it.environment == *around.context.environment);
    let blocked = blocked(&planned.plan, &id);
    if shell.output.format.is_object() {
        let links: Vec<Json> = chain.iter().map(|it| link_json(it, &names)).collect();
        let blocks: Vec<String> = blocked.iter().map(|it| names.shorten(it)).collect();
        let object = json!({"format": "trueup.why/1", "environment": &*around.context.environment, "resource": names.shorten(&id), "id": id.as_str(), "chain": links, "blocks": blocks, "last": last.as_ref().map(audit_json)});
        shell.output.object(&object)?;
        return Ok(Exit::Fine);
    }
    let apply = again::command("apply", &around.context.environment, &shell.global, &RevisionArgs::default());
    shell.output.print(&text(&chain, &blocked, last.as_ref(), &names, &around.context.environment, &apply));
    Ok(Exit::Fine)
}

/// Lines of the audit log among which this environment's newest is looked for; other environments may have the same name.
const LOOKED_AT: usize = 1000;

/// The resource and all that it waits for, nearest first.
fn chain(planned: &Planned, id: &ResourceId) -> Vec<Link> {
    let after: BTreeMap<&ResourceId, &[ResourceId]> =
        planned.desired.objects.iter().map(|it| (&it.resource, &*it.after)).collect();
    let mut todo = vec![id.clone()];
    let mut seen = BTreeSet::from([id.clone()]);
    let mut out = Vec::new();
    while let Some(id) = todo.pop() {
        let waits_for: Vec<ResourceId> = after.get(&id).map(|it| it.to_vec()).unwrap_or_default();
        let (state, hint) = state(&planned.plan, &id);
        for next in &waits_for {
            if out.len() + todo.len() < CHAIN && seen.insert(next.clone()) {
                todo.insert(0, next.clone());
            }
        }
        out.push(Link { id, state, hint, waits_for });
    }
    out
}

fn state(plan: &Plan, id: &ResourceId) -> (Vec<String>, Option<String>) {
    let mut state = Vec::new();
    let mut hint = None;
    for refused in plan.refused.iter().filter(|it| it.resource == *id) {
        state.push(format!("refused: {} [{}]", refused.reason, refused.code));
        hint = hint.or_else(|| refused.hint.clone());
    }
    for step in plan.steps.iter().filter(|it| it.resource == *id) {
        let why: Vec<&str> = step.reasons.iter().map(|it| it.text.as_str()).collect();
        let fields: Vec<String> = step.changes.iter().take(8).map(|it| it.path.to_string()).collect();
        let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
        state.push(format!("{}: {}{fields}", step.action.name(), why.join("; ")));
    }
    for drift in plan.drift.iter().filter(|it| it.resource == *id) {
        let what = if drift.gone { "the object is gone".to_owned() } else { format!("{} fields differ", drift.changes.len()) };
        state.push(format!("drift that is left as it is: {what}"));
        hint = hint.or_else(|| Some("its `drift` setting leaves this alone; with `heal` an apply mends it".to_owned()));
    }
    (state, hint)
}

/// What waits for a step or refusal of this resource.
fn blocked(plan: &Plan, id: &ResourceId) -> Vec<ResourceId> {
    let own: BTreeSet<usize> = plan.steps.iter().enumerate().filter(|(_, it)| it.resource == *id).map(|(at, _)| at).collect();
    let waits = |it: &&trueup_core::plan::Step| it.resource != *id && it.after.iter().any(|at| own.contains(at));
    plan.steps.iter().filter(waits).map(|it| it.resource.clone()).collect()
}

fn text(
    chain: &[Link],
    blocked: &[ResourceId],
    last: Option<&AuditRow>,
    names: &Shortener,
    environment: &str,
    apply: &str,
) -> String {
    let mut out = String::new();
    let Some((first, rest)) = chain.split_first() else { return out };
    let name = |id: &ResourceId| clean(&names.shorten(id)).into_owned();
    let _ = writeln!(out, "{} in {}", name(&first.id), clean(environment));
    if first.state.is_empty() {
        out.push_str("  in sync: the object is as declared\n");
    }
    for line in &first.state {
        let _ = writeln!(out, "  {}", clean(line));
    }
    for link in rest {
        let state = if link.state.is_empty() { "in sync".to_owned() } else { link.state.join("; ") };
        let _ = writeln!(out, "  needs {}: {}", name(&link.id), clean(&state));
    }
    if !blocked.is_empty() {
        let names: Vec<String> = blocked.iter().take(5).map(name).collect();
        let more = blocked.len().checked_sub(5).filter(|it| *it > 0).map(|it| format!(" and {it} more")).unwrap_or_default();
        let _ = writeln!(out, "  blocks {}{more}", names.join(", "));
    }
    if let Some(row) = last {
        let reason = row.body.get("reason").and_then(Json::as_str).map(|it| format!(": {}", clean(it))).unwrap_or_default();
        let _ = writeln!(out, "  last heard of {}, {}{reason}", time::ago(row.time), clean(&row.event));
    }
    // The root cause is what nothing else explains: the furthest link that is not in sync.
    let root = chain.iter().rev().find(|it| !it.state.is_empty());
    match root {
        Some(Link { hint: Some(hint), .. }) => {
            let _ = writeln!(out, "Next: {}", clean(hint));
        }
        Some(_) => {
            let _ = writeln!(out, "Next: {}", clean(apply));
        }
        None => {}
    }
    out
}

fn link_json(it: &Link, names: &Shortener) -> Json {
    let waits: Vec<String> = it.waits_for.iter().map(|it| names.shorten(it)).collect();
    json!({"resource": names.shorten(&it.id), "id": it.id.as_str(), "inSync": it.state.is_empty(), "state": it.state, "hint": it.hint, "waitsFor": waits})
}

fn audit_json(it: &AuditRow) -> Json {
    json!({"time": it.time, "event": it.event, "run": it.run.map(|it| it.0), "reason": it.body.get("reason")})
}
