//! The protocols `restJson1` and `restXml`: members in the path, the query, the headers and the body.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html>, <https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::xml::{self, Reader, Tag};
use super::{Wire, check, json, refusal, text};
use crate::model::{Kind, Member, Operation, Place, Protocol, Service, Shape, TimeFormat};

/// Puts each member where the model wants it.
pub fn request(wire: &mut Wire, service: &Service, operation: &Operation, input: &Json) {
    let (path, constants) = operation.uri.split_once('?').unwrap_or((operation.uri, ""));
    wire.query = constants.to_owned();
    wire.path = path.to_owned();
    let (Some(root), Some(shape)) = (&operation.input, service.input(operation)) else { return };
    let nothing = Map::new();
    let members = input.as_object().unwrap_or(&nothing);
    for (member, value) in check::given(shape, members) {
        place(wire, service, member, value);
    }
    body(wire, service, root, shape, members);
}

fn place(wire: &mut Wire, service: &Service, member: &Member, value: &Json) {
    let name = member.wire_name();
    match (member.place, value) {
        (Place::Path, _) => label(wire, service, member, value),
        (Place::Query, Json::Object(entries)) => {
            for (key, value) in entries {
                let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                values.iter().filter_map(Json::as_str).for_each(|it| pair(wire, key, it));
            }
        }
        (Place::Query, Json::Array(items)) => {
            let Some(inner) = service.of(member).inner() else { return };
            items.iter().for_each(|it| pair(wire, name, &scalar(service, inner, it, TimeFormat::Iso8601)));
        }
        (Place::Query, _) => pair(wire, name, &scalar(service, member, value, TimeFormat::Iso8601)),
        (Place::Header, Json::Array(items)) => {
            let Some(inner) = service.of(member).inner() else { return };
            let items: Vec<_> = items.iter().map(|it| quoted(scalar(service, inner, it, TimeFormat::Rfc822))).collect();
            if !items.is_empty() {
                wire.add(name, items.join(","));
            }
        }
        (Place::Header, _) => wire.add(name, scalar(service, member, value, TimeFormat::Rfc822)),
        (Place::Headers, Json::Object(entries)) => {
            for (key, value) in entries {
                wire.add(&format!("{name}{key}"), value.as_str().unwrap_or_default());
            }
        }
        _ => {}
    }
}

fn scalar(service: &Service, member: &Member, value: &Json, format: TimeFormat) -> String {
    text::scalar(service.of(member), member, value, format)
}

fn pair(wire: &mut Wire, name: &str, value: &str) {
    let sign = if wire.query.is_empty() { "" } else { "&" };
    wire.query = format!("{}{sign}{}={}", wire.query, text::escape(name), text::escape(value));
}

/// An item of a list in a header (RFC 9110, 5.6.4).
fn quoted(item: String) -> String {
    if item.contains([',', '"']) { format!("\"{}\"", item.replace('"', "\\\"")) } else { item }
}

/// `{Name}` becomes one part of the path; `{Name+}` keeps its slashes. What is escaped has no braces left.
fn label(wire: &mut Wire, service: &Service, member: &Member, value: &Json) {
    let value = scalar(service, member, value, TimeFormat::Iso8601);
    let name = member.wire_name();
    let value = text::label(service, &value);
    if service.name == "s3" && name == "Bucket" {
        wire.bucket = Some(value.to_owned());
    }
    wire.path = wire.path.replace(&format!("{{{name}}}"), &text::escape(value));
    wire.path = wire.path.replace(&format!("{{{name}+}}"), &text::escape_but(value, "/"));
}

fn body(wire: &mut Wire, service: &Service, root: &Member, shape: &Shape, members: &Map<String, Json>) {
    let as_json = service.protocol == Protocol::RestJson;
    if let Some(payload) = shape.payload() {
        let value = members.get(payload.name).filter(|it| !it.is_null());
        match (service.of(payload).kind, value) {
            (Kind::Blob, Some(Json::String(text))) => wire.body = STANDARD.decode(text).unwrap_or_default(),
            (Kind::String, Some(Json::String(text))) => wire.body = text.clone().into_bytes(),
            (Kind::Blob | Kind::String, _) => {}
            (_, Some(value)) if as_json => json_body(wire, &json::value(service, payload, value)),
            (_, None) if as_json => json_body(wire, &Json::Object(Map::new())),
            (_, Some(value)) => xml_body(wire, xml::write::document(service, payload, value)),
            (_, None) => {}
        }
    } else if as_json {
        if shape.members.iter().any(Member::in_body) {
            json_body(wire, &Json::Object(json::structure(service, shape, members, Member::in_body)));
        }
    } else if check::given(shape, members).any(|(it, _)| it.in_body()) {
        xml_body(wire, xml::write::document(service, root, &Json::Object(members.clone())));
    }
}

fn json_body(wire: &mut Wire, value: &Json) {
    wire.body = value.to_string().into_bytes();
    wire.add("Content-Type", "application/json");
}

fn xml_body(wire: &mut Wire, text: String) {
    wire.body = text.into_bytes();
    wire.add("Content-Type", "application/xml");
}

