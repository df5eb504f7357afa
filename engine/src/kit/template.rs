//! `trueup plugin new`: the files of a new plugin's project, in one of the languages.
//!
//! A project carries its SDK and the contract with it, in `sdk`, as they are published nowhere: what it was made from is what
//! it is built against, whichever trueup builds it later. Everything is embedded by `build.rs` from `plugin-sdk` and `wit`.
//!
//! Invariant: the same name and id give the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::project::{self, Language};
use crate::bundled;
use crate::config::provider::alias_fault;

include!(concat!(env!("OUT_DIR"), "/kit.rs"));

/// What stands for the project's name in a template, in paths too.
const NAME: &str = "{{name}}";
/// The example's id in every template: 32 hex digits, so that a template is a project that can be tried as it stands.
const ID: &str = "747275657570206578616d706c652031";
/// Longest name of a project.
const NAME_LENGTH: usize = 40;

/// Judges a plugin's name; the words say what is wrong. Files hold it as a text and in names of packages, and nowhere as a name of
/// the language's own. It is stricter than `[a-z0-9-]{1,40}`: it begins with a letter, is no word that YAML or a provider's alias
/// has another meaning for, and not the name of a plugin that is bundled, which is what `plugin: NAME` means.
pub fn name_fault(name: &str) -> Option<&'static str> {
    let mut letters = name.bytes();
    if !letters.next().is_some_and(|it| it.is_ascii_lowercase())
        || name.len() > NAME_LENGTH
        || !letters.all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    {
        return Some("must be 1 to 40 of `a-z`, `0-9` and `-`, the first a letter");
    }
    if matches!(name, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n") {
        return Some("is a word of YAML that is no text");
    }
    if bundled::find(name).is_some() {
        return Some("is a plugin that comes with trueup, and `plugin: NAME` means that one");
    }
    alias_fault(name)
}

/// The files of a new project, by their paths from its folder. `id` is 32 hex digits, drawn for the example project.
///
/// None where this program was built without a template for the language.
pub fn files(language: Language, name: &str, id: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut out = BTreeMap::new();
    let template = format!("plugin-sdk/templates/{}/", language.name());
    let sdk = match language {
        Language::Rust => "plugin-sdk/".to_owned(),
        other => format!("plugin-sdk/{}/", other.name()),
    };
    for (path, bytes) in FILES {
        if let Some(rest) = path.strip_prefix(&template) {
            out.insert(filled(rest, name, id), filled_bytes(bytes, name, id));
        } else if let Some(rest) = path.strip_prefix("wit/") {
            out.insert(format!("sdk/wit/{rest}"), bytes.to_vec());
        } else if *path == "LICENSE" {
            out.insert("sdk/LICENSE".to_owned(), bytes.to_vec());
        } else if let Some(rest) = path.strip_prefix(&sdk) {
            match language {
                Language::Rust if !is_of_rust(rest) => {}
                Language::Rust => drop(out.insert(format!("sdk/{rest}"), standing_alone(rest, bytes))),
                _ => drop(out.insert(format!("sdk/{rest}"), bytes.to_vec())),
            }
        }
    }
    out.contains_key(project::FILE).then_some(out)
}

/// Writes the files of a project into a folder, which is made.
///
/// # Errors
///
/// Those of the system; a file that is there already is one.
pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for (path, bytes) in files {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).open(&file)?.write_all(bytes)?;
    }
    Ok(())
}

fn filled(text: &str, name: &str, id: &str) -> String {
    let example = format!("{name}-example");
    // The name of a project is bounded as a plugin's is.
    let example = if example.len() > NAME_LENGTH { "example".to_owned() } else { example };
    text.replace("{{name}}-example", &example).replace(NAME, name).replace(ID, id)
}

fn filled_bytes(bytes: &[u8], name: &str, id: &str) -> Vec<u8> {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.to_vec(), |text| filled(text, name, id).into_bytes())
}

/// The Rust SDK lies beside the others.
fn is_of_rust(path: &str) -> bool {
    matches!(path, "Cargo.toml" | "README.md") || path.starts_with("src/") || path.starts_with("macros/")
}

/// A file of the Rust SDK as it is in a project: manifests without what they take from our workspace, and the contract
/// beside the sources.
fn standing_alone(path: &str, bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    match path {
        "Cargo.toml" | "macros/Cargo.toml" => flattened(text, embedded("Cargo.toml")).into_bytes(),
        "src/bindings.rs" => text.replace("path: \"../wit\"", "path: \"wit\"").into_bytes(),
        _ => bytes.to_vec(),
    }
}

fn embedded(path: &str) -> &'static str {
    FILES.iter().find(|it| it.0 == path).and_then(|it| std::str::from_utf8(it.1).ok()).unwrap_or_default()
}

