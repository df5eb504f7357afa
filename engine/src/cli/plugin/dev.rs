//! `trueup plugin dev`: build, show the plan of the example, and again on each save.
//!
//! The plan is made by this very program as a process of its own, on the example's work tree: what is shown is what a user of
//! the plugin sees. It runs with the credentials of plugin.yaml, and with no one's own.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use trueup_core::diagnostic::codes;

use super::arguments::DevArgs;
use super::build::{EXAMPLE, Opened, component, head, open};
use crate::cli::Shell;
use crate::cli::error::{CliError, Texts};
use crate::cli::exit::Exit;
use crate::config::{project, tree};
use crate::kit::build::process::{Running, Stop};
use crate::kit::dev::{Changed, FOLDER, Server, ServerError, Sources, free_port, port_of, write_credentials};
use crate::kit::project::{Build, Test};
use crate::output::clean::{clean, clean_lines};
use crate::regular;

/// Between two looks at the sources.
const LOOK: Duration = Duration::from_millis(300);

pub async fn run(arguments: &DevArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    if shell.output.format.is_object() {
        return Err(CliError::usage("`plugin dev` is for people: it has no result to write as JSON"));
    }
    let mut opened = open(shell, arguments.folder.as_deref())?;
    let example = opened.folder.join(EXAMPLE);
    if !example.join(project::FILE).exists() {
        let text = format!("there is no project in `{}`", example.display());
        return Err(CliError::new(codes::PLUGIN_PROJECT, text)
            .hint("`plugin dev` shows the plan of a project there that uses the plugin; `trueup init example` makes one"));
    }
    let stop = Stop::default();
    let stopping = stop.clone();
    let working = shell.interrupt.working(move || stopping.stop());
    hang_up(&stop);
    let mut around = Around { server: None, apply: arguments.apply, stop: stop.clone() };
    let mut seen = Sources::of(&opened.folder);
    let mut changed = Changed { settings: true, server: true, plugin: true, example: true };
    while !stop.is_stopped() {
        if let Err(error) = around.round(&mut opened, changed, shell).await
            && !stop.is_stopped()
        {
            show(&error, shell);
        }
        if !stop.is_stopped() {
            shell.output.note("\nwatching for changes; Ctrl-C ends it\n");
        }
        changed = wait(&opened.folder, &mut seen, &stop);
    }
    drop(around);
    drop(working);
    shell.output.note("ended, and the test's server with it\n");
    Ok(Exit::Fine)
}

/// A terminal that is closed ends everything, as Ctrl-C does.
fn hang_up(stop: &Stop) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hung_up) = signal(SignalKind::hangup()) else { return };
    let stop = stop.clone();
    tokio::spawn(async move {
        hung_up.recv().await;
        stop.stop();
    });
}

/// Waits for a change, and then until nothing changes any more: an editor writes more than one file, and not at once.
fn wait(folder: &Path, seen: &mut Sources, stop: &Stop) -> Changed {
    let mut last = seen.clone();
    loop {
        let now = Sources::of(folder);
        let changed = seen.changed(&now);
        if changed.any() && now == last {
            *seen = now;
            return changed;
        }
        last = now;
        if stop.within(LOOK) {
            return Changed::default();
        }
    }
}

fn show(error: &CliError, shell: &mut Shell<'_>) {
    let texts = |file: &str| error.texts.as_ref().and_then(|it| it.get(file));
    shell.output.diagnostics(&error.diagnostics, &texts);
    let text = error.render(&shell.output.err_style);
    shell.output.error(&text);
}

/// What lives from round to round.
struct Around {
    server: Option<(Server, u16)>,
    apply: bool,
    stop: Stop,
}

