//! Reading known keys out of a tree, collecting what is wrong instead of stopping at it.
//!
//! Invariant: no finding holds a value; a value in a wrong place may be a secret.

use trueup_core::diagnostic::{Code, Diagnostic};
use trueup_core::schema::suggest;
use trueup_core::value::Json;

use super::tree::{Member, Node, Place, Value};

/// Collects findings under one code.
pub(crate) struct Decoder {
    pub code: Code,
    pub found: Vec<Diagnostic>,
}

/// Members of a mapping whose keys are all known.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n> {
    pub at: &'n Place,
    members: &'n [Member],
}

impl<'n> Fields<'n> {
    /// The value of `key`; a null is as good as none.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.members.iter().find(|it| it.key == key).map(|it| &it.value).filter(|it| !it.is_null())
    }
}

impl Decoder {
    pub fn new(code: Code) -> Self {
        Self { code, found: Vec::new() }
    }

    /// The findings in order of the text.
    pub fn into_found(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|one, other| one.location.cmp(&other.location));
        self.found
    }

    /// Notes that something is wrong at a place.
    pub fn error(&mut self, at: &Place, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::error(self.code, message).at(at.location()));
        let last = self.found.len() - 1;
        // Just pushed.
        #[expect(clippy::indexing_slicing, reason = "the index of the item pushed above")]
        &mut self.found[last]
    }

    /// Members of a mapping whose keys people choose.
    pub fn members<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Member] {
        match &node.value {
            Value::Map(members) => members,
            Value::Plain(Json::Null) => &[],
            Value::Plain(_) | Value::List(_) => {
                self.error(&node.at, format!("{what} must be a mapping"));
                &[]
            }
        }
    }

    /// Members of a mapping whose keys are ours; others are findings with a suggestion.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Fields<'n> {
        let members = self.members(node, what);
        for member in members {
            if !known.contains(&member.key.as_str()) {
                let hint = suggest::did_you_mean(&member.key, known.iter().copied());
                let all = || format!("the keys are {}", known.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "));
                let message = format!("{what} has no key `{}`", shown(&member.key));
                self.error(&member.at, message).hint = Some(hint.unwrap_or_else(all));
            }
        }
        Fields { at: &node.at, members }
    }

    /// The value of a key that must be there.
    pub fn required<'n>(&mut self, fields: Fields<'n>, key: &str, what: &str) -> Option<&'n Node> {
        let node = fields.get(key);
        if node.is_none() {
            self.error(fields.at, format!("{what} needs a key `{key}`"));
        }
        node
    }

    /// A text that is not empty.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Plain(Json::String(text)) if !text.is_empty() => Some(text),
            _ => {
                self.error(&node.at, format!("{what} must be a text"));
                None
            }
        }
    }

    /// A text that must be one of a few.
    pub fn choice<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = choices.iter().find(|it| it.0 == text).map(|it| it.1);
        if found.is_none() {
            let all: Vec<_> = choices.iter().map(|it| format!("`{}`", it.0)).collect();
            let hint = suggest::did_you_mean(text, choices.iter().map(|it| it.0));
            self.error(&node.at, format!("{what} must be one of {}", all.join(", "))).hint = hint;
        }
        found
    }

    /// A list of texts, each with its place, each once.
    pub fn texts<'n>(&mut self, node: Option<&'n Node>, what: &str) -> Vec<(&'n str, &'n Place)> {
        let Some(node) = node else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.error(&node.at, format!("{what} must be a list")).hint = Some("write `[value]`".into());
            return Vec::new();
        };
        let mut texts: Vec<(&str, &Place)> = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = self.text(item, &format!("each of {what}")) else { continue };
            if texts.iter().any(|it| it.0 == text) {
                self.error(&item.at, format!("`{}` stands twice in {what}", shown(text)));
            } else {
                texts.push((text, &item.at));
            }
        }
        texts
    }
}

/// A text from a file as messages may show it: short, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).take(80).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

/// `[a-z0-9-]{1,40}`: names of projects, environments and providers.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}
