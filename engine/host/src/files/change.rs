//! Changing files: whole, atomic, and only where what stands there is what was expected.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use trueup_core::value::Digest;

use super::path::{beneath, set_mode};
use super::read::same;
use super::{Answer, MODE_BITS, Place, Roots, STAGING, denied, entry, file_type, late, refused, stat_at, stat_fd, told, wit};
use crate::grant::DirGrant;
use crate::services::{Secret, SecretError, Services};

/// How often a staging folder is made again that another call has just removed as empty.
const TRIES: usize = 16;
/// Levels of empty directories that give way to a file.
const NESTING: usize = 16;

/// Age at which no call can still be at work on a staged file: far more than a call may take, and than clocks differ.
const STALE: Duration = Duration::from_secs(3600);

/// The changes of one call.
pub(crate) struct Change<'a> {
    pub(crate) roots: Roots<'a>,
    pub(crate) services: &'a dyn Services,
    /// Tokens of the changes that the running call was asked for: a staged file is found again by its token alone.
    pub(crate) tokens: &'a [String],
    pub(crate) deadline: Instant,
}

/// What is written, once it is known.
enum Bytes {
    Plain(Vec<u8>),
    Blob(Arc<[u8]>),
    Secret(Secret),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Blob(bytes) => bytes,
            Self::Secret(text) => text.expose().as_bytes(),
        }
    }
}

impl Change<'_> {
    /// Carries changes out in the order given; one that fails does not stop the next. Staging folders that are empty
    /// afterwards are removed.
    pub(crate) fn all(&self, changes: Vec<wit::FileChange>) -> Vec<Answer<Option<wit::Entry>>> {
        let answers = changes.into_iter().map(|change| self.one(change)).collect();
        for root in self.roots.0 {
            tidy(root);
        }
        answers
    }

    fn one(&self, change: wit::FileChange) -> Answer<Option<wit::Entry>> {
        late(self.deadline)?;
        let place = self.roots.place(&change.path)?;
        if !self.tokens.contains(&change.token) {
            return denied("the token is not one of the changes that were asked for");
        }
        let expect = &change.expect;
        match change.operation {
            wit::Operation::Write(write) => self.write(place, write, expect, &change.token).map(Some),
            wit::Operation::MakeDirectory(mode) => make_directory(place, mode, expect).map(Some),
            wit::Operation::SetMode(mode) => change_mode(place, mode, expect).map(Some),
            wit::Operation::RemoveFile => remove(place, expect, false).map(|()| None),
            wit::Operation::RemoveDirectory => remove(place, expect, true).map(|()| None),
        }
    }

    fn write(&self, place: Place<'_>, write: wit::Write, expect: &wit::Expectation, token: &str) -> Answer<wit::Entry> {
        let Some((parent, name)) = place.split() else {
            return Err(wit::FileError::WrongType(wit::FileType::Directory));
        };
        let wanted = write.mode.map(permitted).transpose()?;
        let bytes = self.payload(write.payload)?;
        let root = place.make_root()?;
        let dir = parent.make_dirs(root.try_clone().map_err(told)?)?;
        let (old, _) = replaced(&dir, name, expect)?;
        let mode = wanted.or(old.as_ref().map(|old| old.mode)).unwrap_or(0o644);
        let staged = Staged::write(&root, token, bytes.get(), mode)?;
        // Looked at once more, as late as can be: writing may have taken a while.
        if let (_, Some(hollow)) = replaced(&dir, name, expect)? {
            hollow.remove(&dir, name)?;
        }
        let file = staged.place(&dir, name, matches!(expect, wit::Expectation::Absent), place.root)?;
        Ok(entry(name.to_owned(), &stat_fd(&file).map_err(refused)?))
    }

    fn payload(&self, payload: wit::Payload) -> Answer<Bytes> {
        match payload {
            wit::Payload::Bytes(bytes) => Ok(Bytes::Plain(bytes)),
            wit::Payload::Blob(sha256) => {
                let blob = Digest::parse(&sha256).and_then(|digest| self.services.blob(&digest));
                blob.map(Bytes::Blob).ok_or_else(|| wit::FileError::Denied("the revision has no file of that digest".to_owned()))
            }
            wit::Payload::Secret(handle) => match self.services.reveal(&handle) {
                Ok(secret) => Ok(Bytes::Secret(secret)),
                Err(SecretError::Denied) => denied("the secret is not granted; add its name to `secrets` of the provider"),
                Err(SecretError::Missing) => denied("the secret is granted, and credentials.yaml does not name it"),
                Err(SecretError::Unavailable(text)) => Err(wit::FileError::Io(text)),
            },
        }
    }
}

