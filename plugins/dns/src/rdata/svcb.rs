//! The parameters of SVCB and HTTPS (RFC 9460, RFC 9461, RFC 9540): `key=value` in any order, sorted by number in the wire form.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::encoding::{parse_base64, parse_text, print_base64, print_text};
use super::field::{number, print_display};
use crate::lex::Word;
use crate::name::shorten;
use crate::wire::{Malformed, Reader};

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Keys,
    Ids,
    Nothing,
    Port,
    Ipv4,
    Ipv6,
    Base64,
    Text,
}

/// The parameters that have names, by number.
const KEYS: &[(&str, Form)] = &[
    ("mandatory", Form::Keys),
    ("alpn", Form::Ids),
    ("no-default-alpn", Form::Nothing),
    ("port", Form::Port),
    ("ipv4hint", Form::Ipv4),
    ("ech", Form::Base64),
    ("ipv6hint", Form::Ipv6),
    ("dohpath", Form::Text),
    ("ohttp", Form::Nothing),
];

fn form(key: u16) -> Form {
    KEYS.get(usize::from(key)).map_or(Form::Text, |(_, form)| *form)
}

fn parse_key(text: &str) -> Result<u16, String> {
    let known = KEYS.iter().position(|(name, _)| name.eq_ignore_ascii_case(text)).and_then(|it| u16::try_from(it).ok());
    let generic = || text.strip_prefix("key").and_then(|it| number(it, 65_534).ok()).and_then(|it| u16::try_from(it).ok());
    known.or_else(generic).ok_or_else(|| format!("`{}` is no parameter; unknown ones are written key12345", shorten(text)))
}

/// Number of the first parameter that is newer than RFC 9460: not every server knows its name.
const NEWER: u16 = 7;

/// How parameters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// By their names, texts in quotes.
    Canonical,
    /// As every version of PowerDNS reads them: newer ones by number, and protocols without quotes where these need none.
    PowerDns,
}

impl Spelling {
    fn has_name(self, key: u16) -> bool {
        usize::from(key) < KEYS.len() && (self == Self::Canonical || key < NEWER)
    }

    fn print_key(self, key: u16, out: &mut String) {
        match KEYS.get(usize::from(key)) {
            Some((name, _)) if self.has_name(key) => out.push_str(name),
            _ => print_display(format_args!("key{key}"), out),
        }
    }
}

/// Appends the parameters of all words.
///
/// # Errors
/// For unknown, repeated and malformed parameters.
pub fn parse(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), String> {
    let mut params = Vec::with_capacity(words.len());
    for word in words {
        if word.quoted {
            return Err(format!("must be key=value, not \"{}\"", shorten(word.text)));
        }
        let (key, value) = word.text.split_once('=').map_or((word.text, None), |(key, value)| (key, Some(value)));
        let key = parse_key(key)?;
        let value = value.map(|it| it.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(it));
        let value = parse_value(form(key), value).map_err(|rule| {
            let mut name = String::new();
            Spelling::Canonical.print_key(key, &mut name);
            format!("{name}: {rule}")
        })?;
        params.push((key, value));
    }
    params.sort_by_key(|(key, _)| *key);
    append(params.iter().map(|(key, value)| (*key, value.as_slice())), out).map_err(|it| it.0.to_owned())
}

/// Appends parameters after checking them as a whole.
fn append<'a>(params: impl Iterator<Item = (u16, &'a [u8])> + Clone, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut before = None;
    for (key, value) in params.clone() {
        if before.is_some_and(|it| it >= key) {
            return Err(Malformed("a parameter stands twice, or out of order"));
        }
        before = Some(key);
        check(form(key), value)?;
        if key == 0 && value.chunks_exact(2).any(|it| !params.clone().any(|(key, _)| key.to_be_bytes() == it)) {
            return Err(Malformed("a mandatory parameter is missing"));
        }
        let length = u16::try_from(value.len()).map_err(|_| Malformed("a parameter is too long"))?;
        out.extend(key.to_be_bytes());
        out.extend(length.to_be_bytes());
        out.extend_from_slice(value);
    }
    Ok(())
}

/// Whether bytes are a value of the form.
fn check(form: Form, value: &[u8]) -> Result<(), Malformed> {
    let lists = |size: usize| !value.is_empty() && value.len().is_multiple_of(size);
    let keys = || value.chunks_exact(2).map(|it| u16::from_be_bytes(it.try_into().unwrap_or_default()));
    let good = match form {
        Form::Keys => lists(2) && keys().all(|it| it != 0) && keys().zip(keys().skip(1)).all(|(one, next)| one < next),
        Form::Ids => !value.is_empty() && ids(value).try_fold((), |(), it| it.filter(|it| !it.is_empty()).map(|_| ())).is_some(),
        Form::Nothing => value.is_empty(),
        Form::Port => value.len() == 2,
        Form::Ipv4 => lists(4),
        Form::Ipv6 => lists(16),
        Form::Base64 => !value.is_empty(),
        Form::Text => true,
    };
    if good { Ok(()) } else { Err(Malformed("a parameter has a wrong value")) }
}

/// The strings of a list with lengths; `None` where one is cut off, and then the end.
fn ids(value: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut reader = Reader::new(value);
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken || reader.is_at_end() {
            return None;
        }
        let text = reader.text().ok();
        broken = text.is_none();
        Some(text)
    })
}

