//! Judges documents by their kind's JSON Schema.
//!
//! Values that are not there yet (markers, see [`crate::value`]) are not judged, and neither is what hangs on them:
//! they are judged again when they are filled in. Findings never show a value of a sensitive field.

mod compile;
mod cost;
mod markers;
mod words;

pub mod suggest;

use std::collections::HashSet;

pub use compile::Validator;

use self::markers::Markers;
use crate::diagnostic::{Code, Diagnostic, Location, codes};
use crate::manifest::{Hints, Kind};
use crate::value::{Json, Path};

/// Findings of one document; past these, more would not help.
const MAX_FINDINGS: usize = 50;

/// One thing wrong with a value, by its place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    /// What to point at: the value, or the unknown key, or the mapping in which something is missing.
    pub path: Path,
    pub message: String,
    pub hint: Option<String>,
    /// The document may be used nevertheless.
    pub warning: bool,
}

impl Finding {
    fn new(code: Code, path: Path, message: impl Into<String>) -> Self {
        Self { code, path, message: message.into(), hint: None, warning: false }
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// Judges `doc` (`{"spec": …}` and other body fields) by `kind`; empty means valid.
///
/// `locate` gives the place of a path in the files; where it has none, the nearest path above is asked.
pub fn validate(doc: &Json, kind: &Kind, locate: &dyn Fn(&Path) -> Option<Location>) -> Vec<Diagnostic> {
    let found = findings(doc, kind);
    let told = |finding: Finding| {
        let hidden = is_secret(&kind.hints, &finding.path);
        Diagnostic { hidden, ..diagnostic(finding, locate) }
    };
    found.into_iter().map(told).collect()
}

/// Whether the lines of a field may hold a secret in plain: those of the field itself, or all of a kind whose documents do.
pub fn is_secret(hints: &Hints, path: &Path) -> bool {
    !hints.plain.is_empty() || Hints::covers(&hints.sensitive, path) || Hints::covers(&hints.write_only, path)
}

/// [`validate`] without places.
pub fn findings(doc: &Json, kind: &Kind) -> Vec<Finding> {
    let validator = match kind.validator.of_kind(kind) {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("the schema of the kind `{}` cannot be used: {error}", kind.name);
            return vec![Finding::new(codes::PLUGIN_CONTRACT, Path::default(), message)];
        }
    };
    let markers = Markers::of(doc);
    if markers.is_empty() && kind.hints.sensitive.is_empty() && validator.is_valid(doc) {
        return Vec::new();
    }
    let mut out = markers.misplaced(&kind.hints);
    out.extend(markers::plain_secrets(doc, &kind.hints));
    out.extend(words::errors(validator, doc, &markers, &kind.hints));
    settle(out)
}

/// Judges `value` by a schema that is used once (a provider's `config`).
///
/// # Errors
///
/// In words, if the schema itself cannot be used.
pub fn check(value: &Json, schema: &Json) -> Result<Vec<Finding>, String> {
    let hints = Hints::read(schema)?;
    let validator = compile::Compiled::new(schema.clone())?;
    let markers = Markers::of(value);
    Ok(settle(words::errors(&validator, value, &markers, &hints)))
}

/// Whether a field that `ref()` names can exist: None if it can, else the first name that cannot, with what was probably
/// meant. Judges only what the schema closes (`additionalProperties: false`) or, for outputs, lists.
pub fn undeclared(kind: &Kind, status: bool, path: &Path) -> Option<(String, Option<String>)> {
    compile::undeclared(&kind.schema, status, path)
}

/// In a stable order, without repetitions, within the limit. A field that is missing because it is misspelt is one mistake.
fn settle(mut out: Vec<Finding>) -> Vec<Finding> {
    let meant = |it: &Finding| {
        let name = it.hint.as_deref()?.strip_prefix("did you mean `")?.strip_suffix("`?")?;
        let (_, above) = it.path.0.split_last()?;
        Some(words::missing(&Path(above.to_vec()), name))
    };
    let misspelt: HashSet<String> = out.iter().filter(|it| it.code == codes::UNKNOWN_FIELD).filter_map(meant).collect();
    out.retain(|it| it.code != codes::MISSING_FIELD || !misspelt.contains(&it.message));
    // Errors first: what is cut off must not be why the document cannot be used.
    out.sort_by(|a, b| (a.warning, &a.path, a.code, &a.message).cmp(&(b.warning, &b.path, b.code, &b.message)));
    out.dedup();
    out.truncate(MAX_FINDINGS);
    out
}

fn diagnostic(finding: Finding, locate: &dyn Fn(&Path) -> Option<Location>) -> Diagnostic {
    let mut path = finding.path;
    let location = loop {
        match locate(&path) {
            Some(location) => break Some(location),
            None if path.0.pop().is_none() => break None,
            None => {}
        }
    };
    let judged = if finding.warning { Diagnostic::warning } else { Diagnostic::error };
    Diagnostic { location, hint: finding.hint, ..judged(finding.code, finding.message) }
}

#[cfg(test)]
mod tests;
