//! JSON values as the engine uses them: canonical text, digests, paths, and the three markers.
//!
//! Documents travel as [`Json`], whose maps are sorted, so that [`canonical`] text of equal documents is equal text.
//! Three reserved objects stand for values that are not there:
//! - `{"$unknown": "Kind/name"}`: known after that resource's step;
//! - `{"$secret": "name", "hmac": "<hex>"}`: a secret; the HMAC (under the store's key) tells whether it changed and is
//!   never shown. `name` is empty where no name is known (a sensitive value found in an observation);
//! - `{"$blob": "<sha256>", "size": n}`: a file of the revision.

use std::fmt;

pub use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

/// SHA-256, shown as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Digest of a value's canonical text.
    pub fn of_json(value: &Json) -> Self {
        Self::of(canonical(value).as_bytes())
    }

    /// Reads 64 lower-case hex digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut out = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (index, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(out))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Compact JSON text with sorted keys (the form of RFC 8785 for the integers and strings we allow).
pub fn canonical(value: &Json) -> String {
    value.to_string()
}

/// What a reserved object stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker<'a> {
    /// Known after this resource (its shortest form).
    Unknown(&'a str),
    /// A secret: its name (may be empty) and the HMAC of its value (may be empty while not computed).
    Secret { name: &'a str, hmac: &'a str },
    /// A file of the revision.
    Blob { sha256: &'a str, size: u64 },
}

/// The marker that `value` is, if it is one.
pub fn marker(value: &Json) -> Option<Marker<'_>> {
    let map = value.as_object().filter(|map| map.len() <= 2)?;
    let text = |key: &str| map.get(key).and_then(Json::as_str);
    if let Some(address) = text("$unknown") {
        return Some(Marker::Unknown(address));
    }
    if let Some(name) = text("$secret") {
        return Some(Marker::Secret { name, hmac: text("hmac").unwrap_or_default() });
    }
    let sha256 = text("$blob")?;
    Some(Marker::Blob { sha256, size: map.get("size")?.as_u64()? })
}

/// `{"$unknown": …}`
pub fn unknown(after: &str) -> Json {
    json!({ "$unknown": after })
}

/// `{"$secret": …, "hmac": …}`
pub fn secret(name: &str, hmac: &str) -> Json {
    json!({ "$secret": name, "hmac": hmac })
}

/// `{"$blob": …, "size": …}`
pub fn blob(sha256: &Digest, size: u64) -> Json {
    json!({ "$blob": sha256.to_string(), "size": size })
}

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A member of a mapping.
    Key(String),
    /// An item of a list, by position from 0.
    Index(usize),
    /// The item of a list whose merge key has this value: `[name=web]`.
    Item { key: String, value: String },
}

/// Where a value stands in a document: dotted for people (`spec.ports[0]`, `spec["a.b"]`, `spec.env[name=A].value`),
/// the same in flags, in `trueup.dev/ignore` and in plans.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// Reads the dotted form back. None where it is not well formed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (segment, after) = bracket(inner)?;
                segments.push(segment);
                rest = after;
            } else {
                let name = if segments.is_empty() { rest } else { rest.strip_prefix('.')? };
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (key, after) = name.split_at(end);
                if key.is_empty() {
                    return None;
                }
                segments.push(Segment::Key(key.to_owned()));
                rest = after;
            }
        }
        Some(Self(segments))
    }

    /// From an RFC 6901 pointer; digits become an index only where `root` has a list at that place.
    pub fn from_pointer(pointer: &str, root: &Json) -> Self {
        let mut at = Some(root);
        let mut segments = Vec::new();
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            match (at, token.parse::<usize>()) {
                (Some(Json::Array(items)), Ok(index)) => {
                    segments.push(Segment::Index(index));
                    at = items.get(index);
                }
                (value, _) => {
                    at = value.and_then(|it| it.get(&token));
                    segments.push(Segment::Key(token));
                }
            }
        }
        Self(segments)
    }

    /// RFC 6901 pointer of this path in `root`; None where an item is not there.
    pub fn to_pointer(&self, root: &Json) -> Option<String> {
        let mut at = Some(root);
        let mut out = String::new();
        for segment in &self.0 {
            let token = match segment {
                Segment::Key(key) => key.replace('~', "~0").replace('/', "~1"),
                Segment::Index(index) => index.to_string(),
                Segment::Item { .. } => position(at?, segment)?.to_string(),
            };
            at = at.and_then(|it| step(it, segment));
            out.push('/');
            out.push_str(&token);
        }
        Some(out)
    }

    /// The value at this path.
    pub fn get<'a>(&self, root: &'a Json) -> Option<&'a Json> {
        self.0.iter().try_fold(root, step)
    }

    /// This path with one more key.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// This path with one more segment.
    #[must_use]
    pub fn with(&self, segment: Segment) -> Self {
        let mut out = self.0.clone();
        out.push(segment);
        Self(out)
    }

    /// Whether `self` is `other` or stands above it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

