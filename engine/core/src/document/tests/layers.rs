use proptest::prelude::*;

use super::reading::tree;
use super::*;
use crate::diagnostic::codes;
use crate::value::Map;

fn two(base: &str, over: &str) -> Case {
    Case::new().file("base", "base/a.yaml", file("x", base)).file("prod", "prod/a.yaml", over.as_bytes())
}

fn patch(spec: &str) -> String {
    format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: x}}\nspec: {{{spec}}}\n")
}

#[track_caller]
fn merges(base: &str, over: &str, want: Json) {
    let docs = two(base, &patch(over)).docs();
    assert_eq!(docs[0].1["spec"], want, "{base} + {over}");
}

#[test]
fn later_layers_merge_over_earlier_ones() {
    merges("content: a", "content: b", json!({"path": "x", "content": "b"}));
    merges("content: a, mode: \"1\"", "mode: null", json!({"path": "x", "content": "a"}));
    merges("note: {a: {b: 1, c: 2}}", "note: {a: {b: 3, d: null}}", json!({"path": "x", "note": {"a": {"b": 3, "c": 2}}}));
    merges("note: 1", "note: {a: null, b: 2}", json!({"path": "x", "note": {"b": 2}}));
    merges("tags: [a, b]", "tags: [c]", json!({"path": "x", "tags": ["c"]}));
    merges("note: {a: null}", "content: b", json!({"path": "x", "content": "b", "note": {"a": null}}));
}

#[test]
fn lists_merge_by_the_key_that_the_schema_names() {
    merges(
        "rules: [{name: a, port: 1}, {name: b, port: 2}, {name: c}]",
        "rules: [{name: b, to: x}, {name: d}, {name: c, $remove: true}]",
        json!({"path": "x", "rules": [{"name": "a", "port": 1}, {"name": "b", "port": 2, "to": "x"}, {"name": "d"}]}),
    );
    let says = |over: &str, want: &str| two("rules: [{name: a}]", &patch(over)).says(&[want]);
    says("rules: [{name: b, $remove: true}]", "prod/a.yaml:4:26+13 TU0207 no earlier layer has an item with `name` `b` here");
    says("rules: [{port: 1}]", "prod/a.yaml:4:17+7 TU0107 an item of spec.rules has no `name`, by which layers merge this list");
    says("rules: [{name: a, $remove: yes please}]", "prod/a.yaml:4:26+19 TU0109 `$remove` takes `true`");
    says("tags: [{$remove: true}]", "prod/a.yaml:4:16+7 TU0109 the key `$remove` is the engine's own");
}

#[test]
fn a_list_that_no_schema_describes_is_replaced_with_a_warning() {
    let text = |items: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {{list: [{items}]}}\n");
    let done = Case::new().file("base", "a.yaml", text("{a: 1}")).file("prod", "b.yaml", text("{a: 2}")).run();
    let warnings: Vec<_> = done.resources[0].warnings.iter().map(|it| it.code).collect();
    assert_eq!((done.diagnostics.len(), warnings), (0, vec![codes::LIST_REPLACED]));
}

#[test]
fn a_later_layer_adds_and_removes_whole_resources() {
    let remove = "apiVersion: site/v1\nkind: File\nmetadata: {name: x, annotations: {trueup.dev/remove: \"true\"}}\n";
    let case = two("content: a", remove).file("prod", "prod/b.yaml", file("y", "content: b"));
    let ids: Vec<String> = case.docs().into_iter().map(|it| it.0).collect();
    assert_eq!(ids, ["site:File/y"]);
    let again = two("content: a", remove).file("last", "last/a.yaml", file("x", "content: z"));
    assert_eq!(again.docs()[0].1["spec"]["content"], "z");
    let case = Case::new().file("base", "a.yaml", remove);
    case.says(&["a.yaml:3:35+25 TU0207 no layer before `base` declares `site:File/x`"]);
}

#[test]
fn settings_merge_like_everything_else() {
    let text = |annotations: &str| {
        format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: x, annotations: {{{annotations}}}}}\nspec: {{path: x}}\n")
    };
    let case = Case::new().file("base", "a.yaml", text("trueup.dev/protect: \"true\", trueup.dev/timeout: 5m")).file(
        "prod",
        "b.yaml",
        text("trueup.dev/protect: null, trueup.dev/drift: warn"),
    );
    let settings = case.run().resources[0].settings.clone();
    assert_eq!(
        (settings.protect, settings.drift, settings.timeout),
        (false, Some(DriftMode::Warn), Some(Duration::from_secs(300)))
    );
}

#[test]
fn one_identity_twice_in_a_layer_is_an_error_with_both_places() {
    let case = Case::new().file("base", "a.yaml", file("x", "content: a")).file("base", "b.yaml", file("x", "content: b"));
    let done = case.run();
    assert_eq!(said(&done), ["b.yaml:2:7+4 TU0200 `site:File/x` is declared twice in layer `base`: in a.yaml:2 and b.yaml:2"]);
    assert!(done.resources.is_empty());
}

#[test]
fn a_resource_remembers_its_files_and_where_it_was_first_declared() {
    let resource = two("content: a", &patch("content: b")).run().resources.remove(0);
    assert_eq!((resource.files, resource.location.to_string()), (vec![0, 1], "base/a.yaml:2:7".to_owned()));
}

