//! What every [`Store`] keeps, written once: a backend's tests call [`run`] with a maker of empty stores.

use std::sync::Arc;

use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::inventory::{Entry, Intent, IntentAction, Ownership};
use trueup_core::value::{Digest, json};

use super::*;

const TARGET: &str = "file:/srv/site";

pub(super) fn entry(resource: &str, key: &str) -> Entry {
    Entry {
        resource: ResourceId::parse(resource).unwrap(),
        address: Address::new("site", "File", "www", key),
        identity: key.into(),
        ownership: Ownership::Owned,
        applied: Digest::of(key.as_bytes()),
        agreed: None,
        after: Arc::from([]),
        siblings: Arc::from([]),
        protect: false,
        prune: true,
        secrets: false,
        claims: false,
    }
}

pub(super) fn put(entry: &Entry, target: &str) -> Edit {
    Edit::Put {
        entry: Box::new(entry.clone()),
        target: target.into(),
        applied: Some(Arc::new(json!({"spec": {"path": &*entry.address.key}}))),
    }
}

pub(super) fn intent(token: &str, entry: &Entry) -> IntentRecord {
    let intent = Intent {
        token: token.into(),
        resource: entry.resource.clone(),
        address: entry.address.clone(),
        action: IntentAction::Create,
        prior: None,
        desired: Some(entry.applied),
        document: Some(Arc::new(json!({"spec": {"path": &*entry.address.key}}))),
        after: Arc::from([ResourceId::parse("site:File/first").unwrap()]),
        siblings: Arc::from([Address::new("site", "File", "www", "sibling")]),
        protect: true,
        prune: false,
        operation: None,
        started_ms: 1_700_000_000_000,
    };
    IntentRecord { intent, target: TARGET.into() }
}

pub(super) fn new_run(environment: &str) -> NewRun {
    NewRun {
        environment: environment.into(),
        revision: "c0ffee".into(),
        plan: Some(Digest::of(b"plan")),
        command: "apply".into(),
        actor: "ann".into(),
    }
}

fn outcome(token: &str, edits: Vec<Edit>, ending: Ending) -> Vec<OutcomeRecord> {
    vec![OutcomeRecord { token: token.into(), edits, ending }]
}

/// Runs the whole contract; `make` gives a store that holds nothing.
pub(super) fn run(make: &dyn Fn() -> Box<dyn Store>) {
    for part in [
        an_entry_reads_back_as_it_was_put,
        edits_are_made_all_or_none,
        an_object_has_one_owner_whatever_its_alias,
        an_intent_stays_until_its_outcome_and_both_agree_with_the_inventory,
        an_outcome_without_an_intent_is_refused,
        an_intent_for_an_object_of_another_environment_is_refused,
        a_change_in_doubt_is_closed_by_a_verdict,
        a_renamed_provider_takes_everything_under_its_alias_along,
        what_is_owned_under_both_aliases_keeps_a_rename_from_being_made,
        what_an_apply_stands_on_is_recorded_as_a_whole,
        an_entry_knows_whether_its_document_holds_a_secret,
        agreed_digests_are_kept_until_the_next_put,
        observations_are_replaced_scope_by_scope,
        plans_are_found_by_their_first_digits,
        runs_are_listed_newest_first_and_the_audit_log_verifies,
    ] {
        part(&*make());
    }
}

