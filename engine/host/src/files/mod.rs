//! The `files` import: granted directories, many files at a time.
//!
//! Every path begins with the text under which its directory was granted. Below that directory nothing is reached
//! through a symbolic link, `..` or a magic link: each open starts at the directory's own descriptor and the kernel is
//! told to stay beneath it. The directory itself may stand behind links; whoever granted it has resolved it.
//!
//! Nothing is synced to disk file by file. A write that a power cut undoes is a difference from Git like any other: the
//! next pass sees it and heals it, and a sync for each of thousands of files would make the first apply minutes long.

mod change;
mod path;
mod read;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags};
use rustix::io::Errno;

use crate::bindings::trueup::provider::files as wit;

pub(crate) use change::{Change, sweep};
pub(crate) use path::{Place, Roots};
pub(crate) use read::{list_all, read_all, stat_all};

/// Files are staged here, below a granted directory, so that a rename puts them in their place. Hidden from listings.
pub(crate) const STAGING: &str = ".trueup-tmp";

/// Items below which one thread does the work.
const SPREAD_FROM: usize = 24;
/// Items that a thread takes at a time.
const STRIDE: usize = 8;
const MAX_THREADS: usize = 4;

const STAT_MASK: StatxFlags = StatxFlags::BASIC_STATS;

/// The mode's twelve permission bits.
const MODE_BITS: u32 = 0o7777;

type Answer<T> = Result<T, wit::FileError>;

/// Says that something is not granted.
fn denied<T>(text: impl Into<String>) -> Answer<T> {
    Err(wit::FileError::Denied(text.into()))
}

/// The system's error in the contract's words.
fn refused(err: Errno) -> wit::FileError {
    match err {
        Errno::NOENT => wit::FileError::NotFound,
        Errno::LOOP | Errno::MLINK => wit::FileError::WrongType(wit::FileType::Symlink),
        Errno::NOTDIR => wit::FileError::WrongType(wit::FileType::Other),
        Errno::ISDIR => wit::FileError::WrongType(wit::FileType::Directory),
        Errno::NOTEMPTY => wit::FileError::NotEmpty,
        Errno::EXIST => wit::FileError::Conflict,
        other => wit::FileError::Io(std::io::Error::from(other).to_string()),
    }
}

fn told(err: std::io::Error) -> wit::FileError {
    wit::FileError::Io(err.to_string())
}

/// The error where a call's time is up.
fn late(deadline: Instant) -> Answer<()> {
    if Instant::now() < deadline { Ok(()) } else { Err(wit::FileError::Io("the call's time is up".to_owned())) }
}

fn file_type(mode: u32) -> wit::FileType {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => wit::FileType::File,
        FileType::Directory => wit::FileType::Directory,
        FileType::Symlink => wit::FileType::Symlink,
        _ => wit::FileType::Other,
    }
}

fn entry(name: String, stat: &Statx) -> wit::Entry {
    let kind = file_type(u32::from(stat.stx_mode));
    let nanos = |seconds: i64, nanos: u32| {
        u64::try_from(seconds).map_or(0, |it| it.saturating_mul(1_000_000_000).saturating_add(u64::from(nanos)))
    };
    wit::Entry {
        name,
        size: if kind == wit::FileType::File { stat.stx_size } else { 0 },
        kind,
        modified: nanos(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        changed: nanos(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        inode: stat.stx_ino,
        mode: u32::from(stat.stx_mode) & MODE_BITS,
    }
}

/// What stands at `name` in an open directory, without following a link.
fn stat_at(dir: &OwnedFd, name: &str) -> Result<Statx, Errno> {
    rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC, STAT_MASK)
}

/// What an open descriptor stands for.
fn stat_fd(fd: &OwnedFd) -> Result<Statx, Errno> {
    rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, STAT_MASK)
}

/// Runs `work` on each item, on a few threads where there are many, and keeps the order.
fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = cores.min(MAX_THREADS);
    if items.len() < SPREAD_FROM || threads < 2 {
        return items.iter().map(work).collect();
    }
    let parts: Vec<&[T]> = items.chunks(STRIDE).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(at) else { return done };
            done.push((at, part.iter().map(&work).collect::<Vec<R>>()));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut done = worker();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().flat_map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests;
