//! Requests to the cluster, and the kinds by name: as discovered before, else asked of the server now.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use trueup_sdk::http::{self, Request, Response};
use trueup_sdk::{Address, Error, Fault, Json, Result};

use crate::error::{self, Asked};
use crate::kind::{Info, Served, group_version, root, split};
use crate::manifest::SLOT;
use crate::object::Object;

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

/// The object of an answer that is one.
///
/// # Errors
/// Where the answer is a refusal, is none of Kubernetes, or shows another object than the one that was asked for.
pub fn object(response: &Response, asked: Asked<'_>, info: &Info, address: &Address) -> Result<Object> {
    if !(200..300).contains(&response.status()) {
        return Err(error::of(response, asked));
    }
    let object = Object::parse(response.bytes()).map_err(|it| error::garbled(&it, asked))?;
    if object.kind.is_none() {
        return Err(error::stray("no object", asked));
    }
    let stray = object.strays(info, &address.scope);
    let stray = stray.or_else(|| (object.meta.name != address.key).then(|| "an object of another name".to_owned()));
    stray.map_or(Ok(object), |it| Err(error::stray(&it, asked)))
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
    kind: String,
    name: String,
    preferred_version: GroupVersion,
    versions: Vec<GroupVersion>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GroupVersion {
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Resources {
    kind: String,
    group_version: String,
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
            let asked = Asked { verb: "look for", what: name, writes: false, secret: false };
            // A version that its group names and that is not there says nothing of its kinds.
            let resources: Resources = json(&get(root(group, &version)).send()?, asked)?;
            if resources.kind != "APIResourceList" || resources.group_version != group_version(group, &version) {
                return Err(error::stray("no list of kinds", asked));
            }
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

    /// A kind as the server has it now, after a page of it was not there. None where it is gone, and its objects with it.
    ///
    /// # Errors
    /// As [`find`](Self::find), and where another server keeps its objects, which is not registered now.
    pub fn missed(&self, info: &Info) -> Result<Option<Rc<Info>>> {
        let name = info.name();
        let now = self.ask(&name)?;
        if now.is_none() && info.aggregated {
            let text = format!(
                "the cluster does not serve `{name}` now, whose objects another server keeps; bring its `APIService` back, or release what \
                 is owned with `trueup forget`"
            );
            return Err(Error::new(Fault::NotFound, "k8s.unregistered", text));
        }
        Ok(now)
    }
}

/// The versions of a group, the preferred one first; none of a group that the server does not have.
fn versions(group: &str) -> Result<Vec<String>> {
    if group.is_empty() {
        return Ok(vec!["v1".to_owned()]);
    }
    let asked = Asked { verb: "look for", what: group, writes: false, secret: false };
    let response = get(format!("slot:{SLOT}/apis/{}", http::escape(group))).send()?;
    // What stands before a server answers 404 too: only the server's own list of groups says that it has none of this name.
    if response.status() == 404 && !groups()?.iter().any(|it| it == group) {
        return Ok(Vec::new());
    }
    let answer: Group = json(&response, asked)?;
    if answer.kind != "APIGroup" || answer.name != group {
        return Err(error::stray("no group of APIs", asked));
    }
    let preferred = answer.preferred_version.version;
    let others = answer.versions.into_iter().map(|it| it.version).filter(|it| *it != preferred);
    Ok(std::iter::once(preferred.clone()).chain(others).filter(|it| !it.is_empty()).collect())
}

/// The names of all groups.
fn groups() -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct List {
        kind: String,
        groups: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let asked = Asked { verb: "read", what: "the groups of APIs", writes: false, secret: false };
    let list: List = json(&get(format!("slot:{SLOT}/apis")).send()?, asked)?;
    if list.kind != "APIGroupList" {
        return Err(error::stray("no list of groups", asked));
    }
    Ok(list.groups.into_iter().map(|it| it.name).collect())
}

/// The body of a success.
///
/// # Errors
/// What the server refused with, or that its answer is none.
pub fn json<T: DeserializeOwned>(response: &Response, asked: Asked<'_>) -> Result<T> {
    if !(200..300).contains(&response.status()) {
        return Err(error::of(response, asked));
    }
    serde_json::from_slice(response.bytes()).map_err(|it| error::garbled(&it.into(), asked))
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
                    json!({ "kind": "APIGroup", "name": "example.com", "preferredVersion": { "version": "v2" }, "versions": [{ "version": "v1" }, { "version": "v2" }] })
                }
                "slot:cluster/apis/example.com/v1" => {
                    json!({ "kind": "APIResourceList", "groupVersion": "example.com/v1", "resources": [{ "name": "widgets/scale", "kind": "Widget" }, { "name": "widgets", "kind": "Widget", "namespaced": true, "verbs": ["list"] }] })
                }
                "slot:cluster/apis/example.com/v2" => {
                    json!({ "kind": "APIResourceList", "groupVersion": "example.com/v2", "resources": [] })
                }
                "slot:cluster/apis" => json!({ "kind": "APIGroupList", "groups": [{ "name": "example.com" }] }),
                "slot:cluster/apis/odd.com" => json!({ "kind": "Status", "status": "Success" }),
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
        assert!(kinds.find("Widget.odd.com").is_err(), "what is no group says nothing of it");
    }
}
