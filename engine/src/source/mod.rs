//! Git as the source of documents: one revision, read straight from the object database.
//!
//! Owns everything between "a folder or URL" and "bytes of a path at one commit": opening, resolving a revision, listing
//! and reading trees, uncommitted files (`--worktree`), the commit behind a line, and fetching from elsewhere. It knows
//! nothing of layers, documents or environments. Only the files in `git/` name gix.
//!
//! Invariants:
//! - All that a [`Snapshot`] answers comes from one commit that was resolved once (or, for a worktree, from files whose
//!   content still has the id that the listing gave), so a push in the middle changes nothing.
//! - Nothing is checked out, no filter, hook, submodule or symbolic link is followed, no configuration outside the
//!   repository and no environment variable has an effect.
//! - Everything read is bounded by [`Limits`] before it is allocated; all walks are iterative.

pub mod child;
mod error;
mod git;
mod remote;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use trueup_core::value::Digest;

pub use error::SourceError;
pub use git::scratch::Scratch;
pub use remote::{FetchLimits, Fetcher, Remote, RemoteUrl};

use git::Repo;

/// What one source may hold (design §8).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files below one listed directory, and directories on the way.
    pub files: usize,
    /// Directories inside each other, below the listed one.
    pub depth: usize,
    /// Bytes of a path.
    pub path: usize,
    /// Bytes of one directory, commit or tag object.
    pub object: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 1_000_000, depth: 64, path: 4096, object: 128 << 20 }
    }
}

/// The id of a blob or tree: Git's own hash of the content, also for files that are not committed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId {
    length: u8,
    bytes: [u8; 32],
}

impl BlobId {
    /// From the 20 or 32 bytes of a hash; None for any other length.
    pub fn new(hash: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if !matches!(hash.len(), 20 | 32) {
            return None;
        }
        bytes.get_mut(..hash.len())?.copy_from_slice(hash);
        Some(Self { length: u8::try_from(hash.len()).ok()?, bytes })
    }

    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an [`Entry`] is. Symbolic links and submodules are listed so that the caller can say that they are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    File,
    Symlink,
    Submodule,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From the project's folder, with `/`; UTF-8, no control characters, no `..`, no `.git`.
    pub path: Arc<str>,
    /// Equal ids mean equal content, in every snapshot.
    pub id: BlobId,
    pub kind: EntryKind,
    pub executable: bool,
}

/// What a listing meets, in the order of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Entry(Entry),
    /// A directory, with its id; what it holds follows.
    Directory(Arc<str>, BlobId),
    /// A directory that whoever asked knows already: what it holds is left out.
    Known(Arc<str>),
}

/// One commit, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The full id in hex.
    pub id: String,
    /// First line of the message, at most 200 characters, control characters replaced.
    pub summary: String,
    /// Name of the author, cleaned as the summary is.
    pub author: String,
    pub email: String,
    /// When it was committed, in seconds since 1970 (UTC).
    pub time: i64,
    /// The branch that was asked for, or that `HEAD` is on.
    pub branch: Option<String>,
}

impl Commit {
    /// The first 12 digits of the id, for people.
    pub fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// A project's folder in a Git repository (or, for `--worktree`, just a folder).
#[derive(Clone, Debug)]
pub struct Source {
    repo: Option<Arc<Repo>>,
    /// The project's folder from the root of the repository; empty at the root.
    prefix: Arc<str>,
    /// The project's folder on disk, where there is a worktree.
    root: Option<Arc<Path>>,
    limits: Limits,
}

impl Source {
    /// Opens the Git repository that holds the folder `dir`; paths are relative to `dir` from here on.
    ///
    /// # Errors
    ///
    /// [`SourceError::NotARepository`] where no parent of `dir` is one.
    pub fn open(dir: &Path) -> Result<Self, SourceError> {
        let root = real(dir)?;
        let (repo, prefix) = Repo::discover(&root)?;
        let root = repo.work_dir().is_some().then(|| Arc::from(root));
        Ok(Self { repo: Some(Arc::new(repo)), prefix: prefix.into(), root, limits: Limits::default() })
    }

    /// As [`Source::open`], for reading uncommitted files only: `dir` need not be in a repository.
    pub fn open_worktree(dir: &Path) -> Result<Self, SourceError> {
        match Self::open(dir) {
            Err(SourceError::NotARepository { .. }) => {
                Ok(Self { repo: None, prefix: "".into(), root: Some(real(dir)?.into()), limits: Limits::default() })
            }
            other => other,
        }
    }

