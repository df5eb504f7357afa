//! The folder of compiled plugins and manifests.
//!
//! A compiled plugin is native code that runs in this process, so an entry is believed only when its MAC under a key
//! that never leaves the folder is right. The folder belongs to the current user and nobody else may enter it.
//! Everything in it may be deleted at any time: it is made again from the plugin's own bytes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// No entry is larger than this; a larger file is not ours.
const MAX_ENTRY: u64 = 1 << 30;
const MAC_LEN: usize = 32;
const KEY_FILE: &str = "seal.key";

/// A folder of entries that only this user can have written.
pub(crate) struct Sealed {
    dir: PathBuf,
    key: [u8; 32],
}

impl Sealed {
    /// Opens the folder, making it and its key where they are missing.
    ///
    /// # Errors
    ///
    /// Fails where the folder belongs to somebody else, or where it cannot be made or read; the text names it.
    pub(crate) fn open(dir: &Path) -> Result<Self, String> {
        let told = |err: io::Error| format!("the plugin cache `{}` cannot be used: {err}", dir.display());
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(told)?;
        let meta = fs::metadata(dir).map_err(told)?;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(format!("the plugin cache `{}` belongs to another user; name a folder of your own", dir.display()));
        }
        if meta.mode() & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(told)?;
        }
        let key = read_key(dir).map_err(told)?;
        Ok(Self { dir: dir.to_owned(), key })
    }

    /// The entry's bytes. None where it is missing, cannot be read, or was not written by [`Sealed::put`] under this name.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = read_bounded(&self.dir.join(name), MAX_ENTRY).ok()?;
        let payload = bytes.split_off(MAC_LEN.min(bytes.len()));
        if self.mac(name, &payload)?.verify_slice(&bytes).is_err() {
            tracing::warn!(entry = name, "an entry of the plugin cache was altered; it is made again");
            return None;
        }
        Some(payload)
    }

    /// Writes an entry, whole or not at all.
    pub(crate) fn put(&self, name: &str, payload: &[u8]) -> io::Result<()> {
        let mac = self.mac(name, payload).ok_or_else(|| io::Error::other("no key"))?.finalize().into_bytes();
        write_whole(&self.dir, name, &[&mac, payload], |from, to| fs::rename(from, to))
    }

    fn mac(&self, name: &str, payload: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(payload);
        Some(mac)
    }
}

/// The folder's key, drawn where there is none. Two processes that draw at once end up with one: the first link wins.
fn read_key(dir: &Path) -> io::Result<[u8; 32]> {
    let path = dir.join(KEY_FILE);
    if !path.try_exists()? {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let linked = write_whole(dir, KEY_FILE, &[&key], |from, to| {
            let linked = fs::hard_link(from, to);
            fs::remove_file(from)?;
            linked
        });
        if let Err(err) = linked
            && err.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(err);
        }
    }
    let meta = fs::symlink_metadata(&path)?;
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("`{KEY_FILE}` in it can be read by others; remove it")));
    }
    let bytes = read_bounded(&path, 64)?;
    bytes.try_into().map_err(|_| io::Error::other(format!("`{KEY_FILE}` in it is damaged; remove it")))
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len().min(limit)).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a temporary file of mode 0600 and lets `place` put it where it belongs.
fn write_whole(dir: &Path, name: &str, parts: &[&[u8]], place: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!(".{name}.{}.{count}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        parts.iter().try_for_each(|part| file.write_all(part))
    };
    let done = write().and_then(|()| place(&temporary, &dir.join(name)));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_was_altered_renamed_or_cut_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Sealed::open(dir.path()).unwrap();
        cache.put("a", b"native code").unwrap();
        assert_eq!(cache.get("a").as_deref(), Some(&b"native code"[..]));
        fs::copy(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert_eq!(cache.get("b"), None, "another name");
        let mut bytes = fs::read(dir.path().join("a")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.path().join("a"), &bytes).unwrap();
        assert_eq!(cache.get("a"), None, "one bit");
        fs::write(dir.path().join("a"), &bytes[..7]).unwrap();
        assert_eq!(cache.get("a"), None, "cut");
        assert_eq!(cache.get("missing"), None);
    }

    #[test]
    fn the_key_is_drawn_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let first = Sealed::open(dir.path()).unwrap();
        first.put("a", b"x").unwrap();
        assert_eq!(Sealed::open(dir.path()).unwrap().get("a").as_deref(), Some(&b"x"[..]));
        assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o700);
        for file in fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.file_name());
        }
        fs::set_permissions(dir.path().join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Sealed::open(dir.path()).is_err_and(|text| text.contains(KEY_FILE)));
    }
}
