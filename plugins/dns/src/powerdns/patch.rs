//! Changes of one zone as PATCH requests: one where they fit, else as few as they fit into.
//!
//! The server carries a request out whole or not at all, and names the set that it refuses. That set fails alone: the others go
//! again without it.

use serde_json::json;
use trueup_sdk::{Error, Fault, Result};

use super::answer::DISABLED;
use crate::backend::SetChange;
use crate::name::Name;
use crate::rdata;

/// Sets that a server may refuse one after the other before the rest of their request fails with the last of them.
const MOST_REFUSED: usize = 16;

const HEAD: &str = "{\"rrsets\":[";
const TAIL: &str = "]}";

/// Changes on their way.
pub struct Patch<'a> {
    zone: &'a Name,
    changes: &'a [SetChange],
    /// One JSON object for each change.
    texts: Vec<String>,
    max_body: usize,
    answers: Vec<Result<()>>,
}

impl<'a> Patch<'a> {
    pub fn new(zone: &'a Name, changes: &'a [SetChange], max_body: usize) -> Self {
        let texts = changes.iter().map(text).collect();
        let lost = || Err(Error::internal("a change was left out"));
        Self { zone, changes, texts, max_body, answers: changes.iter().map(|_| lost()).collect() }
    }

    /// Sends all requests, each by `send`, and answers every change.
    pub fn send(mut self, send: impl Fn(Vec<u8>) -> Result<()>) -> Vec<Result<()>> {
        for part in self.parts() {
            self.send_part(part, &send);
        }
        self.answers
    }

    fn put(&mut self, index: usize, answer: Result<()>) {
        if let Some(slot) = self.answers.get_mut(index) {
            *slot = answer;
        }
    }

    /// Indices of the changes of each request. Changes of one name stand together, what goes before what comes: a CNAME and
    /// what it takes the place of change at once.
    fn parts(&mut self) -> Vec<Vec<usize>> {
        let mut order = Vec::with_capacity(self.changes.len());
        for (index, change) in self.changes.iter().enumerate() {
            match refusal(change) {
                Some(error) => self.put(index, Err(error)),
                None => order.push(index),
            }
        }
        let key = |index: &usize| self.changes.get(*index).map(|it| (&it.name, it.after.is_some(), it.rtype));
        order.sort_by(|one, other| key(one).cmp(&key(other)));
        let name = |index: &usize| self.changes.get(*index).map(|it| &it.name);
        let length =
            |group: &[usize]| group.iter().filter_map(|index| self.texts.get(*index)).map(|it| it.len() + 1).sum::<usize>();
        let room = self.max_body.saturating_sub(HEAD.len() + TAIL.len());
        let (mut parts, mut open, mut bytes, mut large) = (Vec::new(), Vec::new(), 0, Vec::new());
        for group in order.chunk_by(|one, other| name(one) == name(other)) {
            let need = length(group);
            if need > room {
                large.extend_from_slice(group);
                continue;
            }
            if bytes + need > room {
                parts.push(std::mem::take(&mut open));
                bytes = 0;
            }
            open.extend_from_slice(group);
            bytes += need;
        }
        if !open.is_empty() {
            parts.push(open);
        }
        for index in large {
            let text = format!(
                "the changes of its name do not fit into one request of {} bytes; raise `config.maxBody`, and `webserver-max-bodysize` of the server",
                self.max_body
            );
            self.put(index, Err(Error::invalid("dns.too-large", text)));
        }
        parts
    }

    fn send_part(&mut self, mut part: Vec<usize>, send: &impl Fn(Vec<u8>) -> Result<()>) {
        for round in 0..=MOST_REFUSED {
            let texts = part.iter().filter_map(|index| self.texts.get(*index)).map(String::as_str).collect::<Vec<_>>();
            if texts.is_empty() {
                return;
            }
            let body = [HEAD, &texts.join(","), TAIL].concat();
            let error = match send(body.into_bytes()) {
                Ok(()) => return part.into_iter().for_each(|index| self.put(index, Ok(()))),
                Err(error) => error,
            };
            let at = part.iter().position(|index| self.changes.get(*index).is_some_and(|it| names(&error, it)));
            match at.filter(|_| error.fault == Fault::Invalid && !error.unsettled && round < MOST_REFUSED) {
                Some(at) => {
                    let index = part.remove(at);
                    self.put(index, Err(error));
                }
                None => return part.into_iter().for_each(|index| self.put(index, self.failed(index, &error))),
            }
        }
    }

