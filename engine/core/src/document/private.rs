//! Which files' lines are not to be quoted, as secrets may stand in them in plain.
//!
//! Judged by the text alone and per file: what is wrong may be the very thing that keeps a document from being read, and a
//! finding's line may hold more than what it is about.

use std::collections::HashSet;
use std::sync::Arc;

use super::{FileInput, Input};
use crate::diagnostic::Diagnostic;
use crate::manifest::{ANY_KEY, Kind};
use crate::value::{Path, Segment};

/// The kind that holds secrets by its nature, whoever has it.
const SECRET: &str = "Secret";
/// A field that no other kind has: what tells such a document whose `kind` is misspelt or missing.
const PLAIN_VALUES: &str = "stringData";

/// Whether a file has, or by its text seems to have, a document of a kind that holds secrets by its nature.
pub fn holds_secrets(text: &str) -> bool {
    text.contains(PLAIN_VALUES) || names_kind(text, SECRET)
}

/// Has the lines of findings hidden that stand in files with documents of a kind whose schema has fields for secrets: all
/// documents of kinds in which a plain value is allowed there, of others those that name such a field.
pub(crate) fn hide<'a>(findings: impl Iterator<Item = &'a mut Diagnostic>, input: &Input<'_>) {
    let mut findings: Vec<&mut Diagnostic> = findings.collect();
    let told: HashSet<Arc<str>> = findings.iter().flat_map(|it| places(it)).cloned().collect();
    if told.is_empty() {
        return;
    }
    let kinds = kinds(input);
    let files = input.layers.iter().flat_map(|it| &it.files).filter(|it| told.contains(&it.path));
    let private: HashSet<&str> = files.filter(|it| is_private(it, &kinds)).map(|it| &*it.path).collect();
    for finding in &mut findings {
        let hidden = places(finding).any(|it| private.contains(&**it));
        finding.hidden |= hidden;
    }
}

fn places(finding: &Diagnostic) -> impl Iterator<Item = &Arc<str>> {
    finding.location.iter().chain(finding.related.iter().map(|(place, _)| place)).map(|it| &it.file)
}

/// Names of kinds that have fields for secrets, without their groups, each with the fields that tell a document with secrets:
/// none where any document may be one.
fn kinds<'a>(input: &'a Input<'_>) -> Vec<(&'a str, Vec<&'a str>)> {
    let all = input.providers.iter().flat_map(|it| it.manifest.kinds.iter());
    let secretive = all.filter(|(_, it)| !it.hints.sensitive.is_empty() || !it.hints.write_only.is_empty());
    let told = |(name, kind): (&'a String, &'a Arc<Kind>)| {
        let last = |it: &'a Path| match it.0.last() {
            Some(Segment::Key(key)) if key != ANY_KEY => Some(key.as_str()),
            _ => None,
        };
        // A field without a name of its own tells nothing.
        let fields = kind.hints.sensitive.iter().chain(&kind.hints.write_only).map(last).collect::<Option<Vec<_>>>();
        let fields = fields.filter(|_| kind.hints.plain.is_empty()).unwrap_or_default();
        (name.split('.').next().unwrap_or(name), fields)
    };
    secretive.map(told).collect()
}

fn is_private(file: &FileInput, kinds: &[(&str, Vec<&str>)]) -> bool {
    let text = String::from_utf8_lossy(&file.bytes);
    let says = |fields: &[&str]| fields.is_empty() || fields.iter().any(|it| text.contains(it));
    holds_secrets(&text) || kinds.iter().any(|(kind, fields)| says(fields) && names_kind(&text, kind))
}

/// Whether some `kind` of a text is this one, or the list of it, however it is spelt in YAML or JSON.
fn names_kind(text: &str, kind: &str) -> bool {
    text.match_indices("kind").any(|(at, word)| {
        let begins = text.get(..at).and_then(|it| it.chars().next_back()).is_none_or(|it| !is_word(it));
        let value = text.get(at + word.len()..).map(|it| it.strip_prefix(['"', '\'']).unwrap_or(it));
        let value = value.and_then(|it| it.trim_start().strip_prefix(':')).map(scalar);
        begins && value.is_some_and(|it| is_kind(it, kind))
    })
}

/// What stands behind a colon, without comments, properties and quotes before it.
fn scalar(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        text = match text.chars().next() {
            Some('#') => text.find('\n').and_then(|it| text.get(it..)).unwrap_or_default(),
            Some('!' | '&' | '|' | '>') => text.find(char::is_whitespace).and_then(|it| text.get(it..)).unwrap_or_default(),
            Some('"' | '\'') => return text.get(1..).unwrap_or_default(),
            _ => return text,
        };
    }
}

/// Whether a text begins with the name of a kind; in any case, as a misspelt one keeps its values. An alias may stand for it.
fn is_kind(text: &str, kind: &str) -> bool {
    let Some(rest) = text.get(..kind.len()).filter(|it| it.eq_ignore_ascii_case(kind)).and_then(|_| text.get(kind.len()..))
    else {
        return text.starts_with('*');
    };
    let rest = rest.strip_prefix("List").unwrap_or(rest);
    rest.chars().next().is_none_or(|it| !is_word(it))
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_' || it == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_told_by_its_text_whether_it_parses_or_not() {
        let texts = [
            "apiVersion: v1\nkind: Secret\ndata: {a: \"b",
            "{\"kind\":\"Secret\",\"data\":{\"a\":b}}",
            "{\"kind\" :\n \"Secret\"",
            "kind: 'Secret'",
            "kind: Secret # of the shop",
            "kind: # whatever\n  Secret\n",
            "kind: !!str Secret",
            "kind: &kind Secret",
            "kind: *kind",
            "? kind\n: Secret",
            "items:\n- kind: Secret",
            "kind: SecretList",
            "kind: secret",
            "knd: Secret\nstringData: {a: b}",
        ];
        for text in texts {
            assert!(holds_secrets(text), "{text}");
        }
        let others =
            ["kind: SecretStore", "kind: ConfigMap\n# kind Secret", "mankind: Secret", "name: kind\nof: Secret", "", "kind:"];
        for text in others {
            assert!(!holds_secrets(text), "{text}");
        }
    }
}
