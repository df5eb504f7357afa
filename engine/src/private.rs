//! Files and folders that only their owner may read: state, keys, credentials, the trust record.
//!
//! Owns how they come to be (modes, atomic replacement) and how they are read (bounded, refused when others can read
//! them), and that temporary folders go. Invariant: a file written here is either the old one or the whole new one, and is 0600
//! from its first byte.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::regular;

/// Name of the folder that a project keeps its state in.
pub const STATE_FOLDER: &str = ".trueup";

/// Makes `path` and what is missing above it, readable for its owner alone. A `.trueup` made here gets a `.gitignore`
/// that hides all of it from Git; a folder that exists is left as it is.
///
/// # Errors
///
/// Those of the system, when the folder cannot be made.
pub fn folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        folder(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        other => other?,
    }
    if path.file_name().is_some_and(|it| it == STATE_FOLDER) {
        fs::write(path.join(".gitignore"), "*\n")?;
    }
    Ok(())
}

/// Opens a new file, 0600, that must not exist yet.
///
/// # Errors
///
/// Those of the system; `AlreadyExists` where there is one.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A name beside `path` that no other process uses.
pub fn beside(path: &Path) -> PathBuf {
    let mut random = [0_u8; 6];
    // Without randomness the process id alone tells processes apart.
    let _ = getrandom::fill(&mut random);
    let tail: String = random.iter().map(|it| format!("{it:02x}")).collect();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{tail}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Temporary folders that are there now.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A folder of our own in the system's temporary one. It goes with the value, or with [`sweep`].
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// Makes it, with `name` in its own.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn new(name: &str) -> io::Result<Self> {
        let parent = std::env::temp_dir();
        folder(&parent)?;
        let path = beside(&parent.canonicalize()?.join(name));
        // Held until it is known: a sweep misses none, and takes only what we made.
        let mut known = temporary();
        DirBuilder::new().mode(0o700).create(&path)?;
        known.push(path.clone());
        Ok(Self(path))
    }

    /// Its real path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        temporary().retain(|it| *it != self.0);
    }
}

/// Takes away every temporary folder: for a process that ends without dropping its values.
pub fn sweep() {
    /// Who still writes into a folder keeps it from going, for a moment.
    const TRIES: usize = 50;
    for path in temporary().iter() {
        for _ in 0..TRIES {
            match fs::remove_dir_all(path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => std::thread::sleep(std::time::Duration::from_millis(2)),
                _ => break,
            }
        }
    }
}

fn temporary() -> MutexGuard<'static, Vec<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replaces `path` by a file of these bytes, 0600, durable when this returns.
///
/// # Errors
///
/// Those of the system; the old file then stands.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        folder(parent)?;
    }
    let temporary = beside(path);
    let written = create_new(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_parent(path)
}

/// Makes the entry of `path` in its folder durable.
///
/// # Errors
///
/// Those of the system.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Why a private file was not read.
#[derive(Debug)]
pub enum Refused {
    /// Group or others can read or write it; holds the permission bits.
    Open {
        mode: u32,
    },
    /// It belongs to another user; holds their id.
    Foreign {
        owner: u32,
    },
    /// Longer than the limit, in bytes.
    TooLarge {
        limit: u64,
    },
    Io(io::Error),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open { mode } => write!(f, "others can read or change it (mode {mode:04o}); run `chmod 600` on it"),
            Self::Foreign { owner } => write!(f, "it belongs to another user (id {owner})"),
            Self::TooLarge { limit } => write!(f, "it is longer than {limit} bytes"),
            Self::Io(err) => write!(f, "{err}"),
        }
    }
}

/// Reads at most `limit` bytes of a regular file that only its owner may read. None where there is no such file.
///
/// # Errors
///
/// [`Refused`] says why; nothing of the content is in it.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Refused> {
    checked(regular::open(path), limit)
}

/// As [`read`], and from a pipe as well, however long that takes: for what an operator alone names, as `<(pass show …)`.
///
/// # Errors
///
/// As there.
pub fn read_or_drain(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Refused> {
    checked(File::open(path).and_then(|file| file.metadata().map(|meta| (file, meta))), limit)
}

fn checked(opened: io::Result<(File, fs::Metadata)>, limit: u64) -> Result<Option<Vec<u8>>, Refused> {
    let (file, meta) = match opened {
        Ok(it) => it,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(Refused::Io(err)),
    };
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user && meta.uid() != 0 {
        return Err(Refused::Foreign { owner: meta.uid() });
    }
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Refused::Open { mode });
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Refused::Io)?;
    if bytes.len() as u64 > limit {
        return Err(Refused::TooLarge { limit });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_state_folder_is_private_and_hidden_from_git() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep").join(STATE_FOLDER);
        folder(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(path.join(".gitignore")).unwrap(), "*\n");
        fs::remove_file(path.join(".gitignore")).unwrap();
        folder(&path).unwrap();
        assert!(!path.join(".gitignore").exists(), "a folder that exists is left as it is");
    }

    #[test]
    fn a_temporary_folder_goes_with_its_value_and_is_known_until_then() {
        let kept = Temporary::new("trueup-test").unwrap();
        fs::create_dir(kept.path().join("deep")).unwrap();
        fs::write(kept.path().join("deep/file"), "x").unwrap();
        assert_eq!(fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = Temporary::new("trueup-test").unwrap().path().to_owned();
        assert!(!path.exists());
        // Not `sweep`, which would take those of other tests too.
        assert!(temporary().iter().any(|it| it == kept.path()) && !temporary().contains(&path));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_one_of_ours_is_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap().as_deref(), Some(&b"two"[..]));
        assert!(matches!(read(&path, 2), Err(Refused::TooLarge { limit: 2 })));
        for mode in [0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path, 3).unwrap_err();
            assert!(refused.to_string().contains("chmod 600"), "{mode:o}: {refused}");
        }
        assert!(read(&root.path().join("none"), 3).unwrap().is_none());
        assert!(read_or_drain(&root.path().join("none"), 3).unwrap().is_none());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn nobody_waits_for_a_fifo_unless_an_operator_names_a_pipe() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(read(&path, 9).unwrap_err().to_string(), "it is a FIFO and no regular file");
        let writer = std::thread::spawn({
            let path = path.clone();
            move || fs::write(path, b"said").unwrap()
        });
        assert_eq!(read_or_drain(&path, 9).unwrap().as_deref(), Some(&b"said"[..]));
        writer.join().unwrap();
    }
}
