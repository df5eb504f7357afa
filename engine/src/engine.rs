//! Opens a project: finds its source, reads its settings, checks its rights, loads its plugins. What the verbs stand on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trueup_core::address::Address;
use trueup_core::diagnostic::{Code, Diagnostic, Location, codes};
use trueup_core::manifest::Manifest;
use trueup_core::value::Digest;
use trueup_host as host;

use crate::config::credentials::Credentials;
use crate::config::lock::{self, Lock as Pins};
use crate::config::paths::Folders;
use crate::config::project::{self, Environment, Project};
use crate::config::trust::{Rights, TrustRecord};
use crate::recording::Tape;
use crate::source::{Commit, FetchLimits, Remote, RemoteUrl, Snapshot, Source, SourceError};
use crate::store::lock::{Lock, Refused};
use crate::store::{SqliteStore, Store, StoreError};

pub mod kinds;
mod providers;
mod surroundings;
mod target;

pub use kinds::Wanted;
pub use providers::{counting_runtime, load_plugin, read_component, repository, runtime};
pub use surroundings::{Reading, now_ms};

/// Bytes of the project file and of the lock.
const MAX_SETTINGS: u64 = 4 << 20;

/// Where a project is, and what the operator gives it: the command line's global options.
#[derive(Clone, Debug, Default)]
pub struct Where {
    /// `-C`: the project's folder, or one below it.
    pub directory: Option<PathBuf>,
    /// `--source`: a Git remote instead of a folder.
    pub source: Option<String>,
    /// `--path`: the project's folder inside the source.
    pub path: Option<String>,
    pub state: Option<PathBuf>,
    pub credentials: Option<PathBuf>,
    /// Trust for this run.
    pub trust: bool,
    /// `--rev`: what to take documents from; settings always come from the protected branch.
    pub rev: Option<String>,
    /// `--worktree`: uncommitted files too.
    pub worktree: bool,
    /// What the run is kept in, or replayed from.
    pub tape: Option<Tape>,
}

/// Why a project cannot be worked with.
#[derive(Debug)]
pub enum Problem {
    Findings(Vec<Diagnostic>),
    Source(SourceError),
    Store(StoreError),
    /// Rights that nobody trusted yet.
    Untrusted(Box<Rights>),
    /// Wrong use: an environment that does not exist, a missing choice.
    Usage(String),
    /// The environment is locked by another run; the words say by whom.
    Locked(String),
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Vec<Diagnostic>> for Problem {
    fn from(findings: Vec<Diagnostic>) -> Self {
        Self::Findings(findings)
    }
}

impl From<crate::pass::PassError> for Problem {
    fn from(error: crate::pass::PassError) -> Self {
        match error {
            crate::pass::PassError::Documents(findings) => Self::Findings(findings),
            crate::pass::PassError::Store(error) => Self::Store(error),
        }
    }
}

/// The code under which people are told of a failure of this nature: by whose fault it is, where that is known.
pub(crate) fn code_of(fault: host::Fault, otherwise: Code) -> Code {
    match fault {
        host::Fault::Contract => codes::PLUGIN_CONTRACT,
        host::Fault::Crash => codes::PLUGIN_CALL,
        host::Fault::Denied => codes::DENIED,
        _ => otherwise,
    }
}

/// A provider of the environment, ready to be called. Cheap to clone.
#[derive(Clone)]
pub struct Bound {
    pub alias: Arc<str>,
    pub manifest: Arc<Manifest>,
    pub provider: host::Provider,
    /// What it acts on, as text that is the same for every alias and environment that reach the same system.
    pub target: Arc<str>,
    /// Secret names it was granted.
    pub secrets: Arc<[String]>,
}

impl Bound {
    /// The address of a rendered object within an environment. What a document calls an object without a name is nobody else's
    /// business: another environment has a `Vpc/main` of its own at the same place.
    pub fn keyed(&self, environment: &str, mut address: Address) -> Address {
        if self.manifest.kinds.get(&*address.scope.kind).is_some_and(|it| it.nameless) {
            address.key = format!("{environment}/{}", address.key).into();
        }
        address
    }

