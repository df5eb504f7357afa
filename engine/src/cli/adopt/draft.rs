//! The document of an object that has none.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use serde_json::json;
use trueup_core::address::{Address, ResourceId};
use trueup_core::manifest::{Hints, Kind};
use trueup_core::observation::Observed;
use trueup_core::value::{Json, Map, Marker, Path, Segment, marker};

use crate::desired::Context;
use crate::engine::Bound;
use crate::output::yaml::to_yaml;

/// Characters of `metadata.name`.
const NAME: usize = 253;

/// One document, not yet known to be right.
pub struct Draft {
    pub id: ResourceId,
    /// YAML, without `---`.
    pub text: String,
}

/// Makes documents whose names no other has.
pub struct Drafts<'a> {
    bound: &'a Bound,
    taken: HashSet<ResourceId>,
    /// Whether a document has to say whose it is: it is one that several providers would take.
    named: bool,
    /// Where counting goes on, by the name that is numbered.
    numbers: RefCell<HashMap<String, usize>>,
}

impl<'a> Drafts<'a> {
    pub fn new(context: &Context, bound: &'a Bound, taken: HashSet<ResourceId>) -> Self {
        let takes = |it: &&Bound| it.manifest.any_api_version;
        let others = context.providers.values().filter(takes).any(|it| it.alias != bound.alias);
        let is_default = context.default_provider.as_ref() == Some(&bound.alias);
        let named = takes(&bound) && !is_default && (others || context.default_provider.is_some());
        Self { bound, taken, named, numbers: RefCell::default() }
    }

    /// The document of what was seen.
    ///
    /// # Errors
    ///
    /// In words: what no document can say.
    pub fn draft(&mut self, kind: &Kind, found: &Observed) -> Result<Draft, String> {
        let mut body = found.doc.as_deref().cloned().ok_or("it was not read")?;
        if let Some(map) = body.as_object_mut() {
            map.remove("status");
        }
        own(&mut body, &Path::default(), &kind.hints);
        unsayable(&body, &Path::default())?;
        escape(&mut body);
        let namespaced = !self.bound.renders() && kind.hints.key.is_none();
        let (namespace, name) = self.name(kind, &found.address, namespaced);
        let id = ResourceId::new(&self.bound.alias, &kind.name, namespace.as_deref(), &name);
        self.taken.insert(id.clone());
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), Json::from(name));
        metadata.extend(namespace.map(|it| ("namespace".to_owned(), Json::from(it))));
        // What a document says beside its address: labels and annotations lie in the metadata too.
        if let Some(Json::Object(more)) = body.as_object_mut().and_then(|it| it.remove("metadata")) {
            for (key, value) in more {
                metadata.entry(key).or_insert(value);
            }
        }
        let mut document = Map::new();
        if self.named {
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.insert("trueup.dev/provider".to_owned(), Json::from(&*self.bound.alias));
            }
        }
        let (version, plain) = kind.header(&self.bound.alias, self.bound.manifest.any_api_version);
        document.insert("apiVersion".to_owned(), Json::from(version));
        document.insert("kind".to_owned(), Json::from(plain));
        document.insert("metadata".to_owned(), Json::Object(metadata));
        if let Json::Object(body) = body {
            document.extend(body);
        }
        Ok(Draft { id, text: to_yaml(&json!(document)) })
    }

    /// A name that nothing has: the key where it is one, else what can be kept of it, with its scope and then a number where that
    /// is needed.
    fn name(&self, kind: &Kind, address: &Address, namespaced: bool) -> (Option<String>, String) {
        if self.bound.manifest.any_api_version {
            // Its documents are addressed as their system addresses objects.
            let scope = Some(address.scope.scope.to_string()).filter(|it| !it.is_empty());
            return (scope, address.key.to_string());
        }
        let free = |name: &str| !self.taken.contains(&ResourceId::new(&self.bound.alias, &kind.name, None, name));
        if let Some((namespace, name)) = address.key.split_once('/').filter(|(a, b)| namespaced && legal(a) && legal(b)) {
            return (Some(namespace.to_owned()), name.to_owned());
        }
        let short = legal_part(&address.key, &kind.name);
        let long = legal_part(&format!("{}-{}", address.scope.scope, address.key), &kind.name);
        let mut numbers = self.numbers.borrow_mut();
        let last = numbers.entry(long.clone()).or_insert(1);
        let numbered = std::iter::from_fn(|| {
            *last += 1;
            Some(*last)
        });
        let numbered = numbered.map(|it| {
            let end = format!("-{it}");
            format!("{}{end}", long.get(..long.len().min(NAME - end.len())).unwrap_or_default())
        });
        let mut all = [short, long.clone()].into_iter().chain(numbered);
        (None, all.find(|it| free(it)).unwrap_or_default())
    }
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._*@-".contains(c)
}

