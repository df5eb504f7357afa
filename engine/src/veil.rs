//! What of an observed object is hidden, because documents say that it holds a secret.
//!
//! A secret outlives its declaration: when a document becomes plain, or goes, the object out there still holds the value. So a
//! [`Veil`] is made of every document that is about an object: what Git wants, what was applied last, and what a change in doubt
//! was to make of it. And a value is not always observed where it was declared: in a list at another position, in a field that
//! another one stands for. So where one of the documents holds a secret, every text that is observed of the object is sealed,
//! but for what the documents say in plain themselves.
//!
//! Invariant: no text of such an object comes out of [`Sealer::cover`] in clear that is not in one of its documents in clear.

use std::collections::{HashMap, HashSet};

use trueup_core::value::{Json, Marker, marker, secret};

use crate::seal::{Sealer, escape, secret_pointers};

/// See the module. The one by [`Default`] hides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Veil {
    /// RFC 6901 pointers at which a document has a secret.
    secrets: HashSet<String>,
    /// HMACs of these secrets.
    hmacs: HashSet<String>,
    /// What Git says in plain now where another document has a secret, by pointer.
    plain_now: HashMap<String, String>,
    /// Texts that a document holds in plain, wherever.
    plain: HashSet<String>,
}

impl Veil {
    /// `now` is what Git wants, `others` what was applied or may have been.
    pub fn of<'a>(now: Option<&'a Json>, others: impl IntoIterator<Item = &'a Json>) -> Self {
        let mut secrets: HashSet<String> = now.into_iter().flat_map(secret_pointers).collect();
        let documents: Vec<&Json> = now.into_iter().chain(others).collect();
        let (mut hmacs, mut plain_now) = (HashSet::new(), HashMap::new());
        for (document, pointer) in documents.iter().flat_map(|it| secret_pointers(it).into_iter().map(move |at| (it, at))) {
            if let Some(Marker::Secret { hmac, .. }) = document.pointer(&pointer).and_then(marker) {
                hmacs.insert(hmac.to_owned());
            }
            if !secrets.contains(&pointer)
                && let Some(text) = now.and_then(|it| it.pointer(&pointer)).and_then(text_of)
            {
                plain_now.insert(pointer.clone(), text);
            }
            secrets.insert(pointer);
        }
        let plain = if secrets.is_empty() { HashSet::new() } else { documents.iter().flat_map(|it| texts(it)).collect() };
        Self { secrets, hmacs, plain_now, plain }
    }

    /// Whether any document holds a secret.
    pub fn hides(&self) -> bool {
        !self.secrets.is_empty()
    }
}

impl Sealer {
    /// Seals an observed document: values at `pointers`, which its provider calls sensitive, and what `veil` hides.
    ///
    /// A document that was covered before may be covered again by a veil that knows more: what was hidden and turns out to be
    /// what a document says in plain is shown again, so that it compares equal.
    pub fn cover(&self, document: &mut Json, pointers: &[String], veil: &Veil) {
        self.seal(document, pointers);
        if veil.hides() {
            let plain = veil.plain.iter().map(|it| (self.hmac(it.as_bytes()), it.as_str())).collect();
            Cover { sealer: self, veil, plain }.walk(document, &mut String::new());
        }
    }
}

/// One walk over an observed document. Its depth is that of a parsed document.
struct Cover<'a> {
    sealer: &'a Sealer,
    veil: &'a Veil,
    /// The veil's plain texts by HMAC.
    plain: HashMap<String, &'a str>,
}

impl Cover<'_> {
    fn walk(&self, value: &mut Json, pointer: &mut String) {
        if let Some(Marker::Secret { name, hmac }) = marker(value) {
            if let Some(text) = self.shown(pointer, hmac).filter(|_| name.is_empty()) {
                *value = of_text(text);
            }
            return;
        }
        let text = match text_of(value) {
            None if self.veil.secrets.contains(pointer) && !value.is_null() => Some(value.to_string()),
            text => text,
        };
        if let Some(text) = text {
            let hmac = self.sealer.hmac(text.as_bytes());
            if self.shown(pointer, &hmac).is_none() {
                if self.veil.secrets.contains(pointer) {
                    self.sealer.tell(&text, &hmac);
                }
                *value = secret("", &hmac);
            }
            return;
        }
        let length = pointer.len();
        let mut step = |part: &str, it: &mut Json| {
            pointer.push('/');
            pointer.push_str(part);
            self.walk(it, pointer);
            pointer.truncate(length);
        };
        match value {
            Json::Object(map) => map.iter_mut().for_each(|(key, it)| step(&escape(key), it)),
            Json::Array(items) => items.iter_mut().enumerate().for_each(|(at, it)| step(&at.to_string(), it)),
            _ => {}
        }
    }

    /// The text of this HMAC, where it may be shown at `pointer`: a document says it in plain. In the place of a secret it may
    /// not be that secret's value, unless Git says just this there now. (Of a list the place may be another item's.)
    fn shown(&self, pointer: &str, hmac: &str) -> Option<&str> {
        let text = self.plain.get(hmac).copied()?;
        let open = !self.veil.secrets.contains(pointer)
            || !self.veil.hmacs.contains(hmac)
            || self.veil.plain_now.get(pointer).is_some_and(|it| it == text);
        open.then_some(text)
    }
}

