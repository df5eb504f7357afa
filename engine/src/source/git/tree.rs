//! Listing, looking up and reading the files of one commit.
//!
//! Trees are walked with a stack of their own: the depth of a repository is never the depth of our calls.

use std::sync::Arc;

use gix::ObjectId;
use gix::objs::tree::{EntryKind as TreeEntryKind, EntryRef};
use gix::objs::{Kind, TreeRefIter};

use super::super::{BlobId, Commit, Entry, EntryKind, Limits, SourceError};
use super::{blob_id, checked_name, object, object_id};

/// The tree of the project's folder at `commit`.
pub fn root(repo: &gix::Repository, commit: &Commit, prefix: &str, limits: &Limits) -> Result<BlobId, SourceError> {
    let tree = super::revision::tree_of(repo, super::revision::parse_id(&commit.id)?, limits)?;
    lookup(repo, blob_id(&tree)?, prefix, limits)?
        .ok_or_else(|| SourceError::Missing { dir: prefix.to_owned(), revision: commit.id.clone() })
}

/// The tree at `dir` below `root`; None where there is none.
pub fn lookup(repo: &gix::Repository, root: BlobId, dir: &str, limits: &Limits) -> Result<Option<BlobId>, SourceError> {
    let mut tree = root;
    for name in dir.split('/').filter(|name| !name.is_empty()) {
        match child(repo, tree, name, limits)? {
            Some((TreeEntryKind::Tree, id)) => tree = blob_id(&id)?,
            _ => return Ok(None),
        }
    }
    Ok(Some(tree))
}

/// The file at `path` below `root`; None where there is none.
pub fn find(repo: &gix::Repository, root: BlobId, path: &str, limits: &Limits) -> Result<Option<Entry>, SourceError> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(tree) = lookup(repo, root, dir, limits)? else {
        return Ok(None);
    };
    let Some((kind, id)) = child(repo, tree, name, limits)? else {
        return Ok(None);
    };
    entry(kind, &id, Arc::from(path))
}

/// All files below `dir`, sorted by path.
pub fn list(repo: &gix::Repository, root: BlobId, dir: &str, limits: &Limits) -> Result<Vec<Entry>, SourceError> {
    let Some(start) = lookup(repo, root, dir, limits)? else {
        return Err(SourceError::Missing { dir: dir.to_owned(), revision: String::new() });
    };
    let mut walk = Walk { repo, limits, path: dir.to_owned(), stack: Vec::new(), found: Vec::new(), trees: 0 };
    walk.enter(object_id(&start)?)?;
    while let Some(frame) = walk.stack.last_mut() {
        walk.path.truncate(frame.path);
        let mut rest = TreeRefIter::from_bytes(frame.data.get(frame.at..).unwrap_or_default(), gix::hash::Kind::Sha1);
        match rest.next() {
            None => {
                walk.stack.pop();
            }
            Some(next) => {
                let next = next.map_err(|err| broken_tree(&walk.path, &super::cause(&err)))?;
                frame.at += rest.offset_to_next_entry(frame.data.get(frame.at..).unwrap_or_default());
                // What the entry borrows is copied out before the stack may grow.
                let (kind, id) = (next.mode.kind(), next.oid.to_owned());
                extend(&mut walk.path, &next, limits)?;
                walk.take(kind, id)?;
            }
        }
    }
    Ok(walk.found)
}

/// The content of a file, at most `max` bytes.
pub fn read(repo: &gix::Repository, entry: &Entry, max: u64) -> Result<Arc<[u8]>, SourceError> {
    let data = object(repo, object_id(&entry.id)?, Kind::Blob, max, || format!("`{}`", entry.path))?;
    Ok(data.into())
}

/// One directory on the way.
struct Frame {
    data: Vec<u8>,
    /// Offset of the next entry in `data`.
    at: usize,
    /// Length of this directory's path.
    path: usize,
}

struct Walk<'a> {
    repo: &'a gix::Repository,
    limits: &'a Limits,
    path: String,
    stack: Vec<Frame>,
    found: Vec<Entry>,
    /// Directories entered: a few small trees can name each other into billions.
    trees: usize,
}

