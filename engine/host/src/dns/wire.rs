//! DNS messages as bytes (RFC 1035 §4): as much of one as it takes to judge it, to sign it and to find a transfer's end.
//!
//! Invariant: every step forward is within the message, and a compressed name only leads back, so that reading any bytes
//! ends after as many steps as there are bytes.

use std::ops::Range;

const HEADER: usize = 12;
/// Bytes of a name, its last empty label included.
const MAX_NAME: usize = 255;

/// Types that the host acts on.
pub(super) mod kind {
    pub(in crate::dns) const SOA: u16 = 6;
    pub(in crate::dns) const SIG: u16 = 24;
    pub(in crate::dns) const TKEY: u16 = 249;
    pub(in crate::dns) const TSIG: u16 = 250;
    pub(in crate::dns) const IXFR: u16 = 251;
    pub(in crate::dns) const AXFR: u16 = 252;
}

pub(super) const CLASS_ANY: u16 = 255;

/// Opcodes that the host tells apart.
pub(super) mod opcode {
    pub(in crate::dns) const QUERY: u8 = 0;
    pub(in crate::dns) const NOTIFY: u8 = 4;
    pub(in crate::dns) const UPDATE: u8 = 5;
}

/// Why bytes are no DNS message, in words.
pub(super) type Fault = &'static str;

const SHORT: Fault = "it ends in the middle of a record";
const NAME: Fault = "it holds a name that is none";

/// The two bytes at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

/// The four bytes at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

/// Overwrites two bytes of a message that is known to have them.
pub(super) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Reads a name: without compression and in lower case, as RFC 4034 §6.2 has it, and where what follows begins.
pub(super) fn name(bytes: &[u8], start: usize) -> Result<(Vec<u8>, usize), Fault> {
    let (mut at, mut end, mut earliest) = (start, None, start);
    let mut out = Vec::new();
    loop {
        let len = *bytes.get(at).ok_or(SHORT)?;
        match len & 0xc0 {
            0 => {
                let label = bytes.get(at..at + 1 + usize::from(len)).ok_or(SHORT)?;
                out.extend(label.iter().map(u8::to_ascii_lowercase));
                if out.len() > MAX_NAME {
                    return Err(NAME);
                }
                at += label.len();
                if len == 0 {
                    return Ok((out, end.unwrap_or(at)));
                }
            }
            0xc0 => {
                let to = usize::from(u16_at(bytes, at).ok_or(SHORT)? & 0x3fff);
                end.get_or_insert(at + 2);
                if to >= earliest {
                    return Err(NAME);
                }
                (at, earliest) = (to, to);
            }
            _ => return Err(NAME),
        }
    }
}

/// Where what follows a name begins, without following where it leads.
fn behind_name(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        let len = *bytes.get(at).ok_or(SHORT)?;
        match len & 0xc0 {
            0 if len == 0 => return Ok(at + 1),
            0 => at += 1 + usize::from(len),
            0xc0 => return Ok(at + 2),
            _ => return Err(NAME),
        }
    }
}

/// What is asked: the only entry of the first section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// As [`name`] reads it.
    pub(super) name: Vec<u8>,
    pub(super) kind: u16,
    pub(super) class: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// One record, by its places in the message.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) section: Section,
    pub(super) start: usize,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) data: Range<usize>,
}

/// A whole message, read to its last byte.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) response: bool,
    pub(super) opcode: u8,
    pub(super) rcode: u16,
    /// None where the section is empty.
    pub(super) question: Option<Question>,
    pub(super) records: Vec<Record>,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// Says what is wrong: it ends early, goes on behind its last record, holds what is no name, or asks several
    /// questions at once, which no server answers.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let header = |at| u16_at(bytes, at).ok_or("it is shorter than a header");
        let (id, flags, questions) = (header(0)?, header(2)?, header(4)?);
        let counts = [(Section::Answer, header(6)?), (Section::Authority, header(8)?), (Section::Additional, header(10)?)];
        let mut at = HEADER;
        let question = match questions {
            0 => None,
            1 => {
                let (name, behind) = name(bytes, at)?;
                let kind = u16_at(bytes, behind).ok_or(SHORT)?;
                let class = u16_at(bytes, behind + 2).ok_or(SHORT)?;
                at = behind + 4;
                Some(Question { name, kind, class })
            }
            _ => return Err("it asks several questions at once"),
        };
        let mut records = Vec::new();
        for (section, count) in counts {
            for _ in 0..count {
                let record = Record::read(bytes, at, section)?;
                at = record.data.end;
                records.push(record);
            }
        }
        if at != bytes.len() {
            return Err("it goes on behind its last record");
        }
        let [high, low] = flags.to_be_bytes();
        let (response, opcode) = (high & 0x80 != 0, (high >> 3) & 0x0f);
        Ok(Self { id, response, opcode, rcode: u16::from(low & 0x0f), question, records })
    }

    /// Records of the answer section.
    pub(super) fn answers(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|it| it.section == Section::Answer)
    }
}

impl Record {
    fn read(bytes: &[u8], start: usize, section: Section) -> Result<Self, Fault> {
        let fixed = behind_name(bytes, start)?;
        let kind = u16_at(bytes, fixed).ok_or(SHORT)?;
        let class = u16_at(bytes, fixed + 2).ok_or(SHORT)?;
        let len = usize::from(u16_at(bytes, fixed + 8).ok_or(SHORT)?);
        let data = fixed + 10..fixed + 10 + len;
        if bytes.len() < data.end {
            return Err(SHORT);
        }
        Ok(Self { section, start, kind, class, data })
    }

    /// The serial of a start of authority.
    pub(super) fn serial(&self, bytes: &[u8]) -> Option<u32> {
        let data = bytes.get(..self.data.end)?;
        let behind = behind_name(data, behind_name(data, self.data.start).ok()?).ok()?;
        u32_at(data, behind)
    }
}

/// The name of a response code, for people.
pub(super) fn rcode_word(rcode: u16) -> String {
    let word = match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADSIG",
        17 => "BADKEY",
        18 => "BADTIME",
        22 => "BADTRUNC",
        other => return format!("code {other}"),
    };
    word.to_owned()
}

/// A name as people write it; what is no plain letter stands as `\ddd`.
pub(super) fn shown(name: &[u8]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while let Some(len) = name.get(at).map(|it| usize::from(*it)).filter(|it| *it > 0) {
        for byte in name.get(at + 1..at + 1 + len).unwrap_or_default() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(*byte)),
                other => text.push_str(&format!("\\{other:03}")),
            }
        }
        text.push('.');
        at += 1 + len;
    }
    if text.is_empty() { ".".to_owned() } else { text }
}
