//! Changes that take a while, scans in pages, and fields that are never read back, by a provider of machines.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use trueup_sdk::double::{Engine, Phase};
use trueup_sdk::host::http::{Request, Response};
use trueup_sdk::prelude::*;
use trueup_sdk::{Coverage, Desired, HealthState, Json, Observation, Provider, Settlement, json};

#[derive(Settings, Deserialize)]
struct Conf {
    server: String,
}

/// A machine in a zone.
#[derive(Clone, Kind, Serialize, Deserialize)]
#[kind(scope = "zone", key = "name")]
struct Machine {
    zone: String,
    name: String,
    #[hint(unordered, default = [])]
    labels: Vec<String>,
    /// Never read back.
    password: Option<Secret>,
}

#[provider(name = "machines", scan(Machine), crud(Machine), hosts("config.server"), secrets)]
struct Machines(Conf);

#[derive(Deserialize)]
struct Shown {
    id: String,
    ready: bool,
    #[serde(flatten)]
    spec: Machine,
}

impl From<Shown> for Found<Machine> {
    fn from(shown: Shown) -> Self {
        let found = Self::new(shown.spec).identity(shown.id);
        if shown.ready { found } else { found.pending(50, "starts") }
    }
}

impl Scan<Machine> for Machines {
    fn scan(&self, query: &ScopeQuery, _: &CallInfo) -> Result<Page<Machine>> {
        #[derive(Deserialize)]
        struct Answer {
            machines: Vec<Shown>,
            next: Option<String>,
        }
        let request = http::get(format!("{}/machines", self.0.server)).query("zone", &query.scope);
        let Some(response) = request.page(query, "after").send()?.changed()? else { return Ok(Page::unchanged()) };
        let Answer { machines, next } = response.json()?;
        Ok(Page::whole(machines.into_iter().map(Found::from).collect()).next(next).version(response.etag()))
    }
}

impl Crud<Machine> for Machines {
    fn find(&self, machine: &Target<'_, Machine>) -> Result<Option<Found<Machine>>> {
        let Some(id) = machine.identity else { return self.search(machine) };
        let response = http::get(format!("{}/machines/{id}", self.0.server)).send()?.found()?;
        response.map(|it| Ok(it.json::<Shown>()?.into())).transpose()
    }

    fn create(&self, _: &Target<'_, Machine>, desired: &Machine) -> Result<Found<Machine>> {
        let body = trueup_sdk::schema::fields(desired)?;
        Ok(http::post(format!("{}/machines", self.0.server)).json(&body).send()?.ok()?.json::<Shown>()?.into())
    }

    fn update(&self, machine: &Target<'_, Machine>, _: &Machine) -> Result<Found<Machine>> {
        Err(Error::unsupported(format!("`{}` cannot change", machine.name())))
    }

    fn delete(&self, machine: &Target<'_, Machine>) -> Result<Deleted> {
        http::delete(format!("{}/machines/{}", self.0.server, machine.name())).send()?.ok()?;
        Ok(Deleted::later(50, "stops"))
    }
}

/// The service: machines by id, how many looks each still takes to be ready or gone, its answers' entity tag.
#[derive(Default)]
struct Service {
    machines: BTreeMap<String, Json>,
    looks: BTreeMap<String, u32>,
    tag: u32,
    /// Answers 503 to so many requests.
    broken: u32,
    seen: Vec<String>,
}