fn legal(text: &str) -> bool {
    (1..=NAME).contains(&text.len()) && text.chars().all(is_legal)
}

/// What of a text can stand in a name; of a text of which nothing can, the kind.
fn legal_part(text: &str, kind: &str) -> String {
    if legal(text) {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars().map(|c| if is_legal(c) { c } else { '-' }) {
        if !(c == '-' && (out.is_empty() || out.ends_with('-'))) {
            out.push(c);
        }
    }
    out.truncate(NAME);
    let out = out.trim_end_matches('-');
    if out.is_empty() { kind.split('.').next().unwrap_or_default().to_lowercase() } else { out.to_owned() }
}

/// Takes out what is the server's own.
fn own(value: &mut Json, path: &Path, hints: &Hints) {
    match value {
        Json::Object(map) => {
            map.retain(|key, _| {
                let path = path.key(key);
                !Hints::names(&hints.computed, &path) && !Hints::names(&hints.write_only, &path)
            });
            map.iter_mut().for_each(|(key, value)| own(value, &path.key(key), hints));
        }
        Json::Array(items) => {
            items.iter_mut().enumerate().for_each(|(at, it)| own(it, &path.with(Segment::Index(at)), hints));
        }
        _ => {}
    }
}

/// Fails at the first value that no document can hold.
fn unsayable(value: &Json, path: &Path) -> Result<(), String> {
    match (marker(value), value) {
        (Some(Marker::Secret { .. }), _) => {
            Err(format!("`{path}` is secret: declare it by hand, with `${{{{ secret('NAME') }}}}` there"))
        }
        (Some(Marker::Blob { size, .. }), _) => Err(format!(
            "`{path}` is {size} bytes that are no short text: declare it by hand, with a field that names a file of the repository"
        )),
        (Some(Marker::Unknown(_)), _) => Err(format!("`{path}` is not known")),
        (None, Json::Object(map)) => map.iter().try_for_each(|(key, it)| unsayable(it, &path.key(key))),
        (None, Json::Array(items)) => {
            items.iter().enumerate().try_for_each(|(at, it)| unsayable(it, &path.with(Segment::Index(at))))
        }
        _ => Ok(()),
    }
}

/// Keeps texts that look like expressions from being evaluated.
fn escape(value: &mut Json) {
    match value {
        Json::String(text) if text.contains("${{") => *text = text.replace("${{", "$${{"),
        Json::Object(map) => map.values_mut().for_each(escape),
        Json::Array(items) => items.iter_mut().for_each(escape),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_what_it_can_of_a_key() {
        let check = |text: &str, want: &str| assert_eq!(legal_part(text, "RecordSet.example"), want, "{text}");
        check("www.example.com", "www.example.com");
        check("www/A", "www-A");
        check("*", "*");
        check("/a//b/", "a-b");
        check("über uns", "ber-uns");
        check("", "recordset");
        check("//", "recordset");
        check(&"x/".repeat(300), &"x-".repeat(127)[..253]);
    }

    #[test]
    fn what_is_the_servers_own_is_left_out_and_what_no_document_holds_is_named() {
        let path = |text: &str| Path::parse(text).unwrap();
        let hints = Hints { computed: vec![path("spec.uid"), path("spec.ports.node")], ..Hints::default() };
        let mut doc = json!({"spec": {"uid": 1, "a": 2, "ports": [{"node": 1, "port": 2}], "uids": 3}});
        own(&mut doc, &Path::default(), &hints);
        assert_eq!(doc, json!({"spec": {"a": 2, "ports": [{"port": 2}], "uids": 3}}));
        assert_eq!(unsayable(&doc, &Path::default()), Ok(()));
        for (value, words) in [
            (json!({"$secret": "x", "hmac": "h"}), "`spec.a[0]` is secret"),
            (json!({"$blob": "00", "size": 7}), "`spec.a[0]` is 7 bytes"),
            (json!({"$unknown": "K/x"}), "`spec.a[0]` is not known"),
        ] {
            let error = unsayable(&json!({"spec": {"a": [value]}}), &Path::default()).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn a_text_that_looks_like_an_expression_stays_a_text() {
        let mut doc = json!({"spec": ["a ${{ vars.x }} ${X} {{ y }}", {"b": "${{"}]});
        escape(&mut doc);
        assert_eq!(doc, json!({"spec": ["a $${{ vars.x }} ${X} {{ y }}", {"b": "$${{"}]}));
    }
}
