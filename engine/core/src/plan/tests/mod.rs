//! A small world to plan in, which can also carry a plan out.

mod changes;
mod claimed;
mod claims;
mod crashes;
mod deletes;
mod nest;
mod order;
mod property;
mod review;
mod speed;
mod waits;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::*;
use crate::diagnostic::codes;
use crate::inventory::IntentAction;
use crate::manifest::{Hints, Observe, Recover};
use crate::observation::{Coverage, HealthState};
use crate::value::{json, marker};

/// Kind `K`: known by its key, replaced delete-first when `spec.fixed` changes.
pub fn kind() -> Kind {
    let path = |text| Path::parse(text).unwrap();
    Kind {
        name: "K".into(),
        hints: Hints {
            immutable: vec![path("spec.fixed")],
            write_only: vec![path("spec.password")],
            status_from: vec![(path("status.url"), vec![path("spec.host")])],
            ..Hints::default()
        },
        recover: Recover::Key,
        replace: ReplaceOrder::DeleteFirst,
        ..Kind::sample()
    }
}

impl Kind {
    fn sample() -> Self {
        let text = json!({"name": "t", "version": "1", "format": 1, "kinds": {"K": {"schema": {"type": "object"}}}});
        let manifest = crate::manifest::Manifest::parse(&text).unwrap();
        let kind = Kind::clone(manifest.kinds.values().next().unwrap());
        assert_eq!(kind.observe, Observe::Scan, "the sample is what a manifest gives by default");
        kind
    }
}

/// Digest of an observed document. It is keyed in the product, so that it never equals that of an equal desired document.
pub fn seen_digest(doc: &Json) -> Digest {
    Digest::of_json(&json!(["observed", doc]))
}

pub fn id(name: &str) -> ResourceId {
    ResourceId::parse(&format!("p:K/{name}")).unwrap()
}

pub fn at(key: &str) -> Address {
    Address::new("p", "K", "s", key)
}

pub fn mark(resource: &ResourceId) -> String {
    format!("project/prod/{resource}")
}

/// Another environment as an owner.
pub fn another(environment: &str) -> Holder {
    Holder { environment: environment.into(), through: None }
}

pub fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut out = Settings::default();
    change(&mut out);
    out
}

/// What is declared, owned and out there. Keys are the names of resources unless a test says otherwise.
#[derive(Clone)]
pub struct Sim {
    pub kind: Arc<Kind>,
    pub desired: Vec<(Desired, Arc<Json>)>,
    pub entries: BTreeMap<Address, Entry>,
    pub applied: HashMap<Address, Arc<Json>>,
    pub views: BTreeMap<Scope, ScopeView>,
    pub intents: Vec<Intent>,
    pub others: BTreeMap<Address, Holder>,
    pub halted: BTreeMap<Arc<str>, Halted>,
    pub unmade: BTreeMap<ResourceId, Unmade>,
    pub options: Options,
    pub kinds: bool,
    pub now_ms: u64,
}

impl Sim {
    pub fn new() -> Self {
        let scope = at("").scope;
        let view = ScopeView { scope: scope.clone(), coverage: Coverage::Whole, objects: BTreeMap::new() };
        Self {
            kind: Arc::new(kind()),
            desired: Vec::new(),
            entries: BTreeMap::new(),
            applied: HashMap::new(),
            views: BTreeMap::from([(scope, view)]),
            intents: Vec::new(),
            others: BTreeMap::new(),
            halted: BTreeMap::new(),
            unmade: BTreeMap::new(),
            options: Options::default(),
            kinds: true,
            now_ms: 1_000_000,
        }
    }

    pub fn want(&mut self, name: &str, spec: Json) -> &mut Desired {
        self.want_at(name, &at(name), spec)
    }

