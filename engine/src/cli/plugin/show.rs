//! `trueup plugin show`: what a plugin can do, and what it asks for.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use trueup_core::diagnostic::codes;
use trueup_core::manifest::{Kind, Manifest};
use trueup_host as host;

use super::arguments::ShowArgs;
use super::load;
use super::supply::component_of;
use crate::cli::Shell;
use crate::cli::arguments::RevisionArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::session::open;
use crate::output::clean::{clean, clip};
use crate::output::style::{Style, Tone};
use crate::output::value::bytes;

/// Levels of a schema that are shown.
const DEPTH: usize = 8;

pub async fn run(arguments: &ShowArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = open(shell, &RevisionArgs::default()).ok();
    let project = project_of(&arguments.plugin, shell)?;
    let named = project.as_ref().map_or(arguments.plugin.as_str(), |it| it.as_str());
    let plugin = load(named, engine.as_ref()).await?;
    let manifest = plugin.manifest();
    let kind = match &arguments.kind {
        None => None,
        Some(name) => Some(manifest.kinds.get(name.as_str()).ok_or_else(|| {
            let all: Vec<&str> = manifest.kinds.keys().map(String::as_str).collect();
            CliError::new(codes::UNKNOWN_KIND, format!("the plugin has no kind `{name}`"))
                .hint(format!("it has {}", all.join(", ")))
        })?),
    };
    if shell.output.format.is_object() {
        let kinds: Vec<Json> = manifest
            .kinds
            .values()
            .filter(|it| kind.is_none_or(|kind| kind.name == it.name))
            .map(|it| json!({"name": &*it.name, "schema": &*it.schema}))
            .collect();
        let object = json!({
            "format": "trueup.plugin/1", "name": manifest.name, "version": manifest.version,
            "sha256": plugin.digest().to_string(), "size": plugin.size(),
            "imports": plugin.imports(), "exports": plugin.exports().names(),
            "asks": {"hosts": manifest.hosts, "directories": manifest.dirs, "dns": manifest.dns, "credentials": manifest.credentials, "secrets": manifest.secrets, "reads": manifest.reads},
            "rights": asks(manifest),
            "kinds": kinds,
        });
        shell.output.object(&object)?;
        return Ok(Exit::Fine);
    }
    let style = shell.output.style;
    let text = match kind {
        Some(kind) => kind_text(kind, &style),
        None => {
            let mut text = head(&plugin, &style);
            for kind in manifest.kinds.values() {
                text.push('\n');
                text.push_str(&kind_text(kind, &style));
            }
            text
        }
    };
    shell.output.print(&text);
    Ok(Exit::Fine)
}

/// The component of a plugin's project, where the argument is the folder of one.
fn project_of(text: &str, shell: &Shell<'_>) -> Result<Option<String>, CliError> {
    let base = shell.global.directory.clone().unwrap_or_default();
    let folder = base.join(text);
    if !folder.join(crate::kit::project::FILE).is_file() {
        return Ok(None);
    }
    Ok(Some(component_of(&folder)?.to_string_lossy().into_owned()))
}

fn head(plugin: &host::Plugin, style: &Style) -> String {
    let manifest = plugin.manifest();
    let title = format!("{} {}", clean(&manifest.name), clean(&manifest.version));
    let mut out = format!("{}\n", style.paint(Tone::Strong, title));
    let _ = writeln!(out, "  sha256   {}\n  size     {}", plugin.digest(), bytes(plugin.size()));
    let _ = writeln!(out, "  asks     {}", lines(&asks(manifest)));
    let Imports { contract, wasi } = Imports::of(plugin.imports());
    let _ = writeln!(out, "  imports  {}", list_or_none(&contract));
    // Language runtimes want them; the world behind them is empty.
    if !wasi.is_empty() {
        let _ = writeln!(out, "  wasi     {} (without files, network or environment)", list_or_none(&wasi));
    }
    let exports: Vec<String> = plugin.exports().names().into_iter().map(str::to_owned).collect();
    let _ = writeln!(out, "  exports  {}", list_or_none(&exports));
    out
}

/// The interfaces that a component imports, by their short names, each once.
#[derive(Debug, PartialEq, Eq)]
struct Imports {
    /// Of the contract.
    contract: Vec<String>,
    /// Of WASI, by package: `io`, `clocks`.
    wasi: Vec<String>,
}

impl Imports {
    fn of(names: &[String]) -> Self {
        let (mut contract, mut wasi) = (Vec::new(), Vec::new());
        for name in names {
            let bare = name.split('@').next().unwrap_or(name);
            let (short, list) = match (bare.strip_prefix("trueup:provider/"), bare.strip_prefix("wasi:")) {
                (Some(short), _) => (short, &mut contract),
                (None, Some(inner)) => (inner.split('/').next().unwrap_or(inner), &mut wasi),
                (None, None) => (name.as_str(), &mut contract),
            };
            list.push(short.to_owned());
        }
        // Types are words, and ask for nothing.
        contract.retain(|it| it != "types");
        contract.dedup();
        wasi.sort();
        wasi.dedup();
        Self { contract, wasi }
    }
}

