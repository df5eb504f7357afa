//! YAML as a tree of values that know where they stand, for small files that people write.
//!
//! One document, the core dialect of YAML 1.2, no tags. Invariant: a tree is at most [`DEPTH`] deep and has at most
//! [`NODES`] values, aliases counted as often as they are used, so that recursion over it is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use trueup_core::diagnostic::{Code, Diagnostic, Location, codes};
use trueup_core::value::{Json, Map};

/// Bytes of a file.
pub(super) const BYTES: usize = 1 << 20;
const DEPTH: usize = 32;
const NODES: usize = 50_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub at: Location,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Null, a boolean, a number or a text.
    Plain(Json),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// One key of a mapping; keys are unique.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub key: String,
    pub at: Location,
    pub value: Node,
}

impl Node {
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
            let place = members.iter().position(|it| it.key == change.key);
            let removed = change.value.value == Value::Plain(Json::Null);
            match place.and_then(|it| members.get_mut(it)) {
                Some(_) if removed => members.retain(|it| it.key != change.key),
                Some(member) => member.value = member.value.merged(&change.value),
                None if removed => {}
                None => {
                    let nothing = Self { at: change.value.at.clone(), value: Value::Plain(Json::Null) };
                    members.push(Member { value: nothing.merged(&change.value), ..change.clone() });
                }
            }
        }
        Self { at: over.at.clone(), value: Value::Map(members) }
    }
}

/// Reads the one document of a file. Findings carry `code`, and never a value.
pub(super) fn read(file: &Arc<str>, bytes: &[u8], code: Code) -> Result<Node, Vec<Diagnostic>> {
    let whole = |message: String| {
        vec![Diagnostic::error(code, message).at(Location { file: Arc::clone(file), line: 1, column: 1, width: 0 })]
    };
    if bytes.len() > BYTES {
        return Err(whole(format!("`{file}` is longer than {BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|err| {
        let line = bytes.get(..err.valid_up_to()).unwrap_or_default().iter().filter(|it| **it == b'\n').count() + 1;
        whole(format!("`{file}` is not UTF-8 (line {line})"))
    })?;
    let mut loader = Loader { file, code, open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0, found: Vec::new() };
    for event in Parser::new_from_str(text) {
        let done = match event {
            Err(err) => {
                let at = loader.location(Span::new(*err.marker(), *err.marker()));
                loader.found.push(Diagnostic::error(codes::SYNTAX, format!("not valid YAML: {}", err.info())).at(at));
                true
            }
            Ok((event, span)) => loader.event(event, span).is_err(),
        };
        if done {
            break;
        }
    }
    if loader.found.is_empty() { loader.root.ok_or_else(|| whole(format!("`{file}` is empty"))) } else { Err(loader.found) }
}

/// What is being filled: a list, or a mapping with the key whose value comes next.
enum Open {
    List(Vec<Node>),
    Map(Vec<Member>, Option<(String, Location)>),
}

struct Loader<'a> {
    file: &'a Arc<str>,
    code: Code,
    open: Vec<(Open, Location, usize)>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    found: Vec<Diagnostic>,
}

/// The rest of the file cannot be read; the finding is there.
struct Stop;

impl Loader<'_> {
    fn location(&self, span: Span) -> Location {
        let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        let (start, end): (Marker, Marker) = (span.start, span.end);
        let width = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 0 };
        Location {
            file: Arc::clone(self.file),
            line: number(start.line()),
            column: number(start.col()) + 1,
            width: number(width),
        }
    }

    fn stop(&mut self, at: Location, message: &str) -> Result<(), Stop> {
        self.found.push(Diagnostic::error(self.code, message).at(at));
        Err(Stop)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let at = self.location(span);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => self.stop(at, "a second document stands in this file"),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.put(node, 0),
                None => self.stop(at, "an alias stands inside the value that it names"),
            },
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                self.stop(at, "a tag has no meaning here")
            }
            Event::Scalar(text, style, anchor, None) => self.scalar(&text, style, anchor, at),
            Event::SequenceStart(anchor, None) => self.begin(Open::List(Vec::new()), at, anchor),
            Event::MappingStart(anchor, None) => self.begin(Open::Map(Vec::new(), None), at, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((Open::List(items), at, anchor)) => self.put(Node { at, value: Value::List(items) }, anchor),
                Some((Open::Map(members, _), at, anchor)) => self.put(Node { at, value: Value::Map(members) }, anchor),
                None => Err(Stop),
            },
        }
    }

    fn begin(&mut self, open: Open, at: Location, anchor: usize) -> Result<(), Stop> {
        if matches!(self.open.last(), Some((Open::Map(_, None), ..))) {
            return self.stop(at, "a key must be a text");
        }
        if self.open.len() == DEPTH {
            return self.stop(at, "values are nested too deep");
        }
        self.open.push((open, at, anchor));
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, at: Location) -> Result<(), Stop> {
        if let Some((Open::Map(members, key @ None), ..)) = self.open.last_mut() {
            if let Some(first) = members.iter().find(|it| it.key == text) {
                let finding = Diagnostic::error(codes::DUPLICATE_KEY, format!("the key `{text}` stands twice")).at(at.clone());
                self.found.push(finding.also(first.at.clone(), "first here"));
            }
            *key = Some((text.to_owned(), at));
            return Ok(());
        }
        let value = if style == ScalarStyle::Plain { self.plain(text, &at) } else { text.into() };
        self.put(Node { at, value: Value::Plain(value) }, anchor)
    }

    /// What a plain scalar means; one that YAML 1.1 read differently must be quoted.
    fn plain(&mut self, text: &str, at: &Location) -> Json {
        let digits = text.trim_start_matches(['-', '+']);
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
            "true" | "True" | "TRUE" => return true.into(),
            "false" | "False" | "FALSE" => return false.into(),
            _ => {}
        }
        let words = ["yes", "no", "on", "off"].iter().any(|it| text.eq_ignore_ascii_case(it));
        let number = digits.starts_with(|it: char| it.is_ascii_digit())
            && digits.bytes().all(|it| it.is_ascii_digit() || b"_:.eE+-oxX".contains(&it));
        if !words && !number {
            return text.into();
        }
        let canonical: Option<Json> = serde_json::from_str(text).ok().filter(|it: &Json| it.to_string() == text);
        match canonical {
            Some(Json::Number(number)) if number.as_f64().is_some_and(|it| it.abs() <= 9_007_199_254_740_992.0) => {
                Json::Number(number)
            }
            // `10.0.0.1`, `2026-01-31` and the like are text to every reader.
            _ if number && (digits.matches('.').count() > 1 || digits.contains('-')) => text.into(),
            _ => {
                let finding = Diagnostic::error(codes::AMBIGUOUS_SCALAR, "not every reader of YAML reads this value as the same");
                self.found.push(finding.at(at.clone()).hint("quote it"));
                text.into()
            }
        }
    }

    /// A value is complete.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        self.nodes += size(&node);
        if self.nodes > NODES * 8 {
            return self.stop(node.at, "the file holds too many values");
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((Open::List(items), ..)) => items.push(node),
            Some((Open::Map(members, key), ..)) => match key.take() {
                Some((key, at)) => members.push(Member { key, at, value: node }),
                None => return self.stop(node.at, "a key must be a text"),
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Plain(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(members) => members.iter().map(|it| size(&it.value)).sum(),
    }
}
