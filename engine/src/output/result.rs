//! What an apply did: `trueup.apply/1`, and the same for people.

use std::fmt::Write as _;

use serde::Serialize;
use trueup_core::diagnostic;
use trueup_core::document::Shortener;
use trueup_core::plan as core;

use super::clean::clean;
use super::json::{Action, Diagnostic, Plan, Refused};
use super::style::{Style, Tone};
use crate::apply::{Applied, Ended};

/// `format` of [`Result`].
pub const FORMAT: &str = "trueup.apply/1";

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Done,
    /// Nothing was left to do once its unknowns were known.
    Unchanged,
    Failed,
    /// It was no longer the step that was planned.
    Moved,
    Skipped,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepResult {
    pub action: Action,
    pub resource: String,
    pub id: String,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One count per outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub done: usize,
    pub unchanged: usize,
    pub failed: usize,
    pub moved: usize,
    pub skipped: usize,
    pub refused: usize,
}

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Result {
    pub format: &'static str,
    pub environment: String,
    pub revision: String,
    /// Digest of the plan that was carried out.
    pub plan: String,
    /// `done`, `partial` (all that was planned is done, and something wanted was refused), `failed` or `stopped`.
    pub outcome: &'static str,
    pub summary: Counts,
    pub steps: Vec<StepResult>,
    pub refused: Vec<Refused>,
    pub diagnostics: Vec<Diagnostic>,
}

/// How each step of a plan ended.
pub fn steps(plan: &core::Plan, applied: &Applied, short: &Shortener) -> Vec<StepResult> {
    let ended = applied.steps.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let result = |(step, ended): (&core::Step, Option<&Ended>)| {
        let (outcome, reason) = outcome(ended);
        StepResult {
            action: step.action.into(),
            resource: short.shorten(&step.resource),
            id: step.resource.to_string(),
            outcome,
            reason,
        }
    };
    plan.steps.iter().zip(ended).map(result).collect()
}

/// How one ended, and why where there is something to say; none where it was never begun.
pub fn outcome(ended: Option<&Ended>) -> (Outcome, Option<String>) {
    match ended {
        Some(Ended::Done) => (Outcome::Done, None),
        Some(Ended::Unchanged) => (Outcome::Unchanged, None),
        Some(Ended::Failed(finding) | Ended::Overdue(finding)) => (Outcome::Failed, Some(finding.message.clone())),
        Some(Ended::Moved(text)) => (Outcome::Moved, Some(text.clone())),
        Some(Ended::Skipped(why)) => (Outcome::Skipped, Some(why.clone())),
        None => (Outcome::Skipped, Some("the run was stopped before".to_owned())),
    }
}

/// See [`Result::outcomes`].
pub fn outcomes(steps: &[StepResult]) -> Vec<String> {
    let word = |it: &StepResult| format!("{:?} {} {:?}", it.action, it.id, it.outcome).to_lowercase();
    let mut lines: Vec<String> = steps.iter().map(word).collect();
    lines.sort_unstable();
    lines
}

impl Result {
    /// A line for each step, in an order of its own: what it did to what, and how it ended.
    pub fn outcomes(&self) -> Vec<String> {
        outcomes(&self.steps)
    }

    /// From the plan and how its steps ended.
    pub fn new(plan: &Plan, steps: Vec<StepResult>, stopped: bool) -> Self {
        let mut summary = Counts { refused: plan.refused.len(), ..Counts::default() };
        for step in &steps {
            *match step.outcome {
                Outcome::Done => &mut summary.done,
                Outcome::Unchanged => &mut summary.unchanged,
                Outcome::Failed => &mut summary.failed,
                Outcome::Moved => &mut summary.moved,
                Outcome::Skipped => &mut summary.skipped,
            } += 1;
        }
        let incomplete = summary.failed + summary.moved + summary.skipped > 0;
        let outcome = match (stopped, incomplete, summary.refused > 0) {
            (true, ..) => "stopped",
            (false, true, _) => "failed",
            (false, false, true) => "partial",
            (false, false, false) => "done",
        };
        Self {
            format: FORMAT,
            environment: plan.environment.clone(),
            revision: plan.revision.clone(),
            plan: plan.digest.clone(),
            outcome,
            summary,
            steps,
            refused: plan.refused.clone(),
            diagnostics: plan.diagnostics.clone(),
        }
    }

