//! What differs between two versions of a plugin: rights, kinds, fields, and what they would do in the same place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use trueup_core::manifest::{Kind, Manifest};
use trueup_core::plan::Plan;
use trueup_core::value::Digest;

use crate::config::lock::Pin;
use crate::output::clean::clean;
use crate::output::style::{Style, Tone};
use crate::registry::Asks;

/// Levels of a schema that are compared.
const DEPTH: usize = 16;

/// Something of the old one, and what the new one has in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced<W, T> {
    pub was: W,
    pub is: T,
}

/// What differs in the manifests, and in who signed.
#[derive(Debug, Default)]
pub struct Differences {
    /// What it calls itself, where that is not known to be the same: another name is another plugin. `was` is none where the old
    /// one is not here to be asked.
    pub name: Option<Replaced<Option<String>, String>>,
    /// Fingerprints of the keys; none where nobody who is trusted signed the new one.
    pub signer: Option<Replaced<String, Option<String>>>,
    /// Rights that only the new one asks for, and only the old one.
    pub more: Vec<String>,
    pub less: Vec<String>,
    /// Kinds and fields, a line each: `+`, `-` or `~` in front.
    pub schemas: Vec<String>,
}

impl Differences {
    /// `pin` is what was agreed to, `agreed` the rights of it; `signed` is who signed the new one.
    pub fn of(old: Option<&Manifest>, pin: &Pin, agreed: &Asks, new: &Manifest, signed: Option<Digest>) -> Self {
        let asks = Asks::of(new);
        let was = old.map(|it| it.name.clone());
        let name = (was.as_ref() != Some(&new.name)).then(|| Replaced { was, is: new.name.clone() });
        let signer = pin.signed.filter(|it| Some(*it) != signed);
        let signer = signer.map(|it| Replaced { was: it.to_string(), is: signed.map(|it| it.to_string()) });
        let schemas = old.map_or_else(Vec::new, |old| {
            let mut lines = Vec::new();
            let config = |it: &Manifest| fields(&it.config);
            compare("config", &config(old), &config(new), &mut lines);
            let names: BTreeSet<&String> = old.kinds.keys().chain(new.kinds.keys()).collect();
            for name in names {
                match (old.kinds.get(name), new.kinds.get(name)) {
                    (Some(_), None) => lines.push(format!("- kind {name}")),
                    (None, Some(_)) => lines.push(format!("+ kind {name}")),
                    (Some(old), Some(new)) => {
                        compare(name, &fields(&old.schema), &fields(&new.schema), &mut lines);
                        compare(name, &manners(old), &manners(new), &mut lines);
                    }
                    (None, None) => {}
                }
            }
            lines
        });
        Self { name, signer, more: asks.beyond(agreed), less: agreed.beyond(&asks), schemas }
    }

    /// Whether the pinned one was signed, and the new one is not.
    pub fn lost_signer(&self) -> bool {
        self.signer.as_ref().is_some_and(|it| it.is.is_none())
    }

    /// For people; what may be another's plugin first, then rights.
    pub fn text(&self, style: &Style) -> String {
        let mut out = String::new();
        let mut alarm = |text: String| {
            out.push_str(&format!("  {}\n", style.paint(Tone::Bad, clean(&text).into_owned())));
        };
        match &self.name {
            Some(Replaced { was: Some(was), is }) => {
                alarm(format!("It is another plugin: it calls itself `{is}`, and the pinned one `{was}`"));
            }
            Some(Replaced { was: None, is }) => {
                alarm(format!("It may be another plugin: it calls itself `{is}`, and nobody can ask the pinned one"));
            }
            None => {}
        }
        match &self.signer {
            Some(Replaced { was, is: None }) => {
                alarm(format!("It lost its signer: the pinned one was signed by key {was}, and this one by nobody you trust"));
            }
            Some(Replaced { was, is: Some(is) }) => alarm(format!("Another key signed it: {is} in place of {was}")),
            None => {}
        }
        let part = |head: &str, sign: &str, lines: &[String]| -> String {
            let lines: String = lines.iter().map(|it| format!("    {sign}{}\n", clean(it))).collect();
            if lines.is_empty() { lines } else { format!("  {head}\n{lines}") }
        };
        out.push_str(&part("It asks for more: to", "+ ", &self.more));
        out.push_str(&part("It no longer asks to", "- ", &self.less));
        out.push_str(&part("Kinds and fields", "", &self.schemas));
        if out.is_empty() { "  Rights, kinds and fields are the same.\n".to_owned() } else { out }
    }
}

