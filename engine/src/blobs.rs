//! Files of the revision that documents name (`x-trueup-blob`), by path for evaluation and by digest for plugins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use trueup_core::value::Digest;

use crate::source::{Entry, EntryKind, Snapshot};

/// Bytes of one file.
const MAX_BYTES: u64 = 64 << 20;

/// What is known of the files of one snapshot. Filled while documents are evaluated.
pub struct BlobTable {
    snapshot: Arc<Snapshot>,
    by_path: Mutex<HashMap<String, Option<(Digest, u64)>>>,
    by_digest: Mutex<HashMap<Digest, Entry>>,
}

impl BlobTable {
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, by_path: Mutex::default(), by_digest: Mutex::default() }
    }

    /// SHA-256 and size of the file at `path` of the project; None where there is none, or it is no ordinary file of at most
    /// 64 MiB.
    pub fn digest(&self, path: &str) -> Option<(Digest, u64)> {
        if let Some(known) = self.by_path.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return *known;
        }
        let found = self.snapshot.find(path).ok().flatten().filter(|it| it.kind == EntryKind::File);
        let found = found.and_then(|entry| {
            let (digest, size) = self.snapshot.digest(&entry, MAX_BYTES).ok()?;
            self.by_digest.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, entry);
            Some((digest, size))
        });
        self.by_path.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), found);
        found
    }

    /// The bytes behind a digest that [`BlobTable::digest`] gave.
    pub fn read(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        let entry = self.by_digest.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()?;
        self.snapshot.read(&entry, MAX_BYTES).ok()
    }
}