fn an_entry_reads_back_as_it_was_put(store: &dyn Store) {
    assert_eq!(store.inventory("prod").unwrap(), []);
    assert_eq!(store.environments().unwrap(), Vec::<String>::new());
    let plain = entry("site:File/a", "a");
    let full = Entry {
        identity: "inode 7".into(),
        ownership: Ownership::Deposed,
        agreed: Some(Digest::of(b"seen")),
        after: Arc::from([ResourceId::parse("site:File/a").unwrap(), ResourceId::parse("k8s:Pod/shop/x").unwrap()]),
        siblings: Arc::from([Address::new("site", "File", "www", "a\n[\"b"), Address::new("site", "Directory", "", "www")]),
        protect: true,
        prune: false,
        claims: true,
        ..entry("site:File/b", "b \u{e4}/\"'")
    };
    let recovered = Entry {
        ownership: Ownership::Recovered,
        address: Address::new("dns", "RecordSet", "", "b"),
        ..entry("dns:RecordSet/b", "b")
    };
    let all = [plain.clone(), full.clone(), recovered.clone()];
    store.edit("prod", None, "adopted", all.iter().map(|it| put(it, TARGET)).collect()).wait().unwrap();
    assert_eq!(store.inventory("prod").unwrap(), all);
    assert_eq!(store.inventory("dev").unwrap(), []);
    assert_eq!(store.environments().unwrap(), ["prod"]);
    let missing = Address::new("site", "File", "www", "none");
    let documents = store.applied("prod", &[full.address.clone(), missing, plain.address.clone()]).unwrap();
    let paths: Vec<_> = documents.iter().map(|it| it.as_ref().map(|it| it["spec"]["path"].clone())).collect();
    assert_eq!(paths, [Some(json!("b \u{e4}/\"'")), None, Some(json!("a"))]);

    let moved = Entry { resource: ResourceId::parse("site:File/z").unwrap(), applied: Digest::of(b"new"), ..plain };
    let keep = Edit::Put { entry: Box::new(moved.clone()), target: TARGET.into(), applied: None };
    store.edit("prod", None, "moved", vec![keep]).wait().unwrap();
    assert_eq!(store.inventory("prod").unwrap()[0], moved);
    assert!(
        store.applied("prod", std::slice::from_ref(&moved.address)).unwrap()[0].is_some(),
        "a put without a document keeps the one that is there"
    );
    store
        .edit("prod", None, "forgotten", vec![Edit::Remove(moved.address.clone()), Edit::Remove(moved.address.clone())])
        .wait()
        .unwrap();
    assert_eq!(store.inventory("prod").unwrap(), [full, recovered]);
    assert!(store.applied("prod", &[moved.address]).unwrap()[0].is_none());
}

fn edits_are_made_all_or_none(store: &dyn Store) {
    store.edit("dev", None, "adopted", vec![put(&entry("site:File/a", "a"), TARGET)]).wait().unwrap();
    let edits = vec![put(&entry("site:File/b", "b"), TARGET), put(&entry("site:File/a", "a"), TARGET)];
    store.edit("prod", None, "adopted", edits).wait().unwrap_err();
    assert_eq!(store.inventory("prod").unwrap(), []);
    assert_eq!(store.audit(None, None, 10).unwrap().len(), 1, "what was not made leaves no line");
    store.edit("prod", None, "adopted", vec![put(&entry("site:File/b", "b"), TARGET)]).wait().unwrap();
    assert_eq!(store.inventory("prod").unwrap().len(), 1);
}

fn an_object_has_one_owner_whatever_its_alias(store: &dyn Store) {
    let ours = entry("site:File/a", "a");
    store.edit("dev", None, "adopted", vec![put(&ours, TARGET)]).wait().unwrap();
    let mut theirs = entry("www:File/a", "a");
    theirs.address = Address::new("www", "File", "www", "a");
    let refused = store.edit("prod", None, "adopted", vec![put(&theirs, TARGET)]).wait().unwrap_err();
    let StoreError::Owned { environment, resource, .. } = refused else { panic!("{refused}") };
    assert_eq!((environment.as_str(), resource.as_str()), ("dev", "site:File/a"));
    let owners = store.owners(&[(TARGET, &theirs.address), ("file:/elsewhere", &theirs.address)]).unwrap();
    assert_eq!(owners, [Some(Owner { environment: "dev".into(), resource: ours.resource }), None]);
    store.edit("prod", None, "adopted", vec![put(&theirs, "file:/elsewhere")]).wait().unwrap();
    // One edit may hand an object from alias to alias.
    theirs.address = Address::new("new", "File", "www", "a");
    let edits = vec![Edit::Remove(Address::new("www", "File", "www", "a")), put(&theirs, "file:/elsewhere")];
    store.edit("prod", None, "moved", edits).wait().unwrap();
    assert_eq!(store.inventory("prod").unwrap(), [theirs]);
}

