//! Errors that end a command: what happened, under which code, what to do next.
//!
//! Every failure of the engine becomes a [`CliError`] on its way up; the class of exit is decided by its code and never
//! by its words.

use std::fmt;
use std::sync::Arc;

use trueup_core::diagnostic::{Code, Diagnostic, codes};

use super::exit::Exit;
use crate::output::clean::clean;
use crate::output::json;
use crate::output::style::{Style, Tone};

/// Why a command ended without its result.
#[derive(Debug)]
pub struct CliError {
    pub code: Code,
    /// Lower case, no full stop, never a secret.
    pub message: String,
    pub hint: Option<String>,
    /// Findings that belong to it, with places.
    pub diagnostics: Vec<Diagnostic>,
    /// Where the lines to show with them come from.
    pub texts: Option<Texts>,
    /// How the process ends.
    pub exit: Exit,
}

/// Gives the text of a file of the source by its path.
#[derive(Clone)]
pub struct Texts(Arc<dyn Fn(&str) -> Option<String> + Send + Sync>);

impl Texts {
    pub fn new(texts: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(texts))
    }

    /// None where there is no such file, or it cannot be read.
    pub fn get(&self, file: &str) -> Option<String> {
        (self.0)(file)
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts")
    }
}

impl CliError {
    /// A failure under a code; wrong usage and a held lock have exits of their own.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let exit = match code {
            codes::USAGE => Exit::Usage,
            codes::LOCKED | codes::REGISTRY_AWAY => Exit::TryAgain,
            _ => Exit::Failed,
        };
        Self { code, message: message.into(), hint: None, diagnostics: Vec::new(), texts: None, exit }
    }

    /// Wrong use of the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(codes::USAGE, message)
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says where lines come from.
    #[must_use]
    pub fn texts(mut self, texts: Texts) -> Self {
        self.texts = Some(texts);
        self
    }

    /// Ends the process in another way than the code says.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// From the chain of causes of an error that carries no code.
    pub fn from_chain(code: Code, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        // A cause that its outer error already quotes is not said twice.
        for _ in 0..16 {
            let Some(error) = cause else { break };
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(code, message)
    }

    /// The first error of `diagnostics` speaks for all.
    pub fn from_diagnostics(diagnostics: Vec<Diagnostic>) -> Self {
        let count = diagnostics.iter().filter(|it| it.is_error()).count();
        let first = diagnostics.iter().find(|it| it.is_error());
        let code = first.map_or(codes::SHAPE, |it| it.code);
        let message = match (count, first) {
            (1, Some(first)) => first.message.clone(),
            _ => format!("{count} errors in the documents"),
        };
        Self { diagnostics, ..Self::new(code, message) }
    }

    /// For people, ending in a line break; nothing where the diagnostics say it already.
    pub fn render(&self, style: &Style) -> String {
        if self.diagnostics.iter().any(|it| it.is_error() && it.message == self.message) {
            return String::new();
        }
        let head = style.paint(Tone::Bad, format!("error[{}]", self.code));
        let mut out = format!("{head}: {}\n", clean(&self.message));
        if let Some(hint) = &self.hint {
            out.push_str(&format!("  = help: {}\n", clean(hint)));
        }
        out
    }

    /// For programs.
    pub fn shape(&self) -> json::Failure {
        json::Failure {
            format: json::ERROR.to_owned(),
            error: json::ErrorText { code: self.code.to_string(), message: self.message.clone(), hint: self.hint.clone() },
            diagnostics: self.diagnostics.iter().map(json::Diagnostic::from).collect(),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for CliError {}

impl From<anyhow::Error> for CliError {
    /// Keeps the code of a [`CliError`] in the chain; anything else failed for a reason that has none.
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::from_chain(codes::SOURCE_UNREADABLE, error.as_ref()),
        }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(codes::USAGE, format!("the result cannot be written as JSON: {error}")).exit(Exit::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_the_exit() {
        assert_eq!(CliError::usage("x").exit, Exit::Usage);
        assert_eq!(CliError::new(codes::LOCKED, "x").exit, Exit::TryAgain);
        assert_eq!(CliError::new(codes::STORE, "x").exit, Exit::Failed);
    }

    #[test]
    fn an_error_is_two_lines_with_code_and_hint_and_nothing_raw() {
        let it = CliError::new(codes::STORE, "cannot open `a\u{1b}b`").hint("is the folder\nwritable?");
        assert_eq!(it.render(&Style::PLAIN), "error[TU0800]: cannot open `a\\u001bb`\n  = help: is the folder\\nwritable?\n");
    }

    #[test]
    fn a_cause_that_is_already_quoted_is_not_repeated() {
        let io = std::io::Error::other("disk full");
        let error = anyhow::Error::new(io).context("cannot write x: disk full").context("cannot save");
        assert_eq!(CliError::from(error).message, "cannot save: cannot write x: disk full");
        let error = anyhow::Error::new(CliError::new(codes::LOCKED, "held")).context("outer");
        assert_eq!(CliError::from(error).code, codes::LOCKED);
    }
}
