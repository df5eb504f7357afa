//! Errors of a provider: what the host should do ([`Fault`]) and what a person should read.

use std::fmt;

use crate::{Diagnostic, Failure, Fault, Health, HealthState, Outcome, Remote, Settlement, Severity};

/// Result of most functions that an author writes.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One failure. The text is for people: lower case, no full stop, what and where and what to do next, never a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What the host should do about it.
    pub fault: Fault,
    /// Stable and machine-readable: `http.status`, `file.exists`.
    pub code: String,
    pub message: String,
    /// More to read, where the message is not enough.
    pub detail: Option<String>,
    /// JSON pointer into the document, where the error is about a field.
    pub path: Option<String>,
    /// The change may have taken effect: in `apply` this becomes `unsettled` in place of `rejected`.
    pub unsettled: bool,
}

impl Error {
    /// An error of any fault.
    pub fn new(fault: Fault, code: &str, message: impl Into<String>) -> Self {
        Self { fault, code: code.to_owned(), message: message.into(), detail: None, path: None, unsettled: false }
    }

    /// The document is wrong. Not tried again until Git changes.
    pub fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(Fault::Invalid, code, message)
    }

    /// The object changed since it was observed, or has another owner.
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(Fault::Conflict, code, message)
    }

    /// A later try may succeed with nobody doing anything.
    pub fn transient(code: &str, message: impl Into<String>) -> Self {
        Self::new(Fault::Transient(None), code, message)
    }

    /// This provider does not do that.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Fault::Unsupported, "sdk.unsupported", message)
    }

    /// A bug in the plugin.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Fault::Internal, "sdk.internal", message)
    }

    /// Names the field that the error is about.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.path = Some(pointer.into());
        self
    }

    /// Adds more to read.
    #[must_use]
    pub fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail = Some(text.into());
        self
    }

    /// Says that the change may have taken effect.
    #[must_use]
    pub fn unsettled(mut self) -> Self {
        self.unsettled = true;
        self
    }

    /// As one finding.
    pub fn diagnostic(&self, severity: Severity) -> Diagnostic {
        Diagnostic {
            severity,
            code: self.code.clone(),
            summary: self.message.clone(),
            detail: self.detail.clone(),
            path: self.path.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { diagnostics: vec![error.diagnostic(Severity::Error)], fault: error.fault }
    }
}

impl From<serde_json::Error> for Error {
    /// JSON that the engine or a server sent does not have the shape that the provider expects. The text holds no value.
    fn from(error: serde_json::Error) -> Self {
        let message = match error.classify() {
            serde_json::error::Category::Data => {
                format!("unexpected shape of JSON at line {}, column {}", error.line(), error.column())
            }
            _ => format!("not JSON at line {}, column {}", error.line(), error.column()),
        };
        Self::internal(message)
    }
}

/// Healthy, with nothing to say.
pub fn healthy() -> Health {
    Health { state: HealthState::Healthy, message: String::new() }
}

impl Outcome {
    /// Done; the object as it now is, none after a delete.
    pub fn settled(object: Option<Remote>) -> Self {
        Self { settlement: Settlement::Settled, object, diagnostics: Vec::new(), ext: Vec::new() }
    }

    /// Not done: rejected, or unsettled where the error says that the change may have taken effect.
    pub fn failed(error: Error) -> Self {
        let unsettled = error.unsettled;
        let failure = Failure::from(error);
        let settlement = if unsettled { Settlement::Unsettled(failure) } else { Settlement::Rejected(failure) };
        Self { settlement, object: None, diagnostics: Vec::new(), ext: Vec::new() }
    }
}
