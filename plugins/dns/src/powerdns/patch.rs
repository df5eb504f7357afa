//! Changes of one zone as PATCH requests: one where they fit, else as few as they fit into.
//!
//! The server carries a request out whole or not at all, and names the set that it refuses. That set fails alone: the others go
//! again without it. A value must stand as the server itself would write it; where it would write ours in another way it says
//! how, and if that means the same, the set goes again so.

use serde_json::json;
use trueup_sdk::{Error, Fault, Result};

use super::answer::DISABLED;
use crate::backend::SetChange;
use crate::name::{Context, Name, Style};
use crate::rdata::svcb::Spelling;
use crate::rdata::{self, Type};
use crate::set::Rdata;

/// Sets that a server may refuse one after the other before the rest of their request is not sent.
const MOST_REFUSED: usize = 16;

/// Values that a server may want to have written in another way, in one request.
const MOST_RESPELLED: usize = 64;

/// Why a request failed, and the server's own words for it.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub error: Error,
    pub said: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, said: String::new() }
    }
}

const HEAD: &str = "{\"rrsets\":[";
const TAIL: &str = "]}";

/// Changes on their way.
pub struct Patch<'a> {
    zone: &'a Name,
    changes: &'a [SetChange],
    /// One JSON object for each change.
    texts: Vec<String>,
    /// Values of each change, and how the server wants to have them written.
    spellings: Vec<Vec<(Vec<u8>, String)>>,
    max_body: usize,
    answers: Vec<Result<()>>,
}

impl<'a> Patch<'a> {
    pub fn new(zone: &'a Name, changes: &'a [SetChange], max_body: usize) -> Self {
        let texts = changes.iter().map(|it| text(it, &[])).collect();
        let spellings = vec![Vec::new(); changes.len()];
        let lost = || Err(Error::internal("a change was left out"));
        Self { zone, changes, texts, spellings, max_body, answers: changes.iter().map(|_| lost()).collect() }
    }