/// Why an answer of status 200 is no output.
pub enum Failure {
    Garbled(String),
    /// S3 began to answer before it failed, and says so in the body.
    Refused,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Garbled(why)
    }
}

/// Takes each member from where the model has it.
pub fn response(
    service: &Service,
    operation: &Operation,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Json, Failure> {
    let mut out = Map::new();
    let shape = service.output(operation).unwrap_or(Shape::nothing());
    for member in &shape.members {
        if let Some(value) = head(service, member, status, headers)? {
            out.insert(member.name.to_owned(), value);
        }
    }
    if let Some(payload) = shape.payload() {
        if let Some(value) = read_payload(service, payload, body)? {
            out.insert(payload.name.to_owned(), value);
        }
    } else if shape.members.iter().any(Member::in_body) {
        if !body.iter().all(u8::is_ascii_whitespace) {
            out.extend(members(service, operation, shape, body)?);
        }
    } else {
        unread(service, body)?;
    }
    Ok(Json::Object(out))
}

/// A body that nothing is read from. Servers that imitate S3 repeat what they were given; a page or an error is no success.
fn unread(service: &Service, body: &[u8]) -> Result<(), Failure> {
    if !body.trim_ascii_start().starts_with(b"<") {
        return Ok(());
    }
    match service.protocol {
        Protocol::RestXml => begin(body).map(|_| ()),
        _ => Err("is a page".to_owned().into()),
    }
}

/// A member outside the body.
fn head(service: &Service, member: &Member, status: u16, headers: &[(String, String)]) -> Result<Option<Json>, String> {
    let shape = service.of(member);
    match member.place {
        Place::Status => Ok(Some(status.into())),
        Place::Headers => {
            let prefix = member.wire_name();
            let name = |name: &str| {
                let (head, rest) = name.split_at_checked(prefix.len())?;
                head.eq_ignore_ascii_case(prefix).then(|| rest.to_owned())
            };
            let entries = headers.iter().filter_map(|(it, value)| Some((name(it)?, value.as_str().into())));
            Ok(Some(Json::Object(entries.collect())))
        }
        Place::Header => match (refusal::header(headers, member.wire_name()), shape.inner()) {
            (None, _) => Ok(None),
            (Some(text), Some(inner)) => items(text).map(|it| of_header(service, inner, it)).collect::<Result<_, _>>().map(Some),
            (Some(""), None) if shape.kind != Kind::String => Ok(None),
            (Some(text), None) => of_header(service, member, text).map(Some),
        },
        Place::Body | Place::Payload | Place::Query | Place::Path => Ok(None),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

fn of_header(service: &Service, member: &Member, text: &str) -> Result<Json, String> {
    let kind = service.of(member).kind;
    json::parse(kind, text).ok_or_else(|| format!("has a header `{}` that is no {}", member.wire_name(), kind.word()))
}

fn read_payload(service: &Service, payload: &Member, body: &[u8]) -> Result<Option<Json>, Failure> {
    match service.of(payload).kind {
        Kind::Blob => return Ok(Some(STANDARD.encode(body).into())),
        Kind::String => {
            let text = std::str::from_utf8(body).map_err(|_| "is not UTF-8".to_owned())?;
            return Ok(Some(text.into()));
        }
        _ if body.iter().all(u8::is_ascii_whitespace) => return Ok(None),
        _ => {}
    }
    if service.protocol == Protocol::RestJson {
        let value = json::read(service, payload, &json::document(body)?);
        return value.map(Some).map_err(|it| format!("cannot be read: {it}").into());
    }
    let (mut reader, root) = begin(body)?;
    let value = xml::read::value(&mut reader, service, payload, &root)?;
    reader.end()?;
    Ok(value)
}

/// The members that share the body.
fn members(service: &Service, operation: &Operation, shape: &Shape, body: &[u8]) -> Result<Map<String, Json>, Failure> {
    if service.protocol == Protocol::RestJson {
        let Json::Object(values) = json::document(body)? else { return Err("is no object".to_owned().into()) };
        return json::read_structure(service, shape, &values).map_err(|it| format!("cannot be read: {it}").into());
    }
    let (mut reader, root) = begin(body)?;
    let out = match (operation.unwrapped, shape.members.first()) {
        (true, Some(member)) => {
            let value = xml::read::value(&mut reader, service, member, &root)?;
            let value = value.filter(|it| it.as_str() != Some(""));
            value.map(|it| (member.name.to_owned(), it)).into_iter().collect()
        }
        _ => xml::read::structure(&mut reader, service, shape, &root)?,
    };
    reader.end()?;
    Ok(out)
}

fn begin(body: &[u8]) -> Result<(Reader<'_>, Tag<'_>), Failure> {
    let (reader, root) = Reader::begin(body)?;
    match root.name {
        "Error" | "ErrorResponse" => Err(Failure::Refused),
        name if name.eq_ignore_ascii_case("html") => Err("is a page of HTML".to_owned().into()),
        _ => Ok((reader, root)),
    }
}
