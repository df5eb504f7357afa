//! Uncommitted files as they stand on disk.
//!
//! A file counts if it is tracked, or untracked and not ignored. Its id is Git's hash of what it holds, so that a file has
//! the same id before and after it is committed; reading checks that it still is. Symbolic links are never followed, not
//! even by a path that leads through one.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use gix::bstr::{BStr, ByteSlice};
use gix::index::entry::{Flags, Mode as IndexMode, Stat};
use gix::objs::Kind;
use rustix::fs::{Mode, OFlags};

use super::super::{BlobId, Content, Entry, EntryKind, Limits, Snapshot, Source, SourceError, join};
use super::{blob_id, cause, checked_name};
use crate::regular;

/// Files and directories that [`modified`] looks at before it gives up.
const GLANCE: usize = 20_000;
/// Files in the index of a whole repository that [`modified`] loads.
const LOADED: usize = 50_000;
/// Bytes of a file that [`modified`] reads to compare it.
const COMPARED: u64 = 16 << 20;

/// All files below `dir` of the folder `root`, sorted by path.
pub fn list(source: &Source, root: &Path, dir: &str) -> Result<Vec<Entry>, SourceError> {
    on_disk(source, root, |disk| {
        let mut found = Vec::new();
        disk.walk(dir, disk.limits.files, &mut |disk, path, metadata, kind| {
            if found.len() >= disk.limits.files {
                return Err(SourceError::Limit { what: "the number of files".into(), limit: disk.limits.files.to_string() });
            }
            found.push(disk.entry(path, metadata, kind)?);
            Ok(())
        })?;
        found.sort_unstable_by(|left, right| left.path.cmp(&right.path));
        disk.is_whole(dir, &found)?;
        Ok(found)
    })
}

/// The file at `path` of the folder `root`; None where there is none that counts.
pub fn find(source: &Source, root: &Path, path: &str) -> Result<Option<Entry>, SourceError> {
    on_disk(source, root, |disk| {
        let mut at = root.to_path_buf();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            let Ok(metadata) = at.symlink_metadata() else {
                return Ok(None);
            };
            if parts.peek().is_some() {
                if !metadata.is_dir() {
                    return Ok(None);
                }
                continue;
            }
            let kind = match kind_of(&metadata) {
                Some(kind) if disk.counts(path, false)? => kind,
                _ => return Ok(None),
            };
            return disk.entry(path.to_owned(), &metadata, kind).map(Some);
        }
        Ok(None)
    })
}

/// The content of a file, at most `max` bytes, if it still is what `entry` says.
pub fn read(root: &Path, entry: &Entry, max: u64) -> Result<Arc<[u8]>, SourceError> {
    let file = open_beneath(root, &entry.path)?;
    let size = file.metadata().map_err(|err| unreadable(&entry.path, &err))?.len();
    if size > max {
        return Err(SourceError::Limit { what: format!("`{}` ({size} bytes)", entry.path), limit: format!("{max} bytes") });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(max).read_to_end(&mut bytes).map_err(|err| unreadable(&entry.path, &err))?;
    let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, &bytes)
        .map_err(|err| SourceError::Unreadable { what: format!("`{}`", entry.path), cause: cause(&err) })?;
    if blob_id(&id)? != entry.id {
        return Err(SourceError::Changed { path: entry.path.to_string() });
    }
    Ok(bytes.into())
}