impl Service {
    fn answer(&mut self, request: &Request) -> Response {
        self.seen.push(format!("{} {}", request.method, request.url.trim_start_matches("https://m.example")));
        let respond = |status, body: Json, tag: u32| {
            let headers = vec![("etag".to_owned(), format!("\"{tag}\"")), ("retry-after".to_owned(), "2".to_owned())];
            Response { status, headers, body: body.to_string().into_bytes(), cut: false }
        };
        if self.broken > 0 {
            self.broken -= 1;
            return respond(503, Json::Null, 0);
        }
        let (path, parameters) = request
            .url
            .trim_start_matches("https://m.example")
            .split_once('?')
            .unwrap_or((request.url.trim_start_matches("https://m.example"), ""));
        let id = path.trim_start_matches("/machines").trim_start_matches('/').to_owned();
        match (request.method.as_str(), id.as_str()) {
            ("POST", "") => {
                let mut machine: Json = serde_json::from_slice(request.body.as_deref().unwrap_or_default()).unwrap();
                assert_ne!(machine["password"], json!({"$secret": "pw"}), "a handle is of no use to a service");
                machine.as_object_mut().unwrap().remove("password");
                let id = format!("m-{}", self.machines.len() + 1);
                (machine["id"], machine["ready"]) = (json!(id), json!(false));
                self.tag += 1;
                self.looks.insert(id.clone(), 2);
                self.machines.insert(id, machine.clone());
                respond(201, machine, self.tag)
            }
            ("DELETE", id) => {
                self.looks.insert(id.to_owned(), 2);
                respond(202, Json::Null, self.tag)
            }
            ("GET", "") => {
                let current = Some(format!("\"{}\"", self.tag));
                if request.headers.iter().any(|(name, value)| name == "if-none-match" && Some(value) == current.as_ref()) {
                    return respond(304, Json::Null, self.tag);
                }
                let after = parameters.split('&').find_map(|it| it.strip_prefix("after=")).unwrap_or_default();
                let mut rest = self.machines.range(after.to_owned()..).filter(|(id, _)| *id != after);
                let page: Vec<Json> = rest.by_ref().take(2).map(|(_, it)| it.clone()).collect();
                let next = rest.next().and(page.last()).map(|it| it["id"].clone());
                respond(200, json!({"machines": page, "next": next}), self.tag)
            }
            ("GET", id) => {
                let left = self.looks.get_mut(id).map(|it| {
                    *it = it.saturating_sub(1);
                    *it
                });
                let Some(machine) = self.machines.get_mut(id) else { return respond(404, Json::Null, self.tag) };
                if left == Some(0) && machine["ready"] == json!(true) {
                    self.machines.remove(id);
                    return respond(404, Json::Null, self.tag);
                }
                if left == Some(0) {
                    machine["ready"] = json!(true);
                }
                respond(200, machine.clone(), self.tag)
            }
            _ => respond(405, Json::Null, self.tag),
        }
    }
}

fn start() -> (Engine<Machines>, Rc<RefCell<Service>>) {
    let engine = Engine::start(&json!({"server": "https://m.example"})).unwrap();
    let service = Rc::new(RefCell::new(Service::default()));
    let served = Rc::clone(&service);
    engine.double().serve(move |request| Ok(served.borrow_mut().answer(request)));
    (engine, service)
}

fn machine(engine: &Engine<Machines>, name: &str) -> Desired {
    let password = engine.double().secret("pw", "s3cret");
    let spec = json!({"zone": "z", "name": name, "labels": ["b", "a"], "password": password});
    engine.render("Machine", name, &json!({ "spec": spec })).objects.remove(0)
}

#[test]
fn a_change_that_takes_a_while_is_asked_for_until_it_is_over_by_any_instance() {
    let (engine, service) = start();
    let desired = machine(&engine, "web");
    let begun = engine.bring(None, Some(&desired));
    assert!(matches!(&begun.settlement, Settlement::Pending(it) if it.message == "starts" && it.after == 50), "{begun:?}");
    let shown = begun.object.clone().unwrap();
    assert_eq!((shown.identity.as_str(), shown.health.state), ("m-1", HealthState::Progressing));
    engine.restart(&json!({"server": "https://m.example"})).unwrap();
    let made = engine.settle(begun);
    assert_eq!(made.settlement, Settlement::Settled);
    let made = made.object.unwrap();
    assert_eq!(made.health.state, HealthState::Healthy);
    let doc: Json = serde_json::from_str(&made.doc).unwrap();
    assert_eq!(doc, json!({"spec": {"zone": "z", "name": "web", "labels": ["a", "b"]}}), "the password is not read back");
    let going = engine.bring(Some(&made), None);
    assert!(matches!(&going.settlement, Settlement::Pending(it) if it.message == "stops"), "{going:?}");
    assert_eq!(engine.settle(going), trueup_sdk::Outcome::settled(None));
    assert!(service.borrow().machines.is_empty());
}

