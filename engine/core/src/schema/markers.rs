//! Where a document holds markers instead of values, and whether they may stand there.

use super::Finding;
use crate::diagnostic::codes;
use crate::manifest::{ANY_KEY, Hints};
use crate::value::{Json, Marker, Path, Segment, marker};

/// What a marker stands for, without its content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Secret,
    Blob,
}

/// Every marker of a document, sorted by path.
pub struct Markers(Vec<(Path, Kind)>);

impl Markers {
    /// Finds them; a document without any costs no allocation but the stack of the walk.
    pub fn of(doc: &Json) -> Self {
        let mut out = Vec::new();
        if any(doc) {
            let mut todo = vec![(doc, Path::default())];
            while let Some((value, path)) = todo.pop() {
                match (kind(value), value) {
                    (Some(kind), _) => out.push((path, kind)),
                    (None, Json::Array(items)) => {
                        todo.extend(items.iter().enumerate().map(|(at, it)| (it, path.with(Segment::Index(at)))));
                    }
                    (None, Json::Object(map)) => todo.extend(map.iter().map(|(key, it)| (it, path.key(key)))),
                    (None, _) => {}
                }
            }
            out.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        Self(out)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the value at `path` is a marker or lies within one.
    pub fn hide(&self, path: &Path) -> bool {
        (0..=path.0.len()).filter_map(|length| path.0.get(..length)).any(|above| self.position(above).is_ok())
    }

    /// Whether the value at `path` is a marker or holds one.
    pub fn within(&self, path: &Path) -> bool {
        let (Ok(at) | Err(at)) = self.position(&path.0);
        self.0.get(at).is_some_and(|(marker, _)| path.covers(marker))
    }

    fn position(&self, path: &[Segment]) -> Result<usize, usize> {
        self.0.binary_search_by(|(marker, _)| marker.0.as_slice().cmp(path))
    }

    /// Secrets and files where the kind does not take them.
    pub fn misplaced(&self, hints: &Hints) -> Vec<Finding> {
        let mut out = Vec::new();
        for (path, kind) in &self.0 {
            let fits = match kind {
                Kind::Unknown => true,
                Kind::Secret => Hints::covers(&hints.sensitive, path) || Hints::covers(&hints.write_only, path),
                Kind::Blob => Hints::names(&hints.blobs, path),
            };
            if fits {
                continue;
            }
            out.push(if *kind == Kind::Secret {
                let finding = Finding::new(
                    codes::SECRET_PLACE,
                    path.clone(),
                    format!("`{path}` would show the secret: it is not a field for secrets"),
                );
                finding.hint(fields_for_secrets(hints))
            } else {
                Finding::new(codes::SCHEMA, path.clone(), format!("`{path}` cannot hold a file of the repository"))
            });
        }
        out
    }
}

fn fields_for_secrets(hints: &Hints) -> Option<String> {
    let fields: Vec<String> = hints.sensitive.iter().chain(&hints.write_only).take(4).map(|it| format!("`{it}`")).collect();
    if fields.is_empty() {
        return Some("this kind has no field for secrets".to_owned());
    }
    Some(format!("secrets may stand in {}", fields.join(", ")))
}

fn kind(value: &Json) -> Option<Kind> {
    Some(match marker(value)? {
        Marker::Unknown(_) => Kind::Unknown,
        Marker::Secret { .. } => Kind::Secret,
        Marker::Blob { .. } => Kind::Blob,
    })
}

fn any(doc: &Json) -> bool {
    let mut todo = vec![doc];
    while let Some(value) = todo.pop() {
        match value {
            Json::Array(items) => todo.extend(items),
            Json::Object(map) => {
                if kind(value).is_some() {
                    return true;
                }
                todo.extend(map.values());
            }
            _ => {}
        }
    }
    false
}

/// Plain values in fields that the schema marks sensitive. The values are not in the findings. Where documents of other tools have
/// plain values they are worth one warning for the whole field.
pub fn plain_secrets(doc: &Json, hints: &Hints) -> Vec<Finding> {
    let mut out = Vec::new();
    for hint in &hints.sensitive {
        let found = plain_below(doc, hint);
        let advice = hints.plain.iter().find(|(path, _)| path == hint).map(|(_, advice)| advice);
        match (advice, found.split_first()) {
            (Some(advice), Some((first, more))) => {
                let others = if more.is_empty() { String::new() } else { format!(" (and {} more below `{hint}`)", more.len()) };
                let message = format!("`{first}`{others} is a secret that stands in Git as plain text");
                let finding = Finding::new(codes::PLAIN_SECRET, first.clone(), message).hint(Some(advice.clone()));
                out.push(Finding { warning: true, ..finding });
            }
            (_, None) => {}
            (None, Some(_)) => out.extend(found.into_iter().map(|path| {
                let message = format!("`{path}` is a field for secrets and holds a plain value");
                let hint = "write `${{ secret('name') }}`, and put its value into `secrets` of credentials.yaml".to_owned();
                Finding::new(codes::PLAIN_SECRET, path, message).hint(Some(hint))
            })),
        }
    }
    out
}

/// Paths of plain values at or below a hint, sorted. What is empty tells nothing.
fn plain_below(doc: &Json, hint: &Path) -> Vec<Path> {
    let mut out = Vec::new();
    let mut todo = vec![(doc, Path::default(), hint.0.as_slice())];
    while let Some((value, path, rest)) = todo.pop() {
        match (value, rest) {
            _ if kind(value).is_some() => {}
            (Json::Array(items), _) => {
                todo.extend(items.iter().enumerate().map(|(at, it)| (it, path.with(Segment::Index(at)), rest)));
            }
            (Json::Object(map), [Segment::Key(want), rest @ ..]) => {
                let wanted = map.iter().filter(|(key, _)| want == ANY_KEY || *key == want);
                todo.extend(wanted.map(|(key, it)| (it, path.key(key), rest)));
            }
            // Below the hint everything is sensitive.
            (Json::Object(map), _) => todo.extend(map.iter().map(|(key, it)| (it, path.key(key), rest))),
            (Json::Null | Json::Bool(_), _) | (_, [_, ..]) => {}
            (Json::String(text), []) if text.is_empty() => {}
            (Json::Number(_) | Json::String(_), []) => out.push(path),
        }
    }
    out.sort();
    out
}
