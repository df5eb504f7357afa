//! `trueup plugin add`: a plugin's digest, rights and signer into trueup.lock, once a person agreed.

use serde_json::json;
use trueup_core::diagnostic::codes;
use trueup_core::manifest::Manifest;
use trueup_host::HostRule;

use super::distribution::AddArgs;
use super::supply::{Candidate, Terms, agreed, cache, candidate, card, project, sandbox, users, write_lock};
use crate::cli::Shell;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::config::lock::Pin;
use crate::config::project::PluginRef;
use crate::output::clean::clean;
use crate::output::value::count;
use crate::registry::Asks;

pub async fn run(arguments: &AddArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = project(shell)?;
    if arguments.bundle.is_some() && !arguments.plugin.starts_with("oci://") {
        return Err(CliError::usage("--bundle holds what is named by a reference").hint("name it oci://HOST/NAME:TAG"));
    }
    let terms =
        Terms { bundle: arguments.bundle.as_deref(), signer: &arguments.signer, allow_unsigned: arguments.allow_unsigned };
    let runtime = sandbox()?;
    let candidate = candidate(shell, &engine, &runtime, &arguments.plugin, &terms).await?;
    let text = candidate.reference.text();
    let mut pins = engine.pins.clone();
    if let Some(pinned) = pins.plugins.get(text).filter(|it| it.sha256 != *candidate.plugin.digest()) {
        let message =
            format!("`{text}` is sha256 {} now, and trueup.lock pins sha256 {}", candidate.plugin.digest(), pinned.sha256);
        let hint = "if somebody moved its tag or wrote its file on purpose, `trueup plugin upgrade` shows what that changes";
        return Err(CliError::new(codes::LOCK, message).hint(hint));
    }
    let pinned = pins.plugins.get(text);
    // What was learnt of just this component stays known: nobody takes a signature back by not looking at it.
    let pin = match (candidate.pin(), pinned) {
        (pin, Some(pinned)) => Pin { signed: pin.signed.or(pinned.signed), manifest: pin.manifest.or(pinned.manifest), ..pin },
        (pin, None) => pin,
    };
    let known = pinned == Some(&pin);
    if !known {
        let text = card(&candidate, &shell.output.err_style);
        shell.output.error(&text);
        if !agreed(shell, arguments.yes, "Take it into this project?", "--yes")? {
            return Ok(Exit::Failed);
        }
    }
    if matches!(candidate.reference, PluginRef::Oci(_)) {
        cache()?.keep(&candidate.wasm)?;
    }
    if !known {
        pins.plugins.insert(text.to_owned(), pin);
        write_lock(&engine.root, &pins)?;
    }
    let lines = arguments.alias.as_ref().map(|alias| lines(alias, &candidate));
    if shell.output.format.is_object() {
        let asks = Asks::of(candidate.plugin.manifest());
        shell.output.object(&json!({
            "format": "trueup.plugin-add/1", "plugin": text, "name": candidate.plugin.manifest().name,
            "version": candidate.plugin.manifest().version, "sha256": candidate.plugin.digest().to_string(),
            "asks": asks.to_json(), "signed": candidate.signed.as_ref().map(|it| it.fingerprint.to_string()),
            "changed": !known, "lines": lines,
        }))?;
        return Ok(Exit::Fine);
    }
    let word = if known { "was pinned in trueup.lock already" } else { "is pinned in trueup.lock" };
    shell.output.print(&format!("{} {word}.\n", clean(text)));
    if candidate.signed.is_none() && matches!(candidate.reference, PluginRef::Oci(_)) {
        shell.output.note("no trusted key signed it: the digest that you commit is all that holds it\n");
    }
    match lines {
        Some(lines) => shell.output.print(&format!("\nFor trueup.yaml; what is in <> is yours to say:\n{lines}")),
        None if users(&engine, text).is_empty() => {
            shell.output.note("--as ALIAS prints the lines for trueup.yaml\n");
        }
        None => {}
    }
    shell.output.note("Next: commit trueup.lock; what it asks for is granted by trueup.yaml and `trueup trust`\n");
    Ok(Exit::Fine)
}

/// A provider of the plugin with every key that it needs; `<…>` where only a person knows.
fn lines(alias: &str, candidate: &Candidate) -> String {
    let manifest: &Manifest = candidate.plugin.manifest();
    let mut out = format!("providers:\n  {alias}:\n    plugin: {}\n", quoted(candidate.reference.text()));
    let required = manifest.config.get("required").and_then(serde_json::Value::as_array);
    let fields: Vec<&str> = required.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    if !fields.is_empty() {
        let fields: Vec<String> = fields.iter().map(|it| format!("{}: \"<{it}>\"", clean(it))).collect();
        out.push_str(&format!("    config: {{{}}}\n", fields.join(", ")));
    }
    let hosts: Vec<String> = manifest
        .hosts
        .iter()
        .map(|it| match (it.strip_prefix("config."), HostRule::parse(it)) {
            (None, Ok(_)) => quoted(it),
            (Some(field), _) => format!("\"<the same as config.{}>\"", clean(field)),
            _ => "\"<https://host>\"".to_owned(),
        })
        .collect();
    let asks = Asks::of(manifest);
    let rows = [
        (!hosts.is_empty(), format!("    hosts: [{}]\n", hosts.join(", "))),
        (asks.directories, "    dirs: [\"<./directory>\"]\n".to_owned()),
        (asks.dns, "    dns: [\"<dns://host:53>\"]\n".to_owned()),
    ];
    rows.into_iter().filter(|it| it.0).for_each(|it| out.push_str(&it.1));
    let slots: Vec<&String> = asks.credentials.keys().collect();
    match slots.as_slice() {
        [] => {}
        [_] => out.push_str("    credential: \"<an entry of credentials.yaml>\"\n"),
        slots => {
            let slots: Vec<String> = slots.iter().map(|it| format!("{}: \"<entry>\"", clean(it))).collect();
            out.push_str(&format!("    credentials: {{{}}}\n", slots.join(", ")));
        }
    }
    if asks.secrets {
        out.push_str("    secrets: [\"<name of a secret>\"]\n");
    }
    if !asks.reads.is_empty() {
        let reads: Vec<String> = asks.reads.iter().map(|it| quoted(it)).collect();
        out.push_str(&format!("    reads: [{}]   # {} that only read\n", reads.join(", "), count(reads.len(), "request")));
    }
    out
}

/// As a YAML scalar that means just this text.
fn quoted(text: &str) -> String {
    format!("{:?}", clean(text))
}
