//! The provider against a server of a few lines; what real servers do is tested on real servers.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;
use trueup_sdk::double::Engine;
use trueup_sdk::host::http::Response;
use trueup_sdk::{Failure, Settlement};

use super::*;

fn set(name: &str, rtype: &str, contents: &[&str]) -> Json {
    let records = contents.iter().map(|it| json!({ "content": it, "disabled": false })).collect::<Vec<_>>();
    json!({ "name": name, "type": rtype, "ttl": 60, "records": records, "comments": [] })
}

/// A zone with what only a server writes, and four sets of people's.
fn zone() -> Vec<Json> {
    vec![
        set("example.com.", "SOA", &["ns1.example.com. h.example.com. 7 1 1 1 1"]),
        set("example.com.", "NS", &["ns1.example.com."]),
        set("example.com.", "DNSKEY", &["257 3 13 AAAA"]),
        set("a.example.com.", "A", &["10.0.0.1"]),
        set("b.example.com.", "LUA", &["A \"ifportup(443, {'10.0.0.1'})\""]),
        set("c.example.com.", "A", &["not an address"]),
        set("d.example.com.", "TXT", &["\"d\""]),
    ]
}

/// A provider whose server has these sets.
fn start(sets: &Rc<RefCell<Vec<Json>>>) -> Engine<DnsProvider> {
    let engine = Engine::start(&json!({ "flavor": "powerdns", "server": "http://127.0.0.1:8081" })).unwrap();
    let sets = sets.clone();
    engine.double().serve(move |_| {
        let body = json!({ "name": "example.com.", "kind": "Primary", "rrsets": *sets.borrow() }).to_string().into_bytes();
        Ok(Response { status: 200, headers: Vec::new(), body, cut: false })
    });
    engine
}

fn keys(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.objects.iter().map(|it| it.address.key.as_str()).collect()
}

#[test]
fn what_the_server_writes_itself_is_no_object_and_the_apex_is_never_claimed() {
    let engine = start(&Rc::new(RefCell::new(zone())));
    let seen = engine.scan(RECORD_SET, "example.com", None).unwrap();
    assert_eq!(keys(&seen), ["@ NS", "a A", "c A", "d TXT"]);
    let unclaimed = seen.objects.iter().filter(|it| it.ext.iter().any(|(name, _)| name == "unclaimed"));
    assert_eq!(unclaimed.map(|it| it.address.key.as_str()).collect::<Vec<_>>(), ["@ NS"]);
    assert!(seen.objects[2].doc.contains("not an address"), "what no rule allows is shown as it stands");
    assert!(seen.diagnostics[0].summary.contains("`b.example.com. LUA`"), "{:?}", seen.diagnostics);
    let zone = engine.scan(ZONE, "example.com", None).unwrap();
    assert_eq!(zone.objects[0].doc, json!({ "spec": { "kind": "Master", "name": "example.com" } }).to_string());
}

#[test]
fn a_set_that_a_change_would_lose_records_of_is_never_claimed() {
    let mut sets = zone();
    sets[3]["records"][0]["disabled"] = json!(true);
    let engine = start(&Rc::new(RefCell::new(sets)));
    let seen = engine.scan(RECORD_SET, "example.com", None).unwrap();
    let unclaimed = seen.objects.iter().filter(|it| it.ext.iter().any(|(name, _)| name == "unclaimed"));
    assert_eq!(unclaimed.map(|it| it.address.key.as_str()).collect::<Vec<_>>(), ["@ NS", "a A"]);
}

#[test]
fn a_scope_that_is_spelt_in_another_way_than_documents_have_it_is_refused() {
    let engine = start(&Rc::new(RefCell::new(zone())));
    let refused = engine.scan(RECORD_SET, "Example.com.", None).unwrap_err();
    assert!(refused.diagnostics[0].summary.contains("write the scope as `example.com`"), "{refused:?}");
    assert!(engine.double().take_calls().is_empty(), "nothing is asked of the server");
}

#[test]
fn a_zone_of_many_pages_is_fetched_once() {
    let engine = start(&Rc::new(RefCell::new(zone())));
    let mut query = engine.query(RECORD_SET, "example.com");
    query.limit = 3;
    engine.double().take_calls();
    let first = engine.scan_page(query.clone()).unwrap();
    assert_eq!((keys(&first), first.version.as_deref()), (vec!["@ NS", "a A", "c A"], None));
    query.cursor = first.next;
    let last = engine.scan_page(query.clone()).unwrap();
    assert_eq!((keys(&last), last.next.as_deref()), (vec!["d TXT"], None));
    assert_eq!(engine.double().take_calls().len(), 1);
    let since = last.version.as_deref();
    assert_eq!(engine.scan(RECORD_SET, "example.com", since).unwrap().coverage, Coverage::Unchanged);
}

