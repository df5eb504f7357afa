//! UPDATE: changes of one zone with the condition that all sets are as they were observed.
//!
//! A server carries a message out whole or not at all. Where it refuses one that holds several names, each half goes again on its
//! own, so that in the end the name that is at fault fails alone.

use trueup_sdk::{Error, Fault, Result};

use super::{Rfc2136, refused};
use crate::backend::SetChange;
use crate::message::update::{self, Part};
use crate::message::{Answer, Opcode, Rcode};
use crate::name::Name;
use crate::rdata::Type;

/// Longest message: what the engine takes.
const LONGEST: usize = 65_000;

/// Messages that are sent for one call before what is refused is no longer divided.
const MOST_MESSAGES: usize = 256;

/// Changes on their way.
struct Updates<'a> {
    backend: &'a Rfc2136,
    zone: &'a Name,
    changes: &'a [SetChange],
    answers: Vec<Result<()>>,
    sent: usize,
    /// Why nothing more is sent.
    stopped: Option<Error>,
}

impl Rfc2136 {
    /// Sends all changes, and answers each.
    pub(super) fn update(&self, zone: &Name, changes: &[SetChange]) -> Vec<Result<()>> {
        let lost = || Err(Error::internal("a change was left out"));
        let answers = changes.iter().map(|_| lost()).collect();
        let mut updates = Updates { backend: self, zone, changes, answers, sent: 0, stopped: None };
        let good = updates.judge();
        updates.send(&good);
        updates.answers
    }
}

/// Why a change cannot be sent, if it cannot.
fn refusal(zone: &Name, change: &SetChange) -> Option<Error> {
    if change.before.is_some() && change.after.is_none() && change.rtype == Type::NS && change.name == *zone {
        let text = format!(
            "{} NS: a zone cannot be without NS at its apex, and a server passes over their removal; release them with `trueup forget`",
            change.name
        );
        return Some(Error::unsupported(text));
    }
    None
}

fn message_of<'a>(change: &'a SetChange) -> update::SetChange<'a> {
    update::SetChange { before: change.before.as_ref(), after: change.after.as_ref() }
}

