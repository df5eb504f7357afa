//! Rdata: any legal spelling in, canonical wire bytes and one canonical spelling out.
//!
//! A value is its canonical wire form (names uncompressed and in lower case), so that equal values are equal bytes. The
//! three directions go field by field over the table of [`types`]: [`parse`] from text, [`print`] to text, [`read`] from a
//! message. A type that the table does not know, and any type that is written so, has the generic form of RFC 3597.
//!
//! Invariant: what [`parse`] and [`read`] append, [`read`] accepts and appends again unchanged, and what [`print`] makes of it,
//! [`parse`] turns into the same bytes.

pub mod encoding;
pub mod field;
pub mod loc;
pub mod svcb;
pub mod types;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::lex::Word;
use crate::name::{Context, Style};
use crate::wire::{Malformed, Reader};
pub use types::{Role, Type};

/// Longest rdata, in bytes.
pub const MAX_RDATA: usize = 65_535;

/// A value that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Field of the record type; empty for the value as a whole.
    pub field: &'static str,
    /// What is wrong, for people.
    pub rule: String,
    /// Index of the word that the finding is about, where it is about one.
    pub word: Option<usize>,
}

impl Invalid {
    fn whole(rule: impl Into<String>) -> Self {
        Self { field: "", rule: rule.into(), word: None }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            "" => formatter.write_str(&self.rule),
            field => write!(formatter, "{field}: {}", self.rule),
        }
    }
}

