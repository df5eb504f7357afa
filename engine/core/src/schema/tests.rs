use serde_json::json;

use super::*;
use crate::manifest::Manifest;
use crate::value::{Digest, blob, secret, unknown};

fn kind(schema: Json) -> std::sync::Arc<Kind> {
    let manifest = json!({"format": 1, "name": "test", "version": "1", "kinds": {"Thing": {"schema": schema}}});
    let manifest = Manifest::parse(&manifest).unwrap_or_else(|error| panic!("{error}"));
    manifest.kinds["Thing"].clone()
}

/// A kind with a field of every sort.
fn thing() -> std::sync::Arc<Kind> {
    kind(json!({
        "type": "object",
        "required": ["spec"],
        "additionalProperties": false,
        "properties": {
            "spec": {"$ref": "#/$defs/Spec"},
            "status": {"type": "object", "properties": {"url": {"type": "string"}, "nested": {"type": "object"}}},
        },
        "$defs": {
            "Spec": {
                "type": "object",
                "required": ["path"],
                "additionalProperties": false,
                "properties": {
                    "path": {"type": "string", "minLength": 1, "x-trueup-key": true},
                    "mode": {"type": "string", "pattern": "^[0-7]{4}$"},
                    "size": {"type": "integer", "minimum": 1, "maximum": 10},
                    "color": {"enum": ["red", "green"]},
                    "password": {"type": "string", "minLength": 8, "x-trueup-sensitive": true},
                    "token": {"type": "string", "x-trueup-write-only": true},
                    "source": {"type": "string", "x-trueup-blob": true},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"maxLength": 3}},
                    "env": {"type": "array", "items": {
                        "type": "object", "additionalProperties": false, "required": ["name"],
                        "properties": {"name": {"type": "string"}, "secret": {"type": "string", "x-trueup-sensitive": true}},
                    }},
                    "backend": {"oneOf": [
                        {"type": "object", "required": ["kind", "url"], "additionalProperties": false,
                         "properties": {"kind": {"const": "http"}, "url": {"type": "string"}}},
                        {"type": "object", "required": ["kind", "dir"], "additionalProperties": false,
                         "properties": {"kind": {"const": "file"}, "dir": {"type": "string"}}},
                    ]},
                    "limit": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
                    "free": {},
                },
                "if": {"properties": {"color": {"const": "red"}}, "required": ["color"]},
                "then": {"required": ["size"]},
            },
        },
    }))
}

fn shown(doc: &Json) -> Vec<String> {
    let line = |it: Finding| {
        format!("{} {}: {}{}", it.code, it.path, it.message, it.hint.map(|it| format!(" ({it})")).unwrap_or_default())
    };
    findings(doc, &thing()).into_iter().map(line).collect()
}

/// `spec` besides the required `path`.
#[track_caller]
fn check(spec: Json, want: &[&str]) {
    let mut spec = spec;
    spec["path"] = json!("x");
    let doc = json!({"spec": spec});
    assert_eq!(shown(&doc), want, "{doc}");
}

#[test]
fn a_document_that_fits_has_no_findings() {
    check(json!({"mode": "0644", "size": 3, "labels": {"a": "b"}, "backend": {"kind": "file", "dir": "/"}, "limit": null}), &[]);
    check(json!({"env": [{"name": "A", "secret": secret("db", "")}], "password": secret("db", "00")}), &[]);
}

#[test]
fn an_unknown_field_gets_a_suggestion() {
    check(json!({"moed": "0644"}), &["TU0301 spec.moed: there is no field `spec.moed` (did you mean `mode`?)"]);
    check(
        json!({"env": [{"name": "A", "val": 1}]}),
        &["TU0301 spec.env[0].val: there is no field `spec.env[0].val` (there is `name`, `secret`)"],
    );
    assert_eq!(
        shown(&json!({"spec": {"path": "x"}, "specs": {}})),
        ["TU0301 specs: there is no field `specs` (did you mean `spec`?)"]
    );
}

