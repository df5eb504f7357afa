//! `trueup plugin new`: a plugin's project that builds as it stands; overwrites nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use trueup_core::diagnostic::codes;

use super::arguments::NewArgs;
use crate::cli::Shell;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::kit::project::Language;
use crate::kit::{template, toolchain};
use crate::output::clean::clean;

pub fn run(arguments: &NewArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let name = arguments.name.as_str();
    let language: Language = arguments.language.into();
    if let Some(fault) = template::name_fault(name) {
        return Err(CliError::usage(format!("`{}` is no name for a plugin: it {fault}", clean(name))));
    }
    let base = shell.global.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = base.join(arguments.folder.as_deref().unwrap_or(Path::new(name)));
    let files = template::files(language, name, &drawn_id()?).ok_or_else(|| {
        let text = format!("this trueup was built without the template for {}", language.name());
        CliError::new(codes::PLUGIN_PROJECT, text)
    })?;
    let failed = |error: std::io::Error| {
        CliError::new(codes::PLUGIN_PROJECT, format!("cannot write into `{}`: {error}", folder.display()))
    };
    if folder.exists() && !folder.is_dir() {
        let text = format!("`{}` is there already, and is no folder", folder.display());
        return Err(CliError::new(codes::PLUGIN_PROJECT, text).hint("nothing was changed; choose another folder"));
    }
    if fs::read_dir(&folder).is_ok_and(|mut it| it.next().is_some()) {
        let text = format!("the folder `{}` is not empty", folder.display());
        return Err(CliError::new(codes::PLUGIN_PROJECT, text).hint("nothing was changed; choose another folder"));
    }
    template::write(&folder, &files).map_err(failed)?;
    let folder = folder.canonicalize().map_err(failed)?;
    say(&folder, language, name, &files.keys().map(String::as_str).collect::<Vec<_>>(), shell)?;
    Ok(Exit::Fine)
}

fn say(folder: &Path, language: Language, name: &str, files: &[&str], shell: &mut Shell<'_>) -> Result<(), CliError> {
    let missing = toolchain::check(language, folder).err();
    if shell.output.format.is_object() {
        let missing = missing.map(|it| json!({"what": it.what, "install": it.install}));
        shell.output.object(&json!({
            "format": "trueup.plugin-new/1", "name": name, "language": language.name(), "folder": folder.to_string_lossy(),
            "files": files, "missing": missing,
        }))?;
        return Ok(());
    }
    let mut text = format!("The plugin `{name}` in {}:\n", clean(&folder.to_string_lossy()));
    for file in files.iter().filter(|it| !it.starts_with("sdk/")) {
        let _ = writeln!(text, "  {}", clean(file));
    }
    text.push_str("  sdk/ (the SDK and the contract, as of this trueup)\n");
    let here = std::env::current_dir().ok();
    let way = here.as_deref().and_then(|it| folder.strip_prefix(it).ok()).unwrap_or(folder);
    let _ = writeln!(text, "Next:\n  cd {}", quoted(&way.to_string_lossy()));
    if let Some(missing) = missing {
        let _ = writeln!(text, "  {}   # {}", clean(&missing.install), clean(&missing.what));
    }
    text.push_str(
        "  trueup plugin build\n  trueup plugin dev     # shows the plan of example/, again on each save\n  trueup plugin test\n",
    );
    shell.output.print(&text);
    Ok(())
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "/._-+".contains(it);
    let text = clean(text);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// 32 hex digits for the example's project.
fn drawn_id() -> Result<String, CliError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| CliError::new(codes::PLUGIN_PROJECT, format!("the system gives no random numbers: {error}")))?;
    Ok(random.iter().map(|it| format!("{it:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_word_of_a_shell() {
        assert_eq!(quoted("plugins/my-own_2"), "plugins/my-own_2");
        assert_eq!(quoted("my plugin's"), "'my plugin'\\''s'");
    }
}
