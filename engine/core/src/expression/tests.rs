use serde_json::json;

use super::*;
use crate::value::{blob, secret as secret_marker, unknown};

/// Names of a small environment.
struct World;

impl Names for World {
    fn var(&self, name: &str) -> Option<Cow<'_, Json>> {
        let value = match name {
            "n" => json!(2),
            "ratio" => json!(1.5),
            "domain" => json!("example.com"),
            "on" => json!(true),
            "nothing" => Json::Null,
            "list" => json!(["a", "b", "c"]),
            "map" => json!({"cpu": 2, "a-b": "x", "mem": {"limit": "1Gi"}}),
            "big" => Json::String("x".repeat(1 << 20)),
            "wait" => unknown("File/w"),
            "deep" => json!({"inner": [unknown("File/w")]}),
            _ => return None,
        };
        Some(Cow::Owned(value))
    }

    fn variables(&self) -> Vec<&str> {
        vec!["n", "ratio", "domain", "on", "nothing", "list", "map", "big", "wait", "deep"]
    }

    fn environment(&self) -> &str {
        "prod"
    }

    fn spec(&self, reference: &str) -> Result<Cow<'_, Json>, NameError> {
        match reference {
            "File/a" => {
                let spec = json!({"path": "a.txt", "mode": "0644", "ports": [{"port": 80}], "later": unknown("File/z"),
                    "password": secret_marker("db", ""), "source": blob(&crate::value::Digest::of(b""), 0)});
                Ok(Cow::Owned(spec))
            }
            _ => Err(NameError::missing(format!("`{reference}` is not declared"), Some("did you mean `File/a`?".to_owned()))),
        }
    }

    fn status(&self, reference: &str) -> Result<Option<Cow<'_, Json>>, NameError> {
        match reference {
            "File/a" => Ok(Some(Cow::Owned(json!({"size": 12, "url": unknown("File/a")})))),
            _ => Ok(None),
        }
    }

    fn shortest(&self, reference: &str) -> String {
        format!("short:{reference}")
    }

    fn secret_granted(&self, name: &str) -> bool {
        name != "denied"
    }

    fn itself(&self) -> Option<Cow<'_, Json>> {
        Some(Cow::Owned(json!({"spec": {"name": "me", "replicas": 3}})))
    }
}

fn run(text: &str) -> Result<Evaluated, ExpressionError> {
    match Template::parse(text)? {
        Some(template) => template.evaluate(&World),
        None => Ok(Evaluated::Value(Json::from(text))),
    }
}

#[track_caller]
fn check(text: &str, want: Json) {
    assert_eq!(run(text), Ok(Evaluated::Value(want)), "{text}");
}

/// `marked` is the text with `«` and `»` around what the caret must underline.
#[track_caller]
fn refused(marked: &str, code: Code, message: &str, hint: Option<&str>) {
    let text = marked.replace(['«', '»'], "");
    let error = run(&text).expect_err(&text);
    let mut shown = text.clone();
    shown.insert(error.end, '»');
    shown.insert(error.start, '«');
    assert_eq!(shown, marked, "caret of: {}", error.message);
    assert_eq!((error.code, error.message.as_str(), error.hint.as_deref()), (code, message, hint), "{marked}");
}

#[track_caller]
fn secret_text(text: &str, name: &str, parts: &[SecretPart]) {
    assert_eq!(run(text), Ok(Evaluated::Secret { name: name.to_owned(), parts: parts.to_vec() }), "{text}");
}

fn plain(text: &str) -> SecretPart {
    SecretPart::Text(text.to_owned())
}

fn hidden(name: &str) -> SecretPart {
    SecretPart::Secret(name.to_owned())
}

#[test]
fn a_whole_expression_keeps_its_type_and_inside_text_becomes_text() {
    check("${{ vars.n }}", json!(2));
    check("${{ vars.n + 1 }}", json!(3));
    check("${{ vars.list }}", json!(["a", "b", "c"]));
    check("${{vars.on}}", json!(true));
    check("${{ vars.nothing }}", Json::Null);
    check(" ${{ vars.n }}", json!(" 2"));
    check("${{ vars.n }}\n", json!("2\n"));
    check("a-${{ env.name }}-${{ vars.ratio }}-${{ vars.on }}", json!("a-prod-1.5-true"));
}

#[test]
fn what_only_looks_like_an_expression_is_left_alone() {
    for text in ["${VAR}", "{{ .Values.x }}", "$", "${", "}}", "$ {{ x }}", "", "ünïcode"] {
        assert_eq!(Template::parse(text), Ok(None), "{text}");
    }
    check("$${{ x }}", json!("${{ x }}"));
    check("a $${{ b ${{ vars.n }} }} $$${{", json!("a ${{ b 2 }} $${{"));
    check("${{ '${{ x }}' }}", json!("${{ x }}"));
}

#[test]
fn closing_braces_inside_texts_and_mappings_do_not_end_an_expression() {
    check("${{ '}}' }}", json!("}}"));
    check(r#"${{ "a\"}}" + 'b' }}"#, json!("a\"}}b"));
    check("${{ {'a': {'b': 1}} }}", json!({"a": {"b": 1}}));
    check("${{{'a': {'b': 1}}.a.b}}}", json!("1}"));
    check("${{ r'\\}}' }}", json!("\\}}"));
    check("${{ '''it's\n}}''' }}", json!("it's\n}}"));
}

#[test]
fn names_reach_variables_environment_resources_and_self() {
    check("${{ vars.map.cpu }}", json!(2));
    check("${{ vars['map']['a-b'] }}", json!("x"));
    check("${{ env.name }}", json!("prod"));
    check("${{ ref('File/a').spec.path }}", json!("a.txt"));
    check("${{ ref(\"File/a\").spec.ports[0].port }}", json!(80));
    check("${{ ref('File/a')['spec'].path }}", json!("a.txt"));
    check("${{ ref('File/a').status.size }}", json!(12));
    check("${{ self.spec.name }}", json!("me"));
    check("${{ has(vars.n) && !has(vars.m) && has(vars.map.cpu) && !has(vars.map.gpu) }}", json!(true));
    check("${{ 'n' in vars && 'cpu' in vars.map && !('zz' in vars) }}", json!(true));
}
