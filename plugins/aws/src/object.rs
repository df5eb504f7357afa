//! Objects as their service shows them, and as the contract does.

use trueup_sdk::error::healthy;
use trueup_sdk::{Address, Health, HealthState, Json, Remote, Result, json};

use crate::config::Config;
use crate::field;
use crate::kind::Kind;
use crate::template::Known;
use crate::{path, tags};

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Object {
    pub identity: String,
    /// Empty where the kind has no names.
    pub key: String,
    pub raw: Json,
}

impl Object {
    /// What a listing's item is; none where it does not say which object it is.
    pub fn of(kind: &Kind, config: &Config, raw: Json) -> Option<Self> {
        let known = Known { raw, ..Known::default() };
        let identity = identity(kind, config, &known)?;
        let key = kind.name_of(&known.raw, &identity).unwrap_or_default();
        Some(Self { identity, key, raw: known.raw })
    }

    pub fn mark(&self, kind: &Kind) -> Option<String> {
        tags::read(kind, &self.raw).as_ref().and_then(tags::mark)
    }

    /// What others may refer to.
    pub fn outputs(&self, kind: &Kind, config: &Config) -> Json {
        let known = Known { identity: self.identity.clone(), name: self.key.clone(), raw: self.raw.clone(), ..Known::default() };
        let tell = |(name, source): (&String, &String)| Some((name.clone(), known.tell(config, source)?));
        Json::Object(kind.status.iter().filter_map(tell).collect())
    }

    /// The document that would make it.
    pub fn document(&self, kind: &Kind, scope: &str) -> Result<Json> {
        let mut spec = fields(kind, &self.raw)?;
        if kind.is_called() {
            spec.insert("name".to_owned(), Json::from(self.key.as_str()));
        }
        if let Some(parent) = &kind.scope {
            spec.insert(parent.field.clone(), Json::from(scope));
        }
        if kind.tags.is_some() {
            let all = tags::read(kind, &self.raw).unwrap_or_default();
            spec.insert("tags".to_owned(), Json::Object(tags::own(&all)));
        }
        Ok(json!({ "spec": spec }))
    }

    /// How it is, by its own word.
    pub fn health(&self, kind: &Kind) -> Health {
        let Some(wait) = &kind.wait else { return healthy() };
        let said = path::get(&self.raw, &wait.at).map(field::text_of).unwrap_or_default();
        let why = wait.why.as_ref().and_then(|it| path::get(&self.raw, it)).map(field::text_of);
        let message = why.filter(|it| !it.is_empty()).unwrap_or_else(|| said.clone());
        match () {
            () if wait.ready.contains(&said) => healthy(),
            () if wait.failed.contains(&said) => Health { state: HealthState::Degraded, message },
            () if said.is_empty() => Health { state: HealthState::Unknown, message: String::new() },
            () => Health { state: HealthState::Progressing, message },
        }
    }

    /// As the contract has it. `brief`: what was read is not all of it.
    pub fn into_remote(self, kind: &Kind, config: &Config, scope: &str, brief: bool) -> Result<Remote> {
        let health = self.health(kind);
        let stalled = health.state == HealthState::Degraded;
        let mut ext = Vec::new();
        if stalled {
            ext.push(("stalled".to_owned(), "true".to_owned()));
        }
        if brief {
            ext.push(("unread".to_owned(), "true".to_owned()));
        }
        let doc = if brief { "{}".to_owned() } else { self.document(kind, scope)?.to_string() };
        Ok(Remote {
            mark: self.mark(kind),
            outputs: self.outputs(kind, config).to_string(),
            address: Address { kind: kind.kind.clone(), scope: scope.to_owned(), key: self.key },
            identity: self.identity,
            doc,
            version: None,
            health,
            sensitive: Vec::new(),
            ext,
        })
    }
}

/// The fields of an object that was read.
///
/// # Errors
/// Where the kind's descriptor is wrong.
pub fn fields(kind: &Kind, raw: &Json) -> Result<serde_json::Map<String, Json>> {
    let mut spec = serde_json::Map::new();
    for (name, declared) in &kind.fields {
        let typed = field::typed(kind, name, declared)?;
        let source = declared.source(name);
        let seen = source.as_ref().and_then(|it| path::find(raw, it));
        let value = seen.and_then(|it| typed.of_api(&it));
        // What holds nothing is written as nothing, so that it can be compared with what somebody declares.
        let empty = || match source.is_some() {
            true if typed.is_list() => Some(json!([])),
            true if typed.is_mapping() => Some(json!({})),
            _ => None,
        };
        if let Some(value) = value.or_else(empty) {
            spec.insert(name.clone(), value);
        }
    }
    Ok(spec)
}

/// The identity of what was read.
pub fn identity(kind: &Kind, config: &Config, known: &Known) -> Option<String> {
    let tail = kind.name.as_ref().is_some_and(|it| it.read.as_deref() == Some("tail"));
    let name = if tail { None } else { kind.name_of(&known.raw, "").filter(|it| !it.is_empty()) };
    let known = Known { name: name.unwrap_or_else(|| known.name.clone()), ..known.clone() };
    known.tell(config, &kind.identity).map(|it| field::text_of(&it)).filter(|it| !it.is_empty())
}
