//! Fields of a kind, and other values for them.
//!
//! Pure. What the schema does not tell apart (a text that must name something that exists) the author gives as `change`.

use trueup_core::manifest::{Hints, Kind};
use trueup_core::value::{Json, Marker, Path, Segment, json, marker};

/// Levels of nested mappings that are walked.
const DEPTH: usize = 6;

/// A field of `spec` that holds a value, not further fields. A list is one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub path: Path,
    pub schema: Json,
}

/// All fields below `spec`, in the order of their names; those that the system sets are left out.
pub fn fields(kind: &Kind) -> Vec<Field> {
    let mut out = Vec::new();
    let start = Path(vec![Segment::Key("spec".to_owned())]);
    if let Some(spec) = kind.schema.pointer("/properties/spec") {
        walk(&kind.schema, resolved(&kind.schema, spec), &start, 0, &mut out);
    }
    out.retain(|it| !Hints::covers(&kind.hints.computed, &it.path));
    out
}

fn walk(root: &Json, schema: &Json, path: &Path, depth: usize, out: &mut Vec<Field>) {
    match schema.get("properties").and_then(Json::as_object) {
        Some(inner) if depth < DEPTH => {
            inner.iter().for_each(|(name, it)| walk(root, resolved(root, it), &path.key(name), depth + 1, out));
        }
        _ => out.push(Field { path: path.clone(), schema: schema.clone() }),
    }
}

