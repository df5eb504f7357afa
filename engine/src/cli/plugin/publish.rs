//! `trueup plugin publish`: a component that describes itself, into a registry, signed where a key is given.

use std::path::Path;

use serde_json::json;
use trueup_core::diagnostic::codes;

use super::distribution::PublishArgs;
use super::supply::{component_of, described, meant, place, sandbox, signing_key};
use crate::cli::Shell;
use crate::cli::again::quoted;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::engine::read_component;
use crate::output::clean::clean;
use crate::registry::{Interfaces, Packed, Pushed, Reference};

pub async fn run(arguments: &PublishArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let (path, text) = wanted(&arguments.what)?;
    let reference = Reference::parse(text)?;
    if reference.digest.is_some() {
        return Err(CliError::usage("a digest follows from what is published").hint("name a tag alone"));
    }
    // Before anything is sent.
    let key = arguments.key.as_deref().map(signing_key).transpose()?;
    let file = component_of(path)?;
    let failed = |error: std::io::Error| CliError::new(codes::PLUGIN_LOAD, format!("`{}`: {error}", file.display()));
    let wasm = read_component(&file).map_err(|error| failed(error).hint(meant(&path.to_string_lossy())))?;
    let plugin = described(&sandbox()?, &wasm, &file.to_string_lossy()).await?;
    let interfaces = Interfaces { imports: plugin.imports().to_vec(), exports: plugin.exported().to_vec() };
    let contract = interfaces.exports.iter().find_map(|it| it.strip_prefix("trueup:provider/")?.split_once('@'));
    let world = contract.map(|(_, version)| format!("trueup:provider/provider@{version}"));
    let manifest = plugin.manifest();
    let packed = Packed::new(wasm, &manifest.name, &manifest.version, &interfaces, world.as_deref());
    let mut place = place(shell, &reference, None)?;
    let pushed = place.publish(&reference, &packed, arguments.move_tag).await?;
    let signed = match &key {
        Some(key) => Some(place.sign(&reference, &packed.digest, key).await?),
        None => None,
    };
    if shell.output.format.is_object() {
        shell.output.object(&json!({
            "format": "trueup.plugin-publish/1", "plugin": reference.to_string(), "name": manifest.name, "version": manifest.version,
            "sha256": plugin.digest().to_string(), "manifest": packed.digest.to_string(), "changed": pushed == Pushed::New,
            "signed": key.as_ref().map(|it| it.public().fingerprint().to_string()),
        }))?;
        return Ok(Exit::Fine);
    }
    let word = match pushed {
        Pushed::New => "published",
        Pushed::Known => "there already, just so",
    };
    let title = format!("{} {}", manifest.name, manifest.version);
    shell.output.print(&format!(
        "{}: {word} as {}\n  manifest sha256:{}\n",
        clean(&title),
        clean(&reference.to_string()),
        packed.digest
    ));
    match (signed, &key) {
        (Some(_), Some(key)) => shell.output.print(&format!("  signed by key {}\n", key.public().fingerprint())),
        _ => shell.output.note(
            "not signed by this: --key, or `trueup plugin sign`, does that; without a signature others need --allow-unsigned\n",
        ),
    }
    Ok(Exit::Fine)
}

/// What to publish, and where to: paths and references are told apart by their looks, so that what is missing is named.
fn wanted(what: &[String]) -> Result<(&Path, &str), CliError> {
    let is_reference = |it: &str| it.starts_with("oci://");
    let is_path = |it: &str| !is_reference(it) && (it.ends_with(".wasm") || it.starts_with(['.', '/']) || Path::new(it).exists());
    match what {
        [text] if is_path(text) => {
            let hint = format!("`trueup plugin publish {} oci://HOST/NAME:TAG`", quoted(text));
            Err(CliError::usage(format!("`{}` is to be published, and nothing says where to", clean(text))).hint(hint))
        }
        [text] => Ok((Path::new("."), text.as_str())),
        [first, last] if is_reference(first) && !is_reference(last) => {
            let hint = format!("`trueup plugin publish {} {}`", quoted(last), quoted(first));
            Err(CliError::usage("the reference comes last").hint(hint))
        }
        [path, text] => Ok((Path::new(path), text.as_str())),
        [_, _, more, ..] => {
            let text = format!("`{}` is one too many: a path and a reference are all that is taken", clean(more));
            Err(CliError::usage(text).hint("`trueup plugin publish PATH oci://HOST/NAME:TAG`"))
        }
        [] => Err(CliError::usage("nothing says where to publish to").hint(
            "`trueup plugin publish oci://HOST/NAME:TAG` takes what the project in this folder built; a path before that names another",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_of_a_path_and_a_reference_is_named() {
        let check = |line: &str, want: Result<(&str, &str), &str>| {
            let what: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (wanted(&what), want) {
                (Ok((path, text)), Ok(want)) => assert_eq!((path, text), (Path::new(want.0), want.1), "{line}"),
                (Err(error), Err(want)) => {
                    let told = format!("{} {}", error.message, error.hint.unwrap_or_default());
                    assert!(told.contains(want), "{line}: {told}");
                }
                (got, want) => panic!("{line}: {got:?}, and not {want:?}"),
            }
        };
        check("oci://h/a:1", Ok((".", "oci://h/a:1")));
        check("./a.wasm oci://h/a:1", Ok(("./a.wasm", "oci://h/a:1")));
        check("", Err("nothing says where to publish to"));
        check("./a.wasm", Err("`trueup plugin publish ./a.wasm oci://HOST/NAME:TAG`"));
        check("a b c", Err("`c` is one too many"));
        check("oci://h/a:1 ./a.wasm", Err("`trueup plugin publish ./a.wasm oci://h/a:1`"));
    }
}