#[test]
fn a_missing_field_is_named_in_full_and_points_at_what_lacks_it() {
    assert_eq!(shown(&json!({"spec": {}})), ["TU0302 spec: `spec.path` is missing"]);
    assert_eq!(shown(&json!({})), ["TU0302 : `spec` is missing"]);
    assert_eq!(
        shown(&json!({"spec": {"pth": "x"}})),
        ["TU0301 spec.pth: there is no field `spec.pth` (did you mean `path`?)"],
        "one mistake is told once"
    );
    check(json!({"env": [{}]}), &["TU0302 spec.env[0]: `spec.env[0].name` is missing"]);
    check(json!({"color": "red"}), &["TU0302 spec: `spec.size` is missing"]);
}

#[test]
fn status_is_never_declared() {
    let want = ["TU0301 status: `status` is what the system reports and cannot be declared (remove it)"];
    assert_eq!(shown(&json!({"spec": {"path": "x"}, "status": {"url": "u"}})), want);
}

#[test]
fn every_rule_is_told_in_words() {
    check(json!({"mode": 644}), &["TU0300 spec.mode: `spec.mode` must be a text, here is `644` (put it in quotes: \"644\")"]);
    check(json!({"mode": "abc"}), &["TU0300 spec.mode: `spec.mode` must match the pattern `^[0-7]{4}$`, here is the text `abc`"]);
    check(json!({"size": 11}), &["TU0300 spec.size: `spec.size` must be at most 10, here is `11`"]);
    check(json!({"size": 1.5}), &["TU0300 spec.size: `spec.size` must be a whole number, here is `1.5`"]);
    check(
        json!({"color": "gren"}),
        &["TU0300 spec.color: `spec.color` must be one of `red`, `green`, here is the text `gren` (did you mean `green`?)"],
    );
    check(
        json!({"labels": {"long": "x"}}),
        &["TU0300 spec.labels.long: `long` cannot be a key here: must have at most 3 characters"],
    );
    check(json!({"limit": [1]}), &["TU0300 spec.limit: `spec.limit` must be a whole number or a text or null, here is a list"]);
    check(
        json!({"backend": {"kind": "file", "url": "x"}}),
        &[
            "TU0302 spec.backend: `spec.backend.dir` is missing",
            "TU0301 spec.backend.url: there is no field `spec.backend.url` (there is `dir`, `kind`)",
        ],
    );
    check(json!({"backend": 1}), &["TU0300 spec.backend: `spec.backend` must be a mapping, here is `1`"]);
    assert_eq!(shown(&json!([])), ["TU0300 : the document must be a mapping, here is a list"]);
}

#[test]
fn a_plain_value_in_a_field_for_secrets_is_refused_and_never_shown() {
    let canary = "hunter2-canary";
    let doc = json!({"spec": {"path": "x", "password": canary, "env": [{"name": "A", "secret": canary}], "token": 7}});
    let found = shown(&doc);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|it| !it.contains(canary) && !it.contains('7')), "{found:?}");
    check(
        json!({"password": "abc"}),
        &[
            "TU0300 spec.password: `spec.password` must have at least 8 characters",
            "TU0304 spec.password: `spec.password` is a field for secrets and holds a plain value (write `${{ secret('name') }}`, and put its value into `secrets` of credentials.yaml)",
        ],
    );
    check(json!({"token": "plain"}), &[]);
}

#[test]
fn a_plain_value_where_other_tools_have_them_is_one_warning_for_its_field() {
    let schema = json!({"type": "object", "properties": {
        "data": {"type": "object", "x-trueup-sensitive": true, "x-trueup-plain": "write an expression"}
    }});
    let manifest = json!({"format": 1, "name": "t", "version": "1", "kinds": {"K": {"schema": schema}}});
    let kind = crate::manifest::Manifest::parse(&manifest).unwrap().kinds.remove("K").unwrap();
    let of = |data: Json| findings(&json!({"data": data}), &kind);
    let found = of(json!({"b": "canary", "a": "canary", "c": "", "d": secret("db", "")}));
    let told: Vec<_> = found.iter().map(|it| (it.warning, it.message.as_str(), it.hint.as_deref())).collect();
    let want = "`data.a` (and 1 more below `data`) is a secret that stands in Git as plain text";
    assert_eq!(told, [(true, want, Some("write an expression"))]);
    assert!(of(json!({})).is_empty() && of(json!({"e": "", "s": secret("db", "")})).is_empty());
    let diagnostics = validate(&json!({"data": {"a": "x"}}), &kind, &|_| None);
    assert!(!diagnostics[0].is_error());
}

