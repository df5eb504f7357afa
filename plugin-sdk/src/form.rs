//! The canonical spelling of documents: what a schema asks of their values, worked out once a type, and two ways to bring a
//! value into it. [`Form::take`] does it to a JSON value; [`Form::text`] writes a Rust value as JSON text at once, with no
//! value in between, as a scan does for each of its objects.
//!
//! Invariant: both come to the same value.

use serde::Serialize;

use crate::Json;

mod write;

/// What is to be done to values of one schema. Nesting is bounded by the schema's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// An object with a shape of its own: what is null in it is left out. What may be anything stays as it is.
    shaped: bool,
    /// A list whose order means nothing: sorted.
    unordered: bool,
    case: Option<Case>,
    /// Members that have something to be done, or a default; by name.
    members: Vec<(String, Form)>,
    /// Names of all members, where others have a form too.
    known: Vec<String>,
    /// Of the members that the schema does not name.
    rest: Option<Box<Form>>,
    items: Option<Box<Form>>,
    default: Option<Json>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    fn of(self, text: &str) -> String {
        match self {
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
        }
    }
}

impl Form {
    /// Of a JSON Schema in the contract's dialect.
    pub fn new(schema: &Json) -> Self {
        let properties = || schema.get("properties").and_then(Json::as_object).into_iter().flatten();
        let nested = |name: &str| schema.get(name).filter(|it| it.is_object()).map(Self::new).filter(|it| !it.is_idle());
        let rest = nested("additionalProperties").map(Box::new);
        Self {
            shaped: schema.get("properties").is_some() || schema.get("additionalProperties").is_some_and(Json::is_object),
            unordered: schema.get("x-trueup-unordered").and_then(Json::as_bool) == Some(true),
            case: match schema.get("x-trueup-format").and_then(Json::as_str) {
                Some("lowercase") => Some(Case::Lower),
                Some("uppercase") => Some(Case::Upper),
                _ => None,
            },
            members: properties().map(|(name, it)| (name.clone(), Self::new(it))).filter(|(_, it)| !it.is_idle()).collect(),
            known: if rest.is_some() { properties().map(|(name, _)| name.clone()).collect() } else { Vec::new() },
            rest,
            items: nested("items").map(Box::new),
            default: schema.get("default").cloned(),
        }
    }

    fn is_idle(&self) -> bool {
        *self == ANY
    }

    fn member(&self, name: &str) -> &Self {
        match (self.members.iter().find(|(it, _)| it == name), &self.rest) {
            (Some((_, form)), _) => form,
            (None, Some(rest)) if !self.known.iter().any(|it| it == name) => rest,
            (None, _) => &ANY,
        }
    }

    fn item(&self) -> &Self {
        self.items.as_deref().unwrap_or(&ANY)
    }

    /// Brings a value into its canonical spelling: defaults filled in where `fill`, texts in lower or upper case, lists
    /// without an order sorted, fields that are null left out. Markers stay as they are.
    pub fn take(&self, value: &mut Json, fill: bool) {
        match value {
            Json::Object(map) if map.keys().any(|it| is_reserved(it)) => {}
            Json::Object(map) => {
                map.retain(|_, it| !(self.shaped && it.is_null()));
                for (name, form) in self.members.iter().filter(|_| fill) {
                    if let Some(default) = &form.default {
                        map.entry(name.as_str()).or_insert_with(|| default.clone());
                    }
                }
                for (name, value) in map {
                    self.member(name).take(value, fill);
                }
            }
            Json::Array(items) => {
                items.iter_mut().for_each(|it| self.item().take(it, fill));
                if items.len() > 1 && self.unordered {
                    items.sort_by_cached_key(Json::to_string);
                }
            }
            Json::String(text) => {
                if let Some(case) = self.case {
                    *text = case.of(text);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    /// Adds the canonical text of an observed value to `out`; nothing is filled in. `each` is shown the name and the text of
    /// each of its members, the last word on a name counting.
    ///
    /// # Errors
    ///
    /// Those of the value's own `Serialize`, and a map whose keys are no texts.
    pub fn text(&self, value: &impl Serialize, out: &mut Vec<u8>, each: &mut dyn FnMut(&str, &[u8])) -> serde_json::Result<()> {
        let start = out.len();
        if value.serialize(write::Writer::new(out, self, Some(each))).is_ok() {
            return Ok(());
        }
        out.truncate(start);
        let mut value = serde_json::to_value(value)?;
        self.take(&mut value, false);
        for (name, it) in value.as_object().into_iter().flatten() {
            each(name, it.to_string().as_bytes());
        }
        serde_json::to_writer(out, &value)
    }
}

/// Nothing is to be done.
static ANY: Form = Form {
    shaped: false,
    unordered: false,
    case: None,
    members: Vec::new(),
    known: Vec::new(),
    rest: None,
    items: None,
    default: None,
};

/// An object with a name that begins so is a marker: nobody looks into it.
fn is_reserved(name: &str) -> bool {
    name.starts_with('$')
}

#[cfg(test)]
mod tests;
