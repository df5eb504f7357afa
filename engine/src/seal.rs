//! Secrets on their way through a run: values stay here, everything else sees names, handles and HMACs.
//!
//! A secret's value enters a run once, when a document that uses it is planned. From then on documents hold
//! `{"$secret": name, "hmac": …}`; a plugin holds `{"$secret": handle}`, and the handle opens only within apply. The HMAC
//! is taken under a key that lies beside the state, so that nothing stored tells a value, its length or that two values
//! are equal in two stores.
//!
//! Invariant: no method here returns a value but [`Sealer::reveal`], and nothing here is `Debug`, `Display` or `Serialize`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use trueup_core::value::{Digest, Json, Marker, Path, json, marker, secret};

/// What one handle stands for.
struct Sealed {
    name: String,
    hmac: String,
    value: String,
}

/// Beside a sealer: a recording keeps what was sealed, and its replay says the same again without the key.
pub trait Witness: Send + Sync {
    /// A composed value, and the handle under which plugins know it in this run.
    fn handle(&self, name: &str, hmac: &str, handle: &str, value: &str);

    /// A value that was observed, and that its provider calls sensitive.
    fn sensitive(&self, value: &str, hmac: &str);

    /// The HMAC of `value` as this run is to take it; `computed` is what the key makes of it.
    fn hmac(&self, value: &[u8], computed: Digest) -> Digest;
}

/// The secrets of one run.
pub struct Sealer {
    key: [u8; 32],
    /// Drawn for each run, so that a handle of one run opens nothing in the next.
    nonce: [u8; 16],
    by_handle: Mutex<HashMap<String, Sealed>>,
    witness: Option<Arc<dyn Witness>>,
}

impl Sealer {
    /// `key` is the store's ([`crate::store`]).
    pub fn new(key: [u8; 32]) -> Self {
        let mut nonce = [0; 16];
        // Without random numbers handles repeat from run to run; they still open only what this run took in.
        let _ = getrandom::fill(&mut nonce);
        Self { key, nonce, by_handle: Mutex::default(), witness: None }
    }

    /// With somebody who keeps, or knows, what is sealed.
    #[must_use]
    pub fn witnessed(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// HMAC of a text under the store's key, as 64 hex digits.
    pub fn hmac(&self, value: &[u8]) -> String {
        self.mac(&[value]).to_string()
    }

    /// Digest of an observed document: keyed, as the document may hold what nobody declared to be secret.
    pub fn digest(&self, text: &str) -> Digest {
        self.mac(&[b"observed\0", text.as_bytes()])
    }

    fn mac(&self, parts: &[&[u8]]) -> Digest {
        let computed = self.own_mac(parts);
        self.witness.as_ref().map_or(computed, |it| it.hmac(&parts.concat(), computed))
    }

    fn own_mac(&self, parts: &[&[u8]]) -> Digest {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return Digest::default() };
        parts.iter().for_each(|it| mac.update(it));
        Digest(mac.finalize().into_bytes().into())
    }

    /// Takes a composed value in and returns its marker with the HMAC. Equal names and values share one handle.
    pub fn take(&self, name: &str, value: String) -> Json {
        let hmac = self.hmac(value.as_bytes());
        let handle = self.handle(name, &hmac);
        if let Some(witness) = &self.witness {
            witness.handle(name, &hmac, &handle, &value);
        }
        let marker = secret(name, &hmac);
        self.lock().insert(handle, Sealed { name: name.to_owned(), hmac, value });
        marker
    }

    /// A declared document with the plain values of `hints` (`x-trueup-plain`) taken in, as if they were secrets of ours. None where it
    /// has none.
    pub fn take_plain(&self, document: &Json, hints: &[(Path, String)]) -> Option<Json> {
        without_plain(document, hints, &|text| self.take("", text))
    }

    /// `document` as a plugin may see it: each secret's marker becomes `{"$secret": handle}`.
    pub fn to_handles(&self, document: &Json) -> Json {
        map_markers(document, &|found| match found {
            Marker::Secret { name, hmac } => Some(json!({ "$secret": self.handle(name, hmac) })),
            _ => None,
        })
    }

    /// The reverse, for what a plugin gives back: handles that this run drew become names and HMACs.
    pub fn from_handles(&self, document: &Json) -> Json {
        let known = self.lock();
        if known.is_empty() {
            return document.clone();
        }
        map_markers(document, &|found| match found {
            Marker::Secret { name, .. } => known.get(name).map(|it| secret(&it.name, &it.hmac)),
            _ => None,
        })
    }

