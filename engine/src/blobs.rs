//! Files of the revision that documents name (`x-trueup-blob`), by path for evaluation and by digest for plugins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use trueup_core::document::NoBlob;
use trueup_core::value::Digest;

use crate::source::{Entry, EntryKind, Snapshot, SourceError};

/// Bytes of one file.
const MAX_BYTES: u64 = 64 << 20;

/// What is known of the files of one snapshot. Filled while documents are evaluated.
pub struct BlobTable {
    snapshot: Arc<Snapshot>,
    by_path: Mutex<HashMap<String, Result<(Digest, u64), NoBlob>>>,
    by_digest: Mutex<HashMap<Digest, Entry>>,
}

impl BlobTable {
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, by_path: Mutex::default(), by_digest: Mutex::default() }
    }

    /// SHA-256 and size of the file at `path` of the project.
    ///
    /// # Errors
    ///
    /// Where there is none, or it is no ordinary file of at most 64 MiB that can be read.
    pub fn digest(&self, path: &str) -> Result<(Digest, u64), NoBlob> {
        if let Some(known) = self.by_path.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return known.clone();
        }
        let found = self.look(path);
        self.by_path.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), found.clone());
        found
    }

    fn look(&self, path: &str) -> Result<(Digest, u64), NoBlob> {
        let refused = |error: SourceError| NoBlob::Refused { code: error.code(), reason: error.to_string() };
        let entry = match self.snapshot.find(path) {
            Ok(Some(entry)) => entry,
            Ok(None) | Err(SourceError::Missing { .. }) => return Err(NoBlob::Missing),
            Err(error) => return Err(refused(error)),
        };
        if entry.kind != EntryKind::File {
            return Err(refused(SourceError::NotAFile { path: entry.path.to_string(), kind: entry.kind }));
        }
        let (digest, size) = self.snapshot.digest(&entry, MAX_BYTES).map_err(refused)?;
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, entry);
        Ok((digest, size))
    }

    /// Paths of the files that documents name, as far as they were looked at.
    pub fn paths(&self) -> Vec<String> {
        self.by_path.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The bytes behind a digest that [`BlobTable::digest`] gave.
    pub fn read(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        let entry = self.by_digest.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()?;
        self.snapshot.read(&entry, MAX_BYTES).ok()
    }
}