    pub fn want_at(&mut self, name: &str, address: &Address, spec: Json) -> &mut Desired {
        let doc = json!({ "spec": spec });
        let location = Location { file: "a.yaml".into(), line: 1, column: 1, width: 0 };
        let desired = Desired {
            resource: id(name),
            address: address.clone(),
            digest: Digest::of_json(&doc),
            settings: Arc::default(),
            after: Arc::default(),
            siblings: Arc::default(),
            location,
            kind: self.kind.clone(),
            claims: self.kind.claim(&doc).map(Arc::new),
        };
        self.desired.push((desired, Arc::new(doc)));
        &mut self.desired.last_mut().unwrap().0
    }

    /// An entry whose last applied document is `spec`.
    pub fn own(&mut self, name: &str, spec: Json) -> &mut Entry {
        self.own_at(name, &at(name), spec)
    }

    pub fn own_at(&mut self, name: &str, address: &Address, spec: Json) -> &mut Entry {
        let doc = json!({ "spec": spec });
        let entry = Entry {
            resource: id(name),
            address: address.clone(),
            identity: format!("id-{}", address.key).into(),
            ownership: Ownership::Owned,
            applied: Digest::of_json(&doc),
            agreed: None,
            after: Arc::default(),
            siblings: Arc::default(),
            protect: false,
            prune: true,
            secrets: false,
            claims: false,
        };
        self.applied.insert(address.clone(), Arc::new(doc));
        self.entries.insert(address.clone(), entry);
        self.entries.get_mut(address).unwrap()
    }

    /// An object out there.
    pub fn put(&mut self, address: &Address, doc: Json) -> &mut Observed {
        let observed = Observed {
            address: address.clone(),
            identity: format!("id-{}", address.key).into(),
            digest: seen_digest(&doc),
            doc: Some(Arc::new(doc)),
            outputs: None,
            version: None,
            mark: None,
            health: HealthState::Healthy,
            health_message: "".into(),
            unclaimed: false,
        };
        let view = self.views.entry(address.scope.clone()).or_insert_with(|| ScopeView {
            scope: address.scope.clone(),
            coverage: Coverage::Whole,
            objects: BTreeMap::new(),
        });
        view.objects.insert(address.key.clone(), observed);
        view.objects.get_mut(&address.key).unwrap()
    }

    pub fn see(&mut self, key: &str, spec: Json) -> &mut Observed {
        self.put(&at(key), json!({ "spec": spec }))
    }

    /// Declared, owned and there, all alike, but not known to be in sync.
    pub fn have(&mut self, name: &str, spec: Json) -> &mut Self {
        self.want(name, spec.clone());
        self.own(name, spec.clone());
        self.see(name, spec);
        self
    }

    /// Owned and there, but no longer declared.
    pub fn left(&mut self, name: &str, spec: Json) -> &mut Entry {
        self.see(name, spec.clone());
        self.own(name, spec)
    }

    pub fn cover(&mut self, coverage: Coverage) {
        self.views.values_mut().for_each(|it| it.coverage = coverage.clone());
    }

    pub fn found(&self, address: &Address) -> Option<&Observed> {
        self.views.get(&address.scope)?.objects.get(&address.key)
    }

