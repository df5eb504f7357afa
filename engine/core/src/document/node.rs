//! The tree a document is read into: values with the places they came from.
//!
//! A place is a byte range in a file, twelve bytes; lines and columns are worked out only when a finding is shown. After
//! layers are merged a tree holds places of several files, so that every value still points at the text that set it.
//! Invariant: a tree is at most as deep as [`super::Limits::depth`] allows, so that recursion over it is bounded.

use std::sync::{Arc, OnceLock};

use serde_json::Number;

use crate::diagnostic::Location;
use crate::manifest::{ANY_KEY, ListKey};
use crate::value::{Json, Map, Path, Segment, is_item};

/// A byte range in one of the files at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index into [`Sources`].
    pub file: u32,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Whether `other` lies within this range.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }

    /// The part of this range that starts at `start` and is `width` bytes long.
    pub(crate) fn part(self, start: u32, width: u32) -> Self {
        Self { file: self.file, start, end: start.saturating_add(width) }
    }
}

/// One file and where its lines start.
#[derive(Debug)]
pub(crate) struct Source {
    pub path: Arc<str>,
    pub bytes: Arc<[u8]>,
    lines: OnceLock<Vec<u32>>,
}

impl Source {
    pub(crate) fn new(path: Arc<str>, bytes: Arc<[u8]>) -> Self {
        Self { path, bytes, lines: OnceLock::new() }
    }

    /// The bytes of a range; empty where the range is not in the file.
    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Line and column of a range; the width ends with the line.
    pub(crate) fn location(&self, span: Span) -> Location {
        let lines = self.lines.get_or_init(|| line_starts(&self.bytes));
        let line = lines.partition_point(|start| *start <= span.start).max(1);
        let line_start = lines.get(line - 1).copied().unwrap_or(0);
        let line_end = lines.get(line).map_or(self.bytes.len(), |next| *next as usize - 1);
        let end = (span.end as usize).clamp(span.start as usize, line_end.max(span.start as usize));
        let count = |from: usize, to: usize| self.bytes.get(from..to).map_or(0, characters);
        let width = count(span.start as usize, end);
        Location {
            file: self.path.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: count(line_start as usize, span.start as usize) + 1,
            width,
        }
    }
}