    /// Calls that may run at a time.
    pub fn parallel(&self) -> usize {
        self.provider.parallel() as usize
    }

    /// Changes that one call may carry, for the kind that takes most.
    pub fn batch(&self) -> usize {
        let items = self.manifest.kinds.values().filter_map(|it| it.batch).map(|it| it.items);
        items.max().unwrap_or(1).max(1) as usize
    }

    /// Whether the plugin renders declarations itself.
    pub fn renders(&self) -> bool {
        self.provider.plugin().exports().rendering
    }

    /// Whether the plugin wants a say in the plan.
    pub fn refines(&self) -> bool {
        self.provider.plugin().exports().planning
    }

    /// Digest of its plugin.
    pub fn digest(&self) -> Digest {
        *self.provider.plugin().digest()
    }

    /// Facts for a call of a pass that began at `now`.
    pub fn call(&self, now: u64) -> host::CallInfo {
        host::CallInfo { now_ms: now, budget_ms: 0, trace: String::new() }
    }
}

/// Providers by alias.
pub type Providers = BTreeMap<Arc<str>, Bound>;

/// An opened project.
pub struct Engine {
    pub project: Project,
    pub source: Source,
    /// Tip of the protected branch (or the worktree): where settings come from.
    pub protected: Arc<Snapshot>,
    /// What documents come from.
    pub snapshot: Arc<Snapshot>,
    /// The project's folder on disk; paths of directories and plugins are relative to it.
    pub root: PathBuf,
    pub pins: Pins,
    place: Where,
    state: PathBuf,
}

impl Engine {
    /// Finds and reads the project. Grants nothing and runs no plugin.
    ///
    /// # Errors
    ///
    /// Where there is no project, no commit, or its settings are wrong.
    pub fn open(mut place: Where) -> Result<Self, Problem> {
        place.source = place.source.map(real);
        let (source, root, protected, snapshot) = match &place.source {
            Some(url) => open_remote(url, &place)?,
            None => open_local(&place)?,
        };
        let text = settings(&protected, project::FILE)?.ok_or_else(|| {
            let text = format!("{} is not committed at {}", project::FILE, protected.revision());
            let hint = match place.source {
                Some(_) => "name the folder of the project inside the source with --path, or commit it there",
                None => "commit it, or use --worktree",
            };
            Problem::Findings(vec![Diagnostic::error(codes::PROJECT, text).hint(hint)])
        })?;
        let project = Project::parse(project::FILE, &text)?;
        let pins = match settings(&protected, lock::FILE)? {
            Some(text) => Pins::parse(&text).map_err(|finding| Problem::Findings(vec![*finding]))?,
            None => Pins::default(),
        };
        let state = match (&place.state, &place.source) {
            (Some(file), _) => file.clone(),
            (None, Some(_)) => folders()?.state_of(&project.id),
            (None, None) => crate::store::default_path(&root),
        };
        Ok(Self { project, source, protected, snapshot, root, pins, place, state })
    }

    /// The environment of that name, or the only one.
    ///
    /// # Errors
    ///
    /// Usage where the name is missing or unknown; findings where its settings are wrong.
    pub fn environment(&self, name: Option<&str>) -> Result<Environment, Problem> {
        let names: Vec<&str> = self.project.environments.keys().map(String::as_str).collect();
        let name = match (name, names.as_slice()) {
            (Some(name), _) if names.contains(&name) => name,
            (Some(name), _) => return Err(self.no_environment(name)),
            (None, [only]) => only,
            (None, _) => return Err(Problem::Usage(format!("which environment? give one with -e: {}", names.join(", ")))),
        };
        Ok(self.project.environment(name)?)
    }

    /// A name that no environment has.
    pub fn no_environment(&self, name: &str) -> Problem {
        let names: Vec<&str> = self.project.environments.keys().map(String::as_str).collect();
        Problem::Usage(format!("there is no environment `{name}`; there are {}", names.join(", ")))
    }