fn an_intent_stays_until_its_outcome_and_both_agree_with_the_inventory(store: &dyn Store) {
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let entries = ["a", "b", "c", "d"].map(|it| entry(&format!("site:File/{it}"), it));
    let records: Vec<_> = entries.iter().map(|it| intent(&format!("t-{}", it.address.key), it)).collect();
    store.intend("prod", run, records.clone()).wait().unwrap();
    let open = || store.intents("prod").unwrap();
    assert_eq!(open(), records.iter().map(|it| it.intent.clone()).collect::<Vec<_>>());
    assert_eq!(store.environments().unwrap(), ["prod"]);
    assert_eq!(store.intents("dev").unwrap(), []);
    // A second try keeps the token.
    store.intend("prod", run, records[..1].to_vec()).wait().unwrap();
    assert_eq!(open().len(), 4);
    store.outcome("prod", run, outcome("t-a", vec![put(&entries[0], TARGET)], Ending::Settled)).wait().unwrap();
    store.outcome("prod", run, outcome("t-b", vec![put(&entries[1], TARGET)], Ending::Pending("op-1".into()))).wait().unwrap();
    store.outcome("prod", run, outcome("t-c", vec![], Ending::Rejected("no room".into()))).wait().unwrap();
    store.outcome("prod", run, outcome("t-d", vec![], Ending::Unsettled("cut off".into()))).wait().unwrap();
    assert_eq!(store.inventory("prod").unwrap(), entries[..2]);
    let left: Vec<_> = open().iter().map(|it| (it.token.to_string(), it.operation.as_deref().map(str::to_owned))).collect();
    assert_eq!(left, [("t-b".into(), Some("op-1".into())), ("t-d".into(), None)]);
    let events: Vec<_> = store.audit(Some(run), None, 9).unwrap().into_iter().map(|it| it.event).collect();
    assert_eq!(events, ["unsettled", "rejected", "pending", "settled", "began"]);
    let about_c = store.audit(None, Some(&entries[2].resource), 9).unwrap();
    assert_eq!(
        (about_c.len(), &about_c[0].body["reason"], &about_c[0].body["object"]["key"]),
        (1, &json!("no room"), &json!("c"))
    );
}

fn an_outcome_without_an_intent_is_refused(store: &dyn Store) {
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let one = entry("site:File/a", "a");
    let edits = || vec![put(&one, TARGET)];
    let refused = store.outcome("prod", run, outcome("t", edits(), Ending::Settled)).wait().unwrap_err();
    assert!(matches!(refused, StoreError::NoIntent { .. }), "{refused}");
    store.intend("prod", run, vec![intent("t", &one)]).wait().unwrap();
    store.outcome("dev", run, outcome("t", edits(), Ending::Settled)).wait().unwrap_err();
    store.outcome("prod", run, outcome("t", edits(), Ending::Settled)).wait().unwrap();
    store.outcome("prod", run, outcome("t", vec![Edit::Remove(one.address.clone())], Ending::Settled)).wait().unwrap_err();
    assert_eq!(store.inventory("prod").unwrap(), [one]);
}

fn an_intent_for_an_object_of_another_environment_is_refused(store: &dyn Store) {
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let (owned, changing) = (entry("site:File/a", "a"), entry("site:File/b", "b"));
    store.edit("dev", None, "adopted", vec![put(&owned, TARGET)]).wait().unwrap();
    store.intend("dev", run, vec![intent("dev-b", &changing)]).wait().unwrap();
    for theirs in [&owned, &changing] {
        let records = vec![intent("mine", &entry("site:File/c", "c")), intent("yours", theirs)];
        let refused = store.intend("prod", run, records).wait().unwrap_err();
        assert!(matches!(&refused, StoreError::Owned { environment, .. } if environment == "dev"), "{refused}");
        assert_eq!(store.intents("prod").unwrap(), []);
    }
}

