//! Documents of the three kinds: what a person declares, and the one form in which declared and observed objects compare.
//!
//! The scope of every object is its zone, in lower case and without the final dot; the key of a record set is its name within
//! the zone and its type: `www A`, `@ MX`.

use serde_json::{Map, json};
use trueup_sdk::{Address, Declared, Desired, Error, Json, Rendered, Result, Severity};

use crate::name::{Context, Name, Style, shorten};
use crate::rdata::encoding::{MAX_TTL, parse_ttl};
use crate::rdata::{self, Type};
use crate::set::{Problem, Rdata, RecordSet, check_set, is_servers};
use crate::zonefile;

/// The kinds that exist on servers.
pub const ZONE: &str = "Zone";
pub const RECORD_SET: &str = "RecordSet";

/// A field that may wait for another resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<T> {
    Known(T),
    /// `{"$unknown": …}`, as it stands.
    Unknown(Json),
}

/// A declared record set.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    pub zone: Name,
    pub name: Name,
    pub rtype: Type,
    /// None: the provider's default at creation, then whatever the server has.
    pub ttl: Option<Field<u32>>,
    /// In canonical order, unknown ones last; or unknown as a whole.
    pub values: Field<Vec<Field<Rdata>>>,
}

/// A declared zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub name: Name,
    /// All sets of the zone are claimed, but the server's and the ignored.
    pub authoritative: bool,
    pub ignore: Vec<Ignore>,
    /// `Native` or `Master`, where the server knows kinds.
    pub kind: Option<String>,
    /// For the NS records that a new zone begins with.
    pub nameservers: Vec<Name>,
}

/// A pattern of sets that an authoritative zone leaves alone: `_acme-challenge* TXT`, `*.dyn`, `@ CAA`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignore {
    /// Of names within the zone; `*` stands for any characters, dots too.
    name: String,
    rtype: Option<Type>,
}

/// The scope of all objects of a zone.
pub fn scope(zone: &Name) -> String {
    zone.without_dot()
}

/// The key of a record set.
pub fn key(zone: &Name, name: &Name, rtype: Type) -> String {
    format!("{} {rtype}", name.relative_to(zone))
}

/// The name and type of a key.
///
/// # Errors
/// For a text that [`key`] does not make.
pub fn parse_key(zone: &Name, key: &str) -> Result<(Name, Type)> {
    let wrong = || Error::internal(format!("`{}` is no key of a record set", shorten(key)));
    let (name, rtype) = key.rsplit_once(' ').ok_or_else(wrong)?;
    let name = Name::parse(name, Context { origin: zone, style: Style::Master }).map_err(|_| wrong())?;
    Ok((name, Type::parse(rtype).map_err(|_| wrong())?))
}

/// The canonical document of a known set, as text: what a server has, and what a master file says.
pub fn text(zone: &Name, set: &RecordSet) -> String {
    let mut out = String::with_capacity(96 + set.values.iter().map(|it| it.len() * 2 + 4).sum::<usize>());
    out.push_str("{\"spec\":{\"name\":");
    quote(&set.name.declared_in(zone), &mut out);
    rdata::field::print_display(format_args!(",\"ttl\":{},\"type\":\"{}\",\"values\":[", set.ttl, set.rtype), &mut out);
    let mut value = String::with_capacity(64);
    for (index, wire) in set.values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        value.clear();
        rdata::print(set.rtype, wire, &mut value);
        quote(&value, &mut out);
    }
    out.push_str("],\"zone\":");
    quote(&scope(zone), &mut out);
    out.push_str("}}");
    out
}

/// The set of a canonical document: one that [`text`] or [`Declaration::doc`] wrote, once nothing of it is unknown. Without a
/// TTL it has `ttl`.
///
/// # Errors
/// `internal` for any other document.
pub fn stored_set(name: &Name, rtype: Type, doc: &str, ttl: u32) -> Result<RecordSet> {
    read_set(name, rtype, doc, ttl, None)
}

/// As [`stored_set`], of a set that may hold what no rule allows: such a value is the bytes of its text, to be compared and never to
/// be sent.
///
/// # Errors
/// As [`stored_set`].
pub fn observed_set(name: &Name, rtype: Type, doc: &str, ttl: u32) -> Result<RecordSet> {
    read_set(name, rtype, doc, ttl, Some(|text| text.as_bytes().into()))
}

