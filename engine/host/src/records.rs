//! The contract's records in plain Rust, for the engine's side of the border.
//!
//! Names and meaning are those of `wit/provider.wit`. Documents are parsed ([`Json`]) and addresses carry the alias of
//! their provider; what a plugin answered has passed the checks of [`crate::convert`] before it appears here.

use std::collections::BTreeMap;
use std::sync::Arc;

use trueup_core::address::Address;
pub use trueup_core::inventory::IntentAction;
use trueup_core::manifest::Manifest;
use trueup_core::observation::HealthState;
use trueup_core::value::Json;

/// Growth room: names and values. Unknown names are ignored by both sides.
pub type Attributes = Vec<(String, String)>;

/// Facts about a call, so that a plugin needs no clock and no environment.
#[derive(Clone, Debug, Default)]
pub struct CallInfo {
    /// When this pass began, in milliseconds since 1970.
    pub now_ms: u64,
    /// How long the call may take, in milliseconds; 0 means the runtime's limit, which is never exceeded.
    pub budget_ms: u64,
    /// W3C traceparent; may be empty.
    pub trace: String,
}

/// A finding of a plugin, not yet tied to a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: trueup_core::diagnostic::Severity,
    /// Stable and machine-readable, such as `desec.ttl-too-low`.
    pub code: String,
    pub summary: String,
    pub detail: Option<String>,
    /// RFC 6901 pointer into the document, if the finding is in one.
    pub path: Option<String>,
}

/// What the engine should do about a failure. The number is how long to wait, in milliseconds, if the remote system said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The document is wrong. Not tried again until Git changes.
    Invalid,
    /// The credential is missing, expired or too weak.
    Unauthorized,
    /// A grant of this engine forbids it.
    Denied,
    NotFound,
    /// The object changed since it was observed, or has another owner.
    Conflict,
    Throttled(Option<u64>),
    Transient(Option<u64>),
    /// This provider does not do that.
    Unsupported,
    /// A bug in the plugin, by its own word.
    Internal,
    /// The plugin broke the contract. The host's word, never the plugin's.
    Contract,
    /// The plugin crashed, or was stopped at one of its limits. The host's word, never the plugin's.
    Crash,
}

impl Fault {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Throttled(_) | Self::Transient(_) | Self::Conflict => true,
            Self::Invalid
            | Self::Unauthorized
            | Self::Denied
            | Self::NotFound
            | Self::Unsupported
            | Self::Internal
            | Self::Contract
            | Self::Crash => false,
        }
    }

    /// The word the contract uses, and one each for what only the host finds.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Throttled(_) => "throttled",
            Self::Transient(_) => "transient",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
            Self::Contract => "contract",
            Self::Crash => "crash",
        }
    }
}

/// Why one item of a batch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub fault: Fault,
    /// At least one.
    pub findings: Vec<Finding>,
}

impl Failure {
    /// A failure that the host itself found, as one finding.
    pub fn new(fault: Fault, code: &str, summary: impl Into<String>) -> Self {
        let finding = Finding {
            severity: trueup_core::diagnostic::Severity::Error,
            code: code.to_owned(),
            summary: summary.into(),
            detail: None,
            path: None,
        };
        Self { fault, findings: vec![finding] }
    }

    /// The first finding's words, for one line of output.
    pub fn summary(&self) -> &str {
        self.findings.first().map_or("no reason given", |it| &it.summary)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.summary())?;
        if let Some(detail) = self.findings.first().and_then(|it| it.detail.as_deref()) {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

/// Health as the provider sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub state: HealthState,
    pub message: String,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: HealthState::Unknown, message: String::new() }
    }
}

/// One object as the remote system has it. Sensitive values are still plain: see [`Remote::sensitive`].
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// The key may be empty where the plugin cannot know it.
    pub address: Address,
    /// What the remote system calls it. Opaque.
    pub identity: String,
    /// `{"spec": {…}}` and other body fields of the kind.
    pub doc: Arc<Json>,
    /// `.status` of expressions.
    pub outputs: Option<Arc<Json>>,
    pub version: Option<String>,
    pub mark: Option<String>,
    pub health: Health,
    /// Pointers into `doc` and `outputs` that no log, plan or state file may show.
    pub sensitive: Vec<String>,
    pub ext: Attributes,
}

/// One page of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeQuery {
    pub kind: Arc<str>,
    pub scope: Arc<str>,
    /// From [`Snapshot::next`] of the page before.
    pub cursor: Option<String>,
    /// From [`Snapshot::version`] of an earlier pass.
    pub since: Option<String>,
    /// At most this many objects in the answer.
    pub limit: u32,
    /// Wait up to this long for a change, in milliseconds. 0: answer at once.
    pub wait_ms: u64,
    pub ext: Attributes,
}

impl ScopeQuery {
    /// The first page of a scope, without an earlier version, answered at once.
    pub fn new(kind: Arc<str>, scope: Arc<str>) -> Self {
        Self { kind, scope, cursor: None, since: None, limit: 100_000, wait_ms: 0, ext: Vec::new() }
    }
}

/// What a snapshot says about what is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// What is not there does not exist.
    Whole,
    /// Only what changed since `since`.
    Delta,
    /// Nothing changed since `since`.
    Unchanged,
    /// Something may be missing: absence proves nothing.
    Partial,
}

/// An object that a delta says is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    pub address: Address,
    pub identity: Option<String>,
}

