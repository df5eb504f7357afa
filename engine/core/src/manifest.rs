//! What a plugin says about itself: the JSON that `describe` answers (`wit/manifest.schema.json`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::{Json, Path};

/// Which plain scalars a provider's documents may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YamlDialect {
    /// YAML 1.2 core; what 1.1 reads differently is an error.
    Core,
    /// As kubectl reads it.
    Kubectl,
}

/// How objects of a kind are observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    Scan,
    Read,
}

/// What finds an object again after a create whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recover {
    Key,
    Token,
    Mark,
    Conditional,
    None,
}

/// Order of the halves of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplaceOrder {
    CreateFirst,
    DeleteFirst,
}

/// How many changes one `apply` call may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub items: u32,
    pub bytes: u32,
    pub atomic: bool,
}

/// What the engine reads out of the `x-trueup-` keywords of a kind's schema, once per plugin digest.
/// In these paths `[]` of a list item is left out: `spec.ports.port` means each item's `port`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// Not compared; the server's own.
    pub computed: Vec<Path>,
    /// A change means a replacement.
    pub immutable: Vec<Path>,
    /// Merge key of a list of mappings, by the list's path.
    pub list_keys: Vec<(Path, String)>,
    /// Lists whose order means nothing.
    pub unordered: Vec<Path>,
    /// Texts compared without regard to case.
    pub caseless: Vec<Path>,
    /// Never shown; kept as HMACs.
    pub sensitive: Vec<Path>,
    /// Never read back; compared with the last applied document only.
    pub write_only: Vec<Path>,
    /// Names a file of the revision.
    pub blobs: Vec<Path>,
    /// The field that is the address's scope, and the one that is its key.
    pub scope: Option<Path>,
    pub key: Option<Path>,
    /// Outputs that change when a field of `spec` does: (output, fields).
    pub status_from: Vec<(Path, Vec<Path>)>,
}

/// One kind of a provider.
#[derive(Clone, Debug)]
pub struct Kind {
    /// With the group where it has one.
    pub name: Arc<str>,
    pub schema: Arc<Json>,
    pub schema_version: u32,
    pub observe: Observe,
    pub batch: Option<Batch>,
    pub recover: Recover,
    /// How long after an unsettled create absence proves nothing, in milliseconds.
    pub settle_time: u64,
    pub replace: ReplaceOrder,
    /// Field that, while true, claims every object of the scope.
    pub claims: Option<Path>,
    pub hints: Hints,
}

/// The whole manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// JSON Schema of `config`.
    pub config: Arc<Json>,
    /// Hosts the plugin may ask for (`https://*.example.com`, or `config.server` to mean what that field holds).
    pub hosts: Vec<String>,
    pub dirs: bool,
    pub dns: bool,
    /// Slots and the schemes each takes.
    pub credentials: BTreeMap<String, Vec<String>>,
    pub secrets: bool,
    /// Requests beyond GET, HEAD and OPTIONS that only read (`"POST /search"`).
    pub reads: Vec<String>,
    /// Calls that may run at a time.
    pub parallel: u32,
    /// Takes documents of any `apiVersion` (Kubernetes).
    pub any_api_version: bool,
    pub yaml: YamlDialect,
    pub kinds: BTreeMap<String, Arc<Kind>>,
}
