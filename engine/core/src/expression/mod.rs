//! `${{ … }}` in the strings of documents: CEL without comprehensions.
//!
//! A [`Template`] is one string with its expressions parsed; evaluating it asks [`Names`] for what the expressions
//! name and does nothing else. The parser and the evaluator are our own, small enough to hold three promises that a
//! general CEL library does not make: every fault has a place for a caret, unknown values and secrets travel through
//! expressions without ever being looked at, and the cost is bounded before anything runs (see `lexer` and `parser` for
//! the limits on text, [`BUDGET`] for the work of an evaluation).
//!
//! Where it is narrower than CEL: no `map`, `filter`, `all`, `exists`; no bytes, unsigned numbers, timestamps or types
//! as values; a fault is never swallowed by `||` or `&&`, and a number is never infinite.

mod check;
mod condition;
mod evaluate;
mod functions;
mod lexer;
mod parser;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use self::check::Facts;
pub use self::condition::{Condition, OwnField};
use self::evaluate::{Evaluator, Value};
pub use self::functions::{FUNCTIONS, METHODS};
use self::lexer::Until;
use self::parser::Tree;
use crate::diagnostic::{Code, codes};
use crate::value::{Json, Path};

/// Bytes that one evaluation may read or make, counted generously.
pub const BUDGET: usize = 64 << 20;
/// Bytes of what one template may evaluate to.
pub const MAX_RESULT: usize = 4 << 20;

/// What is wrong with an expression, and where in the string that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    pub code: Code,
    pub message: String,
    /// Bytes of the string handed to [`Template::parse`]; `end` is exclusive, and equal to `start` where something is
    /// missing at the very end.
    pub start: usize,
    pub end: usize,
    pub hint: Option<String>,
}

impl ExpressionError {
    fn new(code: Code, start: usize, end: usize, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), start, end, hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExpressionError {}

/// Why [`Names`] has no answer; the expression adds the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    pub code: Code,
    pub message: String,
    pub hint: Option<String>,
}

impl NameError {
    /// Nothing of that name is declared.
    pub fn missing(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { code: codes::REFERENCE_MISSING, message: message.into(), hint }
    }
}

/// What the names in an expression stand for. Values may hold [`crate::value::unknown`] markers: whoever touches one
/// becomes unknown.
pub trait Names {
    /// `vars.name`.
    fn var(&self, name: &str) -> Option<Cow<'_, Json>>;

    /// All names of `vars`, for suggestions.
    fn variables(&self) -> Vec<&str> {
        Vec::new()
    }

    /// `env.name`.
    fn environment(&self) -> &str;

    /// The value of `ref('…').spec`.
    fn spec(&self, reference: &str) -> Result<Cow<'_, Json>, NameError>;

    /// The value of `ref('…').status`; None while it is not known.
    fn status(&self, reference: &str) -> Result<Option<Cow<'_, Json>>, NameError>;

    /// How people are shown the resource that a reference names: what [`Evaluated::Unknown`] carries.
    fn shortest(&self, reference: &str) -> String {
        reference.to_owned()
    }

    /// Whether the provider of the document was granted this secret.
    fn secret_granted(&self, name: &str) -> bool;

    /// `self`; None where it may not be used.
    fn itself(&self) -> Option<Cow<'_, Json>>;

    /// Whether what a value lacks may still come: a field or item that is not there is then unknown, and no fault.
    fn is_partial(&self) -> bool {
        false
    }
}

/// One `ref('…')` with what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The literal inside `ref()`.
    pub text: String,
    /// `.status` follows; else `.spec`.
    pub status: bool,
    /// What stands behind `.spec` or `.status`, as far as it is fixed by the text.
    pub path: Path,
    /// Bytes of `ref('…')` in the string; `end` is exclusive.
    pub start: usize,
    pub end: usize,
}

/// A part of a text that a secret belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPart {
    Text(String),
    /// Name of the secret.
    Secret(String),
}

/// What a template came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluated {
    Value(Json),
    /// Some part waits for this resource (its shortest form).
    Unknown(String),
    /// Some part is a secret.
    Secret {
        /// The secrets' names in order, joined by `+`: safe to show.
        name: String,
        parts: Vec<SecretPart>,
    },
}

/// A string that holds expressions. Cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Template {
    inner: Arc<Inner>,
}

#[derive(PartialEq)]
struct Inner {
    pieces: Vec<Piece>,
    facts: Facts,
}

#[derive(PartialEq)]
enum Piece {
    Text(String),
    Expression(Tree),
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { references, secrets, vars, own } = &self.inner.facts;
        f.debug_struct("Template")
            .field("references", references)
            .field("secrets", secrets)
            .field("vars", vars)
            .field("own", own)
            .finish_non_exhaustive()
    }
}

