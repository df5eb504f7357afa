//! Tickets as documents have them and as the service has them.

use trueup_sdk::error::healthy;
use trueup_sdk::{Address, Declared, Error, Json, Remote, Result, json};

use crate::{address, is};

/// Fields that the service gives back.
const FIELDS: [&str; 6] = ["queue", "title", "channel", "priority", "tags", "body"];

/// The canonical form of a declaration. `position` and `call` are for bugs that tell them.
pub fn render(item: &Declared, position: usize, call: u32) -> Result<(Address, Json)> {
    let mut doc: Json = serde_json::from_str(&item.doc)?;
    let spec =
        doc.get_mut("spec").and_then(Json::as_object_mut).ok_or_else(|| Error::invalid("tickets.spec", "`spec` is missing"))?;
    for (field, default) in [("channel", json!("mail")), ("priority", json!(3)), ("body", json!("")), ("tags", json!([]))] {
        spec.entry(field).or_insert(default);
    }
    if let Some(tags) = spec.get_mut("tags").and_then(Json::as_array_mut) {
        tags.sort_by_key(Json::to_string);
        tags.dedup();
        if is("render-order-matters") {
            // The first one that was declared is the main one, and nothing says so.
            let first = serde_json::from_str::<Json>(&item.doc)?.pointer("/spec/tags/0").cloned();
            tags.extend(
                first.and_then(|it| it.as_str().map(|it| Json::from(format!("main:{}", it.trim_start_matches("main:"))))),
            );
            tags.dedup();
        }
    }
    let body = spec.get("body").and_then(Json::as_str).unwrap_or_default().to_owned();
    if is("render-not-idempotent") {
        spec.insert("body".to_owned(), format!("{body}.").into());
    }
    if is("render-tells-position") {
        spec.insert("priority".to_owned(), (position % 5 + 1).into());
    }
    if is("render-counts") {
        spec.insert("body".to_owned(), format!("call {call}").into());
    }
    let text = |name: &str| spec.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let address = address(&text("queue"), &text("title"));
    Ok((address, doc))
}

/// A ticket of the service as the engine sees it.
pub fn remote(ticket: &Json, server: &str) -> Remote {
    let mut spec = json!({});
    for name in FIELDS {
        if let Some(value) = ticket.get(name) {
            spec[name] = value.clone();
        }
    }
    if is("scan-drops-field")
        && let Some(fields) = spec.as_object_mut()
    {
        fields.remove("priority");
    }
    let text = |name: &str| ticket.get(name).and_then(Json::as_str).unwrap_or_default();
    let id = text("id");
    Remote {
        address: address(text("queue"), text("title")),
        identity: id.to_owned(),
        doc: json!({ "spec": spec }).to_string(),
        outputs: json!({ "id": id, "state": text("state"), "url": format!("{server}/tickets/{id}") }).to_string(),
        version: ticket.get("rev").map(|it| format!("\"{it}\"")),
        mark: None,
        health: healthy(),
        sensitive: Vec::new(),
        ext: Vec::new(),
    }
}

/// Whether a ticket has nothing that this provider does not know.
pub fn is_known(ticket: &Json) -> bool {
    let known = |name: &String| {
        FIELDS.contains(&name.as_str()) || ["id", "state", "rev", "hookSet", "created", "assignee"].contains(&name.as_str())
    };
    ticket.as_object().is_some_and(|it| it.keys().all(known))
}
