//! Makes schemas ready to judge with, once each.

use std::fmt;
use std::sync::{Arc, OnceLock};

use jsonschema::{Draft, PatternOptions};

use super::cost;
use super::suggest::nearest;
use crate::manifest::{Kind, resolve};
use crate::value::{Json, Map, Path, Segment, json};

/// Bytes of one compiled pattern, and of what matching may cache.
const PATTERN_SIZE: usize = 1 << 20;

/// A kind's schema, compiled on first use and shared by all clones.
#[derive(Clone, Default)]
pub struct Validator(Arc<OnceLock<Result<Compiled, String>>>);

impl Validator {
    /// The compiled schema of documents of `kind`, whose validator this is.
    pub(super) fn of_kind(&self, kind: &Kind) -> Result<&Compiled, &str> {
        let compiled = self.0.get_or_init(|| Compiled::new(document_schema(&kind.schema)));
        compiled.as_ref().map_err(String::as_str)
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.get() {
            None => "Validator(not compiled)",
            Some(Ok(_)) => "Validator(compiled)",
            Some(Err(_)) => "Validator(failed)",
        })
    }
}

/// A compiled schema and its text.
pub struct Compiled {
    validator: jsonschema::Validator,
    pub schema: Json,
}

impl Compiled {
    /// Compiles `schema`: nothing is fetched, patterns take linear time, and a schema that could judge without end is
    /// refused.
    pub fn new(schema: Json) -> Result<Self, String> {
        cost::check(&schema)?;
        let patterns = PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE);
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .offline();
        match options.build(&schema) {
            Ok(validator) => Ok(Self { validator, schema }),
            Err(error) => Err(format!("at `{}`: {}", error.instance_path(), error.masked())),
        }
    }

    pub fn is_valid(&self, value: &Json) -> bool {
        self.validator.is_valid(value)
    }

    pub fn errors<'a>(&'a self, value: &'a Json) -> impl Iterator<Item = jsonschema::ValidationError<'a>> {
        self.validator.iter_errors(value)
    }

    /// Fields that the schema names at the place whose keyword `schema_path` refused something.
    pub fn fields(&self, schema_path: &str) -> Vec<&str> {
        let parent = schema_path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let Some(node) = self.schema.pointer(parent) else { return Vec::new() };
        let branches = ["allOf", "anyOf", "oneOf"].iter().filter_map(|it| node.get(it)?.as_array()).flatten();
        let nodes = std::iter::once(node).chain(branches).map(|it| follow(&self.schema, it));
        nodes.filter_map(|it| it.get("properties")?.as_object()).flat_map(Map::keys).map(String::as_str).collect()
    }
}

/// The schema of what may be declared: `status` describes outputs and is never allowed in documents.
fn document_schema(schema: &Json) -> Json {
    let mut out = schema.clone();
    if let Some(map) = out.as_object_mut() {
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("status".to_owned(), Json::Bool(false));
        }
        if let Some(required) = map.get_mut("required").and_then(Json::as_array_mut) {
            required.retain(|it| it != "status");
        }
    }
    out
}

/// The node that a chain of local references leads to.
fn follow<'a>(root: &'a Json, mut node: &'a Json) -> &'a Json {
    for _ in 0..32 {
        match node.get("$ref").and_then(Json::as_str).and_then(|it| resolve(root, it)) {
            Some(target) => node = target,
            None => break,
        }
    }
    node
}

/// See [`super::undeclared`].
pub fn undeclared(root: &Json, status: bool, path: &Path) -> Option<(String, Option<String>)> {
    let mut node = root.get("properties")?.get(if status { "status" } else { "spec" })?;
    let mut outputs = status;
    for segment in &path.0 {
        node = follow(root, node);
        // In branches a field may stand elsewhere.
        if ["allOf", "anyOf", "oneOf", "if", "patternProperties"].iter().any(|it| node.get(it).is_some()) {
            return None;
        }
        node = match segment {
            Segment::Key(name) => {
                let fields = node.get("properties").and_then(Json::as_object)?;
                let closed = outputs && node.get("additionalProperties").is_none()
                    || node.get("additionalProperties") == Some(&Json::Bool(false));
                match fields.get(name) {
                    Some(child) => child,
                    None if closed => {
                        return Some((name.clone(), nearest(name, fields.keys().map(String::as_str)).map(str::to_owned)));
                    }
                    None => return None,
                }
            }
            Segment::Index(_) | Segment::Item { .. } => node.get("items")?,
        };
        outputs = false;
    }
    None
}
