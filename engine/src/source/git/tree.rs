//! Listing, looking up and reading the files of one commit.
//!
//! Trees are walked with a stack of their own: the depth of a repository is never the depth of our calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gix::ObjectId;
use gix::objs::tree::{EntryKind as TreeEntryKind, EntryRef};
use gix::objs::{Kind, TreeRefIter};

use super::super::{BlobId, Commit, Entry, EntryKind, Limits, Listed, SourceError};
use super::{blob_id, checked_name, object, object_id};

/// Names that [`Directories`] hold at most; then they begin anew.
const REMEMBERED: usize = 1 << 20;

/// Directories that were looked into, by id, so that many files are found in one without reading it for each.
#[derive(Debug, Default)]
pub struct Directories(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    directories: HashMap<BlobId, Names>,
    /// Names in all of them.
    names: usize,
}

/// What stands in one directory.
type Names = Arc<HashMap<Box<[u8]>, (TreeEntryKind, ObjectId)>>;

impl Directories {
    fn names(&self, repo: &gix::Repository, tree: BlobId, name: &str, limits: &Limits) -> Result<Names, SourceError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.directories.get(&tree) {
            return Ok(known.clone());
        }
        let data = object(repo, object_id(&tree)?, Kind::Tree, limits.object, || format!("the directory of `{name}`"))?;
        let mut names = HashMap::new();
        for entry in TreeRefIter::from_bytes(&data, gix::hash::Kind::Sha1) {
            let entry = entry.map_err(|err| broken_tree(name, &super::cause(&err)))?;
            // A hostile tree may hold a name twice: the first one counts, wherever it stands.
            names.entry(entry.filename.to_vec().into()).or_insert((entry.mode.kind(), entry.oid.to_owned()));
        }
        let names = Arc::new(names);
        if all.names + names.len() > REMEMBERED {
            *all = Remembered::default();
        }
        all.names += names.len();
        all.directories.insert(tree, names.clone());
        Ok(names)
    }
}

/// The tree of the project's folder at `commit`.
pub fn root(repo: &gix::Repository, commit: &Commit, prefix: &str, limits: &Limits) -> Result<BlobId, SourceError> {
    let tree = super::revision::tree_of(repo, super::revision::parse_id(&commit.id)?, limits)?;
    lookup(repo, &Directories::default(), blob_id(&tree)?, prefix, limits)?
        .ok_or_else(|| SourceError::Missing { dir: prefix.to_owned(), revision: commit.id.clone() })
}

/// The tree at `dir` below `root`; None where there is none.
pub fn lookup(
    repo: &gix::Repository,
    directories: &Directories,
    root: BlobId,
    dir: &str,
    limits: &Limits,
) -> Result<Option<BlobId>, SourceError> {
    let mut tree = root;
    for name in dir.split('/').filter(|name| !name.is_empty()) {
        match directories.names(repo, tree, name, limits)?.get(name.as_bytes()) {
            Some((TreeEntryKind::Tree, id)) => tree = blob_id(id)?,
            _ => return Ok(None),
        }
    }
    Ok(Some(tree))
}

/// The file at `path` below `root`; None where there is none.
pub fn find(
    repo: &gix::Repository,
    directories: &Directories,
    root: BlobId,
    path: &str,
    limits: &Limits,
) -> Result<Option<Entry>, SourceError> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(tree) = lookup(repo, directories, root, dir, limits)? else {
        return Ok(None);
    };
    match directories.names(repo, tree, name, limits)?.get(name.as_bytes()) {
        Some((kind, id)) => entry(*kind, id, Arc::from(path)),
        None => Ok(None),
    }
}

/// Everything below `dir`, which is the tree `start`, sorted by path. Directories that `is_known` by their path and id are
/// named and not read.
pub fn list(
    repo: &gix::Repository,
    start: BlobId,
    dir: &str,
    is_known: &dyn Fn(&str, &BlobId) -> bool,
    limits: &Limits,
) -> Result<Vec<Listed>, SourceError> {
    let mut walk =
        Walk { repo, limits, is_known, path: dir.to_owned(), stack: Vec::new(), found: Vec::new(), last: None, trees: 0 };
    walk.enter(start)?;
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
    is_known: &'a dyn Fn(&str, &BlobId) -> bool,
    path: String,
    stack: Vec<Frame>,
    found: Vec<Listed>,
    /// The file that came last.
    last: Option<Arc<str>>,
    /// Directories entered: a few small trees can name each other into billions.
    trees: usize,
}

impl Walk<'_> {
    /// Goes into the directory that `self.path` names, unless it is known.
    fn enter(&mut self, id: BlobId) -> Result<(), SourceError> {
        self.trees += 1;
        if self.stack.len() > self.limits.depth {
            return Err(limit(format!("the nesting of directories at `{}`", self.path), self.limits.depth));
        }
        if self.trees > self.limits.files {
            return Err(limit("the number of directories".to_owned(), self.limits.files));
        }
        let path: Arc<str> = self.path.as_str().into();
        if (self.is_known)(&path, &id) {
            self.found.push(Listed::Known(path));
            return Ok(());
        }
        let data =
            object(self.repo, object_id(&id)?, Kind::Tree, self.limits.object, || format!("the directory `{}`", self.path))?;
        self.found.push(Listed::Directory(path, id));
        self.stack.push(Frame { data, at: 0, path: self.path.len() });
        Ok(())
    }

    /// Takes the entry that `self.path` names.
    fn take(&mut self, kind: TreeEntryKind, id: ObjectId) -> Result<(), SourceError> {
        if kind == TreeEntryKind::Tree {
            return self.enter(blob_id(&id)?);
        }
        if self.found.len() >= self.limits.files {
            return Err(limit("the number of files".to_owned(), self.limits.files));
        }
        let path: Arc<str> = self.path.as_str().into();
        // Git sorts trees so that a walk meets whole paths in order; an entry out of order may be there twice.
        if self.last.replace(path.clone()).is_some_and(|last| *last >= *path) {
            return Err(broken_tree(&self.path, "its entries are not in order"));
        }
        self.found.extend(entry(kind, &id, path)?.map(Listed::Entry));
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
