//! What is remembered of a scope between passes: the bytes of [`crate::store`]'s scope records.
//!
//! A provider that answers `unchanged` sends no objects, so the engine keeps what it was told: for each object its names and
//! digests, and its document only where it is declared or owned, with secrets as HMACs. Losing this costs a full read.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trueup_core::address::{Address, Scope};
use trueup_core::observation::{HealthState, Observed};
use trueup_core::value::{Digest, Json};

/// Changes with the layout of [`Row`].
const FORMAT: u8 = 2;

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
    unclaimed: bool,
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
pub fn encode(objects: &Objects) -> Arc<[u8]> {
    let outputs: Vec<Option<String>> = objects.values().map(|it| it.observed.outputs.as_ref().map(|it| it.to_string())).collect();
    let rows: Vec<Row<'_>> = objects.values().zip(&outputs).map(|(it, outputs)| row(it, outputs.as_deref())).collect();
    postcard::to_extend(&rows, vec![FORMAT]).unwrap_or_default().into()
}

fn row<'a>(it: &'a Remembered, outputs: Option<&'a str>) -> Row<'a> {
    let Observed { address, identity, digest, version, mark, health, health_message, unclaimed, .. } = &it.observed;
    Row {
        key: &address.key,
        identity,
        digest: digest.0,
        version: version.as_deref(),
        mark: mark.as_deref(),
        health: *health as u8,
        health_message,
        unclaimed: *unclaimed,
        doc: it.doc.as_deref(),
        outputs,
    }
}

/// Whether the bytes are of this program's layout.
pub fn is_known(bytes: &[u8]) -> bool {
    bytes.first() == Some(&FORMAT)
}

/// Rows of [`encode`]'s bytes, by key; None where they are not sound, which means the scope must be read in full.
fn rows(bytes: &[u8]) -> Option<Vec<Row<'_>>> {
    postcard::from_bytes(bytes.strip_prefix(&[FORMAT])?).ok()
}

/// What an object in sync is judged by: everything but its document and its version, its outputs where they are asked for.
pub fn names(scope: &Scope, bytes: &[u8], outputs: bool) -> Option<BTreeMap<Arc<str>, Observed>> {
    let shared = Shared::default();
    let lean = |row: Row<'_>| {
        let row = Row { version: None, outputs: row.outputs.filter(|_| outputs), ..row };
        let observed = shared.observed(scope, &row);
        (observed.address.key.clone(), observed)
    };
    Some(rows(bytes)?.into_iter().map(lean).collect())
}

/// The objects with these keys, whole.
pub fn pick(scope: &Scope, bytes: &[u8], keys: &HashSet<&str>) -> Vec<Observed> {
    let shared = Shared::default();
    let whole = |row: Row<'_>| Remembered { observed: shared.observed(scope, &row), doc: row.doc.map(Box::from) }.with_doc();
    rows(bytes).unwrap_or_default().into_iter().filter(|row| keys.contains(row.key)).map(whole).collect()
}

/// Everything, to build on.
pub fn decode(scope: &Scope, bytes: &[u8]) -> Option<Objects> {
    let shared = Shared::default();
    let remembered = |row: Row<'_>| {
        let observed = shared.observed(scope, &row);
        (observed.address.key.clone(), Remembered { observed, doc: row.doc.map(Box::from) })
    };
    Some(rows(bytes)?.into_iter().map(remembered).collect())
}

/// Texts that most rows share.
#[derive(Default)]
struct Shared {
    empty: Arc<str>,
}

impl Shared {
    fn observed(&self, scope: &Scope, row: &Row<'_>) -> Observed {
        let key: Arc<str> = row.key.into();
        let text = |it: &str| match it {
            "" => self.empty.clone(),
            it if *it == *key => key.clone(),
            it => it.into(),
        };
        Observed {
            identity: text(row.identity),
            digest: Digest(row.digest),
            doc: None,
            outputs: row.outputs.and_then(|it| serde_json::from_str::<Json>(it).ok()).map(Arc::new),
            version: row.version.map(Arc::from),
            mark: row.mark.map(Arc::from),
            health: health(row.health),
            health_message: text(row.health_message),
            unclaimed: row.unclaimed,
            address: Address { scope: scope.clone(), key },
        }
    }
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
            unclaimed: true,
        };
        let text = json!({"spec": {"path": "etc/motd"}}).to_string();
        let objects = Objects::from([(address.key.clone(), Remembered { observed: observed.clone(), doc: Some(text.into()) })]);
        let bytes = encode(&objects);
        let back = decode(&address.scope, &bytes).unwrap();
        assert_eq!(back[&address.key].observed, observed);
        assert_eq!(back[&address.key].with_doc().doc.as_deref(), Some(&json!({"spec": {"path": "etc/motd"}})));
        let lean = Observed { version: None, outputs: None, ..observed.clone() };
        assert_eq!(names(&address.scope, &bytes, false).unwrap()[&address.key], lean);
        assert_eq!(names(&address.scope, &bytes, true).unwrap()[&address.key].outputs, observed.outputs);
        assert_eq!(pick(&address.scope, &bytes, &HashSet::from(["motd"])), [back[&address.key].with_doc()]);
        assert!(pick(&address.scope, &bytes, &HashSet::from(["other"])).is_empty());
        assert!(decode(&address.scope, &bytes[..bytes.len() - 3]).is_none());
        assert!(decode(&address.scope, b"").is_none() && !is_known(b"\0") && is_known(&bytes));
    }
}
