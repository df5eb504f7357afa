//! JSON Schema from Rust types.
//!
//! [`Schema`] is implemented for the types that documents are made of, and derived for structs and unit-only enums with
//! `#[derive(Schema)]`. What the type cannot say stands in `#[hint(…)]`:
//!
//! | hint | meaning |
//! |---|---|
//! | `default = v` | filled in where it is not declared |
//! | `min max min_length max_length min_items max_items pattern` | as in JSON Schema |
//! | `immutable` | a change means a replacement |
//! | `computed` | the server's own: never compared |
//! | `unordered`, `list_key = "name"` | a list whose order means nothing; a list merged by this field |
//! | `lowercase`, `uppercase`, `case = "insensitive"` | canonical spelling; comparison without regard to case |
//! | `sensitive`, `write_only` | never shown; never read back. [`Secret`] is both |
//! | `blob` | a path in the repository. [`Blob`] is one |
//! | `status_from("spec.a")` | on an output: changes when that field does |

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::host::{blobs, secrets};
use crate::{Error, Fault, Json, Result, json};

/// A type that documents, settings or outputs may hold.
pub trait Schema {
    /// Whether a field of this type may be left out.
    const OPTIONAL: bool = false;

    /// JSON Schema 2020-12 of the type.
    fn schema() -> Json;
}

macro_rules! plain {
    ($($type:ty => $schema:tt),* $(,)?) => {
        $(impl Schema for $type {
            fn schema() -> Json {
                json!($schema)
            }
        })*
    };
}

plain! {
    String => { "type": "string" },
    bool => { "type": "boolean" },
    u8 => { "type": "integer", "minimum": 0, "maximum": 255 },
    u16 => { "type": "integer", "minimum": 0, "maximum": 65535 },
    u32 => { "type": "integer", "minimum": 0, "maximum": 4294967295u32 },
    u64 => { "type": "integer", "minimum": 0 },
    usize => { "type": "integer", "minimum": 0 },
    i32 => { "type": "integer", "minimum": -2147483648, "maximum": 2147483647 },
    i64 => { "type": "integer" },
    f64 => { "type": "number" },
    Json => {},
    Secret => { "type": "string", "x-trueup-sensitive": true, "x-trueup-write-only": true },
    Blob => { "type": "string", "x-trueup-blob": true },
}

impl Schema for () {
    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": false })
    }
}

impl<T: Schema> Schema for Option<T> {
    const OPTIONAL: bool = true;

    fn schema() -> Json {
        T::schema()
    }
}

impl<T: Schema> Schema for Vec<T> {
    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Schema> Schema for Box<T> {
    const OPTIONAL: bool = T::OPTIONAL;

    fn schema() -> Json {
        T::schema()
    }
}

impl<T: Schema> Schema for std::collections::BTreeMap<String, T> {
    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

/// Builds the schema of an object; the derive macro writes calls of it.
#[derive(Debug)]
pub struct Object {
    description: String,
    properties: Map<String, Json>,
    required: Vec<String>,
}

impl Object {
    /// Without fields yet.
    pub fn new(description: &str) -> Self {
        Self { description: description.to_owned(), properties: Map::new(), required: Vec::new() }
    }

    /// Adds a field with keywords beside those of its type. It is required unless `optional`, or its type is.
    #[must_use]
    pub fn field<T: Schema>(mut self, name: &str, description: &str, optional: bool, keywords: &[(&str, Json)]) -> Self {
        let mut schema = T::schema();
        if let Some(map) = schema.as_object_mut() {
            if !description.is_empty() {
                map.insert("description".to_owned(), Json::from(description));
            }
            map.extend(keywords.iter().map(|(keyword, value)| ((*keyword).to_owned(), value.clone())));
        }
        if !optional && !T::OPTIONAL {
            self.required.push(name.to_owned());
        }
        self.properties.insert(name.to_owned(), schema);
        self
    }

