//! What a cluster serves: from aggregated discovery and the index of schemas to the kinds of the contract.
//!
//! Pure: [`provider`](crate::provider) fetches. A group's version whose schemas did not change (by the server's own hash) is not
//! fetched again; one that cannot be asked keeps the kinds that were seen before, and makes the answer incomplete.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Map;
use sha2::{Digest as _, Sha256};
use trueup_sdk::{Json, json};

use crate::definition::is_built_in;
use crate::kind::{AGGREGATED, Served, full_name, group_version, is_aggregated, is_name};
use crate::openapi::{self, Document};

/// Asks for all groups, versions and resources at once.
pub const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// The answer to `/api` or `/apis`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Groups {
    pub kind: String,
    items: Vec<Group>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    metadata: GroupMeta,
    versions: Vec<Version>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupMeta {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    version: String,
    resources: Vec<Resource>,
    freshness: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Resource {
    resource: String,
    response_kind: Option<ResponseKind>,
    scope: String,
    verbs: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseKind {
    kind: String,
}

impl Groups {
    /// Whether the server answered in the form that was asked for.
    pub fn is_aggregated(&self) -> bool {
        self.kind == "APIGroupDiscoveryList"
    }
}

/// What is served, and what could not be asked.
#[derive(Debug, Default, PartialEq)]
pub struct Listing {
    /// By name. Of a kind in several versions the one that the group prefers.
    pub kinds: BTreeMap<String, Served>,
    /// Groups, each with a version, whose server does not answer.
    pub stale: BTreeSet<(String, String)>,
    /// Those that somebody asked for; the others are told by name. None: all.
    wanted: Option<BTreeSet<String>>,
}

/// Gathers all kinds that can be read and applied.
pub fn listing(answers: &[Groups]) -> Listing {
    let mut out = Listing::default();
    for group in answers.iter().flat_map(|it| &it.items) {
        for version in &group.versions {
            if version.freshness == "Stale" {
                out.stale.insert((group.metadata.name.clone(), version.version.clone()));
            }
            for resource in &version.resources {
                out.add(&group.metadata.name, &version.version, resource);
            }
        }
    }
    out
}

impl Listing {
    fn add(&mut self, group: &str, version: &str, resource: &Resource) {
        let Some(kind) = resource.response_kind.as_ref().map(|it| it.kind.as_str()) else { return };
        let usable = ["get", "patch"].iter().all(|it| resource.verbs.contains(*it)) && !resource.resource.contains('/');
        let served = Served {
            kind: kind.to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            plural: resource.resource.clone(),
            namespaced: resource.scope != "Cluster",
            listable: resource.verbs.contains("list"),
            versions: vec![version.to_owned()],
        };
        let name = served.name();
        if !usable || !is_name(&name) {
            return;
        }
        match self.kinds.get_mut(&name) {
            None => drop(self.kinds.insert(name, served)),
            Some(first) if !first.versions.contains(&served.version) => first.versions.push(served.version),
            // Two resources of one kind: the first is the one.
            Some(_) => {}
        }
    }

    /// Looks at these kinds only (`Deployment.apps/v1`, `Job.batch`), each in the version that is named where the server has that.
    pub fn want<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut wanted = BTreeSet::new();
        for name in names {
            let (name, version) = name.split_once('/').map_or((name, None), |(name, version)| (name, Some(version)));
            if let (Some(served), Some(version)) = (self.kinds.get_mut(name), version)
                && served.versions.iter().any(|it| it == version)
            {
                version.clone_into(&mut served.version);
            }
            wanted.insert(name.to_owned());
        }
        // What nobody asks for may be down.
        let groups: BTreeSet<&str> = wanted.iter().map(|it| crate::kind::split(it).1).collect();
        self.stale.retain(|(group, _)| groups.contains(group.as_str()));
        self.wanted = Some(wanted);
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|it| it.contains(name))
    }

    /// The kinds that somebody asked for.
    fn wanted(&self) -> impl Iterator<Item = (&String, &Served)> {
        self.kinds.iter().filter(|(name, _)| self.is_wanted(name))
    }

    /// Those of one version of a group.
    fn of<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = (&'a String, &'a Served)> {
        self.wanted().filter(move |(_, it)| it.group == group && it.version == version)
    }

    /// The versions of groups that kinds are taken from.
    pub fn versions(&self) -> BTreeSet<(String, String)> {
        self.wanted().map(|(_, it)| (it.group.clone(), it.version.clone())).collect()
    }

    /// A digest of all of it: the same where a new answer would be the same. Names of kinds that nobody asks for do not count.
    pub fn digest(&self, index: &Index) -> String {
        let mut digest = Sha256::new();
        for (name, it) in self.wanted() {
            let hash = index.hash(&it.group, &it.version).unwrap_or_default();
            let Served { version, plural, namespaced, listable, .. } = it;
            digest.update(format!("{name} {version} {} {plural} {namespaced} {listable} {hash}\n", it.versions.join(",")));
        }
        for name in self.wanted.iter().flatten().filter(|it| !self.kinds.contains_key(*it)) {
            digest.update(format!("{name} is not served\n"));
        }
        for (group, version) in &self.stale {
            digest.update(format!("stale {group} {version}\n"));
        }
        digest.update(env!("CARGO_PKG_VERSION"));
        digest.finalize().iter().map(|it| format!("{it:02x}")).collect()
    }
}

