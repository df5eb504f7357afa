//! Plugins from and to OCI registries: references, transfer, signatures, bundles.
//!
//! A plugin is an image manifest with one layer, the component itself, as the WebAssembly community lays it out. One way
//! through: [`Reference`] → [`Place`] (a registry or a bundle) → [`Image`] (a manifest that was judged) → the component's
//! bytes, judged by size and digest → the cache, where a file's name is its digest.
//!
//! What the server says is never believed: names of files come from digests alone, sizes are counted while bytes come, and a
//! signature is judged against keys of the operator ([`Keyring`]). Invariants: nothing is written before it was judged whole;
//! a credential goes to the origins that its entry names and to nobody else, whatever a redirect says; plain HTTP is spoken
//! with this machine only.

mod asks;
mod cache;
mod connection;
mod image;
mod key;
mod layout;
mod login;
mod place;
mod reach;
mod reference;
mod remote;
mod sealed_key;
mod signature;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::time::Duration;

pub use asks::Asks;
pub use cache::{Cache, fetch};
pub use image::{Image, Interfaces, Packed};
pub use key::{Keyring, PublicKey, SigningKey};
pub use layout::Layout;
pub use place::{Found, Place, Wanted, copy};
pub use reference::Reference;
pub use remote::{Pushed, Remote};
pub use signature::{Policy, Signed, sign_file, verify_file};
use trueup_core::diagnostic::{Code, Diagnostic, codes};

/// Bytes of a manifest, of an index, of a configuration.
pub const MAX_MANIFEST: u64 = 1 << 20;
/// Bytes of a component.
pub const MAX_COMPONENT: u64 = 64 << 20;

/// How long a registry may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To be connected to.
    pub connect: Duration,
    /// Without a byte.
    pub idle: Duration,
    /// For one request, its answer included.
    pub request: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), idle: Duration::from_secs(20), request: Duration::from_secs(600) }
    }
}

/// By what the reader can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The reference is none.
    Reference,
    /// The registry cannot be reached, is silent, or failed: a later try may work.
    Unreachable,
    /// It wants a login, or another one.
    Login,
    /// It does not have the artifact.
    Missing,
    /// What it sent or wants is not acceptable.
    Refused,
    /// No trusted key signed it.
    Unsigned,
    /// A file of this machine.
    Local,
}

/// Why an artifact was not fetched, judged or published. Never holds a credential.
#[derive(Debug)]
pub struct RegistryError {
    pub trouble: Trouble,
    pub text: String,
    pub hint: Option<String>,
}

impl RegistryError {
    fn new(trouble: Trouble, text: impl Into<String>) -> Self {
        Self { trouble, text: text.into(), hint: None }
    }

    fn reference(text: impl Into<String>) -> Self {
        Self::new(Trouble::Reference, text).hint("such as `oci://registry.example.com/team/name:1.0`")
    }

    fn refused(text: impl Into<String>) -> Self {
        Self::new(Trouble::Refused, text)
    }

    fn unreachable(text: impl Into<String>) -> Self {
        Self::new(Trouble::Unreachable, text).hint("try again; what was there before still works")
    }

    fn missing(text: impl Into<String>) -> Self {
        Self::new(Trouble::Missing, text)
    }

    fn unsigned(text: impl Into<String>) -> Self {
        Self::new(Trouble::Unsigned, text)
    }

    fn local(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(Trouble::Local, format!("{what}: {error}"))
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The code under which people are told.
    pub fn code(&self) -> Code {
        match self.trouble {
            Trouble::Unsigned => codes::UNSIGNED,
            Trouble::Unreachable => codes::REGISTRY_AWAY,
            _ => codes::REGISTRY,
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for RegistryError {}

impl From<RegistryError> for Box<Diagnostic> {
    fn from(error: RegistryError) -> Self {
        let finding = Diagnostic::error(error.code(), error.text);
        Self::new(Diagnostic { hint: error.hint, ..finding })
    }
}

/// Characters of a stranger's text that are shown.
const SHOWN: usize = 160;

/// Text of a stranger, in one line and short: cut between words, where it has any.
fn shown(text: &str) -> String {
    let cut = match text.char_indices().nth(SHOWN) {
        None => return text.escape_debug().to_string(),
        Some((end, _)) => text.get(..end).unwrap_or(text),
    };
    // A word that is longer than the rest is one that nobody could read whole: a digest, a path, a name.
    let words = cut.rfind(char::is_whitespace).filter(|at| *at > cut.len() / 2).and_then(|at| cut.get(..at));
    format!("{}…", words.unwrap_or(cut).trim_end().escape_debug())
}
