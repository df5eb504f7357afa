//! `trueup apply`, `destroy` and `adopt --declared`: show the plan, get a yes, carry it out.

use std::path::Path;
use std::sync::Arc;

use trueup_core::address::ResourceId;
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::document::Shortener;
use trueup_core::plan::{self as core, Action, Options, Step};

use super::Shell;
use super::again;
use super::arguments::{AdoptArgs, ApplyArgs, DestroyArgs, RevisionArgs, ShowArgs};
use super::ask;
use super::error::CliError;
use super::exit::Exit;
use super::plan::{findings, options, show};
use super::record::Recorded;
use super::reviewed;
use super::session::{Session, actor};
use crate::apply::{Applied, Cancel, Ended, Report};
use crate::health;
use crate::output::clean::clean;
use crate::output::progress::{self, Progress};
use crate::output::result::{Outcome, Result as Shape, outcome, steps};
use crate::output::value::count;
use crate::output::{Format, json};
use crate::pass::{self, Order, Planned, Surroundings};

/// How a person agrees.
enum Consent {
    /// Was given on the command line, or by reviewing exactly this plan.
    Given,
    /// y/N.
    Ask(&'static str),
    /// The environment's name.
    AskName,
}

/// One way of changing things.
struct Intention<'a> {
    command: &'static str,
    consent: Consent,
    show: &'a ShowArgs,
    /// What to give as well where nobody can be asked.
    otherwise: String,
    /// `--plan`.
    reviewed: Option<&'a str>,
    /// Only these steps are carried out.
    only: fn(&Step) -> bool,
    detailed: bool,
    /// Until what was changed is healthy.
    wait: bool,
    /// `--record`.
    record: Option<&'a Path>,
}

pub async fn apply(arguments: &ApplyArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let given = arguments.yes || arguments.plan.is_some();
    let intention = Intention {
        command: "apply",
        consent: if given { Consent::Given } else { Consent::Ask("Apply this plan?") },
        show: &arguments.show,
        otherwise: format!("{} --yes", again::limits(&arguments.limits)),
        reviewed: arguments.plan.as_deref(),
        only: |_| true,
        detailed: arguments.detailed_exitcode,
        wait: arguments.wait,
        record: arguments.record.as_deref(),
    };
    carry_out(&intention, &arguments.revision, options(&arguments.limits), shell).await
}

pub async fn destroy(arguments: &DestroyArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let limits = Options { allow_deletes: arguments.allow_deletes, destroy: true, ..Options::default() };
    let intention = Intention {
        command: "destroy",
        consent: if arguments.yes { Consent::Given } else { Consent::AskName },
        show: &arguments.show,
        otherwise: " --yes --allow-deletes N".to_owned(),
        reviewed: None,
        only: |_| true,
        detailed: false,
        wait: false,
        record: None,
    };
    // A name typed by a person allows as many as were shown; a script says how many.
    let options = if arguments.yes || !shell.output.interactive {
        limits
    } else {
        Options { allow_deletes: limits.allow_deletes.or(Some(usize::MAX)), ..limits }
    };
    carry_out(&intention, &RevisionArgs::default(), options, shell).await
}

pub async fn adopt(arguments: &AdoptArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let options = Options { adopt_declared: arguments.declared, adopt_recovered: arguments.recovered, ..Options::default() };
    let flag = if arguments.declared { "--declared" } else { "--recovered" };
    let intention = Intention {
        command: "adopt",
        consent: if arguments.yes { Consent::Given } else { Consent::Ask("Adopt these?") },
        show: &arguments.show,
        otherwise: format!(" {flag} --yes"),
        reviewed: None,
        only: |step| step.action == Action::Adopt,
        detailed: false,
        wait: false,
        record: None,
    };
    carry_out(&intention, &arguments.revision, options, shell).await
}

