//! The import `files` on a disk in memory, with the contract's rules: granted directories only, no link followed, whole
//! and guarded writes, changes within `apply` only.

use std::collections::BTreeMap;

use super::{Double, Phase, sha256};
use crate::host::files::{
    Content, Entry, Expectation, FileChange, FileError, FileType, Listing, Operation, Payload, ReadRequest, Write,
};

/// What stands at a path.
#[derive(Clone)]
struct Node {
    kind: FileType,
    bytes: Vec<u8>,
    mode: u32,
    inode: u64,
    modified: u64,
    changed: u64,
}

/// All that stands on the disk, by full path.
#[derive(Default)]
pub(super) struct Disk {
    nodes: BTreeMap<String, Node>,
    grants: Vec<String>,
    inodes: u64,
    /// Errors to answer instead of the next change of a path; true: after the change was made.
    faults: BTreeMap<String, (FileError, bool)>,
}

type Answer<T> = Result<T, FileError>;

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

impl Disk {
    fn put(&mut self, path: &str, kind: FileType, bytes: Vec<u8>, mode: u32, now: u64) {
        self.inodes += 1;
        let inode = self.inodes;
        self.nodes.insert(path.to_owned(), Node { kind, bytes, mode, inode, modified: now, changed: now });
        self.touch(parent(path), now);
    }

    /// The times of a directory move with what stands in it.
    fn touch(&mut self, path: &str, now: u64) {
        if let Some(node) = self.nodes.get_mut(path) {
            (node.modified, node.changed) = (now, now);
        }
    }

    fn make_parents(&mut self, path: &str, now: u64) {
        let above = parent(path).to_owned();
        if !above.is_empty() && !self.nodes.contains_key(&above) {
            self.make_parents(&above, now);
            self.put(&above, FileType::Directory, Vec::new(), 0o755, now);
        }
    }

    /// Judges a path: granted, well formed, and with nothing but directories above it, as far as these exist.
    fn judge(&self, path: &str) -> Answer<()> {
        let inside = |grant: &String| path.strip_prefix(grant.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(rest) = self.grants.iter().find_map(inside) else {
            return Err(FileError::Denied(format!("`{path}` is in no granted directory")));
        };
        if rest.split('/').skip(1).any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(FileError::Denied(format!("`{path}` is not well formed")));
        }
        let mut above = parent(path);
        while !above.is_empty() {
            match self.nodes.get(above).map(|it| it.kind) {
                None | Some(FileType::Directory) => above = parent(above),
                Some(kind) => return Err(FileError::WrongType(kind)),
            }
        }
        Ok(())
    }

    fn entry(&self, path: &str) -> Answer<Entry> {
        let Node { kind, bytes, mode, inode, modified, changed } = self.nodes.get(path).ok_or(FileError::NotFound)?;
        let size = bytes.len() as u64;
        let name = name(path).to_owned();
        Ok(Entry { name, kind: *kind, size, modified: *modified, changed: *changed, inode: *inode, mode: *mode })
    }

    fn list(&self, path: &str) -> Answer<Listing> {
        self.judge(path)?;
        match self.entry(path)?.kind {
            FileType::Directory => {}
            kind => return Err(FileError::WrongType(kind)),
        }
        let below = self.nodes.keys().filter(|it| parent(it) == path);
        Ok(Listing { entries: below.filter_map(|it| self.entry(it).ok()).collect(), unreadable: 0 })
    }

    fn stat(&self, path: &str) -> Answer<Entry> {
        self.judge(path)?;
        self.entry(path)
    }

    fn read(&self, request: &ReadRequest) -> Answer<Content> {
        self.judge(&request.path)?;
        let stat = self.entry(&request.path)?;
        if stat.kind != FileType::File {
            return Err(FileError::WrongType(stat.kind));
        }
        let bytes = self.nodes.get(&request.path).map(|it| it.bytes.clone()).unwrap_or_default();
        let digest = sha256(&bytes);
        Ok(Content { bytes: (stat.size <= request.max_bytes).then_some(bytes), sha256: digest, stat })
    }

    fn meets(&self, path: &str, expect: &Expectation) -> Answer<()> {
        let met = match expect {
            Expectation::Any => true,
            Expectation::Absent => !self.nodes.contains_key(path),
            Expectation::Same(entry) => self.entry(path).is_ok_and(|it| it == *entry),
        };
        if met { Ok(()) } else { Err(FileError::Conflict) }
    }

