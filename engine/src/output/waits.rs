//! What steps of a plan wait for besides each other: conditions of objects (`trueup.dev/wait-for`).

use std::collections::HashMap;
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
    // By step that is waited for, those that come after it.
    let mut after: HashMap<usize, Vec<&core::Step>> = plan.waits.iter().filter_map(|it| Some((it.step?, Vec::new()))).collect();
    for (own, step) in plan.steps.iter().flat_map(|step| step.after.iter().map(move |own| (own, step))) {
        if let Some(known) = after.get_mut(own) {
            known.push(step);
        }
    }
    let wait = |it: &core::Wait| {
        let standing = || it.before.iter().filter_map(|at| plan.steps.get(*at)).collect();
        let before: Vec<&core::Step> = it.step.map_or_else(standing, |own| after.get(&own).cloned().unwrap_or_default());
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
        let more = match it.before.len() {
            0 | 1 => " waits".to_owned(),
            many => format!(" and {} more wait", many - 1),
        };
        let first = it.before.first().map(|it| clean(it)).unwrap_or_default();
        let text =
            format!("{first}{more} until `{}` holds of {}", clip(&it.condition, 80, style.ellipsis()), clean(&it.resource));
        let _ = writeln!(out, "{}", style.paint(Tone::Faint, text));
    }
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(out, "{} {more} more waits", style.ellipsis());
    }
}

#[cfg(test)]
mod tests {
    use trueup_core::address::{Address, ResourceId};
    use trueup_core::plan::Action;
    use trueup_core::value::json;

    use super::super::json::tests::{shape, step};
    use super::*;

    /// A wait for `k8s:Job/<name>`.
    fn wait(name: &str, step: Option<usize>, before: &[usize]) -> core::Wait {
        core::Wait {
            desired: 0,
            resource: ResourceId::parse(&format!("k8s:Job/{name}")).unwrap(),
            address: Address::new("k8s", "Job", "", name),
            condition: "self.status.ok\u{1b}".into(),
            step,
            before: before.to_vec(),
        }
    }

    #[test]
    fn what_begins_once_a_condition_holds_is_named_for_people_and_programs() {
        let mut steps: Vec<_> = ["k8s:Job/made", "site:File/a", "site:File/b"]
            .into_iter()
            .map(|it| step(Action::Create, it, vec![], &[("new", "it is new")]))
            .collect();
        steps[1].after = vec![0];
        let waits = vec![wait("made", Some(0), &[]), wait("there", None, &[1, 2]), wait("last", Some(2), &[])];
        let got = shape(&core::Plan { steps, waits, ..core::Plan::default() });
        let want = json!([
            {"resource": "Job/made", "id": "k8s:Job/made", "for": "self.status.ok\u{1b}", "before": ["File/a"]},
            {"resource": "Job/there", "id": "k8s:Job/there", "for": "self.status.ok\u{1b}", "before": ["File/a", "File/b"]},
            {"resource": "Job/last", "id": "k8s:Job/last", "for": "self.status.ok\u{1b}", "before": []},
        ]);
        assert_eq!(serde_json::to_value(&got.waits).unwrap(), want);
        let mut text = String::new();
        render(&got, &Style::PLAIN, &mut text);
        let want = "\nFile/a waits until `self.status.ok\\u001b` holds of Job/made\n\
                    File/a and 1 more wait until `self.status.ok\\u001b` holds of Job/there\n";
        assert_eq!(text, want);
    }
}
