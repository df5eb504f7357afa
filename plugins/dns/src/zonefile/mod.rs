//! Master files (RFC 1035 §5) with `$ORIGIN`, `$TTL` (RFC 2308) and `$GENERATE`.
//!
//! Reads entry by entry over the text, into buffers that are kept; only what ends up in a set is allocated. A wrong record is
//! reported and passed over, so that one run shows all that is wrong; quotes and parentheses that do not match end it.

mod generate;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::lex::{Entry, Input, Lexer, Word};
use crate::name::{self, Context, Name, Style, below, shorten};
use crate::rdata::encoding::parse_ttl;
use crate::rdata::{self, Role, Type};
use crate::set::{Collector, Gathered, Problem, RecordSet, check_zone, is_servers};
use crate::wire::Reader;

/// Longest file, most records, and most errors that are reported.
pub const MAX_BYTES: usize = 64 << 20;
pub const MAX_RECORDS: usize = 1_000_000;
const MAX_ERRORS: usize = 20;

/// One mistake and where it is, both counted from 1; the column in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// A mistake at a byte offset.
#[derive(Debug)]
struct Wrong {
    at: usize,
    message: String,
}

fn wrong<T>(at: usize, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { at, message: message.into() })
}

/// The record sets of a file of one zone, in canonical order, without what is the server's: the SOA, NS at the apex, and what a
/// server writes when it signs.
///
/// # Errors
/// All mistakes, at most 20.
pub fn parse(bytes: &[u8], zone: &Name) -> Result<Vec<RecordSet>, Vec<FileError>> {
    let single = |line, message: String| Err(vec![FileError { line, column: 1, message }]);
    if bytes.len() > MAX_BYTES {
        return single(1, format!("the file has {} bytes, more than {} MiB", bytes.len(), MAX_BYTES >> 20));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = good.iter().filter(|it| **it == b'\n').count() + 1;
            return single(line, "the file is not UTF-8: write other bytes as \\DDD".to_owned());
        }
    };
    let mut parser = Parser::new(zone);
    let mut errors = parser.run(text);
    let (mut sets, problems) = match std::mem::take(&mut parser.collector).finish(Style::Master) {
        Ok(Gathered { sets, offsets }) => {
            let place = |(index, it): (usize, Problem)| it.at(offsets.get(index).copied().unwrap_or_default());
            let problems = check_zone(zone, &sets).into_iter().map(place).collect();
            (sets, problems)
        }
        Err(problems) => (Vec::new(), problems),
    };
    // Each zone has a SOA: a file without even that was cut off, or is of something else. All that it declared would go.
    if errors.is_empty() && problems.is_empty() && sets.is_empty() && !parser.left_out {
        let rule = "the file holds no records, not even a SOA; remove the document if the zone is to be declared no more";
        return single(1, rule.to_owned());
    }
    errors.extend(problems.into_iter().map(|it| Wrong { at: it.at as usize, message: it.to_string() }));
    if errors.is_empty() {
        sets.retain(|it| !is_servers(zone, &it.name, it.rtype));
        return Ok(sets);
    }
    errors.sort_by_key(|it| it.at);
    errors.truncate(MAX_ERRORS);
    Err(errors.into_iter().map(|it| place(text, it)).collect())
}

/// Line and column of an offset.
fn place(text: &str, wrong: Wrong) -> FileError {
    let mut at = wrong.at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |it| it + 1);
    FileError {
        line: before.bytes().filter(|it| *it == b'\n').count() + 1,
        column: before.get(start..).unwrap_or_default().chars().count() + 1,
        message: wrong.message,
    }
}

/// What a record has before its rdata.
#[derive(Clone, Copy)]
struct Head {
    rtype: Type,
    ttl: Option<u32>,
}

/// The state between entries.
struct Parser<'a> {
    zone: &'a Name,
    origin: Name,
    /// Wire form of the owner that a blank stands for; empty before the first.
    owner: Vec<u8>,
    /// Of `$TTL`, else perhaps the SOA's minimum.
    default_ttl: Option<u32>,
    /// The last one given (RFC 1035).
    last_ttl: Option<u32>,
    value: Vec<u8>,
    collector: Collector,
    /// Records of the server's own were passed over.
    left_out: bool,
}

impl<'a> Parser<'a> {
    fn new(zone: &'a Name) -> Self {
        Self {
            zone,
            origin: zone.clone(),
            owner: Vec::new(),
            default_ttl: None,
            last_ttl: None,
            value: Vec::new(),
            collector: Collector::default(),
            left_out: false,
        }
    }

    fn run(&mut self, text: &str) -> Vec<Wrong> {
        let mut lexer = Lexer::new(text, Input::File);
        let mut words = Vec::with_capacity(16);
        let mut errors = Vec::new();
        while errors.len() < MAX_ERRORS {
            match lexer.entry(&mut words) {
                Ok(Some(entry)) => errors.extend(self.entry(entry, &words).err()),
                Ok(None) => break,
                Err(error) => {
                    errors.push(Wrong { at: error.at, message: error.message.to_owned() });
                    break;
                }
            }
            if self.collector.records() > MAX_RECORDS {
                errors.push(Wrong { at: 0, message: format!("the file has more than {MAX_RECORDS} records") });
                break;
            }
        }
        errors
    }

