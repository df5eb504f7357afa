//! Tests of the source on repositories that the real `git` makes.

mod hostile;
mod local;
mod packs;
mod remote;
mod server;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Commit, Snapshot, Source, SourceError};

/// A repository in a folder of its own, gone when the test is over.
pub struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    pub fn new() -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap() };
        made.git(&["init", "-q", "-b", "main"]);
        made
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn git(&self, args: &[&str]) -> String {
        self.git_with(args, b"")
    }

    /// Runs `git`, which must succeed, and returns what it says, without the end of the last line.
    pub fn git_with(&self, args: &[&str], input: &[u8]) -> String {
        let mut child = git(self.path()).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Commits everything and returns the id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn source(&self) -> Source {
        Source::open(self.path()).unwrap()
    }

    pub fn head(&self) -> Snapshot {
        let source = self.source();
        source.snapshot(&source.resolve("HEAD").unwrap()).unwrap()
    }

    /// Stores any bytes as an object, valid or not.
    pub fn object(&self, kind: &str, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin", "--literally", "-t", kind], content)
    }

    /// Makes a tree of any entries (`mode`, name, id), valid or not, and commits it on `main`.
    pub fn commit_tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let tree = self.tree(entries);
        let commit = self.git(&["commit-tree", "-m", "by hand", &tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit
    }

    pub fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            raw.extend((0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
        }
        self.object("tree", &raw)
    }
}

/// The real `git`, deaf to the machine's configuration.
pub fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(dir)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
            [("NAME", "Ada Lovelace"), ("EMAIL", "ada@example.com"), ("DATE", "1700000000 +0100")]
                .map(|(what, value)| (format!("GIT_{who}_{what}"), value))
        }))
        .args(["-c", "protocol.file.allow=always", "-c", "core.autocrlf=false", "-c", "gc.auto=0"]);
    git
}

/// The paths of a listing, or its error as text.
pub fn paths(snapshot: &Snapshot, dir: &str) -> Result<Vec<String>, String> {
    snapshot.list(dir).map(|it| it.iter().map(|entry| entry.path.to_string()).collect()).map_err(|err| err.to_string())
}

pub fn text(snapshot: &Snapshot, path: &str) -> String {
    let entry = snapshot.find(path).unwrap().unwrap_or_else(|| panic!("`{path}` is not there"));
    String::from_utf8(snapshot.read(&entry, 1 << 20).unwrap().to_vec()).unwrap()
}

pub fn resolved(source: &Source, rev: &str) -> Result<String, SourceError> {
    source.resolve(rev).map(|Commit { id, .. }| id)
}