#[track_caller]
fn explains(case: &Case, path: &str, want: &[&str]) {
    let id = ResourceId::parse("site:File/x").unwrap();
    let found = case.with_input(|input| provenance(input, &id, &Path::parse(path).unwrap()));
    let got: Vec<String> = found
        .iter()
        .map(|it| {
            let sources: Vec<String> =
                it.sources.iter().map(|(layer, at, value)| format!("{value} in {layer} {}:{}", at.file, at.line)).collect();
            format!("{} = {}", it.path, sources.join(" over "))
        })
        .collect();
    assert_eq!(got, want, "{path}");
}

#[test]
fn every_value_says_which_layers_set_it() {
    let case = two(
        "content: a, mode: \"1\", rules: [{name: a, port: 1}, {name: b, port: 2}]",
        &patch("content: b, rules: [{name: b, port: 3}]"),
    );
    explains(&case, "spec.content", &["spec.content = \"b\" in prod prod/a.yaml:4 over \"a\" in base base/a.yaml:4"]);
    explains(&case, "spec.mode", &["spec.mode = \"1\" in base base/a.yaml:4"]);
    explains(
        &case,
        "spec.rules[1]",
        &[
            "spec.rules[name=b].name = \"b\" in prod prod/a.yaml:4 over \"b\" in base base/a.yaml:4",
            "spec.rules[name=b].port = 3 in prod prod/a.yaml:4 over 2 in base base/a.yaml:4",
        ],
    );
    explains(&case, "spec.gone", &[]);
}

#[test]
fn what_a_layer_removed_or_replaced_is_no_source() {
    let remove = "apiVersion: site/v1\nkind: File\nmetadata: {name: x, annotations: {trueup.dev/remove: \"true\"}}\n";
    let case = two("content: a", remove).file("last", "last/a.yaml", file("x", "content: z"));
    explains(&case, "spec.content", &["spec.content = \"z\" in last last/a.yaml:4"]);
    let case = two("note: {a: 1}", &patch("note: 2"));
    explains(&case, "spec.note", &["spec.note = 2 in prod prod/a.yaml:4 over {\"a\":1} in base base/a.yaml:4"]);
}

#[test]
fn a_value_says_what_its_expressions_read() {
    let case = Case::new()
        .file("base", "a.yaml", file("x", "note: \"${{ ref('File/y').spec.content }}${{ ref('File/y').status.url }}\""))
        .file("base", "b.yaml", file("y", "content: a"))
        .file("prod", "c.yaml", file("y", "content: b"));
    let id = ResourceId::parse("site:File/x").unwrap();
    let found = case.with_input(|input| provenance(input, &id, &Path::parse("spec.note").unwrap()));
    let [spec, status] = found[0].reads.as_slice() else { panic!("two reads") };
    let places: Vec<String> = spec.sources.iter().map(|(_, at, value)| format!("{value} {}", at.file)).collect();
    assert_eq!(
        (spec.path.to_string().as_str(), places),
        ("spec.content", vec!["\"b\" c.yaml".to_owned(), "\"a\" b.yaml".to_owned()])
    );
    assert_eq!((status.path.to_string().as_str(), status.sources.len()), ("status.url", 0));
}

#[test]
fn a_pointer_leads_to_the_layer_that_set_the_field_or_to_what_is_nearest_around_it() {
    let case = two("content: a, rules: [{name: a, port: 1}]", &patch("\n  content: b"));
    let id = ResourceId::parse("site:File/x").unwrap();
    let other = ResourceId::parse("site:File/none").unwrap();
    let at = |id, pointer| {
        let found = case.with_input(|input| locate(input, &[(id, pointer)]));
        found[0].as_ref().map(|it| format!("{}:{}:{}", it.file, it.line, it.column))
    };
    let [content, port] = ["/spec/content", "/spec/rules/0/port"].map(|it| at(&id, it).unwrap());
    assert!(content.starts_with("prod/a.yaml:5:") && port.starts_with("base/a.yaml:4:"), "{content} {port}");
    assert_eq!(at(&id, "/spec/rules/0/none/x"), at(&id, "/spec/rules/0"));
    assert_eq!(at(&id, "/spec/rules/7"), at(&id, "/spec/rules"));
    assert_eq!(at(&other, "/spec"), None);
}

/// RFC 7386, as its text has it.
fn rfc_7386(target: Json, patch: &Json) -> Json {
    let Json::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            let old = target.remove(key).unwrap_or(Json::Null);
            target.insert(key.clone(), rfc_7386(old, value));
        }
    }
    Json::Object(target)
}

fn merged(layers: &[&Json]) -> Json {
    // Where no schema describes a list, a warning comes with it; that is another test's business.
    let text = |note: &Json| {
        format!(
            "{{\"apiVersion\": \"site/v1\", \"kind\": \"File\", \"metadata\": {{\"name\": \"x\"}}, \"spec\": {{\"path\": \"x\", \"note\": {note}}}}}"
        )
    };
    let names = ["one", "two", "three"];
    let case = names
        .into_iter()
        .zip(layers)
        .fold(Case::new(), |case, (name, note)| case.file(name, &format!("{name}.json"), text(note)));
    let doc = case.run().resources.remove(0).doc;
    doc["spec"]["note"].clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn layers_merge_as_rfc_7386_says(a in tree(), b in tree()) {
        prop_assert_eq!(merged(&[&a, &b]), rfc_7386(a, &b));
    }

    #[test]
    fn a_layer_laid_twice_changes_nothing(a in tree(), b in tree()) {
        prop_assert_eq!(merged(&[&a, &b, &b]), merged(&[&a, &b]));
    }
}
