//! `trueup plugin test`: whether a component keeps the contract, for people, as a report and as a badge.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use trueup_core::diagnostic::codes;
use trueup_host as host;

use super::arguments::TestArgs;
use crate::bundled;
use crate::cli::Shell;
use crate::cli::error::{CliError, Texts};
use crate::cli::exit::Exit;
use crate::cli::session::failure;
use crate::cli::version::contract;
use crate::engine::{folders, read_component};
use crate::kit::conformance::{self, Bench, Checked, Outcome, badge};
use crate::kit::project::{FILE, PluginProject, Test};
use crate::output::Output;
use crate::output::clean::clean_lines;
use crate::output::style::Tone;

pub async fn run(arguments: &TestArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    known(&arguments.only)?;
    let (project, test) = open(&arguments.dir)?;
    let path = match &arguments.component {
        Some(path) => path.clone(),
        None => arguments.dir.join(project.component()),
    };
    let (plugin, wasm) = load(&path).await?;
    let folder = fs::canonicalize(&arguments.dir)
        .map_err(|error| CliError::new(codes::PLUGIN_PROJECT, format!("`{}`: {error}", arguments.dir.display())))?;
    let title = format!("{} {} ({})", plugin.manifest().name, plugin.manifest().version, path.display());
    let bench = Bench::new(plugin, wasm, test, folder);
    let start = Instant::now();
    let working = shell.interrupt.working(conformance::kill_all);
    let strong = shell.output.style.paint(Tone::Strong, crate::output::clean::clean(&title).into_owned()).into_owned();
    shell.output.print(&format!("{strong}\n"));
    let (interrupt, output) = (shell.interrupt, &mut *shell.output);
    let mut told = HashMap::new();
    let done = |it: &Checked| show(output, &mut told, it);
    let report = conformance::run(&bench, contract(), &arguments.only, |_| !interrupt.is_interrupted(), done).await;
    drop(working);
    let (passed, failed, skipped) =
        (report.count(Outcome::Passed), report.count(Outcome::Failed), report.count(Outcome::Skipped));
    for (path, text) in [(&arguments.report, format!("{:#}\n", report.to_json())), (&arguments.badge, badge(passed, failed))] {
        let Some(path) = path else { continue };
        fs::write(path, text).map_err(|error| {
            CliError::new(codes::USAGE, format!("`{}` cannot be written: {error}", path.display())).exit(Exit::Failed)
        })?;
    }
    if shell.output.format.is_object() {
        shell.output.object(&report.to_json())?;
    }
    // What was all skipped says nothing about the component, and is no success of a run that is to guard something.
    let good = failed == 0 && passed > 0;
    let tone = if good { Tone::Good } else { Tone::Bad };
    let text = shell.output.style.paint(tone, format!("{passed} passed, {failed} failed, {skipped} skipped")).into_owned();
    shell.output.print(&format!("\n{text} in {:.1} s\n", start.elapsed().as_secs_f64()));
    if passed == 0 && failed == 0 && !interrupt_of(shell) {
        shell.output.error("nothing was tested: every check that ran was skipped, and says above why\n");
    }
    Ok(if good && !interrupt_of(shell) { Exit::Fine } else { Exit::Failed })
}

fn interrupt_of(shell: &Shell<'_>) -> bool {
    shell.interrupt.is_interrupted()
}

/// One check on its line; below it why, where somebody has to know. What several fail for is said once, and then by the name of
/// the check that said it, unless somebody asks for more words: `told` holds these.
fn show(output: &mut Output, told: &mut HashMap<String, &'static str>, it: &Checked) {
    let width = conformance::names().map(|(name, _)| name.len()).max().unwrap_or_default();
    let style = output.style;
    let (sign, tone) = match it.outcome {
        Outcome::Passed => (style.done(), Tone::Good),
        Outcome::Failed => (style.failed(), Tone::Bad),
        Outcome::Skipped => ("-", Tone::Faint),
    };
    let mut text =
        format!("{} {:width$}  {}\n", style.paint(tone, format!("{sign:<2}")), it.name, style.paint(Tone::Faint, it.about));
    if it.outcome != Outcome::Passed || output.verbose > 0 {
        let first = match it.outcome {
            Outcome::Failed if output.verbose == 0 => *told.entry(it.cause.clone()).or_insert(it.name),
            Outcome::Failed | Outcome::Passed | Outcome::Skipped => it.name,
        };
        let detail = if first == it.name { clean_lines(&it.detail) } else { format!("as above, at {first}").into() };
        for line in detail.lines() {
            text.push_str(&format!("     {line}\n"));
        }
    }
    output.print(&text);
}

/// Names of checks that were asked for must be some.
fn known(only: &[String]) -> Result<(), CliError> {
    let names: Vec<&str> = conformance::names().map(|(name, _)| name).collect();
    match only.iter().find(|it| !names.contains(&it.as_str())) {
        None => Ok(()),
        Some(wrong) => {
            Err(CliError::usage(format!("there is no check `{wrong}`")).hint(format!("the checks are {}", names.join(", "))))
        }
    }
}

fn open(dir: &Path) -> Result<(PluginProject, Test), CliError> {
    let (project, _) = PluginProject::open(dir).map_err(|(diagnostics, bytes)| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let error = CliError::new(codes::PLUGIN_PROJECT, format!("`{}` cannot be used", dir.join(FILE).display()));
        CliError { diagnostics, ..error }.texts(Texts::new(move |file| (file == FILE).then(|| text.clone())))
    })?;
    let test = project.test.clone().ok_or_else(|| {
        let hint = "say under `test:` which server it runs against, and objects to test with: see docs on plugin.yaml";
        CliError::new(codes::PLUGIN_PROJECT, format!("`{}` has no `test`", dir.join(FILE).display())).hint(hint)
    })?;
    Ok((project, test))
}

async fn load(path: &Path) -> Result<(host::Plugin, Vec<u8>), CliError> {
    let failed = |error: String| CliError::new(codes::PLUGIN_LOAD, format!("`{}`: {error}", path.display()));
    let wasm = match path.to_str().and_then(bundled::find) {
        Some(found) => found.wasm.to_vec(),
        None => read_component(path).map_err(|error| failed(error.to_string()).hint("build it first: `trueup plugin build`"))?,
    };
    let cache_dir = folders().map_err(|it| failure(it, None))?.cache.join("compiled");
    let runtime = host::Runtime::counting(host::RuntimeOptions { cache_dir, limits: host::Limits::default() });
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let plugin = runtime.load(&wasm).await.map_err(|error| failed(error.to_string()))?;
    Ok((plugin, wasm))
}
