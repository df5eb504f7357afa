//! What `trueup plugin dev` needs beside a build: the test's server, credentials for it, and to know when a source changed.
//!
//! Invariant: what is written here lies in `build/dev` of the project, readable for its owner alone; a user's own
//! credentials are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value as Json, json};

use super::build::process::{Running, Stop};
use super::project::{Credential, Test};
use crate::config::project::Project;
use crate::private;

/// Folder for what a run of `plugin dev` leaves, below the project's.
pub const FOLDER: &str = "build/dev";
/// How long a server may take to come up: it may have to be compiled first.
const COMES_UP: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a server's log that are shown.
const TAIL: u64 = 4096;
/// Files that are watched.
const WATCHED: usize = 20_000;
/// Folders that hold nothing that a person writes.
const NO_SOURCE: &[&str] = &["build", "target", "node_modules", "__pycache__", "dist"];

/// The test's server at a port; ended with the value.
#[derive(Debug)]
pub struct Server {
    running: Running,
    log: PathBuf,
}

/// Why a server is not there.
#[derive(Debug)]
pub enum ServerError {
    /// Something else listens at its port.
    Taken(u16),
    /// It cannot be started.
    Start(String, io::Error),
    /// It ended before it listened; the text is the end of what it said.
    Ended(String),
    /// It does not listen; the text is the end of what it said.
    Silent(u16, String),
    /// Stopped by a person.
    Interrupted,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken(port) => write!(f, "something listens on port {port} already"),
            Self::Start(program, error) => write!(f, "cannot start `{program}`: {error}"),
            Self::Ended(text) => write!(f, "the test's server ended before it listened: {text}"),
            Self::Silent(port, text) => {
                write!(f, "the test's server does not listen on port {port} after {} s: {text}", COMES_UP.as_secs())
            }
            Self::Interrupted => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for ServerError {}

impl Server {
    /// Starts the server of a test whose port is filled in, and waits until it accepts connections. None where the test has
    /// none.
    ///
    /// # Errors
    ///
    /// See [`ServerError`].
    pub fn start(folder: &Path, test: &Test, port: u16, stop: &Stop) -> Result<Option<Self>, ServerError> {
        let Some(server) = &test.server else { return Ok(None) };
        let Some((program, arguments)) = server.command.split_first() else { return Ok(None) };
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Err(ServerError::Taken(port));
        }
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => ServerError::Interrupted,
            _ => ServerError::Start(program.clone(), error),
        };
        let log = folder.join(FOLDER).join("server.log");
        private::folder(&folder.join(FOLDER)).map_err(failed)?;
        let out = File::create(&log).map_err(failed)?;
        let mut command = Command::new(program);
        command.args(arguments).envs(&server.env).current_dir(folder).stdout(out.try_clone().map_err(failed)?).stderr(out);
        let mut this = Self { running: Running::start(&mut command, stop).map_err(failed)?, log };
        let late = Instant::now() + COMES_UP;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if this.has_ended() {
                return Err(ServerError::Ended(this.tail()));
            }
            if Instant::now() >= late {
                return Err(ServerError::Silent(port, this.tail()));
            }
            if stop.within(PAUSE) {
                return Err(ServerError::Interrupted);
            }
        }
        Ok(Some(this))
    }

    /// Whether it is gone.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.running.ended(), Ok(None))
    }

    /// The end of what it said.
    pub fn tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.log)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            file.take(TAIL).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        match read() {
            Ok(text) if text.is_empty() => "it said nothing".to_owned(),
            Ok(text) => text,
            Err(error) => format!("its log cannot be read: {error}"),
        }
    }
}

/// The port of this machine that a project's providers send requests to, if they do.
pub fn port_of(example: &Project) -> Option<u16> {
    let hosts = example.providers.values().flat_map(|it| &it.hosts);
    let local = |it: &String| it.strip_prefix("http://127.0.0.1:").or_else(|| it.strip_prefix("http://localhost:"))?.parse().ok();
    hosts.filter_map(local).next()
}