    fn entry(&mut self, entry: Entry, words: &[Word<'_>]) -> Result<(), Wrong> {
        let Some((first, rest)) = words.split_first() else { return Ok(()) };
        if first.text.starts_with('$') && !first.quoted && !entry.indented {
            return self.directive(first, rest);
        }
        let words = if entry.indented {
            if self.owner.is_empty() {
                return wrong(
                    first.at,
                    "the first record has no owner: a line that begins with a blank repeats the owner before it",
                );
            }
            words
        } else {
            self.set_owner(first)?;
            rest
        };
        let (head, values) = self.head(first.at, words)?;
        self.record(head, values, first.at)
    }

    fn set_owner(&mut self, word: &Word<'_>) -> Result<(), Wrong> {
        if word.quoted {
            return wrong(word.at, "the owner of a record has no quotes");
        }
        let mut owner = std::mem::take(&mut self.owner);
        owner.clear();
        let parsed = name::parse_into(word.text, Context { origin: &self.origin, style: Style::Master }, &mut owner);
        if let Err(message) = parsed {
            return wrong(word.at, format!("name: {message}"));
        }
        let inside = below(&owner, self.zone).is_some();
        self.owner = owner;
        if inside {
            return Ok(());
        }
        let owner = Name::from_canonical(&self.owner);
        wrong(
            word.at,
            format!(
                "{owner}: name: is outside the zone {}; a name without a final dot is relative to {}",
                self.zone, self.origin
            ),
        )
    }

    /// TTL and class in any order, then the type.
    fn head<'w, 'b>(&self, at: usize, mut words: &'w [Word<'b>]) -> Result<(Head, &'w [Word<'b>]), Wrong> {
        let (mut ttl, mut class) = (None, false);
        while let Some((word, rest)) = words.split_first() {
            let text = word.text;
            if word.quoted {
                return wrong(word.at, format!("a record type must stand here, not \"{}\"", shorten(text)));
            }
            if text.starts_with(|it: char| it.is_ascii_digit()) && ttl.is_none() {
                ttl = Some(parse_ttl(text).or_else(|message| wrong(word.at, format!("ttl: {message}")))?);
            } else if text.eq_ignore_ascii_case("IN") && !class {
                class = true;
            } else if ["CH", "HS", "CS", "ANY", "NONE"].iter().any(|it| text.eq_ignore_ascii_case(it)) {
                return wrong(word.at, format!("class {text} is none that a zone here can have: only IN is"));
            } else {
                let rtype = Type::parse(text).or_else(|message| wrong(word.at, message))?;
                return Ok((Head { rtype, ttl }, rest));
            }
            words = rest;
        }
        wrong(at, "the record has no type")
    }

    /// Adds one record of the current owner.
    fn record(&mut self, head: Head, words: &[Word<'_>], at: usize) -> Result<(), Wrong> {
        let Head { rtype, ttl } = head;
        if rtype.role() == Role::Server && rtype != Type::SOA {
            self.left_out = true;
            return Ok(());
        }
        if rtype.role() == Role::Query {
            return wrong(at, format!("{} {rtype}: type: exists in queries only", Name::from_canonical(&self.owner)));
        }
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        let parsed = rdata::parse(rtype, words, Context { origin: &self.origin, style: Style::Master }, &mut value);
        let parsed = parsed.and_then(|()| rdata::check(rtype, &value));
        self.value = value;
        if let Err(invalid) = parsed {
            let at = invalid.word.and_then(|it| words.get(it)).map_or(at, |it| it.at);
            return wrong(at, format!("{} {rtype}: {invalid}", Name::from_canonical(&self.owner)));
        }
        if rtype == Type::SOA {
            self.start_of_authority(at, ttl)?;
        }
        if ttl.is_some() {
            self.last_ttl = ttl;
        }
        let Some(ttl) = ttl.or(self.default_ttl).or(self.last_ttl) else {
            let owner = Name::from_canonical(&self.owner);
            return wrong(at, format!("{owner} {rtype}: ttl: is missing, and no $TTL stands before it"));
        };
        let offset = u32::try_from(at).unwrap_or(u32::MAX);
        self.collector.add(&self.owner, rtype, ttl, &self.value, offset);
        Ok(())
    }

    /// A SOA stands at the apex. Where neither it nor anything before it says a TTL, its minimum is what `$TTL` would say, as BIND
    /// has it.
    fn start_of_authority(&mut self, at: usize, ttl: Option<u32>) -> Result<(), Wrong> {
        if self.owner != self.zone.wire() {
            let owner = Name::from_canonical(&self.owner);
            return wrong(at, format!("{owner} SOA: name: a SOA stands at the apex, here {}", self.zone));
        }
        let minimum = self.value.len().checked_sub(4).and_then(|at| Reader::new(&self.value).jump(at).u32().ok());
        if ttl.or(self.last_ttl).is_none() {
            self.default_ttl = self.default_ttl.or(minimum.map(|it| it.min(rdata::encoding::MAX_TTL)));
        }
        Ok(())
    }

    fn directive(&mut self, word: &Word<'_>, words: &[Word<'_>]) -> Result<(), Wrong> {
        let upper = word.text.to_ascii_uppercase();
        match (upper.as_str(), words) {
            ("$ORIGIN", [origin]) if !origin.quoted => {
                let parsed = Name::parse(origin.text, Context { origin: &self.origin, style: Style::Master });
                self.origin = parsed.or_else(|message| wrong(origin.at, format!("$ORIGIN: {message}")))?;
                Ok(())
            }
            ("$TTL", [ttl]) => {
                self.default_ttl = Some(parse_ttl(ttl.text).or_else(|message| wrong(ttl.at, format!("$TTL: {message}")))?);
                Ok(())
            }
            ("$GENERATE", words) => generate::run(self, word.at, words),
            ("$INCLUDE", _) => wrong(
                word.at,
                "$INCLUDE is not read: put the records into this file, or declare the other one as a ZoneFile of its own",
            ),
            ("$ORIGIN" | "$TTL", _) => wrong(word.at, format!("{upper} takes one word")),
            _ => wrong(word.at, format!("`{}` is no directive: $ORIGIN, $TTL and $GENERATE are", shorten(word.text))),
        }
    }
}