/// The answer to `/openapi/v3`: where the schemas of each group's version are, under a path that changes with them.
#[derive(Debug, Default, Deserialize)]
pub struct Index {
    paths: BTreeMap<String, Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    #[serde(rename = "serverRelativeURL")]
    server_relative_url: String,
}

impl Index {
    /// Path and query of the schemas. None where the server publishes none.
    pub fn path(&self, group: &str, version: &str) -> Option<&str> {
        let root = if group.is_empty() { "api" } else { "apis" };
        let entry = self.paths.get(&format!("{root}/{}", group_version(group, version)))?;
        Some(entry.server_relative_url.as_str()).filter(|it| it.starts_with("/openapi/"))
    }

    /// What changes with the schemas.
    pub fn hash(&self, group: &str, version: &str) -> Option<&str> {
        let path = self.path(group, version)?;
        Some(path.split_once("hash=").map_or(path, |(_, hash)| hash))
    }
}

/// The kinds of an answer, as they come to be.
pub struct Assembly<'a> {
    listing: &'a Listing,
    index: &'a Index,
    /// Kinds of the answer before this one.
    known: &'a Map<String, Json>,
    kinds: Map<String, Json>,
    complete: bool,
}

impl<'a> Assembly<'a> {
    pub fn new(listing: &'a Listing, index: &'a Index, known: &'a Map<String, Json>) -> Self {
        let mut out = Self { listing, index, known, kinds: Map::new(), complete: listing.stale.is_empty() };
        // An aggregated server that is down, or not registered for a moment, tells no resources; its kinds are still kinds.
        for (name, entry) in known {
            let (_, group) = crate::kind::split(name);
            let version = entry.get("version").and_then(Json::as_str).unwrap_or_default();
            let is_down = listing.stale.contains(&(group.to_owned(), version.to_owned()));
            if (is_down || is_aggregated(entry)) && listing.is_wanted(name) && !listing.kinds.contains_key(name) {
                out.kinds.insert(name.clone(), entry.clone());
            }
        }
        out
    }

    /// Takes over what did not change; what is left are versions of groups whose schemas must be fetched, with their paths.
    pub fn missing(&mut self) -> Vec<((String, String), String)> {
        let mut out = Vec::new();
        for (group, version) in self.listing.versions() {
            let hash = self.index.hash(&group, &version);
            let (Some(hash), Some(path)) = (hash, self.index.path(&group, &version)) else {
                // No schemas are published: that is an answer too.
                self.take(&group, &version, (&BTreeMap::new(), None), |_| true);
                continue;
            };
            let same = |name: &str| {
                let entry = self.known.get(name)?;
                let fits = entry.get("hash").and_then(Json::as_str) == Some(hash)
                    && entry.get("version").and_then(Json::as_str) == Some(&version);
                entry.get("schema").filter(|_| fits)
            };
            let schemas: Option<BTreeMap<String, Json>> =
                self.listing.of(&group, &version).map(|(name, it)| Some((it.kind.clone(), same(name)?.clone()))).collect();
            let known = self.known;
            match schemas {
                Some(schemas) => {
                    self.take(&group, &version, (&schemas, Some(hash)), |it| known.get(&it.name()).is_some_and(is_aggregated));
                }
                None => out.push(((group.clone(), version.clone()), path.to_owned())),
            }
        }
        out
    }

    /// Takes in the schemas of a group's version.
    pub fn fetched(&mut self, group: &str, version: &str, document: &Document) {
        let hash = self.index.hash(group, version);
        let listing = self.listing;
        let wanted = |kind: &str| {
            let name = full_name(kind, group);
            listing.is_wanted(&name) && listing.kinds.contains_key(&name)
        };
        let elsewhere = |it: &Served| !document.is_defined(group, version, &it.kind);
        self.take(group, version, (&document.kinds(group, version, wanted), hash), elsewhere);
    }

