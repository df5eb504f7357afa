//! What is remembered of an environment's documents between two passes, so that a pass costs what changed.
//!
//! One file per environment, written whole and atomically. It is a cache: every line of it follows from Git, the plugins'
//! digests and the settings that make its key, and where it is missing, old or damaged everything is read anew.
//! It holds no document and no secret, only names, digests and places.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use trueup_core::document::{DriftMode, ReplaceMode, Settings};
use trueup_core::expression::Condition;
use trueup_core::value;

use crate::regular;

/// Changes whenever the layout of [`Index`] does, or what goes into a digest.
const FORMAT: u32 = 7;
/// A larger file is not ours.
const MAX_BYTES: u64 = 4 << 30;
/// Bytes that hold the first three fields.
const HEAD: u64 = 256;

/// Everything remembered of one environment.
#[derive(Serialize, Deserialize, Default)]
pub struct Index {
    pub(super) format: u32,
    /// Digest of all that is not Git: variables, layers, providers' settings and plugins.
    pub key: [u8; 32],
    /// Tree of the project's root; while it is the same, nothing in Git changed.
    pub root: Vec<u8>,
    /// Directories of the layers, by layer and path: those whose tree is the same are not read again.
    pub trees: Vec<File>,
    /// By layer and path.
    pub files: Vec<File>,
    /// By id.
    pub rows: Vec<Row>,
    /// Not written: whether this differs from what is on disk.
    #[serde(skip)]
    pub is_moved: bool,
}

/// One file of a layer, or a directory.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
pub struct File {
    pub layer: u16,
    pub path: String,
    /// Git's id of its content; of a directory that of its tree.
    pub id: Vec<u8>,
}

/// One resource.
#[derive(Serialize, Deserialize, Clone)]
pub struct Row {
    pub id: String,
    /// Files it was made from, by position in [`Index::files`].
    pub files: Vec<u32>,
    pub after: Vec<String>,
    pub settings: Option<Box<SettingsRow>>,
    /// File (position), line, column, width.
    pub location: (u32, u32, u32, u32),
    /// Files of the revision that its fields name, with Git's id of each.
    pub blobs: Vec<(String, Vec<u8>)>,
    /// Evaluated at every pass: it waits for a status, holds a secret whose value lives outside Git, or has a warning to repeat.
    pub live: bool,
    /// No resource: its last layer removes it. Kept for its files, as what some of them declare must not come back alone.
    pub removed: bool,
    pub objects: Vec<Object>,
}

/// One object that the resource renders to.
#[derive(Serialize, Deserialize, Clone)]
pub struct Object {
    pub kind: String,
    pub scope: String,
    pub key: String,
    pub digest: [u8; 32],
    /// Objects that must be there first, by position in [`Row::objects`].
    pub siblings: Vec<u32>,
    /// What a claim of its document leaves alone; None: it claims nothing.
    pub claims: Option<Vec<String>>,
}

/// [`Settings`] as this file keeps them.
#[derive(Serialize, Deserialize, Clone)]
pub struct SettingsRow {
    flags: [bool; 4],
    adopt_identity: Option<String>,
    drift: Option<u8>,
    replace: Option<u8>,
    ignore: Vec<String>,
    depends_on: Vec<String>,
    moved_from: Option<String>,
    timeout_ms: Option<u64>,
    wait_for: Option<String>,
}

impl SettingsRow {
    /// None for the defaults, which most documents have.
    pub fn of(it: &Settings) -> Option<Box<Self>> {
        (*it != Settings::default()).then(|| {
            Box::new(Self {
                flags: [it.protect, it.adopt, it.force, it.no_prune],
                adopt_identity: it.adopt_identity.clone(),
                drift: it.drift.map(|it| it as u8),
                replace: it.replace.map(|it| it as u8),
                ignore: it.ignore.iter().map(ToString::to_string).collect(),
                depends_on: it.depends_on.clone(),
                moved_from: it.moved_from.clone(),
                timeout_ms: it.timeout.and_then(|it| u64::try_from(it.as_millis()).ok()),
                wait_for: it.wait_for.as_ref().map(ToString::to_string),
            })
        })
    }

