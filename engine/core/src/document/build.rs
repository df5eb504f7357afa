//! Puts a tree together from the values of a document in the order in which they are read, whatever the syntax.
//!
//! Owns the limits on depth and the check for keys that stand twice; needs no recursion.

use super::Limits;
use super::dialect::duplicate;
use super::node::{Member, Node, Source, Span, Value};
use super::text::{hides, shown};
use crate::diagnostic::{Code, Diagnostic, codes};

/// A key that waits for its value.
#[derive(Debug)]
pub(crate) struct Key {
    pub text: String,
    pub span: Span,
    pub plain: bool,
}

enum Frame {
    List { start: Span, items: Vec<Node> },
    Map { start: Span, members: Vec<Member>, key: Option<Key> },
}

/// A tree under construction.
pub(crate) struct Builder<'a> {
    source: &'a Source,
    limits: &'a Limits,
    frames: Vec<Frame>,
    pub findings: Vec<Diagnostic>,
    /// Some key is one of the engine's own (`$remove` …), so that somebody has to look for them.
    pub reserved: bool,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(source: &'a Source, limits: &'a Limits) -> Self {
        Self { source, limits, frames: Vec::new(), findings: Vec::new(), reserved: false }
    }

    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.findings.push(Diagnostic::error(code, message).at(self.source.location(span)));
        // The finding was pushed one line above.
        let last = self.findings.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was just pushed")]
        &mut self.findings[last]
    }

    pub(crate) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Whether the next value is a key.
    pub(crate) fn wants_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Map { key: None, .. }))
    }

    pub(crate) fn key(&mut self, key: Key) {
        if key.text.chars().any(hides) {
            let message = format!("the key {} holds an invisible character", shown(&key.text));
            self.error(codes::ENCODING, key.span, message);
        }
        self.reserved |= key.text.starts_with('$');
        if let Some(Frame::Map { key: slot, .. }) = self.frames.last_mut() {
            *slot = Some(key);
        }
    }

    /// Opens a list or mapping; false where that is too deep.
    pub(crate) fn open(&mut self, map: bool, start: Span) -> bool {
        if self.frames.len() >= self.limits.depth {
            let message = format!("the document is nested deeper than {} levels", self.limits.depth);
            self.error(codes::DOCUMENT_LIMIT, start, message);
            return false;
        }
        self.frames.push(if map {
            Frame::Map { start, members: Vec::new(), key: None }
        } else {
            Frame::List { start, items: Vec::new() }
        });
        true
    }

    /// Closes the innermost list or mapping, which ends before `end`.
    pub(crate) fn close(&mut self, end: u32) -> Option<Node> {
        match self.frames.pop()? {
            Frame::List { start, items } => Some(Node { span: Span { end, ..start }, value: Value::List(items) }),
            Frame::Map { start, members, .. } => {
                self.duplicates(&members);
                Some(Node { span: Span { end, ..start }, value: Value::Map(members) })
            }
        }
    }

    /// Puts a finished value where it belongs; gives it back where it is the whole document.
    pub(crate) fn put(&mut self, node: Node) -> Option<Node> {
        match self.frames.last_mut() {
            None => return Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { members, key, .. }) => {
                if let Some(Key { text, span, plain }) = key.take() {
                    members.push(Member { key: text, key_span: span, plain, node });
                }
            }
        }
        None
    }

    fn duplicates(&mut self, members: &[Member]) {
        let small = members.len() <= 8;
        let pairwise = |(at, member): (usize, &Member)| members.iter().take(at).any(|other| other.key == member.key);
        if small && !members.iter().enumerate().any(pairwise) {
            return;
        }
        let mut sorted: Vec<&Member> = members.iter().collect();
        sorted.sort_by_key(|it| (&it.key, it.key_span.start));
        for pair in sorted.windows(2) {
            let [first, second] = pair else { continue };
            if first.key == second.key {
                let (one, two) = (self.source.location(first.key_span), self.source.location(second.key_span));
                self.findings.push(duplicate(&second.key, one, two));
            }
        }
    }
}