/// Follows local references, a few in a row.
fn resolved<'a>(root: &'a Json, mut schema: &'a Json) -> &'a Json {
    for _ in 0..8 {
        let target =
            schema.get("$ref").and_then(Json::as_str).and_then(|it| it.strip_prefix('#')).and_then(|it| root.pointer(it));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// Other values that a field may take, the likeliest first. Whether one of them is valid is for the schema to say.
pub fn others(field: &Field, now: Option<&Json>, given: Option<&Json>) -> Vec<Json> {
    let mut out: Vec<Json> = given.into_iter().cloned().collect();
    made(&field.schema, now, 0, &mut out);
    out.retain(|it| Some(it) != now);
    out
}

fn made(schema: &Json, now: Option<&Json>, depth: usize, out: &mut Vec<Json>) {
    if let Some(options) = schema.get("enum").and_then(Json::as_array) {
        out.extend(options.iter().filter(|it| !it.is_null()).cloned());
        return;
    }
    for branches in ["oneOf", "anyOf", "allOf"] {
        if schema.get("type").is_none() && depth < DEPTH {
            let inner = schema.get(branches).and_then(Json::as_array);
            inner.into_iter().flatten().for_each(|it| made(it, now, depth + 1, out));
        }
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    for name in types {
        match name {
            "boolean" => out.push(Json::Bool(now != Some(&Json::Bool(true)))),
            "integer" | "number" => numbers(schema, now, out),
            "string" => texts(now.and_then(Json::as_str), out),
            "array" => lists(schema, now.and_then(Json::as_array), depth, out),
            "object" => maps(schema, now, out),
            _ => {}
        }
    }
}

fn numbers(schema: &Json, now: Option<&Json>, out: &mut Vec<Json>) {
    let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
    let (low, high) = (bound("minimum"), bound("maximum"));
    let now = now.and_then(Json::as_i64);
    let near = now.or(low).unwrap_or(1);
    let fits = |it: &i64| low.is_none_or(|low| *it >= low) && high.is_none_or(|high| *it <= high);
    let near = [near.saturating_add(1), near.saturating_sub(1), near];
    out.extend(near.into_iter().chain(low).chain(high).filter(fits).map(Json::from));
}

fn texts(now: Option<&str>, out: &mut Vec<Json>) {
    match now.filter(|it| !it.is_empty()) {
        None => out.extend(["other", "2", "other.example"].map(Json::from)),
        Some(now) => {
            out.push(format!("{now} other").into());
            out.push(format!("{now}-other").into());
            out.push(format!("other-{now}").into());
            // One letter or digit for another, from the end: what a pattern most likely lets through.
            for (at, old) in now.char_indices().rev().filter(|(_, it)| it.is_ascii_alphanumeric()).take(8) {
                let new = match old {
                    '0'..='6' | 'a'..='y' | 'A'..='Y' => char::from(old as u8 + 1),
                    '7'..='9' => '1',
                    _ => 'a',
                };
                let (before, after) = (now.get(..at).unwrap_or_default(), now.get(at + 1..).unwrap_or_default());
                out.push(format!("{before}{new}{after}").into());
            }
        }
    }
}

fn lists(schema: &Json, now: Option<&Vec<Json>>, depth: usize, out: &mut Vec<Json>) {
    let (now, nothing) = (now.cloned().unwrap_or_default(), json!({}));
    let mut items = Vec::new();
    if depth < DEPTH {
        made(schema.get("items").unwrap_or(&nothing), now.last(), depth + 1, &mut items);
    }
    for item in items.into_iter().filter(|it| !now.contains(it)) {
        let mut longer = now.clone();
        longer.push(item);
        out.push(Json::Array(longer));
    }
    if let Some((_, shorter)) = now.split_last().filter(|(_, rest)| !rest.is_empty()) {
        out.push(Json::Array(shorter.to_vec()));
    }
}

fn maps(schema: &Json, now: Option<&Json>, out: &mut Vec<Json>) {
    let mut values = Vec::new();
    let now = now.and_then(Json::as_object).cloned().unwrap_or_default();
    match schema.get("additionalProperties") {
        Some(inner @ Json::Object(_)) => made(inner, now.values().next(), DEPTH, &mut values),
        Some(Json::Bool(false)) => {}
        _ => values.push(Json::from("other")),
    }
    for value in values {
        let mut more = now.clone();
        more.insert("other".to_owned(), value);
        out.push(Json::Object(more));
    }
}

/// The same list in another order; none where there are not two different items.
pub fn reordered(list: &Json) -> Option<Json> {
    let mut items = list.as_array()?.clone();
    items.reverse();
    (Json::Array(items.clone()) != *list).then_some(Json::Array(items))
}

/// `document` with the value at `path` put in, mappings above it made where they are missing.
pub fn with(document: &Json, path: &Path, value: Json) -> Json {
    let mut out = document.clone();
    let mut at = &mut out;
    for segment in &path.0 {
        let Segment::Key(key) = segment else { return document.clone() };
        if !at.is_object() || marker(at).is_some() {
            *at = json!({});
        }
        let Some(map) = at.as_object_mut() else { return document.clone() };
        at = map.entry(key.clone()).or_insert(Json::Null);
    }
    *at = value;
    out
}

/// Whether a value stands for a secret.
pub fn is_secret(value: Option<&Json>) -> bool {
    value.is_some_and(|it| matches!(marker(it), Some(Marker::Secret { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: Json, now: Json, want: &[Json]) {
        let field = Field { path: Path::default(), schema };
        let got = others(&field, Some(&now), None);
        assert!(want.iter().all(|it| got.contains(it)) && !got.contains(&now), "{now} became {got:?}");
    }

    #[test]
    fn other_values_follow_from_the_schema() {
        check(json!({"enum": ["a", "b"]}), json!("a"), &[json!("b")]);
        check(json!({"type": "boolean"}), json!(true), &[json!(false)]);
        check(json!({"type": "integer", "minimum": 1, "maximum": 5}), json!(5), &[json!(4), json!(1)]);
        check(json!({"type": "string"}), json!("one"), &[json!("one other")]);
        check(json!({"type": "string", "pattern": "^0[0-7]{3}$"}), json!("0644"), &[json!("0645")]);
        check(
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", "b"]),
            &[json!(["a"]), json!(["a", "b", "b other"])],
        );
        check(
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"a": 1}),
            &[json!({"a": 1, "other": 2})],
        );
        check(json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}), json!(60), &[json!(61)]);
    }

    #[test]
    fn the_authors_value_comes_first() {
        let field = Field { path: Path::default(), schema: json!({"type": "string"}) };
        assert_eq!(others(&field, Some(&json!("a")), Some(&json!("b"))).first(), Some(&json!("b")));
    }

    #[test]
    fn a_value_gets_into_a_document_that_lacks_its_parents() {
        let path = Path::parse("spec.a.b").unwrap();
        assert_eq!(with(&json!({"spec": {"c": 1}}), &path, json!(2)), json!({"spec": {"a": {"b": 2}, "c": 1}}));
    }

    #[test]
    fn a_list_of_equal_items_has_one_order() {
        assert_eq!(reordered(&json!(["a", "b"])), Some(json!(["b", "a"])));
        assert_eq!(reordered(&json!(["a", "a"])), None);
    }
}