    /// The same repository with the project's folder at `path` below the present one.
    ///
    /// # Errors
    ///
    /// [`SourceError::Path`] where `path` is absolute or leaves the repository.
    pub fn within(&self, path: &str) -> Result<Self, SourceError> {
        let path = git::tidy(path)?;
        let root = self.root.as_ref().map(|root| Arc::from(root.join(&path)));
        Ok(Self { repo: self.repo.clone(), prefix: join(&self.prefix, &path).into(), root, limits: self.limits })
    }

    /// The same source with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The project's folder on disk; None in a repository without a worktree.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The project's folder from the root of the repository, `""` at the root.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Resolves a branch, tag (annotated tags are peeled), full or short commit id, or `HEAD`, each with `~N` or `^`
    /// behind it. The answer names one commit: a ref that moves later changes nothing.
    ///
    /// # Errors
    ///
    /// [`SourceError::NothingCommitted`] for an unborn `HEAD`; [`SourceError::UnknownRevision`] and
    /// [`SourceError::AmbiguousRevision`] for names.
    pub fn resolve(&self, rev: &str) -> Result<Commit, SourceError> {
        self.repository()?.with(|repo| git::revision::resolve(repo, rev, &self.limits))
    }

    /// The files of `commit`.
    ///
    /// # Errors
    ///
    /// [`SourceError::Missing`] where the project's folder does not exist at that commit.
    pub fn snapshot(&self, commit: &Commit) -> Result<Snapshot, SourceError> {
        let tree = self.repository()?.with(|repo| git::tree::root(repo, commit, &self.prefix, &self.limits))?;
        let content = Content::Commit { tree, directories: Arc::default() };
        Ok(Snapshot { source: self.clone(), commit: Some(commit.clone()), content })
    }

    /// The files as they stand on disk: tracked ones, and untracked ones that are not ignored.
    pub fn worktree(&self) -> Result<Snapshot, SourceError> {
        let Some(root) = self.root.clone() else {
            return Err(SourceError::NoWorktree);
        };
        let commit = match &self.repo {
            None => None,
            Some(_) => match self.resolve("HEAD") {
                Ok(commit) => Some(commit),
                Err(SourceError::NothingCommitted) => None,
                Err(err) => return Err(err),
            },
        };
        Ok(Snapshot { source: self.clone(), commit, content: Content::Worktree { root } })
    }

    /// Files of the project that differ between the worktree and `snapshot`, sorted: changed, deleted, and untracked but
    /// not ignored. For a hint only: empty also where it cannot be told cheaply (no worktree, more than 20,000 files).
    pub fn modified(&self, snapshot: &Snapshot) -> Vec<String> {
        self.modified_below(snapshot, &[""])
    }

    /// As [`Source::modified`], looking at the given files and below the given directories only.
    pub fn modified_below(&self, snapshot: &Snapshot, paths: &[&str]) -> Vec<String> {
        git::worktree::modified(self, snapshot, paths).unwrap_or_default()
    }

    /// The commit that last touched a line (from 1) of a file of `snapshot`. None where the file is not committed, the
    /// line does not exist, or it is older than the last 10,000 commits that lead to it.
    pub fn history(&self, snapshot: &Snapshot, path: &str, line: u32) -> Option<Commit> {
        let commit = snapshot.commit.as_ref()?;
        let path = join(&self.prefix, &git::tidy(path).ok()?);
        self.repository().ok()?.with(|repo| git::history::last_touched(repo, commit, &path, line, &self.limits)).ok()?
    }

    fn repository(&self) -> Result<&Repo, SourceError> {
        self.repo
            .as_deref()
            .ok_or_else(|| SourceError::NotARepository { dir: self.root.as_deref().map(Path::to_path_buf).unwrap_or_default() })
    }
}

/// The files of one revision, or of the worktree. Cheap to clone, usable from every thread.
#[derive(Clone, Debug)]
pub struct Snapshot {
    source: Source,
    commit: Option<Commit>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// The tree of the project's folder.
    Commit {
        tree: BlobId,
        directories: Arc<git::tree::Directories>,
    },
    Worktree {
        root: Arc<Path>,
    },
}

impl Snapshot {
    /// The commit: of the snapshot, or under the worktree. None in a worktree where nothing is committed.
    pub fn commit(&self) -> Option<&Commit> {
        self.commit.as_ref()
    }

    /// How the revision is written: `<commit>`, `<commit>+worktree`, or `uncommitted+worktree`.
    pub fn revision(&self) -> String {
        let commit = self.commit.as_ref().map_or("uncommitted", |it| it.id.as_str());
        match self.content {
            Content::Commit { .. } => commit.to_owned(),
            Content::Worktree { .. } => format!("{commit}+worktree"),
        }
    }

