//! A plugin's say in the plan, for plugins that want one: it may make a step smaller, stop it, or ask for a replacement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use trueup_core::diagnostic::codes;
use trueup_core::inventory::IntentAction;
use trueup_core::plan::{Action, Halted, Plan, Step, Verdict, World, apply_verdicts};
use trueup_core::value::{Json, Path};
use trueup_host as host;

use crate::desired::Context;
use crate::engine::{Bound, code_of};
use crate::patience;
use crate::seal::Sealer;

/// Differing objects in one call.
const BATCH: usize = 500;

/// The plan with the verdicts of all plugins merged in. A plugin that fails here has its steps refused.
pub async fn refine(context: &Context, world: &World<'_>, plan: Plan) -> Plan {
    let mut by_provider: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let asks = context.providers.get(&step.address.scope.provider).is_some_and(Bound::refines);
        if asks && matches!(step.action, Action::Create | Action::Update | Action::Replace(_) | Action::Delete | Action::Adopt) {
            by_provider.entry(step.address.scope.provider.clone()).or_default().push(at);
        }
    }
    let steps = &plan.steps;
    let said = by_provider.into_iter().filter_map(|(alias, asked)| {
        let bound = context.providers.get(&alias)?;
        Some(async move { of_provider(context, bound, world, steps, &asked).await })
    });
    let mut verdicts: Vec<(usize, Verdict)> = join_all(said).await.into_iter().flatten().collect();
    verdicts.retain(|(_, verdict)| *verdict != Verdict::Accept);
    if verdicts.is_empty() { plan } else { apply_verdicts(world, plan, verdicts) }
}

/// What one plugin says of its steps.
async fn of_provider(
    context: &Context,
    bound: &Bound,
    world: &World<'_>,
    steps: &[Step],
    asked: &[usize],
) -> Vec<(usize, Verdict)> {
    let mut verdicts = Vec::new();
    for batch in asked.chunks(BATCH) {
        let candidates = batch.iter().filter_map(|at| steps.get(*at)).map(|step| of_step(context, world, step)).collect();
        match answers(context, bound, candidates).await {
            Ok(answers) => verdicts.extend(
                batch.iter().zip(answers).filter_map(|(at, it)| Some((*at, verdict(&context.sealer, steps.get(*at)?, it)))),
            ),
            Err(error) => {
                let halt =
                    Halted { code: code_of(error.fault(), codes::PLUGIN_CALL), reason: context.sealer.mask(&error.to_string()) };
                verdicts.extend(batch.iter().map(|at| (*at, Verdict::Halted(halt.clone()))));
            }
        }
    }
    verdicts
}

/// What one plugin says of some of its steps; what its system wants time for is asked again.
async fn answers(
    context: &Context,
    bound: &Bound,
    candidates: Vec<host::Candidate>,
) -> Result<Vec<host::Verdict>, host::CallError> {
    let mut answers = bound.provider.refine(&bound.call(context.now), candidates.clone()).await?;
    let mut tries = 1;
    loop {
        let wait = |(at, answer): (usize, &host::Verdict)| match answer {
            host::Verdict::Refuse(failure) => Some((at, patience::before_again(failure.fault, tries)?)),
            _ => None,
        };
        let late: Vec<(usize, Duration)> = answers.iter().enumerate().filter_map(wait).collect();
        let Some(pause) = late.iter().map(|(_, wait)| *wait).max() else { return Ok(answers) };
        tokio::time::sleep(pause).await;
        let again = late.iter().filter_map(|(at, _)| candidates.get(*at).cloned()).collect();
        let got = bound.provider.refine(&bound.call(context.now), again).await?;
        for ((at, _), answer) in late.into_iter().zip(got) {
            answers.get_mut(at).into_iter().for_each(|it| *it = answer.clone());
        }
        tries += 1;
    }
}

fn of_step(context: &Context, world: &World<'_>, step: &Step) -> host::Candidate {
    let settings = step.source.and_then(|it| world.desired.get(it)).map(|it| &*it.settings);
    host::Candidate { ext: crate::apply::told(step, settings), ..candidate(&context.sealer, step) }
}

fn candidate(sealer: &Sealer, step: &Step) -> host::Candidate {
    let action = match step.action {
        Action::Create => IntentAction::Create,
        Action::Delete => IntentAction::Delete,
        _ => IntentAction::Update,
    };
    host::Candidate {
        action,
        address: step.address.clone(),
        desired: step.desired.as_deref().map(|it| Arc::new(sealer.to_handles(it))),
        object: step.prior.as_deref().map(|it| crate::apply::remote(sealer, it)),
        edits: crate::apply::edits(step),
        ext: Vec::new(),
    }
}

/// Which of these changes a plugin says do not matter, as it would say in a plan. A plugin that fails says nothing.
pub(crate) async fn ignored(bound: &Bound, now: u64, sealer: &Sealer, steps: &[Step]) -> Vec<Vec<Path>> {
    let none = || steps.iter().map(|_| Vec::new()).collect();
    if !bound.refines() || steps.is_empty() {
        return none();
    }
    let candidates = steps.iter().map(|step| candidate(sealer, step)).collect();
    let Ok(answers) = bound.provider.refine(&bound.call(now), candidates).await else { return none() };
    let each = |(step, answer)| match verdict(sealer, step, answer) {
        Verdict::Ignore(paths) => paths,
        _ => Vec::new(),
    };
    steps.iter().zip(answers).map(each).collect()
}

fn verdict(sealer: &Sealer, step: &Step, verdict: host::Verdict) -> Verdict {
    match verdict {
        host::Verdict::Accept => Verdict::Accept,
        host::Verdict::Ignore(pointers) => Verdict::Ignore(named(step, &pointers)),
        host::Verdict::Replace { paths: pointers, create_first, reason } => {
            Verdict::Replace { paths: named(step, &pointers), create_first, reason: sealer.mask(&reason) }
        }
        host::Verdict::Hold(reason) => Verdict::Hold(sealer.mask(&reason)),
        host::Verdict::Refuse(failure) if failure.fault == host::Fault::Contract => {
            Verdict::Halted(Halted { code: codes::PLUGIN_CONTRACT, reason: sealer.mask(&failure.to_string()) })
        }
        host::Verdict::Refuse(failure) => Verdict::Refuse(sealer.mask(&failure.to_string())),
    }
}

/// The paths that a plugin means. It names the changes as they were shown to it, by pointers with positions in lists; the engine's own
/// paths have items by their keys.
fn named(step: &Step, pointers: &[String]) -> Vec<Path> {
    let null = Json::Null;
    let root = step.desired.as_deref().or(step.prior.as_deref().and_then(|it| it.doc.as_deref())).unwrap_or(&null);
    let mut out: Vec<Path> = pointers.iter().map(|it| Path::from_pointer(it, root)).collect();
    let at_or_below = |path: &str, of: &str| path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let meant = |path: &str| pointers.iter().any(|it| at_or_below(path, it));
    let changes = step.changes.iter().filter(|it| crate::apply::pointer(step, it).is_some_and(|it| meant(&it)));
    out.extend(changes.map(|it| it.path.clone()));
    out
}
