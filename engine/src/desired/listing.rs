//! Which files of a revision are an environment's documents.

use trueup_core::diagnostic::{Diagnostic, codes};

use super::Context;
use super::index::{File, Index};
use crate::source::{Entry, EntryKind, Listed};

/// Endings of documents, in exactly this case.
const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];

/// The documents of a revision.
pub struct Listing {
    /// By layer and path.
    pub files: Vec<File>,
    /// Directories they are in, by layer and path; none where something was warned of, so that it is met again.
    pub trees: Vec<File>,
    pub warnings: Vec<Diagnostic>,
}

/// Every document file of every layer, with warnings about what is passed over. Directories that are as `known` has them are
/// not read again.
///
/// # Errors
///
/// A layer that is missing, a path that is not safe, a limit that is crossed.
pub fn list(context: &Context, known: &Index) -> Result<Listing, Vec<Diagnostic>> {
    let mut out = Listing { files: Vec::new(), trees: Vec::new(), warnings: Vec::new() };
    let mut errors = Vec::new();
    for (position, layer) in context.layers.iter().enumerate() {
        let position = u16::try_from(position).unwrap_or(u16::MAX);
        let tree = |path: &str| {
            let found = known.trees.binary_search_by(|it| (it.layer, it.path.as_str()).cmp(&(position, path)));
            found.ok().and_then(|at| known.trees.get(at))
        };
        let listed = match context.snapshot.list_unknown(layer, &|path, id| tree(path).is_some_and(|it| it.id == id.as_bytes())) {
            Ok(listed) => listed,
            Err(error) => {
                errors.push(error.to_diagnostic());
                continue;
            }
        };
        for it in listed {
            match it {
                Listed::Directory(path, id) => {
                    out.trees.push(File { layer: position, path: path.to_string(), id: id.as_bytes().to_vec() });
                }
                Listed::Known(path) => {
                    out.files.extend_from_slice(below(&known.files, position, &path));
                    let inside = below(&known.trees, position, &path).iter().filter(|it| it.path != *path);
                    out.trees.extend(tree(&path).into_iter().chain(inside).cloned());
                }
                Listed::Entry(entry) => match document(context, layer, &entry) {
                    Some(Ok(())) => {
                        out.files.push(File { layer: position, path: entry.path.to_string(), id: entry.id.as_bytes().to_vec() });
                    }
                    Some(Err(finding)) if finding.is_error() => errors.push(finding),
                    Some(Err(finding)) => out.warnings.push(finding),
                    None => {}
                },
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if !out.warnings.is_empty() {
        out.trees.clear();
    }
    // Git's order of directories is not that of their paths: `a-b/` stands before `a/`.
    out.trees.sort_by(|one, other| (one.layer, &one.path).cmp(&(other.layer, &other.path)));
    Ok(out)
}

/// Those of a layer that lie below a directory; they stand together.
fn below<'a>(all: &'a [File], layer: u16, dir: &str) -> &'a [File] {
    let dir = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    let first = all.partition_point(|it| (it.layer, it.path.as_str()) < (layer, dir.as_str()));
    let rest = all.get(first..).unwrap_or_default();
    let count = rest.iter().take_while(|it| it.layer == layer && it.path.starts_with(&dir)).count();
    rest.get(..count).unwrap_or_default()
}

/// Whether an entry is a document; what to say of it where it is none that can be read. None: nobody's business.
fn document(context: &Context, layer: &str, entry: &Entry) -> Option<Result<(), Diagnostic>> {
    let below = entry.path.strip_prefix(layer).unwrap_or(&entry.path);
    let hidden = below.split('/').any(|part| part.starts_with('.'));
    if hidden || context.exclude.is_match(&*entry.path) {
        return None;
    }
    match entry.kind {
        EntryKind::Submodule => {
            Some(Err(Diagnostic::warning(codes::SUBMODULE, format!("`{}` is a submodule and is ignored", entry.path))))
        }
        _ if !is_document(&entry.path) => None,
        EntryKind::Symlink => {
            Some(Err(Diagnostic::error(codes::SYMLINK, format!("`{}` is a symbolic link; links are not followed", entry.path))
                .hint("put the file itself there, or list its directory as a layer")))
        }
        EntryKind::File => Some(Ok(())),
    }
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
