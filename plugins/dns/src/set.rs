//! Record sets, and the rules that hold for one set and across the sets of a zone.

use std::fmt;

use crate::name::{Name, Style, below, compare};
use crate::rdata::{self, Type};

/// A canonical wire form of one value.
pub type Rdata = Box<[u8]>;

/// All records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    pub name: Name,
    pub rtype: Type,
    /// Seconds.
    pub ttl: u32,
    /// In order of their bytes (RFC 4034 §6.3), each once.
    pub values: Vec<Rdata>,
    /// The values as the server has them, where that is not as `values` says; else empty. Servers compare the bytes of some types
    /// that mean the same: `issue` and `ISSUE`.
    pub raw: Vec<Rdata>,
}

/// A rule that records break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name and type, as far as they are known.
    pub record: String,
    /// `name`, `type`, `ttl`, or a field of the type; empty for the record as a whole.
    pub field: &'static str,
    pub rule: String,
    /// Byte offset in the file that the record comes from.
    pub at: u32,
}

impl Problem {
    /// A finding about a set.
    pub fn new(name: &Name, rtype: Type, field: &'static str, rule: impl Into<String>) -> Self {
        Self { record: format!("{name} {rtype}"), field, rule: rule.into(), at: 0 }
    }

    /// Says where the record stands.
    #[must_use]
    pub fn at(mut self, at: u32) -> Self {
        self.at = at;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.record.is_empty() {
            write!(formatter, "{}: ", self.record)?;
        }
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        formatter.write_str(&self.rule)
    }
}

impl RecordSet {
    /// The values in their canonical spelling.
    pub fn spelled(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|value| {
            let mut text = String::with_capacity(value.len() * 2);
            rdata::print(self.rtype, value, &mut text);
            text
        })
    }

    /// The values in the very bytes that the server has.
    pub fn as_seen(&self) -> &[Rdata] {
        if self.raw.is_empty() { &self.values } else { &self.raw }
    }

    /// Puts the values into order and takes each once; says whether one stood there twice.
    pub fn settle(&mut self) -> bool {
        self.raw.sort_unstable();
        self.raw.dedup();
        let count = self.values.len();
        if count > 1 {
            self.values.sort_unstable();
            self.values.dedup();
        }
        self.values.len() < count
    }
}

/// Gathers records in any order into sets.
///
/// Records of one set that stand together cost one comparison; sets are joined once, at the end.
#[derive(Debug, Default)]
pub struct Collector {
    parts: Vec<(RecordSet, u32)>,
    records: usize,
}

impl Collector {
    /// How many records were added.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Adds one record; `name` and `value` are canonical wire forms, `at` is where it stands in its file.
    pub fn add(&mut self, name: &[u8], rtype: Type, ttl: u32, value: &[u8], at: u32) {
        self.records += 1;
        if let Some((set, _)) = self.parts.last_mut()
            && set.rtype == rtype
            && set.ttl == ttl
            && set.name.wire() == name
        {
            if !set.raw.is_empty() {
                set.raw.push(value.into());
            }
            set.values.push(value.into());
            return;
        }
        let set = RecordSet { name: Name::from_canonical(name), rtype, ttl, values: vec![value.into()], raw: Vec::new() };
        self.parts.push((set, at));
    }

    /// Says in which bytes the server has the value that was added last.
    pub fn seen_as(&mut self, raw: &[u8]) {
        let Some((set, _)) = self.parts.last_mut() else { return };
        if set.raw.is_empty() {
            set.raw.clone_from(&set.values);
        }
        if let Some(last) = set.raw.last_mut() {
            *last = raw.into();
        }
    }