    pub fn settings(&self) -> Settings {
        let [protect, adopt, force, no_prune] = self.flags;
        Settings {
            protect,
            adopt,
            adopt_identity: self.adopt_identity.clone(),
            force,
            no_prune,
            drift: self.drift.map(|it| match it {
                0 => DriftMode::Heal,
                1 => DriftMode::Warn,
                _ => DriftMode::Off,
            }),
            replace: self.replace.map(|it| match it {
                0 => ReplaceMode::Allow,
                1 => ReplaceMode::CreateFirst,
                _ => ReplaceMode::DeleteFirst,
            }),
            ignore: self.ignore.iter().filter_map(|it| value::Path::parse(it)).collect(),
            depends_on: self.depends_on.clone(),
            moved_from: self.moved_from.clone(),
            timeout: self.timeout_ms.map(Duration::from_millis),
            // It parsed when it was written.
            wait_for: self.wait_for.as_deref().and_then(|it| Condition::parse(it).ok()),
        }
    }
}

impl Index {
    /// An empty index of this format.
    pub fn new(key: [u8; 32]) -> Self {
        Self { format: FORMAT, key, ..Self::default() }
    }

    /// What was remembered under `key`; an empty index where nothing usable is there.
    pub fn load(file: &Path, key: [u8; 32]) -> Self {
        let read = || -> Option<Self> {
            let index: Self = postcard::from_bytes(&regular::read(file, MAX_BYTES).ok()?).ok()?;
            let sound =
                index.format == FORMAT && index.key == key && index.rows.iter().all(|row| row.is_sound(index.files.len()));
            sound.then_some(index)
        };
        read().unwrap_or_else(|| Self::new(key))
    }

    /// Whether what is remembered in `file` is of this key and this tree; reads no more of it than that.
    pub fn is_of(file: &Path, key: [u8; 32], root: &[u8]) -> bool {
        let read = || -> Option<bool> {
            let mut bytes = Vec::new();
            regular::open(file).ok()?.0.take(HEAD).read_to_end(&mut bytes).ok()?;
            let ((format, of, tree), _) = postcard::take_from_bytes::<(u32, [u8; 32], Vec<u8>)>(&bytes).ok()?;
            Some(format == FORMAT && of == key && tree == root && !root.is_empty())
        };
        read().unwrap_or(false)
    }

    /// Where the row of this identity is.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.rows.binary_search_by(|it| it.id.as_str().cmp(id)).ok()
    }

    /// Replaces the file.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        let bytes = postcard::to_stdvec(self).map_err(io::Error::other)?;
        let parent = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(parent)?;
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, file)
    }
}

impl Row {
    /// Whether every position it holds is one of a file.
    fn is_sound(&self, files: usize) -> bool {
        self.files.iter().chain([&self.location.0]).all(|it| (*it as usize) < files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_or_foreign_index_is_forgotten_and_a_sound_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prod.index");
        let mut index = Index::new([1; 32]);
        index.files.push(File { layer: 0, path: "base/a.yaml".into(), id: vec![1, 2] });
        let settings = Settings {
            protect: true,
            drift: Some(DriftMode::Warn),
            replace: Some(ReplaceMode::DeleteFirst),
            timeout: Some(Duration::from_secs(90)),
            wait_for: Condition::parse("self.status.ready").ok(),
            ..Settings::default()
        };
        index.rows.push(Row {
            id: "site:File/a".into(),
            files: vec![0],
            after: Vec::new(),
            settings: SettingsRow::of(&settings),
            location: (0, 1, 1, 0),
            blobs: Vec::new(),
            live: false,
            removed: false,
            objects: Vec::new(),
        });
        index.save(&file).unwrap();
        let kept = Index::load(&file, [1; 32]);
        assert_eq!(kept.rows.len(), 1);
        assert_eq!(kept.rows[0].settings.as_ref().unwrap().settings(), settings);
        assert!(Index::load(&file, [2; 32]).rows.is_empty(), "another key");
        index.rows[0].files = vec![7];
        index.save(&file).unwrap();
        assert!(Index::load(&file, [1; 32]).rows.is_empty(), "a position beyond the files");
        fs::write(&file, b"\x01garbage").unwrap();
        assert!(Index::load(&file, [1; 32]).rows.is_empty(), "garbage");
    }
}
