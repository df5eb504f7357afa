//! What most verbs begin with: the project opened, one environment chosen, failures in words.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use trueup_core::address::ResourceId;
use trueup_core::diagnostic::{Diagnostic, Location, codes};
use trueup_core::document::{NameFault, Shortener};
use trueup_core::plan::Options;
use trueup_core::value::Path;

use super::Shell;
use super::arguments::RevisionArgs;
use super::ask;
use super::error::{CliError, Texts};
use super::exit::Exit;
use crate::config::project::Environment;
use crate::config::trust::Rights;
use crate::desired::Desired;
use crate::engine::{Engine, Problem, Wanted, Where};
use crate::output::clean::clean;
use crate::output::json;
use crate::output::progress::{Phase, Progress};
use crate::output::style::Tone;
use crate::pass::{Planned, Surroundings};
use crate::recording::Tape;
use crate::regular;
use crate::services::Denials;
use crate::source::Snapshot;
use crate::store::StoreError;

/// Bytes of a file shown beside a finding.
const TEXT: u64 = 16 << 20;
/// Resources of a plan whose values are said to stand somewhere.
const PLACED: usize = 200;
/// Files of an environment up to which uncommitted ones are looked for when nobody watches.
const LOOKED_AT: usize = 2_000;
/// What is said while providers are asked what there is.
pub const LOOKING: &str = "looking at what there is";
const READING: &str = "reading documents";

/// An opened project and the environment that a verb is about.
pub struct Session {
    pub engine: Engine,
    pub environment: Environment,
    pub denials: Arc<Denials>,
    progress: Progress,
    /// What plugins were refused while the plan was made, for people.
    planning: Mutex<Vec<Diagnostic>>,
}

impl Session {
    /// Opens the project that the global options name, and the environment.
    pub fn open(shell: &Shell<'_>, revision: &RevisionArgs) -> Result<Self, CliError> {
        Self::taped(shell, revision, None)
    }

    /// As [`Session::open`], for a run that is recorded or replayed.
    pub fn taped(shell: &Shell<'_>, revision: &RevisionArgs, tape: Option<Tape>) -> Result<Self, CliError> {
        let engine = open_taped(shell, revision, tape)?;
        let environment = engine.environment(shell.global.environment.as_deref());
        let environment = environment.map_err(|it| failure(it, Some(&engine.protected)))?;
        Ok(Self { engine, environment, denials: Arc::default(), progress: before_steps(shell), planning: Mutex::default() })
    }

    /// Reading of documents, until the value is dropped or says that it is something else.
    pub fn reading(&self) -> Phase {
        self.progress.phase(READING)
    }

    /// What a pass needs. Asks for trust on a terminal where it is missing.
    pub async fn surroundings(&mut self, shell: &mut Shell<'_>, options: Options) -> Result<Surroundings, CliError> {
        self.surroundings_with(Wanted::Used, shell, options).await
    }

    /// As [`Session::surroundings`], for who asks for other kinds than documents do.
    pub async fn surroundings_with(
        &mut self,
        wanted: Wanted,
        shell: &mut Shell<'_>,
        options: Options,
    ) -> Result<Surroundings, CliError> {
        if let Err(problem) = self.engine.check_trust() {
            self.ask_for_trust(problem, shell)?;
        }
        let around = self.engine.surroundings_with(&self.environment, wanted, options, self.denials.clone()).await;
        around.map_err(|it| self.failure(it))
    }

    fn ask_for_trust(&mut self, problem: Problem, shell: &mut Shell<'_>) -> Result<(), CliError> {
        let Problem::Untrusted(rights) = &problem else { return Err(self.failure(problem)) };
        if shell.output.interactive {
            let text = super::trust::list(rights, &shell.output.err_style);
            shell.output.error(&format!("This project asks for:\n{text}"));
            if ask::confirm(shell.output, "Trust it with this, from now on?") {
                super::trust::record(&self.engine, rights)?;
                self.engine.trust_for_this_run();
                return Ok(());
            }
        }
        Err(self.failure(problem))
    }

    /// Plans; findings of documents become the error.
    pub async fn plan(&self, around: &Surroundings) -> Result<Planned, CliError> {
        let phase = self.reading();
        let planned = crate::pass::plan(around, &|| phase.now(LOOKING)).await;
        planned.map_err(|it| self.failure(Problem::from(it)))
    }

    /// A failure of the engine in words.
    pub fn failure(&self, problem: Problem) -> CliError {
        failure(problem, Some(&self.engine.snapshot))
    }

    /// Lines of the revision, for findings.
    pub fn texts(&self) -> Texts {
        texts(&self.engine.snapshot)
    }

