//! A recorded run made again: for `trueup replay`, and for who wants to know of a component whether it still comes to the same.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use trueup_core::address::ResourceId;
use trueup_core::diagnostic::Diagnostic;
use trueup_core::plan::{Options, Step};

use super::Tape;
use super::file::Recording;
use super::play::{Parted, Player};
use super::stage::Stage;
use crate::apply::{Cancel, Ended, Report};
use crate::config::project;
use crate::engine::{Engine, Problem, Where};
use crate::output::difference::{Moved, difference};
use crate::output::json::{Plan, PlanContext};
use crate::output::result::{outcomes, steps};
use crate::pass::{self, Order, Planned, Surroundings};
use crate::services::Denials;
use crate::store::{self, StoreError};

/// How it ended.
pub struct Again {
    pub plan: Plan,
    /// Steps that are not those of the recorded plan.
    pub moved: Vec<Moved>,
    /// How its steps ended, where they were carried out.
    pub outcomes: Vec<String>,
    /// What was asked and is not in the recording: the first few, and how many in all.
    pub parted: Vec<Parted>,
    pub missing: usize,
    pub answered: usize,
    /// Questions of the recorded run that nobody asked.
    pub unasked: usize,
}

/// How far a run is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its plan.
    Plan,
    /// Its end: the steps of an apply are carried out, on what the recording answers.
    End,
}

/// Why a recorded run cannot be made again.
#[derive(Debug)]
pub enum AgainError {
    /// The system does not let its project be laid out.
    Stage(io::Error),
    /// What the recording holds is no project that can be planned; says why.
    Wrong(String),
    /// The state in it cannot be read; says why, with `{}` for where the state is.
    State(String),
    /// Findings of the recorded documents and settings.
    Findings(Vec<Diagnostic>),
}

impl AgainError {
    fn new(problem: Problem, root: &Path) -> Self {
        // Nobody can do anything with the name of a folder that is gone by the time it is read.
        let below = |text: &str| {
            let root = root.display().to_string();
            text.replace(&format!("{root}/"), "").replace(&root, "the recording")
        };
        match problem {
            Problem::Findings(mut findings) => {
                findings.iter_mut().for_each(|it| it.message = below(&it.message));
                Self::Findings(findings)
            }
            Problem::Store(StoreError::Damaged { what, .. }) => Self::State(format!("the state in {{}} is damaged: {what}")),
            Problem::Store(error) => {
                let path = format!("`{}`", store::default_path(root).display());
                Self::State(below(&error.to_string().replace(&path, "{}")))
            }
            Problem::Source(error) => Self::Wrong(below(&error.to_string())),
            Problem::Untrusted(_) => Self::Wrong("it asks for rights that nobody granted".to_owned()),
            Problem::Usage(text) | Problem::Locked(text) => Self::Wrong(below(&text)),
        }
    }

    /// In words that name the recording's file.
    pub fn of(&self, file: &str) -> String {
        match self {
            Self::State(text) => text.replace("{}", &format!("`{file}`")),
            other => format!("`{file}`: {other}"),
        }
    }
}

impl fmt::Display for AgainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(error) => write!(f, "it cannot be laid out: {error}"),
            Self::Wrong(text) => f.write_str(text),
            Self::State(text) => f.write_str(&text.replace("{}", "the recording")),
            Self::Findings(findings) => {
                let all: Vec<&str> = findings.iter().map(|it| it.message.as_str()).collect();
                f.write_str(&all.join("; "))
            }
        }
    }
}

