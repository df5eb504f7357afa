//! How a value may be spelled, and how spellings that are broken over lines are found.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use trueup_core::value::Json;

/// Characters of base64 or base32 below which a part of it may well be something else: 30 bits.
const SHORTEST_BASE64: usize = 5;
const SHORTEST_BASE32: usize = 6;

/// A text as it stands, in JSON, in a URL, in base64 and in hex. The same places mean the same spelling.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let json = Json::from(text).to_string();
    let json = json.trim_matches('"').to_owned();
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_' | b'~');
    let percent = |space: &str| {
        bytes.iter().fold(String::new(), |mut out, byte| {
            match *byte {
                b' ' => out.push_str(space),
                it if plain(it) => out.push(char::from(it)),
                it => {
                    let _ = write!(out, "%{it:02X}");
                }
            }
            out
        })
    };
    let hex = bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    });
    let all = bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "%{byte:02X}");
        out
    });
    let escaped = text.encode_utf16().fold(String::new(), |mut out, unit| {
        match u8::try_from(unit) {
            Ok(plain) if plain.is_ascii_alphanumeric() => out.push(char::from(plain)),
            _ => {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        out
    });
    let more = [
        percent("%20").replace('%', "%25"),
        lower(&percent("%20")),
        lower(&all),
        all,
        hex.to_uppercase(),
        json.replace('/', "\\/"),
        escaped,
        text.to_uppercase(),
        text.to_lowercase(),
    ];
    let base64 = [STANDARD.encode(bytes), STANDARD_NO_PAD.encode(bytes), URL_SAFE.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)];
    // Where these stand in JSON that escapes slashes, or in a form.
    let standard = STANDARD.encode(bytes);
    let escaped_base64 = [standard.replace('/', "\\/"), standard.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")];
    let all = [text.to_owned(), json, percent("%20"), percent("+"), hex].into_iter().chain(base64).chain(more);
    all.chain(escaped_base64).chain(base32s(bytes)).collect()
}

/// Percent-encoded text with its digits in lower case.
fn lower(text: &str) -> String {
    let mut left = 0;
    let digit = |it: char| {
        let inside = left > 0;
        left = if it == '%' { 2 } else { usize::saturating_sub(left, 1) };
        if inside { it.to_ascii_lowercase() } else { it }
    };
    text.chars().map(digit).collect()
}

/// Every base32 of `bytes`: both alphabets, with and without padding, in both cases.
fn base32s(bytes: &[u8]) -> impl Iterator<Item = String> {
    let all = [false, true].map(|hex| {
        let plain = base32(bytes, hex);
        let padded = format!("{plain}{}", "=".repeat((8 - plain.len() % 8) % 8));
        [padded.to_lowercase(), plain.to_lowercase(), padded, plain]
    });
    all.into_iter().flatten()
}

/// RFC 4648's base32 without padding; `hex` is its alphabet that begins with digits.
pub(super) fn base32(bytes: &[u8], hex: bool) -> String {
    let alphabet: &[u8; 32] = if hex { b"0123456789ABCDEFGHIJKLMNOPQRSTUV" } else { b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" };
    let (mut out, mut bits, mut held) = (String::with_capacity(bytes.len() * 8 / 5 + 1), 0_u32, 0_u32);
    let mut push = |five: u32| out.push(alphabet.get(five as usize & 31).copied().map_or('A', char::from));
    for byte in bytes {
        held = ((held << 8) | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(held >> bits);
        }
    }
    if bits > 0 {
        push(held << (5 - bits));
    }
    out
}

/// The characters that base64 and base32 of any text have where `value` stands in it, without those that its neighbours share;
/// in all alphabets.
pub(super) fn inside(value: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    // A group of base64 is three bytes, one of base32 five.
    for (group, bits, shortest) in [(3, 6, SHORTEST_BASE64), (5, 5, SHORTEST_BASE32)] {
        for skip in 0..group {
            let shifted = [vec![0; skip].as_slice(), value].concat();
            let (first, whole) = ((skip * 8).div_ceil(bits), shifted.len() * 8 / bits);
            let spelled = match group {
                3 => vec![STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)],
                _ => {
                    let both = [base32(&shifted, false), base32(&shifted, true)];
                    both.iter().map(|it| it.to_lowercase()).chain(both.clone()).collect()
                }
            };
            let part = |it: String| it.get(first.min(whole)..whole).unwrap_or_default().to_owned();
            all.extend(spelled.into_iter().map(part).filter(|it| it.len() >= shortest));
        }
    }
    all.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    all.dedup();
    all
}

/// Spellings that mail, PEM and YAML break over lines, and what stands for each.
#[derive(Default)]
pub(super) struct Wrapped(Vec<(String, String)>);

impl Wrapped {
    pub(super) fn add(&mut self, value: &str, shown: &str) {
        let all = |text: &str| -> Vec<String> {
            let bytes = text.as_bytes();
            let hex = bytes.iter().fold(String::new(), |mut out, byte| {
                let _ = write!(out, "{byte:02x}");
                out
            });
            let base64 =
                [STANDARD.encode(bytes), STANDARD_NO_PAD.encode(bytes), URL_SAFE.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)];
            base64.into_iter().chain(base32s(bytes)).chain([hex.to_uppercase(), hex]).collect()
        };
        self.0.extend(all(value).into_iter().zip(all(shown)));
        self.0.extend(inside(value.as_bytes()).into_iter().map(|it| (it.clone(), "x".repeat(it.len()))));
    }

    /// Longest first; to be done once all are there.
    pub(super) fn sort(&mut self) {
        self.0.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.0.cmp(&other.0)));
        self.0.dedup_by(|one, other| one.0 == other.0);
    }

    /// Cuts what is broken over lines; the lines become one there.
    pub(super) fn cut(&self, text: String) -> String {
        let breaks = text.contains(['\n', '\r']) || text.contains("\\n") || text.contains("\\r");
        if self.0.is_empty() || !breaks {
            return text;
        }
        let (flat, places) = flat(&text);
        let mut found: Vec<(usize, usize, &str)> = Vec::new();
        for (value, shown) in &self.0 {
            for (at, _) in flat.match_indices(value.as_str()) {
                let (Some(start), Some(last)) = (places.get(at), places.get(at + value.len() - 1)) else { continue };
                let end = last + 1;
                // What stands in one line is found by itself.
                if end - start > value.len() && !found.iter().any(|it| it.0 < end && *start < it.1) {
                    found.push((*start, end, shown));
                }
            }
        }
        found.sort_unstable();
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        for (start, end, shown) in found {
            out.push_str(text.get(from..start).unwrap_or_default());
            out.push_str(shown);
            from = end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        out
    }
}

