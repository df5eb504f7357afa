//! The store's key, under which the engine takes HMACs of secrets to find their changes without keeping them.
//!
//! The key lies beside the state in a file of its own, so that a copy of the state alone tells nothing about secrets: not
//! even a guess can be tried. Invariant: the key is never part of an error.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use trueup_core::value::Digest;

use super::StoreError;
use crate::private;

/// The key of a state, from `<state>.key`; drawn where there is none.
///
/// A new key makes every secret look changed once; nothing else comes of its loss.
///
/// # Errors
///
/// [`StoreError::Damaged`] where the file is not a key, [`StoreError::Io`] where others can read it or the system refuses.
pub fn secret_key(state: &Path) -> Result<[u8; 32], StoreError> {
    let path = key_path(state);
    if let Some(key) = read(&path)? {
        return Ok(key);
    }
    let fail = |err: io::Error| StoreError::io(&path, "write the key", err);
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        private::folder(parent).map_err(fail)?;
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|err| StoreError::io(&path, "draw randomness for", err))?;
    let text = format!("{}\n", Digest(key));
    let temporary = private::beside(&path);
    let linked = private::create_new(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| std::fs::hard_link(&temporary, &path));
    let _ = std::fs::remove_file(&temporary);
    match linked {
        // Another process drew one in the meantime: that one counts.
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            read(&path)?.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))
        }
        // A file system without hard links.
        Err(err) if matches!(err.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            private::write(&path, text.as_bytes()).map_err(fail)?;
            Ok(key)
        }
        Err(err) => Err(fail(err)),
        Ok(()) => {
            private::sync_parent(&path).map_err(fail)?;
            Ok(key)
        }
    }
}

fn read(path: &Path) -> Result<Option<[u8; 32]>, StoreError> {
    let refused = |err: private::Refused| StoreError::io(path, "read the key", io::Error::other(err.to_string()));
    let Some(bytes) = private::read(path, 128).map_err(refused)? else { return Ok(None) };
    let key = std::str::from_utf8(&bytes).ok().and_then(|it| Digest::parse(it.trim_end()));
    key.map(|key| Some(key.0)).ok_or_else(|| StoreError::NoKey { path: path.to_owned() })
}

/// `<state>.key`
fn key_path(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_drawn_once_for_a_state_and_is_private() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("new/state.db");
        let key = secret_key(&state).unwrap();
        assert_eq!(secret_key(&state).unwrap(), key);
        assert_ne!(secret_key(&root.path().join("other.db")).unwrap(), key);
        assert_eq!(std::fs::metadata(key_path(&state)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_no_key_is_refused_without_showing_it() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state.db");
        secret_key(&state).unwrap();
        let path = key_path(&state);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = secret_key(&state).unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains(text.trim()), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        let refused = secret_key(&state).unwrap_err().to_string();
        assert!(refused.contains("no key") && !refused.contains("short"), "{refused}");
    }
}
