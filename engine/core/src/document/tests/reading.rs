use proptest::prelude::*;

use super::*;
use crate::diagnostic::{Code, codes};
use crate::manifest::YamlDialect;
use crate::value::Segment;

fn read(path: &str, text: &[u8], dialect: YamlDialect) -> (Vec<Json>, Vec<String>) {
    let (documents, mut findings) = parse(&path.into(), text, &Limits::default());
    let mut out = Vec::new();
    for document in &documents {
        let (json, more) = document.json(dialect);
        out.push(json);
        findings.extend(more);
    }
    (out, findings.iter().map(line).collect())
}

#[track_caller]
fn check(text: &str, want: Json) {
    assert_eq!(read("a.yaml", text.as_bytes(), YamlDialect::Core), (vec![want], Vec::new()), "{text}");
}

#[track_caller]
fn check_fails(path: &str, text: &str, code: Code, at: (u32, u32), words: &str) {
    let (documents, findings) = parse(&path.into(), text.as_bytes(), &Limits::default());
    let later = documents.iter().flat_map(|it| it.json(YamlDialect::Core).1);
    let found: Vec<Diagnostic> = findings.into_iter().chain(later).collect();
    let first = found.first().unwrap_or_else(|| panic!("nothing is said of {text:?}"));
    let place = first.location.as_ref().map(|it| (it.line, it.column));
    assert!(first.code == code && place == Some(at) && first.message.contains(words), "{text:?}: {}", line(first));
}

