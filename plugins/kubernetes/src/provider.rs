//! What the engine's calls mean: scopes are namespaces (none for kinds that have no namespace), keys are names, identities are uids.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Deserialize;
use trueup_sdk::http::{self, Request, Response};
use trueup_sdk::{
    CallInfo, Candidate, Change, Declared, Discovered, Error, Json, Lookup, Observation, Outcome, Provider, Rendered, Result,
    ScopeQuery, Severity, Snapshot, Verdict,
};

use crate::discovery::{self, Assembly, Groups, Index};
use crate::error::{self, Asked};
use crate::fetch::{self, Kinds};
use crate::manifest::{self, Config, SLOT};
use crate::openapi::Document;
use crate::render;
use crate::{apply, list, refine, settle};

/// Schemas of this many versions of groups are held at a time while they are read: each is up to some megabytes.
const AT_A_TIME: usize = 4;
/// Namespaces of one page.
const PAGE: u32 = 500;

thread_local! {
    /// What `configure` was given, for `render`, which has no instance. The engine makes both part of the key under which it stores
    /// what was rendered.
    static CONFIGURED: RefCell<Option<Rc<Kubernetes>>> = const { RefCell::new(None) };
}

/// One configured provider: a cluster.
#[derive(Clone)]
pub struct Kubernetes {
    config: Config,
    kinds: Rc<Kinds>,
}

impl Provider for Kubernetes {
    fn manifest() -> Json {
        manifest::manifest()
    }

    fn configure(config: Json, kinds: Option<Json>) -> Result<Self> {
        let provider = Self { config: Config::parse(&config)?, kinds: Rc::new(Kinds::new(kinds)) };
        CONFIGURED.with(|it| it.replace(Some(Rc::new(provider.clone()))));
        Ok(provider)
    }

    fn scan(&self, queries: Vec<ScopeQuery>, _: &CallInfo) -> Vec<Result<Snapshot>> {
        list::scan(&self.kinds, &queries)
    }

    fn read(&self, lookups: Vec<Lookup>, _: &CallInfo) -> Vec<Observation> {
        list::read(&self.kinds, &lookups)
    }

    fn apply(&self, changes: Vec<Change>, _: &CallInfo) -> Vec<Outcome> {
        apply::apply(&self.kinds, &changes)
    }

    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        let Some(provider) = CONFIGURED.with(|it| it.borrow().clone()) else {
            let error = Error::internal("called before `configure`");
            let refused = || Rendered { objects: Vec::new(), diagnostics: vec![error.diagnostic(Severity::Error)] };
            return items.iter().map(|_| refused()).collect();
        };
        items.iter().map(|it| render::render(&provider.kinds, &provider.config, it)).collect()
    }

    fn refine(&self, candidates: Vec<Candidate>, _: &CallInfo) -> Vec<Verdict> {
        refine::refine(&self.kinds, &candidates)
    }

    fn poll(&self, handles: Vec<String>, _: &CallInfo) -> Vec<Outcome> {
        handles.iter().map(|it| settle::poll(&self.kinds, it)).collect()
    }

    fn discover(&self, since: Option<String>, info: &CallInfo) -> Result<Discovered> {
        let wanted = info.ext.iter().find(|(name, _)| name == "kinds").map(|(_, names)| names.as_str());
        self.discovered(since.as_deref(), wanted)
    }

    fn scopes(&self, kind: &str, _: &CallInfo) -> Result<Vec<String>> {
        match self.kinds.find(kind)? {
            None => Ok(Vec::new()),
            Some(info) if !info.namespaced => Ok(vec![String::new()]),
            Some(_) => namespaces(),
        }
    }
}

impl Kubernetes {
    fn discovered(&self, since: Option<&str>, wanted: Option<&str>) -> Result<Discovered> {
        let groups = |path: &str| http::get(url(path)).credential(SLOT).header("accept", discovery::ACCEPT);
        let requests = vec![groups("/api"), groups("/apis"), fetch::get(url("/openapi/v3"))];
        let mut answers = http::send_all(requests, 0).into_iter();
        let mut next = |what: &str| -> Result<Response> {
            let answer = answers.next().unwrap_or_else(|| Err(Error::internal("the engine left an answer out")))?;
            fetch::ok(answer, asked(what))
        };
        let (core, named) = (next("the core API")?, next("the groups of APIs")?);
        let groups: [Groups; 2] = [fetch::json(&core, asked("the core API"))?, fetch::json(&named, asked("the groups of APIs"))?];
        if !groups.iter().all(Groups::is_aggregated) {
            let text = "the server does not list its kinds in one answer; Kubernetes 1.27 and later do";
            return Err(Error::unsupported(text));
        }
        let index: Index = fetch::json(&next("the index of schemas")?, asked("the index of schemas"))?;
        let mut listing = discovery::listing(&groups);
        if let Some(wanted) = wanted {
            listing.want(wanted.split(',').filter(|it| !it.is_empty()));
        }
        let version = listing.digest(&index);
        if since == Some(version.as_str()) && !self.kinds.entries().is_empty() {
            let complete = listing.stale.is_empty();
            return Ok(Discovered { kinds: String::new(), version: Some(version), unchanged: true, complete });
        }
        let mut assembly = Assembly::new(&listing, &index, self.kinds.entries());
        let missing = assembly.missing();
        let mut failed = false;
        for part in missing.chunks(AT_A_TIME) {
            let requests: Vec<Request> = part.iter().map(|(_, path)| fetch::get(url(path))).collect();
            for (((group, version), _), answer) in part.iter().zip(http::send_all(requests, 0)) {
                let document = answer.and_then(|it| fetch::ok(it, asked("schemas"))?.json::<Document>());
                match document {
                    Ok(document) => assembly.fetched(group, version, &document),
                    Err(_) => {
                        failed = true;
                        assembly.failed(group, version);
                    }
                }
            }
        }
        let (kinds, complete) = assembly.finish();
        // A version that names what could not be had would answer `unchanged` for ever.
        let version = Some(version).filter(|_| !failed);
        Ok(Discovered { kinds: kinds.to_string(), version, unchanged: false, complete })
    }
}

fn url(path: &str) -> String {
    format!("slot:{SLOT}{path}")
}

fn asked(what: &str) -> Asked<'_> {
    Asked { verb: "read", what, writes: false, secret: false }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    kind: String,
    metadata: NamesMeta,
    items: Option<Vec<Named>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamesMeta {
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: Name,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    name: String,
}

fn namespaces() -> Result<Vec<String>> {
    let mut out = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut request = fetch::get(url("/api/v1/namespaces")).query("limit", &PAGE.to_string());
        if !cursor.is_empty() {
            request = request.query("continue", &cursor);
        }
        let page: Names = fetch::json(&request.send()?, asked("the namespaces"))?;
        if page.kind != "NamespaceList" {
            return Err(error::stray("no list of namespaces", asked("the namespaces")));
        }
        out.extend(page.items.unwrap_or_default().into_iter().map(|it| it.metadata.name));
        if page.metadata.next.is_empty() {
            return Ok(out);
        }
        cursor = page.metadata.next;
    }
}

#[cfg(test)]
mod tests;
