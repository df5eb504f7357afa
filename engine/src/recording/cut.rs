//! Cuts secrets out of what is recorded, in every spelling in which an API may carry them.
//!
//! A long value is looked for everywhere, as a part of other text too. A short one that a provider calls sensitive would be found
//! in half of all texts; it is cut where it stands as a word of its own ([`words`]). What is packed is unpacked first, and what
//! cannot be unpacked makes the recording fail.

mod loose;
mod packed;
mod spelling;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trueup_core::value::{Digest, Json};

use self::loose::Loose;
use self::spelling::{Wrapped, inside, spellings};

/// Bytes below which a secret cannot be told from other text: of a shorter one, base64 of a longer text holds too little.
pub const SHORTEST: usize = 6;
/// The same for what a provider calls sensitive: a shorter one is cut where it is a word of its own only.
const SHORTEST_SENSITIVE: usize = 6;
/// Bytes below which a value cannot even be told as a word of its own.
const SHORTEST_WORD: usize = 2;
/// Bytes from which a short value is cut out of bytes that are no text, whatever stands beside it.
const SHORTEST_BLIND: usize = 4;

/// What stands for a secret: text that survives URLs, JSON and shells as it is. Its length is a multiple of three, so that its
/// base64 is the same with padding and without.
pub fn placeholder(name: &str) -> String {
    padded(format!("trueup-secret-{name}"))
}

fn padded(text: String) -> String {
    let missing = (3 - text.len() % 3) % 3;
    text + "-".repeat(missing).as_str()
}

/// What stands for an observed value that its provider calls sensitive, by its HMAC. For a number it is one, as the plugin that
/// reads it again may take nothing else.
pub fn sensitive(value: &str, hmac: &str) -> String {
    if serde_json::from_str::<serde_json::Number>(value).is_err() {
        return padded(format!("trueup-sensitive-{}", hmac.get(..16).unwrap_or(hmac)));
    }
    let drawn = hmac.get(..12).and_then(|it| u64::from_str_radix(it, 16).ok()).unwrap_or_default();
    let sign = if value.starts_with('-') { "-" } else { "" };
    let tail = if value.contains(['.', 'e', 'E']) { ".5" } else { "" };
    format!("{sign}{}{tail}", 100_000_000 + drawn % 900_000_000)
}

