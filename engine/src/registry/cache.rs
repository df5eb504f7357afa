//! Components that were fetched, by digest: `<cache>/oci/<sha256>.wasm`. Losable.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use trueup_core::value::Digest;

use super::place::{Place, Wanted};
use super::reference::Reference;
use super::signature::Policy;
use super::{MAX_COMPONENT, RegistryError};
use crate::private;

/// Age at which a file that a killed run left is nobody's.
const STALE: Duration = Duration::from_secs(3_600);

/// The folder of fetched components.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Below the user's cache folder.
    pub fn below(cache: &Path) -> Self {
        Self { folder: cache.join("oci") }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    /// A component that was fetched before.
    ///
    /// # Errors
    ///
    /// `NotFound` where it was not, or what lies there is something else by now.
    pub fn read(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(self.path(digest))?.take(MAX_COMPONENT + 1).read_to_end(&mut bytes)?;
        // A cache that was changed is as good as none.
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
    }

    /// Keeps a component: the file is there whole, or not at all.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn keep(&self, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = Digest::of(bytes);
        self.sweep();
        private::write(&self.path(&digest), bytes)
            .map_err(|error| RegistryError::local(format!("the plugin cannot be kept in `{}`", self.folder.display()), error))?;
        Ok(digest)
    }

    /// Forgets a component.
    pub fn forget(&self, digest: &Digest) {
        let _ = fs::remove_file(self.path(digest));
    }

    /// Removes what killed runs left half written.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let old = entry.metadata().and_then(|it| it.modified()).ok().and_then(|it| SystemTime::now().duration_since(it).ok());
            if entry.path().extension().is_some_and(|it| it == "tmp") && old.is_some_and(|it| it > STALE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Fetches what a lock pins, by its digest and nothing else, and keeps it. `manifest` is the artifact's, where the lock knows
/// it: then the artifact is judged as when it was added; else the component comes by its own digest.
///
/// # Errors
///
/// As [`Place::find`]; nothing is kept then.
pub async fn fetch(
    cache: &Cache,
    place: &Place,
    reference: &Reference,
    pinned: &Digest,
    manifest: Option<Digest>,
    policy: &Policy,
) -> Result<Vec<u8>, RegistryError> {
    let component = match manifest {
        Some(manifest) => {
            let reference = reference.at(manifest);
            let found = place.find(&Wanted { reference: &reference, policy }).await?;
            if found.image.component() != pinned {
                let text = format!("`{reference}` holds sha256:{}, and the lock pins sha256:{pinned}", found.image.component());
                return Err(RegistryError::refused(text).hint("take the committed trueup.lock back, or add the plugin again"));
            }
            found.component
        }
        None => place.component(pinned, None).await?,
    };
    cache.keep(&component)?;
    Ok(component)
}
