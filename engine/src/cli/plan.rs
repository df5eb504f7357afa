//! `trueup plan`: what would change, and nothing else.

use std::path::Path;
use std::sync::Arc;

use trueup_core::diagnostic::codes;
use trueup_core::plan::Options;

use super::Shell;
use super::again;
use super::arguments::{LimitArgs, PlanArgs, ShowArgs};
use super::error::CliError;
use super::exit::Exit;
use super::record::Recorded;
use super::session::Session;
use crate::config::project::ProviderConfig;
use crate::output::clean::clean;
use crate::output::plan::render;
use crate::output::value::count;
use crate::output::{Format, json};
use crate::pass::{Planned, Surroundings};

pub async fn run(arguments: &PlanArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let recording = Recorded::new(arguments.record.as_deref());
    let mut session = Session::taped(shell, &arguments.revision, recording.tape())?;
    let around = session.surroundings(shell, options(&arguments.limits)).await?;
    recording.start(&session, &around, "plan")?;
    let planned = session.plan(&around).await?;
    let shape = session.shape(&around, &planned);
    recording.finish(&session, &around.context.blobs, &shape, Vec::new(), shell)?;
    if let Some(file) = &arguments.out {
        write(file, &shape)?;
    }
    save(&around, &planned, &shape).await?;
    findings(&session, &around, &planned, shell);
    let again = again::command("apply", &shape.environment, &shell.global, &arguments.revision);
    let next = format!("{again}{} --plan {}", again::limits(&arguments.limits), shape.id());
    show(&shape, &arguments.show, Some(&next), shell)?;
    session.hint_uncommitted(&planned.desired, shell);
    Ok(exit(&shape, arguments.detailed_exitcode))
}

/// What the limits of the command line mean to the planner.
pub fn options(limits: &LimitArgs) -> Options {
    Options { allow_deletes: limits.allow_deletes, allow_recreate: limits.allow_recreate, ..Options::default() }
}

/// Refused or wrong comes before "something would change".
pub fn exit(plan: &json::Plan, detailed: bool) -> Exit {
    let wrong = !plan.refused.is_empty() || plan.diagnostics.iter().any(|it| it.severity == "error");
    // What an apply would arm or lift is something to do, though nothing is sent for it.
    let pending = plan.diagnostics.iter().any(|it| it.code == codes::PENDING.to_string());
    match (wrong, detailed && (pending || !plan.steps.is_empty())) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Changes,
        (false, false) => Exit::Fine,
    }
}

/// The plan on stdout, in the format asked for.
pub fn show(plan: &json::Plan, how: &ShowArgs, next: Option<&str>, shell: &mut Shell<'_>) -> Result<(), CliError> {
    match shell.output.format {
        Format::Table => {
            let text = render(plan, how.show, next, &shell.output.style);
            shell.output.print(&text);
        }
        Format::Json | Format::Yaml => shell.output.object(plan)?,
        Format::Name => shell.output.names(plan.steps.iter().map(|it| it.resource.as_str())),
    }
    Ok(())
}

/// Warnings of documents and of the sandbox, on stderr.
pub fn findings(session: &Session, around: &Surroundings, planned: &Planned, shell: &mut Shell<'_>) {
    let texts = session.texts();
    let mut found = planned.diagnostics.clone();
    found.extend(session.refused_while_planning());
    // A file that cannot be read was told of when the project was opened.
    found.extend(session.engine.warnings(&session.environment, &*around.store));
    shell.output.diagnostics(&found, &|file| texts.get(file));
    // Without a checkout nobody sees where files come to lie.
    let relative = |it: &String| !Path::new(it).is_absolute();
    if shell.global.source.is_some() && session.environment.providers.values().any(|it| it.dirs.iter().any(relative)) {
        let root = session.engine.root.display().to_string();
        shell.output.note(&format!("relative directories of this project lie in {}\n", clean(&root)));
    }
    let counts = &planned.desired.counts;
    let read = &planned.observation.read;
    if shell.output.verbose > 0 {
        session.environment.providers.iter().filter_map(one_for_both).for_each(|it| shell.output.note(&it));
        shell.output.note(&format!(
            "read {} of {}, evaluated {} of {}; {}, {} unchanged, {} sent\n",
            counts.files_parsed,
            count(counts.files, "file"),
            counts.evaluated,
            count(counts.resources, "resource"),
            count(read.scopes, "scope"),
            read.unchanged,
            count(read.objects, "object"),
        ));
    }
}

