//! What the names in expressions stand for while documents are evaluated.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::address::ResourceId;
use crate::diagnostic::codes;
use crate::expression::{NameError, Names};
use crate::value::Json;

/// A reference's text with the resource it names and how people are shown that.
pub(crate) type References = HashMap<String, (ResourceId, String)>;

/// `vars` and `env` alone: all that metadata may use.
pub(crate) struct Fixed<'a> {
    pub vars: &'a Json,
    pub environment: &'a str,
}

fn var<'a>(vars: &'a Json, name: &str) -> Option<Cow<'a, Json>> {
    vars.get(name).map(Cow::Borrowed)
}

fn variables(vars: &Json) -> Vec<&str> {
    vars.as_object().map_or_else(Vec::new, |it| it.keys().map(String::as_str).collect())
}

fn misplaced() -> NameError {
    NameError { code: codes::EXPRESSION_PLACE, message: "other resources cannot be used here".to_owned(), hint: None }
}

impl Names for Fixed<'_> {
    fn var(&self, name: &str) -> Option<Cow<'_, Json>> {
        var(self.vars, name)
    }

    fn variables(&self) -> Vec<&str> {
        variables(self.vars)
    }

    fn environment(&self) -> &str {
        self.environment
    }

    fn spec(&self, _: &str) -> Result<Cow<'_, Json>, NameError> {
        Err(misplaced())
    }

    fn status(&self, _: &str) -> Result<Option<Cow<'_, Json>>, NameError> {
        Err(misplaced())
    }

    fn secret_granted(&self, _: &str) -> bool {
        false
    }

    fn itself(&self) -> Option<Cow<'_, Json>> {
        None
    }
}

/// Everything that the body of one document may name.
pub(crate) struct Scope<'a, 'o> {
    pub fixed: Fixed<'a>,
    pub granted: &'a [String],
    pub references: &'a References,
    /// The evaluated document of a resource.
    pub document: &'a dyn Fn(&ResourceId) -> Option<&'a Json>,
    /// The outputs of a resource; None while they are not known.
    pub status: &'a dyn Fn(&ResourceId) -> Option<Json>,
    /// The resource's own document, as far as it is evaluated.
    pub own: &'o Json,
}

impl Scope<'_, '_> {
    fn target(&self, reference: &str) -> Result<&ResourceId, NameError> {
        let missing = || NameError::missing(format!("no resource `{reference}` is declared"), None);
        self.references.get(reference).map(|(id, _)| id).ok_or_else(missing)
    }
}

impl Names for Scope<'_, '_> {
    fn var(&self, name: &str) -> Option<Cow<'_, Json>> {
        var(self.fixed.vars, name)
    }

    fn variables(&self) -> Vec<&str> {
        variables(self.fixed.vars)
    }

    fn environment(&self) -> &str {
        self.fixed.environment
    }

    fn spec(&self, reference: &str) -> Result<Cow<'_, Json>, NameError> {
        let id = self.target(reference)?;
        let spec = (self.document)(id).and_then(|it| it.get("spec"));
        spec.map(Cow::Borrowed).ok_or_else(|| NameError::missing(format!("`{reference}` has no spec"), None))
    }

    fn status(&self, reference: &str) -> Result<Option<Cow<'_, Json>>, NameError> {
        Ok((self.status)(self.target(reference)?).map(Cow::Owned))
    }

    fn shortest(&self, reference: &str) -> String {
        self.references.get(reference).map_or_else(|| reference.to_owned(), |(_, short)| short.clone())
    }

    fn secret_granted(&self, name: &str) -> bool {
        self.granted.iter().any(|it| it == name)
    }

    fn itself(&self) -> Option<Cow<'_, Json>> {
        Some(Cow::Borrowed(self.own))
    }
}