/// What it wants, a sentence's end each; it gets nothing of this unless the project gives it and the operator agrees.
fn asks(manifest: &Manifest) -> Vec<String> {
    let host = |it: &String| match it.strip_prefix("config.") {
        Some(field) => format!("to send requests to what `{field}` of its settings names"),
        None => format!("to send requests to {it}"),
    };
    let mut all: Vec<String> = manifest.hosts.iter().map(host).collect();
    if manifest.dirs {
        all.push("to read and change files in granted directories".to_owned());
    }
    if manifest.dns {
        all.push("to send DNS messages to granted servers".to_owned());
    }
    all.extend(manifest.credentials.iter().map(|(slot, schemes)| {
        let how = if schemes.is_empty() { "any scheme".to_owned() } else { schemes.join(" or ") };
        format!("to have requests signed with a credential, as `{slot}` ({how})")
    }));
    if manifest.secrets {
        all.push("to learn granted secrets while it applies".to_owned());
    }
    all.extend(manifest.reads.iter().map(|it| format!("to send `{it}` while it only reads")));
    all
}

fn lines(items: &[String]) -> String {
    if items.is_empty() {
        "nothing".to_owned()
    } else {
        items.iter().map(|it| clean(it)).collect::<Vec<_>>().join("\n           ")
    }
}

fn list_or_none(items: &[String]) -> String {
    if items.is_empty() { "nothing".to_owned() } else { clean(&items.join(", ")).into_owned() }
}

/// A kind's fields as people read them: name, type, what is special, the description.
pub(in crate::cli) fn kind_text(kind: &Kind, style: &Style) -> String {
    let mut out = format!("{}\n", style.paint(Tone::Strong, format!("kind {}", clean(&kind.name))));
    if let Some(text) = kind.schema.get("description").and_then(Json::as_str) {
        let _ = writeln!(out, "  {}", clip(text, 200, style.ellipsis()));
    }
    fields(&kind.schema, 1, style, &mut out);
    out
}

fn fields(schema: &Json, depth: usize, style: &Style, out: &mut String) {
    let required: Vec<&str> =
        schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let indent = "  ".repeat(depth);
        let head = format!("{indent}{}", clean(name));
        let mut notes = vec![kind_of(field)];
        if required.contains(&name.as_str()) {
            notes.push("required".to_owned());
        }
        for (key, word) in [
            ("x-trueup-immutable", "cannot change in place"),
            ("x-trueup-computed", "set by the system"),
            ("x-trueup-sensitive", "secret"),
            ("x-trueup-write-only", "never read back"),
            ("x-trueup-blob", "path of a file in the repository"),
        ] {
            if field.get(key).and_then(Json::as_bool) == Some(true) {
                notes.push(word.to_owned());
            }
        }
        if let Some(default) = field.get("default") {
            notes.push(format!("default {}", clip(&default.to_string(), 40, style.ellipsis())));
        }
        let about = field.get("description").and_then(Json::as_str).unwrap_or_default();
        let line = format!("{head:32} {:40} {}", notes.join(", "), clip(about, 160, style.ellipsis()));
        let _ = writeln!(out, "{}", line.trim_end());
        if depth < DEPTH {
            let inner = field.get("items").filter(|it| it.get("properties").is_some()).unwrap_or(field);
            fields(inner, depth + 1, style, out);
        }
    }
}

fn kind_of(field: &Json) -> String {
    if let Some(options) = field.get("enum").and_then(Json::as_array) {
        return options.iter().take(8).map(|it| clean(&it.to_string()).into_owned()).collect::<Vec<_>>().join(" | ");
    }
    let name = match field.get("type") {
        Some(Json::String(name)) => name.clone(),
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    };
    match (name.as_str(), field.get("items")) {
        ("array", Some(items)) => format!("list of {}", kind_of(items)),
        _ => clean(&name).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_beyond_the_contract_are_told_apart_and_types_are_none() {
        let names = [
            "trueup:provider/types@0.1.0",
            "trueup:provider/http@0.1.0",
            "wasi:io/error@0.2.6",
            "wasi:io/streams@0.2.6",
            "a:b/c",
        ];
        let imports = Imports::of(&names.map(str::to_owned));
        assert_eq!(imports, Imports { contract: vec!["http".into(), "a:b/c".into()], wasi: vec!["io".into()] });
    }

    #[test]
    fn a_schema_reads_like_a_list_of_fields() {
        let schema = json!({"properties": {"spec": {"type": "object", "required": ["path"], "properties": {
            "path": {"type": "string", "description": "below the root", "x-trueup-immutable": true},
            "tags": {"type": "array", "items": {"type": "string"}},
            "on": {"enum": ["a", "b"]},
        }}}});
        let mut out = String::new();
        fields(&schema, 1, &Style::PLAIN, &mut out);
        let words: Vec<Vec<&str>> = out.lines().map(|it| it.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["spec", "object"]);
        assert_eq!(words[1], ["on", "\"a\"", "|", "\"b\""]);
        assert_eq!(words[2].join(" "), "path string, required, cannot change in place below the root");
        assert_eq!(words[3].join(" "), "tags list of string");
    }
}