/// `text` without line breaks (raw, or escaped any number of times) and what indents the next line, and where each byte stood.
fn flat(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut places) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let escapes = rest.len() - rest.trim_start_matches('\\').len();
        let broken = match rest.get(escapes..).and_then(|it| it.chars().next()) {
            Some('n' | 'r') if escapes > 0 => Some(escapes + 1),
            Some('\n' | '\r') if escapes == 0 => Some(1),
            _ => None,
        };
        let at = text.len() - rest.len();
        let step = match broken {
            Some(length) => {
                let after = rest.get(length..).unwrap_or_default();
                rest.len() - after.trim_start_matches([' ', '\t']).len()
            }
            // All at once, or many of them would be counted many times.
            None if escapes > 0 => {
                out.push_str(rest.get(..escapes).unwrap_or_default());
                places.extend(at..at + escapes);
                escapes
            }
            None => {
                out.push(first);
                places.extend(at..at + first.len_utf8());
                first.len_utf8()
            }
        };
        rest = rest.get(step..).unwrap_or_default();
    }
    (out, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_its_rfc() {
        let rfc = [
            ("", "", ""),
            ("f", "MY", "CO"),
            ("fo", "MZXQ", "CPNG"),
            ("foo", "MZXW6", "CPNMU"),
            ("foobar", "MZXW6YTBOI", "CPNMUOJ1E8"),
        ];
        for (text, plain, hex) in rfc {
            assert_eq!(
                (base32(text.as_bytes(), false), base32(text.as_bytes(), true)),
                (plain.to_owned(), hex.to_owned()),
                "{text}"
            );
        }
    }
}