impl Template {
    /// Finds and parses the expressions of `text`; None where nothing in it needs evaluating.
    ///
    /// `$${{` stands for a literal `${{`. `${VAR}` and `{{ }}` mean nothing here.
    ///
    /// # Errors
    ///
    /// What can be told without values: syntax, limits, names and functions that do not exist, `ref` and `secret`
    /// without a literal.
    pub fn parse(text: &str) -> Result<Option<Self>, ExpressionError> {
        let mut pieces = Vec::new();
        let mut facts = Facts::default();
        let mut plain = String::new();
        let mut at = 0;
        let rest = |at: usize| text.get(at..).unwrap_or_default();
        while let Some(found) = rest(at).find("${{") {
            let before = rest(at).get(..found).unwrap_or_default();
            if let Some(before) = before.strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${{");
                at += found + 3;
                continue;
            }
            plain.push_str(before);
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            let tokens = lexer::read(text, at + found + 3, Until::Close)?;
            let tree = parser::parse(&tokens)?;
            facts.gather(&tree)?;
            at = tokens.last().map_or(text.len(), |end| end.end);
            pieces.push(Piece::Expression(tree));
        }
        if at == 0 {
            return Ok(None);
        }
        plain.push_str(rest(at));
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Some(Self { inner: Arc::new(Inner { pieces, facts }) }))
    }

    /// Parses `text` as one expression without `${{ }}` around it ([`Condition`]).
    ///
    /// # Errors
    ///
    /// As [`Template::parse`].
    pub fn bare(text: &str) -> Result<Self, ExpressionError> {
        let tree = parser::parse(&lexer::read(text, 0, Until::End)?)?;
        let mut facts = Facts::default();
        facts.gather(&tree)?;
        Ok(Self { inner: Arc::new(Inner { pieces: vec![Piece::Expression(tree)], facts }) })
    }

    /// Every `ref()`, in order of the text.
    pub fn references(&self) -> &[Reference] {
        &self.inner.facts.references
    }

    /// Names inside `secret()`, sorted.
    pub fn secrets(&self) -> &[String] {
        &self.inner.facts.secrets
    }

    /// Whether it reads `vars`.
    pub fn uses_vars(&self) -> bool {
        self.inner.facts.vars
    }

    /// Paths behind `self`, each as far as it is fixed by the text.
    pub fn own(&self) -> &[Path] {
        &self.inner.facts.own
    }

    /// Whether it names nothing but `vars` and `env`: what may stand in metadata, address fields and provider settings.
    pub fn is_static(&self) -> bool {
        let Facts { references, secrets, own, .. } = &self.inner.facts;
        references.is_empty() && secrets.is_empty() && own.is_empty()
    }

    /// Evaluates with a [`BUDGET`] of its own.
    ///
    /// A string that is one whole expression keeps the type of its value; among other text, values become text. If any
    /// part is unknown the whole is; else if any part is a secret the whole is.
    ///
    /// # Errors
    ///
    /// An undefined name or field, an operation on values that do not fit, a limit crossed, a secret that is not granted
    /// or used for anything but being (part of) a text.
    pub fn evaluate(&self, names: &dyn Names) -> Result<Evaluated, ExpressionError> {
        self.evaluate_within(names, &mut { BUDGET })
    }

    /// Evaluates, taking the work from `budget`, so that many templates can share one.
    ///
    /// # Errors
    ///
    /// As [`Template::evaluate`].
    pub fn evaluate_within(&self, names: &dyn Names, budget: &mut usize) -> Result<Evaluated, ExpressionError> {
        if let [Piece::Expression(tree)] = self.inner.pieces.as_slice() {
            return Evaluator::new(tree, names, budget).whole();
        }
        let mut text = Assembly::default();
        for piece in &self.inner.pieces {
            match piece {
                Piece::Text(plain) => text.push(plain),
                Piece::Expression(tree) => {
                    let mut evaluator = Evaluator::new(tree, names, budget);
                    match evaluator.text()? {
                        Value::Json(value) => text.push(value.as_str().unwrap_or_default()),
                        Value::Secret(parts) => parts.into_iter().for_each(|part| text.part(part)),
                        Value::Unknown(after) => text.unknown = text.unknown.or(Some(after)),
                        Value::Vars | Value::Environment | Value::Resource(_) => {}
                    }
                    evaluator.fits(text.length)?;
                }
            }
        }
        Ok(text.finish())
    }
}

/// A text being put together from pieces.
#[derive(Default)]
struct Assembly {
    parts: Vec<SecretPart>,
    unknown: Option<String>,
    length: usize,
}

impl Assembly {
    fn push(&mut self, text: &str) {
        self.length += text.len();
        match self.parts.last_mut() {
            Some(SecretPart::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(SecretPart::Text(text.to_owned())),
        }
    }

    fn part(&mut self, part: SecretPart) {
        match part {
            SecretPart::Text(text) => self.push(&text),
            SecretPart::Secret(_) => self.parts.push(part),
        }
    }

    fn finish(mut self) -> Evaluated {
        if let Some(after) = self.unknown {
            return Evaluated::Unknown(after);
        }
        match self.parts.pop() {
            None => Evaluated::Value(Json::String(String::new())),
            Some(SecretPart::Text(text)) if self.parts.is_empty() => Evaluated::Value(Json::String(text)),
            Some(last) => {
                self.parts.push(last);
                secret(self.parts)
            }
        }
    }
}

/// The value that `parts` make, of which one at least is a secret.
fn secret(parts: Vec<SecretPart>) -> Evaluated {
    let mut names: Vec<&str> = Vec::new();
    for part in &parts {
        if let SecretPart::Secret(name) = part
            && !names.contains(&name.as_str())
        {
            names.push(name);
        }
    }
    Evaluated::Secret { name: names.join("+"), parts }
}

#[cfg(test)]
mod tests;
