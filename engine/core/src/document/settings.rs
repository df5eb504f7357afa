//! `trueup.dev/…` annotations: what people ask of the engine, not of the plugin.

use std::time::Duration;

use super::locate::bare_finding;
use super::node::{Sources, Span};
use super::text::shown;
use super::{DriftMode, ReplaceMode, Settings};
use crate::diagnostic::{Diagnostic, codes};
use crate::expression::{Condition, ExpressionError, OwnField};
use crate::manifest::Kind;
use crate::schema::{self, suggest};
use crate::value::{Json, Path, Segment};

/// What all of them begin with.
pub(crate) const PREFIX: &str = "trueup.dev/";

const KNOWN: &[&str] = &[
    "provider",
    "depends-on",
    "protect",
    "ignore",
    "adopt",
    "moved-from",
    "remove",
    "prune",
    "drift",
    "force",
    "replace",
    "wait-for",
    "timeout",
    "wave",
    "steps",
];

/// Longest time that `timeout` may give.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// One annotation, its prefix taken off.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub name: String,
    /// None: a later layer takes the setting away.
    pub text: Option<String>,
    /// Key and value.
    pub span: Span,
    /// The value alone.
    pub value_span: Span,
}

/// What settings are judged by besides their text.
pub(crate) struct Ground<'a> {
    pub vars: &'a Json,
    pub environment: &'a str,
    pub kind: &'a Kind,
}

/// Reads the settings of one resource, all layers merged. `provider` and `remove` belong to the single document and are
/// only checked.
pub(crate) fn read(list: &[Setting], ground: &Ground<'_>, sources: &Sources, out: &mut Vec<Diagnostic>) -> Settings {
    let mut settings = Settings::default();
    for setting in list {
        let Some(text) = &setting.text else { continue };
        if setting.name == "wait-for" {
            match condition(text, ground) {
                Ok(condition) => settings.wait_for = Some(condition),
                Err(error) => out.push(bare_finding(&error, text, setting.value_span, sources)),
            }
            continue;
        }
        if let Err(finding) = apply(&mut settings, &setting.name, text) {
            let span = if finding.code == codes::SETTING_VALUE { setting.value_span } else { setting.span };
            out.push(finding.at(sources.location(span)));
        }
    }
    settings
}

fn apply(settings: &mut Settings, name: &str, text: &str) -> Result<(), Diagnostic> {
    match name {
        "protect" => settings.protect = only(name, text, "true")?,
        "adopt" => {
            settings.adopt = true;
            settings.adopt_identity = identity(text).map_err(|()| wrong(name, text, "true, or the identity of an object"))?;
        }
        "force" => settings.force = only(name, text, "true")?,
        "prune" => settings.no_prune = only(name, text, "false")?,
        "remove" => {
            only(name, text, "true")?;
        }
        "provider" => {}
        "drift" => {
            settings.drift = Some(match text {
                "heal" => DriftMode::Heal,
                "warn" => DriftMode::Warn,
                "off" => DriftMode::Off,
                _ => return Err(wrong(name, text, "heal, warn or off")),
            });
        }
        "replace" => {
            settings.replace = Some(match text {
                "allow" => ReplaceMode::Allow,
                "create-first" => ReplaceMode::CreateFirst,
                "delete-first" => ReplaceMode::DeleteFirst,
                _ => return Err(wrong(name, text, "allow, create-first or delete-first")),
            });
        }
        "depends-on" => {
            settings.depends_on = text.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
        }
        "moved-from" => settings.moved_from = Some(text.trim().to_owned()),
        "ignore" => {
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let path = Path::parse(line).ok_or_else(|| wrong(name, line, "field paths like spec.replicas, one a line"))?;
                settings.ignore.push(path);
            }
        }
        "timeout" => settings.timeout = Some(duration(text).ok_or_else(|| wrong(name, text, "a time like 90s, 5m or 2h"))?),
        "wave" | "steps" => {
            let message = format!("this version does not act on trueup.dev/{name} yet");
            return Err(Diagnostic::error(codes::SETTING_UNSUPPORTED, message).hint("remove it"));
        }
        _ => {
            let mut finding =
                Diagnostic::error(codes::SETTING_UNKNOWN, format!("there is no setting {}", shown(&format!("{PREFIX}{name}"))));
            finding.hint = suggest::did_you_mean(name, KNOWN.iter().copied());
            return Err(finding);
        }
    }
    Ok(())
}

/// What `adopt` names besides the document's own object.
fn identity(text: &str) -> Result<Option<String>, ()> {
    match text.trim() {
        "true" => Ok(None),
        "" | "false" => Err(()),
        it if it.len() > 1024 || it.chars().any(char::is_control) => Err(()),
        it => Ok(Some(it.to_owned())),
    }
}

