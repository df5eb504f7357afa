//! The command line: arguments in, output and one exit code out.
//!
//! Owns the surface only. Every verb is one module with one `run`, which takes its arguments and an [`Output`] and gives
//! an [`Exit`] or a [`CliError`]; what it shows is made in [`crate::output`], what it does in [`crate::engine`].
//!
//! Invariant: [`run`] never ends the process and never panics on input, so that it can be called again (the demo does).

mod adopt;
mod again;
mod apply;
pub mod arguments;
mod ask;
mod completions;
mod demo;
mod doctor;
mod documents;
pub mod error;
pub mod exit;
mod explain;
mod help;
mod history;
mod init;
pub mod interrupt;
mod ownership;
mod plan;
mod plugin;
mod record;
mod replay;
mod reviewed;
mod schema;
mod session;
mod state;
mod trust;
mod version;
mod why;

use std::ffi::OsString;

use clap::Parser as _;
use clap::error::ErrorKind;
use trueup_core::diagnostic::codes;

use self::arguments::{Arguments, Global, Verb};
use self::error::CliError;
use self::exit::Exit;
use self::interrupt::Interrupt;
use crate::output::{Format, Output};

/// What every verb gets beside its arguments.
pub(crate) struct Shell<'a> {
    pub global: Global,
    pub output: &'a mut Output,
    pub interrupt: &'a Interrupt,
}

/// Runs one command line, the program's name first. Everything that is to be said is said when this returns.
pub async fn run(arguments: Vec<OsString>, output: &mut Output, interrupt: &Interrupt) -> Exit {
    let exit = match parse(&arguments) {
        Ok(Parsed::Text(text)) => {
            output.script(&text);
            Exit::Fine
        }
        Ok(Parsed::Verb(parsed)) => {
            output.configure(&parsed.global);
            trace(parsed.global.verbose);
            let mut shell = Shell { global: parsed.global, output, interrupt };
            match dispatch(parsed.verb, &mut shell).await {
                Ok(exit) => exit,
                Err(error) => report(&error, output),
            }
        }
        Err((error, format)) => {
            output.format = format;
            report(&error, output)
        }
    };
    output.flush();
    let exit = match output.take_fault() {
        // Half a result is none: whoever reads it must not take it for the whole.
        Some(fault) => {
            let text = format!("the result could not be written: {fault}");
            report(&CliError::new(codes::USAGE, text).exit(Exit::Failed), output)
        }
        None => exit,
    };
    match exit {
        Exit::Failed if interrupt.is_interrupted() => Exit::Interrupted,
        exit => exit,
    }
}

/// Sends what the engine and plugins log to standard error: errors; with `-v` warnings and notes; with `-vv` all of it.
/// Control characters of messages are escaped by the subscriber.
fn trace(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::ERROR,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .with_ansi(false);
    // The demo runs verbs one after the other: the first one's choice stands.
    let _ = subscriber.try_init();
}

async fn dispatch(verb: Verb, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match verb {
        Verb::Init(it) => init::run(&it, shell),
        Verb::Demo(_) => demo::run(shell).await,
        Verb::Trust(it) => trust::run(&it, shell),
        Verb::Plan(it) => plan::run(&it, shell).await,
        Verb::Apply(it) => apply::apply(&it, shell).await,
        Verb::Destroy(it) => apply::destroy(&it, shell).await,
        Verb::Adopt(it) => adopt::run(&it, shell).await,
        Verb::Forget(it) => ownership::forget(&it, shell).await,
        Verb::Resolve(it) => ownership::resolve(&it, shell).await,
        Verb::Status(it) => state::status(&it, shell),
        Verb::Get(it) => state::get(&it, shell),
        Verb::History(it) => history::run(&it, shell),
        Verb::Why(it) => why::run(&it, shell).await,
        Verb::Explain(it) => explain::run(&it, shell).await,
        Verb::Schema(it) => schema::run(&it, shell).await,
        Verb::Validate(it) => documents::validate(&it, shell).await,
        Verb::Render(it) => documents::render(&it, shell).await,
        Verb::Replay(it) => replay::run(&it, shell).await,
        Verb::Plugin(it) => plugin::run(&it, shell).await,
        Verb::Doctor(_) => doctor::run(shell),
        Verb::Completions(it) => completions::run(&it, shell.output),
        Verb::Version(_) => version::run(shell.output),
        Verb::Help(it) => help::run(&it, shell.output),
    }
}

