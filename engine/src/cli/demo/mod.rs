//! `trueup demo`: a real repository and a real directory, converged, broken by hand and healed, in a few seconds.
//!
//! Runs the same verbs that a person would type, in this process, and checks after each that the world is what the step
//! claims. Writes only into a new folder under the system's temporary directory, and leaves it for playing. Asks nothing,
//! uses no network, and no setting of the surrounding shell but its cache.

mod files;

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Arg, CommandFactory as _, FromArgMatches as _};
use serde_json::{Value as Json, json};
use trueup_core::diagnostic::codes;

use super::Shell;
use super::arguments::{Arguments, Global};
use super::error::CliError;
use super::exit::Exit;
use crate::output::style::Tone;
use crate::output::{Format, Output};
use crate::source::{Scratch, SourceError};

pub async fn run(shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let folder = new_folder()?;
    let mut tour = Tour { folder, shell, step: 0 };
    tour.prepare()?;
    tour.converge().await?;
    tour.break_and_heal().await?;
    tour.commit_a_change().await?;
    tour.explain().await?;
    tour.goodbye()
}

/// The tour on its way.
struct Tour<'a, 'b> {
    folder: PathBuf,
    shell: &'a mut Shell<'b>,
    step: usize,
}

impl Tour<'_, '_> {
    fn prepare(&mut self) -> Result<(), CliError> {
        self.say("A small Git repository with two layers of documents");
        for (path, content) in files::FILES {
            self.write(path, content)?;
        }
        let scratch = Scratch::init(&self.folder, "Demo", "demo@example.com").map_err(source)?;
        scratch.commit("A shop as documents", &["site", ".trueup"]).map_err(source)?;
        let text = format!("  {}\n", self.folder.display());
        self.shell.output.print(&text);
        Ok(())
    }

    /// First apply: every declared file exists, with its content.
    async fn converge(&mut self) -> Result<(), CliError> {
        self.say("Apply: the directory becomes what Git says");
        self.verb(&["apply", "--yes", "--show", "summary"], Format::Table).await?;
        let made = count_files(&self.folder.join("site"));
        self.claim(made == files::MADE, "every declared file is made")?;
        self.claim(self.holds(files::BROKEN, files::MOTD), "the later layer wins")
    }

    /// A change by hand shows as drift, and the next apply takes it back.
    async fn break_and_heal(&mut self) -> Result<(), CliError> {
        self.say("Somebody changes a file by hand");
        self.shell.output.print("  $ echo oops > site/etc/motd\n");
        self.write(files::BROKEN, "oops\n")?;
        let plan = self.plan().await?;
        self.claim(drifts(&plan), "exactly this file is drift")?;
        self.say("Apply again: it heals");
        self.verb(&["apply", "--yes", "--show", "summary"], Format::Table).await?;
        self.claim(self.holds(files::BROKEN, files::MOTD), "the file is healed")
    }

    /// One changed document costs one document's work.
    async fn commit_a_change(&mut self) -> Result<(), CliError> {
        self.say("A commit changes one document: only that one costs work");
        self.write(files::CHANGED.0, files::HEALTH.0)?;
        let scratch = Scratch::open(&self.folder, "Demo", "demo@example.com").map_err(source)?;
        scratch.commit("Say it in words", &["site", ".trueup"]).map_err(source)?;
        let plan = self.plan().await?;
        let work = |key: &str| plan.pointer(&format!("/work/{key}")).and_then(Json::as_u64).unwrap_or(u64::MAX);
        let text = format!(
            "  {} of {} document files parsed, {} of {} resources evaluated\n",
            work("filesParsed"),
            work("files"),
            work("evaluated"),
            work("resources")
        );
        self.shell.output.print(&text);
        self.claim(work("filesParsed") < work("files") && work("evaluated") < work("resources"), "only the change costs work")?;
        self.verb(&["apply", "--yes", "--show", "summary"], Format::Table).await?;
        self.claim(self.holds(files::CHANGED.1, files::HEALTH.1), "the change arrived")?;
        let after = self.verb(&["plan"], Format::Json).await?;
        self.claim(steps(&after).is_empty(), "nothing is left to do")
    }

    async fn explain(&mut self) -> Result<(), CliError> {
        self.say("Every value knows where it comes from");
        self.verb(&["explain", "File/motd", "spec.content"], Format::Table).await?;
        Ok(())
    }

    fn goodbye(&mut self) -> Result<Exit, CliError> {
        let folder = self.folder.display().to_string();
        if self.shell.output.format.is_object() {
            self.shell.output.object(&json!({"format": "trueup.demo/1", "folder": folder, "steps": self.step}))?;
            return Ok(Exit::Fine);
        }
        self.say("Everything stays there; go on by hand");
        let text = format!(
            "  cd {folder}\n  trueup status\n  rm site/www/index.html && trueup plan\n  trueup apply\n  trueup history\n  rm -r {folder}\n"
        );
        self.shell.output.print(&text);
        Ok(Exit::Fine)
    }

    /// The plan as it is shown, and as data.
    async fn plan(&mut self) -> Result<Json, CliError> {
        let data = self.verb(&["plan"], Format::Json).await?;
        self.verb(&["plan"], Format::Table).await?;
        Ok(data)
    }