#[test]
fn pages_of_two_states_of_a_zone_are_never_put_together() {
    let sets = Rc::new(RefCell::new(zone()));
    let engine = start(&sets);
    let mut query = engine.query(RECORD_SET, "example.com");
    query.limit = 3;
    query.cursor = engine.scan_page(query.clone()).unwrap().next;
    // Another instance answers for the rest: as it was, then after a change.
    let config = json!({ "flavor": "powerdns", "server": "http://127.0.0.1:8081" });
    engine.restart(&config).unwrap();
    assert_eq!(keys(&engine.scan_page(query.clone()).unwrap()), ["d TXT"]);
    engine.restart(&config).unwrap();
    sets.borrow_mut().push(set("e.example.com.", "A", &["10.0.0.2"]));
    let Failure { fault, diagnostics } = engine.scan_page(query.clone()).unwrap_err();
    assert!(
        matches!(fault, Fault::Transient(_)) && diagnostics[0].summary.contains("changed while it was read"),
        "{diagnostics:?}"
    );
    query.cursor = Some("nonsense".to_owned());
    assert_eq!(engine.scan_page(query).unwrap_err().fault, Fault::Internal);
}

#[test]
fn a_zone_that_is_not_there_is_empty_only_where_somebody_declares_it() {
    let engine = start(&Rc::default());
    engine.double().serve(|_| Ok(Response { status: 404, headers: Vec::new(), body: b"Not Found".to_vec(), cut: false }));
    let refused = engine.scan(RECORD_SET, "example.com", None).unwrap_err();
    assert!(refused.fault == Fault::NotFound && refused.diagnostics[0].summary.contains("declare a `Zone`"), "{refused:?}");
    let provider = DnsProvider::configure(json!({ "flavor": "powerdns", "server": "http://127.0.0.1:8081" }), None).unwrap();
    let queries = vec![engine.query(ZONE, "example.com"), engine.query(RECORD_SET, "example.com")];
    let both = provider.scan(queries, &CallInfo { now: 0, budget: 30_000, trace: String::new(), ext: Vec::new() });
    assert!(
        both.iter().all(|it| it.as_ref().is_ok_and(|it| it.coverage == Coverage::Whole && it.objects.is_empty())),
        "{both:?}"
    );
}

/// What a provider says of a create, and what its server was asked, while `answer` has the status of each request.
fn created(unsettled: bool, answer: fn(&str) -> u16) -> (Outcome, Vec<String>) {
    let engine = Engine::<DnsProvider>::start(&json!({ "flavor": "powerdns", "server": "http://127.0.0.1:8081" })).unwrap();
    let asked = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&asked);
    engine.double().serve(move |request| {
        log.borrow_mut().push(request.method.clone());
        let body = json!({ "name": "example.com.", "kind": "Native", "rrsets": [] }).to_string().into_bytes();
        Ok(Response { status: answer(&request.method), headers: Vec::new(), body, cut: false })
    });
    let rendered = engine.render(ZONE, "example.com", &json!({ "spec": { "name": "example.com", "kind": "Native" } }));
    let mut change = engine.change(None, rendered.objects.first()).unwrap();
    change.unsettled = unsettled;
    let outcome = engine.apply(vec![change]).remove(0);
    let asked = asked.borrow().clone();
    (outcome, asked)
}

#[test]
fn a_zone_whose_create_lost_its_answer_is_found_by_the_next_try_and_by_no_first_one() {
    let there = |method: &str| if method == "POST" { 409 } else { 200 };
    let (first, asked) = created(false, there);
    assert!(
        matches!(first.settlement, Settlement::Rejected(it) if it.fault == Fault::Conflict),
        "a first try takes nobody's zone"
    );
    assert_eq!(asked, ["POST"]);
    let (again, asked) = created(true, there);
    assert_eq!((again.settlement, asked), (Settlement::Settled, ["POST", "PUT", "GET"].map(str::to_owned).to_vec()));
}

#[test]
fn a_zone_that_was_made_and_cannot_be_looked_at_is_not_called_rejected() {
    let (outcome, _) = created(false, |method| if method == "GET" { 500 } else { 200 });
    assert!(matches!(outcome.settlement, Settlement::Unsettled(_)), "{outcome:?}");
}
