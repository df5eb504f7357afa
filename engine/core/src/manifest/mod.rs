//! What a plugin says about itself: the JSON that `describe` answers (`wit/manifest.schema.json`).
//!
//! [`Manifest::parse`] is the only door: what comes out is within every limit, its names follow the grammar, and the
//! hints of each kind fit its schema. Unknown keys are tolerated (the manifest is where the contract grows), wrong
//! types are errors that name the path.

mod claim;
mod hints;
mod list_key;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use claim::Claim;
pub(crate) use hints::resolve;
pub use hints::{ANY_KEY, Hints};
pub use list_key::ListKey;

use crate::address::Address;
use crate::schema::Validator;
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
    /// List of patterns over keys that such a claim leaves alone; see [`Claim`].
    pub claims_except: Option<Path>,
    /// Joins scope and key to the name of the scope that an object is the place of; see [`Kind::place`].
    pub nests: Option<Arc<str>>,
    /// Last word of a key that tolerates no other key of the kind with the same words before it (`www CNAME` beside `www A`).
    pub sole: Option<Arc<str>>,
    /// Nothing can stand in what the object is the place of: a file.
    pub solid: bool,
    /// Of its group, in which documents are read and written; None where the plugin itself names the kind.
    pub version: Option<Arc<str>>,
    /// Objects of a smaller number are made before those of a larger one, and deleted after them.
    pub order: i32,
    /// Deleting an object takes along what is in it or of it, whoever made that.
    pub cascades: bool,
    /// Its objects have no name that a document could give: the system draws an identity for each, and that or a mark finds them.
    pub nameless: bool,
    /// A list may leave out what is there: an owned object that is not listed is asked for before it counts as gone.
    pub eventual: bool,
    /// Its documents define kinds: rendering one says which, as `defines` in the object's `ext`.
    pub defines: bool,
    /// Whoever takes an object over writes it, even where nothing differs: it carries the owner's mark, and its system keeps account of
    /// who wrote which field.
    pub marked: bool,
    pub hints: Hints,
    /// The schema made ready to judge documents, on first use.
    pub validator: Validator,
}

impl Kind {
    /// Whether the address's key is the object's name in the remote system, so that two objects cannot have one at a time
    /// and a changed key means another object. Elsewhere the system knows the object by an identity of its own.
    pub fn natural(&self) -> bool {
        !self.nameless && (self.hints.key.is_some() || matches!(self.recover, Recover::Key | Recover::Conditional))
    }

    /// `apiVersion` and `kind` as its documents have them. `alias` is the provider's; `any` says that it takes documents of any
    /// `apiVersion`, which say the system's own.
    pub fn header(&self, alias: &str, any: bool) -> (String, &str) {
        let version = self.version.as_deref().unwrap_or("v1");
        match self.name.split_once('.') {
            Some((kind, group)) => (format!("{group}/{version}"), kind),
            None if any => (version.to_owned(), &self.name),
            None => (format!("{alias}/v1"), &self.name),
        }
    }

    /// The scope whose name the object has taken: what stands in that scope, or in one below it, stands in the object (a
    /// directory, a zone, a namespace) or cannot be while the object is (a file). None for kinds that hold nothing.
    pub fn place(&self, address: &Address) -> Option<String> {
        let (nests, scope) = (self.nests.as_deref()?, &address.scope.scope);
        Some(if scope.is_empty() { address.key.to_string() } else { format!("{scope}{nests}{}", address.key) })
    }
}

/// The whole manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// JSON Schema of `config`.
    pub config: Arc<Json>,
    /// Fields of `config` that say which system, or which part of one, is acted on (`x-trueup-target`); where none does, all do.
    pub target: Vec<String>,
    /// Hosts the plugin may ask for (`https://*.example.com`, or `config.server` to mean what that field holds).
    pub hosts: Vec<String>,
    pub dirs: bool,
    pub dns: bool,
    /// Slots and the schemes each takes; no scheme given means any.
    pub credentials: BTreeMap<String, Vec<String>>,
    pub secrets: bool,
    /// Requests beyond GET, HEAD and OPTIONS that only read (`"POST /search"`).
    pub reads: Vec<String>,
    /// Calls that may run at a time.
    pub parallel: u32,
    /// Takes documents of any `apiVersion` (Kubernetes).
    pub any_api_version: bool,
    pub yaml: YamlDialect,
    /// The optional interfaces that do anything (`rendering`, `planning` …); None: all that the component exports.
    pub features: Option<Vec<String>>,
    pub kinds: BTreeMap<String, Arc<Kind>>,
    /// Names of kinds that the system has as well, and of which nothing more was asked.
    pub others: Arc<[String]>,
}

impl Manifest {
    /// Whether an optional interface is worth a call, if the component exports it.
    pub fn offers(&self, feature: &str) -> bool {
        self.features.as_ref().is_none_or(|it| it.iter().any(|it| it == feature))
    }
}

/// Whether `name` may name an alias, environment, project, plugin or slot: 1 to 40 of `a-z`, `0-9`, `-`.
pub fn is_alias(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests;