#[test]
fn markers_are_not_judged_and_stand_only_where_they_may() {
    check(json!({"mode": unknown("A/b"), "size": unknown("A/b"), "backend": unknown("A/b"), "color": unknown("A/b")}), &[]);
    check(json!({"backend": {"kind": unknown("A/b"), "dir": "/"}, "limit": unknown("A/b"), "token": secret("t", "")}), &[]);
    check(json!({"source": blob(&Digest::of(b""), 0)}), &[]);
    check(json!({"mode": unknown("A/b"), "size": 11}), &["TU0300 spec.size: `spec.size` must be at most 10, here is `11`"]);
    check(
        json!({"free": {"x": [secret("db", "")]}}),
        &[
            "TU0408 spec.free.x[0]: `spec.free.x[0]` would show the secret: it is not a field for secrets (secrets may stand in `spec.env.secret`, `spec.password`, `spec.token`)",
        ],
    );
    check(json!({"free": blob(&Digest::of(b""), 0)}), &["TU0300 spec.free: `spec.free` cannot hold a file of the repository"]);
}

#[test]
fn findings_carry_the_place_of_the_value_or_of_what_is_around_it() {
    let doc = json!({"spec": {"path": "x", "moed": 1}});
    let here = |path: &Path| (path.0.len() == 1).then(|| Location { file: "a.yaml".into(), line: 7, column: 3, width: 4 });
    let found = validate(&doc, &thing(), &here);
    assert_eq!(
        found.iter().map(|it| it.location.as_ref().map(ToString::to_string)).collect::<Vec<_>>(),
        [Some("a.yaml:7:3".to_owned())]
    );
    assert_eq!(found.iter().map(|it| it.hint.as_deref()).collect::<Vec<_>>(), [Some("did you mean `mode`?")]);
}

#[test]
fn a_reference_to_a_field_that_cannot_exist_is_found_without_values() {
    let thing = thing();
    let asked = |status: bool, path: &str| undeclared(&thing, status, &Path::parse(path).unwrap());
    assert_eq!(asked(true, "url"), None);
    assert_eq!(asked(true, "urll"), Some(("urll".to_owned(), Some("url".to_owned()))));
    assert_eq!(asked(true, "nested.any"), None);
    assert_eq!(undeclared(&kind(json!({"type": "object"})), true, &Path::parse("x").unwrap()), None);
}

#[track_caller]
fn unusable(schema: Json, want: &str) {
    let error = check_schema(&schema).expect_err("the schema must be refused");
    assert!(error.contains(want), "{error}");
}

fn check_schema(schema: &Json) -> Result<Vec<Finding>, String> {
    super::check(&json!({}), schema)
}

