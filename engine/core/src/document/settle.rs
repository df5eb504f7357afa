//! Evaluates what waited for a status, once the status is there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::evaluate::set_at;
use super::scope::{Fixed, References, Scope};
use super::{Resource, SecretField};
use crate::address::ResourceId;
use crate::diagnostic::{Diagnostic, Location, codes};
use crate::expression::{BUDGET, Evaluated, ExpressionError, Template};
use crate::value::{Json, Path, Segment, secret, unknown};

/// Everything in an environment that waits for a status, with what its expressions name. Shared by its resources.
#[derive(Debug, Default)]
pub struct Waiting {
    pub(crate) vars: Json,
    pub(crate) environment: Arc<str>,
    pub(crate) entries: HashMap<ResourceId, Entry>,
    /// Documents whose `spec` some entry reads.
    pub(crate) documents: HashMap<ResourceId, Arc<Json>>,
}

/// One document that waits.
#[derive(Debug)]
pub(crate) struct Entry {
    pub doc: Arc<Json>,
    /// In an order in which they can be evaluated.
    pub slots: Vec<(Path, Template)>,
    pub granted: Arc<[String]>,
    pub references: References,
}

/// A document with its waiting values filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Values that still wait are `{"$unknown": …}`.
    pub doc: Json,
    /// As [`Resource::secrets`], for all of the document.
    pub secrets: Vec<SecretField>,
    /// Whether something still waits.
    pub waits: bool,
}

impl Resource {
    /// Evaluates again what waited for a status. `status` gives the outputs of a resource, None while they are not known.
    ///
    /// Follows `ref().spec` into other resources that wait. The document is not judged by its schema again.
    ///
    /// # Errors
    ///
    /// The finding of the first expression that fails, placed where the resource is declared.
    pub fn settle(&self, status: &dyn Fn(&ResourceId) -> Option<Json>) -> Result<Settled, Diagnostic> {
        let plain = || Settled { doc: (*self.doc).clone(), secrets: self.secrets.clone(), waits: self.waits };
        let Some(waiting) = &self.waiting else { return Ok(plain()) };
        let mut done = BTreeMap::new();
        for id in waiting.chain(&self.id) {
            let settled =
                waiting.settle(&id, &self.location, &done, status).map_err(|finding| finding.at(self.location.clone()))?;
            done.insert(id, settled);
        }
        let mut settled = done.remove(&self.id).unwrap_or_else(plain);
        let mut secrets = self.secrets.clone();
        secrets.append(&mut settled.secrets);
        Ok(Settled { secrets, ..settled })
    }

    /// The document of [`Resource::settle`].
    ///
    /// # Errors
    ///
    /// As [`Resource::settle`].
    pub fn resolve(&self, status: &dyn Fn(&ResourceId) -> Option<Json>) -> Result<Json, Diagnostic> {
        self.settle(status).map(|it| it.doc)
    }
}

impl Waiting {
    /// The waiting documents that `id` reads, directly and not, each behind what it reads; `id` last.
    fn chain(&self, id: &ResourceId) -> Vec<ResourceId> {
        let mut out = Vec::new();
        let mut seen = HashSet::new();
        let mut stack = vec![(id.clone(), false)];
        while let Some((id, expanded)) = stack.pop() {
            if expanded {
                out.push(id);
                continue;
            }
            let Some(entry) = self.entries.get(&id) else { continue };
            if !seen.insert(id.clone()) {
                continue;
            }
            stack.push((id, true));
            let read = entry.slots.iter().flat_map(|(_, it)| it.references()).filter(|it| !it.status);
            stack.extend(read.filter_map(|it| entry.references.get(&it.text)).map(|(id, _)| (id.clone(), false)));
        }
        out
    }

    fn settle(
        &self,
        id: &ResourceId,
        location: &Location,
        done: &BTreeMap<ResourceId, Settled>,
        status: &dyn Fn(&ResourceId) -> Option<Json>,
    ) -> Result<Settled, Diagnostic> {
        let Some(entry) = self.entries.get(id) else {
            return Err(Diagnostic::error(codes::EXPRESSION_FAILED, format!("`{id}` does not wait for anything")));
        };
        let document = |id: &ResourceId| match done.get(id) {
            Some(settled) => Some(&settled.doc),
            None => self.documents.get(id).map(|it| &**it),
        };
        let mut out = Settled { doc: (*entry.doc).clone(), secrets: Vec::new(), waits: false };
        let mut budget = BUDGET;
        for (path, template) in &entry.slots {
            let fixed = Fixed { vars: &self.vars, environment: &self.environment };
            let scope = Scope {
                fixed,
                granted: &entry.granted,
                references: &entry.references,
                document: &document,
                status,
                own: &out.doc,
            };
            let value = template.evaluate_within(&scope, &mut budget).map_err(|error| {
                let message = format!("{path}: {}", error.message);
                let hint = not_yet(&error, template, &entry.references).or(error.hint);
                Diagnostic { hint, ..Diagnostic::error(error.code, message) }
            })?;
            let value = match value {
                Evaluated::Value(value) => value,
                Evaluated::Unknown(after) => {
                    out.waits = true;
                    unknown(&after)
                }
                Evaluated::Secret { name, parts } => {
                    out.secrets.push(SecretField { path: path.clone(), parts, location: location.clone() });
                    secret(&name, "")
                }
            };
            set_at(&mut out.doc, path, value);
        }
        Ok(out)
    }
}

/// What to write where an output is not there (yet) that an expression reads.
fn not_yet(error: &ExpressionError, template: &Template, references: &References) -> Option<String> {
    let mut before = template.references().iter().filter(|it| it.status && it.start <= error.start);
    let read = before.next_back().filter(|it| error.code == codes::EXPRESSION_UNDEFINED && !it.path.0.is_empty())?;
    let shown = references.get(&read.text).map_or(&*read.text, |(_, short)| short);
    let field = Path([Segment::Key("status".to_owned())].into_iter().chain(read.path.0.iter().cloned()).collect());
    Some(format!("if it comes later, have {shown} waited for: write `trueup.dev/wait-for: self.{field} != null` there"))
}
