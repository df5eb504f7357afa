//! Wire messages of RFC 1035, 1995, 2136 and 5936, without TSIG: the host signs what is sent and verifies what comes.

pub mod transfer;
pub mod update;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::name::{self, Name};
use crate::rdata::{self, Type};
use crate::set::Collector;
use crate::wire::{Malformed, Reader};

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 65_535;

pub(crate) const IN: u16 = 1;
pub(crate) const NONE: u16 = 254;
pub(crate) const ANY: u16 = 255;
const HEADER: usize = 12;

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Query,
    Update,
}

/// The answer of a server as a number, with words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(pub u8);

impl Rcode {
    pub const NOERROR: Self = Self(0);
    pub const FORMERR: Self = Self(1);
    pub const SERVFAIL: Self = Self(2);
    pub const NXDOMAIN: Self = Self(3);
    pub const NOTIMP: Self = Self(4);
    pub const REFUSED: Self = Self(5);
    pub const YXDOMAIN: Self = Self(6);
    pub const YXRRSET: Self = Self(7);
    pub const NXRRSET: Self = Self(8);
    pub const NOTAUTH: Self = Self(9);
    pub const NOTZONE: Self = Self(10);

    /// Whether a prerequisite did not hold: somebody changed the zone meanwhile.
    pub fn is_conflict(self) -> bool {
        matches!(self, Self::NXDOMAIN | Self::YXDOMAIN | Self::YXRRSET | Self::NXRRSET)
    }

    fn words(self) -> (&'static str, &'static str) {
        match self.0 {
            0 => ("NOERROR", "no error"),
            1 => ("FORMERR", "the server does not understand the message"),
            2 => ("SERVFAIL", "the server failed"),
            3 => ("NXDOMAIN", "the name does not exist"),
            4 => ("NOTIMP", "the server does not do that"),
            5 => ("REFUSED", "the server refuses it to this client or key"),
            6 => ("YXDOMAIN", "a name exists that should not"),
            7 => ("YXRRSET", "a record set exists that should not"),
            8 => ("NXRRSET", "a record set is not what was observed"),
            9 => ("NOTAUTH", "the server is not authoritative for the zone, or the key is wrong"),
            10 => ("NOTZONE", "a name is not in the zone"),
            _ => ("", "an answer code that has no meaning here"),
        }
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, words) = self.words();
        match name {
            "" => write!(formatter, "RCODE{} ({words})", self.0),
            _ => write!(formatter, "{name} ({words})"),
        }
    }
}

/// Writes one message; the host sets its id.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    /// A message of one question or zone. Later names in the zone end with a pointer to its name.
    pub(crate) fn new(opcode: Opcode, name: &Name, rtype: Type) -> Self {
        let flags: u16 = match opcode {
            Opcode::Query => 0,
            Opcode::Update => 5 << 11,
        };
        let mut bytes = Vec::with_capacity(512);
        for field in [0, flags, 1, 0, 0, 0] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend_from_slice(name.wire());
        bytes.extend(rtype.0.to_be_bytes());
        bytes.extend(IN.to_be_bytes());
        Self { bytes }
    }

    /// Sets how many records a section has: 0 questions, 1 answers, 2 authority, 3 additional.
    pub(crate) fn count(&mut self, section: usize, records: u16) {
        let at = 4 + section * 2;
        if let Some(slot) = self.bytes.get_mut(at..at + 2) {
            slot.copy_from_slice(&records.to_be_bytes());
        }
    }
}

/// The head of one record, for [`record_into`].
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    /// The labels before the zone, whose name stands at [`HEADER`].
    pub(crate) labels: &'a [u8],
    pub(crate) rtype: Type,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
}

/// Appends one record of the message's zone.
pub(crate) fn record_into(head: Head<'_>, rdata: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(head.labels);
    out.extend([0xc0, HEADER as u8]);
    out.extend(head.rtype.0.to_be_bytes());
    out.extend(head.class.to_be_bytes());
    out.extend(head.ttl.to_be_bytes());
    out.extend(u16::try_from(rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(rdata);
}

/// A query for one name and type: `SOA` for the serial, `AXFR` for the whole zone, any other to read a set back.
pub fn query(name: &Name, rtype: Type) -> Vec<u8> {
    Writer::new(Opcode::Query, name, rtype).bytes
}

/// A query for what changed in a zone since `serial` (RFC 1995).
pub fn ixfr(zone: &Name, serial: u32) -> Vec<u8> {
    let mut writer = Writer::new(Opcode::Query, zone, Type::IXFR);
    writer.count(2, 1);
    let mut soa = vec![0, 0];
    soa.extend(serial.to_be_bytes());
    soa.extend([0; 16]);
    record_into(Head { labels: &[], rtype: Type::SOA, class: IN, ttl: 0 }, &soa, &mut writer.bytes);
    writer.bytes
}

/// One record as a message holds it. It borrows from the buffers of [`Answer::each`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Canonical wire form.
    pub name: &'a [u8],
    pub rtype: Type,
    pub class: u16,
    pub ttl: u32,
    /// Canonical wire form.
    pub value: &'a [u8],
    /// As it stands in the message, uncompressed, where that is not `value`.
    pub raw: Option<&'a [u8]>,
}

impl Record<'_> {
    /// Adds the record to those that are gathered.
    pub fn gather(&self, collector: &mut Collector) {
        collector.add(self.name, self.rtype, self.ttl, self.value, 0);
        if let Some(raw) = self.raw {
            collector.seen_as(raw);
        }
    }
}

