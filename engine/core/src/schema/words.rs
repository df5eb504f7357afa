//! What a schema refuses, in words for people.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};

use super::compile::Compiled;
use super::markers::Markers;
use super::suggest::{did_you_mean, nearest};
use super::{Finding, MAX_FINDINGS};
use crate::diagnostic::codes;
use crate::manifest::Hints;
use crate::value::{Json, Path};

/// Characters of a value that a message shows.
const MAX_SHOWN: usize = 48;
/// Names that a message lists.
const MAX_LISTED: usize = 8;
/// Choices inside choices that are looked into for what was probably meant.
const MAX_CHOICES: usize = 8;

/// Everything that `compiled` refuses in `doc`, but what depends on markers.
pub fn errors(compiled: &Compiled, doc: &Json, markers: &Markers, hints: &Hints) -> Vec<Finding> {
    let mut teller = Teller { compiled, doc, markers, hints, out: Vec::new() };
    for error in compiled.errors(doc) {
        if teller.out.len() > MAX_FINDINGS {
            break;
        }
        teller.tell(&error, 0);
    }
    teller.out
}

struct Teller<'a> {
    compiled: &'a Compiled,
    doc: &'a Json,
    markers: &'a Markers,
    hints: &'a Hints,
    out: Vec<Finding>,
}

impl Teller<'_> {
    fn path(&self, error: &ValidationError<'_>) -> Path {
        Path::from_pointer(error.instance_path().as_str(), self.doc)
    }

    /// Whether the error could go away once the markers are filled in.
    fn undecided(&self, error: &ValidationError<'_>, path: &Path) -> bool {
        if self.markers.is_empty() {
            return false;
        }
        let schema_path = error.schema_path().as_str();
        let conditional = ["/then", "/else", "/dependentSchemas"].iter().any(|it| schema_path.contains(it));
        // Judged as a whole, so that a part that is not there yet decides.
        let whole = matches!(
            error.kind(),
            ValidationErrorKind::AnyOf { .. }
                | ValidationErrorKind::OneOfNotValid { .. }
                | ValidationErrorKind::OneOfMultipleValid { .. }
                | ValidationErrorKind::Not { .. }
                | ValidationErrorKind::Constant { .. }
                | ValidationErrorKind::Enum { .. }
                | ValidationErrorKind::Contains
                | ValidationErrorKind::UniqueItems
                | ValidationErrorKind::UnevaluatedItems { .. }
                | ValidationErrorKind::UnevaluatedProperties { .. }
        );
        conditional || self.markers.hide(path) || whole && self.markers.within(path)
    }

    fn tell(&mut self, error: &ValidationError<'_>, choices: usize) {
        let path = self.path(error);
        if self.undecided(error, &path) {
            return;
        }
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                self.unknown_fields(error, &path, unexpected);
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let message = missing(&path, name);
                self.out.push(Finding::new(codes::MISSING_FIELD, path, message));
            }
            ValidationErrorKind::FalseSchema => self.forbidden(path),
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } if choices < MAX_CHOICES => {
                self.choice(&path, error.instance(), context, choices);
            }
            ValidationErrorKind::PropertyNames { error: inner } => {
                let name = inner.instance().as_str().unwrap_or_default();
                let message = format!("`{name}` cannot be a key here: {}", self.rule(inner, true).0);
                self.out.push(Finding::new(codes::SCHEMA, path.key(name), message));
            }
            _ => {
                let hidden = Hints::covers(&self.hints.sensitive, &path) || Hints::covers(&self.hints.write_only, &path);
                let (rule, hint) = self.rule(error, hidden);
                let shown = if hidden { None } else { shown(error.instance()) };
                let here = shown.map(|it| format!(", here is {it}")).unwrap_or_default();
                let message = format!("{} {rule}{here}", place(&path));
                self.out.push(Finding::new(codes::SCHEMA, path, message).hint(hint));
            }
        }
    }

    fn unknown_fields(&mut self, error: &ValidationError<'_>, path: &Path, unexpected: &[String]) {
        let known = self.compiled.fields(error.schema_path().as_str());
        let known: Vec<&str> = known.into_iter().filter(|it| !(path.0.is_empty() && *it == "status")).collect();
        for name in unexpected.iter().take(MAX_FINDINGS) {
            let hint = did_you_mean(name, known.iter().copied()).or_else(|| list("there is", known.iter().copied()));
            let at = path.key(name);
            let message = format!("there is no field `{at}`");
            self.out.push(Finding::new(codes::UNKNOWN_FIELD, at, message).hint(hint));
        }
    }

    fn forbidden(&mut self, path: Path) {
        let finding = if path == Path::default().key("status") {
            let finding = Finding::new(codes::UNKNOWN_FIELD, path, "`status` is what the system reports and cannot be declared");
            finding.hint(Some("remove it".to_owned()))
        } else {
            let message = format!("{} is not allowed here", place(&path));
            Finding::new(codes::UNKNOWN_FIELD, path, message)
        };
        self.out.push(finding);
    }

    /// A value that fits none of several forms: tells what is wrong with the one that was probably meant.
    fn choice(&mut self, path: &Path, value: &Json, branches: &[Vec<ValidationError<'static>>], choices: usize) {
        let here = |error: &ValidationError<'_>| self.path(error) == *path;
        let misfit = |error: &&ValidationError<'static>| here(error) && matches!(error.kind(), ValidationErrorKind::Type { .. });
        let other_variant = |error: &ValidationError<'_>| {
            matches!(error.kind(), ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. })
        };
        let of_other_type = |branch: &Vec<ValidationError<'static>>| branch.iter().any(|it| misfit(&it));
        if branches.iter().all(of_other_type) {
            let mut types: Vec<String> = Vec::new();
            for kind in branches.iter().flatten().filter(misfit).filter_map(|it| types_of(it.kind())) {
                if !types.contains(&kind) {
                    types.push(kind);
                }
            }
            let hidden = Hints::covers(&self.hints.sensitive, path) || Hints::covers(&self.hints.write_only, path);
            let shown = if hidden { None } else { shown(value) };
            let here = shown.map(|it| format!(", here is {it}")).unwrap_or_default();
            let message = format!("{} must be {}{here}", place(path), types.join(" or "));
            self.out.push(Finding::new(codes::SCHEMA, path.clone(), message));
            return;
        }
        let likely = branches.iter().filter(|it| !it.is_empty());
        let likely = likely.min_by_key(|it| (of_other_type(it), it.iter().any(other_variant), it.len()));
        match likely {
            Some(branch) => branch.iter().for_each(|error| self.tell(error, choices + 1)),
            None => {
                let message = format!("{} has none of the forms that it may have", place(path));
                self.out.push(Finding::new(codes::SCHEMA, path.clone(), message));
            }
        }
    }

    /// The rule that was broken, to stand behind the place; and what to do.
    fn rule(&self, error: &ValidationError<'_>, hidden: bool) -> (String, Option<String>) {
        use ValidationErrorKind as Kind;
        let rule = match error.kind() {
            kind @ Kind::Type { kind: wanted } => {
                let rule = types_of(kind).map_or_else(|| "has the wrong type".to_owned(), |it| format!("must be {it}"));
                return (rule, quote(wanted, error.instance(), hidden));
            }
            Kind::Enum { options } => return enumeration(options, error.instance(), hidden),
            Kind::Constant { expected_value } => format!("must be `{expected_value}`"),
            Kind::Minimum { limit } => format!("must be at least {limit}"),
            Kind::Maximum { limit } => format!("must be at most {limit}"),
            Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
            Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
            Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
            Kind::MinLength { limit: 1 } => "must not be empty".to_owned(),
            Kind::MinLength { limit } => format!("must have at least {limit} characters"),
            Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
            Kind::MinItems { limit } => format!("must have at least {limit} {}", plural(*limit, "item")),
            Kind::MaxItems { limit } => format!("must have at most {limit} {}", plural(*limit, "item")),
            Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
            Kind::MinProperties { limit } => format!("must have at least {limit} {}", plural(*limit, "field")),
            Kind::MaxProperties { limit } => format!("must have at most {limit} {}", plural(*limit, "field")),
            Kind::UniqueItems => "must not hold an item twice".to_owned(),
            Kind::Contains => "lacks an item that it must have".to_owned(),
            Kind::Pattern { pattern } => format!("must match the pattern `{}`", cut(pattern)),
            Kind::Format { format } => format!("must be of the format `{}`", cut(format)),
            Kind::OneOfMultipleValid { .. } => "has several of the forms of which it must have one".to_owned(),
            Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => "has none of the forms that it may have".to_owned(),
            Kind::Not { .. } => "has a form that is not allowed".to_owned(),
            other => format!("breaks the rule `{}` of its schema", other.keyword()),
        };
        (rule, None)
    }
}