/// `strange` makes a value of a text that is none.
fn read_set(name: &Name, rtype: Type, doc: &str, ttl: u32, strange: Option<fn(&str) -> Rdata>) -> Result<RecordSet> {
    let doc: Json = serde_json::from_str(doc)?;
    let wrong = |rule: &str| Error::internal(format!("the document of {name} {rtype} is not canonical: {rule}"));
    let spec = doc.get("spec").ok_or_else(|| wrong("it has no `spec`"))?;
    let ttl = match spec.get("ttl") {
        None => ttl,
        Some(it) => it.as_u64().and_then(|it| u32::try_from(it).ok()).ok_or_else(|| wrong("its TTL is no number"))?,
    };
    let values = spec.get("values").and_then(Json::as_array).ok_or_else(|| wrong("it has no list of values"))?;
    let root = Name::root();
    let context = Context { origin: &root, style: Style::Observed };
    let value = |it: &Json| {
        let text = it.as_str().ok_or_else(|| wrong("a value is no text"))?;
        let mut wire = Vec::with_capacity(text.len());
        match (rdata::parse_text(rtype, text, context, &mut wire), strange) {
            (Ok(()), _) => Ok(Rdata::from(wire)),
            (Err(_), Some(strange)) => Ok(strange(text)),
            (Err(it), None) => Err(wrong(&it.rule)),
        }
    };
    let mut set =
        RecordSet { name: name.clone(), rtype, ttl, values: values.iter().map(value).collect::<Result<_>>()?, raw: Vec::new() };
    set.settle();
    Ok(set)
}

/// Appends a canonical spelling as JSON: it is printable ASCII, so that only two characters need an escape.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

fn invalid(problem: &Problem, pointer: &str) -> Error {
    Error::invalid("dns.record", problem.to_string()).at(pointer)
}

fn text_field<'a>(spec: &'a Map<String, Json>, field: &str) -> Result<Option<&'a str>> {
    match spec.get(field) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => {
            let message = format!("`{field}` must be a text that is known before apply");
            Err(Error::invalid("dns.field", message).at(format!("/spec/{field}")))
        }
    }
}

/// The part of a resource's name that a record's name defaults to: without a namespace.
fn bare(resource: &str) -> &str {
    resource.rsplit('/').next().unwrap_or(resource)
}

fn declared_zone(spec: &Map<String, Json>) -> Result<Name> {
    let text = text_field(spec, "zone")?.ok_or_else(|| Error::invalid("dns.zone", "`zone` is missing").at("/spec"))?;
    Name::absolute(text).map_err(|rule| Error::invalid("dns.zone", format!("zone: {rule}")).at("/spec/zone"))
}

impl Declaration {
    /// Reads the `spec` of a record set; `resource` is what `metadata.name` says.
    ///
    /// # Errors
    /// Names record, field and rule, and points at the field.
    pub fn parse(spec: &Map<String, Json>, resource: &str) -> Result<Self> {
        let zone = declared_zone(spec)?;
        let given = text_field(spec, "name")?;
        let label = given.unwrap_or_else(|| bare(resource));
        let context = Context { origin: &zone, style: Style::Document };
        let name = Name::parse(label, context).map_err(|rule| {
            let default = if given.is_none() { "; without `name` the record has the name of the resource" } else { "" };
            Error::invalid("dns.record", format!("name: {rule}{default}")).at("/spec/name")
        })?;
        let rtype = text_field(spec, "type")?
            .ok_or_else(|| Error::invalid("dns.type", format!("{name}: `type` is missing")).at("/spec"))?;
        let rtype =
            Type::parse(rtype).map_err(|rule| Error::invalid("dns.type", format!("{name}: type: {rule}")).at("/spec/type"))?;
        if is_servers(&zone, &zone, rtype) && rtype != Type::NS {
            let rule = format!("{rtype} records are the server's");
            return Err(invalid(&Problem::new(&name, rtype, "type", rule), "/spec/type"));
        }
        let ttl = spec.get("ttl").map(|it| parse_ttl_field(it, &name, rtype)).transpose()?;
        let values = parse_values(spec, &name, rtype, context)?;
        let count = if let Field::Known(values) = &values { values.len() } else { 1 };
        check_set(&zone, &name, rtype, count).map_err(|problem| {
            let field = match problem.field {
                "values" if spec.contains_key("value") => "value",
                field => field,
            };
            let pointer = if spec.contains_key(field) { format!("/spec/{field}") } else { "/spec".to_owned() };
            invalid(&problem, &pointer)
        })?;
        Ok(Self { zone, name, rtype, ttl, values })
    }