/// A value that is a text, or stands for one (a file of the revision), as text. Numbers and the like hide nothing.
fn text_of(value: &Json) -> Option<String> {
    match marker(value) {
        Some(Marker::Blob { .. }) => Some(value.to_string()),
        _ => value.as_str().map(str::to_owned),
    }
}

/// The reverse of [`text_of`].
fn of_text(text: &str) -> Json {
    let blob = serde_json::from_str(text).ok().filter(|it| matches!(marker(it), Some(Marker::Blob { .. })));
    blob.unwrap_or_else(|| Json::from(text))
}

/// Every text of a document; those within markers of secrets are none.
fn texts(document: &Json) -> Vec<String> {
    let (mut found, mut todo) = (Vec::new(), vec![document]);
    while let Some(value) = todo.pop() {
        if matches!(marker(value), Some(Marker::Secret { .. })) {
            continue;
        }
        match (text_of(value), value) {
            (Some(text), _) => found.push(text),
            (None, Json::Object(map)) => todo.extend(map.values()),
            (None, Json::Array(items)) => todo.extend(items),
            (None, _) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::value::json;

    fn sealer() -> Sealer {
        Sealer::new([7; 32])
    }

    fn hidden(sealer: &Sealer, value: &str) -> Json {
        secret("", &sealer.hmac(value.as_bytes()))
    }

    /// `observed` as a pass sees it that knows these documents.
    #[track_caller]
    fn check(now: Option<Json>, applied: Option<Json>, observed: Json, want: Json) {
        let sealer = sealer();
        let mut document = observed.clone();
        sealer.cover(&mut document, &[], &Veil::of(now.as_ref(), &applied));
        assert_eq!(document, want, "{now:?} {applied:?} {observed}");
        let again = Veil::of(now.as_ref(), &applied);
        sealer.cover(&mut document, &[], &again);
        assert_eq!(document, want, "covered twice");
    }

    #[test]
    fn what_is_observed_is_hidden_while_any_document_holds_a_secret() {
        let sealer = sealer();
        let (old, new) =
            (json!({"path": "p", "content": sealer.take("db", "hunter2".into())}), json!({"path": "p", "content": "plain"}));
        let observed = json!({"path": "p", "content": "hunter2", "mode": "0644", "size": 7});
        let want = json!({"path": "p", "content": hidden(&sealer, "hunter2"), "mode": hidden(&sealer, "0644"), "size": 7});
        check(Some(old.clone()), None, observed.clone(), want.clone());
        check(Some(new.clone()), Some(old.clone()), observed.clone(), want.clone());
        check(None, Some(old.clone()), observed.clone(), want.clone());
        check(Some(new.clone()), Some(new.clone()), observed.clone(), observed.clone());
        // Applied: what Git says in plain is shown, and compares equal.
        check(Some(new.clone()), Some(old.clone()), json!({"path": "p", "content": "plain"}), new.clone());
        // Back to a secret whose value the old document said: it is hidden, and compares equal.
        check(Some(old.clone()), Some(new), json!({"content": "hunter2"}), json!({"content": hidden(&sealer, "hunter2")}));
        let same = json!({"content": "hunter2"});
        check(Some(old), Some(same.clone()), same, json!({"content": hidden(&sealer, "hunter2")}));
    }

    #[test]
    fn a_value_is_hidden_wherever_it_shows_up() {
        let sealer = sealer();
        let now = json!({"env": [{"name": "A", "value": sealer.take("db", "hunter2".into())}, {"name": "B", "value": "b"}]});
        let observed = json!({"env": [{"name": "B", "value": "b"}, {"name": "A", "value": "hunter2"}], "copy": "hunter2"});
        let hidden = hidden(&sealer, "hunter2");
        let want = json!({"env": [{"name": "B", "value": "b"}, {"name": "A", "value": hidden}], "copy": hidden});
        // At its position in the declared list stands another one's name, which the documents say in plain.
        check(Some(now), None, observed, want);
    }

    #[test]
    fn a_file_of_the_revision_and_a_number_are_hidden_in_the_place_of_a_secret() {
        let sealer = sealer();
        let now = json!({"content": sealer.take("db", "12".into())});
        check(Some(now.clone()), None, json!({"content": 12}), json!({"content": hidden(&sealer, "12")}));
        let blob = json!({"$blob": "00", "size": 3});
        check(Some(now.clone()), None, blob.clone(), hidden(&sealer, &blob.to_string()));
        check(Some(json!({"content": blob.clone()})), Some(now), json!({"content": blob.clone()}), json!({"content": blob}));
    }

    #[test]
    fn what_a_narrower_veil_hid_is_shown_again_where_git_says_it() {
        let sealer = sealer();
        let applied = json!({"content": sealer.take("db", "hunter2".into())});
        let now = json!({"content": "plain", "mode": "0600"});
        let mut document = json!({"content": "plain", "mode": "0600"});
        sealer.cover(&mut document, &[], &Veil::of(None, [&applied]));
        assert_eq!(document, json!({"content": hidden(&sealer, "plain"), "mode": hidden(&sealer, "0600")}));
        sealer.cover(&mut document, &[], &Veil::of(Some(&now), [&applied]));
        assert_eq!(document, now);
    }
}
