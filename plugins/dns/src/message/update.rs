//! UPDATE messages (RFC 2136): prerequisites that the sets are as observed, then the changes.

use std::ops::Range;

use super::{ANY, Head, IN, MAX_MESSAGE, NONE, Opcode, Writer, record_into};
use crate::name::{Name, below};
use crate::rdata::{Type, read};
use crate::set::{Problem, Rdata, RecordSet};
use crate::wire::Reader;

/// Bytes that are kept free for the signature: name, algorithm and a MAC of 64 bytes, with room to spare.
const SIGNATURE: usize = 1_024;

/// One set as it was observed and as it shall be; at least one of the two is there, both of one name and type.
#[derive(Clone, Copy, Debug)]
pub struct SetChange<'a> {
    pub before: Option<&'a RecordSet>,
    pub after: Option<&'a RecordSet>,
}

impl<'a> SetChange<'a> {
    fn set(self) -> Option<&'a RecordSet> {
        self.after.or(self.before)
    }
}

/// One message and the changes that it carries, which take effect together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub message: Vec<u8>,
    pub changes: Range<usize>,
}

/// Records of one section under construction.
#[derive(Default)]
struct Section {
    bytes: Vec<u8>,
    records: u32,
}

impl Section {
    fn add(&mut self, head: Head<'_>, rdata: &[u8]) {
        record_into(head, rdata, &mut self.bytes);
        self.records += 1;
    }

    fn append(&mut self, other: &mut Self) {
        self.bytes.append(&mut other.bytes);
        self.records += std::mem::take(&mut other.records);
    }
}

/// What some changes need in a message. Deletes go before adds: a server passes over a CNAME that comes while other records
/// of its name are still there, and the other way round. The apex is never left without NS (RFC 2136 §3.4.2), so that of its NS
/// the new ones come before the old ones go, one by one.
#[derive(Default)]
struct Sections {
    prerequisites: Section,
    deletes: Section,
    adds: Section,
    late_deletes: Section,
}

impl Sections {
    fn bytes(&self) -> usize {
        let [a, b, c, d] = [&self.prerequisites, &self.deletes, &self.adds, &self.late_deletes].map(|it| it.bytes.len());
        a + b + c + d
    }

    fn records(&self) -> u32 {
        self.prerequisites.records.max(self.updates())
    }

    fn updates(&self) -> u32 {
        self.deletes.records + self.adds.records + self.late_deletes.records
    }

    fn append(&mut self, other: &mut Self) {
        self.prerequisites.append(&mut other.prerequisites);
        self.deletes.append(&mut other.deletes);
        self.adds.append(&mut other.adds);
        self.late_deletes.append(&mut other.late_deletes);
    }