/// A file in the staging folder; removed when dropped without having been put in its place.
struct Staged {
    folder: OwnedFd,
    name: String,
    file: Option<OwnedFd>,
}

impl Staged {
    /// Writes the bytes under a name that begins with the change's token.
    fn write(root: &OwnedFd, token: &str, bytes: &[u8], mode: u32) -> Answer<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if token.is_empty()
            || token.len() > 64
            || !token.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
        {
            return denied("the token is not one of a change");
        }
        let name = format!("{token}.{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (folder, fd) = create(root, &name)?;
        let mut staged = Self { folder, name, file: None };
        let mut file = std::fs::File::from(fd);
        file.write_all(bytes).map_err(told)?;
        // Not at creation: a umask would take bits away, and nobody may read it while it is half written.
        rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(mode)).map_err(refused)?;
        staged.file = Some(file.into());
        Ok(staged)
    }

    /// Renames it over its destination, or to a name that nothing has.
    fn place(mut self, dir: &OwnedFd, name: &str, absent: bool, root: &DirGrant) -> Answer<OwnedFd> {
        let renamed = if absent {
            match rustix::fs::renameat_with(&self.folder, &*self.name, dir, name, RenameFlags::NOREPLACE) {
                // The file system cannot; a link is refused as well where the name is taken.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    let linked = rustix::fs::linkat(&self.folder, &*self.name, dir, name, AtFlags::empty());
                    linked.and_then(|()| rustix::fs::unlinkat(&self.folder, &*self.name, AtFlags::empty()))
                }
                other => other,
            }
        } else {
            rustix::fs::renameat(&self.folder, &*self.name, dir, name)
        };
        match renamed {
            Ok(()) => self.file.take().ok_or_else(|| wit::FileError::Io("the staged file is gone".to_owned())),
            Err(Errno::XDEV) => Err(wit::FileError::Denied(format!(
                "the path is on another file system than `{}`; grant its own directory in `dirs` as well",
                root.text
            ))),
            Err(err) => Err(refused(err)),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Not there any more after a rename; then this finds nothing, as the name is never used twice.
        let _ = rustix::fs::unlinkat(&self.folder, &*self.name, AtFlags::empty());
    }
}

/// Opens a new file in the staging folder, which is made where it is missing.
fn create(root: &OwnedFd, name: &str) -> Answer<(OwnedFd, OwnedFd)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        let folder = match beneath(root, STAGING, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => match rustix::fs::mkdirat(root, STAGING, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => continue,
                Err(err) => return Err(refused(err)),
            },
            Err(err) => return Err(refused(err)),
        };
        match rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => return Ok((folder, file)),
            // Another call has just removed the folder as empty.
            Err(Errno::NOENT) => {}
            // Left by a run that was killed, under the same token: it is ours to overwrite.
            Err(Errno::EXIST) => {
                let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
            }
            Err(err) => return Err(refused(err)),
        }
    }
    Err(wit::FileError::Io(format!("`{STAGING}` cannot be made")))
}