/// Characters in UTF-8 bytes: every byte that does not continue one. A carriage return counts nothing.
fn characters(bytes: &[u8]) -> u32 {
    let count = bytes.iter().filter(|byte| **byte & 0xC0 != 0x80 && **byte != b'\r').count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn line_starts(bytes: &[u8]) -> Vec<u32> {
    let mut starts = vec![0];
    starts.extend((1_u32..).zip(bytes).filter(|(_, byte)| **byte == b'\n').map(|(next, _)| next));
    starts
}

/// The files that spans point into.
#[derive(Debug, Default)]
pub(crate) struct Sources(pub Vec<Source>);

impl Sources {
    pub(crate) fn get(&self, span: Span) -> Option<&Source> {
        self.0.get(span.file as usize)
    }

    pub(crate) fn location(&self, span: Span) -> Location {
        match self.get(span) {
            Some(source) => source.location(span),
            None => Location { file: "".into(), line: 1, column: 1, width: 0 },
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub span: Span,
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    /// A quoted or block scalar, or a plain one that was found to be text.
    Text(String),
    /// A plain YAML scalar whose meaning waits for the dialect of its reader.
    Plain(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// One key and its value. Keys are unique within a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub key: String,
    pub key_span: Span,
    /// The key is a plain YAML scalar whose meaning waits for the dialect.
    pub plain: bool,
    pub node: Node,
}

impl Node {
    /// The members of a mapping; none for other values.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    pub(crate) fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.member(key).map(|member| &member.node)
    }

    /// Text of a scalar that stands for text in every dialect's eyes, plain or quoted.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// Takes a member out of a mapping.
    pub(crate) fn take(&mut self, key: &str) -> Option<Member> {
        let Value::Map(members) = &mut self.value else { return None };
        let at = members.iter().position(|member| member.key == key)?;
        Some(members.remove(at))
    }

    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self.value, Value::List(_) | Value::Map(_))
    }

    /// What people call the type of this value.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) | Value::Plain(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value as JSON. A plain scalar becomes its text.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(it) => Json::Bool(*it),
            Value::Number(it) => Json::Number(it.clone()),
            Value::Text(it) | Value::Plain(it) => Json::String(it.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(members) => {
                Json::Object(members.iter().map(|member| (member.key.clone(), member.node.to_json())).collect())
            }
        }
    }

    /// The value as JSON, texts moved out: what stays behind keeps its shape and its places, and empty texts.
    pub(crate) fn drain_json(&mut self) -> Json {
        match &mut self.value {
            Value::Null => Json::Null,
            Value::Bool(it) => Json::Bool(*it),
            Value::Number(it) => Json::Number(it.clone()),
            Value::Text(it) | Value::Plain(it) => Json::String(std::mem::take(it)),
            Value::List(items) => Json::Array(items.iter_mut().map(Node::drain_json).collect()),
            Value::Map(members) => {
                let mut out = Map::new();
                for member in members {
                    out.insert(member.key.clone(), member.node.drain_json());
                }
                Json::Object(out)
            }
        }
    }

    /// Replaces this value by a computed one, which keeps the place.
    pub(crate) fn set(&mut self, value: Json) {
        self.value = Self::of_json(value, self.span).value;
    }

    fn of_json(value: Json, span: Span) -> Self {
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(it) => Value::Bool(it),
            Json::Number(it) => Value::Number(it),
            Json::String(it) => Value::Text(it),
            Json::Array(items) => Value::List(items.into_iter().map(|item| Self::of_json(item, span)).collect()),
            Json::Object(map) => Value::Map(
                map.into_iter()
                    .map(|(key, item)| Member { key, key_span: span, plain: false, node: Self::of_json(item, span) })
                    .collect(),
            ),
        };
        Self { span, value }
    }

    /// The node one step below.
    pub(crate) fn step(&self, segment: &Segment) -> Option<&Self> {
        match (&self.value, segment) {
            (Value::Map(_), Segment::Key(key)) => self.get(key),
            (Value::List(items), Segment::Index(at)) => items.get(*at),
            (Value::List(items), Segment::Item { key, value }) => {
                items.iter().find(|item| is_item(key, value, |field| item.get(field)?.key_text()))
            }
            _ => None,
        }
    }

    /// Adds the places that a schema's hint means, lists passed through item by item.
    pub(crate) fn spans_at(&self, hint: &[Segment], out: &mut Vec<Span>) {
        match (&self.value, hint.split_first()) {
            (Value::List(items), _) => items.iter().for_each(|item| item.spans_at(hint, out)),
            (_, None) => out.push(self.span),
            (Value::Map(members), Some((Segment::Key(wanted), rest))) => {
                let any = wanted == ANY_KEY;
                let meant = members.iter().filter(|it| any || it.key == *wanted);
                meant.for_each(|it| it.node.spans_at(rest, out));
            }
            _ => {}
        }
    }

    /// The value of a list's merge key of this item of it.
    pub(crate) fn merge_key(&self, key: &ListKey) -> Option<String> {
        key.value_by(|field| self.get(field)?.key_text())
    }

    /// Text under which a list item is found by its key's value: texts bare, other scalars as JSON.
    pub(crate) fn key_text(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) | Value::Plain(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(it) => Some(it.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The node at a path.
    pub(crate) fn find(&self, path: &Path) -> Option<&Self> {
        path.0.iter().try_fold(self, Self::step)
    }

    /// What to underline for the value at `path`: key and value where they share a line and the value is a scalar, the
    /// key alone above a nested value, the item of a list. Where nothing stands there, the nearest thing above.
    pub(crate) fn span_of(&self, path: &Path) -> Span {
        let mut at = self;
        let mut span = self.span;
        for segment in &path.0 {
            let next = match segment {
                Segment::Key(key) => at.member(key).map(|member| (member.underline(), &member.node)),
                other => at.step(other).map(|node| (node.span, node)),
            };
            let Some((here, node)) = next else { break };
            (span, at) = (here, node);
        }
        span
    }
}

impl Member {
    /// Key and scalar, or the key alone above a nested value or one from another file.
    pub(crate) fn underline(&self) -> Span {
        let near = self.node.span.file == self.key_span.file && self.node.span.start >= self.key_span.end;
        if near && self.node.is_scalar() { Span { end: self.node.span.end, ..self.key_span } } else { self.key_span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, needle: &str, want: (u32, u32, u32)) {
        let start = text.find(needle).unwrap();
        let source = Source::new("a.yaml".into(), text.as_bytes().into());
        let span = Span { file: 0, start: start as u32, end: (start + needle.len()) as u32 };
        let got = source.location(span);
        assert_eq!((got.line, got.column, got.width), want, "{needle:?} in {text:?}");
    }

    #[test]
    fn columns_and_widths_count_characters() {
        check("a: b", "b", (1, 4, 1));
        check("a: ä\nü: öx\n", "öx", (2, 4, 2));
        check("a: 😀 b\n", "b", (1, 6, 1));
    }

    #[test]
    fn a_width_ends_with_its_line() {
        check("a: |\n  x\n  y\n", "x\n  y", (2, 3, 1));
        check("a: x\r\nb: y\r\n", "x\r\nb", (1, 4, 1));
        check("a:", "", (1, 1, 0));
    }
}
