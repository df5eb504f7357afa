//! The door to gix: opening repositories, and the checks that every name from a repository passes.

pub(super) mod fetch;
pub(super) mod history;
pub(super) mod revision;
pub(super) mod scratch;
#[cfg(test)]
mod tests;
pub(super) mod tree;
pub(super) mod worktree;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::objs::Kind;
use gix::validate::path::component;

use super::{BlobId, SourceError};

/// Handles that one thread keeps open, so that a process with many sources stays small.
const OPEN_PER_THREAD: usize = 8;

/// Where objects are read, none is inflated beyond this many bytes, whatever its header says, and none that it is a difference
/// to: [`super::Limits::object`]'s default, as whatever is larger is refused anyway.
const ALLOC_LIMIT: &str = "gitoxide.objects.allocLimit=128m";

/// The same in the child that fetches, which has to take files that no project reads as well.
const FETCH_ALLOC_LIMIT: &str = "gitoxide.objects.allocLimit=512m";

static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// A gix handle belongs to one thread; each thread opens its own when it first needs it.
    static OPEN: RefCell<Vec<(u64, Rc<gix::Repository>)>> = const { RefCell::new(Vec::new()) };
}

/// A repository that was opened once and can be used from every thread.
#[derive(Debug)]
pub(super) struct Repo {
    key: u64,
    /// The worktree's folder, or a repository without one.
    path: PathBuf,
    work_dir: Option<PathBuf>,
}

impl Repo {
    /// Opens the repository that holds `dir` (an absolute path without symbolic links); also says where `dir` lies in it.
    pub fn discover(dir: &Path) -> Result<(Self, String), SourceError> {
        let repo = gix::discover_opts(dir, Default::default(), options()).map_err(|err| {
            tracing::debug!(error = %err, "no repository found");
            match dir.ancestors().find(|it| it.join(".git").exists()) {
                Some(found) => {
                    SourceError::Unreadable { what: format!("the repository in `{}`", found.display()), cause: cause(&err) }
                }
                None => SourceError::NotARepository { dir: dir.to_path_buf() },
            }
        })?;
        let work_dir = repo.workdir().and_then(|it| it.canonicalize().ok());
        let path = work_dir.clone().unwrap_or_else(|| repo.git_dir().to_path_buf());
        let inside = match &work_dir {
            Some(root) => match dir.strip_prefix(root) {
                Ok(inside) => inside,
                // Inside `.git`, or a `core.worktree` that points elsewhere.
                Err(_) => return Err(SourceError::NotARepository { dir: dir.to_path_buf() }),
            },
            None => Path::new(""),
        };
        let Some(inside) = inside.to_str() else {
            return Err(SourceError::Path { path: inside.display().to_string(), reason: "it is not UTF-8".into() });
        };
        let inside = inside.replace(std::path::MAIN_SEPARATOR, "/");
        Ok((Self::keep(path, work_dir, repo), inside))
    }

    /// Opens a repository that has no worktree.
    pub fn bare(path: &Path) -> Result<Self, SourceError> {
        let repo = open(path)?;
        Ok(Self::keep(path.to_path_buf(), None, repo))
    }

    fn keep(path: PathBuf, work_dir: Option<PathBuf>, repo: gix::Repository) -> Self {
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        OPEN.with_borrow_mut(|open| remember(open, key, Rc::new(repo)));
        Self { key, path, work_dir }
    }

    pub fn work_dir(&self) -> Option<&Path> {
        self.work_dir.as_deref()
    }

    /// Runs `f` with this thread's handle. A panic inside gix becomes an error, and the handle is not used again.
    pub fn with<R>(&self, f: impl FnOnce(&gix::Repository) -> Result<R, SourceError>) -> Result<R, SourceError> {
        let open = OPEN.with_borrow(|open| open.iter().find(|(key, _)| *key == self.key).map(|(_, repo)| repo.clone()));
        let repo = match open {
            Some(repo) => repo,
            None => {
                let repo = Rc::new(self::open(&self.path)?);
                OPEN.with_borrow_mut(|open| remember(open, self.key, repo.clone()));
                repo
            }
        };
        catch_unwind(AssertUnwindSafe(|| f(&repo))).unwrap_or_else(|_| {
            OPEN.with_borrow_mut(|open| open.retain(|(key, _)| *key != self.key));
            Err(SourceError::Unreadable {
                what: format!("the repository `{}`", self.path.display()),
                cause: "it is damaged".into(),
            })
        })
    }
}

fn remember(open: &mut Vec<(u64, Rc<gix::Repository>)>, key: u64, repo: Rc<gix::Repository>) {
    if open.len() >= OPEN_PER_THREAD {
        open.remove(0);
    }
    open.push((key, repo));
}

/// Only the repository's own configuration, and no environment.
pub(super) fn options() -> gix::open::Options {
    gix::open::Options::isolated().config_overrides([ALLOC_LIMIT])
}

/// As [`options`], for the child that fetches.
pub(super) fn fetch_options() -> gix::open::Options {
    gix::open::Options::isolated().config_overrides([FETCH_ALLOC_LIMIT])
}