#[test]
fn a_schema_that_could_judge_without_end_is_refused() {
    unusable(json!({"$ref": "#"}), "refers to itself without going into a field");
    unusable(json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#"}]}}}), "refers to itself");
    let twice = "two ways through the same fields";
    unusable(json!({"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}), twice);
    unusable(json!({"items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}), twice);
    unusable(json!({"items": {"anyOf": [{"$ref": "#"}, {"items": {"$ref": "#"}}]}}), twice);
    unusable(json!({"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}}), twice);
    unusable(
        json!({"properties": {"a": {"$ref": "#/$defs/u"}}, "items": {"type": "object"}, "$defs": {
            "u": {"properties": {"b": {"$ref": "#/$defs/u"}, "c": {"$ref": "#"}},
                  "anyOf": [{"properties": {"c": {"$ref": "#"}}}]}}}),
        twice,
    );
    let doubling: serde_json::Map<String, Json> = (0..40)
        .map(|at| {
            (
                format!("d{at}"),
                json!({"allOf": [{"$ref": format!("#/$defs/d{}", at + 1)}, {"$ref": format!("#/$defs/d{}", at + 1)}]}),
            )
        })
        .chain([("d40".to_owned(), json!({"type": "object"}))])
        .collect();
    unusable(json!({"$ref": "#/$defs/d0", "$defs": doubling}), "unfold");
}

#[test]
fn schemas_that_are_recursive_in_good_order_are_taken() {
    let tree = json!({"type": "object", "properties": {
        "left": {"$ref": "#"}, "right": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "rest": {"type": "array", "items": {"$ref": "#"}}}});
    assert_eq!(super::check(&json!({"left": {"right": {"rest": [{"left": null}]}}}), &tree).map(|it| it.len()), Ok(1));
    // The shape of a schema of schemas.
    let schema = json!({"type": "object", "properties": {
        "items": {"anyOf": [{"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}}]},
        "properties": {"type": "object", "additionalProperties": {"$ref": "#"}},
        "additionalProperties": {"anyOf": [{"type": "boolean"}, {"$ref": "#"}]},
        "not": {"$ref": "#"}, "allOf": {"type": "array", "items": {"$ref": "#"}}}});
    assert_eq!(super::check(&json!({"items": [{"properties": {"x": {"not": {}}}}]}), &schema), Ok(Vec::new()));
    let open = json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}});
    assert_eq!(super::check(&json!({"a": {"b": {}}}), &open), Ok(Vec::new()));
}

#[test]
fn nothing_is_fetched_and_patterns_cannot_backtrack() {
    unusable(json!({"$ref": "http://127.0.0.1:1/schema.json"}), "leads nowhere");
    unusable(json!({"$dynamicRef": "#a"}), "not supported");
    unusable(json!({"properties": {"a": {"$id": "http://x/y"}}}), "`$id`");
    let slow = json!({"properties": {"a": {"type": "string", "pattern": "^(a|a)*$"}}});
    let start = std::time::Instant::now();
    let found = super::check(&json!({"a": format!("{}!", "a".repeat(10_000))}), &slow).unwrap();
    assert_eq!(found.len(), 1);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn ten_thousand_small_documents_are_judged_in_a_moment() {
    let thing = thing();
    let docs: Vec<Json> =
        (0..10_000).map(|at| json!({"spec": {"path": format!("f{at}"), "mode": "0644", "size": at % 10 + 1}})).collect();
    let round = || {
        let start = std::time::Instant::now();
        assert!(docs.iter().all(|doc| findings(doc, &thing).is_empty()));
        start.elapsed()
    };
    // The best of three, as the machine may be busy with something else.
    let took = round().min(round()).min(round());
    assert!(took.as_millis() < if cfg!(debug_assertions) { 3_000 } else { 100 }, "{took:?}");
}

#[test]
fn a_schema_with_countless_patterns_is_refused() {
    let patterns = |count: usize| {
        let fields = (0..count).map(|at| (format!("f{at}"), json!({"type": "string", "pattern": format!("^{at}$")})));
        json!({"properties": fields.collect::<serde_json::Map<_, _>>()})
    };
    assert_eq!(check_schema(&patterns(256)), Ok(Vec::new()));
    unusable(patterns(257), "more than 256 different patterns");
    unusable(json!({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}), "/properties/a/pattern");
}

#[test]
fn many_markers_and_many_errors_at_once_are_no_burden() {
    let items = |count: u32| (0..count).map(|at| json!({"name": unknown("A/b"), "extra": at})).collect::<Vec<_>>();
    let schema =
        json!({"properties": {"list": {"items": {"properties": {"name": {"type": "string"}}, "not": {"required": ["extra"]}}}}});
    let start = std::time::Instant::now();
    assert_eq!(super::check(&json!({"list": items(20_000)}), &schema), Ok(Vec::new()), "each error hangs on a marker");
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