    fn take(
        &mut self,
        group: &str,
        version: &str,
        (schemas, hash): (&BTreeMap<String, Json>, Option<&str>),
        elsewhere: impl Fn(&Served) -> bool,
    ) {
        for (name, served) in self.listing.of(group, version) {
            let schema = schemas.get(&served.kind).cloned().unwrap_or_else(|| openapi::open(name));
            let mut entry = served.entry(schema, hash);
            if let (true, Json::Object(entry)) = (!is_built_in(group) && elsewhere(served), &mut entry) {
                entry.insert(AGGREGATED.to_owned(), Json::Bool(true));
            }
            self.kinds.insert(name.clone(), entry);
        }
    }

    /// The schemas of a group's version cannot be had now: what was known stays, and the rest is open.
    pub fn failed(&mut self, group: &str, version: &str) {
        self.complete = false;
        for (name, served) in self.listing.of(group, version) {
            let entry = self
                .known
                .get(name)
                .filter(|it| it.get("schema").is_some())
                .cloned()
                .unwrap_or_else(|| served.entry(openapi::open(name), None));
            self.kinds.insert(name.clone(), entry);
        }
    }

    /// The kinds, those that nobody asks for as empty mappings, and whether nothing could be missing.
    pub fn finish(mut self) -> (Json, bool) {
        for name in self.listing.kinds.keys().filter(|it| !self.listing.is_wanted(it)) {
            self.kinds.entry(name.clone()).or_insert_with(|| json!({}));
        }
        (json!(self.kinds), self.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &Json) -> Groups {
        serde_json::from_value(text.clone()).unwrap()
    }

    fn resource(plural: &str, kind: &str, scope: &str, verbs: &[&str]) -> Json {
        json!({ "resource": plural, "responseKind": { "group": "", "version": "v1", "kind": kind }, "scope": scope, "verbs": verbs })
    }

    const ALL: [&str; 5] = ["get", "list", "patch", "create", "delete"];

    fn cluster() -> [Groups; 2] {
        let core = json!({ "kind": "APIGroupDiscoveryList", "items": [{ "metadata": { "creationTimestamp": null }, "versions": [{ "version": "v1", "freshness": "Current", "resources": [
            resource("configmaps", "ConfigMap", "Namespaced", &ALL),
            resource("namespaces", "Namespace", "Cluster", &ALL),
            resource("componentstatuses", "ComponentStatus", "Cluster", &["get", "list"])
        ] }] }] });
        let rest = json!({ "kind": "APIGroupDiscoveryList", "items": [
            { "metadata": { "name": "autoscaling" }, "versions": [
                { "version": "v2", "resources": [resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "Namespaced", &ALL)] },
                { "version": "v1", "resources": [resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "Namespaced", &ALL)] }
            ] },
            { "metadata": { "name": "metrics.example.com" }, "versions": [{ "version": "v1", "freshness": "Stale" }] },
            { "metadata": { "name": "example.com" }, "versions": [{ "version": "v1", "resources": [resource("odds", "odd", "Cluster", &ALL), resource("blobs", "Blob", "Cluster", &["get", "patch"])] }] }
        ] });
        [groups(&core), groups(&rest)]
    }

    fn index(hash: &str) -> Index {
        let entry = |path: &str| (path.to_owned(), json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") }));
        let paths: Map<String, Json> = ["api/v1", "apis/autoscaling/v2", "apis/example.com/v1"].map(entry).into_iter().collect();
        serde_json::from_value(json!({ "paths": paths })).unwrap()
    }

    #[test]
    fn kinds_are_those_that_can_be_read_and_applied_in_the_version_that_their_group_prefers() {
        let listing = listing(&cluster());
        let names: Vec<&str> = listing.kinds.keys().map(String::as_str).collect();
        assert_eq!(names, ["Blob.example.com", "ConfigMap", "HorizontalPodAutoscaler.autoscaling", "Namespace"]);
        let scaler = &listing.kinds["HorizontalPodAutoscaler.autoscaling"];
        assert_eq!((scaler.version.as_str(), scaler.versions.as_slice()), ("v2", ["v2".to_owned(), "v1".to_owned()].as_slice()));
        assert!(!listing.kinds["Blob.example.com"].listable && !listing.kinds["Namespace"].namespaced);
        assert_eq!(listing.stale.iter().next().unwrap().0, "metrics.example.com");
    }

    #[test]
    fn only_what_changed_is_fetched_and_what_is_down_is_kept() {
        let (listing, first, second) = (listing(&cluster()), index("A"), index("B"));
        let mut known = Map::new();
        known.insert("Meter.metrics.example.com".to_owned(), json!({ "version": "v1", "schema": {} }));
        let mut assembly = Assembly::new(&listing, &first, &known);
        let missing: Vec<String> = assembly.missing().into_iter().map(|(_, path)| path).collect();
        assert_eq!(
            missing,
            ["/openapi/v3/api/v1?hash=A", "/openapi/v3/apis/autoscaling/v2?hash=A", "/openapi/v3/apis/example.com/v1?hash=A"]
        );
        for (group, version) in [("", "v1"), ("autoscaling", "v2")] {
            assembly.fetched(group, version, &Document::default());
        }
        assembly.failed("example.com", "v1");
        let (kinds, complete) = assembly.finish();
        assert!(!complete);
        let known = kinds.as_object().unwrap().clone();
        assert!(known.contains_key("Meter.metrics.example.com"), "its server is down");
        assert_eq!(known["Blob.example.com"]["observe"], "read");

        let mut again = Assembly::new(&listing, &first, &known);
        let missing: Vec<String> = again.missing().into_iter().map(|(_, path)| path).collect();
        assert_eq!(missing, ["/openapi/v3/apis/example.com/v1?hash=A"], "only what failed before");
        assert_eq!(Assembly::new(&listing, &second, &known).missing().len(), 3);
        assert_eq!(listing.digest(&first), listing.digest(&index("A")));
        assert_ne!(listing.digest(&first), listing.digest(&second));
    }

    #[test]
    fn only_what_is_asked_for_has_schemas_and_in_the_version_that_is_asked_for() {
        let (mut listing, index, known) = (listing(&cluster()), index("A"), Map::new());
        listing.want(["HorizontalPodAutoscaler.autoscaling/v1", "ConfigMap", "Nothing.example.com/v1"].into_iter());
        assert_eq!(listing.kinds["HorizontalPodAutoscaler.autoscaling"].version, "v1");
        let before = listing.digest(&index);
        let mut assembly = Assembly::new(&listing, &index, &known);
        let missing: Vec<String> = assembly.missing().into_iter().map(|(_, path)| path).collect();
        assert_eq!(missing, ["/openapi/v3/api/v1?hash=A"], "the other version has no schemas");
        assembly.fetched("", "v1", &Document::default());
        let (kinds, complete) = assembly.finish();
        assert!(complete);
        assert_eq!(kinds["Namespace"], json!({}), "a name and no more");
        assert!(kinds["ConfigMap"]["schema"].is_object() && kinds.get("Nothing.example.com").is_none());
        listing.want(["ConfigMap"].into_iter());
        assert_ne!(listing.digest(&index), before);
    }

    #[test]
    fn a_kind_of_another_server_is_kept_while_its_api_is_not_registered_and_one_by_definition_is_not() {
        let (mut listing, index) = (listing(&cluster()), index("A"));
        let kinds = |listing: &Listing, known: &Map<String, Json>, document: &Document| {
            let mut assembly = Assembly::new(listing, &index, known);
            for ((group, version), _) in assembly.missing() {
                assembly.fetched(&group, &version, document);
            }
            assembly.finish().0.as_object().unwrap().clone()
        };
        let defined = json!({ "components": { "schemas": { "com.example.v1.Blob": {} } } });
        let defined = kinds(&listing, &Map::new(), &serde_json::from_value(defined).unwrap());
        let other = kinds(&listing, &Map::new(), &Document::default());
        let said = |it: &Map<String, Json>, name: &str| is_aggregated(&it[name]);
        assert!(said(&other, "Blob.example.com") && !said(&defined, "Blob.example.com") && !said(&other, "Namespace"));
        assert!(said(&kinds(&listing, &other, &Document::default()), "Blob.example.com"), "as it was told before");
        listing.kinds.remove("Blob.example.com");
        assert!(kinds(&listing, &other, &Document::default()).contains_key("Blob.example.com"));
        assert!(
            !kinds(&listing, &defined, &Document::default()).contains_key("Blob.example.com"),
            "its definition took its objects"
        );
    }

    #[test]
    fn the_engine_takes_the_kinds() {
        let (listing, index, known) = (listing(&cluster()), Index::default(), Map::new());
        let mut assembly = Assembly::new(&listing, &index, &known);
        assert!(assembly.missing().is_empty(), "no schemas are published");
        let (kinds, _) = assembly.finish();
        let mut manifest = crate::manifest::manifest();
        manifest["kinds"] = kinds;
        let parsed = trueup_core::manifest::Manifest::parse(&manifest).unwrap();
        assert_eq!(parsed.kinds.len(), 4);
        assert_eq!(parsed.kinds["Namespace"].nests.as_deref(), Some("/"));
    }
}