    fn expect_kind(&self, path: &str, wanted: FileType) -> Answer<()> {
        match self.entry(path)?.kind {
            kind if kind == wanted => Ok(()),
            kind => Err(FileError::WrongType(kind)),
        }
    }

    /// Takes a directory away in which nothing but directories stand, as the engine does before it writes a file there.
    fn give_way(&mut self, path: &str) -> Answer<()> {
        if self.entry(path).is_ok_and(|it| it.kind == FileType::Directory) {
            let below = format!("{path}/");
            let inside = |it: &String| it.starts_with(&below);
            if self.nodes.iter().any(|(at, it)| inside(at) && it.kind != FileType::Directory) {
                return Err(FileError::NotEmpty);
            }
            self.nodes.retain(|at, _| at != path && !inside(at));
        }
        Ok(())
    }

    /// Carries one change out whose payload was fetched.
    fn change(&mut self, change: &FileChange, payload: Vec<u8>, now: u64) -> Answer<Option<Entry>> {
        let path = change.path.as_str();
        self.judge(path)?;
        match &change.operation {
            Operation::Write(Write { mode, .. }) => {
                if !matches!(change.expect, Expectation::Same(_)) {
                    self.give_way(path)?;
                }
                let before = self.entry(path).ok();
                self.meets(path, &change.expect)?;
                if let Some(before) = before.as_ref().filter(|it| it.kind != FileType::File) {
                    return Err(FileError::WrongType(before.kind));
                }
                let mode = mode.or(before.map(|it| it.mode)).unwrap_or(0o644);
                self.make_parents(path, now);
                self.put(path, FileType::File, payload, mode, now);
            }
            Operation::MakeDirectory(mode) => {
                self.meets(path, &change.expect)?;
                if self.nodes.contains_key(path) {
                    self.expect_kind(path, FileType::Directory)?;
                } else {
                    self.make_parents(path, now);
                    self.put(path, FileType::Directory, Vec::new(), mode.unwrap_or(0o755), now);
                }
            }
            Operation::SetMode(mode) => {
                if let Some(kind @ FileType::Symlink) = self.entry(path).ok().map(|it| it.kind) {
                    return Err(FileError::WrongType(kind));
                }
                self.entry(path)?;
                self.meets(path, &change.expect)?;
                let node = self.nodes.get_mut(path).ok_or(FileError::NotFound)?;
                (node.mode, node.changed) = (*mode, now);
            }
            Operation::RemoveFile | Operation::RemoveDirectory => {
                let directory = change.operation == Operation::RemoveDirectory;
                self.entry(path)?;
                self.meets(path, &change.expect)?;
                self.expect_kind(path, if directory { FileType::Directory } else { FileType::File })?;
                if directory && self.nodes.keys().any(|it| parent(it) == path) {
                    return Err(FileError::NotEmpty);
                }
                self.nodes.remove(path);
                self.touch(parent(path), now);
                return Ok(None);
            }
        }
        self.entry(path).map(Some)
    }
}

/// What a test does to the disk.
impl Double {
    /// Grants a directory, by the text that the provider's settings give it, and makes it.
    pub fn grant(&self, directory: &str) {
        self.make_directory(directory);
        self.0.disk.borrow_mut().grants.push(directory.to_owned());
    }

    /// Makes a directory as a neighbour would, parents too.
    pub fn make_directory(&self, path: &str) {
        let (mut disk, now) = (self.0.disk.borrow_mut(), self.0.clock.get());
        disk.make_parents(path, now);
        disk.put(path, FileType::Directory, Vec::new(), 0o755, now);
    }

    /// Writes a file in place as a neighbour would: a file that is there keeps its inode and mode.
    pub fn write_file(&self, path: &str, bytes: &[u8]) {
        let (mut disk, now) = (self.0.disk.borrow_mut(), self.0.clock.get());
        if let Some(node) = disk.nodes.get_mut(path) {
            (node.bytes, node.modified, node.changed) = (bytes.to_vec(), now, now);
        } else {
            disk.make_parents(path, now);
            disk.put(path, FileType::File, bytes.to_vec(), 0o644, now);
        }
    }

    /// Puts a symbolic link, or with [`FileType::Other`] a pipe, where something may have been.
    pub fn put_special(&self, path: &str, kind: FileType) {
        let now = self.0.clock.get();
        self.0.disk.borrow_mut().put(path, kind, Vec::new(), 0o777, now);
    }