    /// Sends all requests, each by `send`, and answers every change.
    pub fn send(mut self, send: impl Fn(Vec<u8>) -> Result<(), Refusal>) -> Vec<Result<()>> {
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

    fn send_part(&mut self, mut part: Vec<usize>, send: &impl Fn(Vec<u8>) -> Result<(), Refusal>) {
        let (mut refused, mut respelled) = (0, 0);
        loop {
            let texts = part.iter().filter_map(|index| self.texts.get(*index)).map(String::as_str).collect::<Vec<_>>();
            if texts.is_empty() {
                return;
            }
            let body = [HEAD, &texts.join(","), TAIL].concat();
            let Refusal { error, said } = match send(body.into_bytes()) {
                Ok(()) => return part.into_iter().for_each(|index| self.put(index, Ok(()))),
                Err(refusal) => refusal,
            };
            let certain = error.fault == Fault::Invalid && !error.unsettled;
            let found = part
                .iter()
                .enumerate()
                .find_map(|(at, index)| Some((at, *index, self.changes.get(*index).filter(|it| certain && names(&said, it))?)));
            match found {
                Some((_, index, change)) if respelled < MOST_RESPELLED && self.respell(index, change, &said) => respelled += 1,
                Some((at, index, _)) if refused < MOST_REFUSED => {
                    refused += 1;
                    part.remove(at);
                    self.put(index, Err(self.explained(index, error)));
                }
                // The last one is this one's own; the others are not to blame, and go again.
                Some((at, index, _)) => {
                    part.remove(at);
                    let text = format!(
                        "not sent: more than {MOST_REFUSED} record sets of the request are refused, the last: {}",
                        error.message
                    );
                    self.put(index, Err(self.explained(index, error)));
                    let left = Error::new(Fault::Transient(None), "dns.refused", text);
                    return part.into_iter().for_each(|index| self.put(index, Err(left.clone())));
                }
                None => return part.into_iter().for_each(|index| self.put(index, self.failed(index, &error))),
            }
        }
    }

    /// Takes the server's own spelling of a value over, where it offers one that means the same.
    fn respell(&mut self, index: usize, change: &SetChange, said: &str) -> bool {
        let Some((_, rest)) = said.split_once("Not in expected format (parsed as '") else { return false };
        let Some(wanted) = rest.strip_suffix("')") else { return false };
        let root = Name::root();
        let mut wire = Vec::with_capacity(wanted.len());
        let context = Context { origin: &root, style: Style::Observed };
        let means_the_same = rdata::parse_text(change.rtype, wanted, context, &mut wire).is_ok()
            && change.after.as_ref().is_some_and(|it| it.values.iter().any(|value| **value == *wire));
        let Some(known) = self.spellings.get_mut(index).filter(|_| means_the_same) else { return false };
        if known.iter().any(|(value, _)| *value == wire) {
            return false;
        }
        known.push((wire, wanted.to_owned()));
        let respelled = text(change, known);
        self.texts.get_mut(index).is_some_and(|slot| {
            *slot = respelled;
            true
        })
    }

    /// Why a set is refused, where the server's own words do not say so.
    fn explained(&self, index: usize, mut error: Error) -> Error {
        if let Some(change) = self.changes.get(index).filter(|it| it.rtype.fields().is_empty() && it.after.is_some()) {
            let rtype = change.rtype;
            error.message = format!(
                "{}; PowerDNS may have words of its own for values of type {rtype}, which cannot be declared here: set them on the server",
                error.message
            );
        }
        error
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

/// Whether the server's words are about this set: `RRset www.example.com. IN A: …`, `Record www.example.com./A '…': …`, or
/// `Name '…' contains …`, with the name unescaped.
fn names(said: &str, change: &SetChange) -> bool {
    let name = change.name.to_string();
    let mut plain = String::with_capacity(name.len());
    let mut rest = name.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' || rest.peek().is_none_or(char::is_ascii_digit) {
            plain.push(character);
        }
    }
    let about = |name: &str, rtype: &str| {
        said.starts_with(&format!("RRset {name} IN {rtype}:"))
            || said.starts_with(&format!("Record {name}/{rtype} "))
            || said.starts_with(&format!("Name '{name}' "))
    };
    // A server that does not know the type says its number.
    let (rtype, number) = (change.rtype.to_string(), change.rtype.safe_name());
    [&name, &plain].iter().any(|it| about(it, &rtype) || about(it, &number))
}

/// The JSON of one change; `wanted` are values and the server's own spelling of them.
fn text(change: &SetChange, wanted: &[(Vec<u8>, String)]) -> String {
    let (name, rtype) = (change.name.to_string(), change.rtype.safe_name());
    let Some(after) = &change.after else {
        return json!({ "name": name, "type": rtype, "changetype": "DELETE" }).to_string();
    };
    let record = |wire: &Rdata| {
        let own = wanted.iter().find(|(value, _)| **value == **wire).map(|(_, content)| content.clone());
        let content = own.unwrap_or_else(|| spelled(change.rtype, wire));
        json!({ "content": content, "disabled": false })
    };
    let records = after.values.iter().map(record).collect::<Vec<_>>();
    json!({ "name": name, "type": rtype, "ttl": after.ttl, "changetype": "REPLACE", "records": records }).to_string()
}

/// A value as every version of PowerDNS reads it.
fn spelled(rtype: Type, wire: &[u8]) -> String {
    // It writes the address that an IPv4 address maps to with dots, and does not read it so.
    if let (Type::AAAA, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]) = (rtype, wire) {
        return format!("::ffff:{:x}:{:x}", u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
    }
    let mut text = String::with_capacity(wire.len() * 2);
    let service = matches!(rtype, Type::SVCB | Type::HTTPS);
    if !service || rdata::print_service(wire, Spelling::PowerDns, &mut text).is_err() {
        text.clear();
        rdata::print(rtype, wire, &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::set::RecordSet;

    fn name(text: &str) -> Name {
        Name::absolute(text).unwrap()
    }

    fn put(owner: &str, rtype: Type) -> SetChange {
        let set = RecordSet { name: name(owner), rtype, ttl: 60, values: vec![vec![10, 0, 0, 1].into()], raw: Vec::new() };
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
        let large = Patch::new(&zone, &changes, 150).send(|_| Ok(()));
        assert!(large[0].as_ref().is_err_and(|it| it.message.contains("maxBody")) && large[1].is_ok(), "{large:?}");
    }

    fn refusal(said: &str) -> Refusal {
        Refusal { error: Error::invalid("http.status", format!("answered 422: {said}")), said: said.to_owned() }
    }

    #[test]
    fn the_servers_own_spelling_is_taken_over_where_it_means_the_same() {
        let zone = name("example.com");
        let values = ["key700=ab", "key701=cd"].map(|it| {
            let mut wire = Vec::new();
            let root = Name::root();
            rdata::parse_text(Type::HTTPS, &format!("1 . {it}"), Context { origin: &root, style: Style::Observed }, &mut wire)
                .unwrap();
            Rdata::from(wire)
        });
        let set =
            RecordSet { name: name("a.example.com"), rtype: Type::HTTPS, ttl: 60, values: values.to_vec(), raw: Vec::new() };
        let change = SetChange { after: Some(set), ..put("a.example.com", Type::HTTPS) };
        let offer = |quoted: [&'static str; 2]| {
            let rounds = RefCell::new(0);
            let answers = Patch::new(&zone, std::slice::from_ref(&change), 1 << 20).send(|body| {
                *rounds.borrow_mut() += 1;
                let body = String::from_utf8(body).unwrap().replace("\\\"", "'");
                let missing = quoted.iter().find(|it| !body.contains(&it.replace('"', "'")));
                missing.map_or(Ok(()), |it| {
                    Err(refusal(&format!("Record a.example.com./HTTPS '…': Not in expected format (parsed as '{it}')")))
                })
            });
            (answers.into_iter().all(|it| it.is_ok()), rounds.into_inner())
        };
        assert!(offer(["1 . key700=\"ab\"", "1 . key701=\"cd\""]).0, "one after the other");
        assert_eq!(offer(["2 . key700=\"ab\"", ""]), (false, 1), "it does not mean the same");
        assert_eq!(offer(["nonsense", ""]), (false, 1));
    }

    #[test]
    fn the_words_of_the_server_name_a_set() {
        let change = put(r"a\@b.example.com", Type::A);
        for (said, about) in [
            (r"RRset a\@b.example.com. IN A: no", true),
            (r"Record a\@b.example.com./A 'x': no", true),
            ("Name 'a@b.example.com.' contains unsupported characters", true),
            (r"RRset a\@b.example.com. IN AAAA: no", false),
            (r"RRset x.a\@b.example.com. IN A: no", false),
            ("", false),
        ] {
            assert_eq!(names(said, &change), about, "{said}");
        }
    }

    #[test]
    fn parameters_of_a_service_stand_as_every_version_reads_them() {
        let root = Name::root();
        for (text, want) in [
            ("1 . alpn=\"h2,h3\" port=8443", "1 . alpn=h2,h3 port=8443"),
            ("1 . port=8443", "1 . port=8443"),
            ("0 a.", "0 a."),
            ("1 . alpn=\"a b\"", "1 . alpn=\"a b\""),
            (r#"1 . alpn="a\"b""#, r#"1 . alpn="a\"b""#),
            (
                "1 . mandatory=alpn,dohpath alpn=h2 dohpath=/q{?dns} ohttp",
                "1 . mandatory=alpn,key7 alpn=h2 key7=\"/q{?dns}\" key8=\"\"",
            ),
            ("1 . no-default-alpn alpn=h2 key700", "1 . alpn=h2 no-default-alpn key700=\"\""),
        ] {
            let mut wire = Vec::new();
            rdata::parse_text(Type::HTTPS, text, Context { origin: &root, style: Style::Observed }, &mut wire).unwrap();
            assert_eq!(spelled(Type::HTTPS, &wire), want);
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_stands_without_dots() {
        let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        for (text, want) in [("::ffff:192.0.2.1", "::ffff:c000:201"), ("2001:db8::1", "2001:db8::1"), ("::1", "::1")] {
            assert_eq!(spelled(Type::AAAA, &address(text)), want);
        }
    }

    #[test]
    fn a_set_that_the_server_refuses_fails_alone() {
        let zone = name("example.com");
        let changes = ["a", "b", "c"].map(|it| put(&format!("{it}.example.com"), Type::A));
        let answers =
            Patch::new(&zone, &changes, 1 << 20).send(|body| match String::from_utf8(body).unwrap().contains("b.example") {
                true => Err(refusal("RRset b.example.com. IN A: Conflicts with pre-existing RRset")),
                false => Ok(()),
            });
        assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok(), "{answers:?}");
        let other = Patch::new(&zone, &changes, 1 << 20)
            .send(|_| Err(Error::transient("http.status", "answered 500").unsettled().into()));
        assert!(other.iter().all(|it| it.as_ref().is_err_and(|it| it.unsettled)), "{other:?}");
    }

    #[test]
    fn what_is_not_sent_because_of_others_says_so_and_may_go_again() {
        let zone = name("example.com");
        let changes = (0..MOST_REFUSED + 3).map(|it| put(&format!("n{it:02}.example.com"), Type::A)).collect::<Vec<_>>();
        // All but the last two are wrong.
        let answers = Patch::new(&zone, &changes, 1 << 20).send(|body| {
            let body = String::from_utf8(body).unwrap();
            let wrong = (0..=MOST_REFUSED).find(|it| body.contains(&format!("n{it:02}.")));
            wrong.map_or(Ok(()), |it| Err(refusal(&format!("RRset n{it:02}.example.com. IN A: no"))))
        });
        let (refused, left) = answers.split_at(MOST_REFUSED + 1);
        for (index, answer) in refused.iter().enumerate() {
            let error = answer.as_ref().unwrap_err();
            assert!(error.fault == Fault::Invalid && error.message.contains(&format!("n{index:02}.")), "{error:?}");
        }
        for answer in left {
            let error = answer.as_ref().unwrap_err();
            assert!(error.fault == Fault::Transient(None) && error.message.starts_with("not sent: more than 16"), "{error:?}");
        }
    }

    #[test]
    fn records_that_are_switched_off_are_never_lost() {
        let change = SetChange { version: Some("disabled:2".to_owned()), ..gone("a.example.com", Type::A) };
        let answers = Patch::new(&name("example.com"), &[change], 1 << 20).send(|_| panic!("nothing may be sent"));
        assert!(answers[0].as_ref().is_err_and(|it| it.fault == Fault::Conflict && it.message.contains("switched off")));
    }
}