/// Says why a command failed: findings and the error on stderr, one object on stdout where a program reads it.
fn report(error: &CliError, output: &mut Output) -> Exit {
    let texts = |file: &str| error.texts.as_ref().and_then(|it| it.get(file));
    output.diagnostics(&error.diagnostics, &texts);
    let text = error.render(&output.err_style);
    output.error(&text);
    if output.format.is_object() && !output.has_object() && output.object(&error.shape()).is_err() {
        output.error("the error cannot be written as JSON\n");
    }
    error.exit
}

/// What a command line asks for.
enum Parsed {
    Verb(Box<Arguments>),
    /// Help or version, for stdout.
    Text(String),
}

/// Reads the command line. clap's own exit code for wrong usage (2) never leaves: here it becomes 64.
fn parse(arguments: &[OsString]) -> Result<Parsed, (CliError, Format)> {
    if arguments.len() < 2 {
        return Ok(Parsed::Text(help::short()));
    }
    match Arguments::try_parse_from(arguments) {
        Ok(parsed) => Ok(Parsed::Verb(Box::new(parsed))),
        // A command that only holds others is answered with its help, as the program alone is.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            ) =>
        {
            Ok(Parsed::Text(error.to_string()))
        }
        Err(error) => Err((usage(&error), wanted_format(arguments))),
    }
}

/// clap's message as one of ours: the first paragraph says what is wrong, the rest what would be right.
fn usage(error: &clap::Error) -> CliError {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let one_line = |it: &str| it.split_whitespace().collect::<Vec<_>>().join(" ");
    let hint = rest.split("\n\n").map(one_line).filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ");
    let failure = CliError::usage(one_line(message));
    if hint.is_empty() { failure.hint("see `trueup --help`") } else { failure.hint(hint) }
}

/// The format that a command line which does not parse asked for.
fn wanted_format(arguments: &[OsString]) -> Format {
    let mut arguments = arguments.iter().filter_map(|it| it.to_str());
    let mut wanted = std::env::var("TRUEUP_OUTPUT").ok();
    while let Some(argument) = arguments.next() {
        let value = match argument {
            "-o" | "--output" => arguments.next(),
            _ => argument.strip_prefix("--output=").or_else(|| argument.strip_prefix("-o")),
        };
        wanted = value.map(|it| it.trim_start_matches('=').to_owned()).or(wanted);
    }
    match wanted.as_deref() {
        Some("json") => Format::Json,
        Some("yaml") => Format::Yaml,
        _ => Format::Table,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::output::capture;

    /// Runs a command line of words without spaces: exit code, stdout, stderr.
    pub fn run_line(line: &str) -> (u8, String, String) {
        let (mut output, out, err) = capture::output();
        let words = line.split(' ').map(OsString::from).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let exit = runtime.block_on(run(words, &mut output, &Interrupt::default()));
        (exit.code(), out.text(), err.text())
    }

    #[test]
    fn the_program_alone_prints_a_short_help_with_two_examples() {
        let (code, out, err) = run_line("trueup");
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.lines().count() < 50, "{out}");
        assert_eq!(out.matches("\n  trueup ").count(), 2, "{out}");
    }

    #[test]
    fn wrong_usage_is_64_and_suggests_what_was_meant() {
        let (code, out, err) = run_line("trueup plna");
        assert_eq!((code, out.as_str()), (64, ""));
        assert!(err.starts_with("error[TU0900]: unrecognized subcommand 'plna'\n"), "{err}");
        assert!(err.contains("'plan'"), "{err}");
        assert_eq!(run_line("trueup plan --rev").0, 64);
        assert_eq!(run_line("trueup help nothing").0, 64);
    }

    #[test]
    fn wrong_usage_is_one_object_for_programs() {
        for line in ["trueup plna -o json", "trueup -ojson plna", "trueup --output=json plna", "trueup plan --nonsense -o=json"] {
            let (code, out, _) = run_line(line);
            let it: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}: {out}"));
            assert_eq!((code, &it["format"], &it["error"]["code"]), (64, &"trueup.error/1".into(), &"TU0900".into()), "{line}");
        }
    }

    #[test]
    fn help_and_version_are_results() {
        for line in ["trueup plugin", "trueup help expressions", "trueup help credentials", "trueup help codes"] {
            let (code, out, err) = run_line(line);
            assert_eq!((code, err.as_str()), (0, ""), "{line}");
            assert!(out.lines().count() > 5, "{line}: {out}");
        }
        for line in ["trueup --help", "trueup -h", "trueup plan --help", "trueup --version", "trueup help plan", "trueup help"] {
            let (code, out, err) = run_line(line);
            assert_eq!((code, err.as_str()), (0, ""), "{line}");
            assert!(out.contains("trueup"), "{line}: {out}");
        }
    }
}