fn parse_value(form: Form, text: Option<&str>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let text = match (form, text) {
        (Form::Nothing, None | Some("")) => return Ok(out),
        (Form::Nothing, Some(_)) => return Err("takes no value".to_owned()),
        (Form::Text, None) => return Ok(out),
        (_, None | Some("")) if form != Form::Text => return Err("needs a value".to_owned()),
        (_, text) => text.unwrap_or_default(),
    };
    match form {
        Form::Keys => {
            let mut keys = text.split(',').map(parse_key).collect::<Result<Vec<_>, _>>()?;
            keys.sort_unstable();
            keys.into_iter().for_each(|it| out.extend(it.to_be_bytes()));
        }
        Form::Ids => parse_ids(text, &mut out)?,
        Form::Port => {
            let port = u16::try_from(number(text, 65_535)?).unwrap_or_default();
            out.extend(port.to_be_bytes());
        }
        Form::Ipv4 => {
            for part in text.split(',') {
                let address = part.parse::<Ipv4Addr>().map_err(|_| format!("`{}` is no IPv4 address", shorten(part)))?;
                out.extend(address.octets());
            }
        }
        Form::Ipv6 => {
            for part in text.split(',') {
                let address = part.parse::<Ipv6Addr>().map_err(|_| format!("`{}` is no IPv6 address", shorten(part)))?;
                out.extend(address.octets());
            }
        }
        Form::Base64 => parse_base64(&[Word { text, quoted: false, at: 0 }], &mut out)?,
        Form::Text | Form::Nothing => parse_text(text, &mut out)?,
    }
    Ok(out)
}

/// A list of protocol names: within the text's own escapes, `\,` is a comma and `\\` a backslash (RFC 9460 appendix A.1).
fn parse_ids(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut bytes = Vec::with_capacity(text.len());
    parse_text(text, &mut bytes)?;
    let mut item = Vec::new();
    let mut bytes = bytes.into_iter();
    loop {
        let byte = bytes.next();
        match byte {
            Some(b'\\') => item.push(bytes.next().ok_or("a backslash ends the list")?),
            None | Some(b',') => {
                let length = u8::try_from(item.len()).ok().filter(|it| *it > 0);
                out.push(length.ok_or("each item must have 1 to 255 bytes")?);
                out.append(&mut item);
            }
            Some(byte) => item.push(byte),
        }
        if byte.is_none() {
            return Ok(());
        }
    }
}

/// Appends the canonical form of the parameters that fill the reader.
///
/// # Errors
/// When they are malformed, repeated or out of order.
pub fn read(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut params = Vec::new();
    while !reader.is_at_end() {
        let key = reader.u16()?;
        let length = reader.u16()?;
        params.push((key, reader.take(usize::from(length))?));
    }
    append(params.iter().copied(), out)
}

/// Appends the parameters in the order of their numbers.
///
/// # Errors
/// When the wire form is not canonical.
pub fn print(reader: &mut Reader<'_>, spelling: Spelling, out: &mut String) -> Result<(), Malformed> {
    let mut first = true;
    while !reader.is_at_end() {
        if !std::mem::take(&mut first) {
            out.push(' ');
        }
        let key = reader.u16()?;
        let length = reader.u16()?;
        let value = reader.take(usize::from(length))?;
        spelling.print_key(key, out);
        match value {
            // A number always has a value there.
            [] if spelling == Spelling::PowerDns && !spelling.has_name(key) => out.push_str("=\"\""),
            _ => print_value(form(key), value, spelling, out)?,
        }
    }
    Ok(())
}

fn print_value(form: Form, value: &[u8], spelling: Spelling, out: &mut String) -> Result<(), Malformed> {
    if form == Form::Nothing || (form == Form::Text && value.is_empty()) {
        return Ok(());
    }
    out.push('=');
    let mut items = Reader::new(value);
    match form {
        Form::Ids => return print_ids(value, spelling, out),
        Form::Base64 => print_base64(value, out),
        Form::Text | Form::Nothing => print_text(value, out),
        Form::Port => print_display(items.u16()?, out),
        Form::Keys | Form::Ipv4 | Form::Ipv6 => {
            while !items.is_at_end() {
                if items.position() > 0 {
                    out.push(',');
                }
                match form {
                    Form::Ipv4 => print_display(Ipv4Addr::from(items.u32()?), out),
                    Form::Ipv6 => print_display(Ipv6Addr::from(items.u128()?), out),
                    _ => spelling.print_key(items.u16()?, out),
                }
            }
        }
    }
    Ok(())
}

fn print_ids(value: &[u8], spelling: Spelling, out: &mut String) -> Result<(), Malformed> {
    let mut list = Vec::with_capacity(value.len());
    for id in ids(value) {
        if !list.is_empty() {
            list.push(b',');
        }
        for &byte in id.ok_or(Malformed("it ends too early"))? {
            if matches!(byte, b',' | b'\\') {
                list.push(b'\\');
            }
            list.push(byte);
        }
    }
    let start = out.len();
    print_text(&list, out);
    if spelling == Spelling::PowerDns && !list.iter().any(|it| matches!(it, b'\\' | b'"') || !it.is_ascii_graphic()) {
        out.pop();
        out.remove(start);
    }
    Ok(())
}