    pub fn address(&self) -> Address {
        Address { kind: RECORD_SET.to_owned(), scope: scope(&self.zone), key: key(&self.zone, &self.name, self.rtype) }
    }

    /// The canonical document.
    pub fn doc(&self) -> Json {
        let ttl = self.ttl.as_ref().map(|ttl| match ttl {
            Field::Known(ttl) => Json::from(*ttl),
            Field::Unknown(it) => it.clone(),
        });
        let values = match &self.values {
            Field::Unknown(it) => it.clone(),
            Field::Known(values) => values.iter().map(|it| self.value(it)).collect(),
        };
        spec_of([
            ("zone", Some(Json::from(scope(&self.zone)))),
            ("name", Some(Json::from(self.name.declared_in(&self.zone)))),
            ("type", Some(Json::from(self.rtype.to_string()))),
            ("ttl", ttl),
            ("values", Some(values)),
        ])
    }

    fn value(&self, value: &Field<Rdata>) -> Json {
        match value {
            Field::Unknown(it) => it.clone(),
            Field::Known(wire) => {
                let mut text = String::new();
                rdata::print(self.rtype, wire, &mut text);
                Json::from(text)
            }
        }
    }
}

fn is_unknown(value: &Json) -> bool {
    value.get("$unknown").is_some_and(Json::is_string)
}

fn parse_ttl_field(value: &Json, name: &Name, rtype: Type) -> Result<Field<u32>> {
    let ttl = match value {
        Json::Number(number) => {
            let seconds = number.as_u64().and_then(|it| u32::try_from(it).ok()).filter(|it| *it <= MAX_TTL);
            seconds.ok_or_else(|| format!("must be 0 to {MAX_TTL} seconds"))
        }
        Json::String(text) => parse_ttl(text),
        _ if is_unknown(value) => return Ok(Field::Unknown(value.clone())),
        _ => Err("must be seconds, or a text with units such as 1h30m".to_owned()),
    };
    ttl.map(Field::Known).map_err(|rule| invalid(&Problem::new(name, rtype, "ttl", rule), "/spec/ttl"))
}

fn parse_values(spec: &Map<String, Json>, name: &Name, rtype: Type, context: Context<'_>) -> Result<Field<Vec<Field<Rdata>>>> {
    let one = spec.get("value").map(std::slice::from_ref);
    let (list, whole) = match (one, spec.get("values")) {
        (Some(one), None) => (one, "/spec/value"),
        (None, Some(Json::Array(list))) => (list.as_slice(), "/spec/values"),
        (None, Some(it)) if is_unknown(it) => return Ok(Field::Unknown(it.clone())),
        (None, Some(_)) => return Err(invalid(&Problem::new(name, rtype, "values", "must be a list of texts"), "/spec/values")),
        _ => {
            return Err(invalid(
                &Problem::new(name, rtype, "values", "exactly one of `value` and `values` must be given"),
                "/spec",
            ));
        }
    };
    let pointer = |index: usize| if one.is_some() { whole.to_owned() } else { format!("{whole}/{index}") };
    let (mut known, mut unknown) = (Vec::<(Rdata, usize)>::with_capacity(list.len()), Vec::new());
    for (index, value) in list.iter().enumerate() {
        let Json::String(text) = value else {
            if is_unknown(value) {
                unknown.push(Field::Unknown(value.clone()));
                continue;
            }
            return Err(invalid(&Problem::new(name, rtype, "values", "a value must be a text, in quotes"), &pointer(index)));
        };
        let mut wire = Vec::with_capacity(text.len());
        let parsed = rdata::parse_text(rtype, text, context, &mut wire).and_then(|()| rdata::check(rtype, &wire));
        parsed.map_err(|it| {
            let field = if it.field.is_empty() { "values" } else { it.field };
            invalid(&Problem::new(name, rtype, field, it.rule), &pointer(index))
        })?;
        known.push((wire.into(), index));
    }
    known.sort();
    if let Some([(_, first), (_, second)]) = known.array_windows::<2>().find(|[one, next]| one.0 == next.0) {
        let rule = format!("duplicate values: the {} repeats the {}", ordinal(*second), ordinal(*first));
        return Err(invalid(&Problem::new(name, rtype, "values", rule), &pointer(*second)));
    }
    Ok(Field::Known(known.into_iter().map(|(wire, _)| Field::Known(wire)).chain(unknown).collect()))
}

