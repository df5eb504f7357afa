//! YAML as a tree of values that know where they stand, for files that people write about a project.
//!
//! Reading is the core's ([`trueup_core::document::parse`]): this only pairs its values with their places, which become
//! lines and columns when somebody asks. One document, in the core dialect unless another is named. Invariant: a tree is at most [`DEPTH`] deep, so
//! that recursion over it is bounded.

use std::rc::Rc;
use std::sync::Arc;

use trueup_core::diagnostic::{Code, Diagnostic, Location};
use trueup_core::document::{Limits, RawDocument, parse};
use trueup_core::manifest::YamlDialect;
use trueup_core::value::{Json, Map, Path, Segment};

/// Bytes of a file.
pub(crate) const BYTES: usize = 1 << 20;
const DEPTH: usize = 32;

/// Where a value or a key stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    document: Rc<RawDocument>,
    path: Path,
    /// The key that leads to the value, not the value.
    key: bool,
}

impl Place {
    /// Line and column.
    pub fn location(&self) -> Location {
        if self.key { self.document.locate_key(&self.path) } else { self.document.locate(&self.path) }
    }

    fn below(&self, segment: Segment) -> Self {
        Self { document: Rc::clone(&self.document), path: self.path.with(segment), key: false }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub at: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Null, a boolean, a number or a text.
    Plain(Json),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// One key of a mapping; keys are unique.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub key: String,
    pub at: Place,
    pub value: Node,
}

impl Node {
    fn new(value: Json, at: Place) -> Self {
        let value = match value {
            Json::Array(items) => {
                let item = |(index, item)| Self::new(item, at.below(Segment::Index(index)));
                Value::List(items.into_iter().enumerate().map(item).collect())
            }
            Json::Object(members) => {
                let member = |(key, value): (String, Json)| {
                    let place = at.below(Segment::Key(key.clone()));
                    Member { key, at: Place { key: true, ..place.clone() }, value: Self::new(value, place) }
                };
                Value::Map(members.into_iter().map(member).collect())
            }
            plain => Value::Plain(plain),
        };
        Self { at, value }
    }

    /// Whether it is null, which is as good as not being there.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Plain(Json::Null))
    }

    /// The value without its places.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Plain(value) => value.clone(),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(members) => {
                Json::Object(members.iter().map(|it| (it.key.clone(), it.value.json())).collect::<Map<_, _>>())
            }
        }
    }

    /// This value with `over` merged in (RFC 7386): mappings merge, null takes away, all else replaces.
    pub fn merged(&self, over: &Self) -> Self {
        let Value::Map(changes) = &over.value else { return over.clone() };
        let mut members = match &self.value {
            Value::Map(members) => members.clone(),
            Value::Plain(_) | Value::List(_) => Vec::new(),
        };
        for change in changes {
            if change.value.is_null() {
                members.retain(|it| it.key != change.key);
            } else if let Some(member) = members.iter_mut().find(|it| it.key == change.key) {
                member.value = member.value.merged(&change.value);
            } else {
                let nothing = Self { at: change.at.clone(), value: Value::Plain(Json::Null) };
                members.push(Member { value: nothing.merged(&change.value), ..change.clone() });
            }
        }
        Self { at: over.at.clone(), value: Value::Map(members) }
    }
}

/// Reads the one document of a file. What is wrong with the file as a whole is said under `code`.
pub(crate) fn read(file: &Arc<str>, bytes: &[u8], code: Code) -> Result<Node, Vec<Diagnostic>> {
    read_as(file, bytes, code, YamlDialect::Core)
}

/// [`read`] for files that are another tool's too, with plain scalars as that one reads them.
pub(crate) fn read_as(file: &Arc<str>, bytes: &[u8], code: Code, dialect: YamlDialect) -> Result<Node, Vec<Diagnostic>> {
    let limits = Limits { file_bytes: BYTES, document_bytes: BYTES, depth: DEPTH, ..Limits::default() };
    let (documents, findings) = parse(file, bytes, &limits);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut documents = documents.into_iter();
    let Some(document) = documents.next() else {
        let at = Location { file: Arc::clone(file), line: 1, column: 1, width: 0 };
        return Err(vec![Diagnostic::error(code, format!("`{file}` is empty")).at(at)]);
    };
    if let Some(second) = documents.next() {
        let at = second.locate(&Path::default());
        return Err(vec![Diagnostic::error(code, "a second document stands in this file").at(at).hint("keep one")]);
    }
    let (value, findings) = document.json(dialect);
    if !findings.is_empty() {
        return Err(findings);
    }
    Ok(Node::new(value, Place { document: Rc::new(document), path: Path::default(), key: false }))
}
