//! Why a plugin cannot be loaded, and why a call into one gave no answer.
//!
//! Invariant: no text here holds a secret or an answer's content; a plugin's own words are bounded and masked first.

use std::fmt;
use std::time::Duration;

use crate::records::{Failure, Fault};

/// Why a plugin cannot be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// Larger than what is compiled.
    TooLarge { bytes: u64, limit: u64 },
    /// The bytes are not those that were named.
    Digest { want: String, got: String },
    /// Not a component, or one that the compiler refuses.
    Invalid(String),
    /// Imports something that the host does not offer.
    Import(String),
    /// Does not export what every provider must.
    Export(String),
    /// Built for a version of the contract that this one does not speak; `newer`: for a later one.
    Version { theirs: String, ours: &'static str, newer: bool },
    /// `describe` or the start of an instance failed.
    Describe(Box<CallError>),
    /// The manifest breaks its schema.
    Manifest(String),
    /// The component's bytes cannot be read.
    Bytes(std::io::Error),
    /// The host itself: cache folder, engine.
    Host(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(f, "the plugin has {bytes} bytes; plugins above {limit} bytes are not compiled")
            }
            Self::Digest { want, got } => write!(f, "the plugin's digest is {got}, not {want}"),
            Self::Invalid(text) => write!(f, "the file is not a plugin: {text}"),
            Self::Import(name) => write!(
                f,
                "the plugin imports `{name}`, which plugins do not get; build it for the world `trueup:provider/provider`"
            ),
            Self::Export(text) => write!(f, "the plugin does not export the provider contract: {text}"),
            Self::Version { theirs, ours, newer } => {
                let cure = if *newer {
                    "use a newer trueup, or an older release of the plugin"
                } else {
                    "use a newer release of the plugin, or build it again with this version's SDK"
                };
                write!(f, "the plugin is built for version {theirs} of the contract and this trueup speaks {ours}: {cure}")
            }
            Self::Describe(err) => write!(f, "the plugin cannot describe itself: {err}"),
            Self::Manifest(text) => write!(f, "the plugin's manifest is wrong: {text}"),
            Self::Bytes(_) => f.write_str("the plugin's file cannot be read"),
            Self::Host(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bytes(err) => Some(err),
            Self::Describe(err) => Some(err),
            Self::TooLarge { .. }
            | Self::Digest { .. }
            | Self::Invalid(_)
            | Self::Import(_)
            | Self::Export(_)
            | Self::Version { .. }
            | Self::Manifest(_)
            | Self::Host(_) => None,
        }
    }
}

/// Why a call into a plugin gave no answer. Its instance is gone; the next call gets a new one.
///
/// After any of these from `apply`, `poll` or `cancel` it is unknown what the call changed, unless
/// [`CallError::never_began`] says that it did not come so far.
#[derive(Debug)]
pub enum CallError {
    /// Ran past its deadline and was stopped.
    Deadline { plugin: String, function: &'static str, limit: Duration },
    /// Asked for more memory than it may have.
    Memory { plugin: String, function: &'static str, limit: u64 },
    /// Recursed deeper than its stack.
    Stack { plugin: String, function: &'static str },
    /// Crashed; `text` is the kind of trap and, where there is one, the plugin's last words.
    Trap { plugin: String, function: &'static str, text: String },
    /// Handed over more than an answer may hold.
    TooLarge { plugin: String, function: &'static str, limit: u64 },
    /// Answered what the contract forbids.
    Contract { plugin: String, function: &'static str, text: String },
    /// Refused its configuration.
    Configure { plugin: String, failure: Failure },
    /// Does not export the interface.
    Unsupported { plugin: String, function: &'static str },
    /// The host could not make the call.
    Host { plugin: String, text: String },
}

impl CallError {
    /// A stable word for the class: `deadline`, `memory`, `stack`, `trap`, `too-large`, `contract`, `configure`,
    /// `unsupported`, `host`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Stack { .. } => "stack",
            Self::Trap { .. } => "trap",
            Self::TooLarge { .. } => "too-large",
            Self::Contract { .. } => "contract",
            Self::Configure { .. } => "configure",
            Self::Unsupported { .. } => "unsupported",
            Self::Host { .. } => "host",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Deadline { .. } | Self::Host { .. } => true,
            Self::Configure { failure, .. } => failure.fault.is_transient(),
            Self::Memory { .. }
            | Self::Stack { .. }
            | Self::Trap { .. }
            | Self::TooLarge { .. }
            | Self::Contract { .. }
            | Self::Unsupported { .. } => false,
        }
    }

    /// What it means for each item of the call.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Deadline { .. } | Self::Memory { .. } | Self::Stack { .. } | Self::Trap { .. } | Self::TooLarge { .. } => {
                Fault::Crash
            }
            Self::Contract { .. } => Fault::Contract,
            Self::Configure { failure, .. } => failure.fault,
            Self::Unsupported { .. } => Fault::Unsupported,
            Self::Host { .. } => Fault::Internal,
        }
    }

    /// Whether it is certain that the call had no effect outside.
    pub fn never_began(&self) -> bool {
        match self {
            Self::Configure { .. } | Self::Unsupported { .. } | Self::Host { .. } => true,
            Self::Deadline { function, .. }
            | Self::Memory { function, .. }
            | Self::Stack { function, .. }
            | Self::Trap { function, .. }
            | Self::TooLarge { function, .. }
            | Self::Contract { function, .. } => matches!(*function, "start" | "configure" | "describe"),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline { plugin, function, limit } => {
                write!(f, "plugin `{plugin}` was stopped: `{function}` took longer than {}", seconds(*limit))
            }
            Self::Memory { plugin, function, limit } => {
                write!(f, "plugin `{plugin}` was stopped: `{function}` asked for more than {} of memory", mebibytes(*limit))
            }
            Self::Stack { plugin, function } => {
                write!(f, "plugin `{plugin}` was stopped: `{function}` recursed past the end of its stack")
            }
            Self::Trap { plugin, function, text } => write!(f, "plugin `{plugin}` crashed in `{function}`: {text}"),
            Self::TooLarge { plugin, function, limit } => {
                write!(f, "plugin `{plugin}` was stopped: `{function}` handed over more than {}", mebibytes(*limit))
            }
            Self::Contract { plugin, function, text } => {
                write!(f, "plugin `{plugin}` broke the contract in `{function}`: {text}")
            }
            Self::Configure { plugin, failure } => write!(f, "plugin `{plugin}` refuses its configuration: {failure}"),
            Self::Unsupported { plugin, function } => write!(f, "plugin `{plugin}` has no `{function}`"),
            Self::Host { plugin, text } => write!(f, "plugin `{plugin}` could not be called: {text}"),
        }
    }
}

impl std::error::Error for CallError {}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}

fn mebibytes(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_plugin_is_told_with_the_limit_it_crossed() {
        let (plugin, function) = ("file".to_owned(), "scan");
        let cases = [
            (CallError::Deadline { plugin: plugin.clone(), function, limit: Duration::from_secs(30) }, "30 s"),
            (CallError::Deadline { plugin: plugin.clone(), function, limit: Duration::from_millis(50) }, "50 ms"),
            (CallError::Memory { plugin: plugin.clone(), function, limit: 256 << 20 }, "256 MiB"),
            (CallError::TooLarge { plugin, function, limit: 1000 }, "1000 bytes"),
        ];
        for (error, words) in cases {
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("`file`") && text.contains("`scan`"), "{text}");
        }
    }
}