#[test]
fn yaml_is_read_as_its_1_2_core_schema_says() {
    check("a: 1\nb: [x, \"0644\", null, true]\nc: {d: 1.5}\n", json!({"a": 1, "b": ["x", "0644", null, true], "c": {"d": 1.5}}));
    check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y"}));
    check("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}}));
    check("a: !!str 12\nb: ! 12\nc: !!int \"12\"\n", json!({"a": "12", "b": "12", "c": 12}));
    check("8080: x\ntrue: y\n", json!({"8080": "x", "true": "y"}));
    check("\"a\\u00e4\": 'it''s'\n", json!({"aä": "it's"}));
    check("%YAML 1.2\n---\na: 1\n...\n", json!({"a": 1}));
    check("a: 2001-12-14\n", json!({"a": "2001-12-14"}));
    check("a: y\nb: \n", json!({"a": "y", "b": null}));
}

#[test]
fn json_is_read_strictly() {
    let text = r#"{"a": [1, -0.5, 1e3, "x\u00e4\ud83d\ude00\n", true, null, {}], "b": []}"#;
    let want = json!({"a": [1, -0.5, 1000, "xä😀\n", true, null, {}], "b": []});
    assert_eq!(read("a.json", text.as_bytes(), YamlDialect::Core), (vec![want], Vec::new()));
    for (text, at, words) in [
        ("{\"a\": 1,}", (1, 9), "a key in double quotes is missing here"),
        ("{\"a\" 1}", (1, 6), "`:` is missing"),
        ("[1 2]", (1, 4), "`,` is missing"),
        ("{\"a\": 1", (1, 8), "ends too early"),
        ("{} {}", (1, 4), "something follows"),
        ("{\"a\": 01}", (1, 7), "no JSON value"),
        ("{\"a\": .5}", (1, 7), "no JSON value"),
        ("{\"a\": nul}", (1, 7), "no JSON value"),
        ("{\"a\": 'x'}", (1, 7), "a value is missing"),
        ("[1}", (1, 3), "`]` is missing"),
        ("{\"a\": \"x", (1, 7), "not closed"),
        ("{\"a\": \"\\x\"}", (1, 8), "an escape that JSON does not have"),
        ("{\"a\": \"\\ud800\"}", (1, 8), "surrogate"),
        ("{\"a\": \"\t\"}", (1, 8), "a tab"),
        ("// x\n{}", (1, 1), "a value is missing"),
    ] {
        check_fails("a.json", text, codes::SYNTAX, at, words);
    }
}

#[test]
fn numbers_that_cannot_be_kept_are_errors_in_both_syntaxes() {
    for number in ["9007199254740993", "1e400", "18446744073709551616", "3.14159265358979323846"] {
        check_fails("a.json", &format!("{{\"a\": {number}}}"), codes::NUMBER, (1, 7), "this number is");
        check_fails("a.yaml", &format!("a: {number}"), codes::NUMBER, (1, 4), "");
    }
    check_fails("a.yaml", "a: .nan", codes::NUMBER, (1, 4), "not a finite number");
}

#[test]
fn an_ambiguous_scalar_says_both_readings_and_to_quote() {
    let (documents, _) = parse(&"a.yaml".into(), b"mode: 0644\non: x\n", &Limits::default());
    let (_, findings) = documents[0].json(YamlDialect::Core);
    assert_eq!(findings[0].message, "`0644` is the number 644 in YAML 1.2 and the number 420 in YAML 1.1");
    assert_eq!(findings[0].hint.as_deref(), Some("quote this: \"0644\""));
    assert_eq!(findings[1].message, "the key `on` is text in YAML 1.2 and true in YAML 1.1");
    let (json, findings) = documents[0].json(YamlDialect::Kubectl);
    assert_eq!((json, findings.len()), (json!({"mode": 420, "true": "x"}), 0));
}

#[test]
fn merge_keys_are_kubectls_alone() {
    let text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [{b: 4}, *x]}\n";
    let want = json!({"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}, "z": {"a": 1, "b": 4}});
    assert_eq!(read("a.yaml", text.as_bytes(), YamlDialect::Kubectl), (vec![want], Vec::new()));
    check_fails("a.yaml", "y: {<<: {a: 1}}\n", codes::AMBIGUOUS_SCALAR, (1, 5), "merges");
}

#[test]
fn a_key_that_stands_twice_is_an_error_with_both_lines() {
    let (_, findings) = parse(&"a.yaml".into(), b"a: 1\nb: 2\n\"a\": 3\n", &Limits::default());
    assert_eq!(line(&findings[0]), "a.yaml:3:1+3 TU0102 the key `a` stands twice, in lines 1 and 3");
    assert_eq!(findings[0].related[0].0.line, 1);
    check_fails("a.json", "{\"a\": 1,\n \"a\": 2}", codes::DUPLICATE_KEY, (2, 2), "lines 1 and 2");
    let many: String = (0..20).map(|it| format!("k{it}: 1\n")).collect();
    check_fails("a.yaml", &format!("{many}k7: 2\n"), codes::DUPLICATE_KEY, (21, 1), "lines 8 and 21");
    let text = "on: 1\ntrue: 2\n";
    let (_, said) = read("a.yaml", text.as_bytes(), YamlDialect::Kubectl);
    assert_eq!(said, ["a.yaml:2:1+4 TU0102 the key `true` stands twice, in lines 1 and 2"]);
}

#[test]
fn tags_that_nobody_knows_are_refused() {
    for tag in ["!include", "!!python/object", "!!binary", "!!set", "!<tag:example.com,2011:x>"] {
        check_fails("a.yaml", &format!("a: {tag} x\n"), codes::UNKNOWN_TAG, (1, 4), "has no meaning here");
    }
}

#[test]
fn a_broken_document_hides_none_of_its_neighbours() {
    let text = "a: 1\n---\nb: [\n---\nc: 3\n---\nd: 1\nd: 2\n--- # nothing\n---\ne: 5\n";
    let (documents, findings) = read("a.yaml", text.as_bytes(), YamlDialect::Core);
    assert_eq!(documents, [json!({"a": 1}), json!({"c": 3}), json!({"e": 5})]);
    assert_eq!(findings.len(), 2, "{findings:?}");
}

#[test]
fn syntax_errors_say_what_to_do() {
    let hint = |text: &str| parse(&"a.yaml".into(), text.as_bytes(), &Limits::default()).1[0].hint.clone().unwrap_or_default();
    assert!(hint("a: ${{ x ? 'a: b' : c }}\n").contains("double quotes"));
    assert!(hint("a:\n\tb: 1\n").contains("not with tabs"));
    assert!(hint("a: b: c\n").contains("quote a value"));
}

#[test]
fn places_count_characters_after_text_of_several_bytes() {
    let text = "# äöü 😀\nä: 'ü'\nb: {ö: 0644}\n";
    check_fails("a.yaml", text, codes::AMBIGUOUS_SCALAR, (3, 8), "`0644`");
    let long = format!("a: \"{}\"\nb: 0644\n", "ä".repeat(5000));
    check_fails("a.yaml", &long, codes::AMBIGUOUS_SCALAR, (2, 4), "`0644`");
}

#[test]
fn a_document_can_be_asked_where_its_values_stand() {
    let (documents, _) = parse(&"t.yaml".into(), b"a:\n  b: 1\n  c:\n  - {d: xyz}\n", &Limits::default());
    let at = |path: &str| documents[0].locate(&Path::parse(path).unwrap());
    let place = |it: Location| (it.line, it.column, it.width);
    assert_eq!(place(at("a.b")), (2, 3, 4));
    assert_eq!(place(at("a.c[0].d")), (4, 6, 6));
    assert_eq!(place(at("a.c")), (3, 3, 1));
    assert_eq!(place(at("a.gone.deeper")), (1, 1, 1));
    assert_eq!(place(documents[0].locate_key(&Path::parse("a.b").unwrap())), (2, 3, 1));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), json in any::<bool>()) {
        let path = if json { "a.json" } else { "a.yaml" };
        read(path, &bytes, YamlDialect::Kubectl);
    }

    #[test]
    fn no_text_of_yaml_signs_makes_the_reader_panic(text in "[-a0:,.#&*!|>'\"%@`{}\\[\\]<?~ä \n\t\\\\]{0,120}") {
        for path in ["a.yaml", "a.json"] {
            read(path, text.as_bytes(), YamlDialect::Core);
            read(path, text.as_bytes(), YamlDialect::Kubectl);
        }
    }

    #[test]
    fn paths_and_pointers_of_a_document_lead_back_to_its_values(value in tree()) {
        let mut rest = vec![(Path::default(), &value)];
        while let Some((path, at)) = rest.pop() {
            prop_assert_eq!(Path::parse(&path.to_string()), Some(path.clone()));
            let pointer = path.to_pointer(&value).unwrap();
            prop_assert_eq!(value.pointer(&pointer), Some(at));
            prop_assert_eq!(&Path::from_pointer(&pointer, &value), &path);
            rest.extend(at.as_object().into_iter().flatten().map(|(key, inner)| (path.key(key), inner)));
            let items = at.as_array().into_iter().flatten().enumerate();
            rest.extend(items.map(|(index, inner)| (path.with(Segment::Index(index)), inner)));
        }
    }

    #[test]
    fn what_json_can_say_is_read_back_by_both_readers(value in tree()) {
        let text = value.to_string();
        prop_assert_eq!(read("a.json", text.as_bytes(), YamlDialect::Core).0, [value.clone()]);
        prop_assert_eq!(read("a.yaml", text.as_bytes(), YamlDialect::Core).0, [value]);
    }
}

/// Documents as JSON has them, at least one field, no texts that YAML's double quotes forbid.
pub(super) fn tree() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-1000_i64..1000).prop_map(Json::from),
        "[a-zäö 0-9:#-]{0,12}".prop_map(Json::from),
    ];
    let inner = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::btree_map("[a-c]{1,2}", inner, 0..4).prop_map(|it| Json::Object(it.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-c]{1,2}", inner, 1..4).prop_map(|it| Json::Object(it.into_iter().collect()))
}
