//! What programs read: versioned shapes, apart from the types of the engine.
//!
//! Each has a `format`. Keys are only ever added; none is renamed, retyped or removed within a format. A secret is
//! `{"$secret": "name"}` without its HMAC, an unknown `{"$unknown": "Kind/name"}`. Nothing here holds a secret.
//!
#![doc = include_str!("shapes.md")]

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};
use trueup_core::address::{Address, ResourceId};
use trueup_core::diagnostic::{self, Location, Severity};
use trueup_core::manifest::ReplaceOrder;
use trueup_core::plan as core;
use trueup_core::value::{Digest, Marker, Path, marker};

use super::waits::{Wait, waits};

/// `format` of [`Plan`].
pub const PLAN: &str = "trueup.plan/1";
/// `format` of [`Failure`].
pub const ERROR: &str = "trueup.error/1";

/// A plan, `trueup.plan/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: String,
    #[serde(default)]
    pub project: String,
    pub environment: String,
    /// The commit, with `+worktree` behind it where uncommitted files were taken.
    pub revision: String,
    /// Branch or tag that was asked for, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// `sha256:<64 hex digits>`
    pub digest: String,
    pub summary: Summary,
    pub steps: Vec<Step>,
    /// Conditions that steps wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Wait>,
    pub drift: Vec<Drifted>,
    pub refused: Vec<Refused>,
    pub diagnostics: Vec<Diagnostic>,
    /// What it cost to make this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// What a plan cost: what was read and evaluated, of how much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    pub files: usize,
    pub files_parsed: usize,
    pub resources: usize,
    pub evaluated: usize,
    pub scopes: usize,
    pub scopes_unchanged: usize,
    /// Objects that providers sent.
    pub objects: usize,
}

impl Plan {
    /// How people and `--plan` call it: `p-` and the first 8 hex digits of the digest.
    pub fn id(&self) -> String {
        let hex = self.digest.strip_prefix("sha256:").unwrap_or(&self.digest);
        format!("p-{}", hex.get(..8).unwrap_or(hex))
    }

    /// Whether an apply would do nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// One count per action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub create: usize,
    pub update: usize,
    pub replace: usize,
    pub delete: usize,
    pub adopt: usize,
    #[serde(rename = "move")]
    pub moved: usize,
    pub forget: usize,
    pub unchanged: usize,
    pub refused: usize,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Create,
    Update,
    Replace,
    Delete,
    Adopt,
    Move,
    Forget,
}

impl From<core::Action> for Action {
    fn from(action: core::Action) -> Self {
        match action {
            core::Action::Create => Self::Create,
            core::Action::Update => Self::Update,
            core::Action::Replace(_) => Self::Replace,
            core::Action::Delete => Self::Delete,
            core::Action::Adopt => Self::Adopt,
            core::Action::Move => Self::Move,
            core::Action::Forget => Self::Forget,
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub action: Action,
    /// Shortest form.
    pub resource: String,
    /// Full identity.
    pub id: String,
    pub object: Object,
    pub provider: String,
    pub reasons: Vec<Reason>,
    pub changes: Vec<Change>,
    /// Where the resource was, if the step moves or replaces one at another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// Of a replace: `create-first` or `delete-first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    #[serde(flatten)]
    pub place: Place,
}

impl Step {
    /// What people are shown: the resource, and which of its objects it is about where it may have several.
    pub fn label(&self) -> String {
        let same = ResourceId::parse(&self.id).is_none_or(|it| it.kind() == self.object.kind);
        if same { self.resource.clone() } else { format!("{} {}", self.resource, self.object.key) }
    }
}

/// Address of an object without its provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    pub kind: String,
    pub scope: String,
    pub key: String,
}

impl From<&Address> for Object {
    fn from(it: &Address) -> Self {
        Self { kind: it.scope.kind.to_string(), scope: it.scope.scope.to_string(), key: it.key.to_string() }
    }
}

/// The other end of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub id: String,
    pub object: Object,
}

/// Why a step is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// One difference of one field; a key that is absent is a field that is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub path: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
    /// `git`, `drift` or `both`.
    pub origin: String,
    /// Where the value after is written.
    #[serde(flatten)]
    pub place: Place,
}

/// A place in a file of the revision, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl Place {
    /// `file:line`, where known.
    pub fn text(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        Some(self.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
    }
}

