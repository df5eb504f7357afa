//! Gives plain YAML scalars their meaning once it is known who reads the document.

use super::node::{Member, Node, Sources, Span, Value};
use super::scalar::{Plain, read};
use super::text::shown;
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::YamlDialect;

/// A scalar that cannot be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub span: Span,
    pub finding: Diagnostic,
}

impl Unread {
    /// The finding without the value, for places where that may be a secret.
    pub(crate) fn masked(self) -> Diagnostic {
        let message = match self.finding.code {
            codes::AMBIGUOUS_SCALAR => "YAML 1.1 and 1.2 read this value differently",
            _ => "this value cannot be kept exactly",
        };
        Diagnostic { message: message.to_owned(), hint: Some("write it in double quotes".to_owned()), ..self.finding }
    }
}

/// Reads every plain scalar below `node` in a dialect. What cannot be read stays text, and is a finding.
pub(crate) fn resolve(node: &mut Node, dialect: YamlDialect, sources: &Sources, out: &mut Vec<Unread>) {
    match &mut node.value {
        Value::Plain(text) => node.value = plain(std::mem::take(text), node.span, dialect, sources, out),
        Value::List(items) => items.iter_mut().for_each(|item| resolve(item, dialect, sources, out)),
        Value::Map(members) => {
            let mut renamed = false;
            for member in members.iter_mut() {
                renamed |= member.plain && key(member, dialect, sources, out);
                resolve(&mut member.node, dialect, sources, out);
            }
            if dialect == YamlDialect::Kubectl && members.iter().any(|it| it.plain && it.key == "<<") {
                merge_keys(members, sources, out);
            }
            if renamed {
                duplicates(members, sources, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn plain(text: String, span: Span, dialect: YamlDialect, sources: &Sources, out: &mut Vec<Unread>) -> Value {
    let (code, message) = match read(&text, dialect) {
        Plain::Null => return Value::Null,
        Plain::Bool(it) => return Value::Bool(it),
        Plain::Number(it) => return Value::Number(it),
        Plain::Text => return Value::Text(text),
        Plain::Ambiguous { newer, older } => {
            (codes::AMBIGUOUS_SCALAR, format!("{} is {newer} in YAML 1.2 and {older} in YAML 1.1", shown(&text)))
        }
        Plain::Unkept(why) => (codes::NUMBER, format!("{} is {why}", shown(&text))),
    };
    let finding = Diagnostic::error(code, message).hint(format!("quote this: \"{text}\""));
    out.push(Unread { span, finding: finding.at(sources.location(span)) });
    Value::Text(text)
}

/// Reads a plain key; true where its text changed.
fn key(member: &mut Member, dialect: YamlDialect, sources: &Sources, out: &mut Vec<Unread>) -> bool {
    if member.key == "<<" {
        if dialect == YamlDialect::Core {
            let finding =
                Diagnostic::error(codes::AMBIGUOUS_SCALAR, "`<<` merges mappings in YAML 1.1 and is a plain key in YAML 1.2")
                    .at(sources.location(member.key_span))
                    .hint("write the keys out, or quote this: \"<<\"");
            out.push(Unread { span: member.key_span, finding });
        }
        return false;
    }
    let error = |code, message: String| {
        let hint = format!("quote this: \"{}\"", member.key);
        let finding = Diagnostic::error(code, message).at(sources.location(member.key_span)).hint(hint);
        Unread { span: member.key_span, finding }
    };
    let text = match read(&member.key, dialect) {
        Plain::Text => return false,
        Plain::Bool(it) => it.to_string(),
        Plain::Number(it) => it.to_string(),
        Plain::Null => {
            out.push(error(codes::SHAPE, format!("{} is null here, and a key must be a text", shown(&member.key))));
            return false;
        }
        Plain::Ambiguous { newer, older } => {
            let message = format!("the key {} is {newer} in YAML 1.2 and {older} in YAML 1.1", shown(&member.key));
            out.push(error(codes::AMBIGUOUS_SCALAR, message));
            return false;
        }
        Plain::Unkept(why) => {
            out.push(error(codes::NUMBER, format!("the key {} is {why}", shown(&member.key))));
            return false;
        }
    };
    let changed = text != member.key;
    member.key = text;
    changed
}

/// Expands `<<`: keys that stand in the mapping itself win, then earlier merged mappings.
fn merge_keys(members: &mut Vec<Member>, sources: &Sources, out: &mut Vec<Unread>) {
    let Some(at) = members.iter().position(|it| it.plain && it.key == "<<") else { return };
    let merge = members.remove(at);
    let (span, nodes) = match merge.node {
        Node { value: Value::List(items), span } => (span, items),
        node => (node.span, vec![node]),
    };
    let mut seen: std::collections::HashSet<String> = members.iter().map(|it| it.key.clone()).collect();
    for node in nodes {
        let Value::Map(merged) = node.value else {
            let message = "`<<` takes a mapping or a list of mappings";
            let finding = Diagnostic::error(codes::SHAPE, message).at(sources.location(span));
            out.push(Unread { span, finding });
            return;
        };
        members.extend(merged.into_iter().filter(|it| seen.insert(it.key.clone())));
    }
}

/// Reports keys that stand twice, which the reader could not see before the dialect was known (`on` and `true`).
fn duplicates(members: &[Member], sources: &Sources, out: &mut Vec<Unread>) {
    let mut seen = std::collections::HashMap::new();
    for member in members {
        if let Some(first) = seen.insert(member.key.as_str(), member.key_span) {
            let finding = duplicate(&member.key, sources.location(first), sources.location(member.key_span));
            out.push(Unread { span: member.key_span, finding });
        }
    }
}

/// A key that stands twice in one mapping.
pub(crate) fn duplicate(key: &str, first: crate::diagnostic::Location, second: crate::diagnostic::Location) -> Diagnostic {
    let message = format!("the key {} stands twice, in lines {} and {}", shown(key), first.line, second.line);
    Diagnostic::error(codes::DUPLICATE_KEY, message).at(second).also(first, "first here").hint("remove one of them")
}