/// Files at or below `paths` that differ between the worktree and the commit of `snapshot`. Looks at no more than [`GLANCE`]
/// entries and answers nothing where that is not enough.
pub fn modified(source: &Source, snapshot: &Snapshot, paths: &[&str]) -> Result<Vec<String>, SourceError> {
    let (Some(root), Content::Commit { .. }) = (source.root.clone(), &snapshot.content) else {
        return Ok(Vec::new());
    };
    if !source.repository()?.with(|repo| Ok(is_small(&repo.index_path())))? {
        return Ok(Vec::new());
    }
    on_disk(source, &root, |disk| {
        let Some(index) = &disk.index else {
            return Ok(Vec::new());
        };
        let mut tracked = 0;
        let mut committed = HashMap::new();
        let mut differ = Vec::new();
        for path in paths {
            let path = super::tidy(path)?;
            let below = join(&source.prefix, &path);
            tracked += index.prefixed_entries(below.as_bytes().as_bstr()).map_or(0, <[_]>::len);
            if tracked > GLANCE {
                return Ok(Vec::new());
            }
            match snapshot.list(&path) {
                Ok(entries) => committed.extend(entries.into_iter().map(|it| (it.path.clone(), it))),
                // A single file, or nothing.
                Err(SourceError::Missing { .. }) => committed.extend(snapshot.find(&path)?.map(|it| (it.path.clone(), it))),
                Err(err) => return Err(err),
            }
        }
        let mut seen = HashSet::new();
        for path in paths {
            disk.glance(&super::tidy(path)?, &mut |disk, path, metadata, kind| {
                // A path may lie below another one of the list.
                if !seen.insert(path.clone()) {
                    return Ok(());
                }
                match committed.remove(path.as_str()) {
                    Some(entry) if disk.is_same(&entry, metadata, kind)? => {}
                    _ => differ.push(path),
                }
                Ok(())
            })?;
        }
        let gone = committed.into_values().filter(|entry| entry.kind != EntryKind::Submodule && !disk.is_skipped(&entry.path));
        differ.extend(gone.map(|entry| entry.path.to_string()));
        differ.sort_unstable();
        differ.dedup();
        Ok(differ)
    })
}

/// Whether an index is worth loading for a hint: its header says how many files it holds.
fn is_small(index: &Path) -> bool {
    let mut header = [0; 12];
    let read = regular::open(index).and_then(|(mut file, _)| file.read_exact(&mut header));
    match (read, header) {
        (Ok(()), [_, _, _, _, _, _, _, _, count @ ..]) => u32::from_be_bytes(count) as usize <= LOADED,
        (Err(_), _) => false,
    }
}

/// Runs `f` on the folder `root`, with the index and ignore rules of its repository if it is in one.
fn on_disk<R>(source: &Source, root: &Path, f: impl FnOnce(&mut Disk<'_>) -> Result<R, SourceError>) -> Result<R, SourceError> {
    let Some(repo) = &source.repo else {
        return f(&mut Disk { root, prefix: "", limits: &source.limits, index: None, excludes: None });
    };
    repo.with(|repo| {
        let failed = |err: gix::Error| SourceError::Unreadable { what: "the index of the repository".into(), cause: cause(&err) };
        let index = repo.index_or_empty().map_err(failed)?;
        let excludes = repo.excludes(&index, None, Default::default()).map_err(failed)?;
        f(&mut Disk { root, prefix: &source.prefix, limits: &source.limits, index: Some(index), excludes: Some(excludes) })
    })
}

/// A folder of uncommitted files. All paths are relative to it.
struct Disk<'a> {
    root: &'a Path,
    /// Where it lies in its repository.
    prefix: &'a str,
    limits: &'a Limits,
    index: Option<gix::worktree::Index>,
    excludes: Option<gix::AttributeStack<'a>>,
}

/// Takes one file: its path, what the disk says of it, and its kind.
type Visit<'v> = dyn FnMut(&mut Disk<'_>, String, &Metadata, EntryKind) -> Result<(), SourceError> + 'v;

