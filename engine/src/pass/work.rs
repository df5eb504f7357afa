//! From a plan to what its steps need while they are carried out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use trueup_core::address::{Address, ResourceId, Sought};
use trueup_core::plan::Plan;

use super::{Order, Planned, Surroundings, mark};
use crate::apply::{self, Standing, Work};
use crate::desired::Context;
use crate::store::RunRecorder;

/// What is waited for though no step makes it so. Its documents tell what of it is secret.
pub(super) async fn standing(context: &Context, planned: &mut Planned, plan: &Plan) -> HashMap<Address, Standing> {
    let waits: Vec<_> = plan.waits.iter().filter(|it| it.step.is_none()).collect();
    if waits.is_empty() {
        return HashMap::new();
    }
    let wanted: Vec<usize> = waits.iter().map(|it| it.desired).collect();
    if planned.desired.make(context, &wanted).await.is_err() {
        tracing::warn!("documents of what is waited for could not be made again");
    }
    let one = |wait: &&trueup_core::plan::Wait| {
        let identity = planned.observation.object(&wait.address).map(|it| it.identity.clone());
        (wait.address.clone(), Standing { identity, desired: planned.desired.document(wait.desired).cloned() })
    };
    waits.iter().map(one).collect()
}

/// Everything that the steps of a plan need.
pub(super) fn work(
    around: &Surroundings,
    planned: &mut Planned,
    plan: Arc<Plan>,
    recorder: RunRecorder,
    order: Order,
    standing: HashMap<Address, Standing>,
) -> Arc<Work> {
    let touched: Sought<'_> =
        plan.steps.iter().flat_map(|it| it.from.iter().map(|it| &it.address).chain([&it.address])).collect();
    let entries =
        planned.entries.iter().filter(|it| touched.contains(&it.address)).map(|it| (it.address.clone(), it.clone())).collect();
    let sources = plan
        .steps
        .iter()
        .filter_map(|it| it.source)
        .chain(plan.waits.iter().map(|it| it.desired))
        .filter_map(|it| Some((it, planned.desired.objects.get(it)?.clone())))
        .collect();
    let waiting = std::mem::take(&mut planned.desired.waiting);
    // Statuses are kept for what somebody waits for; nothing else is asked for one.
    let awaited: HashSet<ResourceId> = waiting.values().flat_map(|it| it.after.iter()).cloned().collect();
    let mut statuses = HashMap::new();
    if !awaited.is_empty() {
        for desired in planned.desired.objects.iter().filter(|it| awaited.contains(&it.resource)) {
            if let Some(outputs) = planned.observation.object(&desired.address).and_then(|it| it.outputs.clone()) {
                statuses.insert(desired.resource.clone(), outputs);
            }
        }
    }
    let (project, environment) = (around.project.clone(), around.context.environment.clone());
    Arc::new(Work {
        plan,
        gates: apply::Gate::each(&around.context.providers),
        providers: around.context.providers.clone(),
        waiting,
        entries,
        applied: planned.applied.clone(),
        sources,
        standing,
        short: planned.short.clone(),
        vars: around.context.vars.clone(),
        environment: environment.clone(),
        recorder: Arc::new(recorder),
        sealer: around.context.sealer.clone(),
        secrets: around.context.secrets.clone(),
        marks: Box::new(move |id| mark(&project, &environment, id)),
        awaited,
        statuses: statuses.into(),
        health: Mutex::default(),
        report: order.report,
        cancel: order.cancel,
        now: around.context.now,
    })
}
