//! `trueup version`

use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use crate::bundled;
use crate::output::Output;

/// The contract that plugins are written against.
pub const CONTRACT: &str = include_str!("../../../wit/provider.wit");

/// Package line of the contract: `trueup:provider@1.0.0`.
pub fn contract() -> &'static str {
    CONTRACT.lines().find_map(|line| line.strip_prefix("package ")).map_or("", |it| it.trim_end_matches(';'))
}

pub fn run(output: &mut Output) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    if output.format.is_object() {
        let plugins: Vec<_> = bundled::ALL.iter().map(|it| json!({"name": it.name, "sha256": it.sha256})).collect();
        output.object(&json!({"format": "trueup.version/1", "version": version, "contract": contract(), "plugins": plugins}))?;
        return Ok(Exit::Fine);
    }
    let mut text = format!("trueup {version}\ncontract {}\n", contract());
    for plugin in bundled::ALL {
        text.push_str(&format!("plugin {} sha256:{}\n", plugin.name, plugin.sha256.get(..12).unwrap_or(plugin.sha256)));
    }
    output.print(&text);
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::super::tests::run_line;

    #[test]
    fn the_version_names_the_contract_and_every_bundled_plugin() {
        let (code, out, _) = run_line("trueup version -o json");
        let it: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &it["format"]), (0, &"trueup.version/1".into()));
        assert!(it["contract"].as_str().unwrap().starts_with("trueup:"), "{out}");
        let names: Vec<_> = it["plugins"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, crate::bundled::ALL.iter().map(|it| it.name).collect::<Vec<_>>());
        assert!(names.contains(&"file") && names.contains(&"dns"), "{out}");
        assert!(run_line("trueup version").1.starts_with("trueup 0."));
    }
}