impl Walk<'_> {
    fn enter(&mut self, id: ObjectId) -> Result<(), SourceError> {
        self.trees += 1;
        if self.stack.len() > self.limits.depth {
            return Err(limit(format!("the nesting of directories at `{}`", self.path), self.limits.depth));
        }
        if self.trees > self.limits.files {
            return Err(limit("the number of directories".to_owned(), self.limits.files));
        }
        let data = object(self.repo, id, Kind::Tree, self.limits.object, || format!("the directory `{}`", self.path))?;
        self.stack.push(Frame { data, at: 0, path: self.path.len() });
        Ok(())
    }

    /// Takes the entry that `self.path` names.
    fn take(&mut self, kind: TreeEntryKind, id: ObjectId) -> Result<(), SourceError> {
        if kind == TreeEntryKind::Tree {
            return self.enter(id);
        }
        if self.found.len() >= self.limits.files {
            return Err(limit("the number of files".to_owned(), self.limits.files));
        }
        // Git sorts trees so that a walk meets whole paths in order; an entry out of order may be there twice.
        if self.found.last().is_some_and(|last| *last.path >= *self.path) {
            return Err(broken_tree(&self.path, "its entries are not in order"));
        }
        self.found.extend(entry(kind, &id, Arc::from(self.path.as_str()))?);
        Ok(())
    }
}

/// Adds the name of an entry to the path of its directory.
fn extend(path: &mut String, entry: &EntryRef<'_>, limits: &Limits) -> Result<(), SourceError> {
    let name: &[u8] = entry.filename;
    let symlink = entry.mode.kind() == TreeEntryKind::Link;
    if path.len() + 1 + name.len() > limits.path {
        return Err(limit(format!("the length of a path in `{}`", shown(path.as_bytes())), format!("{} bytes", limits.path)));
    }
    let name = checked_name(name, symlink).map_err(|reason| SourceError::Path {
        path: shown(&[path.as_bytes(), b"/", name].concat()),
        reason: reason.to_owned(),
    })?;
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
    Ok(())
}

/// The entry `name` of a tree. Entries are compared one by one: a hostile tree need not be sorted.
fn child(
    repo: &gix::Repository,
    tree: BlobId,
    name: &str,
    limits: &Limits,
) -> Result<Option<(TreeEntryKind, ObjectId)>, SourceError> {
    let data = object(repo, object_id(&tree)?, Kind::Tree, limits.object, || format!("the directory of `{name}`"))?;
    for entry in TreeRefIter::from_bytes(&data, gix::hash::Kind::Sha1) {
        let entry = entry.map_err(|err| broken_tree(name, &super::cause(&err)))?;
        if entry.filename == name.as_bytes() {
            return Ok(Some((entry.mode.kind(), entry.oid.to_owned())));
        }
    }
    Ok(None)
}

fn entry(kind: TreeEntryKind, id: &gix::oid, path: Arc<str>) -> Result<Option<Entry>, SourceError> {
    let (kind, executable) = match kind {
        TreeEntryKind::Tree => return Ok(None),
        TreeEntryKind::Blob => (EntryKind::File, false),
        TreeEntryKind::BlobExecutable => (EntryKind::File, true),
        TreeEntryKind::Link => (EntryKind::Symlink, false),
        TreeEntryKind::Commit => (EntryKind::Submodule, false),
    };
    Ok(Some(Entry { path, id: blob_id(id)?, kind, executable }))
}

fn limit(what: String, limit: impl ToString) -> SourceError {
    SourceError::Limit { what, limit: limit.to_string() }
}

fn broken_tree(path: &str, cause: &str) -> SourceError {
    SourceError::Unreadable { what: format!("the directory of `{path}`"), cause: cause.to_owned() }
}

/// A path that may hold anything, for people: escaped, its start and no more.
fn shown(path: &[u8]) -> String {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let cut = path.get(..200).unwrap_or(path);
    let mut shown = cut.utf8_chunks().fold(String::new(), |mut shown, chunk| {
        shown.extend(chunk.valid().chars().flat_map(|char| {
            if char.is_ascii_graphic() || char.is_alphanumeric() || char == ' ' {
                char.to_string()
            } else {
                char.escape_unicode().to_string()
            }
            .chars()
            .collect::<Vec<_>>()
        }));
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        shown
    });
    if cut.len() < path.len() {
        shown.push('…');
    }
    shown
}