impl Updates<'_> {
    fn put(&mut self, index: usize, answer: Result<()>) {
        if let Some(slot) = self.answers.get_mut(index) {
            *slot = answer;
        }
    }

    fn change(&self, index: usize) -> Option<&SetChange> {
        self.changes.get(index)
    }

    /// Indices of what can be sent, by name; what cannot is answered.
    fn judge(&mut self) -> Vec<usize> {
        let mut order = (0..self.changes.len()).collect::<Vec<_>>();
        order.sort_by(|one, other| self.change(*one).map(|it| &it.name).cmp(&self.change(*other).map(|it| &it.name)));
        let mut good = Vec::with_capacity(order.len());
        let changes = self.changes;
        let name = |index: &usize| changes.get(*index).map(|it| &it.name);
        for group in order.chunk_by(|one, other| name(one) == name(other)) {
            let mut fit = Vec::with_capacity(group.len());
            for (index, change) in group.iter().filter_map(|index| Some((*index, changes.get(*index)?))) {
                let alone = update::build(self.zone, &[message_of(change)], LONGEST);
                let wrong = alone.err().map(|it| Error::invalid("dns.record", it.to_string()));
                match refusal(self.zone, change).or(wrong) {
                    Some(error) => self.put(index, Err(error)),
                    None => fit.push(index),
                }
            }
            let together = fit.iter().filter_map(|index| changes.get(*index)).map(message_of).collect::<Vec<_>>();
            match update::build(self.zone, &together, LONGEST) {
                Ok(_) => good.extend(fit),
                Err(problem) => {
                    let error = Error::invalid("dns.record", problem.to_string());
                    fit.into_iter().for_each(|index| self.put(index, Err(error.clone())));
                }
            }
        }
        good
    }

    /// Sends changes in their order, in as few messages as they fit into.
    fn send(&mut self, indices: &[usize]) {
        let changes = indices.iter().filter_map(|index| self.change(*index)).map(message_of).collect::<Vec<_>>();
        let parts = match update::build(self.zone, &changes, LONGEST) {
            Ok(parts) => parts,
            Err(problem) => {
                let error = Error::internal(format!("changes that fit alone do not fit together: {problem}"));
                return indices.iter().for_each(|index| self.put(*index, Err(error.clone())));
            }
        };
        for Part { message, changes } in parts {
            self.send_part(message, indices.get(changes).unwrap_or_default());
        }
    }

    fn send_part(&mut self, message: Vec<u8>, indices: &[usize]) {
        if let Some(error) = self.stopped.clone() {
            return indices.iter().for_each(|index| self.put(*index, Err(error.clone())));
        }
        self.sent += 1;
        let rcode = match self.exchange(message) {
            Ok(rcode) => rcode,
            Err(error) => {
                // Nothing is known of this part; what would follow is not sent, and is certain not to have taken effect.
                let text = format!("not sent, as an earlier part met this: {}", error.message);
                self.stopped = Some(Error { message: text, unsettled: false, ..error.clone() });
                return indices.iter().for_each(|index| self.put(*index, Err(error.clone())));
            }
        };
        if rcode == Rcode::NOERROR {
            return indices.iter().for_each(|index| self.put(*index, Ok(())));
        }
        let halves = self.halves(indices).filter(|_| divides(rcode) && self.sent < MOST_MESSAGES);
        match halves {
            Some((front, back)) => {
                self.send(&front);
                self.send(&back);
            }
            None => indices.iter().for_each(|index| self.put(*index, Err(self.explain(*index, rcode)))),
        }
    }

    fn exchange(&self, message: Vec<u8>) -> Result<Rcode> {
        let messages = self.backend.stream(message).send()?;
        let malformed = |rule: &str| {
            Error::transient("dns.answer", format!("{}: the answer to the update is malformed: {rule}", self.backend.server))
                .unsettled()
        };
        let answer = messages.first().ok_or_else(|| malformed("it is empty"))?;
        Ok(Answer::parse(answer, Opcode::Update).map_err(|it| malformed(it.0))?.rcode)
    }

    /// Two halves at the border of a name; none where there is one name only.
    fn halves(&self, indices: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
        let name = |at: usize| indices.get(at).and_then(|index| self.change(*index)).map(|it| &it.name);
        let borders = (1..indices.len()).filter(|at| name(at - 1) != name(*at));
        let middle = borders.min_by_key(|at| at.abs_diff(indices.len() / 2))?;
        let (front, back) = indices.split_at_checked(middle)?;
        Some((front.to_vec(), back.to_vec()))
    }

    fn explain(&self, index: usize, rcode: Rcode) -> Error {
        let Some(change) = self.change(index) else { return Error::internal("a change was left out") };
        let what = format!("{} {}", change.name, change.rtype);
        if rcode.is_conflict() {
            let text = match &change.before {
                None if rcode == Rcode::YXDOMAIN => format!(
                    "{what}: other records of its name are there, and a CNAME stands alone; remove them, or take another name ({rcode})"
                ),
                None => format!("{what} is there already, or something of its name changed, since it was observed ({rcode})"),
                Some(_) => format!("{what}, or something of its name, changed since it was observed ({rcode})"),
            };
            return Error::conflict("dns.changed", text);
        }
        let mut error = refused(rcode, &format!("update of {what}"));
        if rcode == Rcode::REFUSED {
            error.message +=
                "; its log says whether the key lacks a right or a check of its own failed, such as an MX without an address";
        }
        match error.fault {
            // It may have taken effect all the same.
            Fault::Transient(_) => error.unsettled(),
            _ => error,
        }
    }
}

/// Whether a refusal may be due to a part of a message.
fn divides(rcode: Rcode) -> bool {
    rcode.is_conflict() || matches!(rcode, Rcode::REFUSED | Rcode::FORMERR | Rcode::NOTZONE)
}