/// The place of an item, counted from 1, for messages.
fn ordinal(index: usize) -> String {
    match index {
        0 => "first".to_owned(),
        1 => "second".to_owned(),
        2 => "third".to_owned(),
        _ => format!("{}th", index + 1),
    }
}

impl Ignore {
    /// Reads a pattern: a name within the zone with `*` for any characters, and a type, or `*` or nothing for any type.
    ///
    /// # Errors
    /// For an empty pattern, for a type that is none, and for a name that no name within the zone is spelt like: it would match
    /// nothing, and what it is to keep would go. `style` says whether a forgotten final dot is such a mistake.
    pub fn parse(text: &str, zone: &Name, style: Style) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().ok_or("a pattern must not be empty")?.to_ascii_lowercase();
        if !name.is_ascii() {
            return Err(format!(
                "`{}`: not of ASCII: patterns are of names as servers have them, write the A-label (xn--…)",
                shorten(text)
            ));
        }
        let apex = zone.to_string().to_ascii_lowercase();
        let name = match name.strip_suffix(&apex) {
            Some("") => "@".to_owned(),
            Some(below) if below.ends_with('.') => below.trim_end_matches('.').to_owned(),
            _ if name.ends_with('.') => return Err(format!("`{}` is outside the zone", shorten(text))),
            _ => {
                // What a document of ours holds is relative to the zone, whatever it ends with.
                let ends = apex.strip_suffix('.').filter(|it| !it.is_empty()).and_then(|it| name.strip_suffix(it));
                if style == Style::Document && ends.is_some_and(|it| it.is_empty() || it.ends_with(['.', '*'])) {
                    let name = shorten(&name);
                    return Err(format!("`{name}` has no final dot and would match nothing in the zone: write `{name}.`"));
                }
                name
            }
        };
        let rtype = words.next().filter(|it| *it != "*").map(Type::parse).transpose()?;
        if words.next().is_some() {
            return Err(format!("a pattern is a name and perhaps a type, not `{}`", shorten(text)));
        }
        Ok(Self { name, rtype })
    }

    /// A glob over keys, as the manifest's `claimsExcept` wants it.
    fn spelled(&self) -> String {
        match self.rtype {
            Some(rtype) => format!("{} {rtype}", self.name),
            None => format!("{} *", self.name),
        }
    }
}

impl Zone {
    /// Reads the `spec` of a zone, a person's or one that [`Zone::doc`] wrote; `resource` is what `metadata.name` says.
    ///
    /// # Errors
    /// Names the field and points at it.
    pub fn parse(spec: &Map<String, Json>, resource: &str, style: Style) -> Result<Self> {
        let wrong =
            |field: &str, rule: String| Error::invalid("dns.zone", format!("{field}: {rule}")).at(format!("/spec/{field}"));
        let name = text_field(spec, "name")?.unwrap_or_else(|| bare(resource));
        let name = Name::absolute(name).map_err(|rule| wrong("name", rule))?;
        let authoritative = match spec.get("authoritative") {
            None => false,
            Some(Json::Bool(it)) => *it,
            Some(_) => return Err(wrong("authoritative", "must be true or false".to_owned())),
        };
        let kind = text_field(spec, "kind")?.map(str::to_owned);
        if kind.as_ref().is_some_and(|it| !KINDS.contains(&it.as_str())) {
            return Err(wrong("kind", format!("must be one of {}", KINDS.join(", "))));
        }
        let texts = |field: &'static str| {
            let list = spec.get(field).map_or(Some([].as_slice()), |it| it.as_array().map(Vec::as_slice));
            let texts = list.and_then(|list| list.iter().map(Json::as_str).collect::<Option<Vec<_>>>());
            texts.ok_or_else(|| wrong(field, "must be a list of texts".to_owned()))
        };
        let ignore = texts("ignore")?.into_iter().map(|it| Ignore::parse(it, &name, style)).collect::<Result<Vec<_>, _>>();
        let context = Context { origin: &name, style };
        let nameservers = texts("nameservers")?.into_iter().map(|it| Name::parse(it, context)).collect::<Result<Vec<_>, _>>();
        let (ignore, nameservers) =
            (ignore.map_err(|it| wrong("ignore", it))?, nameservers.map_err(|it| wrong("nameservers", it))?);
        Ok(Self { name, authoritative, ignore, kind, nameservers })
    }

    pub fn address(&self) -> Address {
        zone_address(&self.name)
    }

    /// The canonical document: what was not declared is not there.
    pub fn doc(&self) -> Json {
        let list = |it: Vec<Json>| (!it.is_empty()).then_some(Json::Array(it));
        spec_of([
            ("name", Some(Json::from(scope(&self.name)))),
            ("authoritative", self.authoritative.then_some(Json::Bool(true))),
            ("ignore", list(self.ignore.iter().map(|it| Json::from(it.spelled())).collect())),
            ("kind", self.kind.as_deref().map(Json::from)),
            ("nameservers", list(self.nameservers.iter().map(|it| Json::from(it.to_string())).collect())),
        ])
    }
}