async fn carry_out(
    intention: &Intention<'_>,
    revision: &RevisionArgs,
    options: Options,
    shell: &mut Shell<'_>,
) -> Result<Exit, CliError> {
    let recording = Recorded::new(intention.record);
    let mut session = Session::taped(shell, revision, recording.tape())?;
    let around = session.surroundings(shell, options).await?;
    // Held from before the plan until the end, so that nobody changes what was planned on.
    let _lock = session.engine.lock(&session.environment.name).map_err(|it| session.failure(it))?;
    recording.start(&session, &around, intention.command)?;
    let mut planned = session.plan(&around).await?;
    restrict(&mut planned.plan, intention.only);
    if intention.command == "adopt" {
        planned.plan.digest = core::digest(&planned.plan, &around.fixed);
    }
    let mut shape = session.shape(&around, &planned);
    findings(&session, &around, &planned, shell);
    if let Some(wanted) = intention.reviewed {
        reviewed::check(wanted, &shape, &around, shell)?;
    }
    // What is destroyed is what is owned, whatever is committed.
    if !options.destroy {
        session.hint_uncommitted(&planned.desired, shell);
    }
    if shape.steps.is_empty() {
        recording.finish(&session, &around.context.blobs, &shape, Vec::new(), shell)?;
        return nothing(intention, &shape, around, planned, shell).await;
    }
    let given = matches!(intention.consent, Consent::Given);
    if shell.output.format == Format::Table {
        show(&shape, intention.show, None, shell)?;
    }
    let answer = if given { Answer::Yes } else { ask_for(intention, &shape, shell) };
    if answer != Answer::Yes {
        return declined(intention, &shape, revision, answer, shell);
    }
    let refused = !shape.refused.is_empty();
    // Shown and agreed to: how each ended is told by steps of its own.
    let blobs = around.context.blobs.clone();
    let shown = recording.is_on().then(|| shape.clone());
    shape.steps = Vec::new();
    let result = execute(intention, &session, around, planned, &shape, shell).await?;
    if let Some(shown) = shown {
        recording.finish(&session, &blobs, &shown, result.outcomes(), shell)?;
    }
    let complete = result.steps.iter().all(|it| matches!(it.outcome, Outcome::Done | Outcome::Unchanged));
    Ok(if complete && !refused && result.outcome == "done" { Exit::Fine } else { Exit::Failed })
}

/// Keeps only some steps; what waited for a step that is left out waits no more.
fn restrict(plan: &mut core::Plan, only: fn(&Step) -> bool) {
    let mut kept: Vec<Option<usize>> = Vec::with_capacity(plan.steps.len());
    let mut next = 0;
    for step in &plan.steps {
        kept.push(only(step).then_some(next));
        next += usize::from(only(step));
    }
    plan.steps.retain(only);
    let place = |it: &usize| kept.get(*it).copied().flatten();
    for step in &mut plan.steps {
        step.after = step.after.iter().filter_map(place).collect();
    }
    for wait in &mut plan.waits {
        wait.step = wait.step.as_ref().and_then(place);
        wait.before = wait.before.iter().filter_map(place).collect();
    }
    plan.waits.retain(|it| it.step.is_some() || !it.before.is_empty());
}

/// What became of the question whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// Another name than the environment's was typed.
    WrongName,
    /// Nobody could be asked.
    Nobody,
}

/// Gets a person's word, where a person is there.
fn ask_for(intention: &Intention<'_>, shape: &json::Plan, shell: &mut Shell<'_>) -> Answer {
    if shell.output.format.is_object() || !shell.output.interactive {
        return Answer::Nobody;
    }
    let agreed = match intention.consent {
        Consent::Given => true,
        Consent::Ask(question) => ask::confirm(shell.output, question),
        Consent::AskName => {
            let question = format!("This deletes {}.", count(shape.summary.delete, "object"));
            match ask::confirm_by_name(shell.output, &question, &shape.environment) {
                Some(false) => return Answer::WrongName,
                typed => typed.is_some(),
            }
        }
    };
    if agreed { Answer::Yes } else { Answer::No }
}

/// Nobody agreed: the plan was shown, nothing is done.
fn declined(
    intention: &Intention<'_>,
    shape: &json::Plan,
    revision: &RevisionArgs,
    answer: Answer,
    shell: &mut Shell<'_>,
) -> Result<Exit, CliError> {
    if shell.output.format != Format::Table {
        show(shape, intention.show, None, shell)?;
    }
    if intention.detailed && shape.refused.is_empty() {
        shell.output.error("nothing was done\n");
        return Ok(Exit::Changes);
    }
    // Whoever was asked and said no knows what happened: that is no error.
    if answer == Answer::WrongName {
        shell.output.error(&format!("That is not the environment's name, {}. Nothing was done.\n", clean(&shape.environment)));
        return Ok(Exit::Failed);
    }
    if answer != Answer::Nobody {
        shell.output.error("Nothing was done.\n");
        return Ok(Exit::Failed);
    }
    let again = again::command(intention.command, &shape.environment, &shell.global, revision);
    Err(CliError::new(codes::USAGE, "nothing was done, as nobody is here to agree")
        .exit(Exit::Failed)
        .hint(format!("to go on without being asked: {again}{}", intention.otherwise)))
}