/// A `wait-for` that can hold, as far as text, variables and the kind's schema tell.
fn condition(text: &str, ground: &Ground<'_>) -> Result<Condition, ExpressionError> {
    let condition = Condition::parse(text)?;
    condition.check(ground.vars, ground.environment)?;
    match condition.fields().iter().find_map(|it| undeclared(it, ground.kind)) {
        Some(error) => Err(error),
        None => Ok(condition),
    }
}

/// A field that no object of the kind can have.
fn undeclared(field: &OwnField, kind: &Kind) -> Option<ExpressionError> {
    let (name, meant) = match field.path.0.split_first()? {
        (Segment::Key(first), rest) if first == "status" => schema::undeclared(kind, true, &Path(rest.to_vec()))?,
        _ => unknown_field(kind, &field.path)?,
    };
    let message = format!("objects of {} have no field {}", kind.name, shown(&name));
    let hint = meant.map(|it| format!("did you mean `{it}`?"));
    Some(ExpressionError { code: codes::EXPRESSION_UNDEFINED, message, start: field.start, end: field.end, hint })
}

/// The first part of a path that no document of the kind can have, and what was meant.
pub(crate) fn unknown_field(kind: &Kind, path: &Path) -> Option<(String, Option<String>)> {
    match path.0.split_first() {
        Some((Segment::Key(first), rest)) if first == "spec" => schema::undeclared(kind, false, &Path(rest.to_vec())),
        Some((Segment::Key(first), _)) => {
            let fields = kind.schema.get("properties").and_then(Json::as_object)?;
            let closed = kind.schema.get("additionalProperties") == Some(&Json::Bool(false));
            (closed && !fields.contains_key(first))
                .then(|| (first.clone(), Some(format!("spec.{first}")).filter(|_| !fields.is_empty())))
        }
        _ => None,
    }
}

/// A setting with one possible value: true where it is that.
fn only(name: &str, text: &str, value: &str) -> Result<bool, Diagnostic> {
    if text == value { Ok(true) } else { Err(wrong(name, text, &format!("\"{value}\""))) }
}

fn wrong(name: &str, text: &str, wanted: &str) -> Diagnostic {
    let message = format!("trueup.dev/{name} is {}, and takes {wanted}", shown(text));
    Diagnostic::error(codes::SETTING_VALUE, message)
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    if !number.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let time = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
    (!time.is_zero() && time <= MAX_TIMEOUT).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;
    use crate::manifest::Manifest;
    use crate::value::json;

    #[track_caller]
    fn check(name: &str, text: &str, want: Result<Settings, Code>) {
        let setting = Setting { name: name.into(), text: Some(text.into()), span: Span::default(), value_span: Span::default() };
        let mut findings = Vec::new();
        let text = json!({"name": "t", "version": "1", "format": 1, "kinds": {"K": {"schema": {"type": "object"}}}});
        let manifest = Manifest::parse(&text).unwrap();
        let ground = Ground { vars: &Json::Null, environment: "prod", kind: manifest.kinds.values().next().unwrap() };
        let got = read(&[setting], &ground, &Sources::default(), &mut findings);
        let got = findings.first().map_or(Ok(got), |it| Err(it.code));
        assert_eq!(got, want, "{name}: {text}");
    }

    #[test]
    fn settings_take_the_values_that_the_manual_lists() {
        check("protect", "true", Ok(Settings { protect: true, ..Settings::default() }));
        check("prune", "false", Ok(Settings { no_prune: true, ..Settings::default() }));
        check("drift", "warn", Ok(Settings { drift: Some(DriftMode::Warn), ..Settings::default() }));
        check("replace", "delete-first", Ok(Settings { replace: Some(ReplaceMode::DeleteFirst), ..Settings::default() }));
        check("timeout", "5m", Ok(Settings { timeout: Some(Duration::from_secs(300)), ..Settings::default() }));
        let wait_for = Condition::parse("self.status.ready").ok();
        check("wait-for", "self.status.ready", Ok(Settings { wait_for, ..Settings::default() }));
        check("depends-on", "A/x, B/y", Ok(Settings { depends_on: vec!["A/x".into(), "B/y".into()], ..Settings::default() }));
        let ignore = vec![Path::parse("spec.a").unwrap(), Path::parse("spec.l[name=x].b").unwrap()];
        check("ignore", "spec.a\nspec.l[name=x].b\n", Ok(Settings { ignore, ..Settings::default() }));
    }

    #[test]
    fn settings_with_other_values_or_names_are_errors() {
        for (name, text) in [
            ("protect", "false"),
            ("protect", "yes"),
            ("prune", "true"),
            ("drift", "ignore"),
            ("timeout", "5"),
            ("timeout", "0s"),
            ("timeout", "999999h"),
            ("timeout", "+5m"),
            ("ignore", "spec..a"),
        ] {
            check(name, text, Err(codes::SETTING_VALUE));
        }
        check("proteckt", "true", Err(codes::SETTING_UNKNOWN));
        check("wave", "1", Err(codes::SETTING_UNSUPPORTED));
        check("steps", "x", Err(codes::SETTING_UNSUPPORTED));
    }
}
