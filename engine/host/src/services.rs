//! What the host needs from the engine to serve a provider's imports.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use trueup_core::value::Digest;

use crate::records::Fields;
use crate::tap::Tap;

/// A secret value. It has no `Debug` or `Display` that shows it, cannot be cloned, and is overwritten when dropped.
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The plain text. Never log it, never put it into an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // Without `unsafe` the compiler may not be told to keep these stores; black_box is the best there is.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

/// Why a secret is not revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// Not granted to this provider, or not a handle of this run.
    Denied,
    /// Granted, and not there.
    Missing,
    /// There, and cannot be read now; the text never holds the value.
    Unavailable(String),
}

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One line that a plugin, or the host about a plugin, wants logged. Already masked, bounded and free of control characters.
#[derive(Clone, Debug)]
pub struct LogRecord {
    pub level: Level,
    /// Alias of the provider, or the plugin's name where it has none yet.
    pub provider: Arc<str>,
    /// The contract's function that was running.
    pub function: &'static str,
    pub message: String,
    pub fields: Fields,
}

/// What a plugin was refused during a call: told apart from the log, so that it can be shown with the plugin's results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub provider: Arc<str>,
    /// The contract's function that was running.
    pub function: &'static str,
    /// The import that refused: `http`, `files`, `secrets` …
    pub import: &'static str,
    /// Which rule is missing.
    pub text: String,
}

/// The engine's side of the imports of one configured provider.
///
/// Called from within guest calls, possibly from several threads; an implementation must not block for long.
pub trait Services: Send + Sync {
    /// The bytes of a file of the revision, by digest.
    fn blob(&self, sha256: &Digest) -> Option<Arc<[u8]>> {
        let _ = sha256;
        None
    }

    /// Opens a handle that stands in a document of this provider. Asked only within `apply`.
    ///
    /// # Errors
    ///
    /// Fails with [`SecretError::Denied`] for every text that is not a handle drawn in this run for this provider.
    fn reveal(&self, handle: &str) -> Result<Secret, SecretError> {
        let _ = handle;
        Err(SecretError::Denied)
    }

    /// Replaces every known secret value in `text`.
    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }

    /// What the plugin kept under a key of its `cache` in an earlier run, if the engine keeps such things.
    fn recall(&self, key: &str) -> Option<Vec<u8>> {
        let _ = key;
        None
    }

    /// Keeps what the plugin puts into its `cache` beyond this run; losing it costs time only.
    fn keep(&self, key: &str, value: &[u8], ttl: Duration) {
        let _ = (key, value, ttl);
    }

    /// Sees and may answer what the plugin asks of the world.
    fn tap(&self) -> Option<&dyn Tap> {
        None
    }

    /// Takes a log line.
    fn log(&self, record: LogRecord) {
        match record.level {
            Level::Trace | Level::Debug => {
                tracing::debug!(provider = %record.provider, call = record.function, fields = ?record.fields, "{}", record.message);
            }
            Level::Info => {
                tracing::info!(provider = %record.provider, call = record.function, fields = ?record.fields, "{}", record.message);
            }
            Level::Warn | Level::Error => {
                tracing::warn!(provider = %record.provider, call = record.function, fields = ?record.fields, "{}", record.message);
            }
        }
    }

    /// Takes a refusal.
    fn denied(&self, denial: Denial) {
        tracing::warn!(provider = %denial.provider, call = denial.function, import = denial.import, "refused: {}", denial.text);
    }
}

/// Services of a provider that needs none: no blobs, no secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoServices;

impl Services for NoServices {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Some(Secret::from("hunter2"))), "Some((secret))");
    }
}