/// A port that nobody listens on now.
///
/// # Errors
///
/// Those of the system.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Writes a `credentials.yaml` for the example, from what the test says of each slot and secret, and gives its path. A slot that
/// the test does not name is left out, and the engine says so.
///
/// # Errors
///
/// Those of the system.
pub fn write_credentials(folder: &Path, example: &Project, test: &Test) -> io::Result<PathBuf> {
    let place = folder.join(FOLDER);
    private::folder(&place)?;
    let mut written = 0_usize;
    let mut value = |text: &str| -> io::Result<Json> {
        written += 1;
        let file = place.join(format!("value-{written}"));
        private::write(&file, text.as_bytes())?;
        Ok(json!({ "file": file }))
    };
    let mut credentials = Map::new();
    for (name, slot) in names_of(example) {
        let only = test.credentials.values().next().filter(|_| test.credentials.len() == 1);
        let found = match &slot {
            Some(slot) => test.credentials.get(slot),
            None => only,
        };
        let mut entry = match found {
            None => continue,
            Some(Credential::Bearer(text)) => json!({ "bearer": value(text)? }),
            Some(Credential::Header(headers)) => {
                let headers = headers.iter().map(|(name, text)| Ok((name.clone(), value(text)?)));
                json!({ "header": headers.collect::<io::Result<Map<_, _>>>()? })
            }
            Some(Credential::Basic { user, password }) => {
                json!({ "basic": { "user": value(user)?, "password": value(password)? } })
            }
        };
        if let Some(map) = entry.as_object_mut() {
            map.insert("origins".to_owned(), json!(test.hosts));
        }
        credentials.insert(name, entry);
    }
    let secrets = test.secrets.iter().map(|(name, text)| Ok((name.clone(), value(text)?)));
    let secrets = secrets.collect::<io::Result<Map<_, _>>>()?;
    let file = place.join("credentials.yaml");
    // JSON is YAML.
    private::write(&file, format!("{:#}\n", json!({ "credentials": credentials, "secrets": secrets })).as_bytes())?;
    Ok(file)
}

/// The credentials that a project's providers name, each with its slot; none for a plugin's only one.
fn names_of(example: &Project) -> BTreeSet<(String, Option<String>)> {
    let providers = example.providers.values().chain(example.environments.values().flat_map(|it| it.providers.values()));
    let mut out = BTreeSet::new();
    for provider in providers {
        let slots = provider.credentials.iter().map(|(slot, names)| (names, Some(slot.clone())));
        for (names, slot) in provider.credential.iter().map(|it| (it, None)).chain(slots) {
            out.insert((names.read.clone(), slot.clone()));
            out.insert((names.write.clone(), slot));
        }
    }
    out
}

/// Every source of a project as it stands: when each was changed, and its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

/// What changed between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// `plugin.yaml`.
    pub settings: bool,
    /// What the test's server is made of: files and folders at the top whose names begin with `server`.
    pub server: bool,
    /// What the component is made of.
    pub plugin: bool,
    /// The example.
    pub example: bool,
}

impl Changed {
    /// Whether anything did.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl Sources {
    /// Looks at the sources below a folder: hidden files, and what tools leave behind, are none; links are not followed.
    pub fn of(folder: &Path) -> Self {
        let mut found = Self::default();
        found.look(folder, Path::new(""));
        found
    }

    fn look(&mut self, folder: &Path, below: &Path) {
        for entry in fs::read_dir(folder.join(below)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let text = name.to_string_lossy();
            let Ok(stat) = entry.metadata() else { continue };
            if text.starts_with('.') || text.ends_with('~') || self.0.len() >= WATCHED {
                continue;
            }
            let path = below.join(&name);
            if stat.is_dir() {
                if !NO_SOURCE.contains(&&*text) {
                    self.look(folder, &path);
                }
            } else if stat.is_file() && !text.ends_with(".lock") && text != "go.sum" {
                self.0.insert(path, (stat.modified().ok(), stat.len()));
            }
        }
    }