    /// Where a variable of an environment is written.
    pub fn place_of_variable(&self, environment: &str, name: &str) -> Option<Location> {
        let text = settings(&self.protected, project::FILE).ok()??;
        project::place_of_variable(&text, environment, name)
    }

    /// What of the settings is not what a reader of them would expect.
    /// `store` is the open state.
    pub fn warnings(&self, environment: &Environment, store: &dyn Store) -> Vec<Diagnostic> {
        let after = (!environment.after.is_empty()).then(|| {
            let text = format!(
                "`{}` is to come after {}, and this version does not wait: it applies an environment when it is told to",
                environment.name,
                environment.after.join(", ")
            );
            Diagnostic::warning(codes::PROJECT, text).at(environment.location.clone())
        });
        let owners = store.environments().unwrap_or_default();
        let gone = owners.into_iter().filter(|it| !self.project.environments.contains_key(it)).map(|it| {
            let text = format!(
                "the environment `{it}` is gone from {}, and it still owns objects: they stay as they are, and are no other's",
                project::FILE
            );
            let hint = format!("put it back, or release them with `trueup forget -e {it} 'ALIAS:*'`; nothing is deleted by that");
            Diagnostic::warning(codes::PROJECT, text).hint(hint)
        });
        gone.chain(after).chain(self.other_settings().ok().flatten()).collect()
    }

    /// Says where the settings of the revision are others than those that are used: rights come from no branch that was not
    /// reviewed, and so nothing of the file does.
    fn other_settings(&self) -> Result<Option<Diagnostic>, Problem> {
        if self.place.rev.is_none() || settings(&self.snapshot, project::FILE)? == settings(&self.protected, project::FILE)? {
            return Ok(None);
        }
        let short = |it: &Snapshot| it.commit().map_or_else(|| it.revision(), |it| it.short().to_owned());
        let (asked, used) = (short(&self.snapshot), short(&self.protected));
        let text = format!(
            "{} of {asked} is another one than that of {used}, which is used: its providers, layers and variables",
            project::FILE
        );
        let hint = "what a revision changes in it takes effect once it is checked out or merged";
        Ok(Some(Diagnostic::warning(codes::PROJECT, text).hint(hint)))
    }

    /// Commit, `+worktree` where files came from there.
    pub fn revision(&self) -> String {
        self.snapshot.revision()
    }

    /// The commit of documents, where there is one.
    pub fn commit(&self) -> Option<&Commit> {
        self.snapshot.commit()
    }

    /// What the run is kept in, or replayed from.
    pub fn tape(&self) -> Option<&Tape> {
        self.place.tape.as_ref()
    }

    /// Where the state lies.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Whether anything was ever recorded. A file that was named has a folder, at least: nothing is made on a misspelt way.
    ///
    /// # Errors
    ///
    /// Where that cannot be told.
    pub fn has_state(&self) -> Result<bool, Problem> {
        let cannot = |path: &Path, error: &dyn std::fmt::Display| {
            let text = format!("cannot look for the state in `{}`: {error}", path.display());
            Problem::Findings(vec![
                Diagnostic::error(codes::STORE, text).hint("make the folder, or name another file with --state"),
            ])
        };
        let named = self.place.state.as_deref().filter(|it| **it != crate::store::default_path(&self.root));
        if let Some(folder) = named.and_then(Path::parent).filter(|it| !it.as_os_str().is_empty()) {
            match folder.try_exists() {
                Ok(true) => {}
                Ok(false) => return Err(cannot(&self.state, &format_args!("the folder `{}` does not exist", folder.display()))),
                Err(error) => return Err(cannot(&self.state, &error)),
            }
        }
        self.state.try_exists().map_err(|error| cannot(&self.state, &error))
    }

    /// Opens the state, made where it is missing.
    ///
    /// # Errors
    ///
    /// Those of the store, and those of [`Engine::has_state`].
    pub fn store(&self) -> Result<Arc<SqliteStore>, Problem> {
        self.state_is_ours()?;
        self.has_state()?;
        Ok(Arc::new(SqliteStore::open(&self.state, &self.project.id)?))
    }