/// What is said of a field that is not there.
pub(super) fn missing(above: &Path, name: &str) -> String {
    format!("`{}` is missing", above.key(name))
}

fn place(path: &Path) -> String {
    if path.0.is_empty() { "the document".to_owned() } else { format!("`{path}`") }
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn types_of(kind: &ValidationErrorKind) -> Option<String> {
    let ValidationErrorKind::Type { kind } = kind else { return None };
    let words: Vec<&str> = match kind {
        TypeKind::Single(one) => vec![type_word(*one)],
        TypeKind::Multiple(several) => several.iter().map(type_word).collect(),
    };
    Some(words.join(" or "))
}

fn type_word(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "a mapping",
    }
}

/// A text was wanted and YAML read something else.
fn quote(wanted: &TypeKind, value: &Json, hidden: bool) -> Option<String> {
    let text = match wanted {
        TypeKind::Single(one) => *one == JsonType::String,
        TypeKind::Multiple(several) => several.iter().any(|it| it == JsonType::String),
    };
    let scalar = value.is_number() || value.is_boolean();
    (text && scalar).then(|| if hidden { "put it in quotes".to_owned() } else { format!("put it in quotes: \"{value}\"") })
}

fn enumeration(options: &Json, value: &Json, hidden: bool) -> (String, Option<String>) {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<String> = options.iter().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned)).collect();
    let listed = list("must be one of", words.iter().map(String::as_str)).unwrap_or_else(|| "can have no value".to_owned());
    let hint = value.as_str().filter(|_| !hidden).and_then(|it| nearest(it, words.iter().map(String::as_str)));
    (listed, hint.map(|it| format!("did you mean `{it}`?")))
}

/// `what` and the names, as many as help.
fn list<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<String> = names.take(MAX_LISTED + 1).map(|it| format!("`{}`", cut(it))).collect();
    if names.len() > MAX_LISTED {
        names.truncate(MAX_LISTED);
        names.push("…".to_owned());
    }
    (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
}

/// A value short enough to be shown.
fn shown(value: &Json) -> Option<String> {
    match value {
        Json::Null => Some("null".to_owned()),
        Json::Array(_) => Some("a list".to_owned()),
        Json::Object(_) => Some("a mapping".to_owned()),
        Json::Bool(_) | Json::Number(_) => Some(format!("`{value}`")),
        Json::String(text) if text.is_empty() => Some("an empty text".to_owned()),
        Json::String(text) if text.chars().count() <= MAX_SHOWN => Some(format!("the text `{}`", text.escape_debug())),
        Json::String(_) => None,
    }
}

fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_SHOWN).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
