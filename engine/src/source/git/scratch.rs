//! Makes small repositories where no `git` may be installed: for `trueup demo` and for tests.
//!
//! Writes only into a folder that the caller has just made. Nothing here is used on a repository of somebody else.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use gix::ObjectId;
use gix::actor::SignatureRef;
use gix::objs::Tree;
use gix::objs::tree::{Entry, EntryKind};

use super::{cause, options};
use crate::source::SourceError;

/// Files of one scratch repository, so that a mistaken folder is not read whole.
const FILES: usize = 10_000;

/// A repository that this process made.
#[derive(Debug)]
pub struct Scratch {
    repo: gix::Repository,
    folder: PathBuf,
    author: String,
    email: String,
}

impl Scratch {
    /// Makes a repository with the branch `main` in a folder that is not one yet. Commits are made in this name.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unreadable`] where the folder cannot be written, or is a repository already.
    pub fn init(folder: &Path, author: &str, email: &str) -> Result<Self, SourceError> {
        let failed = |err: gix::Error| unwritable(folder, cause(&err));
        let config = options().config_overrides(["init.defaultBranch=main"]);
        let made = gix::ThreadSafeRepository::init_opts(folder, gix::create::Kind::WithWorktree, Default::default(), config);
        let repo: gix::Repository = made.map_err(failed)?.into();
        Ok(Self { repo, folder: folder.to_path_buf(), author: author.to_owned(), email: email.to_owned() })
    }

    /// Opens one that was made before.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unreadable`] where the folder is no repository.
    pub fn open(folder: &Path, author: &str, email: &str) -> Result<Self, SourceError> {
        let repo = gix::open_opts(folder, options()).map_err(|err| unwritable(folder, cause(&err)))?;
        Ok(Self { repo, folder: folder.to_path_buf(), author: author.to_owned(), email: email.to_owned() })
    }

    /// Commits the folder as it stands but for the folders named in `without`; returns the commit's id in hex.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unreadable`] where a file cannot be read or an object not be written, [`SourceError::Limit`] for
    /// more than 10,000 files.
    pub fn commit(&self, message: &str, without: &[&str]) -> Result<String, SourceError> {
        let failed = |err: gix::Error| unwritable(&self.folder, cause(&err));
        let tree = self.tree(without)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time = format!("{now} +0000");
        let who = SignatureRef { name: self.author.as_str().into(), email: self.email.as_str().into(), time: &time };
        let parent = self.repo.head_id().ok().map(|it| it.detach());
        let commit = self.repo.commit_as(who, who, "HEAD", message, tree, parent).map_err(failed)?.detach();
        // With an index `git status` is clean for those who go on by hand.
        let mut index = self.repo.index_from_tree(&tree).map_err(failed)?;
        index.write(Default::default()).map_err(failed)?;
        Ok(commit.to_string())
    }

    /// Writes blobs and trees of the folder, the deepest first.
    fn tree(&self, without: &[&str]) -> Result<ObjectId, SourceError> {
        let mut trees: BTreeMap<PathBuf, Vec<Entry>> = BTreeMap::new();
        let mut todo = vec![self.folder.clone()];
        let mut files = 0;
        while let Some(dir) = todo.pop() {
            let entries = trees.entry(dir.clone()).or_default();
            let listing = fs::read_dir(&dir).map_err(|err| unreadable(&dir, &err))?;
            for found in listing {
                let found = found.map_err(|err| unreadable(&dir, &err))?;
                let (name, path) = (found.file_name(), found.path());
                let kind = found.file_type().map_err(|err| unreadable(&path, &err))?;
                if name == ".git" || without.iter().any(|it| name == *it) {
                    continue;
                }
                if kind.is_dir() {
                    todo.push(path);
                } else if kind.is_file() {
                    files += 1;
                    if files > FILES {
                        return Err(SourceError::Limit { what: "a scratch repository".into(), limit: format!("{FILES} files") });
                    }
                    entries.push(self.blob(&path, &name)?);
                }
            }
        }
        // Longer paths sort behind their parents, so that every child is written before its parent is.
        while let Some((dir, mut entries)) = trees.pop_last() {
            if entries.is_empty() && dir != self.folder {
                continue;
            }
            entries.sort();
            let id = self.repo.write_object(Tree { entries }).map_err(|err| unwritable(&dir, cause(&err)))?.detach();
            match dir.parent().and_then(|it| trees.get_mut(it)).zip(dir.file_name()) {
                Some((siblings, name)) if dir != self.folder => {
                    siblings.push(Entry { mode: EntryKind::Tree.into(), filename: bytes(name), oid: id });
                }
                _ => return Ok(id),
            }
        }
        Ok(ObjectId::empty_tree(self.repo.object_hash()))
    }

    fn blob(&self, path: &Path, name: &std::ffi::OsStr) -> Result<Entry, SourceError> {
        let content = fs::read(path).map_err(|err| unreadable(path, &err))?;
        let mode = fs::metadata(path).map_err(|err| unreadable(path, &err))?.permissions().mode();
        let kind = if mode & 0o100 == 0 { EntryKind::Blob } else { EntryKind::BlobExecutable };
        let oid = self.repo.write_blob(content).map_err(|err| unwritable(path, cause(&err)))?.detach();
        Ok(Entry { mode: kind.into(), filename: bytes(name), oid })
    }
}

fn bytes(name: &std::ffi::OsStr) -> gix::bstr::BString {
    std::os::unix::ffi::OsStrExt::as_bytes(name).into()
}

fn unreadable(path: &Path, err: &std::io::Error) -> SourceError {
    SourceError::Unreadable { what: format!("`{}`", path.display()), cause: err.to_string() }
}

fn unwritable(path: &Path, cause: String) -> SourceError {
    SourceError::Unreadable { what: format!("the new repository in `{}`", path.display()), cause }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the real `git` says in `folder`.
    fn git(folder: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git").args(arguments).current_dir(folder).env("HOME", folder).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[test]
    fn git_finds_a_sound_repository_with_clean_files_and_two_commits() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("base/a.yaml", "a: 1\n");
        write("base-b/deep/er/c.yaml", "c: 1\n");
        write("base.yaml", "b: 1\n");
        write(".gitignore", "site/\n");
        write("site/out", "not in Git\n");
        fs::create_dir(folder.path().join("empty")).unwrap();
        let scratch = Scratch::init(folder.path(), "Mia", "mia@example.com").unwrap();
        let first = scratch.commit("First", &["site"]).unwrap();
        write("base/a.yaml", "a: 2\n");
        let second = scratch.commit("Second", &["site"]).unwrap();

        assert_eq!(git(folder.path(), &["fsck", "--strict"]), "");
        assert_eq!(git(folder.path(), &["status", "--porcelain"]), "");
        assert_eq!(
            git(folder.path(), &["log", "--format=%H %an <%ae> %s"]),
            format!("{second} Mia <mia@example.com> Second\n{first} Mia <mia@example.com> First")
        );
        assert_eq!(git(folder.path(), &["symbolic-ref", "HEAD"]), "refs/heads/main");
        assert_eq!(git(folder.path(), &["ls-files"]), ".gitignore\nbase-b/deep/er/c.yaml\nbase.yaml\nbase/a.yaml");
    }
}