    /// What is another, new or gone in `later`.
    pub fn changed(&self, later: &Self) -> Changed {
        let mut out = Changed::default();
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(later.0.keys()).collect();
        for path in paths.into_iter().filter(|it| self.0.get(*it) != later.0.get(*it)) {
            let top = path.iter().next().map(|it| it.to_string_lossy()).unwrap_or_default();
            match &*top {
                super::project::FILE => out.settings = true,
                "example" => out.example = true,
                top if top.starts_with("server") => out.server = true,
                _ => out.plugin = true,
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::project::PluginProject;
    use super::*;

    fn test(server: &str) -> Test {
        let text = format!(
            "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {{name: a}}\nbuild: {{language: go}}\ntest:\n  server: {{command: {server}}}\n  hosts: [\"http://127.0.0.1:{{port}}\"]\n  credentials: {{token: {{bearer: pw-one}}, user: {{basic: {{user: eve, password: pw-two}}}}}}\n  secrets: {{hook: pw-three}}\n  objects: [{{kind: A, name: a, spec: {{}}}}]\n"
        );
        PluginProject::parse("plugin.yaml", text.as_bytes()).unwrap().test.unwrap()
    }

    #[test]
    fn a_server_that_ends_or_whose_port_is_taken_is_told_of_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let start = |command: &str, port| Server::start(folder.path(), &test(command), port, &Stop::default()).map(drop);
        let ended = start("[sh, -c, \"echo no such module >&2; exit 1\"]", free_port().unwrap()).unwrap_err();
        assert!(ended.to_string().ends_with("before it listened: no such module"), "{ended}");
        let missing = start("[/no/such/program]", free_port().unwrap()).unwrap_err();
        assert!(matches!(missing, ServerError::Start(..)), "{missing}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(matches!(start("[sleep, \"60\"]", port), Err(ServerError::Taken(it)) if it == port));
    }

    #[test]
    fn credentials_of_the_example_are_those_of_the_test_and_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let example = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: a, id: 4f0c9a3e4f0c9a3e4f0c9a3e4f0c9a3e}\nproviders:\n  a: {plugin: ./a.wasm, hosts: [\"http://127.0.0.1:81\"], credentials: {token: one, user: two, other: three}}\nenvironments: {dev: {layers: [base]}}\n";
        let example = Project::parse("trueup.yaml", example.as_bytes()).unwrap();
        assert_eq!(port_of(&example), Some(81));
        let file = write_credentials(folder.path(), &example, &test("[x]").at_port(81)).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("pw-"), "values stand in files of their own: {text}");
        let value: Json = serde_json::from_str(&text).unwrap();
        let names: Vec<&String> = value["credentials"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(value["credentials"]["one"]["origins"], json!(["http://127.0.0.1:81"]));
        let token = value["credentials"]["one"]["bearer"]["file"].as_str().unwrap();
        assert_eq!(fs::read_to_string(token).unwrap(), "pw-one");
        for path in [Path::new(token), &file] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        }
    }

    #[test]
    fn what_changed_says_what_to_do_anew() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        for path in ["plugin.yaml", "src/lib.rs", "server/main.go", "example/base/a.yaml", "build/a.wasm", ".git/HEAD"] {
            write(path, "1");
        }
        let check = |path: &str, want: Changed| {
            let before = Sources::of(folder.path());
            write(path, "other");
            assert_eq!(before.changed(&Sources::of(folder.path())), want, "{path}");
        };
        let nothing = Changed::default();
        check("src/lib.rs", Changed { plugin: true, ..nothing });
        check("new.py", Changed { plugin: true, ..nothing });
        check("server/main.go", Changed { server: true, ..nothing });
        check("server.py", Changed { server: true, ..nothing });
        check("example/base/a.yaml", Changed { example: true, ..nothing });
        check("plugin.yaml", Changed { settings: true, ..nothing });
        for path in ["build/a.wasm", ".git/HEAD", "target/x", "example/trueup.lock", "a/node_modules/x", "Cargo.lock"] {
            check(path, nothing);
        }
        let before = Sources::of(folder.path());
        fs::remove_file(folder.path().join("src/lib.rs")).unwrap();
        assert!(before.changed(&Sources::of(folder.path())).plugin);
    }
}
