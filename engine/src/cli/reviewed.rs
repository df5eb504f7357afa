//! `apply --plan`: the plan made now must be the one that was reviewed, else what moved is shown and nothing is done.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;

use trueup_core::diagnostic::codes;

use super::Shell;
use super::error::CliError;
use crate::output::clean::clean;
use crate::output::json::{self, Plan, Step};
use crate::output::plan::mark;
use crate::pass::Surroundings;

/// Bytes of a plan file.
const FILE: u64 = 256 << 20;
/// Differences shown.
const SHOWN: usize = 20;

/// Fails unless `now` is the plan that `wanted` (an id or a file) names.
pub fn check(wanted: &str, now: &Plan, around: &Surroundings, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let reviewed = find(wanted, around)?;
    if reviewed.environment != now.environment {
        let text = format!("the plan {wanted} is of the environment `{}`, not of `{}`", reviewed.environment, now.environment);
        return Err(CliError::usage(text));
    }
    let moved = difference(&reviewed, now);
    if reviewed.digest == now.digest && moved.is_empty() {
        return Ok(());
    }
    if reviewed.digest == now.digest {
        // Nobody but the file says what its steps were: they are held against its digest here.
        shell.output.error(&format!("The plan {wanted} is not what it was when it was made:\n{}", lines(&moved)));
        return Err(CliError::new(
            codes::PLAN_MOVED,
            format!("`{wanted}` was changed after it was made: its steps are not its digest's"),
        )
        .hint("review the plan with `trueup plan` and apply that one"));
    }
    shell.output.error(&format!("Since the plan {} was made:\n{}", clean(&reviewed.id()), lines(&moved)));
    let text = format!("the plan is no longer the one that was reviewed: now it is {}", now.id());
    Err(CliError::new(codes::PLAN_MOVED, text).hint("review it with `trueup plan`, with the same flags, and apply that one"))
}

fn find(wanted: &str, around: &Surroundings) -> Result<Plan, CliError> {
    let looks_like_id =
        wanted.starts_with("p-") || wanted.starts_with("sha256:") || wanted.bytes().all(|it| it.is_ascii_hexdigit());
    if looks_like_id && !std::path::Path::new(wanted).exists() {
        let saved = around.store.plan(wanted)?.ok_or_else(|| {
            CliError::new(codes::PLAN_MOVED, format!("no plan `{wanted}` is kept here")).hint(
                "an id is p- and 8 or more digits, as `trueup plan` shows it; plans are kept in the state they were made with",
            )
        })?;
        return read(saved.json.as_bytes(), wanted);
    }
    let failed = |error: std::io::Error| CliError::usage(format!("cannot read the plan `{wanted}`: {error}"));
    let mut text = Vec::new();
    std::fs::File::open(wanted).map_err(failed)?.take(FILE + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE {
        return Err(CliError::usage(format!("the plan `{wanted}` is larger than 256 MiB")));
    }
    read(&text, wanted)
}

fn read(text: &[u8], wanted: &str) -> Result<Plan, CliError> {
    let plan: Plan = serde_json::from_slice(text)
        .map_err(|error| CliError::new(codes::PLAN_MOVED, format!("`{wanted}` is no plan: {error}")))?;
    if plan.format == json::PLAN {
        return Ok(plan);
    }
    Err(CliError::new(codes::PLAN_MOVED, format!("`{wanted}` is of the format `{}`, not `{}`", plan.format, json::PLAN)))
}

/// Steps that came, went, or do something else now: a line each.
pub(super) fn difference(before: &Plan, now: &Plan) -> Vec<String> {
    let index = |plan: &Plan| -> BTreeMap<(String, String), Step> {
        plan.steps.iter().map(|it| ((it.id.clone(), format!("{:?}", it.object)), it.clone())).collect()
    };
    let (old, new) = (index(before), index(now));
    let mut lines = Vec::new();
    let line = |step: &Step, words: &str| format!("  {:<3}  {}  {words}", mark(step.action).0, clean(&step.resource));
    for (key, step) in &new {
        match old.get(key) {
            None => lines.push(line(step, "is new")),
            Some(was) if was.action != step.action => lines.push(line(step, "does something else now")),
            Some(was) if values(was) != values(step) => lines.push(line(step, "has other values now")),
            Some(_) => {}
        }
    }
    lines.extend(old.iter().filter(|(key, _)| !new.contains_key(*key)).map(|(_, step)| line(step, "is no longer needed")));
    if old.len() != before.steps.len() {
        lines.push("  a step is there twice".to_owned());
    }
    lines
}

/// As many of them as are worth reading.
pub(super) fn lines(moved: &[String]) -> String {
    let mut out = String::new();
    for line in moved.iter().take(SHOWN) {
        let _ = writeln!(out, "{line}");
    }
    if moved.is_empty() {
        out.push_str("  the same steps, and plugins, settings or what the steps wait for differ\n");
    }
    if let Some(more) = moved.len().checked_sub(SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(out, "  and {more} more");
    }
    out
}

fn values(step: &Step) -> Vec<(&String, &Option<serde_json::Value>, &Option<serde_json::Value>)> {
    step.changes.iter().map(|it| (&it.path, &it.before, &it.after)).collect()
}

#[cfg(test)]
mod tests {
    use trueup_core::plan::{self, Action, Origin};
    use trueup_core::value::json;

    use super::*;
    use crate::output::json::tests::{change, shape, step};

    #[test]
    fn what_moved_since_the_review_is_named() {
        let with = |steps| shape(&plan::Plan { steps, ..plan::Plan::default() });
        let value = |to: i32| vec![change("spec.n", Some(json!(1)), Some(json!(to)), Origin::Git)];
        let before = with(vec![
            step(Action::Update, "site:File/a", value(2), &[]),
            step(Action::Create, "site:File/b", vec![], &[]),
            step(Action::Delete, "site:File/c", vec![], &[]),
        ]);
        let now = with(vec![
            step(Action::Update, "site:File/a", value(3), &[]),
            step(Action::Update, "site:File/b", vec![], &[]),
            step(Action::Create, "site:File/d", vec![], &[]),
        ]);
        let want = "  ~    File/a  has other values now\n  ~    File/b  does something else now\n  +    File/d  is new\n  -    File/c  is no longer needed\n";
        assert_eq!(lines(&difference(&before, &now)), want);
        assert_eq!(difference(&now, &now), Vec::<String>::new());
        assert!(lines(&[]).starts_with("  the same steps"));
    }
}
