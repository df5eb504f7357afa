//! From documents as people write them to documents as objects are shown: names filled in, policies in one spelling. Pure.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};
use trueup_sdk::{Address, Declared, Desired, Error, Json, Rendered, Result};

use crate::field::domain;
use crate::kind::{self, Field, Kind, Spelling};
use crate::provider::refused;
use crate::{policy, tags};

/// Renders one document.
pub fn render(item: &Declared) -> Rendered {
    match one(item) {
        Ok(object) => Rendered { objects: vec![object], diagnostics: Vec::new() },
        Err(error) => refused(&error),
    }
}

fn one(item: &Declared) -> Result<Desired> {
    let kind = kind::find(&item.address.kind)?;
    let mut doc: Json = serde_json::from_str(&item.doc)?;
    let Some(spec) = doc.get_mut("spec").and_then(Json::as_object_mut) else {
        return Err(Error::invalid("aws.spec", "`spec` is missing").at(""));
    };
    spec.retain(|_, it| !it.is_null());
    spell_all(&kind.fields, spec);
    digests(kind, spec);
    let key = key(kind, spec, &item.address.key);
    let scope = match &kind.scope {
        None => String::new(),
        Some(parent) => spec.get(&parent.field).and_then(Json::as_str).unwrap_or_default().to_owned(),
    };
    own_tags(spec)?;
    let address = Address { kind: kind.kind.clone(), scope, key };
    Ok(Desired { address, doc: doc.to_string(), after: Vec::new(), ext: Vec::new() })
}

/// The object's name: that of the document, unless its `spec` gives it another.
fn key(kind: &Kind, spec: &mut serde_json::Map<String, Json>, name: &str) -> String {
    if kind.name.is_none() {
        return name.to_owned();
    }
    if !kind.is_called() {
        return kind.joined(spec);
    }
    let key = spec.get("name").and_then(Json::as_str).unwrap_or(name).to_owned();
    spec.insert("name".to_owned(), Json::from(key.as_str()));
    key
}

/// The same within a structure, where what is said as it is by default is not said.
fn spell_inner(fields: &BTreeMap<String, Field>, values: &mut serde_json::Map<String, Json>) {
    spell_all(fields, values);
    values.retain(|name, it| !it.is_null() && fields.get(name).and_then(|it| it.default.as_ref()) != Some(it));
}

/// Every value in the spelling in which objects show it.
fn spell_all(fields: &BTreeMap<String, Field>, values: &mut serde_json::Map<String, Json>) {
    for (name, field) in fields {
        let Some(value) = values.get_mut(name) else { continue };
        match (field.spelling, value) {
            (Spelling::Policy | Spelling::Json, value) => spell(value, field.spelling),
            (Spelling::Domain, value) => {
                if let Some(text) = value.as_str() {
                    *value = Json::from(domain(text));
                }
            }
            (_, Json::Object(inner)) => field.fields.iter().for_each(|it| spell_inner(it, inner)),
            (_, Json::Array(items)) => {
                let structures = items.iter_mut().filter_map(Json::as_object_mut);
                structures.for_each(|inner| field.fields.iter().for_each(|it| spell_inner(it, inner)));
            }
            _ => {}
        }
    }
}

/// Digests of content that is not to be read back.
fn digests(kind: &Kind, spec: &mut serde_json::Map<String, Json>) {
    for (name, field) in kind.fields.iter().filter(|(_, it)| !it.digest_of.is_empty()) {
        let Some(content) = field.digest_of.iter().find_map(|it| spec.get(it)) else { continue };
        let digest = match content {
            Json::String(text) => hex(&Sha256::digest(text.as_bytes())),
            // A file of the revision is named by its digest; what is not known yet has none yet.
            other => match other.get("$blob").and_then(Json::as_str) {
                Some(digest) => digest.to_owned(),
                None => {
                    spec.insert(name.clone(), content.clone());
                    continue;
                }
            },
        };
        let digest = if field.spelling == Spelling::Base64 { of_hex(&digest) } else { digest };
        spec.insert(name.clone(), Json::from(digest));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn of_hex(text: &str) -> String {
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok()).unwrap_or_default();
    let bytes: Vec<u8> = text.as_bytes().chunks_exact(2).map(|it| it.iter().fold(0, |all, one| all << 4 | digit(*one))).collect();
    BASE64_STANDARD.encode(bytes)
}

fn spell(value: &mut Json, spelling: Spelling) {
    let is_marker = value.as_object().is_some_and(|it| it.keys().next().is_some_and(|it| it.starts_with('$')));
    if is_marker {
        return;
    }
    let read = value.as_str().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_else(|| value.clone());
    *value = if spelling == Spelling::Policy { policy::canonical(read) } else { read };
}

fn own_tags(spec: &serde_json::Map<String, Json>) -> Result<()> {
    let Some(all) = spec.get("tags").and_then(Json::as_object) else { return Ok(()) };
    match all.keys().find(|it| it.starts_with(tags::PREFIX) || it.starts_with("aws:")) {
        None => Ok(()),
        Some(name) => {
            let whose = if name.starts_with("aws:") { "AWS's" } else { "trueup's" };
            let text = format!("the tag `{name}` is {whose} own; remove it");
            let at = format!("/spec/tags/{}", name.replace('~', "~0").replace('/', "~1"));
            Err(Error::invalid("aws.own-tag", text).at(at))
        }
    }
}
