//! `trueup init`: a project file and a first layer; overwrites nothing.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use trueup_core::diagnostic::codes;

use super::Shell;
use super::arguments::InitArgs;
use super::error::CliError;
use super::exit::Exit;
use crate::output::clean::clean;

const DOCUMENT: &str = "# One resource. `trueup plugin show file` lists its fields.
apiVersion: site/v1
kind: File
metadata: {name: hello}
spec:
  path: hello.txt
  content: |
    Hello from ${{ env.name }}.
";

/// What the target of the example must not become: part of the repository it is made from.
const IGNORED: &str = "/site/\n.trueup/\n";

pub fn run(arguments: &InitArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let base = shell.global.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = arguments.folder.as_ref().map_or_else(|| base.clone(), |it| base.join(it));
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    let folder = folder.canonicalize().map_err(|error| failed(&folder, &error))?;
    let name = match &arguments.name {
        Some(name) if is_name(name) => name.clone(),
        Some(name) => {
            let message = format!("`{name}` is no name for a project");
            return Err(CliError::usage(message).hint("1 to 40 of a-z, 0-9 and -"));
        }
        None => name_of(&folder),
    };
    let project = folder.join("trueup.yaml");
    if project.exists() {
        let message = format!("`{}` is there already", project.display());
        return Err(CliError::new(codes::PROJECT, message).hint("nothing was changed; edit it, or choose another folder"));
    }
    let mut made = Vec::new();
    make(&project, &project_file(&name)?, &mut made)?;
    let layer = folder.join("base");
    if fs::read_dir(&layer).is_ok_and(|mut it| it.next().is_some()) {
        shell.output.note("the folder base is there already; its documents are the first layer\n");
    } else {
        fs::create_dir_all(&layer).map_err(|error| failed(&layer, &error))?;
        make(&layer.join("hello.yaml"), DOCUMENT, &mut made)?;
    }
    let ignore = folder.join(".gitignore");
    if ignore.exists() {
        shell.output.note("add /site/ and .trueup/ to .gitignore: what is made from the repository does not belong into it\n");
    } else {
        make(&ignore, IGNORED, &mut made)?;
    }
    say(&folder, &made, shell)?;
    Ok(Exit::Fine)
}

fn say(folder: &Path, made: &[PathBuf], shell: &mut Shell<'_>) -> Result<(), CliError> {
    let names: Vec<String> = made.iter().map(|it| it.strip_prefix(folder).unwrap_or(it).to_string_lossy().into_owned()).collect();
    if shell.output.format.is_object() {
        shell.output.object(&json!({"format": "trueup.init/1", "folder": folder.to_string_lossy(), "files": names}))?;
        return Ok(());
    }
    let mut text = format!("A project in {}:\n", clean(&folder.to_string_lossy()));
    for name in &names {
        let _ = writeln!(text, "  {}", clean(name));
    }
    let inside = folder.ancestors().any(|it| it.join(".git").exists());
    let git = if inside { "git add . && git commit -m 'trueup'" } else { "git init && git add . && git commit -m 'trueup'" };
    let _ = writeln!(text, "Next: {git}, then trueup plan");
    shell.output.print(&text);
    Ok(())
}

fn project_file(name: &str) -> Result<String, CliError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| CliError::new(codes::PROJECT, format!("the system gives no random numbers: {error}")))?;
    let id: String = random.iter().map(|it| format!("{it:02x}")).collect();
    Ok(format!(
        "apiVersion: trueup.dev/v1
kind: Project
metadata:
  name: {name}
  id: {id}   # drawn once; marks on objects carry it
providers:
  # alias: what to use and what it may reach. Documents name it by `apiVersion: site/v1`.
  site: {{plugin: file, config: {{root: ./site}}, dirs: [\"./site\"]}}
environments:
  # Layers are folders of documents; a later one merges over the ones before.
  dev: {{layers: [base]}}
"
    ))
}

/// Writes a new file; one that is there is an error.
fn make(path: &Path, text: &str, made: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| failed(path, &error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(path, &error))?;
    made.push(path.to_path_buf());
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(codes::PROJECT, format!("cannot write `{}`: {error}", path.display()))
}

fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// A name made from the folder's.
fn name_of(folder: &Path) -> String {
    let text = folder.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let text: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let text = text.trim_matches('-');
    if text.is_empty() { "project".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::run_line;
    use super::*;

    #[test]
    fn a_new_project_has_an_id_of_its_own_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("My Shop");
        let line = |extra: &str| format!("trueup -C {} init {extra}", folder.path().display());
        let (code, out, err) = run_line(&line("shop"));
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.ends_with("Next: git init && git add . && git commit -m 'trueup', then trueup plan\n"), "{out}");
        let project = fs::read_to_string(folder.path().join("shop/trueup.yaml")).unwrap();
        let id = project.split("id: ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit()), "{project}");
        assert!(folder.path().join("shop/base/hello.yaml").exists() && folder.path().join("shop/.gitignore").exists());

        let (code, _, err) = run_line(&line("shop"));
        assert_eq!(code, 1);
        assert!(err.starts_with("error[TU0500]"), "{err}");
        assert_eq!(fs::read_to_string(folder.path().join("shop/trueup.yaml")).unwrap(), project);
        assert_eq!(name_of(&path), "my-shop");
    }

    #[test]
    fn a_name_outside_the_grammar_is_wrong_usage() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run_line(&format!("trueup -C {} init --name Shop_1", folder.path().display())).0, 64);
        assert!(!folder.path().join("trueup.yaml").exists());
    }
}
