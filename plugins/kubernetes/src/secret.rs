//! Documents of kind `Secret`: one place for each value, so that what is declared and what is seen are compared field by field.
//!
//! The server keeps `data` in Base64 and forgets `stringData`; people write either. Here a value that is text stands in `stringData`,
//! any other one in `data`, in documents as in what is observed; what is sent has all of them in `data`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Map;
use trueup_sdk::{Error, Json, Result};

pub const KIND: &str = "Secret";
/// The fields that hold values.
pub const VALUES: [&str; 2] = ["data", "stringData"];

/// What to write instead of a value.
pub const ADVICE: &str = "write `${{ secret('name') }}` under `stringData`, and put the value into `secrets` of credentials.yaml";

/// What to do about kubectl's copy of a whole Secret.
pub const COPY: &str = "take the annotation out: it is kubectl's copy of the whole Secret, and is neither applied nor kept";

/// Brings every value to its place.
///
/// # Errors
/// Where `data` holds what is no Base64, or a value that is only known later: that would have to be Base64 as well. The text names
/// the key and holds nothing of the value.
pub fn place(doc: &mut Map<String, Json>) -> Result<()> {
    let Some(data) = take(doc, "data")? else { return Ok(()) };
    let mut texts = take(doc, "stringData")?.unwrap_or_default();
    let mut binary = Map::new();
    for (key, value) in data {
        // As the server has it: `stringData` wins.
        if texts.contains_key(&key) || value.is_null() {
            continue;
        }
        let at = || format!("/data/{}", key.replace('~', "~0").replace('/', "~1"));
        let Some(encoded) = value.as_str() else {
            let text = format!("`data` of a Secret holds Base64; write `{key}` under `stringData`");
            return Err(Error::invalid("k8s.secret-data", text).at(at()));
        };
        let bytes = decode(encoded).ok_or_else(|| {
            let text = format!("`{key}` is no Base64; write plain text under `stringData`");
            Error::invalid("k8s.secret-data", text).at(at())
        })?;
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => drop(texts.insert(key, Json::String(text))),
            Ok(text) => drop(binary.insert(key, Json::String(STANDARD.encode(text)))),
            Err(error) => drop(binary.insert(key, Json::String(STANDARD.encode(error.as_bytes())))),
        }
    }
    for (name, map) in [("data", binary), ("stringData", texts)] {
        if !map.is_empty() {
            doc.insert(name.to_owned(), Json::Object(map));
        }
    }
    Ok(())
}

/// Where a document holds values.
pub fn pointers(doc: &Map<String, Json>) -> Vec<String> {
    let below = |field: &&str| {
        let values = doc.get(*field).and_then(Json::as_object).into_iter().flatten();
        values.map(|(key, _)| format!("/{field}/{}", key.replace('~', "~0").replace('/', "~1"))).collect::<Vec<_>>()
    };
    VALUES.iter().flat_map(below).collect()
}

/// Puts every value into `data`, as the server takes it. Secrets are opened already.
///
/// # Errors
/// Where a value is no text.
pub fn encode(doc: &mut Map<String, Json>) -> Result<()> {
    let Some(texts) = take(doc, "stringData")? else { return Ok(()) };
    let mut data = take(doc, "data")?.unwrap_or_default();
    for (key, value) in texts {
        let text = value
            .as_str()
            .ok_or_else(|| Error::invalid("k8s.secret-data", format!("`{key}` under `stringData` must be a text")))?;
        data.insert(key, Json::String(STANDARD.encode(text)));
    }
    doc.insert("data".to_owned(), Json::Object(data));
    Ok(())
}

fn take(doc: &mut Map<String, Json>, name: &str) -> Result<Option<Map<String, Json>>> {
    match doc.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(map)) => Ok(Some(map)),
        Some(_) => {
            Err(Error::invalid("k8s.secret-data", format!("`{name}` of a Secret must be a mapping")).at(format!("/{name}")))
        }
    }
}

/// As Go reads it: line breaks within are nothing.
fn decode(text: &str) -> Option<Vec<u8>> {
    let plain: String = text.chars().filter(|it| !matches!(it, '\n' | '\r')).collect();
    STANDARD.decode(plain).ok()
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    fn map(value: Json) -> Map<String, Json> {
        if let Json::Object(map) = value { map } else { panic!("a mapping") }
    }

    #[test]
    fn text_is_text_however_it_was_declared() {
        let mut doc = map(
            json!({ "data": { "a": "dGV4\ndA==", "b": "AP8=", "c": "b2xk" }, "stringData": { "c": "new" }, "type": "Opaque" }),
        );
        place(&mut doc).unwrap();
        let want = json!({ "data": { "b": "AP8=" }, "stringData": { "a": "text", "c": "new" }, "type": "Opaque" });
        assert_eq!(Json::Object(doc.clone()), want);
        let before = doc.clone();
        place(&mut doc).unwrap();
        assert_eq!(doc, before, "placed is placed");
        encode(&mut doc).unwrap();
        assert_eq!(doc["data"]["c"], "bmV3");
        assert!(!doc.contains_key("stringData"));
    }

    #[test]
    fn what_is_no_base64_is_refused_by_key_alone() {
        for (value, path) in [(json!("canary!"), "/data/k~1x"), (json!({ "$secret": "canary" }), "/data/k~1x")] {
            let error = place(&mut map(json!({ "data": { "k/x": value } }))).unwrap_err();
            assert_eq!(error.path.as_deref(), Some(path));
            assert!(error.message.contains("k/x") && !error.message.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_secret_of_the_engine_waits_under_string_data() {
        let mut doc = map(json!({ "stringData": { "k": { "$secret": "handle" } } }));
        place(&mut doc).unwrap();
        assert_eq!(doc["stringData"]["k"]["$secret"], "handle");
        assert!(encode(&mut doc).is_err(), "it has to be opened first");
    }
}