    /// State that came with the project is somebody else's word on what may be deleted here.
    fn state_is_ours(&self) -> Result<(), Problem> {
        let folder = self.state.parent().filter(|it| it.starts_with(&self.root)).and_then(|it| it.strip_prefix(&self.root).ok());
        let Some(folder) = folder.and_then(Path::to_str).filter(|it| !it.is_empty()) else { return Ok(()) };
        let committed = match self.place.worktree {
            true => {
                self.source.resolve("HEAD").and_then(|head| self.source.snapshot(&head)).ok().and_then(|it| it.tree_id(folder))
            }
            false => self.protected.tree_id(folder),
        };
        if committed.is_none() {
            return Ok(());
        }
        let text = format!("`{folder}`, where the state lies, is committed: it would decide here what is owned and deleted");
        let hint = format!(
            "take it out of Git with `git rm -r --cached {folder}` and add it to .gitignore, or give another file with --state"
        );
        Err(Problem::Findings(vec![Diagnostic::error(codes::UNTRUSTED, text).hint(hint)]))
    }

    /// Takes the lock of an environment; freed with the value, or by the process's end.
    ///
    /// # Errors
    ///
    /// [`Problem::Locked`] where another run holds it.
    pub fn lock(&self, environment: &str) -> Result<Lock, Problem> {
        crate::store::lock::lock(&self.state, environment).map_err(|refused| match refused {
            Refused::Held { .. } => Problem::Locked(refused.to_string()),
            Refused::Failed(error) => Problem::Store(error),
        })
    }

    /// The operator's credentials; empty where there is no file.
    ///
    /// # Errors
    ///
    /// Where the file is open to others, or wrong.
    pub fn credentials(&self) -> Result<Credentials, Problem> {
        credentials(&self.place)
    }

    /// The project's real path, or its source's URL: what trust is recorded by.
    pub fn place(&self) -> String {
        match &self.place.source {
            Some(url) => format!("{url}#{}", self.place.path.as_deref().unwrap_or_default()),
            None => self.root.display().to_string(),
        }
    }

    /// All that the project asks for, over all its environments.
    pub fn rights(&self) -> Rights {
        match self.place.source {
            Some(_) => Rights::without_checkout(&self.project, &self.root, &self.pins),
            None => Rights::of(&self.project, &self.root, &self.pins),
        }
    }

    /// What the operator trusted so far.
    ///
    /// # Errors
    ///
    /// Where the record is open to others, or not what was written.
    pub fn trust_record(&self) -> Result<TrustRecord, Problem> {
        TrustRecord::open(&folders()?.trust())
            .map_err(|error| Problem::Findings(vec![Diagnostic::error(codes::UNTRUSTED, error.to_string())]))
    }

    /// Passes only where everything asked for is free, was trusted before, or is trusted for this run.
    ///
    /// # Errors
    ///
    /// [`Problem::Untrusted`] with all that is asked.
    pub fn check_trust(&self) -> Result<(), Problem> {
        let rights = self.rights();
        if self.place.trust || !rights.needs_trust() || self.trust_record()?.covers(&self.place(), &self.project.id, &rights) {
            return Ok(());
        }
        Err(Problem::Untrusted(Box::new(rights)))
    }

