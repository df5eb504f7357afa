//! A provider of notes that a web service keeps: all there is to write, and its test.
#![allow(missing_docs)]

use trueup_sdk::prelude::*;

#[derive(Settings, Deserialize)]
struct Conf {
    /// Where the service listens.
    #[hint(default = "https://notes.example/api")]
    server: String,
}

/// A note on a board.
#[derive(Clone, Kind, Serialize, Deserialize)]
#[kind(scope = "board", key = "title", status = NoteStatus)]
struct Note {
    #[hint(lowercase)]
    board: String,
    title: String,
    /// What it says.
    text: String,
    #[hint(default = 1, min = 1, max = 5)]
    stars: u8,
}

#[derive(Clone, Default, Schema, Serialize, Deserialize)]
struct NoteStatus {
    /// Where people read it.
    #[hint(computed)]
    link: String,
}

#[provider(name = "notes", crud(Note), hosts("config.server"), credentials(token("bearer")))]
struct Notes(Conf);

impl Notes {
    fn url(&self, note: &Target<'_, Note>) -> String {
        format!("{}/{}/{}", self.0.server, http::escape(&note.address.scope), http::escape(&note.address.key))
    }

    fn put(&self, note: &Target<'_, Note>, desired: &Note, condition: (&str, &str)) -> Result<Found<Note>> {
        let request = http::put(self.url(note)).credential("token").header(condition.0, condition.1);
        found(&request.idempotency_key(note.token()).json(desired).send()?.ok()?)
    }
}

fn found(response: &http::Response) -> Result<Found<Note>> {
    let (note, link) = (response.json()?, response.header("location").unwrap_or_default().to_owned());
    Ok(Found::new(note).version(response.etag()).status(NoteStatus { link }))
}

impl Crud<Note> for Notes {
    fn find(&self, note: &Target<'_, Note>) -> Result<Option<Found<Note>>> {
        let response = http::get(self.url(note)).credential("token").send()?.found()?;
        response.as_ref().map(found).transpose()
    }

    fn create(&self, note: &Target<'_, Note>, desired: &Note) -> Result<Found<Note>> {
        self.put(note, desired, ("if-none-match", "*"))
    }

    fn update(&self, note: &Target<'_, Note>, desired: &Note) -> Result<Found<Note>> {
        self.put(note, desired, ("if-match", note.version.unwrap_or("*")))
    }

