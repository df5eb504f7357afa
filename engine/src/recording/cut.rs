//! Cuts secrets out of what is recorded, in every spelling in which an API may carry them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use trueup_core::value::{Digest, Json};

/// Bytes below which a secret cannot be told from other text.
pub const SHORTEST: usize = 4;
/// The same for what a provider calls sensitive: it is cut where it stands, and elsewhere only where it is not a common word.
const SHORTEST_SENSITIVE: usize = 6;

/// Characters of base64 below which a part of it may well be something else.
const SHORTEST_INSIDE: usize = 5;

/// What stands for a secret: text that survives URLs, JSON and shells as it is. Its length is a multiple of three, so that its
/// base64 is the same with padding and without.
pub fn placeholder(name: &str) -> String {
    padded(format!("trueup-secret-{name}"))
}

fn padded(text: String) -> String {
    let missing = (3 - text.len() % 3) % 3;
    text + "-".repeat(missing).as_str()
}

/// What stands for an observed value that its provider calls sensitive, by its HMAC.
pub fn sensitive(hmac: &str) -> String {
    padded(format!("trueup-sensitive-{}", hmac.get(..16).unwrap_or(hmac)))
}

/// What stands for a handle that a run drew.
pub fn handle(name: &str, hmac: &str) -> String {
    format!("trueup-handle-{name}-{}", hmac.get(..16).unwrap_or(hmac))
}

/// What stands for the token of a change.
pub const TOKEN: &str = "trueup-token";

/// Texts and what stands for each.
#[derive(Default)]
pub struct Cut {
    /// Longest first: a secret may hold another one.
    pairs: Vec<(String, String)>,
    /// Plain values, for bytes that are no text.
    plain: Vec<Vec<u8>>,
    /// What base64 of a longer text holds of a value, whatever stands before it.
    inside: Vec<String>,
}

impl Cut {
    /// From secrets by name, observed values with their HMACs, and whole texts that are replaced as they stand.
    pub fn new(
        secrets: &BTreeMap<String, String>,
        sensitives: &BTreeMap<String, String>,
        handles: &BTreeMap<String, String>,
    ) -> Self {
        let mut cut = Self::default();
        for (name, value) in secrets {
            cut.add(value, &placeholder(name));
        }
        for (value, hmac) in sensitives.iter().filter(|(value, _)| value.len() >= SHORTEST_SENSITIVE) {
            if !secrets.values().any(|it| it == value) {
                cut.add(value, &sensitive(hmac));
            }
        }
        cut.pairs.extend(handles.iter().map(|(handle, shown)| (handle.clone(), shown.clone())));
        cut.pairs.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.0.cmp(&other.0)));
        cut.pairs.dedup_by(|one, other| one.0 == other.0);
        cut
    }

    /// SHA-256 of whole values too: who has the digest of a short one has the value.
    pub fn digests(mut self, values: &BTreeSet<String>) -> Self {
        let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
        let digests: Vec<_> = values.iter().map(|it| (digest(it), digest(&self.text(it)))).collect();
        self.pairs.extend(digests);
        self
    }

    fn add(&mut self, value: &str, shown: &str) {
        let all = |text: &str| spellings(text);
        self.pairs.extend(all(value).into_iter().zip(all(shown)));
        self.plain.push(value.as_bytes().to_vec());
        self.inside.extend((0..3).flat_map(|skip| inside(value.as_bytes(), skip)));
    }

    /// `text` without them.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (value, shown) in &self.pairs {
            if out.contains(value.as_str()) {
                out = out.replace(value.as_str(), shown);
            }
        }
        // Nothing can stand in for a part of other base64: the replay may part there, and the secret does not.
        for part in self.inside.iter().filter(|it| it.len() >= SHORTEST_INSIDE) {
            if out.contains(part.as_str()) {
                out = out.replace(part.as_str(), &"x".repeat(part.len()));
            }
        }
        out
    }

    /// As [`Cut::text`] for what may be text.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text).into_bytes(),
            Err(_) => self.blind(bytes),
        }
    }

    /// Bytes of another form keep their length, as counts within them may speak of it.
    fn blind(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for value in &self.plain {
            while let Some(at) = out.windows(value.len()).position(|it| it == value.as_slice()) {
                out.iter_mut().skip(at).take(value.len()).for_each(|it| *it = b'*');
            }
        }
        out
    }

    /// Every text in `value`, keys and bytes too.
    pub fn json(&self, value: &mut Json) {
        match value {
            Json::String(text) => *text = self.text(text),
            Json::Array(items) => items.iter_mut().for_each(|it| self.json(it)),
            Json::Object(fields) => {
                if let Some(Json::String(text)) = fields.get_mut("$base64") {
                    if let Ok(bytes) = STANDARD.decode(text.as_bytes()) {
                        *text = STANDARD.encode(self.blind(&bytes));
                    }
                    return;
                }
                let kept = std::mem::take(fields);
                fields.extend(kept.into_iter().map(|(key, mut it)| {
                    self.json(&mut it);
                    (self.text(&key), it)
                }));
            }
            _ => {}
        }
    }
}