impl From<Option<&Location>> for Place {
    fn from(it: Option<&Location>) -> Self {
        Self { file: it.map(|it| it.file.to_string()), line: it.map(|it| it.line) }
    }
}

/// Drift that is only told of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drifted {
    pub id: String,
    #[serde(default)]
    pub resource: String,
    pub changes: Vec<Change>,
    /// The whole object vanished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// Something wanted that the plan will not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub id: String,
    #[serde(default)]
    pub resource: String,
    pub code: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(flatten)]
    pub place: Place,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub code: String,
    pub severity: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Other places that belong to the finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// Another place of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub text: String,
}

impl From<&diagnostic::Diagnostic> for Diagnostic {
    fn from(it: &diagnostic::Diagnostic) -> Self {
        let severity = match it.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let related = |(place, text): &(Location, String)| Related {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            text: text.clone(),
        };
        Self {
            code: it.code.to_string(),
            severity: severity.to_owned(),
            message: it.message.clone(),
            file: it.location.as_ref().map(|it| it.file.to_string()),
            line: it.location.as_ref().map(|it| it.line),
            column: it.location.as_ref().map(|it| it.column),
            hint: it.hint.clone(),
            related: it.related.iter().map(related).collect(),
        }
    }
}

/// What stands on stdout when a command could not give what it was asked for, `trueup.error/1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub format: String,
    pub error: ErrorText,
    pub diagnostics: Vec<Diagnostic>,
}

/// The error itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorText {
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What a plan does not know of itself.
pub struct PlanContext<'a> {
    pub project: &'a str,
    pub environment: &'a str,
    pub revision: &'a str,
    pub branch: Option<&'a str>,
    /// Shortest form of an identity.
    pub shorten: &'a dyn Fn(&ResourceId) -> String,
    /// Where the value at a path of a resource is written.
    pub locate: &'a dyn Fn(&ResourceId, &Path) -> Option<Location>,
    pub diagnostics: &'a [diagnostic::Diagnostic],
}

impl Plan {
    /// The shape of `plan` for programs, and for [`super::plan::render`].
    pub fn new(plan: &core::Plan, context: &PlanContext<'_>) -> Self {
        let mut summary = Summary { unchanged: plan.unchanged, refused: plan.refused.len(), ..Summary::default() };
        for step in &plan.steps {
            *summary.count(step.action.into()) += 1;
        }
        Self {
            format: PLAN.to_owned(),
            project: context.project.to_owned(),
            environment: context.environment.to_owned(),
            revision: context.revision.to_owned(),
            branch: context.branch.map(str::to_owned),
            digest: digest(&plan.digest),
            summary,
            steps: plan.steps.iter().map(|it| step(it, context)).collect(),
            waits: waits(plan, context),
            drift: plan.drift.iter().map(|it| drifted(it, context)).collect(),
            refused: plan.refused.iter().map(|it| refused(it, context)).collect(),
            diagnostics: context.diagnostics.iter().map(Diagnostic::from).collect(),
            work: None,
        }
    }
}

impl Summary {
    fn count(&mut self, action: Action) -> &mut usize {
        match action {
            Action::Create => &mut self.create,
            Action::Update => &mut self.update,
            Action::Replace => &mut self.replace,
            Action::Delete => &mut self.delete,
            Action::Adopt => &mut self.adopt,
            Action::Move => &mut self.moved,
            Action::Forget => &mut self.forget,
        }
    }
}

