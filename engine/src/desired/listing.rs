//! Which files of a revision are an environment's documents.

use trueup_core::diagnostic::{Diagnostic, codes};

use super::Context;
use super::index::File;
use crate::source::EntryKind;

/// Endings of documents, in exactly this case.
const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];

/// Every document file of every layer, by layer and path, with warnings about what is passed over.
///
/// # Errors
///
/// A layer that is missing, a path that is not safe, a limit that is crossed.
pub fn list(context: &Context) -> Result<(Vec<File>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut files = Vec::new();
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for (position, layer) in context.layers.iter().enumerate() {
        let entries = match context.snapshot.list(layer) {
            Ok(entries) => entries,
            Err(error) => {
                errors.push(error.to_diagnostic());
                continue;
            }
        };
        for entry in entries {
            let below = entry.path.strip_prefix(&**layer).unwrap_or(&entry.path);
            let hidden = below.split('/').any(|part| part.starts_with('.'));
            if hidden || context.exclude.is_match(&*entry.path) {
                continue;
            }
            match entry.kind {
                EntryKind::Submodule => {
                    warnings
                        .push(Diagnostic::warning(codes::SUBMODULE, format!("`{}` is a submodule and is ignored", entry.path)));
                }
                EntryKind::Symlink if is_document(&entry.path) => errors.push(
                    Diagnostic::error(codes::SYMLINK, format!("`{}` is a symbolic link; links are not followed", entry.path))
                        .hint("put the file itself there, or list its directory as a layer"),
                ),
                EntryKind::File if is_document(&entry.path) => {
                    files.push(File {
                        layer: u16::try_from(position).unwrap_or(u16::MAX),
                        path: entry.path.to_string(),
                        id: entry.id.as_bytes().to_vec(),
                    });
                }
                EntryKind::File | EntryKind::Symlink => {}
            }
        }
    }
    if errors.is_empty() { Ok((files, warnings)) } else { Err(errors) }
}

fn is_document(path: &str) -> bool {
    ENDINGS.iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::is_document;

    #[test]
    fn only_the_documented_endings_are_documents() {
        for path in ["a.yaml", "b/c.yml", "d.json"] {
            assert!(is_document(path), "{path}");
        }
        for path in ["a.YAML", "a.yml.bak", "yaml", "a.yaml~", "a.jsonl"] {
            assert!(!is_document(path), "{path}");
        }
    }
}
