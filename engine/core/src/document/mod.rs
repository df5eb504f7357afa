//! From the text of files to declared resources: parsing, routing, layers, provenance.
//!
//! The value's way through here: bytes → [`parse`]d trees with places → routed to a provider, their engine settings taken
//! off → layers merged → expressions evaluated in the order of their references → judged by the kind's schema →
//! [`Resource`]. Places live as long as an evaluation; a resource keeps only where it is declared.
//!
//! Invariant: a document with a finding never becomes a resource, and hides no finding of another document. All
//! recursion is bounded by [`Limits::depth`]; whatever follows references or counts documents is iterative.

mod build;
mod dialect;
mod draft;
mod evaluate;
mod gather;
mod json;
mod layer;
mod locate;
mod mention;
mod names;
mod node;
mod order;
mod private;
mod provenance;
mod read;
mod route;
mod scalar;
mod scope;
mod settings;
mod settle;
mod slots;
mod text;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

pub use self::evaluate::evaluate;
pub use self::gather::identities;
pub use self::mention::{Mention, mentions};
pub use self::names::{NameFault, Shortener, resolve_name};
pub use self::private::holds_secrets;
pub use self::provenance::{locate, provenance};
pub use self::read::{RawDocument, parse};
pub use self::settle::{Settled, Waiting};
use crate::address::ResourceId;
use crate::diagnostic::{Code, Diagnostic, Location};
use crate::expression::{Condition, SecretPart};
use crate::manifest::{Kind, Manifest};
use crate::value::{Digest, Json, Path};

/// [`Settings::patience`] where a document gives no `timeout`.
const PATIENCE: Duration = Duration::from_secs(300);
/// [`Settings::pending_limit`] where a document gives no `timeout`: what a system has under way takes as long as it takes.
const PENDING_LIMIT: Duration = Duration::from_secs(600);

/// What one file and one document may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    pub file_bytes: usize,
    pub document_bytes: usize,
    /// Lists and mappings inside each other.
    pub depth: usize,
    /// Values that one document may gain by aliases.
    pub alias_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, document_bytes: 4 << 20, depth: 64, alias_nodes: 10_000 }
    }
}

/// What becomes of differences that no revision explains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriftMode {
    #[default]
    Heal,
    Warn,
    Off,
}

/// `trueup.dev/replace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaceMode {
    Allow,
    CreateFirst,
    DeleteFirst,
}

/// The `trueup.dev/` annotations of a document, taken off before a plugin sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub protect: bool,
    pub adopt: bool,
    /// `trueup.dev/adopt` with an identity in place of `true`: which object to take over, where none goes by the document's name.
    pub adopt_identity: Option<String>,
    /// Shown to the plugin as `force` in `change.ext`.
    pub force: bool,
    /// True (`trueup.dev/prune: "false"`): forgotten instead of deleted when it goes from Git.
    pub no_prune: bool,
    pub drift: Option<DriftMode>,
    pub replace: Option<ReplaceMode>,
    pub ignore: Vec<Path>,
    /// As written; resolved against the declared resources.
    pub depends_on: Vec<String>,
    /// As written: an identity this resource had before.
    pub moved_from: Option<String>,
    /// How long an apply waits for the resource, whatever for.
    pub timeout: Option<Duration>,
    /// What must hold of each of its objects before anything that depends on it begins.
    pub wait_for: Option<Condition>,
}

impl Settings {
    /// How long an apply waits for the resource's `wait-for`, and for its health where that is asked for.
    pub fn patience(&self) -> Duration {
        self.timeout.unwrap_or(PATIENCE)
    }

    /// How long a change of the resource may stay pending within one apply.
    pub fn pending_limit(&self) -> Duration {
        self.timeout.unwrap_or(PENDING_LIMIT)
    }
}

/// Where one value of a resource came from, the winner first, then what it overrode.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    pub path: Path,
    /// Layer (as written in `trueup.yaml`), place, and the text that stood there.
    pub sources: Vec<(Arc<str>, Location, Json)>,
    /// What the expressions of the winner read of other resources.
    pub reads: Vec<ReadFrom>,
}