#[test]
fn a_service_that_is_busy_while_it_is_asked_keeps_a_change_pending() {
    let (engine, service) = start();
    let begun = engine.bring(None, Some(&machine(&engine, "web")));
    let before = engine.double().now();
    service.borrow_mut().broken = 1;
    let over = engine.settle(begun);
    assert_eq!(over.settlement, Settlement::Settled);
    assert_eq!(over.object.unwrap().identity, "m-1");
    assert!(engine.double().now() - before >= 2000, "the wait that the service asked for is kept");
}

#[test]
fn a_handle_that_is_none_of_ours_settles_nothing() {
    let (engine, _) = start();
    engine.double().enter(Phase::Apply);
    let begun = engine.bring(None, Some(&machine(&engine, "web")));
    let Settlement::Pending(mut pending) = begun.settlement else { panic!("{begun:?}") };
    pending.operation = "nonsense".to_owned();
    let over = engine.settle(trueup_sdk::Outcome { settlement: Settlement::Pending(pending), ..begun });
    assert!(matches!(over.settlement, Settlement::Unsettled(it) if it.fault == Fault::Internal));
}

#[test]
fn a_scan_has_the_version_of_its_first_page_and_asks_for_changes_there_alone() {
    let (engine, service) = start();
    for name in ["a", "b", "c", "d", "e"] {
        engine.settle(engine.bring(None, Some(&machine(&engine, name))));
    }
    let first = engine.scan_page(engine.query("Machine", "z")).unwrap();
    assert_eq!((first.objects.len(), first.version.as_deref()), (2, None), "no version before the last page");
    service.borrow_mut().tag = 9;
    let mut query = engine.query("Machine", "z");
    (query.cursor, query.since) = (first.next, Some("\"9\"".to_owned()));
    let second = engine.scan_page(query.clone()).unwrap();
    assert_eq!((second.objects.len(), second.coverage), (2, Coverage::Whole), "a later page is never `unchanged`");
    query.cursor = second.next;
    let third = engine.scan_page(query).unwrap();
    assert_eq!((third.objects.len(), third.next), (1, None));
    assert_eq!(third.version.as_deref(), Some("\"5\""), "what changed between the pages must be seen again");
    assert_eq!(engine.scan("Machine", "z", Some("\"9\"")).unwrap().coverage, Coverage::Unchanged);
    assert_eq!(engine.scan("Machine", "z", Some("\"5\"")).unwrap().objects.len(), 5);
}

#[test]
fn a_create_that_was_cut_off_is_found_by_a_search_through_the_pages() {
    let (engine, service) = start();
    for name in ["a", "b", "c"] {
        engine.settle(engine.bring(None, Some(&machine(&engine, name))));
    }
    let address = machine(&engine, "c").address;
    assert!(matches!(engine.read(&address, None, None), Observation::Found(it) if it.identity == "m-3"));
    let nobody = trueup_sdk::Address { key: "x".to_owned(), ..address };
    assert_eq!(engine.read(&nobody, None, None), Observation::Absent);
    let mut again = engine.change(None, Some(&machine(&engine, "b"))).unwrap();
    (again.unsettled, again.attempt) = (true, 1);
    let requests = service.borrow().seen.len();
    engine.apply(vec![again]);
    assert!(!service.borrow().seen[requests..].iter().any(|it| it.starts_with("POST")), "nothing is made twice");
}

#[test]
fn the_manifest_names_what_is_real() {
    assert_eq!(Machines::manifest()["features"], json!(["rendering", "operations"]));
    let kind = &Machines::manifest()["kinds"]["Machine"];
    assert_eq!(kind["observe"], json!("scan"));
    assert_eq!(kind["schema"]["properties"]["spec"]["required"], json!(["zone", "name"]));
}
