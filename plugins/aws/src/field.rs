//! One field of a document, and the same value in the API: shapes say what it is, a descriptor where it stands and how it is spelt.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use trueup_sdk::host::{blobs, secrets};
use trueup_sdk::{Error, Fault, Json, Result};

use crate::kind::{Field, Kind, Spelling, small};
use crate::model::{self, Kind as Of, Member, Service, Shape};
use crate::{path, policy};

/// Levels of structures in structures that are followed.
const DEPTH: usize = 12;
/// Bytes of a file that goes along in a request.
const BLOB: u64 = 64 << 20;
/// Bytes that are asked for at once.
const PIECE: u64 = 4 << 20;

/// A field with the shape of its value; none where the model knows no more than that it is a text.
#[derive(Clone, Copy)]
pub struct Typed<'a> {
    pub service: &'static Service,
    pub shape: Option<&'static Shape>,
    pub field: &'a Field,
    /// It is an item of the field's list, and no list itself.
    pub one: bool,
}

/// Fields below a field whose descriptor names none.
static PLAIN: Field = Field {
    about: None,
    at: None,
    read: None,
    spelling: Spelling::Plain,
    scalar: None,
    fields: None,
    list: false,
    required: false,
    immutable: false,
    initial: false,
    secret: false,
    write_only: false,
    beside: BTreeMap::new(),
    unordered: false,
    key: Vec::new(),
    default: None,
    without: Vec::new(),
    blob: false,
    words: Vec::new(),
    member: None,
    digest_of: Vec::new(),
};

/// The service of a kind.
///
/// # Errors
/// Where its descriptor names none, which the crate's own tests rule out.
pub fn service(kind: &Kind) -> Result<&'static Service> {
    model::service(&kind.service).ok_or_else(|| Error::internal(format!("there is no model of `{}`", kind.service)))
}

/// The shape of an operation's input.
pub fn input(service: &'static Service, call: &str) -> Option<&'static Shape> {
    service.input(service.operation(call)?)
}

/// The shape that a path of a descriptor leads to.
pub fn shape_at(service: &'static Service, from: &'static Shape, path: &str) -> Option<&'static Shape> {
    let names: String = path.split(['[', ']']).step_by(2).collect();
    let names = names.split('.').filter(|it| !it.is_empty()).collect::<Vec<_>>().join(".");
    let member = service.member(from, &names)?;
    Some(service.of(member))
}

/// A field of a kind with the shape that the call which sets it gives its value.
pub fn typed<'a>(kind: &'a Kind, name: &str, field: &'a Field) -> Result<Typed<'a>> {
    let service = service(kind)?;
    let setter = || kind.setter(name).filter(|_| !kind.at_create(name));
    let (call, under, place) = match setter() {
        Some(update) => {
            let named = update.fields.get(name).cloned().flatten();
            let items = update.add.as_ref().map(|it| (it.call.as_str(), "", it.at.clone()));
            let sets = update.call.as_deref().map(|it| (it, update.under.as_str(), named.unwrap_or_else(|| field.place(name))));
            sets.or(items).unwrap_or(("", "", String::new()))
        }
        None => (kind.create.call.as_str(), kind.create.under.as_str(), field.place(name)),
    };
    let full = if under.is_empty() { place } else { format!("{under}.{place}") };
    let shape = input(service, call).and_then(|it| shape_at(service, it, &full));
    Ok(Typed { service, shape, field, one: false })
}

impl<'a> Typed<'a> {
    /// A member of a structure whose descriptor names none.
    pub fn member(&self, member: &'static Member) -> Typed<'static> {
        Typed { service: self.service, shape: Some(self.service.of(member)), field: &PLAIN, one: false }
    }

    /// What a list holds, or a mapping.
    pub fn item(&self) -> Typed<'a> {
        // A list that the API takes item by item has the shape of one.
        let alone = self.field.list && !self.one && self.shape.is_some_and(|it| it.kind != Of::List);
        let inner = if alone { self.shape } else { self.shape.and_then(Shape::inner).map(|it| self.service.of(it)) };
        Typed { shape: inner, one: true, ..*self }
    }

