//! Domain names: one canonical form for every legal spelling.
//!
//! A [`Name`] is its uncompressed wire form in lower case, so that equal names are equal bytes and no message needs a
//! conversion. Functions that end in `_into` append to a buffer that the caller keeps, because a zone holds many more names
//! than anybody wants to allocate.
//!
//! Invariant: a name has at most 255 bytes, its labels 1 to 63, and it ends with the empty label of the root.

use std::cmp::Ordering;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::idn;
use crate::wire::{Malformed, Reader};

/// Longest name and longest label, in bytes of the wire form (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;
pub const MAX_LABEL: usize = 63;

/// Most pointers followed in one name. Each must go backwards, so this only bounds the work.
const MAX_POINTERS: usize = 64;

/// An absolute domain name in canonical form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

/// Who wrote the text, which decides what is forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A master file: RFC 1035 to the letter.
    Master,
    /// A document: as a master file, but mistakes that are nearly always made by hand are errors.
    Document,
    /// A server's answer: what is there is there.
    Observed,
}

/// What names in a text are relative to.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub origin: &'a Name,
    pub style: Style,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads a name as people write it.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str, context: Context<'_>) -> Result<Self, String> {
        let mut wire = Vec::with_capacity(text.len() + context.origin.wire().len() + 1);
        parse_into(text, context, &mut wire)?;
        Ok(Self(wire.into()))
    }

    /// Reads a name that is absolute, with or without its final dot: the name of a zone.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn absolute(text: &str) -> Result<Self, String> {
        Self::parse(text, Context { origin: &Self::root(), style: Style::Master })
    }

    /// Takes a canonical wire form, as [`parse_into`] and [`read_into`] write it.
    pub fn from_canonical(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    /// The canonical wire form.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether this name is `zone` or below it.
    pub fn is_within(&self, zone: &Self) -> bool {
        below(&self.0, zone).is_some()
    }

    /// The name without its first label; none for the root.
    pub fn parent(&self) -> Option<Self> {
        let length = usize::from(*self.0.first()?);
        (length > 0).then(|| self.0.get(length + 1..).map(Self::from_canonical)).flatten()
    }

    /// Whether the first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// The name as it is written within `zone`: `@` for the zone itself, without the zone's part below it, absolute elsewhere.
    pub fn relative_to(&self, zone: &Self) -> String {
        let mut text = String::with_capacity(self.0.len());
        match below(&self.0, zone) {
            Some([]) => text.push('@'),
            Some(labels) => write_labels(labels, &mut text),
            None => write_into(&self.0, &mut text),
        }
        text
    }

    /// The name as a document about `zone` has it: as [`relative_to`](Self::relative_to), but absolute where that would be taken
    /// for a name without its final dot.
    pub fn declared_in(&self, zone: &Self) -> String {
        match below(&self.0, zone) {
            Some(labels) if lacks_dot(labels, zone) => self.to_string(),
            _ => self.relative_to(zone),
        }
    }

    /// The name without its final dot, as people write the name of a zone; `.` for the root.
    pub fn without_dot(&self) -> String {
        let mut text = self.to_string();
        if text.len() > 1 {
            text.pop();
        }
        text
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.0.len());
        write_into(&self.0, &mut text);
        formatter.write_str(&text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// The labels of a wire form, without the root's.
fn labels(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = wire.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        wire = rest;
        (*length > 0).then_some(label)
    })
}

/// Canonical order (RFC 4034 §6.1): label by label from the root, each as bytes, a missing label first.
pub fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (left_starts, right_starts) = (Starts::of(left), Starts::of(right));
    let mut pairs = left_starts.backwards(left).zip(right_starts.backwards(right));
    let different = pairs.find_map(|(one, other)| Some(one.cmp(other)).filter(|it| it.is_ne()));
    different.unwrap_or_else(|| left_starts.count.cmp(&right_starts.count))
}

/// Where the labels of one name start, without an allocation. A name of 255 bytes has at most 127 labels.
struct Starts {
    at: [u8; 128],
    count: usize,
}

