//! Objects as the API server writes them, and documents as the contract does.
//!
//! Invariant: neither what the server itself keeps of an object (`managedFields`, `resourceVersion`, `kubectl`'s copy of a whole
//! document …) nor our own labels are ever in a document.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Map;
use trueup_sdk::host::secrets::{self, SecretError};
use trueup_sdk::{Address, Error, Fault, Json, Remote, Result, json};

use crate::kind::Info;
use crate::{canonical, health, mark, secret};

/// A whole document in an annotation, secrets and all: kubectl's own, so neither declared nor shown.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields of `metadata` that documents may have beside labels and annotations.
pub const META: [&str; 2] = ["finalizers", "ownerReferences"];
/// Fields of `metadata` that are the server's: let pass in documents, as `kubectl get -o yaml` writes them, and not sent.
pub const SERVERS: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The metadata of an object, as far as it matters.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: Option<i64>,
    pub deletion_timestamp: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_nothing")]
    pub annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_nothing")]
    pub finalizers: Vec<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub owner_references: Vec<Json>,
}

/// Servers that are not written in Go may send a null for what is not there.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An object; what the server says of managers is passed over while it is read, as it is half of the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// As the object itself says; items of most lists do not.
    pub api_version: Option<String>,
    pub kind: Option<String>,
    pub meta: Meta,
    pub status: Json,
    /// `spec`, `data` and other fields of the body.
    pub body: Map<String, Json>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Since(None).deserialize(deserializer).map(|(object, _)| object)
    }
}

/// Reads an object, and whether it is as it was at this version of its collection: of such a one no more than the metadata is kept.
/// Versions are numbers that grow (KEP-5504); one that is none is new.
pub struct Since(pub Option<u64>);

impl Since {
    /// Of a version as the server wrote it.
    pub fn version(text: Option<&str>) -> Self {
        Self(text.and_then(|it| it.parse().ok()))
    }

    fn covers(&self, meta: &Meta) -> bool {
        self.0.is_some_and(|since| meta.resource_version.parse().is_ok_and(|it: u64| it <= since))
    }
}

impl<'de> DeserializeSeed<'de> for Since {
    type Value = (Object, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(Object, bool), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Since {
    type Value = (Object, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(Object, bool), A::Error> {
        let (mut object, mut same) = (Object::default(), false);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "apiVersion" => object.api_version = map.next_value()?,
                "kind" => object.kind = map.next_value()?,
                "metadata" => {
                    object.meta = map.next_value::<Option<Meta>>()?.unwrap_or_default();
                    same = self.covers(&object.meta);
                }
                // Servers write the metadata first, so that the rest of what is known is passed over unread.
                _ if same => drop(map.next_value::<IgnoredAny>()?),
                "status" => object.status = map.next_value()?,
                _ => drop(object.body.insert(name, map.next_value()?)),
            }
        }
        if same {
            (object.body, object.status) = (Map::new(), Json::Null);
        }
        Ok((object, same))
    }
}

impl Object {
    /// Reads one.
    ///
    /// # Errors
    /// Where it is none; the text holds nothing of it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// What keeps it from being an object of this kind and namespace, if anything does: a server that mixes its answers up, or what
    /// stands between, must not have one object taken for another.
    pub fn strays(&self, info: &Info, scope: &str) -> Option<String> {
        let other = |said: &Option<String>, want: &str| said.as_deref().is_some_and(|it| it != want);
        if other(&self.kind, &info.kind) || other(&self.api_version, &info.api_version()) {
            let said = [&self.kind, &self.api_version].map(|it| it.as_deref().unwrap_or("none"));
            return Some(format!("an object of kind `{}` in `{}`", brief(said[0]), brief(said[1])));
        }
        if self.meta.name.is_empty() || self.meta.uid.is_empty() {
            return Some("an object without a name or a uid".to_owned());
        }
        let fits = if info.namespaced { self.meta.namespace == scope } else { self.meta.namespace.is_empty() };
        (!fits).then(|| format!("an object of the namespace `{}`", brief(&self.meta.namespace)))
    }

