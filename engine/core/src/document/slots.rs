//! Evaluates the expressions of one document, those that read `self` in the order of what they read.

use std::collections::BTreeSet;

use super::SecretField;
use super::draft::Slot;
use super::locate::expression_finding;
use super::node::Sources;
use crate::diagnostic::{Diagnostic, codes};
use crate::expression::{BUDGET, Evaluated, ExpressionError, Template};
use crate::value::{Json, Path, secret, unknown};

/// Expressions of one document that read `self`.
const MAX_OWN: usize = 1_000;
/// Findings of one document; past these, more would not help.
const MAX_FINDINGS: usize = 50;

/// A document with its expressions evaluated.
#[derive(Debug)]
pub(crate) struct Filled {
    pub doc: Json,
    pub secrets: Vec<SecretField>,
    /// What waits for a status, in an order in which it can be evaluated.
    pub waiting: Vec<(Path, Template)>,
    pub findings: Vec<Diagnostic>,
}

impl Filled {
    /// A document without expressions.
    pub(crate) fn of(doc: Json) -> Self {
        Self { doc, secrets: Vec::new(), waiting: Vec::new(), findings: Vec::new() }
    }
}

/// How one template is evaluated, given the document so far and a budget.
pub(crate) type Evaluate<'a> = dyn Fn(&Template, &Json, &mut usize) -> Result<Evaluated, ExpressionError> + 'a;

/// Evaluates `slots` into `doc`, whose texts they are (`texts`, in the same order). All of it may come to `most` bytes; what
/// it came to is given back.
pub(crate) fn fill(
    doc: Json,
    slots: &[Slot],
    texts: &[String],
    most: usize,
    sources: &Sources,
    evaluate: &Evaluate<'_>,
) -> (Filled, usize) {
    let mut fill = Fill { out: Filled::of(doc), made: 0, most, budget: BUDGET, sources, evaluate };
    let (own, free): (Vec<_>, Vec<_>) = slots.iter().zip(texts).partition(|(slot, _)| !slot.template.own().is_empty());
    for (slot, text) in free {
        fill.slot(slot, text);
    }
    fill.own(own);
    (fill.out, fill.made)
}

struct Fill<'a> {
    out: Filled,
    made: usize,
    most: usize,
    budget: usize,
    sources: &'a Sources,
    evaluate: &'a Evaluate<'a>,
}

impl Fill<'_> {
    /// What reads `self` is evaluated once nothing that it reads is still to be.
    fn own(&mut self, mut rest: Vec<(&Slot, &String)>) {
        if let Some((slot, _)) = rest.get(MAX_OWN) {
            let message = format!("more than {MAX_OWN} expressions of one document use `self`");
            self.out.findings.push(Diagnostic::error(codes::EXPRESSION_LIMIT, message).at(self.sources.location(slot.span)));
            return;
        }
        let mut pending: BTreeSet<Path> = rest.iter().map(|(slot, _)| slot.path.clone()).collect();
        while !rest.is_empty() {
            let (ready, blocked): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|(slot, _)| !slot.template.own().iter().any(|path| touches(&pending, path)));
            if ready.is_empty() {
                if let Some((slot, text)) = blocked.first() {
                    let paths: Vec<String> = blocked.iter().take(8).map(|(slot, _)| slot.path.to_string()).collect();
                    let message = format!("fields of this document depend on each other in a circle: {}", paths.join(", "));
                    let error = ExpressionError { code: codes::CYCLE, message, start: 0, end: text.len(), hint: None };
                    self.out.findings.push(expression_finding(&error, text, slot.span, self.sources));
                }
                return;
            }
            for (slot, text) in ready {
                self.slot(slot, text);
                pending.remove(&slot.path);
            }
            rest = blocked;
        }
    }

    fn slot(&mut self, slot: &Slot, text: &str) {
        if self.made > self.most || self.out.findings.len() >= MAX_FINDINGS {
            return;
        }
        let value = match (self.evaluate)(&slot.template, &self.out.doc, &mut self.budget) {
            Ok(Evaluated::Value(value)) => {
                self.made = self.made.saturating_add(size(&value));
                value
            }
            Ok(Evaluated::Unknown(after)) => {
                self.out.waiting.push((slot.path.clone(), slot.template.clone()));
                unknown(&after)
            }
            Ok(Evaluated::Secret { name, parts }) => {
                let location = self.sources.location(slot.span);
                self.out.secrets.push(SecretField { path: slot.path.clone(), parts, location });
                secret(&name, "")
            }
            Err(error) => {
                self.out.findings.push(expression_finding(&error, text, slot.span, self.sources));
                // Not judged by the schema: one finding is enough.
                unknown("")
            }
        };
        if self.made > self.most {
            let message = "the values of these expressions are too large together";
            self.out.findings.push(Diagnostic::error(codes::DOCUMENT_LIMIT, message).at(self.sources.location(slot.span)));
            return;
        }
        super::evaluate::set_at(&mut self.out.doc, &slot.path, value);
    }
}

/// Whether something at, below or above `path` is still to be evaluated.
fn touches(pending: &BTreeSet<Path>, path: &Path) -> bool {
    let below = pending.range(path.clone()..).next().is_some_and(|it| path.covers(it));
    below || (0..path.0.len()).any(|length| path.0.get(..length).is_some_and(|above| pending.contains(&Path(above.to_vec()))))
}

/// About the bytes of a value's JSON text.
fn size(value: &Json) -> usize {
    let mut total = 0_usize;
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        total += 8;
        match value {
            Json::String(text) => total += text.len(),
            Json::Array(items) => rest.extend(items),
            Json::Object(map) => {
                total += map.keys().map(String::len).sum::<usize>();
                rest.extend(map.values());
            }
            _ => {}
        }
    }
    total
}
