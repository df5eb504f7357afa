//! Formats of single fields: from text, to text, from wire.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::encoding::{parse_base64, parse_hex, parse_text, parse_time, print_base64, print_hex, print_text};
use super::{loc, svcb};
use crate::lex::Word;
use crate::name::{self, Context, Style, shorten};
use crate::wire::{Malformed, Reader};

/// How one field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    U8,
    U16,
    U32,
    /// Seconds, or units.
    Time,
    /// A number that also has names.
    Mnemonic(&'static [(&'static str, u8)]),
    Name,
    /// A name that must not be an address: the mistake that names forgive and resolvers do not.
    Host,
    Ipv4,
    Ipv6,
    /// One string of up to 255 bytes.
    Text,
    /// One or more strings; a longer one is cut into parts of 255 bytes.
    Texts,
    /// The name of a CAA property: letters and digits, lower case.
    Tag,
    /// A string that reaches to the end of the rdata, without a length.
    Remainder,
    Hex,
    Base64,
    Loc,
    /// The parameters of SVCB.
    Params,
}

/// Names of DNSSEC algorithms.
pub const ALGORITHMS: &[(&str, u8)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Names of TLSA fields (RFC 7218).
pub const USAGES: &[(&str, u8)] = &[("PKIX-TA", 0), ("PKIX-EE", 1), ("DANE-TA", 2), ("DANE-EE", 3), ("PrivCert", 255)];
pub const SELECTORS: &[(&str, u8)] = &[("Cert", 0), ("SPKI", 1), ("PrivSel", 255)];
pub const MATCHINGS: &[(&str, u8)] = &[("Full", 0), ("SHA2-256", 1), ("SHA2-512", 2), ("PrivMatch", 255)];

impl Field {
    /// Whether a value may end before this field.
    pub fn may_be_absent(self) -> bool {
        self == Self::Params
    }

    /// Takes the field's words from the front of `words` and appends its wire form.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(self, words: &mut &[Word<'_>], context: Context<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Texts => take_all(words).iter().try_for_each(|it| parse_long_text(it.text, out)),
            Self::Hex => non_empty(parse_hex, take_all(words), out),
            Self::Base64 => non_empty(parse_base64, take_all(words), out),
            Self::Loc => loc::parse(take_all(words), out),
            Self::Params => svcb::parse(take_all(words), out),
            _ => match words.split_first() {
                Some((first, rest)) => {
                    *words = rest;
                    self.parse_word(first, context, out)
                }
                None => Err("is missing".to_owned()),
            },
        }
    }

    fn parse_word(self, word: &Word<'_>, context: Context<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let text = word.text;
        match self {
            Self::U8 => out.push(number(text, u8::MAX.into()).and_then(narrow)?),
            Self::U16 => out.extend(number(text, u16::MAX.into()).and_then(narrow::<u16>)?.to_be_bytes()),
            Self::U32 => out.extend(number(text, u32::MAX)?.to_be_bytes()),
            Self::Time => out.extend(parse_time(text, u32::MAX)?.to_be_bytes()),
            Self::Mnemonic(names) => out.push(mnemonic(text, names)?),
            Self::Ipv4 => out.extend(text.parse::<Ipv4Addr>().map_err(|_| not_a("IPv4 address", text))?.octets()),
            Self::Ipv6 => out.extend(text.parse::<Ipv6Addr>().map_err(|_| not_a("IPv6 address", text))?.octets()),
            Self::Text => counted(text, out)?,
            Self::Tag => parse_tag(text, out)?,
            Self::Remainder => parse_text(text, out)?,
            Self::Host if context.style != Style::Observed && name::is_address(text) => {
                return Err(format!("must be a name, but `{}` is an address", shorten(text)));
            }
            // The others take all words and never come here.
            _ if word.quoted => return Err(format!("must be a name without quotes, not \"{}\"", shorten(text))),
            _ => name::parse_into(text, context, out)?,
        }
        Ok(())
    }

    /// Appends the canonical form of the field at the reader.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn read(self, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::U8 | Self::Mnemonic(_) => out.push(reader.u8()?),
            Self::U16 => out.extend_from_slice(reader.take(2)?),
            Self::U32 | Self::Time | Self::Ipv4 => out.extend_from_slice(reader.take(4)?),
            Self::Ipv6 => out.extend_from_slice(reader.take(16)?),
            Self::Name | Self::Host => name::read_into(reader, out)?,
            Self::Text => read_text(reader, out)?,
            Self::Texts => {
                read_text(reader, out)?;
                while !reader.is_at_end() {
                    read_text(reader, out)?;
                }
            }
            Self::Tag => {
                let start = out.len();
                read_text(reader, out)?;
                let tag = out.get_mut(start + 1..).unwrap_or_default();
                tag.make_ascii_lowercase();
                if tag.is_empty() || !tag.iter().all(u8::is_ascii_alphanumeric) {
                    return Err(Malformed("a tag is not of letters and digits"));
                }
            }
            Self::Remainder => out.extend_from_slice(reader.rest()),
            Self::Hex | Self::Base64 => match reader.rest() {
                [] => return Err(Malformed("it ends too early")),
                bytes => out.extend_from_slice(bytes),
            },
            Self::Loc => loc::read(reader, out)?,
            Self::Params => svcb::read(reader, out)?,
        }
        Ok(())
    }

    /// Whether bytes of the field may differ that mean the same.
    pub fn folds(self) -> bool {
        matches!(self, Self::Name | Self::Host | Self::Tag | Self::Loc)
    }

    /// Appends the field at the reader as it stands, a name uncompressed.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn copy(self, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::Name | Self::Host => name::copy_into(reader, out),
            Self::Tag => read_text(reader, out),
            Self::Loc => {
                out.extend_from_slice(reader.rest());
                Ok(())
            }
            _ => self.read(reader, out),
        }
    }

    /// Appends the canonical spelling of the field at the reader of a canonical wire form.
    ///
    /// # Errors
    /// When the wire form is not canonical.
    pub fn print(self, reader: &mut Reader<'_>, out: &mut String) -> Result<(), Malformed> {
        match self {
            Self::U8 | Self::Mnemonic(_) => print_number(reader.u8()?.into(), out),
            Self::U16 => print_number(reader.u16()?.into(), out),
            Self::U32 | Self::Time => print_number(reader.u32()?, out),
            Self::Ipv4 => print_display(Ipv4Addr::from(reader.u32()?), out),
            Self::Ipv6 => print_display(Ipv6Addr::from(reader.u128()?), out),
            Self::Name | Self::Host => print_name(reader, out)?,
            Self::Text => print_text(reader.text()?, out),
            Self::Texts => {
                print_text(reader.text()?, out);
                while !reader.is_at_end() {
                    out.push(' ');
                    print_text(reader.text()?, out);
                }
            }
            Self::Tag => out.extend(reader.text()?.iter().copied().map(char::from)),
            Self::Remainder => print_text(reader.rest(), out),
            Self::Hex => print_hex(reader.rest(), out),
            Self::Base64 => print_base64(reader.rest(), out),
            Self::Loc => loc::print(reader, out)?,
            Self::Params => svcb::print(reader, svcb::Spelling::Canonical, out)?,
        }
        Ok(())
    }
}

