//! Reads the compact form of a model, which `models/update.py` describes.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Kind, Member, Namespace, Operation, Page, Place, Protocol, Service, Shape, TimeFormat};

/// Scalars that are named by a letter, with no shape of their own in the text.
const SCALARS: [(&str, Kind, bool); 8] = [
    ("s", Kind::String, false),
    ("i", Kind::Integer, false),
    ("l", Kind::Integer, true),
    ("f", Kind::Float, false),
    ("d", Kind::Float, true),
    ("b", Kind::Boolean, false),
    ("x", Kind::Blob, false),
    ("t", Kind::Timestamp, false),
];

#[derive(Deserialize)]
struct RawService {
    name: &'static str,
    id: &'static str,
    protocol: &'static str,
    #[serde(default)]
    json: &'static str,
    #[serde(default)]
    target: &'static str,
    version: &'static str,
    endpoint: &'static str,
    signing: &'static str,
    namespace: Option<&'static str>,
    global: Option<&'static str>,
    #[serde(default)]
    compatible: bool,
    operations: Pairs<RawOperation>,
    shapes: Pairs<RawShape>,
}

#[derive(Deserialize)]
struct RawOperation {
    http: &'static str,
    #[serde(rename = "in")]
    input: Option<&'static str>,
    #[serde(rename = "out")]
    output: Option<&'static str>,
    wrap: Option<&'static str>,
    page: Option<RawPage>,
    host: Option<&'static str>,
    #[serde(default)]
    checksum: bool,
    #[serde(default)]
    unwrapped: bool,
}

#[derive(Deserialize)]
struct RawPage {
    #[serde(rename = "in")]
    input: Vec<&'static str>,
    #[serde(rename = "out")]
    output: Vec<&'static str>,
    result: Vec<&'static str>,
    limit: Option<&'static str>,
    more: Option<&'static str>,
}

/// The entries of an object in their order.
struct Pairs<T>(Vec<(&'static str, T)>);

impl<'de: 'static, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de: 'static, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Pairs<T>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<Pairs<T>, A::Error> {
                entries(from).map(Pairs)
            }
        }
        from.deserialize_map(Entries(PhantomData))
    }
}

fn entries<'de: 'static, T: Deserialize<'de>, A: MapAccess<'de>>(mut from: A) -> Result<Vec<(&'static str, T)>, A::Error> {
    let mut out = Vec::new();
    while let Some(entry) = from.next_entry()? {
        out.push(entry);
    }
    Ok(out)
}

enum RawShape {
    Structure(Vec<(&'static str, &'static str)>),
    Other(Vec<&'static str>),
}

impl<'de: 'static> Deserialize<'de> for RawShape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de: 'static> Visitor<'de> for Either {
            type Value = RawShape;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a shape")
            }
            fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<RawShape, A::Error> {
                entries(from).map(RawShape::Structure)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<RawShape, A::Error> {
                let mut out = Vec::new();
                while let Some(word) = from.next_element()? {
                    out.push(word);
                }
                if out.is_empty() { Err(A::Error::custom("an empty shape")) } else { Ok(RawShape::Other(out)) }
            }
        }
        from.deserialize_any(Either)
    }
}