/// Makes the recorded run again, with these components in place of recorded ones. `looking` is called once the documents are read.
///
/// # Errors
///
/// Where the project cannot be laid out, or comes to no plan.
pub async fn again(
    recording: &Recording,
    plugins: BTreeMap<String, Vec<u8>>,
    until: Until,
    looking: &(dyn Fn() + Sync),
) -> Result<Again, AgainError> {
    // Without one, a project of somebody else's above the temporary folder would be taken for the recorded one.
    if !recording.files.contains_key(project::FILE) {
        return Err(AgainError::Wrong(format!("there is no {} in it", project::FILE)));
    }
    let stage = Stage::set(recording).map_err(AgainError::Stage)?;
    let player = Arc::new(Player::new(recording, plugins));
    let run = Run { recording, root: stage.root(), player: &player };
    let (engine, around) = run.open().await?;
    let planned = pass::plan(&around, looking).await.map_err(|error| run.failed(Problem::from(error)))?;
    let plan = Plan::new(
        &planned.plan,
        &PlanContext {
            project: &engine.project.name,
            environment: &around.context.environment,
            revision: &around.revision,
            branch: None,
            shorten: &|id| planned.short.shorten(id),
            locate: &|_, _| None,
            diagnostics: &[],
        },
    );
    let moved = difference(&recording.end.plan, &plan);
    let carried = until == Until::End && recording.header.command == "apply" && !recording.end.outcomes.is_empty();
    let outcomes = if carried { run.apply(&engine, around, planned).await? } else { Vec::new() };
    let (parted, missing) = player.parted();
    let (answered, unasked) = player.counts();
    Ok(Again { plan, moved, outcomes, parted, missing, answered, unasked })
}

/// What all of a run has in common.
struct Run<'a> {
    recording: &'a Recording,
    root: &'a Path,
    player: &'a Arc<Player>,
}

impl Run<'_> {
    fn failed(&self, problem: Problem) -> AgainError {
        AgainError::new(problem, self.root)
    }

    async fn open(&self) -> Result<(Engine, Surroundings), AgainError> {
        let header = &self.recording.header;
        let place = Where {
            directory: Some(self.root.to_owned()),
            // Nothing is reached: every question is answered from the file.
            trust: true,
            worktree: true,
            tape: Some(Tape::Player(self.player.clone())),
            ..Where::default()
        };
        let engine = Engine::open(place).map_err(|it| self.failed(it))?;
        if !engine.project.environments.contains_key(&header.environment) {
            let known: Vec<&str> = engine.project.environments.keys().map(String::as_str).collect();
            return Err(AgainError::Wrong(format!(
                "it says that it is of the environment `{}`, and the project in it has {}",
                header.environment,
                known.join(", ")
            )));
        }
        let environment = engine.environment(Some(&header.environment)).map_err(|it| self.failed(it))?;
        let options =
            Options { allow_deletes: header.allow_deletes, allow_recreate: header.allow_recreate, ..Options::default() };
        let around = engine.surroundings(&environment, options, Arc::<Denials>::default()).await;
        Ok((engine, around.map_err(|it| self.failed(it))?))
    }

    async fn apply(&self, engine: &Engine, around: Surroundings, planned: Planned) -> Result<Vec<String>, AgainError> {
        let _lock = engine.lock(&self.recording.header.environment).map_err(|it| self.failed(it))?;
        let report: Arc<dyn Report> = Arc::new(Silent);
        let order = Order { command: "replay".to_owned(), actor: "replay".to_owned(), report, cancel: Cancel::default() };
        let applied = pass::apply(around, planned, order).await;
        let (_, planned, applied) = applied.map_err(|error| self.failed(Problem::from(error)))?;
        Ok(outcomes(&steps(&planned.plan, &applied, &planned.short)))
    }
}

struct Silent;

impl Report for Silent {
    fn started(&self, _: &Step) {}
    fn ended(&self, _: &Step, _: &Ended) {}
    fn waiting(&self, _: &ResourceId, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_of_the_recording_and_not_of_the_folder_it_was_laid_out_in() {
        let root = Path::new("/tmp/trueup-replay.7-ab.tmp");
        let path = store::default_path(root);
        let check = |problem: Problem, want: &str| assert_eq!(AgainError::new(problem, root).of("run.jsonl"), want);
        let damaged = StoreError::Damaged { path: path.clone(), what: "it is empty".to_owned() };
        check(damaged.into(), "the state in `run.jsonl` is damaged: it is empty");
        let newer = StoreError::Newer { path, found: 9, known: 3 };
        check(newer.into(), "the state in `run.jsonl` has format 9 and this version knows 3; use the newer version of trueup");
        let text = format!("there is no {} in {} or above it", project::FILE, root.display());
        check(Problem::Usage(text), "`run.jsonl`: there is no trueup.yaml in the recording or above it");
    }
}