    /// Runs one verb as if it were typed in the folder; what it says on stdout is shown, or read where it is JSON.
    async fn verb(&mut self, words: &[&str], format: Format) -> Result<Json, CliError> {
        let typed = words.join(" ");
        if format == Format::Table {
            self.shell.output.print(&format!("  $ trueup {typed}\n"));
        }
        let parsed = parse(words).map_err(|error| CliError::usage(error.to_string()))?;
        let (out, err) = (Buffer::default(), Buffer::default());
        let mut output = Output::new(Box::new(out.clone()), Box::new(err.clone()));
        output.style = self.shell.output.style;
        output.format = format;
        output.quiet = true;
        let mut inner = Shell { global: self.global(format), output: &mut output, interrupt: self.shell.interrupt };
        // Boxed, as the demo is itself one of the verbs.
        let exit = Box::pin(super::dispatch(parsed.verb, &mut inner)).await?;
        let text = out.text();
        if exit != Exit::Fine {
            self.shell.output.error(&err.text());
            self.shell.output.print(&text);
            return Err(CliError::new(codes::STEP_FAILED, format!("`trueup {typed}` failed in the demo")));
        }
        if format == Format::Json {
            return Ok(serde_json::from_str(&text)?);
        }
        let indented: String =
            text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect();
        self.shell.output.print(&indented);
        Ok(Json::Null)
    }

    /// The options of the tour's own project.
    fn global(&self, format: Format) -> Global {
        Global {
            directory: Some(self.folder.clone()),
            environment: Some("prod".to_owned()),
            state: Some(crate::store::default_path(&self.folder)),
            output: format,
            quiet: true,
            no_input: true,
            ..Global::default()
        }
    }

    fn say(&mut self, text: &str) {
        self.step += 1;
        let text = self.shell.output.style.paint(Tone::Strong, format!("{}. {text}", self.step)).into_owned();
        self.shell.output.print(&format!("\n{text}\n"));
    }

    /// A step must have done what it says, or the demo fails.
    fn claim(&mut self, holds: bool, what: &str) -> Result<(), CliError> {
        if holds {
            let mark = self.shell.output.style.paint(Tone::Good, self.shell.output.style.done()).into_owned();
            self.shell.output.print(&format!("  {mark} {what}\n"));
            return Ok(());
        }
        let text = format!("the demo claims that {what}, and that is not so in {}", self.folder.display());
        Err(CliError::new(codes::STEP_FAILED, text).hint("this is a defect; the folder shows what happened"))
    }

    fn holds(&self, path: &str, content: &str) -> bool {
        fs::read_to_string(self.folder.join(path)).is_ok_and(|it| it == content)
    }

    fn write(&self, path: &str, content: &str) -> Result<(), CliError> {
        let path = self.folder.join(path);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, content)).map_err(|error| unwritable(&path, &error))
    }
}

/// Reads a command line without the variables of the surrounding shell: `TRUEUP_REV` and its like are about somebody else's
/// project.
fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
    let deaf = |it: Arg| it.env(None::<&'static str>);
    let command = Arguments::command().mut_args(deaf).mut_subcommands(|it| it.mut_args(deaf));
    Arguments::from_arg_matches(&command.try_get_matches_from(["trueup"].iter().chain(words))?)
}

/// Whether the plan is one update of the broken file, and drift is its only reason.
fn drifts(plan: &Json) -> bool {
    let [step] = steps(plan) else { return false };
    let changes = step.get("changes").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    step["id"] == "site:File/motd" && !changes.is_empty() && changes.iter().all(|it| it["origin"] == "drift")
}

fn steps(plan: &Json) -> &[Json] {
    plan.get("steps").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A new folder, readable for its owner alone, whose name nobody could know before.
fn new_folder() -> Result<PathBuf, CliError> {
    let mut random = [0_u8; 4];
    getrandom::fill(&mut random)
        .map_err(|error| CliError::new(codes::STEP_FAILED, format!("the system gives no random numbers: {error}")))?;
    let name: String = random.iter().map(|it| format!("{it:02x}")).collect();
    let folder = std::env::temp_dir().join(format!("trueup-demo-{name}"));
    DirBuilder::new().mode(0o700).create(&folder).map_err(|error| unwritable(&folder, &error))?;
    folder.canonicalize().map_err(|error| unwritable(&folder, &error))
}

/// Files below a folder that this process made.
fn count_files(folder: &Path) -> usize {
    let (mut found, mut todo) = (0, vec![folder.to_path_buf()]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                Ok(kind) if kind.is_file() => found += 1,
                _ => {}
            }
        }
    }
    found
}

fn source(error: SourceError) -> CliError {
    CliError::new(error.code(), error.to_string())
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(codes::STEP_FAILED, format!("cannot write `{}`: {error}", path.display()))
}

/// A stream that keeps what is written.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_update_of_that_file_by_drift_alone_is_drift() {
        let plan = |id: &str, origin: &str| json!({"steps": [{"id": id, "changes": [{"origin": origin}]}]});
        assert!(drifts(&plan("site:File/motd", "drift")));
        assert!(!drifts(&plan("site:File/motd", "both")));
        assert!(!drifts(&plan("site:File/index", "drift")));
        assert!(!drifts(&json!({"steps": []})));
        assert!(!drifts(&json!({"steps": [{"id": "site:File/motd", "changes": []}]})));
    }
}
