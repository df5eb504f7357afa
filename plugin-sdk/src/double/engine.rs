//! The engine's part of a test: calls the provider through the very code that a component exports, in the phase that
//! each call has.

use std::cell::Cell;
use std::marker::PhantomData;

use super::{Double, Phase};
use crate::adapter::Adapter;
use crate::bindings::exports::trueup::provider::{lifecycle, operations, planning, rendering};
use crate::{
    Action, Address, CallInfo, Candidate, Change, Declared, Desired, Edit, EditOp, Failure, Json, Lookup, Observation, Outcome,
    Provider, Remote, Rendered, ScopeQuery, Settlement, Snapshot, Verdict,
};

/// One configured provider and the world around it.
pub struct Engine<P> {
    double: Double,
    tokens: Cell<u32>,
    provider: PhantomData<P>,
}

impl<P: Provider> Engine<P> {
    /// Makes an empty world and configures the provider in it.
    ///
    /// # Errors
    /// What `configure` answered.
    pub fn start(config: &Json) -> Result<Self, Failure> {
        let engine = Self { double: Double::install(), tokens: Cell::new(0), provider: PhantomData };
        engine.restart(config)?;
        Ok(engine)
    }

    /// Drops the instance and configures a new one in the same world, as the engine may between two calls.
    ///
    /// # Errors
    /// What `configure` answered.
    pub fn restart(&self, config: &Json) -> Result<(), Failure> {
        self.double.enter(Phase::Pure);
        <Adapter<P> as lifecycle::Guest>::configure(config.to_string(), None)
    }

    /// The world behind the imports.
    pub fn double(&self) -> &Double {
        &self.double
    }

    fn info(&self, phase: Phase) -> CallInfo {
        self.double.enter(phase);
        CallInfo { now: self.double.now(), budget: 30_000, trace: String::new(), ext: Vec::new() }
    }

    /// Renders one declaration whose address has the default key.
    pub fn render(&self, kind: &str, name: &str, doc: &Json) -> Rendered {
        let address = Address { kind: kind.to_owned(), scope: String::new(), key: name.to_owned() };
        self.render_at(address, doc)
    }

    /// Renders one declaration under the address that the schema's hints give it.
    pub fn render_at(&self, address: Address, doc: &Json) -> Rendered {
        self.double.enter(Phase::Pure);
        let items = vec![Declared { address, doc: doc.to_string(), ext: Vec::new() }];
        let none = Rendered { objects: Vec::new(), diagnostics: Vec::new() };
        <Adapter<P> as rendering::Guest>::render(items).pop().unwrap_or(none)
    }

    /// Scans a scope to its last page.
    ///
    /// # Errors
    /// What the first failing page answered.
    pub fn scan(&self, kind: &str, scope: &str, since: Option<&str>) -> Result<Snapshot, Failure> {
        let mut query = self.query(kind, scope);
        query.since = since.map(str::to_owned);
        let mut whole = self.scan_page(query.clone())?;
        while let Some(cursor) = whole.next.take() {
            query.cursor = Some(cursor);
            let page = self.scan_page(query.clone())?;
            whole.objects.extend(page.objects);
            whole.gone.extend(page.gone);
            (whole.next, whole.version) = (page.next, page.version);
        }
        Ok(whole)
    }

    /// A query for the first page of a scope, to change and pass to [`scan_page`](Self::scan_page).
    pub fn query(&self, kind: &str, scope: &str) -> ScopeQuery {
        ScopeQuery {
            kind: kind.to_owned(),
            scope: scope.to_owned(),
            cursor: None,
            since: None,
            limit: 10_000,
            wait: 0,
            ext: Vec::new(),
        }
    }

    /// One page.
    ///
    /// # Errors
    /// What `scan` answered.
    pub fn scan_page(&self, query: ScopeQuery) -> Result<Snapshot, Failure> {
        let info = self.info(Phase::Observe);
        let missing = || Err(crate::Error::internal("no answer").into());
        <Adapter<P> as lifecycle::Guest>::scan(vec![query], info).pop().unwrap_or_else(missing)
    }

