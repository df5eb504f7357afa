//! What leaves the engine for people and programs: terminal, JSON, YAML.
//!
//! Owns every byte on stdout and stderr. Results go to stdout, progress and findings to stderr; with `-o json` or
//! `-o yaml` stdout holds exactly one object. Text from outside passes through [`clean`] before a terminal sees it.

pub mod clean;
pub mod diagnostic;
pub mod difference;
pub mod json;
pub mod plan;
pub mod progress;
pub mod result;
pub mod style;
pub mod table;
pub mod time;
pub mod value;
pub mod waits;
pub mod yaml;

use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;
use trueup_core::diagnostic::Diagnostic;

use self::style::{Style, Surroundings};
use crate::cli::arguments::Global;

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON object on stdout
    Json,
    /// The same object as YAML
    Yaml,
    /// Names only, one a line
    Name,
}

impl Format {
    /// Whether a program reads stdout.
    pub fn is_object(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Both streams of a run and how they are written to. A stream that was closed by its reader swallows the rest.
pub struct Output {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// How stdout is written to.
    pub style: Style,
    /// How stderr is written to.
    pub err_style: Style,
    pub format: Format,
    /// `-q`: results, questions and errors only.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u8,
    /// Whether somebody can be asked: stdin and stderr are terminals, and nobody said `--no-input`.
    pub interactive: bool,
    /// Whether stderr is a terminal that can be redrawn.
    pub animated: bool,
    printed: bool,
    /// Why a result did not get onto stdout as a whole.
    fault: Option<io::Error>,
    /// Whether stdin, stdout and stderr are terminals.
    terminals: (bool, bool, bool),
}

/// Columns of a terminal.
fn columns(stream: impl std::os::fd::AsFd) -> Option<usize> {
    rustix::termios::tcgetwinsize(stream).ok().map(|it| usize::from(it.ws_col)).filter(|it| *it > 0)
}

impl Output {
    /// Writes to these two, without colours, for nobody who could answer.
    pub fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            err,
            style: Style::PLAIN,
            err_style: Style::PLAIN,
            format: Format::Table,
            quiet: false,
            verbose: 0,
            interactive: false,
            animated: false,
            printed: false,
            fault: None,
            terminals: (false, false, false),
        }
    }

    /// The process's own streams.
    pub fn standard() -> Self {
        let terminals = (io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal());
        Self { terminals, ..Self::new(Box::new(io::BufWriter::new(io::stdout())), Box::new(io::stderr())) }
    }

    /// Takes over what the command line and the environment say about output.
    pub fn configure(&mut self, global: &Global) {
        let (stdin, stdout, stderr) = self.terminals;
        let get = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
        let (term, locale) = (get("TERM"), ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(get));
        let style = |terminal: bool, width: Option<usize>| {
            let surroundings = Surroundings {
                terminal,
                no_color: get("NO_COLOR").is_some(),
                clicolor_force: get("CLICOLOR_FORCE").is_some_and(|it| it != "0"),
                term: term.as_deref(),
                locale: locale.as_deref(),
            };
            Style::decide(global.color, surroundings, width)
        };
        self.style = style(stdout, stdout.then(|| columns(io::stdout())).flatten());
        self.err_style = style(stderr, stderr.then(|| columns(io::stderr())).flatten());
        self.format = global.output;
        self.quiet = global.quiet;
        self.verbose = global.verbose;
        self.interactive = stdin && stderr && !global.no_input;
        self.animated = stderr && term.is_some_and(|it| it != "dumb") && get("CI").is_none();
    }

    /// Text on stdout, for people; nothing where a program reads stdout.
    pub fn print(&mut self, text: &str) {
        if !self.format.is_object() {
            self.raw(text);
        }
    }

    /// Text on stdout whatever the format: help, scripts.
    pub fn script(&mut self, text: &str) {
        self.raw(text);
    }

    /// Names on stdout, one a line, cleaned.
    pub fn names<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let text: String = names.into_iter().map(|it| format!("{}\n", clean::clean(it))).collect();
        self.raw(&text);
    }

    /// The one object on stdout, as JSON or YAML by the format asked for; anything else is a mistake of the caller and
    /// becomes JSON.
    pub fn object<T: Serialize>(&mut self, value: &T) -> serde_json::Result<()> {
        let text = match self.format {
            Format::Yaml => yaml::to_yaml(&serde_json::to_value(value)?),
            _ => format!("{}\n", clean::escape(serde_json::to_string_pretty(value)?)),
        };
        self.raw(&text);
        self.printed = true;
        Ok(())
    }

    /// Whether stdout already holds its object.
    pub fn has_object(&self) -> bool {
        self.printed
    }

    /// Text on stderr that `-q` silences.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            self.error(text);
        }
    }

    /// Text on stderr.
    pub fn error(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }

    /// Findings on stderr; where a program reads stdout they are in its object as well.
    pub fn diagnostics(&mut self, diagnostics: &[Diagnostic], texts: &diagnostic::Texts<'_>) {
        let text = diagnostic::render_all(diagnostics, texts, &self.err_style);
        self.error(&text);
    }

    /// Writes out what is held back.
    pub fn flush(&mut self) {
        let written = self.out.flush();
        self.note_fault(written);
        let _ = self.err.flush();
    }

    /// Why a result did not get onto stdout as a whole, if it did not; told once.
    pub fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take()
    }

    fn raw(&mut self, text: &str) {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        self.note_fault(written);
    }

    /// A reader that closed its end has what it wanted; anything else is a loss.
    fn note_fault(&mut self, written: io::Result<()>) {
        let fault = written.err().filter(|it| it.kind() != io::ErrorKind::BrokenPipe);
        self.fault = self.fault.take().or(fault);
    }
}

/// Streams for tests: what was written can be read afterwards.
#[cfg(test)]
pub(crate) mod capture {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    /// A stream that remembers.
    #[derive(Clone, Default)]
    pub struct Capture(Arc<Mutex<Vec<u8>>>);

    impl Capture {
        pub fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }
    }

    impl Write for Capture {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output and its two streams.
    pub fn output() -> (super::Output, Capture, Capture) {
        let (out, err) = (Capture::default(), Capture::default());
        (super::Output::new(Box::new(out.clone()), Box::new(err.clone())), out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_reads_stdout_gets_one_object_and_nothing_else() {
        for (format, want) in [(Format::Json, "{\n  \"a\": 1\n}\n"), (Format::Yaml, "a: 1\n")] {
            let (mut output, out, err) = capture::output();
            output.format = format;
            output.print("for people");
            output.note("progress\n");
            output.object(&serde_json::json!({"a": 1})).unwrap();
            assert_eq!(out.text(), want);
            assert_eq!(err.text(), "progress\n");
        }
    }

    #[test]
    fn quiet_silences_notes_and_never_errors() {
        let (mut output, _, err) = capture::output();
        output.quiet = true;
        output.note("note\n");
        output.error("error\n");
        assert_eq!(err.text(), "error\n");
    }
}