fn take_all<'a, 'b>(words: &mut &'a [Word<'b>]) -> &'a [Word<'b>] {
    std::mem::take(words)
}

fn non_empty(
    parse: fn(&[Word<'_>], &mut Vec<u8>) -> Result<(), String>,
    words: &[Word<'_>],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let start = out.len();
    parse(words, out)?;
    if out.len() == start { Err("must not be empty".to_owned()) } else { Ok(()) }
}

fn not_a(what: &str, text: &str) -> String {
    format!("`{}` is no {what}", shorten(text))
}

/// A decimal number, digits only.
pub fn number(text: &str, most: u32) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let value = digits.then(|| text.parse::<u32>().ok()).flatten().filter(|it| *it <= most);
    value.ok_or_else(|| format!("must be a number from 0 to {most}, not `{}`", shorten(text)))
}

fn narrow<T: TryFrom<u32>>(value: u32) -> Result<T, String> {
    T::try_from(value).map_err(|_| format!("{value} is too large"))
}

fn mnemonic(text: &str, names: &[(&str, u8)]) -> Result<u8, String> {
    let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
    named.map_or_else(|| number(text, u8::MAX.into()).and_then(narrow), Ok)
}

fn parse_tag(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if text.is_empty() || !text.bytes().all(|it| it.is_ascii_alphanumeric()) {
        return Err(format!("must be letters and digits, such as issue, not `{}`", shorten(text)));
    }
    counted(text, out)?;
    let start = out.len() - text.len();
    out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
    Ok(())
}

/// One string with its length.
pub fn counted(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    out.push(0);
    parse_text(text, out)?;
    let length = u8::try_from(out.len() - start - 1);
    match (length, out.get_mut(start)) {
        (Ok(length), Some(slot)) => {
            *slot = length;
            Ok(())
        }
        _ => Err("has more than 255 bytes".to_owned()),
    }
}

/// A string of any length, in parts of 255 bytes.
fn parse_long_text(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if text.len() <= 255 {
        return counted(text, out);
    }
    let mut bytes = Vec::with_capacity(text.len());
    parse_text(text, &mut bytes)?;
    for part in bytes.chunks(255) {
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(part);
    }
    Ok(())
}

fn read_text(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let text = reader.text()?;
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
    Ok(())
}

fn print_number(value: u32, out: &mut String) {
    print_display(value, out);
}

/// Appends what `value` displays as.
pub fn print_display(value: impl std::fmt::Display, out: &mut String) {
    use std::fmt::Write;
    // Writing into a string cannot fail.
    let _ = write!(out, "{value}");
}

fn print_name(reader: &mut Reader<'_>, out: &mut String) -> Result<(), Malformed> {
    let start = reader.position();
    let mut probe = *reader;
    loop {
        match probe.u8()? {
            0 => break,
            length @ 1..=63 => probe.take(usize::from(length))?,
            _ => return Err(Malformed("a name is not canonical")),
        };
    }
    name::write_into(reader.take(probe.position() - start)?, out);
    Ok(())
}
