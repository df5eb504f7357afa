//! What the engine's calls mean: a scope is an account in a region, or what an object stands in (a zone, a bucket, a cluster).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use trueup_sdk::{
    CallInfo, Candidate, Change, Declared, Error, Json, Lookup, Observation, Outcome, Provider, Rendered, Result, ScopeQuery,
    Severity, Snapshot, Verdict, json,
};

use crate::config::Config;
use crate::{apply, client, kind, manifest, refine, render, wait};

/// One configured provider.
#[derive(Clone)]
pub struct Aws {
    pub config: Config,
    /// What named objects are, as one pass saw them: `Kind/name` to identity.
    pub parents: Rc<RefCell<HashMap<(u64, String), Option<String>>>>,
    /// The pass in which the credential was seen to lead to the account.
    checked: Rc<RefCell<Option<u64>>>,
}

impl Provider for Aws {
    fn manifest() -> Json {
        manifest::manifest()
    }

    fn configure(config: Json, _: Option<Json>) -> Result<Self> {
        kind::all()?;
        Ok(Self { config: Config::parse(&config)?, parents: Rc::default(), checked: Rc::default() })
    }

    fn scan(&self, queries: Vec<ScopeQuery>, info: &CallInfo) -> Vec<Result<Snapshot>> {
        self.scan_all(&queries, info.now)
    }

    fn read(&self, lookups: Vec<Lookup>, info: &CallInfo) -> Vec<Observation> {
        self.read_all(&lookups, info.now)
    }

    fn apply(&self, changes: Vec<Change>, info: &CallInfo) -> Vec<Outcome> {
        apply::apply(self, &changes, info)
    }

    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        items.iter().map(render::render).collect()
    }

    fn refine(&self, candidates: Vec<Candidate>, _: &CallInfo) -> Vec<Verdict> {
        candidates.iter().map(refine::verdict).collect()
    }

    fn poll(&self, handles: Vec<String>, info: &CallInfo) -> Vec<Outcome> {
        wait::poll(self, &handles, info)
    }

    fn scopes(&self, kind: &str, info: &CallInfo) -> Result<Vec<String>> {
        let kind = kind::find(kind)?;
        let Some(parent) = &kind.scope else { return Ok(vec![String::new()]) };
        self.find_parent(&parent.kind, "", info.now)?;
        let prefix = format!("{}/", parent.kind);
        let parents = self.parents.borrow();
        let mut names: Vec<String> = parents.keys().filter_map(|(_, it)| it.strip_prefix(&prefix).map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }
}

impl Aws {
    /// Whether the credential leads to the account that the settings name, asked once a pass.
    ///
    /// # Errors
    /// Where it leads elsewhere: an empty list of another account says nothing of this one.
    pub fn in_its_account(&self, now: u64) -> Result<()> {
        let Some(account) = &self.config.account else { return Ok(()) };
        if *self.checked.borrow() == Some(now) {
            return Ok(());
        }
        let call = client::call(client::of("sts")?, "GetCallerIdentity", json!({}), "the account of the credential", false)?;
        let answer = client::send(&self.config, &[call]).pop().unwrap_or_else(|| Err(Error::internal("no answer").into()))?;
        let found = answer.get("Account").and_then(Json::as_str).unwrap_or_default();
        if found != account {
            let text = format!("the credential leads to the account {found}, and this provider is for {account}");
            return Err(Error::new(trueup_sdk::Fault::Unauthorized, "aws.account", text));
        }
        *self.checked.borrow_mut() = Some(now);
        Ok(())
    }
}

/// One finding that keeps a document from being rendered.
pub fn refused(error: &Error) -> Rendered {
    Rendered { objects: Vec::new(), diagnostics: vec![error.diagnostic(Severity::Error)] }
}