/// How a kind is treated beyond its fields.
fn manners(kind: &Kind) -> BTreeMap<String, String> {
    let lower = |it: &dyn std::fmt::Debug| format!("{it:?}").to_lowercase();
    BTreeMap::from([
        ("(observed by)".to_owned(), lower(&kind.observe)),
        ("(found again by)".to_owned(), lower(&kind.recover)),
        ("(replaced)".to_owned(), lower(&kind.replace)),
        ("(schema version)".to_owned(), kind.schema_version.to_string()),
    ])
}

/// What is special about each field, by its path.
fn fields(schema: &Json) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    collect(schema, "", 0, &mut out);
    out
}

fn collect(schema: &Json, at: &str, depth: usize, out: &mut BTreeMap<String, String>) {
    let required: Vec<&str> =
        schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let mut notes: BTreeMap<String, String> = BTreeMap::new();
        // Every keyword but those that hold further fields or only words for people.
        for (key, value) in field.as_object().into_iter().flatten() {
            if !matches!(key.as_str(), "properties" | "items" | "required" | "description" | "title" | "examples" | "$comment") {
                let word = key.strip_prefix("x-trueup-").unwrap_or(key);
                notes.insert(word.to_owned(), value.to_string());
            }
        }
        if required.contains(&name.as_str()) {
            notes.insert("required".to_owned(), "true".to_owned());
        }
        let words = |(key, value): (&String, &String)| match (key.as_str(), value.as_str()) {
            ("type", value) => value.trim_matches('"').to_owned(),
            (key, "true") => key.to_owned(),
            (key, value) => format!("{key} {value}"),
        };
        out.insert(path.clone(), notes.iter().map(words).collect::<Vec<_>>().join(", "));
        if depth < DEPTH {
            collect(field, &path, depth + 1, out);
            if let Some(items) = field.get("items") {
                collect(items, &format!("{path}[]"), depth + 1, out);
            }
        }
    }
}

fn compare(of: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>, lines: &mut Vec<String>) {
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for path in paths {
        match (old.get(path), new.get(path)) {
            (Some(old), None) => lines.push(format!("- {of} {path}: {old}")),
            (None, Some(new)) => lines.push(format!("+ {of} {path}: {new}")),
            (Some(old), Some(new)) if old != new => lines.push(format!("~ {of} {path}: {old} -> {new}")),
            _ => {}
        }
    }
}

/// A plan as it is compared: what is done to whom, field by field.
pub type Steps = BTreeMap<(String, String), String>;

/// What a plan would do, and refuses, through these providers.
pub fn steps(plan: &Plan) -> Steps {
    let mut out = Steps::new();
    for step in &plan.steps {
        let mut changes: Vec<String> = step.changes.iter().map(|it| it.path.to_string()).collect();
        changes.sort_unstable();
        let what = match changes.is_empty() {
            true => step.action.name().to_owned(),
            false => format!("{} ({})", step.action.name(), changes.join(", ")),
        };
        out.insert((step.resource.as_str().to_owned(), step.address.to_string()), what);
    }
    for refused in &plan.refused {
        let address = refused.address.as_ref().map(ToString::to_string).unwrap_or_default();
        out.insert((refused.resource.as_str().to_owned(), address), format!("refused: {}", refused.reason));
    }
    out
}

/// What only one of two plans does, a line each.
pub fn between(old: &Steps, new: &Steps) -> Vec<String> {
    let keys: BTreeSet<&(String, String)> = old.keys().chain(new.keys()).collect();
    let mut out = Vec::new();
    for key in keys {
        let name = &key.0;
        match (old.get(key), new.get(key)) {
            (Some(old), None) => out.push(format!("- {name}: {old}, and nothing with the new one")),
            (None, Some(new)) => out.push(format!("+ {name}: {new}, and nothing with the old one")),
            (Some(old), Some(new)) if old != new => out.push(format!("~ {name}: {old} -> {new}")),
            _ => {}
        }
    }
    out
}