    /// Runs `with` on the world of this moment.
    pub fn world<T>(&self, with: impl FnOnce(&World<'_>) -> T) -> T {
        let desired: Vec<Desired> = self.desired.iter().map(|(it, _)| it.clone()).collect();
        let entries: Vec<Entry> = self.entries.values().cloned().collect();
        let others = |address: &Address| self.others.get(address).cloned();
        let kinds = |_: &Scope| self.kinds.then(|| self.kind.clone());
        with(&World {
            environment: "prod",
            desired: &desired,
            entries: &entries,
            intents: &self.intents,
            views: &self.views,
            halted: &self.halted,
            unmade: &self.unmade,
            others: &others,
            kinds: &kinds,
            mark: &mark,
            shown: &|id| id.local().to_owned(),
            now_ms: self.now_ms,
            options: self.options,
        })
    }

    /// Plans with exactly the documents that `needs` asks for, and no others.
    pub fn plan(&self) -> Plan {
        let needs = self.world(needs);
        let mut bare = self.clone();
        for observed in bare.views.values_mut().flat_map(|it| it.objects.values_mut()) {
            if !needs.observed.contains(&observed.address) {
                observed.doc = None;
            }
        }
        let desired = needs.desired.iter().map(|at| (*at, self.desired[*at].1.clone())).collect();
        let applied = needs.applied.iter().filter_map(|at| Some((at.clone(), self.applied.get(at)?.clone()))).collect();
        let docs = Docs { desired, applied };
        let plan = bare.world(|world| plan(world, &docs));
        self.check(&plan);
        plan
    }

    /// What holds of every plan.
    fn check(&self, plan: &Plan) {
        for (index, step) in plan.steps.iter().enumerate() {
            assert!(step.after.iter().all(|before| *before < index), "a step stands before one that it waits for: {step:?}");
            let old = step.from.as_ref().map_or(&step.address, |it| &it.address);
            let ours = self.entries.contains_key(old) || plan.resolved.iter().any(|it| it.entry.is_some() && it.address == *old);
            let whole = |address: &Address| {
                self.views.get(&address.scope).is_some_and(|it| match &it.coverage {
                    Coverage::Whole => true,
                    Coverage::Named(keys) => step.claim.is_none() && keys.contains(&address.key),
                    Coverage::Partial | Coverage::Failed(_) => false,
                })
            };
            let claimed = step.claim.is_some() && whole(&step.address) && step.action == Action::Delete;
            assert!(!step.action.deletes() || ours || claimed, "deletes what is neither owned nor claimed: {step:?}");
            assert!(step.claim.is_none() || !ours, "claims what is owned: {step:?}");
            assert!(step.action != Action::Create || whole(&step.address), "creates where absence is not known: {step:?}");
            assert!(step.action != Action::Forget || whole(old) || self.found(old).is_some(), "forgets blindly: {step:?}");
            assert!(!matches!(self.views.get(&old.scope), Some(ScopeView { coverage: Coverage::Failed(_), .. })), "{step:?}");
            assert!(!step.reasons.is_empty(), "a step without a reason: {step:?}");
            assert!(
                step.action == Action::Create || step.prior.is_some() || step.from.is_some() || step.action == Action::Forget
            );
        }
    }

    /// Carries a plan out, as an apply without failures does.
    pub fn apply(&mut self, plan: &Plan) {
        for done in &plan.resolved {
            self.intents.retain(|it| it.token != done.token);
            match (&done.entry, done.action) {
                (Some(entry), _) => drop(self.entries.insert(entry.address.clone(), entry.clone())),
                (None, IntentAction::Delete) if done.evidence == Evidence::Done => drop(self.entries.remove(&done.address)),
                _ => {}
            }
        }
        for (address, digest) in &plan.agreed {
            self.entries.get_mut(address).unwrap().agreed = Some(*digest);
        }
        for record in &plan.records {
            self.record(plan, record.desired, record.ownership, record.identity.clone(), record.agreed);
        }
        for lost in plan.claims.iter().filter(|it| !it.settled) {
            let address = &self.desired[lost.desired].0.address;
            self.entries.get_mut(address).into_iter().for_each(|it| it.claims = false);
        }
        let mut last = Vec::new();
        for step in &plan.steps {
            let old = step.from.as_ref().map_or(&step.address, |it| &it.address).clone();
            self.intents.retain(|it| Some(&it.token) != step.token.as_ref());
            match step.action {
                Action::Create | Action::Move => drop(self.entries.remove(&old)),
                Action::Update | Action::Adopt => {
                    if step.desired.is_none() {
                        self.entries.get_mut(&old).unwrap().ownership = step.ownership;
                        continue;
                    }
                    self.entries.remove(&old);
                }
                Action::Replace(order) => {
                    let mut entry = self.entries.remove(&old).unwrap();
                    if old == step.address || order == ReplaceOrder::DeleteFirst {
                        self.vanish(&old);
                    } else {
                        entry.ownership = Ownership::Deposed;
                        self.entries.insert(old.clone(), entry);
                        last.push(old);
                    }
                }
                Action::Delete | Action::Forget => {
                    self.entries.remove(&old);
                    if step.action == Action::Delete {
                        self.vanish(&old);
                    }
                    continue;
                }
            }
            self.write(plan, step);
        }
        for old in last {
            self.vanish(&old);
            self.entries.remove(&old);
        }
    }

    pub fn vanish(&mut self, address: &Address) {
        self.views.get_mut(&address.scope).unwrap().objects.remove(&address.key);
    }

    fn write(&mut self, plan: &Plan, step: &Step) {
        let wanted = step.desired.as_ref().unwrap();
        let prior = step.prior.as_ref().filter(|_| !matches!(step.action, Action::Replace(_)));
        let mut doc = prior.and_then(|it| it.doc.as_deref().cloned()).unwrap_or_else(|| json!({ "spec": {} }));
        if prior.is_none() {
            doc = Json::clone(wanted);
        }
        for change in prior.iter().flat_map(|_| &step.changes) {
            let key = change.path.0.get(1).and_then(crate::diff::key_of).unwrap();
            match wanted["spec"].get(key) {
                Some(value) => doc["spec"][key] = value.clone(),
                None => drop(doc["spec"].as_object_mut().unwrap().remove(key)),
            }
        }
        // What is write-only is never shown.
        doc["spec"].as_object_mut().unwrap().remove("password");
        if let Some(prior) = prior.filter(|it| it.address != step.address) {
            self.vanish(&prior.address.clone());
        }
        let marked = prior.is_some_and(|it| it.mark.is_some());
        let observed = self.put(&step.address, doc);
        observed.mark = marked.then(|| mark(&step.resource).into());
        if let Some(prior) = prior {
            observed.identity = prior.identity.clone();
        }
        let (identity, digest) = (observed.identity.clone(), observed.digest);
        self.record(plan, step.source.unwrap(), step.ownership, identity, digest);
    }

    fn record(&mut self, plan: &Plan, source: usize, ownership: Ownership, identity: Arc<str>, agreed: Digest) {
        let (want, doc) = self.desired[source].clone();
        self.applied.insert(want.address.clone(), doc);
        let entry = Entry {
            resource: want.resource,
            address: want.address.clone(),
            identity,
            ownership,
            applied: want.digest,
            agreed: Some(agreed),
            after: want.after,
            siblings: want.siblings,
            protect: want.settings.protect,
            prune: !want.settings.no_prune,
            secrets: false,
            claims: plan.claims(source),
        };
        self.entries.insert(want.address, entry);
    }

    /// Plans, and says it in lines: `action name` in order, `! CODE name`, `drift name`.
    #[track_caller]
    pub fn check_plan(&self, want: &[&str]) -> Plan {
        let plan = self.plan();
        assert_eq!(lines(&plan), want, "{plan:#?}");
        plan
    }

    /// Plans, checks, applies, and checks that nothing is left to do.
    #[track_caller]
    pub fn converge(&mut self, want: &[&str]) -> Plan {
        let plan = self.check_plan(want);
        self.apply(&plan);
        let again = self.plan();
        assert_eq!(lines(&again), [""; 0], "{again:#?}");
        plan
    }
}

pub fn lines(plan: &Plan) -> Vec<String> {
    let step = |it: &Step| format!("{} {}", it.action.name(), it.resource.name());
    let refused = |it: &Refused| format!("! {} {}", it.code, it.resource.name());
    let drift = |it: &Drifted| format!("drift {}", it.resource.name());
    let steps = plan.steps.iter().map(step);
    steps.chain(plan.refused.iter().map(refused)).chain(plan.drift.iter().map(drift)).collect()
}

pub fn reasons(step: &Step) -> Vec<&'static str> {
    step.reasons.iter().map(|it| it.code).collect()
}

pub fn code(code: Code, name: &str) -> String {
    format!("! {code} {name}")
}

/// `path: before -> after (origin)` of each change.
pub fn told(changes: &[Change]) -> Vec<String> {
    let text = |it: &Option<Json>| it.as_ref().map_or("-".to_owned(), Json::to_string);
    changes.iter().map(|it| format!("{}: {} -> {} ({})", it.path, text(&it.before), text(&it.after), it.origin.name())).collect()
}