/// Appends the canonical wire form of a value of type `rtype`.
///
/// # Errors
/// Names the field and the rule; `out` may then hold a part of the value.
pub fn parse(rtype: Type, words: &[Word<'_>], context: Context<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let start = out.len();
    match words {
        [Word { text: "\\#", quoted: false, .. }, rest @ ..] => parse_generic(rtype, rest, out)?,
        _ => parse_fields(rtype, words, context, out)?,
    }
    if out.len() - start > MAX_RDATA {
        return Err(Invalid::whole(format!("the value has more than {MAX_RDATA} bytes")));
    }
    Ok(())
}

fn parse_fields(rtype: Type, words: &[Word<'_>], context: Context<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let fields = rtype.fields();
    if fields.is_empty() {
        return Err(Invalid::whole(format!(
            "a value of type {rtype} is written as `\\# 4 0A000001`: its length in bytes, then hex digits"
        )));
    }
    let mut rest = words;
    for (name, field) in fields {
        let at = words.len() - rest.len();
        let failed = |rule| Invalid { field: name, rule, word: Some(at) };
        if rest.is_empty() && !field.may_be_absent() {
            return Err(failed(format!("is missing; {rtype} has {}", outline(rtype))));
        }
        field.parse(&mut rest, context, out).map_err(failed)?;
    }
    match rest.first() {
        None => Ok(()),
        Some(word) => Err(Invalid {
            field: "",
            rule: format!("`{}` is one word too many; {rtype} has {}", crate::name::shorten(word.text), outline(rtype)),
            word: Some(words.len() - rest.len()),
        }),
    }
}

/// The fields of a type, for messages.
fn outline(rtype: Type) -> String {
    rtype.fields().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn parse_generic(rtype: Type, words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let (length, digits) = words.split_first().ok_or_else(|| Invalid::whole("a length must follow `\\#`"))?;
    let length = length.text.parse::<u16>().map_err(|_| Invalid::whole("the length after `\\#` must be a number up to 65535"))?;
    let mut bytes = Vec::with_capacity(usize::from(length));
    encoding::parse_hex(digits, &mut bytes).map_err(Invalid::whole)?;
    if bytes.len() != usize::from(length) {
        return Err(Invalid::whole(format!("`\\#` says {length} bytes, but {} follow", bytes.len())));
    }
    let malformed = |it: Malformed| Invalid::whole(format!("the bytes are no value of type {rtype}: {it}"));
    read(rtype, &mut Reader::new(&bytes), out).map_err(malformed)
}

/// Rules over several fields of a declared value, in its canonical wire form: a digest is as long as its algorithm makes it. A
/// server refuses the whole message that holds another one, and does not say why.
///
/// # Errors
/// Names the field and the rule.
pub fn check(rtype: Type, wire: &[u8]) -> Result<(), Invalid> {
    let (field, kind, head) = match (rtype, wire) {
        (Type::DS, [_, _, _, kind, ..]) => ("digest", *kind, 4),
        (Type::SSHFP, [_, kind, ..]) => ("fingerprint", *kind, 2),
        (Type::TLSA | Type::SMIMEA, [_, _, kind, ..]) => ("data", *kind, 3),
        _ => return Ok(()),
    };
    let want = match (rtype, kind) {
        // RFC 6698 §2.1.3: SHA-256, SHA-512.
        (Type::TLSA | Type::SMIMEA, 1) => 32,
        (Type::TLSA | Type::SMIMEA, 2) => 64,
        (Type::TLSA | Type::SMIMEA, _) => return Ok(()),
        (_, 1) => 20,
        (_, 2) => 32,
        (Type::DS, 4) => 48,
        _ => return Ok(()),
    };
    let has = wire.len().saturating_sub(head);
    if has == want {
        return Ok(());
    }
    Err(Invalid { field, rule: format!("of type {kind} has {want} bytes, not {has}"), word: None })
}

/// Appends the canonical form of the value that fills the reader, which may be in the midst of a message.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn read(rtype: Type, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let fields = rtype.fields();
    if fields.is_empty() {
        out.extend_from_slice(reader.rest());
        return Ok(());
    }
    for (_, field) in fields {
        field.read(reader, out)?;
    }
    if reader.is_at_end() { Ok(()) } else { Err(Malformed("it has more bytes than its type")) }
}

/// Appends the value that fills the reader as it stands, its names uncompressed, where that is not `canonical`; says whether.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn copy(rtype: Type, reader: &mut Reader<'_>, canonical: &[u8], out: &mut Vec<u8>) -> Result<bool, Malformed> {
    let fields = rtype.fields();
    if reader.clone().rest() == canonical || !fields.iter().any(|(_, field)| field.folds()) {
        return Ok(false);
    }
    let start = out.len();
    for (_, field) in fields {
        field.copy(reader, out)?;
    }
    Ok(out.get(start..) != Some(canonical))
}

/// Appends the canonical spelling of a canonical wire form.
pub fn print(rtype: Type, wire: &[u8], out: &mut String) {
    let start = out.len();
    if print_fields(rtype, wire, out).is_err() {
        out.truncate(start);
        print_generic(wire, out);
    }
}

fn print_fields(rtype: Type, wire: &[u8], out: &mut String) -> Result<(), Malformed> {
    let mut reader = Reader::new(wire);
    let mut fields = rtype.fields().iter();
    let (_, first) = fields.next().ok_or(Malformed("its type is unknown"))?;
    first.print(&mut reader, out)?;
    for (_, field) in fields {
        if reader.is_at_end() && field.may_be_absent() {
            break;
        }
        out.push(' ');
        field.print(&mut reader, out)?;
    }
    Ok(())
}

/// Appends a value of SVCB or HTTPS in another spelling than the canonical one.
///
/// # Errors
/// When the wire form is not canonical.
pub fn print_service(wire: &[u8], spelling: svcb::Spelling, out: &mut String) -> Result<(), Malformed> {
    let mut reader = Reader::new(wire);
    field::Field::U16.print(&mut reader, out)?;
    out.push(' ');
    field::Field::Host.print(&mut reader, out)?;
    if reader.is_at_end() {
        return Ok(());
    }
    out.push(' ');
    svcb::print(&mut reader, spelling, out)
}

fn print_generic(wire: &[u8], out: &mut String) {
    out.push_str("\\# ");
    out.push_str(&wire.len().to_string());
    if !wire.is_empty() {
        out.push(' ');
        encoding::print_hex(wire, out);
    }
}

/// The value that a text of its own holds: in a document, or in a server's answer.
///
/// # Errors
/// Names the field and the rule.
pub fn parse_text(rtype: Type, text: &str, context: Context<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    // A plain text in a document is one string: cut at blanks, an SPF record would lose them.
    let plain = context.style == Style::Document && matches!(rtype.fields(), [(_, field::Field::Texts)]);
    // A parenthesis joins strings over several lines: where none follows, it is a character of the text.
    let strings = text.strip_prefix('(').unwrap_or(text).trim_start().starts_with('"');
    if plain && !strings && !text.starts_with("\\#") {
        if let Some(at) = unescaped_quote(text) {
            let rule = format!(
                "unbalanced quotes: a quote at character {at} of a text that does not begin with one; write `\\\"` or quote all of it"
            );
            return Err(Invalid { field: "text", rule, word: None });
        }
        return parse(rtype, &[Word { text, quoted: true, at: 0 }], context, out);
    }
    let mut words = Vec::with_capacity(8);
    crate::lex::words(text, &mut words).map_err(|error| {
        let quote = if error.message.contains("quote") { "unbalanced quotes: " } else { "" };
        Invalid::whole(format!("{quote}{} (character {})", error.message, error.at + 1))
    })?;
    parse(rtype, &words, context, out)
}

fn unescaped_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.chars().enumerate() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}
