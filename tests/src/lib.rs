//! Harness: a throw-away project (Git repository, target directory, state, user's home) and the real binary run on it.
//!
//! Nothing here looks into the engine: a test sees what a person sees, which is output, exit codes, and the world.

/// A Git server over HTTP, as the engine's own tests of its sources use it.
#[path = "../../engine/src/source/tests/server.rs"]
pub mod git_server;
pub mod guests;
pub mod kubernetes;
pub mod published;
pub mod servers;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use serde_json::Value as Json;

/// Project file of most tests: one file provider on `./site`, one environment.
pub const PROJECT: &str = r#"apiVersion: trueup.dev/v1
kind: Project
metadata: {name: shop, id: 4f0c9a000000000000000000000000aa}
providers:
  site: {plugin: file, config: {root: ./site}, dirs: ["./site"]}
environments:
  prod: {layers: [base]}
"#;

/// A project in a temporary folder; gone with the value.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// A repository with [`PROJECT`] and an empty layer `base`, nothing committed yet.
    pub fn new() -> Self {
        Self::with(PROJECT)
    }

    /// A repository with this project file.
    pub fn with(project: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-test-").tempdir().expect("a temporary folder");
        let this = Self { folder };
        fs::create_dir_all(this.repo()).expect("a folder for the repository");
        fs::create_dir_all(this.home()).expect("a folder for the home");
        this.git(&["init", "-q", "-b", "main"]);
        this.git(&["config", "user.name", "Mia"]);
        this.git(&["config", "user.email", "mia@example.com"]);
        this.git(&["config", "commit.gpgsign", "false"]);
        this.write("trueup.yaml", project);
        this.write(".gitignore", "/site/\n.trueup/\n");
        this
    }

    /// Work tree of the repository; the project's root.
    pub fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// The directory that the provider `site` keeps.
    pub fn site(&self) -> PathBuf {
        self.repo().join("site")
    }

    /// `HOME` of every run.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Folder of the operator's configuration, in [`Project::home`].
    pub fn config(&self) -> PathBuf {
        self.home().join(".config/trueup")
    }

    /// Writes a file of the operator's configuration, readable for its owner alone; its path.
    pub fn configure(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.config().join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
        private(&file, content);
        file
    }

    /// Folder that holds everything, for files of the test's own.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the repository.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let file = self.repo().join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
        fs::write(&file, content).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self
    }

    /// Declares one file: `base/<name>.yaml` with path and content.
    pub fn declare(&self, name: &str, path: &str, content: &str) -> &Self {
        self.write(&format!("base/{name}.yaml"), document(name, path, content))
    }

    /// Deletes a file of the repository.
    pub fn remove(&self, path: &str) -> &Self {
        fs::remove_file(self.repo().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        self
    }

    /// Commits everything and returns the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs Git in the repository and returns what it printed.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.repo())
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The binary with these arguments, ready to be changed and run.
    pub fn command<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Command {
        let mut command = self.program(&binary());
        command.args(arguments);
        command
    }

    /// A program in the surroundings of every run.
    fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.repo()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.home()).env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("XDG_CACHE_HOME", cache()).env("TZ", "UTC").env("LANG", "C.UTF-8");
        command
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub fn run<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Run {
        Run::of(self.command(arguments).output().expect("the binary runs"))
    }

    /// Runs the binary on a terminal of its own, where `typed` is typed; what it says on either stream is the standard output.
    #[track_caller]
    pub fn at_terminal(&self, line: &str, typed: &str) -> Run {
        let line = format!("{} {line}", binary().display());
        let mut command = self.program(Path::new("script"));
        command.args(["-qec", &line, "/dev/null"]).envs([("NO_COLOR", "1"), ("TERM", "xterm")]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("script runs (Debian: bsdutils)");
        child.stdin.take().expect("a pipe").write_all(typed.as_bytes()).expect("somebody reads");
        Run::of(child.wait_with_output().expect("script ends"))
    }

    /// `apply --yes`, which must succeed.
    #[track_caller]
    pub fn apply(&self) -> Run {
        self.run(&["apply", "--yes"]).expect_exit(0)
    }

    /// `plan -o json`, whatever its exit code.
    #[track_caller]
    pub fn plan(&self) -> Json {
        self.run(&["plan", "-o", "json"]).json()
    }

    /// The site as it is: paths, with content; directories end with `/`; symbolic links show their target.
    pub fn world(&self) -> BTreeMap<String, String> {
        tree(&self.site())
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

/// A `File` document.
pub fn document(name: &str, path: &str, content: &str) -> String {
    format!(
        "apiVersion: site/v1\nkind: File\nmetadata: {{name: {name}}}\nspec:\n  path: {path}\n  content: {}\n",
        Json::from(content)
    )
}

/// What stands below a folder; see [`Project::world`].
pub fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() {
                found.insert(format!("{name}/"), String::new());
                todo.push(path);
            } else if kind.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).expect("a link").display()));
            } else {
                found.insert(name, String::from_utf8_lossy(&fs::read(&path).expect("a readable file")).into_owned());
            }
        }
    }
    found
}

/// The real `git`, deaf to the machine's configuration: what [`git_server`] serves with.
pub(crate) fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder).env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    git.env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1");
    git
}

/// Writes a file that only its owner may read.
pub fn private(file: &Path, content: impl AsRef<[u8]>) {
    fs::write(file, content).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a file of ours");
}

/// Permission bits of a file.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o7777
}

/// What a run of the binary left.
#[derive(Clone, Debug)]
pub struct Run {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect_exit(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard output and standard error hold all of these.
    #[track_caller]
    pub fn expect_text(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part) || self.stderr.contains(part), "`{part}` is missing\n{self}");
        }
        self
    }

    #[track_caller]
    pub fn expect_no_text(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(!self.stdout.contains(part) && !self.stderr.contains(part), "`{part}` is there\n{self}");
        }
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not one JSON value: {error}\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// The binary under test: beside the test's own executable, where cargo puts both.
pub fn binary() -> PathBuf {
    let own = env::current_exe().expect("the test's own path");
    let folder = own.ancestors().nth(2).expect("the folder of the profile");
    let file = folder.join("trueup");
    assert!(
        file.exists(),
        "{} is missing: build it with `cargo build --release -p trueup --features trueup/killpoints`",
        file.display()
    );
    file
}

/// Folder for compiled plugins, shared by all tests of a build, so that each plugin is compiled once.
fn cache() -> PathBuf {
    binary().with_file_name("test-cache")
}

/// Whether the full counts were asked for (`tests/run --long`).
pub fn long() -> bool {
    env::var_os("TRUEUP_TEST_LONG").is_some()
}