    /// Whether the server is about to remove it.
    pub fn is_going(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    /// The mark that it carries.
    pub fn mark(&self) -> Option<String> {
        mark::read(&self.meta.labels)
    }

    /// As the contract wants it of one that is as it was.
    pub fn into_same(self, info: &Info) -> Remote {
        Remote {
            address: Address { kind: info.name(), scope: self.meta.namespace, key: self.meta.name },
            identity: self.meta.uid,
            doc: "{}".to_owned(),
            outputs: String::new(),
            version: Some(self.meta.resource_version),
            mark: None,
            health: trueup_sdk::error::healthy(),
            sensitive: Vec::new(),
            ext: vec![("same".to_owned(), "true".to_owned())],
        }
    }

    /// As the contract wants it.
    pub fn into_remote(self, info: &Info) -> Remote {
        let kind = info.name();
        let health = health::assess(&kind, &self);
        let stalled = health::is_stalled(&kind, &self, &health).then_some("stalled");
        let unclaimed = mark::is_made_by_the_cluster(&kind, &self.meta).then_some("unclaimed");
        let mark = self.mark();
        let Self { meta, mut status, mut body, .. } = self;
        body.retain(|_, it| !it.is_null());
        if kind == secret::KIND && secret::place(&mut body).is_err() {
            // The server itself would not take such data.
            body.remove("data");
        }
        let sensitive = if kind == secret::KIND { secret::pointers(&body) } else { Vec::new() };
        let metadata = shown(&meta);
        if !metadata.is_empty() {
            body.insert("metadata".to_owned(), Json::Object(metadata));
        }
        let mut doc = Json::Object(body);
        info.shape.spell(&mut doc);
        canonical::tame(&mut doc);
        canonical::tame(&mut status);
        Remote {
            address: Address { kind, scope: meta.namespace, key: meta.name },
            identity: meta.uid,
            doc: doc.to_string(),
            outputs: if status.is_object() { status.to_string() } else { String::new() },
            version: Some(meta.resource_version).filter(|it| !it.is_empty()),
            mark,
            health,
            sensitive,
            ext: stalled.into_iter().chain(unclaimed).map(|it| (it.to_owned(), "true".to_owned())).collect(),
        }
    }
}

/// A text of a server's that is to stand in a message.
fn brief(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(64).collect()
}

/// What of the metadata a document has.
fn shown(meta: &Meta) -> Map<String, Json> {
    let mut out = Map::new();
    let texts = |them: &BTreeMap<String, String>, keep: fn(&str) -> bool| -> Map<String, Json> {
        them.iter().filter(|(name, _)| keep(name)).map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect()
    };
    let labels = texts(&meta.labels, |it| !it.starts_with(mark::PREFIX));
    let annotations = texts(&meta.annotations, |it| !it.starts_with(mark::PREFIX) && it != LAST_APPLIED);
    for (name, map) in [("labels", labels), ("annotations", annotations)] {
        if !map.is_empty() {
            out.insert(name.to_owned(), Json::Object(map));
        }
    }
    if !meta.finalizers.is_empty() {
        out.insert("finalizers".to_owned(), json!(meta.finalizers));
    }
    if !meta.owner_references.is_empty() {
        out.insert("ownerReferences".to_owned(), json!(meta.owner_references));
    }
    out
}

/// What an apply sends: the document with its address and its mark; `uid` of the object that it must meet.
///
/// # Errors
/// Where a secret cannot be opened, or the document has no form that could be sent.
pub fn to_send(info: &Info, address: &Address, doc: &str, mark: Option<&str>, uid: Option<&str>) -> Result<Json> {
    let Json::Object(mut body) = serde_json::from_str(doc)? else {
        return Err(Error::internal("the document is no mapping"));
    };
    body.values_mut().try_for_each(reveal)?;
    if info.name() == secret::KIND {
        secret::encode(&mut body)?;
    }
    let mut metadata = match body.remove("metadata") {
        Some(Json::Object(map)) => map,
        _ => Map::new(),
    };
    metadata.retain(|name, _| !SERVERS.contains(&name.as_str()));
    metadata.insert("name".to_owned(), Json::from(address.key.as_str()));
    if info.namespaced {
        metadata.insert("namespace".to_owned(), Json::from(address.scope.as_str()));
    }
    if let Some(uid) = uid.filter(|it| !it.is_empty()) {
        metadata.insert("uid".to_owned(), Json::from(uid));
    }
    if let Some(mark) = mark {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if let Json::Object(labels) = labels {
            mark::put(mark, labels);
        }
    }
    body.insert("apiVersion".to_owned(), Json::from(info.api_version()));
    body.insert("kind".to_owned(), Json::from(info.kind.as_str()));
    body.insert("metadata".to_owned(), Json::Object(metadata));
    Ok(Json::Object(body))
}

/// Opens every secret below.
fn reveal(value: &mut Json) -> Result<()> {
    if let Some(handle) = handle(value) {
        let text = secrets::reveal(handle).map_err(|error| match error {
            SecretError::Denied => {
                Error::new(Fault::Denied, "k8s.secret-denied", "a secret of the document is not granted to this provider")
            }
            SecretError::Missing => Error::new(Fault::Denied, "k8s.secret-missing", "a secret of the document has no value"),
            SecretError::Unavailable(_) => {
                Error::transient("k8s.secret-unavailable", "a secret of the document cannot be opened now")
            }
        })?;
        *value = Json::String(text);
        return Ok(());
    }
    match value {
        Json::Array(items) => items.iter_mut().try_for_each(reveal),
        Json::Object(map) => map.values_mut().try_for_each(reveal),
        _ => Ok(()),
    }
}

fn handle(value: &Json) -> Option<&str> {
    let map = value.as_object()?;
    map.get("$secret")?.as_str()
}

/// Whether a document waits for values, or holds secrets that only `apply` may open.
pub fn is_open(doc: &str) -> bool {
    doc.contains("\"$secret\"") || doc.contains("\"$unknown\"")
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use trueup_sdk::double::{Double, Phase};

    use super::*;
    use crate::canonical::Shape;

    fn info(kind: &str, group: &str, plural: &str, namespaced: bool) -> Info {
        Info {
            kind: kind.to_owned(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            namespaced,
            aggregated: false,
            shape: Rc::new(Shape::Nothing),
        }
    }

    fn doc(remote: &Remote) -> Json {
        serde_json::from_str(&remote.doc).unwrap()
    }

    #[test]
    fn an_object_becomes_a_document_without_anything_of_the_servers() {
        let text = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u-1", "resourceVersion": "42", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "app": "a", "trueup.dev/project": "p", "trueup.dev/environment": "e", "trueup.dev/resource": "r" },
                "annotations": { LAST_APPLIED: "{\"data\":\"canary\"}" },
                "managedFields": [{ "manager": "kubectl" }], "generation": 3
            },
            "data": { "k": "v" }
        });
        let object = Object::parse(text.to_string().as_bytes()).unwrap();
        let remote = object.into_remote(&info("ConfigMap", "", "configmaps", true));
        assert_eq!(doc(&remote), json!({ "data": { "k": "v" }, "metadata": { "labels": { "app": "a" } } }));
        assert_eq!(
            (remote.identity.as_str(), remote.version.as_deref(), remote.mark.as_deref()),
            ("u-1", Some("42"), Some("p/e/r"))
        );
        assert_eq!(
            (remote.address.kind.as_str(), remote.address.scope.as_str(), remote.address.key.as_str()),
            ("ConfigMap", "shop", "a")
        );
        assert!(remote.outputs.is_empty());
    }