    /// Looks at one object; `desired` as the engine has it before the object was ever seen.
    pub fn read(&self, address: &Address, desired: Option<&Json>, since: Option<&str>) -> Observation {
        let info = self.info(Phase::Observe);
        let lookup = Lookup {
            address: address.clone(),
            identity: None,
            desired: desired.map(Json::to_string),
            mark: None,
            token: None,
            since: since.map(str::to_owned),
            ext: Vec::new(),
        };
        <Adapter<P> as lifecycle::Guest>::read(vec![lookup], info).pop().unwrap_or(Observation::Absent)
    }

    /// A change to try, with a token of its own. `edits` are what differs between the two documents.
    pub fn change(&self, prior: Option<&Remote>, desired: Option<&Desired>) -> Option<Change> {
        let (action, address) = match (prior, desired) {
            (None, Some(desired)) => (Action::Create, &desired.address),
            (Some(prior), Some(_)) => (Action::Update, &prior.address),
            (Some(prior), None) => (Action::Delete, &prior.address),
            (None, None) => return None,
        };
        self.tokens.set(self.tokens.get() + 1);
        let parse = |text: &str| serde_json::from_str::<Json>(text).unwrap_or_default();
        let before = prior.map(|it| parse(&it.doc)).unwrap_or_default();
        let mut edits = Vec::new();
        if let Some(desired) = desired {
            differences("", &before, &parse(&desired.doc), &mut edits);
        }
        Some(Change {
            action,
            address: address.clone(),
            token: format!("token-{}", self.tokens.get()),
            attempt: 0,
            unsettled: false,
            mark: "0123456789abcdef0123456789abcdef/test/0123456789abcdef0123456789abcdef".to_owned(),
            desired: desired.map(|it| it.doc.clone()),
            prior: prior.cloned(),
            edits,
            ext: Vec::new(),
        })
    }

    /// Carries changes out in one call.
    pub fn apply(&self, changes: Vec<Change>) -> Vec<Outcome> {
        let info = self.info(Phase::Apply);
        <Adapter<P> as lifecycle::Guest>::apply(changes, info)
    }

    /// Brings one object from `prior` to `desired`: creates, updates or deletes it.
    pub fn bring(&self, prior: Option<&Remote>, desired: Option<&Desired>) -> Outcome {
        let change = self.change(prior, desired);
        let nothing = || Outcome::settled(None);
        change.and_then(|it| self.apply(vec![it]).pop()).unwrap_or_else(nothing)
    }

    /// Asks about a pending change until it is over, for at most 1,000 times; time passes as the provider asked for it. Any
    /// other outcome is given back as it is.
    pub fn settle(&self, mut outcome: Outcome) -> Outcome {
        for _ in 0..1000 {
            let Settlement::Pending(pending) = &outcome.settlement else { break };
            self.double.advance(pending.after);
            let handles = vec![pending.operation.clone()];
            let info = self.info(Phase::Apply);
            let Some(next) = <Adapter<P> as operations::Guest>::poll(handles, info).pop() else { break };
            outcome = Outcome { object: next.object.or(outcome.object), ..next };
        }
        outcome
    }

    /// Asks the provider about one planned change.
    pub fn refine(&self, prior: Option<&Remote>, desired: Option<&Desired>) -> Verdict {
        let Some(change) = self.change(prior, desired) else { return Verdict::Accept };
        let info = self.info(Phase::Observe);
        let Change { action, address, desired, prior, edits, .. } = change;
        let candidate = Candidate { action, address, desired, object: prior, edits, ext: Vec::new() };
        <Adapter<P> as planning::Guest>::refine(vec![candidate], info).pop().unwrap_or(Verdict::Accept)
    }
}

/// What differs between two documents, members that are only in `before` excepted: nobody declared them.
fn differences(path: &str, before: &Json, after: &Json, edits: &mut Vec<Edit>) {
    match (before, after) {
        (Json::Object(old), Json::Object(new)) => {
            for (name, value) in new {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                match old.get(name) {
                    Some(old) => differences(&path, old, value, edits),
                    None => edits.push(Edit { op: EditOp::Add, path, value: Some(value.to_string()) }),
                }
            }
        }
        _ if before == after => {}
        _ => edits.push(Edit { op: EditOp::Replace, path: path.to_owned(), value: Some(after.to_string()) }),
    }
}