/// `sha256:<64 hex digits>`
pub fn digest(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

fn step(it: &core::Step, context: &PlanContext<'_>) -> Step {
    let order = match it.action {
        core::Action::Replace(ReplaceOrder::CreateFirst) => Some("create-first".to_owned()),
        core::Action::Replace(ReplaceOrder::DeleteFirst) => Some("delete-first".to_owned()),
        _ => None,
    };
    Step {
        action: it.action.into(),
        resource: (context.shorten)(&it.resource),
        id: it.resource.to_string(),
        object: Object::from(&it.address),
        provider: it.address.scope.provider.to_string(),
        reasons: it.reasons.iter().map(reason).collect(),
        changes: changes(&it.resource, &it.changes, context),
        from: it.from.as_ref().map(|it| Origin { id: it.resource.to_string(), object: Object::from(&it.address) }),
        order,
        place: Place::from(it.location.as_ref()),
    }
}

fn reason(it: &core::Reason) -> Reason {
    Reason { code: it.code.to_owned(), text: it.text.clone(), path: it.path.as_ref().map(Path::to_string) }
}

fn changes(id: &ResourceId, changes: &[core::Change], context: &PlanContext<'_>) -> Vec<Change> {
    let change = |it: &core::Change| Change {
        path: it.path.to_string(),
        before: it.before.as_ref().map(public),
        after: it.after.as_ref().map(public),
        origin: it.origin.name().to_owned(),
        place: Place::from((context.locate)(id, &it.path).as_ref()),
    };
    changes.iter().map(change).collect()
}

fn drifted(it: &core::Drifted, context: &PlanContext<'_>) -> Drifted {
    Drifted {
        id: it.resource.to_string(),
        resource: (context.shorten)(&it.resource),
        changes: changes(&it.resource, &it.changes, context),
        gone: it.gone,
    }
}

fn refused(it: &core::Refused, context: &PlanContext<'_>) -> Refused {
    Refused {
        id: it.resource.to_string(),
        resource: (context.shorten)(&it.resource),
        code: it.code.to_string(),
        reason: it.reason.clone(),
        hint: it.hint.clone(),
        place: Place::from(it.location.as_ref()),
    }
}

/// A value as it may leave the engine: secrets without their HMACs. The depth of values is bounded by their readers.
pub fn public(value: &Json) -> Json {
    match marker(value) {
        Some(Marker::Secret { name, .. }) => serde_json::json!({ "$secret": name }),
        Some(_) => value.clone(),
        None => match value {
            Json::Array(items) => items.iter().map(public).collect(),
            Json::Object(map) => Json::Object(map.iter().map(|(key, it)| (key.clone(), public(it))).collect::<Map<_, _>>()),
            scalar => scalar.clone(),
        },
    }
}

/// Keeps `null` apart from an absent key.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(from).map(Some)
}

#[cfg(test)]
pub(crate) mod tests {
    use trueup_core::diagnostic::codes;
    use trueup_core::document::DriftMode;
    use trueup_core::inventory::Ownership;
    use trueup_core::plan::Moved;
    use trueup_core::value::{json, secret, unknown};

    use super::*;

    pub fn location(file: &str, line: u32) -> Location {
        Location { file: file.into(), line, column: 1, width: 0 }
    }

    pub fn change(path: &str, before: Option<Json>, after: Option<Json>, origin: core::Origin) -> core::Change {
        core::Change { path: Path::parse(path).unwrap(), before, after, origin }
    }

