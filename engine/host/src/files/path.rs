//! From a plugin's path to an open descriptor beneath a granted directory.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use trueup_core::text::inner_folder;

use super::{Answer, STAGING, denied, file_type, refused, stat_at, told, wit};
use crate::grant::DirGrant;

/// Bytes of a path; the kernel takes no longer ones.
const MAX_PATH: usize = 4095;
/// How often an open is tried again that the kernel could not prove to stay beneath (a rename was under way).
const TRIES: usize = 16;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The granted directories.
pub(crate) struct Roots<'a>(pub(crate) &'a [DirGrant]);

/// A path that passed the checks: its directory, and the parts below it, joined; empty for the directory itself.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) root: &'a DirGrant,
    pub(crate) rest: &'a str,
}

impl<'a> Roots<'a> {
    /// Finds the granted directory that a path begins with, the longest where several do.
    ///
    /// # Errors
    ///
    /// `denied` where none does, or where a part below the directory is empty, `.`, `..`, the host's own, or stands for `.git`
    /// or `.trueup`: a directory may be granted without a question because it holds nothing but data, and a document must not
    /// make it more than that. Who wants to manage such a folder grants the folder itself, which the operator has to trust.
    ///
    /// A bare repository (`HEAD`, `objects` and `refs` in a folder of any name) is not judged: a clone can hold one as plain
    /// files, so that a document which makes one adds nothing to what the repository can do by itself.
    pub(crate) fn place(&self, path: &'a str) -> Answer<Place<'a>>
    where
        'a: 'a,
    {
        let rest = |root: &DirGrant| {
            let after = path.strip_prefix(root.text.trim_end_matches('/'))?;
            match after {
                "" => Some(""),
                // An empty last part, unless the grant itself is written so.
                "/" => root.text.ends_with('/').then_some(""),
                below => below.strip_prefix('/'),
            }
        };
        let found = self.0.iter().filter_map(|root| rest(root).map(|rest| Place { root, rest }));
        let Some(place) = found.min_by_key(|place| place.rest.len()) else {
            let shown = crate::log::clean(path, 200);
            return denied(format!("`{shown}` is in no granted directory; add its directory to `dirs` of the provider"));
        };
        if path.len() > MAX_PATH || path.contains('\0') {
            return denied("the path is longer than 4095 bytes or holds a NUL");
        }
        match place.rest.split('/').find(|part| matches!(*part, "" | "." | "..") && !place.rest.is_empty()) {
            Some(_) => denied("the path has an empty part, `.` or `..`"),
            None if place.rest.split('/').any(|part| part == STAGING) => denied(format!("`{STAGING}` belongs to trueup")),
            None => match place.rest.split('/').find_map(inner_folder) {
                Some(folder) => denied(format!(
                    "a part of the path stands for `{folder}`, which holds more than data; to manage it, add that very folder to \
                     `dirs` of the provider"
                )),
                None => Ok(place),
            },
        }
    }
}

impl<'a> Place<'a> {
    /// The folder that the last part stands in, and that part. None for the granted directory itself.
    pub(crate) fn split(&self) -> Option<(Self, &'a str)> {
        let (parent, name) = self.rest.rsplit_once('/').unwrap_or(("", self.rest));
        (!name.is_empty()).then_some((Self { root: self.root, rest: parent }, name))
    }

    /// The granted directory. `not-found` where it does not exist.
    pub(crate) fn open_root(&self) -> Answer<OwnedFd> {
        rustix::fs::open(&self.root.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(refused)
    }

    /// The granted directory, made (0755) with its parents where it is missing.
    pub(crate) fn make_root(&self) -> Answer<OwnedFd> {
        match self.open_root() {
            Err(wit::FileError::NotFound) => {
                fs::create_dir_all(&self.root.path).map_err(told)?;
                fs::set_permissions(&self.root.path, fs::Permissions::from_mode(0o755)).map_err(told)?;
                self.open_root()
            }
            other => other,
        }
    }

    /// Opens the place for reading or as a mere handle; never follows a link.
    pub(crate) fn open(&self, root: &OwnedFd, flags: OFlags) -> Answer<OwnedFd> {
        let path = if self.rest.is_empty() { "." } else { self.rest };
        beneath(root, path, flags).map_err(|err| self.explain(root, err))
    }

    /// Opens the place as a directory, making it and its parents (0755) where they are missing.
    pub(crate) fn make_dirs(&self, root: OwnedFd) -> Answer<OwnedFd> {
        match self.open(&root, OFlags::PATH | OFlags::DIRECTORY) {
            Err(wit::FileError::NotFound) => {}
            other => return other,
        }
        let mut at = root;
        for part in self.rest.split('/').filter(|part| !part.is_empty()) {
            at = enter(&at, part)?;
        }
        Ok(at)
    }

    /// Says which type stands in the way where the system only says that one does.
    fn explain(&self, root: &OwnedFd, err: Errno) -> wit::FileError {
        if err != Errno::NOTDIR {
            return refused(err);
        }
        let ends = self.rest.match_indices('/').map(|(at, _)| at).chain([self.rest.len()]);
        for end in ends {
            let Some(part) = self.rest.get(..end).filter(|it| !it.is_empty()) else { continue };
            // Each part was a directory so far, and a race can only make the answer an error of another kind.
            let Ok(stat) = stat_at(root, part) else { break };
            let kind = file_type(u32::from(stat.stx_mode));
            if kind != wit::FileType::Directory {
                return wit::FileError::WrongType(kind);
            }
        }
        refused(err)
    }
}

/// Opens the folder `name` of an open directory, making it with mode 0755 where it is missing.
fn enter(dir: &OwnedFd, name: &str) -> Answer<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match beneath(dir, name, flags) {
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR) => {
            let kind = stat_at(dir, name).map_or(wit::FileType::Other, |it| file_type(u32::from(it.stx_mode)));
            return Err(wit::FileError::WrongType(kind));
        }
        other => return other.map_err(refused),
    }
    match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)) {
        // Somebody else was faster: it is there, which is all that was wanted.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(err) => return Err(refused(err)),
    }
    let opened = beneath(dir, name, flags).map_err(refused)?;
    set_mode(&opened, 0o755)?;
    Ok(opened)
}

/// Opens `path` beneath an open directory.
pub(super) fn beneath(dir: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for _ in 0..TRIES {
        match rustix::fs::openat2(dir, path, flags, Mode::empty(), RESOLVE) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // An old kernel, or a container whose filter does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return step_by_step(dir, path, flags),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The same without the kernel's help: each part is opened by itself and must not be a link.
fn step_by_step(dir: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at = None;
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        let here = at.as_ref().unwrap_or(dir);
        let walk = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = Some(rustix::fs::openat(here, part, walk, Mode::empty())?);
    }
    let opened = rustix::fs::openat(at.as_ref().unwrap_or(dir), name, flags, Mode::empty())?;
    if flags.contains(OFlags::PATH) && file_type(u32::from(super::stat_fd(&opened)?.stx_mode)) == wit::FileType::Symlink {
        return Err(Errno::LOOP);
    }
    Ok(opened)
}

/// Sets the mode of what a descriptor stands for. It may be a mere handle, so that a file that its owner cannot read
/// can be changed too: the name in `/proc` leads to the very inode.
pub(super) fn set_mode(fd: &OwnedFd, mode: u32) -> Answer<()> {
    use std::os::fd::AsRawFd;
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::chmodat(CWD, name, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty()).map_err(refused)
}