    fn delete(&self, note: &Target<'_, Note>) -> Result<Deleted> {
        http::delete(self.url(note)).credential("token").if_match(note.version).send()?.ok().map(|_| Deleted::Gone)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use trueup_sdk::double::Engine;
    use trueup_sdk::host::http::{HttpError, Request, Response};
    use trueup_sdk::{Json, Observation, Provider, Settlement, json};

    use super::*;

    /// The service: notes by URL, each with the number of its version.
    type Service = Rc<RefCell<BTreeMap<String, (u32, Vec<u8>)>>>;

    fn start() -> (Engine<Notes>, Service) {
        let engine = Engine::start(&json!({})).unwrap();
        let service = Service::default();
        let notes = Rc::clone(&service);
        engine.double().serve(move |request| Ok(answer(&mut notes.borrow_mut(), request)));
        (engine, service)
    }

    fn answer(notes: &mut BTreeMap<String, (u32, Vec<u8>)>, request: &Request) -> Response {
        let held = notes.get(&request.url).cloned();
        let etag = held.as_ref().map(|(version, _)| version.to_string());
        let refused = request.headers.iter().any(|(name, value)| match name.as_str() {
            "if-none-match" => held.is_some(),
            "if-match" => value != "*" && Some(value) != etag.as_ref(),
            _ => false,
        });
        let respond = |status, version: u32, body: Vec<u8>| {
            let headers = vec![("etag".to_owned(), version.to_string()), ("location".to_owned(), "/n/1".to_owned())];
            Response { status, headers, body, cut: false }
        };
        match (request.method.as_str(), held) {
            _ if refused => respond(412, 0, Vec::new()),
            ("PUT", held) => {
                let (version, body) = (held.map_or(1, |(version, _)| version + 1), request.body.clone().unwrap_or_default());
                notes.insert(request.url.clone(), (version, body.clone()));
                respond(200, version, body)
            }
            ("DELETE", Some(_)) => {
                notes.remove(&request.url);
                respond(204, 0, Vec::new())
            }
            ("GET", Some((version, body))) => respond(200, version, body),
            _ => respond(404, 0, Vec::new()),
        }
    }

    fn doc(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_note_is_rendered_created_seen_changed_and_deleted() {
        let (engine, service) = start();
        let note = |text: &str| {
            let rendered = engine.render("Note", "x", &json!({"spec": {"board": "Home", "title": "a b", "text": text}}));
            rendered.objects.into_iter().next().unwrap()
        };
        let desired = note("hello");
        assert_eq!((desired.address.scope.as_str(), desired.address.key.as_str()), ("home", "a b"));
        assert_eq!(doc(&desired.doc), json!({"spec": {"board": "home", "title": "a b", "text": "hello", "stars": 1}}));
        let made = engine.bring(None, Some(&desired)).object.unwrap();
        assert!(service.borrow().contains_key("https://notes.example/api/home/a%20b"));
        assert_eq!((&made.doc, made.version.as_deref(), doc(&made.outputs)), (&desired.doc, Some("1"), json!({"link": "/n/1"})));
        assert_eq!(engine.read(&desired.address, None, None), Observation::Found(made.clone()));
        assert_eq!(engine.read(&desired.address, None, Some("1")), Observation::Unchanged);
        let now = engine.bring(Some(&made), Some(&note("bye"))).object.unwrap();
        let stale = engine.bring(Some(&made), None);
        assert!(matches!(stale.settlement, Settlement::Rejected(it) if it.fault == Fault::Conflict));
        assert_eq!(engine.bring(Some(&now), None).settlement, Settlement::Settled);
        assert_eq!(engine.bring(Some(&now), None).settlement, Settlement::Settled, "deleting twice");
        assert_eq!(engine.read(&desired.address, None, None), Observation::Absent);
    }

    #[test]
    fn a_create_whose_answer_was_lost_makes_no_second_note() {
        let (engine, service) = start();
        let rendered = engine.render("Note", "x", &json!({"spec": {"board": "b", "title": "t", "text": "x"}}));
        let mut change = engine.change(None, rendered.objects.first()).unwrap();
        let notes = Rc::clone(&service);
        engine.double().serve(move |request| {
            answer(&mut notes.borrow_mut(), request);
            Err(HttpError::Interrupted("reset by peer".to_owned()))
        });
        let first = engine.apply(vec![change.clone()]).remove(0);
        assert!(matches!(first.settlement, Settlement::Unsettled(_)), "{first:?}");
        let notes = Rc::clone(&service);
        engine.double().serve(move |request| Ok(answer(&mut notes.borrow_mut(), request)));
        (change.attempt, change.unsettled) = (1, true);
        let second = engine.apply(vec![change]).remove(0);
        assert_eq!(second.settlement, Settlement::Settled);
        assert_eq!(service.borrow().values().map(|(version, _)| *version).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_manifest_says_what_the_types_say() {
        let manifest = Notes::manifest();
        let kind = &manifest["kinds"]["Note"];
        assert_eq!((&kind["observe"], &kind["recover"]), (&json!("read"), &json!("key")));
        let spec = &kind["schema"]["properties"]["spec"];
        assert_eq!(spec["required"], json!(["board", "title", "text"]));
        assert_eq!(spec["properties"]["title"]["x-trueup-key"], true);
        assert_eq!(spec["properties"]["stars"], json!({"type": "integer", "minimum": 1, "maximum": 5, "default": 1}));
        assert_eq!(spec["properties"]["text"]["description"], "What it says.");
        assert_eq!(kind["schema"]["properties"]["status"]["properties"]["link"]["x-trueup-computed"], true);
        assert_eq!(manifest["credentials"], json!({"token": {"schemes": ["bearer"]}}));
    }
}
