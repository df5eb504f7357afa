//! Cuts secrets out of what is recorded, in every spelling in which an API may carry them.
//!
//! A long value is looked for everywhere, as a part of other text too. A short one that a provider calls sensitive would be found
//! in half of all texts; it is cut where it stands as a word of its own ([`words`]). What is packed is unpacked first, and what
//! cannot be unpacked makes the recording fail.

mod packed;
mod spelling;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trueup_core::value::{Digest, Json};

use self::spelling::{Wrapped, inside, spellings};

/// Bytes below which a secret cannot be told from other text.
pub const SHORTEST: usize = 4;
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
        words::cut(self.settings(text), &self.words)
    }

    /// As [`Cut::text`], and short values stay: settings of a project would be others without a word that one of them is by chance.
    pub fn settings(&self, text: &str) -> String {
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
        self.wrapped.cut(out)
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
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde_json::json;

    use super::*;

    fn of_secret(value: &str) -> Cut {
        Cut::new(&BTreeMap::from([("k".into(), value.into())]), &BTreeMap::new(), &BTreeMap::new())
    }

    fn of_sensitive(value: &str) -> Cut {
        Cut::new(&BTreeMap::new(), &BTreeMap::from([(value.into(), "0123456789abcdef".into())]), &BTreeMap::new())
    }

    #[test]
    fn a_secret_is_cut_in_every_spelling_and_the_replay_spells_its_stand_in_the_same_way() {
        let value = "p\"a ss/ö";
        let cut = Cut::new(&BTreeMap::from([("db".into(), value.into())]), &BTreeMap::new(), &BTreeMap::new());
        let whole = |text: &str| spellings(text).join("|");
        assert_eq!(cut.text(&whole(value)), whole(&placeholder("db")));
        let mut recorded =
            json!({"body": {"$text": format!("{{\"x\":{}}}", json!(value))}, "url": format!("?p={value}"), value: 1});
        cut.json(&mut recorded).unwrap();
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
        cut.json(&mut packed).unwrap();
        assert_eq!(STANDARD.decode(packed["$base64"].as_str().unwrap()).unwrap(), [&[0xff][..], b"*******", &[0xfe]].concat());
    }

    #[test]
    fn a_longer_secret_that_holds_a_shorter_one_is_cut_first() {
        let secrets = BTreeMap::from([("a".into(), "abcd".into()), ("b".into(), "abcdefgh".into())]);
        let cut = Cut::new(&secrets, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(cut.text("abcdefgh abcd"), format!("{} {}", placeholder("b"), placeholder("a")));
    }

    #[test]
    fn a_short_sensitive_value_is_cut_wherever_it_is_a_word_of_its_own_and_nowhere_else() {
        let shown = sensitive("abc", "0123456789abcdef");
        for (text, want) in [
            (r#"{"pin":"abc","other":"abcd"}"#, r#"{"pin":"@","other":"abcd"}"#),
            ("abc", "@"),
            ("Bearer abc", "Bearer @"),
            ("pin=abc&x=1", "pin=@&x=1"),
            ("https://x.test/?pin=abc", "https://x.test/?pin=@"),
            (r#"{"inner":"{\"pin\":\"abc\",\n\tabc}"}"#, r#"{"inner":"{\"pin\":\"@\",\n\t@}"}"#),
            ("%22abc%22", "%22@%22"),
            (r"a\u0026abc", r"a\u0026@"),
            ("it is abc.", "it is @."),
            ("abc.example xabc abc1 x-abc", "abc.example xabc abc1 x-abc"),
        ] {
            assert_eq!(of_sensitive("abc").text(text), want.replace('@', &shown), "{text}");
        }
        let packed = STANDARD.encode("abc");
        assert_eq!(of_sensitive("abc").text(&packed), STANDARD.encode(shown));
    }

    #[test]
    fn a_number_stays_a_number_when_it_is_cut() {
        for value in ["12", "1234", "-123", "1.25", "123456", "987654321012"] {
            let body = of_sensitive(value).text(&format!(r#"{{"pin":{value},"list":[ {value} ],"x":112}}"#));
            let read: Json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{body}: {error}"));
            assert!(read["pin"].is_number() && read["pin"] == read["list"][0] && read["x"] == 112, "{body}");
            assert!(!body.contains(&format!(":{value},")), "{body}");
        }
        assert!(!of_sensitive("12").text(r#"{"pin":12.0}"#).contains(":12."));
        assert_eq!(of_sensitive("12").text("10.12.0.1 2026-11-12 12.5"), "10.12.0.1 2026-11-12 12.5");
    }

    #[test]
    fn a_value_of_one_character_or_a_switch_cannot_be_cut() {
        for (value, want) in
            [("a", true), ("7", true), ("true", true), ("false", true), ("ab", false), ("", false), ("null", false)]
        {
            assert_eq!(is_too_short(value), want, "{value}");
        }
        assert_eq!(of_sensitive("null").text("null"), "null");
    }

    #[test]
    fn base64_and_base32_that_are_broken_over_lines_do_not_carry_a_secret_out() {
        let value = "a-private-key-".repeat(12);
        let cut = of_secret(&value);
        let wrap = |text: &str, at: usize, with: &str| {
            text.as_bytes().chunks(at).map(|it| String::from_utf8_lossy(it).into_owned()).collect::<Vec<_>>().join(with)
        };
        for spelled in
            [STANDARD.encode(&value), STANDARD.encode(format!("user:{value}@host")), spelling::base32(value.as_bytes(), false)]
        {
            for with in ["\n", "\r\n", "\n    ", "\\n", "\\r\\n", "\\\\n"] {
                let got = cut.text(&format!("before {with}{}{with} after", wrap(&spelled, 64, with)));
                let left = spelled.as_bytes().windows(24).filter(|it| got.contains(std::str::from_utf8(it).unwrap())).count();
                assert!(left == 0 && got.starts_with("before ") && got.ends_with(" after"), "{with:?} {spelled}: {got}");
            }
        }
    }

    #[test]
    fn base32_does_not_carry_a_secret_out() {
        let cut = of_secret("hunter2-hunter2");
        for before in ["", "u", "us", "use", "user", "user:"] {
            for spelled in [true, false].map(|hex| spelling::base32(format!("{before}hunter2-hunter2@h").as_bytes(), hex)) {
                for text in [spelled.clone(), spelled.to_lowercase()] {
                    let got = cut.text(&text);
                    let left = text.as_bytes().windows(10).filter(|it| got.contains(std::str::from_utf8(it).unwrap())).count();
                    assert_eq!(left, 0, "{before}: {text} {got}");
                }
            }
        }
    }

    #[test]
    fn a_packed_body_is_opened_cut_and_packed_again_or_refused() {
        let cut = of_secret("hunter2-hunter2");
        let text = br#"{"password":"hunter2-hunter2"}"#;
        let answer = |encoding: &str, body: &[u8]| json!({"Ok": {"status": 200, "headers": [["Content-Encoding", encoding]], "body": {"$base64": STANDARD.encode(body)}}});
        let body = |it: &Json| STANDARD.decode(it["Ok"]["body"]["$base64"].as_str().unwrap()).unwrap();
        let want = cut.bytes(text);
        for (encoding, packed) in [
            ("gzip", packed::gzip(text)),
            ("", packed::gzip(text)),
            ("deflate", packed::deflate(text, true)),
            ("deflate", packed::deflate(text, false)),
        ] {
            let mut it = answer(encoding, &packed);
            cut.json(&mut it).unwrap();
            let inner = packed::gunzip(&body(&it)).or_else(|| packed::inflate(&body(&it)).map(|it| it.0)).unwrap();
            assert_eq!(inner, want, "{encoding}");
        }
        for (encoding, bytes) in
            [("br", &[0xff_u8, 1, 2][..]), ("gzip", &[0x1f, 0x8b, 8, 0xff]), ("gzip, gzip", &packed::gzip(text))]
        {
            let told = cut.json(&mut answer(encoding, bytes)).unwrap_err();
            assert!(told.contains(encoding), "{told}");
        }
        cut.json(&mut answer("identity", b"x")).unwrap();
        Cut::default().json(&mut answer("br", &[0xff, 1])).unwrap();
        // Packed, and nothing of ours in it: it stays byte for byte.
        let other = packed::gzip(b"nothing");
        let mut it = answer("gzip", &other);
        cut.json(&mut it).unwrap();
        assert_eq!(body(&it), other);
    }

    #[test]
    fn bytes_that_are_no_text_are_searched_for_every_spelling() {
        let value = "hunter2-hunter2";
        let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let hex: String = value.bytes().map(|it| format!("{it:02x}")).collect();
        for spelled in
            [STANDARD.encode(value).into_bytes(), STANDARD_NO_PAD.encode(format!("u:{value}")).into_bytes(), hex.into(), utf16]
        {
            let got = of_secret(value).bytes(&[&[0xff][..], &spelled, &[0xfe]].concat());
            assert_eq!(got.len(), spelled.len() + 2);
            assert!(spelled.windows(12).all(|it| !got.windows(12).any(|other| other == it)), "{got:?}");
        }
        assert_eq!(of_sensitive("ab").bytes(b"\xffab\x01cabd"), b"\xff**\x01cabd");
        assert_eq!(of_sensitive("abcd").bytes(b"\xffxabcdx"), b"\xffx****x");
    }
}