/// Reads one service; the error is for who changes the models.
pub fn service(text: &'static str) -> Result<Service, String> {
    let raw: RawService = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let scalars = SCALARS.iter().map(|(name, _, _)| *name);
    let names = scalars.chain(raw.shapes.0.iter().map(|(name, _)| *name)).enumerate().map(|(at, name)| (name, at)).collect();
    let names = Names(names);
    let scalar = |(name, kind, wide): &(&'static str, Kind, bool)| Shape { wide: *wide, ..plain(name, *kind) };
    let mut shapes: Vec<Shape> = SCALARS.iter().map(scalar).collect();
    for (name, it) in raw.shapes.0 {
        shapes.push(shape(name, it, &names)?);
    }
    let operations =
        raw.operations.0.into_iter().map(|(name, it)| operation(name, it, &names, &shapes)).collect::<Result<_, _>>()?;
    Ok(Service {
        name: raw.name,
        id: raw.id,
        protocol: protocol(raw.protocol)?,
        json: raw.json,
        target: raw.target,
        version: raw.version,
        endpoint: raw.endpoint,
        signing: raw.signing,
        namespace: raw.namespace,
        global: raw.global,
        compatible: raw.compatible,
        operations,
        shapes,
    })
}

fn protocol(name: &str) -> Result<Protocol, String> {
    Ok(match name {
        "json" => Protocol::Json,
        "rest-json" => Protocol::RestJson,
        "rest-xml" => Protocol::RestXml,
        "query" => Protocol::Query,
        "ec2" => Protocol::Ec2,
        _ => return Err(format!("unknown protocol {name}")),
    })
}

fn operation(name: &'static str, raw: RawOperation, names: &Names, shapes: &[Shape]) -> Result<Operation, String> {
    let (method, uri) = raw.http.split_once(' ').ok_or_else(|| format!("{name}: no method and path"))?;
    let input = raw.input.map(|it| names.member("", it)).transpose()?;
    let members = input.as_ref().and_then(|it| shapes.get(it.target)).map(|it| it.members.as_slice());
    let token = members.unwrap_or_default().iter().find(|it| it.token).map(|it| it.name);
    Ok(Operation {
        name,
        method,
        uri,
        input,
        output: raw.output.map(|it| names.member("", it)).transpose()?,
        wrapper: raw.wrap,
        page: raw.page.map(page),
        host: raw.host,
        checksum: raw.checksum,
        unwrapped: raw.unwrapped,
        token,
    })
}

fn page(raw: RawPage) -> Page {
    Page { input: raw.input, output: raw.output, result: raw.result, limit: raw.limit, more: raw.more }
}

fn plain(name: &'static str, kind: Kind) -> Shape {
    Shape { name, kind, wide: false, values: Vec::new(), members: Vec::new() }
}

fn shape(name: &'static str, raw: RawShape, names: &Names) -> Result<Shape, String> {
    match raw {
        RawShape::Structure(members) => {
            let members = members.into_iter().map(|(name, words)| names.member(name, words)).collect::<Result<_, _>>()?;
            Ok(Shape { members, ..plain(name, Kind::Structure) })
        }
        RawShape::Other(words) => match words.as_slice() {
            ["list", member] => Ok(Shape { members: vec![names.member("member", member)?], ..plain(name, Kind::List) }),
            ["map", key, value] => {
                Ok(Shape { members: vec![names.member("key", key)?, names.member("value", value)?], ..plain(name, Kind::Map) })
            }
            ["enum", values @ ..] => Ok(Shape { values: values.to_vec(), ..plain(name, Kind::String) }),
            _ => Err(format!("{name}: no shape is {words:?}")),
        },
    }
}

/// The number of each shape.
struct Names(BTreeMap<&'static str, usize>);

impl Names {
    fn member(&self, name: &'static str, words: &'static str) -> Result<Member, String> {
        let mut words = words.split(' ');
        let kind = words.next().unwrap_or_default();
        let target = *self.0.get(kind).ok_or_else(|| format!("{name}: no shape {kind}"))?;
        let mut out = Member {
            name,
            target,
            wire: None,
            query: None,
            place: Place::Body,
            required: false,
            sensitive: false,
            flattened: false,
            attribute: false,
            streaming: false,
            token: false,
            host: false,
            time: None,
            namespace: None,
        };
        for word in words {
            fact(&mut out, word)?;
        }
        Ok(out)
    }
}

fn fact(out: &mut Member, word: &'static str) -> Result<(), String> {
    if let Some(name) = word.strip_prefix("q=") {
        out.query = Some(name);
    } else if let Some(format) = word.strip_prefix("t=") {
        out.time = Some(time(format)?);
    } else if let Some(namespace) = word.strip_prefix("x=") {
        out.namespace = Some(match namespace.split_once('=') {
            Some((prefix, uri)) => Namespace { prefix: Some(prefix), uri },
            None => Namespace { prefix: None, uri: namespace },
        });
    } else if word.starts_with('@') {
        out.place = place(word)?;
    } else if word.starts_with(|it: char| it.is_ascii_punctuation()) {
        return word.chars().try_for_each(|it| flag(out, it));
    } else {
        out.wire = Some(word);
    }
    Ok(())
}

fn time(format: &str) -> Result<TimeFormat, String> {
    Ok(match format {
        "iso8601" => TimeFormat::Iso8601,
        "rfc822" => TimeFormat::Rfc822,
        "unixtimestamp" => TimeFormat::Unix,
        _ => return Err(format!("no format of time is {format}")),
    })
}

fn place(word: &str) -> Result<Place, String> {
    Ok(match word {
        "@b" => Place::Payload,
        "@h" => Place::Header,
        "@m" => Place::Headers,
        "@q" => Place::Query,
        "@u" => Place::Path,
        "@s" => Place::Status,
        _ => return Err(format!("no place is {word}")),
    })
}

fn flag(out: &mut Member, sign: char) -> Result<(), String> {
    let field = match sign {
        '!' => &mut out.required,
        '*' => &mut out.sensitive,
        '~' => &mut out.flattened,
        '^' => &mut out.attribute,
        '$' => &mut out.streaming,
        '#' => &mut out.token,
        '%' => &mut out.host,
        _ => return Err(format!("no sign is {sign}")),
    };
    *field = true;
    Ok(())
}