fn a_change_in_doubt_is_closed_by_a_verdict(store: &dyn Store) {
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let one = entry("site:File/a", "a");
    store.intend("prod", run, vec![intent("t", &one), intent("u", &entry("site:File/b", "b"))]).wait().unwrap();
    store.close_intent("prod", Some(run), "t", Verdict::Done, vec![put(&one, TARGET)]).wait().unwrap();
    store.close_intent("prod", None, "u", Verdict::Absent, vec![]).wait().unwrap();
    assert_eq!((store.intents("prod").unwrap(), store.inventory("prod").unwrap()), (vec![], vec![one]));
    store.close_intent("prod", None, "u", Verdict::Absent, vec![]).wait().unwrap_err();
    let lines = store.audit(None, None, 2).unwrap();
    assert_eq!((&lines[1].body["verdict"], &lines[0].body["verdict"]), (&json!("done"), &json!("absent")));
}

fn a_renamed_provider_takes_everything_under_its_alias_along(store: &dyn Store) {
    let id = |text: &str| ResourceId::parse(text).unwrap();
    let one = Entry {
        agreed: Some(Digest::of(b"seen")),
        after: Arc::from([id("site:File/b")]),
        siblings: Arc::from([Address::new("site", "File", "www", "b")]),
        ..entry("site:File/a", "a")
    };
    let other = Entry {
        address: Address::new("dns", "RecordSet", "", "x"),
        after: Arc::from([id("site:File/a"), id("dns:RecordSet/y")]),
        ..entry("dns:RecordSet/x", "x")
    };
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    store.edit("prod", None, "adopted", vec![put(&one, TARGET), put(&other, "dns:")]).wait().unwrap();
    store.edit("dev", None, "adopted", vec![put(&entry("site:File/a", "a"), "file:/dev")]).wait().unwrap();
    store.intend("prod", run, vec![intent("t", &entry("site:File/n", "n"))]).wait().unwrap();
    let renamed = |from: &str, to: &str| Groundwork { renames: vec![(from.into(), to.into())], ..Groundwork::default() };
    let rename = || store.prepare("prod", run, renamed("site", "web")).wait();
    rename().unwrap();
    let moved = Entry {
        resource: id("web:File/a"),
        address: Address::new("web", "File", "www", "a"),
        after: Arc::from([id("web:File/b")]),
        siblings: Arc::from([Address::new("web", "File", "www", "b")]),
        ..one
    };
    let other = Entry { after: Arc::from([id("web:File/a"), id("dns:RecordSet/y")]), ..other };
    let check = || {
        let mut all = store.inventory("prod").unwrap();
        all.sort_by(|a, b| a.resource.cmp(&b.resource));
        assert_eq!(all, [other.clone(), moved.clone()]);
        assert_eq!(store.inventory("dev").unwrap(), [entry("site:File/a", "a")], "another environment's");
        let applied = store.applied("prod", &[moved.address.clone(), Address::new("site", "File", "www", "a")]).unwrap();
        assert_eq!((applied[0].is_some(), applied[1].is_some()), (true, false));
        let open = &store.intents("prod").unwrap()[0];
        assert_eq!((&open.resource, &open.address), (&id("web:File/n"), &Address::new("web", "File", "www", "n")));
        assert_eq!(
            (&*open.after, &*open.siblings),
            (&[id("web:File/first")][..], &[Address::new("web", "File", "www", "sibling")][..])
        );
    };
    check();
    // Again, and back to a name that was had before.
    rename().unwrap();
    check();
    store.prepare("prod", run, renamed("web", "site")).wait().unwrap();
    rename().unwrap();
    check();
    let lines = store.audit(None, Some(&id("web:File/a")), 9).unwrap();
    assert_eq!((lines[0].event.as_str(), &lines[0].body["from"]), ("renamed", &json!("site:File/a")));
    store.verify().unwrap().unwrap();
    // What was under way ends under its token, wherever it is.
    let made = entry("web:File/n", "n");
    let made = Entry { address: Address::new("web", "File", "www", "n"), ..made };
    store.outcome("prod", run, outcome("t", vec![put(&made, TARGET)], Ending::Settled)).wait().unwrap();
    assert_eq!((store.intents("prod").unwrap(), store.inventory("prod").unwrap().len()), (vec![], 3));
}