/// For programs.
pub fn shape(differences: &Differences) -> Json {
    let name = differences.name.as_ref().map(|it| json!({"was": it.was, "is": it.is}));
    let signer = differences.signer.as_ref().map(|it| json!({"was": it.was, "is": it.is}));
    json!({
        "name": name, "signer": signer, "more": differences.more, "less": differences.less, "schemas": differences.schemas,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_come_go_and_change_are_told_apart() {
        let old = fields(&json!({"properties": {"spec": {"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string"}, "b": {"type": "integer", "default": 1}, "gone": {"type": "string"},
            "list": {"type": "array", "items": {"properties": {"x": {"type": "string"}}}},
        }}}}));
        let new = fields(&json!({"properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string", "x-trueup-immutable": true, "description": "other words"}, "b": {"type": "integer", "default": 1},
            "list": {"type": "array", "items": {"properties": {"x": {"type": "integer"}, "y": {"type": "string"}}}},
        }}}}));
        let mut lines = Vec::new();
        compare("T", &old, &new, &mut lines);
        let want = [
            "~ T spec.a: required, string -> immutable, string",
            "- T spec.gone: string",
            "~ T spec.list[].x: string -> integer",
            "+ T spec.list[].y: string",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn a_lost_signer_is_told_from_another_one_and_from_none_at_all() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let check = |was: Option<Digest>, is: Option<Digest>, lost: bool, words: &str| {
            let pin = Pin { signed: was, ..Pin::from(one) };
            let manifest = json!({"format": 1, "name": "a", "version": "1.0.0", "config": {"type": "object"}, "kinds": {}});
            let manifest = Manifest::parse(&manifest).unwrap();
            let it = Differences::of(Some(&manifest), &pin, &Asks::default(), &manifest, is);
            assert_eq!(it.lost_signer(), lost, "{was:?} {is:?}");
            assert!(it.text(&Style::PLAIN).contains(words), "{was:?} {is:?}: {}", it.text(&Style::PLAIN));
        };
        check(Some(one), None, true, "It lost its signer");
        check(Some(one), Some(two), false, "Another key signed it");
        check(Some(one), Some(one), false, "are the same");
        check(None, Some(two), false, "are the same");
        check(None, None, false, "are the same");
    }

    #[test]
    fn a_name_that_cannot_be_compared_is_not_taken_for_the_same() {
        let named = |name: &str| {
            let manifest = json!({"format": 1, "name": name, "version": "1.0.0", "config": {"type": "object"}, "kinds": {}});
            Manifest::parse(&manifest).unwrap()
        };
        let check = |old: Option<&str>, want: Option<Option<&str>>, words: &str| {
            let (old, pin) = (old.map(named), Pin::from(Digest::of(b"old")));
            let it = Differences::of(old.as_ref(), &pin, &Asks::default(), &named("b"), None);
            assert_eq!(it.name.as_ref().map(|it| it.was.as_deref()), want, "{words}");
            assert!(it.text(&Style::PLAIN).contains(words), "{}", it.text(&Style::PLAIN));
        };
        check(Some("b"), None, "are the same");
        check(Some("a"), Some(Some("a")), "It is another plugin: it calls itself `b`, and the pinned one `a`");
        check(None, Some(None), "It may be another plugin: it calls itself `b`");
    }

    #[test]
    fn plans_are_compared_step_by_step() {
        let steps = |list: &[(&str, &str)]| {
            list.iter().map(|(id, what)| (((*id).to_owned(), String::new()), (*what).to_owned())).collect()
        };
        let old: Steps = steps(&[("a", "create"), ("b", "update (spec.x)"), ("c", "update (spec.x)")]);
        let new: Steps = steps(&[("b", "update (spec.x)"), ("c", "replace (spec.x)"), ("d", "delete")]);
        let lines = between(&old, &new);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines[0].starts_with("- a: create")
                && lines[1].contains("update (spec.x) -> replace")
                && lines[2].starts_with("+ d: delete")
        );
        assert!(between(&old, &old).is_empty());
    }
}
