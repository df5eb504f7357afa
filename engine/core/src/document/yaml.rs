//! Reads the documents of one piece of a YAML file into trees with places.
//!
//! Works from the parser's events with a stack of its own. Aliases become copies of what they name, within a budget, and
//! keep the place where the value is written. What a plain scalar means is decided later, when the reader of the document
//! is known.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::Limits;
use super::build::{Builder, Key};
use super::node::{Node, Source, Span, Value};
use super::text::shown;
use crate::diagnostic::{Diagnostic, codes};

/// A finished document.
pub(crate) struct Read {
    pub node: Node,
    /// Whether some key begins with `$`.
    pub reserved: bool,
}

/// Reads the documents in `range`, in order. With findings nothing of the range is to be trusted.
pub(crate) fn read(source: &Source, text: &str, range: Range<usize>, file: u32, limits: &Limits) -> (Vec<Read>, Vec<Diagnostic>) {
    let piece = text.get(range.clone()).unwrap_or_default();
    let builder = Builder::new(source, limits);
    let offsets = Offsets::new(piece, range.start);
    let mut loader =
        Loader { builder, limits, file, offsets, anchors: HashMap::new(), open: Vec::new(), spent: Spent::default() };
    let mut out = Vec::new();
    let mut parser = Parser::new_from_str(piece);
    while let Some(next) = parser.next_event() {
        let (event, place) = match next {
            Ok(it) => it,
            Err(error) => {
                loader.syntax(&error, piece);
                break;
            }
        };
        let span = loader.offsets.span(file, place.start, place.end);
        match loader.event(event, span) {
            Step::Nothing => {}
            Step::Done(node) if is_empty(&node) => {}
            Step::Done(node) => out.push(Read { node, reserved: loader.builder.reserved }),
            Step::Stop => break,
        }
    }
    (out, loader.builder.findings)
}

/// What `---` alone, or a comment alone, gives.
fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Plain(text) if matches!(text.as_str(), "" | "~" | "null"))
}

enum Step {
    Nothing,
    Done(Node),
    /// The rest of the range cannot be read.
    Stop,
}

/// Nodes and bytes that came by aliases.
#[derive(Default)]
struct Spent {
    nodes: usize,
    bytes: usize,
    /// Nodes kept for aliases to come.
    kept: usize,
}

struct Anchored {
    node: Node,
    size: Size,
}

struct Loader<'a> {
    builder: Builder<'a>,
    limits: &'a Limits,
    file: u32,
    offsets: Offsets<'a>,
    /// None: too large to be copied even once.
    anchors: HashMap<usize, Option<Anchored>>,
    /// Anchor of each open list and mapping; 0 for none.
    open: Vec<usize>,
    spent: Spent,
}