fn what_is_owned_under_both_aliases_keeps_a_rename_from_being_made(store: &dyn Store) {
    let old = entry("site:File/a", "a");
    let new = Entry { address: Address::new("web", "File", "www", "a"), ..entry("web:File/a", "a") };
    store.edit("prod", None, "adopted", vec![put(&old, TARGET), put(&new, "file:/other")]).wait().unwrap();
    let before = store.inventory("prod").unwrap();
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let rename = || {
        let renames = vec![("site".into(), "web".into())];
        store.prepare("prod", run, Groundwork { renames, ..Groundwork::default() }).wait()
    };
    rename().unwrap_err();
    assert_eq!(store.inventory("prod").unwrap(), before);
    store.edit("prod", None, "forgotten", vec![Edit::Remove(new.address.clone())]).wait().unwrap();
    rename().unwrap();
    assert_eq!(store.inventory("prod").unwrap()[0].address, new.address);
}

fn what_an_apply_stands_on_is_recorded_as_a_whole(store: &dyn Store) {
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let (one, two) = (entry("site:File/a", "a"), entry("site:File/b", "b"));
    store.intend("prod", run, vec![intent("t", &one)]).wait().unwrap();
    let ground = |second: &str| Groundwork {
        resolved: vec![("t".into(), Verdict::Done, vec![put(&one, TARGET)]), (second.into(), Verdict::Undone, vec![])],
        edits: vec![put(&two, TARGET)],
        renames: Vec::new(),
        agreed: vec![(two.address.clone(), Digest::of(b"seen"))],
    };
    store.prepare("prod", run, ground("not open")).wait().unwrap_err();
    assert_eq!((store.intents("prod").unwrap().len(), store.inventory("prod").unwrap()), (1, vec![]));
    store.intend("prod", run, vec![intent("u", &entry("site:File/c", "c"))]).wait().unwrap();
    store.prepare("prod", run, ground("u")).wait().unwrap();
    let agreed = Entry { agreed: Some(Digest::of(b"seen")), ..two };
    assert_eq!((store.intents("prod").unwrap(), store.inventory("prod").unwrap()), (vec![], vec![one, agreed]));
}

fn an_entry_knows_whether_its_document_holds_a_secret(store: &dyn Store) {
    let one = entry("site:File/a", "a");
    let put = |entry: &Entry, applied: Option<Json>| {
        let edit = Edit::Put { entry: Box::new(entry.clone()), target: TARGET.into(), applied: applied.map(Arc::new) };
        store.edit("prod", None, "applied", vec![edit]).wait().unwrap();
        store.inventory("prod").unwrap().remove(0)
    };
    let sealed = put(&one, Some(json!({"spec": {"list": [{"x": {"$secret": "db", "hmac": "00"}}]}})));
    assert_eq!(sealed, Entry { secrets: true, ..one.clone() });
    assert_eq!(put(&sealed, None), sealed, "a put without a document keeps the one that is there");
    assert_eq!(put(&sealed, Some(json!({"spec": {"x": "plain"}}))), one);
}

fn agreed_digests_are_kept_until_the_next_put(store: &dyn Store) {
    let one = entry("site:File/a", "a");
    store.edit("prod", None, "adopted", vec![put(&one, TARGET)]).wait().unwrap();
    let seen = Digest::of(b"seen");
    let missing = Address::new("site", "File", "www", "none");
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let agreed = vec![(one.address.clone(), seen), (missing, seen)];
    store.prepare("prod", run, Groundwork { agreed, ..Groundwork::default() }).wait().unwrap();
    assert_eq!(store.inventory("prod").unwrap(), [Entry { agreed: Some(seen), ..one.clone() }]);
    store.edit("prod", None, "applied", vec![put(&one, TARGET)]).wait().unwrap();
    assert_eq!(store.inventory("prod").unwrap(), [one]);
}

