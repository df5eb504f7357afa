//! `trueup explain`: file, line, layer, commit and author of a value, through layers and references.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use trueup_core::address::ResourceId;
use trueup_core::diagnostic::{Location, codes};
use trueup_core::document::{Provenance, Shortener};
use trueup_core::manifest::Hints;
use trueup_core::value::{Marker, Path, marker, secret};

use super::Shell;
use super::arguments::ExplainArgs;
use super::documents::{Opened, open_documents};
use super::error::CliError;
use super::exit::Exit;
use super::session::named;
use crate::output::clean::clean;
use crate::output::json::public;
use crate::output::style::{Style, Tone};
use crate::output::value::inline;
use crate::seal::without_plain;
use crate::source::Commit;

/// Fields whose commit is looked up; more would read much history.
const COMMITS: usize = 50;
/// Fields shown.
const SHOWN: usize = 500;
/// Variables of one field that are followed.
const VARIABLES: usize = 16;

pub async fn run(arguments: &ExplainArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let field = match &arguments.field {
        None => Path::default(),
        Some(text) => Path::parse(text).ok_or_else(|| {
            CliError::usage(format!("`{text}` is no field")).hint("write spec.a.b, spec.list[0] or spec.list[name=x]")
        })?,
    };
    let opened = open_documents(shell, &arguments.revision).await?;
    let names = Shortener::new(opened.desired.ids());
    let id = named(&names, &arguments.resource)?;
    let found = opened.desired.provenance(&opened.context, &id, &field);
    let found = found.map_err(|found| CliError::from_diagnostics(found).texts(opened.session.texts()))?;
    if found.is_empty() {
        let text = format!("{} declares nothing at {field}", names.shorten(&id));
        let hint = format!("`trueup explain {}` lists every field", names.shorten(&id));
        return Err(CliError::new(codes::UNKNOWN_FIELD, text).hint(hint));
    }
    let (values, hidden) = final_values(&opened, &id).await?;
    let found: Vec<Provenance> = found.into_iter().map(|it| covered(it, &hidden)).collect();
    if shell.output.format.is_object() {
        let fields: Vec<Json> = found.iter().take(SHOWN).enumerate().map(|(at, it)| shape(it, &values, &opened, at)).collect();
        let object = json!({"format": "trueup.explain/1", "resource": names.shorten(&id), "id": id.as_str(), "revision": opened.session.engine.revision(), "fields": fields});
        shell.output.object(&object)?;
        return Ok(Exit::Fine);
    }
    let mut text = String::new();
    for (at, it) in found.iter().take(SHOWN).enumerate() {
        let commit = if at < COMMITS { commit(&opened, it) } else { None };
        text.push_str(&field_text(it, &values, commit.as_ref(), &variables(it, &opened), &names, &shell.output.style));
    }
    if let Some(more) = found.len().checked_sub(SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(text, "{} {more} more fields", shell.output.style.ellipsis());
    }
    shell.output.print(&text);
    Ok(Exit::Fine)
}

/// The document after layers and expressions, and the fields whose plain values are nobody's to see.
async fn final_values(opened: &Opened, id: &ResourceId) -> Result<(Arc<Json>, Vec<Path>), CliError> {
    let all = opened.desired.resources(&opened.context).await;
    let all = all.map_err(|found| CliError::from_diagnostics(found).texts(opened.session.texts()))?;
    let Some(it) = all.into_iter().find(|it| it.id == *id) else { return Ok(Default::default()) };
    let plain = &it.kind.hints.plain;
    let document = without_plain(&it.doc, plain, &|_| secret("", "")).map_or(it.doc, Arc::new);
    Ok((document, plain.iter().map(|(path, _)| path.clone()).collect()))
}

/// What documents say in such a field, hidden where it is no expression.
fn covered(it: Provenance, hidden: &[Path]) -> Provenance {
    if !Hints::covers(hidden, &it.path) {
        return it;
    }
    let cover = |written: Json| match written {
        Json::String(text) if !text.contains("${{") => secret("", ""),
        written => written,
    };
    let sources = it.sources.into_iter().map(|(layer, place, written)| (layer, place, cover(written)));
    Provenance { sources: sources.collect(), ..it }
}

fn commit(opened: &Opened, it: &Provenance) -> Option<Commit> {
    let (_, place, _) = it.sources.first()?;
    opened.session.engine.source.history(&opened.session.engine.snapshot, &place.file, place.line)
}