    /// Changes permission bits as a neighbour would.
    pub fn set_mode(&self, path: &str, mode: u32) {
        let (mut disk, now) = (self.0.disk.borrow_mut(), self.0.clock.get());
        if let Some(node) = disk.nodes.get_mut(path) {
            (node.mode, node.changed) = (mode, now);
        }
    }

    /// Removes what stands at a path, and all below it.
    pub fn remove(&self, path: &str) {
        let (mut disk, now) = (self.0.disk.borrow_mut(), self.0.clock.get());
        let below = format!("{path}/");
        disk.nodes.retain(|it, _| it != path && !it.starts_with(&below));
        disk.touch(parent(path), now);
    }

    /// Content and permission bits of a file; none where there is no file.
    pub fn file(&self, path: &str) -> Option<(Vec<u8>, u32)> {
        let disk = self.0.disk.borrow();
        disk.nodes.get(path).filter(|it| it.kind == FileType::File).map(|it| (it.bytes.clone(), it.mode))
    }

    /// Permission bits of a directory; none where there is no directory.
    pub fn directory(&self, path: &str) -> Option<u32> {
        let disk = self.0.disk.borrow();
        disk.nodes.get(path).filter(|it| it.kind == FileType::Directory).map(|it| it.mode)
    }

    /// Answers the next change of `path` with `error`; with `made`, after the change was carried out.
    pub fn fail_change(&self, path: &str, error: FileError, made: bool) {
        self.0.disk.borrow_mut().faults.insert(path.to_owned(), (error, made));
    }

    fn payload(&self, operation: &Operation) -> Answer<Vec<u8>> {
        let Operation::Write(write) = operation else { return Ok(Vec::new()) };
        let missing = |what: &str| FileError::Denied(format!("there is no such {what}"));
        match &write.payload {
            Payload::Bytes(bytes) => Ok(bytes.clone()),
            Payload::Blob(digest) => self.0.blobs.borrow().get(digest).cloned().ok_or_else(|| missing("blob")),
            Payload::Secret(handle) => {
                let secrets = self.0.secrets.borrow();
                secrets.get(handle).map(|it| it.as_bytes().to_vec()).ok_or_else(|| missing("secret"))
            }
        }
    }
}

/// The import itself.
impl Double {
    fn no_files(&self) -> Option<FileError> {
        (self.phase() == Phase::Pure).then(|| FileError::Denied("no files within a pure call".to_owned()))
    }

    pub(crate) fn list_all(&self, directories: &[String]) -> Vec<Answer<Listing>> {
        let list = |path: &String| {
            self.note(format!("files.list-all {path}"));
            self.no_files().map_or_else(|| self.0.disk.borrow().list(path), Err)
        };
        directories.iter().map(list).collect()
    }

    pub(crate) fn stat_all(&self, paths: &[String]) -> Vec<Answer<Entry>> {
        let stat = |path: &String| {
            self.note(format!("files.stat-all {path}"));
            self.no_files().map_or_else(|| self.0.disk.borrow().stat(path), Err)
        };
        paths.iter().map(stat).collect()
    }

    pub(crate) fn read_all(&self, requests: &[ReadRequest]) -> Vec<Answer<Content>> {
        let read = |request: &ReadRequest| {
            self.note(format!("files.read-all {}", request.path));
            self.no_files().map_or_else(|| self.0.disk.borrow().read(request), Err)
        };
        requests.iter().map(read).collect()
    }

    pub(crate) fn change_all(&self, changes: &[FileChange]) -> Vec<Answer<Option<Entry>>> {
        changes.iter().map(|it| self.change_one(it)).collect()
    }

    fn change_one(&self, change: &FileChange) -> Answer<Option<Entry>> {
        self.note(format!("files.change-all {}", change.path));
        if self.phase() != Phase::Apply {
            return Err(FileError::Denied("files are changed within apply only".to_owned()));
        }
        let payload = self.payload(&change.operation)?;
        let mut disk = self.0.disk.borrow_mut();
        let fault = disk.faults.remove(&change.path);
        if let Some((error, false)) = fault {
            return Err(error);
        }
        let answer = disk.change(change, payload, self.0.clock.get())?;
        fault.map_or(Ok(answer), |(error, _)| Err(error))
    }
}