/// The inside of a bracket up to `]`, and what follows.
fn bracket(inner: &str) -> Option<(Segment, &str)> {
    if inner.starts_with('"') {
        let mut stream = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let key = stream.next()?.ok()?;
        let after = inner.get(stream.byte_offset()..)?.strip_prefix(']')?;
        return Some((Segment::Key(key), after));
    }
    let (text, after) = inner.split_once(']')?;
    let segment = match item_parts(text) {
        Some((key, value)) => Segment::Item { key, value },
        None => Segment::Index(text.parse().ok()?),
    };
    Some((segment, after))
}

fn position(list: &Json, segment: &Segment) -> Option<usize> {
    let Segment::Item { key, value } = segment else { return None };
    list.as_array()?.iter().position(|item| is_item(key, value, |field| item_key(item.get(field)?)))
}

/// The text that stands for a value of a merge key in a path: texts bare, numbers and booleans as they are written.
pub(crate) fn item_key(value: &Json) -> Option<String> {
    match value {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether an item whose fields `get` gives as texts is the one that `[key=value]` means. Of several fields it may lack all but the
/// first: they have defaults.
pub(crate) fn is_item(key: &str, value: &str, get: impl Fn(&str) -> Option<String>) -> bool {
    let fields: Vec<&str> = key.split(',').collect();
    let mut pairs = fields.iter().zip(value.splitn(fields.len(), ',')).enumerate();
    pairs.all(|(at, (field, want))| get(field).map_or(at > 0, |it| it == want))
}

/// The fields and values of `port=53,protocol=UDP`: one of each where it has no second one.
fn item_parts(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty())?;
    let (mut keys, mut values) = (key.to_owned(), String::new());
    for (at, part) in value.split(',').enumerate() {
        let pair = part.split_once('=').filter(|(key, _)| at > 0 && is_field(key));
        let value = pair.map_or(part, |(key, value)| {
            keys.push(',');
            keys.push_str(key);
            value
        });
        if at > 0 {
            values.push(',');
        }
        values.push_str(value);
    }
    Some((keys, values))
}

fn is_field(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic()) && text.bytes().all(|it| it.is_ascii_alphanumeric())
}

fn step<'a>(value: &'a Json, segment: &Segment) -> Option<&'a Json> {
    match segment {
        Segment::Key(key) => value.as_object()?.get(key),
        Segment::Index(index) => value.as_array()?.get(*index),
        Segment::Item { .. } => value.as_array()?.get(position(value, segment)?),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key)
                    if key.is_empty() || key.contains(['.', '[', ']', '"', '=', '\\']) || key.chars().any(char::is_control) =>
                {
                    write!(f, "[{}]", Json::from(key.as_str()))?;
                }
                Segment::Key(key) if index == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(at) => write!(f, "[{at}]")?,
                Segment::Item { key, value } => {
                    let fields: Vec<&str> = key.split(',').collect();
                    let pairs =
                        fields.iter().zip(value.splitn(fields.len(), ',')).map(|(field, value)| format!("{field}={value}"));
                    write!(f, "[{}]", pairs.collect::<Vec<_>>().join(","))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_from_what_it_prints() {
        for text in [
            "spec",
            "spec.ports[0].port",
            "spec[\"a.b\"].c",
            "spec.env[name=A].value",
            "[\"\"]",
            "data[\"x\\\"y\"]",
            "spec.ports[port=53,protocol=UDP].name",
            "env[name=a,b].x",
        ] {
            let path = Path::parse(text).unwrap_or_else(|| panic!("{text} does not parse"));
            assert_eq!(path.to_string(), text);
        }
        for text in [".a", "a..b", "a[", "a[x", "a[\"b]", "a[=x]", "a[b]"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pointer_and_a_path_name_the_same_place() {
        let root = json!({"spec": {"a/b": [{"name": "x"}, {"name": "y", "v": 1}], "0": 2}});
        let path = Path::from_pointer("/spec/a~1b/1/v", &root);
        assert_eq!(path.to_string(), "spec.a/b[1].v");
        assert_eq!(path.to_pointer(&root).as_deref(), Some("/spec/a~1b/1/v"));
        assert_eq!(Path::from_pointer("/spec/0", &root).to_string(), "spec.0");
        let named = Path::parse("spec.a/b[name=y].v").unwrap();
        assert_eq!(named.get(&root), Some(&json!(1)));
        assert_eq!(named.to_pointer(&root).as_deref(), Some("/spec/a~1b/1/v"));
    }

    #[test]
    fn only_the_exact_shapes_are_markers() {
        assert_eq!(marker(&json!({"$unknown": "K/n"})), Some(Marker::Unknown("K/n")));
        assert_eq!(marker(&secret("db", "00")), Some(Marker::Secret { name: "db", hmac: "00" }));
        assert_eq!(marker(&json!({"$secret": 1})), None);
        assert_eq!(marker(&json!({"a": "$unknown"})), None);
    }
}