/// Whether a sensitive value is too short, or too common, to be cut out at all.
pub fn is_too_short(value: &str) -> bool {
    matches!(value, "true" | "false") || (1..SHORTEST_WORD).contains(&value.len())
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
    /// Values and what stands for each, longest first, found however their characters are escaped.
    loose: Vec<(Loose, String)>,
    /// What base64 and base32 of a longer text hold of a value, whatever stands before it.
    inside: Vec<String>,
    /// Spellings that may be broken over lines.
    wrapped: Wrapped,
    /// Short values, cut where they are words of their own.
    words: Vec<(String, String)>,
    /// For bytes that are no text: values as they stand, in UTF-16 too.
    plain: Vec<Vec<u8>>,
    /// The same of short values.
    short: Vec<Vec<u8>>,
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
        for (value, hmac) in sensitives.iter().filter(|(value, _)| !value.is_empty() && *value != "null") {
            let shown = sensitive(value, hmac);
            if secrets.values().any(|it| it == value) {
                continue;
            }
            if value.len() >= SHORTEST_SENSITIVE {
                cut.add(value, &shown);
            } else {
                cut.words.extend(words::spellings(value).into_iter().zip(words::spellings(&shown)));
                cut.short.push(value.as_bytes().to_vec());
            }
        }
        cut.wrapped.sort();
        cut.pairs.extend(handles.iter().map(|(handle, shown)| (handle.clone(), shown.clone())));
        let values = secrets.iter().map(|(name, value)| (value, placeholder(name)));
        let seen = sensitives.iter().filter(|(value, _)| value.len() >= SHORTEST_SENSITIVE && *value != "null");
        let mut values: Vec<_> = values.chain(seen.map(|(value, hmac)| (value, sensitive(value, hmac)))).collect();
        values.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.cmp(other)));
        cut.loose = values.into_iter().filter_map(|(value, shown)| Some((Loose::new(value)?, shown))).collect();
        for pairs in [&mut cut.pairs, &mut cut.words] {
            pairs.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.0.cmp(&other.0)));
            pairs.dedup_by(|one, other| one.0 == other.0);
        }
        cut
    }

    /// SHA-256 of whole values too: who has the digest of a short one has the value.
    pub fn digests<'a>(mut self, values: impl IntoIterator<Item = &'a String>) -> Self {
        let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
        let values: BTreeSet<&String> = values.into_iter().collect();
        let digests: Vec<_> = values.into_iter().map(|it| (digest(it), digest(&self.text(it)))).collect();
        self.pairs.extend(digests);
        self
    }

    fn add(&mut self, value: &str, shown: &str) {
        self.pairs.extend(spellings(value).into_iter().zip(spellings(shown)));
        self.wrapped.add(value, shown);
        let bytes = value.as_bytes();
        self.plain.push(bytes.to_vec());
        self.plain.push(value.encode_utf16().flat_map(u16::to_le_bytes).collect());
        self.plain.push(value.encode_utf16().flat_map(u16::to_be_bytes).collect());
        self.inside.extend(inside(bytes));
    }

    /// Whether there is nothing to cut.
    fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.words.is_empty()
    }

    /// `text` without them.
    pub fn text(&self, text: &str) -> String {
        words::cut(self.long(text), &self.words)
    }

    /// As [`Cut::text`] without the short values.
    fn long(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (value, shown) in &self.pairs {
            if out.contains(value.as_str()) {
                out = out.replace(value.as_str(), shown);
            }
        }
        // Nothing can stand in for a part of other base64: the replay may part there, and the secret does not.
        for part in &self.inside {
            if out.contains(part.as_str()) {
                out = out.replace(part.as_str(), &"x".repeat(part.len()));
            }
        }
        self.loose.iter().fold(self.wrapped.cut(out), |text, (value, shown)| loose(text, value, shown))
    }

    /// As [`Cut::text`] for what may be text, or packed with gzip.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return self.text(text).into_bytes();
        }
        self.unpacked(bytes).unwrap_or_else(|| self.blind(bytes))
    }

    /// What gzip packed, cut and packed again; none where it is not gzip. What holds nothing stays byte for byte.
    fn unpacked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let inner = packed::gunzip(bytes)?;
        let cut = self.bytes(&inner);
        Some(if cut == inner { bytes.to_vec() } else { packed::gzip(&cut) })
    }

    /// Bytes of another form keep their length, as counts within them may speak of it.
    fn blind(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let spelled = self.pairs.iter().map(|it| it.0.as_bytes()).chain(self.inside.iter().map(String::as_bytes));
        for value in spelled.chain(self.plain.iter().map(Vec::as_slice)) {
            stars(&mut out, value, |_, _| true);
        }
        for (value, _) in &self.loose {
            let mut from = 0;
            while let Some(at) = value.find(&out, from) {
                from = at.end;
                out.iter_mut().take(at.end).skip(at.start).for_each(|it| *it = b'*');
            }
        }
        let apart = |byte: Option<&u8>| byte.is_none_or(|it| !it.is_ascii_alphanumeric());
        for value in &self.short {
            stars(&mut out, value, |before, after| value.len() >= SHORTEST_BLIND || (apart(before) && apart(after)));
        }
        out
    }

    /// Every text in `value`, keys and bytes too.
    ///
    /// # Errors
    ///
    /// Where a body is packed in a way that nothing can be looked for in; in words.
    pub fn json(&self, value: &mut Json) -> Result<(), String> {
        match value {
            Json::String(text) => *text = self.text(text),
            Json::Array(items) => items.iter_mut().try_for_each(|it| self.json(it))?,
            Json::Object(fields) => {
                if let Some(Json::String(text)) = fields.get_mut("$base64") {
                    if let Ok(bytes) = STANDARD.decode(text.as_bytes()) {
                        *text = STANDARD.encode(self.bytes(&bytes));
                    }
                    return Ok(());
                }
                if let Some(encoding) = packed::encoding(fields).filter(|_| !self.is_empty()) {
                    packed::open(fields, &encoding, &|bytes| self.bytes(bytes))?;
                }
                for (key, mut it) in std::mem::take(fields) {
                    self.json(&mut it)?;
                    fields.insert(self.text(&key), it);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Puts `shown` wherever a value stands.
fn loose(text: String, value: &Loose, shown: &str) -> String {
    let (mut out, mut from) = (String::new(), 0);
    while let Some(found) = value.find(text.as_bytes(), from) {
        let (mut start, mut end) = (found.start, found.end);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        out.push_str(text.get(from..start).unwrap_or_default());
        out.push_str(shown);
        from = end;
    }
    if from == 0 {
        return text;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// Puts stars over `value` wherever `here` agrees to what stands before and after it.
fn stars(out: &mut [u8], value: &[u8], here: impl Fn(Option<&u8>, Option<&u8>) -> bool) {
    let Some(first) = value.first() else { return };
    let mut from = 0;
    while let Some(at) = out.get(from..).and_then(|rest| rest.iter().position(|it| it == first)) {
        let (start, end) = (from + at, from + at + value.len());
        if out.get(start..end) == Some(value) && here(start.checked_sub(1).and_then(|it| out.get(it)), out.get(end)) {
            out.iter_mut().skip(start).take(value.len()).for_each(|it| *it = b'*');
        }
        from = start + 1;
    }
}

/// Digests of contents before and after they were cut: whoever has that of a short secret tries until it fits.
#[derive(Default)]
pub struct Digests(HashMap<String, String>);

impl Digests {
    /// Takes every content that stands in `value` and is another one when it is cut.
    pub fn take(&mut self, value: &Json, cut: &Cut) {
        match value {
            Json::Array(items) => items.iter().for_each(|it| self.take(it, cut)),
            Json::Object(fields) => {
                let packed = fields.get("$base64").and_then(Json::as_str).and_then(|it| STANDARD.decode(it).ok());
                let bytes = fields.get("$text").and_then(Json::as_str).map(|it| it.as_bytes().to_vec()).or(packed);
                if let Some(bytes) = bytes {
                    let after = cut.bytes(&bytes);
                    if after != bytes {
                        self.0.insert(Digest::of(&bytes).to_string(), Digest::of(&after).to_string());
                    }
                }
                fields.values().for_each(|it| self.take(it, cut));
            }
            _ => {}
        }
    }

    /// Puts the digests after the cut in place of those before, where one is a whole text.
    pub fn put(&self, value: &mut Json) {
        match value {
            Json::String(text) => {
                if let Some(after) = self.0.get(text.as_str()) {
                    text.clone_from(after);
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|it| self.put(it)),
            Json::Object(fields) => fields.values_mut().for_each(|it| self.put(it)),
            _ => {}
        }
    }
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
mod tests;