fn make_directory(place: Place<'_>, mode: Option<u32>, expect: &wit::Expectation) -> Answer<wit::Entry> {
    let mode = mode.map(permitted).transpose()?.unwrap_or(0o755);
    let Some((parent, name)) = place.split() else {
        let root = place.make_root()?;
        return Ok(entry(String::new(), &stat_fd(&root).map_err(refused)?));
    };
    let dir = parent.make_dirs(place.make_root()?)?;
    let old = look(&dir, name)?;
    expected(old.as_ref(), expect)?;
    match old {
        Some(old) if old.kind == wit::FileType::Directory => return Ok(old),
        Some(old) => return Err(wit::FileError::WrongType(old.kind)),
        None => {}
    }
    match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(mode)) {
        Ok(()) => {}
        Err(Errno::EXIST) if matches!(expect, wit::Expectation::Any) => {}
        Err(err) => return Err(refused(err)),
    }
    let made = beneath(&dir, name, OFlags::PATH | OFlags::DIRECTORY).map_err(refused)?;
    set_mode(&made, mode)?;
    Ok(entry(name.to_owned(), &stat_fd(&made).map_err(refused)?))
}

fn change_mode(place: Place<'_>, mode: u32, expect: &wit::Expectation) -> Answer<wit::Entry> {
    let mode = permitted(mode)?;
    let name = place.split().map_or("", |(_, name)| name);
    let root = place.open_root()?;
    let fd = place.open(&root, OFlags::PATH)?;
    let old = entry(name.to_owned(), &stat_fd(&fd).map_err(refused)?);
    expected(Some(&old), expect)?;
    if !matches!(old.kind, wit::FileType::File | wit::FileType::Directory) {
        return Err(wit::FileError::WrongType(old.kind));
    }
    set_mode(&fd, mode)?;
    Ok(entry(name.to_owned(), &stat_fd(&fd).map_err(refused)?))
}

fn remove(place: Place<'_>, expect: &wit::Expectation, directory: bool) -> Answer<()> {
    let Some((parent, name)) = place.split() else {
        return denied("the granted directory itself is not removed");
    };
    let root = place.open_root()?;
    let dir = parent.open(&root, OFlags::PATH | OFlags::DIRECTORY)?;
    let old = look(&dir, name)?;
    let Some(kind) = old.as_ref().map(|old| old.kind) else {
        // Also where something else was expected: gone is what was wanted, and the caller is told that it was already.
        return Err(wit::FileError::NotFound);
    };
    expected(old.as_ref(), expect)?;
    let fits = if directory { kind == wit::FileType::Directory } else { kind == wit::FileType::File };
    if !fits {
        return Err(wit::FileError::WrongType(kind));
    }
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match rustix::fs::unlinkat(&dir, name, flags) {
        // POSIX allows either name for a directory that is not empty.
        Err(Errno::EXIST) if directory => Err(wit::FileError::NotEmpty),
        other => other.map_err(refused),
    }
}

/// The file that a write takes the place of, or the directory that gives way to it: one that holds nothing, or nothing but
/// directories that hold nothing, is as good as nothing at all. Parents of files that went leave such behind.
fn replaced(dir: &OwnedFd, name: &str, expect: &wit::Expectation) -> Answer<(Option<wit::Entry>, Option<Hollow>)> {
    let found = look(dir, name)?;
    let kind = found.as_ref().map(|it| it.kind);
    if kind == Some(wit::FileType::Directory) && !matches!(expect, wit::Expectation::Same(_)) {
        return Ok((None, Some(Hollow::look(dir, name, NESTING)?)));
    }
    expected(found.as_ref(), expect)?;
    match kind {
        None | Some(wit::FileType::File) => Ok((found, None)),
        Some(other) => Err(wit::FileError::WrongType(other)),
    }
}

/// A directory in which nothing but directories of its sort stand, by name.
struct Hollow(Vec<(String, Hollow)>);

