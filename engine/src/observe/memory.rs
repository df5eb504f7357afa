//! What is remembered of a scope between passes: the bytes of [`crate::store`]'s scope records.
//!
//! A provider that answers `unchanged` sends no objects, so the engine keeps what it was told: for each object its names and
//! digests, and its document only where it is declared or owned, with secrets as HMACs. Losing this costs a full read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trueup_core::address::{Address, Scope};
use trueup_core::observation::{HealthState, Observed};
use trueup_core::value::{Digest, Json};

/// Changes with the layout of [`Row`].
const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    key: &'a str,
    identity: &'a str,
    digest: [u8; 32],
    version: Option<&'a str>,
    mark: Option<&'a str>,
    health: u8,
    health_message: &'a str,
    /// Canonical JSON text, parsed only for objects that are compared.
    doc: Option<&'a str>,
    outputs: Option<&'a str>,
}

/// One object with its document still as text.
#[derive(Clone, Debug)]
pub struct Remembered {
    pub observed: Observed,
    pub doc: Option<Box<str>>,
}

impl Remembered {
    /// The object with its document parsed.
    pub fn with_doc(&self) -> Observed {
        let doc = self.doc.as_deref().and_then(|text| serde_json::from_str(text).ok()).map(Arc::new);
        Observed { doc, ..self.observed.clone() }
    }
}

/// Objects of a scope by key.
pub type Objects = BTreeMap<Arc<str>, Remembered>;

/// The bytes to store.
pub fn encode(objects: &Objects) -> Vec<u8> {
    let outputs: Vec<Option<String>> = objects.values().map(|it| it.observed.outputs.as_ref().map(|it| it.to_string())).collect();
    let rows: Vec<Row<'_>> = objects.values().zip(&outputs).map(|(it, outputs)| row(it, outputs.as_deref())).collect();
    postcard::to_extend(&rows, vec![FORMAT]).unwrap_or_default()
}

fn row<'a>(it: &'a Remembered, outputs: Option<&'a str>) -> Row<'a> {
    let Observed { address, identity, digest, version, mark, health, health_message, .. } = &it.observed;
    Row {
        key: &address.key,
        identity,
        digest: digest.0,
        version: version.as_deref(),
        mark: mark.as_deref(),
        health: *health as u8,
        health_message,
        doc: it.doc.as_deref(),
        outputs,
    }
}

/// Reads [`encode`]'s bytes back; None where they are not sound, which means the scope must be read in full.
pub fn decode(scope: &Scope, bytes: &[u8]) -> Option<Objects> {
    let rows: Vec<Row<'_>> = postcard::from_bytes(bytes.strip_prefix(&[FORMAT])?).ok()?;
    let empty: Arc<str> = "".into();
    let text = |it: &str| if it.is_empty() { empty.clone() } else { it.into() };
    let objects = rows.into_iter().map(|row| {
        let key: Arc<str> = row.key.into();
        let observed = Observed {
            address: Address { scope: scope.clone(), key: key.clone() },
            identity: text(row.identity),
            digest: Digest(row.digest),
            doc: None,
            outputs: row.outputs.and_then(|it| serde_json::from_str::<Json>(it).ok()).map(Arc::new),
            version: row.version.map(Arc::from),
            mark: row.mark.map(Arc::from),
            health: health(row.health),
            health_message: text(row.health_message),
        };
        (key, Remembered { observed, doc: row.doc.map(Box::from) })
    });
    Some(objects.collect())
}

fn health(number: u8) -> HealthState {
    [HealthState::Healthy, HealthState::Progressing, HealthState::Degraded, HealthState::Suspended]
        .into_iter()
        .find(|it| *it as u8 == number)
        .unwrap_or(HealthState::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::value::json;

    #[test]
    fn a_scope_reads_back_as_it_was_and_damage_is_noticed() {
        let address = Address::new("site", "File", "etc", "motd");
        let observed = Observed {
            address: address.clone(),
            identity: "etc/motd".into(),
            digest: Digest::of(b"x"),
            doc: None,
            outputs: Some(Arc::new(json!({"size": 8}))),
            version: Some("v1".into()),
            mark: None,
            health: HealthState::Degraded,
            health_message: "sick".into(),
        };
        let text = json!({"spec": {"path": "etc/motd"}}).to_string();
        let objects = Objects::from([(address.key.clone(), Remembered { observed: observed.clone(), doc: Some(text.into()) })]);
        let bytes = encode(&objects);
        let back = decode(&address.scope, &bytes).unwrap();
        assert_eq!(back[&address.key].observed, observed);
        assert_eq!(back[&address.key].with_doc().doc.as_deref(), Some(&json!({"spec": {"path": "etc/motd"}})));
        assert!(decode(&address.scope, &bytes[..bytes.len() - 3]).is_none());
        assert!(decode(&address.scope, b"").is_none());
    }
}
