//! Judges what a plugin wants to send, before anything is looked up or connected to.

use super::transfer::Transfer;
use super::wire::{Message, Question, Section, kind, opcode};
use crate::bindings::trueup::provider::dns as wit;

/// Bytes of a plugin's message: with this much less than the 65,535 that TCP carries, a signature always fits.
pub(super) const MAX_MESSAGE: usize = 65_000;

/// A message that may be sent.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) message: Vec<u8>,
    /// The id that the plugin wrote, and finds in the answers.
    pub(super) id: u16,
    pub(super) opcode: u8,
    pub(super) question: Question,
    /// Asks for a zone over a stream, and so for several messages.
    pub(super) transfer: bool,
    /// The serial in a query for what changed since.
    pub(super) since: Option<u32>,
    /// May change something.
    pub(super) changes: bool,
}

impl Asked {
    /// `writes`: the running call may change things.
    ///
    /// # Errors
    ///
    /// `denied` where the phase or a rule forbids it, `malformed` where it is no message that a server would answer.
    pub(super) fn judge(message: Vec<u8>, via: wit::Transport, writes: bool) -> Result<Self, wit::DnsError> {
        let malformed = |text: String| wit::DnsError::Malformed(text);
        if message.len() > MAX_MESSAGE {
            return Err(malformed(format!("the message is longer than {MAX_MESSAGE} bytes")));
        }
        let read = Message::parse(&message).map_err(|why| malformed(format!("the message is none: {why}")))?;
        if read.response {
            return Err(malformed("the message is an answer".to_owned()));
        }
        let changes = may_send(&read, writes)?;
        let Some(question) = read.question.clone() else {
            return Err(malformed("the message asks nothing".to_owned()));
        };
        let query = read.opcode == opcode::QUERY;
        let (whole, differences) = (query && question.kind == kind::AXFR, query && question.kind == kind::IXFR);
        let stream = !matches!(via, wit::Transport::Udp);
        if whole && !stream {
            return Err(malformed("a zone is transferred over TCP or TLS only".to_owned()));
        }
        let since = if differences { Some(serial(&message, &read)?) } else { None };
        let (id, opcode) = (read.id, read.opcode);
        Ok(Self { message, id, opcode, question, transfer: stream && (whole || differences), since, changes })
    }

    /// What finds the end of the transfer, where it is one.
    pub(super) fn transfer(&self) -> Option<Transfer> {
        self.transfer.then(|| Transfer::new(self.question.name.clone(), self.since))
    }
}

/// Whether the message may change something; refuses what may not be sent now or ever.
fn may_send(read: &Message, writes: bool) -> Result<bool, wit::DnsError> {
    let denied = |text: &str| Err(wit::DnsError::Denied(text.to_owned()));
    let own = |it: &super::wire::Record| it.kind == kind::TSIG || (it.kind == kind::SIG && it.section == Section::Additional);
    if read.records.iter().any(own) {
        return denied("the message is signed with a key that is not its own to use; name a credential, and the host signs");
    }
    let exchange = read.question.as_ref().is_some_and(|it| it.kind == kind::TKEY);
    if exchange || read.records.iter().any(|it| it.kind == kind::TKEY) {
        return denied("TKEY makes keys, and keys are the operator's");
    }
    match (read.opcode, writes) {
        (opcode::QUERY, _) => Ok(false),
        (opcode::UPDATE | opcode::NOTIFY, true) => Ok(true),
        (opcode::UPDATE, false) => denied("UPDATE changes a zone and is refused outside `apply`"),
        (opcode::NOTIFY, false) => denied("NOTIFY makes a server act and is refused outside `apply`"),
        (other, _) => Err(wit::DnsError::Denied(format!(
            "opcode {other} is none that a plugin may send; there are QUERY and, within `apply`, UPDATE and NOTIFY"
        ))),
    }
}

/// The serial that a query for differences names in its authority section.
fn serial(message: &[u8], read: &Message) -> Result<u32, wit::DnsError> {
    let record = read.records.iter().find(|it| it.section == Section::Authority && it.kind == kind::SOA);
    record.and_then(|it| it.serial(message)).ok_or_else(|| {
        wit::DnsError::Malformed("IXFR needs the start of authority that it begins at in its authority section".to_owned())
    })
}

/// Why a message is no answer to what was asked.
pub(super) type Stray = &'static str;

/// Judges an answer's header and question. `first`: no message of the transfer came before.
pub(super) fn belongs(asked: &Asked, id: u16, answer: &Message, first: bool) -> Result<(), Stray> {
    if answer.id != id {
        return Err("it carries another id");
    }
    if !answer.response || answer.opcode != asked.opcode {
        return Err("it is no answer to such a message");
    }
    match &answer.question {
        Some(question) if *question != asked.question => Err("it answers another question"),
        Some(_) => Ok(()),
        // Servers may leave the question out of an error, of the answer to an UPDATE, and of all but the first message.
        None if asked.changes || asked.transfer || !first || answer.rcode != 0 => Ok(()),
        None => Err("it answers no question"),
    }
}
