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
    /// Whole texts that are replaced as they stand: handles, digests.
    pairs: Vec<(String, String)>,
    /// Longest first, each in all its spellings: a secret may hold another one, which would tear it apart.
    values: Vec<Value>,
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

/// A value that is looked for everywhere.
struct Value {
    /// Spellings and what stands for each, longest first, but for those that `loose` finds and replaces in the same way.
    exact: Vec<(String, String)>,
    /// Found however its characters are escaped.
    loose: Option<Loose>,
    shown: String,
}

impl Value {
    fn new(value: &str, shown: &str) -> Self {
        let loose = Loose::new(value);
        let found = |text: &str| loose.as_ref().and_then(|it| it.find(text.as_bytes(), 0)) == Some(0..text.len());
        let mut exact: Vec<(String, String)> = spellings(value).into_iter().zip(spellings(shown)).collect();
        longest_first(&mut exact);
        exact.retain(|(text, stands)| stands != shown || !found(text));
        Self { exact, loose, shown: shown.to_owned() }
    }

    fn cut(&self, mut text: String) -> String {
        for (value, shown) in &self.exact {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), shown);
            }
        }
        match &self.loose {
            Some(value) => loose(text, value, &self.shown),
            None => text,
        }
    }
}

/// Each text once.
fn longest_first(pairs: &mut Vec<(String, String)>) {
    pairs.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.0.cmp(&other.0)));
    pairs.dedup_by(|one, other| one.0 == other.0);
}

