//! Reads a JSON file (RFC 8259, strictly) into a tree with places.
//!
//! One value a file; comments, trailing commas and anything after the value are errors. Works with a stack of its own, so
//! that nesting costs no stack of the thread.

use super::build::{Builder, Key};
use super::node::{Node, Span, Value};
use super::scalar::json_number;
use crate::diagnostic::codes;

/// Where the reader stands and what it may meet there.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    /// A value or the end of a list that has just begun.
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

struct Reader<'a, 'b> {
    text: &'a str,
    at: usize,
    file: u32,
    builder: &'b mut Builder<'a>,
}

/// Reads one document. None where it could not be finished; the findings say why.
pub(crate) fn read<'a>(text: &'a str, file: u32, builder: &mut Builder<'a>) -> Option<Node> {
    let mut reader = Reader { text, at: 0, file, builder };
    let node = reader.document()?;
    reader.space();
    if reader.at < text.len() {
        reader.fail(1, "something follows the document, and a JSON file holds one");
        return None;
    }
    Some(node)
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Option<Node> {
        let mut expect = Expect::Value;
        loop {
            self.space();
            let start = self.at;
            let byte = self.peek();
            let done = match (expect, byte) {
                (Expect::Value | Expect::ValueOrEnd, Some(open @ (b'{' | b'['))) => {
                    if !self.builder.open(open == b'{', self.span(start, start + 1)) {
                        return None;
                    }
                    self.at += 1;
                    expect = if open == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                    continue;
                }
                (Expect::KeyOrEnd, Some(b'}')) | (Expect::ValueOrEnd, Some(b']')) => self.close()?,
                (Expect::CommaOrEnd, Some(close @ (b'}' | b']'))) => {
                    if self.in_map() != (close == b'}') {
                        self.fail(1, if close == b'}' { "`]` is missing before this" } else { "`}` is missing before this" });
                        return None;
                    }
                    self.close()?
                }
                (Expect::Key | Expect::KeyOrEnd, Some(b'"')) => {
                    let text = self.string()?;
                    let span = self.span(start, self.at);
                    self.space();
                    if self.peek() != Some(b':') {
                        self.fail(1, "`:` is missing after the key");
                        return None;
                    }
                    self.at += 1;
                    self.builder.key(Key { text, span, plain: false });
                    expect = Expect::Value;
                    continue;
                }
                (Expect::CommaOrEnd, Some(b',')) => {
                    self.at += 1;
                    expect = if self.in_map() { Expect::Key } else { Expect::Value };
                    continue;
                }
                (Expect::Value | Expect::ValueOrEnd, Some(_)) => {
                    let value = self.scalar()?;
                    Node { span: self.span(start, self.at), value }
                }
                (_, None) => {
                    self.fail(0, "the document ends too early");
                    return None;
                }
                (Expect::Key | Expect::KeyOrEnd, Some(_)) => {
                    self.fail(1, "a key in double quotes is missing here");
                    return None;
                }
                (Expect::CommaOrEnd, Some(_)) => {
                    self.fail(1, "`,` is missing before this");
                    return None;
                }
            };
            if let Some(root) = self.builder.put(done) {
                return Some(root);
            }
            expect = Expect::CommaOrEnd;
        }
    }

    fn close(&mut self) -> Option<Node> {
        self.at += 1;
        self.builder.close(u32::try_from(self.at).unwrap_or(u32::MAX))
    }

    fn in_map(&self) -> bool {
        self.builder.wants_key()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let short = |it| u32::try_from(it).unwrap_or(u32::MAX);
        Span { file: self.file, start: short(start), end: short(end) }
    }

    fn fail(&mut self, width: usize, message: &str) {
        let span = self.span(self.at, (self.at + width).min(self.text.len()));
        self.builder.error(codes::SYNTAX, span, message);
    }

    fn scalar(&mut self) -> Option<Value> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with('"') {
            return self.string().map(Value::Text);
        }
        let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && !matches!(it, '-' | '+' | '.')).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if is_number(word) => match json_number(word) {
                Ok(number) => Value::Number(number),
                Err(why) => {
                    let span = self.span(self.at, self.at + end);
                    let finding = self.builder.error(codes::NUMBER, span, format!("this number is {why}"));
                    finding.hint = Some("write it in double quotes".to_owned());
                    Value::Null
                }
            },
            "" => {
                self.fail(1, "a value is missing here");
                return None;
            }
            _ => {
                // The word itself may be a secret that lost its quotes.
                self.fail(end, "this is no JSON value");
                return None;
            }
        };
        self.at += end;
        Some(value)
    }

    /// A text in double quotes, from its first quote on.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(end) = rest.find(|it: char| it == '"' || it == '\\' || it < ' ') else {
                self.at = start;
                self.fail(1, "a text is not closed");
                return None;
            };
            out.push_str(rest.get(..end).unwrap_or_default());
            self.at += end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => {
                    self.fail(1, "a text holds a line break or a tab, which JSON writes as \\n and \\t");
                    return None;
                }
            }
        }
    }

    /// One escape, from its backslash on.
    fn escape(&mut self) -> Option<char> {
        let kind = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match kind {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => {
                self.fail(1, "an escape that JSON does not have");
                return None;
            }
        };
        self.at += 2;
        Some(plain)
    }

    fn unicode(&mut self) -> Option<char> {
        let unit = |at: usize| {
            let hex = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            hex.bytes().all(|it| it.is_ascii_hexdigit()).then(|| u32::from_str_radix(hex, 16).ok())?
        };
        let first = unit(self.at);
        let (found, width) = match first {
            Some(high @ 0xD800..=0xDBFF) => match unit(self.at + 6) {
                Some(low @ 0xDC00..=0xDFFF) => (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 12),
                _ => (None, 6),
            },
            Some(code) => (char::from_u32(code), 6),
            None => (None, 2),
        };
        if found.is_none() {
            let message = if first.is_some() { "half of a surrogate pair is no character" } else { "\\u takes four hex digits" };
            self.fail(width, message);
        }
        self.at += width;
        found
    }
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?`
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let (number, exponent) = match word.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (word, None),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}