impl Hollow {
    /// Goes down at most `depth` levels; `not-empty` where anything else is found, or anything too deep.
    fn look(dir: &OwnedFd, name: &str, depth: usize) -> Answer<Self> {
        let folder = beneath(dir, name, OFlags::RDONLY | OFlags::DIRECTORY).map_err(refused)?;
        let mut inside = Vec::new();
        for item in rustix::fs::Dir::read_from(&folder).map_err(refused)? {
            let item = item.map_err(refused)?;
            let name = item.file_name().to_str().map_err(|_| wit::FileError::NotEmpty)?;
            if matches!(name, "." | "..") {
                continue;
            }
            if depth == 0 || name == STAGING || file_type_of(&folder, name) != Some(wit::FileType::Directory) {
                return Err(wit::FileError::NotEmpty);
            }
            inside.push((name.to_owned(), Self::look(&folder, name, depth - 1)?));
        }
        Ok(Self(inside))
    }

    /// Removes it from the inside out; the kernel refuses what is not empty any more.
    fn remove(&self, dir: &OwnedFd, name: &str) -> Answer<()> {
        if !self.0.is_empty() {
            let folder = beneath(dir, name, OFlags::PATH | OFlags::DIRECTORY).map_err(refused)?;
            self.0.iter().try_for_each(|(name, inside)| inside.remove(&folder, name))?;
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::EXIST) => Err(wit::FileError::NotEmpty),
            Err(err) => Err(refused(err)),
        }
    }
}

/// What stands at a name, if anything does.
fn look(dir: &OwnedFd, name: &str) -> Answer<Option<wit::Entry>> {
    match stat_at(dir, name) {
        Ok(stat) => Ok(Some(entry(name.to_owned(), &stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(err) => Err(refused(err)),
    }
}

fn expected(found: Option<&wit::Entry>, expect: &wit::Expectation) -> Answer<()> {
    let met = match (expect, found) {
        (wit::Expectation::Any, _) | (wit::Expectation::Absent, None) => true,
        (wit::Expectation::Same(before), Some(found)) => same(before, found),
        (wit::Expectation::Absent, Some(_)) | (wit::Expectation::Same(_), None) => false,
    };
    if met { Ok(()) } else { Err(wit::FileError::Conflict) }
}

fn permitted(mode: u32) -> Answer<u32> {
    if mode <= MODE_BITS { Ok(mode) } else { denied("a mode has at most twelve bits") }
}

/// Removes the staging folder of a granted directory where it is empty.
fn tidy(root: &DirGrant) {
    if let Ok(dir) = (Place { root, rest: "" }).open_root() {
        let _ = rustix::fs::unlinkat(&dir, STAGING, AtFlags::REMOVEDIR);
    }
}

/// Removes staged files whose names begin with one of the tokens, all that are older than any call can be, and staging folders
/// that are then empty.
///
/// A file is staged within one call and gone at its end, so that whatever is as old as [`STALE`] was left by a run that was
/// killed, whoever has forgotten its token since. Younger ones may be in use: other environments and projects, with locks of
/// their own, may stage in the same directory.
pub(crate) fn sweep(roots: &[DirGrant], tokens: &[String]) -> std::io::Result<usize> {
    let stale = SystemTime::now().checked_sub(STALE).unwrap_or(UNIX_EPOCH).duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut removed = 0;
    for root in roots {
        let Ok(dir) = (Place { root, rest: "" }).open_root() else { continue };
        let folder = match beneath(&dir, STAGING, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(err) => return Err(err.into()),
        };
        for item in rustix::fs::Dir::read_from(&folder)? {
            let item = item?;
            let Ok(name) = item.file_name().to_str() else { continue };
            let Some((token, _)) = name.rsplit_once('.').filter(|(token, _)| !token.is_empty()) else { continue };
            let Ok(Some(found)) = look(&folder, name) else { continue };
            let left = tokens.iter().any(|it| it == token) || u128::from(found.modified) < stale.as_nanos();
            if left && found.kind == wit::FileType::File {
                rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
                removed += 1;
            }
        }
        tidy(root);
    }
    Ok(removed)
}

fn file_type_of(dir: &OwnedFd, name: &str) -> Option<wit::FileType> {
    stat_at(dir, name).ok().map(|stat| file_type(u32::from(stat.stx_mode)))
}