    /// The schema.
    pub fn build(self) -> Json {
        let Self { description, properties, required } = self;
        let mut schema =
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        describe(&mut schema, &description);
        schema
    }
}

/// The schema of a text that is one of `names`.
pub fn choice(description: &str, names: &[&str]) -> Json {
    let mut schema = json!({ "type": "string", "enum": names });
    describe(&mut schema, description);
    schema
}

fn describe(schema: &mut Json, description: &str) {
    if let Some(map) = schema.as_object_mut().filter(|_| !description.is_empty()) {
        map.insert("description".to_owned(), Json::from(description));
    }
}

/// A secret, as its handle. It opens within `apply` only, and shows nothing of itself anywhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    #[serde(rename = "$secret")]
    handle: String,
}

impl Secret {
    /// The value.
    ///
    /// # Errors
    /// `denied` outside `apply` or without the grant; `unauthorized` where the secret is missing; `transient` where its
    /// place cannot be reached.
    pub fn reveal(&self) -> Result<String> {
        secrets::reveal(&self.handle).map_err(|error| match error {
            secrets::SecretError::Denied => Error::new(Fault::Denied, "secret.denied", "a secret was refused to the provider"),
            secrets::SecretError::Missing => Error::new(Fault::Unauthorized, "secret.missing", "a secret has no value"),
            secrets::SecretError::Unavailable(text) => {
                Error::transient("secret.unavailable", format!("a secret cannot be read: {text}"))
            }
        })
    }

    /// The text behind `$secret`, for calls that take a handle.
    pub fn handle(&self) -> &str {
        &self.handle
    }
}

/// The fields of a spec as most services take them in a body: what is null left out, secrets opened. Within `apply` only where
/// there is a secret.
///
/// # Errors
/// As [`Secret::reveal`]; `internal` where the spec is no object.
pub fn fields(spec: &impl Serialize) -> Result<Map<String, Json>> {
    match opened(serde_json::to_value(spec)?)? {
        Json::Object(map) => Ok(map),
        _ => Err(Error::internal("a spec must be an object")),
    }
}

/// A value with its secrets opened, and without members that are null. It is as deep as the type it was made from.
fn opened(value: Json) -> Result<Json> {
    Ok(match value {
        Json::Object(map) => match map.get("$secret").and_then(Json::as_str) {
            Some(handle) if map.len() == 1 => Json::String(Secret { handle: handle.to_owned() }.reveal()?),
            _ => {
                let members = map.into_iter().filter(|(_, it)| !it.is_null());
                Json::Object(members.map(|(name, it)| Ok((name, opened(it)?))).collect::<Result<_>>()?)
            }
        },
        Json::Array(items) => Json::Array(items.into_iter().map(opened).collect::<Result<_>>()?),
        plain => plain,
    })
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// A file of the revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// 64 lower-case hex digits.
    #[serde(rename = "$blob")]
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

impl Blob {
    /// The whole file, if it has at most `limit` bytes. Within `render` and `apply`.
    ///
    /// # Errors
    /// `invalid` above the limit, `internal` where the engine does not have the file.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            return Err(Error::invalid("blob.size", format!("the file has {} bytes; at most {limit} are taken", self.size)));
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < self.size {
            match blobs::read(&self.sha256, bytes.len() as u64, self.size - bytes.len() as u64) {
                Some(more) if !more.is_empty() => bytes.extend(more),
                _ => return Err(Error::internal("a file that the document names is not in the revision")),
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret: Secret = serde_json::from_value(json!({ "$secret": "canary", "hmac": "" })).unwrap();
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(serde_json::to_value(&secret).unwrap(), json!({ "$secret": "canary" }));
    }

    #[test]
    fn the_fields_of_a_spec_hold_secrets_in_plain_within_apply_alone() {
        let double = crate::double::Double::install();
        let spec = json!({ "a": 1, "b": null, "c": [{ "d": double.secret("h", "value") }] });
        double.enter(crate::double::Phase::Observe);
        assert_eq!(fields(&spec).unwrap_err().fault, Fault::Denied);
        double.enter(crate::double::Phase::Apply);
        assert_eq!(Json::Object(fields(&spec).unwrap()), json!({ "a": 1, "c": [{ "d": "value" }] }));
        assert_eq!(fields(&json!([])).unwrap_err().fault, Fault::Internal);
    }

    #[test]
    fn a_blob_is_read_to_its_end_within_a_limit() {
        let double = crate::double::Double::install();
        let blob: Blob = serde_json::from_value(double.blob(b"hello")).unwrap();
        assert_eq!(blob.read(5).unwrap(), b"hello");
        assert_eq!(blob.read(4).unwrap_err().fault, Fault::Invalid);
    }
}