    #[test]
    fn an_object_that_is_as_it_was_is_told_by_its_version_alone() {
        let text = |version: &str| {
            json!({ "metadata": { "name": "a", "namespace": "shop", "uid": "u-1", "resourceVersion": version }, "data": { "k": "v" } }).to_string()
        };
        let read = |version: &str, since: Option<&str>| {
            let text = text(version);
            let (object, same) = Since::version(since).deserialize(&mut serde_json::Deserializer::from_str(&text)).unwrap();
            (object.body.is_empty(), same)
        };
        assert_eq!(read("42", Some("42")), (true, true));
        assert_eq!(read("9", Some("42")), (true, true));
        // Numbers, not texts: 100 came after 42.
        assert_eq!(read("100", Some("42")), (false, false));
        for (version, since) in [("42", None), ("42", Some("")), ("", Some("42")), ("b7", Some("c9")), ("-1", Some("42"))] {
            assert_eq!(read(version, since), (false, false), "{version} {since:?}");
        }
        let object = Object::parse(text("42").as_bytes()).unwrap();
        let same = object.into_same(&info("ConfigMap", "", "configmaps", true));
        assert_eq!((same.identity.as_str(), same.version.as_deref(), same.doc.as_str()), ("u-1", Some("42"), "{}"));
    }

    #[test]
    fn the_status_is_what_others_may_refer_to() {
        let text = json!({ "metadata": { "name": "s" }, "spec": { "type": "LoadBalancer" }, "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } } });
        let remote = Object::parse(text.to_string().as_bytes()).unwrap().into_remote(&info("Service", "", "services", true));
        assert_eq!(doc(&remote), json!({ "spec": { "type": "LoadBalancer" } }));
        assert_eq!(remote.outputs, json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } }).to_string());
    }

    #[test]
    fn what_is_sent_has_address_mark_and_opened_secrets_in_base64() {
        let double = Double::install();
        double.enter(Phase::Apply);
        let handle = double.secret("h1", "hunter2");
        let address = Address { kind: "Secret".to_owned(), scope: "shop".to_owned(), key: "db".to_owned() };
        let doc = json!({ "stringData": { "password": handle, "user": "a" }, "metadata": { "labels": { "x": "y" }, "resourceVersion": "1" } });
        let sent = to_send(&info("Secret", "", "secrets", true), &address, &doc.to_string(), Some("p/e/r"), Some("u")).unwrap();
        let want = json!({
            "apiVersion": "v1", "kind": "Secret", "data": { "password": "aHVudGVyMg==", "user": "YQ==" },
            "metadata": { "name": "db", "namespace": "shop", "uid": "u",
                "labels": { "x": "y", "trueup.dev/project": "p", "trueup.dev/environment": "e", "trueup.dev/resource": "r" } }
        });
        assert_eq!(sent, want);
    }

    #[test]
    fn a_secret_seen_is_the_document_that_would_be_declared() {
        let text = json!({ "metadata": { "name": "db", "namespace": "shop" }, "type": "Opaque", "data": { "password": "aHVudGVyMg==", "key": "AP8=" } });
        let remote = Object::parse(text.to_string().as_bytes()).unwrap().into_remote(&info("Secret", "", "secrets", true));
        assert_eq!(doc(&remote), json!({ "type": "Opaque", "stringData": { "password": "hunter2" }, "data": { "key": "AP8=" } }));
        assert_eq!(remote.sensitive, ["/data/key", "/stringData/password"]);
    }
}