    /// Replaces plain values of an observed document by HMACs, at these RFC 6901 pointers. See also [`Sealer::cover`].
    pub fn seal(&self, document: &mut Json, pointers: &[String]) {
        self.replace(document, pointers, &|text, hmac| self.tell(text, hmac));
    }

    /// Tells whoever listens that an observed text is sensitive.
    pub fn tell(&self, text: &str, hmac: &str) {
        if let Some(witness) = &self.witness {
            witness.sensitive(text, hmac);
        }
    }

    /// As [`Sealer::seal`], of values that nobody calls sensitive and that are hidden to be safe.
    pub fn hide(&self, document: &mut Json, pointers: &[String]) {
        self.replace(document, pointers, &|_, _| ());
    }

    /// Puts HMACs in place of values; `told` gets each text with its HMAC.
    fn replace(&self, document: &mut Json, pointers: &[String], told: &dyn Fn(&str, &str)) {
        for pointer in pointers {
            if let Some(value) = document.pointer_mut(pointer)
                && !matches!(marker(value), Some(Marker::Secret { .. }))
            {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let hmac = self.hmac(text.as_bytes());
                if value.is_object() || value.is_array() {
                    // Nobody spells the whole of it as we do: its parts are what can be found elsewhere.
                    parts(value).iter().for_each(|it| told(it, &self.hmac(it.as_bytes())));
                } else {
                    told(&text, &hmac);
                }
                *value = secret("", &hmac);
            }
        }
    }

    /// The value behind a handle that this run drew. Only the host calls this, within apply.
    pub fn reveal(&self, handle: &str) -> Option<String> {
        self.lock().get(handle).map(|it| it.value.clone())
    }

    /// `text` with every value of this run replaced by `(secret)`. A second line of defence for logs and messages of
    /// plugins and servers; values under four characters are left, as masking them would tell more than it hides.
    pub fn mask(&self, text: &str) -> String {
        let known = self.lock();
        let mut out = text.to_owned();
        for it in known.values().filter(|it| it.value.len() >= 4) {
            if out.contains(&it.value) {
                out = out.replace(&it.value, "(secret)");
            }
        }
        out
    }