    /// Trusts for this run what was shown to a person.
    pub fn trust_for_this_run(&mut self) {
        self.place.trust = true;
    }
}

/// The operator's folders.
///
/// # Errors
///
/// Where not even `HOME` is set.
pub fn folders() -> Result<Folders, Problem> {
    Folders::of_user().ok_or_else(|| usage("neither HOME nor the XDG variables are set: where do your settings lie?"))
}

fn credentials(place: &Where) -> Result<Credentials, Problem> {
    let file = match &place.credentials {
        Some(file) => file.clone(),
        None => folders()?.credentials(),
    };
    Ok(Credentials::open(&file, place.credentials.is_some())?)
}

fn usage(text: impl ToString) -> Problem {
    Problem::Usage(text.to_string())
}

/// What opening a project finds: its source, its folder, and the snapshots of settings and of documents.
type Opened = (Source, PathBuf, Arc<Snapshot>, Arc<Snapshot>);

/// The project in a folder here.
fn open_local(place: &Where) -> Result<Opened, Problem> {
    let start = match &place.directory {
        Some(directory) => directory.clone(),
        None => std::env::current_dir().map_err(|error| usage(format!("the current folder cannot be found: {error}")))?,
    };
    let start = start.canonicalize().map_err(|error| usage(format!("{}: {error}", start.display())))?;
    let root = start.ancestors().find(|it| it.join(project::FILE).exists());
    let root = root.map(Path::to_path_buf).ok_or_else(|| {
        let text = format!("there is no {} in {} or above it", project::FILE, start.display());
        Problem::Findings(vec![Diagnostic::error(codes::PROJECT, text).hint("run `trueup init`, or say where with -C")])
    })?;
    if place.worktree {
        let source = Source::open_worktree(&root)?;
        let snapshot = Arc::new(source.worktree()?);
        return Ok((source, root, snapshot.clone(), snapshot));
    }
    let source = Source::open(&root)?;
    let protected = Arc::new(source.snapshot(&source.resolve("HEAD")?)?);
    let snapshot = match &place.rev {
        Some(rev) => Arc::new(source.snapshot(&source.resolve(rev)?)?),
        None => protected.clone(),
    };
    Ok((source, root, protected, snapshot))
}

/// A source on this machine by its real path: what is trusted must not depend on where somebody stands.
fn real(url: String) -> String {
    match RemoteUrl::parse(&url, true) {
        Ok(RemoteUrl::Local(path)) => {
            path.canonicalize().ok().and_then(|it| it.into_os_string().into_string().ok()).unwrap_or(url)
        }
        _ => url,
    }
}

/// Fetches the source and opens it in its cache.
fn open_remote(url: &str, place: &Where) -> Result<Opened, Problem> {
    if place.worktree {
        return Err(usage("--worktree needs a folder: a project from --source has none"));
    }
    let url: RemoteUrl = RemoteUrl::parse(url, true)?;
    let remote = match &url {
        RemoteUrl::Http(it) => credentials(place)?.remote(it)?,
        RemoteUrl::Local(_) => Remote { url, headers: Vec::new(), ca: None },
    };
    let (cache, limits) = (folders()?.cache.join("git"), FetchLimits::default());
    let fetch = |rev: Option<&str>| -> Result<(Source, Arc<Snapshot>), Problem> {
        let (source, commit) = Source::fetch(&remote, rev, &cache, &limits)?;
        let source = match &place.path {
            Some(path) => source.within(path)?,
            None => source,
        };
        let snapshot = Arc::new(source.snapshot(&commit)?);
        Ok((source, snapshot))
    };
    // Settings come from the default branch, whatever revision documents come from. Names of the server mean nothing in the
    // cache, so that each fetch says itself which commit it was.
    let (source, protected) = fetch(None)?;
    let (source, snapshot) = match &place.rev {
        Some(rev) => fetch(Some(rev))?,
        None => (source, protected.clone()),
    };
    // A folder of our own stands for the project's, so that nothing of the operator's is free because of where he stands.
    let name = Digest::of(format!("{}#{}", remote.url, place.path.as_deref().unwrap_or_default()).as_bytes()).to_string();
    let root = folders()?.state.join("sources").join(name.get(..32).unwrap_or(&name));
    Ok((source, root, protected, snapshot))
}

/// The text of a settings file at the root of the project.
fn settings(snapshot: &Snapshot, name: &str) -> Result<Option<Arc<[u8]>>, Problem> {
    match snapshot.find(name)? {
        Some(entry) if entry.kind == crate::source::EntryKind::File => Ok(Some(snapshot.read(&entry, MAX_SETTINGS)?)),
        Some(_) => Err(usage(format!("{name} is not an ordinary file"))),
        None => Ok(None),
    }
}
