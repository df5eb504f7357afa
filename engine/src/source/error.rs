//! Why a source gave no answer, for the code that decides (exit codes, "nothing is pruned") and for people.

use std::fmt;
use std::path::PathBuf;

use trueup_core::diagnostic::{Code, Diagnostic, codes};

use super::EntryKind;

/// Why a source could not be read. Nothing may be planned, let alone pruned, on any of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// No parent of the folder is a Git repository.
    NotARepository { dir: PathBuf },
    /// The repository has no commit yet.
    NothingCommitted,
    /// Uncommitted files were asked of a repository that has none (a bare or remote one).
    NoWorktree,
    /// No branch, tag or commit has this name.
    UnknownRevision { rev: String },
    /// Several have it; the full names are given.
    AmbiguousRevision { rev: String, candidates: Vec<String> },
    /// A directory does not exist at the revision.
    Missing { dir: String, revision: String },
    /// A path that would be dangerous to use, or that cannot be shown.
    Path { path: String, reason: String },
    /// A limit was crossed; `limit` says which and how much.
    Limit { what: String, limit: String },
    /// A symbolic link or submodule was to be read.
    NotAFile { path: String, kind: EntryKind },
    /// A worktree file changed while it was being read.
    Changed { path: String },
    /// An object or file is missing, damaged or not permitted.
    Unreadable { what: String, cause: String },
    /// The URL is outside of what is allowed. `url` is redacted.
    UrlRefused { url: String, reason: String, hint: String },
    /// The server said no to the credentials, or wants some. `url` is redacted.
    Denied { url: String, cause: String },
    /// The server could not be reached or broke off; a later try may work. `url` is redacted.
    Unreachable { url: String, cause: String },
    /// The server answered, and its answer was refused. `url` is redacted.
    BadAnswer { url: String, cause: String },
}

impl SourceError {
    /// The stable code for people.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => codes::LAYER_MISSING,
            Self::Path { .. } => codes::PATH_REFUSED,
            Self::Limit { .. } => codes::SOURCE_LIMIT,
            Self::NotAFile { kind: EntryKind::Submodule, .. } => codes::SUBMODULE,
            Self::NotAFile { .. } => codes::SYMLINK,
            Self::NotARepository { .. }
            | Self::NothingCommitted
            | Self::NoWorktree
            | Self::UnknownRevision { .. }
            | Self::AmbiguousRevision { .. }
            | Self::Changed { .. }
            | Self::Unreadable { .. }
            | Self::UrlRefused { .. }
            | Self::Denied { .. }
            | Self::Unreachable { .. }
            | Self::BadAnswer { .. } => codes::SOURCE_UNREADABLE,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything (exit code 75).
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Changed { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotARepository { .. } => "run `git init` and commit your files, or give `--worktree`".into(),
            Self::NothingCommitted => "commit your files, or give `--worktree` to use them as they are".into(),
            Self::NoWorktree => "leave `--worktree` out".into(),
            Self::UnknownRevision { .. } => "`--rev` takes a branch, a tag or a commit".into(),
            Self::AmbiguousRevision { candidates, .. } => format!("write one of {}", candidates.join(", ")),
            Self::Missing { .. } => {
                "commit a file in it (Git keeps no empty directory; a `.gitkeep` will do), or correct the path".into()
            }
            Self::NotAFile { .. } => "put the file itself there".into(),
            Self::Changed { .. } => "run it again".into(),
            Self::UrlRefused { hint, .. } => hint.clone(),
            Self::Denied { .. } => {
                "give `credentials.yaml` one entry with `git: true` whose origin is this server, and check its token".into()
            }
            Self::Unreachable { .. } => "try again later".into(),
            Self::Path { .. } | Self::Limit { .. } | Self::Unreadable { .. } | Self::BadAnswer { .. } => return None,
        })
    }

    /// The finding for people.
    pub fn to_diagnostic(&self) -> Diagnostic {
        let found = Diagnostic::error(self.code(), self.to_string());
        match self.hint() {
            Some(hint) => found.hint(hint),
            None => found,
        }
    }

    /// Says at which revision a directory is missing.
    pub(super) fn at_revision(mut self, revision: &str) -> Self {
        if let Self::Missing { revision: at, .. } = &mut self {
            revision.clone_into(at);
        }
        self
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARepository { dir } => write!(f, "`{}` is not in a Git repository", dir.display()),
            Self::NothingCommitted => write!(f, "nothing is committed in this repository yet"),
            Self::NoWorktree => write!(f, "this repository has no worktree"),
            Self::UnknownRevision { rev } => write!(f, "no branch, tag or commit `{}` exists here", rev.escape_debug()),
            Self::AmbiguousRevision { rev, .. } => write!(f, "`{}` names more than one revision", rev.escape_debug()),
            Self::Missing { dir, revision } if revision.is_empty() => write!(f, "the directory `{dir}` does not exist"),
            Self::Missing { dir, revision } => write!(f, "the directory `{dir}` does not exist at {}", short(revision)),
            Self::Path { path, reason } => write!(f, "the path `{path}` is refused: {reason}"),
            Self::Limit { what, limit } => write!(f, "{what} is over the limit of {limit}"),
            Self::NotAFile { path, kind: EntryKind::Submodule } => write!(f, "`{path}` is a submodule, and those are ignored"),
            Self::NotAFile { path, .. } => write!(f, "`{path}` is a symbolic link, and those are not followed"),
            Self::Changed { path } => write!(f, "`{path}` changed while it was being read"),
            Self::Unreadable { what, cause } => write!(f, "cannot read {what}: {cause}"),
            Self::UrlRefused { url, reason, .. } => write!(f, "the source `{url}` is refused: {reason}"),
            Self::Denied { url, cause } => write!(f, "`{url}` refuses access: {cause}"),
            Self::Unreachable { url, cause } => write!(f, "`{url}` cannot be reached: {cause}"),
            Self::BadAnswer { url, cause } => write!(f, "the answer of `{url}` was refused: {cause}"),
        }
    }
}

impl std::error::Error for SourceError {}

/// A revision for people: the first 12 digits, with what follows them.
fn short(revision: &str) -> String {
    let (commit, rest) =
        revision.split_once('+').map_or((revision, String::new()), |(commit, rest)| (commit, format!("+{rest}")));
    format!("{}{rest}", commit.get(..12).filter(|_| commit.len() >= 40).unwrap_or(commit))
}
