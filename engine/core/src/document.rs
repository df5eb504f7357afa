//! From the text of files to declared resources: parsing, routing, layers, provenance.

use std::sync::Arc;
use std::time::Duration;

use crate::address::ResourceId;
use crate::diagnostic::{Diagnostic, Location};
use crate::manifest::{Kind, Manifest};
use crate::value::{Json, Path};

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
    /// Shown to the plugin as `force` in `change.ext`.
    pub force: bool,
    /// False: forgotten instead of deleted when it goes from Git.
    pub no_prune: bool,
    pub drift: Option<DriftMode>,
    pub replace: Option<ReplaceMode>,
    pub ignore: Vec<Path>,
    /// As written; resolved against the declared resources.
    pub depends_on: Vec<String>,
    /// As written: an identity this resource had before.
    pub moved_from: Option<String>,
    pub wait_for: Option<String>,
    pub timeout: Option<Duration>,
}

/// Where one value of a resource came from, the winner first, then what it overrode.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    pub path: Path,
    /// Layer (as written in `trueup.yaml`), place, and the text that stood there.
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
    /// Files it was made from (index into the listing handed in).
    pub files: Vec<u32>,
    /// References and `depends-on`: what must be there first.
    pub after: Arc<[ResourceId]>,
    /// Whether some string waits for a status.
    pub waits: bool,
    pub warnings: Vec<Diagnostic>,
}