    /// A part of a structure that its descriptor names.
    pub fn part(&self, name: &str, field: &'a Field) -> Typed<'a> {
        let place = field.place(name);
        Typed { shape: self.shape.and_then(|it| shape_at(self.service, it, &place)), service: self.service, field, one: false }
    }

    /// Whether its value is a list.
    pub fn is_list(&self) -> bool {
        (self.field.list && !self.one)
            || self.field.spelling == Spelling::Commas
            || self.field.member.is_some()
            || (self.field.fields.is_none() && self.shape.is_some_and(|it| it.kind == Of::List) && !self.is_mapping())
    }

    /// Whether its value is a mapping with keys of the document's own.
    pub fn is_mapping(&self) -> bool {
        self.field.spelling == Spelling::Pairs
            || (self.field.fields.is_none()
                && self.shape.is_some_and(|it| it.kind == Of::Map)
                && self.field.spelling == Spelling::Plain)
    }

    /// The members of a structure that documents have, with their names there.
    pub fn members(&self) -> Vec<(String, &'static Member)> {
        let Some(shape) = self.shape.filter(|it| it.kind == Of::Structure) else { return Vec::new() };
        let known = |it: &&Member| !self.field.without.iter().any(|name| name == it.name);
        shape.members.iter().filter(known).map(|it| (small(it.name), it)).collect()
    }

    /// The value as a request has it.
    ///
    /// # Errors
    /// Where a secret or a file of the revision is not to be had.
    pub fn to_api(&self, value: &Json) -> Result<Json> {
        self.write(value, 0)
    }

    fn write(&self, value: &Json, depth: usize) -> Result<Json> {
        if depth > DEPTH {
            return Err(Error::invalid("aws.depth", "the value is nested too deeply"));
        }
        if let Some(opened) = opened(value)? {
            return Ok(self.content(opened));
        }
        if !self.field.digest_of.is_empty() {
            return Ok(value.clone());
        }
        if let (Some(on), [off, word]) = (value.as_bool(), &*self.field.words) {
            return Ok(Json::from(if on { word.as_str() } else { off.as_str() }));
        }
        if let (Some(member), Json::Array(items)) = (&self.field.member, value) {
            return Ok(items.iter().map(|it| trueup_sdk::json!({ member.as_str(): it })).collect());
        }
        match self.field.spelling {
            Spelling::Json | Spelling::Policy => return Ok(Json::from(text_of(value))),
            Spelling::Base64 => return Ok(Json::from(BASE64_STANDARD.encode(text_of(value)))),
            Spelling::Text => return Ok(Json::from(text_of(value))),
            Spelling::Pairs => return Ok(self.pairs(value)),
            Spelling::Commas => {
                let items: Vec<String> = value.as_array().into_iter().flatten().map(text_of).collect();
                return Ok(Json::from(items.join(",")));
            }
            Spelling::Plain | Spelling::Domain => {}
        }
        match value {
            Json::String(text) if self.shape.is_some_and(|it| it.kind == Of::Blob) => {
                Ok(Json::from(BASE64_STANDARD.encode(text)))
            }
            Json::Array(items) => items.iter().map(|it| self.item().write(it, depth + 1)).collect::<Result<_>>().map(Json::Array),
            Json::Object(fields) => self.write_object(fields, depth),
            other => Ok(other.clone()),
        }
    }

    fn write_object(&self, fields: &serde_json::Map<String, Json>, depth: usize) -> Result<Json> {
        if let Some(named) = &self.field.fields {
            let mut out = Json::Object(serde_json::Map::new());
            for (name, value) in fields {
                let Some(field) = named.get(name) else { continue };
                let value = self.part(name, field).write(value, depth + 1)?;
                let beside = field.beside.iter().find(|(neighbour, _)| fields.contains_key(*neighbour));
                path::put(&mut out, &beside.map_or_else(|| field.place(name), |(_, it)| it.clone()), value);
            }
            return Ok(out);
        }
        let mut out = serde_json::Map::new();
        let map = self.is_mapping();
        let members = if map { Vec::new() } else { self.members() };
        for (name, value) in fields {
            if map || self.shape.is_none() {
                out.insert(name.clone(), self.item().write(value, depth + 1)?);
            } else if let Some((_, member)) = members.iter().find(|(it, _)| it == name) {
                out.insert(member.name.to_owned(), self.member(member).write(value, depth + 1)?);
            }
        }
        Ok(Json::Object(out))
    }

    /// Content of a file or of a secret.
    fn content(&self, bytes: Vec<u8>) -> Json {
        let blob = self.shape.is_some_and(|it| it.kind == Of::Blob) || self.field.spelling == Spelling::Base64;
        match String::from_utf8(bytes) {
            Ok(text) if !blob => Json::from(text),
            Ok(text) => Json::from(BASE64_STANDARD.encode(text)),
            Err(raw) => Json::from(BASE64_STANDARD.encode(raw.into_bytes())),
        }
    }

    fn pairs(&self, value: &Json) -> Json {
        let (key, of) = pair_names(self.service, self.shape);
        let items = value.as_object().into_iter().flatten();
        items.map(|(name, value)| trueup_sdk::json!({ key: name, of: value })).collect()
    }

    /// The value as documents have it; none where there is nothing.
    pub fn of_api(&self, value: &Json) -> Option<Json> {
        self.read(value, 0)
    }

    fn read(&self, value: &Json, depth: usize) -> Option<Json> {
        if value.is_null() || depth > DEPTH {
            return None;
        }
        if !self.field.digest_of.is_empty() {
            return Some(value.clone());
        }
        if let (Some(text), [_, on]) = (value.as_str(), &*self.field.words) {
            return Some(Json::from(text == on));
        }
        if let (Some(member), Json::Array(items)) = (&self.field.member, value) {
            return Some(items.iter().filter_map(|it| it.get(member).cloned()).collect());
        }
        match (self.field.spelling, value) {
            (Spelling::Domain, Json::String(text)) => return Some(Json::from(domain(text))),
            (Spelling::Json, Json::String(text)) => return Some(document(text)),
            (Spelling::Policy, Json::String(text)) => return Some(policy::canonical(document(text))),
            (Spelling::Base64, Json::String(text)) => {
                let plain = BASE64_STANDARD.decode(text).ok().and_then(|it| String::from_utf8(it).ok());
                return Some(Json::from(plain.unwrap_or_else(|| text.clone())));
            }
            (Spelling::Text, Json::String(text)) => return Some(self.scalar(text)),
            (Spelling::Pairs, Json::Array(items)) => return Some(unpaired(items)),
            (Spelling::Commas, Json::String(text)) => {
                return Some(text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(Json::from).collect());
            }
            _ => {}
        }
        match value {
            Json::Array(items) => Some(items.iter().filter_map(|it| self.item().read(it, depth + 1)).collect()),
            Json::Object(_) if self.field.fields.is_some() => self.read_fields(value, depth),
            Json::Object(fields) if self.is_mapping() || self.shape.is_none() => {
                let item = self.item();
                let read = |(name, value): (&String, &Json)| Some((name.clone(), item.read(value, depth + 1)?));
                Some(Json::Object(fields.iter().filter_map(read).collect()))
            }
            Json::Object(fields) => {
                let read = |(name, member): (String, &'static Member)| {
                    Some((name, self.member(member).read(fields.get(member.name)?, depth + 1)?))
                };
                Some(Json::Object(self.members().into_iter().filter_map(read).collect()))
            }
            Json::String(text) if self.field.scalar.is_some() => Some(self.scalar(text)),
            other => Some(other.clone()),
        }
    }

    fn read_fields(&self, value: &Json, depth: usize) -> Option<Json> {
        let named = self.field.fields.as_ref()?;
        let read = |(name, field): (&String, &'a Field)| {
            let source = field.source(name)?;
            let value = self.part(name, field).read(&path::find(value, &source)?, depth + 1)?;
            // Said or left out is the same, and a set knows only what is equal.
            (field.default.as_ref() != Some(&value)).then(|| (name.clone(), value))
        };
        Some(Json::Object(named.iter().filter_map(read).collect()))
    }

    /// A text on the wire that stands for a number or a switch.
    fn scalar(&self, text: &str) -> Json {
        let number = || text.parse::<i64>().ok().map(Json::from).or_else(|| text.parse::<f64>().ok().map(Json::from));
        let read = match self.field.scalar.as_deref() {
            Some("integer" | "number") => number(),
            Some("boolean") => switch(text).map(Json::from),
            _ => None,
        };
        read.unwrap_or_else(|| Json::from(text))
    }
}

/// A switch as services write it.
fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "enabled" | "on" => Some(true),
        "false" | "disabled" | "off" => Some(false),
        _ => None,
    }
}

