//! Listing and reading, many at a time. No file is opened to be listed.

use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use rustix::fs::{OFlags, RawDir};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use trueup_core::value::Digest;

use super::{Answer, Place, Roots, STAGING, entry, file_type, late, refused, spread, stat_at, stat_fd, told, wit};
use crate::runtime::Limits;

/// Bytes read at a time.
const CHUNK: usize = 128 << 10;
/// How often a file is read again that changed while it was read.
const TRIES: usize = 3;

/// What stands in each directory, by name.
pub(crate) fn list_all(roots: &Roots<'_>, paths: &[String], limits: &Limits, deadline: Instant) -> Vec<Answer<wit::Listing>> {
    let room = AtomicUsize::new(limits.entries);
    spread(paths, |path| list(roots.place(path)?, &room, limits.entries, deadline))
}

fn list(place: Place<'_>, room: &AtomicUsize, limit: usize, deadline: Instant) -> Answer<wit::Listing> {
    late(deadline)?;
    let root = place.open_root()?;
    let dir = place.open(&root, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    let mut names = Vec::new();
    let mut unreadable = 0_u32;
    let mut items = RawDir::new(&dir, &mut buffer);
    while let Some(item) = items.next() {
        let item = item.map_err(refused)?;
        match item.file_name().to_str() {
            Ok("." | ".." | STAGING) => {}
            Ok(name) => names.push(name.to_owned()),
            Err(_) => unreadable = unreadable.saturating_add(1),
        }
        if names.len() > limit {
            return Err(wit::FileError::TooLarge(u64::try_from(limit).unwrap_or(u64::MAX)));
        }
    }
    let taken = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(names.len()));
    if taken.is_err() {
        return Err(wit::FileError::TooLarge(u64::try_from(limit).unwrap_or(u64::MAX)));
    }
    names.sort_unstable();
    let mut entries = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        if at % 1024 == 1023 {
            late(deadline)?;
        }
        match stat_at(&dir, &name) {
            Ok(stat) => entries.push(entry(name, &stat)),
            // Gone since it was listed: it does not stand there.
            Err(Errno::NOENT) => {}
            Err(err) => return Err(refused(err)),
        }
    }
    Ok(wit::Listing { entries, unreadable })
}

/// What stands at each path, found by its name alone: the cost does not depend on what else stands in its directory.
pub(crate) fn stat_all(roots: &Roots<'_>, paths: &[String], deadline: Instant) -> Vec<Answer<wit::Entry>> {
    spread(paths, |path| {
        late(deadline)?;
        let place = roots.place(path)?;
        let root = place.open_root()?;
        let Some((parent, name)) = place.split() else {
            return Ok(entry(String::new(), &stat_fd(&root).map_err(refused)?));
        };
        let dir = parent.open(&root, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(entry(name.to_owned(), &stat_at(&dir, name).map_err(refused)?))
    })
}

/// Contents and digests.
pub(crate) fn read_all(
    roots: &Roots<'_>,
    requests: &[wit::ReadRequest],
    limits: &Limits,
    deadline: Instant,
) -> Vec<Answer<wit::Content>> {
    let room = AtomicU64::new(limits.answer);
    spread(requests, |request| {
        let place = roots.place(&request.path)?;
        for _ in 0..TRIES {
            if let Some(content) = read(place, request.max_bytes, &room, limits.answer, deadline)? {
                return Ok(content);
            }
        }
        Err(wit::FileError::Io("the file changes while it is read".to_owned()))
    })
}

/// None where the file changed while it was read, so that content and stat do not belong together.
fn read(place: Place<'_>, max: u64, room: &AtomicU64, limit: u64, deadline: Instant) -> Answer<Option<wit::Content>> {
    late(deadline)?;
    let Some((_, name)) = place.split() else {
        return Err(wit::FileError::WrongType(wit::FileType::Directory));
    };
    let root = place.open_root()?;
    // Not blocking: a pipe would be waited for, and is refused by its type below.
    let fd = place.open(&root, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let before = stat_fd(&fd).map_err(refused)?;
    let kind = file_type(u32::from(before.stx_mode));
    if kind != wit::FileType::File {
        return Err(wit::FileError::WrongType(kind));
    }
    let wanted = before.stx_size <= max;
    let taken = if wanted { Some(Taken::of(room, before.stx_size).ok_or(wit::FileError::TooLarge(limit))?) } else { None };
    let (sha256, bytes) = digest(fd.try_clone().map_err(told)?, before.stx_size, wanted, deadline)?;
    let after = stat_fd(&fd).map_err(refused)?;
    let (before, after) = (entry(name.to_owned(), &before), entry(name.to_owned(), &after));
    if !same(&before, &after) {
        return Ok(None);
    }
    taken.into_iter().for_each(Taken::keep);
    Ok(Some(wit::Content { stat: after, sha256: sha256.to_string(), bytes }))
}

/// Room for the bytes of one file, given back unless they are part of the answer.
pub(super) struct Taken<'a> {
    room: &'a AtomicU64,
    bytes: u64,
}

impl<'a> Taken<'a> {
    pub(super) fn of(room: &'a AtomicU64, bytes: u64) -> Option<Self> {
        room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).ok()?;
        Some(Self { room, bytes })
    }

    pub(super) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Digest of a file, and its bytes where they are wanted; never more of them than `size`.
fn digest(fd: OwnedFd, size: u64, wanted: bool, deadline: Instant) -> Answer<(Digest, Option<Vec<u8>>)> {
    let mut file = std::fs::File::from(fd);
    let mut hasher = Sha256::new();
    let mut kept = wanted.then(|| Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
    let mut chunk = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK).saturating_add(1))];
    let mut total = 0_u64;
    loop {
        late(deadline)?;
        let got = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(got) => got,
            Err(err) if err.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(told(err)),
        };
        let part = chunk.get(..got).unwrap_or_default();
        hasher.update(part);
        total = total.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
        if let Some(kept) = &mut kept
            && kept.len() + got <= usize::try_from(size).unwrap_or(usize::MAX)
        {
            kept.extend_from_slice(part);
        }
        // It grows while it is read, perhaps without end: its stat has changed, which the caller sees.
        if total > size {
            break;
        }
    }
    Ok((Digest(hasher.finalize().into()), kept))
}

/// The same in type, size, times, inode and mode.
pub(super) fn same(one: &wit::Entry, other: &wit::Entry) -> bool {
    let facts = |it: &wit::Entry| (it.kind, it.size, it.modified, it.changed, it.inode, it.mode);
    facts(one) == facts(other)
}