/// Objects of a scope: a page of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub objects: Vec<Remote>,
    pub next: Option<String>,
    pub version: Option<String>,
    pub coverage: Coverage,
    pub gone: Vec<Gone>,
    pub findings: Vec<Finding>,
    pub ext: Attributes,
}

/// One object to look at by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    pub address: Address,
    pub identity: Option<String>,
    pub desired: Option<Arc<Json>>,
    pub mark: Option<String>,
    pub token: Option<String>,
    pub since: Option<String>,
    pub ext: Attributes,
}

impl Lookup {
    /// A look by address alone.
    pub fn new(address: Address) -> Self {
        Self { address, identity: None, desired: None, mark: None, token: None, since: None, ext: Vec::new() }
    }
}

/// What a look found.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    Found(Box<Remote>),
    Absent,
    Unchanged,
    Failed(Failure),
}

/// How one field differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditOp {
    Add,
    Remove,
    Replace,
}

/// One difference, as the engine's comparison found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub op: EditOp,
    /// RFC 6901 pointer.
    pub path: String,
    /// Absent for `Remove`.
    pub value: Option<Json>,
}

/// One change to one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub action: IntentAction,
    pub address: Address,
    /// 1 to 64 characters of `[A-Za-z0-9_-]`, the same on every try.
    pub token: String,
    /// 0 for the first try.
    pub attempt: u32,
    /// An earlier try may have taken effect.
    pub unsettled: bool,
    pub mark: String,
    /// Absent for a delete. References are resolved; secrets are `{"$secret": handle}`.
    pub desired: Option<Arc<Json>>,
    /// Absent for a create.
    pub prior: Option<Remote>,
    pub edits: Vec<Edit>,
    pub ext: Attributes,
}

/// A change that the remote system still works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Handed to [`crate::Provider::poll`].
    pub operation: String,
    /// Ask again after this many milliseconds.
    pub after_ms: u64,
    pub message: String,
}

/// How a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The remote system agrees with the change.
    Settled,
    /// Accepted and under way.
    Pending(Pending),
    /// Refused; certain that nothing changed.
    Rejected(Failure),
    /// Cannot tell whether it took effect, or it did in part.
    Unsettled(Failure),
}

/// What became of one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub settlement: Settlement,
    /// The object as it now is, as far as known. Absent after a delete.
    pub object: Option<Remote>,
    pub findings: Vec<Finding>,
    pub ext: Attributes,
}

/// One declaration, before it is rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    pub address: Address,
    pub doc: Arc<Json>,
}

/// One object that a declaration stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedObject {
    pub address: Address,
    pub doc: Arc<Json>,
    /// Addresses of the same result that must exist before this one.
    pub after: Vec<Address>,
    /// Kinds that there are once the object is, in the form of the manifest's.
    pub defines: Option<Arc<Json>>,
}

/// What a declaration became.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    pub objects: Vec<RenderedObject>,
    /// With an error among them, `objects` is empty.
    pub findings: Vec<Finding>,
}

/// One differing object, for the plugin to have its say.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub action: IntentAction,
    pub address: Address,
    pub desired: Option<Arc<Json>>,
    pub object: Option<Remote>,
    pub edits: Vec<Edit>,
    /// Settings of the document, as in a change.
    pub ext: Vec<(String, String)>,
}

/// What the plugin says to a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// These edits do not matter (pointers).
    Ignore(Vec<String>),
    /// These edits cannot be made in place (pointers).
    Replace {
        paths: Vec<String>,
        create_first: bool,
        reason: String,
    },
    /// Not now, and why.
    Hold(String),
    Refuse(Failure),
}

/// Kinds that only the remote system knows.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// Same form as `kinds` of the manifest; None where nothing changed.
    pub kinds: Option<Arc<Json>>,
    pub version: Option<String>,
    pub complete: bool,
}

/// Which optional interfaces a plugin exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    pub rendering: bool,
    pub planning: bool,
    pub operations: bool,
    pub schemas: bool,
    pub discovery: bool,
    pub migration: bool,
    pub health_checks: bool,
}

impl Exports {
    /// Without those that the manifest does not list among its features: an SDK exports them all.
    #[must_use]
    pub(crate) fn offered(self, manifest: &Manifest) -> Self {
        Self {
            rendering: self.rendering && manifest.offers("rendering"),
            planning: self.planning && manifest.offers("planning"),
            operations: self.operations && manifest.offers("operations"),
            schemas: self.schemas && manifest.offers("schemas"),
            discovery: self.discovery && manifest.offers("discovery"),
            migration: self.migration && manifest.offers("migration"),
            health_checks: self.health_checks && manifest.offers("health-checks"),
        }
    }

    /// The names of those that are there, in the contract's order.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.rendering, "rendering"),
            (self.planning, "planning"),
            (self.operations, "operations"),
            (self.schemas, "schemas"),
            (self.discovery, "discovery"),
            (self.migration, "migration"),
            (self.health_checks, "health-checks"),
        ];
        all.into_iter().filter_map(|(there, name)| there.then_some(name)).collect()
    }
}

/// In which of its three lives an instance is. An instance never changes its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Frozen clock, fixed seed, no import but `log` and `blobs`.
    Pure,
    /// Reads only.
    Read,
    /// Carries changes out.
    Apply,
}

/// Plain text parameters of one log line.
pub type Fields = BTreeMap<String, String>;
