//! Where documents of what exists are written: into new files only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use trueup_core::diagnostic::codes;

use super::Written;
use crate::cli::Shell;
use crate::cli::arguments::AdoptArgs;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::desired::Context;

/// Bytes of one file: well below what a file of documents may have.
const FILE: usize = 8 << 20;

/// Where files go.
pub struct Place {
    folder: PathBuf,
    /// Name of the first file without `.yaml`.
    stem: String,
    /// The folder from which paths are shown, where it is not the current one: for `git -C`.
    pub git: Option<String>,
    base: PathBuf,
    /// Why a plan would not see the files, if it would not.
    pub note: Option<String>,
    /// What to call the commit.
    pub message: String,
}

/// One file that was written.
pub struct File {
    /// Relative to the folder that [`Place::git`] means.
    pub shown: String,
    /// Which documents, by position.
    pub documents: Range<usize>,
}

/// Chooses the folder and the name, and makes sure that nothing stands there yet.
pub fn place(session: &Session, context: &Context, arguments: &AdoptArgs, shell: &Shell<'_>) -> Result<Place, CliError> {
    let root = &session.engine.root;
    let layers = &session.environment.layers;
    let folder = match (&arguments.out, layers.last()) {
        (Some(out), _) => std::path::absolute(out).map_err(|error| failed(out, &error))?,
        (None, Some(layer)) => root.join(layer),
        (None, None) => {
            return Err(CliError::usage("the environment has no layer to write into").hint("give a folder with --out"));
        }
    };
    // A layer that is a link leads where whoever wrote the repository wants it to.
    let real = real(&folder).map_err(|error| failed(&folder, &error))?;
    if folder.starts_with(root) && !real.starts_with(root) {
        let text = format!("`{}` leads out of the project, to {}", folder.display(), real.display());
        return Err(CliError::new(codes::PROJECT, text).hint("name a real folder with --out"));
    }
    let alias = arguments.provider.as_deref().unwrap_or_default();
    let words = [alias, &arguments.scope].into_iter().chain(arguments.kinds.iter().map(String::as_str));
    let words: Vec<String> = words.map(plain).filter(|it| !it.is_empty()).collect();
    let mut stem = words.join("-");
    stem.truncate(200);
    let inside = real.strip_prefix(root).ok().map(|it| it.join(format!("{stem}.yaml")));
    let layered = inside.as_ref().is_some_and(|it| layers.iter().any(|layer| it.starts_with(layer)));
    let name = &session.environment.name;
    let note = match inside.filter(|_| layered) {
        None => Some(format!("{} is in no layer of {name}: a plan does not see it there", real.display())),
        Some(file) if context.exclude.is_match(&file) => {
            Some(format!("`exclude` of {name} keeps a plan from seeing {}", file.display()))
        }
        Some(_) => None,
    };
    let here = std::env::current_dir().ok().filter(|it| real.starts_with(it));
    let named = shell.global.directory.is_some();
    let (base, git) = match here {
        Some(here) if !named => (here, None),
        _ if real.starts_with(root) => (root.clone(), Some(root.display().to_string())),
        _ => (real.clone(), Some(real.display().to_string())),
    };
    let scope = if arguments.scope.is_empty() { String::new() } else { format!(" {}", arguments.scope) };
    Ok(Place { folder: real, stem, git, base, note, message: format!("adopt {alias}{scope}") })
}

/// The real path of a folder that need not be there yet.
fn real(folder: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut there = folder;
    loop {
        match there.canonicalize() {
            Ok(found) => return Ok(missing.iter().rev().fold(found, |path, part| path.join(part))),
            Err(error) if error.kind() != io::ErrorKind::NotFound || there.is_symlink() => return Err(error),
            Err(error) => {
                let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else { return Err(error) };
                missing.push(name);
                there = parent;
            }
        }
    }
}

/// What of a text can stand in a file's name.
fn plain(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(keep).collect::<String>().trim_matches(['-', '.']).to_owned()
}

impl Place {
    /// Writes the documents, `---` between them. A file that is there is never touched: then, and where anything else fails,
    /// nothing is left of what was written.
    pub fn write(&self, documents: &[Written]) -> Result<Vec<File>, Box<CliError>> {
        let parts = parts(documents);
        let path = |number: usize| self.folder.join(file_name(&self.stem, number));
        if let Some(there) = (0..parts.len()).map(path).find(|it| it.symlink_metadata().is_ok()) {
            let text = format!("`{}` is there already, and no file is overwritten", there.display());
            let hint = "move it away, or write elsewhere with --out DIR";
            return Err(Box::new(CliError::new(codes::PROJECT, text).hint(hint)));
        }
        if !parts.is_empty() {
            fs::create_dir_all(&self.folder).map_err(|error| Box::new(failed(&self.folder, &error)))?;
        }
        let mut files = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            let texts: Vec<&str> = documents.get(part.clone()).unwrap_or_default().iter().map(|it| it.text.as_str()).collect();
            if let Err(error) = create(&path(number), &texts.join("---\n")) {
                (0..number).map(path).for_each(|it| drop(fs::remove_file(it)));
                return Err(Box::new(failed(&path(number), &error)));
            }
            let file = path(number);
            let shown = file.strip_prefix(&self.base).unwrap_or(&file).display().to_string();
            files.push(File { shown, documents: part });
        }
        Ok(files)
    }
}

/// Name of the file with that number.
fn file_name(stem: &str, number: usize) -> String {
    if number == 0 { format!("{stem}.yaml") } else { format!("{stem}-{}.yaml", number + 1) }
}

/// Documents by file: as many as fit, at least one.
fn parts(documents: &[Written]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0_usize;
    for (at, document) in documents.iter().enumerate() {
        bytes = bytes.saturating_add(document.text.len());
        match parts.last_mut().filter(|_| bytes <= FILE) {
            Some(part) => part.end = at + 1,
            None => {
                bytes = document.text.len();
                parts.push(at..at + 1);
            }
        }
    }
    parts
}

/// A new file, whole or not at all.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::new(codes::PROJECT, format!("cannot write `{}`: {error}", path.display()))
}