fn observations_are_replaced_scope_by_scope(store: &dyn Store) {
    let record = |scope: &str, version: Option<&str>, objects: &[u8]| ScopeRecord {
        scope: Scope { provider: "site".into(), kind: "File".into(), scope: scope.into() },
        version: version.map(str::to_owned),
        objects: objects.into(),
    };
    assert_eq!(store.scopes("prod").unwrap(), []);
    store.put_scopes("prod", vec![record("a", Some("1"), b"one"), record("b", None, b"")]).unwrap();
    store.put_scopes("prod", vec![record("a", Some("2"), b"two\0")]).unwrap();
    store.put_scopes("dev", vec![record("a", None, b"dev")]).unwrap();
    assert_eq!(store.scopes("prod").unwrap(), [record("a", Some("2"), b"two\0"), record("b", None, b"")]);
}

fn plans_are_found_by_their_first_digits(store: &dyn Store) {
    let mut one = Digest([0xab; 32]);
    let (first, mut other) = (one, one);
    other.0[31] = 0;
    store.save_plan("prod", one, "{}".into()).wait().unwrap();
    store.save_plan("prod", one, "{\"again\":1}".into()).wait().unwrap();
    for id in ["abababab", "p-abababab", &format!("sha256:{one}")] {
        let found = store.plan(id).unwrap().unwrap();
        assert_eq!((found.digest, found.environment.as_str(), found.json.as_str()), (one, "prod", "{\"again\":1}"), "{id}");
    }
    for id in ["abababa", "abababac", "ABABABAB", "", "p-", "../../etc/x"] {
        assert_eq!(store.plan(id).unwrap(), None, "{id}");
    }
    store.save_plan("prod", other, "{}".into()).wait().unwrap();
    let refused = store.plan("p-abababab").unwrap_err();
    assert!(matches!(refused, StoreError::Ambiguous { .. }), "{refused}");
    assert_eq!(store.plan(&other.to_string()).unwrap().unwrap().digest, other);
    for number in 0..99 {
        one.0[0] = number;
        store.save_plan("prod", one, "{}".into()).wait().unwrap();
    }
    assert_eq!(store.plan(&first.to_string()).unwrap(), None, "the oldest go");
    assert!(store.plan(&other.to_string()).unwrap().is_some());
}

fn runs_are_listed_newest_first_and_the_audit_log_verifies(store: &dyn Store) {
    assert_eq!(store.verify().unwrap().unwrap(), Verified { rows: 0, head: Digest::default() });
    let first = store.begin_run(new_run("prod")).wait().unwrap();
    let second = store.begin_run(NewRun { plan: None, ..new_run("dev") }).wait().unwrap();
    store.end_run(second, "done", json!({"create": 3})).wait().unwrap();
    let runs = store.history(None, 9).unwrap();
    assert_eq!(runs.iter().map(|it| it.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!((runs[1].about.clone(), runs[1].ended, runs[1].outcome.as_deref()), (new_run("prod"), None, None));
    assert_eq!((runs[0].outcome.as_deref(), runs[0].counts.clone()), (Some("done"), json!({"create": 3})));
    assert!(runs[0].ended.unwrap() >= runs[0].began && runs[0].began > 1_700_000_000_000);
    assert_eq!(store.history(Some("prod"), 9).unwrap().len(), 1);
    assert_eq!(store.history(None, 1).unwrap().len(), 1);
    let verified = store.verify().unwrap().unwrap();
    assert_eq!(verified.rows, 3);
    store.end_run(first, "failed", json!({})).wait().unwrap();
    assert_ne!(store.verify().unwrap().unwrap().head, verified.head);
}