/// A value of another resource that an expression reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFrom {
    pub id: ResourceId,
    /// `spec.x`, or `status.x` for an output.
    pub path: Path,
    /// As [`Provenance::sources`]; empty for outputs, and for a value that is no scalar.
    pub sources: Vec<(Arc<str>, Location, Json)>,
}

/// One provider of an environment, as far as documents are concerned.
#[derive(Clone, Debug)]
pub struct Provider {
    pub alias: Arc<str>,
    pub manifest: Arc<Manifest>,
    /// Secret names it was granted.
    pub secrets: Arc<[String]>,
}

/// One resource with all layers merged and all expressions evaluated that do not wait for a status.
#[derive(Clone, Debug)]
pub struct Resource {
    pub id: ResourceId,
    pub kind: Arc<Kind>,
    /// Address fields of the document.
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
    /// `{"spec": …}`; strings that wait for a status are `{"$unknown": …}` here.
    pub doc: Arc<Json>,
    pub settings: Arc<Settings>,
    /// Where it is declared (the first layer that has it).
    pub location: Location,
    /// Files it was made from ([`FileInput::index`]), in order of their layers.
    pub files: Vec<u32>,
    /// References and `depends-on`, sorted: what must be there first.
    pub after: Arc<[ResourceId]>,
    /// Whether some string waits for a status.
    pub waits: bool,
    /// What each `{"$secret": …}` of the document is put together from, by its path.
    pub secrets: Vec<SecretField>,
    /// Paths of the files of the revision that its fields name, as handed to [`Input::blobs`].
    pub blobs: Vec<Arc<str>>,
    /// What [`Resource::settle`] evaluates; None where nothing waits.
    pub waiting: Option<Arc<Waiting>>,
    pub warnings: Vec<Diagnostic>,
}

/// A text that holds secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretField {
    pub path: Path,
    pub parts: Vec<SecretPart>,
    /// Of the expression.
    pub location: Location,
}

/// One file of a layer.
#[derive(Clone, Debug)]
pub struct FileInput {
    /// The caller's own number, given back in [`Resource::files`].
    pub index: u32,
    /// Path from the root of the source, with `/`.
    pub path: Arc<str>,
    pub bytes: Arc<[u8]>,
}

/// One layer of an environment.
#[derive(Clone, Debug)]
pub struct LayerInput {
    /// As written in `trueup.yaml`.
    pub name: Arc<str>,
    pub files: Vec<FileInput>,
}

/// What files say that are not looked at. Asked only where it matters, as there may be very many.
pub trait Elsewhere {
    /// Resources that they declare.
    fn declares(&self) -> &HashSet<ResourceId>;
    /// Whether they remove this one.
    fn removes(&self, id: &ResourceId) -> bool;
}

/// Why a file that a document names cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoBlob {
    /// The revision has no ordinary file of this name.
    Missing,
    /// It is there, and why it is not taken: over a limit, damaged.
    Refused { code: Code, reason: String },
}

/// Everything that declared resources depend on.
pub struct Input<'a> {
    pub environment: Arc<str>,
    /// `vars` of the environment: an object.
    pub vars: Json,
    pub providers: &'a [Provider],
    pub default_provider: Option<Arc<str>>,
    /// In order: later ones merge over earlier ones.
    pub layers: Vec<LayerInput>,
    /// Digest and size of a file of the revision, by the path that a document gives.
    pub blobs: &'a dyn Fn(&str) -> Result<(Digest, u64), NoBlob>,
    /// Files that are not in `layers`.
    pub elsewhere: Option<&'a dyn Elsewhere>,
}

/// What [`evaluate`] found.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Without findings that are errors; sorted by id.
    pub resources: Vec<Resource>,
    /// Sorted by file and line. An error among them means no plan for the environment.
    pub diagnostics: Vec<Diagnostic>,
    /// Resources of [`Input::known`] whose `spec` some expression reads: what reads them is left out of `resources` until
    /// the input holds their files.
    pub missing: Vec<ResourceId>,
    /// Of everything that some layer removes, whether a later one adds it again or not: the files of all its documents
    /// ([`FileInput::index`]). Sorted by id.
    pub removed: Vec<(ResourceId, Vec<u32>)>,
}
