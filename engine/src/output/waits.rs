//! What steps of a plan wait for besides each other: conditions of objects (`trueup.dev/wait-for`).

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use trueup_core::plan as core;

use super::clean::{clean, clip};
use super::json::{Plan, PlanContext};
use super::style::{Style, Tone};

/// Waits that people are shown.
const SHOWN: usize = 20;

/// One object whose dependents begin only once a condition of it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Shortest form.
    pub resource: String,
    /// Full identity.
    pub id: String,
    #[serde(rename = "for")]
    pub condition: String,
    /// Resources whose steps begin then, shortest forms.
    pub before: Vec<String>,
}

/// What `plan` waits for.
pub fn waits(plan: &core::Plan, context: &PlanContext<'_>) -> Vec<Wait> {
    let wait = |it: &core::Wait| {
        let after = |own: &usize| plan.steps.iter().filter(|step| step.after.contains(own)).collect();
        let standing = || it.before.iter().filter_map(|at| plan.steps.get(*at)).collect();
        let before: Vec<&core::Step> = it.step.as_ref().map_or_else(standing, after);
        Wait {
            resource: (context.shorten)(&it.resource),
            id: it.resource.to_string(),
            condition: it.condition.to_string(),
            before: before.into_iter().map(|it| (context.shorten)(&it.resource)).collect(),
        }
    };
    plan.waits.iter().map(wait).collect()
}

/// A line for each that some step waits for.
pub fn render(plan: &Plan, style: &Style, out: &mut String) {
    let all: Vec<&Wait> = plan.waits.iter().filter(|it| !it.before.is_empty()).collect();
    if !all.is_empty() {
        out.push('\n');
    }
    for it in all.iter().take(SHOWN) {
        let more = it.before.len().checked_sub(1).filter(|it| *it > 0).map(|it| format!(" and {it} more")).unwrap_or_default();
        let first = it.before.first().map(|it| clean(it)).unwrap_or_default();
        let text =
            format!("{first}{more} waits until `{}` holds of {}", clip(&it.condition, 80, style.ellipsis()), clean(&it.resource));
        let _ = writeln!(out, "{}", style.paint(Tone::Faint, text));
    }
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(out, "{} {more} more waits", style.ellipsis());
    }
}