/// What a list of pairs calls its keys and values.
pub fn pair_names(service: &'static Service, list: Option<&'static Shape>) -> (&'static str, &'static str) {
    let members = list.and_then(Shape::inner).map(|it| service.of(it).members.as_slice()).unwrap_or_default();
    let find = |names: &[&str], default: &'static str| {
        members.iter().map(|it| it.name).find(|it| names.iter().any(|name| name.eq_ignore_ascii_case(it))).unwrap_or(default)
    };
    (
        find(&["Key", "TagKey", "Name", "ParameterKey", "AttributeKey"], "Key"),
        find(&["Value", "TagValue", "ParameterValue"], "Value"),
    )
}

/// A list of keys and values as a mapping.
pub fn unpaired(items: &[Json]) -> Json {
    let pair = |it: &Json| {
        let fields = it.as_object()?;
        let of =
            |names: &[&str]| fields.iter().find(|(name, _)| names.iter().any(|it| it.eq_ignore_ascii_case(name))).map(|it| it.1);
        let key = of(&["Key", "TagKey", "Name", "ParameterKey"])?.as_str()?.to_owned();
        Some((key, of(&["Value", "TagValue", "ParameterValue"]).cloned().unwrap_or_else(|| Json::from(""))))
    };
    Json::Object(items.iter().filter_map(pair).collect())
}

