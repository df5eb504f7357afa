//! Requests to the cluster, and the kinds by name: as discovered before, else asked of the server now.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::Map;
use trueup_sdk::http::{self, Request, Response};
use trueup_sdk::{Json, Result};

use crate::error::{self, Asked};
use crate::kind::{Info, Served, root, split};
use crate::manifest::SLOT;

/// Requests side by side.
pub const PARALLEL: u32 = 32;

/// A GET of anything below the cluster's base.
pub fn get(url: impl Into<String>) -> Request {
    signed(http::get(url))
}

/// Any request, with the cluster's credential.
pub fn signed(request: Request) -> Request {
    request.credential(SLOT).header("accept", "application/json")
}

/// The answer, where it is a success.
///
/// # Errors
/// What the server refused with, in the words of [`error`].
pub fn ok(response: Response, asked: Asked<'_>) -> Result<Response> {
    if (200..300).contains(&response.status()) { Ok(response) } else { Err(error::of(&response, asked)) }
}

/// The kinds of a cluster.
#[derive(Default)]
pub struct Kinds {
    /// As discovered last.
    entries: Map<String, Json>,
    known: RefCell<BTreeMap<String, Rc<Info>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    preferred_version: GroupVersion,
    versions: Vec<GroupVersion>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GroupVersion {
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

impl Kinds {
    pub fn new(kinds: Option<Json>) -> Self {
        let entries = if let Some(Json::Object(entries)) = kinds { entries } else { Map::new() };
        Self { entries, known: RefCell::default() }
    }

    pub fn entries(&self) -> &Map<String, Json> {
        &self.entries
    }

    /// A kind as discovered; no request.
    pub fn local(&self, name: &str) -> Option<Rc<Info>> {
        if let Some(known) = self.known.borrow().get(name) {
            return Some(Rc::clone(known));
        }
        let info = Rc::new(Info::of_entry(name, self.entries.get(name)?)?);
        self.known.borrow_mut().insert(name.to_owned(), Rc::clone(&info));
        Some(info)
    }

    /// A kind as discovered, else as the server has it now: its definition may be a minute old. None where the server has none.
    ///
    /// # Errors
    /// Where the server cannot be asked: whether it has the kind is then not known.
    pub fn find(&self, name: &str) -> Result<Option<Rc<Info>>> {
        match self.local(name) {
            Some(info) => Ok(Some(info)),
            None => self.ask(name),
        }
    }

    /// A kind as the server has it now, whatever was discovered.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn ask(&self, name: &str) -> Result<Option<Rc<Info>>> {
        let (kind, group) = split(name);
        for version in versions(group)? {
            let Some(resources) = found::<Resources>(root(group, &version), name)? else { continue };
            let fits = |it: &&Resource| it.kind == kind && !it.name.contains('/');
            let Some(resource) = resources.resources.iter().find(fits) else { continue };
            let served = Served {
                kind: kind.to_owned(),
                group: group.to_owned(),
                versions: vec![version.clone()],
                version,
                plural: resource.name.clone(),
                namespaced: resource.namespaced,
                listable: resource.verbs.iter().any(|it| it == "list"),
            };
            let info = Rc::new(served.info());
            self.known.borrow_mut().insert(name.to_owned(), Rc::clone(&info));
            return Ok(Some(info));
        }
        Ok(None)
    }
}

/// The versions of a group, the preferred one first.
fn versions(group: &str) -> Result<Vec<String>> {
    if group.is_empty() {
        return Ok(vec!["v1".to_owned()]);
    }
    let Some(answer) = found::<Group>(format!("slot:{SLOT}/apis/{}", http::escape(group)), group)? else { return Ok(Vec::new()) };
    let preferred = answer.preferred_version.version;
    let others = answer.versions.into_iter().map(|it| it.version).filter(|it| *it != preferred);
    Ok(std::iter::once(preferred.clone()).chain(others).filter(|it| !it.is_empty()).collect())
}

fn found<T: for<'de> Deserialize<'de>>(url: String, what: &str) -> Result<Option<T>> {
    let response = get(url).send()?;
    if response.status() == 404 {
        return Ok(None);
    }
    let asked = Asked { verb: "look for", what, writes: false, secret: false };
    ok(response, asked)?.json().map(Some)
}

#[cfg(test)]
mod tests {
    use trueup_sdk::double::{Double, Phase};
    use trueup_sdk::host::http as raw;
    use trueup_sdk::json;

    use super::*;

    #[test]
    fn a_kind_that_was_not_discovered_is_asked_for_and_remembered() {
        let double = Double::install();
        double.enter(Phase::Observe);
        double.serve(|request| {
            let body = match request.url.as_str() {
                "slot:cluster/apis/example.com" => {
                    json!({ "preferredVersion": { "version": "v2" }, "versions": [{ "version": "v1" }, { "version": "v2" }] })
                }
                "slot:cluster/apis/example.com/v1" => {
                    json!({ "resources": [{ "name": "widgets/scale", "kind": "Widget" }, { "name": "widgets", "kind": "Widget", "namespaced": true, "verbs": ["list"] }] })
                }
                "slot:cluster/apis/example.com/v2" => json!({ "resources": [] }),
                _ => return Ok(raw::Response { status: 404, headers: Vec::new(), body: Vec::new(), cut: false }),
            };
            Ok(raw::Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes(), cut: false })
        });
        let kinds = Kinds::new(None);
        let info = kinds.find("Widget.example.com").unwrap().unwrap();
        assert_eq!(info.object("a", "b"), "slot:cluster/apis/example.com/v1/namespaces/a/widgets/b");
        assert_eq!(double.take_calls().len(), 3);
        assert!(kinds.find("Widget.example.com").unwrap().is_some() && double.take_calls().is_empty());
        assert!(kinds.find("Gadget.example.com").unwrap().is_none());
        assert!(kinds.find("Widget.elsewhere.com").unwrap().is_none());
    }
}
