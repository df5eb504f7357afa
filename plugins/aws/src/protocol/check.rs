//! Holds an input against the model, so that what writes it need not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::time::Time;
use super::{DEPTH, Invalid, text};
use crate::model::{Kind, Member, Operation, Place, Protocol, Service, Shape};

/// Whether this operation can be asked for with this input.
pub fn input(service: &Service, operation: &Operation, input: &Json) -> Result<(), Invalid> {
    let nothing = Map::new();
    let members = match input {
        Json::Object(members) => members,
        Json::Null => &nothing,
        _ => return Err(Invalid::new("is no object")),
    };
    let Some(shape) = service.input(operation) else {
        return match members.keys().next() {
            None => Ok(()),
            Some(name) => Err(unknown(name)),
        };
    };
    structure(service, shape, members, 0)?;
    if matches!(service.protocol, Protocol::RestJson | Protocol::RestXml) {
        for (member, value) in given(shape, members) {
            place(service, member, value).map_err(|it| it.under(member.name))?;
        }
    }
    for (member, value) in given(shape, members).filter(|(it, _)| it.host) {
        host(value).map_err(|it| it.under(member.name))?;
    }
    Ok(())
}

/// The members that have a value, in the model's order.
pub fn given<'a>(shape: &'a Shape, values: &'a Map<String, Json>) -> impl Iterator<Item = (&'a Member, &'a Json)> {
    shape.members.iter().filter_map(|it| values.get(it.name).filter(|value| !value.is_null()).map(|value| (it, value)))
}

fn unknown(name: &str) -> Invalid {
    Invalid::new("is not known to this operation").under(name)
}

fn structure(service: &Service, shape: &Shape, values: &Map<String, Json>, depth: usize) -> Result<(), Invalid> {
    if let Some(name) = values.keys().find(|name| !shape.members.iter().any(|it| it.name == name.as_str())) {
        return Err(unknown(name));
    }
    // A label that is left out would leave its braces in the path.
    let needed = |it: &Member| it.required || it.place == Place::Path;
    let missing = |it: &&Member| needed(it) && values.get(it.name).is_none_or(Json::is_null);
    if let Some(member) = shape.members.iter().find(missing) {
        return Err(Invalid::new("is missing").under(member.name));
    }
    for (member, it) in given(shape, values) {
        value(service, member, it, depth + 1).map_err(|it| it.under(member.name))?;
    }
    Ok(())
}

fn value(service: &Service, member: &Member, value: &Json, depth: usize) -> Result<(), Invalid> {
    if depth > DEPTH {
        return Err(Invalid::new("is nested too deeply"));
    }
    let shape = service.of(member);
    let what = match (shape.kind, value) {
        (Kind::Structure, Json::Object(members)) => return structure(service, shape, members, depth),
        (Kind::List, Json::Array(items)) => return list(service, shape, items, depth),
        (Kind::Map, Json::Object(entries)) => return map(service, shape, entries, depth),
        (Kind::String, Json::String(_)) | (Kind::Boolean, Json::Bool(_)) | (Kind::Float, Json::Number(_)) => return Ok(()),
        (Kind::Float, Json::String(text)) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => return Ok(()),
        (Kind::Integer, Json::Number(number)) => return integer(shape, number),
        (Kind::Timestamp, _) if Time::of(value).is_some() => return Ok(()),
        (Kind::Blob, Json::String(text)) if STANDARD.decode(text).is_ok() => return Ok(()),
        (Kind::Structure | Kind::Map, _) => "is no object",
        (Kind::List, _) => "is no list",
        (Kind::String, _) => "is no text",
        (Kind::Boolean, _) => "is neither true nor false",
        (Kind::Float, _) => "is no number",
        (Kind::Integer, _) => "is no integer",
        (Kind::Timestamp, _) => "is no point in time; write it as 2020-01-02T03:04:05Z, or as seconds since 1970",
        (Kind::Blob, _) => "is no base64",
    };
    Err(Invalid::new(what))
}

fn integer(shape: &Shape, number: &serde_json::Number) -> Result<(), Invalid> {
    match number.as_i64() {
        Some(it) if shape.wide || i32::try_from(it).is_ok() => Ok(()),
        Some(_) => Err(Invalid::new("is too large for this place")),
        None => Err(Invalid::new("is no integer, or too large for one")),
    }
}

fn list(service: &Service, shape: &Shape, items: &[Json], depth: usize) -> Result<(), Invalid> {
    let Some(inner) = shape.inner() else { return Ok(()) };
    for (at, item) in items.iter().enumerate() {
        value(service, inner, item, depth + 1).map_err(|it| it.under(&at.to_string()))?;
    }
    Ok(())
}

fn map(service: &Service, shape: &Shape, entries: &Map<String, Json>, depth: usize) -> Result<(), Invalid> {
    let Some(inner) = shape.inner() else { return Ok(()) };
    for (key, item) in entries {
        value(service, inner, item, depth + 1).map_err(|it| it.under(key))?;
    }
    Ok(())
}

/// What may not stand in a header or a path, whatever its shape.
fn place(service: &Service, member: &Member, value: &Json) -> Result<(), Invalid> {
    match (member.place, value) {
        (Place::Header, Json::String(text)) if service.of(member).kind != Kind::Timestamp => header(text),
        (Place::Header, Json::Array(items)) => items.iter().filter_map(Json::as_str).try_for_each(header),
        (Place::Headers, Json::Object(entries)) => {
            for (name, value) in entries {
                let token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
                if !name.bytes().all(token) {
                    return Err(Invalid::new("is no name for a header").under(name));
                }
                header(value.as_str().unwrap_or_default()).map_err(|it| it.under(name))?;
            }
            Ok(())
        }
        (Place::Path, Json::String(text)) => path(text::label(service, text)),
        _ => Ok(()),
    }
}

fn header(text: &str) -> Result<(), Invalid> {
    if text.bytes().all(|it| matches!(it, b'\t' | b' '..=b'~')) {
        Ok(())
    } else {
        Err(Invalid::new("stands in a header, where only printable ASCII can"))
    }
}

/// A part that is empty makes another path, and `..` is taken out by whoever normalises it on the way.
fn path(text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        Err(Invalid::new("is empty, and part of a path"))
    } else if text.split('/').any(|it| matches!(it, "." | "..")) {
        Err(Invalid::new("is part of a path, and may have no part `.` or `..`"))
    } else {
        Ok(())
    }
}

/// A label of the host name.
fn host(value: &Json) -> Result<(), Invalid> {
    let text = value.as_str().unwrap_or_default();
    let good = (1..=63).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
    if good && !text.starts_with('-') { Ok(()) } else { Err(Invalid::new("is no label of a host name")) }
}