impl Starts {
    fn of(wire: &[u8]) -> Self {
        let mut starts = Self { at: [0; 128], count: 0 };
        let mut position = 0_u8;
        for label in labels(wire) {
            if let Some(slot) = starts.at.get_mut(starts.count) {
                *slot = position;
                starts.count += 1;
            }
            position = position.wrapping_add(u8::try_from(label.len()).unwrap_or(u8::MAX)).wrapping_add(1);
        }
        starts
    }

    fn backwards<'a>(&'a self, wire: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.at.get(..self.count).unwrap_or_default().iter().rev().filter_map(move |start| {
            let (length, rest) = wire.get(usize::from(*start)..)?.split_first()?;
            rest.get(..usize::from(*length))
        })
    }
}

/// The labels of `wire` that stand before `zone`; none when it is not in the zone.
pub fn below<'a>(wire: &'a [u8], zone: &Name) -> Option<&'a [u8]> {
    let cut = wire.len().checked_sub(zone.0.len())?;
    let (head, tail) = wire.split_at_checked(cut)?;
    let mut rest = head;
    while let Some((length, after)) = rest.split_first() {
        // A label that reaches over the cut means that the bytes are equal by chance.
        rest = after.get(usize::from(*length)..)?;
    }
    (tail == &*zone.0).then_some(head)
}

/// Appends the canonical wire form of `text`.
///
/// Without a final dot the name is relative to the origin; `@` is the origin. `\X` is the character itself, `\DDD` a byte.
///
/// # Errors
/// Says which rule the text breaks; `out` may then hold a part of the name.
pub fn parse_into(text: &str, context: Context<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    match text {
        "" => return Err("a name must not be empty".to_owned()),
        "@" => {
            out.extend_from_slice(context.origin.wire());
            return Ok(());
        }
        "." => {
            out.push(0);
            return Ok(());
        }
        _ => {}
    }
    if !parse_labels(text, out)? {
        if context.style == Style::Document {
            refuse_forgotten_dot(text, out.get(start..).unwrap_or_default(), context.origin)?;
        }
        out.extend_from_slice(context.origin.wire());
    }
    if out.len() - start > MAX_NAME {
        return Err(format!("the name has more than {MAX_NAME} bytes: `{}`", shorten(text)));
    }
    Ok(())
}

/// Appends labels, and the root's where the text ends with a dot; says whether it did.
fn parse_labels(text: &str, out: &mut Vec<u8>) -> Result<bool, String> {
    let mut bytes = text.as_bytes();
    let mut open = out.len();
    let mut international = false;
    out.push(0);
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        match byte {
            b'.' => {
                close_label(open, std::mem::take(&mut international), out, text)?;
                open = out.len();
                out.push(0);
                if bytes.is_empty() {
                    return Ok(true);
                }
            }
            b'\\' => {
                let (value, rest) = unescape(bytes)?;
                out.push(value.to_ascii_lowercase());
                bytes = rest;
            }
            0x80.. => {
                international = true;
                out.push(byte);
            }
            b' ' | b'\t' | b'\r' | b'\n' => return Err(format!("a name has no blanks: `{}`", shorten(text))),
            _ => out.push(byte.to_ascii_lowercase()),
        }
    }
    close_label(open, international, out, text)?;
    Ok(false)
}

/// Writes the length of the label that began at `open`, after turning an international one into its A-label.
fn close_label(open: usize, international: bool, out: &mut Vec<u8>, text: &str) -> Result<(), String> {
    if international {
        let label = out.split_off(open + 1);
        let ascii = std::str::from_utf8(&label).ok().and_then(idn::to_ascii);
        let ascii = ascii.ok_or_else(|| format!("a label is no international domain name: `{}`", shorten(text)))?;
        out.extend_from_slice(ascii.as_bytes());
    }
    let length = out.len() - open - 1;
    let byte = u8::try_from(length).ok().filter(|it| (1..=MAX_LABEL).contains(&usize::from(*it)));
    match (byte, out.get_mut(open)) {
        (Some(byte), Some(slot)) => *slot = byte,
        _ if length == 0 => return Err(format!("a name has an empty label: `{}`", shorten(text))),
        _ => return Err(format!("a label has more than {MAX_LABEL} bytes: `{}`", shorten(text))),
    }
    Ok(())
}

