//! The protocols `awsJson1_0` and `awsJson1_1`, and JSON bodies for `restJson1`.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::time::Time;
use super::{Invalid, Wire, check};
use crate::model::{Kind, Member, Operation, Place, Service, Shape, TimeFormat};

/// Writes the body, and the operation into a header.
pub fn request(wire: &mut Wire, service: &Service, operation: &Operation, input: &Json) {
    let body = match (service.input(operation), input.as_object()) {
        (Some(shape), Some(members)) => structure(service, shape, members, |_| true),
        _ => Map::new(),
    };
    wire.add("Content-Type", format!("application/x-amz-json-{}", service.json));
    wire.add("X-Amz-Target", format!("{}.{}", service.target, operation.name));
    if service.compatible {
        wire.add("x-amzn-query-mode", "true");
    }
    wire.body = Json::Object(body).to_string().into_bytes();
}

/// The members of a structure that are `wanted`, under their names on the wire.
pub fn structure(
    service: &Service,
    shape: &Shape,
    members: &Map<String, Json>,
    wanted: impl Fn(&Member) -> bool,
) -> Map<String, Json> {
    let given = check::given(shape, members).filter(|(member, _)| wanted(member));
    given.map(|(member, it)| (member.wire_name().to_owned(), value(service, member, it))).collect()
}

/// A value as it is on the wire.
pub fn value(service: &Service, member: &Member, it: &Json) -> Json {
    let shape = service.of(member);
    match (shape.kind, it, shape.inner()) {
        (Kind::Structure, Json::Object(members), _) => Json::Object(structure(service, shape, members, |_| true)),
        (Kind::List, Json::Array(items), Some(inner)) => items.iter().map(|it| value(service, inner, it)).collect(),
        (Kind::Map, Json::Object(entries), Some(inner)) => {
            entries.iter().map(|(key, it)| (key.clone(), value(service, inner, it))).collect()
        }
        (Kind::Timestamp, _, _) => match (Time::of(it), member.time.unwrap_or(TimeFormat::Unix)) {
            (None, _) => Json::Null,
            (Some(time), TimeFormat::Unix) => time.unix(),
            (Some(time), format) => time.text(format).into(),
        },
        _ => it.clone(),
    }
}

/// Reads the body.
pub fn response(service: &Service, operation: &Operation, body: &[u8]) -> Result<Json, String> {
    let values = document(body)?;
    match (service.output(operation), values) {
        (Some(shape), Json::Object(values)) => {
            read_structure(service, shape, &values).map(Json::Object).map_err(|it| format!("cannot be read: {it}"))
        }
        (None, _) => Ok(Json::Object(Map::new())),
        _ => Err("is no object".to_owned()),
    }
}

/// A body that is a document; one that is empty or null is an empty object. The parser of `serde_json` bounds the depth.
pub fn document(body: &[u8]) -> Result<Json, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Json::Object(Map::new()));
    }
    match serde_json::from_slice(body) {
        Ok(Json::Null) => Ok(Json::Object(Map::new())),
        Ok(value) => Ok(value),
        // The position only: the text of the parser may repeat what it met.
        Err(error) => Err(format!("is no JSON (line {}, column {})", error.line(), error.column())),
    }
}

/// The members of a structure that stand in the body, under their names in the model.
pub fn read_structure(service: &Service, shape: &Shape, values: &Map<String, Json>) -> Result<Map<String, Json>, Invalid> {
    let mut out = Map::new();
    for member in shape.members.iter().filter(|it| it.place == Place::Body) {
        if let Some(it) = values.get(member.wire_name()).filter(|it| !it.is_null()) {
            let value = read(service, member, it).map_err(|it| it.under(member.name))?;
            out.insert(member.name.to_owned(), value);
        }
    }
    Ok(out)
}

/// A value as it is in the model. Keys of maps stay out of the error: they are as hostile as values.
pub fn read(service: &Service, member: &Member, it: &Json) -> Result<Json, Invalid> {
    let shape = service.of(member);
    match (shape.kind, it, shape.inner()) {
        (_, Json::Null, _) => Ok(Json::Null),
        (Kind::Structure, Json::Object(values), _) => read_structure(service, shape, values).map(Json::Object),
        (Kind::List, Json::Array(items), Some(inner)) => items.iter().map(|it| read(service, inner, it)).collect(),
        (Kind::Map, Json::Object(entries), Some(inner)) => {
            entries.iter().map(|(key, it)| Ok((key.clone(), read(service, inner, it)?))).collect()
        }
        (kind, it, _) => scalar(kind, it).ok_or_else(|| Invalid::new(format!("is no {}", kind.word()))),
    }
}

/// A scalar, also where a server says it as text or, of a text, as a number.
fn scalar(kind: Kind, it: &Json) -> Option<Json> {
    match (kind, it) {
        (Kind::String, Json::String(_)) | (Kind::Boolean, Json::Bool(_)) | (Kind::Float, Json::Number(_)) => Some(it.clone()),
        (Kind::String, Json::Number(_) | Json::Bool(_)) => Some(it.to_string().into()),
        (Kind::Integer, Json::Number(number)) if number.is_i64() || number.is_u64() => Some(it.clone()),
        (Kind::Integer, Json::Number(number)) => whole(number.as_f64()?),
        (Kind::Timestamp, Json::Number(_)) => Some(Time::of(it)?.rfc3339().into()),
        (Kind::Blob, Json::String(text)) => STANDARD.decode(text).is_ok().then(|| it.clone()),
        (_, Json::String(text)) => parse(kind, text),
        _ => None,
    }
}

/// An integer that was written as a float, where that is exact.
fn whole(float: f64) -> Option<Json> {
    #[expect(clippy::cast_possible_truncation, reason = "whole, and in the range where doubles are exact")]
    (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then(|| Json::from(float as i64))
}

/// A scalar of text: of XML, of a header, of a string in JSON.
pub fn parse(kind: Kind, text: &str) -> Option<Json> {
    let trimmed = text.trim();
    match kind {
        Kind::String => Some(text.into()),
        Kind::Blob => STANDARD.decode(trimmed).is_ok().then(|| trimmed.into()),
        Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Some(true.into()),
        Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Some(false.into()),
        Kind::Integer => trimmed.parse::<i64>().map(Json::from).or_else(|_| trimmed.parse::<u64>().map(Json::from)).ok(),
        Kind::Float if matches!(trimmed, "NaN" | "Infinity" | "-Infinity") => Some(trimmed.into()),
        // A double that is not finite makes null of itself.
        Kind::Float => trimmed.parse::<f64>().ok().filter(|it| it.is_finite()).map(Json::from),
        Kind::Timestamp => Some(Time::read(trimmed)?.rfc3339().into()),
        _ => None,
    }
}
