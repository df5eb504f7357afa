//! The provider against the ticket service itself, within the test: no Wasm, no network.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use trueup_sdk::double::Engine;
use trueup_sdk::host::http::{HttpError, Response};
use trueup_sdk::{Change, Coverage, Desired, Json, Settlement, json};

use super::*;

#[path = "../server/src/service.rs"]
mod service;

fn start() -> (Engine<Tickets>, Rc<RefCell<service::Service>>) {
    let engine = Engine::start(&json!({"server": "http://tickets"})).unwrap();
    let service = Rc::new(RefCell::new(service::Service::new()));
    serve(&engine, &service, false);
    (engine, service)
}

/// Lets the service answer; `cut`: it does all that it is asked, and no answer to a POST arrives.
fn serve(engine: &Engine<Tickets>, service: &Rc<RefCell<service::Service>>, cut: bool) {
    let service = Rc::clone(service);
    engine.double().serve(move |request| {
        let mut headers = request.headers.clone();
        headers.extend(request.credential.iter().map(|_| ("authorization".to_owned(), "Bearer test-token".to_owned())));
        let (method, url) = (request.method.clone(), request.url.replacen("http://tickets", "", 1));
        let request = service::Request { method, url, headers, body: request.body.clone().unwrap_or_default() };
        let service::Answer { status, etag, body } = service.borrow_mut().answer(&request);
        let headers = etag.map(|it| ("etag".to_owned(), it)).into_iter().collect();
        match cut && request.method == "POST" {
            true => Err(HttpError::Interrupted("reset by peer".to_owned())),
            false => Ok(Response { status, headers, body: body.to_string().into_bytes(), cut: false }),
        }
    });
}

fn ticket(engine: &Engine<Tickets>, title: &str, priority: u8) -> Desired {
    let hook = engine.double().secret("hook", "s3cret");
    let spec = json!({"queue": "support", "title": title, "priority": priority, "tags": ["b", "a"], "hook": hook});
    engine.render("Ticket", "any", &json!({ "spec": spec })).objects.remove(0)
}

#[test]
fn a_ticket_is_made_seen_changed_and_closed() {
    let (engine, _) = start();
    let made = engine.bring(None, Some(&ticket(&engine, "Broken", 2))).object.unwrap();
    let doc: Json = serde_json::from_str(&made.doc).unwrap();
    let want = json!({"spec": {"queue": "support", "title": "Broken", "priority": 2, "tags": ["a", "b"], "body": ""}});
    assert_eq!(doc, want, "what the service has; the secret is not read back");
    let scan = engine.scan("Ticket", "support", None).unwrap();
    assert_eq!(scan.objects, [made.clone()]);
    assert_eq!(engine.scan("Ticket", "support", scan.version.as_deref()).unwrap().coverage, Coverage::Unchanged);
    let changed = engine.bring(Some(&made), Some(&ticket(&engine, "Broken", 1))).object.unwrap();
    let stale = engine.bring(Some(&made), Some(&ticket(&engine, "Broken", 5)));
    assert!(matches!(stale.settlement, Settlement::Rejected(it) if it.fault == Fault::Conflict), "somebody was faster");
    let closing = engine.bring(Some(&changed), None);
    assert!(matches!(closing.settlement, Settlement::Pending(_)), "{closing:?}");
    sleep(Duration::from_millis(350));
    assert_eq!(engine.settle(closing).settlement, Settlement::Settled);
    assert_eq!(engine.scan("Ticket", "support", None).unwrap().objects, []);
    assert_eq!(engine.bring(Some(&changed), None).settlement, Settlement::Settled, "closing it twice");
}

#[test]
fn a_queue_is_read_in_pages() {
    let (engine, _) = start();
    for number in 0..250 {
        engine.bring(None, Some(&ticket(&engine, &format!("t{number}"), 3)));
    }
    engine.double().take_calls();
    assert_eq!(engine.scan("Ticket", "support", None).unwrap().objects.len(), 250);
    assert_eq!(engine.double().take_calls().len(), 3);
}

#[test]
fn a_create_whose_answer_was_lost_makes_no_second_ticket() {
    let (engine, service) = start();
    let mut change: Change = engine.change(None, Some(&ticket(&engine, "Broken", 2))).unwrap();
    serve(&engine, &service, true);
    let lost = engine.apply(vec![change.clone()]).remove(0);
    assert!(matches!(lost.settlement, Settlement::Unsettled(_)), "{lost:?}");
    serve(&engine, &service, false);
    (change.attempt, change.unsettled) = (1, true);
    assert_eq!(engine.apply(vec![change]).remove(0).settlement, Settlement::Settled);
    assert_eq!(engine.scan("Ticket", "support", None).unwrap().objects.len(), 1);
}