    pub fn step(action: core::Action, id: &str, changes: Vec<core::Change>, reasons: &[(&'static str, &str)]) -> core::Step {
        let resource = ResourceId::parse(id).unwrap();
        let reason = |(code, text): &(&'static str, &str)| core::Reason { code, text: (*text).to_owned(), path: None };
        core::Step {
            action,
            address: Address::new(resource.alias(), resource.kind(), "", resource.name()),
            resource,
            from: None,
            reasons: reasons.iter().map(reason).collect(),
            changes,
            desired: None,
            desired_digest: None,
            prior: None,
            after: Vec::new(),
            location: Some(location("base/site.yaml", 7)),
            source: None,
            ownership: Ownership::Owned,
            token: None,
            claim: None,
        }
    }

    /// The JSON shape of `plan`, with values of `spec.replicas` located.
    pub fn shape(plan: &core::Plan) -> Plan {
        let locate =
            |_: &ResourceId, path: &Path| (path.to_string() == "spec.replicas").then(|| location("envs/prod/site.yaml", 4));
        Plan::new(
            plan,
            &PlanContext {
                project: "shop",
                environment: "prod",
                revision: "3f2a1c9d00112233445566778899aabbccddeeff",
                branch: Some("main"),
                shorten: &|id| id.local().to_owned(),
                locate: &locate,
                diagnostics: &[diagnostic::Diagnostic::warning(codes::LIST_REPLACED, "list replaced").at(location("a.yaml", 2))],
            },
        )
    }

    #[test]
    fn the_keys_of_a_plan_never_change() {
        let mut moved = step(core::Action::Move, "k8s:Deployment/shop/new", vec![], &[("moved", "was Deployment/shop/old")]);
        let old = ResourceId::parse("k8s:Deployment/shop/old").unwrap();
        moved.from = Some(Moved { resource: old, address: Address::new("k8s", "Deployment", "shop", "old"), prior: None });
        moved.location = None;
        let changes = vec![
            change("spec.replicas", Some(json!(2)), Some(json!(6)), core::Origin::Git),
            change("spec.token", Some(secret("db", "00")), Some(secret("db", "11")), core::Origin::Both),
            change("spec.url", Some(Json::Null), Some(unknown("Bucket/assets")), core::Origin::Drift),
        ];
        let plan = core::Plan {
            steps: vec![
                step(
                    core::Action::Replace(ReplaceOrder::CreateFirst),
                    "k8s:Deployment/shop/web",
                    changes,
                    &[("immutable", "why")],
                ),
                moved,
            ],
            refused: vec![core::Refused {
                resource: ResourceId::parse("aws:Bucket/assets").unwrap(),
                address: None,
                code: codes::PROTECTED,
                reason: "it is protected".to_owned(),
                hint: Some("remove trueup.dev/protect".to_owned()),
                location: Some(location("base/site.yaml", 5)),
            }],
            drift: vec![core::Drifted {
                resource: ResourceId::parse("site:File/motd").unwrap(),
                address: Address::new("site", "File", "", "motd"),
                gone: false,
                mode: DriftMode::Warn,
                changes: vec![change("spec.mode", None, Some(json!("0644")), core::Origin::Drift)],
            }],
            unchanged: 1,
            agreed: vec![],
            records: vec![],
            resolved: vec![],
            claims: Vec::new(),
            waits: Vec::new(),
            digest: Digest([0xab; 32]),
        };
        let want = json!({
            "format": "trueup.plan/1", "project": "shop", "environment": "prod", "branch": "main",
            "revision": "3f2a1c9d00112233445566778899aabbccddeeff", "digest": format!("sha256:{}", "ab".repeat(32)),
            "summary": {"create": 0, "update": 0, "replace": 1, "delete": 0, "adopt": 0, "move": 1, "forget": 0, "unchanged": 1, "refused": 1},
            "steps": [
                {
                    "action": "replace", "resource": "Deployment/shop/web", "id": "k8s:Deployment/shop/web", "provider": "k8s",
                    "object": {"kind": "Deployment", "scope": "", "key": "web"}, "order": "create-first",
                    "reasons": [{"code": "immutable", "text": "why"}],
                    "changes": [
                        {"path": "spec.replicas", "before": 2, "after": 6, "origin": "git", "file": "envs/prod/site.yaml", "line": 4},
                        {"path": "spec.token", "before": {"$secret": "db"}, "after": {"$secret": "db"}, "origin": "both"},
                        {"path": "spec.url", "before": null, "after": {"$unknown": "Bucket/assets"}, "origin": "drift"},
                    ],
                    "file": "base/site.yaml", "line": 7,
                },
                {
                    "action": "move", "resource": "Deployment/shop/new", "id": "k8s:Deployment/shop/new", "provider": "k8s",
                    "object": {"kind": "Deployment", "scope": "", "key": "new"},
                    "reasons": [{"code": "moved", "text": "was Deployment/shop/old"}], "changes": [],
                    "from": {"id": "k8s:Deployment/shop/old", "object": {"kind": "Deployment", "scope": "shop", "key": "old"}},
                },
            ],
            "drift": [{"id": "site:File/motd", "resource": "File/motd", "changes": [{"path": "spec.mode", "after": "0644", "origin": "drift"}]}],
            "refused": [{
                "id": "aws:Bucket/assets", "resource": "Bucket/assets", "code": "TU0601", "reason": "it is protected",
                "hint": "remove trueup.dev/protect", "file": "base/site.yaml", "line": 5,
            }],
            "diagnostics": [{"code": "TU0206", "severity": "warning", "message": "list replaced", "file": "a.yaml", "line": 2, "column": 1}],
        });
        let got = shape(&plan);
        assert_eq!(serde_json::to_value(&got).unwrap(), want);
        assert_eq!(serde_json::from_value::<Plan>(want).unwrap(), got, "reads back");
        assert_eq!(got.id(), "p-abababab");
    }

    #[test]
    fn no_hmac_of_a_secret_leaves_the_engine() {
        let value = json!({"spec": {"list": [secret("db", "c0ffee")]}});
        assert_eq!(public(&value), json!({"spec": {"list": [{"$secret": "db"}]}}));
    }
}