impl Disk<'_> {
    /// Shows `visit` the file at `path`, or every file below it, that counts; nothing where nothing is there.
    fn glance(&mut self, path: &str, visit: &mut Visit<'_>) -> Result<(), SourceError> {
        match self.root.join(path).symlink_metadata() {
            Ok(metadata) if !metadata.is_dir() => match kind_of(&metadata) {
                Some(kind) if self.counts(path, false)? => visit(self, path.to_owned(), &metadata, kind),
                _ => Ok(()),
            },
            _ => match self.walk(path, GLANCE, visit) {
                Err(SourceError::Missing { .. }) => Ok(()),
                other => other,
            },
        }
    }

    /// Shows `visit` every file below `dir` that counts, in no order; looks at `budget` names at most.
    fn walk(&mut self, dir: &str, mut budget: usize, visit: &mut Visit<'_>) -> Result<(), SourceError> {
        let top = self.root.join(dir);
        if !top.symlink_metadata().is_ok_and(|it| it.is_dir()) {
            return Err(SourceError::Missing { dir: dir.to_owned(), revision: String::new() });
        }
        let mut waiting = vec![(dir.to_owned(), 0)];
        while let Some((dir, depth)) = waiting.pop() {
            if depth > self.limits.depth {
                let what = format!("the nesting of directories at `{dir}`");
                return Err(SourceError::Limit { what, limit: self.limits.depth.to_string() });
            }
            for entry in std::fs::read_dir(self.root.join(&dir)).map_err(|err| unreadable(&dir, &err))? {
                let entry = entry.map_err(|err| unreadable(&dir, &err))?;
                let name = entry.file_name();
                if name == ".git" {
                    continue;
                }
                budget = budget.checked_sub(1).ok_or_else(|| SourceError::Limit {
                    what: format!("the number of files in `{dir}`"),
                    limit: self.limits.files.to_string(),
                })?;
                // Gone since the directory was read: as if it had never been there.
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                let name = checked_name(name.as_bytes(), metadata.is_symlink()).map_err(|reason| SourceError::Path {
                    path: format!("{dir}/{}", name.to_string_lossy().escape_debug()),
                    reason: reason.to_owned(),
                })?;
                let path = join(&dir, name);
                if path.len() > self.limits.path {
                    let what = format!("the length of a path in `{dir}`");
                    return Err(SourceError::Limit { what, limit: format!("{} bytes", self.limits.path) });
                }
                if metadata.is_dir() {
                    if !self.counts(&path, true)? {
                        continue;
                    }
                    if entry.path().join(".git").symlink_metadata().is_ok() {
                        visit(self, path, &metadata, EntryKind::Submodule)?;
                    } else {
                        waiting.push((path, depth + 1));
                    }
                } else if let Some(kind) = kind_of(&metadata)
                    && self.counts(&path, false)?
                {
                    visit(self, path, &metadata, kind)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a file is tracked or not ignored; whether a directory may hold one that is.
    fn counts(&mut self, path: &str, dir: bool) -> Result<bool, SourceError> {
        let full = join(self.prefix, path);
        let Some(excludes) = &mut self.excludes else {
            return Ok(true);
        };
        let mode = dir.then_some(IndexMode::DIR);
        let excluded = excludes
            .at_path(&full, mode)
            .map_err(|err| SourceError::Unreadable { what: format!("the ignore rules for `{path}`"), cause: cause(&err) })?;
        if !excluded.is_excluded() {
            return Ok(true);
        }
        let full = full.as_bytes().as_bstr();
        Ok(self
            .index
            .as_ref()
            .is_some_and(|index| if dir { index.path_is_directory(full) } else { index.entry_by_path(full).is_some() }))
    }

    fn entry(&self, path: String, metadata: &Metadata, kind: EntryKind) -> Result<Entry, SourceError> {
        let id = match kind {
            EntryKind::Submodule => BlobId { length: 20, bytes: [0; 32] },
            _ => self.hash(&path, kind)?,
        };
        let executable = kind == EntryKind::File && metadata.permissions().mode() & 0o100 != 0;
        Ok(Entry { path: path.into(), id, kind, executable })
    }

    /// Git's hash of what a file holds (of a symbolic link: where it points), read in pieces.
    fn hash(&self, path: &str, kind: EntryKind) -> Result<BlobId, SourceError> {
        let failed = |err: gix::Error| SourceError::Unreadable { what: format!("`{path}`"), cause: cause(&err) };
        if kind == EntryKind::Symlink {
            let target = std::fs::read_link(self.root.join(path)).map_err(|err| unreadable(path, &err))?;
            let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, target.as_os_str().as_bytes()).map_err(failed)?;
            return blob_id(&id);
        }
        let mut file = open_beneath(self.root, path)?;
        let size = file.metadata().map_err(|err| unreadable(path, &err))?.len();
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
        hasher.update(format!("blob {size}\0").as_bytes());
        let mut buffer = vec![0; 64 << 10];
        let mut total = 0;
        loop {
            let read = file.read(&mut buffer).map_err(|err| unreadable(path, &err))?;
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
                break;
            };
            hasher.update(piece);
            total += read as u64;
        }
        if total != size {
            return Err(SourceError::Changed { path: path.to_owned() });
        }
        blob_id(&hasher.try_finalize().map_err(failed)?)
    }

    /// Whether a file on disk is what was committed: by the index where that saw the file as it is, else by its content.
    fn is_same(&self, entry: &Entry, metadata: &Metadata, kind: EntryKind) -> Result<bool, SourceError> {
        if kind != entry.kind {
            return Ok(false);
        }
        if kind == EntryKind::Submodule {
            return Ok(true);
        }
        let full = join(self.prefix, &entry.path);
        if let Some(index) = &self.index
            && let Some(known) = index.entry_by_path(BStr::new(full.as_bytes()))
            && let Ok(stat) = gix::index::fs::Metadata::from_path_no_follow(&self.root.join(&*entry.path))
            && let Ok(stat) = Stat::from_fs(&stat)
            && known.stat.matches(&stat, Default::default())
            && !known.stat.is_racy(index.timestamp(), Default::default())
        {
            return Ok(blob_id(&known.id)? == entry.id);
        }
        Ok(metadata.len() <= COMPARED && self.hash(&entry.path, kind)? == entry.id)
    }

    /// A folder without files that are committed in it, because a sparse checkout leaves them out, would look like one from which
    /// they were removed.
    fn is_whole(&self, dir: &str, found: &[Entry]) -> Result<(), SourceError> {
        let Some(index) = &self.index else { return Ok(()) };
        let below = join(self.prefix, dir);
        let entries = index.prefixed_entries(below.as_bytes().as_bstr()).unwrap_or_default();
        for entry in entries.iter().filter(|it| it.flags.contains(Flags::SKIP_WORKTREE)) {
            let path = entry.path(index).to_str_lossy();
            let Some(inside) = path.strip_prefix(&below).filter(|it| below.is_empty() || it.starts_with('/')) else { continue };
            let local = join(dir, inside.trim_start_matches('/'));
            if found.binary_search_by(|it| (*it.path).cmp(local.as_str())).is_err() {
                let cause = "a sparse checkout leaves it out, and without it the folder would look as if it was removed; leave \
                             --worktree away, or check it out with `git sparse-checkout disable`";
                return Err(SourceError::Unreadable { what: format!("`{local}`"), cause: cause.into() });
            }
        }
        Ok(())
    }

    /// Whether a sparse checkout leaves the file out on purpose.
    fn is_skipped(&self, path: &str) -> bool {
        let full = join(self.prefix, path);
        let entry = self.index.as_ref().and_then(|index| index.entry_by_path(BStr::new(full.as_bytes())));
        entry.is_some_and(|entry| entry.flags.contains(Flags::SKIP_WORKTREE))
    }
}

/// Files and symbolic links count; sockets, devices and pipes do not.
fn kind_of(metadata: &Metadata) -> Option<EntryKind> {
    match metadata.file_type() {
        it if it.is_file() => Some(EntryKind::File),
        it if it.is_symlink() => Some(EntryKind::Symlink),
        _ => None,
    }
}

/// Opens a regular file below `root` without following a symbolic link at any part of `path`.
fn open_beneath(root: &Path, path: &str) -> Result<File, SourceError> {
    let failed = |err: rustix::io::Errno| unreadable(path, &err.into());
    let common = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(root, common | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    for dir in dirs.split('/').filter(|dir| !dir.is_empty()) {
        at = rustix::fs::openat(&at, dir, common | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
    }
    // Without NONBLOCK the opening of a pipe would wait for a writer.
    let file = rustix::fs::openat(&at, name, common | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty()).map_err(failed)?;
    let file = File::from(file);
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(SourceError::Changed { path: path.to_owned() }),
        Err(err) => Err(unreadable(path, &err)),
    }
}

fn unreadable(path: &str, err: &std::io::Error) -> SourceError {
    SourceError::Unreadable { what: format!("`{path}`"), cause: err.to_string() }
}