    /// The sets in canonical order of names, then of type numbers.
    ///
    /// Values that stand twice count once, as RFC 2181 §5 has it. Two TTLs in one set are a problem where somebody wrote them;
    /// in a server's answer the smaller one counts.
    ///
    /// # Errors
    /// The sets that have two TTLs.
    pub fn finish(self, style: Style) -> Result<Gathered, Vec<Problem>> {
        let mut parts = self.parts;
        let order = |one: &(RecordSet, u32), other: &(RecordSet, u32)| {
            compare(one.0.name.wire(), other.0.name.wire()).then(one.0.rtype.cmp(&other.0.rtype))
        };
        if !parts.is_sorted_by(|one, other| order(one, other).is_le()) {
            parts.sort_by(order);
        }
        let (mut sets, mut offsets) = (Vec::<RecordSet>::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
        let mut problems = Vec::new();
        for (part, at) in parts {
            match sets.last_mut() {
                Some(set) if set.rtype == part.rtype && set.name == part.name => {
                    if set.ttl != part.ttl && style != Style::Observed {
                        let rule = format!("two TTLs in one record set: {} and {}", set.ttl, part.ttl);
                        problems.push(Problem::new(&part.name, part.rtype, "ttl", rule).at(at));
                    }
                    set.ttl = set.ttl.min(part.ttl);
                    if !set.raw.is_empty() || !part.raw.is_empty() {
                        set.raw = [set.as_seen(), part.as_seen()].concat();
                    }
                    set.values.extend(part.values);
                }
                _ => {
                    sets.push(part);
                    offsets.push(at);
                }
            }
        }
        for set in &mut sets {
            set.settle();
        }
        if problems.is_empty() { Ok(Gathered { sets, offsets }) } else { Err(problems) }
    }
}

/// What a [`Collector`] gathered.
#[derive(Debug, Default)]
pub struct Gathered {
    /// In canonical order of names, then of type numbers.
    pub sets: Vec<RecordSet>,
    /// Where the first record of each set stands.
    pub offsets: Vec<u32>,
}

/// Checks one set on its own: its type, its number of values, and that its name is in the zone.
///
/// # Errors
/// The first rule that the set breaks.
pub fn check_set(zone: &Name, name: &Name, rtype: Type, values: usize) -> Result<(), Problem> {
    let problem = |field, rule: String| Err(Problem::new(name, rtype, field, rule));
    let Some(labels) = below(name.wire(), zone) else {
        return problem("name", format!("is outside the zone {zone}"));
    };
    if rtype.role() == rdata::Role::Query {
        return problem("type", format!("{rtype} exists in queries only"));
    }
    if labels.is_empty() && rtype == Type::CNAME {
        return problem(
            "type",
            "a CNAME cannot stand at the apex of a zone, beside SOA and NS; ALIAS can, where the server has it".to_owned(),
        );
    }
    if labels.is_empty() && rtype == Type::DS {
        return problem("type", "a DS of the zone itself stands in the parent zone".to_owned());
    }
    if values > 1 && matches!(rtype, Type::CNAME | Type::DNAME | Type::SOA) {
        return problem("values", format!("a {rtype} has one value, not {values}"));
    }
    if values == 0 {
        return problem("values", "a record set has at least one value".to_owned());
    }
    Ok(())
}

/// Checks sets in canonical order against each other and each on its own; the number is the index of the set.
pub fn check_zone(zone: &Name, sets: &[RecordSet]) -> Vec<(usize, Problem)> {
    let mut problems = Vec::new();
    let mut start = 0;
    for group in sets.chunk_by(|one, other| one.name == other.name) {
        for (index, set) in group.iter().enumerate() {
            let checked = check_set(zone, &set.name, set.rtype, set.values.len());
            problems.extend(checked.err().map(|it| (start + index, it)));
        }
        let alias = group.iter().enumerate().find(|(_, it)| it.rtype == Type::CNAME);
        // DNSSEC's own records are the only ones that may stand beside a CNAME (RFC 2181 §10.1, RFC 4034).
        let other = group.iter().find(|it| it.rtype != Type::CNAME && it.rtype.role() != rdata::Role::Server);
        if let (Some((index, alias)), Some(other)) = (alias, other) {
            let rule = format!("a CNAME cannot stand beside other records of its name, here {}", other.rtype);
            problems.push((start + index, Problem::new(&alias.name, alias.rtype, "type", rule)));
        }
        start += group.len();
    }
    problems
}

/// Whether a set is the server's, so that a zone that claims everything does not claim it: SOA, NS at the apex, DNSSEC.
pub fn is_servers(zone: &Name, name: &Name, rtype: Type) -> bool {
    rtype.role() == rdata::Role::Server || (rtype == Type::NS && name == zone)
}

#[cfg(test)]
mod tests;