/// The head of an answer, with its records still to be read.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    pub rcode: Rcode,
    /// The server answers for its own data.
    pub authoritative: bool,
    /// The rest did not fit: ask again over TCP.
    pub truncated: bool,
    /// What was asked, where the server repeats it.
    pub question: Option<(Name, Type)>,
    records: Reader<'a>,
    /// Records in the answer, authority and additional sections.
    counts: [u16; 3],
}

impl<'a> Answer<'a> {
    /// Reads the head of an answer to `opcode`.
    ///
    /// # Errors
    /// When the message is no answer, answers something else, or is cut off.
    pub fn parse(message: &'a [u8], opcode: Opcode) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message);
        reader.u16()?;
        let flags = reader.u16()?;
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        if flags & 0x8000 == 0 {
            return Err(Malformed("it is no answer"));
        }
        let asked = match opcode {
            Opcode::Query => 0,
            Opcode::Update => 5,
        };
        if flags >> 11 & 15 != asked {
            return Err(Malformed("it answers another kind of message"));
        }
        let [questions, counts @ ..] = counts;
        let question = match questions {
            0 => None,
            1 => {
                let mut wire = Vec::with_capacity(32);
                name::read_into(&mut reader, &mut wire)?;
                let rtype = Type(reader.u16()?);
                reader.u16()?;
                Some((Name::from_canonical(&wire), rtype))
            }
            _ => return Err(Malformed("it has several questions")),
        };
        Ok(Self {
            rcode: Rcode(u8::try_from(flags & 15).unwrap_or(15)),
            authoritative: flags & 0x0400 != 0,
            truncated: flags & 0x0200 != 0,
            question,
            records: reader,
            counts,
        })
    }

    /// Whether the answer repeats the question, or has none.
    pub fn is_about(&self, name: &Name, rtype: Type) -> bool {
        self.question.as_ref().is_none_or(|(asked, of)| asked == name && *of == rtype)
    }

    /// Hands over each record of the answer section; the other sections are checked and passed over.
    ///
    /// # Errors
    /// When a record is malformed, more is there than was announced, or less; and what `take` answers.
    pub fn each<E: From<Malformed>>(&self, mut take: impl FnMut(Record<'_>) -> Result<(), E>) -> Result<(), E> {
        let (mut owner, mut value, mut raw) = (Vec::with_capacity(64), Vec::with_capacity(256), Vec::new());
        let mut reader = self.records;
        let [answers, authority, additional] = self.counts;
        for index in 0..u32::from(answers) + u32::from(authority) + u32::from(additional) {
            owner.clear();
            value.clear();
            name::read_into(&mut reader, &mut owner)?;
            let (rtype, class, ttl) = (Type(reader.u16()?), reader.u16()?, reader.u32()?);
            let length = reader.u16()?;
            let mut section = reader.section(usize::from(length))?;
            if index < u32::from(answers) {
                let mut again = section;
                rdata::read(rtype, &mut section, &mut value)?;
                raw.clear();
                let differs = rdata::copy(rtype, &mut again, &value, &mut raw)?;
                // RFC 2181 §8: a TTL with the highest bit set means 0.
                let ttl = if ttl > rdata::encoding::MAX_TTL { 0 } else { ttl };
                take(Record { name: &owner, rtype, class, ttl, value: &value, raw: differs.then_some(&raw) })?;
            }
        }
        if reader.is_at_end() { Ok(()) } else { Err(Malformed("it has bytes behind its last record").into()) }
    }
}

/// The serial of a SOA's canonical wire form.
///
/// # Errors
/// When it is cut off.
pub fn serial(soa: &[u8]) -> Result<u32, Malformed> {
    // Serial, refresh, retry, expire and minimum are its last five fields.
    let at = soa.len().checked_sub(20).ok_or(Malformed("a SOA is too short"))?;
    Reader::new(soa).jump(at).u32()
}

/// Whether `serial` is newer than `than`, or as new (RFC 1982: serials wrap).
pub fn is_at_least(serial: u32, than: u32) -> bool {
    serial.wrapping_sub(than) < 1 << 31
}
