//! The engine's side of a provider's imports: files of the revision, secrets within apply, a cache that outlives the run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trueup_core::value::Digest;
use trueup_host::{Denial, Secret, SecretError, Services, Tap};

use crate::blobs::BlobTable;
use crate::recording::Tape;
use crate::seal::Sealer;
use crate::store::cache::CacheFile;

/// Refusals kept of one run; more are counted only.
const MAX_DENIALS: usize = 100;

/// What one provider's plugin may ask of the engine.
pub struct ProviderServices {
    pub blobs: Option<Arc<BlobTable>>,
    pub sealer: Arc<Sealer>,
    /// None where nothing may be kept: then a plugin's cache ends with the run.
    pub cache: Option<Arc<CacheFile>>,
    /// Alias, plugin and configuration: what the cache's keys are told apart by.
    pub cache_name: String,
    pub denials: Arc<Denials>,
    /// Of a run that is recorded or replayed.
    pub tape: Option<Tape>,
}

/// What plugins were refused during a run.
#[derive(Default)]
pub struct Denials(Mutex<Vec<Denial>>);

impl Denials {
    /// Takes everything that was refused since the last call.
    pub fn take(&self) -> Vec<Denial> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Services for ProviderServices {
    fn blob(&self, sha256: &Digest) -> Option<Arc<[u8]>> {
        self.blobs.as_ref()?.read(sha256)
    }

    fn reveal(&self, handle: &str) -> Result<Secret, SecretError> {
        self.sealer.reveal(handle).map(Secret::new).ok_or(SecretError::Denied)
    }

    fn mask(&self, text: &str) -> String {
        self.sealer.mask(text)
    }

    fn recall(&self, key: &str) -> Option<Vec<u8>> {
        self.cache.as_ref()?.get(&self.cache_name, key, crate::engine::now_ms()).ok().flatten()
    }

    fn keep(&self, key: &str, value: &[u8], ttl: Duration) {
        let Some(cache) = &self.cache else { return };
        if let Err(error) = cache.put(&self.cache_name, key, value, ttl.min(MAX_TTL), crate::engine::now_ms()) {
            tracing::debug!("the plugin's cache could not be kept: {error}");
        }
    }

    fn tap(&self) -> Option<&dyn Tap> {
        self.tape.as_ref().map(|it| it as &dyn Tap)
    }

    fn denied(&self, denial: Denial) {
        let mut kept = self.denials.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_DENIALS && !kept.contains(&denial) {
            kept.push(denial);
        }
    }
}

/// How long a plugin's entry is kept at most.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
