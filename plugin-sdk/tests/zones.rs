//! A provider whose kind is listed by scope and changed in batches, and one whose answers have the wrong length.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use trueup_sdk::double::Engine;
use trueup_sdk::prelude::*;
use trueup_sdk::{ApplyBatch, CallInfo, Change, Coverage, Json, Outcome, Provider, Settlement, Severity, json};

#[derive(Settings, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conf {
    page_size: Option<usize>,
}

/// Records of one name and type.
#[derive(Clone, Debug, PartialEq, Kind, Serialize, Deserialize)]
#[kind(name = "RecordSet", scope = "zone", key = "{name}/{kind}", batch = 10, atomic, replace = "create-first")]
#[serde(rename_all = "camelCase")]
struct RecordSet {
    #[hint(immutable, lowercase)]
    zone: String,
    #[hint(lowercase)]
    name: String,
    #[serde(rename = "type")]
    kind: Type,
    #[hint(default = 3600, min = 60)]
    ttl: u32,
    #[hint(unordered)]
    values: Vec<String>,
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Schema, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Type {
    A,
    Txt,
}

#[provider(name = "zones", scan(RecordSet), batch(RecordSet), parallel = 2)]
struct Zones(Conf);

thread_local! {
    /// The server: records by name and type.
    static SERVER: RefCell<BTreeMap<String, RecordSet>> = const { RefCell::new(BTreeMap::new()) };
}

impl Scan<RecordSet> for Zones {
    fn scan(&self, query: &ScopeQuery, _: &CallInfo) -> Result<Page<RecordSet>> {
        let size = self.0.page_size.unwrap_or(100);
        SERVER.with(|server| {
            let server = server.borrow();
            let version = Some(format!("serial-{}", server.len()));
            if query.since == version {
                return Ok(Page::unchanged().version(version));
            }
            let after = query.cursor.clone().unwrap_or_default();
            let rest = server.iter().filter(|(key, _)| **key > after).collect::<Vec<_>>();
            let page = rest.iter().take(size).map(|(_, it)| Found::new((*it).clone())).collect();
            let next = rest.get(size - 1).filter(|_| rest.len() > size).map(|(key, _)| (*key).clone());
            Ok(Page::whole(page).version(version.filter(|_| next.is_none())).next(next))
        })
    }
}

impl ApplyBatch<RecordSet> for Zones {
    fn apply(&self, scope: &str, items: &[Item<RecordSet>], _: &CallInfo) -> Result<Vec<Result<Option<Found<RecordSet>>>>> {
        if scope == "broken.test" {
            return Err(Error::transient("zone.down", "the server is down"));
        }
        let change = |item: &Item<RecordSet>| {
            SERVER.with(|server| match &item.desired {
                Some(it) => server.borrow_mut().insert(item.change.address.key.clone(), it.clone()),
                None => server.borrow_mut().remove(&item.change.address.key),
            });
            Ok(item.desired.clone().map(Found::new))
        };
        Ok(items.iter().map(change).collect())
    }
}

fn start() -> Engine<Zones> {
    SERVER.with(|it| it.borrow_mut().clear());
    Engine::start(&json!({ "pageSize": 2 })).unwrap()
}

fn record(engine: &Engine<Zones>, zone: &str, name: &str) -> trueup_sdk::Desired {
    let spec = json!({ "zone": zone, "name": name, "type": "A", "values": ["10.0.0.1"], "note": null });
    let rendered = engine.render("RecordSet", "any", &json!({ "spec": spec }));
    assert!(rendered.diagnostics.is_empty(), "{rendered:?}");
    rendered.objects.into_iter().next().unwrap()
}

#[test]
fn an_address_is_made_of_fields_in_canonical_spelling() {
    let engine = start();
    let desired = record(&engine, "Example.TEST", "WWW");
    assert_eq!((desired.address.scope.as_str(), desired.address.key.as_str()), ("example.test", "www/A"));
    let doc: Json = serde_json::from_str(&desired.doc).unwrap();
    let spec = json!({ "zone": "example.test", "name": "www", "type": "A", "ttl": 3600, "values": ["10.0.0.1"] });
    assert_eq!(doc, json!({ "spec": spec }));
}

#[test]
fn an_address_that_waits_for_a_value_is_refused_at_its_field() {
    let spec = json!({ "zone": { "$unknown": "Zone/a" }, "name": "www", "type": "A", "values": [] });
    let rendered = start().render("RecordSet", "any", &json!({ "spec": spec }));
    assert_eq!(rendered.diagnostics[0].path.as_deref(), Some("/spec/zone"));
    assert!(rendered.diagnostics[0].summary.contains("known before apply"), "{rendered:?}");
}

#[test]
fn a_batch_is_applied_and_scans_as_it_was_declared_over_pages() {
    let engine = start();
    let desired = ["a", "b", "c", "d", "e"].map(|name| record(&engine, "example.test", name));
    let changes = desired.iter().filter_map(|it| engine.change(None, Some(it))).collect();
    assert!(engine.apply(changes).iter().all(|it| it.settlement == Settlement::Settled));
    let snapshot = engine.scan("RecordSet", "example.test", None).unwrap();
    let seen = snapshot.objects.iter().map(|it| (&it.address, &it.doc)).collect::<Vec<_>>();
    assert_eq!(seen, desired.iter().map(|it| (&it.address, &it.doc)).collect::<Vec<_>>());
    let again = engine.scan("RecordSet", "example.test", snapshot.version.as_deref()).unwrap();
    assert_eq!(again.coverage, Coverage::Unchanged);
    let gone = engine.bring(snapshot.objects.first(), None);
    assert_eq!((gone.settlement, gone.object), (Settlement::Settled, None));
    assert_eq!(engine.scan("RecordSet", "example.test", None).unwrap().objects.len(), 4);
}

#[test]
fn one_wrong_change_stops_an_atomic_batch_and_one_error_answers_all() {
    let engine = start();
    let mut changes = ["a", "b"].map(|name| engine.change(None, Some(&record(&engine, "example.test", name))).unwrap());
    changes[1].desired = Some(json!({ "spec": { "zone": "example.test", "ttl": "canary" } }).to_string());
    let outcomes = engine.apply(changes.to_vec());
    assert!(outcomes.iter().all(|it| matches!(&it.settlement, Settlement::Rejected(_))), "{outcomes:?}");
    assert!(!format!("{outcomes:?}").contains("canary"), "{outcomes:?}");
    assert!(SERVER.with(|it| it.borrow().is_empty()));
    let broken = ["a", "b"].map(|name| engine.change(None, Some(&record(&engine, "broken.test", name))).unwrap());
    let outcomes = engine.apply(broken.to_vec());
    assert!(
        outcomes.iter().all(|it| matches!(&it.settlement, Settlement::Rejected(it) if it.diagnostics[0].code == "zone.down"))
    );
}

#[test]
fn the_schema_has_the_names_and_hints_of_the_type() {
    let manifest = Zones::manifest();
    let kind = &manifest["kinds"]["RecordSet"];
    assert_eq!(kind["batch"], json!({ "items": 10, "bytes": 1_048_576, "atomic": true }));
    assert_eq!((&kind["observe"], &kind["replace"], &manifest["parallel"]), (&json!("scan"), &json!("create-first"), &json!(2)));
    assert_eq!(manifest["config"]["properties"]["pageSize"]["type"], "integer");
    let spec = &kind["schema"]["properties"]["spec"];
    assert_eq!(spec["required"], json!(["zone", "name", "type", "values"]));
    assert_eq!(spec["properties"]["type"]["enum"], json!(["A", "TXT"]));
    assert_eq!(spec["properties"]["zone"]["x-trueup-scope"], true);
    assert_eq!(spec["properties"]["zone"]["x-trueup-immutable"], true);
    assert!(spec["properties"]["name"].get("x-trueup-key").is_none(), "the key has two fields");
    assert_eq!(spec["properties"]["values"]["x-trueup-unordered"], true);
    assert!(kind["schema"]["properties"].get("status").is_none());
}

#[test]
fn a_kind_that_is_not_served_is_unsupported() {
    let engine = start();
    assert_eq!(engine.scan("Other", "", None).unwrap_err().fault, Fault::Unsupported);
    let rendered = engine.render("Other", "a", &json!({ "spec": {} }));
    assert_eq!(rendered.diagnostics[0].severity, Severity::Error);
}

/// Answers nothing at all.
struct Silent;

impl Provider for Silent {
    fn manifest() -> Json {
        json!({})
    }

    fn configure(_: Json, _: Option<Json>) -> Result<Self> {
        Ok(Self)
    }

    fn scan(&self, _: Vec<ScopeQuery>, _: &CallInfo) -> Vec<Result<trueup_sdk::Snapshot>> {
        Vec::new()
    }

    fn apply(&self, _: Vec<Change>, _: &CallInfo) -> Vec<Outcome> {
        Vec::new()
    }
}

#[test]
fn what_a_provider_leaves_out_is_a_failure_of_that_item() {
    let engine = Engine::<Silent>::start(&json!({})).unwrap();
    assert_eq!(engine.scan("A", "", None).unwrap_err().fault, Fault::Internal);
    let rendered = engine.render("A", "x", &json!({ "spec": {} }));
    let outcome = engine.bring(None, rendered.objects.first());
    assert!(matches!(outcome.settlement, Settlement::Unsettled(_)), "nobody knows what it did: {outcome:?}");
}
