//! Hex, base64, character strings and times, as they stand in master files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::lex::Word;
use crate::name::{escape_byte, shorten, unescape};

/// Longest TTL, in seconds (RFC 2181 §8).
pub const MAX_TTL: u32 = 0x7fff_ffff;

/// Appends the bytes of hex digits that may stand in several words.
///
/// # Errors
/// For what is no hex digit, and for half a byte.
pub fn parse_hex(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), String> {
    let mut high: Option<u8> = None;
    for character in words.iter().flat_map(|it| it.text.chars()) {
        let digit = character.to_digit(16).and_then(|it| u8::try_from(it).ok());
        let digit = digit.ok_or_else(|| format!("`{}` is no hex digit", character.escape_debug()))?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => out.push(high << 4 | digit),
        }
    }
    if high.is_some() { Err("an odd number of hex digits".to_owned()) } else { Ok(()) }
}

pub fn print_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
        }
    }
}

/// Appends the bytes of base64 that may stand in several words.
///
/// # Errors
/// For what is no base64.
pub fn parse_base64(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), String> {
    let text = words.iter().map(|it| it.text).collect::<String>();
    STANDARD.decode_vec(text, out).map_err(|_| "is no base64".to_owned())
}

pub fn print_base64(bytes: &[u8], out: &mut String) {
    STANDARD.encode_string(bytes, out);
}

/// Appends the bytes that a word means, without its escapes.
///
/// # Errors
/// For an escape that is none.
pub fn parse_text(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut bytes = text.as_bytes();
    if !bytes.contains(&b'\\') {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        if byte == b'\\' {
            let (value, rest) = unescape(bytes)?;
            out.push(value);
            bytes = rest;
        } else {
            out.push(byte);
        }
    }
    Ok(())
}

/// Appends bytes in quotes.
pub fn print_text(bytes: &[u8], out: &mut String) {
    out.push('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            0x20..=0x7e => out.push(char::from(byte)),
            _ => escape_byte(byte, out),
        }
    }
    out.push('"');
}

/// Reads seconds, or a sum with units: `300`, `1h30m`, `1W`.
///
/// # Errors
/// For what is no time, and above 2³¹−1 seconds.
pub fn parse_ttl(text: &str) -> Result<u32, String> {
    parse_time(text, MAX_TTL)
}

/// As [`parse_ttl`], up to `most` seconds.
///
/// # Errors
/// For what is no time, and above `most`.
pub fn parse_time(text: &str, most: u32) -> Result<u32, String> {
    let wrong = || format!("`{}` is no time: write seconds, or units as in 1w2d3h4m5s", shorten(text));
    let (mut total, mut number, mut units) = (0_u64, None::<u64>, false);
    for byte in text.bytes() {
        if byte.is_ascii_digit() {
            number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(byte - b'0')));
            continue;
        }
        let unit = match byte.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return Err(wrong()),
        };
        total = total.saturating_add(number.take().ok_or_else(wrong)?.saturating_mul(unit));
        units = true;
    }
    let rest = match number {
        Some(_) if units => return Err(wrong()),
        Some(seconds) => seconds,
        None if units => 0,
        None => return Err(wrong()),
    };
    let seconds = u32::try_from(total.saturating_add(rest)).ok().filter(|it| *it <= most);
    seconds.ok_or_else(|| format!("`{}` is more than {most} seconds", shorten(text)))
}