/// A name of DNS in one spelling. Route 53 shows `*` as its code, and every name with its last dot.
pub fn domain(text: &str) -> String {
    text.replace("\\052", "*").trim_end_matches('.').to_ascii_lowercase()
}

/// A scalar as text, a structure as JSON text.
pub fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON text as what it says; IAM escapes it as in a URL.
fn document(text: &str) -> Json {
    let plain = if text.starts_with('%') { unescaped(text) } else { None };
    let text = plain.as_deref().unwrap_or(text);
    serde_json::from_str(text).unwrap_or_else(|_| Json::from(text))
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |it: Option<u8>| char::from(it?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// What stands behind a handle of the engine; none where the value is a plain one.
fn opened(value: &Json) -> Result<Option<Vec<u8>>> {
    let Some(fields) = value.as_object() else { return Ok(None) };
    if let Some(handle) = fields.get("$secret").and_then(Json::as_str) {
        let failed = |_| Error::new(Fault::Denied, "aws.secret", "a secret of the document is not to be had");
        return secrets::reveal(handle).map(|it| Some(it.into_bytes())).map_err(failed);
    }
    match fields.get("$blob").and_then(Json::as_str) {
        Some(digest) => blob(digest, fields.get("size").and_then(Json::as_u64).unwrap_or_default()).map(Some),
        None => Ok(None),
    }
}

/// A file of the revision.
///
/// # Errors
/// Where it is larger than what goes into a request, or the revision does not have it.
pub fn blob(digest: &str, size: u64) -> Result<Vec<u8>> {
    if size > BLOB {
        return Err(Error::invalid("aws.file-size", format!("the file has {size} bytes, and {BLOB} are the most that is sent")));
    }
    let mut out = Vec::new();
    loop {
        let from = u64::try_from(out.len()).unwrap_or(u64::MAX);
        let piece = blobs::read(digest, from, PIECE).ok_or_else(|| Error::internal("the revision does not have the file"))?;
        let done = piece.is_empty();
        out.extend(piece);
        if done || u64::try_from(out.len()).unwrap_or(u64::MAX) >= size {
            return Ok(out);
        }
    }
}

/// The fields of a kind that a document gives, with their shapes.
pub fn given<'a>(kind: &'a Kind, spec: &'a serde_json::Map<String, Json>) -> Result<BTreeMap<&'a str, (Typed<'a>, &'a Json)>> {
    let mut out = BTreeMap::new();
    for (name, value) in spec {
        if let Some((name, field)) = kind.fields.get_key_value(name) {
            out.insert(name.as_str(), (typed(kind, name, field)?, value));
        }
    }
    Ok(out)
}

impl Typed<'_> {
    /// One item of a list as a request has it.
    ///
    /// # Errors
    /// As [`Typed::to_api`].
    pub fn item_to_api(&self, item: &Json) -> Result<Json> {
        match &self.field.fields {
            // The descriptor's fields are those of an item.
            Some(_) => self.write(item, 0),
            None => self.item().to_api(item),
        }
    }
}