/// Whether labels that are relative to the origin end with it: `www.example.com` within `example.com`.
fn lacks_dot(labels: &[u8], origin: &Name) -> bool {
    let may = origin.0.len() > 1 && labels.len() + 1 >= origin.0.len();
    may && below(&[labels, &[0]].concat(), origin).is_some()
}

/// `www.example.com` within `example.com` would mean `www.example.com.example.com.`, which nobody means.
fn refuse_forgotten_dot(text: &str, labels: &[u8], origin: &Name) -> Result<(), String> {
    if !lacks_dot(labels, origin) {
        return Ok(());
    }
    let text = shorten(text);
    Err(format!("`{text}` has no final dot and would mean `{text}.{origin}`: write `{text}.`"))
}

/// Reads what follows a backslash: three digits or one character.
///
/// # Errors
/// Says what is wrong with the escape.
pub fn unescape(bytes: &[u8]) -> Result<(u8, &[u8]), String> {
    match bytes {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            let value = u8::try_from(value).map_err(|_| format!("`\\{value}` is above \\255"))?;
            Ok((value, rest))
        }
        [b'0'..=b'9', ..] => Err("a backslash before a digit needs three digits, such as `\\032`".to_owned()),
        [byte, rest @ ..] => Ok((*byte, rest)),
        [] => Err("a backslash ends the text".to_owned()),
    }
}

/// Whether `text` is an address where a name should stand.
pub fn is_address(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok()
}

/// Appends the presentation form of a wire form: absolute, escaped, lower case.
pub fn write_into(wire: &[u8], out: &mut String) {
    write_labels(wire, out);
    out.push('.');
}

fn write_labels(wire: &[u8], out: &mut String) {
    let mut first = true;
    for label in labels(wire) {
        if !std::mem::take(&mut first) {
            out.push('.');
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    out.push('\\');
                    out.push(char::from(byte));
                }
                0x21..=0x7e => out.push(char::from(byte)),
                _ => escape_byte(byte, out),
            }
        }
    }
}

/// Appends `\DDD`.
pub fn escape_byte(byte: u8, out: &mut String) {
    out.push('\\');
    for digit in [byte / 100, byte / 10 % 10, byte % 10] {
        out.push(char::from(b'0' + digit));
    }
}

/// Appends the canonical form of the name at the reader, following pointers.
///
/// # Errors
/// When a label is of an unknown form, a pointer does not go backwards, or the name is too long or cut off.
pub fn read_into(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let start = out.len();
    copy_into(reader, out)?;
    // No length of a label is a letter.
    out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
    Ok(())
}

/// As [`read_into`], but in the case that stands there.
///
/// # Errors
/// As [`read_into`].
pub fn copy_into(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let start = out.len();
    let mut jumped: Option<Reader<'_>> = None;
    for _ in 0..=MAX_POINTERS {
        let at = jumped.as_mut().unwrap_or(reader);
        let mut before = at.position();
        loop {
            let length = at.u8()?;
            match length {
                0 => {
                    out.push(0);
                    return if out.len() - start > MAX_NAME { Err(Malformed("a name is too long")) } else { Ok(()) };
                }
                1..=63 => {
                    out.push(length);
                    out.extend_from_slice(at.take(usize::from(length))?);
                    if out.len() - start > MAX_NAME {
                        return Err(Malformed("a name is too long"));
                    }
                }
                0xc0.. => {
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, at.u8()?]));
                    before = before.min(at.position());
                    if target >= before {
                        return Err(Malformed("a compressed name points forward"));
                    }
                    jumped = Some(at.jump(target));
                    break;
                }
                _ => return Err(Malformed("a label is of an unknown form")),
            }
        }
    }
    Err(Malformed("a compressed name has too many pointers"))
}

/// The beginning of a text that may be very long, for messages.
pub fn shorten(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests;