/// There is nothing to send; what was learnt is recorded all the same.
async fn nothing(
    intention: &Intention<'_>,
    shape: &json::Plan,
    around: Surroundings,
    planned: Planned,
    shell: &mut Shell<'_>,
) -> Result<Exit, CliError> {
    let refused = !shape.refused.is_empty();
    let newest = around.store.history(Some(&around.context.environment), 1)?;
    let ending = if refused { pass::PARTIAL } else { pass::DONE };
    let known = newest.first().is_some_and(|it| it.about.revision == around.revision && it.outcome.as_deref() == Some(ending));
    if planned.has_learnt() || !known {
        let report: Arc<dyn Report> = Arc::new(Reporter { progress: progress(shell), short: Arc::default() });
        let order = Order { command: intention.command.to_owned(), actor: actor(), report, cancel: Cancel::default() };
        let_go(pass::apply(around, planned, order).await?);
    } else {
        let_go(planned);
    }
    if shell.output.format.is_object() {
        shell.output.object(&Shape::new(shape, Vec::new(), false))?;
    } else {
        show(shape, intention.show, None, shell)?;
    }
    Ok(if refused { Exit::Failed } else { Exit::Fine })
}

/// The process ends soon: giving back a hundred thousand objects one by one would be a tenth of a pass without changes.
fn let_go<T>(it: T) {
    std::mem::forget(it);
}

fn progress(shell: &Shell<'_>) -> Progress {
    Progress::new(shell.output.err_style, shell.output.animated, shell.output.quiet)
}

/// Sends the steps, with progress on stderr, and says how they ended.
async fn execute(
    intention: &Intention<'_>,
    session: &Session,
    around: Surroundings,
    planned: Planned,
    shape: &json::Plan,
    shell: &mut Shell<'_>,
) -> Result<Shape, CliError> {
    let reporter = Arc::new(Reporter { progress: progress(shell), short: planned.short.clone() });
    reporter.progress.begin(planned.plan.steps.len());
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let working = shell.interrupt.working(move || stop.cancel());
    let order = Order { command: intention.command.to_owned(), actor: actor(), report: reporter.clone(), cancel: cancel.clone() };
    let mut applied = pass::apply(around, planned, order).await;
    let mut late = Vec::new();
    if let (Ok((around, planned, applied)), true) = (&mut applied, intention.wait) {
        late = health::wait(around, planned, applied, &*reporter, &cancel).await;
        health::remember_apply(around, planned, applied);
    }
    drop(working);
    reporter.progress.finish();
    let (_, planned, applied) = applied?;
    let result = Shape::new(shape, steps(&planned.plan, &applied, &reporter.short), applied.cancelled);
    let texts = session.texts();
    let mut found: Vec<Diagnostic> = failures(&applied);
    found.extend(late);
    found.extend(session.denied());
    shell.output.diagnostics(&found, &|file| texts.get(file));
    let result = result.with(&found);
    let_go((planned, applied));
    match shell.output.format {
        Format::Table => {
            let text = result.render(&shell.output.style);
            shell.output.print(&text);
        }
        Format::Json | Format::Yaml => shell.output.object(&result)?,
        Format::Name => shell.output.names(result.steps.iter().map(|it| it.resource.as_str())),
    }
    Ok(result)
}

/// Findings of failed steps, once each.
fn failures(applied: &Applied) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = applied.late.clone();
    for ended in applied.steps.iter().flatten() {
        if let Ended::Failed(finding) | Ended::Overdue(finding) = ended
            && !found.contains(finding)
        {
            found.push(finding.clone());
        }
    }
    found
}

/// Draws what the engine tells of its steps.
struct Reporter {
    progress: Progress,
    short: Arc<Shortener>,
}

impl Report for Reporter {
    fn started(&self, step: &Step) {
        self.progress.started(step.action.into(), &self.short.shorten(&step.resource));
    }

    fn ended(&self, step: &Step, ended: &Ended) {
        let (outcome, reason) = outcome(Some(ended));
        let how = match outcome {
            Outcome::Done | Outcome::Unchanged => progress::Ended::Done,
            Outcome::Failed => progress::Ended::Failed,
            Outcome::Moved => progress::Ended::Moved,
            Outcome::Skipped => progress::Ended::Skipped,
        };
        self.progress.ended(step.action.into(), &self.short.shorten(&step.resource), how, reason.as_deref().unwrap_or_default());
    }

    fn waiting(&self, resource: &ResourceId, message: &str) {
        self.progress.waits(&self.short.shorten(resource), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::json::tests::step;

    #[test]
    fn steps_left_out_are_waited_for_no_more() {
        let mut plan = core::Plan {
            steps: vec![
                step(Action::Create, "site:File/a", vec![], &[]),
                step(Action::Adopt, "site:File/b", vec![], &[]),
                step(Action::Adopt, "site:File/c", vec![], &[]),
            ],
            ..core::Plan::default()
        };
        plan.steps[1].after = vec![0];
        plan.steps[2].after = vec![0, 1];
        restrict(&mut plan, |it| it.action == Action::Adopt);
        assert_eq!(plan.steps.iter().map(|it| it.after.clone()).collect::<Vec<_>>(), [vec![], vec![0]]);
    }
}