/// `spec.replicas  6 ← envs/prod/site.yaml:4 (over 2, base/site.yaml:11)`, the expression and the commit below.
fn field_text(
    it: &Provenance,
    values: &Json,
    commit: Option<&Commit>,
    variables: &[(String, Location)],
    names: &Shortener,
    style: &Style,
) -> String {
    let Some((layer, place, written)) = it.sources.first() else { return String::new() };
    // Of a file that a document names, the path says more than its digest.
    let value = it.path.get(values).filter(|it| !matches!(marker(it), Some(Marker::Blob { .. }))).unwrap_or(written);
    let over: Vec<String> =
        it.sources.iter().skip(1).map(|(_, place, text)| format!("over {}, {}", inline(text, 60, style), at(place))).collect();
    let over = if over.is_empty() { String::new() } else { format!(" ({})", over.join("; ")) };
    let path = style.paint(Tone::Strong, clean(&it.path.to_string()).into_owned()).into_owned();
    let mut out = format!("{path}  {} {} {}{over}\n", inline(value, 80, style), style.from(), at(place));
    let _ = writeln!(out, "    layer {}", clean(layer));
    if written != value && written.as_str().is_some_and(|it| it.contains("${{")) {
        let _ = writeln!(out, "    written {}", inline(written, 200, style));
    }
    for (name, place) in variables {
        let _ = writeln!(out, "    reads vars.{} {} {}", clean(name), style.from(), at(place));
    }
    for read in &it.reads {
        let from = read.sources.first().map(|(_, place, _)| format!(" {} {}", style.from(), at(place))).unwrap_or_default();
        let _ = writeln!(out, "    reads {} {}{from}", clean(&names.shorten(&read.id)), clean(&read.path.to_string()));
    }
    if let Some(commit) = commit {
        let short = commit.id.get(..7).unwrap_or(&commit.id);
        let _ = writeln!(out, "    commit {short} {} by {}", clean(&commit.summary), clean(&commit.author));
    }
    out
}

/// The variables that the text of a field names, and where each is written.
fn variables(it: &Provenance, opened: &Opened) -> Vec<(String, Location)> {
    let Some((_, _, Json::String(text))) = it.sources.first() else { return Vec::new() };
    let engine = &opened.session.engine;
    let found = named_variables(text).into_iter().take(VARIABLES);
    found.filter_map(|name| Some((name.clone(), engine.place_of_variable(&opened.session.environment.name, &name)?))).collect()
}

/// `x` of every `vars.x` inside an expression, once each.
fn named_variables(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for expression in text.split("${{").skip(1).filter_map(|it| it.split("}}").next()) {
        for (at, word) in expression.match_indices("vars.") {
            let before = expression.get(..at).and_then(|it| it.chars().next_back());
            let rest = expression.get(at + word.len()..).unwrap_or_default();
            let name: String = rest.chars().take_while(|c| part(*c)).collect();
            if !name.is_empty() && !before.is_some_and(|c| part(c) || c == '.') && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

fn at(place: &Location) -> String {
    clean(&format!("{}:{}", place.file, place.line)).into_owned()
}

fn shape(it: &Provenance, values: &Json, opened: &Opened, at: usize) -> Json {
    let source = |(layer, place, text): &(Arc<str>, Location, Json)| json!({"layer": &**layer, "file": &*place.file, "line": place.line, "value": public(text)});
    let read = |read: &trueup_core::document::ReadFrom| json!({"id": read.id.as_str(), "path": read.path.to_string(), "sources": read.sources.iter().map(source).collect::<Vec<_>>()});
    let variable = |(name, place): &(String, Location)| json!({"name": name, "file": &*place.file, "line": place.line});
    let commit = if at < COMMITS { commit(opened, it) } else { None };
    let commit =
        commit.map(|it| json!({"id": it.id, "summary": it.summary, "author": it.author, "email": it.email, "time": it.time}));
    json!({
        "path": it.path.to_string(),
        "value": it.path.get(values).map(public),
        "sources": it.sources.iter().map(source).collect::<Vec<_>>(),
        "reads": it.reads.iter().map(read).collect::<Vec<_>>(),
        "variables": variables(it, opened).iter().map(variable).collect::<Vec<_>>(),
        "commit": commit,
    })
}

#[cfg(test)]
mod tests {
    use trueup_core::value::json;

    use super::*;

    fn place(file: &str, line: u32) -> Location {
        Location { file: file.into(), line, column: 1, width: 0 }
    }

    #[test]
    fn variables_are_found_in_expressions_only() {
        let text = "vars.no ${{ vars.a + string(vars.b_2) }} ${{ vars.a + x.vars.no + xvars.no }} vars.no";
        assert_eq!(named_variables(text), ["a", "b_2"]);
    }

    #[test]
    fn a_value_names_its_line_and_what_it_stands_over() {
        let it = Provenance {
            path: Path::parse("spec.replicas").unwrap(),
            sources: vec![
                ("envs/prod".into(), place("envs/prod/site.yaml", 4), json!(6)),
                ("base".into(), place("base/site.yaml", 11), json!(2)),
            ],
            reads: vec![],
        };
        let commit = Commit {
            id: "3f2a1c9d00112233445566778899aabbccddeeff".to_owned(),
            summary: "Scale web".to_owned(),
            author: "Mia".to_owned(),
            email: String::new(),
            time: 0,
            branch: None,
        };
        let text = field_text(&it, &json!({"spec": {"replicas": 6}}), Some(&commit), &[], &Shortener::default(), &Style::PLAIN);
        let want = "spec.replicas  6 ← envs/prod/site.yaml:4 (over 2, base/site.yaml:11)\n    layer envs/prod\n    commit 3f2a1c9 Scale web by Mia\n";
        assert_eq!(text, want);
    }
}
