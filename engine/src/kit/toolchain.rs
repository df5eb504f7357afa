//! The tools that build plugins: where they are, and how what is missing is installed.
//!
//! Nothing is installed or fetched by the kit itself; a person is told the exact command.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::project::Language;

/// The target of Rust plugins.
pub const WASM: &str = "wasm32-wasip2";
/// The version of componentize-py that the SDK was written for, without its last number.
pub const COMPONENTIZE_PY: &str = "0.25";
/// The package that makes components of JavaScript; the project's `package.json` names its version.
pub const COMPONENTIZE_JS: &str = "componentize-qjs";
/// The least version of Go: `//go:wasmexport` takes what the SDK needs.
pub const GO: (u32, u32) = (1, 24);

/// A tool that a build needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is wrong: lower case, no full stop.
    pub what: String,
    /// The command that installs it, to be run in the project's folder, or the page that says how.
    pub install: String,
}

impl Missing {
    fn new(what: impl Into<String>, install: impl Into<String>) -> Self {
        Self { what: what.into(), install: install.into() }
    }
}

/// Looks a program up as a shell would, in the folders of `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    find_in(program, env::var_os("PATH").as_deref())
}

fn find_in(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let executable = |it: &PathBuf| it.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    env::split_paths(path?).filter(|it| it.is_absolute()).map(|it| it.join(program)).find(executable)
}

/// What a project in this language needs before its first build, if something is missing; nothing is run that takes long.
///
/// # Errors
///
/// The first thing that is missing.
pub fn check(language: Language, folder: &Path) -> Result<(), Missing> {
    match language {
        Language::Rust => rust(folder).map(drop),
        Language::Python => python(folder).map(drop),
        Language::Js => js(folder).map(drop),
        Language::Go => go(folder).map(drop),
    }
}

/// cargo, with the Wasm target of the toolchain that it takes in this folder.
///
/// # Errors
///
/// Where one of them is missing.
pub fn rust(folder: &Path) -> Result<PathBuf, Missing> {
    let install = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";
    let cargo = find("cargo").ok_or_else(|| Missing::new("there is no `cargo` on the PATH", install))?;
    let rustc = find("rustc").ok_or_else(|| Missing::new("there is no `rustc` on the PATH", install))?;
    let library = ask(&rustc, folder, &["--print", "target-libdir", "--target", WASM]).map_err(|text| {
        let install = format!("rustup toolchain install --target {WASM}");
        Missing::new(format!("rustc does not run here: {text}"), install)
    })?;
    if Path::new(library.trim()).is_dir() {
        return Ok(cargo);
    }
    Err(Missing::new(format!("Rust's target `{WASM}` is not installed"), format!("rustup target add {WASM}")))
}

/// componentize-py, in the project's `.venv` or on the `PATH`, in the version that the SDK was written for.
///
/// # Errors
///
/// Where there is none, or another version.
pub fn python(folder: &Path) -> Result<PathBuf, Missing> {
    let install = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
    let local = folder.join(".venv/bin/componentize-py");
    let tool = if local.exists() { Some(local) } else { find("componentize-py") };
    let tool = tool.ok_or_else(|| Missing::new("there is no `componentize-py` in .venv/bin or on the PATH", install))?;
    let told = ask(&tool, folder, &["--version"])
        .map_err(|text| Missing::new(format!("`{}` does not run: {text}", tool.display()), install))?;
    let version = told.split_whitespace().last().unwrap_or_default();
    if version.strip_prefix(COMPONENTIZE_PY).is_some_and(|it| it.is_empty() || it.starts_with('.')) {
        return Ok(tool);
    }
    let what = format!("`{}` is version {version}; the SDK needs {COMPONENTIZE_PY}", tool.display());
    Err(Missing::new(what, install))
}

/// node, where the project has what its build needs.
///
/// # Errors
///
/// Where one of them is missing.
pub fn js(folder: &Path) -> Result<PathBuf, Missing> {
    let page = "see https://nodejs.org/en/download (20 or later), or your system's package `nodejs`";
    let node = find("node").ok_or_else(|| Missing::new("there is no `node` on the PATH", page))?;
    if folder.join("node_modules").join(COMPONENTIZE_JS).exists() {
        return Ok(node);
    }
    let install = if folder.join("package-lock.json").exists() { "npm ci" } else { "npm install" };
    Err(Missing::new(format!("there is no `{COMPONENTIZE_JS}` in node_modules"), install))
}

/// go, new enough.
///
/// # Errors
///
/// Where there is none, or an older one.
pub fn go(folder: &Path) -> Result<PathBuf, Missing> {
    let page = "see https://go.dev/doc/install";
    let (major, minor) = GO;
    let tool = find("go").ok_or_else(|| Missing::new("there is no `go` on the PATH", page))?;
    let told = ask(&tool, folder, &["env", "GOVERSION"])
        .map_err(|text| Missing::new(format!("`{}` does not run: {text}", tool.display()), page))?;
    match go_version(&told) {
        Some(version) if version >= GO => Ok(tool),
        _ => Err(Missing::new(format!("`{}` is {}; the SDK needs {major}.{minor}", tool.display(), told.trim()), page)),
    }
}

fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("go")?.split(|it: char| !it.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What a tool prints, or the first line of what it complains of.
fn ask(tool: &Path, folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(tool);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(text.lines().map(str::trim).find(|it| !it.is_empty()).map_or_else(|| output.status.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tool(folder: &Path, name: &str, script: &str) -> PathBuf {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn a_program_is_found_in_the_folders_of_the_path_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let second = tool(&two, "x", "");
        fs::create_dir_all(&one).unwrap();
        fs::write(one.join("x"), "no program").unwrap();
        let path = env::join_paths([Path::new("relative"), &one, &two]).unwrap();
        assert_eq!(find_in("x", Some(&path)), Some(second));
        assert_eq!(find_in("y", Some(&path)), None);
        assert_eq!(find_in("x", None), None);
    }

    #[test]
    fn componentize_py_is_of_the_projects_own_environment_and_of_one_version() {
        let folder = tempfile::tempdir().unwrap();
        let name = ".venv/bin/componentize-py";
        let local = tool(folder.path(), name, "echo componentize-py 0.25.1");
        assert_eq!(python(folder.path()), Ok(local));
        for (script, want) in [
            ("echo componentize-py 0.24.9", "is version 0.24.9; the SDK needs 0.25"),
            ("echo 0.250.0", "is version 0.250.0"),
            ("echo broken >&2; exit 3", "does not run: broken"),
        ] {
            tool(folder.path(), name, script);
            let missing = python(folder.path()).unwrap_err();
            assert!(missing.what.contains(want) && missing.install.contains("requirements.txt"), "{missing:?}");
        }
    }

    #[test]
    fn versions_of_go_are_compared_by_their_numbers() {
        for (text, want) in [("go1.26.1\n", Some((1, 26))), ("go1.24rc1", Some((1, 24))), ("devel", None), ("go1", None)] {
            assert_eq!(go_version(text), want, "{text}");
        }
        assert!((1, 9) < GO && (1, 100) > GO);
    }
}