/// A document with these fields.
pub fn spec_of<const N: usize>(fields: [(&str, Option<Json>); N]) -> Json {
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    json!({ "spec": fields.collect::<Map<_, _>>() })
}

/// The kinds of zones that PowerDNS has and that can be written to.
pub const KINDS: [&str; 2] = ["Native", "Master"];

/// The address of a zone: its scope is its own, so that it claims what is in it.
pub fn zone_address(zone: &Name) -> Address {
    Address { kind: ZONE.to_owned(), scope: scope(zone), key: scope(zone) }
}

/// The canonical objects of one declaration. `blob` reads a file of the revision by its digest and size.
pub fn render(item: &Declared, blob: impl FnOnce(&str, u64) -> Result<Vec<u8>>) -> Rendered {
    match objects(item, blob) {
        Ok(objects) => Rendered { objects, diagnostics: Vec::new() },
        Err(errors) => {
            Rendered { objects: Vec::new(), diagnostics: errors.iter().map(|it| it.diagnostic(Severity::Error)).collect() }
        }
    }
}

fn objects(item: &Declared, blob: impl FnOnce(&str, u64) -> Result<Vec<u8>>) -> Result<Vec<Desired>, Vec<Error>> {
    let desired = |address, doc: String| Desired { address, doc, after: Vec::new(), ext: Vec::new() };
    let doc: Json = serde_json::from_str(&item.doc).map_err(|it| vec![it.into()])?;
    let spec = doc.get("spec").and_then(Json::as_object);
    let spec = spec.ok_or_else(|| vec![Error::invalid("dns.spec", "`spec` is missing")])?;
    match item.address.kind.as_str() {
        RECORD_SET => {
            let set = Declaration::parse(spec, &item.address.key).map_err(|it| vec![it])?;
            Ok(vec![desired(set.address(), set.doc().to_string())])
        }
        ZONE => {
            let zone = Zone::parse(spec, &item.address.key, Style::Document).map_err(|it| vec![it])?;
            Ok(vec![desired(zone.address(), zone.doc().to_string())])
        }
        "ZoneFile" => {
            let zone = declared_zone(spec).map_err(|it| vec![it])?;
            let sets = zone_file(spec, &zone, blob)?;
            let address = |set: &RecordSet| Address {
                kind: RECORD_SET.to_owned(),
                scope: scope(&zone),
                key: key(&zone, &set.name, set.rtype),
            };
            Ok(sets.iter().map(|set| desired(address(set), text(&zone, set))).collect())
        }
        other => Err(vec![Error::unsupported(format!("the dns provider has no kind `{other}`"))]),
    }
}

/// What the file that `source` names says.
fn zone_file(
    spec: &Map<String, Json>,
    zone: &Name,
    blob: impl FnOnce(&str, u64) -> Result<Vec<u8>>,
) -> Result<Vec<RecordSet>, Vec<Error>> {
    let at = |error: Error| error.at("/spec/source");
    let source = spec.get("source").and_then(|it| Some((it.get("$blob")?.as_str()?, it.get("size")?.as_u64()?)));
    let (digest, size) = source
        .ok_or_else(|| vec![at(Error::invalid("dns.source", "the source must be the path of a file in the repository"))])?;
    if size > zonefile::MAX_BYTES as u64 {
        let message = format!("the file has {size} bytes, more than {} MiB", zonefile::MAX_BYTES >> 20);
        return Err(vec![at(Error::invalid("dns.source", message))]);
    }
    let bytes = blob(digest, size).map_err(|it| vec![at(it)])?;
    zonefile::parse(&bytes, zone)
        .map_err(|errors| errors.iter().map(|it| at(Error::invalid("dns.zonefile", it.to_string()))).collect())
}

#[cfg(test)]
mod tests;