impl Cut {
    /// From secrets by name, observed values with their HMACs, and whole texts that are replaced as they stand.
    pub fn new(
        secrets: &BTreeMap<String, String>,
        sensitives: &BTreeMap<String, String>,
        handles: &BTreeMap<String, String>,
    ) -> Self {
        let mut cut = Self::default();
        let mut long: Vec<(&String, String)> = secrets.iter().map(|(name, value)| (value, placeholder(name))).collect();
        for (value, hmac) in sensitives.iter().filter(|(value, _)| !value.is_empty() && *value != "null") {
            let shown = sensitive(value, hmac);
            if secrets.values().any(|it| it == value) {
                continue;
            }
            if value.len() >= SHORTEST_SENSITIVE {
                long.push((value, shown));
            } else {
                cut.words.extend(words::spellings(value).into_iter().zip(words::spellings(&shown)));
                cut.short.push(value.as_bytes().to_vec());
            }
        }
        long.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.cmp(other)));
        long.iter().for_each(|(value, shown)| cut.add(value, shown));
        cut.wrapped.sort();
        cut.pairs.extend(handles.iter().map(|(handle, shown)| (handle.clone(), shown.clone())));
        [&mut cut.pairs, &mut cut.words].into_iter().for_each(longest_first);
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

    /// Takes one value; longer ones come first.
    fn add(&mut self, value: &str, shown: &str) {
        self.values.push(Value::new(value, shown));
        self.wrapped.add(value, shown);
        let bytes = value.as_bytes();
        self.plain.push(bytes.to_vec());
        self.plain.push(value.encode_utf16().flat_map(u16::to_le_bytes).collect());
        self.plain.push(value.encode_utf16().flat_map(u16::to_be_bytes).collect());
        self.inside.extend(inside(bytes));
    }

    /// Whether there is nothing to cut.
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.pairs.is_empty() && self.words.is_empty()
    }

    /// `text` without them.
    pub fn text(&self, text: &str) -> String {
        words::cut(self.long(text), &self.words)
    }

    /// As [`Cut::text`] without the short values.
    fn long(&self, text: &str) -> String {
        let mut out = self.wrapped.cut(text.to_owned());
        for (value, shown) in &self.pairs {
            if out.contains(value.as_str()) {
                out = out.replace(value.as_str(), shown);
            }
        }
        out = self.values.iter().fold(out, |text, it| it.cut(text));
        // Nothing can stand in for a part of other base64: the replay may part there, and the secret does not.
        for part in &self.inside {
            if out.contains(part.as_str()) {
                out = out.replace(part.as_str(), &"x".repeat(part.len()));
            }
        }
        out
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
        let exact = self.pairs.iter().chain(self.values.iter().flat_map(|it| &it.exact)).map(|it| it.0.as_bytes());
        for value in exact.chain(self.inside.iter().map(String::as_bytes)).chain(self.plain.iter().map(Vec::as_slice)) {
            stars(&mut out, bytes, value, |_, _| true);
        }
        for value in self.values.iter().filter_map(|it| it.loose.as_ref()) {
            let mut from = 0;
            while let Some(at) = value.find(bytes, from) {
                from = at.end;
                out.iter_mut().take(at.end).skip(at.start).for_each(|it| *it = b'*');
            }
        }
        let apart = |byte: Option<&u8>| byte.is_none_or(|it| !it.is_ascii_alphanumeric());
        for value in &self.short {
            stars(&mut out, bytes, value, |before, after| value.len() >= SHORTEST_BLIND || (apart(before) && apart(after)));
        }
        out
    }

    /// Every text in `value`, keys and bytes too. `digests` takes every content that becomes another one.
    ///
    /// # Errors
    ///
    /// Where a body is packed in a way that nothing can be looked for in; in words.
    pub fn json(&self, value: &mut Json, digests: &mut Digests) -> Result<(), String> {
        match value {
            Json::String(text) => *text = self.text(text),
            Json::Array(items) => items.iter_mut().try_for_each(|it| self.json(it, digests))?,
            Json::Object(fields) => {
                if let Some(encoding) = packed::encoding(fields).filter(|_| !self.is_empty()) {
                    let before = fields.get("body").and_then(content);
                    packed::open(fields, &encoding, &|bytes| self.bytes(bytes))?;
                    digests.take(before, fields.get("body").and_then(content));
                }
                for (key, mut it) in std::mem::take(fields) {
                    match (key.as_str(), &mut it) {
                        ("$text" | "$base64", Json::String(text)) => self.content(&key, text, digests),
                        _ => self.json(&mut it, digests)?,
                    }
                    fields.insert(self.text(&key), it);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A content as text, or as bytes.
    fn content(&self, key: &str, text: &mut String, digests: &mut Digests) {
        let Some(before) = bytes_of(key, text) else { return };
        let after = self.bytes(&before);
        if after != before {
            *text = if key == "$text" { String::from_utf8_lossy(&after).into_owned() } else { STANDARD.encode(&after) };
            digests.take(Some(before), Some(after));
        }
    }
}

/// The bytes of a content: of `{"$text": …}` or `{"$base64": …}`.
fn content(value: &Json) -> Option<Vec<u8>> {
    ["$text", "$base64"].into_iter().find_map(|key| bytes_of(key, value.get(key)?.as_str()?))
}

fn bytes_of(key: &str, text: &str) -> Option<Vec<u8>> {
    if key == "$text" { Some(text.as_bytes().to_vec()) } else { STANDARD.decode(text).ok() }
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

/// Puts stars where `value` stands in `bytes`, if `here` agrees to what stands before and after it.
fn stars(out: &mut [u8], bytes: &[u8], value: &[u8], here: impl Fn(Option<&u8>, Option<&u8>) -> bool) {
    let Some(first) = value.first() else { return };
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.iter().position(|it| it == first)) {
        let (start, end) = (from + at, from + at + value.len());
        if bytes.get(start..end) == Some(value) && here(start.checked_sub(1).and_then(|it| bytes.get(it)), bytes.get(end)) {
            out.iter_mut().skip(start).take(value.len()).for_each(|it| *it = b'*');
        }
        from = start + 1;
    }
}

/// Digests of contents before and after they were cut: whoever has that of a short secret tries until it fits.
#[derive(Default)]
pub struct Digests(HashMap<String, String>);

impl Digests {
    /// Takes a content that became another one.
    fn take(&mut self, before: Option<Vec<u8>>, after: Option<Vec<u8>>) {
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            self.0.insert(Digest::of(&before).to_string(), Digest::of(&after).to_string());
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
