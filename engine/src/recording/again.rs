//! A recorded plan made again, for who wants to know of a component whether it still comes to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trueup_core::plan::Options;

use super::Tape;
use super::file::Recording;
use super::play::{Parted, Player};
use super::stage::Stage;
use crate::engine::{Engine, Problem, Where};
use crate::output::json::{Plan, PlanContext};
use crate::pass::{self, PassError};
use crate::services::Denials;

/// How it ended.
pub struct Again {
    /// Resources whose steps are not those of the recorded plan, by identity.
    pub moved: Vec<String>,
    /// What was asked and is not in the recording: the first few, and how many in all.
    pub parted: Vec<Parted>,
    pub missing: usize,
    pub answered: usize,
}

/// Makes the recorded plan again, with these components in place of recorded ones.
///
/// # Errors
///
/// In words: where the project cannot be laid out, or comes to no plan.
pub async fn again(recording: &Recording, plugins: BTreeMap<String, Vec<u8>>) -> Result<Again, String> {
    let stage = Stage::set(recording).map_err(|error| format!("the recorded project cannot be laid out: {error}"))?;
    let player = Arc::new(Player::new(recording, plugins));
    let header = &recording.header;
    let place = Where {
        directory: Some(stage.root().to_owned()),
        trust: true,
        worktree: true,
        tape: Some(Tape::Player(player.clone())),
        ..Where::default()
    };
    let engine = Engine::open(place).map_err(words)?;
    let environment = engine.environment(Some(&header.environment)).map_err(words)?;
    let options = Options { allow_deletes: header.allow_deletes, allow_recreate: header.allow_recreate, ..Options::default() };
    let around = engine.surroundings(&environment, options, Arc::<Denials>::default()).await.map_err(words)?;
    let planned = pass::plan(&around, &|| ()).await.map_err(|error: PassError| words(error.into()))?;
    let (parted, missing) = player.parted();
    let plan = Plan::new(
        &planned.plan,
        &PlanContext {
            project: &engine.project.name,
            environment: &environment.name,
            revision: &around.revision,
            branch: None,
            shorten: &|id| planned.short.shorten(id),
            locate: &|_, _| None,
            diagnostics: &[],
        },
    );
    Ok(Again { moved: moved(&recording.end.plan, &plan), parted, missing, answered: player.counts().0 })
}

/// What of two plans is not the same. Their digests hold those of the plugins, and say nothing of another build.
fn moved(recorded: &Plan, now: &Plan) -> Vec<String> {
    let acts = |plan: &Plan| -> BTreeMap<String, Vec<String>> {
        let mut acts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for step in &plan.steps {
            let changes: Vec<String> =
                step.changes.iter().map(|it| format!("{} {:?} {:?}", it.path, it.before, it.after)).collect();
            acts.entry(step.id.clone()).or_default().push(format!("{:?} {:?} {changes:?}", step.action, step.object));
        }
        acts
    };
    let (was, is) = (acts(recorded), acts(now));
    let all: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    all.into_iter().filter(|id| was.get(*id) != is.get(*id)).cloned().collect()
}

fn words(problem: Problem) -> String {
    match problem {
        Problem::Findings(findings) => findings.iter().map(|it| it.message.as_str()).collect::<Vec<_>>().join("; "),
        Problem::Source(error) => error.to_string(),
        Problem::Store(error) => error.to_string(),
        Problem::Untrusted(_) => "it asks for rights that nobody granted".to_owned(),
        Problem::Usage(text) | Problem::Locked(text) => text,
    }
}
