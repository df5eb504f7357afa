//! From documents as people write them to documents as objects are shown: names filled in, policies in one spelling. Pure.

use trueup_sdk::{Address, Declared, Desired, Error, Json, Rendered, Result};

use crate::kind::{self, Kind, Spelling};
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
    let key = key(kind, spec, &item.address.key);
    let scope = match &kind.scope {
        None => String::new(),
        Some(parent) => spec.get(&parent.field).and_then(Json::as_str).unwrap_or_default().to_owned(),
    };
    for (name, field) in &kind.fields {
        let Some(value) = spec.get_mut(name) else { continue };
        match (field.spelling, value) {
            (Spelling::Policy | Spelling::Json, value) => spell(value, field.spelling),
            (Spelling::Policies, Json::Object(all)) => all.values_mut().for_each(|it| spell(it, Spelling::Policy)),
            _ => {}
        }
    }
    own_tags(spec)?;
    let address = Address { kind: kind.kind.clone(), scope, key };
    Ok(Desired { address, doc: doc.to_string(), after: Vec::new(), ext: Vec::new() })
}

/// The object's name: that of the document, unless its `spec` gives it another.
fn key(kind: &Kind, spec: &mut serde_json::Map<String, Json>, name: &str) -> String {
    if kind.name.is_none() {
        return name.to_owned();
    }
    let key = spec.get("name").and_then(Json::as_str).unwrap_or(name).to_owned();
    spec.insert("name".to_owned(), Json::from(key.as_str()));
    key
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