    /// The plan for people and programs, with refusals of the sandbox among its findings.
    pub fn shape(&self, around: &Surroundings, planned: &Planned) -> json::Plan {
        let short = planned.short.clone();
        let mut changed: Vec<ResourceId> =
            planned.plan.steps.iter().filter(|it| !it.changes.is_empty()).map(|it| it.resource.clone()).collect();
        changed.sort_unstable();
        changed.dedup();
        changed.truncate(PLACED);
        let places = Places(planned.desired.places(&around.context, &changed));
        let mut diagnostics = planned.diagnostics.clone();
        let denied = self.denied();
        self.planning.lock().unwrap_or_else(PoisonError::into_inner).extend(denied.iter().cloned());
        diagnostics.extend(denied);
        let (counts, read) = (&planned.desired.counts, &planned.observation.read);
        let work = json::Work {
            files: counts.files,
            files_parsed: counts.files_parsed,
            resources: counts.resources,
            evaluated: counts.evaluated,
            scopes: read.scopes,
            scopes_unchanged: read.unchanged,
            objects: read.objects,
        };
        let plan = json::Plan::new(
            &planned.plan,
            &json::PlanContext {
                project: &self.engine.project.name,
                environment: &self.environment.name,
                revision: &around.revision,
                branch: self.engine.commit().and_then(|it| it.branch.as_deref()),
                shorten: &|id| short.shorten(id),
                locate: &|id, path| places.find(id, path),
                diagnostics: &diagnostics,
            },
        );
        json::Plan { work: Some(work), ..plan }
    }

    /// What plugins were refused while [`Session::shape`]'s plan was made.
    pub fn refused_while_planning(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut *self.planning.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What plugins were refused since this was last asked, as findings.
    pub fn denied(&self) -> Vec<Diagnostic> {
        let finding = |it: trueup_host::Denial| {
            let text = format!("provider `{}` was refused `{}` in its `{}`: {}", it.provider, it.import, it.function, it.text);
            Diagnostic::warning(codes::DENIED, text)
        };
        self.denials.take().into_iter().map(finding).collect()
    }

    /// Says which uncommitted files are not part of what is looked at: documents, files that they name, and the settings.
    pub fn hint_uncommitted(&self, desired: &Desired, shell: &mut Shell<'_>) {
        let named: BTreeSet<&str> = desired.named_files().collect();
        let watched = shell.output.interactive || desired.counts.files.saturating_add(named.len()) <= LOOKED_AT;
        if shell.output.quiet || !watched || self.engine.snapshot.is_worktree() || shell.global.source.is_some() {
            return;
        }
        let mut paths: Vec<&str> = self.environment.layers.iter().map(String::as_str).collect();
        paths.extend([crate::config::project::FILE, crate::config::lock::FILE]);
        paths.extend(named);
        // What is not committed is so whatever revision is looked at: other commits differ from the files anyway.
        let modified = self.engine.source.modified_below(&self.engine.protected, &paths);
        if modified.is_empty() {
            return;
        }
        let names: Vec<_> = modified.iter().take(5).map(|it| clean(it)).collect();
        let more = modified.len().checked_sub(5).filter(|it| *it > 0).map(|it| format!(" and {it} more")).unwrap_or_default();
        let text = format!("not committed, so not part of this: {}{more}; --worktree takes them\n", names.join(", "));
        let text = shell.output.err_style.paint(Tone::Change, text).into_owned();
        shell.output.note(&text);
    }
}

/// Where values stand, by resource.
struct Places(HashMap<ResourceId, Vec<(Path, Location)>>);

impl Places {
    /// The place of the value at `path`, else of the nearest value above it, else of the first below it.
    fn find(&self, id: &ResourceId, path: &Path) -> Option<Location> {
        let places = self.0.get(id)?;
        let above = places.iter().filter(|(it, _)| it.covers(path)).max_by_key(|(it, _)| it.0.len());
        above.or_else(|| places.iter().find(|(it, _)| path.covers(it))).map(|(_, place)| place.clone())
    }
}

/// Progress of what comes before any step; programs are not told of it.
fn before_steps(shell: &Shell<'_>) -> Progress {
    let output = &*shell.output;
    Progress::new(output.err_style, output.animated, output.quiet || output.format.is_object())
}

/// As [`Session::reading`], for who opens no project of the operator's.
pub fn reading(shell: &Shell<'_>) -> Phase {
    before_steps(shell).phase(READING)
}

/// Opens the project without choosing an environment.
pub fn open(shell: &Shell<'_>, revision: &RevisionArgs) -> Result<Engine, CliError> {
    open_taped(shell, revision, None)
}

fn open_taped(shell: &Shell<'_>, revision: &RevisionArgs, tape: Option<Tape>) -> Result<Engine, CliError> {
    let global = &shell.global;
    if revision.rev.as_deref() == Some("") {
        return Err(CliError::usage("the value of --rev is empty").hint("leave it out for the newest commit"));
    }
    if global.path.is_some() && global.source.is_none() {
        return Err(CliError::usage("--path needs --source").hint("for a folder here, give it with -C"));
    }
    let place = Where {
        directory: global.directory.clone(),
        source: global.source.clone(),
        path: global.path.clone(),
        state: global.state.clone(),
        credentials: global.credentials.clone(),
        trust: global.trust,
        rev: revision.rev.clone(),
        worktree: revision.worktree,
        tape,
    };
    // Settings that do not parse are shown with their lines where the file can be read from disk.
    let folder = global.directory.clone().unwrap_or_else(|| ".".into());
    let _fetching = global.source.as_ref().map(|it| before_steps(shell).phase(&format!("fetching {it}")));
    Engine::open(place).map_err(|it| {
        let error = failure(it, None);
        if error.diagnostics.is_empty() { error } else { error.texts(Texts::new(move |file| on_disk(&folder, file))) }
    })
}

/// A settings file of the project in or above `folder`.
fn on_disk(folder: &std::path::Path, file: &str) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let path = folder.ancestors().map(|it| it.join(file)).find(|it| it.exists())?;
    String::from_utf8(regular::read(&path, TEXT).ok()?).ok()
}

