//! Tags: the document's own, and the engine's mark among them.

use serde_json::Map;
use trueup_sdk::{Json, json};

use crate::field;
use crate::kind::Kind;
use crate::model::{Kind as Of, Shape};
use crate::path;

/// The tag that carries the mark. AWS takes up to 50 tags, values of up to 256 characters with `/` among them.
pub const MARK: &str = "trueup.dev/mark";
/// What tags of the engine begin with.
pub const PREFIX: &str = "trueup.dev/";
/// What tags of AWS's own begin with.
const AWS: &str = "aws:";

/// Tags of an object that was read, as a mapping.
pub fn read(kind: &Kind, raw: &Json) -> Option<Map<String, Json>> {
    let tags = kind.tags.as_ref()?;
    let all = match path::get(raw, &tags.read)? {
        Json::Array(items) => field::unpaired(items),
        Json::Object(fields) => Json::Object(fields.clone()),
        _ => return None,
    };
    match all {
        Json::Object(fields) => Some(fields),
        _ => None,
    }
}

/// The mark among them.
pub fn mark(tags: &Map<String, Json>) -> Option<String> {
    tags.get(MARK).and_then(Json::as_str).map(str::to_owned)
}

/// Those that documents have.
pub fn own(tags: &Map<String, Json>) -> Map<String, Json> {
    let own = |name: &str| !name.starts_with(PREFIX) && !name.starts_with(AWS);
    tags.iter().filter(|(name, _)| own(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Tags in the form that an input has them in.
pub fn written(service: &'static crate::model::Service, shape: Option<&'static Shape>, tags: &Map<String, Json>) -> Json {
    if shape.is_some_and(|it| it.kind == Of::Map) {
        return Json::Object(tags.clone());
    }
    if shape.is_some_and(|it| it.kind == Of::String) {
        // The header of S3: a query string.
        let pair = |(name, value): (&String, &Json)| {
            format!("{}={}", crate::protocol::escape(name), crate::protocol::escape(value.as_str().unwrap_or_default()))
        };
        return Json::from(tags.iter().map(pair).collect::<Vec<_>>().join("&"));
    }
    let (key, value) = field::pair_names(service, shape);
    tags.iter().map(|(name, text)| json!({ key: name, value: text })).collect()
}

/// The keys of tags that are to go, in the form that an input has them in: texts, or structures with a key alone.
pub fn keys(service: &'static crate::model::Service, shape: Option<&'static Shape>, names: &[&String]) -> Json {
    let structures = shape.and_then(Shape::inner).map(|it| service.of(it)).filter(|it| it.kind == Of::Structure);
    match structures {
        None => names.iter().map(|it| json!(it)).collect(),
        Some(_) => {
            let (key, _) = field::pair_names(service, shape);
            names.iter().map(|it| json!({ key: it })).collect()
        }
    }
}