impl Loader<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Step::Nothing,
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.spent = Spent::default();
                self.builder.reserved = false;
                Step::Nothing
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let value = self.scalar(text.into_owned(), plain, tag.as_deref(), span);
                self.finish(Node { span, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => self.begin(false, anchor, tag.as_deref(), span),
            Event::MappingStart(anchor, tag) => self.begin(true, anchor, tag.as_deref(), span),
            Event::SequenceEnd | Event::MappingEnd => {
                let anchor = self.open.pop().unwrap_or_default();
                match self.builder.close(span.end) {
                    Some(node) => self.finish(node, anchor),
                    None => Step::Stop,
                }
            }
            Event::Alias(id) => self.alias(id, span),
        }
    }

    fn begin(&mut self, map: bool, anchor: usize, tag: Option<&Tag>, span: Span) -> Step {
        if self.builder.wants_key() {
            self.builder.error(codes::SYNTAX, span, "a key must be a text, not a list or a mapping").hint =
                Some("quote a value that begins with `{` or `[`".into());
            return Step::Stop;
        }
        match tag.and_then(known_tag) {
            Some("map") if map => {}
            Some("seq") if !map => {}
            _ => self.refuse_tag(tag, span),
        }
        self.open.push(anchor);
        if self.builder.open(map, span) { Step::Nothing } else { Step::Stop }
    }

    fn scalar(&mut self, text: String, plain: bool, tag: Option<&Tag>, span: Span) -> Value {
        match tag.and_then(known_tag) {
            Some("str") => Value::Text(text),
            Some("int" | "float" | "bool" | "null") => Value::Plain(text),
            _ => {
                self.refuse_tag(tag, span);
                if plain { Value::Plain(text) } else { Value::Text(text) }
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag {
            let name =
                if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { format!("{}{}", tag.handle, tag.suffix) };
            let message = format!("the tag {} has no meaning here", shown(&name));
            self.builder.error(codes::UNKNOWN_TAG, span, message).hint = Some("write the value without a tag".into());
        }
    }

    /// A value is complete: it becomes a key, a part of what is open, or the document.
    fn finish(&mut self, node: Node, anchor: usize) -> Step {
        if anchor != 0 {
            self.keep(anchor, &node);
        }
        if self.builder.wants_key() {
            let (text, plain) = match node.value {
                Value::Text(text) => (text, false),
                Value::Plain(text) => (text, true),
                _ => {
                    self.builder.error(codes::SYNTAX, node.span, "a key must be a text, not a list or a mapping");
                    return Step::Stop;
                }
            };
            self.builder.key(Key { text, span: node.span, plain });
            return Step::Nothing;
        }
        self.builder.put(node).map_or(Step::Nothing, Step::Done)
    }

    fn keep(&mut self, anchor: usize, node: &Node) {
        let size = size(node, self.limits.alias_nodes);
        let kept = self.spent.kept + size.nodes;
        let fits = kept <= self.limits.alias_nodes && size.bytes <= self.limits.document_bytes;
        if fits {
            self.spent.kept = kept;
        }
        self.anchors.insert(anchor, fits.then(|| Anchored { node: node.clone(), size }));
    }

    fn alias(&mut self, id: usize, span: Span) -> Step {
        let limits = self.limits;
        let Some(anchored) = self.anchors.get(&id) else {
            self.builder.error(codes::SYNTAX, span, "an alias stands inside the value that it names");
            return Step::Stop;
        };
        if let Some(Anchored { node, size }) = anchored {
            self.spent.nodes = self.spent.nodes.saturating_add(size.nodes);
            self.spent.bytes = self.spent.bytes.saturating_add(size.bytes);
            let fits = self.spent.nodes <= limits.alias_nodes && self.spent.bytes <= limits.document_bytes;
            if fits && self.builder.depth() + size.height <= limits.depth {
                let node = node.clone();
                return self.finish(node, 0);
            }
        }
        let message = format!("aliases (`*name`) add more than {} values, or nest too deep", limits.alias_nodes);
        self.builder.error(codes::DOCUMENT_LIMIT, span, message).hint =
            Some("write the values out, or split the document".into());
        Step::Stop
    }

    fn syntax(&mut self, error: &ScanError, piece: &str) {
        let at = error.marker().index();
        let span = self.offsets.point(self.file, at);
        // The scanner reads a flow collection to its end before anybody can count its levels; it gives up at 255.
        if error.info().contains("recursion limit") {
            let message = format!("the document is nested deeper than {} levels", self.limits.depth);
            self.builder.error(codes::DOCUMENT_LIMIT, span, message);
            return;
        }
        let line = line_of(piece, self.offsets.within(at));
        let hint = if line.contains("${{") {
            Some("put a value that holds an expression in double quotes, with single ones inside, or use a block with `|`")
        } else if line.trim_start_matches(' ').starts_with('\t') {
            Some("indent with spaces, not with tabs")
        } else if error.info().contains("mapping values are not allowed") {
            Some("quote a value that holds `: `, and check the indentation")
        } else {
            None
        };
        self.builder.error(codes::SYNTAX, span, sentence(error.info())).hint = hint.map(str::to_owned);
    }
}

/// The parser's words without its capitals and full stops.
fn sentence(info: &str) -> String {
    let info = info.trim_end_matches('.');
    let mut chars = info.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn line_of(text: &str, at: usize) -> &str {
    let start = text.get(..at).and_then(|it| it.rfind('\n')).map_or(0, |it| it + 1);
    let end = text.get(at..).and_then(|it| it.find('\n')).map_or(text.len(), |it| it + at);
    text.get(start..end).unwrap_or_default()
}

/// The tags of YAML's core schema; `!` alone means text.
fn known_tag(tag: &Tag) -> Option<&str> {
    if tag.is_yaml_core_schema() {
        return matches!(tag.suffix.as_str(), "str" | "int" | "float" | "bool" | "null" | "map" | "seq").then_some(&tag.suffix);
    }
    (tag.suffix.is_empty() && tag.handle == "!" || tag.handle.is_empty() && tag.suffix == "!").then_some("str")
}

/// How much a copy of a value costs.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    height: usize,
}

/// Counts up to `most` nodes and one more; what is larger is not counted on.
fn size(node: &Node, most: usize) -> Size {
    let mut total = Size::default();
    let mut rest = vec![(node, 0)];
    while let Some((node, depth)) = rest.pop() {
        total.nodes += 1;
        if total.nodes > most {
            break;
        }
        match &node.value {
            Value::Text(text) | Value::Plain(text) => total.bytes += text.len(),
            Value::List(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Map(members) => {
                total.bytes += members.iter().map(|it| it.key.len()).sum::<usize>();
                rest.extend(members.iter().map(|member| (&member.node, depth + 1)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        total.height = total.height.max(if node.is_scalar() { depth } else { depth + 1 });
    }
    total
}

/// From the parser's character positions in a piece to byte positions in the file.
struct Offsets<'a> {
    piece: &'a str,
    base: usize,
    /// Byte position of every 64th character; empty where every character is one byte.
    marks: Vec<u32>,
}

const STRIDE: usize = 64;

impl<'a> Offsets<'a> {
    fn new(piece: &'a str, base: usize) -> Self {
        let mut marks = Vec::new();
        if !piece.is_ascii() {
            let every = piece.char_indices().step_by(STRIDE);
            marks.extend(every.map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)));
        }
        Self { piece, base, marks }
    }

    /// Byte position in the piece.
    fn within(&self, index: usize) -> usize {
        if self.marks.is_empty() {
            return index.min(self.piece.len());
        }
        let Some(mark) = self.marks.get(index / STRIDE) else { return self.piece.len() };
        let rest = self.piece.get(*mark as usize..).unwrap_or_default();
        rest.char_indices().nth(index % STRIDE).map_or(self.piece.len(), |(at, _)| *mark as usize + at)
    }

    fn byte(&self, index: usize) -> u32 {
        u32::try_from(self.base + self.within(index)).unwrap_or(u32::MAX)
    }

    fn span(&self, file: u32, start: Marker, end: Marker) -> Span {
        Span { file, start: self.byte(start.index()), end: self.byte(end.index()) }
    }

    fn point(&self, file: u32, index: usize) -> Span {
        let start = self.byte(index);
        Span { file, start, end: start }
    }
}
