//! Why the state could not be read or written, and what to do then.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use trueup_core::address::Address;

/// Why the state could not be read or written. Cheap to clone: one failed commit answers many waiters.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The file is not what was written: torn, cut, overwritten or altered. Never read as an empty state.
    Damaged { path: PathBuf, what: String },
    /// Written by a newer version of the program.
    Newer { path: PathBuf, found: i64, known: i64 },
    /// An SQLite file of another program.
    Foreign { path: PathBuf },
    /// The state of another project: what that owns is not this one's to change or delete.
    OtherProject { path: PathBuf, found: String, ours: String },
    /// Another process holds it for longer than we wait.
    Busy { path: PathBuf },
    /// The SQLite library is one that can lose commits.
    Library { found: &'static str, wanted: &'static str },
    /// The object belongs to another environment; nothing was recorded.
    Owned { address: Address, environment: String, resource: String },
    /// An outcome or verdict for a change that was never announced, or is settled already.
    NoIntent { token: String },
    /// Several saved plans begin with this text.
    Ambiguous { prefix: String },
    /// What lies in the key's place is not a key.
    NoKey { path: PathBuf },
    /// The system refused; says what was being done.
    Io { path: PathBuf, doing: &'static str, source: Arc<dyn std::error::Error + Send + Sync> },
    /// A write failed before, so that what is on disk is not known; only a new start may go on.
    Stopped { path: PathBuf },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::OtherProject { .. }
            | Self::Library { .. }
            | Self::Owned { .. }
            | Self::NoIntent { .. }
            | Self::Ambiguous { .. }
            | Self::NoKey { .. }
            | Self::Io { .. }
            | Self::Stopped { .. } => false,
        }
    }

    pub(super) fn io(
        path: &std::path::Path,
        doing: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Io { path: path.to_owned(), doing, source: Arc::new(source) }
    }

    pub(super) fn damaged(path: &std::path::Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }

    /// Sorts an error of SQLite into ours.
    pub(super) fn sqlite(path: &std::path::Path, doing: &'static str, err: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match err.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::damaged(path, err.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path: path.to_owned() },
            _ => Self::io(path, doing, err),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { path, what } => write!(
                f,
                "the state in `{0}` is damaged: {what}; nothing was changed. Put a backup of it (with its `-wal` file, if there is one) \
                 in its place, or move it away and run `trueup adopt --declared` to claim the existing objects again",
                path.display()
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "the state in `{}` has format {found} and this version knows {known}; use the newer version of trueup",
                path.display()
            ),
            Self::Foreign { path } => {
                write!(f, "`{}` is a database of another program; name another file with `--state`", path.display())
            }
            Self::OtherProject { path, found, ours } => write!(
                f,
                "`{}` is the state of the project with id {found}, and this one has id {ours}; each project has a state of its own: \
                 name another file with `--state`, or put the old `metadata.id` back",
                path.display()
            ),
            Self::Busy { path } => {
                write!(f, "another process is writing the state in `{}`; try again when it is done", path.display())
            }
            Self::Library { found, wanted } => {
                write!(f, "SQLite {found} can lose commits; trueup must be built with {wanted} or newer")
            }
            Self::Owned { address, environment, resource } => {
                write!(f, "`{address}` belongs to `{resource}` of environment `{environment}`")
            }
            Self::NoIntent { token } => write!(f, "no change with the token `{token}` is open"),
            Self::Ambiguous { prefix } => write!(f, "several saved plans begin with `{prefix}`; give more digits"),
            Self::NoKey { path } => write!(
                f,
                "`{}` holds no key; put its backup there, or move it away: a new one is drawn and every secret is applied once more",
                path.display()
            ),
            Self::Io { path, doing, source } => write!(f, "cannot {doing} `{}`: {source}", path.display()),
            Self::Stopped { path } => {
                write!(
                    f,
                    "a write to the state in `{}` failed before; start again, so that what is on disk is read anew",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for StoreError {}