fn open(path: &Path) -> Result<gix::Repository, SourceError> {
    gix::open_opts(path, options())
        .map_err(|err| SourceError::Unreadable { what: format!("the repository `{}`", path.display()), cause: cause(&err) })
}

/// The whole chain of a failure as one line.
pub(super) fn cause(err: &gix::Error) -> String {
    let mut text = err.to_string();
    let mut next = std::error::Error::source(err);
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    clean(text.as_bytes(), 500)
}

/// Text from a repository or server for people: one line, at most `max` characters, nothing that steers a terminal.
pub(super) fn clean(text: &[u8], max: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.get(..max * 4).unwrap_or(line);
    let safe = |char: char| if trueup_core::text::is_hostile(char) { '\u{fffd}' } else { char };
    String::from_utf8_lossy(line).chars().take(max).map(safe).collect()
}

/// Characters that change how others are shown: bidirectional controls and line separators.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Why a name of a file or directory is refused; the name as text where it is not.
///
/// The rules are those of `git fsck` and `core.protectHFS`/`protectNTFS` (`.git` in every disguise), and that it can be shown.
pub(super) fn checked_name(name: &[u8], symlink: bool) -> Result<&str, &'static str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let text = std::str::from_utf8(name).map_err(|_| "it is not UTF-8")?;
    if !name.is_empty() && name.first() != Some(&b'.') && name.iter().all(plain) {
        return Ok(text);
    }
    if text.contains('\\') {
        return Err("it holds a backslash");
    }
    if text.chars().any(|char| char.is_control() || is_invisible(char)) {
        return Err("it holds control or invisible characters");
    }
    if trueup_core::text::inner_folder(text) == Some(".git") {
        return Err("it stands for `.git` on some systems");
    }
    let options = component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    match gix::validate::path::component(name.as_bstr(), symlink.then_some(component::Mode::Symlink), options) {
        Ok(_) => Ok(text),
        Err(component::Error::Empty) => Err("a part of it is empty"),
        Err(component::Error::Relative) => Err("`.` and `..` are not allowed in it"),
        Err(component::Error::PathSeparator) => Err("a name holds a path separator"),
        Err(component::Error::SymlinkedGitModules) => Err("`.gitmodules` is a symbolic link"),
        Err(_) => Err("it stands for `.git` on some systems"),
    }
}

/// A path as people write it (`./base/`, `envs/prod`, `.`) without what means nothing.
///
/// # Errors
///
/// [`SourceError::Path`] where it is absolute, leaves its root, or holds a name that is refused.
pub(super) fn tidy(path: &str) -> Result<String, SourceError> {
    let refused = |reason: &str| SourceError::Path { path: path.escape_debug().to_string(), reason: reason.to_owned() };
    if path.starts_with('/') {
        return Err(refused("it is absolute"));
    }
    let mut tidy = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let part = checked_name(part.as_bytes(), false).map_err(refused)?;
        if !tidy.is_empty() {
            tidy.push('/');
        }
        tidy.push_str(part);
    }
    Ok(tidy)
}

/// Our name for a gix id.
fn blob_id(id: &gix::oid) -> Result<BlobId, SourceError> {
    BlobId::new(id.as_bytes())
        .ok_or_else(|| SourceError::Unreadable { what: format!("object {id}"), cause: "its id has an unknown length".into() })
}

/// The gix name for our id.
fn object_id(id: &BlobId) -> Result<ObjectId, SourceError> {
    gix::oid::try_from_bytes(id.as_bytes())
        .map(ToOwned::to_owned)
        .map_err(|err| SourceError::Unreadable { what: format!("object {id}"), cause: cause(&err) })
}

/// The bytes of an object of at most `max` bytes. `name` says for people what it is.
///
/// A blob's kind and size are looked at before it is inflated. Other objects are inflated at once, as looking first costs as
/// much again and [`ALLOC_LIMIT`] bounds them.
fn object(repo: &gix::Repository, id: ObjectId, want: Kind, max: u64, name: impl Fn() -> String) -> Result<Vec<u8>, SourceError> {
    let unreadable = |cause: String| SourceError::Unreadable { what: name(), cause };
    let judge = |kind: Kind, size: u64| match (kind == want, size > max) {
        (false, _) => Err(unreadable(format!("object {id} is a {kind} and not a {want}"))),
        (true, true) => Err(SourceError::Limit { what: format!("{} ({size} bytes)", name()), limit: format!("{max} bytes") }),
        (true, false) => Ok(()),
    };
    if want == Kind::Blob
        && let Some(header) = repo.try_find_header(id).map_err(|err| unreadable(cause(&err)))?
    {
        judge(header.kind(), header.size())?;
    }
    match repo.try_find_object(id).map_err(|err| unreadable(cause(&err)))? {
        None => Err(unreadable(format!("object {id} is not in the repository"))),
        Some(mut object) => {
            judge(object.kind, object.data.len() as u64)?;
            Ok(std::mem::take(&mut object.data))
        }
    }
}
