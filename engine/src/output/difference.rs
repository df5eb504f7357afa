//! What of two plans is not the same, step by step. Their digests hold those of plugins and settings too; the steps do not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::clean::clean;
use super::json::{Plan, Step};
use super::plan::mark;

/// Differences shown.
const SHOWN: usize = 20;

/// A step that came, went, or does something else now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Identity of its resource; empty for what is of no single one.
    pub id: String,
    /// For people, indented.
    pub line: String,
}

/// Steps that came, went, or do something else now.
pub fn difference(before: &Plan, now: &Plan) -> Vec<Moved> {
    let index = |plan: &Plan| -> BTreeMap<(String, String), Step> {
        plan.steps.iter().map(|it| ((it.id.clone(), format!("{:?}", it.object)), it.clone())).collect()
    };
    let (old, new) = (index(before), index(now));
    let mut moved = Vec::new();
    let line = |step: &Step, words: &str| Moved {
        id: step.id.clone(),
        line: format!("  {:<3}  {}  {words}", mark(step.action).0, clean(&step.resource)),
    };
    for (key, step) in &new {
        match old.get(key) {
            None => moved.push(line(step, "is new")),
            Some(was) if was.action != step.action => moved.push(line(step, "does something else now")),
            Some(was) if values(was) != values(step) => moved.push(line(step, "has other values now")),
            Some(_) => {}
        }
    }
    moved.extend(old.iter().filter(|(key, _)| !new.contains_key(*key)).map(|(_, step)| line(step, "is no longer needed")));
    if old.len() != before.steps.len() {
        moved.push(Moved { id: String::new(), line: "  a step is there twice".to_owned() });
    }
    moved
}

/// As many of them as are worth reading.
pub fn lines(moved: &[Moved]) -> String {
    let mut out = String::new();
    for it in moved.iter().take(SHOWN) {
        let _ = writeln!(out, "{}", it.line);
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
        assert_eq!(difference(&now, &now), Vec::<Moved>::new());
        assert!(lines(&[]).starts_with("  the same steps"));
    }
}