/// A text as it stands, in JSON, in a URL, in base64 and in hex. The same places mean the same spelling.
fn spellings(text: &str) -> Vec<String> {
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
    [text.to_owned(), json, percent("%20"), percent("+"), hex].into_iter().chain(base64).chain(more).collect()
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

/// Takes the values of cookies out of a request or an answer: a session is a credential that nobody named.
pub fn cookies(value: &mut Json) {
    for place in ["/headers", "/Ok/headers"] {
        let headers = value.pointer_mut(place).and_then(Json::as_array_mut);
        for header in headers.into_iter().flatten().filter_map(Json::as_array_mut) {
            let name = header.first().and_then(Json::as_str).map(str::to_ascii_lowercase);
            if let (Some("cookie" | "set-cookie"), Some(value)) = (name.as_deref(), header.get_mut(1)) {
                *value = Json::from("trueup-cookie");
            }
        }
    }
}

/// The characters that base64 of any text has where `value` stands `skip` bytes behind a group's beginning, without those that
/// its neighbours share; in both alphabets.
fn inside(value: &[u8], skip: usize) -> [String; 2] {
    let shifted = [vec![0; skip].as_slice(), value].concat();
    let whole = shifted.len() / 3 * 4;
    let first = (skip * 8).div_ceil(6);
    let part = |text: String| text.get(first.min(whole)..whole).unwrap_or_default().to_owned();
    [part(STANDARD.encode(&shifted)), part(URL_SAFE.encode(&shifted))]
}

/// Puts one text for another wherever it stands.
pub fn swap(value: &mut Json, from: &str, to: &str) {
    match value {
        Json::String(text) if text.contains(from) => *text = text.replace(from, to),
        Json::Array(items) => items.iter_mut().for_each(|it| swap(it, from, to)),
        Json::Object(fields) => fields.values_mut().for_each(|it| swap(it, from, to)),
        _ => {}
    }
}

/// By what a question is found again: who asks what, in which function.
pub fn key(provider: &str, function: &str, import: &str, question: &Json) -> Digest {
    Digest::of_json(&serde_json::json!([provider, function, import, question]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_cut_in_every_spelling_and_the_replay_spells_its_stand_in_the_same_way() {
        let value = "p\"a ss/ö";
        let cut = Cut::new(&BTreeMap::from([("db".into(), value.into())]), &BTreeMap::new(), &BTreeMap::new());
        let whole = |text: &str| spellings(text).join("|");
        assert_eq!(cut.text(&whole(value)), whole(&placeholder("db")));
        let mut recorded =
            json!({"body": {"$text": format!("{{\"x\":{}}}", json!(value))}, "url": format!("?p={value}"), value: 1});
        cut.json(&mut recorded);
        assert!(!recorded.to_string().contains("ss/"), "{recorded}");
    }

    #[test]
    fn base64_of_a_longer_text_does_not_carry_it_out() {
        let cut = Cut::new(&BTreeMap::from([("k".into(), "hunter2-hunter2".into())]), &BTreeMap::new(), &BTreeMap::new());
        for before in ["", "u", "us", "use", "user:"] {
            for after in ["", "@", "@h", "@host"] {
                let packed = cut.text(&STANDARD.encode(format!("{before}hunter2-hunter2{after}")));
                let open =
                    STANDARD_NO_PAD.decode(packed.trim_end_matches('=')).map(|it| String::from_utf8_lossy(&it).into_owned());
                assert!(!open.unwrap_or_default().contains("unter2-hunter"), "{before} {after}: {packed}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_keep_their_length() {
        let cut = Cut::new(&BTreeMap::from([("k".into(), "hunter2".into())]), &BTreeMap::new(), &BTreeMap::new());
        let bytes = [&[0xff][..], b"hunter2", &[0xfe]].concat();
        let mut packed = json!({"$base64": STANDARD.encode(&bytes)});
        cut.json(&mut packed);
        assert_eq!(STANDARD.decode(packed["$base64"].as_str().unwrap()).unwrap(), [&[0xff][..], b"*******", &[0xfe]].concat());
    }

    #[test]
    fn a_longer_secret_that_holds_a_shorter_one_is_cut_first() {
        let secrets = BTreeMap::from([("a".into(), "abcd".into()), ("b".into(), "abcdefgh".into())]);
        let cut = Cut::new(&secrets, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(cut.text("abcdefgh abcd"), format!("{} {}", placeholder("b"), placeholder("a")));
    }
}