    /// Adds findings of the run itself.
    #[must_use]
    pub fn with(mut self, found: &[diagnostic::Diagnostic]) -> Self {
        self.diagnostics.extend(found.iter().map(Diagnostic::from));
        if matches!(self.outcome, "done" | "partial") && found.iter().any(diagnostic::Diagnostic::is_error) {
            self.outcome = "failed";
        }
        self
    }

    /// The last lines for people: what did not work, then the counts.
    pub fn render(&self, style: &Style) -> String {
        const SHOWN: usize = 20;
        let it = &self.summary;
        let mut out = String::new();
        let bad: Vec<&StepResult> =
            self.steps.iter().filter(|it| !matches!(it.outcome, Outcome::Done | Outcome::Unchanged)).collect();
        for step in bad.iter().take(SHOWN) {
            let word = match step.outcome {
                Outcome::Failed => "failed",
                Outcome::Moved => "moved",
                _ => "skipped",
            };
            let reason = step.reason.as_deref().map(|it| format!(": {}", clean(it))).unwrap_or_default();
            let _ = writeln!(out, "{} {}{reason}", style.paint(Tone::Bad, word), clean(&step.resource));
        }
        if let Some(more) = bad.len().checked_sub(SHOWN).filter(|it| *it > 0) {
            let _ = writeln!(out, "{} {more} more", style.ellipsis());
        }
        let mut counts = format!("{} done", it.done);
        for (number, word) in [
            (it.unchanged, "unchanged"),
            (it.failed, "failed"),
            (it.moved, "moved"),
            (it.skipped, "skipped"),
            (it.refused, "refused"),
        ] {
            if number > 0 {
                let _ = write!(counts, ", {number} {word}");
            }
        }
        let (head, tone) = match self.outcome {
            "done" => ("Applied", Tone::Good),
            "stopped" => ("Stopped", Tone::Risk),
            _ => ("Applied in part", Tone::Bad),
        };
        let _ = writeln!(out, "{}: {counts}.", style.paint(tone, head));
        out.push_str(match self.outcome {
            "done" => "",
            "stopped" => "Next: apply again to go on where this stopped; what is done is not done twice\n",
            "partial" => "Next: mend what is refused and apply again\n",
            _ => "Next: mend what failed and apply again; what is done is not done twice\n",
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use trueup_core::plan;

    use super::super::json::tests::shape;
    use super::*;

    fn step(outcome: Outcome, reason: Option<&str>) -> StepResult {
        StepResult {
            action: Action::Create,
            resource: "File/a".to_owned(),
            id: "site:File/a".to_owned(),
            outcome,
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn the_keys_of_a_result_never_change() {
        let result = Result::new(&shape(&plan::Plan::default()), vec![step(Outcome::Failed, Some("no space"))], false);
        let got = serde_json::to_value(&result).unwrap();
        let keys: Vec<&str> = got.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["diagnostics", "environment", "format", "outcome", "plan", "refused", "revision", "steps", "summary"]);
        let want = serde_json::json!({"action": "create", "resource": "File/a", "id": "site:File/a", "outcome": "failed", "reason": "no space"});
        assert_eq!(got["steps"][0], want);
        assert_eq!(
            (&got["format"], &got["outcome"], &got["summary"]["failed"]),
            (&"trueup.apply/1".into(), &"failed".into(), &1.into())
        );
    }

    #[test]
    fn what_did_not_work_comes_before_the_counts() {
        let plan = shape(&plan::Plan::default());
        let result = Result::new(&plan, vec![step(Outcome::Done, None), step(Outcome::Failed, Some("no space\u{1b}"))], false);
        let want = "failed File/a: no space\\u001b\nApplied in part: 1 done, 1 failed.\nNext: mend what failed and apply again; what is done is not done twice\n";
        assert_eq!(result.render(&Style::PLAIN), want);
        assert_eq!(Result::new(&plan, vec![step(Outcome::Done, None)], false).render(&Style::PLAIN), "Applied: 1 done.\n");
        assert!(Result::new(&plan, vec![], true).render(&Style::PLAIN).starts_with("Stopped: 0 done.\nNext: apply again"));
    }
}