    /// Handles follow from the key and the run's number, so that a run needs no second table; they tell nothing without these.
    fn handle(&self, name: &str, hmac: &str) -> String {
        self.own_mac(&[&self.nonce, format!("handle\0{name}\0{hmac}").as_bytes()]).to_string()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Sealed>> {
        self.by_handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document whose texts at `hints` are what `instead` gives; None where it has none there.
pub fn without_plain(document: &Json, hints: &[(Path, String)], instead: &dyn Fn(String) -> Json) -> Option<Json> {
    let field = |hint: &Path| hint.to_pointer(document).filter(|it| document.pointer(it).is_some());
    let fields: Vec<String> = hints.iter().filter_map(|(hint, _)| field(hint)).collect();
    let mut out = (!fields.is_empty()).then(|| document.clone())?;
    for pointer in fields {
        out.pointer_mut(&pointer).into_iter().for_each(|it| texts_instead(it, instead));
    }
    Some(out)
}

/// Every text below. Depth is that of a parsed document.
fn texts_instead(value: &mut Json, instead: &dyn Fn(String) -> Json) {
    match value {
        Json::String(text) => *value = instead(std::mem::take(text)),
        Json::Array(items) => items.iter_mut().for_each(|it| texts_instead(it, instead)),
        Json::Object(_) if matches!(marker(value), Some(Marker::Secret { .. })) => {}
        Json::Object(map) => map.values_mut().for_each(|it| texts_instead(it, instead)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Texts and numbers of a value that holds others; a switch in it is no secret by itself.
fn parts(value: &Json) -> Vec<String> {
    let (mut found, mut todo) = (Vec::new(), vec![value]);
    while let Some(value) = todo.pop() {
        match value {
            Json::String(text) => found.push(text.clone()),
            Json::Number(number) => found.push(number.to_string()),
            Json::Array(items) => todo.extend(items),
            Json::Object(fields) => todo.extend(fields.values()),
            Json::Null | Json::Bool(_) => {}
        }
    }
    found
}

/// RFC 6901 pointers of every secret's marker in `document`.
pub fn secret_pointers(document: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![(String::new(), document)];
    while let Some((pointer, value)) = todo.pop() {
        if matches!(marker(value), Some(Marker::Secret { .. })) {
            found.push(pointer);
            continue;
        }
        match value {
            Json::Object(map) => todo.extend(map.iter().map(|(key, it)| (format!("{pointer}/{}", escape(key)), it))),
            Json::Array(items) => todo.extend(items.iter().enumerate().map(|(index, it)| (format!("{pointer}/{index}"), it))),
            _ => {}
        }
    }
    found
}

/// Whether a secret's marker stands anywhere in `document`.
pub fn holds_secret(document: &Json) -> bool {
    !secret_pointers(document).is_empty()
}

/// A key as a part of an RFC 6901 pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A copy of `document` with markers replaced where `replace` gives something. Depth is that of a parsed document (≤ 64).
fn map_markers(document: &Json, replace: &dyn Fn(Marker<'_>) -> Option<Json>) -> Json {
    if let Some(new) = marker(document).and_then(replace) {
        return new;
    }
    match document {
        Json::Object(map) => Json::Object(map.iter().map(|(key, it)| (key.clone(), map_markers(it, replace))).collect()),
        Json::Array(items) => Json::Array(items.iter().map(|it| map_markers(it, replace)).collect()),
        plain => plain.clone(),
    }
}

/// Sets the value at `path` in `document`; nothing where the path is not there.
pub fn set(document: &mut Json, path: &Path, value: Json) {
    if let Some(pointer) = path.to_pointer(document)
        && let Some(place) = document.pointer_mut(&pointer)
    {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new([7; 32])
    }

    #[test]
    fn a_plugin_sees_a_handle_and_its_answer_reads_back_as_the_name() {
        let sealer = sealer();
        // No name that a handle, which is hex digits, may hold by chance.
        let mark = sealer.take("the-name", "hunter2".to_owned());
        let document = json!({"spec": {"a": mark, "b": [1, {"c": "x"}]}});
        let seen = sealer.to_handles(&document);
        assert!(!seen.to_string().contains("hunter2") && !seen.to_string().contains("the-name"));
        assert_eq!(sealer.from_handles(&seen), document);
        let handle = seen.pointer("/spec/a/$secret").and_then(Json::as_str).unwrap();
        assert_eq!(sealer.reveal(handle).as_deref(), Some("hunter2"));
        assert_eq!(sealer.reveal("guessed"), None);
    }

    #[test]
    fn a_plain_value_that_a_kind_lets_pass_becomes_a_secret_and_opens_again() {
        let sealer = sealer();
        let hints = [(Path::parse("stringData").unwrap(), "advice".to_owned()), (Path::parse("data").unwrap(), String::new())];
        let document = json!({"stringData": {"user": "ann", "own": secret("db", "01")}, "type": "Opaque"});
        let taken = sealer.take_plain(&document, &hints).unwrap();
        assert!(!taken.to_string().contains("ann") && taken["stringData"]["own"] == document["stringData"]["own"], "{taken}");
        assert_eq!(taken["type"], "Opaque");
        let handles = sealer.to_handles(&taken);
        assert_eq!(sealer.reveal(handles["stringData"]["user"]["$secret"].as_str().unwrap()).as_deref(), Some("ann"));
        assert_eq!(sealer.take_plain(&json!({"type": "Opaque"}), &hints), None);
    }

    #[test]
    fn a_value_that_its_provider_calls_sensitive_is_sealed_once() {
        let sealer = sealer();
        let mut observed = json!({"spec": {"token": 12, "path": "p"}});
        for _ in 0..2 {
            sealer.seal(&mut observed, &["/spec/token".to_owned(), "/spec/none".to_owned()]);
            assert_eq!(observed, json!({"spec": {"token": secret("", &sealer.hmac(b"12")), "path": "p"}}));
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Witness for Heard {
        fn handle(&self, _: &str, _: &str, _: &str, _: &str) {}

        fn sensitive(&self, value: &str, _: &str) {
            self.0.lock().unwrap().push(value.to_owned());
        }

        fn hmac(&self, _: &[u8], computed: Digest) -> Digest {
            computed
        }
    }

    #[test]
    fn of_a_sensitive_value_that_holds_others_each_part_is_told() {
        let heard = Arc::new(Heard::default());
        let sealer = sealer().witnessed(heard.clone());
        let mut observed =
            json!({"login": {"user": "u1", "pins": [12, "x"], "on": true, "none": null}, "token": "t", "port": 8080});
        sealer.seal(&mut observed, &["/login".to_owned(), "/token".to_owned(), "/port".to_owned()]);
        let mut told = heard.0.lock().unwrap().clone();
        told.sort();
        assert_eq!(told, ["12", "8080", "t", "u1", "x"]);
    }

    #[test]
    fn text_is_masked_but_short_values_are_not_given_away_by_holes() {
        let sealer = sealer();
        sealer.take("db", "hunter2".to_owned());
        sealer.take("pin", "1".to_owned());
        assert_eq!(sealer.mask("failed: hunter2 at 1"), "failed: (secret) at 1");
    }
}