/// That a provider looks with the credential that it writes with, where it does.
fn one_for_both((alias, provider): (&Arc<str>, &ProviderConfig)) -> Option<String> {
    let slots = provider.credential.iter().chain(provider.credentials.values());
    let mut names: Vec<String> = slots.filter(|it| it.read == it.write).map(|it| format!("`{}`", it.read)).collect();
    names.sort_unstable();
    names.dedup();
    let text = format!(
        "provider `{alias}` reads and writes with one credential, {}: while it looks, only the methods of its requests keep it \
         from writing; `{{read: NAME, write: NAME}}` gives it two",
        names.join(", ")
    );
    (!names.is_empty()).then(|| format!("{}\n", clean(&text)))
}

/// Keeps a plan that does something, for `apply --plan ID`.
async fn save(around: &Surroundings, planned: &Planned, shape: &json::Plan) -> Result<(), CliError> {
    if planned.plan.steps.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string(shape)?;
    around.store.save_plan(&around.context.environment, planned.plan.digest, text).await?;
    Ok(())
}

fn write(file: &Path, shape: &json::Plan) -> Result<(), CliError> {
    let text = format!("{}\n", serde_json::to_string_pretty(shape)?);
    std::fs::write(file, text)
        .map_err(|error| CliError::new(codes::USAGE, format!("cannot write `{}`: {error}", file.display())).exit(Exit::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::project::Project;
    use crate::output::json::tests::{shape, step};

    #[test]
    fn one_credential_for_looking_and_writing_is_told_of_once_a_provider() {
        let text = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: shop, id: 4f0c9a000000000000000000000000aa}\n\
                    providers:\n  a: {plugin: dns, credential: one}\n  b: {plugin: dns, credential: {read: r, write: w}}\n  \
                    c: {plugin: dns}\n  d: {plugin: dns, credentials: {x: two, y: {read: r, write: w}, z: two}}\n\
                    environments: {prod: {layers: [base]}}\n";
        let project = Project::parse("trueup.yaml", text.as_bytes()).unwrap();
        let told: Vec<String> = project.providers.iter().filter_map(one_for_both).collect();
        let starts = [
            "provider `a` reads and writes with one credential, `one`: ",
            "provider `d` reads and writes with one credential, `two`: ",
        ];
        assert_eq!(told.len(), starts.len(), "{told:?}");
        told.iter().zip(starts).for_each(|(it, start)| assert!(it.starts_with(start) && it.ends_with('\n'), "{it}"));
    }

    #[test]
    fn refused_comes_before_changes_and_changes_only_count_where_asked() {
        let nothing = shape(&trueup_core::plan::Plan::default());
        let changing = shape(&trueup_core::plan::Plan {
            steps: vec![step(trueup_core::plan::Action::Create, "site:File/a", vec![], &[])],
            ..Default::default()
        });
        let mut refusing = changing.clone();
        refusing.refused.push(json::Refused {
            id: "site:File/b".to_owned(),
            resource: "File/b".to_owned(),
            code: "TU0601".to_owned(),
            reason: "protected".to_owned(),
            hint: None,
            place: json::Place::default(),
        });
        let all = [&nothing, &changing, &refusing];
        assert_eq!(all.map(|it| exit(it, false)), [Exit::Fine, Exit::Fine, Exit::Failed]);
        assert_eq!(all.map(|it| exit(it, true)), [Exit::Fine, Exit::Changes, Exit::Failed]);
    }
}