    fn failed(&self, index: usize, error: &Error) -> Result<()> {
        let deletes = self.changes.get(index).is_some_and(|it| it.after.is_none());
        match error.fault {
            // Nothing of the zone is there any more.
            Fault::NotFound if deletes => Ok(()),
            // It may be about to be made in this very pass.
            Fault::NotFound => {
                let zone = self.zone.without_dot();
                let text =
                    format!("the server does not have the zone `{zone}`; declare a `Zone` for it, or make it on the server");
                Err(Error::new(Fault::Transient(Some(200)), "dns.zone-missing", text))
            }
            _ => Err(error.clone()),
        }
    }
}

/// Why a change is not sent at all.
fn refusal(change: &SetChange) -> Option<Error> {
    let disabled = change.version.as_deref()?.strip_prefix(DISABLED)?;
    let text = format!(
        "{} {} holds records that are switched off on the server ({disabled}), which a change would lose; enable or remove them there",
        change.name, change.rtype
    );
    Some(Error::conflict("dns.disabled", text))
}

/// Whether an error is about this set: `RRset www.example.com. IN A: …`.
fn names(error: &Error, change: &SetChange) -> bool {
    error.message.contains(&format!(" {} IN {}:", change.name, change.rtype))
        || error.message.contains(&format!(" {}/{}", change.name, change.rtype))
        || error.message.contains(&format!(" {}/{}", change.name.without_dot(), change.rtype))
}

fn text(change: &SetChange) -> String {
    let (name, rtype) = (change.name.to_string(), change.rtype.to_string());
    let Some(after) = &change.after else {
        return json!({ "name": name, "type": rtype, "changetype": "DELETE" }).to_string();
    };
    let record = |wire: &crate::set::Rdata| {
        let mut content = String::with_capacity(wire.len() * 2);
        rdata::print(change.rtype, wire, &mut content);
        json!({ "content": content, "disabled": false })
    };
    let records = after.values.iter().map(record).collect::<Vec<_>>();
    json!({ "name": name, "type": rtype, "ttl": after.ttl, "changetype": "REPLACE", "records": records }).to_string()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::rdata::Type;
    use crate::set::RecordSet;

    fn name(text: &str) -> Name {
        Name::absolute(text).unwrap()
    }

    fn put(owner: &str, rtype: Type) -> SetChange {
        let set = RecordSet { name: name(owner), rtype, ttl: 60, values: vec![vec![10, 0, 0, 1].into()] };
        SetChange { name: name(owner), rtype, before: None, after: Some(set), version: None }
    }

    fn gone(owner: &str, rtype: Type) -> SetChange {
        SetChange { after: None, ..put(owner, rtype) }
    }

    #[test]
    fn changes_of_one_name_go_together_and_what_goes_is_named_first() {
        let zone = name("example.com");
        let changes = [put("b.example.com", Type::A), put("a.example.com", Type::A), gone("b.example.com", Type::CNAME)];
        let bodies = RefCell::new(Vec::new());
        let answers = Patch::new(&zone, &changes, 300).send(|body| {
            bodies.borrow_mut().push(String::from_utf8(body).unwrap());
            Ok(())
        });
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let bodies = bodies.into_inner();
        assert_eq!(bodies.len(), 2, "{bodies:?}");
        assert!(bodies[0].contains("a.example.com") && bodies.iter().all(|it| it.len() <= 300));
        assert!(bodies[1].find("CNAME") < bodies[1].find("REPLACE"), "{}", bodies[1]);
        let large = Patch::new(&zone, &changes, 120).send(|_| Ok(()));
        assert!(large[0].as_ref().is_err_and(|it| it.message.contains("maxBody")) && large[1].is_ok(), "{large:?}");
    }

    #[test]
    fn a_set_that_the_server_refuses_fails_alone() {
        let zone = name("example.com");
        let changes = ["a", "b", "c"].map(|it| put(&format!("{it}.example.com"), Type::A));
        let answers =
            Patch::new(&zone, &changes, 1 << 20).send(|body| match String::from_utf8(body).unwrap().contains("b.example") {
                true => Err(Error::invalid(
                    "http.status",
                    "answered 422: RRset b.example.com. IN A: Conflicts with pre-existing RRset",
                )),
                false => Ok(()),
            });
        assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok(), "{answers:?}");
        let other =
            Patch::new(&zone, &changes, 1 << 20).send(|_| Err(Error::transient("http.status", "answered 500").unsettled()));
        assert!(other.iter().all(|it| it.as_ref().is_err_and(|it| it.unsettled)), "{other:?}");
    }

    #[test]
    fn records_that_are_switched_off_are_never_lost() {
        let change = SetChange { version: Some("disabled:2".to_owned()), ..gone("a.example.com", Type::A) };
        let answers = Patch::new(&name("example.com"), &[change], 1 << 20).send(|_| panic!("nothing may be sent"));
        assert!(answers[0].as_ref().is_err_and(|it| it.fault == Fault::Conflict && it.message.contains("switched off")));
    }
}