/// Lines of a snapshot.
pub fn texts(snapshot: &Arc<Snapshot>) -> Texts {
    let snapshot = snapshot.clone();
    Texts::new(move |file| {
        let entry = snapshot.find(file).ok()??;
        let bytes = snapshot.read(&entry, TEXT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    })
}

/// A failure of the engine in words, with its lines from `snapshot`.
pub fn failure(problem: Problem, snapshot: Option<&Arc<Snapshot>>) -> CliError {
    match problem {
        Problem::Findings(findings) => {
            let error = CliError::from_diagnostics(findings);
            match snapshot {
                Some(snapshot) => error.texts(texts(snapshot)),
                None => error,
            }
        }
        Problem::Source(error) => {
            let failure = CliError::new(error.code(), error.to_string());
            let failure = if error.is_unreachable() { failure.exit(Exit::TryAgain) } else { failure };
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        Problem::Store(error) => store(&error),
        Problem::Untrusted(rights) => CliError::new(codes::UNTRUSTED, untrusted(&rights))
            .hint("`trueup trust` shows and records them; --trust grants them for this run"),
        Problem::Usage(text) => CliError::usage(text),
        Problem::Locked(text) => CliError::new(codes::LOCKED, text).hint("wait for it, then try again"),
    }
}

/// Which rights nobody has granted, the first few by what they let do.
fn untrusted(rights: &Rights) -> String {
    const NAMED: usize = 4;
    let asked: BTreeSet<String> = rights.asked.iter().map(|it| format!("{}: {}", it.alias, it.right)).collect();
    let named: Vec<&str> = asked.iter().take(NAMED).map(String::as_str).collect();
    let more = asked.len().checked_sub(NAMED).filter(|it| *it > 0).map(|it| format!(" and {it} more")).unwrap_or_default();
    format!("this project asks for rights that nobody has granted yet ({}{more})", named.join("; "))
}

/// A failure of the store in words.
pub fn store(error: &StoreError) -> CliError {
    let failure = CliError::new(codes::STORE, error.to_string());
    match error {
        _ if error.is_transient() => failure.exit(Exit::TryAgain).hint("try again"),
        StoreError::Io { .. } => failure.hint("mend its folder (rights, space), or keep the state elsewhere with --state FILE"),
        _ => failure,
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        store(&error)
    }
}

/// A name that means nothing, or too much.
pub fn name_fault(fault: &NameFault) -> CliError {
    let failure = CliError::new(fault.code(), fault.to_string());
    match fault {
        NameFault::Missing { hint: Some(hint), .. } => failure.hint(hint.clone()),
        NameFault::Missing { .. } => failure.hint("`trueup get` lists what an environment owns"),
        NameFault::Malformed { .. } => {
            failure.hint("a resource is written Kind/name, Kind/namespace/name, alias:Kind/name, or by its name alone")
        }
        NameFault::Ambiguous { candidates, .. } => failure.hint(format!("write one of {}", candidates.join(", "))),
    }
}

/// The resource that a person named; a bare name will do where one resource has it.
pub fn named(names: &Shortener, text: &str) -> Result<ResourceId, CliError> {
    names.resolve_typed(text).map_err(|fault| name_fault(&fault))
}

/// Who runs this, for the history.
pub fn actor() -> String {
    let named = ["TRUEUP_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    named.unwrap_or_else(account).chars().take(200).collect()
}

/// Name of the account that runs this, as the system has it; its number where it has none.
fn account() -> String {
    use std::io::Read as _;
    let number = rustix::process::getuid().as_raw().to_string();
    let mut accounts = String::new();
    // Accounts may live elsewhere, or not be readable: the number does then.
    let _ = std::fs::File::open("/etc/passwd").map(|it| it.take(1 << 20).read_to_string(&mut accounts));
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(number.as_str())).then(|| name.to_owned())
    });
    name.filter(|it| !it.is_empty()).unwrap_or_else(|| format!("uid {number}"))
}
