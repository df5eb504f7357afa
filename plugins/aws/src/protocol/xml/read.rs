//! Values of XML, by the model.

use serde_json::{Map, Value as Json};

use super::{Reader, Tag};
use crate::model::{Kind, Member, Place, Service, Shape};
use crate::protocol::json;

type Result<T> = std::result::Result<T, String>;

/// The structure that the element is which was just begun; its end is passed.
pub fn structure(reader: &mut Reader<'_>, service: &Service, shape: &Shape, tag: &Tag<'_>) -> Result<Map<String, Json>> {
    let mut out = Map::new();
    for member in shape.members.iter().filter(|it| it.attribute) {
        if let Some((_, value)) = tag.attributes.iter().find(|(name, _)| *name == member.wire_name()) {
            out.insert(member.name.to_owned(), value.as_str().into());
        }
    }
    while let Some(tag) = reader.child()? {
        let found = shape.members.iter().find(|it| it.place == Place::Body && name(service, it) == tag.name);
        match found {
            Some(member) => field(reader, service, member, &tag, &mut out)?,
            None => reader.skip()?,
        }
    }
    Ok(out)
}

/// A list without an element of its own goes by the name of its items, where these have one.
fn name(service: &Service, member: &Member) -> &'static str {
    let inner = if member.flattened { service.of(member).inner() } else { None };
    match (service.of(member).kind, inner.and_then(|it| it.wire)) {
        (Kind::List, Some(name)) => name,
        _ => member.wire_name(),
    }
}

fn field(reader: &mut Reader<'_>, service: &Service, member: &Member, tag: &Tag<'_>, out: &mut Map<String, Json>) -> Result<()> {
    let shape = service.of(member);
    match (shape.kind, shape.inner()) {
        (Kind::List, Some(inner)) if member.flattened => {
            let slot = out.entry(member.name).or_insert_with(|| Json::Array(Vec::new()));
            if let (Some(item), Json::Array(items)) = (value(reader, service, inner, tag)?, slot) {
                items.push(item);
            }
        }
        (Kind::Map, _) if member.flattened => {
            let slot = out.entry(member.name).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(entries) = slot {
                entry(reader, service, shape, entries)?;
            }
        }
        _ => {
            if let Some(value) = value(reader, service, member, tag)? {
                out.entry(member.name).or_insert(value);
            }
        }
    }
    Ok(())
}

/// The value of the element that was just begun; none of an empty one that is no text.
pub fn value(reader: &mut Reader<'_>, service: &Service, member: &Member, tag: &Tag<'_>) -> Result<Option<Json>> {
    let shape = service.of(member);
    Ok(Some(match (shape.kind, shape.inner()) {
        (Kind::Structure, _) => Json::Object(structure(reader, service, shape, tag)?),
        (Kind::List, Some(inner)) => {
            let mut items = Vec::new();
            while let Some(tag) = reader.child()? {
                items.extend(value(reader, service, inner, &tag)?);
            }
            Json::Array(items)
        }
        (Kind::Map, _) => {
            let mut entries = Map::new();
            while reader.child()?.is_some() {
                entry(reader, service, shape, &mut entries)?;
            }
            Json::Object(entries)
        }
        (kind, _) => {
            let text = reader.text()?;
            if text.trim().is_empty() && !matches!(kind, Kind::String | Kind::Blob) {
                return Ok(None);
            }
            let name = if member.name.is_empty() { "body" } else { member.name };
            json::parse(kind, &text).ok_or_else(|| format!("cannot be read: its `{name}` is no {}", kind.word()))?
        }
    }))
}

/// One entry of a map, in whose element we are.
fn entry(reader: &mut Reader<'_>, service: &Service, shape: &Shape, out: &mut Map<String, Json>) -> Result<()> {
    let [keys, values] = shape.members.as_slice() else { return reader.skip() };
    let (mut key, mut item) = (None, None);
    while let Some(tag) = reader.child()? {
        if tag.name == keys.wire.unwrap_or("key") {
            key = Some(reader.text()?.into_owned());
        } else if tag.name == values.wire.unwrap_or("value") {
            item = value(reader, service, values, &tag)?;
        } else {
            reader.skip()?;
        }
    }
    if let (Some(key), Some(item)) = (key, item) {
        out.insert(key, item);
    }
    Ok(())
}
