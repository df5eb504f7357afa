use std::collections::BTreeMap;

use serde::Serialize;

use super::Form;
use crate::schema::Object;
use crate::{Json, Schema, json};

#[test]
fn a_document_takes_the_spelling_of_its_schema() {
    let schema = Object::new("")
        .field::<String>("name", "", false, &[("x-trueup-format", json!("lowercase"))])
        .field::<u32>("ttl", "", true, &[("default", json!(3600))])
        .field::<Vec<String>>("types", "", true, &[])
        .build();
    let form = Form::new(&schema);
    let check = |given: Json, fill: bool, wanted: Json| {
        let mut value = given;
        form.take(&mut value, fill);
        assert_eq!(value, wanted);
    };
    check(json!({ "name": "WWW", "types": null }), true, json!({ "name": "www", "ttl": 3600 }));
    check(json!({ "name": "WWW" }), false, json!({ "name": "www" }));
    let marker = json!({ "name": { "$unknown": "Kind/A" }, "ttl": 1 });
    check(marker.clone(), true, marker);
}

#[test]
fn a_list_without_an_order_has_one_spelling() {
    let schema = Object::new("").field::<Vec<String>>("tags", "", true, &[("x-trueup-unordered", json!(true))]).build();
    for tags in [["b", "a"], ["a", "b"]] {
        let mut value = json!({ "tags": tags });
        Form::new(&schema).take(&mut value, true);
        assert_eq!(value, json!({ "tags": ["a", "b"] }));
    }
}

/// All that serde can hand over, and hints at every depth.
#[derive(Serialize)]
struct All {
    name: &'static str,
    none: Option<u8>,
    marker: BTreeMap<&'static str, Option<&'static str>>,
    tags: Vec<&'static str>,
    rows: Vec<Row>,
    any: Json,
    rest: BTreeMap<String, Row>,
    tuple: (u8, Option<u8>, &'static str),
    float: f64,
    nan: f64,
    newtype: Newtype,
    unit: Choice,
    choices: Vec<Choice>,
    bytes: [u8; 2],
    letter: char,
    big: u64,
    numbered: BTreeMap<u8, ()>,
    single: f32,
    nothing: Choice,
}

#[derive(Serialize)]
struct Row {
    z: &'static str,
    a: Option<&'static str>,
    set: Vec<u8>,
}

#[derive(Serialize)]
struct Newtype(Vec<&'static str>);

#[derive(Serialize)]
enum Choice {
    Unit,
    New(Row),
    Tuple(u8, u8),
    Struct { b: Option<u8>, a: u8 },
    Optional(Option<u8>),
}

fn row(z: &'static str, a: Option<&'static str>) -> Row {
    Row { z, a, set: vec![10, 9] }
}

fn all() -> All {
    All {
        name: "N\u{e4}ME \"quoted\" \n",
        none: None,
        marker: [("$secret", Some("x")), ("note", None)].into(),
        tags: vec!["B", "a", "a\"", "A"],
        rows: vec![row("Two", Some("X")), row("One", None), row("ONE", Some("Y"))],
        any: json!({ "null": null, "List": [{ "a": null }], "b": {} }),
        rest: [("k".to_owned(), row("K", None)), ("L".to_owned(), row("k", Some("")))].into(),
        tuple: (1, None, "t"),
        float: 1.5e30,
        nan: f64::NAN,
        newtype: Newtype(vec!["z", "y"]),
        unit: Choice::Unit,
        choices: vec![Choice::New(row("C", None)), Choice::Tuple(2, 1), Choice::Struct { b: None, a: 1 }, Choice::Unit],
        bytes: [2, 1],
        letter: 'Q',
        big: u64::MAX,
        numbered: [(7, ())].into(),
        single: 0.1,
        nothing: Choice::Optional(None),
    }
}

fn schema() -> Json {
    let unordered = json!(true);
    let row = json!({ "properties": {
        "z": { "x-trueup-format": "lowercase" }, "a": { "x-trueup-format": "lowercase" }, "set": { "x-trueup-unordered": unordered },
    } });
    json!({ "properties": {
        "name": { "x-trueup-format": "uppercase" }, "none": u8::schema(), "marker": { "properties": { "$secret": { "x-trueup-format": "uppercase" } } },
        "tags": { "x-trueup-unordered": unordered, "items": { "x-trueup-format": "lowercase" } },
        "rows": { "x-trueup-unordered": unordered, "items": row }, "any": {},
        "rest": { "properties": { "L": {} }, "additionalProperties": row },
        "tuple": { "items": { "x-trueup-format": "uppercase" } }, "newtype": { "x-trueup-unordered": unordered },
        "unit": { "x-trueup-format": "lowercase" },
        "choices": { "x-trueup-unordered": unordered, "items": { "properties": {
            "New": row, "Tuple": { "x-trueup-unordered": unordered }, "Struct": { "properties": { "a": {} } },
        } } },
        "bytes": { "x-trueup-unordered": unordered }, "letter": { "x-trueup-format": "lowercase" },
        "nothing": { "properties": { "Optional": {} } },
    } })
}

#[test]
fn a_text_written_at_once_is_that_of_the_value_and_its_members_are_shown() {
    let empty = json!({});
    let plain = json!({ "properties": {} });
    for schema in [schema(), plain, empty] {
        let form = Form::new(&schema);
        let mut value = serde_json::to_value(all()).unwrap();
        form.take(&mut value, false);
        let (mut text, mut shown) = (b"before".to_vec(), serde_json::Map::new());
        let mut each = |name: &str, text: &[u8]| {
            shown.insert(name.to_owned(), serde_json::from_slice(text).unwrap());
        };
        form.text(&all(), &mut text, &mut each).unwrap();
        let text = text.strip_prefix(b"before").unwrap();
        assert_eq!(std::str::from_utf8(text).unwrap(), value.to_string());
        assert_eq!(Json::Object(shown), value);
    }
}

/// What can only be written by way of the value: a marker that is known late, and a name that is given twice.
#[derive(Serialize)]
struct Late {
    #[serde(flatten)]
    more: BTreeMap<&'static str, &'static str>,
    name: &'static str,
    marker: Marker,
}

#[derive(Serialize)]
struct Marker {
    note: Option<u8>,
    name: &'static str,
    #[serde(rename = "$ref")]
    to: &'static str,
}

#[test]
fn what_cannot_be_written_at_once_is_written_by_its_value() {
    let lower = json!({ "x-trueup-format": "lowercase" });
    let form = Form::new(&json!({ "properties": { "name": lower, "marker": { "properties": { "name": lower } } } }));
    let late = Late {
        more: [("name", "FIRST"), ("other", "x")].into(),
        name: "Last",
        marker: Marker { note: None, name: "A", to: "B" },
    };
    let mut value = serde_json::to_value(&late).unwrap();
    form.take(&mut value, false);
    let (mut text, mut last) = (Vec::new(), String::new());
    form.text(&late, &mut text, &mut |name, text| {
        if name == "name" {
            last = String::from_utf8_lossy(text).into_owned();
        }
    })
    .unwrap();
    assert_eq!((String::from_utf8(text).unwrap(), last), (value.to_string(), "\"last\"".to_owned()));
    assert_eq!(value["marker"], json!({ "note": null, "name": "A", "$ref": "B" }));
}

#[test]
fn a_map_whose_keys_are_no_texts_is_an_error() {
    let map = BTreeMap::from([(vec![1], 1)]);
    assert!(Form::new(&json!({})).text(&map, &mut Vec::new(), &mut |_, _| ()).is_err());
}