impl Around {
    /// Does what a change asks for, and shows the plan.
    async fn round(&mut self, opened: &mut Opened, changed: Changed, shell: &mut Shell<'_>) -> Result<(), CliError> {
        if changed.settings {
            *opened = open(shell, Some(&opened.folder))?;
        }
        // What was never built is built, whatever changed.
        let known = opened.folder.join(opened.project.component()).is_file();
        // With a command of the author's, anything may be a source of it.
        let all = matches!(opened.project.build, Build::Command { .. }) && changed.server;
        if changed.plugin || changed.settings || all || !known {
            let built = component(opened, &self.stop, shell).await?;
            let text = head(opened, &built, &shell.output.style);
            shell.output.print(&text);
        }
        let example = opened.folder.join(EXAMPLE);
        let project = read_example(&example)?;
        let credentials = match &opened.project.test {
            Some(test) => Some(self.serve(opened, test, &project, changed, shell)?),
            None => None,
        };
        self.plan(&example, credentials.as_deref(), shell)
    }

    /// Sees to it that the test's server runs, and gives the path of the credentials for it.
    fn serve(
        &mut self,
        opened: &Opened,
        test: &Test,
        example: &project::Project,
        changed: Changed,
        shell: &mut Shell<'_>,
    ) -> Result<PathBuf, CliError> {
        let io = |error: io::Error| CliError::new(codes::PLUGIN_PROJECT, format!("cannot write {FOLDER}: {error}"));
        let port = match port_of(example) {
            Some(port) => port,
            None => free_port().map_err(io)?,
        };
        let test = test.at_port(port);
        let gone = self.server.as_mut().is_none_or(|(server, at)| *at != port || server.has_ended());
        if test.server.is_some() && (gone || changed.server || changed.settings) {
            // The port must be free before the next one starts.
            self.server = None;
            shell.output.note(&format!("starting the test's server on port {port}\n"));
            let started = Server::start(&opened.folder, &test, port, &self.stop);
            self.server = started.map_err(|error| refused(&error, &opened.folder))?.map(|it| (it, port));
        }
        write_credentials(&opened.folder, example, &test).map_err(io)
    }

    /// Runs this program on the example.
    fn plan(&self, example: &Path, credentials: Option<&Path>, shell: &mut Shell<'_>) -> Result<(), CliError> {
        let failed = |error: io::Error| CliError::new(codes::PLUGIN_PROJECT, format!("cannot run trueup itself: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("-C").arg(example).arg("--trust");
        if let Some(file) = credentials {
            command.arg("--credentials").arg(file);
        }
        if let Some(environment) = &shell.global.environment {
            command.args(["--env", environment]);
        }
        match self.apply {
            true => command.args(["apply", "--yes", "--worktree"]),
            false => command.args(["plan", "--worktree"]),
        };
        shell.output.print("\n");
        shell.output.flush();
        // Its code says what it found, and it has told everything itself.
        let ended = Running::start(&mut command, &self.stop).and_then(|mut it| it.wait());
        match ended {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

fn read_example(folder: &Path) -> Result<project::Project, CliError> {
    let file = folder.join(project::FILE);
    let bytes = regular::read(&file, tree::BYTES as u64)
        .map_err(|error| CliError::new(codes::PROJECT, format!("cannot read {}: {error}", file.display())))?;
    project::Project::parse(project::FILE, &bytes).map_err(|findings| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let texts = Texts::new(move |file| (file == project::FILE).then(|| text.clone()));
        CliError::from_diagnostics(findings).texts(texts)
    })
}

fn refused(error: &ServerError, folder: &Path) -> CliError {
    let failure = CliError::new(codes::PLUGIN_PROJECT, clean_lines(&error.to_string()).into_owned());
    match error {
        ServerError::Taken(_) => failure.hint("end it, or change the port in example/trueup.yaml"),
        ServerError::Start(..) => failure.hint("`test.server.command` in plugin.yaml says how it is started"),
        ServerError::Ended(_) | ServerError::Silent(..) => {
            failure.hint(format!("all it said stands in {}", clean(&folder.join(FOLDER).join("server.log").to_string_lossy())))
        }
        ServerError::Interrupted => failure.exit(Exit::Interrupted),
    }
}