    /// Whether uncommitted files are read.
    pub fn is_worktree(&self) -> bool {
        matches!(self.content, Content::Worktree { .. })
    }

    /// All files below a directory of the project (`""` or `"."`: all), sorted by path, hidden ones too. Reads
    /// directories only, no file (in a worktree: every file, for its id).
    ///
    /// # Errors
    ///
    /// [`SourceError::Missing`] where the directory does not exist, [`SourceError::Path`] for a name that is not safe,
    /// [`SourceError::Limit`] where a limit is crossed.
    pub fn list(&self, dir: &str) -> Result<Vec<Entry>, SourceError> {
        let all = self.list_unknown(dir, &|_, _| false)?.into_iter();
        Ok(all.filter_map(|it| if let Listed::Entry(entry) = it { Some(entry) } else { None }).collect())
    }

    /// As [`Snapshot::list`], with the directories on the way; what is in those that `is_known` by path and id is neither read
    /// nor listed. In a worktree none is known, and none is told of.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::list`].
    pub fn list_unknown(&self, dir: &str, is_known: &dyn Fn(&str, &BlobId) -> bool) -> Result<Vec<Listed>, SourceError> {
        let dir = git::tidy(dir)?;
        let limits = &self.source.limits;
        match &self.content {
            Content::Commit { tree, directories } => self.source.repository()?.with(|repo| {
                let start = git::tree::lookup(repo, directories, *tree, &dir, limits)?
                    .ok_or_else(|| SourceError::Missing { dir: dir.clone(), revision: String::new() })?;
                git::tree::list(repo, start, &dir, is_known, limits)
            }),
            Content::Worktree { root } => {
                git::worktree::list(&self.source, root, &dir).map(|all| all.into_iter().map(Listed::Entry).collect())
            }
        }
        .map_err(|err| err.at_revision(&self.revision()))
    }

    /// The id of a directory: equal ids mean that nothing below it differs. None where it does not exist, cannot be
    /// read, or in a worktree.
    pub fn tree_id(&self, dir: &str) -> Option<BlobId> {
        let dir = git::tidy(dir).ok()?;
        let Content::Commit { tree, directories } = &self.content else {
            return None;
        };
        let lookup = |repo: &gix::Repository| git::tree::lookup(repo, directories, *tree, &dir, &self.source.limits);
        self.source.repository().ok()?.with(lookup).ok()?
    }

    /// The file at a path of the project; None where there is none (or a directory, or one behind a symbolic link).
    pub fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        let path = git::tidy(path)?;
        match &self.content {
            Content::Commit { tree, directories } => {
                self.source.repository()?.with(|repo| git::tree::find(repo, directories, *tree, &path, &self.source.limits))
            }
            Content::Worktree { root } => git::worktree::find(&self.source, root, &path),
        }
    }

    /// The content of a file, at most `max` bytes; the size is known before anything is inflated.
    ///
    /// # Errors
    ///
    /// [`SourceError::Limit`] where it is larger, [`SourceError::Changed`] where a worktree file is no longer what the
    /// listing saw, [`SourceError::NotAFile`] for a symbolic link or submodule.
    pub fn read(&self, entry: &Entry, max: u64) -> Result<Arc<[u8]>, SourceError> {
        if entry.kind != EntryKind::File {
            return Err(SourceError::NotAFile { path: entry.path.to_string(), kind: entry.kind });
        }
        match &self.content {
            Content::Commit { .. } => self.source.repository()?.with(|repo| git::tree::read(repo, entry, max)),
            Content::Worktree { root } => git::worktree::read(root, entry, max),
        }
    }

    /// SHA-256 and size in bytes of a file of at most `max` bytes. Errors as [`Snapshot::read`].
    pub fn digest(&self, entry: &Entry, max: u64) -> Result<(Digest, u64), SourceError> {
        let bytes = self.read(entry, max)?;
        Ok((Digest(Sha256::digest(&bytes).into()), bytes.len() as u64))
    }
}

/// `dir` with all symbolic links of its own path resolved.
fn real(dir: &Path) -> Result<PathBuf, SourceError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match dir.canonicalize() {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(_) => Err(SourceError::Unreadable { what: format!("`{}`", dir.display()), cause: "it is not a folder".into() }),
        Err(err) => Err(SourceError::Unreadable { what: format!("`{}`", dir.display()), cause: err.to_string() }),
    }
}

/// Two relative paths joined with `/`, where either may be empty.
fn join(left: &str, right: &str) -> String {
    match (left.is_empty(), right.is_empty()) {
        (true, _) => right.to_owned(),
        (_, true) => left.to_owned(),
        _ => format!("{left}/{right}"),
    }
}
