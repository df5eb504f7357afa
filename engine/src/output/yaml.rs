//! Writes JSON values as YAML that every reader, 1.1 or 1.2, reads back as the same value.
//!
//! A text stays plain only where nobody can mistake it for something else; anything else is a double-quoted JSON text,
//! which is YAML too, or a literal block where it has lines.

use serde_json::Value as Json;

use super::clean::{escape, is_hostile};

/// One document, without `---`, ending in a line break.
pub fn to_yaml(value: &Json) -> String {
    let mut out = String::new();
    match value {
        Json::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Json::Array(items) if !items.is_empty() => block(value, 0, &mut out),
        scalar => {
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
    out
}

/// A mapping or list that is not empty, each line indented by `depth` times two spaces. The depth of values is bounded
/// by the readers that made them.
fn block(value: &Json, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                out.push_str(&indent);
                out.push_str(&text(key));
                out.push(':');
                member(value, depth, out);
            }
        }
        Json::Array(items) => {
            for value in items {
                out.push_str(&indent);
                out.push('-');
                if value.as_object().is_some_and(|it| !it.is_empty()) {
                    let start = out.len();
                    block(value, depth + 1, out);
                    // The first key follows the dash on its line.
                    out.replace_range(start..start + indent.len() + 2, " ");
                } else {
                    member(value, depth, out);
                }
            }
        }
        _ => {}
    }
}

/// What follows `key:` or `-`.
fn member(value: &Json, depth: usize, out: &mut String) {
    match value {
        Json::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(value, depth + 1, out);
        }
        Json::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(value, depth + 1, out);
        }
        Json::String(lines) if literal(lines) => {
            out.push_str(if lines.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in lines.lines() {
                if !line.is_empty() {
                    out.push_str(&"  ".repeat(depth + 1));
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        scalar => {
            out.push(' ');
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
}

fn inline(value: &Json) -> String {
    match value {
        Json::String(it) => text(it),
        other => other.to_string(),
    }
}

/// Whether a literal block gives back exactly this text.
fn literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\n'])
        && !text.chars().any(|c| is_hostile(c) && c != '\n')
        && !text.lines().any(|line| line.ends_with(' '))
}

fn text(text: &str) -> String {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@-".contains(c));
    if first && rest && !ambiguous(text) { text.to_owned() } else { escape(Json::from(text).to_string()) }
}

/// Words that some reader takes for a boolean, null or number.
fn ambiguous(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity", "_"];
    WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Json, want: &str) {
        assert_eq!(to_yaml(&value), want, "{value}");
    }

    #[test]
    fn nested_values_are_blocks_and_empty_ones_stay_inline() {
        check(
            json!({"a": [{"b": 1, "c": [2, [3]]}, {}, []], "d": {"e": null}, "f": {}}),
            "a:\n  - b: 1\n    c:\n      - 2\n      -\n        - 3\n  - {}\n  - []\nd:\n  e: null\nf: {}\n",
        );
        check(json!("x"), "x\n");
        check(json!([]), "[]\n");
    }

    #[test]
    fn a_text_that_could_be_something_else_is_quoted() {
        check(
            json!({"yes": "no", "n": "0644", "u": "a: b", "v": "v1.2", "e": "", "s": " x", "t": "1e3"}),
            "e: \"\"\n\"n\": \"0644\"\ns: \" x\"\nt: \"1e3\"\nu: \"a: b\"\nv: v1.2\n\"yes\": \"no\"\n",
        );
        check(json!("\u{202e}\u{9b}"), "\"\\u202e\\u009b\"\n");
    }

    #[test]
    fn lines_become_a_literal_block_only_where_that_is_exact() {
        check(json!({"t": "a\n\n b\n"}), "t: |\n  a\n\n   b\n");
        check(json!({"t": ["a\nb"]}), "t:\n  - |-\n    a\n    b\n");
        check(json!({"t": " a\nb"}), "t: \" a\\nb\"\n");
        check(json!({"t": "a \nb"}), "t: \"a \\nb\"\n");
        check(json!({"t": "a\nb\n\n"}), "t: \"a\\nb\\n\\n\"\n");
        check(json!({"t": "a\n"}), "t: \"a\\n\"\n");
    }
}