/// A member's manifest with every `x.workspace = true` written out as the workspace has it, without lints and examples.
fn flattened(manifest: &str, workspace: &str) -> String {
    let mut values = BTreeMap::from([("trueup-sdk-macros", "{ path = \"macros\" }")]);
    let mut inherited = false;
    for line in workspace.lines() {
        if line.starts_with('[') {
            inherited = matches!(line, "[workspace.package]" | "[workspace.dependencies]");
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| inherited) {
            values.entry(key).or_insert(value);
        }
    }
    let mut out: Vec<String> = Vec::new();
    let mut left_out = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            left_out = matches!(line, "[lints]" | "[[example]]");
            if left_out {
                // What is said of the part goes with it.
                while out.last().is_some_and(|it| it.starts_with('#')) {
                    out.pop();
                }
            }
        }
        if left_out {
            continue;
        }
        let key = line.strip_suffix(".workspace = true");
        match key.and_then(|key| Some((key, values.get(key)?))) {
            Some((key, value)) => out.push(format!("{key} = {value}")),
            None => out.push(line.to_owned()),
        }
    }
    format!("{}\n", out.join("\n").trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::project::PluginProject;
    use super::*;

    const DRAWN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn every_template_that_is_here_is_a_project_with_its_sdk_and_the_contract() {
        assert!(files(Language::Rust, "tickets", DRAWN).is_some());
        for (name, language) in Language::ALL {
            let Some(files) = files(language, "my-own", DRAWN) else { continue };
            let project = PluginProject::parse("plugin.yaml", &files["plugin.yaml"]).unwrap();
            assert_eq!((project.name.as_str(), project.component().as_str()), ("my-own", "build/my-own.wasm"), "{name}");
            for path in ["README.md", ".gitignore", "example/trueup.yaml", "sdk/wit/provider.wit", "sdk/LICENSE"] {
                assert!(files.contains_key(path), "{name} has no {path}: {:?}", files.keys());
            }
            let test = project.test.unwrap();
            assert!(test.server.is_some() && !test.objects.is_empty(), "{name}");
            for (path, bytes) in files.iter().filter(|it| !it.0.starts_with("sdk/")) {
                let text = std::str::from_utf8(bytes).unwrap();
                assert!(!path.contains("{{") && !text.contains(NAME) && !text.contains(ID), "{name}: {path} is not filled in");
            }
            let example = crate::config::project::Project::parse("trueup.yaml", &files["example/trueup.yaml"]).unwrap();
            assert_eq!(example.id, DRAWN, "{name}");
        }
    }

    #[test]
    fn the_embedded_files_are_sources_and_nothing_that_a_tool_left() {
        for (path, bytes) in FILES {
            let foreign = ["/target/", "/node_modules/", "/__pycache__/", "/.venv/", ".wasm", ".pyc"];
            assert!(!foreign.iter().any(|it| path.contains(it)), "{path}");
            assert!(bytes.len() < 256 << 10 && std::str::from_utf8(bytes).is_ok(), "{path}: {} bytes", bytes.len());
        }
    }

    #[test]
    fn a_manifest_of_the_sdk_needs_nothing_of_our_workspace() {
        let files = files(Language::Rust, "tickets", DRAWN).unwrap();
        for path in ["sdk/Cargo.toml", "sdk/macros/Cargo.toml"] {
            let text = std::str::from_utf8(&files[path]).unwrap();
            assert!(text.contains("version = \"") && text.contains("edition = \""), "{text}");
            assert!(!text.contains("workspace") && !text.contains("[lints]") && !text.contains("[[example]]"), "{text}");
        }
        let text = std::str::from_utf8(&files["sdk/Cargo.toml"]).unwrap();
        assert!(text.contains("trueup-sdk-macros = { path = \"macros\" }\n"), "{text}");
        assert!(!files.keys().any(|it| it.starts_with("sdk/templates") || it.starts_with("sdk/python")), "{:?}", files.keys());
        assert!(std::str::from_utf8(&files["sdk/src/bindings.rs"]).unwrap().contains("path: \"wit\""));
    }

    /// Name and version of every package of a lock.
    fn locked(text: &str) -> Vec<(String, String)> {
        let value = |part: &str, key: &str| part.lines().find_map(|it| Some(it.strip_prefix(key)?.trim_matches('"').to_owned()));
        text.split("[[package]]").skip(1).filter_map(|it| Some((value(it, "name = ")?, value(it, "version = ")?))).collect()
    }

    #[test]
    fn a_new_project_is_built_with_the_very_versions_that_we_build_with() {
        let files = files(Language::Rust, "tickets", DRAWN).unwrap();
        let ours = locked(include_str!("../../../Cargo.lock"));
        let theirs = locked(std::str::from_utf8(&files["Cargo.lock"]).unwrap());
        assert!(theirs.len() > 20, "{theirs:?}");
        for package in theirs.iter().filter(|it| !matches!(it.0.as_str(), "plugin-tickets" | "server")) {
            assert!(ours.contains(package), "{package:?} is not in our lock: make plugin-sdk/templates/rust/Cargo.lock anew");
        }
    }

    #[test]
    fn a_name_fits_every_language_and_every_file() {
        for good in ["tickets", "a", "my-own-2", &"a".repeat(40)] {
            assert_eq!(name_fault(good), None, "{good}");
        }
        for bad in ["", "Tickets", "1st", "-a", "a_b", "a b", "../a", "ü", "null", "apps", &"a".repeat(41)] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
        assert_eq!(filled("{{name}}-example {{name}}", &"a".repeat(40), DRAWN).split(' ').next(), Some("example"));
    }

    #[test]
    fn a_bundled_plugins_name_is_taken_and_a_word_of_a_language_is_a_name_like_any_other() {
        for taken in ["file", "dns"] {
            assert!(name_fault(taken).is_some_and(|it| it.contains("comes with trueup")), "{taken}");
        }
        for word in ["crate", "fn", "class", "package", "type", "go"] {
            assert_eq!(name_fault(word), None, "{word}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let files = BTreeMap::from([("a/b".to_owned(), b"new".to_vec())]);
        write(folder.path(), &files).unwrap();
        assert_eq!(write(folder.path(), &files).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