    /// What must not be there for the changes of one name to be more than passed over: a server ignores a CNAME that comes beside
    /// other records, and what comes beside a CNAME, and answers that all is well (RFC 2136 §3.4.2.2).
    fn stand_alone(&mut self, labels: &[u8], group: &[SetChange<'_>]) {
        let aliases = |it: &SetChange<'_>| it.set().is_some_and(|set| set.rtype == Type::CNAME);
        let (mut made, mut known) =
            (group.iter().filter(|it| it.before.is_none()), group.iter().filter(|it| it.before.is_some()));
        let rtype = match (made.clone().any(aliases), made.next().is_some()) {
            // "Name is not in use".
            (true, _) if known.next().is_none() => Type::ANY,
            // "RRset does not exist", as for the set itself.
            (false, true) if !known.any(aliases) => Type::CNAME,
            _ => return,
        };
        self.prerequisites.add(Head { labels, rtype, class: NONE, ttl: 0 }, &[]);
    }

    fn add(&mut self, labels: &[u8], rtype: Type, change: SetChange<'_>) {
        let head = |class, ttl| Head { labels, rtype, class, ttl };
        match change.before {
            // "RRset exists (value dependent)": the set is exactly this.
            Some(before) => before.as_seen().iter().for_each(|it| self.prerequisites.add(head(IN, 0), it)),
            // "RRset does not exist".
            None => self.prerequisites.add(head(NONE, 0), &[]),
        }
        let servers = labels.is_empty() && rtype == Type::NS;
        match (change.before, change.after) {
            (Some(before), Some(after)) if servers => {
                let stays = |raw: &Rdata| {
                    let mut value = Vec::with_capacity(raw.len());
                    read(rtype, &mut Reader::new(raw), &mut value).is_ok() && after.values.iter().any(|it| **it == *value)
                };
                let gone = before.as_seen().iter().filter(|it| !stays(it));
                gone.for_each(|it| self.late_deletes.add(head(NONE, 0), it));
            }
            (Some(_), _) => self.deletes.add(head(ANY, 0), &[]),
            (None, _) => {}
        }
        if let Some(after) = change.after {
            after.values.iter().for_each(|it| self.adds.add(head(IN, after.ttl), it));
        }
    }

    fn message(&mut self, zone: &Name) -> Vec<u8> {
        let mut writer = Writer::new(Opcode::Update, zone, Type::SOA);
        let count = |records: u32| u16::try_from(records).unwrap_or(u16::MAX);
        writer.count(1, count(self.prerequisites.records));
        writer.count(2, count(self.updates()));
        for section in [&mut self.prerequisites, &mut self.deletes, &mut self.adds, &mut self.late_deletes] {
            writer.bytes.append(&mut section.bytes);
            section.records = 0;
        }
        writer.bytes
    }
}

/// Messages that carry all changes in their order, as few as `limit` bytes allow.
///
/// Changes of one name that stand together stay together, so that a CNAME and what it takes the place of change at once.
///
/// # Errors
/// For a set outside the zone, of a type without a wire form, or too large for one message.
pub fn build(zone: &Name, changes: &[SetChange<'_>], limit: usize) -> Result<Vec<Part>, Problem> {
    let room = limit.min(MAX_MESSAGE).saturating_sub(SIGNATURE + super::HEADER + zone.wire().len() + 4);
    let (mut parts, mut open, mut next) = (Vec::new(), Sections::default(), Sections::default());
    let (mut start, mut end) = (0, 0);
    for group in changes.chunk_by(|one, other| one.set().map(|it| &it.name) == other.set().map(|it| &it.name)) {
        for change in group {
            add(zone, *change, &mut next)?;
        }
        if let Some(labels) = group.first().and_then(|it| below(it.set()?.name.wire(), zone)) {
            next.stand_alone(labels, group);
        }
        let fits = |bytes: usize, records: u32| bytes <= room && records <= u32::from(u16::MAX);
        if let Some(set) = group.first().and_then(|it| it.set())
            && !fits(next.bytes(), next.records())
        {
            let rule = format!("its change needs {} bytes, more than the {room} that one message has for it", next.bytes());
            return Err(Problem::new(&set.name, set.rtype, "values", rule));
        }
        if !fits(open.bytes() + next.bytes(), open.records() + next.records()) {
            parts.push(Part { message: open.message(zone), changes: start..end });
            start = end;
        }
        open.append(&mut next);
        end += group.len();
    }
    if start < end {
        parts.push(Part { message: open.message(zone), changes: start..end });
    }
    Ok(parts)
}

fn add(zone: &Name, change: SetChange<'_>, sections: &mut Sections) -> Result<(), Problem> {
    let Some(set) = change.set() else { return Ok(()) };
    let Some(labels) = below(set.name.wire(), zone) else {
        return Err(Problem::new(&set.name, set.rtype, "name", format!("is outside the zone {zone}")));
    };
    if !set.rtype.has_wire_form() {
        let rule = format!("{} is PowerDNS's own type: it cannot be sent over DNS", set.rtype);
        return Err(Problem::new(&set.name, set.rtype, "type", rule));
    }
    sections.add(labels, set.rtype, change);
    Ok(())
}
